"""Claims in, signed tokens out, and back (tokens.md, section 4)."""

import hashlib
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from b2b import jose, links
from b2b.jose import Signer
from b2b.models import (
    Application,
    GroupClaims,
    Identity,
    Membership,
    Provider,
    Tenant,
    User,
)
from b2b.services import (
    applications,
    claims_mapping,
    graph_permissions,
    roles,
    scopes,
    signing_keys,
    standing,
)
from b2b.services.clients import Client
from b2b.services.scopes import Resource
from b2b.services.standing import Person, Standing

LIFE = timedelta(hours=1)
GRAPH = graph_permissions.URI
"""Audience of access tokens for Graph, which userinfo belongs to."""
PERSON, PROGRAM = "user", "app"
"""The claim `idtyp`, which access tokens alone carry: an ID token is never taken for one."""
SKEW = timedelta(minutes=5)
"""How far a token may lie in the future: clocks differ."""
MOST_GROUPS, MOST_GROUPS_IN_ADDRESS = 200, 6
"""Above it a token says where the groups can be asked for (tokens.md, overage)."""
_ROLELESS_MEMBER = "b79fbf4d-3ef9-4689-8143-76b194e85509"
_ROLELESS_GUEST = "13bd1c72-6f4a-4dcf-985f-18d3b80f208a"


@dataclass(frozen=True)
class Grant:
    """What a person's tokens are made of: who, by which account, for which application."""

    user: User
    """As the resource tenant knows him; its tenant is the tokens'."""
    identity: Identity | None
    """What a guest redeemed with; None for people whose home the tenant is."""
    client: Client
    scope: tuple[str, ...]
    """Identity scopes."""
    nonce: str | None
    signed_in_at: datetime
    grant_id: UUID
    """The sign-in that every token hangs on; they end with its row."""
    session_id: UUID | None = None

    @property
    def life(self) -> timedelta:
        """Of access and ID tokens."""
        return life_of(self.client.registration)


def life_of(registration: Application) -> timedelta:
    """How long access and ID tokens of an application live."""
    seconds = registration.token_seconds
    return LIFE if seconds is None else timedelta(seconds=seconds)


@dataclass(frozen=True)
class Access:
    """What a good access token for Graph says, as things stand now."""

    tenant_id: UUID
    app_id: UUID
    standing: Standing
    subject: str
    scope: frozenset[str]
    """Delegated permissions that are still granted, and identity scopes."""
    roles: frozenset[str]
    """Application permissions that the program still holds."""

    @property
    def user(self) -> Person | None:
        """Who stands behind it; None: the program itself."""
        return self.standing.person


class BadToken(Exception):
    """An access token that is forged, over, taken back, or for somebody else."""


def issuer(tenant_id: UUID) -> str:
    """Who issues tokens of version 2.0 for a tenant; discovery says the same."""
    return links.absolute(f"/{tenant_id}/v2.0")


def issuer_of_access(tenant_id: UUID) -> str:
    """Who issues tokens of version 1.0, and what stands for a home tenant in `idp`."""
    return links.absolute(f"/{tenant_id}/")


def subject(tenant_id: UUID, user_id: UUID, app_id: UUID) -> str:
    """The pairwise `sub`: the same person under another name in every application.

    A plain hash, so that it outlives every key: object ids are random, not to be guessed.
    """
    parts = b"pairwise" + tenant_id.bytes + user_id.bytes + app_id.bytes
    return jose.text(hashlib.sha256(parts).digest())


# Writing -----------------------------------------------------------------------------------------


def id_token(
    session: Session,
    signer: Signer,
    grant: Grant,
    *,
    now: datetime,
    code: str | None = None,
    in_address: bool = False,
) -> str:
    """Who has signed in, for the application `aud`.

    *code* is what is issued beside it; *in_address*: it travels in a fragment, so it stays short.
    """
    user, client = grant.user, grant.client
    wanted = _optional(client.registration, "idToken")
    claims = {
        **_common(grant, now),
        "ver": "2.0",
        "iss": issuer(user.tenant_id),
        "aud": str(client.app_id),
        "sub": subject(user.tenant_id, user.id, client.app_id),
        "auth_time": int(grant.signed_in_at.timestamp()),
        "oid": str(user.id) if "profile" in grant.scope else None,
        "preferred_username": sign_in_name(grant) if "profile" in grant.scope else None,
        "email": user.mail if _shows_mail(grant) or "email" in wanted else None,
        "idp": _idp(grant.identity),
        "nonce": grant.nonce,
        "roles": applications.roles_in(session, client.principal, user) or None,
        "c_hash": None if code is None else _half_hash(code),
        **_groups(session, user, client.registration, in_address=in_address),
        **_asked_for(session, grant, wanted),
    }
    if "wids" in wanted:
        claims["wids"] = _wids(session, user)
    if client.application is not None:
        claims = claims_mapping.applied(session, claims, user, client.application)
    return signer.sign(_stated(claims))


def access_token(
    session: Session,
    signer: Signer,
    grant: Grant,
    resource: Resource | None,
    values: Iterable[str],
    *,
    now: datetime,
) -> str:
    """What opens an API in somebody's name; *values* are the granted permissions.

    Without a resource it is for Graph and opens userinfo only. Tokens for Graph look as the real
    service's do (decisions.md, tokens).
    """
    user, client = grant.user, grant.client
    registration = None if resource is None else resource.registration
    wanted = frozenset() if registration is None else _optional(registration, "accessToken")
    scope = [*values]
    if registration is None:
        scope = [*(name for name in grant.scope if name != "offline_access"), *values]
    own_roles = (
        []
        if resource is None or resource.is_graph
        else applications.roles_in(session, resource.principal, user)
    )
    claims = {
        **_common(grant, now),
        **_about_client(
            client.app_id,
            client.proof,
            1 if resource is None else resource.version,
            GRAPH if resource is None else resource.audience,
            user.tenant_id,
        ),
        "sub": subject(
            user.tenant_id,
            user.id,
            client.app_id if registration is None else registration.app_id,
        ),
        "idtyp": PERSON,
        "oid": str(user.id),
        "scp": " ".join(scope),
        "roles": own_roles or None,
        "wids": _wids(session, user),
        "email": user.mail if _shows_mail(grant) or "email" in wanted else None,
        "idp": _idp(grant.identity),
        "rh": str(grant.grant_id),
    }
    if resource is not None and resource.version == 2:
        claims["preferred_username"] = sign_in_name(grant)
    else:
        claims |= {
            "amr": _amr(grant.identity),
            "unique_name": _unique_name(grant),
            "altsecid": _altsecid(grant.identity),
            "upn": None if grant.identity else user.user_principal_name,
            "family_name": user.surname,
            "given_name": user.given_name,
        }
    if registration is not None:
        claims |= _groups(session, user, registration)
        claims |= _asked_for(session, grant, wanted)
    if resource is not None and not resource.is_graph:
        claims = claims_mapping.applied(session, claims, user, resource.principal)
    return signer.sign(_stated(claims))


@dataclass(frozen=True)
class Program:
    """Who a program is that asks in its own name, once it has proven itself."""

    tenant_id: UUID
    app_id: UUID
    principal_id: UUID
    name: str
    credential_id: UUID
    proof: str
    """The claim `azpacr`."""
    life: timedelta
    """Of its tokens."""

    @classmethod
    def of(cls, client: Client) -> "Program":
        """A client with its credential."""
        assert client.credential is not None
        principal = client.principal
        return cls(
            client.tenant.id,
            client.app_id,
            principal.id,
            principal.display_name,
            client.credential.id,
            client.proof,
            life_of(client.registration),
        )


def app_token(
    signer: Signer, client: Client, resource: Resource, held: Iterable[str], *, now: datetime
) -> str:
    """What opens an API for a program itself; *held* are its application permissions there."""
    program, version = Program.of(client), resource.version
    return program_token(signer, program, resource.audience, held, version=version, now=now)


def program_token(
    signer: Signer,
    program: Program,
    audience: str,
    held: Iterable[str],
    *,
    version: int,
    now: datetime,
) -> str:
    """As `app_token`, by plain facts: *version* and *audience* those of the API's access tokens."""
    tenant_id = program.tenant_id
    issued = int(now.timestamp())
    claims = {
        **_about_client(program.app_id, program.proof, version, audience, tenant_id),
        "tid": str(tenant_id),
        "sub": str(program.principal_id),
        "oid": str(program.principal_id),
        "idp": (issuer if version == 2 else issuer_of_access)(tenant_id),
        "iat": issued,
        "nbf": issued,
        "exp": issued + int(program.life.total_seconds()),
        "uti": jose.text(secrets.token_bytes(16)),
        "idtyp": PROGRAM,
        "app_displayname": program.name,
        "roles": list(held) or None,
        "rh": str(program.credential_id),
    }
    return signer.sign(_stated(claims))


def _about_client(
    app_id: UUID, proof: str, version: int, audience: str, tenant_id: UUID
) -> dict[str, Any]:
    if version == 2:
        return {
            "ver": "2.0",
            "iss": issuer(tenant_id),
            "aud": audience,
            "azp": str(app_id),
            "azpacr": proof,
        }
    return {
        "ver": "1.0",
        "iss": issuer_of_access(tenant_id),
        "aud": audience,
        "appid": str(app_id),
        "appidacr": proof,
    }


def _common(grant: Grant, now: datetime) -> dict[str, Any]:
    user = grant.user
    issued = int(now.timestamp())
    return {
        "tid": str(user.tenant_id),
        "iat": issued,
        "nbf": issued,
        "exp": issued + int(grant.life.total_seconds()),
        "uti": jose.text(secrets.token_bytes(16)),
        "acct": 1 if user.is_guest else 0,
        "name": user.display_name if "profile" in grant.scope else None,
    }


def _stated(claims: dict[str, Any]) -> dict[str, Any]:
    """Without those that have no value: absent, never empty."""
    return {name: value for name, value in claims.items() if value is not None}


def _half_hash(text: str) -> str:
    """OpenID Connect Core, 3.3.2.11: the left half of the SHA-256."""
    return jose.text(hashlib.sha256(text.encode()).digest()[:16])


def _optional(registration: Application, kind: str) -> frozenset[str]:
    """Names of the optional claims that a registration asks for, with the ways of writing them."""
    found = set()
    for claim in (registration.optional_claims or {}).get(kind, ()):
        found.add(claim["name"])
        found |= {f"{claim['name']}:{how}" for how in claim.get("additionalProperties", ())}
    return frozenset(found)


def _asked_for(session: Session, grant: Grant, wanted: frozenset[str]) -> dict[str, Any]:
    """The optional claims of *wanted* (tokens.md, section 4)."""
    if not wanted:
        return {}
    user, identity = grant.user, grant.identity
    claims: dict[str, Any] = {}
    if "upn" in wanted:
        if identity is None or "upn:include_externally_authenticated_upn" in wanted:
            claims["upn"] = user.user_principal_name
        elif "upn:include_externally_authenticated_upn_without_hash" in wanted:
            claims["upn"] = user.user_principal_name.replace("#EXT#", "_EXT_")
    plain = {
        "family_name": user.surname,
        "given_name": user.given_name,
        "preferred_username": sign_in_name(grant),
        "login_hint": sign_in_name(grant),
        "ctry": user.usage_location,
        "xms_pl": user.preferred_language,
        "nickname": user.mail_nickname,
        "auth_time": int(grant.signed_in_at.timestamp()),
        "idtyp": PERSON,
    }
    if grant.session_id is not None:
        plain["sid"] = str(grant.session_id)
    claims |= {name: value for name, value in plain.items() if name in wanted}
    if "home_oid" in wanted and identity is not None and identity.provider is Provider.DIRECTORY:
        claims["home_oid"] = identity.subject
    if "verified_primary_email" in wanted and identity is not None:
        claims["verified_primary_email"] = [identity.label]
    if "xms_tpl" in wanted:
        tenant = session.get_one(Tenant, user.tenant_id)
        claims["xms_tpl"] = tenant.notification_language
    return claims


def _groups(
    session: Session, user: User, registration: Application, *, in_address: bool = False
) -> dict[str, Any]:
    """The claim `groups`, or where to ask when there are too many (tokens.md, overage)."""
    kind = registration.group_claims
    if kind is GroupClaims.NONE:
        return {}
    found: list[str] = []
    if kind in (GroupClaims.SECURITY, GroupClaims.ALL):
        found += [
            str(one)
            for one in session.scalars(
                select(Membership.group_id)
                .where(Membership.tenant_id == user.tenant_id, Membership.user_id == user.id)
                .order_by(Membership.group_id)
                .limit(MOST_GROUPS + 1)
            )
        ]
    if kind in (GroupClaims.ROLES, GroupClaims.ALL):
        found += sorted(str(role) for role in roles.of_user(session, user.tenant_id, user.id))
    if in_address and len(found) > MOST_GROUPS_IN_ADDRESS:
        return {"hasgroups": True}
    if len(found) > MOST_GROUPS:
        endpoint = links.absolute(f"/v1.0/users/{user.id}/getMemberObjects")
        return {
            "_claim_names": {"groups": "src1"},
            "_claim_sources": {"src1": {"endpoint": endpoint}},
        }
    return {"groups": found} if found else {}


def _wids(session: Session, user: User) -> list[str]:
    """Template ids of the person's directory roles, and one that everybody has."""
    held = sorted(str(role) for role in roles.of_user(session, user.tenant_id, user.id))
    return [*held, _ROLELESS_GUEST if user.is_guest else _ROLELESS_MEMBER]


def _shows_mail(grant: Grant) -> bool:
    """Guests' addresses by default, members' for the scope (tokens.md, section 4)."""
    return "email" in grant.scope or grant.identity is not None or grant.user.is_guest


def sign_in_name(grant: Grant) -> str:
    """The name by which the person signs in at home; it may change."""
    return grant.identity.label if grant.identity else grant.user.user_principal_name


def _unique_name(grant: Grant) -> str:
    if grant.identity is None or grant.identity.provider is Provider.DIRECTORY:
        return sign_in_name(grant)
    return f"{_idp(grant.identity)}#{grant.identity.label}"


def _altsecid(identity: Identity | None) -> str | None:
    """By which account a guest is known elsewhere, as tokens of version 1.0 say it (tokens.md,
    section 4): the kind, who issued it, and sixteen digits that stay the same.
    """
    if identity is None or identity.provider is Provider.PASSCODE:
        return None
    digest = hashlib.sha256(f"{identity.issuer} {identity.subject}".encode()).hexdigest()
    kind = "5::" if identity.provider is Provider.DIRECTORY else f"1:{_idp(identity)}:"
    return kind + digest[:16].upper()


def _idp(identity: Identity | None) -> str | None:
    """Where the account is that proved a guest; absent where it is the tenant itself."""
    if identity is None:
        return None
    match identity.provider:
        case Provider.DIRECTORY:
            return issuer_of_access(UUID(identity.issuer))
        case Provider.PERSONAL:
            return "live.com"
        case Provider.PASSCODE:
            return "mail"


def _amr(identity: Identity | None) -> list[str]:
    """How the person has proven who he is."""
    by_code = identity is not None and identity.provider is Provider.PASSCODE
    return ["otp"] if by_code else ["pwd"]


# Reading -----------------------------------------------------------------------------------------


def read(session: Session, token: str, *, now: datetime) -> dict[str, Any]:
    """The claims of an access token that is in force: signature, issuer, marker and time.

    For whom it is, and whether client and person still stand, is the caller's to ask. Raises
    BadToken.
    """
    try:
        claims = jose.verified(token, lambda kid: signing_keys.find(session, kid, now=now))
        tenant_id = UUID(str(claims["tid"]))
        issued, ends = float(claims["iat"]), float(claims["exp"])
    except (jose.Forged, KeyError, TypeError, ValueError) as error:
        raise BadToken from error
    written = {"1.0": issuer_of_access, "2.0": issuer}.get(str(claims.get("ver")))
    if (
        claims.get("idtyp") not in (PERSON, PROGRAM)
        or written is None
        or claims.get("iss") != written(tenant_id)
        or not issued - SKEW.total_seconds() <= now.timestamp() < ends
    ):
        raise BadToken
    return claims


def check_access(session: Session, token: str, *, now: datetime) -> Access:
    """What an access token for Graph says, if it is good now. Raises BadToken.

    Signature, issuer, audience, marker and time; and that sign-in, client, credential, person and
    consent still stand (threats.md, API-1, OIDC-5).
    """
    claims = read(session, token, now=now)
    try:
        tenant_id, app_id = UUID(claims["tid"]), UUID(claims["appid"])
        holder, reference = UUID(claims["oid"]), UUID(claims["rh"])
        scope = frozenset(str(claims.get("scp", "")).split())
        held = frozenset(str(role) for role in claims.get("roles", ()))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadToken from error
    if claims.get("aud") != GRAPH:
        raise BadToken
    connection = session.connection()
    if claims["idtyp"] == PROGRAM:
        found = standing.of_program(
            connection, tenant_id, app_id, principal_id=holder, credential_id=reference
        )
        asked, kept = held, frozenset[str]()
    else:
        found = standing.of_person(
            connection, tenant_id, app_id, user_id=holder, grant_id=reference
        )
        kept = scope & frozenset(scopes.IDENTITY)
        asked = scope - kept
    if found is None or (asked and asked.isdisjoint(found.held)):
        raise BadToken
    return Access(
        tenant_id,
        app_id,
        found,
        str(claims["sub"]) if found.person is None else subject(tenant_id, holder, app_id),
        kept if found.person is None else kept | (asked & found.held),
        asked & found.held if found.person is None else frozenset(),
    )


def userinfo(access: Access) -> Mapping[str, str]:
    """What userinfo tells: as much as the scopes allow; `sub` is the ID token's."""
    user = access.user
    claims: dict[str, str | None] = {"sub": access.subject}
    if user is not None and "profile" in access.scope:
        claims |= {
            "name": user.display_name,
            "given_name": user.given_name,
            "family_name": user.surname,
        }
    if user is not None and "email" in access.scope:
        claims["email"] = user.mail
    return {name: value for name, value in claims.items() if value is not None}
