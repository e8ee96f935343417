"""Followers in a test: a hub in its loop, and what its streams tell as messages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

from djed.api.following import Check, InspectionStream, JobStream
from djed.api.hub import Hub
from djed.api.sse import Bookmark
from djed.client.sse import Message, Parser
from djed.service.engine import Engine
from djed.store.job_logs import STREAMS
from djed.store.store import Store

__all__ = ["Frames", "everything", "good", "hubbed", "of_inspection", "of_job", "run", "text", "until"]

Frames = AsyncGenerator[bytes, None]


async def good() -> None:
    """A token that stays good."""


def run(main: Coroutine[Any, Any, None]) -> None:
    """In a loop of its own; not for ever."""
    asyncio.run(asyncio.wait_for(main, 20))


@asynccontextmanager
async def hubbed(store: Store) -> AsyncIterator[Hub]:
    """A hub that runs."""
    hub = Hub(store)
    hub.start()
    try:
        yield hub
    finally:
        await hub.stop()


def of_job(
    hub: Hub, job: str, *, after: str = "", streams: Sequence[str] = STREAMS, check: Check = good
) -> Frames:
    """The stream of a job's log."""
    return JobStream(hub, check, Bookmark.parse(after), job=job, streams=tuple(streams)).frames()


def of_inspection(hub: Hub, engine: Engine, id_: str, *, after: str = "", logs: bool = True) -> Frames:
    """The stream of an inspection."""
    streams = STREAMS if logs else ()
    found = engine.get(id_)
    return InspectionStream(hub, good, Bookmark.parse(after), inspection=found, streams=streams).frames()


async def everything(frames: Frames) -> list[Message]:
    """What a stream tells until it ends."""
    return await until(frames, "no such kind")


async def until(frames: Frames, kind: str, text: str = "") -> list[Message]:
    """What a stream tells up to the first message of that kind with that text in it; then it is left."""
    found, parser = list[Message](), Parser()
    async with aclosing(frames):
        async for part in frames:
            for message in parser.feed(part):
                found.append(message)
                if message.kind == kind and text in message.data:
                    return found
    return found


def text(messages: Sequence[Message], stream: str = "stdout", **named: Any) -> str:
    """What the log says by these messages, which must follow one another without a gap."""
    found, end = "", None
    for message in messages:
        told = json.loads(message.data)
        if message.kind == "log" and told["stream"] == stream and named.items() <= told.items():
            assert end in {None, told["offset"]}
            end = told["offset"] + len(told["text"].encode())
            found += told["text"]
    return found
