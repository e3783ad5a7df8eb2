"""Lists of a few things that every directory has, such as roles and domains: made in memory, with
the same options as those that the database walks.
"""

from collections.abc import Sequence
from typing import Any

from b2b.web.graph import listing
from b2b.web.graph.calls import Answer, Call, bad, unsupported
from b2b.web.graph.listing import Shape
from b2b.web.graph.odata import Both, Compare, Condition, In, Literal, Not, Path, parse_filter
from b2b.web.graph.resources import Kind, Property

OPERATORS = frozenset({"eq", "ne", "in", "startswith"})


def shown(kind: Kind, row: Any, shape: Shape) -> dict[str, Any]:
    """A row as JSON."""
    hidden: dict[bool, Any] = {True: [], False: None}
    return {
        one.name: hidden[one.type.startswith("Collection")]
        if one.name in shape.hidden
        else one.value(row)
        for one in shape.properties
    }


def collection(
    call: Call,
    kind: Kind,
    rows: Sequence[Any],
    *,
    hidden: frozenset[str] = frozenset(),
    context: str | None = None,
    pages: bool = True,
) -> Answer:
    """A page of *rows*, which are few and in order; the first property names a row.

    Raises GraphError, Malformed.
    """
    shape = listing.shape_of(call, kind, many=True, hidden=hidden)
    for option in ("$search", "$orderby", "$skip"):
        if option in call.options:
            raise unsupported(f"{option} is not supported for {kind.set}.")
    found = list(rows)
    if "$filter" in call.options:
        tree = parse_filter(call.options["$filter"])
        found = [row for row in found if _meets(tree, kind, row)]
        if not rows:
            _check(tree, kind)
    key = next(iter(kind.properties.values()))
    names = [str(key.value(row)) for row in found]
    place, start = listing.place_of(call), 0
    size = listing.size_of(call) if pages else len(found)
    if place is not None:
        start = names.index(place[0]) + 1 if place[0] in names else len(names)
    value = [shown(kind, row, shape) for row in found[start : start + size]]
    following = [names[start + size - 1]] if len(found) > start + size else None
    count = len(found) if call.wants_count else None
    return listing.page(call, (context or kind.set) + shape.context(), value, following, count)


def entity(
    call: Call,
    kind: Kind,
    row: Any,
    *,
    hidden: frozenset[str] = frozenset(),
    context: str | None = None,
    status: int = 200,
) -> Answer:
    """One of them."""
    shape = listing.shape_of(call, kind, many=False, hidden=hidden)
    where = context or f"{kind.set}{shape.context()}/$entity"
    return Answer(status, {"@odata.context": call.context(where), **shown(kind, row, shape)})


# $filter -----------------------------------------------------------------------------------------


def _check(tree: Condition, kind: Kind) -> None:
    """Refuse what could not be answered for a row either."""
    match tree:
        case Not():
            _check(tree.inner, kind)
        case Both():
            for part in tree.parts:
                _check(part, kind)
        case Compare():
            _property(kind, tree.path, tree.operator)
        case In():
            _property(kind, tree.path, "in")
        case _:
            raise unsupported(f"{kind.set} cannot be filtered with any and all.")


def _meets(tree: Condition, kind: Kind, row: Any) -> bool:
    match tree:
        case Not():
            return not _meets(tree.inner, kind, row)
        case Both():
            met = [_meets(part, kind, row) for part in tree.parts]
            return all(met) if tree.operator == "and" else any(met)
        case In():
            value = _folded(_property(kind, tree.path, "in").value(row))
            return value in [_literal(one) for one in tree.values]
        case Compare():
            value = _folded(_property(kind, tree.path, tree.operator).value(row))
            wanted = _literal(tree.value)
            if tree.operator == "startswith":
                return str(value or "").startswith(str(wanted))
            return (value == wanted) is (tree.operator == "eq")
        case _:
            raise unsupported(f"{kind.set} cannot be filtered with any and all.")


def _property(kind: Kind, path: Path, operator: str) -> Property:
    found = kind.named(path.text)
    if found is None:
        raise bad(
            f"{kind.type} has no property {path.text[:100]!r} ($filter, position {path.position}).",
            code="BadRequest",
            target="$filter",
        )
    if found.filter is None or operator not in OPERATORS:
        raise unsupported(
            f"{found.name} cannot be filtered with {operator} (position {path.position})."
        )
    return found


def _literal(literal: Literal) -> Any:
    return _folded(literal.value if isinstance(literal.value, (bool, str)) else _text(literal))


def _text(literal: Literal) -> str | None:
    return None if literal.value is None else str(literal.value)


def _folded(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value
