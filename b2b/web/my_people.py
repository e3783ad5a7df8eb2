"""People I invited: in My Apps, for everybody who may invite, guests among them."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from flask import Blueprint, flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from b2b.errors import Conflict, Invalid, NotFound
from b2b.extensions import csrf, db
from b2b.mail import outbox
from b2b.models import Invitation, Tenant, User
from b2b.services import (
    belonging,
    invitation_handling,
    invitation_listing,
    policies,
    users,
)
from b2b.services.invitation_handling import Handling
from b2b.services.invitation_states import ends_at
from b2b.web import brand, context
from b2b.web.admin.invitation_list import (
    deliveries_fragment,
    done,
    list_values,
    read_filters,
)
from b2b.web.admin.invitations import (
    InviteForm,
    after,
    attempt,
    preview,
    preview_of_nobody,
    results_of_last_form,
    say_what_was_done,
    shown,
)
from b2b.web.brand import as_uuid
from b2b.web.context import actor, actor_or_none, now, signed_in, writing
from b2b.web.errors import say
from b2b.web.forms import ButtonForm
from b2b.web.progress import fragment, invitation_rights, journey_of

bp = Blueprint("my_people", __name__, url_prefix="/myapps/people")

bp.before_request(preview_of_nobody)

_ASKED_FIRST = (Handling.EXTEND, Handling.CANCEL)


def invites() -> bool:
    """Whether whoever looks at My Apps may invite, or has invited before."""
    who = actor_or_none()
    if who is None:
        return False
    session = db.session()
    return policies.may_invite(policies.of(session, who), who) or invitation_listing.has_invited(
        session, who
    )


@bp.app_context_processor
def _for_templates() -> dict[str, Any]:
    return {"invites": invites}


def _room() -> dict[str, Any]:
    """What the frame around each of these pages shows."""
    brand.wear(db.session.get_one(Tenant, actor().tenant_id))
    identity = context.identity()
    return {
        "tab": "people",
        "places": [] if identity is None else belonging.places(db.session(), identity),
    }


@bp.get("")
@signed_in
def index() -> ResponseReturnValue:
    """People I invited."""
    own = replace(read_filters(), inviter_id=actor().user_id)
    return render_template("my_apps/people.html", **_room(), **list_values(".index", own))


@bp.get("/deliveries")
@signed_in
def deliveries() -> ResponseReturnValue:
    """How far the mail of these people has come, for the list to show without being loaded anew."""
    return deliveries_fragment()


# Inviting ----------------------------------------------------------------------------------------


@bp.route("/invite", methods=["GET", "POST"])
@signed_in
def invite() -> ResponseReturnValue:
    """Invite somebody, by the same form and the same door as in the portal."""
    form = InviteForm.preset()
    made = attempt(form)
    if made.outcomes is not None:
        target = after(made.outcomes, form, person="my_people.person", results="my_people.result")
        return redirect(target, 303)
    return shown(form, made, "my_apps/people_invite.html", **_room())


@bp.get("/result")
@signed_in
def result() -> ResponseReturnValue:
    """What became of each address of the form that was sent last."""
    shown = results_of_last_form()
    if shown is None:
        return redirect(url_for(".index"), 303)
    return render_template("my_apps/people_result.html", outcomes=shown, **_room())


@bp.route("/invite/preview", methods=["GET", "POST"])
@signed_in
def invite_preview() -> ResponseReturnValue:
    """The mail as the guest will see it, for the frame beside the form; changes nothing."""
    return preview()


csrf.exempt(invite_preview)  # `preview` checks it, where the refusal fits into the frame


# One person --------------------------------------------------------------------------------------


def _own(user_id: str) -> tuple[User, Invitation]:
    """Somebody whom the actor himself has invited; all others answer NotFound (ADM-3)."""
    session, who = db.session(), actor()
    person = users.get(session, who, as_uuid(user_id))
    invitation = invitation_handling.of_user(session, who, person.id)
    if invitation is None or who.user_id is None or invitation.inviter_id != who.user_id:
        raise NotFound()
    return person, invitation


def _journey(person: User, invitation: Invitation) -> dict[str, Any]:
    session, who = db.session(), actor()
    letters = outbox.of(session, who.tenant_id, invitation.id)
    return {
        "person": person,
        "invitation": invitation,
        "journey": journey_of(person, invitation, letters, policies.of(session, who)),
    }


@bp.get("/<user_id>")
@signed_in
def person(user_id: str) -> ResponseReturnValue:
    """One of them: how far the invitation has come, and what can be done with it."""
    found, invitation = _own(user_id)
    say_what_was_done(invitation.invited_address)
    policy = policies.of(db.session(), actor())
    return render_template(
        "my_apps/people_person.html",
        may=invitation_rights(policy, actor(), found, invitation),
        **_journey(found, invitation),
        **_room(),
    )


@bp.get("/<user_id>/journey")
@signed_in
def journey(user_id: str) -> ResponseReturnValue:
    """How far it has come, for the page to show without being loaded anew."""
    return fragment("components/journey_fragment.html", **_journey(*_own(user_id)))


def _handling(what: str, among: tuple[Handling, ...]) -> Handling:
    if what not in among:
        raise NotFound()
    return Handling(what)


@bp.get("/<user_id>/<what>")
@signed_in
def ask(user_id: str, what: str) -> ResponseReturnValue:
    """What extending or cancelling would mean, said before it is done."""
    handling = _handling(what, _ASKED_FIRST)
    found, invitation = _own(user_id)
    policy = policies.of(db.session(), actor())
    why_not = invitation_handling.refusal(policy, found, invitation, handling)
    if why_not is not None:
        flash(say(why_not), "bad")
        return redirect(url_for(".person", user_id=user_id), 303)
    return render_template(
        "my_apps/people_ask.html",
        person=found,
        invitation=invitation,
        handling=str(handling),
        would_end_at=ends_at(now(), policy.invitation_days),
        **_room(),
    )


@bp.post("/<user_id>/<what>")
@signed_in
def handle(user_id: str, what: str) -> ResponseReturnValue:
    """Send it again, show its link, extend or cancel it."""
    handling = _handling(what, tuple(Handling))
    found, _ = _own(user_id)
    if not ButtonForm().validate_on_submit():
        return redirect(url_for(".person", user_id=user_id), 303)
    try:
        with writing() as session:
            if handling is Handling.COPY_LINK:
                link = invitation_handling.copy_link(session, actor(), found.id)
            else:
                _do(handling, found.id)
    except (Conflict, Invalid) as error:
        flash(say(error), "bad")
        return redirect(url_for(".person", user_id=user_id), 303)
    if handling is Handling.COPY_LINK:
        return render_template("my_apps/people_link.html", link=link, person=found, **_room())
    flash(done(handling, 1), "ok")
    return redirect(url_for(".person", user_id=user_id), 303)


def _do(handling: Handling, user_id: UUID) -> None:
    actions = {
        Handling.RESEND: invitation_handling.resend,
        Handling.EXTEND: invitation_handling.extend,
        Handling.CANCEL: invitation_handling.cancel,
    }
    actions[handling](db.session(), actor(), user_id)
