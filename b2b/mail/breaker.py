"""The mail server's circuit breaker: one row, shared by all workers, that says why mail waits and
until when. It opens when the server refuses us or cannot be reached; no mail is to blame for that.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from b2b.models.base import insert_missing
from b2b.models.mail import EVERYWHERE, MailPause

REFUSED = (timedelta(minutes=1), timedelta(hours=1))
"""Shortest and longest wait while the server refuses us: somebody must change something."""
AWAY = (timedelta(seconds=0.5), timedelta(seconds=30))
"""The same while it cannot be reached: it may be back at any time."""
_A_TRY = timedelta(seconds=15)
"""For so long one worker tries alone. It may have died in it, and a second try does no harm."""


@dataclass(frozen=True)
class Trouble:
    """Why the mail server is left alone. *refused*: it wants nothing from us."""

    reason: str
    refused: bool


def _pause(session: Session) -> MailPause | None:
    return session.execute(
        select(MailPause)
        .where(MailPause.tenant_id == EVERYWHERE)
        .execution_options(populate_existing=True)
    ).scalar_one_or_none()


def may_try(session: Session, *, now: datetime) -> bool | None:
    """None while there is no trouble, True when it is time to try again, False before; a read."""
    pause = _pause(session)
    if pause is None:
        return None
    return pause.again_at is not None and pause.again_at <= now


def take_the_try(session: Session, *, now: datetime) -> bool | None:
    """As `may_try`, but True for one worker alone, who then has to `trip` or to `close`."""
    wanted = may_try(session, now=now)
    if not wanted:
        return wanted
    taken = session.execute(
        update(MailPause)
        .where(MailPause.tenant_id == EVERYWHERE, MailPause.again_at <= now)
        .values(again_at=now + _A_TRY)
        .execution_options(synchronize_session=False)
    )
    return bool(taken.rowcount)  # type: ignore[attr-defined]


def trip(session: Session, trouble: Trouble, *, now: datetime) -> datetime:
    """Leave the server alone for as long as the trouble has lasted, within bounds.

    Returns when it is tried again.
    """
    least, most = REFUSED if trouble.refused else AWAY
    insert_missing(
        session,
        MailPause,
        {"tenant_id": EVERYWHERE, "paused_at": now, "refused": trouble.refused},
    )
    pause = _pause(session)
    assert pause is not None
    again_at = now + min(max(now - pause.paused_at, least), most)
    session.execute(
        update(MailPause)
        .where(MailPause.tenant_id == EVERYWHERE)
        .values(reason=trouble.reason[:512], refused=trouble.refused, again_at=again_at)
        .execution_options(synchronize_session=False)
    )
    return again_at


def close(session: Session) -> None:
    """The server answers: everybody may go on."""
    session.execute(
        delete(MailPause)
        .where(MailPause.tenant_id == EVERYWHERE)
        .execution_options(synchronize_session=False)
    )
