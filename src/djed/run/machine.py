"""What this machine is: its node, its uv, and the hardware record that is taken once per boot."""

from __future__ import annotations

import json
import secrets
import socket
from pathlib import Path
from typing import Any

from djed.config import Config
from djed.errors import MissingPartError
from djed.model.engine import ContainerEngine
from djed.model.hardware import Node
from djed.model.request import SandboxLevel
from djed.run.hardware import Named, detect, name
from djed.run.interpreters import find_interpreters
from djed.run.shim import hwinfo
from djed.toolbox.folder import writing
from djed.toolbox.parts import find_uv

__all__ = ["installed_uv", "node", "node_id", "remember"]

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def node_id(config: Config, target: str) -> str:
    """The stable name of this machine as a node."""
    return f"{target}/{config.node or socket.gethostname()}"


def node(
    config: Config,
    target: str,
    sandboxes: tuple[SandboxLevel, ...],
    engines: tuple[ContainerEngine, ...] = (),
) -> Node:
    """This machine as a node. The first time it takes a second: uv has to look for Pythons."""
    record = remember(config.data)
    uv = installed_uv(config)
    memory = config.data / "pythons.json"
    found = find_interpreters(uv, config.pythons, memory=memory) if uv is not None else ()
    labels = dict(label.partition("=")[::2] for label in config.labels)
    return Node(
        id=node_id(config, target),
        target=target,
        hardware=detect(record, _named(config.data, record)),
        interpreters=found,
        sandboxes=sandboxes,
        labels=labels,
        engines=engines,
    )


def remember(data: Path) -> dict[str, Any]:
    """The hardware record of this machine as it is now, kept in ``node.json`` for the shims.

    Affinity and limits differ from process to process; only the GPUs, which take a second, are those first seen since the boot.
    """
    known = _recall(data / "node.json").get("record")
    record: dict[str, Any] = hwinfo.record(gpus=known["gpus"] if known else None)
    _keep(data / "node.json", {"record": record})
    return record


def _named(data: Path, record: dict[str, Any]) -> Named:
    """What archspec calls the processor, asked once per boot."""
    file = data / "microarchitecture.json"
    known = _recall(file)
    if "name" in known:
        return known["name"], tuple(known["compatible"])
    found, compatible = name(record)
    _keep(file, {"name": found, "compatible": compatible})
    return found, compatible


def _recall(file: Path) -> dict[str, Any]:
    """What was kept since this boot; empty where that is nothing."""
    try:
        known = json.loads(file.read_bytes())
        return known if known["boot_id"] == _boot() else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _keep(file: Path, facts: dict[str, Any]) -> None:
    draft = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps({"boot_id": _boot(), **facts}), encoding="utf-8")
        draft.replace(file)


def _boot() -> str:
    return _BOOT_ID.read_text(encoding="ascii").strip()


def installed_uv(config: Config) -> str | None:
    """The uv executable; ``None`` where there is none."""
    try:
        return find_uv(config)
    except MissingPartError:
        return None
