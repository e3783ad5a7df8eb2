"""The moved clock of a test installation, and the faults that it is asked for."""

import sqlalchemy as sa
from alembic import op

from b2b.models import base as types

revision = "20261121_test_double"
down_revision = "20261121_identity_platform"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "test_double",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("clock_offset", sa.BigInteger(), nullable=False),
        sa.Column("visible_after", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_test_double")),
    )
    op.create_table(
        "fault_rules",
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("kind", sa.Enum("status", "latency", "drop", name="faultkind",
                                  native_enum=False, length=16), nullable=False),
        sa.Column("path", sa.String(length=512), nullable=False),
        sa.Column("method", sa.String(length=16), nullable=True),
        sa.Column("share", sa.Float(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("retry_after", sa.Integer(), nullable=True),
        sa.Column("latency", sa.Integer(), nullable=False),
        sa.Column("times", sa.Integer(), nullable=True),
        sa.Column("hits", sa.Integer(), nullable=False),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fault_rules")),
    )  # fmt: skip


def downgrade() -> None:
    op.drop_table("fault_rules")
    op.drop_table("test_double")
