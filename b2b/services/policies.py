"""What a tenant has decided about outsiders: who may invite, which domains, where links may
lead.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from b2b import links
from b2b.actor import Actor
from b2b.errors import N_, Denied, Invalid
from b2b.models import (
    ActorKind,
    AllowInvitesFrom,
    DomainList,
    LandingPages,
    Role,
    Tenant,
    TenantPolicy,
)
from b2b.models.base import Id
from b2b.models.prepared import Prepared
from b2b.services import permissions
from b2b.services.addresses import Address

_INVITER_ROLES = {Role.GLOBAL_ADMINISTRATOR, Role.USER_ADMINISTRATOR, Role.GUEST_INVITER}


# Built once: making a statement costs more than running it.
_policies, _tenants = TenantPolicy.__table__, Tenant.__table__
_WITH_TENANT = Prepared(
    select(*_policies.c, *_tenants.c)
    .join(_tenants, _tenants.c.id == _policies.c.tenant_id)
    .where(_policies.c.tenant_id == bindparam("tenant_id", type_=Id))
)
# Made anew only when the row has changed: making costs more than reading.
_made: dict[UUID, tuple[Any, TenantPolicy, Tenant]] = {}
_MOST_MADE = 1000
_POLICY_NAMES = [column.name for column in _policies.c]
_TENANT_NAMES = [column.name for column in _tenants.c]


def of(session: Session, actor: Actor) -> TenantPolicy:
    """The tenant's external collaboration settings."""
    return session.get_one(TenantPolicy, actor.tenant_id)


def with_tenant(session: Session, actor: Actor) -> tuple[TenantPolicy, Tenant]:
    """The settings together with the tenant itself, by one query and for reading only.

    Both belong to no session, which makes them a third as dear as `of`: every invitation needs
    them.
    """
    [row] = _WITH_TENANT.all(session.connection(), tenant_id=actor.tenant_id)
    known = _made.get(actor.tenant_id)
    if known is None or known[0] != row:
        split = len(_POLICY_NAMES)
        policy = TenantPolicy(**dict(zip(_POLICY_NAMES, row[:split], strict=True)))
        tenant = Tenant(**dict(zip(_TENANT_NAMES, row[split:], strict=True)))
        if len(_made) >= _MOST_MADE:
            _made.clear()
        _made[actor.tenant_id] = known = (row, policy, tenant)
    return known[1], known[2]


def may_invite(policy: TenantPolicy, actor: Actor) -> bool:
    """Whether the tenant lets *actor* invite (groups-apps-roles.md, section 4; threats.md, INV-6).

    `none` stops admins too. Roles count also for guests who hold one.
    """
    if actor.kind is ActorKind.SYSTEM:
        return True
    if not permissions.allows(actor, permissions.Action.INVITE):
        return False
    match policy.allow_invites_from:
        case AllowInvitesFrom.NONE:
            return False
        case AllowInvitesFrom.ADMINS_AND_GUEST_INVITERS:
            return bool(actor.roles & _INVITER_ROLES)
        case AllowInvitesFrom.ADMINS_GUEST_INVITERS_AND_ALL_MEMBERS:
            return not actor.is_guest or bool(actor.roles & _INVITER_ROLES)
        case AllowInvitesFrom.EVERYONE:
            return True


def require_may_invite(policy: TenantPolicy, actor: Actor) -> None:
    """Raise Denied unless *actor* may invite."""
    if not may_invite(policy, actor):
        raise Denied(N_("Guest invitations not allowed for your company."))


def blocks_domain(policy: TenantPolicy, domain: str) -> bool:
    """Whether invitations to *domain* (A-labels) are refused; subdomains are domains of their
    own.
    """
    match policy.domain_list:
        case DomainList.OFF:
            return False
        case DomainList.ALLOW:
            return domain not in policy.domains
        case DomainList.BLOCK:
            return domain in policy.domains


def domain_refusal(policy: TenantPolicy, address: Address) -> Invalid | None:
    """Why *address* may not be invited by the domain list, or None (threats.md, INV-5)."""
    if not blocks_domain(policy, address.domain):
        return None
    shown = address.text.rpartition("@")[2]
    if shown != address.domain:
        shown = f"{shown} ({address.domain})"
    return Invalid(
        "addresses",
        N_("%(domain)s is blocked by the invitation policy of this organisation."),
        domain=shown,
    )


def landing_page(policy: TenantPolicy, url: str) -> str:
    """*url* checked against the tenant's rule and re-serialised. Raises Invalid("redirect_url")."""
    listed = policy.landing_hosts if policy.landing_pages is LandingPages.LISTED else None
    return links.landing_page(url, listed_hosts=listed)
