"""A mail server that is away, or refuses us: all mail waits, none fails, and one worker looks."""

import time
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from b2b import worker
from b2b.extensions import db
from b2b.mail import breaker
from b2b.models import EVERYWHERE, MailPause, MailState
from tests.cast import Cast
from tests.conftest import START, Clock
from tests.mail.conftest import Deliver, send_to
from tests.mail.fault_server import DROP, HANG, FaultServer
from tests.mail.outgoing import EVE, SAM, closed_port, invite, row, rows


@pytest.fixture
def settings(settings: dict[str, Any]) -> dict[str, Any]:
    return settings | {"MAIL_CONNECT_TIMEOUT": 0.3, "MAIL_COMMAND_TIMEOUT": 0.3}


def test_mail_waits_while_the_server_is_down_and_goes_out_when_it_is_back(
    app: Flask, cast: Cast, clock: Clock, deliver: Deliver, server: FaultServer
) -> None:
    """REL-4: no attempt is used up, and pages are none the wiser"""
    send_to(app, closed_port())
    invite(app, cast, clock, SAM, EVE)
    for _ in range(15):
        outcome = deliver()
        assert outcome.unreachable is not None
        assert (outcome.sent, outcome.deferred, outcome.failed) == (0, 0, 0)
        clock.advance(minutes=1)
    waiting = rows(app)
    assert {mail.state for mail in waiting.values()} == {MailState.QUEUED}
    assert {mail.attempts for mail in waiting.values()} == {0}
    assert {mail.lease_owner for mail in waiting.values()} == {None}
    send_to(app, server.port)
    assert deliver().sent == 2
    assert {recipient for recipient, _ in server.accepted} == {SAM, EVE}
    assert {mail.state for mail in rows(app).values()} == {MailState.SENT}
    assert {str(m["Message-ID"]) for m in server.messages} == {
        mail.message_id for mail in waiting.values()
    }


@pytest.mark.parametrize(
    "faults",
    [
        {"banner": HANG},
        {"banner": DROP},
        {"banner": "554 5.3.2 closed for today"},
        {"banner": "421 too busy"},
        {"EHLO": "502 no", "HELO": "502 no"},
        {"EHLO": "421 too busy", "HELO": "421 too busy"},
        {"EHLO": DROP},
        {"EHLO": HANG},
    ],
    ids=str,
)
def test_a_server_that_talks_to_nobody_pauses_the_queue_and_fails_no_mail(
    app: Flask,
    cast: Cast,
    clock: Clock,
    deliver: Deliver,
    server: FaultServer,
    faults: dict[str, str],
) -> None:
    """REL-5: 5xx at EHLO is nothing that a mail could be blamed for"""
    server.faults = faults
    invite(app, cast, clock, SAM, EVE)
    begun = time.monotonic()
    outcome = deliver()
    assert time.monotonic() - begun < 5
    assert outcome.unreachable is not None
    assert {mail.state for mail in rows(app).values()} == {MailState.QUEUED}
    assert {mail.attempts for mail in rows(app).values()} == {0}
    server.faults = {}
    assert deliver().leased == 0, "the server is left alone for a while"
    clock.advance(minutes=1)
    assert deliver().sent == 2


@pytest.mark.parametrize(
    ("extensions", "faults", "words"),
    [
        (["AUTH PLAIN LOGIN"], {"AUTH": "535 5.7.8 no"}, "535 5.7.8 no"),
        (["AUTH PLAIN LOGIN"], {"AUTH": "534 5.7.9 not so"}, "534 5.7.9 not so"),
        ([], {}, "SMTP AUTH extension not supported by server."),
    ],
    ids=["wrong password", "another way of login", "no AUTH offered"],
)
def test_a_refused_login_pauses_the_queue_and_fails_no_mail(
    app: Flask, cast: Cast, clock: Clock, deliver: Deliver, server: FaultServer,
    extensions: list[str], faults: dict[str, str], words: str,
) -> None:  # fmt: skip
    """REL-5, MAIL-7: and the password stands nowhere"""
    mail = app.extensions["mail"]
    mail.username, mail.password = "b2b", "the mail server's password"
    server.extensions, server.faults = extensions, faults
    invite(app, cast, clock, SAM)
    assert deliver().unreachable == words
    assert (row(app).state, row(app).attempts) == (MailState.QUEUED, 0)
    assert server.accepted == []
    paused = pause(app)
    assert paused is not None
    assert (paused.refused, paused.reason, paused.paused_by) == (True, words, None)


@pytest.mark.parametrize("stage", ["MAIL", "RCPT"])
@pytest.mark.parametrize("grouping", [[], ["PIPELINING"]], ids=["one by one", "grouped"])
def test_a_login_asked_for_too_late_pauses_the_queue_too(
    app: Flask, cast: Cast, clock: Clock, deliver: Deliver, server: FaultServer,
    stage: str, grouping: list[str],
) -> None:  # fmt: skip
    """REL-5: 530 is about us, not about the mail; failing them all would be a disaster"""
    server.extensions, server.faults = grouping, {stage: "530 5.7.0 Authentication required"}
    invite(app, cast, clock, SAM, EVE)
    assert deliver().unreachable == "530 5.7.0 Authentication required"
    assert {mail.state for mail in rows(app).values()} == {MailState.QUEUED}
    assert {mail.attempts for mail in rows(app).values()} == {0}
    assert {mail.lease_owner for mail in rows(app).values()} == {None}


def pause(app: Flask) -> MailPause | None:
    """Everybody's."""
    with app.app_context():
        found = db.session.get(MailPause, EVERYWHERE)
        db.session.remove()
        return found


@pytest.mark.parametrize(
    ("faults", "refused"),
    [
        ({"banner": "554 5.3.2 closed for today"}, True),
        ({"banner": "421 too busy"}, False),
        ({"banner": DROP}, False),
        ({"banner": HANG}, False),
        ({"EHLO": "550 not you", "HELO": "550 not you"}, True),
        ({"EHLO": "421 too busy", "HELO": "421 too busy"}, False),
        ({"STARTTLS": "554 5.7.3 no"}, True),
        ({"STARTTLS": "454 4.7.0 not now"}, False),
        ({"STARTTLS": DROP}, False),
    ],
    ids=str,
)
def test_being_refused_is_told_apart_from_being_away(
    app: Flask, cast: Cast, clock: Clock, deliver: Deliver, server: FaultServer,
    faults: dict[str, str], refused: bool,
) -> None:  # fmt: skip
    """REL-5: only what does not pass by itself is worth a banner at once"""
    if "STARTTLS" in faults:
        app.extensions["mail"].use_tls = True
        server.extensions = ["STARTTLS"]
    server.faults = faults
    invite(app, cast, clock, SAM)
    assert deliver().unreachable is not None
    paused = pause(app)
    assert paused is not None
    assert paused.refused is refused
    assert (row(app).state, row(app).attempts) == (MailState.QUEUED, 0)


def test_the_waits_for_a_refusing_server_grow_and_success_ends_them(
    app: Flask, cast: Cast, clock: Clock, deliver: Deliver, server: FaultServer
) -> None:
    """REL-5: tried again by itself, after a growing wait"""
    server.faults = {"banner": "554 5.3.2 closed for today"}
    invite(app, cast, clock, SAM)
    waits = []
    for _ in range(9):
        assert deliver().unreachable is not None
        paused = pause(app)
        assert paused is not None
        assert paused.again_at is not None
        assert paused.paused_at == START
        waits.append((paused.again_at - clock.now) / timedelta(minutes=1))
        tried = server.connections
        clock.now = paused.again_at - timedelta(seconds=1)
        assert deliver().leased == 0
        assert server.connections == tried, "the server is left alone"
        clock.now = paused.again_at
    assert waits == [1, 1, 2, 4, 8, 16, 32, 60, 60]
    server.faults = {}
    assert deliver().sent == 1
    assert pause(app) is None


def test_one_worker_alone_tries_whether_the_server_is_back(
    app: Flask, cast: Cast, clock: Clock, deliver: Deliver, server: FaultServer
) -> None:
    """REL-4: the circuit breaker is shared"""
    server.faults = {"banner": "421 too busy"}
    invite(app, cast, clock, SAM)
    deliver()
    clock.advance(seconds=1)
    with app.app_context():
        with worker.transaction() as session:
            assert breaker.take_the_try(session, now=clock.now) is True
        with worker.transaction() as session:
            assert breaker.take_the_try(session, now=clock.now) is False
    server.faults = {}
    assert deliver().leased == 0
    clock.advance(seconds=15)
    assert deliver().sent == 1, "whoever died while trying does not hold it up for ever"


def test_mails_that_end_in_silence_one_after_the_other_open_the_breaker(
    app: Flask, cast: Cast, clock: Clock, deliver: Deliver, server: FaultServer
) -> None:
    """REL-4: a hanging server costs three time-outs, not one for each of a thousand mails"""
    server.faults = {"DATA": HANG}
    invite(app, cast, clock, *[f"guest{number}@partner.example" for number in range(10)])
    outcome = deliver()
    assert (outcome.deferred, outcome.sent, outcome.failed) == (3, 0, 0)
    assert outcome.unreachable is not None
    attempts = sorted(mail.attempts for mail in rows(app).values())
    assert attempts == [0] * 7 + [1] * 3
    server.faults = {}
    assert deliver().leased == 0
    clock.advance(minutes=2)
    assert deliver().sent == 10


def test_without_the_promised_encryption_nothing_is_sent(
    app: Flask, cast: Cast, clock: Clock, deliver: Deliver, server: FaultServer
) -> None:
    """threats.md, 2: STARTTLS is not optional once it is set"""
    app.extensions["mail"].use_tls = True
    invite(app, cast, clock, SAM)
    assert deliver().unreachable is not None
    assert row(app).state is MailState.QUEUED
    assert server.accepted == []
