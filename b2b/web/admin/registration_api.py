"""What an app registration offers to others: scopes of its API, and app roles."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from flask import flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext
from wtforms import BooleanField, StringField, TextAreaField

from b2b.errors import N_, Conflict, NotFound
from b2b.extensions import db
from b2b.models import AppRole, PermissionScope
from b2b.services import app_registrations, offered_permissions
from b2b.services.app_registrations import Registered
from b2b.services.permissions import Action
from b2b.web.admin import bp
from b2b.web.admin.registrations import Plain, lines_of, managed, room
from b2b.web.brand import as_uuid
from b2b.web.context import actor, allowed, writing
from b2b.web.forms import AtMost, ButtonForm, required

_API, _ROLES = "registration_api", "registration_roles"
_TEXT_LONGEST = 1024

Row = TypeVar("Row", AppRole, PermissionScope)


def _with_id(rows: Sequence[Row], wanted: UUID, gone: str) -> Row:
    for row in rows:
        if row.id == wanted:
            return row
    raise NotFound(gone)


# The API -----------------------------------------------------------------------------------------


class NamesForm(Plain):
    """What others call the API; one name in each line."""

    identifier_uris = TextAreaField(lazy_gettext("Application ID URI"))


class ScopeForm(Plain):
    """A delegated permission that the API offers."""

    value = StringField(
        lazy_gettext("Scope name"), validators=[required(N_("Enter a name.")), AtMost(120)]
    )
    display_name = StringField(
        lazy_gettext("What it allows, in a few words"),
        validators=[required(N_("Enter a name.")), AtMost(120)],
    )
    description = TextAreaField(lazy_gettext("Description"), validators=[AtMost(_TEXT_LONGEST)])
    admins_only = BooleanField(lazy_gettext("Only administrators consent"))
    is_enabled = BooleanField(lazy_gettext("Enabled"))


@bp.route("/app-registrations/<registration_id>/api", methods=["GET", "POST"])
@allowed(Action.READ_DIRECTORY)
def registration_api(registration_id: str) -> ResponseReturnValue:
    """Expose an API: its names, and its scopes."""
    shown = room(registration_id, _API)
    one, session = shown["one"], db.session()
    names = app_registrations.identifier_uris(session, one)
    form = NamesForm(data={"identifier_uris": "\n".join(names)})
    if form.validate_on_submit():
        with form.reporting(Conflict):
            with writing() as writer:
                app_registrations.set_identifier_uris(
                    writer, actor(), one.registration.id, lines_of(form.identifier_uris)
                )
            flash(gettext("Saved."), "ok")
            return redirect(url_for(f".{_API}", registration_id=registration_id), 303)
    shown = room(registration_id, _API)
    return render_template(
        "admin/registrations/api.html",
        **shown,
        form=form,
        names=names,
        scopes=offered_permissions.scopes_of(db.session(), shown["one"]),
    )


@bp.route("/app-registrations/<registration_id>/api/scopes/new", methods=["GET", "POST"])
@allowed(Action.READ_DIRECTORY)
def new_scope(registration_id: str) -> ResponseReturnValue:
    """Offer a scope."""
    return _scope_page(registration_id, None)


@bp.route("/app-registrations/<registration_id>/api/scopes/<scope_id>", methods=["GET", "POST"])
@allowed(Action.READ_DIRECTORY)
def edit_scope(registration_id: str, scope_id: str) -> ResponseReturnValue:
    """Change a scope, or switch it off."""
    one = managed(registration_id)
    rows = offered_permissions.scopes_of(db.session(), one)
    gone = N_("There is no permission with this id.")
    return _scope_page(registration_id, _with_id(rows, as_uuid(scope_id), gone))


def _saved(
    form: "ScopeForm | RoleForm", one: Registered, save: Callable[..., object], **facts: Any
) -> bool:
    """Save what scopes and roles have in common, and *facts*; a refusal stands beside its field."""
    with form.reporting(Conflict):
        with writing() as session:
            save(
                session,
                actor(),
                one.registration.id,
                (form.value.data or "").strip(),
                display_name=form.display_name.data or "",
                description=form.description.data,
                is_enabled=form.is_enabled.data,
                **facts,
            )
        flash(gettext("Saved."), "ok")
        return True
    return False


def _scope_page(registration_id: str, row: PermissionScope | None) -> ResponseReturnValue:
    one = managed(registration_id)
    scope_id = None if row is None else row.id
    form = ScopeForm(obj=row, data={"is_enabled": True} if row is None else None)
    if form.validate_on_submit() and _saved(
        form,
        one,
        offered_permissions.expose_scope,
        admins_only=form.admins_only.data,
        scope_id=scope_id,
    ):
        return redirect(url_for(f".{_API}", registration_id=registration_id), 303)
    return render_template(
        "admin/registrations/scope.html",
        form=form,
        scope_id=scope_id,
        **room(registration_id, _API),
    )


@bp.route(
    "/app-registrations/<registration_id>/api/scopes/<scope_id>/delete", methods=["GET", "POST"]
)
@allowed(Action.READ_DIRECTORY)
def delete_scope(registration_id: str, scope_id: str) -> ResponseReturnValue:
    """Ask before a scope is offered no longer."""
    one = managed(registration_id)
    rows = offered_permissions.scopes_of(db.session(), one)
    gone = N_("There is no permission with this id.")
    row = _with_id(rows, as_uuid(scope_id), gone)
    name, back = row.value, url_for(f".{_API}", registration_id=registration_id)
    if ButtonForm().validate_on_submit():
        with writing() as session:
            offered_permissions.withdraw_scope(session, actor(), one.registration.id, row.id)
        flash(gettext("%(name)s is deleted.", name=name), "ok")
        return redirect(back, 303)
    return render_template(
        "admin/registrations/drop.html",
        name=name,
        back=back,
        is_role=False,
        **room(registration_id, _API),
    )


# App roles ---------------------------------------------------------------------------------------


class RoleForm(Plain):
    """A role that people, or programs, are given."""

    display_name = StringField(
        lazy_gettext("Name"), validators=[required(N_("Enter a name.")), AtMost(120)]
    )
    value = StringField(
        lazy_gettext("Value"), validators=[required(N_("Enter a value.")), AtMost(120)]
    )
    description = TextAreaField(lazy_gettext("Description"), validators=[AtMost(_TEXT_LONGEST)])
    for_users = BooleanField(lazy_gettext("For people and groups"))
    for_applications = BooleanField(lazy_gettext("For programs"))
    is_enabled = BooleanField(lazy_gettext("Enabled"))


@bp.get("/app-registrations/<registration_id>/roles")
@allowed(Action.READ_DIRECTORY)
def registration_roles(registration_id: str) -> ResponseReturnValue:
    """App roles."""
    shown = room(registration_id, _ROLES)
    return render_template(
        "admin/registrations/roles.html",
        **shown,
        roles=offered_permissions.roles_of(db.session(), shown["one"]),
    )


@bp.route("/app-registrations/<registration_id>/roles/new", methods=["GET", "POST"])
@allowed(Action.READ_DIRECTORY)
def new_app_role(registration_id: str) -> ResponseReturnValue:
    """Offer an app role."""
    return _role_page(registration_id, None)


@bp.route("/app-registrations/<registration_id>/roles/<role_id>", methods=["GET", "POST"])
@allowed(Action.READ_DIRECTORY)
def edit_app_role(registration_id: str, role_id: str) -> ResponseReturnValue:
    """Change an app role, or switch it off."""
    return _role_page(registration_id, _role(registration_id, role_id))


def _role(registration_id: str, role_id: str) -> AppRole:
    rows = offered_permissions.roles_of(db.session(), managed(registration_id))
    return _with_id(rows, as_uuid(role_id), N_("There is no role with this id."))


def _role_page(registration_id: str, row: AppRole | None) -> ResponseReturnValue:
    one = managed(registration_id)
    role_id = None if row is None else row.id
    fresh: dict[str, Any] = {"is_enabled": True, "for_users": True}
    form = RoleForm(obj=row, data=fresh if row is None else None)
    if form.validate_on_submit() and _saved(
        form,
        one,
        offered_permissions.define_role,
        for_users=form.for_users.data,
        for_applications=form.for_applications.data,
        role_id=role_id,
    ):
        return redirect(url_for(f".{_ROLES}", registration_id=registration_id), 303)
    return render_template(
        "admin/registrations/role.html", form=form, role_id=role_id, **room(registration_id, _ROLES)
    )


@bp.route("/app-registrations/<registration_id>/roles/<role_id>/delete", methods=["GET", "POST"])
@allowed(Action.READ_DIRECTORY)
def delete_app_role(registration_id: str, role_id: str) -> ResponseReturnValue:
    """Ask before an app role goes with its assignments."""
    row = _role(registration_id, role_id)
    name, back = row.display_name, url_for(f".{_ROLES}", registration_id=registration_id)
    if ButtonForm().validate_on_submit():
        with writing() as session:
            offered_permissions.drop_role(session, actor(), as_uuid(registration_id), row.id)
        flash(gettext("%(name)s is deleted.", name=name), "ok")
        return redirect(back, 303)
    return render_template(
        "admin/registrations/drop.html",
        name=name,
        back=back,
        is_role=True,
        **room(registration_id, _ROLES),
    )
