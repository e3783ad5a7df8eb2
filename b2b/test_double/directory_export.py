"""All organisations as a directory file, which loads into what they are now."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import yaml
from sqlalchemy import select
from sqlalchemy.orm import Session

from b2b.models import (
    EVERYBODY,
    Application,
    AppRole,
    AppRoleAssignment,
    Domain,
    DomainList,
    Group,
    Invitation,
    LandingPages,
    Membership,
    Owner,
    ServicePrincipal,
    Tenant,
    TenantKind,
    TenantPolicy,
    User,
    UserType,
)
from b2b.services import (
    app_credentials,
    applications,
    consent,
    graph_permissions,
    offered_permissions,
    roles,
)
from b2b.services.app_registrations import Registered
from b2b.test_double import directory_terms


def export(session: Session, *, now: datetime) -> str:
    """All organisations as such a file; passwords and secrets are nowhere to be read."""
    found = session.scalars(
        select(Tenant).where(Tenant.kind == TenantKind.ORGANISATION).order_by(Tenant.initial_domain)
    ).all()
    content: dict[str, Any] = {"tenants": [_exported(session, tenant, now) for tenant in found]}
    consumers = session.scalars(
        select(User)
        .join(Tenant, Tenant.id == User.tenant_id)
        .where(Tenant.kind == TenantKind.CONSUMER, User.deleted_at.is_(None))
        .order_by(User.upn_key)
    ).all()
    if consumers:
        content["personalAccounts"] = [
            {"address": one.user_principal_name, "name": one.display_name} for one in consumers
        ]
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)


def _stated(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, [], {}, "")}


def _exported(session: Session, tenant: Tenant, now: datetime) -> dict[str, Any]:
    policy = session.get_one(TenantPolicy, tenant.id)
    people = session.scalars(
        select(User)
        .where(User.tenant_id == tenant.id, User.deleted_at.is_(None))
        .order_by(User.upn_key)
    ).all()
    named = {user.id: _address_of(user) for user in people}
    domains = session.scalars(
        select(Domain.name)
        .where(
            Domain.tenant_id == tenant.id,
            Domain.verified_at.is_not(None),
            Domain.name != tenant.initial_domain,
        )
        .order_by(Domain.name)
    ).all()
    face = tenant.branding or {}
    invited = {
        one.user_id: one
        for one in session.scalars(select(Invitation).where(Invitation.tenant_id == tenant.id))
    }
    return _stated(
        name=tenant.display_name,
        domain=tenant.initial_domain,
        domains=list(domains),
        policy=_exported_policy(policy),
        branding=_stated(
            accent=face.get("accent"),
            privacyUrl=tenant.privacy_url,
            privacyContact=tenant.privacy_contact,
            technicalContact=tenant.technical_contact,
            layout=str(tenant.invitation_layout),
            mailLanguage=tenant.notification_language,
        ),
        users=[_exported_user(session, one) for one in people if one.id not in invited],
        groups=_exported_groups(session, tenant, named),
        applications=_exported_applications(session, tenant, named),
        guests=[
            _exported_guest(one, invited[one.id], policy, now)
            for one in people
            if one.id in invited
        ],
    )


def _address_of(user: User) -> str:
    """The name that the file knows somebody by."""
    return user.invited_key or user.user_principal_name


def _exported_policy(policy: TenantPolicy) -> dict[str, Any]:
    told: dict[str, Any] = {
        "allowInvitesFrom": str(policy.allow_invites_from),
        "guestAccess": str(policy.guest_access),
        "invitationDays": policy.invitation_days or "never",
    }
    if policy.domain_list is not DomainList.OFF:
        kind = "allowed" if policy.domain_list is DomainList.ALLOW else "blocked"
        told[f"{kind}Domains"] = list(policy.domains)
    if policy.landing_pages is LandingPages.LISTED:
        told["landingHosts"] = list(policy.landing_hosts)
    for name, column in {**directory_terms.POLICY_FLAGS, **directory_terms.SIGN_IN_FLAGS}.items():
        told[name] = bool(getattr(policy, column))
    return told


def _exported_profile(user: User) -> dict[str, Any]:
    return {key: getattr(user, column) for key, column in directory_terms.PROFILE.items()}


def _exported_user(session: Session, user: User) -> dict[str, Any]:
    held = roles.of_user(session, user.tenant_id, user.id)
    return _stated(
        name=user.display_name,
        signIn=user.user_principal_name,
        mail=user.mail if user.mail != user.user_principal_name else None,
        type=str(user.user_type) if user.user_type is not UserType.MEMBER else None,
        enabled=False if not user.account_enabled else None,
        roles=sorted(role.display_name for role in held),
        **_exported_profile(user),
    )


def _exported_guest(
    user: User, invitation: Invitation, policy: TenantPolicy, now: datetime
) -> dict[str, Any]:
    profile = _exported_profile(user)
    return _stated(
        address=invitation.invited_address,
        name=user.display_name,
        state=directory_terms.state_of(user, invitation, policy, now),
        type=str(user.user_type) if user.user_type is not UserType.GUEST else None,
        **{**profile, "language": invitation.language},
    )


def _exported_groups(
    session: Session, tenant: Tenant, named: Mapping[UUID, str]
) -> list[dict[str, Any]]:
    members = session.execute(
        select(Membership.group_id, Membership.user_id).where(Membership.tenant_id == tenant.id)
    ).all()
    owned = _owner_names(session, tenant, named)
    return [
        _stated(
            name=group.display_name,
            description=group.description,
            rule=group.membership_rule,
            owners=owned.get(group.id),
            members=[]
            if group.membership_rule
            else sorted(
                named[row.user_id]
                for row in members
                if row.group_id == group.id and row.user_id in named
            ),
        )
        for group in session.scalars(
            select(Group).where(Group.tenant_id == tenant.id).order_by(Group.name_key, Group.id)
        )
    ]


def _owner_names(
    session: Session, tenant: Tenant, named: Mapping[UUID, str]
) -> dict[UUID, list[str]]:
    found: dict[UUID, list[str]] = {}
    for row in session.scalars(select(Owner).where(Owner.tenant_id == tenant.id)):
        if row.user_id in named:
            found.setdefault(row.owned_id, []).append(named[row.user_id])
    return {owned: sorted(names) for owned, names in found.items()}


def _exported_applications(
    session: Session, tenant: Tenant, named: Mapping[UUID, str]
) -> list[dict[str, Any]]:
    registrations = {
        one.app_id: one
        for one in session.scalars(select(Application).where(Application.tenant_id == tenant.id))
    }
    app_roles = {
        (one.service_principal_id, one.id): one
        for one in session.scalars(select(AppRole).where(AppRole.tenant_id == tenant.id))
    }
    group_names = {
        one.id: one.display_name
        for one in session.scalars(select(Group).where(Group.tenant_id == tenant.id))
    }
    held = session.scalars(
        select(AppRoleAssignment).where(AppRoleAssignment.tenant_id == tenant.id)
    ).all()
    owned = _owner_names(session, tenant, named)
    graph = applications.by_app_id(session, tenant.id, graph_permissions.APP_ID)
    told = []
    for principal in session.scalars(
        select(ServicePrincipal)
        .where(
            ServicePrincipal.tenant_id == tenant.id,
            ServicePrincipal.app_id != graph_permissions.APP_ID,
        )
        .order_by(ServicePrincipal.name_key, ServicePrincipal.id)
    ):
        registration = registrations.get(principal.app_id)
        permissions: dict[str, Any] = {}
        if graph is not None:
            permissions = _stated(
                application=sorted(consent.roles_of(session, principal, graph)),
                delegated=sorted(consent.granted(session, principal, graph, EVERYBODY)),
            )
        assignments: list[Any] = []
        for row in held:
            if row.service_principal_id != principal.id:
                continue
            whom = named.get(row.principal_id) or group_names.get(row.principal_id)
            if whom is None:
                continue
            role = app_roles.get((principal.id, row.app_role_id))
            assignments.append({"to": whom, "role": role.value} if role else whom)
        found = None if registration is None else Registered(registration, principal)
        told.append(
            _stated(
                name=principal.display_name,
                description=principal.description,
                url=principal.sign_in_url,
                redirectUris={
                    key: registration.redirects_of(platform)
                    for key, platform in directory_terms.PLATFORMS.items()
                    if registration.redirects_of(platform)
                }
                if registration
                else None,
                public=True if registration and registration.is_public else None,
                secret=True if found and app_credentials.credentials_of(session, found) else None,
                membersOnly=principal.members_only or None,
                assignmentRequired=principal.assignment_required or None,
                scopes=[
                    _stated(
                        value=one.value, name=one.display_name, adminsOnly=one.admins_only or None
                    )
                    for one in (offered_permissions.scopes_of(session, found) if found else ())
                ],
                roles=[
                    {
                        "value": one.value,
                        "name": one.display_name,
                        "for": [
                            word
                            for word, meant in (
                                ("users", one.for_users),
                                ("applications", one.for_applications),
                            )
                            if meant
                        ],
                    }
                    for key, one in sorted(app_roles.items(), key=lambda item: str(item[1].value))
                    if key[0] == principal.id
                ],
                permissions=permissions,
                owners=owned.get(principal.id),
                assignments=sorted(assignments, key=str),
            )
        )
    return told
