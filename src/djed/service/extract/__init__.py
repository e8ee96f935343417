"""What is inside an image, an archive, an Apptainer file, a virtual environment, a folder or an artifact.

There is no call for this over HTTP: it looks at what lies on the machine of who asks. A server would look at its own files, which are
nobody's business but its operator's, or would have to be sent whole images; what it has built itself it tells by the artifact already.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from djed.errors import NotFoundError, UnreadableError
from djed.service.extract.ground import Ground
from djed.service.extract.targets import parse

if TYPE_CHECKING:
    from djed.config import Config
    from djed.model.contents import Contents

__all__ = ["extract", "extract_log"]


def extract(text: str, config: Config, *, arch: str | None = None, name: str | None = None) -> Contents:
    """What is inside ``text`` (see :func:`djed.service.extract.targets.parse`), which the answer calls ``name``.

    ``arch`` chooses among the machines that an image is made for; without it, this one. Images and files that were looked into before are
    answered from ``contents`` in the data folder. Everything temporary lies there, too, and is gone afterwards.

    Raises ``NotFoundError`` and ``UnreadableError`` for what is not there or not known, ``RefusedError`` for an image of another
    machine, ``UnsafeError`` for a hostile one, ``MissingPartError``, ``ToolError``, ``StoreError`` and their kin.
    """
    target = parse(text)
    ground = Ground(config.data / "contents", arch or platform.machine())
    # Imported when needed: all start slowly, and what is kept needs none of them.
    if target.kind == "artifact":
        from djed.service.extract.stored import look_into_artifact

        found = look_into_artifact(target.path, config, ground)
    elif target.kind == "name":
        from djed.service.extract.fetching import fetched

        found = fetched(target.path, ground, insecure=config.registries_insecure)
    else:
        from djed.service.extract.looking import look

        found = look(target, ground)
    return replace(found, target=name or text)


def extract_log(path: str, *, name: str | None = None) -> Contents:
    """What a build log says was installed; ``-`` is stdin. Raises ``NotFoundError``, ``UnreadableError``, ``TooLargeError``."""
    from djed.observe.buildlog import read_log

    try:
        with _log(path) as stream:
            return read_log(stream, target=name or ("stdin" if path == "-" else path))
    except OSError as error:
        raise UnreadableError(f"{path} cannot be read: {error.strerror}.") from error


@contextmanager
def _log(path: str) -> Iterator[BinaryIO]:
    if path == "-":
        yield sys.stdin.buffer
        return
    try:
        with Path(path).open("rb") as stream:  # a pipe, too: <(kubectl logs …)
            yield stream
    except FileNotFoundError as error:
        raise NotFoundError(f"There is no {path}.") from error
