"""Mailpit's REST API as its clients see it; expectations are written from its reference by hand."""

import hashlib
import json
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from b2b.sink.store import Arrival
from b2b.web.inbox import wire
from tests.conftest import Clock
from tests.web.inbox.conftest import Mails
from tests.web.inbox.letters import PNG, html_letter, letter, with_files

API = "/mail/api/v1"


def answer(response: TestResponse) -> Any:
    """The JSON of a good answer."""
    assert response.status_code == 200
    assert response.content_type == "application/json"
    assert response.data.endswith(b"\n")
    return json.loads(response.data)


def said(response: TestResponse) -> tuple[int, str]:
    """Status and words of an answer in plain text."""
    assert response.mimetype == "text/plain"
    return response.status_code, response.get_data(as_text=True)


def subjects(client: FlaskClient, query: str = "") -> list[str]:
    url = f"{API}/search?query={query}" if query else f"{API}/messages"
    return [mail["Subject"] for mail in answer(client.get(url))["messages"]]


# Lists --------------------------------------------------------------------------------------------


def test_an_empty_mailbox(client: FlaskClient, mails: Mails) -> None:
    assert answer(client.get(f"{API}/messages")) == {
        "total": 0,
        "unread": 0,
        "count": 0,
        "messages_count": 0,
        "messages_unread": 0,
        "start": 0,
        "tags": [],
        "messages": [],
    }


def test_a_summary_has_mailpits_keys_and_types(
    client: FlaskClient, mails: Mails, clock: Clock
) -> None:
    source = html_letter("<p>Hello <b>Sam</b></p>", "Grüße", "Good morning, Sam.")
    message_id = mails.add(source, to=("sam@contoso.example", "blind@contoso.example"))[0]
    assert answer(client.get(f"{API}/messages"))["messages"] == [
        {
            "ID": message_id,
            "MessageID": "one@woodgrove.example",
            "Read": False,
            "From": {"Name": "John Doe", "Address": "john@woodgrove.example"},
            "To": [{"Name": "", "Address": "sam@contoso.example"}],
            "Cc": [],
            "Bcc": [{"Name": "", "Address": "blind@contoso.example"}],
            "ReplyTo": [],
            "Subject": "Grüße",
            "Created": "2026-11-21T09:00:00Z",
            "Username": "",
            "Tags": [],
            "Size": len(source),
            "Attachments": 0,
            "Snippet": "Good morning, Sam.",
        }
    ]


def test_a_mail_without_sender_has_an_empty_one(client: FlaskClient, mails: Mails) -> None:
    mails.add(b"Subject: Bare\r\n\r\nBody\r\n")
    (mail,) = answer(client.get(f"{API}/messages"))["messages"]
    assert (mail["From"], mail["To"]) == ({"Name": "", "Address": ""}, [])


@pytest.mark.parametrize(
    ("query", "start", "shown"),
    [
        ("", 0, [59, 50]),
        ("?limit=3", 0, [59, 3]),
        ("?start=58", 58, [1, 2]),
        ("?limit=-1", 0, [59, 50]),
        ("?limit=many&start=x", 0, [59, 50]),
        ("?limit=0&start=5", 0, [59, 60]),
        ("?start=99999999999999999999", 0, [59, 50]),
        ("?start=1000", 1000, [None, 0]),
    ],
)
def test_start_and_limit(
    client: FlaskClient, mails: Mails, query: str, start: int, shown: list[int | None]
) -> None:
    mails.add(*(letter(f"Mail {n}") for n in range(60)))
    page = answer(client.get(f"{API}/messages{query}"))
    first, count = shown
    assert (page["start"], page["count"], len(page["messages"])) == (start, count, count)
    assert (page["total"], page["messages_count"]) == (60, 60)
    if first is not None:
        assert page["messages"][0]["Subject"] == f"Mail {first}"


def test_all_of_a_large_mailbox_comes_in_order(client: FlaskClient, mails: Mails) -> None:
    mails.store.add([Arrival("", ("sam@contoso.example",), letter(f"{n}")) for n in range(1_100)])
    page = answer(client.get(f"{API}/messages?limit=0"))
    assert [mail["Subject"] for mail in page["messages"]] == [str(n) for n in range(1099, -1, -1)]


def test_search_counts_what_matches(client: FlaskClient, mails: Mails) -> None:
    ids = mails.add(letter("Red one"), letter("Blue"), letter("Red two"))
    mails.store.mark(read=True, ids=ids[:1])
    page = answer(client.get(f"{API}/search?query=subject:red&limit=1"))
    assert [page[key] for key in ("total", "unread", "count", "messages_count")] == [3, 2, 1, 2]
    assert page["messages_unread"] == 1
    assert [mail["Subject"] for mail in page["messages"]] == ["Red two"]
    counts = answer(client.get(f"{API}/search?query=subject:red&limit=0"))
    assert (counts["messages"], counts["messages_count"]) == ([], 2)


def test_search_without_a_query_is_400(client: FlaskClient, mails: Mails) -> None:
    for url in (f"{API}/search", f"{API}/search?query=+"):
        assert said(client.get(url)) == (400, "Error: no search query")


# One message --------------------------------------------------------------------------------------


def test_a_message_has_mailpits_keys_and_types(
    client: FlaskClient, mails: Mails, clock: Clock
) -> None:
    source = html_letter('<p>Hello <img src="cid:picture"></p>', "Grüße", "Good morning.").replace(
        b"Message-ID:",
        b"List-Unsubscribe: <mailto:stop@woodgrove.example>, <https://woodgrove.example/u>\n"
        b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\n"
        b"Bcc: kept@contoso.example\nDate: Fri, 20 Nov 2026 12:30:00 +0100\nMessage-ID:",
    )
    to = ("sam@contoso.example", "kept@contoso.example", "blind@contoso.example")
    message_id = mails.add(source, to=to)[0]
    assert answer(client.get(f"{API}/message/{message_id}")) == {
        "ID": message_id,
        "MessageID": "one@woodgrove.example",
        "Read": True,
        "From": {"Name": "John Doe", "Address": "john@woodgrove.example"},
        "To": [{"Name": "", "Address": "sam@contoso.example"}],
        "Cc": [],
        "Bcc": [
            {"Name": "", "Address": "kept@contoso.example"},
            {"Name": "", "Address": "blind@contoso.example"},
        ],
        "ReplyTo": [],
        "ReturnPath": "john@woodgrove.example",
        "Subject": "Grüße",
        "ListUnsubscribe": {
            "Header": "<mailto:stop@woodgrove.example>, <https://woodgrove.example/u>",
            "Links": ["mailto:stop@woodgrove.example", "https://woodgrove.example/u"],
            "Errors": "",
            "HeaderPost": "List-Unsubscribe=One-Click",
        },
        "Date": "2026-11-20T11:30:00Z",
        "Tags": [],
        "Username": "",
        "Text": "Good morning.\n",
        "HTML": '<p>Hello <img src="cid:picture"></p>\n',
        "Size": len(source),
        "Inline": [
            {
                "PartID": "2.2",
                "FileName": "picture.png",
                "ContentType": "image/png",
                "ContentID": "picture",
                "Size": len(PNG),
                "Checksums": {
                    "MD5": hashlib.md5(PNG).hexdigest(),
                    "SHA1": hashlib.sha1(PNG).hexdigest(),
                    "SHA256": hashlib.sha256(PNG).hexdigest(),
                },
            }
        ],
        "Attachments": [],
    }


def test_attachments_are_an_array_of_a_message(client: FlaskClient, mails: Mails) -> None:
    message_id = mails.add(with_files({"notes.txt": ("text/plain", b"Notes")}))[0]
    (found,) = answer(client.get(f"{API}/message/{message_id}"))["Attachments"]
    assert (found["PartID"], found["FileName"], found["Size"]) == ("2", "notes.txt", 5)


def test_reading_marks_read_and_looking_at_parts_does_not(
    client: FlaskClient, mails: Mails
) -> None:
    ids = mails.add(*[html_letter("<p>x</p>")] * 3)
    for quiet in ("headers", "raw", "part/2.2"):
        assert client.get(f"{API}/message/{ids[0]}/{quiet}").status_code == 200
    assert client.head(f"{API}/message/{ids[0]}").status_code == 200
    assert client.head(f"/mail/view/{ids[0]}.html").status_code == 200
    assert not mails.is_read(ids[0])
    for message_id, url in zip(
        ids, (f"{API}/message/{ids[0]}", f"/mail/view/{ids[1]}.html", f"/mail/view/{ids[2]}.txt"),
        strict=True,
    ):  # fmt: skip
        assert client.get(url).status_code == 200
        assert mails.is_read(message_id)


def test_latest_is_the_newest_or_the_newest_found(client: FlaskClient, mails: Mails) -> None:
    mails.add(letter("Red"), letter("Blue"))
    assert answer(client.get(f"{API}/message/latest"))["Subject"] == "Blue"
    found = client.get(f"{API}/message/latest", query_string={"query": 'subject:"red"'})
    assert answer(found)["Subject"] == "Red"
    assert b"Subject: Blue" in client.get(f"{API}/message/latest/raw").data
    none = client.get(f"{API}/message/latest?query=green")
    assert said(none) == (404, "Message not found")


def test_headers_by_canonical_name_undecoded(client: FlaskClient, mails: Mails) -> None:
    message_id = mails.add(
        b"x-mailer: One\r\nMIME-version: 1.0\r\nmessage-id: <a@b>\r\nX-Mailer: Two\r\n"
        b"Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n folded\r\n\r\nBody\r\n"
    )[0]
    found = answer(client.get(f"{API}/message/{message_id}/headers"))
    assert found == {
        "Message-Id": ["<a@b>"],
        "Mime-Version": ["1.0"],
        "Subject": ["=?utf-8?q?Gr=C3=BC=C3=9Fe?= folded"],
        "X-Mailer": ["One", "Two"],
    }
    assert list(found) == sorted(found)


def test_raw_is_the_source_and_a_download_on_request(client: FlaskClient, mails: Mails) -> None:
    source = letter("Grüße")
    message_id = mails.add(source)[0]
    plain = client.get(f"{API}/message/{message_id}/raw")
    assert plain.data == source
    assert plain.content_type == "text/plain; charset=utf-8"
    assert "Content-Disposition" not in plain.headers
    saved = client.get(f"{API}/message/{message_id}/raw?dl=1")
    assert saved.headers["Content-Disposition"] == f"attachment; filename={message_id}.eml"


@pytest.mark.parametrize(
    ("sent", "served"),
    [
        ("image/png", "image/png"),
        ("text/html", "text/html"),
        ("application/pdf", "application/pdf"),
        ("text/javascript", "text/plain"),
        ("application/x-ecmascript", "text/plain"),
        ("text/css", "text/plain"),
    ],
)
def test_a_part_has_its_type_in_a_sandbox(
    client: FlaskClient, mails: Mails, sent: str, served: str
) -> None:
    message_id = mails.add(with_files({"Bär 1.x": (sent, b"<script>alert(1)</script>")}))[0]
    response = client.get(f"{API}/message/{message_id}/part/2")
    assert response.data == b"<script>alert(1)</script>"
    assert response.mimetype == served
    assert response.headers["Content-Disposition"] == 'inline; filename="B%C3%A4r%201.x"'
    assert response.headers["Content-Security-Policy"].startswith("sandbox ")
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_views(client: FlaskClient, mails: Mails) -> None:
    message_id = mails.add(html_letter('<img src="cid:picture"><script>1</script>'))[0]
    page = client.get(f"/mail/view/{message_id}.html")
    assert page.content_type == "text/html; charset=utf-8"
    assert page.get_data(as_text=True) == (
        f'<img src="{API}/message/{message_id}/part/2.2"><script>1</script>\n'
    )
    assert page.headers["Content-Security-Policy"].startswith("sandbox ")
    assert client.get("/mail/view/latest.html").data == page.data
    text = client.get(f"/mail/view/{message_id}.txt")
    assert (text.content_type, text.data) == ("text/plain; charset=utf-8", b"Good morning.\n")
    plain = mails.one()
    assert said(client.get(f"/mail/view/{plain}.html")) == (404, "404 page not found")
    assert client.get("/mail/view/latest").headers["Location"] == f"/mail/{plain}"


def test_a_doubled_slash_leads_to_the_view(client: FlaskClient, mails: Mails) -> None:
    message_id = mails.one()
    response = client.get(f"/mail//view/{message_id}.txt", follow_redirects=True)
    assert (response.status_code, len(response.history)) == (200, 1)


# Changes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [None, b"", b"{}", b'{"IDs": []}', b'{"IDs": null}'])
def test_delete_without_ids_deletes_everything(
    client: FlaskClient, mails: Mails, body: bytes | None
) -> None:
    mails.add(letter(), letter())
    assert said(client.delete(f"{API}/messages", data=body)) == (200, "ok")
    assert mails.store.counters().total == 0


def test_delete_by_ids_in_any_encoding(client: FlaskClient, mails: Mails) -> None:
    ids = mails.add(*(letter(f"{n}") for n in range(4)))
    assert said(client.delete(f"{API}/messages", json={"IDs": ids[:1]})) == (200, "ok")
    assert said(client.delete(f"{API}/messages", json={"ids": ids[1:2]})) == (200, "ok")
    assert said(client.delete(f"{API}/messages", data={"IDs": ids[2]})) == (200, "ok")
    assert subjects(client) == ["3"]
    assert said(client.delete(f"{API}/messages", json={"IDs": ["unknown", "a\x00"]})) == (200, "ok")
    assert subjects(client) == ["3"]


@pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b'{"IDs": "x"}', b'{"IDs": [1]}', b"\xff"])
def test_a_body_that_cannot_be_read_deletes_nothing(
    client: FlaskClient, mails: Mails, body: bytes
) -> None:
    mails.one()
    response = client.delete(f"{API}/messages", data=body, content_type="application/json")
    assert (response.status_code, response.mimetype) == (400, "text/plain")
    assert mails.store.counters().total == 1


def test_delete_what_a_search_finds(client: FlaskClient, mails: Mails) -> None:
    mails.add(letter("Red one"), letter("Red two"), letter("Blue"))
    response = client.delete(f"{API}/search?query=subject:%22red+one%22")
    assert said(response) == (200, "ok")
    assert subjects(client) == ["Blue", "Red two"]
    for query in ("", "subject:", "-"):
        refused = client.delete(f"{API}/search", query_string={"query": query})
        assert said(refused) == (400, "Error: no search query")
    assert len(subjects(client)) == 2


@pytest.mark.parametrize(
    ("body", "unread"),
    [
        ({}, ["Blue", "Red"]),
        ({"Read": True}, []),
        ({"IDs": [], "Read": True}, []),
        ({"read": True, "ids": [0]}, ["Blue"]),
        ({"Read": True, "Search": "subject:blue"}, ["Red"]),
    ],
)
def test_put_marks(
    client: FlaskClient, mails: Mails, body: dict[str, Any], unread: list[str]
) -> None:
    ids = mails.add(letter("Red"), letter("Blue"))
    chosen = {
        name: [ids[at] for at in value] if isinstance(value, list) else value
        for name, value in body.items()
    }
    assert said(client.put(f"{API}/messages", json=chosen)) == (200, "ok")
    assert subjects(client, "is:unread") == unread


@pytest.mark.parametrize(
    "body",
    [
        {"IDs": ["x"], "Search": "y"},
        {"Read": "yes"},
        {"Search": ["x"]},
        {"Search": "subject:", "Read": True},
        {"Search": "before:", "Read": True},
    ],
)
def test_put_refuses_what_it_cannot_mean(
    client: FlaskClient, mails: Mails, body: dict[str, Any]
) -> None:
    mails.one()
    response = client.put(f"{API}/messages", json=body)
    assert (response.status_code, response.mimetype) == (400, "text/plain")
    assert mails.store.counters().unread == 1


# Around -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:8080"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_site_changes_nothing(
    client: FlaskClient, mails: Mails, headers: dict[str, str]
) -> None:
    mails.one()
    for method, url in (
        ("DELETE", "messages"),
        ("DELETE", "search?query=hello"),
        ("PUT", "messages"),
    ):
        response = client.open(
            f"{API}/{url}", method=method, headers=headers, base_url="http://localhost:5000"
        )
        assert response.status_code == 403
        assert not [name for name, _ in response.headers if name.startswith("Access-Control")]
    counters = mails.store.counters()
    assert (counters.total, counters.unread) == (1, 1)


def test_a_foreign_host_is_refused(client: FlaskClient, mails: Mails) -> None:
    mails.one("Secret")
    for method in ("GET", "DELETE"):
        response = client.open(f"{API}/messages", method=method, base_url="http://evil.example")
        assert response.status_code == 400
        assert b"Secret" not in response.data
    assert mails.store.counters().total == 1


def test_unknown_ids_and_paths_in_plain_words(client: FlaskClient, mails: Mails) -> None:
    known = mails.one()
    unknown = "0" * 22
    for url in (
        *(f"{API}/message/{unknown}{more}" for more in ("", "/headers", "/raw", "/part/1")),
        f"{API}/message/{known}/part/9",
        f"{API}/message/%00{unknown[1:]}",
        f"{API}/nothing",
        f"{API}/messages/",
        f"/mail/view/{unknown}",
        f"/mail/view/{unknown}.html",
        f"/mail/view/{unknown}.txt",
    ):
        assert said(client.get(url)) == (404, "404 page not found")


def test_a_method_that_is_not_routed_is_405(client: FlaskClient, mails: Mails) -> None:
    response = client.post(f"{API}/messages")
    assert said(response) == (405, "Method Not Allowed")
    assert "DELETE" in response.headers["Allow"]


def test_too_large_a_body_is_refused_in_plain_words(client: FlaskClient, mails: Mails) -> None:
    mails.one()
    response = client.delete(f"{API}/messages", data=b" " * (2 * 1024 * 1024))
    assert (response.status_code, response.mimetype) == (413, "text/plain")
    assert mails.store.counters().total == 1


def test_info_and_health(client: FlaskClient, mails: Mails) -> None:
    mails.add(letter(), letter())
    info = answer(client.get(f"{API}/info"))
    assert (info["Messages"], info["Unread"], info["Tags"]) == (2, 2, {})
    assert info["LatestVersion"] == "disabled"
    assert info["Database"] == "mail.sqlite3"
    assert info["DatabaseSize"] > 0
    assert set(info["RuntimeStats"]) == {
        "Uptime",
        "Memory",
        "MessagesDeleted",
        "SMTPAccepted",
        "SMTPAcceptedSize",
        "SMTPRejected",
        "SMTPIgnored",
    }
    assert all(isinstance(value, int) for value in info["RuntimeStats"].values())
    for url in ("/mail/livez", "/mail/readyz"):
        assert said(client.get(url)) == (200, "")


@pytest.mark.parametrize(
    ("microseconds", "written"),
    [(0, "09:00:00Z"), (120_000, "09:00:00.12Z"), (1_900, "09:00:00.001Z")],
)
def test_times_are_cut_to_what_they_say(clock: Clock, microseconds: int, written: str) -> None:
    at = clock.now.replace(microsecond=microseconds)
    assert wire.instant(at) == f"2026-11-21T{written}"
