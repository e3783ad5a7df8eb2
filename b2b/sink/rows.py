"""Between a mail and its rows: what is stored of it at once, what later, and what a list shows."""

import os
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from b2b import clock
from b2b.sink import headers, message, search, tagging
from b2b.sink.headers import Address

MAX_WORDS = 64 * 1024
"""Characters of a mail that search sees; the index of trigrams is several times their size."""

MAX_SUBJECT = 1_000

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_IN_BRACKETS = re.compile(r"<([^<>]+)>")
_PEOPLE = ("from", "to", "cc", "reply-to")


def new_id() -> str:
    """A public id: 22 characters of [0-9A-Za-z], 128 random bits, shaped as Mailpit's."""
    random = os.urandom(16)
    letters = []
    for half in (random[:8], random[8:]):
        number = int.from_bytes(half)
        for _ in range(11):  # 62 ** 11 is more than 2 ** 64
            number, at = divmod(number, 62)
            letters.append(_ALPHABET[at])
    return "".join(letters)


@dataclass(slots=True)
class Arrival:
    """A mail as handed over: the envelope, and the bytes exactly as sent (dots unstuffed).

    ``packed`` is the same, from ``packer`` or ``packed``, where it was packed on its way in.
    ``username`` is who signed in to send it. ``conversation`` are the lines of SMTP that brought
    it.
    """

    sender: str
    recipients: Sequence[str]
    source: bytes
    received_at: datetime = field(default_factory=clock.now)
    packed: bytes | None = None
    username: str = ""
    conversation: str | None = None
    id: str = field(default_factory=new_id)


@dataclass(frozen=True, slots=True)
class Summary:
    """A row of the list. ``key`` is the cursor and orders by arrival, ``id`` is for the outside.

    ``envelope_recipients`` are lower-cased and without repeats; a person in them but not in ``to``
    or ``cc`` was a blind copy. ``size`` counts bytes of the source. ``attachments`` are files,
    ``inline_parts`` belong to the HTML. Until ``is_indexed`` both are 0, ``snippet`` and ``thread``
    are empty, and ``tags`` (in the order of the alphabet) are those given by hand.
    """

    key: int
    id: str
    received_at: datetime
    envelope_sender: str
    envelope_recipients: tuple[str, ...]
    size: int
    subject: str
    sender: Address | None
    to: tuple[Address, ...]
    cc: tuple[Address, ...]
    reply_to: tuple[Address, ...]
    message_id: str
    snippet: str
    attachments: int
    is_read: bool
    is_indexed: bool
    inline_parts: int = 0
    username: str = ""
    thread: str = ""
    tags: tuple[str, ...] = ()


class Indexed(NamedTuple):
    """What only a full reading finds; ``words`` is the normalised text that search sees."""

    columns: dict[str, Any]
    words: str
    tags: tuple[str, ...]


def packer() -> "zlib._Compress":
    """What packs a source, in pieces; ``unpacked`` reads it."""
    return zlib.compressobj(1)


def packed(source: bytes) -> bytes:
    """*source* as it is kept."""
    return zlib.compress(source, 1)


def unpacked(kept: bytes) -> bytes:
    """The source again."""
    return zlib.decompress(kept)


def of_arrival(arrival: Arrival) -> dict[str, Any]:
    """The columns of ``messages`` (but for the key) that the header block gives."""
    found: dict[str, str] = {}
    for name, raw in headers.fields(arrival.source)[0]:
        found.setdefault(name.lower(), raw)
    people = {name: headers.addresses(found.get(name, "")) for name in _PEOPLE}
    blind = found.get("bcc", "")
    subject = headers.one_line(headers.decode_words(found.get("subject", "")))[:MAX_SUBJECT]
    return {
        "id": arrival.id,
        "received_at": arrival.received_at,
        "envelope_sender": headers.one_line(arrival.sender),
        "size": len(arrival.source),
        "subject": subject,
        "addresses": {name: value for name, value in people.items() if value},
        "message_id": headers.bare_id(found.get("message-id", ""))[:MAX_SUBJECT],
        "subject_words": search.normal(subject),
        "from_words": _words(people["from"]),
        "to_words": _words(people["to"]),
        "cc_words": _words(people["cc"]),
        "snippet": "",
        "attachments": 0,
        "is_read": False,
        "is_indexed": False,
        "bcc_words": _words(headers.addresses(blind)) if blind else "",
        "reply_to_words": _words(people["reply-to"]),
        "username": headers.one_line(arrival.username)[:MAX_SUBJECT],
    }


def of_envelope(addresses: Sequence[str]) -> list[dict[str, Any]]:
    """The columns of ``recipients`` (but for the key), one row per different address."""
    different = dict.fromkeys(headers.one_line(address).lower() for address in addresses)
    return [
        {"position": position, "address": address, "domain": address.rpartition("@")[2]}
        for position, address in enumerate(different)
    ]


def indexed(source: bytes) -> Indexed:
    """Read ``source`` in full for the snippet and for search."""
    mail = message.read(source)
    people = [*mail.to, *mail.cc, *mail.bcc, *mail.reply_to]
    if mail.sender:
        people.insert(0, mail.sender)
    words = "\n".join(
        (
            mail.subject[:MAX_SUBJECT],
            " ".join(f"{person.name} {person.address}" for person in people),
            " ".join(attachment.name for attachment in mail.attachments),
            mail.text[:MAX_WORDS],
            " ".join(link.url for link in mail.links),
        )
    )
    inline = sum(attachment.is_inline for attachment in mail.attachments)
    columns = {
        "snippet": mail.snippet,
        "attachments": len(mail.attachments) - inline,
        "inline_parts": inline,
        "thread": _thread(mail),
        "sender_address": mail.sender.address.lower()[:MAX_SUBJECT] if mail.sender else "",
        "bcc_words": _words(mail.bcc),
        "reply_to_words": _words(mail.reply_to),
        "is_indexed": True,
    }
    return Indexed(columns, search.normal(words[:MAX_WORDS]), tagging.automatic(mail))


def summary(
    row: Mapping[str, Any], envelope_recipients: tuple[str, ...], tags: tuple[str, ...] = ()
) -> Summary:
    """A row of ``messages`` as the list shows it."""
    people = {
        name: tuple(Address(*pair) for pair in row["addresses"].get(name, ())) for name in _PEOPLE
    }
    return Summary(
        key=row["key"],
        id=row["id"],
        received_at=row["received_at"],
        envelope_sender=row["envelope_sender"],
        envelope_recipients=envelope_recipients,
        size=row["size"],
        subject=row["subject"],
        sender=people["from"][0] if people["from"] else None,
        to=people["to"],
        cc=people["cc"],
        reply_to=people["reply-to"],
        message_id=row["message_id"],
        snippet=row["snippet"],
        attachments=row["attachments"],
        is_read=row["is_read"],
        is_indexed=row["is_indexed"],
        inline_parts=row["inline_parts"],
        username=row["username"],
        thread=row["thread"],
        tags=tags,
    )


def _thread(mail: message.Message) -> str:
    """The Message-ID that the conversation began with, as far as this mail says."""
    found = list(mail.headers)
    for name in ("references", "in-reply-to"):
        if begun := _IN_BRACKETS.search(headers.first(found, name)):
            return headers.one_line(begun[1])[:MAX_SUBJECT]
    return mail.message_id[:MAX_SUBJECT]


def _words(people: Sequence[Address]) -> str:
    """Names and addresses for search; an address stands between angle brackets, to be met whole."""
    return search.normal(
        " ".join(
            f"{person.name.replace('<', ' ').replace('>', ' ')} <{person.address}>"
            for person in people
        )
    )
