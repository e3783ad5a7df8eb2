"""My account: how one signs in, where one is signed in, the organisations one is in."""

import re
from collections.abc import Sequence
from typing import Any

from flask import Blueprint, flash, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext
from wtforms import PasswordField, StringField

from b2b.actor import ExternalIdentity
from b2b.errors import N_, Conflict, Invalid, Throttled
from b2b.extensions import db
from b2b.models import fold
from b2b.services import accounts, belonging, leaving, passwords, policies, sign_in
from b2b.services.belonging import Place
from b2b.services.leaving import Belonging
from b2b.web import brand, context
from b2b.web.brand import as_uuid
from b2b.web.context import actor, now, public, signed_in, writing
from b2b.web.forms import ButtonForm, Form, required

bp = Blueprint("account", __name__, url_prefix="/account")


class PasswordForm(Form):
    """The password one has, and the one to come."""

    current_password = PasswordField(
        lazy_gettext("Current password"), validators=[required(N_("Enter the password."))]
    )
    password = PasswordField(
        lazy_gettext("New password"), validators=[required(N_("Enter a password."))]
    )
    password_again = PasswordField(
        lazy_gettext("New password again"),
        validators=[required(N_("Enter the new password again."))],
    )


class LeaveForm(Form):
    """The name of what is left, typed."""

    name = StringField(
        lazy_gettext("Name of the organisation"),
        validators=[required(N_("Type the name of the organisation as it is shown above."))],
    )


def _identity() -> ExternalIdentity:
    found = context.identity()
    assert found is not None  # whoever acts has signed in as somebody
    return found


def _room() -> dict[str, Any]:
    """What the frame around each of these pages shows."""
    _, tenant = policies.with_tenant(db.session(), actor())
    brand.wear(tenant)
    return {"tab": "account", "places": belonging.places(db.session(), _identity())}


# How one signs in --------------------------------------------------------------------------------


@bp.route("/sign-in", methods=["GET", "POST"])
@signed_in
def security() -> ResponseReturnValue:
    """How one signs in; changing the password that this installation checks."""
    room = _room()
    identity, form = _identity(), PasswordForm()
    password = accounts.own_password(db.session(), identity)
    if password is not None and form.validate_on_submit():
        with form.reporting():
            _change_password(identity, form, password.hash)
            flash(gettext("Your password is changed. Every other browser is signed out."), "ok")
            return redirect(url_for(".security"), 303)
    return render_template(
        "my_apps/account/security.html",
        identity_row=identity,
        password=password,
        form=form,
        **room,
    )


def _change_password(identity: ExternalIdentity, form: PasswordForm, stored: str) -> None:
    """Check the current one, count the try, store the new one. Raises Invalid, Throttled."""
    current = form.current_password.data or ""
    name, place = fold(identity.label), request.remote_addr
    with writing() as database_session:
        blocked = sign_in.take_try(database_session, name, ip_address=place, now=now())
    if blocked is not None:
        raise Throttled(N_("Too many attempts for this account from here."), until=blocked)
    if not passwords.matches(stored, current):  # slow on purpose, so outside the write lock
        raise Invalid("current_password", N_("That is not your password."))
    new = form.password.data or ""
    accounts.check_new_password(new, form.password_again.data or "", current, identity)
    hashed = passwords.hashed(new)
    who = actor()
    with writing() as database_session:
        accounts.change_password(database_session, who, identity, hashed)
        sign_in.forget_tries(database_session, name, ip_address=place)
        context.start_session(
            database_session, identity, tenant_id=who.tenant_id, user_id=who.user_id
        )


# Where one is signed in --------------------------------------------------------------------------

_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def browser_name(user_agent: str | None) -> str:
    """What people call their browser, as far as it tells."""

    def known(names: Sequence[tuple[str, str]]) -> str | None:
        return next((name for sign, name in names if sign in (user_agent or "")), None)

    browser, system = known(_BROWSERS), known(_SYSTEMS)
    if browser and system:
        return gettext("%(browser)s on %(system)s", browser=browser, system=system)
    program = re.match(r"[\w.-]{2,40}", user_agent or "")
    return browser or system or (program[0] if program else gettext("Unknown browser"))


@bp.get("/sessions")
@signed_in
def sessions() -> ResponseReturnValue:
    """Where one is signed in."""
    live = context.live()
    return render_template(
        "my_apps/account/sessions.html",
        sessions=accounts.sessions_of(db.session(), _identity(), now()),
        most=accounts.MOST_SESSIONS,
        current=live.id if live else None,
        browser_name=browser_name,
        **_room(),
    )


@bp.post("/sessions/<session_id>/end")
@signed_in
def end_session(session_id: str) -> ResponseReturnValue:
    """Sign one browser out; the one at hand goes by the ordinary way."""
    chosen = as_uuid(session_id)
    live = context.live()
    if not ButtonForm().validate_on_submit():
        return redirect(url_for(".sessions"), 303)
    if live is not None and live.id == chosen:
        return redirect(url_for(".sessions"), 303)
    try:
        with writing() as database_session:
            accounts.sign_out_of(database_session, _identity(), chosen)
        flash(gettext("That browser is signed out."), "ok")
    except Conflict as error:
        flash(gettext(error.template, **error.values), "info")
    return redirect(url_for(".sessions"), 303)


@bp.post("/sessions/end-all")
@signed_in
def end_all_sessions() -> ResponseReturnValue:
    """Sign out everywhere, here too."""
    if not ButtonForm().validate_on_submit():
        return redirect(url_for(".sessions"), 303)
    with writing() as database_session:
        accounts.sign_out_everywhere(database_session, actor(), _identity())
        context.end_session(database_session)
    return redirect(url_for("sign_in.signed_out", everywhere=1), 303)


# Organisations -----------------------------------------------------------------------------------


@bp.get("/organisations")
@signed_in
def organisations() -> ResponseReturnValue:
    """Organisations that one is in, and the way out of each."""
    return render_template(
        "my_apps/account/organisations.html",
        belongings=leaving.belongings(db.session(), _identity()),
        **_room(),
    )


@bp.route("/organisations/<tenant_id>/leave", methods=["GET", "POST"])
@signed_in
def leave(tenant_id: str) -> ResponseReturnValue:
    """Leave an organisation: what it means, confirmed by its name."""
    identity, form = _identity(), LeaveForm()
    found = leaving.belonging(db.session(), identity, as_uuid(tenant_id))
    if found.hindrance is None and form.validate_on_submit():
        with form.reporting(Conflict):
            return _left(identity, found, form.name.data or "")
    return render_template("my_apps/account/leave.html", found=found, form=form, **_room())


def _left(identity: ExternalIdentity, found: Belonging, typed: str) -> ResponseReturnValue:
    here = actor()
    tenant, user = found.tenant, found.user
    guest = context.acting_at(
        Place(tenant.id, tenant.display_name, tenant.primary_domain, user.id, user.is_guest)
    )
    name = tenant.display_name
    with writing() as database_session:
        leaving.leave(database_session, guest, identity, typed)
        if here.tenant_id == tenant.id:
            # Still signed in, and in no organisation until one is chosen.
            context.start_session(database_session, identity)
    session["left"] = name
    return redirect(url_for(".left"), 303)


@bp.get("/left")
@public
def left() -> ResponseReturnValue:
    """Left: what has ended, and what has not."""
    name = session.get("left")
    if name is None or context.identity() is None:
        return redirect(url_for("my_apps.index"), 303)
    return render_template("my_apps/account/left.html", name=name)


_HINDRANCES = {
    leaving.Hindrance.HOME: N_("Your account lies here"),
    leaving.Hindrance.POLICY: N_("Only its administrators can remove you"),
    leaving.Hindrance.BLOCKED: N_("Your account is blocked there"),
}


@bp.app_template_filter("hindrance")
def _hindrance(found: leaving.Hindrance) -> str:
    return gettext(_HINDRANCES[found])
