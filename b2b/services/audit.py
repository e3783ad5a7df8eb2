"""The audit log: one call, in the transaction of the change (threats.md, REL-17)."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, bindparam, insert, select, update
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.models import AuditEvent, AuditSequence, new_id
from b2b.models.base import Id
from b2b.prepared import Prepared, run


class Activity(enum.StrEnum):
    """The vocabulary (audit-reporting.md)."""

    ADD_USER = "Add user"
    UPDATE_USER = "Update user"
    DELETE_USER = "Delete user"
    RESTORE_USER = "Restore user"
    HARD_DELETE_USER = "Hard Delete user"
    REVOKE_SESSIONS = "Update StsRefreshTokenValidFrom Timestamp"
    DISABLE_ACCOUNT = "Disable account"
    ENABLE_ACCOUNT = "Enable account"
    INVITE = "Invite external user"
    RESET = "Invite external user with reset invitation status"
    CONVERT = "Invite internal user to B2B collaboration"
    RESEND = "Resend invitation"
    EXTEND = "Extend invitation"
    CANCEL = "Cancel invitation"
    NOT_MAILED = "Email not sent, user unsubscribed"
    UNSUBSCRIBE = "Email unsubscribed"
    SUBSCRIBE = "Email subscribed"
    ADD_SPONSOR = "Add user sponsor"
    REMOVE_SPONSOR = "Remove user sponsor"
    SET_MANAGER = "Set user manager"
    REMOVE_MANAGER = "Remove user manager"
    CHANGE_LICENSE = "Change user license"
    RESET_PASSWORD = "Reset user password"
    COPY_LINK = "Copy invitation link"
    REDEEM = "Redeem external user invite"
    DECLINE = "Decline external user invite"
    ASK_AGAIN = "Ask for a new invitation"
    LEAVE = "Leave organization"
    ADD_GROUP = "Add group"
    UPDATE_GROUP = "Update group"
    DELETE_GROUP = "Delete group"
    RESTORE_GROUP = "Restore Group"
    HARD_DELETE_GROUP = "Hard Delete group"
    ADD_MEMBER = "Add member to group"
    REMOVE_MEMBER = "Remove member from group"
    ADD_GROUP_OWNER = "Add owner to group"
    REMOVE_GROUP_OWNER = "Remove owner from group"
    ASSIGN_APPLICATION = "Add app role assignment grant to user"
    UNASSIGN_APPLICATION = "Remove app role assignment from user"
    ASSIGN_APPLICATION_TO_GROUP = "Add app role assignment to group"
    UNASSIGN_APPLICATION_FROM_GROUP = "Remove app role assignment from group"
    UPDATE_APPLICATION = "Update service principal"
    ADD_APPLICATION_OWNER = "Add owner to service principal"
    REMOVE_APPLICATION_OWNER = "Remove owner from service principal"
    REGISTER_APPLICATION = "Add application"
    UPDATE_REGISTRATION = "Update application"
    DELETE_REGISTRATION = "Delete application"
    CHANGE_CREDENTIALS = "Update application – Certificates and secrets management"
    ADD_PRINCIPAL = "Add service principal"
    REMOVE_PRINCIPAL = "Remove service principal"
    CONSENT = "Consent to application"
    WITHDRAW_CONSENT = "Remove delegated permission grant"
    GIVE_PERMISSION = "Add app role assignment to service principal"
    TAKE_PERMISSION = "Remove app role assignment from service principal"
    REUSED_TOKEN = "Refresh token used twice"
    ADD_ROLE = "Add member to role"
    REMOVE_ROLE = "Remove member from role"
    UPDATE_POLICY = "Update policy"
    SET_PASSWORD = "Set password"
    CHANGE_PASSWORD = "Change password (self-service)"
    CREATE_TENANT = "Create company"
    SET_COMPANY = "Set Company Information"
    SET_BRANDING = "Set company branding"
    PAUSE_MAIL = "Pause mail delivery"
    RESUME_MAIL = "Resume mail delivery"
    TRY_MAIL = "Try mail server again"
    RETRY_MAIL = "Send mail again"
    RESTORE_BACKUP = "Restore directory from backup"
    REVOKE_KEYS = "Revoke keys"


USER_MANAGEMENT = "UserManagement"
CATEGORY = {
    Activity.ADD_GROUP: "GroupManagement",
    Activity.UPDATE_GROUP: "GroupManagement",
    Activity.DELETE_GROUP: "GroupManagement",
    Activity.RESTORE_GROUP: "GroupManagement",
    Activity.HARD_DELETE_GROUP: "GroupManagement",
    Activity.ADD_MEMBER: "GroupManagement",
    Activity.REMOVE_MEMBER: "GroupManagement",
    Activity.ADD_GROUP_OWNER: "GroupManagement",
    Activity.REMOVE_GROUP_OWNER: "GroupManagement",
    Activity.ASSIGN_APPLICATION: "ApplicationManagement",
    Activity.UNASSIGN_APPLICATION: "ApplicationManagement",
    Activity.ASSIGN_APPLICATION_TO_GROUP: "ApplicationManagement",
    Activity.UNASSIGN_APPLICATION_FROM_GROUP: "ApplicationManagement",
    Activity.UPDATE_APPLICATION: "ApplicationManagement",
    Activity.ADD_APPLICATION_OWNER: "ApplicationManagement",
    Activity.REMOVE_APPLICATION_OWNER: "ApplicationManagement",
    Activity.REGISTER_APPLICATION: "ApplicationManagement",
    Activity.UPDATE_REGISTRATION: "ApplicationManagement",
    Activity.DELETE_REGISTRATION: "ApplicationManagement",
    Activity.CHANGE_CREDENTIALS: "ApplicationManagement",
    Activity.ADD_PRINCIPAL: "ApplicationManagement",
    Activity.REMOVE_PRINCIPAL: "ApplicationManagement",
    Activity.CONSENT: "ApplicationManagement",
    Activity.WITHDRAW_CONSENT: "ApplicationManagement",
    Activity.GIVE_PERMISSION: "ApplicationManagement",
    Activity.TAKE_PERMISSION: "ApplicationManagement",
    Activity.REUSED_TOKEN: "ApplicationManagement",
    Activity.ADD_ROLE: "RoleManagement",
    Activity.REMOVE_ROLE: "RoleManagement",
    Activity.UPDATE_POLICY: "Policy",
    Activity.CREATE_TENANT: "DirectoryManagement",
    Activity.SET_COMPANY: "DirectoryManagement",
    Activity.SET_BRANDING: "DirectoryManagement",
    Activity.PAUSE_MAIL: "DirectoryManagement",
    Activity.RESUME_MAIL: "DirectoryManagement",
    Activity.TRY_MAIL: "DirectoryManagement",
    Activity.RETRY_MAIL: "DirectoryManagement",
    Activity.RESTORE_BACKUP: "DirectoryManagement",
    Activity.REVOKE_KEYS: "DirectoryManagement",
}
"""Where an activity belongs; everything else is USER_MANAGEMENT."""


@dataclass(frozen=True)
class Change:
    """A property before and after; None is empty."""

    property: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Entry:
    """What happened to what."""

    activity: Activity
    target_type: str
    target_id: UUID | None
    target_name: str
    changes: Sequence[Change] = ()
    detail: dict[str, Any] = field(default_factory=dict)
    result: str = "success"


_sequences = AuditSequence.__table__
_NEXT = Prepared(
    update(AuditSequence)
    .where(_sequences.c.tenant_id == bindparam("in_tenant", type_=Id))
    .values(last=_sequences.c.last + bindparam("count", type_=BigInteger))
    .returning(_sequences.c.last)
)
_ALONE = "SELECT pg_advisory_xact_lock(%s)"
_TOGETHER = "SELECT pg_advisory_xact_lock_shared(%s)"
_INSERT = Prepared(insert(AuditEvent))


def record(session: Session, actor: Actor, *entries: Entry) -> None:
    """Write *entries* with the next numbers of the tenant's sequence."""
    if not entries:
        return
    connection = session.connection()
    [(last,)] = _NEXT.all(connection, in_tenant=actor.tenant_id, count=len(entries))
    first = last - len(entries) + 1
    _INSERT.write(
        connection,
        [
            {
                "tenant_id": actor.tenant_id,
                "sequence": first + number,
                "id": new_id(),
                "at": actor.now,
                "activity": str(entry.activity),
                "category": CATEGORY.get(entry.activity, USER_MANAGEMENT),
                "result": entry.result,
                "actor_kind": actor.kind,
                "actor_id": actor.performer_id,
                "actor_name": actor.display_name[:256],
                "target_type": entry.target_type,
                "target_id": entry.target_id,
                "target_name": entry.target_name[:1024],
                "changes": [
                    {"property": c.property, "before": c.before, "after": c.after}
                    for c in entry.changes
                ],
                "detail": entry.detail,
                "ip_address": actor.ip_address,
                "correlation_id": actor.correlation_id,
            }
            for number, entry in enumerate(entries)
        ],
    )


def lock(session: Session, tenant_id: UUID, *, alone: bool = True) -> None:
    """Be the only writer of a tenant until commit: what is read afterwards stays true.

    Not *alone*, others who say so may write as well: each must lock what is his own. On PostgreSQL
    an advisory lock, for whoever waits for it gets it in turn; a row that each holder changes is
    lost again and again by those who wait longest. SQLite has one writer anyway.

    It comes before any row, and so before `record`.
    """
    connection = session.connection()
    if connection.dialect.name != "sqlite":
        number = int.from_bytes(tenant_id.bytes[8:], signed=True)
        run(connection, _ALONE if alone else _TOGETHER, (number,))


def of_target(
    session: Session, actor: Actor, target_id: UUID, *, before: int | None = None, limit: int = 50
) -> Sequence[AuditEvent]:
    """Newest events about one object, at most *limit*, older than sequence *before*."""
    query = select(AuditEvent).where(
        AuditEvent.tenant_id == actor.tenant_id, AuditEvent.target_id == target_id
    )
    if before is not None:
        query = query.where(AuditEvent.sequence < before)
    return session.scalars(query.order_by(AuditEvent.sequence.desc()).limit(limit)).all()
