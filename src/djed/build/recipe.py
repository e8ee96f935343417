"""An environment as a Containerfile that can be built by hand, far from us. Pure.

It keeps to what podman, buildah and every Docker since 17 understand: no heredoc, no mount, no syntax line, nothing copied from a
context. What it does is :mod:`djed.build.steps`; here is how such a file writes it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping

from djed.build.bundle import HOME, TOOLS, USER
from djed.build.steps import LINE, START, Shell, Steps, Written, quoted, steps
from djed.errors import RequestError
from djed.model.base import Base, parse_base
from djed.model.hardware import Hardware
from djed.model.image import PackageManager
from djed.model.lock import Lock
from djed.model.request import Environment, Run

__all__ = ["HOME", "TOOLS", "host_image", "read_base", "recipe"]

_INSTRUCTION = 96 * 1024
"""Bytes of a ``RUN``: Linux hands no single argument of more than 128 KiB to a program, and ``sh -c`` is given it as one."""
_LOADED = "localhost/djed-base"
"""What a base is called in an engine that it must be brought into first."""


def host_image(hardware: Hardware) -> str:
    """The image that comes nearest to a machine, by its os-release: ``debian:12``."""
    if not hardware.os:
        return "scratch"
    return f"{hardware.os}:{hardware.os_version}" if hardware.os_version else hardware.os


def read_base(text: str) -> Base:
    """The base that a recipe begins with. Raises ``RequestError`` where it is no image, or its path fits into no line."""
    try:
        base = parse_base(text)
    except ValueError as error:
        raise RequestError(f"{text[:80]!r} is not the name of an image.") from error
    if base.kind == "host" or not base.name.isprintable():
        raise RequestError(f"{text[:80]!r} is not the name of an image.")
    return base


def recipe(
    environment: Environment,
    *,
    base: str,
    content: Callable[[str], bytes],
    lock: Lock | None = None,
    python: str | None = None,
    run: Run | None = None,
    manager: PackageManager | None = None,
) -> str:
    """The Containerfile. ``content`` gives the bytes of a file by its digest.

    Without a lock the packages are resolved when the image is built. ``python`` is the version that is asked for, ``manager`` the package
    manager of the base, where it is known. Raises ``RequestError`` where ``base`` is no image, ``TooLargeError`` where the files are more
    than 4 MiB together.
    """
    done = steps(
        environment, content=content, holds=_is_held, lock=lock, python=python, run=run, manager=manager
    )
    parts = [
        [
            *_from(read_base(base)),
            "USER root",
            f"WORKDIR {HOME}",
            f'ENV HOME="{HOME}" LANG="C.UTF-8" DJED_OUTPUTS="{HOME}/outputs"',
        ],
        _environment(done.variables),
        ["# Native packages", *_instructions(done.native)] if done.native else [],
        _python(done),
        ["# Files", *_instructions(_grouped(done.files, " && \\\n    "))] if done.files else [],
        [f"RUN mkdir -p outputs && chown -R {USER}:0 .", f"USER {USER}", *_command(done)],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


def _from(base: Base) -> list[str]:
    """Its name; what lies in a file or folder is brought into the engine first, which no instruction can do."""
    if not base.local:
        return [f"FROM {base.name}"]
    path = quoted(base.name)
    if base.kind == "rootfs":
        ways = [
            f"podman import {path} {_LOADED}    (of a folder: tar -C {path} -c . | podman import - {_LOADED})"
        ]
    else:
        source = quoted(f"{base.kind}:{base.name}")
        ways = [
            f"skopeo copy {source} containers-storage:{_LOADED}",
            f"skopeo copy {source} docker-daemon:{_LOADED}:latest",
        ]
    return ["# Bring the base into your engine first:", *(f"#   {way}" for way in ways), f"FROM {_LOADED}"]


def _environment(variables: Mapping[str, str]) -> list[str]:
    r"""In double quotes, where a Containerfile knows no more than ``\\``, ``\"`` and ``\$``."""
    held = {name: re.sub(r'([\\"$])', r"\\\1", value) for name, value in variables.items()}
    return ["# Variables", *(f'ENV {name}="{value}"' for name, value in held.items())] if held else []


def _is_held(value: str) -> bool:
    """Whether a line of a Containerfile can hold it, and does so in every tool."""
    return value.isprintable() and len(value.encode()) <= LINE // 2


def _python(done: Steps) -> list[str]:
    if not done.has_environment:
        return []
    return [
        "# Python, and what was locked" if done.locked else "# Python, and what was asked for",
        *_instructions(done.python),
        f'ENV VIRTUAL_ENV="{TOOLS}/env" PATH="{TOOLS}/env/bin:$PATH"',
    ]


def _instructions(commands: Iterable[Shell]) -> Iterator[str]:
    for command in commands:
        if isinstance(command, Written):
            yield from _text_written(command)
        else:
            yield f"RUN {command}"


def _text_written(file: Written) -> Iterator[str]:
    arrow = ">"
    for part in _grouped(map(quoted, file.lines), " \\\n    "):
        yield f"RUN printf '%s\\n' \\\n    {part} \\\n    {arrow} {file.path}"
        arrow = ">>"


def _grouped(texts: Iterable[str], separator: str) -> Iterator[str]:
    """As few texts as instructions can hold."""
    part: list[str] = []
    size = 0
    for text in texts:
        length = len(text.encode()) + 8
        if part and size + length > _INSTRUCTION:
            yield separator.join(part)
            part, size = [], 0
        part.append(text)
        size += length
    if part:
        yield separator.join(part)


def _command(done: Steps) -> list[str]:
    if not done.words:
        return [f'ENTRYPOINT ["{START}"]'] if done.start else []
    # What the base itself would start is not what was asked for.
    entry = f'ENTRYPOINT ["{START}"]' if done.start else "ENTRYPOINT []"
    return [entry, f"CMD {json.dumps(done.words)}"]
