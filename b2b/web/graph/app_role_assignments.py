"""Who may use an application, and in which role: `appRoleAssignments` of people, groups and
programs, and `appRoleAssignedTo` of the application (groups-apps-roles.md, section 2).
"""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from b2b.models import (
    AppRole,
    AppRoleAssignment,
    Group,
    PrincipalType,
    ServicePrincipal,
    User,
)
from b2b.services import applications, consent, groups, visibility
from b2b.web.graph import access, listing, resources, seeing, values
from b2b.web.graph.calls import NO_CONTENT, Answer, Call, bad, missing, route
from b2b.web.graph.listing import Source
from b2b.web.graph.people import meant
from b2b.web.graph.resources import GUID, INSTANT, STRING, Filter, Kind, Property, plain
from b2b.web.graph.service_principals import meant as principal_meant

CODE = "Request_BadRequest"
_MODELS: tuple[Any, ...] = (User, Group, ServicePrincipal)


def _name_of(model: Any, column: Any) -> Any:
    return (
        select(model.display_name)
        .where(model.tenant_id == AppRoleAssignment.tenant_id, model.id == column)
        .correlate(AppRoleAssignment)
        .scalar_subquery()
    )


_PRINCIPAL_NAME = func.coalesce(
    *[_name_of(model, AppRoleAssignment.principal_id) for model in _MODELS]
)


def _principal_names(call: Call, ids: Collection[UUID]) -> Mapping[UUID, Any]:
    found: dict[UUID, str] = {}
    for model in _MODELS:
        rows = call.session.execute(
            select(AppRoleAssignment.id, model.display_name)
            .join(
                model,
                (model.tenant_id == AppRoleAssignment.tenant_id)
                & (model.id == AppRoleAssignment.principal_id),
            )
            .where(
                AppRoleAssignment.tenant_id == call.actor.tenant_id,
                AppRoleAssignment.id.in_(list(ids)),
            )
        )
        found |= {row[0]: row[1] for row in rows}
    return found


def _resource_names(call: Call, ids: Collection[UUID]) -> Mapping[UUID, Any]:
    rows = call.session.execute(
        select(AppRoleAssignment.id, ServicePrincipal.display_name)
        .join(
            ServicePrincipal,
            (ServicePrincipal.tenant_id == AppRoleAssignment.tenant_id)
            & (ServicePrincipal.id == AppRoleAssignment.service_principal_id),
        )
        .where(
            AppRoleAssignment.tenant_id == call.actor.tenant_id,
            AppRoleAssignment.id.in_(list(ids)),
        )
    )
    return {row[0]: row[1] for row in rows}


def _id(name: str, column: Any, **facts: Any) -> Property:
    how = Filter(column, frozenset({"eq", "in"}), frozenset({"ne", "not"}), compares=GUID)
    return Property(name, GUID, column, default=True, filter=how, **facts)


ASSIGNMENT = resources.kind(
    Kind(
        "appRoleAssignment",
        "appRoleAssignments",
        AppRoleAssignment,
        resources.table(
            Property("id", STRING, AppRoleAssignment.id, default=True,
                     order=AppRoleAssignment.id),
            plain("deletedDateTime", INSTANT, None, default=True, read=lambda _: None),
            _id("appRoleId", AppRoleAssignment.app_role_id),
            plain("createdDateTime", INSTANT, AppRoleAssignment.created_at,
                  "eq ge le gt lt", default=True),
            Property("principalDisplayName", STRING, default=True, load=_principal_names,
                     filter=Filter(_PRINCIPAL_NAME, frozenset({"eq", "startswith", "in"}))),
            _id("principalId", AppRoleAssignment.principal_id),
            Property("principalType", STRING, AppRoleAssignment.principal_type, default=True,
                     read=lambda row: str(row.principal_type)),
            Property("resourceDisplayName", STRING, default=True, load=_resource_names),
            _id("resourceId", AppRoleAssignment.service_principal_id),
        ),
        order="id",
    )
)  # fmt: skip

_READ_OWN = access.Needs(
    ("User.Read", *access.READ_ASSIGNMENTS.delegated), access.READ_ASSIGNMENTS.application
)

# Whose -------------------------------------------------------------------------------------------


def _principal(call: Call) -> tuple[PrincipalType, UUID]:
    """The person, group or program of the path. Raises GraphError (404, 403), Denied."""
    if "group" in call.params:
        if call.actor.user_id is not None:
            visibility.require_groups(call.session, call.actor)
        return PrincipalType.GROUP, groups.get(call.session, call.actor, call.id("group")).id
    if "principal" in call.params:
        return PrincipalType.SERVICE_PRINCIPAL, principal_meant(call).id
    return PrincipalType.USER, meant(call).id


def _is_held(call: Call, held: Any) -> list[Any]:
    """Deleted people keep their assignments for a restore; nobody sees them meanwhile."""
    gone = select(User.id).where(
        User.tenant_id == call.actor.tenant_id,
        User.id == AppRoleAssignment.principal_id,
        User.deleted_at.is_not(None),
    )
    return [AppRoleAssignment.tenant_id == call.actor.tenant_id, held, ~gone.exists()]


@route(
    "GET",
    "users/{user}/appRoleAssignments",
    "me/appRoleAssignments",
    needs=_READ_OWN,
    returns="Collection(appRoleAssignment)",
)
@route(
    "GET",
    "groups/{group}/appRoleAssignments",
    "servicePrincipals/{principal}/appRoleAssignments",
    needs=access.READ_ASSIGNMENTS,
    returns="Collection(appRoleAssignment)",
)
def list_assignments(call: Call) -> Answer:
    """What somebody, a group or a program may use."""
    _, principal_id = _principal(call)
    if principal_id != call.actor.user_id:
        seeing.require_directory(call)
    held = AppRoleAssignment.principal_id == principal_id
    return listing.collection(call, Source(ASSIGNMENT, _is_held(call, held)))


@route(
    "GET",
    "servicePrincipals/{principal}/appRoleAssignedTo",
    needs=access.READ_ASSIGNMENTS,
    returns="Collection(appRoleAssignment)",
)
def list_assigned(call: Call) -> Answer:
    """Who may use an application."""
    seeing.require_directory(call)
    found = principal_meant(call)
    held = AppRoleAssignment.service_principal_id == found.id
    return listing.collection(call, Source(ASSIGNMENT, _is_held(call, held)))


# One ---------------------------------------------------------------------------------------------


def _one(call: Call) -> AppRoleAssignment:
    """The assignment of the path. Raises GraphError (404)."""
    row = call.session.get(AppRoleAssignment, (call.actor.tenant_id, call.id("assignment")))
    if row is None:
        raise missing(call.params["assignment"])
    if call.path.lower().rpartition("/")[0].endswith("appRoleAssignedTo".lower()):
        is_here = row.service_principal_id == principal_meant(call).id
    else:
        is_here = row.principal_id == _principal(call)[1]
    if not is_here:
        raise missing(call.params["assignment"])
    return row


@route(
    "GET",
    "users/{user}/appRoleAssignments/{assignment}",
    "groups/{group}/appRoleAssignments/{assignment}",
    "servicePrincipals/{principal}/appRoleAssignments/{assignment}",
    "servicePrincipals/{principal}/appRoleAssignedTo/{assignment}",
    needs=access.READ_ASSIGNMENTS,
    returns="appRoleAssignment",
)
def get_assignment(call: Call) -> Answer:
    """One assignment."""
    seeing.require_directory(call)
    return listing.entity(call, ASSIGNMENT, _one(call))


@route(
    "POST",
    "users/{user}/appRoleAssignments",
    "groups/{group}/appRoleAssignments",
    "servicePrincipals/{principal}/appRoleAssignments",
    "servicePrincipals/{principal}/appRoleAssignedTo",
    needs=access.CHANGE_ASSIGNMENTS,
    takes="appRoleAssignment",
    returns="appRoleAssignment",
)
def assign(call: Call) -> Answer:
    """Let a person, a group or a program use an application."""
    body = call.body()
    values.only("appRoleAssignment", body, "principalId", "resourceId", "appRoleId",
                "principalType", "principalDisplayName", "resourceDisplayName")  # fmt: skip
    principal_id = values.identifier(body.get("principalId"), "principalId")
    resource_id = values.identifier(body.get("resourceId"), "resourceId")
    role_id = values.identifier(body.get("appRoleId"), "appRoleId")
    if call.path.lower().strip("/").endswith("appRoleAssignedTo".lower()):
        if principal_meant(call).id != resource_id:
            raise bad("resourceId is another one than that of the address.", target="resourceId")
        kind = _kind_of(call, principal_id)
    else:
        kind, named = _principal(call)
        if named != principal_id:
            raise bad("principalId is another one than that of the address.", target="principalId")
    if kind is PrincipalType.SERVICE_PRINCIPAL:
        _give(call, principal_id, resource_id, role_id)
    else:
        applications.add_assignment(
            call.session, call.actor, resource_id, principal_id, kind, role_id
        )
    call.session.flush()
    row = call.session.scalars(
        select(AppRoleAssignment).where(
            AppRoleAssignment.tenant_id == call.actor.tenant_id,
            AppRoleAssignment.principal_id == principal_id,
            AppRoleAssignment.service_principal_id == resource_id,
            AppRoleAssignment.app_role_id == role_id,
        )
    ).one()
    return listing.entity(call, ASSIGNMENT, row, status=201)


def _kind_of(call: Call, principal_id: UUID) -> PrincipalType:
    kinds = (PrincipalType.USER, PrincipalType.GROUP, PrincipalType.SERVICE_PRINCIPAL)
    for kind, model in zip(kinds, _MODELS, strict=True):
        if call.session.get(model, (call.actor.tenant_id, principal_id)) is not None:
            return kind
    raise missing(principal_id)


def _give(call: Call, client_id: UUID, resource_id: UUID, role_id: UUID) -> None:
    """A permission in the program's own name."""
    client = applications.get(call.session, call.actor, client_id)
    resource = applications.get(call.session, call.actor, resource_id)
    value = _value(call, resource, role_id)
    if value is None:
        raise bad("The application offers no such role to programs.", target="appRoleId")
    if not consent.give_roles(call.session, call.actor, client, resource, [value]):
        raise bad("Permission being assigned already exists on the object.", target="appRoleId")


def _value(call: Call, resource: ServicePrincipal, role_id: UUID) -> str | None:
    role = call.session.get(AppRole, (call.actor.tenant_id, resource.id, role_id))
    return None if role is None or not role.for_applications else role.value


@route(
    "DELETE",
    "users/{user}/appRoleAssignments/{assignment}",
    "groups/{group}/appRoleAssignments/{assignment}",
    "servicePrincipals/{principal}/appRoleAssignments/{assignment}",
    "servicePrincipals/{principal}/appRoleAssignedTo/{assignment}",
    needs=access.CHANGE_ASSIGNMENTS,
)
def unassign(call: Call) -> Answer:
    """End an assignment."""
    row = _one(call)
    if row.principal_type is PrincipalType.SERVICE_PRINCIPAL:
        client = applications.get(call.session, call.actor, row.principal_id)
        resource = applications.get(call.session, call.actor, row.service_principal_id)
        value = _value(call, resource, row.app_role_id)
        if value is None:
            raise missing(row.id)
        consent.take_role(call.session, call.actor, client, resource, value)
    else:
        applications.remove_assignment(call.session, call.actor, row.service_principal_id, row.id)
    return NO_CONTENT
