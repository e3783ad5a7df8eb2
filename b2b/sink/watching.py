"""What has happened in the store since the last look, for whoever waits for it.

Everybody writes to the store: the sink, several web processes, the command line. So nobody is told;
who waits asks for one row, and reads on only when it has changed.
"""

from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import func, select

from b2b.sink.rows import Summary
from b2b.sink.store import Change, Counters, Store
from b2b.sink.tables import refusals

MAX_NEWS = 200
"""Of each kind at one look; of more mails the oldest come first, the rest with the next look."""


class Refusal(NamedTuple):
    """A mail, or a recipient, that the sink did not take, and the words it said."""

    id: int
    reply: str


@dataclass(frozen=True, slots=True)
class News:
    """Since the last look: mails that came, oldest first, what befell others, and refusals."""

    counters: Counters
    arrived: tuple[Summary, ...] = ()
    changed: tuple[Change, ...] = ()
    refused: tuple[Refusal, ...] = ()


class Watcher:
    """Remembers how far it has looked; for one thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._seen = store.counters()
        self._number = store.last_change()
        self._refusal = self._last_refusal()

    def look(self) -> News | None:
        """What is new, or None; one row is read where nothing is."""
        counters = self._store.counters()
        if counters == self._seen:
            return None
        arrived: tuple[Summary, ...] = ()
        if counters.last_key != self._seen.last_key:
            page = self._store.list(after=self._seen.last_key, limit=MAX_NEWS)
            arrived = tuple(reversed(page.messages))
        changed = tuple(self._store.changes(self._number))
        refused: tuple[Refusal, ...] = ()
        if counters.refused_ever != self._seen.refused_ever:
            refused = self._refusals()
        if changed:
            self._number = changed[-1].number
        self._seen = counters
        return News(counters, arrived, changed, refused)

    def _last_refusal(self) -> int:
        with self._store.reading() as connection:
            return connection.scalar(select(func.max(refusals.c.id))) or 0

    def _refusals(self) -> tuple[Refusal, ...]:
        statement = select(refusals.c.id, refusals.c.reply).order_by(refusals.c.id).limit(MAX_NEWS)
        with self._store.reading() as connection:
            rows = connection.execute(statement.where(refusals.c.id > self._refusal)).all()
        if rows:
            self._refusal = rows[-1].id
        return tuple(Refusal(row.id, row.reply) for row in rows)
