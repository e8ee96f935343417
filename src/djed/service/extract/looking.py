"""Look into things: unpack them where they are packed, read what is there, and say what the whole is."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from djed.errors import UnreadableError
from djed.model.contents import Contents, Layer
from djed.observe.contents.read import read_contents
from djed.service.extract.targets import Target, is_file, opened
from djed.toolbox.archive import Caps
from djed.toolbox.digest import digest_stream
from djed.toolbox.fs import remove_tree
from djed.toolbox.inflate import inflated
from djed.toolbox.layers import apply
from djed.toolbox.oci import Layout, OciImage, import_image, unpack

if TYPE_CHECKING:
    from djed.service.extract.ground import Ground

__all__ = ["look", "look_into_image"]

_SYSTEMS = (
    "etc/os-release",
    "usr/lib/os-release",
    "var/lib/dpkg/status",
    "lib/apk/db/installed",
    "usr/lib/sysimage/rpm",
)


def look(target: Target, ground: Ground) -> Contents:
    """What is in a file or folder."""
    path = Path(target.path)
    if target.kind == "layout":
        return look_into_image(path, ground)
    if target.kind == "venv":
        return read_contents(path, target.path, "venv")
    if target.kind == "folder":
        return _something(read_contents(path, target.path, "root" if _is_system(path) else "archive"))
    path = path.resolve()
    if target.kind == "sif":
        return ground.kept_of(path, lambda: _sif(path, ground))
    return ground.kept_of(path, lambda: _archive(path, ground, image=target.kind != "archive"))


def look_into_image(layout: Path, ground: Ground, *, root: Path | None = None) -> Contents:
    """What is in the image of an OCI layout; ``root`` is where its layers are unpacked already."""
    image = Layout(layout).choose(ground.arch)
    return ground.kept(image.digest, lambda: _image(layout, image, ground, root))


def _image(layout: Path, image: OciImage, ground: Ground, root: Path | None) -> Contents:
    if root is not None:
        found = read_contents(root, image.digest, "image")
    else:
        with ground.room() as room:
            unpack(layout, image, room / "root")
            found = read_contents(room / "root", image.digest, "image")
    layers = _layers(image)
    return replace(
        found,
        digest=image.digest,
        layers=layers,
        size=sum(layer.size for layer in layers),
        config=_config(image),
    )


def _archive(path: Path, ground: Ground, *, image: bool) -> Contents:
    """A tar: of an image, of the root of a system, or of anything."""
    with ground.room() as room:
        root = room / "root"
        root.mkdir()
        with opened(path) as stream:
            plain = inflated(stream, name=path.name, ratio=Caps().ratio, formats=("gzip", "bzip2", "xz"))
            apply(plain, root, name=path.name)
        if is_file(root, "index.json") and is_file(root, "oci-layout"):
            return look_into_image(root, ground)
        if image or (is_file(root, "manifest.json") and not _is_system(root)):
            remove_tree(root)
            import_image(path, "docker-archive", room / "layout", arch=ground.arch)
            return look_into_image(room / "layout", ground)
        found = read_contents(root, str(path), "root" if _is_system(root) else "archive")
    return _something(replace(found, digest=_digest(path)))


def _sif(path: Path, ground: Ground) -> Contents:
    from djed.toolbox.sif import unpack_sif

    with ground.room() as room:
        root = room / "root"
        root.mkdir()
        sif = unpack_sif(path, root)
        found = read_contents(root, str(path), "sif")
    config: dict[str, Any] = {"labels": dict(sif.labels)} if sif.labels else {}
    if sif.arch:
        config["architecture"] = sif.arch
    if sif.created > 0:
        config["created"] = dt.datetime.fromtimestamp(sif.created, tz=dt.UTC).isoformat()
    return replace(found, digest=_digest(path), config=config)


def _something(found: Contents) -> Contents:
    """Raises ``UnreadableError`` where a folder or tar holds nothing of what is looked for: it was hardly meant."""
    if found.kind == "archive" and not (found.native or found.python or found.interpreters or found.symbols):
        raise UnreadableError(
            f"{found.target} holds no image, and neither packages nor interpreters nor shared libraries."
        )
    return found


def _is_system(root: Path) -> bool:
    # A link, as etc/os-release mostly is, may lead to where it means something only inside.
    return any((root / path).is_symlink() or (root / path).exists() for path in _SYSTEMS)


def _digest(path: Path) -> str:
    with opened(path) as file:
        return digest_stream(file)  # type: ignore[arg-type]  # a file opened in binary is buffered


def _layers(image: OciImage) -> tuple[Layer, ...]:
    told = [
        step
        for step in _list(image.config.get("history"))
        if isinstance(step, dict) and not step.get("empty_layer")
    ]
    by = (
        [step.get("created_by") for step in told]
        if len(told) == len(image.layers)
        else [None] * len(image.layers)
    )
    return tuple(
        Layer(
            digest=layer.digest,
            size=layer.size,
            media_type=layer.media_type,
            created_by=made if isinstance(made, str) and made else None,
        )
        for layer, made in zip(image.layers, by, strict=True)
    )


def _config(image: OciImage) -> dict[str, Any]:
    """What containers of the image get, in our words; what is of another type than it should be is left out."""
    config = image.config
    inner = config.get("config")
    inner = inner if isinstance(inner, dict) else {}
    pairs = [text.partition("=") for text in _list(inner.get("Env")) if isinstance(text, str)]
    found = {
        "architecture": image.arch,
        "created": _text(config.get("created")),
        "variables": {name: value for name, _, value in pairs if name},
        "user": _text(inner.get("User")),
        "workdir": _text(inner.get("WorkingDir")),
        "entrypoint": [word for word in _list(inner.get("Entrypoint")) if isinstance(word, str)],
        "command": [word for word in _list(inner.get("Cmd")) if isinstance(word, str)],
        "labels": {
            name: value for name, value in (inner.get("Labels") or {}).items() if isinstance(value, str)
        }
        if isinstance(inner.get("Labels"), dict)
        else {},
    }
    return {name: value for name, value in found.items() if value}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
