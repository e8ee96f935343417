"""An image on another one: the base's blobs as they are, new layers above, a new configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from djed.toolbox.oci.layout import Layout
from djed.toolbox.oci.nouns import LAYER, Descriptor, OciImage
from djed.toolbox.oci.writing import NewLayout, canonical

__all__ = ["LayerFile", "extend"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerFile:
    """A layer that ``write_layer`` wrote into a file."""

    path: Path
    digest: str
    diff_id: str
    size: int
    comment: str = ""
    """What made it, for the history of the image."""


def extend(
    layout: Path,
    image: OciImage,
    layers: Sequence[LayerFile],
    *,
    config: Mapping[str, Any],
    into: Path,
    epoch: int = 0,
    complete: bool = True,
) -> OciImage:
    """Write a new layout with ``image`` and these layers above it.

    ``config`` changes what containers get (``Env``, ``Entrypoint``, ``Cmd``, ``WorkingDir``, ``User``, ``Labels`` …): ``Env``, a mapping
    or a list of ``NAME=value``, and ``Labels`` are merged by name, everything else is replaced, or removed by None. The same input gives
    the same digest. Blobs are other names of the files given, where the file system allows; without ``complete`` those of ``image`` are
    left out, for the caller to add.
    """
    new = NewLayout(into)
    source = Layout(layout)
    for layer in image.layers if complete else ():
        new.link(source.folder / layer.blob, layer.digest)
    added = []
    for one in layers:
        new.link(one.path, one.digest)
        added.append(Descriptor(media_type=LAYER, digest=one.digest, size=one.size))
    created = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    new.finish(canonical(_config(image, layers, config, created)), [*image.layers, *added])
    return Layout(into).choose(image.arch)


def _config(
    image: OciImage, layers: Sequence[LayerFile], changes: Mapping[str, Any], created: str
) -> dict[str, Any]:
    settings = dict(image.config)
    inner = dict(settings.get("config") or {})
    for key, value in changes.items():
        if value is None:
            inner.pop(key, None)
        elif key == "Env":
            inner[key] = _merged(inner.get(key) or [], value)
        elif key == "Labels":
            inner[key] = {**(inner.get(key) or {}), **value}
        else:
            inner[key] = value
    history = [{"created": created, "created_by": one.comment or "djed"} for one in layers]
    settings |= {
        "created": created,
        "config": inner,
        "rootfs": {"type": "layers", "diff_ids": [*image.diff_ids, *(one.diff_id for one in layers)]},
        "history": [*(settings.get("history") or []), *history],
    }
    # What a builder noted about its own container is not true of this image.
    for key in ("container", "container_config", "docker_version"):
        settings.pop(key, None)
    return settings


def _merged(before: Sequence[str], changes: Mapping[str, str] | Sequence[str]) -> list[str]:
    variables = dict(one.partition("=")[::2] for one in before)
    if not isinstance(changes, Mapping):
        changes = dict(one.partition("=")[::2] for one in changes)
    return [f"{name}={value}" for name, value in {**variables, **changes}.items()]
