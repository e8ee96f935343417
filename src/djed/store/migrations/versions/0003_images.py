"""What images need: which artifacts an inspection uses beside its environment, and what it was packaged as.

Revision ID: 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column and the table."""
    op.add_column("inspections", sa.Column("packaged", sa.Text()))
    op.create_table(
        "artifact_uses",
        sa.Column("inspection", sa.Text(), primary_key=True),
        sa.Column("artifact", sa.Text(), primary_key=True),
    )
    op.create_index("artifact_uses_artifact", "artifact_uses", ["artifact"])
