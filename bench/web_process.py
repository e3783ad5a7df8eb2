"""What starting takes, of a web process and of everything, and memory after a thousand pages."""

import subprocess
import tempfile
import time
from contextlib import closing
from pathlib import Path

import psutil

from bench.guests import FLASK, Client, prepared
from bench.programs import ROOT, john, python, running
from bench.report import Result, median

PAGES = (
    "/admin",
    "/admin/users",
    "/admin/users/invite",
    "/admin/invitations",
    "/admin/groups",
    "/admin/applications",
    "/admin/audit",
    "/admin/sign-ins",
    "/myapps",
    "/mail/",
)
VIEWS = 1_000
MEGABYTES, SECONDS, READY = 150.0, 1.0, 3.0
STARTS = 5

_FIRST_ANSWER = """
import time
begun = time.perf_counter()
from app import app
assert app.test_client().get("/signin").status_code == 200
print(time.perf_counter() - begun)
"""


def run() -> list[Result]:
    """All three, of the program with its demo."""
    with tempfile.TemporaryDirectory() as folder, prepared(Path(folder)) as (app, port):
        starts = [_first_answer() for _ in range(STARTS)]
        ready = [_ready(port) for _ in range(STARTS)]
        with running(python(*FLASK, "web"), port) as process, closing(Client(port)) as browser:
            browser.wear(john(app.config["BASE_URL"], Path(folder) / "ours").cookie)
            for number in range(VIEWS):
                status, target = browser.get(PAGES[number % len(PAGES)])
                assert status == 200, (PAGES[number % len(PAGES)], status, target)
            [worker] = psutil.Process(process.pid).children()
            resident = worker.memory_info().rss / 1e6
    return [
        Result(
            name=f"memory of a web process after {VIEWS:,} pages, in MB",
            value=resident,
            bar=MEGABYTES,
            detail="resident, shared pages included",
        ),
        Result(
            name="from the interpreter's first line to the first page, in seconds",
            value=median(starts),
            bar=SECONDS,
            detail=f"{min(starts):.2f} to {max(starts):.2f} in {STARTS} starts",
        ),
        Result(
            name="a later start of web, worker and sink until it answers, in seconds",
            value=median(ready),
            bar=READY,
            detail=f"{min(ready):.2f} to {max(ready):.2f} in {STARTS} starts",
        ),
    ]


def _ready(port: int) -> float:
    begun = time.monotonic()
    with running(python(*FLASK, "up"), port):
        return time.monotonic() - begun


def _first_answer() -> float:
    command = python("-c", _FIRST_ANSWER)
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=60)
    return float(done.stdout)
