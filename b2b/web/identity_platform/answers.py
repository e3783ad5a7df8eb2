"""What programs are told when it goes wrong, and what goes with every answer to them."""

import logging
from collections.abc import Callable
from datetime import UTC
from typing import Any, TypeVar
from uuid import UUID, uuid4

from flask import Response, current_app, jsonify, request
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from werkzeug.exceptions import HTTPException

from b2b import database, links
from b2b.extensions import db
from b2b.services.aadsts import SignInRefused
from b2b.web import context, errors
from b2b.web.context import now
from b2b.web.identity_platform import bp

View = TypeVar("View", bound=Callable[..., Any])
log = logging.getLogger(__name__)

KEYS_FOR = "public, max-age=3600"
"""Well under the time that a key is published before it signs (threats.md, OIDC-6)."""


def refused_in_json(refused: SignInRefused) -> Response:
    """An OAuth error in the real service's shape (errors of tokens.md, section 5)."""
    at = now().astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    trace, correlation = str(uuid4()), asked_correlation()
    answer = {
        "error": refused.error,
        "error_description": f"{description(refused)}\r\nTrace ID: {trace}"
        f"\r\nCorrelation ID: {correlation}\r\nTimestamp: {at}",
        "error_codes": [refused.number],
        "timestamp": at,
        "trace_id": trace,
        "correlation_id": correlation,
        "error_uri": links.absolute(f"/error?code={refused.number}"),
    }
    if refused.number == 65001 and refused.error == "invalid_grant":
        answer["suberror"] = "consent_required"  # by this libraries know that a page will help
    response = jsonify(answer)
    response.status_code = 401 if refused.error == "invalid_client" else 400
    if refused.entry.status >= 500:
        response.status_code = refused.entry.status
    if response.status_code == 503:
        response.headers["Retry-After"] = "5"
    if response.status_code == 401 and request.authorization is not None:
        response.headers["WWW-Authenticate"] = 'Basic realm="b2b"'
    return uncached(response)


def for_programs(view: View) -> View:
    """An endpoint whose unforeseen faults are told in the shape of its refusals: libraries take a
    page for a fault of the network (clients.md).
    """
    view.answers_programs = True  # type: ignore[attr-defined]
    return view


@bp.errorhandler(Exception)
def _unforeseen(error: Exception) -> ResponseReturnValue:
    view = current_app.view_functions.get(request.endpoint or "")
    if not getattr(view, "answers_programs", False):
        return errors.answer(error)
    db.session.rollback()
    if not isinstance(error, HTTPException):
        return refused_in_json(_fault(error))
    response = refused_in_json(SignInRefused(90023, name="body"))
    response.status_code = error.code or 400
    return response


def _fault(error: Exception) -> SignInRefused:
    if isinstance(error, DBAPIError | PendingRollbackError) and (
        database.is_busy(error) or database.is_conflict(error) or database.is_full(error)
    ):
        log.warning("the database is busy or full", extra={"error": str(error)[:500]})
        return SignInRefused(90033)
    log.error(
        "a request failed",
        exc_info=error,
        extra={"path": request.path, "method": request.method},
    )
    return SignInRefused(50000)


def asked_correlation() -> str:
    """The correlation id: the client's own if it sent one, else this request's."""
    try:
        return str(UUID(request.headers.get("client-request-id", "")))
    except ValueError:
        return str(context.correlation_id())


def description(refused: SignInRefused) -> str:
    """The code and the sentence for programs."""
    return f"{refused.code}: {refused}"


def uncached(response: Response) -> Response:
    """Keep secrets out of caches (threats.md, OIDC-9)."""
    response.headers["Cache-Control"] = "no-store"
    response.headers["Pragma"] = "no-cache"
    return response
