"""Workers that die, oversleep or stop, and mail that cannot be sent: nothing twice."""

import contextlib
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update
from sqlalchemy.exc import OperationalError

from b2b import clock as clock_module
from b2b import worker
from b2b.extensions import db
from b2b.mail import compose, outbox
from b2b.mail.delivery import Deliverer, Outcome
from b2b.models import MailState, OutboxMessage, new_id
from b2b.services import invitations
from config import SETTINGS
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import START, Clock
from tests.crowd import at_once
from tests.journeys.program import ROOT, until
from tests.mail.conftest import Deliver
from tests.mail.fault_server import DROP, FaultServer
from tests.mail.outgoing import (
    EVE,
    SAM,
    invite,
    one_by_one_and_grouped,
    row,
    row_of,
    rows,
)


@pytest.fixture
def settings(settings: dict[str, Any]) -> dict[str, Any]:
    return settings | {"MAIL_CONNECT_TIMEOUT": 0.3, "MAIL_COMMAND_TIMEOUT": 0.3}


# Poison ------------------------------------------------------------------------------------------


def poison(app: Flask, recipient: str, /, **columns: Any) -> None:
    """Spoil the row of *recipient*."""
    with app.app_context(), worker.transaction() as session:
        session.execute(
            update(OutboxMessage).where(OutboxMessage.recipient == recipient).values(**columns)
        )


POISONS: dict[str, dict[str, Any]] = {
    "a template that is not there": {"template": "nowhere"},
    "a context without what the template needs": {"context": {}},
    "a key that is gone": {
        "context": {
            "invitation_id": "66666666-7777-4888-9999-aaaaaaaaaaaa", "version": 1,
            "key_id": "gone", "tenant_name": "WoodGrove",
        }
    },
    "a reply address with a line break": {
        "context": {
            "invitation_id": "66666666-7777-4888-9999-aaaaaaaaaaaa", "version": 1,
            "tenant_name": "WoodGrove", "reply_to": "a@b.example\r\nBcc: eve@evil.example",
        }
    },
    "a recipient with a line break": {"recipient": SAM + "\r\nBcc: eve@evil.example"},
    "a recipient outside ASCII": {"recipient": "sämi@gmail.com"},
}  # fmt: skip


@pytest.mark.parametrize("which", POISONS)
def test_a_row_that_cannot_be_sent_is_parked_alone_and_the_others_go_out(
    app: Flask, cast: Cast, clock: Clock, deliver: Deliver, server: FaultServer, which: str
) -> None:
    """REL-6, INV-1"""
    others = [f"guest{number}@partner.example" for number in range(100)]
    invite(app, cast, clock, *others[:3], SAM, *others[3:50])
    clock.advance(minutes=1)
    invite(app, cast, clock, *others[50:])
    values = dict(POISONS[which])
    if "context" in values and values["context"].get("reply_to"):
        values["context"] = rows(app)[SAM].context | {"reply_to": values["context"]["reply_to"]}
    poison(app, SAM, **values)
    sent = sum(deliver().sent for _ in range(6))
    assert sent == 100
    assert sorted(recipient for recipient, _ in server.accepted) == sorted(others)
    [parked] = [mail for mail in rows(app).values() if mail.state is not MailState.SENT]
    assert parked.state is MailState.FAILED
    assert parked.last_error
    assert "eve@evil" not in parked.last_error


def test_a_row_that_kills_its_worker_every_time_is_parked(
    app: Flask, cast: Cast, clock: Clock, deliver: Deliver, server: FaultServer
) -> None:
    """REL-6: the attempt is counted before it is made"""
    invite(app, cast, clock, SAM, EVE)
    for _ in range(5):  # workers that lease and die
        with app.app_context(), worker.transaction() as session:
            assert len(outbox.lease(session, "dead", now=clock.now, limit=1)) == 1
        assert deliver().sent == (1 if clock.now == START else 0), "the other mail goes out"
        clock.advance(minutes=6)
    assert row_of(app, SAM).state is MailState.QUEUED
    assert deliver().failed == 1
    assert row_of(app, SAM).last_error == "No attempt ever came to an end."
    assert [recipient for recipient, _ in server.accepted] == [EVE]


class Killed(BaseException):
    """What ends a worker at once, whatever it is doing."""


def test_whoever_kills_the_worker_takes_nobody_along(
    app: Flask, cast: Cast, clock: Clock, deliver: Deliver, server: FaultServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """REL-6: what was leased together with it goes out, one by one"""
    others = [f"guest{number}@partner.example" for number in range(10)]
    invite(app, cast, clock, *others[:5], SAM, *others[5:])
    render = compose.message

    def deadly(template: str, context: dict[str, Any], **facts: Any) -> Any:
        if facts["recipient"] == SAM:
            raise Killed
        return render(template, context, **facts)

    monkeypatch.setattr(compose, "message", deadly)
    deaths = 0
    for _ in range(40):
        try:
            deliver()
        except Killed:
            deaths += 1
            with app.app_context(), worker.transaction() as session:
                outbox.take_back(session, lambda owner: True, now=clock.advance(seconds=1))
    assert deaths == outbox.MAX_CRASHES
    assert row_of(app, SAM).last_error == "No attempt ever came to an end."
    assert {row_of(app, address).state for address in others} == {MailState.SENT}
    counts = Counter(recipient for recipient, _ in server.accepted)
    assert set(counts) == set(others)
    assert sum(counts.values()) <= 10 + deaths


def test_ended_attempts_are_no_crashes(
    app: Flask, cast: Cast, clock: Clock, deliver: Deliver, server: FaultServer
) -> None:
    """REL-6: four crashes, an answer, four crashes"""
    invite(app, cast, clock, SAM)
    for _ in range(2):
        for _ in range(4):
            with app.app_context(), worker.transaction() as session:
                assert len(outbox.lease(session, "dead", now=clock.now, limit=1)) == 1
            clock.advance(minutes=6)
        server.faults = {"RCPT": "450 later"}
        assert deliver().deferred == 1
        clock.advance(hours=2)
    server.faults = {}
    assert deliver().sent == 1


# Leases ------------------------------------------------------------------------------------------


def test_whoever_lost_the_lease_writes_nothing(app: Flask, cast: Cast, clock: Clock) -> None:
    """REL-3: owner and fencing number"""
    invite(app, cast, clock, SAM)
    with app.app_context():
        with worker.transaction() as session:
            [slow] = outbox.lease(session, "slow", now=clock.now, limit=5)
        with worker.transaction() as session:
            assert outbox.lease(session, "quick", now=clock.advance(minutes=4), limit=5) == []
        with worker.transaction() as session:
            [quick] = outbox.lease(session, "quick", now=clock.advance(minutes=1), limit=5)
        assert quick.fence == slow.fence + 1
        for settle in (
            lambda session: outbox.sent(session.connection(), slow, now=clock.now),
            lambda session: outbox.failed(session.connection(), slow, "no", now=clock.now),
            lambda session: outbox.later(session.connection(), slow, "no", now=clock.now),
            lambda session: outbox.release(session.connection(), slow, now=clock.now),
        ):
            with worker.transaction() as session:
                assert settle(session) is False
        assert row(app).lease_owner == "quick"
        with worker.transaction() as session:
            assert outbox.sent(session.connection(), quick, now=clock.now) is True
    assert (row(app).state, row(app).lease_owner) == (MailState.SENT, None)


def test_a_lease_takes_as_many_as_it_says_and_the_oldest_first(
    app: Flask, cast: Cast, clock: Clock
) -> None:
    """REL-3: what a worker cannot send within its lease it must not take"""
    for number in range(12):
        invite(app, cast, clock, f"guest{number}@partner.example")
        clock.advance(seconds=1)
    taken = []
    with app.app_context():
        for limit in (1, 5, 20):
            with worker.transaction() as session:
                leased = outbox.lease(session, f"worker {limit}", now=clock.now, limit=limit)
            taken.append([mail.recipient for mail in leased])
    assert taken == [
        [f"guest{number}@partner.example" for number in numbers]
        for numbers in (range(1), range(1, 6), range(6, 12))
    ]


def test_several_workers_send_every_mail_once(
    app: Flask, cast: Cast, clock: Clock, server: FaultServer, deliver: Deliver
) -> None:
    """REL-3: several worker processes share one database"""
    server.slowness = 0.01
    addresses = [f"guest{number}@partner.example" for number in range(60)]
    with app.app_context(), worker.transaction() as session:
        john = acting(session, cast.woodgrove, cast.john, clock.now)
        invitations.invite_many(session, john, addresses_text=addresses[:50])
        invitations.invite_many(session, john, addresses_text=addresses[50:])

    def work(_: Any, number: int) -> int:
        db.session.remove()
        sent = 0
        while (outcome := deliver(owner=f"worker {number}")).leased:
            sent += outcome.sent
        return sent

    done, faults = at_once(app, 4, work)
    assert faults == []
    assert sum(done) == 60
    assert sorted(recipient for recipient, _ in server.accepted) == sorted(addresses)
    assert {mail.state for mail in rows(app).values()} == {MailState.SENT}


def test_a_worker_that_is_told_to_stop_gives_back_what_it_has_not_begun(
    app: Flask, cast: Cast, clock: Clock, deliver: Deliver, server: FaultServer
) -> None:
    """REL-10"""
    invite(app, cast, clock, *[f"guest{number}@partner.example" for number in range(5)])
    outcome = deliver(stopping=lambda: len(server.accepted) >= 2)
    assert outcome.sent == 2
    waiting = [mail for mail in rows(app).values() if mail.state is MailState.QUEUED]
    assert len(waiting) == 3
    assert {(mail.attempts, mail.due_at, mail.lease_owner) for mail in waiting} == {
        (0, clock.now, None)
    }
    assert deliver().sent == 3


def test_an_envelope_announced_for_nothing_does_not_disturb_the_next_round(
    app: Flask, cast: Cast, clock: Clock, server: FaultServer
) -> None:
    """REL-10: stopped between two mails, and going on over the same connection"""
    server.extensions = ["PIPELINING"]
    invite(app, cast, clock, *[f"guest{number}@partner.example" for number in range(25)])
    enough = {2}
    with app.app_context():
        deliverer = Deliverer(
            worker.transaction,
            worker.writing,
            owner="test",
            clock=clock_module.now,
            stopping=lambda: len(server.accepted) in enough,
        )
        assert deliverer.run().sent == 2
        enough.clear()
        assert sum(deliverer.run().sent for _ in range(2)) == 23
        deliverer.close()


def test_cancelled_mail_is_not_sent(
    app: Flask, cast: Cast, clock: Clock, deliver: Deliver, server: FaultServer
) -> None:
    """REL-18: unsent mail of a removed guest"""
    invite(app, cast, clock, SAM)
    with app.app_context(), worker.transaction() as session:
        about = row(app).about_id
        assert about is not None
        outbox.cancel(session, cast.woodgrove, about, now=clock.now)
    assert deliver().leased == 0
    assert server.accepted == []
    assert row(app).state is MailState.CANCELLED


class Overtaken:
    """Does something while the server keeps the mail to one recipient."""

    def __init__(
        self, app: Flask, server: FaultServer, recipient: str, what: Callable[[], None]
    ) -> None:
        self._recipient, self._what = recipient, what
        app.config["MAIL_COMMAND_TIMEOUT"] = 20.0
        server.meanwhile = self

    def __call__(self, recipient: str) -> None:
        if recipient == self._recipient:
            self._recipient = ""
            self._what()


@one_by_one_and_grouped
def test_mail_cancelled_while_the_one_before_is_sent_is_not_sent(
    app: Flask, cast: Cast, clock: Clock, deliver: Deliver, server: FaultServer,
    grouping: list[str],
) -> None:  # fmt: skip
    """REL-18: although it was rendered, and its envelope announced, already"""
    server.extensions = grouping
    invite(app, cast, clock, EVE, SAM, "ada@partner.example")
    about = row_of(app, SAM).about_id

    def cancel() -> None:
        assert about is not None
        with app.app_context(), worker.transaction() as session:
            outbox.cancel(session, cast.woodgrove, about, now=clock.now)

    Overtaken(app, server, EVE, cancel)
    assert deliver().sent == 2
    assert [recipient for recipient, _ in server.accepted] == [EVE, "ada@partner.example"]
    assert row_of(app, SAM).state is MailState.CANCELLED


def test_mail_cancelled_too_late_is_shown_as_sent(
    app: Flask, cast: Cast, clock: Clock, deliver: Deliver, server: FaultServer
) -> None:
    """What people read is true: it has gone out"""
    invite(app, cast, clock, SAM)
    about = row(app).about_id

    def cancel() -> None:
        assert about is not None
        with app.app_context(), worker.transaction() as session:
            outbox.cancel(session, cast.woodgrove, about, now=clock.now)

    Overtaken(app, server, SAM, cancel)
    assert deliver().sent == 1
    assert row(app).state is MailState.SENT


@one_by_one_and_grouped
def test_a_worker_that_slept_through_its_lease_repeats_one_mail_at_most(
    app: Flask, cast: Cast, clock: Clock, deliver: Deliver, server: FaultServer,
    grouping: list[str], caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """REL-3: the one that was under way, which is flagged"""
    server.extensions = grouping
    addresses = [f"guest{number}@partner.example" for number in range(10)]
    for address in addresses:
        invite(app, cast, clock, address)
        clock.advance(seconds=1)
    others: list[Outcome] = []

    def oversleep() -> None:
        clock.advance(minutes=6)
        while (outcome := deliver("quick")).leased:
            others.append(outcome)

    Overtaken(app, server, addresses[3], oversleep)
    slow = deliver("slow")
    counts = Counter(recipient for recipient, _ in server.accepted)
    assert counts == dict.fromkeys(addresses, 1) | {addresses[3]: 2}
    assert sum(outcome.sent for outcome in others) == 7
    assert (slow.sent, slow.lost) == (4, 1)
    assert "lease was lost while sending" in caplog.text


@one_by_one_and_grouped
@pytest.mark.parametrize("reply", ["421 4.7.0 that is enough for one connection", DROP])
def test_a_server_that_wants_a_new_connection_now_and_then_gets_it(
    app: Flask, cast: Cast, clock: Clock, deliver: Deliver, server: FaultServer,
    grouping: list[str], reply: str,
) -> None:  # fmt: skip
    """REL-4: no mail is to blame, and none is put off"""
    server.extensions = grouping
    invite(app, cast, clock, *[f"guest{number}@partner.example" for number in range(6)])
    enough = "guest2@partner.example"
    server.faults = {f"RCPT {enough}": reply}
    server.on_connection = lambda number: server.faults.clear() if number == 2 else None
    outcome = deliver()
    assert (outcome.sent, outcome.deferred) == (6, 0)
    assert server.connections == 2
    assert len(server.accepted) == 6


def test_a_server_that_wants_content_after_refusing_the_recipient_gets_none(
    app: Flask, cast: Cast, clock: Clock, deliver: Deliver, server: FaultServer
) -> None:
    """MAIL-6: in a group of commands DATA follows whatever RCPT was answered"""
    server.extensions = ["PIPELINING"]
    server.faults = {"RCPT " + SAM: "550 5.1.1 No such mailbox here", "DATA": "354 go on"}
    invite(app, cast, clock, SAM, EVE)
    outcome = deliver()
    assert (outcome.sent, outcome.failed) == (1, 1)
    assert [recipient for recipient, _ in server.accepted] == [EVE]


def test_one_tenants_thousands_do_not_hold_up_anothers_only_letter(
    app: Flask, cast: Cast, clock: Clock, deliver: Deliver, server: FaultServer
) -> None:
    """REL-6: fair order per tenant"""
    facts = {"tenant_name": "Contoso", "tenant_domain": "contoso.example"}
    with app.app_context(), worker.transaction() as session:
        for number in range(3):
            factories.invite(session, cast, clock.now, f"guest{number}@partner.example")
        [like] = session.scalars(select(OutboxMessage).limit(1)).all()
        context = like.context
        outbox.enqueue(
            session,
            *[
                outbox.row(
                    cast.woodgrove, "invitation", f"many{number}@partner.example", context,
                    now=clock.now, domain="woodgrove.example",
                )
                for number in range(3000)
            ],
        )  # fmt: skip
    clock.advance(hours=1)
    with app.app_context(), worker.transaction() as session:
        for tenant in (cast.contoso, new_id(), new_id()):
            outbox.enqueue(
                session,
                outbox.row(
                    tenant, "invitation", f"only@{tenant.hex}.example", context | facts,
                    now=clock.now, domain="contoso.example",
                ),
            )  # fmt: skip
    deliver()
    got = [recipient for recipient, _ in server.accepted]
    assert len(got) <= 20
    assert sum(recipient.startswith("only@") for recipient in got) == 3


def test_one_connection_carries_a_whole_round(
    app: Flask, cast: Cast, clock: Clock, deliver: Deliver, server: FaultServer
) -> None:
    invite(app, cast, clock, *[f"guest{number}@partner.example" for number in range(5)])
    assert deliver().sent == 5
    assert server.connections == 1


# With real workers and real time -----------------------------------------------------------------


def queue(app: Flask, cast: Cast, count: int, *, now: datetime) -> list[str]:
    """So many invitation mails to different people; their addresses."""
    addresses = [f"guest{number:04}@many.example" for number in range(count)]
    with app.app_context(), worker.transaction() as session:
        factories.invite(session, cast, now, addresses[0])
        [first] = session.scalars(select(OutboxMessage)).all()
        outbox.enqueue(
            session,
            *[
                outbox.row(
                    cast.woodgrove, first.template, address, first.context,
                    now=now, domain="woodgrove.example",
                )
                for address in addresses[1:]
            ],
        )  # fmt: skip
    return addresses


@pytest.mark.long
@one_by_one_and_grouped
def test_eight_workers_send_a_thousand_mails_once_over_a_slow_server(
    app: Flask, cast: Cast, clock: Clock, server: FaultServer, grouping: list[str]
) -> None:
    """REL-3"""
    server.extensions, server.slowness = grouping, 0.01
    app.config["MAIL_COMMAND_TIMEOUT"] = 20.0
    addresses = queue(app, cast, 1000, now=clock.now)

    def work(_: Any, number: int) -> int:
        db.session.remove()
        deliverer = Deliverer(
            worker.transaction,
            worker.writing,
            owner=f"worker {number}",
            clock=clock_module.now,
            stopping=lambda: False,
        )
        sent = 0
        try:
            while len(server.accepted) < 1000:
                # A database that is locked for long is waited for, as the worker's loop does.
                with contextlib.suppress(OperationalError):
                    outcome = deliverer.run()
                    sent += outcome.sent
                    assert outcome.lost == outcome.deferred == outcome.failed == 0
                db.session.remove()
        finally:
            deliverer.close()
        return sent

    done, faults = at_once(app, 8, work)
    assert faults == []
    assert sum(done) == 1000
    assert Counter(recipient for recipient, _ in server.accepted) == dict.fromkeys(addresses, 1)
    assert {mail.state for mail in rows(app).values()} == {MailState.SENT}


@contextlib.contextmanager
def worker_process(app: Flask) -> Iterator[subprocess.Popen[bytes]]:
    """`flask --app app worker` on the test's database and mail server, with a lease of 3 s."""
    config = app.config
    settings = {
        "DATA_DIR": str(config["DATA_DIR"]),
        "DATABASE_URL": config["DATABASE_URL"],
        "PASSWORD_HASHING": "weak",
        "MAIL_PORT": str(config["MAIL_PORT"]),
        "MAIL_LEASE": "3",
    }
    kept = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    process = subprocess.Popen(
        [sys.executable, "-m", "flask", "--app", "app", "worker"],
        cwd=ROOT, env=kept | settings, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.communicate(timeout=30)


@pytest.mark.long
def test_a_worker_that_is_stopped_past_its_lease_repeats_one_mail_at_most(
    app: Flask, cast: Cast, clock: Clock, server: FaultServer
) -> None:
    """REL-3: SIGSTOP, and SIGCONT once another one has sent everything"""
    clock_module.use(None)
    server.extensions, server.slowness = ["PIPELINING"], 0.05
    addresses = queue(app, cast, 60, now=clock_module.now())
    with worker_process(app) as stopped:
        until(lambda: len(server.accepted) >= 10, 30, 0.005)
        stopped.send_signal(signal.SIGSTOP)
        with worker_process(app):
            until(lambda: len({recipient for recipient, _ in server.accepted}) == 60, 60)
            stopped.send_signal(signal.SIGCONT)
            until(lambda: {mail.state for mail in rows(app).values()} == {MailState.SENT}, 30)
        stopped.terminate()
        said = stopped.communicate(timeout=30)[1].decode()
    counts = Counter(recipient for recipient, _ in server.accepted)
    assert set(counts) == set(addresses)
    twice = sum(counts.values()) - 60
    assert twice <= 1
    assert said.count("lease was lost while sending") == twice
