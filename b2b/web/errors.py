"""Refusals and faults as pages. Never a traceback, and what was typed is kept (threats.md,
REL-7).
"""

import logging
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, make_response, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from werkzeug.exceptions import HTTPException, SecurityError

from b2b import database
from b2b.errors import Conflict, Denied, Invalid, NotFound, Refused, Throttled
from b2b.extensions import db
from b2b.web import context, words

log = logging.getLogger(__name__)

_STATUS: list[tuple[type[Refused], int]] = [
    (NotFound, 404),
    (Denied, 403),
    (Invalid, 400),
    (Throttled, 429),
    (Conflict, 409),
]
_SECRET_FIELDS = {
    "csrf_token", "password", "password_again", "current_password", "code", "code_verifier",
    "client_secret", "client_assertion", "assertion", "refresh_token", "device_code",
}  # fmt: skip


def register(app: Flask) -> None:
    """Bind the handlers."""
    for kind, handler in _HANDLERS:
        app.register_error_handler(kind, handler)


def answer(error: Exception) -> ResponseReturnValue:
    """The page for *error*, for a blueprint that answers some of its faults otherwise."""
    handler = next(handler for kind, handler in _HANDLERS if isinstance(error, kind))
    return handler(error)


def say(error: Refused) -> str:
    """The sentence of *error* in the reader's language."""
    return words.said(error)


def page(
    status: int,
    title: str,
    sentence: str,
    *,
    code: str | None = None,
    kept: list[tuple[str, str]] | None = None,
    retry_after: int | None = None,
) -> Response:
    """One error page; *kept* is typed text that a button sends again."""
    response = make_response(
        render_template(
            "errors/error.html",
            title=title,
            sentence=sentence,
            code=code or f"HTTP {status}",
            kept=kept,
            status=status,
        ),
        status,
    )
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


def _typed() -> list[tuple[str, str]]:
    """What the person had typed, without secrets."""
    if request.method != "POST":
        return []
    return [
        (name, value)
        for name, value in request.form.items(multi=True)
        if name not in _SECRET_FIELDS
    ]


def _refused(error: Refused) -> ResponseReturnValue:
    db.session.rollback()
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 400)
    titles = {
        404: gettext("Not found"),
        403: gettext("You may not do this"),
        429: gettext("Too many attempts"),
        409: gettext("This has changed meanwhile"),
    }
    sentence = say(error)
    retry_after = None
    if isinstance(error, Throttled):
        wait = max(1, int((error.until - context.now()).total_seconds()) + 1)
        retry_after = wait
        sentence = f"{sentence} {try_again_in(wait)}"
    return page(
        status,
        titles.get(status, gettext("This cannot be done")),
        sentence,
        code=error.code,
        retry_after=retry_after,
    )


def try_again_in(seconds: int) -> str:
    """ "Try again in 12 minutes." """
    if seconds < 90:
        return gettext("Try again in %(count)s seconds.", count=seconds)
    return gettext("Try again in %(count)s minutes.", count=(seconds + 59) // 60)


def _foreign_host(_: SecurityError) -> ResponseReturnValue:
    """An address that is not ours: no page of ours, no link (threats.md, MAIL-4)."""
    return Response("This address is not served here.\n", 400, mimetype="text/plain")


def _form_expired(_: CSRFError) -> ResponseReturnValue:
    return page(
        400,
        gettext("This form expired"),
        gettext("Your text is kept. Send it again."),
        kept=_typed(),
    )


def _http(error: HTTPException) -> ResponseReturnValue:
    status = error.code or 500
    if status < 400 and error.response is not None:
        return error
    words: dict[int, tuple[str, str]] = {
        404: (gettext("Not found"), gettext("There is nothing at this address.")),
        405: (gettext("Not found"), gettext("This address takes no such request.")),
        403: (
            gettext("You may not do this"),
            gettext("This request came from another site and was refused."),
        ),
        413: (gettext("Too large"), gettext("That is more than this form takes.")),
    }
    title, sentence = words.get(
        status, (gettext("This cannot be done"), gettext("The request was not understood."))
    )
    response = page(status, title, sentence)
    if status == 405 and error.get_headers():
        response.headers.extend(
            {name: value for name, value in error.get_headers() if name == "Allow"}
        )
    return response


def _database(error: DBAPIError | PendingRollbackError) -> ResponseReturnValue:
    db.session.rollback()
    if database.is_full(error):
        log.error("the disk is full")
        return _unavailable(gettext("The disk of this server is full. Nothing was changed."))
    if database.is_busy(error) or database.is_conflict(error):
        log.warning("the database is busy", extra={"error": str(getattr(error, "orig", error))})
        return _unavailable(gettext("The database is busy. Nothing was changed."))
    return _fault(error)


def _unavailable(sentence: str) -> Response:
    if request.method == "POST":
        kept = gettext("What you typed is kept: send it again in a moment.")
        sentence = f"{sentence} {kept}"
    return page(
        503,
        gettext("One moment"),
        sentence,
        kept=_typed(),
        retry_after=5,
    )


def _fault(error: Exception) -> ResponseReturnValue:
    db.session.rollback()
    log.error(
        "a request failed",
        exc_info=error,
        extra={"path": request.path, "method": request.method},
    )
    return page(
        500,
        gettext("Something is broken here"),
        gettext("This is a fault of the program, not of yours. It was logged."),
        kept=_typed(),
    )


_HANDLERS: list[tuple[type[Exception], Callable[[Any], ResponseReturnValue]]] = [
    (Refused, _refused),
    (SecurityError, _foreign_host),
    (CSRFError, _form_expired),
    (HTTPException, _http),
    (DBAPIError, _database),
    (PendingRollbackError, _database),
    (Exception, _fault),
]
"""The first that fits is the one."""
