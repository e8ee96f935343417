"""What a packaging holds beside the environment: files, variables, and the command that is run. The same for every form of it. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from djed.build.base import build_error
from djed.build.interface import Assembly
from djed.model.artifact import Artifact
from djed.model.codec import encode
from djed.model.job import InputFile
from djed.model.request import Environment, File, Run

__all__ = [
    "EPOCH",
    "HOME",
    "PLAN",
    "TOOLS",
    "USER",
    "Bundle",
    "bundle",
    "command",
    "files_of",
    "image_of",
    "ingredients",
    "inputs",
    "variables_of",
]

HOME = "/home/djed"
"""The working directory inside, and ``HOME``."""
TOOLS = "/opt/djed"
"""What we put beside it: the Python environment, the start script."""
USER = 1042
"""Who runs inside, and owns the working directory; its group is 0."""
EPOCH = 315_532_800
"""The time of every file where ``SOURCE_DATE_EPOCH`` names none: 1980-01-01, the first that a zip file can hold."""
PLAN = "plan.json"

_SHEBANG = b"#!"
_EPOCH = "SOURCE_DATE_EPOCH"
_LATEST = 2**32
"""Seconds that every format for file times can hold."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bundle:
    """Files, variables, command and time."""

    files: tuple[File, ...]
    variables: Mapping[str, str]
    words: tuple[str, ...]
    """The command; empty: there is none."""
    epoch: int


def bundle(assembly: Assembly) -> Bundle:
    """What the request asks for. Raises ``BuildError`` for a ``SOURCE_DATE_EPOCH`` that is no time."""
    environment, run = assembly.environment, assembly.run

    def has_shebang(script: File) -> bool:
        if script.digest is None:
            return (script.content or "").encode().startswith(_SHEBANG)
        assert assembly.content is not None
        return assembly.content(script.digest).startswith(_SHEBANG)

    variables = variables_of(environment, run)
    return Bundle(
        files=files_of(environment, run),
        variables=variables,
        words=command(run, has_shebang),
        epoch=_epoch(variables),
    )


def variables_of(environment: Environment, run: Run | None) -> dict[str, str]:
    """Those of the environment, then those of the run."""
    return {**environment.variables, **(run.variables if run else {})}


def files_of(environment: Environment, run: Run | None) -> tuple[File, ...]:
    """Those of the environment, then the script, which can be executed whatever its own bits say."""
    script = run.script if run else None
    own = (replace(script, executable=True),) if isinstance(script, File) else ()
    return (*environment.files, *own)


def command(run: Run | None, has_shebang: Callable[[File], bool]) -> tuple[str, ...]:
    """As a run has it: the shebang counts; without one a ``.py`` file runs under Python, anything else under ``sh``."""
    if run is None or not isinstance(run.script, File):
        return tuple(run.command) if run else ()
    path = f"./{run.script.path}"
    if has_shebang(run.script):
        return (path, *run.arguments)
    interpreter = "python" if run.script.path.endswith(".py") else "/bin/sh"
    return (interpreter, path, *run.arguments)


def _epoch(variables: Mapping[str, str]) -> int:
    """See https://reproducible-builds.org/specs/source-date-epoch/."""
    text = variables.get(_EPOCH)
    if text is None:
        return EPOCH
    if not (text.isascii() and text.isdigit() and int(text) < _LATEST):
        raise build_error(
            "build", "refused", f"{_EPOCH} is {text[:40]!r}, which is no time.", hint="Give it as Unix time."
        )
    return int(text)


def ingredients(assembly: Assembly) -> dict[str, Any]:
    """What of a bundle decides its digest."""
    environment, run = assembly.environment, assembly.run
    return {
        "image": assembly.image and assembly.image.digest,
        "venv": assembly.venv and assembly.venv.digest,
        "files": [
            [file.path, file.digest, file.content, file.executable] for file in files_of(environment, run)
        ],
        "script": isinstance(run.script, File) and run.script.path if run else None,
        "command": [*run.command, *run.arguments] if run else None,
        "variables": variables_of(environment, run),
        "salt": assembly.salt,
    }


def inputs(wanted: Bundle, plan: Mapping[str, Any]) -> tuple[InputFile, ...]:
    """The files of a packaging job: each under a number, so that no name of a request means anything, and the plan with their names."""
    files = [
        {"path": file.path, "input": str(number), "executable": file.executable}
        for number, file in enumerate(wanted.files)
    ]
    whole = {
        **plan,
        "files": files,
        "variables": encode(wanted.variables),
        "command": list(wanted.words),
        "epoch": wanted.epoch,
    }
    return (
        InputFile(path=PLAN, text=json.dumps(whole, ensure_ascii=True, sort_keys=True)),
        *(
            InputFile(path=str(number), digest=file.digest, text=None if file.digest else file.content or "")
            for number, file in enumerate(wanted.files)
        ),
    )


def image_of(assembly: Assembly) -> Artifact:
    """The image below. Raises ``BuildError`` where the environment rests on none."""
    if assembly.image is None or assembly.image.image is None:
        raise build_error(
            "build",
            "refused",
            "An image cannot be made of an environment that rests on this machine.",
            hint="Name a base that is an image (environment.base), or package it as an archive.",
        )
    return assembly.image
