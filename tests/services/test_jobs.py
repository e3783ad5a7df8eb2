"""Jobs: leased rows that never run twice at once and come back after a failure."""

from datetime import timedelta

from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from b2b import worker
from b2b.extensions import db
from b2b.models import Attempts, Job, JobState, Passcode
from b2b.models import Session as SessionRow
from b2b.services import jobs, sessions
from tests import factories
from tests.cast import Cast
from tests.conftest import START, Clock
from tests.crowd import at_once


def test_a_job_is_leased_once_and_done(session: Session, cast: Cast, clock: Clock) -> None:
    job_id = jobs.add(session, "import", {"file": 1}, now=clock.now, tenant_id=cast.woodgrove)
    assert jobs.has_due(session, now=clock.now)
    leased = jobs.lease(session, "a", now=clock.now)
    assert leased is not None
    assert (leased.id, leased.kind, leased.payload) == (job_id, "import", {"file": 1})
    assert (leased.tenant_id, leased.attempts) == (cast.woodgrove, 1)
    assert jobs.lease(session, "b", now=clock.now) is None
    assert not jobs.has_due(session, now=clock.now)
    assert jobs.done(session, leased, now=clock.now) is True
    assert session.get_one(Job, job_id).state is JobState.DONE
    assert jobs.lease(session, "b", now=clock.advance(days=1)) is None


def test_a_job_of_a_dead_worker_is_taken_over_and_the_dead_one_settles_nothing(
    session: Session, clock: Clock
) -> None:
    """REL-3"""
    jobs.add(session, "import", {}, now=clock.now)
    dead = jobs.lease(session, "dead", now=clock.now)
    assert dead is not None
    assert jobs.lease(session, "next", now=START + timedelta(minutes=4, seconds=59)) is None
    taken = jobs.lease(session, "next", now=START + timedelta(minutes=5))
    assert taken is not None
    assert (taken.attempts, taken.fence) == (2, dead.fence + 1)
    assert jobs.done(session, dead, now=clock.now) is False
    assert jobs.failed(session, dead, "no", now=clock.now) is False
    assert jobs.done(session, taken, now=clock.now) is True


def test_a_failed_job_waits_ever_longer_up_to_an_hour(session: Session, clock: Clock) -> None:
    job_id = jobs.add(session, "import", {}, now=clock.now)
    planned = [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]
    for seconds in planned:
        leased = jobs.lease(session, "a", now=clock.now)
        assert leased is not None
        assert jobs.failed(session, leased, "x" * 1000, now=clock.now) is True
        session.expire_all()
        job = session.get_one(Job, job_id)
        wait = (job.due_at - clock.now).total_seconds()
        assert seconds * 0.9 <= wait <= seconds * 1.1
        assert job.last_error == "x" * 512
        clock.now = job.due_at


def test_a_recurring_job_is_planned_once_and_comes_back(app: Flask, clock: Clock) -> None:
    """Several workers start at once."""
    _, faults = at_once(
        app, 6, lambda session, _: jobs.recur(
            session, "purge", timedelta(minutes=10), now=clock.now
        ),
    )  # fmt: skip
    assert faults == []
    with app.app_context(), worker.transaction() as session:
        assert session.execute(select(func.count()).select_from(Job)).scalar_one() == 1
        for _ in range(3):
            leased = jobs.lease(session, "a", now=clock.now)
            assert leased is not None
            assert leased.attempts == 1
            assert jobs.done(session, leased, now=clock.now) is True
            assert jobs.lease(session, "a", now=clock.advance(minutes=9)) is None
            clock.advance(minutes=1)


def test_workers_at_once_take_different_jobs(app: Flask, clock: Clock) -> None:
    with app.app_context(), worker.transaction() as session:
        for number in range(6):
            jobs.add(session, "import", {"number": number}, now=clock.now)
    done, faults = at_once(app, 8, lambda session, n: jobs.lease(session, f"w{n}", now=clock.now))
    assert faults == []
    taken = [leased.id for leased in done if leased is not None]
    assert len(taken) == len(set(taken)) == 6


def test_upkeep_takes_away_what_is_over(app: Flask, cast: Cast, clock: Clock) -> None:
    with app.app_context(), worker.transaction() as session:
        sessions.start(session, factories.by_code("sam@gmail.com"), now=clock.now)
        session.add(
            Attempts(key="k", count=1, level=0, since=START, expires_at=START + timedelta(days=1))
        )
        session.add(
            Passcode(
                browser_hash=b"b" * 32, address_key="a@b.example", purpose="sign_in",
                nonce=b"n" * 16, key_id="k", tries_left=5, created_at=START,
                expires_at=START + timedelta(minutes=30),
            )
        )  # fmt: skip
    clock.advance(days=2)
    running = worker.Worker(app)
    with app.app_context():
        running._plan()
        running._one_job()
        running._one_job()
        for table in (SessionRow, Attempts, Passcode):
            left = db.session.execute(select(func.count()).select_from(table)).scalar_one()
            assert left == 0, table
        found = {job.kind: job for job in db.session.execute(select(Job)).scalars()}
        assert set(found) == {"purge", "purge people"}
        job = found["purge"]
        assert (job.state, job.last_error) == (JobState.WAITING, None)
        assert job.due_at == clock.now + timedelta(minutes=10)
        db.session.remove()


def test_a_job_that_nobody_knows_fails_and_the_worker_goes_on(app: Flask, clock: Clock) -> None:
    """REL-6"""
    with app.app_context():
        with worker.transaction() as session:
            job_id = jobs.add(session, "nobody knows", {}, now=clock.now)
        worker.Worker(app)._one_job()
        job = db.session.get_one(Job, job_id)
        assert job.state is JobState.WAITING
        assert job.last_error == "KeyError: 'nobody knows'"
        assert job.due_at > clock.now
        db.session.remove()
