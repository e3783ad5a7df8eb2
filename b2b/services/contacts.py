"""Whom a guest asks about an invitation, and who is told what he has done with it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from b2b.mail import outbox
from b2b.models import DirectoryRoleAssignment, Invitation, Role, Sponsor, Tenant, User
from b2b.models.base import Id
from b2b.prepared import Prepared

_people = User.__table__
# Built once: making a statement costs more than running it.
_CAN_SIGN_IN = Prepared(
    select(_people.c.account_enabled, _people.c.deleted_at).where(
        _people.c.tenant_id == bindparam("tenant_id", type_=Id),
        _people.c.id == bindparam("user_id", type_=Id),
    )
)


@dataclass(frozen=True)
class Contact:
    """Whom a guest asks, and who is told what he decided; without *mail*, by other means."""

    name: str
    mail: str | None


def of(session: Session, tenant: Tenant, invitation: Invitation) -> Contact:
    """The inviter while he can sign in; else another sponsor, else an administrator of users
    (decisions.md, sponsor, cc person or inviter deleted).
    """
    found: Any = None
    if invitation.inviter_id is not None:
        found = _CAN_SIGN_IN.all(
            session.connection(), tenant_id=tenant.id, user_id=invitation.inviter_id
        )
    if not found or (found[0].account_enabled and found[0].deleted_at is None):
        return Contact(invitation.inviter_name, invitation.inviter_mail)
    able = (User.account_enabled, User.deleted_at.is_(None), User.mail.is_not(None))
    sponsor = (
        select(User.display_name, User.mail)
        .join(Sponsor, (Sponsor.tenant_id == User.tenant_id) & (Sponsor.sponsor_id == User.id))
        .where(Sponsor.tenant_id == tenant.id, Sponsor.user_id == invitation.user_id, *able)
        .order_by(User.name_key, User.id)
    )
    held = DirectoryRoleAssignment
    administrator = (
        select(User.display_name, User.mail)
        .join(held, (held.tenant_id == User.tenant_id) & (held.user_id == User.id))
        .where(
            held.tenant_id == tenant.id,
            held.role.in_([Role.USER_ADMINISTRATOR, Role.GLOBAL_ADMINISTRATOR]),
            *able,
        )
        .order_by(held.role.desc(), User.name_key, User.id)
    )
    for query in (sponsor, administrator):
        found = session.execute(query.limit(1)).first()
        if found is not None:
            return Contact(found.display_name, found.mail)
    return Contact(tenant.display_name, None)


def tell(
    session: Session,
    tenant: Tenant,
    invitation: Invitation,
    template: str,
    said: Mapping[str, str],
    *,
    now: datetime,
) -> None:
    """Queue mail to the contact; nobody is told where he has no address.

    *said* is what the template *template* says of the guest: guest_name, address and the like.
    """
    told = of(session, tenant, invitation)
    if not told.mail:
        return
    outbox.enqueue(
        session,
        outbox.row(
            tenant.id,
            template,
            told.mail,
            {
                "tenant_name": tenant.display_name,
                "tenant_domain": tenant.primary_domain,
                "inviter_name": told.name,
                "user_url": f"/admin/users/{invitation.user_id}",
                "version": invitation.version,
                **said,
            },
            now=now,
            domain=tenant.primary_domain,
            about_id=invitation.id,
            language=tenant.notification_language,
        ),
    )
