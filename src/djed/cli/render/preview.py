"""What would become of a request, and where an inspection stands in the queue, for people."""

from __future__ import annotations

import time
from collections.abc import Sequence

from djed.cli.render.result import requirement_lines
from djed.cli.render.table import Column, table
from djed.cli.render.text import Line, Part, bad, bold, dim, good, indent
from djed.cli.render.words import count
from djed.model.job import At, Job
from djed.model.lock import Lock
from djed.model.preview import Preview, QueuePlace
from djed.model.quantity import format_duration

__all__ = ["preview_lines", "queue_lines"]

_LABEL = 10
_SHOWN = 4
"""Words of a command that are shown."""


def preview_lines(name: str, preview: Preview, *, width: int | None) -> list[Line]:
    """Where it would be done, with which stack, by which jobs, and when."""
    inner = None if width is None else width - 2
    lines: list[Line] = [_head(name, preview)]
    lines += [("  ", dim(label.ljust(_LABEL)), text) for label, text in _fields(preview) if text]
    if preview.failure is not None:
        lines.append((bad("error"), ": ", preview.failure.message, dim(f"  [{preview.failure.kind}]")))
        if preview.failure.hint:
            lines.append((dim("hint: "), preview.failure.hint))
    considered = requirement_lines(preview.considered, width=inner)
    for title, found in (
        ("nodes", considered),
        ("stack", _stack(preview.lock, inner)),
        ("jobs", _jobs(preview, inner)),
    ):
        if found:
            lines += [(), (bold(title),), *(indent(line) for line in found)]
    return lines


def queue_lines(name: str, place: QueuePlace) -> list[Line]:
    """Where it stands, in a sentence or two."""
    lines: list[Line] = [(bold(name), " ", place.state)]
    lines += [("  ", dim(label.ljust(_LABEL)), text) for label, text in _turn(place) if text]
    return lines


def _head(name: str, preview: Preview) -> Line:
    failure = preview.failure
    if failure is not None and failure.stage != "plan":
        return (bold(name), " ", bad("cannot be built"))
    if not preview.fits:
        # The failure says it below, with its hint.
        return (bold(name), " ", bad("fits nowhere"), "" if failure else f": {preview.reason}")
    return (bold(name), " ", good("fits"))


def _fields(preview: Preview) -> list[tuple[str, str]]:
    build, run = preview.build_node or "", preview.run_node or ""
    nodes = [("node", run or build)] if not run or run == build else [("builds on", build), ("runs on", run)]
    waiting = preview.fits and preview.lock is None and preview.failure is None
    stack = "not resolved yet" if waiting else ""
    return [
        *nodes,
        ("python", preview.python or ""),
        ("stack", stack),
        ("cached", ", ".join(preview.cached)),
        *(_turn(preview.queue) if preview.queue is not None else ()),
    ]


def _turn(place: QueuePlace) -> list[tuple[str, str]]:
    before = f"behind {count(place.position, 'inspection')}" if place.position else ""
    running = f"{count(place.running, 'job')} at work on its node" if place.running else ""
    return [
        ("turn", ", ".join(filter(None, [before, running]))),
        ("waits for", place.waits_for or ""),
        ("starts", "" if place.expected_start is None else _start(place.expected_start - time.time())),
    ]


def _start(seconds: float) -> str:
    return f"in about {format_duration(round(seconds))}" if seconds >= 1 else "at once"


def _stack(lock: Lock | None, width: int | None) -> list[Line]:
    if lock is None or not lock.packages:
        return []
    columns = [Column(title="PACKAGE", least=8), Column(title="VERSION"), Column(title="INDEX")]
    rows: list[list[Part]] = [
        [package.name, bold(package.version), package.index or "default"] for package in lock.packages
    ]
    return table(columns, rows, width=width)


def _jobs(preview: Preview, width: int | None) -> list[Line]:
    columns = [
        Column(title="JOB"),
        Column(title="NODE", least=8),
        Column(title="CPUS", right=True),
        Column(title="LIMIT", right=True),
        Column(title="COMMAND", least=12),
    ]
    return table(columns, [_job(job) for job in preview.jobs], width=width) if preview.jobs else []


def _job(job: Job) -> list[Part]:
    return [
        job.kind,
        job.node or "-",
        "all" if job.limits.cpu is None else f"{job.limits.cpu:g}",
        format_duration(job.limits.timeout),
        _command(job.command),
    ]


def _command(command: Sequence[str | At]) -> str:
    words = [
        word if isinstance(word, str) else f"{{{word.place}}}/{word.path}".rstrip("/") for word in command
    ]
    more = ["…"] if len(words) > _SHOWN else []
    return " ".join([*words[:_SHOWN], *more])
