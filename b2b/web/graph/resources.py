"""Graph's resources as tables: each property once, with how it is read, filtered, sorted, searched
and written. The only place where names are written in Graph's way.

A property that is kept elsewhere than on the row itself has a `load`, which reads it for a whole
page at once: never a query per row.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, Boolean, ColumnElement, Integer, Select, String

from b2b.models.base import Id
from b2b.web.graph.calls import Call

Read = Callable[[Any], Any]
Load = Callable[[Call, Collection[UUID]], Mapping[UUID, Any]]
"""Values by the id of the row."""

STRING, BOOLEAN, GUID, INSTANT, STREAM = (
    "Edm.String", "Edm.Boolean", "Edm.Guid", "Edm.DateTimeOffset", "Edm.Stream",
)  # fmt: skip
STRINGS = "Collection(Edm.String)"
INTEGER = "Edm.Int32"


@dataclass(frozen=True, eq=False)
class Filter:
    """How a property stands in `$filter`."""

    column: Any
    """What is compared. Texts are compared folded where `key` is given, else in ASCII's way."""
    plain: frozenset[str] = frozenset()
    """Operators for everybody: those of odata.Compare, `in`, `not`, and `null` for eq null."""
    advanced: frozenset[str] = frozenset()
    """Operators that need `ConsistencyLevel: eventual` and `$count=true`."""
    key: Any = None
    """The folded column beside it."""
    compares: str = STRING
    """What it is compared with."""
    indexed: bool = False
    """Whether an index leads from the folded value, or its beginning, to the row."""
    domain: Any = None
    """An address from its last @ on, if an index holds it: what endsWith is asked for most."""
    has: Callable[[Any, str, Any], ColumnElement[bool]] | None = None
    """For collections: whether the row holds what a Lambda describes, or anything at all for None.
    It is given the compiler, whose `element` reads the comparisons inside, and the quantifier.
    """
    leads: Callable[[Any, Any], Select[Any] | None] | None = None
    """For collections: ids of all that can hold what a Lambda describes, if an index finds them."""


def operators(text: str) -> tuple[frozenset[str], frozenset[str]]:
    """`eq in | ne not` as what is taken from everybody, and what needs the advanced query."""
    plain, _, advanced = text.lower().partition("|")
    return frozenset(plain.split()), frozenset(advanced.split())


@dataclass(frozen=True, eq=False)
class Property:
    """One property of a resource."""

    name: str
    type: str = STRING
    column: Any = None
    """The column it is read from; None where `read` or `load` know better."""
    default: bool = False
    """Whether it is answered without `$select`."""
    read: Read | None = None
    """The value of a row as JSON writes it."""
    columns: Sequence[Any] = ()
    """Columns that `read` looks at."""
    load: Load | None = None
    """Where it is kept elsewhere."""
    filter: Filter | None = None
    order: Any = None
    """The column that `$orderby` sorts by; never empty."""
    order_is_advanced: bool = False
    search: str | None = None
    """`words` of its text, or `start` of it."""
    write: str | None = None
    """What services call it; None: it cannot be changed by PATCH."""
    create_only: bool = False
    """Taken when the thing is made and not afterwards."""
    single_only: bool = False
    """Known of one resource alone: `$select` on a list is 501."""

    @property
    def needed(self) -> Sequence[Any]:
        """The columns that reading it takes."""
        return self.columns or (() if self.column is None else (self.column,))

    @property
    def is_plain(self) -> bool:
        """Whether a row holds what is written as JSON without further ado."""
        if self.read is not None or self.load is not None or self.column is None:
            return False
        return isinstance(self.column.type, String | Boolean | JSON | Integer | Id)

    def value(self, row: Any) -> Any:
        """As JSON writes it."""
        if self.read is not None:
            return self.read(row)
        return written(getattr(row, self.column.key))


def written(value: Any) -> Any:
    """A value of ours as Graph's JSON has it."""
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, UUID):
        return str(value)
    return value


def instant(value: datetime | None) -> str | None:
    """ISO 8601 in UTC, with a Z."""
    if value is None:
        return None
    at = value.astimezone(UTC)
    digits = f".{at.microsecond:06d}".rstrip("0") if at.microsecond else ""
    return f"{at:%Y-%m-%dT%H:%M:%S}{digits}Z"


@dataclass(frozen=True, eq=False)
class Navigation:
    """A relationship: what `$expand` and the path behind a resource lead to."""

    name: str
    to: str
    """The type, such as `directoryObject`."""
    many: bool
    load: Callable[[Call, Collection[UUID], int], Mapping[UUID, Sequence[Mapping[str, Any]]]]
    """Objects as JSON by the id of the row, at most so many each."""


@dataclass(frozen=True, eq=False)
class Kind:
    """A resource."""

    type: str
    """Without `microsoft.graph.`."""
    set: str
    """The entity set, as contexts name it."""
    model: Any
    """Has tenant_id and id."""
    properties: Mapping[str, Property]
    order: str = "displayName"
    """The property that lists are sorted by unless they are asked otherwise."""
    navigations: dict[str, Navigation] = field(default_factory=dict)
    """Filled where both ends are known."""
    inner: Mapping[str, Property] = field(default_factory=dict)
    """What `$filter` takes of properties inside others, such as `status/errorCode`."""

    @property
    def odata_type(self) -> str:
        """As `@odata.type` has it."""
        return f"#microsoft.graph.{self.type}"

    @cached_property
    def defaults(self) -> list[Property]:
        """What is answered without `$select`."""
        return [one for one in self.properties.values() if one.default]

    def named(self, name: str) -> Property | None:
        """The property of this name, however its capitals are written."""
        found = self.properties.get(name)
        if found is None:
            wanted = name.lower()
            found = next((p for p in self.properties.values() if p.name.lower() == wanted), None)
        return found


def table(*properties: Property) -> dict[str, Property]:
    """Properties by their names."""
    return {one.name: one for one in properties}


KINDS: dict[str, Kind] = {}
"""Resources by type; polymorphic lists and `$metadata` look here."""


def kind(made: Kind) -> Kind:
    """Make a resource known."""
    KINDS[made.type] = made
    return made


def text(
    name: str,
    column: Any,
    operators_: str = "",
    *,
    key: Any = None,
    indexed: bool = False,
    domain: Any = None,
    **facts: Any,
) -> Property:
    """A text of the row itself; *operators_* as in `operators`."""
    plain, advanced = operators(operators_)
    how = (
        Filter(column, plain, advanced, key, indexed=indexed, domain=domain) if operators_ else None
    )
    return Property(name, STRING, column, filter=how, **facts)


def plain(
    name: str,
    type_: str,
    column: Any,
    operators_: str = "",
    *,
    indexed: bool = False,
    **facts: Any,
) -> Property:
    """A value of the row itself that is no text."""
    usual, advanced = operators(operators_)
    how = Filter(column, usual, advanced, compares=type_, indexed=indexed) if operators_ else None
    return Property(name, type_, column, filter=how, **facts)
