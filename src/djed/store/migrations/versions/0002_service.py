"""What a service that many share needs: namespaces, tokens, fair turns, several machines.

Revision ID: 0002
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

Long = sa.Integer().with_variant(sa.BigInteger(), "postgresql")


def upgrade() -> None:
    """Add the columns, renew the indexes, make the tables."""
    _inspections()
    _jobs()
    _facts()
    _events()
    _access()
    _audit()
    _confided()
    _webhooks()
    _machines()
    if op.get_bind().dialect.name == "postgresql":
        _widen()


def _namespace() -> sa.Column[str]:
    return sa.Column("namespace", sa.Text(), server_default="default", nullable=False)


def _partial(name: str, table: str, columns: Sequence[str | sa.ColumnElement[object]], where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, sqlite_where=condition, postgresql_where=condition)


def _inspections() -> None:
    op.add_column("inspections", _namespace())
    op.add_column("inspections", sa.Column("rank", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("inspections", sa.Column("place", sa.Text(), nullable=True))
    op.add_column("inspections", sa.Column("size", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("inspections", sa.Column("origin", sa.Text(), nullable=True))
    op.drop_index("inspections_due", "inspections")
    op.drop_index("inspections_name", "inspections")
    _partial(
        "inspections_due",
        "inspections",
        [sa.literal_column("priority DESC"), "rank", "lead", "seq"],
        "due IS NOT NULL",
    )
    _partial("inspections_artifact", "inspections", ["artifact"], "artifact IS NOT NULL")
    op.create_index("inspections_listed", "inspections", ["namespace", "seq"])
    op.create_index("inspections_named", "inspections", ["namespace", "name", "seq"])
    _partial(
        "inspections_unfinished",
        "inspections",
        ["namespace", "rank"],
        "state IN ('queued', 'locking', 'building', 'running')",
    )
    _partial(
        "inspections_let_in", "inspections", ["namespace"], "state IN ('locking', 'building', 'running')"
    )
    _partial("inspections_outcome", "inspections", ["namespace", "outcome", "seq"], "outcome IS NOT NULL")
    _partial(
        "inspections_unmade",
        "inspections",
        ["namespace", "state", "seq"],
        "state IN ('refused', 'cancelled')",
    )


def _jobs() -> None:
    op.add_column("jobs", _namespace())
    op.add_column("jobs", sa.Column("rank", sa.BigInteger(), server_default="0", nullable=False))
    op.drop_index("jobs_unfinished", "jobs")
    _partial(
        "jobs_unfinished",
        "jobs",
        ["state", sa.literal_column("priority DESC"), "rank", "lead", "turn", "seq"],
        "state IN ('queued', 'active')",
    )


def _facts() -> None:
    # Its primary key grows, for which SQLite wants a new table.
    op.rename_table("artifacts", "artifacts_before")
    op.create_table(
        "artifacts",
        sa.Column("digest", sa.Text(), primary_key=True),
        sa.Column("place", sa.Text(), primary_key=True, server_default=""),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("size", Long, nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("used_at", sa.Float(), nullable=False),
    )
    columns = "digest, kind, record, size, created_at, used_at"
    op.execute(f"INSERT INTO artifacts ({columns}) SELECT {columns} FROM artifacts_before")  # noqa: S608
    op.drop_table("artifacts_before")
    op.add_column("observations", _namespace())
    op.create_index("observations_listed", "observations", ["namespace", "seq"])


def _events() -> None:
    op.add_column("events", _namespace())
    op.add_column("events", sa.Column("xact", sa.BigInteger(), server_default="0", nullable=False))


def _access() -> None:
    op.create_table(
        "namespaces",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("weight", sa.Float(), server_default="1", nullable=False),
        sa.Column("priority", sa.Integer(), server_default="100", nullable=False),
        sa.Column("quota", sa.Text()),
        sa.Column("retention", sa.Text()),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("reached", Long, server_default="0", nullable=False),
        sa.Column("storage", Long, server_default="0", nullable=False),
    )
    op.execute("INSERT INTO namespaces (name, created_at) VALUES ('default', 0)")
    op.create_table(
        "tokens",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("expires_at", sa.Float()),
        sa.Column("revoked_at", sa.Float()),
    )


def _audit() -> None:
    op.create_table(
        "audit",
        sa.Column("seq", Long, primary_key=True, autoincrement=True),
        sa.Column("at", sa.Float(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("token", sa.Text()),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text()),
        sa.Column("detail", sa.Text()),
    )


def _confided() -> None:
    op.create_table(
        "secrets",
        sa.Column("namespace", sa.Text(), primary_key=True),
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
    )
    op.create_table(
        "uploads",
        sa.Column("namespace", sa.Text(), primary_key=True),
        sa.Column("digest", sa.Text(), primary_key=True),
        sa.Column("size", Long, nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
    )
    op.create_table(
        "idempotency",
        sa.Column("namespace", sa.Text(), primary_key=True),
        sa.Column("key", sa.Text(), primary_key=True),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("inspections", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
    )


def _webhooks() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Text(), primary_key=True),
        _namespace(),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("events", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("active", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.Column("position", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failing_since", sa.Float()),
        sa.Column("due", sa.Float()),
        sa.Column("last_error", sa.Text()),
        sa.Column("owner", sa.Text()),
        sa.Column("lease_until", sa.Float(), server_default="0", nullable=False),
    )
    op.create_table(
        "deliveries",
        sa.Column("seq", Long, primary_key=True, autoincrement=True),
        sa.Column("webhook", sa.Text(), sa.ForeignKey("webhooks.id", ondelete="CASCADE"), nullable=False),
        sa.Column("position", sa.Text(), nullable=False),
        sa.Column("inspection", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("error", sa.Text()),
        sa.Column("at", sa.Float(), nullable=False),
    )
    op.create_index("deliveries_webhook", "deliveries", ["webhook", "seq"])


def _machines() -> None:
    op.create_table(
        "workers",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("started_at", sa.Float(), nullable=False),
        sa.Column("seen_at", sa.Float(), nullable=False),
        sa.Column("counters", sa.Text()),
    )
    op.create_table(
        "nodes",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("seen_at", sa.Float(), nullable=False),
    )
    op.create_table(
        "log_chunks",
        sa.Column("attempt", sa.Text(), primary_key=True),
        sa.Column("stream", sa.Text(), primary_key=True),
        sa.Column("start", Long, primary_key=True),
        sa.Column("data", sa.LargeBinary(), nullable=False),
    )


def _widen() -> None:
    """What version 0001 said of SQLite holds for PostgreSQL too: its keys have 64 bits, and its indexes are partial."""
    for table, column in (
        ("inspections", "seq"),
        ("jobs", "seq"),
        ("jobs", "memory"),
        ("observations", "seq"),
        ("events", "seq"),
    ):
        op.alter_column(table, column, type_=sa.BigInteger())
        if column == "seq":
            op.execute(f"ALTER SEQUENCE {table}_seq_seq AS bigint")
    op.alter_column("inspections", "id", type_=sa.Text(collation="C"))
    op.execute(
        "ALTER INDEX artifacts_pkey1 RENAME TO artifacts_pkey"
    )  # named while the table before was there
    op.drop_index("jobs_single_flight", "jobs")
    op.create_index(
        "jobs_single_flight",
        "jobs",
        ["key"],
        unique=True,
        postgresql_where=sa.text("state IN ('queued', 'active')"),
    )
    op.create_index("events_order", "events", ["xact", "seq"])
