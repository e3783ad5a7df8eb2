"""The portal's rooms in a real Chromium: axe, 360 px, both themes, and the keyboard alone."""

import threading
from collections.abc import Iterator
from typing import Literal
from uuid import UUID

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import BrowserContext, expect
from werkzeug.serving import make_server

from b2b import worker
from tests import factories
from tests.cast import Cast
from tests.conftest import Clock
from tests.pages import Browser

pytestmark = pytest.mark.browser


@pytest.fixture
def address(app: Flask) -> Iterator[str]:
    """Where the app is served."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://localhost:{server.port}"
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.fixture
def visit(address: str, john: Browser, chromium: Chromium) -> Iterator[BrowserContext]:
    """A browser in which John is signed in: he has the cookie already."""
    cookie = john.client.get_cookie("b2b_session")
    assert cookie is not None
    context = chromium.new_context()
    context.add_cookies([{"name": cookie.key, "value": cookie.value, "url": address}])
    yield context
    context.close()


@pytest.fixture
def people(app: Flask, cast: Cast, clock: Clock) -> tuple[UUID, UUID]:
    """Somebody who has accepted, and somebody who waits."""
    with app.app_context(), worker.transaction() as session:
        sam = factories.invite(
            session, cast, clock.now, application_ids=[cast.projects], group_ids=[cast.partners]
        )
        factories.accept(session, cast, sam, clock.now)
        ann = factories.invite(session, cast, clock.now, "ann@gmail.com", display_name="Ann")
        return sam.user_id, ann.user_id


@pytest.mark.parametrize("theme", ["light", pytest.param("dark", marks=pytest.mark.long)])
def test_axe_finds_nothing_and_nothing_scrolls_sideways(
    address: str,
    visit: BrowserContext,
    cast: Cast,
    people: tuple[UUID, UUID],
    theme: Literal["light", "dark"],
) -> None:
    """design brief, 7: 360 px, both themes"""
    sam, ann = people
    page = visit.new_page()
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size({"width": 360, "height": 780})
    for path in (
        "/admin",
        "/admin/users?type=Guest&synced=no",
        f"/admin/users/selected?do=group&id={sam}&id={ann}",
        f"/admin/users/{sam}",
        f"/admin/users/{sam}/edit",
        f"/admin/users/{sam}/access",
        f"/admin/users/{sam}/roles",
        f"/admin/users/{cast.john}/sessions",
        f"/admin/users/{ann}/explain",
        f"/admin/users/{sam}/reset",
        f"/admin/users/{sam}/delete",
        "/admin/audit?activity=Add+user",
        "/admin/audit/3",
        "/admin/sign-ins",
        "/admin/settings/external",
    ):
        page.goto(address + path)
        found = Axe().run(page)
        assert found.violations_count == 0, f"{path}: {found.generate_report()}"
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360, path


def test_people_are_picked_and_blocked_by_the_keyboard_alone(
    address: str, visit: BrowserContext, people: tuple[UUID, UUID]
) -> None:
    page = visit.new_page()
    page.goto(f"{address}/admin/users?type=Guest")
    expect(page.locator("#picked")).to_be_hidden()
    page.get_by_role("checkbox", name="Select all on this page").press("Space")
    expect(page.locator("#picked")).to_contain_text("Selected: 2")
    page.get_by_role("button", name="Block sign-in").press("Enter")
    expect(page.locator("h1")).to_have_text("Block 2 people")
    page.get_by_role("button", name="Block 2 people").press("Enter")
    expect(page.locator("main")).to_contain_text("Blocked 2 people.")
