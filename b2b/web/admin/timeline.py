"""What happened to one person, newest first: audit events, mail and sign-ins in one list."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from flask_babel import gettext
from sqlalchemy import select
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.models import ActorKind, AuditEvent, MailState, OutboxMessage, SignIn, User
from b2b.services import audit, permissions
from b2b.services.audit import Activity
from b2b.services.permissions import Action
from b2b.web.filters import moment
from b2b.web.words import INVITING, SEEING, own_reason, reason, stored

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
    Activity.REMOVE_ROLE: ("key", ""),
    Activity.SET_PASSWORD: ("key", ""),
    Activity.RESET: ("sync", "accent"),
    Activity.REVOKE_SESSIONS: ("door", ""),
    Activity.HARD_DELETE_USER: ("bin", "bad"),
    Activity.UPDATE_POLICY: ("shield", "accent"),
    Activity.ADD_GROUP: ("group", ""),
    Activity.UPDATE_GROUP: ("group", ""),
    Activity.ADD_GROUP_OWNER: ("group", ""),
    Activity.REMOVE_GROUP_OWNER: ("group", ""),
    Activity.UPDATE_APPLICATION: ("apps", ""),
    Activity.ADD_APPLICATION_OWNER: ("apps", ""),
    Activity.REMOVE_APPLICATION_OWNER: ("apps", ""),
    Activity.ASSIGN_APPLICATION_TO_GROUP: ("apps", ""),
    Activity.UNASSIGN_APPLICATION_FROM_GROUP: ("apps", ""),
    Activity.CREATE_TENANT: ("building", ""),
    Activity.SET_COMPANY: ("building", ""),
    Activity.SET_BRANDING: ("building", ""),
    Activity.UNSUBSCRIBE: ("ban", "bad"),
    Activity.SUBSCRIBE: ("check", "ok"),
    Activity.LEAVE: ("sign-out", "bad"),
    Activity.CHANGE_PASSWORD: ("key", ""),
    Activity.PAUSE_MAIL: ("pause", "bad"),
    Activity.RESUME_MAIL: ("send", "ok"),
    Activity.TRY_MAIL: ("send", ""),
    Activity.RETRY_MAIL: ("send", "accent"),
    Activity.RESTORE_BACKUP: ("sync", "bad"),
    Activity.REVOKE_KEYS: ("key", "bad"),
    Activity.REGISTER_APPLICATION: ("apps", ""),
    Activity.UPDATE_REGISTRATION: ("apps", ""),
    Activity.DELETE_REGISTRATION: ("bin", "bad"),
    Activity.CHANGE_CREDENTIALS: ("key", ""),
    Activity.ADD_PRINCIPAL: ("apps", ""),
    Activity.CONSENT: ("check", ""),
    Activity.WITHDRAW_CONSENT: ("ban", ""),
    Activity.GIVE_PERMISSION: ("shield", "accent"),
    Activity.TAKE_PERMISSION: ("shield", ""),
    Activity.REUSED_TOKEN: ("shield", "bad"),
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


def activity_words(activity: str) -> str:
    """The activity as people say it."""
    words: dict[str, str] = {
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
        Activity.REMOVE_ROLE: gettext("Directory role taken away"),
        Activity.SET_PASSWORD: gettext("Password set"),
        Activity.RESET: gettext("Redemption reset"),
        Activity.REVOKE_SESSIONS: gettext("Sessions ended"),
        Activity.HARD_DELETE_USER: gettext("Deleted for good"),
        Activity.UPDATE_POLICY: gettext("Settings changed"),
        Activity.UNSUBSCRIBE: gettext("Blocked invitations from here"),
        Activity.SUBSCRIBE: gettext("Allowed invitations from here again"),
        Activity.ADD_GROUP: gettext("Group made"),
        Activity.UPDATE_GROUP: gettext("Group changed"),
        Activity.ADD_GROUP_OWNER: gettext("Group given an owner"),
        Activity.REMOVE_GROUP_OWNER: gettext("Owner taken from a group"),
        Activity.UPDATE_APPLICATION: gettext("Application changed"),
        Activity.ADD_APPLICATION_OWNER: gettext("Application given an owner"),
        Activity.REMOVE_APPLICATION_OWNER: gettext("Owner taken from an application"),
        Activity.ASSIGN_APPLICATION_TO_GROUP: gettext("Group assigned to an application"),
        Activity.UNASSIGN_APPLICATION_FROM_GROUP: gettext(
            "Assignment of a group to an application ended"
        ),
        Activity.CREATE_TENANT: gettext("Organisation made"),
        Activity.SET_COMPANY: gettext("Facts of the organisation changed"),
        Activity.SET_BRANDING: gettext("Branding changed"),
        Activity.LEAVE: gettext("Left the organisation"),
        Activity.CHANGE_PASSWORD: gettext("Changed the password"),
        Activity.PAUSE_MAIL: gettext("Mail delivery paused"),
        Activity.RESUME_MAIL: gettext("Mail delivery resumed"),
        Activity.TRY_MAIL: gettext("Mail server tried again"),
        Activity.RETRY_MAIL: gettext("Failed mail sent again"),
        Activity.RESTORE_BACKUP: gettext("Directory set back to a backup"),
        Activity.REVOKE_KEYS: gettext("All keys revoked"),
        Activity.REGISTER_APPLICATION: gettext("Application registered"),
        Activity.UPDATE_REGISTRATION: gettext("Registration of an application changed"),
        Activity.DELETE_REGISTRATION: gettext("Registration of an application deleted"),
        Activity.CHANGE_CREDENTIALS: gettext("Secrets or certificates of an application changed"),
        Activity.ADD_PRINCIPAL: gettext("Application added to the organisation"),
        Activity.CONSENT: gettext("Consent given to an application"),
        Activity.WITHDRAW_CONSENT: gettext("Consent to an application withdrawn"),
        Activity.GIVE_PERMISSION: gettext("Application given a permission"),
        Activity.TAKE_PERMISSION: gettext("Permission taken from an application"),
        Activity.REUSED_TOKEN: gettext("Refresh token used twice: the sign-in was ended"),
    }
    return words.get(activity, activity)


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
        "UsageLocation": gettext("Country"),
        "OtherMails": gettext("Other mail addresses"),
        "ShowInAddressList": gettext("Shown in the address list"),
        "InvitedAddress": gettext("Invited address"),
        "StsRefreshTokensValidFrom": gettext("Sessions valid from"),
        "PolicyDetails": gettext("Domain list"),
        "LandingPages": gettext("Landing pages"),
        "InvitationDays": gettext("Days until an invitation expires"),
        "KeepTypedNames": gettext("Keep typed names"),
        "GuestsMayLeave": gettext("Guests may leave"),
        "AllowInvitesFrom": gettext("Who may invite"),
        "GuestAccess": gettext("What guests see"),
        "Description": gettext("Description"),
        "Owner": gettext("Owner"),
    }
    return names.get(name, name)


def _value(name: str, value: Any) -> str:
    if name in ("AcceptedOn", "ValidUntil", "StsRefreshTokensValidFrom") and value:
        return moment(datetime.fromisoformat(value))
    if name in ("Role", "UserState", "UserType", "Source") and value:
        return stored(value)
    if name == "AllowInvitesFrom" and value in INVITING:
        return gettext(INVITING[value])
    if name == "GuestAccess" and value in SEEING:
        return gettext(SEEING[value])
    if value is True:
        return gettext("Yes")
    if value is False:
        return gettext("No")
    if isinstance(value, list):
        return ", ".join(map(str, value)) or gettext("empty")
    return gettext("empty") if value is None else str(value)


def changes_of(event: AuditEvent) -> list[dict[str, str]]:
    """Before and after in the reader's words, for the macro `changes`."""
    return [
        {
            "label": _property(change["property"]),
            "before": _value(change["property"], change["before"]),
            "after": _value(change["property"], change["after"]),
        }
        for change in event.changes
    ]


def icon_of(activity: str) -> tuple[str, str]:
    """Glyph and tone of an activity."""
    return _ICONS.get(activity, ("info", ""))


def _actor(event: AuditEvent) -> str:
    """Who did it; the program's own names in the reader's words."""
    system = event.actor_kind is ActorKind.SYSTEM
    return stored(event.actor_name) if system else event.actor_name


def method_words(method: str) -> str:
    """How somebody signed in."""
    methods = {
        "MicrosoftAccount": gettext("with a personal account"),
        "ExternalAzureAD": gettext("with an account of another directory"),
        "mail": gettext("with a mailed code"),
        "password": gettext("with a password"),
        "program": gettext("a program by itself"),
    }
    return methods.get(method, method)


def _audit(event: AuditEvent) -> dict[str, Any]:
    icon, tone = icon_of(event.activity)
    detail = None
    if event.activity == Activity.INVITE:
        given = [*event.detail.get("applications", []), *event.detail.get("groups", [])]
        detail = gettext("to %(things)s", things=", ".join(given)) if given else None
    return {
        "icon": icon,
        "tone": tone,
        "title": activity_words(event.activity),
        "detail": detail,
        "at": event.at,
        "who": _actor(event),
        "changes": changes_of(event),
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
        "invitation_copy": gettext("The copy of the invitation"),
        "welcome_back": gettext("News of more access"),
        "accepted": gettext("News of the acceptance"),
        "declined": gettext("News of the refusal"),
        "asked_again": gettext("The wish for a new invitation"),
    }
    parts = [subjects.get(letter.template, letter.template), letter.recipient]
    if not good and letter.last_error:
        parts.append(own_reason(letter.last_error) or letter.last_error)
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
    good = row.error_code == 0
    return {
        "icon": "door",
        "tone": "accent" if good else "bad",
        "title": gettext("Signed in") if good else gettext("Sign-in refused"),
        "detail": method_words(row.method)
        if good
        else f"AADSTS{row.error_code} · {reason(row.error_code, row.failure_reason)}",
        "at": row.at,
        "who": None,
        "changes": [],
        "order": (row.at, 10**9),
    }
