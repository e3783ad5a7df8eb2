"""What a registration offers to others: delegated permissions (scopes) and app roles."""

import re
from collections.abc import Sequence
from typing import Any, TypeVar
from uuid import UUID, uuid4

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, Conflict, Invalid, NotFound
from b2b.models import AppRole, AppRoleAssignment, PermissionScope
from b2b.services.app_registrations import (
    Registered,
    changed,
    checked_name,
    checked_text,
    for_change,
)
from b2b.services.audit import Change

Offered = TypeVar("Offered", PermissionScope, AppRole)
_VALUE = re.compile(r"[A-Za-z0-9!#$%&'()*+,./:;<=>?@\[\]^_`{|}~-]{1,120}")


def scopes_of(session: Session, found: Registered) -> Sequence[PermissionScope]:
    """The delegated permissions that its API offers, by value."""
    return _offered(session, found, PermissionScope, PermissionScope.value)


def expose_scope(
    session: Session,
    actor: Actor,
    registration_id: UUID,
    value: str,
    *,
    display_name: str,
    description: str | None = None,
    admins_only: bool = False,
    is_enabled: bool = True,
    scope_id: UUID | None = None,
) -> PermissionScope:
    """Offer a delegated permission, or change the one with *scope_id*.

    Raises Denied, NotFound, Invalid("value"), Invalid("display_name"), Conflict.
    """
    value = _value(value)
    name = checked_name(display_name)
    found = for_change(session, actor, registration_id)
    known = {row.value: row for row in scopes_of(session, found)}
    by_id = {row.id: row for row in known.values()}
    row = by_id.get(scope_id) if scope_id is not None else None
    if value in known and known[value] is not row:
        raise Conflict(N_("There is a permission %(value)s already."), value=value)
    before = None if row is None else row.value
    if row is None:
        row = PermissionScope(
            tenant_id=found.principal.tenant_id,
            service_principal_id=found.principal.id,
            id=scope_id or uuid4(),
        )
        session.add(row)
    row.value, row.display_name, row.description = value, name, checked_text(description)
    row.admins_only, row.is_enabled = admins_only, is_enabled
    session.flush()
    changed(session, actor, found, Change("Oauth2PermissionScope", before, value))
    return row


def withdraw_scope(
    session: Session, actor: Actor, registration_id: UUID, scope_id: UUID
) -> Registered:
    """Offer a delegated permission no longer. Raises Denied, NotFound."""
    found = for_change(session, actor, registration_id)
    key = (found.principal.tenant_id, found.principal.id, scope_id)
    row = session.get(PermissionScope, key)
    if row is None:
        raise NotFound(N_("There is no permission with this id."))
    session.delete(row)
    session.flush()
    return changed(session, actor, found, Change("Oauth2PermissionScope", row.value, None))


def roles_of(session: Session, found: Registered) -> Sequence[AppRole]:
    """The app roles that it offers, by name."""
    return _offered(session, found, AppRole, AppRole.display_name)


def define_role(
    session: Session,
    actor: Actor,
    registration_id: UUID,
    value: str,
    *,
    display_name: str,
    description: str | None = None,
    for_users: bool = True,
    for_applications: bool = False,
    is_enabled: bool = True,
    role_id: UUID | None = None,
) -> AppRole:
    """Offer an app role, or change the one with *role_id*.

    Raises Denied, NotFound, Invalid("value"), Invalid("for_users"), Invalid("display_name"),
    Conflict.
    """
    value, name = _value(value), checked_name(display_name)
    if not (for_users or for_applications):
        raise Invalid("for_users", N_("Say whom the role is for: people, programs or both."))
    found = for_change(session, actor, registration_id)
    known = roles_of(session, found)
    row = next((one for one in known if role_id is not None and one.id == role_id), None)
    if any(one.value == value and one is not row for one in known):
        raise Conflict(N_("There is a role %(value)s already."), value=value)
    before = None if row is None else row.value
    if row is None:
        row = AppRole(
            tenant_id=found.principal.tenant_id,
            service_principal_id=found.principal.id,
            id=role_id or uuid4(),
        )
        session.add(row)
    row.value, row.display_name, row.description = value, name, checked_text(description)
    row.for_users, row.for_applications, row.is_enabled = for_users, for_applications, is_enabled
    session.flush()
    changed(session, actor, found, Change("AppRole", before, value))
    return row


def drop_role(session: Session, actor: Actor, registration_id: UUID, role_id: UUID) -> Registered:
    """Offer an app role no longer; its assignments go with it. Raises Denied, NotFound."""
    found = for_change(session, actor, registration_id)
    row = session.get(AppRole, (found.principal.tenant_id, found.principal.id, role_id))
    if row is None:
        raise NotFound(N_("There is no role with this id."))
    session.execute(
        delete(AppRoleAssignment).where(
            AppRoleAssignment.tenant_id == row.tenant_id,
            AppRoleAssignment.service_principal_id == row.service_principal_id,
            AppRoleAssignment.app_role_id == row.id,
        )
    )
    session.delete(row)
    session.flush()
    return changed(session, actor, found, Change("AppRole", row.value, None))


def _offered(
    session: Session, found: Registered, model: type[Offered], by: Any
) -> Sequence[Offered]:
    return session.scalars(
        select(model)
        .where(
            model.tenant_id == found.principal.tenant_id,
            model.service_principal_id == found.principal.id,
        )
        .order_by(by, model.id)
    ).all()


def _value(text: str) -> str:
    if not _VALUE.fullmatch(text) or text.startswith("."):
        raise Invalid(
            "value", N_("Use letters, digits and signs without spaces, such as Files.Read.")
        )
    return text
