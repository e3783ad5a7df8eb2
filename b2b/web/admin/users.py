"""Users: the list with its filters, one person's page, and what can be done with a person."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, Conflict, NotFound
from b2b.extensions import db
from b2b.mail import outbox
from b2b.models import (
    ExternalUserState,
    Invitation,
    Source,
    User,
    UserType,
)
from b2b.services import (
    applications,
    groups,
    invitation_handling,
    permissions,
    policies,
    roles,
    sign_in,
    user_listing,
    users,
)
from b2b.services.permissions import Action
from b2b.services.user_listing import Filters
from b2b.web.admin import bp
from b2b.web.admin.invitations import ButtonForm
from b2b.web.admin.timeline import timeline
from b2b.web.brand import as_uuid
from b2b.web.context import actor, allowed, writing
from b2b.web.errors import say
from b2b.web.progress import fragment, invitation_rights, journey_of, progress

VIEWS: dict[str, dict[str, Any]] = {
    "everyone": {},
    "guests": {"user_type": UserType.GUEST},
    "waiting": {"state": ExternalUserState.PENDING_ACCEPTANCE},
    "deleted": {"deleted": True},
}


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
        deleted=view.get("deleted", False),
        search=request.args.get("q", "")[:200],
    )


def _cursor(name: str) -> tuple[str, UUID] | None:
    text = request.args.get(name)
    if not text or "." not in text:
        return None
    identifier, _, key = text.partition(".")
    return key, as_uuid(identifier)


def _page_url(**cursor: tuple[str, UUID] | None) -> str | None:
    kept: dict[str, Any] = {k: v for k, v in request.args.items() if k not in ("after", "before")}
    for name, place in cursor.items():
        if place is None:
            return None
        kept[name] = f"{place[1].hex}.{place[0]}"
    return url_for(".users", **kept)


def _without(name: str) -> str:
    """This list without the filter *name*."""
    kept: dict[str, Any] = {
        k: v for k, v in request.args.items() if k not in (name, "after", "before")
    }
    return url_for(".users", **kept)


@bp.get("/users", endpoint="users")
@allowed(Action.READ_DIRECTORY)
def users_page() -> ResponseReturnValue:
    """Users."""
    filters = _filters()
    who = actor()
    page = user_listing.listing(
        db.session(), who, filters, after=_cursor("after"), before=_cursor("before")
    )
    policy = policies.of(db.session(), who)
    return render_template(
        "admin/users/list.html",
        page=page,
        rows=[(row, progress(row, policy)) for row in page.rows],
        filters=filters,
        view=request.args.get("view", "everyone"),
        views=VIEWS,
        sources=list(Source),
        previous_url=_page_url(before=page.before),
        next_url=_page_url(after=page.after),
        counted_to=user_listing.COUNTED_TO,
        may_invite=policies.may_invite(policy, who),
        read_only=not permissions.is_admin(who),
        filtered=bool(
            filters.search
            or filters.source
            or filters.enabled is not None
            or request.args.get("type")
            or request.args.get("state")
        ),
        without=_without,
    )


@bp.get("/users/<user_id>")
@allowed(Action.READ_DIRECTORY)
def user(user_id: str) -> ResponseReturnValue:
    """One person: invitation, what happened, identity, access."""
    session, who = db.session(), actor()
    person = users.read(session, who, as_uuid(user_id))
    invitation = invitation_handling.of_user(session, who, person.id)
    policy = policies.of(session, who)
    letters = outbox.of(session, who.tenant_id, invitation.id) if invitation else []
    return render_template(
        "admin/users/user.html",
        person=person,
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
    if ButtonForm().validate_on_submit():
        try:
            with writing() as session:
                person = what(session, actor(), as_uuid(user_id))
            flash(gettext(done, name=person.display_name), "ok")
        except Conflict as error:
            flash(say(error), "bad")
    return redirect(url_for(".user", user_id=user_id), 303)


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


@bp.get("/users/<user_id>/delete")
@allowed(Action.DELETE_USER)
def confirm_delete(user_id: str) -> ResponseReturnValue:
    """Ask before deleting, and say what it means."""
    person = users.read(db.session(), actor(), as_uuid(user_id))
    return render_template("admin/users/delete.html", person=person, form=ButtonForm())


@bp.post("/users/<user_id>/delete")
@allowed(Action.DELETE_USER)
def delete(user_id: str) -> ResponseReturnValue:
    """Delete somebody softly."""
    return _act(user_id, users.remove, N_("%(name)s is deleted and can be restored for 30 days."))


@bp.post("/users/<user_id>/restore")
@allowed(Action.DELETE_USER)
def restore(user_id: str) -> ResponseReturnValue:
    """Bring a deleted person back."""
    return _act(user_id, users.restore, N_("%(name)s is back."))
