"""Journeys: the real program, a real Chromium, and people with a browser each."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Playwright

from tests import clients
from tests.journeys.cloud import Cloud, Registrar
from tests.journeys.people import Visitor
from tests.journeys.program import Program
from tests.journeys.words import ENGLISH, Words

ARGUMENTS = [
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

on_both_databases = pytest.mark.parametrize(
    "program",
    ["sqlite", pytest.param("postgres", marks=[pytest.mark.long, pytest.mark.postgres])],
    indirect=True,
)
"""On SQLite always, on PostgreSQL too in `make test-all`."""


def launch(playwright: Playwright) -> Browser:
    """The system's Chromium."""
    return playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)


@pytest.fixture
def program(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Program]:
    """The whole program with its demo, fresh for this test; its log must hold no errors."""
    if getattr(request, "param", "sqlite") == "postgres":
        with request.getfixturevalue("postgres_template").fresh() as url:
            yield from _running(Program(tmp_path, database_url=url))
    else:
        yield from _running(Program(tmp_path))


def _running(program: Program) -> Iterator[Program]:
    try:
        yield program.start()
    finally:
        program.stop()
    assert program.faults == []


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """One program for the tests of a file, with https and its demo."""
    folder = tmp_path_factory.mktemp("cloud")
    program = Program(folder, HTTPS="1")
    (folder / "instance").symlink_to(folder / "data")  # where the examples look
    (folder / "node_modules").symlink_to(clients.FOLDER / "node_modules")
    try:
        yield Cloud(program.start())
    finally:
        program.stop()
    assert program.faults == []


@pytest.fixture
def registrar(cloud: Cloud) -> Registrar:
    """Registers applications in the cloud's own database."""
    return Registrar(cloud)


@pytest.fixture
def trusting(cloud: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """decisions.md, certificates in tests: whatever the environment presets. A failed test leaves
    its traces in *tmp_path*.
    """
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"):
        monkeypatch.setenv(name, cloud.ca_file)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def seen_by_axe() -> set[str]:
    """Pages that were checked already; one look at each kind of page is enough."""
    return set()


Enter = Callable[..., Visitor]


@pytest.fixture
def enter(
    chromium: Browser, program: Program, seen_by_axe: set[str], request: pytest.FixtureRequest
) -> Iterator[Enter]:
    """Lets somebody in: `enter("Sam", words=KOREAN, viewport=PHONE)`. No page may have a fault."""
    visitors: list[Visitor] = []

    def enter(name: str, *, words: Words = ENGLISH, **options: Any) -> Visitor:
        visitors.append(Visitor(name, chromium, program, words, seen_by_axe, **options))
        return visitors[-1]

    request.node.stash[_VISITORS] = visitors
    yield enter
    for visitor in visitors:
        visitor.context.close()
    complaints = [complaint for visitor in visitors for complaint in visitor.complaints]
    assert complaints == []


_VISITORS = pytest.StashKey[list[Visitor]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[pytest.TestReport]:
    """A failed journey says where to find pictures of what everybody saw last."""
    report: pytest.TestReport = yield
    if report.when == "call" and report.failed:
        folder = item.funcargs["tmp_path"]  # type: ignore[attr-defined]
        lines = []
        for visitor in item.stash.get(_VISITORS, []):
            lines += [f"{visitor.page.url} {path}" for path in visitor.picture(folder)]
            lines += visitor.complaints
        if lines:
            report.sections.append(("what was on the screens", "\n".join(lines)))
    return report
