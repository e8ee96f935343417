"""Native packages on a base: a container engine runs the base's own package manager, and the layer that comes of it is kept."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from djed.build.base import build_error, own_code, require_success, script
from djed.build.image_facts import seal_image
from djed.build.inside.names import plain_name, provided_name
from djed.build.interface import Assembly, Sealed
from djed.model.artifact import ArtifactKind
from djed.model.contents import NativePackage
from djed.model.image import Image, PackageManager
from djed.model.job import At, InputFile, Job
from djed.model.result import Result
from djed.toolbox.digest import digest_json

__all__ = ["NativeBuilder", "installed", "native_words"]

_VERSION = 1
_CONTEXT = "context"
_PACKAGES = f"{_CONTEXT}/djed"

# The parts that every engine and builder knows. Nothing of a request is in it: names are read from a file.
_CONTAINERFILE = """\
ARG BASE
FROM $BASE
ARG ATTEMPT
LABEL djed.attempt=$ATTEMPT
USER 0:0
COPY djed/ /djed/native/
RUN ["/bin/sh", "/djed/native/native.sh", "{manager}"]
"""

_DEB_VERSION = r"[0-9][A-Za-z0-9.+~:-]*"
_RPM_VERSION = r"[A-Za-z0-9][A-Za-z0-9._+~^:-]*"
# By the grammars of deb-control(5), rpm-spec(5) and apk-world(5); a name that ends with a minus would have apt remove it.
_DEB = re.compile(rf"([a-z0-9][a-z0-9+.-]*[a-z0-9+.])(:[a-z0-9-]+)?(=({_DEB_VERSION}))?")
_RPM = re.compile(rf"([A-Za-z0-9_][A-Za-z0-9._+-]*)(=({_RPM_VERSION}))?")
_APK = re.compile(r"([A-Za-z0-9_][A-Za-z0-9._+-]*)([=~][0-9][A-Za-z0-9._-]*)?")
_GRAMMARS: dict[PackageManager, re.Pattern[str]] = {
    "apt": _DEB,
    "dnf": _RPM,
    "microdnf": _RPM,
    "yum": _RPM,
    "apk": _APK,
}
_LONGEST = 255


class NativeBuilder:
    """Installs ``environment.native`` on the image of the assembly."""

    kind: ArtifactKind = "image"

    def digest(self, assembly: Assembly) -> str:
        """Digest of the base and the names; what is in the repositories is taken as it is when it is first asked for."""
        image = _image(assembly)
        return digest_json(
            {
                "builder": ["native", _VERSION],
                "base": image.digest,
                "arch": image.arch,
                "native": sorted(set(assembly.environment.native)),
                "salt": assembly.salt,
            }
        )

    def render(self, assembly: Assembly) -> Job:
        """A job that has an engine build ``outputs/image``. Raises ``BuildError`` where a name is none, or nothing installs packages."""
        image = _image(assembly)
        words = native_words(assembly.environment.native, image)
        files = {
            f"{_CONTEXT}/Containerfile": _CONTAINERFILE.format(manager=image.package_manager),
            f"{_PACKAGES}/native.sh": script("native.sh"),
            f"{_PACKAGES}/names": "".join(f"{word}\n" for word in words),
        }
        assert assembly.image is not None
        return Job(
            kind="native",
            command=own_code("native", At(place="image"), At(place="outputs"), image.arch),
            files=tuple(InputFile(path=path, text=text) for path, text in files.items()),
            limits=assembly.limits,
            network=True,
            image=assembly.image.digest,
            engine=True,
            tools=True,
            sandbox=assembly.sandbox,
            target=assembly.node.target,
            node=assembly.node.id,
        )

    def seal(self, assembly: Assembly, result: Result, outputs: Path) -> Sealed:
        """The base with a layer more, and the versions that were installed."""
        require_success(result)
        image = _image(assembly)
        return seal_image(outputs, reference=image.reference, arch=image.arch, digest=self.digest(assembly))


def native_words(names: Sequence[str], image: Image) -> tuple[str, ...]:
    """The names as the package manager of an image takes them, sorted; a version is always written with ``=`` in a request.

    Raises ``BuildError`` for one that cannot be a name there, and for an image that nothing installs packages in.
    """
    manager = image.package_manager
    if manager is None:
        raise build_error(
            "build",
            "no_such_native",
            f"Nothing in the base {image.reference} installs packages: it has neither apt, dnf, microdnf, yum nor apk.",
            hint="Choose a base that has one, or leave environment.native out.",
        )
    return tuple(_word(name, manager) for name in sorted(set(names)))


def _word(name: str, manager: PackageManager) -> str:
    match = _GRAMMARS[manager].fullmatch(name)
    if match is None or len(name) > _LONGEST:
        raise build_error(
            "build",
            "no_such_native",
            f"No package of {manager} can be called {name!r:.100}.",
            hint="Write its name, or name=version, as the base's own package manager knows it.",
            native=name[:_LONGEST],
        )
    if _GRAMMARS[manager] is _RPM and match[3]:
        return f"{match[1]}-{match[3]}"
    return name


def installed(image: Image, names: Sequence[str]) -> tuple[NativePackage, ...]:
    """The packages of an image that stand for these names, each once, in their order: its own name first, else what provides it."""
    found: dict[tuple[str, str | None], NativePackage] = {}
    for text in names:
        name = plain_name(text)
        own = [package for package in image.native if package.name == name]
        for package in own or [item for item in image.native if item.provides and _provides(item, name)]:
            found[package.name, package.arch] = NativePackage(
                kind=package.kind, name=package.name, version=package.version, arch=package.arch
            )
    return tuple(found.values())


def _provides(package: NativePackage, name: str) -> bool:
    return any(provided_name(text) == name for text in package.provides)


def _image(assembly: Assembly) -> Image:
    if assembly.image is None or assembly.image.image is None:
        raise ValueError("native packages need an image to be installed on")
    return assembly.image.image
