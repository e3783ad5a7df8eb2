"""Captured mail: waited for, read, and what it asks people to do."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote

from b2b.testing.program import Program

_CODE = re.compile(r"(?<![\d-])\d{4} ?\d{4}(?![\d-])")
_EVERY = 0.05
_MOST = 200


class NoMail(AssertionError):
    """The mail did not come in time; the text says which did."""


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self._url: str | None = None
        self._words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self._url, self._words = dict(attrs).get("href"), []

    def handle_data(self, data: str) -> None:
        self._words.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "a" and self._url:
            self.found.append((" ".join("".join(self._words).split()), self._url))
            self._url = None


@dataclass(frozen=True)
class Mail:
    """One captured mail."""

    id: str
    subject: str
    sender: str
    recipients: tuple[str, ...]
    text: str = field(repr=False)
    html: str = field(repr=False)

    @property
    def links(self) -> list[tuple[str, str]]:
        """Words and address of each link, in their order."""
        parser = _Links()
        parser.feed(self.html)
        return parser.found

    def link(self, words: str) -> str:
        """The address behind the link or button that reads *words*. Raises LookupError."""
        for read, url in self.links:
            if read.casefold() == words.casefold():
                return url
        known = ", ".join(repr(read) for read, _ in self.links)
        raise LookupError(f"no link reads {words!r} in {self.subject!r}; there are {known}")

    def code(self) -> str:
        """The one-time code, digits only. Raises LookupError."""
        found = _CODE.search(self.text)
        if found is None:
            raise LookupError(f"no code in {self.subject!r}")
        return found[0].replace(" ", "")


class Mailbox:
    """What the program's mail sink has caught."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def all(self, *, to: str | None = None, subject: str | None = None) -> list[Mail]:
        """Captured mail, oldest first: *to* exactly this address, *subject* with these words."""
        path = f"/mail/api/v1/messages?limit={_MOST}"
        if to is not None:
            path = f"/mail/api/v1/search?limit={_MOST}&query={quote(f'to:{to}')}"
        rows = self._program.ask("GET", path)["messages"]
        return [self._mail(row["ID"]) for row in reversed(rows) if _matches(row, to, subject)]

    def _mail(self, identifier: str) -> Mail:
        told = self._program.ask("GET", f"/mail/api/v1/message/{identifier}")
        return Mail(
            told["ID"],
            told["Subject"],
            told["From"]["Address"],
            tuple(one["Address"] for one in told["To"]),
            told["Text"],
            told["HTML"],
        )

    def wait(
        self,
        *,
        to: str,
        subject: str | None = None,
        where: Callable[[Mail], bool] | None = None,
        within: float = 10.0,
    ) -> Mail:
        """The newest mail to exactly this address, as soon as there is one. Raises NoMail."""
        ends = time.monotonic() + within
        while True:
            found = [mail for mail in self.all(to=to, subject=subject) if not where or where(mail)]
            if found:
                return found[-1]
            if time.monotonic() > ends:
                others = ", ".join(
                    f"{mail.subject!r} to {', '.join(mail.recipients)}" for mail in self.all()[-5:]
                )
                raise NoMail(
                    f"no such mail to {to} within {within:g} s; there are: {others or '-'}"
                )
            time.sleep(_EVERY)

    def clear(self) -> None:
        """Throw all mail away."""
        self._program.ask("DELETE", "/mail/api/v1/messages", {})


def _matches(row: dict[str, Any], to: str | None, subject: str | None) -> bool:
    if to is not None and to.casefold() not in [one["Address"].casefold() for one in row["To"]]:
        return False
    return subject is None or subject.casefold() in str(row["Subject"]).casefold()
