"""Whom somebody reports to."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, Conflict, NotFound
from b2b.models import User
from b2b.services import owners, users
from b2b.services.audit import Activity, Change
from b2b.services.permissions import Action

_DEEPEST = 100


def of_users(session: Session, actor: Actor, user_ids: Collection[UUID]) -> dict[UUID, UUID]:
    """The managers of people who have one that is not deleted, by their own ids."""
    boss = select(User.id).where(User.tenant_id == actor.tenant_id, User.deleted_at.is_(None))
    rows = session.execute(
        select(User.id, User.manager_id).where(
            User.tenant_id == actor.tenant_id,
            User.id.in_(list(user_ids)),
            User.manager_id.in_(boss),
        )
    )
    return {row.id: row.manager_id for row in rows}


def put(session: Session, actor: Actor, user_id: UUID, manager_id: UUID) -> User:
    """Name somebody's manager. Raises Denied, NotFound, Conflict for circles."""
    user = users.for_change(session, actor, user_id, Action.UPDATE_USER)
    manager = owners.somebody(session, actor, manager_id)
    above: UUID | None = manager.id
    for _ in range(_DEEPEST):
        if above == user.id:
            raise Conflict(N_("Nobody is his own manager, nor that of his managers."))
        if above is None:
            break
        above = session.scalars(
            select(User.manager_id).where(User.tenant_id == actor.tenant_id, User.id == above)
        ).one_or_none()
    if user.manager_id != manager.id:
        before = None if user.manager_id is None else str(user.manager_id)
        user.manager_id = manager.id
        change = Change("Manager", before, str(manager.id))
        users.record(session, actor, Activity.SET_MANAGER, user, [change])
    return user


def remove(session: Session, actor: Actor, user_id: UUID) -> User:
    """Let somebody have no manager. Raises Denied, NotFound when there is none."""
    user = users.for_change(session, actor, user_id, Action.UPDATE_USER)
    if user.manager_id is None:
        raise NotFound(N_("%(name)s has no manager."), name=user.display_name)
    change = Change("Manager", str(user.manager_id), None)
    user.manager_id = None
    users.record(session, actor, Activity.REMOVE_MANAGER, user, [change])
    return user
