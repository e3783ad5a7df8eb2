"""What a tenant has decided about outsiders: who may invite, which domains, where links may
lead.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
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
    GuestAccess,
    LandingPages,
    Role,
    Tenant,
    TenantPolicy,
)
from b2b.models.base import Id
from b2b.prepared import Prepared
from b2b.services import addresses, audit, permissions
from b2b.services.addresses import Address
from b2b.services.audit import Activity, Change, Entry

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


# Changing it -------------------------------------------------------------------------------------

LARGEST = 25_000
"""Characters of the whole domain policy (groups-apps-roles.md, section 6)."""
LONGEST_LIFE = 3650
"""Days that an invitation may live, unless it never ends."""
MOST_HOSTS = 200


def checked_life(days: int | None) -> int | None:
    """*days* that an invitation may be good for; None never ends. Raises Invalid."""
    if days is not None and not 1 <= days <= LONGEST_LIFE:
        raise Invalid(
            "invitation_days", N_("Enter a number of days from 1 to %(most)s."), most=LONGEST_LIFE
        )
    return days


@dataclass(frozen=True)
class Settings:
    """External collaboration settings as they are asked for; one domain or host a line."""

    allow_invites_from: AllowInvitesFrom
    guest_access: GuestAccess
    domain_list: DomainList
    domains: Sequence[str]
    landing_pages: LandingPages
    landing_hosts: Sequence[str]
    invitation_days: int | None
    keep_typed_names: bool
    guests_may_leave: bool


class InvalidLines(Invalid):
    """Some lines of a list are wrong: (line number from 1, what was typed, why)."""

    def __init__(self, field: str, problems: list[tuple[int, str, Invalid]]) -> None:
        super().__init__(field, N_("Lines that are not understood: %(count)s"), count=len(problems))
        self.problems = problems


def change(session: Session, actor: Actor, wanted: Settings) -> TenantPolicy:
    """Set the external collaboration settings, audited as `Update policy`.

    The rules are those of groups-apps-roles.md, section 6: switching the kind of domain list
    discards the other list; guests who have accepted are not affected, pending ones are stopped at
    redemption. Raises Denied, Invalid(field), InvalidLines.
    """
    permissions.require(actor, permissions.Action.MANAGE_POLICY)
    audit.lock(session, actor.tenant_id)
    policy = session.get_one(TenantPolicy, actor.tenant_id, populate_existing=True)
    before = _details(policy)
    days = checked_life(wanted.invitation_days)
    domains = _lines("domains", wanted.domains, _domain)
    if wanted.domain_list is DomainList.OFF:
        domains = []
    elif not domains:
        raise Invalid("domains", N_("Enter at least one domain, or switch the list off."))
    if len(definition(wanted.domain_list, domains)) > LARGEST:
        raise Invalid(
            "domains",
            N_("This list is too long: a policy holds at most %(most)s characters."),
            most=LARGEST,
        )
    hosts = _lines("landing_hosts", wanted.landing_hosts, _host)
    if wanted.landing_pages is LandingPages.ANY_HTTPS:
        hosts = []
    elif len(hosts) > MOST_HOSTS:
        raise Invalid("landing_hosts", N_("At most %(most)s hosts."), most=MOST_HOSTS)
    policy.allow_invites_from = wanted.allow_invites_from
    policy.guest_access = wanted.guest_access
    policy.domain_list = wanted.domain_list
    policy.domains = domains
    policy.landing_pages = wanted.landing_pages
    policy.landing_hosts = hosts
    policy.invitation_days = days
    policy.keep_typed_names = wanted.keep_typed_names
    policy.guests_may_leave = wanted.guests_may_leave
    session.flush()
    after = _details(policy)
    entries = [
        Entry(
            Activity.UPDATE_POLICY,
            "Policy",
            policy.tenant_id,
            target,
            [
                Change(name, before[target][name], value)
                for name, value in facts.items()
                if before[target][name] != value
            ],
        )
        for target, facts in after.items()
        if before[target] != facts
    ]
    audit.record(session, actor, *entries)
    return policy


def definition(kind: DomainList, domains: Sequence[str]) -> str:
    """The domain list as the directory policy that it is (groups-apps-roles.md, section 6)."""
    allowed = list(domains) if kind is DomainList.ALLOW else []
    blocked = list(domains) if kind is DomainList.BLOCK else []
    return json.dumps(
        {
            "B2BManagementPolicy": {
                "InvitationsAllowedAndBlockedDomainsPolicy": {
                    "AllowedDomains": allowed,
                    "BlockedDomains": blocked,
                }
            }
        },
        separators=(",", ":"),
    )


def _details(policy: TenantPolicy) -> dict[str, dict[str, Any]]:
    """The settings by the policy that holds them, in the words of the audit log."""
    return {
        "B2BManagementPolicy": {
            "PolicyDetails": definition(policy.domain_list, policy.domains),
            "LandingPages": ", ".join([str(policy.landing_pages), *policy.landing_hosts]),
            "InvitationDays": policy.invitation_days,
            "KeepTypedNames": policy.keep_typed_names,
            "GuestsMayLeave": policy.guests_may_leave,
        },
        "AuthorizationPolicy": {
            "AllowInvitesFrom": str(policy.allow_invites_from),
            "GuestAccess": str(policy.guest_access),
        },
    }


def _lines(field: str, typed: Sequence[str], read: Callable[[str, str], str]) -> list[str]:
    found: dict[str, None] = {}
    problems = []
    for number, line in enumerate(typed, start=1):
        text = line.strip()
        if not text:
            continue
        try:
            found[read(field, text)] = None
        except Invalid as error:
            problems.append((number, text, error))
    if problems:
        raise InvalidLines(field, problems)
    return list(found)


def _domain(field: str, text: str) -> str:
    text = text.rpartition("@")[2]
    try:
        return addresses.parse_domain(text)
    except Invalid as error:
        raise Invalid(field, N_("Enter a domain, such as contoso.com.")) from error


def _host(field: str, text: str) -> str:
    if "://" not in text:
        text = f"https://{text}"
    try:
        found = urlsplit(links.landing_page(text)).hostname
    except Invalid as error:
        raise Invalid(field, N_("Enter a host, such as www.contoso.com.")) from error
    assert found is not None
    return found
