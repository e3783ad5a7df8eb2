"""The sign-in log as a list: newest first, narrowed, and as quick with a million rows.

One person's sign-ins lie in an index; everything else walks the tenant's. An id begins with its
millisecond, so that dates bound the walk.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, NotFound
from b2b.models import SignIn
from b2b.services import log_listing, permissions
from b2b.services.log_listing import ASKEW, PAGE, Log, Page
from b2b.services.permissions import Action

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


def _step(identifier: UUID, by: int) -> UUID:
    return UUID(int=min(max(identifier.int + by, 0), 2**128 - 1))


_LOG = Log(SignIn, SignIn.id, step=_step)


def listing(
    session: Session,
    actor: Actor,
    filters: Filters,
    *,
    older_than: UUID | None = None,
    newer_than: UUID | None = None,
    limit: int = PAGE,
    also: Sequence[ColumnElement[bool]] = (),
) -> Page[SignIn, UUID]:
    """A page of sign-ins, older or newer than one; *also*: what they have to meet besides.

    Raises Denied.
    """
    permissions.require(actor, Action.READ_AUDIT)
    return log_listing.page(
        session,
        _LOG,
        actor.tenant_id,
        [*_conditions(filters), *also],
        windowed=bool(also) or (filters.user_id is None and filters != Filters()),
        between=_bounds(session, actor, filters),
        older_than=older_than,
        newer_than=newer_than,
        limit=limit,
    )


def _conditions(filters: Filters) -> list[ColumnElement[bool]]:
    asked: list[ColumnElement[bool]] = []
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
    if newest is None or abs(_time_of(newest.id) - newest.at) > ASKEW:
        return None, None
    low = _id_at(filters.since - ASKEW) if filters.since is not None else None
    high = _id_at(filters.until + ASKEW) if filters.until is not None else None
    return low, high


def _time_of(identifier: UUID) -> datetime:
    return _EPOCH + timedelta(milliseconds=min(identifier.int >> 80, _LAST_STAMP))


def _id_at(at: datetime) -> UUID:
    stamp = (at - _EPOCH) // timedelta(milliseconds=1)
    return UUID(int=max(0, min(stamp, _LAST_STAMP)) << 80)


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
    """All sign-ins that pass, newest first, see `log_listing.export`. Raises Denied."""
    permissions.require(actor, Action.READ_AUDIT)
    return log_listing.export(
        session,
        lambda older_than, limit: listing(
            session, actor, filters, older_than=older_than, limit=limit
        ),
    )
