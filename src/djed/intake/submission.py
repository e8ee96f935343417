"""What intake hands on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from djed.model.request import Request

__all__ = ["Submission"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """A validated, self-contained request and the contents of its files."""

    request: Request
    """Every file has its path, digest and size and neither source nor content; a requirements file has become packages or a lock."""
    contents: Mapping[str, bytes] = field(default_factory=dict)
    """Content by digest. A digest that the request already brought is not in here: the store must have it."""
    origin: Mapping[str, Any] | None = None
    """The request as it came in, where it came in another form (``{"door": "amun", "specification": …}``)."""
