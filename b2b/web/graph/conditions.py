"""Trees of `$filter` and `$search` as SQL over the columns of a resource: bound parameters only,
and every comparison true or false, never unknown (threats.md, API-3).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, true, union

from b2b.models import fold
from b2b.models.base import LAST, lower_ascii, walked
from b2b.web.graph.calls import bad, unsupported
from b2b.web.graph.odata import (
    Both,
    Compare,
    Condition,
    Either,
    In,
    Lambda,
    Literal,
    Not,
    Path,
    Term,
)
from b2b.web.graph.resources import BOOLEAN, GUID, INSTANT, INTEGER, STRING, Filter, Kind, Property

Clause = ColumnElement[bool]
ADVANCED = "This query needs the header ConsistencyLevel: eventual and the option $count=true."


@dataclass(frozen=True)
class Compiled:
    """A condition, and a query of ids by which an index finds all that can meet it, if one does."""

    clause: Clause
    candidates: Select[Any] | None = None
    in_order: bool = False
    """Whether it is a range of the usual order, which has an index."""


@dataclass(frozen=True)
class Compiler:
    """Makes conditions over one resource."""

    kind: Kind
    tenant_id: UUID
    is_advanced: bool
    """Whether operators are taken that need the advanced query."""
    dialect: str = "sqlite"
    words: Callable[[Property, str], tuple[Clause, Select[Any] | None]] | None = None
    """For `$search`: whether words of a property begin with those of a text."""
    hidden: frozenset[str] = frozenset()
    """Properties that whoever asks does not see, and so cannot ask about."""
    within: Sequence[Clause] = ()
    """Who is in the list at all, as far as rows of the resource say it themselves."""

    # $filter --------------------------------------------------------------------------------------

    def condition(self, tree: Condition) -> Compiled:
        """*tree* as SQL. Raises GraphError for what the resource does not offer."""
        return self._made(tree, negated=False)

    def _made(self, tree: Condition, *, negated: bool) -> Compiled:
        match tree:
            case Not():
                return self._made(tree.inner, negated=not negated)
            case Both():
                return self._both(tree, negated)
            case In():
                return self._in(tree, negated)
            case Lambda():
                return Compiled(self._lambda(tree, negated), self._leading(tree, negated))
            case Compare():
                return self._compare(tree, negated)

    def _both(self, tree: Both, negated: bool) -> Compiled:
        parts = [self._made(part, negated=negated) for part in tree.parts]
        if (tree.operator == "and") is not negated:
            clause = and_(*[part.clause for part in parts])
            known = [part.candidates for part in parts if part.candidates is not None]
            return Compiled(clause, known[0] if known else None)
        clause = or_(*[part.clause for part in parts])
        return Compiled(clause, _any_of([part.candidates for part in parts]))

    def _property(self, path: Path) -> Property:
        if len(path.names) == 1:
            found = self.kind.named(path.names[0])
        else:
            inner = {name.lower(): one for name, one in self.kind.inner.items()}
            found = inner.get(path.text.lower())
        if found is None:
            raise bad(
                f"{self.kind.type} has no property {path.text[:100]!r}"
                f" ($filter, position {path.position}).",
                code="BadRequest",
                target="$filter",
            )
        if found.name in self.hidden:
            raise unsupported(f"{found.name} is not shown to you and cannot be filtered by.")
        return found

    def _usable(self, path: Path, operator: str, negated: bool) -> tuple[Property, Filter]:
        found = self._property(path)
        how = found.filter
        wanted = {operator} | ({"not"} if negated and operator != "ne" else set())
        if how is None or not wanted <= how.plain | how.advanced:
            lacking = sorted(wanted - (how.plain | how.advanced if how else frozenset()))
            raise unsupported(
                f"{found.name} cannot be filtered with {' and '.join(lacking)}"
                f" (position {path.position})."
            )
        if not wanted <= how.plain and not self.is_advanced:
            raise unsupported(f"{found.name} {operator}: {ADVANCED}")
        return found, how

    def _compare(self, tree: Compare, negated: bool) -> Compiled:
        operator, value = tree.operator, tree.value
        if value.value is None and operator in ("eq", "ne"):
            found, how = self._usable(tree.path, "null", False)
            empty = how.column.is_(None)
            wanted = (operator == "eq") is not negated
            return Compiled(empty if wanted else ~empty)
        if operator == "ne":
            found, how = self._usable(tree.path, "ne", False)
            return self._equal(found, how, [value], not negated)
        found, how = self._usable(tree.path, operator, negated)
        if operator == "eq":
            return self._equal(found, how, [value], negated)
        if how.compares == STRING:
            return self._text(found, how, tree, negated)
        return self._ordered(found, how, operator, value, negated)

    def _in(self, tree: In, negated: bool) -> Compiled:
        found, how = self._usable(tree.path, "in", negated)
        return self._equal(found, how, list(tree.values), negated)

    def _equal(
        self, found: Property, how: Filter, values: Sequence[Literal], negated: bool
    ) -> Compiled:
        typed = [self._typed(found, value) for value in values]
        column = how.column
        if how.compares == STRING:
            column, typed = _folded(how), [_fold(how, text) for text in typed]

        def equal(one: Any) -> Clause:
            said: Clause = one.in_(typed) if len(typed) > 1 else one == typed[0]
            return said

        return self._either(how, column, equal, negated)

    def _text(self, found: Property, how: Filter, tree: Compare, negated: bool) -> Compiled:
        typed = _fold(how, self._typed(found, tree.value))
        operator = tree.operator
        made = self._either(
            how,
            _folded(how),
            lambda column: compare_text(operator, column, typed),
            negated,
            is_range=operator in _RANGES and bool(typed),
        )
        # Behind the last @ of an address there is none: its end from there on is all that fits.
        is_domain = operator == "endswith" and typed.startswith("@") and typed.count("@") == 1
        if how.domain is None or negated or not is_domain:
            return made
        has_one = _folded(how).is_not(None)
        return Compiled(made.clause, self._ids(how, and_(has_one, how.domain == typed)))

    def _either(
        self,
        how: Filter,
        column: Any,
        compare: Callable[[Any], Clause],
        negated: bool,
        *,
        is_range: bool = True,
    ) -> Compiled:
        """What *compare* says of *column*, or its opposite, which those without a value meet."""
        in_order = how.indexed and column is self.kind.properties[self.kind.order].order
        shown = walked(column) if how.indexed and not in_order else column
        if negated:
            return Compiled(or_(column.is_(None), ~compare(shown)))
        candidates = self._ids(how, compare(column)) if is_range else None
        return Compiled(and_(shown.is_not(None), compare(shown)), candidates, in_order and is_range)

    def _ordered(
        self, found: Property, how: Filter, operator: str, value: Literal, negated: bool
    ) -> Compiled:
        if operator not in _ORDER:
            raise bad(f"{found.name} is no text (position {value.position}).", target="$filter")
        typed = self._typed(found, value)
        return self._either(
            how, how.column, lambda column: _ORDER[operator](column, typed), negated
        )

    def _lambda(self, tree: Lambda, negated: bool) -> Clause:
        found = self._property(tree.path)
        how = found.filter
        if how is None or how.has is None:
            raise unsupported(f"{found.name} is no collection that can be filtered.")
        if tree.condition is None:
            clause = how.has(self, "any", None)
            return ~clause if negated else clause
        if tree.quantifier == "all":
            raise unsupported(f"{found.name} cannot be filtered with all.")
        clause = how.has(self, "any", tree)
        if negated:
            self._usable(tree.path, "eq", True)
        return ~clause if negated else clause

    def _leading(self, tree: Lambda, negated: bool) -> Select[Any] | None:
        how = self._property(tree.path).filter
        if how is None or how.leads is None or negated or tree.condition is None:
            return None
        return how.leads(self, tree)

    def element(self, tree: Lambda, found: Property) -> list[tuple[str, str, Literal]]:
        """The comparisons inside any(…), which are joined by `and`: path behind the variable,
        operator, value. Raises GraphError for other forms, and operators that are not offered.
        """
        how = found.filter
        assert how is not None
        inner = tree.condition
        parts: Sequence[Condition]
        parts = inner.parts if isinstance(inner, Both) and inner.operator == "and" else [inner]  # type: ignore[list-item]
        made = []
        for part in parts:
            values: Sequence[Literal]
            if isinstance(part, Compare):
                operator, path, values = part.operator, part.path, [part.value]
            elif isinstance(part, In) and len(parts) == 1:
                operator, path, values = "in", part.path, part.values
            else:
                raise unsupported(f"any() of {found.name} takes comparisons joined by and.")
            if path.names[0] != tree.variable:
                raise bad(
                    f"{path.text[:100]!r} does not begin with {tree.variable}"
                    f" ($filter, position {path.position}).",
                    code="BadRequest",
                    target="$filter",
                )
            if operator not in how.plain | how.advanced:
                raise unsupported(f"{found.name} cannot be filtered with {operator}.")
            if operator not in how.plain and not self.is_advanced:
                raise unsupported(f"{found.name} {operator}: {ADVANCED}")
            for value in values:
                if not isinstance(value.value, str):
                    raise bad(
                        f"{found.name} holds texts (position {value.position}).", target="$filter"
                    )
                made.append(("/".join(path.names[1:]), operator, value))
        return made

    def _typed(self, found: Property, literal: Literal) -> Any:
        value = literal.value
        wanted = found.type if found.filter is None else found.filter.compares
        if wanted == STRING:
            # Ids stand without quotes, too.
            if isinstance(value, UUID):
                return str(value)
            if isinstance(value, str):
                return value.replace("\0", "")
        elif wanted == GUID:
            if isinstance(value, UUID):
                return value
            if isinstance(value, str):
                try:
                    return UUID(value)
                except ValueError:
                    pass
        elif wanted == BOOLEAN:
            if isinstance(value, bool):
                return value
        elif wanted == INTEGER:
            if type(value) is int and abs(value) < 2**31:
                return value
        elif wanted == INSTANT and isinstance(value, datetime):
            return value
        raise bad(
            f"{found.name} is of type {wanted} ($filter, position {literal.position}).",
            target="$filter",
        )

    def _ids(self, how: Filter, clause: Clause) -> Select[Any] | None:
        """Who meets *clause*, if an index leads there. The index may hold those alone that have a
        value, and those alone that a list shows.
        """
        if not how.indexed:
            return None
        some = [] if how.key is not None else [how.column.is_not(None)]
        within = self.within or [self.kind.model.tenant_id == self.tenant_id]
        return select(self.kind.model.id).where(*within, *some, clause)

    # $search --------------------------------------------------------------------------------------

    def search(self, tree: Term | Either) -> Compiled:
        """*tree* as SQL. Raises GraphError."""
        if isinstance(tree, Either):
            parts = [self.search(part) for part in tree.parts]
            if tree.operator == "AND":
                known = [part.candidates for part in parts if part.candidates is not None]
                return Compiled(and_(*[part.clause for part in parts]), known[0] if known else None)
            return Compiled(
                or_(*[part.clause for part in parts]),
                _any_of([part.candidates for part in parts]),
            )
        found = self.kind.named(tree.property)
        if found is None or found.search is None or found.name in self.hidden:
            raise unsupported(
                f"{tree.property[:100]!r} cannot be searched ($search, position {tree.position})."
            )
        text = tree.text.replace("\0", "")
        if found.search == "words" and self.words is not None:
            clause, candidates = self.words(found, text)
            return Compiled(clause, candidates)
        how = found.filter
        assert how is not None
        typed = _fold(how, text)
        return self._either(
            how, _folded(how), lambda column: compare_text("startswith", column, typed), False
        )


_RANGES = {"startswith", "ge", "gt", "le", "lt"}
_ORDER: dict[str, Callable[[Any, Any], Clause]] = {
    "ge": lambda column, value: column >= value,
    "gt": lambda column, value: column > value,
    "le": lambda column, value: column <= value,
    "lt": lambda column, value: column < value,
}


def _any_of(queries: Sequence[Select[Any] | None]) -> Select[Any] | None:
    """The union of queries of ids, if each of them is one."""
    known = [query for query in queries if query is not None]
    if not known or len(known) != len(queries):
        return None
    if len(known) == 1:
        return known[0]
    found = union(*known).subquery()
    return select(found.c[0])


def _folded(how: Filter) -> Any:
    """What texts are compared by: byte by byte on both databases."""
    if how.key is not None:
        return how.key
    return lower_ascii(how.column)


def _fold(how: Filter, text: str) -> str:
    return fold(text) if how.key is not None else ascii_lower(text)


def compare_text(operator: str, column: Any, value: str) -> Clause:
    """One comparison of texts that are folded already."""
    clause: Clause
    match operator:
        case "startswith":
            clause = and_(column >= value, column < value + LAST) if value else true()
        case "endswith":
            clause = and_(func.length(column) >= len(value), _ending(column, value))
        case "eq" | "in":
            clause = column == value
        case "ne":
            clause = column != value
        case _:
            clause = _ORDER[operator](column, value)
    return clause


def ascii_lower(text: str) -> str:
    """*text* with A to Z in small letters: what both databases do alike."""
    return "".join(chr(ord(sign) + 32) if "A" <= sign <= "Z" else sign for sign in text)


def _ending(column: Any, typed: str) -> Clause:
    # Cut out and compared: LIKE folds differently on each database.
    clause: Clause = (
        func.substr(column, func.length(column) - len(typed) + 1) == typed if typed else true()
    )
    return clause
