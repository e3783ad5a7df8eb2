"""What happened to one person, newest first: audit events, mail and sign-ins in one list."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from flask_babel import gettext
from sqlalchemy import select
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_
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
    Activity.REMOVE_PRINCIPAL: ("bin", "bad"),
    Activity.CONSENT: ("check", ""),
    Activity.WITHDRAW_CONSENT: ("ban", ""),
    Activity.GIVE_PERMISSION: ("shield", "accent"),
    Activity.TAKE_PERMISSION: ("shield", ""),
    Activity.CONVERT: ("send", "accent"),
    Activity.REMOVE_SPONSOR: ("person", ""),
    Activity.SET_MANAGER: ("person", ""),
    Activity.REMOVE_MANAGER: ("person", ""),
    Activity.CHANGE_LICENSE: ("key", ""),
    Activity.RESET_PASSWORD: ("key", ""),
    Activity.DELETE_GROUP: ("bin", "bad"),
    Activity.RESTORE_GROUP: ("sync", "ok"),
    Activity.HARD_DELETE_GROUP: ("bin", "bad"),
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


_ACTIVITIES: dict[str, str] = {
    Activity.ADD_USER: N_("Added to the directory"),
    Activity.INVITE: N_("Invited"),
    Activity.RESEND: N_("Invitation sent again"),
    Activity.COPY_LINK: N_("Link copied by hand"),
    Activity.EXTEND: N_("Invitation extended"),
    Activity.CANCEL: N_("Invitation cancelled"),
    Activity.NOT_MAILED: N_("Not mailed: the person wants no invitations from here"),
    Activity.ADD_SPONSOR: N_("Given a sponsor"),
    Activity.REDEEM: N_("Accepted the invitation"),
    Activity.DECLINE: N_("Declined the invitation"),
    Activity.ASK_AGAIN: N_("Asked for a new invitation"),
    Activity.DISABLE_ACCOUNT: N_("Sign-in blocked"),
    Activity.ENABLE_ACCOUNT: N_("Sign-in allowed again"),
    Activity.DELETE_USER: N_("Deleted"),
    Activity.RESTORE_USER: N_("Restored"),
    Activity.UPDATE_USER: N_("Profile changed"),
    Activity.ADD_MEMBER: N_("Put into a group"),
    Activity.REMOVE_MEMBER: N_("Taken out of a group"),
    Activity.ASSIGN_APPLICATION: N_("Assigned to an application"),
    Activity.UNASSIGN_APPLICATION: N_("Assignment to an application ended"),
    Activity.ADD_ROLE: N_("Given a directory role"),
    Activity.REMOVE_ROLE: N_("Directory role taken away"),
    Activity.SET_PASSWORD: N_("Password set"),
    Activity.RESET: N_("Redemption reset"),
    Activity.REVOKE_SESSIONS: N_("Sessions ended"),
    Activity.HARD_DELETE_USER: N_("Deleted for good"),
    Activity.UPDATE_POLICY: N_("Settings changed"),
    Activity.UNSUBSCRIBE: N_("Blocked invitations from here"),
    Activity.SUBSCRIBE: N_("Allowed invitations from here again"),
    Activity.ADD_GROUP: N_("Group made"),
    Activity.UPDATE_GROUP: N_("Group changed"),
    Activity.ADD_GROUP_OWNER: N_("Group given an owner"),
    Activity.REMOVE_GROUP_OWNER: N_("Owner taken from a group"),
    Activity.UPDATE_APPLICATION: N_("Application changed"),
    Activity.ADD_APPLICATION_OWNER: N_("Application given an owner"),
    Activity.REMOVE_APPLICATION_OWNER: N_("Owner taken from an application"),
    Activity.ASSIGN_APPLICATION_TO_GROUP: N_("Group assigned to an application"),
    Activity.UNASSIGN_APPLICATION_FROM_GROUP: N_("Assignment of a group to an application ended"),
    Activity.CREATE_TENANT: N_("Organisation made"),
    Activity.SET_COMPANY: N_("Facts of the organisation changed"),
    Activity.SET_BRANDING: N_("Branding changed"),
    Activity.LEAVE: N_("Left the organisation"),
    Activity.CHANGE_PASSWORD: N_("Changed the password"),
    Activity.PAUSE_MAIL: N_("Mail delivery paused"),
    Activity.RESUME_MAIL: N_("Mail delivery resumed"),
    Activity.TRY_MAIL: N_("Mail server tried again"),
    Activity.RETRY_MAIL: N_("Failed mail sent again"),
    Activity.RESTORE_BACKUP: N_("Directory set back to a backup"),
    Activity.REVOKE_KEYS: N_("All keys revoked"),
    Activity.REGISTER_APPLICATION: N_("Application registered"),
    Activity.UPDATE_REGISTRATION: N_("Registration of an application changed"),
    Activity.DELETE_REGISTRATION: N_("Registration of an application deleted"),
    Activity.CHANGE_CREDENTIALS: N_("Secrets or certificates of an application changed"),
    Activity.ADD_PRINCIPAL: N_("Application added to the organisation"),
    Activity.REMOVE_PRINCIPAL: N_("Application removed from the organisation"),
    Activity.CONSENT: N_("Consent given to an application"),
    Activity.WITHDRAW_CONSENT: N_("Consent to an application withdrawn"),
    Activity.GIVE_PERMISSION: N_("Application given a permission"),
    Activity.TAKE_PERMISSION: N_("Permission taken from an application"),
    Activity.CONVERT: N_("Made an external user"),
    Activity.REMOVE_SPONSOR: N_("Sponsor taken away"),
    Activity.SET_MANAGER: N_("Given a manager"),
    Activity.REMOVE_MANAGER: N_("Manager taken away"),
    Activity.CHANGE_LICENSE: N_("Licences changed"),
    Activity.RESET_PASSWORD: N_("Password reset"),
    Activity.DELETE_GROUP: N_("Group deleted"),
    Activity.RESTORE_GROUP: N_("Group restored"),
    Activity.HARD_DELETE_GROUP: N_("Group deleted for good"),
    Activity.REUSED_TOKEN: N_("Refresh token used twice: the sign-in was ended"),
}


def activity_words(activity: str) -> str:
    """The activity as people say it."""
    words = _ACTIVITIES.get(activity)
    return activity if words is None else gettext(words)


_PROPERTIES = {
    "DisplayName": N_("Display name"),
    "GivenName": N_("Given name"),
    "Surname": N_("Surname"),
    "PreferredLanguage": N_("Language"),
    "UserState": N_("State"),
    "UserType": N_("User type"),
    "Source": N_("Source"),
    "Identity": N_("Identity"),
    "AcceptedOn": N_("Accepted on"),
    "Application": N_("Application"),
    "Group": N_("Group"),
    "Role": N_("Role"),
    "Sponsor": N_("Sponsor"),
    "ValidUntil": N_("Valid until"),
    "AccountEnabled": N_("May sign in"),
    "CompanyName": N_("Company"),
    "JobTitle": N_("Job title"),
    "MobilePhone": N_("Mobile phone"),
    "Department": N_("Department"),
    "UsageLocation": N_("Country"),
    "OtherMails": N_("Other mail addresses"),
    "ShowInAddressList": N_("Shown in the address list"),
    "InvitedAddress": N_("Invited address"),
    "StsRefreshTokensValidFrom": N_("Sessions valid from"),
    "PolicyDetails": N_("Domain list"),
    "LandingPages": N_("Landing pages"),
    "InvitationDays": N_("Days until an invitation expires"),
    "KeepTypedNames": N_("Keep typed names"),
    "GuestsMayLeave": N_("Guests may leave"),
    "AllowInvitesFrom": N_("Who may invite"),
    "GuestAccess": N_("What guests see"),
    "Description": N_("Description"),
    "Owner": N_("Owner"),
}


def _property(name: str) -> str:
    words = _PROPERTIES.get(name)
    return name if words is None else gettext(words)


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
