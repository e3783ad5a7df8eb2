"""Saying yes or no to what an application wants: a person for himself, an administrator for all."""

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from b2b.actor import Actor, ExternalIdentity
from b2b.errors import Denied
from b2b.extensions import db
from b2b.models import Tenant
from b2b.services import authorization, consent, consent_requests, visitors
from b2b.services.aadsts import SignInRefused
from b2b.services.authorization import Request
from b2b.services.clients import Client
from b2b.services.consent_requests import AdminAsked, Missing, Needed
from b2b.web import brand, context
from b2b.web.context import public, writing
from b2b.web.identity_platform import bp
from b2b.web.identity_platform.answers import description
from b2b.web.identity_platform.authorize import (
    CURRENT,
    Visit,
    acting_as,
    answer,
    asked_here,
    found_there,
    meant,
    query,
    refusal_page,
    resume_path,
    turned_away,
)


def publisher_of(client: Client) -> str:
    """The organisation that has registered the application."""
    return db.session.get_one(Tenant, client.registration.tenant_id).display_name


@bp.route("/<tenant>/oauth2/v2.0/consent", methods=["GET", "POST"])
@public
def consent_page(tenant: str) -> ResponseReturnValue:
    """What an application wants to do in the person's name; he says yes or no."""
    asked = asked_here(tenant)
    if not isinstance(asked, Request):
        return asked
    signed_in = meant(asked)
    back = f"{url_for('.authorize', tenant=tenant)}?{query()}"
    if len(signed_in) != 1:
        return redirect(back, 303)
    [live] = signed_in
    found = found_there(asked, live)
    if not isinstance(found, Visit):
        return found
    client, person = found.client, found.person
    acting = acting_as(client.tenant, person)
    try:
        missing = consent_requests.missing(
            db.session(), client, person.user, asked.wanted, all_of_it="consent" in asked.prompts
        )
    except SignInRefused as refused:
        return refusal_page(refused)
    if missing is None:
        return redirect(resume_path(asked, prompt=None), 303)
    if not consent_requests.may_consent(db.session(), acting, missing):
        return _needs_administrator(asked, client, back)
    if request.method == "POST":
        return _decided(asked, missing, acting)
    return _page(asked, missing, acting, live.identity)


def _page(
    asked: Request, missing: Missing, acting: Actor, account: ExternalIdentity
) -> ResponseReturnValue:
    client = missing.client
    return render_template(
        "identity_platform/consent.html",
        client=client,
        publisher=publisher_of(client),
        resource=None if missing.resource is None else missing.resource.principal.display_name,
        permissions=missing.permissions,
        for_all=consent.may_consent_for_all(acting),
        account=account,
        other=url_for("sign_in.address", next=resume_path(asked, sid=CURRENT), other="1"),
    )


def _decided(asked: Request, missing: Missing, acting: Actor) -> ResponseReturnValue:
    if request.form.get("decision") != "accept":
        return _tell_after_form(asked, SignInRefused(65004, application=missing.client.name))
    for_all = request.form.get("for_all") == "1" and consent.may_consent_for_all(acting)
    try:
        with writing() as database_session:
            consent_requests.accept(database_session, acting, missing, for_all=for_all)
    except Denied:
        return _needs_administrator(asked, missing.client, resume_path(asked))
    return redirect(resume_path(asked, prompt=None), 303)


def _needs_administrator(asked: Request, client: Client, back: str) -> ResponseReturnValue:
    refused = SignInRefused(90094, application=client.name, organisation=client.tenant.display_name)
    return refusal_page(refused, application=client.application, back=back)


def _tell_after_form(asked: Request, refused: SignInRefused) -> ResponseReturnValue:
    values = {"error": refused.error, "error_description": description(refused)}
    return answer(
        asked.target.redirect_uri, asked.response_mode, asked.state, values, after_form=True
    )


# For the organisation ----------------------------------------------------------------------------


@bp.route("/<tenant>/adminconsent", methods=["GET", "POST"])
@bp.route("/<tenant>/v2.0/adminconsent", methods=["GET", "POST"])
@public
def admin_consent(tenant: str) -> ResponseReturnValue:
    """What an application wants of the organisation; an administrator says yes or no."""
    sent = dict(request.args.lists())
    try:
        target = authorization.target_of(db.session(), tenant, sent)
        asked = consent_requests.admin_request_of(target, sent)
    except SignInRefused as refused:
        return refusal_page(refused)
    if target.tenant is not None:
        brand.wear(target.tenant)
    here = f"{request.path}?{query()}"
    live = context.live()
    if live is None:
        return redirect(url_for("sign_in.address", next=here, other="1"), 303)
    try:
        client = authorization.settled(db.session(), target, live.identity)
        person = visitors.person(
            db.session(), client.tenant, None, live.identity,
            since=live.created_at, now=context.now(), name=client.name,
        )  # fmt: skip
    except SignInRefused as refused:
        if target.tenant is None:
            return refusal_page(refused, back=here)
        application = None if target.client is None else target.client.application
        return turned_away(
            target.tenant, application, live.identity, refused, back=here, name=target.name
        )
    brand.wear(client.tenant)
    acting = acting_as(client.tenant, person)
    try:
        needed = consent_requests.needed_of(db.session(), client, asked)
    except SignInRefused as refused:
        return refusal_page(refused)
    has_roles = any(one.roles for one in needed)
    may = consent.may_consent_for_all(acting) and (not has_roles or consent.may_grant_roles(acting))
    if not may:
        values = {"application": client.name, "organisation": client.tenant.display_name}
        return refusal_page(
            SignInRefused(90094, **values), application=client.application, back=here
        )
    if request.method == "POST":
        return _decided_for_all(asked, client, needed, acting)
    return render_template(
        "identity_platform/admin_consent.html",
        client=client,
        publisher=publisher_of(client),
        needed=needed,
        account=context.identity(),
        other=url_for("sign_in.address", next=here, other="1"),
    )


def _decided_for_all(
    asked: AdminAsked, client: Client, needed: list[Needed], acting: Actor
) -> ResponseReturnValue:
    uri = asked.target.redirect_uri
    if request.form.get("decision") != "accept":
        refused = SignInRefused(65004, application=client.name)
        values = {
            "error": refused.error,
            "error_description": description(refused),
            "admin_consent": "False",
        }
        return answer(uri, "query", asked.state, values, after_form=True)
    with writing() as database_session:
        consent_requests.accept_for_all(database_session, acting, client, needed)
    scope = " ".join(one.value for found in needed for one in (*found.scopes, *found.roles))
    values = {"admin_consent": "True", "tenant": str(client.tenant.id), "scope": scope}
    return answer(uri, "query", asked.state, values, after_form=True)
