"""From 250 to the mail in the list of the API, and what the sink takes with 100,000 mails kept."""

import http.client
import json
import os
import smtplib
import subprocess
import tempfile
import time
from pathlib import Path

import psutil

from b2b.sink.rows import Arrival
from b2b.sink.store import Store
from bench import smtp_load
from bench.programs import ROOT, free_port, python, running
from bench.report import Result, median

BAR_MS = 7.0
BAR_MIB = 100.0
COUNT = int(os.environ.get("COUNT", "100000"))
MAILS = 200


def run() -> list[Result]:
    """The time and the memory."""
    with tempfile.TemporaryDirectory() as folder:
        return _measure(Path(folder), COUNT)


def _fill(url: str, count: int) -> None:
    store = Store.open(url)
    lines = b"Some words of a mail that is long enough to be one.\r\n" * 40
    for begin in range(0, count, 500):
        store.add(
            [
                Arrival(
                    "load@woodgrove.example",
                    [f"guest{number}@contoso.example"],
                    b"Subject: Invitation %d\r\n\r\n%s" % (number, lines),
                )
                for number in range(begin, begin + 500)
            ]
        )
    store.close()


def _measure(folder: Path, count: int) -> list[Result]:
    web, smtp = free_port(), free_port()
    url = f"sqlite:///{folder}/mail.sqlite3"
    settings = {
        "DATA_DIR": str(folder),
        "PORT": str(web),
        "SMTP_PORT": str(smtp),
        "MAIL_STORE_URL": url,
        "DEMO": "0",
        "LOG_LEVEL": "WARNING",
    }
    _fill(url, count)
    flask = python("-m", "flask", "--app", "app")
    subprocess.run(
        [*flask, "migrate"], cwd=ROOT, env={**os.environ, **settings}, check=True,
        capture_output=True,
    )  # fmt: skip
    with smtp_load.listening([*flask, "sink"], smtp, **settings) as pid:
        with running([*flask, "web"], web, **settings):
            times = _times(web, smtp)
        process = psutil.Process(pid)
        smtp_load.send(smtp, 2_000, reused=True)
        mib = process.memory_info().rss / 1024 / 1024
    return [
        Result(
            name="milliseconds from 250 to the API's list, p50",
            value=median(times),
            bar=BAR_MS,
            detail=f"{MAILS} mails into a store of {count:,}, the request for the list included;"
            f" p95 {sorted(times)[int(MAILS * 0.95)]:.1f} ms",
        ),
        Result(
            name="MiB of the sink",
            value=mib,
            bar=BAR_MIB,
            detail=f"flask sink, resident, with {count:,} mails kept, after 2,000 more in a burst",
        ),
    ]


def _times(web: int, smtp: int) -> list[float]:
    api = http.client.HTTPConnection("localhost", web)
    times = []
    with smtplib.SMTP("127.0.0.1", smtp) as client:
        client.ehlo()
        for _ in range(MAILS):
            client.mail("load@woodgrove.example")
            client.rcpt("sam@contoso.example")
            _, words = client.data(b"Subject: Seen\r\n\r\nGood morning.\r\n")
            wanted = words.decode().rpartition(" ")[2]
            begun = time.perf_counter()
            while True:
                api.request("GET", "/mail/api/v1/messages?limit=1")
                if json.loads(api.getresponse().read())["messages"][0]["ID"] == wanted:
                    break
            times.append((time.perf_counter() - begun) * 1000)
    return times
