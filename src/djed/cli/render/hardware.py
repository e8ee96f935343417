"""Nodes and their hardware, for people."""

from __future__ import annotations

from djed.cli.render.text import Line, bold, dim
from djed.cli.render.words import count
from djed.model.hardware import Hardware, Node
from djed.model.quantity import format_size

__all__ = ["node_lines"]

_LABEL = 20


def node_lines(node: Node) -> list[Line]:
    """A node: what requirements can ask for, by the names they use."""
    fields = [
        *_processor(node.hardware),
        *_system(node.hardware),
        ("pythons", " ".join(interpreter.version for interpreter in node.interpreters)),
        ("sandboxes", " ".join(node.sandboxes)),
        ("labels", " ".join(f"{name}={value}" for name, value in node.labels.items())),
    ]
    return [(bold(node.id),), *(("  ", dim(name.ljust(_LABEL)), text) for name, text in fields if text)]


def _processor(hardware: Hardware) -> list[tuple[str, str]]:
    identity = [
        f"{name} {value}"
        for name, value in (
            ("family", hardware.cpu_family),
            ("model", hardware.cpu_model),
            ("stepping", hardware.cpu_stepping),
        )
        if value is not None
    ]
    physical = f", {count(hardware.physical_cpus, 'physical core')}" if hardware.physical_cpus else ""
    return [
        ("processor", hardware.processor or ""),
        ("cpu", " ".join(filter(None, [hardware.cpu_vendor, *identity]))),
        ("arch", hardware.arch),
        ("microarchitecture", hardware.microarchitecture or ""),
        ("cores", f"{hardware.cores} usable{physical}"),
        ("cpu_flags", f"{len(hardware.cpu_flags)} (--json lists them)" if hardware.cpu_flags else ""),
    ]


def _system(hardware: Hardware) -> list[tuple[str, str]]:
    gpus = [f"{gpu.name}{f' ({format_size(gpu.memory)})' if gpu.memory else ''}" for gpu in hardware.gpus]
    return [
        ("memory", format_size(hardware.memory) if hardware.memory else ""),
        ("gpu", ", ".join(gpus) or "none"),
        ("os", " ".join(filter(None, [hardware.os, hardware.os_version]))),
        ("kernel", hardware.kernel or ""),
        ("libc", hardware.libc or ""),
    ]
