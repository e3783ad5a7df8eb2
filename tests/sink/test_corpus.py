"""Whatever comes over SMTP is caught, listed and opened."""

import smtplib

import pytest
from flask.testing import FlaskClient

from b2b import create_app
from config import Config
from tests.sink.corpus import mails
from tests.sink.correspondents import RunningSink, until

PATHS = (
    "/mail/{id}",
    "/mail/api/v1/message/{id}",
    "/mail/api/v1/message/{id}/headers",
    "/mail/api/v1/message/{id}/raw",
)


def test_the_corpus_is_large_and_has_no_mail_twice() -> None:
    names = [name for name, _ in mails()]
    assert len(names) == len(set(names))
    assert len(names) >= 150


@pytest.mark.long
def test_every_odd_mail_is_captured_listed_and_opened(
    sink: RunningSink, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """SMTP-2, and each class of MIME defect"""
    ids: dict[str, tuple[str, bytes]] = {}
    with smtplib.SMTP("127.0.0.1", sink.port, timeout=30) as client:
        client.ehlo()
        for name, source in mails():
            # Not sendmail, which would mend line ends.
            client.docmd("MAIL FROM:<odd@woodgrove.example>")
            client.docmd("RCPT TO:<sam@contoso.example>")
            assert client.docmd("DATA")[0] == 354
            stuffed = (b"\r\n" + source).replace(b"\r\n.", b"\r\n..")[2:]
            end = b".\r\n" if source.endswith(b"\r\n") or not source else b"\r\n.\r\n"
            client.send(stuffed + end)
            code, reply = client.getreply()
            assert code == 250, (name, reply)
            ids[reply.decode().rpartition(" ")[2]] = (name, source)
    until(lambda: all(mail.is_indexed for mail in sink.listed()), seconds=60)
    assert {mail.id for mail in sink.listed()} == set(ids)
    folder = tmp_path_factory.mktemp("corpus")
    app = create_app(
        Config.from_environment(
            {
                "DATA_DIR": str(folder),
                "DEMO": "0",
                "MAIL_STORE_URL": sink.store.url.render_as_string(hide_password=False),
            }
        )
    )
    client_of_inbox: FlaskClient = app.test_client()
    assert client_of_inbox.get("/mail/").status_code == 200
    for message_id, (name, source) in ids.items():
        kept = sink.store.source(message_id)
        assert kept is not None
        assert kept.removesuffix(b"\r\n") == source.removesuffix(b"\r\n"), name
        for path in PATHS:
            answer = client_of_inbox.get(path.format(id=message_id))
            assert answer.status_code == 200, (name, path, answer.status_code)
