"""Connections that wait: taken out of the web server's threads, served by one thread a process.

A long poll, an event stream or a socket does nothing most of the time. Holding one of the few
worker threads each, a handful of them would stop every page; here they cost a file descriptor and a
few hundred bytes. Gunicorn's thread worker hands its socket over (`environ["gunicorn.socket"]`);
under another server `can_park` says no, and whoever asked has to wait in its thread.
"""

import contextlib
import functools
import logging
import os
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any, Protocol

from flask import Response

log = logging.getLogger(__name__)

MOST = 500
"""Connections that wait in one process; the next one is told to come back later."""
TICK = 0.05
"""Seconds between two looks at what they wait for, while anybody waits."""
MAX_UNSENT = 4 * 1024 * 1024
"""Bytes kept for a client that does not read; then it is cut off."""
_RECEIVED_AT_ONCE = 16 * 1024


class Full(Exception):
    """As many as may wait in this process do."""


class Parked(StopIteration):
    """Tells gunicorn's thread that it has nothing left to do for this connection."""


class Waiter(Protocol):
    """What one connection waits for. Every method gives the bytes to send, none for nothing."""

    over: bool

    def begin(self, headers: list[tuple[str, str]]) -> bytes:
        """The first bytes; *headers* are those that every response carries."""

    def look(self, news: Any) -> bytes:
        """Called at each tick; *news* is what the lot's watch saw, None for nothing."""

    def received(self, data: bytes) -> bytes:
        """The client has said *data*."""

    def stop(self) -> bytes:
        """The program stops."""


class Elsewhere:
    """Stands in for the socket that gunicorn has given away."""

    def setblocking(self, flag: bool) -> None:
        """Nothing."""

    def shutdown(self, how: int) -> None:
        """Says that there is no connection any more."""
        raise OSError("the connection is served elsewhere")

    def close(self) -> None:
        """Nothing."""


class _Place:
    """One connection and what is still to be sent on it."""

    def __init__(self, sock: socket.socket, waiter: Waiter) -> None:
        self.sock, self.waiter = sock, waiter
        self.unsent = bytearray()

    def send(self, data: bytes) -> None:
        self.unsent += data
        with contextlib.suppress(BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            while self.unsent:
                del self.unsent[: self.sock.send(self.unsent)]
        if len(self.unsent) > MAX_UNSENT:
            raise OSError("the client does not read")


class Lot:
    """The thread that serves all connections that wait in this process.

    Args:
        watch: called at each tick while anybody waits; what it returns goes to every waiter.
    """

    def __init__(self, watch: Callable[[], Any]) -> None:
        self._watch = watch
        self._selector = selectors.DefaultSelector()
        self._ours, self._bell = socket.socketpair()
        self._ours.setblocking(False)
        self._bell.setblocking(False)
        self._selector.register(self._ours, selectors.EVENT_READ)
        self._coming: list[_Place] = []
        self._places: set[_Place] = set()
        self._lock = threading.Lock()
        self._closing = False
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._work, name="waiting-clients", daemon=True)
        self._thread.start()

    @property
    def is_of_this_process(self) -> bool:
        """Whether the thread lives: it does not cross a fork."""
        return self._pid == os.getpid() and self._thread.is_alive()

    def __len__(self) -> int:
        return len(self._places) + len(self._coming)

    def take(self, sock: socket.socket, waiter: Waiter, headers: list[tuple[str, str]]) -> None:
        """Serve *sock* from now on. Raises Full."""
        with self._lock:
            if len(self) >= MOST or self._closing:
                raise Full
            place = _Place(sock, waiter)
            place.unsent += waiter.begin(headers)
            self._coming.append(place)
        self._ring()

    def close(self) -> None:
        """Tell everybody that the program stops, and end."""
        self._closing = True
        self._ring()
        if self.is_of_this_process:
            self._thread.join(2)

    def _ring(self) -> None:
        with contextlib.suppress(OSError):
            self._bell.send(b"!")

    def _work(self) -> None:
        while not self._closing:
            events = self._selector.select(TICK if self._places else 5.0)
            for key, mask in events:
                if key.fileobj is self._ours:
                    with contextlib.suppress(OSError):
                        self._ours.recv(4096)
                else:
                    self._serve(key.data, mask)
            self._let_in()
            if self._places:
                self._tell(self._seen())
        self._let_in()
        for place in list(self._places):
            self._try(place, place.waiter.stop)
            self._drop(place)
        self._selector.close()
        self._ours.close()
        self._bell.close()

    def _seen(self) -> Any:
        try:
            return self._watch()
        except Exception:
            log.warning("what waiting clients wait for cannot be seen", exc_info=True)
            time.sleep(0.5)
            return None

    def _let_in(self) -> None:
        with self._lock:
            coming, self._coming = self._coming, []
            self._places.update(coming)
        for place in coming:
            try:
                place.sock.setblocking(False)
                self._selector.register(place.sock, selectors.EVENT_READ, place)
            except (OSError, ValueError):  # gone already
                self._places.discard(place)
                continue
            self._try(place, lambda: b"")

    def _tell(self, news: Any) -> None:
        for place in list(self._places):
            if place in self._places:
                self._try(place, functools.partial(place.waiter.look, news))

    def _serve(self, place: _Place, mask: int) -> None:
        if place not in self._places:
            return
        if mask & selectors.EVENT_READ:
            try:
                data = place.sock.recv(_RECEIVED_AT_ONCE)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            except OSError:
                data = b""
            if not data:
                self._drop(place)
                return
            self._try(place, lambda: place.waiter.received(data))
        else:
            self._try(place, lambda: b"")

    def _try(self, place: _Place, said: Callable[[], bytes]) -> None:
        """Send what *said* gives and what is left over; whoever is finished or gone is dropped."""
        try:
            place.send(said())
        except OSError:
            self._drop(place)
            return
        except Exception:
            log.exception("a waiting client could not be served")
            self._drop(place)
            return
        if place.unsent:
            wanted = selectors.EVENT_READ | selectors.EVENT_WRITE
        elif place.waiter.over:
            self._drop(place)
            return
        else:
            wanted = selectors.EVENT_READ
        with contextlib.suppress(KeyError, ValueError, OSError):
            if self._selector.get_key(place.sock).events != wanted:
                self._selector.modify(place.sock, wanted, place)

    def _drop(self, place: _Place) -> None:
        self._places.discard(place)
        with contextlib.suppress(KeyError, ValueError, OSError):
            self._selector.unregister(place.sock)
        with contextlib.suppress(OSError):
            place.sock.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            place.sock.close()


_given: set[Any] = set()
_lots: list[Lot] = []


def can_park(environ: dict[str, Any]) -> bool:
    """Whether the server of this request gives its connections away."""
    return "gunicorn.socket" in environ and environ.get("HTTP_VERSION") != "2"


def was_given(sock: Any) -> bool:
    """Whether *sock* has been given away; asked once, by the web server's worker."""
    if sock in _given:
        _given.discard(sock)
        return True
    return False


def opened(lot: Lot) -> Lot:
    """Have *lot* closed when this process stops."""
    _lots[:] = [one for one in _lots if one.is_of_this_process] + [lot]
    return lot


def close_all() -> None:
    """Called by the web server's worker at its end."""
    for lot in _lots:
        if lot.is_of_this_process:
            lot.close()


class ParkingResponse(Response):
    """Gives its connection to *lot* in place of an answer."""

    def __init__(self, lot: Lot, waiter: Waiter) -> None:
        super().__init__()
        self._lot, self._waiter = lot, waiter

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Raises Parked, or answers 503 when too many wait."""
        own = ("Content-Type", "Content-Length")
        headers = [(name, value) for name, value in self.headers.items() if name not in own]
        headers += [("Date", formatdate(usegmt=True)), ("Server", "gunicorn")]
        sock = environ["gunicorn.socket"]
        _given.add(sock)
        try:
            self._lot.take(sock, self._waiter, headers)
        except Full:
            _given.discard(sock)
            full = Response("Too many clients wait already.\n", 503, mimetype="text/plain")
            full.headers.extend(headers)
            full.headers["Retry-After"] = "5"
            return full(environ, start_response)
        raise Parked


def head(status: str, headers: list[tuple[str, str]], **more: str) -> bytes:
    """The head of an HTTP response; *more* are fields with ``_`` for ``-``."""
    fields = [*headers, *((name.replace("_", "-"), value) for name, value in more.items())]
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in fields)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")
