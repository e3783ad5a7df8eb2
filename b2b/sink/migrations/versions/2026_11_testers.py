"""What testers work with: tags, conversations, refused mail, faults, webhooks, a trash.

The texts are read anew after this, by the sink in the background: what a full reading finds has
grown.
"""

import sqlalchemy as sa
from alembic import op

revision = "2026_11_testers"
down_revision = "2026_01_first"
branch_labels = None
depends_on = None

_Key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_AN_INSTANT = sa.DateTime(timezone=True)
_NEW_SUMS = (
    "bytes",
    "bytes_ever",
    "refused_ever",
    "deleted_ever",
    "faults_version",
    "faults_obeyed",
)
_NEW_TEXTS = ("bcc_words", "reply_to_words", "username", "thread", "sender_address")


def _required(name: str, kind: object) -> sa.Column[object]:
    return sa.Column(name, kind, nullable=False)  # type: ignore[arg-type]


def upgrade() -> None:
    for name in _NEW_SUMS:
        op.add_column(
            "mailbox", sa.Column(name, sa.BigInteger(), nullable=False, server_default="0")
        )
    for name in _NEW_TEXTS:
        op.add_column("messages", sa.Column(name, sa.Text(), nullable=False, server_default=""))
    op.add_column(
        "messages", sa.Column("inline_parts", sa.Integer(), nullable=False, server_default="0")
    )
    op.add_column("sources", sa.Column("conversation", sa.Text()))
    for name in ("thread", "sender_address"):
        op.create_index(
            f"ix_messages_{name}_key",
            "messages",
            [name, "key"],
            sqlite_where=sa.column(name) != "",
            postgresql_where=sa.column(name) != "",
        )
    _create_tags()
    _create_lists()
    _create_webhooks()
    _create_trash()
    _create_trigrams()
    _sum_up_and_read_anew()


def _create_tags() -> None:
    op.create_table(
        "tags",
        _required("id", _Key),
        _required("name", sa.String(100)),
        _required("folded", sa.String(200)),
        sa.PrimaryKeyConstraint("id", name="pk_tags"),
        sa.UniqueConstraint("folded", name="uq_tags_folded"),
    )
    op.create_table(
        "message_tags",
        sa.Column("message_key", _Key, autoincrement=False, nullable=False),
        sa.Column("tag_id", _Key, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("message_key", "tag_id", name="pk_message_tags"),
        sa.ForeignKeyConstraint(
            ["message_key"], ["messages.key"], name="fk_message_tags_message_key"
        ),
        sa.ForeignKeyConstraint(["tag_id"], ["tags.id"], name="fk_message_tags_tag_id"),
    )
    op.create_index("ix_message_tags_tag_id_message_key", "message_tags", ["tag_id", "message_key"])


def _create_lists() -> None:
    op.create_table(
        "mail_changes",
        _required("number", _Key),
        _required("kind", sa.String(10)),
        sa.Column("message_id", sa.String(22)),
        sa.PrimaryKeyConstraint("number", name="pk_mail_changes"),
    )
    op.create_table(
        "refusals",
        _required("id", _Key),
        _required("refused_at", _AN_INSTANT),
        _required("stage", sa.String(10)),
        _required("reply", sa.Text()),
        _required("sender", sa.Text()),
        _required("recipients", sa.JSON()),
        _required("subject", sa.Text()),
        _required("size", sa.BigInteger()),
        sa.Column("packed", sa.LargeBinary()),
        _required("conversation", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_refusals"),
    )
    op.create_table(
        "smtp_faults",
        _required("id", _Key),
        _required("origin", sa.String(10)),
        _required("stage", sa.String(10)),
        _required("action", sa.String(10)),
        _required("sender", sa.Text()),
        _required("recipient", sa.Text()),
        _required("percent", sa.Integer()),
        _required("code", sa.Integer()),
        _required("words", sa.Text()),
        _required("milliseconds", sa.Integer()),
        _required("bytes_per_second", sa.Integer()),
        _required("created_at", _AN_INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_smtp_faults"),
    )
    op.create_table(
        "mailboxes",
        _required("name", sa.String(100)),
        _required("query", sa.Text()),
        _required("created_at", _AN_INSTANT),
        sa.PrimaryKeyConstraint("name", name="pk_mailboxes"),
    )


def _create_webhooks() -> None:
    op.create_table(
        "webhooks",
        _required("id", sa.String(22)),
        _required("url", sa.Text()),
        _required("secret", sa.Text()),
        _required("events", sa.JSON()),
        _required("query", sa.Text()),
        _required("state", sa.String(10)),
        _required("since_key", sa.BigInteger()),
        _required("since_change", sa.BigInteger()),
        _required("created_at", _AN_INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_webhooks"),
    )
    op.create_table(
        "webhook_deliveries",
        _required("id", _Key),
        _required("webhook_id", sa.String(22)),
        _required("event", sa.String(30)),
        sa.Column("message_id", sa.String(22)),
        _required("body", sa.Text()),
        _required("state", sa.String(10)),
        _required("attempts", sa.Integer()),
        _required("due_at", _AN_INSTANT),
        sa.Column("last_status", sa.Integer()),
        _required("last_error", sa.Text()),
        _required("created_at", _AN_INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_deliveries"),
        sa.ForeignKeyConstraint(
            ["webhook_id"], ["webhooks.id"], name="fk_webhook_deliveries_webhook_id"
        ),
    )
    op.create_index(
        "ix_webhook_deliveries_due_at",
        "webhook_deliveries",
        ["due_at"],
        sqlite_where=sa.column("state") == sa.literal_column("'waiting'"),
        postgresql_where=sa.column("state") == sa.literal_column("'waiting'"),
    )
    op.create_index(
        "ix_webhook_deliveries_webhook_id_id", "webhook_deliveries", ["webhook_id", "id"]
    )


def _create_trash() -> None:
    op.create_table(
        "trash",
        sa.Column("key", _Key, autoincrement=False, nullable=False),
        _required("id", sa.String(22)),
        _required("deleted_at", _AN_INSTANT),
        _required("received_at", _AN_INSTANT),
        _required("envelope_sender", sa.Text()),
        _required("recipients", sa.JSON()),
        _required("username", sa.Text()),
        _required("tags", sa.JSON()),
        _required("is_read", sa.Boolean()),
        _required("packed", sa.LargeBinary()),
        sa.Column("conversation", sa.Text()),
        sa.PrimaryKeyConstraint("key", name="pk_trash"),
        sa.UniqueConstraint("id", name="uq_trash_id"),
    )
    op.create_index("ix_trash_deleted_at", "trash", ["deleted_at"])


def _create_trigrams() -> None:
    """What FTS5 is on SQLite. Where PostgreSQL lacks the extension, it scans."""
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    try:
        with connection.begin_nested():
            connection.exec_driver_sql("CREATE EXTENSION IF NOT EXISTS pg_trgm")
            connection.exec_driver_sql(
                "CREATE INDEX ix_texts_words_trigrams ON texts USING gin (words gin_trgm_ops)"
            )
    except sa.exc.DBAPIError:
        return


def _sum_up_and_read_anew() -> None:
    connection = op.get_bind()
    connection.exec_driver_sql(
        "UPDATE mailbox SET bytes = (SELECT coalesce(sum(size), 0) FROM messages)"
    )
    connection.exec_driver_sql("UPDATE mailbox SET bytes_ever = bytes")
    if sa.inspect(connection).has_table("texts_index"):
        connection.exec_driver_sql("INSERT INTO texts_index (texts_index) VALUES ('delete-all')")
    connection.exec_driver_sql("DELETE FROM texts")
    connection.exec_driver_sql("UPDATE messages SET is_indexed = false WHERE is_indexed")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP INDEX IF EXISTS ix_texts_words_trigrams")
    for table in (
        "trash",
        "webhook_deliveries",
        "webhooks",
        "mailboxes",
        "smtp_faults",
        "refusals",
        "mail_changes",
        "message_tags",
        "tags",
    ):
        op.drop_table(table)
    for name in ("thread", "sender_address"):
        op.drop_index(f"ix_messages_{name}_key", "messages")
    op.drop_column("sources", "conversation")
    op.drop_column("messages", "inline_parts")
    for name in _NEW_TEXTS:
        op.drop_column("messages", name)
    for name in _NEW_SUMS:
        op.drop_column("mailbox", name)
