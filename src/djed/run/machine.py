"""What this machine is: its node, its uv, and the hardware record that is taken once per boot."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path
from typing import Any

from djed.config import Config
from djed.model.hardware import Node
from djed.model.request import SandboxLevel
from djed.run.shim import hwinfo

__all__ = ["find_uv", "node", "node_id", "remember"]

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def node_id(target: str) -> str:
    """The stable name of this machine as a node."""
    return f"{target}/{socket.gethostname()}"


def node(config: Config, target: str, sandboxes: tuple[SandboxLevel, ...]) -> Node:
    """This machine as a node. The first time it takes a second: uv has to look for Pythons."""
    from djed.run.hardware import detect  # archspec is slow to import, and only an inventory needs it
    from djed.run.interpreters import find_interpreters

    uv = find_uv(config)
    memory = config.data / "pythons.json"
    found = find_interpreters(uv, config.pythons, memory=memory) if uv is not None else ()
    labels = dict(label.partition("=")[::2] for label in config.labels)
    return Node(
        id=node_id(target),
        target=target,
        hardware=detect(remember(config.data)),
        interpreters=found,
        sandboxes=sandboxes,
        labels=labels,
    )


def remember(data: Path) -> dict[str, Any]:
    """The hardware record of this machine as it is now, kept in ``node.json`` for the shims.

    Affinity and limits differ from process to process; only the GPUs, which take a second, are those first seen since the boot.
    """
    boot = _BOOT_ID.read_text(encoding="ascii").strip()
    file = data / "node.json"
    gpus = None
    try:
        known = json.loads(file.read_bytes())
        if known["boot_id"] == boot:
            gpus = list(known["record"]["gpus"])
    except (OSError, ValueError, KeyError, TypeError):
        pass
    record: dict[str, Any] = hwinfo.record(gpus=gpus)
    data.mkdir(parents=True, exist_ok=True)
    temporary = data / f"node.json.{os.getpid()}"
    temporary.write_text(json.dumps({"boot_id": boot, "record": record}), encoding="utf-8")
    temporary.replace(file)
    return record


def find_uv(config: Config) -> str | None:
    """The uv executable: the configured one, the one that was installed with Djed, else the one on the PATH."""
    if config.uv is not None:
        return config.uv
    try:
        from uv import find_uv_bin  # type: ignore[import-not-found,unused-ignore]

        return str(find_uv_bin())
    except (ImportError, FileNotFoundError):
        return shutil.which("uv")
