"""The outbox: mail that is owed. Rows hold a template's name and ids, never a body and never a
link.
"""

import enum
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, ForeignKeyConstraint, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from b2b.models.base import Base, Id, UTCDateTime, enum_type, key_type


class MailState(enum.StrEnum):
    """States shown to people (threats.md, 5). Never "delivered": acceptance is all that SMTP
    tells.
    """

    QUEUED = "queued"
    SENT = "sent"
    FAILED = "failed"
    CANCELLED = "cancelled"


class OutboxMessage(Base):
    """One mail to one recipient. A lease is a `due_at` in the future together with a fence
    number.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        # The tenant leads, so that each has its turn; created_at tells the age of the oldest.
        Index("ix_outbox_by_turn", "tenant_id", "due_at", "created_at",
              sqlite_where=text("state = 'queued'"), postgresql_where=text("state = 'queued'")),
        Index("ix_outbox_failed", "tenant_id", "id",
              sqlite_where=text("state = 'failed'"), postgresql_where=text("state = 'failed'")),
        Index("ix_outbox_by_subject", "tenant_id", "about_id", "id"),
        {"sqlite_with_rowid": False},
    )  # fmt: skip

    tenant_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    template: Mapped[str] = mapped_column(String(64))
    recipient: Mapped[str] = mapped_column(String(320))
    about_id: Mapped[UUID | None] = mapped_column(Id)
    """What the mail is about: an invitation's id, for instance."""
    context: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    language: Mapped[str | None] = mapped_column(String(16))
    message_id: Mapped[str] = mapped_column(String(255))
    """Stays the same over every attempt, so that a receiver can tell a twin."""
    state: Mapped[MailState] = mapped_column(enum_type(MailState, 16), default=MailState.QUEUED)
    attempts: Mapped[int] = mapped_column(default=0)
    crashes: Mapped[int] = mapped_column(default=0)
    """How many attempts in a row never came to an end."""
    fence: Mapped[int] = mapped_column(default=0)
    """Rises with every lease; only the holder of the present number may settle the row."""
    lease_owner: Mapped[str | None] = mapped_column(String(64))
    due_at: Mapped[datetime] = mapped_column(UTCDateTime)
    last_error: Mapped[str | None] = mapped_column(String(512))
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    settled_at: Mapped[datetime | None] = mapped_column(UTCDateTime)


EVERYWHERE = UUID(int=0)
"""The pause of all tenants' mail: the mail server itself refuses us."""


class MailPause(Base):
    """Mail that waits because somebody, or the mail server, said so."""

    __tablename__ = "mail_pauses"
    __table_args__ = ({"sqlite_with_rowid": False},)

    tenant_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    """The tenant whose mail waits; EVERYWHERE is everybody's."""
    reason: Mapped[str | None] = mapped_column(String(512))
    """The server's words, or what an admin typed."""
    paused_by: Mapped[str | None] = mapped_column(String(256))
    """Who; None when the worker did."""
    paused_at: Mapped[datetime] = mapped_column(UTCDateTime)
    again_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When the worker tries once more by itself; None waits for an admin."""
    refused: Mapped[bool] = mapped_column(default=False)
    """The mail server wants nothing from us, rather than being out of reach for a while."""


class MailRefusal(Base):
    """Somebody who wants no more invitations from a tenant (mail.md, section 5)."""

    __tablename__ = "mail_refusals"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
        # Which organisations an address has blocked: its owner's list crosses tenants.
        Index("ix_mail_refusals_of_address", "address_key"),
        {"sqlite_with_rowid": False},
    )

    tenant_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    address_key: Mapped[str] = mapped_column(key_type(320), primary_key=True)
    refused_at: Mapped[datetime] = mapped_column(UTCDateTime)
