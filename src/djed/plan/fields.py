"""What each field of a hardware requirement means: one line of comparison for each, nothing about several nodes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypedDict

from djed.model.hardware import GpuDevice, Hardware, Node
from djed.model.quantity import Range, format_size, parse_range, parse_size
from djed.model.request import Gpu, HardwareRequirement
from djed.plan.microarchitecture import reaches

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

__all__ = ["ALTERNATIVES", "Line", "compare", "memory_range", "parse_os", "parse_specifier"]

ALTERNATIVES = ("any_of", "ordered")
"""Fields that hold further requirements."""

MEMORY_TOLERANCE = 0.05
"""Firmware, the kernel and ECC keep some memory for themselves: a machine of "64 GiB" shows 62.7. Each bound is widened by this part."""

_ARCHITECTURES = {
    "amd64": "x86_64", "x64": "x86_64", "x86-64": "x86_64", "arm64": "aarch64", "armv8": "aarch64",
    "ppc64el": "ppc64le", "x86": "i686", "i386": "i686",
}  # fmt: skip
_VENDORS = {"intel": "genuineintel", "amd": "authenticamd"}
# Names that archspec, compilers and people use -> Linux's.
_FLAGS = {
    "sse3": "pni", "lzcnt": "abm", "sha": "sha_ni", "rdrnd": "rdrand", "pclmul": "pclmulqdq", "avx512": "avx512f",
    "avxvnni": "avx_vnni", "neon": "asimd", "vmx_nested": "vmx", "aes_ni": "aes", "bf16_avx512": "avx512_bf16",
}  # fmt: skip
_OS = re.compile(r"([a-z0-9][a-z0-9._-]*)\s*([<>=!~].*)?")


class Line(TypedDict):
    """One line of a requirement against one node; JSON."""

    path: str
    """``run.hardware.memory``."""
    asked: str
    has: str
    ok: bool


_Verdict = tuple[str, bool]
"""What the node has, and whether that is enough."""


def compare(requirement: HardwareRequirement, node: Node, path: str) -> tuple[Line, ...]:
    """A line for each field that is given, alternatives aside. What is not known of a node is not enough.

    Raises ``ValueError`` for a field that cannot be read; :func:`djed.plan.check.check_requirement` finds those first.
    """
    lines = []
    for name, judge in _FIELDS.items():
        asked = getattr(requirement, name)
        if asked is not None and asked != ():
            has, ok = judge(asked, node.hardware)
            lines.append(Line(path=f"{path}.{name}", asked=_words(asked), has=has, ok=ok))
    if requirement.gpu is not None:
        lines += _compare_gpus(requirement.gpu, node.hardware.gpus, f"{path}.gpu")
    for name, value in requirement.labels.items():
        label = node.labels.get(name)
        shown = "no such label" if label is None else label
        lines.append(Line(path=f"{path}.labels.{name}", asked=value, has=shown, ok=label == value))
    return tuple(lines)


def memory_range(text: str | float) -> Range:
    """A range of bytes, each bound widened by :data:`MEMORY_TOLERANCE`. Raises ``ValueError``."""
    exact = parse_range(text, parse_size)
    high = None if exact.high is None else exact.high * (1 + MEMORY_TOLERANCE)
    return Range(low=exact.low * (1 - MEMORY_TOLERANCE), high=high)


def parse_os(text: str) -> tuple[str, SpecifierSet]:
    """ID of os-release and the versions: ``debian``, ``debian>=12``, ``ubuntu>=22.04,<25``. Raises ``ValueError``."""
    found = _OS.fullmatch(text.strip().lower())
    if found is None:
        raise ValueError(f"{text!r} is not a system; write for example debian or debian>=12")
    return found[1], parse_specifier(found[2] or "")


def parse_specifier(text: str) -> SpecifierSet:
    """Versions as in PEP 440; a bare ``5.15`` is any 5.15. Raises ``ValueError``."""
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    word = text.strip()
    if re.fullmatch(r"[0-9][0-9.]*(\.\*)?", word):
        word = f"=={word.removesuffix('.*')}.*"
    try:
        return SpecifierSet(word)
    except InvalidSpecifier:
        raise ValueError(f"{text!r} is not a version specifier; write for example >=5.15") from None


def _words(asked: object) -> str:
    return ", ".join(map(str, asked)) if isinstance(asked, tuple) else str(asked)


def _architecture(asked: str, hardware: Hardware) -> _Verdict:
    word = asked.strip().lower()
    return hardware.arch, _ARCHITECTURES.get(word, word) == hardware.arch.lower()


def _microarchitecture(asked: str, hardware: Hardware) -> _Verdict:
    has = hardware.microarchitecture or "unknown"
    hidden = hardware.record.get("virtualization", {}).get("hypervisor")
    # Hypervisors mask flags, so a newer processor looks like a generic level.
    note = " (generic: a hypervisor may hide the exact one)" if hidden and has.startswith("x86_64") else ""
    return has + note, reaches(asked, hardware)


def _vendor(asked: str, hardware: Hardware) -> _Verdict:
    word = asked.strip().lower()
    return hardware.cpu_vendor or "unknown", _VENDORS.get(word, word) == (hardware.cpu_vendor or "").lower()


def _processor(asked: str, hardware: Hardware) -> _Verdict:
    has = hardware.processor or ""
    return has or "unknown", bool(has) and asked.lower() in has.lower()


def _cpu_flags(asked: Iterable[str], hardware: Hardware) -> _Verdict:
    present = {_flag(flag) for flag in hardware.cpu_flags}
    missing = [flag for flag in asked if _flag(flag) not in present]
    return f"not {', '.join(missing)}" if missing else "all of them", not missing


def _flag(name: str) -> str:
    word = name.strip().lower().replace(".", "_").replace("-", "_")
    return _FLAGS.get(word, word)


def _number(attribute: str) -> Callable[[str | int, Hardware], _Verdict]:
    def judge(asked: str | int, hardware: Hardware) -> _Verdict:
        has = getattr(hardware, attribute)
        return ("unknown", False) if has is None else (str(has), has in parse_range(asked))

    return judge


def _memory(asked: str | int, hardware: Hardware) -> _Verdict:
    if hardware.memory is None:
        return "unknown", False
    return format_size(hardware.memory), hardware.memory in memory_range(asked)


def _os(asked: str, hardware: Hardware) -> _Verdict:
    name, versions = parse_os(asked)
    has = " ".join(filter(None, (hardware.os, hardware.os_version))) or "unknown"
    fits = not len(versions) or _version_in(versions, hardware.os_version)
    return has, name == (hardware.os or "").lower() and fits


def _kernel(asked: str, hardware: Hardware) -> _Verdict:
    return hardware.kernel or "unknown", _version_in(parse_specifier(asked), hardware.kernel)


def _version_in(versions: SpecifierSet, text: str | None) -> bool:
    """By the numbers that ``text`` begins with: the rest of ``6.1.0-18-amd64`` is the distributor's."""
    found = re.match(r"\d+(\.\d+)*", text or "")
    return found is not None and versions.contains(found[0], prereleases=True)


_FIELDS: Mapping[str, Callable[[Any, Hardware], _Verdict]] = {
    "arch": _architecture,
    "microarchitecture": _microarchitecture,
    "cpu_vendor": _vendor,
    "cpu_family": _number("cpu_family"),
    "cpu_model": _number("cpu_model"),
    "processor": _processor,
    "cpu_flags": _cpu_flags,
    "physical_cpus": _number("physical_cpus"),
    "cores": _number("cores"),
    "memory": _memory,
    "os": _os,
    "kernel": _kernel,
}


def _compare_gpus(asked: Gpu, devices: tuple[GpuDevice, ...], path: str) -> list[Line]:
    """The count is of devices that have the model and the memory; without one, at least one is asked for."""
    count = parse_range("1+" if asked.count is None else asked.count)
    named = [device for device in devices if (asked.model or "").lower() in device.name.lower()]
    large = [device for device in named if _gpu_memory_fits(asked, device)]
    lines = []
    # "none of that kind" must not fail on the lines that say there is none
    if asked.model is not None and 0 not in count:
        names = ", ".join(sorted({device.name for device in devices}))
        lines.append(Line(path=f"{path}.model", asked=asked.model, has=names or "no GPU", ok=bool(named)))
    if asked.memory is not None and 0 not in count:
        sizes = ", ".join(
            "unknown" if device.memory is None else format_size(device.memory) for device in named
        )
        lines.append(
            Line(path=f"{path}.memory", asked=str(asked.memory), has=sizes or "no GPU", ok=bool(large))
        )
    words = "1+" if asked.count is None else str(asked.count)
    return [*lines, Line(path=f"{path}.count", asked=words, has=str(len(large)), ok=len(large) in count)]


def _gpu_memory_fits(asked: Gpu, device: GpuDevice) -> bool:
    if asked.memory is None:
        return True
    return device.memory is not None and device.memory in memory_range(asked.memory)
