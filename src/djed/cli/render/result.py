"""What came out: the table of metrics, the verdict, the failure with its evidence, the table of a refusal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from djed.cli.render.progress import role_title
from djed.cli.render.table import Column, table
from djed.cli.render.text import Line, Part, bad, bold, dim, good, indent, warn
from djed.cli.render.words import amount, count, interval, percent, standing, subject
from djed.model.inspection import Inspection, JobRecord
from djed.model.observation import Failure, Statistics
from djed.model.quantity import format_duration

__all__ = ["failure_lines", "metrics", "place", "refusal", "requirement_lines", "result_block", "verdicts"]

_LEAST = 4
"""Repeats below which :func:`djed.observe.timing.compare` cannot tell."""


def result_block(inspection: Inspection, jobs: Sequence[JobRecord], *, width: int | None) -> list[Line]:
    """What a user wants to read at the end of a successful inspection."""
    head: Line = (
        bold(inspection.name),
        " ",
        standing(inspection.state, inspection.outcome),
        "  ",
        dim(inspection.id),
    )
    lines = [head]
    if inspection.reused:
        lines.append(("  answered by ", bold(inspection.reused), dim(" (reuse: result)")))
    if inspection.statistics:
        lines += [
            indent(line)
            for line in metrics(inspection.statistics, width=None if width is None else width - 2)
        ]
        lines += [indent(line) for line in verdicts(inspection.statistics)]
    where = place(inspection, jobs)
    hardware = [text for name, text in where if name == "node"]
    fence = " · ".join(f"{name} {text}" for name, text in where if name != "node")
    return lines + [indent((dim(text),)) for text in (*hardware, fence) if text]


def metrics(statistics: Sequence[Statistics], *, width: int | None) -> list[Line]:
    """The table of metrics."""
    columns = [
        Column(title="METRIC", least=12),
        Column(title="MEDIAN", right=True),
        Column(title="95 % INTERVAL", right=True),
        Column(title="SPREAD", right=True),
        Column(title="OUTLIERS", right=True),
        Column(title="RUNS", right=True),
    ]
    return table(columns, [_metric(item) for item in statistics], width=width)


def _metric(item: Statistics) -> list[Part]:
    single = len(item.values) < 2
    spread = percent(item.spread)
    return [
        item.metric,
        bold(amount(item.median, item.unit)),
        "-" if single else interval(item.low, item.high, item.unit),
        "-" if single else warn(spread) if item.verdict == "noisy" else spread,
        "-" if single else str(len(item.outliers)),
        str(len(item.values)),
    ]


def verdicts(statistics: Sequence[Statistics]) -> list[Line]:
    """A sentence on what the numbers are good for."""
    noisy = [item for item in statistics if item.verdict == "noisy"]
    if noisy:
        return [
            (warn("Too noisy to rank"), f": {item.metric}: {item.reason or 'the runs differ too much'}")
            for item in noisy
        ]
    if any(item.verdict == "single" for item in statistics):
        return [(warn("Single run"), ": it says nothing about spread; measure more with --repeat 5")]
    runs = count(max(len(item.values) for item in statistics), "run")
    reason = next((dim(f" ({item.reason})") for item in statistics if item.reason), "")
    if min(len(item.values) for item in statistics) < _LEAST:
        return [(good("Measured"), f": {runs}; a comparison takes {_LEAST}", reason)]
    return [(good("Measured"), f": {runs}, steady enough to compare", reason)]


def place(inspection: Inspection, jobs: Sequence[JobRecord]) -> list[tuple[str, str]]:
    """Where it ran, on what, and how well it was fenced in, each with its name."""
    last = next((job for job in reversed(jobs) if job.result), None)
    report: Mapping[str, Any] = (last.result if last else None) or {}
    node = last.node if last else None
    sandbox, tool = report.get("sandbox"), report.get("sandbox_tool")
    python = inspection.plan.python_version if inspection.plan else None
    fields = [
        ("node", " · ".join(filter(None, [node or "", *_hardware(report)]))),
        ("sandbox", f"{sandbox}{f' ({tool})' if tool else ''}" if sandbox else ""),
        ("python", python or ""),
    ]
    return [(name, text) for name, text in fields if text]


def _hardware(report: Mapping[str, Any]) -> list[str]:
    info = report.get("hwinfo") or {}
    processor = str((info.get("cpu_info") or {}).get("brand_raw") or "")
    cpus = report.get("cpus") or ()
    system = info.get("platform") or {}
    return [processor, count(len(cpus), "CPU") if cpus else "", str(system.get("machine") or "")]


def failure_lines(inspection: Inspection, jobs: Sequence[JobRecord], log: Sequence[str]) -> list[Line]:
    """The failing step, the last lines of its log, the sentence, the class and the hint."""
    lines: list[Line] = []
    failed = next((job for job in reversed(jobs) if job.state == "failed"), None)
    if failed is not None:
        lines.append(_step(inspection, failed))
        lines += [(dim("  │ "), line) for line in log]
    failure = inspection.failure
    if failure is not None:
        lines += _failure(failure)
    return lines


def _step(inspection: Inspection, job: JobRecord) -> Line:
    report = job.result or {}
    where = f" on {job.node}" if job.node else ""
    seconds = f" after {format_duration(float(report['duration']))}" if report.get("duration") else ""
    code = f", exit code {report['exit_code']}" if report.get("exit_code") else ""
    return (
        bad("✗ "),
        bold(role_title(job.role, subject(inspection.request))),
        f" failed{where}{seconds}{code}",
    )


def _failure(failure: Failure) -> list[Line]:
    lines: list[Line] = [(bad("error"), bold(": "), failure.message, dim(f"  [{failure.kind}]"))]
    if failure.hint:
        lines.append((dim("hint: "), failure.hint))
    return lines


def refusal(inspection: Inspection, *, width: int | None) -> list[Line]:
    """The table of a refusal: what was asked, what each node has, which line failed; then the sentence."""
    lines = requirement_lines(inspection.refusals, width=width)
    return lines + (_failure(inspection.failure) if inspection.failure else [(bad("error"), ": refused")])


def requirement_lines(nodes: Sequence[Mapping[str, Any]], *, width: int | None) -> list[Line]:
    """The table of what was asked of each node that was considered, and what it has; empty where nothing was asked."""
    columns = [
        Column(title="NODE", least=8),
        Column(title="REQUIREMENT", least=12),
        Column(title="ASKED", least=8),
        Column(title="FOUND", least=8),
        Column(title="FITS"),
    ]
    rows: list[list[Part]] = [
        [
            str(node["node"]),
            line["path"],
            str(line["asked"]),
            str(line["has"]),
            good("yes") if line["ok"] else bad("no"),
        ]
        for node in nodes
        for line in node["lines"]
    ]
    return table(columns, rows, width=width) if rows else []
