"""Indexes by which programs find people by a property, and list everybody by name."""

import sqlalchemy as sa
from alembic import op

revision = "20261122_properties"
down_revision = "20261121_search"
branch_labels = None
depends_on = None

_TEXTS = (
    "given_name",
    "surname",
    "mail_nickname",
    "job_title",
    "department",
    "company_name",
    "city",
    "state",
    "country",
    "usage_location",
    "preferred_language",
    "creation_type",
)


def _folded(column: str) -> sa.TextClause:
    if op.get_bind().dialect.name == "postgresql":
        return sa.text(f'lower(({column})::text COLLATE "C")')
    return sa.text(f"lower({column})")


def _create(name: str, *columns: str | sa.TextClause, where: str | None = None) -> None:
    some = None if where is None else sa.text(where)
    op.create_index(
        name, "users", ["tenant_id", *columns], sqlite_where=some, postgresql_where=some
    )


def upgrade() -> None:
    _create("ix_users_in_order", "name_key", "id", where="deleted_at IS NULL")
    _create("ix_users_by_creation", "created_at")
    _create(
        "ix_users_by_state_change",
        "external_user_state_changed_at",
        where="external_user_state_changed_at IS NOT NULL",
    )
    for column in _TEXTS:
        _create(f"ix_users_by_{column}", _folded(column), where=f"{column} IS NOT NULL")


def downgrade() -> None:
    for column in reversed(_TEXTS):
        op.drop_index(f"ix_users_by_{column}", table_name="users")
    for name in ("ix_users_by_state_change", "ix_users_by_creation", "ix_users_in_order"):
        op.drop_index(name, table_name="users")
