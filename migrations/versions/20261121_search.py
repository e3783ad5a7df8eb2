"""The words that one person is found by, beside the people that one word finds."""

from alembic import op

revision = "20261121_search"
down_revision = "20261121_graph"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_user_tokens_of_user", "user_tokens", ["tenant_id", "user_id", "token"])


def downgrade() -> None:
    op.drop_index("ix_user_tokens_of_user", table_name="user_tokens")
