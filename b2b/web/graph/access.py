"""Which of Graph's permissions open a route: one value for each row of the published tables, the
least privileged first (groups-apps-roles.md, invitations.md).
"""

from dataclasses import dataclass

from b2b.services import graph_permissions
from b2b.services.tokens import Access


@dataclass(frozen=True)
class Needs:
    """Any one of these suffices; nothing in a column: not for tokens of that kind."""

    delegated: tuple[str, ...] = ()
    """Scopes of a token that a person stands behind."""
    application: tuple[str, ...] = ()
    """App roles of a program's own token."""
    anybody: bool = False
    """Every good token will do."""

    def __post_init__(self) -> None:
        unknown = set(self.delegated) - graph_permissions.SCOPES.keys()
        unknown |= set(self.application) - graph_permissions.ROLES.keys()
        if unknown:
            raise ValueError(f"no such permissions of Graph: {sorted(unknown)}")

    def of(self, access: Access) -> tuple[str, ...]:
        """What suffices for a token of this kind."""
        return self.application if access.user is None else self.delegated

    def met_by(self, access: Access) -> bool:
        """Whether the token holds one of them."""
        if self.anybody:
            return True
        held = access.roles if access.user is None else access.scope
        return not held.isdisjoint(self.of(access))


def both(*names: str, delegated: tuple[str, ...] = (), application: tuple[str, ...] = ()) -> Needs:
    """The same *names* for both kinds of token, and some for one of them."""
    return Needs(names + delegated, names + application)


_AS_USER = ("Directory.AccessAsUser.All",)
_DIRECTORY_READ = ("Directory.Read.All", "Directory.ReadWrite.All")

INVITE = both("User.Invite.All", "User.ReadWrite.All", "Directory.ReadWrite.All")
READ_USERS = both(
    "User.ReadBasic.All", "User.Read.All", "User.ReadWrite.All", *_DIRECTORY_READ,
    delegated=_AS_USER,
)  # fmt: skip
READ_ME = Needs(("User.Read", "User.ReadWrite", *READ_USERS.delegated))
READ_USER = Needs(("User.Read", "User.ReadWrite", *READ_USERS.delegated), READ_USERS.application)
"""One person: with `User.Read` oneself."""
READ_FULL_USERS = both("User.Read.All", "User.ReadWrite.All", *_DIRECTORY_READ, delegated=_AS_USER)
CREATE_USER = both("User.ReadWrite.All", "Directory.ReadWrite.All", delegated=_AS_USER)
UPDATE_USER = Needs(
    ("User.ReadWrite", "User.EnableDisableAccount.All", *CREATE_USER.delegated),
    ("User.EnableDisableAccount.All", *CREATE_USER.application),
)
DELETE_USER = both("User.DeleteRestore.All", "User.ReadWrite.All", delegated=_AS_USER)
REVOKE_SESSIONS = Needs(
    ("User.RevokeSessions.All", "User.ReadWrite", "User.ReadWrite.All", "Directory.ReadWrite.All",
     *_AS_USER),
    ("User.RevokeSessions.All", "User.ReadWrite.All", "Directory.ReadWrite.All"),
)  # fmt: skip
READ_MEMBERSHIPS = Needs(
    ("User.Read", "User.ReadWrite", "GroupMember.Read.All", "User.Read.All", "Group.Read.All",
     "Group.ReadWrite.All", "GroupMember.ReadWrite.All", *_DIRECTORY_READ, *_AS_USER),
    ("GroupMember.Read.All", "User.Read.All", "Group.Read.All", "Group.ReadWrite.All",
     "GroupMember.ReadWrite.All", *_DIRECTORY_READ),
)  # fmt: skip
READ_GROUPS = both(
    "GroupMember.Read.All", "Group.Read.All", "GroupMember.ReadWrite.All", "Group.ReadWrite.All",
    *_DIRECTORY_READ, delegated=_AS_USER,
)  # fmt: skip
CREATE_GROUP = both(
    "Group.ReadWrite.All", "Directory.ReadWrite.All",
    delegated=_AS_USER, application=("Group.Create",),
)  # fmt: skip
CHANGE_GROUP = both("Group.ReadWrite.All", "Directory.ReadWrite.All", delegated=_AS_USER)
CHANGE_MEMBERS = both(
    "GroupMember.ReadWrite.All", "Group.ReadWrite.All", "Directory.ReadWrite.All",
    delegated=_AS_USER,
)  # fmt: skip
READ_OBJECTS = both(*_DIRECTORY_READ, "User.Read.All", "User.ReadWrite.All", "Group.Read.All",
    "Group.ReadWrite.All", "GroupMember.Read.All", "Application.Read.All",
    delegated=("User.ReadBasic.All", *_AS_USER), application=("User.ReadBasic.All",),
)  # fmt: skip
READ_DELETED = both(
    "User.Read.All", "User.ReadWrite.All", "User.DeleteRestore.All", "Group.Read.All",
    "Group.ReadWrite.All", *_DIRECTORY_READ, delegated=_AS_USER,
)  # fmt: skip
RESTORE = both(
    "User.DeleteRestore.All", "User.ReadWrite.All", "Group.ReadWrite.All", delegated=_AS_USER
)
READ_ASSIGNMENTS = both(
    *_DIRECTORY_READ, "Application.Read.All", "Application.ReadWrite.All",
    "AppRoleAssignment.ReadWrite.All", delegated=_AS_USER,
)  # fmt: skip
ASSIGN_LICENSES = both("User.ReadWrite.All", "Directory.ReadWrite.All", delegated=_AS_USER)
READ_APPLICATIONS = both(
    "Application.Read.All", "Application.ReadWrite.All", *_DIRECTORY_READ, delegated=_AS_USER
)
CHANGE_APPLICATIONS = both(
    "Application.ReadWrite.All", "Directory.ReadWrite.All", delegated=_AS_USER
)
CHANGE_ASSIGNMENTS = both(
    "AppRoleAssignment.ReadWrite.All", "Directory.ReadWrite.All", delegated=_AS_USER
)
READ_GRANTS = both(
    "DelegatedPermissionGrant.Read.All", "DelegatedPermissionGrant.ReadWrite.All",
    *_DIRECTORY_READ, delegated=_AS_USER,
)  # fmt: skip
CHANGE_GRANTS = both(
    "DelegatedPermissionGrant.ReadWrite.All", "Directory.ReadWrite.All", delegated=_AS_USER
)
READ_ROLES = both(
    "RoleManagement.Read.Directory", "RoleManagement.ReadWrite.Directory", *_DIRECTORY_READ,
    delegated=_AS_USER,
)  # fmt: skip
CHANGE_ROLES = both("RoleManagement.ReadWrite.Directory")
READ_ORGANISATION = Needs(
    ("User.Read", "User.ReadWrite", "Organization.Read.All", "Organization.ReadWrite.All",
     *_DIRECTORY_READ, *_AS_USER),
    ("Organization.Read.All", "Organization.ReadWrite.All", *_DIRECTORY_READ),
)  # fmt: skip
CHANGE_ORGANISATION = both("Organization.ReadWrite.All")
READ_BRANDING = both(
    "OrganizationalBranding.Read.All", "OrganizationalBranding.ReadWrite.All",
    "Organization.Read.All", "Organization.ReadWrite.All", delegated=("User.Read",),
)  # fmt: skip
CHANGE_BRANDING = both("OrganizationalBranding.ReadWrite.All", "Organization.ReadWrite.All")
READ_DOMAINS = both("Domain.Read.All", "Domain.ReadWrite.All", *_DIRECTORY_READ, delegated=_AS_USER)
READ_POLICY = both("Policy.Read.All", "Policy.ReadWrite.Authorization")
CHANGE_POLICY = both("Policy.ReadWrite.Authorization")
READ_LICENCES = both(
    "Organization.Read.All", "Organization.ReadWrite.All", *_DIRECTORY_READ, delegated=_AS_USER
)
READ_LOGS = both("AuditLog.Read.All")
ANYBODY = Needs(anybody=True)
"""For what is judged request by request, such as a batch."""
