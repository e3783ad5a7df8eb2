"""Whether the test tools are on, and what they were told."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from typing import Any, cast

from flask import Flask, current_app
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from b2b import clock, links
from b2b.errors import StartRefused
from b2b.extensions import db
from b2b.services import replication, test_double
from b2b.services.test_double import State
from b2b.test_double.bell import Bell
from b2b.worker import transaction

_MARK = "demo.json"
_EXTENSION = "b2b_test_double"
_PLAIN = State()


def is_possible(config: Mapping[str, Any]) -> bool:
    """Whether the test tools may be on in an installation with these settings: never in production,
    nor where others can reach them.
    """
    return bool(
        (config["TEST_DOUBLE"] or config["DEMO"])
        and not config["PRODUCTION"]
        and not config["TRUSTED_PROXIES"]
        and links.is_loopback(config["HOST"])
    )


def is_on(config: Mapping[str, Any]) -> bool:
    """Whether this is a demo, or was started as a test double."""
    return is_possible(config) and bool(
        config["TEST_DOUBLE"] or (config["DATA_DIR"] / _MARK).exists()
    )


class Double:
    """The test tools of one process."""

    def __init__(self, config: Mapping[str, Any], engine: Engine) -> None:
        self._config = config
        self._engine = engine
        self._bell: Bell[State] | None = None
        self.is_on = False
        """As `is_on` has found."""

    def look(self) -> None:
        """Find out whether this is a test double, and follow what it is told from then on."""
        self.is_on = is_on(self._config)
        if self.is_on and self._bell is None:
            folder = self._config["DATA_DIR"]
            self._bell = Bell(folder, self._engine, test_double.read, _PLAIN)
        clock.follow(self._offset if self.is_on else None)
        replication.configure(self._lag if self.is_on else None)

    def _offset(self) -> timedelta:
        return self.state().offset

    def _lag(self) -> timedelta:
        return self.state().visible_after

    def state(self) -> State:
        """How things stand."""
        return _PLAIN if self._bell is None else self._bell.state()

    def ring(self) -> None:
        """Let every process look; after the commit."""
        assert self._bell is not None
        self._bell.ring()


def install(app: Flask) -> None:
    """Give *app* its test tools, where its settings allow any."""
    clock.follow(None)
    replication.configure(None)
    if not is_possible(app.config):
        return
    with app.app_context():
        double = Double(app.config, db.engine)
    app.extensions[_EXTENSION] = double
    double.look()


def of_app() -> Double | None:
    """The test tools of this app if they are on."""
    return of(current_app)


def of(app: Flask) -> Double | None:
    """The test tools of *app* if they are on."""
    double = cast(Double | None, app.extensions.get(_EXTENSION))
    return double if double is not None and double.is_on else None


def look_again(app: Flask) -> None:
    """The demo may have been made since the app was built."""
    double = app.extensions.get(_EXTENSION)
    if double is not None:
        double.look()


def required() -> Double:
    """The test tools. Raises StartRefused where there are none."""
    double = of_app()
    if double is None:
        raise StartRefused(
            "The test tools are off here: they belong to the demo, or to TEST_DOUBLE=1 on a "
            "loopback address, and never to production."
        )
    return double


@contextmanager
def telling(
    writing: Callable[[], AbstractContextManager[Session]] = transaction,
) -> Iterator[Session]:
    """A transaction that tells the test tools something; every process knows when it is left."""
    double = required()
    with writing() as session:
        yield session
    double.ring()
