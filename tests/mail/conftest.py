"""A mail server with faults, and the app that sends to it."""

from collections.abc import Callable, Iterator

import pytest
from flask import Flask

from b2b import clock as clock_module
from b2b import worker
from b2b.mail.delivery import Deliverer, Outcome
from tests.mail.fault_server import FaultServer

Deliver = Callable[..., Outcome]


def send_to(app: Flask, port: int) -> None:
    """Have the app send its mail to *port* of this machine."""
    app.config["MAIL_PORT"] = port
    app.extensions["mail"].port = port


@pytest.fixture
def server(app: Flask) -> Iterator[FaultServer]:
    started = FaultServer().start()
    send_to(app, started.port)
    yield started
    started.stop()


@pytest.fixture
def deliver(app: Flask) -> Deliver:
    """One round of a worker's delivery."""

    def once(owner: str = "test", stopping: Callable[[], bool] = lambda: False) -> Outcome:
        with app.app_context():
            deliverer = Deliverer(
                worker.transaction,
                worker.writing,
                owner=owner,
                clock=clock_module.now,
                stopping=stopping,
            )
            try:
                return deliverer.run()
            finally:
                deliverer.close()

    return once
