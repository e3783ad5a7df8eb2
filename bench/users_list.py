"""The list of users at two sizes: each filter, prefix search, first page and last."""

import os
import tempfile
import urllib.parse
from contextlib import ExitStack, closing
from pathlib import Path

from b2b import clock, worker
from b2b.models.base import LAST
from bench import directory, guests, programs
from bench.guests import Client, percentile, prepared, timing, web_of
from bench.report import Result

SMALL = 1_000
SIZES = {"full": 1_000_000}
LARGE = 100_000
RATIO, MILLISECONDS = 1.5, 30.0
TIMES = 12
END = f"{'f' * 32}.{urllib.parse.quote(LAST)}"
"""A place behind everybody: the page before it is the last."""

PAGES = {
    "everybody": "",
    "members": "type=Member",
    "guests": "view=guests",
    "waiting": "view=waiting",
    "accepted": "state=Accepted",
    "blocked": "sign_in=blocked",
    "synced": "synced=yes",
    "of another directory": "source=External+Azure+Active+Directory",
    "with a personal account": "source=Microsoft+Account",
    "with a code": "source=Email+one-time+passcode",
    "blocked guests": "type=Guest&sign_in=blocked",
    "members not synced": "type=Member&synced=no",
    "search: zo": "q=zo",
    "search: zoe z": "q=zoe+z",
    "search: one person": "q=zoe.abel",
    "search among guests: ad": "view=guests&q=ad",
    "search: nobody": "q=nobodyiscalledthis",
}
"""Twelve filters, then searches, as the page's address says them."""


def run() -> list[Result]:
    """The slowest of the pages, and the one that grows the most."""
    return measure("SQLite", [None, None])


def measure(name: str, urls: list[str | None]) -> list[Result]:
    """As `run`, on the databases at *urls*, a small one and a large one; None is SQLite."""
    sizes = (SMALL, SIZES.get(os.environ.get("SCALE", ""), LARGE))
    with ExitStack() as stack:
        browsers = [_browser(stack, size, url) for size, url in zip(sizes, urls, strict=True)]
        found: dict[str, list[float]] = {}
        for page, query in PAGES.items():
            found[f"{page}, first page"] = [
                _p50(browser, f"/admin/users?{query}") for browser in browsers
            ]
            found[f"{page}, last page"] = [
                _p50(browser, f"/admin/users?{query}&before={END}") for browser in browsers
            ]
    for page, (small, large) in found.items():
        print(f"     {name}, {page}: {small:.1f} ms, {large:.1f} ms, {large / small:.2f}")
    worst = max(found, key=lambda page: found[page][1] / found[page][0])
    slowest = max(found, key=lambda page: found[page][1])
    small, large = found[worst]
    return [
        Result(
            name=f"Users on {name}: p50 with {sizes[1]:,} people / with {sizes[0]:,}",
            value=large / small,
            bar=RATIO,
            detail=f"the one that grows the most of {len(found)} is {worst}: {small:.1f} ms, "
            f"{large:.1f} ms",
        ),
        Result(
            name=f"Users on {name}: slowest p50 with {sizes[1]:,} people, in ms",
            value=found[slowest][1],
            bar=MILLISECONDS,
            detail=slowest,
        ),
    ]


def _browser(stack: ExitStack, size: int, url: str | None) -> tuple[int, str]:
    """The port of a directory of *size* people, until the stack ends, and John Doe's cookie."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    os.environ.pop("BENCH_DATABASE_URL", None)
    os.environ.pop("DATABASE_URL", None)
    if url is not None:
        os.environ["BENCH_DATABASE_URL"] = url
    app, port = stack.enter_context(prepared(folder))
    with app.app_context(), worker.transaction() as session:
        actor = guests.john(session)
    with app.app_context(), worker.transaction() as session:
        directory.populate(session, actor.tenant_id, actor.tenant_domain, size, clock.now())
    stack.enter_context(web_of(app, port))
    return port, programs.john(app.config["BASE_URL"], folder / "ours").cookie


def _p50(signed_in: tuple[int, str], path: str) -> float:
    """Of the page at *path*, in milliseconds, once it is warm."""
    port, cookie = signed_in
    times: list[float] = []
    with closing(Client(port)) as browser:
        browser.wear(cookie)
        for number in range(TIMES + 3):
            with timing(times if number >= 3 else []):
                assert browser.get(path)[0] == 200, path
    return percentile(times, 0.5)
