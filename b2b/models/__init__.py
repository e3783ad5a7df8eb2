"""The directory's tables, one aggregate a file. They know nobody: no Flask, no other room."""

from b2b.models.application import (
    DEFAULT_ACCESS,
    Application,
    AppRole,
    AppRoleAssignment,
    PrincipalType,
    ServicePrincipal,
)
from b2b.models.audit import ActorKind, AuditEvent, AuditSequence, SignIn
from b2b.models.base import Base, fold, new_id
from b2b.models.group import Group, Membership, OwnedType, Owner
from b2b.models.invitation import Invitation, InvitationStanding
from b2b.models.job import Job, JobState
from b2b.models.mail import EVERYWHERE, MailPause, MailRefusal, MailState, OutboxMessage
from b2b.models.picture import Picture, PictureKind
from b2b.models.role import DirectoryRoleAssignment, Role
from b2b.models.saved_view import SavedView
from b2b.models.session import Attempts, Passcode, PasscodePurpose, Session, SetupLink
from b2b.models.tenant import (
    AllowInvitesFrom,
    Domain,
    DomainList,
    GuestAccess,
    InvitationLayout,
    LandingPages,
    Tenant,
    TenantKind,
    TenantPolicy,
)
from b2b.models.token import AuthorizationCode, SigningKey
from b2b.models.user import (
    ExternalUserState,
    Identity,
    Password,
    Provider,
    ProxyAddress,
    Source,
    Sponsor,
    SponsorType,
    User,
    UserFacet,
    UserToken,
    UserType,
)

__all__ = [
    "DEFAULT_ACCESS",
    "EVERYWHERE",
    "ActorKind",
    "AllowInvitesFrom",
    "AppRole",
    "AppRoleAssignment",
    "Application",
    "Attempts",
    "AuditEvent",
    "AuditSequence",
    "AuthorizationCode",
    "Base",
    "DirectoryRoleAssignment",
    "Domain",
    "DomainList",
    "ExternalUserState",
    "Group",
    "GuestAccess",
    "Identity",
    "Invitation",
    "InvitationLayout",
    "InvitationStanding",
    "Job",
    "JobState",
    "LandingPages",
    "MailPause",
    "MailRefusal",
    "MailState",
    "Membership",
    "OutboxMessage",
    "OwnedType",
    "Owner",
    "Passcode",
    "PasscodePurpose",
    "Password",
    "Picture",
    "PictureKind",
    "PrincipalType",
    "Provider",
    "ProxyAddress",
    "Role",
    "SavedView",
    "ServicePrincipal",
    "Session",
    "SetupLink",
    "SignIn",
    "SigningKey",
    "Source",
    "Sponsor",
    "SponsorType",
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
