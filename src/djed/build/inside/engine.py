"""A container engine, driven from inside a job: what it says is passed on, and what it keeps for us goes away again.

podman and buildah work in storage of the attempt's own, below its working directory. Docker has one storage for all: what is ours in
there carries the attempt's name, as a label or a tag.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from djed.build.inside.report import FailedError, say
from djed.errors import MissingPartError, ToolError
from djed.model.codec import decode
from djed.model.engine import ContainerEngine
from djed.toolbox.fs import remove_tree
from djed.toolbox.process import follow, run

__all__ = ["LABEL", "Driver", "attempt_name", "given_engine", "given_engines", "state_folder"]

LABEL = "djed.attempt"
_NAME = re.compile(r"djed-[a-z0-9][a-z0-9-]{0,100}")
_DENIED = re.compile(
    r"permission denied while trying to connect|(?:dial unix|connect:|lock|storage|mkdir|open|stat|newuidmap|newgidmap|unshare)"
    r".{0,200}(?:permission denied|operation not permitted)",
    re.IGNORECASE,
)
_GONE = re.compile(
    r"Cannot connect to the Docker daemon|error during connect|unexpected EOF|transport is closing|connection reset by peer"
)
# unshare(1) wants to die of the same signal as what it started, and of SIGKILL it cannot.
_KILLED = re.compile(r"^unshare: sigprocmask unblock failed|signal: killed$")
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY")


def given_engine() -> ContainerEngine | None:
    """The engine that the job was given."""
    text = os.environ.get("DJED_ENGINE")
    return decode(ContainerEngine, json.loads(text)) if text else None


def attempt_name(outputs: Path) -> str:
    """The name under which the outside knows the attempt whose outputs these are."""
    name = outputs.resolve().parent.name
    if _NAME.fullmatch(name):
        return name
    # Outputs may lie elsewhere: any name will do that a later cleaner finds again.
    return f"djed-{hashlib.sha256(os.fsencode(outputs.resolve())).hexdigest()[:16]}"


def given_engines() -> tuple[ContainerEngine, ...]:
    """All engines that the job may call, the preferred one first."""
    text = os.environ.get("DJED_ENGINES")
    if text:
        return tuple(decode(ContainerEngine, one) for one in json.loads(text))
    engine = given_engine()
    return () if engine is None else (engine,)


def state_folder(work: Path) -> Path:
    """Where an engine keeps what must have a short path, for an attempt with that working directory."""
    named = hashlib.sha256(os.fsencode(work.resolve())).hexdigest()[:12]
    return Path(f"/tmp/djed-{named}-{os.getuid()}")  # noqa: S108


class Driver:
    """One engine at work for one attempt."""

    def __init__(self, engine: ContainerEngine, name: str, work: Path) -> None:
        self.engine, self.name = engine, name
        self._store = work / "engine"
        # Engines refuse a long path here; nothing of size is kept in it.
        self._state = state_folder(work)
        self._docker = engine.name == "docker"
        self._tail: list[str] = []

    # --- What is asked of it

    def find(self, image: str) -> str | None:
        """The ID of an image in the engine's own storage; the registry's digest of it comes from :meth:`digest_of`."""
        found = self._inspect(image)
        return str(found.get("Id") or found.get("FromImageID") or "") or None if found else None

    def digest_of(self, image: str) -> str | None:
        """The digest under which a registry has an image of the engine's own storage, where it came from one."""
        for digest in (self._inspect(image) or {}).get("RepoDigests") or ():
            _, _, text = str(digest).rpartition("@")
            if re.fullmatch(r"sha256:[0-9a-f]{64}", text):
                return text
        return None

    def save(self, image: str, file: Path, *, private: bool) -> None:
        """Write an image as a docker archive. Raises ``FailedError``."""
        if self._docker:
            self._must(["save", "-o", str(file), image], "save the image")
        elif self.engine.name == "podman":
            command = ["save", "-q", "--format", "docker-archive", "-o", str(file), image]
            self._must(command, "save the image", private=private)
        else:
            target = f"docker-archive:{file}:{_tagged(self.name)}"
            self._must(["push", "-q", image, target], "save the image", private=private)

    def pull(self, image: str, arch: str, *, insecure: bool) -> None:
        """Have the engine fetch an image from its registry; for Docker it stays in there. Raises ``FailedError``."""
        if self._docker:
            command = ["pull", "-q", "--platform", f"linux/{arch}", image]
        else:
            command = ["pull", "-q", "--arch", arch, *(["--tls-verify=false"] if insecure else []), image]
        self._must(command, "pull the image", private=True)

    def load(self, layout: Path, write: Callable[[BinaryIO, str], None]) -> str:
        """Have the image of a layout in the engine, and return its tag; ``write`` writes it as a docker archive under a name."""
        tag = f"{self.name}:base"
        if self._docker:
            self._must(["load", "-q"], "load the base", feed=lambda into: write(into, tag))
            return tag
        # Through a link: a colon in the path would end it.
        link = self._store.with_name("base")
        link.unlink(missing_ok=True)
        link.symlink_to(layout, target_is_directory=True)
        self._must(["pull", "-q", f"oci:{link.name}"], "load the base", private=True, cwd=link.parent)
        loaded = next((line for line in reversed(self._tail) if re.fullmatch(r"[0-9a-f]{64}", line)), None)
        if loaded is None:
            raise FailedError("engine_failed", f"{self.engine.name} does not say what it loaded")
        self._must(["tag", loaded, f"localhost/{tag}"], "tag the base", private=True)
        return f"localhost/{tag}"

    def build(self, context: Path, base: str, told: Callable[[str], None]) -> tuple[int, str]:
        """Build the ``Containerfile`` of a folder on ``base``; the exit code, and the tag of what was made."""
        tag = _tagged(self.name)
        command = ["build", "--no-cache", "--force-rm", "-t", tag, "-f", str(context / "Containerfile")]
        command += ["--build-arg", f"BASE={base}", "--build-arg", f"ATTEMPT={self.name}"]
        for name in (*_PROXIES, *map(str.lower, _PROXIES)):
            if os.environ.get(name):
                command += ["--build-arg", name]
        if not self._docker:
            # What a build may not do even where its root is only a chroot: leave that, or make a device.
            command += ["--layers", "--pull=never", "--cap-drop=CAP_MKNOD", "--cap-drop=CAP_SYS_CHROOT"]
        # As all jobs that fetch packages it has the machine's network: a proxy may listen on loopback, and bridges need rights.
        command += ["--network", "host", *self.engine.build_arguments, str(context)]
        return self._run(command, told=told, private=True), tag

    def complain(self, what: str, code: int) -> FailedError:
        """Why the engine failed, as far as its last words tell."""
        name = self.engine.name
        denied = next((line for line in self._tail if _DENIED.search(line)), None)
        if denied:
            return FailedError("engine_denied", f"{name} may not {what}: {denied}")
        if code < 0 or any(_KILLED.search(line) for line in self._tail):
            return FailedError("engine_failed", f"{name} was killed while it had to {what}.")
        gone = next((line for line in self._tail if _GONE.search(line)), None)
        if gone:
            return FailedError("engine_failed", f"The service of {name} ended while it had to {what}: {gone}")
        last = next((line for line in reversed(self._tail) if line.strip()), f"exit code {code}")
        return FailedError("engine_failed", f"{name} could not {what}: {last}")

    # --- Cleaning up

    def clean(self, *tags: str) -> None:
        """Remove all that is ours: containers, images, storage. May be called again; what cannot be removed is passed over."""
        if self._docker:
            self._clean_docker(tags)
        for folder in (self._store, self._state):
            self._remove(folder)
        with suppress(FileNotFoundError):
            self._store.with_name("base").unlink()

    def _clean_docker(self, tags: Sequence[str]) -> None:
        label = f"label={LABEL}={self.name}"
        containers = self._ids(["ps", "-aq", "--no-trunc", "--filter", label])
        if containers:
            self._quietly(["rm", "-f", *containers])
        # Those with a name first: an image goes only after what was made from it.
        self._quietly(["rmi", "-f", _tagged(self.name)])
        images = self._ids(["images", "-aq", "--no-trunc", "--filter", label])
        if images:
            self._quietly(["rmi", "-f", *images])
        self._quietly(["rmi", f"{self.name}:base", *tags])

    def _remove(self, folder: Path) -> None:
        try:
            remove_tree(folder)
        except OSError:
            # Files of users that are mapped to us belong to others outside.
            with suppress(FailedError):
                self._quietly(["unshare", "rm", "-rf", str(folder)])

    # --- Running it

    def _inspect(self, image: str) -> dict[str, Any] | None:
        command = (
            ["inspect", "--type", "image", image]
            if self.engine.name == "buildah"
            else ["image", "inspect", image]
        )
        lines: list[str] = []
        if self._run(command, told=lines.append) != 0:
            denied = next((line for line in lines if _DENIED.search(line) or _GONE.search(line)), None)
            if denied:
                raise self.complain("look for the image", 1)
            return None
        text = "\n".join(lines)
        # Warnings of the engine stand before its answer.
        start = min((place for place in (text.find("\n["), text.find("\n{")) if place >= 0), default=-1)
        with suppress(ValueError):
            found = json.loads(text if text[:1] in "[{" else text[start:])
            return dict(found[0] if isinstance(found, list) else found)
        return None

    def _ids(self, command: list[str]) -> list[str]:
        lines: list[str] = []
        self._run(command, told=lines.append)
        return [line for line in dict.fromkeys(lines) if re.fullmatch(r"(?:sha256:)?[0-9a-f]{64}", line)]

    def _quietly(self, command: list[str]) -> None:
        self._run(command, told=_not_said)

    def _must(
        self,
        command: list[str],
        what: str,
        *,
        private: bool = False,
        feed: Callable[[BinaryIO], None] | None = None,
        cwd: Path | None = None,
    ) -> None:
        if code := self._run(command, private=private, feed=feed, cwd=cwd):
            raise self.complain(what, code)

    def _run(
        self,
        command: list[str],
        *,
        told: Callable[[str], None] = say,
        private: bool = False,
        feed: Callable[[BinaryIO], None] | None = None,
        cwd: Path | None = None,
    ) -> int:
        """Run one command of the engine; its last lines are kept for :meth:`complain`."""
        self._tail = []

        def hear(line: str) -> None:
            self._tail = [*self._tail[-40:], line]
            told(line)

        argv = [*([] if self._docker else _alone()), self.engine.path, *self.engine.arguments]
        environment = {**os.environ, **self.engine.variables}
        if private and not self._docker:
            self._make_folders()
            argv += ["--root", str(self._store / "storage"), "--runroot", str(self._state / "run")]
            argv += ["--storage-driver", self.engine.storage_driver] if self.engine.storage_driver else []
            environment["TMPDIR"] = str(self._store / "tmp")
        return follow([*argv, *command], hear, feed=feed, env=environment, cwd=cwd)

    def _make_folders(self) -> None:
        (self._store / "tmp").mkdir(parents=True, exist_ok=True)
        self._state.mkdir(mode=0o700, exist_ok=True)
        found = self._state.lstat()
        # Everybody may write where it lies: another may have been there first.
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise FailedError("engine_failed", f"{self._state} is not ours")


def _not_said(_line: str) -> None:
    """What an engine says while it looks or cleans up is no part of the log."""


def _tagged(name: str) -> str:
    return f"localhost/{name}:native"


@cache
def _alone() -> tuple[str, ...]:
    """What keeps the engine's mounts and processes from outliving it; rootless ones have namespaces of their own."""
    if os.geteuid() != 0:
        return ()
    spaces = ("--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc")
    command = ("setpriv", "--pdeathsig", "KILL", "unshare", *spaces)
    try:
        run([*command, "true"], timeout=10)
    except (MissingPartError, ToolError):
        return ()
    return command
