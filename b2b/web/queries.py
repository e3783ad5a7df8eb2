"""What the address of a list says: filters, days, and the same list otherwise narrowed."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, TypeVar
from uuid import UUID

from flask import request, url_for

T = TypeVar("T")
PLACES = ("after", "before")
"""Parameters that say where in a list one is; another filter starts at its beginning."""


def value(kind: Callable[[str], T], name: str) -> T | None:
    """The parameter *name* as *kind*; None when it is missing or not understood."""
    text = request.args.get(name, "").replace("\0", "").strip()[:200]
    try:
        return kind(text) if text else None
    except ValueError:
        return None


def since() -> datetime | None:
    """The first instant of the day that `since` names."""
    return _midnight(value(date.fromisoformat, "since"))


def until() -> datetime | None:
    """The first instant after the day that `until` names."""
    day = value(date.fromisoformat, "until")
    return _midnight(day + timedelta(days=1)) if day is not None and day < date.max else None


def _midnight(on: date | None) -> datetime | None:
    return None if on is None else datetime.combine(on, time(), UTC)


def number(name: str) -> int | None:
    """A place in a list that is a number; None for anything else."""
    found = value(int, name)
    return found if found is not None and 0 <= found < 2**63 else None


def identifier(name: str) -> UUID | None:
    """A place in a list, or a filter, that is an id."""
    return value(UUID, name)


def kept(*without: str) -> dict[str, Any]:
    """The parameters of this page's address that may stand in another one of ours, but for those
    that say where in a list one is, and those named.

    What begins with an underscore would be an instruction to `url_for`.
    """
    return {
        name: found
        for name, found in request.args.items()
        if name not in (*without, *PLACES, "endpoint") and not name.startswith("_")
    }


def without(*names: str) -> str:
    """This list from its beginning without the filters *names*."""
    assert request.endpoint is not None
    return url_for(request.endpoint, **kept(*names) | (request.view_args or {}))


def at(**place: object | None) -> str | None:
    """This list at another place: `at(after=page.older)`; None where there is no such place."""
    values = kept()
    for name, found in place.items():
        if found is None:
            return None
        values[name] = found
    assert request.endpoint is not None
    return url_for(request.endpoint, **values | (request.view_args or {}))
