"""Mail delivery: what waits and why, the switch, and what failed; the notice on portal pages."""

import time
from collections.abc import Callable
from typing import Any
from uuid import UUID

from flask import current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, lazy_gettext
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from wtforms import StringField

from b2b import database
from b2b.actor import Actor
from b2b.errors import Conflict
from b2b.extensions import db
from b2b.services import mail_queue, permissions
from b2b.services.mail_queue import Notice
from b2b.services.permissions import Action
from b2b.web import context
from b2b.web.admin import bp
from b2b.web.brand import as_uuid
from b2b.web.context import actor, allowed, now, writing
from b2b.web.errors import say
from b2b.web.forms import AtMost, ButtonForm, Form

LOOKS_EVERY = 3.0
"""Seconds for which a process does not ask again whether there is something to tell."""


class PauseForm(Form):
    """Why mail is to wait."""

    reason = StringField(lazy_gettext("Why"), validators=[AtMost(mail_queue.LONGEST_REASON)])


@bp.context_processor
def _notice() -> dict[str, Any]:
    """What the top of each page says about mail; its own page says it in full."""
    who = context.actor_or_none()
    if who is None or request.endpoint == "admin.mail":
        return {"mail_notice": None}
    return {
        "mail_notice": _looked_up(who.tenant_id),
        "may_manage_mail": permissions.allows(who, Action.MANAGE_MAIL),
    }


def _looked_up(tenant_id: UUID) -> Notice | None:
    known: dict[UUID, tuple[float, Notice | None]]
    known = current_app.extensions.setdefault("b2b_mail_notices", {})
    looked_at, found = known.get(tenant_id, (None, None))
    if looked_at is None or time.monotonic() - looked_at >= LOOKS_EVERY:
        try:
            found = mail_queue.notice(db.session(), tenant_id, now=now())
        except DBAPIError as error:
            # The page that says so has a top as well: with what was known last (threats.md, REL-7).
            db.session.rollback()
            if not database.is_busy(error):
                raise
            return found
        if len(known) > 1000:
            known.clear()
        known[tenant_id] = (time.monotonic(), found)
    return found


def _look_again() -> None:
    """This process has just changed it."""
    current_app.extensions.get("b2b_mail_notices", {}).pop(actor().tenant_id, None)


@bp.get("/mail", endpoint="mail")
@allowed(Action.MANAGE_MAIL)
def mail_page() -> ResponseReturnValue:
    """Mail delivery."""
    return _page(PauseForm())


def _page(form: PauseForm) -> ResponseReturnValue:
    session, who = db.session(), actor()

    def cursor(name: str) -> UUID | None:
        return as_uuid(request.args[name]) if request.args.get(name) else None

    failures = mail_queue.failures(session, who, after=cursor("after"), before=cursor("before"))
    return render_template(
        "admin/mail/index.html",
        form=form,
        queue=mail_queue.overview(session, who),
        counted_to=mail_queue.COUNTED_TO,
        failures=failures.rows,
        may_resend=mail_queue.may_resend,
        previous_url=failures.before and url_for(".mail", before=failures.before),
        next_url=failures.after and url_for(".mail", after=failures.after),
    )


@bp.post("/mail/pause")
@allowed(Action.MANAGE_MAIL)
def pause_mail() -> ResponseReturnValue:
    """Hold mail back."""
    form = PauseForm()
    if not form.validate_on_submit():
        return _page(form)
    try:
        with writing() as session:
            mail_queue.pause(session, actor(), form.reason.data)
        flash(gettext("Mail is paused. It waits until you resume it."), "ok")
    except Conflict as error:
        flash(say(error), "info")
    _look_again()
    return redirect(url_for(".mail"), 303)


def _press(what: Callable[[Session, Actor], object], done: str) -> ResponseReturnValue:
    """Do what a button says and come back."""
    if ButtonForm().validate_on_submit():
        try:
            with writing() as session:
                what(session, actor())
            flash(done, "ok")
        except Conflict as error:
            flash(say(error), "info")
        _look_again()
    return redirect(url_for(".mail"), 303)


@bp.post("/mail/resume")
@allowed(Action.MANAGE_MAIL)
def resume_mail() -> ResponseReturnValue:
    """Let mail go out again."""
    return _press(mail_queue.resume, gettext("Mail goes out again."))


@bp.post("/mail/try")
@allowed(Action.MANAGE_MAIL)
def try_mail() -> ResponseReturnValue:
    """Try the mail server at once."""
    return _press(mail_queue.try_now, gettext("The mail server is being tried again."))


@bp.post("/mail/<mail_id>/again")
@allowed(Action.MANAGE_MAIL)
def send_mail_again(mail_id: str) -> ResponseReturnValue:
    """Queue mail that failed once more."""
    if ButtonForm().validate_on_submit():
        try:
            with writing() as session:
                recipient = mail_queue.send_again(session, actor(), as_uuid(mail_id))
            flash(gettext("Queued again: the mail to %(address)s.", address=recipient), "ok")
        except Conflict as error:
            flash(say(error), "info")
        _look_again()
    return redirect(url_for(".mail"), 303)
