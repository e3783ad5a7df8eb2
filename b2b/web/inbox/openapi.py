"""The OpenAPI document of /mail/api/v2, from the routes and a table of their parameters."""

import re
from typing import Any

from flask import current_app

from b2b import links

Object = dict[str, Any]

_FILTERS = ("mailbox", "to", "from", "subject", "tag", "query")
_PARAMETERS: dict[str, tuple[str, str]] = {
    # name: type, what it means
    "mailbox": ("string", "Only mail of this mailbox."),
    "to": ("string", "Exactly this address in the envelope, or @ and a domain."),
    "from": ("string", "Exactly this address in From, or @ and a domain."),
    "subject": ("string", "A part of the subject, letter case aside."),
    "tag": ("string", "Exactly this tag, letter case aside."),
    "query": ("string", "Anything of the inbox's query language."),
    "after": ("date-time", "Received at this instant or later."),
    "before": ("date-time", "Received at this instant or earlier."),
    "limit": ("integer", "Mails on the page, 200 at most."),
    "cursor": ("string", "The next of the page before."),
    "timeout": ("number", "Seconds to wait, 120 at most; 10 unless said."),
    "markRead": ("boolean", "Mark it read."),
    "all": ("boolean", "True to delete every mail."),
}
_TAKES: dict[str, tuple[str, ...]] = {
    "list_messages": (*_FILTERS, "after", "before", "limit", "cursor"),
    "delete_messages": (*_FILTERS, "after", "before", "all"),
    "get_message": ("markRead",),
    "wait_for_message": (*_FILTERS, "after", "before", "timeout"),
    "none_came": (*_FILTERS, "after", "before"),
}
_GIVES = {
    "list_messages": "MessageList",
    "get_message": "Message",
    "wait_for_message": "Message",
    "none_came": "Nothing",
    "make_mailbox": "Mailbox",
    "get_mailbox": "Mailbox",
}


def _object(**properties: Object) -> Object:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _list(of: Object) -> Object:
    return {"type": "array", "items": of}


def _of(name: str) -> Object:
    return {"$ref": f"#/components/schemas/{name}"}


_TEXT: Object = {"type": "string"}
_TEXT_OR_NULL: Object = {"type": ["string", "null"]}
_NUMBER: Object = {"type": "integer"}
_YES_NO: Object = {"type": "boolean"}
_INSTANT: Object = {"type": "string", "format": "date-time"}

_SUMMARY = _object(
    id=_TEXT,
    messageId=_TEXT,
    receivedAt=_INSTANT,
    envelope=_object(**{"from": _TEXT, "to": _list(_TEXT)}),
    **{"from": {"anyOf": [_of("Person"), {"type": "null"}]}},
    to=_list(_of("Person")),
    cc=_list(_of("Person")),
    replyTo=_list(_of("Person")),
    subject=_TEXT,
    snippet=_TEXT,
    isRead=_YES_NO,
    tags=_list(_TEXT),
    size=_NUMBER,
    attachmentCount=_NUMBER,
    thread=_TEXT,
)
_WHOLE = _object(
    text=_TEXT,
    html=_TEXT,
    links=_list(
        _object(
            url=_TEXT,
            text=_TEXT,
            kind={
                "enum": ["invitation", "block", "installation", "mail", "telephone", "web"],
                "type": "string",
            },
        )
    ),
    codes=_list(_TEXT),
    headers=_list(_object(name=_TEXT, value=_TEXT)),
    attachments=_list(
        _object(
            part=_TEXT,
            name=_TEXT,
            contentType=_TEXT,
            contentId=_TEXT,
            isInline=_YES_NO,
            size=_NUMBER,
            url=_TEXT,
        )
    ),
)
_SCHEMAS: dict[str, Object] = {
    "Person": _object(name=_TEXT, address=_TEXT),
    "Summary": _SUMMARY,
    "Message": {"allOf": [_of("Summary"), _WHOLE]},
    "MessageList": _object(messages=_list(_of("Summary")), next=_TEXT_OR_NULL),
    "Nothing": _object(nothing=_YES_NO, messages=_list(_of("Summary"))),
    "Mailbox": _object(
        name=_TEXT,
        domain=_TEXT_OR_NULL,
        address=_TEXT_OR_NULL,
        query=_TEXT,
        createdAt=_INSTANT,
    ),
    "Error": _object(error=_object(code=_TEXT, message=_TEXT)),
}


def build() -> Object:
    """The document for this installation's own address."""
    paths: dict[str, Object] = {}
    for rule in sorted(current_app.url_map.iter_rules(), key=lambda rule: rule.rule):
        room, _, name = rule.endpoint.partition(".")
        if room != "inbox_api":
            continue
        path = re.sub(r"<(?:\w+(?:\([^)]*\))?:)?(\w+)>", r"{\1}", rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            paths.setdefault(path, {})[method.lower()] = _operation(name, sorted(rule.arguments))
    return {
        "openapi": "3.1.0",
        "info": {"title": "Captured mail", "version": "2"},
        "servers": [{"url": links.absolute("")}],
        "paths": paths,
        "components": {"schemas": _SCHEMAS},
    }


def _operation(name: str, arguments: list[str]) -> Object:
    view = current_app.view_functions[f"inbox_api.{name}"]
    summary, _, rest = (view.__doc__ or "").partition("\n")
    good: Object = {"description": "OK"}
    if name in _GIVES:
        good["content"] = {"application/json": {"schema": _of(_GIVES[name])}}
    elif name == "events":
        good["content"] = {"text/event-stream": {"schema": _TEXT}}
    wrong = {"application/json": {"schema": _of("Error")}}
    return {
        "operationId": name,
        "summary": summary,
        "description": " ".join(rest.split()),
        "parameters": [
            *({"name": one, "in": "path", "required": True, "schema": _TEXT} for one in arguments),
            *(_parameter(one) for one in _TAKES.get(name, ())),
        ],
        "responses": {
            "201" if name.startswith("make_") else "200": good,
            "default": {"description": "What is wrong", "content": wrong},
        },
    }


def _parameter(name: str) -> Object:
    kind, words = _PARAMETERS[name]
    schema = _INSTANT if kind == "date-time" else {"type": kind}
    return {"name": name, "in": "query", "schema": schema, "description": words}
