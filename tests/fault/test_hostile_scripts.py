"""Scripts that mean harm meet the real sandbox: each ends in a clear result, nothing leaks, nothing lives on."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from djed.config import Config
from djed.errors import NotFoundError, ToolError
from djed.model.job import Limits
from djed.model.request import SANDBOX_LEVELS, SandboxLevel
from djed.model.result import Result
from djed.run.local import LocalRunner
from djed.testing.runner_contract import shell, wait
from djed.toolbox import fs, process

Try = Callable[..., "Outcome"]
MIB = 2**20


class NoMaterials:
    def blob(self, digest: str) -> Path:
        raise NotFoundError(digest)

    def artifact(self, digest: str) -> Path:
        raise NotFoundError(digest)

    def secret(self, namespace: str, name: str) -> bytes:
        raise NotFoundError(name)


class Outcome:
    """A result and what lies beside it."""

    def __init__(self, result: Result, home: Path) -> None:
        self.result = result
        self.home = home
        self.stdout = (home / "stdout").read_bytes()
        self.stderr = (home / "stderr").read_bytes()


def _attempt(data: Path, level: SandboxLevel, script: str, limits: Limits) -> Outcome:
    levels = SANDBOX_LEVELS[: SANDBOX_LEVELS.index(level) + 1]
    runner = LocalRunner(data / "attempts", NoMaterials(), config=Config(data=data), levels=levels)
    attempt = shell(script, limits=limits)
    handle = runner.submit(attempt)
    assert wait(runner, handle).state == "over"
    home = data / "attempts" / attempt.name
    outcome = Outcome(runner.collect(handle, home), home)
    assert outcome.result.sandbox == level
    return outcome


@pytest.fixture
def sandboxed(data: Path) -> Try:
    """Run a script in bubblewrap."""
    return lambda script, **limits: _attempt(data, "bwrap", script, Limits(**{"timeout": 30.0, **limits}))


@pytest.fixture(params=["process", pytest.param("bwrap", marks=pytest.mark.needs("bwrap"))])
def anyhow(request: pytest.FixtureRequest, data: Path) -> Try:
    """Run a script at either level that protects the machine's resources."""
    return lambda script, **limits: _attempt(
        data, request.param, script, Limits(**{"timeout": 30.0, **limits})
    )


def _alive(mark: str) -> bool:
    """Whether a process with that word among its arguments lives."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "cmdline").read_bytes().split(b"\0"):
                return True
        except OSError:
            continue
    return False


# --- Resources -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.needs("cgroup")
def test_a_fork_bomb_hits_its_limit_and_is_gone(anyhow: Try) -> None:
    outcome = anyhow("b() { b | b & }; b; sleep 3171", processes=40, timeout=1.0)
    assert outcome.result.timed_out or outcome.result.exit_code not in {None, 0}
    assert outcome.result.limits["processes"].startswith("cgroup")
    assert not _alive("3171")


def test_endless_output_fills_neither_disk_nor_memory(anyhow: Try) -> None:
    size = 200 * 10**6
    outcome = anyhow(f"head -c {size} /dev/zero; echo; echo the end", output=MIB)
    stream = outcome.result.stdout
    assert (stream.size, stream.truncated) == (size + 9, True)
    assert stream.kept == len(outcome.stdout) < MIB + 100
    assert b"[djed: %d bytes left out]\n" % (stream.size - MIB) in outcome.stdout
    assert outcome.stdout.endswith(b"\nthe end\n")


def test_terminal_codes_and_binary_are_kept_as_they_are(anyhow: Try) -> None:
    outcome = anyhow(r"printf '\033[2J\033]0;title\007\000\377\r\n'")
    assert outcome.stdout == b"\x1b[2J\x1b]0;title\x07\x00\xff\r\n"


def test_a_huge_file_is_stopped(anyhow: Try) -> None:
    outcome = anyhow('dd if=/dev/zero of="$DJED_OUTPUTS/huge" bs=1M count=64', disk=8 * MIB)
    assert outcome.result.disk_exceeded
    assert fs.disk_use(outcome.home) < 16 * MIB


def test_many_files_that_fill_the_disk_are_stopped(anyhow: Try) -> None:
    script = 'i=0; while :; do head -c 1000000 /dev/zero > "$DJED_OUTPUTS/$i"; i=$((i+1)); done'
    outcome = anyhow(script, disk=16 * MIB)
    assert outcome.result.disk_exceeded
    assert not outcome.result.timed_out


@pytest.fixture
def small_disk(data: Path) -> Iterator[Path]:
    """A data folder on a file system of 4 MiB."""
    try:
        process.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(data)])
    except ToolError as error:
        pytest.skip(f"nothing can be mounted here: {error.hint}")
    yield data
    process.run(["umount", "--lazy", str(data)])


@pytest.mark.needs("root")
def test_a_full_disk_is_named_and_the_result_survives(small_disk: Path) -> None:
    outcome = _attempt(small_disk, "process", "head -c 20000000 /dev/zero; sleep 3170", Limits())
    assert "no space left on the device" in (outcome.result.error or "")
    assert outcome.result.stdout.truncated
    assert not _alive("3170")


@pytest.mark.needs("cgroup")
def test_too_much_memory_is_a_result(anyhow: Try) -> None:
    outcome = anyhow("x=$(head -c 200000000 /dev/zero | tr '\\0' a); echo survived", memory=64 * MIB)
    assert outcome.result.out_of_memory
    assert b"survived" not in outcome.stdout
    assert outcome.result.limits["memory"].startswith("cgroup")


# --- Ending --------------------------------------------------------------------------------------------------------------------------


def test_a_daemon_does_not_outlive_its_script(anyhow: Try) -> None:
    outcome = anyhow("(setsid setsid sh -c 'sleep 3172' &) ; echo done")
    assert (outcome.result.exit_code, outcome.stdout) == (0, b"done\n")
    assert not _alive("3172")


def test_a_daemon_that_holds_the_output_open_does_not_delay_the_end(anyhow: Try) -> None:
    outcome = anyhow("trap '' HUP; sleep 3173 & exit 7")
    assert outcome.result.exit_code == 7
    assert not _alive("3173")


def test_a_script_that_ignores_being_asked_is_killed(anyhow: Try) -> None:
    outcome = anyhow("trap '' TERM; (trap '' TERM; sleep 3174) & sleep 3174; sleep 3174", timeout=0.3)
    assert outcome.result.timed_out
    assert outcome.result.signal == 9
    assert not _alive("3174")


def test_a_script_that_is_asked_may_tidy_up(anyhow: Try) -> None:
    outcome = anyhow("trap 'echo tidy; exit 5' TERM; sleep 3175 & wait", timeout=0.3)
    assert outcome.result.timed_out
    assert outcome.stdout == b"tidy\n"


def test_killing_the_parent_ends_nothing_but_itself(sandboxed: Try) -> None:
    outcome = sandboxed("kill -9 $PPID; kill -9 1; kill -9 -1; echo still here")
    assert outcome.stdout == b"still here\n"
    assert outcome.result.exit_code == 0


def test_deleting_the_working_directory_hurts_only_itself(anyhow: Try) -> None:
    outcome = anyhow('rm -rf "$HOME" "$DJED_OUTPUTS"; echo $?')
    assert outcome.result.exit_code == 0
    assert (outcome.home / "outputs").is_dir()


# --- Secrets -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.needs("bwrap")
def test_neither_store_nor_home_nor_password_file_can_be_read(sandboxed: Try, data: Path) -> None:
    (data / "secret").write_text("hunter2")
    home = Path.home()
    script = f"cat {data}/secret /etc/shadow; ls {data} {home} /home /root /etc/ssl/private; true"
    outcome = sandboxed(script)
    assert outcome.stdout == b""
    assert outcome.stderr.count(b"No such file") == 7


@pytest.mark.needs("bwrap")
def test_nothing_outside_its_folders_can_be_written(sandboxed: Try) -> None:
    script = "for d in / /usr /etc /dev /run /djed /sys/devices/system /proc/sys/kernel; do touch $d/x && echo $d; done; true"
    outcome = sandboxed(script)
    assert outcome.stdout == b""
    assert outcome.stderr.count(b"\n") == 8


def test_no_variable_of_ours_reaches_it(anyhow: Try, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "UV_DEFAULT_INDEX", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "hunter2")
    outcome = anyhow("env; cat /proc/$PPID/environ; true")
    assert b"hunter2" not in outcome.stdout
    names = {line.split(b"=")[0] for line in outcome.stdout.splitlines() if b"=" in line}
    assert {b"PATH", b"HOME", b"TMPDIR", b"LANG", b"DJED_OUTPUTS"} <= names


@pytest.mark.needs("bwrap")
def test_the_loopback_of_the_machine_is_out_of_reach(sandboxed: Try) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        connect = f"import socket; socket.create_connection(('127.0.0.1', {port}), 2); print('reached')"
        outcome = sandboxed(f'/usr/bin/python3 -I -c "{connect}"')
    assert b"reached" not in outcome.stdout
    assert b"ConnectionRefused" in outcome.stderr or b"unreachable" in outcome.stderr


@pytest.mark.needs("bwrap")
def test_a_result_cannot_be_forged(sandboxed: Try) -> None:
    outcome = sandboxed('for d in . .. /djed "$DJED_OUTPUTS"; do echo "{}" > $d/result.json; done; exit 9')
    assert outcome.result.exit_code == 9


# --- Links ---------------------------------------------------------------------------------------------------------------------------


def test_links_in_outputs_are_listed_and_never_followed(anyhow: Try) -> None:
    outcome = anyhow('cd "$DJED_OUTPUTS"; ln -s /etc/shadow link; ln -s / all; mkfifo pipe; echo x > real')
    found = {entry.path: entry.kind for entry in fs.walk_regular(outcome.home / "outputs")}
    assert found == {"all": "skipped", "link": "skipped", "pipe": "skipped", "real": "file"}


def test_outputs_replaced_by_a_link_become_an_empty_folder(data: Path) -> None:
    (data / "elsewhere").mkdir()
    (data / "elsewhere/kept").write_text("x")
    script = f'rm -rf "$DJED_OUTPUTS"; ln -s {data}/elsewhere "$DJED_OUTPUTS"'
    outcome = _attempt(data, "process", script, Limits())
    assert not (outcome.home / "outputs").is_symlink()
    assert list((outcome.home / "outputs").iterdir()) == []
    assert (data / "elsewhere/kept").exists()


def test_what_cannot_be_entered_is_still_removed(anyhow: Try, data: Path) -> None:
    outcome = anyhow('cd "$DJED_OUTPUTS"; mkdir -p a/b; touch a/b/c; chmod 0 a/b a; ln -s /etc/passwd l')
    fs.remove_tree(outcome.home)
    assert not outcome.home.exists()
    assert Path("/etc/passwd").exists()
