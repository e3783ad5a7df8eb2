"""Fetches pages as a browser without scripts would; every page is checked on the way."""

import re
from typing import Any
from urllib.parse import urljoin, urlsplit

from bs4 import BeautifulSoup, Tag
from flask import Flask
from werkzeug.test import TestResponse

ORIGIN = "http://localhost:5000"


class Page:
    """One answer, parsed; `text` is what a reader sees."""

    def __init__(self, browser: "Browser", response: TestResponse, url: str) -> None:
        self.browser = browser
        self.response = response
        self.url = url
        self.status = response.status_code
        self.soup = BeautifulSoup(response.get_data(as_text=True), "html5lib")

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
        assert len(soup.find_all("h1")) == 1, page.url
        assert soup.html is not None
        assert soup.html.get("lang"), page.url
        assert soup.body is not None
        loose = "".join(soup.body.find_all(string=True, recursive=False)).split()
        assert not loose, f"{page.url}: words outside of the page's layout: {loose}"
        assert not soup.select("script:not([src])"), page.url
        assert not soup.select("[style]"), page.url
        assert not [t for t in soup.find_all(True) for a in t.attrs if re.match(r"on[a-z]+$", a)]
        for form in soup.select("form[method=post]"):
            assert form.select_one("input[name=csrf_token]"), f"{page.url}: {form.get('action')}"
        labelled = {label.get("for") for label in soup.select("label[for]")}
        for field in soup.select("input, select, textarea"):
            if field.get("type") in ("hidden", "submit", "button") or field.get("aria-hidden"):
                continue
            assert (
                field.get("id") in labelled
                or field.get("aria-label")
                or field.get("aria-labelledby")
                or field.find_parent("label")
            ), f"{page.url}: {field}"
        identifiers = [t["id"] for t in soup.select("[id]")]
        assert len(identifiers) == len(set(identifiers)), f"{page.url}: an id twice"

    def sign_in(self, address: str, password: str) -> "Browser":
        """Address, then password."""
        page = self.get("/signin?next=/admin").submit(address=address)
        page = page.submit(password=password)
        assert page.path == "/admin", page.text[:300]
        return self
