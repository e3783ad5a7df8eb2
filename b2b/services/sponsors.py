"""Who answers for a guest (invitations.md, section 1: at most five users or groups)."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, Conflict, Invalid, NotFound
from b2b.models import Group, Sponsor, SponsorType, User
from b2b.services import users
from b2b.services.audit import Activity, Change
from b2b.services.permissions import Action

MOST = 5


@dataclass(frozen=True)
class Named:
    """A sponsor as pages show it."""

    id: UUID
    display_name: str
    kind: SponsorType


def named(
    session: Session, actor: Actor, ids: Iterable[UUID], *, field: str = "sponsors"
) -> Sequence[Named]:
    """The users and groups *ids* of the tenant, in that order. Raises Invalid(field)."""
    wanted = list(dict.fromkeys(ids))
    if not wanted:
        return []
    if len(wanted) > MOST:
        raise Invalid(field, N_("At most %(most)s sponsors."), most=MOST)
    found: dict[UUID, Named] = {}
    for model, kind in ((User, SponsorType.USER), (Group, SponsorType.GROUP)):
        query = select(model.id, model.display_name).where(
            model.tenant_id == actor.tenant_id, model.id.in_(wanted)
        )
        if model is User:
            query = query.where(User.deleted_at.is_(None))
        found |= {row.id: Named(row.id, row.display_name, kind) for row in session.execute(query)}
    if len(found) != len(wanted):
        raise Invalid(field, N_("One of these sponsors does not exist any more."))
    return [found[one] for one in wanted]


def rows(actor: Actor, user_id: UUID, chosen: Sequence[Named]) -> list[dict[str, Any]]:
    """Rows for a new guest: those chosen, else the inviter if it is a person of this tenant."""
    kinds = [(sponsor.id, sponsor.kind) for sponsor in chosen]
    if not kinds and actor.user_id is not None:
        kinds = [(actor.user_id, SponsorType.USER)]
    return [
        {
            "tenant_id": actor.tenant_id,
            "user_id": user_id,
            "sponsor_id": sponsor_id,
            "sponsor_type": kind,
        }
        for sponsor_id, kind in kinds
    ]


def add(session: Session, actor: Actor, user_id: UUID, sponsor_id: UUID) -> User:
    """Let a user or group answer for somebody. Raises Denied, NotFound, Invalid, Conflict."""
    user = users.for_change(session, actor, user_id, Action.UPDATE_USER)
    [chosen] = named(session, actor, [sponsor_id])
    held = {one.id: one for one in (of_user(session, actor.tenant_id, user.id))}
    if chosen.id in held:
        raise Conflict(
            N_("%(name)s answers for %(user)s already."),
            name=chosen.display_name,
            user=user.display_name,
        )
    if len(held) >= MOST:
        raise Conflict(N_("At most %(most)s sponsors."), most=MOST)
    session.execute(
        insert(Sponsor),
        {
            "tenant_id": actor.tenant_id,
            "user_id": user.id,
            "sponsor_id": chosen.id,
            "sponsor_type": chosen.kind,
        },
    )
    change = Change("Sponsor", None, chosen.display_name)
    users.record(session, actor, Activity.ADD_SPONSOR, user, [change])
    return user


def remove(session: Session, actor: Actor, user_id: UUID, sponsor_id: UUID) -> User:
    """Let somebody no longer answer for somebody. Raises Denied, NotFound."""
    user = users.for_change(session, actor, user_id, Action.UPDATE_USER)
    gone = session.execute(
        delete(Sponsor).where(
            Sponsor.tenant_id == actor.tenant_id,
            Sponsor.user_id == user.id,
            Sponsor.sponsor_id == sponsor_id,
        )
    )
    if not gone.rowcount:  # type: ignore[attr-defined]
        raise NotFound(N_("This one does not answer for %(name)s."), name=user.display_name)
    change = Change("Sponsor", str(sponsor_id), None)
    users.record(session, actor, Activity.REMOVE_SPONSOR, user, [change])
    return user


def of_users(
    session: Session, actor: Actor, user_ids: Collection[UUID]
) -> dict[UUID, list[tuple[SponsorType, UUID]]]:
    """Who answers for each of these people: kind and id, in the order of ids."""
    found: dict[UUID, list[tuple[SponsorType, UUID]]] = {}
    for row in session.execute(
        select(Sponsor.user_id, Sponsor.sponsor_type, Sponsor.sponsor_id)
        .where(Sponsor.tenant_id == actor.tenant_id, Sponsor.user_id.in_(list(user_ids)))
        .order_by(Sponsor.user_id, Sponsor.sponsor_id)
    ):
        found.setdefault(row.user_id, []).append((row.sponsor_type, row.sponsor_id))
    return found


def of_user(session: Session, tenant_id: UUID, user_id: UUID) -> Sequence[Named]:
    """Who answers for somebody and is still there, by name; nobody means User Administrators."""
    people = (
        select(User.id, User.display_name, Sponsor.sponsor_type)
        .join(Sponsor, (Sponsor.tenant_id == User.tenant_id) & (Sponsor.sponsor_id == User.id))
        .where(
            Sponsor.tenant_id == tenant_id, Sponsor.user_id == user_id, User.deleted_at.is_(None)
        )
    )
    teams = (
        select(Group.id, Group.display_name, Sponsor.sponsor_type)
        .join(Sponsor, (Sponsor.tenant_id == Group.tenant_id) & (Sponsor.sponsor_id == Group.id))
        .where(Sponsor.tenant_id == tenant_id, Sponsor.user_id == user_id)
    )
    found = [*session.execute(people), *session.execute(teams)]
    return sorted((Named(*row) for row in found), key=lambda one: one.display_name.casefold())
