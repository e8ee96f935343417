"""How a job on this machine gets its secrets: from our memory into that of its shim, and never onto a disk in the clear.

Without a sandbox the shim has to write them somewhere: into a folder of the job's own in ``/dev/shm``, which is memory, or, where there is
none, into the job directory.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from djed.model.job import Job
from djed.run.interface import Materials
from djed.run.sandbox import Bind, Sandbox
from djed.toolbox import fs

__all__ = ["binds", "given", "passed", "plan", "take_away", "variables"]

_VARIABLE = "DJED_SECRETS"
_INSIDE = "/djed/secrets"
_MEMORY = Path("/dev/shm")  # noqa: S108  # not a temporary file: a folder with a random name, made by the shim
_MOUNTS = Path("/proc/self/mountinfo")


def given(job: Job, materials: Materials) -> dict[str, bytes]:
    """The values of the job's secrets by name. Raises what ``materials`` raises."""
    return {name: materials.secret(job.namespace, name) for name in job.secrets}


def plan(name: str, job: Job, directory: Path, sandbox: Sandbox) -> dict[str, Any] | None:
    """What the shim is told of the secrets of the attempt ``name``; ``None`` where it has none."""
    if not job.secrets:
        return None
    folder = _INSIDE if sandbox.level == "bwrap" else str(_folder(name, directory))
    # Older versions of bubblewrap cannot set the mode; the files are read-only in any case.
    options = ["--perms", "0400"] if sandbox.is_recent() else []
    return {"names": sorted(job.secrets), "folder": folder, "options": options}


def variables(told: Mapping[str, Any] | None, *, boxed: bool) -> dict[str, str]:
    """What the job's environment says of them; ``boxed``: it sees only what is bound for it."""
    return {} if told is None else {_VARIABLE: _INSIDE if boxed else told["folder"]}


def binds(told: Mapping[str, Any] | None) -> tuple[Bind, ...]:
    """What a sandbox has to show for them: nothing where bubblewrap takes them from the shim itself."""
    return () if told is None or told["folder"] == _INSIDE else (Bind(source=told["folder"], target=_INSIDE),)


def _folder(name: str, directory: Path) -> Path:
    in_memory = any(
        fields[4] == str(_MEMORY) and "tmpfs" in fields
        for fields in map(str.split, _MOUNTS.read_text(encoding="utf-8").splitlines())
    )
    if in_memory and os.access(_MEMORY, os.W_OK | os.X_OK):
        return _MEMORY / f"{name}.{os.urandom(8).hex()}"
    return directory / "secrets"


@contextmanager
def passed(values: Mapping[str, bytes]) -> Iterator[int | None]:
    """A descriptor from which the shim reads the values, a file in memory without a name; ``None`` where there are none."""
    if not values:
        yield None
        return
    descriptor = os.memfd_create("djed", os.MFD_CLOEXEC)
    try:
        text = json.dumps({name: base64.b64encode(value).decode() for name, value in values.items()})
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(text.encode())
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def take_away(name: str, order: Mapping[str, Any]) -> None:
    """Remove what a shim that was killed left of the secrets of its attempt. Raises ``OSError``."""
    told = order.get("secrets")
    folder = Path(told["folder"]) if told else None
    # Without a sandbox a job could have rewritten its order: nothing but a folder of this attempt is removed.
    if folder is not None and folder.parent == _MEMORY and folder.name.startswith(f"{name}."):
        fs.remove_tree(folder)
