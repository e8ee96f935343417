"""What a warm ``djed inspect`` costs beyond the bare commands: uv venv, uv pip install, python."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.bar import Row, alternate, environment, place, python, remove, timed, tool, uv
from djed.model.quantity import format_duration

BAR = 0.100
PIN = "numpy==2.1.3"
REQUEST = """\
name: overhead
environment: {{python: "{version}", packages: ["{pin}"], exclude_newer: 2026-11-01}}
run: {{script: use.py}}
"""
SCRIPT = "import numpy\nprint(numpy.arange(3).sum())\n"


def measure() -> Iterator[Row]:
    """Two rows: with the environment kept, and with it built again from a warm cache."""
    version = "3.11"
    interpreter = python(version)
    with place() as folder:
        (folder / "use.py").write_text(SCRIPT)
        (folder / "inspection.yaml").write_text(REQUEST.format(version=version, pin=PIN))
        sides = _Sides(folder, interpreter)
        medians = alternate(9, {"bare": sides.bare, "kept": sides.kept, "rebuilt": sides.rebuilt})
    for name, words in (("kept", "environment kept"), ("rebuilt", "environment built again, lock kept")):
        overhead = medians[name] - medians["bare"]
        yield Row(
            what=f"overhead of `djed inspect` over the bare commands, {words}",
            bar=f"≤ {format_duration(BAR)}",
            measured=_signed(overhead),
            beside=f"bare {format_duration(medians['bare'])}, Djed {format_duration(medians[name])}",
            holds=overhead <= BAR,
        )


def _signed(seconds: float) -> str:
    return f"-{format_duration(-seconds)}" if seconds < 0 else format_duration(seconds)


class _Sides:
    """Both ways to the same end, in one folder."""

    def __init__(self, folder: Path, interpreter: str) -> None:
        self._folder = folder
        self._interpreter = interpreter
        self._data = folder / "data"
        self._env = environment(DJED_DATA=str(self._data), UV_CACHE_DIR=str(folder / "cache"))

    def bare(self) -> float:
        """A new virtual environment, the pinned package from the warm cache, the script."""
        venv = self._folder / "venv"
        remove(venv)
        python_there = venv / "bin/python"
        return (
            timed(uv(), "venv", "-q", "--python", self._interpreter, venv, env=self._env)
            + timed(uv(), "pip", "install", "-q", "--python", python_there, PIN, env=self._env)
            + timed(python_there, self._folder / "use.py", env=self._env)
        )

    def kept(self) -> float:
        """The same inspection once more."""
        return timed(tool("djed"), "inspect", "-q", self._folder / "inspection.yaml", env=self._env)

    def rebuilt(self) -> float:
        """The same, with every artifact gone."""
        remove(self._data / "artifacts")
        return self.kept()
