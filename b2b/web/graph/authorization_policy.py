"""`/policies/authorizationPolicy`: who may invite, and what guests see (groups-apps-roles.md,
section 4).
"""

from typing import Any

from b2b.models import AllowInvitesFrom, GuestAccess, TenantPolicy
from b2b.services import audit, policies
from b2b.web.graph import access, fixed, resources, seeing, values
from b2b.web.graph.calls import NO_CONTENT, Answer, Call, bad, route
from b2b.web.graph.resources import BOOLEAN, GUID, INSTANT, STRING, STRINGS, Kind, Property

GUEST_ROLES = {
    GuestAccess.SAME_AS_MEMBERS: "a0b1b346-4d3e-4e8b-98f8-753987be4970",
    GuestAccess.LIMITED: "10dae51f-b6af-4016-8d66-8c2a99b929b3",
    GuestAccess.RESTRICTED: "2af84b1e-32c8-42b7-82bc-daa82404023b",
}
_ACCESS = {role: level for level, role in GUEST_ROLES.items()}


def _told(name: str, read: Any, type_: str = STRING, **facts: Any) -> Property:
    return Property(name, type_, default=True, read=read, **facts)


def _members(row: TenantPolicy) -> dict[str, Any]:
    own = ["ManagePermissionGrantsForSelf.microsoft-user-default-low"]
    return {
        "allowedToCreateApps": False,
        "allowedToCreateSecurityGroups": True,
        "allowedToCreateTenants": False,
        "allowedToReadBitlockerKeysForOwnedDevice": False,
        "allowedToReadOtherUsers": True,
        "permissionGrantPoliciesAssigned": own if row.users_may_consent else [],
    }


POLICY = resources.kind(
    Kind(
        "authorizationPolicy",
        "policies/authorizationPolicy",
        None,
        resources.table(
            _told("id", lambda _: "authorizationPolicy"),
            _told("deletedDateTime", lambda _: None, INSTANT),
            _told("allowEmailVerifiedUsersToJoinOrganization", lambda _: False, BOOLEAN,
                  write="fixed:allowEmailVerifiedUsersToJoinOrganization"),
            _told("allowInvitesFrom", lambda row: str(row.allow_invites_from),
                  write="allow_invites_from"),
            _told("allowUserConsentForRiskyApps", lambda _: None, BOOLEAN),
            _told("allowedToSignUpEmailBasedSubscriptions", lambda _: False, BOOLEAN,
                  write="fixed:allowedToSignUpEmailBasedSubscriptions"),
            _told("allowedToUseSSPR", lambda _: False, BOOLEAN, write="fixed:allowedToUseSSPR"),
            _told("blockMsolPowerShell", lambda _: False, BOOLEAN,
                  write="fixed:blockMsolPowerShell"),
            _told("defaultUserRolePermissions", _members, "graph.defaultUserRolePermissions",
                  write="members"),
            _told("description", lambda _: "Who may invite, and what guests see."),
            _told("displayName", lambda _: "Authorization Policy"),
            _told("enabledPreviewFeatures", lambda _: [], STRINGS),
            _told("guestUserRoleId", lambda row: GUEST_ROLES[row.guest_access],
                  write="guest_role"),
            Property("permissionGrantPolicyIdsAssignedToDefaultUserRole", STRINGS,
                     read=lambda row: _members(row)["permissionGrantPoliciesAssigned"]),
            Property("tenantId", GUID, read=lambda row: str(row.tenant_id)),
        ),
    )
)  # fmt: skip
_PATHS = (
    "policies/authorizationPolicy",
    "policies/authorizationPolicy/authorizationPolicy",
)


@route("GET", *_PATHS, needs=access.READ_POLICY, returns="authorizationPolicy")
def get_policy(call: Call) -> Answer:
    """Who may invite, and what guests see."""
    seeing.require_member(call)
    found = policies.of(call.session, call.actor)
    return fixed.entity(call, POLICY, found, context="policies/authorizationPolicy/$entity")


@route("PATCH", *_PATHS, needs=access.CHANGE_POLICY, takes="authorizationPolicy")
def update_policy(call: Call) -> Answer:
    """Say who may invite, and what guests see; what the product decides for itself stays."""
    body = call.body()
    wanted = values.changes(POLICY, body)
    policy = policies.of(call.session, call.actor)
    audit.lock(call.session, call.actor.tenant_id)
    call.session.refresh(policy)
    for name, value in wanted.items():
        if name.startswith("fixed:") and value:
            raise bad(f"{name[6:]} is always false here.", target=name[6:])
    members = _members(policy)
    for name, value in (wanted.get("members") or {}).items():
        if name not in members and not name.startswith("@"):
            raise values.unknown("defaultUserRolePermissions", name)
        if members.get(name) != value:
            raise bad(f"{name} cannot be changed here.", target="defaultUserRolePermissions")
    allow, guests = policy.allow_invites_from, policy.guest_access
    if "allow_invites_from" in wanted:
        if wanted["allow_invites_from"] not in set(AllowInvitesFrom):
            raise bad(
                f"allowInvitesFrom is one of {', '.join(AllowInvitesFrom)}.",
                target="allowInvitesFrom",
            )
        allow = AllowInvitesFrom(wanted["allow_invites_from"])
    if "guest_role" in wanted:
        level = _ACCESS.get(str(wanted["guest_role"]).lower())
        if level is None:
            raise bad("guestUserRoleId is one of the three published ids.",
                      target="guestUserRoleId")  # fmt: skip
        guests = level
    policies.change(
        call.session,
        call.actor,
        policies.Settings(
            allow_invites_from=allow,
            guest_access=guests,
            domain_list=policy.domain_list,
            domains=policy.domains,
            landing_pages=policy.landing_pages,
            landing_hosts=policy.landing_hosts,
            invitation_days=policy.invitation_days,
            keep_typed_names=policy.keep_typed_names,
            guests_may_leave=policy.guests_may_leave,
        ),
    )
    return NO_CONTENT
