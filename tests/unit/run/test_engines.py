"""What is remembered of engines, what makes it void, and which of several executables is taken. Nothing is started here."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from djed.errors import ToolError
from djed.model.engine import ContainerEngine
from djed.run import engine_trials, engines, runtimes
from djed.run.engine_trials import Ground, Outcome

Trial = Callable[[Path, Ground], Outcome]


@pytest.fixture
def bins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two folders on the PATH, and nothing else."""
    folders = (tmp_path / "a", tmp_path / "b")
    for folder in folders:
        folder.mkdir()
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, folders)))
    monkeypatch.setattr(Ground, "_fill", lambda _: None)
    return folders


def _program(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def _trial(
    monkeypatch: pytest.MonkeyPatch, name: str, outcomes: dict[Path, Outcome | ToolError]
) -> list[Path]:
    """Each executable does what is said; returns those that were tried."""
    tried: list[Path] = []

    def act(path: Path, _: Ground) -> Outcome:
        tried.append(path)
        outcome = outcomes[path]
        if isinstance(outcome, ToolError):
            raise outcome
        return outcome

    monkeypatch.setattr(engine_trials, "TRIALS", {**engine_trials.TRIALS, name: act})
    return tried


def _docker(path: Path, kit: str, *, runs: bool = True) -> ContainerEngine:
    return ContainerEngine(
        name="docker", version="1", path=str(path), runs=runs, builds=True, variables={"DOCKER_BUILDKIT": kit}
    )


def test_without_engines_there_is_a_reason_for_each(bins: tuple[Path, Path], data: Path) -> None:
    assert engines.remembered(data) is None
    assert engines.reasons(data) == {}
    assert engines.probe(data) == ()
    assert engines.remembered(data) == ()
    assert engines.reasons(data) == {
        name: f"{name} is not on this machine." for name in ("podman", "buildah", "docker")
    }


def test_it_is_tried_once(bins: tuple[Path, Path], data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _program(bins[0], "docker")
    engine = _docker(path, "1")
    tried = _trial(monkeypatch, "docker", {path: Outcome(engine=engine)})
    assert engines.probe(data) == engines.probe(data) == engines.remembered(data) == (engine,)
    assert tried == [path]
    assert "docker" not in engines.reasons(data)
    engines.probe(data, again=True)
    assert tried == [path, path]


@pytest.mark.parametrize("change", ["executable", "socket", "setting", "boot"])
def test_what_it_rests_on_makes_it_void(
    bins: tuple[Path, Path], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    socket = tmp_path / "d.sock"
    socket.touch()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{socket}")
    path = _program(bins[0], "docker")
    _trial(monkeypatch, "docker", {path: Outcome(engine=_docker(path, "1"))})
    engines.probe(data)
    if change == "executable":
        _program(bins[1], "podman")
    elif change == "socket":
        socket.unlink()
    elif change == "setting":
        monkeypatch.setenv("DOCKER_HOST", "unix:///elsewhere")
    else:
        boot = tmp_path / "boot_id"
        boot.write_text("another\n")
        monkeypatch.setattr(engines, "_BOOT_ID", boot)
    assert engines.remembered(data) is None


def test_a_broken_memory_is_no_memory(bins: tuple[Path, Path], data: Path) -> None:
    for text in ("", "[]", "{", json.dumps({"key": 1})):
        (data / "engines.json").write_text(text)
        assert engines.remembered(data) is None
        assert engines.reasons(data) == {}


def test_the_client_that_works_is_taken(
    bins: tuple[Path, Path], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (_program(folder, "docker") for folder in bins)
    engine = _docker(second, "1")
    _trial(
        monkeypatch,
        "docker",
        {
            first: ToolError("docker failed with exit code 1.", hint="permission denied"),
            second: Outcome(engine=engine),
        },
    )
    assert engines.probe(data) == (engine,)


def test_the_client_with_buildkit_is_taken(
    bins: tuple[Path, Path], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (_program(folder, "docker") for folder in bins)
    outcomes: dict[Path, Outcome | ToolError] = {
        first: Outcome(engine=_docker(first, "0")),
        second: Outcome(engine=_docker(second, "1")),
    }
    _trial(monkeypatch, "docker", outcomes)
    assert [engine.path for engine in engines.probe(data)] == [str(second)]


def test_what_it_cannot_do_is_told(
    bins: tuple[Path, Path], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _program(bins[0], "docker")
    outcome = Outcome(
        engine=_docker(path, "1", runs=False), complaints=("docker runs no container here: no space.",)
    )
    _trial(monkeypatch, "docker", {path: outcome})
    assert not engines.probe(data)[0].runs
    assert engines.reasons(data)["docker"] == "docker runs no container here: no space."


def test_the_same_executable_is_tried_once(bins: tuple[Path, Path]) -> None:
    path = _program(bins[0], "docker")
    (bins[1] / "docker").symlink_to(path)
    assert engines.everywhere("docker") == [path]


@pytest.mark.parametrize(
    ("runtime", "known"),
    [
        ("runc 1.1.5", 4),
        ("runc 1.1.12", 3),
        ("runc 1.2.7", 3),
        ("runc 1.2.8", 0),
        ("runc 1.3.2", 3),
        ("runc 1.3.3", 0),
        ("runc 1.4.0", 0),
        ("crun 1.8.1", 0),
        ("runc", 0),
        (None, 0),
    ],
)
def test_known_bad_runtimes_are_warned_of(runtime: str | None, known: int) -> None:
    warning = runtimes.warning(runtime)
    assert (warning or "").count("CVE-") == known
    assert warning is None or "unless your distribution fixed it" in warning
