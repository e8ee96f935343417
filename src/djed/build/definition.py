"""An environment as an Apptainer definition file: the same steps as the Containerfile, for ``apptainer build``. Pure.

See https://apptainer.org/docs/user/main/definition_files.html. Text of a request cannot begin a section, for it never begins a line, nor be
taken for a template variable, for two braces never stand together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from djed.build.bundle import HOME, TOOLS
from djed.build.recipe import read_base
from djed.build.steps import LINE, START, Shell, Steps, Written, quoted, steps
from djed.model.base import Base
from djed.model.image import PackageManager
from djed.model.lock import Lock
from djed.model.request import Environment, Run

__all__ = ["definition"]

_BRACES = re.compile(r"\{(?=\{)")
_OUTPUTS = 'export DJED_OUTPUTS="${DJED_OUTPUTS:-$PWD/outputs}"'


def definition(
    environment: Environment,
    *,
    base: str,
    content: Callable[[str], bytes],
    lock: Lock | None = None,
    python: str | None = None,
    run: Run | None = None,
    manager: PackageManager | None = None,
) -> str:
    """The definition file; arguments and errors are those of :func:`djed.build.recipe.recipe`.

    Inside, the image is read-only and the user is who starts it: ``DJED_OUTPUTS`` is the folder ``outputs`` where it is started.
    """
    done = steps(
        environment, content=content, holds=_is_held, lock=lock, python=python, run=run, manager=manager
    )
    parts = [
        list(_bootstrap(read_base(base))),
        ["%post", *_indented(_post(done))],
        ["%environment", *_indented(_environment(done))],
        ["%runscript", *_indented(_runscript(done))],
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _bootstrap(base: Base) -> Iterator[str]:
    if base.kind == "rootfs":
        yield "# Of a folder as it is; unpack an archive into one first."
        yield from ("Bootstrap: localimage", f"From: {base.name}")
    elif base.local:
        yield from (f"Bootstrap: {base.kind}", f"From: {base.name}")
    else:
        yield from ("Bootstrap: docker", f"From: {base.name}")


def _post(done: Steps) -> Iterator[str]:
    yield "set -eu"
    yield f"export HOME={HOME} LANG=C.UTF-8"
    yield f"mkdir -p {HOME} && cd {HOME}"
    yield from _exports(done)
    if done.native:
        yield "# Native packages"
        yield from map(_whole, done.native)
    if done.has_environment:
        yield "# Python, and what was locked" if done.locked else "# Python, and what was asked for"
        yield from map(_shell, done.python)
    if done.files:
        yield "# Files"
        yield from map(_whole, done.files)
        # Whoever starts it may read them.
        yield "chmod -R a+rX ."


def _shell(command: Shell) -> str:
    if not isinstance(command, Written):
        return _whole(command)
    lines = " \\\n    ".join(quoted(line) for line in command.lines)
    return _whole(f"printf '%s\\n' \\\n    {lines} \\\n    > {command.path}")


def _whole(text: str) -> str:
    """No two braces together: text of a request stands in single quotes, which are closed and opened again between them."""
    return _BRACES.sub("{''", text)


def _environment(done: Steps) -> Iterator[str]:
    yield "export LANG=C.UTF-8"
    yield _OUTPUTS
    yield from _exports(done)
    if done.has_environment:
        yield f'export VIRTUAL_ENV="{TOOLS}/env" PATH="{TOOLS}/env/bin:$PATH"'


def _exports(done: Steps) -> Iterator[str]:
    for name, value in done.variables.items():
        yield f"export {name}={_whole(quoted(value))}"


def _runscript(done: Steps) -> Iterator[str]:
    yield 'mkdir -p "$DJED_OUTPUTS"'
    yield f"cd {HOME}"
    if done.words:
        yield f"[ $# -gt 0 ] || set -- {' '.join(_whole(quoted(word)) for word in done.words)}"
    yield f'exec {START} "$@"' if done.start else 'exec "$@"'


def _is_held(text: str) -> bool:
    """Whether a line of a definition can hold it."""
    return text.isprintable() and len(text.encode()) <= LINE // 2


def _indented(lines: Iterator[str]) -> Iterator[str]:
    return (f"    {line}" for line in lines)
