"""An organisation's colours: from the one it chooses to all that pages and letters need, readable
in both themes.
"""

import colorsys
import re
from collections.abc import Callable

READABLE = 4.5
"""Contrast of text (WCAG 2.2, 1.4.3)."""

# The planes that text lies on (design brief, 3): the palest and the darkest of each theme.
_WHITE = "#ffffff"
_SUNKEN = "#f0eee9"
_SURFACE_DARK = "#181b1c"
_SUNKEN_DARK = "#202425"

_HEX = re.compile(r"#[0-9a-f]{6}")


def parse(text: str) -> str | None:
    """`#285943` from `285943`, `#285943` or `#2B5`; None for anything else."""
    short = text.strip().lower().removeprefix("#")
    if re.fullmatch(r"[0-9a-f]{3}", short):
        short = "".join(digit * 2 for digit in short)
    found = f"#{short}"
    return found if _HEX.fullmatch(found) else None


def contrast(one: str, other: str) -> float:
    """The ratio of two colours, 1 to 21, by the formula of WCAG."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def palette(accent: str) -> dict[str, str]:
    """All colours of a brand from its accent, under the names of `Tenant.branding`.

    `accent` is the colour itself, or the nearest darker shade on which white text, and which as
    text on paper, has a contrast of READABLE. The others are derived: links and buttons in the
    dark, pale planes behind initials, and the deep plane of the branded door.
    """
    light = accent
    if contrast(light, _SUNKEN) < READABLE:
        light = _shade(light, lambda shade: contrast(shade, _SUNKEN) >= READABLE, darker=True)
    # A link in the dark is a pale tint of the colour; a button there stays clearly visible.
    dark = _shade(light, lambda shade: contrast(shade, _SUNKEN_DARK) >= 7, darker=False)
    fill = light
    if contrast(fill, _SURFACE_DARK) < 3:
        fill = _shade(fill, lambda shade: contrast(shade, _SURFACE_DARK) >= 3, darker=False)
    return {
        "accent": light,
        "accent_dark": dark,
        "fill_dark": fill,
        "soft": _soft(light, _WHITE),
        "soft_dark": _soft(dark, _SURFACE_DARK),
        "deep": _shade(light, lambda shade: contrast(shade, _WHITE) >= 8.5, darker=True),
        "deep_dark": _shade(light, lambda shade: contrast(shade, _WHITE) >= 11, darker=True),
    }


def _channels(colour: str) -> tuple[float, float, float]:
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


def _luminance(colour: str) -> float:
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in _channels(colour)
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _written(channels: tuple[float, ...]) -> str:
    return "#" + "".join(f"{min(255, max(0, round(part * 255))):02x}" for part in channels)


def _shade(colour: str, enough: Callable[[str], bool], *, darker: bool) -> str:
    """The nearest shade of *colour* that is *enough*; black or white at the latest."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*_channels(colour))
    steps = 200
    for step in range(steps + 1):
        part = step / steps
        wanted = lightness * (1 - part) if darker else lightness + (1 - lightness) * part
        shade = _written(colorsys.hls_to_rgb(hue, wanted, saturation)) if step else colour
        if enough(shade):
            return shade
    return shade


def _soft(colour: str, plane: str) -> str:
    """A breath of *colour* on *plane*, on which the colour itself is still readable."""
    for percent in range(14, -1, -1):
        mixed = _written(
            tuple(
                one * percent / 100 + other * (1 - percent / 100)
                for one, other in zip(_channels(colour), _channels(plane), strict=True)
            )
        )
        if contrast(colour, mixed) >= READABLE:
            return mixed
    return plane
