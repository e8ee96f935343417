"""How an attempt ended, as its runner saw it: nothing here trusts the log more than the runner."""

from __future__ import annotations

import re
import signal as signals

from djed.model.observation import Failure, FailureClass
from djed.model.quantity import format_duration, format_size
from djed.observe.case import Case

__all__ = [
    "cancelled",
    "disk_exceeded",
    "interpreter_missing",
    "killed_by_signal",
    "lost",
    "never_started",
    "out_of_memory",
    "sandbox_failed",
    "signal_name",
    "timed_out",
]

_SANDBOX = re.compile(r"the sandbox could not be set up: (.{1,400})")
_BWRAP = re.compile(r"bwrap: (?!execvp )(.{1,300})")
_BWRAP_EXEC = re.compile(r"bwrap: execvp (\S.{0,300}): No such file or directory")
_NOT_FOUND = re.compile(r"(?:interpreter|program) not found: (\S.{0,300}?)(?: \(first line of .{0,200}\))?$")
_CANNOT = re.compile(r"cannot be executed")

_SIGNAL_HINTS = {
    "SIGSEGV": "A compiled extension read or wrote memory that is not its own; try another version of the package that was at work.",
    "SIGABRT": "The program gave up by itself (abort); the lines before the end usually say why.",
    "SIGFPE": "An integer division by zero or an overflow in compiled code.",
    "SIGBUS": "Memory that backs a file went away, often a full or shrunken file system.",
    "SIGKILL": "Something outside ended it at once; often the machine itself was out of memory.",
    "SIGTERM": "Something asked it to end; Djed did not.",
    "SIGXCPU": "It used up its limit of CPU time.",
    "SIGXFSZ": "It wrote a file larger than the limit on file size.",
    "SIGSYS": "It made a system call that the sandbox forbids.",
}


def signal_name(number: int) -> str:
    """``SIGSEGV`` for 11; ``signal 63`` where it has no name."""
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"


def cancelled(case: Case) -> Failure | None:
    """The user cancelled it."""
    if not case.result.cancelled:
        return None
    return case.failure(
        "cancelled", f"{case.subject} was cancelled.", hint="Start it again with `djed retry`."
    )


def lost(case: Case) -> Failure | None:
    """Its machine or supervisor died."""
    if not case.result.lost:
        return None
    where = f" on {case.result.node}" if case.result.node else ""
    return case.failure(
        "lost",
        f"{case.subject} vanished{where} without a result: its machine or its supervisor died.",
        hint="Look whether the machine was restarted or ran out of memory, then start it again with `djed retry`.",
        node=case.result.node,
    )


def sandbox_failed(case: Case) -> Failure | None:
    """The sandbox could not be set up, so the command never started."""
    match = _SANDBOX.search(case.result.error or "") or _bwrap(case, _BWRAP)
    if match is None:
        return None
    return case.failure(
        "sandbox_failed",
        f"The sandbox could not be set up: {match[1].rstrip('.')}.",
        hint="`djed doctor` says which sandbox levels work here; user namespaces may be switched off.",
        level=case.result.sandbox,
    )


def interpreter_missing(case: Case) -> Failure | None:
    """The command could not be started because the program or its interpreter is not there."""
    error = case.result.error or ""
    match = _NOT_FOUND.search(error) or _bwrap(case, _BWRAP_EXEC)
    if match is None and _CANNOT.search(error) is None:
        return None
    name = match[1] if match else None
    return case.failure(
        "interpreter_missing",
        f"{case.subject} never started: {f'there is no {name} in the environment' if name else error.rstrip('.')}.",
        hint="Correct the first line of the script (#!) or the command, or choose an environment that has the interpreter.",
        shown=[error],
        interpreter=name,
    )


def never_started(case: Case) -> Failure | None:
    """It did not start or could not be watched, for a reason that only the runner knows."""
    error = case.result.error
    if error is None:
        return None
    kind: FailureClass = "disk_full" if "no space left" in error.lower() else "internal"
    hint = "Free space where Djed keeps its data." if kind == "disk_full" else "`djed doctor` may know more."
    return case.failure(kind, f"{case.subject} did not run: {error.rstrip('.')}.", hint=hint, shown=[error])


def disk_exceeded(case: Case) -> Failure | None:
    """It left more in its directories than it may."""
    if not case.result.disk_exceeded:
        return None
    limit = case.context.get("disk")
    allowed = f" than the {format_size(limit)} that it may" if limit else " than it may"
    return case.failure(
        "disk_full",
        f"{case.subject} wrote more{allowed}.",
        hint="Raise resources.disk in the request, or write less.",
        limit=limit,
    )


def out_of_memory(case: Case) -> Failure | None:
    """The kernel ended a process of it because its memory limit was reached."""
    if not case.result.out_of_memory:
        return None
    limit, peak = case.context.get("memory"), case.result.peak_memory
    bound = f" at its limit of {format_size(limit)}" if limit else ""
    used = f" (peak {format_size(peak)})" if peak else ""
    went_on = ", though the command itself ended with exit code 0" if case.result.exit_code == 0 else ""
    return case.failure(
        "out_of_memory",
        f"{case.subject} ran out of memory{bound}{used}{went_on}.",
        hint="Raise resources.memory in the request, or make it need less.",
        limit=limit,
        peak=peak,
    )


def timed_out(case: Case) -> Failure | None:
    """It took longer than it may."""
    if not case.result.timed_out:
        return None
    limit = case.context.get("timeout") or case.result.duration
    return case.failure(
        "timeout",
        f"{case.subject} did not end within {format_duration(limit)} and was stopped.",
        hint="Raise the timeout in the request; the last lines show what it was doing.",
        limit=limit,
    )


def killed_by_signal(case: Case) -> Failure | None:
    """A signal ended it."""
    if case.signal is None:
        return None
    name = signal_name(case.signal)
    return case.failure(
        "killed_by_signal",
        f"{case.subject} was ended by {name}.",
        hint=_SIGNAL_HINTS.get(name),
        signal=name,
    )


def _bwrap(case: Case, pattern: re.Pattern[str]) -> re.Match[str] | None:
    """The last word of bubblewrap, where it was the sandbox; a script could imitate it, and would only belittle its own failure."""
    return pattern.match("".join(case.last(1)).strip()) if case.result.sandbox == "bwrap" else None
