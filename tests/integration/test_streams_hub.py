"""The hub on a store, with a worker that is played."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from djed.api import hub as hub_module
from djed.api import pump
from djed.api.hub import Hub, Listener
from djed.api.tails import KEPT
from djed.config import load
from djed.errors import ServerError, StoreError
from djed.model.inspection import Inspection
from djed.service.engine import Engine
from djed.store import events
from tests.support.followers import Frames, hubbed, of_job, run
from tests.support.play import Play


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    settings = {"data": str(tmp_path)}
    if request.param == "postgresql":
        settings["store"] = request.getfixturevalue("database_url")
    with Engine.open(load(settings, environ={})) as opened:
        yield opened


async def heard(listener: Listener, count: int) -> list[str]:
    """The kinds of the next events."""
    found: list[str] = []
    while len(found) < count:
        listener.wake.clear()
        new = await listener.news()
        found += [news.event.kind for news in new]
        if not new:
            assert await listener.wait(10)
    return found


def test_follower_hears_what_was_and_what_comes_each_once(engine: Engine) -> None:
    async def main() -> None:
        play = Play(engine.store)
        play.happens("one")
        async with hubbed(engine.store) as hub, hub.subscribe("default", play.id) as listener:
            assert await heard(listener, 2) == ["state", "one"]
            play.happens("two")
            assert await heard(listener, 1) == ["two"]
            assert await listener.news() == []

    run(main())


def test_follower_of_a_namespace_hears_it_from_now_on_and_no_other(engine: Engine) -> None:
    async def main() -> None:
        play = Play(engine.store)
        async with (
            hubbed(engine.store) as hub,
            hub.subscribe("default", after=None) as ours,
            hub.subscribe("other", after="") as others,
        ):
            play.happens("one")
            assert await heard(ours, 1) == ["one"]
            assert await others.news() == []
            assert not others.wake.is_set()

    run(main())


def test_slow_follower_is_told_everything_once_and_in_order_in_bounded_memory(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "_PENDING", 4)

    async def main() -> None:
        play = Play(engine.store)
        async with (
            hubbed(engine.store) as hub,
            hub.subscribe("default", play.id, after=None) as slow,
            hub.subscribe("default", play.id, after=None) as fast,
        ):
            kinds = [f"kind-{number}" for number in range(23)]
            for kind in kinds:
                play.happens(kind)
                assert await heard(fast, 1) == [kind]
                assert len(slow._pending) <= 4
            assert await heard(slow, 23) == kinds
            assert await slow.news() == []

    run(main())


def test_follower_goes_on_behind_a_position(engine: Engine) -> None:
    async def main() -> None:
        play = Play(engine.store)
        play.happens("one")
        play.happens("two")
        async with hubbed(engine.store) as hub:
            async with hub.subscribe("default", play.id) as listener:
                found = await listener.news()
            async with hub.subscribe("default", play.id, after=found[1].event.position) as listener:
                assert await heard(listener, 1) == ["two"]

    run(main())


def test_events_after_a_removal_are_told_too(engine: Engine) -> None:
    """SQLite gives numbers again that were those of the last rows; who follows must not be behind them."""

    async def main() -> None:
        first, second = Play(engine.store), Play(engine.store)
        second.happens("one")
        second.done()
        async with hubbed(engine.store) as hub, hub.subscribe("default", after=None) as listener:
            assert await listener.news() == []
            engine.remove([second.id])
            first.happens("two")
            assert await heard(listener, 1) == ["two"]

    run(main())


def test_nobody_follows_what_ends(engine: Engine) -> None:
    async def main() -> None:
        hub = Hub(engine.store)
        with pytest.raises(ServerError):
            async with hub.subscribe("default"):
                pass
        hub.start()
        async with hub.subscribe("default", after=None) as listener:
            hub.close()
            assert await listener.wait(10)
        with pytest.raises(ServerError):
            async with hub.subscribe("default"):
                pass
        await hub.stop()

    run(main())


def test_long_poll_answers_when_it_holds_and_when_the_time_is_over(engine: Engine) -> None:
    async def main() -> None:
        play = Play(engine.store)
        async with hubbed(engine.store) as hub:
            assert (await hub.final(engine, play.id, 0.01)).state == "queued"
            asked = 0

            def holds(found: Inspection) -> bool:
                nonlocal asked
                asked += 1
                if asked == 2:  # from here on it waits
                    play.done()
                return found.state == "done"

            assert (await hub.until(engine, play.id, holds, 10)).state == "done"
            assert asked == 3
            assert not hub._listeners

    run(main())


def test_trouble_of_the_store_is_told_to_who_asks_and_ends_with_it(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump, "_PATIENCE", 0.01)
    play = Play(engine.store)

    def fail(*_: object, **__: object) -> Any:
        raise StoreError("The store is away.")

    async def main() -> None:
        async with hubbed(engine.store) as hub, hub.subscribe("default", play.id, after=None) as listener:
            with monkeypatch.context() as trouble:
                trouble.setattr(events, "since", fail)
                play.happens("one")
                with pytest.raises(StoreError, match="away"):
                    async with hub.subscribe("default"):
                        pass
            assert await heard(listener, 1) == ["one"]

    run(main())


def test_followers_leave_nothing_behind(engine: Engine) -> None:
    play = Play(engine.store)
    with engine.store.database.read():
        pass

    def held() -> tuple[int, int]:
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

    async def main() -> None:
        before = held()
        async with hubbed(engine.store) as hub:
            started = play.begin()
            play.write(started, b"a\n")
            async with aclosing(of_job(hub, started.attempt.job_id)) as frames:
                assert await until_text(frames, "a\n")
            async with hub.subscribe("default", play.id) as listener:
                await listener.news()
            assert not hub._listeners
            assert not hub._tails
        assert held() == before

    async def twice() -> None:
        await main_once()
        await main()

    async def main_once() -> None:
        """Connections of the store stay open in its pool."""
        async with hubbed(engine.store) as hub, hub.subscribe("default", play.id) as listener:
            await asyncio.gather(*(hub.run(engine.get, play.id) for _ in range(8)))
            await listener.news()

    run(twice())


async def until_text(frames: Frames, wanted: str) -> bool:
    async for item in frames:
        if wanted.replace("\n", "\\n") in item.decode():
            return True
    return False


@pytest.mark.parametrize("followers", [1, 3])
def test_file_is_read_once_for_all_its_followers(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, followers: int
) -> None:
    reads: list[int] = []
    real: Callable[..., bytes] = os.pread

    def counted(descriptor: int, size: int, offset: int) -> bytes:
        if size:
            reads.append(offset)
        return real(descriptor, size, offset)

    async def main() -> None:
        play = Play(engine.store)
        started = play.begin()
        async with hubbed(engine.store) as hub:
            streams = [of_job(hub, started.attempt.job_id) for _ in range(followers)]
            for frames in streams:
                await anext(frames)  # the opening
            monkeypatch.setattr(os, "pread", counted)
            for line in ("first\n", "second\n"):
                play.write(started, line.encode())
                assert all(await asyncio.gather(*(until_text(frames, line) for frames in streams)))
            for frames in streams:
                await frames.aclose()

    run(main())
    assert reads == [0, len("first\n")]


def test_burst_reaches_a_slow_follower_whole_and_stays_out_of_memory(engine: Engine) -> None:
    burst = b"".join(b"%09d\n" % number for number in range(KEPT))  # 2.5 MB

    async def main() -> None:
        play = Play(engine.store)
        started = play.begin()
        async with hubbed(engine.store) as hub, aclosing(of_job(hub, started.attempt.job_id)) as frames:
            await anext(frames)
            play.write(started, burst)
            play.end(started)
            found, offset = "", 0
            async for item in frames:
                await asyncio.sleep(0)
                for line in item.decode().splitlines():
                    message = json.loads(line[6:]) if line.startswith("data: ") else {}
                    if "text" in message:
                        assert message["offset"] == offset
                        offset += len(message["text"])
                        found += message["text"]
                windows = [tail._windows["stdout"] for tail in hub._tails.values()]
                assert all(window.end - window.start <= 2 * KEPT for window in windows)
            assert found == burst.decode()

    run(main())
