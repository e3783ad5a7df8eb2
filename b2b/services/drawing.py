"""Uploads decoded within limits and drawn anew, so that nothing hides in them.

What is kept is small enough for a letter: a mail with banner and photograph stays below 100 KB.
"""

import io
from dataclasses import dataclass

from PIL import Image, ImageOps

from b2b.models import PictureKind

_MOST_PIXELS = 12_000_000
"""What a decoder may unfold: 48 MB for a moment (a picture of 1 MiB can claim far more)."""
_LONGEST_SIDE = 10_000
_FORMATS = ("PNG", "JPEG")


class TooLarge(Exception):
    """A picture with more points than are decoded."""

    def __init__(self, width: int, height: int) -> None:
        super().__init__(f"{width} × {height}")
        self.width = width
        self.height = height


@dataclass(frozen=True)
class Drawn:
    """A picture that was drawn anew."""

    media_type: str
    data: bytes
    width: int
    height: int


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


def draw(kind: PictureKind, uploaded: bytes) -> Drawn:
    """The picture of *kind* from an upload. Raises TooLarge, and whatever the decoders raise for
    what is no whole PNG or JPEG picture.
    """
    picture = _decoded(uploaded)
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
    return Drawn(media_type, data, width, height)


def _decoded(uploaded: bytes) -> Image.Image:
    """The pixels, upright, as RGB or RGBA."""
    with Image.open(io.BytesIO(uploaded), formats=_FORMATS) as opened:
        # Only the head has been read so far.
        width, height = opened.size
        if width * height > _MOST_PIXELS or max(width, height) > _LONGEST_SIDE:
            raise TooLarge(width, height)
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
