"""What the packaging subcommands share: the plan, and the files of a request under their own names."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from djed.errors import UnsafeError

__all__ = ["place_files", "read_plan"]

_FILES = "bundled"


def read_plan(path: Path) -> dict[str, Any]:
    """The plan that :func:`djed.build.bundle.inputs` wrote."""
    return dict(json.loads(path.read_bytes()))


def place_files(plan: Mapping[str, Any], inputs: Path) -> Path:
    """A folder with the files as the request names them, and an empty ``outputs``; of several at one path the last counts.

    Raises ``UnsafeError`` where a name is folder and file at once, or leads out.
    """
    folder = inputs / _FILES
    (folder / "outputs").mkdir(parents=True)
    for file in plan["files"]:
        parts = [part for part in file["path"].split("/") if part not in {"", "."}]
        if not parts or ".." in parts or parts[0] == "outputs":
            raise UnsafeError(f"{file['path']!r} is not the path of a file in the working directory.")
        target = folder.joinpath(*parts)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            shutil.copyfile(inputs / file["input"], target)
        except (FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
            raise UnsafeError(f"{file['path']!r} would be both a folder and a file.") from error
        target.chmod(0o755 if file["executable"] else 0o644)
    return folder
