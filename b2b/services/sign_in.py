"""Signing in: which way an address takes, checking what is typed, and one plain identity at the
end.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, literal_column, select, update
from sqlalchemy.orm import Session

from b2b.actor import Actor, ExternalIdentity
from b2b.errors import N_, Denied, Invalid
from b2b.models import (
    Domain,
    Identity,
    Provider,
    Source,
    Tenant,
    TenantKind,
    User,
    new_id,
)
from b2b.models.base import Id
from b2b.prepared import Prepared
from b2b.services import addresses, attempts, audit, passwords, profiles, sign_in_log, users
from b2b.services.addresses import Address
from b2b.services.audit import Activity, Entry

TRIES = 10
TRIES_FROM_ONE_IP = 100
WINDOW = timedelta(minutes=1)
_consumer_domains = addresses.CONSUMER_DOMAINS


def configure(more_consumer_domains: Sequence[str]) -> None:
    """Add domains whose addresses get a personal account (setting CONSUMER_DOMAINS)."""
    global _consumer_domains
    _consumer_domains = addresses.CONSUMER_DOMAINS | {d.lower() for d in more_consumer_domains}


class Method(enum.StrEnum):
    """Ways to sign in that exist so far."""

    PASSWORD = "password"
    """In a directory hosted here that has verified the domain."""
    PERSONAL_PASSWORD = "personal password"
    """With a personal account that exists."""
    PERSONAL_NEW = "personal new"
    """A mailed code, and then a personal account is made on the way; or the code stays."""
    PASSCODE = "passcode"
    """A mailed code each time."""


@dataclass(frozen=True)
class Way:
    """The way in for an address, why it is that one, and which others the person may take."""

    method: Method
    reasons: tuple[str, ...]
    others: tuple[Method, ...] = ()

    @property
    def by_code(self) -> bool:
        """Whether it begins with a mailed code."""
        return self.method in (Method.PERSONAL_NEW, Method.PASSCODE)

    def picked(self, wanted: Method | None) -> "Way":
        """The same with *wanted* in front, if that is one of the others; else as it is."""
        if wanted is None or wanted not in self.others:
            return self
        rest = tuple(method for method in self.others if method is not wanted)
        return Way(wanted, (*self.reasons, N_("Chosen by the person.")), (self.method, *rest))


@dataclass(frozen=True)
class Account:
    """An account hosted here that an address signs in with."""

    tenant_id: UUID
    tenant_name: str
    tenant_kind: TenantKind
    user_id: UUID
    sign_in_name: str
    display_name: str
    given_name: str | None
    surname: str | None
    preferred_language: str | None
    may_sign_in: bool
    domain_verified: bool


def decide(
    *,
    bound: Provider | None,
    home_account: bool,
    personal_account: bool,
    consumer_domain: bool,
    domain_hosted: bool = False,
) -> Way:
    """Where somebody signs in (redemption.md, section 2), from facts alone.

    *bound* is what an accepted guest redeemed with and wins over everything: a method sticks until
    the redemption is reset. A directory that knows the sign-in name decides for its people: no
    mailed code goes round it. *domain_hosted*: some directory here has verified the domain, so
    nobody makes a personal account under it.
    """
    if bound is Provider.DIRECTORY:
        return Way(Method.PASSWORD, (N_("Redeemed with an account of another directory."),))
    if bound is Provider.PERSONAL:
        return Way(Method.PERSONAL_PASSWORD, (N_("Redeemed with a personal account."),))
    if bound is Provider.PASSCODE:
        return Way(Method.PASSCODE, (N_("Redeemed with a mailed code."),))
    personal = N_("A personal account has this address.")
    if home_account:
        known = N_("A directory has verified the domain and knows this sign-in name.")
        if personal_account:  # redemption.md, 2: who has both is asked
            return Way(Method.PASSWORD, (known, personal), (Method.PERSONAL_PASSWORD,))
        return Way(Method.PASSWORD, (known,))
    nobody = N_("No directory that has verified the domain knows this sign-in name.")
    if personal_account:
        return Way(Method.PERSONAL_PASSWORD, (nobody, personal), (Method.PASSCODE,))
    if consumer_domain and not domain_hosted:
        return Way(
            Method.PERSONAL_NEW,
            (nobody, N_("No personal account yet; the domain is one of personal addresses.")),
            (Method.PASSCODE,),
        )
    return Way(
        Method.PASSCODE,
        (nobody, N_("No other way is known for this address.")),
        () if domain_hosted else (Method.PERSONAL_NEW,),
    )


def account_of(session: Session, address: Address) -> Account | None:
    """The account hosted here that *address* is the sign-in name of, in the order of `decide`."""
    return home_account_of(session, address) or personal_account_of(session, address)


def home_account_of(session: Session, address: Address) -> Account | None:
    """The account with this sign-in name in the directory that has verified its domain."""
    return _account(session, address.key, TenantKind.ORGANISATION, address.domain)


def personal_account_of(session: Session, address: Address) -> Account | None:
    """The personal account with this address."""
    return _account(session, address.key, TenantKind.CONSUMER, None)


_users, _tenants, _domains = User.__table__, Tenant.__table__, Domain.__table__
_ACCOUNT = (
    select(
        _users.c.tenant_id,
        _tenants.c.display_name.label("tenant_name"),
        _users.c.id,
        _users.c.user_principal_name,
        _users.c.display_name,
        _users.c.given_name,
        _users.c.surname,
        _users.c.preferred_language,
        _users.c.account_enabled,
    )
    .join_from(_users, _tenants, _tenants.c.id == _users.c.tenant_id)
    .where(
        _tenants.c.kind == bindparam("kind", type_=_tenants.c.kind.type),
        _users.c.upn_key == bindparam("key", type_=_users.c.upn_key.type),
        _users.c.deleted_at.is_(None),
        _users.c.creation_type.is_distinct_from(literal_column("'Invitation'")),
        # Nor whoever was converted and signs in elsewhere since.
        _users.c.source.in_(
            [bindparam(name, type_=_users.c.source.type) for name in ("here", "synced")]
        ),
    )
)
_PERSONAL = Prepared(_ACCOUNT)
_AT_HOME = Prepared(
    _ACCOUNT.join(
        _domains,
        (_domains.c.tenant_id == _tenants.c.id)
        & (_domains.c.name == bindparam("domain", type_=_domains.c.name.type))
        & _domains.c.verified_at.is_not(None),
    )
)


def _account(session: Session, key: str, kind: TenantKind, domain: str | None) -> Account | None:
    values: dict[str, Any] = {
        "kind": kind, "key": key, "here": Source.THIS_DIRECTORY, "synced": Source.ON_PREMISES
    }  # fmt: skip
    if domain is None:
        rows = _PERSONAL.within(session, **values)
    else:
        rows = _AT_HOME.within(session, **values, domain=domain)
    if not rows:
        return None
    row = rows[0]
    return Account(
        tenant_id=row.tenant_id,
        tenant_name=row.tenant_name,
        tenant_kind=kind,
        user_id=row.id,
        sign_in_name=row.user_principal_name,
        display_name=row.display_name,
        given_name=row.given_name,
        surname=row.surname,
        preferred_language=row.preferred_language,
        may_sign_in=row.account_enabled,
        domain_verified=True,
    )


def _as_account(user: User, tenant_name: str, kind: TenantKind, *, verified: bool) -> Account:
    return Account(
        tenant_id=user.tenant_id,
        tenant_name=tenant_name,
        tenant_kind=kind,
        user_id=user.id,
        sign_in_name=user.user_principal_name,
        display_name=user.display_name,
        given_name=user.given_name,
        surname=user.surname,
        preferred_language=user.preferred_language,
        may_sign_in=user.may_sign_in,
        domain_verified=verified,
    )


def bound_account(session: Session, identity: Identity) -> Account | None:
    """The hosted account behind an identity that a guest redeemed with, if it is hosted here."""
    if identity.provider is Provider.PASSCODE:
        return None
    row = session.execute(
        select(User, Tenant.display_name, Tenant.kind)
        .join(Tenant, Tenant.id == User.tenant_id)
        .where(User.tenant_id == UUID(identity.issuer), User.id == UUID(identity.subject))
    ).one_or_none()
    if row is None:
        return None
    user, tenant_name, kind = row
    return _as_account(user, tenant_name, kind, verified=True)


_REDEEMED_WITH = select(Identity).where(
    Identity.tenant_id == bindparam("tenant_id"), Identity.user_id == bindparam("user_id")
)


def identity_of_guest(session: Session, user: User) -> Identity | None:
    """What a guest redeemed with."""
    values = {"tenant_id": user.tenant_id, "user_id": user.id}
    return session.scalars(_REDEEMED_WITH, values).one_or_none()


def discover(
    session: Session,
    address: Address,
    *,
    guest: User | None = None,
    wanted: Method | None = None,
) -> tuple[Way, Account | None]:
    """The way in for *address*, and the hosted account it leads to.

    *guest* is whom a link names, *wanted* the way that the person would rather take.
    """
    bound = identity_of_guest(session, guest) if guest is not None else None
    if bound is not None:
        way = decide(
            bound=bound.provider,
            home_account=False,
            personal_account=False,
            consumer_domain=False,
        )
        return way, bound_account(session, bound)
    home = home_account_of(session, address)
    personal = personal_account_of(session, address)
    way = decide(
        bound=None,
        home_account=home is not None,
        personal_account=personal is not None,
        consumer_domain=address.domain in _consumer_domains,
        domain_hosted=home is not None or is_hosted(session, address.domain),
    ).picked(wanted)
    accounts = {Method.PASSWORD: home, Method.PERSONAL_PASSWORD: personal}
    return way, accounts.get(way.method)


# Passwords ---------------------------------------------------------------------------------------


def take_try(
    session: Session, sign_in_name: str, *, ip_address: str | None, now: datetime
) -> datetime | None:
    """Count a password try before it is checked; None, or when the next may be made.

    Counted by account and address together, so that a stranger cannot lock somebody out everywhere
    (threats.md, SIGN-1). The caller commits either way.
    """
    ip = ip_address or "-"
    return attempts.take(
        session,
        f"password:{sign_in_name}:{ip}"[:400],
        limit=TRIES,
        window=WINDOW,
        now=now,
    ) or attempts.take(
        session, f"password-ip:{ip}", limit=TRIES_FROM_ONE_IP, window=WINDOW, now=now
    )


def forget_tries(session: Session, sign_in_name: str, *, ip_address: str | None) -> None:
    """Start over for this account from this place: the password was right."""
    attempts.forget(session, f"password:{sign_in_name}:{ip_address or '-'}"[:400])


def stored_password(session: Session, account: Account | None) -> str | None:
    """The hash to check against; None for nobody, and then the check costs the same time."""
    if account is None:
        return None
    return passwords.stored(session, account.tenant_id, account.user_id)


_SEEN = Prepared(
    update(User).where(
        User.tenant_id == bindparam("there", type_=Id), User.id == bindparam("who", type_=Id)
    ),
    ["last_sign_in_at"],
)


def finish_password(
    session: Session,
    account: Account | None,
    right: bool,
    *,
    sign_in_name: str,
    now: datetime,
    correlation_id: UUID,
    ip_address: str | None,
    user_agent: str | None,
) -> ExternalIdentity | Invalid:
    """Log the attempt; the identity if it succeeded, else what to tell (the same for every cause).

    A blocked account is named only to somebody who knew its password. The caller commits either
    way.
    """
    refusal: Invalid | None = None
    code = 0
    if account is None or not right:
        code = 50126 if account is not None else 50034
        refusal = Invalid(
            "password", N_("That address or password is not right."), code="AADSTS50126"
        )
    elif not account.may_sign_in:
        code = 50057
        refusal = Invalid(
            "password",
            N_("This account is blocked. Ask an administrator of %(organisation)s."),
            code="AADSTS50057",
            organisation=account.tenant_name,
        )
    if account is not None:
        sign_in_log.record(
            session,
            account.tenant_id,
            account.user_id,
            identity=account.sign_in_name,
            method="password",
            application="Sign-in",
            at=now,
            correlation_id=correlation_id,
            ip_address=ip_address,
            user_agent=user_agent,
            code=code,
            reason=None if refusal is None else str(refusal),
        )
    if refusal is not None or account is None:
        assert refusal is not None
        return refusal
    forget_tries(session, sign_in_name, ip_address=ip_address)
    seen = {"there": account.tenant_id, "who": account.user_id, "last_sign_in_at": now}
    _SEEN.write(session.connection(), [seen])
    return identity_for(account)


def identity_for(account: Account) -> ExternalIdentity:
    """The identity that a sign-in with a hosted account proves.

    Its sign-in name counts as a proven address: an organisation has verified the domain, a personal
    account has proven the address by a mailed code. `mail` and other editable properties do not.
    """
    provider = (
        Provider.PERSONAL if account.tenant_kind is TenantKind.CONSUMER else Provider.DIRECTORY
    )
    address = addresses.parse(account.sign_in_name, rules="rfc")
    return ExternalIdentity(
        provider=provider,
        issuer=str(account.tenant_id),
        subject=str(account.user_id),
        label=account.sign_in_name,
        proven=frozenset({address.key}) if account.domain_verified else frozenset(),
        display_name=account.display_name,
        given_name=account.given_name,
        surname=account.surname,
        preferred_language=account.preferred_language,
        home_tenant_id=account.tenant_id,
        home_user_id=account.user_id,
    )


def identity_by_code(address: Address) -> ExternalIdentity:
    """The identity that a right passcode proves: the mailbox and nothing else."""
    return ExternalIdentity(
        provider=Provider.PASSCODE,
        issuer="mail",
        subject=address.key,
        label=address.text,
        proven=frozenset({address.key}),
    )


# Personal accounts -------------------------------------------------------------------------------


def may_make_account(session: Session, identity: ExternalIdentity) -> bool:
    """Whether this sign-in may go on to make a personal account: its address was just proven by a
    code, and no directory here speaks for the domain (threats.md, RED-7).
    """
    return identity.is_passcode and not is_hosted(session, identity.subject.rpartition("@")[2])


def consumer_tenant(session: Session) -> Tenant:
    """The directory of personal accounts."""
    return session.execute(select(Tenant).where(Tenant.kind == TenantKind.CONSUMER)).scalar_one()


def make_account(
    session: Session,
    identity: ExternalIdentity,
    *,
    given_name: str,
    surname: str,
    password_hash: str,
    preferred_language: str | None,
    now: datetime,
    correlation_id: UUID,
    ip_address: str | None = None,
) -> ExternalIdentity:
    """Make a personal account for the address that *identity* has proven by a code.

    Raises Denied when nothing was proven, Invalid for names, Conflict when the account exists.
    """
    if not may_make_account(session, identity):
        raise Denied(N_("Prove the address with a mailed code first."))
    given = profiles.value_of("given_name", given_name)
    family = profiles.value_of("surname", surname)
    if given is None:
        raise Invalid("given_name", N_("Enter a name."))
    tenant = consumer_tenant(session)
    audit.lock(session, tenant.id)
    actor = Actor.system(
        tenant.id, tenant.display_name, tenant.primary_domain, now, label="Sign-up"
    )
    name = " ".join(part for part in (given, family) if part)
    user = users.create_member(
        session,
        tenant.id,
        user_id=new_id(),
        user_principal_name=identity.label,
        display_name=name,
        now=now,
        given_name=given,
        surname=family,
        mail=identity.label,
        preferred_language=preferred_language,
        creation_type="LocalAccount",
    )
    passwords.put(session, actor, user, password_hash)
    audit.record(
        session, actor, Entry(Activity.ADD_USER, "User", user.id, user.user_principal_name)
    )
    account = _as_account(user, tenant.display_name, TenantKind.CONSUMER, verified=True)
    return identity_for(account)


# People and domains -------------------------------------------------------------------------------


def set_language(session: Session, actor: Actor, language: str) -> None:
    """Remember a signed-in person's language."""
    session.get_one(User, (actor.tenant_id, actor.user_id)).preferred_language = language


_HOSTED = Prepared(
    select(_domains.c.tenant_id).where(
        _domains.c.name == bindparam("domain", type_=_domains.c.name.type),
        _domains.c.verified_at.is_not(None),
    )
)


def tenant_of_domain(session: Session, domain: str) -> UUID | None:
    """The organisation hosted here that has verified *domain*."""
    rows = _HOSTED.within(session, domain=domain)
    return rows[0].tenant_id if rows else None


def is_hosted(session: Session, domain: str) -> bool:
    """Whether a directory hosted here has verified *domain*."""
    return tenant_of_domain(session, domain) is not None
