"""Pages of lists by key: as quick on the last page as on the first (scale.md, 1)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Row, func, literal, select, tuple_
from sqlalchemy.orm import Session

from b2b.models import fold
from b2b.models.base import LAST, Id

SIZE = 50
COUNTED_TO = 10_000
"""Totals are exact up to here (decisions.md, totals on lists)."""

Cursor = tuple[str, UUID]
"""A place in a list: sort key and id."""


@dataclass(frozen=True)
class Page:
    """One page. `total` is None where there are more than `counted_to`; cursors are None at the
    ends.
    """

    rows: Sequence[Row[Any]]
    total: int | None = None
    before: Cursor | None = None
    after: Cursor | None = None
    counted_to: int = COUNTED_TO


def by_key(
    session: Session,
    query: Any,
    key: Any,
    identifier: Any,
    *,
    after: Cursor | None = None,
    before: Cursor | None = None,
    limit: int = SIZE,
    count: Callable[[], tuple[int | None, int]] | None = None,
) -> Page:
    """A page of *query* in the order of the columns *key* and *identifier*, both indexed.

    *after* and *before* are the cursors of an earlier page. *count* is for queries of which a
    count reads too much: the total, or None and how many there are at least.
    """
    return _page(session, query, key, identifier, after, before, limit, count)


def _page(
    session: Session,
    query: Any,
    key: Any | None,
    identifier: Any,
    after: Cursor | None,
    before: Cursor | None,
    limit: int,
    count: Callable[[], tuple[int | None, int]] | None = None,
) -> Page:
    shown = literal("") if key is None else key
    ordered = query.add_columns(shown.label("page_key"), identifier.label("page_id"))
    columns = [identifier] if key is None else [key, identifier]
    cursor = before or after
    if cursor is not None:
        place: Any = tuple_(*columns)
        bound: Any = literal(cursor[1], Id)
        if key is None:
            place = identifier
        else:
            # PostgreSQL takes no NUL in a text.
            bound = tuple_(literal(cursor[0].replace("\0", ""), key.type), bound)
        ordered = ordered.where(place < bound if before else place > bound)
    ordered = ordered.order_by(*[column.desc() if before else column for column in columns])
    found = session.execute(ordered.limit(limit + 1)).all()
    more, found = len(found) > limit, found[:limit]
    if before:
        found = found[::-1]
    has_before = bool(after) or (bool(before) and more)
    has_after = bool(before) or more
    counted_to = COUNTED_TO
    if not has_before and not has_after:
        total: int | None = len(found)
    elif count is not None:
        total, least = count()
        counted_to = max(least, len(found))
    else:
        counted = query.limit(counted_to + 1).subquery()
        total = session.execute(select(func.count()).select_from(counted)).scalar_one()
    return Page(
        rows=found,
        total=total if total is not None and total <= counted_to else None,
        before=(found[0].page_key, found[0].page_id) if found and has_before else None,
        after=(found[-1].page_key, found[-1].page_id) if found and has_after else None,
        counted_to=counted_to,
    )


def by_id(
    session: Session,
    query: Any,
    identifier: Any,
    *,
    after: Cursor | None = None,
    before: Cursor | None = None,
    limit: int = SIZE,
) -> Page:
    """As `by_key`, in the order of *identifier* alone, which rises with time: oldest first."""
    return _page(session, query, None, identifier, after, before, limit)


def begins(key: Any, typed: str) -> ColumnElement[bool]:
    """Whether the folded column *key* begins with what was typed: a range of its index."""
    prefix = fold(typed.replace("\0", " "))
    within: ColumnElement[bool] = (key >= prefix) & (key < prefix + LAST)
    return within
