"""Deleting people, bringing them back within 30 days, and erasing them for good."""

import functools
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import String, bindparam, delete, select
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, Conflict
from b2b.mail import outbox
from b2b.models import (
    AppRoleAssignment,
    Invitation,
    OutboxMessage,
    Picture,
    Tenant,
    User,
    UserFacet,
    UserToken,
)
from b2b.models.base import Id, UTCDateTime
from b2b.prepared import Prepared, arguments, parameters
from b2b.services import permissions, roles, sessions, user_listing, users
from b2b.services.audit import Activity
from b2b.services.permissions import Action

RESTORABLE = timedelta(days=30)
PURGED_AT_ONCE = 200
_users = User.__table__


def remove(session: Session, actor: Actor, user_id: UUID) -> User:
    """Delete somebody softly: restorable for 30 days, out at once (threats.md, REL-18).

    Sessions end, links and unsent mail die in the same transaction. Raises Denied, NotFound,
    Conflict.
    """
    user = users.for_change(session, actor, user_id, Action.DELETE_USER)
    if user.deleted_at is not None:
        return user
    if user.id == actor.user_id:
        raise Conflict(N_("You cannot delete yourself."))
    roles.keep_an_admin(session, user)
    user.deleted_at = actor.now
    users.refacet(session, user)
    sessions.end_all(session, actor, user)
    invitation = session.execute(
        select(Invitation.id).where(
            Invitation.tenant_id == user.tenant_id, Invitation.user_id == user.id
        )
    ).scalar_one_or_none()
    if invitation is not None:
        outbox.cancel(session, actor.tenant_id, invitation, now=actor.now)
    users.record(session, actor, Activity.DELETE_USER, user)
    return user


def restore(session: Session, actor: Actor, user_id: UUID) -> User:
    """Bring a deleted person back as he was; sessions stay dead.

    Raises Denied, NotFound, and Conflict when somebody else has taken the name meanwhile or the 30
    days are over.
    """
    user = users.for_change(session, actor, user_id, Action.DELETE_USER)
    if user.deleted_at is None:
        return user
    if actor.now - user.deleted_at > RESTORABLE:
        raise Conflict(N_("%(name)s was deleted over 30 days ago."), name=user.display_name)
    taken = session.execute(
        select(User.id).where(
            User.tenant_id == user.tenant_id,
            User.deleted_at.is_(None),
            (User.upn_key == user.upn_key)
            | ((User.invited_key == user.invited_key) & User.invited_key.is_not(None)),
        )
    ).first()
    if taken is not None:
        raise Conflict(
            N_(
                "Somebody else has this address now. Delete that person first, "
                "or leave %(name)s deleted."
            ),
            name=user.display_name,
        )
    user.deleted_at = None
    users.refacet(session, user)
    users.record(session, actor, Activity.RESTORE_USER, user)
    return user


def erase(session: Session, actor: Actor, user_id: UUID) -> str:
    """Delete a deleted person for good, with everything that was his; returns the name.

    What the audit log says of him stays. Raises Denied, NotFound, Conflict for who is not deleted.
    """
    user = users.for_change(session, actor, user_id, Action.DELETE_USER)
    if user.deleted_at is None:
        raise Conflict(N_("%(name)s is not deleted."), name=user.display_name)
    name = user.display_name
    _erase(session, actor, user)
    return name


def purge(session: Session, now: datetime) -> int:
    """Erase people of all tenants whose 30 days are over (threats.md, REL-18); at most
    PURGED_AT_ONCE, returns how many.
    """
    facets = session.execute(select(UserFacet.tenant_id, UserFacet.facet)).all()
    gone: list[User] = []
    for tenant_id, number in facets:
        if user_listing.is_deleted(number) and len(gone) < PURGED_AT_ONCE:
            gone += session.scalars(
                select(User)
                .where(
                    User.tenant_id == tenant_id,
                    User.facet == number,
                    User.deleted_at < now - RESTORABLE,
                )
                .limit(PURGED_AT_ONCE - len(gone))
            )
    for user in gone:
        tenant = session.get_one(Tenant, user.tenant_id)
        actor = Actor.system(
            tenant.id, tenant.display_name, tenant.primary_domain, now, label="Upkeep"
        )
        _erase(session, actor, user)
    return len(gone)


def _erase(session: Session, actor: Actor, user: User) -> None:
    invited = select(Invitation.id).where(
        Invitation.tenant_id == user.tenant_id, Invitation.user_id == user.id
    )
    # What hangs on the person by no foreign key; the rest cascades.
    for rows in (
        delete(OutboxMessage).where(
            OutboxMessage.tenant_id == user.tenant_id, OutboxMessage.about_id.in_(invited)
        ),
        delete(AppRoleAssignment).where(
            AppRoleAssignment.tenant_id == user.tenant_id,
            AppRoleAssignment.principal_id == user.id,
        ),
        delete(Picture).where(Picture.tenant_id == user.tenant_id, Picture.owner_id == user.id),
        delete(UserToken).where(
            UserToken.tenant_id == user.tenant_id,
            UserToken.token.in_(
                user_listing.words_of(user.display_name, user.mail, user.user_principal_name)
            ),
            UserToken.user_id == user.id,
        ),
        delete(User).where(User.tenant_id == user.tenant_id, User.id == user.id),
    ):
        session.execute(rows.execution_options(synchronize_session=False))
    session.expunge(user)
    users.record(session, actor, Activity.HARD_DELETE_USER, user)


@functools.lru_cache(maxsize=64)
def _deleted(count: int) -> Prepared:
    return Prepared(
        select(_users.c.id, _users.c.display_name, _users.c.mail_key, _users.c.deleted_at).where(
            _users.c.tenant_id == bindparam("tenant_id", type_=Id),
            _users.c.mail_key.in_(parameters("key", count, String)),
            _users.c.deleted_at > bindparam("since", type_=UTCDateTime),
        )
    )


def restorable(session: Session, actor: Actor, mail_keys: Sequence[str]) -> dict[str, Any]:
    """People with these folded addresses whom *actor* could restore, by address (decisions.md, … of
    a soft-deleted guest).

    Each has id, display_name, mail_key and deleted_at; the one deleted last counts. Nobody for
    those who may not restore.
    """
    if not mail_keys or not permissions.allows(actor, Action.DELETE_USER):
        return {}
    found = _deleted(len(mail_keys)).all(
        session.connection(),
        tenant_id=actor.tenant_id,
        since=actor.now - RESTORABLE,
        **arguments("key", mail_keys),
    )
    return {row.mail_key: row for row in sorted(found, key=lambda row: row.deleted_at)}
