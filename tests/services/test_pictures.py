"""Pictures: whatever is uploaded, what is kept is small, new and nothing but a picture."""

import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from b2b.errors import Invalid
from b2b.models import PictureKind
from b2b.services import pictures


def drawn(width: int, height: int, file_format: str = "PNG", mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Image.new(mode, (width, height), 90).save(out, file_format)
    return out.getvalue()


def png_claiming(width: int, height: int) -> bytes:
    """A small file whose head claims a large picture: a bomb for who believes it."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"\0" * 100_000))
        + chunk(b"IEND", b"")
    )


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HTML = b"<!doctype html><script>alert(1)</script>"
REFUSED = {
    "svg": SVG,
    "html": HTML,
    "gif": drawn(10, 10, "GIF", "L"),
    "cut off": drawn(200, 200)[:60],
    "text": b"not a picture",
    "only the head": b"\x89PNG\r\n\x1a\n",
    "nul": b"\0" * 2000,
}


@pytest.mark.parametrize("kind", PictureKind)
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_png_or_jpeg_is_refused_whatever_it_is_called(
    name: str, kind: PictureKind
) -> None:
    with pytest.raises(Invalid, match="not a PNG or JPEG picture") as refused:
        pictures.make("banner", kind, REFUSED[name])
    assert refused.value.field == "banner"


@pytest.mark.parametrize(
    ("width", "height", "why"),
    [
        (20_000, 100, "20000 × 100 points, which is too many"),
        (4001, 3000, "4001 × 3000 points, which is too many"),
        (30_000, 30_000, "not a PNG or JPEG picture"),  # the library refuses it before we do
    ],
)
def test_a_picture_that_would_unfold_is_refused_unread(width: int, height: int, why: str) -> None:
    bomb = png_claiming(width, height)
    assert len(bomb) < 1000
    with pytest.raises(Invalid, match=why) as refused:
        pictures.make("photo", PictureKind.PHOTO, bomb)
    assert refused.value.field == "photo"


def test_a_claim_just_within_the_limit_that_is_not_kept_is_refused_too() -> None:
    with pytest.raises(Invalid, match="not a PNG or JPEG picture"):
        pictures.make("photo", PictureKind.PHOTO, png_claiming(3000, 3000))


def test_a_file_of_more_than_1_mib_is_refused() -> None:
    with pytest.raises(Invalid, match="larger than 1 MiB"):
        pictures.make("banner", PictureKind.BANNER_LOGO, b"\0" * (1024 * 1024 + 1))
    with pytest.raises(Invalid, match="empty"):
        pictures.make("banner", PictureKind.BANNER_LOGO, b"")


def test_nothing_of_the_upload_but_its_pixels_is_kept() -> None:
    """Text, profile, comment and place of a photograph, and what was glued to its end"""
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "SECRET WORDS")
    out = io.BytesIO()
    Image.new("RGB", (300, 40), "green").save(out, "PNG", pnginfo=info, icc_profile=b"SECRET ICC")
    exif = Image.Exif()
    exif[0x010E] = "SECRET PLACE"
    photo = io.BytesIO()
    Image.new("RGB", (300, 300), "green").save(photo, "JPEG", exif=exif, comment=b"SECRET NOTE")
    for kind in PictureKind:
        for uploaded in (out.getvalue(), photo.getvalue()):
            made = pictures.make("x", kind, uploaded + b"SECRET TAIL <script>")
            assert b"SECRET" not in made.data
            assert b"<script" not in made.data
            with Image.open(io.BytesIO(made.data)) as again:
                assert not again.getexif()
                assert "icc_profile" not in again.info


def test_a_photograph_taken_sideways_stands_upright() -> None:
    sideways = Image.new("RGB", (200, 200), "white")
    sideways.paste((200, 0, 0), (0, 0, 100, 200))  # red on the left
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter: left comes up
    out = io.BytesIO()
    sideways.save(out, "JPEG", exif=exif, quality=95)
    made = pictures.make("photo", PictureKind.PHOTO, out.getvalue())
    with Image.open(io.BytesIO(made.data)) as upright:
        above = upright.convert("RGB").getpixel((120, 30))
        below = upright.convert("RGB").getpixel((120, 210))
    assert isinstance(above, tuple)
    assert isinstance(below, tuple)
    assert above[1] < 80
    assert below[1] > 200


@pytest.mark.parametrize(
    ("kind", "uploaded", "size"),
    [
        (PictureKind.BANNER_LOGO, (2450, 360), (490, 72)),
        (PictureKind.BANNER_LOGO, (1000, 1000), (72, 72)),
        (PictureKind.BANNER_LOGO, (100, 20), (100, 20)),
        (PictureKind.SQUARE_LOGO, (960, 480), (240, 240)),
        (PictureKind.SQUARE_LOGO, (100, 100), (100, 100)),
        (PictureKind.PHOTO, (3000, 2000), (240, 240)),
        (PictureKind.PHOTO, (50, 80), (240, 240)),
    ],
)
def test_sizes(kind: PictureKind, uploaded: tuple[int, int], size: tuple[int, int]) -> None:
    made = pictures.make("x", kind, drawn(*uploaded))
    assert (made.width, made.height) == size
    with Image.open(io.BytesIO(made.data)) as again:
        assert again.size == size


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16", "CMYK"])
def test_every_kind_of_pixel_is_taken_and_stays_small(mode: str) -> None:
    noise = Image.effect_noise((500, 500), 100)
    picture = noise.convert("I" if mode == "I;16" else "RGB").convert(mode)
    out = io.BytesIO()
    picture.save(out, "JPEG" if mode == "CMYK" else "PNG")
    for kind, most in {
        PictureKind.BANNER_LOGO: 30_000,
        PictureKind.SQUARE_LOGO: 30_000,
        PictureKind.PHOTO: 15_000,
    }.items():
        made = pictures.make("x", kind, out.getvalue())
        assert len(made.data) <= most
        assert made.media_type in ("image/png", "image/jpeg")
        with Image.open(io.BytesIO(made.data)) as again:
            again.load()
            assert Image.MIME[str(again.format)] == made.media_type


def test_a_logo_keeps_its_transparency() -> None:
    out = io.BytesIO()
    picture = Image.new("RGBA", (100, 30), (0, 0, 0, 0))
    picture.paste((200, 0, 0, 255), (10, 10, 20, 20))
    picture.save(out, "PNG")
    made = pictures.make("x", PictureKind.BANNER_LOGO, out.getvalue())
    with Image.open(io.BytesIO(made.data)) as again:
        assert again.convert("RGBA").getpixel((0, 0)) == (0, 0, 0, 0)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_drawing_of_few_colours_keeps_every_pixel_and_takes_little_room(mode: str) -> None:
    """Each letter carries the logo"""
    drawing = Image.new(mode, (300, 60), "white")
    for column in range(200):
        shade = (column, 40, 200 - column, 255 - column)[: len(drawing.getbands())]
        drawing.paste(shade, (column, column % 50, column + 7, column % 50 + 9))
    upload = io.BytesIO()
    drawing.save(upload, "PNG", optimize=True)
    made = pictures.make("banner", PictureKind.BANNER_LOGO, upload.getvalue())
    kept = Image.open(io.BytesIO(made.data))
    assert kept.mode == "P"
    assert kept.convert(mode).tobytes() == drawing.tobytes()
    assert len(made.data) < len(upload.getvalue()) * 0.8


def test_the_demos_logos_are_taken_as_they_are() -> None:
    folder = Path(__file__).parents[2] / "static" / "img" / "demo"
    for name, kind in {
        "banner": PictureKind.BANNER_LOGO,
        "square": PictureKind.SQUARE_LOGO,
    }.items():
        made = pictures.make(name, kind, (folder / f"woodgrove-{name}.png").read_bytes())
        assert len(made.data) < 15_000
