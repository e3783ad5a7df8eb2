"""Applications of a tenant and who is assigned to them."""

import functools
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, insert, select
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, Invalid
from b2b.models import (
    DEFAULT_ACCESS,
    AppRoleAssignment,
    Membership,
    PrincipalType,
    ServicePrincipal,
    new_id,
)
from b2b.models.base import Id
from b2b.models.prepared import Prepared, arguments, parameters

_INSERT = Prepared(insert(AppRoleAssignment))
# Built once: making a statement costs more than running it.
_principals = ServicePrincipal.__table__


@functools.lru_cache(maxsize=64)
def _named(count: int) -> Prepared:
    return Prepared(
        select(
            _principals.c.id,
            _principals.c.display_name,
            _principals.c.members_only,
            _principals.c.account_enabled,
        )
        .where(
            _principals.c.tenant_id == bindparam("tenant_id", type_=Id),
            _principals.c.id.in_(parameters("id", count, Id)),
        )
        .order_by(_principals.c.name_key, _principals.c.id)
    )


@dataclass(frozen=True)
class Named:
    """An application as an invitation speaks of it."""

    id: UUID
    display_name: str
    takes_guests: bool


@dataclass(frozen=True)
class Tile:
    """An application in somebody's My Apps."""

    id: UUID
    name: str
    description: str | None
    url: str | None


def offered(session: Session, actor: Actor, *, limit: int = 200) -> Sequence[ServicePrincipal]:
    """Applications that guests can be assigned to, by name."""
    return session.scalars(
        select(ServicePrincipal)
        .where(
            ServicePrincipal.tenant_id == actor.tenant_id,
            ServicePrincipal.account_enabled,
            ~ServicePrincipal.members_only,
        )
        .order_by(ServicePrincipal.name_key, ServicePrincipal.id)
        .limit(limit)
    ).all()


def for_guests(
    session: Session, actor: Actor, ids: Iterable[UUID], *, field: str = "applications"
) -> Sequence[Named]:
    """The applications *ids*, all of which must take guests. Raises Invalid(field)."""
    wanted = list(dict.fromkeys(ids))
    if not wanted:
        return []
    found = [
        Named(row.id, row.display_name, row.account_enabled and not row.members_only)
        for row in _named(len(wanted)).all(
            session.connection(), tenant_id=actor.tenant_id, **arguments("id", wanted)
        )
    ]
    if len(found) != len(wanted):
        raise Invalid(field, N_("One of these applications does not exist any more."))
    for application in found:
        if not application.takes_guests:
            raise Invalid(
                field,
                N_("%(name)s is for members only; guests cannot be assigned to it."),
                name=application.display_name,
            )
    return found


def assign(
    session: Session,
    tenant_id: UUID,
    grants: Iterable[tuple[UUID, UUID]],
    now: datetime,
    *,
    principal_type: PrincipalType = PrincipalType.USER,
    new_people: Container[UUID] = (),
) -> list[tuple[UUID, UUID]]:
    """Assign (principal, application) pairs with default access; returns those that were new.

    *new_people* were made in this transaction and hold nothing yet.
    """
    pairs = list(dict.fromkeys(grants))
    if not pairs:
        return []
    known = {principal for principal, _ in pairs if principal not in new_people}
    held = set()
    if known:
        held = {
            (row.principal_id, row.service_principal_id)
            for row in session.execute(
                select(
                    AppRoleAssignment.principal_id, AppRoleAssignment.service_principal_id
                ).where(
                    AppRoleAssignment.tenant_id == tenant_id,
                    AppRoleAssignment.principal_id.in_(known),
                )
            )
        }
    fresh = [pair for pair in pairs if pair not in held]
    if fresh:
        _INSERT.write(
            session.connection(),
            [
                {
                    "tenant_id": tenant_id,
                    "id": new_id(),
                    "service_principal_id": application,
                    "principal_id": principal,
                    "principal_type": principal_type,
                    "app_role_id": DEFAULT_ACCESS,
                    "created_at": now,
                }
                for principal, application in fresh
            ],
        )
    return fresh


def tiles(session: Session, tenant_id: UUID, user_id: UUID) -> list[Tile]:
    """What somebody may open: assigned himself or through a group he is in (direct members
    only).
    """
    groups = select(Membership.group_id).where(
        Membership.tenant_id == tenant_id, Membership.user_id == user_id
    )
    assigned = select(AppRoleAssignment.service_principal_id).where(
        AppRoleAssignment.tenant_id == tenant_id,
        (AppRoleAssignment.principal_id == user_id) | AppRoleAssignment.principal_id.in_(groups),
    )
    rows = session.execute(
        select(
            ServicePrincipal.id,
            ServicePrincipal.display_name,
            ServicePrincipal.description,
            ServicePrincipal.sign_in_url,
        )
        .where(
            ServicePrincipal.tenant_id == tenant_id,
            ServicePrincipal.id.in_(assigned),
            ServicePrincipal.account_enabled,
        )
        .order_by(ServicePrincipal.name_key, ServicePrincipal.id)
    )
    return [Tile(*row) for row in rows]
