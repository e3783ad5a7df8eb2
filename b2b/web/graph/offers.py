"""What applications offer to others, as Graph writes it: roles and delegated permissions of
registrations and service principals alike (groups-apps-roles.md, section 2).
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select

from b2b.models import AppRole, PermissionScope
from b2b.services import offered_permissions
from b2b.services.app_registrations import Registered
from b2b.web.graph import values
from b2b.web.graph.calls import Call, GraphError, bad

CODE = "Request_BadRequest"
MOST = 400


def role(row: AppRole) -> dict[str, Any]:
    """An appRole."""
    kinds = [
        kind
        for kind, held in (("User", row.for_users), ("Application", row.for_applications))
        if held
    ]
    return {
        "allowedMemberTypes": kinds,
        "description": row.description or row.display_name,
        "displayName": row.display_name,
        "id": str(row.id),
        "isEnabled": row.is_enabled,
        "origin": "Application",
        "value": row.value,
    }


def scope(row: PermissionScope) -> dict[str, Any]:
    """A permissionScope."""
    words = row.description or row.display_name
    return {
        "adminConsentDescription": words,
        "adminConsentDisplayName": row.display_name,
        "id": str(row.id),
        "isEnabled": row.is_enabled,
        "type": "Admin" if row.admins_only else "User",
        "userConsentDescription": words,
        "userConsentDisplayName": row.display_name,
        "value": row.value,
    }


def of_principals(
    call: Call, model: type[AppRole] | type[PermissionScope], ids: Collection[UUID]
) -> dict[UUID, list[dict[str, Any]]]:
    """Roles or scopes by service principal, by value; one query."""
    found: dict[UUID, list[dict[str, Any]]] = {one: [] for one in ids}
    rows: Any = call.session.scalars(
        select(model)
        .where(model.tenant_id == call.actor.tenant_id, model.service_principal_id.in_(list(ids)))
        .order_by(model.value, model.id)
    )
    for row in rows:
        made = role(row) if isinstance(row, AppRole) else scope(row)
        found[row.service_principal_id].append(made)
    return found


# Written -----------------------------------------------------------------------------------------

_ROLE = ("allowedMemberTypes", "description", "displayName", "id", "isEnabled", "origin", "value")
_SCOPE = ("adminConsentDescription", "adminConsentDisplayName", "id", "isEnabled", "origin", "type",
          "userConsentDescription", "userConsentDisplayName", "value")  # fmt: skip


def set_roles(call: Call, found: Registered, wanted: Sequence[Mapping[str, Any]]) -> None:
    """Make the roles of a registration those of *wanted*; nothing that is switched on goes away
    unsaid. Raises GraphError, Denied, Invalid, Conflict.
    """
    ids = _ids("appRoles", wanted)
    for row in offered_permissions.roles_of(call.session, found):
        if row.id not in ids:
            _require_off(row.is_enabled, "appRoles")
            offered_permissions.drop_role(call.session, call.actor, found.registration.id, row.id)
    for role_id, one in zip(ids, wanted, strict=True):
        values.only("appRole", one, *_ROLE)
        kinds = values.items(one, "allowedMemberTypes", code=CODE)
        if not kinds or any(kind not in ("User", "Application") for kind in kinds):
            raise bad("allowedMemberTypes holds User, Application or both.", target="appRoles")
        offered_permissions.define_role(
            call.session,
            call.actor,
            found.registration.id,
            values.text(one, "value", required=True, code=CODE) or "",
            display_name=values.text(one, "displayName", required=True, code=CODE) or "",
            description=values.text(one, "description", code=CODE),
            for_users="User" in kinds,
            for_applications="Application" in kinds,
            is_enabled=values.flag(one, "isEnabled", code=CODE) is not False,
            role_id=role_id,
        )


def set_scopes(call: Call, found: Registered, wanted: Sequence[Any]) -> None:
    """The same for its delegated permissions."""
    ids = _ids("oauth2PermissionScopes", wanted)
    for row in offered_permissions.scopes_of(call.session, found):
        if row.id not in ids:
            _require_off(row.is_enabled, "oauth2PermissionScopes")
            offered_permissions.withdraw_scope(
                call.session, call.actor, found.registration.id, row.id
            )
    for scope_id, one in zip(ids, wanted, strict=True):
        values.only("permissionScope", one, *_SCOPE)
        kind = values.text(one, "type", code=CODE) or "User"
        if kind not in ("User", "Admin"):
            raise bad("type is User or Admin.", target="oauth2PermissionScopes")
        value = values.text(one, "value", required=True, code=CODE) or ""
        offered_permissions.expose_scope(
            call.session,
            call.actor,
            found.registration.id,
            value,
            display_name=values.text(one, "adminConsentDisplayName", code=CODE) or value,
            description=values.text(one, "adminConsentDescription", code=CODE),
            admins_only=kind == "Admin",
            is_enabled=values.flag(one, "isEnabled", code=CODE) is not False,
            scope_id=scope_id,
        )


def _ids(name: str, wanted: Sequence[Any]) -> list[UUID]:
    if len(wanted) > MOST or not all(isinstance(one, dict) for one in wanted):
        raise bad(f"{name} holds at most {MOST} objects.", target=name)
    ids = [values.identifier(one.get("id"), "id") for one in wanted]
    if len(set(ids)) != len(ids):
        raise bad(f"An id stands twice in {name}.", target=name)
    return ids


def _require_off(is_enabled: bool, name: str) -> None:
    if is_enabled:
        raise GraphError(
            400,
            "CannotDeleteOrUpdateEnabledEntitlement",
            "Property value cannot be deleted unless it is disabled first.",
            target=name,
        )
