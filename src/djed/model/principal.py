"""Who asks. Apart from :mod:`djed.model.access`, which only a service needs: each noun costs every command half a millisecond."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["DEFAULT_NAMESPACE", "SCOPES", "Principal", "Scope"]

DEFAULT_NAMESPACE = "default"

Scope = Literal["read", "submit", "manage", "admin"]
SCOPES: tuple[Scope, ...] = ("read", "submit", "manage", "admin")
"""Each allows what those before it allow. ``read``: look; ``submit``: ask, cancel, retry; ``manage``: delete, secrets and webhooks of
its namespace; ``admin``: tokens, namespaces, audit and clean-up, in every namespace."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Principal:
    """Who asks."""

    name: str
    """For the audit log: the token's name, ``local`` at the command line, ``open`` where nobody is asked."""
    namespace: str
    scope: Scope
    token: str | None = None
    """Id of the token; ``None`` where none was needed."""

    def may(self, scope: Scope) -> bool:
        """Whether the scope is within ours."""
        return SCOPES.index(scope) <= SCOPES.index(self.scope)
