"""Mailpit's socket, and what the server says of itself."""

import re
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import current_app
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound
from werkzeug.routing import Rule

from b2b.sink import tags
from b2b.sink.store import Counters
from b2b.sink.watching import News
from b2b.web.context import public
from b2b.web.inbox import live, wire
from b2b.web.inbox.mailbox import find, store
from b2b.web.inbox.mailpit import VERSION, as_json, bp, plain

_STARTED = time.monotonic()


@bp.get("/api/events")
@public
def no_events() -> ResponseReturnValue:
    """Without the handshake of a websocket there is nothing here."""
    raise NotFound


@bp.get("/api/events", websocket=True)
@public
def events() -> ResponseReturnValue:
    """The websocket."""
    return live.socket(told, ("stats", _stats(store().counters())))


def told(news: News) -> list[tuple[str, Any]]:
    """News as Mailpit's events."""
    said: list[tuple[str, Any]] = [("new", wire.summary(row)) for row in news.arrived]
    for change in news.changed:
        row = find(change.message_id) if change.message_id else None
        if change.kind in ("read", "unread"):
            said.append(("update", {"ID": change.message_id, "Read": change.kind == "read"}))
        elif change.kind == "tags" and row is not None:
            said.append(("update", {"ID": row.id, "Tags": list(row.tags)}))
        elif change.kind == "deleted":
            said.append(("delete", {"ID": change.message_id}))
        elif change.kind == "restored" and row is not None:
            said.append(("new", wire.summary(row)))
        elif change.kind == "many":
            said.append(("prune", None))
        elif change.kind == "all":
            said.append(("truncate", None))
    for refusal in news.refused:
        data = {"Level": "error", "Type": "smtp", "IP": "", "Message": refusal.reply}
        said.append(("error", data))
    said.append(("stats", _stats(news.counters)))
    return said


def _stats(counters: Counters) -> dict[str, Any]:
    return {"Total": counters.total, "Unread": counters.unread, "Version": VERSION}


@bp.get("/api/v1/info")
@public
def info() -> ResponseReturnValue:
    """AppInformation; what this process cannot know is 0."""
    mails = store()
    counters = mails.counters()
    is_file = mails.url.get_backend_name() == "sqlite" and mails.url.database
    file = Path(str(mails.url.database)) if is_file else None
    return as_json(
        {
            "Version": VERSION,
            "LatestVersion": "disabled",
            "Database": file.name if file else mails.url.get_backend_name(),
            "DatabaseSize": file.stat().st_size if file and file.exists() else 0,
            "Messages": counters.total,
            "Unread": counters.unread,
            "Tags": tags.counts(mails),
            "RuntimeStats": {
                "Uptime": int(time.monotonic() - _STARTED),
                "Memory": 0,
                "MessagesDeleted": counters.deleted_ever,
                "SMTPAccepted": counters.last_key,
                "SMTPAcceptedSize": counters.bytes_ever,
                "SMTPRejected": counters.refused_ever,
                "SMTPIgnored": 0,
            },
        }
    )


@bp.get("/livez")
@public
def livez() -> ResponseReturnValue:
    """The process answers."""
    return plain("")


@bp.get("/readyz")
@public
def readyz() -> ResponseReturnValue:
    """The store answers; else 503."""
    store().counters()
    return plain("")


# What it can do ----------------------------------------------------------------------------------


@bp.get("/api/v1/swagger.json")
@public
def swagger() -> ResponseReturnValue:
    """The routes of this API in Swagger 2.0."""
    return as_json(_swagger(current_app.config["BASE_URL"]))


@lru_cache(maxsize=4)
def _swagger(base_url: str) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for rule in sorted(current_app.url_map.iter_rules(), key=lambda rule: rule.rule):
        path = rule.rule.removeprefix("/mail")
        if rule.endpoint.startswith("mailpit.") and path.startswith(("/api/v1/", "/view/")):
            path = re.sub(r"<(?:\w+(?:\([^)]*\))?:)?(\w+)>", r"{\1}", path)
            paths.setdefault(path, {}).update(_operations(rule))
    return {
        "swagger": "2.0",
        "info": {
            "title": "Captured mail, in the manner of Mailpit",
            "version": VERSION.removeprefix("v"),
        },
        "basePath": "/mail",
        "schemes": [base_url.partition(":")[0]],
        "paths": paths,
    }


def _operations(rule: Rule) -> dict[str, Any]:
    words = (current_app.view_functions[rule.endpoint].__doc__ or "").split("\n")[0]
    name = rule.endpoint.partition(".")[2]
    return {
        method.lower(): {
            "operationId": f"{name}_{method.lower()}",
            "summary": words,
            "parameters": [
                {"name": argument, "in": "path", "required": True, "type": "string"}
                for argument in sorted(rule.arguments)
            ],
            "responses": {"200": {"description": "OK"}},
        }
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    }
