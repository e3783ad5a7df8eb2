"""Postfix's `smtp-source` as the load, and the sinks it is sent to."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

from bench.programs import ROOT

SESSIONS = 10
OCTETS = 10_240


def smtp_source() -> str:
    """Where `smtp-source` is. Raises SystemExit with the command that installs it."""
    found = shutil.which("smtp-source", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/libexec")
    if found is None:
        raise SystemExit(
            "This bench needs smtp-source. Install it once:  sudo apt-get install postfix"
        )
    return found


def send(port: int, count: int, *, reused: bool, sessions: int = SESSIONS) -> float:
    """Seconds that *count* mails of 10 KB take, each over a new connection unless *reused*."""
    command = [
        smtp_source(), "-s", str(sessions), "-m", str(count), "-l", str(OCTETS),
        "-f", "load@woodgrove.example", "-t", "sam@contoso.example",
    ]  # fmt: skip
    if reused:
        command.append("-d")
    begun = time.perf_counter()
    subprocess.run([*command, f"127.0.0.1:{port}"], check=True, capture_output=True, timeout=120)
    return time.perf_counter() - begun


@contextlib.contextmanager
def listening(command: list[str], port: int, **environment: str) -> Iterator[int]:
    """Run a sink until the block ends; its process id once it greets on *port*."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        ends = time.monotonic() + 30
        while not _greets(port):
            if process.poll() is not None or time.monotonic() > ends:
                raise SystemExit(f"did not start: {' '.join(command)}")
            time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _greets(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            return connection.recv(3) == b"220"
    except OSError:
        return False
