"""Real databases for tests: a SQLite file copied from a migrated one, and a real PostgreSQL."""

import itertools
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pgserver
import psycopg
from sqlalchemy import Connection, NullPool, create_engine, select

from b2b import database
from b2b.models import Base

_numbers = itertools.count()


@contextmanager
def reading(url: str) -> Iterator[Connection]:
    """A connection of one's own to a directory, for looking only."""
    engine = create_engine(url, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def contents(url: str) -> dict[str, list[str]]:
    """Every row of every table of the directory, as values."""
    with reading(url) as connection:
        return {
            table.name: sorted(repr(tuple(row)) for row in connection.execute(select(table)))
            for table in Base.metadata.sorted_tables
        }


@contextmanager
def full_disk(*, room: int = 4096) -> Iterator[None]:
    """No file of this process grows beyond *room* bytes: SQLite meets what a quota brings about."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class SQLiteTemplate:
    """Migrated once, copied for each test."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "template.sqlite3"
        database.migrate(f"sqlite:///{self._file}")

    @contextmanager
    def fresh(self, folder: Path) -> Iterator[str]:
        """The address of a new database at head."""
        target = folder / "directory.sqlite3"
        shutil.copy(self._file, target)
        yield f"sqlite:///{target}"


def _started() -> tuple[pgserver.PostgresServer, Path]:
    """A server and its folder; its starter gives up after ten seconds, which is tried again.

    The folder is not below pytest's: as root the server runs as another user, and every session of
    pytest closes that tree to others.
    """
    for attempt in range(4):
        folder = Path(tempfile.mkdtemp(prefix="b2b-postgres-"))
        try:
            return pgserver.get_server(folder), folder
        except (subprocess.SubprocessError, OSError):
            shutil.rmtree(folder, ignore_errors=True)
            if attempt == 3:
                raise
    raise AssertionError("the loop returns or raises")


class PostgresTemplate:
    """A server of its own, and a database that each test's is made from."""

    def __init__(self, *, durable: bool = False) -> None:
        self._server, self._folder = _started()
        self._admin = psycopg.connect(self._server.get_uri(), autocommit=True)
        # No test pulls the plug on this server, and each makes a database of its own.
        for setting in () if durable else ("fsync", "full_page_writes", "synchronous_commit"):
            self._admin.execute(f"ALTER SYSTEM SET {setting} = off")
        self._admin.execute("SELECT pg_reload_conf()")
        self._admin.execute("CREATE DATABASE template_b2b")
        database.migrate(self.url("template_b2b"))

    def url(self, name: str) -> str:
        """The address of database *name*, over the server's socket."""
        return self._server.get_uri(name).replace("postgresql://", "postgresql+psycopg://")

    @contextmanager
    def fresh(self) -> Iterator[str]:
        """The address of a new database at head; dropped afterwards."""
        name = f"test_{next(_numbers)}"
        self._admin.execute(f"CREATE DATABASE {name} TEMPLATE template_b2b")
        try:
            yield self.url(name)
        finally:
            self._admin.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def restart(self) -> None:
        """Stop at once, as an operator would, and start again; who is connected is cut off."""
        self._admin.close()
        pgserver.pg_ctl(
            ["-w", "-m", "fast", "restart"], pgdata=self._folder, user=self._server.system_user
        )
        self._admin = psycopg.connect(self._server.get_uri(), autocommit=True)

    def close(self) -> None:
        """Stop the server."""
        self._admin.close()
        self._server.cleanup()
        shutil.rmtree(self._folder, ignore_errors=True)
