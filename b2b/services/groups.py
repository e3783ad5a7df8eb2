"""Groups of a tenant and who is in them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, Invalid
from b2b.models import Group, Membership, User


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
) -> Sequence[Group]:
    """The groups *ids*; dynamic and synced ones are refused. Raises Invalid(field)."""
    wanted = list(dict.fromkeys(ids))
    if not wanted:
        return []
    found = session.scalars(
        select(Group)
        .where(Group.tenant_id == actor.tenant_id, Group.id.in_(wanted))
        .order_by(Group.name_key, Group.id)
    ).all()
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
    session: Session, tenant_id: UUID, pairs: Iterable[tuple[UUID, UUID]], now: datetime
) -> list[tuple[UUID, UUID]]:
    """Put (user, group) pairs into effect; returns those that were new."""
    wanted = list(dict.fromkeys(pairs))
    if not wanted:
        return []
    people = {user for user, _ in wanted}
    held = set(
        session.execute(
            select(Membership.user_id, Membership.group_id).where(
                Membership.tenant_id == tenant_id, Membership.user_id.in_(people)
            )
        )
    )
    fresh = [pair for pair in wanted if pair not in held]
    if fresh:
        names = dict(
            session.execute(
                select(User.id, User.name_key).where(
                    User.tenant_id == tenant_id, User.id.in_(people)
                )
            ).all()
        )
        session.connection().execute(
            insert(Membership.__table__),  # type: ignore[arg-type]
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
