"""Blocking invitations by the link in a mail, and allowing them again with a code."""

import email
import email.policy
import re
from urllib.parse import urlsplit

import pytest
from flask import Flask
from sqlalchemy import select

from b2b import worker
from b2b.extensions import db
from b2b.models import AuditEvent, MailRefusal, OutboxMessage
from tests import factories, letters
from tests.cast import Cast
from tests.conftest import Clock, Mailroom
from tests.pages import ORIGIN, Browser

SAM = factories.SAM


@pytest.fixture
def mail(app: Flask, cast: Cast, clock: Clock, mailroom: Mailroom) -> bytes:
    """Sam's invitation as it arrived."""
    with app.app_context(), worker.transaction() as session:
        factories.invite(session, cast, clock.now)
    assert mailroom.deliver().sent == 1
    [source] = mailroom.sources(SAM)
    return source


def block_link(mail: bytes) -> str:
    """The link in the letter's foot."""
    found = re.search(r"http://localhost:5000/invitations/block\?\S+", letters.text_of(mail))
    assert found
    return found[0]


def one_click(mail: bytes) -> str:
    """The address in the header for mail programs."""
    header = email.message_from_bytes(mail, policy=email.policy.default)["List-Unsubscribe"]
    return str(header).strip("<> ")


def refusals(app: Flask) -> list[str]:
    with app.app_context():
        return list(db.session.scalars(select(MailRefusal.address_key)))


def activities(app: Flask) -> list[str]:
    with app.app_context():
        return list(db.session.scalars(select(AuditEvent.activity)))


def path(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}"


def test_the_link_asks_before_it_blocks(app: Flask, cast: Cast, mail: bytes) -> None:
    """mail.md, 5; visits of scanners change nothing (RED-2)"""
    sam = Browser(app)
    for method in ("GET", "HEAD", "GET"):
        response = sam.client.open(path(block_link(mail)), method=method, base_url=ORIGIN)
        assert response.status_code == 200
    assert refusals(app) == []
    page = sam.get(block_link(mail))
    assert page.h1 == "Block future invitations"
    assert SAM not in page.text, "masked: the mail may have been passed on"
    assert "g•••" in page.text
    done = page.submit()
    assert done.h1 == "Invitations are blocked"
    assert refusals(app) == [SAM]
    assert sam.get(block_link(mail)).h1 == "Invitations are blocked"
    assert activities(app).count("Email unsubscribed") == 1


def test_a_form_without_its_token_blocks_nothing(app: Flask, cast: Cast, mail: bytes) -> None:
    """SES-3"""
    response = app.test_client().post(path(block_link(mail)), base_url=ORIGIN)
    assert response.status_code == 400
    assert refusals(app) == []


def test_mail_programs_block_with_one_post(app: Flask, cast: Cast, mail: bytes) -> None:
    """RFC 8058: no cookie, no page, no token of ours; GET and HEAD of it change nothing"""
    client = app.test_client()
    for method in ("GET", "HEAD"):
        seen = client.open(path(one_click(mail)), method=method, base_url=ORIGIN)
        assert seen.status_code == 303
        assert seen.headers["Location"] == path(block_link(mail))
    assert refusals(app) == []
    for _ in range(2):
        response = client.post(
            path(one_click(mail)), base_url=ORIGIN, data={"List-Unsubscribe": "One-Click"}
        )
        assert response.status_code == 200
        assert response.get_data(as_text=True) == "No more invitations will be sent.\n"
        assert "Set-Cookie" not in response.headers
    assert refusals(app) == [SAM]
    assert activities(app).count("Email unsubscribed") == 1


@pytest.mark.parametrize("where", ["/invitations/block", "/invitations/block/at-once"])
def test_an_altered_link_blocks_nothing(app: Flask, cast: Cast, mail: bytes, where: str) -> None:
    query = urlsplit(block_link(mail)).query
    altered = re.sub(r"token=.", lambda m: "token=" + ("A" if m[0][-1] != "A" else "B"), query)
    client = app.test_client()
    for method in ("GET", "POST"):
        response = client.open(f"{where}?{altered}", method=method, base_url=ORIGIN)
        assert response.status_code in (303, 400, 404)
        for wrong in ("", "tenant=x&invitation=y&token=z", "token=%00"):
            response = client.open(f"{where}?{wrong}", method=method, base_url=ORIGIN)
            assert response.status_code in (303, 400, 404)
    assert refusals(app) == []


def test_another_sites_page_cannot_use_the_one_click_address(
    app: Flask, cast: Cast, mail: bytes
) -> None:
    """SES-3"""
    response = app.test_client().post(
        path(one_click(mail)), base_url=ORIGIN, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert response.status_code == 403
    assert refusals(app) == []


def test_what_is_blocked_is_seen_and_allowed_again_with_a_code(
    app: Flask, cast: Cast, clock: Clock, mail: bytes, mailroom: Mailroom
) -> None:
    """mail.md, 5: the management page"""
    sam = Browser(app)
    done = sam.get(block_link(mail)).submit()
    page = done.follow("See and undo what is blocked")
    assert page.path == "/invitations/blocked"
    assert "WoodGrove" not in page.text, "the link alone shows nothing"
    page = page.submit(address=SAM)
    assert page.path == "/invitations/blocked/code"
    assert mailroom.deliver().sent == 1
    code = letters.code_in(mailroom.sources(SAM)[-1])
    wrong = page.submit(code="0000 0000" if code != "0000 0000" else "1111 1111")
    assert wrong.errors == ["That is not the code in the newest mail."]
    listed = wrong.submit(code=code)
    assert listed.path == "/invitations/blocked"
    assert "WoodGrove" in listed.text
    allowed = listed.submit(f"{cast.woodgrove}/allow")
    assert "WoodGrove can send you invitations again." in allowed.text
    assert "Nobody is blocked" in allowed.text
    assert refusals(app) == []
    assert activities(app).count("Email subscribed") == 1
    closed = allowed.submit("/close")
    assert closed.h1 == "Blocked invitations"
    assert closed.soup.select_one("input[name=address]")


def test_a_proof_ends_after_half_an_hour(
    app: Flask, cast: Cast, clock: Clock, mail: bytes, mailroom: Mailroom
) -> None:
    sam = Browser(app)
    sam.get(block_link(mail)).submit()
    page = sam.get("/invitations/blocked").submit(address=SAM)
    mailroom.deliver()
    listed = page.submit(code=letters.code_in(mailroom.sources(SAM)[-1]))
    clock.advance(minutes=30)
    late = listed.submit(f"{cast.woodgrove}/allow")
    assert late.soup.select_one("input[name=address]"), "asked for the address again"
    assert refusals(app) == [SAM]


def test_without_a_proof_nothing_is_allowed_again(app: Flask, cast: Cast, mail: bytes) -> None:
    sam = Browser(app)
    token = sam.get(block_link(mail)).soup.select_one("input[name=csrf_token]")
    assert token is not None
    sam.get(block_link(mail)).submit()
    page = sam.post(
        f"/invitations/blocked/{cast.woodgrove}/allow", {"csrf_token": str(token["value"])}
    )
    assert page.path == "/invitations/blocked"
    assert refusals(app) == [SAM]


def test_a_code_for_signing_in_is_no_proof_here(
    app: Flask, cast: Cast, clock: Clock, mail: bytes, mailroom: Mailroom
) -> None:
    """SIGN-3: a code is good for its purpose alone"""
    sam = Browser(app)
    sam.get(block_link(mail)).submit()
    link = letters.link_in(mail)
    sam.get(link).submit("/start")
    if sam.get("/signin/code").soup.select_one("form[action$='/code/send']"):
        sam.get("/signin/code").submit("/code/send")
    mailroom.deliver()
    code = letters.code_in(mailroom.sources(SAM)[-1])
    page = sam.get("/invitations/blocked").submit(address=SAM).submit(code=code)
    assert page.errors == ["That is not the code in the newest mail."]


def test_an_address_that_has_blocked_nobody_sees_the_same_pages_and_gets_no_mail(
    app: Flask, cast: Cast, clock: Clock, mail: bytes
) -> None:
    """SIGN-2: nothing tells who was invited"""
    Browser(app).get(block_link(mail)).submit()
    texts = []
    for address in (SAM, "nobody.known@gmail.com"):
        page = Browser(app).get("/invitations/blocked").submit(address=address)
        texts.append(page.text.replace(address, "ADDRESS"))
    assert texts[0] == texts[1]
    with app.app_context():
        sent = db.session.scalars(
            select(OutboxMessage.recipient).where(OutboxMessage.template == "passcode")
        ).all()
    assert sent == [SAM]


def test_codes_are_not_sent_without_end(app: Flask, cast: Cast, clock: Clock, mail: bytes) -> None:
    sam = Browser(app)
    page = sam.get("/invitations/blocked").submit(address=SAM)
    for _ in range(2):
        page = page.submit("/blocked/send")
        assert page.path == "/invitations/blocked/code"
    assert page.submit("/blocked/send").status == 429
