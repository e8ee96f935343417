"""A client of a server's streams that keeps what it heard, and can leave at any message."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx2

from djed.client.sse import Message, Parser
from tests.support.server import Served

__all__ = ["hear", "listening"]


@contextmanager
def listening(
    served: Served, path: str, *, after: str | None = None, token: str | None = None
) -> Iterator[Iterator[Message]]:
    """The messages of a stream as they come. Leaving closes the connection."""
    headers = {"Authorization": f"Bearer {token or served.token}"}
    if after is not None:
        headers["Last-Event-ID"] = after
    with httpx2.stream("GET", served.url + path, headers=headers, timeout=30) as response:
        assert response.status_code == 200, response.read()

        def messages() -> Iterator[Message]:
            parser = Parser()
            for chunk in response.iter_bytes():
                yield from parser.feed(chunk)

        yield messages()


def hear(
    served: Served,
    path: str,
    *,
    after: str | None = None,
    until: Callable[[Message], bool] = lambda _: False,
) -> list[Message]:
    """The messages of a stream to its end, or to the first of which something holds."""
    found = []
    with listening(served, path, after=after) as messages:
        for message in messages:
            found.append(message)
            if until(message):
                break
    return found
