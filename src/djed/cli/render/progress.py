"""Events of inspections as lines of progress, one a phase, in the style of uv. Pure: events in, lines out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from djed.cli.render.text import Line, Part, bad, bold, dim, warn
from djed.cli.render.words import subject, times
from djed.model.inspection import Event, Inspection
from djed.model.quantity import format_duration

__all__ = ["Progress", "Step", "role_title"]


_MADE = {
    "base": ("Fetched", "base"),
    "native": ("Installed", "native packages"),
    "build": ("Built", "environment"),
}
"""What a job has made, for people."""


@dataclass(kw_only=True, slots=True)
class Step:
    """A job that has not ended."""

    job: str
    """Empty while it waits."""
    title: str
    since: float
    """Unix time at which it began to wait or to run."""
    waiting: bool


@dataclass(kw_only=True, slots=True)
class _Track:
    """What is known of one inspection."""

    prefix: tuple[Part, ...]
    subject: str
    repeats: int
    ran: int = 0
    seconds: float = 0.0
    told: bool = False


@dataclass(slots=True)
class Progress:
    """Turns the events of some inspections into lines, and knows which steps are open."""

    inspections: Mapping[str, Inspection]
    steps: dict[tuple[str, str], Step] = field(default_factory=dict)
    """Open steps by inspection and role, in order of their start."""
    _tracks: dict[str, _Track] = field(default_factory=dict)

    def __post_init__(self) -> None:
        several = len(self.inspections) > 1
        for key, inspection in self.inspections.items():
            self._tracks[key] = _Track(
                prefix=(dim(f"{inspection.name}: "),) if several else (),
                subject=subject(inspection.request),
                repeats=inspection.request.run.repeat if inspection.request.run else 0,
            )

    def lines(self, event: Event) -> list[Line]:
        """What there is to say about an event."""
        track = self._tracks.get(event.inspection)
        if track is None:
            return []
        if event.kind == "job":
            return [(*track.prefix, *line) for line in self._job(track, event)]
        if event.kind == "done":
            return [(*track.prefix, *line) for line in _ran(track)]
        return []

    def _job(self, track: _Track, event: Event) -> list[Line]:
        data = event.data
        role, state = str(data["role"]), data["state"]
        if state in {"waiting", "started"}:
            self._open(track, event, role)
            return []
        self.steps.pop((event.inspection, role), None)
        if state == "retried":
            detail = f": {data['detail']}" if data.get("detail") else ""
            return [(warn("Retrying"), f" {role_title(role, track.subject)}{detail}")]
        if state == "failed":
            # Of a single one the end says it at once, with the log.
            failed: Line = (bad("Failed"), f" {role_title(role, track.subject)}", *_timing(data))
            return [*_ran(track), *((failed,) if track.prefix else ())]
        if state in {"succeeded", "cached"}:
            return _ended(track, role, data)
        return []

    def _open(self, track: _Track, event: Event, role: str) -> None:
        title = role_title(role, track.subject)
        if role.startswith("run:") and track.repeats > 1:
            title += f" ({int(role[4:]) + 1}/{track.repeats})"
        if track.prefix:
            title = f"{self.inspections[event.inspection].name}: {title}"
        waiting = event.data["state"] == "waiting"
        step = Step(job=str(event.data.get("job", "")), title=title, since=event.at, waiting=waiting)
        self.steps.pop((event.inspection, role), None)
        self.steps[event.inspection, role] = step


def role_title(role: str, what: str) -> str:
    """What a job does, for people: ``lock``, ``build``, ``wheel numpy``, ``matmul.py``."""
    if role.startswith("run:"):
        return what
    if role.startswith("warmup:"):
        return f"{what} (warm-up)"
    return role.replace(":", " ")


def _ended(track: _Track, role: str, data: Mapping[str, Any]) -> list[Line]:
    if role.startswith("warmup:"):
        return []
    if role.startswith("run:"):
        track.ran += 1
        track.seconds += float(data.get("seconds") or 0.0)
        return _ran(track) if track.ran >= track.repeats else []
    detail = str(data.get("detail") or "")
    if role == "lock":
        return [("Locked ", bold(detail or "environment"), *_timing(data))]
    verb, what = _MADE.get(role) or _made(role)
    return [(f"{verb} ", bold(what), dim(f" ({detail})") if detail else "", *_timing(data))]


def _made(role: str) -> tuple[str, str]:
    kind, _, name = role.partition(":")
    return ("Packaged", name) if kind == "package" else ("Built", role_title(role, ""))


def _timing(data: Mapping[str, Any]) -> Line:
    if data.get("state") == "cached":
        return (" ", bold("CACHED"))
    seconds = data.get("seconds")
    return () if seconds is None else (dim(f" in {format_duration(float(seconds))}"),)


def _ran(track: _Track) -> list[Line]:
    """The line of all runs together, once."""
    if track.told or not track.ran:
        return []
    track.told = True
    what = times(track.ran, track.subject) if track.repeats > 1 else track.subject
    return [("Ran ", bold(what), dim(f" in {format_duration(track.seconds)}"))]
