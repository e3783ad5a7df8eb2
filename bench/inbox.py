"""The inbox with 100,000 mails against 1,000, and pages while a hundred clients wait."""

import http.client
import os
import socket
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from flask import Flask

from b2b import create_app
from b2b.sink.store import Arrival, Store
from b2b.web.inbox import mailbox
from bench.programs import free_port, python, running
from bench.report import Result, median
from config import Config

FEW, MANY = 1_000, 100_000
ROUNDS, A_ROUND = 5, 40
RATIO, MILLISECONDS, BODY = 1.5, 5.0, 20_000
WAITING = 100
PAGES = 200
KEPT = "BENCH_MAIL_FOLDER"
"""Where the two stores stay between runs: indexing 100,000 mails takes a minute or two."""

ASKED = {
    "list of 50": "/mail/api/v1/messages?limit=50",
    "a word": "/mail/api/v1/search?query=needle&limit=50",
    "exact recipient": "/mail/api/v2/messages?to=guest17@contoso.example",
    "open": "/mail/api/v1/message/{}",
    "page of the list": "/mail/",
}


def run() -> list[Result]:
    """Five rounds, interleaved; the ratios of the medians of p50, and p95 beside those who wait."""
    with ExitStack() as stack:
        folder = os.environ.get(KEPT) or stack.enter_context(tempfile.TemporaryDirectory())
        apps = [_app(Path(folder) / str(count), count) for count in (FEW, MANY)]
        found = _measure(apps)
        for app in apps:
            mailbox.close(app)
        return [*found, _beside_waiting(Path(folder) / str(MANY))]


def _app(folder: Path, count: int) -> Flask:
    app = create_app(Config(DATA_DIR=folder, TESTING=True, DEMO=False))
    store = Store.open(app.config["MAIL_STORE_URL"])
    missing = count - store.counters().total
    for first in range(0, missing, 500):
        store.add([_letter(number) for number in range(first, min(first + 500, missing))])
        while store.index(500):
            pass
    store.close()
    return app


def _letter(number: int) -> Arrival:
    """Every 50th of the first thousand holds the word that is searched for."""
    word = "needle" if number < FEW and number % 50 == 0 else f"thing{number % 977}"
    to = f"guest{number}@contoso.example"
    source = (
        f"From: John Doe <invites@woodgrove.example>\r\nTo: {to}\r\n"
        f"Subject: Invitation number {number}\r\n"
        "Content-Type: text/plain; charset=utf-8\r\n\r\n"
        f"Hello, you are invited to WoodGrove. This is about {word}.\r\n"
        f"https://woodgrove.example/redeem?ticket={number:08d}\r\n"
    )
    return Arrival("invites@woodgrove.example", (to,), source.encode())


def _measure(apps: list[Flask]) -> list[Result]:
    results = []
    clients = [app.test_client() for app in apps]
    ids = [client.get("/mail/api/v1/messages?limit=1").json for client in clients]
    opened = [found["messages"][0]["ID"] for found in ids if found]
    for name, path in ASKED.items():
        medians: list[list[float]] = [[], []]
        size = 0
        for number in range(ROUNDS + 1):
            for client, message_id, kept in zip(clients, opened, medians, strict=True):
                times = []
                for _ in range(A_ROUND):
                    begun = time.perf_counter()
                    response = client.get(
                        path.format(message_id), headers={"Accept-Encoding": "gzip"}
                    )
                    times.append((time.perf_counter() - begun) * 1000)
                    assert response.status_code == 200, path
                    size = len(response.data)
                if number:  # the first round warms up
                    kept.append(median(times))
        few, many = (median(found) for found in medians)
        detail = f"{many:.2f} ms / {few:.2f} ms; {size:,} bytes"
        results.append(
            Result(f"inbox, {name}: {MANY:,} mails / {FEW:,} (p50)", many / few, RATIO, detail)
        )
        if name != "page of the list":
            results.append(Result(f"inbox, {name}: milliseconds", many, MILLISECONDS, detail))
        if name == "list of 50":
            results.append(Result("inbox, list of 50: bytes", size, BODY, detail))
    return results


def _beside_waiting(folder: Path) -> Result:
    port = free_port()
    settings = {
        "DATA_DIR": str(folder), "PORT": str(port), "SMTP_PORT": str(free_port()), "DEMO": "0",
        "BASE_URL": f"http://localhost:{port}", "PASSWORD_HASHING": "weak",
    }  # fmt: skip
    with running(python("-m", "flask", "--app", "app", "up"), port, **settings):
        _p95(port)
        pairs = []
        for _ in range(ROUNDS):
            alone = _p95(port)
            with ExitStack() as waiting:
                for number in range(WAITING):
                    sock = waiting.enter_context(socket.create_connection(("127.0.0.1", port)))
                    path = f"/mail/api/v2/messages/wait?to=nobody{number}@x.example&timeout=100"
                    if number % 2:
                        path = "/mail/api/v2/events"
                    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
                time.sleep(1)
                pairs.append((alone, _p95(port)))
    alone, beside = (median([pair[side] for pair in pairs]) for side in (0, 1))
    return Result(
        name=f"inbox, pages while {WAITING} clients wait / while none does (p95)",
        value=beside / alone,
        bar=RATIO,
        detail=f"{beside:.2f} ms / {alone:.2f} ms",
    )


def _p95(port: int) -> float:
    connection = http.client.HTTPConnection("localhost", port, timeout=30)
    times = []
    for _ in range(PAGES):
        begun = time.perf_counter()
        connection.request("GET", "/mail/")
        response = connection.getresponse()
        response.read()
        times.append((time.perf_counter() - begun) * 1000)
        assert response.status == 200
    connection.close()
    return statistics.quantiles(times, n=20)[-1]
