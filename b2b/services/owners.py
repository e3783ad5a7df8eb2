"""Owners look after a group or an application: who they are, what they may (threats.md, APP-2)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Select, delete, select
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, Conflict, Denied, NotFound
from b2b.models import OwnedType, Owner, User
from b2b.services import audit, permissions
from b2b.services.audit import Activity, Change, Entry
from b2b.services.permissions import Action

MOST = 100
"""Owners of one thing, as in Graph."""

_ACTIONS = {
    OwnedType.GROUP: Action.MANAGE_GROUPS,
    OwnedType.SERVICE_PRINCIPAL: Action.MANAGE_APPLICATIONS,
}
_ADDED = {
    OwnedType.GROUP: Activity.ADD_GROUP_OWNER,
    OwnedType.SERVICE_PRINCIPAL: Activity.ADD_APPLICATION_OWNER,
}
_REMOVED = {
    OwnedType.GROUP: Activity.REMOVE_GROUP_OWNER,
    OwnedType.SERVICE_PRINCIPAL: Activity.REMOVE_APPLICATION_OWNER,
}


@dataclass(frozen=True)
class Owned:
    """A group or an application."""

    kind: OwnedType
    id: UUID
    name: str


def administers(actor: Actor, kind: OwnedType) -> bool:
    """Whether a role lets *actor* manage everything of this kind."""
    return permissions.allows(actor, _ACTIONS[kind])


def ids_of(actor: Actor, kind: OwnedType) -> Select[UUID]:
    """The ids of what *actor* owns, as a query."""
    return select(Owner.owned_id).where(
        Owner.tenant_id == actor.tenant_id,
        Owner.user_id == actor.user_id,
        Owner.owned_type == kind,
    )


def beyond(session: Session, actor: Actor, kind: OwnedType, ids: Iterable[UUID]) -> set[UUID]:
    """Those of *ids* that *actor* neither owns nor administers, as of this transaction."""
    wanted = set(ids)
    if not wanted or administers(actor, kind):
        return set()
    return wanted - set(session.scalars(ids_of(actor, kind).where(Owner.owned_id.in_(wanted))))


def may_manage(session: Session, actor: Actor, owned: Owned) -> bool:
    """Whether *actor* owns this or administers its kind."""
    return not beyond(session, actor, owned.kind, [owned.id])


def require(session: Session, actor: Actor, owned: Owned) -> None:
    """Raise Denied unless *actor* owns this or administers its kind."""
    if not may_manage(session, actor, owned):
        raise Denied(
            N_("Only owners of %(name)s and people with the role %(role)s may do this."),
            name=owned.name,
            role=permissions.least_role(_ACTIONS[owned.kind]).display_name,
        )


def of(session: Session, actor: Actor, owned: Owned) -> Sequence[Row[Any]]:
    """The owners: id, display_name, mail, user_principal_name, by name; nobody deleted."""
    query: Any = (
        select(User.id, User.display_name, User.mail, User.user_principal_name)
        .join(Owner, (Owner.tenant_id == User.tenant_id) & (Owner.user_id == User.id))
        .where(
            Owner.tenant_id == actor.tenant_id,
            Owner.owned_id == owned.id,
            User.deleted_at.is_(None),
        )
        .order_by(User.name_key, User.id)
        .limit(MOST)
    )
    return session.execute(query).all()


def held_by(
    session: Session, actor: Actor, owned: Owned, people: Iterable[UUID]
) -> frozenset[UUID]:
    """Which of *people* own this already."""
    return frozenset(
        session.scalars(
            select(Owner.user_id).where(
                Owner.tenant_id == actor.tenant_id,
                Owner.owned_id == owned.id,
                Owner.user_id.in_(list(people)),
            )
        )
    )


def add(session: Session, actor: Actor, owned: Owned, user_id: UUID) -> str:
    """Make somebody an owner; returns the name. Raises Denied, NotFound, Conflict."""
    audit.lock(session, actor.tenant_id)
    require(session, actor, owned)
    person = somebody(session, actor, user_id)
    if held_by(session, actor, owned, [user_id]):
        raise Conflict(N_("%(name)s owns this already."), name=person.display_name)
    if len(of(session, actor, owned)) >= MOST:
        raise Conflict(N_("At most %(most)s owners."), most=MOST)
    put(session, actor, owned, person)
    return person.display_name


def put(session: Session, actor: Actor, owned: Owned, person: User) -> None:
    """Write that *person* owns this, and audit it; the caller has asked whether it may be."""
    session.add(
        Owner(
            tenant_id=actor.tenant_id,
            owned_id=owned.id,
            user_id=person.id,
            owned_type=owned.kind,
        )
    )
    session.flush()
    audit.record(
        session,
        actor,
        Entry(
            _ADDED[owned.kind],
            str(owned.kind),
            owned.id,
            owned.name,
            [Change("Owner", None, person.display_name)],
        ),
    )


def remove(session: Session, actor: Actor, owned: Owned, user_id: UUID) -> str:
    """Take ownership away; returns the name. Raises Denied, Conflict."""
    audit.lock(session, actor.tenant_id)
    require(session, actor, owned)
    person = session.get(User, (actor.tenant_id, user_id))
    gone = session.execute(
        delete(Owner).where(
            Owner.tenant_id == actor.tenant_id,
            Owner.owned_id == owned.id,
            Owner.user_id == user_id,
        )
    )
    if person is None or not gone.rowcount:  # type: ignore[attr-defined]
        raise Conflict(N_("This person is not among the owners."))
    audit.record(
        session,
        actor,
        Entry(
            _REMOVED[owned.kind],
            str(owned.kind),
            owned.id,
            owned.name,
            [Change("Owner", person.display_name, None)],
        ),
    )
    return person.display_name


def somebody(session: Session, actor: Actor, user_id: UUID) -> User:
    """A person of the tenant who is not deleted. Raises NotFound."""
    found = session.get(User, (actor.tenant_id, user_id))
    if found is None or found.deleted_at is not None:
        raise NotFound(N_("There is nobody here with this id."))
    return found
