"""Faults of the machine: a full disk, a wrong clock, a database that is started again."""

import smtplib
import sqlite3
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest
from flask import Flask
from sqlalchemy import make_url, select, text
from sqlalchemy.exc import DBAPIError, PendingRollbackError

from b2b import database, worker
from b2b.extensions import db
from b2b.mail.delivery import Deliverer
from b2b.models import AuditEvent, Invitation, MailState, OutboxMessage, User
from b2b.services import invitation_quotas, sessions
from b2b.web import health
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import Clock, Mailroom
from tests.databases import PostgresTemplate, contents, full_disk, reading
from tests.factories import SAM
from tests.letters import code_in, link_in
from tests.mail.conftest import send_to
from tests.mail.fault_server import FaultServer
from tests.pages import ORIGIN, Browser
from tests.web.test_every_route import address_of, rules

FULL = "The disk of this server is full. Nothing was changed."
MESSAGE = "The drawings for the Harbour Street site are ready; please have a look this week."


# A full disk --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "database_url", ["sqlite"], indirect=True
)  # a server's disk is not this process's to fill
class TestFullDisk:
    """No file may grow any more: SQLite cannot write, and goes on reading."""

    def test_writes_say_so_keep_what_was_typed_and_work_again_afterwards(
        self, app: Flask, cast: Cast, john: Browser
    ) -> None:
        """REL-8: 503 with the reason; nothing half-made; no restart, and the file is sound"""
        url = app.config["DATABASE_URL"]
        form = john.get("/admin/users/invite")
        before = contents(url)
        with full_disk():
            page = form.submit(
                "/invite", addresses=SAM, message=MESSAGE, applications=[str(cast.projects)]
            )
            assert (page.status, page.h1) == (503, "One moment")
            assert FULL in page.text
            assert MESSAGE in page.text
            assert page.response.headers["Retry-After"] == "5"
            again = page.submit()
            assert again.status == 503
        assert contents(url) == before
        done = again.submit()
        assert "Invited gsamoogle@gmail.com." in done.text
        with closing(sqlite3.connect(str(make_url(url).database))) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)

    def test_pages_are_read_also_when_nobody_can_note_that_they_were(
        self, cast: Cast, clock: Clock, john: Browser
    ) -> None:
        """REL-8: reads work; after five minutes a request notes that the session is in use"""
        clock.advance(minutes=6)
        with full_disk():
            for path in ("/admin", "/admin/users", f"/admin/users/{cast.adele}", "/myapps"):
                assert john.get(path).status == 200, path

    def test_no_address_ends_in_a_fault_and_none_changes_a_thing(
        self, app: Flask, cast: Cast, clock: Clock, john: Browser
    ) -> None:
        """REL-8: every page and every form, as an administrator and as a stranger"""
        with app.app_context(), worker.transaction() as session:
            factories.invite(session, cast, clock.now)
        app.config["WTF_CSRF_ENABLED"] = False
        known = {"user_id": cast.adele, "group_id": cast.partners, "application_id": cast.projects}
        url = app.config["DATABASE_URL"]
        statuses: Counter[int] = Counter()
        before = contents(url)
        with full_disk():
            for browser in (john, Browser(app)):
                cookies = {
                    name: cookie
                    for name in ("b2b_session", "b2b_browser")
                    if (cookie := browser.client.get_cookie(name, domain="localhost"))
                }
                for method in ("GET", "POST"):
                    for rule in rules(app, method):
                        for name, cookie in cookies.items():
                            browser.client.set_cookie(name, cookie.value, domain="localhost")
                        if rule.endpoint.partition(".")[0] in ("inbox", "mailpit", "demo_app"):
                            continue  # their store is another one
                        with browser.client.open(
                            address_of(rule, **known), method=method, base_url=ORIGIN
                        ) as answer:
                            statuses[answer.status_code] += 1
                            assert answer.status_code not in (500, 501, 502), (
                                method, rule.rule, answer.get_data(as_text=True)[:2000],
                            )  # fmt: skip
        assert statuses[503] > 5, statuses
        assert statuses[200] > 50, statuses
        assert contents(url) == before

    def test_a_guest_on_the_way_in_loses_nothing(
        self, app: Flask, cast: Cast, john: Browser, mailroom: Mailroom
    ) -> None:
        """REL-8: the link opens, each step says that it must wait, and goes on from where it was"""
        john.get("/admin/users/invite").submit("/invite", addresses=SAM)
        mailroom.deliver()
        link = link_in(mailroom.sources(SAM)[0])
        sam, adele = Browser(app), Browser(app)
        password = adele.get("/signin").submit(address="adele.vance@woodgrove.example")
        with full_disk():
            landing = sam.get(link)
            assert landing.h1 == "John Doe invites you to WoodGrove"
            for form, values in (
                (landing, {"action": "/redeem/start"}),
                (password, {"password": cast.password}),
            ):
                page = form.submit(**values)
                assert page.status == 503
                assert FULL in page.text
        sam.get("/redeem").submit("/redeem/start")
        mailroom.deliver()
        page = sam.get("/signin/code").submit(
            "/signin/code", code=code_in(mailroom.sources(SAM)[-1])
        )
        assert page.path == "/signin/account"
        assert password.submit(password=cast.password).path == "/myapps"

    def test_a_mail_taken_while_the_disk_is_full_is_not_sent_again(
        self, app: Flask, cast: Cast, clock: Clock
    ) -> None:
        """REL-8, REL-2: what became of it is written down as soon as there is room"""
        server = FaultServer().start()
        send_to(app, server.port)
        limit = full_disk()
        freed = threading.Event()

        def fill(_: str) -> None:
            limit.__enter__()
            timer = threading.Timer(0.5, free)
            timer.start()

        def free() -> None:
            limit.__exit__(None, None, None)
            freed.set()

        server.meanwhile = fill
        try:
            with app.app_context():
                with worker.transaction() as session:
                    factories.invite(session, cast, clock.now)
                deliverer = Deliverer(
                    worker.transaction, worker.writing, owner="test", clock=lambda: clock.now,
                    stopping=lambda: False,
                )  # fmt: skip
                outcome = deliverer.run()
                assert deliverer.run().leased == 0
                deliverer.close()
                [state] = db.session.scalars(select(OutboxMessage.state))
                db.session.remove()
            assert freed.is_set()
        finally:
            server.stop()
        assert (outcome.sent, outcome.lost) == (1, 0)
        assert len(server.accepted) == 1
        assert state is MailState.SENT

    def test_the_sink_answers_452_and_goes_on_when_there_is_room(
        self, app: Flask, mailroom: Mailroom
    ) -> None:
        """REL-8"""
        mailroom.send(b"Subject: before\r\n\r\nbody\r\n", SAM)
        large = b"Subject: during\r\n\r\n" + b"line of text\r\n" * 4000
        with full_disk(), pytest.raises(smtplib.SMTPDataError) as refused:
            mailroom.send(large, SAM)
        assert (refused.value.smtp_code, refused.value.smtp_error) == (452, b"4.3.1 Out of room")
        mailroom.send(large.replace(b"during", b"after"), SAM)
        subjects = [source.partition(b"\r\n")[0] for source in mailroom.sources()]
        assert subjects == [b"Subject: before", b"Subject: after"]


def test_a_server_that_has_no_room_is_told_from_one_that_is_broken() -> None:
    """REL-8: PostgreSQL's own words, by its codes"""
    full = psycopg.errors.DiskFull("could not extend file")
    for error, is_full in ((full, True), (psycopg.errors.UndefinedTable("no such table"), False)):
        assert database.is_full(error) is is_full
        assert not database.is_busy(error)


def test_readiness_turns_red_before_the_disk_is_full(
    app: Flask, cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """REL-8, REL-16"""
    free = {"bytes": health.LEAST_FREE}

    class Usage:
        def __init__(self, _: object) -> None:
            self.free = free["bytes"]

    monkeypatch.setattr(health.shutil, "disk_usage", Usage)  # type: ignore[attr-defined]
    client = app.test_client()
    assert client.get("/readyz", base_url=ORIGIN).status_code == 200
    free["bytes"] -= 1
    answer = client.get("/readyz", base_url=ORIGIN)
    assert answer.status_code == 503
    assert answer.json is not None
    assert answer.json["checks"]["disk"] == "almost full"


# A wrong clock ------------------------------------------------------------------------------------


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_jumps_while_mail_goes_out_sends_nothing_twice_and_loses_nothing(
    app: Flask, cast: Cast, clock: Clock, hours: int
) -> None:
    """REL-11: in the middle of a batch"""
    server = FaultServer().start()
    send_to(app, server.port)
    addresses = [f"guest{number}@partner.example" for number in range(6)]
    taken: list[str] = []

    def jump(recipient: str) -> None:
        taken.append(recipient)
        if len(taken) == 3:
            clock.advance(hours=hours)

    server.meanwhile = jump
    try:
        with app.app_context():
            with worker.transaction() as session:
                for address in addresses:
                    factories.invite(session, cast, clock.now, address)
            deliverer = Deliverer(
                worker.transaction,
                worker.writing,
                owner="test",
                clock=lambda: clock.now,
                stopping=lambda: False,
            )
            for _ in range(3):
                deliverer.run()
            # Mail of after the jump goes out at once as well.
            with worker.transaction() as session:
                factories.invite(session, cast, clock.now, "later@partner.example")
            for _ in range(3):
                deliverer.run()
            deliverer.close()
            states = set(db.session.scalars(select(OutboxMessage.state)))
            db.session.remove()
    finally:
        server.stop()
    assert Counter(recipient for recipient, _ in server.accepted) == dict.fromkeys(
        [*addresses, "later@partner.example"], 1
    )
    assert states == {MailState.SENT}


@pytest.mark.parametrize("hours", [-1, 1])
def test_sessions_and_links_bear_an_hour_and_codes_say_what_to_do(
    app: Flask, cast: Cast, clock: Clock, john: Browser, mailroom: Mailroom, hours: int
) -> None:
    """REL-11: nobody is signed out, links open; a code of thirty minutes is over after an hour"""
    john.get("/admin/users/invite").submit("/invite", addresses=SAM)
    mailroom.deliver()
    link = link_in(mailroom.sources(SAM)[0])
    sam = Browser(app)
    sam.get(link).submit("/redeem/start")
    mailroom.deliver()
    code = code_in(mailroom.sources(SAM)[-1])
    clock.advance(hours=hours)
    assert john.get("/admin/users").status == 200
    assert Browser(app).get(link).h1 == "John Doe invites you to WoodGrove"
    page = sam.get("/signin/code").submit("/signin/code", code=code)
    if hours > 0:
        assert page.errors == ["That code is not valid any more. Send a new one."]
    else:
        assert page.errors == []
        assert page.path == "/signin/account"
    clock.advance(hours=-hours)
    assert john.get("/admin/users").status == 200


def test_whoever_was_signed_out_everywhere_may_sign_in_after_the_clock_went_back(
    app: Flask, cast: Cast, clock: Clock
) -> None:
    """REL-11, SES-1: the end of all sessions lies in the future then, and must not end new ones"""
    adele = Browser(app).sign_in("adele.vance@woodgrove.example", cast.password)
    with app.app_context(), worker.transaction() as session:
        person = session.get_one(User, (cast.woodgrove, cast.adele))
        sessions.end_all(session, acting(session, cast.woodgrove, cast.john, clock.now), person)
    assert adele.get("/myapps").path == "/signin"
    clock.advance(hours=-1)
    adele.sign_in("adele.vance@woodgrove.example", cast.password)
    assert adele.get("/myapps").path == "/myapps"


# A database that is started again -----------------------------------------------------------------


@pytest.fixture
def own_server() -> Iterator[PostgresTemplate]:
    template = PostgresTemplate()
    yield template
    template.close()


@pytest.mark.long
@pytest.mark.postgres
@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)  # a file cuts nobody off
@pytest.mark.parametrize(
    "ending", ["close", "rollback", "commit", "next statement", "the one after that"]
)
def test_a_connection_that_is_cut_off_is_thrown_away(
    app: Flask, cast: Cast, database_url: str, ending: str
) -> None:
    """REL-7: also when nobody notices before the page is done and its reading is ended"""
    with app.app_context():
        session = db.session()
        pid = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with reading(database_url) as other:
            other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
        if ending == "close":
            db.session.remove()
        elif ending == "rollback":
            db.session.rollback()
        else:
            statement = text("COMMIT" if ending == "commit" else "SELECT 1")
            with pytest.raises(DBAPIError) as refused:
                session.execute(statement)
            assert database.is_busy(refused.value)
            if ending == "the one after that":
                with pytest.raises(PendingRollbackError) as again:
                    session.execute(statement)
                assert database.is_busy(again.value)
            db.session.rollback()
        assert db.session.execute(text("SELECT 1")).scalar_one() == 1
        db.session.remove()


@pytest.mark.long
@pytest.mark.postgres
class TestRestart:
    """PostgreSQL, restarted under load."""

    @pytest.fixture
    def database_url(self, own_server: PostgresTemplate) -> str:
        return own_server.url("template_b2b")

    @pytest.fixture
    def settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        return settings | {"BUSY_TIMEOUT": 2.0}

    def test_nobody_sees_a_fault_and_nothing_confirmed_is_lost(
        self, app: Flask, cast: Cast, own_server: PostgresTemplate
    ) -> None:
        """REL-7, REL-1: 503 for a moment, then on without a restart of ours"""
        invitation_quotas.configure(None)
        browsers = [
            Browser(app).sign_in("john.doe@woodgrove.example", cast.password) for _ in range(3)
        ]
        outcomes: Counter[int] = Counter()
        confirmed: list[str] = []
        faults: list[object] = []
        over = threading.Event()

        def invite(number: int) -> None:
            count = 0
            while not over.is_set():
                count += 1
                address = f"guest{number}.{count}@partner.example"
                try:
                    form = browsers[number].get("/admin/users/invite")
                    page = form
                    if form.status == 200:
                        page = form.submit("/invite", addresses=address)
                    outcomes[page.status] += 1
                    if f"Invited {address}." in page.text:
                        confirmed.append(address)
                    elif page.status == 503:
                        time.sleep(0.05)
                    else:
                        faults.append((page.status, page.text[:500]))
                except BaseException as error:
                    faults.append("".join(traceback.format_exception(error)))
                    return

        threads = [threading.Thread(target=invite, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        try:
            for round_number in range(1, 4):
                ends = time.monotonic() + 30
                while len(confirmed) < 8 * round_number and time.monotonic() < ends:
                    time.sleep(0.02)
                own_server.restart()
            ends = time.monotonic() + 30
            reached = len(confirmed)
            while len(confirmed) < reached + 8 and time.monotonic() < ends:
                time.sleep(0.02)
        finally:
            over.set()
            for thread in threads:
                thread.join(60)
        assert faults == [], "\n".join(map(str, faults))
        assert set(outcomes) <= {200, 503}, outcomes
        assert len(confirmed) >= reached + 8
        with app.app_context():
            invited = set(db.session.scalars(select(Invitation.invited_address)))
            owed = set(db.session.scalars(select(OutboxMessage.recipient)))
            audited = db.session.scalars(
                select(AuditEvent.target_name).where(AuditEvent.activity == "Invite external user")
            ).all()
            db.session.remove()
        assert set(confirmed) <= invited
        assert owed == invited
        assert len(audited) == len(invited)
