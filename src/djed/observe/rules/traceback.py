"""Python tracebacks, read from a log: frames, exceptions, and which package was at work."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from djed.observe.case import Case

__all__ = ["Frame", "Raised", "distribution", "final_words", "importer", "read"]

_START = "Traceback (most recent call last):"
_FRAME = re.compile(r'\s*File "([^"\n]{1,1000})", line (\d{1,9})(?:, in (.{1,300}))?$')
_EXCEPTION = re.compile(r"([A-Za-z_][\w.]{0,200})(?:: (.*))?$")
_INSTALLED = re.compile(r"/(?:site|dist)-packages/([A-Za-z0-9_]{1,200})")
_CHAINS = ("During handling of the above exception", "The above exception was the direct cause")


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """One call."""

    path: str
    function: str
    source: str
    """The line of code, where the traceback shows it."""

    @property
    def module(self) -> str | None:
        """Top-level module of an installed package; ``None`` for anything else."""
        match = _INSTALLED.search(self.path)
        return match[1] if match else None

    @property
    def imports(self) -> bool:
        """Whether the line of code is an import."""
        return self.source.startswith(("import ", "from ")) or "import_module(" in self.source


@dataclass(frozen=True, kw_only=True, slots=True)
class Raised:
    """One exception and how it came about."""

    kind: str
    """Its class without the module: ``ImportError``."""
    message: str
    frames: tuple[Frame, ...]
    """Outermost first."""
    lines: tuple[str, ...]
    """The last lines of the traceback as they stand in the log."""


def read(log: Sequence[str]) -> tuple[Raised, ...]:
    """The exceptions of the last traceback in a log, the one that ended the program last; those it was raised from before it."""
    starts = [position for position, line in enumerate(log) if line.strip() == _START]
    chain: list[Raised] = []
    # A hostile log may chain for ever; eight links are more than anybody reads.
    for number, start in reversed(list(enumerate(starts))[-8:]):
        end = starts[number + 1] if number + 1 < len(starts) else len(log)
        raised = _read_one(log[start:end])
        if raised is None:
            break
        chain.insert(0, raised)
        before = [line for line in log[max(0, start - 3) : start] if line.strip()]
        if not before or not before[-1].strip().startswith(_CHAINS):
            break
    return tuple(chain)


def distribution(case: Case, module: str) -> str:
    """The package that a top-level module belongs to, by ``context["packages"]``; the module itself where that is not known."""
    packages = case.context.get("packages")
    known = packages.get(module) if isinstance(packages, Mapping) else None
    if isinstance(known, str):
        return known
    return str(known[0]) if isinstance(known, Sequence) and known else module


def importer(case: Case) -> str | None:
    """The installed package whose code was at work when the program ended; ``None`` where it was the script itself."""
    chain = read(case.stderr)
    modules = [frame.module for frame in chain[-1].frames if frame.module] if chain else []
    return distribution(case, modules[-1]) if modules else None


def final_words(case: Case) -> tuple[str, ...]:
    """What was said about the end itself: the last traceback, else the last lines. Earlier warnings need not have mattered."""
    starts = [position for position, line in enumerate(case.stderr) if line.strip() == _START]
    if not starts:
        return case.last(5)
    return (*(raised.message for raised in read(case.stderr)), *case.stderr[starts[-1] :][:400])


def _read_one(block: Sequence[str]) -> Raised | None:
    indent = len(block[0]) - len(block[0].lstrip())
    frames: list[Frame] = []
    for position, line in enumerate(block[1:], start=1):
        match = _FRAME.match(line)
        if match is not None:
            source = block[position + 1].strip() if position + 1 < len(block) else ""
            frames.append(Frame(path=match[1], function=match[3] or "<module>", source=source))
        # The exception stands as far left as the heading did; source lines and markers are indented.
        elif line.strip() and len(line) - len(line.lstrip()) <= indent:
            said = _EXCEPTION.match(line.strip())
            if said is None:
                return None
            message = said[2] or _next_said(block[position + 1 :])
            shown = tuple(block[max(1, position - 8) : position + 1])
            return Raised(
                kind=said[1].rpartition(".")[2],
                message=message.strip(),
                frames=tuple(frames[-200:]),
                lines=shown,
            )
    return None


def _next_said(block: Sequence[str]) -> str:
    """Where a message begins on the line after the name of the exception (NumPy's does)."""
    return next((line for line in block[:6] if line.strip() and not line.strip().startswith(_CHAINS)), "")
