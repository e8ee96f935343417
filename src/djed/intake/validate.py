"""A document to a submission: read the nouns, fold the requirements in, take the files in, cross-check; then raise every fault at once."""

from __future__ import annotations

import posixpath
from dataclasses import replace

from djed.config import Config
from djed.intake.agreement import check_agreement
from djed.intake.checks import field_checks
from djed.intake.document import Document
from djed.intake.faults import Faults, Place, WrongValueError
from djed.intake.files import Content, Folder
from djed.intake.formats import Requirements
from djed.intake.shape import WRONG, Reader
from djed.intake.submission import Submission
from djed.intake.words import check_path
from djed.model.base import parse_base
from djed.model.request import File, Request, Run
from djed.toolbox.digest import digest_bytes

__all__ = ["validate"]


def validate(document: Document, *, config: Config, folder: Folder | None) -> Submission:
    """The submission that the document makes; files come from ``folder``. Raises ``RequestError`` with every fault."""
    checks = field_checks(config)
    if "base" in document.data:
        from djed.intake import amun

        document = amun.translate(document, checks) if amun.recognise(document.data) else document
    faults = Faults(document.name, document.lines, origin=document.origin, found=document.found)
    request = Reader(checks, faults).noun(Request, document.data)
    if request is WRONG:  # not a mapping
        faults.raise_all()
    files = _Files(folder, config, faults)
    requirements = Requirements(folder=folder, checks=checks, faults=faults, limit=config.limits_request)
    environment = requirements.fold(request.environment)
    environment = replace(
        environment, base=_based(environment.base, folder), files=files.beside(environment.files)
    )
    request = replace(request, environment=environment, run=request.run and files.script(request.run))
    check_agreement(request, document.data, faults)
    faults.raise_all()
    return Submission(request=request, contents=files.contents)


def _based(base: str, folder: Folder | None) -> str:
    """The base with the path of a file or folder whole: it is beside the request, wherever that is read from."""
    try:
        found = parse_base(base)
    except ValueError:  # told already
        return base
    if not found.local or folder is None:
        return base
    return f"{found.kind}:{folder.whole(found.name)}"


class _Files:
    """Takes the contents of files in."""

    def __init__(self, folder: Folder | None, config: Config, faults: Faults) -> None:
        self.contents: dict[str, bytes] = {}
        self._folder = folder
        self._faults = faults
        self._limit = config.limits_files
        self._size = 0

    def beside(self, files: tuple[File, ...]) -> tuple[File, ...]:
        """The files of the environment."""
        place: Place = ("environment", "files")
        if self._faults.under(place):
            return files
        return tuple(self._settle(file, (*place, number)) for number, file in enumerate(files))

    def script(self, run: Run) -> Run:
        """The run with its script as a file; a script that was named by its path lies at the top of the working directory."""
        place: Place = ("run", "script")
        if run.script is None or self._faults.under(place):
            return run
        if isinstance(run.script, File):
            return replace(run, script=self._settle(run.script, place))
        path = posixpath.basename(run.script.rstrip("/"))
        try:
            check_path(path)
            return replace(run, script=self._taken(File(path=path), self._read(run.script)))
        except ValueError as error:
            self._faults.add(place, str(error), getattr(error, "hint", None))
            return run

    def _settle(self, file: File, place: Place) -> File:
        """The file by digest and size alone."""
        given = [key for key in ("source", "content", "digest") if getattr(file, key) is not None]
        if len(given) != 1:
            said = " and ".join(given) or "nothing"
            self._faults.add(
                place, f"{said} says what is in the file", "Write one of source, content and digest."
            )
            return file
        try:
            if file.source is not None:
                return self._taken(file, self._read(file.source))
            if file.content is not None:
                return self._taken(file, Content(data=file.content.encode(), executable=False))
        except WrongValueError as error:
            self._faults.add((*place, given[0]), str(error), error.hint)
        if file.digest is not None and file.size is None:
            self._faults.add((*place, "size"), "is missing", "A file by digest needs its size.")
        return file

    def _read(self, source: str) -> Content:
        if self._folder is None:
            raise WrongValueError("a path means nothing here", hint="Send the content.")
        return self._folder.read(source)

    def _taken(self, file: File, content: Content) -> File:
        self._size += len(content.data)
        if self._size > self._limit:
            raise WrongValueError("the files of the request are too large together")
        digest = digest_bytes(content.data)
        self.contents[digest] = content.data
        return File(
            path=file.path,
            digest=digest,
            size=len(content.data),
            executable=file.executable or content.executable,
        )
