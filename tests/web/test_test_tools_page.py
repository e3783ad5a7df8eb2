"""The test tools' page in the portal, and the same by command."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from b2b import clock as clock_module
from b2b import worker
from b2b.extensions import db
from b2b.services import replication
from tests import factories
from tests.cast import Cast
from tests.conftest import START, Clock
from tests.pages import Browser


@pytest.fixture
def settings(settings: dict[str, Any]) -> dict[str, Any]:
    return {**settings, "TEST_DOUBLE": True}


@pytest.fixture(autouse=True)
def afterwards() -> Iterator[None]:
    yield
    clock_module.follow(None)
    replication.configure(None)


def test_time_passes_and_every_page_says_so(john: Browser) -> None:
    page = john.get("/admin").follow("Test tools")
    assert page.h1 == "Test tools"
    assert "The clock shows the real time." in page.text
    page = page.submit("/test-tools/clock", hours="2", minutes="30")
    assert "The clock is 02:30:00 ahead." in page.text
    assert (clock_module.now() - START).total_seconds() == 9000
    assert "Test clock: 02:30:00 ahead." in john.get("/myapps").soup.get_text()
    page = page.submit("/test-tools/clock/reset")
    assert clock_module.now() == START
    assert "Test clock" not in page.soup.get_text()
    assert page.submit("/test-tools/clock", days="soon").errors == ["Enter a number."]
    assert page.submit("/test-tools/clock").errors == []
    errors = page.submit("/test-tools/clock", days="99999999").errors
    assert errors == ["The clock goes ten years either way at most."]


def test_faults_are_added_seen_and_taken_away(john: Browser) -> None:
    page = john.get("/admin/test-tools").submit(
        "/test-tools/faults", path="/healthz", status="503", percent="100", times="1"
    )
    assert "/healthz" in page.text
    assert "0 of 1" in page.text
    assert john.client.get("/healthz").status_code == 503
    assert john.client.get("/healthz").status_code == 200
    page = john.get("/admin/test-tools")
    assert "1 of 1" in page.text
    assert "1 fault is on." in page.soup.get_text()
    assert "Nothing goes wrong" in page.submit("/remove").text
    errors = page.submit("/test-tools/faults", path="healthz").errors
    assert errors == ["Enter a path that begins with /, such as /v1.0/users."]
    errors = page.submit("/test-tools/faults", path="/", kind="latency").errors
    assert errors == ["Say for how long the answer is held back."]
    errors = page.submit("/test-tools/faults", path="/", percent="0").errors
    assert errors == ["Enter a share above 0 and up to 1."]
    page = page.submit("/test-tools/lag", seconds="5")
    assert "New objects show after 5 seconds." in page.soup.get_text()


def test_a_fault_that_meets_everything_leaves_a_way_back(john: Browser) -> None:
    page = john.get("/admin/test-tools").submit("/test-tools/faults", path="/", status="500")
    assert john.client.get("/admin").status_code == 500
    assert "Nothing goes wrong" in page.submit("/remove").text
    assert john.client.get("/admin").status_code == 200


def test_snapshots_are_taken_put_back_and_thrown_away(
    app: Flask, cast: Cast, john: Browser, clock: Clock
) -> None:
    page = john.get("/admin/test-tools").submit("/test-tools/snapshots", name="before")
    assert "before holds all directories as they are now." in page.text
    with app.app_context(), worker.transaction() as session:
        factories.invite(session, cast, clock.now, "nancy@proseware.example")
    assert "nancy@proseware.example" in john.get("/admin/users").text
    page = page.submit("/snapshots/before/restore")
    assert "All directories are back as before has them." in page.text
    assert "nancy@proseware.example" not in john.get("/admin/users").text
    assert "Put before back" not in page.submit("/snapshots/before/delete").text
    errors = page.submit("/test-tools/snapshots", name="Two words").errors
    assert errors == ["A name has small letters, digits, dots and dashes: 64 at most."]


def test_only_who_may_change_policies_finds_them(adele: Browser) -> None:
    assert "Test tools" not in adele.get("/admin").soup.get_text()
    assert adele.get("/admin/test-tools").status == 403


def test_the_commands_do_the_same(app: Flask, cast: Cast, clock: Clock) -> None:
    def said(*words: str, status: int = 0) -> str:
        with app.app_context():
            done = app.test_cli_runner().invoke(args=list(words))
        assert done.exit_code == status, done.output
        return done.output

    assert said("clock", "show") == "2026-11-21 09:00:00 UTC here; the real time is 09:00:00\n"
    assert "31 days, 0:00:00 ahead" in said("clock", "advance", "--days", "31")
    assert "2027-01-31 09:00:00 UTC here" in said("clock", "set", "2027-01-31T09:00:00Z")
    assert said("clock", "reset") == "2026-11-21 09:00:00 UTC here; the real time is 09:00:00\n"
    assert "Enter a time with its zone" in said("clock", "set", "tomorrow", status=1)
    line = said("faults", "add", "/v1.0", "--retry-after", "5", "--share", "0.5", "--times", "3")
    assert "any     /v1.0  answer 429, Retry-After 5, 50% of requests; met 0 of 3" in line
    assert said("faults", "list") == line
    said("faults", "remove", line.split()[0])
    said("faults", "visible-after", "2.5")
    assert said("faults", "list") == "Graph's lists show new objects 2.5 s late.\n"
    said("faults", "clear")
    assert said("faults", "list") == ""
    assert said("snapshot", "take", "one").startswith("one holds all directories")
    assert "back as one has them" in said("snapshot", "restore", "one")
    assert said("snapshot", "list").startswith("one ")
    said("snapshot", "delete", "one")
    assert "There is no snapshot one." in said("snapshot", "restore", "one", status=1)


def test_a_directory_file_is_checked_loaded_and_written_by_command(
    app: Flask, cast: Cast, clock: Clock
) -> None:
    def said(*words: str, text: str = "", status: int = 0) -> str:
        with app.app_context():
            done = app.test_cli_runner().invoke(args=["directory", *words], input=text)
            db.session.remove()
        assert done.exit_code == status, done.output
        return done.output

    text = "tenants:\n  - name: A\n    domain: a.example\n    applications:\n" \
        "      - {name: P, secret: true}\n"  # fmt: skip
    made = "a.example: organisation made\na.example: application P made\n"
    made += "a.example: application P: secret\n"
    assert said("load", "-", "--check", text=text) == f"{made}3 would change, 0 as they were\n"
    told = said("load", "-", text=text)
    assert told.startswith(f"{made}secret of a.example/P: ")
    assert told.endswith("3 changed, 0 as they were\n")
    assert "0 changed, 2 as they were" in said("load", "-", text=text)
    assert "- name: P\n    secret: true\n" in said("export")
    refused = said("load", "-", text="tenants:\n  - name: A\n", status=1)
    assert refused == "b2b: Line 2, tenants[0]: domain is missing\n"
