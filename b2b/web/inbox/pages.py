"""The inbox's pages: the list, one message in its several views, and what can be done with them.

Opening a message marks it read, as in any inbox; that is a GET which changes the mail store but
nothing in the directory. All else that changes something is a form.
"""

import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import (
    Blueprint,
    Response,
    current_app,
    flash,
    make_response,
    redirect,
    render_template,
    request,
    send_file,
    session,
    url_for,
)
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.http import quote_etag

from b2b.errors import NotFound
from b2b.sink import accessibility, compatibility, tags, transcripts
from b2b.sink import headers as fields
from b2b.sink import message as messages
from b2b.sink.message import Message
from b2b.sink.mime import clean_name
from b2b.sink.search import BadQuery
from b2b.sink.store import Counters, Page, Summary
from b2b.web import context, errors
from b2b.web.context import public
from b2b.web.forms import ButtonForm
from b2b.web.headers import as_letter
from b2b.web.inbox import explained, letters
from b2b.web.inbox.mailbox import StoreUnavailable, find, mark_read, store

log = logging.getLogger(__name__)

bp = Blueprint("inbox", __name__, url_prefix="/mail")

PAGE = 50
"""Mails on one page of the list."""
MAX_SHOWN = 256 * 1024
"""Characters of a text or a source on its page; the download has all."""
WIDTHS = ("phone", "tablet", "desktop")
THEMES = ("light", "dark")
TABS = ("html", "text", "headers", "source", "mime", "checks", "smtp")
INVITATIONS = '"/redeem?rd="'
"""The query behind the chip of that name: search sees the addresses of links, in any language."""

_DOWNLOAD_POLICY = "sandbox; default-src 'none'"
ID = "<string(length=22):message_id>"


# The list ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Listing:
    """One page of the list, and what stands around it.

    ``before`` and ``older`` are the cursors of this page and of the next. ``found`` counts the
    mails matching a query, None without one. ``tag`` names this state of the mailbox for pollers.
    ``error`` says why the query cannot be read; then there are no mails.
    """

    query: str
    counters: Counters
    tag: str
    mails: Sequence[Summary] = ()
    before: int | None = None
    older: int | None = None
    found: int | None = None
    at: str | None = None
    error: BadQuery | None = None


def listing(at: Summary | None = None) -> Listing:
    """The page that the address asks for, or the one that *at* stands on."""
    query = _query()
    counters = store().counters()  # before the mails, so that the next poll sees what comes between
    tag = _tag(counters)
    try:
        page, before = _page(query, at)
        found = store().count(query)[0] if query else None
    except BadQuery as error:
        return Listing(query, counters, tag, error=error, at=at.id if at else None)
    return Listing(
        query,
        counters,
        tag,
        mails=page.messages,
        before=before,
        older=page.before,
        found=found,
        at=at.id if at else None,
    )


def _page(query: str, at: Summary | None) -> tuple[Page, int | None]:
    """The page of the address and its cursor; if *at* lies elsewhere the first, else one from *at*.

    Where a mail lies is a question of its key alone: under ``is:unread`` the mail just opened is
    not found any more, and the list stays where it is.
    """
    before = _cursor()
    page = store().list(query, before=before, limit=PAGE)
    if at is None or _spans(page, before, at):
        return page, before
    if before is not None:
        page = store().list(query, limit=PAGE)
        if _spans(page, None, at):
            return page, None
    return store().list(query, before=at.key + 1, limit=PAGE), at.key + 1


def _spans(page: Page, before: int | None, mail: Summary) -> bool:
    is_newer = before is not None and mail.key >= before
    is_older = page.before is not None and mail.key < page.before
    return not is_newer and not is_older


def _query() -> str:
    return request.args.get("q", "").strip()


def _cursor() -> int | None:
    text = request.args.get("before", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def _tag(counters: Counters) -> str:
    """Changes with the mailbox, and each minute, since rows say “Just now”."""
    minute = f"{context.now():%Y%m%d%H%M}"
    return quote_etag(f"{counters.latest_change}.{minute}.{context.lang()}")


def carried() -> dict[str, Any]:
    """What links within the inbox keep: the query, its page, and how the frame is set."""
    kept = {
        "q": _query(),
        "before": _cursor(),
        "width": chosen("width", WIDTHS, ""),
        "theme": chosen("theme", THEMES, ""),
        "pictures": chosen("pictures", ("off",), ""),
    }
    return {name: value for name, value in kept.items() if value}


def chosen(name: str, choices: tuple[str, ...], otherwise: str) -> str:
    value = request.args.get(name, "")
    return value if value in choices else otherwise


@bp.get("/", strict_slashes=False)
@public
def index() -> ResponseReturnValue:
    """Captured mail, newest first."""
    shown = listing()
    page = render_template(
        "inbox/index.html", listing=shown, list_page=True, gone=session.pop("undo_mail", [])
    )
    return page, 400 if shown.error else 200


@bp.get("/live")
@public
def live() -> ResponseReturnValue:
    """The list alone, for static/js/poll.js; 304 after one small query while nothing changes."""
    tag = _tag(store().counters())
    if request.if_none_match.contains(tag.strip('"')):
        response = Response(status=304)
    else:
        shown = listing(find(request.args.get("at", "")))
        tag = shown.tag
        response = make_response(render_template("inbox/_list.html", listing=shown))
        response.status_code = 400 if shown.error else 200
    response.headers["ETag"] = tag
    return response


@bp.context_processor
def _for_templates() -> dict[str, Any]:
    return {
        "carried": carried(),
        "codes": messages.codes,
        "grouped": letters.grouped,
        "size_words": size_words,
        "invitations": INVITATIONS,
        "suggestions": _suggestions,
        "smtp": f"{current_app.config['SMTP_HOST']}:{current_app.config['SMTP_PORT']}",
    }


def _suggestions() -> list[str]:
    """What the search box offers: fields, states, tags."""
    offered = ["is:unread", "is:read", "has:attachment", "to:", "from:", "with:", "subject:"]
    offered += ["after:", "before:", "larger:1M"]
    return offered + [f'tag:"{name}"' for name in tags.names(store())[:20]]


def size_words(size: int) -> str:
    """A number of bytes as people read it, in powers of 1024."""
    if size < 1024:
        return gettext("%(n)s bytes", n=size)
    if size < 1024 * 1024:
        return gettext("%(n)s KB", n=round(size / 1024))
    return gettext("%(n)s MB", n=round(size / 1024 / 1024, 1))


# One message -------------------------------------------------------------------------------------


def found_mail(message_id: str) -> tuple[Summary, bytes]:
    """The row and the source of a mail. Raises NotFound."""
    summary = find(message_id)
    source = store().source(message_id) if summary else None
    if summary is None or source is None:
        raise NotFound()
    return summary, source


@bp.get(f"/{ID}")
@public
def message(message_id: str) -> ResponseReturnValue:
    """One message: HTML, text, headers or source, and what was found in it."""
    summary, source = found_mail(message_id)
    mark_read(summary)
    mail = messages.read(source)
    tab = chosen("tab", TABS, "html")
    if tab == "html" and not mail.html:
        tab = "text"
    newer, older = _neighbours(message_id)
    return render_template(
        "inbox/message.html",
        listing=listing(summary),
        summary=summary,
        mail=mail,
        tab=tab,
        tabs=_tabs(message_id, tab, mail),
        newer=newer,
        older=older,
        links=letters.shown_links(mail),
        blind=letters.blind_copies(summary.envelope_recipients, mail.to, mail.cc),
        remote_pictures=letters.outline(mail).remote_pictures if tab == "html" else 0,
        width=chosen("width", WIDTHS, "phone"),
        theme=chosen("theme", THEMES, "light"),
        pictures=chosen("pictures", ("off",), ""),
        same_guest=_same_guest(summary),
        releases=bool(current_app.config["RELEASE_SERVER"]),
        **_texts(tab, mail, source),
        **_more(tab, mail, message_id),
    )


def _same_guest(summary: Summary) -> Sequence[Summary]:
    """The newest other mails of the first person who got this one."""
    if not summary.envelope_recipients:
        return ()
    page = store().list(recipient=summary.envelope_recipients[0], limit=6)
    return [one for one in page.messages if one.id != summary.id][:5]


def _more(tab: str, mail: Message, message_id: str) -> dict[str, Any]:
    """What only one of the tabs shows."""
    if tab == "checks":
        return {
            "findings": accessibility.report(mail),
            "report": compatibility.report(mail.html),
            "programs": compatibility.PROGRAMS,
            "words": explained.CHECKS,
        }
    if tab == "smtp":
        return {"conversation": transcripts.conversation(store(), message_id)}
    return {"explained": explained.HEADERS}


def _tabs(message_id: str, current: str, mail: Message) -> list[dict[str, Any]]:
    words = {
        "html": "HTML",
        "text": gettext("Text"),
        "headers": gettext("Headers"),
        "source": gettext("Source"),
        "mime": gettext("Parts"),
        "checks": gettext("Checks"),
        "smtp": gettext("SMTP log"),
    }
    return [
        {
            "label": words[name],
            "url": url_for(".message", message_id=message_id, **carried(), tab=name),
            "current": name == current,
        }
        for name in TABS
        if name != "html" or mail.html
    ]


def _texts(tab: str, mail: Message, source: bytes) -> dict[str, Any]:
    """The words of the text and the source tab, cut to what a page can hold."""
    if tab == "text":
        shown, cut = letters.excerpt(mail.text.rstrip(), MAX_SHOWN)
    elif tab == "source":
        shown, cut = fields.to_text(source[:MAX_SHOWN]), len(source) > MAX_SHOWN
    else:
        shown, cut = "", False
    return {"shown": shown, "cut": cut or (tab == "text" and messages.TEXT_CUT in mail.notes)}


def _neighbours(message_id: str) -> tuple[str | None, str | None]:
    try:
        return store().neighbours(message_id, _query())
    except BadQuery:
        return store().neighbours(message_id)


@bp.get(f"/{ID}/html")
@public
def frame(message_id: str) -> ResponseReturnValue:
    """The HTML of a message, for the sandboxed frame on its page. Marks nothing."""
    _, source = found_mail(message_id)
    mail = messages.read(source)
    if not mail.html:
        raise NotFound()
    pictures = chosen("pictures", ("off",), "") != "off"
    return as_letter(Response(letters.document(mail, pictures=pictures), mimetype="text/html"))


@bp.get(f"/{ID}/source")
@public
def source(message_id: str) -> ResponseReturnValue:
    """The message as it came, as an .eml file."""
    summary, content = found_mail(message_id)
    return _download(content, f"{clean_name(summary.subject[:80]) or message_id}.eml")


@bp.get(f"/{ID}/part/<part_id>")
@public
def part(message_id: str, part_id: str) -> ResponseReturnValue:
    """One attachment, decoded."""
    mail = messages.read(found_mail(message_id)[1])
    for attachment in mail.attachments:
        if attachment.part_id == part_id:
            return _download(mail.part(part_id) or b"", attachment.name)
    raise NotFound()


def _download(content: bytes, name: str) -> Response:
    """A file to be saved, never shown in our origin whatever its sender calls it (BOX-2)."""
    response = send_file(
        io.BytesIO(content),
        mimetype="application/octet-stream",
        as_attachment=True,
        download_name=name,
        etag=False,
    )
    response.headers["Content-Security-Policy"] = _DOWNLOAD_POLICY
    response.headers["Cache-Control"] = "no-store"
    return response


# Changes -----------------------------------------------------------------------------------------


def to_list() -> ResponseReturnValue:
    return redirect(url_for(".index", **carried()), 303)


@bp.post(f"/{ID}/unread")
@public
def unread(message_id: str) -> ResponseReturnValue:
    """Mark a message unread."""
    if find(message_id) is None:
        raise NotFound()
    if ButtonForm().validate_on_submit():
        store().mark(read=False, ids=[message_id])
        flash(gettext("The message is marked unread."), "ok")
    return to_list()


@bp.post(f"/{ID}/delete")
@public
def delete(message_id: str) -> ResponseReturnValue:
    """Delete a message."""
    if find(message_id) is None:
        raise NotFound()
    if ButtonForm().validate_on_submit():
        store().delete(ids=[message_id], keep=True)
        session["undo_mail"] = [message_id]
        flash(gettext("The message is deleted."), "ok")
    return to_list()


@bp.post("/read")
@public
def read_all() -> ResponseReturnValue:
    """Mark every message read."""
    if ButtonForm().validate_on_submit():
        store().mark(read=True)
        flash(gettext("Every message is marked read."), "ok")
    return to_list()


@bp.route("/delete", methods=["GET", "POST"])
@public
def delete_all() -> ResponseReturnValue:
    """Delete all mail, or all that a query finds; asks first."""
    query = _query()
    if ButtonForm().validate_on_submit():
        count = _delete_found(query)
        flash(gettext("Deleted: %(count)s.", count=count), "ok")
        return redirect(url_for(".index"), 303)
    shown = listing()
    page = render_template("inbox/delete_all.html", listing=shown)
    return page, 400 if shown.error else 200


def _delete_found(query: str) -> int:
    try:
        return store().delete(query=query) if query else store().delete()
    except BadQuery:  # the page has shown it; a form made by hand finds nothing
        raise NotFound() from None


# What the store may say --------------------------------------------------------------------------


@bp.errorhandler(StoreUnavailable)
@bp.errorhandler(SQLAlchemyError)
def _store_is_away(error: Exception) -> ResponseReturnValue:
    """The database does not answer, or is of a later version: 503, and why in the log."""
    log.error("the mail store does not answer", exc_info=error)
    return errors.page(
        503,
        gettext("One moment"),
        gettext("The store of captured mail does not answer. Nothing was changed."),
        retry_after=5,
    )
