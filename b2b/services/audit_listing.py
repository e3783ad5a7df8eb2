"""The audit log as a list: newest first, narrowed, and as quick with a million rows.

One object's events lie in an index. Everything else walks the tenant's sequence, WINDOW events a
page at most, and says how far it came. Dates are found in the sequence by halving, since it rises
with time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, NotFound
from b2b.models import AuditEvent
from b2b.services import permissions
from b2b.services.permissions import Action

PAGE = 50
WINDOW = 10_000
"""Events that one page looks at."""
EXPORTED = 100_000
_BATCH = 1_000
_ASKEW = timedelta(hours=1)
"""How far an event's time may lie from its neighbours': a request notes its time before it waits
for its turn to write.
"""


@dataclass(frozen=True)
class Filters:
    """What the log is narrowed by; empty means all. *until* is excluded."""

    activity: str | None = None
    category: str | None = None
    actor_id: UUID | None = None
    target_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Page:
    """One page, newest first. Cursors are sequence numbers, None at the ends; `looked_back_to` is
    set when the window ended before the page was full.
    """

    rows: Sequence[AuditEvent]
    newer: int | None = None
    older: int | None = None
    looked_back_to: datetime | None = None


def listing(
    session: Session,
    actor: Actor,
    filters: Filters,
    *,
    older_than: int | None = None,
    newer_than: int | None = None,
    limit: int = PAGE,
) -> Page:
    """A page of events, older or newer than a cursor. Raises Denied."""
    permissions.require(actor, Action.READ_AUDIT)
    conditions = _conditions(actor, filters)
    low, high = _bounds(session, actor, filters)
    upwards = newer_than is not None
    if older_than is not None:
        high = older_than if high is None else min(high, older_than)
    if newer_than is not None:
        low = newer_than if low is None else max(low, newer_than)
    found, edge = _walk(session, actor, filters, conditions, low, high, upwards, limit)
    more = len(found) > limit or edge is not None
    found = found[:limit][::-1] if upwards else found[:limit]
    first = found[0].sequence if found else None
    last = found[-1].sequence if found else None
    if edge is not None:
        first, last = (edge, last) if upwards else (first, edge)
    # An empty page still leads back to where it was asked from.
    if first is None and older_than is not None:
        first = older_than - 1
    if last is None and newer_than is not None:
        last = newer_than + 1
    came = older_than is not None or newer_than is not None
    return Page(
        rows=found,
        newer=first if (more if upwards else came) else None,
        older=last if (came if upwards else more) else None,
        looked_back_to=_time_at(session, actor, edge) if edge is not None else None,
    )


def _conditions(actor: Actor, filters: Filters) -> list[ColumnElement[bool]]:
    asked: list[ColumnElement[bool]] = [AuditEvent.tenant_id == actor.tenant_id]
    for column, value in (
        (AuditEvent.activity, filters.activity),
        (AuditEvent.category, filters.category),
        (AuditEvent.actor_id, filters.actor_id),
        (AuditEvent.target_id, filters.target_id),
    ):
        if value is not None:
            asked.append(column == value)
    if filters.since is not None:
        asked.append(AuditEvent.at >= filters.since)
    if filters.until is not None:
        asked.append(AuditEvent.at < filters.until)
    return asked


def _bounds(session: Session, actor: Actor, filters: Filters) -> tuple[int | None, int | None]:
    """Sequence numbers outside of which nothing can pass the dates, both excluded."""
    low = high = None
    if filters.since is not None:
        low = _first_from(session, actor, filters.since - _ASKEW) - 1
    if filters.until is not None:
        high = _first_from(session, actor, filters.until + _ASKEW)
    return low, high


def _first_from(session: Session, actor: Actor, at: datetime) -> int:
    """Some sequence number from which on events are not much older than *at*: found by halving."""
    newest = session.execute(
        select(AuditEvent.sequence)
        .where(AuditEvent.tenant_id == actor.tenant_id)
        .order_by(AuditEvent.sequence.desc())
        .limit(1)
    ).scalar_one_or_none()
    low, high = 1, (newest or 0) + 1
    while low < high:
        middle = (low + high) // 2
        found = _time_at(session, actor, middle)
        if found is not None and found < at:
            low = middle + 1
        else:
            high = middle
    return low


def _time_at(session: Session, actor: Actor, sequence: int) -> datetime | None:
    """The time of the event with this number, or of the next there is."""
    return session.execute(
        select(AuditEvent.at)
        .where(AuditEvent.tenant_id == actor.tenant_id, AuditEvent.sequence >= sequence)
        .order_by(AuditEvent.sequence)
        .limit(1)
    ).scalar_one_or_none()


def _walk(
    session: Session,
    actor: Actor,
    filters: Filters,
    conditions: list[ColumnElement[bool]],
    low: int | None,
    high: int | None,
    upwards: bool,
    limit: int,
) -> tuple[list[AuditEvent], int | None]:
    """One more than *limit*, and where the window ended if it did so before that."""
    edge = None
    if filters.target_id is None and any((filters.activity, filters.category, filters.actor_id)):
        edge = _end_of_window(session, actor, low, high, upwards)
        if edge is not None:
            low, high = (low, edge + 1) if upwards else (edge - 1, high)
    query = select(AuditEvent).where(*conditions)
    if low is not None:
        query = query.where(AuditEvent.sequence > low)
    if high is not None:
        query = query.where(AuditEvent.sequence < high)
    order: Any = AuditEvent.sequence if upwards else AuditEvent.sequence.desc()
    found = list(session.scalars(query.order_by(order).limit(limit + 1)))
    return found, edge if len(found) <= limit else None


def _end_of_window(
    session: Session, actor: Actor, low: int | None, high: int | None, upwards: bool
) -> int | None:
    """The number of the WINDOW-th event from where the page begins; None when there are fewer."""
    query = select(AuditEvent.sequence).where(AuditEvent.tenant_id == actor.tenant_id)
    if low is not None:
        query = query.where(AuditEvent.sequence > low)
    if high is not None:
        query = query.where(AuditEvent.sequence < high)
    order: Any = AuditEvent.sequence if upwards else AuditEvent.sequence.desc()
    return session.execute(query.order_by(order).offset(WINDOW - 1).limit(1)).scalar_one_or_none()


def one(session: Session, actor: Actor, sequence: int) -> AuditEvent:
    """One event. Raises Denied, NotFound."""
    permissions.require(actor, Action.READ_AUDIT)
    found = session.get(AuditEvent, (actor.tenant_id, sequence)) if sequence < 2**63 else None
    if found is None:
        raise NotFound(N_("There is no event with this number."))
    return found


def together(session: Session, actor: Actor, event: AuditEvent) -> Sequence[AuditEvent]:
    """Other events of the same request, in order: they stand close to each other."""
    return session.scalars(
        select(AuditEvent)
        .where(
            AuditEvent.tenant_id == actor.tenant_id,
            AuditEvent.sequence > event.sequence - 200,
            AuditEvent.sequence < event.sequence + 200,
            AuditEvent.sequence != event.sequence,
            AuditEvent.correlation_id == event.correlation_id,
        )
        .order_by(AuditEvent.sequence)
        .limit(PAGE)
    ).all()


def export(session: Session, actor: Actor, filters: Filters) -> Iterator[AuditEvent]:
    """All events that pass, newest first, up to EXPORTED, read in batches. Raises Denied."""
    permissions.require(actor, Action.READ_AUDIT)
    given, older_than = 0, None
    while given < EXPORTED:
        page = listing(
            session, actor, filters, older_than=older_than, limit=min(_BATCH, EXPORTED - given)
        )
        yield from page.rows
        given += len(page.rows)
        session.expunge_all()
        if page.older is None:
            return
        older_than = page.older
