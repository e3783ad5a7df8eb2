"""What the mail server says to a mail, and what becomes of it: nothing lost, nothing twice."""

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask

from b2b.models import MailState
from tests.cast import Cast
from tests.conftest import START, Clock
from tests.mail.conftest import Deliver
from tests.mail.fault_server import DROP, HANG, FaultServer
from tests.mail.outgoing import SAM, invite, one_by_one_and_grouped, row, rows


@pytest.fixture
def settings(settings: dict[str, Any]) -> dict[str, Any]:
    return settings | {"MAIL_CONNECT_TIMEOUT": 0.3, "MAIL_COMMAND_TIMEOUT": 0.3}


@one_by_one_and_grouped
@pytest.mark.parametrize("reply", ["550 5.1.1 No", "552 5.3.4 too big", "554 5.7.1 no"])
@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "."])
def test_a_5xx_fails_the_mail_at_once_in_the_servers_words(
    app: Flask, cast: Cast, clock: Clock, deliver: Deliver, server: FaultServer,
    stage: str, reply: str, grouping: list[str],
) -> None:  # fmt: skip
    """REL-5: told at once and not retried"""
    server.extensions, server.faults = grouping, {stage: reply}
    invite(app, cast, clock, SAM)
    outcome = deliver()
    assert (outcome.sent, outcome.failed, outcome.deferred) == (0, 1, 0)
    assert (row(app).state, row(app).last_error) == (MailState.FAILED, reply)
    assert row(app).settled_at == START
    server.faults = {}
    clock.advance(days=1)
    assert deliver().leased == 0
    assert server.accepted == []


@one_by_one_and_grouped
@pytest.mark.parametrize(
    "reply", ["421 4.3.2 going down", "450 4.2.1 later", "451 4.3.0 later", "452 full", DROP, HANG]
)
@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "."])
def test_a_4xx_a_silence_or_a_hang_up_delays_the_mail_for_about_a_minute(
    app: Flask, cast: Cast, clock: Clock, deliver: Deliver, server: FaultServer,
    stage: str, reply: str, grouping: list[str],
) -> None:  # fmt: skip
    """REL-4"""
    server.extensions, server.faults = grouping, {stage: reply}
    invite(app, cast, clock, SAM)
    outcome = deliver()
    assert (outcome.sent, outcome.failed, outcome.deferred) == (0, 0, 1)
    waiting = row(app)
    assert (waiting.state, waiting.attempts) == (MailState.QUEUED, 1)
    assert waiting.last_error
    if reply not in (DROP, HANG):
        assert waiting.last_error == reply
    assert timedelta(seconds=54) <= waiting.due_at - START <= timedelta(seconds=66)
    server.faults = {}
    taken = len(server.accepted)
    assert deliver().leased == 0, "not before its time"
    clock.advance(seconds=67)
    assert deliver().sent == 1
    assert len(server.accepted) == taken + 1


def test_a_hang_up_between_final_dot_and_reply_sends_a_twin_with_the_same_message_id(
    app: Flask, cast: Cast, clock: Clock, deliver: Deliver, server: FaultServer
) -> None:
    """REL-2: at least once, and the receiver can tell"""
    server.faults = {".": DROP}
    invite(app, cast, clock, SAM)
    assert deliver().deferred == 1
    server.faults = {}
    clock.advance(seconds=67)
    assert deliver().sent == 1
    first, second = server.messages
    assert first["Message-ID"] == second["Message-ID"] == row(app).message_id
    assert first["X-Invitation-Id"] == second["X-Invitation-Id"]


@pytest.mark.parametrize("reply", [DROP, HANG, "421 bye", "452 what?", "554 no"])
def test_a_hang_up_at_quit_sends_nothing_twice(
    app: Flask, cast: Cast, clock: Clock, deliver: Deliver, server: FaultServer, reply: str
) -> None:
    """REL-2, threats.md, 2: marked as sent before QUIT"""
    server.faults = {"QUIT": reply}
    invite(app, cast, clock, SAM)
    assert deliver().sent == 1
    assert row(app).state is MailState.SENT
    clock.advance(days=1)
    assert deliver().leased == 0
    assert len(server.accepted) == 1


@one_by_one_and_grouped
def test_one_refused_recipient_does_not_hold_up_the_others(
    app: Flask, cast: Cast, clock: Clock, deliver: Deliver, server: FaultServer,
    grouping: list[str],
) -> None:  # fmt: skip
    """REL-5, REL-6"""
    server.extensions = grouping
    others = [f"guest{number}@partner.example" for number in range(5)]
    server.faults = {
        "RCPT " + SAM: "550 5.1.1 No such mailbox here",
        "RCPT " + others[2]: "421 going down",
        "RCPT " + others[3]: "450 later",
    }
    invite(app, cast, clock, others[0], SAM, *others[1:])
    outcome = deliver()
    assert (outcome.sent, outcome.failed, outcome.deferred) == (3, 1, 2)
    states = {recipient: mail.state for recipient, mail in rows(app).items()}
    assert states[SAM] is MailState.FAILED
    assert states[others[2]] is states[others[3]] is MailState.QUEUED
    assert [recipient for recipient, _ in server.accepted] == [others[0], others[1], others[4]]


def test_what_the_server_says_is_kept_printable_and_short(
    app: Flask, cast: Cast, clock: Clock, deliver: Deliver, server: FaultServer
) -> None:
    """LOG-1, ADM-1"""
    server.faults = {"RCPT": "550 \x1b[31m<script>\t" + "x" * 600}
    invite(app, cast, clock, SAM)
    deliver()
    said = row(app).last_error or ""
    assert said.startswith("550  [31m<script> xxx")
    assert said.isprintable()
    assert len(said) <= 512


# Waiting and giving up ---------------------------------------------------------------------------


def test_waits_double_up_to_an_hour_and_end_after_three_days(
    app: Flask, cast: Cast, clock: Clock, deliver: Deliver, server: FaultServer
) -> None:
    """REL-4: 1, 2, 4 … 60 minutes with jitter, up to 72 hours, then failed"""
    server.faults = {"RCPT": "450 4.2.1 later"}
    invite(app, cast, clock, SAM)
    waits = []
    while row(app).state is MailState.QUEUED:
        assert deliver().leased == 1
        waits.append((row(app).due_at - clock.now) / timedelta(minutes=1))
        clock.now = max(row(app).due_at, clock.now)
    for wait, planned in zip(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60], strict=False):
        assert planned * 0.9 <= wait <= planned * 1.1
    assert row(app).state is MailState.FAILED
    assert row(app).last_error == "450 4.2.1 later"
    assert timedelta(hours=72) <= clock.now - START <= timedelta(hours=73, minutes=10)
