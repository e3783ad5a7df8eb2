"""The audit log as a list: newest first, narrowed, and as quick with a million rows.

One object's events lie in an index; everything else walks the tenant's sequence. Dates are found in
the sequence by halving, since it rises with time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, NotFound
from b2b.models import AuditEvent
from b2b.services import log_listing, permissions
from b2b.services.log_listing import ASKEW, PAGE, Log, Page
from b2b.services.permissions import Action

_LOG = Log(AuditEvent, AuditEvent.sequence, step=lambda sequence, by: sequence + by)


@dataclass(frozen=True)
class Filters:
    """What the log is narrowed by; empty means all. *until* is excluded."""

    activity: str | None = None
    category: str | None = None
    actor_id: UUID | None = None
    target_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None


def listing(
    session: Session,
    actor: Actor,
    filters: Filters,
    *,
    older_than: int | None = None,
    newer_than: int | None = None,
    limit: int = PAGE,
    also: Sequence[ColumnElement[bool]] = (),
) -> Page[AuditEvent, int]:
    """A page of events, older or newer than a sequence number; *also*: what they have to
    meet besides. Raises Denied.
    """
    permissions.require(actor, Action.READ_AUDIT)
    return log_listing.page(
        session,
        _LOG,
        actor.tenant_id,
        [*_conditions(filters), *also],
        windowed=bool(also)
        or (
            filters.target_id is None
            and any((filters.activity, filters.category, filters.actor_id))
        ),
        between=_bounds(session, actor, filters),
        older_than=older_than,
        newer_than=newer_than,
        limit=limit,
    )


def _conditions(filters: Filters) -> list[ColumnElement[bool]]:
    asked: list[ColumnElement[bool]] = []
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
        low = _first_from(session, actor, filters.since - ASKEW) - 1
    if filters.until is not None:
        high = _first_from(session, actor, filters.until + ASKEW)
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
    """All events that pass, newest first, see `log_listing.export`. Raises Denied."""
    permissions.require(actor, Action.READ_AUDIT)
    return log_listing.export(
        session,
        lambda older_than, limit: listing(
            session, actor, filters, older_than=older_than, limit=limit
        ),
    )
