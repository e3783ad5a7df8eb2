"""Webhooks: signed, tried again, and kept away from other machines."""

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from flask import Flask
from flask.testing import FlaskClient

from b2b import inbox_webhooks
from tests.conftest import Clock
from tests.web.inbox.conftest import Mails
from tests.web.inbox.letters import letter
from tests.web.inbox.test_inbox_v2 import ask


class Hooked:
    """A program that is told of mail; `answers` are its next statuses, 204 when there is none."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        self.url = ""

    def subjects(self) -> list[str]:
        return [json.loads(body)["message"]["subject"] for _, body in self.got]


@pytest.fixture
def hooked() -> Iterator[Hooked]:
    told = Hooked()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told.got.append((dict(self.headers), body))
            self.send_response(told.answers.pop(0) if told.answers else 204)
            self.send_header("Location", "/elsewhere")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_port}/told?by=inbox"
    yield told
    server.shutdown()
    thread.join(10)
    server.server_close()


def tell(app: Flask, mails: Mails) -> int:
    with app.app_context():
        return inbox_webhooks.one_round(mails.store, app.config["WEBHOOK_HOSTS"])


def test_new_mail_is_told_once_and_signed(
    app: Flask, client: FlaskClient, mails: Mails, hooked: Hooked
) -> None:
    mails.one("Before")
    status, made = ask(client, "/webhooks", "POST", json={"url": hooked.url})
    assert status == 201
    mails.add(letter("First"), letter("Second"))
    assert tell(app, mails) == 2
    assert tell(app, mails) == 0
    assert hooked.subjects() == ["First", "Second"]
    headers, body = hooked.got[0]
    said = dict(part.split("=") for part in headers["X-Inbox-Signature"].split(","))
    signed = f"{said['t']}.".encode() + body
    expected = hmac.new(made["secret"].encode(), signed, hashlib.sha256).hexdigest()
    assert said["v1"] == expected
    assert headers["X-Inbox-Event"] == "message"
    shown = ask(client, f"/webhooks/{made['id']}")[1]
    assert "secret" not in shown
    assert [one["state"] for one in shown["deliveries"]] == ["sent", "sent"]
    with mails.store.reading() as connection:
        kept = connection.exec_driver_sql("SELECT secret FROM webhooks").scalar_one()
    assert made["secret"] not in kept


def test_only_what_the_query_finds_is_told(
    app: Flask, client: FlaskClient, mails: Mails, hooked: Hooked
) -> None:
    ask(client, "/webhooks", "POST", json={"url": hooked.url, "query": "subject:code"})
    mails.add(letter("Hello"), letter("Your code"))
    tell(app, mails)
    assert hooked.subjects() == ["Your code"]


def test_what_is_not_taken_is_told_again_later(
    app: Flask, client: FlaskClient, mails: Mails, hooked: Hooked, clock: Clock
) -> None:
    made = ask(client, "/webhooks", "POST", json={"url": hooked.url})[1]
    hooked.answers = [500, 302, 200]
    mails.one("Again")
    assert tell(app, mails) == 1
    assert tell(app, mails) == 0  # not yet
    clock.advance(seconds=1)
    assert tell(app, mails) == 1
    clock.advance(seconds=4)
    assert tell(app, mails) == 1
    assert len({body for _, body in hooked.got}) == 1
    assert len({headers["X-Inbox-Delivery"] for headers, _ in hooked.got}) == 1
    [told] = ask(client, f"/webhooks/{made['id']}")[1]["deliveries"]
    assert (told["state"], told["attempts"], told["lastStatus"]) == ("sent", 3, 200)


def test_trying_ends(
    app: Flask, client: FlaskClient, mails: Mails, hooked: Hooked, clock: Clock
) -> None:
    made = ask(client, "/webhooks", "POST", json={"url": hooked.url})[1]
    hooked.answers = [503] * 20
    mails.one()
    for _ in range(10):
        tell(app, mails)
        clock.advance(hours=1)
    [told] = ask(client, f"/webhooks/{made['id']}")[1]["deliveries"]
    assert (told["state"], told["attempts"], told["lastError"]) == ("failed", 8, "It answered 503.")
    assert ask(client, f"/webhooks/{made['id']}", "DELETE") == (200, {"deleted": True})
    assert ask(client, "/webhooks")[1] == {"webhooks": []}
    assert ask(client, f"/webhooks/{made['id']}", "DELETE")[0] == 404


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/x",
        "http://169.254.169.254/latest/meta-data",
        "http://10.0.0.1/",
        "http://localhost.evil.example/",
        "http://user@localhost/",
        "ftp://localhost/",
        "http://localhost:99999/",
        "http://localhost/a b",
        "http://localhost/\r\nX: y",
        "localhost",
        "",
        5,
    ],
)
def test_no_other_machine_is_called(client: FlaskClient, mails: Mails, url: object) -> None:
    """BOX-4: whoever reaches the inbox sends no requests from here to anywhere."""
    assert ask(client, "/webhooks", "POST", json={"url": url})[0] == 400
    assert ask(client, "/webhooks")[1] == {"webhooks": []}


def test_a_host_that_is_named_may_be_called_until_it_is_not(
    app: Flask, client: FlaskClient, mails: Mails
) -> None:
    """BOX-4."""
    app.config["WEBHOOK_HOSTS"] = ["hooks.invalid"]
    made = ask(client, "/webhooks", "POST", json={"url": "https://hooks.invalid/x"})[1]
    app.config["WEBHOOK_HOSTS"] = []
    mails.one()
    tell(app, mails)
    [told] = ask(client, f"/webhooks/{made['id']}")[1]["deliveries"]
    assert "may not be called" in told["lastError"]


def test_a_hook_that_cannot_be_is_refused(client: FlaskClient, mails: Mails) -> None:
    for more in ({"secret": "short"}, {"query": '"open'}, {"query": 5}):
        body = {"url": "http://localhost:1/", **more}
        assert ask(client, "/webhooks", "POST", json=body)[0] == 400
