"""Groups of a tenant and who is in them."""

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, insert, select
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, Invalid
from b2b.models import Group, Membership, User
from b2b.models.base import Id
from b2b.models.prepared import Prepared, arguments, parameters

_INSERT = Prepared(insert(Membership))
# Built once: making a statement costs more than running it.
_groups = Group.__table__


@functools.lru_cache(maxsize=64)
def _named(count: int) -> Prepared:
    return Prepared(
        select(
            _groups.c.id,
            _groups.c.display_name,
            _groups.c.membership_rule,
            _groups.c.on_premises_sync_enabled.label("synced"),
        )
        .where(
            _groups.c.tenant_id == bindparam("tenant_id", type_=Id),
            _groups.c.id.in_(parameters("id", count, Id)),
        )
        .order_by(_groups.c.name_key, _groups.c.id)
    )


@dataclass(frozen=True)
class Named:
    """A group as an invitation speaks of it."""

    id: UUID
    display_name: str
    takes_guests: bool


def offered(session: Session, actor: Actor, *, limit: int = 200) -> Sequence[Group]:
    """Groups that somebody can be put into by hand, by name."""
    return session.scalars(
        select(Group)
        .where(
            Group.tenant_id == actor.tenant_id,
            Group.membership_rule.is_(None),
            Group.on_premises_sync_enabled.is_not(True),
        )
        .order_by(Group.name_key, Group.id)
        .limit(limit)
    ).all()


def for_guests(
    session: Session, actor: Actor, ids: Iterable[UUID], *, field: str = "groups"
) -> Sequence[Named]:
    """The groups *ids*; dynamic and synced ones are refused. Raises Invalid(field)."""
    wanted = list(dict.fromkeys(ids))
    if not wanted:
        return []
    found = [
        Named(row.id, row.display_name, row.membership_rule is None and not row.synced)
        for row in _named(len(wanted)).all(
            session.connection(), tenant_id=actor.tenant_id, **arguments("id", wanted)
        )
    ]
    if len(found) != len(wanted):
        raise Invalid(field, N_("One of these groups does not exist any more."))
    for group in found:
        if not group.takes_guests:
            raise Invalid(
                field,
                N_("%(name)s is filled by a rule or by synchronisation; nobody is added by hand."),
                name=group.display_name,
            )
    return found


def add(
    session: Session,
    tenant_id: UUID,
    pairs: Iterable[tuple[UUID, UUID]],
    now: datetime,
    *,
    new_people: Mapping[UUID, str] | None = None,
) -> list[tuple[UUID, UUID]]:
    """Put (user, group) pairs into effect; returns those that were new.

    *new_people* were made in this transaction: their folded names, which need no looking up.
    """
    new = new_people or {}
    wanted = list(dict.fromkeys(pairs))
    if not wanted:
        return []
    people = {user for user, _ in wanted} - new.keys()
    held = set()
    names = dict(new)
    if people:
        held = {
            (row.user_id, row.group_id)
            for row in session.execute(
                select(Membership.user_id, Membership.group_id).where(
                    Membership.tenant_id == tenant_id, Membership.user_id.in_(people)
                )
            )
        }
        for row in session.execute(
            select(User.id, User.name_key).where(User.tenant_id == tenant_id, User.id.in_(people))
        ):
            names[row.id] = row.name_key
    fresh = [pair for pair in wanted if pair not in held]
    if fresh:
        _INSERT.write(
            session.connection(),
            [
                {
                    "tenant_id": tenant_id,
                    "group_id": group,
                    "user_id": user,
                    "name_key": names[user],
                    "added_at": now,
                }
                for user, group in fresh
            ],
        )
    return fresh


def of_user(session: Session, tenant_id: UUID, user_id: UUID) -> Sequence[Group]:
    """Groups that somebody is in, by name."""
    return session.scalars(
        select(Group)
        .join(
            Membership,
            (Membership.tenant_id == Group.tenant_id) & (Membership.group_id == Group.id),
        )
        .where(Membership.tenant_id == tenant_id, Membership.user_id == user_id)
        .order_by(Group.name_key, Group.id)
    ).all()
