"""Source bytes of a mail → what a person wants: headers, text, HTML, attachments, links, codes.

Everything is worked out from the stored bytes on demand and nothing here raises on malformed input.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from b2b.sink import headers, markup, mime
from b2b.sink.headers import Address, Field
from b2b.sink.markup import Link

MAX_TEXT_BYTES = 1024 * 1024
"""How much of each text or HTML part is read; the source always has all of it."""

SNIPPET_CHARS = 250
MAX_CODES = 20

TOO_MANY_PARTS = "too many parts"
TEXT_CUT = "text cut"


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part to be saved or referred to; ``size`` counts decoded bytes.

    ``name`` is cleaned and never empty.
    ``is_inline`` says that it belongs to the HTML (an inline disposition, or a Content-ID and no
    disposition). ``content_type`` is the sender's claim: serve it as a download all the same.
    """

    part_id: str
    name: str
    content_type: str
    content_id: str
    size: int
    is_inline: bool


class Node(NamedTuple):
    """A part in the tree of parts; the root has the id ``0`` and depth 0. ``size`` is decoded."""

    part_id: str
    depth: int
    content_type: str
    charset: str
    transfer_encoding: str
    disposition: str
    name: str
    content_id: str
    size: int


@dataclass(frozen=True, slots=True)
class Message:
    """A mail as read. ``date`` is the Date header in UTC, None where missing or unreadable.

    ``html`` is the part as sent: show it through ``safe_html`` only. ``codes`` are one-time codes
    without their grouping, likeliest first. ``notes`` holds ``TOO_MANY_PARTS`` or ``TEXT_CUT``.
    ``has_text`` says whether ``text`` is a part of the mail; else it was read from the HTML.
    """

    headers: tuple[Field, ...]
    subject: str
    sender: Address | None
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    bcc: tuple[Address, ...]
    reply_to: tuple[Address, ...]
    date: datetime | None
    message_id: str
    text: str
    html: str
    attachments: tuple[Attachment, ...]
    links: tuple[Link, ...]
    codes: tuple[str, ...]
    notes: tuple[str, ...]
    has_text: bool
    _parts: dict[str, mime.Part] = field(repr=False, compare=False)

    @property
    def snippet(self) -> str:
        """The first ``SNIPPET_CHARS`` characters of the text on one line, with ``...`` when cut."""
        start = " ".join(self.text[: SNIPPET_CHARS * 8].split())
        return start if len(start) <= SNIPPET_CHARS else f"{start[:SNIPPET_CHARS]}..."

    @property
    def tree(self) -> tuple[Node, ...]:
        """Every part in order, each after the one that holds it."""
        return tuple(
            Node(
                part_id=part.id,
                depth=0 if part.id == "0" else part.id.count(".") + 1,
                content_type=part.content_type,
                charset=part.charset,
                transfer_encoding=part.transfer_encoding,
                disposition=part.disposition,
                name=part.name,
                content_id=part.content_id,
                size=len(part.body) if part.is_multipart else len(part.content()),
            )
            for part in self._parts.values()
        )

    def part(self, part_id: str) -> bytes | None:
        """The decoded content of a part, or None if there is no such part."""
        part = self._parts.get(part_id)
        return None if part is None else part.content()

    def part_type(self, part_id: str) -> str | None:
        """The content type the sender gave a part, or None if there is no such part."""
        part = self._parts.get(part_id)
        return None if part is None else part.content_type

    def safe_html(self, part_url: Callable[[str], str]) -> str:
        """The HTML for a sandboxed frame; ``part_url`` makes an address of a part id."""
        return markup.safe(self.html, self._by_content_id(part_url))

    def html_as_sent(self, part_url: Callable[[str], str]) -> str:
        """The HTML with its ``cid:`` references changed, as Mailpit's /view/<id>.html; not safe."""
        return markup.as_sent(self.html, self._by_content_id(part_url))

    def _by_content_id(self, part_url: Callable[[str], str]) -> markup.PartURL:
        ids = {part.content_id: part.id for part in self._parts.values() if part.content_id}

        def url(content_id: str) -> str | None:
            part_id = ids.get(content_id) or ids.get(content_id.replace("%40", "@"))
            return None if part_id is None else part_url(part_id)

        return url


def read(source: bytes) -> Message:
    """Read any bytes as a mail; what cannot be understood is left out and noted."""
    notes: list[str] = []
    try:
        root = mime.parse(source)
    except mime.TooManyParts:
        notes.append(TOO_MANY_PARTS)
        found, _ = headers.fields(source)
        root = mime.Part("0", found, "text/plain", "", "", "", "", "", memoryview(b""))
    parts = {part.id: part for part in root.walk()}
    texts: list[str] = []
    htmls: list[str] = []
    attachments: list[Attachment] = []
    for part in parts.values():
        if part.is_multipart:
            continue
        if part.content_type in ("text/plain", "text/html") and not _is_attachment(part):
            if len(part.body) > MAX_TEXT_BYTES and TEXT_CUT not in notes:
                notes.append(TEXT_CUT)
            bodies = htmls if part.content_type == "text/html" else texts
            bodies.append(part.text(MAX_TEXT_BYTES))
        else:
            attachments.append(_attachment(part))
    html = "\n".join(htmls)
    html_text, links = markup.read(html) if html else ("", [])
    text = "\n".join(texts) if any(body.strip() for body in texts) else html_text
    known = {link.url for link in links}
    links += [link for link in markup.links_in_text(text) if link.url not in known]
    subject = headers.one_line(headers.decode_words(headers.first(root.fields, "subject")))
    sender = headers.addresses(headers.first(root.fields, "from"))
    return Message(
        headers=tuple(root.fields),
        subject=subject,
        sender=sender[0] if sender else None,
        to=_people(root, "to"),
        cc=_people(root, "cc"),
        bcc=_people(root, "bcc"),
        reply_to=_people(root, "reply-to"),
        date=headers.instant(headers.first(root.fields, "date")),
        message_id=headers.message_id(root.fields),
        text=text,
        html=html,
        attachments=tuple(attachments),
        links=tuple(dict.fromkeys(links))[: markup.MAX_LINKS],
        codes=codes(f"{subject}\n\n{text}"),
        notes=tuple(notes),
        has_text=any(body.strip() for body in texts),
        _parts=parts,
    )


def _people(root: mime.Part, name: str) -> tuple[Address, ...]:
    return tuple(headers.addresses(headers.first(root.fields, name)))


def _is_attachment(part: mime.Part) -> bool:
    return part.disposition == "attachment" or bool(part.name and part.id != "0")


def _attachment(part: mime.Part) -> Attachment:
    name = part.name
    if not name and part.content_type == "message/rfc822":
        inner, _ = headers.fields(bytes(part.body[: 64 * 1024]))
        name = mime.clean_name(f"{headers.decode_words(headers.first(inner, 'subject'))}.eml")
    inline = part.disposition == "inline" or (not part.disposition and bool(part.content_id))
    return Attachment(
        part_id=part.id,
        name=name or f"attachment-{part.id}",
        content_type=part.content_type,
        content_id=part.content_id,
        size=len(part.content()),
        is_inline=inline,
    )


# Scripts that put particles and verbs behind a number without a space, and the counters among them.
_CLOSE = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3"
_COUNTERS = "년월일원개번명회시분초건호층年月日円元個个号號人万萬億亿回時时分秒名"
# 4 to 8 digits, or two groups of 3 or 4; not inside a word, a number, an address, a date or a URL.
_DIGITS = re.compile(
    rf"(?<![^\W{_CLOSE}])(?<![.,:/#+=&?%$€£-])(?<!\d[ \u00a0])"
    r"(\d{4,8}|\d{3,4}[ \u00a0-]\d{3,4})"
    rf"(?![^\W{_CLOSE}]|[{_COUNTERS}%/:=&@€]|[.,-]\d|[ \u00a0-]\d)"
)
_CODE_WORD = re.compile(
    r"\b(?:pass)?codes?\b|\botp\b|\bpin\b|one[- ]time|verification"
    r"|\bc[oó]digo|\bcodice\b|\bkode?\b|\bkod\b|einmal|\bmã\b"
    r"|코드|인증|번호|コード|番号|验证码|驗證碼|代码|代碼|رمز|код",
    re.IGNORECASE,
)
_NEAR = 80


def codes(text: str) -> tuple[str, ...]:
    """The one-time codes in ``text``, as digits only.

    First those near a word such as *code*, then numbers of five digits and more
    that stand alone on their line.
    """
    near: list[str] = []
    alone: list[str] = []
    for match in _DIGITS.finditer(text[:MAX_TEXT_BYTES]):
        digits = re.sub(r"\D", "", match[1])
        start, end = match.span()
        around = text[max(0, start - _NEAR) : start] + " " + text[end : end + _NEAR]
        if _CODE_WORD.search(around):
            near.append(digits)
        elif len(digits) > 4:
            line_start = text.rfind("\n", 0, start) + 1
            line_end = text.find("\n", end)
            line = text[line_start : line_end if line_end >= 0 else len(text)]
            if line.strip(" \t\u00a0*_-|") == match[1]:
                alone.append(digits)
        if len(near) + len(alone) >= MAX_CODES:
            break
    return tuple(dict.fromkeys(near + alone))
