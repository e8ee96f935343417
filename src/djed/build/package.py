"""What all packagers share: a job of our own code, and a product of one file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from djed.build.base import own_code
from djed.build.interface import Assembly
from djed.build.manifest import read_manifest
from djed.errors import ToolError, UnsafeError
from djed.model.job import At, InputFile, Job

__all__ = ["job_of", "product", "single_file"]


def job_of(
    assembly: Assembly,
    subcommand: str,
    *words: str | At,
    files: tuple[InputFile, ...],
    image: str | None = None,
) -> Job:
    """A job that runs a subcommand of :mod:`djed.build.inside`; the environment is there to be read, and the image of that digest."""
    return Job(
        kind="package",
        command=own_code(subcommand, *words),
        files=files,
        limits=assembly.limits,
        environment=assembly.venv.digest if assembly.venv else None,
        image=image,
        tools=True,
        sandbox=assembly.sandbox,
        target=assembly.node.target,
        node=assembly.node.id,
    )


def product(folder: Path) -> None:
    """Check that a folder was left. Raises ``ToolError``, or ``UnsafeError`` where it is something else."""
    if not os.path.lexists(folder):
        raise ToolError(f"The packaging ended well, but left no {folder.name}.")
    if not stat.S_ISDIR(os.lstat(folder).st_mode):
        raise UnsafeError(f"The packaging left something else in place of the {folder.name}.")


def single_file(folder: Path, name: str) -> tuple[str, int]:
    """Manifest and size of a folder that holds just this file. Raises as :func:`product` does."""
    product(folder)
    manifest = read_manifest(folder)
    names = sorted(path.name for path in folder.iterdir())
    if names != [name] or not stat.S_ISREG(os.lstat(folder / name).st_mode):
        raise ToolError(f"The packaging left {names[:5]} where {name} should be.")
    return manifest
