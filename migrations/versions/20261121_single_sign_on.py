"""Claims mapping, sign-out of applications, and programs in the sign-in log."""

import sqlalchemy as sa
from alembic import op

from b2b.models import base as types

revision = "20261121_single_sign_on"
down_revision = "20261121_test_double"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "session_applications",
        sa.Column("session_id", types.Id(), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("app_id", types.Id(), nullable=False),
        sa.Column("at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint(
            "session_id", "tenant_id", "app_id", name=op.f("pk_session_applications")
        ),
    )
    op.create_index("ix_session_applications_by_time", "session_applications", ["at"])
    op.add_column("applications", sa.Column("logout_url", sa.String(2048), nullable=True))
    op.add_column(
        "service_principals",
        sa.Column("claims_mapping", sa.JSON(), nullable=False, server_default="{}"),
    )
    op.add_column("sign_ins", sa.Column("app_id", types.Id(), nullable=True))
    op.add_column("sign_ins", sa.Column("service_principal_id", types.Id(), nullable=True))
    op.add_column("sign_ins", sa.Column("resource", sa.String(256), nullable=True))


def downgrade() -> None:
    for name in ("resource", "service_principal_id", "app_id"):
        op.drop_column("sign_ins", name)
    op.drop_column("service_principals", "claims_mapping")
    op.drop_column("applications", "logout_url")
    op.drop_table("session_applications")
