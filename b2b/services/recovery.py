"""After a restored backup, or a theft: what was secret stays dead, and no mail goes out twice.

Everything here spans all tenants: it is the operator's, who has no actor.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_
from b2b.models import (
    AuthorizationCode,
    DeviceCode,
    Job,
    JobState,
    MailState,
    OutboxMessage,
    Passcode,
    RefreshToken,
    SetupLink,
    SignInGrant,
    Tenant,
    TenantKind,
)
from b2b.models import Session as SignedIn
from b2b.services import audit
from b2b.services.audit import Activity, Entry

HELD = N_(
    "Waited when the backup was made, and may have been sent since. Send it again if it was not."
)
"""What people read about mail that a restore holds back."""
LOST = N_("The key of its link was retired. Send the invitation again: it gets a new link.")
"""What people read about mail that waited with a key that is gone."""
OWN_REASONS = (HELD, LOST)
"""Why mail was not sent, where no mail server was asked."""


def after_restore(session: Session, *, made_at: datetime, now: datetime) -> None:
    """Make a directory as of *made_at* safe to go on with (threats.md, REL-15).

    Everybody is signed out, codes and set-up links are void: who was signed out, blocked or removed
    after the backup must not come back by a cookie of that time. Mail that waited is held as
    failed, jobs of people are paused: either may have been done since. Each organisation's audit
    log says that it was set back.
    """
    end_everything(session, now=now)
    session.execute(
        update(OutboxMessage)
        .where(OutboxMessage.state == MailState.QUEUED)
        .values(
            state=MailState.FAILED,
            settled_at=now,
            last_error=HELD,
            lease_owner=None,
            fence=OutboxMessage.fence + 1,
        )
        .execution_options(synchronize_session=False)
    )
    session.execute(
        update(Job)
        .where(Job.state == JobState.WAITING, Job.every_seconds.is_(None))
        .values(state=JobState.PAUSED, lease_owner=None, fence=Job.fence + 1)
        .execution_options(synchronize_session=False)
    )
    tell(session, Activity.RESTORE_BACKUP, now=now, detail={"made_at": made_at.isoformat()})


def end_everything(session: Session, *, now: datetime) -> None:
    """Sign everybody out and make every short-lived secret void, in all tenants."""
    for short_lived in (
        SignedIn,
        RefreshToken,
        SignInGrant,
        AuthorizationCode,
        DeviceCode,
        Passcode,
        SetupLink,
    ):
        session.execute(delete(short_lived))
    # A mailed code has no row any more that it could be compared with.
    session.execute(
        update(OutboxMessage)
        .where(OutboxMessage.state == MailState.QUEUED, OutboxMessage.template == "passcode")
        .values(state=MailState.CANCELLED, settled_at=now)
        .execution_options(synchronize_session=False)
    )
    session.expire_all()


def tell(
    session: Session, activity: Activity, *, now: datetime, detail: dict[str, Any] | None = None
) -> None:
    """Write *activity* of the program itself into the audit log of every organisation."""
    organisations = session.scalars(
        select(Tenant).where(Tenant.kind == TenantKind.ORGANISATION).order_by(Tenant.id)
    ).all()
    for tenant in organisations:
        actor = Actor.system(
            tenant.id, tenant.display_name, tenant.primary_domain, now, label="Operator"
        )
        audit.record(
            session,
            actor,
            Entry(activity, "Tenant", tenant.id, tenant.display_name, detail=detail or {}),
        )
