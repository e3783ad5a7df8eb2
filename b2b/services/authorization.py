"""The authorize and token endpoints without HTTP: who asks, for whom, and a code that works once.

The client and its redirect URI are settled first; until then nothing is sent anywhere (threats.md,
OIDC-1). A person is whoever the proven identity is in the tenant that the request names.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlencode, urlsplit, urlunsplit
from uuid import UUID

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from b2b import jose, keys
from b2b.actor import Actor, ExternalIdentity
from b2b.models import (
    Application,
    AuthorizationCode,
    Domain,
    Identity,
    Invitation,
    Owner,
    ServicePrincipal,
    SignIn,
    Tenant,
    TenantKind,
    User,
    new_id,
)
from b2b.services import applications, redemption, sign_in, signing_keys, tokens
from b2b.services.aadsts import SignInRefused
from b2b.services.tokens import Grant

CODE_LIFE = timedelta(seconds=60)
OFFERED = ("openid", "profile", "email")
SCOPES = (*OFFERED, "offline_access")
"""Libraries ask for the last one unasked; there are no refresh tokens yet, so it gives nothing."""
RESPONSE_MODES = ("query", "fragment", "form_post")
PROMPTS = ("none", "login", "select_account", "consent")
SHARED = frozenset({"common", "organizations", "consumers"})
"""Names of the real service's endpoints for several tenants; registrations here are of one."""
SECRETS = ("code", "code_verifier", "client_secret", "client_assertion", "password")
"""What never stands in an address (threats.md, OIDC-9)."""
_LONGEST_NONCE = 512

Parameters = Mapping[str, Sequence[str]]
"""Values of each parameter, in the order in which they came."""

_TENANT = re.compile(r"[A-Za-z0-9.-]{1,253}")
_LOOPBACK = re.compile(r"(http://(?:localhost|127\.0\.0\.1|\[::1\])):\d{1,5}(?=/|\Z)")


@dataclass(frozen=True)
class Client:
    """An application that may be answered: registered, switched on, its redirect URI exact."""

    tenant: Tenant
    registration: Application
    application: ServicePrincipal
    redirect_uri: str


@dataclass(frozen=True)
class Request:
    """A valid authorize request."""

    client: Client
    response_mode: str
    state: str | None
    nonce: str | None
    scope: tuple[str, ...]
    prompt: str | None
    login_hint: str | None
    code_challenge: str | None


@dataclass(frozen=True)
class Person:
    """Who an identity is in a tenant; *identity* is what a guest redeemed with."""

    user: User
    identity: Identity | None


@dataclass(frozen=True)
class Issued:
    """What a code was good for."""

    access_token: str
    id_token: str | None
    scope: str
    expires_in: int
    client_info: str


def tenant_named(session: Session, name: str) -> Tenant:
    """The organisation with this id or verified domain. Raises SignInRefused."""
    if name.lower() in SHARED:
        raise SignInRefused(50194, name=name)
    if not _TENANT.fullmatch(name):
        raise SignInRefused(90002, name=name[:253])
    query = select(Tenant).where(Tenant.kind == TenantKind.ORGANISATION)
    try:
        query = query.where(Tenant.id == UUID(name))
    except ValueError:
        query = query.join(Domain, Domain.tenant_id == Tenant.id).where(
            Domain.name == name.lower(), Domain.verified_at.is_not(None)
        )
    found = session.scalars(query).one_or_none()
    if found is None:
        raise SignInRefused(90002, name=name[:253])
    return found


def one(parameters: Parameters, name: str) -> str | None:
    """The only value of a parameter; none and an empty one are alike. Raises SignInRefused."""
    values = parameters.get(name, ())
    if len(values) > 1:
        raise SignInRefused(9000411, name=name)
    return values[0] if values and values[0] else None


def needed(parameters: Parameters, name: str) -> str:
    """The only value of a parameter that has to be there. Raises SignInRefused."""
    value = one(parameters, name)
    if value is None:
        raise SignInRefused(900144, name=name)
    return value


# The request ------------------------------------------------------------------------------------


def client_of(session: Session, tenant: Tenant, parameters: Parameters) -> Client:
    """Whom an authorize request may be answered to. Raises SignInRefused, for a page of ours."""
    registration, application = _registered(session, tenant, needed(parameters, "client_id"))
    redirect_uri = needed(parameters, "redirect_uri")
    if not is_registered(registration, redirect_uri):
        raise SignInRefused(
            50011, application=application.display_name, organisation=tenant.display_name
        )
    if not application.account_enabled:
        raise SignInRefused(
            7000112, application=application.display_name, organisation=tenant.display_name
        )
    return Client(tenant, registration, application, redirect_uri)


def _registered(
    session: Session, tenant: Tenant, client_id: str
) -> tuple[Application, ServicePrincipal]:
    refused = SignInRefused(
        700016, name=client_id[:64], application=client_id[:64], organisation=tenant.display_name
    )
    try:
        app_id = UUID(client_id)
    except ValueError:
        raise refused from None
    row = session.execute(
        select(Application, ServicePrincipal)
        .join(
            ServicePrincipal,
            (ServicePrincipal.tenant_id == Application.tenant_id)
            & (ServicePrincipal.app_id == Application.app_id),
        )
        .where(Application.tenant_id == tenant.id, Application.app_id == app_id)
    ).one_or_none()
    if row is None:
        raise refused
    return row[0], row[1]


def is_registered(registration: Application, uri: str) -> bool:
    """Whether *uri* is one of the registration's, character by character.

    A loopback address that is registered without a port stands for any port (RFC 8252, 7.3).
    """
    known = registration.redirect_uris
    if uri in known:
        return True
    without_port = _LOOPBACK.sub(r"\1", uri, count=1) if _LOOPBACK.match(uri) else None
    return registration.is_public and without_port in known


def request_of(client: Client, parameters: Parameters) -> Request:
    """The rest of an authorize request. Raises SignInRefused, for the client to be told."""
    values = {"application": client.application.display_name}
    response_type = " ".join(sorted(needed(parameters, "response_type").split()))
    if response_type in ("id_token", "code id_token"):
        raise SignInRefused(700054, **values)
    if response_type != "code":
        raise SignInRefused(70005, **values)
    mode = one(parameters, "response_mode") or "query"
    if mode not in RESPONSE_MODES:
        raise SignInRefused(70005, **values)
    scope = tuple(dict.fromkeys(needed(parameters, "scope").split()))
    if not scope or not set(scope) <= set(SCOPES):
        raise SignInRefused(70011, **values)
    nonce = one(parameters, "nonce")
    if nonce is not None and (len(nonce) > _LONGEST_NONCE or "\0" in nonce):
        raise SignInRefused(90023, name="nonce", **values)
    prompt = one(parameters, "prompt")
    if prompt is not None and prompt not in PROMPTS:
        raise SignInRefused(90023, name="prompt", **values)
    return Request(
        client,
        mode,
        one(parameters, "state"),
        nonce,
        scope,
        prompt,
        one(parameters, "login_hint"),
        _challenge(client, parameters),
    )


def _challenge(client: Client, parameters: Parameters) -> str | None:
    """The S256 challenge (RFC 7636): has to be there for public clients, and nothing else does."""
    challenge = one(parameters, "code_challenge")
    method = one(parameters, "code_challenge_method")
    values = {"application": client.application.display_name}
    if challenge is None:
        if client.registration.is_public:
            raise SignInRefused(9002325, **values)
        return None
    if method != "S256" or not re.fullmatch(r"[A-Za-z0-9_-]{43}", challenge):
        raise SignInRefused(50147, **values)
    return challenge


def answer_url(redirect_uri: str, mode: str, values: Mapping[str, str]) -> str:
    """The redirect URI with an answer: behind its own query, or as its fragment."""
    parts = urlsplit(redirect_uri)
    answer = urlencode(values)
    if mode == "fragment":
        return urlunsplit((*parts[:4], answer))
    query = f"{parts.query}&{answer}" if parts.query else answer
    return urlunsplit((*parts[:3], query, parts.fragment))


# The person -------------------------------------------------------------------------------------


def person(
    session: Session,
    tenant: Tenant,
    application: ServicePrincipal,
    identity: ExternalIdentity,
    *,
    since: datetime,
    now: datetime,
) -> Person:
    """Who *identity* is in *tenant*, if he may use *application* now.

    *since* is when the browser's session began. Raises SignInRefused: 50020 nobody there, 65001
    invited and not accepted yet, 50014 the same without an invitation in force, 50057 blocked,
    50058 signed out everywhere since, 50105 not assigned.
    """
    values = {
        "account": identity.label,
        "organisation": tenant.display_name,
        "application": application.display_name,
    }
    found = _somebody(session, tenant.id, identity)
    if found is None:
        if redemption.open_direct(session, tenant.id, identity, now=now) is not None:
            raise SignInRefused(65001, **values)
        if _was_invited(session, tenant.id, identity):
            raise SignInRefused(50014, **values)
        raise SignInRefused(50020, **values)
    user = found.user
    if user.deleted_at is not None:
        raise SignInRefused(50020, **values)
    if not user.account_enabled:
        raise SignInRefused(50057, **values)
    if user.sessions_valid_from is not None and since < user.sessions_valid_from:
        raise SignInRefused(50058, **values)
    if not applications.lets_in(session, application, user):
        raise SignInRefused(50105, **values)
    return found


def _somebody(session: Session, tenant_id: UUID, identity: ExternalIdentity) -> Person | None:
    if identity.home_tenant_id == tenant_id and identity.home_user_id is not None:
        user = session.get(User, (tenant_id, identity.home_user_id), populate_existing=True)
        return None if user is None else Person(user, None)
    row = session.execute(
        select(User, Identity)
        .join(Identity, (Identity.tenant_id == User.tenant_id) & (Identity.user_id == User.id))
        .where(
            Identity.tenant_id == tenant_id,
            Identity.issuer == identity.issuer,
            Identity.subject == identity.subject,
        )
        .execution_options(populate_existing=True)
    ).one_or_none()
    return None if row is None else Person(row[0], row[1])


def _was_invited(session: Session, tenant_id: UUID, identity: ExternalIdentity) -> bool:
    if not identity.proven:
        return False
    found = session.scalars(
        select(User).where(
            User.tenant_id == tenant_id,
            User.invited_key.in_(sorted(identity.proven)),
            User.deleted_at.is_(None),
        )
    )
    return any(user.is_pending for user in found)


@dataclass(frozen=True)
class Contact:
    """Somebody to ask; *mail* may be unknown."""

    name: str
    mail: str | None


def whom_to_ask(
    session: Session, tenant: Tenant, application: ServicePrincipal, identity: ExternalIdentity
) -> list[Contact]:
    """Who can help somebody who is not let in. A guest is told of the person who invited him and
    of nobody else: who owns what is not for outsiders to see.
    """
    found = _somebody(session, tenant.id, identity)
    if found is None:
        return []
    if found.user.is_guest:
        rows = session.execute(
            select(Invitation.inviter_name, Invitation.inviter_mail).where(
                Invitation.tenant_id == tenant.id, Invitation.user_id == found.user.id
            )
        )
    else:
        rows = session.execute(
            select(User.display_name, User.mail)
            .join(Owner, (Owner.tenant_id == User.tenant_id) & (Owner.user_id == User.id))
            .where(
                Owner.tenant_id == tenant.id,
                Owner.owned_id == application.id,
                User.account_enabled,
                User.deleted_at.is_(None),
            )
            .order_by(User.name_key, User.id)
            .limit(3)
        )
    return [Contact(*row) for row in rows]


def note_refusal(
    session: Session,
    tenant: Tenant,
    application: ServicePrincipal,
    identity: ExternalIdentity,
    refused: SignInRefused,
    seen: Actor,
) -> None:
    """Log that a proven identity was turned away, with the true reason; *seen* says from where."""
    found = _somebody(session, tenant.id, identity)
    session.execute(
        insert(SignIn),
        {
            "tenant_id": tenant.id,
            "id": new_id(),
            "at": seen.now,
            "user_id": None if found is None else found.user.id,
            "identity": identity.label[:320],
            "method": str(identity.provider or "password"),
            "application": application.display_name,
            "error_code": refused.number,
            "failure_reason": str(refused)[:512],
            "ip_address": seen.ip_address,
            "user_agent": (seen.user_agent or "")[:256] or None,
            "correlation_id": seen.correlation_id,
        },
    )


# The code ---------------------------------------------------------------------------------------


def issue_code(
    session: Session,
    actor: Actor,
    request: Request,
    identity: ExternalIdentity,
    *,
    session_id: UUID,
    signed_in_at: datetime,
) -> str:
    """A code for *actor*, whom `person` has found; his sign-in to the application is logged."""
    assert actor.user_id is not None
    code = keys.new_secret()
    session.execute(
        insert(AuthorizationCode),
        {
            "code_hash": keys.digest(code),
            "tenant_id": actor.tenant_id,
            "user_id": actor.user_id,
            "app_id": request.client.application.app_id,
            "session_id": session_id,
            "redirect_uri": request.client.redirect_uri,
            "scope": " ".join(request.scope),
            "nonce": request.nonce,
            "code_challenge": request.code_challenge,
            "signed_in_at": signed_in_at,
            "expires_at": actor.now + CODE_LIFE,
        },
    )
    redemption.log_sign_in(
        session, actor, identity, application=request.client.application.display_name
    )
    return code


def redeem_code(
    session: Session, tenant: Tenant, parameters: Parameters, *, now: datetime
) -> Issued | SignInRefused:
    """Tokens for a code, once. The caller commits either way: a replay takes back what the first
    use was given (threats.md, OIDC-3).
    """
    try:
        registration, application = _client_of_token(session, tenant, parameters)
        code_hash = keys.digest(needed(parameters, "code"))
        redirect_uri = needed(parameters, "redirect_uri")
        verifier = one(parameters, "code_verifier")
        row = session.get(AuthorizationCode, code_hash, populate_existing=True)
        if row is None or (row.tenant_id, row.app_id) != (tenant.id, registration.app_id):
            raise SignInRefused(70000)
        if row.redeemed_at is not None:
            return _replayed(session, code_hash)
        if row.expires_at <= now:
            raise SignInRefused(70008)
        if row.redirect_uri != redirect_uri:
            raise SignInRefused(500112)
        _check_verifier(row.code_challenge, verifier)
        issued_at = row.expires_at - CODE_LIFE
        won = session.execute(
            update(AuthorizationCode)
            .where(
                AuthorizationCode.code_hash == code_hash, AuthorizationCode.redeemed_at.is_(None)
            )
            .values(redeemed_at=now, expires_at=now + tokens.LIFE)
            .execution_options(synchronize_session=False)
        )
        if not won.rowcount:  # type: ignore[attr-defined]
            return _replayed(session, code_hash)
        grant = _grant(session, tenant, application, row, issued_at)
    except SignInRefused as refused:
        return refused
    signer = signing_keys.signer(session, now=now)
    info = json.dumps({"uid": str(row.user_id), "utid": str(tenant.id)}).encode()
    return Issued(
        tokens.access_token(signer, grant, now=now),
        tokens.id_token(signer, grant, now=now) if "openid" in grant.scope else None,
        " ".join(grant.scope),
        int(tokens.LIFE.total_seconds()),
        base64.urlsafe_b64encode(info).decode().rstrip("="),
    )


def _client_of_token(
    session: Session, tenant: Tenant, parameters: Parameters
) -> tuple[Application, ServicePrincipal]:
    registration, application = _registered(session, tenant, needed(parameters, "client_id"))
    values = {
        "application": application.display_name,
        "organisation": tenant.display_name,
    }
    if not application.account_enabled:
        raise SignInRefused(7000112, **values)
    if not registration.is_public:
        raise SignInRefused(7000218, **values)
    if one(parameters, "client_secret") or one(parameters, "client_assertion"):
        raise SignInRefused(700025, **values)
    return registration, application


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


def _replayed(session: Session, code_hash: bytes) -> SignInRefused:
    """Whoever has the code twice may have stolen it: the tokens of the first use end now."""
    session.execute(delete(AuthorizationCode).where(AuthorizationCode.code_hash == code_hash))
    return SignInRefused(54005)


def _grant(
    session: Session,
    tenant: Tenant,
    application: ServicePrincipal,
    row: AuthorizationCode,
    issued_at: datetime,
) -> Grant:
    """What the tokens say, as things stand now: a minute is long enough to be blocked in."""
    user = session.get(User, (row.tenant_id, row.user_id), populate_existing=True)
    values = {
        "account": user.user_principal_name if user else "",
        "organisation": tenant.display_name,
        "application": application.display_name,
    }
    if user is None or not user.may_sign_in:
        raise SignInRefused(50057, **values)
    if user.sessions_valid_from is not None and issued_at < user.sessions_valid_from:
        raise SignInRefused(50058, **values)
    if not applications.lets_in(session, application, user):
        raise SignInRefused(50105, **values)
    return Grant(
        user=user,
        identity=sign_in.identity_of_guest(session, user),
        app_id=row.app_id,
        roles=tuple(applications.roles_in(session, application, user)),
        scope=tuple(name for name in row.scope.split() if name != "offline_access"),
        nonce=row.nonce,
        signed_in_at=row.signed_in_at,
        code_hash=row.code_hash,
    )


def purge(session: Session, now: datetime) -> int:
    """Delete codes that nothing hangs on any more; returns how many."""
    result = session.execute(delete(AuthorizationCode).where(AuthorizationCode.expires_at <= now))
    return result.rowcount  # type: ignore[attr-defined, no-any-return]


# Signing out ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Goodbye:
    """A request to sign out: where to go afterwards, and whether it may be done without asking."""

    application: str | None
    return_to: str | None
    proven: bool
    """The ID token of this very person at this client was shown: nobody else can have it sent."""


def goodbye(
    session: Session,
    tenant: Tenant,
    parameters: Parameters,
    identity: ExternalIdentity | None,
    *,
    now: datetime,
) -> Goodbye:
    """Read a sign-out request (threats.md, OIDC-10). What is wrong with it counts as not sent.

    `return_to` is one of the client's own redirect URIs, exactly, or nothing.
    """
    try:
        hint = one(parameters, "id_token_hint")
        client_id = one(parameters, "client_id")
        wanted = one(parameters, "post_logout_redirect_uri")
        state = one(parameters, "state")
    except SignInRefused:
        return Goodbye(None, None, False)
    claims = {} if hint is None else _hinted(session, tenant, hint, now)
    audience = claims.get("aud", client_id)
    if not isinstance(audience, str) or (client_id or audience) != audience:
        return Goodbye(None, None, False)
    try:
        registration, application = _registered(session, tenant, audience)
    except SignInRefused:
        return Goodbye(None, None, False)
    return_to = None
    if wanted is not None and is_registered(registration, wanted):
        return_to = answer_url(wanted, "query", {"state": state}) if state else wanted
    who = None if identity is None else _somebody(session, tenant.id, identity)
    proven = who is not None and claims.get("sub") == tokens.subject(
        tenant.id, who.user.id, registration.app_id
    )
    return Goodbye(application.display_name, return_to, proven)


def _hinted(session: Session, tenant: Tenant, hint: str, now: datetime) -> dict[str, object]:
    """The claims of an ID token that was issued here, be it over or not; none if it was not."""
    try:
        claims = jose.verified(hint, lambda kid: signing_keys.find(session, kid, now=now))
    except jose.Forged:
        return {}
    if claims.get("iss") != tokens.issuer(tenant.id) or "idtyp" in claims:
        return {}
    return claims
