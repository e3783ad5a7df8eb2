"""Mail delivery: the switch, what failed, and what other pages say while mail waits."""

import sqlite3
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from b2b import worker
from b2b.extensions import db
from b2b.mail import breaker, outbox
from b2b.mail.breaker import Trouble
from b2b.models import AuditEvent, MailPause, MailState, OutboxMessage
from b2b.web.admin import mail as mail_pages
from tests import factories
from tests.cast import Cast
from tests.conftest import START, Clock, Mailroom
from tests.pages import Browser

SAM = "gsamoogle@gmail.com"


@pytest.fixture(autouse=True)
def always_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages ask anew each time, so that a test need not wait."""
    monkeypatch.setattr(mail_pages, "LOOKS_EVERY", 0.0)


def invite(app: Flask, cast: Cast, clock: Clock, *addresses: str) -> None:
    with app.app_context(), worker.transaction() as session:
        for address in addresses:
            factories.invite(session, cast, clock.now, address)


def change(app: Flask, recipient: str, **columns: Any) -> str:
    """Change the row of *recipient*; its id."""
    with app.app_context(), worker.transaction() as session:
        session.execute(
            update(OutboxMessage).where(OutboxMessage.recipient == recipient).values(**columns)
        )
        return str(
            session.scalars(
                select(OutboxMessage.id).where(OutboxMessage.recipient == recipient)
            ).one()
        )


def mail_of(app: Flask, recipient: str) -> OutboxMessage:
    with app.app_context():
        found = db.session.scalars(
            select(OutboxMessage).where(OutboxMessage.recipient == recipient)
        ).one()
        db.session.remove()
        return found


def trip(app: Flask, clock: Clock, reason: str, *, refused: bool) -> None:
    with app.app_context(), worker.transaction() as session:
        breaker.trip(session, Trouble(reason, refused), now=clock.now)


def audited(app: Flask, cast: Cast) -> list[tuple[str, str]]:
    with app.app_context():
        found = db.session.scalars(
            select(AuditEvent)
            .where(AuditEvent.tenant_id == cast.woodgrove, AuditEvent.activity.like("%mail%"))
            .order_by(AuditEvent.sequence)
        ).all()
        db.session.remove()
        return [(event.activity, event.actor_name) for event in found]


def test_paused_mail_waits_and_goes_out_when_it_is_resumed(
    app: Flask, cast: Cast, clock: Clock, john: Browser, mailroom: Mailroom
) -> None:
    page = john.get("/admin/mail")
    assert "Mail goes out." in page.text
    page = page.submit("/admin/mail/pause", reason="Moving to another provider")
    assert "Mail is paused. It waits until you resume it." in page.text
    assert "Moving to another provider" in page.text
    assert "John Doe has paused the mail of WoodGrove" in page.text
    invite(app, cast, clock, SAM)
    assert mailroom.deliver().leased == 0
    assert mail_of(app, SAM).state is MailState.QUEUED
    assert "Mail is paused; invitations and codes wait." in john.get("/admin/users").text
    page = john.get("/admin/mail").submit("/admin/mail/resume")
    assert "Mail goes out again." in page.text
    assert mailroom.deliver().sent == 1
    assert "Mail is paused" not in john.get("/admin/users").text
    assert audited(app, cast) == [
        ("Pause mail delivery", "John Doe"),
        ("Resume mail delivery", "John Doe"),
    ]


def test_a_pause_holds_back_nobody_elses_mail(
    app: Flask, cast: Cast, clock: Clock, john: Browser, mailroom: Mailroom
) -> None:
    john.get("/admin/mail").submit("/admin/mail/pause")
    invite(app, cast, clock, SAM)
    with app.app_context(), worker.transaction() as session:
        context = {"tenant_name": "Contoso", "person_name": "Ada", "person_mail": None}
        outbox.enqueue(
            session,
            outbox.row(
                cast.contoso,
                "nowhere",
                "ada@contoso.example",
                context,
                now=clock.now,
                domain="contoso.example",
            ),
        )
    outcome = mailroom.deliver()
    assert (outcome.leased, outcome.failed) == (1, 1)
    assert mail_of(app, SAM).state is MailState.QUEUED


def test_pausing_twice_says_so(john: Browser, app: Flask, cast: Cast) -> None:
    page = john.get("/admin/mail")
    page.submit("/admin/mail/pause")
    assert "Mail is paused already." in page.submit("/admin/mail/pause").text
    page = john.get("/admin/mail")
    page.submit("/admin/mail/resume")
    assert "Mail is not paused." in page.submit("/admin/mail/resume").text
    assert len(audited(app, cast)) == 2


def test_a_server_that_refuses_us_is_told_on_every_page_and_can_be_tried_at_once(
    app: Flask, cast: Cast, clock: Clock, john: Browser, mailroom: Mailroom
) -> None:
    """REL-5: the whole queue is paused, with a banner"""
    invite(app, cast, clock, SAM)
    trip(app, clock, "535 5.7.8 <b>bad</b> credentials", refused=True)
    assert mailroom.deliver().leased == 0
    page = john.get("/admin/users")
    assert "The mail server refuses this installation; invitations and codes wait." in page.text
    page = page.follow("See mail delivery")
    assert "The mail server said: 535 5.7.8 <b>bad</b> credentials" in page.text
    page = page.submit("/admin/mail/try")
    assert "The mail server is being tried again." in page.text
    assert mailroom.deliver().sent == 1
    assert "Mail goes out." in john.get("/admin/mail").text
    assert audited(app, cast) == [("Try mail server again", "John Doe")]
    with app.app_context():
        assert db.session.scalars(select(MailPause)).all() == []


def test_a_server_that_is_away_is_told_once_mail_is_late(
    app: Flask, cast: Cast, clock: Clock, john: Browser
) -> None:
    """REL-16: the oldest unsent is more than five minutes old"""
    invite(app, cast, clock, SAM)
    trip(app, clock, "Connection refused", refused=False)
    clock.advance(minutes=5)
    assert "invitations and codes wait" not in john.get("/admin/users").text
    clock.advance(seconds=1)
    assert (
        "The mail server cannot be reached; invitations and codes wait."
        in john.get("/admin/users").text
    )


def test_late_mail_is_told_also_without_a_known_reason(
    app: Flask, cast: Cast, clock: Clock, john: Browser, adele: Browser
) -> None:
    """REL-16"""
    invite(app, cast, clock, SAM)
    clock.advance(minutes=5, seconds=1)
    page = john.get("/admin")
    assert "Mail is late: the oldest has waited since 21 November 2026, 09:00:00 UTC" in page.text
    assert page.soup.select('.flashes a[href="/admin/mail"]')
    page = adele.get("/admin")
    assert "Mail is late" in page.text
    assert not page.soup.select('a[href="/admin/mail"]'), "nor in the sidebar"


def test_counts_and_the_oldest(app: Flask, cast: Cast, clock: Clock, john: Browser) -> None:
    invite(app, cast, clock, *[f"guest{n}@partner.example" for n in range(6)])
    change(app, "guest1@partner.example", state=MailState.SENT)
    with app.app_context(), worker.transaction() as session:
        assert len(outbox.lease(session, "a worker", now=clock.now, limit=1)) == 1
    later = clock.advance(hours=2)
    change(app, "guest0@partner.example", due_at=later.replace(hour=12))
    change(app, "guest2@partner.example", attempts=2, due_at=later.replace(hour=12))
    change(app, "guest3@partner.example", state=MailState.FAILED, settled_at=START)
    stats = [
        (dt.get_text(strip=True), dt.find_next("dd").get_text(strip=True))  # type: ignore[union-attr]
        for dt in john.get("/admin/mail").soup.select(".stats dt")
    ]
    assert stats == [
        ("Waiting", "2"),
        ("Being sent", "1"),
        ("Tried again later", "1"),
        ("Failed", "1"),
        ("Oldest unsent", "Today, 09:00"),
    ]


def test_failed_mail_is_listed_with_the_servers_words_and_queued_again(
    app: Flask, cast: Cast, clock: Clock, john: Browser, mailroom: Mailroom
) -> None:
    """REL-5, ADM-1"""
    invite(app, cast, clock, SAM)
    failed = change(
        app,
        SAM,
        state=MailState.FAILED,
        template="welcome_back",
        last_error="550 5.1.1 <script>No such mailbox",
        settled_at=START,
        attempts=9,
    )
    page = john.get("/admin/mail")
    [row] = page.soup.select("tbody tr")
    assert "550 5.1.1 <script>No such mailbox" in row.get_text()
    clock.advance(hours=1)
    page = page.submit(f"/admin/mail/{failed}/again")
    assert f"Queued again: the mail to {SAM}." in page.text
    queued = mail_of(app, SAM)
    assert (queued.state, queued.attempts, queued.due_at) == (MailState.QUEUED, 0, clock.now)
    assert mailroom.deliver().sent == 1
    assert audited(app, cast) == [("Send mail again", "John Doe")]


def test_a_failed_invitation_leads_to_its_person(
    app: Flask, cast: Cast, clock: Clock, john: Browser
) -> None:
    """A new link is made there; the old row is not sent again"""
    invite(app, cast, clock, SAM)
    failed = change(app, SAM, state=MailState.FAILED, last_error="550 no", settled_at=START)
    page = john.get("/admin/mail")
    refused = john.post(
        f"/admin/mail/{failed}/again",
        {"csrf_token": page.form("/admin/mail/pause").find("input")["value"]},  # type: ignore[index]
    )
    assert "This mail cannot be sent again from here." in refused.text
    assert page.follow("Open person").h1 == "gsamoogle"
    assert mail_of(app, SAM).state is MailState.FAILED


def test_failed_mail_is_paged_by_key(app: Flask, cast: Cast, clock: Clock, john: Browser) -> None:
    with app.app_context(), worker.transaction() as session:
        outbox.enqueue(
            session,
            *[
                outbox.row(
                    cast.woodgrove, "accepted", f"n{number:03}@partner.example", {},
                    now=clock.now, domain="woodgrove.example",
                )
                | {"state": MailState.FAILED}
                for number in range(120)
            ],
        )  # fmt: skip
    seen, page = [], john.get("/admin/mail")
    while True:
        shown = [th.get_text(" ").split()[0] for th in page.soup.select("tbody th")]
        assert len(shown) <= 50
        seen += shown
        onward = page.soup.select_one("a[rel=next]")
        if onward is None:
            break
        page = john.get(str(onward["href"]))
    assert sorted(seen) == [f"n{number:03}@partner.example" for number in range(120)]
    back = john.get(str(page.soup.select_one("a[rel=prev]")["href"]))  # type: ignore[index]
    assert [th.get_text(" ").split()[0] for th in back.soup.select("tbody th")] == seen[50:100]


def test_only_global_administrators_look_after_mail(
    app: Flask, cast: Cast, clock: Clock, adele: Browser, john: Browser
) -> None:
    """ADM-2, ADM-3"""
    assert adele.get("/admin/mail").response.status_code == 403
    invite(app, cast, clock, SAM)
    failed = change(app, SAM, state=MailState.FAILED, tenant_id=cast.contoso, template="accepted")
    assert "Nothing failed" in john.get("/admin/mail").text
    page = john.get("/admin/mail")
    token = page.form("/admin/mail/pause").find("input")["value"]  # type: ignore[index]
    answer = john.post(f"/admin/mail/{failed}/again", {"csrf_token": token})
    assert answer.response.status_code == 404
    assert mail_of(app, SAM).state is MailState.FAILED


def test_a_page_is_shown_though_its_notice_cannot_be_read(
    app: Flask, john: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """REL-7: the page that says that the database is away has a notice at its top as well."""

    def away(*_: object, **__: object) -> None:
        raise OperationalError("SELECT 1", {}, sqlite3.OperationalError("database is locked"))

    app.extensions.pop("b2b_mail_notices", None)
    monkeypatch.setattr("b2b.services.mail_queue.notice", away)
    assert john.get("/admin/users").status == 200
