"""People of a directory: listing and searching them, and what an admin or they themselves
change.
"""

import functools
import re
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import String, bindparam, delete, insert, select, update
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, Conflict, Invalid, NotFound
from b2b.mail import outbox
from b2b.models import (
    AppRoleAssignment,
    Invitation,
    Membership,
    OutboxMessage,
    Picture,
    Source,
    Tenant,
    User,
    UserFacet,
    UserToken,
    UserType,
    fold,
)
from b2b.models.base import Id, UTCDateTime
from b2b.prepared import Prepared, arguments, parameters
from b2b.services import addresses, audit, permissions, roles, sessions, user_listing
from b2b.services.audit import Activity, Change, Entry
from b2b.services.permissions import Action

RESTORABLE = timedelta(days=30)


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


def _for_change(session: Session, actor: Actor, user_id: UUID, action: Action) -> User:
    permissions.require(actor, action)
    audit.lock(session, actor.tenant_id)
    user = get(session, actor, user_id)
    roles.require_above(actor, user, roles.of_user(session, actor.tenant_id, user.id))
    return user


def block(session: Session, actor: Actor, user_id: UUID) -> User:
    """Stop somebody from signing in, at once: sessions end too. Raises Denied, NotFound,
    Conflict.
    """
    user = _for_change(session, actor, user_id, Action.BLOCK_USER)
    if user.deleted_at is not None:
        raise Conflict(N_("%(name)s is deleted."), name=user.display_name)
    if not user.account_enabled:
        return user
    roles.keep_an_admin(session, user)
    user.account_enabled = False
    refacet(session, user)
    sessions.end_all(session, actor, user)
    audit.record(
        session,
        actor,
        Entry(
            Activity.DISABLE_ACCOUNT,
            "User",
            user.id,
            user.user_principal_name,
            [Change("AccountEnabled", True, False)],
        ),
    )
    return user


def unblock(session: Session, actor: Actor, user_id: UUID) -> User:
    """Let somebody sign in again; ended sessions stay ended. Raises Denied, NotFound, Conflict."""
    user = _for_change(session, actor, user_id, Action.BLOCK_USER)
    if user.deleted_at is not None:
        raise Conflict(N_("%(name)s is deleted."), name=user.display_name)
    if user.account_enabled:
        return user
    user.account_enabled = True
    refacet(session, user)
    audit.record(
        session,
        actor,
        Entry(
            Activity.ENABLE_ACCOUNT,
            "User",
            user.id,
            user.user_principal_name,
            [Change("AccountEnabled", False, True)],
        ),
    )
    return user


def remove(session: Session, actor: Actor, user_id: UUID) -> User:
    """Delete somebody softly: restorable for 30 days, out at once (threats.md, REL-18).

    Sessions end, links and unsent mail die in the same transaction. Raises Denied, NotFound,
    Conflict.
    """
    user = _for_change(session, actor, user_id, Action.DELETE_USER)
    if user.deleted_at is not None:
        return user
    if user.id == actor.user_id:
        raise Conflict(N_("You cannot delete yourself."))
    roles.keep_an_admin(session, user)
    user.deleted_at = actor.now
    refacet(session, user)
    sessions.end_all(session, actor, user)
    invitation = session.execute(
        select(Invitation.id).where(
            Invitation.tenant_id == user.tenant_id, Invitation.user_id == user.id
        )
    ).scalar_one_or_none()
    if invitation is not None:
        outbox.cancel(session, actor.tenant_id, invitation, now=actor.now)
    audit.record(
        session, actor, Entry(Activity.DELETE_USER, "User", user.id, user.user_principal_name)
    )
    return user


def restore(session: Session, actor: Actor, user_id: UUID) -> User:
    """Bring a deleted person back as he was; sessions stay dead.

    Raises Denied, NotFound, and Conflict when somebody else has taken the name meanwhile or the 30
    days are over.
    """
    user = _for_change(session, actor, user_id, Action.DELETE_USER)
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
    refacet(session, user)
    audit.record(
        session, actor, Entry(Activity.RESTORE_USER, "User", user.id, user.user_principal_name)
    )
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
    _record(session, actor, Activity.REVOKE_SESSIONS, user, [change])
    return user


def revoke_session(session: Session, actor: Actor, user_id: UUID, session_id: UUID) -> User:
    """Sign somebody out of one browser. Raises Denied, NotFound, Conflict when it has ended."""
    user = _for_sessions(session, actor, user_id)
    if not sessions.end_one(session, user, session_id):
        raise Conflict(N_("This session has ended already."))
    _record(session, actor, Activity.REVOKE_SESSIONS, user, [], sessionId=str(session_id))
    return user


def _for_sessions(session: Session, actor: Actor, user_id: UUID) -> User:
    if user_id != actor.user_id:
        return _for_change(session, actor, user_id, Action.REVOKE_SESSIONS)
    audit.lock(session, actor.tenant_id)
    return get(session, actor, user_id)


def _record(
    session: Session,
    actor: Actor,
    activity: Activity,
    user: User,
    changes: Sequence[Change] = (),
    **detail: Any,
) -> None:
    entry = Entry(activity, "User", user.id, user.user_principal_name, changes, detail)
    audit.record(session, actor, entry)


# Gone for good ----------------------------------------------------------------------------------

PURGED_AT_ONCE = 200


def erase(session: Session, actor: Actor, user_id: UUID) -> str:
    """Delete a deleted person for good, with everything that was his; returns the name.

    What the audit log says of him stays. Raises Denied, NotFound, Conflict for who is not deleted.
    """
    user = _for_change(session, actor, user_id, Action.DELETE_USER)
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
    _record(session, actor, Activity.HARD_DELETE_USER, user)


_users = User.__table__


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


PROFILE = {
    "display_name": ("DisplayName", 256),
    "given_name": ("GivenName", 64),
    "surname": ("Surname", 64),
    "company_name": ("CompanyName", 64),
    "department": ("Department", 128),
    "job_title": ("JobTitle", 128),
    "mobile_phone": ("MobilePhone", 64),
    "preferred_language": ("PreferredLanguage", 16),
}
"""What a person may correct about himself, with Graph's name and greatest length (users.md, 2)."""
MOST_OTHER_MAILS = 10
_COUNTRY = re.compile(r"[A-Z]{2}")


_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def profile_value(name: str, given: str | None) -> str | None:
    """What was typed for a property of PROFILE, trimmed; None when empty. Raises Invalid(name)."""
    _, longest = PROFILE[name]
    value = (given or "").strip() or None
    if value is not None and len(value) > longest:
        raise Invalid(name, N_("At most %(longest)s characters."), longest=longest)
    if value is not None and _CONTROLS.search(value):
        raise Invalid(name, N_("Control characters are not allowed here."))
    if name == "display_name" and value is None:
        raise Invalid(name, N_("Enter a name."))
    return value


def stated_value(name: str, stated: str | None) -> str:
    """What a sign-in elsewhere states for a property of PROFILE, made to fit (INV-1)."""
    _, longest = PROFILE[name]
    return " ".join(_CONTROLS.sub(" ", stated or "").split())[:longest].strip()


def update_profile(session: Session, actor: Actor, user_id: UUID, **values: str | None) -> User:
    """Change profile properties of oneself, or of others with the permission.

    *values*: names of PROFILE; empty text clears, except the display name. Raises Invalid(field),
    Denied, NotFound.
    """
    if user_id == actor.user_id:
        audit.lock(session, actor.tenant_id)
        user = get(session, actor, user_id)
    else:
        user = _for_change(session, actor, user_id, Action.UPDATE_USER)
    changes, before = [], user.display_name
    for name, given in values.items():
        title, _ = PROFILE[name]
        value = profile_value(name, given)
        if getattr(user, name) != value:
            changes.append(Change(title, getattr(user, name), value))
            setattr(user, name, value)
    if changes:
        rename(session, user, before)
        audit.record(
            session,
            actor,
            Entry(Activity.UPDATE_USER, "User", user.id, user.user_principal_name, changes),
        )
    return user


def update_user(
    session: Session,
    actor: Actor,
    user_id: UUID,
    *,
    usage_location: str | None,
    other_mails: Sequence[str],
    show_in_address_list: bool,
    user_type: UserType,
    **profile: str | None,
) -> User:
    """Change what an administrator may change about somebody (users.md, 2), in one audit event.

    *profile* as in `update_profile`; *usage_location* is ISO 3166's two letters; *other_mails* are
    further addresses. The user type changes nothing else (users.md, 8). What synchronisation
    brings is changed at its origin. Raises Denied, NotFound, Invalid(field), Conflict.
    """
    user = _for_change(session, actor, user_id, Action.UPDATE_USER)
    if user.deleted_at is not None:
        raise Conflict(N_("%(name)s is deleted."), name=user.display_name)
    if user.on_premises_sync_enabled:
        raise Conflict(
            N_("%(name)s comes from the on-premises directory and is changed there."),
            name=user.display_name,
        )
    before = user.display_name
    wanted: dict[str, tuple[str, Any]] = {
        name: (PROFILE[name][0], profile_value(name, given)) for name, given in profile.items()
    }
    wanted["usage_location"] = ("UsageLocation", _country(usage_location))
    wanted["other_mails"] = ("OtherMails", _further_addresses(other_mails))
    wanted["show_in_address_list"] = ("ShowInAddressList", show_in_address_list)
    wanted["user_type"] = ("UserType", user_type)
    if user.show_in_address_list is None and show_in_address_list:
        del wanted["show_in_address_list"]  # unset means shown (users.md, 2)
    changes = []
    for name, (title, value) in wanted.items():
        old = getattr(user, name)
        if old != value:
            changes.append(Change(title, old, value))
            setattr(user, name, value)
    if changes:
        refacet(session, user)
        rename(session, user, before)
        _record(session, actor, Activity.UPDATE_USER, user, changes)
    return user


def _country(typed: str | None) -> str | None:
    code = (typed or "").strip().upper()
    if code and not _COUNTRY.fullmatch(code):
        raise Invalid("usage_location", N_("Enter a country as two letters, such as KR."))
    return code or None


def _further_addresses(typed: Sequence[str]) -> list[str]:
    found = {}
    for text in typed:
        address = addresses.parse(text, field="other_mails", rules="rfc")
        found[address.key] = address.wire
    if len(found) > MOST_OTHER_MAILS:
        raise Invalid("other_mails", N_("At most %(most)s addresses."), most=MOST_OTHER_MAILS)
    return list(found.values())


def mark_profile_reviewed(session: Session, actor: Actor, user_id: UUID) -> None:
    """Note that a guest has seen what his sign-in filled in: the page is offered only once."""
    get(session, actor, user_id).profile_reviewed_at = actor.now


def rename(session: Session, user: User, before: str) -> None:
    """Bring keys and search words in line with a changed name; *before* is the old one."""
    if user.display_name == before:
        return
    user.name_key = fold(user.display_name)
    user_listing.reindex(session, user, before)
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
