"""What pages of groups and applications share: the list, a button that acts, and looking for
somebody.
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import flash, redirect, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import Conflict
from b2b.extensions import db
from b2b.services import resources, user_listing
from b2b.services.resources import Kind
from b2b.services.user_listing import Filters
from b2b.web.brand import as_uuid
from b2b.web.context import actor, writing
from b2b.web.errors import say
from b2b.web.forms import ButtonForm
from b2b.web.paging import around, cursor

FOUND = 20
"""People shown by one search; more letters narrow it."""


def posted(name: str) -> UUID:
    """The id that a button sends. Raises NotFound."""
    return as_uuid(request.form.get(name, ""))


def act(back: str, what: Callable[[Session, Actor], str], done: str) -> ResponseReturnValue:
    """Run what a button says and come back; *done* is a sentence with %(name)s, marked for
    translation.
    """
    if ButtonForm().validate_on_submit():
        try:
            with writing() as session:
                name = what(session, actor())
            flash(gettext(done, name=name), "ok")
        except Conflict as error:
            flash(say(error), "bad")
    return redirect(back, 303)


def listed(kind: Kind) -> dict[str, Any]:
    """What `admin/resources/list.html` shows: the page of the list that the address asks for."""
    mine = request.args.get("view") == "mine"
    page = resources.listing(
        db.session(),
        actor(),
        kind,
        search=typed(),
        mine=mine,
        after=cursor("after"),
        before=cursor("before"),
    )
    return {"mine": mine, "search": typed(), **around(page)}


def typed() -> str:
    """What the search of this page asks for."""
    return request.args.get("q", "")[:200].strip()


def people() -> list[tuple[UUID, str, str]]:
    """Who is found by the search of this page: id, name, address."""
    if not typed():
        return []
    page = user_listing.listing(db.session(), actor(), Filters(search=typed()), limit=FOUND)
    return [(row.id, row.display_name, row.mail or row.user_principal_name) for row in page.rows]
