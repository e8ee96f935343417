"""Following inspections until they end, and what Ctrl-C means meanwhile."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from djed.cli import views
from djed.cli.render.progress import Progress
from djed.cli.render.text import bold, warn
from djed.errors import ConflictError

if TYPE_CHECKING:
    from types import FrameType

    from djed.cli.console import Console
    from djed.model.inspection import Inspection
    from djed.service import Engine

__all__ = ["INTERRUPTED", "Interrupts", "exit_code", "follow", "leave"]

INTERRUPTED = 130
"""Exit code after Ctrl-C, as a shell gives it (128 + SIGINT)."""

_GRACE = 1.0
"""Seconds between the first Ctrl-C and the cancel, in which a second one leaves the job running instead."""


@dataclass(slots=True)
class Interrupts:
    """Ctrl-C, counted: the loop looks between two steps, so that none is cut in the middle."""

    count: int = 0
    first: float = 0.0
    """Monotonic time of the first one."""

    @property
    def due(self) -> bool:
        """Whether the grace after the first one is over."""
        return self.count > 0 and time.monotonic() - self.first >= _GRACE

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Count them instead of raising ``KeyboardInterrupt``."""
        before = signal.signal(signal.SIGINT, self._note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self.count:
            self.first = time.monotonic()
        self.count += 1


def follow(engine: Engine, inspections: Sequence[Inspection], console: Console) -> bool:
    """Show progress until all are final. ``False``: the user left before that, and the jobs go on."""
    ids = [inspection.id for inspection in inspections]
    progress = Progress({inspection.id: inspection for inspection in inspections})
    interrupts, cancelled = Interrupts(), False
    with interrupts.caught(), engine.working(), views.choose(console, progress, engine.log) as view:
        warned = False
        for event in engine.follow(ids):
            if event is not None:
                view.say(progress.lines(event))
            if interrupts.count and not warned:
                warned = True
                view.say([(warn("Cancelling"), ". Press Ctrl-C again to leave it running instead.")])
            if interrupts.count > 1:
                break
            if interrupts.due and not cancelled:
                cancelled = True
                _cancel(engine, ids)
            if event is None:
                view.tick()
        else:
            return True
    leave(console, ids, cancelled=cancelled)
    return False


def _cancel(engine: Engine, ids: Sequence[str]) -> None:
    for reference in ids:
        # One that ended meanwhile is not in the way of the others.
        with suppress(ConflictError):
            engine.cancel(reference)


def leave(console: Console, ids: Sequence[str], *, cancelled: bool = False) -> None:
    """Say what goes on and how to come back."""
    console.err(warn("Left"), ": still being cancelled." if cancelled else ": the job runs on.")
    for reference in ids:
        console.err("  Come back with ", bold(f"djed logs -f {reference}"))


def exit_code(inspections: Sequence[Inspection]) -> int:
    """130 if one was cancelled, else 5 if one was refused, else 1 if one did not succeed, else 0."""
    if any(inspection.state == "cancelled" for inspection in inspections):
        return INTERRUPTED
    if any(inspection.state == "refused" for inspection in inspections):
        return 5
    return int(any(inspection.outcome != "succeeded" for inspection in inspections))
