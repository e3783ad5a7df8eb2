"""Permissions that an app registration asks for, and consent of the organisation."""

from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext
from wtforms import SelectMultipleField

from b2b.errors import N_, Conflict
from b2b.extensions import db
from b2b.services import permissions, registration_permissions
from b2b.services.permissions import Action
from b2b.services.registration_permissions import Api, Kind, Offer
from b2b.web.admin import bp
from b2b.web.admin.acting import act, posted
from b2b.web.admin.registrations import Plain, managed, room
from b2b.web.brand import as_uuid
from b2b.web.context import actor, allowed, writing

_ROOM = "registration_permissions"


def words_of(api: Api, offer: Offer) -> str:
    """What a permission allows: Graph's words in the reader's language, others as typed."""
    return gettext(offer.words) if api.is_graph else offer.words


def _back(registration_id: str) -> str:
    return url_for(".registration_permissions", registration_id=registration_id)


@bp.get("/app-registrations/<registration_id>/permissions", endpoint=_ROOM)
@allowed(Action.READ_DIRECTORY)
def registration_permissions_page(registration_id: str) -> ResponseReturnValue:
    """API permissions."""
    shown = room(registration_id, _ROOM)
    lines = registration_permissions.lines(db.session(), actor(), shown["one"])
    return render_template(
        "admin/registrations/permissions.html",
        **shown,
        lines=lines,
        words_of=words_of,
        may_consent=registration_permissions.may_consent(actor(), lines),
        administers=permissions.allows(actor(), Action.MANAGE_APPLICATIONS),
        waiting=any(one.standing is not registration_permissions.Standing.GRANTED for one in lines),
    )


class AskForm(Plain):
    """What is asked of one API."""

    delegated = SelectMultipleField(lazy_gettext("Delegated permissions"))
    own = SelectMultipleField(lazy_gettext("Application permissions"))


@bp.route("/app-registrations/<registration_id>/permissions/add", methods=["GET", "POST"])
@allowed(Action.READ_DIRECTORY)
def ask_permissions(registration_id: str) -> ResponseReturnValue:
    """Choose an API, then what is asked of it."""
    one = managed(registration_id)
    session, who = db.session(), actor()
    if not request.args.get("api"):
        return render_template(
            "admin/registrations/apis.html",
            apis=registration_permissions.apis(session, who),
            **room(registration_id, _ROOM),
        )
    api, known = registration_permissions.offers(session, who, as_uuid(request.args["api"]))
    asked = [
        str(line.offer.id)
        for line in registration_permissions.lines(session, who, one)
        if line.api.app_id == api.app_id
    ]
    form = AskForm(data={"delegated": asked, "own": asked})
    hints: dict[str, dict[str, Any]] = {}
    for kind, field in ((Kind.DELEGATED, form.delegated), (Kind.APPLICATION, form.own)):
        found = [offer for offer in known if offer.kind is kind]
        field.choices = [(str(offer.id), offer.value) for offer in found]
        hints[field.name] = {str(offer.id): _hint(api, offer) for offer in found}
    if form.validate_on_submit():
        wanted = [
            *((Kind.DELEGATED, as_uuid(text)) for text in form.delegated.data or ()),
            *((Kind.APPLICATION, as_uuid(text)) for text in form.own.data or ()),
        ]
        with form.reporting(Conflict):
            with writing() as writer:
                registration_permissions.ask_for(
                    writer, actor(), one.registration.id, api.app_id, wanted
                )
            flash(gettext("Saved."), "ok")
            return redirect(_back(registration_id), 303)
    return render_template(
        "admin/registrations/ask.html",
        form=form,
        api=api,
        hints=hints,
        **room(registration_id, _ROOM),
    )


def _hint(api: Api, offer: Offer) -> str:
    words = words_of(api, offer)
    if offer.kind is Kind.DELEGATED and offer.needs_administrator:
        return gettext("%(words)s. An administrator consents.", words=words)
    return words


@bp.post("/app-registrations/<registration_id>/permissions/remove")
@allowed(Action.READ_DIRECTORY)
def drop_permission(registration_id: str) -> ResponseReturnValue:
    """Ask for a permission no longer."""
    api, permission = posted("api"), posted("permission")
    kind = Kind.APPLICATION if request.form.get("kind") == Kind.APPLICATION else Kind.DELEGATED
    return act(
        _back(registration_id),
        lambda session, who: (
            registration_permissions.ask_no_longer(
                session, who, as_uuid(registration_id), api, kind, permission
            ).registration.display_name
        ),
        N_("%(name)s asks for it no longer. What was granted stays until it is revoked."),
    )


@bp.post("/app-registrations/<registration_id>/permissions/consent")
@allowed(Action.MANAGE_APPLICATIONS)
def consent_for_all(registration_id: str) -> ResponseReturnValue:
    """Grant everything on the page for the organisation."""
    return act(
        _back(registration_id),
        lambda session, who: (
            registration_permissions.consent_to_all(
                session, who, as_uuid(registration_id)
            ).registration.display_name
        ),
        N_("Granted to %(name)s for the organisation."),
    )
