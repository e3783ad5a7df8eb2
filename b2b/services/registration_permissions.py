"""Permissions that an app registration asks for: what each allows, and whether it is granted."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, Invalid, NotFound
from b2b.models import (
    EVERYBODY,
    AppRole,
    AppRoleAssignment,
    PermissionGrant,
    PermissionScope,
    PrincipalType,
    ServicePrincipal,
)
from b2b.services import app_registrations, audit, consent, graph_permissions
from b2b.services.app_registrations import Registered, RequiredAccess

MOST_APIS = 200


class Kind(enum.StrEnum):
    """In whose name a permission is used."""

    DELEGATED = "Scope"
    APPLICATION = "Role"


class Standing(enum.StrEnum):
    """How far a permission that is asked for has come."""

    GRANTED = "granted"
    """For the organisation."""
    ASKED = "asked"
    """People are asked when they sign in."""
    WAITS = "waits"
    """For an administrator."""


@dataclass(frozen=True)
class Api:
    """Something that can be called, as the tenant has it."""

    app_id: UUID
    name: str

    @property
    def is_graph(self) -> bool:
        """Whether its words are ours, and translated."""
        return self.app_id == graph_permissions.APP_ID


@dataclass(frozen=True)
class Offer:
    """A permission that an API offers."""

    id: UUID
    kind: Kind
    value: str
    words: str
    needs_administrator: bool


@dataclass(frozen=True)
class Line:
    """A permission that a registration asks for."""

    api: Api
    offer: Offer
    standing: Standing


_GRAPH = Api(graph_permissions.APP_ID, graph_permissions.NAME)
_GRAPH_OFFERS = (
    *(
        Offer(one.scope, Kind.DELEGATED, one.value, one.words, one.admins_only)
        for one in graph_permissions.PERMISSIONS
        if one.scope is not None
    ),
    *(
        Offer(one.role, Kind.APPLICATION, one.value, one.words, True)
        for one in graph_permissions.PERMISSIONS
        if one.role is not None
    ),
)


# What there is to ask for ------------------------------------------------------------------------


def apis(session: Session, actor: Actor) -> list[Api]:
    """Microsoft Graph, and whatever else in the tenant offers permissions to programs; by name."""
    offering = or_(
        exists().where(
            PermissionScope.tenant_id == ServicePrincipal.tenant_id,
            PermissionScope.service_principal_id == ServicePrincipal.id,
            PermissionScope.is_enabled,
        ),
        exists().where(
            AppRole.tenant_id == ServicePrincipal.tenant_id,
            AppRole.service_principal_id == ServicePrincipal.id,
            AppRole.is_enabled,
            AppRole.for_applications,
        ),
    )
    rows = session.execute(
        select(ServicePrincipal.app_id, ServicePrincipal.display_name)
        .where(
            ServicePrincipal.tenant_id == actor.tenant_id,
            ServicePrincipal.app_id != graph_permissions.APP_ID,
            offering,
        )
        .order_by(ServicePrincipal.name_key, ServicePrincipal.id)
        .limit(MOST_APIS)
    )
    return [_GRAPH, *(Api(*row) for row in rows)]


def offers(session: Session, actor: Actor, app_id: UUID) -> tuple[Api, Sequence[Offer]]:
    """An API of the tenant and what it offers. Raises NotFound."""
    if app_id == graph_permissions.APP_ID:
        return _GRAPH, _GRAPH_OFFERS
    found = _principals(session, actor, [app_id]).get(app_id)
    if found is None:
        raise NotFound(N_("There is no application with this id."))
    return Api(app_id, found.display_name), _offers(session, actor, [found.id])[found.id]


def _principals(
    session: Session, actor: Actor, app_ids: Sequence[UUID]
) -> dict[UUID, ServicePrincipal]:
    rows = session.scalars(
        select(ServicePrincipal).where(
            ServicePrincipal.tenant_id == actor.tenant_id, ServicePrincipal.app_id.in_(app_ids)
        )
    )
    return {row.app_id: row for row in rows}


def _offers(session: Session, actor: Actor, ids: Sequence[UUID]) -> dict[UUID, list[Offer]]:
    """Enabled permissions of several APIs, by two queries."""
    found: dict[UUID, list[Offer]] = {one: [] for one in ids}
    for scope in session.scalars(
        select(PermissionScope)
        .where(
            PermissionScope.tenant_id == actor.tenant_id,
            PermissionScope.service_principal_id.in_(ids),
            PermissionScope.is_enabled,
        )
        .order_by(PermissionScope.value)
    ):
        words = scope.display_name
        offer = Offer(scope.id, Kind.DELEGATED, scope.value, words, scope.admins_only)
        found[scope.service_principal_id].append(offer)
    for role in session.scalars(
        select(AppRole)
        .where(
            AppRole.tenant_id == actor.tenant_id,
            AppRole.service_principal_id.in_(ids),
            AppRole.is_enabled,
            AppRole.for_applications,
            AppRole.value.is_not(None),
        )
        .order_by(AppRole.value)
    ):
        offer = Offer(role.id, Kind.APPLICATION, role.value or "", role.display_name, True)
        found[role.service_principal_id].append(offer)
    return found


# What a registration asks for --------------------------------------------------------------------


def _access(found: Registered) -> list[RequiredAccess]:
    return [RequiredAccess.from_graph(one) for one in found.registration.required_access]


def lines(session: Session, actor: Actor, found: Registered) -> list[Line]:
    """What it asks for, by API; what an API has ceased to offer is left out. Five queries."""
    wanted = _access(found)
    principals = _principals(session, actor, [one.resource_app_id for one in wanted])
    others = [one.id for one in principals.values() if one.app_id != graph_permissions.APP_ID]
    by_principal = _offers(session, actor, others) if others else {}
    scopes, roles = _granted(session, actor, found)
    listed = []
    for one in wanted:
        principal = principals.get(one.resource_app_id)
        if one.resource_app_id == graph_permissions.APP_ID:
            api, known = _GRAPH, list(_GRAPH_OFFERS)
        elif principal is not None:
            api, known = Api(principal.app_id, principal.display_name), by_principal[principal.id]
        else:
            continue
        asked = {(Kind.DELEGATED, i) for i in one.scopes} | {
            (Kind.APPLICATION, i) for i in one.roles
        }
        for offer in known:
            if (offer.kind, offer.id) not in asked:
                continue
            held = principal is not None and (
                offer.value in scopes.get(principal.id, ())
                if offer.kind is Kind.DELEGATED
                else offer.id in roles.get(principal.id, ())
            )
            standing = (
                Standing.GRANTED
                if held
                else Standing.WAITS
                if offer.needs_administrator
                else Standing.ASKED
            )
            listed.append(Line(api, offer, standing))
    return listed


def _granted(
    session: Session, actor: Actor, found: Registered
) -> tuple[dict[UUID, set[str]], dict[UUID, set[UUID]]]:
    """Scope values granted for everybody, and ids of roles held, by the API's principal."""
    scopes: dict[UUID, set[str]] = {}
    for grant in session.scalars(
        select(PermissionGrant).where(
            PermissionGrant.tenant_id == actor.tenant_id,
            PermissionGrant.client_id == found.principal.id,
            PermissionGrant.principal_id == EVERYBODY,
        )
    ):
        scopes.setdefault(grant.resource_id, set()).update(grant.values)
    roles: dict[UUID, set[UUID]] = {}
    for row in session.execute(_roles_held(actor, found.principal)):
        roles.setdefault(row.service_principal_id, set()).add(row.app_role_id)
    return scopes, roles


def _roles_held(actor: Actor, principal: ServicePrincipal) -> Any:
    return select(AppRoleAssignment.service_principal_id, AppRoleAssignment.app_role_id).where(
        AppRoleAssignment.tenant_id == actor.tenant_id,
        AppRoleAssignment.principal_id == principal.id,
        AppRoleAssignment.principal_type == PrincipalType.SERVICE_PRINCIPAL,
    )


def ask_for(
    session: Session,
    actor: Actor,
    registration_id: UUID,
    app_id: UUID,
    wanted: Sequence[tuple[Kind, UUID]],
) -> Registered:
    """Say anew what a registration asks of one API; nothing takes the API off its list.

    Raises Denied, NotFound, Invalid("wanted") for what the API does not offer.
    """
    audit.lock(session, actor.tenant_id)
    _, known = offers(session, actor, app_id)
    if not set(wanted) <= {(one.kind, one.id) for one in known}:
        raise Invalid("wanted", N_("One of these permissions is not offered."))
    found = app_registrations.get(session, actor, registration_id)
    session.refresh(found.registration)
    access = RequiredAccess(
        app_id,
        tuple(one for kind, one in wanted if kind is Kind.DELEGATED),
        tuple(one for kind, one in wanted if kind is Kind.APPLICATION),
    )
    before = _access(found)
    after = [access if one.resource_app_id == app_id else one for one in before]
    if all(one.resource_app_id != app_id for one in before):
        after.append(access)
    return app_registrations.set_required_access(
        session, actor, registration_id, [one for one in after if one.scopes or one.roles]
    )


def ask_no_longer(
    session: Session, actor: Actor, registration_id: UUID, app_id: UUID, kind: Kind, one_id: UUID
) -> Registered:
    """Take one permission off what a registration asks for; what was granted stays granted.

    Raises Denied, NotFound.
    """
    audit.lock(session, actor.tenant_id)
    found = app_registrations.get(session, actor, registration_id)
    session.refresh(found.registration)
    after = []
    for access in _access(found):
        if access.resource_app_id == app_id and kind is Kind.DELEGATED:
            access = replace(access, scopes=tuple(i for i in access.scopes if i != one_id))
        elif access.resource_app_id == app_id:
            access = replace(access, roles=tuple(i for i in access.roles if i != one_id))
        if access.scopes or access.roles:
            after.append(access)
    return app_registrations.set_required_access(session, actor, registration_id, after)


def may_consent(actor: Actor, asked: Sequence[Line]) -> bool:
    """Whether *actor* may grant all of this for the organisation (threats.md, OIDC-8)."""
    own_of_graph = any(one.api.is_graph and one.offer.kind is Kind.APPLICATION for one in asked)
    return consent.may_consent_for_all(actor) and (
        not own_of_graph or consent.may_grant_roles(actor)
    )


def consent_to_all(session: Session, actor: Actor, registration_id: UUID) -> Registered:
    """Grant for the organisation whatever the registration asks for.

    Raises Denied, NotFound.
    """
    consent.require_all(actor)
    audit.lock(session, actor.tenant_id)
    found = app_registrations.get(session, actor, registration_id)
    session.refresh(found.registration)
    asked: dict[UUID, list[Offer]] = {}
    for line in lines(session, actor, found):
        asked.setdefault(line.api.app_id, []).append(line.offer)
    for app_id, wanted in asked.items():
        resource = consent.principal_of(session, actor, app_id)
        scopes = [one.value for one in wanted if one.kind is Kind.DELEGATED]
        roles = [one.value for one in wanted if one.kind is Kind.APPLICATION]
        if scopes:
            consent.grant(session, actor, found.principal, resource, scopes)
        if roles:
            consent.give_roles(session, actor, found.principal, resource, roles)
    return found


# What an application has been granted ------------------------------------------------------------


@dataclass(frozen=True)
class Held:
    """A permission that an application uses in its own name."""

    resource_id: UUID
    resource: str
    value: str
    words: str
    is_graph: bool


def held(session: Session, actor: Actor, client: ServicePrincipal) -> list[Held]:
    """What *client* may do in its own name, by API."""
    rows = session.execute(
        select(
            ServicePrincipal.id,
            ServicePrincipal.display_name,
            AppRole.value,
            AppRole.display_name.label("words"),
            ServicePrincipal.app_id,
        )
        .join(
            AppRoleAssignment,
            (AppRoleAssignment.tenant_id == ServicePrincipal.tenant_id)
            & (AppRoleAssignment.service_principal_id == ServicePrincipal.id),
        )
        .join(
            AppRole,
            (AppRole.tenant_id == AppRoleAssignment.tenant_id)
            & (AppRole.service_principal_id == AppRoleAssignment.service_principal_id)
            & (AppRole.id == AppRoleAssignment.app_role_id),
        )
        .where(
            ServicePrincipal.tenant_id == actor.tenant_id,
            AppRoleAssignment.principal_id == client.id,
            AppRoleAssignment.principal_type == PrincipalType.SERVICE_PRINCIPAL,
        )
        .order_by(ServicePrincipal.name_key, AppRole.value)
    )
    return [
        Held(
            row.id,
            row.display_name,
            row.value or "",
            row.words,
            row.app_id == graph_permissions.APP_ID,
        )
        for row in rows
    ]


def take(session: Session, actor: Actor, client_id: UUID, resource_id: UUID, value: str) -> str:
    """Take from an application what it may do in its own name; returns the permission.

    Raises Denied, NotFound, Conflict.
    """
    key = actor.tenant_id
    client = session.get(ServicePrincipal, (key, client_id))
    resource = session.get(ServicePrincipal, (key, resource_id))
    if client is None or resource is None:
        raise NotFound(N_("There is no application with this id."))
    consent.take_role(session, actor, client, resource, value)
    return value
