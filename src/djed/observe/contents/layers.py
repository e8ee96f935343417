"""What is inside an image that nobody has unpacked."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from djed.model.contents import Contents, Layer
from djed.observe.contents.cache import cached
from djed.observe.contents.read import read_contents
from djed.toolbox.fs import remove_tree
from djed.toolbox.oci import ImageKind, Layout, OciImage, import_image, unpack

__all__ = ["read_image", "read_layers"]

# Of the configuration: what says nothing but how the image was made.
_NOT_KEPT = ("history", "rootfs")
_MAX_COMMAND = 500


def read_image(
    source: Path,
    kind: ImageKind,
    target: str,
    *,
    arch: str,
    cache: Path | None = None,
    scratch: Path | None = None,
) -> Contents:
    """What is in the image for machine ``arch`` that ``source`` holds: a layout, an archive of one or of Docker's, or a root.

    As :func:`read_layers`; raises what ``import_image`` raises besides.
    """
    if kind == "oci":
        return read_layers(source, target, arch=arch, cache=cache, scratch=scratch)
    with _folder(scratch) as folder:
        import_image(source, kind, folder / "layout", arch=arch)
        return read_layers(folder / "layout", target, arch=arch, cache=cache, scratch=scratch)


def read_layers(
    layout: Path, target: str, *, arch: str, cache: Path | None = None, scratch: Path | None = None
) -> Contents:
    """What is in the image for machine ``arch`` of an OCI layout, which is called ``target``.

    Its layers are unpacked into a folder below ``scratch`` (else the system's for temporary files) that is removed again; where the
    folder ``cache`` has its contents by its digest already, nothing is unpacked. Raises ``UnreadableError``, ``UnsafeError``, and
    ``RefusedError`` for an image for another machine.
    """
    image = Layout(layout).choose(arch)

    def make() -> Contents:
        with _folder(scratch) as folder:
            unpack(layout, image, folder / "root")
            found = read_contents(folder / "root", target, "image")
        return replace(
            found,
            digest=image.digest,
            layers=_layers(image),
            size=sum(layer.size for layer in image.layers),
            config={key: value for key, value in image.config.items() if key not in _NOT_KEPT},
        )

    contents = make() if cache is None else cached(cache, image.digest, make)
    return replace(contents, target=target)


def _layers(image: OciImage) -> tuple[Layer, ...]:
    made_by = iter(_history(image.config))
    return tuple(
        Layer(
            digest=layer.digest, size=layer.size, media_type=layer.media_type, created_by=next(made_by, None)
        )
        for layer in image.layers
    )


def _history(config: Mapping[str, Any]) -> Iterator[str | None]:
    """What made each layer; steps that made none are passed over."""
    history = config.get("history")
    for step in history if isinstance(history, list) else ():
        if isinstance(step, dict) and not step.get("empty_layer"):
            command = step.get("created_by")
            yield command[:_MAX_COMMAND] if isinstance(command, str) else None


@contextmanager
def _folder(scratch: Path | None) -> Iterator[Path]:
    """A folder that goes away with all that a hostile image makes in it."""
    folder = Path(tempfile.mkdtemp(prefix="djed-contents-", dir=scratch))
    try:
        yield folder
    finally:
        remove_tree(folder)
