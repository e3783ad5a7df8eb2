"""The one place that asks what time it is, so that tests and the movable clock have one thing to
move.
"""

from collections.abc import Callable
from datetime import UTC, datetime


def _system() -> datetime:
    return datetime.now(UTC)


_source: Callable[[], datetime] = _system


def now() -> datetime:
    """The present instant, aware and in UTC."""
    return _source()


def use(source: Callable[[], datetime] | None) -> None:
    """Take the time from *source* from now on; None goes back to the system's clock."""
    global _source
    _source = source or _system
