"""More about people and groups, licences, deleted groups, and requests that made something."""

import sqlalchemy as sa
from alembic import op

from b2b.models import base as types

revision = "20261121_graph"
down_revision = "20261121_single_sign_on"
branch_labels = None
depends_on = None

_OF_PEOPLE = {
    "office_location": 128,
    "street_address": 1024,
    "city": 128,
    "state": 128,
    "postal_code": 40,
    "country": 128,
    "employee_id": 16,
}


def upgrade() -> None:
    op.add_column(
        "users", sa.Column("business_phones", sa.JSON(), nullable=False, server_default="[]")
    )
    for name, length in _OF_PEOPLE.items():
        op.add_column("users", sa.Column(name, sa.String(length=length), nullable=True))
    op.add_column("users", sa.Column("manager_id", types.Id(), nullable=True))
    op.create_index(
        "ix_users_of_manager",
        "users",
        ["tenant_id", "manager_id"],
        unique=False,
        sqlite_where=sa.text("manager_id IS NOT NULL"),
        postgresql_where=sa.text("manager_id IS NOT NULL"),
    )
    # Words of addresses count as words of names until the person is renamed.
    op.add_column(
        "user_tokens",
        sa.Column("in_name", sa.Boolean(), nullable=False, server_default=sa.true()),
    )
    op.add_column("groups", sa.Column("mail_nickname", sa.String(length=64), nullable=True))
    op.add_column(
        "groups", sa.Column("is_unified", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.add_column(
        "groups",
        sa.Column("security_enabled", sa.Boolean(), nullable=False, server_default=sa.true()),
    )
    op.add_column("groups", sa.Column("visibility", sa.String(length=32), nullable=True))
    op.create_table(
        "license_assignments",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("user_id", types.Id(), nullable=False),
        sa.Column("sku_id", types.Id(), nullable=False),
        sa.Column("disabled_plans", sa.JSON(), nullable=False),
        sa.Column("assigned_at", types.UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["users.tenant_id", "users.id"],
            name=op.f("fk_license_assignments_tenant_id_user_id_users"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "tenant_id", "user_id", "sku_id", name=op.f("pk_license_assignments")
        ),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_license_assignments_by_sku", "license_assignments", ["tenant_id", "sku_id"])
    op.create_table(
        "deleted_groups",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("display_name", sa.String(length=256), nullable=False),
        sa.Column("name_key", types.key_type(1024), nullable=False),
        sa.Column("kept", sa.JSON(), nullable=False),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.Column("deleted_at", types.UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_deleted_groups_tenant_id_tenants")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_deleted_groups")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_deleted_groups_by_name", "deleted_groups", ["tenant_id", "name_key", "id"])
    op.create_index("ix_deleted_groups_by_time", "deleted_groups", ["deleted_at"])
    op.create_table(
        "creation_requests",
        sa.Column("key_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("body_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column(
            "made",
            sa.Enum("invitation", "user", "group", name="made", native_enum=False, length=16),
            nullable=False,
        ),
        sa.Column("made_id", types.Id(), nullable=False),
        sa.Column("expires_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("key_hash", name=op.f("pk_creation_requests")),
    )
    op.create_index("ix_creation_requests_by_expiry", "creation_requests", ["expires_at"])


def downgrade() -> None:
    op.drop_table("creation_requests")
    op.drop_table("deleted_groups")
    op.drop_table("license_assignments")
    for name in ("visibility", "security_enabled", "is_unified", "mail_nickname"):
        op.drop_column("groups", name)
    op.drop_column("user_tokens", "in_name")
    op.drop_index("ix_users_of_manager", "users")
    for name in ("manager_id", *reversed(_OF_PEOPLE), "business_phones"):
        op.drop_column("users", name)
