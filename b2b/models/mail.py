"""The outbox: mail that is owed. Rows hold a template's name and ids, never a body and never a
link.
"""

import enum
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from b2b.models.base import Base, Id, UTCDateTime, enum_type


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
        Index("ix_outbox_due", "due_at",
              sqlite_where=text("state = 'queued'"), postgresql_where=text("state = 'queued'")),
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
