"""My Apps, the access panel: a page of what somebody may open, and of the groups he is in."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from sqlalchemy import Integer, String, bindparam, func, select, tuple_, union
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.models import AppRoleAssignment, Group, Membership, ServicePrincipal, fold
from b2b.models.base import Id
from b2b.prepared import Prepared
from b2b.services.applications import Tile
from b2b.services.paging import Cursor

SIZE = 30
Shown = TypeVar("Shown")

_apps, _granted = ServicePrincipal.__table__, AppRoleAssignment.__table__
_groups, _members = Group.__table__, Membership.__table__
_TILE = {
    "id": "id",
    "app_id": "app_id",
    "name": "display_name",
    "description": "description",
    "url": "sign_in_url",
}
"""Fields of a tile and the columns they come from."""
_TENANT = bindparam("tenant_id", type_=Id)
_USER = bindparam("user_id", type_=Id)
_MOST = bindparam("most", type_=Integer)


@dataclass(frozen=True)
class Shelf(Generic[Shown]):
    """One page; `total` counts everything that was looked for, `before` and `after` lead on."""

    rows: list[Shown]
    total: int
    before: Cursor | None = None
    after: Cursor | None = None


@dataclass(frozen=True)
class Joined:
    """A group that somebody is in."""

    id: UUID
    display_name: str
    description: str | None


def _assigned(*, is_guest: bool, searched: bool) -> Any:
    """Assigned directly or through a group, each once; guests never get what is for members."""
    # A union of two look-ups by index; an OR would read every assignment of the tenant.
    ids = union(
        select(_granted.c.service_principal_id).where(
            _granted.c.tenant_id == _TENANT, _granted.c.principal_id == _USER
        ),
        select(_granted.c.service_principal_id)
        .join(
            _members,
            (_members.c.tenant_id == _granted.c.tenant_id)
            & (_members.c.group_id == _granted.c.principal_id),
        )
        .where(_members.c.tenant_id == _TENANT, _members.c.user_id == _USER),
    )
    query = select(*(_apps.c[column] for column in _TILE.values()), _apps.c.name_key).where(
        _apps.c.tenant_id == _TENANT, _apps.c.id.in_(ids), _apps.c.account_enabled
    )
    if is_guest:
        query = query.where(~_apps.c.members_only)
    if searched:
        query = query.where(_apps.c.name_key.like(bindparam("words", type_=String), escape="\\"))
    return query


def _joined() -> Any:
    return (
        select(_groups.c.id, _groups.c.display_name, _groups.c.description, _groups.c.name_key)
        .join(
            _members,
            (_members.c.tenant_id == _groups.c.tenant_id) & (_members.c.group_id == _groups.c.id),
        )
        .where(_members.c.tenant_id == _TENANT, _members.c.user_id == _USER)
    )


def _ordered(query: Any, columns: tuple[Any, Any], way: str) -> Prepared:
    """*query* from a cursor on; *way* is `after`, `before` or nothing for the first page."""
    key, identifier = columns
    if way:
        place = tuple_(bindparam("at_key", type_=key.type), bindparam("at_id", type_=Id))
        here = tuple_(key, identifier)
        query = query.where(here < place if way == "before" else here > place)
    if way == "before":
        query = query.order_by(key.desc(), identifier.desc())
    else:
        query = query.order_by(key, identifier)
    return Prepared(query.limit(_MOST))


@functools.cache
def _apps_page(is_guest: bool, searched: bool, way: str) -> Prepared:
    query = _assigned(is_guest=is_guest, searched=searched)
    return _ordered(query, (_apps.c.name_key, _apps.c.id), way)


@functools.cache
def _apps_count(is_guest: bool, searched: bool) -> Prepared:
    query = _assigned(is_guest=is_guest, searched=searched)
    return Prepared(select(func.count().label("found")).select_from(query.subquery()))


@functools.cache
def _groups_page(way: str) -> Prepared:
    return _ordered(_joined(), (_groups.c.name_key, _groups.c.id), way)


_groups_count = Prepared(select(func.count().label("found")).select_from(_joined().subquery()))


def apps(
    session: Session,
    actor: Actor,
    *,
    search: str = "",
    after: Cursor | None = None,
    before: Cursor | None = None,
) -> Shelf[Tile]:
    """What *actor* may open, by name; *search* is a part of the name."""
    words = fold(search.replace("\0", " "))
    values: dict[str, Any] = {}
    if words:
        for sign in ("\\", "%", "_"):
            words = words.replace(sign, f"\\{sign}")
        values["words"] = f"%{words}%"
    is_guest, searched = actor.is_guest, bool(words)
    return _shelf(
        session,
        actor,
        functools.partial(_apps_page, is_guest, searched),
        functools.partial(_apps_count, is_guest, searched),
        lambda row: Tile(**{name: getattr(row, column) for name, column in _TILE.items()}),
        values,
        after,
        before,
    )


def groups(
    session: Session, actor: Actor, *, after: Cursor | None = None, before: Cursor | None = None
) -> Shelf[Joined]:
    """The groups that *actor* is in, by name. Who else is in them is not told here."""
    return _shelf(
        session,
        actor,
        _groups_page,
        lambda: _groups_count,
        lambda row: Joined(row.id, row.display_name, row.description),
        {},
        after,
        before,
    )


def _shelf(
    session: Session,
    actor: Actor,
    page: Callable[[str], Prepared],
    count: Callable[[], Prepared],
    make: Callable[[Any], Shown],
    values: dict[str, Any],
    after: Cursor | None,
    before: Cursor | None,
) -> Shelf[Shown]:
    connection = session.connection()
    values = {"tenant_id": actor.tenant_id, "user_id": actor.user_id, **values}
    way = "before" if before else "after" if after else ""
    at = before or after
    place = {} if at is None else {"at_key": at[0].replace("\0", ""), "at_id": at[1]}
    found = page(way).all(connection, most=SIZE + 1, **values, **place)
    more, found = len(found) > SIZE, found[:SIZE]
    if before:
        found = found[::-1]
    total = len(found)
    if more or at is not None:
        [(total,)] = count().all(connection, **values)
    return Shelf(
        [make(row) for row in found],
        total,
        (found[0].name_key, found[0].id) if found and (after or (before and more)) else None,
        (found[-1].name_key, found[-1].id) if found and (before or more) else None,
    )
