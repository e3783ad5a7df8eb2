"""The one door to Graph: from bearer to actor, from path to route, from refusal to Graph's own
envelope. Never a page, never a trace (threats.md, API-1 to API-6).
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson
from flask import Blueprint, Flask, Response, request
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.orm import Session
from werkzeug.exceptions import HTTPException

from b2b import database
from b2b.actor import Actor
from b2b.errors import Conflict, Denied, Invalid, NotFound, Refused, Throttled
from b2b.extensions import csrf, db
from b2b.models import ActorKind
from b2b.services import tokens
from b2b.services.invitees import InvalidAddresses
from b2b.services.tokens import Access
from b2b.web import context, headers
from b2b.web.context import public
from b2b.web.graph import bodies, calls, metadata, openapi
from b2b.web.graph.calls import Answer, Call, GraphError, Route, Sent, bad, missing
from b2b.web.graph.odata import Malformed

log = logging.getLogger(__name__)
bp = Blueprint("graph", __name__)
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


@bp.route("/<any('v1.0', 'beta'):version>", methods=_METHODS, provide_automatic_options=False)
@bp.route(
    "/<any('v1.0', 'beta'):version>/<path:path>",
    methods=_METHODS,
    provide_automatic_options=False,
)
@headers.from_anywhere
@public
def serve(version: str, path: str = "") -> ResponseReturnValue:
    """Every request to Graph; no cookie counts here."""
    if request.method == "OPTIONS":
        return _preflight()
    told = DESCRIPTIONS.get(path.strip("/"))
    if told is not None and request.method in ("GET", "HEAD"):
        return _response(told(version))
    call = _opened(version, path)
    made, keys = calls.resolve(call.method, path)
    call.params = keys
    return _response(perform(call, made))


csrf.exempt(serve)

DESCRIPTIONS: dict[str, Callable[[str], Answer]] = {
    "$metadata": metadata.answer,
    openapi.PATH: openapi.answer,
}
"""What this Graph says of itself to everybody, by path."""


def register(app: Flask) -> None:
    """Answer in Graph's shape, too, what no route of Flask takes."""
    app.before_request(_unrouted)


def _unrouted() -> Response | None:
    is_ours = request.path.split("/")[1:2] in (["v1.0"], ["beta"])
    if request.routing_exception is None or not is_ours or request.endpoint is not None:
        return None
    code = request.routing_exception.code
    if code == 405:
        found = GraphError(405, "Request_BadRequest", f"{request.method[:20]} is not taken here.")
    elif code == 404:
        found = bad("There is no resource at this address.", code="BadRequest")
    else:
        return None
    return _response(failure(found))


# Who asks ----------------------------------------------------------------------------------------


def _opened(version: str, path: str) -> Call:
    """The request with whoever asks. Raises GraphError (401, 415)."""
    session = db.session()
    access = _access(session)
    return Call(
        session=session,
        actor=acting(access),
        access=access,
        version=version,
        method=request.method,
        path=path,
        options=options_of(request.args.items(multi=True)),
        headers=request.headers,
        read_body=_sent_json,
        read_bytes=request.get_data,
    )


def _access(session: Session) -> Access:
    bearer = request.authorization
    try:
        if bearer is None or bearer.type != "bearer" or not bearer.token:
            raise tokens.BadToken
        return tokens.check_access(session, bearer.token, now=context.now())
    except tokens.BadToken:
        told = ', error="invalid_token"' if request.authorization is not None else ""
        raise GraphError(
            401,
            "InvalidAuthenticationToken",
            "The access token is missing, malformed, over or for somebody else.",
            headers={"WWW-Authenticate": f'Bearer realm="b2b"{told}'},
        ) from None


def acting(access: Access) -> Actor:
    """Who acts with a token: the person that stands behind it, or the program itself."""
    found, user = access.standing, access.user
    common: dict[str, Any] = {
        "tenant_id": access.tenant_id,
        "tenant_name": found.tenant_name,
        "tenant_domain": found.tenant_domain,
        "now": context.now(),
        "client_id": found.principal_id,
        "correlation_id": context.correlation_id(),
        "ip_address": request.remote_addr,
        "user_agent": request.user_agent.string,
    }
    if user is None:
        return Actor(
            **common,
            kind=ActorKind.APPLICATION,
            display_name=found.principal_name,
            granted=access.roles,
        )
    return Actor(
        **common,
        user_id=user.id,
        display_name=user.display_name,
        user_principal_name=user.user_principal_name,
        mail=user.mail,
        is_guest=user.is_guest,
        roles=user.roles,
        granted=access.scope,
    )


def options_of(pairs: Any) -> dict[str, str]:
    """Query options by name. Raises GraphError for one that stands twice or is not known."""
    found: dict[str, str] = {}
    for name, value in pairs:
        key = name.lower() if name.startswith("$") else name
        if key.startswith("$") and key not in _OPTIONS:
            raise bad(f"The query option {name[:50]!r} is not known.", code="BadRequest")
        if key in found:
            raise bad(f"The query option {name[:50]!r} stands twice.", code="BadRequest")
        if "\0" in value:
            raise bad(f"The query option {name[:50]!r} holds a character that is none.")
        found[key] = value
    return found


_OPTIONS = frozenset(
    {"$select", "$filter", "$search", "$orderby", "$top", "$skip", "$count", "$expand",
     "$skiptoken", "$deltatoken", "$format"}
)  # fmt: skip


def _sent_json() -> dict[str, Any]:
    kind = (request.content_type or "application/json").partition(";")[0].strip().lower()
    if kind not in ("application/json", "text/json"):
        raise GraphError(
            415, "UnsupportedMediaType", "The body has to be JSON: Content-Type application/json."
        )
    return bodies.parse(request.get_data())


# Answering ---------------------------------------------------------------------------------------


def perform(call: Call, made: Route) -> Answer:
    """Do what was asked, in a transaction of its own if it writes. Raises what routes raise."""
    require(call, made)
    prepare(call, made)
    if not made.writes:
        return run(call, made)
    with context.writing() as session:
        call.session = session
        return run(call, made)


def prepare(call: Call, made: Route) -> None:
    """Do what takes long before any lock is taken. Raises GraphError."""
    if made.prepare is not None:
        with _translating(call, made):
            call.prepared = made.prepare(call)


def require(call: Call, made: Route) -> None:
    """Raise GraphError (403) unless the token holds one of the permissions of the route."""
    if made.pattern.partition("/")[0] == "me" and call.access.user is None:
        raise bad("/me is for tokens that a person stands behind.", code="BadRequest")
    if not made.needs.met_by(call.access):
        wanted = made.needs.of(call.access)
        kind = "application" if call.access.user is None else "delegated"
        hint = f"one of {', '.join(wanted)}" if wanted else f"no {kind} permission suffices"
        raise GraphError(
            403,
            "Authorization_RequestDenied",
            f"The token lacks a permission for this ({kind}): {hint}.",
        )


def run(call: Call, made: Route) -> Answer:
    """The view's answer; refusals of services come out as GraphError."""
    with _translating(call, made):
        return made.view(call)


@contextmanager
def _translating(call: Call, made: Route) -> Iterator[None]:
    try:
        yield
    except Refused as error:
        raise _translated(error, call, made) from error
    except Malformed as error:
        raise GraphError(400, "BadRequest", str(error), target=error.option) from error


_REFUSALS: list[tuple[type[Refused], str, int, str]] = [
    (NotFound, "NotFound", 404, "Request_ResourceNotFound"),
    (Denied, "Denied", 403, "Authorization_RequestDenied"),
    (Invalid, "Invalid", 400, "Request_BadRequest"),
    (Throttled, "Throttled", 429, "TooManyRequests"),
    (Conflict, "Conflict", 400, "Request_BadRequest"),
]


def _translated(error: Refused, call: Call, made: Route) -> GraphError:
    if isinstance(error, InvalidAddresses) and error.problems:
        error = error.problems[0][1]
    name, usual = next((row[1], row[2:]) for row in _REFUSALS if isinstance(error, row[0]))
    status, code = made.refusals.get(name, usual)
    if isinstance(error, NotFound) and call.params:
        return missing(list(call.params.values())[-1])
    if isinstance(error, Invalid) and error.code == "Forbidden":
        status, code = made.refusals.get("Denied", (403, "Authorization_RequestDenied"))
    found = GraphError(status, code, str(error))
    if isinstance(error, Invalid) and error.field:
        found.target = camel(error.field)
        found.message = f"{found.target}: {error}"
    if isinstance(error, Throttled):
        wait = max(1, int((error.until - call.now).total_seconds()) + 1)
        found.headers = {"Retry-After": str(wait)}
    return found


_FIELDS = {"addresses": "invitedUserEmailAddress", "cc_address": "ccRecipients"}


def camel(name: str) -> str:
    """A service's name for a value as Graph writes it."""
    if name in _FIELDS:
        return _FIELDS[name]
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def failure(error: GraphError, headers_sent: Sent | None = None) -> Answer:
    """Graph's envelope (errors-throttling.md, section 1)."""
    body: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.target is not None:
        body["target"] = error.target
    body["innerError"] = {
        "date": context.now().strftime("%Y-%m-%dT%H:%M:%S"),
        "request-id": str(context.correlation_id()),
        "client-request-id": client_request_id(headers_sent),
    }
    return Answer(error.status, {"error": body}, headers=error.headers)


def client_request_id(headers_sent: Sent | None = None) -> str:
    """The client's own id if it sent one, else this request's."""
    sent = request.headers if headers_sent is None else headers_sent
    try:
        return str(UUID(sent.get("client-request-id", "")))
    except ValueError:
        return str(context.correlation_id())


def _as_dict(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError


def _response(answer: Answer) -> Response:
    content = answer.content
    if answer.body is not None:
        content = orjson.dumps(answer.body, _as_dict)
    response = Response(content or b"", answer.status)
    if content is not None:
        response.headers["Content-Type"] = answer.media_type
    else:
        del response.headers["Content-Type"]
    response.headers.extend(answer.headers)
    _finish(response)
    return response


def _finish(response: Response) -> None:
    """What every answer carries. Scripts of any site may read it: a token opened it, and no cookie
    counts.
    """
    response.headers.extend(
        [
            ("request-id", str(context.correlation_id())),
            ("client-request-id", client_request_id()),
            *_OF_EVERY_ANSWER,
        ]
    )


_OF_EVERY_ANSWER = (
    ("OData-Version", "4.0"),
    ("Access-Control-Allow-Origin", "*"),
    (
        "Access-Control-Expose-Headers",
        "ETag, Location, Preference-Applied, request-id, client-request-id, Retry-After",
    ),
    ("Cross-Origin-Resource-Policy", "cross-origin"),
)


def _preflight() -> Response:
    response = Response(status=200)
    del response.headers["Content-Type"]
    _finish(response)
    response.headers["Access-Control-Allow-Methods"] = ", ".join(_METHODS)
    response.headers["Access-Control-Allow-Headers"] = request.headers.get(
        "Access-Control-Request-Headers", "authorization, content-type"
    )[:512]
    response.headers["Access-Control-Max-Age"] = "600"
    return response


# Refusals and faults -----------------------------------------------------------------------------


@bp.errorhandler(GraphError)
def _refused(error: GraphError) -> ResponseReturnValue:
    db.session.rollback()
    return _response(failure(error))


@bp.errorhandler(HTTPException)
def _http(error: HTTPException) -> ResponseReturnValue:
    db.session.rollback()
    status = error.code or 500
    codes = {413: "RequestEntityTooLarge", 415: "UnsupportedMediaType"}
    words = {413: f"The body is larger than {bodies.MOST_BYTES} bytes."}
    return _response(
        failure(
            GraphError(
                status,
                codes.get(status, "BadRequest"),
                words.get(status, "The request was not understood."),
            )
        )
    )


@bp.errorhandler(DBAPIError)
@bp.errorhandler(PendingRollbackError)
def _database(error: DBAPIError | PendingRollbackError) -> ResponseReturnValue:
    db.session.rollback()
    full, busy = database.is_full(error), database.is_busy(error) or database.is_conflict(error)
    if not full and not busy:
        return _fault(error)
    log.warning("the database is %s", "full" if full else "busy", extra={"error": str(error)[:500]})
    found = GraphError(
        503,
        "ServiceUnavailable",
        "The directory cannot be reached at the moment. Nothing was changed.",
        headers={"Retry-After": "5"},
    )
    return _response(failure(found))


@bp.errorhandler(Exception)
def _fault(error: Exception) -> ResponseReturnValue:
    db.session.rollback()
    log.error(
        "a request failed",
        exc_info=error,
        extra={"path": request.path, "method": request.method},
    )
    found = GraphError(
        500, "InternalServerError", "This is a fault of the program, not of yours. It was logged."
    )
    return _response(failure(found))


def for_item(call: Call, **changes: Any) -> Call:
    """The request of one item of a batch, by the same token."""
    return replace(call, params={}, prepared=None, **changes)
