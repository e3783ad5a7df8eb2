"""What test suites have asked of this installation: a moved clock, and faults that are not there.

Of the whole installation, not of a tenant; read only where the test tools are on.
"""

import enum
from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Float, String
from sqlalchemy.orm import Mapped, mapped_column

from b2b.models.base import Base, Id, UTCDateTime, enum_type


class DoubleSettings(Base):
    """The one row that every process reads."""

    __tablename__ = "test_double"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    """Always 1."""
    clock_offset: Mapped[int] = mapped_column(BigInteger, default=0)
    """Milliseconds that the clock is ahead of the real time; negative: behind it."""
    visible_after: Mapped[int] = mapped_column(default=0)
    """Milliseconds until Graph's lists show a new object."""


class FaultKind(enum.StrEnum):
    """What goes wrong."""

    STATUS = "status"
    """An answer with this status, and nothing done."""
    LATENCY = "latency"
    """The answer comes late."""
    DROP = "drop"
    """The connection ends without an answer, and nothing done."""


class FaultRule(Base):
    """Which requests meet a fault, and which fault. Rules are tried in the order of their ids."""

    __tablename__ = "fault_rules"

    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    kind: Mapped[FaultKind] = mapped_column(enum_type(FaultKind, 16))
    path: Mapped[str] = mapped_column(String(512))
    """The beginning of the path, or a pattern of the whole path where it holds `*`."""
    method: Mapped[str | None] = mapped_column(String(16))
    share: Mapped[float] = mapped_column(Float, default=1.0)
    """Of the requests that match, from above 0 to 1."""
    status: Mapped[int | None]
    retry_after: Mapped[int | None]
    """Seconds."""
    latency: Mapped[int] = mapped_column(default=0)
    """Milliseconds."""
    times: Mapped[int | None]
    """For so many requests in all; None: until it is taken away."""
    hits: Mapped[int] = mapped_column(default=0)
    """How many requests have met it."""
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
