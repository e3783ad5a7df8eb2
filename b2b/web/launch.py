"""Opening an application from My Apps: a link of its own, which also works as a way in."""

import re
from typing import Any
from uuid import UUID

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue

from b2b import links
from b2b.errors import N_, Conflict, Invalid, NotFound
from b2b.extensions import db
from b2b.models import Tenant
from b2b.services import applications, visitors
from b2b.services.aadsts import SignInRefused
from b2b.services.applications import Tile
from b2b.web import brand, context
from b2b.web.brand import as_uuid
from b2b.web.context import now, public
from b2b.web.identity_platform.authorize import turned_away

bp = Blueprint("launch", __name__)


def launch_url(tile: Tile, tenant_id: UUID) -> str:
    """Where a tile leads: never straight to the application (redemption.md, section 1)."""
    name = re.sub(r"\W+", "-", tile.name).strip("-") or "app"
    return url_for("launch.open_application", name=name, app_id=tile.app_id, tenantId=tenant_id)


@bp.app_context_processor
def _for_templates() -> dict[str, Any]:
    return {"launch_url": launch_url}


@bp.get("/myapps/signin/<name>/<app_id>")
@public
def open_application(name: str, app_id: str) -> ResponseReturnValue:
    """On to the application *app_id* (its client id); *name* only makes the link readable.

    Whether the person is assigned is asked now, not when the tile was drawn (threats.md, APP-1).
    """
    live = context.live()
    if live is None:
        return context.to_sign_in()
    tenant = db.session.get(Tenant, _tenant_id())
    application = (
        None if tenant is None else applications.by_app_id(db.session(), tenant.id, as_uuid(app_id))
    )
    if tenant is None or application is None or not application.account_enabled:
        raise NotFound(N_("There is no application with this id."))
    brand.wear(tenant)
    try:
        visitors.person(
            db.session(),
            tenant,
            application,
            live.identity,
            since=live.created_at,
            now=now(),
        )
    except SignInRefused as refused:
        here = request.full_path.rstrip("?")
        return turned_away(tenant, application, live.identity, refused, back=here)
    if application.sign_in_url is None:
        raise Conflict(N_("No address is set for %(name)s."), name=application.display_name)
    try:
        return redirect(links.landing_page(application.sign_in_url), 303)
    except Invalid:
        raise Conflict(
            N_("The address of %(name)s is not one that can be opened."),
            name=application.display_name,
        ) from None


def _tenant_id() -> UUID:
    """The organisation that the link names; without one, where the person acts."""
    named = request.args.get("tenantId") or request.args.get("tenantid")
    if named:
        return as_uuid(named)
    actor = context.actor_or_none()
    if actor is None:
        raise NotFound(N_("There is no application with this id."))
    return actor.tenant_id
