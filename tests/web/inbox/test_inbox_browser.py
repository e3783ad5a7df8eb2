"""The inbox in a real Chromium, with every connection watched (threats.md, BOX-1)."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, expect

from tests.web.inbox.chromium import SETTLED, Served, in_chromium, letter_frame, served
from tests.web.inbox.conftest import Mails
from tests.web.inbox.letters import HOSTILE, hostile, html_letter, letter

__all__ = ["served"]

pytestmark = pytest.mark.browser


@pytest.fixture
def canary() -> Iterator[Served]:
    """A server that nothing may call."""
    called: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            called.append(self.path)
            self.send_response(204)
            self.end_headers()

        do_POST = do_HEAD = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Served(f"http://127.0.0.1:{server.server_port}", called)
    server.shutdown()
    thread.join(10)
    server.server_close()


@pytest.mark.long
def test_hostile_mail_runs_nothing_and_calls_nobody(
    mails: Mails, served: Served, canary: Served
) -> None:
    ids = {kind: mails.add(hostile(kind, canary.url))[0] for kind in HOSTILE}

    def visit(context: BrowserContext) -> None:
        said: list[str] = []
        context.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        for kind, message_id in ids.items():
            frame = letter_frame(context, f"{served.url}/mail/{message_id}")
            assert frame.url == f"{served.url}/mail/{message_id}/html", kind
            assert frame.evaluate("origin") == "null", kind
            assert not frame.child_frames, kind
            assert len(context.pages) == 1, kind
            # As it was sent, for clients of the API: the policy alone stands in the way.
            page = context.pages[0]
            page.goto(f"{served.url}/mail/view/{message_id}.html")
            page.wait_for_timeout(SETTLED)
            assert page.url == f"{served.url}/mail/view/{message_id}.html", kind
            page.close()
        assert said == []

    in_chromium(visit)
    assert canary.asked == []
    ours = ("/mail/live", "/mail/api/events", "/static/", *(f"/mail/{one}" for one in ids.values()))
    ours += tuple(f"/mail/view/{one}.html" for one in ids.values())
    assert [path for path in served.asked if not path.startswith(ours)] == []


def test_a_click_in_the_mail_opens_a_tab_of_its_own(mails: Mails, served: Served) -> None:
    link = f"{served.url}/redeem?rd=http%3a%2f%2flocalhost"
    message_id = mails.add(html_letter(f'<a href="{link}">Get Started</a>'))[0]

    def visit(context: BrowserContext) -> None:
        frame = letter_frame(context, f"{served.url}/mail/{message_id}")
        with context.expect_page() as opened:
            frame.get_by_role("link", name="Get Started").click()
        tab = opened.value
        tab.wait_for_load_state()
        assert tab.url.startswith(f"{served.url}/redeem")
        assert tab.evaluate("origin") == served.url  # not in the mail's sandbox
        assert tab.evaluate("opener") is None
        assert tab.evaluate("document.referrer") == ""
        assert context.pages[0].url == f"{served.url}/mail/{message_id}"

    in_chromium(visit)


def test_the_open_button_leads_on_in_this_tab(mails: Mails, served: Served) -> None:
    link = "http://localhost:5000/redeem?rd=http%3a%2f%2flocalhost"
    message_id = mails.add(html_letter(f'<a href="{link}">Get Started</a>'))[0]

    def visit(context: BrowserContext) -> None:
        context.route("http://localhost:5000/**", lambda route: route.fulfill(body="Redeem"))
        page = context.new_page()
        page.goto(f"{served.url}/mail/{message_id}")
        page.get_by_role("link", name="Open", exact=True).click()
        expect(page).to_have_url(link)

    in_chromium(visit)


def test_own_pictures_are_seen(mails: Mails, served: Served) -> None:
    message_id = mails.add(html_letter('<img src="cid:picture" alt="Own">'))[0]

    def visit(context: BrowserContext) -> None:
        frame = letter_frame(context, f"{served.url}/mail/{message_id}")
        assert frame.evaluate("document.images[0].naturalWidth") == 1

    in_chromium(visit)


@pytest.mark.parametrize("page_colours", ["light", "dark"])
def test_the_switch_shows_the_mail_in_its_dark_design(
    mails: Mails, served: Served, page_colours: Literal["light", "dark"]
) -> None:
    html = "<style>:root{color-scheme:light dark}</style><p>Hello</p>"
    message_id = mails.add(html_letter(html))[0]
    dark = "matchMedia('(prefers-color-scheme: dark)').matches"

    def visit(context: BrowserContext) -> None:
        page = context.new_page()
        page.goto(f"{served.url}/mail/")
        page.evaluate(f"localStorage.setItem('theme', '{page_colours}')")
        for theme in ("light", "dark"):
            page.goto(f"{served.url}/mail/{message_id}?theme={theme}")
            assert page.frames[1].evaluate(dark) == (theme == "dark")
            assert page.locator("html").get_attribute("data-theme") == page_colours

    in_chromium(visit, color_scheme="null")


def test_new_mail_appears_by_itself(mails: Mails, served: Served) -> None:
    def visit(context: BrowserContext) -> None:
        page = context.new_page()
        page.goto(f"{served.url}/mail/")
        expect(page.get_by_text("No mail yet")).to_be_visible()
        first = mails.one("First")
        expect(page.get_by_role("link", name="First")).to_be_visible()
        expect(page).to_have_title("(1) Mail")
        mails.store.mark(read=True, ids=[first])
        expect(page).to_have_title("Mail")
        mails.store.delete()
        expect(page.get_by_text("No mail yet")).to_be_visible()

    in_chromium(visit)


@pytest.mark.parametrize("width", [pytest.param(1280, marks=pytest.mark.long), 360])
def test_every_page_is_accessible_and_none_scrolls_sideways(
    mails: Mails, served: Served, width: int
) -> None:
    link = "http://localhost:5000/redeem?rd=http%3a%2f%2flocalhost"
    invitation = mails.add(html_letter(f'<a href="{link}">Get Started</a>', "Invited " * 20))[0]
    code = mails.add(letter("دعاك", "Your code:\n\n  4829 1706\n"))[0]
    pages = ["", "?q=to:", "?q=nothing", "delete", "faults", "mailboxes", "refused", "keys", code]
    pages.append(f"compare?a={invitation}&b={code}")
    pages += [f"{invitation}?tab={tab}" for tab in ("html", "headers", "source")]
    pages.append(f"{invitation}?width=desktop&theme=dark")

    def visit(context: BrowserContext) -> None:
        page = context.new_page()
        for path in pages:
            page.goto(f"{served.url}/mail/{path}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width, path
            found = Axe().run(page).response["violations"]
            assert [violation["id"] for violation in found] == [], path

    in_chromium(visit, viewport={"width": width, "height": 900})
