"""The outbox without SMTP: what people are told about a row, who is next, and who waits."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import delete, event

from b2b import worker
from b2b.extensions import db
from b2b.mail import outbox
from b2b.mail.outbox import DeliveryState, Leased, Step
from b2b.models import MailPause, MailState
from tests.conftest import START, Clock

LATER = START + timedelta(minutes=4)
BEFORE = START - timedelta(minutes=4)
NOBODY = UUID(int=0)
WORDS = "450 4.2.1 Mailbox busy"


@pytest.mark.parametrize(
    ("state", "owner", "attempts", "due_at", "error", "expected"),
    [
        (MailState.QUEUED, None, 0, START, None, DeliveryState(Step.QUEUED)),
        (MailState.QUEUED, "w", 1, LATER, None, DeliveryState(Step.SENDING)),
        (MailState.QUEUED, "w", 2, LATER, WORDS, DeliveryState(Step.SENDING)),
        (MailState.QUEUED, "dead", 1, BEFORE, None, DeliveryState(Step.QUEUED)),
        (MailState.QUEUED, None, 1, LATER, WORDS, DeliveryState(Step.RETRYING, LATER, WORDS)),
        (MailState.QUEUED, None, 1, BEFORE, WORDS, DeliveryState(Step.QUEUED, None, WORDS)),
        (MailState.SENT, None, 3, BEFORE, None, DeliveryState(Step.SENT)),
        (MailState.FAILED, None, 1, BEFORE, WORDS, DeliveryState(Step.FAILED, None, WORDS)),
        (MailState.CANCELLED, None, 1, LATER, WORDS, DeliveryState(Step.CANCELLED)),
    ],
)
def test_what_people_are_told_about_a_mail(
    state: MailState,
    owner: str | None,
    attempts: int,
    due_at: datetime,
    error: str | None,
    expected: DeliveryState,
) -> None:
    """threats.md, 5: message states; a lease that ran out is not being sent"""
    assert outbox.shown(state, owner, attempts, due_at, error, START) == expected


def row(tenant_id: UUID, number: int) -> dict[str, Any]:
    return outbox.row(
        tenant_id, "accepted", f"n{number}@partner.example", {}, now=START, domain="b2b.example"
    )


def lease(app: Flask, clock: Clock, limit: int, after: UUID = NOBODY) -> list[Leased]:
    with app.app_context(), worker.transaction() as session:
        return outbox.lease(session, "a worker", now=clock.now, limit=limit, after=after)


def test_tenants_have_their_turns_and_share_what_is_taken(app: Flask, clock: Clock) -> None:
    """REL-6: fair order per tenant, round and round"""
    a, b, c, d = (UUID(int=number) for number in (1, 2, 3, 4))
    with app.app_context(), worker.transaction() as session:
        for tenant_id, count in ((a, 500), (b, 1), (c, 30), (d, 2)):
            outbox.enqueue(session, *[row(tenant_id, number) for number in range(count)])
        session.add(MailPause(tenant_id=d, paused_at=START))
    taken = lease(app, clock, 12)
    assert Counter(mail.tenant_id for mail in taken) == {a: 4, b: 1, c: 7}
    assert {mail.tenant_id for mail in lease(app, clock, 1, after=a)} == {c}
    assert {mail.tenant_id for mail in lease(app, clock, 1, after=c)} == {a}
    with app.app_context(), worker.transaction() as session:
        session.execute(delete(MailPause))
        assert outbox.turns(session, now=clock.now, limit=9, after=c) == [d, a, c]
        assert outbox.turns(session, now=clock.now, limit=2, after=a) == [c, d]
        assert outbox.turns(session, now=START - timedelta(seconds=1), limit=9) == []


def test_finding_the_next_turn_reads_the_index_alone(app: Flask, clock: Clock) -> None:
    """scale.md, 3: no walk over ten thousand rows for the one of somebody else"""
    with app.app_context(), worker.transaction() as session:
        for number in range(3):
            outbox.enqueue(session, *[row(UUID(int=number + 1), n) for n in range(2000)])
    said: list[str] = []
    with app.app_context():
        engine = db.engine

        def note(_: Any, __: Any, statement: str, values: Any, *___: Any) -> None:
            said.append(statement)
            seen.append(values)

        seen: list[Any] = []
        event.listen(engine, "before_cursor_execute", note)
        try:
            with worker.transaction() as session:
                assert len(outbox.lease(session, "a worker", now=clock.now, limit=3)) == 3
        finally:
            event.remove(engine, "before_cursor_execute", note)
        with engine.connect() as connection:
            if engine.dialect.name == "postgresql":
                connection.exec_driver_sql("ANALYZE outbox")
            explain = "EXPLAIN " if engine.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN "
            plans = [
                " ".join(str(line) for line in connection.exec_driver_sql(explain + text, values))
                for text, values in zip(said, seen, strict=True)
                if "outbox" in text
            ]
        db.session.remove()
    assert len(plans) == 4, "one walk, and one statement for each tenant's turn"
    for plan in plans:
        assert "ix_outbox_by_turn" in plan
        assert "SCAN outbox" not in plan.replace("SCAN outbox_", "")
        assert "Seq Scan on outbox" not in plan


def test_what_died_with_its_worker_counts_as_a_crash_also_when_it_is_taken_back(
    app: Flask, clock: Clock
) -> None:
    """REL-6"""
    with app.app_context(), worker.transaction() as session:
        outbox.enqueue(session, row(UUID(int=1), 1))
    for crashes in range(3):
        assert [mail.crashes for mail in lease(app, clock, 5)] == [crashes]
        with app.app_context(), worker.transaction() as session:
            assert outbox.take_back(session, lambda owner: True, now=clock.now) == 1
