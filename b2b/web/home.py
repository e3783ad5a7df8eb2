"""The chooser at `/`: which door somebody is looking for."""

from flask import Blueprint, Response, render_template
from flask.typing import ResponseReturnValue

from b2b.errors import NotFound
from b2b.extensions import db
from b2b.models import Tenant
from b2b.services import pictures
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


@bp.get("/branding/<tenant_id>/<digest>")
@public
def logo(tenant_id: str, digest: str) -> ResponseReturnValue:
    """An organisation's logo. Its name is its content's, so it never changes."""
    found = pictures.logo(db.session(), as_uuid(tenant_id), digest)
    if found is None:
        raise NotFound()
    response = Response(found.data, mimetype=found.media_type)
    response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
    return response
