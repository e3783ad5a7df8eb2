"""What a page shows of one captured mail: a document for the frame, its links and its codes.

The mail was written by anybody. Its HTML is cleaned by the sink, and the frame's policy forbids
whatever is left (threats.md, BOX-1).
"""

import base64
import html
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from flask_babel import gettext

from b2b import links
from b2b.sink import headers, tokens
from b2b.sink.headers import Address
from b2b.sink.markup import Link
from b2b.sink.message import Message

MAX_PICTURES = 16 * 1024 * 1024
"""Characters of all pictures of one mail together, repeats included; further ones stay blank."""

_PICTURES = frozenset(("image/png", "image/gif", "image/jpeg", "image/webp", "image/bmp"))
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,4}")
# What of a mail's <html> and <body> the frame's own may carry.
_OF_DOCUMENT = ("lang", "dir", "class", "style", "bgcolor")
_REMOTE = ("http:", "https:", "//")


@dataclass(frozen=True, slots=True)
class Shown:
    """A link of a mail in words: where it leads, what it says, and what it is."""

    url: str
    text: str
    what: str
    kind: str

    @property
    def is_invitation(self) -> bool:
        """Whether it redeems an invitation of this installation."""
        return self.kind == "invitation"


@dataclass(frozen=True, slots=True)
class Outline:
    """What the cleaned HTML lacks: attributes of <html> and <body>, and pictures from outside."""

    attributes: dict[str, dict[str, str]]
    remote_pictures: int


def outline(mail: Message) -> Outline:
    """Read the tags of the HTML once, in linear time."""
    attributes: dict[str, dict[str, str]] = {"html": {}, "body": {}}
    remote = 0
    for token in tokens.tokens(mail.html):
        if token.kind != "open" or token.name not in ("html", "body", "img"):
            continue
        found = tokens.attributes(token.text)
        if token.name == "img":
            remote += found.get("src", "").strip().lower().startswith(_REMOTE)
        elif not attributes[token.name]:
            attributes[token.name] = {
                name: found[name]
                for name in _OF_DOCUMENT
                if name in found and len(found[name]) <= tokens.MAX_ATTRIBUTE_CHARS
            }
    return Outline(attributes, remote)


def document(mail: Message, *, pictures: bool = True) -> str:
    """The HTML of *mail* as a document of ours, for a frame with `headers.as_letter`.

    Pictures of the mail itself become data: addresses. A sandboxed document has an origin of its
    own, so that for it our part URLs are another site's, which our Cross-Origin-Resource-Policy
    refuses; and a policy that allows no address at all leaves a mail nothing to call. Links open a
    new tab (`base`), since the frame may not move the page around it. Without *pictures* those stay
    blank, as programs show a mail whose sender is not known.
    """
    room = MAX_PICTURES if pictures else 0
    urls: dict[str, str] = {}

    def picture(part_id: str) -> str:
        nonlocal room
        if part_id not in urls:
            content, kind = mail.part(part_id), mail.part_type(part_id)
            known = content is not None and kind in _PICTURES
            encoded = base64.b64encode(content or b"").decode() if known else ""
            urls[part_id] = f"data:{kind};base64,{encoded}" if known else "data:,"
        room -= len(urls[part_id])
        return urls[part_id] if room >= 0 else "data:,"

    of = outline(mail).attributes
    of["html"].setdefault("lang", _language(mail))
    return (
        f"<!doctype html>\n<html{_written(of['html'])}>\n<head>\n"
        '<meta charset="utf-8">\n<meta name="viewport" content="width=device-width">\n'
        f'<base target="_blank">\n<title>{html.escape(mail.subject or gettext("No subject"))}'
        f"</title>\n</head>\n<body{_written(of['body'])}>\n{mail.safe_html(picture)}\n"
        "</body>\n</html>\n"
    )


def _language(mail: Message) -> str:
    said = headers.first(list(mail.headers), "content-language")
    return said if _LANGUAGE.fullmatch(said) else "en"


def _written(attributes: dict[str, str]) -> str:
    return "".join(f' {name}="{html.escape(value)}"' for name, value in attributes.items())


def shown_links(mail: Message) -> list[Shown]:
    """The links of *mail*, each address once, invitation links of this installation first."""
    by_url: dict[str, Link] = {}
    for link in mail.links:
        by_url.setdefault(link.url, link)
    found = [_shown(link) for link in by_url.values()]
    return sorted(found, key=lambda link: not link.is_invitation)


def _shown(link: Link) -> Shown:
    kind = kind_of(link.url)
    return Shown(link.url, link.text, _what(link.url, kind), kind)


def kind_of(url: str) -> str:
    """What a link is: invitation, block, installation, mail, telephone or web."""
    if url.startswith(links.absolute("/redeem?rd=")):
        return "invitation"
    if url.startswith(links.absolute("/invitations/block")):
        return "block"
    if url.startswith(links.absolute("/")):
        return "installation"
    scheme = url.partition(":")[0].lower()
    return {"mailto": "mail", "tel": "telephone"}.get(scheme, "web")


def _what(url: str, kind: str) -> str:
    if kind == "invitation":
        return gettext("Invitation link")
    if kind == "block":
        return gettext("Blocks further invitations")
    if kind == "installation":
        return gettext("This installation")
    if kind == "mail":
        return gettext("E-mail address")
    if kind == "telephone":
        return gettext("Telephone number")
    try:
        host = urlsplit(url).hostname
    except ValueError:
        host = None
    return host or gettext("Unreadable address")


def grouped(code: str) -> list[str]:
    """The digits of a code in the groups it is read in: 4829 1706, 123 456."""
    size = {6: 3, 8: 4}.get(len(code), len(code))
    return [code[at : at + size] for at in range(0, len(code), size)]


def excerpt(text: str, longest: int) -> tuple[str, bool]:
    """The start of *text*, and whether anything was left out."""
    return text[:longest], len(text) > longest


def blind_copies(recipients: Iterable[str], *named: Iterable[Address]) -> list[str]:
    """The envelope's recipients whom none of the fields *named* names."""
    seen = {person.address.lower() for people in named for person in people}
    return [address for address in recipients if address not in seen]
