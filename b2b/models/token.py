"""What the authorize and token endpoints keep: signing keys, codes on their way, and sign-ins that
tokens hang on.
"""

import enum
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, ForeignKeyConstraint, Index, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from b2b.models.base import Base, Id, UTCDateTime, enum_type


class SigningKey(Base):
    """A key that tokens are signed with. Its private half is encrypted with a key outside the
    database (threats.md, OIDC-6).
    """

    __tablename__ = "signing_keys"

    kid: Mapped[str] = mapped_column(String(64), primary_key=True)
    public_jwk: Mapped[dict[str, Any]] = mapped_column(JSON)
    private_key: Mapped[bytes] = mapped_column(LargeBinary)
    """PKCS #8, sealed by b2b.keys."""
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    signs_from: Mapped[datetime] = mapped_column(UTCDateTime)
    """Published before, so that verifiers know it in time."""
    retired_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """Signs no more; published until its last token is over."""


class AuthorizationCode(Base):
    """A code on its way from browser to program: one use, sixty seconds (threats.md, OIDC-3).

    The row outlives its use and remembers which sign-in it began, so that whoever uses a code again
    takes away what the first use was given.
    """

    __tablename__ = "authorization_codes"
    __table_args__ = (Index("ix_authorization_codes_by_expiry", "expires_at"),)

    code_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    tenant_id: Mapped[UUID] = mapped_column(Id)
    user_id: Mapped[UUID] = mapped_column(Id)
    app_id: Mapped[UUID] = mapped_column(Id)
    session_id: Mapped[UUID] = mapped_column(Id)
    redirect_uri: Mapped[str] = mapped_column(String(2048))
    scope: Mapped[str] = mapped_column(Text)
    nonce: Mapped[str | None] = mapped_column(String(512))
    code_challenge: Mapped[str | None] = mapped_column(String(128))
    signed_in_at: Mapped[datetime] = mapped_column(UTCDateTime)
    redeemed_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    grant_id: Mapped[UUID | None] = mapped_column(Id)
    """The sign-in that it was redeemed for."""
    expires_at: Mapped[datetime] = mapped_column(UTCDateTime)
    """Until it is redeemed the end of the code, afterwards of its memory."""


class SignInGrant(Base):
    """A person's sign-in to an application: every token of it names this row, and is good only
    while it is there (threats.md, OIDC-4: the family).
    """

    __tablename__ = "sign_in_grants"
    __table_args__ = (
        Index("ix_sign_in_grants_of_user", "tenant_id", "user_id"),
        Index("ix_sign_in_grants_of_app", "tenant_id", "app_id"),
        Index("ix_sign_in_grants_by_expiry", "expires_at"),
        {"sqlite_with_rowid": False},
    )

    tenant_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Id)
    app_id: Mapped[UUID] = mapped_column(Id)
    scope: Mapped[str] = mapped_column(Text)
    """What was asked for at first, identity scopes included."""
    session_id: Mapped[UUID | None] = mapped_column(Id)
    """The browser's session that it began in."""
    credential_id: Mapped[UUID | None] = mapped_column(Id)
    """What the application proved itself with; with it the tokens end."""
    is_spa: Mapped[bool] = mapped_column(default=False)
    """Its refresh tokens live a day all in all."""
    signed_in_at: Mapped[datetime] = mapped_column(UTCDateTime)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    expires_at: Mapped[datetime] = mapped_column(UTCDateTime)
    """When the last token of it is over."""


class RefreshToken(Base):
    """A refresh token: used once, and then kept to recognise whoever uses it again (OIDC-4)."""

    __tablename__ = "refresh_tokens"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "grant_id"],
                             ["sign_in_grants.tenant_id", "sign_in_grants.id"],
                             name="fk_refresh_tokens_grant", ondelete="CASCADE"),
        Index("ix_refresh_tokens_of_grant", "tenant_id", "grant_id"),
        Index("ix_refresh_tokens_by_expiry", "expires_at"),
    )  # fmt: skip

    token_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    tenant_id: Mapped[UUID] = mapped_column(Id)
    grant_id: Mapped[UUID] = mapped_column(Id)
    used_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    expires_at: Mapped[datetime] = mapped_column(UTCDateTime)


class DeviceCodeState(enum.StrEnum):
    """How far a sign-in on another device has come."""

    WAITING = "waiting"
    ALLOWED = "allowed"
    DECLINED = "declined"


class DeviceCode(Base):
    """A sign-in on a device without a browser of its own (RFC 8628; threats.md, OIDC-7)."""

    __tablename__ = "device_codes"
    __table_args__ = (
        Index("uq_device_codes_user_code", "user_code_hash", unique=True),
        Index("ix_device_codes_by_expiry", "expires_at"),
    )

    code_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    user_code_hash: Mapped[bytes] = mapped_column(LargeBinary(32))
    named: Mapped[str] = mapped_column(String(253))
    """The tenant as the request named it; `common` is settled by who signs in."""
    app_id: Mapped[UUID] = mapped_column(Id)
    scope: Mapped[str] = mapped_column(Text)
    state: Mapped[DeviceCodeState] = mapped_column(
        enum_type(DeviceCodeState, 16), default=DeviceCodeState.WAITING
    )
    tenant_id: Mapped[UUID | None] = mapped_column(Id)
    user_id: Mapped[UUID | None] = mapped_column(Id)
    session_id: Mapped[UUID | None] = mapped_column(Id)
    signed_in_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    ip_address: Mapped[str | None] = mapped_column(String(45))
    """From where the device asked; shown to the person."""
    polled_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    poll_seconds: Mapped[int] = mapped_column(default=5)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    expires_at: Mapped[datetime] = mapped_column(UTCDateTime)
