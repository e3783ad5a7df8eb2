"""An invitation: one row for each guest object; sending it again raises its version."""

import enum
from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from b2b.models.base import Base, Id, UTCDateTime, enum_type, key_type


class InvitationStanding(enum.StrEnum):
    """What has become of an invitation; an open one is pending or expired, which time tells."""

    OPEN = "open"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    CANCELLED = "cancelled"


class Invitation(Base):
    """Who was asked in, by whom and where to.

    The link's secret is derived when needed (b2b.keys); here lie only its SHA-256, its version and
    the id of the key it was derived from.
    """

    __tablename__ = "invitations"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "user_id"], ["users.tenant_id", "users.id"],
                             ondelete="CASCADE"),
        Index("uq_invitations_tenant_id_user_id", "tenant_id", "user_id", unique=True),
        Index("ix_invitations_by_standing", "tenant_id", "standing", "valid_from", "id"),
        Index("ix_invitations_by_inviter", "tenant_id", "inviter_id", "valid_from", "id"),
        Index("ix_invitations_by_domain", "tenant_id", "domain", "valid_from", "id"),
        {"sqlite_with_rowid": False},
    )  # fmt: skip

    tenant_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Id)
    invited_address: Mapped[str] = mapped_column(String(320))
    domain: Mapped[str] = mapped_column(key_type(253))
    """Of the invited address, as A-labels."""
    invited_display_name: Mapped[str | None] = mapped_column(String(256))
    redirect_url: Mapped[str] = mapped_column(String(2048))
    message: Mapped[str | None] = mapped_column(String(2000))
    language: Mapped[str | None] = mapped_column(String(16))
    send_message: Mapped[bool]
    cc_name: Mapped[str | None] = mapped_column(String(256))
    cc_address: Mapped[str | None] = mapped_column(String(320))
    inviter_id: Mapped[UUID | None] = mapped_column(Id)
    inviter_name: Mapped[str] = mapped_column(String(256))
    inviter_mail: Mapped[str | None] = mapped_column(String(320))
    version: Mapped[int]
    ticket_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    key_id: Mapped[str] = mapped_column(String(16))
    outbox_id: Mapped[UUID | None] = mapped_column(Id)
    """The newest mail for it; None when the link was only made."""
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    sent_at: Mapped[datetime] = mapped_column(UTCDateTime)
    """When this version was made."""
    valid_from: Mapped[datetime] = mapped_column(UTCDateTime)
    """Expiry counts from here: when this version was made, or extended."""
    standing: Mapped[InvitationStanding] = mapped_column(enum_type(InvitationStanding, 16))
    """Folds the three times below for listing; expiry is computed, never stored."""
    opened_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    signed_in_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    accepted_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    declined_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    cancelled_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
