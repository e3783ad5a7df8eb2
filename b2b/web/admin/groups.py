"""Groups: the list, one group with its members, and what is done with them."""

from typing import Any

from flask import flash, redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext
from wtforms import StringField, TextAreaField

from b2b.errors import N_, Conflict
from b2b.extensions import db
from b2b.services import groups, owners, permissions, policies
from b2b.services.permissions import Action
from b2b.web.admin import acting, bp
from b2b.web.admin.acting import act, posted
from b2b.web.brand import as_uuid
from b2b.web.context import actor, allowed, writing
from b2b.web.forms import AtMost, Form, required
from b2b.web.paging import around, cursor


class GroupForm(Form):
    """What a group is called."""

    display_name = StringField(
        lazy_gettext("Name"),
        validators=[required(N_("Enter a name.")), AtMost(groups.NAME_LONGEST)],
    )
    description = TextAreaField(
        lazy_gettext("Description"), validators=[AtMost(groups.DESCRIPTION_LONGEST)]
    )


@bp.get("/groups", endpoint="groups")
@allowed(Action.READ_DIRECTORY)
def groups_page() -> ResponseReturnValue:
    """Groups."""
    return render_template(
        "admin/groups/list.html",
        **acting.listed(groups.KIND),
        may_create=permissions.allows(actor(), Action.CREATE_GROUP),
    )


@bp.route("/groups/new", methods=["GET", "POST"])
@allowed(Action.CREATE_GROUP)
def new_group() -> ResponseReturnValue:
    """New group."""
    form = GroupForm()
    if form.validate_on_submit():
        with form.reporting():
            with writing() as session:
                group = groups.create(session, actor(), **_texts(form))
            flash(gettext("%(name)s is made, and yours.", name=group.display_name), "ok")
            return redirect(url_for(".group", group_id=group.id), 303)
    return render_template("admin/groups/form.html", form=form, group=None)


def _texts(form: GroupForm) -> dict[str, Any]:
    return {
        "display_name": form.display_name.data or "",
        "description": form.description.data,
    }


@bp.get("/groups/<group_id>")
@allowed(Action.READ_DIRECTORY)
def group(group_id: str) -> ResponseReturnValue:
    """One group: properties, members, owners."""
    session, who = db.session(), actor()
    found = groups.get(session, who, as_uuid(group_id))
    page = groups.members(session, who, found, after=cursor("after"), before=cursor("before"))
    manages = owners.may_manage(session, who, groups.owned(found))
    return render_template(
        "admin/groups/group.html",
        group=found,
        owners=owners.of(session, who, groups.owned(found)),
        manages=manages,
        may_invite=manages
        and found.takes_guests
        and policies.may_invite(policies.of(session, who), who),
        **around(page),
    )


@bp.route("/groups/<group_id>/edit", methods=["GET", "POST"])
@allowed(Action.READ_DIRECTORY)
def edit_group(group_id: str) -> ResponseReturnValue:
    """Change name and description of a group."""
    found = groups.managed(db.session(), actor(), as_uuid(group_id))
    form = GroupForm(obj=found)
    if form.validate_on_submit():
        with form.reporting(Conflict):
            with writing() as session:
                groups.update(session, actor(), found.id, **_texts(form))
            flash(gettext("Saved."), "ok")
            return redirect(url_for(".group", group_id=found.id), 303)
    return render_template("admin/groups/form.html", form=form, group=found)


@bp.get("/groups/<group_id>/members/add")
@allowed(Action.READ_DIRECTORY)
def find_member(group_id: str) -> ResponseReturnValue:
    """Look for somebody of the directory to put into a group."""
    found = groups.managed(db.session(), actor(), as_uuid(group_id))
    people = acting.people()
    held = groups.held_by(db.session(), actor(), found, [row[0] for row in people])
    return render_template(
        "admin/groups/find.html", group=found, people=people, held=held, search=acting.typed()
    )


@bp.post("/groups/<group_id>/members")
@allowed(Action.READ_DIRECTORY)
def add_member(group_id: str) -> ResponseReturnValue:
    """Put somebody into a group."""
    person = posted("member")
    return act(
        url_for(".group", group_id=group_id),
        lambda session, who: (
            groups.add_member(session, who, as_uuid(group_id), person).display_name
        ),
        N_("%(name)s is in the group."),
    )


@bp.post("/groups/<group_id>/members/remove")
@allowed(Action.READ_DIRECTORY)
def remove_member(group_id: str) -> ResponseReturnValue:
    """Take somebody out of a group."""
    person = posted("member")
    return act(
        url_for(".group", group_id=group_id),
        lambda session, who: (
            groups.remove_member(session, who, as_uuid(group_id), person).display_name
        ),
        N_("%(name)s is out of the group."),
    )
