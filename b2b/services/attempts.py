"""Counting tries at secrets, exactly and in the database (decisions.md, rate limits)."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Integer, bindparam, delete
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from b2b.models import Attempts
from b2b.models.base import insert_missing
from b2b.prepared import Prepared

_LONGEST = timedelta(hours=1)
_REMEMBERED = timedelta(hours=24)
_factor: float | None = 1.0


def _adding(make: Any) -> Prepared:
    counted = make(Attempts).returning(Attempts.count)
    more = bindparam("more", type_=Integer)
    change = {"count": Attempts.count + more}
    return Prepared(
        counted.on_conflict_do_update(index_elements=["key"], set_=change),
        ["key", "count", "level", "since", "expires_at"],
    )


_ADD = {"sqlite": _adding(sqlite.insert), "postgresql": _adding(postgresql.insert)}


def configure(factor: float | None) -> None:
    """Multiply every limit by *factor*; None switches limits off (setting RATE_LIMITS)."""
    global _factor
    _factor = factor


def take(
    session: Session, key: str, *, limit: int, window: timedelta, now: datetime
) -> datetime | None:
    """Count one try for *key*; None if it may be made, else the instant from which one may.

    *limit* tries a *window*. The try after them blocks for one window, and each further block lasts
    twice as long, up to an hour. The caller commits either way: a refusal is remembered too.
    """
    if _factor is None:
        return None
    allowed = max(1, round(limit * _factor))
    row = session.get(Attempts, key, with_for_update=True)
    if row is None:
        fresh = {"key": key, "count": 0, "level": 0, "since": now, "expires_at": now + _REMEMBERED}
        insert_missing(session, Attempts, fresh)
        row = session.get_one(Attempts, key, with_for_update=True)
    if row.blocked_until is not None:
        if row.blocked_until > now:
            return row.blocked_until
        row.blocked_until, row.count, row.since = None, 0, now
    if row.since + window <= now:
        row.count, row.since = 0, now
    row.count += 1
    row.expires_at = now + _REMEMBERED
    if row.count > allowed:
        row.level += 1
        row.blocked_until = now + min(window * 2 ** (row.level - 1), _LONGEST)
        return row.blocked_until
    return None


def add(session: Session, key: str, count: int, *, most: int | None, now: datetime) -> bool:
    """Count *count* more for *key* unless that passes *most*; whether it fitted.

    None counts without a limit. *key* names its day: the row is kept for 24 hours from the first.
    """
    connection = session.connection()
    expires = now + _REMEMBERED
    values = {"key": key, "count": count, "level": 0, "since": now, "expires_at": expires}
    [(total,)] = _ADD[connection.dialect.name].all(connection, more=count, **values)
    return most is None or total <= most


_FORGET = Prepared(
    delete(Attempts).where(Attempts.key == bindparam("forgotten", type_=Attempts.key.type))
)


def forget(session: Session, key: str) -> None:
    """Start over for *key*: the secret was right."""
    session.flush()
    _FORGET.write(session.connection(), [{"forgotten": key}])


def purge(session: Session, now: datetime) -> None:
    """Delete counters that nobody touched for a day."""
    session.execute(delete(Attempts).where(Attempts.expires_at <= now))
