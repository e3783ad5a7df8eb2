"""Pictures that people upload, made anew by `drawing`, and where they are kept."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from b2b.errors import N_, Invalid
from b2b.models import Picture, PictureKind

MOST_BYTES = 1024 * 1024
"""Of an upload."""


@dataclass(frozen=True)
class Made:
    """A picture made anew: what is stored and served."""

    kind: PictureKind
    media_type: str
    data: bytes
    digest: str
    """SHA-256 in hex."""
    width: int
    height: int

    def row(self, tenant_id: UUID, owner_id: UUID, now: datetime) -> Picture:
        """As the database keeps it."""
        return Picture(
            tenant_id=tenant_id,
            owner_id=owner_id,
            kind=self.kind,
            media_type=self.media_type,
            data=self.data,
            digest=self.digest,
            width=self.width,
            height=self.height,
            changed_at=now,
        )


def make(field: str, kind: PictureKind, uploaded: bytes) -> Made:
    """Make the picture of *kind* from an upload: scaled, without metadata, PNG or JPEG.

    The banner keeps its proportions within 490 × 72; the square logo is fitted into a square, a
    photograph is cut to one. Raises Invalid(*field*) for anything but a whole PNG or JPEG picture
    within the limits, whatever its name and type say.
    """
    # Loaded by the first upload: it costs a start a twentieth of its time.
    from b2b.services import drawing

    if len(uploaded) > MOST_BYTES:
        raise Invalid(field, N_("The picture is larger than 1 MiB."))
    if not uploaded:
        raise Invalid(field, N_("This file is empty."))
    try:
        drawn = drawing.draw(kind, uploaded)
    except drawing.TooLarge as error:
        raise Invalid(
            field,
            N_("The picture measures %(width)s × %(height)s points, which is too many."),
            width=error.width,
            height=error.height,
        ) from error
    except Exception as error:
        # Decoders fail in many ways on what was made to break them; all mean the same to a reader.
        raise Invalid(field, N_("This file is not a PNG or JPEG picture.")) from error
    digest = hashlib.sha256(drawn.data).hexdigest()
    return Made(kind, drawn.media_type, drawn.data, digest, drawn.width, drawn.height)


def put(session: Session, tenant_id: UUID, owner_id: UUID, made: Made, now: datetime) -> None:
    """Keep *made* as its owner's picture of that kind, in place of the one before."""
    session.merge(made.row(tenant_id, owner_id, now))
    session.flush()


def remove(session: Session, tenant_id: UUID, owner_id: UUID, kind: PictureKind) -> None:
    """Forget a picture, if there is one."""
    session.execute(
        delete(Picture).where(
            Picture.tenant_id == tenant_id, Picture.owner_id == owner_id, Picture.kind == kind
        )
    )


def find(session: Session, tenant_id: UUID, owner_id: UUID, kind: PictureKind) -> Picture | None:
    """Somebody's picture of one kind."""
    return session.get(Picture, (tenant_id, owner_id, kind))


def logo(session: Session, tenant_id: UUID, digest: str) -> Picture | None:
    """A tenant's logo by its name; never anybody's photograph."""
    return session.scalars(
        select(Picture)
        .where(
            Picture.tenant_id == tenant_id,
            Picture.owner_id == tenant_id,
            Picture.kind.in_((PictureKind.BANNER_LOGO, PictureKind.SQUARE_LOGO)),
            Picture.digest == digest,
        )
        .limit(1)
    ).one_or_none()
