"""Directory roles: who holds one, who may give one, and the last administrator (threats.md,
ADM-2).
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import bindparam, delete, func, insert, select
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, Conflict, Denied, NotFound
from b2b.models import ActorKind, DirectoryRoleAssignment, Role, User
from b2b.models.base import Id
from b2b.prepared import Prepared
from b2b.services import audit, permissions, sessions
from b2b.services.audit import Activity, Change, Entry
from b2b.services.permissions import Action


class GuestWarning(Conflict):
    """A guest is about to get a role: it is asked once more, with what it means."""


_OF_USER = Prepared(
    select(DirectoryRoleAssignment.role).where(
        DirectoryRoleAssignment.tenant_id == bindparam("tenant_id", type_=Id),
        DirectoryRoleAssignment.user_id == bindparam("user_id", type_=Id),
    )
)


def of_user(session: Session, tenant_id: UUID, user_id: UUID) -> frozenset[Role]:
    """Directory roles that somebody holds."""
    rows = _OF_USER.within(session, tenant_id=tenant_id, user_id=user_id)
    return frozenset([row.role for row in rows])


def of_users(session: Session, tenant_id: UUID, user_ids: Sequence[UUID]) -> frozenset[UUID]:
    """Those of *user_ids* who hold any directory role."""
    return frozenset(
        session.scalars(
            select(DirectoryRoleAssignment.user_id).where(
                DirectoryRoleAssignment.tenant_id == tenant_id,
                DirectoryRoleAssignment.user_id.in_(list(user_ids)),
            )
        )
    )


def require_above(actor: Actor, user: User, held: frozenset[Role]) -> None:
    """Raise Denied when *user* holds a role and *actor* is no Global Administrator: nobody acts on
    roles above his own. A program needs the permission to give roles.
    """
    if actor.kind is ActorKind.APPLICATION and permissions.allows(actor, Action.ASSIGN_ROLE):
        return
    if held and Role.GLOBAL_ADMINISTRATOR not in actor.roles:
        raise Denied(
            N_("%(name)s holds a directory role; only a Global Administrator may do this."),
            name=user.display_name,
        )


def keep_an_admin(session: Session, user: User) -> None:
    """Raise Conflict when *user* is the last Global Administrator who can sign in.

    Ask it behind the tenant's lock (`audit.lock`), so that two who remove each other at once leave
    one.
    """
    if Role.GLOBAL_ADMINISTRATOR not in of_user(session, user.tenant_id, user.id):
        return
    others = session.execute(
        select(func.count())
        .select_from(DirectoryRoleAssignment)
        .join(
            User,
            (User.tenant_id == DirectoryRoleAssignment.tenant_id)
            & (User.id == DirectoryRoleAssignment.user_id),
        )
        .where(
            DirectoryRoleAssignment.tenant_id == user.tenant_id,
            DirectoryRoleAssignment.role == Role.GLOBAL_ADMINISTRATOR,
            User.id != user.id,
            User.account_enabled,
            User.deleted_at.is_(None),
        )
    ).scalar_one()
    if not others:
        raise Conflict(
            N_("%(name)s is the last Global Administrator; name another one first."),
            name=user.display_name,
        )


def _for_change(session: Session, actor: Actor, user_id: UUID) -> User:
    permissions.require(actor, Action.ASSIGN_ROLE)
    audit.lock(session, actor.tenant_id)
    # What the cookie said may be over by now: whoever was demoted a moment ago promotes nobody.
    if actor.user_id is not None and Role.GLOBAL_ADMINISTRATOR not in of_user(
        session, actor.tenant_id, actor.user_id
    ):
        raise Denied(
            N_("This needs the role %(role)s."), role=Role.GLOBAL_ADMINISTRATOR.display_name
        )
    user = session.get(User, (actor.tenant_id, user_id), populate_existing=True)
    if user is None:
        raise NotFound(N_("There is nobody here with this id."))
    return user


def grant(
    session: Session, actor: Actor, user_id: UUID, role: Role, *, guest_is_meant: bool = False
) -> User:
    """Give somebody a directory role; his sessions end, so that he signs in anew (SES-1).

    A guest gets one only when *guest_is_meant*. Raises Denied, NotFound, GuestWarning, and Conflict
    for people who are deleted, blocked or have not accepted yet, and for a role that is held.
    """
    user = _for_change(session, actor, user_id)
    if not user.may_sign_in:
        raise Conflict(N_("%(name)s may not sign in, and gets no role."), name=user.display_name)
    if user.is_pending:
        raise Conflict(
            N_("%(name)s has not accepted the invitation yet, and gets no role."),
            name=user.display_name,
        )
    if role in of_user(session, actor.tenant_id, user.id):
        raise Conflict(
            N_("%(name)s is %(role)s already."), name=user.display_name, role=role.display_name
        )
    if user.is_guest and not guest_is_meant:
        raise GuestWarning(
            N_("%(name)s is a guest. Say that this is meant."), name=user.display_name
        )
    session.execute(
        insert(DirectoryRoleAssignment),
        {
            "tenant_id": actor.tenant_id,
            "user_id": user.id,
            "role": role,
            "assigned_at": actor.now,
        },
    )
    _changed(session, actor, user, Activity.ADD_ROLE, Change("Role", None, role.display_name))
    return user


def revoke(session: Session, actor: Actor, user_id: UUID, role: Role) -> User:
    """Take a directory role away; sessions end. Raises Denied, NotFound, and Conflict when it is
    not held or is the last Global Administrator's.
    """
    user = _for_change(session, actor, user_id)
    if role not in of_user(session, actor.tenant_id, user.id):
        raise Conflict(
            N_("%(name)s is not %(role)s."), name=user.display_name, role=role.display_name
        )
    if role is Role.GLOBAL_ADMINISTRATOR:
        keep_an_admin(session, user)
    session.execute(
        delete(DirectoryRoleAssignment).where(
            DirectoryRoleAssignment.tenant_id == actor.tenant_id,
            DirectoryRoleAssignment.user_id == user.id,
            DirectoryRoleAssignment.role == role,
        )
    )
    _changed(session, actor, user, Activity.REMOVE_ROLE, Change("Role", role.display_name, None))
    return user


def _changed(
    session: Session, actor: Actor, user: User, activity: Activity, change: Change
) -> None:
    sessions.end_all(session, actor, user)
    audit.record(
        session, actor, Entry(activity, "User", user.id, user.user_principal_name, [change])
    )
