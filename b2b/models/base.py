"""What every table shares: naming of constraints, and column types that read alike on SQLite and
PostgreSQL.
"""

import enum
import os
import re
import threading
import time
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BLOB, DateTime, Dialect, Enum, MetaData, String
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

LAST = "\U0010ffff"
"""Sorts after every other character: the open end of a prefix range."""

LONGEST_KEY = 1024
"""Bytes of a folded key; PostgreSQL's index rows end at 2,704."""


class Base(DeclarativeBase):
    """Base of all models; the convention gives every constraint a name that migrations can use."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def _id_as_bytes(value: UUID | None) -> bytes | None:
    return None if value is None else value.bytes


def _bytes_as_id(value: bytes | None) -> UUID | None:
    return None if value is None else UUID(bytes=value)


def _bytes_as_text(value: bytes | None) -> str | None:
    if value is None:
        return None
    text = value.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _text_as_instant(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value).replace(tzinfo=UTC)


_last_instant: tuple[datetime | None, str] = (None, "")


def _instant_as_text(value: datetime | None) -> str | None:
    """As SQLAlchemy's own type stores it: six digits behind the second, so that text sorts.

    One instant stands for all of a request, so the last text is kept.
    """
    global _last_instant
    if value is None:
        return None
    known, text = _last_instant
    if value is known:
        return text
    if value.tzinfo is None:
        raise ValueError("an instant needs its time zone")
    text = value.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")
    _last_instant = (value, text)
    return text


class Id(TypeDecorator[UUID]):
    """A UUID: native on PostgreSQL, 16 bytes elsewhere (a third of the default's size in
    SQLite).
    """

    impl = BLOB
    cache_ok = True
    json_processor = staticmethod(_bytes_as_text)
    """From the 16 bytes straight to the text of JSON (see b2b.prepared)."""

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(postgresql.UUID(as_uuid=True))
        return dialect.type_descriptor(BLOB(16))

    def process_bind_param(self, value: UUID | None, dialect: Dialect) -> Any:
        if value is None or dialect.name == "postgresql":
            return value
        return value.bytes

    # Most of a row's values are of these two types: one call each instead of three.
    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any] | None:
        return super().bind_processor(dialect) if dialect.name != "sqlite" else _id_as_bytes

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:
        if dialect.name != "sqlite":
            return super().result_processor(dialect, coltype)
        return _bytes_as_id

    def process_result_value(self, value: Any, dialect: Dialect) -> UUID | None:
        if value is None or isinstance(value, UUID):
            return value
        return UUID(bytes=value)


class UTCDateTime(TypeDecorator[datetime]):
    """An instant. Aware in Python, always UTC; naive values are refused rather than guessed at."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(DateTime(timezone=dialect.name == "postgresql"))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("an instant needs its time zone")
        value = value.astimezone(UTC)
        return value if dialect.name == "postgresql" else value.replace(tzinfo=None)

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any] | None:
        return super().bind_processor(dialect) if dialect.name != "sqlite" else _instant_as_text

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:
        if dialect.name != "sqlite":
            return super().result_processor(dialect, coltype)
        return _text_as_instant

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def key_type(length: int) -> String:
    """A folded sort key: compared byte by byte on both databases, so that keyset paging agrees."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


class lower_ascii(FunctionElement[str]):
    """A to Z in small letters and nothing else, compared byte by byte: alike on both databases."""

    type = String()
    name = "lower_ascii"
    inherit_cache = True


@compiles(lower_ascii)
def _lower(element: Any, compiler: Any, **options: Any) -> str:
    return f"lower({compiler.process(element.clauses, **options)})"


@compiles(lower_ascii, "postgresql")
def _lower_on_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    # As PostgreSQL tells a column back, so that Alembic finds an index on it unchanged.
    inner = compiler.process(element.clauses, **options)
    if not _NAME.fullmatch(inner):
        inner = f"({inner})"
    return f'lower({inner}::text COLLATE "C")'


_NAME = re.compile(r'[A-Za-z_."]+')


class domain_of(FunctionElement[str]):
    """The end of an address from its last @ on: what stands before it may be quoted and hold
    another.
    """

    type = String()
    name = "domain_of"
    inherit_cache = True


@compiles(domain_of)
def _domain(element: Any, compiler: Any, **options: Any) -> str:
    inner = compiler.process(element.clauses, **options)
    return f"substr({inner}, length(rtrim({inner}, replace({inner}, '@', ''))))"


@compiles(domain_of, "postgresql")
def _domain_on_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    inner = f"{compiler.process(element.clauses, **options)}::text"
    others = f"replace({inner}, '@'::text, ''::text)"
    return f"substr({inner}, length(rtrim({inner}, {others})))"


class walked(FunctionElement[Any]):
    """A column that is compared row by row: SQLite, which knows no statistics, would take an index
    on it and sort what it finds, however much that is.
    """

    name = "walked"
    inherit_cache = True

    def __init__(self, column: Any) -> None:
        super().__init__(column)
        self.type = column.type


@compiles(walked)
def _walked(element: Any, compiler: Any, **options: Any) -> str:
    return str(compiler.process(element.clauses, **options))


@compiles(walked, "sqlite")
def _walked_on_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    return f"+{compiler.process(element.clauses, **options)}"


def enum_type(kind: type[enum.StrEnum], length: int = 48) -> Enum:
    """A StrEnum stored as its value in a plain text column."""
    return Enum(
        kind,
        native_enum=False,
        length=length,
        create_constraint=False,
        values_callable=lambda members: [member.value for member in members],
    )


class _Ids:
    """The number behind the last id, for those of the same millisecond to follow it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stamp = 0
        self._random = 0

    def next(self) -> UUID:
        """As `new_id`."""
        random = int.from_bytes(os.urandom(10), "big") & _RANDOM
        with self._lock:
            stamp = time.time_ns() // 1_000_000
            if stamp == self._stamp and random <= self._random:
                # By a step that nobody guesses (RFC 9562, 6.2, method 2).
                step = self._random + 1 + (random & 0xFFFF_FFFF)
                random = step if step <= _RANDOM else random
            self._stamp, self._random = stamp, random
        high, low = random >> 62, random & ((1 << 62) - 1)
        return UUID(int=stamp << 80 | 7 << 76 | high << 64 | 2 << 62 | low)


_RANDOM = (1 << 74) - 1
_ids = _Ids()


def new_id() -> UUID:
    """A fresh UUID of version 7 (RFC 9562, 5.7): 74 random bits behind a millisecond clock.

    Keys that rise with time keep inserts at one end of every index, and what one process writes
    down stands in the order in which it happened.
    """
    return _ids.next()


def insert_missing(session: Session, model: type[Base], values: dict[str, Any]) -> None:
    """Insert a row unless one with its key is there; whoever is second waits for the first."""
    make: Any = postgresql.insert
    if session.get_bind().dialect.name == "sqlite":
        make = sqlite.insert
    session.execute(make(model.__table__).values(values).on_conflict_do_nothing())


def fold(text: str) -> str:
    """The sort and search key of *text*: NFKC, then case folded, then NFKC again; spaces
    collapsed.

    One letter may fold into eighteen, so the key ends after LONGEST_KEY bytes: an index takes no
    more.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    key = " ".join(unicodedata.normalize("NFKC", folded).split())
    if len(key) * 4 <= LONGEST_KEY:
        return key
    return key.encode()[:LONGEST_KEY].decode(errors="ignore")
