"""Which HTML and CSS of a mail its readers' programs do not understand. Fetches nothing.

A table of our own, of what is settled and commonly stumbled over: one line a feature, one letter a
program: ``y`` yes, ``p`` partly, ``n`` no.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from b2b.sink import tokens

PROGRAMS = (
    # family, platform
    ("Gmail", "web and apps"),
    ("Outlook", "Windows, classic"),
    ("Outlook", "web and new"),
    ("Apple Mail", "macOS and iOS"),
    ("Yahoo Mail", "web and apps"),
    ("Samsung Email", "Android"),
    ("Thunderbird", "desktop"),
)
"""The programs in the order of each feature's letters."""

MAX_MARKUP = 1024 * 1024
"""Characters that are looked at."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature. ``support`` has a letter for each of PROGRAMS; ``note`` says what helps."""

    slug: str
    title: str
    category: str
    support: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Use:
    """A feature that a mail uses and some program lacks; ``found`` counts its uses."""

    feature: Feature
    found: int

    @property
    def lacking(self) -> tuple[str, ...]:
        """The programs that do not understand it at all, as “family (platform)”."""
        return tuple(
            f"{family} ({platform})"
            for (family, platform), letter in zip(PROGRAMS, self.feature.support, strict=True)
            if letter == "n"
        )


@dataclass(frozen=True, slots=True)
class Report:
    """What one mail uses, worst first; ``nodes`` counts its elements."""

    uses: tuple[Use, ...]
    nodes: int

    @property
    def shares(self) -> tuple[float, float, float]:
        """Percent of all tests and programs that are supported, partly, and not at all."""
        cells = len(FEATURES) * len(PROGRAMS)
        partly = sum(use.feature.support.count("p") for use in self.uses)
        not_at_all = sum(use.feature.support.count("n") for use in self.uses)
        return (
            100 * (cells - partly - not_at_all) / cells,
            100 * partly / cells,
            100 * not_at_all / cells,
        )


def _css(name: str, support: str, note: str = "") -> Feature:
    slug = re.sub(r"[^a-z0-9]+", "-", name).strip("-")
    return Feature(f"css-{slug}", name, "css", support, note)


def _html(name: str, support: str, note: str = "") -> Feature:
    return Feature(f"html-{name.strip('<>').replace(' ', '-')}", name, "html", support, note)


_TABLES = "Use a table."
_PROPERTIES = {
    # property, or property and value: letters of Gmail, Outlook twice, Apple, Yahoo, Samsung, TB
    "display: flex": _css("display: flex", "pnyyyyy", _TABLES),
    "display: grid": _css("display: grid", "nnyyyyy", _TABLES),
    "position": _css("position", "nnnyppy", _TABLES),
    "float": _css("float", "ypyyyyy", "Use the align attribute."),
    "border-radius": _css("border-radius", "ynyyyyy", "Corners are square there."),
    "box-shadow": _css("box-shadow", "nnyypyy"),
    "text-shadow": _css("text-shadow", "nnyyyyy"),
    "background-image": _css("background-image", "ynyyyyy", "Give a background colour as well."),
    "background-size": _css("background-size", "ynyyyyy"),
    "max-width": _css("max-width", "ypyyyyy", "Give a width as well."),
    "min-width": _css("min-width", "ynyyyyy"),
    "min-height": _css("min-height", "ynyyyyy", "Use the height attribute."),
    "opacity": _css("opacity", "ynyyyyy"),
    "transform": _css("transform", "nnpyyyy"),
    "transition": _css("transition", "nnnypyy"),
    "animation": _css("animation", "nnnynyy"),
    "filter": _css("filter", "nnnynpy"),
    "clip-path": _css("clip-path", "nnnynpy"),
    "object-fit": _css("object-fit", "nnyyyyy"),
    "gap": _css("gap", "nnpynyy"),
    "aspect-ratio": _css("aspect-ratio", "ynyyyyy"),
    "inset": _css("inset", "nnnynyy"),
    "visibility": _css("visibility", "ynpyyyy"),
    "outline": _css("outline", "ynyyyyy"),
    "list-style-image": _css("list-style-image", "ynyyyyy"),
    "writing-mode": _css("writing-mode", "nnnypyy"),
    "caption-side": _css("caption-side", "ynyyyyy"),
    "margin-inline": _css("margin-inline", "nnyynyy", "Use margin-left and margin-right."),
    "padding-inline": _css("padding-inline", "nnyynyy", "Use padding-left and padding-right."),
}
_VALUES = (
    (re.compile(r"var\(\s*--"), _css("var()", "nnnynyy", "Write the value itself as well.")),
    (re.compile(r"\bcalc\("), _css("calc()", "ynyynyy")),
    (re.compile(r"\b(?:min|max|clamp)\("), _css("min(), max(), clamp()", "nnnynyy")),
    (re.compile(r"\brgba\("), _css("rgba()", "ynyyyyy", "Write the colour without rgba() before.")),
    (re.compile(r"\bhsla?\("), _css("hsl()", "ynyyyyy")),
    (re.compile(r"\blight-dark\("), _css("light-dark()", "nnnpnnn")),
    (re.compile(r"-gradient\("), _css("gradients", "ynyyyyy", "Give a background colour as well.")),
    (re.compile(r"\d(?:vw|vh)\b"), _css("units vw and vh", "ynyyyyy")),
    (re.compile(r"\drem\b"), _css("unit rem", "ynyyyyy", "Use px.")),
    (re.compile(r"!important"), _css("!important", "ynyyyyy", "Ignored within style attributes.")),
)
_RULES = (
    (re.compile(r"@media[^{]{0,200}prefers-color-scheme"),
     _css("prefers-color-scheme", "nnpyppy", "Choose colours that bear being inverted.")),
    (re.compile(r"@media\b"), _css("@media", "pnyypyy", "Make the mail fluid without it.")),
    (re.compile(r"@font-face\b"), _css("@font-face", "nnnynpy", "Name a common font after it.")),
    (re.compile(r"@import\b"), _css("@import", "nnnynnn")),
    (re.compile(r"@supports\b"), _css("@supports", "nnnypyy")),
    (re.compile(r"@keyframes\b"), _css("@keyframes", "nnnynyy")),
    (re.compile(r":hover\b"), _css(":hover", "pnypppy")),
    (re.compile(r":root\b"), _css(":root", "nnnynyy")),
    (re.compile(r"::?(?:before|after)\b"), _css("::before and ::after", "nnnynyy")),
    (re.compile(r":(?:has|is|where)\("), _css(":has(), :is(), :where()", "nnnynpy")),
    (re.compile(r":(?:first|last|nth)-"), _css(":nth-child() and the like", "ynyypyy")),
    (re.compile(r"\[[a-z-]+[~|^$*]?="), _css("attribute selectors", "nnyynyy")),
)  # fmt: skip
_ELEMENTS = {
    "style": _html("<style>", "pyyypyy", "Gmail drops it for addresses of other providers."),
    "link": _html("<link>", "nnnynnn", "Put the style sheet into the mail."),
    "script": _html("<script>", "nnnnnnn", "It never runs in a mail."),
    "iframe": _html("<iframe>", "nnnnnnn"),
    "object": _html("<object>", "nnnnnnn"),
    "embed": _html("<embed>", "nnnnnnn"),
    "form": _html("<form>", "pnnypyy", "Link to a page with the form."),
    "input": _html("<input>", "pnnypyy", "Link to a page with the form."),
    "button": _html("<button>", "ynyyyyy", "Use a link in a coloured table cell."),
    "video": _html("<video>", "nnnynyp", "Show a picture that links to it."),
    "audio": _html("<audio>", "nnnynpp", "Link to it."),
    "svg": _html("<svg>", "nnnynny", "Use a PNG picture."),
    "math": _html("<math>", "nnnynny"),
    "canvas": _html("<canvas>", "nnnnnnn"),
    "picture": _html("<picture>", "nnnypyy"),
    "details": _html("<details>", "nnnypyy"),
    "dialog": _html("<dialog>", "nnnnnnn"),
    "meter": _html("<meter>", "nnnynyy"),
    "progress": _html("<progress>", "nnnynyy"),
    "base": _html("<base>", "nnnynny", "Write whole addresses."),
}
_SOURCES = (
    (re.compile(r"data:image/", re.I), _html("pictures as data: addresses", "nnnyyyy",
                                             "Attach the picture and name it by cid:.")),
    (re.compile(r"[^?#]*\.svg(?:[?#]|\Z)", re.I), _html("SVG pictures", "nnnyyyy",
                                                        "Use a PNG picture.")),
    (re.compile(r"[^?#]*\.webp(?:[?#]|\Z)", re.I), _html("WebP pictures", "ynyyyyy",
                                                         "Use PNG or JPEG.")),
    (re.compile(r"[^?#]*\.avif(?:[?#]|\Z)", re.I), _html("AVIF pictures", "ynpyynp",
                                                         "Use PNG or JPEG.")),
)  # fmt: skip
_SRCSET = _html("srcset", "ynyyyyy", "Its src is shown there.")

FEATURES = (
    *_PROPERTIES.values(),
    *(feature for _, feature in (*_VALUES, *_RULES, *_SOURCES)),
    *_ELEMENTS.values(),
    _SRCSET,
)
"""Every feature that is looked for."""

_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_CONDITION = re.compile(r"@[a-z-]+[^{};]{0,500}")
"""What stands before the block of an at-rule looks like declarations and is none."""
_DECLARATION = re.compile(r"([a-z-]{2,40})\s*:\s*([^;{}]{0,2000})")
_LONGHAND = re.compile(
    r"(border)(?:-[a-z]+)*-radius\Z|(animation|transition|outline|inset|margin-inline"
    r"|padding-inline)-[a-z-]+\Z"
)


def report(markup: str) -> Report:
    """What *markup* uses that some program lacks, or understands partly."""
    counts: dict[Feature, int] = {}
    nodes = 0
    for token in tokens.tokens(markup[:MAX_MARKUP]):
        if token.kind == "open":
            nodes += 1
            found = _of_element(token.name, token.text)
        elif token.kind == "style":
            nodes += 1
            found = _of_sheet(token.text)
        else:
            continue
        for feature in found:
            counts[feature] = counts.get(feature, 0) + 1
    for name, pattern in _BY_OPENING.items():
        # The tokenizer passes over these with all that is in them.
        if number := len(pattern.findall(markup[:MAX_MARKUP])):
            counts[_ELEMENTS[name]] = number
    uses = [Use(feature, number) for feature, number in counts.items()]
    uses.sort(key=lambda use: (-use.feature.support.count("n"), use.feature.title))
    return Report(tuple(uses), nodes)


_BY_OPENING = {
    name: re.compile(rf"<{name}(?=[\s/>])", re.I) for name in ("script", "svg", "math", "iframe")
}


def _of_element(name: str, inside: str) -> Iterator[Feature]:
    if name in _ELEMENTS and name not in _BY_OPENING:
        yield _ELEMENTS[name]
    attributes = tokens.attributes(inside) if inside.strip() else {}
    if "srcset" in attributes:
        yield _SRCSET
    source = attributes.get("src", "")[:2000]
    for pattern, feature in _SOURCES:
        if name == "img" and pattern.match(source):
            yield feature
    if "style" in attributes:
        yield from _of_declarations(attributes["style"][: tokens.MAX_ATTRIBUTE_CHARS].lower())


def _of_sheet(sheet: str) -> Iterator[Feature]:
    yield _ELEMENTS["style"]
    sheet = _COMMENT.sub(" ", sheet.lower())
    for pattern, feature in _RULES:
        if pattern.search(sheet):
            yield feature
    yield from _of_declarations(_CONDITION.sub(" ", sheet))


def _of_declarations(declarations: str) -> Iterator[Feature]:
    for match in _DECLARATION.finditer(declarations):
        name, value = match[1], match[2].strip()
        if short := _LONGHAND.match(name):
            name = "border-radius" if short[1] else short[2]
        feature = _PROPERTIES.get(f"{name}: {value.removeprefix('inline-')}") or _PROPERTIES.get(
            name
        )
        if feature is not None and not (name == "position" and value == "static"):
            yield feature
        if name == "background" and "url(" in value:
            yield _PROPERTIES["background-image"]
        for pattern, other in _VALUES:
            if pattern.search(value):
                yield other
