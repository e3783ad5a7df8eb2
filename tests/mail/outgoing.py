"""What the tests of delivery share: mail in the outbox, and a look at its rows."""

import socket
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from b2b import worker
from b2b.extensions import db
from b2b.models import OutboxMessage
from tests import factories
from tests.cast import Cast
from tests.conftest import Clock

SAM = "gsamoogle@gmail.com"
EVE = "eve@partner.example"


def invite(app: Flask, cast: Cast, clock: Clock, *addresses: str, **facts: Any) -> None:
    with app.app_context(), worker.transaction() as session:
        for address in addresses:
            factories.invite(session, cast, clock.now, address, **facts)


def rows(app: Flask) -> dict[str, OutboxMessage]:
    """Outbox rows by recipient."""
    with app.app_context():
        found = db.session.scalars(select(OutboxMessage)).all()
        db.session.remove()
        return {row.recipient: row for row in found}


def row(app: Flask) -> OutboxMessage:
    [only] = rows(app).values()
    return only


def row_of(app: Flask, recipient: str) -> OutboxMessage:
    return rows(app)[recipient]


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


one_by_one_and_grouped = pytest.mark.parametrize(
    "grouping", [[], ["PIPELINING", "SIZE 1000000"]], ids=["one by one", "grouped"]
)
