"""The way to tokens, namespaces and the audit log: in the store here, or at the server that the settings name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from djed.cli.context import Context
    from djed.model.access import AuditEntry, Namespace, Token
    from djed.model.principal import Scope
    from djed.model.summary import Page

__all__ = ["Administration", "administering"]


class Administration(Protocol):
    """What :class:`djed.service.admin.Admin` and :class:`djed.client.Client` have in common."""

    def create_token(
        self, name: str, *, namespace: str, scope: Scope, ttl: float | None
    ) -> tuple[Token, str]:
        """A new token and its text, which is told only now."""
        ...

    def tokens(self) -> Sequence[Token]:
        """All tokens."""
        ...

    def revoke(self, id_: str) -> Token:
        """Let a token open nothing any more."""
        ...

    def namespaces(self) -> Sequence[Namespace]:
        """All namespaces."""
        ...

    def set_namespace(self, namespace: Namespace) -> Namespace:
        """Make or change a namespace."""
        ...

    def remove_namespace(self, name: str) -> None:
        """Forget an empty namespace."""
        ...

    def audit(self, *, limit: int, after: str | None, namespace: str | None) -> Page[AuditEntry]:
        """What was done, newest first."""
        ...


@contextmanager
def administering(context: Context) -> Iterator[Administration]:
    """Who does it: the server where one is set, else we."""
    if context.config.server is not None:
        from djed.client import Client

        with Client.open(context.config) as client:
            yield client
        return
    from djed.service import Engine
    from djed.service.admin import Admin

    with Engine.open(context.config) as engine:
        yield Admin.of(engine.store)
