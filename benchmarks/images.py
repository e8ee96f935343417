"""Environments on an image: the next stack of a sweep, its image written without an engine, and an identical build once more.

The engine is in this process; the bare side is uv alone, into an environment that is there already. All caches are warm.
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bar import NotMeasuredError, Row, alternate, environment, place, python, remove, timed, uv
from djed.config import load
from djed.intake import Submission
from djed.model.inspection import Inspection
from djed.model.quantity import format_duration
from djed.model.request import Build, Environment, Package, Request
from djed.run.engines import probe
from djed.service import Engine
from tests.support.images import debian_root

BAR = 1.5
BAR_LAYER = 0.5
BAR_CACHED = 0.1
ROUNDS = 5
PYTHON = "3.11"
NATIVE = ("libgomp1",)
STACKS = (("numpy==2.1.2", "pandas==2.2.2"), ("numpy==2.1.3", "pandas==2.2.3"))
NEWEST = "2026-01-01"


def measure() -> Iterator[Row]:
    """Three rows."""
    if shutil.which("mmdebstrap") is None:
        raise NotMeasuredError(
            "there is no mmdebstrap to make a base with (Debian: apt-get install mmdebstrap)"
        )
    with place() as folder:
        data = folder / "data"
        data.mkdir()
        if not any(engine.builds for engine in probe(data)):
            raise NotMeasuredError("there is no container engine for the native packages of the base")
        with Engine.open(load({"data": str(data)})) as engine, engine.working():
            sides = _Sides(folder, engine)
            sides.prepare()
            yield _sweep(sides)
            yield _layer(sides)
            yield _cached(sides)


def _sweep(sides: _Sides) -> Row:
    medians = alternate(ROUNDS, {"Djed": sides.rebuilt, "uv": sides.bare})
    own, bare = medians["Djed"], medians["uv"]
    return Row(
        what="second stack of a sweep on one base with native packages (numpy, pandas): its build, warm",
        bar=f"≤ {BAR:g} x uv pip install",
        measured=f"{own / bare:.2g} x ({format_duration(own)})",
        beside=f"uv pip install {format_duration(bare)}",
        holds=own <= BAR * bare,
    )


def _layer(sides: _Sides) -> Row:
    """What the image costs beyond the environment, and whether it is the same each time."""
    made = [sides.packaged() for _ in range(ROUNDS)]
    own = statistics.median(seconds for seconds, _ in made)
    digests = {digest for _, digest in made}
    return Row(
        what="OCI image of that stack, written without an engine: time over uv's own",
        bar=f"≤ {format_duration(BAR_LAYER)}, one digest",
        measured=f"{format_duration(own)}, {len(digests)} digest{'s' if len(digests) > 1 else ''} of {len(made)} times",
        holds=own <= BAR_LAYER and len(digests) == 1,
    )


def _cached(sides: _Sides) -> Row:
    own = alternate(ROUNDS, {"own": sides.cached})["own"]
    return Row(
        what="an identical build with its image, in-process",
        bar=f"≤ {format_duration(BAR_CACHED)}",
        measured=format_duration(own),
        holds=own <= BAR_CACHED,
    )


@dataclass
class _Sides:
    """Both ways to the same environment, in one folder."""

    folder: Path
    engine: Engine

    def prepare(self) -> None:
        """The base with its native packages, both stacks once, and uv's own cache."""
        for packages in STACKS:
            self._build(packages, package=("image",))
        self._env = environment(UV_CACHE_DIR=str(self.folder / "cache"), UV_EXCLUDE_NEWER=NEWEST)
        self.bare()

    def rebuilt(self) -> float:
        """Seconds of the job that builds the second stack, its lock and what lies below being known."""
        remove(self.folder / "data/artifacts/venv")
        return self._seconds(self._build(STACKS[1]), "build")

    def bare(self) -> float:
        """Seconds of uv alone, for the same packages."""
        venv = self.folder / "venv"
        remove(venv)
        timed(uv(), "venv", "-q", "--python", python(PYTHON), venv, env=self._env)
        return timed(uv(), "pip", "install", "-q", "--python", venv / "bin/python", *STACKS[1], env=self._env)

    def packaged(self) -> tuple[float, str]:
        """Seconds of the job that writes the image, and its digest."""
        before = self._build(STACKS[1], package=("image",))
        remove(self.folder / "data/artifacts/image" / before.packaged["image"].partition(":")[2])
        item = self._build(STACKS[1], package=("image",))
        artifact = self.engine.artifact(item.packaged["image"])
        if artifact is None or artifact.image is None:
            raise RuntimeError("the image is not there")
        return self._seconds(item, "package:image"), artifact.image.digest

    def cached(self) -> float:
        """Seconds of a build of which everything is there."""
        start = time.perf_counter()
        self._build(STACKS[1], package=("image",))
        return time.perf_counter() - start

    def _build(self, packages: Sequence[str], *, package: tuple[Package, ...] = ()) -> Inspection:
        asked = Environment(
            base=f"rootfs:{debian_root(('python3', 'ca-certificates'))}",
            native=NATIVE,
            packages=tuple(packages),
            exclude_newer=NEWEST,
        )
        request = Request(name="images", environment=asked, build=Build(package=package), until="build")
        (item,) = self.engine.submit([Submission(request=request)])
        (item,) = self.engine.wait([item.id])
        if item.outcome != "succeeded":
            raise RuntimeError(f"the build ended with {item.failure}")
        return item

    def _seconds(self, item: Inspection, role: str) -> float:
        """Of one of its jobs."""
        (job,) = [job for job in self.engine.jobs(item.id) if job.role == role]
        return float((job.result or {})["duration"])
