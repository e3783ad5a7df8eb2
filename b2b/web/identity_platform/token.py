"""The endpoints that programs post to: token, device code, userinfo."""

from flask import Flask, Response, current_app, jsonify, make_response, request
from flask.typing import ResponseReturnValue

from b2b import clock, links
from b2b.actor import ExternalIdentity
from b2b.errors import Invalid
from b2b.extensions import csrf, db
from b2b.services import (
    addresses,
    authorization,
    clients,
    device_codes,
    grants,
    passwords,
    scopes,
    sign_in,
    signing_keys,
    tokens,
)
from b2b.services.aadsts import SignInRefused
from b2b.services.clients import needed, one
from b2b.services.grants import Asked, Issued
from b2b.web import context, headers
from b2b.web.context import now, public, writing
from b2b.web.identity_platform import bp, program_log
from b2b.web.identity_platform.answers import (
    asked_correlation,
    for_programs,
    refused_in_json,
    uncached,
)


@bp.post("/<tenant>/oauth2/v2.0/token", provide_automatic_options=False)
@headers.from_anywhere
@public
@for_programs
def token(tenant: str) -> ResponseReturnValue:
    """The token endpoint. No cookie counts here, so no CSRF token either."""
    try:
        _check_address()
        issued = _issued(tenant)
    except SignInRefused as refused:
        return _for_script(tenant, refused_in_json(_as_grant(refused)))
    answer: dict[str, object] = {
        "token_type": "Bearer",
        "expires_in": issued.expires_in,
        "ext_expires_in": issued.expires_in,
        "access_token": issued.access_token,
    }
    optional = {
        "scope": issued.scope,
        "id_token": issued.id_token,
        "refresh_token": issued.refresh_token,
        "client_info": issued.client_info if request.form.get("client_info") == "1" else None,
    }
    answer |= {name: value for name, value in optional.items() if value is not None}
    return _for_script(tenant, uncached(jsonify(answer)))


csrf.exempt(token)


def _check_address() -> None:
    """Raise SignInRefused for secrets in the address (threats.md, OIDC-9)."""
    if request.query_string:
        for name in (*authorization.SECRETS, "refresh_token", "assertion", "device_code"):
            if name in request.args:
                raise SignInRefused(90100, name=name)


def _by_program(asked: Asked) -> Issued:
    """A token for a program, and its entry in the log. Raises SignInRefused."""
    moment = clock.now()
    if not signing_keys.are_complete(db.session(), now=moment):
        with writing() as database_session:
            signing_keys.ensure(database_session, now=moment)
    issued, entry = grants.client_credentials(db.session(), asked, now=moment)
    db.session.rollback()
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    program_log.note(app, request.environ, entry)
    return issued


def _asked(tenant: str) -> Asked:
    """The request. Raises SignInRefused for an unknown tenant."""
    place = clients.place_named(db.session(), tenant)
    basic = request.authorization
    pair = None
    if basic is not None and basic.type == "basic":
        pair = (basic.username or "", basic.password or "")
    return Asked(
        place,
        tenant,
        clients.with_basic(dict(request.form.lists()), pair),
        origin=_origin(),
        ip_address=request.remote_addr,
        user_agent=request.user_agent.string,
        correlation_id=context.correlation_id(),
    )


_CONSUMING = frozenset({grants.CODE, grants.REFRESH, grants.DEVICE, grants.SHORT_DEVICE})


def _issued(tenant: str) -> Issued:
    """Go through with a grant. Raises SignInRefused, after what it has consumed is committed."""
    if request.form.get("grant_type") in _CONSUMING:
        return _by_proof(tenant)
    asked = _asked(tenant)
    grant_type = needed(asked.parameters, "grant_type")
    if grant_type not in grants.OFFERED:
        raise SignInRefused(70003)
    if grant_type == grants.CLIENT_CREDENTIALS:
        return _by_program(asked)
    if grant_type == grants.PASSWORD:
        identity = _by_password(asked)
        with writing() as database_session:
            return grants.password(database_session, asked, identity, now=now())
    with writing() as database_session:
        return grants.on_behalf_of(database_session, asked, now=clock.now())


def _by_proof(tenant: str) -> Issued:
    """Tokens for what is used up by that: everything is read in the transaction that writes.

    Raises SignInRefused.
    """
    with writing() as database_session:
        asked = _asked(tenant)
        grant_type = needed(asked.parameters, "grant_type")
        # Behind the writers' queue: what was used while this request waited is known to it.
        moment = clock.now()
        if grant_type == grants.REFRESH:
            found = grants.refresh(database_session, asked, begun=now(), now=moment)
        elif grant_type in (grants.DEVICE, grants.SHORT_DEVICE):
            found = grants.redeem_device_code(database_session, asked, now=moment)
        else:
            found = grants.redeem_code(database_session, asked, now=moment)
    if isinstance(found, SignInRefused):
        raise found
    return found


def _as_grant(refused: SignInRefused) -> SignInRefused:
    """At this endpoint a missing consent is an unusable grant, as with the real service."""
    return refused.told_as("invalid_grant") if refused.number in (65001, 50020) else refused


def _by_password(asked: Asked) -> ExternalIdentity:
    """Who a name and a password belong to, counted and logged as on the sign-in page.

    Raises SignInRefused; the same for an unknown name and a wrong password (SIGN-2).
    """
    grants.check_password_grant(db.session(), asked, now=now())
    name = needed(asked.parameters, "username")
    typed = needed(asked.parameters, "password")
    scopes.read(needed(asked.parameters, "scope"))
    try:
        address = addresses.parse(name.strip(), rules="rfc")
    except Invalid:
        raise SignInRefused(50126) from None
    account = sign_in.home_account_of(db.session(), address)
    stored = sign_in.stored_password(db.session(), account)
    with writing() as database_session:
        until = sign_in.take_try(
            database_session, address.key, ip_address=request.remote_addr, now=now()
        )
    if until is not None:
        raise SignInRefused(50053)
    right = passwords.matches(stored, typed)
    with writing() as database_session:
        found = sign_in.finish_password(
            database_session,
            account,
            right,
            sign_in_name=address.key,
            now=now(),
            correlation_id=context.correlation_id(),
            ip_address=request.remote_addr,
            user_agent=request.user_agent.string,
        )
    if isinstance(found, Invalid):
        raise SignInRefused(50057 if found.code == "AADSTS50057" else 50126).told_as(
            "invalid_grant"
        )
    return found


# Scripts from elsewhere --------------------------------------------------------------------------


def _origin() -> str | None:
    """Where a script was loaded from, if one asks: another site's, or our own."""
    origin = request.headers.get("Origin")
    return None if origin in (None, links.absolute("")) else (origin or "")[:2048].lower()


@bp.route("/<tenant>/oauth2/v2.0/token", methods=["OPTIONS"], provide_automatic_options=False)
@headers.from_anywhere
@public
def token_options(tenant: str) -> ResponseReturnValue:
    """A browser asks before a script may post: yes, without cookies (threats.md, OIDC-9)."""
    response = make_response("", 204)
    response.headers["Access-Control-Allow-Methods"] = "POST, OPTIONS"
    response.headers["Access-Control-Allow-Headers"] = request.headers.get(
        "Access-Control-Request-Headers", "content-type"
    )[:512]
    response.headers["Access-Control-Max-Age"] = "600"
    return _for_script(tenant, response)


def _for_script(tenant: str, response: Response) -> Response:
    """Let the script that asked read the answer, if its origin is one of a registered script."""
    origin = _origin()
    if origin is None:
        return response
    response.vary.add("Origin")
    if request.method == "OPTIONS" or _is_script(origin):
        # Never with credentials: a cookie of ours is of no use there.
        response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"][:2048]
        response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
    return response


def _is_script(origin: str) -> bool:
    try:
        client_id = one(dict(request.form.lists()), "client_id") or ""
        registration = clients.registration_of(db.session(), client_id, None)
    except SignInRefused:
        return False
    return origin in grants.origins_of(registration)


# Another device ----------------------------------------------------------------------------------


@bp.post("/<tenant>/oauth2/v2.0/devicecode")
@headers.from_anywhere
@public
@for_programs
def device_code(tenant: str) -> ResponseReturnValue:
    """Begin a sign-in for a device that has no browser of its own (RFC 8628, 3.1)."""
    try:
        _check_address()
        asked = _asked(tenant)
        client_id = needed(asked.parameters, "client_id")
        wanted = scopes.read(needed(asked.parameters, "scope"))
        registration = clients.registration_of(db.session(), client_id, asked.tenant)
        if asked.tenant is None:
            clients.check_shared(registration, tenant)
        else:
            clients.in_tenant(db.session(), registration, asked.tenant)
            if not clients.policy_of(db.session(), asked.tenant.id).device_code_grant:
                raise SignInRefused(70001, organisation=asked.tenant.display_name)
        if not registration.is_public:
            raise SignInRefused(7000218)
        with writing() as database_session:
            begun = device_codes.begin(
                database_session,
                registration,
                tenant,
                wanted.text,
                ip_address=request.remote_addr,
                now=now(),
            )
    except SignInRefused as refused:
        return refused_in_json(refused)
    page = links.absolute("/devicelogin")
    answer = {
        "user_code": begun.user_code,
        "device_code": begun.device_code,
        "verification_uri": page,
        "expires_in": int(device_codes.LIFE.total_seconds()),
        "interval": device_codes.INTERVAL,
        "message": f"To sign in, use a web browser to open the page {page} and enter the code"
        f" {begun.user_code} to authenticate.",
    }
    return uncached(jsonify(answer))


csrf.exempt(device_code)


# Userinfo ----------------------------------------------------------------------------------------


@bp.route("/oidc/userinfo", methods=["GET", "POST"])
@headers.from_anywhere
@public
@for_programs
def userinfo() -> ResponseReturnValue:
    """Who the bearer of an access token is; no cookie counts here."""
    bearer = request.authorization
    try:
        if bearer is None or bearer.type != "bearer" or not bearer.token:
            raise tokens.BadToken
        access = tokens.check_access(db.session(), bearer.token, now=now())
        if "openid" not in access.scope:
            raise tokens.BadToken
    except tokens.BadToken:
        return _bad_token()
    return uncached(jsonify(tokens.userinfo(access)))


csrf.exempt(userinfo)


def _bad_token() -> Response:
    """Graph's envelope, and the header that libraries read (RFC 6750, 3)."""
    asked = asked_correlation()
    response = jsonify(
        {
            "error": {
                "code": "InvalidAuthenticationToken",
                "message": "The access token is missing, malformed, over or for somebody else.",
                "innerError": {
                    "date": now().strftime("%Y-%m-%dT%H:%M:%S"),
                    "request-id": str(context.correlation_id()),
                    "client-request-id": asked,
                },
            }
        }
    )
    response.status_code = 401
    told = ', error="invalid_token"' if request.authorization is not None else ""
    response.headers["WWW-Authenticate"] = f'Bearer realm="b2b"{told}'
    return uncached(response)
