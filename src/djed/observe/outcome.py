"""Whether an attempt succeeded and, if not, why: a named class, one sentence, a hint, and the lines that show it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from djed.model.observation import Failure, Stage
from djed.model.result import Result

__all__ = ["classify"]


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
    from djed.observe.case import (
        Case,
    )  # the rules' patterns take a while to compile, and most attempts succeed
    from djed.observe.rules.table import RULES

    case = Case(stage=stage, result=result, raw_stdout=stdout, raw_stderr=stderr, context=context)
    for rule in RULES[stage]:
        failure = rule(case)
        if failure is not None:
            return failure
    raise AssertionError("the last rule always answers")


def _succeeded(result: Result) -> bool:
    flags = (result.timed_out, result.out_of_memory, result.disk_exceeded, result.cancelled, result.lost)
    return result.exit_code == 0 and result.signal is None and result.error is None and not any(flags)
