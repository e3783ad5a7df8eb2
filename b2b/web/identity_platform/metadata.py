"""What programs read first: discovery, keys, where a directory is, and what kind of account a name
has.
"""

import re
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from flask import Response, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from b2b import links
from b2b.errors import N_, NotFound
from b2b.extensions import db
from b2b.services import (
    authorization,
    clients,
    grants,
    scopes,
    sign_in,
    signing_keys,
    tokens,
)
from b2b.services.aadsts import CATALOGUE, SignInRefused
from b2b.web.context import now, public, writing
from b2b.web.identity_platform import bp
from b2b.web.identity_platform.answers import KEYS_FOR, refused_in_json

_CLAIMS = [
    "sub", "iss", "cloud_instance_name", "cloud_instance_host_name", "cloud_graph_host_name",
    "msgraph_host", "aud", "exp", "iat", "nbf", "auth_time", "acr", "nonce", "preferred_username",
    "name", "tid", "oid", "ver", "idp", "acct", "roles", "groups", "wids", "sid", "uti", "at_hash",
    "c_hash", "email",
]  # fmt: skip


@bp.get("/<tenant>/v2.0/.well-known/openid-configuration")
@public
def discovery(tenant: str) -> ResponseReturnValue:
    """The discovery document: the tenant's id in every address, even when asked by domain."""
    try:
        name, issuer = _names(tenant)
    except SignInRefused as refused:
        return refused_in_json(refused)
    keys = "discovery/v2.0/keys"
    if re.fullmatch(r"[0-9A-Fa-f-]{36}", client_id := request.args.get("appid", "")):
        keys += f"?appid={client_id.lower()}"  # as the real service does; the keys are the same
    return _kept(jsonify(_document(name, issuer, keys=keys)))


@bp.get("/<tenant>/.well-known/openid-configuration")
@public
def discovery_v1(tenant: str) -> ResponseReturnValue:
    """The same for tokens of version 1.0, such as Graph's: their issuer, and the same endpoints."""
    try:
        name, _ = _names(tenant)
    except SignInRefused as refused:
        return refused_in_json(refused)
    issuer = links.absolute(f"/{name if _is_id(name) else '{tenantid}'}/")
    return _kept(jsonify(_document(name, issuer, keys="discovery/keys")))


def _names(tenant: str) -> tuple[str, str]:
    """What the addresses of a tenant begin with, and its issuer. Raises SignInRefused."""
    place = clients.place_named(db.session(), tenant)
    if place is None:
        return tenant.lower(), links.absolute("/{tenantid}/v2.0")
    return str(place.id), tokens.issuer(place.id)


def _is_id(name: str) -> bool:
    try:
        UUID(name)
    except ValueError:
        return False
    return True


def _document(name: str, issuer: str, *, keys: str) -> dict[str, Any]:
    oauth = links.absolute(f"/{name}/oauth2/v2.0")
    return {
        "issuer": issuer,
        "authorization_endpoint": f"{oauth}/authorize",
        "token_endpoint": f"{oauth}/token",
        "device_authorization_endpoint": f"{oauth}/devicecode",
        "end_session_endpoint": f"{oauth}/logout",
        "jwks_uri": links.absolute(f"/{name}/{keys}"),
        "userinfo_endpoint": links.absolute("/oidc/userinfo"),
        "token_endpoint_auth_methods_supported": [
            "client_secret_post", "private_key_jwt", "client_secret_basic", "none",
        ],
        "token_endpoint_auth_signing_alg_values_supported": ["RS256", "PS256"],
        "response_types_supported": list(authorization.RESPONSE_TYPES),
        "response_modes_supported": list(authorization.RESPONSE_MODES),
        "grant_types_supported": [n for n in grants.OFFERED if n != grants.SHORT_DEVICE],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": list(scopes.IDENTITY),
        "claims_supported": _CLAIMS,
        "request_uri_parameter_supported": False,
        "http_logout_supported": True,
        "frontchannel_logout_supported": True,
        "frontchannel_logout_session_supported": True,
        "tenant_region_scope": "WW",
        "cloud_instance_name": "microsoftonline.com",
        "cloud_graph_host_name": "graph.windows.net",
        "msgraph_host": "graph.microsoft.com",
        "rbac_url": "https://pas.windows.net",
        "kerberos_endpoint": links.absolute(f"/{name}/kerberos"),
    }  # fmt: skip


def _kept(response: Response) -> Response:
    """Public, and readable by scripts anywhere: there is no secret in it."""
    response.headers["Cache-Control"] = KEYS_FOR
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


@bp.get("/<tenant>/discovery/v2.0/keys")
@bp.get("/<tenant>/discovery/keys")
@public
def keys(tenant: str) -> ResponseReturnValue:
    """The public keys: of now, of soon and of lately."""
    try:
        place = clients.place_named(db.session(), tenant)
    except SignInRefused as refused:
        return refused_in_json(refused)
    if not signing_keys.are_complete(db.session(), now=now()):
        with writing() as database_session:
            signing_keys.ensure(database_session, now=now())
    issuer = links.absolute("/{tenantid}/v2.0") if place is None else tokens.issuer(place.id)
    published = signing_keys.published(db.session(), now=now())
    return _kept(jsonify({"keys": [{**key, "issuer": issuer} for key in published]}))


@bp.get("/common/discovery/instance")
@public
def instance() -> ResponseReturnValue:
    """Instance discovery, as MSAL does it: this installation is a cloud of its own."""
    try:
        asked = urlsplit(request.args.get("authorization_endpoint", ""))
    except ValueError:
        asked = urlsplit("")
    own = urlsplit(links.absolute("/"))
    found = re.fullmatch(r"/([A-Za-z0-9.-]{1,253})/oauth2/(v2\.0/)?authorize", asked.path)
    # Libraries leave the port out (clients.md, discovery).
    known = (own.netloc, own.hostname)
    try:
        if found is None or asked.scheme != own.scheme or asked.netloc not in known:
            raise SignInRefused(50049)
        name, _ = _names(found[1])
    except SignInRefused as refused:
        return refused_in_json(refused)
    host = links.absolute("").partition("//")[2]
    return _kept(
        jsonify(
            {
                "tenant_discovery_endpoint": links.absolute(
                    f"/{name}/v2.0/.well-known/openid-configuration"
                ),
                "api-version": "1.1",
                "metadata": [
                    {"preferred_network": host, "preferred_cache": host, "aliases": [host]}
                ],
            }
        )
    )


@bp.get("/common/userrealm/<path:name>")
@public
def user_realm(name: str) -> ResponseReturnValue:
    """What kind of account a sign-in name has, by its domain alone: nobody learns who exists."""
    domain = name.rpartition("@")[2].lower()
    known = sign_in.tenant_of_domain(db.session(), domain) is not None
    answer = {
        "ver": "1.0",
        "account_type": "Managed" if known else "Unknown",
        "domain_name": domain[:253],
        "cloud_instance_name": "microsoftonline.com",
        "cloud_audience_urn": "urn:federation:MicrosoftOnline",
    }
    response = jsonify(answer)
    response.headers["Cache-Control"] = "no-store"
    return response


@bp.get("/error")
@public
def explained() -> ResponseReturnValue:
    """What an error number means, for whoever follows the address in an error."""
    number = request.args.get("code", "")
    entry = CATALOGUE.get(int(number)) if re.fullmatch(r"[0-9]{4,8}", number) else None
    if entry is None:
        raise NotFound(N_("This error number is not known here."))
    values = {
        "application": gettext("the application"),
        "organisation": gettext("the organisation"),
        "account": gettext("the account"),
        "name": "…",
    }
    return render_template(
        "identity_platform/explained.html",
        number=number,
        says=entry.says % values,
        title=gettext(entry.title, **values),
        cause=gettext(entry.cause, **values),
        who=gettext(entry.who, **values),
        cure=gettext(entry.cure, **values),
    )
