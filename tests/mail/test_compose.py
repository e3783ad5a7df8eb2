"""Letters: what is typed never becomes a header, a tag or a template."""

import email
import email.policy
import re
from email.message import EmailMessage
from typing import Any
from uuid import UUID

import pytest
from bs4 import BeautifulSoup
from flask import Flask
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import select, update
from sqlalchemy.exc import DataError
from sqlalchemy.orm import Session

from b2b import worker
from b2b.errors import Refused
from b2b.extensions import db
from b2b.mail import compose, source
from b2b.models import OutboxMessage, Tenant, User
from tests import factories
from tests.cast import Cast
from tests.conftest import Clock, Mailroom

SAM = "gsamoogle@gmail.com"
HEADERS = {
    "Content-Type", "MIME-Version", "Subject", "From", "To", "Date", "Message-ID",
    "Auto-Submitted", "Content-Language", "X-Invitation-Id", "Reply-To",
    "List-Unsubscribe", "List-Unsubscribe-Post",
}  # fmt: skip
BREAKS = [
    "\r\nBcc: eve@evil.example", "\nBcc: eve@evil.example", "\rBcc: eve@evil.example",
    "\r\n\r\n<b>body</b>", "\x00", "\x85Bcc: eve@evil.example", "\u2028Bcc: eve@evil.example",
    "\u2029", "\x0b", "\x0c", "\x1b[31m", ", eve@evil.example", "<eve@evil.example>", "\"><x",
    "=?utf-8?q?=0d=0aBcc=3a_eve=40evil=2eexample?=", "\u202e", "\u200b", " ; eve@evil.example",
]  # fmt: skip


def letter(app: Flask) -> EmailMessage:
    """The message of the only outbox row, as SMTP would carry it."""
    row = db.session.execute(select(OutboxMessage)).scalar_one()
    made = compose.message(
        row.template, row.context, tenant_id=row.tenant_id, recipient=row.recipient,
        message_id=row.message_id, language=row.language,
    )  # fmt: skip
    content = source.of(made, recipient=row.recipient, date=row.created_at)
    parsed = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed


def part(message: EmailMessage, kind: str) -> str:
    body = message.get_body((kind,))
    assert body is not None
    return str(body.get_content())


def check_headers(message: EmailMessage, recipient: str = SAM) -> None:
    """INV-1: exactly the expected header names, each once, and one recipient."""
    names = [name for name, _ in message.raw_items()]
    assert len(names) == len(set(names))
    assert set(names) <= HEADERS
    assert {"Subject", "From", "To", "Message-ID", "X-Invitation-Id"} <= set(names)
    assert [a.addr_spec for a in message["To"].addresses] == [recipient]
    assert [a.addr_spec for a in message["From"].addresses] == ["invites@b2b.example"]
    assert message["Cc"] is None
    assert message["Bcc"] is None
    for name in names:
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", str(message[name])), name


def invite(session: Session, cast: Cast, clock: Clock, **facts: Any) -> None:
    factories.invite(session, cast, clock.now, **{"address": SAM} | facts)


FIELDS = [
    "address", "display_name", "message", "language",
    "tenant.display_name", "john.display_name", "john.mail",
]  # fmt: skip


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("payload", BREAKS, ids=repr)
def test_what_is_typed_is_refused_or_stays_within_its_header(
    app: Flask, session: Session, cast: Cast, clock: Clock, field: str, payload: str
) -> None:
    """INV-1: over all fields and payloads: exactly our headers, or no outbox row"""
    facts: dict[str, Any] = {}
    value = {"address": f"sam{payload}@gmail.com", "language": f"en{payload}"}.get(
        field, f"Sam{payload}Oogle"
    )
    stored = {
        "tenant.display_name": (
            update(Tenant).where(Tenant.id == cast.woodgrove).values(display_name=value)
        ),
        "john.display_name": update(User).where(User.id == cast.john).values(display_name=value),
        "john.mail": (
            update(User).where(User.id == cast.john).values(mail=f"john{payload}@woodgrove.example")
        ),
    }.get(field)
    if stored is not None and "\0" in payload and session.get_bind().dialect.name == "postgresql":
        with pytest.raises(DataError):  # PostgreSQL itself takes no NUL
            session.execute(stored)
        return
    if stored is not None:
        session.execute(stored)
    else:
        facts = {field: value}
    try:
        invite(session, cast, clock, **facts)
    except Refused:
        assert session.scalars(select(OutboxMessage)).all() == []
        return
    if field == "john.mail" and any(ord(c) < 32 or c in "\x85\u2028\u2029" for c in payload):
        row = session.execute(select(OutboxMessage)).scalar_one()
        assert row.context["reply_to"] is None, "no address, so nobody to answer to"
    check_headers(letter(app))


@given(
    display_name=st.text(max_size=40),
    message=st.text(max_size=80),
    inviter=st.text(min_size=1, max_size=40),
    organisation=st.text(min_size=1, max_size=40),
)
@hypothesis_settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_no_text_whatever_adds_a_header_or_a_recipient(
    app: Flask, session: Session, cast: Cast, clock: Clock,
    display_name: str, message: str, inviter: str, organisation: str,
) -> None:  # fmt: skip
    """INV-1"""
    try:
        # Names of organisation and inviter come from the directory and may be anything.
        values = {"display_name": organisation.replace("\0", "")}
        session.execute(update(Tenant).where(Tenant.id == cast.woodgrove).values(**values))
        values = {"display_name": inviter.replace("\0", "")}
        session.execute(update(User).where(User.id == cast.john).values(**values))
        try:
            invite(session, cast, clock, display_name=display_name, message=message)
        except Refused:
            assert session.scalars(select(OutboxMessage)).all() == []
        else:
            check_headers(letter(app))
    finally:
        session.rollback()


def test_hostile_letters_reach_the_sink_with_our_headers_alone(
    app: Flask, cast: Cast, clock: Clock, mailroom: Mailroom
) -> None:
    """INV-1, through real SMTP"""
    with app.app_context(), worker.transaction() as session:
        for number, payload in enumerate(BREAKS):
            name = f"WoodGrove{payload.replace(chr(0), '')}"
            session.execute(
                update(Tenant).where(Tenant.id == cast.woodgrove).values(display_name=name)
            )
            session.expire_all()
            factories.invite(session, cast, clock.now, f"guest{number}@partner.example")
    assert mailroom.deliver().sent == len(BREAKS)
    sources = mailroom.sources()
    assert len(sources) == len(BREAKS)
    for number, captured in enumerate(sources):
        parsed = email.message_from_bytes(captured, policy=email.policy.default)
        assert isinstance(parsed, EmailMessage)
        received = {"Received", "Return-Path", "X-Peer", "X-MailFrom", "X-RcptTo"}
        for name in received & set(parsed.keys()):
            del parsed[name]
        check_headers(parsed, f"guest{number}@partner.example")
    assert mailroom.sources("eve@evil.example") == []


def test_from_is_ours_with_the_inviters_name_and_answers_go_to_his_verified_address(
    app: Flask, session: Session, cast: Cast, clock: Clock
) -> None:
    """MAIL-3, decisions.md, subject and From"""
    invite(session, cast, clock, message="URGENT: your account", display_name="Sam")
    message = letter(app)
    assert str(message["From"]) == "John Doe from WoodGrove <invites@b2b.example>"
    assert str(message["Reply-To"]) == "john.doe@woodgrove.example"
    assert str(message["Subject"]) == "You’re invited to the WoodGrove organisation"
    assert "URGENT" not in str(message["Subject"])
    assert "john.doe@woodgrove.example" in part(message, "plain")
    assert "woodgrove.example" in part(message, "html")


def test_an_inviters_mail_in_a_foreign_domain_gets_no_answers(
    app: Flask, session: Session, cast: Cast, clock: Clock
) -> None:
    """MAIL-3: Reply-To only if verified; else the body says whom to ask"""
    session.execute(
        update(User).where(User.id == cast.john).values(mail="john@evil-woodgrove.example")
    )
    invite(session, cast, clock)
    message = letter(app)
    assert message["Reply-To"] is None
    assert "write to john@evil-woodgrove.example" in " ".join(part(message, "plain").split())


def test_a_name_that_looks_like_somebody_else_still_carries_the_true_address(
    app: Flask, session: Session, cast: Cast, clock: Clock
) -> None:
    """MAIL-3"""
    session.execute(
        update(User)
        .where(User.id == cast.john)
        .values(display_name='Microsoft Security" <security@microsoft.com>' + "x" * 200)
    )
    invite(session, cast, clock)
    message = letter(app)
    [sender] = message["From"].addresses
    assert sender.addr_spec == "invites@b2b.example"
    assert len(sender.display_name) <= 64 + len(" from WoodGrove")
    assert "john.doe@woodgrove.example" in part(message, "plain")
    assert "john.doe@woodgrove.example" in part(message, "html")


HOSTILE = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<a href='javascript:x'>y</a>",
    "<form action=//evil.example><input name=password>", "<style>*{display:none}</style>",
    "</p></td></table><h1>You won</h1>", "https://evil.example/login", "&lt;b&gt;", "]]>",
    "<!-- --><svg onload=alert(1)>", "\u202egnp.exe", "a\u200bb",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_a_personal_message_is_shown_as_plain_text_in_its_frame(
    app: Flask, session: Session, cast: Cast, clock: Clock, text: str
) -> None:
    """MAIL-1: only our tags and attributes; nothing is linked; the payload appears escaped"""
    invite(session, cast, clock, message="harmless")
    harmless = BeautifulSoup(part(letter(app), "html"), "html5lib")
    db.session.rollback()
    invite(session, cast, clock, message=text)
    message = letter(app)
    page = BeautifulSoup(part(message, "html"), "html5lib")

    def shape(soup: BeautifulSoup) -> list[tuple[str, list[str]]]:
        return [(tag.name, sorted(tag.attrs)) for tag in soup.find_all(True)]

    assert shape(page) == shape(harmless)
    hosts = {str(a["href"]).split("/")[2] for a in page.select("a[href]")}
    assert hosts <= {"localhost:5000"}
    shown = text.replace("\u202e", "").replace("\u200b", "")
    assert shown in page.get_text()
    assert shown in part(message, "plain")
    assert "Message from John Doe" in page.get_text()


TEMPLATES = [
    "{{ config }}", "{{ 7*7 }}", "{% for x in y %}", "%s %(link)s %d", "${link}", "#{7*7}",
    "{{''.__class__}}", "<%= 7*7 %>", "{# x #}", "%(organisation)s", "{0}", "100%",
]  # fmt: skip


@pytest.mark.parametrize("text", TEMPLATES)
def test_template_language_in_names_and_messages_stays_literal(
    app: Flask, session: Session, cast: Cast, clock: Clock, text: str
) -> None:
    """MAIL-2"""
    session.execute(
        update(Tenant).where(Tenant.id == cast.woodgrove).values(display_name=f"W {text}")
    )
    session.execute(update(User).where(User.id == cast.john).values(display_name=f"J {text}"))
    invite(session, cast, clock, message=f"M {text}")
    message = letter(app)
    plain, html = part(message, "plain"), part(message, "html")
    assert f"M {text}" in plain
    assert f"W {text}" in plain
    assert f"M {text}" in BeautifulSoup(html, "html5lib").get_text()
    assert str(app.config["SECRET_KEY"]) not in plain + html
    assert str(message["Subject"]) == f"You’re invited to the W {text} organisation"


def test_a_letter_holds_the_link_and_fetches_nothing(
    app: Flask, session: Session, cast: Cast, clock: Clock
) -> None:
    """MAIL-4, RED-6"""
    invite(session, cast, clock)
    message = letter(app)
    user_id = session.execute(select(User.id).where(User.mail == SAM)).scalar_one()
    link = factories.link_of(session, cast.woodgrove, user_id)
    page = BeautifulSoup(part(message, "html"), "html5lib")
    assert link in {a["href"] for a in page.select("a[href]")}
    assert link in part(message, "plain")
    assert not page.select("img, script, link, iframe, form, object, embed, [background]")
    assert "url(" not in part(message, "html")


@pytest.mark.parametrize(
    ("language", "used"),
    [("ko-KR", "ko"), ("ko", "ko"), ("KO-kr", "ko"), ("xx", "en"), (None, "en")],
)
def test_a_letter_is_written_in_the_nearest_language(
    app: Flask, session: Session, cast: Cast, clock: Clock, language: str | None, used: str
) -> None:
    invite(session, cast, clock, language=language)
    message = letter(app)
    assert str(message["Content-Language"]) == used
    page = BeautifulSoup(part(message, "html"), "html5lib")
    assert page.html is not None
    assert page.html["lang"] == used


@pytest.mark.parametrize("layout", ["classic", "current"])
@pytest.mark.parametrize("language", ["en", "ko"])
def test_letters_that_share_all_but_their_reader_are_as_if_made_alone(
    app: Flask, cast: Cast, clock: Clock, layout: str, language: str
) -> None:
    """MAIL-5: nobody reads another's link, however many are rendered one after the other"""
    addresses = [
        "ada@partner.example", "o'hara&sons@partner.example", "<b>@partner.example", "a@b.co",
        f"{'long.name.' * 5}x@partner.example", "zoë@müller.example",
    ]  # fmt: skip
    with app.app_context():
        with worker.transaction() as session:
            factories.invite(session, cast, clock.now, addresses[0], message="Hello, <all>")
        row = db.session.execute(select(OutboxMessage)).scalar_one()
        contexts = [
            row.context
            | {"layout": layout, "address": address, "invitation_id": str(UUID(int=number))}
            for number, address in enumerate(addresses)
        ]

        def both(context: dict[str, Any]) -> tuple[str, str]:
            rendered = compose.render(
                "invitation", context, tenant_id=row.tenant_id, language=language
            )
            return rendered.text, rendered.html

        alone = []
        for context in contexts:
            app.extensions.pop("b2b_letters_shared", None)
            alone.append(both(context))
        together = [both(context) for context in contexts]
    assert together == alone
    for number, (text, one) in enumerate(together):
        assert not re.search("[\ue000-\uf8ff]", text + one)
        assert addresses[number] in " ".join(text.split())
        assert f"user%3d{UUID(int=number)}%26ticket" in text
        assert f"&invitation={UUID(int=number)}&" in text
        assert all(len(line) <= 72 for line in text.splitlines() if "://" not in line)
        shown = BeautifulSoup(one, "html.parser")
        assert addresses[number] in shown.get_text()
        assert shown.find("b", string="@partner.example") is None
        links = {str(a["href"]) for a in shown.find_all("a") if "redeem" in str(a["href"])}
        [link] = links
        assert f"user%3d{UUID(int=number)}%26" in link
        others = [str(UUID(int=other)) for other in range(len(addresses)) if other != number]
        assert not any(other in text + one for other in others)
