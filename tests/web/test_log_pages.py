"""The audit log, the sign-ins, and both as files."""

import csv
import io
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import insert, select

from b2b import worker
from b2b.extensions import db
from b2b.models import AuditEvent, Role, SignIn, new_id
from b2b.services import users
from b2b.web.spreadsheets import harmless
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import Clock
from tests.pages import Browser


@pytest.fixture
def sam(app: Flask, cast: Cast, clock: Clock) -> UUID:
    """Sam is invited and then blocked."""
    with app.app_context(), worker.transaction() as session:
        invited = factories.invite(session, cast, clock.now, display_name="Sam")
        users.block(session, acting(session, cast.woodgrove, cast.john, clock.now), invited.user_id)
        return invited.user_id


def lines(browser: Browser, path: str) -> list[list[str]]:
    """A file as a spreadsheet reads it."""
    page = browser.get(path)
    assert page.response.mimetype == "text/csv"
    assert page.response.headers["Content-Disposition"].startswith("attachment; filename=")
    text = page.response.get_data(as_text=True)
    assert text.startswith("\ufeff")
    return list(csv.reader(io.StringIO(text.removeprefix("\ufeff"))))


def rows(page: Any) -> list[str]:
    """What the first cells say."""
    return [" ".join(a.get_text().split()) for a in page.soup.select("main tbody th a")]


def test_the_log_shows_and_narrows(app: Flask, cast: Cast, john: Browser, sam: UUID) -> None:
    page = john.get("/admin/audit")
    assert page.h1 == "Audit log"
    assert rows(page)[0] == "Sign-in blocked"
    for query, expected in {
        "?activity=Disable+account": ["Sign-in blocked"],
        "?activity=Nonsense&category=Nonsense&since=x&until=y": rows(page),
        "?category=RoleManagement": ["Given a directory role"],
        f"?target={sam}&activity=Disable+account": ["Sign-in blocked"],
        "?target=gsamoogle@gmail.com&activity=Disable+account": ["Sign-in blocked"],
        "?actor=john.doe@woodgrove.example&activity=Disable+account": ["Sign-in blocked"],
        "?actor=adele.vance@woodgrove.example": [],
        "?since=2026-11-22": [],
        "?until=2026-11-20": [],
        "?since=2026-11-21&until=2026-11-21&activity=Disable+account": ["Sign-in blocked"],
    }.items():
        assert rows(john.get(f"/admin/audit{query}")) == expected, query
    nobody = john.get("/admin/audit?actor=nobody@nowhere.example")
    assert "Nobody here has this address or ID" in nobody.text
    assert rows(nobody) == []


def test_an_event_shows_everything_that_is_known(
    app: Flask, cast: Cast, john: Browser, sam: UUID
) -> None:
    """ADM-5: actor, time, target, before and after, address, correlation id"""
    john.get(f"/admin/users/{sam}").submit("/unblock")
    page = john.get("/admin/audit").follow("Sign-in allowed again")
    for words in ("Enable account", "127.0.0.1", "John Doe", "May sign in", "Sam"):
        assert words in page.text, words
    assert page.soup.select_one("#correlation") is not None
    assert page.soup.select(f"main a[href='/admin/users/{sam}']")
    about = page.follow("Everything done to this one")
    assert rows(about)[0] == "Sign-in allowed again"
    for path in ("999999", "x", "1" * 30, "-1"):
        assert john.get(f"/admin/audit/{path}").status == 404


def test_the_log_is_read_by_readers_alone(
    app: Flask, cast: Cast, clock: Clock, adele: Browser
) -> None:
    """ADM-2: entries absent, 403 when forced"""
    paths = ("/admin/audit", "/admin/audit/1", "/admin/audit.csv", "/admin/sign-ins",
             "/admin/sign-ins.csv")  # fmt: skip
    home = adele.get("/admin")
    assert not home.soup.select("nav a[href='/admin/audit'], nav a[href='/admin/sign-ins']")
    for path in paths:
        page = adele.get(path)
        assert page.status == 403
        assert "This needs the role Global Reader." in page.text
    with app.app_context(), worker.transaction() as session:
        factories.give_role(session, cast.woodgrove, cast.adele, Role.GLOBAL_READER, clock.now)
    for path in paths:
        assert adele.get(path).status == 200
    assert adele.get("/admin").soup.select("nav a[href='/admin/audit']")


def test_the_file_holds_what_the_filters_leave(
    app: Flask, cast: Cast, john: Browser, sam: UUID
) -> None:
    head, *found = lines(john, "/admin/audit.csv?activity=Disable+account")
    assert len(found) == 1
    event = dict(zip(head, found[0], strict=True))
    assert (event["activityDisplayName"], event["initiatedBy"], event["targetId"]) == (
        "Disable account", "John Doe", str(sam),
    )  # fmt: skip
    assert event["modifiedProperties"] == "AccountEnabled: True → False"
    assert len(lines(john, "/admin/audit.csv?actor=nobody@nowhere.example")) == 1


@pytest.mark.parametrize(
    ("text", "written"),
    [("=1+1", "'=1+1"), ("+1", "'+1"), ("-1", "'-1"), ("@SUM(A1)", "'@SUM(A1)"),
     ("\tx", "'\tx"), ("\rx", "'\rx"), ('"=1"', "'\"=1\""), (" =1", "' =1"), ("＝1", "'＝1"),
     ("John", "John"), ("a=b", "a=b"), ("", "")],
)  # fmt: skip
def test_no_text_is_a_formula(text: str, written: str) -> None:
    """CSV-2"""
    assert harmless(text) == written


def test_names_that_are_formulas_leave_as_text(
    app: Flask, cast: Cast, clock: Clock, john: Browser
) -> None:
    """CSV-2, ADM-1"""
    with app.app_context(), worker.transaction() as session:
        session.execute(
            insert(SignIn),
            {
                "tenant_id": cast.woodgrove, "id": new_id(), "at": clock.now,
                "identity": '=HYPERLINK("https://evil.example")', "method": "<b>x</b>",
                "application": "+1", "error_code": 50126, "failure_reason": "@x",
                "user_agent": "<script>alert(1)</script>", "correlation_id": new_id(),
            },
        )  # fmt: skip
    head, *found = lines(john, "/admin/sign-ins.csv?result=failure")
    row = dict(zip(head, found[0], strict=True))
    assert row["identity"] == '\'=HYPERLINK("https://evil.example")'
    assert (row["appDisplayName"], row["failureReason"]) == ("'+1", "'@x")
    page = john.get("/admin/sign-ins?result=failure").follow("=HYPERLINK")
    assert "<script>alert(1)</script>" in page.text
    assert not page.soup.select("main script, main b b")


def test_sign_ins_show_and_narrow(app: Flask, cast: Cast, john: Browser, adele: Browser) -> None:
    page = john.get("/admin/sign-ins")
    assert sorted(rows(page)) == ["Adele Vance", "John Doe"]
    for query, expected in {
        "?user=adele.vance@woodgrove.example": ["Adele Vance"],
        f"?user={cast.john}": ["John Doe"],
        "?result=failure": [],
        "?application=Nothing": [],
        "?since=2026-11-22": [],
        "?user=nobody": [],
    }.items():
        assert rows(john.get(f"/admin/sign-ins{query}")) == expected, query
    one = page.follow("Adele Vance")
    for words in ("with a password", "127.0.0.1", "Let in"):
        assert words in one.text
    assert rows(one.follow("All sign-ins of this person")) == ["Adele Vance"]
    assert john.get(f"/admin/sign-ins/{new_id()}").status == 404


def test_reading_writes_nothing(app: Flask, cast: Cast, john: Browser, sam: UUID) -> None:
    """ADM-5: the log grows by changes alone"""
    count = select(AuditEvent.sequence).order_by(AuditEvent.sequence.desc()).limit(1)
    with app.app_context():
        before = db.session.execute(count).scalar_one()
        db.session.remove()
    for path in ("/admin/audit", "/admin/audit.csv", "/admin/sign-ins", f"/admin/users/{sam}"):
        john.get(path)
    with app.app_context():
        assert db.session.execute(count).scalar_one() == before
        db.session.remove()
