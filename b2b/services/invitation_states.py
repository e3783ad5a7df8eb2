"""What people see of an invitation, computed from its times and never stored."""

import enum
from datetime import datetime, timedelta
from typing import Any

from b2b.models import MailState


class InvitationState(enum.StrEnum):
    """What people see of an invitation; computed, never stored."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    EXPIRED = "expired"
    DECLINED = "declined"
    CANCELLED = "cancelled"
    FAILED = "failed"


def state_of(row: Any, policy_days: int | None, now: datetime) -> InvitationState | None:
    """The state of an invitation from its times; *row* is an Invitation or carries its columns.

    None for somebody who was never invited.
    """
    if row.sent_at is None:
        return None
    if row.accepted_at is not None:
        return InvitationState.ACCEPTED
    if row.cancelled_at is not None:
        return InvitationState.CANCELLED
    if row.declined_at is not None:
        return InvitationState.DECLINED
    ends = ends_at(row.valid_from, policy_days)
    if ends is not None and ends <= now:
        return InvitationState.EXPIRED
    if getattr(row, "mail_state", None) == MailState.FAILED:
        return InvitationState.FAILED
    return InvitationState.PENDING


def ends_at(valid_from: datetime, policy_days: int | None) -> datetime | None:
    """When an invitation that counts from *valid_from* stops working; None is never."""
    return None if policy_days is None else valid_from + timedelta(days=policy_days)
