"""Owners of a group or an application: looking for one, naming and dismissing them."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import render_template, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_
from b2b.extensions import db
from b2b.models import OwnedType
from b2b.services import app_registrations, applications, groups, owners
from b2b.services.owners import Owned
from b2b.services.permissions import Action
from b2b.web.admin import acting, bp
from b2b.web.admin.acting import act, posted
from b2b.web.brand import as_uuid
from b2b.web.context import actor, allowed

_GROUP = {"kind": OwnedType.GROUP}
_APPLICATION = {"kind": OwnedType.SERVICE_PRINCIPAL}
REGISTRATION = "AppRegistration"
"""An application by its registration, whose page its owners are looked after on."""
_REGISTRATION = {"kind": REGISTRATION}


def _owned(session: Session, who: Actor, kind: str, owned_id: str) -> Owned:
    """What an address names. Raises NotFound."""
    if kind == REGISTRATION:
        return app_registrations.get(session, who, as_uuid(owned_id)).owned
    if kind == OwnedType.GROUP:
        return groups.owned(groups.get(session, who, as_uuid(owned_id)))
    return applications.owned(applications.get(session, who, as_uuid(owned_id)))


def page_of(kind: str, owned_id: UUID | str) -> str:
    """The address of the page whose owners these are."""
    if kind == REGISTRATION:
        return url_for("admin.app_registration", registration_id=owned_id)
    if kind == OwnedType.GROUP:
        return url_for("admin.group", group_id=owned_id)
    return url_for("admin.application", application_id=owned_id)


@bp.get("/groups/<owned_id>/owners/add", defaults=_GROUP)
@bp.get("/applications/<owned_id>/owners/add", defaults=_APPLICATION)
@bp.get("/app-registrations/<owned_id>/owners/add", defaults=_REGISTRATION)
@allowed(Action.READ_DIRECTORY)
def find_owner(kind: str, owned_id: str) -> ResponseReturnValue:
    """Look for somebody to own a group or an application."""
    session, who = db.session(), actor()
    owned = _owned(session, who, kind, owned_id)
    owners.require(session, who, owned)
    people = acting.people()
    return render_template(
        "admin/resources/find_owner.html",
        owned=owned,
        kind=kind,
        owned_id=owned_id,
        page_url=page_of(kind, owned_id),
        people=people,
        held=owners.held_by(session, who, owned, [row[0] for row in people]),
        search=acting.typed(),
    )


@bp.post("/groups/<owned_id>/owners", defaults=_GROUP)
@bp.post("/applications/<owned_id>/owners", defaults=_APPLICATION)
@bp.post("/app-registrations/<owned_id>/owners", defaults=_REGISTRATION)
@allowed(Action.READ_DIRECTORY)
def add_owner(kind: str, owned_id: str) -> ResponseReturnValue:
    """Make somebody an owner."""
    return _change(owners.add, kind, owned_id, N_("%(name)s owns this now."))


@bp.post("/groups/<owned_id>/owners/remove", defaults=_GROUP)
@bp.post("/applications/<owned_id>/owners/remove", defaults=_APPLICATION)
@bp.post("/app-registrations/<owned_id>/owners/remove", defaults=_REGISTRATION)
@allowed(Action.READ_DIRECTORY)
def remove_owner(kind: str, owned_id: str) -> ResponseReturnValue:
    """Take the ownership away."""
    return _change(owners.remove, kind, owned_id, N_("%(name)s owns this no longer."))


def _change(change: Callable[..., Any], kind: str, owned_id: str, done: str) -> ResponseReturnValue:
    person = posted("owner")
    return act(
        page_of(kind, owned_id),
        lambda session, who: change(session, who, _owned(session, who, kind, owned_id), person),
        done,
    )
