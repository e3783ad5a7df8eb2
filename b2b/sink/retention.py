"""What is kept, and for how long: the oldest mail goes first, in steps that hold nobody up."""

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select

from b2b import clock
from b2b.sink import trash_can
from b2b.sink.store import Store
from b2b.sink.tables import mailbox, messages

STEP = 100
"""Mails that one transaction drops."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The most mails, octets of sources, and seconds; 0 for no limit."""

    mails: int = 0
    octets: int = 0
    seconds: float = 0


def retain(store: Store, limits: Limits) -> int:
    """One step towards the limits: drop up to ``STEP`` of the oldest mails; how many went."""
    keys = _superfluous(store, limits)
    with store.reading() as connection:
        is_over = trash_can.is_over(connection)
    if not keys and not is_over:
        return 0
    with store.writing() as connection:
        if is_over:
            trash_can.empty(connection, STEP)
        return store.drop(connection, keys) if keys else 0


def _superfluous(store: Store, limits: Limits) -> list[int]:
    with store.reading() as connection:
        total, octets = connection.execute(select(mailbox.c.total, mailbox.c.bytes)).one()
        over_mails = total - limits.mails if limits.mails else 0
        over_octets = octets - limits.octets if limits.octets else 0
        if over_mails <= 0 and over_octets <= 0 and not limits.seconds:
            return []
        oldest = connection.execute(
            select(messages.c.key, messages.c.size, messages.c.received_at)
            .order_by(messages.c.key)
            .limit(STEP)
        ).all()
    since = clock.now() - timedelta(seconds=limits.seconds) if limits.seconds else None
    keys = []
    for key, size, received_at in oldest:
        is_old = since is not None and received_at < since
        if over_mails <= 0 and over_octets <= 0 and not is_old:
            break
        keys.append(key)
        over_mails -= 1
        over_octets -= size
    return keys
