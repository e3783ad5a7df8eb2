"""The sink, durable before each 250, against an aiosmtpd that discards what it gets; and against
Sendria and two releases of MailDev where SENDRIA, MAILDEV_2 and MAILDEV_3 name their programs.

`smtp-source`, ten sessions, mails of 10 KB, rounds interleaved, medians.
"""

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

import psutil

from b2b.sink.store import Store
from bench import smtp_load
from bench.programs import free_port, python
from bench.report import Result, median

ROUNDS = int(os.environ.get("ROUNDS", "5"))
COUNT = int(os.environ.get("COUNT", "2000"))
BARS = {"fresh": 1.3, "reused": 1.6}
RIVALS = ("Sendria", "MailDev 2", "MailDev 3")


def run() -> list[Result]:
    """A ratio for fresh connections and one for reused, and one of each for every rival here."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        url = f"sqlite:///{folder}/mail.sqlite3"
        ports = {name: free_port() for name in ("ours", "bare", *_rivals())}
        ours = python("-m", "b2b.sink", "--port", str(ports["ours"]), "--store-url", url)
        sink = psutil.Process(stack.enter_context(smtp_load.listening(ours, ports["ours"])))
        bare = python("-m", "bench.baseline.discarding_sink", str(ports["bare"]))
        stack.enter_context(smtp_load.listening(bare, ports["bare"]))
        for name, program in _rivals().items():
            command = _command(name, program, ports[name], Path(folder))
            stack.enter_context(smtp_load.listening(command, ports[name]))
        store = Store(url)
        took: dict[tuple[str, str], list[float]] = {}
        for _ in range(ROUNDS):
            for way in BARS:
                for name, port in ports.items():
                    if name != "ours":
                        # It reads what it has caught for search; the next shall not suffer it.
                        sink.suspend()
                    seconds = smtp_load.send(port, COUNT, reused=way == "reused")
                    sink.resume()
                    took.setdefault((name, way), []).append(seconds)
        kept = store.counters().total
        store.close()
    rates = {at: COUNT / median(times) for at, times in took.items()}
    whole = kept == COUNT * ROUNDS * len(BARS)
    return [
        Result(
            name=f"mails a second over {way} connections against {name}",
            value=rates["ours", way] / rates[name, way] if whole else 0.0,
            bar=BARS[way] if name == "bare" else 1.0,
            detail=f"{rates['ours', way]:,.0f} a second against {rates[name, way]:,.0f};"
            f" rounds from {_least(took, name, way):.2f} to {_most(took, name, way):.2f};"
            f" {kept:,} mails on disk",
            at_least=True,
        )
        for name in ports
        if name != "ours"
        for way in BARS
    ]


def _least(took: dict[tuple[str, str], list[float]], name: str, way: str) -> float:
    return min(b / a for a, b in zip(took["ours", way], took[name, way], strict=True))


def _most(took: dict[tuple[str, str], list[float]], name: str, way: str) -> float:
    return max(b / a for a, b in zip(took["ours", way], took[name, way], strict=True))


def _rivals() -> dict[str, str]:
    found = {name: os.environ.get(name.upper().replace(" ", "_"), "") for name in RIVALS}
    return {name: program for name, program in found.items() if program}


def _command(name: str, program: str, port: int, folder: Path) -> list[str]:
    http = str(free_port())
    if name == "Sendria":
        return [
            program, "--foreground", "--db", str(folder / "sendria.sqlite"),
            "--smtp-ip", "127.0.0.1", "--smtp-port", str(port),
            "--http-ip", "127.0.0.1", "--http-port", http,
        ]  # fmt: skip
    return [program, "--smtp", str(port), "--web", http, "--ip", "127.0.0.1"]
