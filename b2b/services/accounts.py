"""What a person does with his own sign-in: where it is in use, signing it out, its password."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, delete, select, tuple_, update
from sqlalchemy.orm import Session as DatabaseSession

from b2b.actor import Actor, ExternalIdentity
from b2b.errors import N_, Conflict, Invalid
from b2b.models import Identity, Password, Session, Tenant, User
from b2b.services import audit, passwords
from b2b.services.audit import Activity, Entry

MOST_SESSIONS = 50


def sessions_of(
    session: DatabaseSession, identity: ExternalIdentity, now: datetime
) -> Sequence[tuple[Session, str | None]]:
    """Browsers in which this identity is signed in, in whatever organisation, with the
    organisation's name; the one used last first, at most MOST_SESSIONS.
    """
    rows = session.execute(
        select(Session, Tenant.display_name)
        .outerjoin(Tenant, Tenant.id == Session.tenant_id)
        .where(*_of(identity), Session.expires_at > now)
        .order_by(Session.seen_at.desc(), Session.id)
        .limit(MOST_SESSIONS)
    )
    return [(kept, name) for kept, name in rows if not _is_idle(kept, now)]


def _is_idle(kept: Session, now: datetime) -> bool:
    return (
        kept.idle_seconds is not None and kept.seen_at + timedelta(seconds=kept.idle_seconds) <= now
    )


def _of(identity: ExternalIdentity) -> tuple[Any, Any]:
    return Session.issuer == identity.issuer, Session.subject == identity.subject


def sign_out_of(session: DatabaseSession, identity: ExternalIdentity, session_id: UUID) -> None:
    """End one of one's own sessions. Raises Conflict when it has ended already."""
    ended = session.execute(delete(Session).where(*_of(identity), Session.id == session_id))
    if not ended.rowcount:  # type: ignore[attr-defined]
        raise Conflict(N_("This session has ended already."))


def sign_out_everywhere(session: DatabaseSession, actor: Actor, identity: ExternalIdentity) -> None:
    """End every session of this identity, at home and in every organisation (threats.md, SES-1).

    Also what was started before and is not written yet: `sessions_valid_from` rises wherever the
    identity is somebody. Audited in the actor's tenant.
    """
    _end_all(session, identity, actor.now)
    audit.record(
        session,
        actor,
        Entry(Activity.REVOKE_SESSIONS, "User", actor.user_id, actor.user_principal_name),
    )


def _end_all(session: DatabaseSession, identity: ExternalIdentity, now: datetime) -> None:
    session.execute(delete(Session).where(*_of(identity)))
    bound = select(Identity.tenant_id, Identity.user_id).where(
        Identity.issuer == identity.issuer, Identity.subject == identity.subject
    )
    here: ColumnElement[bool] = tuple_(User.tenant_id, User.id).in_(bound)
    if identity.home_tenant_id is not None:
        here = here | (
            (User.tenant_id == identity.home_tenant_id) & (User.id == identity.home_user_id)
        )
    session.execute(
        update(User)
        .where(here)
        .values(sessions_valid_from=now)
        .execution_options(synchronize_session=False)
    )


# The password ------------------------------------------------------------------------------------


def own_password(session: DatabaseSession, identity: ExternalIdentity) -> Password | None:
    """The password of this identity, if this installation checks it."""
    if identity.home_tenant_id is None:
        return None
    return session.get(Password, (identity.home_tenant_id, identity.home_user_id))


def home_actor(session: DatabaseSession, identity: ExternalIdentity, actor: Actor) -> Actor:
    """*actor*'s person acting where the account lies, such as the directory of personal accounts.

    Raises Conflict for an identity without an account here.
    """
    if identity.home_tenant_id is None or identity.home_user_id is None:
        raise Conflict(N_("You sign in with mailed codes; there is no password to change."))
    tenant = session.get_one(Tenant, identity.home_tenant_id)
    user = session.get_one(User, (identity.home_tenant_id, identity.home_user_id))
    return Actor(
        tenant_id=tenant.id,
        tenant_name=tenant.display_name,
        tenant_domain=tenant.primary_domain,
        now=actor.now,
        user_id=user.id,
        display_name=user.display_name,
        user_principal_name=user.user_principal_name,
        mail=user.mail,
        is_guest=user.is_guest,
        correlation_id=actor.correlation_id,
        ip_address=actor.ip_address,
        user_agent=actor.user_agent,
    )


def check_new_password(new: str, again: str, current: str, identity: ExternalIdentity) -> None:
    """Raise Invalid for a new password that may not be chosen, or was not typed twice alike."""
    passwords.check_rules(new, field="password", near=identity.label)
    if new == current:
        raise Invalid("password", N_("This is the password you have. Choose another one."))
    if new != again:
        raise Invalid("password_again", N_("The two passwords are not alike."))


def change_password(
    session: DatabaseSession, actor: Actor, identity: ExternalIdentity, new_hash: str
) -> None:
    """Store the hash of a new password, once the current one was checked, and end every session
    of the identity: whoever had the old one is out (threats.md, SES-1).

    The caller starts a new session for the browser at hand. Raises Conflict.
    """
    at_home = home_actor(session, identity, actor)
    user = session.get_one(User, (at_home.tenant_id, at_home.user_id))
    passwords.put(session, at_home, user, new_hash)
    _end_all(session, identity, actor.now)
    audit.record(
        session,
        at_home,
        Entry(Activity.CHANGE_PASSWORD, "User", user.id, user.user_principal_name),
    )
    session.flush()
