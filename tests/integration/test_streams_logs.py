"""Logs as followers hear them: whole, in order, each byte once; with a worker that is played."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from djed.api import following, hub
from djed.client.sse import Message
from djed.config import load
from djed.errors import TokenError
from djed.service.engine import Engine
from djed.store import logs
from tests.support.followers import everything, hubbed, of_inspection, of_job, run, text, until
from tests.support.play import Play


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    settings = {"data": str(tmp_path)}
    if request.param == "postgresql":
        settings["store"] = request.getfixturevalue("database_url")
    with Engine.open(load(settings, environ={})) as opened:
        yield opened


@pytest.fixture
def play(engine: Engine) -> Play:
    return Play(engine.store)


def test_who_joins_after_the_end_hears_it_whole_and_its_end(play: Play) -> None:
    started = play.begin()
    play.write(started, b"out\n")
    play.write(started, b"err\n", "stderr")
    play.end(started)

    async def main() -> None:
        async with hubbed(play.store) as hub:
            found = await everything(of_job(hub, started.attempt.job_id))
        assert [message.kind for message in found] == ["attempt", "log", "log", "end"]
        assert (text(found), text(found, "stderr")) == ("out\n", "err\n")

    run(main())


def test_character_that_is_written_in_two_parts_arrives_whole(play: Play) -> None:
    async def main() -> None:
        started = play.begin()
        async with hubbed(play.store) as hub:
            following = asyncio.create_task(everything(of_job(hub, started.attempt.job_id)))
            euro = "€".encode()
            for part in (b"a" + euro[:1], euro[1:2], euro[2:] + b"b\xff", euro[:2]):
                play.write(started, part)
                await asyncio.sleep(0.02)
            play.end(started)
            said = [json.loads(message.data)["text"] for message in await following if message.kind == "log"]
            assert "".join(said) == "a€b\ufffd\ufffd"

    run(main())


@pytest.mark.parametrize("size", [3, 4, 5, 7])
def test_characters_over_the_borders_of_chunks_arrive_whole(
    play: Play, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(hub, "_CHUNK", size + 1)
    started, said = play.begin(), "aé€🏛" * 5
    play.write(started, said.encode())
    play.end(started)

    async def main() -> None:
        async with hubbed(play.store) as hub:
            found = await everything(of_job(hub, started.attempt.job_id))
        assert text(found) == said
        assert len(found) > 5

    run(main())


def test_event_about_a_job_that_runs_does_not_end_its_log(play: Play) -> None:
    async def main() -> None:
        started = play.begin()
        job = started.attempt.job_id
        for stream in ("stdout", "stderr"):
            play.write(started, b"before\n", stream)
        async with hubbed(play.store) as hub:
            following = asyncio.create_task(until(of_job(hub, job), "log", "after"))
            await until(of_job(hub, job), "log", "before")
            async with hub.subscribe("default", play.id, after=None) as listener:
                play.happens("job", job=job, state="started")
                assert await listener.wait(10)
            play.write(started, b"after\n")
            assert text(await following) == "before\nafter\n"

    run(main())


def test_another_attempt_begins_another_log(play: Play) -> None:
    async def main() -> None:
        first = play.begin()
        play.write(first, b"first\n")
        async with hubbed(play.store) as hub:
            frames = of_job(hub, first.attempt.job_id)
            following = asyncio.create_task(everything(frames))
            await until(of_job(hub, first.attempt.job_id), "log", "first")
            await asyncio.sleep(0.05)
            play.lose(first)
            second = play.start()
            play.write(second, b"second\n")
            play.end(second)
            found = await following
        attempts = [json.loads(message.data)["attempt"] for message in found if message.kind == "attempt"]
        assert attempts == [1, 2]
        assert text(found, attempt=1) == "first\n"
        assert text(found, attempt=2) == "second\n"
        assert found[-1].kind == "end"

    run(main())


def test_log_of_a_lost_attempt_is_not_taken_for_the_place_in_the_next(play: Play) -> None:
    async def main() -> None:
        first = play.begin()
        play.write(first, b"0123456789")
        async with hubbed(play.store) as hub:
            found = await until(of_job(hub, first.attempt.job_id), "log")
            play.lose(first)
            second = play.start()
            play.write(second, b"abc")
            play.end(second)
            rest = await everything(of_job(hub, first.attempt.job_id, after=found[-1].id))
        assert rest[0].kind == "attempt"
        assert text(rest) == "abc"

    run(main())


def test_cancelled_job_ends_with_what_it_said(play: Play) -> None:
    async def main() -> None:
        started = play.begin()
        play.write(started, b"so far\n")
        async with hubbed(play.store) as hub:
            following = asyncio.create_task(everything(of_job(hub, started.attempt.job_id)))
            await asyncio.sleep(0.02)
            play.end(started, "cancelled")
            found = await following
        assert text(found) == "so far\n"
        assert found[-1].kind == "end"

    run(main())


def test_log_of_a_job_on_another_machine_comes_from_what_its_worker_sends(play: Play) -> None:
    async def main() -> None:
        started = play.begin()
        play.folder(started).rmdir()
        name = started.attempt.name
        async with hubbed(play.store) as hub:
            following = asyncio.create_task(until(of_job(hub, started.attempt.job_id), "log", "three"))
            for start, data in ((0, b"one\n"), (4, b"two\n"), (8, b"three\n")):
                with play.store.change() as connection:
                    logs.send(connection, name, "stdout", start=start, data=data)
                await asyncio.sleep(0.01)
            assert text(await following) == "one\ntwo\nthree\n"

    run(main())


def _script(play: Play) -> None:
    """Two jobs, one after the other, and one that another inspection began."""
    for role, lines in (("build", 2), ("run:0", 3)):
        started = play.begin(role)
        for number in range(lines):
            play.write(started, f"{role} {number} é\n".encode())
            play.write(started, b"e", "stderr")
        play.end(started)
    play.done()


def test_all_that_a_job_wrote_is_told_before_its_end(engine: Engine, play: Play) -> None:
    _script(play)

    async def main() -> None:
        async with hubbed(play.store) as hub:
            found = await everything(of_inspection(hub, engine, play.id))
        kinds = [message.kind for message in found]
        assert kinds == ["state", *["job", "attempt", "log", "log", "job"] * 2, "done"]
        assert text(found, role="run:0") == "".join(f"run:0 {number} é\n" for number in range(3))

    run(main())


@pytest.mark.parametrize("live", [False, True])
def test_stream_goes_on_behind_every_id_with_exactly_the_rest(
    engine: Engine, play: Play, monkeypatch: pytest.MonkeyPatch, live: bool
) -> None:
    """As if the connection broke there; also in a server that was started meanwhile."""
    monkeypatch.setattr(hub, "_CHUNK", 5)

    async def main() -> None:
        if live:
            async with hubbed(play.store) as first:
                following = asyncio.create_task(everything(of_inspection(first, engine, play.id)))
                await asyncio.to_thread(_script, play)
                whole = await following
        else:
            _script(play)
            async with hubbed(play.store) as first:
                whole = await everything(of_inspection(first, engine, play.id))
        async with hubbed(play.store) as second:
            for number, message in enumerate(whole[:-1]):
                rest = await everything(of_inspection(second, engine, play.id, after=message.id))
                assert _content(whole[: number + 1], rest) == _content(whole, [])
                assert rest[-1].kind == "done"

    run(main())


def _content(before: list[Message], after: list[Message]) -> tuple[list[str], dict[str, str]]:
    """The events, and each log in one piece, of a stream that was broken once."""
    messages = [*before, *after]
    events = [message.data for message in messages if message.kind not in {"log", "attempt"}]
    said: dict[str, str] = {}
    for message in messages:
        if message.kind == "log":
            told = json.loads(message.data)
            key = f"{told['job']} {told['stream']}"
            assert told["offset"] == len(said.get(key, "").encode())
            said[key] = said.get(key, "") + told["text"]
    return events, said


def test_job_that_another_inspection_began_is_followed_as_well(engine: Engine, play: Play) -> None:
    from djed.store import jobs
    from tests.support.engine import job

    async def main() -> None:
        other = Play(play.store)
        with play.store.change() as connection:
            jobs.attach(connection, other.id, [job("build", key="same")], turn=jobs.Turn(lead=1), now=1.0)
        started = other.start()
        other.write(started, b"before\n")
        with play.store.change() as connection:
            jobs.attach(connection, play.id, [job("build", key="same")], turn=jobs.Turn(lead=1), now=1.0)
        play.happens("job", role="build", state="waiting")
        async with hubbed(play.store) as hub:
            found = await until(of_inspection(hub, engine, play.id), "log")
        assert text(found, role="build") == "before\n"

    run(main())


def test_silence_is_broken_by_a_sign_of_life_and_ends_with_the_token(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_HEARTBEAT", 0.01)
    monkeypatch.setattr(following, "_CHECK", 0.05)
    asked = 0

    async def check() -> None:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise TokenError("It was revoked.")

    async def main() -> None:
        started = play.begin()
        async with hubbed(play.store) as hub:
            frames = [item async for item in of_job(hub, started.attempt.job_id, check=check)]
        assert frames.count(b":\n\n") > 2
        assert asked == 2

    run(main())
