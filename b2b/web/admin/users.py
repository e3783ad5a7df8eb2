"""Users: the list with its filters, one person's page, and what can be done with a person."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, Conflict
from b2b.extensions import db
from b2b.mail import outbox
from b2b.models import (
    ExternalUserState,
    Invitation,
    MailState,
    Source,
    TenantPolicy,
    User,
    UserType,
)
from b2b.services import (
    applications,
    groups,
    invitation_handling,
    invitation_states,
    permissions,
    policies,
    sign_in,
    user_listing,
    users,
)
from b2b.services.invitation_states import InvitationState
from b2b.services.permissions import Action
from b2b.services.user_listing import Filters
from b2b.web.admin import bp
from b2b.web.admin.invitations import ButtonForm
from b2b.web.admin.timeline import timeline
from b2b.web.brand import as_uuid
from b2b.web.context import actor, allowed, now, writing
from b2b.web.errors import say

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


def progress(row: Any, policy: TenantPolicy) -> dict[str, Any]:
    """How far somebody's invitation has come: badge, step of six, and whether it stopped there."""
    state = invitation_states.state_of(row, policy.invitation_days, now())
    step = 1
    if getattr(row, "mail_state", None) == MailState.SENT or not row.send_message:
        step = 2
    if row.opened_at is not None:
        step = 3
    if row.signed_in_at is not None:
        step = 4
    if row.accepted_at is not None:
        step = 6
    stopped = state in (
        InvitationState.EXPIRED,
        InvitationState.DECLINED,
        InvitationState.CANCELLED,
        InvitationState.FAILED,
    )
    if state is InvitationState.FAILED:
        step = 2
    badge = "member" if state is None else str(state)
    if getattr(row, "deleted_at", None) is not None:
        badge = "deleted"
    elif not getattr(row, "account_enabled", True):
        badge = "blocked"
    return {"badge": badge, "step": step, "stopped": stopped, "invited": state is not None}


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
        badge=_badge(person, invitation, letters, policy),
        invitation=invitation,
        steps=_steps(invitation, letters, policy),
        letter=next((m for m in letters if invitation and m.id == invitation.outbox_id), None),
        events=timeline(session, who, person, letters),
        identity=sign_in.identity_of_guest(session, person),
        roles=users.roles_of(session, who.tenant_id, person.id),
        tiles=applications.tiles(session, who.tenant_id, person.id),
        groups=groups.of_user(session, who.tenant_id, person.id),
        ends_at=invitation_states.ends_at(invitation.valid_from, policy.invitation_days)
        if invitation
        else None,
        inviter=_inviter(invitation),
        may={
            "manage": person.is_pending
            and person.deleted_at is None
            and policies.may_invite(policy, who)
            and (
                permissions.allows(who, Action.MANAGE_INVITATIONS)
                or (invitation is not None and invitation.inviter_id == who.user_id)
            ),
            "block": permissions.allows(who, Action.BLOCK_USER) and person.deleted_at is None,
            "delete": permissions.allows(who, Action.DELETE_USER) and person.id != who.user_id,
        },
        form=ButtonForm(),
    )


def _inviter(invitation: Invitation | None) -> User | None:
    if invitation is None or invitation.inviter_id is None:
        return None
    return db.session.get(User, (invitation.tenant_id, invitation.inviter_id))


def _badge(person: User, invitation: Invitation | None, letters: Any, policy: TenantPolicy) -> str:
    if person.deleted_at is not None:
        return "deleted"
    if not person.account_enabled:
        return "blocked"
    if invitation is None:
        return "member" if person.user_type is UserType.MEMBER else "accepted"
    state = invitation_states.state_of(invitation, policy.invitation_days, now())
    current = next((m.state for m in letters if m.id == invitation.outbox_id), None)
    if state is InvitationState.PENDING and current is MailState.FAILED:
        return "failed"
    return str(state)


def _steps(
    invitation: Invitation | None, letters: Any, policy: TenantPolicy
) -> list[dict[str, Any]]:
    """The six steps of the journey with their times."""
    if invitation is None:
        return []
    letter = next((m for m in letters if m.id == invitation.outbox_id), None)
    sent_at = letter.settled_at if letter and letter.state is MailState.SENT else None
    times = [
        (gettext("Invited"), invitation.sent_at),
        (gettext("Sent") if invitation.send_message else gettext("Link made"),
         sent_at if invitation.send_message else invitation.sent_at),
        (gettext("Link opened"), invitation.opened_at),
        (gettext("Signed in"), invitation.signed_in_at),
        (gettext("Consented"), invitation.accepted_at),
        (gettext("Accepted"), invitation.accepted_at),
    ]  # fmt: skip
    steps: list[dict[str, Any]] = []
    reached = max((i for i, (_, at) in enumerate(times) if at is not None), default=0)
    over = invitation_states.ends_at(invitation.valid_from, policy.invitation_days)
    ended = (
        invitation.declined_at is not None
        or invitation.cancelled_at is not None
        or (invitation.accepted_at is None and over is not None and over <= now())
    )
    failed = letter is not None and letter.state is MailState.FAILED
    for number, (label, at) in enumerate(times):
        state = "on" if at is not None or number < reached else ""
        if number == reached + 1 and not ended:
            state = "stop" if failed and number == 1 else "now"
        if number == reached and ended and invitation.accepted_at is None:
            state = "stop"
        steps.append({"label": label, "at": at, "state": state})
    return steps


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
