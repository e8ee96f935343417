"""Following inspections until they end, and what Ctrl-C means meanwhile."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from djed.cli import views
from djed.cli.render.progress import Progress
from djed.cli.render.text import bold, warn
from djed.errors import ConflictError, ServerError

if TYPE_CHECKING:
    from djed.cli.console import Console
    from djed.cli.render.text import Line
    from djed.cli.tail import Tail
    from djed.model.inspection import Event, Inspection
    from djed.service import Service

__all__ = ["INTERRUPTED", "Interrupts", "Watch", "exit_code", "follow", "stream"]

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

    def _note(self, *_signal: object) -> None:
        if not self.count:
            self.first = time.monotonic()
        self.count += 1


def follow(engine: Service, inspections: Sequence[Inspection], console: Console) -> bool:
    """Show progress until all are final. ``False``: the user left before that, and the jobs go on."""
    progress = Progress({inspection.id: inspection for inspection in inspections})
    with views.choose(console, progress, engine.log) as view:
        watch = Watch(engine, [inspection.id for inspection in inspections], lambda line: view.say([line]))
        for event in watch.events():
            if event is not None:
                view.say(progress.lines(event))
            view.tick()
    return watch.ended(console)


def stream(engine: Service, inspection: Inspection, tail: Tail, console: Console) -> bool:
    """Show the logs until it is final. ``False``: the user left before that, and the job goes on."""
    watch = Watch(engine, [inspection.id], lambda line: console.note(*line))
    for event in watch.events(logs=True):
        # A server that is away for a moment comes back, and what was missed is shown then.
        with suppress(ServerError):
            tail.print(inspection.id, changed=event is not None)
    tail.print(inspection.id, final=True)
    return watch.ended(console)


class Watch:
    """Events until all are final or the user leaves; the first Ctrl-C cancels, a second one leaves."""

    def __init__(self, engine: Service, ids: Sequence[str], say: Callable[[Line], None]) -> None:
        self._engine = engine
        self._ids = ids
        self._say = say
        self._left = False
        self._warned = False
        self._cancelled = False

    def events(self, *, logs: bool = False) -> Iterator[Event | None]:
        """The events as they come, ``None`` now and then between them; a worker is at work meanwhile."""
        interrupts = Interrupts()
        with interrupts.caught(), self._engine.working():
            for event in self._told(logs):
                yield event
                if interrupts.count > 1:
                    self._left = True
                    return
                self._react(interrupts)

    def _told(self, logs: bool) -> Iterator[Event | None]:
        try:
            yield from self._engine.follow(self._ids, logs=logs)
        except ServerError as error:
            hint = f"Its work goes on. Come back with: djed logs -f {self._ids[0]}"
            raise ServerError(error.message, hint=hint) from error

    def ended(self, console: Console) -> bool:
        """Whether all are final; if not, says how to come back."""
        if not self._left:
            return True
        console.err(
            warn("Left"), ": it is still being cancelled." if self._cancelled else ": the job runs on."
        )
        for reference in self._ids:
            console.err("  Come back with ", bold(f"djed logs -f {reference}"))
        return False

    def _react(self, interrupts: Interrupts) -> None:
        if interrupts.count and not self._warned:
            self._warned = True
            self._say((warn("Cancelling"), "; press Ctrl-C again to leave it running instead"))
        if interrupts.due and not self._cancelled:
            self._cancelled = True
            _cancel(self._engine, self._ids)


def _cancel(engine: Service, ids: Sequence[str]) -> None:
    for reference in ids:
        # One that ended meanwhile is not in the way of the others.
        with suppress(ConflictError):
            engine.cancel(reference)


def exit_code(inspections: Sequence[Inspection]) -> int:
    """130 if one was cancelled, else 5 if one was refused, else 1 if one did not succeed, else 0."""
    if any(inspection.state == "cancelled" for inspection in inspections):
        return INTERRUPTED
    if any(inspection.state == "refused" for inspection in inspections):
        return 5
    return int(any(inspection.outcome != "succeeded" for inspection in inspections))
