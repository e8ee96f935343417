"""What is known of an image: read from its layers, unpacked, without running anything of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from djed.build.inside.names import provided_name
from djed.model.codec import encode
from djed.model.contents import NativePackage
from djed.toolbox import rootfs
from djed.toolbox.oci import OciImage, unpack
from djed.toolbox.packagedb import read_native

__all__ = ["FACTS", "ROOT", "SCHEMA", "write_facts"]

FACTS = "facts.json"
ROOT = "root"
SCHEMA = 1


def write_facts(
    layout: Path, image: OciImage, outputs: Path, *, digest: str | None = None, asked: Sequence[str] = ()
) -> None:
    """Unpack the image of ``layout`` to ``root`` beside its blobs, make it fit to run in, and write down what it is.

    ``asked``: names of native packages that may be virtual; of what provides them it is told. Raises ``UnsafeError`` for what no image
    may hold.
    """
    root = layout / ROOT
    root.mkdir()
    unpack(layout, image, root)
    release = rootfs.os_release(root)
    facts = {
        "schema": SCHEMA,
        "digest": digest or image.digest,
        "os": release.get("ID"),
        "os_version": release.get("VERSION_ID"),
        "libc": rootfs.libc(root),
        "package_manager": rootfs.package_manager(root),
        "interpreters": encode(rootfs.interpreters(root)),
        "native": encode(_native(root, asked)),
    }
    rootfs.prepare(root)
    (outputs / FACTS).write_text(
        json.dumps({name: value for name, value in facts.items() if value}), encoding="utf-8"
    )


def _native(root: Path, asked: Sequence[str]) -> tuple[NativePackage, ...]:
    """Names and versions; and what a package provides, where its own name is not what was asked for."""
    if not asked:
        return read_native(root, brief=True)
    packages = read_native(root)
    missing = set(asked) - {package.name for package in packages}
    return tuple(_brief(package, missing) for package in packages)


def _brief(package: NativePackage, missing: set[str]) -> NativePackage:
    return NativePackage(
        kind=package.kind,
        name=package.name,
        version=package.version,
        arch=package.arch,
        provides=tuple(text for text in package.provides if provided_name(text) in missing),
    )
