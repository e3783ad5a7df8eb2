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
from dataclasses import dataclass
from datetime import datetime
from email.header import Header, decode_header, make_header
from email.utils import format_datetime, formataddr, parseaddr
from hashlib import sha256
from typing import Protocol

WIDTH = 76
"""Octets that a header line should not exceed (RFC 5322, 2.1.1, says 78)."""
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_ADDRESS = re.compile(r"[\w.+-]{1,64}@[\w.-]{1,255}", re.ASCII)
"""A mailbox as most are, without anything that could need a second look."""


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
    def body(self) -> Sequence[str]:
        """The text part in pieces. Those at even places may recur in other letters."""

    @property
    def html(self) -> Sequence[str] | None:
        """The HTML part, likewise."""

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
            pictures = [_picture(it.media_type, it.cid, it.encoded) for it in letter.inline]
            related = [shown, *pictures]
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
    if _ADDRESS.fullmatch(value):
        return f"{name}: {value}"
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


def _text(kind: str, pieces: Sequence[str]) -> bytes:
    """A part of text with its own headers, in the shorter of the two encodings."""
    # What many letters share is encoded once.
    made = [_recurring(it) if n % 2 == 0 else _encoded(it) for n, it in enumerate(pieces)]
    # Quoted-printable takes three octets for one, base64 four for three.
    if sum(piece.outside for piece in made) > sum(len(piece.raw) for piece in made) // 6:
        raw = b"".join(piece.raw for piece in made)
        coding, data = "base64", base64.encodebytes(raw).replace(b"\n", b"\r\n")
    else:
        coding, data = "quoted-printable", b"".join(piece.quoted for piece in made)
        # A blank must not be the end; it may be the end before a soft break.
        if not data.endswith((b" =\r\n", b"\t=\r\n")):
            data = data.removesuffix(_SOFT)
    return (
        f'Content-Type: text/{kind}; charset="utf-8"\r\nContent-Transfer-Encoding: {coding}\r\n\r\n'
    ).encode() + data


@dataclass(frozen=True)
class _Encoded:
    """A piece of text, lines ending in CRLF; `quoted` ends at the end of a line."""

    raw: bytes
    quoted: bytes
    outside: int
    """Octets outside ASCII."""


def _encoded(piece: str) -> _Encoded:
    raw = piece.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n").encode()
    # One octet more makes room for the mark of a soft break and keeps blanks from being the end;
    # by the first line end the encoder knows which to write itself.
    quoted = binascii.b2a_qp(raw + b"x\r\n", istext=True)[:-3]
    if quoted and not quoted.endswith(b"\r\n"):
        quoted += _SOFT
    return _Encoded(raw, quoted, len(raw) - len(raw.translate(None, _OUTSIDE)))


_recurring = functools.lru_cache(512)(_encoded)
_SOFT = b"=\r\n"
_OUTSIDE = bytes(range(128, 256))


@functools.lru_cache(64)
def _picture(media_type: str, cid: str, encoded: str) -> bytes:
    lines = "\r\n".join(encoded.split())
    return (
        f"Content-Type: {_checked(media_type)}\r\nContent-Transfer-Encoding: base64\r\n"
        f"Content-ID: <{_checked(cid)}>\r\nContent-Disposition: inline\r\n\r\n{lines}\r\n"
    ).encode("ascii")


def _parts(kind: str, boundary: str, parts: Sequence[bytes]) -> bytes:
    between = f"\r\n--{boundary}\r\n".encode()
    return (
        f'Content-Type: multipart/{kind};\r\n boundary="{boundary}"\r\n'.encode()
        + b"".join(between + part for part in parts)
        + f"\r\n--{boundary}--\r\n".encode()
    )
