"""Few fixtures, all real: an app on a database of its own, the cast, a clock, the sink."""

import gc
import smtplib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import sync_playwright
from sqlalchemy import Dialect, Engine
from sqlalchemy.orm import Session

from b2b import clock as clock_module
from b2b import create_app, worker
from b2b.extensions import db
from b2b.mail.delivery import Deliverer, Outcome
from b2b.sink.server import run as run_sink
from b2b.sink.smtp import SinkSettings
from b2b.sink.store import Store
from config import Config
from tests import factories
from tests.cast import Cast, make_cast
from tests.databases import PostgresTemplate, SQLiteTemplate
from tests.pages import Browser

START = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def pytest_collection_finish() -> None:
    """What is loaded by now stays: walking it for garbage again and again takes longer than making
    an app.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> SQLiteTemplate:
    return SQLiteTemplate(tmp_path_factory.mktemp("template"))


@pytest.fixture(scope="session")
def postgres_template() -> Iterator[PostgresTemplate]:
    template = PostgresTemplate()
    yield template
    template.close()


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgres", marks=[pytest.mark.long, pytest.mark.postgres]),
    ]
)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A fresh database at head: SQLite always, PostgreSQL too in `make test-all`."""
    if request.param == "postgres":
        with request.getfixturevalue("postgres_template").fresh() as url:
            yield url
    else:
        with request.getfixturevalue("sqlite_template").fresh(tmp_path) as url:
            yield url


class Clock:
    """Stands still until it is told to move."""

    def __init__(self) -> None:
        self.now = START

    def advance(self, **by: float) -> datetime:
        """Move forward by timedelta's keywords."""
        self.now += timedelta(**by)
        return self.now


@pytest.fixture
def clock() -> Iterator[Clock]:
    frozen = Clock()
    clock_module.use(lambda: frozen.now)
    yield frozen
    clock_module.use(None)


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> dict[str, Any]:
    """Settings of the test's app; a test may change them before it asks for `app`."""
    return {
        "DATA_DIR": tmp_path / "data",
        "DATABASE_URL": database_url,
        "PASSWORD_HASHING": "weak",
        "MAIL_CONNECT_TIMEOUT": 2.0,
        "MAIL_COMMAND_TIMEOUT": 2.0,
        "TESTING": True,
    }


@pytest.fixture(scope="session")
def chromium() -> Iterator[Chromium]:
    """The one real browser of a test process: Playwright bears no second beside it."""
    from tests.journeys.conftest import launch

    with sync_playwright() as playwright:
        browser = launch(playwright)
        yield browser
        browser.close()


class CompiledTemplates(BytecodeCache):
    """Templates compiled once for all the apps of a run: compiling costs more than most tests."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._kept:
            bucket.bytecode_from_string(self._kept[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._kept[bucket.key] = bucket.bytecode_to_string()


COMPILED = CompiledTemplates()
_STATEMENTS: dict[str, tuple[Dialect, Any]] = {}


def share_statements(engine: Engine) -> None:
    """Let *engine* use what an earlier one of its kind has compiled; each test has its own engine,
    and would compile every statement anew.
    """
    name = engine.dialect.name
    dialect, compiled = _STATEMENTS.setdefault(name, (engine.dialect, engine._compiled_cache))
    engine.dialect = engine.pool._dialect = dialect  # type: ignore[assignment]
    engine._compiled_cache = compiled


@pytest.fixture
def app(settings: dict[str, Any], clock: Clock) -> Iterator[Flask]:
    built = create_app(Config(**settings))
    built.jinja_env.bytecode_cache = COMPILED
    with built.app_context():
        share_statements(db.engine)
    yield built
    with built.app_context():
        db.session.remove()
        db.engine.dispose()


@pytest.fixture
def session(app: Flask) -> Iterator[Session]:
    """A bare session for services; nothing is committed unless the test does it."""
    with app.app_context():
        yield db.session()
        db.session.remove()


@pytest.fixture
def cast(app: Flask, clock: Clock) -> Cast:
    """WoodGrove with John Doe and Adele Vance, Contoso with Otto, the consumer directory."""
    with app.app_context(), worker.transaction() as session:
        return make_cast(session, clock.now)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def browser(app: Flask) -> Browser:
    """Fetches pages as a browser without scripts would, and checks each one."""
    return Browser(app)


@pytest.fixture
def john(app: Flask, cast: Cast) -> Browser:
    """A browser in which John Doe is signed in to WoodGrove's portal."""
    return Browser(app).sign_in("john.doe@woodgrove.example", cast.password)


@pytest.fixture
def adele(app: Flask, cast: Cast) -> Browser:
    """A browser in which Adele Vance, a member without roles, is signed in."""
    return Browser(app).sign_in("adele.vance@woodgrove.example", cast.password)


@pytest.fixture
def otto(app: Flask, cast: Cast, clock: Clock) -> Browser:
    """A browser in which Otto of Contoso acts as an accepted guest of WoodGrove."""
    with app.app_context(), worker.transaction() as session:
        invited = factories.invite(session, cast, clock.now, "otto.brandt@contoso.example")
        identity = factories.hosted(session, "otto.brandt@contoso.example")
        factories.accept(session, cast, invited, clock.now, identity)
    browser = Browser(app).sign_in("otto.brandt@contoso.example", cast.password)
    assert browser.get(f"/myapps?tenantid={cast.woodgrove}").path == "/myapps"
    return browser


class Mailroom:
    """A real sink on a port of its own, and a worker's delivery to it."""

    def __init__(self, app: Flask, url: str) -> None:
        self._app = app
        self._url = url
        self._thread: threading.Thread | None = None
        self.stop_event = threading.Event()

    def start(self, port: int = 0) -> None:
        """Listen; raises if it does not within five seconds."""
        ready = threading.Event()

        def on_ready(taken: int) -> None:
            self._app.config["MAIL_PORT"] = taken
            self._app.extensions["mail"].port = taken
            ready.set()

        self.stop_event = threading.Event()
        settings = SinkSettings(port=port, store_url=self._url)
        self._thread = threading.Thread(
            target=run_sink, args=(settings,), kwargs={"ready": on_ready, "stop": self.stop_event}
        )
        self._thread.start()
        assert ready.wait(5)

    def stop(self) -> None:
        """Close the port."""
        if self._thread is not None:
            self.stop_event.set()
            self._thread.join(10)
            self._thread = None

    @property
    def port(self) -> int:
        return int(self._app.config["MAIL_PORT"])

    def deliver(self, **options: Any) -> Outcome:
        """One round of the worker's delivery."""
        with self._app.app_context():
            deliverer = Deliverer(
                worker.transaction,
                worker.writing,
                owner="test",
                clock=clock_module.now,
                stopping=lambda: False,
                **options,
            )
            try:
                return deliverer.run()
            finally:
                deliverer.close()

    @contextmanager
    def store(self) -> Iterator[Store]:
        """The store behind the sink."""
        store = Store.open(self._url)
        try:
            yield store
        finally:
            store.close()

    def sources(self, recipient: str | None = None) -> list[bytes]:
        """Captured mail, oldest first, as bytes."""
        with self.store() as store:
            page = store.list(recipient=recipient, limit=1000)
            return [store.source(found.id) or b"" for found in reversed(page.messages)]

    def send(self, source: bytes, to: str) -> None:
        """Put a message in as any program would."""
        with smtplib.SMTP("127.0.0.1", self.port, timeout=5) as smtp:
            smtp.sendmail("sender@example.com", [to], source)


@pytest.fixture
def mailroom(app: Flask, tmp_path: Path) -> Iterator[Mailroom]:
    room = Mailroom(app, f"sqlite:///{tmp_path / 'mail.sqlite3'}")
    room.start()
    yield room
    room.stop()
