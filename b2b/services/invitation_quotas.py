"""How many invitations a person and a tenant may make (threats.md, INV-4; decisions.md, rate
limits).
"""

from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, Throttled
from b2b.models import Invitation
from b2b.services import attempts

PER_MINUTE = 60
PER_DAY = 10_000
_rate_factor: float | None = 1.0


def configure(rate_factor: float | None) -> None:
    """Multiply the limits; None switches them off (setting RATE_LIMITS)."""
    global _rate_factor
    _rate_factor = rate_factor


def within_rate(session: Session, actor: Actor, count: int) -> None:
    """60 invitations a minute for a person. Raises Throttled."""
    if _rate_factor is None or actor.user_id is None:
        return
    since = actor.now - timedelta(minutes=1)
    made, oldest = session.execute(
        select(func.count(), func.min(Invitation.sent_at)).where(
            Invitation.tenant_id == actor.tenant_id,
            Invitation.inviter_id == actor.user_id,
            Invitation.valid_from > since,
        )
    ).one()
    if made + count > PER_MINUTE * _rate_factor:
        until = (oldest or actor.now) + timedelta(minutes=1)
        raise Throttled(
            N_("You have invited %(made)s people within a minute, which is the limit."),
            until=until,
            made=made,
        )


def within_day(session: Session, actor: Actor, count: int) -> None:
    """10,000 invitations a day for a tenant, counted in the transaction. Raises Throttled."""
    day = actor.now.replace(hour=0, minute=0, second=0, microsecond=0)
    most = None if _rate_factor is None else int(PER_DAY * _rate_factor)
    fits = attempts.add(
        session,
        f"invitations:{actor.tenant_id}:{day:%Y-%m-%d}",
        count,
        most=most,
        now=actor.now,
    )
    if not fits:
        raise Throttled(
            N_("This organisation has made %(most)s invitations today, which is the limit."),
            until=day + timedelta(days=1),
            most=most,
        )


def repeats_within_rate(session: Session, actor: Actor, count: int) -> None:
    """As many mails a minute again to people who were invited before: nobody floods a mailbox."""
    if actor.user_id is None:
        return
    key = f"invite-again:{actor.tenant_id}:{actor.user_id}"
    for _ in range(count):
        until = attempts.take(
            session, key, limit=PER_MINUTE, window=timedelta(minutes=1), now=actor.now
        )
        if until is not None:
            raise Throttled(
                N_("You have invited %(made)s people within a minute, which is the limit."),
                until=until,
                made=PER_MINUTE,
            )
