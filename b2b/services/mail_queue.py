"""The outbox as an administrator sees it: how much waits and since when, what failed, and the
switch that stops it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnClause, case, delete, func, literal_column, select, update
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, Conflict, NotFound
from b2b.models import Invitation, MailPause, MailState, OutboxMessage
from b2b.models.base import insert_missing
from b2b.models.mail import EVERYWHERE
from b2b.services import audit, permissions
from b2b.services.audit import Activity, Entry
from b2b.services.permissions import Action

PAGE = 50
COUNTED_TO = 10_000
"""Totals are exact up to here (decisions.md, totals on lists)."""
LATE = timedelta(minutes=5)
"""Mail that waits longer is told to whoever looks after it (threats.md, REL-16)."""
LONGEST_REASON = 200

_queued: ColumnClause[str] = literal_column("'queued'")
_failed: ColumnClause[str] = literal_column("'failed'")
_BY_PERSON = ("invitation",)
"""Sent again with a new link, from the person's page."""
_NEVER = ("passcode",)
"""Nobody waits for these any more."""


@dataclass(frozen=True)
class Pause:
    """Mail that waits because somebody, or the mail server, said so."""

    reason: str | None
    """The server's words, or what an administrator typed."""
    paused_by: str | None
    paused_at: datetime
    again_at: datetime | None
    """When the server is tried again by itself."""
    refused: bool
    """The server wants nothing from us, rather than being out of reach for a while."""


@dataclass(frozen=True)
class Notice:
    """Why mail waits, in the order in which it matters: the organisation's own pause, trouble with
    the mail server, or simply that the oldest waits for too long.
    """

    paused: Pause | None
    trouble: Pause | None
    oldest: datetime | None
    """When the oldest mail that waits was written, if it is late."""


@dataclass(frozen=True)
class Overview:
    """The outbox of one tenant. Counts beyond COUNTED_TO are None."""

    queued: int | None
    sending: int | None
    retrying: int | None
    failed: int | None
    oldest: datetime | None
    paused: Pause | None
    trouble: Pause | None


@dataclass(frozen=True)
class Failures:
    """One page of mail that failed, newest first; cursors are None at the ends."""

    rows: Sequence[Any]
    """`id`, `template`, `recipient`, `attempts`, `last_error`, `settled_at`, `person_id`."""
    before: UUID | None = None
    after: UUID | None = None


def may_resend(template: str) -> bool:
    """Whether mail of this kind can go out once more as it is."""
    return template not in _BY_PERSON + _NEVER


def _pauses(session: Session, tenant_id: UUID) -> tuple[Pause | None, Pause | None]:
    """The tenant's own pause, and everybody's."""
    found = {
        row[0]: Pause(*row[1:])
        for row in session.execute(
            select(
                MailPause.tenant_id,
                MailPause.reason,
                MailPause.paused_by,
                MailPause.paused_at,
                MailPause.again_at,
                MailPause.refused,
            ).where(MailPause.tenant_id.in_([tenant_id, EVERYWHERE]))
        )
    }
    return found.get(tenant_id), found.get(EVERYWHERE)


def _oldest(session: Session, tenant_id: UUID) -> datetime | None:
    return session.scalar(
        select(func.min(OutboxMessage.created_at)).where(
            OutboxMessage.tenant_id == tenant_id, OutboxMessage.state == _queued
        )
    )


def notice(session: Session, tenant_id: UUID, *, now: datetime) -> Notice | None:
    """Whether those who look after a tenant must be told something; None when all is well.

    A server that is out of reach for a moment is nothing to tell; one that refuses us is.
    """
    paused, trouble = _pauses(session, tenant_id)
    oldest = _oldest(session, tenant_id)
    late = oldest if oldest is not None and now - oldest > LATE else None
    if trouble is not None and not trouble.refused and late is None:
        trouble = None
    if paused is None and trouble is None and late is None:
        return None
    return Notice(paused, trouble, late)


def overview(session: Session, actor: Actor) -> Overview:
    """How the actor's tenant's mail stands. Raises Denied."""
    permissions.require(actor, Action.MANAGE_MAIL)
    waiting = (
        select(OutboxMessage.lease_owner, OutboxMessage.attempts, OutboxMessage.due_at)
        .where(OutboxMessage.tenant_id == actor.tenant_id, OutboxMessage.state == _queued)
        .limit(COUNTED_TO + 1)
        .subquery()
    )
    ahead = waiting.c.due_at > actor.now
    held = waiting.c.lease_owner.is_not(None) & ahead
    put_off = waiting.c.lease_owner.is_(None) & ahead & (waiting.c.attempts > 0)
    total, sending, retrying = session.execute(
        select(
            func.count(),
            func.coalesce(func.sum(case((held, 1), else_=0)), 0),
            func.coalesce(func.sum(case((put_off, 1), else_=0)), 0),
        ).select_from(waiting)
    ).one()
    failed = session.scalar(
        select(func.count()).select_from(
            select(OutboxMessage.id)
            .where(OutboxMessage.tenant_id == actor.tenant_id, OutboxMessage.state == _failed)
            .limit(COUNTED_TO + 1)
            .subquery()
        )
    )
    paused, trouble = _pauses(session, actor.tenant_id)
    counted = total <= COUNTED_TO
    return Overview(
        queued=total - sending - retrying if counted else None,
        sending=sending if counted else None,
        retrying=retrying if counted else None,
        failed=failed if failed is not None and failed <= COUNTED_TO else None,
        oldest=_oldest(session, actor.tenant_id),
        paused=paused,
        trouble=trouble,
    )


def failures(
    session: Session,
    actor: Actor,
    *,
    after: UUID | None = None,
    before: UUID | None = None,
    limit: int = PAGE,
) -> Failures:
    """Mail that failed for good, with the server's words; `person_id` is whom an invitation is
    about. Cursors are ids of mails. Raises Denied.
    """
    permissions.require(actor, Action.MANAGE_MAIL)
    query = (
        select(
            OutboxMessage.id,
            OutboxMessage.template,
            OutboxMessage.recipient,
            OutboxMessage.attempts,
            OutboxMessage.last_error,
            OutboxMessage.settled_at,
            Invitation.user_id.label("person_id"),
        )
        .outerjoin(
            Invitation,
            (Invitation.tenant_id == OutboxMessage.tenant_id)
            & (Invitation.id == OutboxMessage.about_id),
        )
        .where(OutboxMessage.tenant_id == actor.tenant_id, OutboxMessage.state == _failed)
        .limit(limit + 1)
    )
    if before is not None:
        query = query.where(OutboxMessage.id > before).order_by(OutboxMessage.id)
    else:
        query = query.order_by(OutboxMessage.id.desc())
        if after is not None:
            query = query.where(OutboxMessage.id < after)
    found: Sequence[Any] = session.execute(query).all()
    more, rows = len(found) > limit, found[:limit]
    if before is not None:
        rows = rows[::-1]
    first, last = (rows[0].id, rows[-1].id) if rows else (None, None)
    return Failures(
        rows,
        before=first if (more if before is not None else after is not None) else None,
        after=last if (before is not None or more) else None,
    )


def _entry(activity: Activity, actor: Actor, **detail: Any) -> Entry:
    return Entry(activity, "Tenant", actor.tenant_id, actor.tenant_name, detail=detail)


def pause(session: Session, actor: Actor, reason: str | None) -> None:
    """Hold the tenant's mail back until somebody lets it go; what is being sent still goes out.

    Raises Denied, Conflict when it is paused already.
    """
    permissions.require(actor, Action.MANAGE_MAIL)
    audit.lock(session, actor.tenant_id)
    if _pauses(session, actor.tenant_id)[0] is not None:
        raise Conflict(N_("Mail is paused already."))
    reason = (reason or "").strip()[:LONGEST_REASON] or None
    insert_missing(
        session,
        MailPause,
        {
            "tenant_id": actor.tenant_id,
            "reason": reason,
            "paused_by": actor.display_name[:256],
            "paused_at": actor.now,
            "refused": False,
        },
    )
    audit.record(session, actor, _entry(Activity.PAUSE_MAIL, actor, reason=reason))


def resume(session: Session, actor: Actor) -> None:
    """Let the tenant's mail go out again. Raises Denied, Conflict when it is not paused."""
    permissions.require(actor, Action.MANAGE_MAIL)
    audit.lock(session, actor.tenant_id)
    done = session.execute(
        delete(MailPause)
        .where(MailPause.tenant_id == actor.tenant_id)
        .execution_options(synchronize_session=False)
    )
    if not done.rowcount:  # type: ignore[attr-defined]
        raise Conflict(N_("Mail is not paused."))
    audit.record(session, actor, _entry(Activity.RESUME_MAIL, actor))


def try_now(session: Session, actor: Actor) -> None:
    """Have the mail server tried at once; if it answers, everybody's mail goes on.

    Raises Denied, Conflict when there is no trouble with it.
    """
    permissions.require(actor, Action.MANAGE_MAIL)
    audit.lock(session, actor.tenant_id)
    done = session.execute(
        update(MailPause)
        .where(MailPause.tenant_id == EVERYWHERE)
        .values(again_at=actor.now)
        .execution_options(synchronize_session=False)
    )
    if not done.rowcount:  # type: ignore[attr-defined]
        raise Conflict(N_("There is no trouble with the mail server."))
    audit.record(session, actor, _entry(Activity.TRY_MAIL, actor))


def send_again(session: Session, actor: Actor, mail_id: UUID) -> str:
    """Queue mail that failed once more, as if it were new; returns the recipient's address.

    Raises Denied, NotFound, Conflict when it has not failed (any more), or must be sent again in
    another way: an invitation from the person's page, with a new link.
    """
    permissions.require(actor, Action.MANAGE_MAIL)
    audit.lock(session, actor.tenant_id)
    found = session.execute(
        select(OutboxMessage.template, OutboxMessage.recipient, OutboxMessage.state).where(
            OutboxMessage.tenant_id == actor.tenant_id, OutboxMessage.id == mail_id
        )
    ).one_or_none()
    if found is None:
        raise NotFound()
    if found.state is not MailState.FAILED:
        raise Conflict(N_("This mail does not stand among the failed ones any more."))
    if not may_resend(found.template):
        raise Conflict(N_("This mail cannot be sent again from here."))
    session.execute(
        update(OutboxMessage)
        .where(
            OutboxMessage.tenant_id == actor.tenant_id,
            OutboxMessage.id == mail_id,
            OutboxMessage.state == _failed,
        )
        .values(
            state=MailState.QUEUED,
            attempts=0,
            crashes=0,
            fence=OutboxMessage.fence + 1,
            lease_owner=None,
            due_at=actor.now,
            # The 72 hours of trying begin anew, and so does its age.
            created_at=actor.now,
            settled_at=None,
        )
        .execution_options(synchronize_session=False)
    )
    audit.record(
        session,
        actor,
        Entry(
            Activity.RETRY_MAIL,
            "Mail",
            mail_id,
            found.recipient,
            detail={"template": found.template},
        ),
    )
    return str(found.recipient)
