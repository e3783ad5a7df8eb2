"""Signing in to an application: the authorize endpoint, and the pages on the way."""

import re
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import parse_qsl, urlencode, urlsplit

from flask import (
    Response,
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
from b2b.extensions import db
from b2b.models import ServicePrincipal, Tenant
from b2b.services import authorization, consent_requests, redemption, roles, visitors
from b2b.services.aadsts import SignInRefused
from b2b.services.authorization import Request, SignedIn, Target
from b2b.services.clients import Client
from b2b.services.sessions import Live
from b2b.services.visitors import Person
from b2b.web import brand, context, headers
from b2b.web.context import now, public, writing
from b2b.web.identity_platform import bp
from b2b.web.identity_platform.answers import description
from b2b.web.redemption_link import remember_direct

CURRENT = "current"
"""In `sid`: whoever has signed in last in this browser."""


@dataclass(frozen=True)
class Visit:
    """Somebody at an application's door, and what the application is in the tenant."""

    client: Client
    person: Person


@bp.get("/<tenant>/oauth2/v2.0/authorize")
@public
def authorize(tenant: str) -> ResponseReturnValue:
    """Sign in to an application."""
    asked = asked_here(tenant)
    if not isinstance(asked, Request):
        return asked
    if "select_account" in asked.prompts:
        return _choose_account(asked, context.accounts())
    found = meant(asked)
    if len(found) > 1 and "login" not in asked.prompts:
        if asked.is_silent:
            return tell(asked.target, SignInRefused(16000, application=asked.target.name))
        return _choose_account(asked, found)
    live = found[0] if found else None
    if live is None or "login" in asked.prompts or _again(live) or _is_too_old(asked, live):
        return tell(asked.target, SignInRefused(50058)) if asked.is_silent else _to_sign_in(asked)
    return go_on(asked, live)


def meant(asked: Request) -> list[Live]:
    """Who of those signed in in this browser the request may mean: `sid` names one session, else
    hints narrow them down.
    """
    signed_in, wanted = context.accounts(), request.args.get("sid")
    if wanted == CURRENT:
        here = context.live()
        return [] if here is None else [here]
    if wanted is not None and (named := [one for one in signed_in if str(one.id) == wanted]):
        return named
    identities = [one.identity for one in signed_in]
    fitting = authorization.fitting(db.session(), asked, identities)
    return [one for one in signed_in if one.identity in fitting]


def asked_here(tenant: str) -> Request | ResponseReturnValue:
    """The valid request of this address, or the answer to one that is not."""
    sent = dict(request.args.lists())
    try:
        target = authorization.target_of(db.session(), tenant, sent)
    except SignInRefused as refused:
        return refusal_page(refused)
    if target.tenant is not None:
        brand.wear(target.tenant)
    try:
        return authorization.request_of(db.session(), target, sent)
    except SignInRefused as refused:
        return tell(target, refused)


def _is_too_old(asked: Request, live: Live) -> bool:
    return asked.max_age is not None and now() - live.signed_in_at > timedelta(
        seconds=asked.max_age
    )


def go_on(asked: Request, live: Live) -> ResponseReturnValue:
    """With somebody signed in: find who he is there, ask for his consent, answer."""
    found = found_there(asked, live)
    if not isinstance(found, Visit):
        return found
    client, person = found.client, found.person
    acting = acting_as(client.tenant, person)
    try:
        missing = consent_requests.missing(
            db.session(),
            client,
            person.user,
            asked.wanted,
            all_of_it="consent" in asked.prompts,
        )
    except SignInRefused as refused:
        return tell(asked.target, refused)
    if missing is not None:
        if asked.is_silent:
            return tell(asked.target, SignInRefused(65001, application=client.name))
        return redirect(f"{url_for('.consent_page', tenant=asked.target.named)}?{query()}", 303)
    with writing() as database_session:
        values = authorization.answer(
            database_session,
            acting,
            client,
            asked,
            SignedIn(live.identity, live.id, live.signed_in_at),
        )
    return answer(asked.target.redirect_uri, asked.response_mode, asked.state, values)


def found_there(asked: Request, live: Live) -> Visit | ResponseReturnValue:
    """Who the signed-in account is in the tenant of the request, or the page that says why not."""
    target = asked.target
    try:
        client = authorization.settled(db.session(), target, live.identity)
    except SignInRefused as refused:
        return (
            tell(target, refused)
            if asked.is_silent
            else refusal_page(refused, back=resume_path(asked))
        )
    brand.wear(client.tenant)
    try:
        person = visitors.person(
            db.session(),
            client.tenant,
            client.application,
            live.identity,
            since=live.created_at,
            now=now(),
            name=client.name,
        )
    except SignInRefused as refused:
        if asked.is_silent:
            return tell(target, refused)
        return turned_away(
            client.tenant,
            client.application,
            live.identity,
            refused,
            back=resume_path(asked),
            name=client.name,
        )
    return Visit(client, person)


def acting_as(organisation: Tenant, found: Person | None) -> Actor:
    """The person at the organisation, whatever he does elsewhere in this browser meanwhile."""
    user = None if found is None else found.user
    return Actor(
        tenant_id=organisation.id,
        tenant_name=organisation.display_name,
        tenant_domain=organisation.primary_domain,
        now=now(),
        user_id=None if user is None else user.id,
        display_name="" if user is None else user.display_name,
        user_principal_name="" if user is None else user.user_principal_name,
        is_guest=user is not None and user.is_guest,
        roles=(
            frozenset() if user is None else roles.of_user(db.session(), organisation.id, user.id)
        ),
        correlation_id=context.correlation_id(),
        ip_address=request.remote_addr,
        user_agent=request.user_agent.string,
    )


def turned_away(
    tenant: Tenant,
    application: ServicePrincipal | None,
    identity: ExternalIdentity,
    refused: SignInRefused,
    *,
    back: str,
    name: str = "",
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
        visitors.note_refusal(
            database_session,
            tenant,
            name if application is None else application.display_name,
            identity,
            refused,
            acting_as(tenant, None),
            app_id=None if application is None else application.app_id,
        )
    contacts = visitors.whom_to_ask(db.session(), tenant, application, identity)
    return refusal_page(refused, application=application, contacts=contacts, back=back)


def refusal_page(
    refused: SignInRefused,
    *,
    application: ServicePrincipal | None = None,
    contacts: list[visitors.Contact] | None = None,
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


def tell(target: Target, refused: SignInRefused) -> ResponseReturnValue:
    """The client hears of it at its registered address."""
    modes = request.args.getlist("response_mode")
    types = request.args.get("response_type", "").split()
    mode = "fragment" if {"id_token", "token"} & set(types) else "query"
    if len(modes) == 1 and modes[0] in authorization.RESPONSE_MODES:
        mode = modes[0]
    states = request.args.getlist("state")
    values = {
        "error": refused.error,
        "error_description": description(refused),
        "error_uri": links.absolute(f"/error?code={refused.number}"),
    }
    return answer(target.redirect_uri, mode, states[0] if len(states) == 1 else None, values)


def answer(
    redirect_uri: str,
    mode: str,
    state: str | None,
    values: dict[str, str],
    *,
    after_form: bool = False,
) -> ResponseReturnValue:
    """Answer the application. *after_form*: a form of ours was sent just before, whose redirects a
    browser lets lead to our own pages only, so a page of its own comes in between.
    """
    if state is not None:
        values = {**values, "state": state}
    if mode != "form_post":
        url = authorization.answer_url(redirect_uri, mode, values)
        if after_form:
            return make_response(render_template("identity_platform/resume.html", path=url))
        return redirect(url, 303)
    response = make_response(
        render_template("identity_platform/form_post.html", url=redirect_uri, values=values)
    )
    # The one page whose form goes elsewhere: to the registered address and nowhere else.
    headers.open_to(response, "form-action", [redirect_uri])
    return response


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


# The way to the sign-in page and back -----------------------------------------------------------


def query(**changes: str | None) -> str:
    """The query of this request with some parameters changed, or left out for None."""
    pairs = [pair for pair in parse_qsl(request.query_string.decode()) if pair[0] not in changes]
    return urlencode(pairs + [(name, value) for name, value in changes.items() if value])


def resume_path(asked: Request, **changes: str | None) -> str:
    """Where somebody comes back to, once he has signed in or accepted."""
    path = url_for(".resume", tenant=asked.target.named)
    return f"{path}?{query(**{'prompt': _still(asked), **changes})}"


def _still(asked: Request) -> str | None:
    """What is left of `prompt` once somebody has signed in or chosen an account."""
    return "consent" if "consent" in asked.prompts else None


def _to_sign_in(asked: Request) -> ResponseReturnValue:
    """To the sign-in page; whoever is signed in has to do it once more."""
    newest = max((_moment(one) for one in context.accounts()), default=None)
    back = resume_path(
        asked, again=None if newest is None else str(newest), sid=CURRENT,
        login_hint=None, domain_hint=None,
    )  # fmt: skip
    return redirect(
        url_for(
            "sign_in.address",
            next=back,
            other="1",
            login_hint=(asked.login_hint or "")[:320] or None,
            domain_hint=(asked.domain_hint or "")[:253] or None,
        ),
        303,
    )


def _again(live: Live) -> bool:
    """Whether a sign-in is needed that is newer than all there were when it was asked for: neither
    a change of organisation nor of account is one, typing the password again is.
    """
    before = request.args.get("again", "")
    return re.fullmatch(r"[0-9]{1,20}", before) is not None and _moment(live) <= int(before)


def _moment(live: Live) -> int:
    return int(live.signed_in_at.timestamp() * 1_000_000)


def _choose_account(asked: Request, accounts: list[Live]) -> ResponseReturnValue:
    """Everybody who is signed in here, and a way to sign in as somebody else."""
    if not accounts:
        return _to_sign_in(asked)
    back = resume_path(asked, sid=CURRENT, login_hint=None, domain_hint=None)
    return render_template(
        "identity_platform/choose_account.html",
        application=asked.target.name,
        accounts=[(one.identity, resume_path(asked, sid=str(one.id))) for one in accounts],
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
