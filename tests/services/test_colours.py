"""Colours: whatever an organisation chooses, texts can be read in both themes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from b2b.services import colours

WHITE = "#ffffff"


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [
        ("#000000", "#ffffff", 21.0),
        ("#ffffff", "#ffffff", 1.0),
        ("#767676", "#ffffff", 4.54),  # the palest grey that passes
        ("#777777", "#ffffff", 4.48),
        ("#0000ff", "#ffffff", 8.59),
        ("#ff0000", "#ffffff", 4.00),
    ],
)
def test_contrast_is_that_of_wcag(one: str, other: str, ratio: float) -> None:
    assert colours.contrast(one, other) == pytest.approx(ratio, abs=0.005)
    assert colours.contrast(other, one) == colours.contrast(one, other)


@pytest.mark.parametrize(
    ("typed", "read"),
    [
        ("#285943", "#285943"), (" 285943 ", "#285943"), ("#2B5", "#22bb55"),
        ("#ABCDEF", "#abcdef"),
        ("", None), ("green", None), ("#12345", None), ("#1234567", None),
        ("#285943;}", None), ("url(x)", None), ("#28594g", None), ("#٢٨٥٩٤٣", None),
    ],
)  # fmt: skip
def test_only_plain_colours_are_read(typed: str, read: str | None) -> None:
    assert colours.parse(typed) == read


def test_a_colour_that_can_be_read_stays_as_it_is() -> None:
    assert colours.palette("#285943")["accent"] == "#285943"
    assert colours.palette("#0b5a69")["accent"] == "#0b5a69"


def test_a_pale_colour_becomes_the_same_hue_but_darker() -> None:
    made = colours.palette("#ffff00")["accent"]
    red, green, blue = made[1:3], made[3:5], made[5:7]
    assert red == green
    assert blue == "00"
    assert colours.contrast(made, WHITE) >= 4.5


@given(st.integers(0, 0xFFFFFF))
@settings(max_examples=300, deadline=None)
def test_every_text_on_every_plane_has_its_contrast(number: int) -> None:
    """WCAG 2.2, 1.4.3 and 1.4.11, in both themes (design brief, 3)"""
    made = colours.palette(f"#{number:06x}")
    for plane in (WHITE, "#f6f5f1", "#f0eee9", made["soft"]):
        assert colours.contrast(made["accent"], plane) >= 4.5
    for plane in ("#111314", "#181b1c", "#202425", "#222728", made["soft_dark"]):
        assert colours.contrast(made["accent_dark"], plane) >= 4.5
    assert colours.contrast(WHITE, made["fill_dark"]) >= 4.5
    assert colours.contrast(made["fill_dark"], "#181b1c") >= 3
    for plane in (made["deep"], made["deep_dark"]):
        assert colours.contrast(WHITE, plane) >= 7
    assert all(colours.parse(colour) == colour for colour in made.values())
