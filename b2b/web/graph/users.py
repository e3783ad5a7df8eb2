"""People: `/users`, `/me` and what hangs on them (users.md, section 5)."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from b2b.errors import Invalid
from b2b.models import Made, PictureKind, User
from b2b.services import (
    deleted_users,
    licenses,
    managers,
    passwords,
    photographs,
    pictures,
    profiles,
    sponsors,
    users,
)
from b2b.web.graph import access, creations, listing, memberships, values
from b2b.web.graph.calls import (
    NO_CONTENT,
    Answer,
    Call,
    GraphError,
    bad,
    denied,
    missing,
    route,
)
from b2b.web.graph.listing import collection
from b2b.web.graph.people import (
    USER,
    everybody,
    hidden_of,
    hidden_of_others,
    known,
    meant,
    person,
    require_listing,
)

# Reading -----------------------------------------------------------------------------------------


@route("GET", "users", needs=access.READ_USERS, returns="Collection(user)")
def list_users(call: Call) -> Answer:
    """List people."""
    require_listing(call)
    return collection(call, everybody(call), hidden=hidden_of_others(call))


@route("GET", "users/$count", needs=access.READ_USERS, returns="Edm.Int32")
def count_users(call: Call) -> Answer:
    """How many people there are."""
    require_listing(call)
    return listing.count(call, everybody(call), hidden=hidden_of_others(call))


@route("GET", "users/{user}", needs=access.READ_USER, returns="user")
@route("GET", "me", needs=access.READ_ME, returns="user")
def get_user(call: Call) -> Answer:
    """One person, by id or sign-in name; `/me` is who signed in."""
    user_id = known(call)
    shape = listing.shape_of(call, USER, many=False, hidden=hidden_of(call, user_id))
    rows = listing.by_ids(call, USER, [user_id], shape, living=True)
    if not rows:
        raise missing(call.params.get("user", "me"))
    return listing.entity(call, USER, rows[0], shape=shape)


# Changing ----------------------------------------------------------------------------------------

_TAKEN = {"Conflict": (409, "Request_MultipleObjectsWithSameKeyValue")}


def _hashed(call: Call) -> str | None:
    """The password of the body as it is stored; takes long, so before any lock."""
    profile = call.body().get("passwordProfile")
    if profile is None:
        return None
    if not isinstance(profile, dict):
        raise bad("passwordProfile has to be an object.", target="passwordProfile")
    known = {"password", "forceChangePasswordNextSignIn", "forceChangePasswordNextSignInWithMfa"}
    for name in values.own_names(profile):
        if name not in known:
            raise values.unknown("passwordProfile", name)
    password = values.text(profile, "password", code="Request_BadRequest")
    if password is None:
        return None
    passwords.check_rules(password, field="password_profile")
    return passwords.hashed(password)


@route(
    "POST", "users", needs=access.CREATE_USER, prepare=_hashed, takes="user", returns="user",
    refusals=_TAKEN,
)  # fmt: skip
def create_user(call: Call) -> Answer:
    """Make somebody whose home is this directory."""
    body = call.body()
    wanted = values.changes(USER, body)
    wanted.pop("password_profile", None)
    for name in ("accountEnabled", "displayName", "mailNickname", "userPrincipalName"):
        if wanted.get(USER.properties[name].write or "") is None:
            raise bad(f"The property {name} is required.", target=name)
    if call.prepared is None:
        raise bad("passwordProfile with a password is required.", target="passwordProfile")
    _check_type(wanted)
    made_id = creations.known(call, Made.USER)
    if made_id is None:
        made = profiles.create(call.session, call.actor, password_hash=call.prepared, **wanted)
        made_id = made.id
        creations.remember(call, Made.USER, made_id)
    found = users.get(call.session, call.actor, made_id)
    call.session.flush()
    call.session.refresh(found)
    answer = listing.entity(call, USER, found, status=201, hidden=hidden_of(call, found.id))
    location = {"Location": f"{call.root}/users/{found.id}"}
    return Answer(201, answer.body, headers=location)


def _check_type(wanted: Mapping[str, Any]) -> None:
    if wanted.get("user_type") not in (None, "Member", "Guest"):
        raise bad("userType is Member or Guest.", target="userType")


@route(
    "PATCH",
    "users/{user}",
    needs=access.UPDATE_USER,
    prepare=_hashed,
    takes="user",
    refusals=_TAKEN,
)
@route("PATCH", "me", needs=access.UPDATE_USER, prepare=_hashed, takes="user", refusals=_TAKEN)
def update_user(call: Call) -> Answer:
    """Change properties of somebody."""
    found = meant(call)
    wanted = values.changes(USER, call.body())
    _check_type(wanted)
    wanted.pop("password_profile", None)
    for name in ("account_enabled", "show_in_address_list"):
        if name in wanted and wanted[name] is None:
            raise bad(f"{USER_NAMES[name]} has to be true or false.", target=USER_NAMES[name])
    if call.prepared is not None:
        wanted["password_hash"] = call.prepared
    if call.actor.user_id is not None and call.actor.granted is not None:
        _require_scope(call, found, wanted)
    if wanted:
        profiles.patch(call.session, call.actor, found.id, wanted)
    return NO_CONTENT


USER_NAMES = {one.write: one.name for one in USER.properties.values() if one.write}


def _require_scope(call: Call, found: User, wanted: Mapping[str, Any]) -> None:
    """`User.ReadWrite` is about oneself, and about what is one's own to change."""
    wide = {"User.ReadWrite.All", "Directory.ReadWrite.All", "Directory.AccessAsUser.All"}
    granted = call.actor.granted or frozenset()
    if granted & wide or wanted.keys() == {"account_enabled"}:
        return
    if found.id != call.actor.user_id or not profiles.OWN.issuperset(wanted):
        raise denied("The token changes one's own profile and nothing else.")


@route("DELETE", "users/{user}", needs=access.DELETE_USER)
def delete_user(call: Call) -> Answer:
    """Delete somebody softly: restorable for 30 days."""
    deleted_users.remove(call.session, call.actor, meant(call).id)
    return NO_CONTENT


@route(
    "POST",
    "users/{user}/revokeSignInSessions",
    "users/{user}/invalidateAllRefreshTokens",
    needs=access.REVOKE_SESSIONS,
    returns="Edm.Boolean",
)
@route(
    "POST",
    "me/revokeSignInSessions",
    "me/invalidateAllRefreshTokens",
    needs=access.REVOKE_SESSIONS,
    returns="Edm.Boolean",
)
def revoke_sessions(call: Call) -> Answer:
    """Sign somebody out everywhere; a guest's session at home goes on."""
    users.revoke_sessions(call.session, call.actor, meant(call).id)
    return Answer(body={"@odata.context": call.context("Edm.Boolean"), "value": True})


@route("POST", "users/{user}/assignLicense", needs=access.ASSIGN_LICENSES, returns="user")
@route("POST", "me/assignLicense", needs=access.ASSIGN_LICENSES, returns="user")
def assign_license(call: Call) -> Answer:
    """Give and take licences."""
    found = meant(call)
    body = call.body()
    for name in values.own_names(body):
        if name not in ("addLicenses", "removeLicenses"):
            raise values.unknown("assignLicense", name)
    add: dict[UUID, list[str]] = {}
    for item in values.items(body, "addLicenses", code="Request_BadRequest"):
        if not isinstance(item, dict):
            raise bad("addLicenses holds objects with a skuId.", target="addLicenses")
        plans = values.items(item, "disabledPlans", code="Request_BadRequest")
        add[values.identifier(item.get("skuId"), "skuId")] = [
            str(values.identifier(plan, "disabledPlans")) for plan in plans
        ]
    remove = [
        values.identifier(one, "removeLicenses")
        for one in values.items(body, "removeLicenses", code="Request_BadRequest")
    ]
    licenses.assign(call.session, call.actor, found.id, add=add, remove=remove)
    call.session.flush()
    return listing.entity(call, USER, found, hidden=hidden_of(call, found.id))


# Manager, direct reports, sponsors ---------------------------------------------------------------


@route("GET", "users/{user}/manager", needs=access.READ_USERS, returns="directoryObject")
@route("GET", "me/manager", needs=access.READ_USERS, returns="directoryObject")
def get_manager(call: Call) -> Answer:
    """Whom somebody reports to."""
    found = meant(call)
    boss = managers.of_users(call.session, call.actor, [found.id]).get(found.id)
    if boss is None:
        raise missing("manager")
    row = users.get(call.session, call.actor, boss)
    return listing.entity(call, USER, row, hidden=hidden_of(call, row.id), typed=True)


@route("PUT", "users/{user}/manager/$ref", needs=access.CREATE_USER, takes="$ref")
def put_manager(call: Call) -> Answer:
    """Name somebody's manager."""
    _, manager_id = values.referred(call.body())
    managers.put(call.session, call.actor, meant(call).id, manager_id)
    return NO_CONTENT


@route("DELETE", "users/{user}/manager/$ref", needs=access.CREATE_USER)
def remove_manager(call: Call) -> Answer:
    """Let somebody have no manager."""
    managers.remove(call.session, call.actor, meant(call).id)
    return NO_CONTENT


@route(
    "GET",
    "users/{user}/directReports",
    "users/{user}/directReports/{cast}",
    needs=access.READ_USERS,
    returns="Collection(directoryObject)",
)
@route(
    "GET",
    "me/directReports",
    "me/directReports/{cast}",
    needs=access.READ_USERS,
    returns="Collection(directoryObject)",
)
def direct_reports(call: Call) -> Answer:
    """Who reports to somebody."""
    memberships.require_cast(call, "user")
    found = meant(call)
    source = everybody(call)
    source = listing.Source(
        USER, [*source.conditions, User.manager_id == found.id], words=source.words
    )
    return collection(
        call, source, hidden=hidden_of_others(call), context="directoryObjects", typed=True
    )


@route(
    "GET", "users/{user}/sponsors", needs=access.READ_USERS, returns="Collection(directoryObject)"
)
@route("GET", "me/sponsors", needs=access.READ_USERS, returns="Collection(directoryObject)")
def list_sponsors(call: Call) -> Answer:
    """Who answers for somebody."""
    found = meant(call)
    held = sponsors.of_users(call.session, call.actor, [found.id]).get(found.id, [])
    members = [(str(kind).lower(), sponsor_id) for kind, sponsor_id in held]
    shown = listing.mixed(call, members, hidden={"user": hidden_of_others(call)})
    return listing.page(call, "directoryObjects", shown)


@route("POST", "users/{user}/sponsors/$ref", needs=access.CREATE_USER, takes="$ref")
def add_sponsor(call: Call) -> Answer:
    """Let a person or a group answer for somebody; five at most."""
    _, sponsor_id = values.referred(call.body())
    try:
        sponsors.add(call.session, call.actor, meant(call).id, sponsor_id)
    except Invalid as error:
        if error.field == "sponsors":
            raise missing(sponsor_id) from error
        raise
    return NO_CONTENT


@route("DELETE", "users/{user}/sponsors/{sponsor}/$ref", needs=access.CREATE_USER)
def remove_sponsor(call: Call) -> Answer:
    """Let somebody no longer answer for somebody."""
    sponsors.remove(call.session, call.actor, meant(call).id, call.id("sponsor"))
    return NO_CONTENT


# Photographs -------------------------------------------------------------------------------------


@route("GET", "users/{user}/photo", needs=access.READ_USER, returns="profilePhoto")
@route("GET", "me/photo", needs=access.READ_ME, returns="profilePhoto")
def photo(call: Call) -> Answer:
    """What is known of somebody's photograph."""
    found = pictures.find(call.session, call.actor.tenant_id, meant(call).id, PictureKind.PHOTO)
    if found is None:
        raise GraphError(404, "ImageNotFound", "There is no photograph.")
    body = {
        "@odata.context": call.context("photo"),
        "@odata.mediaContentType": found.media_type,
        "@odata.mediaEtag": f'"{found.digest[:32]}"',
        "id": f"{found.width}x{found.height}",
        "width": found.width,
        "height": found.height,
    }
    return Answer(body=body)


@route("GET", "users/{user}/photo/$value", needs=access.READ_USER, returns="Edm.Stream")
@route("GET", "me/photo/$value", needs=access.READ_ME, returns="Edm.Stream")
def photo_value(call: Call) -> Answer:
    """Somebody's photograph."""
    found = pictures.find(call.session, call.actor.tenant_id, meant(call).id, PictureKind.PHOTO)
    if found is None:
        raise GraphError(404, "ImageNotFound", "There is no photograph.")
    tag = {"ETag": f'"{found.digest[:32]}"'}
    return Answer(content=found.data, media_type=found.media_type, headers=tag)


def _picture(call: Call) -> pictures.Made:
    return pictures.make("photo", PictureKind.PHOTO, call.read_bytes())


@route(
    "PUT",
    "users/{user}/photo/$value",
    needs=access.UPDATE_USER,
    prepare=_picture,
    takes="Edm.Stream",
)
@route(
    "PATCH",
    "users/{user}/photo/$value",
    needs=access.UPDATE_USER,
    prepare=_picture,
    takes="Edm.Stream",
)
@route("PUT", "me/photo/$value", needs=access.UPDATE_USER, prepare=_picture, takes="Edm.Stream")
@route("PATCH", "me/photo/$value", needs=access.UPDATE_USER, prepare=_picture, takes="Edm.Stream")
def put_photo(call: Call) -> Answer:
    """Set somebody's photograph: JPEG or PNG, made anew."""
    found = meant(call)
    _require_scope_of_photo(call, found)
    photographs.put_of(call.session, call.actor, found.id, call.prepared)
    return Answer(200)


@route("DELETE", "users/{user}/photo/$value", "users/{user}/photo", needs=access.UPDATE_USER)
@route("DELETE", "me/photo/$value", "me/photo", needs=access.UPDATE_USER)
def delete_photo(call: Call) -> Answer:
    """Forget somebody's photograph."""
    found = meant(call)
    _require_scope_of_photo(call, found)
    photographs.remove_of(call.session, call.actor, found.id)
    return NO_CONTENT


def _require_scope_of_photo(call: Call, found: User) -> None:
    if call.actor.user_id is not None:
        _require_scope(call, found, {})


# Memberships -------------------------------------------------------------------------------------


@route(
    "GET",
    "users/{user}/memberOf",
    "users/{user}/memberOf/{cast}",
    "users/{user}/transitiveMemberOf",
    "users/{user}/transitiveMemberOf/{cast}",
    needs=access.READ_MEMBERSHIPS,
    returns="Collection(directoryObject)",
)
@route(
    "GET",
    "me/memberOf",
    "me/memberOf/{cast}",
    "me/transitiveMemberOf",
    "me/transitiveMemberOf/{cast}",
    needs=access.READ_MEMBERSHIPS,
    returns="Collection(directoryObject)",
)
def member_of(call: Call) -> Answer:
    """Groups that somebody is in, and directory roles that he holds; groups do not nest."""
    return memberships.of_user(call, meant(call))


@route(
    "GET",
    "users/{user}/memberOf/$count",
    "users/{user}/memberOf/{cast}/$count",
    "users/{user}/transitiveMemberOf/$count",
    "users/{user}/transitiveMemberOf/{cast}/$count",
    needs=access.READ_MEMBERSHIPS,
    returns="Edm.Int32",
)
@route(
    "GET",
    "me/memberOf/$count",
    "me/memberOf/{cast}/$count",
    "me/transitiveMemberOf/$count",
    "me/transitiveMemberOf/{cast}/$count",
    needs=access.READ_MEMBERSHIPS,
    returns="Edm.Int32",
)
def count_member_of(call: Call) -> Answer:
    """How many groups and roles somebody is in."""
    if not call.is_eventual:
        raise bad("$count is not currently supported.")
    number = len(memberships.ids_of_user(call, meant(call)))
    return Answer(content=str(number).encode(), media_type="text/plain;charset=utf-8")


@route(
    "GET",
    "users/{user}/ownedObjects",
    "users/{user}/ownedObjects/{cast}",
    needs=access.READ_OBJECTS,
    returns="Collection(directoryObject)",
)
@route(
    "GET",
    "me/ownedObjects",
    "me/ownedObjects/{cast}",
    needs=access.READ_OBJECTS,
    returns="Collection(directoryObject)",
)
def owned_objects(call: Call) -> Answer:
    """Groups and applications that somebody owns."""
    return memberships.owned_by(call, meant(call))


@route(
    "POST",
    "users/{user}/checkMemberGroups",
    "users/{user}/checkMemberObjects",
    "me/checkMemberGroups",
    "me/checkMemberObjects",
    "directoryObjects/{user}/checkMemberGroups",
    "directoryObjects/{user}/checkMemberObjects",
    returns="Collection(Edm.String)",
    needs=access.READ_MEMBERSHIPS,
    writes=False,
)
def check_memberships(call: Call) -> Answer:
    """Which of some groups, at most twenty, somebody is in."""
    is_groups = call.path.lower().endswith("groups")
    name = "groupIds" if is_groups else "ids"
    wanted = [
        values.identifier(one, name)
        for one in values.items(call.body(), name, code="Request_BadRequest")
    ]
    if not wanted or len(wanted) > 20:
        raise bad(f"{name} holds one to twenty ids.", target=name)
    held = {one for _, one in memberships.ids_of_user(call, _whoever(call), roles=not is_groups)}
    return _ids(call, [one for one in wanted if one in held])


@route(
    "POST",
    "users/{user}/getMemberGroups",
    "users/{user}/getMemberObjects",
    "me/getMemberGroups",
    "me/getMemberObjects",
    "directoryObjects/{user}/getMemberGroups",
    "directoryObjects/{user}/getMemberObjects",
    returns="Collection(Edm.String)",
    needs=access.READ_MEMBERSHIPS,
    writes=False,
)
def get_memberships(call: Call) -> Answer:
    """Ids of all groups that somebody is in, and of roles for getMemberObjects."""
    body = call.body()
    values.flag(body, "securityEnabledOnly", code="Request_BadRequest")
    is_groups = call.path.lower().endswith("groups")
    found = memberships.ids_of_user(
        call,
        _whoever(call),
        roles=not is_groups,
        security_only=bool(body.get("securityEnabledOnly")),
    )
    return _ids(call, [one for _, one in found])


def _whoever(call: Call) -> User:
    """The person of the path; other objects are in no group."""
    found = person(call, call.params["user"]) if "user" in call.params else meant(call)
    if found is None or found.deleted_at is not None:
        raise missing(call.params["user"])
    return found


def _ids(call: Call, found: list[UUID]) -> Answer:
    body = {
        "@odata.context": call.context("Collection(Edm.String)"),
        "value": [str(one) for one in found],
    }
    return Answer(body=body)
