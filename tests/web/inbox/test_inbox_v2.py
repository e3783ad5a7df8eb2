"""Our own API of the mailbox: waiting, peeking, one mailbox a test, events."""

import json
import socket
import threading
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from b2b import clock as clock_module
from b2b.web import parking
from tests.conftest import Clock
from tests.web.inbox.conftest import Mails
from tests.web.inbox.letters import html_letter, letter

API = "/mail/api/v2"
LINK = "http://localhost:5000/redeem?rd=http%3a%2f%2flocalhost"


def ask(client: FlaskClient, path: str, method: str = "GET", **options: Any) -> tuple[int, Any]:
    """Status and JSON of an answer."""
    response = client.open(f"{API}{path}", method=method, **options)
    assert response.mimetype == "application/json", response.data
    return response.status_code, json.loads(response.data)


class Waiting:
    """A request whose connection the server has put aside, and what comes on it."""

    def __init__(self, client: FlaskClient, path: str, **query: Any) -> None:
        self.ours, self._theirs = socket.socketpair()
        self.ours.settimeout(5)
        with pytest.raises(parking.Parked):
            client.get(
                f"{API}{path}",
                query_string=query,
                environ_overrides={"gunicorn.socket": self._theirs},
            )
        assert parking.was_given(self._theirs)
        self._seen = b""

    def until(self, mark: bytes) -> bytes:
        """All that came up to *mark*."""
        while mark not in self._seen:
            data = self.ours.recv(65536)
            assert data, self._seen
            self._seen += data
        return self._seen

    def answer(self) -> tuple[int, Any]:
        """The whole answer of a long poll: status and JSON."""
        while data := self.ours.recv(65536):
            self._seen += data
        self.ours.close()
        head, _, body = self._seen.partition(b"\r\n\r\n")
        assert b"\r\nConnection: close" in head
        assert b"\r\nX-Content-Type-Options: nosniff" in head
        assert f"Content-Length: {len(body)}".encode() in head
        return int(head.split()[1]), json.loads(body)


@pytest.fixture(autouse=True)
def _nobody_is_left_waiting() -> Any:
    yield
    parking.close_all()


# Looking ------------------------------------------------------------------------------------------


def test_a_mail_comes_whole_and_stays_unread(client: FlaskClient, mails: Mails) -> None:
    html = f'<a href="{LINK}">Get Started</a> <a href="https://x.example/">More</a>'
    source = html_letter(html, "Hello", "Your code: 4829 1706\n")
    message_id = mails.add(source, to=("sam@contoso.example", "blind@contoso.example"))[0]
    status, mail = ask(client, f"/messages/{message_id}")
    assert status == 200
    assert mail["receivedAt"] == "2026-11-21T09:00:00.000000Z" or mail["receivedAt"].endswith("Z")
    assert mail["envelope"] == {
        "from": "john@woodgrove.example",
        "to": ["sam@contoso.example", "blind@contoso.example"],
    }
    assert mail["from"] == {"name": "John Doe", "address": "john@woodgrove.example"}
    assert mail["codes"] == ["48291706"]
    assert mail["links"] == [
        {"url": LINK, "text": "Get Started", "kind": "invitation"},
        {"url": "https://x.example/", "text": "More", "kind": "web"},
    ]
    assert {"name": "Subject", "value": "Hello"} in mail["headers"]
    assert [(one["name"], one["isInline"]) for one in mail["attachments"]] == [
        ("picture.png", True)
    ]
    assert client.get(mail["attachments"][0]["url"]).mimetype == "image/png"
    assert not mails.is_read(message_id)
    ask(client, f"/messages/{message_id}?markRead=true")
    assert mails.is_read(message_id)
    assert ask(client, f"/messages/{'A' * 22}")[0] == 404


def test_an_address_means_exactly_that_address(client: FlaskClient, mails: Mails) -> None:
    mails.add(letter("Sam"), to=("sam@contoso.example",))
    mails.add(letter("Adsam"), to=("adsam@contoso.example",))
    mails.add(letter("Other"), to=("sam@contoso.example.org",))

    def found(**query: str) -> list[str]:
        answer = ask(client, "/messages", query_string=query)[1]
        return [mail["subject"] for mail in answer["messages"]]

    assert found(to="SAM@contoso.example") == ["Sam"]
    assert found(to="@contoso.example") == ["Adsam", "Sam"]
    assert found(to="@contoso.example", subject="ads") == ["Adsam"]
    assert found(**{"from": "john@woodgrove.example"}) == ["Other", "Adsam", "Sam"]
    assert found(query="-to:adsam@contoso.example other") == ["Other"]
    assert ask(client, "/messages?to=sam@contoso.example", "DELETE") == (200, {"deleted": 1})
    assert ask(client, "/messages", "DELETE")[0] == 400
    assert ask(client, "/messages?all=true", "DELETE") == (200, {"deleted": 2})


def test_pages_go_by_cursor(client: FlaskClient, mails: Mails) -> None:
    mails.add(*(letter(f"No {n}") for n in range(5)))
    subjects, cursor = [], ""
    while cursor is not None:
        page = ask(client, f"/messages?limit=2&cursor={cursor}")[1]
        subjects += [mail["subject"] for mail in page["messages"]]
        cursor = page["next"]
    assert subjects == ["No 4", "No 3", "No 2", "No 1", "No 0"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/messages?to=sam", "BadRequest"),
        ("/messages?to=a@b%22c", "BadRequest"),
        ("/messages?query=%22open", "BadQuery"),
        ("/messages?after=yesterday", "BadRequest"),
        ("/messages?limit=many", "BadRequest"),
        ("/messages?mailbox=nowhere", "BadRequest"),
        ("/messages/wait?timeout=500", "BadRequest"),
        ("/messages/wait?timeout=soon", "BadRequest"),
        ("/messages/none?before=2099-01-01", "BadRequest"),
        ("/mailboxes/nowhere", "NotFound"),
    ],
)
def test_what_cannot_be_read_is_refused_in_json(
    client: FlaskClient, mails: Mails, path: str, code: str
) -> None:
    status, answer = ask(client, path)
    assert status in (400, 404)
    assert answer["error"]["code"] == code
    assert answer["error"]["message"]


def test_another_site_changes_nothing(client: FlaskClient, mails: Mails) -> None:
    """BOX-3."""
    mails.one()
    for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        for path, method in (("/messages?all=true", "DELETE"), ("/mailboxes", "POST")):
            response = client.open(f"{API}{path}", method=method, headers=headers)
            assert response.status_code == 403
    assert mails.store.counters().total == 1


# Waiting ------------------------------------------------------------------------------------------


def test_a_mail_that_is_there_is_answered_at_once(client: FlaskClient, mails: Mails) -> None:
    mails.add(letter("Older"), letter("Newer"))
    status, mail = ask(client, "/messages/wait?to=sam@contoso.example&timeout=0")
    assert (status, mail["subject"]) == (200, "Newer")
    status, answer = ask(client, "/messages/wait?to=eve@contoso.example&timeout=0")
    assert (status, answer["error"]["code"]) == (404, "NothingCame")


def test_a_mail_that_comes_while_somebody_waits_ends_the_wait(
    client: FlaskClient, mails: Mails
) -> None:
    waiting = Waiting(client, "/messages/wait", to="sam@contoso.example", subject="code")
    mails.add(letter("Code"), to=("eve@contoso.example",))
    mails.one("Hello")
    message_id = mails.one("Your code", "482917")
    status, mail = waiting.answer()
    assert (status, mail["id"], mail["codes"]) == (200, message_id, ["482917"])


def test_the_words_of_a_mail_are_waited_for(client: FlaskClient, mails: Mails) -> None:
    waiting = Waiting(client, "/messages/wait", query='"get started"')
    message_id = mails.one("Hello", "Now get started.")
    assert waiting.answer()[1]["id"] == message_id


def test_a_wait_ends(client: FlaskClient, mails: Mails) -> None:
    status, answer = Waiting(client, "/messages/wait", timeout="0.1").answer()
    assert (status, answer["error"]["code"]) == (404, "NothingCame")


def test_a_server_that_keeps_its_connections_lets_the_thread_wait(
    client: FlaskClient, mails: Mails
) -> None:
    later = threading.Timer(0.1, lambda: mails.one("Late"))
    later.start()
    assert ask(client, "/messages/wait?timeout=5")[1]["subject"] == "Late"
    later.join()
    assert ask(client, "/messages/wait?timeout=0.1&subject=never")[0] == 404


def test_nothing_was_sent_between_two_instants(
    client: FlaskClient, mails: Mails, clock: Clock
) -> None:
    mails.one("At nine")
    arrived = mails.store.list().messages[0].received_at

    def asked(to: str, minutes: float, until: float) -> tuple[int, Any]:
        span = {
            "after": (arrived.timestamp() + minutes * 60),
            "before": (arrived.timestamp() + until * 60),
        }
        instants = {
            name: clock_module.now().fromtimestamp(at, arrived.tzinfo).isoformat()
            for name, at in span.items()
        }
        return ask(client, "/messages/none", query_string={"to": to, **instants})

    clock.advance(hours=1)
    assert asked("sam@contoso.example", 1, 30) == (200, {"nothing": True, "messages": []})
    status, answer = asked("sam@contoso.example", -1, 1)
    assert (status, answer["nothing"]) == (200, False)
    assert [mail["subject"] for mail in answer["messages"]] == ["At nine"]
    assert asked("eve@contoso.example", -1, 1)[1]["nothing"] is True


def test_nothing_comes_until_an_instant_ahead(client: FlaskClient, mails: Mails) -> None:
    now = clock_module.now().timestamp()
    ahead = clock_module.now().fromtimestamp(now + 60, clock_module.now().tzinfo).isoformat()
    waiting = Waiting(client, "/messages/none", to="sam@contoso.example", before=ahead)
    mails.one("Unwanted")
    status, answer = waiting.answer()
    assert (status, answer["nothing"]) == (200, False)


def test_events_stream(client: FlaskClient, mails: Mails) -> None:
    waiting = Waiting(client, "/events")
    start = waiting.until(b"from now on\n\n")
    assert b"Content-Type: text/event-stream" in start
    assert b"Content-Length" not in start
    message_id = mails.one("Streamed")
    text = waiting.until(b"event: counters").decode()
    assert "event: message\ndata: {" in text
    assert message_id in text
    mails.store.mark(read=True, ids=[message_id])
    waiting.until(f'event: read\ndata: {{"id": "{message_id}"}}\n\n'.encode())
    mails.store.delete()
    waiting.until(b"event: emptied\ndata: {}\n\n")
    waiting.ours.close()


# Mailboxes ----------------------------------------------------------------------------------------


def test_each_test_has_a_mailbox_of_its_own(client: FlaskClient, mails: Mails) -> None:
    status, first = ask(client, "/mailboxes", "POST")
    assert status == 201
    assert first["address"] == f"guest@{first['domain']}"
    second = ask(client, "/mailboxes", "POST", json={"name": "Sign-Up"})[1]
    assert (second["name"], second["domain"]) == ("sign-up", "sign-up.mailbox.example")
    mails.add(letter("Mine"), to=(f"sam@{first['domain']}",))
    mails.add(letter("Yours"), to=("sam@sign-up.mailbox.example",))
    found = ask(client, f"/messages?mailbox={first['name']}")[1]["messages"]
    assert [mail["subject"] for mail in found] == ["Mine"]
    assert ask(client, "/messages/wait?mailbox=sign-up&timeout=0")[1]["subject"] == "Yours"
    assert ask(client, "/mailboxes/sign-up")[1]["unread"] == 1
    names = [one["name"] for one in ask(client, "/mailboxes")[1]["mailboxes"]]
    assert sorted(names) == sorted([first["name"], "sign-up"])
    assert ask(client, "/mailboxes/sign-up", "DELETE") == (200, {"deleted": 1})
    assert ask(client, "/mailboxes/sign-up")[0] == 404
    assert mails.store.counters().total == 1


def test_a_mailbox_may_be_a_search(client: FlaskClient, mails: Mails) -> None:
    made = ask(client, "/mailboxes", "POST", json={"name": "codes", "query": "subject:code"})[1]
    assert (made["domain"], made["query"]) == (None, "subject:code")
    mails.one("Your code")
    mails.one("Hello")
    assert ask(client, "/mailboxes/codes")[1]["total"] == 1
    for body in ({"name": "codes"}, {"name": "a b"}, {"query": '"open'}, {"name": 5}):
        assert ask(client, "/mailboxes", "POST", json=body)[0] == 400


# What it can do -----------------------------------------------------------------------------------


def test_the_document_names_every_route_and_its_parameters(app: Flask, mails: Mails) -> None:
    document = ask(app.test_client(), "/openapi.json")[1]
    assert document["openapi"] == "3.1.0"
    paths = {
        rule.rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith("inbox_api")
    }
    assert len(document["paths"]) == len(paths)
    wait = document["paths"]["/mail/api/v2/messages/wait"]["get"]
    assert {"to", "subject", "timeout", "mailbox"} <= {one["name"] for one in wait["parameters"]}
    assert "/mail/api/v2/messages/{message_id}" in document["paths"]


def test_an_answer_has_what_the_document_promises(client: FlaskClient, mails: Mails) -> None:
    document = ask(client, "/openapi.json")[1]
    schemas = document["components"]["schemas"]
    mail = ask(client, f"/messages/{mails.add(html_letter('<p>x</p>'))[0]}")[1]
    promised = set(schemas["Summary"]["required"]) | set(schemas["Message"]["allOf"][1]["required"])
    assert set(mail) == promised
    listed = ask(client, "/messages")[1]["messages"][0]
    assert set(listed) == set(schemas["Summary"]["required"])
