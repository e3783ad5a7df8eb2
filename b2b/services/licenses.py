"""What can be licensed to people here, and who has it (audit-reporting.md, section 5)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import delete, func, insert, select
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, Conflict, Invalid
from b2b.models import LicenseAssignment, User
from b2b.services import users
from b2b.services.audit import Activity, Change
from b2b.services.permissions import Action


@dataclass(frozen=True)
class Sku:
    """Something that is bought by the head, under the real service's ids."""

    id: UUID
    part_number: str
    holds_mailbox: bool = False


SKUS = (
    Sku(UUID("2b9c8e7c-319c-43a2-a2a0-48c5c6161de7"), "AAD_BASIC"),
    Sku(UUID("078d2b04-f1bd-4111-bbd4-b4b1b354cef4"), "AAD_PREMIUM"),
    Sku(UUID("84a661c4-e949-4bd2-a560-ed7766fcaf2b"), "AAD_PREMIUM_P2"),
    Sku(UUID("4b9405b0-7788-4568-add1-99614e613b69"), "EXCHANGESTANDARD", holds_mailbox=True),
)
BY_ID: Mapping[UUID, Sku] = {sku.id: sku for sku in SKUS}


def of_user(session: Session, tenant_id: UUID, user_id: UUID) -> Sequence[LicenseAssignment]:
    """What somebody has."""
    return session.scalars(
        select(LicenseAssignment)
        .where(LicenseAssignment.tenant_id == tenant_id, LicenseAssignment.user_id == user_id)
        .order_by(LicenseAssignment.sku_id)
    ).all()


def counts(session: Session, actor: Actor) -> dict[UUID, int]:
    """How many people have each, deleted ones left out."""
    rows = session.execute(
        select(LicenseAssignment.sku_id, func.count())
        .join(
            User,
            (User.tenant_id == LicenseAssignment.tenant_id)
            & (User.id == LicenseAssignment.user_id)
            & User.deleted_at.is_(None),
        )
        .where(LicenseAssignment.tenant_id == actor.tenant_id)
        .group_by(LicenseAssignment.sku_id)
    )
    return {row[0]: row[1] for row in rows}


def has_mailbox(session: Session, tenant_id: UUID, user_id: UUID) -> bool:
    """Whether somebody has a licence that comes with a mailbox."""
    return any(
        BY_ID[one.sku_id].holds_mailbox
        for one in of_user(session, tenant_id, user_id)
        if one.sku_id in BY_ID
    )


def assign(
    session: Session,
    actor: Actor,
    user_id: UUID,
    *,
    add: Mapping[UUID, Sequence[str]],
    remove: Collection[UUID],
) -> User:
    """Give and take licences in one event; *add* has disabled plans by the id of the licence.

    Giving one needs a country (users.md, usageLocation). Raises Denied, NotFound, Conflict,
    Invalid("sku_id").
    """
    user = users.for_change(session, actor, user_id, Action.UPDATE_USER)
    if user.deleted_at is not None:
        raise Conflict(N_("%(name)s is deleted."), name=user.display_name)
    for sku_id in (*add, *remove):
        if sku_id not in BY_ID:
            raise Invalid("sku_id", N_("There is no licence %(id)s."), id=sku_id)
    held = {one.sku_id for one in of_user(session, actor.tenant_id, user.id)}
    for sku_id in remove:
        if sku_id not in held:
            raise Invalid("sku_id", N_("%(name)s has no such licence."), name=user.display_name)
    if add and not user.usage_location:
        raise Invalid(
            "usage_location",
            N_("Licences need to know the country: set the usage location of %(name)s first."),
            name=user.display_name,
        )
    gone = {*remove, *add}
    if gone:
        session.execute(
            delete(LicenseAssignment).where(
                LicenseAssignment.tenant_id == actor.tenant_id,
                LicenseAssignment.user_id == user.id,
                LicenseAssignment.sku_id.in_(gone),
            )
        )
    if add:
        session.execute(
            insert(LicenseAssignment),
            [
                {
                    "tenant_id": actor.tenant_id,
                    "user_id": user.id,
                    "sku_id": sku_id,
                    "disabled_plans": list(plans),
                    "assigned_at": actor.now,
                }
                for sku_id, plans in add.items()
            ],
        )
    after = (held | set(add)) - set(remove)
    if after != held:
        change = Change("AssignedLicense", _names(held), _names(after))
        users.record(session, actor, Activity.CHANGE_LICENSE, user, [change])
    return user


def _names(held: Collection[UUID]) -> str | None:
    return ", ".join(sorted(BY_ID[one].part_number for one in held if one in BY_ID)) or None
