"""Users: the list with its filters, one person's page, and what can be done with a person."""

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext, ngettext
from sqlalchemy.orm import Session
from wtforms import StringField

from b2b.actor import Actor
from b2b.errors import N_, Conflict, Invalid, NotAll, NotFound
from b2b.extensions import db
from b2b.mail import outbox
from b2b.models import (
    ExternalUserState,
    Invitation,
    Source,
    User,
    UserType,
    fold,
)
from b2b.services import (
    applications,
    deleted_users,
    groups,
    invitation_handling,
    permissions,
    policies,
    roles,
    saved_views,
    sign_in,
    sponsors,
    user_handling,
    user_listing,
    users,
)
from b2b.services.explanations import Weight
from b2b.services.permissions import Action
from b2b.services.user_handling import Together
from b2b.services.user_listing import Filters
from b2b.web import queries
from b2b.web.admin import bp
from b2b.web.admin import person as person_pages
from b2b.web.admin.acting import act
from b2b.web.admin.invitations import say_what_was_done
from b2b.web.admin.timeline import timeline
from b2b.web.brand import as_uuid
from b2b.web.context import actor, allowed, writing
from b2b.web.errors import say
from b2b.web.forms import ButtonForm, Form
from b2b.web.paging import around, cursor
from b2b.web.progress import fragment, invitation_rights, journey_of, progress

VIEWS: dict[str, dict[str, Any]] = {
    "everyone": {},
    "guests": {"user_type": UserType.GUEST},
    "waiting": {"state": ExternalUserState.PENDING_ACCEPTANCE},
    "deleted": {"deleted": True},
}


FILTERS = ("view", "type", "state", "source", "sign_in", "synced", "q")
"""What a saved view keeps."""
_LIST = "users"
"""The list's name among saved views."""


def _filters() -> Filters:
    """From the address of the page; what is not understood is left out."""

    def one(kind: Any, name: str) -> Any:
        try:
            return kind(request.args[name]) if request.args.get(name) else None
        except ValueError:
            return None

    view = VIEWS.get(request.args.get("view", ""), {})
    return Filters(
        user_type=view.get("user_type") or one(UserType, "type"),
        state=view.get("state") or one(ExternalUserState, "state"),
        source=one(Source, "source"),
        enabled={"enabled": True, "blocked": False}.get(request.args.get("sign_in", "")),
        synced={"yes": True, "no": False}.get(request.args.get("synced", "")),
        deleted=view.get("deleted", False),
        search=request.args.get("q", "")[:200],
    )


@bp.get("/users", endpoint="users")
@allowed(Action.READ_DIRECTORY)
def users_page() -> ResponseReturnValue:
    """Users."""
    filters = _filters()
    who = actor()
    page = user_listing.listing(
        db.session(), who, filters, after=cursor("after"), before=cursor("before")
    )
    policy = policies.of(db.session(), who)
    return render_template(
        "admin/users/list.html",
        rows=[(row, progress(row, policy)) for row in page.rows],
        filters=filters,
        view=request.args.get("view", "everyone"),
        views=VIEWS,
        sources=list(Source),
        **around(page),
        may_invite=policies.may_invite(policy, who),
        read_only=not permissions.is_admin(who),
        filtered=bool(
            filters.search
            or filters.source
            or filters.enabled is not None
            or filters.synced is not None
            or request.args.get("type")
            or request.args.get("state")
        ),
        without=queries.without,
        saved=saved_views.of(db.session(), who, _LIST),
        opened=request.args.get("saved", ""),
        view_url=lambda one: f"{url_for('.users')}?{one.query}&saved={one.id}",
        query=saved_views.cleaned(request.query_string.decode("ascii", "ignore"), FILTERS),
        together=[
            one
            for one in (_OF_DELETED if filters.deleted else _OF_PRESENT)
            if user_handling.may(db.session(), who, one)
        ],
    )


_OF_PRESENT = (
    Together.ADD_TO_GROUP,
    Together.RESEND,
    Together.BLOCK,
    Together.UNBLOCK,
    Together.DELETE,
)
_OF_DELETED = (Together.RESTORE,)


# Saved views -------------------------------------------------------------------------------------


class ViewForm(Form):
    """What a view is called."""

    name = StringField(lazy_gettext("Name"))


def _with_filters(query: str) -> str:
    return url_for(".users") + (f"?{query}" if query else "")


@bp.post("/users/views")
@allowed(Action.READ_DIRECTORY)
def save_view() -> ResponseReturnValue:
    """Keep the filters of the list under a name, for oneself."""
    form = ViewForm()
    query = saved_views.cleaned(request.form.get("query", "")[:4000], FILTERS)
    back = _with_filters(query)
    if form.validate_on_submit():
        try:
            with writing() as session:
                view = saved_views.save(
                    session,
                    actor(),
                    _LIST,
                    name=form.name.data or "",
                    query=query,
                    names=FILTERS,
                )
                back = f"{back}&saved={view.id}"
            flash(gettext("The view “%(name)s” is saved.", name=view.name), "ok")
        except (Invalid, Conflict) as error:
            flash(say(error), "bad")
    return redirect(back, 303)


@bp.post("/users/views/<view_id>/delete")
@allowed(Action.READ_DIRECTORY)
def delete_view(view_id: str) -> ResponseReturnValue:
    """Delete one's own saved view."""
    if ButtonForm().validate_on_submit():
        with writing() as session:
            name = saved_views.remove(session, actor(), as_uuid(view_id))
        flash(gettext("The view “%(name)s” is deleted.", name=name), "ok")
    return redirect(url_for(".users"), 303)


# Several people ----------------------------------------------------------------------------------


@bp.route("/users/selected", methods=["GET", "POST"])
@allowed(Action.READ_DIRECTORY)
def selected_users() -> ResponseReturnValue:
    """What is to happen to these people, said before it is done; then doing it."""
    try:
        together = Together(request.values.get("do", ""))
    except ValueError:
        raise NotFound() from None
    session, who = db.session(), actor()
    came_from = saved_views.cleaned(request.values.get("from", "")[:4000], FILTERS)
    ids = [as_uuid(text) for text in request.values.getlist("id")]
    if not ids:
        flash(gettext("Nobody is selected."), "info")
        return redirect(_with_filters(came_from), 303)
    group_id = as_uuid(request.values["group"]) if request.values.get("group") else None
    verdicts: Sequence[user_handling.Verdict] = []
    if ButtonForm().validate_on_submit():
        try:
            with writing() as writing_session:
                done = user_handling.handle(writing_session, who, together, ids, group_id=group_id)
            flash(_done(together, len(done)), "ok")
            return redirect(_with_filters(came_from), 303)
        except NotAll as error:
            verdicts = error.verdicts
    people = user_handling.chosen(session, who, together, ids, group_id=group_id)
    refused = {one.user.id: one.refusal for one in verdicts if one.refusal is not None}
    return (
        render_template(
            "admin/users/selected.html",
            together=str(together),
            people=[person for person in people if person.id not in refused],
            refused=[
                (person, say(refused[person.id])) for person in people if person.id in refused
            ],
            groups=groups.offered(session, who) if together is Together.ADD_TO_GROUP else [],
            group_id=group_id,
            came_from=came_from,
            back=_with_filters(came_from),
        ),
        409 if refused else 200,
    )


def _done(together: Together, count: int) -> str:
    """What was done, in one sentence."""
    match together:
        case Together.BLOCK:
            return ngettext("Blocked %(num)s person.", "Blocked %(num)s people.", count)
        case Together.UNBLOCK:
            return ngettext(
                "%(num)s person may sign in again.", "%(num)s people may sign in again.", count
            )
        case Together.DELETE:
            return ngettext(
                "Deleted %(num)s person. Restoring is possible for 30 days.",
                "Deleted %(num)s people. Restoring is possible for 30 days.",
                count,
            )
        case Together.RESTORE:
            return ngettext("Restored %(num)s person.", "Restored %(num)s people.", count)
        case Together.RESEND:
            return ngettext(
                "Sent again to %(num)s person; earlier links stop working.",
                "Sent again to %(num)s people; earlier links stop working.",
                count,
            )
        case Together.ADD_TO_GROUP:
            return ngettext(
                "%(num)s person is in the group.", "%(num)s people are in the group.", count
            )


@bp.get("/users/<user_id>")
@allowed(Action.READ_DIRECTORY)
def user(user_id: str) -> ResponseReturnValue:
    """One person: invitation, what happened, identity, access."""
    session, who = db.session(), actor()
    person = users.read(session, who, as_uuid(user_id))
    invitation = invitation_handling.of_user(session, who, person.id)
    if invitation is not None:
        say_what_was_done(invitation.invited_address)
    policy = policies.of(session, who)
    letters = outbox.of(session, who.tenant_id, invitation.id) if invitation else []
    findings = person_pages.findings_about(person, invitation)
    return render_template(
        "admin/users/user.html",
        person=person,
        tabs=person_pages.tabs_of(person),
        findings=[finding for finding in findings if finding.weight is not Weight.FINE],
        sponsors=sponsors.of_user(session, who.tenant_id, person.id),
        needed_role=None
        if permissions.is_admin(who) or person.id == who.user_id
        else permissions.least_role(Action.UPDATE_USER).display_name,
        invitation=invitation,
        journey=journey_of(person, invitation, letters, policy),
        events=timeline(session, who, person, letters),
        identity=sign_in.identity_of_guest(session, person),
        roles=roles.of_user(session, who.tenant_id, person.id),
        tiles=applications.tiles(session, who.tenant_id, person.id),
        groups=groups.of_user(session, who.tenant_id, person.id),
        inviter=_inviter(invitation),
        may={
            **invitation_rights(policy, who, person, invitation),
            "reset": person_pages.invited_anew(person, invitation) and not person.is_pending,
            "block": permissions.allows(who, Action.BLOCK_USER) and person.deleted_at is None,
            "delete": permissions.allows(who, Action.DELETE_USER) and person.id != who.user_id,
        },
        form=ButtonForm(),
    )


@bp.get("/users/<user_id>/journey")
@allowed(Action.READ_DIRECTORY)
def user_journey(user_id: str) -> ResponseReturnValue:
    """How far one person's invitation has come, for the page to show without being loaded anew."""
    session, who = db.session(), actor()
    person = users.read(session, who, as_uuid(user_id))
    invitation = invitation_handling.of_user(session, who, person.id)
    if invitation is None:
        raise NotFound(N_("This person was never invited."))
    letters = outbox.of(session, who.tenant_id, invitation.id)
    return fragment(
        "components/journey_fragment.html",
        person=person,
        invitation=invitation,
        journey=journey_of(person, invitation, letters, policies.of(session, who)),
    )


def _inviter(invitation: Invitation | None) -> User | None:
    if invitation is None or invitation.inviter_id is None:
        return None
    return db.session.get(User, (invitation.tenant_id, invitation.inviter_id))


def _act(
    user_id: str, what: Callable[[Session, Actor, UUID], User], done: str
) -> ResponseReturnValue:
    """Run one action of the page and come back with what it came to."""
    return act(
        url_for(".user", user_id=user_id),
        lambda session, who: what(session, who, as_uuid(user_id)).display_name,
        done,
    )


@bp.post("/users/<user_id>/block")
@allowed(Action.BLOCK_USER)
def block(user_id: str) -> ResponseReturnValue:
    """Block sign-in."""
    return _act(user_id, users.block, N_("%(name)s is blocked and signed out everywhere."))


@bp.post("/users/<user_id>/unblock")
@allowed(Action.BLOCK_USER)
def unblock(user_id: str) -> ResponseReturnValue:
    """Let somebody sign in again."""
    return _act(user_id, users.unblock, N_("%(name)s may sign in again."))


class DeleteForm(Form):
    """Typed, so that nobody is deleted by a slip."""

    confirmation = StringField(lazy_gettext("Type the address to confirm"))

    def confirms(self, address: str) -> bool:
        """Whether *address* was typed; what else was typed is an error beside the field."""
        if not self.validate_on_submit():
            return False
        if fold(self.confirmation.data or "") == fold(address):
            return True
        self.put_error(
            "confirmation", Invalid("confirmation", N_("This is not the address shown above."))
        )
        return False


@bp.route("/users/<user_id>/delete", methods=["GET", "POST"])
@allowed(Action.DELETE_USER)
def delete(user_id: str) -> ResponseReturnValue:
    """Ask before deleting, say what it means, and delete somebody softly."""
    person = users.read(db.session(), actor(), as_uuid(user_id))
    form = DeleteForm()
    address = person.mail or person.user_principal_name
    if form.confirms(address):
        return _act(
            user_id,
            deleted_users.remove,
            N_("%(name)s is deleted and can be restored for 30 days."),
        )
    return render_template("admin/users/delete.html", person=person, address=address, form=form)


@bp.route("/users/<user_id>/erase", methods=["GET", "POST"])
@allowed(Action.DELETE_USER)
def erase(user_id: str) -> ResponseReturnValue:
    """Delete a deleted person for good, before the 30 days are over."""
    person = users.read(db.session(), actor(), as_uuid(user_id))
    if person.deleted_at is None:
        raise Conflict(N_("%(name)s is not deleted."), name=person.display_name)
    form = DeleteForm()
    address = person.mail or person.user_principal_name
    if form.confirms(address):
        with writing() as session:
            name = deleted_users.erase(session, actor(), person.id)
        flash(gettext("%(name)s is deleted for good.", name=name), "ok")
        return redirect(url_for(".users", view="deleted"), 303)
    return render_template("admin/users/delete.html", person=person, address=address, form=form)


@bp.post("/users/<user_id>/restore")
@allowed(Action.DELETE_USER)
def restore(user_id: str) -> ResponseReturnValue:
    """Bring a deleted person back."""
    return _act(user_id, deleted_users.restore, N_("%(name)s is back."))
