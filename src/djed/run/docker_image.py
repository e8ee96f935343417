"""An image artifact in Docker's own store, which is where Docker runs it from; it is loaded where it is not there, or not any more."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from djed.errors import ToolError
from djed.model.engine import ContainerEngine
from djed.toolbox import process
from djed.toolbox.folder import writing

__all__ = ["Loaded", "forget", "image_digest", "load"]

_LOAD = 1800.0
_ASK = 60.0
"""Seconds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """An image that Docker has."""

    name: str
    variables: frozenset[str]
    """Names of the variables that it brings to every container."""


def load(engine: ContainerEngine, layout: Path, environ: Mapping[str, str], scratch: Path) -> Loaded:
    """See that the engine has the image of ``layout``, a folder of ours; ``scratch`` holds it meanwhile.

    Raises ``ToolError`` where the engine does not take it, ``UnsafeError`` where the layout was tampered with, ``StoreError``.
    """
    from djed.toolbox.oci import Layout, docker_archive  # most jobs need none of it

    image = Layout(layout).choose(platform.machine())
    name = f"djed-{image.digest.partition(':')[2]}"
    client = [engine.path, *engine.arguments]
    if not _has(client, name, environ):
        with writing(scratch), tempfile.NamedTemporaryFile(dir=scratch, prefix=f"{name}.") as archive:
            docker_archive(layout, image, name, cast("BinaryIO", archive))
            archive.flush()
            process.run([*client, "load", "--quiet", "--input", archive.name], env=environ, timeout=_LOAD)
        if not _has(client, name, environ):
            raise ToolError(f"{engine.name} loaded the image {name}, but does not have it.")
    given = (image.config.get("config") or {}).get("Env") or ()
    return Loaded(name=name, variables=frozenset(str(pair).partition("=")[0] for pair in given))


def image_digest(layout: Path) -> str:
    """The digest that an image artifact goes by in an engine. Raises what reading the layout raises."""
    from djed.toolbox.oci import Layout

    return Layout(layout).choose(platform.machine()).digest


def forget(engine: ContainerEngine, digest: str, environ: Mapping[str, str]) -> None:
    """Take the image of that manifest away from the engine, where it has it and no container uses it."""
    client = [engine.path, *engine.arguments]
    process.run([*client, "rmi", f"djed-{digest.partition(':')[2]}"], env=environ, timeout=_ASK, check=False)


def _has(client: list[str], name: str, environ: Mapping[str, str]) -> bool:
    """Raises ``ToolError`` where the engine cannot be asked."""
    asked = process.run([*client, "images", "--quiet", f"{name}:latest"], env=environ, timeout=_ASK)
    return bool(asked.stdout.strip())
