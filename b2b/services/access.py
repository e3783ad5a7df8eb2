"""What somebody is in and may open, with where it comes from and who could change it."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.models import AppRoleAssignment, Group, Membership, OwnedType, ServicePrincipal, User
from b2b.services import groups, owners


@dataclass(frozen=True)
class InGroup:
    """A group that somebody is in."""

    group: Group
    removable: bool
    """By hand, and by this actor."""


@dataclass(frozen=True)
class MayOpen:
    """An application that is assigned, directly or through a group."""

    application: ServicePrincipal
    assignment_id: UUID
    through: Group | None
    removable: bool
    """Assigned to the person himself, and this actor may end it."""
    usable: bool
    """Not switched off, nor for members only where the person is a guest."""


def of_user(session: Session, actor: Actor, user: User) -> tuple[list[InGroup], list[MayOpen]]:
    """Groups and applications of *user*, by name; four queries."""
    held = groups.of_user(session, actor.tenant_id, user.id)
    others = owners.beyond(session, actor, OwnedType.GROUP, [group.id for group in held])
    in_groups = [InGroup(group, group.takes_guests and group.id not in others) for group in held]
    mine = select(Membership.group_id).where(
        Membership.tenant_id == actor.tenant_id, Membership.user_id == user.id
    )
    rows = session.execute(
        select(ServicePrincipal, AppRoleAssignment, Group)
        .join(
            AppRoleAssignment,
            (AppRoleAssignment.tenant_id == ServicePrincipal.tenant_id)
            & (AppRoleAssignment.service_principal_id == ServicePrincipal.id),
        )
        .outerjoin(
            Group,
            (Group.tenant_id == AppRoleAssignment.tenant_id)
            & (Group.id == AppRoleAssignment.principal_id),
        )
        .where(
            AppRoleAssignment.tenant_id == actor.tenant_id,
            (AppRoleAssignment.principal_id == user.id) | AppRoleAssignment.principal_id.in_(mine),
        )
        .order_by(ServicePrincipal.name_key, ServicePrincipal.id, AppRoleAssignment.id)
    ).all()
    beyond = owners.beyond(session, actor, OwnedType.SERVICE_PRINCIPAL, [row[0].id for row in rows])
    return in_groups, [
        MayOpen(
            application,
            assignment.id,
            group,
            group is None and application.id not in beyond,
            application.account_enabled and not (application.members_only and user.is_guest),
        )
        for application, assignment, group in rows
    ]


def addable(
    offered: Sequence[Group | ServicePrincipal], held: Sequence[UUID]
) -> list[Group | ServicePrincipal]:
    """Those of *offered* that are not among *held* yet."""
    return [one for one in offered if one.id not in held]
