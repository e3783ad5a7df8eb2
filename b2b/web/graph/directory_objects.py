"""What is common to all objects of a directory, and those that were deleted."""

from typing import Any
from uuid import UUID

from sqlalchemy import select

from b2b.errors import NotFound
from b2b.models import DeletedGroup, Group, ServicePrincipal, User
from b2b.services import deleted_groups, deleted_users, users, visibility
from b2b.web.graph import access, listing, people, resources, values
from b2b.web.graph.calls import NO_CONTENT, Answer, Call, bad, denied, missing, route
from b2b.web.graph.groups import GROUP
from b2b.web.graph.people import USER, hidden_of, hidden_of_others
from b2b.web.graph.resources import KINDS, STRING, STRINGS, Kind, Property, instant

# By id -------------------------------------------------------------------------------------------

MOST_IDS = 1000
_MODELS: dict[str, Any] = {"user": User, "group": Group, "servicePrincipal": ServicePrincipal}


def _known(call: Call, ids: list[UUID], types: set[str] | None = None) -> list[tuple[str, UUID]]:
    """Which of *ids* are what, in their order; deleted people are nothing."""
    found: dict[UUID, str] = {}
    for name, model in _MODELS.items():
        if name not in KINDS or (types is not None and name.lower() not in types):
            continue
        query = select(model.id).where(model.tenant_id == call.actor.tenant_id, model.id.in_(ids))
        if model is User:
            query = query.where(User.deleted_at.is_(None))
        found |= dict.fromkeys(call.session.scalars(query), name)
    return [(found[one], one) for one in dict.fromkeys(ids) if one in found]


def _hidden(call: Call) -> dict[str, frozenset[str]]:
    return {"user": hidden_of_others(call)}


@route(
    "POST",
    "directoryObjects/getByIds",
    needs=access.READ_OBJECTS,
    writes=False,
    returns="Collection(directoryObject)",
)
def get_by_ids(call: Call) -> Answer:
    """Objects of any kind by their ids, at most a thousand."""
    body = call.body()
    for name in values.own_names(body):
        if name not in ("ids", "types"):
            raise values.unknown("getByIds", name)
    wanted = values.items(body, "ids", code="Request_BadRequest")
    if not wanted or len(wanted) > MOST_IDS:
        raise bad(f"ids holds 1 to {MOST_IDS} ids.", target="ids")
    ids = [values.identifier(one, "ids") for one in wanted]
    types = {
        str(one).lower().removeprefix("microsoft.graph.").removeprefix("graph.")
        for one in values.items(body, "types", code="Request_BadRequest")
    }
    _require_seeing(call)
    if "directoryobject" in types:
        types = set()
    found = _known(call, ids, types or None)
    return listing.page(call, "directoryObjects", listing.mixed(call, found, hidden=_hidden(call)))


@route("GET", "directoryObjects/{object}", needs=access.READ_OBJECTS, returns="directoryObject")
def get_object(call: Call) -> Answer:
    """One object of whatever kind."""
    one = call.id("object")
    if one != call.actor.user_id:
        _require_seeing(call)
    found = _known(call, [one])
    if not found:
        raise missing(one)
    hidden = {"user": hidden_of(call, one)}
    [shown] = listing.mixed(call, found, hidden=hidden)
    return Answer(body={"@odata.context": call.context("directoryObjects/$entity"), **shown})


@route("DELETE", "directoryObjects/{object}", needs=access.DELETE_USER)
def delete_object(call: Call) -> Answer:
    """Delete a person or a group."""
    one = call.id("object")
    found = _known(call, [one], {"user", "group"})
    if not found:
        raise missing(one)
    if found[0][0] == "user":
        deleted_users.remove(call.session, call.actor, one)
    else:
        if not access.CHANGE_GROUP.met_by(call.access):
            raise denied("The token deletes people and nothing else.")
        deleted_groups.remove(call.session, call.actor, one)
    return NO_CONTENT


def _require_seeing(call: Call) -> None:
    if call.actor.user_id is not None and call.actor.is_guest:
        seen = visibility.of(call.session, call.actor)
        if not (seen.lists_people or seen.reads_groups):
            raise denied("This organisation shows guests only their own profile.")


# Deleted objects ---------------------------------------------------------------------------------


def _was(name: str, empty: Any = None) -> Any:
    return lambda row: row.kept.get(name, empty)


DELETED_GROUP = Kind(
    "group",
    "groups",
    DeletedGroup,
    resources.table(
        Property("id", STRING, DeletedGroup.id, default=True),
        Property("deletedDateTime", STRING, DeletedGroup.deleted_at, default=True),
        Property("createdDateTime", STRING, DeletedGroup.created_at, default=True),
        Property("description", STRING, default=True, columns=(DeletedGroup.kept,),
                 read=_was("description")),
        Property("displayName", STRING, DeletedGroup.display_name, default=True,
                 order=DeletedGroup.name_key,
                 filter=resources.Filter(DeletedGroup.display_name,
                                         frozenset({"eq", "startswith", "in"}),
                                         key=DeletedGroup.name_key)),
        Property("groupTypes", STRINGS, default=True, columns=(DeletedGroup.kept,),
                 read=lambda row: ["Unified"] if row.kept.get("is_unified") else []),
        Property("mailEnabled", resources.BOOLEAN, default=True, columns=(DeletedGroup.kept,),
                 read=_was("is_unified")),
        Property("mailNickname", STRING, default=True, columns=(DeletedGroup.kept,),
                 read=_was("mail_nickname")),
        Property("securityEnabled", resources.BOOLEAN, default=True, columns=(DeletedGroup.kept,),
                 read=_was("security_enabled")),
        Property("visibility", STRING, default=True, columns=(DeletedGroup.kept,),
                 read=_was("visibility")),
    ),
)  # fmt: skip


@route(
    "GET",
    "directory/deletedItems/graph.user",
    needs=access.READ_DELETED,
    returns="Collection(user)",
)
def deleted_people(call: Call) -> Answer:
    """People who were deleted within the last 30 days."""
    people.require_listing(call)
    return listing.collection(
        call, people.everybody(call, deleted=True), hidden=hidden_of_others(call)
    )


@route(
    "GET",
    "directory/deletedItems/graph.group",
    needs=access.READ_DELETED,
    returns="Collection(group)",
)
def deleted_teams(call: Call) -> Answer:
    """Microsoft 365 groups that were deleted within the last 30 days."""
    people.require_listing(call)
    source = listing.Source(DELETED_GROUP, [DeletedGroup.tenant_id == call.actor.tenant_id])
    return listing.collection(call, source)


@route(
    "GET",
    "directory/deletedItems/graph.user/$count",
    needs=access.READ_DELETED,
    returns="Edm.Int32",
)
def count_deleted_people(call: Call) -> Answer:
    """How many people were deleted within the last 30 days."""
    people.require_listing(call)
    return listing.count(call, people.everybody(call, deleted=True), hidden=hidden_of_others(call))


def _deleted_user(call: Call) -> User | None:
    found = call.session.get(User, (call.actor.tenant_id, call.id("item")))
    if found is None or found.deleted_at is None:
        return None
    return found


@route("GET", "directory/deletedItems/{item}", needs=access.READ_DELETED, returns="directoryObject")
def deleted_item(call: Call) -> Answer:
    """One deleted object."""
    people.require_listing(call)
    user = _deleted_user(call)
    if user is not None:
        shape = listing.shape_of(call, USER, many=False, hidden=hidden_of(call, user.id))
        answer = listing.entity(call, USER, user, shape=shape, typed=True)
        body = dict(answer.body or {})
        body.setdefault("deletedDateTime", instant(user.deleted_at))
    else:
        group = deleted_groups.get(call.session, call.actor, call.id("item"))
        body = dict(listing.entity(call, DELETED_GROUP, group, typed=True).body or {})
    body["@odata.context"] = call.context("directoryObjects/$entity")
    return Answer(body=body)


@route(
    "POST",
    "directory/deletedItems/{item}/restore",
    needs=access.RESTORE,
    returns="directoryObject",
    refusals={"Conflict": (409, "Request_BadRequest")},
)
def restore(call: Call) -> Answer:
    """Bring a deleted object back."""
    user = _deleted_user(call)
    if user is not None:
        if not access.DELETE_USER.met_by(call.access):
            raise denied("The token restores groups and nothing else.")
        deleted_users.restore(call.session, call.actor, user.id)
        call.session.flush()
        found = users.get(call.session, call.actor, user.id)
        answer = listing.entity(call, USER, found, hidden=hidden_of(call, found.id), typed=True)
    else:
        if not access.CHANGE_GROUP.met_by(call.access):
            deleted_groups.get(call.session, call.actor, call.id("item"))
            raise denied("The token restores people and nothing else.")
        group = deleted_groups.restore(call.session, call.actor, call.id("item"))
        answer = listing.entity(call, GROUP, group, typed=True)
    body = dict(answer.body or {})
    body["@odata.context"] = call.context("directoryObjects/$entity")
    return Answer(body=body)


@route("DELETE", "directory/deletedItems/{item}", needs=access.RESTORE)
def erase(call: Call) -> Answer:
    """Delete a deleted object for good."""
    user = _deleted_user(call)
    if user is not None:
        if not access.DELETE_USER.met_by(call.access):
            raise denied("The token deletes groups and nothing else.")
        deleted_users.erase(call.session, call.actor, user.id)
        return NO_CONTENT
    try:
        deleted_groups.get(call.session, call.actor, call.id("item"))
    except NotFound:
        raise missing(call.params["item"]) from None
    if not access.CHANGE_GROUP.met_by(call.access):
        raise denied("The token deletes people and nothing else.")
    deleted_groups.erase(call.session, call.actor, call.id("item"))
    return NO_CONTENT
