"""What keeps people from reading a mail: pictures without words, faint text, and the like.

Everything is read off the markup; nothing is rendered and nothing is fetched. So a check that finds
nothing is a good sign and no proof.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from b2b.sink import tokens
from b2b.sink.message import Message

MAX_EXAMPLES = 5
MAX_MARKUP = 1024 * 1024
MAX_TEXT = 256 * 1024
ENOUGH_CONTRAST = 4.5
"""WCAG 2.2, 1.4.3, for text of usual size."""


class Check(StrEnum):
    """What is looked at."""

    LANGUAGE = "language"
    TITLE = "title"
    PICTURES = "pictures"
    LINKS = "links"
    LINK_WORDS = "link words"
    TABLES = "tables"
    HEADINGS = "headings"
    CONTRAST = "contrast"
    SMALL_TEXT = "small text"
    DARK = "dark"
    TEXT_TWIN = "text twin"
    SAME_LINKS = "same links"


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of one check; ``examples`` are pieces of the mail, at most MAX_EXAMPLES."""

    check: Check
    is_good: bool
    count: int = 0
    examples: tuple[str, ...] = ()


_EMPTY_WORDS = frozenset(
    (
        "here",
        "click here",
        "link",
        "this link",
        "more",
        "read more",
        "hier",
        "ici",
        "여기",
        "こちら",
    )
)
_COLOUR = re.compile(r"(?:^|;)\s*color\s*:\s*([^;!]+)")
_GROUND = re.compile(r"(?:^|;)\s*background(?:-color)?\s*:\s*([^;!]+)")
_SIZE = re.compile(r"font-size\s*:\s*(\d+(?:\.\d+)?)px")
_HEX = re.compile(r"#([0-9a-f]{3}|[0-9a-f]{6})\b")
_RGB = re.compile(r"rgb\(\s*(\d{1,3})[\s,]+(\d{1,3})[\s,]+(\d{1,3})\s*\)")
_NAMES = {
    "black": (0, 0, 0), "white": (255, 255, 255), "gray": (128, 128, 128), "red": (255, 0, 0),
    "grey": (128, 128, 128), "silver": (192, 192, 192), "blue": (0, 0, 255),
    "green": (0, 128, 0), "navy": (0, 0, 128), "yellow": (255, 255, 0), "orange": (255, 165, 0),
    "lightgray": (211, 211, 211), "lightgrey": (211, 211, 211), "darkgray": (169, 169, 169),
    "darkgrey": (169, 169, 169),
}  # fmt: skip


class _Reader:
    """Walks the tags once and collects what each check wants to know."""

    def __init__(self, markup: str) -> None:
        self.faults: dict[Check, list[str]] = {}
        self.has_language = self.has_title = self.knows_dark = False
        self._level = 0
        self._link: tuple[str, list[str]] | None = None
        for token in tokens.tokens(markup):
            self._take(token)
        self._end_link()

    def _take(self, token: tokens.Token) -> None:
        if token.kind == "text":
            if self._link:
                self._link[1].append(tokens.unescape(token.text))
        elif token.kind == "style":
            sheet = token.text.lower()
            self.knows_dark |= "prefers-color-scheme" in sheet or "color-scheme" in sheet
        elif token.kind == "close":
            if token.name == "a":
                self._end_link()
        else:
            self._opened(token.name, tokens.attributes(token.text) if token.text.strip() else {})

    def _opened(self, name: str, attributes: dict[str, str]) -> None:
        match name:
            case "html":
                self.has_language |= bool(attributes.get("lang", "").strip())
            case "meta":
                self.knows_dark |= "color-scheme" in attributes.get("name", "").lower()
            case "img":
                self._picture(attributes)
            case "a":
                self._end_link()
                if "href" in attributes:
                    label = attributes.get("aria-label") or attributes.get("title") or ""
                    self._link = attributes["href"], [label]
            case "table":
                if attributes.get("role") not in ("presentation", "none", "table"):
                    self._fault(Check.TABLES, "<table>")
            case "h1" | "h2" | "h3" | "h4" | "h5" | "h6":
                level = int(name[1])
                if level > self._level + 1:
                    self._fault(Check.HEADINGS, f"<{name}>")
                self._level = level
        if "style" in attributes:
            self._styled(attributes["style"][: tokens.MAX_ATTRIBUTE_CHARS].lower())

    def _picture(self, attributes: dict[str, str]) -> None:
        is_hidden = attributes.get("aria-hidden") == "true" or attributes.get("width") == "1"
        if "alt" not in attributes and not is_hidden:
            self._fault(Check.PICTURES, attributes.get("src", "")[:80])
        elif self._link:
            self._link[1].append(attributes.get("alt", ""))

    def _end_link(self) -> None:
        if self._link is None:
            return
        url, pieces = self._link
        words = " ".join(" ".join(pieces).split())
        if not words:
            self._fault(Check.LINKS, url[:80])
        elif words.casefold().strip(" .!>»→") in _EMPTY_WORDS:
            self._fault(Check.LINK_WORDS, words[:80])
        self._link = None

    def _styled(self, style: str) -> None:
        ink, ground = _COLOUR.search(style), _GROUND.search(style)
        if ink and ground:
            value = contrast(ink[1], ground[1])
            if value is not None and value < ENOUGH_CONTRAST:
                example = f"{ink[1].strip()} / {ground[1].strip()}: {value:.1f}"
                self._fault(Check.CONTRAST, example)
        size = _SIZE.search(style)
        if size and 1 < float(size[1]) < 12:
            self._fault(Check.SMALL_TEXT, f"{size[1]}px")

    def _fault(self, check: Check, example: str) -> None:
        self.faults.setdefault(check, []).append(example)


def report(mail: Message) -> tuple[Finding, ...]:
    """Every check of *mail*; none for a mail without HTML."""
    if not mail.html:
        return ()
    return tuple(_findings(mail))


def _findings(mail: Message) -> Iterator[Finding]:
    markup = mail.html[:MAX_MARKUP]
    reader = _Reader(markup)
    title = re.search(r"<title[^>]{0,200}>\s{0,200}([^<\s])", markup, re.I)
    yield Finding(Check.LANGUAGE, reader.has_language)
    yield Finding(Check.TITLE, title is not None)
    yield Finding(Check.DARK, reader.knows_dark)
    for check in (
        *(Check.PICTURES, Check.LINKS, Check.LINK_WORDS, Check.TABLES, Check.HEADINGS),
        *(Check.CONTRAST, Check.SMALL_TEXT),
    ):
        faults = reader.faults.get(check, [])
        examples = tuple(dict.fromkeys(faults))[:MAX_EXAMPLES]
        yield Finding(check, not faults, len(faults), examples)
    yield Finding(Check.TEXT_TWIN, mail.has_text)
    if mail.has_text:
        missing = [
            link.url for link in mail.links if _is_web(link.url) and link.url not in mail.text
        ]
        yield Finding(
            Check.SAME_LINKS,
            not missing,
            len(missing),
            tuple(url[:80] for url in missing[:MAX_EXAMPLES]),
        )


def _is_web(url: str) -> bool:
    return url.lower().startswith(("http://", "https://"))


def contrast(ink: str, ground: str) -> float | None:
    """The ratio of two CSS colours by WCAG's formula; None where one cannot be read."""
    first, second = _luminance(ink), _luminance(ground)
    if first is None or second is None:
        return None
    return (max(first, second) + 0.05) / (min(first, second) + 0.05)


def _luminance(colour: str) -> float | None:
    values = _rgb(colour.strip())
    if values is None:
        return None
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (value / 255 for value in values)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _rgb(colour: str) -> tuple[int, ...] | None:
    if match := _HEX.match(colour):
        digits = match[1] if len(match[1]) == 6 else "".join(digit * 2 for digit in match[1])
        return tuple(int(digits[at : at + 2], 16) for at in (0, 2, 4))
    if match := _RGB.match(colour):
        return tuple(min(int(part), 255) for part in match.groups())
    return _NAMES.get(colour)
