"""Finding invitations in a tenant of any size: newest first, by state, inviter, domain, day and
words.

A filter of one kind is a range of one index. Of several the shortest range leads and the others are
asked of its rows, a window at a time: no page waits for a walk over a million invitations
(scale.md, 1).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, Select, exists, func, literal, select, tuple_, union_all
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.models import (
    Invitation,
    InvitationStanding,
    MailState,
    OutboxMessage,
    TenantPolicy,
    User,
    UserToken,
)
from b2b.models.base import Id, UTCDateTime
from b2b.services import permissions, policies, user_listing
from b2b.services.invitation_states import InvitationState
from b2b.services.permissions import Action

PAGE = 50
COUNTED_TO = 10_000
"""Totals are exact up to here (decisions.md, totals on lists)."""
WINDOW = 10_000
"""Index entries that one page walks past at most, looking for what the other filters ask."""
SEARCHED = 2_000
"""People whom a search may fit before it asks for more letters."""

Cursor = tuple[datetime, UUID]
"""The instant that an invitation counts from, and its id."""
Condition = ColumnElement[bool]
When = Callable[[Any], Condition]
Query = Select[*tuple[Any, ...]]

_STANDINGS = {
    InvitationState.PENDING: InvitationStanding.OPEN,
    InvitationState.EXPIRED: InvitationStanding.OPEN,
    InvitationState.FAILED: InvitationStanding.OPEN,
    InvitationState.ACCEPTED: InvitationStanding.ACCEPTED,
    InvitationState.DECLINED: InvitationStanding.DECLINED,
    InvitationState.CANCELLED: InvitationStanding.CANCELLED,
}


@dataclass(frozen=True)
class Filters:
    """What a list of invitations is narrowed by; empty means all.

    *since* and *until* (excluded) bound the instant that an invitation counts from: when it was
    sent or extended. PENDING holds those whose mail failed as well: they wait all the same.
    """

    state: InvitationState | None = None
    inviter_id: UUID | None = None
    domain: str | None = None
    """As A-labels."""
    since: datetime | None = None
    until: datetime | None = None
    search: str = ""


@dataclass(frozen=True)
class Page:
    """One page of invitations; cursors are None at the ends.

    `total` is None where there are `over` COUNTED_TO, or where counting would be a long walk.
    `looked_back_to` is set when the window ended before the page was full; the cursor goes on from
    there. `partial`: the search, or failed mail, is more than one list takes; these are some of
    them.
    """

    rows: Sequence[Row[Any]]
    total: int | None = None
    over: bool = False
    before: Cursor | None = None
    after: Cursor | None = None
    looked_back_to: datetime | None = None
    partial: bool = False


@dataclass(frozen=True)
class _Way:
    """A way into the invitations: selects of (at, id), each a range of an index in its order."""

    arms: list[Query]
    rest: list[Condition]
    """What is still to be asked of each row."""
    few: bool = False
    """Short enough to be read and sorted as a whole."""
    partial: bool = False


def listing(
    session: Session,
    actor: Actor,
    filters: Filters,
    *,
    after: Cursor | None = None,
    before: Cursor | None = None,
    last: bool = False,
    limit: int = PAGE,
) -> Page:
    """A page of invitations, newest first; *last* is the page at the other end.

    Whoever may not manage invitations is shown his own, whatever *filters* says. *after* and
    *before* are cursors of a page under the same filters.
    """
    if not permissions.allows(actor, Action.MANAGE_INVITATIONS):
        filters = replace(filters, inviter_id=actor.user_id or UUID(int=0))
    asked, when = _asked(actor, filters, policies.of(session, actor))
    way, length = _way(session, actor.tenant_id, filters, asked, when)
    upwards = last or before is not None
    found, end = _walk(session, actor.tenant_id, way, before or after, upwards, limit)
    more = len(found) > limit or end is not None
    found = found[:limit][::-1] if upwards else found[:limit]
    first = (found[0].at, found[0].id) if found else None
    final = (found[-1].at, found[-1].id) if found else None
    if end is not None:
        first, final = (end, final) if upwards else (first, end)
    total, over = _total(session, actor.tenant_id, way, length)
    return Page(
        rows=_rows(session, actor.tenant_id, [row.id for row in found]),
        total=total,
        over=over,
        before=first if (more if upwards else after is not None) else None,
        after=final if (before is not None if upwards else more) else None,
        looked_back_to=end[0] if end else None,
        partial=way.partial,
    )


def _asked(
    actor: Actor, filters: Filters, policy: TenantPolicy
) -> tuple[dict[str, Condition], list[When]]:
    """The filters as conditions by name, and those on the instant that every index ends with."""
    asked: dict[str, Condition] = {}
    when: list[When] = []
    since, until, state = filters.since, filters.until, filters.state
    if since is not None:
        when.append(lambda at: at >= literal(since, UTCDateTime))
    if until is not None:
        when.append(lambda at: at < literal(until, UTCDateTime))
    if state is not None:
        asked["standing"] = Invitation.standing == _STANDINGS[state]
    if state in (InvitationState.PENDING, InvitationState.FAILED, InvitationState.EXPIRED):
        days = policy.invitation_days
        # As invitation_states.ends_at has it, from the other side; without days nothing expires.
        ended = actor.now - timedelta(days=days) if days is not None else None
        if state is InvitationState.EXPIRED:
            when.append(lambda at: at <= literal(ended, UTCDateTime))
        elif ended is not None:
            when.append(lambda at: at > literal(ended, UTCDateTime))
    if filters.inviter_id is not None:
        asked["inviter"] = Invitation.inviter_id == filters.inviter_id
    if filters.domain:
        asked["domain"] = Invitation.domain == filters.domain
    return asked, when


def _arm(tenant_id: UUID, condition: Condition, when: list[When]) -> Query:
    return select(Invitation.valid_from.label("at"), Invitation.id.label("id")).where(
        Invitation.tenant_id == tenant_id,
        condition,
        *(test(Invitation.valid_from) for test in when),
    )


def _way(
    session: Session,
    tenant_id: UUID,
    filters: Filters,
    asked: dict[str, Condition],
    when: list[When],
) -> tuple[_Way, int | None]:
    """The way in that leaves least to walk, and its length if that was counted."""
    failed = filters.state is InvitationState.FAILED
    words = user_listing.search_words(filters.search)
    if words:
        return _searched(session, tenant_id, words, asked, when, failed=failed), None
    if failed:
        return _failed(session, tenant_id, asked, when), None
    if not asked:
        every = [_arm(tenant_id, Invitation.standing == one, when) for one in InvitationStanding]
        return _Way(every, []), None
    ways = [
        _Way(
            [_arm(tenant_id, condition, when)],
            [other for also, other in asked.items() if also != name],
        )
        for name, condition in asked.items()
    ]
    if len(ways) == 1:
        return ways[0], None
    lengths = [_length(session, way, WINDOW + 1) for way in ways]
    shortest = min(lengths)
    return ways[lengths.index(shortest)], shortest


def _whole(rows: Query, when: list[When], most: int) -> Query:
    """(at, id) of *rows* behind a limit, so that they are found first and filtered afterwards."""
    found = rows.limit(most).subquery()
    return select(found.c.at, found.c.id).where(*(test(found.c.at) for test in when))


def _searched(
    session: Session,
    tenant_id: UUID,
    words: list[str],
    asked: dict[str, Condition],
    when: list[When],
    *,
    failed: bool,
) -> _Way:
    """Of people who have, for each word, a word that begins with it (decisions.md, search)."""
    first, *others = user_listing.rarest_first(session, tenant_id, words)
    matching = select(UserToken.user_id).where(
        UserToken.tenant_id == tenant_id,
        user_listing.begins(UserToken.token, first),
        *(user_listing.with_word(tenant_id, UserToken.user_id, word) for word in others),
    )
    beyond = session.execute(matching.offset(SEARCHED).limit(1)).first() is not None
    # Somebody has several words that begin alike.
    people = select(matching.limit(SEARCHED).subquery().c.user_id).distinct().subquery()
    rows = select(Invitation.valid_from.label("at"), Invitation.id.label("id")).join(
        people, (Invitation.tenant_id == tenant_id) & (Invitation.user_id == people.c.user_id)
    )
    rest = list(asked.values())
    if failed:
        rest.append(
            exists().where(
                OutboxMessage.tenant_id == tenant_id,
                OutboxMessage.id == Invitation.outbox_id,
                OutboxMessage.state == MailState.FAILED,
            )
        )
    return _Way([_whole(rows, when, SEARCHED)], rest, few=True, partial=beyond)


def _failed(
    session: Session, tenant_id: UUID, asked: dict[str, Condition], when: list[When]
) -> _Way:
    """Whose newest letter failed: from the partial index of failed mail, the newest WINDOW."""
    letters = select(OutboxMessage.id, OutboxMessage.about_id).where(
        OutboxMessage.tenant_id == tenant_id, OutboxMessage.state == MailState.FAILED
    )
    beyond = session.execute(letters.offset(WINDOW).limit(1)).first() is not None
    newest = letters.order_by(OutboxMessage.id.desc()).limit(WINDOW).subquery()
    rows = select(Invitation.valid_from.label("at"), Invitation.id.label("id")).join(
        newest,
        (Invitation.tenant_id == tenant_id)
        & (Invitation.id == newest.c.about_id)
        & (Invitation.outbox_id == newest.c.id),
    )
    way = _whole(rows, when, WINDOW)
    return _Way([way], list(asked.values()), few=True, partial=beyond)


def _merged(way: _Way, *, upwards: bool, most: int) -> Any:
    """The first *most* of the arms, each cut by itself so that it is a walk along its index."""
    cut = []
    for arm in way.arms:
        at, identifier = arm.selected_columns
        place = (at, identifier) if upwards else (at.desc(), identifier.desc())
        inner = arm.order_by(*place).limit(most).subquery()
        cut.append(select(inner.c.at, inner.c.id))
    return cut[0].subquery() if len(cut) == 1 else union_all(*cut).subquery()


def _passing(tenant_id: UUID, entries: Any, rest: list[Condition]) -> Query:
    """Those of *entries* whose rows hold what is still asked."""
    query = select(entries.c.at, entries.c.id)
    if rest:
        query = query.where(
            exists().where(Invitation.tenant_id == tenant_id, Invitation.id == entries.c.id, *rest)
        )
    return query


def _walk(
    session: Session,
    tenant_id: UUID,
    way: _Way,
    cursor: Cursor | None,
    upwards: bool,
    limit: int,
) -> tuple[Sequence[Row[Any]], Cursor | None]:
    """One more than *limit*, and where the window ended if it did so before that."""
    if cursor is not None:
        bound = tuple_(literal(cursor[0], UTCDateTime), literal(cursor[1], Id))
        cut = []
        for arm in way.arms:
            place = tuple_(*arm.selected_columns)
            cut.append(arm.where(place > bound if upwards else place < bound))
        way = replace(way, arms=cut)
    if not way.rest:
        windows = [limit + 1]
    else:
        # What is asked is mostly common: a short look finds a page of it.
        windows = [WINDOW] if way.few else [min(10 * limit, WINDOW), WINDOW]
    for most in windows:
        entries = _merged(way, upwards=upwards, most=most)
        order = (
            (entries.c.at, entries.c.id) if upwards else (entries.c.at.desc(), entries.c.id.desc())
        )
        found = session.execute(
            _passing(tenant_id, entries, way.rest).order_by(*order).limit(limit + 1)
        ).all()
        if len(found) > limit:
            return found, None
    if not way.rest or way.few:
        return found, None
    end = session.execute(
        select(entries.c.at, entries.c.id).order_by(*order).offset(WINDOW - 1).limit(1)
    ).first()
    return found, (end.at, end.id) if end else None


def _length(session: Session, way: _Way, most: int) -> int:
    """How many entries the arms of *way* have, counted up to *most*."""
    total = 0
    for arm in way.arms:
        entries = arm.limit(most - total).subquery()
        total += session.execute(select(func.count()).select_from(entries)).scalar_one()
        if total >= most:
            break
    return total


def _total(
    session: Session, tenant_id: UUID, way: _Way, length: int | None
) -> tuple[int | None, bool]:
    """How many there are in all: None, and whether that means more than COUNTED_TO."""
    if way.partial:
        return None, False
    if not way.rest:
        total = _length(session, way, COUNTED_TO + 1)
    elif way.few or (length is not None and length <= WINDOW):
        entries = _merged(way, upwards=False, most=WINDOW)
        passing = _passing(tenant_id, entries, way.rest).subquery()
        total = session.execute(select(func.count()).select_from(passing)).scalar_one()
    else:
        return None, False
    return (total, False) if total <= COUNTED_TO else (None, True)


_COLUMNS = (
    Invitation.id.label("invitation_id"),
    Invitation.user_id,
    Invitation.invited_address,
    Invitation.domain,
    Invitation.inviter_id,
    Invitation.inviter_name,
    Invitation.sent_at,
    Invitation.valid_from,
    Invitation.opened_at,
    Invitation.signed_in_at,
    Invitation.accepted_at,
    Invitation.declined_at,
    Invitation.cancelled_at,
    Invitation.send_message,
    Invitation.version,
    User.display_name,
    User.account_enabled,
    User.deleted_at,
    OutboxMessage.state.label("mail_state"),
    OutboxMessage.lease_owner,
    OutboxMessage.attempts,
    OutboxMessage.due_at,
    OutboxMessage.last_error,
    OutboxMessage.settled_at,
)


def of_users(session: Session, actor: Actor, user_ids: Sequence[UUID]) -> list[Row[Any]]:
    """Rows as `listing` has them, of these people as far as they were invited here.

    In the order of *user_ids*. Whoever may not manage invitations is given his own only.
    """
    query = _of_tenant(actor.tenant_id).where(Invitation.user_id.in_(user_ids))
    if not permissions.allows(actor, Action.MANAGE_INVITATIONS):
        query = query.where(Invitation.inviter_id == actor.user_id)
    found = {row.user_id: row for row in session.execute(query)}
    return [found[user_id] for user_id in dict.fromkeys(user_ids) if user_id in found]


def has_invited(session: Session, actor: Actor) -> bool:
    """Whether *actor* has ever invited anybody here."""
    if actor.user_id is None:
        return False
    query = select(Invitation.id).where(
        Invitation.tenant_id == actor.tenant_id, Invitation.inviter_id == actor.user_id
    )
    return session.execute(query.limit(1)).first() is not None


def _of_tenant(tenant_id: UUID) -> Query:
    return (
        select(*_COLUMNS)
        .join(User, (User.tenant_id == Invitation.tenant_id) & (User.id == Invitation.user_id))
        .outerjoin(
            OutboxMessage,
            (OutboxMessage.tenant_id == Invitation.tenant_id)
            & (OutboxMessage.id == Invitation.outbox_id),
        )
        .where(Invitation.tenant_id == tenant_id)
    )


def _rows(session: Session, tenant_id: UUID, ids: Sequence[UUID]) -> list[Row[Any]]:
    query = _of_tenant(tenant_id).where(Invitation.id.in_(ids))
    found = {row.invitation_id: row for row in session.execute(query)}
    return [found[one] for one in ids if one in found]
