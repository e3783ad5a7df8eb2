"""Indexes by which programs find people by a domain, other addresses, and accounts elsewhere."""

import sqlalchemy as sa
from alembic import op

revision = "20261122_addresses"
down_revision = "20261122_properties"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        others = "replace(mail_key::text, '@'::text, ''::text)"
        domain = f"substr(mail_key::text, length(rtrim(mail_key::text, {others})))"
        label = 'lower(label::text COLLATE "C")'
        some = "other_mails::text <> '[]'"
    else:
        domain = "substr(mail_key, length(rtrim(mail_key, replace(mail_key, '@', ''))))"
        label, some = "lower(label)", "other_mails <> '[]'"
    op.create_index(
        "ix_users_by_mail_domain",
        "users",
        ["tenant_id", sa.text(domain)],
        sqlite_where=sa.text("mail_key IS NOT NULL"),
        postgresql_where=sa.text("mail_key IS NOT NULL"),
    )
    op.create_index(
        "ix_users_by_having_other_mails",
        "users",
        ["tenant_id"],
        sqlite_where=sa.text(some),
        postgresql_where=sa.text(some),
    )
    op.create_index("ix_identities_by_label", "identities", ["tenant_id", sa.text(label)])


def downgrade() -> None:
    op.drop_index("ix_identities_by_label", table_name="identities")
    op.drop_index("ix_users_by_having_other_mails", table_name="users")
    op.drop_index("ix_users_by_mail_domain", table_name="users")
