"""``djed serve`` as a process: its start, its doors, its end."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from djed.cli.main import main
from djed.service import Engine
from djed.service.admin import Admin
from tests.support.live import open_engine, until
from tests.support.server import Served, begin, server


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for the tests that leave it as it is."""
    with server(tmp_path_factory.mktemp("served") / "data", "--no-work") as made:
        yield made


def admin_of(engine: Engine) -> Admin:
    return Admin.of(engine.store, "test")


def test_the_first_start_tells_a_first_token_and_no_later_one_does(tmp_path: Path) -> None:
    with server(tmp_path / "data", "--no-work") as first:
        assert first.token.startswith("djed_")
        assert first.get("/v1/whoami")["scope"] == "admin"
        assert first.stop() == 0
    with server(tmp_path / "data", "--no-work", token=first.token) as second:
        assert second.get("/v1/whoami")["name"] == "first"
    assert first.token not in (tmp_path / "data.log").read_text()


def test_what_a_token_may_not_do_or_see(served: Served) -> None:
    id_ = served.submit()
    reader, foreigner = served.new_token("read"), served.new_token("manage", namespace="other")
    assert served.call("GET", "/v1/inspections", token="").status_code == 401
    assert served.call("GET", f"/v1/inspections/{id_}", token=reader).status_code == 200
    refused = served.call("POST", f"/v1/inspections/{id_}/cancel", token=reader)
    assert refused.status_code == 403
    assert "'submit'" in refused.json()["detail"]
    for method, path in [
        ("GET", f"/v1/inspections/{id_}"),
        ("POST", f"/v1/inspections/{id_}/cancel"),
        ("DELETE", f"/v1/inspections/{id_}"),
        ("GET", f"/v1/inspections/{id_}/events"),
    ]:
        assert served.call(method, path, token=foreigner).status_code == 404, path
    assert served.get("/v1/inspections", token=foreigner)["items"] == []
    assert served.call("GET", "/v1/tokens", token=foreigner).status_code == 403


def test_a_token_that_another_process_revoked_is_closed_within_a_second(served: Served) -> None:
    text = served.new_token()
    assert served.call("GET", "/v1/whoami", token=text).status_code == 200
    with open_engine(served.data) as engine:
        admin_of(engine).revoke(text.split("_")[1])
    until(lambda: served.call("GET", "/v1/whoami", token=text).status_code == 401)


def test_a_token_that_expired_is_closed(served: Served) -> None:
    text = served.new_token(ttl=1.0)
    until(lambda: served.call("GET", "/v1/whoami", token=text).status_code == 401)
    assert "expired" in served.call("GET", "/v1/whoami", token=text).json()["detail"]


def test_the_command_line_gives_access_at_a_server_too(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DJED_SERVER", served.url)
    monkeypatch.setenv("DJED_TOKEN", served.token)
    monkeypatch.setenv("DJED_DATA", "/proc/nowhere")
    assert (
        main(["token", "create", "remote", "--scope", "read", "--namespace", "lab", "--expires", "1h"]) == 0
    )
    text = capsys.readouterr().out.strip()
    assert served.get("/v1/whoami", token=text)["namespace"] == "lab"
    assert main(["namespace", "set", "lab", "--weight", "2", "--running", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["quota"]["running"] == 3
    assert main(["namespace", "set", "lab", "--running", "none", "--json"]) == 0
    changed = json.loads(capsys.readouterr().out)
    assert (changed["weight"], changed["quota"]["running"]) == (2.0, None)
    assert main(["token", "list", "--json"]) == 0
    (token,) = [item for item in json.loads(capsys.readouterr().out) if item["name"] == "remote"]
    assert main(["token", "revoke", token["id"]]) == 0
    assert served.call("GET", "/v1/whoami", token=text).status_code == 401
    assert main(["namespace", "rm", "lab"]) == 0
    capsys.readouterr()
    assert main(["audit", "--limit", "2", "--json"]) == 0
    acts = [(item["actor"], item["action"]) for item in json.loads(capsys.readouterr().out)]
    assert acts == [("first", "namespace.remove"), ("first", "token.revoke")]


def test_in_open_mode_whoever_is_here_may_do_everything(tmp_path: Path) -> None:
    with server(tmp_path / "data", "--no-work", "--open") as served:
        assert served.token == ""
        assert served.get("/v1/whoami", token="")["scope"] == "admin"
        stranger = served.call("GET", "/v1/whoami", token="", headers={"Host": "elsewhere.example"})
        assert stranger.status_code == 403


def ended(data: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and words of a server that does not come to take calls."""
    process = begin(data, *arguments)
    out, _ = process.communicate(timeout=60)
    assert out == b""
    return process.returncode, (data.parent / f"{data.name}.log").read_text()


def test_open_mode_is_refused_where_others_can_call(tmp_path: Path) -> None:
    code, words = ended(tmp_path / "data", "--open", "--host", "0.0.0.0")
    assert code == 2
    assert words.startswith("error: Without tokens only this machine may call")


def test_an_address_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    code, words = ended(tmp_path / "data", "--no-work", "--host", "192.0.2.1")
    assert code == 2
    assert words.count("\n") <= 2
    assert words.startswith("error: The server cannot listen on 192.0.2.1")


def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, words = ended(tmp_path / "data", "--no-work", "--port", str(port))
    assert code == 2
    assert words.startswith(f"error: Port {port} of 127.0.0.1 is in use.")


def test_systemd_is_told_when_calls_are_taken_and_when_it_ends(tmp_path: Path) -> None:
    place = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(place)
        listener.settimeout(30)
        with server(tmp_path / "data", "--no-work", environ={"NOTIFY_SOCKET": place}) as served:
            assert listener.recv(100) == b"READY=1"
            assert served.stop() == 0
            assert listener.recv(100) == b"STOPPING=1"


def test_streams_and_long_polls_do_not_hold_up_the_end(tmp_path: Path) -> None:
    with server(tmp_path / "data", "--no-work") as served:
        id_ = served.submit()
        statuses: list[int] = []

        def poll() -> None:
            statuses.append(served.call("GET", f"/v1/inspections/{id_}?wait=50").status_code)

        waiting = threading.Thread(target=poll)
        waiting.start()
        with served.http.stream(
            "GET", "/v1/stream", headers={"Authorization": f"Bearer {served.token}"}
        ) as stream:
            assert stream.status_code == 200
            assert served.stop() == 0
        waiting.join(30)
        assert statuses == [200]


def test_a_call_that_takes_too_long_is_told_that_the_server_stops(tmp_path: Path) -> None:
    with server(tmp_path / "data", "--no-work", environ={"DJED_SERVE_STOP": "1s"}) as served:
        host, port = served.url.removeprefix("http://").split(":")
        head = (
            f"PUT /v1/files/sha256:{'0' * 64} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {served.token}\r\n"
            "Content-Length: 1000\r\n\r\n"
        )
        with socket.create_connection((host, int(port)), timeout=30) as slow:
            slow.sendall(head.encode() + b"x")
            assert served.get("/v1/version")
            assert served.stop() == 0
            assert slow.recv(65536).startswith(b"HTTP/1.1 503 ")
    assert "Traceback" not in (tmp_path / "data.log").read_text()


def test_what_was_accepted_survives_a_kill(tmp_path: Path) -> None:
    with server(tmp_path / "data", "--no-work") as served:
        ids = [served.submit() for _ in range(5)]
        served.kill()
    with server(tmp_path / "data", "--no-work", token=served.token) as again:
        listed = again.get("/v1/inspections")["items"]
    assert {item["id"] for item in listed} == set(ids)
    with sqlite3.connect(tmp_path / "data/djed.sqlite") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def final(served: Served, id_: str) -> dict[str, Any]:
    found: dict[str, Any] = served.get(f"/v1/inspections/{id_}?wait=30")
    assert found["state"] == "done", found
    return found


@pytest.mark.needs("uv", "bwrap")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_running_job_goes_on_and_is_adopted_at_the_next_start(
    tmp_path: Path, number: signal.Signals
) -> None:
    with server(tmp_path / "data") as served:
        id_ = served.submit("echo begun; sleep 4; echo 'end of it'\n")
        until(lambda: b"begun" in log(served, id_))
        served.process.send_signal(number)
        code = served.process.wait(60)
        assert code == (-number if number == signal.SIGKILL else 0)
    with server(tmp_path / "data", token=served.token) as again:
        assert final(again, id_)["outcome"] == "succeeded"
        assert log(again, id_) == b"begun\nend of it\n"
        attempts = again.get(f"/v1/inspections/{id_}/attempts")["items"]
        assert attempts
        assert {item["number"] for item in attempts} == {1}


def log(served: Served, id_: str) -> bytes:
    answer = served.call("GET", f"/v1/inspections/{id_}/logs/run:0/stdout")
    return answer.content if answer.status_code == 200 else b""


@pytest.mark.needs("uv", "bwrap")
def test_a_worker_does_what_a_server_that_does_not_work_accepts(tmp_path: Path) -> None:
    with server(tmp_path / "data", "--no-work") as served:
        id_ = served.submit("echo done\n")
        command = [sys.executable, "-m", "djed", "--data", str(tmp_path / "data"), "worker"]
        variables = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=variables) as worker:
            assert worker.stderr is not None
            assert worker.stderr.readline().startswith("Working on ")
            assert final(served, id_)["outcome"] == "succeeded"
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(60) == 0


def test_the_document_tells_every_call(served: Served) -> None:
    told = served.get("/v1/openapi.json")
    assert told["openapi"].startswith("3.1")
    assert {"/v1/inspections", "/v1/version", "/v1/tokens"} <= told["paths"].keys()
    assert json.dumps(told).count("#/components/responses/401") >= len(told["paths"])
