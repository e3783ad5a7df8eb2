"""Signing in for another device: the code that it shows is typed here (threats.md, OIDC-7)."""

from dataclasses import dataclass

from flask import redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext
from wtforms import StringField

from b2b.actor import Actor
from b2b.errors import N_, Denied
from b2b.extensions import db
from b2b.models import DeviceCode
from b2b.services import (
    authorization,
    clients,
    consent_requests,
    device_codes,
    scopes,
    visitors,
)
from b2b.services.aadsts import SignInRefused
from b2b.services.clients import Client
from b2b.services.consent_requests import Missing
from b2b.services.sessions import Live
from b2b.web import brand, context
from b2b.web.context import now, public, writing
from b2b.web.forms import Form, required
from b2b.web.identity_platform import bp
from b2b.web.identity_platform.authorize import acting_as, refusal_page, turned_away
from b2b.web.identity_platform.consent import publisher_of

_REMEMBERED = "device"


class CodeForm(Form):
    """The code that a device shows."""

    user_code = StringField(
        lazy_gettext("Code"), validators=[required(N_("Enter the code that the device shows."))]
    )


@bp.route("/devicelogin", methods=["GET", "POST"])
@public
def device_login() -> ResponseReturnValue:
    """Enter the code of a device. It is typed by hand: no link fills it in."""
    form = CodeForm()
    if form.validate_on_submit():
        row = _typed(form)
        if row is not None:
            session[_REMEMBERED] = row.code_hash.hex()
            return redirect(url_for(".device_confirm"), 303)
    return render_template("identity_platform/device_code.html", form=form)


def _typed(form: CodeForm) -> DeviceCode | None:
    """The sign-in behind a typed code, tries counted by browser and by address."""
    who = [f"browser:{context.browser()}", f"ip:{request.remote_addr or '-'}"]
    with writing() as database_session:
        blocked = [
            device_codes.take_try(database_session, one, now=now()) is not None for one in who
        ]
        if any(blocked):
            words = gettext("Too many wrong codes. Wait a quarter of an hour and try again.")
            form.user_code.errors = [words]
            return None
        row = device_codes.typed(database_session, form.user_code.data, now=now())
        if row is None:
            words = gettext("This code is not right, or it is over. Look at the device again.")
            form.user_code.errors = [words]
            return None
        for one in who:
            device_codes.forget_tries(database_session, one)
        return row


@dataclass(frozen=True)
class Device:
    """A sign-in for a device, with the person at hand."""

    row: DeviceCode
    client: Client
    actor: Actor
    missing: Missing | None


@bp.route("/devicelogin/confirm", methods=["GET", "POST"])
@public
def device_confirm() -> ResponseReturnValue:
    """Only continue if you started this yourself: which application, from where, since when."""
    row = _remembered()
    if row is None:
        return redirect(url_for(".device_login"), 303)
    live = context.live()
    if live is None:
        here = url_for(".device_confirm")
        return redirect(url_for("sign_in.address", next=here, other="1"), 303)
    found = _device(row, live)
    if not isinstance(found, Device):
        return found
    if request.method == "POST":
        return _decided(found, live)
    return render_template(
        "identity_platform/device_confirm.html",
        device=found,
        publisher=publisher_of(found.client),
        account=live.identity,
        other=url_for("sign_in.address", next=url_for(".device_confirm"), other="1"),
    )


def _remembered() -> DeviceCode | None:
    try:
        code_hash = bytes.fromhex(session.get(_REMEMBERED) or "")
    except ValueError:
        return None
    row = db.session.get(DeviceCode, code_hash)
    return row if row is not None and device_codes.is_waiting(row, now()) else None


def _device(row: DeviceCode, live: Live) -> Device | ResponseReturnValue:
    """The application and the person in the tenant of the request, or the page that says no."""
    here = url_for(".device_confirm")
    try:
        registration = clients.registration_of(db.session(), str(row.app_id), None)
        tenant = clients.place_named(db.session(), row.named)
        if tenant is None:
            tenant = authorization.home_of(db.session(), registration, row.named, live.identity)
        client = clients.in_tenant(db.session(), registration, tenant)
        brand.wear(tenant)
    except SignInRefused as refused:
        return refusal_page(refused, back=here)
    try:
        person = visitors.person(
            db.session(), tenant, client.application, live.identity,
            since=live.created_at, now=now(), name=client.name,
        )  # fmt: skip
        acting = acting_as(tenant, person)
        _check_policy(client, acting)
        missing = consent_requests.missing(
            db.session(), client, person.user, scopes.read(row.scope)
        )
    except SignInRefused as refused:
        return turned_away(
            tenant, client.application, live.identity, refused, back=here, name=client.name
        )
    if missing is not None and not consent_requests.may_consent(db.session(), acting, missing):
        values = {"application": client.name, "organisation": tenant.display_name}
        return refusal_page(
            SignInRefused(90094, **values), application=client.application, back=here
        )
    return Device(row, client, acting, missing)


def _check_policy(client: Client, acting: Actor) -> None:
    """Never for people with a directory role, and not where the tenant has switched it off."""
    values = {
        "application": client.name,
        "organisation": client.tenant.display_name,
        "account": acting.user_principal_name,
    }
    if not clients.policy_of(db.session(), client.tenant.id).device_code_grant:
        raise SignInRefused(70001, **values)
    if acting.roles:
        raise SignInRefused(53003, **values)


def _decided(device: Device, live: Live) -> ResponseReturnValue:
    accepted = request.form.get("decision") == "accept"
    try:
        with writing() as database_session:
            row = device_codes.waiting(database_session, device.row.code_hash, now=now())
            if row is None:
                return redirect(url_for(".device_login"), 303)
            if accepted:
                if device.missing is not None:
                    consent_requests.accept(
                        database_session, device.actor, device.missing, for_all=False
                    )
                assert device.actor.user_id is not None
                device_codes.allow(
                    row,
                    tenant_id=device.client.tenant.id,
                    user_id=device.actor.user_id,
                    session_id=live.id,
                    signed_in_at=live.signed_in_at,
                )
                authorization.note_sign_in(
                    database_session, device.actor, live.identity, device.client
                )
            else:
                device_codes.decline(row)
    except Denied:
        values = {
            "application": device.client.name,
            "organisation": device.client.tenant.display_name,
        }
        return refusal_page(SignInRefused(90094, **values))
    session.pop(_REMEMBERED, None)
    return redirect(url_for(".device_done", allowed="1" if accepted else None), 303)


@bp.get("/devicelogin/done")
@public
def device_done() -> ResponseReturnValue:
    """Back to the device."""
    return render_template(
        "identity_platform/device_done.html", allowed=request.args.get("allowed") == "1"
    )
