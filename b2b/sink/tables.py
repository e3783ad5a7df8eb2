"""The mail store's tables. Their own metadata: the directory's models know nothing of them.

Written for SQLite first and PostgreSQL alike; migrations/ holds the same shapes step by step.
"""

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    false,
)

SCHEMA = "2026_01_first"
"""The migration these tables correspond to; a test compares it with the migrations' head."""

VERSION_TABLE = "mail_store_version"

FULL_TEXT = "texts_index"
"""The FTS5 index over ``texts``, on SQLite only; PostgreSQL reads ``texts`` itself."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UTCDateTime(TypeDecorator[datetime]):
    """An aware UTC instant; SQLite keeps it naive, so the zone is taken off and put back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


# SQLite's rowid alias must be spelled INTEGER.
_Key = BigInteger().with_variant(Integer(), "sqlite")

# One row. Every writer updates it first, which puts writers in a line on both databases: keys
# become visible in the order they were given, so a reader who remembers the last key misses
# nothing.
mailbox = Table(
    "mailbox",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),
    Column("last_key", BigInteger, nullable=False),
    Column("latest_change", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("unread", BigInteger, nullable=False),
)

# The *_words columns are case-folded for search: SQLite folds ASCII only, PostgreSQL by locale.
messages = Table(
    "messages",
    metadata,
    Column("key", _Key, primary_key=True, autoincrement=False),
    Column("id", String(22), nullable=False, unique=True),
    Column("received_at", UTCDateTime, nullable=False),
    Column("envelope_sender", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("subject", Text, nullable=False),
    Column("addresses", JSON, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("subject_words", Text, nullable=False),
    Column("from_words", Text, nullable=False),
    Column("to_words", Text, nullable=False),
    Column("cc_words", Text, nullable=False),
    Column("snippet", Text, nullable=False),
    Column("attachments", Integer, nullable=False),
    Column("is_read", Boolean, nullable=False),
    Column("is_indexed", Boolean, nullable=False),
)
Index(
    "ix_messages_unread",
    messages.c.key,
    sqlite_where=messages.c.is_read == false(),
    postgresql_where=messages.c.is_read == false(),
)
Index(
    "ix_messages_unindexed",
    messages.c.key,
    sqlite_where=messages.c.is_indexed == false(),
    postgresql_where=messages.c.is_indexed == false(),
)

recipients = Table(
    "recipients",
    metadata,
    Column("message_key", _Key, ForeignKey("messages.key"), primary_key=True, autoincrement=False),
    Column("position", Integer, primary_key=True, autoincrement=False),
    Column("address", Text, nullable=False),
    Column("domain", Text, nullable=False),
)
Index("ix_recipients_address_message_key", recipients.c.address, recipients.c.message_key)
Index("ix_recipients_domain_message_key", recipients.c.domain, recipients.c.message_key)

# Apart from messages, so that listing never reads past large rows.
sources = Table(
    "sources",
    metadata,
    Column("message_key", _Key, ForeignKey("messages.key"), primary_key=True, autoincrement=False),
    Column("packed", LargeBinary, nullable=False),
)

texts = Table(
    "texts",
    metadata,
    Column("message_key", _Key, ForeignKey("messages.key"), primary_key=True, autoincrement=False),
    Column("words", Text, nullable=False),
)
