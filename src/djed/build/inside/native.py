"""``native LAYOUT OUTPUTS ARCH``: the native packages that ``context`` names, installed on the image of a layout by a container engine.

The working directory holds ``context``: the ``Containerfile``, and in ``djed`` what it copies: the script and the names.
"""

from __future__ import annotations

import difflib
import re
import signal
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import BinaryIO

from djed.build.inside.engine import Driver, attempt_name, given_engine
from djed.build.inside.facts import write_facts
from djed.build.inside.names import plain_name
from djed.build.inside.report import FailedError, say
from djed.build.inside.saved import top_layer
from djed.errors import RefusedError, UnreadableError, UnsafeError
from djed.toolbox.fs import remove_tree
from djed.toolbox.oci import Layout, OciImage, docker_archive, extend, import_image

__all__ = ["Listener", "run"]

CONTEXT = "context"
_STEPS = 2
"""Layers that the build adds: the script, then the packages; only the last is kept."""
_BUILDKIT = re.compile(r"^#\d+ (?:\d+\.\d+ )?")
_COLOUR = re.compile(r"\x1b\[\d*m")
_MOST = 50_000
_SHOWN = 6


def run(arguments: Sequence[str]) -> None:
    """Raises ``FailedError`` where the engine or the package manager fails."""
    place, target, arch = arguments
    layout, outputs, work = Path(place), Path(target), Path.cwd()
    engine = given_engine()
    if engine is None:
        raise FailedError(
            "no_engine", "Native packages are installed by a container engine, and none works here"
        )
    signal.signal(signal.SIGTERM, _leave)
    names = [
        name for name in (work / CONTEXT / "djed/names").read_text(encoding="utf-8").splitlines() if name
    ]
    making = _Making(
        driver=Driver(engine, attempt_name(outputs), work),
        layout=layout,
        base=Layout(layout).choose(arch),
        names=names,
    )
    try:
        making.build(work / "result.tar")
        image = making.compose(work / "result.tar", work / "layer.tar", outputs / "image")
        write_facts(outputs / "image", image, outputs, asked=[plain_name(name) for name in names])
    except (RefusedError, UnreadableError, UnsafeError) as error:
        raise FailedError("engine_failed", error.message, hint=error.hint) from error
    finally:
        making.driver.clean()
        for left in ("result.tar", "layer.tar"):
            remove_tree(work / left)


def _leave(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Making:
    """One image in the making."""

    driver: Driver
    layout: Path
    base: OciImage
    names: Sequence[str]

    def build(self, archive: Path) -> None:
        """Have the engine build it, and write it to ``archive``; then the engine holds nothing of it any more."""

        def write(into: BinaryIO, tag: str) -> None:
            docker_archive(self.layout, self.base, tag, into)

        listener = Listener(numbered=self.driver.engine.name == "docker")
        tag = self.driver.load(self.layout, write)
        code, made = self.driver.build(Path.cwd() / CONTEXT, tag, listener.hear)
        if code:
            listener.suggest(self.names)
            raise self.driver.complain("build the image", code)
        self.driver.save(made, archive, private=True)
        self.driver.clean()

    def compose(self, archive: Path, layer_file: Path, into: Path) -> OciImage:
        """The base's own blobs with the layer of packages on them; what the engine wrote as a whole, where that is no longer the base."""
        comment = f"djed native {' '.join(self.names)}"[:1000]
        layer = top_layer(archive, self.base, layer_file, steps=_STEPS, comment=comment)
        if layer is not None:
            return extend(self.layout, self.base, [layer], config={}, into=into)
        return import_image(archive, "docker-archive", into, arch=self.base.arch)


class Listener:
    """Passes on what a build says, and keeps for itself what its script says of names and versions."""

    def __init__(self, *, numbered: bool) -> None:
        self._numbered = numbered
        self._names: list[str] = []
        self._versions: defaultdict[str, list[str]] = defaultdict(list)

    def hear(self, line: str) -> None:
        """One line of the build."""
        if self._numbered:
            line = _BUILDKIT.sub("", _COLOUR.sub("", line), count=1)
        said, _, text = line.partition(": ")
        words = text.split()
        if said == "djed-name" and len(words) == 1 and len(self._names) < _MOST:
            self._names.append(words[0])
        elif said == "djed-version" and len(words) == 2 and len(self._versions) < _MOST:
            self._versions[words[0]].append(words[1])
        else:
            say(line)

    def suggest(self, wanted: Sequence[str]) -> None:
        """Say what there is instead of each name that is not known, and which versions of each that is."""
        for text in wanted:
            name = plain_name(text)
            versions = list(dict.fromkeys(self._versions.get(name, ())))
            if versions and name != text:
                say(f"djed: versions: {name}: {', '.join(versions[:_SHOWN])}")
            elif name not in self._names and (near := difflib.get_close_matches(name, self._names, n=_SHOWN)):
                say(f"djed: nearest: {name}: {', '.join(near)}")
