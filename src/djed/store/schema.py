"""The tables. Times are Unix seconds; JSON is text in canonical codec form (:mod:`djed.model.codec`).

``due`` is ``NULL`` (parked), ``0`` (now) or a time (not before); never "now" by the clock, so that a clock that jumps parks nothing.
A record in work has an ``owner`` (worker), ``lease_until`` and a ``token`` that grows with each claim: a late writer is refused by it.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    false,
    text,
)

from djed.model.principal import DEFAULT_NAMESPACE

__all__ = [
    "LET_IN",
    "UNFINISHED",
    "UNFINISHED_JOBS",
    "Long",
    "artifact_uses",
    "artifacts",
    "attempts",
    "events",
    "inspections",
    "job_uses",
    "jobs",
    "locks",
    "metadata",
    "observations",
]

metadata = MetaData()

# Names that are compared as ranges, byte by byte on every database.
Id = Text().with_variant(Text(collation="C"), "postgresql")
# Numbers of 64 bits: what SQLite calls INTEGER; a key that counts up must have just that type there.
Long = Integer().with_variant(BigInteger(), "postgresql")

UNFINISHED = text("inspections.state IN ('queued', 'locking', 'building', 'running')")
LET_IN = text("inspections.state IN ('locking', 'building', 'running')")
UNFINISHED_JOBS = text("jobs.state IN ('queued', 'active')")
"""As SQL in just these words, for SQLite uses a partial index only where it finds the index's own condition again."""

inspections = Table(
    "inspections",
    metadata,
    Column("seq", Long, primary_key=True, autoincrement=True),
    Column("id", Id, nullable=False, unique=True),
    Column("name", Text, nullable=False),
    Column("lead", BigInteger, nullable=False),  # when its group was submitted, in microseconds
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("state", Text, nullable=False),
    Column("outcome", Text),
    Column("request", Text, nullable=False),
    Column("request_digest", Text, nullable=False),
    Column("plan", Text),
    Column("lock", Text),
    Column("artifact", Text),
    Column("packaged", Text),
    Column("failure", Text),
    Column("statistics", Text),
    Column("refusals", Text),
    Column("reused", Text),
    Column("node", Text),
    Column("metric", Text),
    Column("repeats", Integer, nullable=False, server_default="0"),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Column("cancel_requested", Boolean, nullable=False, server_default=false()),
    Column("due", Float),
    Column("wakes", Integer, nullable=False, server_default="0"),
    Column("owner", Text),
    Column("lease_until", Float, nullable=False, server_default="0"),
    Column("token", Integer, nullable=False, server_default="0"),
    Column("namespace", Text, nullable=False, server_default=DEFAULT_NAMESPACE),
    Column(
        "rank", BigInteger, nullable=False, server_default="0"
    ),  # turn among namespaces: store/fairness.py
    Column("place", Text),  # machine that the plan chose; its workers go on with it
    Column("size", BigInteger, nullable=False, server_default="0"),  # bytes of its jobs' output
    Column("origin", Text),
)
Index(
    "inspections_due",
    inspections.c.priority.desc(),
    inspections.c.rank,
    inspections.c.lead,
    inspections.c.seq,
    sqlite_where=inspections.c.due.is_not(None),
)
Index("inspections_digest", inspections.c.request_digest)
Index("inspections_artifact", inspections.c.artifact, sqlite_where=inspections.c.artifact.is_not(None))
Index("inspections_listed", inspections.c.namespace, inspections.c.seq)
Index("inspections_named", inspections.c.namespace, inspections.c.name, inspections.c.seq)
# What is not final is little, what is final grows for ever: each has an index that suits it.
Index(
    "inspections_unfinished",
    inspections.c.namespace,
    inspections.c.rank,
    sqlite_where=inspections.c.state.in_(("queued", "locking", "building", "running")),
)
Index(
    "inspections_let_in",
    inspections.c.namespace,
    sqlite_where=inspections.c.state.in_(("locking", "building", "running")),
)
Index(
    "inspections_outcome",
    inspections.c.namespace,
    inspections.c.outcome,
    inspections.c.seq,
    sqlite_where=inspections.c.outcome.is_not(None),
)
Index(
    "inspections_unmade",
    inspections.c.namespace,
    inspections.c.state,
    inspections.c.seq,
    sqlite_where=inspections.c.state.in_(("refused", "cancelled")),
)

jobs = Table(
    "jobs",
    metadata,
    Column("seq", Long, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False),
    Column("key", Text),  # digest of what it makes: single flight among the unfinished
    Column("serial", Text),  # of the jobs that share it one runs at a time
    Column("lead", BigInteger, nullable=False),
    Column("priority", Integer, nullable=False, server_default="0"),
    Column("turn", Integer, nullable=False, server_default="0"),
    Column("state", Text, nullable=False),
    Column("spec", Text, nullable=False),
    Column("target", Text, nullable=False),
    Column("node", Text),
    Column("cpus", Text),  # granted to the current attempt
    Column("memory", Long),
    Column("attempt", Text),  # name of the current or the accepted attempt
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("failure", Text),
    Column("created_at", Float, nullable=False),
    Column("cancel_requested", Boolean, nullable=False, server_default=false()),
    Column("owner", Text),
    Column("lease_until", Float, nullable=False, server_default="0"),
    Column("token", Integer, nullable=False, server_default="0"),
    Column("namespace", Text, nullable=False, server_default=DEFAULT_NAMESPACE),
    Column("rank", BigInteger, nullable=False, server_default="0"),
)
Index(
    "jobs_unfinished",
    jobs.c.state,
    jobs.c.priority.desc(),
    jobs.c.rank,
    jobs.c.lead,
    jobs.c.turn,
    jobs.c.seq,
    sqlite_where=jobs.c.state.in_(("queued", "active")),
)
Index(
    "jobs_single_flight",
    jobs.c.key,
    unique=True,
    sqlite_where=jobs.c.state.in_(("queued", "active")),
)

job_uses = Table(
    "job_uses",
    metadata,
    Column("inspection", Text, ForeignKey("inspections.id", ondelete="CASCADE"), primary_key=True),
    Column("role", Text, primary_key=True),
    Column("job", Text, ForeignKey("jobs.id"), nullable=False),
)
Index("job_uses_job", job_uses.c.job)

attempts = Table(
    "attempts",
    metadata,
    Column("name", Text, primary_key=True),
    Column("job", Text, ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("node", Text, nullable=False),
    Column("cpus", Text),
    Column("state", Text, nullable=False),  # started | accepted | lost | refused
    Column("started_at", Float, nullable=False),
    Column("ended_at", Float),
    Column("result", Text),
)
Index("attempts_job", attempts.c.job)

artifacts = Table(
    "artifacts",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("place", Text, primary_key=True, server_default=""),  # machine that has its files
    Column("kind", Text, nullable=False),
    Column("record", Text, nullable=False),
    Column("size", Long, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("used_at", Float, nullable=False),
)

artifact_uses = Table(  # beside the environment, which is a column of its inspection: images, packagings
    "artifact_uses",
    metadata,
    Column("inspection", Text, primary_key=True),
    Column("artifact", Text, primary_key=True),
)
Index("artifact_uses_artifact", artifact_uses.c.artifact)

locks = Table(
    "locks",
    metadata,
    Column("key", Text, primary_key=True),
    Column("record", Text, nullable=False),
    Column("created_at", Float, nullable=False),
)

observations = Table(
    "observations",
    metadata,
    Column("seq", Long, primary_key=True, autoincrement=True),
    Column("inspection", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("namespace", Text, nullable=False, server_default=DEFAULT_NAMESPACE),
)
Index("observations_inspection", observations.c.inspection)
Index("observations_kind", observations.c.kind)
Index("observations_listed", observations.c.namespace, observations.c.seq)

events = Table(
    "events",
    metadata,
    Column("seq", Long, primary_key=True, autoincrement=True),
    Column("inspection", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("data", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("namespace", Text, nullable=False, server_default=DEFAULT_NAMESPACE),
    # The writing transaction, on PostgreSQL, where numbers are taken in one order and become visible in another.
    Column("xact", BigInteger, nullable=False, server_default="0"),
)
Index("events_inspection", events.c.inspection, events.c.seq)
