"""Reading the properties of a body: names, types and references, each mistake named."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import UUID

from b2b.web.graph.calls import GraphError, bad, segments
from b2b.web.graph.resources import BOOLEAN, STRINGS, Kind


def text(body: Mapping[str, Any], name: str, *, required: bool = False, code: str) -> str | None:
    """A text of *body*; None where it is absent or null. Raises GraphError."""
    value = body.get(name)
    if value is None or (required and value == ""):
        if required:
            raise bad(f"The property {name} is required.", target=name, code=code)
        return None
    if not isinstance(value, str):
        raise bad(f"The property {name} has to be a text.", target=name, code=code)
    return value


def flag(body: Mapping[str, Any], name: str, *, code: str) -> bool | None:
    """A truth value of *body*; None where it is absent or null. Raises GraphError."""
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise bad(f"The property {name} has to be true or false.", target=name, code=code)
    return value


def part(body: Mapping[str, Any], name: str, *, code: str) -> Mapping[str, Any]:
    """An object inside *body*; {} where it is absent or null. Raises GraphError."""
    value = body.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise bad(f"The property {name} has to be an object.", target=name, code=code)
    return value


def items(body: Mapping[str, Any], name: str, *, code: str) -> list[Any]:
    """A list inside *body*; [] where it is absent or null. Raises GraphError."""
    value = body.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise bad(f"The property {name} has to be a list.", target=name, code=code)
    return value


def identifier(value: Any, name: str, *, code: str = "Request_BadRequest") -> UUID:
    """An id. Raises GraphError."""
    try:
        return UUID(value) if isinstance(value, str) else UUID(None)
    except (ValueError, TypeError):
        raise bad(f"The property {name} has to be an id.", target=name, code=code) from None


def own_names(body: Mapping[str, Any]) -> dict[str, Any]:
    """*body* without annotations, which begin with `@`: accepted and not kept (clients.md)."""
    return {name: value for name, value in body.items() if not name.startswith("@")}


def unknown(type_: str, name: str, *, code: str = "Request_BadRequest") -> GraphError:
    """A name that the resource does not have."""
    return bad(f"{type_} has no property {name[:100]!r}.", target=name[:100], code=code)


def changes(kind: Kind, body: Mapping[str, Any]) -> dict[str, Any]:
    """What a PATCH or POST sets, by the names of services. Raises GraphError for unknown names,
    those that cannot be written, and values of another type.
    """
    found: dict[str, Any] = {}
    for name, value in own_names(body).items():
        if "@odata." in name:
            continue
        one = kind.named(name)
        if one is None:
            raise unknown(kind.type, name)
        if one.write is None:
            raise bad(f"{one.name} is read-only.", target=one.name)
        if one.type == BOOLEAN:
            fits = value is None or isinstance(value, bool)
        elif one.type == STRINGS:
            value = [] if value is None else value
            fits = isinstance(value, list) and all(isinstance(item, str) for item in value)
        elif one.type.startswith("Collection("):
            value = [] if value is None else value
            fits = isinstance(value, list) and all(isinstance(item, dict) for item in value)
        elif one.type == "Edm.String":
            fits = value is None or isinstance(value, str)
        else:
            fits = value is None or isinstance(value, dict)
        if not fits:
            raise bad(f"{one.name} is of type {one.type}.", target=one.name)
        found[one.write] = value
    return found


def only(kind: str, body: Mapping[str, Any], *names: str) -> None:
    """Raise GraphError for a name of *body* that is none of *names*."""
    for name in own_names(body):
        if "@odata." not in name and name not in names:
            raise unknown(kind, name)


_REFERRED = {"users", "groups", "directoryobjects", "serviceprincipals", "applications"}


def reference(value: Any, name: str = "@odata.id") -> tuple[str, str]:
    """Where an address such as `…/v1.0/users/{id}` leads: set and key. Ours and the real service's
    are the same (clients.md). Raises GraphError.
    """
    if isinstance(value, str) and len(value) < 2048:
        path = urlsplit(value).path
        parts = segments(unquote(path))
        if parts[0] in ("v1.0", "beta"):
            parts = parts[1:]
        if parts and parts[0] == "":
            parts = parts[1:]
        if len(parts) == 1 and "://" not in value:
            return "directoryobjects", parts[0]
        if len(parts) >= 2 and parts[0].lower() in _REFERRED:
            return parts[0].lower(), parts[1]
        # Some clients put a tenant in front.
        if len(parts) == 3 and parts[1].lower() in _REFERRED:
            return parts[1].lower(), parts[2]
    raise bad(f"{name} has to be an address such as …/directoryObjects/{{id}}.", target=name)


def referred(body: Mapping[str, Any]) -> tuple[str, UUID]:
    """Set and id that the body of a `$ref` names. Raises GraphError."""
    for name in body:
        if name != "@odata.id" and not name.startswith("@"):
            raise unknown("reference", name)
    kind, key = reference(body.get("@odata.id"))
    return kind, identifier(key, "@odata.id")
