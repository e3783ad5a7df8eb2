"""The identity platform's endpoints: discovery, keys, authorize, token, logout, userinfo.

Programs are answered in JSON in the shape that their libraries know, people with pages.
"""

from datetime import UTC
from urllib.parse import parse_qsl, urlencode, urlsplit
from uuid import uuid4

from flask import (
    Blueprint,
    Response,
    jsonify,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from flask.typing import ResponseReturnValue
from flask_babel import gettext

from b2b import links
from b2b.actor import Actor, ExternalIdentity
from b2b.extensions import csrf, db
from b2b.models import ServicePrincipal, Tenant
from b2b.services import authorization, redemption, signing_keys, tokens
from b2b.services.aadsts import SignInRefused
from b2b.services.authorization import Client, Person, Request
from b2b.services.sessions import Live
from b2b.web import brand, context
from b2b.web.context import now, public, writing
from b2b.web.forms import ButtonForm
from b2b.web.headers import PAGE_POLICY
from b2b.web.redemption_link import remember_direct

bp = Blueprint("identity_platform", __name__)

_KEYS_FOR = "public, max-age=3600"
"""Well under the time that a key is published before it signs (threats.md, OIDC-6)."""


# What programs read -----------------------------------------------------------------------------


@bp.get("/<tenant>/v2.0/.well-known/openid-configuration")
@public
def discovery(tenant: str) -> ResponseReturnValue:
    """The discovery document: the tenant's id in every address, even when asked by domain."""
    try:
        tenant_id = authorization.tenant_named(db.session(), tenant).id
    except SignInRefused as refused:
        return _refused_in_json(refused)
    oauth = links.absolute(f"/{tenant_id}/oauth2/v2.0")
    response = jsonify(
        {
            "issuer": tokens.issuer(tenant_id),
            "authorization_endpoint": f"{oauth}/authorize",
            "token_endpoint": f"{oauth}/token",
            "end_session_endpoint": f"{oauth}/logout",
            "jwks_uri": links.absolute(f"/{tenant_id}/discovery/v2.0/keys"),
            "userinfo_endpoint": links.absolute("/oidc/userinfo"),
            "token_endpoint_auth_methods_supported": ["none"],
            "response_types_supported": ["code"],
            "response_modes_supported": list(authorization.RESPONSE_MODES),
            "grant_types_supported": ["authorization_code"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
            "scopes_supported": list(authorization.OFFERED),
            "claims_supported": [
                "sub", "iss", "aud", "exp", "iat", "nbf", "auth_time", "nonce", "name",
                "preferred_username", "email", "tid", "oid", "ver", "idp", "acct", "roles", "uti",
            ],
            "request_uri_parameter_supported": False,
            "tenant_region_scope": "WW",
        }
    )  # fmt: skip
    response.headers["Cache-Control"] = _KEYS_FOR
    return response


@bp.get("/<tenant>/discovery/v2.0/keys")
@public
def keys(tenant: str) -> ResponseReturnValue:
    """The public keys: of now, of soon and of lately."""
    try:
        authorization.tenant_named(db.session(), tenant)
    except SignInRefused as refused:
        return _refused_in_json(refused)
    if not signing_keys.are_complete(db.session(), now=now()):
        with writing() as database_session:
            signing_keys.ensure(database_session, now=now())
    response = jsonify({"keys": signing_keys.published(db.session(), now=now())})
    response.headers["Cache-Control"] = _KEYS_FOR
    return response


@bp.post("/<tenant>/oauth2/v2.0/token")
@public
def token(tenant: str) -> ResponseReturnValue:
    """The token endpoint: a code for tokens. No cookie counts here, so no CSRF token either."""
    try:
        organisation = authorization.tenant_named(db.session(), tenant)
        for name in authorization.SECRETS:
            if name in request.args:
                raise SignInRefused(90100, name=name)
        sent = _with_basic(dict(request.form.lists()))
        if authorization.needed(sent, "grant_type") != "authorization_code":
            raise SignInRefused(70003)
    except SignInRefused as refused:
        return _refused_in_json(refused)
    with writing() as database_session:
        issued = authorization.redeem_code(database_session, organisation, sent, now=now())
    if isinstance(issued, SignInRefused):
        return _refused_in_json(issued)
    answer = {
        "token_type": "Bearer",
        "scope": issued.scope,
        "expires_in": issued.expires_in,
        "ext_expires_in": issued.expires_in,
        "access_token": issued.access_token,
    }
    if issued.id_token is not None:
        answer["id_token"] = issued.id_token
    if request.form.get("client_info") == "1":
        answer["client_info"] = issued.client_info
    return _uncached(jsonify(answer))


csrf.exempt(token)


def _with_basic(sent: dict[str, list[str]]) -> dict[str, list[str]]:
    """The parameters, with what the client said in the Authorization header instead."""
    basic = request.authorization
    if basic is not None and basic.type == "basic":
        sent.setdefault("client_id", [basic.username or ""])
        if basic.password:
            sent.setdefault("client_secret", [basic.password])
    return sent


@bp.route("/oidc/userinfo", methods=["GET", "POST"])
@public
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
    return _uncached(jsonify(tokens.userinfo(access)))


csrf.exempt(userinfo)


def _bad_token() -> Response:
    """Graph's envelope, and the header that libraries read (RFC 6750, 3)."""
    asked = request.headers.get("client-request-id", "")[:64]
    response = jsonify(
        {
            "error": {
                "code": "InvalidAuthenticationToken",
                "message": "The access token is missing, malformed, over or for somebody else.",
                "innerError": {
                    "date": now().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
                    "request-id": str(context.correlation_id()),
                    "client-request-id": asked or str(context.correlation_id()),
                },
            }
        }
    )
    response.status_code = 401
    told = ', error="invalid_token"' if request.authorization is not None else ""
    response.headers["WWW-Authenticate"] = f'Bearer realm="b2b"{told}'
    return _uncached(response)


def _refused_in_json(refused: SignInRefused) -> Response:
    """An OAuth error in the real service's shape (errors of tokens.md, section 5)."""
    at = now().astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    trace, correlation = str(uuid4()), str(context.correlation_id())
    response = jsonify(
        {
            "error": refused.entry.error,
            "error_description": f"{_description(refused)}\r\nTrace ID: {trace}"
            f"\r\nCorrelation ID: {correlation}\r\nTimestamp: {at}",
            "error_codes": [refused.number],
            "timestamp": at,
            "trace_id": trace,
            "correlation_id": correlation,
        }
    )
    response.status_code = 401 if refused.entry.error == "invalid_client" else 400
    if response.status_code == 401 and request.authorization is not None:
        response.headers["WWW-Authenticate"] = 'Basic realm="b2b"'
    return _uncached(response)


def _description(refused: SignInRefused) -> str:
    return f"{refused.code}: {refused}"


def _uncached(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    response.headers["Pragma"] = "no-cache"
    return response


# What people see --------------------------------------------------------------------------------


@bp.get("/<tenant>/oauth2/v2.0/authorize")
@public
def authorize(tenant: str) -> ResponseReturnValue:
    """Sign in to an application."""
    sent = dict(request.args.lists())
    try:
        organisation = authorization.tenant_named(db.session(), tenant)
        brand.wear(organisation)
        client = authorization.client_of(db.session(), organisation, sent)
    except SignInRefused as refused:
        return refusal_page(refused)
    try:
        asked = authorization.request_of(client, sent)
    except SignInRefused as refused:
        return _tell(client, refused)
    if asked.prompt == "select_account":
        return _choose_account(asked)
    live = context.live()
    again = live is not None and request.args.get("again") == _proof_of(live)
    if live is None or asked.prompt == "login" or again:
        return _tell(client, SignInRefused(50058)) if _is_silent(asked) else _to_sign_in(asked)
    try:
        found = authorization.person(
            db.session(),
            organisation,
            client.application,
            live.identity,
            since=live.created_at,
            now=now(),
        )
    except SignInRefused as refused:
        return _turned_away(asked, live.identity, refused)
    with writing() as database_session:
        code = authorization.issue_code(
            database_session,
            _acting(organisation, found),
            asked,
            live.identity,
            session_id=live.id,
            signed_in_at=live.signed_in_at,
        )
    return _answer(client.redirect_uri, asked.response_mode, asked.state, {"code": code})


def _is_silent(asked: Request) -> bool:
    return asked.prompt == "none"


def _acting(organisation: Tenant, found: Person | None) -> Actor:
    """The person at the organisation, whatever he does elsewhere in this browser meanwhile."""
    user = None if found is None else found.user
    return Actor(
        tenant_id=organisation.id,
        tenant_name=organisation.display_name,
        tenant_domain=organisation.primary_domain,
        now=now(),
        user_id=None if user is None else user.id,
        display_name="" if user is None else user.display_name,
        is_guest=user is not None and user.is_guest,
        correlation_id=context.correlation_id(),
        ip_address=request.remote_addr,
        user_agent=request.user_agent.string,
    )


def _turned_away(
    asked: Request, identity: ExternalIdentity, refused: SignInRefused
) -> ResponseReturnValue:
    client = asked.client
    if _is_silent(asked):
        return _tell(client, refused)
    return turned_away(
        client.tenant, client.application, identity, refused, back=_resume_path(asked)
    )


def turned_away(
    tenant: Tenant,
    application: ServicePrincipal,
    identity: ExternalIdentity,
    refused: SignInRefused,
    *,
    back: str,
) -> ResponseReturnValue:
    """A proven identity that may not go on: Review permissions first, or a page that says why.

    *back* is where the person wanted to go, on this installation.
    """
    if refused.number == 50058:  # signed out everywhere since
        return redirect(url_for("sign_in.address", next=back, other="1"), 303)
    if refused.number == 65001:
        opened = redemption.open_direct(db.session(), tenant.id, identity, now=now())
        if opened is not None:
            remember_direct(opened, back)
            is_open = opened.standing is redemption.Standing.OPEN
            return redirect(url_for("redeem.review" if is_open else "redeem.landing"), 303)
    with writing() as database_session:
        authorization.note_refusal(
            database_session, tenant, application, identity, refused, _acting(tenant, None)
        )
    contacts = authorization.whom_to_ask(db.session(), tenant, application, identity)
    return refusal_page(refused, application=application, contacts=contacts, back=back)


def refusal_page(
    refused: SignInRefused,
    *,
    application: ServicePrincipal | None = None,
    contacts: list[authorization.Contact] | None = None,
    back: str | None = None,
) -> Response:
    """What happened, why, who can mend it, what to do; and what a helpdesk asks for."""
    entry, values = refused.entry, dict(refused.values)
    if not values["application"]:
        values["application"] = gettext("the application")
    return make_response(
        render_template(
            "identity_platform/refused.html",
            refused=refused,
            title=gettext(entry.title, **values),
            cause=gettext(entry.cause, **values),
            who=gettext(entry.who, **values),
            cure=gettext(entry.cure, **values),
            application=application,
            contacts=contacts or [],
            back=back,
        ),
        entry.status,
    )


def _tell(client: Client, refused: SignInRefused) -> ResponseReturnValue:
    """The client hears of it at its registered address."""
    modes = request.args.getlist("response_mode")
    mode = modes[0] if len(modes) == 1 and modes[0] in authorization.RESPONSE_MODES else "query"
    states = request.args.getlist("state")
    values = {"error": refused.entry.error, "error_description": _description(refused)}
    return _answer(client.redirect_uri, mode, states[0] if len(states) == 1 else None, values)


def _answer(
    redirect_uri: str, mode: str, state: str | None, values: dict[str, str]
) -> ResponseReturnValue:
    if state is not None:
        values = {**values, "state": state}
    if mode != "form_post":
        return redirect(authorization.answer_url(redirect_uri, mode, values), 303)
    response = make_response(
        render_template("identity_platform/form_post.html", url=redirect_uri, values=values)
    )
    # The one page whose form goes elsewhere: to the registered address and nowhere else.
    origin = _origin(redirect_uri)
    response.headers["Content-Security-Policy"] = PAGE_POLICY.replace(
        "form-action 'self'", f"form-action {origin}"
    )
    return response


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


# The way to the sign-in page and back -----------------------------------------------------------


def _query(**changes: str | None) -> str:
    """The query of this request with some parameters changed, or left out for None."""
    pairs = [pair for pair in parse_qsl(request.query_string.decode()) if pair[0] not in changes]
    return urlencode(pairs + [(name, value) for name, value in changes.items() if value])


def _resume_path(asked: Request, **changes: str | None) -> str:
    """Where somebody comes back to, once he has signed in or accepted."""
    path = url_for(".resume", tenant=asked.client.tenant.id)
    return f"{path}?{_query(**{'prompt': None, **changes})}"


def _to_sign_in(asked: Request) -> ResponseReturnValue:
    """To the sign-in page; whoever is signed in has to do it once more."""
    live = context.live()
    back = _resume_path(asked, again=None if live is None else _proof_of(live))
    return redirect(
        url_for(
            "sign_in.address",
            next=back,
            other="1",
            login_hint=(asked.login_hint or "")[:320] or None,
        ),
        303,
    )


def _proof_of(live: Live) -> str:
    """Names one sign-in: a change of organisation is none, typing the password again is."""
    return str(int(live.signed_in_at.timestamp() * 1_000_000))


def _choose_account(asked: Request) -> ResponseReturnValue:
    if context.live() is None:
        return _to_sign_in(asked)
    back = _resume_path(asked)
    return render_template(
        "identity_platform/choose_account.html",
        application=asked.client.application,
        identity=context.identity(),
        on=back,
        other=url_for("sign_in.address", next=back, other="1"),
    )


@bp.get("/<tenant>/oauth2/v2.0/resume")
@public
def resume(tenant: str) -> ResponseReturnValue:
    """Back at the request after signing in.

    A form of ours was sent just before, and a browser lets its redirects lead to our own pages
    only: towards another site a page of its own comes in between.
    """
    path = f"{url_for('.authorize', tenant=tenant)}?{request.query_string.decode()}"
    if _origin(request.args.get("redirect_uri", "")) == _origin(links.absolute("/")):
        return redirect(path, 303)
    if links.local_path(path) is None:
        path = url_for(".authorize", tenant=tenant)
    return render_template("identity_platform/resume.html", path=path)


# Signing out ------------------------------------------------------------------------------------


@bp.route("/<tenant>/oauth2/v2.0/logout", methods=["GET", "POST"])
@public
def logout(tenant: str) -> ResponseReturnValue:
    """Sign out, as an application asks; confirmed by the person unless the application proves that
    it acts for him.
    """
    sent = dict((request.args if request.method == "GET" else request.form).lists())
    try:
        organisation = authorization.tenant_named(db.session(), tenant)
    except SignInRefused as refused:
        return refusal_page(refused)
    brand.wear(organisation)
    goodbye = authorization.goodbye(db.session(), organisation, sent, context.identity(), now=now())
    if context.live() is None:
        if goodbye.return_to is not None and request.method == "GET":
            return redirect(goodbye.return_to, 303)
    elif goodbye.proven or (request.method == "POST" and ButtonForm().validate_on_submit()):
        with writing() as database_session:
            context.end_session(database_session)
        if goodbye.return_to is not None and request.method == "GET":
            return redirect(goodbye.return_to, 303)
    else:
        kept = ("client_id", "post_logout_redirect_uri", "state", "id_token_hint")
        return render_template(
            "identity_platform/logout.html",
            goodbye=goodbye,
            identity=context.identity(),
            kept=[(name, sent[name][0]) for name in kept if sent.get(name)],
        )
    return render_template("identity_platform/signed_out.html", goodbye=goodbye)
