"""Statements of the hottest paths, compiled once and run by the driver's own words.

SQLAlchemy's expression language stays the one place where they are written; what is spared is
looking the compiled form up, and wrapping every row, at each execution.
"""

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import JSON, BindParameter, Connection, Dialect, bindparam
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from sqlalchemy.sql.base import Executable
from sqlalchemy.types import TypeEngine

Processor = Callable[[Any], Any] | None


def parameters(name: str, count: int, kind: Any) -> list[BindParameter[Any]]:
    """*count* parameters name0, name1 … for an IN; statements with these are made once a count."""
    return [bindparam(f"{name}{number}", type_=kind) for number in range(count)]


def arguments(name: str, values: Sequence[Any]) -> dict[str, Any]:
    """The values of `parameters`."""
    return {f"{name}{number}": value for number, value in enumerate(values)}


class _Compiled:
    """One statement for one dialect: its text, and how values go in and come out."""

    def __init__(self, statement: Any, keys: Sequence[str] | None, dialect: Dialect) -> None:
        compiled = statement.compile(
            dialect=dialect, column_keys=keys, compile_kwargs={"render_postcompile": True}
        )
        self.text = str(compiled)
        self.positional = bool(compiled.positional)
        names = list(compiled.positiontup or compiled.binds)
        self.binds = [(name, _into(compiled.binds[name].type, dialect)) for name in names]
        self.constants = {
            name: bind.value
            for name, bind in compiled.binds.items()
            if bind.value is not None and not bind.required
        }
        columns = getattr(statement, "exported_columns", {})
        row: Any = namedtuple("Row", list(columns.keys()), rename=True)  # type: ignore[misc]
        self.row = row._make
        ways = [_out_of(column.type, dialect) for column in columns]
        self.results = _where(ways)
        self.json_results = _where(
            [_as_json(column.type, dialect, way) for column, way in zip(columns, ways, strict=True)]
        )

    def values(self, row: Mapping[str, Any]) -> Any:
        """*row* as the driver takes it. Raises KeyError for a value that is missing."""
        if self.constants:
            row = {**self.constants, **row}
        if self.positional:
            return tuple([row[name] if way is None else way(row[name]) for name, way in self.binds])
        return {name: row[name] if way is None else way(row[name]) for name, way in self.binds}


def _where(ways: Sequence[Processor]) -> list[tuple[int, Callable[[Any], Any]]]:
    return [(place, way) for place, way in enumerate(ways) if way is not None]


def _as_json(kind: TypeEngine[Any], dialect: Dialect, usual: Processor) -> Processor:
    """How a value comes out as JSON has it; only SQLite keeps ids and lists in a way of its own."""
    if dialect.name == "sqlite":
        if isinstance(kind, JSON):
            return _stored_json
        found: Processor = getattr(kind, "json_processor", usual)
        return found
    return usual


def _stored_json(value: str | None) -> Any:
    return [] if value == "[]" else None if value is None else orjson.Fragment(value)


def _into(kind: TypeEngine[Any], dialect: Dialect) -> Processor:
    return kind.dialect_impl(dialect).bind_processor(dialect)


def _out_of(kind: TypeEngine[Any], dialect: Dialect) -> Processor:
    return kind.dialect_impl(dialect).result_processor(dialect, None)


class Prepared:
    """A statement that is run very often.

    *keys* names the columns that an INSERT fills; column defaults are not applied. Lists inside IN
    must have a fixed number of parameters.
    """

    def __init__(self, statement: Executable, keys: Sequence[str] | None = None) -> None:
        self._statement = statement
        self._keys = keys
        self._by_dialect: dict[str, _Compiled] = {}

    def _for(self, dialect: Dialect) -> _Compiled:
        found = self._by_dialect.get(dialect.name)
        if found is None:
            found = _Compiled(self._statement, self._keys, dialect)
            self._by_dialect[dialect.name] = found
        return found

    def write(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run it once for each of *rows*, of which there is at least one."""
        compiled = self._for(connection.dialect)
        if len(rows) == 1:
            run(connection, compiled.text, compiled.values(rows[0]))
        else:
            run(connection, compiled.text, [compiled.values(row) for row in rows])

    def all(self, connection: Connection, **values: Any) -> list[Any]:
        """Its rows, each a named tuple of Python values with the names of the columns."""
        compiled = self._for(connection.dialect)
        found = run(connection, compiled.text, compiled.values(values))
        return [compiled.row(row) for row in _read(found, compiled.results)]

    def as_json(self, connection: Connection, **values: Any) -> list[list[Any]]:
        """Its rows with what orjson writes: ids may be texts, and JSON is as it was stored."""
        compiled = self._for(connection.dialect)
        found = run(connection, compiled.text, compiled.values(values))
        return _read(found, compiled.json_results)

    def within(self, session: Session, **values: Any) -> list[Any]:
        """As `all`, in the transaction of *session*, whose own changes it sees."""
        session.flush()
        return self.all(session.connection(), **values)


def _read(rows: Sequence[Any], ways: Sequence[tuple[int, Callable[[Any], Any]]]) -> list[list[Any]]:
    found = []
    for row in rows:
        values = list(row)
        for place, way in ways:
            values[place] = way(values[place])
        found.append(values)
    return found


def run(connection: Connection, text: str, values: Any = ()) -> Sequence[Any]:
    """Run *text* by the driver once, or once for each of a list of *values*; its rows, if it has
    any. Raises what `Connection.execute` raises.
    """
    cursor = connection.connection.cursor()
    try:
        if isinstance(values, list):
            cursor.executemany(text, values)
            return []
        cursor.execute(text, values)
        return [] if cursor.description is None else cursor.fetchall()
    except connection.dialect.loaded_dbapi.Error as error:
        raise _as_execute_would(connection, text, values, error) from error
    finally:
        cursor.close()


def _as_execute_would(connection: Connection, text: str, values: Any, error: Any) -> Any:
    """*error* of the driver as SQLAlchemy's; a connection that broke is not used again."""
    dialect = connection.dialect
    broken = dialect.is_disconnect(error, connection.connection, None)
    wrapped = DBAPIError.instance(
        text,
        values,
        error,
        dialect.loaded_dbapi.Error,
        connection_invalidated=broken,
        dialect=dialect,
    )
    if broken:
        connection.invalidate(error)
    return wrapped
