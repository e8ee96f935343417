"""Tokens, namespaces and the audit log of a server: what its administrators do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from djed.client.calls import Calls
from djed.client.connection import Call, place
from djed.model.access import AuditEntry, Namespace, Token
from djed.model.codec import encode
from djed.model.principal import DEFAULT_NAMESPACE, Principal, Scope
from djed.model.summary import Page

__all__ = ["AdminCalls"]


class AdminCalls(Calls):
    """The methods of ``djed.service.admin.Admin``. All but :meth:`whoami` raise ``AccessError`` without the scope ``admin``."""

    def whoami(self) -> Principal:
        """Who we are to the server. Raises ``TokenError``."""
        return self._noun(Principal, Call(method="GET", path="/v1/whoami"))

    def create_token(
        self,
        name: str,
        *,
        namespace: str = DEFAULT_NAMESPACE,
        scope: Scope = "submit",
        ttl: float | None = None,
    ) -> tuple[Token, str]:
        """A new token, and its text, which is told only now. ``ttl``: seconds after which it expires."""
        body = {"name": name, "namespace": namespace, "scope": scope, "ttl": ttl}
        told = self._object(Call(method="POST", path="/v1/tokens", body=body))
        return self._decode(Token, told), str(told.get("text", ""))

    def tokens(self) -> Sequence[Token]:
        """Every token, without its secret."""
        return self._nouns(Token, Call(method="GET", path="/v1/tokens"))

    def revoke(self, id_: str) -> Token:
        """Let a token open nothing any more. Raises ``NotFoundError``."""
        return self._noun(Token, Call(method="DELETE", path=place("tokens", id_)))

    def namespaces(self) -> Sequence[Namespace]:
        """Every namespace with its quotas."""
        return self._nouns(Namespace, Call(method="GET", path="/v1/namespaces"))

    def set_namespace(self, namespace: Namespace) -> Namespace:
        """Make a namespace, or change it. Raises ``RequestError``."""
        path = place("namespaces", namespace.name)
        body = {key: value for key, value in encode(namespace).items() if key != "created_at"}
        return self._noun(Namespace, Call(method="PUT", path=path, body=body))

    def remove_namespace(self, name: str) -> None:
        """Forget an empty namespace and its tokens. Raises ``NotFoundError``, ``ConflictError``."""
        self._connection.send(Call(method="DELETE", path=place("namespaces", name)))

    def audit(
        self, *, limit: int = 100, after: str | None = None, namespace: str | None = None
    ) -> Page[AuditEntry]:
        """Who did what, newest first."""
        params: dict[str, Any] = {"limit": min(limit, 1000), "after": after, "namespace": namespace}
        return self._page(AuditEntry, Call(method="GET", path="/v1/audit", params=params))
