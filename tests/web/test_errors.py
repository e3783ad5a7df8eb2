"""Faults of the machine: a locked database is waited for, then a page keeps what was typed."""

import threading
import time
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import func, select

from b2b import database
from b2b.extensions import db
from b2b.models import Invitation
from tests.cast import Cast
from tests.conftest import Clock
from tests.factories import SAM
from tests.pages import Browser
from tests.web.surveys import Lock

MESSAGE = "The drawings for the Harbour Street site are ready; please have a look this week."


def invitations(app: Flask) -> int:
    with app.app_context():
        count = db.session.execute(select(func.count()).select_from(Invitation)).scalar_one()
        db.session.remove()
        return count


class TestShortTimeout:
    """The time-out scaled down: a lock that lasts longer."""

    @pytest.fixture
    def settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        return settings | {"BUSY_TIMEOUT": 0.3}

    def test_a_lock_that_stays_answers_503_and_keeps_what_was_typed(
        self, app: Flask, cast: Cast, john: Browser, lock: Lock
    ) -> None:
        """REL-7"""
        form = john.get("/admin/users/invite")
        begun = time.monotonic()
        with lock():
            page = form.submit(
                "/invite", addresses=SAM, message=MESSAGE, applications=[str(cast.projects)]
            )
            waited = time.monotonic() - begun
            assert page.status == 503
            assert 0.25 < waited < 5
            assert page.h1 == "One moment"
            assert "The database is busy. Nothing was changed." in page.text
            assert MESSAGE in page.text
            assert page.response.headers["Retry-After"] == "5"
            again = page.submit()
            assert again.status == 503
            assert MESSAGE in again.text
        assert invitations(app) == 0
        done = again.submit()
        assert done.status == 200
        assert "Invited gsamoogle@gmail.com." in done.text
        assert invitations(app) == 1

    def test_a_password_is_not_kept(self, app: Flask, cast: Cast, lock: Lock) -> None:
        """REL-7, MAIL-7"""
        form = Browser(app).get("/signin").submit(address="adele.vance@woodgrove.example")
        with lock():
            page = form.submit(password=cast.password)
        assert page.status == 503
        assert cast.password not in page.response.get_data(as_text=True)

    def test_pages_can_be_read_meanwhile(self, cast: Cast, john: Browser, lock: Lock) -> None:
        """REL-7, REL-8: reads work"""
        with lock():
            for path in ("/admin", "/admin/users", f"/admin/users/{cast.adele}", "/myapps"):
                assert john.get(path).status == 200, path

    def test_a_page_is_shown_even_if_nobody_can_note_that_it_was(
        self, clock: Clock, john: Browser, lock: Lock
    ) -> None:
        """REL-7: after five minutes a request notes that the session is in use"""
        clock.advance(minutes=6)
        with lock():
            assert john.get("/admin/users").status == 200


def test_a_lock_that_goes_away_in_time_is_waited_for(
    app: Flask, cast: Cast, john: Browser, lock: Lock
) -> None:
    """REL-7: 3 s are waited for; here the lock goes 0.6 s after the form was sent"""
    form = john.get("/admin/users/invite")
    locked, sent = threading.Event(), threading.Event()

    def hold() -> None:
        with lock():
            locked.set()
            assert sent.wait(10)
            time.sleep(0.6)

    holder = threading.Thread(target=hold)
    holder.start()
    assert locked.wait(10)
    sent.set()
    begun = time.monotonic()
    page = form.submit("/invite", addresses=SAM)
    waited = time.monotonic() - begun
    holder.join(10)
    assert page.status == 200
    assert "Invited gsamoogle@gmail.com." in page.text
    assert waited >= 0.5
    assert invitations(app) == 1


def test_a_full_disk_is_told_from_a_busy_database() -> None:
    """REL-8"""
    from sqlite3 import OperationalError as SQLiteError

    from sqlalchemy.exc import OperationalError

    full = OperationalError("INSERT", {}, SQLiteError("database or disk is full"))
    busy = OperationalError("INSERT", {}, SQLiteError("database is locked"))
    broken = OperationalError("INSERT", {}, SQLiteError("no such table: users"))
    assert [database.is_full(error) for error in (full, busy, broken)] == [True, False, False]
    assert [database.is_busy(error) for error in (full, busy, broken)] == [False, True, False]


def test_readiness_names_what_is_not_well(app: Flask, cast: Cast, clock: Clock) -> None:
    """REL-16"""
    client = app.test_client()
    answer = client.get("/readyz", base_url="http://localhost:5000")
    assert answer.status_code == 200
    assert answer.json == {
        "status": "ok", "checks": {"database": "ok", "disk": "ok", "mail": "ok"}
    }  # fmt: skip
    from b2b import worker
    from tests import factories

    with app.app_context(), worker.transaction() as session:
        factories.invite(session, cast, clock.now)
    clock.advance(minutes=6)
    late = client.get("/readyz", base_url="http://localhost:5000")
    assert late.json is not None
    assert late.json["checks"]["mail"] == "mail has been waiting for more than 5 minutes"


def test_metrics_are_for_this_machine_or_the_token(app: Flask, cast: Cast) -> None:
    """REL-16, HTTP-3"""
    client = app.test_client()

    def status(address: str, **headers: str) -> int:
        return client.get(
            "/metrics", base_url="http://localhost:5000", headers=headers,
            environ_base={"REMOTE_ADDR": address},
        ).status_code  # fmt: skip

    assert status("127.0.0.1") == 200
    assert status("::1") == 200
    assert status("192.0.2.1") == 404
    assert status("192.0.2.1", **{"X-Forwarded-For": "127.0.0.1"}) == 404
    app.config["METRICS_TOKEN"] = "a scraper's token"
    assert status("192.0.2.1", Authorization="Bearer a scraper's token") == 200
    assert status("192.0.2.1", Authorization="Bearer another") == 404
    assert status("127.0.0.1") == 404
