"""A small picture of a picture, decoded within limits. It came from anybody."""

import io

SIZE = (180, 120)
MAX_PIXELS = 40_000_000
_FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP")


def jpeg(content: bytes) -> bytes:
    """A JPEG of SIZE: the picture scaled down and centred on white, blank if it is none."""
    # Loaded by the first picture: it costs a start a twentieth of its time.
    from PIL import Image, ImageOps

    sheet = Image.new("RGB", SIZE, "white")
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as picture:
            if picture.width * picture.height <= MAX_PIXELS:
                picture.draft("RGB", SIZE)
                small = ImageOps.contain(picture.convert("RGBA"), SIZE)
                at = (SIZE[0] - small.width) // 2, (SIZE[1] - small.height) // 2
                sheet.paste(small, at, small)
    except Exception:  # decoders raise whatever their author thought of; a blank sheet is right
        pass
    kept = io.BytesIO()
    sheet.save(kept, "JPEG", quality=80)
    return kept.getvalue()
