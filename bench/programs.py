"""Starting and stopping what is measured, and a C client to drive it."""

import contextlib
import http.cookiejar
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(command: list[str], port: int, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run *command* until the block ends; it must answer /healthz on *port*."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        ends = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://localhost:{port}/healthz", timeout=2).close()
                break
            if process.poll() is not None or time.monotonic() > ends:
                raise SystemExit(f"did not start: {' '.join(command)}")
            time.sleep(0.05)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


def python(*arguments: str) -> list[str]:
    """A command of this interpreter."""
    return [sys.executable, *arguments]


@dataclass(frozen=True)
class Figures:
    """What one run of the client saw; times in milliseconds."""

    per_second: float
    p50: float
    p95: float
    errors: int
    requests: int


def drive(
    base: str, path: str, body: str, *, cookie: str, tag: str, seconds: float, connections: int = 1
) -> Figures:
    """POST the form *body* over and over; ADDRESS in it becomes another address each time."""
    return send(
        base,
        "POST",
        path,
        body.replace("ADDRESS", "NUMBER%40partner.example"),
        headers={"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie},
        tag=tag,
        seconds=seconds,
        connections=connections,
    )


def send(
    base: str,
    method: str,
    path: str,
    body: str = "",
    *,
    headers: Mapping[str, str],
    tag: str,
    seconds: float,
    connections: int = 1,
) -> Figures:
    """Send one request over and over; NUMBER in its body becomes another text each time, which
    begins with *tag*.
    """
    wrk = shutil.which("wrk")
    if wrk is None:
        raise SystemExit("The benches need wrk. Install it once:  sudo apt-get install wrk")
    lines = "\n".join(f"{name}: {value}" for name, value in headers.items())
    done = subprocess.run(
        [
            wrk, "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s",
            str(ROOT / "bench" / "request.lua"), base, "--", method, path, lines, body, tag,
        ],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = re.search(r"FIGURES (\d+) (\d+) ([\d.]+) ([\d.]+) (\d+)", done.stdout)
    assert found, done.stdout + done.stderr
    requests, micros, p50, p95, errors = (float(value) for value in found.groups())
    return Figures(requests / micros * 1e6, p50 / 1000, p95 / 1000, int(errors), int(requests))


class Person:
    """Signs in through the pages and keeps the cookies and tokens."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.jar = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar))

    def get(self, path: str) -> str:
        """The text of a page."""
        with self._opener.open(self.base + path, timeout=10) as answer:
            return str(answer.read().decode())

    def token(self, path: str) -> str:
        """The CSRF token on a page."""
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.get(path))
        assert found, path
        return found[1]

    def post(self, path: str, **fields: str) -> str:
        """Send a form, token included."""
        body = urllib.parse.urlencode({"csrf_token": self.token(path), **fields}).encode()
        with self._opener.open(self.base + path, body, timeout=10) as answer:
            return str(answer.read().decode())

    def sign_in(self, address: str, password: str) -> "Person":
        """Address, then password."""
        self.post("/signin", address=address)
        self.post("/signin/password", password=password)
        return self

    @property
    def cookie(self) -> str:
        """The Cookie header."""
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.jar)


def program_token(base: str, data_dir: Path) -> str:
    """A token for Graph of the demo's program, which holds every permission."""
    demo = json.loads((data_dir / "demo.json").read_text())
    daemon = next(one for one in demo["applications"] if one["kind"] == "daemon")
    body = urllib.parse.urlencode(
        {
            "grant_type": "client_credentials",
            "client_id": daemon["appId"],
            "client_secret": daemon["clientSecret"],
            "scope": "https://graph.microsoft.com/.default",
        }
    )
    address = f"{base}/{daemon['tenantId']}/oauth2/v2.0/token"
    with urllib.request.urlopen(address, body.encode(), timeout=10) as answer:
        return str(json.load(answer)["access_token"])


def john(base: str, data_dir: Path) -> Person:
    """John Doe of the demo, signed in."""
    users = json.loads((data_dir / "demo.json").read_text())["users"]
    found = next(user for user in users if user["userPrincipalName"].startswith("john.doe@"))
    return Person(base).sign_in(found["userPrincipalName"], found["password"])
