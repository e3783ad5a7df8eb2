"""Applications: the list, one application with its assignments, and what is done with them."""

from typing import Any

from flask import render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, NotFound
from b2b.extensions import db
from b2b.models import PrincipalType, ServicePrincipal
from b2b.services import (
    app_registrations,
    applications,
    consent,
    groups,
    owners,
    permissions,
    policies,
    registration_permissions,
    resources,
    users,
)
from b2b.services.permissions import Action
from b2b.web.admin import acting, bp
from b2b.web.admin.acting import act, posted
from b2b.web.brand import as_uuid
from b2b.web.context import actor, allowed
from b2b.web.paging import around, cursor


@bp.get("/applications", endpoint="applications")
@allowed(Action.READ_DIRECTORY)
def applications_page() -> ResponseReturnValue:
    """Applications."""
    return render_template("admin/applications/list.html", **acting.listed(applications.KIND))


@bp.get("/applications/<application_id>")
@allowed(Action.READ_DIRECTORY)
def application(application_id: str) -> ResponseReturnValue:
    """One application: properties, assignments, owners."""
    session, who = db.session(), actor()
    found = applications.get(session, who, as_uuid(application_id))
    page, assigned = applications.assignments(
        session, who, found, after=cursor("after"), before=cursor("before")
    )
    manages = owners.may_manage(session, who, applications.owned(found))
    return render_template(
        "admin/applications/application.html",
        application=found,
        assigned=assigned,
        owners=owners.of(session, who, applications.owned(found)),
        manages=manages,
        may_invite=manages
        and found.account_enabled
        and not found.members_only
        and policies.may_invite(policies.of(session, who), who),
        registration=_registration_of(found),
        reads_log=permissions.allows(who, Action.READ_AUDIT),
        **_granted(found),
        **around(page),
    )


def _registration_of(application: ServicePrincipal) -> Any:
    """Where it is registered, if that is here; None elsewhere."""
    try:
        return app_registrations.by_app_id(db.session(), actor(), application.app_id).registration
    except NotFound:
        return None


def _granted(application: ServicePrincipal) -> dict[str, Any]:
    """What it may do, in people's name and in its own."""
    session, who = db.session(), actor()
    grants = consent.grants_of(session, who, application)
    held = registration_permissions.held(session, who, application)
    return {
        "grants": grants,
        "people": users.names(session, who, [one.principal_id for one in grants]),
        "held": [(one, gettext(one.words) if one.is_graph else one.words) for one in held],
        "administers": permissions.allows(who, Action.MANAGE_APPLICATIONS),
    }


@bp.post("/applications/<application_id>/grants/revoke")
@allowed(Action.MANAGE_APPLICATIONS)
def revoke_grant(application_id: str) -> ResponseReturnValue:
    """Take back what was granted in somebody's name, or in everybody's."""
    grant_id = posted("grant")

    def revoke(session: Session, who: Actor) -> str:
        found = applications.get(session, who, as_uuid(application_id))
        if consent.one_grant(session, who, grant_id).client_id != found.id:
            raise NotFound(N_("There is no permission with this id."))
        consent.withdraw(session, who, grant_id)
        return found.display_name

    return act(
        url_for(".application", application_id=application_id),
        revoke,
        N_("Revoked. %(name)s has lost it at once."),
    )


@bp.post("/applications/<application_id>/permissions/revoke")
@allowed(Action.MANAGE_APPLICATIONS)
def revoke_permission(application_id: str) -> ResponseReturnValue:
    """Take back what it may do in its own name."""
    resource, value = posted("resource"), request.form.get("value", "").replace("\0", "")[:120]
    return act(
        url_for(".application", application_id=application_id),
        lambda session, who: registration_permissions.take(
            session, who, as_uuid(application_id), resource, value
        ),
        N_("%(name)s is revoked."),
    )


@bp.get("/applications/<application_id>/assign")
@allowed(Action.READ_DIRECTORY)
def find_assignee(application_id: str) -> ResponseReturnValue:
    """Look for somebody, or a group, to assign to an application."""
    found = applications.managed(db.session(), actor(), as_uuid(application_id))
    kind = PrincipalType.GROUP if request.args.get("kind") == "groups" else PrincipalType.USER
    if kind is PrincipalType.USER:
        rows = acting.people()
    else:
        page = resources.listing(db.session(), actor(), groups.KIND, search=acting.typed())
        rows = [(row.id, row.display_name, row.description or "") for row in page.rows]
    held = applications.held_by(db.session(), actor(), found, [row[0] for row in rows])
    return render_template(
        "admin/applications/find.html",
        application=found,
        kind=kind,
        rows=rows,
        held=held,
        search=acting.typed(),
    )


@bp.post("/applications/<application_id>/assignments")
@allowed(Action.READ_DIRECTORY)
def add_assignment(application_id: str) -> ResponseReturnValue:
    """Assign a person or a group."""
    principal = posted("principal")
    kind = PrincipalType.GROUP if request.form.get("kind") == "Group" else PrincipalType.USER
    return act(
        url_for(".application", application_id=application_id),
        lambda session, who: applications.add_assignment(
            session, who, as_uuid(application_id), principal, kind
        ),
        N_("%(name)s is assigned."),
    )


@bp.post("/applications/<application_id>/assignments/remove")
@allowed(Action.READ_DIRECTORY)
def remove_assignment(application_id: str) -> ResponseReturnValue:
    """End an assignment."""
    assignment = posted("assignment")
    return act(
        url_for(".application", application_id=application_id),
        lambda session, who: applications.remove_assignment(
            session, who, as_uuid(application_id), assignment
        ),
        N_("%(name)s is no longer assigned."),
    )


@bp.post("/applications/<application_id>/assignment-required")
@allowed(Action.READ_DIRECTORY)
def require_assignment(application_id: str) -> ResponseReturnValue:
    """Say whether only assigned people may use an application."""
    required = request.form.get("required") == "yes"
    return act(
        url_for(".application", application_id=application_id),
        lambda session, who: (
            applications.require_assignment(
                session, who, as_uuid(application_id), required
            ).display_name
        ),
        N_("Only assigned people may use %(name)s.")
        if required
        else N_("Everybody in the directory may use %(name)s."),
    )
