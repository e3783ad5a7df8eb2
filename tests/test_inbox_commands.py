"""Captured mail at the terminal."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import Result
from flask import Flask

from b2b.sink.store import Store
from tests.web.inbox.conftest import Mails, database_url
from tests.web.inbox.letters import html_letter, letter

__all__ = ["database_url"]


@pytest.fixture
def mails(app: Flask, tmp_path: Path) -> Iterator[Mails]:
    store = Store.open(app.config["MAIL_STORE_URL"])
    yield Mails(store)
    store.close()


def mail(app: Flask, *arguments: str, answer: str | None = None) -> Result:
    return app.test_cli_runner().invoke(args=["mail", *arguments], input=answer)


def test_mail_is_listed_read_and_stays_unread(app: Flask, mails: Mails) -> None:
    first = mails.add(letter("Your code", "482917"), to=("sam@contoso.example",))[0]
    second = mails.add(html_letter('<a href="https://x.example/">x</a>', "Later"))[0]
    mails.store.mark(read=True, ids=[second])
    lines = mail(app, "list").output.splitlines()
    assert [line.split()[-1] for line in lines] == ["Later", "code"]
    assert lines[1].startswith(f"* {first[:8]}")
    assert "Later" not in mail(app, "list", "subject:code").output
    listed = json.loads(mail(app, "list", "--to", "sam@contoso.example", "--json").output)
    assert [one["subject"] for one in listed] == ["Later", "Your code"]
    assert mail(app, "read", first[:8]).output.endswith("Subject: Your code\n\n482917\n")
    assert mail(app, "read", first, "--part", "codes").output == "482917\n"
    assert mail(app, "read", "--part", "links").output == "https://x.example/\n"
    assert mail(app, "read", first, "--part", "source").stdout_bytes == mails.store.source(first)
    assert json.loads(mail(app, "read", first, "--json").output)["codes"] == ["482917"]
    assert not mails.is_read(first)


def test_a_mail_is_waited_for(app: Flask, mails: Mails) -> None:
    mails.one("Old code", "111111")
    later = threading.Timer(0.2, lambda: mails.one("New code", "482917"))
    later.start()
    found = mail(app, "wait", "--new", "--to", "sam@contoso.example", "--part", "codes")
    later.join()
    assert (found.exit_code, found.output) == (0, "482917\n")
    late = mail(app, "wait", "--subject", "never", "--timeout", "0")
    assert late.exit_code == 1
    assert "No such mail came within 0 seconds." in late.output


def test_a_mail_is_opened(app: Flask, mails: Mails, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(click, "launch", opened.append)
    url = f"http://localhost:5000/mail/{mails.one()}"
    assert mail(app, "open").output == f"{url}\n"
    assert opened == [url]


def test_mail_is_cleared_after_asking(app: Flask, mails: Mails) -> None:
    mails.add(letter("One"), letter("Two"), letter("Three"))
    assert mail(app, "clear", answer="n\n").exit_code == 1
    assert mail(app, "clear", "subject:two", "--yes").output == "Deleted: 1.\n"
    assert "Deleted: 2." in mail(app, "clear", answer="y\n").output


@pytest.mark.parametrize(
    "arguments", [("read", "nothing"), ("read",), ("list", '"open'), ("clear", "is:odd", "--yes")]
)
def test_what_cannot_be_is_said_in_one_sentence(
    app: Flask, mails: Mails, arguments: tuple[str, ...]
) -> None:
    result = mail(app, *arguments)
    assert result.exit_code == 1
    assert "Traceback" not in result.output
