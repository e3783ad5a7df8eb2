"""The token endpoint without HTTP: each grant checks its proof, and all end in the same tokens.

Functions that consume something return a SignInRefused instead of raising it, so that the caller
commits either way: a code that was used twice, for instance, takes back what the first use gave.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from b2b import jose, keys
from b2b.actor import Actor, ExternalIdentity
from b2b.models import (
    Application,
    AuthorizationCode,
    DeviceCode,
    Platform,
    RefreshToken,
    SignInGrant,
    Tenant,
    User,
    new_id,
)
from b2b.services import (
    applications,
    audit,
    clients,
    consent,
    device_codes,
    scopes,
    sign_in,
    signing_keys,
    standing,
    tokens,
    visitors,
)
from b2b.services.aadsts import SignInRefused
from b2b.services.audit import Activity, Entry
from b2b.services.clients import Client, Parameters, needed, one
from b2b.services.scopes import Resource, Wanted
from b2b.services.sign_in_log import ProgramSignIn
from b2b.services.tokens import Grant, Program

CODE = "authorization_code"
REFRESH = "refresh_token"
CLIENT_CREDENTIALS = "client_credentials"
PASSWORD = "password"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
SHORT_DEVICE = "device_code"
"""The same by the name of the drafts of RFC 8628, which msal for Node still sends."""
ON_BEHALF_OF = "urn:ietf:params:oauth:grant-type:jwt-bearer"
OFFERED = (CODE, REFRESH, CLIENT_CREDENTIALS, PASSWORD, DEVICE, SHORT_DEVICE, ON_BEHALF_OF)

BY_SECRET = "1"
"""The claim `azpacr` of a program that came with a secret (services.clients.Client.proof)."""

CODE_LIFE = timedelta(seconds=60)
REFRESH_LIFE = timedelta(days=90)
SPA_LIFE = timedelta(hours=24)
"""A script's refresh tokens end a day after the sign-in, however often they are renewed."""
_REMEMBERED = timedelta(days=1)


@dataclass(frozen=True)
class Asked:
    """A request to the token endpoint."""

    tenant: Tenant | None
    """None: an address for several tenants."""
    named: str
    """The tenant as the address named it."""
    parameters: Parameters
    origin: str | None = None
    """Where a script that asks has been loaded from."""
    ip_address: str | None = None
    user_agent: str | None = None
    correlation_id: UUID = field(default_factory=new_id)


@dataclass(frozen=True)
class Issued:
    """What the token endpoint answers with."""

    access_token: str
    expires_in: int
    """Seconds."""
    scope: str | None = None
    id_token: str | None = None
    refresh_token: str | None = None
    client_info: str | None = None
    """Who it is for, as MSAL keeps it."""


# Who asks ----------------------------------------------------------------------------------------


def _registration(session: Session, asked: Asked) -> Application:
    client_id = one(asked.parameters, "client_id") or _issuer_of_assertion(asked.parameters)
    if client_id is None:
        raise SignInRefused(900144, name="client_id")
    found = clients.registration_of(session, client_id, asked.tenant)
    if asked.tenant is not None:
        clients.in_tenant(session, found, asked.tenant)
    return found


def _issuer_of_assertion(parameters: Parameters) -> str | None:
    assertion = one(parameters, "client_assertion")
    if assertion is None:
        return None
    found = jose.unverified(assertion).get("sub")
    return found if isinstance(found, str) else None


def _client(
    session: Session,
    asked: Asked,
    registration: Application,
    tenant: Tenant,
    now: datetime,
    *,
    is_public: bool,
) -> Client:
    """The application, proven, in *tenant*. Raises SignInRefused."""
    client = clients.in_tenant(session, registration, tenant)
    credential = clients.authenticate(
        session,
        registration,
        asked.parameters,
        is_public=is_public,
        now=now,
        audiences=clients.endpoints(tenant.id, asked.named),
    )
    return replace(client, credential=credential)


def _tenant_of(session: Session, asked: Asked, tenant_id: UUID) -> Tenant:
    """The tenant that something was issued in, which the address has to name, or leave open."""
    if asked.tenant is not None and asked.tenant.id != tenant_id:
        raise SignInRefused(70000)
    return session.get_one(Tenant, tenant_id)


# Authorization code ------------------------------------------------------------------------------


def redeem_code(session: Session, asked: Asked, *, now: datetime) -> Issued | SignInRefused:
    """Tokens for a code, once (threats.md, OIDC-3)."""
    try:
        registration = _registration(session, asked)
        code_hash = keys.digest(needed(asked.parameters, "code"))
        redirect_uri = needed(asked.parameters, "redirect_uri")
        row = session.get(AuthorizationCode, code_hash, populate_existing=True)
        named = clients.platform_of(registration, redirect_uri)
        platform = named if row is None else clients.platform_of(registration, row.redirect_uri)
        if row is None or row.app_id != registration.app_id:
            # The proof comes first: whoever has none hears of that.
            if asked.tenant is not None:
                is_public = registration.is_public or platform in (Platform.SPA, Platform.PUBLIC)
                _client(session, asked, registration, asked.tenant, now, is_public=is_public)
            raise SignInRefused(70000)
        tenant = _tenant_of(session, asked, row.tenant_id)
        client = _client(
            session, asked, registration, tenant, now, is_public=platform is not Platform.WEB
        )
        if row.redeemed_at is not None:
            return _replayed(session, code_hash)
        if row.expires_at <= now:
            raise SignInRefused(70008)
        if row.redirect_uri != redirect_uri:
            raise SignInRefused(500112)
        _check_origin(registration, platform, asked.origin)
        _check_verifier(row.code_challenge, one(asked.parameters, "code_verifier"))
        issued_at = row.expires_at - CODE_LIFE
        grant_id = new_id()
        won = session.execute(
            update(AuthorizationCode)
            .where(
                AuthorizationCode.code_hash == code_hash, AuthorizationCode.redeemed_at.is_(None)
            )
            .values(redeemed_at=now, grant_id=grant_id, expires_at=now + _REMEMBERED)
            .execution_options(synchronize_session=False)
        )
        if not won.rowcount:  # type: ignore[attr-defined]
            return _replayed(session, code_hash)
        user = _person(session, client, row.user_id, issued_at)
        wanted = scopes.read(row.scope)
        kept = _begin(
            session,
            client,
            user,
            wanted,
            grant_id=grant_id,
            session_id=row.session_id,
            signed_in_at=row.signed_in_at,
            is_spa=platform is Platform.SPA,
            now=now,
        )
        narrower = one(asked.parameters, "scope")
        if narrower is not None:
            wanted = _narrowed(wanted, scopes.read(narrower))
        return _issue(session, client, user, kept, wanted, asked, now, nonce=row.nonce)
    except SignInRefused as refused:
        return refused


def _narrowed(first: Wanted, asked: Wanted) -> Wanted:
    """What a token request may ask for beside its code: the sign-in's identity scopes stay."""
    return replace(asked, identity=first.identity) if asked.names_resource else first


def _replayed(session: Session, code_hash: bytes) -> SignInRefused:
    """Whoever has the code twice may have stolen it: the tokens of the first use end now, and the
    code with them. Of several who come at once the first does so.
    """
    row = session.get(AuthorizationCode, code_hash, populate_existing=True, with_for_update=True)
    if row is not None:
        tenant_id, grant_id = row.tenant_id, row.grant_id
        session.delete(row)
        session.flush()
        if grant_id is not None:
            end(session, tenant_id, grant_id)
    return SignInRefused(54005)


def end(session: Session, tenant_id: UUID, grant_id: UUID) -> None:
    """End a sign-in with every token of it."""
    for model, key in ((RefreshToken, RefreshToken.grant_id), (SignInGrant, SignInGrant.id)):
        session.execute(delete(model).where(model.tenant_id == tenant_id, key == grant_id))
    session.expire_all()


def _check_verifier(challenge: str | None, verifier: str | None) -> None:
    if challenge is None and verifier is None:
        return
    if verifier is None:
        raise SignInRefused(900144, name="code_verifier")
    digest = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest())
    made = digest.decode().rstrip("=")
    well_formed = re.fullmatch(r"[A-Za-z0-9._~-]{43,128}", verifier)
    if not well_formed or not hmac.compare_digest(made, challenge or ""):
        raise SignInRefused(501481)


def _check_origin(registration: Application, platform: Platform | None, origin: str | None) -> None:
    """A script redeems from its own origin, and nobody else does from a browser (OIDC-9)."""
    if platform is Platform.SPA:
        if origin is None:
            raise SignInRefused(9002327, application=registration.display_name)
        if origin not in origins_of(registration):
            raise SignInRefused(9002326, application=registration.display_name)
    elif origin is not None:
        raise SignInRefused(9002326, application=registration.display_name)


def origins_of(registration: Application) -> frozenset[str]:
    """Origins whose scripts may use the token endpoint as this application."""
    found = set()
    for uri in registration.spa_redirect_uris:
        parts = urlsplit(uri)
        found.add(f"{parts.scheme}://{parts.netloc}".lower())
    return frozenset(found)


# The person --------------------------------------------------------------------------------------


def _person(session: Session, client: Client, user_id: UUID, since: datetime) -> User:
    """Who the tokens are for, as things stand now: a minute is long enough to be blocked in."""
    user = session.get(User, (client.tenant.id, user_id), populate_existing=True)
    values = {
        "account": user.user_principal_name if user else "",
        "organisation": client.tenant.display_name,
        "application": client.name,
    }
    if user is None or not user.may_sign_in or user.has_no_account_yet:
        raise SignInRefused(50057, **values)
    if user.sessions_valid_from is not None and since < user.sessions_valid_from:
        raise SignInRefused(50173, **values)
    if not applications.lets_in(session, client.principal, user):
        raise SignInRefused(50105, **values)
    return user


def _begin(
    session: Session,
    client: Client,
    user: User,
    wanted: Wanted,
    *,
    grant_id: UUID,
    session_id: UUID | None,
    signed_in_at: datetime,
    now: datetime,
    is_spa: bool = False,
) -> SignInGrant:
    """Write down a sign-in, which all its tokens hang on."""
    row = SignInGrant(
        tenant_id=client.tenant.id,
        id=grant_id,
        user_id=user.id,
        app_id=client.app_id,
        scope=wanted.text,
        session_id=session_id,
        credential_id=None if client.credential is None else client.credential.id,
        is_spa=is_spa,
        signed_in_at=signed_in_at,
        created_at=now,
        expires_at=now + tokens.life_of(client.registration),
    )
    session.add(row)
    session.flush()
    return row


def _issue(
    session: Session,
    client: Client,
    user: User,
    kept: SignInGrant,
    wanted: Wanted,
    asked: Asked,
    now: datetime,
    *,
    nonce: str | None = None,
    refreshes: bool | None = None,
) -> Issued:
    """Tokens for what has been granted of *wanted*. Raises SignInRefused (65001) for nothing."""
    grant = Grant(
        user=user,
        identity=sign_in.identity_of_guest(session, user),
        client=client,
        scope=wanted.identity,
        nonce=nonce,
        signed_in_at=kept.signed_in_at,
        grant_id=kept.id,
        session_id=kept.session_id,
    )
    resource, values = _allowed(session, client, user, wanted)
    signer = signing_keys.signer(session, now=now)
    life = grant.life
    kept.expires_at = max(kept.expires_at, now + life)
    renewal = None
    if "offline_access" in wanted.identity and refreshes is not False:
        renewal = _renewal(session, kept, now)
    answer = [
        *(name for name in wanted.identity if name != "offline_access"),
        *wanted.written(values),
        *(wanted.written([scopes.DEFAULT]) if wanted.is_default else ()),
    ]
    info = json.dumps({"uid": str(user.id), "utid": str(client.tenant.id)}).encode()
    return Issued(
        access_token=tokens.access_token(session, signer, grant, resource, values, now=now),
        expires_in=int(life.total_seconds()),
        scope=" ".join(answer),
        id_token=(
            tokens.id_token(session, signer, grant, now=now)
            if "openid" in wanted.identity
            else None
        ),
        refresh_token=renewal,
        client_info=base64.urlsafe_b64encode(info).decode().rstrip("="),
    )


def _allowed(
    session: Session, client: Client, user: User, wanted: Wanted
) -> tuple[Resource | None, Sequence[str]]:
    """The resource, and which of the wanted permissions the client has there now."""
    if not wanted.names_resource:
        return None, ()
    resource = scopes.resource_of(session, client.tenant, wanted)
    values = {
        "account": user.user_principal_name,
        "application": client.name,
        "organisation": client.tenant.display_name,
    }
    if resource is None:
        raise SignInRefused(65001, **values)
    own = resource.principal.id == client.principal.id
    held = consent.granted(session, client.principal, resource.principal, user.id)
    if wanted.is_default:
        if not held and not own:
            raise SignInRefused(65001, **values)
        return resource, sorted(held)
    scopes.offered(session, resource, wanted.values)
    if not set(wanted.values) <= held and not own:
        raise SignInRefused(65001, **values)
    return resource, wanted.values


# Refresh tokens ----------------------------------------------------------------------------------


def _renewal(session: Session, kept: SignInGrant, now: datetime) -> str:
    """A new refresh token; the sign-in lives as long as its last one."""
    ends = kept.created_at + SPA_LIFE if kept.is_spa else now + REFRESH_LIFE
    token = keys.new_secret()
    session.add(
        RefreshToken(
            token_hash=keys.digest(token),
            tenant_id=kept.tenant_id,
            grant_id=kept.id,
            expires_at=ends,
        )
    )
    kept.expires_at = max(kept.expires_at, ends)
    session.flush()
    return token


def refresh(
    session: Session, asked: Asked, *, begun: datetime, now: datetime
) -> Issued | SignInRefused:
    """New tokens for a refresh token, which is replaced (threats.md, OIDC-4).

    One that was used before ends the whole sign-in, unless both requests were under way together:
    *begun* is when this one came in.
    """
    try:
        registration = _registration(session, asked)
        row = session.get(
            RefreshToken,
            keys.digest(needed(asked.parameters, "refresh_token")),
            populate_existing=True,
            with_for_update=True,
        )
        kept = (
            None
            if row is None
            else session.get(SignInGrant, (row.tenant_id, row.grant_id), populate_existing=True)
        )
        if row is None or kept is None or kept.app_id != registration.app_id:
            raise SignInRefused(700082 if row is None else 70000)
        tenant = _tenant_of(session, asked, kept.tenant_id)
        client = _client(
            session, asked, registration, tenant, now, is_public=kept.credential_id is None
        )
        if row.used_at is not None:
            if begun >= row.used_at:
                return _reused(session, asked, client, kept, now)
            raise SignInRefused(70000)
        if row.expires_at <= now:
            raise SignInRefused(700084 if kept.is_spa else 700082)
        if kept.is_spa:
            _check_origin(registration, Platform.SPA, asked.origin)
        user = _person(session, client, kept.user_id, kept.created_at)
        first = scopes.read(kept.scope)
        narrower = one(asked.parameters, "scope")
        wanted = first if narrower is None else scopes.read(narrower)
        # Renewal goes on whatever is asked for: it was granted with the sign-in.
        identity = tuple(dict.fromkeys((*first.identity, *wanted.identity)))
        issued = _issue(session, client, user, kept, replace(wanted, identity=identity), asked, now)
        if client.credential is not None:
            kept.credential_id = client.credential.id
        row.used_at = now
        row.expires_at = max(row.expires_at, now + _REMEMBERED)
        session.flush()
        return issued
    except SignInRefused as refused:
        return refused


def _reused(
    session: Session, asked: Asked, client: Client, kept: SignInGrant, now: datetime
) -> SignInRefused:
    """Thief or victim: both are signed out, and it stands in the audit log."""
    user = session.get(User, (kept.tenant_id, kept.user_id))
    end(session, kept.tenant_id, kept.id)
    actor = Actor.system(
        client.tenant.id,
        client.tenant.display_name,
        client.tenant.primary_domain,
        now,
        label=client.name,
    )
    actor = replace(actor, ip_address=asked.ip_address, correlation_id=asked.correlation_id)
    audit.record(
        session,
        actor,
        Entry(
            Activity.REUSED_TOKEN,
            "User",
            kept.user_id,
            "" if user is None else user.user_principal_name,
            detail={"application": client.name},
        ),
    )
    return SignInRefused(70000)


# Programs for themselves -------------------------------------------------------------------------


def client_credentials(
    session: Session, asked: Asked, *, now: datetime
) -> tuple[Issued, ProgramSignIn]:
    """A token for the program itself: no person, no refresh token, no ID token; and the entry of
    the sign-in log, which is the caller's to write. There has to be a signing key.

    Raises SignInRefused.
    """
    if asked.tenant is None or asked.named.lower() in clients.SHARED:
        raise SignInRefused(9001023, name=CLIENT_CREDENTIALS)
    registration = _registration(session, asked)
    client = _client(session, asked, registration, asked.tenant, now, is_public=False)
    wanted = scopes.read(needed(asked.parameters, "scope"))
    if wanted.values != (scopes.DEFAULT,):
        raise SignInRefused(1002012, name=one(asked.parameters, "scope") or "")
    resource = scopes.resource_of(session, asked.tenant, wanted)
    if resource is None:
        raise SignInRefused(
            500011, name=wanted.resource or "", organisation=asked.tenant.display_name
        )
    held = consent.roles_of(session, client.principal, resource.principal)
    if resource.principal.assignment_required and not resource.is_graph and not held:
        raise SignInRefused(501051, application=client.name, name=resource.principal.display_name)
    signer = signing_keys.signer(session, now=now)
    program = Program.of(client)
    token = tokens.app_token(signer, client, resource, held, now=now)
    entry = noted(program, resource.principal.display_name, asked, now)
    return Issued(token, int(program.life.total_seconds())), entry


def noted(program: Program, resource: str, asked: Asked, now: datetime) -> ProgramSignIn:
    """The entry of the sign-in log for a token that *program* got for *resource*."""
    return ProgramSignIn(
        program.tenant_id,
        program.app_id,
        program.principal_id,
        program.name,
        resource,
        now,
        asked.correlation_id,
        asked.ip_address,
        asked.user_agent,
    )


# In somebody's name, one program further ---------------------------------------------------------


def on_behalf_of(session: Session, asked: Asked, *, now: datetime) -> Issued:
    """A token for the next API, for one that this program was called with (decisions.md, tokens).

    The new sign-in is the middle program's own, with what it was granted. Raises SignInRefused.
    """
    if one(asked.parameters, "requested_token_use") != "on_behalf_of":
        raise SignInRefused(900144, name="requested_token_use")
    if asked.tenant is None and asked.named.lower() == clients.CONSUMERS:
        raise SignInRefused(9001023, name=ON_BEHALF_OF)
    registration = _registration(session, asked)
    assertion = needed(asked.parameters, "assertion")
    try:
        claims = tokens.read(session, assertion, now=now)
        tenant_id, holder = UUID(claims["tid"]), UUID(claims["oid"])
        source, caller = UUID(claims["rh"]), UUID(claims.get("appid") or claims["azp"])
    except (tokens.BadToken, KeyError, TypeError, ValueError, AttributeError):
        tenant = asked.tenant
        if tenant is not None:
            _client(session, asked, registration, tenant, now, is_public=False)
        raise SignInRefused(50013) from None
    tenant = _tenant_of(session, asked, tenant_id)
    client = _client(session, asked, registration, tenant, now, is_public=False)
    if claims["idtyp"] != tokens.PERSON or not _is_for(session, claims["aud"], registration):
        raise SignInRefused(50013)
    connection = session.connection()
    if standing.of_person(connection, tenant_id, caller, user_id=holder, grant_id=source) is None:
        raise SignInRefused(50013)
    user = _person(session, client, holder, now)
    wanted = scopes.read(needed(asked.parameters, "scope"))
    first = session.get_one(SignInGrant, (tenant_id, source))
    kept = _begin(
        session,
        client,
        user,
        wanted,
        grant_id=new_id(),
        session_id=first.session_id,
        signed_in_at=first.signed_in_at,
        now=now,
    )
    return _issue(session, client, user, kept, wanted, asked, now)


def _is_for(session: Session, audience: object, registration: Application) -> bool:
    if not isinstance(audience, str):
        return False
    found = scopes.api_named(session, audience)
    return found is not None and found.app_id == registration.app_id


# Another device ----------------------------------------------------------------------------------


def redeem_device_code(session: Session, asked: Asked, *, now: datetime) -> Issued | SignInRefused:
    """Tokens for a device, once the person has allowed it elsewhere (RFC 8628, 3.4)."""
    try:
        registration = _registration(session, asked)
        row = device_codes.poll(
            session, needed(asked.parameters, "device_code"), registration, now=now
        )
    except SignInRefused as refused:
        return refused
    if isinstance(row, SignInRefused):
        return row
    try:
        assert row.tenant_id is not None
        assert row.user_id is not None
        assert row.signed_in_at is not None
        tenant = _tenant_of(session, asked, row.tenant_id)
        client = _client(
            session, asked, registration, tenant, now, is_public=registration.is_public
        )
        user = _person(session, client, row.user_id, row.signed_in_at)
        wanted = scopes.read(row.scope)
        kept = _begin(
            session,
            client,
            user,
            wanted,
            grant_id=new_id(),
            session_id=row.session_id,
            signed_in_at=row.signed_in_at,
            now=now,
        )
        issued = _issue(session, client, user, kept, wanted, asked, now)
        session.execute(delete(DeviceCode).where(DeviceCode.code_hash == row.code_hash))
        return issued
    except SignInRefused as refused:
        return refused


# A name and a password ---------------------------------------------------------------------------


def check_password_grant(session: Session, asked: Asked, *, now: datetime) -> Client | None:
    """Whether the password grant may be used at all, before any password is looked at: by this
    client, at this address, in this tenant (threats.md, OIDC-2). None: the tenant is settled by
    the name. Raises SignInRefused.
    """
    if asked.named.lower() in (clients.COMMON, clients.CONSUMERS):
        raise SignInRefused(9001023, name=PASSWORD)
    registration = _registration(session, asked)
    if asked.tenant is None:
        clients.check_shared(registration, asked.named)
        return None
    if not clients.policy_of(session, asked.tenant.id).password_grant:
        raise SignInRefused(7000014, organisation=asked.tenant.display_name)
    return _client(
        session, asked, registration, asked.tenant, now, is_public=registration.is_public
    )


def password(
    session: Session, asked: Asked, identity: ExternalIdentity, *, now: datetime
) -> Issued:
    """Tokens for somebody whose password was right, in his own organisation only: guests sign in
    where their account is (tokens.md, section 3). Raises SignInRefused.
    """
    tenant_id = identity.home_tenant_id
    values = {"account": identity.label}
    if tenant_id is None or (asked.tenant is not None and asked.tenant.id != tenant_id):
        raise SignInRefused(50034, **values)
    tenant = session.get_one(Tenant, tenant_id)
    if not clients.policy_of(session, tenant.id).password_grant:
        raise SignInRefused(7000014, organisation=tenant.display_name)
    registration = _registration(session, asked)
    client = _client(session, asked, registration, tenant, now, is_public=registration.is_public)
    found = visitors.person(session, tenant, client.principal, identity, since=now, now=now)
    wanted = scopes.read(needed(asked.parameters, "scope"))
    kept = _begin(
        session,
        client,
        found.user,
        wanted,
        grant_id=new_id(),
        session_id=None,
        signed_in_at=now,
        now=now,
    )
    return _issue(session, client, found.user, kept, wanted, asked, now)


def purge(session: Session, now: datetime) -> int:
    """Delete codes, sign-ins and refresh tokens that nothing hangs on any more; returns how many
    codes.
    """
    codes = session.execute(delete(AuthorizationCode).where(AuthorizationCode.expires_at <= now))
    session.execute(delete(RefreshToken).where(RefreshToken.expires_at <= now))
    over = select(SignInGrant.tenant_id, SignInGrant.id).where(SignInGrant.expires_at <= now)
    for tenant_id, grant_id in session.execute(over).all():
        end(session, tenant_id, grant_id)
    device_codes.purge(session, now)
    return codes.rowcount  # type: ignore[attr-defined, no-any-return]
