"""The local runner with real processes, sandboxes and control groups: recovery, limits, places."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import zipapp
from pathlib import Path

import pytest

from djed.config import Config
from djed.errors import NotFoundError, RefusedError, StoreFullError, UnsafeError
from djed.model.job import At, Attempt, Handle, InputFile, Job, Limits
from djed.model.request import SANDBOX_LEVELS, SandboxLevel
from djed.model.result import Result
from djed.run import local
from djed.run.jobdir import JobDirectory
from djed.run.local import LocalRunner
from djed.testing.runner_contract import shell, wait
from djed.toolbox.watch import Watch


class Store:
    """Blobs and artifacts in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def blob(self, digest: str) -> Path:
        return self._find(digest)

    def artifact(self, digest: str) -> Path:
        return self._find(digest)

    def secret(self, namespace: str, name: str) -> bytes:
        raise NotFoundError(name)

    def _find(self, digest: str) -> Path:
        path = self.root / digest.removeprefix("sha256:")
        if not path.exists():
            raise NotFoundError(digest)
        return path


class Bench:
    """A data folder, and runners on it; each runner stands for an engine process."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.home = data / "attempts"
        self.store = Store(data / "store")
        self.store.root.mkdir()

    def runner(self, level: SandboxLevel = "process", **settings: str) -> LocalRunner:
        levels = SANDBOX_LEVELS[: SANDBOX_LEVELS.index(level) + 1]
        return LocalRunner(self.home, self.store, config=Config(data=self.data, **settings), levels=levels)  # type: ignore[arg-type]

    def complete(self, runner: LocalRunner, attempt: Attempt) -> Result:
        handle = runner.submit(attempt)
        assert wait(runner, handle).state == "over"
        return runner.collect(handle, self.home / attempt.name)

    def read(self, attempt: Attempt, name: str = "stdout") -> str:
        return (self.home / attempt.name / name).read_text()

    def until(self, attempt: Attempt, text: str) -> None:
        """Wait until the script has said something."""
        runner, handle = self.runner(), Handle(name=attempt.name, target="local")
        end = time.monotonic() + 20
        with Watch([self.home / attempt.name]) as watch:
            while text.encode() not in b"".join(runner.logs(handle)):
                assert time.monotonic() < end, f"never said {text!r}"
                watch.wait(0.05)


@pytest.fixture
def bench(data: Path) -> Bench:
    return Bench(data)


def _job(kind: str, *command: str | At, **more: object) -> Attempt:
    job = Job(kind=kind, command=command, **more)  # type: ignore[arg-type]
    return Attempt(name=f"djed-{kind}-1", job_id=kind, number=1, job=job, node="local/n")


def _groups(attempt: Attempt) -> list[Path]:
    """Control groups that were made for it."""
    return [
        Path(folder)
        for folder, _, _ in os.walk("/sys/fs/cgroup")
        if Path(folder).name.startswith(attempt.name + ".")
    ]


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


# --- Recovery ------------------------------------------------------------------------------------------------------------------------


def test_another_engine_finds_watches_and_collects(bench: Bench) -> None:
    attempt = shell("echo begun; while [ ! -e go ]; do sleep 0.01; done; echo ended; exit 6")
    bench.runner().submit(attempt)
    bench.until(attempt, "begun")
    other = bench.runner()
    handle = other.find(attempt)
    assert handle is not None
    assert other.poll([handle])[handle.name].state == "running"
    assert other.fileno(handle) is not None, "a pidfd of a process that is not our child"
    (bench.home / attempt.name / "inputs/go").touch()
    assert wait(other, handle).state == "over"
    assert other.collect(handle, bench.home / attempt.name).exit_code == 6
    assert bench.read(attempt) == "begun\nended\n"


def test_another_engine_can_cancel(bench: Bench) -> None:
    attempt = shell("echo begun; sleep 3181")
    first = bench.runner()
    handle = first.submit(attempt)
    bench.until(attempt, "begun")
    bench.runner().cancel(handle)
    wait(first, handle)
    result = first.collect(handle, bench.home / attempt.name)
    assert result.cancelled
    assert not result.timed_out


def test_find_starts_what_was_made_but_never_started(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = shell("echo ran")
    dying = bench.runner()
    monkeypatch.setattr(dying, "_spawn", lambda *_: None)
    handle = dying.submit(attempt)
    other = bench.runner()
    assert other.poll([handle])[handle.name].state == "waiting"
    assert other.find(attempt) == handle
    assert wait(other, handle).state == "over"


def test_two_engines_that_find_at_once_start_it_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = shell("echo ran; sleep 0.2")
    dying = bench.runner()
    monkeypatch.setattr(dying, "_spawn", lambda *_: None)
    handle = dying.submit(attempt)
    engines = [bench.runner() for _ in range(4)]
    threads = [threading.Thread(target=engine.find, args=(attempt,)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for engine in engines:
        assert wait(engine, handle).state == "over"
    assert bench.read(attempt) == "ran\n"


def test_a_half_made_directory_is_not_known(bench: Bench) -> None:
    attempt = shell("true")
    (bench.home / attempt.name / "inputs").mkdir(parents=True)
    assert bench.runner().find(attempt) is None


def test_a_cancel_before_the_start_wins(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = shell("echo ran")
    runner = bench.runner()
    with monkeypatch.context() as patch:
        patch.setattr(runner, "_spawn", lambda *_: None)
        handle = runner.submit(attempt)
    runner.cancel(handle)
    assert runner.find(attempt) == handle
    wait(runner, handle)
    result = runner.collect(handle, bench.home / attempt.name)
    assert result.cancelled
    assert not (bench.home / attempt.name / "stdout").exists()


@pytest.mark.needs("cgroup", "root")
def test_when_the_supervisor_is_killed_the_attempt_is_lost_and_its_processes_end(bench: Bench) -> None:
    attempt = shell("echo $$; (setsid sh -c 'echo $$; exec sleep 3182' &); sleep 0.1; echo begun; sleep 3182")
    runner = bench.runner()
    handle = runner.submit(attempt)
    bench.until(attempt, "begun")
    supervisor = JobDirectory(bench.home / attempt.name).supervisor()
    assert supervisor is not None
    os.kill(supervisor.pid, signal.SIGKILL)
    assert wait(runner, handle).state == "lost"
    result = runner.collect(handle, bench.home / attempt.name)
    assert result.lost
    assert result.stdout.kept > 0, "what it said before is kept"
    pids = [int(line) for line in bench.read(attempt).splitlines() if line.isdigit()]
    end = time.monotonic() + 5
    while not all(map(_gone, pids)) and time.monotonic() < end:
        time.sleep(0.01)
    assert len(pids) == 2
    assert all(map(_gone, pids))
    assert _groups(attempt) == []
    runner.release(handle)
    assert runner.find(attempt) is None


def test_a_supervisor_that_is_asked_to_stop_leaves_the_attempt_lost(bench: Bench) -> None:
    attempt = shell("echo begun; sleep 3183")
    runner = bench.runner()
    handle = runner.submit(attempt)
    bench.until(attempt, "begun")
    supervisor = JobDirectory(bench.home / attempt.name).supervisor()
    assert supervisor is not None
    os.kill(supervisor.pid, signal.SIGTERM)
    assert wait(runner, handle).state == "lost", "a machine that shuts down is no verdict on the script"
    assert _groups(attempt) == []


def test_a_supervisor_that_breaks_says_why(bench: Bench) -> None:
    attempt = shell("true")
    runner = bench.runner()
    bench.home.mkdir(exist_ok=True)
    directory = JobDirectory(bench.home / attempt.name)
    directory.create(
        {"wheels": {}, "directories": ["", ""], "node": "", "cpus": [], "level": "none", "tool": None},
        (),
        bench.store,
    )
    handle = runner.find(attempt)
    assert handle is not None
    status = wait(runner, handle)
    assert status.state == "lost"
    assert "KeyError" in (status.reason or "")


def test_nothing_is_left_open_or_unreaped(bench: Bench) -> None:
    runner = bench.runner()
    bench.complete(runner, attempt := shell("true"))
    runner.release(Handle(name=attempt.name, target="local"))
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        bench.complete(runner, attempt := shell("true"))
        runner.release(Handle(name=attempt.name, target="local"))
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert list(bench.home.iterdir()) == []
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    assert not [pid for pid in children if "shim" in Path(f"/proc/{pid}/cmdline").read_text()]


# --- Limits --------------------------------------------------------------------------------------------------------------------------


def test_it_is_held_to_its_cpus(bench: Bench) -> None:
    cpu = max(os.sched_getaffinity(0))
    attempt = shell("grep Cpus_allowed_list /proc/self/status")
    attempt = Attempt(name=attempt.name, job_id="x", number=1, job=attempt.job, node="", cpus=(cpu,))
    result = bench.complete(bench.runner(), attempt)
    assert bench.read(attempt).split() == ["Cpus_allowed_list:", str(cpu)]
    assert (result.cpus, result.limits["cpu"]) == ((cpu,), "affinity")


@pytest.mark.needs("cgroup")
def test_a_fraction_of_a_cpu_is_a_quota(bench: Bench) -> None:
    result = bench.complete(bench.runner(), shell("true", limits=Limits(cpu=0.5)))
    assert result.limits["cpu"].startswith("cgroup")


def test_usage_counts_the_whole_tree(bench: Bench) -> None:
    work = "i=0; while [ $i -lt 150000 ]; do i=$((i+1)); done"
    result = bench.complete(bench.runner("process"), shell(f"({work}) & wait"))
    assert result.usage["ru_utime"] + result.usage["ru_stime"] > 0.02
    assert {"ru_maxrss", "ru_nvcsw", "ru_inblock"} <= set(result.usage)
    assert result.peak_memory is not None


@pytest.mark.needs("bwrap")
def test_usage_is_counted_in_the_sandbox_too(bench: Bench) -> None:
    work = "i=0; while [ $i -lt 150000 ]; do i=$((i+1)); done"
    result = bench.complete(bench.runner("bwrap"), shell(work))
    assert result.usage["ru_utime"] + result.usage["ru_stime"] > 0.02
    assert (result.sandbox, (result.sandbox_tool or "").split()[0]) == ("bwrap", "bubblewrap")


def test_a_floor_that_cannot_be_met_refuses_before_anything_starts(bench: Bench) -> None:
    attempt = shell("true")
    with pytest.raises(RefusedError, match="bwrap"):
        bench.runner("process", sandbox_floor="bwrap").submit(attempt)
    assert not (bench.home / attempt.name).exists()


def test_the_machine_is_recorded_as_it_was(bench: Bench) -> None:
    result = bench.complete(bench.runner(), shell("true"))
    assert {"cpu_info", "platform", "conditions"} <= set(result.hardware)
    assert len(result.hardware["conditions"]["load"]) == 3
    assert result.hostname == os.uname().nodename


# --- Places --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.needs("bwrap")
def test_the_shared_cache_links_into_outputs(bench: Bench) -> None:
    (bench.data / "packages/uv").mkdir(parents=True)
    (bench.data / "packages/uv/file").write_text("content")
    script = 'ln "$1/file" "$2/linked" && echo new > "$1/new"'
    attempt = _job(
        "build", "/bin/sh", "-c", script, "sh", At(place="cache"), At(place="outputs"), cache="shared"
    )
    result = bench.complete(bench.runner("bwrap"), attempt)
    assert result.exit_code == 0
    assert (bench.home / "djed-build-1/outputs/linked").samefile(bench.data / "packages/uv/file")
    assert (bench.data / "packages/uv/new").exists()
    assert list((bench.data / "packages/staging").iterdir()) == []


@pytest.mark.needs("bwrap")
def test_environment_wheels_and_inputs_are_read_only_and_there(bench: Bench) -> None:
    (bench.store.root / "ee/bin").mkdir(parents=True)
    (bench.store.root / "ee/bin/tool").write_text("#!/bin/sh\necho from the environment\n")
    (bench.store.root / "ee/bin/tool").chmod(0o755)
    (bench.store.root / "aa").mkdir()
    (bench.store.root / "aa/x.whl").write_text("wheel")
    (bench.store.root / "bb").write_text("blob")
    script = 'tool; cat "$1" big/blob; touch "$VIRTUAL_ENV/x" "$1" 2>/dev/null || echo read-only'
    attempt = _job(
        "run",
        "/bin/sh", "-c", script, "sh", At(place="wheels", path="aa/x.whl"),
        environment="sha256:ee", wheels=("sha256:aa",), files=(InputFile(path="big/blob", digest="sha256:bb"),),
    )  # fmt: skip
    bench.complete(bench.runner("bwrap"), attempt)
    assert bench.read(attempt) == "from the environment\nwheelblobread-only\n"


def test_an_artifact_that_is_not_there_starts_nothing(bench: Bench) -> None:
    attempt = _job("run", "true", environment="sha256:00")
    with pytest.raises(NotFoundError):
        bench.runner().submit(attempt)
    assert bench.runner().find(attempt) is None


@pytest.mark.parametrize("path", ["../out", "/abs", "a/../../b", ""])
def test_an_input_that_leads_out_is_refused(bench: Bench, path: str) -> None:
    attempt = shell("true", InputFile(path=path, text="x"))
    with pytest.raises(UnsafeError):
        bench.runner().submit(attempt)
    assert list(bench.home.iterdir()) == []


def test_a_full_disk_at_submit_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(JobDirectory, "_fill", full)
    with pytest.raises(StoreFullError):
        bench.runner().submit(shell("true"))


# --- The shim on other Pythons -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "version",
    [
        pytest.param(version, marks=pytest.mark.needs(f"python{version}"))
        for version in ("3.6", "3.8", "3.13")
    ],
)
def test_the_shim_runs_on_every_python(bench: Bench, monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    candidates = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}"))
    if not candidates:
        pytest.skip("not where pyenv keeps it")
    monkeypatch.setattr(sys, "executable", str(candidates[-1]))
    attempt = shell("echo out; echo err >&2; exit 3", limits=Limits(timeout=20, memory=2**27, cpu=0.5))
    result = bench.complete(bench.runner(), attempt)
    assert (result.exit_code, bench.read(attempt), bench.read(attempt, "stderr")) == (3, "out\n", "err\n")
    timed = bench.complete(bench.runner(), shell("sleep 3184", limits=Limits(timeout=0.2)))
    assert timed.timed_out
    assert json.loads((bench.home / attempt.name / "hwinfo.json").read_text())["cpu_info"]
    assert (bench.home / attempt.name / "shim.log").read_text() == ""


def test_the_shim_runs_as_one_file(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = Path(local.__file__).with_name("shim")
    zipapp.create_archive(source, tmp_path / "shim.pyz", filter=lambda path: path.suffix == ".py")
    monkeypatch.setattr(local, "_SHIM", tmp_path / "shim.pyz")
    result = bench.complete(bench.runner(), shell("exit 3"))
    assert (result.exit_code, "cpu_info" in result.hardware) == (3, True)
