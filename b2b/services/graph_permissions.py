"""Microsoft Graph as a resource: its well-known ids, and the permissions that can be granted on it.

Names and ids are those of the real service, so that scripts which carry them work unchanged; the
words are ours.
"""

from dataclasses import dataclass
from uuid import UUID

from b2b.errors import N_

APP_ID = UUID("00000003-0000-0000-c000-000000000000")
"""Graph's client id in every tenant."""
OWNER = UUID("f8cdef31-a31e-4b4a-93e4-5f571e91255a")
"""The tenant that Microsoft's own applications are registered in."""
NAME = "Microsoft Graph"
URI = "https://graph.microsoft.com"


@dataclass(frozen=True)
class Permission:
    """One name, and its id for people's tokens (scope), for programs' own (role), or both."""

    value: str
    words: str
    scope: UUID | None = None
    role: UUID | None = None
    admins_only: bool = False
    """An administrator has to consent to the scope; to a role always."""


def _permission(
    value: str, words: str, scope: str | None, role: str | None, *, admins_only: bool = True
) -> Permission:
    return Permission(
        value,
        words,
        None if scope is None else UUID(scope),
        None if role is None else UUID(role),
        admins_only,
    )


PERMISSIONS = (
    _permission(
        "openid", N_("Sign you in"), "37f7f235-527c-4136-accd-4a02d197296e", None, admins_only=False
    ),
    _permission(
        "profile",
        N_("See your name"),
        "14dad69e-099b-42c9-810b-d002981feec1",
        None,
        admins_only=False,
    ),
    _permission(
        "email",
        N_("See your e-mail address"),
        "64a6cdd6-aab1-4aaf-94b8-3cc8405e90d0",
        None,
        admins_only=False,
    ),
    _permission(
        "offline_access",
        N_("Go on working while you are not there"),
        "7427e0e9-2fba-42fe-b0c0-848c9e6a8182",
        None,
        admins_only=False,
    ),
    _permission(
        "User.Read",
        N_("Sign you in and read your profile"),
        "e1fe6dd8-ba31-4d61-89e7-88639da4683d",
        None,
        admins_only=False,
    ),
    _permission(
        "User.ReadWrite",
        N_("Read and change your profile"),
        "b4e74841-8e56-480b-be8b-910348b18b4c",
        None,
        admins_only=False,
    ),
    _permission(
        "User.ReadBasic.All",
        N_("Read everybody’s basic profile"),
        "b340eb25-3456-403f-be2f-af7a0d370277",
        "97235f07-e226-4f63-ace3-39588e11d3a1",
        admins_only=False,
    ),
    _permission(
        "User.Read.All",
        N_("Read everybody’s full profile"),
        "a154be20-db9c-4678-8ab7-66f6cc099a59",
        "df021288-bdef-4463-88db-98f22de89214",
    ),
    _permission(
        "User.ReadWrite.All",
        N_("Read and change everybody’s profile"),
        "204e0828-b5ca-4ad8-b9f3-f32a958e7cc4",
        "741f803b-c850-494e-b5df-cde7c675a1ca",
    ),
    _permission(
        "User.Invite.All",
        N_("Invite guests to the organisation"),
        "63dd7cd9-b489-4adf-a28c-ac38b9a0f962",
        "09850681-111b-4a89-9bed-3f2cae46d706",
    ),
    _permission(
        "User.EnableDisableAccount.All",
        N_("Block and unblock people"),
        "f92e74e7-2563-467f-9dd0-902688cb5863",
        "3011c876-62b7-4ada-afa2-506cbbecc68c",
    ),
    _permission(
        "User.RevokeSessions.All",
        N_("Sign people out everywhere"),
        "fc30e98b-8810-4501-81f5-c20a3196387b",
        "77f3a031-c388-4f99-b373-dc68676a979e",
    ),
    _permission(
        "User.ManageIdentities.All",
        N_("Manage how people sign in"),
        "637d7bec-b31e-4deb-acc9-24275642a2c9",
        "c529cfca-c91b-489c-af2b-d92990b66ce6",
    ),
    _permission(
        "User.DeleteRestore.All",
        N_("Delete and restore people"),
        "4bb440cd-2cf2-4f90-8004-aa2acd2537c5",
        "eccc023d-eccf-4e7b-9683-8813ab36cecc",
    ),
    _permission("Group.Create", N_("Make groups"), None, "bf7b1a76-6e77-406b-b258-bf5c7720e98f"),
    _permission(
        "Group.Read.All",
        N_("Read all groups"),
        "5f8c59db-677d-491f-a6b8-5f174b11ec1d",
        "5b567255-7703-4780-807c-7be8301ae99b",
    ),
    _permission(
        "Group.ReadWrite.All",
        N_("Read and change all groups"),
        "4e46008b-f24c-477d-8fff-7bb4ec7aafe0",
        "62a82d76-70ea-41e2-9197-370581804d09",
    ),
    _permission(
        "GroupMember.Read.All",
        N_("Read who is in which group"),
        "bc024368-1153-4739-b217-4326f2e966d0",
        "98830695-27a2-44f7-8c18-0c3ebc9698f6",
    ),
    _permission(
        "GroupMember.ReadWrite.All",
        N_("Read and change who is in which group"),
        "f81125ac-d3b7-4573-a3b2-7099cc39df9e",
        "dbaae8cf-10b5-4b86-a4a1-f871c94c6695",
    ),
    _permission(
        "Member.Read.Hidden",
        N_("Read hidden memberships"),
        "f6a3db3e-f7e8-4ed2-a414-557c8c9830be",
        "658aa5d8-239f-45c4-aa12-864f4fc7e490",
    ),
    _permission(
        "Directory.Read.All",
        N_("Read the directory"),
        "06da0dbc-49e2-44d2-8312-53f166ab848a",
        "7ab1d382-f21e-4acd-a863-ba3e13f7da61",
    ),
    _permission(
        "Directory.ReadWrite.All",
        N_("Read and change the directory"),
        "c5366453-9fb0-48a5-a156-24f0c49a4b84",
        "19dbc75e-c2e2-444c-a770-ec69d8559fc7",
    ),
    _permission(
        "Directory.AccessAsUser.All",
        N_("Do in the directory what you may do"),
        "0e263e50-5827-48a4-b97c-d940288653c7",
        None,
    ),
    _permission(
        "Application.Read.All",
        N_("Read all applications"),
        "c79f8feb-a9db-4090-85f9-90d820caa0eb",
        "9a5d68dd-52b0-4cc2-bd40-abcf44ac3a30",
    ),
    _permission(
        "Application.ReadWrite.All",
        N_("Read and change all applications"),
        "bdfbf15f-ee85-4955-8675-146e8e5296b5",
        "1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9",
    ),
    _permission(
        "Application.ReadWrite.OwnedBy",
        N_("Manage applications that it makes or owns"),
        None,
        "18a4783c-866b-4cc7-a460-3d5e5662c884",
    ),
    _permission(
        "AppRoleAssignment.ReadWrite.All",
        N_("Assign application permissions and roles"),
        "84bccea3-f856-4a8a-967b-dbe0a3d53a64",
        "06b708a9-e830-4db3-a914-8e69da51d44f",
    ),
    _permission(
        "DelegatedPermissionGrant.Read.All",
        N_("Read all delegated permissions"),
        "a197cdc4-a8e8-4d49-9d35-4ca7c83887b4",
        "81b4724a-58aa-41c1-8a55-84ef97466587",
    ),
    _permission(
        "DelegatedPermissionGrant.ReadWrite.All",
        N_("Grant and withdraw delegated permissions"),
        "41ce6ca6-6826-4807-84f1-1c82854f7ee5",
        "8e8e4742-1d95-4f68-9d56-6ee75648c72a",
    ),
    _permission(
        "AuditLog.Read.All",
        N_("Read the audit and sign-in logs"),
        "e4c9e354-4dc5-45b8-9e7c-e1393b0b1a20",
        "b0afded3-3588-46d8-8b3d-9842eff778da",
    ),
    _permission(
        "Reports.Read.All",
        N_("Read usage reports"),
        "02e97553-ed7b-43d0-ab3c-f8bace0d040c",
        "230c1aed-a721-4c5d-9cb4-a90514e508ef",
    ),
    _permission(
        "Policy.Read.All",
        N_("Read the organisation’s policies"),
        "572fea84-0151-49b2-9301-11cb16974376",
        "246dd0d5-5bd0-4def-940b-0421030a5b68",
    ),
    _permission(
        "Policy.ReadWrite.Authorization",
        N_("Change who may invite and what guests see"),
        "edd3c878-b384-41fd-95ad-e7407dd775be",
        "fb221be6-99f2-473f-bd32-01c6a0e9ca3b",
    ),
    _permission(
        "Policy.ReadWrite.CrossTenantAccess",
        N_("Change how the organisation works with others"),
        "014b43d0-6ed4-4fc6-84dc-4b6f7bae7d85",
        "338163d7-f101-4c92-94ba-ca46fe52447c",
    ),
    _permission(
        "RoleManagement.Read.Directory",
        N_("Read who holds which role"),
        "741c54c3-0c1e-44a1-818b-3f97ab4e8c83",
        "483bed4a-2ad3-4361-a73b-c83ccdbdc53c",
    ),
    _permission(
        "RoleManagement.ReadWrite.Directory",
        N_("Change who holds which role"),
        "d01b97e9-cbc0-49fe-810a-750afd5527a3",
        "9e3f62cf-ca93-4989-b6ce-bf83c28f9fe8",
    ),
    _permission(
        "Organization.Read.All",
        N_("Read about the organisation"),
        "4908d5b9-3fb2-4b1e-9336-1888b7937185",
        "498476ce-e0fe-48b0-b801-37ba7e2685c6",
    ),
    _permission(
        "Organization.ReadWrite.All",
        N_("Read and change the organisation’s settings"),
        "46ca0847-7e6b-426e-9775-ea810a948356",
        "292d869f-3427-49a8-9dab-8c70152b74e9",
    ),
    _permission(
        "OrganizationalBranding.Read.All",
        N_("Read the organisation’s branding"),
        "9082f138-6f02-4f3a-9f4d-5f3c2ce5c688",
        "eb76ac34-0d62-4454-b97c-185e4250dc20",
    ),
    _permission(
        "OrganizationalBranding.ReadWrite.All",
        N_("Read and change the organisation’s branding"),
        "15ce63de-b141-4c9a-a9a5-241bf27c6aaf",
        "d2ebfbc1-a5f8-424b-83a6-56ab5927a73c",
    ),
    _permission(
        "Domain.Read.All",
        N_("Read the organisation’s domains"),
        "2f9ee017-59c1-4f1d-9472-bd5529a7b311",
        "dbb9058a-0e50-45d7-ae91-66909b5d4664",
    ),
    _permission(
        "Domain.ReadWrite.All",
        N_("Read and change the organisation’s domains"),
        "0b5d694c-a244-4bde-86e6-eb5cd07730fe",
        "7e05723c-0bb0-42da-be95-ae9f08a6e53c",
    ),
    _permission(
        "IdentityProvider.Read.All",
        N_("Read identity providers"),
        "43781733-b5a7-4d1b-98f4-e8edff23e1a9",
        "e321f0bb-e7f7-481e-bb28-e3b0b32d4bd0",
    ),
    _permission(
        "IdentityProvider.ReadWrite.All",
        N_("Read and change identity providers"),
        "f13ce604-1677-429f-90bd-8a10b9f01325",
        "90db2b9a-d928-4d33-a4dd-8442ae3d41e4",
    ),
    _permission(
        "CrossTenantInformation.ReadBasic.All",
        N_("Read basic facts about other organisations"),
        "81594d25-e88e-49cf-ac8c-fecbff49f994",
        "cac88765-0581-4025-9725-5ebc13f729ee",
    ),
)
SCOPES = {one.value: one for one in PERMISSIONS if one.scope is not None}
ROLES = {one.value: one for one in PERMISSIONS if one.role is not None}
