"""What every test stands on: a clean environment, its own data folder, and real parts that are probed before they are used.

``@pytest.mark.needs("bwrap", "index")`` names the real parts of a test. A part that does not answer its probe skips the test with the
reason printed; under ``CI`` it fails it, but for old Pythons, which no package of a plain Debian brings.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import count
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

from tests.support.postgres import Cluster, cluster, find_programs

CI = bool(os.environ.get("CI"))

# Deadlines and random seeds make a shared machine's bad minute look like a bug.
settings.register_profile("djed", deadline=None, derandomize=CI, database=None, max_examples=50 if CI else 20)
settings.load_profile("djed")

# What uv needs to reach the machine's index stays; all else that could steer Djed, uv or what they print is taken away.
KEPT = frozenset({"UV_DEFAULT_INDEX", "UV_SYSTEM_CERTS", "UV_PYTHON_DOWNLOADS"})
STEERING: tuple[str, ...] = ("DJED_", "UV_", "XDG_", "OMP_", "PYTHONWARNINGS", "PYTHONPATH", "VIRTUAL_ENV")
STEERING += ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "PG")


# --- Real parts ----------------------------------------------------------------------------------------------------------------------


def _run(*command: str, given: str = "", timeout: float = 30) -> str | None:
    """Why the command does not work here, or None where it does."""
    try:
        done = subprocess.run(
            command, input=given, capture_output=True, text=True, timeout=timeout, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
    return None if done.returncode == 0 else lines[-1]


def uv_executable() -> str:
    """The uv that lies beside this Python, else the one on the PATH."""
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.exists() else shutil.which("uv") or "uv"


def _uv() -> str | None:
    return _run(uv_executable(), "--version")


def _bwrap() -> str | None:
    return _run(
        "bwrap", "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--proc", "/proc", "true"
    )


def _cgroup() -> str | None:
    """A group of our own can be made: in the memory hierarchy of v1, or in the root of v2."""
    root = Path("/sys/fs/cgroup")
    parent = root if (root / "cgroup.controllers").exists() else root / "memory"
    if not parent.is_dir():
        return "no cgroup hierarchy is mounted"
    try:
        Path(tempfile.mkdtemp(prefix="djed-probe-", dir=parent)).rmdir()
    except OSError as error:
        return f"no group can be made: {error.strerror}"
    return None


def _index() -> str | None:
    """The index that uv is configured with answers, and uv's cache is not what answers for it."""
    command = (uv_executable(), "pip", "compile", "--quiet", "--no-cache", "--python", sys.executable, "-")
    return _run(*command, given="iniconfig==2.0.0\n")


def _gcc() -> str | None:
    return _run(
        "gcc", "-fsyntax-only", "-x", "c", "-", given="#include <stdio.h>\nint main(void) { return 0; }\n"
    )


def _postgresql() -> str | None:
    """A server can be made here, and spoken with."""
    if importlib.util.find_spec("psycopg") is None:
        return "psycopg is not installed"
    if find_programs() is None:
        return "there is no initdb (Debian: apt-get install postgresql)"
    return _run("runuser", "-u", "postgres", "--", "true") if os.geteuid() == 0 else None


def _root() -> str | None:
    return None if os.geteuid() == 0 else "not root"


def _program(name: str, *arguments: str) -> Callable[[], str | None]:
    """A part that is there when a program of that name answers."""
    return lambda: _run(name, *(arguments or ("--version",)))


def find_python(version: str) -> str | None:
    """An executable of that version (``3.6``): this one, one on the PATH that starts, or the newest that pyenv keeps."""
    if version == f"{sys.version_info.major}.{sys.version_info.minor}":
        return sys.executable
    kept = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python{version}"), reverse=True)
    for candidate in (shutil.which(f"python{version}"), *map(str, kept)):
        if candidate and _run(candidate, "-c", "") is None:
            return candidate
    return None


PARTS: dict[str, Callable[[], str | None]] = {
    "uv": _uv,
    "bwrap": _bwrap,
    "cgroup": _cgroup,
    "index": _index,
    "gcc": _gcc,
    "postgresql": _postgresql,
    "root": _root,
    "podman": _program("podman"),
    "buildah": _program("buildah"),
    "dockerd": _program("dockerd"),
    "skopeo": _program("skopeo"),
    "umoci": _program("umoci"),
    "runsc": _program("runsc"),
    "mmdebstrap": _program("mmdebstrap"),
    "mksquashfs": _program("mksquashfs", "-help"),
    "registry": _program("docker-registry"),
}


@cache
def missing(part: str) -> str | None:
    """Why the part cannot be used here, or None where it can. Raises ``pytest.UsageError`` for a part that nobody knows."""
    if re.fullmatch(r"python\d\.\d+", part):
        return None if find_python(part.removeprefix("python")) else "no such interpreter here"
    if part not in PARTS:
        raise pytest.UsageError(f"No part is called {part!r}; known: {', '.join(PARTS)}, python3.N")
    return PARTS[part]()


def lacking(parts: Sequence[str], *, ci: bool) -> tuple[str, bool] | None:
    """The first part that is missing, as a sentence, and whether that is a failure."""
    for part in parts:
        if (reason := missing(part)) is not None:
            return f"needs {part}: {reason}", ci and not part.startswith("python")
    return None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, or under CI fail, a test whose real parts are not here."""
    parts = [str(part) for mark in item.iter_markers("needs") for part in mark.args]
    if found := lacking(parts, ci=CI):
        sentence, fatal = found
        if fatal:
            pytest.fail(f"{sentence} (under CI a missing part is a failure)", pytrace=False)
        pytest.skip(sentence)


# --- A clean place -------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which each test's data folder will be; its ``bin`` holds the uv that the tests use."""
    root = tmp_path_factory.mktemp("djed")
    (root / "bin").mkdir()
    (root / "bin/uv").symlink_to(uv_executable())
    return root


@pytest.fixture(autouse=True)
def environment_is_left_as_found() -> Iterator[None]:
    """Fail a test that leaves the environment changed. Set up first, so it looks after monkeypatch has put things back."""
    before = _environment()
    yield
    after = _environment()
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if changed:
        for name in changed:
            os.environ.pop(name, None)
        os.environ.update({name: before[name] for name in changed if name in before})
        pytest.fail(f"left changed in the environment: {', '.join(changed)}", pytrace=False)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}


_numbers = count()


@pytest.fixture(autouse=True)
def isolation(environment_is_left_as_found: None, monkeypatch: pytest.MonkeyPatch, data_root: Path) -> None:
    """No setting of the developer's reaches a test, and what Djed keeps lies in a folder of the test's own."""
    for name in [name for name in os.environ if name.startswith(STEERING) and name not in KEPT]:
        monkeypatch.delenv(name)
    place = data_root / str(next(_numbers))
    monkeypatch.setenv("DJED_DATA", str(place))
    monkeypatch.setenv("DJED_CONFIG", str(place) + ".toml")
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    monkeypatch.setenv("PATH", str(data_root / "bin"), prepend=os.pathsep)


@pytest.fixture
def data(isolation: None) -> Path:
    """The test's data folder, made."""
    place = Path(os.environ["DJED_DATA"])
    place.mkdir(parents=True)
    return place


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    """A PostgreSQL server for all tests of the session; who uses it needs the part ``postgresql``."""
    with cluster() as server:
        yield server


@pytest.fixture
def database_url(postgresql: Cluster) -> Iterator[str]:
    """The address of a database of the test's own, with the tables of a store."""
    name = postgresql.create_store()
    yield postgresql.url(name)
    postgresql.drop(name)


@pytest.fixture(scope="session")
def tool() -> Callable[[str], ModuleType]:
    """Loads a module of ``tools`` by its name."""

    @cache
    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, Path(__file__).parent.parent / f"tools/{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load
