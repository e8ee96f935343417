"""Builds for real, step by step, with the local runner and without an engine."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path

from djed.build import Assembly, Sealed, host_digest, read_lock, render_lock, source_packages
from djed.build.venv import VenvBuilder
from djed.build.wheel import WheelBuilder
from djed.config import Config
from djed.model.artifact import Artifact
from djed.model.hardware import Interpreter, Node
from djed.model.job import Attempt, Job, Limits
from djed.model.lock import Lock
from djed.model.request import Environment
from djed.model.result import Result
from djed.run.local import LocalRunner
from djed.testing.runner_contract import wait

__all__ = ["LIMITS", "Shelf", "Workshop"]

LIMITS = Limits(timeout=60, disk=2**30)


@dataclass
class Shelf:
    """Artifacts where the runner finds them."""

    folder: Path
    paths: dict[str, Path] = field(default_factory=dict)

    def blob(self, digest: str) -> Path:
        raise AssertionError(f"no job here has the blob {digest}")

    def artifact(self, digest: str) -> Path:
        return self.paths[digest]

    def secret(self, namespace: str, name: str) -> bytes:
        raise AssertionError(f"no job here has the secret {name}")

    def keep(self, sealed: Sealed) -> Artifact:
        """Move a sealed artifact to its place, as the engine does."""
        place = self.folder / sealed.artifact.path
        place.parent.mkdir(parents=True, exist_ok=True)
        sealed.path.rename(place)
        self.paths[sealed.artifact.digest] = place
        return sealed.artifact


class Workshop:
    """Runs the jobs of one test and hands on what they leave."""

    patience = 30.0
    """Seconds that a job may take."""

    def __init__(self, folder: Path, node: Node) -> None:
        self.data = folder / "data"
        self.attempts = self.data / "attempts"
        self.shelf = Shelf(folder=self.data / "artifacts")
        self.runner = LocalRunner(self.attempts, self.shelf, config=Config(data=self.data))
        self.node = node
        self.interpreter: Interpreter = node.interpreters[0]
        self.base = host_digest(self.node, self.interpreter)
        self._numbers = count(1)
        self.errors = ""

    def run(self, job: Job) -> tuple[Result, Path]:
        """The result of a job, and its outputs; what it wrote to stderr is in ``errors``."""
        number = next(self._numbers)
        name = f"djed-test-{number}"
        attempt = Attempt(name=name, job_id="test", number=number, job=job, node=self.node.id)
        handle = self.runner.submit(attempt)
        wait(self.runner, handle, self.patience)
        result = self.runner.collect(handle, self.attempts / name)
        self.errors = b"".join(self.runner.logs(handle, "stderr")).decode(errors="replace")
        return result, self.attempts / name / "outputs"

    def lock(self, environment: Environment) -> Lock:
        """Lock it with a job."""
        job = render_lock(
            environment, interpreter=self.interpreter, node=self.node, limits=LIMITS, sandbox="bwrap"
        )
        result, outputs = self.run(job)
        assert result.exit_code == 0, self.errors
        return read_lock(outputs, environment, interpreter=self.interpreter, node=self.node, base=self.base)

    def assembly(self, environment: Environment, lock: Lock) -> Assembly:
        return Assembly(
            environment=environment,
            lock=lock,
            interpreter=self.interpreter,
            node=self.node,
            base=self.base,
            limits=LIMITS,
            sandbox="bwrap",
        )

    def wheel(self, assembly: Assembly) -> Artifact:
        """Build the wheel of ``assembly.package``."""
        result, outputs = self.run(WheelBuilder().render(assembly))
        assert result.exit_code == 0, self.errors
        return self.shelf.keep(WheelBuilder().seal(assembly, result, outputs))

    def build(self, environment: Environment, lock: Lock | None = None) -> Artifact:
        """Lock it, build what has no wheel, and then the environment."""
        assembly = self.assembly(environment, lock or self.lock(environment))
        wheels = {
            name: self.wheel(replace(assembly, package=name)) for name in source_packages(assembly.lock)
        }
        assembly = replace(assembly, wheels=wheels)
        result, outputs = self.run(VenvBuilder().render(assembly))
        assert result.exit_code == 0, self.errors
        return self.shelf.keep(VenvBuilder().seal(assembly, result, outputs))

    def python(self, artifact: Artifact, code: str) -> str:
        """What a line of Python prints in the environment, where it has been moved to."""
        python = self.shelf.paths[artifact.digest] / "bin/python"
        return subprocess.run(
            [python, "-c", code], capture_output=True, text=True, check=True, timeout=30
        ).stdout.strip()
