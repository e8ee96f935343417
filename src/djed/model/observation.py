"""Facts with their evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["FAILURE_CLASSES", "Failure", "FailureClass", "Observation", "Stage", "Statistics", "Verdict"]

Stage = Literal["plan", "lock", "build", "run"]

FailureClass = Literal[
    "no_such_package", "no_such_version", "conflict", "no_wheel", "python_incompatible", "hash_mismatch", "index_unreachable",
    "compiler_missing", "header_missing", "build_backend_failed", "disk_full", "import_error", "missing_library",
    "illegal_instruction", "out_of_memory", "timeout", "killed_by_signal", "nonzero_exit", "interpreter_missing",
    "no_such_base", "base_mismatch", "base_damaged", "no_engine", "engine_denied", "engine_failed",
    "no_such_native", "native_conflict", "repository_unreachable",
    "sandbox_failed", "artifact_damaged", "lost", "cancelled", "no_python", "refused", "internal",
]  # fmt: skip
FAILURE_CLASSES: tuple[str, ...] = FailureClass.__args__  # type: ignore[attr-defined]


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why something failed, named."""

    stage: Stage
    kind: FailureClass
    message: str
    """One sentence with the names in it: ``No module named 'distutils', which psij needs``."""
    hint: str | None = None
    """What to do about it."""
    evidence: tuple[str, ...] = ()
    """The lines of the log that show it."""
    subject: Mapping[str, Any] = field(default_factory=dict)
    """The names by themselves: ``{"module": "distutils", "package": "psij-python"}``."""


Verdict = Literal["measured", "noisy", "single"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Statistics:
    """One metric over the counted repeats."""

    metric: str
    """``duration`` (seconds) or a name from ``@result``, dotted where nested."""
    unit: str | None = None
    values: tuple[float, ...] = ()
    """In order of the repeats."""
    median: float = 0.0
    low: float = 0.0
    """Lower end of the 95 % confidence interval of the median."""
    high: float = 0.0
    spread: float = 0.0
    """Relative: interquartile range / median."""
    outliers: tuple[int, ...] = ()
    """Indices of repeats beyond 1.5 interquartile ranges (Tukey's fences)."""
    verdict: Verdict = "single"
    """``noisy``: too noisy to rank; ``single``: one value says nothing about spread."""
    reason: str | None = None
    """Why it is noisy, or what few repeats are worth, as a sentence."""

    @property
    def brief(self) -> str:
        """The median and, of several values, half its interval relative to it: ``1.23s ±2.0%``."""
        text = f"{self.median:.3g}{self.unit or ''}"
        if len(self.values) < 2 or not self.median:
            return text
        return f"{text} ±{(self.high - self.low) / 2 / abs(self.median):.1%}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """One fact with its evidence."""

    kind: Literal["locks", "builds", "runs", "fails", "metric", "noise_floor"]
    subject: Mapping[str, Any] = field(default_factory=dict)
    """What it is about: stack, python, node, script digest, artifact …"""
    value: Mapping[str, Any] = field(default_factory=dict)
    """What was found."""
