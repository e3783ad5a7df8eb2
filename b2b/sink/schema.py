"""Opening the store's database: engine settings that make a commit durable, and the migrations."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from b2b.prepared import run
from b2b.sink.tables import FULL_TEXT, SCHEMA, VERSION_TABLE

if TYPE_CHECKING:
    from alembic.config import Config

BUSY_TIMEOUT_MS = 5_000

_NUMBERED = (
    ("tags", "id"),
    ("mail_changes", "number"),
    ("refusals", "id"),
    ("smtp_faults", "id"),
    ("webhook_deliveries", "id"),
)
"""Columns that PostgreSQL numbers by itself."""

WAL_PAGES = 8000
"""Pages of 4 KiB after which SQLite moves its log into the database: a page that changes with every
commit is then written once where it would be written eight times with SQLite's own 1,000.
"""

_MIGRATIONS = Path(__file__).parent / "migrations"
# Any constant does; it only has to differ from other users of advisory locks in the same database.
_ADVISORY_LOCK = 0x6D61696C


class StoreIsNewer(Exception):
    """The store was written by a later version of this program; it is left untouched."""

    def __init__(self, revision: str) -> None:
        super().__init__(
            f"The mail store has schema {revision}, which this version does not know (it knows "
            f"up to {SCHEMA}). Start the version that wrote it, or name another store."
        )
        self.revision = revision


def is_memory(url: URL) -> bool:
    """Whether ``url`` names a SQLite database that lives in this process only."""
    return url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:")


def engine(store_url: str) -> Engine:
    """An engine for a SQLite file (made with mode 0600), ``sqlite://`` or PostgreSQL.

    SQLite runs in WAL mode with ``synchronous=FULL``, so a commit outlives a power cut;
    transactions begin explicitly, and as writers (``BEGIN IMMEDIATE``) under the execution option
    ``writes``.
    """
    url = make_url(store_url)
    if url.get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True)
    if is_memory(url):
        # One connection for all threads; Store takes turns on it.
        made = create_engine(
            url, poolclass=StaticPool, connect_args={"check_same_thread": False, "timeout": 5}
        )
    else:
        _create_private(Path(str(url.database)))
        made = create_engine(url, pool_size=10, max_overflow=20)
    event.listen(made, "connect", _on_sqlite_connect)
    event.listen(made, "begin", _on_sqlite_begin)
    return made


def _create_private(path: Path) -> None:
    """Made before SQLite opens it: the -wal and -shm files take its mode."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return


def _on_sqlite_connect(connection: sqlite3.Connection, _: Any) -> None:
    connection.isolation_level = None  # the driver must not begin transactions by itself
    for pragma in (
        f"busy_timeout={BUSY_TIMEOUT_MS}",
        "journal_mode=WAL",
        "synchronous=FULL",
        f"wal_autocheckpoint={WAL_PAGES}",
        "foreign_keys=ON",
        "temp_store=MEMORY",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _on_sqlite_begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    run(connection, "BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that writes, durable once left; SQLite takes the write lock at its start."""
    with engine.connect() as connection:
        connection = connection.execution_options(writes=True)
        with connection.begin():
            if connection.dialect.name == "postgresql":
                connection.execute(text("SET LOCAL synchronous_commit TO on"))
            yield connection


def migrate(engine: Engine) -> bool:
    """Bring the schema up to date, one migrator at a time; True where the FTS5 index exists.

    Raises:
        StoreIsNewer: the store has a migration that this version does not know.
    """
    with engine.connect() as connection:
        current = revision_of(connection)
    if current != SCHEMA:
        with writing(engine) as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(
                    text("SELECT pg_advisory_xact_lock(:lock)").bindparams(lock=_ADVISORY_LOCK)
                )
            upgrade(connection)
    with engine.connect() as connection:
        return inspect(connection).has_table(FULL_TEXT)


def revision_of(connection: Connection) -> str | None:
    """The migration that the store behind *connection* is at; None when there is no store."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    revision: str | None = connection.execute(
        text(f"SELECT version_num FROM {VERSION_TABLE}")
    ).scalar()
    return revision


def _config() -> "Config":
    # Costs a tenth of a second to import, and a start on a current store does not need it.
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


def known_revisions() -> set[str]:
    """Every migration that this version can bring a store to."""
    from alembic.script import ScriptDirectory

    return {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Bring the store to *revision*, in the transaction that *connection* is in.

    Raises:
        StoreIsNewer: the store has a migration that this version does not know.
    """
    from alembic import command

    current = revision_of(connection)
    if current is not None and current not in known_revisions():
        raise StoreIsNewer(current)
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def clear(connection: Connection) -> None:
    """Drop the store's tables, in the transaction that *connection* is in."""
    from alembic import command

    config = _config()
    config.attributes["connection"] = connection
    command.downgrade(config, "base")


def index_anew(connection: Connection) -> None:
    """After rows were put in by their numbers: fill the full-text index from the texts, where the
    database has one, and let new numbers follow the highest.
    """
    if connection.dialect.name == "postgresql":
        for table, column in _NUMBERED:
            connection.execute(
                text(
                    f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'),"
                    f" (SELECT coalesce(max({column}), 0) + 1 FROM {table}), false)"
                )
            )
    if inspect(connection).has_table(FULL_TEXT):
        connection.execute(text(f"INSERT INTO {FULL_TEXT} ({FULL_TEXT}) VALUES ('rebuild')"))


_NO_ROOM = {
    sqlite3.SQLITE_FULL,
    # A quota, or a limit on the size of files, is told as a write that failed.
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_IOERR_SHMSIZE,
    sqlite3.SQLITE_IOERR_TRUNCATE,
}


def is_full(error: Exception) -> bool:
    """Whether ``error`` says that the disk, or the room allowed, is used up."""
    cause = error.orig if isinstance(error, SQLAlchemyError) and hasattr(error, "orig") else error
    if getattr(cause, "sqlite_errorcode", None) in _NO_ROOM:
        return True
    if getattr(cause, "sqlstate", None) == "53100":  # PostgreSQL: disk_full
        return True
    return isinstance(cause, OSError) and cause.errno in (27, 28, 122)  # EFBIG, ENOSPC, EDQUOT
