"""Lists: what a request asks of a collection, as few queries, page by page by key.

A page is found by one query for ids in order and one for their columns. What a condition finds
through an index in at most FEW rows is sorted; else the list is walked in order, which is short
exactly because what is looked for is frequent, or after WALKED rows turns out not to be.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from operator import attrgetter
from typing import Any
from urllib.parse import quote
from uuid import UUID

from sqlalchemy import Select, and_, bindparam, func, literal, or_, select

from b2b.models.base import Id, UTCDateTime, walked
from b2b.prepared import Prepared, arguments, parameters
from b2b.services import replication
from b2b.web.graph import tokens
from b2b.web.graph.calls import Answer, Call, GraphError, bad, unsupported
from b2b.web.graph.conditions import ADVANCED, Compiled, Compiler
from b2b.web.graph.odata import (
    Condition,
    Either,
    Expand,
    Malformed,
    Term,
    instant,
    parse_expand,
    parse_filter,
    parse_order,
    parse_search,
    parse_select,
)
from b2b.web.graph.resources import KINDS, Kind, Navigation, Property, written

USUAL, MOST = 100, 999
"""Rows of a page (users.md, section 6)."""
EXPANDED = 20
FEW = 2_000
"""Candidates that are sorted at once."""
WALKED = 2_000
"""Rows that are walked along before many candidates are sorted."""
SINGLE_ONLY = frozenset(
    {"aboutme", "birthday", "hiredate", "interests", "mysite", "pastprojects", "preferredname",
     "responsibilities", "schools", "skills", "mailboxsettings"}
)  # fmt: skip
"""Properties of one person that no list answers: 501 (users.md, section 5)."""


@dataclass(frozen=True)
class Shape:
    """Which properties and relationships go into an answer."""

    properties: Sequence[Property]
    expands: Sequence[tuple[Navigation, Expand]] = ()
    selected: bool = False
    hidden: frozenset[str] = frozenset()

    @property
    def columns(self) -> Sequence[Any]:
        """What has to be read of each row."""
        return self.plan.columns

    @cached_property
    def plan(self) -> "Plan":
        """How its rows become objects."""
        return _plan(tuple(self.properties), self.hidden)

    @property
    def is_stored(self) -> bool:
        """Whether rows hold all of it just as JSON has it."""
        return not (self.plan.made or self.expands)

    def context(self) -> str:
        """What `@odata.context` adds to the set."""
        names = [one.name for one in self.properties] if self.selected else []
        names += [f"{navigation.name}()" for navigation, _ in self.expands]
        return f"({','.join(names)})" if names else ""


@dataclass(frozen=True)
class Plan:
    """How rows become objects: the same whoever asks for the same properties."""

    columns: Sequence[Any]
    names: Sequence[str]
    keys: Sequence[str]
    """The column under each name; `id`, which every row has, holds the place of what is made."""
    made: Sequence[Property]
    """Properties that no row holds as JSON has them."""
    values: Callable[[Any], Sequence[Any]]
    """What a row has under `keys`, all at once."""


@lru_cache(maxsize=256)
def _plan(properties: tuple[Property, ...], hidden: frozenset[str]) -> Plan:
    columns = {column.key: column for one in properties for column in one.needed}
    stored = {
        one.name: one.column.key for one in properties if one.is_plain and one.name not in hidden
    }
    keys = [stored.get(one.name, "id") for one in properties]
    return Plan(
        list(columns.values()),
        [one.name for one in properties],
        keys,
        [one for one in properties if one.name not in stored],
        attrgetter(*keys) if len(keys) > 1 else lambda row: [getattr(row, key) for key in keys],
    )


def shape_of(call: Call, kind: Kind, *, many: bool, hidden: frozenset[str] = frozenset()) -> Shape:
    """`$select` and `$expand` of a request. Raises GraphError, Malformed."""
    names = call.options.get("$select")
    properties = kind.defaults if names is None else _selected(kind, parse_select(names), many)
    expands = []
    if "$expand" in call.options:
        asked = parse_expand(call.options["$expand"])
        if call.is_eventual and call.wants_count and many:
            raise unsupported("$expand goes with no advanced query.")
        for one in asked:
            found = next(
                (n for n in kind.navigations.values() if n.name.lower() == one.name.lower()), None
            )
            if found is None:
                raise bad(
                    f"{kind.type} has no relationship {one.name!r} ($expand, position"
                    f" {one.position}).",
                    code="BadRequest",
                    target="$expand",
                )
            expands.append((found, one))
    return Shape(properties, expands, names is not None, hidden)


def _selected(kind: Kind, names: Sequence[str], many: bool) -> list[Property]:
    found: dict[str, Property] = {}
    for name in names:
        if name == "*":
            found |= kind.properties
            continue
        one = kind.named(name)
        if many and (name.lower() in SINGLE_ONLY or (one is not None and one.single_only)):
            raise GraphError(501, "NotImplemented", f"{name} is not answered for a list.")
        if one is None:
            raise bad(
                f"{kind.type} has no property {name[:100]!r} ($select).",
                code="BadRequest",
                target="$select",
            )
        found[one.name] = one
    return list(found.values())


def objects(
    call: Call,
    kind: Kind,
    rows: Sequence[Any],
    shape: Shape,
    *,
    typed: bool = False,
) -> list[dict[str, Any]]:
    """*rows* as JSON; *typed* where a list holds several kinds."""
    ids = [row.id for row in rows]
    loaded = {
        one.name: one.load(call, ids) if ids else {}
        for one in shape.properties
        if one.load is not None and one.name not in shape.hidden
    }
    plan = shape.plan
    made = []
    for row in rows:
        found: dict[str, Any] = {"@odata.type": kind.odata_type} if typed else {}
        found.update(zip(plan.names, plan.values(row), strict=True))
        for one in plan.made:
            if one.name in shape.hidden:
                found[one.name] = _empty(one)
            elif one.load is not None:
                value = loaded[one.name].get(row.id)
                found[one.name] = _empty(one) if value is None else written(value)
            else:
                found[one.name] = one.value(row)
        made.append(found)
    for navigation, asked in shape.expands:
        related = navigation.load(call, ids, EXPANDED) if ids else {}
        for row, found in zip(rows, made, strict=True):
            held = [_narrowed(one, asked) for one in related.get(row.id, ())]
            found[navigation.name] = held if navigation.many else (held[0] if held else None)
    return made


def _empty(one: Property) -> list[Any] | None:
    """Collections are never null (clients.md)."""
    return [] if one.type.startswith("Collection") else None


def _narrowed(found: Mapping[str, Any], asked: Expand) -> dict[str, Any]:
    """An expanded object with what its own `$select` names."""
    if "$select" not in asked.options:
        return dict(found)
    wanted = {name.lower() for name in parse_select(asked.options["$select"])}
    return {
        name: value
        for name, value in found.items()
        if name.startswith("@") or name.lower() in wanted
    }


# Finding -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Query:
    """What a list is narrowed and sorted by."""

    tree: Condition | None = None
    search: Term | Either | None = None
    keys: Sequence[tuple[Property, bool]] = ()
    """Properties to sort by, and whether they fall."""
    top: int = USUAL
    is_advanced: bool = False
    wants_count: bool = False
    after: Sequence[Any] | None = None
    """Sort keys and id of the last row of the page before."""
    is_first: bool = True


def query_of(call: Call, kind: Kind, *, hidden: frozenset[str] = frozenset()) -> Query:
    """The options of a request for a list. Raises GraphError, Malformed."""
    options = call.options
    after, is_first = None, True
    is_advanced = call.is_eventual and call.wants_count
    if "$skiptoken" in options:
        place = tokens.unseal(call, _purpose(call), options["$skiptoken"], "$skiptoken")
        after, is_first = place["k"], False
        # Page iterators send none of the first request's headers (clients.md).
        is_advanced = is_advanced or place["a"]
    if "$skip" in options:
        raise unsupported("$skip is not supported; follow @odata.nextLink.")
    tree = parse_filter(options["$filter"]) if "$filter" in options else None
    search = None
    if "$search" in options:
        if is_first and not call.is_eventual:
            raise unsupported("$search needs the header ConsistencyLevel: eventual.")
        search = parse_search(options["$search"])
    keys = _keys(options, kind, hidden, is_advanced=is_advanced or search is not None)
    if tree is not None and "$orderby" in options and not is_advanced:
        raise unsupported(f"$filter and $orderby together: {ADVANCED}")
    return Query(
        tree,
        search,
        keys,
        _top(options),
        is_advanced,
        call.wants_count and call.is_eventual,
        after,
        is_first,
    )


def _purpose(call: Call) -> str:
    """What a page's token is good for: this path with these options."""
    kept = sorted((n, v) for n, v in call.options.items() if n != "$skiptoken")
    return "\x1f".join([call.path.strip("/"), *(f"{n}={v}" for n, v in kept)])


def _top(options: Mapping[str, str]) -> int:
    text = options.get("$top")
    if text is None:
        return USUAL
    if not (text.isascii() and text.isdigit()) or len(text) > 10 or int(text) < 1:
        raise Malformed("$top", "a number from 1 to 999 expected")
    return min(int(text), MOST)


def _keys(
    options: Mapping[str, str], kind: Kind, hidden: frozenset[str], *, is_advanced: bool
) -> list[tuple[Property, bool]]:
    if "$orderby" not in options:
        return [(kind.properties[kind.order], False)]
    found = []
    for key in parse_order(options["$orderby"]):
        one = kind.named(key.path.text)
        if one is None:
            raise bad(
                f"{kind.type} has no property {key.path.text[:100]!r} ($orderby, position"
                f" {key.path.position}).",
                code="BadRequest",
                target="$orderby",
            )
        if one.order is None or one.name in hidden:
            raise unsupported(f"Lists cannot be sorted by {one.name}.")
        if one.order_is_advanced and not is_advanced:
            raise unsupported(f"$orderby {one.name}: {ADVANCED}")
        found.append((one, key.descending))
    if len(found) > 4:
        raise Malformed("$orderby", "more than four properties")
    return found


@dataclass(frozen=True)
class Source:
    """Where the rows of a list come from."""

    kind: Kind
    conditions: Sequence[Any]
    """Who is in it at all: the tenant comes first."""
    joins: Callable[[Select[Any]], Select[Any]] | None = None
    """What else has to be joined for the conditions."""
    ordered: "Ordered | None" = None
    counted: "Counted | None" = None
    words: Callable[[Call, Property, str], Any] | None = None
    """For `$search` over words."""

    def joined(self, query: Select[Any]) -> Select[Any]:
        """*query* with what the conditions need."""
        return query if self.joins is None else self.joins(query)


@dataclass(frozen=True)
class Found:
    """The first rows of a list, one more than the page takes."""

    rows: Sequence[Sequence[Any]]
    """Each begins with its sort keys and id."""
    is_json: bool = False
    """Whether they go on with the other columns of a shape, and all is as JSON has it."""


Ordered = Callable[[Call, Query, Sequence[Any], Shape], Found | None]
"""A quicker way to a list in its usual order: rows that meet some conditions besides those of the
source. None: there is no quicker way.
"""


Counted = Callable[[Call, Condition | None], Sequence[Any] | None]
"""Conditions which an index alone can count by, for who is in the source and meets a `$filter`.
None: the rows have to be looked at.
"""


def compiled(call: Call, source: Source, query: Query, hidden: frozenset[str]) -> Compiled | None:
    """`$filter` and `$search` of *query* as SQL; None without either."""
    if query.search is None and query.tree is None:
        return None
    words = source.words
    compiler = Compiler(
        source.kind,
        call.actor.tenant_id,
        query.is_advanced,
        call.session.get_bind().dialect.name,
        None if words is None else lambda found, text: words(call, found, text),
        hidden,
        source.conditions if source.joins is None else (),
    )
    parts = []
    if query.search is not None:
        parts.append(compiler.search(query.search))
    if query.tree is not None:
        parts.append(compiler.condition(query.tree))
    if len(parts) == 1:
        return parts[0]
    known = [part.candidates for part in parts if part.candidates is not None]
    return Compiled(and_(*[part.clause for part in parts]), known[0] if known else None)


def rows_of(
    call: Call, source: Source, query: Query, shape: Shape
) -> tuple[Found, Sequence[Any] | None]:
    """A page's rows, and the place of the next page, if there is one.

    Raises GraphError for conditions that the resource does not offer.
    """
    model = source.kind.model
    wanted = compiled(call, source, query, shape.hidden)
    base = [*source.conditions, *_shown(call, model)]
    is_usual = [*query.keys] == [(source.kind.properties[source.kind.order], False)]
    found = None
    if wanted is not None:
        base.append(wanted.clause)
        if wanted.candidates is not None and not (wanted.in_order and is_usual):
            found = _among(call, source, query, base, wanted.candidates)
    if found is None and source.ordered is not None and is_usual and not _is_range(wanted):
        found = source.ordered(call, query, base[len(source.conditions) :], shape)
    if found is None:
        straight = _straight(source, query, base)
        found = Found(call.session.execute(straight.limit(query.top + 1)).all())
    more, rows = len(found.rows) > query.top, found.rows[: query.top]
    following = [_kept(value) for value in rows[-1][: len(query.keys) + 1]] if more else None
    return Found(rows, found.is_json), following


def _is_range(wanted: Compiled | None) -> bool:
    return wanted is not None and wanted.in_order


def _among(
    call: Call, source: Source, query: Query, base: Sequence[Any], candidates: Select[Any]
) -> Found:
    """The first rows among those that an index finds. Many of them are frequent, so that a short
    walk along the list meets enough; unless they all stand far behind.
    """
    model = source.kind.model
    limit = query.top + 1
    columns, falls = _order_of(source, query)
    if not _few(call, candidates):
        walk = source.joined(select(*columns)).where(*source.conditions)
        ends = call.session.execute(
            sorted_from(walk, columns, falls, query.after).offset(WALKED).limit(1)
        ).first()
        short = _straight(source, query, base)
        if ends is not None:
            short = short.where(_up_to(columns, falls, ends))
        rows = call.session.execute(short.limit(limit)).all()
        if ends is None or len(rows) == limit:
            return Found(rows)
    found = source.joined(select(*columns)).where(*base, model.id.in_(candidates))
    # Not by an index of the order, which would lead through the whole list.
    by = [walked(column) for column in columns]
    rows = call.session.execute(sorted_from(found, by, falls, query.after).limit(limit)).all()
    return Found(rows)


def _up_to(columns: Sequence[Any], falls: Sequence[bool], last: Sequence[Any]) -> Any:
    """No further than the row whose values are *last*, by the first key alone."""
    return columns[0] >= last[0] if falls[0] else columns[0] <= last[0]


def _objects_of(
    call: Call, kind: Kind, found: Found, query: Query, shape: Shape, typed: bool
) -> list[dict[str, Any]]:
    place = len(query.keys)  # of the id
    if found.is_json:
        names = shape.plan.names
        others = [name for name in names if name != "id"]
        made = []
        for row in found.rows:
            one = {"@odata.type": kind.odata_type} if typed else {}
            if "id" in names:
                one["id"] = row[place]
            one.update(zip(others, row[place + 1 :], strict=True))
            made.append(one)
        return made
    rows = by_ids(call, kind, [row[place] for row in found.rows], shape)
    return objects(call, kind, rows, shape, typed=typed)


def _shown(call: Call, model: Any) -> list[Any]:
    """Without what was made a moment ago, where a test suite has asked for lists that lag."""
    until = replication.seen_until(call.now)
    return [] if until is None or not hasattr(model, "created_at") else [model.created_at <= until]


def by_ids(
    call: Call, kind: Kind, ids: Sequence[UUID], shape: Shape, *, living: bool = False
) -> list[Any]:
    """Rows with the columns of *shape*, in the order of *ids*; whoever is gone is left out, and if
    *living* whoever is deleted.
    """
    if not ids:
        return []
    count = next((size for size in _SIZES if size >= len(ids)), len(ids))
    same = [ids[-1]] * (count - len(ids))
    call.session.flush()
    rows = _by_ids(kind.model, tuple(shape.columns), count, living).all(
        call.session.connection(),
        tenant_id=call.actor.tenant_id,
        **arguments("id", [*ids, *same]),
    )
    known = {row.id: row for row in rows}
    return [known[one] for one in ids if one in known]


_SIZES = (1, 5, 20, 100, 250, MOST)
"""How many ids a statement takes; what is left over repeats the last."""


@lru_cache(maxsize=256)
def _by_ids(model: Any, named: tuple[Any, ...], count: int, living: bool) -> Prepared:
    columns = {column.key: column for column in (model.id, *named)}
    return Prepared(
        select(*columns.values()).where(
            model.tenant_id == bindparam("tenant_id", type_=Id),
            model.id.in_(parameters("id", count, Id)),
            *([model.deleted_at.is_(None)] if living else []),
        )
    )


def _few(call: Call, candidates: Select[Any]) -> bool:
    counted = select(func.count()).select_from(candidates.limit(FEW + 1).subquery())
    return call.session.execute(counted).scalar_one() <= FEW


def _straight(source: Source, query: Query, base: Sequence[Any]) -> Select[Any]:
    """Keys and id of the rows that meet *base*, from the page's beginning on."""
    columns, falls = _order_of(source, query)
    return sorted_from(source.joined(select(*columns)).where(*base), columns, falls, query.after)


def _order_of(source: Source, query: Query) -> tuple[list[Any], list[bool]]:
    """What a page is sorted by, the id last, and whether it falls."""
    falls = [falling for _, falling in query.keys]
    falls.append(falls[-1])  # so that an index can be walked backwards
    return [*(one.order for one, _ in query.keys), source.kind.model.id], falls


def sorted_from(
    query: Select[Any],
    columns: Sequence[Any],
    falls: Sequence[bool],
    after: Sequence[Any] | None,
) -> Select[Any]:
    """*query* in the order of *columns*, behind the row whose values are *after*."""
    if after is not None:
        values = [_bound(column, value) for column, value in zip(columns, after, strict=True)]
        alternatives = []
        for number, (column, value) in enumerate(zip(columns, values, strict=True)):
            same = [columns[i] == values[i] for i in range(number)]
            beyond = column < value if falls[number] else column > value
            alternatives.append(and_(*same, beyond))
        first = columns[0] <= values[0] if falls[0] else columns[0] >= values[0]
        query = query.where(first, or_(*alternatives))
    return query.order_by(
        *[column.desc() if falls[n] else column for n, column in enumerate(columns)]
    )


def _kept(value: Any) -> Any:
    """A sort key as a token keeps it."""
    return written(value)


def _bound(column: Any, value: Any) -> Any:
    if isinstance(column.type, Id):
        return literal(UUID(value), Id)
    if isinstance(column.type, UTCDateTime):
        return literal(instant(value), UTCDateTime)
    return literal(value, column.type)


def total(call: Call, source: Source, query: Query, hidden: frozenset[str]) -> int:
    """How many there are, exactly (decisions.md, totals on lists)."""
    model = source.kind.model
    shown = _shown(call, model)
    wanted = compiled(call, source, query, hidden)
    known = None
    if source.counted is not None and query.search is None and not shown:
        known = source.counted(call, query.tree)
    if known is None:
        known = [*source.conditions, *shown]
        if wanted is not None:
            known.append(wanted.clause)
            if wanted.candidates is not None:
                known.append(model.id.in_(wanted.candidates))
    counting = source.joined(select(func.count()).select_from(model)).where(*known)
    found: int = call.session.execute(counting).scalar_one()
    return found


# Answering ---------------------------------------------------------------------------------------


def collection(
    call: Call,
    source: Source,
    *,
    hidden: frozenset[str] = frozenset(),
    context: str | None = None,
    typed: bool = False,
) -> Answer:
    """A page of a list. Raises GraphError, Malformed."""
    kind = source.kind
    shape = shape_of(call, kind, many=True, hidden=hidden)
    query = query_of(call, kind, hidden=hidden)
    found, following = rows_of(call, source, query, shape)
    body: dict[str, Any] = {"@odata.context": call.context((context or kind.set) + shape.context())}
    if query.wants_count and query.is_first:
        body["@odata.count"] = total(call, source, query, hidden)
    if following is not None:
        body["@odata.nextLink"] = next_link(call, query, following)
    body["value"] = _objects_of(call, kind, found, query, shape, typed)
    return Answer(body=body)


def next_link(call: Call, query: Query, following: Sequence[Any]) -> str:
    """The address of the next page, with every option that it needs."""
    token = tokens.seal(
        call, _purpose(call), {"k": following, "a": query.is_advanced or query.search is not None}
    )
    return link(call, {**call.options, "$skiptoken": token})


def link(call: Call, options: Mapping[str, str]) -> str:
    """This path with other options, absolute."""
    asked = "&".join(
        f"{quote(name, safe='$')}={quote(value, safe='')}" for name, value in options.items()
    )
    return f"{call.root}/{quote(call.path.strip('/'), safe='/$()=,')}?{asked}"


def count(call: Call, source: Source, *, hidden: frozenset[str] = frozenset()) -> Answer:
    """`/$count`: a bare number. Raises GraphError without the header (users.md, section 6)."""
    if not call.is_eventual:
        raise bad("$count is not currently supported.")
    tree = parse_filter(call.options["$filter"]) if "$filter" in call.options else None
    search = parse_search(call.options["$search"]) if "$search" in call.options else None
    query = Query(tree, search, is_advanced=True)
    number = total(call, source, query, hidden)
    return Answer(content=str(number).encode(), media_type="text/plain;charset=utf-8")


def entity(
    call: Call,
    kind: Kind,
    row: Any,
    *,
    hidden: frozenset[str] = frozenset(),
    status: int = 200,
    shape: Shape | None = None,
    typed: bool = False,
) -> Answer:
    """One resource."""
    shape = shape or shape_of(call, kind, many=False, hidden=hidden)
    [found] = objects(call, kind, [row], shape, typed=typed)
    body = {"@odata.context": call.context(f"{kind.set}{shape.context()}/$entity"), **found}
    return Answer(status, body)


def mixed(
    call: Call,
    members: Sequence[tuple[str, UUID]],
    *,
    hidden: Mapping[str, frozenset[str]] | None = None,
) -> list[dict[str, Any]]:
    """Objects of several kinds, given as (type, id), as JSON with their `@odata.type`; one query
    for each kind. `$select` names properties of any of them.
    """
    asked = call.options.get("$select")
    names = None if asked is None else parse_select(asked)
    found = mixed_by_id(call, members, hidden=hidden, names=names)
    return [found[member_id] for _, member_id in members if member_id in found]


def mixed_by_id(
    call: Call,
    members: Sequence[tuple[str, UUID]],
    *,
    hidden: Mapping[str, frozenset[str]] | None = None,
    names: Sequence[str] | None = None,
) -> dict[UUID, dict[str, Any]]:
    """The same by id, with the properties *names*, or those by default; whoever is gone is left
    out. Raises GraphError for names that no resource has.
    """
    by_kind: dict[str, list[UUID]] = {}
    for kind_name, member_id in members:
        by_kind.setdefault(kind_name, []).append(member_id)
    found: dict[UUID, dict[str, Any]] = {}
    known: set[str] = set()
    for kind_name, ids in by_kind.items():
        kind = KINDS[kind_name]
        properties = kind.defaults
        if names is not None:
            named = [kind.named(name) for name in names if name != "*"]
            properties = [one for one in named if one is not None]
            known |= {one.name.lower() for one in properties}
            if "*" in names:
                properties = list(kind.properties.values())
        shape = Shape(
            properties,
            selected=names is not None,
            hidden=(hidden or {}).get(kind_name, frozenset()),
        )
        rows = by_ids(call, kind, ids, shape)
        for row, one in zip(rows, objects(call, kind, rows, shape, typed=True), strict=True):
            if "id" not in one and names is None:
                one["id"] = str(row.id)
            found[row.id] = one
    if by_kind and names is not None:
        everywhere = {p.lower() for kind in KINDS.values() for p in kind.properties}
        for name in names:
            if name != "*" and name.lower() not in everywhere:
                raise bad(
                    f"There is no property {name[:100]!r} ($select).",
                    code="BadRequest",
                    target="$select",
                )
    return found


def place_of(call: Call) -> Sequence[Any] | None:
    """The sort keys behind which a page of a list begins that is not made by `collection`."""
    if "$skiptoken" not in call.options:
        return None
    place = tokens.unseal(call, _purpose(call), call.options["$skiptoken"], "$skiptoken")
    found: Sequence[Any] = place["k"]
    return found


def size_of(call: Call) -> int:
    """`$top`. Raises Malformed."""
    return _top(call.options)


def page(
    call: Call,
    context: str,
    value: Sequence[Mapping[str, Any]],
    following: Collection[Any] | None = None,
    count_of: int | None = None,
) -> Answer:
    """A list that was made elsewhere."""
    body: dict[str, Any] = {"@odata.context": call.context(context)}
    if count_of is not None:
        body["@odata.count"] = count_of
    if following is not None:
        token = tokens.seal(call, _purpose(call), {"k": list(following), "a": True})
        body["@odata.nextLink"] = link(call, {**call.options, "$skiptoken": token})
    body["value"] = list(value)
    return Answer(body=body)
