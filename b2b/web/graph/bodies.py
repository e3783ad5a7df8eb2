"""What programs send: JSON within limits, read strictly (threats.md, API-5)."""

import json
from typing import Any, NoReturn

from b2b.web.graph.calls import GraphError, bad

DEEPEST = 32
MOST_BYTES = 1024 * 1024


def parse(raw: bytes) -> dict[str, Any]:
    """The JSON object in *raw*. Raises GraphError for anything else, duplicate names included."""
    if not raw.strip():
        raise bad("The request needs a JSON object as its body.", code="BadRequest")
    try:
        found = json.loads(
            raw, object_pairs_hook=_object, parse_constant=_constant, parse_float=float
        )
    except GraphError:
        raise
    except RecursionError:
        raise bad("The JSON of the body is nested too deep.", code="BadRequest") from None
    except ValueError as error:
        where = f" at position {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise bad(f"The body cannot be read as JSON{where}.", code="BadRequest") from None
    if not isinstance(found, dict):
        raise bad("The body has to be a JSON object.", code="BadRequest")
    _check(found, 0)
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise bad(f"The name {twice[:100]!r} stands twice in one object.", code="BadRequest")
    return found


def _constant(name: str) -> NoReturn:
    raise bad(f"{name} is no JSON.", code="BadRequest")


def _check(value: Any, depth: int) -> None:
    """No text that a database cannot keep, and no deeper than anybody needs."""
    if depth > DEEPEST:
        raise bad("The JSON of the body is nested too deep.", code="BadRequest")
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= sign <= "\udfff" for sign in value):
            raise bad("The body holds a character that is none.", code="BadRequest")
    elif isinstance(value, dict):
        for name, inner in value.items():
            _check(name, depth + 1)
            _check(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _check(inner, depth + 1)
