"""Part of Mailpit's REST API v1 under /mail, for the clients that test suites use already.

Paths, bodies and oddities are those of Mailpit 1.30: a change answers 200 and ``ok``; reading a
message marks it read; errors are plain text; ``latest`` stands for the newest mail, with ``query``
for the newest one that it finds. What differs from Mailpit, and why:

- A query with an operator that the store lacks is 400 (see mailpit_query), and so is a deletion by
  a query without a term: Mailpit would delete everything.
- A body that cannot be decoded is 400, where Mailpit deletes everything; form-encoded IDs are read.
- There are no CORS headers, and unsafe requests that a browser sends from another origin are
  refused (threats.md, BOX-3). No session is asked for, so there is no CSRF token to send either.
- HTML and parts come in a sandbox that fetches nothing (BOX-1), so a browser shows /view/….html
  without its pictures; parts that a page of ours could run are text/plain. ``embed`` adds nothing.
"""

import json
import logging
import re
from typing import Any
from urllib.parse import quote

from flask import Blueprint, Response, redirect, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from b2b.extensions import csrf
from b2b.sink import message as messages
from b2b.sink import tags
from b2b.sink.search import BadQuery
from b2b.sink.store import Summary
from b2b.web.context import public
from b2b.web.headers import as_letter
from b2b.web.inbox import mailpit_query, wire
from b2b.web.inbox.mailbox import StoreUnavailable, find, is_id, mark_read, store

log = logging.getLogger(__name__)

bp = Blueprint("mailpit", __name__, url_prefix="/mail")
csrf.exempt(bp)

VERSION = "v1.30.5"
"""The release of Mailpit whose shapes these are; clients read it."""
LIMIT = 50
_AT_ONCE = 500
_MAX_NUMBER = 2**31 - 1

_TYPE = re.compile(r"[\w.+-]{1,80}/[\w.+-]{1,120}", re.ASCII)
# What a page of this origin could run or apply as its own, against its script-src 'self'.
_ACTIVE = re.compile(r"javascript|ecmascript|jscript|livescript|text/css|wasm")


# Answers -----------------------------------------------------------------------------------------


def plain(words: str, status: int = 200) -> Response:
    return Response(words, status, mimetype="text/plain")


def as_json(body: Any) -> Response:
    return Response(json.dumps(body, ensure_ascii=False) + "\n", mimetype="application/json")


class Refused(Exception):
    """400 with these words."""


@bp.errorhandler(Refused)
def _refused(error: Refused) -> ResponseReturnValue:
    return plain(str(error), 400)


@bp.errorhandler(BadQuery)
def _bad_query(error: BadQuery) -> ResponseReturnValue:
    return plain(f"Error: {error}", 400)


@bp.errorhandler(HTTPException)
def _http(error: HTTPException) -> ResponseReturnValue:
    if error.response is not None:
        return error
    status = error.code or 500
    words = "404 page not found" if status == 404 else error.name
    return plain(words, status)


@bp.errorhandler(StoreUnavailable)
@bp.errorhandler(SQLAlchemyError)
def _store_is_away(_: Exception) -> ResponseReturnValue:
    response = plain("The store of captured mail does not answer.", 503)
    response.headers["Retry-After"] = "5"
    return response


@bp.errorhandler(Exception)
def _fault(error: Exception) -> ResponseReturnValue:
    log.error(
        "a request failed",
        exc_info=error,
        extra={"path": request.path, "method": request.method},
    )
    return plain("Internal Server Error", 500)


@bp.before_app_request
def _nothing_there() -> ResponseReturnValue | None:
    """No route, or not for this method: in plain text, below the API's own paths."""
    error = request.routing_exception
    if request.path.startswith(("/mail/api/", "/mail/view/")):
        if isinstance(error, MethodNotAllowed):
            response = plain("Method Not Allowed", 405)
            response.headers["Allow"] = ", ".join(error.valid_methods or ())
            return response
        if isinstance(error, NotFound):
            return _http(error)
    return None


# What is asked for -------------------------------------------------------------------------------


def number(name: str, otherwise: int) -> int:
    """A query parameter; what is no number counts as not given."""
    text = request.args.get(name, "")
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        return otherwise
    return min(int(text), _MAX_NUMBER)


def searched() -> str:
    """The parameter ``query`` in our language. 400 without one, as in Mailpit."""
    query = request.args.get("query", "").strip()
    if not query:
        raise Refused("Error: no search query")
    return mailpit_query.translated(query, _zone())


def _zone() -> str:
    return request.args.get("tz", "")


def found(message_id: str) -> Summary:
    """The mail of an id or of ``latest``. Aborts with 404 in Mailpit's words."""
    if message_id == "latest":
        query = mailpit_query.translated(request.args.get("query", ""), _zone())
        newest = store().list(query, limit=1).messages
        if not newest:
            raise NotFound(response=plain("Message not found", 404))
        return newest[0]
    row = find(message_id)
    if row is None:
        raise NotFound
    return row


def read(row: Summary) -> messages.Message:
    source = store().source(row.id)
    if source is None:  # deleted meanwhile
        raise NotFound
    return messages.read(source)


def _page(query: str, start: int, limit: int) -> list[Summary]:
    """Up to *limit* mails after the first *start*, fetched in slices."""
    found: list[Summary] = []
    before, skip = None, start
    while len(found) < limit:
        size = min(_AT_ONCE, limit - len(found))
        page = store().list(query, before=before, offset=skip, limit=size)
        found.extend(page.messages)
        before, skip = page.before, 0
        if before is None:
            break
    return found


# Lists -------------------------------------------------------------------------------------------


@bp.get("/api/v1/messages")
@public
def list_messages() -> ResponseReturnValue:
    """MessagesSummary of the mailbox; ``limit=0`` is all of it, whatever ``start`` says."""
    start, limit = max(number("start", 0), 0), number("limit", LIMIT)
    if limit == 0:
        start, limit = 0, _MAX_NUMBER
    counters = store().counters()
    rows = _page("", start, LIMIT if limit < 0 else limit)
    return as_json(
        wire.summaries(
            counters, (counters.total, counters.unread), start, rows, tags.names(store())
        )
    )


@bp.get("/api/v1/search")
@public
def search() -> ResponseReturnValue:
    """MessagesSummary of what ``query`` finds; ``limit=0`` is the counts alone."""
    query = searched()
    start, limit = max(number("start", 0), 0), number("limit", LIMIT)
    rows = _page(query, start, LIMIT if limit < 0 else limit)
    return as_json(
        wire.summaries(store().counters(), store().count(query), start, rows, tags.names(store()))
    )


# Changes -----------------------------------------------------------------------------------------


def body() -> dict[str, Any]:
    """The request's JSON object by lower-case key, or form-encoded ``IDs`` and ``Read``.

    Empty without a body. Go reads keys in any letter case, and clients rely on it.
    """
    if request.mimetype == "application/x-www-form-urlencoded":
        form: dict[str, Any] = {name.lower(): request.form.getlist(name) for name in request.form}
        for name in ("read", "search"):
            if name in form:
                form[name] = form[name][0]
        form["read"] = str(form.get("read", "")).lower() in ("true", "1")
        return form
    content = request.get_data()
    if not content.strip():
        return {}
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise Refused("The body is not a JSON object.")
    return {str(name).lower(): value for name, value in body.items()}


def ids_of(body: dict[str, Any]) -> list[str] | None:
    """The ids in *body*; None, which means all mails, for none and for an empty list."""
    ids = body.get("ids")
    if ids is None or ids == []:
        return None
    if not isinstance(ids, list) or not all(isinstance(one, str) for one in ids):
        raise Refused("IDs is not a list of strings.")
    return [one for one in ids if is_id(one)]


@bp.delete("/api/v1/messages")
@public
def delete_messages() -> ResponseReturnValue:
    """Delete the mails of these ``IDs``; all mails without any."""
    store().delete(ids=ids_of(body()))
    return plain("ok")


@bp.delete("/api/v1/search")
@public
def delete_search() -> ResponseReturnValue:
    """Delete what ``query`` finds."""
    query = searched()
    if not query:
        raise Refused("Error: no search query")
    store().delete(query=query)
    return plain("ok")


@bp.put("/api/v1/messages")
@public
def put_messages() -> ResponseReturnValue:
    """Mark as ``Read`` (else unread) the mails of ``IDs``, or those ``Search`` finds, or all."""
    said = body()
    ids, search, read = ids_of(said), said.get("search") or "", said.get("read") or False
    if not isinstance(search, str) or not isinstance(read, bool):
        raise Refused("Read is true or false, and Search is a string.")
    if ids is not None and search:
        raise Refused("Give IDs or Search, not both.")
    query = mailpit_query.translated(search, _zone())
    if search.strip() and not query:
        raise Refused("Error: no search query")
    store().mark(read=read, ids=ids, query=query or None)
    return plain("ok")


# One message -------------------------------------------------------------------------------------


@bp.get("/api/v1/message/<message_id>")
@public
def message(message_id: str) -> ResponseReturnValue:
    """A Message; marks it read."""
    row = found(message_id)
    mail = read(row)
    mark_read(row)
    return as_json(wire.message(row, mail))


@bp.get("/api/v1/message/<message_id>/headers")
@public
def message_headers(message_id: str) -> ResponseReturnValue:
    """The header fields by name."""
    return as_json(wire.header_object(read(found(message_id)).headers))


@bp.get("/api/v1/message/<message_id>/raw")
@public
def raw(message_id: str) -> ResponseReturnValue:
    """The bytes as they came; ``dl=1`` makes them a download."""
    row = found(message_id)
    source = store().source(row.id)
    if source is None:
        raise NotFound
    response = Response(source, mimetype="text/plain")
    if request.args.get("dl") == "1":
        response.headers.set("Content-Disposition", "attachment", filename=f"{row.id}.eml")
    return response


@bp.get("/api/v1/message/<message_id>/part/<part_id>")
@public
def part(message_id: str, part_id: str) -> ResponseReturnValue:
    """A part, decoded, with the type that its sender gave it, in a sandbox (BOX-2)."""
    mail = read(found(message_id))
    content, kind = mail.part(part_id), mail.part_type(part_id) or ""
    if content is None:
        raise NotFound
    names = {one.part_id: one.name for one in mail.attachments}
    if not _TYPE.fullmatch(kind):
        kind = "application/octet-stream"
    elif _ACTIVE.search(kind.lower()):
        kind = "text/plain"
    response = as_letter(Response(content, content_type=kind))
    name = quote(names.get(part_id, part_id), safe="")
    response.headers["Content-Disposition"] = f'inline; filename="{name}"'
    return response


# Views -------------------------------------------------------------------------------------------


@bp.get("/view/<message_id>.html")
@public
def view_html(message_id: str) -> ResponseReturnValue:
    """The HTML as sent, in a sandbox; ``cid:`` becomes the address of the part. Marks it read."""
    row = found(message_id)
    mail = read(row)
    if not mail.html:
        raise NotFound
    mark_read(row)

    def url(part_id: str) -> str:
        return url_for(".part", message_id=row.id, part_id=part_id)

    return as_letter(Response(mail.html_as_sent(url), mimetype="text/html"))


@bp.get("/view/<message_id>.txt")
@public
def view_text(message_id: str) -> ResponseReturnValue:
    """The text, or that of the HTML where there is none. Marks it read."""
    row = found(message_id)
    mail = read(row)
    mark_read(row)
    return plain(mail.text)


@bp.get("/view/<message_id>")
@public
def view(message_id: str) -> ResponseReturnValue:
    """Mailpit's page of a message leads to ours; ``latest`` of an empty mailbox to the list."""
    try:
        row = found(message_id)
    except NotFound:
        if message_id != "latest":
            raise
        return redirect(url_for("inbox.index"))
    return redirect(url_for("inbox.message", message_id=row.id))
