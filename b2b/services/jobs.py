"""Jobs: leased rows, so that work outside requests survives restarts and never runs twice at
once.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from b2b.models import Job, JobState, new_id
from b2b.models.base import insert_missing

LEASE = timedelta(minutes=5)


@dataclass(frozen=True)
class Leased:
    """A job that this worker may run now."""

    id: UUID
    tenant_id: UUID | None
    kind: str
    payload: dict[str, Any]
    progress: dict[str, Any]
    every_seconds: int | None
    attempts: int
    fence: int


def recur(session: Session, kind: str, every: timedelta, *, now: datetime) -> None:
    """Have a job of *kind* come back for ever; a no-op when it is there already."""
    insert_missing(
        session,
        Job,
        {
            "id": new_id(),
            "kind": kind,
            "payload": {},
            "progress": {},
            "state": JobState.WAITING,
            "every_seconds": int(every.total_seconds()),
            "attempts": 0,
            "fence": 0,
            "due_at": now,
            "created_at": now,
        },
    )


def add(
    session: Session,
    kind: str,
    payload: dict[str, Any],
    *,
    now: datetime,
    tenant_id: UUID | None = None,
) -> UUID:
    """Owe one job from the commit of this transaction on; returns its id."""
    job_id = new_id()
    session.execute(
        insert(Job),
        {
            "id": job_id,
            "tenant_id": tenant_id,
            "kind": kind,
            "payload": payload,
            "progress": {},
            "state": JobState.WAITING,
            "attempts": 0,
            "fence": 0,
            "due_at": now,
            "created_at": now,
        },
    )
    return job_id


def has_due(session: Session, *, now: datetime) -> bool:
    """Whether there is anything to lease; a read."""
    return (
        session.execute(
            select(Job.id).where(Job.state == JobState.WAITING, Job.due_at <= now).limit(1)
        ).first()
        is not None
    )


def lease(session: Session, owner: str, *, now: datetime) -> Leased | None:
    """Take one due job for LEASE, or None."""
    due = (
        select(Job.id)
        .where(Job.state == JobState.WAITING, Job.due_at <= now)
        .order_by(Job.due_at)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    row = session.execute(
        update(Job)
        .where(Job.id == due)
        .values(
            due_at=now + LEASE,
            lease_owner=owner,
            attempts=Job.attempts + 1,
            fence=Job.fence + 1,
        )
        .returning(
            Job.id,
            Job.tenant_id,
            Job.kind,
            Job.payload,
            Job.progress,
            Job.every_seconds,
            Job.attempts,
            Job.fence,
        )
        .execution_options(synchronize_session=False)
    ).one_or_none()
    return None if row is None else Leased(*row)


def _settle(session: Session, job: Leased, **values: Any) -> bool:
    result = session.execute(
        update(Job)
        .where(Job.id == job.id, Job.fence == job.fence)
        .values(lease_owner=None, **values)
        .execution_options(synchronize_session=False)
    )
    return bool(result.rowcount)  # type: ignore[attr-defined]


def done(session: Session, job: Leased, *, now: datetime) -> bool:
    """Finished; a recurring one is due again later. False: the lease was lost meanwhile."""
    if job.every_seconds is None:
        return _settle(session, job, state=JobState.DONE, last_error=None)
    return _settle(
        session,
        job,
        due_at=now + timedelta(seconds=job.every_seconds),
        attempts=0,
        last_error=None,
    )


def failed(session: Session, job: Leased, reason: str, *, now: datetime) -> bool:
    """Try again later, each time after a longer wait, up to an hour."""
    seconds = min(30 * 2 ** min(job.attempts - 1, 7), 3600) * (0.9 + secrets.randbelow(201) / 1000)
    return _settle(session, job, due_at=now + timedelta(seconds=seconds), last_error=reason[:512])
