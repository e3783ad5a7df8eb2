"""Who may do what: one table that pages, API, jobs and command line all ask."""

import enum

from b2b.actor import Actor
from b2b.errors import N_, Denied
from b2b.models import ActorKind, Role


class Action(enum.StrEnum):
    """Something that can be allowed. Inviting also asks the tenant's policy (services.policies)."""

    READ_DIRECTORY = "directory.read"
    READ_AUDIT = "audit.read"
    INVITE = "users.invite"
    INVITE_MEMBER = "users.invite_member"
    MANAGE_INVITATIONS = "invitations.manage"
    UPDATE_USER = "users.update"
    BLOCK_USER = "users.block"
    DELETE_USER = "users.delete"
    RESET_REDEMPTION = "users.reset_redemption"
    REVOKE_SESSIONS = "users.revoke_sessions"
    ASSIGN_ROLE = "roles.assign"
    MANAGE_POLICY = "policy.manage"
    CREATE_GROUP = "groups.create"
    MANAGE_GROUPS = "groups.manage"
    MANAGE_APPLICATIONS = "applications.manage"
    MANAGE_BRANDING = "branding.manage"
    MANAGE_MAIL = "mail.manage"


# groups-apps-roles.md, section 5: members make groups of their own.
_MEMBER = frozenset({Action.READ_DIRECTORY, Action.INVITE, Action.CREATE_GROUP})
_GUEST = frozenset({Action.INVITE})
_USER_ADMINISTRATION = frozenset(
    {
        Action.MANAGE_INVITATIONS,
        Action.UPDATE_USER,
        Action.BLOCK_USER,
        Action.DELETE_USER,
        Action.RESET_REDEMPTION,
        Action.REVOKE_SESSIONS,
        Action.CREATE_GROUP,
        Action.MANAGE_GROUPS,
        Action.READ_AUDIT,
        Action.READ_DIRECTORY,
        Action.INVITE,
    }
)
_APPLICATION_ADMINISTRATION = frozenset({Action.READ_DIRECTORY, Action.MANAGE_APPLICATIONS})
_BY_ROLE: dict[Role, frozenset[Action]] = {
    Role.GLOBAL_ADMINISTRATOR: frozenset(Action),
    Role.USER_ADMINISTRATOR: _USER_ADMINISTRATION,
    Role.GUEST_INVITER: frozenset({Action.READ_DIRECTORY, Action.INVITE}),
    Role.HELPDESK_ADMINISTRATOR: frozenset(
        {
            Action.READ_DIRECTORY,
            Action.MANAGE_INVITATIONS,
            Action.RESET_REDEMPTION,
            Action.REVOKE_SESSIONS,
        }
    ),
    Role.GLOBAL_READER: frozenset({Action.READ_DIRECTORY, Action.READ_AUDIT}),
    Role.APPLICATION_ADMINISTRATOR: _APPLICATION_ADMINISTRATION,
    Role.CLOUD_APPLICATION_ADMINISTRATOR: _APPLICATION_ADMINISTRATION,
}
# What Graph's permissions allow; Graph's routes name which of them they take. A program acts within
# them, and in somebody's name within his own rights as well (threats.md, API-2).
_USERS, _DIRECTORY, _AS_USER = (
    "User.ReadWrite.All",
    "Directory.ReadWrite.All",
    "Directory.AccessAsUser.All",
)
_BY_PERMISSION: dict[Action, frozenset[str]] = {
    Action.READ_DIRECTORY: frozenset(
        {
            "User.ReadBasic.All", "User.Read.All", _USERS, "Group.Read.All", "Group.ReadWrite.All",
            "GroupMember.Read.All", "GroupMember.ReadWrite.All", "Directory.Read.All", _DIRECTORY,
            _AS_USER, "Application.Read.All", "Application.ReadWrite.All",
            "AppRoleAssignment.ReadWrite.All", "DelegatedPermissionGrant.Read.All",
            "DelegatedPermissionGrant.ReadWrite.All", "RoleManagement.Read.Directory",
            "RoleManagement.ReadWrite.Directory",
        }
    ),
    Action.READ_AUDIT: frozenset({"AuditLog.Read.All"}),
    Action.INVITE: frozenset({"User.Invite.All", _USERS, _DIRECTORY, _AS_USER}),
    Action.INVITE_MEMBER: frozenset({_USERS, _DIRECTORY, _AS_USER}),
    Action.MANAGE_INVITATIONS: frozenset({_USERS, _DIRECTORY, _AS_USER}),
    Action.UPDATE_USER: frozenset({_USERS, _DIRECTORY, _AS_USER}),
    Action.BLOCK_USER: frozenset(
        {"User.EnableDisableAccount.All", _USERS, _DIRECTORY, _AS_USER}
    ),
    Action.DELETE_USER: frozenset({"User.DeleteRestore.All", _USERS, _AS_USER}),
    Action.RESET_REDEMPTION: frozenset({_USERS, _DIRECTORY, _AS_USER}),
    Action.REVOKE_SESSIONS: frozenset({"User.RevokeSessions.All", _USERS, _DIRECTORY, _AS_USER}),
    Action.ASSIGN_ROLE: frozenset({"RoleManagement.ReadWrite.Directory"}),
    Action.MANAGE_POLICY: frozenset(
        {"Policy.ReadWrite.Authorization", "Policy.ReadWrite.CrossTenantAccess"}
    ),
    Action.CREATE_GROUP: frozenset({"Group.Create", "Group.ReadWrite.All", _DIRECTORY, _AS_USER}),
    Action.MANAGE_GROUPS: frozenset(
        {"GroupMember.ReadWrite.All", "Group.ReadWrite.All", _DIRECTORY, _AS_USER}
    ),
    Action.MANAGE_APPLICATIONS: frozenset(
        {
            "Application.ReadWrite.All", "AppRoleAssignment.ReadWrite.All",
            "DelegatedPermissionGrant.ReadWrite.All", _DIRECTORY, _AS_USER,
        }
    ),
    Action.MANAGE_BRANDING: frozenset(
        {"OrganizationalBranding.ReadWrite.All", "Organization.ReadWrite.All"}
    ),
    Action.MANAGE_MAIL: frozenset(),
}  # fmt: skip
# The least role that gives each action, named when it is refused.
_LEAST_ROLE: dict[Action, Role] = {
    Action.READ_DIRECTORY: Role.GLOBAL_READER,
    Action.READ_AUDIT: Role.GLOBAL_READER,
    Action.INVITE: Role.GUEST_INVITER,
    Action.INVITE_MEMBER: Role.GLOBAL_ADMINISTRATOR,
    Action.MANAGE_INVITATIONS: Role.HELPDESK_ADMINISTRATOR,
    Action.UPDATE_USER: Role.USER_ADMINISTRATOR,
    Action.BLOCK_USER: Role.USER_ADMINISTRATOR,
    Action.DELETE_USER: Role.USER_ADMINISTRATOR,
    Action.RESET_REDEMPTION: Role.HELPDESK_ADMINISTRATOR,
    Action.REVOKE_SESSIONS: Role.HELPDESK_ADMINISTRATOR,
    Action.ASSIGN_ROLE: Role.GLOBAL_ADMINISTRATOR,
    Action.MANAGE_POLICY: Role.GLOBAL_ADMINISTRATOR,
    Action.CREATE_GROUP: Role.USER_ADMINISTRATOR,
    Action.MANAGE_GROUPS: Role.USER_ADMINISTRATOR,
    Action.MANAGE_APPLICATIONS: Role.CLOUD_APPLICATION_ADMINISTRATOR,
    Action.MANAGE_BRANDING: Role.GLOBAL_ADMINISTRATOR,
    Action.MANAGE_MAIL: Role.GLOBAL_ADMINISTRATOR,
}


def allows(actor: Actor, action: Action) -> bool:
    """Whether *actor* may do *action* in its tenant. The system may do everything."""
    if actor.kind is ActorKind.SYSTEM:
        return True
    if actor.granted is not None and not actor.granted & _BY_PERMISSION[action]:
        return False
    if actor.kind is ActorKind.APPLICATION:
        return actor.granted is not None
    if any(action in _BY_ROLE[role] for role in actor.roles):
        return True
    return action in (_GUEST if actor.is_guest else _MEMBER)


def require(actor: Actor, action: Action) -> None:
    """Raise Denied, naming the least role that would help, unless *actor* may do *action*."""
    if not allows(actor, action):
        if actor.kind is ActorKind.APPLICATION:
            raise Denied(N_("The program has not been granted a permission for this."))
        role = least_role(action).display_name
        raise Denied(N_("This needs the role %(role)s."), role=role)


def of_role(role: Role) -> frozenset[Action]:
    """What *role* gives."""
    return _BY_ROLE[role]


def least_role(action: Action) -> Role:
    """The role with the fewest powers that gives *action*."""
    return _LEAST_ROLE[action]


def is_admin(actor: Actor) -> bool:
    """Whether *actor* holds any directory role at all."""
    return actor.kind is ActorKind.SYSTEM or bool(actor.roles)
