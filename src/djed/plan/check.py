"""Everything that is wrong with a hardware requirement or with resources, before any node is looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from djed.errors import Fault, RequestError
from djed.model.quantity import parse_count, parse_range, parse_size
from djed.model.request import Gpu, HardwareRequirement, Resources
from djed.plan.fields import ALTERNATIVES, memory_range, parse_os, parse_specifier
from djed.plan.microarchitecture import check_microarchitecture

__all__ = ["check_requirement", "check_resources"]

MAX_DEPTH = 8
"""Requirements within requirements; more is a mistake or an attack on the stack."""

_READERS: dict[str, Callable[[str], object]] = {
    "cpu_family": parse_range,
    "cpu_model": parse_range,
    "physical_cpus": parse_range,
    "cores": parse_range,
    "memory": memory_range,
    "os": parse_os,
    "kernel": parse_specifier,
}


def check_requirement(requirement: HardwareRequirement, path: str = "run.hardware") -> tuple[Fault, ...]:
    """Every fault, each with its path: ``run.hardware.any_of[1].cores``."""
    return tuple(_faults(requirement, path, MAX_DEPTH))


def check_resources(resources: Resources, path: str = "run.resources") -> tuple[Fault, ...]:
    """Every fault, each with its path."""
    found = [*_read(resources.memory, parse_size, f"{path}.memory")]
    found += _read(resources.cpu, parse_range, f"{path}.cpu") or _positive(resources, path)
    found += _read(resources.disk, parse_size, f"{path}.disk")
    if resources.gpu < 0:
        found.append(Fault(path=f"{path}.gpu", message=f"{resources.gpu} GPUs are less than none"))
    if resources.processes is not None and resources.processes < 1:
        found.append(Fault(path=f"{path}.processes", message="a job needs at least one process"))
    return tuple(found)


def _positive(resources: Resources, path: str) -> list[Fault]:
    if resources.cpu is None or parse_range(resources.cpu, parse_count).low > 0:
        return []
    return [Fault(path=f"{path}.cpu", message="a job needs more than no CPU")]


def _faults(requirement: HardwareRequirement, path: str, depth: int) -> Iterator[Fault]:
    if not depth:
        yield Fault(path=path, message=f"alternatives are nested more than {MAX_DEPTH} deep")
        return
    for name, reader in _READERS.items():
        yield from _read(getattr(requirement, name), reader, f"{path}.{name}")
    if requirement.microarchitecture is not None:
        yield from _named(requirement.microarchitecture, f"{path}.microarchitecture")
    if requirement.gpu is not None:
        yield from _gpu_faults(requirement.gpu, f"{path}.gpu")
    for name in ALTERNATIVES:
        for index, option in enumerate(getattr(requirement, name)):
            yield from _faults(option, f"{path}.{name}[{index}]", depth - 1)


def _named(asked: str, path: str) -> tuple[Fault, ...]:
    try:
        check_microarchitecture(asked, path)
    except RequestError as error:
        return error.faults
    return ()


def _gpu_faults(gpu: Gpu, path: str) -> Iterator[Fault]:
    yield from _read(gpu.count, parse_range, f"{path}.count")
    yield from _read(gpu.memory, memory_range, f"{path}.memory")


def _read(value: str | float | None, reader: Callable[[str], object], path: str) -> list[Fault]:
    if value is None:
        return []
    try:
        reader(str(value))
    except ValueError as error:
        return [Fault(path=path, message=str(error))]
    return []
