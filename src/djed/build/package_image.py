"""An environment as an OCI image, without an engine: the layers of its base as they are, one of Python, one of files; always the same."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from djed.build.base import require_success
from djed.build.bundle import HOME, PLAN, TOOLS, USER, Bundle, bundle, image_of, ingredients, inputs
from djed.build.interface import Assembly, Sealed
from djed.build.manifest import read_manifest
from djed.build.package import job_of, product
from djed.errors import ToolError
from djed.model.artifact import Artifact, ArtifactKind
from djed.model.base import parse_base
from djed.model.contents import Layer
from djed.model.image import Image
from djed.model.job import At, Job
from djed.model.result import Result
from djed.toolbox.digest import digest_json
from djed.toolbox.oci import Layout, OciImage

__all__ = ["ImagePackager"]

_VERSION = 1
_FOLDER = "image"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""What engines take where an image sets none."""
_LABEL = "org.opencontainers.image"


class ImagePackager:
    """Packages an environment, its files and its command as an OCI image layout.

    The environment lies in ``/opt/djed/env``, the files in ``/home/djed``; what a container of it runs is the command of the request.
    """

    kind: ArtifactKind = "image"

    def digest(self, assembly: Assembly) -> str:
        """Digest of the image below, the environment, the files, the variables and the command."""
        return digest_json({"builder": ["package:image", _VERSION], **ingredients(assembly)})

    def render(self, assembly: Assembly) -> Job:
        """A job of our own code that writes ``outputs/image``, without the blobs of the base: :meth:`seal` links them.

        No code of a package runs in it. Raises ``BuildError`` where the environment rests on no image.
        """
        below, wanted = image_of(assembly), bundle(assembly)
        plan = {
            "arch": assembly.node.hardware.arch,
            "home": HOME,
            "user": USER,
            "environment": f"{TOOLS}/env",
            "config": _config(assembly, wanted),
        }
        env = At(place="env") if assembly.venv else ""
        words = (At(place="work", path=PLAN), At(place="image"), env, At(place="outputs", path=_FOLDER))
        return job_of(assembly, "image", *words, files=inputs(wanted, plan), image=below.digest)

    def seal(self, assembly: Assembly, result: Result, outputs: Path) -> Sealed:
        """The layout, complete with the blobs of the base, which are the very files of its artifact."""
        require_success(result)
        folder = outputs / _FOLDER
        product(folder)
        below = image_of(assembly).image
        assert below is not None
        made = Layout(folder).choose(assembly.node.hardware.arch)
        _complete(folder, made, assembly.layout)
        manifest, size = read_manifest(folder)
        digest = self.digest(assembly)
        artifact = Artifact(
            digest=digest,
            kind=self.kind,
            path=f"{self.kind}/{digest.partition(':')[2]}",
            size=size,
            manifest=manifest,
            contents=assembly.venv.contents if assembly.venv else (),
            image=_image(below, made),
        )
        return Sealed(artifact=artifact, path=folder)


def _config(assembly: Assembly, wanted: Bundle) -> dict[str, Any]:
    """What containers get, beside what the base gives them."""
    below = image_of(assembly).image
    assert below is not None
    variables = {"HOME": HOME, "LANG": "C.UTF-8", "DJED_OUTPUTS": f"{HOME}/outputs", **wanted.variables}
    if assembly.venv is not None:
        path = variables.get("PATH") or below.variables.get("PATH") or _PATH
        variables |= {"VIRTUAL_ENV": f"{TOOLS}/env", "PATH": f"{TOOLS}/env/bin:{path}"}
    # What the base itself would run is not what was asked for.
    command = {"Entrypoint": None, "Cmd": list(wanted.words)} if wanted.words else {}
    return {
        "Env": variables,
        "WorkingDir": HOME,
        "User": str(USER),
        "Labels": _labels(below),
        **command,
    }


def _labels(below: Image) -> dict[str, str]:
    """See https://github.com/opencontainers/image-spec/blob/main/annotations.md; a path of this machine is told to nobody."""
    try:
        base = parse_base(below.reference)
    except ValueError:
        base = None
    labels = {f"{_LABEL}.base.digest": below.digest}
    if base is not None and base.kind == "name":
        labels[f"{_LABEL}.base.name"] = base.name
    return labels


def _complete(folder: Path, made: OciImage, below: Path | None) -> None:
    """Put every blob in its place that the job did not write: another name of the base's own file, never a copy but where it must be.

    Raises ``ToolError`` where one is missing, ``UnsafeError`` where what the job wrote is not what it says.
    """
    for layer in made.layers:
        target = folder / layer.blob
        if not os.path.lexists(target) and below is not None:
            _link(below / layer.blob, target)
        if not os.path.lexists(target):
            raise ToolError(f"The packaging left an image without its layer {layer.digest}.")
        Layout(folder).open(layer).close()


def _link(source: Path, target: Path) -> None:
    with suppress(FileNotFoundError):
        try:
            os.link(source, target, follow_symlinks=False)
        except FileExistsError:
            return
        except OSError:  # another file system, or too many names
            shutil.copyfile(source, target, follow_symlinks=False)


def _image(below: Image, made: OciImage) -> Image:
    """What is known of the image that was made."""
    inner = made.config.get("config") or {}
    added = made.layers[len(below.layers) :]
    # An image's history may tell of steps without a layer; ours, the last ones, all have one.
    steps = (made.config.get("history") or ())[-len(added) :]
    layers = tuple(
        Layer(
            digest=layer.digest,
            size=layer.size,
            media_type=layer.media_type,
            created_by=str(step.get("created_by", "")),
        )
        for layer, step in zip(added, steps, strict=True)
    )
    return replace(
        below,
        digest=made.digest,
        variables=dict(text.partition("=")[::2] for text in inner.get("Env") or ()),
        user=inner.get("User"),
        workdir=inner.get("WorkingDir"),
        layers=(*below.layers, *layers),
    )
