"""What happened to one person, newest first: audit events, mail and sign-ins in one list."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from flask_babel import gettext
from sqlalchemy import select
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.models import AuditEvent, MailState, OutboxMessage, SignIn, User
from b2b.services import audit, permissions
from b2b.services.audit import Activity
from b2b.services.permissions import Action
from b2b.web.filters import moment

_ICONS: dict[str, tuple[str, str]] = {
    Activity.ADD_USER: ("person", ""),
    Activity.INVITE: ("send", "accent"),
    Activity.RESEND: ("send", "accent"),
    Activity.COPY_LINK: ("copy", ""),
    Activity.EXTEND: ("clock", "accent"),
    Activity.CANCEL: ("ban", "bad"),
    Activity.NOT_MAILED: ("mail", "bad"),
    Activity.ADD_SPONSOR: ("person", ""),
    Activity.REDEEM: ("check", "ok"),
    Activity.DECLINE: ("stop", "bad"),
    Activity.ASK_AGAIN: ("question", ""),
    Activity.DISABLE_ACCOUNT: ("ban", "bad"),
    Activity.ENABLE_ACCOUNT: ("check", "ok"),
    Activity.DELETE_USER: ("bin", "bad"),
    Activity.RESTORE_USER: ("sync", "ok"),
    Activity.UPDATE_USER: ("person", ""),
    Activity.ADD_MEMBER: ("group", ""),
    Activity.REMOVE_MEMBER: ("group", ""),
    Activity.ASSIGN_APPLICATION: ("apps", ""),
    Activity.UNASSIGN_APPLICATION: ("apps", ""),
    Activity.ADD_ROLE: ("key", ""),
    Activity.SET_PASSWORD: ("key", ""),
}


def timeline(
    session: Session, actor: Actor, person: User, letters: Sequence[OutboxMessage]
) -> list[dict[str, Any]]:
    """Events for the macro of the same name; without the permission to read the audit log, none of
    it.
    """
    events = [_letter(letter) for letter in letters if letter.settled_at is not None]
    if permissions.allows(actor, Action.READ_AUDIT) or person.id == actor.user_id:
        events += [_audit(event) for event in audit.of_target(session, actor, person.id)]
        events += [
            _sign_in(row)
            for row in session.scalars(
                select(SignIn)
                .where(SignIn.tenant_id == actor.tenant_id, SignIn.user_id == person.id)
                .order_by(SignIn.id.desc())
                .limit(20)
            )
        ]
    return sorted(events, key=lambda event: event["order"], reverse=True)


def _words(activity: str) -> str:
    """The activity as people say it."""
    words = {
        Activity.ADD_USER: gettext("Added to the directory"),
        Activity.INVITE: gettext("Invited"),
        Activity.RESEND: gettext("Invitation sent again"),
        Activity.COPY_LINK: gettext("Link copied by hand"),
        Activity.EXTEND: gettext("Invitation extended"),
        Activity.CANCEL: gettext("Invitation cancelled"),
        Activity.NOT_MAILED: gettext("Not mailed: the person wants no invitations from here"),
        Activity.ADD_SPONSOR: gettext("Given a sponsor"),
        Activity.REDEEM: gettext("Accepted the invitation"),
        Activity.DECLINE: gettext("Declined the invitation"),
        Activity.ASK_AGAIN: gettext("Asked for a new invitation"),
        Activity.DISABLE_ACCOUNT: gettext("Sign-in blocked"),
        Activity.ENABLE_ACCOUNT: gettext("Sign-in allowed again"),
        Activity.DELETE_USER: gettext("Deleted"),
        Activity.RESTORE_USER: gettext("Restored"),
        Activity.UPDATE_USER: gettext("Profile changed"),
        Activity.ADD_MEMBER: gettext("Put into a group"),
        Activity.REMOVE_MEMBER: gettext("Taken out of a group"),
        Activity.ASSIGN_APPLICATION: gettext("Assigned to an application"),
        Activity.UNASSIGN_APPLICATION: gettext("Assignment to an application ended"),
        Activity.ADD_ROLE: gettext("Given a directory role"),
        Activity.SET_PASSWORD: gettext("Password set"),
    }
    return words.get(Activity(activity), activity)


def _property(name: str) -> str:
    names = {
        "DisplayName": gettext("Display name"),
        "GivenName": gettext("Given name"),
        "Surname": gettext("Surname"),
        "PreferredLanguage": gettext("Language"),
        "UserState": gettext("State"),
        "UserType": gettext("User type"),
        "Source": gettext("Source"),
        "Identity": gettext("Identity"),
        "AcceptedOn": gettext("Accepted on"),
        "Application": gettext("Application"),
        "Group": gettext("Group"),
        "Role": gettext("Role"),
        "Sponsor": gettext("Sponsor"),
        "ValidUntil": gettext("Valid until"),
        "AccountEnabled": gettext("May sign in"),
        "CompanyName": gettext("Company"),
        "JobTitle": gettext("Job title"),
        "MobilePhone": gettext("Mobile phone"),
        "Department": gettext("Department"),
    }
    return names.get(name, name)


def _value(name: str, value: Any) -> str:
    if name in ("AcceptedOn", "ValidUntil") and value:
        return moment(datetime.fromisoformat(value))
    if value is True:
        return gettext("Yes")
    if value is False:
        return gettext("No")
    return gettext("empty") if value is None else str(value)


def _audit(event: AuditEvent) -> dict[str, Any]:
    icon, tone = _ICONS.get(Activity(event.activity), ("info", ""))
    detail = None
    if event.activity == Activity.INVITE:
        given = [*event.detail.get("applications", []), *event.detail.get("groups", [])]
        detail = gettext("to %(things)s", things=", ".join(given)) if given else None
    return {
        "icon": icon,
        "tone": tone,
        "title": _words(event.activity),
        "detail": detail,
        "at": event.at,
        "who": event.actor_name,
        "changes": [
            {
                "label": _property(change["property"]),
                "before": _value(change["property"], change["before"]),
                "after": _value(change["property"], change["after"]),
            }
            for change in event.changes
        ],
        "order": (event.at, event.sequence),
    }


def _letter(letter: OutboxMessage) -> dict[str, Any]:
    assert letter.settled_at is not None
    good = letter.state is MailState.SENT
    states = {
        MailState.SENT: gettext("Mail sent to the mail server"),
        MailState.FAILED: gettext("Mail failed"),
        MailState.CANCELLED: gettext("Mail cancelled"),
        MailState.QUEUED: gettext("Mail queued"),
    }
    subjects = {
        "invitation": gettext("The invitation"),
        "welcome_back": gettext("News of more access"),
        "accepted": gettext("News of the acceptance"),
        "declined": gettext("News of the refusal"),
        "asked_again": gettext("The wish for a new invitation"),
    }
    parts = [subjects.get(letter.template, letter.template), letter.recipient]
    if not good and letter.last_error:
        parts.append(letter.last_error)
    return {
        "icon": "mail",
        "tone": "" if good else "bad",
        "title": states[letter.state],
        "detail": " · ".join(parts),
        "at": letter.settled_at,
        "who": None,
        "changes": [],
        # At the same instant a mail follows the change that caused it.
        "order": (letter.settled_at, 10**8),
    }


def _sign_in(row: SignIn) -> dict[str, Any]:
    methods = {
        "MicrosoftAccount": gettext("with a personal account"),
        "ExternalAzureAD": gettext("with an account of another directory"),
        "mail": gettext("with a mailed code"),
        "password": gettext("with a password"),
    }
    good = row.error_code == 0
    return {
        "icon": "door",
        "tone": "accent" if good else "bad",
        "title": gettext("Signed in") if good else gettext("Sign-in refused"),
        "detail": methods.get(row.method, row.method)
        if good
        else f"AADSTS{row.error_code} · {row.failure_reason or ''}",
        "at": row.at,
        "who": None,
        "changes": [],
        "order": (row.at, 10**9),
    }
