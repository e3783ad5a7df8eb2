"""The inbox served on a port, and a Chromium of a test's own to look at it."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask import Flask, request
from playwright.sync_api import BrowserContext, Frame, sync_playwright
from werkzeug.serving import make_server

from tests.journeys.conftest import launch
from tests.web.inbox.conftest import Mails

SETTLED = 150
"""Milliseconds after loading in which anything that a mail starts by itself has begun."""

Visit = Callable[[BrowserContext], None]


@dataclass
class Served:
    """The app on a port, and what was asked of it."""

    url: str
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def served(app: Flask, mails: Mails) -> Iterator[Served]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    running = Served(f"http://localhost:{server.port}")
    app.before_request(lambda: running.asked.append(request.full_path.rstrip("?")))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield running
    server.shutdown()
    thread.join(10)
    server.server_close()


def in_chromium(visit: Visit, **options: Any) -> None:
    """Run *visit* with a fresh browser, in a thread: another test's may be open in this one."""

    def alone() -> None:
        with sync_playwright() as playwright:
            browser = launch(playwright)
            context = browser.new_context(**options)
            context.set_default_timeout(10_000)
            visit(context)
            browser.close()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(alone).result()


def letter_frame(context: BrowserContext, url: str) -> Frame:
    page = context.new_page()
    page.goto(url)
    page.wait_for_timeout(SETTLED)
    return page.frames[1]
