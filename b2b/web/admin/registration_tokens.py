"""What the tokens of an app registration hold, and how long they live."""

from collections.abc import Mapping
from typing import Any

from flask import flash, redirect, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext
from wtforms import SelectMultipleField, StringField

from b2b.errors import N_, Conflict, Invalid
from b2b.models import Application, GroupClaims
from b2b.services import app_registrations
from b2b.services.permissions import Action
from b2b.web.admin import bp
from b2b.web.admin.registrations import Plain, elsewhere, room
from b2b.web.context import actor, allowed, writing
from b2b.web.forms import AtMost, Choice

_ROOM = "registration_tokens"
_KINDS = {"idToken": "id_claims", "accessToken": "access_claims"}
CLAIMS = {
    "acct": N_("Member (0) or guest (1)"),
    "auth_time": N_("When the person signed in"),
    "ctry": N_("The person’s country"),
    "email": N_("E-mail address"),
    "family_name": N_("Family name"),
    "given_name": N_("Given name"),
    "groups": N_("Groups, as set below"),
    "home_oid": N_("A guest’s object ID at home"),
    "idtyp": N_("Whether a program has the token in its own name"),
    "login_hint": N_("What a later sign-in can be begun with"),
    "nickname": N_("Mail nickname"),
    "preferred_username": N_("Sign-in name"),
    "sid": N_("Session"),
    "tenant_ctry": N_("The organisation’s country"),
    "upn": N_("User principal name"),
    "verified_primary_email": N_("Proven e-mail address"),
    "verified_secondary_email": N_("Further proven e-mail addresses"),
    "xms_pl": N_("The person’s language"),
    "xms_tpl": N_("The organisation’s language"),
    "wids": N_("Directory roles"),
}
"""Claims that can be added, and what each holds (services.app_registrations.CLAIMS)."""
_GROUPS = {
    GroupClaims.NONE: N_("None"),
    GroupClaims.SECURITY: N_("Security groups"),
    GroupClaims.ROLES: N_("Directory roles"),
    GroupClaims.ALL: N_("All groups and directory roles"),
}


class TokensForm(Plain):
    """Everything on the page; an empty life is the installation’s own."""

    id_claims = SelectMultipleField(lazy_gettext("Further claims of ID tokens"))
    access_claims = SelectMultipleField(lazy_gettext("Further claims of access tokens"))
    group_claims = Choice(lazy_gettext("Groups in tokens"))
    version = Choice(lazy_gettext("Access tokens for its own API"))
    minutes = StringField(lazy_gettext("Minutes that tokens live"), validators=[AtMost(8)])

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = [(name, name) for name in CLAIMS]
        self.id_claims.choices = self.access_claims.choices = names
        self.group_claims.choices = [(str(one), gettext(label)) for one, label in _GROUPS.items()]
        self.version.choices = [("1", gettext("Version 1")), ("2", gettext("Version 2"))]

    def seconds(self) -> int | None:
        """Life of a token. Raises Invalid("minutes")."""
        text = (self.minutes.data or "").strip()
        if not text:
            return None
        if not (text.isascii() and text.isdecimal()):
            raise Invalid("minutes", N_("Enter a number of minutes from 10 to 1440."))
        return int(text) * 60


def _stored(found: Application) -> dict[str, Any]:
    chosen = {
        field: [claim["name"] for claim in found.optional_claims.get(kind, ())]
        for kind, field in _KINDS.items()
    }
    return {
        **chosen,
        "group_claims": str(found.group_claims),
        "version": str(found.access_token_version or 1),
        "minutes": "" if found.token_seconds is None else str(found.token_seconds // 60),
    }


def _claims(before: Mapping[str, Any], form: TokensForm) -> dict[str, list[dict[str, Any]]]:
    """The chosen claims; those that were there keep their additional properties."""
    found = {}
    for kind, field in _KINDS.items():
        known = {claim["name"]: claim for claim in before.get(kind, ())}
        found[kind] = [known.get(name, {"name": name}) for name in form[field].data or ()]
    return found


@bp.route("/app-registrations/<registration_id>/tokens", methods=["GET", "POST"])
@allowed(Action.READ_DIRECTORY)
def registration_tokens(registration_id: str) -> ResponseReturnValue:
    """Token configuration."""
    shown = room(registration_id, _ROOM)
    found: Application = shown["one"].registration
    form = TokensForm(data=_stored(found))
    if form.validate_on_submit():
        with form.reporting(Conflict):
            try:
                _save(found, form)
            except Invalid as error:
                raise elsewhere(error, {"token_seconds": "minutes"}) from error
            flash(gettext("Saved."), "ok")
            return redirect(request.path, 303)
    return render_template(
        "admin/registrations/tokens.html",
        form=form,
        hints={name: gettext(words) for name, words in CLAIMS.items()},
        **room(registration_id, _ROOM),
    )


def _save(found: Application, form: TokensForm) -> None:
    version = int(form.version.data)
    with writing() as session:
        app_registrations.set_tokens(
            session,
            actor(),
            found.id,
            access_token_version=2 if version == 2 else found.access_token_version and 1,
            token_seconds=form.seconds(),
            optional_claims=_claims(found.optional_claims, form),
            group_claims=GroupClaims(form.group_claims.data),
        )
