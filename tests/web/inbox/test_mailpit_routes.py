"""Mailpit's other routes: tags, send, release, checks, thumbnails, and what the server says."""

import base64
import io
import socket
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from flask import Flask
from flask.testing import FlaskClient
from PIL import Image

from b2b.sink import message as messages
from tests.web.inbox.conftest import Mails
from tests.web.inbox.letters import PNG, html_letter, letter, with_files
from tests.web.inbox.test_inbox_api import API, answer, said

# Tags ---------------------------------------------------------------------------------------------


def test_tags_are_set_renamed_and_taken_away(client: FlaskClient, mails: Mails) -> None:
    first, second = mails.add(letter("First"), letter("Second"))
    body = {"IDs": [first, second], "Tags": ["Zoo", "my tag!", "a.b@c"]}
    assert said(client.put(f"{API}/tags", json=body)) == (200, "ok")
    assert answer(client.get(f"{API}/tags")) == ["a.b@c", "my tag", "Zoo"]
    assert answer(client.get(f"{API}/message/{first}"))["Tags"] == ["a.b@c", "my tag", "Zoo"]
    assert said(client.put(f"{API}/tags", json={"IDs": [second], "Tags": ["zoo"]})) == (200, "ok")
    found = answer(client.get(f"{API}/search?query=tag:ZOO"))
    assert [mail["Subject"] for mail in found["messages"]] == ["Second", "First"]
    assert found["tags"] == ["a.b@c", "my tag", "Zoo"]
    assert answer(client.get(f"{API}/info"))["Tags"] == {"a.b@c": 1, "my tag": 1, "Zoo": 2}
    assert said(client.put(f"{API}/tags/my%20tag", json={"Name": "zoo"})) == (200, "ok")
    assert answer(client.get(f"{API}/message/{first}"))["Tags"] == ["a.b@c", "Zoo"]
    assert said(client.put(f"{API}/tags/a.b%40c", json={"name": "Neu"})) == (200, "ok")
    assert said(client.delete(f"{API}/tags/zoo")) == (200, "ok")
    assert answer(client.get(f"{API}/tags")) == ["Neu"]
    assert said(client.put(f"{API}/tags", json={"IDs": [first], "Tags": []})) == (200, "ok")
    assert answer(client.get(f"{API}/tags")) == []
    assert answer(client.get(f"{API}/messages"))["total"] == 2


def test_tags_that_are_none(client: FlaskClient, mails: Mails) -> None:
    message_id = mails.one()
    for body in ({"IDs": [message_id], "Tags": ["!!!"]}, {"IDs": [message_id], "Tags": "x"}):
        assert said(client.put(f"{API}/tags", json=body))[0] == 400
    assert said(client.put(f"{API}/tags/x", json={})) == (400, "Name is missing.")
    assert said(client.put(f"{API}/tags/x", json={"Name": "y"}))[0] == 404
    assert said(client.delete(f"{API}/tags/x"))[0] == 404


def test_tags_that_a_mail_brings_along(client: FlaskClient, mails: Mails) -> None:
    mails.add(letter("Tagged", to="sam+trial@contoso.example", X_Tags="Blue, two words"))
    assert answer(client.get(f"{API}/tags")) == ["Blue", "trial", "two words"]


# Send ---------------------------------------------------------------------------------------------


def test_a_mail_is_put_in(client: FlaskClient, mails: Mails) -> None:
    asked = {
        "From": {"Email": "john@woodgrove.example", "Name": "John Döe"},
        "To": [{"Email": "sam@contoso.example", "Name": "Sam"}],
        "Cc": [{"Email": "ada@contoso.example"}],
        "Bcc": ["blind@contoso.example"],
        "ReplyTo": [{"Email": "help@woodgrove.example"}],
        "Subject": "Grüße",
        "Text": "Your code: 482917",
        "HTML": '<p>Your code: <b>482917</b> <img src="cid:logo"></p>',
        "Headers": {"X-Test": "yes"},
        "Tags": ["one", "two"],
        "Attachments": [
            {"Content": base64.b64encode(b"hello").decode(), "Filename": "a.txt"},
            {
                "Content": "data:image/png;base64," + base64.b64encode(PNG).decode(),
                "FileName": "logo.png",
                "ContentID": "logo",
            },
        ],
    }
    made = answer(client.post(f"{API}/send", json=asked, auth=("tester", "any")))
    mail = answer(client.get(f"{API}/message/{made['ID']}"))
    assert mail["From"] == {"Name": "John Döe", "Address": "john@woodgrove.example"}
    assert mail["To"] == [{"Name": "Sam", "Address": "sam@contoso.example"}]
    assert mail["Cc"] == [{"Name": "", "Address": "ada@contoso.example"}]
    assert mail["Bcc"] == [{"Name": "", "Address": "blind@contoso.example"}]
    assert mail["ReplyTo"] == [{"Name": "", "Address": "help@woodgrove.example"}]
    assert (mail["Subject"], mail["Text"].strip()) == ("Grüße", "Your code: 482917")
    assert "<b>482917</b>" in mail["HTML"]
    assert mail["Tags"] == ["one", "two"]
    assert mail["Username"] == "tester"
    files = [(one["FileName"], one["ContentType"], one["Size"]) for one in mail["Attachments"]]
    assert files == [("a.txt", "text/plain", 5)]
    inline = [(one["FileName"], one["ContentID"], one["Size"]) for one in mail["Inline"]]
    assert inline == [("logo.png", "logo", len(PNG))]
    headers = answer(client.get(f"{API}/message/{made['ID']}/headers"))
    assert headers["X-Test"] == ["yes"]
    assert headers["X-Tags"] == ["one, two"]


def test_empty_optional_fields_are_as_good_as_none(client: FlaskClient, mails: Mails) -> None:
    asked: dict[str, Any] = {
        "From": {"Email": "a@b.example", "Name": ""}, "To": [{"Email": "c@d.example"}],
        "Cc": [], "Bcc": [], "ReplyTo": [], "Headers": {}, "Tags": [], "Attachments": [],
        "Subject": "", "Text": "", "HTML": "",
    }  # fmt: skip
    assert answer(client.post(f"{API}/send", json=asked))["ID"]


@pytest.mark.parametrize(
    "change",
    [
        {"From": None},
        {"From": {"Email": "nobody"}},
        {"To": [{"Email": "a@b.example\r\nBcc: x@y.example"}]},
        {"Bcc": [{"Email": "a@b.example"}]},
        {"Attachments": [{"Content": "!!!", "Filename": "a"}]},
        {"Headers": {"To": "x@y.example"}},
        {"Headers": {"X-Odd": "a\r\nBcc: x@y.example"}},
        {"Headers": {"Bad name": "x"}},
        {"Headers": {"X-Tags": "x"}, "Tags": ["y"]},
        {"Subject": 5},
    ],
)
def test_what_is_no_mail_is_refused_as_json(
    client: FlaskClient, mails: Mails, change: dict[str, Any]
) -> None:
    asked = {"From": {"Email": "a@b.example"}, "To": [{"Email": "c@d.example"}]} | change
    response = client.post(f"{API}/send", json=asked)
    assert response.status_code == 400
    assert response.json is not None
    assert list(response.json) == ["Error"]
    assert mails.store.counters().total == 0


# Release ------------------------------------------------------------------------------------------


def test_nothing_is_released_unless_a_server_is_configured(
    client: FlaskClient, mails: Mails
) -> None:
    response = client.post(
        f"{API}/message/{mails.one()}/release", json={"To": ["sam@contoso.example"]}
    )
    assert response.status_code == 400
    assert answer(client.get(f"{API}/webui"))["MessageRelay"]["Enabled"] is False


class _Taker:
    def __init__(self) -> None:
        self.got: list[tuple[str, list[str], bytes]] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.got.append((envelope.mail_from, envelope.rcpt_tos, envelope.original_content))
        return "250 OK"


def test_a_mail_is_released_unchanged_to_the_server_that_is_configured(
    app: Flask, client: FlaskClient, mails: Mails
) -> None:
    message_id = mails.one("Out")
    taker = _Taker()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    controller = Controller(taker, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        app.config["RELEASE_SERVER"] = f"smtp://127.0.0.1:{port}"
        url = f"{API}/message/{message_id}/release"
        assert said(client.post(url, json={"To": []}))[0] == 400
        assert said(client.post(url, json={"To": ["no address"]}))[0] == 400
        assert said(client.post(url, json={"To": ["real@contoso.example"]})) == (200, "ok")
    finally:
        controller.stop()
    sender, people, source = taker.got[0]
    assert (sender, people) == ("john@woodgrove.example", ["real@contoso.example"])
    assert messages.read(source).subject == "Out"
    assert said(client.post(url, json={"To": ["real@contoso.example"]}))[0] == 400  # it is gone


# Checks -------------------------------------------------------------------------------------------


def test_the_html_check_has_mailpits_shape(client: FlaskClient, mails: Mails) -> None:
    html = '<p style="display:flex">x</p><svg></svg>'
    found = answer(client.get(f"{API}/message/{mails.add(html_letter(html))[0]}/html-check"))
    assert set(found) == {"Total", "Platforms", "Warnings"}
    assert set(found["Total"]) == {"Tests", "Nodes", "Supported", "Partial", "Unsupported"}
    total = found["Total"]
    assert total["Supported"] + total["Partial"] + total["Unsupported"] == pytest.approx(100)
    assert [warning["Slug"] for warning in found["Warnings"]] == ["html-svg", "css-display-flex"]
    warning = found["Warnings"][0]
    assert (warning["Category"], warning["Score"]["Found"]) == ("html", 1)
    assert {"Name", "Platform", "Family", "Version", "Support", "NoteNumber"} == set(
        warning["Results"][0]
    )
    assert "Apple Mail" in found["Platforms"]
    assert said(client.get(f"{API}/message/{mails.one()}/html-check"))[0] == 400


def test_links_are_checked_by_their_shape_alone(client: FlaskClient, mails: Mails) -> None:
    """BOX-4: nobody is called; a canary that is never hit stands in the browser's test."""
    with socket.socket() as canary:
        canary.bind(("127.0.0.1", 0))
        canary.listen()
        canary.settimeout(0.3)
        url = f"http://127.0.0.1:{canary.getsockname()[1]}/x"
        html = f'<a href="{url}">x</a><a href="{url}">again</a><img src="https://[x">'
        message_id = mails.add(html_letter(html))[0]
        found = answer(client.get(f"{API}/message/{message_id}/link-check?follow=true"))
        with pytest.raises(TimeoutError):
            canary.accept()
    assert found["Errors"] == 1
    assert [(link["URL"], link["StatusCode"]) for link in found["Links"]] == [
        (url, 200),
        ("https://[x", 0),
    ]


def test_a_thumbnail_is_a_small_jpeg(client: FlaskClient, mails: Mails) -> None:
    big = io.BytesIO()
    Image.new("RGB", (900, 300), "red").save(big, "PNG")
    files = {
        "big.png": ("image/png", big.getvalue()),
        "lie.png": ("image/png", b"<svg/>"),
        "a.txt": ("text/plain", b"x"),
    }
    message_id = mails.add(with_files(files))[0]
    pictures = []
    for part in ("2", "3", "4"):
        response = client.get(f"{API}/message/{message_id}/part/{part}/thumb")
        assert (response.status_code, response.mimetype) == (200, "image/jpeg")
        pictures.append(Image.open(io.BytesIO(response.data)))
    assert [picture.size for picture in pictures] == [(180, 120)] * 3
    middles = [picture.getpixel((90, 60)) for picture in pictures]
    assert middles[0][0] > 200 > 60 > middles[0][1]  # type: ignore[index, operator]
    assert middles[1:] == [(255, 255, 255)] * 2
    assert said(client.get(f"{API}/message/{message_id}/part/9/thumb"))[0] == 400


# Around -------------------------------------------------------------------------------------------


def test_what_is_switched_off_can_be_told(client: FlaskClient, mails: Mails) -> None:
    assert said(client.get(f"{API}/message/{mails.one()}/sa-check"))[0] == 404


def test_the_server_describes_itself(client: FlaskClient, mails: Mails) -> None:
    found = answer(client.get(f"{API}/swagger.json"))
    assert (found["swagger"], found["basePath"]) == ("2.0", "/mail")
    assert set(found["paths"]["/api/v1/message/{message_id}"]) == {"get"}
    assert set(found["paths"]["/api/v1/tags/{tag}"]) == {"put", "delete"}


def test_mail_by_smtp_is_counted_and_so_is_what_went(client: FlaskClient, mails: Mails) -> None:
    first, _ = mails.add(letter("One"), letter("Two"))
    client.delete(f"{API}/messages", json={"IDs": [first]})
    stats = answer(client.get(f"{API}/info"))["RuntimeStats"]
    assert (stats["SMTPAccepted"], stats["MessagesDeleted"]) == (2, 1)
    assert stats["SMTPAcceptedSize"] > 0
