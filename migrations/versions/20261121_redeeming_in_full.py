"""App registrations, signing keys and codes, saved views, and what guests see of a directory."""

import sqlalchemy as sa
from alembic import op

from b2b.models import base as types

revision = "20261121_redeeming_in_full"
down_revision = "20261121_inviting_in_full"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "authorization_codes",
        sa.Column("code_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("user_id", types.Id(), nullable=False),
        sa.Column("app_id", types.Id(), nullable=False),
        sa.Column("session_id", types.Id(), nullable=False),
        sa.Column("redirect_uri", sa.String(length=2048), nullable=False),
        sa.Column("scope", sa.String(length=1024), nullable=False),
        sa.Column("nonce", sa.String(length=512), nullable=True),
        sa.Column("code_challenge", sa.String(length=128), nullable=True),
        sa.Column("signed_in_at", types.UTCDateTime(), nullable=False),
        sa.Column("redeemed_at", types.UTCDateTime(), nullable=True),
        sa.Column("expires_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("code_hash", name=op.f("pk_authorization_codes")),
    )
    op.create_index(
        "ix_authorization_codes_by_expiry", "authorization_codes", ["expires_at"], unique=False
    )

    op.create_table(
        "signing_keys",
        sa.Column("kid", sa.String(length=64), nullable=False),
        sa.Column("public_jwk", sa.JSON(), nullable=False),
        sa.Column("private_key", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.Column("signs_from", types.UTCDateTime(), nullable=False),
        sa.Column("retired_at", types.UTCDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_signing_keys")),
    )
    op.create_table(
        "applications",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("app_id", types.Id(), nullable=False),
        sa.Column("display_name", sa.String(length=256), nullable=False),
        sa.Column("is_public", sa.Boolean(), nullable=False),
        sa.Column("redirect_uris", sa.JSON(), nullable=False),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_applications_tenant_id_tenants")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_applications")),
        sqlite_with_rowid=False,
    )
    op.create_index("uq_applications_app_id", "applications", ["app_id"], unique=True)

    op.create_table(
        "saved_views",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("user_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("page", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("query", sa.String(length=1024), nullable=False),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["users.tenant_id", "users.id"],
            name=op.f("fk_saved_views_tenant_id_user_id_users"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", "id", name=op.f("pk_saved_views")),
        sqlite_with_rowid=False,
    )
    op.add_column(
        "tenant_policies",
        sa.Column(
            "guest_access",
            sa.Enum("sameAsMembers", "limited", "restricted", name="guestaccess",
                    native_enum=False, length=16),
            nullable=False, server_default="limited",
        ),
    )  # fmt: skip
    op.add_column("sessions", sa.Column("signed_in_at", types.UTCDateTime(), nullable=True))
    op.add_column(
        "tenant_policies",
        sa.Column("guests_may_leave", sa.Boolean(), nullable=False, server_default=sa.true()),
    )


def downgrade() -> None:
    op.drop_column("sessions", "signed_in_at")
    op.drop_column("tenant_policies", "guests_may_leave")
    op.drop_column("tenant_policies", "guest_access")
    for table in ("saved_views", "applications", "signing_keys", "authorization_codes"):
        op.drop_table(table)
