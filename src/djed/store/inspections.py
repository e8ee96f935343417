"""Inspections in the database. Each function takes the connection of the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from djed.errors import ConflictError, NotFoundError
from djed.model.codec import decode
from djed.model.inspection import FINAL, Inspection, Plan
from djed.model.lock import Lock
from djed.model.observation import Failure, Statistics
from djed.model.request import Request
from djed.model.summary import Summary
from djed.store import events
from djed.store.rows import dump, load, load_json
from djed.store.schema import inspections as table

__all__ = [
    "Claimed",
    "add",
    "answer_by",
    "any_due",
    "apply",
    "claim",
    "find",
    "flag_cancel",
    "get",
    "hand_back",
    "older",
    "remove",
    "summaries",
    "unfinished",
    "wake",
]

_FINAL = tuple(FINAL)
_JSON_FIELDS = ("plan", "lock", "failure", "statistics", "refusals")
_PLAIN_FIELDS = ("state", "outcome", "artifact", "reused", "node", "metric")


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimed:
    """An inspection in our hands until the lease ends."""

    inspection: Inspection
    wakes: int
    """How often it had been woken when it was claimed: a wake-up that comes later is not lost."""
    lead: int
    seq: int


def add(connection: sa.Connection, new: Sequence[Inspection], *, digests: Sequence[str]) -> None:
    """Insert inspections of one group, due at once (unless final already: answered by an earlier result)."""
    rows = [
        {
            "id": inspection.id,
            "name": inspection.name,
            "lead": int(new[0].created_at * 1e6),
            "priority": inspection.request.priority,
            "request": dump(inspection.request),
            "request_digest": digest,
            "repeats": inspection.request.run.repeat if inspection.request.run else 0,
            "created_at": inspection.created_at,
            "updated_at": inspection.updated_at,
            "due": None if inspection.state in FINAL else 0.0,
            **_columns({name: getattr(inspection, name, None) for name in (*_PLAIN_FIELDS, *_JSON_FIELDS)}),
            **_in_short(inspection),
        }
        for inspection, digest in zip(new, digests, strict=True)
    ]
    connection.execute(sa.insert(table), rows)
    events.add(connection, [(item.id, "state", {"state": item.state}, item.created_at) for item in new])


def _in_short(inspection: Inspection) -> dict[str, Any]:
    """What lists show of an inspection that was answered by an earlier result; of others it is not known yet."""
    plan, statistics = inspection.plan, inspection.statistics
    return {
        "node": plan and (plan.run_node or plan.build_node),
        "metric": statistics[0].brief if statistics else None,
    }


def any_due(connection: sa.Connection, now: float) -> bool:
    """Whether there is anything to claim: a look that takes no write lock."""
    query = (
        sa.select(table.c.seq)
        .where(table.c.due.is_not(None), table.c.due <= now, table.c.lease_until <= now)
        .limit(1)
    )
    return connection.execute(query).first() is not None


def claim(connection: sa.Connection, *, owner: str, now: float, lease: float, limit: int) -> list[Claimed]:
    """Take what is due and free, in order of priority, then age."""
    rows = connection.execute(
        sa.select(table)
        .where(table.c.due.is_not(None), table.c.due <= now, table.c.lease_until <= now)
        .order_by(table.c.priority.desc(), table.c.lead, table.c.seq)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    if rows:
        connection.execute(
            sa.update(table)
            .where(table.c.seq.in_([row.seq for row in rows]))
            .values(owner=owner, lease_until=now + lease, token=table.c.token + 1)
        )
    return [
        Claimed(
            inspection=replace(_noun(row), token=row.token + 1), wakes=row.wakes, lead=row.lead, seq=row.seq
        )
        for row in rows
    ]


def apply(
    connection: sa.Connection,
    claimed: Claimed,
    changes: Mapping[str, Any],
    *,
    now: float,
    park: bool,
    keep: bool,
) -> bool:
    """Write what a step decided, if the lease is still ours; ``False``: a late writer, nothing was written.

    ``park``: until something wakes it, unless something has since it was claimed. ``keep``: stay the owner for the next step.
    """
    final = changes.get("state") in FINAL
    due: Any = None if final else sa.case((table.c.wakes == claimed.wakes, None), else_=0.0) if park else 0.0
    values = {"updated_at": now, "due": due, **_columns(changes)}
    if not keep:
        values |= {"owner": None, "lease_until": 0.0}
    inspection = claimed.inspection
    done = connection.execute(
        sa.update(table).where(table.c.id == inspection.id, table.c.token == inspection.token).values(values)
    )
    return bool(done.rowcount)


def wake(connection: sa.Connection, ids: Iterable[str]) -> None:
    """Make parked inspections due, and let those in work know that they must look again."""
    connection.execute(
        sa.update(table)
        .where(table.c.id.in_(list(ids)), table.c.state.not_in(_FINAL))
        .values(due=0.0, wakes=table.c.wakes + 1)
    )


def hand_back(connection: sa.Connection, owners: Sequence[str]) -> None:
    """End the leases of workers that stop or are dead."""
    connection.execute(sa.update(table).where(table.c.owner.in_(owners)).values(owner=None, lease_until=0.0))


def flag_cancel(connection: sa.Connection, id_: str) -> bool:
    """Ask for cancellation; ``False`` if it is final already."""
    done = connection.execute(
        sa.update(table).where(table.c.id == id_, table.c.state.not_in(_FINAL)).values(cancel_requested=True)
    )
    wake(connection, [id_])
    return bool(done.rowcount)


def get(connection: sa.Connection, id_: str) -> Inspection:
    """One inspection by its full id. Raises ``NotFoundError``."""
    row = connection.execute(sa.select(table).where(table.c.id == id_)).one_or_none()
    if row is None:
        raise NotFoundError(f"There is no inspection {id_!r}.", hint="See them with: djed list")
    return _noun(row)


def find(connection: sa.Connection, reference: str) -> str:
    """The id meant by an id, a unique beginning of one (3 characters or more), ``latest``, or a name (its newest).

    Raises ``NotFoundError``, ``ConflictError`` where several begin so.
    """
    newest = sa.select(table.c.id).order_by(table.c.seq.desc())
    if reference == "latest":
        found = connection.execute(newest.limit(1)).scalars().all()
    else:
        found = connection.execute(newest.where(table.c.id == reference)).scalars().all()
    if not found and len(reference) >= 3:
        found = (
            connection.execute(newest.where(table.c.id.startswith(reference, autoescape=True)).limit(5))
            .scalars()
            .all()
        )
    found = found or connection.execute(newest.where(table.c.name == reference).limit(1)).scalars().all()
    if len(found) > 1:
        raise ConflictError(
            f"Several inspections begin with {reference!r}: {', '.join(found)}.", hint="Give more characters."
        )
    if not found:
        raise NotFoundError(f"There is no inspection {reference!r}.", hint="See them with: djed list")
    return str(found[0])


def answer_by(connection: sa.Connection, digest: str) -> Inspection | None:
    """The newest inspection of an identical request that succeeded."""
    row = connection.execute(
        sa.select(table)
        .where(table.c.request_digest == digest, table.c.state == "done", table.c.outcome == "succeeded")
        .order_by(table.c.seq.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else _noun(row)


def unfinished(connection: sa.Connection, ids: Sequence[str]) -> list[str]:
    """Those of the ids that are not final."""
    rows = connection.execute(sa.select(table.c.id).where(table.c.id.in_(ids), table.c.state.not_in(_FINAL)))
    return list(rows.scalars())


def summaries(
    connection: sa.Connection, *, states: Sequence[str], name: str | None, limit: int
) -> list[Summary]:
    """The list, newest first. ``states`` may hold states and outcomes."""
    columns = [
        table.c[key]
        for key in (
            "id",
            "name",
            "state",
            "outcome",
            "created_at",
            "updated_at",
            "node",
            "metric",
            "failure",
            "repeats",
        )
    ]
    query = sa.select(*columns).order_by(table.c.seq.desc()).limit(limit)
    if states:
        query = query.where(table.c.state.in_(states) | table.c.outcome.in_(states))
    if name is not None:
        query = query.where(table.c.name == name)
    return [_summary(row) for row in connection.execute(query)]


def older(connection: sa.Connection, before: float) -> list[str]:
    """Final inspections that ended before that time."""
    query = sa.select(table.c.id).where(table.c.state.in_(_FINAL), table.c.updated_at < before)
    return list(connection.execute(query).scalars())


def remove(connection: sa.Connection, id_: str) -> None:
    """Forget a final inspection with its events. Raises ``ConflictError`` while it is not final."""
    state = get(connection, id_).state
    if state not in FINAL:
        raise ConflictError(f"The inspection {id_} is {state}.", hint=f"Cancel it first: djed cancel {id_}")
    events.remove(connection, id_)
    connection.execute(sa.delete(table).where(table.c.id == id_))


def _columns(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Column values of changed fields. An unknown field is a bug and raises."""
    values: dict[str, Any] = {}
    for name, value in changes.items():
        if name in _JSON_FIELDS:
            values[name] = dump(value or None)
        elif name in _PLAIN_FIELDS:
            values[name] = value
        else:
            raise KeyError(name)
    return values


def _noun(row: Any) -> Inspection:
    request = load(Request, row.request)
    assert request is not None
    return Inspection(
        id=row.id,
        name=row.name,
        state=row.state,
        request=request,
        created_at=row.created_at,
        updated_at=row.updated_at,
        outcome=row.outcome,
        failure=load(Failure, row.failure),
        plan=load(Plan, row.plan),
        lock=load(Lock, row.lock),
        artifact=row.artifact,
        statistics=tuple(decode(Statistics, item) for item in load_json(row.statistics) or ()),
        refusals=tuple(load_json(row.refusals) or ()),
        reused=row.reused,
        group=str(row.lead),
        cancel_requested=bool(row.cancel_requested),
        token=row.token,
    )


def _summary(row: Any) -> Summary:
    failure = load_json(row.failure)
    return Summary(
        id=row.id,
        name=row.name,
        state=row.state,
        outcome=row.outcome,
        created_at=row.created_at,
        seconds=row.updated_at - row.created_at if row.state in FINAL else None,
        node=row.node,
        metric=row.metric,
        failure=failure and failure["kind"],
        repeats=row.repeats,
    )
