"""A thousand guests who redeem, fifty at a time, and a thousand on one link (threats.md, REL-12).

Two web workers. On PostgreSQL, which `BENCH_DATABASE_URL` names, the bar is one second.
"""

import os
import queue
import tempfile
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from sqlalchemy import func, select

from b2b import worker
from b2b.models import Identity
from bench.guests import Client, Guest, percentile, prepared, signed_in, timing, web_of
from bench.report import Result

CROWD, PARALLEL = 1_000, 50
SECONDS, SECONDS_ON_POSTGRES = 2.0, 1.0


def run() -> Result:
    """p95 of the POST of Accept, while fifty do it and look at the page that follows."""
    with tempfile.TemporaryDirectory() as folder:
        return _measure(Path(folder))


def _measure(folder: Path) -> Result:
    with prepared(folder, workers=2, threads=8) as (app, port):
        guests = signed_in(app, CROWD, "crowd-")
        [wanted] = signed_in(app, 1, "wanted-")
        with app.app_context(), worker.transaction() as session:
            before = session.scalar(select(func.count()).select_from(Identity)) or 0
        times: list[float] = []
        with web_of(app, port):
            answers = at_once(port, guests, times)
            assert answers.count("/profile?first=1") == CROWD, set(answers)
            same = at_once(port, [wanted] * CROWD, [])
        won = same.count("/profile?first=1")
        with app.app_context(), worker.transaction() as session:
            after = session.scalar(select(func.count()).select_from(Identity)) or 0
    assert won == 1, f"{won} of {CROWD} on one link"
    assert after - before == CROWD + 1
    on_postgres = os.environ.get("BENCH_DATABASE_URL", "").startswith("postgresql")
    return Result(
        name=f"Accept, {CROWD:,} guests, {PARALLEL} at a time (p95 in seconds)",
        value=percentile(times, 0.95) / 1000,
        bar=SECONDS_ON_POSTGRES if on_postgres else SECONDS,
        detail=f"{'PostgreSQL' if on_postgres else 'SQLite'}: p50 {percentile(times, 0.5):.0f} ms, "
        f"slowest {max(times):.0f} ms, no errors; "
        f"{CROWD:,} at once on one link: exactly one success",
    )


def at_once(port: int, guests: list[Guest], times: list[float]) -> list[str]:
    """Where each of *guests* is led, PARALLEL at a time."""
    waiting: queue.SimpleQueue[Guest | None] = queue.SimpleQueue()
    for guest in [*guests, *[None] * PARALLEL]:
        waiting.put(guest)
    answers: list[str] = []

    def browse() -> None:
        with closing(Client(port)) as browser:
            while (guest := waiting.get()) is not None:
                browser.wear(guest.cookie)
                with timing(times):
                    status, target = browser.post("/redeem/accept", csrf_token=guest.token)
                if target.startswith("/profile"):
                    assert browser.get(target)[0] == 200
                answers.append(target if status == 303 else str(status))

    _run(browse)
    return answers


def _run(what: Callable[[], None]) -> None:
    threads = [threading.Thread(target=what) for _ in range(PARALLEL)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
