"""Who is in what and who owns what, from the side of people (groups-apps-roles.md)."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select

from b2b.models import Group, Membership, OwnedType, Owner, Role, ServicePrincipal, User
from b2b.services import roles, visibility
from b2b.web.graph import listing
from b2b.web.graph.calls import Answer, Call, bad
from b2b.web.graph.odata import parse_select
from b2b.web.graph.resources import KINDS


def require_cast(call: Call, *types: str) -> str | None:
    """The type behind a path such as `…/graph.group`, if there is one. Raises GraphError (400)."""
    if "cast" not in call.params:
        return None
    wanted = call.params["cast"].removeprefix("graph.").lower()
    for one in types:
        if one.lower() == wanted:
            return one
    raise bad(f"{call.params['cast'][:100]!r} is no type of what stands here.", code="BadRequest")


def ids_of_user(
    call: Call, user: User, *, roles: bool = True, security_only: bool = False
) -> list[tuple[str, UUID]]:
    """Groups, and directory roles, that somebody is in: type and id, groups by name."""
    query = (
        select(Group.id)
        .join(
            Membership,
            (Membership.tenant_id == Group.tenant_id) & (Membership.group_id == Group.id),
        )
        .where(Membership.tenant_id == user.tenant_id, Membership.user_id == user.id)
        .order_by(Group.name_key, Group.id)
    )
    if security_only:
        query = query.where(Group.security_enabled)
    found = [("group", one) for one in call.session.scalars(query)]
    if roles and not security_only:
        found += [("directoryRole", UUID(one.value)) for one in _roles(call, user)]
    return found


def _roles(call: Call, user: User) -> Sequence[Role]:
    return sorted(roles.of_user(call.session, user.tenant_id, user.id), key=lambda one: one.name)


def of_user(call: Call, user: User) -> Answer:
    """The page of `memberOf`. Guests who see only themselves get bare ids (section 5)."""
    wanted = require_cast(call, "group", "directoryRole", "administrativeUnit")
    everything = ids_of_user(call, user)
    if wanted is not None:
        everything = [one for one in everything if one[0] == wanted]
    place, top = listing.place_of(call), listing.size_of(call)
    start = 0
    if place is not None:
        known = [str(one) for _, one in everything]
        start = known.index(place[0]) + 1 if place[0] in known else len(known)
    part, more = everything[start : start + top], len(everything) > start + top
    seen = None
    if call.actor.user_id is not None and call.actor.is_guest:
        seen = visibility.of(call.session, call.actor)
    shown: list[dict[str, Any]]
    if seen is not None and not seen.reads_groups:
        shown = [{"@odata.type": f"#microsoft.graph.{kind}", "id": str(one)} for kind, one in part]
    else:
        groups = [one for one in part if one[0] == "group"]
        asked = call.options.get("$select")
        names = None if asked is None else parse_select(asked)
        made = listing.mixed_by_id(call, groups, names=names)
        shown = []
        for kind, one in part:
            if one in made:
                shown.append(made[one])
            elif kind == "directoryRole":
                shown.append(role(one))
    count_of = len(everything) if call.wants_count and call.is_eventual else None
    following = [str(part[-1][1])] if more else None
    return listing.page(call, "directoryObjects", shown, following, count_of)


def role(role_id: UUID) -> dict[str, Any]:
    """A directory role; its id here is that of its template."""
    found = Role(str(role_id))
    if "directoryRole" in KINDS:
        kind = KINDS["directoryRole"]
        made: dict[str, Any] = {"@odata.type": kind.odata_type}
        return made | {one.name: one.value(found) for one in kind.defaults}
    return {
        "@odata.type": "#microsoft.graph.directoryRole",
        "id": str(role_id),
        "displayName": found.display_name,
        "description": None,
        "roleTemplateId": str(role_id),
    }


def owned_by(call: Call, user: User) -> Answer:
    """Groups and service principals that somebody owns, by name."""
    wanted = require_cast(call, "group", "servicePrincipal", "application")
    found: list[tuple[str, UUID]] = []
    models: list[tuple[str, OwnedType, Any]] = [
        ("group", OwnedType.GROUP, Group),
        ("servicePrincipal", OwnedType.SERVICE_PRINCIPAL, ServicePrincipal),
    ]
    for kind, owned_type, model in models:
        if kind not in KINDS or wanted not in (None, kind):
            continue
        rows = call.session.scalars(
            select(model.id)
            .join(Owner, (Owner.tenant_id == model.tenant_id) & (Owner.owned_id == model.id))
            .where(
                Owner.tenant_id == call.actor.tenant_id,
                Owner.user_id == user.id,
                Owner.owned_type == owned_type,
            )
            .order_by(model.name_key, model.id)
            .limit(listing.MOST)
        )
        found += [(kind, one) for one in rows]
    return listing.page(call, "directoryObjects", listing.mixed(call, found))
