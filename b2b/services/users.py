"""People of a directory: finding one, making one, and whether and where he is signed in."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, Conflict, NotFound
from b2b.models import (
    Membership,
    Source,
    User,
    UserToken,
    UserType,
    fold,
)
from b2b.services import audit, permissions, roles, sessions, user_listing
from b2b.services.audit import Activity, Change, Entry
from b2b.services.permissions import Action


def refacet(session: Session, user: User) -> None:
    """Bring `user.facet` in line with the columns that it folds."""
    user.facet = user_listing.facet(
        user.user_type,
        user.external_user_state,
        user.source,
        enabled=user.account_enabled,
        synced=bool(user.on_premises_sync_enabled),
        deleted=user.deleted_at is not None,
    )
    user_listing.ensure_facets(session, user.tenant_id, {user.facet})


def get(session: Session, actor: Actor, user_id: UUID) -> User:
    """Somebody of the actor's tenant, deleted or not; others answer NotFound."""
    user = session.get(User, (actor.tenant_id, user_id))
    if user is None:
        raise NotFound(N_("There is nobody here with this id."))
    return user


def named(session: Session, actor: Actor, text: str) -> User | None:
    """Whom an id, a sign-in name or a mail address means; None for nobody, or for several."""
    try:
        return session.get(User, (actor.tenant_id, UUID(text)))
    except ValueError:
        key = fold(text)
    for column in (User.upn_key, User.invited_key, User.mail_key):
        # By its partial index, then among the deleted.
        found = session.scalars(
            select(User)
            .where(User.tenant_id == actor.tenant_id, column == key, User.deleted_at.is_(None))
            .limit(2)
        ).all()
        if len(found) == 1:
            return found[0]
    gone = session.scalars(
        select(User).where(User.tenant_id == actor.tenant_id, User.mail_key == key).limit(2)
    ).all()
    return gone[0] if len(gone) == 1 else None


def names(
    session: Session, actor: Actor, user_ids: Iterable[UUID | None]
) -> dict[UUID | None, str]:
    """Display names of those of *user_ids* who are in the tenant, by one query."""
    wanted = {user_id for user_id in user_ids if user_id is not None}
    rows = session.execute(
        select(User.id, User.display_name).where(
            User.tenant_id == actor.tenant_id, User.id.in_(wanted)
        )
    )
    return {row.id: row.display_name for row in rows}


def read(session: Session, actor: Actor, user_id: UUID) -> User:
    """As `get`, for somebody who looks: needs the permission to read the directory."""
    if user_id != actor.user_id:
        permissions.require(actor, Action.READ_DIRECTORY)
    return get(session, actor, user_id)


def for_change(session: Session, actor: Actor, user_id: UUID, action: Action) -> User:
    """Somebody whom *actor* may do this to, behind the tenant's lock. Raises Denied, NotFound."""
    permissions.require(actor, action)
    audit.lock(session, actor.tenant_id)
    user = get(session, actor, user_id)
    roles.require_above(actor, user, roles.of_user(session, actor.tenant_id, user.id))
    return user


def record(
    session: Session,
    actor: Actor,
    activity: Activity,
    user: User,
    changes: Sequence[Change] = (),
    **detail: Any,
) -> None:
    """Audit what was done to somebody."""
    entry = Entry(activity, "User", user.id, user.user_principal_name, changes, detail)
    audit.record(session, actor, entry)


def block(session: Session, actor: Actor, user_id: UUID) -> User:
    """Stop somebody from signing in, at once: sessions end too. Raises Denied, NotFound,
    Conflict.
    """
    user = for_change(session, actor, user_id, Action.BLOCK_USER)
    if user.deleted_at is not None:
        raise Conflict(N_("%(name)s is deleted."), name=user.display_name)
    if not user.account_enabled:
        return user
    roles.keep_an_admin(session, user)
    user.account_enabled = False
    refacet(session, user)
    sessions.end_all(session, actor, user)
    change = Change("AccountEnabled", True, False)
    record(session, actor, Activity.DISABLE_ACCOUNT, user, [change])
    return user


def unblock(session: Session, actor: Actor, user_id: UUID) -> User:
    """Let somebody sign in again; ended sessions stay ended. Raises Denied, NotFound, Conflict."""
    user = for_change(session, actor, user_id, Action.BLOCK_USER)
    if user.deleted_at is not None:
        raise Conflict(N_("%(name)s is deleted."), name=user.display_name)
    if user.account_enabled:
        return user
    user.account_enabled = True
    refacet(session, user)
    change = Change("AccountEnabled", False, True)
    record(session, actor, Activity.ENABLE_ACCOUNT, user, [change])
    return user


def revoke_sessions(session: Session, actor: Actor, user_id: UUID) -> User:
    """Sign somebody out everywhere; he may sign in again (users.md, 5). One's own: always allowed.

    A guest's session in the home organisation goes on. Raises Denied, NotFound.
    """
    user = _for_sessions(session, actor, user_id)
    before = user.sessions_valid_from
    sessions.end_all(session, actor, user)
    change = Change(
        "StsRefreshTokensValidFrom",
        before.isoformat() if before else None,
        actor.now.isoformat(),
    )
    record(session, actor, Activity.REVOKE_SESSIONS, user, [change])
    return user


def revoke_session(session: Session, actor: Actor, user_id: UUID, session_id: UUID) -> User:
    """Sign somebody out of one browser. Raises Denied, NotFound, Conflict when it has ended."""
    user = _for_sessions(session, actor, user_id)
    if not sessions.end_one(session, user, session_id):
        raise Conflict(N_("This session has ended already."))
    record(session, actor, Activity.REVOKE_SESSIONS, user, [], sessionId=str(session_id))
    return user


def _for_sessions(session: Session, actor: Actor, user_id: UUID) -> User:
    if user_id != actor.user_id:
        return for_change(session, actor, user_id, Action.REVOKE_SESSIONS)
    audit.lock(session, actor.tenant_id)
    return get(session, actor, user_id)


def rename(session: Session, user: User, before: str) -> None:
    """Bring keys and search words in line with a changed name; *before* is the old one."""
    if user.display_name == before:
        return
    user_listing.reindex(session, user, before)
    rekey(session, user, before)


def rekey(session: Session, user: User, before: str) -> None:
    """Bring the sort keys in line with a changed name; *before* is the old one."""
    if user.display_name == before:
        return
    user.name_key = fold(user.display_name)
    session.execute(
        update(Membership)
        .where(Membership.tenant_id == user.tenant_id, Membership.user_id == user.id)
        .values(name_key=user.name_key)
    )


def create_member(
    session: Session,
    tenant_id: UUID,
    *,
    user_id: UUID,
    user_principal_name: str,
    display_name: str,
    now: datetime,
    user_type: UserType = UserType.MEMBER,
    source: Source = Source.THIS_DIRECTORY,
    **columns: Any,
) -> User:
    """Put a person whose home is here into the directory. Raises Conflict when the name is
    taken.
    """
    key = fold(user_principal_name)
    taken = session.execute(
        select(User.id).where(
            User.tenant_id == tenant_id, User.upn_key == key, User.deleted_at.is_(None)
        )
    ).scalar_one_or_none()
    if taken is not None:
        raise Conflict(N_("%(name)s is taken."), name=user_principal_name)
    mail = columns.pop("mail", None)
    user = User(
        tenant_id=tenant_id,
        id=user_id,
        user_principal_name=user_principal_name,
        upn_key=key,
        display_name=display_name,
        name_key=fold(display_name),
        mail=mail,
        mail_key=fold(mail) if mail else None,
        mail_nickname=user_principal_name.partition("@")[0],
        user_type=user_type,
        source=source,
        created_at=now,
        account_enabled=columns.pop("account_enabled", True),
        **columns,
    )
    refacet(session, user)
    session.add(user)
    session.flush()
    session.execute(
        insert(UserToken),
        user_listing.token_rows(tenant_id, user_id, display_name, mail, user_principal_name),
    )
    return user
