"""What the authorize and token endpoints keep: signing keys, and codes on their way."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, Index, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from b2b.models.base import Base, Id, UTCDateTime


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

    The row outlives its use: the access token names it and is good only while it is there, so that
    whoever uses a code again takes away what the first use was given.
    """

    __tablename__ = "authorization_codes"
    __table_args__ = (Index("ix_authorization_codes_by_expiry", "expires_at"),)

    code_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    tenant_id: Mapped[UUID] = mapped_column(Id)
    user_id: Mapped[UUID] = mapped_column(Id)
    app_id: Mapped[UUID] = mapped_column(Id)
    session_id: Mapped[UUID] = mapped_column(Id)
    redirect_uri: Mapped[str] = mapped_column(String(2048))
    scope: Mapped[str] = mapped_column(String(1024))
    nonce: Mapped[str | None] = mapped_column(String(512))
    code_challenge: Mapped[str | None] = mapped_column(String(128))
    signed_in_at: Mapped[datetime] = mapped_column(UTCDateTime)
    redeemed_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    expires_at: Mapped[datetime] = mapped_column(UTCDateTime)
    """Until it is redeemed the end of the code, afterwards of what was issued for it."""
