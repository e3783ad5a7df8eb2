"""The web server as it is started, asked by hand: what no well-behaved client would send."""

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from config import SETTINGS
from tests.journeys.program import ROOT, free_port, until


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A server with an empty directory; told to stop, it must end well."""
    folder: Path = tmp_path_factory.mktemp("server")
    chosen = free_port()
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    environment |= {"DATA_DIR": str(folder / "data"), "PORT": str(chosen), "WEB_WORKERS": "1"}
    command = [sys.executable, "-m", "flask", "--app", "app"]
    subprocess.run([*command, "migrate"], cwd=ROOT, env=environment, check=True, timeout=60,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, "web"], cwd=ROOT, env=environment,
                                   stdout=log, stderr=log)  # fmt: skip
    try:
        until(lambda: answers_to(chosen, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"), 30)
        yield chosen
    finally:
        process.terminate()
        assert process.wait(30) == 0
    said = (folder / "log").read_text()
    assert "Traceback" not in said, said


def answers_to(port: int, request: bytes) -> list[str]:
    """The status lines that come back for *request*, until the server hangs up or is silent."""
    try:
        with socket.create_connection(("127.0.0.1", port), 5) as peer:
            peer.settimeout(1)
            peer.sendall(request)
            received = b""
            try:
                while piece := peer.recv(65536):
                    received += piece
            except (TimeoutError, ConnectionResetError):
                pass
    except OSError:
        return []
    lines = received.decode("latin-1").splitlines()
    return [line.split(" ", 1)[1] for line in lines if line.startswith("HTTP/1.1 ")]


def status(port: int, request: bytes) -> int:
    """The only answer's status."""
    [line] = answers_to(port, request)
    return int(line[:3])


SMUGGLED = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /signin HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    "request_head",
    [
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Content-Length: 0\r\nContent-Length: 5\r\n\r\n",
        POST + b"Content-Length: 0x5\r\n\r\n",
        POST + b"Content-Length: +5\r\n\r\n",
        POST + b"Content-Length: -5\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        POST + b" folded: header\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nBad\x00Name: 1\r\n\r\n",
        b"GET / HTTP/1.1\nHost: localhost\nX: a\rb\n\n",
        b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET\r\n\r\n",
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(port: int, request_head: bytes) -> None:
    """HTTP-1: nothing that follows is taken for a request of its own"""
    answers = answers_to(port, request_head + SMUGGLED)
    assert len(answers) <= 1, answers
    assert all(line[:3] in ("400", "501", "505") for line in answers), answers


@pytest.mark.parametrize(
    ("request_head", "refusal"),
    [
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", (400, 414)),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 9000 + b"\r\n\r\n", (400, 431)),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 100 + b"\r\n", (400, 431)),
    ],
)
def test_headers_have_an_end(port: int, request_head: bytes, refusal: tuple[int, int]) -> None:
    """HTTP-1"""
    assert status(port, request_head) in refusal


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "get"])
def test_methods_that_nobody_serves_are_refused(port: int, method: str) -> None:
    """HTTP-1"""
    request = f"{method} /signin HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert status(port, request.encode()) in (400, 405)


def _sockets_of(pid: int) -> set[str]:
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(os.readlink(entry))
    return {name for name in found if name.startswith("socket:")}


@pytest.mark.long
def test_a_crowd_that_stays_connected_is_shared_by_the_workers(tmp_path: Path) -> None:
    """REL-12: a browser stays with the worker that took it, so nobody may take them all"""
    chosen = free_port()
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    environment |= {
        "DATA_DIR": str(tmp_path),
        "PORT": str(chosen),
        "WEB_WORKERS": "2",
        "WEB_THREADS": "2",
    }
    command = [sys.executable, "-m", "flask", "--app", "app"]
    subprocess.run([*command, "migrate"], cwd=ROOT, env=environment, check=True, timeout=60,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    process = subprocess.Popen([*command, "web"], cwd=ROOT, env=environment,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
    peers: list[socket.socket] = []
    try:
        until(lambda: answers_to(chosen, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"), 30)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        before = {pid: _sockets_of(int(pid)) for pid in children}
        asked = b"GET /signin HTTP/1.1\r\nHost: localhost\r\n\r\n"
        for _ in range(40):
            peers.append(socket.create_connection(("127.0.0.1", chosen), 10))
            peers[-1].sendall(asked)
        for peer in peers:
            assert peer.recv(16) == b"HTTP/1.1 200 OK\r"
        held = [len(_sockets_of(int(pid)) - before[pid]) for pid in children]
        assert sum(held) >= 40, held
        assert min(held) >= 8, held
    finally:
        for peer in peers:
            peer.close()
        process.terminate()
        assert process.wait(30) == 0
