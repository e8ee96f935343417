"""Virtual environments: one job of uv's own code alone, so that it may use the shared cache, makes a relocatable one of locked wheels."""

from __future__ import annotations

import dataclasses
import os
import stat
from pathlib import Path

from djed.build.base import require_success, script, uv_variables
from djed.build.contents import read_contents
from djed.build.interface import Assembly, Sealed
from djed.build.manifest import read_manifest
from djed.build.pylock import Choice, write_pylock
from djed.errors import ToolError, UnsafeError
from djed.model.artifact import Artifact, ArtifactKind, Content
from djed.model.codec import encode
from djed.model.job import At, InputFile, Job
from djed.model.lock import LockedFile, LockedPackage
from djed.model.result import Result
from djed.toolbox.digest import digest_json

__all__ = ["VenvBuilder"]

_VERSION = 1
_FOLDER = "venv"


class VenvBuilder:
    """Builds a virtual environment from wheels: those that the lock names, and those that were built from source."""

    kind: ArtifactKind = "venv"

    def digest(self, assembly: Assembly) -> str:
        """Digest of base, interpreter, and of each package its version and the hashes of its wheel or source."""
        return digest_json(
            {
                "builder": ["venv", _VERSION],
                "base": assembly.base,
                "interpreter": [assembly.interpreter.path, assembly.interpreter.version],
                "platform": assembly.lock.platform,
                "packages": [
                    [
                        package.name,
                        package.version,
                        package.index,
                        encode(_origin(package).hashes),
                        not package.wheels,
                    ]
                    for package in assembly.lock.packages
                ],
                "salt": assembly.salt,
                # The same source, built with other variables, is another wheel.
                "wheels": {name: wheel.digest for name, wheel in sorted(assembly.wheels.items())},
            }
        )

    def render(self, assembly: Assembly) -> Job:
        """A job that makes ``outputs/venv``. No code of a package runs in it."""
        choices = _choices(assembly)
        texts = {"venv.sh": script("venv.sh")}
        if choices:
            texts["bytecode.py"] = script("bytecode.py")
            texts["pylock.toml"] = write_pylock(choices, assembly.interpreter.version)
        built = [assembly.wheels[choice.package.name] for choice in choices if choice.path]
        wheels = [
            At(place="wheels", path=f"{wheel.digest.partition(':')[2]}/{wheel.contents[0].file}")
            for wheel in built
        ]
        return Job(
            kind="build",
            command=(
                "/bin/sh",
                "venv.sh",
                At(place="uv"),
                At(place="python"),
                At(place="outputs", path=_FOLDER),
                assembly.environment.platform or "",
                *wheels,
            ),
            files=tuple(InputFile(path=path, text=text) for path, text in texts.items()),
            variables=uv_variables(assembly.environment, assembly.settings),
            limits=assembly.limits,
            network=True,
            wheels=tuple(wheel.digest for wheel in built),
            python=assembly.interpreter.path,
            cache="shared",
            sandbox=assembly.sandbox,
            target=assembly.node.target,
            node=assembly.node.id,
        )

    def seal(self, assembly: Assembly, result: Result, outputs: Path) -> Sealed:
        """The environment, checked against the lock. Raises ``ToolError`` where another stack is installed."""
        require_success(result)
        folder = outputs / _FOLDER
        if not os.path.lexists(folder):
            raise ToolError("The build ended well, but left no environment.")
        if not stat.S_ISDIR(os.lstat(folder).st_mode):
            raise UnsafeError("The build left something else in place of the environment.")
        manifest, size = read_manifest(folder)
        digest = self.digest(assembly)
        artifact = Artifact(
            digest=digest,
            kind=self.kind,
            path=f"venv/{digest.partition(':')[2]}",
            size=size,
            manifest=manifest,
            contents=_contents(assembly, folder),
        )
        return Sealed(artifact=artifact, path=folder)


def _choices(assembly: Assembly) -> list[Choice]:
    return [_choice(package, assembly) for package in assembly.lock.packages]


def _choice(package: LockedPackage, assembly: Assembly) -> Choice:
    if package.wheels:
        return Choice(package=package, file=package.wheels[0])
    wheel = assembly.wheels.get(package.name)
    if wheel is None:
        raise ValueError(f"the wheel of {package.name!r} was not built")
    content = wheel.contents[0]
    hashes = dict(text.split(":", 1) for text in content.hashes)
    name = content.file or ""
    return Choice(package=package, file=LockedFile(name=name, hashes=hashes), path=f"wheels/{name}")


def _origin(package: LockedPackage) -> LockedFile:
    file = package.wheels[0] if package.wheels else package.sdist
    if file is None:
        raise ValueError(f"the lock has no file of {package.name!r}")
    return file


def _contents(assembly: Assembly, folder: Path) -> tuple[Content, ...]:
    """What is installed, with what the lock knows of it."""
    from packaging.version import Version

    major, minor = assembly.interpreter.version.split(".")[:2]
    site_packages = folder / "lib" / f"python{major}.{minor}" / "site-packages"
    installed = {content.name: content for content in read_contents(site_packages)}
    choices = {choice.package.name: choice for choice in _choices(assembly)}
    if installed.keys() != choices.keys():
        differing = ", ".join(sorted(installed.keys() ^ choices.keys()))
        raise ToolError(f"The environment does not hold what was locked: {differing} differ.")
    for name, choice in choices.items():
        if Version(installed[name].version) != Version(choice.package.version):
            raise ToolError(
                f"The environment has {name} {installed[name].version}, but {choice.package.version} was locked."
            )
    return tuple(
        dataclasses.replace(
            content,
            index=choices[name].package.index,
            hashes=tuple(f"{kind}:{text}" for kind, text in sorted(choices[name].file.hashes.items())),
            built=choices[name].path is not None,
            file=choices[name].file.name,
        )
        for name, content in sorted(installed.items())
    )
