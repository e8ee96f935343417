"""The ways in: a request file, a mapping, a script alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from djed.config import Config
from djed.intake.document import ENDINGS, Document, parse, tidy
from djed.intake.faults import UnreadableError, WrongValueError, stop
from djed.intake.files import Content, Folder, read_regular
from djed.intake.submission import Submission
from djed.intake.validate import validate

__all__ = ["read_file", "read_mapping", "read_script"]


def read_file(path: Path, *, config: Config) -> Submission:
    """The request in a file: YAML, JSON or TOML by its ending, else a script. Raises ``RequestError``."""
    if not path.name.endswith(ENDINGS):
        return read_script(path, config=config)
    document = parse(path.name, _read(path, config.limits_request).data)
    return validate(document, config=config, folder=_folder(path, config))


def read_mapping(data: Mapping[str, Any], *, config: Config, folder: Path | None = None) -> Submission:
    """The request in a mapping of plain values. Without a folder it cannot name files by their paths. Raises ``RequestError``."""
    try:
        document = Document(name="request", data=tidy(data))
    except UnreadableError as error:
        raise stop("request", str(error)) from error
    return validate(
        document, config=config, folder=None if folder is None else Folder(folder, budget=config.limits_files)
    )


def read_script(path: Path, *, config: Config, arguments: Sequence[str] = ()) -> Submission:
    """The request that a script makes by itself, with what its inline metadata says (PEP 723). Raises ``RequestError``."""
    from djed.intake import inline

    content = _read(path, config.limits_files)
    if not content.data.strip():
        raise stop(path.name, "the file is empty")
    if not path.name.endswith((".py", ".sh")) and not content.data.startswith(b"#!"):
        raise stop(
            path.name,
            "this is neither a request nor a script",
            hint=f"A request ends in {', '.join(ENDINGS)}; a script in .py or .sh, or it begins with #! and its interpreter.",
        )
    document = inline.document(path.name, content.data, arguments=arguments, limit=config.limits_request)
    return validate(document, config=config, folder=_folder(path, config))


def _folder(path: Path, config: Config) -> Folder:
    return Folder(path.parent, budget=config.limits_files)


def _read(path: Path, limit: int) -> Content:
    try:
        return read_regular(path, limit=limit)
    except WrongValueError as error:
        raise stop(path.name, str(error), hint=error.hint) from error
