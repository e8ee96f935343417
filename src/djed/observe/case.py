"""What a rule looks at, and how it says what it found."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from djed.model.observation import Failure, FailureClass, Stage
from djed.model.result import Result
from djed.observe.log import clean, evidence, lines

__all__ = ["Case", "Rule"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One attempt that did not succeed, ready for the rules. Without slots: its texts are computed when first asked for."""

    stage: Stage
    result: Result
    raw_stdout: bytes = b""
    raw_stderr: bytes = b""
    context: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def stderr(self) -> tuple[str, ...]:
        """Lines of stderr, cleaned and bounded."""
        return lines(self.raw_stderr)

    @cached_property
    def stdout(self) -> tuple[str, ...]:
        """Lines of stdout, cleaned and bounded."""
        return lines(self.raw_stdout)

    @cached_property
    def log(self) -> tuple[str, ...]:
        """Both streams, stderr last: that is where the reason stands."""
        return self.stdout + self.stderr

    @property
    def subject(self) -> str:
        """What was at work, to begin a sentence with."""
        package = self.context.get("package")
        names = {
            "lock": "Locking",
            "build": f"Building {package}" if package else "The build",
            "run": "The script",
        }
        return names.get(self.stage, "The plan")

    @property
    def signal(self) -> int | None:
        """The signal that ended the command; shells and bubblewrap report it as exit code 128 + signal."""
        code = self.result.exit_code
        if self.result.signal is None and code is not None and 128 < code <= 128 + 64:
            return code - 128
        return self.result.signal

    def last(self, count: int = 3) -> tuple[str, ...]:
        """The last lines that say something, of stderr or, where that is empty, of stdout."""
        for stream in (self.stderr, self.stdout):
            said = [line for line in stream if line.strip(" ^~\t|-=+")]
            if said:
                return tuple(said[-count:])
        return ()

    def failure(
        self,
        kind: FailureClass,
        message: str,
        *,
        hint: str | None = None,
        shown: Iterable[str] = (),
        **subject: Any,
    ) -> Failure:
        """A failure at this stage. Without ``shown`` lines the last ones of the log are its evidence; empty names are left out."""
        return Failure(
            stage=self.stage,
            kind=kind,
            message=_sentence(message),
            hint=hint,
            evidence=evidence(shown) or evidence(self.last()) or (_ending(self.result),),
            subject={name: value for name, value in subject.items() if not _empty(value)},
        )


Rule = Callable[[Case], Failure | None]
"""Says what happened, or ``None`` where it does not know."""


def _ending(result: Result) -> str:
    """What there is to show where nothing was written."""
    return "no output" if result.exit_code is None else f"exit code {result.exit_code}, no output"


def _sentence(text: str) -> str:
    """One line of at most 500 characters that ends with one full stop, whatever a log put into it."""
    line = evidence([clean(text.replace("\n", " "))])[0].rstrip(". ")
    return f"{line[:499]}."


def _empty(value: Any) -> bool:
    return value is None or value in ("", ())
