"""Sessions in the database: an opaque cookie's hash leads to a proven identity and where it
acts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    LargeBinary,
    String,
    bindparam,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.orm import Session as DatabaseSession

from b2b import keys
from b2b.actor import Actor, ExternalIdentity
from b2b.models import (
    Application,
    DirectoryRoleAssignment,
    Session,
    SessionApplication,
    Tenant,
    User,
    UserType,
    new_id,
)
from b2b.models.base import Id
from b2b.prepared import Prepared

# threats.md, 3.
MEMBER_IDLE = timedelta(hours=8)
MEMBER_LIFE = timedelta(days=14)
GUEST_LIFE = timedelta(hours=24)
SEEN_EVERY = timedelta(minutes=5)
"""How old `seen_at` may grow before a request writes it again."""
_MOST_FAREWELLS = 20
CLOCK_LEEWAY = timedelta(minutes=2)
"""How far clocks may lie apart, and longer than any request takes (threats.md, REL-11)."""


_person, _home = User.__table__.alias("person"), User.__table__.alias("home")
_kept, _tenant = Session.__table__, Tenant.__table__
_held = DirectoryRoleAssignment.__table__
# Built once: making a statement costs more than running it, and every request runs this one.
_FIND = Prepared(
    select(
        *(column for column in _kept.c if column.name not in ("ip_address", "user_agent")),
        _person.c.display_name,
        _person.c.user_principal_name,
        _person.c.mail,
        _person.c.user_type,
        _person.c.account_enabled,
        _person.c.deleted_at,
        _person.c.sessions_valid_from,
        _person.c.preferred_language,
        _tenant.c.display_name.label("tenant_name"),
        _tenant.c.primary_domain,
        _home.c.account_enabled.label("home_enabled"),
        _home.c.deleted_at.label("home_deleted_at"),
        _home.c.sessions_valid_from.label("home_valid_from"),
        _held.c.role,
    )
    .select_from(_kept)
    .outerjoin(
        _person, (_person.c.tenant_id == _kept.c.tenant_id) & (_person.c.id == _kept.c.user_id)
    )
    .outerjoin(_tenant, _tenant.c.id == _kept.c.tenant_id)
    .outerjoin(
        _home,
        (_home.c.tenant_id == _kept.c.home_tenant_id) & (_home.c.id == _kept.c.home_user_id),
    )
    .outerjoin(
        _held, (_held.c.tenant_id == _kept.c.tenant_id) & (_held.c.user_id == _kept.c.user_id)
    )
    .where(_kept.c.id_hash == bindparam("id_hash", type_=LargeBinary))
)

_INSERT = Prepared(insert(Session))
_VALID_FROM = Prepared(
    select(_person.c.sessions_valid_from).where(
        _person.c.sessions_valid_from.is_not(None),
        (
            (_person.c.tenant_id == bindparam("tenant_id", type_=Id))
            & (_person.c.id == bindparam("user_id", type_=Id))
        )
        | (
            (_person.c.tenant_id == bindparam("home_tenant_id", type_=Id))
            & (_person.c.id == bindparam("home_user_id", type_=Id))
        ),
    )
)
_END = Prepared(delete(Session).where(_kept.c.id_hash == bindparam("id_hash", type_=LargeBinary)))
_END_THERE = Prepared(
    delete(Session).where(
        _kept.c.tenant_id == bindparam("tenant_id", type_=Id),
        _kept.c.user_id == bindparam("user_id", type_=Id),
    )
)
_END_OF = Prepared(
    delete(Session).where(
        _kept.c.issuer == bindparam("issuer", type_=String),
        _kept.c.subject == bindparam("subject", type_=String),
    )
)


@dataclass(frozen=True)
class Live:
    """A session that was found and is in force: who signed in, and as whom he acts, if he does."""

    id: UUID
    id_hash: bytes
    identity: ExternalIdentity
    actor: Actor | None
    created_at: datetime
    signed_in_at: datetime
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
    continuing: "Live | None" = None,
) -> str:
    """Make a session and return the secret for its cookie; the one it replaces ends.

    *continuing* is the session in which the person proved who he is, if that was not just now: its
    id goes on, by which applications know the sign-in.

    A new secret at every sign-in and at every change of rights defeats fixation (threats.md,
    SES-1).
    """
    if replacing is not None:
        end(session, replacing)
    secret = keys.new_secret()
    at_home = tenant_id is not None and tenant_id == identity.home_tenant_id
    row = {
        "id_hash": keys.digest(secret),
        "id": new_id() if continuing is None else continuing.id,
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
        "created_at": _begins(session, tenant_id, user_id, identity, now),
        "signed_in_at": now if continuing is None else continuing.signed_in_at,
        "seen_at": now,
        "expires_at": now + (MEMBER_LIFE if at_home else GUEST_LIFE),
        "idle_seconds": int(MEMBER_IDLE.total_seconds()) if at_home else None,
        "ip_address": ip_address,
        "user_agent": (user_agent or "")[:256] or None,
    }
    _INSERT.write(session.connection(), [row])
    return secret


def _begins(
    session: DatabaseSession,
    tenant_id: UUID | None,
    user_id: UUID | None,
    identity: ExternalIdentity,
    now: datetime,
) -> datetime:
    """From when a session counts: from now, but after a clock was set back from when the person's
    sessions were last ended, for it is none of those (threats.md, REL-11).

    Not within the leeway: then the request had begun when they were ended, and ends with them.
    """
    found = _VALID_FROM.all(
        session.connection(),
        tenant_id=tenant_id,
        user_id=user_id,
        home_tenant_id=identity.home_tenant_id,
        home_user_id=identity.home_user_id,
    )
    ended = max((row.sessions_valid_from for row in found), default=now)
    return ended if ended - now > CLOCK_LEEWAY else now


def find(
    connection: Connection,
    secret: str,
    *,
    now: datetime,
    correlation_id: UUID,
    ip_address: str | None = None,
    user_agent: str | None = None,
) -> Live | None:
    """The session behind a cookie, or None if it is unknown, over, or its person may not sign in.

    One query, a row for each directory role; *connection* needs no transaction for it.
    """
    rows = _FIND.all(connection, id_hash=keys.digest(secret))
    if not rows:
        return None
    kept = rows[0]
    if kept.expires_at <= now:
        return None
    if kept.idle_seconds and kept.seen_at + timedelta(seconds=kept.idle_seconds) <= now:
        return None
    if kept.home_user_id is not None and (
        not kept.home_enabled
        or kept.home_deleted_at is not None
        or (kept.home_valid_from is not None and kept.created_at < kept.home_valid_from)
    ):
        return None
    actor = None
    if kept.user_id is not None and kept.tenant_id is not None:
        if (
            not kept.account_enabled
            or kept.deleted_at is not None
            or (kept.sessions_valid_from is not None and kept.created_at < kept.sessions_valid_from)
        ):
            return None
        actor = Actor(
            tenant_id=kept.tenant_id,
            tenant_name=kept.tenant_name,
            tenant_domain=kept.primary_domain,
            now=now,
            user_id=kept.user_id,
            display_name=kept.display_name,
            user_principal_name=kept.user_principal_name,
            mail=kept.mail,
            is_guest=kept.user_type is UserType.GUEST,
            roles=frozenset(row.role for row in rows if row.role is not None),
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
        kept.signed_in_at or kept.created_at,
        kept.seen_at,
        kept.preferred_language or identity.preferred_language,
    )


def seen(session: DatabaseSession, id_hash: bytes, now: datetime) -> None:
    """Note that a session is in use."""
    session.execute(update(Session).where(Session.id_hash == id_hash).values(seen_at=now))


def end(session: DatabaseSession, id_hash: bytes) -> None:
    """Sign one browser out."""
    _END.write(session.connection(), [{"id_hash": id_hash}])


def end_all(session: DatabaseSession, actor: Actor, user: User) -> None:
    """Sign a person out everywhere in the tenant, and wherever this is his home account."""
    user.sessions_valid_from = actor.now
    connection = session.connection()
    _END_THERE.write(connection, [{"tenant_id": user.tenant_id, "user_id": user.id}])
    _END_OF.write(connection, [{"issuer": str(user.tenant_id), "subject": str(user.id)}])


def of_user(session: DatabaseSession, user: User, now: datetime) -> Sequence[Session]:
    """Where somebody is signed in to the tenant now, or wherever this is his home account; newest
    first.
    """
    found = session.scalars(
        select(Session).where(_of(user), Session.expires_at > now).order_by(Session.seen_at.desc())
    )
    return [
        one
        for one in found
        if one.idle_seconds is None or one.seen_at + timedelta(seconds=one.idle_seconds) > now
    ]


def end_one(session: DatabaseSession, user: User, session_id: UUID) -> bool:
    """Sign one of somebody's browsers out; False when that had ended."""
    result = session.execute(delete(Session).where(_of(user), Session.id == session_id))
    return bool(result.rowcount)  # type: ignore[attr-defined]


def _of(user: User) -> ColumnElement[bool]:
    here: ColumnElement[bool] = (Session.tenant_id == user.tenant_id) & (Session.user_id == user.id)
    return here | ((Session.issuer == str(user.tenant_id)) & (Session.subject == str(user.id)))


# Applications that hear of the end ----------------------------------------------------------------


@dataclass(frozen=True)
class Farewell:
    """An application that a session which has ended signed in to, and where it wants to hear so."""

    tenant_id: UUID
    session_id: UUID
    application: str
    logout_url: str


def note_application(
    session: DatabaseSession, session_id: UUID, app_id: UUID, tenant_id: UUID, now: datetime
) -> None:
    """Remember that a session signed in to an application that wants to hear of its end."""
    key = (session_id, tenant_id, app_id)
    found = session.get(SessionApplication, key)
    if found is None:
        session.add(
            SessionApplication(session_id=session_id, tenant_id=tenant_id, app_id=app_id, at=now)
        )
    else:
        found.at = now
    session.flush()


def farewells(session: DatabaseSession, session_ids: Sequence[UUID]) -> list[Farewell]:
    """Which applications sessions that have ended were signed in to, the newest first."""
    if not session_ids:
        return []
    rows = session.execute(
        select(
            SessionApplication.tenant_id,
            SessionApplication.session_id,
            Application.display_name,
            Application.logout_url,
        )
        .join(Application, Application.app_id == SessionApplication.app_id)
        .where(SessionApplication.session_id.in_(session_ids), Application.logout_url.is_not(None))
        .order_by(SessionApplication.at.desc(), SessionApplication.app_id)
        .limit(_MOST_FAREWELLS)
    )
    return [
        Farewell(row.tenant_id, row.session_id, row.display_name, row.logout_url or "")
        for row in rows
    ]


def purge(session: DatabaseSession, now: datetime) -> int:
    """Delete what is over; returns how many sessions."""
    session.execute(delete(SessionApplication).where(SessionApplication.at <= now - MEMBER_LIFE))
    result = session.execute(delete(Session).where(Session.expires_at <= now))
    return result.rowcount  # type: ignore[attr-defined, no-any-return]
