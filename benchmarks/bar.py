"""What every bar is measured with: rows, alternating sides, and a place that goes away."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from djed.model.quantity import format_duration

__all__ = [
    "NotMeasuredError",
    "Row",
    "alternate",
    "beside",
    "place",
    "python",
    "remove",
    "timed",
    "tool",
    "uv",
]

ROOT = Path(__file__).resolve().parent.parent


class NotMeasuredError(Exception):
    """Why a bar cannot be measured on this machine, as a sentence."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One line of the table."""

    what: str
    bar: str
    measured: str
    beside: str = ""
    """What was measured beside it in the same run."""
    holds: bool


def alternate(rounds: int, sides: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """The median seconds of each side, measured A B A B … so that a bad minute of the machine hits all of them.

    A side prepares, and then returns the seconds that count. A round before the first is not counted.
    """
    values: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, side in sides.items():
            seconds = side()
            if number:
                values[name].append(seconds)
    return {name: statistics.median(each) for name, each in values.items()}


def beside(own: float, others: Mapping[str, float]) -> str:
    """The other sides, each with its ratio to ours."""
    return ", ".join(
        f"{name} {format_duration(value)} ({value / own:.2g} x)" for name, value in others.items()
    )


def timed(*command: str | Path, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> float:
    """Seconds of a command. Raises ``RuntimeError`` with the end of its output where it fails."""
    start = time.perf_counter()
    done = subprocess.run(
        command, cwd=cwd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"{Path(command[0]).name} ended with {done.returncode}:\n{done.stdout[-2000:]}")
    return seconds


@contextmanager
def place() -> Iterator[Path]:
    """A folder on the disk of the repository, so that caches and environments share it; removed afterwards."""
    (ROOT / ".make/bench").mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=ROOT / ".make/bench"))
    try:
        yield folder
    finally:
        remove(folder)


def remove(folder: Path) -> None:
    """Remove a folder with what is read-only in it."""
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def environment(**changes: str) -> dict[str, str]:
    """The environment of a measured command: this one, with our commands in front and no settings of Djed's."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("DJED_") and name not in {"VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE"}
    }
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
    return {**kept, "PATH": path, "UV_PYTHON_DOWNLOADS": "never", "NO_COLOR": "1", **changes}


def tool(name: str) -> Path:
    """A command that lies beside this Python. Raises ``NotMeasuredError``."""
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        raise NotMeasuredError(f"{name} is not installed beside this Python (make bench installs it)")
    return path


def uv() -> Path:
    """The uv that Djed itself uses."""
    return tool("uv")


def python(version: str) -> str:
    """A real executable of that Python. Raises ``NotMeasuredError``."""
    if sys.version_info[:2] == tuple(map(int, version.split("."))):
        return str(Path(sys.base_prefix, "bin", f"python{version}").resolve())
    done = subprocess.run(
        [uv(), "python", "find", "-q", "--system", version], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NotMeasuredError(f"there is no Python {version} on this machine")
    return done.stdout.strip()
