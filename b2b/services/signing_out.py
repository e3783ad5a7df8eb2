"""A client's request to end the sign-in of a browser: whose it is, and where to go afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.orm import Session

from b2b import jose
from b2b.actor import ExternalIdentity
from b2b.models import Tenant
from b2b.services import clients, signing_keys, tokens, visitors
from b2b.services.aadsts import SignInRefused
from b2b.services.authorization import answer_url
from b2b.services.clients import Parameters, one


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
