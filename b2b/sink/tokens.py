"""HTML cut into tags and text in linear time, and written again balanced and of bounded depth.

No safety is decided here. What leaves ``balanced`` has no misnested formatting, no stray closing
tags and at most ``MAX_DEPTH`` levels, so that a browser-like parser has nothing to recover from and
stays linear.
"""

import html
import re
from collections.abc import Iterator, Set
from typing import Literal, NamedTuple

MAX_DEPTH = 100
MAX_ATTRIBUTE_CHARS = 4_096

_ENDLESS = re.compile(r"&#[0-9]{9,};?")

BLOCKS = frozenset(
    (
        *(
            "p",
            "div",
            "tr",
            "li",
            "h1",
            "h2",
            "h3",
            "h4",
            "h5",
            "h6",
            "table",
            "ul",
            "ol",
            "blockquote",
        ),
        *(
            "pre",
            "section",
            "article",
            "header",
            "footer",
            "dt",
            "dd",
            "dl",
            "hr",
            "center",
            "address",
        ),
        *("aside", "details", "summary", "figure", "figcaption", "main", "nav", "caption"),
    )
)


class Token(NamedTuple):
    """``text`` is the text (entities as they are), an open tag's attributes, or a style sheet."""

    kind: Literal["open", "close", "text", "style"]
    name: str
    text: str


# One alternative each for a comment, a declaration, a tag and text; each consumes what it has
# looked at, also when the end is missing. The possessive groups never go back.
_TOKEN = re.compile(
    r"<!--(?:-?>|.*?(?:--!?>|\Z))"
    r"|<[!?][^>]*+(?:>|\Z)"
    r"|<(?P<slash>/?)(?P<name>[a-zA-Z][^\s/>]*+)"
    r"(?P<inside>(?>=\s*+\"[^\"]*+\"|=\s*+'[^']*+'|[^>])*+)(?:>|\Z)"
    r"|(?P<text>[^<]++|<)",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(r"""([^\s=>/"'<]+)(?:\s*+=\s*+(?:"([^"]*)"|'([^']*)'|([^\s>"']+)))?""")
# What a browser reads as plain characters up to the closing tag, and foreign content.
_SKIPPED = {
    name: re.compile(rf"</{name}\b[^>]*+(?:>|\Z)", re.IGNORECASE)
    for name in (
        *("script", "style", "title", "textarea", "xmp", "iframe", "noembed", "noframes"),
        *("svg", "math"),
    )
}
_VOID = frozenset(("br", "col", "hr", "img", "wbr"))
_TABLE_PARTS = frozenset(
    ("caption", "colgroup", "col", "tbody", "thead", "tfoot", "tr", "td", "th")
)
_IN_TABLE = frozenset(("table", "tbody", "thead", "tfoot", "tr", "colgroup"))
_ROWS = frozenset(("tbody", "thead", "tfoot"))
# An opening tag on the left ends the open elements on the right, up to a boundary.
_CELL = frozenset(("td", "th", "caption"))
_ENDS: dict[str, frozenset[str]] = {
    **dict.fromkeys(BLOCKS - {"tr"}, frozenset(("p",))),
    "a": frozenset(("a",)),
    "li": frozenset(("li", "p")),
    **dict.fromkeys(("dt", "dd"), frozenset(("dt", "dd", "p"))),
    **dict.fromkeys(("td", "th"), _CELL),
    "tr": _CELL | {"tr"},
    **dict.fromkeys(_ROWS, _CELL | {"tr"} | _ROWS),
}
_LISTS = frozenset(("ul", "ol", "dl"))
_BOUNDARY: dict[str, frozenset[str]] = {
    **dict.fromkeys(("li", "dt", "dd"), _LISTS | _CELL | {"table"}),
    **dict.fromkeys(_TABLE_PARTS, frozenset(("table",))),
}
_USUAL_BOUNDARY = _CELL | {"table"}


def tokens(markup: str) -> Iterator[Token]:
    """The tags, texts and style sheets of ``markup`` in order, without comments and scripts."""
    at = 0
    while match := _TOKEN.match(markup, at):
        at = match.end()
        if (name := match["name"]) is None:
            if match["text"]:
                yield Token("text", "", "&lt;" if match["text"] == "<" else match["text"])
            continue
        name = name.lower()
        if match["slash"]:
            yield Token("close", name, "")
        elif name in _SKIPPED:
            end = _SKIPPED[name].search(markup, at)
            if name == "style":
                yield Token("style", name, markup[at : end.start() if end else len(markup)])
            at = end.end() if end else len(markup)
        else:
            yield Token("open", name, match["inside"])


def unescape(text: str) -> str:
    """``html.unescape`` for any text: it raises at a reference of thousands of digits."""
    try:
        return html.unescape(text)
    except ValueError:
        return html.unescape(_ENDLESS.sub("\N{REPLACEMENT CHARACTER}", text))


def attributes(inside: str) -> dict[str, str]:
    """The attributes of an opening tag by lower-case name; the first of a name wins."""
    found: dict[str, str] = {}
    for name, double, single, bare in _ATTRIBUTE.findall(inside):
        found.setdefault(name.lower(), unescape(double or single or bare))
    return found


def balanced(markup: str, tags: Set[str], attribute_names: Set[str]) -> str:
    """``markup`` with these tags and attributes only, every element closed where its parent is.

    Deeper than ``MAX_DEPTH`` tags are left out and their text is kept, as it is for tags not named.
    """
    written: list[str] = []
    open_names: list[str] = []

    def close_down_to(depth: int) -> None:
        while len(open_names) > depth:
            written.append(f"</{open_names.pop()}>")

    def close_ended_by(name: str) -> None:
        ended, boundary = _ENDS.get(name), _BOUNDARY.get(name, _USUAL_BOUNDARY)
        if ended:
            depth = len(open_names)
            for at in range(depth - 1, -1, -1):
                if open_names[at] in ended:
                    depth = at
                elif open_names[at] in boundary:
                    break
            close_down_to(depth)

    for token in tokens(markup):
        name = token.name
        if token.kind == "text":
            written.append(token.text)
        elif token.kind == "style":
            if "style" in tags:
                sheet = token.text.replace("<!--", "").replace("-->", "").replace("<", "")
                written.append(f"<style>{sheet}</style>")
        elif name not in tags:
            continue
        elif token.kind == "close":
            if name in open_names:
                since = len(open_names) - 1 - open_names[::-1].index(name)
                # A closing tag inside a cell never reaches an element outside its table.
                if name == "table" or "table" not in open_names[since + 1 :]:
                    close_down_to(since)
        else:
            close_ended_by(name)
            # Between table and cell only rows and cells may stand; anything else would be moved
            # out.
            inside_table = bool(open_names) and open_names[-1] in _IN_TABLE
            if inside_table != (name in _TABLE_PARTS) or len(open_names) >= MAX_DEPTH:
                continue
            written.append(_opening(name, token.text, attribute_names))
            if name not in _VOID:
                open_names.append(name)
    close_down_to(0)
    return "".join(written)


def _opening(name: str, inside: str, attribute_names: Set[str]) -> str:
    kept = "".join(
        f' {key}="{html.escape(value)}"'
        for key, value in (attributes(inside) if inside.strip() else {}).items()
        # A picture inside the address itself is long; other long values would be copied for
        # nothing.
        if key in attribute_names and (len(value) <= MAX_ATTRIBUTE_CHARS or key == "src")
    )
    return f"<{name}{kept}>"
