"""Only what differs between two inspections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from djed.errors import RequestError
from djed.model.codec import encode
from djed.model.difference import Change, Compared, Difference
from djed.model.inspection import Inspection, JobRecord
from djed.model.observation import Statistics
from djed.observe.contents_difference import native_changes
from djed.service.floor import noise_floor

if TYPE_CHECKING:
    from djed.service.looking import Looking

__all__ = ["Change", "Compared", "Difference", "between", "compared", "difference", "shape"]


_HARDWARE = {
    "processor": ("cpu_info", "brand_raw"),
    "cpu_family": ("cpu_info", "family"),
    "cpu_model": ("cpu_info", "model"),
    "cpu_stepping": ("cpu_info", "stepping"),
    "arch": ("platform", "machine"),
    "kernel": ("platform", "release"),
    "libc": ("libc", "version"),
    "governor": ("frequency", "governor"),
    "turbo": ("frequency", "turbo"),
    "virtualization": ("virtualization", "vendor"),
}
"""Where in a hardware record that lies which may explain another result."""


def difference(
    a: Inspection,
    b: Inspection,
    jobs: tuple[Sequence[JobRecord], Sequence[JobRecord]],
    results: Sequence[Compared],
) -> Difference:
    """What differs between ``a`` and ``b``, whose ``jobs`` these are."""
    reports = [_report(side) for side in jobs]
    packages = _changes(a.lock.stack if a.lock else {}, b.lock.stack if b.lock else {})
    environment = _changes(_environment(a, reports[0]), _environment(b, reports[1]))
    if packages:  # then another artifact goes without saying
        environment = tuple(change for change in environment if change.name != "artifact")
    return Difference(
        request=_changes(_request(a), _request(b)),
        packages=packages,
        native=native_changes(a.lock.native if a.lock else (), b.lock.native if b.lock else ()),
        environment=environment,
        hardware=(
            *_changes(_hardware(jobs[0], reports[0]), _hardware(jobs[1], reports[1])),
            *_flags(*reports),
        ),
        outcome=_changes(_outcome(a), _outcome(b)),
        results=tuple(results),
    )


def between(service: Looking, a: str, b: str) -> Difference:
    """What differs between two inspections of a service. Raises ``RequestError`` where they are one."""
    first, second = service.get(a), service.get(b)
    if first.id == second.id:
        raise RequestError(
            f"{a!r} and {b!r} are the same inspection, {first.id}.",
            hint="A name means its newest; give ids: djed list",
        )
    jobs = (service.jobs(first.id), service.jobs(second.id))
    nodes = {job.node for side in jobs for job in side if job.kind == "run" and job.node}
    results = compared(first.statistics, second.statistics, noise_floor(service, nodes))
    return difference(first, second, jobs, results)


def compared(
    before: Sequence[Statistics], after: Sequence[Statistics], floor: float | None
) -> list[Compared]:
    """Each metric that both have, and what may be said of its ratio."""
    from djed.observe.timing import compare

    others = {item.metric: item for item in after}
    both = [(item, others[item.metric]) for item in before if item.metric in others]
    return [
        Compared(
            metric=a.metric,
            unit=a.unit,
            before=a.median,
            after=b.median,
            ratio=found.ratio,
            low=found.low,
            high=found.high,
            floor=found.floor,
            verdict=found.verdict,
            reason=found.reason,
        )
        for a, b in both
        for found in [compare(a, b, floor=floor)]
    ]


def shape(a: Inspection, b: Inspection, found: Difference) -> dict[str, Any]:
    """The JSON of a difference."""
    return {"a": a.id, "b": b.id, **asdict(found)}


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    names = [*before, *(name for name in after if name not in before)]
    return tuple(
        Change(name=name, before=before.get(name), after=after.get(name))
        for name in sorted(names)
        if before.get(name) != after.get(name)
    )


def _request(item: Inspection) -> dict[str, Any]:
    # The lock is compared package by package instead, and the names stand at the head.
    request = replace(item.request, name="", environment=replace(item.request.environment, lock=None))
    return dict(_flat(encode(request), ""))


def _flat(tree: Mapping[str, Any], prefix: str) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in tree.items():
        if key == "digest":
            found.append((prefix + key, _short(value)))
        elif isinstance(value, dict):
            found += _flat(value, f"{prefix}{key}.")
        elif key != "size" or "digest" not in tree:  # another size goes without saying
            found.append((prefix + key, value))
    return found


def _short(digest: str | None) -> str | None:
    return digest and digest.removeprefix("sha256:")[:16]


def _report(jobs: Sequence[JobRecord]) -> Mapping[str, Any]:
    return next((job.result for job in reversed(jobs) if job.kind == "run" and job.result), {})


def _environment(item: Inspection, report: Mapping[str, Any]) -> dict[str, Any]:
    system = report.get("os_release") or {}
    values = {
        "python": item.lock.python if item.lock else None,
        "platform": item.lock.platform if item.lock else None,
        "base": _short(item.lock.base) if item.lock else None,
        "artifact": _short(item.artifact),
        "os": system.get("pretty_name"),
        "sandbox": report.get("sandbox"),
        "sandbox tool": report.get("sandbox_tool"),
    }
    return {name: value for name, value in values.items() if value is not None}


def _hardware(jobs: Sequence[JobRecord], report: Mapping[str, Any]) -> dict[str, Any]:
    info = report.get("hwinfo") or {}
    values = {
        "node": next((job.node for job in reversed(jobs) if job.kind == "run"), None),
        "cpus": report.get("cpus") and len(report["cpus"]),
        "memory": _at(info, "memory", "total"),
        "gpus": [gpu.get("name") for gpu in info.get("gpus") or ()] or None,
        "microcode": info.get("microcode"),
        **{name: _at(info, *keys) for name, keys in _HARDWARE.items()},
    }
    return {name: value for name, value in values.items() if value is not None}


def _at(tree: Any, *keys: str) -> Any:
    """What lies there in a record that may be of an older Djed, or of none."""
    for key in keys:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def _flags(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """The CPU flags that only one of them has."""
    a, b = (set(_at(side, "hwinfo", "cpu_features", "flags") or ()) for side in (before, after))
    if not a or not b or a == b:
        return ()
    only_a, only_b = " ".join(sorted(a - b)) or None, " ".join(sorted(b - a)) or None
    return (Change(name="cpu_flags", before=only_a, after=only_b),)


def _outcome(item: Inspection) -> dict[str, Any]:
    values = {"state": item.state, "outcome": item.outcome, "failure": item.failure and item.failure.kind}
    return {name: value for name, value in values.items() if value is not None}
