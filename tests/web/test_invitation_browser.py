"""The invitations pages in a real Chromium: states that change by themselves, and axe."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

import pytest
from axe_playwright_python.sync_playwright import Axe
from flask import Flask, request
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import BrowserContext, Page, expect
from sqlalchemy import update
from werkzeug.serving import make_server

from b2b import worker
from b2b.models import MailState, OutboxMessage
from tests import factories
from tests.cast import Cast
from tests.conftest import Clock
from tests.pages import Browser

pytestmark = pytest.mark.browser


@dataclass
class Served:
    """The app on a port, and which fragments were asked of it."""

    url: str
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def served(app: Flask) -> Iterator[Served]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    running = Served(f"http://localhost:{server.port}")

    def note() -> None:
        if request.path.endswith(("/deliveries", "/journey")):
            running.asked.append(request.path)

    app.before_request(note)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield running
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.fixture
def visit(served: Served, john: Browser, chromium: Chromium) -> Iterator[BrowserContext]:
    """A browser in which John is signed in: he has the cookie already."""
    cookie = john.client.get_cookie("b2b_session")
    assert cookie is not None
    context = chromium.new_context()
    context.add_cookies([{"name": cookie.key, "value": cookie.value, "url": served.url}])
    yield context
    context.close()


@pytest.fixture
def three(app: Flask, cast: Cast, clock: Clock) -> list[UUID]:
    with app.app_context(), worker.transaction() as session:
        return [
            factories.invite(session, cast, clock.now, f"guest{number}@partner.example").user_id
            for number in range(3)
        ]


def settle(app: Flask, clock: Clock, *recipients: str) -> None:
    """The mail server takes these."""
    with app.app_context(), worker.transaction() as session:
        session.execute(
            update(OutboxMessage)
            .where(OutboxMessage.recipient.in_(recipients))
            .values(state=MailState.SENT, settled_at=clock.now)
        )


def hide(page: Page, hidden: bool) -> None:
    """Go to another tab, or come back."""
    page.evaluate(
        """hidden => {
          Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        hidden,
    )


def test_the_list_shows_by_itself_that_mail_was_sent_and_then_rests(
    app: Flask, clock: Clock, served: Served, visit: BrowserContext, three: list[UUID]
) -> None:
    """Ticks and focus stay; it is said politely; nothing is asked once all have come to an end."""
    page = visit.new_page()
    page.goto(f"{served.url}/admin/invitations")
    place = page.locator("[data-poll]")
    expect(place).to_have_attribute("aria-live", "polite")
    expect(place).to_contain_text("3 mails are on their way.")
    box = page.locator(f"input[value='{three[1]}']")
    box.check()
    box.focus()
    settle(app, clock, "guest0@partner.example")
    first = page.locator(f"#mail-{three[0]}")
    expect(first).to_have_text("Sent to mail server", timeout=15_000)
    expect(place).to_have_text("2 mails are on their way.")
    expect(page.locator(f"#mail-{three[1]}")).to_have_text("Queued")
    expect(box).to_be_checked()
    expect(box).to_be_focused()
    settle(app, clock, "guest1@partner.example", "guest2@partner.example")
    expect(place).to_have_text("No mail is on its way.", timeout=15_000)
    expect(page.locator("td", has_text="Sent to mail server")).to_have_count(3)
    count = len(served.asked)
    page.wait_for_timeout(4_000)
    assert len(served.asked) == count


def test_one_persons_page_follows_the_mail_and_pauses_in_the_background(
    app: Flask, clock: Clock, served: Served, visit: BrowserContext, three: list[UUID]
) -> None:
    page = visit.new_page()
    page.goto(f"{served.url}/admin/users/{three[0]}")
    expect(page.locator("#mail-facts")).to_contain_text("Queued")
    hide(page, True)
    page.wait_for_timeout(500)
    count = len(served.asked)
    page.wait_for_timeout(3_500)
    assert len(served.asked) == count, "a hidden tab asks nothing"
    settle(app, clock, "guest0@partner.example")
    hide(page, False)
    expect(page.locator("#mail-facts")).to_contain_text("Sent to mail server", timeout=15_000)
    expect(page.locator("#journey li").nth(1)).to_have_class("on")


def test_the_bar_for_those_selected_comes_with_a_selection_and_works_by_keyboard(
    served: Served, visit: BrowserContext, three: list[UUID]
) -> None:
    page = visit.new_page()
    page.goto(f"{served.url}/admin/invitations")
    bar = page.locator("#picked")
    expect(bar).to_be_hidden()
    page.get_by_label("Select all on this page").focus()
    page.keyboard.press("Space")
    expect(bar).to_contain_text("Selected: 3")
    page.get_by_role("button", name="Cancel invitations").focus()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Cancel 3 invitations?")
    page.get_by_role("link", name="Back", exact=True).press("Enter")
    expect(page.locator("h1")).to_have_text("Invitations")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_and_nothing_scrolls_sideways(
    served: Served, visit: BrowserContext, three: list[UUID],
    theme: Literal["light", "dark"],
) -> None:  # fmt: skip
    """design brief, 7: 360 px, both themes"""
    page = visit.new_page()
    page.emulate_media(color_scheme=theme)
    page.set_viewport_size({"width": 360, "height": 780})
    chosen = "&".join(f"id={one}" for one in three)
    for path in (
        "/admin/invitations",
        "/admin/invitations?state=expired",
        f"/admin/invitations/selected?do=cancel&{chosen}",
        f"/admin/users/{three[0]}",
        "/myapps/people?domain=partner.example",
        f"/myapps/people/{three[0]}",
        f"/myapps/people/{three[0]}/cancel",
        "/myapps/people/invite",
    ):
        page.goto(served.url + path)
        found = Axe().run(page)
        assert found.violations_count == 0, f"{path}: {found.generate_report()}"
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360, path
