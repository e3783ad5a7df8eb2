"""What an application that signs somebody in has not been granted yet, and the answer of whoever
may grant it: the person for himself, or an administrator for the organisation.
"""

from dataclasses import dataclass, replace
from uuid import UUID

from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.models import Application, User
from b2b.services import clients, consent, graph_permissions, scopes
from b2b.services.aadsts import SignInRefused
from b2b.services.authorization import Target
from b2b.services.clients import Client, Parameters, one
from b2b.services.scopes import Offered, Resource, Wanted


@dataclass(frozen=True)
class Missing:
    """What an application has not been granted yet, for the person at hand."""

    client: Client
    resource: Resource | None
    permissions: tuple[Offered, ...]
    """New ones, in the order that they were asked for."""
    needs_administrator: bool

    @property
    def values(self) -> list[str]:
        """Their names."""
        return [one.value for one in self.permissions]


def missing(
    session: Session,
    client: Client,
    user: User,
    wanted: Wanted,
    *,
    all_of_it: bool = False,
) -> Missing | None:
    """What has to be consented to before *wanted* can be issued; None for nothing.

    Identity scopes need no consent of their own in the application's tenant; elsewhere the first
    sign-in does, because it brings the application in. *all_of_it*: also what is granted already
    (prompt=consent). Raises SignInRefused (70011, 500011, 65001).
    """
    is_foreign = client.application is None
    if not wanted.names_resource:
        if is_foreign or all_of_it:
            return Missing(client, None, _identity(wanted), False)
        return None
    resource = scopes.resource_of(session, client.tenant, wanted)
    if resource is None:
        names = _registered_values(client.registration) if wanted.is_default else wanted.values
        return Missing(client, None, *_of_graph(names))
    own = client.application is not None and resource.principal.id == client.application.id
    if own and not all_of_it:
        scopes.offered(session, resource, [v for v in wanted.values if v != scopes.DEFAULT])
        return None
    held: frozenset[str] = frozenset()
    if client.application is not None:
        held = consent.granted(session, client.application, resource.principal, user.id)
    names = wanted.values
    if wanted.is_default:
        names = tuple(_required_values(session, client.registration, resource))
        if held and not all_of_it:
            names = ()
        elif not names and not held:
            raise SignInRefused(65001, application=client.name)
    offered = scopes.offered(session, resource, names)
    new = tuple(one for one in offered if all_of_it or one.value not in held)
    if not new and not is_foreign:
        return None
    return Missing(client, resource, new, any(one.admins_only for one in new))


def _identity(wanted: Wanted) -> tuple[Offered, ...]:
    found = (graph_permissions.SCOPES[name] for name in wanted.identity)
    return tuple(Offered(one.value, one.words, one.admins_only) for one in found)


def _of_graph(names: tuple[str, ...]) -> tuple[tuple[Offered, ...], bool]:
    """Graph's permissions in a tenant that has not met it yet."""
    for name in names:
        if name not in graph_permissions.SCOPES:
            raise SignInRefused(70011, name=name)
    found = [graph_permissions.SCOPES[name] for name in names]
    return (
        tuple(Offered(one.value, one.words, one.admins_only) for one in found),
        any(one.admins_only for one in found),
    )


def _registered_values(registration: Application) -> tuple[str, ...]:
    ids = _required_ids(registration, graph_permissions.APP_ID, "Scope")
    return tuple(name for name, one in graph_permissions.SCOPES.items() if str(one.scope) in ids)


def _required_ids(registration: Application, app_id: UUID, kind: str) -> set[str]:
    return {
        one["id"]
        for resource in registration.required_access
        if resource["resourceAppId"] == str(app_id)
        for one in resource["resourceAccess"]
        if one["type"] == kind
    }


def _required_values(session: Session, registration: Application, resource: Resource) -> list[str]:
    """Names of the delegated permissions that the registration says it needs at *resource*."""
    ids = _required_ids(registration, resource.principal.app_id, "Scope")
    return consent.scope_values(session, resource.principal, {UUID(one) for one in ids})


def may_consent(session: Session, actor: Actor, found: Missing) -> bool:
    """Whether *actor* may say yes to *found* for himself at least (threats.md, OIDC-8)."""
    policy = clients.policy_of(session, actor.tenant_id)
    return consent.may_consent_for_self(actor, policy, admins_only=found.needs_administrator)


def accept(session: Session, actor: Actor, found: Missing, *, for_all: bool) -> Client:
    """Write down that *actor* consents to *found*, for himself or for the organisation.

    Raises Denied.
    """
    assert actor.user_id is not None
    client = found.client
    if client.application is None:
        consent.require_self(session, actor, admins_only=found.needs_administrator)
        made = consent.add_to_tenant(session, actor, client.registration)
        client = replace(client, application=made)
    values = [name for name in found.values if found.resource or name not in scopes.IDENTITY]
    if values:
        resource = (
            consent.graph_principal(session, actor)
            if found.resource is None
            else found.resource.principal
        )
        principal = {} if for_all else {"principal_id": actor.user_id}
        consent.grant(session, actor, client.principal, resource, values, **principal)
    return client


@dataclass(frozen=True)
class AdminAsked:
    """A request that an administrator consents for the organisation to."""

    target: Target
    state: str | None
    wanted: Wanted | None
    """None: everything that the registration says it needs (the older endpoint)."""


@dataclass(frozen=True)
class Needed:
    """Permissions of one resource that an administrator is asked for."""

    name: str
    app_id: UUID
    scopes: tuple[Offered, ...]
    roles: tuple[Offered, ...]


def admin_request_of(target: Target, parameters: Parameters) -> AdminAsked:
    """Read a request for admin consent. Raises SignInRefused, for the client to be told."""
    text = one(parameters, "scope")
    wanted = None if text is None else scopes.read(text, application=target.name)
    if wanted is not None and (wanted.is_default or not wanted.names_resource):
        wanted = None
    return AdminAsked(target, one(parameters, "state"), wanted)


def needed_of(session: Session, client: Client, asked: AdminAsked) -> list[Needed]:
    """What an administrator is asked for: the scopes of the request, or all that the registration
    needs, by resource. Raises SignInRefused.
    """
    if asked.wanted is not None:
        resource = scopes.resource_of(session, client.tenant, asked.wanted)
        if resource is None:
            return [
                Needed(
                    graph_permissions.NAME,
                    graph_permissions.APP_ID,
                    _of_graph(asked.wanted.values)[0],
                    (),
                )
            ]
        offered = scopes.offered(session, resource, asked.wanted.values)
        principal = resource.principal
        return [Needed(principal.display_name, principal.app_id, tuple(offered), ())]
    found = []
    for one_resource in client.registration.required_access:
        app_id = UUID(one_resource["resourceAppId"])
        ids = {kind: _required_ids(client.registration, app_id, kind) for kind in ("Scope", "Role")}
        found.append(consent.described(session, client.tenant.id, app_id, ids))
    return [Needed(*one_found) for one_found in found if one_found is not None]


def accept_for_all(
    session: Session, actor: Actor, client: Client, needed_now: list[Needed]
) -> Client:
    """Write down that an administrator consents to all of it for the organisation.

    Raises Denied.
    """
    if client.application is None:
        consent.require_all(actor)
        made = consent.add_to_tenant(session, actor, client.registration)
        client = replace(client, application=made)
    for one_resource in needed_now:
        resource = consent.principal_of(session, actor, one_resource.app_id)
        if one_resource.scopes:
            values = [scope.value for scope in one_resource.scopes]
            consent.grant(session, actor, client.principal, resource, values)
        if one_resource.roles:
            roles = [role.value for role in one_resource.roles]
            consent.give_roles(session, actor, client.principal, resource, roles)
    return client
