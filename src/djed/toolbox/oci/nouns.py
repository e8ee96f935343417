"""What images are made of, and how their JSON is read: strictly, naming what is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from djed.errors import UnreadableError

__all__ = [
    "CONFIG",
    "CONFIGS",
    "INDEX",
    "INDEXES",
    "LAYER",
    "LAYERS",
    "LAYER_GZIP",
    "MANIFEST",
    "MANIFESTS",
    "Descriptor",
    "OciImage",
    "Platform",
    "arch_of",
    "descriptor_of",
    "parse",
    "platform_of",
    "read_config",
]

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
LAYER_GZIP = LAYER + "+gzip"

_DOCKER = "application/vnd.docker."
INDEXES = frozenset({INDEX, _DOCKER + "distribution.manifest.list.v2+json"})
MANIFESTS = frozenset({MANIFEST, _DOCKER + "distribution.manifest.v2+json"})
CONFIGS = frozenset({CONFIG, _DOCKER + "container.image.v1+json"})
LAYERS: Mapping[str, str] = {
    LAYER: LAYER,
    LAYER_GZIP: LAYER_GZIP,
    _DOCKER + "image.rootfs.diff.tar": LAYER,
    _DOCKER + "image.rootfs.diff.tar.gzip": LAYER_GZIP,
}
"""Types of layers that are read, and what each is called by the OCI."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

_ARCHITECTURES: Mapping[str, tuple[str, str | None]] = {
    "x86_64": ("amd64", None),
    "i686": ("386", None),
    "aarch64": ("arm64", None),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "loongarch64": ("loong64", None),
}
"""Machines as they call themselves; those that are not here are called the same in images (ppc64le, s390x, riscv64)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Platform:
    """What an image is for."""

    os: str
    architecture: str
    """As images call it: ``amd64``, ``arm64``."""
    variant: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Descriptor:
    """Something in ``blobs``."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    platform: Platform | None = None

    @property
    def blob(self) -> str:
        """Its path in a layout."""
        return "blobs/" + self.digest.replace(":", "/")

    def as_json(self) -> dict[str, Any]:
        """As manifests and indexes write it."""
        found: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.annotations:
            found["annotations"] = dict(self.annotations)
        if self.platform:
            found["platform"] = {"architecture": self.platform.architecture, "os": self.platform.os}
            if self.platform.variant:
                found["platform"]["variant"] = self.platform.variant
        return found


@dataclass(frozen=True, kw_only=True, slots=True)
class OciImage:
    """One image for one platform, with everything about it checked that can be checked without reading its layers."""

    digest: str
    """Of its manifest."""
    manifest: Mapping[str, Any]
    config: Mapping[str, Any]
    """The whole configuration; what containers get is below ``config`` in it."""
    layers: tuple[Descriptor, ...]
    """Lowest first."""
    diff_ids: tuple[str, ...]
    """Digests of the layers without compression."""
    arch: str
    """As the machine calls it: ``x86_64``."""
    size: int
    """Bytes of its blobs."""


def platform_of(arch: str) -> Platform:
    """What images for a machine are called."""
    architecture, variant = _ARCHITECTURES.get(arch, (arch, None))
    return Platform(os="linux", architecture=architecture, variant=variant)


def arch_of(platform: Platform) -> str:
    """The machine that images of a platform are for."""
    for arch, (architecture, variant) in _ARCHITECTURES.items():
        if architecture == platform.architecture and variant in {None, platform.variant}:
            return arch
    return platform.architecture


def parse(data: bytes, what: str) -> Any:
    """JSON. Raises ``UnreadableError`` that names ``what``."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UnreadableError(f"{what} is no JSON.") from error


def descriptor_of(value: object, what: str) -> Descriptor:
    """A descriptor from JSON. Raises ``UnreadableError`` that names ``what``."""
    if not isinstance(value, dict):
        raise UnreadableError(f"{what} holds a descriptor that cannot be read.")
    media_type, digest, size = value.get("mediaType"), value.get("digest"), value.get("size")
    if not (isinstance(media_type, str) and isinstance(digest, str) and _is_digest(digest)):
        raise UnreadableError(f"{what} names a blob by {digest!r:.100}, which is no sha256 digest.")
    if type(size) is not int or size < 0:
        raise UnreadableError(f"{what} says nothing usable about the size of {digest}.")
    notes = value.get("annotations")
    return Descriptor(
        media_type=media_type,
        digest=digest,
        size=size,
        annotations={key: text for key, text in notes.items() if isinstance(text, str)}
        if isinstance(notes, dict)
        else {},
        platform=_platform(value.get("platform")),
    )


def _platform(value: object) -> Platform | None:
    if not isinstance(value, dict):
        return None
    system, architecture, variant = value.get("os"), value.get("architecture"), value.get("variant")
    if not (isinstance(system, str) and isinstance(architecture, str)):
        return None
    return Platform(
        os=system,
        architecture=architecture,
        variant=variant if isinstance(variant, str) and variant else None,
    )


def read_config(data: bytes) -> tuple[Mapping[str, Any], Platform, tuple[str, ...]]:
    """A configuration, what it is for, and the digests of its layers. Whatever is known to be in it is of the type that it should be."""
    config = parse(data, "The configuration of the image")
    if not isinstance(config, dict):
        raise UnreadableError("The configuration of the image cannot be read.")
    rootfs = config.get("rootfs")
    diff_ids = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    if not isinstance(diff_ids, list) or not all(_is_digest(digest) for digest in diff_ids):
        raise UnreadableError("The configuration of the image lists no layers that can be read.")
    platform = _platform(config)
    if platform is None:
        raise UnreadableError("The configuration of the image does not say what machine it is for.")
    inner = config.get("config")
    if not isinstance(inner, dict | None) or not isinstance(config.get("history"), list | None):
        raise UnreadableError("The configuration of the image cannot be read.")
    for key, value in (inner or {}).items():
        if key in _SHAPES and not _SHAPES[key](value):
            raise UnreadableError(f"{key} in the configuration of the image cannot be read.")
    return config, platform, tuple(diff_ids)


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _texts(value: object) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(text, str) for text in value))


def _pairs(value: object) -> bool:
    return value is None or (
        isinstance(value, dict) and all(isinstance(text, str) for text in value.values())
    )


_SHAPES: Mapping[str, Callable[[object], bool]] = {
    "Env": _texts,
    "Cmd": _texts,
    "Entrypoint": _texts,
    "Labels": _pairs,
    "User": lambda value: isinstance(value, str | None),
    "WorkingDir": lambda value: isinstance(value, str | None),
}
