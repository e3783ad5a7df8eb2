"""A program's token through HTTP, with its secret checked and its sign-in logged, against a bare
view that signs once; and how many of them a second for four clients.
"""

import json
import sqlite3
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path

from bench.programs import Figures, drive, free_port, python, running
from bench.report import Result, median

BAR, BAR_RATE = 1.5, 800.0
ROUNDS = 5
SECONDS = 3
CLIENTS = 4


def run() -> list[Result]:
    """Five rounds, interleaved: medians of p50 on one connection, and of the rate on four."""
    with tempfile.TemporaryDirectory() as folder:
        return _measure(Path(folder))


def _measure(folder: Path) -> list[Result]:
    ours, theirs, smtp = free_port(), free_port(), free_port()
    settings = {
        "DATA_DIR": str(folder),
        "PORT": str(ours),
        "SMTP_PORT": str(smtp),
        "WEB_WORKERS": "2",
        "WEB_THREADS": "4",
        "RATE_LIMITS": "off",
        "LOG_LEVEL": "WARNING",
    }
    flask = ["-m", "flask", "--app", "app"]
    with running(python(*flask, "up"), ours, **settings):
        pass  # the very first start makes the demo; the web server is then measured alone
    demo = json.loads((folder / "demo.json").read_text())
    daemon = next(one for one in demo["applications"] if one["kind"] == "daemon")
    path = f"/{daemon['tenantId']}/oauth2/v2.0/token"
    body = urllib.parse.urlencode(
        {
            "grant_type": "client_credentials",
            "client_id": daemon["appId"],
            "client_secret": daemon["clientSecret"],
            "scope": "https://graph.microsoft.com/.default",
        }
    )
    before = _logged(folder)
    rounds: list[tuple[Figures, Figures, Figures]] = []
    issued = 0
    baseline = python("-m", "bench.baseline.signature", str(theirs), "2")
    with running(python(*flask, "web"), ours, **settings), running(baseline, theirs):
        base = f"http://localhost:{ours}"
        with urllib.request.urlopen(base + path, body.encode(), timeout=10) as answer:
            assert "access_token" in json.load(answer)
        for number in range(ROUNDS + 1):
            one = drive(base, path, body, cookie="none=1", tag="t", seconds=SECONDS)
            bare = drive(f"http://localhost:{theirs}", "/signed", body, cookie="none=1", tag="t",
                         seconds=SECONDS)  # fmt: skip
            many = drive(base, path, body, cookie="none=1", tag="t", seconds=SECONDS,
                         connections=CLIENTS)  # fmt: skip
            assert not one.errors + bare.errors + many.errors
            issued += one.requests + many.requests
            if number:  # the first round warms up
                rounds.append((one, bare, many))
    logged = _logged(folder) - before
    # Each run of the client may leave a request without its answer on each connection.
    least, most = issued + 1, issued + 1 + (ROUNDS + 1) * (1 + CLIENTS)
    ours_p50, bare_p50 = (median([found[n].p50 for found in rounds]) for n in range(2))
    rate = median([many.per_second for _, _, many in rounds])
    detail = f"{ours_p50:.2f} ms / {bare_p50:.2f} ms"
    return [
        Result(
            "app-only token / bare view that signs once (p50)", ours_p50 / bare_p50, BAR, detail
        ),
        Result(
            f"app-only tokens a second for {CLIENTS} clients",
            rate,
            BAR_RATE,
            f"p95 {median([many.p95 for _, _, many in rounds]):.2f} ms",
            at_least=True,
        ),
        Result(
            "sign-ins logged and not issued, or issued and not logged",
            0 if least <= logged <= most else abs(logged - issued),
            0,
            f"{logged:,} rows for {issued + 1:,} tokens that were counted",
        ),
    ]


def _logged(folder: Path) -> int:
    with sqlite3.connect(folder / "directory.sqlite3") as database:
        [(count,)] = database.execute("SELECT count(*) FROM sign_ins WHERE method = 'program'")
    return int(count)
