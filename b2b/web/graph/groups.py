"""Groups, their members and owners (groups-apps-roles.md, section 1)."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from b2b.models import Group, Made, Membership, Owner, User
from b2b.services import deleted_groups, groups, owners, paging, permissions, visibility
from b2b.services.permissions import Action
from b2b.web.graph import access, creations, listing, memberships, resources, values
from b2b.web.graph.calls import NO_CONTENT, Answer, Call, bad, denied, missing, route
from b2b.web.graph.listing import Source
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

# The table ---------------------------------------------------------------------------------------


def _types(row: Any) -> list[str]:
    found = ["Unified"] if row.is_unified else []
    return [*found, "DynamicMembership"] if row.membership_rule is not None else found


def _has_type(compiler: Any, _: str, tree: Any) -> Any:
    """`groupTypes/any(t:t eq 'Unified')`."""
    if tree is None:
        return Group.is_unified | Group.membership_rule.is_not(None)
    clause: Any = Group.id.is_not(None)
    for _, operator, value in compiler.element(tree, GROUP.properties["groupTypes"]):
        said = {
            "unified": Group.is_unified,
            "dynamicmembership": Group.membership_rule.is_not(None),
        }.get(str(value.value).lower(), Group.id.is_(None))
        clause = clause & (said if operator == "eq" else ~said)
    return clause


GROUP = resources.kind(
    Kind(
        "group",
        "groups",
        Group,
        resources.table(
            Property("id", STRING, Group.id, default=True,
                     filter=Filter(Group.id, frozenset({"eq", "in", "ne", "not"}), compares=GUID,
                                   indexed=True)),
            plain("deletedDateTime", INSTANT, None, default=True, read=lambda _: None),
            text("classification", None, default=True, read=lambda _: None),
            plain("createdDateTime", INSTANT, Group.created_at, "eq ge le gt lt | ne not in",
                  default=True, order=Group.created_at, order_is_advanced=True),
            text("description", Group.description, "eq in startswith ge le | ne not null",
                 default=True, search="start", write="description"),
            text("displayName", Group.display_name, "eq in startswith ge le | ne not endswith",
                 key=Group.name_key, indexed=True, default=True, order=Group.name_key,
                 search="words", write="display_name"),
            Property("groupTypes", STRINGS, default=True, read=_types,
                     columns=(Group.is_unified, Group.membership_rule), write="group_types",
                     filter=Filter(None, frozenset({"eq"}), frozenset({"ne", "not"}),
                                   has=_has_type)),
            text("mail", None, default=True, read=lambda _: None),
            plain("mailEnabled", BOOLEAN, Group.is_unified, "eq in | ne not", default=True,
                  write="mail_enabled"),
            text("mailNickname", Group.mail_nickname, "eq in startswith ge le | ne not null",
                 default=True, write="mail_nickname"),
            text("membershipRule", Group.membership_rule, default=True),
            text("membershipRuleProcessingState", None, default=True,
                 columns=(Group.membership_rule,),
                 read=lambda row: None if row.membership_rule is None else "On"),
            plain("onPremisesSyncEnabled", BOOLEAN, Group.on_premises_sync_enabled,
                  "eq in | ne not null", default=True),
            Property("proxyAddresses", STRINGS, default=True, read=lambda _: []),
            plain("securityEnabled", BOOLEAN, Group.security_enabled, "eq in | ne not",
                  default=True, write="security_enabled"),
            text("visibility", Group.visibility, default=True, write="visibility"),
            plain("isAssignableToRole", BOOLEAN, None, read=lambda _: None),
            plain("renewedDateTime", INSTANT, Group.created_at, default=True),
        ),
    )
)  # fmt: skip


def _words(call: Call, found: Property, typed: str) -> Any:
    """Groups are few: their names are matched by beginnings of the whole."""
    return paging.begins(Group.name_key, typed), None


def all_groups(call: Call) -> Source:
    """The groups of the directory."""
    return Source(GROUP, [Group.tenant_id == call.actor.tenant_id], words=_words)


# Who sees what -----------------------------------------------------------------------------------


def _require_listing(call: Call) -> None:
    if call.actor.user_id is not None and not visibility.of(call.session, call.actor).lists_people:
        raise denied("Guests cannot list the groups of this organisation.")


def _seen(call: Call) -> Group:
    """The group of the path. Raises GraphError (404), Denied."""
    if call.actor.user_id is not None:
        visibility.require_groups(call.session, call.actor)
    return groups.get(call.session, call.actor, call.id("group"))


def _require_members_seen(call: Call, group: Group) -> None:
    """Hidden memberships are for members, owners, administrators and a permission of its own."""
    if group.visibility != "HiddenMembership":
        return
    granted = call.actor.granted or frozenset()
    sees = {"Member.Read.Hidden", "Directory.ReadWrite.All", "Group.ReadWrite.All"}
    alone = call.actor.user_id is None
    if granted & sees and (alone or permissions.allows(call.actor, Action.MANAGE_GROUPS)):
        return
    if call.actor.user_id is not None:
        mine = [call.actor.user_id]
        if groups.held_by(call.session, call.actor, group, mine) or owners.held_by(
            call.session, call.actor, groups.owned(group), mine
        ):
            return
    raise denied("The members of this group are hidden.")


# Groups ------------------------------------------------------------------------------------------


@route("GET", "groups", needs=access.READ_GROUPS, returns="Collection(group)")
def list_groups(call: Call) -> Answer:
    """List groups."""
    _require_listing(call)
    return listing.collection(call, all_groups(call))


@route("GET", "groups/$count", needs=access.READ_GROUPS, returns="Edm.Int32")
def count_groups(call: Call) -> Answer:
    """How many groups there are."""
    _require_listing(call)
    return listing.count(call, all_groups(call))


@route("GET", "groups/{group}", needs=access.READ_GROUPS, returns="group")
def get_group(call: Call) -> Answer:
    """One group."""
    return listing.entity(call, GROUP, _seen(call))


@route("POST", "groups", needs=access.CREATE_GROUP, takes="group", returns="group")
def create_group(call: Call) -> Answer:
    """Make a security group or a Microsoft 365 group, with owners and members if they are named."""
    body = call.body()
    wanted = values.changes(GROUP, _without_bindings(body))
    for name in ("displayName", "mailEnabled", "mailNickname", "securityEnabled"):
        if wanted.get(GROUP.properties[name].write or "") is None:
            raise bad(f"The property {name} is required.", target=name)
    types = set(wanted.pop("group_types", None) or [])
    if types - {"Unified"}:
        raise bad("groupTypes is empty or holds Unified.", target="groupTypes")
    is_unified = "Unified" in types
    if wanted.pop("mail_enabled") is not is_unified:
        raise bad("mailEnabled is true of Microsoft 365 groups alone.", target="mailEnabled")
    members, owning = _bound(body, "members"), _bound(body, "owners")
    made_id = creations.known(call, Made.GROUP)
    if made_id is None:
        made = groups.create(call.session, call.actor, is_unified=is_unified, **wanted)
        made_id = made.id
        for one in owning:
            if one != call.actor.user_id:
                owners.add(call.session, call.actor, groups.owned(made), one)
        for one in members:
            groups.add_member(call.session, call.actor, made.id, one)
        creations.remember(call, Made.GROUP, made_id)
    found = groups.get(call.session, call.actor, made_id)
    answer = listing.entity(call, GROUP, found, status=201)
    return Answer(201, answer.body, headers={"Location": f"{call.root}/groups/{found.id}"})


def _without_bindings(body: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in body.items()
        if name not in ("members@odata.bind", "owners@odata.bind")
    }


def _bound(body: Mapping[str, Any], name: str) -> list[UUID]:
    """Ids of `members@odata.bind`, at most twenty."""
    key = f"{name}@odata.bind"
    items = values.items(body, key, code="Request_BadRequest")
    if len(items) > 20:
        raise bad(f"{key} holds at most 20 addresses.", target=key)
    found = [values.identifier(values.reference(item, key)[1], key) for item in items]
    return list(dict.fromkeys(found))


@route("PATCH", "groups/{group}", needs=access.CHANGE_MEMBERS, takes="group")
def update_group(call: Call) -> Answer:
    """Change a group, or put up to twenty people in by members@odata.bind: all or nobody."""
    body = call.body()
    group = _seen(call)
    wanted = values.changes(GROUP, _without_bindings(body))
    for name in ("group_types", "mail_enabled"):
        if name in wanted:
            raise bad("The kind of a group is settled when it is made.", target=name)
    if wanted:
        if not access.CHANGE_GROUP.met_by(call.access):
            raise denied("The token changes members of groups and nothing else.")
        groups.patch(call.session, call.actor, group.id, wanted)
    for one in _bound(body, "members"):
        _add_member(call, group.id, one)
    for one in _bound(body, "owners"):
        owners.add(call.session, call.actor, groups.owned(group), one)
    return NO_CONTENT


@route("DELETE", "groups/{group}", needs=access.CHANGE_GROUP)
def delete_group(call: Call) -> Answer:
    """Delete a group: a Microsoft 365 group restorably, a security group for good."""
    deleted_groups.remove(call.session, call.actor, call.id("group"))
    return NO_CONTENT


# Members -----------------------------------------------------------------------------------------


def _members(call: Call) -> tuple[Source, frozenset[str]]:
    group = _seen(call)
    _require_members_seen(call, group)
    memberships.require_cast(call, "user")
    source = Source(
        USER,
        [
            User.tenant_id == call.actor.tenant_id,
            User.deleted_at.is_(None),
            Membership.group_id == group.id,
        ],
        joins=lambda query: query.join(
            Membership,
            (Membership.tenant_id == User.tenant_id) & (Membership.user_id == User.id),
        ),
        words=everybody(call).words,
    )
    return source, hidden_of_others(call)


@route(
    "GET",
    "groups/{group}/members",
    "groups/{group}/members/{cast}",
    "groups/{group}/transitiveMembers",
    "groups/{group}/transitiveMembers/{cast}",
    needs=access.READ_GROUPS,
    returns="Collection(directoryObject)",
)
def list_members(call: Call) -> Answer:
    """Who is in a group."""
    source, hidden = _members(call)
    return listing.collection(
        call, source, hidden=hidden, context=_context(call), typed="cast" not in call.params
    )


def _context(call: Call) -> str:
    return "users" if "cast" in call.params else "directoryObjects"


@route(
    "GET",
    "groups/{group}/members/$count",
    "groups/{group}/members/{cast}/$count",
    "groups/{group}/transitiveMembers/$count",
    "groups/{group}/transitiveMembers/{cast}/$count",
    needs=access.READ_GROUPS,
    returns="Edm.Int32",
)
def count_members(call: Call) -> Answer:
    """How many are in a group."""
    source, hidden = _members(call)
    return listing.count(call, source, hidden=hidden)


@route("GET", "groups/{group}/members/$ref", needs=access.READ_GROUPS, returns="Collection($ref)")
def list_member_references(call: Call) -> Answer:
    """Who is in a group, as addresses."""
    source, hidden = _members(call)
    answer = listing.collection(call, source, hidden=hidden, context="Collection($ref)")
    body = dict(answer.body or {})
    body["value"] = [
        {"@odata.id": f"{call.root}/directoryObjects/{one['id']}"} for one in body["value"]
    ]
    return Answer(body=body)


@route("POST", "groups/{group}/members/$ref", needs=access.CHANGE_MEMBERS, takes="$ref")
def add_member(call: Call) -> Answer:
    """Put somebody into a group."""
    _, user_id = values.referred(call.body())
    _add_member(call, call.id("group"), user_id)
    return NO_CONTENT


def _add_member(call: Call, group_id: UUID, user_id: UUID) -> None:
    group = groups.get(call.session, call.actor, group_id)
    if groups.held_by(call.session, call.actor, group, [user_id]):
        raise bad(
            "One or more added object references already exist for the property members.",
            target="members",
        )
    person = call.session.get(User, (call.actor.tenant_id, user_id))
    if person is None or person.deleted_at is not None:
        raise missing(user_id)
    groups.add_member(call.session, call.actor, group_id, user_id)


@route("DELETE", "groups/{group}/members/{member}/$ref", needs=access.CHANGE_MEMBERS)
def remove_member(call: Call) -> Answer:
    """Take somebody out of a group."""
    group = groups.get(call.session, call.actor, call.id("group"))
    member = call.id("member")
    if not groups.held_by(call.session, call.actor, group, [member]):
        raise missing(member)
    groups.remove_member(call.session, call.actor, group.id, member)
    return NO_CONTENT


# Owners ------------------------------------------------------------------------------------------


@route(
    "GET",
    "groups/{group}/owners",
    "groups/{group}/owners/{cast}",
    needs=access.READ_GROUPS,
    returns="Collection(directoryObject)",
)
def list_owners(call: Call) -> Answer:
    """Who looks after a group."""
    group = _seen(call)
    memberships.require_cast(call, "user")
    source = Source(
        USER,
        [
            User.tenant_id == call.actor.tenant_id,
            User.deleted_at.is_(None),
            Owner.owned_id == group.id,
        ],
        joins=lambda query: query.join(
            Owner, (Owner.tenant_id == User.tenant_id) & (Owner.user_id == User.id)
        ),
        words=everybody(call).words,
    )
    return listing.collection(
        call, source, hidden=hidden_of_others(call), context=_context(call),
        typed="cast" not in call.params,
    )  # fmt: skip


@route("POST", "groups/{group}/owners/$ref", needs=access.CHANGE_GROUP, takes="$ref")
def add_owner(call: Call) -> Answer:
    """Let somebody look after a group."""
    group = groups.get(call.session, call.actor, call.id("group"))
    _, user_id = values.referred(call.body())
    if owners.held_by(call.session, call.actor, groups.owned(group), [user_id]):
        raise bad(
            "One or more added object references already exist for the property owners.",
            target="owners",
        )
    owners.add(call.session, call.actor, groups.owned(group), user_id)
    return NO_CONTENT


@route("DELETE", "groups/{group}/owners/{owner}/$ref", needs=access.CHANGE_GROUP)
def remove_owner(call: Call) -> Answer:
    """Let somebody no longer look after a group."""
    group = groups.get(call.session, call.actor, call.id("group"))
    owner = call.id("owner")
    if not owners.held_by(call.session, call.actor, groups.owned(group), [owner]):
        raise missing(owner)
    owners.remove(call.session, call.actor, groups.owned(group), owner)
    return NO_CONTENT


@route(
    "GET",
    "groups/{group}/memberOf",
    "groups/{group}/transitiveMemberOf",
    needs=access.READ_GROUPS,
    returns="Collection(directoryObject)",
)
def member_of(call: Call) -> Answer:
    """Groups that a group is in: none, for groups do not nest here."""
    _seen(call)
    return listing.page(call, "directoryObjects", [])
