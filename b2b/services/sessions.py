"""Sessions in the database: an opaque cookie's hash leads to a proven identity and where it
acts.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session as DatabaseSession

from b2b import keys
from b2b.actor import Actor, ExternalIdentity
from b2b.models import DirectoryRoleAssignment, Session, Tenant, User, new_id

# threats.md, 3.
MEMBER_IDLE = timedelta(hours=8)
MEMBER_LIFE = timedelta(days=14)
GUEST_LIFE = timedelta(hours=24)
SEEN_EVERY = timedelta(minutes=5)
"""How old `seen_at` may grow before a request writes it again."""


@dataclass(frozen=True)
class Live:
    """A session that was found and is in force: who signed in, and as whom he acts, if he does."""

    id: UUID
    id_hash: bytes
    identity: ExternalIdentity
    actor: Actor | None
    created_at: datetime
    seen_at: datetime
    language: str | None


def start(
    session: DatabaseSession,
    identity: ExternalIdentity,
    *,
    now: datetime,
    tenant_id: UUID | None = None,
    user_id: UUID | None = None,
    ip_address: str | None = None,
    user_agent: str | None = None,
    replacing: bytes | None = None,
) -> str:
    """Make a session and return the secret for its cookie; the one it replaces ends.

    A new secret at every sign-in and at every change of rights defeats fixation (threats.md,
    SES-1).
    """
    if replacing is not None:
        end(session, replacing)
    secret = keys.new_secret()
    at_home = tenant_id is not None and tenant_id == identity.home_tenant_id
    session.execute(
        insert(Session),
        {
            "id_hash": keys.digest(secret),
            "id": new_id(),
            "provider": identity.provider,
            "issuer": identity.issuer,
            "subject": identity.subject,
            "label": identity.label,
            "proven": sorted(identity.proven),
            "profile": {
                "display_name": identity.display_name,
                "given_name": identity.given_name,
                "surname": identity.surname,
                "preferred_language": identity.preferred_language,
            },
            "home_tenant_id": identity.home_tenant_id,
            "home_user_id": identity.home_user_id,
            "tenant_id": tenant_id,
            "user_id": user_id,
            "created_at": now,
            "seen_at": now,
            "expires_at": now + (MEMBER_LIFE if at_home else GUEST_LIFE),
            "idle_seconds": int(MEMBER_IDLE.total_seconds()) if at_home else None,
            "ip_address": ip_address,
            "user_agent": (user_agent or "")[:256] or None,
        },
    )
    return secret


def find(
    session: DatabaseSession,
    secret: str,
    *,
    now: datetime,
    correlation_id: UUID,
    ip_address: str | None = None,
    user_agent: str | None = None,
) -> Live | None:
    """The session behind a cookie, or None if it is unknown, over, or its person may not sign in.

    One query for session, person, tenant and home account; one for directory roles.
    """
    home = User.__table__.alias("home")
    row = session.execute(
        select(
            Session,
            User.display_name,
            User.user_principal_name,
            User.mail,
            User.user_type,
            User.account_enabled,
            User.deleted_at,
            User.sessions_valid_from,
            User.preferred_language,
            Tenant.display_name.label("tenant_name"),
            Tenant.primary_domain,
            home.c.account_enabled.label("home_enabled"),
            home.c.deleted_at.label("home_deleted_at"),
            home.c.sessions_valid_from.label("home_valid_from"),
        )
        .outerjoin(User, (User.tenant_id == Session.tenant_id) & (User.id == Session.user_id))
        .outerjoin(Tenant, Tenant.id == Session.tenant_id)
        .outerjoin(
            home,
            (home.c.tenant_id == Session.home_tenant_id) & (home.c.id == Session.home_user_id),
        )
        .where(Session.id_hash == keys.digest(secret))
    ).one_or_none()
    if row is None:
        return None
    kept: Session = row.Session
    if kept.expires_at <= now:
        return None
    if kept.idle_seconds and kept.seen_at + timedelta(seconds=kept.idle_seconds) <= now:
        return None
    if kept.home_user_id is not None and (
        not row.home_enabled
        or row.home_deleted_at is not None
        or (row.home_valid_from is not None and kept.created_at < row.home_valid_from)
    ):
        return None
    actor = None
    if kept.user_id is not None and kept.tenant_id is not None:
        if (
            not row.account_enabled
            or row.deleted_at is not None
            or (row.sessions_valid_from is not None and kept.created_at < row.sessions_valid_from)
        ):
            return None
        actor = Actor(
            tenant_id=kept.tenant_id,
            tenant_name=row.tenant_name,
            tenant_domain=row.primary_domain,
            now=now,
            user_id=kept.user_id,
            display_name=row.display_name,
            user_principal_name=row.user_principal_name,
            mail=row.mail,
            is_guest=row.user_type == "Guest",
            roles=frozenset(
                session.scalars(
                    select(DirectoryRoleAssignment.role).where(
                        DirectoryRoleAssignment.tenant_id == kept.tenant_id,
                        DirectoryRoleAssignment.user_id == kept.user_id,
                    )
                )
            ),
            correlation_id=correlation_id,
            ip_address=ip_address,
            user_agent=user_agent,
        )
    identity = ExternalIdentity(
        provider=kept.provider,
        issuer=kept.issuer,
        subject=kept.subject,
        label=kept.label,
        proven=frozenset(kept.proven),
        display_name=kept.profile.get("display_name"),
        given_name=kept.profile.get("given_name"),
        surname=kept.profile.get("surname"),
        preferred_language=kept.profile.get("preferred_language"),
        home_tenant_id=kept.home_tenant_id,
        home_user_id=kept.home_user_id,
    )
    return Live(
        kept.id,
        kept.id_hash,
        identity,
        actor,
        kept.created_at,
        kept.seen_at,
        row.preferred_language or identity.preferred_language,
    )


def seen(session: DatabaseSession, id_hash: bytes, now: datetime) -> None:
    """Note that a session is in use."""
    session.execute(update(Session).where(Session.id_hash == id_hash).values(seen_at=now))


def end(session: DatabaseSession, id_hash: bytes) -> None:
    """Sign one browser out."""
    session.execute(delete(Session).where(Session.id_hash == id_hash))


def end_all(session: DatabaseSession, actor: Actor, user: User) -> None:
    """Sign a person out everywhere in the tenant, and wherever this is his home account."""
    user.sessions_valid_from = actor.now
    session.execute(
        delete(Session).where(Session.tenant_id == user.tenant_id, Session.user_id == user.id)
    )
    session.execute(
        delete(Session).where(
            Session.issuer == str(user.tenant_id), Session.subject == str(user.id)
        )
    )


def purge(session: DatabaseSession, now: datetime) -> int:
    """Delete what is over; returns how many."""
    result = session.execute(delete(Session).where(Session.expires_at <= now))
    return result.rowcount  # type: ignore[attr-defined, no-any-return]
