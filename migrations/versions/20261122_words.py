"""Whole addresses among the search words begin with an @ of their own, so that who looks for the
beginning of a name need not pass over them.
"""

import sqlalchemy as sa
from alembic import op

revision = "20261122_words"
down_revision = "20261122_addresses"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _rewrite("substr('@' || token, 1, 64)", "token LIKE '%@%'")


def downgrade() -> None:
    _rewrite("substr(token, 2)", "token LIKE '@%'")


def _rewrite(token: str, which: str) -> None:
    """Two long addresses may become one word, so rows are gathered before they are put back."""
    either = "bool_or(in_name)" if op.get_bind().dialect.name == "postgresql" else "max(in_name)"
    for statement in (
        f"CREATE TEMPORARY TABLE rewritten AS SELECT tenant_id, {token} AS token, user_id,"
        f" {either} AS in_name FROM user_tokens WHERE {which} GROUP BY tenant_id, {token}, user_id",
        f"DELETE FROM user_tokens WHERE {which}",
        "INSERT INTO user_tokens (tenant_id, token, user_id, in_name)"
        " SELECT tenant_id, token, user_id, in_name FROM rewritten",
    ):
        op.execute(sa.text(statement))
    op.drop_table("rewritten")
