"""Sponsors, owners, pictures, pauses and refusals of mail; invitations listed by what became of
them.
"""

import sqlalchemy as sa
from alembic import op

from b2b.models import base as types

revision = "20261121_inviting_in_full"
down_revision = "20261121_directory"
branch_labels = None
depends_on = None

_KEY = sa.String(253).with_variant(sa.String(253, collation="C"), "postgresql")
_LISTS = {
    "ix_invitations_by_standing": "standing",
    "ix_invitations_by_inviter": "inviter_id",
    "ix_invitations_by_domain": "domain",
}


def _sqlite() -> bool:
    return op.get_bind().dialect.name == "sqlite"


def upgrade() -> None:
    op.create_table(
        "mail_pauses",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("reason", sa.String(length=512), nullable=True),
        sa.Column("paused_by", sa.String(length=256), nullable=True),
        sa.Column("paused_at", types.UTCDateTime(), nullable=False),
        sa.Column("again_at", types.UTCDateTime(), nullable=True),
        sa.Column("refused", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", name=op.f("pk_mail_pauses")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "mail_refusals",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column(
            "address_key",
            sa.String(length=320).with_variant(sa.String(length=320, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("refused_at", types.UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_mail_refusals_tenant_id_tenants")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "address_key", name=op.f("pk_mail_refusals")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_mail_refusals_of_address", "mail_refusals", ["address_key"], unique=False)

    op.create_table(
        "pictures",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("owner_id", types.Id(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "bannerLogo",
                "squareLogo",
                "photo",
                name="picturekind",
                native_enum=False,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("media_type", sa.String(length=32), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("changed_at", types.UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name=op.f("fk_pictures_tenant_id_tenants")
        ),
        sa.PrimaryKeyConstraint("tenant_id", "owner_id", "kind", name=op.f("pk_pictures")),
    )
    op.create_table(
        "owners",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("owned_id", types.Id(), nullable=False),
        sa.Column("user_id", types.Id(), nullable=False),
        sa.Column(
            "owned_type",
            sa.Enum("Group", "ServicePrincipal", name="ownedtype", native_enum=False, length=32),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["users.tenant_id", "users.id"],
            name=op.f("fk_owners_tenant_id_user_id_users"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "owned_id", "user_id", name=op.f("pk_owners")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_owners_of_user",
        "owners",
        ["tenant_id", "user_id", "owned_type", "owned_id"],
        unique=False,
    )

    op.create_table(
        "proxy_addresses",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column(
            "address_key",
            sa.String(length=320).with_variant(sa.String(length=320, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("address", sa.String(length=320), nullable=False),
        sa.Column("user_id", types.Id(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["users.tenant_id", "users.id"],
            name=op.f("fk_proxy_addresses_tenant_id_user_id_users"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "address_key", name=op.f("pk_proxy_addresses")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_proxy_addresses_of_user", "proxy_addresses", ["tenant_id", "user_id"], unique=False
    )

    op.create_table(
        "sponsors",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("user_id", types.Id(), nullable=False),
        sa.Column("sponsor_id", types.Id(), nullable=False),
        sa.Column(
            "sponsor_type",
            sa.Enum("User", "Group", name="sponsortype", native_enum=False, length=16),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "user_id"],
            ["users.tenant_id", "users.id"],
            name=op.f("fk_sponsors_tenant_id_user_id_users"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", "sponsor_id", name=op.f("pk_sponsors")),
        sqlite_with_rowid=False,
    )

    op.add_column("invitations", sa.Column("domain", _KEY, nullable=False, server_default=""))
    op.add_column("invitations", sa.Column("cc_name", sa.String(256), nullable=True))
    op.add_column("invitations", sa.Column("cc_address", sa.String(320), nullable=True))
    op.add_column(
        "invitations",
        sa.Column(
            "valid_from", types.UTCDateTime(), nullable=False,
            server_default=sa.text("'1970-01-01 00:00:00'"),
        ),
    )  # fmt: skip
    op.add_column(
        "invitations",
        sa.Column(
            "standing",
            sa.Enum("open", "accepted", "declined", "cancelled", name="standing",
                    native_enum=False, length=16),
            nullable=False, server_default="open",
        ),
    )  # fmt: skip
    at = "instr(invited_address, '@')" if _sqlite() else "strpos(invited_address, '@')"
    op.execute(
        "UPDATE invitations SET valid_from = sent_at,"
        f" domain = lower(substr(invited_address, {at} + 1)),"
        " standing = CASE WHEN accepted_at IS NOT NULL THEN 'accepted'"
        " WHEN cancelled_at IS NOT NULL THEN 'cancelled'"
        " WHEN declined_at IS NOT NULL THEN 'declined' ELSE 'open' END"
    )
    op.execute(
        "INSERT INTO sponsors (tenant_id, user_id, sponsor_id, sponsor_type)"
        " SELECT tenant_id, user_id, inviter_id, 'User' FROM invitations"
        " WHERE inviter_id IS NOT NULL"
    )
    op.drop_index("ix_audit_events_by_actor", table_name="audit_events")
    op.drop_index("ix_invitations_by_inviter", table_name="invitations")
    op.create_index(
        "ix_memberships_by_name", "memberships", ["tenant_id", "group_id", "name_key", "user_id"]
    )
    for name, column in _LISTS.items():
        op.create_index(name, "invitations", ["tenant_id", column, "valid_from", "id"])
    op.drop_index("ix_outbox_due", table_name="outbox")
    op.create_index(
        "ix_outbox_by_turn",
        "outbox",
        ["tenant_id", "due_at", "created_at"],
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.create_index(
        "ix_outbox_failed",
        "outbox",
        ["tenant_id", "id"],
        sqlite_where=sa.text("state = 'failed'"),
        postgresql_where=sa.text("state = 'failed'"),
    )
    op.add_column(
        "tenant_policies",
        sa.Column(
            "drop_unsigned_messages", sa.Boolean(), nullable=False, server_default=sa.false()
        ),
    )
    op.add_column("tenants", sa.Column("technical_contact", sa.String(320), nullable=True))
    op.add_column(
        "tenants",
        sa.Column(
            "invitation_layout",
            sa.Enum("classic", "current", name="invitationlayout", native_enum=False, length=16),
            nullable=False, server_default="classic",
        ),
    )  # fmt: skip


def downgrade() -> None:
    op.drop_column("tenants", "invitation_layout")
    op.drop_column("tenants", "technical_contact")
    op.drop_column("tenant_policies", "drop_unsigned_messages")
    op.drop_index("ix_outbox_failed", table_name="outbox")
    op.drop_index("ix_outbox_by_turn", table_name="outbox")
    op.create_index(
        "ix_outbox_due",
        "outbox",
        ["due_at"],
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.drop_index("ix_memberships_by_name", table_name="memberships")
    for name in _LISTS:
        op.drop_index(name, table_name="invitations")
    op.create_index(
        "ix_invitations_by_inviter", "invitations", ["tenant_id", "inviter_id", "sent_at"]
    )
    op.create_index(
        "ix_audit_events_by_actor", "audit_events", ["tenant_id", "actor_id", "sequence"]
    )
    for column in ("standing", "valid_from", "cc_address", "cc_name", "domain"):
        op.drop_column("invitations", column)
    for table in (
        "sponsors",
        "proxy_addresses",
        "owners",
        "pictures",
        "mail_refusals",
        "mail_pauses",
    ):
        op.drop_table(table)  # fmt: skip
