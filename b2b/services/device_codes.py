"""Signing in for a device that has no browser of its own (RFC 8628; threats.md, OIDC-7)."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from b2b import keys
from b2b.models import Application, DeviceCode, DeviceCodeState
from b2b.services import attempts
from b2b.services.aadsts import SignInRefused

LIFE = timedelta(minutes=15)
INTERVAL = 5
"""Seconds between two polls; each poll that comes too early adds as many."""
TRIES = 5
"""Wrong codes that somebody may type before he has to wait."""
LETTERS = "BCDFGHJKLMNPQRSTVWXZ2346789"
"""No vowels and nothing that looks alike."""
CODE_LENGTH = 9
_TOLERANCE = timedelta(seconds=1)


@dataclass(frozen=True)
class Begun:
    """What a device is told."""

    device_code: str
    user_code: str


def begin(
    session: Session,
    registration: Application,
    named: str,
    scope: str,
    *,
    ip_address: str | None,
    now: datetime,
) -> Begun:
    """Codes for a device; *named* is the tenant as its request named it."""
    device_code = keys.new_secret()
    user_code = "".join(secrets.choice(LETTERS) for _ in range(CODE_LENGTH))
    session.add(
        DeviceCode(
            code_hash=keys.digest(device_code),
            user_code_hash=_digest(user_code),
            named=named,
            app_id=registration.app_id,
            scope=scope,
            ip_address=ip_address,
            poll_seconds=INTERVAL,
            created_at=now,
            expires_at=now + LIFE,
        )
    )
    session.flush()
    return Begun(device_code, user_code)


def _digest(user_code: str) -> bytes:
    return keys.digest(f"user code {user_code}")


def take_try(session: Session, who: str, *, now: datetime) -> datetime | None:
    """Count a typed code before it is looked up; None, or from when the next may be typed. The
    caller commits either way.
    """
    return attempts.take(session, f"user-code:{who}"[:400], limit=TRIES, window=LIFE, now=now)


def forget_tries(session: Session, who: str) -> None:
    """Start over: the code was right."""
    attempts.forget(session, f"user-code:{who}"[:400])


def typed(session: Session, user_code: str, *, now: datetime) -> DeviceCode | None:
    """The sign-in that a typed code belongs to, while it waits; case, spaces and hyphens do not
    matter.
    """
    tidy = "".join(letter for letter in user_code.upper() if letter.isalnum())
    if len(tidy) != CODE_LENGTH:
        return None
    row = session.scalars(
        select(DeviceCode)
        .where(DeviceCode.user_code_hash == _digest(tidy))
        .execution_options(populate_existing=True)
    ).one_or_none()
    return row if row is not None and is_waiting(row, now) else None


def waiting(session: Session, code_hash: bytes, *, now: datetime) -> DeviceCode | None:
    """The same by its hash, which a browser's session remembers; locked for a decision."""
    row = session.get(DeviceCode, code_hash, populate_existing=True, with_for_update=True)
    return row if row is not None and is_waiting(row, now) else None


def is_waiting(row: DeviceCode, now: datetime) -> bool:
    """Whether the person has still to decide."""
    return row.state is DeviceCodeState.WAITING and row.expires_at > now


def allow(
    row: DeviceCode,
    *,
    tenant_id: UUID,
    user_id: UUID,
    session_id: UUID,
    signed_in_at: datetime,
) -> None:
    """The person says that he started this himself."""
    row.state = DeviceCodeState.ALLOWED
    row.tenant_id, row.user_id, row.session_id = tenant_id, user_id, session_id
    row.signed_in_at = signed_in_at


def decline(row: DeviceCode) -> None:
    """The person says that he did not."""
    row.state = DeviceCodeState.DECLINED


def poll(
    session: Session, device_code: str, registration: Application, *, now: datetime
) -> DeviceCode | SignInRefused:
    """The sign-in of a device that asks, once it is allowed; else what to tell it. The caller
    commits either way.
    """
    row = session.get(
        DeviceCode, keys.digest(device_code), populate_existing=True, with_for_update=True
    )
    if row is None or row.app_id != registration.app_id:
        return SignInRefused(70018)
    if row.expires_at <= now:
        return SignInRefused(70019)
    if row.state is DeviceCodeState.DECLINED:
        return SignInRefused(65004).told_as("authorization_declined")
    if row.state is DeviceCodeState.ALLOWED:
        return row
    least = timedelta(seconds=row.poll_seconds) - _TOLERANCE
    too_soon = row.polled_at is not None and now - row.polled_at < least
    row.polled_at = now
    if too_soon:
        row.poll_seconds += INTERVAL
        session.flush()
        return SignInRefused(70016).told_as("slow_down")
    session.flush()
    return SignInRefused(70016)


def purge(session: Session, now: datetime) -> None:
    """Delete codes that are over for a while: a device that asks late is still told so."""
    session.execute(delete(DeviceCode).where(DeviceCode.expires_at <= now - LIFE))
