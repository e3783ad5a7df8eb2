"""Deleting groups: security groups for good, Microsoft 365 groups restorable for 30 days
(groups-apps-roles.md, section 1).
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, Conflict, NotFound
from b2b.models import (
    AppRoleAssignment,
    DeletedGroup,
    Group,
    Membership,
    OwnedType,
    Owner,
    PrincipalType,
    ServicePrincipal,
    Sponsor,
    SponsorType,
    Tenant,
    User,
    new_id,
)
from b2b.services import audit, groups, permissions
from b2b.services.audit import Activity, Entry
from b2b.services.permissions import Action

RESTORABLE = timedelta(days=30)
_KEPT = ("description", "mail_nickname", "is_unified", "security_enabled", "visibility",
         "membership_rule")  # fmt: skip


def remove(session: Session, actor: Actor, group_id: UUID) -> None:
    """Delete a group; its members keep nothing that they had through it.

    Raises Denied, NotFound, Conflict when it is synchronised.
    """
    audit.lock(session, actor.tenant_id)
    group = groups.managed(session, actor, group_id)
    if group.on_premises_sync_enabled:
        raise Conflict(
            N_("%(name)s comes from the on-premises directory and is changed there."),
            name=group.display_name,
        )
    if group.is_unified:
        session.add(
            DeletedGroup(
                tenant_id=group.tenant_id,
                id=group.id,
                display_name=group.display_name,
                name_key=group.name_key,
                kept=_kept(session, group),
                created_at=group.created_at,
                deleted_at=actor.now,
            )
        )
    for rows in (
        delete(AppRoleAssignment).where(
            AppRoleAssignment.tenant_id == group.tenant_id,
            AppRoleAssignment.principal_id == group.id,
        ),
        delete(Owner).where(Owner.tenant_id == group.tenant_id, Owner.owned_id == group.id),
        delete(Sponsor).where(
            Sponsor.tenant_id == group.tenant_id,
            Sponsor.sponsor_id == group.id,
            Sponsor.sponsor_type == SponsorType.GROUP,
        ),
        delete(Group).where(Group.tenant_id == group.tenant_id, Group.id == group.id),
    ):
        session.execute(rows.execution_options(synchronize_session=False))
    session.flush()
    session.expunge(group)
    audit.record(
        session, actor, Entry(Activity.DELETE_GROUP, "Group", group.id, group.display_name)
    )


def _kept(session: Session, group: Group) -> dict[str, Any]:
    def ids(column: Any, *conditions: Any) -> list[str]:
        return [str(one) for one in session.scalars(select(column).where(*conditions))]

    assigned = session.execute(
        select(AppRoleAssignment.service_principal_id, AppRoleAssignment.app_role_id).where(
            AppRoleAssignment.tenant_id == group.tenant_id,
            AppRoleAssignment.principal_id == group.id,
        )
    )
    return {
        **{name: getattr(group, name) for name in _KEPT},
        "members": ids(
            Membership.user_id,
            Membership.tenant_id == group.tenant_id,
            Membership.group_id == group.id,
        ),
        "owners": ids(
            Owner.user_id, Owner.tenant_id == group.tenant_id, Owner.owned_id == group.id
        ),
        "applications": [[str(row[0]), str(row[1])] for row in assigned],
    }


def get(session: Session, actor: Actor, group_id: UUID) -> DeletedGroup:
    """A deleted group that can be restored. Raises NotFound."""
    found = session.get(DeletedGroup, (actor.tenant_id, group_id))
    if found is None or actor.now - found.deleted_at > RESTORABLE:
        raise NotFound(N_("There is no deleted group with this id."))
    return found


def restore(session: Session, actor: Actor, group_id: UUID) -> Group:
    """Bring a deleted group back with members, owners and applications that still exist.

    Raises Denied, NotFound.
    """
    permissions.require(actor, Action.MANAGE_GROUPS)
    audit.lock(session, actor.tenant_id)
    found = get(session, actor, group_id)
    kept = found.kept
    group = Group(
        tenant_id=found.tenant_id,
        id=found.id,
        display_name=found.display_name,
        name_key=found.name_key,
        created_at=found.created_at,
        **{name: kept[name] for name in _KEPT},
    )
    session.add(group)
    session.delete(found)
    session.flush()
    people = _still_there(session, actor, User, [*kept["members"], *kept["owners"]])
    groups.add(
        session,
        actor.tenant_id,
        [(UUID(one), group.id) for one in kept["members"] if UUID(one) in people],
        actor.now,
    )
    held = [UUID(one) for one in kept["owners"] if UUID(one) in people]
    if held:
        session.execute(
            insert(Owner),
            [
                {
                    "tenant_id": group.tenant_id,
                    "owned_id": group.id,
                    "user_id": one,
                    "owned_type": OwnedType.GROUP,
                }
                for one in held
            ],
        )
    apps = _still_there(session, actor, ServicePrincipal, [row[0] for row in kept["applications"]])
    assigned = [row for row in kept["applications"] if UUID(row[0]) in apps]
    if assigned:
        session.execute(
            insert(AppRoleAssignment),
            [
                {
                    "tenant_id": group.tenant_id,
                    "id": new_id(),
                    "service_principal_id": UUID(application),
                    "principal_id": group.id,
                    "principal_type": PrincipalType.GROUP,
                    "app_role_id": UUID(role),
                    "created_at": actor.now,
                }
                for application, role in assigned
            ],
        )
    audit.record(
        session, actor, Entry(Activity.RESTORE_GROUP, "Group", group.id, group.display_name)
    )
    return group


def _still_there(session: Session, actor: Actor, model: Any, ids: list[str]) -> set[UUID]:
    """Those of *ids* that are in the tenant, asked for in portions that a database takes."""
    found: set[UUID] = set()
    wanted = [UUID(one) for one in dict.fromkeys(ids)]
    for start in range(0, len(wanted), 500):
        found |= set(
            session.scalars(
                select(model.id).where(
                    model.tenant_id == actor.tenant_id,
                    model.id.in_(wanted[start : start + 500]),
                )
            )
        )
    return found


def erase(session: Session, actor: Actor, group_id: UUID) -> None:
    """Delete a deleted group for good. Raises Denied, NotFound."""
    permissions.require(actor, Action.MANAGE_GROUPS)
    audit.lock(session, actor.tenant_id)
    found = get(session, actor, group_id)
    session.delete(found)
    session.flush()
    audit.record(
        session, actor, Entry(Activity.HARD_DELETE_GROUP, "Group", found.id, found.display_name)
    )


def purge(session: Session, now: datetime) -> None:
    """Erase groups of all tenants whose 30 days are over (threats.md, REL-18)."""
    over = session.scalars(
        select(DeletedGroup).where(DeletedGroup.deleted_at < now - RESTORABLE).limit(200)
    ).all()
    for found in over:
        tenant = session.get_one(Tenant, found.tenant_id)
        actor = Actor.system(
            tenant.id, tenant.display_name, tenant.primary_domain, now, label="Upkeep"
        )
        session.delete(found)
        entry = Entry(Activity.HARD_DELETE_GROUP, "Group", found.id, found.display_name)
        audit.record(session, actor, entry)
