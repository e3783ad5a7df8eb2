"""The test tools in the running program: web, worker and sink are processes of their own."""

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from b2b.testing import Clock, Faults, Mailbox, Program, Snapshots

ROOT = Path(__file__).parents[2]
INVITED = """
tenants:
  - domain: woodgrove.example
    guests:
      - {address: nancy@proseware.example, inviter: john.doe@woodgrove.example, send: true}
"""

pytestmark = pytest.mark.long


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Program]:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with Program(tmp_path, {"WEB_WORKERS": 2}) as started:
        yield started


def test_a_command_moves_the_clock_of_web_worker_and_sink_and_it_outlives_them(
    program: Program, tmp_path: Path
) -> None:
    """decisions.md, movable clock: one row, read by all of them"""
    settings = {"DATA_DIR": str(tmp_path / "data"), "TEST_DOUBLE": "1", "PYTHONPATH": str(ROOT)}
    subprocess.run(
        [sys.executable, "-m", "b2b", "clock", "advance", "--days", "31"],
        cwd=tmp_path, env={**os.environ, **settings}, check=True, capture_output=True,
    )  # fmt: skip
    begun = Clock(program).now - timedelta(seconds=30)
    for _ in range(8):  # either web process may answer
        assert program.tool("GET", "/clock")["offsetSeconds"] == 31 * 86400
    program.load(INVITED)
    mail = Mailbox(program).wait(to="nancy@proseware.example")
    told = program.ask("GET", f"/mail/api/v1/message/{mail.id}/headers")
    assert parsedate_to_datetime(told["Date"][0]) > begun, "the worker writes it"
    rows = program.ask("GET", "/mail/api/v1/messages")["messages"]
    [row] = [row for row in rows if row["ID"] == mail.id]
    assert datetime.fromisoformat(row["Created"]) > begun, "the sink takes it"
    program.stop()
    program.start()
    assert program.tool("GET", "/clock")["offsetSeconds"] == 31 * 86400


def test_connections_end_and_answers_come_late_whichever_process_is_asked(
    program: Program,
) -> None:
    faults = Faults(program)
    rule = faults.add("/signin", drop=True, times=4)
    host, port = "localhost", int(program.base_url.rpartition(":")[2])
    for _ in range(4):
        connection = http.client.HTTPConnection(host, port, timeout=10)
        connection.request("GET", "/signin")
        with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
            connection.getresponse()
        connection.close()
    assert "Sign in" in program.ask("GET", "/signin")
    assert faults.hits(rule) == 4


ASKING = """
import asyncio, sys
from pathlib import Path
from b2b.testing import Program
from b2b.testing.sdk import graph_client

program = Program(Path(sys.argv[1]), {"PORT": sys.argv[2]})
found = asyncio.run(graph_client(program).users.get())
print(*[user.display_name for user in found.value], sep="\\n")
"""
"""In a process of its own: the library warns of itself, and keeps its connections."""


def test_microsofts_own_client_waits_as_it_is_told_and_tries_again(
    program: Program, tmp_path: Path
) -> None:
    """clients.md: msgraph-sdk, unmodified"""
    pytest.importorskip("msgraph_core")
    faults = Faults(program)
    rule = faults.add("/v1.0/users", retry_after=1, times=1, method="GET")
    begun = time.monotonic()
    said = subprocess.run(
        [sys.executable, "-c", ASKING, str(tmp_path), program.base_url.rpartition(":")[2]],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert "Adele Vance" in said.stdout.splitlines()
    assert time.monotonic() - begun >= 1
    assert faults.hits(rule) == 1


def test_a_snapshot_is_put_back_under_running_processes(program: Program) -> None:
    snapshots, mailbox = Snapshots(program), Mailbox(program)
    snapshots.take("before")
    for _ in range(3):
        program.load(INVITED)
        told = program.redeem(mailbox.wait(to="nancy@proseware.example").link("Get Started"))
        assert told["externalUserState"] == "Accepted"
        snapshots.restore("before")
        mailbox.clear()
    assert [line for line in program.log.splitlines() if '"levelname": "ERROR"' in line] == []


def test_the_demo_put_back_has_the_address_of_today(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with Program(tmp_path) as first:
        assert "/demo/projects/callback" in first.ask("GET", "/test-double/directory")
    with Program(tmp_path) as moved:
        moved.reset()
        told = moved.ask("GET", "/test-double/directory")
        assert f"{moved.base_url}/demo/projects/callback" in told
        assert first.base_url not in told
