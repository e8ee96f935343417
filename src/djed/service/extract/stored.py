"""Artifacts of the store, by the beginning of their digest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from djed.errors import ConflictError, NotFoundError, RequestError
from djed.observe.contents.read import read_contents
from djed.service.engine import Engine
from djed.service.extract.looking import look, look_into_image
from djed.service.extract.targets import Target, is_file

if TYPE_CHECKING:
    from pathlib import Path

    from djed.config import Config
    from djed.model.artifact import Artifact
    from djed.model.contents import Contents
    from djed.service.extract.ground import Ground

__all__ = ["look_into_artifact"]

_ALGORITHM = "sha256:"


def look_into_artifact(beginning: str, config: Config, ground: Ground) -> Contents:
    """What is in the artifact of this machine whose digest begins so.

    Raises ``NotFoundError``, ``ConflictError`` where several begin so, ``RequestError`` for one that is no environment.
    """
    with Engine.open(config) as engine:
        artifact = _find(engine, _ALGORITHM + beginning.removeprefix(_ALGORITHM))
        folder = engine.store.artifact_path(artifact)
    if not folder.exists():
        raise NotFoundError(f"The files of the artifact {artifact.digest} are not on this machine.")
    return _look(artifact, folder, ground)


def _find(engine: Engine, beginning: str) -> Artifact:
    found, after = [], None
    while True:
        page = engine.artifacts(limit=500, after=after)
        found += [item.digest for item in page.items if item.digest.startswith(beginning)]
        if (after := page.next) is None:
            break
    artifact = engine.artifact(found[0]) if len(found) == 1 else None
    if len(found) > 1:
        raise ConflictError(
            f"{len(found)} artifacts begin with {beginning}.", hint="Give more of the digest."
        )
    if artifact is None:
        raise NotFoundError(
            f"There is no artifact {beginning}.", hint="`djed show ID` tells that of an inspection."
        )
    return artifact


def _look(artifact: Artifact, folder: Path, ground: Ground) -> Contents:
    if artifact.kind == "image":
        root = folder / "root"
        return look_into_image(folder, ground, root=root if root.is_dir() else None)
    if artifact.kind == "venv":
        # Sealed, and checked before each use: its digest stands for what is in it.
        return ground.kept(artifact.digest, lambda: read_contents(folder, artifact.digest, "venv"))
    file = next((path for path in sorted(folder.iterdir()) if is_file(folder, path.name)), None)
    if artifact.kind == "wheel" or file is None:
        raise RequestError(f"The artifact {artifact.digest} is a {artifact.kind}, which is not looked into.")
    return look(Target(kind="sif" if artifact.kind == "sif" else "archive", path=str(file)), ground)
