"""Claims in, signed tokens out, and back: ID tokens, access tokens for userinfo (tokens.md, 4)."""

import base64
import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from b2b import jose, links
from b2b.jose import Signer
from b2b.models import AuthorizationCode, Identity, Provider, User
from b2b.services import applications, signing_keys

LIFE = timedelta(hours=1)
GRAPH = "https://graph.microsoft.com"
"""Audience of access tokens for userinfo, which belongs to Graph."""
ACCESS = "user"
"""The claim `idtyp`, which access tokens alone carry: an ID token is never taken for one."""
SKEW = timedelta(minutes=5)
"""How far a token may lie in the future: clocks differ."""


@dataclass(frozen=True)
class Grant:
    """What tokens are made of: who, by which account, in which tenant, for which application."""

    user: User
    """As the resource tenant knows him; its tenant is the tokens'."""
    identity: Identity | None
    """What a guest redeemed with; None for people whose home the tenant is."""
    app_id: UUID
    roles: tuple[str, ...]
    scope: tuple[str, ...]
    nonce: str | None
    signed_in_at: datetime
    code_hash: bytes
    """The redeemed code. The access token ends with its row."""


@dataclass(frozen=True)
class Access:
    """What a good access token says."""

    user: User
    app_id: UUID
    subject: str
    scope: frozenset[str]


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
    return _text(hashlib.sha256(parts).digest())


def id_token(signer: Signer, grant: Grant, *, now: datetime) -> str:
    """Who has signed in, for the application `aud`."""
    user, identity = grant.user, grant.identity
    claims = {
        **_common(grant, now),
        "ver": "2.0",
        "iss": issuer(user.tenant_id),
        "aud": str(grant.app_id),
        "auth_time": int(grant.signed_in_at.timestamp()),
        "oid": str(user.id) if "profile" in grant.scope else None,
        "preferred_username": _sign_in_name(grant) if "profile" in grant.scope else None,
        "email": user.mail if _shows_mail(grant) else None,
        "idp": _idp(identity),
        "nonce": grant.nonce,
        "roles": list(grant.roles) or None,
    }
    return signer.sign(_stated(claims))


def access_token(signer: Signer, grant: Grant, *, now: datetime) -> str:
    """For userinfo; it looks as the real service's tokens for Graph do (decisions.md, tokens)."""
    user = grant.user
    claims = {
        **_common(grant, now),
        "ver": "1.0",
        "iss": issuer_of_access(user.tenant_id),
        "aud": GRAPH,
        "appid": str(grant.app_id),
        "appidacr": "0",
        "idtyp": ACCESS,
        "oid": str(user.id),
        "scp": " ".join(grant.scope),
        "unique_name": _unique_name(grant),
        "upn": None if grant.identity else user.user_principal_name,
        "email": user.mail if _shows_mail(grant) else None,
        "idp": _idp(grant.identity),
        "rh": _text(grant.code_hash),
    }
    return signer.sign(_stated(claims))


def check_access(session: Session, token: str, *, now: datetime) -> Access:
    """What an access token says, if it is good now. Raises BadToken.

    Signature, issuer, audience, marker and time; and that code, client and person still stand
    (threats.md, API-1, OIDC-5).
    """
    try:
        claims = jose.verified(token, lambda kid: signing_keys.find(session, kid, now=now))
        tenant_id, user_id = UUID(str(claims["tid"])), UUID(str(claims["oid"]))
        app_id = UUID(str(claims["appid"]))
        issued, ends = float(claims["iat"]), float(claims["exp"])
        code_hash = _bytes(str(claims["rh"]))
        scope = frozenset(str(claims["scp"]).split())
    except (jose.Forged, KeyError, TypeError, ValueError) as error:
        raise BadToken from error
    if (
        claims.get("idtyp") != ACCESS
        or claims.get("aud") != GRAPH
        or claims.get("iss") != issuer_of_access(tenant_id)
        or not issued - SKEW.total_seconds() <= now.timestamp() < ends
    ):
        raise BadToken
    user = session.get(User, (tenant_id, user_id), populate_existing=True)
    if user is None or not user.may_sign_in:
        raise BadToken
    code = session.get(AuthorizationCode, code_hash, populate_existing=True)
    if code is None or (code.tenant_id, code.user_id, code.app_id) != (tenant_id, user_id, app_id):
        raise BadToken
    # Not `iat`, which knows whole seconds only: acceptance and first token may share one.
    ended = user.sessions_valid_from
    if code.redeemed_at is None or (ended is not None and code.redeemed_at < ended):
        raise BadToken
    found = applications.by_app_id(session, tenant_id, app_id)
    if found is None or not found.account_enabled:
        raise BadToken
    return Access(user, app_id, subject(tenant_id, user_id, app_id), scope)


def userinfo(access: Access) -> dict[str, str]:
    """What userinfo tells: as much as the scopes allow; `sub` is the ID token's."""
    user = access.user
    claims: dict[str, str | None] = {"sub": access.subject}
    if "profile" in access.scope:
        claims |= {
            "name": user.display_name,
            "given_name": user.given_name,
            "family_name": user.surname,
        }
    if "email" in access.scope:
        claims["email"] = user.mail
    return {name: value for name, value in claims.items() if value is not None}


def _common(grant: Grant, now: datetime) -> dict[str, Any]:
    user = grant.user
    issued = int(now.timestamp())
    named = "profile" in grant.scope
    return {
        "tid": str(user.tenant_id),
        "sub": subject(user.tenant_id, user.id, grant.app_id),
        "iat": issued,
        "nbf": issued,
        "exp": issued + int(LIFE.total_seconds()),
        "uti": _text(secrets.token_bytes(16)),
        "acct": 1 if user.is_guest else 0,
        "name": user.display_name if named else None,
    }


def _stated(claims: dict[str, Any]) -> dict[str, Any]:
    """Without those that have no value: absent, never empty."""
    return {name: value for name, value in claims.items() if value is not None}


def _shows_mail(grant: Grant) -> bool:
    """Guests' addresses by default, members' for the scope (tokens.md, section 4)."""
    return "email" in grant.scope or grant.identity is not None or grant.user.is_guest


def _sign_in_name(grant: Grant) -> str:
    """The name by which the person signs in at home; it may change."""
    return grant.identity.label if grant.identity else grant.user.user_principal_name


def _unique_name(grant: Grant) -> str:
    if grant.identity is None or grant.identity.provider is Provider.DIRECTORY:
        return _sign_in_name(grant)
    return f"{_idp(grant.identity)}#{grant.identity.label}"


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


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
