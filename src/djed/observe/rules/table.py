"""The rules in their order: the first that knows the answer gives it.

What the runner saw for itself (a timeout, the kernel's out-of-memory count) comes before what the log claims, and the log's
causes come before its symptoms.
"""

from __future__ import annotations

from collections.abc import Mapping

from djed.model.observation import Stage
from djed.observe.case import Rule
from djed.observe.rules import build, end, image, index, machine, native, python, resolve, script

__all__ = ["RULES"]

_SEEN: tuple[Rule, ...] = (
    end.cancelled,
    end.lost,
    end.sandbox_failed,
    end.interpreter_missing,
    end.disk_exceeded,
    end.out_of_memory,
    end.timed_out,
    end.never_started,
)
_IMAGES: tuple[Rule, ...] = (
    image.disk_full,
    native.repository_unreachable,
    native.no_such_native,
    native.native_conflict,
    image.said,
)
_PACKAGES: tuple[Rule, ...] = (
    machine.disk_full,
    index.hash_mismatch,
    index.unreachable,
    resolve.no_such_package,
    resolve.conflict,
    resolve.python_incompatible,
    resolve.no_wheel,
    resolve.no_such_version,
    resolve.no_python,
    build.compiler_missing,
    build.header_missing,
    build.library_missing,
    build.backend_failed,
)
_SCRIPT: tuple[Rule, ...] = (
    machine.illegal_instruction,
    machine.disk_full,
    machine.missing_library,
    machine.out_of_memory,
    python.import_error,
    script.import_error,
    script.interpreter_missing,
)
_LAST: tuple[Rule, ...] = (
    machine.illegal_instruction,
    machine.out_of_memory,
    end.killed_by_signal,
    script.nonzero_exit,
)

RULES: Mapping[Stage, tuple[Rule, ...]] = {
    "plan": _SEEN + _LAST,
    "lock": _SEEN + _IMAGES + _PACKAGES + _LAST,
    "build": _SEEN + _IMAGES + _PACKAGES + _LAST,
    "run": _SEEN + _SCRIPT + _LAST,
}
