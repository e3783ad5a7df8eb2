"""Consent: what a client may do at a resource, in people's name or in its own."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, Conflict, Denied, Invalid, NotFound
from b2b.models import (
    EVERYBODY,
    ActorKind,
    Application,
    AppRole,
    AppRoleAssignment,
    PermissionGrant,
    PermissionScope,
    PrincipalType,
    ServicePrincipal,
    TenantPolicy,
    fold,
    new_id,
)
from b2b.models.base import Id
from b2b.prepared import Prepared
from b2b.services import applications, audit, graph_permissions, permissions
from b2b.services.audit import Activity, Change, Entry
from b2b.services.permissions import Action
from b2b.services.scopes import Offered

LONGEST = 8192
"""Characters of one grant."""


# Resources in a tenant ---------------------------------------------------------------------------


def graph_principal(session: Session, actor: Actor) -> ServicePrincipal:
    """Microsoft Graph in the actor's tenant, with its permissions; made when first needed."""
    found = applications.by_app_id(session, actor.tenant_id, graph_permissions.APP_ID)
    if found is not None:
        return found
    made = ServicePrincipal(
        tenant_id=actor.tenant_id,
        id=new_id(),
        app_id=graph_permissions.APP_ID,
        display_name=graph_permissions.NAME,
        name_key=fold(graph_permissions.NAME),
        assignment_required=False,
        members_only=True,
        owner_tenant_id=graph_permissions.OWNER,
        created_at=actor.now,
    )
    session.add(made)
    session.flush()
    key = {"tenant_id": made.tenant_id, "service_principal_id": made.id, "is_enabled": True}
    session.execute(
        insert(PermissionScope),
        [
            {
                **key,
                "id": one.scope,
                "value": one.value,
                "display_name": one.words,
                "admins_only": one.admins_only,
            }
            for one in graph_permissions.SCOPES.values()
        ],
    )
    session.execute(
        insert(AppRole),
        [
            {
                **key,
                "id": one.role,
                "value": one.value,
                "display_name": one.words,
                "for_users": False,
                "for_applications": True,
            }
            for one in graph_permissions.ROLES.values()
        ],
    )
    return made


def add_to_tenant(session: Session, actor: Actor, registration: Application) -> ServicePrincipal:
    """An application that is registered elsewhere, in the actor's tenant: with the scopes and roles
    that it has at home. The caller has asked whether it may be.
    """
    found = applications.by_app_id(session, actor.tenant_id, registration.app_id)
    if found is not None:
        return found
    home = applications.by_app_id(session, registration.tenant_id, registration.app_id)
    made = ServicePrincipal(
        tenant_id=actor.tenant_id,
        id=new_id(),
        app_id=registration.app_id,
        display_name=registration.display_name,
        name_key=fold(registration.display_name),
        description=None if home is None else home.description,
        sign_in_url=None if home is None else home.sign_in_url,
        assignment_required=False,
        owner_tenant_id=registration.tenant_id,
        created_at=actor.now,
    )
    session.add(made)
    session.flush()
    if home is not None:
        for model in (PermissionScope, AppRole):
            rows = session.scalars(
                select(model).where(
                    model.tenant_id == home.tenant_id, model.service_principal_id == home.id
                )
            )
            for row in rows:
                values = {
                    column.name: getattr(row, column.name) for column in model.__table__.columns
                }
                key = {"tenant_id": made.tenant_id, "service_principal_id": made.id}
                session.execute(insert(model), {**values, **key})
    audit.record(
        session,
        actor,
        Entry(Activity.ADD_PRINCIPAL, "ServicePrincipal", made.id, made.display_name),
    )
    return made


def take_in(session: Session, actor: Actor, app_id: UUID) -> ServicePrincipal:
    """An application of another organisation, which is open to others, in the actor's tenant.

    Raises Denied, NotFound for one that is not there or not open, Conflict for one that is here.
    """
    require_all(actor)
    audit.lock(session, actor.tenant_id)
    if applications.by_app_id(session, actor.tenant_id, app_id) is not None:
        raise Conflict(N_("This application is in the organisation already."))
    registration = session.scalars(
        select(Application).where(Application.app_id == app_id)
    ).one_or_none()
    if registration is None or not registration.sign_in_audience.takes_organisations:
        raise NotFound(N_("There is no application with this id."))
    return add_to_tenant(session, actor, registration)


def principal_of(session: Session, actor: Actor, app_id: UUID) -> ServicePrincipal:
    """A resource in the actor's tenant, Graph made if need be. Raises NotFound."""
    if app_id == graph_permissions.APP_ID:
        return graph_principal(session, actor)
    found = applications.by_app_id(session, actor.tenant_id, app_id)
    if found is None:
        raise NotFound(N_("There is no application with this id."))
    return found


Described = tuple[str, UUID, tuple[Offered, ...], tuple[Offered, ...]]


def described(
    session: Session, tenant_id: UUID, app_id: UUID, ids: Mapping[str, Collection[str]]
) -> Described | None:
    """Name, id, scopes and roles of a resource for the ids under *Scope* and *Role*; None for a
    resource that the tenant does not have, or nothing that it still offers.
    """
    if app_id == graph_permissions.APP_ID:
        # The same in every tenant, and there before anybody has used it.
        scopes = [
            Offered(one.value, one.words, one.admins_only)
            for one in graph_permissions.SCOPES.values()
            if str(one.scope) in ids["Scope"]
        ]
        roles = [
            Offered(one.value, one.words, True)
            for one in graph_permissions.ROLES.values()
            if str(one.role) in ids["Role"]
        ]
        name = graph_permissions.NAME
    else:
        found = applications.by_app_id(session, tenant_id, app_id)
        if found is None:
            return None
        name = found.display_name
        scopes = [
            Offered(row.value, row.display_name, row.admins_only)
            for row in _rows(session, PermissionScope, found)
            if str(row.id) in ids["Scope"]
        ]
        roles = [
            Offered(row.value or row.display_name, row.display_name, True)
            for row in _rows(session, AppRole, found)
            if str(row.id) in ids["Role"] and row.for_applications and row.value
        ]
    if not scopes and not roles:
        return None
    return name, app_id, tuple(scopes), tuple(roles)


R = TypeVar("R", PermissionScope, AppRole)


def _rows(session: Session, model: type[R], principal: ServicePrincipal) -> Sequence[R]:
    return session.scalars(
        select(model).where(
            model.tenant_id == principal.tenant_id,
            model.service_principal_id == principal.id,
            model.is_enabled,
        )
    ).all()


# In people's name --------------------------------------------------------------------------------


_GRANTED = Prepared(
    select(PermissionGrant.scope).where(
        PermissionGrant.tenant_id == bindparam("tenant_id", type_=Id),
        PermissionGrant.client_id == bindparam("client_id", type_=Id),
        PermissionGrant.resource_id == bindparam("resource_id", type_=Id),
        PermissionGrant.principal_id.in_(
            (bindparam("everybody", type_=Id), bindparam("user_id", type_=Id))
        ),
    )
)


def granted(
    session: Session, client: ServicePrincipal, resource: ServicePrincipal, user_id: UUID
) -> frozenset[str]:
    """Scope values that *client* has been granted at *resource* for somebody, by himself or by an
    administrator for everybody.
    """
    rows = _GRANTED.within(
        session,
        tenant_id=client.tenant_id,
        client_id=client.id,
        resource_id=resource.id,
        everybody=EVERYBODY,
        user_id=user_id,
    )
    return frozenset(value for row in rows for value in row.scope.split())


def scope_values(session: Session, resource: ServicePrincipal, ids: Collection[UUID]) -> list[str]:
    """Names of the delegated permissions of *resource* with these ids; sorted."""
    return list(
        session.scalars(
            select(PermissionScope.value)
            .where(
                PermissionScope.tenant_id == resource.tenant_id,
                PermissionScope.service_principal_id == resource.id,
                PermissionScope.id.in_(list(ids)),
                PermissionScope.is_enabled,
            )
            .order_by(PermissionScope.value)
        )
    )


def may_consent_for_all(actor: Actor) -> bool:
    """Whether *actor* may consent for the organisation; guests by a role alone (OIDC-8)."""
    return permissions.allows(actor, Action.MANAGE_APPLICATIONS)


def require_all(actor: Actor) -> None:
    """Raise Denied unless *actor* may consent for the organisation."""
    permissions.require(actor, Action.MANAGE_APPLICATIONS)


def may_consent_for_self(actor: Actor, policy: TenantPolicy, *, admins_only: bool) -> bool:
    """Whether *actor* may consent for himself; *admins_only*: something asked for needs an
    administrator.
    """
    if may_consent_for_all(actor):
        return True
    return policy.users_may_consent and not admins_only


def may_grant_roles(actor: Actor) -> bool:
    """Whether *actor* may give programs permissions of their own at Graph: as with the real
    service the application administrators may not.
    """
    return permissions.allows(actor, Action.ASSIGN_ROLE)


def grant(
    session: Session,
    actor: Actor,
    client: ServicePrincipal,
    resource: ServicePrincipal,
    values: Iterable[str],
    *,
    principal_id: UUID = EVERYBODY,
) -> PermissionGrant:
    """Add scope values to what *client* may do at *resource* for one person, or for everybody.

    Raises Denied, Invalid("scope").
    """
    audit.lock(session, actor.tenant_id)
    offered = _offered(session, resource)
    wanted = list(dict.fromkeys(values))
    for value in wanted:
        if value not in offered:
            raise Invalid(
                "scope",
                N_("%(resource)s has no permission %(value)s."),
                resource=resource.display_name,
                value=value[:120],
            )
    _require(session, actor, principal_id, any(offered[value] for value in wanted))
    row = _grant_of(session, client, resource, principal_id)
    before = None if row is None else row.scope
    if row is None:
        row = PermissionGrant(
            tenant_id=actor.tenant_id,
            id=new_id(),
            client_id=client.id,
            resource_id=resource.id,
            principal_id=principal_id,
            scope="",
            created_at=actor.now,
        )
        session.add(row)
    scope = " ".join(dict.fromkeys([*row.scope.split(), *wanted]))
    if len(scope) > LONGEST:
        raise Invalid("scope", N_("These are too many permissions."))
    if scope != before:
        row.scope = scope
        session.flush()
        _record_grant(session, actor, client, resource, row, before)
    return row


def set_scope(
    session: Session, actor: Actor, grant_id: UUID, values: Iterable[str]
) -> PermissionGrant:
    """Say anew what a grant holds. Raises Denied, NotFound, Invalid("scope")."""
    audit.lock(session, actor.tenant_id)
    row = one_grant(session, actor, grant_id)
    client, resource = _both(session, row)
    offered = _offered(session, resource)
    wanted = list(dict.fromkeys(values))
    if not wanted or not set(wanted) <= set(offered):
        raise Invalid("scope", N_("Name permissions that %(resource)s has."),
                      resource=resource.display_name)  # fmt: skip
    _require(session, actor, row.principal_id, any(offered[value] for value in wanted))
    before, row.scope = row.scope, " ".join(wanted)
    session.flush()
    _record_grant(session, actor, client, resource, row, before)
    return row


def _offered(session: Session, resource: ServicePrincipal) -> dict[str, bool]:
    rows = session.execute(
        select(PermissionScope.value, PermissionScope.admins_only).where(
            PermissionScope.tenant_id == resource.tenant_id,
            PermissionScope.service_principal_id == resource.id,
            PermissionScope.is_enabled,
        )
    )
    return {row.value: row.admins_only for row in rows}


def _require(session: Session, actor: Actor, principal_id: UUID, admins_only: bool) -> None:
    """Nobody consents for somebody else without the role (threats.md, OIDC-8)."""
    if principal_id != actor.user_id:
        permissions.require(actor, Action.MANAGE_APPLICATIONS)
    require_self(session, actor, admins_only=admins_only)


def require_self(session: Session, actor: Actor, *, admins_only: bool) -> None:
    """Raise Denied unless *actor* may consent for himself."""
    policy = session.get_one(TenantPolicy, actor.tenant_id)
    if not may_consent_for_self(actor, policy, admins_only=admins_only):
        raise Denied(N_("An administrator has to allow this."))


def _grant_of(
    session: Session, client: ServicePrincipal, resource: ServicePrincipal, principal_id: UUID
) -> PermissionGrant | None:
    return session.scalars(
        select(PermissionGrant).where(
            PermissionGrant.tenant_id == client.tenant_id,
            PermissionGrant.client_id == client.id,
            PermissionGrant.resource_id == resource.id,
            PermissionGrant.principal_id == principal_id,
        )
    ).one_or_none()


def _record_grant(
    session: Session,
    actor: Actor,
    client: ServicePrincipal,
    resource: ServicePrincipal,
    row: PermissionGrant,
    before: str | None,
) -> None:
    audit.record(
        session,
        actor,
        Entry(
            Activity.CONSENT,
            "ServicePrincipal",
            client.id,
            client.display_name,
            [Change("DelegatedPermissionGrant.Scope", before, row.scope)],
            {"resource": resource.display_name, "consentType": str(row.consent_type)},
        ),
    )


@dataclass(frozen=True)
class Grant:
    """A delegated grant as a list shows it."""

    id: UUID
    resource_id: UUID
    resource: str
    principal_id: UUID | None
    """None: everybody."""
    values: tuple[str, ...]


def grants_of(
    session: Session, actor: Actor, client: ServicePrincipal, *, limit: int = 200
) -> list[Grant]:
    """What *client* was granted in people's name, those for everybody first."""
    rows = session.execute(
        select(PermissionGrant, ServicePrincipal.display_name)
        .join(
            ServicePrincipal,
            (ServicePrincipal.tenant_id == PermissionGrant.tenant_id)
            & (ServicePrincipal.id == PermissionGrant.resource_id),
        )
        .where(PermissionGrant.tenant_id == actor.tenant_id, PermissionGrant.client_id == client.id)
        .order_by(PermissionGrant.principal_id, PermissionGrant.id)
        .limit(limit)
    )
    return [
        Grant(
            row.id,
            row.resource_id,
            name,
            None if row.principal_id == EVERYBODY else row.principal_id,
            tuple(row.scope.split()),
        )
        for row, name in rows
    ]


def one_grant(session: Session, actor: Actor, grant_id: UUID) -> PermissionGrant:
    """A delegated grant of the actor's tenant. Raises NotFound."""
    row = session.get(PermissionGrant, (actor.tenant_id, grant_id))
    if row is None:
        raise NotFound(N_("There is no permission with this id."))
    return row


def _both(session: Session, row: PermissionGrant) -> tuple[ServicePrincipal, ServicePrincipal]:
    return (
        session.get_one(ServicePrincipal, (row.tenant_id, row.client_id)),
        session.get_one(ServicePrincipal, (row.tenant_id, row.resource_id)),
    )


def withdraw(session: Session, actor: Actor, grant_id: UUID) -> None:
    """Take a delegated grant back; tokens lose what it gave. One's own, or all by a role.

    Raises Denied, NotFound.
    """
    audit.lock(session, actor.tenant_id)
    row = one_grant(session, actor, grant_id)
    if actor.kind is ActorKind.SYSTEM or row.principal_id != actor.user_id:
        permissions.require(actor, Action.MANAGE_APPLICATIONS)
    client, resource = _both(session, row)
    session.delete(row)
    session.flush()
    audit.record(
        session,
        actor,
        Entry(
            Activity.WITHDRAW_CONSENT,
            "ServicePrincipal",
            client.id,
            client.display_name,
            [Change("DelegatedPermissionGrant.Scope", row.scope, None)],
            {"resource": resource.display_name, "consentType": str(row.consent_type)},
        ),
    )


# In its own name ---------------------------------------------------------------------------------


def roles_of(session: Session, client: ServicePrincipal, resource: ServicePrincipal) -> list[str]:
    """Values of the application permissions that *client* holds at *resource*; sorted."""
    return applications.role_values(
        session,
        resource,
        AppRole.for_applications,
        AppRoleAssignment.principal_id == client.id,
        AppRoleAssignment.principal_type == PrincipalType.SERVICE_PRINCIPAL,
    )


def give_roles(
    session: Session,
    actor: Actor,
    client: ServicePrincipal,
    resource: ServicePrincipal,
    values: Sequence[str],
) -> list[str]:
    """Give *client* application permissions at *resource*; returns those that are new.

    Raises Denied, Invalid("role").
    """
    audit.lock(session, actor.tenant_id)
    _require_roles(actor, resource)
    roles = {
        row.value: row
        for row in session.scalars(
            select(AppRole).where(
                AppRole.tenant_id == resource.tenant_id,
                AppRole.service_principal_id == resource.id,
                AppRole.for_applications,
                AppRole.is_enabled,
                AppRole.value.in_(list(values)),
            )
        )
    }
    for value in values:
        if value not in roles:
            raise Invalid(
                "role",
                N_("%(resource)s has no permission %(value)s."),
                resource=resource.display_name,
                value=value[:120],
            )
    held = set(roles_of(session, client, resource))
    fresh = [value for value in dict.fromkeys(values) if value not in held]
    if not fresh:
        return []
    session.execute(
        insert(AppRoleAssignment),
        [
            {
                "tenant_id": actor.tenant_id,
                "id": new_id(),
                "service_principal_id": resource.id,
                "principal_id": client.id,
                "principal_type": PrincipalType.SERVICE_PRINCIPAL,
                "app_role_id": roles[value].id,
                "created_at": actor.now,
            }
            for value in fresh
        ],
    )
    audit.record(
        session,
        actor,
        *(
            _about_role(Activity.GIVE_PERMISSION, client, resource, Change("AppRole", None, value))
            for value in fresh
        ),
    )
    return fresh


def take_role(
    session: Session,
    actor: Actor,
    client: ServicePrincipal,
    resource: ServicePrincipal,
    value: str,
) -> None:
    """Take an application permission away; tokens lose it at once. Raises Denied, Conflict."""
    audit.lock(session, actor.tenant_id)
    permissions.require(actor, Action.MANAGE_APPLICATIONS)
    role = select(AppRole.id).where(
        AppRole.tenant_id == resource.tenant_id,
        AppRole.service_principal_id == resource.id,
        AppRole.value == value,
    )
    gone = session.execute(
        delete(AppRoleAssignment).where(
            AppRoleAssignment.tenant_id == actor.tenant_id,
            AppRoleAssignment.service_principal_id == resource.id,
            AppRoleAssignment.principal_id == client.id,
            AppRoleAssignment.app_role_id.in_(role),
        )
    )
    if not gone.rowcount:  # type: ignore[attr-defined]
        raise Conflict(N_("This permission is not held any more."))
    change = Change("AppRole", value, None)
    audit.record(session, actor, _about_role(Activity.TAKE_PERMISSION, client, resource, change))


def _require_roles(actor: Actor, resource: ServicePrincipal) -> None:
    """The real service's rule: Graph's own permissions are a Global Administrator's to give."""
    if resource.app_id == graph_permissions.APP_ID:
        permissions.require(actor, Action.ASSIGN_ROLE)
    permissions.require(actor, Action.MANAGE_APPLICATIONS)


def _about_role(
    activity: Activity, client: ServicePrincipal, resource: ServicePrincipal, change: Change
) -> Entry:
    return Entry(
        activity,
        "ServicePrincipal",
        client.id,
        client.display_name,
        [change],
        {"resource": resource.display_name},
    )
