"""Where progress goes: plain lines, or on a terminal a view that redraws itself, in the style of BuildKit."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Protocol, Self

from djed.cli.render.text import Line, Styled, dim, log_lines, neutralise, plain
from djed.cli.render.words import count
from djed.errors import ServerError
from djed.model.quantity import format_duration

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from djed.cli.console import Console
    from djed.cli.render.progress import Progress, Step

__all__ = ["LiveView", "PlainView", "ReadLog", "View", "choose"]

ReadLog = Callable[[str, str, int], bytes]
"""Job, stream, offset → what the log holds from there on."""

_TAIL = 5
_SHOWN = 8
_KEPT = 64 * 1024


class View(Protocol):
    """Shows lines that stay and steps that are open."""

    def __enter__(self) -> Self:
        """Begin."""
        ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End; what is open is folded."""
        ...

    def say(self, lines: Iterable[Line]) -> None:
        """Show lines that stay."""
        ...

    def tick(self) -> None:
        """Redraw what is open."""
        ...


def choose(console: Console, progress: Progress, read: ReadLog) -> View:
    """The view that fits where stderr goes."""
    return LiveView(console, progress, read) if console.live else PlainView(console)


class PlainView:
    """One line a phase."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __enter__(self) -> Self:
        """Nothing to begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing to fold."""

    def say(self, lines: Iterable[Line]) -> None:
        """Print the lines."""
        for line in lines:
            self._console.note(*line)

    def tick(self) -> None:
        """Nothing to redraw."""


class LiveView:
    """Lines that stay above; below them each open step with its time and the last lines of its log."""

    def __init__(self, console: Console, progress: Progress, read: ReadLog) -> None:
        import rich.console
        import rich.live

        self._console = console
        self._progress = progress
        self._tails = _Tails(read)
        self._terminal = rich.console.Console(stderr=True, color_system=_colors(console), highlight=False)
        self._live = rich.live.Live(
            console=self._terminal, auto_refresh=False, transient=True, vertical_overflow="crop"
        )

    def __enter__(self) -> Self:
        """Take over the lower end of the terminal."""
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the terminal back; open steps vanish."""
        self._live.stop()

    def say(self, lines: Iterable[Line]) -> None:
        """Show lines above the open steps."""
        for line in lines:
            self._terminal.print(_text(line), soft_wrap=True)

    def tick(self) -> None:
        """Redraw the open steps."""
        self._live.update(self._draw(), refresh=True)

    def _draw(self) -> RenderableType:
        from rich.console import Group

        running = [step for step in self._progress.steps.values() if not step.waiting]
        waiting = [step for step in self._progress.steps.values() if step.waiting]
        self._tails.keep({step.job for step in running})
        lines = [line for step in running[:_SHOWN] for line in self._step(step)]
        if len(running) > _SHOWN:
            lines.append((dim(f"… and {count(len(running) - _SHOWN, 'more step')}"),))
        if waiting:
            more = f" and {count(len(waiting) - 1, 'more step')}" if len(waiting) > 1 else ""
            lines.append((dim(f"◌ {waiting[0].title}{more} waiting"),))
        return Group(*(_text(line, cut=True) for line in lines))

    def _step(self, step: Step) -> list[Line]:
        elapsed = format_duration(max(0.0, time.time() - step.since))
        return [
            ("● ", step.title, dim(f"  {elapsed}")),
            *((dim(f"  │ {line}"),) for line in self._tails.lines(step.job)),
        ]


class _Tails:
    """The last lines of the logs of open jobs."""

    def __init__(self, read: ReadLog) -> None:
        self._read = read
        self._seen: dict[tuple[str, str], tuple[int, bytes]] = {}
        self._last: dict[str, str] = {}

    def keep(self, jobs: set[str]) -> None:
        """Forget the logs of all other jobs."""
        self._seen = {key: value for key, value in self._seen.items() if key[0] in jobs}

    def lines(self, job: str) -> list[str]:
        """The last lines of the stream of that job which spoke last."""
        for stream in ("stdout", "stderr"):
            offset, tail = self._seen.get((job, stream), (0, b""))
            try:
                new = self._read(job, stream, offset)
            except ServerError:  # it is away for a moment, and what follows it waits
                new = b""
            if new:
                self._last[job] = stream
            self._seen[job, stream] = (offset + len(new), (tail + new)[-_KEPT:])
        tail = self._seen[job, self._last.get(job, "stdout")][1]
        return log_lines(tail.decode(errors="replace"), last=_TAIL)


def _colors(console: Console) -> Literal["standard"] | None:
    return "standard" if console.colored else None


_RICH = {"bold": "bold", "dim": "dim", "good": "green", "bad": "bold red", "warn": "yellow"}


def _text(line: Line, *, cut: bool = False) -> Text:
    from rich.text import Text

    text = Text(no_wrap=cut, overflow="ellipsis" if cut else None, end="\n")
    for part in line:
        text.append(neutralise(plain(part)), style=_RICH[part.style] if isinstance(part, Styled) else None)
    return text
