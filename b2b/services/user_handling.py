"""Several people at once: blocked, deleted, restored, invited again or put into a group, all of
them or nobody.
"""

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, Conflict, Denied, Invalid, NotAll, NotFound, Refused
from b2b.models import Group, User
from b2b.services import (
    audit,
    deleted_users,
    groups,
    invitation_handling,
    permissions,
    policies,
    users,
)
from b2b.services.permissions import Action

AT_ONCE = 50


class Together(enum.StrEnum):
    """What can be done with several people."""

    BLOCK = "block"
    UNBLOCK = "unblock"
    DELETE = "delete"
    RESTORE = "restore"
    RESEND = "resend"
    ADD_TO_GROUP = "group"


_ACTIONS = {
    Together.BLOCK: Action.BLOCK_USER,
    Together.UNBLOCK: Action.BLOCK_USER,
    Together.DELETE: Action.DELETE_USER,
    Together.RESTORE: Action.DELETE_USER,
    Together.RESEND: Action.MANAGE_INVITATIONS,
}
_DO: dict[Together, Callable[[Session, Actor, UUID], Any]] = {
    Together.BLOCK: users.block,
    Together.UNBLOCK: users.unblock,
    Together.DELETE: deleted_users.remove,
    Together.RESTORE: deleted_users.restore,
    Together.RESEND: invitation_handling.resend,
}


@dataclass(frozen=True)
class Verdict:
    """One person, and why it cannot be done for him, if it cannot."""

    user: User
    refusal: Refused | None = None


def may(session: Session, actor: Actor, together: Together) -> bool:
    """Whether *actor* is offered this at all."""
    if together is Together.ADD_TO_GROUP:
        return bool(groups.offered(session, actor, limit=1))
    if together is Together.RESEND and not policies.may_invite(policies.of(session, actor), actor):
        return False
    return permissions.allows(actor, _ACTIONS[together])


def chosen(
    session: Session,
    actor: Actor,
    together: Together,
    user_ids: Sequence[UUID],
    *,
    group_id: UUID | None = None,
) -> list[User]:
    """The people, in the order of *user_ids*; changes nothing.

    Raises Denied when the actor may not do this to anybody, NotFound when one of them is not in
    this tenant (threats.md, ADM-3), Invalid when they are more than AT_ONCE.
    """
    if together is not Together.ADD_TO_GROUP:
        permissions.require(actor, _ACTIONS[together])
    elif group_id is not None:
        groups.managed(session, actor, group_id)
    wanted = list(dict.fromkeys(user_ids))
    if len(wanted) > AT_ONCE:
        raise Invalid("id", N_("At most %(most)s people at once."), most=AT_ONCE)
    found = {
        user.id: user
        for user in session.scalars(
            select(User).where(User.tenant_id == actor.tenant_id, User.id.in_(wanted))
        )
    }
    if len(found) != len(wanted):
        raise NotFound(N_("There is nobody here with this id."))
    return [found[user_id] for user_id in wanted]


def handle(
    session: Session,
    actor: Actor,
    together: Together,
    user_ids: Sequence[UUID],
    *,
    group_id: UUID | None = None,
) -> list[User]:
    """Do it for each of them or for nobody, in this transaction, which the caller must give up
    when this raises. Adding to a group passes over who is in it.

    Raises as `chosen`, Throttled, and NotAll when it cannot be done for each.
    """
    audit.lock(session, actor.tenant_id)
    people = chosen(session, actor, together, user_ids, group_id=group_id)
    group = None
    held: frozenset[UUID] = frozenset()
    if together is Together.ADD_TO_GROUP:
        if group_id is None:
            raise Invalid("group", N_("Choose a group."))
        group = groups.get(session, actor, group_id)
        held = groups.held_by(session, actor, group, [user.id for user in people])
    verdicts = []
    for user in people:
        try:
            if group is None:
                _DO[together](session, actor, user.id)
            elif user.id not in held:
                _add(session, actor, group, user)
            verdicts.append(Verdict(user))
        except (Conflict, Denied, Invalid, NotFound) as error:
            verdicts.append(Verdict(user, error))
    if any(verdict.refusal is not None for verdict in verdicts):
        raise NotAll(verdicts)
    return people


def _add(session: Session, actor: Actor, group: Group, user: User) -> None:
    if user.deleted_at is not None:
        raise Conflict(N_("%(name)s is deleted."), name=user.display_name)
    groups.add_member(session, actor, group.id, user.id)
