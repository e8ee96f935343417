"""An environment as a Containerfile that can be built by hand, far from us. Pure.

It keeps to what podman, buildah and every Docker since 17 understand: no heredoc, no mount, no syntax line, nothing copied from a
context. What a request brings is never trusted to quoting rules that tools do not share: files are written from base64, names of files
stand in single quotes of the shell, and variables that the strictest of those tools could not take are exported by a start script.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from djed.errors import RequestError, TooLargeError
from djed.model.hardware import Hardware
from djed.model.lock import Lock, LockedPackage
from djed.model.quantity import format_size
from djed.model.request import Environment, File, Run

__all__ = ["HOME", "TOOLS", "host_image", "recipe"]

HOME = "/home/djed"
"""The working directory, as ``WORKDIR`` and ``HOME``."""
TOOLS = "/opt/djed"
"""What we put into the image beside it: the Python environment and what it is made from, the start script."""
_USER = 1042

_LINE = 48 * 1024
"""Bytes of a line: Docker's parser stops at 64 KiB."""
_INSTRUCTION = 96 * 1024
"""Bytes of a ``RUN``: Linux hands no single argument of more than 128 KiB to a program, and ``sh -c`` is given it as one."""
_MOST = 4 * 2**20
"""Bytes of all files: an image has at most 127 layers, and each ``RUN`` is one."""

_IMAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,254}")
_SHEBANG = b"#!"


def host_image(hardware: Hardware) -> str:
    """The image that comes nearest to a machine, by its os-release: ``debian:12``."""
    if not hardware.os:
        return "scratch"
    return f"{hardware.os}:{hardware.os_version}" if hardware.os_version else hardware.os


def recipe(
    environment: Environment,
    *,
    base: str,
    content: Callable[[str], bytes],
    lock: Lock | None = None,
    python: str | None = None,
    run: Run | None = None,
) -> str:
    """The Containerfile. ``content`` gives the bytes of a file by its digest.

    Without a lock the packages are resolved when the image is built. ``python`` is the version that is asked for. Raises
    ``RequestError`` where ``base`` is no name of an image, ``TooLargeError`` where the files are more than 4 MiB together.
    """
    if not _IMAGE.fullmatch(base):
        raise RequestError(f"{base[:80]!r} is not the name of an image.")
    lock = lock or environment.lock
    variables = {**environment.variables, **(run.variables if run else {})}
    files = _files(environment, run, content)
    words = _words(run, files)
    start = _start(variables, words)
    parts = [
        [
            f"FROM {base}",
            "USER root",
            f"WORKDIR {HOME}",
            f'ENV HOME="{HOME}" LANG="C.UTF-8" DJED_OUTPUTS="{HOME}/outputs"',
        ],
        _environment(variables),
        _native(environment.native),
        _stack(environment, lock, python),
        _all_written(files, start),
        [f"RUN mkdir -p outputs && chown -R {_USER}:0 .", f"USER {_USER}", *_command(words, start)],
    ]
    return "\n\n".join("\n".join(part) for part in parts if part) + "\n"


# System


def _native(packages: Iterable[str]) -> list[str]:
    """The tool is chosen where it runs: the recipe does not know what is in the image."""
    names = " ".join(map(_quoted, packages))
    return ["# Native packages", f"RUN {_install(names, names, names)}"] if names else []


def _install(deb: str, rpm: str, apk: str) -> str:
    return " \\\n    ".join((
        "if command -v apt-get >/dev/null; then apt-get update &&",
        f"DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends {deb} && rm -rf /var/lib/apt/lists/*;",
        f"elif command -v dnf >/dev/null; then dnf install -y {rpm};",
        f"elif command -v microdnf >/dev/null; then microdnf install -y {rpm};",
        f"elif command -v yum >/dev/null; then yum install -y {rpm};",
        f"elif command -v apk >/dev/null; then apk add --no-cache {apk};",
        "else echo 'no package manager is known here' >&2; exit 1; fi",
    ))  # fmt: skip


# Python


def _stack(environment: Environment, lock: Lock | None, python: str | None) -> list[str]:
    wanted = _requirements(environment, lock)
    version = (lock.python if lock else None) or python or environment.python
    if not wanted and version is None:
        return []
    plain = version if version and re.fullmatch(r"[0-9]+(\.[0-9]+){1,2}", version) else None
    return [
        "# Python, and what was locked" if lock else "# Python, and what was asked for",
        f"RUN mkdir -p {TOOLS}",
        *_text_written(f"{TOOLS}/requirements.txt", [*_indexes(environment), *wanted] if wanted else ()),
        *_text_written(f"{TOOLS}/constraints.txt", () if lock else environment.constraints),
        _python(plain),
        _venv(plain),
        *([_packages(environment, is_locked=lock is not None)] if wanted else []),
        f'ENV VIRTUAL_ENV="{TOOLS}/env" PATH="{TOOLS}/env/bin:$PATH"',
    ]


def _python(version: str | None) -> str:
    """A Python to begin with, where the image has neither one nor uv."""
    # Debian has Pythons without what makes an environment.
    found = f"command -v uv >/dev/null || \"$({_chosen(version)})\" -c 'import ensurepip' 2>/dev/null"
    packages = ("python3 python3-pip python3-venv", "python3 python3-pip", "python3 py3-pip")
    return f"RUN {found} || {{ {_install(*packages)}; }}"


def _chosen(version: str | None) -> str:
    named = f"command -v python{'.'.join(version.split('.')[:2])} || " if version else ""
    return f"{named}command -v python3"


def _venv(version: str | None) -> str:
    python = f" --python {version}" if version else ""
    return (
        f"RUN if command -v uv >/dev/null; then uv venv{python} {TOOLS}/env; "
        f'else "$({_chosen(version)})" -m venv {TOOLS}/env; fi'
    )


def _packages(environment: Environment, *, is_locked: bool) -> str:
    """With uv where the image has it, else with pip; a lock is installed as it is, each file checked by its hash."""
    wanted, newer = f"-r {TOOLS}/requirements.txt", ""
    if is_locked:
        wanted = f"--no-deps {wanted}"
    else:
        wanted = f"-c {TOOLS}/constraints.txt {wanted}" if environment.constraints else wanted
        newer = f" --exclude-newer {_quoted(environment.exclude_newer)}" if environment.exclude_newer else ""
    return " \\\n    ".join((
        "RUN if command -v uv >/dev/null; then",
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
    script = run.script if run else None
    wanted = [*environment.files, *([script] if isinstance(script, File) else [])]
    found: dict[str, tuple[bytes, bool]] = {}
    size = 0
    for file in wanted:
        size += file.size or 0
        if size > _MOST:
            raise TooLargeError(f"The files are larger than the {format_size(_MOST)} that a recipe can hold.")
        data = content(file.digest) if file.digest else (file.content or "").encode()
        found[file.path] = (data, file.executable or file is script)
    return found


def _all_written(files: Mapping[str, tuple[bytes, bool]], start: str | None) -> list[str]:
    contents = {f"./{path}": found for path, found in files.items()}
    if start is not None:
        contents[f"{TOOLS}/start"] = (start.encode(), True)
    commands = [command for path, found in contents.items() for command in _written(path, *found)]
    return ["# Files", *_instructions(commands)] if commands else []


def _written(path: str, data: bytes, executable: bool) -> Iterator[str]:
    folder, target = path.rpartition("/")[0], _quoted(path)
    if folder != ".":
        yield f"mkdir -p {_quoted(folder)}"
    text = base64.b64encode(data).decode()
    for start in range(0, len(text) or 1, _LINE):
        arrow = ">>" if start else ">"
        # Four characters are three bytes, so that each part can be decoded by itself.
        yield f"printf %s '{text[start : start + _LINE]}' | base64 -d {arrow} {target}"
    if executable:
        yield f"chmod +x {target}"


def _text_written(path: str, lines: Iterable[str]) -> list[str]:
    """A file of lines that people should be able to read in the recipe."""
    found: list[str] = []
    for part in _grouped([_quoted(line) for line in lines]):
        arrow = ">>" if found else ">"
        found.append(" \\\n    ".join(["RUN printf '%s\\n'", *part, f"{arrow} {path}"]))
    return found


def _instructions(commands: Iterable[str]) -> list[str]:
    return ["RUN " + " && \\\n    ".join(part) for part in _grouped(commands)]


def _grouped(texts: Iterable[str]) -> Iterator[list[str]]:
    part: list[str] = []
    size = 0
    for text in texts:
        length = len(text.encode()) + 8
        if part and size + length > _INSTRUCTION:
            yield part
            part, size = [], 0
        part.append(text)
        size += length
    if part:
        yield part


def _quoted(text: str) -> str:
    """In single quotes of the shell, in which only they themselves mean something."""
    return "'" + text.replace("'", "'\\''") + "'"


# Variables and command


def _environment(variables: Mapping[str, str]) -> list[str]:
    r"""In double quotes, where a Containerfile knows no more than ``\\``, ``\"`` and ``\$``."""
    held = {name: re.sub(r'([\\"$])', r"\\\1", value) for name, value in variables.items() if _is_held(value)}
    return ["# Variables", *(f'ENV {name}="{value}"' for name, value in held.items())] if held else []


def _is_held(value: str) -> bool:
    """Whether a line of a Containerfile can hold it, and does so in every tool."""
    return value.isprintable() and len(value.encode()) <= _LINE // 2


def _start(variables: Mapping[str, str], words: Sequence[str]) -> str | None:
    """A start script, where variables or the command do not fit into their own instructions."""
    odd = {name: value for name, value in variables.items() if not _is_held(value)}
    if not odd and _fits(words):
        return None
    exports = [f"export {name}={_quoted(value)}\n" for name, value in odd.items()]
    command = '"$@"' if _fits(words) else " ".join(map(_quoted, words))
    return "".join(["#!/bin/sh\n", *exports, f"exec {command}\n"])


def _fits(words: Sequence[str]) -> bool:
    return len(json.dumps(words)) <= _LINE


def _command(words: Sequence[str], start: str | None) -> list[str]:
    entry = [f'ENTRYPOINT ["{TOOLS}/start"]'] if start is not None else []
    return [*entry, f"CMD {json.dumps(words)}"] if words and _fits(words) else entry


def _words(run: Run | None, files: Mapping[str, tuple[bytes, bool]]) -> list[str]:
    """As the pipeline has it: the shebang counts; without one a ``.py`` file runs under Python, anything else under ``sh``."""
    if run is None or not isinstance(run.script, File):
        return list(run.command) if run else []
    path = run.script.path
    if files[path][0].startswith(_SHEBANG):
        return [f"./{path}", *run.arguments]
    interpreter = "python" if path.endswith(".py") else "/bin/sh"
    return [interpreter, f"./{path}", *run.arguments]
