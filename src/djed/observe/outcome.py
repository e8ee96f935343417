"""Whether an attempt succeeded and, if not, why: a named class, one sentence, a hint, and the lines that show it.

The rules stand in order in one table; the first that knows the answer gives it. What the runner saw for itself (a timeout, the
kernel's out-of-memory count) comes before what the log claims, and the log's causes come before its symptoms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from djed.model.observation import Failure, Stage
from djed.model.result import Result
from djed.observe.case import Case, Rule
from djed.observe.rules import build, end, index, machine, python, resolve, script

__all__ = ["classify"]

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
    "lock": _SEEN + _PACKAGES + _LAST,
    "build": _SEEN + _PACKAGES + _LAST,
    "run": _SEEN + _SCRIPT + _LAST,
}


def classify(
    *, stage: Stage, result: Result, stdout: bytes, stderr: bytes, context: Mapping[str, Any]
) -> Failure | None:
    """Why the attempt failed; ``None`` where it succeeded.

    ``context`` may help with what is known besides: ``packages`` (top-level module → name of the distribution, or several),
    ``package`` (what a build job builds), ``python`` (version), ``hardware`` (:class:`~djed.model.hardware.Hardware`), ``timeout``
    (seconds), ``memory`` (bytes), ``disk`` (bytes), ``network`` (whether it was on).
    """
    if _succeeded(result):
        return None
    case = Case(stage=stage, result=result, raw_stdout=stdout, raw_stderr=stderr, context=context)
    for rule in RULES[stage]:
        failure = rule(case)
        if failure is not None:
            return failure
    raise AssertionError("the last rule always answers")


def _succeeded(result: Result) -> bool:
    flags = (result.timed_out, result.out_of_memory, result.disk_exceeded, result.cancelled, result.lost)
    return result.exit_code == 0 and result.signal is None and result.error is None and not any(flags)
