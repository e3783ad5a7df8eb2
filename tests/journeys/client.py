"""A browser without a screen: cookies, redirects and forms over plain HTTP."""

import http.client
import http.cookies
import ssl
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from bs4 import BeautifulSoup

BROKEN = (OSError, http.client.HTTPException)
"""What a connection that ends too early raises."""


@dataclass(frozen=True)
class Answer:
    """The page at the end of the redirects; where they lead elsewhere, its address alone."""

    url: str
    status: int
    body: bytes

    @cached_property
    def soup(self) -> BeautifulSoup:
        """The page, parsed."""
        return BeautifulSoup(self.body, "html.parser")

    @property
    def h1(self) -> str:
        """The heading."""
        heading = self.soup.find("h1")
        return " ".join(heading.get_text().split()) if heading else ""

    @property
    def said(self) -> list[str]:
        """What the page tells about the last action."""
        return [" ".join(note.get_text().split()) for note in self.soup.select("[role=status]")]


class Client:
    """One browser; it asks on a new connection each time and never asks twice by itself."""

    def __init__(self, origin: str, ca_file: str | None = None) -> None:
        self._origin = origin
        self._trust = None if ca_file is None else ssl.create_default_context(cafile=ca_file)
        self._cookies: dict[str, str] = {}

    def get(self, path: str) -> Answer:
        """The page at *path*. Raises what is in BROKEN."""
        return self.request("GET", path)

    def submit(self, page: Answer, **values: Any) -> Answer:
        """Send the first form of the main part, as a browser would with *values* filled in."""
        form = page.soup.select_one("main form[method=post]:not([action*=signout])")
        assert form is not None, f"no form on {page.url}"
        data: dict[str, Any] = {}
        for field in form.select("input[name], select[name], textarea[name]"):
            name, kind = str(field["name"]), field.get("type")
            if field.name == "select":
                chosen = field.select_one("option[selected]") or field.select_one("option")
                data[name] = chosen.get("value", "") if chosen else ""
            elif field.name == "textarea":
                data[name] = field.get_text().removeprefix("\n")
            elif kind not in ("checkbox", "radio", "submit") or field.has_attr("checked"):
                data[name] = field.get("value", "")
        target = urljoin(page.url, str(form.get("action") or page.url))
        return self.request("POST", target, data | values)

    def request(self, method: str, url: str, data: dict[str, Any] | None = None) -> Answer:
        """Ask, and follow redirects."""
        url = urljoin(self._origin, url)
        for _ in range(10):
            status, headers, body = self._once(method, url, data)
            location = headers.get("Location")
            if location is None:
                return Answer(url, status, body)
            url, data = urljoin(url, location), None
            if not url.startswith(self._origin + "/"):
                return Answer(url, status, b"")  # somebody else's page
            method = "HEAD" if method == "HEAD" else "GET"
        raise AssertionError(f"redirected ten times: {url}")

    def _once(
        self, method: str, url: str, data: dict[str, Any] | None
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        parts = urlsplit(url)
        headers = {
            "Connection": "close",
            "Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items()),
        }
        body = None
        if data is not None:
            headers["Origin"] = self._origin
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode(data, doseq=True)
        connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=20)
        if self._trust is not None:
            connection = http.client.HTTPSConnection(
                "localhost", parts.port, timeout=20, context=self._trust
            )
        try:
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            connection.request(method, path, body, {"Host": parts.netloc, **headers})
            response = connection.getresponse()
            content = response.read()
        finally:
            connection.close()
        self._keep(response.headers.get_all("Set-Cookie") or [])
        return response.status, response.headers, content

    def _keep(self, cookies: list[str]) -> None:
        for line in cookies:
            for name, morsel in http.cookies.SimpleCookie(line).items():
                if morsel["max-age"] == "0":
                    self._cookies.pop(name, None)
                else:
                    self._cookies[name] = morsel.value

    def signs_in(self, address: str, password: str) -> "Client":
        """Address, then password, towards the portal."""
        page = self.submit(self.get("/signin?next=/admin"), address=address)
        page = self.submit(page, password=password)
        assert urlsplit(page.url).path == "/admin", page.h1
        return self
