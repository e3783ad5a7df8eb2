"""The test tools' API as an OpenAPI 3.1 document."""

from typing import Any

_TEXT: dict[str, Any] = {"type": "string"}
_NUMBER: dict[str, Any] = {"type": "number"}
_WHOLE: dict[str, Any] = {"type": "integer"}
_OBJECT: dict[str, Any] = {"type": "object"}

_CALLS: list[tuple[str, str, str, dict[str, Any], list[str], int]] = [
    # path, method, summary, properties of the body, those that are needed, status
    ("/", "get", "Clock, faults, lag and snapshots", {}, [], 200),
    ("/reset", "post", "The demo as it was made, by the real time and without faults", {}, [], 200),
    ("/clock", "get", "What time it is here", {}, [], 200),
    ("/clock", "put", "Set the clock to an instant, or to an offset from the real time",
     {"now": _TEXT | {"format": "date-time"}, "offsetSeconds": _NUMBER}, [], 200),
    ("/clock", "delete", "The real time again", {}, [], 200),
    ("/clock/advance", "post", "Let time pass",
     {"days": _NUMBER, "hours": _NUMBER, "minutes": _NUMBER, "seconds": _NUMBER}, [], 200),
    ("/faults", "get", "All rules, with how often they were met", {}, [], 200),
    ("/faults", "post", "Let requests meet a fault",
     {"path": _TEXT, "kind": _TEXT | {"enum": ["status", "latency", "drop"]}, "method": _TEXT,
      "share": _NUMBER, "status": _WHOLE, "retryAfter": _WHOLE, "latencySeconds": _NUMBER,
      "times": _WHOLE}, ["path"], 201),
    ("/faults", "delete", "Take all rules away", {}, [], 200),
    ("/faults/{id}", "delete", "Take one rule away", {}, [], 200),
    ("/visibility", "put", "Have Graph’s lists show new objects late",
     {"seconds": _NUMBER}, ["seconds"], 200),
    ("/snapshots", "get", "All snapshots", {}, [], 200),
    ("/snapshots/{name}", "put", "Keep all directories as they are now", {}, [], 201),
    ("/snapshots/{name}", "delete", "Throw a snapshot away", {}, [], 200),
    ("/snapshots/{name}/restore", "post", "Put all directories back", {}, [], 200),
    ("/directory", "get", "All organisations as a directory file (YAML)", {}, [], 200),
    ("/directory", "post", "Load a directory file (YAML); with check=1 only say what it changes",
     {}, [], 200),
    ("/redeem", "post", "Redeem an invitation as somebody",
     {"invitation": _TEXT, "tenant": _TEXT, "as": _TEXT}, ["invitation"], 200),
    ("/passcode", "post", "The code that an address would type now",
     {"address": _TEXT}, ["address"], 200),
    ("/token", "post", "An access token for a person or a program",
     {"tenant": _TEXT, "client": _TEXT, "user": _TEXT, "scope": _TEXT, "resource": _TEXT,
      "claims": _OBJECT}, ["tenant", "client"], 200),
    ("/session", "post", "The cookie of a new session",
     {"tenant": _TEXT, "user": _TEXT}, ["tenant", "user"], 200),
]  # fmt: skip


def document(base_url: str) -> dict[str, Any]:
    """The document for the installation at *base_url*."""
    paths: dict[str, Any] = {}
    for path, method, summary, properties, needed, status in _CALLS:
        operation: dict[str, Any] = {
            "summary": summary,
            "responses": {
                str(status): {"description": "Done", "content": _json(_OBJECT)},
                "default": {"description": "Refused", "content": _json(_refusal())},
            },
        }
        if method != "get":
            operation["parameters"] = [_header()]
        if properties:
            schema = {"type": "object", "properties": properties, "additionalProperties": False}
            if needed:
                schema["required"] = needed
            operation["requestBody"] = {"required": True, "content": _json(schema)}
        names = [part[1:-1] for part in path.split("/") if part.startswith("{")]
        operation.setdefault("parameters", []).extend(
            {"name": name, "in": "path", "required": True, "schema": _TEXT} for name in names
        )
        paths.setdefault("" if path == "/" else path, {})[method] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": "Test tools of B2B Collaboration", "version": "1"},
        "servers": [{"url": f"{base_url}/test-double"}],
        "paths": {path or "/": told for path, told in paths.items()},
    }


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _header() -> dict[str, Any]:
    return {
        "name": "X-Test-Double",
        "in": "header",
        "description": "Any value; needed where no JSON is sent.",
        "schema": _TEXT,
    }


def _refusal() -> dict[str, Any]:
    told = {"code": _TEXT, "message": _TEXT, "field": _TEXT}
    return {"type": "object", "properties": {"error": {"type": "object", "properties": told}}}
