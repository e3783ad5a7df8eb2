"""How far an invitation and its mail have come, as lists and pages show it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from flask import Response, make_response, render_template, request
from flask_babel import gettext

from b2b.actor import Actor
from b2b.mail import outbox
from b2b.mail.outbox import DeliveryState, Step
from b2b.models import Invitation, MailState, OutboxMessage, TenantPolicy, User, UserType
from b2b.services import invitation_handling, invitation_states
from b2b.services.invitation_handling import Handling
from b2b.services.invitation_states import InvitationState
from b2b.web.context import now

_STOPPED = {
    InvitationState.EXPIRED,
    InvitationState.DECLINED,
    InvitationState.CANCELLED,
    InvitationState.FAILED,
}
_MOVING = {Step.QUEUED, Step.SENDING, Step.RETRYING}


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
    if state is InvitationState.FAILED:
        step = 2
    badge = "member" if state is None else str(state)
    if getattr(row, "deleted_at", None) is not None:
        badge = "deleted"
    elif not getattr(row, "account_enabled", True):
        badge = "blocked"
    return {
        "badge": badge,
        "step": step,
        "stopped": state in _STOPPED,
        "invited": state is not None,
        "open": state not in (None, InvitationState.ACCEPTED) and badge != "deleted",
    }


def delivery(row: Any) -> DeliveryState | None:
    """What to say about the newest mail; *row* is of a listing. None: no mail was made."""
    if row.mail_state is None:
        return None
    return outbox.shown(
        row.mail_state, row.lease_owner, row.attempts, row.due_at, row.last_error, now()
    )


def is_moving(state: DeliveryState | None) -> bool:
    """Whether a page should look again: the mail has not come to an end."""
    return state is not None and state.step in _MOVING


def listed(rows: Sequence[Any], policy: TenantPolicy) -> list[tuple[Any, dict[str, Any], Any]]:
    """Rows of a listing, each with its progress and its delivery."""
    return [(row, progress(row, policy), delivery(row)) for row in rows]


def fragment(template: str, **values: Any) -> Response:
    """A piece of a page for static/js/poll.js, which asks only for what has changed."""
    response = make_response(render_template(template, **values))
    response.add_etag()
    response.make_conditional(request)
    return response


def invitation_rights(
    policy: TenantPolicy, actor: Actor, person: User, invitation: Invitation | None
) -> dict[str, bool]:
    """Which buttons an invitation gets: those that would be refused are left out."""
    rights = {}
    for handling in Handling:
        rights[str(handling)] = (
            invitation is not None
            and invitation_handling.may_handle(policy, actor, invitation, handling)
            and invitation_handling.refusal(policy, person, invitation, handling) is None
        )
    return rights


def journey_of(
    person: User,
    invitation: Invitation | None,
    letters: Sequence[OutboxMessage],
    policy: TenantPolicy,
) -> dict[str, Any]:
    """What a page about one person's invitation shows of it, from *letters*, newest first."""
    letter = _newest(invitation, letters)
    copy = next((one for one in letters if one.template == "invitation_copy"), None)
    mail, copy_mail = _shown(letter), _shown(copy)
    return {
        "badge": _badge(person, invitation, letter, policy),
        "steps": _steps(invitation, letter, policy),
        "letter": letter,
        "mail": mail,
        "copy_letter": copy,
        "copy_mail": copy_mail,
        "moving": is_moving(mail) or is_moving(copy_mail),
        "ends_at": invitation_states.ends_at(invitation.valid_from, policy.invitation_days)
        if invitation
        else None,
    }


def _newest(
    invitation: Invitation | None, letters: Sequence[OutboxMessage]
) -> OutboxMessage | None:
    """The newest letter to the guest himself."""
    if invitation is None:
        return None
    return next((letter for letter in letters if letter.id == invitation.outbox_id), None)


def _shown(letter: OutboxMessage | None) -> DeliveryState | None:
    if letter is None:
        return None
    return outbox.shown(
        letter.state, letter.lease_owner, letter.attempts, letter.due_at, letter.last_error, now()
    )


def _badge(
    person: User,
    invitation: Invitation | None,
    letter: OutboxMessage | None,
    policy: TenantPolicy,
) -> str:
    if person.deleted_at is not None:
        return "deleted"
    if not person.account_enabled:
        return "blocked"
    if invitation is None:
        return "member" if person.user_type is UserType.MEMBER else "accepted"
    state = invitation_states.state_of(invitation, policy.invitation_days, now())
    if state is InvitationState.PENDING and letter and letter.state is MailState.FAILED:
        return "failed"
    return str(state)


def _steps(
    invitation: Invitation | None, letter: OutboxMessage | None, policy: TenantPolicy
) -> list[dict[str, Any]]:
    """The six steps of the journey with their times."""
    if invitation is None:
        return []
    sent_at = letter.settled_at if letter and letter.state is MailState.SENT else None
    mailed = letter is not None or invitation.send_message
    times: list[tuple[str, datetime | None]] = [
        (gettext("Invited"), invitation.sent_at),
        (gettext("Sent") if mailed else gettext("Link made"),
         sent_at if mailed else invitation.sent_at),
        (gettext("Link opened"), invitation.opened_at),
        (gettext("Signed in"), invitation.signed_in_at),
        (gettext("Consented"), invitation.accepted_at),
        (gettext("Accepted"), invitation.accepted_at),
    ]  # fmt: skip
    found: list[dict[str, Any]] = []
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
        found.append({"label": label, "at": at, "state": state})
    return found
