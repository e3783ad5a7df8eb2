"""What became of people who were just invited, for the page that says so."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from b2b import links
from b2b.actor import Actor
from b2b.models import Invitation, User
from b2b.services import addresses, permissions
from b2b.services.permissions import Action


@dataclass(frozen=True)
class Line:
    """One person, as he is now."""

    user_id: UUID
    display_name: str
    address: str
    """The invited one, its domain in Unicode."""
    version: int
    link: str | None
    """None when it was accepted or cancelled, when it is another inviter's, or its key is gone."""


def lines(session: Session, actor: Actor, people: Sequence[UUID]) -> dict[UUID, Line]:
    """The invitations of *people*, at most one form's worth; nobody deleted.

    Handing a link over is audited where it happens, by `invitation_handling.copy_link`; here it is
    shown once more to whom it was handed.
    """
    rows = session.execute(
        select(User, Invitation)
        .join(
            Invitation,
            (Invitation.tenant_id == User.tenant_id) & (Invitation.user_id == User.id),
        )
        .where(
            User.tenant_id == actor.tenant_id,
            User.id.in_(list(people)),
            User.deleted_at.is_(None),
        )
    )
    return {
        user.id: Line(
            user.id,
            user.display_name,
            addresses.in_unicode(invitation.invited_address),
            invitation.version,
            _link(actor, user, invitation),
        )
        for user, invitation in rows
    }


def _link(actor: Actor, user: User, invitation: Invitation) -> str | None:
    own = actor.user_id is not None and invitation.inviter_id == actor.user_id
    if not own and not permissions.allows(actor, Action.MANAGE_INVITATIONS):
        return None
    if not user.is_pending or invitation.cancelled_at is not None:
        return None
    try:
        return links.redeem_url(
            invitation.tenant_id, invitation.id, invitation.version, invitation.key_id
        )
    except KeyError:
        return None
