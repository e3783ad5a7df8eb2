"""What `$expand` leads to: the first twenty of each relationship, read for a whole page at once
(users.md, section 6).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import func, select

from b2b.models import Application, Group, Membership, Owner, ServicePrincipal, User
from b2b.services import managers, sponsors
from b2b.web.graph import listing, seeing
from b2b.web.graph.applications import APPLICATION
from b2b.web.graph.calls import Call
from b2b.web.graph.groups import GROUP
from b2b.web.graph.people import USER, hidden_of_others
from b2b.web.graph.resources import Navigation
from b2b.web.graph.service_principals import PRINCIPAL

Objects = Mapping[UUID, Sequence[Mapping[str, Any]]]


def _objects(call: Call, related: Mapping[UUID, Sequence[tuple[str, UUID]]]) -> Objects:
    """What (type, id) of each row are."""
    everything = list({one: None for held in related.values() for one in held})
    made = listing.mixed_by_id(call, everything, hidden={"user": hidden_of_others(call)})
    return {
        row: [made[member] for _, member in held if member in made] for row, held in related.items()
    }


def _manager(call: Call, ids: Collection[UUID], _: int) -> Objects:
    found = managers.of_users(call.session, call.actor, ids)
    return _objects(call, {one: [("user", boss)] for one, boss in found.items()})


def _sponsors(call: Call, ids: Collection[UUID], most: int) -> Objects:
    found = sponsors.of_users(call.session, call.actor, ids)
    return _objects(
        call,
        {
            one: [(str(kind).lower(), who) for kind, who in held][:most]
            for one, held in found.items()
        },
    )


def _first(
    query: Callable[[Call, Collection[UUID]], tuple[Any, Any, Any]], kind: str
) -> Callable[[Call, Collection[UUID], int], Objects]:
    """The first so many of each row, numbered by the database; *query* gives the column of the row,
    that of what is related, and both in a select.
    """

    def load(call: Call, ids: Collection[UUID], most: int) -> Objects:
        row, related, chosen = query(call, list(ids))
        number = func.row_number().over(partition_by=row, order_by=related).label("number")
        numbered = chosen.with_only_columns(
            row.label("row_id"), related.label("related_id"), number
        ).subquery()
        found: dict[UUID, list[tuple[str, UUID]]] = {}
        for line in call.session.execute(
            select(numbered.c.row_id, numbered.c.related_id)
            .where(numbered.c.number <= most)
            .order_by(numbered.c.row_id, numbered.c.number)
        ):
            found.setdefault(line.row_id, []).append((kind, line.related_id))
        return _objects(call, found)

    return load


def _member_of(call: Call, ids: Collection[UUID]) -> tuple[Any, Any, Any]:
    chosen = select(Membership.user_id, Membership.group_id).where(
        Membership.tenant_id == call.actor.tenant_id, Membership.user_id.in_(ids)
    )
    return Membership.user_id, Membership.group_id, chosen


def _reports(call: Call, ids: Collection[UUID]) -> tuple[Any, Any, Any]:
    chosen = select(User.manager_id, User.id).where(
        User.tenant_id == call.actor.tenant_id,
        User.manager_id.in_(ids),
        User.deleted_at.is_(None),
    )
    return User.manager_id, User.id, chosen


def _there(column: Any, model: Any) -> Any:
    """People of a relationship who are not deleted."""
    return (User.tenant_id == model.tenant_id) & (User.id == column) & User.deleted_at.is_(None)


def _members(call: Call, ids: Collection[UUID]) -> tuple[Any, Any, Any]:
    chosen = (
        select(Membership.group_id, Membership.user_id)
        .join(User, _there(Membership.user_id, Membership))
        .join(Group, (Group.tenant_id == Membership.tenant_id) & (Group.id == Membership.group_id))
        .where(
            Membership.tenant_id == call.actor.tenant_id,
            Membership.group_id.in_(ids),
            # Hidden members are asked for by their own address, which asks who may.
            Group.visibility.is_distinct_from("HiddenMembership"),
        )
    )
    return Membership.group_id, Membership.user_id, chosen


def _owners(call: Call, ids: Collection[UUID]) -> tuple[Any, Any, Any]:
    chosen = (
        select(Owner.owned_id, Owner.user_id)
        .join(User, _there(Owner.user_id, Owner))
        .where(Owner.tenant_id == call.actor.tenant_id, Owner.owned_id.in_(ids))
    )
    return Owner.owned_id, Owner.user_id, chosen


def _principal_owners(call: Call, ids: Collection[UUID]) -> tuple[Any, Any, Any]:
    seeing.require_directory(call)
    return _owners(call, ids)


def _application_owners(call: Call, ids: Collection[UUID]) -> tuple[Any, Any, Any]:
    """Those of its service principal."""
    seeing.require_directory(call)
    chosen = (
        select(Application.id, Owner.user_id)
        .join(
            ServicePrincipal,
            (ServicePrincipal.tenant_id == Application.tenant_id)
            & (ServicePrincipal.app_id == Application.app_id),
        )
        .join(
            Owner,
            (Owner.tenant_id == ServicePrincipal.tenant_id)
            & (Owner.owned_id == ServicePrincipal.id),
        )
        .join(User, _there(Owner.user_id, Owner))
        .where(Application.tenant_id == call.actor.tenant_id, Application.id.in_(ids))
    )
    return Application.id, Owner.user_id, chosen


for _kind, _navigation in (
    (USER, Navigation("manager", "directoryObject", False, _manager)),
    (USER, Navigation("directReports", "directoryObject", True, _first(_reports, "user"))),
    (USER, Navigation("memberOf", "directoryObject", True, _first(_member_of, "group"))),
    (USER, Navigation("transitiveMemberOf", "directoryObject", True, _first(_member_of, "group"))),
    (USER, Navigation("sponsors", "directoryObject", True, _sponsors)),
    (GROUP, Navigation("members", "directoryObject", True, _first(_members, "user"))),
    (GROUP, Navigation("owners", "directoryObject", True, _first(_owners, "user"))),
    (
        APPLICATION,
        Navigation("owners", "directoryObject", True, _first(_application_owners, "user")),
    ),
    (PRINCIPAL, Navigation("owners", "directoryObject", True, _first(_principal_owners, "user"))),
):
    _kind.navigations[_navigation.name] = _navigation
