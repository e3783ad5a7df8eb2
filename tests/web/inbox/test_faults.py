"""Faults of the sink, set by the page and by the API, met by a program that sends mail."""

import smtplib

import pytest
from flask import Flask
from flask.testing import FlaskClient

from b2b.sink import faults
from b2b.sink.faults import Rule
from tests.conftest import Mailroom
from tests.pages import Browser, Page
from tests.web.inbox.conftest import Mails
from tests.web.inbox.test_inbox_v2 import ask

MAIL = b"Subject: Hello\r\n\r\nGood morning.\r\n"


def listed(page: Page) -> list[str]:
    return [" ".join(row.get_text(" ").split()) for row in page.soup.select("main tbody tr")]


@pytest.fixture
def sink(app: Flask, mailroom: Mailroom) -> Mailroom:
    """A sink that listens, with the store that the pages write to."""
    with mailroom.store() as store:
        app.config["MAIL_STORE_URL"] = store.url.render_as_string()
    return mailroom


def test_a_fault_of_the_page_is_met_by_the_next_mail(browser: Browser, sink: Mailroom) -> None:
    page = browser.get("/mail/").follow("Faults")
    assert "Nothing goes wrong" in page.text
    page = page.submit(
        "/mail/faults", action="reject", stage="rcpt", recipient="*@full.example", code="452",
        words="4.2.2 Mailbox full",
    )  # fmt: skip
    assert "The fault is on, from the next mail." in page.text
    assert listed(page) == [
        "Refuse with 452 4.2.2 Mailbox full At RCPT TO · to *@full.example Take away"
    ]
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refused:
        sink.send(MAIL, "sam@full.example")
    assert refused.value.recipients == {"sam@full.example": (452, b"4.2.2 Mailbox full")}
    sink.send(MAIL, "sam@empty.example")
    page = page.submit("/remove")
    assert "The fault is taken away." in page.text
    assert listed(page) == []
    sink.send(MAIL, "sam@full.example")
    assert len(sink.sources()) == 2


WRONG: list[tuple[dict[str, str], str]] = [
    ({"code": "250"}, "A reply code lies between 400 and 599."),
    ({"code": "9" * 30}, "A reply code lies between 400 and 599."),
    ({"code": "many"}, "Enter a whole number."),
    ({"percent": "101"}, "A share lies between 0 and 100."),
    ({"percent": "-9999999999"}, "A share lies between 0 and 100."),
    ({"words": "Größe"}, "Letters, digits and signs of ASCII alone, 200 at most."),
    ({"stage": "mail", "recipient": "*"}, "The recipient is known from RCPT TO on."),
    ({"stage": "helo", "sender": "*"}, "The sender is known from MAIL FROM on."),
    ({"sender": "a" * 321}, "At most 320 characters."),
    ({"action": "delay"}, "Say how long: 1 to 600,000 milliseconds."),
    ({"action": "slow"}, "Say how slowly: 1 byte a second or more."),
    ({"action": "greylist", "stage": "data", "milliseconds": "5"},
     "Greylisting happens at RCPT TO."),
    ({"action": "explode"}, "Choose one from the list."),
    ({"stage": "later"}, "Choose one from the list."),
]  # fmt: skip


def test_what_is_wrong_stands_beside_its_field_and_all_is_kept(
    browser: Browser, mails: Mails
) -> None:
    empty = browser.get("/mail/faults")
    for given, error in WRONG:
        page = empty.submit("/mail/faults", **given)
        assert page.title.startswith("Error:"), given
        assert page.errors == [error], given
        [name] = [field.get("name") for field in page.soup.select("main [aria-invalid=true]")]
        assert name in given or name in ("milliseconds", "bytes_per_second"), given
        for field, value in given.items():
            if field not in ("action", "stage"):
                control = page.soup.select_one(f"main input[name={field}]")
                assert control is not None
                assert control["value"] == value
    assert faults.rules(mails.store) == []


def test_every_kind_of_fault_is_told_in_words(browser: Browser, mails: Mails) -> None:
    rules = [
        Rule("connect", "delay", milliseconds=1500, percent=25),
        Rule("data", "slow", bytes_per_second=1000, sender="news@*"),
        Rule("content", "drop"),
        Rule("rcpt", "greylist", milliseconds=60000),
    ]
    faults.replace(mails.store, "page", rules, wait=False)
    faults.replace(mails.store, "file", [Rule("auth", "reject", code=535)], wait=False)
    assert listed(browser.get("/mail/faults")) == [
        "Answer 1,500 ms late On connecting · for everybody · 25% of the time Take away",
        "Read 1,000 bytes a second At DATA · from news@* Take away",
        "Close the connection without a word After the content · for everybody Take away",
        "Refuse until 60,000 ms after the first try At RCPT TO · for everybody Take away",
        "Refuse with 535 5.0.0 Refused on purpose At AUTH · for everybody"
        " · from the file, and there again when the sink starts Take away",
    ]


def test_a_hundred_faults_are_enough(browser: Browser, client: FlaskClient, mails: Mails) -> None:
    faults.replace(mails.store, "chaos", [Rule("mail", "drop")] * 100, wait=False)
    page = browser.get("/mail/faults").submit("/mail/faults", action="drop", stage="data")
    assert page.errors == ["There are 100 faults, and no more."]
    assert ask(client, "/faults", "POST", json={"stage": "data", "action": "drop"})[0] == 400
    gone = browser.get("/mail/faults").submit("/remove")
    assert len(listed(gone)) == 99


def test_a_fault_that_is_gone_cannot_be_taken_away(browser: Browser, mails: Mails) -> None:
    faults.replace(mails.store, "api", [Rule("mail", "drop")], wait=False)
    page = browser.get("/mail/faults")
    faults.replace(mails.store, "api", [], wait=False)
    assert page.submit("/remove").status == 404


def test_the_api_sets_lists_and_forgets_rules(client: FlaskClient, sink: Mailroom) -> None:
    rule = {"stage": "mail", "action": "reject", "sender": "*@slow.example", "code": 421}
    status, made = ask(client, "/faults", "POST", json=rule)
    assert status == 201
    assert made | {"id": 0} == {
        "id": 0, "stage": "mail", "action": "reject", "sender": "*@slow.example", "recipient": "",
        "percent": 100, "code": 421, "words": "", "milliseconds": 0, "bytes_per_second": 0,
        "origin": "api",
    }  # fmt: skip
    with smtplib.SMTP("127.0.0.1", sink.port, timeout=5) as smtp:
        smtp.ehlo()
        assert smtp.mail("a@slow.example") == (421, b"4.0.0 Refused on purpose")
    assert ask(client, "/faults")[1] == {"faults": [made]}
    assert ask(client, f"/faults/{made['id']}", "DELETE") == (200, {"deleted": True})
    assert ask(client, f"/faults/{made['id']}", "DELETE")[0] == 404
    with sink.store() as store:
        faults.replace(store, "page", [Rule("data", "drop")])
    ask(client, "/faults", "POST", json=rule)
    assert ask(client, "/faults", "DELETE") == (200, {"deleted": 1})
    assert [one["origin"] for one in ask(client, "/faults")[1]["faults"]] == ["page"]


def test_the_api_names_what_is_wrong_with_a_rule(client: FlaskClient, mails: Mails) -> None:
    wrong: list[tuple[dict[str, object], str]] = [
        ({"stage": "mail"}, "action"),
        ({"stage": "mail", "action": "delay"}, "milliseconds"),
        ({"stage": "mail", "action": "reject", "code": "421"}, "code"),
        ({"stage": "mail", "action": "reject", "how": "hard"}, "how"),
        ({"stage": "mail", "action": "slow", "bytes_per_second": 2**70}, "bytes_per_second"),
        ({"stage": "mail", "action": "drop", "milliseconds": 2**70}, "milliseconds"),
    ]
    for rule, field in wrong:
        status, said = ask(client, "/faults", "POST", json=rule)
        assert (status, said["error"]["code"], said["error"]["field"]) == (400, "BadRule", field)
    assert ask(client, "/faults")[1] == {"faults": []}
