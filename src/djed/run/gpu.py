"""GPUs for jobs: the devices, and for a job in an image the driver's libraries, which belong to the machine's kernel and to no image."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from djed.errors import MissingPartError
from djed.model.job import Job
from djed.run.sandbox import Bind

__all__ = ["binds", "variables"]

_DEVICES = Path("/dev")
_FOLDERS = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/local/nvidia/lib64",
    "/usr/lib/wsl/lib",
)
_LIBRARY = re.compile(r"lib(?:cuda|cudadebugger|nvcuvid|nvoptix|nvidia-[\w-]+)\.so[.\d]*")
_DRIVER = "libcuda.so.1"
_INSIDE = "/djed/driver"


def binds(job: Job) -> list[Bind]:
    """What a sandbox shows of the GPUs; nothing where the job asks for none. Raises ``MissingPartError`` where there are none."""
    if not job.limits.gpu:
        return []
    devices = sorted(map(str, _DEVICES.glob("nvidia*")))
    if not devices:
        raise MissingPartError("The job asks for a GPU, but this machine shows none under /dev.")
    found = [Bind(source=path, target=path, writable=True, device=True) for path in devices]
    return [*found, Bind(source="/sys", target="/sys"), *(_libraries() if job.inside else [])]


def variables(job: Job, given: Mapping[str, str]) -> dict[str, str]:
    """What makes programs in an image find the driver; ``given``: the variables that the job has otherwise."""
    if not (job.limits.gpu and job.inside):
        return {}
    paths = (_INSIDE, given.get("LD_LIBRARY_PATH", ""))
    return {"LD_LIBRARY_PATH": ":".join(filter(None, paths))}


def _libraries() -> list[Bind]:
    folder = next((Path(path) for path in _FOLDERS if Path(path, _DRIVER).exists()), None)
    if folder is None:
        raise MissingPartError(
            f"The job asks for a GPU, but the driver's library {_DRIVER} is not in {', '.join(_FOLDERS)}."
        )
    names = sorted(path.name for path in folder.iterdir() if _LIBRARY.fullmatch(path.name) and path.is_file())
    return [Bind(source=os.path.realpath(folder / name), target=f"{_INSIDE}/{name}") for name in names]
