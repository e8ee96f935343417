"""An environment as an Apptainer file: image, environment and files as one squashfs, with the scripts that Apptainer looks for in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from djed.build.base import require_success
from djed.build.bundle import HOME, PLAN, TOOLS, Bundle, bundle, image_of, ingredients, inputs
from djed.build.definition import definition
from djed.build.interface import Assembly, Sealed
from djed.build.package import job_of, single_file
from djed.build.steps import quoted
from djed.errors import RequestError, ToolError
from djed.model.artifact import Artifact, ArtifactKind
from djed.model.base import parse_base
from djed.model.image import Image
from djed.model.job import At, Job
from djed.model.result import Result
from djed.toolbox.digest import digest_json
from djed.toolbox.sif import opened, read

__all__ = ["SifPackager"]

_VERSION = 1
_FOLDER = "sif"
_FILE = "image.sif"
_META = "/.singularity.d"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RUNNERS = frozenset({"HOME", "HOSTNAME", "LOGNAME", "PWD", "TERM", "USER"})
"""What Apptainer takes from whoever runs it: what an image says of these is true of another user."""
_READ_ONLY = frozenset({"EUID", "GID", "PPID", "UID"})
"""What shells refuse to set, and then end."""
_HELP = f"""\
A Python environment in {TOOLS}/env, files in {HOME}.
Without arguments the command of the request is run, in {HOME}, which is read-only; with arguments, those.
What it leaves in $DJED_OUTPUTS is kept: the folder "outputs" where it is started, if nothing else is said.
"""


class SifPackager:
    """Packages an environment, its files and its command as ``image.sif``: by Apptainer where it is, else by ourselves.

    The environment lies in ``/opt/djed/env``, the files in ``/home/djed``; all belongs to root, and whoever runs it may read it. Written by
    ourselves, the same environment gives the same bytes.
    """

    kind: ArtifactKind = "sif"

    def digest(self, assembly: Assembly) -> str:
        """Digest of the image below, the environment, the files, the variables and the command."""
        return digest_json({"builder": [self.kind, _VERSION], **ingredients(assembly)})

    def render(self, assembly: Assembly) -> Job:
        """A job of our own code that writes ``outputs/sif/image.sif``. No code of a package runs in it.

        Raises ``BuildError`` where the environment rests on no image.
        """
        below, wanted = image_of(assembly), bundle(assembly)
        words = (
            At(place="work", path=PLAN),
            At(place="image", path="root"),
            At(place="env") if assembly.venv else "",
            At(place="outputs", path=f"{_FOLDER}/{_FILE}"),
        )
        files = inputs(wanted, _plan(assembly, wanted))
        return job_of(assembly, "sif", *words, files=files, image=below.digest)

    def seal(self, assembly: Assembly, result: Result, outputs: Path) -> Sealed:
        """The one file that the job left, which must be an image file for the architecture of the image below."""
        require_success(result)
        folder = outputs / _FOLDER
        manifest, size = single_file(folder, _FILE)
        with opened(folder / _FILE) as file:
            arch = read(file, name=_FILE).arch
        if arch != assembly.node.hardware.arch:
            raise ToolError(
                f"The packaging left an Apptainer file for {arch}, not {assembly.node.hardware.arch}."
            )
        digest = self.digest(assembly)
        artifact = Artifact(
            digest=digest,
            kind=self.kind,
            path=f"{self.kind}/{digest.partition(':')[2]}",
            size=size,
            manifest=manifest,
            contents=assembly.venv.contents if assembly.venv else (),
            image=image_of(assembly).image,
        )
        return Sealed(artifact=artifact, path=folder)


def _plan(assembly: Assembly, wanted: Bundle) -> dict[str, Any]:
    below = image_of(assembly).image
    assert below is not None
    labels = _labels(assembly, below)
    scripts = {
        f"{_META}/env/90-environment.sh": "".join(_environment(assembly, below, wanted)),
        f"{_META}/runscript": "".join(_runscript(wanted)),
    }
    definition_ = _definition(assembly, below)
    attributes = {
        "deffile": definition_,
        "environment": {path: text for path, text in scripts.items() if path.endswith(".sh")},
        "helpfile": _HELP,
        "labels": labels,
        "runscript": scripts[f"{_META}/runscript"],
    }
    return {
        "arch": assembly.node.hardware.arch,
        "home": HOME,
        "environment": f"{TOOLS}/env",
        "meta": _META,
        "scripts": scripts,
        "texts": {f"{_META}/Singularity": definition_, f"{_META}/runscript.help": _HELP},
        "labels": labels,
        "definition": definition_,
        "metadata": {"data": {"attributes": attributes}, "type": "container"},
    }


def _labels(assembly: Assembly, below: Image) -> dict[str, str]:
    """A path of this machine is told to nobody."""
    labels = {"org.opencontainers.image.base.digest": below.digest}
    if (name := _name(below.reference)) is not None:
        labels["org.opencontainers.image.base.name"] = name
    if assembly.venv is not None:
        labels["djed.environment"] = assembly.venv.digest
    if assembly.lock.python:
        labels["djed.python"] = assembly.lock.python
    return labels


def _name(reference: str) -> str | None:
    try:
        base = parse_base(reference)
    except ValueError:
        return None
    return base.name if base.kind == "name" else None


def _definition(assembly: Assembly, below: Image) -> str:
    """By which the same could be made anew; what it rests on where that cannot be written."""
    name = _name(assembly.environment.base)
    try:
        return definition(
            assembly.environment,
            base=name or "rootfs:base",
            content=assembly.content or _unknown,
            lock=assembly.lock,
            run=assembly.run,
            manager=below.package_manager,
        )
    except (RequestError, KeyError):  # too large, or not all of it is known here
        return f"Bootstrap: docker\nFrom: {name}\n" if name else "Bootstrap: localimage\nFrom: base\n"


def _unknown(digest: str) -> bytes:
    raise KeyError(digest)


def _environment(assembly: Assembly, below: Image, wanted: Bundle) -> Iterator[str]:
    """The script that Apptainer sources before all it runs. Text of a request stands in single quotes, where it means nothing."""
    inherited = {name: value for name, value in below.variables.items() if name not in _RUNNERS}
    variables = {"LANG": "C.UTF-8", **inherited, **wanted.variables}
    path = variables.get("PATH") or _PATH
    if assembly.venv is not None:
        variables["VIRTUAL_ENV"] = f"{TOOLS}/env"
        path = f"{TOOLS}/env/bin:{path}"
    yield "#!/bin/sh\n"
    yield 'export DJED_OUTPUTS="${DJED_OUTPUTS:-$PWD/outputs}"\n'
    yield from _exports({**variables, "PATH": path})


def _exports(variables: Mapping[str, str]) -> Iterator[str]:
    for name, value in variables.items():
        # An image's configuration may hold anything.
        if _VARIABLE.fullmatch(name) and name not in _READ_ONLY and "\0" not in value:
            yield f"export {name}={quoted(value)}\n"


def _runscript(wanted: Bundle) -> Iterator[str]:
    yield "#!/bin/sh\n"
    yield 'case $DJED_OUTPUTS in /*) ;; *) export DJED_OUTPUTS="$PWD/$DJED_OUTPUTS" ;; esac\n'
    yield 'mkdir -p -- "$DJED_OUTPUTS"\n'
    yield f"cd {HOME} || exit\n"
    words = " ".join(map(quoted, wanted.words or ("/bin/sh",)))
    yield f'[ $# -gt 0 ] || set -- {words}\nexec "$@"\n'
