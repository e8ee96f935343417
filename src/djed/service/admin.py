"""Tokens, namespaces and the audit log: who may do what, and who did."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from djed.errors import ConflictError, RequestError, TokenError, UnreadableError
from djed.model.access import AuditEntry, Namespace, Token
from djed.model.codec import encode
from djed.model.principal import DEFAULT_NAMESPACE, SCOPES, Principal
from djed.model.summary import Page
from djed.store import access

if TYPE_CHECKING:
    import sqlalchemy as sa

    from djed.model.principal import Scope
    from djed.store.store import Store

__all__ = ["Admin"]

_TEXT = re.compile(r"djed_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")

_FRESH = 1.0
"""Seconds for which a token is known without a look at the store: a revoked one opens nothing after them."""
_MOST_KNOWN = 10_000
"""Tokens that are known at once; beyond them all are looked up anew."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What the store said of a token."""

    token: Token | None
    principal: Principal | None
    until: float
    """By the monotonic clock."""


@dataclass(frozen=True, slots=True)
class Admin:
    """What only those with the scope ``admin`` may do, and the check of every token. Safe for threads."""

    store: Store
    principal: Principal
    """In whose name it is done."""
    _known: dict[bytes, _Known] = field(default_factory=dict, repr=False)
    """By the digest of the whole text, so that no secret stays in memory."""

    @classmethod
    def of(cls, store: Store, name: str = "local") -> Admin:
        """The same on this store. ``name`` is for the audit log, where no token says in whose name something is done."""
        return cls(store, Principal(name=name, namespace=DEFAULT_NAMESPACE, scope="admin"))

    def acting(self, principal: Principal) -> Admin:
        """The same in the name of another."""
        return Admin(self.store, principal, self._known)

    # Tokens

    def create_token(
        self,
        name: str,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        scope: Scope = "submit",
        ttl: float | None = None,
    ) -> tuple[Token, str]:
        """A new token and its text, which is told only now. ``ttl`` is its life in seconds; ``None``: it does not end.

        The namespace is made where it is not there. Raises ``RequestError``.
        """
        _check_name(name, "token")
        _check_name(namespace, "namespace")
        if scope not in SCOPES:
            raise RequestError(f"{scope!r} is not a scope.", hint=f"Scopes are {', '.join(SCOPES)}.")
        if ttl is not None and ttl <= 0:
            raise RequestError("A token must live for some time.")
        now = time.time()
        token = Token(
            id=secrets.token_hex(8),
            name=name,
            namespace=namespace,
            scope=scope,
            created_at=now,
            expires_at=None if ttl is None else now + ttl,
        )
        secret = secrets.token_urlsafe(32)
        with self.store.change() as connection:
            if not access.has_namespace(connection, namespace):
                self._put(connection, Namespace(name=namespace), now)
            access.add_token(connection, token, hashlib.sha256(secret.encode()).hexdigest())
            detail = {"name": name, "namespace": namespace, "scope": scope, "expires_at": token.expires_at}
            access.record(connection, self.principal, "token.create", subject=token.id, detail=detail)
        return token, f"djed_{token.id}_{secret}"

    def tokens(self) -> Sequence[Token]:
        """All tokens in order of creation, those that open nothing any more included."""
        with self.store.database.read() as connection:
            return access.list_tokens(connection)

    def any_tokens(self) -> bool:
        """Whether there ever was a token."""
        with self.store.database.read() as connection:
            return access.any_tokens(connection)

    def revoke(self, id_: str) -> Token:
        """Let a token open nothing any more: here at once, in other processes after a second. Raises ``NotFoundError``."""
        with self.store.change() as connection:
            token = access.revoke_token(connection, id_, time.time())
            access.record(
                connection, self.principal, "token.revoke", subject=id_, detail={"name": token.name}
            )
        self._known.clear()
        return token

    def check(self, text: str) -> Principal:
        """Whose token that is. Raises ``TokenError`` where it is unknown, revoked or expired, ``StoreError``."""
        return self.known(text) or self._look_up(text)

    def known(self, text: str) -> Principal | None:
        """The same without a look at the store: ``None`` where that is needed. Raises ``TokenError``."""
        known = self._known.get(hashlib.sha256(text.encode(errors="replace")).digest())
        if known is None or known.until < time.monotonic():
            return None
        return _valid(known)

    def _look_up(self, text: str) -> Principal:
        known = _Known(None, None, time.monotonic() + _FRESH)
        if match := _TEXT.fullmatch(text):
            with self.store.database.read() as connection:
                found = access.find_token(connection, match[1])
            digest = hashlib.sha256(match[2].encode()).hexdigest()
            if found is not None and hmac.compare_digest(found[1], digest):
                token = found[0]
                principal = Principal(
                    name=token.name, namespace=token.namespace, scope=token.scope, token=token.id
                )
                known = _Known(token, principal, known.until)
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[hashlib.sha256(text.encode(errors="replace")).digest()] = known
        return _valid(known)

    # Namespaces

    def namespaces(self) -> Sequence[Namespace]:
        """All namespaces by name."""
        with self.store.database.read() as connection:
            return access.list_namespaces(connection)

    def set_namespace(self, namespace: Namespace) -> Namespace:
        """Make a namespace, or give it another share, other quotas, other bounds. Raises ``RequestError``."""
        _check_name(namespace.name, "namespace")
        if not 0 < namespace.weight <= 1e6:
            raise RequestError("The weight of a namespace is above 0 and at most 1,000,000.")
        with self.store.change() as connection:
            self._put(connection, namespace, time.time())
            (kept,) = [item for item in access.list_namespaces(connection) if item.name == namespace.name]
        return kept

    def remove_namespace(self, name: str) -> None:
        """Forget an empty namespace and its tokens. Raises ``NotFoundError``, ``ConflictError``."""
        if name == DEFAULT_NAMESPACE:
            raise ConflictError(f"The namespace {name!r} stays.")
        with self.store.change() as connection:
            access.remove_namespace(connection, name)
            access.record(connection, self.principal, "namespace.remove", subject=name)
        self._known.clear()

    def _put(self, connection: sa.Connection, namespace: Namespace, now: float) -> None:
        access.put_namespace(connection, namespace, now)
        access.record(
            connection, self.principal, "namespace.set", subject=namespace.name, detail=encode(namespace)
        )

    # The log

    def audit(
        self, *, limit: int = 100, after: str | None = None, namespace: str | None = None
    ) -> Page[AuditEntry]:
        """What was done, newest first; ``after`` is the cursor of an earlier page. Raises ``RequestError`` (400) where it is none."""
        if after is not None and not re.fullmatch(r"[0-9]{1,18}", after):
            raise UnreadableError("That is not a cursor of this list.")
        with self.store.database.read() as connection:
            found = access.list_audit(
                connection,
                limit=limit + 1,
                before=None if after is None else int(after),
                namespace=namespace,
            )
        return Page(items=found[:limit], next=str(found[limit - 1].seq) if len(found) > limit else None)


def _valid(known: _Known) -> Principal:
    """Expiry and revocation are looked at each time."""
    token, principal = known.token, known.principal
    if token is None or principal is None:
        raise TokenError("This token is not known.")
    if token.revoked_at is not None:
        raise TokenError("This token was revoked.")
    if token.expires_at is not None and token.expires_at <= time.time():
        raise TokenError("This token has expired.")
    return principal


def _check_name(name: str, what: str) -> None:
    if not _NAME.fullmatch(name):
        raise RequestError(
            f"{name[:80]!r} is not a name for a {what}.",
            hint="Letters, digits, '.', '_' and '-', at most 63, a letter or digit first.",
        )
