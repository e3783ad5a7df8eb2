"""The sign-in log as a list: newest first, narrowed, and as quick with a million rows.

One person's sign-ins lie in an index; everything else walks the tenant's newest first, WINDOW rows
a page at most, and says how far it came.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, NotFound
from b2b.models import SignIn
from b2b.services import permissions
from b2b.services.permissions import Action

PAGE = 50
WINDOW = 10_000
EXPORTED = 100_000
_BATCH = 1_000
_ASKEW = timedelta(hours=1)
"""How far an id's stamp may lie from the time that its request noted."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_STAMP = 250_000_000_000_000
"""Milliseconds up to a year that a datetime still holds."""


@dataclass(frozen=True)
class Filters:
    """What the log is narrowed by; empty means all. *until* is excluded."""

    user_id: UUID | None = None
    application: str | None = None
    succeeded: bool | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Page:
    """One page, newest first; cursors are ids, None at the ends."""

    rows: Sequence[SignIn]
    newer: UUID | None = None
    older: UUID | None = None
    looked_back_to: datetime | None = None


def listing(
    session: Session,
    actor: Actor,
    filters: Filters,
    *,
    older_than: UUID | None = None,
    newer_than: UUID | None = None,
    limit: int = PAGE,
) -> Page:
    """A page of sign-ins, older or newer than a cursor. Raises Denied."""
    permissions.require(actor, Action.READ_AUDIT)
    low, high = _bounds(session, actor, filters)
    upwards = newer_than is not None
    if older_than is not None:
        high = older_than if high is None else min(high, older_than)
    if newer_than is not None:
        low = newer_than if low is None else max(low, newer_than)
    found, edge = _walk(session, actor, filters, low, high, upwards, limit)
    more = len(found) > limit or edge is not None
    found = found[:limit][::-1] if upwards else found[:limit]
    first = found[0].id if found else None
    last = found[-1].id if found else None
    if edge is not None:
        first, last = (edge.id, last) if upwards else (first, edge.id)
    # An empty page still leads back to where it was asked from.
    if first is None and older_than is not None:
        first = UUID(int=max(older_than.int - 1, 0))
    if last is None and newer_than is not None:
        last = UUID(int=min(newer_than.int + 1, 2**128 - 1))
    came = older_than is not None or newer_than is not None
    return Page(
        rows=found,
        newer=first if (more if upwards else came) else None,
        older=last if (came if upwards else more) else None,
        looked_back_to=edge.at if edge is not None else None,
    )


def _conditions(actor: Actor, filters: Filters) -> list[ColumnElement[bool]]:
    asked: list[ColumnElement[bool]] = [SignIn.tenant_id == actor.tenant_id]
    if filters.user_id is not None:
        asked.append(SignIn.user_id == filters.user_id)
    if filters.application is not None:
        asked.append(SignIn.application == filters.application)
    if filters.succeeded is not None:
        asked.append(SignIn.error_code == 0 if filters.succeeded else SignIn.error_code != 0)
    if filters.since is not None:
        asked.append(SignIn.at >= filters.since)
    if filters.until is not None:
        asked.append(SignIn.at < filters.until)
    return asked


def _bounds(session: Session, actor: Actor, filters: Filters) -> tuple[UUID | None, UUID | None]:
    """Ids outside of which nothing can pass the dates: an id begins with its millisecond.

    Only where the newest one shows that ids and times come from the same clock.
    """
    if filters.since is None and filters.until is None:
        return None, None
    newest = session.execute(
        select(SignIn.id, SignIn.at)
        .where(SignIn.tenant_id == actor.tenant_id)
        .order_by(SignIn.id.desc())
        .limit(1)
    ).one_or_none()
    if newest is None or abs(_time_of(newest.id) - newest.at) > _ASKEW:
        return None, None
    low = _id_at(filters.since - _ASKEW) if filters.since is not None else None
    high = _id_at(filters.until + _ASKEW) if filters.until is not None else None
    return low, high


def _time_of(identifier: UUID) -> datetime:
    return _EPOCH + timedelta(milliseconds=min(identifier.int >> 80, _LAST_STAMP))


def _id_at(at: datetime) -> UUID:
    stamp = (at - _EPOCH) // timedelta(milliseconds=1)
    return UUID(int=max(0, min(stamp, _LAST_STAMP)) << 80)


def _walk(
    session: Session,
    actor: Actor,
    filters: Filters,
    low: UUID | None,
    high: UUID | None,
    upwards: bool,
    limit: int,
) -> tuple[list[SignIn], Any]:
    """One more than *limit*, and the row where the window ended if it did so before that."""
    order: Any = SignIn.id if upwards else SignIn.id.desc()
    edge = None
    if filters.user_id is None and filters != Filters():
        inside = select(SignIn.id, SignIn.at).where(
            SignIn.tenant_id == actor.tenant_id, *_between(low, high)
        )
        edge = session.execute(inside.order_by(order).offset(WINDOW - 1).limit(1)).one_or_none()
    query = select(SignIn).where(*_conditions(actor, filters), *_between(low, high))
    if edge is not None:
        query = query.where(SignIn.id <= edge.id if upwards else SignIn.id >= edge.id)
    found = list(session.scalars(query.order_by(order).limit(limit + 1)))
    return found, edge if len(found) <= limit else None


def _between(low: UUID | None, high: UUID | None) -> list[ColumnElement[bool]]:
    within: list[ColumnElement[bool]] = []
    if low is not None:
        within.append(SignIn.id > low)
    if high is not None:
        within.append(SignIn.id < high)
    return within


def one(session: Session, actor: Actor, sign_in_id: UUID) -> SignIn:
    """One sign-in. Raises Denied, NotFound."""
    permissions.require(actor, Action.READ_AUDIT)
    found = session.get(SignIn, (actor.tenant_id, sign_in_id))
    if found is None:
        raise NotFound(N_("There is no sign-in with this id."))
    return found


def recent(session: Session, actor: Actor, *, limit: int = 5) -> Sequence[SignIn]:
    """The newest sign-ins. Raises Denied."""
    return listing(session, actor, Filters(), limit=limit).rows


def export(session: Session, actor: Actor, filters: Filters) -> Iterator[SignIn]:
    """All sign-ins that pass, newest first, up to EXPORTED, read in batches. Raises Denied."""
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
