"""Walking a log, newest first: what the audit log and the sign-in log have in common.

A filter that no index answers looks at WINDOW entries a page at most, and the page says how far it
came: as quick with a million rows.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

PAGE = 50
WINDOW = 10_000
"""Entries that one page looks at."""
EXPORTED = 100_000
_BATCH = 1_000
ASKEW = timedelta(hours=1)
"""How far an entry's time may lie from its neighbours': a request notes its time before it waits
for its turn to write.
"""

Entry = TypeVar("Entry")
Place = TypeVar("Place", int, UUID)


@dataclass(frozen=True)
class Log(Generic[Entry, Place]):
    """A table of entries, which have tenant_id, at, and a place that rises with time."""

    model: type[Entry]
    place: Any
    """The column; with the tenant it is the key."""
    step: Callable[[Place, int], Place]
    """The place so many further on."""


@dataclass(frozen=True)
class Page(Generic[Entry, Place]):
    """One page, newest first. Cursors are places, None at the ends; `looked_back_to` is set when
    the window ended before the page was full.
    """

    rows: Sequence[Entry]
    newer: Place | None = None
    older: Place | None = None
    looked_back_to: datetime | None = None


def page(
    session: Session,
    log: Log[Entry, Place],
    tenant_id: UUID,
    conditions: Sequence[ColumnElement[bool]],
    *,
    windowed: bool,
    between: tuple[Place | None, Place | None],
    older_than: Place | None,
    newer_than: Place | None,
    limit: int,
) -> Page[Entry, Place]:
    """The tenant's entries that meet *conditions*, older or newer than a cursor.

    *between*: places outside of which nothing meets them, both excluded. *windowed*: no index
    answers them, so that the page must end somewhere.
    """
    low, high = between
    upwards = newer_than is not None
    if older_than is not None:
        high = older_than if high is None else min(high, older_than)
    if newer_than is not None:
        low = newer_than if low is None else max(low, newer_than)
    order = log.place if upwards else log.place.desc()
    model: Any = log.model
    within = [model.tenant_id == tenant_id]
    if low is not None:
        within.append(log.place > low)
    if high is not None:
        within.append(log.place < high)
    edge: Any = None
    """Where the window ends."""
    if windowed:
        inside = select(log.place.label("place"), model.at).where(*within).order_by(order)
        edge = session.execute(inside.offset(WINDOW - 1).limit(1)).one_or_none()
    if edge is not None:
        within.append(log.place <= edge.place if upwards else log.place >= edge.place)
    query = select(log.model).where(*within, *conditions).order_by(order)
    found = list(session.scalars(query.limit(limit + 1)))
    if len(found) > limit:
        edge = None
    more = len(found) > limit or edge is not None
    found = found[:limit][::-1] if upwards else found[:limit]
    first = getattr(found[0], log.place.key) if found else None
    last = getattr(found[-1], log.place.key) if found else None
    if edge is not None:
        first, last = (edge.place, last) if upwards else (first, edge.place)
    # An empty page still leads back to where it was asked from.
    if first is None and older_than is not None:
        first = log.step(older_than, -1)
    if last is None and newer_than is not None:
        last = log.step(newer_than, 1)
    came = older_than is not None or newer_than is not None
    return Page(
        rows=found,
        newer=first if (more if upwards else came) else None,
        older=last if (came if upwards else more) else None,
        looked_back_to=edge.at if edge is not None else None,
    )


def export(
    session: Session, read: Callable[[Place | None, int], Page[Entry, Place]]
) -> Iterator[Entry]:
    """All entries, newest first, up to EXPORTED; *read* gives so many that are older than a place.

    Nothing read is kept in the session.
    """
    given, older_than = 0, None
    while given < EXPORTED:
        batch = read(older_than, min(_BATCH, EXPORTED - given))
        yield from batch.rows
        given += len(batch.rows)
        session.expunge_all()
        if batch.older is None:
            return
        older_than = batch.older
