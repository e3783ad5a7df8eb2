"""Mail that was not taken: kept apart from the inbox, cut, with the reason that was given."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import delete, func, insert, select, update

from b2b import clock
from b2b.sink import headers
from b2b.sink.tables import mailbox, refusals

if TYPE_CHECKING:
    from b2b.sink.store import Store

KEPT = 200
"""The newest that are kept; all are counted."""

MAX_SOURCE = 64 * 1024
"""Octets of a source that are kept."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """``stage`` is mail, rcpt, data or content; ``source`` is cut, and None before DATA.

    ``size`` counts the octets that came. ``id`` is 0 until it is kept.
    """

    stage: str
    reply: str
    sender: str
    recipients: Sequence[str]
    size: int
    source: bytes | None
    conversation: str
    refused_at: datetime = field(default_factory=clock.now)
    subject: str = ""
    id: int = 0


def keep(store: "Store", refused: Sequence[Refusal], *, more: int = 0) -> None:
    """Keep ``refused`` and drop the oldest beyond ``KEPT``; ``more`` were refused besides."""
    with store.writing() as connection:
        connection.execute(
            update(mailbox).values(
                refused_ever=mailbox.c.refused_ever + len(refused) + more,
                latest_change=mailbox.c.latest_change + 1,
            )
        )
        if not refused:
            return
        connection.execute(insert(refusals), [_row(one) for one in refused])
        newest = select(func.max(refusals.c.id)).scalar_subquery()
        connection.execute(delete(refusals).where(refusals.c.id <= newest - KEPT))


def _row(refusal: Refusal) -> dict[str, object]:
    source = refusal.source
    found = headers.fields(source)[0] if source else []
    return {
        "refused_at": refusal.refused_at,
        "stage": refusal.stage,
        "reply": refusal.reply,
        "sender": headers.one_line(refusal.sender),
        "recipients": [headers.one_line(one) for one in refusal.recipients],
        "subject": headers.one_line(headers.decode_words(headers.first(found, "subject")))[:1_000],
        "size": refusal.size,
        "packed": None if source is None else zlib.compress(source[:MAX_SOURCE], 1),
        "conversation": refusal.conversation,
    }


def newest(store: "Store", *, limit: int = 50) -> list[Refusal]:
    """The newest refusals, newest first, without their sources."""
    columns = [column for column in refusals.c if column.name != "packed"]
    statement = select(*columns).order_by(refusals.c.id.desc()).limit(limit)
    with store.reading() as connection:
        return [
            Refusal(**row, source=None) for row in connection.execute(statement).mappings().all()
        ]


def get(store: "Store", refusal_id: int) -> Refusal | None:
    """One refusal with what is kept of its source, or None."""
    if not 0 < refusal_id < 1 << 63:
        return None
    with store.reading() as connection:
        row = connection.execute(select(refusals).where(refusals.c.id == refusal_id)).mappings()
        found = row.one_or_none()
    if found is None:
        return None
    values = dict(found)
    packed = values.pop("packed")
    return Refusal(**values, source=None if packed is None else zlib.decompress(packed))


def clear(store: "Store") -> None:
    """Forget all refusals; their number stays counted."""
    with store.writing() as connection:
        connection.execute(delete(refusals))
        connection.execute(update(mailbox).values(latest_change=mailbox.c.latest_change + 1))
