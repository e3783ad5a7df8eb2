"""Making organisations: a tenant with its domain, policy and first admin."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from b2b import keys
from b2b.actor import Actor
from b2b.errors import N_, Conflict, Invalid, NotFound
from b2b.models import (
    AuditSequence,
    DirectoryRoleAssignment,
    Domain,
    Role,
    SetupLink,
    Tenant,
    TenantKind,
    TenantPolicy,
    User,
    new_id,
)
from b2b.services import addresses, audit, passwords, users
from b2b.services.audit import Activity, Change, Entry

SETUP_LIFE = timedelta(hours=1)
_SETUP_LOCK = 7229002
CONSUMER_DOMAIN = "personal.invalid"
"""The consumer directory has no domain of its own: its people sign in with addresses anywhere."""


def create(
    session: Session,
    *,
    display_name: str,
    domain: str,
    now: datetime,
    kind: TenantKind = TenantKind.ORGANISATION,
    tenant_id: UUID | None = None,
    **columns: Any,
) -> Actor:
    """Make a tenant with a verified initial domain; returns the system acting in it.

    Raises Invalid("domain"), and Conflict when another tenant has verified the domain.
    """
    name = domain if kind is TenantKind.CONSUMER else addresses.parse_domain(domain)
    taken = session.execute(
        select(Domain.tenant_id).where(Domain.name == name, Domain.verified_at.is_not(None))
    ).scalar_one_or_none()
    if taken is not None:
        raise Conflict(N_("%(domain)s is verified by another organisation."), domain=name)
    tenant = Tenant(
        id=tenant_id or uuid4(),
        kind=kind,
        display_name=display_name.strip(),
        initial_domain=name,
        primary_domain=columns.pop("primary_domain", name),
        created_at=now,
        **{"branding": {}, **columns},
    )
    session.add(tenant)
    session.flush()
    session.add_all(
        [
            Domain(tenant_id=tenant.id, name=name, verified_at=now),
            TenantPolicy(tenant_id=tenant.id),
            AuditSequence(tenant_id=tenant.id, last=0),
        ]
    )
    session.flush()
    actor = Actor.system(tenant.id, tenant.display_name, tenant.primary_domain, now, label="Set-up")
    audit.record(
        session, actor, Entry(Activity.CREATE_TENANT, "Tenant", tenant.id, tenant.display_name)
    )
    return actor


def verify_domain(session: Session, actor: Actor, domain: str) -> None:
    """Take *domain* as the tenant's own; the operator vouches for it. Raises Invalid, Conflict."""
    name = addresses.parse_domain(domain)
    owner = session.execute(
        select(Domain.tenant_id).where(Domain.name == name, Domain.verified_at.is_not(None))
    ).scalar_one_or_none()
    if owner is not None and owner != actor.tenant_id:
        raise Conflict(N_("%(domain)s is verified by another organisation."), domain=name)
    if owner is None:
        session.merge(Domain(tenant_id=actor.tenant_id, name=name, verified_at=actor.now))


def any_organisation(session: Session) -> bool:
    """Whether this installation has been set up."""
    return bool(
        session.execute(
            select(func.count()).select_from(Tenant).where(Tenant.kind == TenantKind.ORGANISATION)
        ).scalar_one()
    )


def is_first(session: Session) -> bool:
    """Whether nothing is set up here; if so, nobody else can set it up until commit (BOOT-2).

    *session* is in a transaction that may write: on SQLite that alone keeps the others out.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(_SETUP_LOCK)))
    return not any_organisation(session)


def ensure_consumer_directory(session: Session, now: datetime) -> UUID:
    """The directory of personal accounts, made when it is not there."""
    found = session.execute(
        select(Tenant.id).where(Tenant.kind == TenantKind.CONSUMER)
    ).scalar_one_or_none()
    if found is not None:
        return found
    return create(
        session,
        display_name="Personal accounts",
        domain=CONSUMER_DOMAIN,
        now=now,
        kind=TenantKind.CONSUMER,
    ).tenant_id


def add_person(
    session: Session,
    actor: Actor,
    *,
    user_principal_name: str,
    display_name: str,
    password_hash: str | None = None,
    roles: tuple[Role, ...] = (),
    **columns: Any,
) -> User:
    """Put somebody whose home is here into the directory, with roles. Raises Conflict."""
    user = users.create_member(
        session,
        actor.tenant_id,
        user_id=new_id(),
        user_principal_name=user_principal_name,
        display_name=display_name,
        now=actor.now,
        **columns,
    )
    if password_hash is not None:
        passwords.put(session, actor, user, password_hash)
    entries = [Entry(Activity.ADD_USER, "User", user.id, user.user_principal_name)]
    for role in roles:
        session.execute(
            insert(DirectoryRoleAssignment),
            {
                "tenant_id": actor.tenant_id,
                "user_id": user.id,
                "role": role,
                "assigned_at": actor.now,
            },
        )
        entries.append(
            Entry(
                Activity.ADD_ROLE,
                "User",
                user.id,
                user.user_principal_name,
                [Change("Role", None, role.display_name)],
            )
        )
    audit.record(session, actor, *entries)
    return user


def start_setup(
    session: Session,
    *,
    organisation: str,
    domain: str,
    admin_name: str,
    admin_address: str,
    now: datetime,
) -> str:
    """Make the first organisation and return the secret of its admin's one-time set-up link.

    The admin has no password until the link is used; it works for SETUP_LIFE (threats.md, BOOT-1).
    Raises Invalid(field), Conflict.
    """
    if not is_first(session):
        # Read at the terminal alone, so not marked for translation.
        raise Conflict("This installation is set up already; administrators add organisations.")
    if not organisation.strip():
        raise Invalid("organisation", N_("Enter the name of the organisation."))
    address = addresses.parse(admin_address, field="admin")
    actor = create(session, display_name=organisation, domain=domain, now=now)
    if address.domain != addresses.parse_domain(domain):
        raise Invalid(
            "admin",
            N_("The admin’s sign-in name must lie in the organisation’s domain, %(domain)s."),
            domain=domain,
        )
    ensure_consumer_directory(session, now)
    user = add_person(
        session,
        actor,
        user_principal_name=address.wire,
        display_name=admin_name.strip() or address.local,
        mail=address.wire,
        roles=(Role.GLOBAL_ADMINISTRATOR,),
    )
    secret = keys.new_secret()
    session.add(
        SetupLink(
            secret_hash=keys.digest(secret),
            tenant_id=actor.tenant_id,
            user_id=user.id,
            expires_at=now + SETUP_LIFE,
        )
    )
    return secret


def setup_person(session: Session, secret: str, *, now: datetime) -> tuple[User, Tenant]:
    """Whom a set-up link is for. Raises NotFound for unknown, used and expired ones alike."""
    row = session.execute(
        select(User, Tenant)
        .join(SetupLink, (SetupLink.tenant_id == User.tenant_id) & (SetupLink.user_id == User.id))
        .join(Tenant, Tenant.id == User.tenant_id)
        .where(
            SetupLink.secret_hash == keys.digest(secret),
            SetupLink.used_at.is_(None),
            SetupLink.expires_at > now,
        )
    ).one_or_none()
    if row is None:
        raise NotFound(N_("This set-up link was used, has expired, or was never made."))
    return row[0], row[1]


def finish_setup(session: Session, secret: str, password_hash: str, *, now: datetime) -> User:
    """Give the first admin the chosen password; one of several at once wins (threats.md, BOOT-2).

    Raises NotFound as `setup_person`.
    """
    user, tenant = setup_person(session, secret, now=now)
    won = session.execute(
        update(SetupLink)
        .where(SetupLink.secret_hash == keys.digest(secret), SetupLink.used_at.is_(None))
        .values(used_at=now)
        .execution_options(synchronize_session=False)
    )
    if not won.rowcount:  # type: ignore[attr-defined]
        raise NotFound(N_("This set-up link was used, has expired, or was never made."))
    actor = Actor.system(tenant.id, tenant.display_name, tenant.primary_domain, now, label="Set-up")
    passwords.put(session, actor, user, password_hash)
    audit.record(
        session, actor, Entry(Activity.SET_PASSWORD, "User", user.id, user.user_principal_name)
    )
    return user
