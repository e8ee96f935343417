"""Finding inspections: one by what people call it, many by page. Each function takes the connection of the caller's transaction."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from djed.errors import ConflictError, NotFoundError, UnreadableError
from djed.model.inspection import FINAL, Inspection
from djed.model.summary import Page, Sort, Summary
from djed.store.inspection_rows import SUMMARY, noun, summary
from djed.store.schema import UNFINISHED
from djed.store.schema import inspections as table

__all__ = ["answer_by", "find", "get", "older", "page", "unfinished"]

_FINAL = tuple(FINAL)
_SHORTEST = 3
"""Characters of the beginning of an id that are taken for it."""
_LONGEST = 200
"""Characters of a reference; what is longer is none."""


def get(connection: sa.Connection, id_: str) -> Inspection:
    """One inspection by its full id. Raises ``NotFoundError``."""
    row = connection.execute(sa.select(table).where(table.c.id == id_)).one_or_none()
    if row is None:
        raise _unknown(id_)
    return noun(row)


def find(connection: sa.Connection, reference: str, *, namespace: str) -> str:
    """The id meant by an id, a unique beginning of one (3 characters or more), ``latest``, or a name (its newest), in the namespace.

    Raises ``NotFoundError``, ``ConflictError`` where several begin so.
    """
    if "\0" in reference or len(reference) > _LONGEST:
        raise _unknown(reference[:_LONGEST])
    newest = sa.select(table.c.id).where(table.c.namespace == namespace).order_by(table.c.seq.desc())
    if reference == "latest":
        found = connection.execute(newest.limit(1)).scalars().all()
    else:
        # By the id alone, which is unique: an order would make the database look for it in another index.
        row = connection.execute(
            sa.select(table.c.id, table.c.namespace).where(table.c.id == reference)
        ).one_or_none()
        found = [row.id] if row is not None and row.namespace == namespace else []
    if not found and len(reference) >= _SHORTEST:
        found = connection.execute(_beginning(reference, namespace)).scalars().all()
    found = found or connection.execute(newest.where(table.c.name == reference).limit(1)).scalars().all()
    if len(found) > 1:
        raise ConflictError(
            f"Several inspections begin with {reference!r}: {', '.join(found)}.", hint="Give more characters."
        )
    if not found:
        raise _unknown(reference)
    return str(found[0])


def _beginning(reference: str, namespace: str) -> Any:
    """A range of ids instead of LIKE, which no index serves; ids are of ASCII digits and letters."""
    return (
        sa.select(table.c.id)
        .where(table.c.id > reference, table.c.id < reference + "\x7f")
        .where(table.c.namespace.concat("") == namespace)  # not by an index of namespaces
        .limit(5)
    )


def _unknown(reference: str) -> NotFoundError:
    return NotFoundError(f"There is no inspection {reference!r}.", hint="See them with: djed list")


def answer_by(connection: sa.Connection, digest: str, *, namespace: str) -> Inspection | None:
    """The newest inspection of an identical request in the namespace that succeeded."""
    row = connection.execute(
        sa.select(table)
        .where(
            table.c.request_digest == digest,
            table.c.namespace == namespace,
            table.c.state == "done",
            table.c.outcome == "succeeded",
        )
        .order_by(table.c.seq.desc())
        .limit(1)
    ).one_or_none()
    return None if row is None else noun(row)


def unfinished(connection: sa.Connection, ids: Sequence[str]) -> list[str]:
    """Those of the ids that are not final."""
    rows = connection.execute(sa.select(table.c.id).where(table.c.id.in_(ids), table.c.state.not_in(_FINAL)))
    return list(rows.scalars())


def older(connection: sa.Connection, before: float, *, namespace: str | None = None) -> list[str]:
    """Final inspections that ended before that time, the oldest first."""
    query = sa.select(table.c.id).where(table.c.state.in_(_FINAL), table.c.updated_at < before)
    if namespace is not None:
        query = query.where(table.c.namespace == namespace)
    return list(connection.execute(query.order_by(table.c.seq)).scalars())


def page(
    connection: sa.Connection,
    namespace: str,
    *,
    states: Sequence[str],
    name: str | None,
    sort: Sort,
    limit: int,
    after: str | None,
) -> Page[Summary]:
    """A page of the list. ``states`` may hold states and outcomes. Raises ``UnreadableError`` for a cursor that is not of this list."""
    by_name, down = sort.endswith("name"), sort.startswith("-")
    position = None if after is None else _read_cursor(after, by_name=by_name)

    def part(conditions: Sequence[Any] = (), *, few: bool = False) -> Any:
        # Few are found by their own index and sorted: an order that another index has would make the database walk that one for them.
        seq, named = (table.c.seq + 0, table.c.name.concat("")) if few else (table.c.seq, table.c.name)
        keys = (named, seq) if by_name else (seq,)
        query = sa.select(*SUMMARY).where(table.c.namespace == namespace, *conditions)
        if name is not None:
            query = query.where(table.c.name == name)
        if position is not None:
            known = sa.tuple_(*map(sa.literal, position))
            query = query.where(sa.tuple_(*keys) < known if down else sa.tuple_(*keys) > known)
        if few:
            query = query.with_hint(table, "INDEXED BY inspections_unfinished", "sqlite")
        # One more than a page tells whether there is a next one.
        return query.order_by(*(key.desc() if down else key for key in keys)).limit(limit + 1)

    query = part()
    if states:
        # A union of one part for each word, for each has an index of its own, and none serves them all.
        parts = [
            part(conditions, few=few).subquery() for conditions, few in map(_standing, dict.fromkeys(states))
        ]
        whole = sa.union(*map(sa.select, parts)).subquery()
        keys = [whole.c.name, whole.c.seq] if by_name else [whole.c.seq]
        query = sa.select(whole).order_by(*(key.desc() if down else key for key in keys)).limit(limit + 1)
    rows = connection.execute(query).all()
    more = len(rows) > limit
    cursor = _cursor(rows[limit - 1], by_name=by_name) if more else None
    return Page(items=[summary(row) for row in rows[:limit]], next=cursor)


def _standing(word: str) -> tuple[list[Any], bool]:
    """The conditions under which an inspection stands so, in the words of the index that serves it, and whether only few do."""
    if word in {"queued", "locking", "building", "running"}:
        return [UNFINISHED, table.c.state == word], True
    if word in {"refused", "cancelled"}:
        return [sa.text("inspections.state IN ('refused', 'cancelled')"), table.c.state == word], False
    return [(table.c.state if word == "done" else table.c.outcome) == word], False


def _cursor(row: Any, *, by_name: bool) -> str:
    return json.dumps([row.name, row.seq] if by_name else [row.seq], separators=(",", ":")).encode().hex()


def _read_cursor(text: str, *, by_name: bool) -> list[Any]:
    try:
        values = json.loads(bytes.fromhex(text))
        # What no database takes as text is no name: half of a surrogate pair, NUL.
        is_text = b"\0" not in "".join(map(str, values)).encode()
    except (ValueError, TypeError, RecursionError):
        values, is_text = None, False
    kinds = [str, int] if by_name else [int]
    if not is_text or [type(value) for value in values] != kinds or abs(values[-1]) >= 2**63:
        raise UnreadableError("The cursor is not one of this list.", hint="Take it from the page before.")
    return list(values)
