"""Claims mapping of an application: what its tokens say besides."""

from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext
from wtforms import StringField

from b2b.errors import N_
from b2b.extensions import db
from b2b.services import applications, claims_mapping, owners
from b2b.services.claims_mapping import Mapped
from b2b.services.permissions import Action
from b2b.web.admin import bp
from b2b.web.admin.acting import act
from b2b.web.admin.registrations import Plain
from b2b.web.brand import as_uuid
from b2b.web.context import actor, allowed, writing
from b2b.web.forms import AtMost, Choice, required

_FIXED = "value"
FACTS = {
    ("user", "displayname"): N_("Person: display name"),
    ("user", "givenname"): N_("Person: given name"),
    ("user", "surname"): N_("Person: family name"),
    ("user", "mail"): N_("Person: e-mail address"),
    ("user", "othermail"): N_("Person: other e-mail addresses"),
    ("user", "userprincipalname"): N_("Person: user principal name"),
    ("user", "mailnickname"): N_("Person: mail nickname"),
    ("user", "objectid"): N_("Person: object ID"),
    ("user", "usertype"): N_("Person: member or guest"),
    ("user", "companyname"): N_("Person: company"),
    ("user", "department"): N_("Person: department"),
    ("user", "jobtitle"): N_("Person: job title"),
    ("user", "telephonenumber"): N_("Person: mobile phone"),
    ("user", "usagelocation"): N_("Person: usage location"),
    ("user", "preferredlanguage"): N_("Person: language"),
    ("company", "displayname"): N_("Organisation: name"),
    ("company", "domain"): N_("Organisation: domain"),
    ("company", "objectid"): N_("Organisation: ID"),
    ("application", "displayname"): N_("Application: name"),
    ("application", "objectid"): N_("Application: object ID"),
}
"""What can be mapped, in words (services.claims_mapping.SOURCES)."""


class ClaimForm(Plain):
    """One more claim."""

    claim = StringField(
        lazy_gettext("Claim"),
        validators=[
            required(N_("Enter the name of the claim.")),
            AtMost(claims_mapping.LONGEST_NAME),
        ],
    )
    source = Choice(lazy_gettext("What it holds"))
    value = StringField(
        lazy_gettext("Fixed value"), validators=[AtMost(claims_mapping.LONGEST_VALUE)]
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        facts = [(".".join(key), gettext(label)) for key, label in FACTS.items()]
        self.source.choices = [*facts, (_FIXED, gettext("The fixed value below"))]

    def mapped(self) -> Mapped:
        """What the service is told."""
        claim = (self.claim.data or "").strip()
        if self.source.data == _FIXED:
            return Mapped(claim, None, self.value.data)
        kind, _, fact = self.source.data.partition(".")
        return Mapped(claim, (kind, fact))


@bp.route("/applications/<application_id>/claims", methods=["GET", "POST"])
@allowed(Action.READ_DIRECTORY)
def application_claims(application_id: str) -> ResponseReturnValue:
    """Claims mapping of one application, and one more claim."""
    session, who = db.session(), actor()
    found = applications.get(session, who, as_uuid(application_id))
    form = ClaimForm()
    if form.validate_on_submit():
        with form.reporting():
            with writing() as writer:
                claims_mapping.add(writer, actor(), found.id, form.mapped())
            flash(gettext("Saved."), "ok")
            return redirect(request.path, 303)
    found = applications.get(db.session(), who, as_uuid(application_id))
    policy = claims_mapping.of(found)
    return render_template(
        "admin/applications/claims.html",
        application=found,
        form=form,
        keeps_basic=policy.keeps_basic,
        claims=[
            (one, "" if one.source is None else gettext(FACTS[one.source])) for one in policy.claims
        ],
        manages=owners.may_manage(db.session(), who, applications.owned(found)),
    )


@bp.post("/applications/<application_id>/claims/remove")
@allowed(Action.READ_DIRECTORY)
def remove_claim(application_id: str) -> ResponseReturnValue:
    """Map a claim no longer."""
    claim = request.form.get("claim", "").replace("\0", "")[: claims_mapping.LONGEST_NAME]

    def remove(session: Any, who: Any) -> str:
        claims_mapping.remove(session, who, as_uuid(application_id), claim)
        return claim

    return act(
        url_for(".application_claims", application_id=application_id),
        remove,
        N_("%(name)s is mapped no longer."),
    )


@bp.post("/applications/<application_id>/claims/basic")
@allowed(Action.READ_DIRECTORY)
def keep_basic_claims(application_id: str) -> ResponseReturnValue:
    """Leave the basic claims out of an application's tokens, or take them in again."""
    keep = request.form.get("keep") == "yes"

    def change(session: Any, who: Any) -> str:
        claims_mapping.keep_basic(session, who, as_uuid(application_id), keep)
        return ""

    return act(
        url_for(".application_claims", application_id=application_id),
        change,
        N_("Tokens hold the basic claims again.") if keep else N_("Basic claims are left out now."),
    )
