"""The loop outside requests: letters, jobs and upkeep, each a leased row."""

import logging
import os
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import TypeVar

from flask import Flask
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from b2b import clock, collector, database
from b2b.extensions import db
from b2b.mail import breaker, outbox
from b2b.mail.delivery import Deliverer, Outcome
from b2b.services import (
    attempts,
    creation_requests,
    deleted_groups,
    deleted_users,
    grants,
    jobs,
    passcodes,
    sessions,
)

log = logging.getLogger(__name__)
T = TypeVar("T")

IDLE = 0.25
"""Seconds between two looks at an empty outbox."""


@contextmanager
def transaction() -> Iterator[Session]:
    """A short write transaction, committed at the end."""
    database.begin_write(db.session)
    try:
        yield db.session()
        db.session.commit()
    except BaseException:
        db.session.rollback()
        raise
    finally:
        db.session.remove()


def writing() -> AbstractContextManager[Connection]:
    """The same without a session, for prepared statements."""
    return database.writing(db.engine)


def _machine() -> str:
    """This machine as it runs now: host name and boot, so that process numbers mean something."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{socket.gethostname()[:32]}/{boot.read_text()[:8] if boot.exists() else '-'}"


def _gone(owner: str) -> bool:
    """Whether *owner* was a worker on this machine that does not live any more."""
    machine, _, rest = owner.partition(":")
    number = rest.partition(":")[0]
    if machine != _machine() or not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _purge(session: Session, now: datetime) -> None:
    sessions.purge(session, now)
    passcodes.purge(session, now)
    attempts.purge(session, now)
    grants.purge(session, now)
    creation_requests.purge(session, now)


def _purge_people(session: Session, now: datetime) -> None:
    deleted_users.purge(session, now)
    deleted_groups.purge(session, now)


UPKEEP: dict[str, tuple[timedelta, Callable[[Session, datetime], None]]] = {
    "purge": (timedelta(minutes=10), _purge),
    "purge people": (timedelta(minutes=10), _purge_people),
}
"""Jobs that come back: name → how often, and what."""


class Worker:
    """One worker process; several may run on one database."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._stop = threading.Event()
        self._owner = f"{_machine()}:{os.getpid()}:{secrets.token_hex(3)}"

    def stop(self, *_: int | FrameType | None) -> None:
        """End after the mail that is under way; its lease and the others' are released."""
        self._stop.set()

    def run(self) -> None:
        """Work until told to stop."""
        with self._app.app_context():
            deliverer = Deliverer(
                transaction,
                writing,
                owner=self._owner,
                clock=clock.now,
                stopping=self._stop.is_set,
                batch=self._app.config["DELIVERY_BATCH"],
                lasting=timedelta(seconds=self._app.config["MAIL_LEASE"]),
            )
            from b2b import inbox_webhooks  # the web's part knows this module

            inbox_webhooks.start(self._app, self._stop)
            log.info("worker started", extra={"owner": self._owner})
            self._guarded(self._plan)
            while not self._stop.is_set():
                outcome = self._guarded(lambda: self._letters(deliverer))
                self._guarded(self._one_job)
                self._stop.wait(self._after(outcome))
            deliverer.close()
            log.info("worker stopped")

    @staticmethod
    def _after(outcome: Outcome | None) -> float:
        """Seconds to wait: none with work at hand."""
        if outcome is None:
            return 1.0
        return 0.0 if outcome.leased and outcome.unreachable is None else IDLE

    def _guarded(self, what: Callable[[], T]) -> T | None:
        """Run *what*; a database that is locked or away is waited for, not died of."""
        try:
            return what()
        except DBAPIError as error:
            db.session.remove()
            if not (database.is_busy(error) or database.is_conflict(error)):
                log.exception("the worker met a database error")
            return None

    def _plan(self) -> None:
        with transaction() as session:
            taken = outbox.take_back(session, _gone, now=clock.now())
            if taken:
                log.info("took back mail of workers that are gone", extra={"count": taken})
            for kind, (every, _) in UPKEEP.items():
                jobs.recur(session, kind, every, now=clock.now())

    def _letters(self, deliverer: Deliverer) -> Outcome:
        now = clock.now()
        try:
            trying = breaker.may_try(db.session(), now=now)
            due = trying is None and bool(outbox.turns(db.session(), now=now, limit=1))
        finally:
            db.session.remove()
        if not due and not trying:
            deliverer.close()
            return Outcome()
        return deliverer.run()

    def _one_job(self) -> None:
        now = clock.now()
        try:
            due = jobs.has_due(db.session(), now=now)
        finally:
            db.session.remove()
        if not due:
            return
        with transaction() as session:
            job = jobs.lease(session, self._owner, now=now)
        if job is None:
            return
        try:
            with transaction() as session:
                UPKEEP[job.kind][1](session, now)
                jobs.done(session, job, now=now)
        except Exception as error:
            log.exception("a job failed", extra={"kind": job.kind})
            with transaction() as session:
                jobs.failed(session, job, f"{type(error).__name__}: {error}", now=clock.now())


def run(app: Flask) -> None:
    """Run one worker in this process until SIGTERM or SIGINT."""
    worker = Worker(app)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, worker.stop)
    collector.freeze()
    worker.run()
