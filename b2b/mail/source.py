"""A message as the bytes that go over the wire, put together by hand.

The library's generator takes longer for one letter than rendering it does, and longer than the mail
server takes to keep it (scale.md, 8). What it guards against is guarded against here too: a value
with a line break or another control makes no header.
"""

import base64
import binascii
import functools
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from email.header import Header, decode_header, make_header
from email.utils import format_datetime, formataddr, parseaddr
from hashlib import sha256
from typing import Protocol

WIDTH = 76
"""Octets that a header line should not exceed (RFC 5322, 2.1.1, says 78)."""
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


class Picture(Protocol):
    """A picture within the HTML part."""

    @property
    def cid(self) -> str:
        """What the HTML calls it, after `cid:`."""

    @property
    def media_type(self) -> str:
        """Such as image/png."""

    @property
    def encoded(self) -> str:
        """Base64 in lines."""


class UnfitHeader(ValueError):
    """A value that would end its header, or start another one."""


class Letter(Protocol):
    """What there is to send. Without *html* it is plain text alone."""

    @property
    def subject(self) -> str:
        """One line."""

    @property
    def sender(self) -> str:
        """One mailbox, with or without a name."""

    @property
    def reply_to(self) -> str | None:
        """Likewise."""

    @property
    def body(self) -> str:
        """The text part."""

    @property
    def html(self) -> str | None:
        """The HTML part."""

    @property
    def message_id(self) -> str:
        """In angle brackets."""

    @property
    def extra_headers(self) -> Mapping[str, str]:
        """More headers, in their order."""

    @property
    def inline(self) -> Sequence[Picture]:
        """Pictures that the HTML names."""


def of(letter: Letter, *, recipient: str, date: datetime) -> bytes:
    """The source of one message, lines ending in CRLF, in ASCII throughout.

    Text and HTML are alternatives of each other, and the pictures belong to the HTML alone (RFC
    2387). Sender, *recipient* and answering address are one mailbox each, with or without a name.
    Raises UnfitHeader for a control in any value, UnicodeEncodeError for an address outside ASCII.
    """
    head = [
        _subject(letter.subject),
        _mailbox("From", letter.sender),
        _mailbox("To", recipient),
        "Date: " + format_datetime(date),
        _line("Message-ID", letter.message_id),
    ]
    if letter.reply_to:
        head.append(_mailbox("Reply-To", letter.reply_to))
    for name, value in letter.extra_headers.items():
        head.append(_mailbox(name, value) if name == "Cc" else _line(name, value))
    head.append("MIME-Version: 1.0")
    # An equals sign followed by an underscore stands in no encoded part.
    mark = sha256(letter.message_id.encode()).hexdigest()[:24]
    body = _text("plain", letter.body)
    if letter.html is not None:
        shown = _text("html", letter.html)
        if letter.inline:
            related = [shown, *map(_picture, letter.inline)]
            shown = _parts('related; type="text/html"', f"=_related_{mark}", related)
        body = _parts("alternative", f"=_alternative_{mark}", [body, shown])
    return "\r\n".join(head).encode("ascii") + b"\r\n" + body


def _checked(value: str) -> str:
    if _CONTROLS.search(value):
        raise UnfitHeader("a control character in a header")
    return value


def _line(name: str, value: str) -> str:
    """An unstructured header in ASCII; what is too long for a line begins on the next one, whole:
    a link in angle brackets must not be cut.
    """
    _checked(value).encode("ascii")
    gap = " " if len(name) + 2 + len(value) <= WIDTH else "\r\n "
    return f"{name}:{gap}{value}"


@functools.lru_cache(256)
def _subject(value: str) -> str:
    if _checked(value).isascii() and len(value) <= WIDTH - 9:
        return "Subject: " + value
    words = Header(value, "us-ascii" if value.isascii() else "utf-8", header_name="Subject")
    return "Subject: " + words.encode(linesep="\r\n")


@functools.lru_cache(256)
def _mailbox(name: str, value: str) -> str:
    """A header with one mailbox: letters repeat sender and answering address."""
    called, address = parseaddr(_checked(value))
    if not address or len(address) > 320:
        raise UnfitHeader("not one address")
    address.encode("ascii")
    _checked(address)
    if "=?" in called:
        called = _checked(str(make_header(decode_header(called))))
    if not called:
        return f"{name}: {address}"
    if called.isascii():
        whole = formataddr((called, address))
        if len(name) + 2 + len(whole) <= WIDTH:
            return f"{name}: {whole}"
        called = formataddr((called, "")).removesuffix(" <>")
    else:
        called = Header(called, "utf-8", header_name=name).encode(linesep="\r\n")
    return f"{name}: {called}\r\n <{address}>"


def _text(kind: str, text: str) -> bytes:
    """A part of text with its own headers, in the shorter of the two encodings."""
    content = "\r\n".join(text.replace("\r\n", "\n").replace("\r", "\n").split("\n")).encode()
    # Quoted-printable takes three octets for one, base64 four for three.
    if len(content) - len(content.translate(None, _OUTSIDE)) > len(content) // 6:
        coding, data = "base64", base64.encodebytes(content).replace(b"\n", b"\r\n")
    else:
        coding, data = "quoted-printable", binascii.b2a_qp(content, istext=True)
    return (
        f'Content-Type: text/{kind}; charset="utf-8"\r\nContent-Transfer-Encoding: {coding}\r\n\r\n'
    ).encode() + data


_OUTSIDE = bytes(range(128, 256))


def _picture(picture: Picture) -> bytes:
    lines = "\r\n".join(picture.encoded.split())
    return (
        f"Content-Type: {_checked(picture.media_type)}\r\nContent-Transfer-Encoding: base64\r\n"
        f"Content-ID: <{_checked(picture.cid)}>\r\nContent-Disposition: inline\r\n\r\n{lines}\r\n"
    ).encode("ascii")


def _parts(kind: str, boundary: str, parts: Sequence[bytes]) -> bytes:
    between = f"\r\n--{boundary}\r\n".encode()
    return (
        f'Content-Type: multipart/{kind};\r\n boundary="{boundary}"\r\n'.encode()
        + b"".join(between + part for part in parts)
        + f"\r\n--{boundary}--\r\n".encode()
    )
