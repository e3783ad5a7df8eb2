"""Rooms of app registrations in a real Chromium: axe, wide and narrow, and the copy button."""

from typing import Literal
from uuid import UUID

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, expect

from b2b.services import graph_permissions
from tests.pages import Browser
from tests.web import test_portal_browser, test_registration_pages

pytestmark = pytest.mark.browser

address, visit = test_portal_browser.address, test_portal_browser.visit
surveys = test_registration_pages.surveys


@pytest.mark.long
@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (360, "dark")])
def test_axe_finds_nothing_and_nothing_scrolls_sideways(
    address: str,
    visit: BrowserContext,
    john: Browser,
    surveys: UUID,
    width: int,
    theme: Literal["light", "dark"],
) -> None:
    """design brief, 7: 360 px, both themes"""
    one = f"/admin/app-registrations/{surveys}"
    graph = graph_permissions.APP_ID
    scopes = [str(graph_permissions.SCOPES[name].scope) for name in ("User.Read", "User.Read.All")]
    john.get(f"{one}/permissions/add?api={graph}").submit(delegated=scopes)
    john.get(f"{one}/credentials").submit("/secrets", description="Night run")
    john.get(f"{one}/roles/new").submit(display_name="Surveyors", value="Surveyors")
    john.get(f"{one}/api/scopes/new").submit(value="Answers.Read", display_name="Read answers")
    page = visit.new_page()
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size({"width": width, "height": 780})
    application = john.get(one).follow("Open the application").path
    for path in (
        "/admin/app-registrations",
        "/admin/app-registrations/new",
        one,
        f"{one}/authentication",
        f"{one}/credentials",
        f"{one}/tokens",
        f"{one}/permissions",
        f"{one}/permissions/add",
        f"{one}/permissions/add?api={graph}",
        f"{one}/api",
        f"{one}/roles",
        f"{one}/roles/new",
        f"{one}/delete",
        application,
    ):
        page.goto(address + path)
        found = Axe().run(page)
        assert found.violations_count == 0, f"{path}: {found.generate_report()}"
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path


def test_a_new_secret_is_copied_by_its_button(
    address: str, visit: BrowserContext, surveys: UUID
) -> None:
    visit.grant_permissions(["clipboard-read", "clipboard-write"], origin=address)
    page = visit.new_page()
    page.goto(f"{address}/admin/app-registrations/{surveys}/credentials")
    page.get_by_label("Description").fill("Night run")
    page.get_by_role("button", name="Make a secret").press("Enter")
    secret = page.locator("#new-secret")
    expect(secret).to_be_visible()
    page.get_by_role("button", name="Copy the secret").press("Enter")
    assert page.evaluate("navigator.clipboard.readText()") == secret.inner_text()
