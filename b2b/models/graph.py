"""What the interface for programs remembers: requests that made something."""

import enum
from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, LargeBinary
from sqlalchemy.orm import Mapped, mapped_column

from b2b.models.base import Base, Id, UTCDateTime, enum_type


class Made(enum.StrEnum):
    """What a request can make that is not made twice."""

    INVITATION = "invitation"
    USER = "user"
    GROUP = "group"


class CreationRequest(Base):
    """A request that made something: sent again, it is answered with the same thing (decisions.md,
    idempotency). What is kept are ids, never an answer.
    """

    __tablename__ = "creation_requests"
    __table_args__ = (Index("ix_creation_requests_by_expiry", "expires_at"),)

    key_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    """SHA-256 over client, person, method, path and the client's own id for the request."""
    tenant_id: Mapped[UUID] = mapped_column(Id)
    body_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    made: Mapped[Made] = mapped_column(enum_type(Made, 16))
    made_id: Mapped[UUID] = mapped_column(Id)
    expires_at: Mapped[datetime] = mapped_column(UTCDateTime)
