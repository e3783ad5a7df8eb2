"""Applications of the demo for programs that try the identity platform and the API out: what
demo.json calls `applications`. Their secrets are made at the first start.
"""

from datetime import timedelta
from typing import Any

from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.models import Platform
from b2b.services import app_credentials, app_registrations, clients, consent, graph_permissions
from b2b.services.app_registrations import Facts, Registered, RequiredAccess

CALLBACK = "http://localhost:18999/cb"
EVERYDAY = ("openid", "profile", "email", "offline_access", "User.Read", "User.ReadBasic.All",
            "User.Invite.All")  # fmt: skip
"""What the organisation has allowed its clients in people's name."""
_SECRET_LIFE = timedelta(days=app_credentials.MOST_SECRET_DAYS)


def make(session: Session, woodgrove: Actor, contoso: Actor) -> list[dict[str, Any]]:
    """Register them; returns what demo.json says of each."""
    made = []
    for where in (woodgrove, contoso):
        daemon = _register(session, where, "Demo daemon", Facts(
            description="Works by itself, with every application permission",
        ))  # fmt: skip
        graph = consent.graph_principal(session, where)
        consent.give_roles(session, where, daemon.principal, graph, list(graph_permissions.ROLES))
        made.append(_told("daemon", where, daemon, _secret(session, where, daemon)))
        # Test suites sign people in by name and password (threats.md, OIDC-2).
        clients.policy_of(session, where.tenant_id).password_grant = True
    low = _register(session, woodgrove, "Demo client without permissions", Facts(
        description="Has a secret and may do nothing",
    ))  # fmt: skip
    made.append(_told("low", woodgrove, low, _secret(session, woodgrove, low)))
    web = _register(session, woodgrove, "Demo web client", Facts(
        redirect_uris={Platform.WEB: [CALLBACK, "http://localhost:18999/"]},
        description="Signs people in, and has a secret",
    ))  # fmt: skip
    made.append(_told("web", woodgrove, web, _secret(session, woodgrove, web)))
    public = _register(session, woodgrove, "Demo public client", Facts(
        redirect_uris={Platform.PUBLIC: [CALLBACK, "http://localhost:18999/", "http://localhost"]},
        is_public=True,
        description="Signs people in on their own devices",
    ))  # fmt: skip
    made.append(_told("public", woodgrove, public, None))
    graph = consent.graph_principal(session, woodgrove)
    for one in (web, public):
        consent.grant(session, woodgrove, one.principal, graph, EVERYDAY)
        ids = [graph_permissions.SCOPES[name].scope for name in EVERYDAY]
        app_registrations.set_required_access(
            session,
            woodgrove,
            one.registration.id,
            [RequiredAccess(graph_permissions.APP_ID, tuple(one_id for one_id in ids if one_id))],
        )
    return made


def _register(session: Session, where: Actor, name: str, facts: Facts) -> Registered:
    made = app_registrations.register(session, where, name, facts)
    # Nobody is assigned to what has no page to go to.
    made.principal.members_only = not facts.redirect_uris
    return made


def _secret(session: Session, where: Actor, one: Registered) -> str:
    _, secret = app_credentials.add_secret(
        session,
        where,
        one.registration.id,
        display_name="demo",
        expires_at=where.now + _SECRET_LIFE,
    )
    return secret


def _told(kind: str, where: Actor, one: Registered, secret: str | None) -> dict[str, Any]:
    app_id = str(one.registration.app_id)
    content: dict[str, Any] = {
        "kind": kind,
        "displayName": one.registration.display_name,
        "organisation": where.tenant_name,
        "tenantId": str(where.tenant_id),
        "appId": app_id,
        "clientId": app_id,
        "redirectUris": [
            uri for platform in Platform for uri in one.registration.redirects_of(platform)
        ],
    }
    return content if secret is None else {**content, "clientSecret": secret}
