"""What interpreters other than Python say, and what is left when no better reason is known."""

from __future__ import annotations

import re

from djed.model.observation import Failure
from djed.observe.case import Case
from djed.observe.rules import traceback

__all__ = ["import_error", "interpreter_missing", "nonzero_exit"]

_IMPORTS = (
    re.compile(r"Error: Cannot find (?:module|package) '([^'\n]{1,200})'"),  # Node.js
    re.compile(r"Can't locate (\S{1,200}) in @INC"),  # Perl
    re.compile(r"there is no package called [\u2018'\"]([^\u2019'\"\n]{1,200})"),  # R
    re.compile(r"cannot load such file -- (\S{1,200})"),  # Ruby
    re.compile(r"module '([^'\n]{1,200})' not found:$"),  # Lua
    re.compile(r"ArgumentError: Package (\S{1,200}) not found in current path"),  # Julia
)
_INTERPRETER = (
    re.compile(r"env: [\u2018'\"]?([^\u2019'\"\n]{1,200})[\u2019'\"]?: No such file or directory"),
    re.compile(r"bad interpreter: .{0,40}?No such file|: (\S{1,200}): bad interpreter"),
)
_COMMAND = re.compile(r"(?:^|: )([\w./+-]{1,200}): (?:command )?not found$")
_NETWORK = re.compile(
    r"Temporary failure in name resolution|Name or service not known|Network is unreachable|Could not resolve host|EAI_AGAIN"
)


def import_error(case: Case) -> Failure | None:
    """A module or library of another language is not there."""
    for line in case.stderr:
        for pattern in _IMPORTS:
            match = pattern.search(line)
            if match is not None:
                return case.failure(
                    "import_error",
                    f"The script needs '{match[1]}', which is not in the environment.",
                    hint="Add the package that has it; packages of other languages come as native packages.",
                    shown=[line],
                    module=match[1],
                )
    return None


def interpreter_missing(case: Case) -> Failure | None:
    """The first line of the script names an interpreter that is not there."""
    if case.result.exit_code not in {126, 127}:  # what shells and env(1) say where they could not start it
        return None
    for line in case.last(3):
        for pattern in _INTERPRETER:
            match = pattern.search(line)
            if match is not None:
                name = next((word for word in match.groups() if word), None)
                return case.failure(
                    "interpreter_missing",
                    f"The script never started: there is no {name or 'such interpreter'} in the environment.",
                    hint="Correct the first line of the script (#!), or choose an environment that has the interpreter.",
                    shown=[line],
                    interpreter=name,
                )
    return None


def nonzero_exit(case: Case) -> Failure:
    """It ended with an exit code that is not 0, for a reason that only it knows."""
    code = case.result.exit_code
    chain = traceback.read(case.stderr)
    said = case.last(1)
    if chain:
        raised = chain[-1]
        reason = f"{raised.kind}: {raised.message}".rstrip(": ")
        shown: tuple[str, ...] = raised.lines
    else:
        # Tools begin the line that matters with "error:"; what follows are details.
        errors = [line.strip() for line in case.last(20) if line.startswith("error: ")]
        reason, shown = (
            (errors or [line.strip() for line in said] or [""])[0].removeprefix("error: "),
            case.last(10),
        )
    ending = f"ended with exit code {code}" if code is not None else "ended without an exit code"
    return case.failure(
        "nonzero_exit",
        f"{case.subject} {ending}{f': {reason}' if reason else ', and said nothing'}",
        hint=_hint(case, shown),
        shown=shown,
        exit_code=code,
    )


def _hint(case: Case, shown: tuple[str, ...]) -> str:
    if case.context.get("network") is False and any(_NETWORK.search(line) for line in case.last(40)):
        return "The network is off for the script; `run.network: true` in the request allows it."
    command = next((match[1] for line in shown if (match := _COMMAND.search(line))), None)
    if case.result.exit_code == 127 and command:
        return f"The command {command} is not in the environment."
    return "`djed logs` shows all that it wrote."
