"""Images to run jobs in, and the engines of this machine as jobs use them."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from djed.errors import NotFoundError
from djed.run import engines, gvisor
from djed.toolbox import rootfs
from tests.support.images import layout_of, tiny_root

__all__ = ["IMAGE", "Images", "looked", "podman_containers"]

IMAGE = "sha256:" + "1" * 64
"""What the image of :class:`Images` is called."""


class Images:
    """Materials with one image: a layout, and ``root`` with this machine's own shell and a few programs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "image"
        root = tiny_root(folder / "made")
        rootfs.prepare(root)
        tar = folder / "made.tar"
        subprocess.run(["tar", "-C", root, "-cf", tar, "."], check=True)
        shutil.copytree(layout_of(tar), self.folder)
        root.rename(self.folder / "root")
        self.secrets: dict[str, bytes] = {}

    def blob(self, digest: str) -> Path:
        raise NotFoundError(digest)

    def artifact(self, digest: str) -> Path:
        if digest != IMAGE:
            raise NotFoundError(digest)
        return self.folder

    def secret(self, namespace: str, name: str) -> bytes:
        return self.secrets[name]


def looked(data: Path, level: str, engine: str | None = None) -> None:
    """Put into a data folder that this level is here, by that engine alone, and nothing else; it is looked for once in a process."""
    nothing = {
        "engines.json": {"key": engines._key(), "engines": [], "reasons": {}},
        "gvisor.json": {"key": gvisor._key()},
    }
    for name, text in nothing.items():
        (data / name).write_text(json.dumps(text))
    found = json.loads(_found(level, os.environ.get("DOCKER_HOST")))
    if engine is not None:
        found["engines"] = [one for one in found["engines"] if one["name"] == engine and one["runs"]]
        assert found["engines"], found["reasons"]
    (data / ("gvisor.json" if level == "gvisor" else "engines.json")).write_text(json.dumps(found))


@functools.cache
def _found(level: str, docker: str | None) -> bytes:
    """What a look wrote; ``docker`` is part of what was looked at."""
    with tempfile.TemporaryDirectory() as folder:
        if level == "gvisor":
            assert gvisor.probe(Path(folder)) is not None
        else:
            engines.probe(Path(folder))
        return next(Path(folder).glob("*.json")).read_bytes()


def podman_containers() -> list[str]:
    """Names of all of podman's containers that Djed made."""
    argv = ["podman", "ps", "--all", "--filter", "name=djed-", "--format", "{{.Names}}"]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()
