"""The hardware of this machine, or of one whose record came home, as requirements see it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from djed.model.hardware import GpuDevice, Hardware
from djed.run.shim import hwinfo

__all__ = ["Named", "detect", "microarchitecture", "name"]


Named = tuple[str | None, tuple[str, ...]]
"""A microarchitecture and all whose code runs on it, its own first."""


def detect(record: Mapping[str, Any] | None = None, named: Named | None = None) -> Hardware:
    """Hardware from a record of :func:`djed.run.shim.hwinfo.record`; without one, of this machine.

    ``named`` spares asking archspec, which takes 50 ms, for what :func:`name` said before.
    """
    seen: Mapping[str, Any] = hwinfo.record() if record is None else record
    info, release, libc = seen["cpu_info"], seen["os_release"] or {}, seen["libc"]
    compatible: tuple[str, ...]
    known, compatible = named or name(seen)
    cpus = _cpus(seen)
    return Hardware(
        arch=seen["platform"]["machine"] or "unknown",
        microarchitecture=known,
        compatible=compatible,
        cpu_vendor=info["vendor_id_raw"],
        cpu_family=info["family"],
        cpu_model=info["model"],
        cpu_stepping=info["stepping"],
        processor=info["brand_raw"],
        cpu_flags=tuple(seen["cpu_features"]["flags"]),
        physical_cpus=seen["topology"]["cores"],
        cores=_cores(seen, cpus),
        cpus=cpus,
        memory=_memory(seen),
        gpus=tuple(_gpu(gpu) for gpu in seen["gpus"]),
        os=release.get("id"),
        os_version=release.get("version_id"),
        kernel=seen["kernel"]["release"],
        libc="".join(filter(None, (libc["name"], libc["version"]))) or None,
        record=seen,
    )


def name(seen: Mapping[str, Any]) -> Named:
    """The microarchitecture of a recorded machine."""
    info, arch = seen["cpu_info"], seen["platform"]["machine"] or "unknown"
    part = info["model"] if arch == "aarch64" else None
    flags = seen["cpu_features"]["flags"]
    return microarchitecture(arch, info["vendor_id_raw"], flags, part=part, brand=info["brand_raw"])


def microarchitecture(
    arch: str,
    vendor: str | None,
    flags: Collection[str],
    *,
    part: int | None = None,
    brand: str | None = None,
) -> Named:
    """Archspec's name of a processor and the names of all microarchitectures whose code runs on it, its own first.

    By the rules that archspec applies to the running machine alone: the best generic level comes first and only its descendants
    compete for the name. ``part`` is the ARM part number, ``brand`` tells the generation of a POWER. An unknown family gives
    ``(None, ())``.
    """
    from archspec.cpu import TARGETS

    # Linux shows sse3 as pni; what has ssse3 has it.
    features = {*flags, "sse3"} if "ssse3" in flags else set(flags)
    generation = int(found[1]) if (found := re.search(r"POWER(\d+)", brand or "")) else 0
    runs = [
        target
        for target in TARGETS.values()
        if target.family.name == arch
        and target.vendor in {"generic", vendor}
        and target.features <= features
        and target.generation <= generation
        and _told_by_flags(target)
    ]
    generic = max((target for target in runs if target.vendor == "generic"), key=_rank, default=None)
    if generic is None:
        return None, ()
    same_part = [target for target in runs if part is not None and target.cpu_part == f"{part:#05x}"]
    named = [target for target in same_part or runs if generic in target.ancestors]
    best = max(named, key=_rank, default=generic)
    return best.name, (best.name, *(target.name for target in best.ancestors))


def _rank(target: Any) -> tuple[int, int]:
    return len(target.ancestors), len(target.features)


def _told_by_flags(target: Any) -> bool:
    """Levels of ARM and names of RISC-V have no features of their own in archspec: everything would seem to reach them."""
    if target.family.name == "x86_64" or not target.ancestors:
        return True
    return bool(target.generation) or (target.family.name == "aarch64" and target.vendor != "generic")


def _cpus(seen: Mapping[str, Any]) -> tuple[int, ...]:
    """CPUs by affinity and cpuset; affinity alone where the two disagree (a cpuset seen from inside another namespace)."""
    allowed = tuple(seen["affinity"])
    cpuset = set(hwinfo.hwcpu.numbers(seen["cgroup"]["cpuset"]))
    return tuple(cpu for cpu in allowed if cpu in cpuset) or allowed


def _cores(seen: Mapping[str, Any], cpus: Sequence[int]) -> int:
    """Whole CPUs; a quota of 1.5 lets one job of one CPU run undisturbed."""
    quota = seen["cgroup"]["cpu_quota"]
    count = len(cpus) or seen["cpu_info"]["count"] or 1
    return count if quota is None else max(1, min(count, int(quota)))


def _memory(seen: Mapping[str, Any]) -> int | None:
    known = [size for size in (seen["memory"]["total"], seen["memory"]["cgroup_limit"]) if size is not None]
    return min(known, default=None)


def _gpu(gpu: Mapping[str, Any]) -> GpuDevice:
    return GpuDevice(
        name=gpu["name"] or "unknown",
        uuid=gpu["uuid"],
        memory=gpu["memory"],
        driver=gpu["driver"],
        cuda=gpu["cuda"],
    )
