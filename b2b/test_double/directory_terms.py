"""The words of a directory file, for whoever reads one and whoever writes one."""

from datetime import datetime

from b2b.models import Invitation, InvitationStanding, Platform, Role, TenantPolicy, User
from b2b.services import invitation_states

PROFILE = {
    "givenName": "given_name",
    "surname": "surname",
    "companyName": "company_name",
    "department": "department",
    "jobTitle": "job_title",
    "mobilePhone": "mobile_phone",
    "language": "preferred_language",
}
ROLES = {role.display_name: role for role in Role}
STATES = ("pending", "accepted", "declined", "expired", "cancelled", "blocked")
PLATFORMS = {"web": Platform.WEB, "spa": Platform.SPA, "public": Platform.PUBLIC}
POLICY_FLAGS = {"keepTypedNames": "keep_typed_names", "guestsMayLeave": "guests_may_leave"}
SIGN_IN_FLAGS = {
    "passwordGrant": "password_grant",
    "deviceCodeGrant": "device_code_grant",
    "usersMayConsent": "users_may_consent",
}


def state_of(user: User, invitation: Invitation, policy: TenantPolicy, now: datetime) -> str:
    """Which of STATES somebody who was invited is in now."""
    if not user.is_pending:
        return "accepted" if user.account_enabled else "blocked"
    if invitation.standing is InvitationStanding.CANCELLED:
        return "cancelled"
    if invitation.standing is InvitationStanding.DECLINED:
        return "declined"
    ends = invitation_states.ends_at(invitation.valid_from, policy.invitation_days)
    return "expired" if ends is not None and ends <= now else "pending"
