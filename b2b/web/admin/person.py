"""One person's further pages: profile, access, roles, sessions, explaining, and invited anew."""

from typing import Any

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext
from sqlalchemy.orm import Session
from wtforms import BooleanField, RadioField, StringField, TextAreaField

from b2b.actor import Actor
from b2b.errors import N_, Conflict, Invalid, NotFound
from b2b.extensions import db
from b2b.mail import outbox
from b2b.models import Invitation, PrincipalType, Role, User, UserType
from b2b.services import (
    access,
    applications,
    explanations,
    groups,
    invitation_handling,
    permissions,
    policies,
    profiles,
    redemption_reset,
    roles,
    sessions,
    sign_in,
    sign_in_listing,
    users,
)
from b2b.services.explanations import Finding, Weight
from b2b.services.permissions import Action
from b2b.web import context
from b2b.web.admin import bp
from b2b.web.admin.acting import act, posted
from b2b.web.admin.timeline import method_words, timeline
from b2b.web.brand import as_uuid
from b2b.web.context import actor, allowed, now, signed_in, writing
from b2b.web.errors import say
from b2b.web.forms import AtMost, ButtonForm, Choice, Form
from b2b.web.my_apps import ProfileForm
from b2b.web.progress import invitation_rights, journey_of
from b2b.web.words import stored


def read(user_id: str) -> User:
    """Whom this page is about. Raises NotFound, Denied."""
    return users.read(db.session(), actor(), as_uuid(user_id))


def tabs_of(person: User) -> list[dict[str, Any]]:
    """The pages about *person* that this actor may open."""
    who, own = actor(), person.id == actor().user_id
    found = [(gettext("Overview"), "admin.user")]
    if person.deleted_at is None and permissions.allows(who, Action.UPDATE_USER):
        found.append((gettext("Profile"), "admin.edit_user"))
    found.append((gettext("Access"), "admin.user_access"))
    found.append((gettext("Roles"), "admin.user_roles"))
    if own or permissions.allows(who, Action.REVOKE_SESSIONS):
        found.append((gettext("Sessions"), "admin.user_sessions"))
    found.append((gettext("Explain"), "admin.explain_user"))
    return [
        {
            "label": label,
            "url": url_for(endpoint, user_id=person.id),
            "current": endpoint == request.endpoint,
        }
        for label, endpoint in found
    ]


def invited_anew(person: User, invitation: Invitation | None) -> bool:
    """Whether this actor is offered to invite *person* anew."""
    session, who = db.session(), actor()
    return (
        redemption_reset.may_reset(policies.of(session, who), who)
        and redemption_reset.refusal(
            person, invitation, roles.of_user(session, who.tenant_id, person.id)
        )
        is None
    )


# Profile -----------------------------------------------------------------------------------------


class UserForm(ProfileForm):
    """What an administrator may change about somebody."""

    department = StringField(lazy_gettext("Department"), validators=[AtMost(128)])
    preferred_language = StringField(lazy_gettext("Language"), validators=[AtMost(16)])
    usage_location = StringField(lazy_gettext("Country"), validators=[AtMost(2)])
    other_mails = TextAreaField(lazy_gettext("Other mail addresses"), validators=[AtMost(4000)])
    show_in_address_list = BooleanField(lazy_gettext("Shown in the address list"))
    user_type = Choice(lazy_gettext("User type"))


@bp.route("/users/<user_id>/edit", methods=["GET", "POST"])
@allowed(Action.UPDATE_USER)
def edit_user(user_id: str) -> ResponseReturnValue:
    """Change what the directory says about somebody."""
    person = read(user_id)
    form = UserForm(obj=person)
    form.user_type.choices = [
        (str(UserType.MEMBER), gettext("Member")),
        (str(UserType.GUEST), gettext("Guest")),
    ]
    if request.method == "GET":
        form.other_mails.data = "\n".join(person.other_mails)
        form.show_in_address_list.data = person.show_in_address_list is not False
        form.user_type.data = str(person.user_type)
    if form.validate_on_submit():
        with form.reporting(Conflict):
            profile = {name: form[name].data for name in form.data if name in profiles.PROFILE}
            with writing() as session:
                profiles.update_user(
                    session,
                    actor(),
                    person.id,
                    usage_location=form.usage_location.data,
                    other_mails=(form.other_mails.data or "").split(),
                    show_in_address_list=form.show_in_address_list.data,
                    user_type=UserType(form.user_type.data),
                    **profile,
                )
            flash(gettext("Saved."), "ok")
            return redirect(url_for(".user", user_id=person.id), 303)
    return render_template("admin/users/edit.html", person=person, form=form, tabs=tabs_of(person))


# Access ------------------------------------------------------------------------------------------


@bp.get("/users/<user_id>/access")
@allowed(Action.READ_DIRECTORY)
def user_access(user_id: str) -> ResponseReturnValue:
    """Groups that somebody is in, and applications that he may open."""
    session, who = db.session(), actor()
    person = read(user_id)
    in_groups, may_open = access.of_user(session, who, person)
    here = person.deleted_at is None
    direct = [one.application.id for one in may_open if one.through is None]
    return render_template(
        "admin/users/access.html",
        person=person,
        tabs=tabs_of(person),
        in_groups=in_groups,
        may_open=may_open,
        more_groups=access.addable(
            groups.offered(session, who) if here else [], [one.group.id for one in in_groups]
        ),
        more_applications=access.addable(
            applications.offered(session, who) if here else [], direct
        ),
    )


def _access_of(user_id: str) -> str:
    return url_for(".user_access", user_id=as_uuid(user_id))


@bp.post("/users/<user_id>/groups")
@allowed(Action.READ_DIRECTORY)
def join_group(user_id: str) -> ResponseReturnValue:
    """Put somebody into a group."""
    person, group = read(user_id).id, posted("group")
    return act(
        _access_of(user_id),
        lambda session, who: groups.add_member(session, who, group, person).display_name,
        N_("%(name)s is in the group."),
    )


@bp.post("/users/<user_id>/groups/remove")
@allowed(Action.READ_DIRECTORY)
def leave_group(user_id: str) -> ResponseReturnValue:
    """Take somebody out of a group."""
    person, group = read(user_id).id, posted("group")
    return act(
        _access_of(user_id),
        lambda session, who: groups.remove_member(session, who, group, person).display_name,
        N_("%(name)s is out of the group."),
    )


@bp.post("/users/<user_id>/applications")
@allowed(Action.READ_DIRECTORY)
def assign_application(user_id: str) -> ResponseReturnValue:
    """Assign an application to somebody."""
    person, application = read(user_id).id, posted("application")
    return act(
        _access_of(user_id),
        lambda session, who: applications.add_assignment(
            session, who, application, person, PrincipalType.USER
        ),
        N_("%(name)s is assigned."),
    )


@bp.post("/users/<user_id>/applications/remove")
@allowed(Action.READ_DIRECTORY)
def unassign_application(user_id: str) -> ResponseReturnValue:
    """End the assignment of an application."""
    read(user_id)
    application, assignment = posted("application"), posted("assignment")
    return act(
        _access_of(user_id),
        lambda session, who: applications.remove_assignment(session, who, application, assignment),
        N_("%(name)s is no longer assigned."),
    )


# Roles -------------------------------------------------------------------------------------------


@bp.get("/users/<user_id>/roles")
@allowed(Action.READ_DIRECTORY)
def user_roles(user_id: str) -> ResponseReturnValue:
    """Directory roles."""
    person = read(user_id)
    held = roles.of_user(db.session(), actor().tenant_id, person.id)
    may = permissions.allows(actor(), Action.ASSIGN_ROLE)
    return render_template(
        "admin/users/roles.html",
        person=person,
        tabs=tabs_of(person),
        held=sorted(held, key=lambda role: role.display_name),
        offered=[role for role in Role if role not in held]
        if may and person.may_sign_in and not person.is_pending
        else [],
        may=may,
        needed=permissions.least_role(Action.ASSIGN_ROLE).display_name,
    )


def _role() -> Role:
    try:
        return Role(request.form.get("role", ""))
    except ValueError:
        raise NotFound() from None


def _stay_signed_in(session: Session, person: User) -> None:
    """Whoever changes his own roles goes on under a new secret (threats.md, SES-1)."""
    identity = context.identity()
    if person.id == actor().user_id and identity is not None:
        context.start_session(session, identity, tenant_id=person.tenant_id, user_id=person.id)


@bp.post("/users/<user_id>/roles")
@allowed(Action.ASSIGN_ROLE)
def grant_role(user_id: str) -> ResponseReturnValue:
    """Give a directory role; guests only after a warning."""
    back, role = url_for(".user_roles", user_id=as_uuid(user_id)), _role()
    if not ButtonForm().validate_on_submit():
        return redirect(back, 303)
    try:
        with writing() as session:
            person = roles.grant(
                session,
                actor(),
                as_uuid(user_id),
                role,
                guest_is_meant=request.form.get("meant") == "yes",
            )
            _stay_signed_in(session, person)
        flash(
            gettext("%(name)s is %(role)s now.", name=person.display_name, role=stored(role)),
            "ok",
        )
    except roles.GuestWarning:
        return render_template("admin/users/role_warning.html", person=read(user_id), role=role)
    except Conflict as error:
        flash(say(error), "bad")
    return redirect(back, 303)


@bp.post("/users/<user_id>/roles/remove")
@allowed(Action.ASSIGN_ROLE)
def revoke_role(user_id: str) -> ResponseReturnValue:
    """Take a directory role away."""
    role = _role()

    def revoke(session: Session, who: Actor) -> str:
        person = roles.revoke(session, who, as_uuid(user_id), role)
        _stay_signed_in(session, person)
        return person.display_name

    return act(
        url_for(".user_roles", user_id=as_uuid(user_id)),
        revoke,
        N_("The role of %(name)s is taken away."),
    )


# Sessions ----------------------------------------------------------------------------------------


@bp.get("/users/<user_id>/sessions")
@signed_in
def user_sessions(user_id: str) -> ResponseReturnValue:
    """Where somebody is signed in, and the newest sign-ins."""
    session, who = db.session(), actor()
    person = read(user_id)
    if person.id != who.user_id:
        permissions.require(who, Action.REVOKE_SESSIONS)
    live = context.live()
    may_read = permissions.allows(who, Action.READ_AUDIT)
    return render_template(
        "admin/users/sessions.html",
        person=person,
        tabs=tabs_of(person),
        sessions=sessions.of_user(session, person, now()),
        here=live.id if live else None,
        sign_ins=sign_in_listing.listing(
            session, who, sign_in_listing.Filters(user_id=person.id), limit=10
        ).rows
        if may_read
        else [],
        may_read=may_read,
        method_words=method_words,
    )


@bp.post("/users/<user_id>/sessions/end")
@signed_in
def end_session(user_id: str) -> ResponseReturnValue:
    """Sign somebody out of one browser."""
    person, which = as_uuid(user_id), posted("session")
    return act(
        url_for(".user_sessions", user_id=person),
        lambda session, who: users.revoke_session(session, who, person, which).display_name,
        N_("%(name)s is signed out of that browser."),
    )


@bp.post("/users/<user_id>/sessions/end-all")
@signed_in
def end_sessions(user_id: str) -> ResponseReturnValue:
    """Sign somebody out everywhere."""
    person = as_uuid(user_id)
    return act(
        url_for(".user_sessions", user_id=person),
        lambda session, who: users.revoke_sessions(session, who, person).display_name,
        N_("%(name)s is signed out everywhere."),
    )


# Invited anew ------------------------------------------------------------------------------------


class ResetForm(Form):
    """At which address somebody is invited anew."""

    address = RadioField(lazy_gettext("Address to invite"), validate_choice=False)
    send_message = BooleanField(lazy_gettext("Send the invitation by mail"), default=True)


@bp.route("/users/<user_id>/reset", methods=["GET", "POST"])
@allowed(Action.RESET_REDEMPTION)
def reset_redemption(user_id: str) -> ResponseReturnValue:
    """Reset redemption status: invite the same person anew, at the same or another address."""
    session, who = db.session(), actor()
    person = read(user_id)
    invitation = invitation_handling.of_user(session, who, person.id)
    policies.require_may_invite(policies.of(session, who), who)
    refused = redemption_reset.refusal(
        person, invitation, roles.of_user(session, who.tenant_id, person.id)
    )
    if refused is not None:
        raise refused
    assert invitation is not None
    form = ResetForm()
    form.address.choices = [
        (address.wire, address.text) for address in redemption_reset.choices(person, invitation)
    ]
    if request.method == "GET":
        form.address.data = invitation.invited_address
    if form.validate_on_submit():
        with form.reporting(Conflict):
            if not form.address.data:
                raise Invalid("address", N_("Choose one from the list."))
            with writing() as database_session:
                redemption_reset.reset(
                    database_session,
                    actor(),
                    person.id,
                    address=form.address.data,
                    send_message=form.send_message.data,
                )
            flash(
                gettext("%(name)s is pending again and invited anew.", name=person.display_name),
                "ok",
            )
            return redirect(url_for(".user", user_id=person.id), 303)
    return render_template(
        "admin/users/reset.html",
        person=person,
        form=form,
        identity=sign_in.identity_of_guest(session, person),
        may_edit=permissions.allows(who, Action.UPDATE_USER),
    )


# Explaining --------------------------------------------------------------------------------------


def findings_about(person: User, invitation: Invitation | None) -> list[Finding]:
    """What stops or hinders *person* now."""
    session, who = db.session(), actor()
    letters = outbox.of(session, who.tenant_id, invitation.id) if invitation else []
    letter = next((one for one in letters if invitation and one.id == invitation.outbox_id), None)
    facts = explanations.facts_about(
        session, who, person, invitation, letter, sign_in.identity_of_guest(session, person)
    )
    return explanations.explain(facts)


def cures_of(person: User, invitation: Invitation | None) -> set[str]:
    """Which cures this actor could press: the others are named without a button."""
    session, who = db.session(), actor()
    policy = policies.of(session, who)
    rights = invitation_rights(policy, who, person, invitation)
    offered = {
        explanations.Cure.SEND_AGAIN: rights["resend"],
        explanations.Cure.COPY_LINK: rights["link"],
        explanations.Cure.EXTEND: rights["extend"],
        explanations.Cure.UNBLOCK: permissions.allows(who, Action.BLOCK_USER),
        explanations.Cure.RESTORE: permissions.allows(who, Action.DELETE_USER),
        explanations.Cure.INVITE: policies.may_invite(policy, who),
        explanations.Cure.SETTINGS: True,
        explanations.Cure.ASSIGN: bool(applications.offered(session, who, limit=1)),
        explanations.Cure.RESET: invited_anew(person, invitation),
        explanations.Cure.MAIL: permissions.allows(who, Action.MANAGE_MAIL),
    }
    return {str(cure) for cure, may in offered.items() if may}


@bp.get("/users/<user_id>/explain")
@allowed(Action.READ_DIRECTORY)
def explain_user(user_id: str) -> ResponseReturnValue:
    """What happened so far, what stops this person now, and what would mend it."""
    session, who = db.session(), actor()
    person = read(user_id)
    invitation = invitation_handling.of_user(session, who, person.id)
    letters = outbox.of(session, who.tenant_id, invitation.id) if invitation else []
    findings = findings_about(person, invitation)
    return render_template(
        "admin/users/explain.html",
        person=person,
        tabs=tabs_of(person),
        invitation=invitation,
        journey=journey_of(person, invitation, letters, policies.of(session, who)),
        findings=findings,
        stopped=any(finding.weight is Weight.STOPS for finding in findings),
        cures=cures_of(person, invitation),
        events=[{**event, "changes": []} for event in timeline(session, who, person, letters)[:6]],
    )
