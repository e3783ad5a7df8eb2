"""What people do between two steps of a test – redeem, type a code, sign in – done for them by the
same services. For test doubles only; each caller sees to that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from b2b import jose, links
from b2b.actor import Actor, ExternalIdentity
from b2b.errors import N_, Conflict, Denied, Invalid, NotFound
from b2b.models import (
    Application,
    ApplicationCredential,
    Domain,
    Invitation,
    Passcode,
    SignInGrant,
    Tenant,
    User,
    new_id,
)
from b2b.services import (
    addresses,
    clients,
    consent,
    graph_permissions,
    redemption,
    scopes,
    sessions,
    sign_in,
    signing_keys,
    tokens,
    users,
)
from b2b.services.aadsts import SignInRefused
from b2b.services.clients import Client
from b2b.services.redemption import Opened
from b2b.services.tokens import Grant

_PROTECTED = frozenset({"rh", "idtyp"})
"""Claims by which our own API finds the sign-in behind a token."""


# Finding -----------------------------------------------------------------------------------------


def tenant_named(session: Session, name: str) -> Tenant:
    """The organisation with this id, verified domain or display name. Raises Invalid("tenant")."""
    try:
        found = session.get(Tenant, UUID(name))
    except ValueError:
        found = session.scalars(
            select(Tenant)
            .join(Domain, Domain.tenant_id == Tenant.id)
            .where(Domain.name == name.lower(), Domain.verified_at.is_not(None))
        ).one_or_none()
    if found is None:
        named = session.scalars(select(Tenant).where(Tenant.display_name == name).limit(2)).all()
        found = named[0] if len(named) == 1 else None
    if found is None:
        raise Invalid("tenant", N_("There is no organisation %(name)s."), name=name)
    return found


def as_system(tenant: Tenant, now: datetime) -> Actor:
    """The test tools, acting in a tenant."""
    return Actor.system(
        tenant.id, tenant.display_name, tenant.primary_domain, now, label="Test tools"
    )


def user_named(session: Session, tenant: Tenant, name: str, now: datetime) -> User:
    """Somebody in *tenant* by object id, sign-in name, mail or invited address.

    Raises Invalid("user").
    """
    found = users.named(session, as_system(tenant, now), name)
    if found is None:
        raise Invalid("user", N_("There is nobody %(name)s in that organisation."), name=name)
    return found


def client_named(session: Session, tenant: Tenant, name: str) -> Client:
    """An application in *tenant* by client id or display name. Raises Invalid("client")."""
    gone = Invalid("client", N_("There is no app registration %(name)s."), name=name)
    try:
        registration = clients.registration_of(session, str(UUID(name)), tenant)
    except ValueError:
        named = session.scalars(
            select(Application)
            .where(Application.tenant_id == tenant.id, Application.display_name == name)
            .limit(2)
        ).all()
        if len(named) != 1:
            raise gone from None
        registration = named[0]
    except SignInRefused:
        raise gone from None
    try:
        return clients.in_tenant(session, registration, tenant)
    except SignInRefused:
        raise gone from None


def invitation_named(
    session: Session, name: str, *, tenant: Tenant | None, now: datetime
) -> Opened:
    """An invitation by its link, its id, or the invited address together with its *tenant*.

    Raises Invalid("invitation"), NotFound for one that can never be redeemed.
    """
    query = select(Invitation)
    if name.startswith(("http://", "https://")):
        ticket = links.parse_redeem(parse_qs(urlsplit(name).query).get("rd", [name])[0])
        if ticket is None:
            raise Invalid("invitation", N_("That is no link of an invitation."))
        query = query.where(
            Invitation.tenant_id == ticket.tenant_id,
            Invitation.id == ticket.invitation_id,
            Invitation.ticket_hash == redemption.hash_of(ticket.secret),
        )
    else:
        if tenant is not None:
            query = query.where(Invitation.tenant_id == tenant.id)
        try:
            query = query.where(Invitation.id == UUID(name))
        except ValueError:
            if tenant is None:
                raise Invalid(
                    "tenant", N_("Say which organisation has invited this address.")
                ) from None
            key = addresses.parse(name, rules="rfc").key
            query = query.join(
                User, (User.tenant_id == Invitation.tenant_id) & (User.id == Invitation.user_id)
            ).where(User.invited_key == key, User.deleted_at.is_(None))
    found = session.scalars(query.limit(1)).one_or_none()
    if found is None:
        raise Invalid("invitation", N_("There is no such invitation."))
    opened = redemption.open_link(
        session, found.tenant_id, found.id, found.ticket_hash, now=now, lock=True
    )
    if opened is None:
        raise NotFound()
    return opened


# Redeeming ---------------------------------------------------------------------------------------


def proven_as(session: Session, address: str, *, guest: User | None = None) -> ExternalIdentity:
    """What a sign-in with *address* ends in: an account hosted here, or else a mailed code.

    Raises Invalid("as"), Denied for an account that may not sign in.
    """
    parsed = addresses.parse(address, field="as", rules="rfc")
    _, account = sign_in.discover(session, parsed, guest=guest)
    if account is None:
        return sign_in.identity_by_code(parsed)
    if not account.may_sign_in:
        raise Denied(
            N_("This account is blocked. Ask an administrator of %(organisation)s."),
            organisation=account.tenant_name,
        )
    return sign_in.identity_for(account)


def redeem(session: Session, opened: Opened, identity: ExternalIdentity, *, now: datetime) -> User:
    """Press Get Started, sign in as *identity* and accept, by what the pages call and under the
    same rules. Raises Conflict, Denied, WrongAccount.
    """
    guest = redemption.acting(opened, now=now)
    redemption.note_opened(session, guest, opened)
    redemption.note_signed_in(session, guest, opened)
    return redemption.accept(session, guest, opened, identity)


# Codes -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Code:
    """A passcode that would be taken now."""

    code: str
    purpose: str
    expires_at: datetime


def passcode_for(session: Session, address: str, *, now: datetime) -> Code:
    """The newest code that was mailed to *address* and is still good: derived anew, as it is
    nowhere stored. Raises NotFound.
    """
    key = addresses.parse(address, rules="rfc").key
    row = session.scalars(
        select(Passcode)
        .where(Passcode.address_key == key, Passcode.expires_at > now, Passcode.tries_left > 0)
        .order_by(Passcode.created_at.desc())
        .limit(1)
    ).one_or_none()
    if row is None:
        raise NotFound(N_("No code is good for %(address)s now."), address=address)
    try:
        digits = links.keyring().passcode(row.key_id, row.nonce, key, row.purpose)
    except KeyError:
        raise NotFound(N_("No code is good for %(address)s now."), address=address) from None
    return Code(digits, str(row.purpose), row.expires_at)


# Sessions and tokens -----------------------------------------------------------------------------


def identity_of(session: Session, tenant: Tenant, user: User) -> ExternalIdentity:
    """What *user* signs in to *tenant* with. Raises Conflict while he cannot."""
    if not user.may_sign_in or user.is_pending:
        raise Conflict(N_("%(name)s cannot sign in there now."), name=user.display_name)
    bound = sign_in.identity_of_guest(session, user)
    if bound is not None:
        account = sign_in.bound_account(session, bound)
        if account is not None:
            return sign_in.identity_for(account)
        return sign_in.identity_by_code(addresses.parse(bound.label, rules="rfc"))
    account = sign_in.account_of(session, addresses.parse(user.user_principal_name, rules="rfc"))
    if account is None or account.user_id != user.id:
        raise Conflict(N_("%(name)s cannot sign in there now."), name=user.display_name)
    return sign_in.identity_for(account)


def start_session(session: Session, tenant: Tenant, user: User, *, now: datetime) -> str:
    """Sign *user* in to *tenant*; the secret for the session's cookie. Raises Conflict."""
    identity = identity_of(session, tenant, user)
    redemption.log_sign_in(session, _acting(tenant, user, now), identity, application="Test tools")
    return sessions.start(session, identity, now=now, tenant_id=tenant.id, user_id=user.id)


def _acting(tenant: Tenant, user: User, now: datetime) -> Actor:
    return Actor(
        tenant.id,
        tenant.display_name,
        tenant.primary_domain,
        now,
        user_id=user.id,
        display_name=user.display_name,
        user_principal_name=user.user_principal_name,
        mail=user.mail,
        is_guest=user.is_guest,
    )


def token_for_user(
    session: Session,
    client: Client,
    user: User,
    *,
    scope: str | None = None,
    claims: Mapping[str, Any] | None = None,
    now: datetime,
) -> str:
    """An access token in somebody's name, signed as any other, with *claims* put over its own.

    *scope* as in a request; by default all that *client* has been granted for Graph. Raises
    Invalid("scope", "claims"), Conflict.
    """
    identity_of(session, client.tenant, user)
    try:
        wanted = scopes.read(scope or f"{graph_permissions.URI}/{scopes.DEFAULT}")
        resource = scopes.resource_of(session, client.tenant, wanted)
    except SignInRefused as refused:
        raise Invalid("scope", N_("%(reason)s"), reason=str(refused)) from None
    if resource is None:
        raise Invalid("scope", N_("There is no such API in that organisation."))
    held = consent.granted(session, client.principal, resource.principal, user.id)
    values: Sequence[str] = sorted(held) if wanted.is_default else wanted.values
    lacking = [value for value in values if value not in held]
    if lacking or not values:
        raise Invalid(
            "scope",
            N_("%(application)s was not granted %(permission)s."),
            application=client.name,
            permission=", ".join(lacking) or "anything",
        )
    kept = SignInGrant(
        tenant_id=client.tenant.id,
        id=new_id(),
        user_id=user.id,
        app_id=client.app_id,
        scope=wanted.text,
        signed_in_at=now,
        created_at=now,
        expires_at=now + tokens.life_of(client.registration),
    )
    session.add(kept)
    session.flush()
    grant = Grant(
        user=user,
        identity=sign_in.identity_of_guest(session, user),
        client=client,
        scope=wanted.identity,
        nonce=None,
        signed_in_at=now,
        grant_id=kept.id,
    )
    signer = signing_keys.signer(session, now=now)
    token = tokens.access_token(session, signer, grant, resource, values, now=now)
    return _with_claims(session, token, claims, now)


def token_for_app(
    session: Session,
    client: Client,
    *,
    resource: str | None = None,
    claims: Mapping[str, Any] | None = None,
    now: datetime,
) -> str:
    """An access token for a program itself, with *claims* put over its own.

    *resource* is an API's identifier, Graph by default. Raises Invalid("client", "resource").
    """
    credential = session.scalars(
        select(ApplicationCredential)
        .where(
            ApplicationCredential.tenant_id == client.registration.tenant_id,
            ApplicationCredential.application_id == client.registration.id,
        )
        .limit(1)
    ).one_or_none()
    if credential is None:
        raise Invalid(
            "client", N_("%(name)s has neither secret nor certificate."), name=client.name
        )
    try:
        wanted = scopes.read(f"{resource or graph_permissions.URI}/{scopes.DEFAULT}")
        found = scopes.resource_of(session, client.tenant, wanted)
    except SignInRefused as refused:
        raise Invalid("resource", N_("%(reason)s"), reason=str(refused)) from None
    if found is None:
        raise Invalid("resource", N_("There is no such API in that organisation."))
    proven = replace(client, credential=credential)
    held = consent.roles_of(session, client.principal, found.principal)
    signer = signing_keys.signer(session, now=now)
    token = tokens.app_token(signer, proven, found, held, now=now)
    return _with_claims(session, token, claims, now)


def _with_claims(
    session: Session, token: str, claims: Mapping[str, Any] | None, now: datetime
) -> str:
    """*token* signed anew with *claims* over its own; None takes a claim away."""
    if not claims:
        return token
    for name in claims:
        if name in _PROTECTED:
            raise Invalid("claims", N_("The claim %(name)s cannot be chosen."), name=name)
    merged = {**jose.unverified(token), **claims}
    signer = signing_keys.signer(session, now=now)
    return signer.sign({name: value for name, value in merged.items() if value is not None})
