"""What a job in a container costs beyond the bare engine's own start."""

from __future__ import annotations

import itertools
import os
import select
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.bar import NotMeasuredError, Row, alternate, place, timed
from djed.config import Config
from djed.errors import NotFoundError
from djed.model.engine import ContainerEngine
from djed.model.job import Attempt, Job
from djed.model.quantity import format_duration
from djed.run import container, engines
from djed.run.engine_trials import Ground
from djed.run.local import LocalRunner
from djed.toolbox import rootfs

BAR = 0.050
ROUNDS = 15
COMMAND = ("/bin/sh", "-c", "true")
DIGEST = "sha256:" + "0" * 64


def measure() -> Iterator[Row]:
    """One row: a job that does nothing, from its submission until it is over, beside ``podman run`` of the same."""
    with place() as folder, Ground.made(folder) as ground:
        rootfs.prepare(ground.root)
        data = folder / "data"
        data.mkdir()
        found = {engine.name: engine for engine in engines.probe(data) if engine.runs}
        if "podman" not in found:
            raise NotMeasuredError(engines.reasons(data).get("podman", "podman does not run here"))
        sides = _Sides(data, ground, found["podman"])
        medians = alternate(ROUNDS, {"bare": sides.bare, "Djed": sides.djed})
    overhead = medians["Djed"] - medians["bare"]
    yield Row(
        what="container start: overhead of Djed over the bare engine",
        bar=f"≤ {format_duration(BAR)}",
        measured=f"-{format_duration(-overhead)}" if overhead < 0 else format_duration(overhead),
        beside=f"bare podman {format_duration(medians['bare'])}, Djed {format_duration(medians['Djed'])}",
        holds=overhead <= BAR,
    )


class _Sides:
    """Both ways to run nothing in a container, on one root."""

    def __init__(self, data: Path, ground: Ground, engine: ContainerEngine) -> None:
        self._home = data / "attempts"
        self._image = ground.root.parent
        self._engine = engine
        self._environ = container.environment(engine, os.environ)
        self._numbers = itertools.count(1)
        self._runner = LocalRunner(self._home, self, config=Config(data=data, sandbox_floor="container"))
        self._runner.nodes()

    def bare(self) -> float:
        """As it is called by hand, with what it needs to work here."""
        argv = [self._engine.path, *self._engine.arguments, "run", *self._engine.run_arguments]
        argv += ["--rm", "--network", "none", "--rootfs", f"{self._image}/root:O"]
        return timed(*argv, *COMMAND, env=self._environ)

    def djed(self) -> float:
        """From the submission until its result is there; it is let go of afterwards, and what the engine still does is waited for."""
        job = Job(kind="run", command=COMMAND, inside=True, image=DIGEST)
        name = f"djed-bench-{next(self._numbers)}"
        attempt = Attempt(name=name, job_id="bench", number=1, job=job, node="local/bench")
        started = time.perf_counter()
        handle = self._runner.submit(attempt)
        while self._runner.poll([handle])[name].state != "over":
            time.sleep(0.001)
        seconds = time.perf_counter() - started
        descriptor = self._runner.fileno(handle)
        if descriptor is not None:
            select.select([descriptor], [], [], 20)
        result = self._runner.collect(handle, self._home / name)
        self._runner.release(handle)
        if result.exit_code != 0:
            raise RuntimeError(result.error or f"exit code {result.exit_code}")
        return seconds

    def blob(self, digest: str) -> Path:
        """No job has files here."""
        raise NotFoundError(digest)

    def artifact(self, digest: str) -> Path:
        """The image."""
        if digest != DIGEST:
            raise NotFoundError(digest)
        return self._image

    def secret(self, namespace: str, name: str) -> bytes:
        """No job has secrets here."""
        raise NotFoundError(f"{namespace}/{name}")
