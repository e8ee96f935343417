"""Packagings made without an engine and without a runner: the job's own command, in folders of the test."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import djed
from djed.build.interface import Assembly, Builder, Sealed
from djed.model.artifact import Artifact
from djed.model.contents import Layer
from djed.model.hardware import Interpreter, Node
from djed.model.image import Image
from djed.model.job import Job, Place
from djed.model.lock import Lock
from djed.model.request import Environment, Run
from djed.model.result import Result
from djed.run.places import resolve
from djed.toolbox.digest import digest_bytes
from djed.toolbox.oci import OciImage
from tests.support.assemblies import NODE

__all__ = ["Bench", "base_artifact", "packaging", "venv_artifact"]

_HEX = "ab" * 32


def base_artifact(made: OciImage, *, interpreters: tuple[Interpreter, ...] = ()) -> Artifact:
    """The artifact of a base image of that layout."""
    return Artifact(
        digest=f"sha256:{'ba' * 32}",
        kind="image",
        path=f"image/{'ba' * 32}",
        size=made.size,
        manifest="sha256:manifest",
        image=Image(
            reference="debian:12",
            digest=made.digest,
            arch=made.arch,
            interpreters=interpreters,
            variables={"PATH": "/usr/local/bin:/usr/bin:/bin", "FROM_BASE": "yes"},
            layers=tuple(
                Layer(digest=layer.digest, size=layer.size, media_type=layer.media_type)
                for layer in made.layers
            ),
        ),
    )


def venv_artifact() -> Artifact:
    """The artifact of an environment."""
    return Artifact(
        digest=f"sha256:{_HEX}", kind="venv", path=f"venv/{_HEX}", size=1, manifest="sha256:manifest"
    )


def packaging(
    environment: Environment | None = None,
    *,
    run: Run | None = None,
    image: Artifact | None = None,
    venv: Artifact | None = None,
    layout: Path | None = None,
    blobs: Mapping[str, bytes] | None = None,
    interpreter: Interpreter | None = None,
    node: Node = NODE,
) -> Assembly:
    """What a packager is told."""
    interpreter = interpreter or node.interpreters[0]
    return Assembly(
        environment=environment or Environment(),
        lock=Lock(python=interpreter.version, platform="linux-x86_64-glibc2.36"),
        interpreter=interpreter,
        node=node,
        base="sha256:base",
        image=image,
        venv=venv,
        run=run,
        content=blobs.__getitem__ if blobs else None,
        layout=layout,
    )


class Bench:
    """Runs packaging jobs where a runner would: each in a new folder."""

    def __init__(
        self,
        folder: Path,
        *,
        env: Path | None = None,
        layout: Path | None = None,
        blobs: Mapping[str, bytes] | None = None,
    ) -> None:
        self.folder, self.env, self.layout = folder, env, layout
        self.blobs = blobs or {}
        self.number = 0
        self.errors = ""
        self.variables: dict[str, str] = {}

    def run(self, job: Job) -> tuple[Result, Path]:
        """The result of a job, and its outputs."""
        self.number += 1
        home = self.folder / f"job-{self.number}"
        work, outputs = home / "inputs", home / "outputs"
        outputs.mkdir(parents=True)
        for file in job.files:
            path = work / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.blobs[file.digest] if file.digest else (file.text or "").encode())
        places: dict[Place, str] = {
            "work": str(work),
            "outputs": str(outputs),
            "interpreter": os.path.realpath(sys.executable),
            "djed": str(Path(djed.__file__).parent),
        }
        if job.environment is not None:
            assert self.env is not None
            places["env"] = str(self.env)
        if job.image is not None:
            assert self.layout is not None
            places["image"] = str(self.layout)
        command = resolve(job, places).command
        done = subprocess.run(
            command, cwd=work, capture_output=True, text=True, check=False, env=self.variables, timeout=300
        )
        self.errors = done.stderr
        return Result(exit_code=done.returncode), outputs

    def make(self, packager: Builder, assembly: Assembly) -> Sealed:
        """What a packager makes, sealed."""
        result, outputs = self.run(packager.render(assembly))
        assert result.exit_code == 0, self.errors
        return packager.seal(replace(assembly, layout=self.layout), result, outputs)


def blob(data: bytes) -> tuple[str, bytes]:
    """A content under its digest."""
    return digest_bytes(data), data
