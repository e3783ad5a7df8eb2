"""Pictures: a tenant's logos and people's photographs, small and already checked."""

import enum
from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from b2b.models.base import Base, Id, UTCDateTime, enum_type


class PictureKind(enum.StrEnum):
    """What a picture shows; its owner is the tenant, or the person for a photograph."""

    BANNER_LOGO = "bannerLogo"
    SQUARE_LOGO = "squareLogo"
    PHOTO = "photo"


class Picture(Base):
    """One picture, made anew from what was uploaded, so that nothing hides in it."""

    __tablename__ = "pictures"
    __table_args__ = (ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),)

    tenant_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    owner_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    kind: Mapped[PictureKind] = mapped_column(enum_type(PictureKind, 16), primary_key=True)
    media_type: Mapped[str] = mapped_column(String(32))
    data: Mapped[bytes] = mapped_column(LargeBinary)
    digest: Mapped[str] = mapped_column(String(64))
    """SHA-256 in hex: names the picture in addresses and letters."""
    width: Mapped[int]
    height: Mapped[int]
    changed_at: Mapped[datetime] = mapped_column(UTCDateTime)
