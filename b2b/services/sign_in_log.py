"""The sign-in log: one entry for each try, let in or refused."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert
from sqlalchemy.orm import Session

from b2b.models import SignIn, new_id
from b2b.prepared import Prepared

_INSERT = Prepared(insert(SignIn))


PROGRAM = "program"
"""The method of a sign-in without a person: a program by itself."""


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
    app_id: UUID | None = None,
    code: int = 0,
    reason: str | None = None,
) -> None:
    """Note a person's sign-in into a tenant.

    *identity* is the name that was signed in with, *code* the number of an AADSTS error, 0 for
    success. Long texts are cut to what their columns hold.
    """
    row = _row(
        tenant_id,
        at=at,
        user_id=user_id,
        identity=identity,
        method=method,
        application=application,
        app_id=app_id,
        code=code,
        reason=reason,
        ip_address=ip_address,
        user_agent=user_agent,
        correlation_id=correlation_id,
    )
    _INSERT.write(session.connection(), [row])


@dataclass(frozen=True)
class ProgramSignIn:
    """A token that a program got in its own name, or was refused."""

    tenant_id: UUID
    app_id: UUID
    service_principal_id: UUID
    application: str
    resource: str | None
    """The name of the API that it asked for."""
    at: datetime
    correlation_id: UUID
    ip_address: str | None
    user_agent: str | None
    code: int = 0
    reason: str | None = None


def record_programs(session: Session, seen: Sequence[ProgramSignIn]) -> None:
    """Note sign-ins of programs, many at once."""
    rows = [
        _row(
            one.tenant_id,
            at=one.at,
            identity=one.application,
            method=PROGRAM,
            application=one.application,
            app_id=one.app_id,
            service_principal_id=one.service_principal_id,
            resource=one.resource,
            code=one.code,
            reason=one.reason,
            ip_address=one.ip_address,
            user_agent=one.user_agent,
            correlation_id=one.correlation_id,
        )
        for one in seen
    ]
    if rows:
        _INSERT.write(session.connection(), rows)


def _row(
    tenant_id: UUID,
    *,
    at: datetime,
    identity: str,
    method: str,
    application: str,
    correlation_id: UUID,
    ip_address: str | None,
    user_agent: str | None,
    user_id: UUID | None = None,
    app_id: UUID | None = None,
    service_principal_id: UUID | None = None,
    resource: str | None = None,
    code: int = 0,
    reason: str | None = None,
) -> dict[str, Any]:
    return {
        "tenant_id": tenant_id,
        "id": new_id(),
        "at": at,
        "user_id": user_id,
        "identity": identity[:320],
        "method": method,
        "application": application[:256],
        "app_id": app_id,
        "service_principal_id": service_principal_id,
        "resource": None if resource is None else resource[:256],
        "error_code": code,
        "failure_reason": None if reason is None else reason[:512],
        "ip_address": ip_address,
        "user_agent": (user_agent or "")[:256] or None,
        "correlation_id": correlation_id,
    }
