"""``archive PLAN ENVIRONMENT INTO``: an environment with files, variables and a command as a tar.gz that runs wherever it is unpacked.

``ENVIRONMENT`` is the folder of a virtual environment, or empty. The archive is the same, byte for byte, for the same environment and plan.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

from djed.build.inside.bundled import place_files, read_plan
from djed.toolbox.layers import TextFile, Tree, write_layer

__all__ = ["run"]

_TOP = "/environment"
_LEVEL = 6
_READ_ONLY = frozenset({"EUID", "GID", "PPID", "UID"})
"""What shells refuse to set, and then end."""


def run(arguments: Sequence[str]) -> None:
    """Write the archive to the file ``INTO``."""
    plan_file, environment, into = arguments
    plan = read_plan(Path(plan_file))
    files = place_files(plan, Path(plan_file).parent)
    parts: list[Tree | TextFile] = [
        Tree(source=files, target=f"{_TOP}/files"),
        TextFile(path=f"{_TOP}/start", data=start_script(plan).encode(), mode=0o755),
        TextFile(path=f"{_TOP}/djed.json", data=_description(plan)),
    ]
    if environment:
        parts.append(Tree(source=Path(environment), target=f"{_TOP}/env"))
    Path(into).parent.mkdir(parents=True, exist_ok=True)
    with (
        Path(into).open("xb") as file,
        gzip.GzipFile(filename="", mode="wb", compresslevel=_LEVEL, fileobj=file, mtime=0) as squeezed,
    ):
        write_layer(parts, cast("BinaryIO", squeezed), epoch=plan["epoch"])


def _description(plan: Mapping[str, Any]) -> bytes:
    """What is in it, for people and programs."""
    return (json.dumps(plan["description"], indent=2, sort_keys=True) + "\n").encode()


def start_script(plan: Mapping[str, Any]) -> str:
    """The program ``start``: what is to be run, or its own arguments, in the environment, wherever that is."""
    python, variables = plan["python"], dict(plan["variables"])
    words = " ".join(map(_quoted, plan["command"]))
    path = _quoted(variables.pop("PATH")) if "PATH" in variables else '"$PATH"'
    return "".join((
        _HEAD,
        _PYTHON.format(**{name: _quoted(value) for name, value in python.items()}) if python else "",
        _COMMAND.format(words=words) if words else _NO_COMMAND,
        _PATH.format(path=path) if python else f"export PATH={path}\n",
        # Last: whatever they are called, nothing of ours is read after them.
        *(f"export {name}={_quoted(value)}\n" for name, value in variables.items() if name not in _READ_ONLY),
        'exec "$@"\n',
    ))  # fmt: skip


def _quoted(text: str) -> str:
    """In single quotes of the shell."""
    return "'" + text.replace("'", "'\\''") + "'"


_HEAD = """\
#!/bin/sh
# Usage: start [COMMAND [ARGUMENT...]]
# Runs a command in this environment; without one, in the folder "files", what the environment was made for.
set -eu
# A path may end with line ends, which a substitution takes away.
here=$(readlink -f -- "$0" && printf x) || { echo "start: cannot tell where it lies" >&2; exit 127; }
here=${here%?x}
here=${here%/*}
"""
_PYTHON = """\
version={version} built={path} arch={arch}
if [ "$(uname -m)" != "$arch" ]; then
    echo "start: this environment is for $arch, and this machine is $(uname -m)." >&2
    exit 126
fi
fits() {{
    "$1" -I -S -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] != sys.argv[1])' "$version" 2>/dev/null
}}
if ! fits "$here/env/bin/python"; then
    # The Python that it was built with is not here: another one of that version takes its place.
    found=
    for python in "$built" "$(command -v "python$version" || :)" "$(command -v python3 || :)"; do
        if [ -n "$python" ] && fits "$python"; then found=$python; break; fi
    done
    if [ -z "$found" ]; then
        echo "start: this environment needs Python $version, and none was found: install it, or put it on the PATH." >&2
        exit 127
    fi
    # Each by rename, and the link last, for several may start at once.
    home=$("$found" -I -S -c 'import os, sys; print(os.path.dirname(os.path.realpath(sys.executable)))')
    cfg=$here/env/.pyvenv.cfg.$$ link=$here/env/bin/.python.$$
    if ! {{
        {{ printf 'home = %s\\n' "$home" && sed '/^home *=/d' "$here/env/pyvenv.cfg"; }} > "$cfg" &&
            mv -f -- "$cfg" "$here/env/pyvenv.cfg" && ln -s -- "$found" "$link" && mv -f -- "$link" "$here/env/bin/python"
    }} 2>/dev/null; then
        echo "start: the environment was built with $built, which is not here, and $here/env cannot be changed to use $found." >&2
        exit 126
    fi
fi
"""
_COMMAND = """\
if [ $# -eq 0 ]; then
    cd -- "$here/files"
    export DJED_OUTPUTS="${{DJED_OUTPUTS:-$here/files/outputs}}"
    mkdir -p -- "$DJED_OUTPUTS"
    set -- {words}
fi
"""
_NO_COMMAND = """\
if [ $# -eq 0 ]; then
    echo "start: name a command: start COMMAND [ARGUMENT...]" >&2
    exit 2
fi
"""
_PATH = """\
export VIRTUAL_ENV="$here/env" PATH="$here/env/bin":{path}
"""
