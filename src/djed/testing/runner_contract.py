"""What every runner must do: derive from :class:`RunnerContract`, give it a ``runner`` fixture, and be done when it is green.

Each test says twice what its attempt does: as a command, which a real runner executes, and as a :class:`Played`, which a fake acts out.
"""

from __future__ import annotations

import select
import time
from itertools import count
from pathlib import Path

import pytest

from djed.model.hardware import Node
from djed.model.job import Attempt, Handle, InputFile, Job, JobStatus, Limits
from djed.model.result import Result
from djed.run.interface import Runner
from djed.testing.fake_runner import FakeRunner, Played

__all__ = ["RunnerContract", "shell", "wait"]

_numbers = count(1)
_FOREVER = "sleep 600"
_BINARY = bytes(range(256))


def shell(
    script: str, *files: InputFile, limits: Limits | None = None, variables: dict[str, str] | None = None
) -> Attempt:
    """An attempt that runs a shell script."""
    job = Job(
        kind="run",
        command=("/bin/sh", "-c", script),
        files=files,
        limits=limits or Limits(timeout=30),
        variables=variables or {},
    )
    number = next(_numbers)
    return Attempt(
        name=f"djed-contract{number}-1", job_id=f"contract{number}", number=1, job=job, node="local/contract"
    )


def wait(runner: Runner, handle: Handle, seconds: float = 30) -> JobStatus:
    """Wait until it is over or lost, as a worker does: by its descriptor where there is one."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        status = runner.poll([handle]).get(handle.name)
        if status is not None and status.state in {"over", "lost"}:
            return status
        descriptor = runner.fileno(handle)
        if descriptor is None:
            time.sleep(0.005)
        else:
            select.select([descriptor], [], [], max(0.0, end - time.monotonic()))
    raise AssertionError(f"{handle.name} did not end within {seconds} s")


class RunnerContract:
    """The tests. ``home`` is where a runner brings job directories."""

    @pytest.fixture
    def runner(self) -> Runner:
        """The runner under test."""
        raise NotImplementedError

    @pytest.fixture
    def home(self, tmp_path: Path) -> Path:
        """The folder whose ``<attempt name>`` is given to ``collect``."""
        return tmp_path / "attempts"

    def begin(self, runner: Runner, attempt: Attempt, played: Played) -> Handle:
        """Submit."""
        if isinstance(runner, FakeRunner):
            runner.scripts[attempt.name] = played
        return runner.submit(attempt)

    def complete(self, runner: Runner, home: Path, attempt: Attempt, played: Played) -> Result:
        """Submit, wait, collect."""
        handle = self.begin(runner, attempt, played)
        assert wait(runner, handle).state == "over"
        return runner.collect(handle, home / attempt.name)

    def test_runs_a_command_and_tells_its_exit_code(self, runner: Runner, home: Path) -> None:
        """The plainest case."""
        result = self.complete(runner, home, shell("exit 3"), Played(result=Result(exit_code=3)))
        assert (result.exit_code, result.signal, result.lost) == (3, None, False)

    def test_tells_the_signal_that_ended_it(self, runner: Runner, home: Path) -> None:
        """A death by signal has no exit code."""
        result = self.complete(runner, home, shell("kill -9 $$"), Played(result=Result(signal=9)))
        assert (result.exit_code, result.signal) == (None, 9)

    def test_says_why_a_command_never_started(self, runner: Runner, home: Path) -> None:
        """A missing interpreter is named."""
        attempt = shell("true", InputFile(path="s", text="#!/no/such/thing\n", executable=True))
        attempt = Attempt(
            name=attempt.name,
            job_id="x",
            number=1,
            node="",
            job=Job(kind="run", command=("./s",), files=attempt.job.files),
        )
        played = Played(result=Result(error="interpreter not found: /no/such/thing"))
        result = self.complete(runner, home, attempt, played)
        assert result.exit_code is None
        assert "/no/such/thing" in (result.error or "")

    def test_keeps_both_streams_byte_for_byte(self, runner: Runner, home: Path) -> None:
        """No decoding on the way."""
        octal = "".join(f"\\{byte:03o}" for byte in _BINARY)
        attempt = shell(f"printf '{octal}'; printf '{octal}' >&2")
        result = self.complete(runner, home, attempt, Played(stdout=_BINARY, stderr=_BINARY))
        assert (home / attempt.name / "stdout").read_bytes() == _BINARY
        assert (home / attempt.name / "stderr").read_bytes() == _BINARY
        assert (result.stdout.size, result.stdout.kept, result.stdout.truncated) == (256, 256, False)

    def test_serves_logs_from_an_offset(self, runner: Runner) -> None:
        """So that a follower reads each byte once."""
        attempt = shell("printf 0123456789")
        handle = self.begin(runner, attempt, Played(stdout=b"0123456789"))
        wait(runner, handle)
        assert b"".join(runner.logs(handle, "stdout", 4)) == b"456789"
        assert b"".join(runner.logs(handle, "stderr", 0)) == b""
        assert b"".join(runner.logs(handle, "stdout", 100)) == b""

    def test_lays_out_files_and_variables(self, runner: Runner, home: Path) -> None:
        """Inputs lie in the working directory, in folders too, executable where asked."""
        files = (
            InputFile(path="a/b.txt", text="text"),
            InputFile(path="tool", text="#!/bin/sh\necho ran", executable=True),
        )
        attempt = shell('cat a/b.txt; ./tool; printf %s "$WORD"', *files, variables={"WORD": "a 'b' $c"})
        self.complete(runner, home, attempt, Played(stdout=b"textran\na 'b' $c"))
        assert (home / attempt.name / "stdout").read_bytes() == b"textran\na 'b' $c"

    def test_brings_outputs_home(self, runner: Runner, home: Path) -> None:
        """With their folders."""
        attempt = shell('mkdir "$DJED_OUTPUTS/d"; echo x > "$DJED_OUTPUTS/d/f"')
        self.complete(runner, home, attempt, Played(outputs={"d/f": b"x\n"}))
        assert (home / attempt.name / "outputs/d/f").read_bytes() == b"x\n"

    def test_outputs_exist_even_when_empty(self, runner: Runner, home: Path) -> None:
        """A caller need not look first."""
        attempt = shell("true")
        self.complete(runner, home, attempt, Played())
        assert (home / attempt.name / "outputs").is_dir()

    def test_ends_what_runs_out_of_time(self, runner: Runner, home: Path) -> None:
        """And says so."""
        attempt = shell(_FOREVER, limits=Limits(timeout=0.2))
        result = self.complete(runner, home, attempt, Played(result=Result(timed_out=True, signal=15)))
        assert result.timed_out
        assert result.exit_code is None

    def test_cancel_ends_it(self, runner: Runner, home: Path) -> None:
        """Cancel returns at once; poll tells when it is over."""
        attempt = shell(_FOREVER)
        handle = self.begin(runner, attempt, Played(waits=True))
        runner.cancel(handle)
        assert wait(runner, handle).state == "over"
        assert runner.collect(handle, home / attempt.name).cancelled

    def test_cancel_of_what_is_over_changes_nothing(self, runner: Runner, home: Path) -> None:
        """A late click must not rewrite history."""
        attempt = shell("true")
        handle = self.begin(runner, attempt, Played())
        wait(runner, handle)
        runner.cancel(handle)
        result = runner.collect(handle, home / attempt.name)
        assert (result.exit_code, result.cancelled) == (0, False)

    def test_submitting_twice_starts_once(self, runner: Runner, home: Path) -> None:
        """The second call finds the first."""
        attempt = shell('echo started >> "$DJED_OUTPUTS/count"')
        handle = self.begin(runner, attempt, Played(outputs={"count": b"started\n"}))
        assert runner.submit(attempt) == handle
        wait(runner, handle)
        assert runner.submit(attempt) == handle
        runner.collect(handle, home / attempt.name)
        assert (home / attempt.name / "outputs/count").read_bytes() == b"started\n"

    def test_finds_what_was_submitted_and_nothing_else(self, runner: Runner) -> None:
        """The question after a crash."""
        attempt, stranger = shell("true"), shell("true")
        handle = self.begin(runner, attempt, Played())
        assert runner.find(attempt) == handle
        assert runner.find(stranger) is None
        wait(runner, handle)
        assert runner.find(attempt) == handle

    def test_collecting_twice_gives_the_same(self, runner: Runner, home: Path) -> None:
        """A worker may die between collect and its commit."""
        attempt = shell("echo x; exit 4")
        first = self.complete(runner, home, attempt, Played(stdout=b"x\n", result=Result(exit_code=4)))
        handle = runner.find(attempt)
        assert handle is not None
        assert runner.collect(handle, home / attempt.name) == first

    def test_release_forgets(self, runner: Runner, home: Path) -> None:
        """And may be called twice."""
        attempt = shell("true")
        self.complete(runner, home, attempt, Played())
        handle = Handle(name=attempt.name, target=runner.target)
        runner.release(handle)
        runner.release(handle)
        assert runner.find(attempt) is None

    def test_an_unknown_handle_is_never_running(self, runner: Runner) -> None:
        """It is lost, or nothing is known."""
        status = runner.poll([Handle(name="djed-nobody-1", target=runner.target)]).get("djed-nobody-1")
        assert status is None or status.state == "lost"

    def test_a_running_attempt_is_running(self, runner: Runner) -> None:
        """Neither over nor lost."""
        attempt = shell(_FOREVER)
        handle = self.begin(runner, attempt, Played(waits=True))
        try:
            assert runner.poll([handle])[handle.name].state in {"waiting", "running"}
            descriptor = runner.fileno(handle)
            assert descriptor is None or not select.select([descriptor], [], [], 0)[0]
        finally:
            runner.cancel(handle)
            wait(runner, handle)

    def test_nodes_are_stable(self, runner: Runner) -> None:
        """Ids are the same at every call and name the target."""
        nodes: list[Node] = list(runner.nodes())
        assert nodes
        assert [node.id for node in nodes] == [node.id for node in runner.nodes()]
        assert all(node.target == runner.target for node in nodes)
