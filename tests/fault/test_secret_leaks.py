"""A script does with its secrets all that careless scripts do: nothing that Djed keeps, shows or leaves behind holds one."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from djed.errors import ConfigError, RequestError
from djed.model.codec import encode
from djed.model.inspection import Inspection
from djed.service import Engine
from tests.support.leaks import MEMORY, leaks
from tests.support.live import open_engine, outcomes, script, submit, until

pytestmark = pytest.mark.needs("uv")

CARELESS = """
import base64, json, os, subprocess, sys, urllib.parse
folder = os.environ["DJED_SECRETS"]
token = open(folder + "/token").read()
print("token is", token, "or", urllib.parse.quote(token, safe=""), base64.b64encode(b"me:" + token.encode()).decode())
print(open(folder + "/key.pem").read(), file=sys.stderr)
with open(os.environ["DJED_OUTPUTS"] + "/settings.json", "w") as file:
    json.dump({"token": token}, file)
with open(os.environ["DJED_OUTPUTS"] + "/fine.txt", "w") as file:
    file.write("fine")
print(json.dumps({"@result": {"rate": 1.5, "token": token}}))
sys.stdout.flush()
if sys.argv[1:]:
    raise RuntimeError("cannot log in with " + token)
"""


@pytest.fixture(params=["none", "process", pytest.param("bwrap", marks=pytest.mark.needs("bwrap"))])
def engine(request: pytest.FixtureRequest, data: Path) -> Iterator[Engine]:
    with open_engine(data, request.param) as engine:
        yield engine


@pytest.fixture
def token(engine: Engine) -> bytes:
    """A value that no other test has; the namespace knows it."""
    value = b"t0ken+" + os.urandom(8).hex().encode() + b"/%"
    engine.set_secret("token", value + b"\n")
    engine.set_secret("key.pem", b"-----BEGIN-----\n" + os.urandom(30).hex().encode() + b"\n-----END-----\n")
    return value


def _careless(*arguments: str, **run: Any) -> Any:
    return script(CARELESS, path="careless.py", arguments=arguments, secrets=("token", "key.pem"), **run)


def _told(engine: Engine, found: Inspection) -> bytes:
    """All that can be asked of an inspection."""
    jobs = engine.jobs(found.id)
    parts: list[Any] = [encode(found), [encode(job) for job in jobs]]
    parts += [encode(event) for event in engine.events([found.id])]
    parts += [encode(item) for item in engine.observations(found.id).items]
    logs = [engine.log(job.id, stream) for job in jobs for stream in ("stdout", "stderr")]
    return json.dumps(parts).encode() + b"".join(logs)


@pytest.mark.parametrize("arguments", [(), ("fail",)], ids=["succeeds", "fails"])
def test_nothing_that_is_kept_or_told_holds_a_secret(
    engine: Engine, data: Path, token: bytes, arguments: tuple[str, ...]
) -> None:
    ids = submit(engine, _careless(*arguments, repeat=2, warmup=1))
    found = engine.wait(ids)
    assert outcomes(found) == ["failed" if arguments else "succeeded"]
    told = _told(engine, found[0])
    assert b"***" in told
    assert token not in told
    assert leaks(data, token) == []
    assert leaks(MEMORY, token) == []
    report = next(job.result for job in engine.jobs(ids[0]) if job.role == "warmup:0")
    assert report is not None
    assert report["skipped"] == ["settings.json: contains the secret token"]
    assert [item["path"] for item in report["outputs"]] == ["fine.txt"]
    if not arguments:
        assert report["metrics"]["rate"] == 1.5


def test_the_database_and_its_log_hold_no_value_that_was_ever_set(engine: Engine, data: Path) -> None:
    values = [os.urandom(16).hex().encode() for _ in range(3)]
    for value in values:
        engine.set_secret("token", value)
    engine.remove_secret("token")
    assert [path for value in values for path in leaks(data, value)] == []
    assert engine.secrets() == []


WAITS = """
cat "$DJED_SECRETS/token"
echo ready
sleep 60
"""


def _shim(data: Path, number: int = 1) -> int:
    """The process id of the shim of the attempt of that number, whose script is running."""
    until(
        lambda: any(b"ready" in _read(path) for path in data.glob(f"attempts/*-{number}/stdout")), "its start"
    )
    (started,) = data.glob(f"attempts/*-{number}/started")
    return int(started.read_text().split()[0])


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def test_a_supervisor_that_is_killed_leaves_none_and_the_next_attempt_gets_them_anew(
    engine: Engine, data: Path, token: bytes
) -> None:
    (id_,) = submit(engine, script(WAITS, secrets=("token",)))
    with engine.working():
        os.kill(_shim(data), signal.SIGKILL)
        _shim(data, 2)
        assert leaks(data, token) == []
        left = leaks(MEMORY, token)
        assert len({path.parent for path in left}) == len(left) <= 1
        engine.cancel(id_)
        until(lambda: engine.get(id_).state == "cancelled", "the cancel")
    assert leaks(data, token) == []
    assert leaks(MEMORY, token) == []


def test_killed_as_often_as_it_may_be_none_is_left(data: Path) -> None:
    with open_engine(data, "process", worker__attempts="1") as engine:
        engine.set_secret("token", b"a value to be found")
        (id_,) = submit(engine, script(WAITS, secrets=("token",)))
        with engine.working():
            os.kill(_shim(data), signal.SIGKILL)
            until(lambda: engine.get(id_).state == "done", "the end")
        assert outcomes([engine.get(id_)]) == ["failed"]
    assert leaks(data, b"a value to be found") == []
    assert leaks(MEMORY, b"a value to be found") == []


def test_an_unknown_secret_is_refused_at_its_place(data: Path) -> None:
    with open_engine(data) as engine:
        engine.set_secret("registry-token", b"value")
        with pytest.raises(RequestError) as caught:
            submit(engine, script(secrets=("registry-tokn",)))
        (fault,) = caught.value.faults
        assert (fault.path, fault.hint) == ("run.secrets[0]", "Did you mean 'registry-token'?")


def test_a_secret_that_was_removed_meanwhile_fails_the_run_with_a_sentence(data: Path) -> None:
    with open_engine(data) as engine:
        engine.set_secret("token", b"value")
        ids = submit(engine, script(secrets=("token",)))
        engine.remove_secret("token")
        (found,) = engine.wait(ids)
        assert found.failure is not None
        assert "There is no secret 'token'" in found.failure.message


@pytest.mark.parametrize("harm", ["unlink", "other"])
def test_without_the_key_that_sealed_it_the_run_fails_with_a_sentence(data: Path, harm: str) -> None:
    with open_engine(data) as engine:
        engine.set_secret("token", b"value")
        ids = submit(engine, script(secrets=("token",)))
        (data / "secrets.key").unlink()
        if harm == "other":
            engine.set_secret("other", b"value")
        (found,) = engine.wait(ids)
        assert found.failure is not None
        assert "key" in found.failure.message
        assert found.state == "done"


def test_a_key_that_others_can_read_keeps_nothing(data: Path) -> None:
    with open_engine(data) as engine:
        engine.set_secret("token", b"value")
        (data / "secrets.key").chmod(0o644)
        with pytest.raises(ConfigError, match="can be used by others"):
            engine.set_secret("token", b"new value")


def test_an_earlier_result_is_no_answer_where_there_are_secrets(data: Path) -> None:
    with open_engine(data) as engine:
        said = []
        for value in (b"the first", b"another one"):
            engine.set_secret("token", value)
            asked = script('wc -c < "$DJED_SECRETS/token"', secrets=("token",), request={"reuse": "result"})
            (found,) = engine.wait(submit(engine, asked))
            assert found.reused is None
            said.append(engine.log(engine.jobs(found.id)[-1].id))
        assert said == [b"9\n", b"11\n"]
