"""Applications as the directory has them: `/servicePrincipals`, and the owners that they share with
their registrations (groups-apps-roles.md, section 2).
"""

import contextlib
from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import and_, exists, or_, select

from b2b.errors import NotFound
from b2b.models import (
    Application,
    AppRole,
    IdentifierUri,
    OwnedType,
    Owner,
    PermissionScope,
    ServicePrincipal,
    User,
)
from b2b.models.base import lower_ascii
from b2b.services import app_registrations, applications, consent, graph_permissions, owners
from b2b.services.owners import Owned
from b2b.web.graph import access, listing, memberships, offers, resources, seeing, values
from b2b.web.graph import applications as registrations
from b2b.web.graph.calls import NO_CONTENT, Answer, Call, alternate_key, bad, missing, route
from b2b.web.graph.conditions import Clause, Compiler, ascii_lower
from b2b.web.graph.listing import Source
from b2b.web.graph.odata import Lambda
from b2b.web.graph.people import USER, everybody, hidden_of_others
from b2b.web.graph.resources import (
    BOOLEAN,
    GUID,
    INSTANT,
    STRING,
    STRINGS,
    Filter,
    Kind,
    Property,
    plain,
    text,
)

# What is kept elsewhere --------------------------------------------------------------------------


def _registrations(call: Call, ids: Collection[UUID]) -> dict[UUID, Application]:
    """Registrations, wherever they are, by the service principal's id."""
    rows = call.session.execute(
        select(ServicePrincipal.id, Application)
        .join(Application, Application.app_id == ServicePrincipal.app_id)
        .where(
            ServicePrincipal.tenant_id == call.actor.tenant_id,
            ServicePrincipal.id.in_(list(ids)),
        )
    )
    return {row[0]: row[1] for row in rows}


def _offered(model: Any) -> resources.Load:
    return lambda call, ids: offers.of_principals(call, model, ids)


def _has_name(compiler: Compiler, _: str, tree: Any) -> Clause:
    """`servicePrincipalNames/any(c:c eq '…')`: client ids and identifier URIs, as azure-cli asks
    (clients.md).
    """
    if not isinstance(tree, Lambda):
        return ServicePrincipal.id.is_not(None)
    found = []
    names = compiler.element(tree, PRINCIPAL.properties["servicePrincipalNames"])
    for _, _, value in names:
        name = str(value.value)
        named = exists().where(
            Application.app_id == ServicePrincipal.app_id,
            IdentifierUri.tenant_id == Application.tenant_id,
            IdentifierUri.application_id == Application.id,
            lower_ascii(IdentifierUri.uri) == ascii_lower(name),
        )
        app_id = graph_permissions.APP_ID if name.lower() == graph_permissions.URI else None
        with contextlib.suppress(ValueError):
            app_id = UUID(name)
        found.append(named if app_id is None else or_(ServicePrincipal.app_id == app_id, named))
    return and_(*found)


def _names(call: Call, ids: Collection[UUID]) -> Mapping[UUID, Any]:
    """Client id and the names of its API."""
    found = {
        row.id: [str(row.app_id)]
        for row in call.session.execute(
            select(ServicePrincipal.id, ServicePrincipal.app_id).where(
                ServicePrincipal.tenant_id == call.actor.tenant_id,
                ServicePrincipal.id.in_(list(ids)),
            )
        )
    }
    for names in found.values():
        if names == [str(graph_permissions.APP_ID)]:
            names.append(graph_permissions.URI)
    rows = call.session.execute(
        select(ServicePrincipal.id, IdentifierUri.uri)
        .join(Application, Application.app_id == ServicePrincipal.app_id)
        .join(
            IdentifierUri,
            (IdentifierUri.tenant_id == Application.tenant_id)
            & (IdentifierUri.application_id == Application.id),
        )
        .where(
            ServicePrincipal.tenant_id == call.actor.tenant_id,
            ServicePrincipal.id.in_(list(ids)),
        )
        .order_by(IdentifierUri.uri)
    )
    for principal_id, uri in rows:
        found[principal_id].append(uri)
    return found


def _audience(call: Call, ids: Collection[UUID]) -> Mapping[UUID, Any]:
    return {key: str(one.sign_in_audience) for key, one in _registrations(call, ids).items()}


def _replies(call: Call, ids: Collection[UUID]) -> Mapping[UUID, Any]:
    return {
        key: [*one.redirect_uris, *one.spa_redirect_uris, *one.public_redirect_uris]
        for key, one in _registrations(call, ids).items()
    }


def _publisher(call: Call, ids: Collection[UUID]) -> Mapping[UUID, Any]:
    names = {key: one.verified_publisher for key, one in _registrations(call, ids).items()}
    return {
        key: {"displayName": names.get(key), "verifiedPublisherId": None, "addedDateTime": None}
        for key in ids
    }


def _owner_tenant(call: Call, ids: Collection[UUID]) -> Mapping[UUID, Any]:
    rows = call.session.execute(
        select(ServicePrincipal.id, ServicePrincipal.owner_tenant_id).where(
            ServicePrincipal.tenant_id == call.actor.tenant_id,
            ServicePrincipal.id.in_(list(ids)),
        )
    )
    return {row.id: row.owner_tenant_id or call.actor.tenant_id for row in rows}


# The table ---------------------------------------------------------------------------------------

PRINCIPAL = resources.kind(
    Kind(
        "servicePrincipal",
        "servicePrincipals",
        ServicePrincipal,
        resources.table(
            Property("id", STRING, ServicePrincipal.id, default=True,
                     filter=Filter(ServicePrincipal.id, frozenset({"eq", "in", "ne", "not"}),
                                   compares=GUID, indexed=True)),
            plain("deletedDateTime", INSTANT, None, default=True, read=lambda _: None),
            plain("accountEnabled", BOOLEAN, ServicePrincipal.account_enabled, "eq in | ne not",
                  default=True, write="account_enabled"),
            Property("alternativeNames", STRINGS, default=True, read=lambda _: []),
            text("appDisplayName", ServicePrincipal.display_name, default=True),
            Property("appId", STRING, ServicePrincipal.app_id, default=True,
                     filter=Filter(ServicePrincipal.app_id, frozenset({"eq", "in", "ne", "not"}),
                                   compares=GUID, indexed=True)),
            Property("appOwnerOrganizationId", GUID, default=True, load=_owner_tenant),
            plain("appRoleAssignmentRequired", BOOLEAN, ServicePrincipal.assignment_required,
                  "eq in | ne not", default=True, write="assignment_required"),
            Property("appRoles", "Collection(graph.appRole)", default=True,
                     load=_offered(AppRole)),
            plain("createdDateTime", INSTANT, ServicePrincipal.created_at,
                  "eq ge le gt lt in | ne not", default=True, order=ServicePrincipal.created_at,
                  order_is_advanced=True),
            text("description", ServicePrincipal.description, "eq in startswith | ne not null",
                 default=True, write="description"),
            text("displayName", ServicePrincipal.display_name, "eq in startswith ge le | ne not",
                 key=ServicePrincipal.name_key, indexed=True, default=True,
                 order=ServicePrincipal.name_key, search="start"),
            text("homepage", ServicePrincipal.sign_in_url, default=True),
            Property("keyCredentials", "Collection(graph.keyCredential)", default=True,
                     read=lambda _: []),
            text("loginUrl", ServicePrincipal.sign_in_url, default=True, write="sign_in_url"),
            text("logoutUrl", None, default=True, read=lambda _: None),
            text("notes", None, default=True, read=lambda _: None),
            Property("oauth2PermissionScopes", "Collection(graph.permissionScope)", default=True,
                     load=_offered(PermissionScope)),
            Property("passwordCredentials", "Collection(graph.passwordCredential)", default=True,
                     read=lambda _: []),
            text("preferredSingleSignOnMode", None, default=True, read=lambda _: None),
            Property("replyUrls", STRINGS, default=True, load=_replies),
            Property("servicePrincipalNames", STRINGS, default=True, load=_names,
                     filter=Filter(None, frozenset({"eq"}), has=_has_name)),
            text("servicePrincipalType", None, default=True, read=lambda _: "Application"),
            text("signInAudience", None, default=True, load=_audience),
            Property("tags", STRINGS, default=True, read=lambda _: []),
            Property("verifiedPublisher", "graph.verifiedPublisher", default=True,
                     load=_publisher),
        ),
    )
)  # fmt: skip


def _all(call: Call) -> Source:
    return Source(PRINCIPAL, [ServicePrincipal.tenant_id == call.actor.tenant_id])


def meant(call: Call, name: str = "principal") -> ServicePrincipal:
    """The service principal of the path, by its id or `appId='…'`. Raises GraphError (404)."""
    named = alternate_key(call.params[name])
    if named is None:
        return applications.get(call.session, call.actor, call.id(name))
    if named[0].lower() != "appid":
        raise bad(f"servicePrincipal has no key {named[0][:50]!r}.", code="BadRequest")
    app_id = values.identifier(named[1], "appId")
    found = applications.by_app_id(call.session, call.actor.tenant_id, app_id)
    if found is None:
        raise missing(named[1])
    return found


# Reading -----------------------------------------------------------------------------------------


@route(
    "GET",
    "servicePrincipals",
    needs=access.READ_APPLICATIONS,
    returns="Collection(servicePrincipal)",
)
def list_principals(call: Call) -> Answer:
    """List applications of the directory."""
    seeing.require_directory(call)
    return listing.collection(call, _all(call))


@route("GET", "servicePrincipals/$count", needs=access.READ_APPLICATIONS, returns="Edm.Int32")
def count_principals(call: Call) -> Answer:
    """How many applications the directory has."""
    seeing.require_directory(call)
    return listing.count(call, _all(call))


@route(
    "GET",
    "servicePrincipals/{principal}",
    needs=access.READ_APPLICATIONS,
    returns="servicePrincipal",
)
def get_principal(call: Call) -> Answer:
    """One application, by id or client id."""
    return listing.entity(call, PRINCIPAL, meant(call))


# Writing -----------------------------------------------------------------------------------------


@route(
    "POST",
    "servicePrincipals",
    needs=access.CHANGE_APPLICATIONS,
    takes="servicePrincipal",
    returns="servicePrincipal",
    refusals={"Conflict": (409, "Request_MultipleObjectsWithSameKeyValue")},
)
def create_principal(call: Call) -> Answer:
    """Take an application of another organisation into the directory."""
    body = call.body()
    values.only("servicePrincipal", body, "appId")
    app_id = values.identifier(body.get("appId"), "appId")
    try:
        made = consent.take_in(call.session, call.actor, app_id)
    except NotFound:
        raise bad(
            f"The appId {str(app_id)!r} of the service principal is of no application that is"
            " open to this organisation.",
            target="appId",
        ) from None
    call.session.flush()
    answer = listing.entity(call, PRINCIPAL, made, status=201)
    location = {"Location": f"{call.root}/servicePrincipals/{made.id}"}
    return Answer(201, answer.body, headers=location)


@route(
    "PATCH",
    "servicePrincipals/{principal}",
    needs=access.CHANGE_APPLICATIONS,
    takes="servicePrincipal",
)
def update_principal(call: Call) -> Answer:
    """Switch an application on or off, say whether people have to be assigned, and describe it."""
    found = meant(call)
    wanted = values.changes(PRINCIPAL, call.body())
    for name in ("account_enabled", "assignment_required"):
        if name in wanted and wanted[name] is None:
            raise bad(f"{_NAMES[name]} has to be true or false.", target=_NAMES[name])
    applications.change(call.session, call.actor, found.id, wanted)
    return NO_CONTENT


@route("DELETE", "servicePrincipals/{principal}", needs=access.CHANGE_APPLICATIONS)
def remove_principal(call: Call) -> Answer:
    """Remove an application that is registered elsewhere, for good."""
    app_registrations.remove_principal(call.session, call.actor, meant(call).id)
    return NO_CONTENT


_NAMES = {one.write: one.name for one in PRINCIPAL.properties.values() if one.write}

# Owners ------------------------------------------------------------------------------------------


def _owned(call: Call) -> Owned:
    """What the path names, as something that has owners."""
    if "application" in call.params:
        return registrations.meant(call).owned
    return applications.owned(meant(call))


@route(
    "GET",
    "applications/{application}/owners",
    "applications/{application}/owners/{cast}",
    "servicePrincipals/{principal}/owners",
    "servicePrincipals/{principal}/owners/{cast}",
    needs=access.READ_APPLICATIONS,
    returns="Collection(directoryObject)",
)
def list_owners(call: Call) -> Answer:
    """Who looks after an application."""
    seeing.require_directory(call)
    owned = _owned(call)
    memberships.require_cast(call, "user")
    source = Source(
        USER,
        [
            User.tenant_id == call.actor.tenant_id,
            User.deleted_at.is_(None),
            Owner.owned_id == owned.id,
            Owner.owned_type == OwnedType.SERVICE_PRINCIPAL,
        ],
        joins=lambda query: query.join(
            Owner, (Owner.tenant_id == User.tenant_id) & (Owner.user_id == User.id)
        ),
        words=everybody(call).words,
    )
    is_cast = "cast" in call.params
    return listing.collection(
        call, source, hidden=hidden_of_others(call),
        context="users" if is_cast else "directoryObjects", typed=not is_cast,
    )  # fmt: skip


@route(
    "POST",
    "applications/{application}/owners/$ref",
    "servicePrincipals/{principal}/owners/$ref",
    needs=access.CHANGE_APPLICATIONS,
    takes="$ref",
)
def add_owner(call: Call) -> Answer:
    """Let somebody look after an application."""
    owned = _owned(call)
    _, user_id = values.referred(call.body())
    if owners.held_by(call.session, call.actor, owned, [user_id]):
        raise bad(
            "One or more added object references already exist for the property owners.",
            target="owners",
        )
    owners.add(call.session, call.actor, owned, user_id)
    return NO_CONTENT


@route(
    "DELETE",
    "applications/{application}/owners/{owner}/$ref",
    "servicePrincipals/{principal}/owners/{owner}/$ref",
    needs=access.CHANGE_APPLICATIONS,
)
def remove_owner(call: Call) -> Answer:
    """Let somebody no longer look after an application."""
    owned = _owned(call)
    owner = call.id("owner")
    if not owners.held_by(call.session, call.actor, owned, [owner]):
        raise missing(owner)
    owners.remove(call.session, call.actor, owned, owner)
    return NO_CONTENT
