"""What kernel, loader and allocator say in a log: disk full, missing library, illegal instruction, out of memory."""

from __future__ import annotations

import re
import signal as signals
from collections.abc import Mapping
from typing import Any

from djed.model.hardware import Hardware
from djed.model.observation import Failure
from djed.model.quantity import format_size
from djed.observe.case import Case
from djed.observe.rules.packages import library_hint
from djed.observe.rules.traceback import final_words, importer

__all__ = ["disk_full", "illegal_instruction", "missing_library", "out_of_memory"]

_DISK = re.compile(
    r"No space left on device|Disk quota exceeded|\[Errno (?:28|122)\]|\bENOSPC\b|File size limit exceeded|disk full",
    re.IGNORECASE,
)
_LIBRARY = re.compile(
    r"(?:^|[\s:'\"(])([\w./+-]{1,200}\.so(?:\.[\w.]{1,40})?)['\"]?: cannot open shared object file"
)
_SYMBOL = re.compile(
    r"(?<![\w./+-])([\w./+-]{1,200}\.so[\w.]{0,40}): "
    r"(?:version `([\w.]{1,60})' not found|undefined symbol: (\S{1,200})|wrong ELF class|invalid ELF header)"
)
_ILLEGAL = re.compile(r"\bIllegal instruction\b|\bSIGILL\b|illegal hardware instruction")
_MEMORY = (
    re.compile(r"^(?:[\w.]{1,100}\.)?_?(?:Array)?MemoryError\b(?:: (.{1,300}))?"),
    re.compile(
        r"std::bad_alloc|\[Errno 12\]|Cannot allocate memory|JavaScript heap out of memory|java\.lang\.OutOfMemoryError"
        r"|virtual memory exhausted|cannot allocate vector of size"
    ),
    re.compile(r"(?:CUDA|HIP) out of memory|OutOfMemoryError"),
)

# What compilers commonly assume, weakest first: the levels of the x86-64 psABI, then what Arm code asks for.
_FEATURES: Mapping[str, tuple[str, ...]] = {
    "x86_64": (
        "ssse3",
        "sse4_1",
        "sse4_2",
        "popcnt",
        "avx",
        "f16c",
        "fma",
        "bmi1",
        "bmi2",
        "avx2",
        "avx512f",
        "avx512bw",
        "avx512vl",
        "amx_tile",
    ),
    "aarch64": ("atomics", "asimddp", "asimdhp", "sve", "bf16", "i8mm", "sve2"),
}


def disk_full(case: Case) -> Failure | None:
    """A file system had no room left."""
    # A build quotes its backend's words before its own; a script's earlier words may be about anything.
    words = final_words(case) if case.stage == "run" else case.last(60)
    shown = [line for line in words if _DISK.search(line)]
    if not shown:
        return None
    return case.failure(
        "disk_full",
        f"{case.subject} found no space left on the disk.",
        hint="Free space where Djed keeps its data (`djed gc` removes what nobody needs), or raise resources.disk.",
        shown=shown,
    )


def missing_library(case: Case) -> Failure | None:
    """A shared library is not there, or too old."""
    # From the end: frameworks warn of libraries that they can do without.
    words = final_words(case)
    for line in reversed(words):
        match = _LIBRARY.search(line)
        if match is not None:
            return _library_failure(
                case, match[1], "which is not there", hint=library_hint(match[1]), words=words
            )
        match = _SYMBOL.search(line)
        if match is not None:
            return _version_failure(case, match, words)
    return None


def illegal_instruction(case: Case) -> Failure | None:
    """The processor does not know an instruction that the code uses."""
    shown = [line for line in case.last(20) if _ILLEGAL.search(line)]
    if case.signal != signals.SIGILL and not shown:
        return None
    hardware = _facts(case.context.get("hardware"))
    absent = _absent(hardware)
    processor = hardware.get("processor") or "the processor"
    lacks = f"; it lacks {', '.join(absent[:4])}" if absent else ""
    return case.failure(
        "illegal_instruction",
        f"{case.subject} used an instruction that {processor} does not know{lacks}.",
        hint="Choose a build for an older processor, or ask for the hardware it needs with run.hardware"
        + (f" (cpu_flags: [{absent[0]}])." if absent else "."),
        shown=shown,
        absent=absent,
        processor=hardware.get("processor"),
    )


def out_of_memory(case: Case) -> Failure | None:
    """The program itself says that it got no memory, or was killed at its limit."""
    said = final_words(case)
    limit, peak = case.context.get("memory"), case.result.peak_memory
    shown = [line for line in said if any(pattern.search(line.strip()) for pattern in _MEMORY)]
    # The kernel's own count may be out of reach (no cgroup); a kill within a fiftieth of the limit is no accident.
    at_limit = case.signal == signals.SIGKILL and bool(limit and peak and peak >= limit * 0.98)
    if not shown and not at_limit:
        return None
    on_gpu = any(_MEMORY[2].search(line) and "java" not in line for line in shown)
    bound = f" of {format_size(limit)}" if limit and not on_gpu else ""
    return case.failure(
        "out_of_memory",
        f"{case.subject} ran out of {'GPU ' if on_gpu else ''}memory{bound}{f': {shown[-1].strip()}' if shown else ''}.",
        hint="Ask for a GPU with more memory, or make it need less."
        if on_gpu
        else "Raise resources.memory in the request, or make it need less.",
        shown=shown,
        limit=limit,
        peak=peak,
    )


def _library_failure(
    case: Case, library: str, trouble: str, *, hint: str | None, words: tuple[str, ...]
) -> Failure:
    package = importer(case)
    return case.failure(
        "missing_library",
        f"{package or case.subject} needs the shared library {library}, {trouble}.",
        hint=hint or "Add the native package that has it, or use a wheel that brings it along.",
        shown=[line for line in words if library in line] + list(words[-6:]),
        library=library,
        package=package,
    )


def _version_failure(case: Case, match: re.Match[str], words: tuple[str, ...]) -> Failure:
    library, version, symbol = match[1], match[2], match[3]
    lacks = (
        f"which lacks {version or symbol}" if version or symbol else "which is for another kind of machine"
    )
    glibc = version is not None and version.startswith("GLIBC_")
    hint = (
        "The package was built on a newer system; choose a manylinux wheel for an older glibc, or a newer base."
        if glibc
        else "Two packages were built against different versions of that library; choose versions that were built together."
    )
    return _library_failure(case, library, lacks, hint=hint, words=words)


def _facts(hardware: Any) -> Mapping[str, Any]:
    if isinstance(hardware, Hardware):
        return {"arch": hardware.arch, "cpu_flags": hardware.cpu_flags, "processor": hardware.processor}
    return hardware if isinstance(hardware, Mapping) else {}


def _absent(hardware: Mapping[str, Any]) -> tuple[str, ...]:
    """Features of the architecture that the processor lacks, weakest first; nothing where its flags are not known."""
    flags = set(hardware.get("cpu_flags") or ())
    return (
        tuple(name for name in _FEATURES.get(str(hardware.get("arch")), ()) if name not in flags)
        if flags
        else ()
    )
