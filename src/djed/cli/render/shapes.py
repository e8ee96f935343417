"""The JSON of the command line: the nouns as they are stored, and beside them fields that are always there."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from djed.model.artifact import Artifact
from djed.model.codec import encode
from djed.model.contents import Contents
from djed.model.inspection import FINAL, Event, Inspection, JobRecord
from djed.model.summary import StoredObservation, Summary

__all__ = ["contents", "inspection", "observation", "summary"]


def summary(item: Summary) -> dict[str, Any]:
    """An inspection in a list; every key is always there."""
    return {
        "id": item.id,
        "name": item.name,
        "state": item.state,
        "outcome": item.outcome,
        "failure": item.failure,
        "created_at": item.created_at,
        "seconds": item.seconds,
        "node": item.node,
        "metric": item.metric,
        "repeats": item.repeats,
    }


def inspection(
    item: Inspection,
    jobs: Sequence[JobRecord],
    events: Sequence[Event] | None = None,
    artifact: Artifact | None = None,
) -> dict[str, Any]:
    """An inspection in full. Fields of the noun that hold their default are left out, except those a reader asks for first."""
    value: dict[str, Any] = {
        **encode(item),
        "outcome": item.outcome,
        "final": item.state in FINAL,
        "failure": encode(item.failure),
        "statistics": encode(item.statistics),
        "stack": item.lock.stack if item.lock else {},
        "jobs": encode(jobs),
    }
    value.pop("token", None)
    if events is not None:
        value["events"] = encode(events)
    if artifact is not None:
        value |= {"size": artifact.size, "contents": encode(artifact.contents)}
    return value


def observation(item: StoredObservation) -> dict[str, Any]:
    """A fact with its evidence."""
    return {
        "seq": item.seq,
        "inspection": item.inspection,
        "kind": item.kind,
        "created_at": item.created_at,
        "subject": encode(item.subject),
        "value": encode(item.value),
    }


def contents(item: Contents) -> dict[str, Any]:
    """All that was found, and what requires what. Every key is always there; inside packages those that hold their default are not."""
    from djed.observe.contents.edges import edges

    found = {field.name: encode(getattr(item, field.name)) for field in dataclasses.fields(item)}
    return {**found, "edges": [list(pair) for pair in edges(item)]}
