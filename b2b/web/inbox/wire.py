"""Mailpit's JSON objects (REST API v1, 1.30) made of ours. Keys and types are Mailpit's own.

Differences, all on the side that its clients accept: empty lists of people are ``[]`` and never
null; a message also carries ``Read``. ``raw`` and the headers are of the bytes as sent,
to which Mailpit adds fields of its own.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from b2b.sink import headers
from b2b.sink.headers import Address, Field
from b2b.sink.message import Attachment, Message
from b2b.sink.store import Counters, Summary
from b2b.web.inbox.letters import blind_copies

Object = dict[str, Any]

_IN_BRACKETS = re.compile(r"<([^<>]*)>")


def instant(at: datetime) -> str:
    """RFC 3339 in UTC, to the millisecond, trailing zeros cut: 2026-11-21T09:41:05.12Z."""
    text = at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text}Z"


def person(address: Address | None) -> Object:
    """An Address; both empty where there is none."""
    return {
        "Name": address.name if address else "",
        "Address": address.address if address else "",
    }


def people(addresses: Iterable[Address]) -> list[Object]:
    """A list of Address."""
    return [person(address) for address in addresses]


def blind(recipients: Iterable[str], *named: Iterable[Address]) -> list[Object]:
    """The envelope's recipients whom no field names, without names; Mailpit shows them as Bcc."""
    return people(Address("", address) for address in blind_copies(recipients, *named))


def summary(row: Summary) -> Object:
    """A MessageSummary."""
    return {
        "ID": row.id,
        "MessageID": row.message_id,
        "Read": row.is_read,
        "From": person(row.sender),
        "To": people(row.to),
        "Cc": people(row.cc),
        "Bcc": blind(row.envelope_recipients, row.to, row.cc),
        "ReplyTo": people(row.reply_to),
        "Subject": row.subject,
        "Created": instant(row.received_at),
        "Username": row.username,
        "Tags": list(row.tags),
        "Size": row.size,
        "Attachments": row.attachments,
        "Snippet": row.snippet,
    }


def summaries(
    counters: Counters,
    matching: tuple[int, int],
    start: int,
    rows: Sequence[Summary],
    tags: Sequence[str],
) -> Object:
    """A MessagesSummary; *matching* is how many the query finds, and how many of them unread."""
    return {
        "total": counters.total,
        "unread": counters.unread,
        "count": len(rows),
        "messages_count": matching[0],
        "messages_unread": matching[1],
        "start": start,
        "tags": list(tags),
        "messages": [summary(row) for row in rows],
    }


def message(row: Summary, mail: Message) -> Object:
    """A Message. ``ReturnPath`` is the envelope's sender, as Mailpit makes it."""
    listed = [attachment for attachment in mail.attachments if _is_listed(attachment)]
    return {
        "ID": row.id,
        "MessageID": mail.message_id,
        "Read": True,
        "From": person(mail.sender),
        "To": people(mail.to),
        "Cc": people(mail.cc),
        "Bcc": people(mail.bcc) + blind(row.envelope_recipients, mail.to, mail.cc, mail.bcc),
        "ReplyTo": people(mail.reply_to),
        "ReturnPath": row.envelope_sender,
        "Subject": mail.subject,
        "ListUnsubscribe": list_unsubscribe(mail.headers),
        "Date": instant(mail.date or row.received_at),
        "Tags": list(row.tags),
        "Username": row.username,
        "Text": mail.text,
        "HTML": mail.html,
        "Size": row.size,
        "Inline": [attachment(mail, one) for one in listed if one.is_inline],
        "Attachments": [attachment(mail, one) for one in listed if not one.is_inline],
    }


def _is_listed(one: Attachment) -> bool:
    """Parts with neither a file name nor a Content-ID are in neither of Mailpit's lists."""
    return bool(one.content_id) or one.name != f"attachment-{one.part_id}"


def attachment(mail: Message, one: Attachment) -> Object:
    """An Attachment, with checksums of its decoded content."""
    content = mail.part(one.part_id) or b""
    unnamed = one.name == f"attachment-{one.part_id}"
    return {
        "PartID": one.part_id,
        "FileName": one.content_id if unnamed and one.content_id else one.name,
        "ContentType": one.content_type,
        "ContentID": one.content_id,
        "Size": one.size,
        "Checksums": {
            "MD5": hashlib.md5(content, usedforsecurity=False).hexdigest(),
            "SHA1": hashlib.sha1(content, usedforsecurity=False).hexdigest(),
            "SHA256": hashlib.sha256(content).hexdigest(),
        },
    }


def list_unsubscribe(found: Sequence[Field]) -> Object:
    """The List-Unsubscribe field, its addresses, and the field for one-click (RFC 8058)."""
    header = headers.first(list(found), "list-unsubscribe")
    addresses = [address.strip() for address in _IN_BRACKETS.findall(header)]
    return {
        "Header": header,
        "Links": addresses,
        "Errors": "no addresses in angle brackets" if header and not addresses else "",
        "HeaderPost": headers.first(list(found), "list-unsubscribe-post"),
    }


def header_object(found: Sequence[Field]) -> dict[str, list[str]]:
    """Every field by its name in Go's canonical case, sorted; unfolded, not decoded."""
    values: dict[str, list[str]] = {}
    for field in found:
        name = "-".join(word.capitalize() for word in field.name.split("-"))
        values.setdefault(name, []).append(field.raw)
    return dict(sorted(values.items()))
