"""One inspection in full: request, plan, stack, runs, statistics, failure, timeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from djed.cli.render import result
from djed.cli.render.table import Column, table
from djed.cli.render.text import Line, Part, bad, bold, dim, good, indent
from djed.cli.render.words import count, moment, standing, subject, times
from djed.model.artifact import Artifact
from djed.model.codec import encode
from djed.model.inspection import Event, Inspection, JobRecord
from djed.model.observation import Failure
from djed.model.quantity import format_duration, format_size
from djed.model.request import HardwareRequirement, Request

__all__ = ["inspection_lines"]

_LABEL = 10
_ANY = HardwareRequirement()


def inspection_lines(
    item: Inspection,
    jobs: Sequence[JobRecord],
    events: Sequence[Event],
    *,
    artifact: Artifact | None,
    width: int | None,
) -> list[Line]:
    """All there is to say about it, in sections."""
    lines: list[Line] = [(bold(item.name), " ", standing(item.state, item.outcome), "  ", dim(item.id))]
    lines += _fields(
        [("created", moment(item.created_at)), *_request(item.request), *_plan(item, jobs, artifact)]
    )
    if item.state == "refused":
        lines += _section("refused", result.refusal(item, width=width))
    elif item.failure is not None:
        lines += _section("failure", _failure(item.failure))
    if item.lock is not None and item.lock.packages:
        lines += _section(
            f"stack: {count(len(item.lock.packages), 'package')}", _stack(item, artifact, width)
        )
    if item.statistics:
        table_width = None if width is None else width - 2
        lines += _section(
            "results",
            [*result.metrics(item.statistics, width=table_width), *result.verdicts(item.statistics)],
        )
    if jobs:
        lines += _section("jobs", _jobs(jobs, width))
    if events:
        lines += _section("timeline", [_moment(item, event) for event in events])
    return lines


def _fields(pairs: Sequence[tuple[str, str]]) -> list[Line]:
    return [("  ", dim(label.ljust(_LABEL)), text) for label, text in pairs if text]


def _section(title: str, lines: Sequence[Line]) -> list[Line]:
    return [(), (bold(title),), *(indent(line) for line in lines)]


def _request(request: Request) -> list[tuple[str, str]]:
    environment, run = request.environment, request.run
    fields = [
        ("packages", " ".join(environment.packages)),
        ("native", " ".join(environment.native)),
        ("indexes", " ".join(index.name for index in environment.indexes)),
    ]
    if run is None:
        return [*fields, ("runs", "nothing (build only)")]
    words = [subject(request), *run.arguments, *run.command[1:]]
    warmup = f" after {count(run.warmup, 'warm-up')}" if run.warmup else ""
    network = ", with network" if run.network else ""
    asked = (
        " ".join(f"{key}={_text(value)}" for key, value in encode(run.hardware).items())
        if run.hardware != _ANY
        else ""
    )
    return [*fields, ("runs", f"{times(run.repeat, ' '.join(words))}{warmup}{network}"), ("hardware", asked)]


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _plan(item: Inspection, jobs: Sequence[JobRecord], artifact: Artifact | None) -> list[tuple[str, str]]:
    digest = (item.artifact or "").removeprefix("sha256:")
    size = f", {format_size(artifact.size)}" if artifact else ""
    return [
        *result.place(item, jobs),
        ("artifact", digest[:16] + size if digest else ""),
        ("answered", f"by {item.reused}" if item.reused else ""),
    ]


def _failure(failure: Failure) -> list[Line]:
    lines: list[Line] = [(bad(failure.kind), dim(f" in {failure.stage}: "), failure.message)]
    lines += [(dim("│ "), line) for line in failure.evidence]
    if failure.hint:
        lines.append((dim("hint: "), failure.hint))
    return lines


def _stack(item: Inspection, artifact: Artifact | None, width: int | None) -> list[Line]:
    """The locked packages; index and licence where they are known."""
    contents = {content.name: content for content in artifact.contents} if artifact else {}
    columns = [
        Column(title="PACKAGE", least=8),
        Column(title="VERSION"),
        Column(title="INDEX"),
        Column(title="LICENCE", least=8),
    ]
    rows: list[list[Part]] = [
        [
            package.name,
            bold(package.version),
            package.index or "default",
            contents[package.name].licence or "-" if package.name in contents else "-",
        ]
        for package in (item.lock.packages if item.lock else ())
    ]
    return table(columns, rows, width=None if width is None else width - 2)


def _jobs(jobs: Sequence[JobRecord], width: int | None) -> list[Line]:
    columns = [
        Column(title="JOB", least=8),
        Column(title="STATE"),
        Column(title="TIME", right=True),
        Column(title="EXIT", right=True),
        Column(title="NODE", least=8),
    ]
    rows = [_job(job) for job in jobs]
    return table(columns, rows, width=None if width is None else width - 2)


def _job(job: JobRecord) -> list[Part]:
    report = job.result or {}
    seconds = report.get("duration")
    state = job.state if job.failure is None else job.failure.kind
    return [
        job.role,
        good(state) if state == "succeeded" else bad(state) if job.failure or state == "failed" else state,
        "-" if seconds is None else format_duration(float(seconds)),
        "-" if report.get("exit_code") is None else str(report["exit_code"]),
        job.node or "-",
    ]


def _moment(item: Inspection, event: Event) -> Line:
    data = event.data
    # How a job ended stands at its role; the end of the inspection is its outcome, where it has one.
    keys = ("role", "state", "detail") if event.kind != "done" or not data.get("outcome") else ("outcome",)
    words = [str(data[key]) for key in keys if data.get(key)]
    after = format_duration(max(0.0, event.at - item.created_at))
    return (dim(f"+{after}".rjust(9)), "  ", event.kind.ljust(7), " ".join(words))
