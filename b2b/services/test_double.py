"""What a test suite may ask of an installation: another time, faults, and lists that lag behind.

Of the whole installation: no tenant, and no audit, whose readers it would only mislead.
"""

import fnmatch
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.orm import Session

from b2b.errors import N_, Invalid, NotFound
from b2b.models import (
    DoubleSettings,
    FaultKind,
    FaultRule,
    Job,
    JobState,
    MailPause,
    MailState,
    OutboxMessage,
    new_id,
)
from b2b.models.base import insert_missing

MOST_RULES = 50
MOST_LATENCY = timedelta(seconds=60)
"""Threads of the server are few."""
MOST_DELAY = timedelta(hours=1)
FARTHEST = timedelta(days=3660)
"""As far as the clock goes, either way."""
STATUSES = frozenset({400, 401, 403, 404, 408, 409, 423, 429, 500, 501, 502, 503, 504, 507, 509})
"""What an answer may be replaced by."""
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
OWN_PATH = "/test-double"
"""Never meets a fault: else there would be no way back."""


@dataclass(frozen=True)
class Rule:
    """A fault and the requests that meet it (models.FaultRule)."""

    id: UUID
    kind: FaultKind
    path: str
    method: str | None
    share: float
    status: int | None
    retry_after: int | None
    latency: timedelta
    times: int | None

    def matches(self, method: str, path: str) -> bool:
        """Whether a request is one of those, whatever the share."""
        if self.method is not None and method != self.method:
            return False
        if "*" in self.path:
            return fnmatch.fnmatchcase(path, self.path)
        return path.startswith(self.path)


@dataclass(frozen=True)
class State:
    """All that processes look at."""

    offset: timedelta = timedelta(0)
    visible_after: timedelta = timedelta(0)
    rules: tuple[Rule, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether everything is as it would be in production."""
        return not (self.offset or self.visible_after or self.rules)


def read(connection: Connection) -> State:
    """How things stand now; two reads."""
    kept, rules = DoubleSettings.__table__, FaultRule.__table__
    row = connection.execute(select(kept.c.clock_offset, kept.c.visible_after)).one_or_none()
    found = connection.execute(select(rules).order_by(rules.c.id)).all()
    return State(
        timedelta(milliseconds=row.clock_offset if row else 0),
        timedelta(milliseconds=row.visible_after if row else 0),
        tuple(
            Rule(
                one.id,
                one.kind,
                one.path,
                one.method,
                one.share,
                one.status,
                one.retry_after,
                timedelta(milliseconds=one.latency),
                one.times,
            )
            for one in found
        ),
    )


def _settings(session: Session) -> DoubleSettings:
    """The one row, held until commit."""
    insert_missing(session, DoubleSettings, {"id": 1, "clock_offset": 0, "visible_after": 0})
    return session.get_one(DoubleSettings, 1, with_for_update=True, populate_existing=True)


# The clock ---------------------------------------------------------------------------------------


def move_clock(
    session: Session, *, by: timedelta | None = None, to: timedelta | None = None
) -> timedelta:
    """Move the clock *by* so much, or *to* an offset from the real time; returns the offset.

    Leases last as long in real time as before (decisions.md, movable clock): they move along. Set
    back, whatever waits for its turn keeps the time that remains to it, or mail of the future would
    not leave before then. Raises Invalid("offset").
    """
    row = _settings(session)
    before = timedelta(milliseconds=row.clock_offset)
    after = to if to is not None else before + (by or timedelta(0))
    if abs(after) > FARTHEST:
        raise Invalid("offset", N_("The clock goes ten years either way at most."))
    row.clock_offset = after // timedelta(milliseconds=1)
    session.flush()
    move_waiting(session, timedelta(milliseconds=row.clock_offset) - before)
    return timedelta(milliseconds=row.clock_offset)


def move_waiting(session: Session, by: timedelta) -> None:
    """Leases move along with the clock; everything else that waits for a time does when it is set
    back.
    """
    if not by:
        return
    mails = select(OutboxMessage).where(OutboxMessage.state == MailState.QUEUED)
    jobs = select(Job).where(Job.state == JobState.WAITING)
    if by > timedelta(0):
        mails = mails.where(OutboxMessage.lease_owner.is_not(None))
        jobs = jobs.where(Job.lease_owner.is_not(None))
    for mail in session.scalars(mails.execution_options(populate_existing=True)):
        mail.due_at += by
    for job in session.scalars(jobs.execution_options(populate_existing=True)):
        job.due_at += by
    if by < timedelta(0):
        for pause in session.scalars(select(MailPause).where(MailPause.again_at.is_not(None))):
            assert pause.again_at is not None
            pause.again_at += by
            pause.paused_at += by
    session.flush()


# Lists that lag ----------------------------------------------------------------------------------


def show_after(session: Session, delay: timedelta) -> None:
    """Have Graph's lists show new objects *delay* after they were made.

    Raises Invalid("seconds").
    """
    if not timedelta(0) <= delay <= MOST_DELAY:
        raise Invalid("seconds", N_("From 0 to %(most)s seconds."), most=_seconds(MOST_DELAY))
    _settings(session).visible_after = delay // timedelta(milliseconds=1)
    session.flush()


# Faults ------------------------------------------------------------------------------------------


def add_fault(
    session: Session,
    *,
    path: str,
    kind: FaultKind = FaultKind.STATUS,
    method: str | None = None,
    share: float = 1.0,
    status: int | None = None,
    retry_after: int | None = None,
    latency: timedelta = timedelta(0),
    times: int | None = None,
    now: datetime,
) -> FaultRule:
    """Let requests meet a fault from now on; the first rule that applies is taken.

    *path* is a beginning, or a pattern of the whole path with `*`; *latency* comes before any
    kind. Raises Invalid with the parameter's name.
    """
    path = path.strip()
    if not path.startswith(("/", "*")) or len(path) > 512 or re.search(r"[\x00-\x20]", path):
        raise Invalid("path", N_("Enter a path that begins with /, such as /v1.0/users."))
    if path.startswith(OWN_PATH):
        raise Invalid("path", N_("The test tools themselves meet no faults."))
    if method is not None and (method := method.strip().upper() or None) not in {None, *_METHODS}:
        raise Invalid("method", N_("Enter a method such as GET, or none."))
    if not 0 < share <= 1:
        raise Invalid("share", N_("Enter a share above 0 and up to 1."))
    if kind is FaultKind.STATUS:
        status = 429 if status is None else status
        if status not in STATUSES:
            raise Invalid("status", N_("Enter a status of an error, such as 429 or 503."))
    elif status is not None:
        raise Invalid("status", N_("Only an answer has a status."))
    if retry_after is not None and (kind is not FaultKind.STATUS or not 0 <= retry_after <= 86400):
        raise Invalid("retry_after", N_("From 0 to 86,400 seconds, for an answer."))
    if not timedelta(0) <= latency <= MOST_LATENCY:
        raise Invalid("latency", N_("From 0 to %(most)s seconds."), most=_seconds(MOST_LATENCY))
    if kind is FaultKind.LATENCY and not latency:
        raise Invalid("latency", N_("Say for how long the answer is held back."))
    if times is not None and not 1 <= times <= 1_000_000:
        raise Invalid("times", N_("From 1 to 1,000,000 requests."))
    _settings(session)
    if len(session.scalars(select(FaultRule.id)).all()) >= MOST_RULES:
        raise Invalid("path", N_("There are %(most)s rules already."), most=MOST_RULES)
    row = FaultRule(
        id=new_id(),
        kind=kind,
        path=path,
        method=method,
        share=share,
        status=status,
        retry_after=retry_after,
        latency=latency // timedelta(milliseconds=1),
        times=times,
        hits=0,
        created_at=now,
    )
    session.add(row)
    session.flush()
    return row


def faults(session: Session) -> list[FaultRule]:
    """All rules, in the order in which they are tried."""
    return list(
        session.scalars(
            select(FaultRule).order_by(FaultRule.id).execution_options(populate_existing=True)
        )
    )


def remove_fault(session: Session, rule_id: UUID) -> None:
    """Take a rule away. Raises NotFound."""
    if not _changed(session, delete(FaultRule).where(FaultRule.id == rule_id)):
        raise NotFound()


def clear_faults(session: Session) -> None:
    """Take all rules away."""
    session.execute(delete(FaultRule).execution_options(synchronize_session=False))


def meet(session: Session, rule: Rule) -> bool:
    """Count one request that meets *rule*; False when it has been met `times` times, or is gone."""
    return bool(
        _changed(
            session,
            update(FaultRule)
            .where(
                FaultRule.id == rule.id,
                FaultRule.times.is_(None) | (FaultRule.hits < FaultRule.times),
            )
            .values(hits=FaultRule.hits + 1),
        )
    )


def _changed(session: Session, statement: Any) -> int:
    result = session.execute(statement.execution_options(synchronize_session=False))
    return int(result.rowcount)  # type: ignore[attr-defined]


def _seconds(of: timedelta) -> str:
    return f"{int(of.total_seconds()):,}"
