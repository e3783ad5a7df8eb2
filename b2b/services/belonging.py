"""Where an identity is somebody: at home, and wherever it is an accepted guest."""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import String, bindparam, select
from sqlalchemy.orm import Session

from b2b.actor import ExternalIdentity
from b2b.errors import N_, Conflict
from b2b.models import Identity, Tenant, TenantKind, User, UserType
from b2b.models.base import Id
from b2b.prepared import Prepared


@dataclass(frozen=True)
class Place:
    """A tenant in which an identity is somebody."""

    tenant_id: UUID
    tenant_name: str
    tenant_domain: str
    user_id: UUID
    is_guest: bool


_tenants, _people, _bound = Tenant.__table__, User.__table__, Identity.__table__
_SHOWN = (
    _tenants.c.id.label("tenant_id"),
    _tenants.c.display_name,
    _tenants.c.primary_domain,
    _people.c.id.label("user_id"),
    _people.c.user_type,
)
_AT_HOME = Prepared(
    select(*_SHOWN)
    .join(_people, _people.c.tenant_id == _tenants.c.id)
    .where(
        _tenants.c.id == bindparam("tenant_id", type_=Id),
        _tenants.c.kind == bindparam("kind", type_=_tenants.c.kind.type),
        _people.c.id == bindparam("user_id", type_=Id),
        _people.c.account_enabled,
        _people.c.deleted_at.is_(None),
    )
)
_of_account = (
    select(_bound.c.tenant_id, _bound.c.user_id)
    .where(
        _bound.c.issuer == bindparam("issuer", type_=String),
        _bound.c.subject == bindparam("subject", type_=String),
    )
    .cte("of_account")
    # Materialized: PostgreSQL, before it has counted the rows of a young table, would begin with
    # the tenants and read every identity of each.
    .prefix_with("MATERIALIZED", dialect="postgresql")
)
_ELSEWHERE = Prepared(
    select(*_SHOWN)
    .select_from(_of_account)
    .join(_tenants, _tenants.c.id == _of_account.c.tenant_id)
    .join(
        _people,
        (_people.c.tenant_id == _of_account.c.tenant_id) & (_people.c.id == _of_account.c.user_id),
    )
    .where(_people.c.account_enabled, _people.c.deleted_at.is_(None))
    .order_by(_tenants.c.display_name, _tenants.c.id)
)


def places(session: Session, identity: ExternalIdentity) -> list[Place]:
    """Everywhere this identity may act: its home organisation, and where it is an accepted
    guest.
    """
    connection = session.connection()
    found = _ELSEWHERE.all(connection, issuer=identity.issuer, subject=identity.subject)
    if identity.home_tenant_id is not None:
        home = _AT_HOME.all(
            connection,
            tenant_id=identity.home_tenant_id,
            user_id=identity.home_user_id,
            kind=TenantKind.ORGANISATION,
        )
        found = [*home, *found]
    return [
        Place(
            row.tenant_id,
            row.display_name,
            row.primary_domain,
            row.user_id,
            row.user_type is UserType.GUEST,
        )
        for row in found
    ]


def place_in(session: Session, identity: ExternalIdentity, tenant_id: UUID) -> Place:
    """Where *identity* acts in one tenant. Raises Conflict when it is nobody there."""
    for place in places(session, identity):
        if place.tenant_id == tenant_id:
            return place
    raise Conflict(N_("This account has no access to that organisation."), code="AADSTS50020")
