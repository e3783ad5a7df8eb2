"""The outbox without SMTP: what people are told about a row, who is next, and who waits."""

from datetime import datetime, timedelta

import pytest

from b2b.mail import outbox
from b2b.mail.outbox import DeliveryState, Step
from b2b.models import MailState
from tests.conftest import START

LATER = START + timedelta(minutes=4)
BEFORE = START - timedelta(minutes=4)
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
