"""Who answers for a guest (invitations.md, section 1: at most five users or groups)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, Invalid
from b2b.models import Group, Sponsor, SponsorType, User

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
