"""People with a browser: what they see is checked page by page, what they do is said in words."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    Response,
    expect,
)

from tests.journeys.program import Program
from tests.journeys.words import Words

DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 780}

_AXE = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
    "resultTypes": ["violations"],
}
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}|(?<=/mail/)\w{22}")


class Visitor:
    """Somebody at a browser of his own, with cookies of his own."""

    def __init__(
        self,
        name: str,
        browser: Browser,
        program: Program,
        words: Words,
        seen: set[str],
        **options: Any,
    ) -> None:
        self.name = name
        self.program = program
        self.words = words
        self.scripted = options.get("java_script_enabled", True)
        self.complaints: list[str] = []
        self.allowed: set[int] = set()
        self._seen = seen
        options = {"viewport": DESKTOP, "locale": words.locale, **options}
        self._width = options["viewport"]["width"]
        self.context: BrowserContext = browser.new_context(**options)
        self.context.set_default_timeout(10_000)
        self.context.on("page", self._watch)
        self.page: Page = self.context.new_page()

    # What is noticed on the way ------------------------------------------------------------------

    def _watch(self, page: Page) -> None:
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self._complain(f"script error: {error}"))
        page.on("request", self._on_request)
        page.on("response", self._on_response)
        page.on("crash", lambda _: self._complain("the page crashed"))

    def _complain(self, what: str) -> None:
        self.complaints.append(f"{self.name}: {what}")

    def _on_console(self, message: ConsoleMessage) -> None:
        # A refused page is noticed by its status; Chromium's own line about it adds nothing.
        if message.type in ("error", "warning") and "the server responded" not in message.text:
            self._complain(f"console: {message.text}")

    def _on_request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.program.url}/", "data:", "blob:")):
            self._complain(f"a request to a foreign host: {request.url}")

    def _on_response(self, response: Response) -> None:
        if response.status >= 400 and response.status not in self.allowed:
            self._complain(f"{response.status} for {response.request.method} {response.url}")

    # Seeing --------------------------------------------------------------------------------------

    def say(self, english: str, **values: object) -> str:
        """The words of the page in this visitor's language."""
        return self.words.say(english, **values)

    @property
    def path(self) -> str:
        """The path of the page that is open."""
        return urlsplit(self.page.url).path

    @property
    def is_on_a_phone(self) -> bool:
        """Whether the navigation is behind a button."""
        return self._width < 700

    @property
    def main(self) -> Locator:
        """The page's main part."""
        return self.page.locator("main")

    def sees(self, title: str, *others: str, at: str | None = None, **values: object) -> "Visitor":
        """The page has this heading, given in English, and shows these other words as they are."""
        return self.sees_named(self.say(title, **values), *others, at=at)

    def sees_named(self, heading: str, *others: str, at: str | None = None) -> "Visitor":
        """As `sees`, with a heading that is the same in every language, such as a name."""
        expect(self.page.get_by_role("heading", level=1)).to_have_text(heading)
        if at is not None:
            assert re.fullmatch(at, self.path), self.path
        for words in others:
            expect(self.main).to_contain_text(words)
        self.check()
        return self

    def check(self) -> None:
        """Language, width, no secret in the address; axe once for each kind of page."""
        html = self.page.locator("html")
        expect(html).to_have_attribute("lang", self.words.lang)
        assert "rd=" not in self.page.url
        if self.scripted:
            wide = self.page.evaluate("document.scrollingElement.scrollWidth")
            assert wide <= self._width, f"{self.path} is {wide} px wide"
        heading = self.page.get_by_role("heading", level=1).inner_text()
        kind = f"{_ID.sub('…', self.path)} {heading} {self._width} {self.words.lang}"
        if not self.scripted or kind in self._seen:
            return
        self._seen.add(kind)
        for violation in Axe().run(self.page, options=_AXE).response["violations"]:
            places = [(node["target"], node["failureSummary"]) for node in violation["nodes"]]
            self._complain(f"{kind}: axe {violation['id']}: {places}")

    # Doing ---------------------------------------------------------------------------------------

    def goes_to(self, url: str) -> "Visitor":
        """Type an address."""
        self.page.goto(url if url.startswith("http") else self.program.url + url)
        return self

    def button(self, english: str, **values: object) -> Locator:
        """A button of the page."""
        return self.page.get_by_role("button", name=self.say(english, **values), exact=True)

    def presses(self, english: str, **values: object) -> "Visitor":
        """Press a button that leads to another page."""
        self.leaving(self.button(english, **values).click)
        return self

    def follows(self, english: str, *, within: str = "body") -> "Visitor":
        """Follow a link to another page; *within* is where it stands."""
        place = self.page.locator(within)
        self.leaving(place.get_by_role("link", name=self.say(english), exact=True).first.click)
        return self

    def leaving(self, act: Callable[[], object]) -> None:
        """Do what leads to another page, and wait until that is there."""
        with self.page.expect_navigation(wait_until="load"):
            act()

    def field(self, english: str) -> Locator:
        """A field by the first words of its label."""
        label = re.compile(rf"^{re.escape(self.say(english))}( \(|$)")
        return self.main.get_by_label(label)

    def fills(self, fields: dict[str, str]) -> "Visitor":
        """Fill in fields, named by their labels."""
        for label, value in fields.items():
            self.field(label).fill(value)
        return self

    def picture(self, folder: Path) -> list[Path]:
        """What is on this visitor's screen now, as files."""
        made = []
        for number, page in enumerate(self.context.pages):
            made.append(folder / f"{self.name}-{number}.png")
            page.screenshot(path=made[-1], full_page=True)
        return made
