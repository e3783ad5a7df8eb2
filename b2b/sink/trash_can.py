"""Deleted mail that may come back: kept whole beside the mailbox for a while, under its old id."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, insert, select

from b2b import clock
from b2b.sink import rows
from b2b.sink.rows import Arrival
from b2b.sink.tables import message_tags, messages, recipients, sources, tags, trash

TRASH_KEPT = timedelta(minutes=10)
"""How long a deleted mail can come back."""


class Back(NamedTuple):
    """A mail from the trash as rows: of messages, of recipients (without the key), of sources; and
    the names of its tags.
    """

    message: dict[str, Any]
    recipients: list[dict[str, Any]]
    source: dict[str, Any]
    tags: list[str]


def put(connection: Connection, keys: Sequence[int]) -> None:
    """Copy mails into the trash, within a writing transaction; the caller then deletes them."""
    people: dict[int, list[str]] = {}
    for key, address in connection.execute(
        select(recipients.c.message_key, recipients.c.address)
        .where(recipients.c.message_key.in_(keys))
        .order_by(recipients.c.message_key, recipients.c.position)
    ):
        people.setdefault(key, []).append(address)
    names: dict[int, list[str]] = {}
    for key, name in connection.execute(
        select(message_tags.c.message_key, tags.c.name)
        .join(tags, tags.c.id == message_tags.c.tag_id)
        .where(message_tags.c.message_key.in_(keys))
    ):
        names.setdefault(key, []).append(name)
    now = clock.now()
    found = connection.execute(
        select(
            messages.c.key,
            messages.c.id,
            messages.c.received_at,
            messages.c.envelope_sender,
            messages.c.username,
            messages.c.is_read,
            sources.c.packed,
            sources.c.conversation,
        )
        .join(sources, sources.c.message_key == messages.c.key)
        .where(messages.c.key.in_(keys))
    )
    kept = [
        {
            **row,
            "deleted_at": now,
            "recipients": people.get(row["key"], []),
            "tags": names.get(row["key"], []),
        }
        for row in found.mappings()
    ]
    if kept:
        connection.execute(insert(trash), kept)


def take(connection: Connection, ids: Sequence[str]) -> list[Back]:
    """Take mails out of the trash, within a writing transaction, for the caller to put in place."""
    found = connection.execute(select(trash).where(trash.c.id.in_(ids))).mappings().all()
    back = []
    for row in found:
        arrival = Arrival(
            row["envelope_sender"],
            row["recipients"],
            rows.unpacked(row["packed"]),
            row["received_at"],
            username=row["username"],
        )
        message = rows.of_arrival(arrival)
        message.update(key=row["key"], id=row["id"], is_read=row["is_read"])
        source = {
            "message_key": row["key"],
            "packed": row["packed"],
            "conversation": row["conversation"],
        }
        back.append(Back(message, rows.of_envelope(row["recipients"]), source, row["tags"]))
    connection.execute(delete(trash).where(trash.c.key.in_([row["key"] for row in found])))
    return back


def is_over(connection: Connection) -> bool:
    """Whether the time of a mail in the trash is over."""
    over = select(trash.c.key).where(trash.c.deleted_at < clock.now() - TRASH_KEPT).limit(1)
    return connection.scalar(over) is not None


def empty(connection: Connection, limit: int) -> int:
    """Drop up to *limit* mails whose time is over, within a writing transaction; how many."""
    over = (
        select(trash.c.key).where(trash.c.deleted_at < clock.now() - TRASH_KEPT).limit(limit)
    ).scalar_subquery()
    return connection.execute(delete(trash).where(trash.c.key.in_(over))).rowcount
