"""Pictures that people upload: decoded within limits and made anew, so that nothing hides in them.

What is kept is small enough for a letter: a mail with banner and photograph stays below 100 KB.
"""

import hashlib
import io
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from PIL import Image, ImageOps
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from b2b.errors import N_, Invalid
from b2b.models import Picture, PictureKind

MOST_BYTES = 1024 * 1024
"""Of an upload."""
_MOST_PIXELS = 12_000_000
"""What a decoder may unfold: 48 MB for a moment (a picture of 1 MiB can claim far more)."""
_LONGEST_SIDE = 10_000
_FORMATS = ("PNG", "JPEG")


@dataclass(frozen=True)
class _Shape:
    width: int
    height: int
    most_bytes: int


_SHAPES = {
    # Twice what a letter shows, 245 × 36, for screens of double density.
    PictureKind.BANNER_LOGO: _Shape(490, 72, 30_000),
    PictureKind.SQUARE_LOGO: _Shape(240, 240, 30_000),
    PictureKind.PHOTO: _Shape(240, 240, 15_000),
}


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
    if len(uploaded) > MOST_BYTES:
        raise Invalid(field, N_("The picture is larger than 1 MiB."))
    if not uploaded:
        raise Invalid(field, N_("This file is empty."))
    try:
        picture = _decoded(field, uploaded)
    except Invalid:
        raise
    except Exception as error:
        # Decoders fail in many ways on what was made to break them; all mean the same to a reader.
        raise Invalid(field, N_("This file is not a PNG or JPEG picture.")) from error
    shape = _SHAPES[kind]
    size = (shape.width, shape.height)
    if kind is PictureKind.PHOTO:
        picture = ImageOps.fit(picture, size)
    else:
        picture.thumbnail(size)
        if kind is PictureKind.SQUARE_LOGO and picture.width != picture.height:
            side = max(picture.size)
            picture = ImageOps.pad(picture.convert("RGBA"), (side, side), color=(0, 0, 0, 0))
    media_type, data = _encoded(picture, kind, shape.most_bytes)
    width, height = picture.size
    return Made(kind, media_type, data, hashlib.sha256(data).hexdigest(), width, height)


def _decoded(field: str, uploaded: bytes) -> Image.Image:
    """The pixels, upright, as RGB or RGBA."""
    with Image.open(io.BytesIO(uploaded), formats=_FORMATS) as opened:
        # Only the head has been read so far.
        width, height = opened.size
        if width * height > _MOST_PIXELS or max(width, height) > _LONGEST_SIDE:
            raise Invalid(
                field,
                N_("The picture measures %(width)s × %(height)s points, which is too many."),
                width=width,
                height=height,
            )
        opened.load()
        upright = ImageOps.exif_transpose(opened)
        return upright.convert("RGBA" if upright.has_transparency_data else "RGB")


def _encoded(picture: Image.Image, kind: PictureKind, most_bytes: int) -> tuple[str, bytes]:
    """The first way of writing *picture* down that is small enough, the finest first."""
    if kind is not PictureKind.PHOTO:
        exact = _with_palette(picture) or picture
        for candidate in (exact, picture.quantize(256, method=Image.Quantize.FASTOCTREE)):
            data = _bytes(candidate, "PNG", optimize=True)
            if len(data) <= most_bytes:
                return "image/png", data
    opaque = _on_white(picture)
    for quality in (85, 75, 60, 45, 30, 10):
        data = _bytes(opaque, "JPEG", quality=quality, optimize=True)
        if len(data) <= most_bytes:
            break
    return "image/jpeg", data


def _with_palette(picture: Image.Image) -> Image.Image | None:
    """The same pixels as numbers of a palette, which takes half the room and less; None with more
    than 256 colours. Logos are drawings, and every letter carries one.
    """
    if picture.getcolors(256) is None:
        return None
    raw, step = picture.tobytes(), len(picture.getbands())
    pixels = [raw[at : at + step] for at in range(0, len(raw), step)]
    numbers = {colour: number for number, colour in enumerate(dict.fromkeys(pixels))}
    indexed = Image.frombytes("P", picture.size, bytes([numbers[pixel] for pixel in pixels]))
    indexed.putpalette(b"".join(numbers), picture.mode)
    return indexed


def _on_white(picture: Image.Image) -> Image.Image:
    if picture.mode != "RGBA":
        return picture
    paper = Image.new("RGB", picture.size, (255, 255, 255))
    paper.paste(picture, mask=picture.getchannel("A"))
    return paper


def _bytes(picture: Image.Image, file_format: str, **options: int | bool) -> bytes:
    out = io.BytesIO()
    # A fresh picture, so that no profile, comment or text of the upload is written along.
    clean = picture.copy()
    clean.info = {}
    clean.save(out, file_format, **options)
    return out.getvalue()


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
