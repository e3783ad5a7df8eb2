"""`$batch`: up to twenty requests in one, each with an outcome of its own, all in one commit
(errors-throttling.md, section 4; decisions.md, $batch).
"""

import base64
import binascii
import logging
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from b2b import database
from b2b.web import context
from b2b.web.graph import access, calls, door
from b2b.web.graph.calls import Answer, Call, GraphError, Route, bad, route

log = logging.getLogger(__name__)
MOST = 20
_METHODS = {"GET", "POST", "PUT", "PATCH", "DELETE"}


@dataclass
class _Item:
    """One request of a batch on its way to an answer."""

    id: str
    call: Call
    after: Sequence[str] = ()
    route: Route | None = None
    answer: Answer | None = None


@route("POST", "$batch", needs=access.ANYBODY, writes=False, returns="graph.batchResponse")
def batch(call: Call) -> Answer:
    """Several requests at once."""
    items = _items(call)
    order = _ordered(items)
    for item in order:
        _prepare(item)
    writes = any(item.route is not None and item.route.writes for item in order)
    done: dict[str, _Item] = {}
    with context.writing() if writes else nullcontext(call.session) as session:
        for item in order:
            if item.answer is None:
                failed = [one for one in item.after if _status(done[one]) >= 400]
                item.answer = (
                    _refused(
                        item, GraphError(424, "FailedDependency", f"Request {failed[0]!r} failed.")
                    )
                    if failed
                    else _run(item, session)
                )
            done[item.id.lower()] = item
    return Answer(body={"responses": [_told(item) for item in order]})


# Reading -----------------------------------------------------------------------------------------


def _malformed(message: str) -> GraphError:
    return bad(message, code="BadRequest")


def _items(call: Call) -> list[_Item]:
    """The requests of the body. Raises GraphError for a batch that cannot be read as one."""
    body = call.body()
    listed = body.get("requests")
    if not isinstance(listed, list) or not listed:
        raise _malformed("The body has to hold requests, a list of at least one.")
    if len(listed) > MOST:
        raise _malformed(f"A batch holds at most {MOST} requests.")
    found: list[_Item] = []
    seen: set[str] = set()
    for one in listed:
        if not isinstance(one, dict):
            raise _malformed("Each request of a batch is an object.")
        name = one.get("id")
        if not isinstance(name, str) or not name or len(name) > 100:
            raise _malformed("Each request of a batch needs an id, which is a text.")
        if name.lower() in seen:
            raise _malformed(f"The id {name!r} stands twice.")
        seen.add(name.lower())
        found.append(_item(call, name, one))
    return found


def _item(call: Call, name: str, one: Mapping[str, Any]) -> _Item:
    method, url = one.get("method"), one.get("url")
    if not isinstance(method, str) or method.upper() not in _METHODS:
        raise _malformed(f"Request {name!r} needs a method such as GET.")
    if not isinstance(url, str) or not url or len(url) > 16384 or "\0" in url:
        raise _malformed(f"Request {name!r} needs a url.")
    sent = one.get("headers") or {}
    if not isinstance(sent, dict) or not all(isinstance(value, str) for value in sent.values()):
        raise _malformed(f"The headers of request {name!r} are texts.")
    after = one.get("dependsOn") or []
    if not isinstance(after, list) or not all(isinstance(value, str) for value in after):
        raise _malformed(f"dependsOn of request {name!r} is a list of ids.")
    headers = {key.lower(): value for key, value in sent.items()}
    version, path, query = _address(call, url)
    body = one.get("body")

    def read_body() -> Any:
        if body is None:
            raise bad("The request needs a JSON object as its body.", code="BadRequest")
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if not kind:
            raise bad("A body needs the header Content-Type.", code="BadRequest")
        if kind != "application/json":
            raise GraphError(415, "UnsupportedMediaType", "The body has to be JSON.")
        if not isinstance(body, dict):
            raise bad("The body has to be a JSON object.", code="BadRequest")
        return body

    def read_bytes() -> bytes:
        try:
            return base64.b64decode(str(body or "").replace("-", "+").replace("_", "/") + "==")
        except (binascii.Error, ValueError):
            raise bad("A body that is no JSON is base64.", code="BadRequest") from None

    item = door.for_item(
        call,
        version=version,
        method=method.upper(),
        path=path,
        options={},
        headers=headers,
        read_body=read_body,
        read_bytes=read_bytes,
    )
    found = _Item(name, item, [value.lower() for value in after])
    try:
        item.options = door.options_of(parse_qsl(query, keep_blank_values=True))
    except GraphError as error:
        found.answer = _refused(found, error)
    return found


def _address(call: Call, url: str) -> tuple[str, str, str]:
    """Version, path and query of a relative address; a version may stand in front (clients.md)."""
    parts = urlsplit(url if url.startswith(("http://", "https://", "/")) else f"/{url}")
    path = unquote(parts.path).lstrip("/")
    first, _, rest = path.partition("/")
    if first in calls.VERSIONS:
        return first, rest, parts.query
    return call.version, path, parts.query


def _ordered(items: Sequence[_Item]) -> list[_Item]:
    """*items* so that each comes after those it depends on. Raises GraphError for circles."""
    known = {item.id.lower(): item for item in items}
    for item in items:
        for one in item.after:
            if one not in known:
                raise _malformed(f"Request {item.id!r} depends on {one!r}, which is not there.")
    placed: dict[str, _Item] = {}
    while len(placed) < len(items):
        ready = [
            item
            for item in items
            if item.id.lower() not in placed and all(one in placed for one in item.after)
        ]
        if not ready:
            raise _malformed("The requests depend on each other in a circle.")
        placed[ready[0].id.lower()] = ready[0]
    return list(placed.values())


# Doing -------------------------------------------------------------------------------------------


def _prepare(item: _Item) -> None:
    """Whatever needs no transaction: the route, the permission, what takes long."""
    if item.answer is not None:
        return
    try:
        made, keys = calls.resolve(item.call.method, item.call.path)
        if made.view is batch:
            raise _malformed("A batch holds no batch.")
        item.call.params = keys
        door.require(item.call, made)
        door.prepare(item.call, made)
        item.route = made
    except GraphError as error:
        item.answer = _refused(item, error)


def _run(item: _Item, session: Session) -> Answer:
    """The item's answer; what it did is undone if it fails."""
    assert item.route is not None
    item.call.session = session
    try:
        if not item.route.writes:
            return door.run(item.call, item.route)
        with session.begin_nested():
            return door.run(item.call, item.route)
    except GraphError as error:
        return _refused(item, error)
    except DBAPIError as error:
        if database.is_conflict(error) or database.is_busy(error) or database.is_full(error):
            raise
        return _fault(item, error)
    except Exception as error:
        return _fault(item, error)


def _fault(item: _Item, error: Exception) -> Answer:
    log.error("a request of a batch failed", exc_info=error, extra={"path": item.call.path})
    found = GraphError(500, "InternalServerError", "This is a fault of the program. It was logged.")
    return _refused(item, found)


def _refused(item: _Item, error: GraphError) -> Answer:
    return door.failure(error, item.call.headers)


# Answering ---------------------------------------------------------------------------------------


def _status(item: _Item) -> int:
    return 500 if item.answer is None else item.answer.status


def _told(item: _Item) -> dict[str, Any]:
    answer = item.answer
    assert answer is not None
    headers = dict(answer.headers)
    found: dict[str, Any] = {"id": item.id, "status": answer.status}
    if answer.body is not None:
        headers["Content-Type"] = "application/json"
        found["body"] = answer.body
    elif answer.content is not None:
        headers["Content-Type"] = answer.media_type
        is_text = answer.media_type.startswith("text/")
        found["body"] = (
            answer.content.decode() if is_text else base64.b64encode(answer.content).decode()
        )
    found["headers"] = headers
    return found
