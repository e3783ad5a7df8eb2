"""What was done and who signed in: `/auditLogs` (audit-reporting.md).

Both logs are walked by their own order and never sorted. A filter looks at so many entries a page
and no more; the page then holds fewer, and its `@odata.nextLink` goes on from there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import and_, case, func, or_, select

from b2b.errors import NotFound
from b2b.models import ActorKind, AuditEvent, ServicePrincipal, SignIn, User, fold
from b2b.models.base import lower_ascii
from b2b.services import audit_listing, sign_in_listing, sign_in_log
from b2b.services.audit import Activity
from b2b.web.graph import access, listing, resources
from b2b.web.graph.calls import Answer, Call, GraphError, missing, route, unsupported
from b2b.web.graph.conditions import Compiler, ascii_lower, compare_text
from b2b.web.graph.listing import Shape
from b2b.web.graph.odata import Both, Compare, Condition, parse_filter, parse_order
from b2b.web.graph.resources import (
    BOOLEAN,
    GUID,
    INSTANT,
    INTEGER,
    STRING,
    STRINGS,
    Filter,
    Kind,
    Property,
    plain,
    text,
)

_INVITED = [
    str(one)
    for one in (Activity.INVITE, Activity.RESET, Activity.CONVERT, Activity.REDEEM,
                Activity.RESEND, Activity.EXTEND, Activity.CANCEL, Activity.DECLINE,
                Activity.ASK_AGAIN, Activity.NOT_MAILED, Activity.SUBSCRIBE,
                Activity.UNSUBSCRIBE, Activity.COPY_LINK)
]  # fmt: skip
"""Activities of the service that invites; the others are the directory's."""
_TARGETS = {
    "User": "User", "Group": "Group", "Application": "App", "ServicePrincipal": "App",
    "Tenant": "Directory", "Policy": "Policy",
}  # fmt: skip
_BOTH = frozenset({"eq", "startswith"})


# Audit: reading ----------------------------------------------------------------------------------


def _service(row: Any) -> str:
    return "Invited Users" if row.activity in _INVITED else "Core Directory"


def _operation(row: Any) -> str:
    first = row.activity.partition(" ")[0].lower()
    kinds = {"add": "Add", "invite": "Add", "create": "Add", "delete": "Delete",
             "hard": "Delete", "remove": "Unassign"}  # fmt: skip
    if "app role assignment" in row.activity and first == "add":
        return "Assign"
    return kinds.get(first, "Update")


def _event_id(row: Any) -> str:
    return f"{_service(row).replace(' ', '_')}_{row.id}_{row.sequence}"


def _sequence_of(text_: str) -> int:
    """The number in an event's id. Raises GraphError (404)."""
    tail = text_.rpartition("_")[2]
    if not (tail.isascii() and tail.isdigit()) or len(tail) > 18:
        raise missing(text_)
    return int(tail)


def _initiator(
    row: Any, people: Mapping[UUID, Any], programs: Mapping[UUID, Any]
) -> dict[str, Any]:
    if row.actor_kind is ActorKind.USER:
        person = people.get(row.actor_id)
        found = {
            "id": None if row.actor_id is None else str(row.actor_id),
            "displayName": row.actor_name,
            "userPrincipalName": None if person is None else person.user_principal_name,
            "ipAddress": row.ip_address,
            "userType": None if person is None else str(person.user_type),
            "homeTenantId": None,
            "homeTenantName": None,
        }
        return {"app": None, "user": found}
    app_id = programs.get(row.actor_id)
    program = {
        "appId": None if app_id is None else str(app_id),
        "displayName": row.actor_name,
        "servicePrincipalId": None if row.actor_id is None else str(row.actor_id),
        "servicePrincipalName": None,
    }
    return {"app": program, "user": None}


def _ids(rows: Sequence[Any], kind: ActorKind) -> list[UUID]:
    return list({row.actor_id for row in rows if row.actor_id and row.actor_kind is kind})


def _people(call: Call, ids: Iterable[UUID]) -> dict[UUID, Any]:
    query = select(User.id, User.user_principal_name, User.user_type, User.display_name).where(
        User.tenant_id == call.actor.tenant_id, User.id.in_(list(ids))
    )
    return {row.id: row for row in call.session.execute(query)}


def _programs(call: Call, rows: Sequence[Any]) -> dict[UUID, UUID]:
    query = select(ServicePrincipal.id, ServicePrincipal.app_id).where(
        ServicePrincipal.tenant_id == call.actor.tenant_id,
        ServicePrincipal.id.in_(_ids(rows, ActorKind.APPLICATION)),
    )
    return {row.id: row.app_id for row in call.session.execute(query)}


def _said(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else str(value)


def _target(row: Any) -> list[dict[str, Any]]:
    if row.target_type is None:
        return []
    is_person = row.target_type == "User"
    return [
        {
            "id": None if row.target_id is None else str(row.target_id),
            "displayName": None if is_person else row.target_name,
            "type": _TARGETS.get(row.target_type, "Other"),
            "userPrincipalName": row.target_name if is_person else None,
            "groupType": "unknownFutureValue" if row.target_type == "Group" else None,
            "modifiedProperties": [
                {
                    "displayName": one["property"],
                    "oldValue": _said(one["before"]),
                    "newValue": _said(one["after"]),
                }
                for one in row.changes
            ],
        }
    ]


def _details(row: Any) -> list[dict[str, str]]:
    return [{"key": name, "value": str(value)} for name, value in row.detail.items()]


# Audit: filtering --------------------------------------------------------------------------------


def _of(kind: ActorKind, column: Any) -> Any:
    """A column of the event, for those who are of this kind."""
    return case((AuditEvent.actor_kind == kind, column))


def _of_actor(model: Any, kind: ActorKind, column: Any) -> Any:
    found = (
        select(column)
        .where(model.tenant_id == AuditEvent.tenant_id, model.id == AuditEvent.actor_id)
        .correlate(AuditEvent)
        .scalar_subquery()
    )
    return _of(kind, found)


def _has_target(compiler: Compiler, _: str, tree: Any) -> Any:
    """`targetResources/any(t:t/id eq '…')`."""
    if tree is None:
        return AuditEvent.target_type.is_not(None)
    found = []
    for path, operator, value in compiler.element(tree, AUDIT.properties["targetResources"]):
        typed = str(value.value)
        if path.lower() == "id" and operator == "eq":
            try:
                found.append(AuditEvent.target_id == UUID(typed))
            except ValueError:
                found.append(AuditEvent.target_id != AuditEvent.target_id)
        elif path.lower() in ("displayname", "userprincipalname"):
            is_person = AuditEvent.target_type == "User"
            kind = is_person if path.lower() != "displayname" else ~is_person
            name = lower_ascii(AuditEvent.target_name)
            found.append(and_(kind, compare_text(operator, name, ascii_lower(typed))))
        else:
            raise unsupported(f"targetResources cannot be filtered by {path[:50]!r} {operator}.")
    return func.coalesce(and_(*found), False)


_SERVICE = case((AuditEvent.activity.in_(_INVITED), "Invited Users"), else_="Core Directory")
_EQ = frozenset({"eq"})


def _inner(name: str, column: Any, operators: frozenset[str] = _EQ, type_: str = STRING) -> Any:
    return Property(name, type_, filter=Filter(column, operators, compares=type_))


AUDIT = resources.kind(
    Kind(
        "directoryAudit",
        "auditLogs/directoryAudits",
        AuditEvent,
        resources.table(
            Property("id", STRING, default=True, read=_event_id),
            plain("activityDateTime", INSTANT, AuditEvent.at, "eq ge le gt lt", default=True),
            text("activityDisplayName", AuditEvent.activity, "eq startswith in", default=True),
            Property("additionalDetails", "Collection(graph.keyValue)", default=True,
                     read=_details),
            text("category", AuditEvent.category, "eq in", default=True),
            plain("correlationId", GUID, AuditEvent.correlation_id, "eq", default=True),
            Property("initiatedBy", "graph.auditActivityInitiator", default=True),
            Property("loggedByService", STRING, default=True, read=_service,
                     filter=Filter(_SERVICE, _EQ)),
            Property("operationType", STRING, default=True, read=_operation),
            text("result", AuditEvent.result, "eq", default=True),
            Property("resultReason", STRING, default=True,
                     read=lambda row: row.detail.get("reason", "")),
            Property("targetResources", "Collection(graph.targetResource)", default=True,
                     read=_target,
                     filter=Filter(None, _BOTH, has=_has_target)),
        ),
        order="activityDateTime",
        inner={
            "initiatedBy/user/id": _inner("initiatedBy/user/id",
                                          _of(ActorKind.USER, AuditEvent.actor_id), type_=GUID),
            "initiatedBy/user/displayName": _inner("initiatedBy/user/displayName",
                                                   _of(ActorKind.USER, AuditEvent.actor_name)),
            "initiatedBy/user/userPrincipalName": _inner(
                "initiatedBy/user/userPrincipalName",
                _of_actor(User, ActorKind.USER, User.user_principal_name), _BOTH),
            "initiatedBy/app/appId": _inner(
                "initiatedBy/app/appId",
                _of_actor(ServicePrincipal, ActorKind.APPLICATION, ServicePrincipal.app_id),
                type_=GUID),
            "initiatedBy/app/displayName": _inner(
                "initiatedBy/app/displayName",
                case((AuditEvent.actor_kind != ActorKind.USER, AuditEvent.actor_name))),
        },
    )
)  # fmt: skip

# Sign-ins ----------------------------------------------------------------------------------------


def _status(row: Any) -> dict[str, Any]:
    return {
        "errorCode": row.error_code,
        "failureReason": row.failure_reason or "Other.",
        "additionalDetails": None,
    }


def _name(row: Any) -> str:
    """Always in small letters; of guests the name at home (audit-reporting.md, section 3)."""
    return fold(row.identity)


def _has_event_type(compiler: Compiler, _: str, tree: Any) -> Any:
    """`signInEventTypes/any(t:t eq 'servicePrincipal')`."""
    by_program = SignIn.service_principal_id.is_not(None)
    if tree is None:
        return or_(by_program, ~by_program)
    known = {"serviceprincipal": by_program, "interactiveuser": ~by_program}
    nothing = and_(by_program, ~by_program)
    found = compiler.element(tree, SIGN_IN.properties["signInEventTypes"])
    return and_(*[known.get(str(value.value).lower(), nothing) for _, _, value in found])


SIGN_IN = resources.kind(
    Kind(
        "signIn",
        "auditLogs/signIns",
        SignIn,
        resources.table(
            Property("id", STRING, SignIn.id, default=True,
                     filter=Filter(SignIn.id, _EQ, compares=GUID)),
            plain("createdDateTime", INSTANT, SignIn.at, "eq ge le gt lt", default=True),
            Property("userDisplayName", STRING, default=True),
            Property("userPrincipalName", STRING, default=True, read=_name,
                     filter=Filter(SignIn.identity, _BOTH)),
            Property("userId", STRING, SignIn.user_id, default=True,
                     filter=Filter(SignIn.user_id, _EQ, compares=GUID)),
            Property("appId", STRING, SignIn.app_id, default=True,
                     filter=Filter(SignIn.app_id, _EQ, compares=GUID)),
            text("appDisplayName", SignIn.application, "eq startswith", default=True),
            text("ipAddress", SignIn.ip_address, "eq startswith", default=True),
            Property("clientAppUsed", STRING, default=True,
                     read=lambda row: "Mobile Apps and Desktop clients"
                     if row.method == sign_in_log.PROGRAM else "Browser"),
            plain("correlationId", GUID, SignIn.correlation_id, "eq", default=True),
            Property("conditionalAccessStatus", STRING, default=True,
                     read=lambda _: "notApplied"),
            Property("isInteractive", BOOLEAN, default=True,
                     read=lambda row: row.method != sign_in_log.PROGRAM),
            *(Property(name, STRING, default=True, read=lambda _: "none")
              for name in ("riskDetail", "riskLevelAggregated", "riskLevelDuringSignIn",
                           "riskState")),
            Property("riskEventTypes_v2", STRINGS, default=True, read=lambda _: []),
            text("resourceDisplayName", SignIn.resource, "eq", default=True),
            Property("resourceId", STRING, default=True, read=lambda _: None),
            Property("status", "graph.signInStatus", default=True, read=_status),
            Property("deviceDetail", "graph.deviceDetail", default=True,
                     read=lambda _: {"deviceId": "", "displayName": "", "operatingSystem": "",
                                     "browser": "", "isCompliant": False, "isManaged": False,
                                     "trustType": ""}),
            Property("location", "graph.signInLocation", default=True,
                     read=lambda _: {"city": "", "state": "", "countryOrRegion": "",
                                     "geoCoordinates": None}),
            Property("appliedConditionalAccessPolicies",
                     "Collection(graph.appliedConditionalAccessPolicy)", default=True,
                     read=lambda _: []),
            Property("userAgent", STRING, SignIn.user_agent),
            Property("signInEventTypes", STRINGS,
                     read=lambda row: ["interactiveUser" if row.service_principal_id is None
                                       else "servicePrincipal"],
                     filter=Filter(None, _EQ, has=_has_event_type)),
        ),
        order="createdDateTime",
        inner={
            "status/errorCode": _inner("status/errorCode", SignIn.error_code, type_=INTEGER),
        },
    )
)  # fmt: skip

# Walking -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Asked:
    """What a request asks of a log."""

    shape: Shape
    size: int
    falls: bool
    since: datetime | None = None
    until: datetime | None = None
    also: Sequence[Any] = ()


def _asked(call: Call, kind: Kind, tree: Condition | None) -> _Asked:
    for option in ("$search", "$skip", "$expand"):
        if option in call.options:
            raise unsupported(f"{option} is not supported for logs.")
    shape = listing.shape_of(call, kind, many=True)
    falls = True
    if call.options.get("$orderby"):
        keys = parse_order(call.options["$orderby"])
        if len(keys) != 1 or keys[0].path.text.lower() != kind.order.lower():
            raise unsupported(f"Logs are sorted by {kind.order} alone.")
        falls = keys[0].descending
    size = listing.size_of(call)
    if tree is None:
        return _Asked(shape, size, falls)
    dialect = call.session.get_bind().dialect.name
    compiler = Compiler(kind, call.actor.tenant_id, True, dialect)
    since, until = _between(tree, kind)
    return _Asked(shape, size, falls, since, until, [compiler.condition(tree).clause])


def _between(tree: Condition, kind: Kind) -> tuple[datetime | None, datetime | None]:
    """Times outside of which nothing meets *tree*; they bound the walk."""
    parts: Sequence[Condition]
    parts = tree.parts if isinstance(tree, Both) and tree.operator == "and" else (tree,)
    since: list[datetime] = []
    until: list[datetime] = []
    for part in parts:
        if not isinstance(part, Compare) or part.path.text.lower() != kind.order.lower():
            continue
        at = part.value.value
        if not isinstance(at, datetime):
            continue
        if part.operator in ("ge", "gt", "eq") and at > _FIRST:
            since.append(at)
        if part.operator in ("le", "lt", "eq") and at < _LAST:
            until.append(at + _INSTANT)
    return max(since, default=None), min(until, default=None)


_INSTANT = timedelta(microseconds=1)
_FIRST = datetime(1971, 1, 1, tzinfo=UTC)
_LAST = datetime(9999, 1, 1, tzinfo=UTC)


def _tree(call: Call) -> Condition | None:
    return parse_filter(call.options["$filter"]) if "$filter" in call.options else None


def _shown(rows: Sequence[Any], shape: Shape, known: Mapping[str, Mapping[Any, Any]]) -> Any:
    """Rows as JSON; *known* has, by property, what is kept elsewhere."""
    return [
        {
            one.name: known[one.name].get(row.id) if one.name in known else one.value(row)
            for one in shape.properties
        }
        for row in rows
    ]


# Audit -------------------------------------------------------------------------------------------


def _initiators(call: Call, rows: Sequence[Any], shape: Shape) -> dict[str, Mapping[Any, Any]]:
    """Who did it; two queries for a page."""
    if not any(one.name == "initiatedBy" for one in shape.properties):
        return {}
    people, programs = _people(call, _ids(rows, ActorKind.USER)), _programs(call, rows)
    return {"initiatedBy": {row.id: _initiator(row, people, programs) for row in rows}}


@route(
    "GET",
    "auditLogs/directoryAudits",
    needs=access.READ_LOGS,
    returns="Collection(directoryAudit)",
)
def list_audits(call: Call) -> Answer:
    """List what was done, the newest first."""
    tree = _tree(call)
    named = _one_named(tree)
    asked = _asked(call, AUDIT, None if named is not None else tree)
    following = None
    if named is not None:
        try:
            rows: Sequence[Any] = [_event(call, named)]
        except (NotFound, GraphError):
            rows = []
    else:
        place = listing.place_of(call)
        at = None if place is None else int(place[0])
        page = audit_listing.listing(
            call.session,
            call.actor,
            audit_listing.Filters(since=asked.since, until=asked.until),
            older_than=at if asked.falls else None,
            newer_than=None if asked.falls else (at or 0),
            limit=asked.size,
            also=asked.also,
        )
        rows = page.rows if asked.falls else page.rows[::-1]
        following = page.older if asked.falls else page.newer
    value = _shown(rows, asked.shape, _initiators(call, rows, asked.shape))
    return listing.page(
        call,
        AUDIT.set + asked.shape.context(),
        value,
        None if following is None else [following],
    )


def _one_named(tree: Condition | None) -> str | None:
    """The id in `id eq '…'`, which leads to its event at once."""
    if isinstance(tree, Compare) and tree.path.text.lower() == "id" and tree.operator == "eq":
        return str(tree.value.value)
    return None


def _event(call: Call, event_id: str) -> AuditEvent:
    """An event by its id. Raises GraphError (404), Denied, NotFound."""
    found = audit_listing.one(call.session, call.actor, _sequence_of(event_id))
    if _event_id(found) != event_id:
        raise missing(event_id)
    return found


@route(
    "GET",
    "auditLogs/directoryAudits/{event}",
    needs=access.READ_LOGS,
    returns="directoryAudit",
)
def get_audit(call: Call) -> Answer:
    """One event."""
    found = _event(call, call.params["event"])
    shape = listing.shape_of(call, AUDIT, many=False)
    [shown] = _shown([found], shape, _initiators(call, [found], shape))
    context = call.context(f"{AUDIT.set}{shape.context()}/$entity")
    return Answer(body={"@odata.context": context, **shown})


# Sign-ins ----------------------------------------------------------------------------------------


def _names(call: Call, rows: Sequence[Any], shape: Shape) -> dict[str, Mapping[Any, Any]]:
    """What the people are called now; one query for a page."""
    if not any(one.name == "userDisplayName" for one in shape.properties):
        return {}
    people = _people(call, {row.user_id for row in rows if row.user_id is not None})
    return {
        "userDisplayName": {
            row.id: people[row.user_id].display_name if row.user_id in people else row.identity
            for row in rows
        }
    }


@route("GET", "auditLogs/signIns", needs=access.READ_LOGS, returns="Collection(signIn)")
def list_sign_ins(call: Call) -> Answer:
    """List sign-ins of people, the newest first; of programs if signInEventTypes asks for them."""
    asked = _asked(call, SIGN_IN, _tree(call))
    also = list(asked.also)
    if "signineventtypes" not in call.options.get("$filter", "").lower():
        also.append(SignIn.service_principal_id.is_(None))
    place = listing.place_of(call)
    at = None if place is None else UUID(str(place[0]))
    page = sign_in_listing.listing(
        call.session,
        call.actor,
        sign_in_listing.Filters(since=asked.since, until=asked.until),
        older_than=at if asked.falls else None,
        newer_than=None if asked.falls else (at or UUID(int=0)),
        limit=asked.size,
        also=also,
    )
    rows = page.rows if asked.falls else page.rows[::-1]
    following = page.older if asked.falls else page.newer
    return listing.page(
        call,
        SIGN_IN.set + asked.shape.context(),
        _shown(rows, asked.shape, _names(call, rows, asked.shape)),
        None if following is None else [str(following)],
    )


@route("GET", "auditLogs/signIns/{event}", needs=access.READ_LOGS, returns="signIn")
def get_sign_in(call: Call) -> Answer:
    """One sign-in."""
    found = sign_in_listing.one(call.session, call.actor, call.id("event"))
    shape = listing.shape_of(call, SIGN_IN, many=False)
    [shown] = _shown([found], shape, _names(call, [found], shape))
    context = call.context(f"{SIGN_IN.set}{shape.context()}/$entity")
    return Answer(body={"@odata.context": context, **shown})
