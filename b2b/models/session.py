"""What a browser holds between two clicks, and the short-lived secrets on the way in. All
hashed.
"""

import enum
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from b2b.models.base import Base, Id, UTCDateTime, enum_type
from b2b.models.user import Provider


class Session(Base):
    """A signed-in browser. Found by the hash of its opaque cookie, before any tenant is known.

    It belongs to a proven identity; `tenant_id` and `user_id` say where that identity acts now, and
    are empty while a guest has proven who he is and has not accepted yet.
    """

    __tablename__ = "sessions"
    __table_args__ = (
        Index("ix_sessions_of_user", "tenant_id", "user_id"),
        Index("ix_sessions_of_identity", "issuer", "subject"),
        Index("ix_sessions_by_expiry", "expires_at"),
    )

    id_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    id: Mapped[UUID] = mapped_column(Id)
    """Names the session in lists and logs; opens nothing."""
    provider: Mapped[Provider | None] = mapped_column(enum_type(Provider))
    issuer: Mapped[str] = mapped_column(String(512))
    subject: Mapped[str] = mapped_column(String(320))
    label: Mapped[str] = mapped_column(String(320))
    proven: Mapped[list[str]] = mapped_column(JSON, default=list)
    """Folded addresses that this sign-in has proven."""
    profile: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    """display_name, given_name, surname, preferred_language as the sign-in stated them."""
    home_tenant_id: Mapped[UUID | None] = mapped_column(Id)
    home_user_id: Mapped[UUID | None] = mapped_column(Id)
    tenant_id: Mapped[UUID | None] = mapped_column(Id)
    user_id: Mapped[UUID | None] = mapped_column(Id)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    signed_in_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When the person proved who he is: another organisation begins a new session and no new
    sign-in.
    """
    seen_at: Mapped[datetime] = mapped_column(UTCDateTime)
    expires_at: Mapped[datetime] = mapped_column(UTCDateTime)
    idle_seconds: Mapped[int | None]
    """None: no idle limit (guests have an absolute one instead)."""
    ip_address: Mapped[str | None] = mapped_column(String(45))
    user_agent: Mapped[str | None] = mapped_column(String(256))


class SessionApplication(Base):
    """An application that a browser's session signed in to and that wants to hear of its end."""

    __tablename__ = "session_applications"
    __table_args__ = (Index("ix_session_applications_by_time", "at"),)

    session_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    tenant_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    app_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    at: Mapped[datetime] = mapped_column(UTCDateTime)
    """Of the last sign-in."""


class PasscodePurpose(enum.StrEnum):
    """What a mailed code may be used for; one is never good for the other."""

    REDEEM = "redeem"
    SIGN_IN = "sign_in"
    MAIL = "mail"
    """Seeing and changing which organisations may send invitations to the address."""


class Passcode(Base):
    """A mailed code: bound to browser, address and purpose (threats.md, SIGN-3)."""

    __tablename__ = "passcodes"
    __table_args__ = (Index("ix_passcodes_by_expiry", "expires_at"),)

    browser_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    address_key: Mapped[str] = mapped_column(String(320), primary_key=True)
    purpose: Mapped[str] = mapped_column(String(64), primary_key=True)
    """The purpose, and for redemption the invitation's id behind a colon."""
    nonce: Mapped[bytes] = mapped_column(LargeBinary(16))
    """The code is derived from this and a key outside the database; neither alone tells it."""
    key_id: Mapped[str] = mapped_column(String(16))
    tries_left: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    expires_at: Mapped[datetime] = mapped_column(UTCDateTime)


class Attempts(Base):
    """How often something was tried: exact, in the database, so that a restart forgets nothing."""

    __tablename__ = "attempts"
    __table_args__ = (Index("ix_attempts_by_expiry", "expires_at"),)

    key: Mapped[str] = mapped_column(String(400), primary_key=True)
    count: Mapped[int]
    level: Mapped[int]
    """How many times it was blocked already: each block lasts twice as long as the one before."""
    since: Mapped[datetime] = mapped_column(UTCDateTime)
    blocked_until: Mapped[datetime | None] = mapped_column(UTCDateTime)
    expires_at: Mapped[datetime] = mapped_column(UTCDateTime)


class SetupLink(Base):
    """A one-time link by which the first admin of a tenant sets a password (threats.md, BOOT-1)."""

    __tablename__ = "setup_links"

    secret_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    tenant_id: Mapped[UUID] = mapped_column(Id)
    user_id: Mapped[UUID] = mapped_column(Id)
    expires_at: Mapped[datetime] = mapped_column(UTCDateTime)
    used_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
