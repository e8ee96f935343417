"""Artifacts as commands name and show them."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from djed.cli.pages import PAGE, every
from djed.errors import ConflictError, NotFoundError, RequestError
from djed.model.artifact import SINGLE_FILES

if TYPE_CHECKING:
    from djed.model.artifact import ArtifactKind
    from djed.service import Service

__all__ = ["SHORT", "file_name", "find_digest", "next_steps", "short"]

SHORT = 12
"""Digits of a digest that are shown."""
_LEAST = 4
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-f]{1,64})")


def short(digest: str) -> str:
    """The beginning of a digest, by which commands find it."""
    return digest.removeprefix("sha256:")[:SHORT]


def find_digest(engine: Service, text: str) -> str:
    """The digest that begins so. Raises ``RequestError``, ``NotFoundError``, or ``ConflictError`` where several do."""
    match = _DIGEST.fullmatch(text)
    if match is None or len(match[1]) < _LEAST:
        raise RequestError(
            f"{text[:100]!r} is no digest of an artifact.",
            hint=f"Write at least {_LEAST} digits of it; see them with: djed artifacts",
        )
    if len(match[1]) == 64:
        return f"sha256:{match[1]}"
    beginning = f"sha256:{match[1]}"
    found = [
        item.digest
        for item in every(lambda after: engine.artifacts(limit=PAGE, after=after))
        if item.digest.startswith(beginning)
    ]
    if not found:
        raise NotFoundError(f"There is no artifact {text}.", hint="See them with: djed artifacts")
    if len(found) > 1:
        shown = ", ".join(digest[7 : 7 + SHORT] for digest in found[:5])
        raise ConflictError(
            f"{len(found)} artifacts begin with {text}: {shown}.", hint="Write more of the digest."
        )
    return found[0]


def file_name(name: str, kind: ArtifactKind) -> str:
    """What the file of a packaging is called."""
    return name + SINGLE_FILES.get(kind, ".oci.tar")


def next_steps(name: str, kind: ArtifactKind, digest: str) -> list[str]:
    """The commands that bring a packaging to a file here and start it."""
    file = shlex.quote(file_name(name, kind))
    if kind == "image":
        return [f"djed push {short(digest)} oci-archive:{file}", f"podman run --rm oci-archive:{file}"]
    if kind == "sif":
        return [f"djed push {short(digest)} {file}", f"apptainer run ./{file}"]
    return [f"djed push {short(digest)} {file}", f"tar -xzf {file} && ./environment/start"]
