"""News of the mailbox for those who wait: long polls, event streams and Mailpit's socket.

Where the web server gives its connections away they wait in `b2b.web.parking`, outside of its
threads; under any other server a long poll waits in its thread, and there are no streams.
"""

import json
import threading
import time
from collections.abc import Callable
from typing import Any, cast

from flask import Flask, Response, current_app, request
from werkzeug.exceptions import BadRequest, Forbidden, ServiceUnavailable
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Event, Ping, TextMessage
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from b2b.sink.store import Store
from b2b.sink.watching import News, Watcher
from b2b.web import parking
from b2b.web.inbox.mailbox import store

HEARTBEAT = 25.0
"""Seconds without news after which a stream says something, so that proxies keep it open."""
STATS_EVERY = 0.25
MAX_WAIT = 120.0
"""Seconds that one long poll may wait."""

Outcome = tuple[int, Any]
"""Status and JSON value of an answer."""
Check = Callable[[Store], Outcome | None]
"""What a long poll waits for; None while it is not there."""
Told = Callable[[News], list[tuple[str, Any]]]
"""News as named events with their data."""

_NAME = "mail_lot"
_opening = threading.Lock()


class _Watch:
    """The lot's eyes: one look at the store for all who wait, from the lot's own thread."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        # Now, and not at the first look: the first client is told that it misses nothing.
        self._watcher = Watcher(store())

    def __call__(self) -> News | None:
        with self._app.app_context():
            return self._watcher.look()


def _lot() -> parking.Lot:
    """This process's lot of waiting clients."""
    with _opening:
        lot = current_app.extensions.get(_NAME)
        if lot is None or not lot.is_of_this_process:
            lot = parking.opened(parking.Lot(_Watch(current_app._get_current_object())))  # type: ignore[attr-defined]
            current_app.extensions[_NAME] = lot
        return cast(parking.Lot, lot)


def as_bytes(value: Any) -> bytes:
    """JSON with a line end."""
    return (json.dumps(value, ensure_ascii=False) + "\n").encode()


# Long polls --------------------------------------------------------------------------------------


def wait(check: Check, seconds: float, nothing: Outcome) -> Response:
    """The outcome of *check* as soon as there is one, *nothing* after *seconds*."""
    seconds = min(max(seconds, 0.0), MAX_WAIT)
    outcome = check(store())
    if outcome is None and seconds > 0:
        if parking.can_park(request.environ):
            app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
            return parking.ParkingResponse(_lot(), _LongPoll(app, check, seconds, nothing))
        outcome = _in_this_thread(check, seconds)
    status, value = outcome or nothing
    return Response(as_bytes(value), status, mimetype="application/json")


def _in_this_thread(check: Check, seconds: float) -> Outcome | None:
    ends = time.monotonic() + seconds
    mails = store()
    before = mails.counters().latest_change
    while time.monotonic() < ends:
        if outcome := check(mails):
            return outcome
        while (now := mails.counters().latest_change) == before and time.monotonic() < ends:
            time.sleep(parking.TICK)
        before = now
    return check(mails)


class _LongPoll:
    """One answer, once."""

    def __init__(self, app: Flask, check: Check, seconds: float, nothing: Outcome) -> None:
        self.over = False
        self._app, self._check, self._nothing = app, check, nothing
        self._ends = time.monotonic() + seconds
        self._headers: list[tuple[str, str]] = []
        self._asked = False

    def begin(self, headers: list[tuple[str, str]]) -> bytes:
        """Nothing until there is an answer."""
        self._headers = headers
        return b""

    def look(self, news: News | None) -> bytes:
        """The answer when it is there, or when the time is over."""
        is_late = time.monotonic() >= self._ends
        if news is None and self._asked and not is_late:
            return b""
        self._asked = True
        with self._app.app_context():
            outcome = self._check(store())
        if outcome is None and not is_late:
            return b""
        return self._answer(*(outcome or self._nothing))

    def received(self, data: bytes) -> bytes:
        """A client that waits has nothing to say."""
        return b""

    def stop(self) -> bytes:
        """Come again."""
        return self._answer(503, {"error": {"code": "Stopping", "message": "The server stops."}})

    def _answer(self, status: int, value: Any) -> bytes:
        self.over = True
        body = as_bytes(value)
        words = Response(status=status).status
        return (
            parking.head(
                words,
                self._headers,
                Content_Type="application/json",
                Content_Length=str(len(body)),
                Connection="close",
            )
            + body
        )


# Streams -----------------------------------------------------------------------------------------


class _Stream:
    """What event streams and sockets have in common; *app*'s context for what is told."""

    def __init__(self, app: Flask, told: Told) -> None:
        self.over = False
        self._app, self._told = app, told
        self._spoke = time.monotonic()

    def events(self, news: News | None) -> list[tuple[str, Any]]:
        """What to say now; an event without a name is a heartbeat."""
        now = time.monotonic()
        if news is None:
            if now - self._spoke < HEARTBEAT:
                return []
            self._spoke = now
            return [("", None)]
        self._spoke = now
        with self._app.app_context():
            return self._told(news)


class _EventStream(_Stream):
    """Server-sent events (the HTML standard's text/event-stream)."""

    def begin(self, headers: list[tuple[str, str]]) -> bytes:
        """The head, and a first comment so that the client knows that it is connected."""
        start = parking.head(
            "200 OK", headers, Content_Type="text/event-stream", Connection="close"
        )
        return start + b"retry: 2000\n: here is what happens from now on\n\n"

    def look(self, news: News | None) -> bytes:
        """Each event with its name and JSON data."""
        written = []
        for name, data in self.events(news):
            text = json.dumps(data, ensure_ascii=False)
            written.append(f"event: {name}\ndata: {text}\n\n" if name else ": still here\n\n")
        return "".join(written).encode()

    def received(self, data: bytes) -> bytes:
        """Nothing is read."""
        return b""

    def stop(self) -> bytes:
        """The client connects anew by itself."""
        return b""


class _Socket(_Stream):
    """A websocket (RFC 6455); text frames of ``{"Type": …, "Data": …}``, nothing is read."""

    def __init__(self, app: Flask, told: Told, first: tuple[str, Any]) -> None:
        super().__init__(app, told)
        self._first = first
        self._connection = WSConnection(ConnectionType.SERVER)

    def shake(self, headers: list[tuple[bytes, bytes]], path: str) -> None:
        """Read the client's handshake. Raises RemoteProtocolError when it is none."""
        self._connection.initiate_upgrade_connection(headers, path)

    def begin(self, headers: list[tuple[str, str]]) -> bytes:
        """The handshake's answer, and the numbers of the moment."""
        for _ in self._connection.events():
            pass
        extra = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers]
        accepted = self._connection.send(AcceptConnection(extra_headers=extra))
        return accepted + self._said(*self._first)

    def look(self, news: News | None) -> bytes:
        """A frame an event; a ping where there was none for long."""
        return b"".join(
            self._said(name, data) if name else self._sent(Ping())
            for name, data in self.events(news)
        )

    def received(self, data: bytes) -> bytes:
        """Answers pings and the end; whatever else is said is passed over."""
        answer = b""
        try:
            self._connection.receive_data(data)
            for event in self._connection.events():
                if isinstance(event, Ping):
                    answer += self._sent(event.response())
                elif isinstance(event, CloseConnection):
                    self.over = True
                    answer += self._sent(event.response())
        except RemoteProtocolError as error:
            self.over = True
            answer += self._sent(error.event_hint or CloseConnection(CloseReason.PROTOCOL_ERROR))
        return answer

    def stop(self) -> bytes:
        """Going away."""
        return self._sent(CloseConnection(CloseReason.GOING_AWAY))

    def _said(self, name: str, data: Any) -> bytes:
        return self._sent(TextMessage(json.dumps({"Type": name, "Data": data}, ensure_ascii=False)))

    def _sent(self, event: Event) -> bytes:
        try:
            return self._connection.send(event)
        except LocalProtocolError:  # the other side has closed already
            self.over = True
            return b""


def stream(told: Told) -> Response:
    """Server-sent events until the client goes."""
    if not parking.can_park(request.environ):
        raise ServiceUnavailable("This server does not hold connections open.")
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    return parking.ParkingResponse(_lot(), _EventStream(app, told))


def socket(told: Told, first: tuple[str, Any]) -> Response:
    """Mailpit's socket. Refuses what another site's page opens (threats.md, BOX-3)."""
    origin = request.headers.get("Origin")
    if origin is not None and origin.rstrip("/").partition("://")[2] != request.host:
        raise Forbidden
    if not parking.can_park(request.environ):
        raise ServiceUnavailable("This server does not hold connections open.")
    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    waiter = _Socket(app, told, first)
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in request.headers]
    try:
        waiter.shake(headers, request.full_path)
    except RemoteProtocolError:
        raise BadRequest("This is where websockets connect.") from None
    return parking.ParkingResponse(_lot(), waiter)
