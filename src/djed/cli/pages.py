"""Long lists, page by page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

from djed.model.summary import Page

__all__ = ["PAGE", "every"]

T = TypeVar("T")

PAGE = 1000
"""Items that are asked for at once."""


def every(fetch: Callable[[str | None], Page[T]]) -> Iterator[T]:
    """All items of a list, whose page behind a cursor ``fetch`` gives."""
    after = None
    while True:
        page = fetch(after)
        yield from page.items
        after = page.next
        if after is None:
            return
