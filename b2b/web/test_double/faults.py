"""Faults that a test suite has asked for, before anything else looks at the request; and what every
answer says of the test tools.
"""

import contextlib
import random
import socket
import time
from typing import Any
from uuid import uuid4

from flask import Flask, Response, g, jsonify, request
from flask_babel import gettext, ngettext

from b2b import clock
from b2b.models import FaultKind
from b2b.services import test_double
from b2b.services.test_double import Rule, State
from b2b.test_double import state
from b2b.web.context import writing

HEADER = "X-Test-Double"
FAULT_HEADER = "X-Test-Double-Fault"
SPARED = (test_double.OWN_PATH, "/admin/test-tools", "/static/")
"""The way back from a fault that meets everything."""

# errors-throttling.md, section 1.
_GRAPH_CODES = {
    400: "Request_BadRequest",
    401: "InvalidAuthenticationToken",
    403: "Authorization_RequestDenied",
    404: "Request_ResourceNotFound",
    409: "Request_MultipleObjectsWithSameKeyValue",
    423: "accessDenied",
    429: "TooManyRequests",
    500: "InternalServerError",
    501: "notSupported",
    502: "BadGateway",
    503: "ServiceUnavailable",
    504: "GatewayTimeout",
    507: "quotaLimitReached",
    509: "activityLimitReached",
}
_WORDS = "This fault was asked for: a rule of the test tools."


def register(app: Flask) -> None:
    """Meet faults before every other hook, and announce the test tools after them."""
    app.before_request_funcs.setdefault(None, []).insert(0, _meet)
    app.after_request(_announce)
    app.context_processor(_banner)


def _meet() -> Response | None:
    double = state.of_app()
    if double is None:
        return None
    rules = double.state().rules
    if not rules or request.path.startswith(SPARED):
        return None
    for rule in rules:
        if not rule.matches(request.method, request.path):
            continue
        if rule.share < 1 and random.random() >= rule.share:
            continue
        with writing() as session:
            met = test_double.meet(session, rule)
        if met:
            g.fault = rule
            return _as_asked(rule)
    return None


def _as_asked(rule: Rule) -> Response | None:
    if rule.latency:
        time.sleep(rule.latency.total_seconds())
    match rule.kind:
        case FaultKind.STATUS:
            return _refusal(rule)
        case FaultKind.DROP:
            return _hang_up()
    return None


def _refusal(rule: Rule) -> Response:
    assert rule.status is not None
    body: Any
    if request.path.startswith(("/v1.0/", "/beta/")):
        at = clock.now().strftime("%Y-%m-%dT%H:%M:%S")
        asked = request.headers.get("client-request-id") or str(uuid4())
        inner = {"date": at, "request-id": str(uuid4()), "client-request-id": asked}
        code = _GRAPH_CODES.get(rule.status, "generalException")
        body = {"error": {"code": code, "message": _WORDS, "innerError": inner}}
    elif "/oauth2/" in request.path:
        error = "temporarily_unavailable" if rule.status in (429, 503, 504) else "server_error"
        if rule.status < 500 and rule.status != 429:
            error = "invalid_request"
        body = {"error": error, "error_description": _WORDS}
    else:
        body = {"error": {"code": str(rule.status), "message": _WORDS}}
    response = jsonify(body)
    response.status_code = rule.status
    if rule.retry_after is not None:
        response.headers["Retry-After"] = str(rule.retry_after)
    return response


def _hang_up() -> Response:
    """End the connection under the answer; the server notices when it writes."""
    response = Response(status=502)
    response.headers["Connection"] = "close"
    connection = request.environ.get("gunicorn.socket")
    if isinstance(connection, socket.socket):
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
    return response


# What is told ------------------------------------------------------------------------------------


def _announce(response: Response) -> Response:
    double = state.of_app()
    if double is not None:
        response.headers[HEADER] = in_header(double.state())
        if (rule := g.get("fault")) is not None:
            response.headers[FAULT_HEADER] = str(rule.id)
    return response


def in_header(found: State) -> str:
    """`on`, or what is not as in production: seconds of the clock, number of faults, seconds of
    lag.
    """
    told = []
    if found.offset:
        told.append(f"clock={found.offset.total_seconds():+.0f}")
    if found.rules:
        told.append(f"faults={len(found.rules)}")
    if found.visible_after:
        told.append(f"visible-after={found.visible_after.total_seconds():g}")
    return "; ".join(told) or "on"


def _banner() -> dict[str, Any]:
    """Template context: one sentence on every page while anything is not as in production."""
    double = state.of_app()
    if double is None or double.state().is_plain:
        return {"test_tools": None}
    return {"test_tools": " ".join(said(double.state()))}


def said(found: State) -> list[str]:
    """What is not as in production, in the reader's language."""
    told = []
    if found.offset:
        told.append(gettext("Test clock: %(when)s.", when=in_words(found)))
    if found.rules:
        told.append(ngettext("%(num)s fault is on.", "%(num)s faults are on.", len(found.rules)))
    if found.visible_after:
        told.append(
            gettext(
                "New objects show after %(count)s seconds.",
                count=f"{found.visible_after.total_seconds():g}",
            )
        )
    return told


def in_words(found: State) -> str:
    """ "31 days ahead", or as exactly as hours, minutes and seconds need it."""
    total = abs(round(found.offset.total_seconds()))
    days, rest = divmod(total, 86400)
    parts = []
    if days:
        parts.append(ngettext("%(num)s day", "%(num)s days", days))
    if rest:
        hours, rest = divmod(rest, 3600)
        parts.append(f"{hours:02}:{rest // 60:02}:{rest % 60:02}")
    length = " ".join(parts)
    if found.offset.days >= 0:
        return gettext("%(length)s ahead", length=length)
    return gettext("%(length)s behind", length=length)
