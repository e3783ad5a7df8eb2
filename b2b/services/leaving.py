"""Leaving an organisation: the guest's own decision (redemption.md, section 6)."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from b2b.actor import Actor, ExternalIdentity
from b2b.errors import N_, Conflict, Denied, Invalid, NotFound
from b2b.models import Identity, Tenant, TenantKind, TenantPolicy, User, fold
from b2b.services import audit, roles, sessions, users
from b2b.services.audit import Activity, Entry


class Hindrance(enum.StrEnum):
    """Why an organisation cannot be left."""

    HOME = "home"
    """The account itself lies there."""
    POLICY = "policy"
    """The organisation does not let guests leave by themselves."""
    BLOCKED = "blocked"
    """The organisation has blocked the account there."""


@dataclass(frozen=True)
class Belonging:
    """An organisation that knows this identity."""

    tenant: Tenant
    user: User
    since: datetime | None
    """When the invitation was accepted; None at home."""
    hindrance: Hindrance | None


def belongings(session: Session, identity: ExternalIdentity) -> Sequence[Belonging]:
    """Home first, then by name every organisation that this identity has accepted, blocked there
    or not.
    """
    found: list[Belonging] = []
    if identity.home_tenant_id is not None:
        home = session.execute(
            select(Tenant, User)
            .join(User, User.tenant_id == Tenant.id)
            .where(
                Tenant.id == identity.home_tenant_id,
                Tenant.kind == TenantKind.ORGANISATION,
                User.id == identity.home_user_id,
            )
        ).one_or_none()
        if home is not None:
            found.append(Belonging(home[0], home[1], None, Hindrance.HOME))
    rows = session.execute(
        select(Tenant, User, TenantPolicy.guests_may_leave, Identity.bound_at)
        .join(Identity, Identity.tenant_id == Tenant.id)
        .join(User, (User.tenant_id == Identity.tenant_id) & (User.id == Identity.user_id))
        .join(TenantPolicy, TenantPolicy.tenant_id == Tenant.id)
        .where(
            Identity.issuer == identity.issuer,
            Identity.subject == identity.subject,
            User.deleted_at.is_(None),
        )
        .order_by(Tenant.display_name, Tenant.id)
        .execution_options(populate_existing=True)
    )
    for tenant, user, may_leave, since in rows:
        hindrance = None
        if not user.account_enabled:
            hindrance = Hindrance.BLOCKED
        elif not may_leave:
            hindrance = Hindrance.POLICY
        found.append(Belonging(tenant, user, since, hindrance))
    return found


def belonging(session: Session, identity: ExternalIdentity, tenant_id: UUID) -> Belonging:
    """One of `belongings`. Raises NotFound."""
    for found in belongings(session, identity):
        if found.tenant.id == tenant_id:
            return found
    raise NotFound(N_("You are not in this organisation."))


def leave(session: Session, actor: Actor, identity: ExternalIdentity, typed_name: str) -> User:
    """End one's own access to the actor's tenant: out at once, restorable there for 30 days.

    *typed_name* is the organisation's name, typed as a confirmation. Sessions in that tenant end;
    the account itself and every other organisation are untouched. Raises NotFound, Conflict at
    home, Denied when the tenant does not allow it or has blocked the account, Invalid(name).
    """
    audit.lock(session, actor.tenant_id)
    found = belonging(session, identity, actor.tenant_id)
    _require_free(found)
    if fold(typed_name) != fold(found.tenant.display_name):
        raise Invalid("name", N_("Type the name of the organisation as it is shown above."))
    user = found.user
    roles.keep_an_admin(session, user)
    user.deleted_at = actor.now
    users.refacet(session, user)
    sessions.end_all(session, actor, user)
    actor = replace(actor, user_id=user.id, display_name=user.display_name)
    audit.record(session, actor, Entry(Activity.LEAVE, "User", user.id, user.user_principal_name))
    session.flush()
    return user


def _require_free(found: Belonging) -> None:
    match found.hindrance:
        case Hindrance.HOME:
            raise Conflict(
                N_("%(organisation)s is where your account lies; it cannot be left from here."),
                organisation=found.tenant.display_name,
            )
        case Hindrance.BLOCKED:
            raise Denied(
                N_("%(organisation)s has blocked this account."),
                code="AADSTS50057",
                organisation=found.tenant.display_name,
            )
        case Hindrance.POLICY:
            raise Denied(
                N_(
                    "%(organisation)s does not let guests leave by themselves. Ask its "
                    "administrators to remove you."
                ),
                organisation=found.tenant.display_name,
            )
