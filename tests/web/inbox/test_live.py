"""Who waits for mail: long polls, event streams and Mailpit's socket, over real sockets.

The web server's part is played by handing the socket over as gunicorn does; the real server is in
tests/journeys/test_inbox_clients.py.
"""

import json
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, CloseConnection, Ping, Pong, Request, TextMessage

from b2b.web import parking
from tests.web.inbox.conftest import Mails
from tests.web.inbox.letters import letter

EVENTS = "/mail/api/events"


@pytest.fixture(autouse=True)
def _nobody_is_left_waiting() -> Iterator[None]:
    yield
    parking.close_all()


class Listener:
    """A websocket client on an existing connection."""

    def __init__(self, app: Flask, **headers: str) -> None:
        self.ours, theirs = socket.socketpair()
        self.ours.settimeout(5)
        self.protocol = WSConnection(ConnectionType.CLIENT)
        asked = self.protocol.send(Request(host="localhost:5000", target=EVENTS))
        lines = asked.decode().split("\r\n")[1:]
        said = dict(line.split(": ", 1) for line in lines if line)
        with pytest.raises(parking.Parked):
            app.test_client().get(
                EVENTS,
                headers=said | headers,
                environ_overrides={"gunicorn.socket": theirs},
            )
        assert parking.was_given(theirs)

    def next(self) -> Any:
        """The next event of the protocol that is no part of the handshake."""
        while True:
            for event in self.protocol.events():
                if not isinstance(event, AcceptConnection):
                    return event
            data = self.ours.recv(65536)
            self.protocol.receive_data(data or None)

    def said(self) -> tuple[str, Any]:
        """The next message: type and data."""
        text, event = "", self.next()
        while isinstance(event, TextMessage):
            text += event.data
            if event.message_finished:
                break
            event = self.next()
        message = json.loads(text)
        assert set(message) == {"Type", "Data"}
        return message["Type"], message["Data"]

    def until(self, kind: str) -> list[tuple[str, Any]]:
        """What is said up to the first message of *kind*, that included."""
        said = [self.said()]
        while said[-1][0] != kind:
            said.append(self.said())
        return said


@pytest.fixture
def listener(app: Flask, mails: Mails) -> Iterator[Listener]:
    made = Listener(app)
    yield made
    made.ours.close()


# The socket ---------------------------------------------------------------------------------------


def test_the_socket_begins_with_the_numbers(listener: Listener) -> None:
    assert listener.said() == ("stats", {"Total": 0, "Unread": 0, "Version": "v1.30.5"})


def test_the_socket_tells_what_comes_changes_and_goes(
    app: Flask, mails: Mails, listener: Listener
) -> None:
    listener.said()
    message_id = mails.one("Live")
    arrived = listener.until("new")[-1][1]
    assert (arrived["ID"], arrived["Subject"], arrived["Tags"]) == (message_id, "Live", [])
    client = app.test_client()
    client.get(f"/mail/api/v1/message/{message_id}")
    assert listener.until("update")[-1] == ("update", {"ID": message_id, "Read": True})
    client.put("/mail/api/v1/tags", json={"IDs": [message_id], "Tags": ["Blue"]})
    assert listener.until("update")[-1] == ("update", {"ID": message_id, "Tags": ["Blue"]})
    client.delete("/mail/api/v1/messages", json={"IDs": [message_id]})
    assert listener.until("delete")[-1] == ("delete", {"ID": message_id})
    assert listener.until("stats")[-1][1]["Total"] == 0
    mails.one()
    client.delete("/mail/api/v1/messages")
    assert listener.until("truncate")[-1] == ("truncate", None)


def test_many_changes_at_once_are_told_as_one(mails: Mails, listener: Listener) -> None:
    listener.said()
    mails.add(*(letter(f"No {n}") for n in range(201)))
    mails.store.mark(read=True)
    assert ("prune", None) in listener.until("prune")


def test_the_socket_answers_pings_and_the_end(listener: Listener) -> None:
    listener.said()
    listener.ours.sendall(listener.protocol.send(Ping(b"x")))
    assert isinstance(listener.next(), Pong)
    listener.ours.sendall(listener.protocol.send(TextMessage("nobody reads this")))
    listener.ours.sendall(listener.protocol.send(CloseConnection(1000)))
    assert isinstance(listener.next(), CloseConnection)
    assert listener.ours.recv(10) == b""


def test_a_frame_that_is_none_ends_that_socket_alone(
    app: Flask, mails: Mails, listener: Listener
) -> None:
    """BOX-3: what a stranger sends harms nobody else."""
    listener.said()
    other = Listener(app)
    other.said()
    other.ours.sendall(struct.pack("!BB", 0xFF, 0x85) + b"garbage")
    assert isinstance(other.next(), CloseConnection)
    other.ours.close()
    mails.one("Still here")
    assert listener.until("new")[-1][1]["Subject"] == "Still here"


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://localhost:8080"])
def test_a_page_of_another_site_opens_no_socket(
    client: FlaskClient, mails: Mails, origin: str
) -> None:
    """BOX-3."""
    headers = {
        "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Origin": origin,
    }  # fmt: skip
    ours, theirs = socket.socketpair()
    with ours, theirs:
        response = client.get(
            EVENTS, headers=headers, environ_overrides={"gunicorn.socket": theirs}
        )
    assert response.status_code == 403


def test_without_a_handshake_there_is_no_socket(client: FlaskClient, mails: Mails) -> None:
    assert client.get(EVENTS).status_code == 404
    ours, theirs = socket.socketpair()
    with ours, theirs:
        response = client.get(
            EVENTS,
            headers={"Upgrade": "websocket", "Connection": "Upgrade"},
            environ_overrides={"gunicorn.socket": theirs},
        )
    assert response.status_code == 400


def test_too_many_are_told_to_come_later(
    app: Flask, mails: Mails, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BOX-3: waiting is bounded."""
    monkeypatch.setattr(parking, "MOST", 1)
    first = Listener(app)
    ours, theirs = socket.socketpair()
    with ours, theirs, first.ours:
        response = app.test_client().get(
            "/mail/api/v2/events", environ_overrides={"gunicorn.socket": theirs}
        )
        assert response.status_code == 503
        assert response.headers["Retry-After"] == "5"
        assert not parking.was_given(theirs)


def test_whoever_waits_is_told_when_the_program_stops(listener: Listener) -> None:
    listener.said()
    parking.close_all()
    event = listener.next()
    assert isinstance(event, CloseConnection)
    assert event.code == 1001
