"""Directory roles and who holds them, in both of Graph's ways: `/directoryRoles` and
`/roleManagement/directory` (groups-apps-roles.md, section 3).
"""

import base64
import binascii
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import and_, or_, select

from b2b.models import DirectoryRoleAssignment, Role, User
from b2b.services import permissions, roles
from b2b.services.permissions import Action
from b2b.web.graph import access, fixed, listing, memberships, resources, seeing, values
from b2b.web.graph.calls import (
    NO_CONTENT,
    Answer,
    Call,
    alternate_key,
    bad,
    missing,
    route,
    unsupported,
)
from b2b.web.graph.listing import Source
from b2b.web.graph.odata import Both, Compare, Condition, In, parse_filter
from b2b.web.graph.people import USER, everybody, hidden_of_others
from b2b.web.graph.resources import (
    BOOLEAN,
    GUID,
    INSTANT,
    STRING,
    STRINGS,
    Filter,
    Kind,
    Navigation,
    Property,
    plain,
)

CODE = "Request_BadRequest"
_EXACT = Filter(None, fixed.OPERATORS)
_WORDS = {
    Role.GLOBAL_ADMINISTRATOR: "Does everything that can be done in the directory.",
    Role.USER_ADMINISTRATOR: "Looks after people and groups, and invites guests.",
    Role.GUEST_INVITER: "Invites guests even where members may not.",
    Role.HELPDESK_ADMINISTRATOR: "Helps guests to get in: sends invitations again and resets them.",
    Role.GLOBAL_READER: "Reads everything and changes nothing.",
    Role.APPLICATION_ADMINISTRATOR: "Looks after applications and who may use them.",
    Role.CLOUD_APPLICATION_ADMINISTRATOR: "Looks after applications and who may use them.",
}
_ACTIONS = {Action.INVITE: "microsoft.directory/users/inviteGuest"}
"""Actions whose published names are known."""


def _told(name: str, read: Any, **facts: Any) -> Property:
    return Property(name, STRING, default=True, read=read, filter=_EXACT, **facts)


def _holds(role: Role) -> list[dict[str, Any]]:
    allowed = [name for action, name in _ACTIONS.items() if action in permissions.of_role(role)]
    return [{"allowedResourceActions": allowed, "condition": None}]


ROLE = resources.kind(
    Kind(
        "directoryRole",
        "directoryRoles",
        None,
        resources.table(
            _told("id", str),
            plain("deletedDateTime", INSTANT, None, default=True, read=lambda _: None),
            _told("description", _WORDS.get),
            _told("displayName", lambda role: role.display_name),
            _told("roleTemplateId", str),
        ),
    )
)
TEMPLATE = resources.kind(
    Kind(
        "directoryRoleTemplate",
        "directoryRoleTemplates",
        None,
        resources.table(
            _told("id", str),
            plain("deletedDateTime", INSTANT, None, default=True, read=lambda _: None),
            _told("description", _WORDS.get),
            _told("displayName", lambda role: role.display_name),
        ),
    )
)
DEFINITION = resources.kind(
    Kind(
        "unifiedRoleDefinition",
        "roleManagement/directory/roleDefinitions",
        None,
        resources.table(
            _told("id", str),
            _told("description", _WORDS.get),
            _told("displayName", lambda role: role.display_name),
            Property("isBuiltIn", BOOLEAN, default=True, read=lambda _: True, filter=_EXACT),
            Property("isEnabled", BOOLEAN, default=True, read=lambda _: True, filter=_EXACT),
            Property("resourceScopes", STRINGS, default=True, read=lambda _: ["/"]),
            Property("rolePermissions", "Collection(graph.unifiedRolePermission)", default=True,
                     read=_holds),
            _told("templateId", str),
            Property("version", STRING, default=True, read=lambda _: "1"),
        ),
    )
)  # fmt: skip
_ALL = sorted(Role, key=lambda role: role.display_name)


def _role(text: str) -> Role:
    """A role by its id. Raises GraphError (404)."""
    try:
        return Role(text.lower())
    except ValueError:
        raise missing(text) from None


def _meant(call: Call) -> Role:
    """The role of the path, by id or `roleTemplateId='…'`."""
    key = call.params["role"]
    named = alternate_key(key)
    if named is not None and named[0].lower() != "roletemplateid":
        raise bad(f"directoryRole has no key {named[0][:50]!r}.", code="BadRequest")
    return _role(key if named is None else named[1])


# Roles -------------------------------------------------------------------------------------------


@route("GET", "directoryRoles", needs=access.READ_ROLES, returns="Collection(directoryRole)")
def list_roles(call: Call) -> Answer:
    """List directory roles, all on one page; every one is active."""
    seeing.require_member(call)
    return fixed.collection(call, ROLE, _ALL, pages=False)


@route("GET", "directoryRoles/{role}", needs=access.READ_ROLES, returns="directoryRole")
def get_role(call: Call) -> Answer:
    """One directory role."""
    seeing.require_member(call)
    return fixed.entity(call, ROLE, _meant(call))


@route(
    "GET",
    "directoryRoleTemplates",
    needs=access.READ_ROLES,
    returns="Collection(directoryRoleTemplate)",
)
def list_templates(call: Call) -> Answer:
    """List what directory roles are made of."""
    seeing.require_member(call)
    return fixed.collection(call, TEMPLATE, _ALL, pages=False)


@route(
    "GET",
    "directoryRoleTemplates/{role}",
    needs=access.READ_ROLES,
    returns="directoryRoleTemplate",
)
def get_template(call: Call) -> Answer:
    """One of them."""
    seeing.require_member(call)
    return fixed.entity(call, TEMPLATE, _role(call.params["role"]))


@route(
    "GET",
    "roleManagement/directory/roleDefinitions",
    needs=access.READ_ROLES,
    returns="Collection(unifiedRoleDefinition)",
)
def list_definitions(call: Call) -> Answer:
    """List definitions of directory roles."""
    seeing.require_member(call)
    return fixed.collection(call, DEFINITION, _ALL)


@route(
    "GET",
    "roleManagement/directory/roleDefinitions/{role}",
    needs=access.READ_ROLES,
    returns="unifiedRoleDefinition",
)
def get_definition(call: Call) -> Answer:
    """One definition."""
    seeing.require_member(call)
    return fixed.entity(call, DEFINITION, _role(call.params["role"]))


# Members -----------------------------------------------------------------------------------------


@route(
    "GET",
    "directoryRoles/{role}/members",
    "directoryRoles/{role}/members/{cast}",
    needs=access.READ_ROLES,
    returns="Collection(directoryObject)",
)
def list_members(call: Call) -> Answer:
    """Who holds a directory role."""
    seeing.require_member(call)
    role = _meant(call)
    memberships.require_cast(call, "user")
    source = Source(
        USER,
        [
            User.tenant_id == call.actor.tenant_id,
            User.deleted_at.is_(None),
            DirectoryRoleAssignment.role == role,
        ],
        joins=lambda query: query.join(
            DirectoryRoleAssignment,
            (DirectoryRoleAssignment.tenant_id == User.tenant_id)
            & (DirectoryRoleAssignment.user_id == User.id),
        ),
        words=everybody(call).words,
    )
    is_cast = "cast" in call.params
    return listing.collection(
        call, source, hidden=hidden_of_others(call),
        context="users" if is_cast else "directoryObjects", typed=not is_cast,
    )  # fmt: skip


@route("POST", "directoryRoles/{role}/members/$ref", needs=access.CHANGE_ROLES, takes="$ref")
def add_member(call: Call) -> Answer:
    """Give somebody a directory role; guests, too."""
    role = _meant(call)
    _, user_id = values.referred(call.body())
    roles.grant(call.session, call.actor, user_id, role, guest_is_meant=True)
    return NO_CONTENT


@route("DELETE", "directoryRoles/{role}/members/{member}/$ref", needs=access.CHANGE_ROLES)
def remove_member(call: Call) -> Answer:
    """Take a directory role from somebody."""
    _revoke(call, call.id("member"), _meant(call))
    return NO_CONTENT


def _revoke(call: Call, user_id: UUID, role: Role) -> None:
    if role not in roles.of_user(call.session, call.actor.tenant_id, user_id):
        raise missing(user_id)
    roles.revoke(call.session, call.actor, user_id, role)


# Assignments -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Assigned:
    """Somebody holds a role; the id says both."""

    role: Role
    user_id: UUID

    @property
    def id(self) -> str:
        """Both ids in one word."""
        both = UUID(self.role.value).bytes + self.user_id.bytes
        return base64.urlsafe_b64encode(both).decode().rstrip("=")

    @classmethod
    def read(cls, text: str) -> "_Assigned":
        """What `id` wrote. Raises GraphError (404)."""
        try:
            both = base64.b64decode(text.encode("ascii") + b"=", altchars=b"-_", validate=True)
            return cls(Role(str(UUID(bytes=both[:16]))), UUID(bytes=both[16:]))
        except (ValueError, binascii.Error):
            raise missing(text) from None


def _people(call: Call, ids: Collection[Any], limit: int) -> Mapping[Any, Any]:
    wanted = {one: _Assigned.read(one).user_id for one in ids}
    found = listing.mixed_by_id(
        call, [("user", one) for one in wanted.values()], hidden={"user": hidden_of_others(call)}
    )
    return {one: [found[user_id]] for one, user_id in wanted.items() if user_id in found}


def _definitions(call: Call, ids: Collection[Any], limit: int) -> Mapping[Any, Any]:
    shape = listing.Shape(DEFINITION.defaults)
    return {one: [fixed.shown(DEFINITION, _Assigned.read(one).role, shape)] for one in ids}


ASSIGNMENT = resources.kind(
    Kind(
        "unifiedRoleAssignment",
        "roleManagement/directory/roleAssignments",
        None,
        resources.table(
            Property("id", STRING, default=True, read=lambda row: row.id),
            Property("principalId", STRING, default=True, read=lambda row: str(row.user_id),
                     filter=Filter(DirectoryRoleAssignment.user_id, frozenset({"eq", "in"}),
                                   compares=GUID)),
            Property("roleDefinitionId", STRING, default=True,
                     read=lambda row: str(row.role.value),
                     filter=Filter(DirectoryRoleAssignment.role, frozenset({"eq", "in"}))),
            Property("directoryScopeId", STRING, default=True, read=lambda _: "/",
                     filter=Filter(None, frozenset({"eq"}))),
            Property("appScopeId", STRING, default=True, read=lambda _: None),
            Property("condition", STRING, default=True, read=lambda _: None),
            Property("principalOrganizationId", STRING, read=lambda _: None),
        ),
        order="id",
        navigations={
            "principal": Navigation("principal", "directoryObject", False, _people),
            "roleDefinition": Navigation("roleDefinition", "unifiedRoleDefinition", False,
                                         _definitions),
        },
    )
)  # fmt: skip


@route(
    "GET",
    "roleManagement/directory/roleAssignments",
    needs=access.READ_ROLES,
    returns="Collection(unifiedRoleAssignment)",
)
def list_assignments(call: Call) -> Answer:
    """List who holds which role."""
    seeing.require_member(call)
    for option in ("$search", "$orderby", "$skip"):
        if option in call.options:
            raise unsupported(f"{option} is not supported for role assignments.")
    shape = listing.shape_of(call, ASSIGNMENT, many=True)
    query = (
        select(DirectoryRoleAssignment.role, DirectoryRoleAssignment.user_id)
        .join(
            User,
            (User.tenant_id == DirectoryRoleAssignment.tenant_id)
            & (User.id == DirectoryRoleAssignment.user_id),
        )
        .where(DirectoryRoleAssignment.tenant_id == call.actor.tenant_id, User.deleted_at.is_(None))
        .order_by(DirectoryRoleAssignment.role, DirectoryRoleAssignment.user_id)
    )
    if "$filter" in call.options:
        query = query.where(*_conditions(parse_filter(call.options["$filter"])))
    place, size = listing.place_of(call), listing.size_of(call)
    if place is not None:
        last = _Assigned.read(str(place[0]))
        query = query.where(
            or_(
                DirectoryRoleAssignment.role > last.role,
                and_(
                    DirectoryRoleAssignment.role == last.role,
                    DirectoryRoleAssignment.user_id > last.user_id,
                ),
            )
        )
    rows = [_Assigned(row.role, row.user_id) for row in call.session.execute(query.limit(size + 1))]
    more, rows = len(rows) > size, rows[:size]
    return listing.page(
        call,
        ASSIGNMENT.set + shape.context(),
        listing.objects(call, ASSIGNMENT, rows, shape),
        [rows[-1].id] if more else None,
    )


def _conditions(tree: Condition) -> list[Any]:
    """Comparisons that are joined by `and`."""
    parts: Sequence[Condition]
    parts = tree.parts if isinstance(tree, Both) and tree.operator == "and" else (tree,)
    found = []
    for part in parts:
        if not isinstance(part, (Compare, In)):
            raise unsupported("Role assignments are filtered by comparisons joined by and.")
        one = ASSIGNMENT.named(part.path.text)
        if one is None:
            raise bad(
                f"unifiedRoleAssignment has no property {part.path.text[:100]!r}"
                f" ($filter, position {part.path.position}).",
                code="BadRequest",
                target="$filter",
            )
        operator = "in" if isinstance(part, In) else part.operator
        if one.filter is None or operator not in one.filter.plain:
            raise unsupported(f"{one.name} cannot be filtered with {operator}.")
        literals = part.values if isinstance(part, In) else (part.value,)
        texts = [str(one.value).lower() for one in literals]
        found.append(_held_by(one, texts))
    return found


def _held_by(one: Property, texts: Sequence[str]) -> Any:
    if one.name == "directoryScopeId":
        everywhere = DirectoryRoleAssignment.role.is_not(None)
        return everywhere if "/" in texts else ~everywhere
    if one.name == "principalId":
        ids = [values.identifier(text, one.name) for text in texts]
        return DirectoryRoleAssignment.user_id.in_(ids)
    return DirectoryRoleAssignment.role.in_([role for role in Role if role.value in texts])


def _found(call: Call) -> _Assigned:
    """The assignment of the path. Raises GraphError (404)."""
    found = _Assigned.read(call.params["assignment"])
    if found.role not in roles.of_user(call.session, call.actor.tenant_id, found.user_id):
        raise missing(call.params["assignment"])
    return found


@route(
    "GET",
    "roleManagement/directory/roleAssignments/{assignment}",
    needs=access.READ_ROLES,
    returns="unifiedRoleAssignment",
)
def get_assignment(call: Call) -> Answer:
    """One of them."""
    seeing.require_member(call)
    return listing.entity(call, ASSIGNMENT, _found(call))


@route(
    "POST",
    "roleManagement/directory/roleAssignments",
    needs=access.CHANGE_ROLES,
    takes="unifiedRoleAssignment",
    returns="unifiedRoleAssignment",
)
def assign(call: Call) -> Answer:
    """Give somebody a directory role in the whole directory."""
    body = call.body()
    values.only("unifiedRoleAssignment", body, "principalId", "roleDefinitionId",
                "directoryScopeId")  # fmt: skip
    user_id = values.identifier(body.get("principalId"), "principalId")
    wanted = values.identifier(body.get("roleDefinitionId"), "roleDefinitionId")
    if values.text(body, "directoryScopeId", required=True, code=CODE) != "/":
        raise bad("directoryScopeId is / here.", target="directoryScopeId")
    role = _role(str(wanted))
    roles.grant(call.session, call.actor, user_id, role, guest_is_meant=True)
    return listing.entity(call, ASSIGNMENT, _Assigned(role, user_id), status=201)


@route(
    "DELETE",
    "roleManagement/directory/roleAssignments/{assignment}",
    needs=access.CHANGE_ROLES,
)
def unassign(call: Call) -> Answer:
    """Take a directory role from somebody."""
    found = _found(call)
    _revoke(call, found.user_id, found.role)
    return NO_CONTENT
