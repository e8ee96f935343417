"""Inspections in work: added, claimed, moved on, woken, ended. Each function takes the connection of the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from djed.errors import ConflictError
from djed.model.inspection import FINAL, Inspection
from djed.store import events, fairness
from djed.store.database import among, together
from djed.store.inspection_rows import columns, fresh, noun
from djed.store.lookup import get
from djed.store.schema import UNFINISHED, artifact_uses
from djed.store.schema import inspections as table
from djed.store.service_schema import namespaces

__all__ = [
    "Change",
    "Claimed",
    "add",
    "any_due",
    "apply",
    "claim",
    "flag_cancel",
    "hand_back",
    "keep",
    "lead_of",
    "remove",
    "wake",
]

_FINAL = tuple(FINAL)
_INSERT = sa.insert(table).inline()
_INSERT_RANKED = _INSERT.values(rank=fairness.RANK)


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimed:
    """An inspection in our hands until the lease ends."""

    inspection: Inspection
    wakes: int
    """How often it had been woken when it was claimed: a wake-up that comes later is not lost."""
    lead: int
    rank: int
    seq: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What a step decided of an inspection."""

    claimed: Claimed
    fields: Mapping[str, Any]
    park: bool = False
    """Until something wakes it, unless something has since it was claimed."""
    keep: bool = False
    """Stay the owner for the next step."""

    def due(self, wakes: int) -> float | None:
        """The column of that name, if it was woken so often by now."""
        final = self.fields.get("state") in FINAL
        return None if final or (self.park and wakes == self.claimed.wakes) else 0.0


def add(
    connection: sa.Connection, new: Sequence[Inspection], *, digests: Sequence[str], cost: int = 0
) -> None:
    """Insert inspections of one group, due at once (unless final already: answered by an earlier result), at the rank for their cost."""
    lead, namespace = lead_of(new[0].created_at), new[0].namespace
    rows = [fresh(inspection, digest, lead=lead) for inspection, digest in zip(new, digests, strict=True)]
    if len(rows) == 1:  # as nearly always: its rank is found on the way
        statement, ranked = _INSERT_RANKED, {"rank_of": namespace, "rank_cost": cost}
    else:
        statement, ranked = _INSERT, {"rank": fairness.rank(connection, namespace, cost)}
    with together(connection):
        connection.execute(statement, [row | ranked for row in rows])
        events.add(
            connection,
            [(item.id, "state", {"state": item.state}, item.created_at, item.namespace) for item in new],
        )


def lead_of(created_at: float) -> int:
    """What those who are submitted together have in common: the moment, in microseconds."""
    return int(created_at * 1e6)


def any_due(connection: sa.Connection, now: float, place: str) -> bool:
    """Whether there is anything to claim: a look that takes no write lock."""
    query = sa.select(table.c.seq).where(*_claimable(connection, now, place)).limit(1)
    return connection.execute(query).first() is not None


def claim(
    connection: sa.Connection, *, owner: str, now: float, lease: float, limit: int, place: str = ""
) -> list[Claimed]:
    """Take what is due and free, in order of priority, turn and age; of new ones only as many as their namespaces' quotas let in."""
    allowed = fairness.taking(connection)
    rows = connection.execute(
        sa.select(table)
        .where(*_claimable(connection, now, place, allowed))
        .order_by(table.c.priority.desc(), table.c.rank, table.c.lead, table.c.seq)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    rows = [row for row in rows if _let_in(row, allowed)]
    if not rows:
        return []
    connection.execute(
        sa.update(table)
        .where(among(connection, table.c.seq, [row.seq for row in rows]))
        .values(owner=owner, lease_until=now + lease, token=table.c.token + 1)
    )
    fairness.let_in(connection, [(row.namespace, row.rank) for row in rows if row.state == "queued"])
    return [
        Claimed(
            inspection=replace(noun(row), token=row.token + 1),
            wakes=row.wakes,
            lead=row.lead,
            rank=row.rank,
            seq=row.seq,
        )
        for row in rows
    ]


def _claimable(
    connection: sa.Connection, now: float, place: str, allowed: Mapping[str, fairness.Allowance] | None = None
) -> list[Any]:
    """Due, free, not another machine's, and not before the door of a namespace that is full."""
    allowed = fairness.allowances(connection) if allowed is None else allowed
    shut = [name for name, item in allowed.items() if item.shut]
    conditions: list[Any] = [table.c.due.is_not(None), table.c.due <= now, table.c.lease_until <= now]
    conditions.append(table.c.place.is_(None) | (table.c.place == place))
    if shut:
        waits = (table.c.state == "queued") & table.c.namespace.in_(shut) & ~table.c.cancel_requested
        conditions.append(~waits)
    return conditions


def _let_in(row: Any, allowed: Mapping[str, fairness.Allowance]) -> bool:
    if row.state != "queued" or row.cancel_requested or row.namespace not in allowed:
        return True
    return allowed[row.namespace].take_inspection()


def apply(connection: sa.Connection, changes: Sequence[Change], *, now: float) -> set[str]:
    """Write what steps decided of inspections whose lease is still ours; their ids. Of the others, by late writers, nothing is written."""
    ours = among(connection, table.c.seq, [one.claimed.seq for one in changes])
    found = {row.id: row for row in connection.execute(_in_order(ours))}
    alike: dict[tuple[tuple[str, Any], ...], list[int]] = {}  # many take the same step at once
    written = set()
    for change in changes:
        inspection = change.claimed.inspection
        row = found.get(inspection.id)
        if row is None or row.token != inspection.token:
            continue
        values = {"updated_at": now, "due": change.due(row.wakes), **columns(change.fields)}
        if not change.keep:
            values |= {"owner": None, "lease_until": 0.0}
        alike.setdefault(tuple(values.items()), []).append(change.claimed.seq)
        written.add(inspection.id)
    with together(connection):
        for values_, these in alike.items():
            connection.execute(
                sa.update(table).where(among(connection, table.c.seq, these)).values(dict(values_))
            )
    return written


def _in_order(which: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """The inspections, locked one after another, as all do it (:mod:`djed.store.jobs`)."""
    query = sa.select(table.c.seq, table.c.id, table.c.token, table.c.wakes)
    return query.where(which).order_by(table.c.seq).with_for_update(key_share=True)


def wake(connection: sa.Connection, ids: Iterable[str], *, size: int = 0) -> None:
    """Make parked inspections due, and let those in work know that they must look again; ``size`` bytes more are kept for each."""
    which = _in_order(table.c.id.in_(list(ids)) & table.c.state.not_in(_FINAL)).with_only_columns(table.c.seq)
    connection.execute(
        sa.update(table)
        .where(table.c.seq.in_(which))
        .values(due=0.0, wakes=table.c.wakes + 1, size=table.c.size + size)
    )


def hand_back(connection: sa.Connection, owners: Sequence[str]) -> None:
    """End the leases of workers that stop or are dead."""
    which = _in_order(UNFINISHED & table.c.owner.in_(owners)).with_only_columns(table.c.seq)
    connection.execute(sa.update(table).where(table.c.seq.in_(which)).values(owner=None, lease_until=0.0))


def flag_cancel(connection: sa.Connection, id_: str) -> bool:
    """Ask for cancellation; ``False`` if it is final already."""
    done = connection.execute(
        sa.update(table).where(table.c.id == id_, table.c.state.not_in(_FINAL)).values(cancel_requested=True)
    )
    wake(connection, [id_])
    return bool(done.rowcount)


def remove(connection: sa.Connection, id_: str) -> None:
    """Forget a final inspection with its events. Raises ``ConflictError`` while it is not final."""
    item = get(connection, id_)
    if item.state not in FINAL:
        raise ConflictError(
            f"The inspection {id_} is {item.state}.", hint=f"Cancel it first: djed cancel {id_}"
        )
    events.remove(connection, id_)
    size = connection.execute(sa.select(table.c.size).where(table.c.id == id_)).scalar_one()
    connection.execute(sa.delete(artifact_uses).where(artifact_uses.c.inspection == id_))
    connection.execute(sa.delete(table).where(table.c.id == id_))
    keep(connection, item.namespace, -size)


def keep(connection: sa.Connection, namespace: str, size: int) -> None:
    """Count ``size`` more bytes for a namespace."""
    if size:
        connection.execute(
            sa.update(namespaces)
            .where(namespaces.c.name == namespace)
            .values(storage=namespaces.c.storage + size)
        )
