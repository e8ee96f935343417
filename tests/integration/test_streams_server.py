"""Streams of a real server: jobs that run, servers that come and go, callers who may not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from djed.client.sse import Message
from tests.support.followers import text
from tests.support.listening import hear, listening
from tests.support.live import until
from tests.support.server import Served, server

SLOW = "for i in 1 2 3 4 5 6 7 8; do echo line $i; sleep 0.25; done\n"
WAITING = "echo ready\nsleep 20\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with server(tmp_path_factory.mktemp("streams") / "data") as running:
        yield running


def _job(served: Served, id_: str, role: str = "run:0") -> str:
    """The job with that role, once it is there."""
    found: list[str] = []

    def is_there() -> bool:
        found[:] = [
            job["id"] for job in served.get(f"/v1/inspections/{id_}/jobs")["items"] if job["role"] == role
        ]
        return bool(found)

    until(is_there, f"the job {role}")
    return found[0]


def test_stream_ends_with_its_inspection_and_a_browser_does_not_come_back(served: Served) -> None:
    id_ = served.submit("echo hello; echo trouble >&2\n")
    found = hear(served, f"/v1/inspections/{id_}/stream?logs=true")
    assert found[-1].kind == "done"
    assert text(found, role="run:0") == "hello\n"
    assert text(found, "stderr", role="run:0") == "trouble\n"
    answer = served.call("GET", f"/v1/inspections/{id_}/stream", headers={"Last-Event-ID": found[-1].id})
    assert (answer.status_code, answer.content) == (204, b"")


def test_job_that_is_over_tells_its_log_and_its_end_once(served: Served) -> None:
    id_ = served.submit("echo hello\n")
    hear(served, f"/v1/inspections/{id_}/stream")
    path = f"/v1/jobs/{_job(served, id_)}/stream?stream=both"
    found = hear(served, path)
    assert [message.kind for message in found] == ["attempt", "log", "end"]
    assert served.call("GET", path, headers={"Last-Event-ID": found[-1].id}).status_code == 204


def test_stream_goes_on_in_a_server_that_was_started_anew(tmp_path: Path) -> None:
    """The job runs on meanwhile; each event and each byte is told once."""
    with server(tmp_path / "data") as first:
        token = first.token
        id_ = first.submit(SLOW)
        path = f"/v1/inspections/{id_}/stream?logs=true"
        before = hear(first, path, until=lambda message: "line 2" in message.data)
        first.kill()
    with server(tmp_path / "data", token=token) as second:
        after = hear(second, path, after=before[-1].id)
        whole = hear(second, path)
    assert text([*before, *after], role="run:0") == text(whole, role="run:0")
    assert text(whole, role="run:0") == "".join(f"line {number}\n" for number in range(1, 9))
    assert _events([*before, *after]) == _events(whole)


def _events(messages: list[Message]) -> list[str]:
    return [message.data for message in messages if message.kind not in {"log", "attempt"}]


def test_server_that_stops_ends_its_streams(tmp_path: Path) -> None:
    """In order, and soon: not when the calls in progress have used up their time."""
    with server(tmp_path / "data", environ={"DJED_SERVE_STOP": "60s"}) as served:
        id_ = served.submit(WAITING)
        with (
            listening(served, f"/v1/inspections/{id_}/stream?logs=true") as messages,
            listening(served, "/v1/stream") as others,
        ):
            while "ready" not in next(messages).data:
                pass
            ended = threading.Thread(target=served.stop)
            ended.start()
            assert [message.kind for message in messages] == []
            assert "done" not in {message.kind for message in others}
            ended.join()
        assert served.process.returncode == 0


def test_followers_who_leave_leave_nothing_in_the_server(served: Served) -> None:
    id_ = served.submit(WAITING)
    path = f"/v1/inspections/{id_}/stream?logs=true"
    hear(served, path, until=lambda message: "ready" in message.data)

    def held() -> tuple[int, int, int]:
        process = Path(f"/proc/{served.process.pid}")
        files, threads = len(list((process / "fd").iterdir())), len(list((process / "task").iterdir()))
        watches = 0
        for info in (process / "fdinfo").iterdir():
            with suppress(FileNotFoundError):  # closed just now
                watches += info.read_text().count("inotify wd")
        return files, threads, watches

    def is_as(before: tuple[int, int, int]) -> bool:
        """But for what it keeps for the next ones: connections of the store, threads."""
        files, threads, watches = held()
        return files < before[0] + 20 and threads < before[1] + 20 and watches == 0

    def follow_all() -> None:
        with ExitStack() as followers:
            for _ in range(20):
                messages = followers.enter_context(listening(served, path))
                assert any("ready" in message.data for message in messages)

    until(lambda: held()[2] == 0, "the end of the last watch")
    before = held()
    for _ in range(2):
        follow_all()
    until(lambda: is_as(before), "the end of what followers held")
    served.call("POST", f"/v1/inspections/{id_}/cancel")


def test_follower_of_a_namespace_hears_of_it_alone(served: Served) -> None:
    foreign = served.new_token("submit", namespace="other")
    with listening(served, "/v1/stream") as ours, listening(served, "/v1/stream", token=foreign) as theirs:
        mine = served.submit("exit 0\n")
        request = {"run": {"command": ["true"], "resources": {"cpu": 1}}}
        asked = served.call("POST", "/v1/inspections", json=request, token=foreign).json()["id"]
        assert any(mine in message.data for message in ours)
        assert asked in next(theirs).data


@pytest.mark.parametrize("path", ["/v1/inspections/{}/stream", "/v1/jobs/{}/stream"])
def test_what_belongs_to_another_namespace_is_not_there(served: Served, path: str) -> None:
    id_ = served.submit("exit 0\n")
    what = _job(served, id_) if "jobs" in path else id_
    foreign = served.new_token("read", namespace="other")
    answer = served.call("GET", path.format(what), token=foreign)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert served.call("GET", path.format(what), token="").status_code == 401


@pytest.mark.parametrize("id_", ["nonsense", "1.2.3", "0.1;x", "0.1;" + "a.1.1.1;" * 9000])
def test_id_that_is_none_is_refused(served: Served, id_: str) -> None:
    answer = served.call("GET", "/v1/stream", headers={"Last-Event-ID": id_})
    assert answer.status_code in {400, 431}
    assert answer.headers["content-type"] == "application/problem+json"


def test_head_of_a_stream_is_only_its_head(served: Served) -> None:
    answer = served.call("HEAD", "/v1/stream")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert (answer.headers["cache-control"], answer.headers["x-accel-buffering"]) == ("no-store", "no")


def test_long_poll_waits_for_the_end(served: Served) -> None:
    id_ = served.submit("sleep 0.5\n")
    assert served.get(f"/v1/inspections/{id_}?wait=30")["state"] == "done"
