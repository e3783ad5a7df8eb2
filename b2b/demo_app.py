"""Demo applications with a sign-in of their own: honest OpenID Connect clients of this program.

They live at /demo/<name> of the demo's own process and know nothing of the directory: a client id,
the address of the tenant's discovery document, and what they are told over HTTP. They call the very
server that they run in, so that needs a second thread (WEB_THREADS); every call has a time-out, and
where nobody answers the page says so.
"""

import base64
import hashlib
import http.client
import json
import secrets
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from flask import (
    Blueprint,
    abort,
    current_app,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jwt import JWTClaimsRegistry

from b2b import clock, links
from b2b.web.context import public
from b2b.web.forms import Form

bp = Blueprint("demo_app", __name__, url_prefix="/demo/<name>")

SCOPE = "openid profile email"
TIMEOUT = 5.0
"""Seconds for each answer of the identity platform."""
LONGEST = 256 * 1024
"""Bytes of an answer that are read."""
_PURPOSE = "demo application"
_FLOW_LIFE = 600

_metadata: dict[str, dict[str, Any]] = {}


class SignOutForm(Form):
    """A button."""


class Trouble(Exception):
    """The sign-in came to nothing; `words` say why, `detail` what was answered."""

    def __init__(self, words: str, detail: str = "", status: int = 400) -> None:
        super().__init__(words)
        self.words, self.detail, self.status = words, detail, status


@dataclass(frozen=True)
class App:
    """One demo application as its own configuration file has it."""

    path: str
    name: str
    organisation: str
    tenant_id: str
    client_id: str

    @property
    def issuer(self) -> str:
        """Whose tokens it takes, and no others."""
        return links.absolute(f"/{self.tenant_id}/v2.0")

    def url(self, endpoint: str) -> str:
        """One of its own pages, as an absolute address."""
        return links.absolute(url_for(f".{endpoint}", name=self.path))


def configured() -> list[App]:
    """The applications of demo.json; none where the demo was not made."""
    try:
        content = json.loads((current_app.config["DATA_DIR"] / "demo.json").read_text())
    except (OSError, ValueError):
        return []
    return [
        App(
            path=row["path"],
            name=row["displayName"],
            organisation=row["organisation"],
            tenant_id=row["tenantId"],
            client_id=row["clientId"],
        )
        for row in content.get("applications", [])
        if "path" in row  # the others are for programs elsewhere
    ]


def _app(name: str) -> App:
    found = next((app for app in configured() if app.path == name), None)
    if found is None:
        abort(404)
    return found


# Its own cookies --------------------------------------------------------------------------------


def _cookie(app: App, kind: str) -> str:
    prefix = "__Host-" if current_app.config["SESSION_COOKIE_SECURE"] else ""
    return f"{prefix}demo_{app.path}_{kind}"


def _kept(app: App, kind: str) -> dict[str, Any] | None:
    """What a cookie of this application holds, sealed so that nobody else can read or make it."""
    try:
        sealed = base64.urlsafe_b64decode(request.cookies.get(_cookie(app, kind), ""))
        plain = links.keyring().unseal(sealed, _PURPOSE, f"{app.path} {kind}")
        content = json.loads(plain)
    except (KeyError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _keep(response: Any, app: App, kind: str, content: dict[str, Any] | None) -> Any:
    value, life = "", 0
    if content is not None:
        plain = json.dumps(content).encode()
        sealed = links.keyring().seal(plain, _PURPOSE, f"{app.path} {kind}")
        value, life = base64.urlsafe_b64encode(sealed).decode(), _FLOW_LIFE
    response.set_cookie(
        _cookie(app, kind),
        value,
        max_age=None if content is not None and kind == "session" else life,
        path="/",
        secure=current_app.config["SESSION_COOKIE_SECURE"],
        httponly=True,
        samesite="Lax",
    )
    return response


def _claims(app: App) -> dict[str, Any] | None:
    """Who is signed in to this application: the claims that it has verified, while they last."""
    kept = _kept(app, "session")
    if kept is None or kept["claims"]["exp"] <= clock.now().timestamp():
        return None
    claims: dict[str, Any] = kept["claims"]
    return claims


# The identity platform, over HTTP ---------------------------------------------------------------


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """An endpoint answers by itself or not at all."""


_openers: dict[str, urllib.request.OpenerDirector] = {}


def _opener() -> urllib.request.OpenerDirector:
    """No proxy and no redirects; over https it trusts the authority of this installation."""
    trusted = str(current_app.config["CA_FILE"] or "")
    if trusted not in _openers:
        context = ssl.create_default_context(cafile=trusted or None)
        _openers[trusted] = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPSHandler(context=context),
            _NoRedirect(),
        )
    return _openers[trusted]


def _ask(url: str, *, form: dict[str, str] | None = None, bearer: str = "") -> dict[str, Any]:
    """The JSON that an endpoint answers with. Raises Trouble."""
    headers = {"Accept": "application/json"}
    if bearer:
        headers["Authorization"] = f"Bearer {bearer}"
    asked = urllib.request.Request(
        url, data=None if form is None else urlencode(form).encode(), headers=headers
    )
    try:
        with _opener().open(asked, timeout=TIMEOUT) as response:
            content = json.loads(response.read(LONGEST))
    except urllib.error.HTTPError as error:
        with error:
            told = error.read(LONGEST).decode(errors="replace")
        raise Trouble(
            gettext("The sign-in service refused what this application asked."), _said(told), 502
        ) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Trouble(
            gettext("The sign-in service did not answer in time."), type(error).__name__, 504
        ) from error
    if not isinstance(content, dict):
        raise Trouble(gettext("The sign-in service gave an answer that cannot be read."))
    return content


def _said(text: str) -> str:
    try:
        return str(json.loads(text)["error_description"])
    except (ValueError, KeyError, TypeError):
        return text[:200]


def _discovered(app: App) -> dict[str, Any]:
    """The tenant's discovery document, asked for once. Raises Trouble."""
    if app.issuer not in _metadata:
        found = _ask(f"{app.issuer}/.well-known/openid-configuration")
        if found.get("issuer") != app.issuer:
            raise Trouble(gettext("The sign-in service is not the one that is configured."))
        _metadata[app.issuer] = found
    return _metadata[app.issuer]


def _verified(app: App, token: str, nonce: str) -> dict[str, Any]:
    """The claims of an ID token: signed by a published key, for this client, now, for this very
    sign-in. Raises Trouble.
    """
    published = _ask(_discovered(app)["jwks_uri"])
    wanted = JWTClaimsRegistry(
        now=int(clock.now().timestamp()),
        leeway=60,
        iss={"essential": True, "value": app.issuer},
        aud={"essential": True, "value": app.client_id},
        exp={"essential": True},
        sub={"essential": True},
        nonce={"essential": True, "value": nonce},
        tid={"essential": True, "value": app.tenant_id},
    )
    try:
        keys = KeySet.import_key_set({"keys": published["keys"]})
        claims = jwt.decode(token, keys, algorithms=["RS256"]).claims
        wanted.validate(claims)
    except (JoseError, ValueError, KeyError, TypeError) as error:
        raise Trouble(
            gettext("The proof of your sign-in is not good, so it was not believed."),
            type(error).__name__,
        ) from error
    return claims


# Pages ------------------------------------------------------------------------------------------


@bp.get("/")
@public
def home(name: str) -> ResponseReturnValue:
    """What this application knows about whoever is signed in to it."""
    app = _app(name)
    claims = _claims(app)
    if claims is None:
        return render_template("demo_app/welcome.html", app=app, out=False)
    others = [other for other in configured() if other.path != app.path]
    return render_template(
        "demo_app/home.html",
        app=app,
        claims=claims,
        raw=json.dumps(claims, indent=2, ensure_ascii=False, sort_keys=True),
        others=others,
        form=SignOutForm(),
    )


@bp.get("/signin")
@public
def sign_in(name: str) -> ResponseReturnValue:
    """Off to the sign-in page of the organisation, with a state, a nonce and a proof key."""
    app = _app(name)
    try:
        endpoint = _discovered(app)["authorization_endpoint"]
    except Trouble as trouble:
        return _failed(app, trouble)
    flow = {part: secrets.token_urlsafe(32) for part in ("state", "nonce", "verifier")}
    challenge = base64.urlsafe_b64encode(hashlib.sha256(flow["verifier"].encode()).digest())
    query = urlencode(
        {
            "client_id": app.client_id,
            "response_type": "code",
            "redirect_uri": app.url("callback"),
            "scope": SCOPE,
            "state": flow["state"],
            "nonce": flow["nonce"],
            "code_challenge": challenge.decode().rstrip("="),
            "code_challenge_method": "S256",
        }
    )
    return _keep(redirect(f"{endpoint}?{query}", 303), app, "flow", flow)  # type: ignore[no-any-return]


@bp.get("/callback")
@public
def callback(name: str) -> ResponseReturnValue:
    """Back with a code, or with an error."""
    app = _app(name)
    try:
        claims, id_token = _finish(app)
    except Trouble as trouble:
        return _failed(app, trouble)
    response = redirect(url_for(".home", name=name), 303)
    _keep(response, app, "flow", None)
    return _keep(response, app, "session", {"claims": claims, "id_token": id_token})  # type: ignore[no-any-return]


def _finish(app: App) -> tuple[dict[str, Any], str]:
    """The verified claims, and the ID token itself, to sign out with. Raises Trouble."""
    flow = _kept(app, "flow")
    state = request.args.get("state", "")
    if flow is None or not secrets.compare_digest(state.encode(), flow["state"].encode()):
        raise Trouble(gettext("This answer does not belong to a sign-in of this browser."))
    if "error" in request.args:
        raise Trouble(
            gettext("You were not signed in."), request.args.get("error_description", "")[:500], 403
        )
    answer = _ask(
        _discovered(app)["token_endpoint"],
        form={
            "grant_type": "authorization_code",
            "client_id": app.client_id,
            "code": request.args.get("code", ""),
            "redirect_uri": app.url("callback"),
            "code_verifier": flow["verifier"],
        },
    )
    id_token = str(answer.get("id_token", ""))
    claims = _verified(app, id_token, flow["nonce"])
    about = _ask(_discovered(app)["userinfo_endpoint"], bearer=str(answer.get("access_token")))
    if about.get("sub") != claims["sub"]:
        raise Trouble(gettext("The proof of your sign-in is not good, so it was not believed."))
    return claims, id_token


@bp.post("/signout")
@public
def sign_out(name: str) -> ResponseReturnValue:
    """Sign out here, and at the organisation."""
    app = _app(name)
    kept = _kept(app, "session")
    target = url_for(".signed_out", name=name)
    if kept is not None:
        try:
            query = {
                "id_token_hint": kept["id_token"],
                "post_logout_redirect_uri": app.url("signed_out"),
            }
            target = f"{_discovered(app)['end_session_endpoint']}?{urlencode(query)}"
        except Trouble:
            pass  # signed out here at least
    return _keep(redirect(target, 303), app, "session", None)  # type: ignore[no-any-return]


@bp.get("/signed-out")
@public
def signed_out(name: str) -> ResponseReturnValue:
    """Signed out."""
    return render_template("demo_app/welcome.html", app=_app(name), out=True)


def _failed(app: App, trouble: Trouble) -> ResponseReturnValue:
    page = render_template("demo_app/failed.html", app=app, trouble=trouble)
    return _keep(make_response(page, trouble.status), app, "flow", None)  # type: ignore[no-any-return]
