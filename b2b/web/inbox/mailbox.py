"""This process's connection to the store of captured mail, opened when it is first needed."""

import logging
import os
import re
import threading

from flask import Flask, current_app, request
from sqlalchemy.exc import SQLAlchemyError

from b2b.sink.store import Store, StoreIsNewer, Summary

log = logging.getLogger(__name__)

_NAME = "mail_store"
_ID = re.compile(r"[0-9A-Za-z]{22}")


class StoreUnavailable(Exception):
    """The store cannot be opened; the text says why, for the log."""


class _Opened:
    """One store a process: a connection must not be shared across a fork."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = 0
        self._store: Store | None = None

    def get(self, url: str) -> Store:
        with self._lock:
            if self._store is None or self._pid != os.getpid():
                if self._store is not None:
                    self._store.engine.dispose(close=False)  # its connections are the parent's
                try:
                    self._store = Store.open(url)
                except (SQLAlchemyError, StoreIsNewer, OSError) as error:
                    self._store = None
                    raise StoreUnavailable(str(error)) from error
                self._pid = os.getpid()
            return self._store

    def close(self) -> None:
        with self._lock:
            if self._store is not None and self._pid == os.getpid():
                self._store.close()
            self._store = None


def store() -> Store:
    """The store named by MAIL_STORE_URL. Raises StoreUnavailable."""
    opened: _Opened = current_app.extensions.setdefault(_NAME, _Opened())
    return opened.get(current_app.config["MAIL_STORE_URL"])


def is_id(text: str) -> bool:
    """Whether *text* could be the id of a mail; PostgreSQL refuses to look for some that cannot."""
    return _ID.fullmatch(text) is not None


def find(message_id: str) -> Summary | None:
    """The row of a mail, or None; any text will do."""
    return store().get(message_id) if is_id(message_id) else None


def mark_read(row: Summary) -> None:
    """Mark a mail read once its GET shows it; a HEAD shows nothing."""
    if request.method != "GET" or row.is_read:
        return
    try:
        store().mark(read=True, ids=[row.id])
    except SQLAlchemyError:  # a busy or full store can still be read
        log.warning("a mail could not be marked as read", exc_info=True)


def close(app: Flask) -> None:
    """Give up the connections that *app* holds in this process; the next use opens new ones."""
    opened: _Opened | None = app.extensions.get(_NAME)
    if opened is not None:
        opened.close()
