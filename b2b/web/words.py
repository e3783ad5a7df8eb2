"""Words that are stored, or come as published names, in the reader's language.

English readers get them as they are stored; the catalogues hold what other readers get.
"""

from flask_babel import gettext

from b2b.errors import N_, Refused
from b2b.models import AllowInvitesFrom, GuestAccess
from b2b.services import recovery

INVITING = {
    AllowInvitesFrom.EVERYONE: N_("Everybody, guests included"),
    AllowInvitesFrom.ADMINS_GUEST_INVITERS_AND_ALL_MEMBERS: N_("All members"),
    AllowInvitesFrom.ADMINS_AND_GUEST_INVITERS: N_("Administrators and Guest Inviters"),
    AllowInvitesFrom.NONE: N_("Nobody, administrators included"),
}
SEEING = {
    GuestAccess.SAME_AS_MEMBERS: N_("As members"),
    GuestAccess.LIMITED: N_("Limited"),
    GuestAccess.RESTRICTED: N_("Only themselves"),
}

_STORED = frozenset(
    {
        # Directory roles.
        N_("Global Administrator"),
        N_("User Administrator"),
        N_("Guest Inviter"),
        N_("Helpdesk Administrator"),
        N_("Global Reader"),
        N_("Application Administrator"),
        N_("Cloud Application Administrator"),
        # Categories and targets of the audit log.
        N_("UserManagement"),
        N_("GroupManagement"),
        N_("ApplicationManagement"),
        N_("RoleManagement"),
        N_("DirectoryManagement"),
        N_("Policy"),
        N_("User"),
        N_("Group"),
        N_("ServicePrincipal"),
        N_("Application"),
        N_("Tenant"),
        N_("Mail"),
        # States, types and sources, before and after.
        N_("PendingAcceptance"),
        N_("Accepted"),
        N_("Guest"),
        N_("Member"),
        N_("Invited user"),
        N_("External Azure Active Directory"),
        N_("Microsoft Account"),
        N_("Windows Server Active Directory"),
        N_("Azure Active Directory"),
        N_("Email one-time passcode"),
        # Who acts where nobody does.
        N_("Operator"),
        N_("Set-up"),
        # What was signed in to, where it is no application.
        N_("Sign-in"),
        N_("My Apps"),
    }
)

_REFUSALS = {
    50014: N_("The invitation was taken back or is over."),
    50020: N_("The account is neither a member nor a guest here."),
    50034: N_("Nobody here has this sign-in name."),
    50057: N_("The account is blocked."),
    50105: N_("The application is not assigned to this account."),
    50126: N_("The password is wrong."),
    65001: N_("The permissions have not been accepted yet."),
    65004: N_("The permissions were declined."),
    7000112: N_("The application is switched off."),
}


def stored(value: object) -> str:
    """A stored word as its reader says it; anything else as it is."""
    text = getattr(value, "display_name", None) or str(value)
    return gettext(text) if text in _STORED else text


def reason(code: int, logged: str | None) -> str:
    """Why a sign-in was refused: the logged sentence, which is English, or the words of its code
    where the reader's language has them.
    """
    words = _REFUSALS.get(code)
    if words is not None and (translated := gettext(words)) != words:
        return translated
    return logged or ""


def said(error: Refused) -> str:
    """The sentence of *error* in the reader's language."""
    values = error.values
    if "role" in values:
        values = {**values, "role": stored(values["role"])}
    return gettext(error.template, **values)


def own_reason(reason: str) -> str | None:
    """Why a mail was not sent, if that is ours to say; None for what the mail server said."""
    return gettext(reason) if reason in recovery.OWN_REASONS else None
