"""Sinks that really listen and stores that really lie on disk."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from b2b import certificates, clock
from b2b.certificates import Files
from b2b.sink.server import run
from b2b.sink.smtp import SinkSettings
from b2b.sink.store import Store
from tests.sink.correspondents import ROOT, RunningSink, SinkProcess, StartSink, until


@pytest.fixture
def start_sink(tmp_path: Path) -> Iterator[StartSink]:
    """Starts sinks in threads of this process; keyword arguments are settings."""
    running: list[RunningSink] = []

    def start(**changes: object) -> RunningSink:
        url = f"sqlite:///{tmp_path}/mail-{len(running)}.sqlite3"
        usual = SinkSettings(port=0, store_url=url, grace=1)
        settings = replace(usual, **changes)  # type: ignore[arg-type]
        ports: list[int] = []
        stop = threading.Event()
        thread = threading.Thread(
            target=run, args=(settings,), kwargs={"ready": ports.append, "stop": stop}
        )
        thread.start()
        port = until(lambda: ports)[0]
        running.append(RunningSink(port, Store.open(settings.store_url), thread, stop))
        return running[-1]

    yield start
    for sink in running:
        sink.stop.set()
    for sink in running:
        sink.thread.join(10)
        sink.store.close()
        assert not sink.thread.is_alive()


@pytest.fixture
def sink(start_sink: StartSink) -> RunningSink:
    return start_sink()


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """A certificate for localhost, and the authority that signed it."""
    return certificates.ensure(tmp_path_factory.mktemp("tls"), ["localhost"], clock.now())


@pytest.fixture
def start_process() -> Iterator[Callable[[str], SinkProcess]]:
    """Starts ``python -m b2b.sink`` on a free port, for a store URL."""
    started: list[subprocess.Popen[str]] = []

    def start(store_url: str, port: int = 0) -> SinkProcess:
        process = subprocess.Popen(
            [sys.executable, "-m", "b2b.sink", "--port", str(port), "--store-url", store_url],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        line = process.stdout.readline()
        return SinkProcess(process, int(line.rpartition(":")[2]) if line else 0)

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(
    params=[
        "file",
        "memory",
        pytest.param("postgresql", marks=[pytest.mark.long, pytest.mark.postgres]),
    ]
)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty store of each kind."""
    with contextlib.ExitStack() as stack:
        if request.param == "postgresql":
            url = stack.enter_context(request.getfixturevalue("postgres_template").fresh())
        else:
            file = f"sqlite:///{tmp_path}/mail.sqlite3"
            url = {"file": file, "memory": "sqlite://"}[request.param]
        made = Store.open(url)
        yield made
        made.close()
