"""Invite external user: the form, its preview, what became of it, and what an admin does with an
invitation afterwards.
"""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import flask
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
from flask_babel import gettext, lazy_gettext
from flask_wtf.csrf import CSRFError
from sqlalchemy.orm import Session
from wtforms import BooleanField, SelectMultipleField, StringField, TextAreaField
from wtforms.fields.choices import SelectChoice

from b2b.errors import N_, Conflict, Denied, Invalid, Refused
from b2b.extensions import csrf, db
from b2b.mail import compose
from b2b.models import OwnedType, UserType
from b2b.services import (
    addresses,
    applications,
    groups,
    invitation_handling,
    invitation_requests,
    invitation_results,
    invitations,
    owners,
    permissions,
    policies,
)
from b2b.services.addresses import Mention
from b2b.services.invitations import Invited, Restorable, Result
from b2b.services.invitees import InvalidAddresses
from b2b.services.permissions import Action
from b2b.web import context
from b2b.web.admin import bp
from b2b.web.brand import as_uuid, letter_pictures
from b2b.web.context import actor, actor_or_none, allowed, writing
from b2b.web.errors import say
from b2b.web.forms import AtMost, ButtonForm, Choice, Form, required
from b2b.web.headers import as_letter

_MAIL, _LINK = "mail", "link"
"""The two ways an invitation reaches its guest."""
_MEMBER_OR_GUEST = {str(kind): kind for kind in UserType}
_PREVIEWS = ("admin.invite_preview", "my_people.invite_preview")
_RESULTS = "invited"
"""Where the browser's own session keeps what its last form came to."""


def _as_id(value: str | UUID) -> UUID:
    """The field coerces what was typed and what is offered alike; no id at all is nobody's id."""
    try:
        return value if isinstance(value, UUID) else UUID(value)
    except ValueError:
        return UUID(int=0)


class InviteForm(Form):
    """Whom to invite, to what, with which words, and how the link reaches them."""

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
    # The labels are put into the reader's language when they are shown, not at every POST.
    language = Choice(
        lazy_gettext("Language of the mail"),
        choices=[
            SelectChoice("", lazy_gettext("As the organisation’s setting")),
            *(SelectChoice(code, name) for code, name in context.NAMES.items()),
        ],
    )
    delivery = Choice(
        lazy_gettext("How the link reaches them"),
        choices=[
            SelectChoice(_MAIL, lazy_gettext("Send the mail")),
            SelectChoice(_LINK, lazy_gettext("Only make the link; I pass it on myself")),
        ],
        default=_MAIL,
    )
    cc_address = StringField(lazy_gettext("Copy to"), validators=[AtMost(600)])
    cc_name = StringField(lazy_gettext("Name of that person"), validators=[AtMost(256)])
    redirect_url = StringField(lazy_gettext("Landing page"), validators=[AtMost(2048)])
    # Both are understood; whether Member is allowed is asked where it is used (INV-3).
    user_type = Choice(
        lazy_gettext("User type"),
        choices=[
            SelectChoice(str(UserType.GUEST), lazy_gettext("Guest")),
            SelectChoice(str(UserType.MEMBER), lazy_gettext("Member")),
        ],
        default=str(UserType.GUEST),
    )
    as_new = BooleanField(lazy_gettext("Invite as new people instead"))

    @classmethod
    def preset(cls) -> "InviteForm":
        """The form with what the page's address chooses: an address, groups, applications."""
        return cls(
            data={
                "addresses": request.args.get("address", "")[:320],
                "groups": [_as_id(text) for text in request.args.getlist("group")[:50]],
                "applications": [_as_id(text) for text in request.args.getlist("application")[:50]],
            }
        )

    def offer(self) -> None:
        """Fill the choices from the directory, for showing; what cannot be had is not chosen."""
        session, who = db.session(), actor()
        for choices, found in (
            (
                self.applications,
                applications.offered(session, who, including=self.applications.data or []),
            ),
            (self.groups, groups.offered(session, who, including=self.groups.data or [])),
        ):
            choices.choices = [(one.id, one.display_name) for one in found]

    @property
    def mentions(self) -> list[Mention]:
        """The addresses as they were typed, with the names that were pasted along."""
        return addresses.mentions(self.addresses.data or "")

    @property
    def wants_link(self) -> bool:
        """Whether no mail is to be sent."""
        return bool(self.delivery.data == _LINK)

    def facts(self) -> dict[str, Any]:
        """What the service is told, but for the addresses."""
        return {
            "display_name": self.display_name.data,
            "names": {found.address: found.name for found in self.mentions if found.name},
            "message": self.message.data,
            "language": self.language.data or None,
            "send_message": not self.wants_link,
            "cc_address": self.cc_address.data,
            "cc_name": self.cc_name.data,
            "redirect_url": (self.redirect_url.data or "").strip() or None,
            "user_type": _MEMBER_OR_GUEST.get(self.user_type.data, UserType.GUEST),
            "application_ids": self.applications.data or [],
            "group_ids": self.groups.data or [],
            "as_new": bool(self.as_new.data),
        }


@dataclass
class Attempt:
    """What sending the form came to."""

    outcomes: list[Invited] | None = None
    """None when nothing was done, and the form says why."""
    problems: list[tuple[str, str]] = field(default_factory=list)
    """Addresses that cannot be invited, each with its reason."""
    deleted: list[Any] = field(default_factory=list)
    """People who could be restored instead (decisions.md, … of a soft-deleted guest)."""
    status: int = 200


def attempt(form: InviteForm) -> Attempt:
    """Invite whom the form names, if it was sent: all of them or none.

    What is wrong stands beside its field. Raises Denied, Throttled.
    """
    made = Attempt()
    if not form.validate_on_submit():
        return made
    typed = [found.address for found in form.mentions]
    with form.reporting(Conflict):
        try:
            with writing() as session:
                outcomes = invitations.invite_many(
                    session,
                    actor(),
                    addresses_text=typed,
                    address_rules=current_app.config["ADDRESS_RULES"],
                    **form.facts(),
                )
                if form.wants_link:
                    _hand_over(session, outcomes)
            made.outcomes = outcomes
        except InvalidAddresses as error:
            made.problems = [(text, say(problem)) for text, problem in error.problems]
            raise
        except Restorable as error:
            made.deleted = error.people
            raise
        except Invalid as error:
            if error.code == "Forbidden":
                made.status = 403
            raise
    return made


def _hand_over(session: Session, outcomes: list[Invited]) -> None:
    """Audit that the inviter is given these links: a copy like any other.

    Raises InvalidAddresses for people whom somebody else invited, unless his role allows it: their
    link would end, and nobody would get the new one.
    """
    strangers: list[tuple[str, Invalid]] = []
    for outcome in outcomes:
        if outcome.result is Result.COMPLETED:
            continue
        try:
            invitation_handling.copy_link(session, actor(), outcome.user_id)
        except Denied:
            why = N_("Invited by somebody else, who alone can pass on the link. Send the mail.")
            strangers.append((outcome.address.text, Invalid("addresses", why)))
    if strangers:
        raise InvalidAddresses(strangers)


@bp.route("/users/invite", methods=["GET", "POST"])
@allowed(Action.READ_DIRECTORY)
def invite() -> ResponseReturnValue:
    """Invite external user."""
    form = InviteForm.preset()
    made = attempt(form)
    if made.outcomes is not None:
        return redirect(after(made.outcomes, form), 303)
    return shown(form, made, "admin/users/invite.html")


def shown(form: InviteForm, made: Attempt, template: str, **room: Any) -> ResponseReturnValue:
    """The form on its page, with what sending it came to. Raises Denied."""
    policies.require_may_invite(policies.of(db.session(), actor()), actor())
    form.offer()
    page = render_template(
        template,
        form=form,
        problems=made.problems,
        deleted=made.deleted,
        may_invite_members=permissions.allows(actor(), Action.INVITE_MEMBER),
        owners_only=not any(owners.administers(actor(), kind) for kind in OwnedType),
        **room,
    )
    return page, made.status


def after(
    outcomes: list[Invited],
    form: InviteForm,
    *,
    person: str = "admin.user",
    results: str = "admin.invite_result",
) -> str:
    """Where the browser goes: one person who was mailed is shown himself, else what became of
    each.

    *person* and *results* are the endpoints of those two pages.
    """
    [first, *others] = outcomes
    if not others and not first.unsubscribed and not form.wants_link:
        # Said by the next page from its address: a note in the cookie would be signed and sent.
        return url_for(person, user_id=first.user_id, done=first.result.name.lower())
    handed: dict[UUID, int] = {}
    if form.wants_link:
        found = invitation_results.lines(
            db.session(), actor(), [outcome.user_id for outcome in outcomes]
        )
        handed = {user_id: line.version for user_id, line in found.items()}
    flask.session[_RESULTS] = [
        [
            outcome.user_id.hex,
            str(outcome.result),
            int(outcome.mailed) + 2 * int(outcome.unsubscribed),
            0 if outcome.result is Result.COMPLETED else handed.get(outcome.user_id, 0),
        ]
        for outcome in outcomes
    ]
    return url_for(results)


def say_what_was_done(address: str) -> None:
    """On the page of a person: what the form that led here came to, if one did."""
    name = request.args.get("done", "").upper()
    if name in Result.__members__:
        flash(_sentence(Result[name], addresses.in_unicode(address)), "ok")


def _sentence(result: Result, shown: str) -> str:
    """What was done for one person who was mailed."""
    match result:
        case Result.INVITED:
            return gettext("Invited %(shown)s.", shown=shown)
        case Result.SENT_AGAIN:
            return gettext("Sent again to %(shown)s; earlier links stop working.", shown=shown)
        case Result.SAME:
            return gettext(
                "Invited a moment ago: %(shown)s. The same link works; no second mail.", shown=shown
            )
        case Result.COMPLETED:
            return gettext("Guest already: %(shown)s. What you chose was added.", shown=shown)


@dataclass(frozen=True)
class Outcome:
    """One person on the page of results."""

    line: invitation_results.Line
    tone: str
    sentence: str
    link: str | None


@bp.get("/users/invite/result")
@allowed(Action.READ_DIRECTORY)
def invite_result() -> ResponseReturnValue:
    """What became of each address of the form that was sent last, with links that were asked
    for.
    """
    shown = results_of_last_form()
    if shown is None:
        return redirect(url_for(".users", view="waiting"), 303)
    return render_template("admin/users/invited.html", outcomes=shown)


def results_of_last_form() -> list[Outcome] | None:
    """What became of each address; None when this browser has sent no form."""
    kept = flask.session.get(_RESULTS)
    if not kept:
        return None
    found = invitation_results.lines(db.session(), actor(), [UUID(row[0]) for row in kept])
    return [_outcome(found[UUID(row[0])], row) for row in kept if UUID(row[0]) in found]


def _outcome(line: invitation_results.Line, row: list[Any]) -> Outcome:
    result, mailed, unsubscribed = Result(row[1]), bool(row[2] & 1), bool(row[2] & 2)
    version = int(row[3])
    # A link that was made since is somebody's later copy, not this one.
    link = line.link if version and version == line.version else None
    if unsubscribed:
        blocked = gettext(
            "No mail was sent: this person has blocked invitations from this organisation."
        )
        if result is Result.COMPLETED:
            blocked = gettext("A guest already; what you chose was added. %(why)s", why=blocked)
        return Outcome(line, "warn", blocked, link)
    words = {
        Result.INVITED: gettext("Invited; the mail is on its way."),
        Result.SENT_AGAIN: gettext("Sent again; earlier links stop working."),
        Result.SAME: gettext("Invited a moment ago; the same link works, no second mail."),
        Result.COMPLETED: gettext("A guest already; what you chose was added."),
    }
    without_mail = {
        Result.INVITED: gettext("Invited, without a mail. Pass on this link:"),
        Result.SENT_AGAIN: gettext("A new link, without a mail; earlier links stop working."),
        Result.SAME: gettext("Invited a moment ago; the same link works."),
    }
    sentence = words[result]
    if not mailed and version:
        sentence = without_mail.get(result, sentence)
    return Outcome(line, "ok" if result is not Result.COMPLETED else "info", sentence, link)


# Preview -----------------------------------------------------------------------------------------


@bp.before_request
def preview_of_nobody() -> ResponseReturnValue | None:
    """In the frame a sentence for who is signed out, where any other page would be blocked."""
    framed = request.headers.get("Sec-Fetch-Dest") == "iframe"
    if framed and request.endpoint in _PREVIEWS and actor_or_none() is None:
        return in_frame(gettext("You are signed out. Sign in again to see the preview."))
    return None


@bp.route("/users/invite/preview", methods=["GET", "POST"])
@allowed(Action.READ_DIRECTORY)
def invite_preview() -> ResponseReturnValue:
    """The mail as the guest will see it, for the frame beside the form; changes nothing."""
    return preview()


csrf.exempt(invite_preview)  # checked below, where the refusal fits into the frame


def preview() -> Response:
    """The letter that the form of this request would send, or one sentence why there is none."""
    try:
        csrf.protect()
    except CSRFError:
        return in_frame(
            gettext("This page has been open for too long. Load it again to see the preview.")
        )
    form = InviteForm(formdata=request.form) if request.method == "POST" else InviteForm.preset()
    typed = form.mentions
    shape = request.values.get("as")
    try:
        letter = invitations.draft(
            db.session(),
            actor(),
            address=typed[0].address if typed else "guest@example.com",
            **form.facts(),
        )
    except Refused as error:
        return in_frame(say(error))
    rendered = compose.render(
        letter["template"],
        letter["context"],
        tenant_id=actor().tenant_id,
        language=letter["language"],
        pictures=letter_pictures(),
    )
    if shape == "text":
        head = gettext(
            "From: %(sender)s\nSubject: %(subject)s",
            sender=rendered.sender_name,
            subject=rendered.subject,
        )
        return as_letter(Response(f"{head}\n\n{rendered.text}", mimetype="text/plain"))
    return as_letter(make_response(rendered.document))


def in_frame(why: str) -> Response:
    """A sentence in place of a letter."""
    return as_letter(make_response(render_template("mail/refused.html", why=why)))


# Afterwards --------------------------------------------------------------------------------------


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
