"""Wheels from source: a package without a fitting wheel is built by a job of its own, with a private cache, and kept by digest."""

from __future__ import annotations

import os
from pathlib import Path

from djed.build.base import build_error, build_variables, require_success, script
from djed.build.compatibility import platform_of, wheel_ranks
from djed.build.interface import Assembly, Sealed
from djed.build.manifest import read_manifest
from djed.errors import ToolError
from djed.model.artifact import Artifact, ArtifactKind, Content
from djed.model.job import At, InputFile, Job
from djed.model.lock import LockedFile, LockedPackage
from djed.model.result import Result
from djed.toolbox.digest import digest_json, digest_stream
from djed.toolbox.fs import open_regular

__all__ = ["WheelBuilder"]

_VERSION = 1
_FOLDER = "wheel"


class WheelBuilder:
    """Builds the wheel of ``assembly.package`` from its source distribution."""

    kind: ArtifactKind = "wheel"

    def digest(self, assembly: Assembly) -> str:
        """Digest of the source's hashes, the interpreter, the platform and all that a build can see."""
        package, sdist = _source(assembly)
        environment = assembly.environment
        return digest_json(
            {
                "builder": ["wheel", _VERSION],
                "package": [package.name, package.version],
                "sdist": dict(sdist.hashes),
                "salt": assembly.salt,
                "base": assembly.base,
                "interpreter": [assembly.interpreter.path, assembly.interpreter.version],
                "platform": assembly.lock.platform,
                "variables": dict(environment.variables),
                "exclude_newer": environment.exclude_newer,
                "indexes": [index.url for index in environment.indexes if not index.packages],
            }
        )

    def render(self, assembly: Assembly) -> Job:
        """A job that fetches the source, checks its hash and builds it; the network is for this and for what its build requires."""
        _, sdist = _source(assembly)
        algorithm, text = max(sdist.hashes.items(), key=lambda item: len(item[1]))
        places = (At(place="uv"), At(place="python"), At(place="outputs"))
        fetched = (sdist.url or "", sdist.name, algorithm, text, str(assembly.limits.disk))
        return Job(
            kind="wheel",
            command=("/bin/sh", "wheel.sh", *places, *fetched),
            files=tuple(InputFile(path=name, text=script(name)) for name in ("wheel.sh", "fetch.py")),
            variables=build_variables(assembly.environment, assembly.settings),
            limits=assembly.limits,
            network=True,
            python=assembly.interpreter.path,
            cache="private",
            sandbox=assembly.sandbox,
            target=assembly.node.target,
            node=assembly.node.id,
        )

    def seal(self, assembly: Assembly, result: Result, outputs: Path) -> Sealed:
        """The one wheel that the job left. Nothing in it is read: its metadata counts once it is installed."""
        require_success(result)
        package, _ = _source(assembly)
        folder = outputs / _FOLDER
        if not os.path.lexists(folder):
            raise ToolError(f"The build of {package.name} ended well, but left no wheel.")
        manifest, size = read_manifest(folder)
        names = [entry.name for entry in folder.iterdir()]
        if len(names) != 1:
            raise ToolError(f"The build of {package.name} left {len(names)} files where one wheel should be.")
        _check_wheel(names[0], package, assembly)
        with open_regular(folder, names[0]) as descriptor, os.fdopen(os.dup(descriptor), "rb") as stream:
            content = digest_stream(stream)
        digest = self.digest(assembly)
        artifact = Artifact(
            digest=digest,
            kind=self.kind,
            path=f"wheel/{digest.partition(':')[2]}",
            size=size,
            manifest=manifest,
            contents=(
                Content(
                    name=package.name,
                    version=package.version,
                    index=package.index,
                    hashes=(content,),
                    built=True,
                    file=names[0],
                ),
            ),
        )
        return Sealed(artifact=artifact, path=folder)


def _source(assembly: Assembly) -> tuple[LockedPackage, LockedFile]:
    for package in assembly.lock.packages:
        if package.name == assembly.package and package.sdist is not None:
            return package, package.sdist
    raise ValueError(f"the lock has no source of {assembly.package!r}")


def _check_wheel(name: str, package: LockedPackage, assembly: Assembly) -> None:
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename
    from packaging.version import Version

    try:
        found, version, _, tags = parse_wheel_filename(name)
    except InvalidWheelFilename as wrong:
        raise ToolError(f"The build of {package.name} left {name!r:.120}, which is no wheel.") from wrong
    if found != package.name or version != Version(package.version):
        raise ToolError(f"The build of {package.name} {package.version} left a wheel of {found} {version}.")
    ranks = wheel_ranks(assembly.interpreter, platform_of(assembly.environment, assembly.node))
    if ranks.keys().isdisjoint(tags):
        raise build_error(
            "build",
            "no_wheel",
            f"The wheel that was built of {package.name} does not fit this Python and platform: {name}.",
            package=package.name,
        )
