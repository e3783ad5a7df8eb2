"""The sign-in log: one entry for each try, let in or refused."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import insert
from sqlalchemy.orm import Session

from b2b.models import SignIn, new_id
from b2b.prepared import Prepared

_INSERT = Prepared(insert(SignIn))


def record(
    session: Session,
    tenant_id: UUID,
    user_id: UUID | None,
    *,
    identity: str,
    method: str,
    application: str,
    at: datetime,
    correlation_id: UUID,
    ip_address: str | None,
    user_agent: str | None,
    code: int = 0,
    reason: str | None = None,
) -> None:
    """Note a sign-in into a tenant.

    *identity* is the name that was signed in with, *code* the number of an AADSTS error, 0 for
    success. Long texts are cut to what their columns hold.
    """
    row = {
        "tenant_id": tenant_id,
        "id": new_id(),
        "at": at,
        "user_id": user_id,
        "identity": identity[:320],
        "method": method,
        "application": application,
        "error_code": code,
        "failure_reason": None if reason is None else reason[:512],
        "ip_address": ip_address,
        "user_agent": (user_agent or "")[:256] or None,
        "correlation_id": correlation_id,
    }
    _INSERT.write(session.connection(), [row])
