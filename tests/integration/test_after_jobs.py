"""What a sandbox's tool leaves outside is removed when the job is over: by the shim, or, where that died, by the runner."""

from __future__ import annotations

import os
import signal
import time
from itertools import count
from pathlib import Path

import pytest

from djed.config import Config
from djed.errors import NotFoundError
from djed.model.job import Attempt, Handle, Job, Limits
from djed.model.result import Result
from djed.run import levels
from djed.run.jobdir import JobDirectory
from djed.run.local import LocalRunner
from djed.run.sandbox import Inside, Sandbox, Wrap
from djed.run.shim import after
from djed.testing.runner_contract import wait

# It keeps a file for each container, which it removes when the command ends by itself, as engines do with --rm.
TOOL = """#!/bin/sh
state=$1 verb=$2 name=$3
shift 3
echo "$verb $name $WORD" >> "$state/log"
case $verb in
    run) touch "$state/$name"; "$@"; code=$?; rm "$state/$name"; exit $code ;;
    rm) [ ! -e "$state/broken" ] || { echo "cannot be reached" >&2; exit 1; }; rm -f "$state/$name" ;;
esac
"""

_numbers = count(1)


class Nothing:
    def blob(self, digest: str) -> Path:
        raise NotFoundError(digest)

    def artifact(self, digest: str) -> Path:
        raise NotFoundError(digest)

    def secret(self, namespace: str, name: str) -> bytes:
        raise NotFoundError(name)


class Bench:
    """A runner whose jobs are all run by the tool."""

    def __init__(self, data: Path, state: Path) -> None:
        self.home = data / "attempts"
        self.state = state
        self.runner = LocalRunner(self.home, Nothing(), config=Config(data=data, sandbox_floor="container"))

    def submit(self, script: str, **limits: float) -> Handle:
        job = Job(kind="run", command=("/bin/sh", "-c", script), limits=Limits(**{"timeout": 30, **limits}))  # type: ignore[arg-type]
        number = next(_numbers)
        attempt = Attempt(name=f"djed-after{number}-1", job_id="x", number=1, job=job, node="n")
        return self.runner.submit(attempt)

    def collect(self, handle: Handle) -> Result:
        wait(self.runner, handle)
        return self.runner.collect(handle, self.home / handle.name)

    def verbs(self) -> list[str]:
        return [line.split()[0] for line in (self.state / "log").read_text().splitlines()]

    def containers(self) -> list[str]:
        return [path.name for path in self.state.iterdir() if path.name.startswith("djed-")]

    def until_it_runs(self, handle: Handle) -> None:
        end = time.monotonic() + 20
        while b"begun" not in b"".join(self.runner.logs(handle)):
            assert time.monotonic() < end
            time.sleep(0.01)


@pytest.fixture
def bench(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    tool, state = tmp_path / "tool", tmp_path / "state"
    tool.write_text(TOOL)
    tool.chmod(0o755)
    state.mkdir()

    def make(sandbox: Sandbox, inside: Inside, etc: Path) -> Wrap:
        return Wrap(
            argv=(str(tool), str(state), "run", inside.name),
            environ={"PATH": "/usr/bin:/bin", "WORD": "told"},
            after=((str(tool), str(state), "rm", inside.name),),
            speaks="runtime",
        )

    found = levels.Found(sandboxes=(Sandbox(level="process"), Sandbox(level="container", tool="tool 1")))
    monkeypatch.setattr(levels, "probe", lambda *_, **__: found)
    monkeypatch.setitem(levels.WRAPS, "container", make)
    return Bench(data, state)


def test_what_ends_by_itself_leaves_nothing_to_remove(bench: Bench) -> None:
    handle = bench.submit("echo said; exit 3")
    result = bench.collect(handle)
    assert (result.exit_code, result.sandbox, result.sandbox_tool) == (3, "container", "tool 1")
    assert bench.verbs() == ["run"], "to ask again would cost every job the time of another call"
    bench.runner.release(handle)
    assert bench.verbs() == ["run"]


def test_the_tool_has_an_environment_of_its_own(bench: Bench) -> None:
    bench.collect(bench.submit("true"))
    assert (bench.state / "log").read_text().endswith(" told\n")


def test_what_is_killed_is_removed_before_its_result_is_told(bench: Bench) -> None:
    handle = bench.submit("trap '' TERM; echo begun; while :; do sleep 1; done", timeout=0.3)
    bench.until_it_runs(handle)
    assert bench.containers() == [handle.name]
    directory = JobDirectory(bench.home / handle.name)
    bench.runner.cancel(handle)
    end = time.monotonic() + 30
    while not directory.is_over():
        assert time.monotonic() < end
        time.sleep(0.005)
    assert bench.containers() == []
    assert bench.collect(handle).cancelled
    assert bench.verbs() == ["run", "rm"]


def test_what_a_dead_supervisor_leaves_is_removed_when_it_is_collected(bench: Bench) -> None:
    handle = bench.submit("echo begun; sleep 600")
    bench.until_it_runs(handle)
    supervisor = JobDirectory(bench.home / handle.name).supervisor()
    assert supervisor is not None
    os.kill(supervisor.pid, signal.SIGKILL)
    assert bench.collect(handle).lost
    assert bench.containers() == []
    bench.runner.release(handle)
    assert bench.verbs() == ["run", "rm"], "once is enough"


def test_what_cannot_be_removed_now_is_tried_again_and_costs_no_result(bench: Bench) -> None:
    (bench.state / "broken").touch()
    handle = bench.submit("echo begun; trap '' TERM; while :; do sleep 1; done")
    bench.until_it_runs(handle)
    bench.runner.cancel(handle)
    assert bench.collect(handle).cancelled
    assert bench.containers() == [handle.name]
    assert "cannot be reached" in (bench.home / handle.name / "shim.log").read_text()
    (bench.state / "broken").unlink()
    bench.runner.release(handle)
    assert bench.containers() == []
    assert not (bench.home / handle.name).exists()


def test_an_attempt_that_never_began_has_nothing_to_remove(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(bench.runner, "_spawn", lambda *_: None)
        handle = bench.submit("true")
    bench.runner.cancel(handle)
    bench.runner.release(handle)
    assert not (bench.state / "log").exists()


def test_a_command_that_hangs_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(after, "SECONDS", 0.1)
    begun = time.monotonic()
    after.clear([["/bin/sleep", "60"], ["/bin/sh", "-c", "echo x > second"]], {})
    assert time.monotonic() - begun < 20
    assert (tmp_path / "second").exists(), "one that hangs does not keep the others from being run"
    assert not (tmp_path / "cleared").exists()
    assert "/bin/sleep 60: " in capsys.readouterr().err
    after.clear([["/bin/true"]], {})
    assert (tmp_path / "cleared").exists()
