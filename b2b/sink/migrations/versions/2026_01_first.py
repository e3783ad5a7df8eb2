"""First tables of the mail store."""

import sqlalchemy as sa
from alembic import op

revision = "2026_01_first"
down_revision = None
branch_labels = None
depends_on = None

_Key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    mailbox = op.create_table(
        "mailbox",
        sa.Column("one", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last_key", sa.BigInteger(), nullable=False),
        sa.Column("latest_change", sa.BigInteger(), nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("unread", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("one", name="pk_mailbox"),
    )
    op.bulk_insert(
        mailbox, [{"one": 1, "last_key": 0, "latest_change": 0, "total": 0, "unread": 0}]
    )
    op.create_table(
        "messages",
        sa.Column("key", _Key, autoincrement=False, nullable=False),
        sa.Column("id", sa.String(22), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("envelope_sender", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("addresses", sa.JSON(), nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("subject_words", sa.Text(), nullable=False),
        sa.Column("from_words", sa.Text(), nullable=False),
        sa.Column("to_words", sa.Text(), nullable=False),
        sa.Column("cc_words", sa.Text(), nullable=False),
        sa.Column("snippet", sa.Text(), nullable=False),
        sa.Column("attachments", sa.Integer(), nullable=False),
        sa.Column("is_read", sa.Boolean(), nullable=False),
        sa.Column("is_indexed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_messages"),
        sa.UniqueConstraint("id", name="uq_messages_id"),
    )
    for name, flag in (("ix_messages_unread", "is_read"), ("ix_messages_unindexed", "is_indexed")):
        op.create_index(
            name,
            "messages",
            ["key"],
            sqlite_where=sa.column(flag) == sa.false(),
            postgresql_where=sa.column(flag) == sa.false(),
        )
    op.create_table(
        "recipients",
        sa.Column("message_key", _Key, autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("message_key", "position", name="pk_recipients"),
        sa.ForeignKeyConstraint(
            ["message_key"], ["messages.key"], name="fk_recipients_message_key"
        ),
    )
    for name in ("address", "domain"):
        op.create_index(f"ix_recipients_{name}_message_key", "recipients", [name, "message_key"])
    for table, content in (
        ("sources", sa.Column("packed", sa.LargeBinary(), nullable=False)),
        ("texts", sa.Column("words", sa.Text(), nullable=False)),
    ):
        op.create_table(
            table,
            sa.Column("message_key", _Key, autoincrement=False, nullable=False),
            content,
            sa.PrimaryKeyConstraint("message_key", name=f"pk_{table}"),
            sa.ForeignKeyConstraint(
                ["message_key"], ["messages.key"], name=f"fk_{table}_message_key"
            ),
        )
    _create_full_text_index()


def _create_full_text_index() -> None:
    """An index over ``texts`` without a copy. SQLite before 3.34 has no trigrams: it scans."""
    connection = op.get_bind()
    if connection.dialect.name != "sqlite":
        return
    try:
        with connection.begin_nested():
            connection.exec_driver_sql(
                "CREATE VIRTUAL TABLE texts_index USING fts5("
                "words, content='texts', content_rowid='message_key', tokenize='trigram')"
            )
    except sa.exc.OperationalError:
        return


def downgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("DROP TABLE IF EXISTS texts_index")
    for table in ("texts", "sources", "recipients", "messages", "mailbox"):
        op.drop_table(table)
