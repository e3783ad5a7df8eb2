"""App registrations: the list, a new one, what each is, and who may sign in to it and how."""

from collections.abc import Mapping
from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext
from wtforms import BooleanField, StringField, TextAreaField

from b2b import links
from b2b.errors import N_, Conflict, Invalid
from b2b.extensions import db
from b2b.models import Audience, Platform, fold
from b2b.services import app_registrations, owners, permissions
from b2b.services.app_registrations import Facts, Registered
from b2b.services.permissions import Action
from b2b.web.admin import acting, bp
from b2b.web.brand import as_uuid
from b2b.web.context import actor, allowed, writing
from b2b.web.forms import AtMost, Choice, Form, required
from b2b.web.paging import around, cursor

NAME_LONGEST = 120
AUDIENCES = {
    Audience.THIS_ORGANISATION: N_("This organisation only"),
    Audience.ORGANISATIONS: N_("Any organisation"),
    Audience.ORGANISATIONS_AND_PERSONAL: N_("Any organisation, and personal accounts"),
    Audience.PERSONAL: N_("Personal accounts only"),
}
PLATFORMS = {
    Platform.WEB: N_("Web"),
    Platform.SPA: N_("Single-page application"),
    Platform.PUBLIC: N_("Mobile and desktop"),
}
_FIELDS = {
    Platform.WEB: "web_uris",
    Platform.SPA: "spa_uris",
    Platform.PUBLIC: "public_uris",
}
_ROOMS = {
    "app_registration": N_("Overview"),
    "registration_authentication": N_("Authentication"),
    "registration_credentials": N_("Certificates and secrets"),
    "registration_tokens": N_("Tokens"),
    "registration_permissions": N_("API permissions"),
    "registration_api": N_("Expose an API"),
    "registration_roles": N_("App roles"),
    "try_sign_in": N_("Try a sign-in"),
}
"""The pages about one registration, in the order of their tabs."""


class Plain(Form):
    """Texts without the one sign that no database column takes."""

    def process(self, *args: Any, **kwargs: Any) -> None:
        """As Form."""
        super().process(*args, **kwargs)
        for field in self:
            if isinstance(field.data, str):
                field.data = field.data.replace("\0", "")


def room(registration_id: str, here: str) -> dict[str, Any]:
    """What every page about one registration shows; *here* is its endpoint. Raises NotFound."""
    session, who = db.session(), actor()
    one = app_registrations.get(session, who, as_uuid(registration_id))
    return {
        "one": one,
        "manages": owners.may_manage(session, who, one.owned),
        "rooms": [
            {
                "label": gettext(label),
                "url": url_for(f".{endpoint}", registration_id=one.registration.id),
                "current": endpoint == here,
            }
            for endpoint, label in _ROOMS.items()
        ],
    }


def managed(registration_id: str) -> Registered:
    """A registration for somebody who changes it. Raises Denied, NotFound."""
    session, who = db.session(), actor()
    one = app_registrations.get(session, who, as_uuid(registration_id))
    owners.require(session, who, one.owned)
    return one


def audiences() -> list[tuple[str, str]]:
    """Whose people may sign in, as choices."""
    return [(str(one), gettext(label)) for one, label in AUDIENCES.items()]


# The list, and a new one -------------------------------------------------------------------------


@bp.get("/app-registrations", endpoint="app_registrations")
@allowed(Action.READ_DIRECTORY)
def registrations_page() -> ResponseReturnValue:
    """App registrations."""
    mine = request.args.get("view") == "mine"
    page = app_registrations.listing(
        db.session(),
        actor(),
        search=acting.typed(),
        mine=mine,
        after=cursor("after"),
        before=cursor("before"),
    )
    return render_template(
        "admin/registrations/list.html",
        mine=mine,
        search=acting.typed(),
        audiences=dict(audiences()),
        may_register=permissions.allows(actor(), Action.MANAGE_APPLICATIONS),
        **around(page),
    )


class RegistrationForm(Plain):
    """What is said when an application is registered; the rest follows on its pages."""

    display_name = StringField(
        lazy_gettext("Name"), validators=[required(N_("Enter a name.")), AtMost(NAME_LONGEST)]
    )
    audience = Choice(lazy_gettext("Who may sign in"))
    platform = Choice(lazy_gettext("Platform"))
    redirect_uri = StringField(
        lazy_gettext("Redirect URI"), validators=[AtMost(app_registrations.LONGEST_REDIRECT)]
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.audience.choices = audiences()
        self.platform.choices = [(str(one), gettext(label)) for one, label in PLATFORMS.items()]

    def facts(self) -> Facts:
        """What the service is told."""
        uri = (self.redirect_uri.data or "").strip()
        return Facts(
            redirect_uris={Platform(self.platform.data): [uri]} if uri else {},
            audience=Audience(self.audience.data),
        )


@bp.route("/app-registrations/new", methods=["GET", "POST"])
@allowed(Action.MANAGE_APPLICATIONS)
def new_registration() -> ResponseReturnValue:
    """New registration."""
    form = RegistrationForm(data={"audience": str(Audience.THIS_ORGANISATION)})
    if form.validate_on_submit():
        with form.reporting(Conflict):
            try:
                with writing() as session:
                    made = app_registrations.register(
                        session, actor(), form.display_name.data or "", form.facts()
                    )
            except Invalid as error:
                raise _beside(error, "redirect_uri") from error
            flash(gettext("%(name)s is registered.", name=made.registration.display_name), "ok")
            return redirect(url_for(".app_registration", registration_id=made.registration.id), 303)
    return render_template("admin/registrations/new.html", form=form)


def _beside(error: Invalid, field: str) -> Invalid:
    """The same refusal of redirect URIs, beside the field that they were typed into."""
    return elsewhere(error, {"redirect_uris": field})


def elsewhere(error: Invalid, fields: Mapping[str, str]) -> Invalid:
    """A refusal of a service's parameter, beside the field of a page that holds it."""
    field = fields.get(error.field, error.field)
    return Invalid(field, error.template, code=error.code, **error.values)


# One registration --------------------------------------------------------------------------------


def endpoints(tenant_id: object) -> list[tuple[str, str, str]]:
    """Addresses that a program is configured with: a name, words, and the address."""
    oauth = links.absolute(f"/{tenant_id}/oauth2/v2.0")
    return [
        (
            "discovery",
            gettext("OpenID Connect metadata"),
            links.absolute(f"/{tenant_id}/v2.0/.well-known/openid-configuration"),
        ),
        ("authority", gettext("Authority"), links.absolute(f"/{tenant_id}/v2.0")),
        ("authorize", gettext("Authorization endpoint"), f"{oauth}/authorize"),
        ("token", gettext("Token endpoint"), f"{oauth}/token"),
        ("device", gettext("Device code endpoint"), f"{oauth}/devicecode"),
        ("logout", gettext("Sign-out endpoint"), f"{oauth}/logout"),
    ]


@bp.get("/app-registrations/<registration_id>")
@allowed(Action.READ_DIRECTORY)
def app_registration(registration_id: str) -> ResponseReturnValue:
    """Overview of one registration."""
    shown = room(registration_id, "app_registration")
    one = shown["one"]
    return render_template(
        "admin/registrations/overview.html",
        **shown,
        audiences=dict(audiences()),
        endpoints=endpoints(one.registration.tenant_id),
        owners=owners.of(db.session(), actor(), one.owned),
    )


class NameForm(Plain):
    """What it is called."""

    display_name = StringField(
        lazy_gettext("Name"), validators=[required(N_("Enter a name.")), AtMost(NAME_LONGEST)]
    )


@bp.route("/app-registrations/<registration_id>/name", methods=["GET", "POST"])
@allowed(Action.READ_DIRECTORY)
def rename_registration(registration_id: str) -> ResponseReturnValue:
    """Give a registration another name."""
    one = managed(registration_id)
    form = NameForm(data={"display_name": one.registration.display_name})
    if form.validate_on_submit():
        with form.reporting():
            with writing() as session:
                app_registrations.rename(
                    session, actor(), one.registration.id, form.display_name.data or ""
                )
            flash(gettext("Saved."), "ok")
            return redirect(url_for(".app_registration", registration_id=registration_id), 303)
    return render_template(
        "admin/registrations/name.html", form=form, **room(registration_id, "app_registration")
    )


class DeleteForm(Plain):
    """Typed, so that no application is deleted by a slip."""

    confirmation = StringField(lazy_gettext("Type the name to confirm"))

    def confirms(self, name: str) -> bool:
        """Whether *name* was typed; what else was typed is an error beside the field."""
        if not self.validate_on_submit():
            return False
        if fold(self.confirmation.data or "") == fold(name):
            return True
        self.put_error(
            "confirmation", Invalid("confirmation", N_("This is not the name shown above."))
        )
        return False


@bp.route("/app-registrations/<registration_id>/delete", methods=["GET", "POST"])
@allowed(Action.READ_DIRECTORY)
def delete_registration(registration_id: str) -> ResponseReturnValue:
    """Ask before deleting a registration, and delete it."""
    one = managed(registration_id)
    form = DeleteForm()
    if form.confirms(one.registration.display_name):
        with writing() as session:
            name = app_registrations.remove(session, actor(), one.registration.id)
        flash(gettext("%(name)s is deleted.", name=name), "ok")
        return redirect(url_for(".app_registrations"), 303)
    return render_template(
        "admin/registrations/delete.html", form=form, **room(registration_id, "app_registration")
    )


# Authentication ----------------------------------------------------------------------------------


def lines_of(field: TextAreaField) -> list[str]:
    """What was typed into a field, line by line."""
    return [line.strip() for line in (field.data or "").splitlines() if line.strip()]


class AuthenticationForm(Plain):
    """Where it runs, who may sign in, and by which flows; one redirect URI in each line."""

    web_uris = TextAreaField(lazy_gettext("Web: redirect URIs"))
    spa_uris = TextAreaField(lazy_gettext("Single-page application: redirect URIs"))
    public_uris = TextAreaField(lazy_gettext("Mobile and desktop: redirect URIs"))
    audience = Choice(lazy_gettext("Who may sign in"))
    issues_id_tokens = BooleanField(lazy_gettext("ID tokens from the authorization endpoint"))
    issues_access_tokens = BooleanField(
        lazy_gettext("Access tokens from the authorization endpoint")
    )
    is_public = BooleanField(lazy_gettext("Allow public client flows"))
    requires_proof_key = BooleanField(lazy_gettext("Require PKCE for every sign-in"))
    logout_url = StringField(
        lazy_gettext("Front-channel logout URL"),
        validators=[AtMost(app_registrations.LONGEST_REDIRECT)],
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.audience.choices = audiences()


def _stored(one: Registered) -> dict[str, Any]:
    found = one.registration
    return {
        **{name: "\n".join(found.redirects_of(platform)) for platform, name in _FIELDS.items()},
        "audience": str(found.sign_in_audience),
        "issues_id_tokens": found.issues_id_tokens,
        "issues_access_tokens": found.issues_access_tokens,
        "is_public": found.is_public,
        "requires_proof_key": found.requires_proof_key,
        "logout_url": found.logout_url or "",
    }


@bp.route("/app-registrations/<registration_id>/authentication", methods=["GET", "POST"])
@allowed(Action.READ_DIRECTORY)
def registration_authentication(registration_id: str) -> ResponseReturnValue:
    """Platforms and redirect URIs, who may sign in, and flows."""
    shown = room(registration_id, "registration_authentication")
    form = AuthenticationForm(data=_stored(shown["one"]))
    if form.validate_on_submit():
        with form.reporting(Conflict):
            _save_authentication(shown["one"], form)
            flash(gettext("Saved."), "ok")
            return redirect(request.path, 303)
    return render_template("admin/registrations/authentication.html", form=form, **shown)


def _save_authentication(one: Registered, form: AuthenticationForm) -> None:
    """All of the page or nothing. Raises Denied, NotFound, Invalid with the name of a field."""
    with writing() as session:
        for platform, name in _FIELDS.items():
            try:
                app_registrations.set_redirects(
                    session, actor(), one.registration.id, {platform: lines_of(form[name])}
                )
            except Invalid as error:
                raise _beside(error, name) from error
        app_registrations.set_authentication(
            session,
            actor(),
            one.registration.id,
            audience=Audience(form.audience.data),
            is_public=form.is_public.data,
            issues_id_tokens=form.issues_id_tokens.data,
            issues_access_tokens=form.issues_access_tokens.data,
            requires_proof_key=form.requires_proof_key.data,
            logout_url=(form.logout_url.data or "").strip(),
        )
