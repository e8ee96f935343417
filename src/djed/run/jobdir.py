"""The job directory on this machine: how it is made, and what can be read from it.

``job.json`` is there from the first moment; ``lock`` is held by the shim as long as it lives; ``started`` names the shim; ``result.json``
exists when the job is over.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from djed.errors import DjedError, RunnerError, StoreFullError, UnsafeError
from djed.model.job import InputFile
from djed.run.interface import Materials
from djed.toolbox import fs, process

__all__ = ["JobDirectory", "Supervisor"]

_CLEARING = 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Supervisor:
    """The shim of an attempt, named so that a later process with its number cannot be taken for it."""

    pid: int
    start_time: int
    """Clock ticks since boot."""

    def open(self) -> int | None:
        """A pidfd, readable when it has ended; ``None`` where it has ended already."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except OSError:
            return None
        # Looked at after the descriptor is ours: from here on the number cannot change its meaning.
        if _start_time(self.pid) == self.start_time:
            return descriptor
        os.close(descriptor)
        return None


@dataclass(frozen=True, slots=True)
class JobDirectory:
    """One attempt's folder."""

    path: Path

    @property
    def inputs(self) -> Path:
        """The working directory."""
        return self.path / "inputs"

    @property
    def outputs(self) -> Path:
        """What the job leaves behind."""
        return self.path / "outputs"

    def exists(self) -> bool:
        """Whether the attempt was submitted."""
        return (self.path / "job.json").is_file()

    def create(self, order: Mapping[str, Any], files: Sequence[InputFile], materials: Materials) -> bool:
        """Make it, complete or not at all; ``False`` where it is there already.

        Raises ``StoreFullError`` where there is no space, ``UnsafeError`` for an input path that leads out.
        """
        temporary = JobDirectory(self.path.with_name(f".{self.path.name}.{os.urandom(4).hex()}"))
        try:
            temporary._fill(order, files, materials)
            outputs = Path(order["directories"][1])
            if outputs != self.outputs:
                outputs.mkdir(parents=True, exist_ok=True)
            temporary.path.rename(self.path)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise StoreFullError(
                    f"There is no space left for the job directory of {self.path.name}."
                ) from error
            if self.exists():
                return False
            raise RunnerError(
                f"The job directory {self.path} cannot be made: {error.strerror}.", transient=True
            ) from error
        finally:
            if temporary.path.exists():
                fs.remove_tree(temporary.path)
        return True

    def _fill(self, order: Mapping[str, Any], files: Sequence[InputFile], materials: Materials) -> None:
        self.path.mkdir(mode=0o700)
        self.inputs.mkdir()
        self.outputs.mkdir()
        (self.path / "cache").mkdir()
        (self.path / "wheels").mkdir()
        for name, artifact in order["wheels"].items():
            (self.path / "wheels" / name).symlink_to(artifact)
        for file in files:
            relative = PurePosixPath(file.path)
            if relative.is_absolute() or ".." in relative.parts or not relative.parts:
                raise UnsafeError(f"{file.path!r} is not a path inside the working directory.")
            target = self.inputs / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            if file.digest is not None:
                shutil.copyfile(materials.blob(file.digest), target)
            else:
                target.write_text(file.text or "", encoding="utf-8")
            target.chmod(0o755 if file.executable else 0o644)
        (self.path / "job.json").write_text(json.dumps(order), encoding="utf-8")

    def order(self) -> dict[str, Any]:
        """``job.json``."""
        return dict(json.loads((self.path / "job.json").read_bytes()))

    def result(self) -> dict[str, Any] | None:
        """``result.json``, where the job is over."""
        try:
            return dict(json.loads((self.path / "result.json").read_bytes()))
        except FileNotFoundError:
            return None

    def hardware(self) -> dict[str, Any]:
        """``hwinfo.json``; empty where the attempt did not get that far."""
        try:
            return dict(json.loads((self.path / "hwinfo.json").read_bytes()))
        except (FileNotFoundError, ValueError):
            return {}

    def remains(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """What can be said of an attempt that was lost, in the form of ``result.json``."""
        streams = {}
        for name in ("stdout", "stderr"):
            with suppress(FileNotFoundError):
                size = (self.path / name).stat().st_size
                streams[name] = {"size": size, "kept": size}
        return {
            "lost": True,
            "error": self.complaint(),
            "node": order["node"],
            "cpus": order["cpus"],
            "sandbox": order["level"],
            "sandbox_tool": order["tool"],
            **streams,
        }

    def complaint(self) -> str | None:
        """The last line that the shim said before it died."""
        with suppress(OSError):
            said = (self.path / "shim.log").read_bytes()[-4096:].decode(errors="replace").strip()
            return said.splitlines()[-1] if said else None
        return None

    def bring_outputs(self, source: Path) -> None:
        """See that ``outputs`` is a folder here: bring it from where the job wrote it, and make an empty one where the job left none."""
        if source != self.outputs and source.is_dir() and not source.is_symlink():
            # In place of the empty folder. A worker whose lease ran out may bring it at the same time: one of the two does.
            with suppress(FileNotFoundError):
                source.rename(self.outputs)
        if self.outputs.is_symlink() or not self.outputs.is_dir():
            fs.remove_tree(self.outputs)
            self.outputs.mkdir()

    def clear(self) -> None:
        """Run the commands that remove what a sandbox left outside, where the shim did not come to it; what fails is in its log."""
        order, marker = self.order(), self.path / "cleared"
        commands = order.get("after", [])
        if not commands or marker.exists():
            return
        failed = False
        for argv in commands:
            try:
                process.run(argv, timeout=_CLEARING, env=order["wrap_environ"])
            except DjedError as error:
                failed = True
                with suppress(OSError), (self.path / "shim.log").open("a", encoding="utf-8") as log:
                    log.write(f"{error.message} {error.hint or ''}\n")
        if not failed:
            with suppress(OSError):
                marker.touch(mode=0o600)

    def is_over(self) -> bool:
        """Whether the result is there."""
        return (self.path / "result.json").exists()

    def is_locked(self) -> bool:
        """Whether a shim lives."""
        try:
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def supervisor(self) -> Supervisor | None:
        """The shim that started the job, once it did."""
        try:
            pid, start_time = map(int, (self.path / "started").read_text(encoding="ascii").split())
        except (OSError, ValueError):
            return None
        return Supervisor(pid=pid, start_time=start_time)


def _start_time(pid: int) -> int | None:
    """Field 22 of proc(5) stat; the name in field 2 may hold anything, a bracket too."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
    except (OSError, IndexError):
        return None
