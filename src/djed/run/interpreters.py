"""The Pythons of this machine: what uv finds and what it does not look at, each asked for itself."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from djed.errors import DjedError, ToolError
from djed.model.codec import decode, encode
from djed.model.hardware import Interpreter
from djed.toolbox.process import run

__all__ = ["find_interpreters", "parse_answer", "parse_uv_list"]

OLDEST = (3, 7)
"""What uv can still make an environment for."""

HOME_PLACES = (
    ".pyenv/versions/*/bin",
    ".asdf/installs/python/*/bin",
    ".local/share/mise/installs/python/*/bin",
)
SYSTEM_PLACES = ("usr/local/bin", "usr/bin", "opt/python*/bin")
"""Where Pythons lie that are not on the PATH, or only behind a shim that refuses to say so."""

_NAME = re.compile(r"python3(\.\d+)?")
_QUESTION = (
    "import json, sys; "
    "print(json.dumps([sys.executable, sys.base_prefix, list(sys.version_info), sys.implementation.name, sys.abiflags]))"
)
_PATIENCE = 5.0
_LEVELS = {"alpha": "a", "beta": "b", "candidate": "rc"}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Remembered:
    """What the last search found; true as long as nothing that it looked at has changed."""

    places: str
    stamps: Mapping[str, str]
    interpreters: tuple[Interpreter, ...]


def find_interpreters(
    uv: str, extra: Sequence[str] = (), *, memory: Path | None = None
) -> tuple[Interpreter, ...]:
    """Every CPython 3.7 or newer on this machine, newest first: real executables, none twice, no environments, no free-threaded builds.

    ``extra`` are further folders or executables. The search takes a second, so ``memory`` is a file in which it is remembered until a
    folder on the PATH, or a Python, changes. What is broken, hangs or answers nonsense is left out.
    """
    places = _fingerprint(uv, extra)
    if memory is not None and (known := _recall(memory, places)) is not None:
        return known
    found: dict[str, tuple[tuple[Any, ...], Interpreter]] = {}
    for path in dict.fromkeys(map(os.path.realpath, _candidates(uv, extra))):
        answer = None if _in_environment(Path(path)) else _ask(path)
        if answer is not None:
            found.setdefault(answer[1].path, answer)
    ordered = tuple(one for _, one in sorted(found.values(), key=lambda answer: answer[0], reverse=True))
    if memory is not None:
        _remember(memory, places, ordered)
    return ordered


def parse_uv_list(output: bytes) -> tuple[str, ...]:
    """Paths of the CPythons in ``uv python list --output-format json``. Raises ``ToolError`` where it is something else."""
    try:
        rows = json.loads(output)
        return tuple(row["path"] for row in rows if row["path"] and row["implementation"] == "cpython")
    except (ValueError, TypeError, KeyError) as error:
        raise ToolError("uv answered something else than a list of Pythons.") from error


def parse_answer(output: bytes) -> tuple[tuple[Any, ...], Interpreter] | None:
    """What an interpreter said of itself, with a key to order it by; ``None`` where it is not one that we can use."""
    try:
        executable, prefix, (major, minor, micro, level, serial), implementation, flags = json.loads(output)
        version = f"{major:d}.{minor:d}.{micro:d}" + (
            f"{_LEVELS[level]}{serial:d}" if level != "final" else ""
        )
        usable = implementation == "cpython" and (major, minor) >= OLDEST and "t" not in flags
        if not usable or not (Path(executable).is_absolute() and Path(prefix).is_absolute()):
            return None
    except (ValueError, TypeError, KeyError):
        return None
    # Levels sort by their first letter: alpha, beta, candidate, final.
    return (major, minor, micro, level, serial), Interpreter(
        path=executable, version=version, prefix=prefix, implementation=implementation
    )


def _candidates(uv: str, extra: Sequence[str]) -> Iterator[str]:
    """Those of uv first: of two Pythons of one version the earlier is preferred."""
    command = [uv, "python", "list", "--only-installed", "--no-config", "--output-format", "json"]
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    with suppress(ToolError):  # a uv that fails here will say so better when it is used
        yield from parse_uv_list(run(command, timeout=30, env=environment).stdout)
    for folder in _places():
        yield from _pythons(folder)
    for name in extra:
        path = Path(name).expanduser()
        if path.is_file():
            yield str(path)
        for folder in (path, path / "bin", *sorted(path.glob("*/bin"))):
            yield from _pythons(folder)


def _places() -> list[Path]:
    found = [folder for pattern in HOME_PLACES for folder in sorted(Path.home().glob(pattern))]
    return found + [folder for pattern in SYSTEM_PLACES for folder in sorted(Path("/").glob(pattern))]


def _pythons(folder: Path) -> Iterator[str]:
    with suppress(OSError):
        for path in sorted(folder.iterdir()):
            if _NAME.fullmatch(path.name) and os.access(path, os.X_OK):
                yield str(path)


def _in_environment(python: Path) -> bool:
    return any((folder / "pyvenv.cfg").exists() for folder in python.parents[:2])


def _ask(path: str) -> tuple[tuple[Any, ...], Interpreter] | None:
    """Ask it who it is: a shim answers with the executable behind it."""
    try:
        answer = parse_answer(run([path, "-I", "-S", "-c", _QUESTION], timeout=_PATIENCE).stdout)
    except (DjedError, OSError):
        return None
    if answer is None:
        return None
    order, said = answer
    real, prefix = Path(said.path).resolve(), Path(said.prefix).resolve()
    if _in_environment(real) or not os.access(real, os.X_OK) or not prefix.is_dir():
        return None
    return order, Interpreter(path=str(real), version=said.version, prefix=str(prefix))


def _fingerprint(uv: str, extra: Sequence[str]) -> str:
    """Of everything whose change can add a Python: the folders that are searched, and how we ask."""
    managed = os.environ.get("UV_PYTHON_INSTALL_DIR") or str(Path.home() / ".local/share/uv/python")
    folders = [uv, *os.environ.get("PATH", "").split(os.pathsep), managed, *extra, *map(str, _places())]
    lines = [_QUESTION, *(f"{folder} {_stamp(folder)}" for folder in folders)]
    return sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()


def _stamp(path: str) -> str:
    try:
        status = Path(path).expanduser().stat()
    except (OSError, ValueError):
        return "missing"
    return f"{status.st_ino} {status.st_size} {status.st_mtime_ns}"


def _recall(memory: Path, places: str) -> tuple[Interpreter, ...] | None:
    try:
        known = decode(_Remembered, json.loads(memory.read_bytes()))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    fresh = known.places == places and all(_stamp(path) == stamp for path, stamp in known.stamps.items())
    return known.interpreters if fresh else None


def _remember(memory: Path, places: str, interpreters: tuple[Interpreter, ...]) -> None:
    known = _Remembered(
        places=places, stamps={one.path: _stamp(one.path) for one in interpreters}, interpreters=interpreters
    )
    with suppress(OSError):  # a search that cannot be remembered is still good
        memory.parent.mkdir(parents=True, exist_ok=True)
        beside = memory.with_name(f"{memory.name}.{os.getpid()}")
        beside.write_text(json.dumps(encode(known)), encoding="utf-8")
        beside.replace(memory)
