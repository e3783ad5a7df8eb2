"""Counting tries: exact, in the database, each block twice as long as the one before."""

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from b2b.extensions import db
from b2b.models import Attempts
from b2b.services import attempts
from tests.conftest import START, Clock
from tests.crowd import at_once

MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def _default_limits(app: Flask) -> None:
    attempts.configure(1.0)


def test_as_many_tries_as_the_limit_and_then_a_block(session: Session, clock: Clock) -> None:
    """SIGN-1: the eleventh is blocked"""
    told = [attempts.take(session, "k", limit=10, window=MINUTE, now=clock.now) for _ in range(11)]
    assert told[:10] == [None] * 10
    assert told[10] == START + MINUTE
    assert attempts.take(session, "k", limit=10, window=MINUTE, now=clock.now) == START + MINUTE
    assert attempts.take(session, "other", limit=10, window=MINUTE, now=clock.now) is None


def test_tries_are_forgotten_after_the_window(session: Session, clock: Clock) -> None:
    for _ in range(3):
        for _ in range(10):
            assert attempts.take(session, "k", limit=10, window=MINUTE, now=clock.now) is None
        clock.advance(minutes=1)


def test_each_block_lasts_twice_as_long_up_to_an_hour(session: Session, clock: Clock) -> None:
    waits = []
    for _ in range(8):
        blocked = None
        while blocked is None:
            blocked = attempts.take(session, "k", limit=2, window=MINUTE, now=clock.now)
        waits.append((blocked - clock.now).total_seconds() / 60)
        just_before = blocked - timedelta(seconds=1)
        assert attempts.take(session, "k", limit=2, window=MINUTE, now=just_before) == blocked
        clock.now = blocked
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_the_right_secret_starts_over(session: Session, clock: Clock) -> None:
    for _ in range(11):
        attempts.take(session, "k", limit=10, window=MINUTE, now=clock.now)
    attempts.forget(session, "k")
    session.flush()
    session.expire_all()
    assert attempts.take(session, "k", limit=10, window=MINUTE, now=clock.now) is None


@pytest.mark.parametrize(("factor", "allowed"), [(2.5, 25), (0.5, 5), (0.01, 1)])
def test_the_limit_follows_its_setting(
    session: Session, clock: Clock, factor: float, allowed: int
) -> None:
    """decisions.md, rate limits"""
    attempts.configure(factor)
    told = [
        attempts.take(session, "k", limit=10, window=MINUTE, now=clock.now)
        for _ in range(allowed + 1)
    ]
    assert [blocked is None for blocked in told] == [True] * allowed + [False]


def test_switched_off_nothing_is_counted(session: Session, clock: Clock) -> None:
    attempts.configure(None)
    told = [attempts.take(session, "k", limit=1, window=MINUTE, now=clock.now) for _ in range(50)]
    assert told == [None] * 50
    assert session.execute(select(func.count()).select_from(Attempts)).scalar_one() == 0


def test_tries_at_once_are_counted_exactly(app: Flask, clock: Clock) -> None:
    """SIGN-1, decisions.md, rate limits: exact, in the database; also the very first ones"""
    done, faults = at_once(
        app, 12, lambda session, _: attempts.take(
            session, "k", limit=10, window=MINUTE, now=clock.now
        ),
    )  # fmt: skip
    assert faults == []
    assert [blocked is None for blocked in done].count(True) == 10
    with app.app_context():
        assert db.session.get_one(Attempts, "k").count == 11
        db.session.remove()


def test_counters_survive_for_a_day_and_no_longer(session: Session, clock: Clock) -> None:
    attempts.take(session, "k", limit=10, window=MINUTE, now=clock.now)
    session.flush()
    attempts.purge(session, START + timedelta(hours=23))
    assert session.scalars(select(Attempts.key)).all() == ["k"]
    attempts.purge(session, START + timedelta(hours=24))
    assert session.scalars(select(Attempts.key)).all() == []
