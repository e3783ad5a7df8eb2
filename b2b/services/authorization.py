"""The authorize endpoint without HTTP: who asks, for whom, what has to be consented to, and a code
that works once.

The client and its redirect URI are settled first; until then nothing is sent anywhere (threats.md,
OIDC-1). A person is whoever the proven identity is in the tenant that the request names.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import urlencode, urlsplit, urlunsplit
from uuid import UUID

from sqlalchemy import insert
from sqlalchemy.orm import Session

from b2b import jose, keys
from b2b.actor import Actor, ExternalIdentity
from b2b.models import (
    Application,
    AuthorizationCode,
    Platform,
    Provider,
    Tenant,
    User,
    fold,
)
from b2b.services import (
    clients,
    consent,
    grants,
    graph_permissions,
    redemption,
    scopes,
    sessions,
    sign_in,
    signing_keys,
    tokens,
    visitors,
)
from b2b.services.aadsts import SignInRefused
from b2b.services.clients import Client, Parameters, needed, one
from b2b.services.scopes import Offered, Resource, Wanted
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


# Consent -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Missing:
    """What an application has not been granted yet, for the person at hand."""

    client: Client
    resource: Resource | None
    permissions: tuple[Offered, ...]
    """New ones, in the order that they were asked for."""
    needs_administrator: bool

    @property
    def values(self) -> list[str]:
        """Their names."""
        return [one.value for one in self.permissions]


def missing(
    session: Session,
    client: Client,
    user: User,
    wanted: Wanted,
    *,
    all_of_it: bool = False,
) -> Missing | None:
    """What has to be consented to before *wanted* can be issued; None for nothing.

    Identity scopes need no consent of their own in the application's tenant; elsewhere the first
    sign-in does, because it brings the application in. *all_of_it*: also what is granted already
    (prompt=consent). Raises SignInRefused (70011, 500011, 65001).
    """
    is_foreign = client.application is None
    if not wanted.names_resource:
        if is_foreign or all_of_it:
            return Missing(client, None, _identity(wanted), False)
        return None
    resource = scopes.resource_of(session, client.tenant, wanted)
    if resource is None:
        names = _registered_values(client.registration) if wanted.is_default else wanted.values
        return Missing(client, None, *_of_graph(names))
    own = client.application is not None and resource.principal.id == client.application.id
    if own and not all_of_it:
        scopes.offered(session, resource, [v for v in wanted.values if v != scopes.DEFAULT])
        return None
    held: frozenset[str] = frozenset()
    if client.application is not None:
        held = consent.granted(session, client.application, resource.principal, user.id)
    names = wanted.values
    if wanted.is_default:
        names = tuple(_required_values(session, client.registration, resource))
        if held and not all_of_it:
            names = ()
        elif not names and not held:
            raise SignInRefused(65001, application=client.name)
    offered = scopes.offered(session, resource, names)
    new = tuple(one for one in offered if all_of_it or one.value not in held)
    if not new and not is_foreign:
        return None
    return Missing(client, resource, new, any(one.admins_only for one in new))


def _identity(wanted: Wanted) -> tuple[Offered, ...]:
    found = (graph_permissions.SCOPES[name] for name in wanted.identity)
    return tuple(Offered(one.value, one.words, one.admins_only) for one in found)


def _of_graph(names: tuple[str, ...]) -> tuple[tuple[Offered, ...], bool]:
    """Graph's permissions in a tenant that has not met it yet."""
    for name in names:
        if name not in graph_permissions.SCOPES:
            raise SignInRefused(70011, name=name)
    found = [graph_permissions.SCOPES[name] for name in names]
    return (
        tuple(Offered(one.value, one.words, one.admins_only) for one in found),
        any(one.admins_only for one in found),
    )


def _registered_values(registration: Application) -> tuple[str, ...]:
    ids = _required_ids(registration, graph_permissions.APP_ID, "Scope")
    return tuple(name for name, one in graph_permissions.SCOPES.items() if str(one.scope) in ids)


def _required_ids(registration: Application, app_id: UUID, kind: str) -> set[str]:
    return {
        one["id"]
        for resource in registration.required_access
        if resource["resourceAppId"] == str(app_id)
        for one in resource["resourceAccess"]
        if one["type"] == kind
    }


def _required_values(session: Session, registration: Application, resource: Resource) -> list[str]:
    """Names of the delegated permissions that the registration says it needs at *resource*."""
    ids = _required_ids(registration, resource.principal.app_id, "Scope")
    return consent.scope_values(session, resource.principal, {UUID(one) for one in ids})


def may_consent(session: Session, actor: Actor, found: Missing) -> bool:
    """Whether *actor* may say yes to *found* for himself at least (threats.md, OIDC-8)."""
    policy = clients.policy_of(session, actor.tenant_id)
    return consent.may_consent_for_self(actor, policy, admins_only=found.needs_administrator)


def accept(session: Session, actor: Actor, found: Missing, *, for_all: bool) -> Client:
    """Write down that *actor* consents to *found*, for himself or for the organisation.

    Raises Denied.
    """
    assert actor.user_id is not None
    client = found.client
    if client.application is None:
        consent.require_self(session, actor, admins_only=found.needs_administrator)
        made = consent.add_to_tenant(session, actor, client.registration)
        client = replace(client, application=made)
    values = [name for name in found.values if found.resource or name not in scopes.IDENTITY]
    if values:
        resource = (
            consent.graph_principal(session, actor)
            if found.resource is None
            else found.resource.principal
        )
        principal = {} if for_all else {"principal_id": actor.user_id}
        consent.grant(session, actor, client.principal, resource, values, **principal)
    return client


@dataclass(frozen=True)
class AdminAsked:
    """A request that an administrator consents for the organisation to."""

    target: Target
    state: str | None
    wanted: Wanted | None
    """None: everything that the registration says it needs (the older endpoint)."""


@dataclass(frozen=True)
class Needed:
    """Permissions of one resource that an administrator is asked for."""

    name: str
    app_id: UUID
    scopes: tuple[Offered, ...]
    roles: tuple[Offered, ...]


def admin_request_of(target: Target, parameters: Parameters) -> AdminAsked:
    """Read a request for admin consent. Raises SignInRefused, for the client to be told."""
    text = one(parameters, "scope")
    wanted = None if text is None else scopes.read(text, application=target.name)
    if wanted is not None and (wanted.is_default or not wanted.names_resource):
        wanted = None
    return AdminAsked(target, one(parameters, "state"), wanted)


def needed_of(session: Session, client: Client, asked: AdminAsked) -> list[Needed]:
    """What an administrator is asked for: the scopes of the request, or all that the registration
    needs, by resource. Raises SignInRefused.
    """
    if asked.wanted is not None:
        resource = scopes.resource_of(session, client.tenant, asked.wanted)
        if resource is None:
            return [
                Needed(
                    graph_permissions.NAME,
                    graph_permissions.APP_ID,
                    _of_graph(asked.wanted.values)[0],
                    (),
                )
            ]
        offered = scopes.offered(session, resource, asked.wanted.values)
        principal = resource.principal
        return [Needed(principal.display_name, principal.app_id, tuple(offered), ())]
    found = []
    for one_resource in client.registration.required_access:
        app_id = UUID(one_resource["resourceAppId"])
        ids = {kind: _required_ids(client.registration, app_id, kind) for kind in ("Scope", "Role")}
        found.append(consent.described(session, client.tenant.id, app_id, ids))
    return [Needed(*one_found) for one_found in found if one_found is not None]


def accept_for_all(
    session: Session, actor: Actor, client: Client, needed_now: list[Needed]
) -> Client:
    """Write down that an administrator consents to all of it for the organisation.

    Raises Denied.
    """
    if client.application is None:
        consent.require_all(actor)
        made = consent.add_to_tenant(session, actor, client.registration)
        client = replace(client, application=made)
    for one_resource in needed_now:
        resource = consent.principal_of(session, actor, one_resource.app_id)
        if one_resource.scopes:
            values = [scope.value for scope in one_resource.scopes]
            consent.grant(session, actor, client.principal, resource, values)
        if one_resource.roles:
            roles = [role.value for role in one_resource.roles]
            consent.give_roles(session, actor, client.principal, resource, roles)
    return client


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
    sessions.note_application(
        session, signed_in.session_id, client.registration, actor.tenant_id, actor.now
    )
    note_sign_in(session, actor, signed_in.identity, client)
    return values


def note_sign_in(
    session: Session, actor: Actor, identity: ExternalIdentity, client: Client
) -> None:
    """Log that *actor* has signed in to an application."""
    app_id = client.registration.app_id
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
            "app_id": client.registration.app_id,
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


# Signing out ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Goodbye:
    """A request to sign out: where to go afterwards, and whether it may be done without asking."""

    application: str | None
    return_to: str | None
    proven: ExternalIdentity | None
    """Whose ID token at this client was shown: nobody else can have it sent."""


def goodbye(
    session: Session,
    tenant: Tenant | None,
    parameters: Parameters,
    identities: Sequence[ExternalIdentity],
    *,
    now: datetime,
) -> Goodbye:
    """Read a sign-out request (threats.md, OIDC-10). What is wrong with it counts as not sent.

    *identities* are signed in in the browser. `return_to` is one of the client's own redirect
    URIs, exactly, or nothing. Without a tenant, the ID token says which, or else the application's
    own counts.
    """
    try:
        hint = one(parameters, "id_token_hint")
        client_id = one(parameters, "client_id")
        wanted = one(parameters, "post_logout_redirect_uri")
        state = one(parameters, "state")
    except SignInRefused:
        return Goodbye(None, None, None)
    claims = {} if hint is None else _hinted(session, tenant, hint, now)
    audience = claims.get("aud", client_id)
    if not isinstance(audience, str) or (client_id or audience) != audience:
        return Goodbye(None, None, None)
    try:
        registration = clients.registration_of(session, audience, tenant)
        if tenant is None:
            tenant_id = UUID(str(claims.get("tid", registration.tenant_id)))
            tenant = session.get_one(Tenant, tenant_id)
        client = clients.in_tenant(session, registration, tenant)
    except SignInRefused:
        return Goodbye(None, None, None)
    return_to = None
    if wanted is not None and clients.platform_of(registration, wanted) is not None:
        return_to = answer_url(wanted, "query", {"state": state}) if state else wanted
    for identity in identities:
        who = visitors.somebody(session, tenant.id, identity)
        if who is not None and claims.get("sub") == tokens.subject(
            tenant.id, who.user.id, registration.app_id
        ):
            return Goodbye(client.name, return_to, identity)
    return Goodbye(client.name, return_to, None)


def _hinted(session: Session, tenant: Tenant | None, hint: str, now: datetime) -> dict[str, object]:
    """The claims of an ID token that was issued here, be it over or not; none if it was not."""
    try:
        claims = jose.verified(hint, lambda kid: signing_keys.find(session, kid, now=now))
        tenant_id = UUID(str(claims["tid"])) if tenant is None else tenant.id
    except (jose.Forged, KeyError, ValueError):
        return {}
    if claims.get("iss") != tokens.issuer(tenant_id) or "idtyp" in claims:
        return {}
    return claims
