"""My Apps: tiles, profile, and moving between organisations."""

from urllib.parse import urlsplit
from uuid import UUID

from flask import (
    Blueprint,
    flash,
    make_response,
    redirect,
    render_template,
    request,
    session,
    url_for,
)
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext
from wtforms import StringField

from b2b.actor import ExternalIdentity
from b2b.errors import N_, Conflict, NotFound
from b2b.extensions import db
from b2b.services import (
    access_panel,
    belonging,
    policies,
    profiles,
    redemption,
    sign_in,
    users,
    visibility,
)
from b2b.services.addresses import parse_domain
from b2b.web import brand, context
from b2b.web.brand import as_uuid
from b2b.web.context import actor, signed_in, writing
from b2b.web.forms import AtMost, ButtonForm, Choice, Form, required
from b2b.web.paging import cursor, here
from b2b.web.redemption_link import remember_direct

bp = Blueprint("my_apps", __name__)


class ProfileForm(Form):
    """What a person may correct about himself."""

    display_name = StringField(
        lazy_gettext("Display name"), validators=[required(N_("Enter a name.")), AtMost(256)]
    )
    given_name = StringField(lazy_gettext("Given name"), validators=[AtMost(64)])
    surname = StringField(lazy_gettext("Surname"), validators=[AtMost(64)])
    company_name = StringField(lazy_gettext("Company"), validators=[AtMost(64)])
    job_title = StringField(lazy_gettext("Job title"), validators=[AtMost(128)])
    mobile_phone = StringField(lazy_gettext("Mobile phone"), validators=[AtMost(64)])
    preferred_language = Choice(lazy_gettext("Language"))


def _wear_organisation() -> None:
    _, tenant = policies.with_tenant(db.session(), actor())
    brand.wear(tenant)


@bp.get("/myapps")
@context.public
def index() -> ResponseReturnValue:
    """My Apps of the organisation one acts in, or of the one that ?tenantid= names."""
    wanted = request.args.get("tenantid") or request.args.get("tenantId")
    if wanted:
        return enter(as_uuid(wanted))
    if context.identity() is None:
        return context.to_sign_in()
    if context.actor_or_none() is None:
        return _nowhere()
    _wear_organisation()
    who = actor()
    query = " ".join(request.args.get("q", "").split())[:100]
    first = not query and not {"after", "before"} & request.args.keys()
    # Held while the page is made: the frame around it asks the same row again.
    _policy = policies.of(db.session(), who)
    found = access_panel.apps(
        db.session(), who, search=query, after=cursor("after"), before=cursor("before")
    )
    return render_template(
        "my_apps/index.html",
        found=found,
        query=query,
        groups=access_panel.groups(db.session(), who)
        if first and visibility.of(db.session(), who).reads_groups
        else None,
        first=first,
        places=_places(),
        host_of=lambda url: urlsplit(url).netloc,
        here=here,
    )


@bp.get("/myapps/groups")
@signed_in
def groups() -> ResponseReturnValue:
    """Groups that one is in; who else is in them is not shown: guests see little of a directory."""
    _wear_organisation()
    visibility.require_groups(db.session(), actor())
    found = access_panel.groups(
        db.session(), actor(), after=cursor("after"), before=cursor("before")
    )
    return render_template("my_apps/groups.html", found=found, places=_places(), here=here)


def _own_id() -> UUID:
    found = actor().user_id
    assert found is not None
    return found


def _places() -> list[belonging.Place]:
    identity = context.identity()
    return [] if identity is None else belonging.places(db.session(), identity)


def _nowhere() -> ResponseReturnValue:
    """Signed in, and in no organisation yet or any more."""
    places = _places()
    if len(places) == 1:
        return enter(places[0].tenant_id)
    return render_template("my_apps/nowhere.html", places=places, form=ButtonForm())


def enter(tenant_id: UUID, target: str | None = None) -> ResponseReturnValue:
    """Act in the organisation *tenant_id*, signing in first if need be; who is invited there and
    has not accepted yet is asked to (redemption.md, 1: direct links). *target* is a path of ours
    to go on to, My Apps without one.
    """
    target = target or url_for(".index")
    identity = context.identity()
    if identity is None:
        return context.to_sign_in()
    present = context.actor_or_none()
    if present is None or present.tenant_id != tenant_id:
        database = db.session()
        place = next(
            (one for one in belonging.places(database, identity) if one.tenant_id == tenant_id),
            None,
        )
        if place is None:
            opened = redemption.open_direct(database, tenant_id, identity, now=context.now())
            if opened is None:
                return _no_access(identity)
            remember_direct(opened, target)
            is_open = opened.standing is redemption.Standing.OPEN
            return redirect(url_for("redeem.review" if is_open else "redeem.landing"), 303)
        with writing() as database_session:
            context.start_session(
                database_session, identity, tenant_id=place.tenant_id, user_id=place.user_id
            )
            if place.is_guest:
                guest = context.acting_at(place)
                redemption.log_sign_in(database_session, guest, identity)
    return redirect(target, 303)


def _no_access(identity: ExternalIdentity) -> ResponseReturnValue:
    """Unknown organisations and those that have not let this account in answer alike (ADM-3)."""
    page = render_template(
        "my_apps/no_access.html", identity=identity, places=_places(), next=request.full_path
    )
    return make_response(page, 409)


@bp.get("/myapps/<domain>")
@context.public
def of_domain(domain: str) -> ResponseReturnValue:
    """My Apps of the organisation that has verified a domain."""
    tenant_id = sign_in.tenant_of_domain(db.session(), parse_domain(domain))
    if tenant_id is None:
        raise NotFound(N_("No organisation here has this domain."))
    return enter(tenant_id)


@bp.post("/myapps/switch")
@context.public
def switch() -> ResponseReturnValue:
    """Go to another organisation."""
    if not ButtonForm().validate_on_submit():
        return redirect(url_for(".index"), 303)
    return enter(as_uuid(request.form.get("tenant", "")))


@bp.route("/profile", methods=["GET", "POST"])
@signed_in
def profile() -> ResponseReturnValue:
    """One's own profile; after the first redemption, what was taken over from the sign-in."""
    _wear_organisation()
    user = users.get(db.session(), actor(), _own_id())
    first = user.is_guest and user.profile_reviewed_at is None
    form = ProfileForm(obj=user)
    form.preferred_language.choices = [
        ("", gettext("As the browser says")),
        *((code, context.NAMES[code]) for code in context.shipped_languages()),
    ]
    if request.method == "GET":
        form.preferred_language.data = (user.preferred_language or "").split("-")[0]
    if form.validate_on_submit():
        with form.reporting(Conflict):
            values = {name: form[name].data for name in form.data if name in profiles.PROFILE}
            with writing() as database_session:
                profiles.update_profile(database_session, actor(), user.id, **values)
                profiles.mark_profile_reviewed(database_session, actor(), user.id)
            session.pop("language", None)
            flash(gettext("Your profile is saved."), "ok")
            return redirect(_way_on() if first else url_for(".profile"), 303)
    return render_template(
        "my_apps/profile.html",
        form=form,
        user=user,
        first=first,
        identity_row=sign_in.identity_of_guest(db.session(), user),
        places=_places(),
        button=ButtonForm(),
    )


@bp.post("/profile/skip")
@signed_in
def skip_profile() -> ResponseReturnValue:
    """Leave the profile as it was taken over; it is not offered again."""
    if ButtonForm().validate_on_submit():
        with writing() as database_session:
            profiles.mark_profile_reviewed(database_session, actor(), _own_id())
    return redirect(_way_on(), 303)


def _way_on() -> str:
    """The landing page of the invitation that was just accepted; My Apps otherwise."""
    target: str | None = session.pop("way_on", None)
    return target or url_for(".index")
