"""The outbox: enqueue in the transaction of the change, lease, settle. Rows only, no SMTP."""

import enum
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnClause,
    Connection,
    Integer,
    Select,
    bindparam,
    case,
    exists,
    func,
    insert,
    literal_column,
    null,
    select,
    tuple_,
    update,
)
from sqlalchemy.orm import Session

from b2b.models.base import Id, UTCDateTime, new_id
from b2b.models.mail import MailPause, MailState, OutboxMessage
from b2b.prepared import Prepared

LEASE = timedelta(minutes=5)
"""More than twice what one mail may take (threats.md, REL-3)."""
GIVE_UP = timedelta(hours=72)
_WAITS = [1, 2, 4, 8, 16, 32, 60]
"""Minutes before each next attempt; the last one repeats (threats.md, REL-4)."""
MAX_CRASHES = 5
"""Attempts in a row that never came to an end, after which a mail is parked (threats.md, REL-6)."""


_INSERT = Prepared(
    insert(OutboxMessage),
    [
        "tenant_id", "id", "template", "recipient", "about_id", "context", "language", "message_id",
        "state", "attempts", "crashes", "fence", "due_at", "created_at",
    ],
)  # fmt: skip


def row(
    tenant_id: UUID,
    template: str,
    recipient: str,
    context: dict[str, Any],
    *,
    now: datetime,
    domain: str,
    about_id: UUID | None = None,
    language: str | None = None,
) -> dict[str, Any]:
    """Values of one outbox row; *context* holds ids and plain data, never a link or a code.

    *domain* is for the Message-ID, which stays the same over every attempt.
    """
    message_id = new_id()
    return {
        "tenant_id": tenant_id,
        "id": message_id,
        "template": template,
        "recipient": recipient,
        "about_id": about_id,
        "context": context,
        "language": language,
        "message_id": f"<{message_id.hex}@{domain}>",
        "state": MailState.QUEUED,
        "attempts": 0,
        "crashes": 0,
        "fence": 0,
        "due_at": now,
        "created_at": now,
    }


def enqueue(session: Session, *rows: dict[str, Any]) -> None:
    """Owe these mails from the commit of this transaction on."""
    if rows:
        _INSERT.write(session.connection(), rows)


def cancel(session: Session, tenant_id: UUID, about_id: UUID, *, now: datetime) -> None:
    """Unsent mail about something that is over is not sent any more."""
    session.execute(
        update(OutboxMessage)
        .where(
            OutboxMessage.tenant_id == tenant_id,
            OutboxMessage.about_id == about_id,
            OutboxMessage.state == MailState.QUEUED,
        )
        .values(state=MailState.CANCELLED, settled_at=now)
        .execution_options(synchronize_session=False)
    )


@dataclass(frozen=True)
class Leased:
    """One mail that this worker may send now. `attempts` counts this one already."""

    tenant_id: UUID
    id: UUID
    template: str
    recipient: str
    context: dict[str, Any]
    language: str | None
    message_id: str
    attempts: int
    crashes: int
    fence: int
    created_at: datetime


# The walk's own words: a partial index is used for sure where its condition stands literally.
_queued: ColumnClause[str] = literal_column("'queued'")


def _turns() -> Select[UUID]:
    """Tenants after `after` with a mail that is due, from tenant to tenant: one step into the index
    for each that has mail waiting, however much. Paused ones are passed over.
    """
    box = OutboxMessage.__table__
    first = (
        select(box.c.tenant_id)
        .where(box.c.state == _queued, box.c.tenant_id > bindparam("after", type_=Id))
        .order_by(box.c.tenant_id)
        .limit(1)
    )
    walk = select(first.scalar_subquery().label("tenant_id")).cte("walk", recursive=True)
    onward = box.alias("onward")
    following = (
        select(onward.c.tenant_id)
        .where(onward.c.state == _queued, onward.c.tenant_id > walk.c.tenant_id)
        .order_by(onward.c.tenant_id)
        .limit(1)
    )
    walk = walk.union_all(
        select(following.scalar_subquery()).select_from(walk).where(walk.c.tenant_id.is_not(None))
    )
    due = box.alias("due")
    return (
        select(walk.c.tenant_id)
        .where(
            walk.c.tenant_id.is_not(None),
            exists().where(
                due.c.tenant_id == walk.c.tenant_id,
                due.c.state == _queued,
                due.c.due_at <= bindparam("now", type_=UTCDateTime),
            ),
            ~exists().where(MailPause.tenant_id == walk.c.tenant_id),
        )
        .limit(bindparam("limit", type_=Integer))
    )


_TURNS = _turns()
_NOBODY = UUID(int=0)


def turns(session: Session, *, now: datetime, limit: int, after: UUID = _NOBODY) -> list[UUID]:
    """Up to *limit* tenants that may send now, in the order of their ids from *after* on and then
    from the beginning; a read.

    Each gets its turn, so that one tenant's ten thousand letters do not hold up another's only one
    (threats.md, REL-6).
    """

    def walk(start: UUID, most: int) -> list[UUID]:
        return list(session.scalars(_TURNS, {"after": start, "now": now, "limit": most}))

    found = walk(after, limit)
    if len(found) < limit and after != _NOBODY:
        found += [
            tenant_id for tenant_id in walk(_NOBODY, limit - len(found)) if tenant_id <= after
        ]
    return found


def _taking() -> Any:
    due = (
        select(OutboxMessage.tenant_id, OutboxMessage.id)
        .where(
            OutboxMessage.tenant_id == bindparam("whose", type_=Id),
            OutboxMessage.state == _queued,
            OutboxMessage.due_at <= bindparam("now", type_=UTCDateTime),
        )
        .order_by(OutboxMessage.due_at, OutboxMessage.created_at)
        .limit(bindparam("room", type_=Integer))
        .with_for_update(skip_locked=True)
        # Materialized: as a plain subquery PostgreSQL may run it again and pass the limit.
        .cte("due")
        .prefix_with("MATERIALIZED", dialect="postgresql")
    )
    return (
        update(OutboxMessage)
        .where(
            tuple_(OutboxMessage.tenant_id, OutboxMessage.id).in_(select(due)),
            OutboxMessage.state == _queued,
        )
        .values(
            due_at=bindparam("until", type_=UTCDateTime),
            lease_owner=bindparam("owner"),
            attempts=OutboxMessage.attempts + 1,
            # Whoever had it last never settled it.
            crashes=OutboxMessage.crashes
            + case((OutboxMessage.lease_owner.is_not(None), 1), else_=0),
            fence=OutboxMessage.fence + 1,
        )
        .returning(
            OutboxMessage.tenant_id,
            OutboxMessage.id,
            OutboxMessage.template,
            OutboxMessage.recipient,
            OutboxMessage.context,
            OutboxMessage.language,
            OutboxMessage.message_id,
            OutboxMessage.attempts,
            OutboxMessage.crashes,
            OutboxMessage.fence,
            OutboxMessage.created_at,
        )
        .execution_options(synchronize_session=False)
    )


_TAKE = _taking()


def lease(
    session: Session,
    owner: str,
    *,
    now: datetime,
    limit: int,
    lasting: timedelta = LEASE,
    after: UUID = _NOBODY,
) -> list[Leased]:
    """Take up to *limit* due rows, for the time of *lasting*; nobody else gets them meanwhile.

    Tenants share the room, beginning with the one after *after*; give the last one's id for the
    next time. The attempt is counted before it is made, so that a row which kills its worker is
    parked at last.
    """
    waiting = turns(session, now=now, limit=limit, after=after)
    taken: list[Leased] = []
    for number, tenant_id in enumerate(waiting):
        found = session.execute(
            _TAKE,
            {
                "whose": tenant_id,
                "now": now,
                "room": -(-(limit - len(taken)) // (len(waiting) - number)),
                "until": now + lasting,
                "owner": owner,
            },
        )
        taken += sorted((Leased(*row) for row in found), key=lambda mail: mail.id)
    return taken


def take_back(session: Session, gone: Callable[[str], bool], *, now: datetime) -> int:
    """Make due at once what workers hold that are *gone*; returns how many mails that were.

    Their leases would run out by themselves; this spares the wait after a crash.
    """
    owners = session.scalars(
        select(OutboxMessage.lease_owner)
        .where(OutboxMessage.state == MailState.QUEUED, OutboxMessage.lease_owner.is_not(None))
        .distinct()
    ).all()
    dead = [owner for owner in owners if owner is not None and gone(owner)]
    if not dead:
        return 0
    done = session.execute(
        update(OutboxMessage)
        .where(OutboxMessage.state == MailState.QUEUED, OutboxMessage.lease_owner.in_(dead))
        .values(
            due_at=now,
            lease_owner=None,
            fence=OutboxMessage.fence + 1,
            crashes=OutboxMessage.crashes + 1,
        )
        .execution_options(synchronize_session=False)
    )
    return done.rowcount  # type: ignore[attr-defined]


def _settle(connection: Connection, mail: Leased, **values: Any) -> bool:
    """Write *values* if the lease is still ours; False when somebody else has it."""
    result = connection.execute(
        update(OutboxMessage)
        .where(
            OutboxMessage.tenant_id == mail.tenant_id,
            OutboxMessage.id == mail.id,
            OutboxMessage.fence == mail.fence,
            OutboxMessage.state == MailState.QUEUED,
        )
        .values(lease_owner=None, **values)
    )
    return bool(result.rowcount)


def _of_mail() -> tuple[Any, ...]:
    return (
        OutboxMessage.tenant_id == bindparam("whose", type_=Id),
        OutboxMessage.id == bindparam("which", type_=Id),
        OutboxMessage.fence == bindparam("held"),
    )


_SENT = Prepared(
    update(OutboxMessage)
    .where(
        *_of_mail(),
        # Cancelled while it was on its way: it has gone out, and that is what people must read.
        OutboxMessage.state.in_([_queued, literal_column("'cancelled'")]),
    )
    .values(
        state=literal_column("'sent'"),
        lease_owner=null(),
        last_error=null(),
        settled_at=bindparam("at", type_=UTCDateTime),
    )
    .returning(OutboxMessage.fence)
)
_OURS = Prepared(select(OutboxMessage.fence).where(*_of_mail(), OutboxMessage.state == _queued))


def sent(connection: Connection, mail: Leased, *, now: datetime) -> bool:
    """The mail server took it. False: the lease was lost, the row is somebody else's."""
    return bool(_SENT.all(connection, whose=mail.tenant_id, which=mail.id, held=mail.fence, at=now))


def is_ours(connection: Connection, mail: Leased) -> bool:
    """Whether the lease is still ours and nobody has cancelled the mail."""
    return bool(_OURS.all(connection, whose=mail.tenant_id, which=mail.id, held=mail.fence))


def later(connection: Connection, mail: Leased, reason: str, *, now: datetime) -> bool:
    """Try again after a while, with some jitter; after 72 hours it has failed for good."""
    if now - mail.created_at >= GIVE_UP:
        return failed(connection, mail, reason, now=now)
    minutes = _WAITS[min(mail.attempts, len(_WAITS)) - 1]
    wait = timedelta(seconds=minutes * 60 * (0.9 + secrets.randbelow(201) / 1000))
    return _settle(connection, mail, due_at=now + wait, crashes=0, last_error=reason[:512])


def release(connection: Connection, mail: Leased, *, now: datetime) -> bool:
    """Give a row back untouched: the worker stops, or could not even begin."""
    return _settle(connection, mail, due_at=now, attempts=mail.attempts - 1)


def put_first(connection: Connection, mail: Leased) -> bool:
    """Give a row back untouched, to be leased before what is younger."""
    return _settle(connection, mail, due_at=mail.created_at, attempts=mail.attempts - 1)


def failed(connection: Connection, mail: Leased, reason: str, *, now: datetime) -> bool:
    """Refused for good, or parked: an admin may send it again."""
    return _settle(
        connection, mail, state=MailState.FAILED, settled_at=now, last_error=reason[:512]
    )


@dataclass(frozen=True)
class Backlog:
    """What is waiting: how many, and since when the oldest is due."""

    queued: int
    oldest: datetime | None


def backlog(session: Session) -> Backlog:
    """State of the outbox over all tenants, for health and metrics."""
    count, oldest = session.execute(
        select(func.count(), func.min(OutboxMessage.created_at)).where(
            OutboxMessage.state == MailState.QUEUED
        )
    ).one()
    return Backlog(count, oldest)


class Step(enum.StrEnum):
    """How far a mail has come, in the words that people are shown (threats.md, message states).

    Never "delivered": that the server took it is all that SMTP tells.
    """

    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    RETRYING = "retrying"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True)
class DeliveryState:
    """What people are told about one mail."""

    step: Step
    again_at: datetime | None = None
    """When it is tried again; only while RETRYING."""
    reason: str | None = None
    """The mail server's words, or ours; while it is RETRYING, QUEUED once more, or FAILED."""


def shown(
    state: MailState,
    lease_owner: str | None,
    attempts: int,
    due_at: datetime,
    last_error: str | None,
    now: datetime,
) -> DeliveryState:
    """What to say about a mail whose row holds these values. Pure; for lists that select columns.

    A lease that has run out is nobody's: its mail waits like any other.
    """
    if state is MailState.SENT:
        return DeliveryState(Step.SENT)
    if state is MailState.CANCELLED:
        return DeliveryState(Step.CANCELLED)
    if state is MailState.FAILED:
        return DeliveryState(Step.FAILED, reason=last_error)
    waits = due_at > now
    if lease_owner is not None and waits:
        return DeliveryState(Step.SENDING)
    if attempts and waits:
        return DeliveryState(Step.RETRYING, again_at=due_at, reason=last_error)
    return DeliveryState(Step.QUEUED, reason=last_error)


def of(session: Session, tenant_id: UUID, about_id: UUID) -> Sequence[OutboxMessage]:
    """All mail about one thing, newest first."""
    return session.scalars(
        select(OutboxMessage)
        .where(OutboxMessage.tenant_id == tenant_id, OutboxMessage.about_id == about_id)
        .order_by(OutboxMessage.id.desc())
    ).all()
