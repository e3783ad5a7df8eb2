"""Signing out, as an application asks for it, and telling the others (front channel)."""

from urllib.parse import urlencode, urlsplit, urlunsplit

from flask import Response, make_response, redirect, render_template, request
from flask.typing import ResponseReturnValue

from b2b.extensions import db
from b2b.services import clients, signing_out, tokens
from b2b.services.aadsts import SignInRefused
from b2b.services.sessions import Farewell
from b2b.web import brand, context, headers
from b2b.web.context import now, public, writing
from b2b.web.forms import ButtonForm
from b2b.web.identity_platform import bp
from b2b.web.identity_platform.authorize import refusal_page

_PATIENCE = 5
"""Seconds that applications get to sign their people out before the page goes on."""


@bp.route("/<tenant>/oauth2/v2.0/logout", methods=["GET", "POST"])
@public
def logout(tenant: str) -> ResponseReturnValue:
    """Sign out, as an application asks; confirmed by the person unless the application proves that
    it acts for him.
    """
    sent = dict((request.args if request.method == "GET" else request.form).lists())
    try:
        organisation = clients.place_named(db.session(), tenant)
    except SignInRefused as refused:
        return refusal_page(refused)
    if organisation is not None:
        brand.wear(organisation)
    accounts = context.accounts()
    identities = [one.identity for one in accounts]
    goodbye = signing_out.goodbye(db.session(), organisation, sent, identities, now=now())
    if not accounts:
        if goodbye.return_to is not None and request.method == "GET":
            return redirect(goodbye.return_to, 303)
        return render_template("identity_platform/signed_out.html", goodbye=goodbye, frames=[])
    confirmed = request.method == "POST" and ButtonForm().validate_on_submit()
    if goodbye.proven is None and not confirmed:
        kept = ("client_id", "post_logout_redirect_uri", "state", "id_token_hint")
        return render_template(
            "identity_platform/logout.html",
            goodbye=goodbye,
            identity=(context.identity() or identities[0]),
            kept=[(name, sent[name][0]) for name in kept if sent.get(name)],
        )
    with writing() as database_session:
        if goodbye.proven is None:
            context.end_session(database_session)
        else:
            [ended] = [one for one in accounts if one.identity == goodbye.proven]
            context.end_account(database_session, ended)
    frames = frames_of(context.farewells())
    if goodbye.return_to is not None and request.method == "GET" and not frames:
        return redirect(goodbye.return_to, 303)
    page = render_template("identity_platform/signed_out.html", goodbye=goodbye, frames=frames)
    response = with_frames(make_response(page), frames)
    if goodbye.return_to is not None and request.method == "GET":
        response.headers["Refresh"] = f"{_PATIENCE}; url={goodbye.return_to}"
    return response


def frames_of(farewells: list[Farewell]) -> list[tuple[str, str]]:
    """Name and address of each application that has to hear of a sign-out: with who has issued its
    tokens, and for which session (OpenID Connect Front-Channel Logout, 2).
    """
    found = []
    for one in farewells:
        parts = urlsplit(one.logout_url)
        more = urlencode({"iss": tokens.issuer(one.tenant_id), "sid": str(one.session_id)})
        query = f"{parts.query}&{more}" if parts.query else more
        if headers.source_of(one.logout_url) is not None:
            found.append((one.application, urlunsplit((*parts[:3], query, ""))))
    return found


def with_frames(response: Response, frames: list[tuple[str, str]]) -> Response:
    """Let the page show the registered addresses, and no others."""
    if frames:
        headers.open_to(response, "frame-src", [url for _, url in frames])
    return response
