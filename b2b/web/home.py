"""The chooser at `/`: which door somebody is looking for."""

from flask import Blueprint, Response, render_template
from flask.typing import ResponseReturnValue

from b2b.errors import NotFound
from b2b.extensions import db
from b2b.models import Tenant
from b2b.web.brand import as_uuid, stylesheet
from b2b.web.context import public

bp = Blueprint("home", __name__)


@bp.get("/")
@public
def index() -> ResponseReturnValue:
    """Chooser: portal, My Apps, captured mail."""
    return render_template("home/index.html")


@bp.get("/brand/<tenant_id>.css")
@public
def brand(tenant_id: str) -> ResponseReturnValue:
    """An organisation's colours for guest pages."""
    tenant = db.session.get(Tenant, as_uuid(tenant_id))
    if tenant is None or not tenant.branding:
        raise NotFound()
    response = Response(stylesheet(tenant.branding), mimetype="text/css")
    response.headers["Cache-Control"] = "public, max-age=300"
    return response
