"""The time that a new object takes until lists show it, as in the real service, whose reads come
from replicas. A test double may ask for it; it is none by itself.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

_delay: Callable[[], timedelta] | None = None


def configure(delay: Callable[[], timedelta] | None) -> None:
    """Ask *delay* each time how long it takes; None: nothing lags."""
    global _delay
    _delay = delay


def seen_until(now: datetime) -> datetime | None:
    """What was made after this instant is not shown yet; None while nothing lags."""
    delay = None if _delay is None else _delay()
    return now - delay if delay else None
