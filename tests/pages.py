"""Fetches pages as a browser without scripts would; every page is checked on the way."""

import re
from functools import cached_property
from typing import Any
from urllib.parse import urljoin, urlsplit

from bs4 import BeautifulSoup, Tag
from flask import Flask
from werkzeug.test import TestResponse

ORIGIN = "http://localhost:5000"
_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')
_HANDLER = re.compile(r"on[a-z]+")
_NAMING = ("aria-label", "aria-labelledby", "aria-hidden")


class Page:
    """One answer, parsed; `text` is what a reader sees."""

    def __init__(self, browser: "Browser", response: TestResponse, url: str) -> None:
        self.browser = browser
        self.response = response
        self.url = url
        self.status = response.status_code

    @cached_property
    def soup(self) -> BeautifulSoup:
        """As it was written: `test_every_page` lets no mistake pass that a browser would mend."""
        return BeautifulSoup(self.response.get_data(as_text=True), "html.parser")

    @property
    def path(self) -> str:
        return urlsplit(self.url).path

    @property
    def title(self) -> str:
        return self.soup.title.get_text() if self.soup.title else ""

    @property
    def h1(self) -> str:
        found = self.soup.find("h1")
        return " ".join(found.get_text().split()) if found else ""

    @property
    def text(self) -> str:
        main = self.soup.find("main") or self.soup
        return " ".join(main.get_text(" ").split())

    @property
    def errors(self) -> list[str]:
        """Sentences of the error summary."""
        summary = self.soup.select_one(".summary")
        return [] if summary is None else [li.get_text().strip() for li in summary.select("li")]

    def form(self, action: str | None = None) -> Tag:
        """The POST form of the page whose action ends in *action*; the only one in main if none."""
        forms = [
            form
            for form in (self.soup.find("main") or self.soup).select("form[method=post]")
            if action is None or str(form.get("action") or self.path).endswith(action)
        ]
        if action is None:
            forms = [form for form in forms if "signout" not in str(form.get("action"))]
        assert len(forms) >= 1, f"no form {action} on {self.url}: {self.text[:300]}"
        return forms[0]

    def submit(self, action: str | None = None, /, **values: Any) -> "Page":
        """Fill in a form and send it; a list gives several values, None leaves a field out."""
        form = self.form(action)
        data: dict[str, Any] = {}
        for field in form.select("input, select, textarea"):
            name, kind = field.get("name"), field.get("type")
            if not name or (kind in ("checkbox", "radio") and not field.has_attr("checked")):
                continue
            if kind in ("submit", "button"):
                continue
            if field.name == "select":
                chosen = field.select_one("option[selected]") or field.select_one("option")
                data[str(name)] = chosen.get("value", "") if chosen else ""
            elif field.name == "textarea":
                data[str(name)] = field.get_text().removeprefix("\n")
            else:
                data[str(name)] = field.get("value", "")
        data.update(values)
        data = {name: value for name, value in data.items() if value is not None}
        target = urljoin(self.url, str(form.get("action") or self.url))
        return self.browser.post(target, data)

    def follow(self, words: str) -> "Page":
        """Follow the link that reads *words*."""
        for link in self.soup.select("a[href]"):
            if words in " ".join(link.get_text().split()):
                return self.browser.get(urljoin(self.url, str(link["href"])))
        raise AssertionError(f"no link {words!r} on {self.url}")


class Browser:
    """Cookies, redirects within this installation, and checks on each page."""

    def __init__(self, app: Flask) -> None:
        self.client = app.test_client()

    def get(self, url: str, **options: Any) -> Page:
        return self._go("GET", url, **options)

    def post(self, url: str, data: dict[str, Any], **options: Any) -> Page:
        return self._go("POST", url, data=data, **options)

    def _go(self, method: str, url: str, **options: Any) -> Page:
        url = urljoin(ORIGIN, url)
        for _ in range(10):
            parts = urlsplit(url)
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            response = self.client.open(path, method=method, base_url=ORIGIN, **options)
            if response.status_code not in (301, 302, 303, 307, 308):
                page = Page(self, response, url)
                self._check(page)
                return page
            url = urljoin(url, response.headers["Location"])
            method, options = "GET", {}
            if not url.startswith(ORIGIN):
                return Page(self, response, url)
        raise AssertionError("redirected ten times")

    def _check(self, page: Page) -> None:
        """What holds for every page: title, one h1, labels, tokens, no inline code."""
        if page.response.mimetype != "text/html" or "sandbox" in page.response.headers.get(
            "Content-Security-Policy", ""
        ):
            return
        soup = page.soup
        assert page.title.strip(), page.url
        assert soup.html is not None
        assert soup.html.get("lang"), page.url
        assert soup.body is not None
        loose = "".join(soup.body.find_all(string=True, recursive=False)).split()
        assert not loose, f"{page.url}: words outside of the page's layout: {loose}"
        found: dict[str, list[Tag]] = {}
        identifiers = []
        for tag in soup.find_all(True):
            found.setdefault(tag.name, []).append(tag)
            if "id" in tag.attrs:
                identifiers.append(tag["id"])
            for name in tag.attrs:
                assert name != "style", f"{page.url}: {tag}"
                assert not _HANDLER.fullmatch(name), f"{page.url}: {tag}"
        assert len(found.get("h1", ())) == 1, page.url
        assert len(identifiers) == len(set(identifiers)), f"{page.url}: an id twice"
        assert all("src" in script.attrs for script in found.get("script", ())), page.url
        for form in found.get("form", ()):
            if form.get("method", "").lower() == "post":
                assert form.find("input", {"name": "csrf_token"}), (
                    f"{page.url}: {form.get('action')}"
                )
        labelled = {label.get("for") for label in found.get("label", ())} - {None}
        for kind in ("input", "select", "textarea"):
            for field in found.get(kind, ()):
                if field.get("type") in ("hidden", "submit", "button"):
                    continue
                assert (
                    field.get("id") in labelled
                    or any(field.get(name) for name in _NAMING)
                    or field.find_parent("label")
                ), f"{page.url}: {field}"

    def sign_in(self, address: str, password: str) -> "Browser":
        """Address, then password, without a look at the page that this leads to."""
        place = "/signin?next=/admin"
        for name, value in (("address", address), ("password", password)):
            written = self.client.get(place, base_url=ORIGIN).get_data(as_text=True)
            token = _TOKEN.search(written)
            assert token, written[:300]
            answer = self.client.post(
                place, base_url=ORIGIN, data={"csrf_token": token[1], name: value}
            )
            assert answer.status_code == 303, answer.get_data(as_text=True)[:300]
            place = answer.headers["Location"]
        assert place == "/admin"
        return self
