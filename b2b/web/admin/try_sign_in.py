"""Try a sign-in: the authorization code flow with a registration, and its tokens in words.

This page is the program that waits at the redirect URI: a public client with PKCE. Its tokens end
before they are shown, and are kept nowhere.
"""

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from flask import redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext
from sqlalchemy.orm import Session
from wtforms import BooleanField, StringField

from b2b import clock, jose, keys, links
from b2b.actor import Actor
from b2b.errors import N_, Invalid
from b2b.models import AuthorizationCode, Platform, Tenant
from b2b.services import app_registrations, grants
from b2b.services.aadsts import SignInRefused
from b2b.services.app_registrations import Registered
from b2b.services.grants import Asked, Issued
from b2b.services.permissions import Action
from b2b.web import context
from b2b.web.admin import bp
from b2b.web.admin.acting import act
from b2b.web.admin.registrations import managed, room
from b2b.web.brand import as_uuid
from b2b.web.context import actor, allowed, writing
from b2b.web.forms import AtMost, Form

_ROOM = "try_sign_in"
_KEPT = "try_sign_in"
_LIFE = 600
"""Seconds between the start and the answer."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIMES = frozenset({"auth_time", "exp", "iat", "nbf"})
HEADER = {
    "alg": N_("How it is signed"),
    "kid": N_("Which of the published keys has signed it"),
    "typ": N_("What it is"),
}
CLAIMS = {
    "acct": N_("0 for a member, 1 for a guest"),
    "acr": N_("How strong the sign-in was"),
    "amr": N_("How the person signed in"),
    "app_displayname": N_("What the program is called"),
    "appid": N_("The program that asked"),
    "appidacr": N_("How the program proved itself: 0 not at all, 1 secret, 2 certificate"),
    "aud": N_("Whom the token is for; nobody else may take it"),
    "auth_time": N_("When the person signed in"),
    "azp": N_("The program that asked"),
    "azpacr": N_("How the program proved itself: 0 not at all, 1 secret, 2 certificate"),
    "email": N_("E-mail address; it names nobody for certain"),
    "exp": N_("When it ends"),
    "family_name": N_("Family name"),
    "given_name": N_("Given name"),
    "groups": N_("Object IDs of the person’s groups"),
    "iat": N_("When it was made"),
    "idp": N_("Where a guest signed in"),
    "idtyp": N_("Whether it is for a person or a program alone"),
    "iss": N_("Who has made it: the organisation of the request"),
    "name": N_("Display name"),
    "nbf": N_("When it begins"),
    "nonce": N_("What the program sent, so that no old answer is taken for a new one"),
    "oid": N_("The person’s object ID in this organisation"),
    "preferred_username": N_("Sign-in name at home; it may change"),
    "roles": N_("App roles, one’s own and those of one’s groups"),
    "scp": N_("What the program may do in the person’s name"),
    "sid": N_("The session"),
    "sub": N_("The person, under another name in every application"),
    "tid": N_("The organisation of the request"),
    "unique_name": N_("Sign-in name, as older programs read it"),
    "upn": N_("User principal name"),
    "uti": N_("This token’s own number"),
    "ver": N_("Version of the token"),
    "wids": N_("Directory roles"),
}


@dataclass(frozen=True)
class Shown:
    """A decoded token: (name, value, words) of header and claims."""

    name: str
    header: list[tuple[str, str | datetime, str]]
    claims: list[tuple[str, str | datetime, str]]


class TryForm(Form):
    """What is asked for."""

    scope = StringField(lazy_gettext("Scopes"), validators=[AtMost(1024)])
    choose = BooleanField(lazy_gettext("Let me choose the account"))


def _address(one: Registered) -> str:
    """The redirect URI of this page."""
    return links.absolute(url_for("admin.try_answer", registration_id=one.registration.id))


def _page(
    registration_id: str,
    form: TryForm,
    tokens: list[Shown] | None = None,
    trouble: str | None = None,
) -> ResponseReturnValue:
    shown = room(registration_id, _ROOM)
    address = _address(shown["one"])
    return render_template(
        "admin/registrations/try.html",
        **shown,
        form=form,
        address=address,
        is_ready=address in shown["one"].registration.public_redirect_uris,
        tokens=tokens or [],
        trouble=trouble,
    )


@bp.route("/app-registrations/<registration_id>/try", methods=["GET", "POST"])
@allowed(Action.READ_DIRECTORY)
def try_sign_in(registration_id: str) -> ResponseReturnValue:
    """Say what is asked for, and go to the sign-in."""
    form = TryForm(data={"scope": "openid profile email offline_access"})
    if form.validate_on_submit():
        with form.reporting():
            return redirect(_request(managed(registration_id), form), 303)
    return _page(registration_id, form)


def _request(one: Registered, form: TryForm) -> str:
    """The authorize request; what its answer is checked by stays in this browser."""
    if not (form.scope.data or "").split():
        raise Invalid("scope", N_("Enter a scope, such as openid."))
    kept = {name: secrets.token_urlsafe(32) for name in ("state", "nonce", "verifier")}
    session[_KEPT] = {
        **kept,
        "registration": str(one.registration.id),
        "until": clock.now().timestamp() + _LIFE,
    }
    challenge = jose.text(hashlib.sha256(kept["verifier"].encode()).digest())
    query = {
        "client_id": str(one.registration.app_id),
        "response_type": "code",
        "redirect_uri": _address(one),
        "scope": form.scope.data or "",
        "state": kept["state"],
        "nonce": kept["nonce"],
        "code_challenge": challenge,
        "code_challenge_method": "S256",
        **({"prompt": "select_account"} if form.choose.data else {}),
    }
    return f"/{one.registration.tenant_id}/oauth2/v2.0/authorize?{urlencode(query)}"


@bp.get("/app-registrations/<registration_id>/try/answer")
@allowed(Action.READ_DIRECTORY)
def try_answer(registration_id: str) -> ResponseReturnValue:
    """Take the answer that this browser waits for, and show what the tokens say."""
    one = managed(registration_id)
    form = TryForm(formdata=None, data={"scope": "openid profile email offline_access"})
    kept: dict[str, Any] = session.get(_KEPT) or {}
    expected = hmac.compare_digest(
        request.args.get("state", "").encode(), str(kept.get("state", "")).encode()
    )
    is_own = kept.get("registration") == str(one.registration.id)
    if not (kept and expected and is_own and kept["until"] > clock.now().timestamp()):
        words = gettext("This is no answer to a sign-in that was begun here. Begin again.")
        return _page(registration_id, form, trouble=words)
    code = request.args.get("code")
    if code is None:
        session.pop(_KEPT)
        return _page(registration_id, form, trouble=request.args.get("error_description", ""))
    with writing() as writer:
        found = _tokens(writer, actor(), one, code, kept["verifier"])
    session.pop(_KEPT, None)
    if isinstance(found, SignInRefused):
        return _page(registration_id, form, trouble=f"{found.code}: {found}")
    named = [(gettext("ID token"), found.id_token), (gettext("Access token"), found.access_token)]
    return _page(registration_id, form, [_shown(name, one) for name, one in named if one])


def _tokens(
    writer: Session, who: Actor, one: Registered, code: str, verifier: str
) -> Issued | SignInRefused:
    """Redeem the code; what was given for it ends with this very transaction."""
    tenant = writer.get_one(Tenant, who.tenant_id)
    parameters = {
        "client_id": [str(one.registration.app_id)],
        "code": [code],
        "redirect_uri": [_address(one)],
        "code_verifier": [verifier],
    }
    asked = Asked(
        tenant,
        str(tenant.id),
        parameters,
        ip_address=request.remote_addr,
        user_agent=request.user_agent.string,
        correlation_id=context.correlation_id(),
    )
    found = grants.redeem_code(writer, asked, now=clock.now())
    row = writer.get(AuthorizationCode, keys.digest(code))
    if isinstance(found, Issued) and row is not None and row.grant_id is not None:
        grants.end(writer, who.tenant_id, row.grant_id)
    return found


def _shown(name: str, token: str) -> Shown:
    first = token.partition(".")[0]
    header = json.loads(base64.urlsafe_b64decode(first + "=" * (-len(first) % 4)))
    return Shown(name, _explained(header, HEADER), _explained(jose.unverified(token), CLAIMS))


def _explained(
    values: dict[str, Any], words: dict[str, str]
) -> list[tuple[str, str | datetime, str]]:
    found: list[tuple[str, str | datetime, str]] = []
    for name, value in values.items():
        said: str | datetime = value if isinstance(value, str) else json.dumps(value)
        if name in _TIMES and isinstance(value, int):
            said = _EPOCH + timedelta(seconds=value)
        found.append((name, said, gettext(words[name]) if name in words else ""))
    return found


@bp.post("/app-registrations/<registration_id>/try/prepare")
@allowed(Action.READ_DIRECTORY)
def prepare_try(registration_id: str) -> ResponseReturnValue:
    """Add the address of this page to the registration."""
    return _readdress(registration_id, True, N_("%(name)s can be tried now."))


@bp.post("/app-registrations/<registration_id>/try/clear")
@allowed(Action.READ_DIRECTORY)
def clear_try(registration_id: str) -> ResponseReturnValue:
    """Take the address of this page off the registration."""
    return _readdress(registration_id, False, N_("%(name)s knows the address no longer."))


def _readdress(registration_id: str, wanted: bool, done: str) -> ResponseReturnValue:
    def change(writer: Session, who: Actor) -> str:
        one = app_registrations.get(writer, who, as_uuid(registration_id))
        address = _address(one)
        uris = [uri for uri in one.registration.public_redirect_uris if uri != address]
        uris += [address] if wanted else []
        app_registrations.set_redirects(writer, who, one.registration.id, {Platform.PUBLIC: uris})
        return one.registration.display_name

    return act(url_for(f".{_ROOM}", registration_id=registration_id), change, done)
