"""Invite external user: the form, its preview, and what an admin does with an invitation
afterwards.
"""

from typing import Any
from uuid import UUID

from flask import (
    Response,
    current_app,
    flash,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext, ngettext
from wtforms import SelectMultipleField, StringField, TextAreaField

from b2b.errors import N_, Conflict, Refused
from b2b.extensions import db
from b2b.mail import compose
from b2b.services import (
    addresses,
    applications,
    groups,
    invitation_handling,
    invitation_requests,
    invitations,
    policies,
)
from b2b.services.invitations import Invited, Result
from b2b.services.invitees import InvalidAddresses
from b2b.services.permissions import Action
from b2b.web import context
from b2b.web.admin import bp
from b2b.web.brand import as_uuid
from b2b.web.context import actor, allowed, writing
from b2b.web.errors import say
from b2b.web.forms import AtMost, Choice, Form, required
from b2b.web.headers import as_letter


def _as_id(value: str | UUID) -> UUID:
    """The field coerces what was typed and what is offered alike; no id at all is nobody's id."""
    try:
        return value if isinstance(value, UUID) else UUID(value)
    except ValueError:
        return UUID(int=0)


class InviteForm(Form):
    """Whom to invite, to what, and with which words."""

    addresses = TextAreaField(
        lazy_gettext("E-mail addresses"), validators=[required(N_("Enter an e-mail address."))]
    )
    display_name = StringField(lazy_gettext("Display name"), validators=[AtMost(256)])
    # The service checks these against the directory, in the transaction that uses them.
    applications = SelectMultipleField(
        lazy_gettext("Applications"), coerce=_as_id, validate_choice=False
    )
    groups = SelectMultipleField(lazy_gettext("Groups"), coerce=_as_id, validate_choice=False)
    message = TextAreaField(
        lazy_gettext("Personal message"), validators=[AtMost(invitation_requests.MESSAGE_LONGEST)]
    )
    language = Choice(lazy_gettext("Language of the mail"))

    def offer(self) -> None:
        """Fill the choices from the directory, for showing."""
        session, who = db.session(), actor()
        self.applications.choices = [
            (found.id, found.display_name) for found in applications.offered(session, who)
        ]
        self.groups.choices = [
            (found.id, found.display_name) for found in groups.offered(session, who)
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.language.choices = [
            ("", gettext("As the organisation’s setting")),
            *((code, context.NAMES[code]) for code in context.shipped_languages()),
        ]

    def facts(self) -> dict[str, Any]:
        """What the service is told."""
        return {
            "display_name": self.display_name.data,
            "message": self.message.data,
            "language": self.language.data or None,
            "application_ids": self.applications.data or [],
            "group_ids": self.groups.data or [],
        }


class ButtonForm(Form):
    """A button."""


@bp.route("/users/invite", methods=["GET", "POST"])
@allowed(Action.READ_DIRECTORY)
def invite() -> ResponseReturnValue:
    """Invite external user."""
    form = InviteForm(data={"addresses": request.args.get("address", "")[:320]})
    problems: list[tuple[str, str]] = []
    if form.validate_on_submit():
        with form.reporting(Conflict):
            try:
                with writing() as session:
                    outcomes = invitations.invite_many(
                        session,
                        actor(),
                        addresses_text=addresses.split_many(form.addresses.data or ""),
                        address_rules=current_app.config["ADDRESS_RULES"],
                        **form.facts(),
                    )
            except InvalidAddresses as error:
                problems = [(text, say(problem)) for text, problem in error.problems]
                raise
            for sentence in _sentences(outcomes):
                flash(sentence, "ok")
            return redirect(_after(outcomes), 303)
    policies.require_may_invite(policies.of(db.session(), actor()), actor())
    form.offer()
    return render_template("admin/users/invite.html", form=form, problems=problems)


def _after(outcomes: list[Invited]) -> str:
    if len(outcomes) == 1:
        return url_for(".user", user_id=outcomes[0].user_id)
    return url_for(".users", view="waiting")


def _sentences(outcomes: list[Invited]) -> list[str]:
    """What was done, one sentence for each kind of result."""
    by_result: dict[Result, list[str]] = {}
    for outcome in outcomes:
        by_result.setdefault(outcome.result, []).append(outcome.address.text)
    return [_sentence(result, names) for result, names in by_result.items()]


def _sentence(result: Result, names: list[str]) -> str:
    count, shown = len(names), ", ".join(names[:3]) + (" …" if len(names) > 3 else "")
    match result:
        case Result.INVITED if count == 1:
            return gettext("Invited %(shown)s.", shown=shown)
        case Result.INVITED:
            return ngettext(
                "Invited %(num)s person: %(shown)s.",
                "Invited %(num)s people: %(shown)s.",
                count,
                shown=shown,
            )
        case Result.SENT_AGAIN:
            return gettext("Sent again to %(shown)s; earlier links stop working.", shown=shown)
        case Result.SAME:
            return gettext(
                "Invited a moment ago: %(shown)s. The same link works; no second mail.", shown=shown
            )
        case Result.COMPLETED:
            return gettext("Guest already: %(shown)s. What you chose was added.", shown=shown)


@bp.route("/users/invite/preview", methods=["GET", "POST"])
@allowed(Action.READ_DIRECTORY)
def invite_preview() -> ResponseReturnValue:
    """The mail as the guest will see it, for the frame beside the form; changes nothing."""
    form = InviteForm(formdata=request.form if request.method == "POST" else None)
    chosen = form.facts()
    typed = addresses.split_many(form.addresses.data or "")
    try:
        letter = invitations.draft(
            db.session(), actor(), address=typed[0] if typed else "guest@example.com", **chosen
        )
    except Refused as error:
        return as_letter(make_response(render_template("mail/refused.html", why=say(error))))
    rendered = compose.render(
        letter["template"],
        letter["context"],
        tenant_id=actor().tenant_id,
        language=letter["language"],
    )
    if request.values.get("as") == "text":
        return as_letter(Response(rendered.text, mimetype="text/plain"))
    return as_letter(make_response(rendered.html))


@bp.post("/users/<user_id>/resend")
@allowed(Action.READ_DIRECTORY)
def resend(user_id: str) -> ResponseReturnValue:
    """Send the invitation again: a new link, the old one is dead."""
    if ButtonForm().validate_on_submit():
        with writing() as session:
            sent = invitation_handling.resend(session, actor(), as_uuid(user_id))
        flash(
            gettext(
                "Sent again to %(shown)s; earlier links stop working.", shown=sent.invited_address
            ),
            "ok",
        )
    return redirect(url_for(".user", user_id=user_id), 303)


@bp.post("/users/<user_id>/link")
@allowed(Action.READ_DIRECTORY)
def copy_link(user_id: str) -> ResponseReturnValue:
    """Show the very link that was mailed; it is audited that somebody looked."""
    if not ButtonForm().validate_on_submit():
        return redirect(url_for(".user", user_id=user_id), 303)
    with writing() as session:
        link = invitation_handling.copy_link(session, actor(), as_uuid(user_id))
    return render_template("admin/users/link.html", link=link, user_id=user_id)
