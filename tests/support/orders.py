"""Orders for jobs on a machine that is made up."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from djed.model.engine import ContainerEngine
from djed.model.job import Attempt, Job
from djed.model.request import SandboxLevel
from djed.run.levels import WRAPS
from djed.run.order import Site, order
from djed.run.sandbox import Sandbox, Wrapper

__all__ = ["BWRAP", "PROCESS", "Artifacts", "Images", "bound", "inside", "ordered"]

BWRAP = Sandbox(level="bwrap", tool="bubblewrap 1.0", path="/usr/bin/bwrap")
PROCESS = Sandbox(level="process")


class Artifacts:
    def blob(self, digest: str) -> Path:
        raise NotImplementedError

    def artifact(self, digest: str) -> Path:
        return Path("/store") / digest.removeprefix("sha256:")

    def secret(self, namespace: str, name: str) -> bytes:
        raise NotImplementedError


def ordered(
    job: Job,
    sandbox: Sandbox,
    environ: Mapping[str, str] | None = None,
    materials: Artifacts | None = None,
    *,
    engines: tuple[ContainerEngine, ...] = (),
    wraps: Mapping[SandboxLevel, Wrapper] = WRAPS,
) -> dict[str, Any]:
    site = Site(
        data=Path("/data"),
        packages=Path("/data/packages"),
        etc=Path("/data/etc"),
        node="local/n",
        uv="/opt/uv",
        environ=environ or {},
        engines=engines,
    )
    attempt = Attempt(name="djed-j-1", job_id="j", number=1, job=job, node="local/n", cpus=(1,))
    return order(
        attempt,
        Path("/data/attempts/djed-j-1"),
        sandbox,
        site=site,
        materials=materials or Artifacts(),
        wraps=wraps,
    )


def bound(told: dict[str, Any]) -> dict[str, tuple[str, str]]:
    wrap = told["wrap"]
    options = {"--bind": "rw", "--ro-bind": "ro", "--dev-bind": "dev"}
    return {
        wrap[index + 2]: (options[word], wrap[index + 1])
        for index, word in enumerate(wrap)
        if word in options
    }


class Images(Artifacts):
    """An image whose root lies in a folder of the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def artifact(self, digest: str) -> Path:
        return self.folder if digest == "sha256:image" else super().artifact(digest)


def inside(
    image: Path, environ: Mapping[str, str] | None = None, sandbox: Sandbox = BWRAP, **more: Any
) -> dict[str, Any]:
    given = {"kind": "run", "command": ("x",), "inside": True, "image": "sha256:image", **more}
    return ordered(Job(**given), sandbox, environ, Images(image))
