"""What this machine has of what Djed can use, and what follows from it. Looks at this machine only; asks no network."""

from __future__ import annotations

import importlib
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from djed.errors import DjedError, MissingPartError
from djed.model.hardware import Interpreter
from djed.model.quantity import format_size
from djed.toolbox.process import run
from djed.toolbox.sqlite import sqlite_driver, sqlite_wal_safe

__all__ = ["Part", "Settings", "find_uv", "parts"]

LEAST_SPACE = 2 * 2**30
"""Bytes free below which an environment of ordinary size may not fit."""

_TIMEOUT = 10.0
_CONTROLLERS = ("memory", "pids", "cpu")


class Settings(Protocol):
    """The settings that matter here; :class:`djed.config.Config` has them."""

    @property
    def data(self) -> Path:
        """Folder of the store."""
        ...

    @property
    def uv(self) -> str | None:
        """The uv executable."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Something that Djed uses where it is there."""

    name: str
    present: bool
    """Whether it is there and works."""
    version: str | None = None
    detail: str | None = None
    """Where, or how much."""
    meaning: str = ""
    """What follows, as a sentence."""
    hint: str | None = None
    """How to get it, where it is missing."""


def parts(
    config: Settings, *, interpreters: Sequence[Interpreter] | None = None, root: Path = Path("/")
) -> tuple[Part, ...]:
    """Every part, in the order of how much depends on it; about 50 ms.

    ``interpreters`` are those that the engine found; ``root`` is where /proc, /sys and /run lie.
    """
    found = [_uv(config), _bubblewrap(), _user_namespaces(root), _cgroups(root), _sqlite()]
    if interpreters is not None:
        found.append(_pythons(interpreters))
    return (*found, _pidfd(), _inotify(root), _nvidia(root), _space(config.data), _clock(root))


def find_uv(config: Settings) -> str:
    """Path of uv: the setting, else the one installed with Djed, else the one on the PATH. Raises ``MissingPartError``."""
    if config.uv is not None:
        chosen = shutil.which(str(Path(config.uv).expanduser()))
        if chosen is None:
            raise MissingPartError(
                f"The setting uv names {config.uv!r}, which cannot be executed.",
                hint="Correct it, or leave it out.",
            )
        return chosen
    try:
        # Any: it ships no types, and may be left out where a distributor packages uv himself.
        return str(importlib.import_module("uv").find_uv_bin())
    except (ImportError, FileNotFoundError):
        pass
    found = shutil.which("uv")
    if found is None:
        raise MissingPartError("uv is not on this machine.", hint="Install it: pip install uv")
    return found


def _uv(config: Settings) -> Part:
    meaning = "Environments are locked and built by it; without it only finished results can be looked at."
    try:
        path = find_uv(config)
        words = _said([path, "--version"]).split()
    except DjedError as error:
        return Part(name="uv", present=False, detail=error.message, meaning=meaning, hint=error.hint)
    return Part(
        name="uv", present=True, version=words[1] if len(words) > 1 else None, detail=path, meaning=meaning
    )


def _bubblewrap() -> Part:
    name, path = "bubblewrap", shutil.which("bwrap")
    without = "Jobs run unsandboxed at level process: a script can read your files and use your network."
    if path is None:
        return Part(name=name, present=False, meaning=without, hint="Install it: apt install bubblewrap")
    try:
        version = _said([path, "--version"]).split()[-1:]
        _said([path, "--unshare-all", "--ro-bind", "/", "/", "--", "/bin/true"])
    except DjedError as error:
        hint = "Allow user namespaces (sysctl kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)."
        return Part(name=name, present=False, detail=error.hint or error.message, meaning=without, hint=hint)
    meaning = (
        "Jobs run in namespaces of their own: they see neither your files nor, unless asked, the network."
    )
    return Part(
        name=name, present=True, version=version[0] if version else None, detail=path, meaning=meaning
    )


def _said(command: Sequence[str]) -> str:
    return run(command, timeout=_TIMEOUT).stdout.decode(errors="replace").strip()


def _user_namespaces(root: Path) -> Part:
    most = _read(root / "proc/sys/user/max_user_namespaces")
    refused = [
        name
        for name, value in (
            ("unprivileged_userns_clone", "0"),
            ("apparmor_restrict_unprivileged_userns", "1"),
        )
        if _read(root / "proc/sys/kernel" / name) == value
    ]
    present = most not in {None, "0"} and (not refused or os.geteuid() == 0)
    detail = f"restricted by kernel.{refused[0]}" if refused else None
    meaning = "The sandbox needs no root." if present else "The sandbox works for root only."
    hint = "Set sysctl user.max_user_namespaces, and lift what restricts them."
    return Part(name="user namespaces", present=present, detail=detail, meaning=meaning, hint=hint)


def _cgroups(root: Path) -> Part:
    base = root / "sys/fs/cgroup"
    if (base / "cgroup.controllers").exists():
        number, folders = "2", [base / _own_group(root)]
    else:
        number, folders = "1", [base / name for name in _CONTROLLERS if (base / name).is_dir()]
    version = number if folders else None
    writable = bool(folders) and all(os.access(folder, os.W_OK) for folder in folders)
    meaning = (
        "Memory, processes and CPU time of a job are bounded as a whole."
        if writable
        else "Limits hold for each process, not for the job: one that starts many can use more memory than it was given."
    )
    hint = "Run as root, or let systemd delegate a group: systemd-run --user --scope -p Delegate=yes"
    detail = None if writable or version is None else "not writable"
    return Part(name="cgroups", present=writable, version=version, detail=detail, meaning=meaning, hint=hint)


def _own_group(root: Path) -> str:
    lines = (_read(root / "proc/self/cgroup") or "").splitlines()
    return next((line[3:].lstrip("/") for line in lines if line.startswith("0::") and ".." not in line), "")


def _sqlite() -> Part:
    driver = sqlite_driver()
    safe = sqlite_wal_safe(tuple(driver.sqlite_version_info))
    meaning = (
        "The store uses a write-ahead log: reading and writing go on side by side."
        if safe
        else "Its write-ahead log can corrupt a store that two processes write; a rollback journal is used, which is slower."
    )
    return Part(
        name="sqlite",
        present=safe,
        version=driver.sqlite_version,
        detail=driver.__name__.partition(".")[0],
        meaning=meaning,
        hint="Install pysqlite3, which carries a current SQLite.",
    )


def _pythons(interpreters: Sequence[Interpreter]) -> Part:
    versions = ", ".join(dict.fromkeys(one.version for one in interpreters))
    meaning = "An environment can have any of these." if versions else "No environment can be built."
    hint = "Install one (uv python install), or name its folder in the setting pythons."
    return Part(name="pythons", present=bool(versions), detail=versions or None, meaning=meaning, hint=hint)


def _pidfd() -> Part:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (OSError, AttributeError):
        hint = "Linux 5.3 has it; some container runtimes forbid it."
        return Part(
            name="pidfd",
            present=False,
            meaning="The end of a job is noticed by looking now and then.",
            hint=hint,
        )
    return Part(name="pidfd", present=True, meaning="The end of a job is noticed at once.")


def _inotify(root: Path) -> Part:
    most = _read(root / "proc/sys/fs/inotify/max_user_instances")
    present = most not in {None, "0"}
    meaning = (
        "Changes of files are noticed at once."
        if present
        else "Changes of files are noticed by looking now and then."
    )
    return Part(
        name="inotify", present=present, meaning=meaning, hint="Set sysctl fs.inotify.max_user_instances."
    )


def _nvidia(root: Path) -> Part:
    text = _read(root / "proc/driver/nvidia/version")
    if text is None:
        return Part(name="nvidia", present=False, meaning="Requests for a GPU are refused on this node.")
    version = next((word for word in text.split() if word[0].isdigit() and "." in word), None)
    return Part(name="nvidia", present=True, version=version, meaning="Jobs can ask for GPUs.")


def _space(data: Path) -> Part:
    folder = next((path for path in (data, *data.parents) if path.exists()), Path("/"))
    usage = shutil.disk_usage(folder)
    enough = usage.free >= LEAST_SPACE
    return Part(
        name="disk",
        present=enough,
        detail=f"{format_size(usage.free)} of {format_size(usage.total)} free for {data}",
        meaning="There is room for environments." if enough else "Builds may fail for lack of space.",
        hint="Run djed gc, or move the data folder (setting data).",
    )


def _clock(root: Path) -> Part:
    """A clock that is behind our own files is wrong: certificates look invalid and ``exclude_newer`` means another day."""
    right = time.time() >= Path(__file__).stat().st_mtime
    synchronised = (root / "run/systemd/timesync/synchronized").exists()
    meaning = "Times of results can be compared." if right else "Certificates and dates cannot be trusted."
    detail = "synchronised" if synchronised else None
    return Part(
        name="clock",
        present=right,
        detail=detail,
        meaning=meaning,
        hint="Set the clock: timedatectl set-ntp true",
    )


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
