"""The tables of a service that many share: who may do what, who works where, and whom to tell. As in :mod:`djed.store.schema`."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, LargeBinary, Table, Text, true

from djed.model.principal import DEFAULT_NAMESPACE
from djed.store.schema import Long, metadata

__all__ = [
    "audit",
    "deliveries",
    "idempotency",
    "log_chunks",
    "metadata",
    "namespaces",
    "nodes",
    "secrets",
    "tokens",
    "uploads",
    "webhooks",
    "workers",
]

namespaces = Table(
    "namespaces",
    metadata,
    Column("name", Text, primary_key=True),
    Column("weight", Float, nullable=False, server_default="1"),
    Column("priority", Integer, nullable=False, server_default="100"),
    Column("quota", Text),
    Column("retention", Text),
    Column("created_at", Float, nullable=False),
    Column("reached", Long, nullable=False, server_default="0"),  # highest rank let in: store/fairness.py
    Column("storage", Long, nullable=False, server_default="0"),  # bytes of results and uploads
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", Text, primary_key=True),
    Column("digest", Text, nullable=False),  # SHA-256 of the secret, which has 256 random bits
    Column("name", Text, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("revoked_at", Float),
)

audit = Table(
    "audit",
    metadata,
    Column("seq", Long, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    Column("actor", Text, nullable=False),
    Column("token", Text),
    Column("namespace", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text),
    Column("detail", Text),
)

secrets = Table(
    "secrets",
    metadata,
    Column("namespace", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("sealed", Text, nullable=False),
    Column("created_at", Float, nullable=False),
)

uploads = Table(
    "uploads",
    metadata,
    Column("namespace", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    Column("size", Long, nullable=False),
    Column("created_at", Float, nullable=False),
)

idempotency = Table(
    "idempotency",
    metadata,
    Column("namespace", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("digest", Text, nullable=False),  # of the request that it stood for first
    Column("inspections", Text, nullable=False),
    Column("created_at", Float, nullable=False),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", Text, primary_key=True),
    Column("namespace", Text, nullable=False, server_default=DEFAULT_NAMESPACE),
    Column("url", Text, nullable=False),
    Column("events", Text, nullable=False),
    Column("secret", Text, nullable=False),  # sealed
    Column("active", Boolean, nullable=False, server_default=true()),
    Column("created_at", Float, nullable=False),
    Column("position", Text, nullable=False),  # of the last event that was told or given up
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("failing_since", Float),
    Column("due", Float),
    Column("last_error", Text),
    Column("owner", Text),
    Column("lease_until", Float, nullable=False, server_default="0"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("seq", Long, primary_key=True, autoincrement=True),
    Column("webhook", Text, ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False),
    Column("position", Text, nullable=False),
    Column("inspection", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("status", Integer),
    Column("error", Text),
    Column("at", Float, nullable=False),
)
Index("deliveries_webhook", deliveries.c.webhook, deliveries.c.seq)

workers = Table(
    "workers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("place", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("version", Text, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("seen_at", Float, nullable=False),
    Column("counters", Text),  # what it counted and timed so far, for the metrics
)

nodes = Table(
    "nodes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("place", Text, nullable=False),
    Column("record", Text, nullable=False),
    Column("seen_at", Float, nullable=False),
)

# What a running attempt wrote so far, where its job directory is on another machine than its readers.
log_chunks = Table(
    "log_chunks",
    metadata,
    Column("attempt", Text, primary_key=True),
    Column("stream", Text, primary_key=True),
    Column("start", Long, primary_key=True),  # offset of its first byte
    Column("data", LargeBinary, nullable=False),
)
