"""Work outside requests, as leased rows."""

import enum
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from b2b.models.base import Base, Id, UTCDateTime, enum_type


class JobState(enum.StrEnum):
    """Where a job stands."""

    WAITING = "waiting"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"


class Job(Base):
    """A piece of work that survives restarts; `every_seconds` makes it come back."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_due", "due_at",
              sqlite_where=text("state = 'waiting'"), postgresql_where=text("state = 'waiting'")),
        Index("uq_jobs_recurring", "kind", unique=True,
              sqlite_where=text("every_seconds IS NOT NULL"),
              postgresql_where=text("every_seconds IS NOT NULL")),
    )  # fmt: skip

    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    tenant_id: Mapped[UUID | None] = mapped_column(Id)
    kind: Mapped[str] = mapped_column(String(64))
    payload: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    progress: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    state: Mapped[JobState] = mapped_column(enum_type(JobState, 16), default=JobState.WAITING)
    every_seconds: Mapped[int | None]
    attempts: Mapped[int] = mapped_column(default=0)
    fence: Mapped[int] = mapped_column(default=0)
    lease_owner: Mapped[str | None] = mapped_column(String(64))
    due_at: Mapped[datetime] = mapped_column(UTCDateTime)
    last_error: Mapped[str | None] = mapped_column(String(512))
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
