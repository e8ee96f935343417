"""Runs jobs on this machine. Each attempt has a job directory and a shim that supervises it, outside the sandbox and outside this process.

Nothing of an attempt is kept in memory that its job directory does not say; what is kept (process descriptors) only saves waiting.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from djed.config import Config
from djed.errors import NotFoundError, RunnerError
from djed.model.codec import decode
from djed.model.hardware import Node
from djed.model.job import Attempt, Handle, JobStatus
from djed.model.request import SandboxLevel
from djed.model.result import Result
from djed.run import levels, machine, secrets, system
from djed.run.interface import Materials
from djed.run.jobdir import JobDirectory
from djed.run.order import Site, order
from djed.run.sandbox import Sandbox, choose, needs_engine
from djed.run.shim import cgroup
from djed.toolbox import fs, process

__all__ = ["LocalRunner"]

_SHIM = Path(__file__).with_name("shim")
_CHUNK = 1 << 16
_STREAMS = ("stdout", "stderr")


class LocalRunner:
    """The runner of this machine. ``root`` holds the job directories, ``cache`` the shared package cache, both on one file system."""

    def __init__(
        self,
        root: Path,
        materials: Materials,
        *,
        config: Config,
        target: str = "local",
        cache: Path | None = None,
        levels: Sequence[SandboxLevel] | None = None,
    ) -> None:
        """``levels`` narrows the sandbox levels to choose from; by default all that work here."""
        self.target = target
        self._root = root.absolute()
        self._materials = materials
        self._config = config
        self._packages = (cache or config.data / "packages").absolute()
        self._levels = levels
        self._deep = False
        """Whether engines are tried; else what is known of them counts."""
        self._site: Site | None = None
        self._sandboxes: tuple[Sandbox, ...] = ()
        self._guard = threading.Lock()
        self._children: dict[str, int] = {}
        """Process ids of the shims that we started and did not reap yet, by attempt."""
        self._pidfds: dict[str, int] = {}
        """Descriptors of shims, by attempt."""

    def nodes(self) -> Sequence[Node]:
        """This machine."""
        site = self._prepare()
        present = tuple(dict.fromkeys(item.level for item in self._sandboxes))
        return (machine.node(self._config, self.target, present, site.engines),)

    def equip(self) -> None:
        """Try which engines work here, and whether gVisor does."""
        with self._guard:
            self._site = None if not self._deep else self._site
            self._deep = True

    def submit(self, attempt: Attempt) -> Handle:
        """Make the job directory, then start the shim in it."""
        if needs_engine(attempt.job, self._config.sandbox_floor):
            self.equip()
        site = self._prepare()
        directory = self._directory(attempt.name)
        handle = Handle(name=attempt.name, target=self.target)
        if directory.exists():
            return self.find(attempt) or handle
        chosen = choose(self._sandboxes, (self._config.sandbox_floor, attempt.job.sandbox), attempt.job)
        told = order(attempt, directory.path, chosen, site=site, materials=self._materials)
        values = secrets.given(attempt.job, self._materials)
        if directory.create(told, attempt.job.files, self._materials):
            self._spawn(attempt.name, values)
        return handle

    def find(self, attempt: Attempt) -> Handle | None:
        """Look for the job directory; where its shim was never started, because we died just then, start it."""
        directory = self._directory(attempt.name)
        if not directory.exists():
            return None
        if not directory.is_over() and directory.supervisor() is None and not self._is_alive(attempt.name):
            self._spawn(attempt.name, secrets.given(attempt.job, self._materials))
        return Handle(name=attempt.name, target=self.target)

    def poll(self, handles: Sequence[Handle]) -> Mapping[str, JobStatus]:
        """Read the state of each from its directory."""
        self._reap()
        known = {handle.name: self._status(handle.name) for handle in handles}
        return {name: status for name, status in known.items() if status is not None}

    def fileno(self, handle: Handle) -> int | None:
        """A pidfd of the shim."""
        with self._guard:
            if handle.name not in self._pidfds:
                supervisor = self._directory(handle.name).supervisor()
                descriptor = supervisor.open() if supervisor is not None else None
                if descriptor is None:
                    return None
                self._pidfds[handle.name] = descriptor
            return self._pidfds[handle.name]

    def logs(self, handle: Handle, stream: str = "stdout", offset: int = 0) -> Iterator[bytes]:
        """Read the captured file from ``offset`` to its present end."""
        if stream not in _STREAMS:
            raise NotFoundError(f"There is no stream {stream!r}; there are {' and '.join(_STREAMS)}.")
        with (
            suppress(FileNotFoundError),
            (self._directory(handle.name).path / stream).open("rb", buffering=0) as file,
        ):
            file.seek(offset)
            while data := file.read(_CHUNK):
                yield data

    def cancel(self, handle: Handle) -> None:
        """Leave a note in the directory and tell the shim to look."""
        directory = self._directory(handle.name)
        if not directory.exists() or directory.is_over():
            return
        with suppress(FileNotFoundError):
            (directory.path / "cancel").touch(mode=0o600)
        supervisor = directory.supervisor()
        descriptor = supervisor.open() if supervisor is not None else None
        if descriptor is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, signal.SIGTERM)
            os.close(descriptor)

    def collect(self, handle: Handle, into: Path) -> Result:
        """Read the result. The job directory is at home already: ``into`` is the directory itself."""
        directory = self._directory(handle.name)
        if into.resolve() != directory.path.resolve():
            raise RunnerError(f"A local job directory stays where it is, at {directory.path}.")
        if not directory.exists():
            self._abandon(handle.name)
            return Result(lost=True, error=f"The job directory {directory.path} is gone.")
        self._close(handle.name)
        data = directory.result()
        told = directory.order()
        directory.bring_outputs(Path(told["directories"][1]))
        if data is None:
            self._end_leftovers(handle.name)
            data = directory.remains(told)
        with suppress(OSError):  # tried again when it is let go of
            secrets.take_away(handle.name, told)
        return decode(Result, data | {"hardware": directory.hardware()})

    def release(self, handle: Handle) -> None:
        """Remove the job directory and what the shim may have left in the control groups."""
        directory = self._directory(handle.name)
        self._close(handle.name)
        self._reap()
        if not directory.exists():
            return
        self._end_leftovers(handle.name)
        try:
            secrets.take_away(handle.name, directory.order())
            fs.remove_tree(self._packages / "staging" / handle.name)
            fs.remove_tree(directory.path)
        except OSError as error:
            raise RunnerError(
                f"{directory.path} cannot be removed: {error.strerror}.", transient=True
            ) from error

    def _directory(self, name: str) -> JobDirectory:
        if "/" in name or name.startswith("."):
            raise RunnerError(f"{name!r} is not the name of an attempt.")
        return JobDirectory(self._root / name)

    def _prepare(self) -> Site:
        """Look at the machine, once."""
        with self._guard:
            if self._site is None:
                data = self._config.data.absolute()
                self._root.mkdir(parents=True, exist_ok=True, mode=0o700)
                found = levels.probe(data, deep=self._deep)
                self._sandboxes = tuple(
                    item for item in found.sandboxes if self._levels is None or item.level in self._levels
                )
                machine.remember(data)
                self._site = Site(
                    data=data,
                    packages=self._packages,
                    etc=system.own_etc(data),
                    node=machine.node_id(self._config, self.target),
                    uv=machine.installed_uv(self._config),
                    environ=dict(os.environ),
                    engines=found.engines,
                    floor=self._config.sandbox_floor,
                )
            return self._site

    def _spawn(self, name: str, values: Mapping[str, bytes]) -> None:
        directory = self._directory(name).path
        argv = [sys.executable, "-I", "-S", str(_SHIM), str(directory)]
        env = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
        with secrets.passed(values) as stdin:
            pid = process.spawn_detached(argv, env=env, log=directory / "shim.log", stdin=stdin)
        # Nobody else reaps our children, so the number is still this process's.
        descriptor = os.pidfd_open(pid)
        with self._guard:
            self._children[name] = pid
            self._pidfds[name] = descriptor

    def _status(self, name: str) -> JobStatus | None:
        directory = self._directory(name)
        if directory.is_over():
            return JobStatus(state="over")
        if not directory.exists():
            return JobStatus(state="lost", reason="its job directory is gone")
        if self._is_alive(name) or directory.is_locked():
            return JobStatus(state="running")
        # It may have ended between the two looks.
        if directory.is_over():
            return JobStatus(state="over")
        if directory.supervisor() is not None or name in self._pidfds:
            return JobStatus(state="lost", reason=directory.complaint() or "its supervisor died")
        return JobStatus(state="waiting")

    def _is_alive(self, name: str) -> bool:
        """Whether a shim that we started is still there."""
        with self._guard:
            return name in self._children

    def _reap(self) -> None:
        with self._guard:
            for name, pid in list(self._children.items()):
                try:
                    ended, _ = os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:
                    ended = pid
                if ended:
                    del self._children[name]

    def _abandon(self, name: str) -> None:
        """End what runs on without its job directory: nobody will ever hear of it."""
        with self._guard:
            if name in self._pidfds:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._pidfds[name], signal.SIGTERM)
        self._close(name)

    def _close(self, name: str) -> None:
        with self._guard:
            descriptor = self._pidfds.pop(name, None)
            if descriptor is not None:
                os.close(descriptor)

    def _end_leftovers(self, name: str) -> None:
        """Of an attempt whose shim was killed: its processes live on in the control group, and its container with the engine."""
        directory = self._directory(name)
        supervisor = directory.supervisor()
        if supervisor is None:
            return
        descriptor = supervisor.open()
        if descriptor is not None:
            os.close(descriptor)
            return
        directory.clear()
        cgroup.remove(f"{name}.{supervisor.pid}")
