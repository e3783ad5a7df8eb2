"""Header fields of a mail as they came, and as a person reads them. Bad input never raises.

The standard library's header classes raise on some malformed fields and cost about a millisecond a
mail, too much to pay before a mail is acknowledged; its address parser is used where the simple
case fails.
"""

import base64
import binascii
import email.utils
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

MAX_FIELDS = 1_000
MAX_FIELD_CHARS = 16_384
MAX_ADDRESSES = 100

_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:([^\n]*(?:\n[ \t][^\n]*)*)(?:\n|\Z)")
_END_OF_HEADERS = re.compile(rb"\n\r?\n")
_ENCODED_WORD = re.compile(r"=\?([^?\s]{1,60})\?([bBqQ])\?([^?\n]*)\?=")
_ONE_MAILBOX = re.compile(
    r"""\s*(?:(?:"([^"\\<>]*)"|([^"\\<>@,;:()\[\]]*?))\s*<([^<>\s@,;:"]+@[^<>\s@,;:"]+)>"""
    r"""|([^<>\s@,;:"()]+@[^<>\s@,;:"()]+))\s*\Z"""
)
# Characters that a list row must not carry: controls, line ends, and the marks that reverse text
# direction (they can make a name read as another one). PostgreSQL refuses NUL and lone surrogates.
_UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# Codecs that are no character sets of mail, or take quadratic time.
_REFUSED_CODECS = frozenset(
    ("punycode", "idna", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem")
)


class Field(NamedTuple):
    """One header field: ``raw`` is unfolded but not decoded, ``value`` is what a person reads."""

    name: str
    raw: str

    @property
    def value(self) -> str:
        """The value with encoded words (RFC 2047) decoded, on one line."""
        return one_line(decode_words(self.raw))


class Address(NamedTuple):
    """A display name (may be empty) and an address, both decoded."""

    name: str
    address: str


def fields(source: bytes, start: int = 0, end: int | None = None) -> tuple[list[Field], int]:
    """The header fields of ``source[start:end]`` in order, and the offset where its body begins.

    As in the standard library a line that is no header field begins the body. At most
    ``MAX_FIELDS`` are kept, each cut at ``MAX_FIELD_CHARS``.
    """
    end = len(source) if end is None else end
    found: list[Field] = []
    at = start
    if source.startswith(b"From ", at, end):  # the separator line of an mbox file
        at = source.find(b"\n", at, end) + 1 or end
    while match := _FIELD.match(source, at, end):
        at = match.end()
        if len(found) == MAX_FIELDS:
            blank = _END_OF_HEADERS.search(source, at - 1, end)
            return found, blank.end() if blank else end
        value = match[2][: MAX_FIELD_CHARS * 4]
        unfolded = to_text(value).replace("\r\n", "").replace("\n", "").strip()
        found.append(Field(match[1].decode("ascii"), unfolded[:MAX_FIELD_CHARS]))
    if source.startswith(b"\r\n", at, end):
        at += 2
    elif source.startswith(b"\n", at, end):
        at += 1
    return found, at


def first(found: list[Field], name: str) -> str:
    """The undecoded value of the first field of that lower-case ``name``, or an empty string."""
    return next((field.raw for field in found if field.name.lower() == name), "")


def to_text(content: bytes, charset: str = "") -> str:
    """Decode with ``charset`` where Python knows it, else as UTF-8, else as Windows text."""
    if charset and charset.lower().replace("-", "_") not in _REFUSED_CODECS:
        try:
            return content.decode(charset)
        except (LookupError, UnicodeError):
            pass
        except ValueError:  # a charset name with a NUL in it
            pass
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def one_line(text: str) -> str:
    """``text`` without control, direction and line-end characters."""
    return _UNSEEN.sub(" ", text).strip()


def decode_words(value: str) -> str:
    """Decode the encoded words of RFC 2047; what cannot be decoded stays as it is."""
    if "=?" not in value:
        return value
    decoded: list[str] = []
    at, before, held, held_charset = 0, False, b"", ""

    def release() -> None:
        nonlocal held
        if held:
            decoded.append(to_text(held, held_charset))
            held = b""

    for word in _ENCODED_WORD.finditer(value):
        between = value[at : word.start()]
        if not before or between.strip():  # white space between two encoded words is not text
            release()
            decoded.append(between)
        charset = word[1].partition("*")[0].lower()  # RFC 2231 allows a language after the charset
        if charset != held_charset:
            release()
        held_charset = charset
        # Joined before decoding: senders cut words in the middle of a character.
        held += _word_bytes(word[2], word[3])
        at, before = word.end(), True
    release()
    decoded.append(value[at:])
    return "".join(decoded)


def _word_bytes(encoding: str, content: str) -> bytes:
    raw = content.encode("utf-8", "replace")
    if encoding in "bB":
        return from_base64(raw)
    return binascii.a2b_qp(raw, header=True)


def from_base64(content: bytes) -> bytes:
    """Decode base64 as far as it goes: foreign characters skipped, missing padding supplied."""
    letters = re.sub(rb"[^A-Za-z0-9+/]", b"", content)
    letters = letters[: len(letters) - 1] if len(letters) % 4 == 1 else letters
    return base64.b64decode(letters + b"=" * (-len(letters) % 4))


def addresses(value: str) -> list[Address]:
    """The mailboxes of an address field's undecoded ``value``, at most ``MAX_ADDRESSES``."""
    if not value:
        return []
    if match := _ONE_MAILBOX.match(value):
        name = match[1] if match[1] is not None else match[2] or ""
        return [Address(one_line(decode_words(name)), one_line(match[3] or match[4]))]
    return list(_parsed(value))


def _parsed(value: str) -> Iterator[Address]:
    try:
        pairs = email.utils.getaddresses([value])
    except Exception:  # the parser recurses into comments and indexes past the end of some inputs
        return
    for name, address in pairs[:MAX_ADDRESSES]:
        if name or address:
            yield Address(one_line(decode_words(name)), one_line(decode_words(address)))


def instant(value: str) -> datetime | None:
    """The moment of a ``Date`` field, aware and in UTC; None where it cannot be read."""
    try:
        moment = email.utils.parsedate_to_datetime(value)
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except Exception:  # TypeError, ValueError, OverflowError, IndexError have all been seen
        return None


def message_id(found: list[Field]) -> str:
    """The Message-ID without its angle brackets, or an empty string."""
    return bare_id(first(found, "message-id"))


def bare_id(value: str) -> str:
    """A Message-ID field's undecoded ``value`` without angle brackets."""
    return one_line(value).removeprefix("<").removesuffix(">")
