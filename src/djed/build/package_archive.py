"""An environment as a tar.gz that is unpacked and started anywhere: no engine, no root; of this machine only the path of its Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from djed.build.base import require_success
from djed.build.bundle import PLAN, bundle, ingredients, inputs
from djed.build.interface import Assembly, Sealed
from djed.build.package import job_of, single_file
from djed.model.artifact import Artifact, ArtifactKind
from djed.model.codec import encode
from djed.model.job import At, Job
from djed.model.result import Result
from djed.toolbox.digest import digest_json

__all__ = ["ArchivePackager"]

_VERSION = 1
_FOLDER = "archive"
_FILE = "environment.tar.gz"


class ArchivePackager:
    """Packages an environment, its files and its command as ``environment.tar.gz``.

    In it a folder ``environment``: ``env`` (the virtual environment), ``files`` (the working directory), ``start`` (which runs the command,
    or its own arguments, in the environment) and ``djed.json`` (what it is). The same environment gives the same bytes.
    """

    kind: ArtifactKind = "archive"

    def digest(self, assembly: Assembly) -> str:
        """Digest of the environment, the files, the variables and the command."""
        return digest_json({"builder": [self.kind, _VERSION], **ingredients(assembly)})

    def render(self, assembly: Assembly) -> Job:
        """A job of our own code that writes ``outputs/archive/environment.tar.gz``. No code of a package runs in it."""
        plan = {"python": _python(assembly), "description": self._description(assembly)}
        env = At(place="env") if assembly.venv else ""
        words = (At(place="work", path=PLAN), env, At(place="outputs", path=f"{_FOLDER}/{_FILE}"))
        return job_of(assembly, "archive", *words, files=inputs(bundle(assembly), plan))

    def _description(self, assembly: Assembly) -> dict[str, Any]:
        wanted = bundle(assembly)
        return {
            "format": 1,
            "digest": self.digest(assembly),
            "base": assembly.environment.base,
            "python": assembly.lock.python,
            "platform": assembly.lock.platform,
            "lock": encode(assembly.lock),
            "variables": dict(wanted.variables),
            "command": list(wanted.words),
        }

    def seal(self, assembly: Assembly, result: Result, outputs: Path) -> Sealed:
        """The one file that the job left."""
        require_success(result)
        manifest, size = single_file(outputs / _FOLDER, _FILE)
        digest = self.digest(assembly)
        artifact = Artifact(
            digest=digest,
            kind=self.kind,
            path=f"{self.kind}/{digest.partition(':')[2]}",
            size=size,
            manifest=manifest,
            contents=assembly.venv.contents if assembly.venv else (),
        )
        return Sealed(artifact=artifact, path=outputs / _FOLDER)


def _python(assembly: Assembly) -> dict[str, str] | None:
    """What the start script looks for."""
    if assembly.venv is None:
        return None
    version = ".".join(assembly.interpreter.version.split(".")[:2])
    arch = assembly.node.hardware.arch
    return {"version": version, "path": assembly.interpreter.path, "arch": arch}
