"""People at an application's door: who a proven identity is in a tenant, whether he may come in,
and whom to ask if not.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from b2b.actor import Actor, ExternalIdentity
from b2b.models import (
    Identity,
    Invitation,
    Owner,
    ServicePrincipal,
    Tenant,
    User,
)
from b2b.services import applications, redemption, sign_in_log
from b2b.services.aadsts import SignInRefused


@dataclass(frozen=True)
class Person:
    """Who an identity is in a tenant; *identity* is what a guest redeemed with."""

    user: User
    identity: Identity | None


def person(
    session: Session,
    tenant: Tenant,
    application: ServicePrincipal | None,
    identity: ExternalIdentity,
    *,
    since: datetime,
    now: datetime,
    name: str = "",
) -> Person:
    """Who *identity* is in *tenant*, if he may use *application* now.

    None, and its *name*: a foreign application that the tenant has not consented to yet. *since* is
    when the browser's session began. Raises SignInRefused: 50020 nobody there, 65001
    invited and not accepted yet, 50014 the same without an invitation in force, 50057 blocked,
    50058 signed out everywhere since, 50105 not assigned.
    """
    values = {
        "account": identity.label,
        "organisation": tenant.display_name,
        "application": name if application is None else application.display_name,
    }
    found = somebody(session, tenant.id, identity)
    if found is None:
        if redemption.open_direct(session, tenant.id, identity, now=now) is not None:
            raise SignInRefused(65001, **values)
        if _was_invited(session, tenant.id, identity):
            raise SignInRefused(50014, **values)
        raise SignInRefused(50020, **values)
    user = found.user
    if user.deleted_at is not None:
        raise SignInRefused(50020, **values)
    if not user.account_enabled:
        raise SignInRefused(50057, **values)
    if user.sessions_valid_from is not None and since < user.sessions_valid_from:
        raise SignInRefused(50058, **values)
    if application is not None and not applications.lets_in(session, application, user):
        raise SignInRefused(50105, **values)
    return found


def somebody(session: Session, tenant_id: UUID, identity: ExternalIdentity) -> Person | None:
    """Who *identity* is in a tenant, whatever his state."""
    if identity.home_tenant_id == tenant_id and identity.home_user_id is not None:
        user = session.get(User, (tenant_id, identity.home_user_id), populate_existing=True)
        return None if user is None else Person(user, None)
    row = session.execute(
        select(User, Identity)
        .join(Identity, (Identity.tenant_id == User.tenant_id) & (Identity.user_id == User.id))
        .where(
            Identity.tenant_id == tenant_id,
            Identity.issuer == identity.issuer,
            Identity.subject == identity.subject,
        )
        .execution_options(populate_existing=True)
    ).one_or_none()
    return None if row is None else Person(row[0], row[1])


def _was_invited(session: Session, tenant_id: UUID, identity: ExternalIdentity) -> bool:
    if not identity.proven:
        return False
    found = session.scalars(
        select(User).where(
            User.tenant_id == tenant_id,
            User.invited_key.in_(sorted(identity.proven)),
            User.deleted_at.is_(None),
        )
    )
    return any(user.is_pending for user in found)


@dataclass(frozen=True)
class Contact:
    """Somebody to ask; *mail* may be unknown."""

    name: str
    mail: str | None


def whom_to_ask(
    session: Session,
    tenant: Tenant,
    application: ServicePrincipal | None,
    identity: ExternalIdentity,
) -> list[Contact]:
    """Who can help somebody who is not let in. A guest is told of the person who invited him and
    of nobody else: who owns what is not for outsiders to see.
    """
    found = somebody(session, tenant.id, identity)
    if found is None or application is None:
        return []
    if found.user.is_guest:
        rows = session.execute(
            select(Invitation.inviter_name, Invitation.inviter_mail).where(
                Invitation.tenant_id == tenant.id, Invitation.user_id == found.user.id
            )
        )
    else:
        rows = session.execute(
            select(User.display_name, User.mail)
            .join(Owner, (Owner.tenant_id == User.tenant_id) & (Owner.user_id == User.id))
            .where(
                Owner.tenant_id == tenant.id,
                Owner.owned_id == application.id,
                User.account_enabled,
                User.deleted_at.is_(None),
            )
            .order_by(User.name_key, User.id)
            .limit(3)
        )
    return [Contact(*row) for row in rows]


def note_refusal(
    session: Session,
    tenant: Tenant,
    application: str,
    identity: ExternalIdentity,
    refused: SignInRefused,
    seen: Actor,
    *,
    app_id: UUID | None = None,
) -> None:
    """Log that a proven identity was turned away, with the true reason; *seen* says from where."""
    found = somebody(session, tenant.id, identity)
    sign_in_log.record(
        session,
        tenant.id,
        None if found is None else found.user.id,
        identity=identity.label,
        method=str(identity.provider or "password"),
        application=application,
        app_id=app_id,
        at=seen.now,
        correlation_id=seen.correlation_id,
        ip_address=seen.ip_address,
        user_agent=seen.user_agent,
        code=refused.number,
        reason=str(refused),
    )
