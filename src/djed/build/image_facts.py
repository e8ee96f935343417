"""An image that a job left, made an artifact: what the job says of it is checked, for what it read may have been hostile."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from djed.build.interface import Sealed
from djed.build.manifest import UNPACKED, read_manifest
from djed.errors import DjedError, ToolError, UnsafeError
from djed.model.artifact import Artifact
from djed.model.contents import Layer, NativeKind, NativePackage
from djed.model.hardware import Interpreter
from djed.model.image import Image, PackageManager
from djed.toolbox.digest import digest_json
from djed.toolbox.fs import open_regular
from djed.toolbox.oci import Layout, OciImage

__all__ = ["FOLDER", "read_facts", "seal_image"]

FOLDER = "image"
_FACTS = "facts.json"
_SCHEMA = 1
_SIZE = 32 * 2**20
_LONGEST = 4096
_VARIABLE = 128 * 2**10
_MOST = 100_000


def read_facts(outputs: Path) -> Mapping[str, Any]:
    """What the job wrote down. Raises ``UnsafeError`` for what is no such file, ``ToolError`` where there is none."""
    if not os.path.lexists(outputs / _FACTS):
        raise ToolError("The job ended well, but does not say what it made.")
    with open_regular(outputs, _FACTS) as descriptor:
        if os.fstat(descriptor).st_size > _SIZE:
            raise UnsafeError(f"What the job says of its image is more than {_SIZE} bytes.")
        with os.fdopen(os.dup(descriptor), "rb") as stream:
            data = stream.read(_SIZE + 1)
    try:
        facts = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UnsafeError("What the job says of its image is no JSON.") from error
    if not isinstance(facts, dict) or facts.get("schema") != _SCHEMA:
        raise UnsafeError("What the job says of its image is of an unknown form.")
    return facts


def seal_image(outputs: Path, *, reference: str, arch: str, digest: str | None = None) -> Sealed:
    """The layout in ``outputs/image`` as an artifact called ``digest``; without one, by its reference and what is in it.

    Its index, manifest and configuration are checked again. Raises ``UnsafeError``, or ``ToolError`` where it is not there.
    """
    folder = outputs / FOLDER
    if not os.path.lexists(folder):
        raise ToolError("The job ended well, but left no image.")
    for place in (folder, folder / UNPACKED):
        if not os.path.lexists(place) or not stat.S_ISDIR(os.lstat(place).st_mode):
            raise UnsafeError(f"The job left something else in place of the image's {place.name!r}.")
    try:
        found = Layout(folder).choose(arch)
    except DjedError as error:
        raise UnsafeError(f"The job left an image that cannot be used: {error.message}") from error
    image = _image(read_facts(outputs), found, reference)
    manifest, size = read_manifest(folder, without=UNPACKED)
    digest = digest or digest_json({"image": [reference, image.digest, found.digest]})
    artifact = Artifact(
        digest=digest,
        kind="image",
        path=f"image/{digest.partition(':')[2]}",
        size=size + read_manifest(folder / UNPACKED)[1],
        manifest=manifest,
        image=image,
    )
    return Sealed(artifact=artifact, path=folder)


def _image(facts: Mapping[str, Any], found: OciImage, reference: str) -> Image:
    digest = _text(facts.get("digest"), "digest")
    manager = facts.get("package_manager")
    if manager is not None and manager not in get_args(PackageManager):
        raise _strange("package manager")
    settings = found.config.get("config")
    settings = settings if isinstance(settings, dict) else {}
    return Image(
        reference=reference,
        digest=digest or found.digest,
        arch=found.arch,
        os=_text(facts.get("os"), "system"),
        os_version=_text(facts.get("os_version"), "system"),
        libc=_text(facts.get("libc"), "C library"),
        package_manager=manager,
        interpreters=tuple(_interpreter(item) for item in _list(facts.get("interpreters"), "interpreters")),
        variables=_variables(settings.get("Env")),
        user=_setting(settings.get("User")),
        workdir=_setting(settings.get("WorkingDir")),
        native=tuple(_native(item) for item in _list(facts.get("native"), "native packages")),
        layers=_layers(found),
    )


def _interpreter(item: Any) -> Interpreter:
    if not isinstance(item, dict):
        raise _strange("interpreters")
    texts = {
        name: _text(item.get(name), "interpreters")
        for name in ("path", "version", "prefix", "implementation")
    }
    path, version, prefix, implementation = texts.values()
    if not (path and version and prefix and path.startswith("/")):
        raise _strange("interpreters")
    if implementation is None:
        return Interpreter(path=path, version=version, prefix=prefix)
    return Interpreter(path=path, version=version, prefix=prefix, implementation=implementation)


def _native(item: Any) -> NativePackage:
    if not isinstance(item, dict) or item.get("kind") not in get_args(NativeKind):
        raise _strange("native packages")
    name, version = _text(item.get("name"), "native packages"), _text(item.get("version"), "native packages")
    if not (name and version):
        raise _strange("native packages")
    provides = tuple(
        _text(text, "native packages") or "" for text in _list(item.get("provides"), "native packages")
    )
    return NativePackage(
        kind=item["kind"],
        name=name,
        version=version,
        arch=_text(item.get("arch"), "native packages"),
        provides=provides,
    )


def _layers(found: OciImage) -> tuple[Layer, ...]:
    """With what made each, where the history tells it of all of them."""
    history = found.config.get("history")
    steps = [step for step in history if isinstance(step, dict)] if isinstance(history, list) else []
    makers = [step.get("created_by") for step in steps if not step.get("empty_layer")]
    if len(makers) != len(found.layers):
        makers = [None] * len(found.layers)
    return tuple(
        Layer(
            digest=layer.digest,
            size=layer.size,
            media_type=layer.media_type,
            created_by=maker[:_LONGEST] if isinstance(maker, str) else None,
        )
        for layer, maker in zip(found.layers, makers, strict=True)
    )


def _variables(lines: Any) -> dict[str, str]:
    """``Env``; what cannot be a variable of a process is left out."""
    found: dict[str, str] = {}
    for line in lines if isinstance(lines, list) else []:
        name, equals, value = line.partition("=") if isinstance(line, str) else ("", "", "")
        if name and equals and "\0" not in line and len(line) <= _VARIABLE and len(found) < _LONGEST:
            found[name] = value
    return found


def _setting(value: Any) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= _LONGEST and "\0" not in value else None


def _text(value: Any, what: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or len(value) > _LONGEST or "\0" in value:
        raise _strange(what)
    return value


def _list(value: Any, what: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > _MOST:
        raise _strange(what)
    return value


def _strange(what: str) -> UnsafeError:
    return UnsafeError(f"What the job says of its image's {what} cannot be so.")
