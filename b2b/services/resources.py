"""What groups and applications have in common: a name, owners, and that people are given them."""

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnExpressionArgument, Row, bindparam, select
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import Invalid
from b2b.models import OwnedType, fold
from b2b.models.base import Id
from b2b.prepared import Prepared, arguments, parameters
from b2b.services import owners, paging, permissions
from b2b.services.paging import Cursor, Page
from b2b.services.permissions import Action


@dataclass(frozen=True, eq=False)
class Kind:
    """Groups, or applications; there is one of each."""

    type: OwnedType
    model: Any
    """Has tenant_id, id, display_name and name_key, with an index over name and id."""
    listed: Sequence[Any]
    """Columns of a row in a list."""
    deciding: Sequence[str]
    """Columns that decide whether guests are given it by hand, by name."""
    takes_guests: Callable[[Row[Any]], bool]
    gone: str
    of_others: str
    refused: str
    """Sentences, marked for translation: no longer there; not the actor's to give; not for guests.
    The latter two with %(name)s.
    """


@dataclass(frozen=True)
class Named:
    """A group or an application as an invitation speaks of it."""

    id: UUID
    display_name: str
    takes_guests: bool


def listing(
    session: Session,
    actor: Actor,
    kind: Kind,
    *,
    search: str = "",
    mine: bool = False,
    after: Cursor | None = None,
    before: Cursor | None = None,
) -> Page:
    """A page of one kind by name; *search* is the beginning of a name, *mine* those the actor owns.

    Rows have the columns `kind.listed`. Raises Denied.
    """
    permissions.require(actor, Action.READ_DIRECTORY)
    model = kind.model
    query = select(*kind.listed).where(model.tenant_id == actor.tenant_id)
    if fold(search):
        query = query.where(paging.begins(model.name_key, search))
    if mine:
        query = query.where(model.id.in_(owners.ids_of(actor, kind.type)))
    return paging.by_key(session, query, model.name_key, model.id, after=after, before=before)


def offered(
    session: Session,
    actor: Actor,
    kind: Kind,
    *conditions: ColumnExpressionArgument[bool],
    limit: int,
    including: Iterable[UUID],
) -> list[Any]:
    """Those that meet *conditions* and that *actor* can give, by name: his own, or all by a role.

    Those of *including* are there even if they come after the first *limit*.
    """
    model = kind.model
    query = select(model).where(model.tenant_id == actor.tenant_id, *conditions)
    if not owners.administers(actor, kind.type):
        query = query.where(model.id.in_(owners.ids_of(actor, kind.type)))
    by_name = query.order_by(model.name_key, model.id)
    found = list(session.scalars(by_name.limit(limit)))
    missing = set(including) - {one.id for one in found}
    if missing and len(found) == limit:
        found += session.scalars(by_name.where(model.id.in_(missing)))
    return found


# Built once: making a statement costs more than running it.
@functools.lru_cache(maxsize=128)
def _named(kind: Kind, count: int) -> Prepared:
    columns = kind.model.__table__.c
    return Prepared(
        select(columns.id, columns.display_name, *(columns[name] for name in kind.deciding))
        .where(
            columns.tenant_id == bindparam("tenant_id", type_=Id),
            columns.id.in_(parameters("id", count, Id)),
        )
        .order_by(columns.name_key, columns.id)
    )


def for_guests(
    session: Session, actor: Actor, kind: Kind, ids: Iterable[UUID], *, field: str
) -> list[Named]:
    """Those of *ids*, which *actor* owns or administers; all of them must take guests.

    Raises Invalid(field), with the code Forbidden for what is not his to give (threats.md, APP-2).
    """
    wanted = list(dict.fromkeys(ids))
    if not wanted:
        return []
    found = [
        Named(row.id, row.display_name, kind.takes_guests(row))
        for row in _named(kind, len(wanted)).all(
            session.connection(), tenant_id=actor.tenant_id, **arguments("id", wanted)
        )
    ]
    if len(found) != len(wanted):
        raise Invalid(field, kind.gone)
    others = owners.beyond(session, actor, kind.type, wanted)
    for one in found:
        if one.id in others:
            raise Invalid(field, kind.of_others, code="Forbidden", name=one.display_name)
        if not one.takes_guests:
            raise Invalid(field, kind.refused, name=one.display_name)
    return found
