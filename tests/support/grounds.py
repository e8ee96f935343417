"""Bases and native packages made for real by jobs of the local runner, with the engines that a test chooses."""

from __future__ import annotations

import functools
import json
import os
import platform
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from djed.build.base import INSECURE_REGISTRIES
from djed.build.base_image import BaseBuilder
from djed.build.inside.engine import state_folder
from djed.build.interface import Assembly
from djed.build.manifest import stamp
from djed.build.native import NativeBuilder
from djed.config import Config
from djed.model.artifact import Artifact
from djed.model.base import parse_base
from djed.model.engine import ContainerEngine
from djed.model.hardware import Interpreter
from djed.model.job import Limits
from djed.model.lock import Lock
from djed.model.observation import Failure
from djed.model.request import Environment
from djed.model.result import Result
from djed.observe.outcome import classify
from djed.run import engines
from djed.run.local import LocalRunner
from tests.support.assemblies import NODE
from tests.support.workshop import Workshop

__all__ = ["Ground", "found_engines", "leftovers", "loopback_registry"]

_NOBODY = Interpreter(path="", version="", prefix="")


class Ground(Workshop):
    """Where bases are made; ``engines`` are all that its jobs find, as if no other worked here."""

    patience = 300.0

    def __init__(self, folder: Path, engines: Sequence[str] = ()) -> None:
        node = replace(NODE, hardware=replace(NODE.hardware, arch=platform.machine()))
        super().__init__(folder, node)
        self.data.mkdir(parents=True, exist_ok=True)
        known = json.loads(_found(os.environ.get("DOCKER_HOST")))
        known["engines"] = [one for name in engines for one in known["engines"] if one["name"] == name]
        assert [one["name"] for one in known["engines"]] == list(engines), known["reasons"]
        (self.data / "engines.json").write_text(json.dumps(known))

    def change_engine(self, **fields: object) -> None:
        """Let the first engine be another than what was found; before anything runs."""
        path = self.data / "engines.json"
        known = json.loads(path.read_text())
        known["engines"][0] |= fields
        path.write_text(json.dumps(known))
        self.runner = LocalRunner(self.attempts, self.shelf, config=Config(data=self.data))

    def asked(
        self, reference: str, *native: str, image: Artifact | None = None, insecure: str = ""
    ) -> Assembly:
        """What the builders are told."""
        return Assembly(
            environment=Environment(base=reference, native=native),
            lock=Lock(),
            interpreter=_NOBODY,
            node=self.node,
            base="",
            image=image,
            limits=Limits(timeout=300, disk=8 * 2**30),
            stamp=stamp(Path(base.name))
            if (base := parse_base(reference)).local and Path(base.name).exists()
            else "",
            settings={INSECURE_REGISTRIES: insecure} if insecure else {},
        )

    def bring(self, reference: str, *, insecure: str = "") -> Artifact:
        """Make a base; it must succeed."""
        return self._made(BaseBuilder(), self.asked(reference, insecure=insecure))

    def install(self, base: Artifact, *names: str) -> Artifact:
        """Install packages on it; that must succeed."""
        assert base.image is not None
        return self._made(NativeBuilder(), self.asked(base.image.reference, *names, image=base))

    def failed_base(self, reference: str, *, insecure: str = "") -> Failure:
        """Why a base cannot be made."""
        return self._failure(BaseBuilder(), self.asked(reference, insecure=insecure))

    def failed_native(self, base: Artifact, *names: str) -> Failure:
        """Why packages cannot be installed on it."""
        assert base.image is not None
        return self._failure(NativeBuilder(), self.asked(base.image.reference, *names, image=base))

    def _made(self, builder: BaseBuilder | NativeBuilder, assembly: Assembly) -> Artifact:
        result, outputs = self.run(builder.render(assembly))
        assert result.exit_code == 0, (
            self.errors + (outputs.parent / "stdout").read_text(errors="replace")[-3000:]
        )
        sealed = builder.seal(assembly, result, outputs)
        if sealed.artifact.digest in self.shelf.paths:
            return sealed.artifact
        return self.shelf.keep(sealed)

    def _failure(self, builder: BaseBuilder | NativeBuilder, assembly: Assembly) -> Failure:
        result, outputs = self.run(builder.render(assembly))
        return self.classified(result, outputs)

    def classified(self, result: Result, outputs: Path) -> Failure:
        """The class that a result gets."""
        streams = {name: (outputs.parent / name).read_bytes() for name in ("stdout", "stderr")}
        failure = classify(stage="build", result=result, context={}, **streams)
        assert failure is not None
        return failure


@functools.cache
def _found(docker: str | None) -> bytes:
    """What works on this machine, looked for once; ``docker`` is part of what is looked at."""
    with tempfile.TemporaryDirectory() as folder:
        engines.probe(Path(folder))
        return (Path(folder) / "engines.json").read_bytes()


def found_engines() -> dict[str, ContainerEngine]:
    """The engines that work, by name."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "engines.json").write_bytes(_found(os.environ.get("DOCKER_HOST")))
        return {engine.name: engine for engine in engines.remembered(Path(folder)) or ()}


def leftovers(ground: Ground) -> list[str]:
    """What jobs left behind outside: mounts, storage, folders of state, containers, images. Empty where all is well."""
    place = str(ground.data.parent)
    mounts = [
        line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines() if place in line
    ]
    state = [str(path) for one in ground.attempts.glob("*/inputs") if (path := state_folder(one)).exists()]
    storage = [str(path) for path in ground.attempts.glob("*/inputs/engine")]
    links = [str(path) for path in ground.attempts.glob("*/inputs/base") if path.is_symlink()]
    return [*mounts, *state, *storage, *links, *_of_podman()]


def _of_podman() -> list[str]:
    commands = (["ps", "-a", "--format", "{{.Names}}"], ["images", "-a", "--format", "{{.Repository}}"])
    said = [
        subprocess.run(["podman", *one], capture_output=True, text=True, check=False).stdout
        for one in commands
    ]
    return [line for line in "\n".join(said).splitlines() if "djed-test" in line]


@contextmanager
def loopback_registry(folder: Path) -> Iterator[str]:
    """A registry without TLS and without a password; its address."""
    with socket.create_server(("localhost", 0)) as free:
        port = free.getsockname()[1]
    config = folder / "registry.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder}/registry}}}}\n"
        f"http: {{addr: 'localhost:{port}'}}\n"
    )
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=log, stderr=log)
    try:
        for _ in range(200):
            with suppress(OSError), socket.create_connection(("localhost", port), 1):
                break
            time.sleep(0.05)
        yield f"localhost:{port}"
    finally:
        process.terminate()
        process.wait(10)
