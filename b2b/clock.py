"""The one place that asks what time it is, so that tests and the movable clock have one thing to
move.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta


def _system() -> datetime:
    return datetime.now(UTC)


_source: Callable[[], datetime] = _system
_offset: Callable[[], timedelta] | None = None


def now() -> datetime:
    """The present instant, aware and in UTC."""
    return _source() if _offset is None else _source() + _offset()


def unmoved() -> datetime:
    """The present instant without the offset of `follow`."""
    return _source()


def use(source: Callable[[], datetime] | None) -> None:
    """Take the time from *source* from now on; None goes back to the system's clock."""
    global _source
    _source = source or _system


def follow(offset: Callable[[], timedelta] | None) -> None:
    """Be as far ahead as *offset* says each time; None: never asks anybody (production)."""
    global _offset
    _offset = offset
