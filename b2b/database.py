"""How a transaction begins on each database, which failures are worth another try, and the schema's
state.
"""

import json
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, PendingRollbackError
from sqlalchemy.orm import Session, scoped_session

from b2b.errors import StartRefused
from b2b.files import ROOT
from b2b.prepared import run

# Alembic takes longer to import than Flask; only who looks at the schema waits for it.
if TYPE_CHECKING:
    from alembic.config import Config as AlembicConfig

_WRITE = "b2b_write"
CONNECTION = "b2b_connection"
"""Where a session remembers the connection of its transaction."""
WAL_PAGES = 8000
"""Pages of 4 KiB after which SQLite moves its log into the database: a page that changes with every
commit is then written once where it would be written eight times with SQLite's own 1,000.
"""
_MIGRATIONS = ROOT / "migrations"


def engine_options(url: str, busy_timeout: float) -> dict[str, Any]:
    """Options for create_engine; *busy_timeout* in seconds (threats.md, REL-7)."""
    if url.startswith("sqlite"):
        return {"connect_args": {"timeout": busy_timeout}, "json_deserializer": _read_json}
    # No prepared statements: PostgreSQL may settle on one generic plan for tenants of all sizes
    # (scale.md, 1, traps).
    return {
        "pool_pre_ping": True,
        "connect_args": {
            "prepare_threshold": None,
            "connect_timeout": max(2, int(busy_timeout)),
            # Short statements: compiling one takes longer than running it.
            "options": f"-c lock_timeout={int(busy_timeout * 1000)} -c timezone=UTC -c jit=off",
        },
    }


def _read_json(text: str) -> Any:
    """As `json.loads`; most lists of most rows are empty."""
    return [] if text == "[]" else json.loads(text)


def prepare(engine: Engine) -> None:
    """Make every connection of *engine* durable and every write start as a write.

    SQLite: WAL, synchronous=FULL, foreign keys on. A transaction that reads first and writes later
    can fail at once whatever the time-out (threats.md, 2), so writers say BEGIN IMMEDIATE; readers
    must not.
    """
    if engine.dialect.name != "sqlite":
        return

    @event.listens_for(engine, "connect")
    def _connected(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        _use_wal(connection)
        for pragma in (
            "synchronous=FULL",
            "foreign_keys=ON",
            f"wal_autocheckpoint={WAL_PAGES}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        write = connection.get_execution_options().get(_WRITE)
        run(connection, "BEGIN IMMEDIATE" if write else "BEGIN")


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch a file to WAL. While others do so for the first time too, SQLite answers *locked* at
    once, whatever the time-out.
    """
    for _ in range(100):
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error):
                raise
            time.sleep(0.02)
        else:
            return
    connection.execute("PRAGMA journal_mode=WAL")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A short write transaction for prepared statements, committed at the end. A session around it
    would cost more than such a statement.
    """
    with engine.connect() as connection:
        connection.execution_options(**{_WRITE: True})
        with connection.begin():
            yield connection


def begin_write(session: Session | scoped_session[Any]) -> None:
    """End the reading so far and begin a transaction that may write. What was loaded is expired.

    On SQLite the connection that has only read so far is kept: giving it back and fetching it again
    costs more than the two statements.
    """
    under_way: Session = session() if isinstance(session, scoped_session) else session
    reading: Connection | None = under_way.info.get(CONNECTION)
    if (
        reading is None
        or reading.dialect.name != "sqlite"
        or under_way.in_nested_transaction()
        or under_way.new
        or under_way.dirty
        or under_way.deleted
        or reading.get_execution_options().get(_WRITE)
    ):
        session.rollback()
        session.connection(execution_options={_WRITE: True})
        return
    session.expire_all()
    try:
        run(reading, "ROLLBACK")
        run(reading, "BEGIN IMMEDIATE")
    except DBAPIError:
        session.rollback()
        raise


def is_busy(error: BaseException) -> bool:
    """The database is locked, restarting or out of reach: worth a plain 503 and another try
    later.
    """
    if isinstance(error, PendingRollbackError):
        return error.code == _BROKEN_MEANWHILE
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    text = str(error.orig).lower()
    state = getattr(error.orig, "sqlstate", None)
    return (
        "database is locked" in text
        or "database table is locked" in text
        or (state is not None and state[:2] in ("08", "57", "55"))
        or (
            isinstance(error, OperationalError | InterfaceError)
            and "connection" in text
            and state is None
        )
    )


_BROKEN_MEANWHILE = "8s2b"
"""How SQLAlchemy calls what it says of a connection that broke before this statement."""


def is_conflict(error: BaseException) -> bool:
    """Rolled back because of somebody else's transaction; running it once more is right (REL-7)."""
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    return state in ("40001", "40P01")


_NO_ROOM = {
    sqlite3.SQLITE_FULL,
    # A quota, or a limit on the size of files, is told as a write that failed.
    sqlite3.SQLITE_IOERR_WRITE,
    sqlite3.SQLITE_IOERR_SHMSIZE,
    sqlite3.SQLITE_IOERR_TRUNCATE,
}


def is_full(error: BaseException) -> bool:
    """No room left on the disk, or none that we may use (REL-8)."""
    cause = getattr(error, "orig", error)
    if getattr(cause, "sqlite_errorcode", None) in _NO_ROOM:
        return True
    if getattr(cause, "sqlstate", None) in ("53100", "58030"):  # disk_full, io_error
        return True
    text = str(cause).lower()
    return "disk is full" in text or "no space left" in text


def revision_of(connection: Connection) -> str | None:
    """The revision of the schema behind *connection*; None when there is none."""
    from alembic.runtime.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()


def known_revisions() -> set[str]:
    """Every revision that this program can bring a database to."""
    from alembic.script import ScriptDirectory

    script = ScriptDirectory.from_config(alembic_config(""))
    return {revision.revision for revision in script.walk_revisions()}


def newest_revision() -> str:
    """The revision that this program works with."""
    from alembic.script import ScriptDirectory

    newest = ScriptDirectory.from_config(alembic_config("")).get_current_head()
    assert newest is not None
    return newest


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Bring the schema behind *connection* to *revision*, in the transaction that it is in."""
    from alembic import command

    config = alembic_config("")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
    if connection.dialect.name == "sqlite":
        _expect_many_rows(connection)


def clear(connection: Connection) -> None:
    """Drop the directory's tables behind *connection*, in the transaction that it is in."""
    from alembic import command

    config = alembic_config("")
    config.attributes["connection"] = connection
    command.downgrade(config, "base")


def alembic_config(url: str) -> "AlembicConfig":
    """The migrations' configuration for *url*."""
    from alembic.config import Config as AlembicConfig

    config = AlembicConfig()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["url"] = url
    return config


def migrate(url: str) -> None:
    """Bring the schema of *url* to the newest revision; one migrator at a time.

    Raises StartRefused when the database was made by a newer program (REL-14) or cannot be opened.
    """
    engine = create_engine(url, **engine_options(url, 30))
    prepare(engine)
    try:
        with engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql("SELECT pg_advisory_lock(7229001)")
                connection.commit()
            else:
                _own_file(url)
            current = revision_of(connection)
            if current is not None and current not in known_revisions():
                raise StartRefused(
                    "The database was made by a newer version of this program; "
                    "update the program or restore an older backup."
                )
            if current != newest_revision():
                connection.rollback()
                if connection.dialect.name == "sqlite":
                    connection = connection.execution_options(**{_WRITE: True})
                upgrade(connection)
                connection.commit()
    except DBAPIError as error:
        raise _cannot_be_opened(error) from error
    finally:
        engine.dispose()


_ROWS = 1_000_000
_FEW_VALUED = {"facet", "standing", "state", "kind"}


def _expect_many_rows(connection: Connection) -> None:
    """Tell SQLite's planner what tables look like when they are large.

    Without statistics it takes ten rows a tenant for granted and walks a whole tenant rather than
    an index that is not unique. Real statistics would change plans as a directory grows; these do
    not.
    """
    tell = connection.exec_driver_sql
    tell("PRAGMA analysis_limit=100")  # it is run for its tables only
    tell("ANALYZE")
    tell("DELETE FROM sqlite_stat1")
    tables = tell("SELECT name, wr FROM pragma_table_list WHERE type = 'table' AND schema = 'main'")
    for table, without_rowid in tables.all():
        if table.startswith("sqlite_"):
            continue
        indexes = tell(
            'SELECT name, "unique", origin, partial FROM pragma_index_list(?)', (table,)
        ).all()
        for index, unique, origin, partial in indexes:
            columns = [
                name
                for (name,) in tell(
                    "SELECT name FROM pragma_index_info(?) ORDER BY seqno", (index,)
                )
            ]
            rows = _ROWS // 10 if partial else _ROWS
            numbers = [rows]
            for column in columns:
                share = 10 if column == "tenant_id" or column in _FEW_VALUED else 1000
                numbers.append(max(1, numbers[-1] // share))
            if unique:
                numbers[-1] = 1
            name = table if origin == "pk" and without_rowid else index
            tell(
                "INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?, ?, ?)",
                (table, name, " ".join(map(str, numbers))),
            )


def _cannot_be_opened(error: DBAPIError) -> StartRefused:
    words = " ".join(str(error.orig).split())
    return StartRefused(f"The database cannot be opened: {words}")


def _own_file(url: str) -> None:
    """The database file is nobody else's business (threats.md, DB-2)."""
    path = make_url(url).database
    if path and path != ":memory:" and os.path.exists(path):
        os.chmod(path, 0o600)


def require_current(url: str) -> None:
    """Raise StartRefused unless the schema of *url* is the one this program works with."""
    engine = create_engine(url, **engine_options(url, 5))
    try:
        with engine.connect() as connection:
            current = revision_of(connection)
    except DBAPIError as error:
        raise _cannot_be_opened(error) from error
    finally:
        engine.dispose()
    if current == newest_revision():
        return
    if current is not None and current not in known_revisions():
        raise StartRefused("The database was made by a newer version of this program.")
    raise StartRefused("The database is not up to date; run  flask --app app migrate  first.")


def drop_everything(url: str) -> None:
    """Empty the database at *url*: the SQLite file goes, a server's tables are dropped."""
    if url.startswith("sqlite"):
        path = make_url(url).database
        for suffix in ("", "-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
        return
    from alembic import command

    command.downgrade(alembic_config(url), "base")
