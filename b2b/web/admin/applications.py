"""Applications: the list, one application with its assignments, and what is done with them."""

from flask import render_template, request, url_for
from flask.typing import ResponseReturnValue

from b2b.errors import N_
from b2b.extensions import db
from b2b.models import PrincipalType
from b2b.services import applications, groups, owners, policies, resources
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
        **around(page),
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
