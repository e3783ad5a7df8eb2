"""Backups: databases and secret files in one archive, which either kind of database takes back.

A zip file of plain JSON lines, one member for each table, and a manifest at its end with the
schemas and a checksum of every member. It is written and read as a stream, whatever its size.
"""

import base64
import errno
import hashlib
import json
import os
import secrets
import sqlite3
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    DateTime,
    Engine,
    Integer,
    LargeBinary,
    NullPool,
    Table,
    Text,
    TypeDecorator,
    column,
    create_engine,
    insert,
    inspect,
    make_url,
    select,
    table,
    text,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import TypeEngine

from b2b.errors import StartRefused
from b2b.models.base import Id, UTCDateTime

FORMAT = 1
"""Rises when older programs cannot read what newer ones write."""
_MANIFEST = "manifest.json"
_ROWS = 1000
"""Rows in memory at a time; of tables that hold whole files, _LARGE."""
_LARGE = 20
_BYTES = 4 * 1024 * 1024
_TYPES: dict[str, TypeEngine[Any]] = {
    "id": Id(),
    "instant": UTCDateTime(),
    "json": JSON(),
    "bytes": LargeBinary(),
    "boolean": Boolean(),
    "integer": BigInteger(),
    "text": Text(),
}
_LOCK = 7229001
"""Held while a schema changes, by migrations too."""

Progress = Callable[[str, int], None]
"""Told a table of the archive and how many of its rows are through, each time there is news."""


class BackupRefused(StartRefused):
    """A backup cannot be made or taken back; the text is one sentence for the operator."""


@dataclass(frozen=True)
class Store:
    """One database of the installation: where it is, and how its schema is made."""

    name: str
    """Its folder in the archive."""
    url: str
    open: Callable[[str], Engine]
    tables: Sequence[Table]
    """In an order in which their rows can be inserted."""
    marker: str
    """A table that has rows as soon as anybody has used it."""
    version_table: str
    known: Callable[[], set[str]]
    """Revisions of the schema that this program knows."""
    upgrade: Callable[[Connection, str], None]
    clear: Callable[[Connection], None]
    finish: Callable[[Connection, datetime], None]
    """What remains to be done once the rows are back, told when the backup was made."""

    @property
    def file(self) -> Path | None:
        """The file of a SQLite database; None for a server's, or one in memory."""
        url = make_url(self.url)
        if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
            return None
        return Path(str(url.database))

    @property
    def is_in_memory(self) -> bool:
        """Whether nothing of it outlives its process."""
        return make_url(self.url).get_backend_name() == "sqlite" and self.file is None

    @property
    def exists(self) -> bool:
        """Whether there is anything to be opened; opening a SQLite file would make it."""
        return not self.is_in_memory and (self.file is None or self.file.exists())


# Making one ---------------------------------------------------------------------------------------


class _Hashed:
    """A member being written, and the SHA-256 of what went in."""

    def __init__(self, archive: zipfile.ZipFile, name: str) -> None:
        self._out = archive.open(name, "w", force_zip64=True)
        self._sum = hashlib.sha256()

    def write(self, content: bytes) -> None:
        self._out.write(content)
        self._sum.update(content)

    def close(self) -> str:
        self._out.close()
        return self._sum.hexdigest()


def make(
    path: Path,
    stores: Sequence[Store],
    files: Mapping[str, Path],
    *,
    now: datetime,
    facts: Mapping[str, Any],
    progress: Progress,
) -> None:
    """Write the *stores* that there are, and *files* by the names that they get, to *path*.

    Each database is taken as it is at one instant, while others go on writing. The file has mode
    0600 and appears whole or not at all. *facts* go into the manifest as they are. Raises
    BackupRefused.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    manifest: dict[str, Any] = {"format": FORMAT, "made_at": now.isoformat(), **facts}
    try:
        with ExitStack() as undone:
            undone.callback(beside.unlink, missing_ok=True)
            with (
                os.fdopen(
                    os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
                ) as out,
                zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as archive,
            ):
                manifest["files"] = {
                    name: _keep(archive, name, source.read_bytes())
                    for name, source in files.items()
                    if source.exists()
                }
                manifest["stores"] = {
                    store.name: _dump(archive, store, beside, progress)
                    for store in stores
                    if store.exists
                }
                archive.writestr(_MANIFEST, json.dumps(manifest, indent=1))
            with beside.open("rb") as written:
                os.fsync(written.fileno())
            os.replace(beside, path)
    except OSError as error:
        raise BackupRefused(f"The backup {path} cannot be written: {error.strerror}.") from error
    except (DBAPIError, sqlite3.Error) as error:
        raise BackupRefused(f"The database cannot be read: {_words(error)}") from error


def _keep(archive: zipfile.ZipFile, name: str, content: bytes) -> str:
    member = _Hashed(archive, f"files/{name}")
    member.write(content)
    return member.close()


def _dump(
    archive: zipfile.ZipFile, store: Store, beside: Path, progress: Progress
) -> dict[str, Any]:
    with _snapshot(store, beside) as connection:
        schema = _schema_of(store, connection)
        if schema is None:
            raise BackupRefused(f"The {store.name} database is empty; there is nothing to back up.")
        return {
            "schema": schema,
            "tables": [_dump_table(archive, store, one, connection, progress)
                       for one in store.tables],
        }  # fmt: skip


@contextmanager
def _snapshot(store: Store, beside: Path) -> Iterator[Connection]:
    """The database as it is now, whatever is written meanwhile; writers do not wait."""
    if store.file is None:
        engine = store.open(store.url)
        try:
            # Waits until nothing under way could make it inconsistent, and then disturbs nobody.
            with engine.connect().execution_options(
                isolation_level="SERIALIZABLE",
                postgresql_readonly=True,
                postgresql_deferrable=True,
            ) as connection:
                yield connection
        finally:
            engine.dispose()
        return
    copy = beside.with_name(f"{beside.name}.{store.name}")
    os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with (
            closing(sqlite3.connect(store.file, timeout=30)) as source,
            closing(sqlite3.connect(copy)) as target,
        ):
            # In one step: a backup in several begins anew whenever somebody writes in between.
            source.backup(target, pages=-1)
            target.execute("PRAGMA journal_mode=DELETE")
        engine = create_engine(f"sqlite:///{copy}", poolclass=NullPool)
        with engine.connect() as connection:
            yield connection
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):
            Path(f"{copy}{suffix}").unlink(missing_ok=True)


def _schema_of(store: Store, connection: Connection) -> str | None:
    if not inspect(connection).has_table(store.version_table):
        return None
    found: str | None = connection.execute(
        text(f"SELECT version_num FROM {store.version_table}")
    ).scalar()
    return found


def _dump_table(
    archive: zipfile.ZipFile,
    store: Store,
    one: Table,
    connection: Connection,
    progress: Progress,
) -> dict[str, Any]:
    columns = list(one.columns)
    kinds = [_kind(found) for found in columns]
    at_once = _LARGE if any(_is_large(found) for found in columns) else _ROWS
    member = _Hashed(archive, f"{store.name}/{one.name}")
    count = 0
    statement = select(*columns).execution_options(yield_per=at_once)
    for rows in connection.execute(statement).partitions():
        lines = [json.dumps(_out(row, kinds), separators=(",", ":")) for row in rows]
        member.write("".join(f"{line}\n" for line in lines).encode())
        count += len(lines)
        progress(f"{store.name}/{one.name}", count)
    if not count:
        progress(f"{store.name}/{one.name}", 0)
    return {
        "name": one.name,
        "columns": [[found.name, kind] for found, kind in zip(columns, kinds, strict=True)],
        "rows": count,
        "sha256": member.close(),
    }


def _kind(found: Column[Any]) -> str:
    kind: Any = found.type
    if isinstance(kind, Id):
        return "id"
    if isinstance(kind, TypeDecorator):
        kind = kind.impl_instance
    for name, meant in (
        ("instant", DateTime),
        ("json", JSON),
        ("bytes", LargeBinary),
        ("boolean", Boolean),
        ("integer", Integer),
    ):
        if isinstance(kind, meant):
            return name
    return "text"


def _is_large(found: Column[Any]) -> bool:
    return isinstance(found.type, LargeBinary) and found.type.length is None


def _out(row: Sequence[Any], kinds: Sequence[str]) -> list[Any]:
    return [
        value if value is None else _TO_TEXT[kind](value) if kind in _TO_TEXT else value
        for value, kind in zip(row, kinds, strict=True)
    ]


_TO_TEXT: dict[str, Callable[[Any], str]] = {
    "id": str,
    "instant": datetime.isoformat,
    "bytes": lambda value: base64.b64encode(value).decode(),
}
_FROM_TEXT: dict[str, Callable[[str], Any]] = {
    "id": UUID,
    "instant": datetime.fromisoformat,
    "bytes": base64.b64decode,
}


# Reading one --------------------------------------------------------------------------------------


class Archive:
    """A backup that was read to its end and found whole."""

    def __init__(self, path: Path) -> None:
        """Open and check *path*. Raises BackupRefused."""
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
            manifest = json.loads(self._zip.read(_MANIFEST))
            if manifest["format"] > FORMAT:
                raise BackupRefused(
                    f"The backup {path} was made by a newer version of this program; "
                    "update the program first."
                )
            self.made_at = datetime.fromisoformat(manifest["made_at"])
            self.facts: dict[str, Any] = manifest
            self.stores: dict[str, dict[str, Any]] = manifest["stores"]
            self._check(manifest)
        except OSError as error:
            if error.errno == errno.EINVAL:  # it points to places that no file has
                raise self._damaged() from error
            raise BackupRefused(f"The backup {path} cannot be read: {error.strerror}.") from error
        except (*_BROKEN, KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._damaged() from error

    def close(self) -> None:
        """Close the file."""
        self._zip.close()

    def _damaged(self) -> BackupRefused:
        return BackupRefused(f"{self._path} is not a backup of this program, or it is damaged.")

    def _check(self, manifest: dict[str, Any]) -> None:
        sums = {f"files/{name}": told for name, told in manifest["files"].items()}
        for store, held in manifest["stores"].items():
            sums |= {f"{store}/{one['name']}": one["sha256"] for one in held["tables"]}
        if {*sums, _MANIFEST} != set(self._zip.namelist()):
            raise self._damaged()
        for name, told in sums.items():
            summed = hashlib.sha256()
            with self._zip.open(name) as member:
                while piece := member.read(_BYTES):
                    summed.update(piece)
            if summed.hexdigest() != told:
                raise self._damaged()

    def file(self, name: str) -> bytes | None:
        """The content of a secret file; None if it was left out."""
        return self._zip.read(f"files/{name}") if name in self.facts["files"] else None

    def rows(self, store: str, one: Mapping[str, Any]) -> Iterator[list[dict[str, Any]]]:
        """The rows of a table, some at a time, in the order in which they were read."""
        names = [name for name, _ in one["columns"]]
        ways = [_FROM_TEXT.get(kind) for _, kind in one["columns"]]
        batch: list[dict[str, Any]] = []
        size = 0
        with self._zip.open(f"{store}/{one['name']}") as member:
            for line in member:
                values = json.loads(line)
                batch.append(
                    {
                        name: value if value is None or way is None else way(value)
                        for name, way, value in zip(names, ways, values, strict=True)
                    }
                )
                size += len(line)
                if len(batch) >= _ROWS or size >= _BYTES:
                    yield batch
                    batch, size = [], 0
        if batch:
            yield batch


# What zipfile raises for a damaged archive; the last two for a packing or a lock that it invents.
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


# Taking it back -----------------------------------------------------------------------------------


def require_takeable(archive: Archive, store: Store) -> None:
    """Raise BackupRefused unless this program knows the schema that the rows were kept under."""
    if archive.stores[store.name]["schema"] not in store.known():
        raise BackupRefused(
            "The backup was made with a newer version of this program; update the program first."
        )


def is_used(store: Store) -> bool:
    """Whether *store* holds anything that taking a backup back would replace.

    Raises BackupRefused when it is no database of this program, or one of a newer version.
    """
    if not store.exists or (store.file is not None and store.file.stat().st_size == 0):
        return False
    # Not as the program opens it: nothing of somebody else's file is changed by looking.
    plain = f"sqlite:///{store.file}"
    engine = store.open(store.url) if store.file is None else create_engine(plain)
    try:
        with engine.connect() as connection:
            schema = _schema_of(store, connection)
            if schema is None:
                if store.file is not None and inspect(connection).get_table_names():
                    raise BackupRefused(f"{store.file} is not a database of this program.")
                return False
            if schema not in store.known():
                raise BackupRefused(
                    f"The {store.name} database was made by a newer version of this program; "
                    "update the program first."
                )
            found = connection.execute(text(f"SELECT 1 FROM {store.marker} LIMIT 1")).first()
            return found is not None
    except DBAPIError as error:
        raise BackupRefused(f"The {store.name} database cannot be read: {_words(error)}") from error
    finally:
        engine.dispose()


@contextmanager
def taking_back(archive: Archive, store: Store, progress: Progress) -> Iterator[None]:
    """Fill *store* anew from *archive*; it is replaced when the block is left, or stays as it was.

    The rows come back under the schema that they were kept under, which is then brought to the
    newest. Raises BackupRefused.
    """
    try:
        fill = partial(_fill, archive=archive, store=store, progress=progress)
        with _on_server(store, fill) if store.file is None else _beside(store, store.file, fill):
            yield
    except OSError as error:
        raise BackupRefused(
            f"The {store.name} database cannot be written: {error.strerror}."
        ) from error
    except DBAPIError as error:
        raise BackupRefused(
            f"The {store.name} database cannot be filled: {_words(error)}"
        ) from error


@contextmanager
def _on_server(store: Store, fill: Callable[[Connection], None]) -> Iterator[None]:
    """One transaction: what was there goes, and what comes is seen, at its end."""
    engine = store.open(store.url)
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            if _schema_of(store, connection) is not None:
                store.clear(connection)
            fill(connection)
            yield
    finally:
        engine.dispose()


@contextmanager
def _beside(store: Store, file: Path, fill: Callable[[Connection], None]) -> Iterator[None]:
    """A new file, which takes the place of the old one at the end."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    engine = store.open(f"sqlite:///{fresh}")
    try:
        with engine.connect().execution_options(b2b_write=True, writes=True) as connection:
            with connection.begin():
                fill(connection)
            raw: Any = connection.connection.driver_connection
            raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        engine.dispose()
        yield
        for suffix in ("-wal", "-shm"):
            Path(f"{file}{suffix}").unlink(missing_ok=True)
        os.replace(fresh, file)
    finally:
        engine.dispose()
        for suffix in ("", "-wal", "-shm"):
            with suppress(OSError):
                Path(f"{fresh}{suffix}").unlink(missing_ok=True)


def _fill(connection: Connection, *, archive: Archive, store: Store, progress: Progress) -> None:
    held = archive.stores[store.name]
    store.upgrade(connection, held["schema"])
    for one in held["tables"]:
        target = table(one["name"], *(column(name, _TYPES[kind]) for name, kind in one["columns"]))
        # A migration may have put rows of its own.
        connection.execute(target.delete())
        count = 0
        for rows in archive.rows(store.name, one):
            connection.execute(insert(target), rows)
            count += len(rows)
            progress(f"{store.name}/{one['name']}", count)
        if not count:
            progress(f"{store.name}/{one['name']}", 0)
    store.upgrade(connection, "head")
    store.finish(connection, archive.made_at)


def put_back(
    archive: Archive, store: Store, connection: Connection, *, stays: Collection[Table] = ()
) -> None:
    """Put the rows of *archive* in the place of those behind *connection*, in its transaction,
    while the program goes on. Tables in *stays* are left alone.

    Raises BackupRefused unless the schema is the very one that the rows were kept under.
    """
    held = archive.stores[store.name]
    if held["schema"] != _schema_of(store, connection):
        raise BackupRefused("The rows were kept under another schema.")
    if connection.dialect.name == "sqlite":
        connection.execute(text("PRAGMA defer_foreign_keys=ON"))
    wanted = [one for one in store.tables if one not in stays]
    for one in reversed(wanted):
        connection.execute(one.delete())
    kept = {one["name"]: one for one in held["tables"]}
    for one in wanted:
        told = kept[one.name]
        target = table(one.name, *(column(name, _TYPES[kind]) for name, kind in told["columns"]))
        for rows in archive.rows(store.name, told):
            connection.execute(insert(target), rows)


def _words(error: Exception) -> str:
    return " ".join(str(getattr(error, "orig", error)).split())
