"""Programs in the sign-in log: gathered in memory and written together, so that a token does not
wait for the disk (decisions.md, app-only sign-ins).
"""

import atexit
import logging
import threading
from collections.abc import Mapping
from typing import Any

from flask import Flask

from b2b.extensions import db
from b2b.services import sign_in_log
from b2b.services.sign_in_log import ProgramSignIn
from b2b.web.context import writing

log = logging.getLogger(__name__)

EVERY = 1.0
"""Seconds from the first of a batch until it is written; five are allowed."""
_MOST = 100_000
"""Entries that wait while the database cannot be written to; more are dropped, and counted."""


class _Gathered:
    """What waits in this process, and the thread that writes it."""

    def __init__(self) -> None:
        self._waiting: list[ProgramSignIn] = []
        self._dropped = 0
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._app: Flask | None = None

    def add(self, app: Flask, one: ProgramSignIn) -> None:
        """Take one in; the first begins the thread, in the process that serves."""
        with self._changed:
            if self._app is None:
                self._app = app
                threading.Thread(target=self._work, name="program-log", daemon=True).start()
                atexit.register(self.write)
            if len(self._waiting) >= _MOST:
                self._dropped += 1
                return
            self._waiting.append(one)
            if len(self._waiting) == 1:
                self._changed.notify()

    def _work(self) -> None:
        pause = threading.Event()
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
            pause.wait(EVERY)
            self.write()

    def write(self) -> None:
        """Write what waits; what cannot be written waits on."""
        if self._app is None:
            return
        with self._writing:
            with self._changed:
                batch, self._waiting = self._waiting, []
                dropped, self._dropped = self._dropped, 0
            if dropped:
                log.error("sign-ins of programs were not logged", extra={"count": dropped})
            if not batch:
                return
            try:
                with self._app.app_context():
                    try:
                        with writing() as session:
                            sign_in_log.record_programs(session, batch)
                    finally:
                        db.session.remove()
            except Exception:
                log.warning("sign-ins of programs are logged later", exc_info=True)
                with self._changed:
                    self._waiting = batch + self._waiting


_gathered = _Gathered()


def note(app: Flask, environ: Mapping[str, Any], one: ProgramSignIn) -> None:
    """Log a sign-in of a program: soon under our own server, whose processes last; at once under
    another one, of which we know nothing. *environ* is the request's.
    """
    if "gunicorn.socket" in environ:
        _gathered.add(app, one)
        return
    with app.app_context(), writing() as session:
        sign_in_log.record_programs(session, [one])
