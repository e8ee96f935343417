"""What a recipe does in its base, as commands of a POSIX shell: the same for a Containerfile and for an Apptainer definition. Pure.

What a request brings is never trusted to quoting rules that tools do not share: files are written from base64, names stand in single
quotes, and variables and words that not every tool could take are held by a start script.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from djed.build.bundle import TOOLS, command, files_of, variables_of
from djed.errors import TooLargeError
from djed.model.image import PackageManager
from djed.model.lock import Lock, LockedPackage
from djed.model.quantity import format_size
from djed.model.request import Environment, File, Run

__all__ = ["LINE", "START", "Shell", "Steps", "Written", "quoted", "steps"]

LINE = 48 * 1024
"""Bytes of a line: Docker's parser stops at 64 KiB."""
START = f"{TOOLS}/start"

_MOST = 4 * 2**20
"""Bytes of all files: an image has at most 127 layers, and each part of a file may be one."""
_SHEBANG = b"#!"
_INSTALL: Mapping[PackageManager, str] = {
    "apt": "DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends {} && rm -rf /var/lib/apt/lists/*",
    "dnf": "dnf install -y {}",
    "microdnf": "microdnf install -y {}",
    "yum": "yum install -y {}",
    "apk": "apk add --no-cache {}",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """A file of lines that people should be able to read in a recipe."""

    path: str
    lines: tuple[str, ...]


Shell = str | Written
"""A command, complete in itself; or a file to write."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Steps:
    """What is to be done, in this order; working directory and ``HOME`` are there."""

    native: tuple[str, ...] = ()
    python: tuple[Shell, ...] = ()
    locked: bool = False
    """Whether the Python packages are those of a lock."""
    has_environment: bool = False
    """Whether there is then a Python environment, whose programs come first."""
    files: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    """Those that a line of the recipe can hold."""
    words: tuple[str, ...] = ()
    """The command, where a line can hold it."""
    start: bool = False
    """Whether :data:`START` was written, which sets the other variables and runs what it is given, else the command."""


def steps(
    environment: Environment,
    *,
    content: Callable[[str], bytes],
    holds: Callable[[str], bool],
    lock: Lock | None = None,
    python: str | None = None,
    run: Run | None = None,
    manager: PackageManager | None = None,
) -> Steps:
    """The steps. ``content`` gives the bytes of a file by its digest, ``holds`` says whether a line of the recipe can hold a text.

    Without a lock the packages are resolved when the recipe is built. Raises ``TooLargeError``.
    """
    lock = lock or environment.lock
    files = _files(environment, run, content)
    words = command(run, lambda script: files[script.path][0].startswith(_SHEBANG))
    fits = len(json.dumps(words)) <= LINE and all(map(holds, words))
    variables = variables_of(environment, run)
    odd = {name: value for name, value in variables.items() if not holds(value)}
    start = _start(odd, () if fits else words) if odd or not fits else None
    stack = tuple(_stack(environment, lock, python, manager))
    return Steps(
        native=_native(environment.native, manager),
        python=stack,
        locked=lock is not None,
        has_environment=bool(stack),
        files=tuple(_all_written(files, start)),
        variables={name: value for name, value in variables.items() if name not in odd},
        words=tuple(words) if fits else (),
        start=start is not None,
    )


def quoted(text: str) -> str:
    r"""In single quotes of the shell, in which only they themselves mean something. Apptainer's own shell keeps the backslash of ``\'``."""
    return "'" + text.replace("'", "'\"'\"'") + "'"


# System


def _native(packages: Sequence[str], manager: PackageManager | None) -> tuple[str, ...]:
    names = " ".join(map(quoted, packages))
    return (_install(manager, names, names, names),) if names else ()


def _install(manager: PackageManager | None, deb: str, rpm: str, apk: str) -> str:
    """With the package manager of the base; where it is not known, the recipe chooses when it is built."""
    names: Mapping[PackageManager, str] = {"apt": deb, "dnf": rpm, "microdnf": rpm, "yum": rpm, "apk": apk}
    lines = {tool: text.format(names[tool]) for tool, text in _INSTALL.items()}
    if manager is not None:
        return ("apt-get update && \\\n    " if manager == "apt" else "") + lines[manager]
    return " \\\n    ".join((
        "if command -v apt-get >/dev/null; then apt-get update &&",
        f"{lines['apt']};",
        *(f"elif command -v {tool} >/dev/null; then {lines[tool]};" for tool in ("dnf", "microdnf", "yum", "apk")),
        "else echo 'no package manager is known here' >&2; exit 1; fi",
    ))  # fmt: skip


# Python


def _stack(
    environment: Environment, lock: Lock | None, python: str | None, manager: PackageManager | None
) -> Iterator[Shell]:
    wanted = _requirements(environment, lock)
    version = (lock.python if lock else None) or python or environment.python
    if not wanted and version is None:
        return
    plain = version if version and re.fullmatch(r"[0-9]+(\.[0-9]+){1,2}", version) else None
    yield f"mkdir -p {TOOLS}"
    if wanted:
        yield Written(path=f"{TOOLS}/requirements.txt", lines=(*_indexes(environment), *wanted))
    if environment.constraints and lock is None:
        yield Written(path=f"{TOOLS}/constraints.txt", lines=environment.constraints)
    yield _python(plain, manager)
    yield _venv(plain)
    if wanted:
        yield _packages(environment, is_locked=lock is not None)


def _python(version: str | None, manager: PackageManager | None) -> str:
    """A Python to begin with, where the image has neither one nor uv."""
    # Debian has Pythons without what makes an environment.
    found = f"command -v uv >/dev/null || \"$({_chosen(version)})\" -c 'import ensurepip' 2>/dev/null"
    packages = ("python3 python3-pip python3-venv", "python3 python3-pip", "python3 py3-pip")
    return f"{found} || {{ {_install(manager, *packages)}; }}"


def _chosen(version: str | None) -> str:
    named = f"command -v python{'.'.join(version.split('.')[:2])} || " if version else ""
    return f"{named}command -v python3"


def _venv(version: str | None) -> str:
    python = f" --python {version}" if version else ""
    return (
        f"if command -v uv >/dev/null; then uv venv{python} {TOOLS}/env; "
        f'else "$({_chosen(version)})" -m venv {TOOLS}/env; fi'
    )


def _packages(environment: Environment, *, is_locked: bool) -> str:
    """With uv where the image has it, else with pip; a lock is installed as it is, each file checked by its hash."""
    wanted, newer = f"-r {TOOLS}/requirements.txt", ""
    if is_locked:
        wanted = f"--no-deps {wanted}"
    else:
        wanted = f"-c {TOOLS}/constraints.txt {wanted}" if environment.constraints else wanted
        newer = f" --exclude-newer {quoted(environment.exclude_newer)}" if environment.exclude_newer else ""
    return " \\\n    ".join((
        "if command -v uv >/dev/null; then",
        f"uv pip install --python {TOOLS}/env/bin/python --index-strategy unsafe-best-match{newer} {wanted};",
        f"else {TOOLS}/env/bin/python -m pip install --no-cache-dir {wanted}; fi",
    ))  # fmt: skip


def _indexes(environment: Environment) -> Iterator[str]:
    """Tools merge what they are given here; the hashes of a lock keep a package to the index that it came from."""
    for index in environment.indexes:
        yield f"--extra-index-url {index.url}" if index.packages else f"--index-url {index.url}"


def _requirements(environment: Environment, lock: Lock | None) -> list[str]:
    if lock is None:
        return list(environment.packages)
    are_known = all(_hashes(package) for package in lock.packages)
    return [line for package in lock.packages for line in _requirement(package, hashed=are_known)]


def _requirement(package: LockedPackage, *, hashed: bool) -> list[str]:
    """One requirement, over several lines: there may be hundreds of hashes."""
    marker = f" ; {package.marker}" if package.marker else ""
    lines = [f"{package.name}=={package.version}{marker}"]
    if hashed:
        lines += [f"    --hash={text}" for text in _hashes(package)]
    return [*(f"{line} \\" for line in lines[:-1]), lines[-1]]


def _hashes(package: LockedPackage) -> list[str]:
    files = (*package.wheels, *([package.sdist] if package.sdist else ()))
    found = {f"{name}:{digest}" for file in files for name, digest in file.hashes.items()}
    return sorted(found | set(package.hashes))


# Files


def _files(
    environment: Environment, run: Run | None, content: Callable[[str], bytes]
) -> dict[str, tuple[bytes, bool]]:
    """Content by path, and whether it can be executed."""
    found: dict[str, tuple[bytes, bool]] = {}
    size = 0
    for file in files_of(environment, run):
        size += file.size or 0
        if size > _MOST:
            raise TooLargeError(f"The files are larger than the {format_size(_MOST)} that a recipe can hold.")
        found[file.path] = (_bytes(file, content), file.executable)
    return found


def _bytes(file: File, content: Callable[[str], bytes]) -> bytes:
    return content(file.digest) if file.digest else (file.content or "").encode()


def _all_written(files: Mapping[str, tuple[bytes, bool]], start: str | None) -> Iterable[str]:
    contents = {f"./{path}": found for path, found in files.items()}
    if start is not None:
        contents[START] = (start.encode(), True)
    for path, found in contents.items():
        yield from _written(path, *found)


def _written(path: str, data: bytes, executable: bool) -> Iterator[str]:
    folder, target = path.rpartition("/")[0], quoted(path)
    if folder != ".":
        yield f"mkdir -p {quoted(folder)}"
    text = base64.b64encode(data).decode()
    for start in range(0, len(text) or 1, LINE):
        arrow = ">>" if start else ">"
        # Four characters are three bytes, so that each part can be decoded by itself.
        yield f"printf %s '{text[start : start + LINE]}' | base64 -d {arrow} {target}"
    if executable:
        yield f"chmod +x {target}"


def _start(variables: Mapping[str, str], words: Sequence[str]) -> str:
    """The start script: variables and a command that do not fit into the recipe's own instructions."""
    exports = [f"export {name}={quoted(value)}\n" for name, value in variables.items()]
    own = f"[ $# -gt 0 ] || set -- {' '.join(map(quoted, words))}\n" if words else ""
    return "".join(["#!/bin/sh\n", *exports, own, 'exec "$@"\n'])
