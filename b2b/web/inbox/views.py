"""Pages around the list: mailboxes, two mails side by side, refused mail; and many at once."""

from typing import Any

from flask import current_app, flash, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext, ngettext

from b2b.errors import NotFound
from b2b.sink import boxes, refusals, transcripts
from b2b.sink import headers as fields
from b2b.sink import message as messages
from b2b.web.context import public
from b2b.web.forms import ButtonForm
from b2b.web.inbox import sending
from b2b.web.inbox.mailbox import find, is_id, store
from b2b.web.inbox.pages import (
    ID,
    THEMES,
    WIDTHS,
    bp,
    carried,
    chosen,
    found_mail,
    listing,
    to_list,
)

MOST_AT_ONCE = 100
"""Mails that one form changes, and that one *Undo* brings back."""


# Many at once ------------------------------------------------------------------------------------


def _picked() -> list[str]:
    return [one for one in request.form.getlist("mail") if is_id(one)][:MOST_AT_ONCE]


def remember(ids: list[str]) -> None:
    """Offer on the next page to bring these mails back."""
    session["undo_mail"] = ids


@bp.post("/picked/delete")
@public
def delete_picked() -> ResponseReturnValue:
    """Delete the mails that are ticked; they can be brought back for a while."""
    if ButtonForm().validate_on_submit():
        ids = _picked()
        count = store().delete(ids=ids, keep=True) if ids else 0
        if count:
            remember(ids)
            words = ngettext("%(num)s message is deleted.", "%(num)s messages are deleted.", count)
            flash(words, "ok")
    return to_list()


@bp.post("/picked/<any(read, unread):state>")
@public
def mark_picked(state: str) -> ResponseReturnValue:
    """Mark the mails that are ticked as read or unread."""
    if ButtonForm().validate_on_submit() and (ids := _picked()):
        store().mark(read=state == "read", ids=ids)
    return to_list()


@bp.post("/undo")
@public
def undo() -> ResponseReturnValue:
    """Bring back what was just deleted."""
    if ButtonForm().validate_on_submit():
        count = store().restore(_picked())
        if count:
            words = ngettext("%(num)s message is back.", "%(num)s messages are back.", count)
            flash(words, "ok")
        else:
            flash(gettext("It is too late: these messages are gone."), "warn")
    return to_list()


# Around the list ---------------------------------------------------------------------------------


@bp.get("/mailboxes")
@public
def mailboxes() -> ResponseReturnValue:
    """Whose mail is here: by recipient, domain, tag, and the mailboxes of tests."""
    groups = [
        (gettext("Recipients"), _links("address", "to")),
        (gettext("Domains"), _links("domain", "to", "@")),
        (gettext("Tags"), _links("tag", "tag")),
        (
            gettext("Mailboxes of tests"),
            [(one.name, one.query, None) for one in boxes.every(store())],
        ),
    ]
    return render_template("inbox/mailboxes.html", listing=listing(), groups=groups)


def _links(kind: str, field: str, before: str = "") -> list[tuple[str, str, int | None]]:
    return [
        (f"{before}{one.name}", f'{field}:"{before}{one.name}"', one.count)
        for one in transcripts.groups(store(), kind)
    ]


@bp.get("/keys")
@public
def keys() -> ResponseReturnValue:
    """What each key does."""
    return render_template("inbox/keys.html", listing=listing())


@bp.get("/search")
@public
def search() -> ResponseReturnValue:
    """Mailpit's address of a search leads to ours."""
    return redirect(url_for(".index", q=request.args.get("q") or None))


@bp.get("/compare")
@public
def compare() -> ResponseReturnValue:
    """Two mails side by side."""
    sides: list[dict[str, Any] | None] = []
    for name in ("a", "b"):
        row = find(request.args.get(name, ""))
        source = store().source(row.id) if row else None
        if row is None or source is None:
            sides.append(None)
            continue
        mail = messages.read(source)
        sides.append({"row": row, "mail": mail, "text": mail.text[:64_000]})
    if sides[0] is None:
        raise NotFound()
    others = [one for one in listing().mails if one.id != sides[0]["row"].id]
    return render_template(
        "inbox/compare.html",
        listing=listing(),
        sides=sides,
        others=others,
        width=chosen("width", WIDTHS, "phone"),
        theme=chosen("theme", THEMES, "light"),
    )


@bp.get("/refused")
@public
def refused() -> ResponseReturnValue:
    """Mail that the sink did not take, and why."""
    return render_template(
        "inbox/refused.html", listing=listing(), refused=refusals.newest(store())
    )


@bp.get("/refused/<int:number>")
@public
def one_refused(number: int) -> ResponseReturnValue:
    """One mail that was not taken: what was said, and its beginning."""
    one = refusals.get(store(), number)
    if one is None:
        raise NotFound()
    source = fields.to_text(one.source) if one.source else ""
    return render_template("inbox/refused_one.html", listing=listing(), one=one, source=source)


@bp.post(f"/{ID}/release")
@public
def release(message_id: str) -> ResponseReturnValue:
    """Hand a mail to the real server that is configured."""
    row, source = found_mail(message_id)
    server = current_app.config["RELEASE_SERVER"]
    if not server:
        raise NotFound()
    if ButtonForm().validate_on_submit():
        to = request.form.get("to", "").strip()
        try:
            sending.release(server, source, row.envelope_sender, [to])
            flash(gettext("The message was handed over for %(address)s.", address=to), "ok")
        except sending.NotReleased as error:
            flash(str(error), "bad")
    return redirect(url_for(".message", message_id=message_id, **carried()), 303)
