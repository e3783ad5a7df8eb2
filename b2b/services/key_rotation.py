"""What hangs on the installation's root keys, and what becomes of it when one of them goes.

The keys themselves lie outside the database (b2b.keys). Everything here spans all tenants: it is
the operator's, who has no actor.
"""

import os
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from b2b import keys, links
from b2b.models import (
    Invitation,
    InvitationStanding,
    MailState,
    OutboxMessage,
    Passcode,
    SigningKey,
)
from b2b.services import recovery, signing_keys
from b2b.services.audit import Activity


@dataclass(frozen=True)
class Usage:
    """How much hangs on one root key."""

    invitations: int
    """Open invitations whose link was derived from it."""
    mails: int
    """Mails that wait, and whose link or code is derived from it when they go out."""
    signing_keys: int
    """Keys for tokens that are sealed with it."""


def usage(session: Session, key_id: str) -> Usage:
    """What hangs on the root key *key_id*, over all tenants."""
    invitations = session.execute(
        select(func.count()).select_from(Invitation).where(*_open_with([key_id]))
    ).scalar_one()
    mails = session.execute(
        select(func.count()).select_from(OutboxMessage).where(*_waiting_with([key_id]))
    ).scalar_one()
    sealed = [row.kid for row in session.scalars(select(SigningKey)) if _sealer(row) == key_id]
    return Usage(invitations, mails, len(sealed))


def retire(session: Session, gone: Collection[str], *, now: datetime) -> None:
    """Make worthless what was derived from the root keys with the ids *gone*; they may go then.

    Links of open invitations stop (sending again makes new ones), codes are void, and mail that
    waits with one of them fails with a reason. The keys for tokens are sealed with the present root
    key instead, so that nobody is signed out.
    """
    session.execute(
        update(Invitation)
        .where(*_open_with(gone))
        # The digest of a secret that nobody has.
        .values(ticket_hash=keys.digest(os.urandom(32).hex()))
        .execution_options(synchronize_session=False)
    )
    session.execute(
        update(OutboxMessage)
        .where(*_waiting_with(gone))
        .values(state=MailState.FAILED, settled_at=now, last_error=recovery.LOST, lease_owner=None)
        .execution_options(synchronize_session=False)
    )
    session.execute(delete(Passcode).where(Passcode.key_id.in_(gone)))
    signing_keys.seal_anew(session, gone)
    session.expire_all()


def revoke(session: Session, gone: Collection[str], *, now: datetime) -> None:
    """After a theft: `retire`, and everybody is signed out, applications' tokens included."""
    retire(session, gone, now=now)
    signing_keys.revoke(session, now=now)
    recovery.end_everything(session, now=now)
    recovery.tell(session, Activity.REVOKE_KEYS, now=now)


def _open_with(ids: Collection[str]) -> tuple[ColumnElement[bool], ...]:
    return (
        Invitation.key_id.in_(ids),
        Invitation.standing.in_([InvitationStanding.OPEN, InvitationStanding.DECLINED]),
    )


def _waiting_with(ids: Collection[str]) -> tuple[ColumnElement[bool], ...]:
    return (
        OutboxMessage.state == MailState.QUEUED,
        OutboxMessage.context["key_id"].as_string().in_(ids),
    )


def _sealer(row: SigningKey) -> str:
    return links.keyring().sealer(row.private_key)
