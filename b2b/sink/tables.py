"""The mail store's tables. Their own metadata: the directory's models know nothing of them.

Written for SQLite first and PostgreSQL alike; migrations/ holds the same shapes step by step.

Who fills what:

- *On arrival*, before 250: ``messages`` (what the header block gives), ``recipients`` (the
  envelope), ``sources`` (the bytes, packed, and the SMTP conversation), the sums in ``mailbox``.
- *While indexing*, some milliseconds later: ``snippet``, ``attachments``, ``inline_parts``,
  ``thread``, ``sender_address``, ``texts`` with the full-text index, and the automatic tags.
- *Refused mail* goes to ``refusals``, which nothing else refers to.
- *Deleted mail* may rest in ``trash`` for a while, whole, so that it can come back under its id.
- ``smtp_faults``, ``mailboxes``, ``webhooks`` and ``webhook_deliveries`` are written by pages and
  the API; the sink reads the first only.
- ``mail_changes`` tells what happened to mails that had arrived already; arrivals are found by key.
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

SCHEMA = "2026_11_testers"
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
    # Octets of all sources that are here, before packing: what the limit on size counts.
    Column("bytes", BigInteger, nullable=False, server_default="0"),
    # Ever, whatever was deleted since. last_key is the number of mails ever kept.
    Column("bytes_ever", BigInteger, nullable=False, server_default="0"),
    Column("refused_ever", BigInteger, nullable=False, server_default="0"),
    Column("deleted_ever", BigInteger, nullable=False, server_default="0"),
    # Who changes smtp_faults raises the first; a running sink sets the other once it obeys.
    Column("faults_version", BigInteger, nullable=False, server_default="0"),
    Column("faults_obeyed", BigInteger, nullable=False, server_default="0"),
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
    Column("bcc_words", Text, nullable=False, server_default=""),
    Column("reply_to_words", Text, nullable=False, server_default=""),
    # Who signed in to send it, or empty.
    Column("username", Text, nullable=False, server_default=""),
    # Files apart from what belongs to the HTML are counted in attachments, the latter here.
    Column("inline_parts", Integer, nullable=False, server_default="0"),
    # The Message-ID that begins the conversation: first of References, else In-Reply-To, else own.
    Column("thread", Text, nullable=False, server_default=""),
    # Of the From header, lower-cased: with recipients.address it finds all mail of one person.
    Column("sender_address", Text, nullable=False, server_default=""),
)
# Both are filled while indexing, so that an arrival pays for neither.
for _name in ("thread", "sender_address"):
    Index(
        f"ix_messages_{_name}_key",
        messages.c[_name],
        messages.c.key,
        sqlite_where=messages.c[_name] != "",
        postgresql_where=messages.c[_name] != "",
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
    # Lines that begin with "S: " or "C: ", passwords left out; NULL for mail that came otherwise.
    Column("conversation", Text),
)

texts = Table(
    "texts",
    metadata,
    Column("message_key", _Key, ForeignKey("messages.key"), primary_key=True, autoincrement=False),
    Column("words", Text, nullable=False),
)

# Identity is folded (letter case aside); name is what is shown. See tagging.clean_name.
tags = Table(
    "tags",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("name", String(100), nullable=False),
    Column("folded", String(200), nullable=False, unique=True),
)

message_tags = Table(
    "message_tags",
    metadata,
    Column("message_key", _Key, ForeignKey("messages.key"), primary_key=True, autoincrement=False),
    Column("tag_id", _Key, ForeignKey("tags.id"), primary_key=True, autoincrement=False),
)
Index("ix_message_tags_tag_id_message_key", message_tags.c.tag_id, message_tags.c.message_key)

# What happened to mails already there. kind: read, unread, tags, deleted or restored with the id of
# one mail; many (reload the list) and all (everything deleted) without. The newest thousand rows.
mail_changes = Table(
    "mail_changes",
    metadata,
    Column("number", _Key, primary_key=True),
    Column("kind", String(10), nullable=False),
    Column("message_id", String(22)),
)

# Mail that was not taken, newest 200. stage: mail, rcpt, data or content; packed is the source, cut
# after 64 KiB, and NULL where nothing was sent. recipients is a JSON list of addresses.
refusals = Table(
    "refusals",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("refused_at", UTCDateTime, nullable=False),
    Column("stage", String(10), nullable=False),
    Column("reply", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("recipients", JSON, nullable=False),
    Column("subject", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("packed", LargeBinary),
    Column("conversation", Text, nullable=False),
)

# Faults on purpose; the first rule that matches wins, by id. See faults.Rule for every column.
smtp_faults = Table(
    "smtp_faults",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("origin", String(10), nullable=False),
    Column("stage", String(10), nullable=False),
    Column("action", String(10), nullable=False),
    Column("sender", Text, nullable=False),
    Column("recipient", Text, nullable=False),
    Column("percent", Integer, nullable=False),
    Column("code", Integer, nullable=False),
    Column("words", Text, nullable=False),
    Column("milliseconds", Integer, nullable=False),
    Column("bytes_per_second", Integer, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
)

# A named search, such as one per test run; query is in the inbox's language (see search).
mailboxes = Table(
    "mailboxes",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("query", Text, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
)

# events is a JSON list of names; query (may be empty) narrows them. secret is sealed by the edge
# that made it. since_key is the last mail that was turned into deliveries, since_change the last of
# mail_changes. state: active, paused, failing.
webhooks = Table(
    "webhooks",
    metadata,
    Column("id", String(22), primary_key=True),
    Column("url", Text, nullable=False),
    Column("secret", Text, nullable=False),
    Column("events", JSON, nullable=False),
    Column("query", Text, nullable=False),
    Column("state", String(10), nullable=False),
    Column("since_key", BigInteger, nullable=False),
    Column("since_change", BigInteger, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
)

# state: waiting, sent, failed. body is the JSON text that is signed and sent, the same each time.
webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("webhook_id", String(22), ForeignKey("webhooks.id"), nullable=False),
    Column("event", String(30), nullable=False),
    Column("message_id", String(22)),
    Column("body", Text, nullable=False),
    Column("state", String(10), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_at", UTCDateTime, nullable=False),
    Column("last_status", Integer),
    Column("last_error", Text, nullable=False),
    Column("created_at", UTCDateTime, nullable=False),
)
Index(
    "ix_webhook_deliveries_due_at",
    webhook_deliveries.c.due_at,
    sqlite_where=webhook_deliveries.c.state == "waiting",
    postgresql_where=webhook_deliveries.c.state == "waiting",
)
Index(
    "ix_webhook_deliveries_webhook_id_id",
    webhook_deliveries.c.webhook_id,
    webhook_deliveries.c.id,
)

# Deleted mail that can still come back: the row of messages and what hung on it.
trash = Table(
    "trash",
    metadata,
    Column("key", _Key, primary_key=True, autoincrement=False),
    Column("id", String(22), nullable=False, unique=True),
    Column("deleted_at", UTCDateTime, nullable=False),
    Column("received_at", UTCDateTime, nullable=False),
    Column("envelope_sender", Text, nullable=False),
    Column("recipients", JSON, nullable=False),
    Column("username", Text, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("is_read", Boolean, nullable=False),
    Column("packed", LargeBinary, nullable=False),
    Column("conversation", Text),
)
Index("ix_trash_deleted_at", trash.c.deleted_at)
