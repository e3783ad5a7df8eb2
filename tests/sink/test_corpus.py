"""Whatever comes over SMTP is caught, listed and opened."""

import smtplib

import pytest
from flask.testing import FlaskClient

from b2b import create_app
from b2b.sink import refusals
from b2b.web.inbox.pages import TABS
from config import Config
from tests.sink.corpus import mails, refused_mails
from tests.sink.correspondents import RunningSink, until

PATHS = (
    *(f"/mail/{{id}}?tab={tab}" for tab in TABS),
    "/mail/{id}/source",
    "/mail/api/v1/message/{id}",
    "/mail/api/v1/message/{id}/headers",
    "/mail/api/v1/message/{id}/raw",
    "/mail/api/v2/messages/{id}",
    "/mail/view/{id}.txt",
)
# They may say that there is no HTML.
MAYBE = (
    "/mail/{id}/html",
    "/mail/view/{id}.html",
    "/mail/api/v1/message/{id}/html-check",
)


def test_the_corpus_is_large_and_has_no_mail_twice() -> None:
    names = [name for name, _ in mails()]
    assert len(names) == len(set(names))
    assert len(names) >= 150


def test_each_class_of_defect_is_in_the_corpus() -> None:
    """SMTP-2: those that are asked for by name."""
    found = dict(mails())
    assert not found["end boundary missing"].rstrip().endswith(b"--")
    assert found["a hundred thousand parts"].count(b"--b\r\n") == 100_000
    assert found["deeply nested"].count(b"boundary=") == 999
    assert found["no headers"] == b"just text\r\n"
    assert b"\r\n\r\n" not in found["no body"]
    assert len(found["a huge header"]) > 500_000
    assert b"\x00" in found["nul everywhere"]
    assert b"\xff" in found["8-bit headers"]
    assert len([name for name in found if name.startswith("charset")]) > 20
    assert len([name for name in found if name.startswith("subject")]) > 20
    bare = dict(refused_mails())
    assert len(bare) >= 10
    for source in bare.values():
        assert source.count(b"\r\n") < max(source.count(b"\r"), source.count(b"\n"))


def hand_over(client: smtplib.SMTP, source: bytes) -> tuple[int, str]:
    """Send *source* as it is, only its dots stuffed; the reply to it."""
    # Not sendmail, which would mend line ends.
    client.docmd("MAIL FROM:<odd@woodgrove.example>")
    client.docmd("RCPT TO:<sam@contoso.example>")
    assert client.docmd("DATA")[0] == 354
    stuffed = (b"\r\n" + source).replace(b"\r\n.", b"\r\n..")[2:]
    end = b".\r\n" if source.endswith(b"\r\n") or not source else b"\r\n.\r\n"
    client.send(stuffed + end)
    code, reply = client.getreply()
    return code, reply.decode()


@pytest.fixture
def inbox(sink: RunningSink, tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    """A browser before the inbox that shows the sink’s store."""
    app = create_app(
        Config.from_environment(
            {
                "DATA_DIR": str(tmp_path_factory.mktemp("corpus")),
                "DEMO": "0",
                "MAIL_STORE_URL": sink.store.url.render_as_string(hide_password=False),
            }
        )
    )
    return app.test_client()


@pytest.mark.long
@pytest.mark.timeout(240)
def test_every_odd_mail_is_captured_listed_and_opened(
    sink: RunningSink, inbox: FlaskClient
) -> None:
    """SMTP-2, and each class of MIME defect: every tab and both interfaces show it."""
    ids: dict[str, tuple[str, bytes]] = {}
    with smtplib.SMTP("127.0.0.1", sink.port, timeout=30) as client:
        client.ehlo()
        for name, source in mails():
            code, reply = hand_over(client, source)
            assert code == 250, (name, reply)
            ids[reply.rpartition(" ")[2]] = (name, source)
    until(lambda: all(mail.is_indexed for mail in sink.listed()), seconds=60)
    assert {mail.id for mail in sink.listed()} == set(ids)
    listed: set[str] = set()
    address = "/mail/api/v2/messages?limit=50"
    cursor = ""
    while cursor is not None:
        assert inbox.get(f"/mail/?before={cursor}").status_code == 200
        page = inbox.get(f"{address}&cursor={cursor}").get_json()
        listed |= {mail["id"] for mail in page["messages"]}
        cursor = page["next"]
    assert listed == set(ids)
    for message_id, (name, source) in ids.items():
        kept = sink.store.source(message_id)
        assert kept is not None
        assert kept.removesuffix(b"\r\n") == source.removesuffix(b"\r\n"), name
        for path in PATHS:
            answer = inbox.get(path.format(id=message_id))
            assert answer.status_code == 200, (name, path, answer.status_code)
        for path in MAYBE:
            answer = inbox.get(path.format(id=message_id))
            assert answer.status_code in (200, 400, 404), (name, path, answer.status_code)


def test_every_mail_with_bare_line_ends_is_refused_kept_apart_and_opened(
    sink: RunningSink, inbox: FlaskClient
) -> None:
    """SMTP-1: what pretends to end a mail is in no list of mails, and can be looked at."""
    sent = dict(refused_mails())
    with smtplib.SMTP("127.0.0.1", sink.port, timeout=30) as client:
        client.ehlo()
        for name, source in sent.items():
            code, reply = hand_over(client, source)
            assert code == 554, (name, reply)
    kept = until(lambda: found if len(found := refusals.newest(sink.store)) == len(sent) else [])
    assert sink.listed() == ()
    assert inbox.get("/mail/refused").status_code == 200
    for refusal in kept:
        answer = inbox.get(f"/mail/refused/{refusal.id}")
        assert answer.status_code == 200
        assert "Bare CR or LF" in answer.text
