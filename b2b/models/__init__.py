"""The directory's tables, one aggregate a file. They know nobody: no Flask, no other room."""

from b2b.models.application import (
    DEFAULT_ACCESS,
    AppRole,
    AppRoleAssignment,
    PrincipalType,
    ServicePrincipal,
)
from b2b.models.audit import ActorKind, AuditEvent, AuditSequence, SignIn
from b2b.models.base import Base, fold, new_id
from b2b.models.group import Group, Membership
from b2b.models.invitation import Invitation
from b2b.models.job import Job, JobState
from b2b.models.mail import MailState, OutboxMessage
from b2b.models.role import DirectoryRoleAssignment, Role
from b2b.models.session import Attempts, Passcode, PasscodePurpose, Session, SetupLink
from b2b.models.tenant import (
    AllowInvitesFrom,
    Domain,
    DomainList,
    LandingPages,
    Tenant,
    TenantKind,
    TenantPolicy,
)
from b2b.models.user import (
    ExternalUserState,
    Identity,
    Password,
    Provider,
    Source,
    User,
    UserFacet,
    UserToken,
    UserType,
)

__all__ = [
    "DEFAULT_ACCESS",
    "ActorKind",
    "AllowInvitesFrom",
    "AppRole",
    "AppRoleAssignment",
    "Attempts",
    "AuditEvent",
    "AuditSequence",
    "Base",
    "DirectoryRoleAssignment",
    "Domain",
    "DomainList",
    "ExternalUserState",
    "Group",
    "Identity",
    "Invitation",
    "Job",
    "JobState",
    "LandingPages",
    "MailState",
    "Membership",
    "OutboxMessage",
    "Passcode",
    "PasscodePurpose",
    "Password",
    "PrincipalType",
    "Provider",
    "Role",
    "ServicePrincipal",
    "Session",
    "SetupLink",
    "SignIn",
    "Source",
    "Tenant",
    "TenantKind",
    "TenantPolicy",
    "User",
    "UserFacet",
    "UserToken",
    "UserType",
    "fold",
    "new_id",
]
