"""What tests ask of the mailbox beyond Mailpit: /mail/api/v2.

Wait for a mail and get all of it in one call, be told that nothing came, look without marking read,
one mailbox a test, events. An address means exactly that address. Errors are
``{"error": {"code": …, "message": …}}``; nothing here answers with a redirect.
"""

import logging
import re
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from b2b import clock
from b2b.extensions import csrf
from b2b.sink import boxes
from b2b.sink import message as messages
from b2b.sink.boxes import BadMailbox, Mailbox
from b2b.sink.headers import Address
from b2b.sink.message import Message
from b2b.sink.rows import Summary
from b2b.sink.search import BadQuery
from b2b.sink.store import Store
from b2b.sink.watching import News
from b2b.web.context import public
from b2b.web.inbox import letters, live, wire
from b2b.web.inbox import openapi as document
from b2b.web.inbox.mailbox import StoreUnavailable, find, mark_read, store

log = logging.getLogger(__name__)

bp = Blueprint("inbox_api", __name__, url_prefix="/mail/api/v2")
csrf.exempt(bp)

MOST = 200
"""Mails on one page of a list."""
WAIT = 10.0
"""Seconds that a wait lasts unless it says otherwise; at most live.MAX_WAIT."""


class BadRequest(Exception):
    """400, and why."""


# Answers -----------------------------------------------------------------------------------------


def answer(value: Any, status: int = 200) -> Response:
    """*value* as JSON."""
    return Response(live.as_bytes(value), status, mimetype="application/json")


def error(status: int, code: str, message: str, **more: Any) -> Response:
    """What is wrong, as JSON."""
    return answer({"error": {"code": code, "message": message, **more}}, status)


@bp.errorhandler(BadRequest)
@bp.errorhandler(BadMailbox)
def _bad(problem: Exception) -> ResponseReturnValue:
    return error(400, "BadRequest", str(problem))


@bp.errorhandler(BadQuery)
def _bad_query(problem: BadQuery) -> ResponseReturnValue:
    return error(400, "BadQuery", problem.message, position=problem.position)


@bp.errorhandler(HTTPException)
def _http(problem: HTTPException) -> ResponseReturnValue:
    name = problem.name.replace(" ", "")
    return error(problem.code or 500, name, problem.description or problem.name)


@bp.errorhandler(StoreUnavailable)
@bp.errorhandler(SQLAlchemyError)
def _store_is_away(problem: Exception) -> ResponseReturnValue:
    log.error("the mail store does not answer", exc_info=problem)
    response = error(503, "Unavailable", "The store of captured mail does not answer.")
    response.headers["Retry-After"] = "5"
    return response


def _not_found() -> Response:
    return error(404, "NotFound", "There is no such mail.")


# Mails as JSON -----------------------------------------------------------------------------------


def _person(address: Address) -> dict[str, str]:
    return {"name": address.name, "address": address.address}


def summary(row: Summary) -> dict[str, Any]:
    """A mail in a list."""
    return {
        "id": row.id,
        "messageId": row.message_id,
        "receivedAt": _written(row.received_at),
        "envelope": {"from": row.envelope_sender, "to": list(row.envelope_recipients)},
        "from": _person(row.sender) if row.sender else None,
        "to": [_person(one) for one in row.to],
        "cc": [_person(one) for one in row.cc],
        "replyTo": [_person(one) for one in row.reply_to],
        "subject": row.subject,
        "snippet": row.snippet,
        "isRead": row.is_read,
        "tags": list(row.tags),
        "size": row.size,
        "attachmentCount": row.attachments,
        "thread": row.thread,
    }


def whole(row: Summary, mail: Message) -> dict[str, Any]:
    """A mail with all that a test wants of it: text, HTML, links, codes, headers, files."""
    return summary(row) | {
        "text": mail.text,
        "html": mail.html,
        "links": [
            {"url": one.url, "text": one.text, "kind": letters.kind_of(one.url)}
            for one in mail.links
        ],
        "codes": list(mail.codes),
        "headers": [{"name": one.name, "value": one.value} for one in mail.headers],
        "attachments": [
            {
                "part": one.part_id,
                "name": one.name,
                "contentType": one.content_type,
                "contentId": one.content_id,
                "isInline": one.is_inline,
                "size": one.size,
                "url": f"/mail/api/v1/message/{row.id}/part/{one.part_id}",
            }
            for one in mail.attachments
        ],
    }


def _written(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


# What is asked for -------------------------------------------------------------------------------

_PERSON = re.compile(r"[^\s@\"]*@[^\s@\"]+")


def _said(name: str) -> str:
    value = request.args.get(name, "").strip()
    if '"' in value and name != "query":
        raise BadRequest(f"“{name}” holds a quotation mark.")
    return value


def _filters(*, instants: bool = True) -> str:
    """The query of the parameters mailbox, to, from, subject, tag, query, after and before."""
    terms = []
    if name := _said("mailbox"):
        mailbox = boxes.find(store(), name)
        if mailbox is None:
            raise BadRequest(f"There is no mailbox {name}.")
        terms.append(mailbox.query)
    for name in ("to", "from"):
        if value := _said(name):
            if not _PERSON.fullmatch(value):
                raise BadRequest(f"“{name}” is an address, or @ and a domain.")
            terms.append(f'{name}:"{value}"')
    for name in ("subject", "tag"):
        if value := _said(name):
            terms.append(f'{name}:"{value}"')
    if value := _said("query"):
        terms.append(value)
    for name in ("after", "before") if instants else ():
        if at := _instant(name):
            terms.append(f"{name}:{_written(at)}")
    return " ".join(terms)


def _instant(name: str) -> datetime | None:
    value = _said(name)
    if not value:
        return None
    try:
        at = datetime.fromisoformat(value.replace(" ", "+"))
    except ValueError:
        raise BadRequest(f"“{name}” is an instant such as 2026-11-21T09:30:00Z.") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _seconds() -> float:
    value = _said("timeout")
    try:
        seconds = float(value) if value else WAIT
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= live.MAX_WAIT:
        raise BadRequest(f"“timeout” is a number of seconds, {live.MAX_WAIT:.0f} at most.")
    return seconds


def _count(name: str, otherwise: int, most: int) -> int:
    value = _said(name)
    if not value:
        return otherwise
    if not re.fullmatch(r"[0-9]{1,18}", value):
        raise BadRequest(f"“{name}” is a number.")
    return min(int(value), most)


def body() -> dict[str, Any]:
    """The request's JSON object; empty without one. Raises BadRequest."""
    said = request.get_json(silent=True) if request.get_data() else {}
    if not isinstance(said, dict):
        raise BadRequest("The body is not a JSON object.")
    return said


# Lists -------------------------------------------------------------------------------------------


@bp.get("/messages")
@public
def list_messages() -> ResponseReturnValue:
    """Mails that match every parameter, newest first; ``next`` is the cursor of the older ones."""
    cursor = _count("cursor", 0, 2**62) or None
    limit = max(_count("limit", 50, MOST), 1)
    page = store().list(_filters(), before=cursor, limit=limit)
    following = None if page.before is None else str(page.before)
    return answer({"messages": [summary(row) for row in page.messages], "next": following})


@bp.delete("/messages")
@public
def delete_messages() -> ResponseReturnValue:
    """Delete the mails that match every parameter; all of them only with ``all=true``."""
    query = _filters()
    if not query and _said("all") != "true":
        raise BadRequest("Say which mails, or all=true.")
    return answer({"deleted": store().delete(query=query) if query else store().delete()})


@bp.get("/messages/<string(length=22):message_id>")
@public
def get_message(message_id: str) -> ResponseReturnValue:
    """One mail, whole; it stays unread unless ``markRead=true``."""
    row = find(message_id)
    source = store().source(message_id) if row else None
    if row is None or source is None:
        return _not_found()
    if _said("markRead") == "true":
        mark_read(row)
    return answer(whole(row, messages.read(source)))


# Waiting -----------------------------------------------------------------------------------------


@bp.get("/messages/wait")
@public
def wait_for_message() -> ResponseReturnValue:
    """The newest mail that matches, whole, as soon as there is one; 404 after ``timeout`` seconds.

    A mail that has come already counts, so a test may send first and wait then; ``after`` leaves
    out those of before.
    """
    query = _filters()
    store().list(query, limit=1)  # a query that cannot be read is refused before anybody waits

    def check(mails: Store) -> live.Outcome | None:
        found = mails.list(query, limit=1).messages
        source = mails.source(found[0].id) if found else None
        return None if source is None else (200, whole(found[0], messages.read(source)))

    seconds = _seconds()
    words = f"No such mail came within {seconds:g} seconds."
    nothing = {"error": {"code": "NothingCame", "message": words, "query": query}}
    return live.wait(check, seconds, (404, nothing))


@bp.get("/messages/none")
@public
def none_came() -> ResponseReturnValue:
    """Whether nothing that matches came between ``after`` and ``before`` (now, unless said).

    If ``before`` is still to come this waits for it, and ends at the first mail.
    """
    before = _instant("before") or clock.now()
    ahead = (before - clock.now()).total_seconds()
    if ahead > live.MAX_WAIT:
        raise BadRequest(f"“before” is {live.MAX_WAIT:.0f} seconds ahead at most.")
    query = f"{_filters(instants=False)} before:{_written(before)}"
    if at := _instant("after"):
        query += f" after:{_written(at)}"
    store().list(query, limit=1)

    def check(mails: Store) -> live.Outcome | None:
        found = mails.list(query, limit=MOST).messages
        told = [summary(row) for row in found]
        return (200, {"nothing": False, "messages": told}) if found else None

    return live.wait(check, ahead, (200, {"nothing": True, "messages": []}))


@bp.get("/events")
@public
def events() -> ResponseReturnValue:
    """Server-sent events: message, read, unread, tags, deleted, restored, reload, emptied."""
    return live.stream(_told)


_EVENTS = {"many": "reload", "all": "emptied"}


def _told(news: News) -> list[tuple[str, Any]]:
    said: list[tuple[str, Any]] = [("message", summary(row)) for row in news.arrived]
    for change in news.changed:
        data = {"id": change.message_id} if change.message_id else {}
        said.append((_EVENTS.get(change.kind, change.kind), data))
    said += [("refused", {"reply": refusal.reply}) for refusal in news.refused]
    counters = news.counters
    said.append(("counters", {"total": counters.total, "unread": counters.unread}))
    return said


# Mailboxes ---------------------------------------------------------------------------------------


def _mailbox(mailbox: Mailbox) -> dict[str, Any]:
    return {
        "name": mailbox.name,
        "domain": mailbox.domain or None,
        "address": f"guest@{mailbox.domain}" if mailbox.domain else None,
        "query": mailbox.query,
        "createdAt": wire.instant(mailbox.created_at),
    }


@bp.post("/mailboxes")
@public
def make_mailbox() -> ResponseReturnValue:
    """A mailbox, with a domain of its own unless ``query`` says what belongs in it."""
    said = body()
    name, query = said.get("name", ""), said.get("query", "")
    if not isinstance(name, str) or not isinstance(query, str):
        raise BadRequest("name and query are texts.")
    made = boxes.make(store(), name, query)
    response = answer(_mailbox(made), 201)
    response.headers["Location"] = url_for(".get_mailbox", name=made.name)
    return response


@bp.get("/mailboxes")
@public
def list_mailboxes() -> ResponseReturnValue:
    """All mailboxes, newest first."""
    return answer({"mailboxes": [_mailbox(one) for one in boxes.every(store())]})


@bp.get("/mailboxes/<name>")
@public
def get_mailbox(name: str) -> ResponseReturnValue:
    """One mailbox, with how many mails it holds and how many of them are unread."""
    mailbox = boxes.find(store(), name)
    if mailbox is None:
        return error(404, "NotFound", "There is no such mailbox.")
    total, unread = store().count(mailbox.query)
    return answer(_mailbox(mailbox) | {"total": total, "unread": unread})


@bp.delete("/mailboxes/<name>")
@public
def delete_mailbox(name: str) -> ResponseReturnValue:
    """Delete a mailbox and the mails in it."""
    mailbox = boxes.find(store(), name)
    if mailbox is None:
        return error(404, "NotFound", "There is no such mailbox.")
    deleted = store().delete(query=mailbox.query)
    boxes.remove(store(), name)
    return answer({"deleted": deleted})


# What it can do ----------------------------------------------------------------------------------


@bp.get("/openapi.json")
@public
def openapi() -> ResponseReturnValue:
    """This interface as an OpenAPI 3.1 document."""
    return answer(document.build())
