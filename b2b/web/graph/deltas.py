"""What has changed since the last time (users.md, section 7), told by the audit log: its numbers
are in the order of commits, so that nothing is missed.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select

from b2b.models import AuditEvent, AuditSequence, DeletedGroup, Group, Membership, User
from b2b.services import visibility
from b2b.services.audit import Activity
from b2b.web.graph import access, listing, people, tokens
from b2b.web.graph.calls import Answer, Call, bad, denied, route, unsupported
from b2b.web.graph.groups import GROUP
from b2b.web.graph.listing import Shape
from b2b.web.graph.odata import Both, Compare, Condition, parse_filter, parse_select
from b2b.web.graph.people import USER, hidden_of_others
from b2b.web.graph.resources import Kind

PAGE = 200
MOST_IDS = 50
EVENTS = 500
_OF_PEOPLE = (
    Activity.ADD_USER, Activity.UPDATE_USER, Activity.DELETE_USER, Activity.RESTORE_USER,
    Activity.HARD_DELETE_USER, Activity.DISABLE_ACCOUNT, Activity.ENABLE_ACCOUNT, Activity.RESET,
    Activity.CONVERT, Activity.REDEEM, Activity.REVOKE_SESSIONS, Activity.SET_MANAGER,
    Activity.REMOVE_MANAGER, Activity.CHANGE_LICENSE,
)  # fmt: skip
_OF_GROUPS = (
    Activity.ADD_GROUP, Activity.UPDATE_GROUP, Activity.DELETE_GROUP, Activity.RESTORE_GROUP,
    Activity.HARD_DELETE_GROUP, Activity.ADD_MEMBER, Activity.REMOVE_MEMBER,
)  # fmt: skip
_AS_AUDITED = {
    "TelephoneNumber": "businessPhones",
    "PhysicalDeliveryOfficeName": "officeLocation",
    "UserState": "externalUserState",
    "AssignedLicense": "assignedLicenses",
    "StsRefreshTokensValidFrom": "signInSessionsValidFromDateTime",
}


@route("GET", "users/delta", needs=access.READ_FULL_USERS, returns="Collection(user)")
def users_delta(call: Call) -> Answer:
    """People, and from then on those who have changed."""
    people.require_listing(call)
    return _delta(call, USER, _people_walk, _people_changed)


@route("GET", "groups/delta", needs=access.READ_GROUPS, returns="Collection(group)")
def groups_delta(call: Call) -> Answer:
    """Groups with their members, and from then on what has changed."""
    if call.actor.user_id is not None and not visibility.of(call.session, call.actor).lists_people:
        raise denied("Guests cannot list the groups of this organisation.")
    return _delta(call, GROUP, _groups_walk, _groups_changed)


# The course --------------------------------------------------------------------------------------

State = dict[str, Any]
"""Of a token: `s` the number from which changes count, `n` names of `$select`, `i` ids, and while
the first walk goes on `k`, the place that it has come to.
"""


def _delta(call: Call, kind: Kind, walk: Any, changed: Any) -> Answer:
    state = _state(call, kind)
    shape = _shape(kind, state, hidden_of_others(call) if kind is USER else frozenset())
    if "k" in state:
        found, place = walk(call, state, shape)
        following = None if place is None else {**state, "k": place}
        done = {name: value for name, value in state.items() if name != "k"}
    else:
        found, last, more = changed(call, state, shape)
        done = {**state, "s": last}
        following = done if more else None
    body: dict[str, Any] = {"@odata.context": call.context(kind.set + shape.context())}
    if following is not None:
        body["@odata.nextLink"] = _link(call, "$skiptoken", following)
    else:
        body["@odata.deltaLink"] = _link(call, "$deltatoken", done)
    body["value"] = found
    preferred = {"Preference-Applied": "return=minimal"} if call.prefers_minimal else {}
    return Answer(body=body, headers=preferred)


def _purpose(call: Call) -> str:
    return "delta of " + call.path.strip("/").partition("/")[0].lower()


def _link(call: Call, option: str, state: State) -> str:
    return listing.link(call, {option: tokens.seal(call, _purpose(call), state)})


def _state(call: Call, kind: Kind) -> State:
    """Where the caller stands. Raises GraphError for tokens that are not ours."""
    options = call.options
    for option in ("$skiptoken", "$deltatoken"):
        if option in options and options[option].lower() != "latest":
            state: State = tokens.unseal(call, _purpose(call), options[option], option)
            return state
    for option in ("$search", "$orderby", "$expand", "$skip", "$count"):
        if option in options:
            raise unsupported(f"{option} does not go with delta.")
    now = call.session.execute(
        select(AuditSequence.last).where(AuditSequence.tenant_id == call.actor.tenant_id)
    ).scalar_one()
    state = {"s": now}
    if "$select" in options:
        names = [name for name in parse_select(options["$select"]) if name.lower() != "members"]
        for name in names:
            if kind.named(name) is None:
                raise bad(f"{kind.type} has no property {name[:100]!r} ($select).",
                          code="BadRequest", target="$select")  # fmt: skip
        state["n"] = names
    if "$filter" in options:
        state["i"] = _ids(parse_filter(options["$filter"]))
    if options.get("$deltatoken", "").lower() != "latest":
        state["k"] = None
    return state


def _ids(tree: Condition) -> list[str]:
    """The ids of `id eq '…' or id eq '…'`, the only filter that goes with delta."""
    parts: Sequence[Condition] = (
        tree.parts if isinstance(tree, Both) and tree.operator == "or" else [tree]
    )
    found = []
    for part in parts:
        if not isinstance(part, Compare) or part.operator != "eq" or part.path.text != "id":
            raise unsupported("With delta, $filter takes id eq '…', joined by or.")
        try:
            found.append(str(UUID(str(part.value.value))))
        except ValueError:
            raise bad("id is compared with an id.", target="$filter") from None
    if len(found) > MOST_IDS:
        raise unsupported(f"With delta, $filter takes at most {MOST_IDS} ids.")
    return found


def _shape(kind: Kind, state: State, hidden: frozenset[str]) -> Shape:
    if "n" not in state:
        return Shape([*kind.defaults], hidden=hidden)
    named = [kind.named(name) for name in state["n"]]
    wanted = {one.name: one for one in named if one is not None}
    properties = {"id": kind.properties["id"], **wanted}
    return Shape(list(properties.values()), selected=True, hidden=hidden)


def _set(one: Mapping[str, Any]) -> dict[str, Any]:
    """Without what was never set (users.md, section 7)."""
    return {name: value for name, value in one.items() if value is not None and value != []}


def _removed(one: UUID, *, restorable: bool) -> dict[str, Any]:
    return {"id": str(one), "@removed": {"reason": "changed" if restorable else "deleted"}}


def _events(
    call: Call, state: State, activities: Sequence[Activity]
) -> tuple[Sequence[Any], int, bool]:
    """The next events of these activities, the number that they reach to, and whether there are
    more.
    """
    rows = call.session.execute(
        select(
            AuditEvent.sequence,
            AuditEvent.activity,
            AuditEvent.target_id,
            AuditEvent.changes,
            AuditEvent.detail,
        )
        .where(
            AuditEvent.tenant_id == call.actor.tenant_id,
            AuditEvent.sequence > state["s"],
            AuditEvent.activity.in_([str(one) for one in activities]),
            AuditEvent.result == "success",
        )
        .order_by(AuditEvent.sequence)
        .limit(EVENTS + 1)
    ).all()
    if len(rows) > EVENTS:
        return rows[:EVENTS], rows[EVENTS - 1].sequence, True
    last = call.session.execute(
        select(AuditSequence.last).where(AuditSequence.tenant_id == call.actor.tenant_id)
    ).scalar_one()
    reached = max(last, rows[-1].sequence) if rows else last
    return rows, reached, False


def _wanted(state: State) -> set[UUID] | None:
    return {UUID(one) for one in state["i"]} if "i" in state else None


# People ------------------------------------------------------------------------------------------


def _people_walk(call: Call, state: State, shape: Shape) -> tuple[list[dict[str, Any]], str | None]:
    query = select(User.id).where(User.tenant_id == call.actor.tenant_id, User.deleted_at.is_(None))
    if state["k"] is not None:
        query = query.where(User.id > UUID(state["k"]))
    wanted = _wanted(state)
    if wanted is not None:
        query = query.where(User.id.in_(wanted))
    ids = call.session.scalars(query.order_by(User.id).limit(PAGE + 1)).all()
    page = ids[:PAGE]
    rows = listing.by_ids(call, USER, page, shape)
    found = [_set(one) for one in listing.objects(call, USER, rows, shape)]
    return found, str(page[-1]) if len(ids) > PAGE else None


def _people_changed(
    call: Call, state: State, shape: Shape
) -> tuple[list[dict[str, Any]], int, bool]:
    events, last, more = _events(call, state, _OF_PEOPLE)
    wanted = _wanted(state)
    touched: dict[UUID, set[str] | None] = {}
    for event in events:
        one = event.target_id
        if one is None or (wanted is not None and one not in wanted):
            continue
        names: set[str] | None = {_property(change["property"]) for change in event.changes}
        if event.activity in (Activity.ADD_USER, Activity.RESTORE_USER):
            names = None  # all of it is new
        elif event.activity in (Activity.DISABLE_ACCOUNT, Activity.ENABLE_ACCOUNT):
            names = {"accountEnabled"}
        known = touched.get(one, set())
        touched[one] = None if names is None or known is None else known | names
    there = {
        row.id: row.deleted_at
        for row in call.session.execute(
            select(User.id, User.deleted_at).where(
                User.tenant_id == call.actor.tenant_id, User.id.in_(list(touched))
            )
        )
    }
    present = [one for one in touched if one in there and there[one] is None]
    rows = {row.id: row for row in listing.by_ids(call, USER, present, shape)}
    objects = listing.objects(call, USER, list(rows.values()), shape)
    made = dict(zip(rows, objects, strict=True))
    found = []
    for one, names in touched.items():
        if one in made:
            shown = made[one] | {"id": str(one)}
            if call.prefers_minimal and names is not None:
                shown = {name: shown[name] for name in shown if name == "id" or name in names}
            found.append(shown)
        else:
            found.append(_removed(one, restorable=one in there))
    return found, last, more


def _property(audited: str) -> str:
    """A property's name in the audit log as Graph has it."""
    return _AS_AUDITED.get(audited, audited[:1].lower() + audited[1:])


# Groups ------------------------------------------------------------------------------------------


def _groups_walk(
    call: Call, state: State, shape: Shape
) -> tuple[list[dict[str, Any]], list[str | None] | None]:
    """Groups with their members; a large group goes on over several pages."""
    place = state["k"] or [None, None]
    query = select(Group.id).where(Group.tenant_id == call.actor.tenant_id)
    if place[0] is not None:
        first = UUID(place[0])
        query = query.where(Group.id >= first if place[1] else Group.id > first)
    wanted = _wanted(state)
    if wanted is not None:
        query = query.where(Group.id.in_(wanted))
    ids = list(call.session.scalars(query.order_by(Group.id).limit(PAGE + 1)))
    rows = listing.by_ids(call, GROUP, ids[:PAGE], shape)
    room = EVENTS
    found: list[dict[str, Any]] = []
    for row, one in zip(rows, listing.objects(call, GROUP, rows, shape), strict=True):
        if room <= 0:
            return found, [str(found[-1]["id"]), None]
        after = UUID(place[1]) if place[1] and str(row.id) == place[0] else None
        members = _some_members(call, row.id, after, room + 1)
        shown = _set(one) | {"id": str(row.id)}
        if members:
            shown["members@delta"] = [_member(member) for member in members[:room]]
        found.append(shown)
        if len(members) > room:
            return found, [str(row.id), str(members[room - 1])]
        room -= len(members)
    more = len(ids) > PAGE
    return found, [str(ids[PAGE - 1]), None] if more else None


def _some_members(call: Call, group_id: UUID, after: UUID | None, most: int) -> Sequence[UUID]:
    query = select(Membership.user_id).where(
        Membership.tenant_id == call.actor.tenant_id, Membership.group_id == group_id
    )
    if after is not None:
        query = query.where(Membership.user_id > after)
    return call.session.scalars(query.order_by(Membership.user_id).limit(most)).all()


def _member(one: UUID) -> dict[str, Any]:
    return {"@odata.type": "#microsoft.graph.user", "id": str(one)}


def _groups_changed(
    call: Call, state: State, shape: Shape
) -> tuple[list[dict[str, Any]], int, bool]:
    events, last, more = _events(call, state, _OF_GROUPS)
    wanted = _wanted(state)
    touched: dict[UUID, bool] = {}
    members: dict[UUID, dict[UUID, None]] = {}
    for event in events:
        of_member = event.activity in (Activity.ADD_MEMBER, Activity.REMOVE_MEMBER)
        text = (event.detail or {}).get("group") if of_member else event.target_id
        if text is None:
            continue
        one = UUID(str(text))
        if wanted is not None and one not in wanted:
            continue
        touched[one] = touched.get(one, False) or not of_member
        if of_member and event.target_id is not None:
            members.setdefault(one, {})[event.target_id] = None
    rows = listing.by_ids(call, GROUP, list(touched), shape)
    made = {
        row.id: shown
        for row, shown in zip(rows, listing.objects(call, GROUP, rows, shape), strict=True)
    }
    kept = set(
        call.session.scalars(
            select(DeletedGroup.id).where(
                DeletedGroup.tenant_id == call.actor.tenant_id,
                DeletedGroup.id.in_(list(touched)),
            )
        )
    )
    found = []
    for one, itself in touched.items():
        if one not in made:
            found.append(_removed(one, restorable=one in kept))
            continue
        shown: dict[str, Any] = {"id": str(one)}
        if itself or not call.prefers_minimal:
            shown = made[one] | shown
        if one in members:
            held = set(
                call.session.scalars(
                    select(Membership.user_id).where(
                        Membership.tenant_id == call.actor.tenant_id,
                        Membership.group_id == one,
                        Membership.user_id.in_(list(members[one])),
                    )
                )
            )
            shown["members@delta"] = [
                _member(member)
                if member in held
                else {**_member(member), "@removed": {"reason": "deleted"}}
                for member in members[one]
            ]
        found.append(shown)
    return found, last, more
