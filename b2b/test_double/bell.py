"""How every process learns at once what the test tools were told.

What they are told is rows in the database. A small file beside it changes with them: comparing its
sixteen bytes is all that a process does until there is news.
"""

import logging
import os
import secrets
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Generic, TypeVar

from sqlalchemy import BigInteger, Connection, Engine, column, select, table
from sqlalchemy.exc import SQLAlchemyError

from b2b import clock

log = logging.getLogger(__name__)

T = TypeVar("T")

_FILE = "test-double.turn"
# Its model is not loaded here: the sink follows the clock and does without the directory's models.
_SETTINGS = table("test_double", column("clock_offset", BigInteger))


class Bell(Generic[T]):
    """Of an installation whose data lie in *folder*: *read* is asked again when it has rung."""

    def __init__(
        self, folder: Path, engine: Engine, read: Callable[[Connection], T], before: T
    ) -> None:
        self._file = os.open(folder / _FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._engine = engine
        self._read = read
        self._heard: bytes | None = None
        self._state = before
        self._turn = threading.Lock()

    def state(self) -> T:
        """How things stand."""
        rung = os.pread(self._file, 16, 0)
        if rung == self._heard:
            return self._state
        with self._turn:
            if rung == self._heard:
                return self._state
            # The bell was read before the rows: what comes in between is heard the next time.
            try:
                with self._engine.connect() as connection:
                    self._state = self._read(connection)
                self._heard = rung
            except SQLAlchemyError:
                # No schema yet, or a database that is away: as things stood, and again next time.
                log.debug("the test tools' rows cannot be read")
        return self._state

    def ring(self) -> None:
        """Let every process look; after the commit."""
        os.pwrite(self._file, secrets.token_bytes(16), 0)


def follow_clock(folder: Path, engine: Engine) -> None:
    """Let the clock be as far ahead as the test tools say, in a process without Flask."""
    clock.follow(Bell(folder, engine, _offset, timedelta(0)).state)


def _offset(connection: Connection) -> timedelta:
    kept = connection.scalar(select(_SETTINGS.c.clock_offset))
    return timedelta(milliseconds=kept or 0)
