"""HTML of mails: made safe for the preview, read as text, and its links found. Fetches nothing.

nh3 decides what is safe, but it parses as a browser does, and the recovery rules of HTML are not
linear: 40 KB of unclosed ``<font><p>`` become 60 MB. So a tokenizer of our own, linear on any
input, comes first and writes the same markup balanced and of bounded depth; text and links are read
from its tokens directly.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

import nh3

from b2b.sink.tokens import BLOCKS, attributes, balanced, tokens, unescape

MAX_LINKS = 500

PartURL = Callable[[str], str | None]
"""Content-ID (without angle brackets) → the URL of that part for the preview, or None."""


class Link(NamedTuple):
    """Where a link leads and what it says; ``text`` is the URL itself for a bare link."""

    url: str
    text: str


_TAGS = {
    *("a", "abbr", "address", "article", "aside", "b", "bdi", "bdo", "blockquote", "br", "caption"),
    *(
        "center",
        "cite",
        "code",
        "col",
        "colgroup",
        "dd",
        "del",
        "details",
        "dfn",
        "div",
        "dl",
        "dt",
    ),
    *("em", "figcaption", "figure", "font", "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header"),
    *(
        "hr",
        "i",
        "img",
        "ins",
        "kbd",
        "li",
        "main",
        "mark",
        "nav",
        "ol",
        "p",
        "pre",
        "q",
        "rp",
        "rt",
    ),
    *(
        "ruby",
        "s",
        "samp",
        "section",
        "small",
        "span",
        "strike",
        "strong",
        "style",
        "sub",
        "summary",
    ),
    *("sup", "table", "tbody", "td", "tfoot", "th", "thead", "time", "tr", "tt", "u", "ul", "var"),
    "wbr",
}
_EVERYWHERE = {
    *(
        "style",
        "class",
        "id",
        "title",
        "lang",
        "dir",
        "align",
        "valign",
        "width",
        "height",
        "bgcolor",
    ),
    *("color", "border", "role", "hidden"),
}
_ATTRIBUTES = {
    "*": _EVERYWHERE,
    "a": {"href"},
    "img": {"src", "alt"},
    "td": {"colspan", "rowspan", "nowrap"},
    "th": {"colspan", "rowspan", "nowrap", "scope"},
    "table": {"cellpadding", "cellspacing"},
    "font": {"face", "size"},
    "ol": {"start", "type"},
    "time": {"datetime"},
}
_ATTRIBUTE_NAMES = set().union(*_ATTRIBUTES.values())
_DROPPED_WITH_CONTENT = {
    *(
        "script",
        "title",
        "iframe",
        "object",
        "embed",
        "applet",
        "svg",
        "math",
        "noscript",
        "template",
    ),
    *("textarea", "select", "option", "audio", "video", "frameset", "noembed", "noframes", "xmp"),
}
_LINK_SCHEMES = ("http://", "https://", "mailto:", "tel:", "#")
# Raster pictures only: an SVG is a document.
_INLINE_PICTURE = re.compile(r"data:image/(?:png|gif|jpe?g|webp|bmp);base64,", re.IGNORECASE)
_CID_IN_CSS = re.compile(r"(url\(\s*[\"']?)cid:([^\"')\s]+)", re.IGNORECASE)
_CID_ANYWHERE = re.compile(r"""(["'(=]\s*)cid:([^"'()<>\s]+)""", re.IGNORECASE)


def safe(markup: str, part_url: PartURL) -> str:
    """``markup`` fit for a sandboxed frame whose policy also forbids scripts and remote content.

    Kept: text, tables, ``style`` attributes and sheets, links, pictures inside the mail (``cid:``
    goes through ``part_url``) and base64 raster pictures. Dropped: scripts, handlers, ``meta``,
    ``base``, forms, frames, objects, SVG, MathML, comments, remote pictures (their ``alt`` stays)
    and relative addresses. Remote addresses inside style sheets are left for the frame's policy to
    block.
    """

    def attribute(tag: str, name: str, value: str) -> str | None:
        if name == "href":
            return value if value.strip().lower().startswith(_LINK_SCHEMES) else None
        if name == "src":
            if value.lower().startswith("cid:"):
                return part_url(value[4:])
            return value if _INLINE_PICTURE.match(value) else None
        if name == "style" and "cid:" in value.lower():
            return _with_parts(_CID_IN_CSS, value, part_url)
        return value

    return nh3.clean(
        balanced(markup, _TAGS, _ATTRIBUTE_NAMES),
        tags=_TAGS,
        clean_content_tags=_DROPPED_WITH_CONTENT,
        attributes=_ATTRIBUTES,
        attribute_filter=attribute,
        url_schemes={"http", "https", "mailto", "tel", "cid", "data"},
        set_tag_attribute_values={"a": {"target": "_blank"}},
        link_rel="noopener noreferrer",
    )


def as_sent(markup: str, part_url: PartURL) -> str:
    """``markup`` untouched but for its ``cid:`` references. Not safe outside a sandbox."""
    return _with_parts(_CID_ANYWHERE, markup, part_url)


def _with_parts(pattern: re.Pattern[str], markup: str, part_url: PartURL) -> str:
    return pattern.sub(lambda m: m[1] + (part_url(m[2]) or f"cid:{m[2]}"), markup)


_HREF_SCHEMES = _LINK_SCHEMES[:-1]


def read(markup: str) -> tuple[str, list[Link]]:
    """The visible text of ``markup``, a block a line, and its links in order (to ``MAX_LINKS``)."""
    pieces: list[str] = []
    links: list[Link] = []
    opened: tuple[str, int] | None = None

    def close() -> None:
        nonlocal opened
        if opened:
            url, since = opened
            label = " ".join("".join(pieces[since:]).split())
            if url.lower().startswith(_HREF_SCHEMES) and len(links) < MAX_LINKS:
                links.append(Link(url, label or url))
            opened = None

    for token in tokens(markup):
        if token.kind == "text":
            pieces.append(re.sub(r"\s+", " ", unescape(token.text)))
        elif token.name == "a":
            close()
            if token.kind == "open":
                url = attributes(token.text).get("href", "").strip()
                opened = (url, len(pieces))
        elif token.name in ("td", "th"):
            pieces.append(" ")
        elif token.name in BLOCKS or token.name == "br":
            pieces.append("\n")
    close()
    lines = (" ".join(line.split()) for line in "".join(pieces).split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip(), links


def addresses_of_resources(markup: str) -> list[str]:
    """The web addresses of pictures and style sheets in ``markup``, in order (to ``MAX_LINKS``)."""
    found: list[str] = []
    for token in tokens(markup):
        if token.kind == "open" and token.name in ("img", "link") and len(found) < MAX_LINKS:
            named = attributes(token.text)
            if token.name == "link" and "stylesheet" not in named.get("rel", "").lower():
                continue
            url = named.get("src" if token.name == "img" else "href", "").strip()
            if url.lower().startswith(("http://", "https://")):
                found.append(url)
    return found


_BARE = re.compile(r"""https?://[^\s<>"'`\x00-\x1f]+""", re.IGNORECASE)


def links_in_text(text: str) -> list[Link]:
    """The web addresses in plain ``text``, without the punctuation that follows them."""
    links: list[Link] = []
    for match in _BARE.finditer(text):
        url = match[0].rstrip(".,;:!?*_")
        while url.endswith((")", "]")) and url.count("(") + url.count("[") < url.count(
            ")"
        ) + url.count("]"):
            url = url[:-1]
        links.append(Link(url, url))
        if len(links) == MAX_LINKS:
            break
    return links
