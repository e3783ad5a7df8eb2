"""The authorize endpoint without HTTP: who asks, for whom, and a code that works once.

The client and its redirect URI are settled first; until then nothing is sent anywhere (threats.md,
OIDC-1). A person is whoever the proven identity is in the tenant that the request names.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlencode, urlsplit, urlunsplit
from uuid import UUID

from sqlalchemy import insert
from sqlalchemy.orm import Session

from b2b import keys
from b2b.actor import Actor, ExternalIdentity
from b2b.models import Application, AuthorizationCode, Platform, Provider, Tenant, User, fold
from b2b.services import (
    clients,
    grants,
    redemption,
    scopes,
    sessions,
    sign_in,
    signing_keys,
    tokens,
)
from b2b.services.aadsts import SignInRefused
from b2b.services.clients import Client, Parameters, needed, one
from b2b.services.scopes import Wanted
from b2b.services.tokens import Grant

RESPONSE_MODES = ("query", "fragment", "form_post")
RESPONSE_TYPES = ("code", "id_token", "code id_token")
PROMPTS = frozenset({"none", "login", "select_account", "consent"})
SECRETS = ("code", "code_verifier", "client_secret", "client_assertion", "password")
"""What never stands in an address (threats.md, OIDC-9)."""
_LONGEST_NONCE = 512
_LONGEST_AGE = 10**9


@dataclass(frozen=True)
class Target:
    """Where an authorize request may be answered to: registered, switched on, redirect URI exact.

    *tenant* is None while the address leaves it to the person (`common`, `organizations`).
    """

    registration: Application
    redirect_uri: str
    platform: Platform
    named: str
    tenant: Tenant | None
    client: Client | None
    """What the application is in the tenant, if that is known."""

    @property
    def name(self) -> str:
        """What the application is called."""
        return self.registration.display_name if self.client is None else self.client.name


@dataclass(frozen=True)
class Request:
    """A valid authorize request."""

    target: Target
    response_type: str
    response_mode: str
    state: str | None
    nonce: str | None
    wanted: Wanted
    prompts: frozenset[str]
    login_hint: str | None
    domain_hint: str | None
    max_age: int | None
    """Seconds that a sign-in may lie back."""
    code_challenge: str | None

    @property
    def is_silent(self) -> bool:
        """Whether no page may be shown."""
        return "none" in self.prompts


# The request ------------------------------------------------------------------------------------


def target_of(session: Session, named: str, parameters: Parameters) -> Target:
    """Whom an authorize request may be answered to. Raises SignInRefused, for a page of ours."""
    tenant = clients.place_named(session, named)
    registration = clients.registration_of(session, needed(parameters, "client_id"), tenant)
    redirect_uri = needed(parameters, "redirect_uri")
    client = None
    if tenant is not None:
        client = clients.in_tenant(session, registration, tenant)
    platform = clients.platform_of(registration, redirect_uri)
    if platform is None:
        raise SignInRefused(
            50011,
            application=registration.display_name if client is None else client.name,
            organisation="-" if tenant is None else tenant.display_name,
        )
    if tenant is None:
        clients.check_shared(registration, named)
    return Target(registration, redirect_uri, platform, named, tenant, client)


def request_of(session: Session, target: Target, parameters: Parameters) -> Request:
    """The rest of an authorize request. Raises SignInRefused, for the client to be told."""
    values = {"application": target.name}
    registration = target.registration
    asked = needed(parameters, "response_type").split()
    response_type = " ".join(sorted(asked))
    if "token" in asked:
        raise SignInRefused(700051, **values)
    if response_type not in RESPONSE_TYPES:
        raise SignInRefused(70005, **values)
    has_id_token = "id_token" in asked
    if has_id_token and not registration.issues_id_tokens:
        raise SignInRefused(700054, **values)
    mode = one(parameters, "response_mode") or ("fragment" if has_id_token else "query")
    if mode not in RESPONSE_MODES:
        raise SignInRefused(70005, **values)
    if has_id_token and mode == "query":
        raise SignInRefused(70007, **values)
    wanted = scopes.read(needed(parameters, "scope"), **values)
    nonce = one(parameters, "nonce")
    if has_id_token and nonce is None:
        raise SignInRefused(900144, name="nonce", **values)
    if has_id_token and "openid" not in wanted.identity:
        raise SignInRefused(70011, name="openid", **values)
    if nonce is not None and (len(nonce) > _LONGEST_NONCE or "\0" in nonce):
        raise SignInRefused(90023, name="nonce", **values)
    prompts = frozenset((one(parameters, "prompt") or "").split())
    if not prompts <= PROMPTS or ("none" in prompts and len(prompts) > 1):
        raise SignInRefused(90023, name="prompt", **values)
    return Request(
        target,
        response_type,
        mode,
        one(parameters, "state"),
        nonce,
        wanted,
        prompts,
        one(parameters, "login_hint"),
        one(parameters, "domain_hint"),
        _age(parameters, values),
        _challenge(session, target, parameters) if "code" in asked else None,
    )


def _age(parameters: Parameters, values: Mapping[str, object]) -> int | None:
    text = one(parameters, "max_age")
    if text is None:
        return None
    if not re.fullmatch(r"\d{1,10}", text, re.ASCII):
        raise SignInRefused(90023, name="max_age", **values)
    return min(int(text), _LONGEST_AGE)


def _challenge(session: Session, target: Target, parameters: Parameters) -> str | None:
    """The S256 challenge (RFC 7636): has to be there for programs without a secret, and where a
    registration or the tenant asks for it (threats.md, OIDC-2). No other method will do.
    """
    challenge = one(parameters, "code_challenge")
    method = one(parameters, "code_challenge_method")
    values = {"application": target.name}
    if challenge is None:
        by_tenant = (
            target.tenant is not None
            and clients.policy_of(session, target.tenant.id).proof_key_required
        )
        registration = target.registration
        if target.platform is not Platform.WEB or registration.requires_proof_key or by_tenant:
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


# The tenant --------------------------------------------------------------------------------------


def settled(session: Session, target: Target, identity: ExternalIdentity) -> Client:
    """The application in the tenant of the request, or, where that is left open, in the directory
    that the person's account is in. Raises SignInRefused (50020) for an account without one.
    """
    if target.client is not None:
        return target.client
    tenant = home_of(session, target.registration, target.named, identity)
    return clients.in_tenant(session, target.registration, tenant)


def home_of(
    session: Session, registration: Application, named: str, identity: ExternalIdentity
) -> Tenant:
    """The directory that `common` or `organizations` stands for. Raises SignInRefused."""
    personal = identity.provider is Provider.PERSONAL
    audience = registration.sign_in_audience
    fits = identity.home_tenant_id is not None and (
        audience.takes_personal and named.lower() == clients.COMMON
        if personal
        else audience.takes_organisations
    )
    if not fits or identity.home_tenant_id is None:
        raise SignInRefused(
            50020,
            account=identity.label,
            organisation=named,
            application=registration.display_name,
        )
    return session.get_one(Tenant, identity.home_tenant_id)


# Which account -----------------------------------------------------------------------------------


def fitting(
    session: Session, request: Request, signed_in: Sequence[ExternalIdentity]
) -> list[ExternalIdentity]:
    """Who of those that are signed in in a browser may be meant: by `login_hint` the one with that
    name or nobody; by `domain_hint` those from there, if there are any; else everybody.
    """
    if request.login_hint is not None:
        wanted = fold(request.login_hint.strip())
        return [one for one in signed_in if wanted in (fold(one.label), *one.proven)]
    if request.domain_hint is not None:
        hint = request.domain_hint.strip().lower()
        tenant_id = sign_in.tenant_of_domain(session, hint)
        return [one for one in signed_in if _is_from(one, hint, tenant_id)] or list(signed_in)
    return list(signed_in)


def _is_from(one: ExternalIdentity, hint: str, tenant_id: UUID | None) -> bool:
    if hint == clients.ORGANISATIONS:
        return one.provider is not Provider.PERSONAL
    if hint == clients.CONSUMERS:
        return one.provider is not Provider.DIRECTORY
    if tenant_id is not None:
        return one.home_tenant_id == tenant_id
    return one.label.lower().endswith(f"@{hint}")


# The code ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SignedIn:
    """A browser's sign-in, as the answer of the authorize endpoint needs it."""

    identity: ExternalIdentity
    session_id: UUID
    signed_in_at: datetime


def answer(
    session: Session, actor: Actor, client: Client, request: Request, signed_in: SignedIn
) -> dict[str, str]:
    """What the application is told about *actor*, whom `visitors.person` has found: a code, an ID
    token, or both. His sign-in to the application is logged.
    """
    values = {}
    if "code" in request.response_type.split():
        values["code"] = issue_code(session, actor, client, request, signed_in)
    if "id_token" in request.response_type:
        assert actor.user_id is not None
        user = session.get_one(User, (actor.tenant_id, actor.user_id))
        grant = Grant(
            user=user,
            identity=sign_in.identity_of_guest(session, user),
            client=client,
            scope=request.wanted.identity,
            nonce=request.nonce,
            signed_in_at=signed_in.signed_in_at,
            grant_id=signed_in.session_id,
            session_id=signed_in.session_id,
        )
        values["id_token"] = tokens.id_token(
            session,
            signing_keys.signer(session, now=actor.now),
            grant,
            now=actor.now,
            code=values.get("code"),
            in_address=request.response_mode == "fragment",
        )
    if client.hears_of_ends:
        sessions.note_application(
            session, signed_in.session_id, client.app_id, actor.tenant_id, actor.now
        )
    note_sign_in(session, actor, signed_in.identity, client)
    return values


def note_sign_in(
    session: Session, actor: Actor, identity: ExternalIdentity, client: Client
) -> None:
    """Log that *actor* has signed in to an application."""
    app_id = client.app_id
    redemption.log_sign_in(session, actor, identity, application=client.name, app_id=app_id)


def issue_code(
    session: Session, actor: Actor, client: Client, request: Request, signed_in: SignedIn
) -> str:
    """A code for *actor*."""
    code = keys.new_secret()
    session.execute(
        insert(AuthorizationCode),
        {
            "code_hash": keys.digest(code),
            "tenant_id": actor.tenant_id,
            "user_id": actor.user_id,
            "app_id": client.app_id,
            "session_id": signed_in.session_id,
            "redirect_uri": request.target.redirect_uri,
            "scope": request.wanted.text,
            "nonce": request.nonce,
            "code_challenge": request.code_challenge,
            "signed_in_at": signed_in.signed_in_at,
            "expires_at": actor.now + grants.CODE_LIFE,
        },
    )
    return code
