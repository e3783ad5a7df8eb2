"""Signing out, as an application asks for it."""

from flask import redirect, render_template, request
from flask.typing import ResponseReturnValue

from b2b.extensions import db
from b2b.services import authorization, clients
from b2b.services.aadsts import SignInRefused
from b2b.web import brand, context
from b2b.web.context import now, public, writing
from b2b.web.forms import ButtonForm
from b2b.web.identity_platform import bp
from b2b.web.identity_platform.authorize import refusal_page


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
