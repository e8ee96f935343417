"""Jobs with secrets, with real processes and sandboxes: they have them as files, and nobody else ever sees them."""

from __future__ import annotations

import base64
import os
import signal
import stat
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from djed.config import Config
from djed.errors import NotFoundError
from djed.model.job import Attempt, Handle, Limits
from djed.model.request import SANDBOX_LEVELS, SandboxLevel
from djed.model.result import Result
from djed.model.secret import SECRET_SIZE, SECRETS_PER_REQUEST
from djed.run import secrets
from djed.run.local import LocalRunner
from djed.run.sandbox import Sandbox
from djed.testing.runner_contract import shell, wait
from djed.toolbox.watch import Watch
from tests.support.leaks import MEMORY, leaks

TOKEN = b"s3cr3t/t0ken+with%20signs " + os.urandom(4).hex().encode()  # not that of a test beside us
KEY = b"-----BEGIN THING-----\n" + base64.encodebytes(bytes(range(200))) + b"-----END THING-----\n"
VALUES = {"token": TOKEN, "key.pem": KEY}
LEVELS = ("none", "process", pytest.param("bwrap", marks=pytest.mark.needs("bwrap")))


class Vault:
    """Materials that hold nothing but secrets."""

    def __init__(self, values: Mapping[str, bytes]) -> None:
        self.values = dict(values)

    def blob(self, digest: str) -> Path:
        raise NotFoundError(digest)

    def artifact(self, digest: str) -> Path:
        raise NotFoundError(digest)

    def secret(self, namespace: str, name: str) -> bytes:
        if namespace != "team" or name not in self.values:
            raise NotFoundError(f"There is no secret {name}.")
        return self.values[name]


class Bench:
    def __init__(self, data: Path, level: SandboxLevel) -> None:
        self.data = data
        self.level = level
        self.vault = Vault(VALUES)

    def runner(self) -> LocalRunner:
        levels = SANDBOX_LEVELS[: SANDBOX_LEVELS.index(self.level) + 1]
        return LocalRunner(self.data / "attempts", self.vault, config=Config(data=self.data), levels=levels)

    def home(self, attempt: Attempt) -> Path:
        return self.data / "attempts" / attempt.name

    def complete(self, attempt: Attempt) -> Result:
        runner = self.runner()
        handle = runner.submit(attempt)
        assert wait(runner, handle).state == "over"
        return runner.collect(handle, self.home(attempt))

    def said(self, attempt: Attempt, stream: str = "stdout") -> bytes:
        return (self.home(attempt) / stream).read_bytes()

    def until(self, attempt: Attempt, text: bytes) -> None:
        """Wait until the script has said something."""
        end = time.monotonic() + 20
        handle = Handle(name=attempt.name, target="local")
        with Watch([self.home(attempt)]) as watch:
            while text not in b"".join(self.runner().logs(handle)):
                assert time.monotonic() < end, f"never said {text!r}"
                watch.wait(0.05)


@pytest.fixture(params=LEVELS)
def bench(request: pytest.FixtureRequest, data: Path) -> Bench:
    return Bench(data, request.param)


def confided(script: str, *names: str, limits: Limits | None = None) -> Attempt:
    attempt = shell(script, limits=limits)
    return replace(attempt, job=replace(attempt.job, secrets=names or tuple(VALUES), namespace="team"))


def in_memory(attempt: Attempt) -> list[Path]:
    return list(MEMORY.glob(f"{attempt.name}.*"))


def test_each_is_a_file_for_its_job_alone(bench: Bench) -> None:
    attempt = confided('cd "$DJED_SECRETS" && stat -c "%n %a %s" * && wc -c < token && sha256sum < key.pem')
    result = bench.complete(attempt)
    assert result.exit_code == 0, bench.said(attempt, "stderr")
    lines = bench.said(attempt).decode().splitlines()
    assert lines[:3] == [f"key.pem 400 {len(KEY)}", f"token 400 {len(TOKEN)}", str(len(TOKEN))]
    assert in_memory(attempt) == []


def test_a_job_without_secrets_has_no_folder_for_them(bench: Bench) -> None:
    attempt = shell('echo "${DJED_SECRETS-none}"; ls -d /djed/secrets')
    bench.complete(attempt)
    assert bench.said(attempt) == b"none\n"


def test_what_the_job_says_is_masked_in_every_form(bench: Bench) -> None:
    attempt = confided(
        'cat "$DJED_SECRETS/token" "$DJED_SECRETS/key.pem"; base64 < "$DJED_SECRETS/key.pem"; echo;'
        ' printf "user:%s" "$(cat "$DJED_SECRETS/token")" | base64; echo END;'
        f' echo "{quote(TOKEN.decode(), safe="")}" >&2; cat "$DJED_SECRETS/token" >&2'
    )
    bench.complete(attempt)
    out, err = bench.said(attempt), bench.said(attempt, "stderr")
    assert err == b"***\n***"
    assert out.startswith(b"***")
    assert out.endswith(b"END\n")
    hidden = [
        TOKEN,
        *KEY.splitlines()[1:-1],
        base64.b64encode(KEY)[:40],
        base64.b64encode(b"user:" + TOKEN)[8:30],
    ]
    assert [part for part in hidden if part in out] == []


def test_while_it_runs_no_file_of_ours_and_no_process_shows_it(bench: Bench) -> None:
    attempt = confided('cat "$DJED_SECRETS/token"; echo; echo ready; sleep 60')
    runner = bench.runner()
    handle = runner.submit(attempt)
    bench.until(attempt, b"ready")
    assert leaks(bench.data, TOKEN) == []
    shown = [
        path
        for process in Path("/proc").glob("[0-9]*")
        for path in (process / "cmdline", process / "environ")
        if _contains(path, TOKEN)
    ]
    assert shown == []
    if bench.level != "bwrap":
        (folder,) = in_memory(attempt)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert leaks(MEMORY, TOKEN) == [folder / "token" for folder in in_memory(attempt)]
    runner.cancel(handle)
    assert wait(runner, handle).state == "over"
    assert in_memory(attempt) == []


def _contains(path: Path, secret: bytes) -> bool:
    try:
        return secret in path.read_bytes()
    except OSError:  # it has just ended
        return False


def test_files_that_hold_one_are_not_kept(bench: Bench) -> None:
    attempt = confided(
        'cd "$DJED_OUTPUTS"; mkdir -p a/b; echo fine > a/fine; cp "$DJED_SECRETS/token" a/b/copy;'
        ' base64 < "$DJED_SECRETS/key.pem" > key.txt; ln -s a/b/copy link; chmod 500 a/b;'
        ' (head -c 3000000 /dev/zero; cat "$DJED_SECRETS/token") > late; touch "x$(head -c 6 "$DJED_SECRETS/short")y"'
    )
    bench.vault.values["short"] = b"sixsix"
    attempt = replace(attempt, job=replace(attempt.job, secrets=(*VALUES, "short")))
    result = bench.complete(attempt)
    assert result.exit_code == 0, bench.said(attempt, "stderr")
    assert sorted(result.skipped) == [
        "a/b/copy: contains the secret token",
        "key.txt: contains the secret key.pem",
        "late: contains the secret token",
        "x***y: its name contains the secret short",
    ]
    outputs = bench.home(attempt) / "outputs"
    assert sorted(path.name for path in outputs.rglob("*") if not path.is_dir()) == ["fine", "link"]
    assert leaks(bench.data, TOKEN) == []


def test_killed_in_the_middle_it_leaves_no_secret(bench: Bench) -> None:
    attempt = confided('cat "$DJED_SECRETS/token"; echo ready; sleep 60')
    runner = bench.runner()
    handle = runner.submit(attempt)
    bench.until(attempt, b"ready")
    descriptor = runner.fileno(handle)
    assert descriptor is not None
    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    assert wait(runner, handle).state == "lost"
    result = runner.collect(handle, bench.home(attempt))
    assert result.lost
    assert in_memory(attempt) == []
    assert leaks(bench.data, TOKEN) == []
    runner.release(handle)
    assert not bench.home(attempt).exists()


@pytest.mark.parametrize("moment", [0.0, 0.02, 0.03, 0.04, 0.05, 0.06])
def test_killed_at_any_moment_it_leaves_no_folder(data: Path, moment: float) -> None:
    bench = Bench(data, "process")
    attempt = confided("sleep 0.01")
    runner = bench.runner()
    handle = runner.submit(attempt)
    descriptor = runner.fileno(handle)
    assert descriptor is not None
    time.sleep(moment)
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    wait(runner, handle)
    runner.collect(handle, bench.home(attempt))
    assert in_memory(attempt) == []


def test_found_again_by_another_engine_it_has_them_still(bench: Bench) -> None:
    attempt = confided('echo ready; until test -e go; do sleep 0.02; done; wc -c < "$DJED_SECRETS/token"')
    bench.runner().submit(attempt)
    bench.until(attempt, b"ready")
    bench.vault.values.clear()
    second = bench.runner()
    handle = second.find(attempt)
    assert handle is not None
    (bench.home(attempt) / "inputs" / "go").touch()
    assert wait(second, handle).state == "over"
    assert bench.said(attempt) == b"ready\n%d\n" % len(TOKEN)


def test_a_job_directory_whose_shim_never_started_gets_them_by_find(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = confided('wc -c < "$DJED_SECRETS/token"')
    with monkeypatch.context() as patch:
        patch.setattr(LocalRunner, "_spawn", lambda *_: None)
        bench.runner().submit(attempt)
    runner = bench.runner()
    handle = runner.find(attempt)
    assert handle is not None
    assert wait(runner, handle).state == "over"
    assert bench.said(attempt) == b"%d\n" % len(TOKEN)


def test_an_unknown_one_starts_nothing(bench: Bench) -> None:
    attempt = confided("true", "other")
    with pytest.raises(NotFoundError, match="no secret other"):
        bench.runner().submit(attempt)
    assert not bench.home(attempt).exists()


def test_without_a_place_in_memory_they_lie_in_the_job_directory_as_long_as_it_runs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = bench.data / "mounts"
    mounts.write_text("25 24 0:23 / / rw - tmpfs tmpfs rw\n30 25 8:1 / /dev/shm rw - ext4 /dev/sda1 rw\n")
    monkeypatch.setattr(secrets, "_MOUNTS", mounts)
    attempt = confided('cat "$DJED_SECRETS/token" && echo "$DJED_SECRETS"')
    bench.complete(attempt)
    place = "/djed/secrets" if bench.level == "bwrap" else str(bench.home(attempt) / "secrets")
    assert bench.said(attempt).decode() == f"***{place}\n"
    assert leaks(bench.data, TOKEN) == []


def test_as_many_as_there_may_be_and_as_large_reach_the_job(bench: Bench) -> None:
    names = tuple(f"n{number}" for number in range(SECRETS_PER_REQUEST))
    bench.vault.values = dict.fromkeys(names, b".") | {
        "n0": os.urandom(SECRET_SIZE),
        "n1": b"x" * SECRET_SIZE,
    }
    attempt = confided('cat "$DJED_SECRETS"/* | wc -c', *names)
    bench.complete(attempt)
    assert bench.said(attempt) == b"%d\n" % (2 * SECRET_SIZE + len(names) - 2)


@pytest.mark.parametrize(
    "version", [pytest.param(text, marks=pytest.mark.needs(f"python{text}")) for text in ("3.6", "3.8")]
)
def test_the_shim_of_an_old_python_hands_them_over_and_masks_them(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    candidates = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}"))
    if not candidates:
        pytest.skip("not where pyenv keeps it")
    monkeypatch.setattr(sys, "executable", str(candidates[-1]))
    attempt = confided(
        'cp "$DJED_SECRETS/token" "$DJED_OUTPUTS"; cat "$DJED_SECRETS/token"; base64 "$DJED_SECRETS/token"'
    )
    result = bench.complete(attempt)
    assert (bench.said(attempt), result.exit_code) == (b"******\n", 0)
    assert result.skipped == ("token: contains the secret token",)
    assert (bench.home(attempt) / "shim.log").read_text() == ""
    assert in_memory(attempt) == []


@pytest.mark.needs("bwrap")
def test_as_an_older_bubblewrap_is_told_they_can_be_read_and_not_written(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sandbox, "is_recent", lambda _: False)
    bench = Bench(data, "bwrap")
    attempt = confided('cd "$DJED_SECRETS"; wc -c < token; echo x > token || rm -f token || echo kept')
    bench.complete(attempt)
    assert bench.said(attempt) == b"%d\nkept\n" % len(TOKEN)
