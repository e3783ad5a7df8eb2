"""Real invitations, both parts rendered, sent by one worker to the bundled sink over SMTP.

Everything is durable on both sides: a mail counts when the sink has it on disk and the outbox says
so. `SCALE=full` sends 20,000.
"""

import json
import os
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from subprocess import DEVNULL, Popen

from sqlalchemy import exists, func, literal_column, select

from b2b import create_app
from b2b.extensions import db
from b2b.models import MailState, OutboxMessage
from bench import inviting
from bench.programs import ROOT, free_port, python, running
from bench.report import Result
from config import Config

BAR = 500.0
COUNTS = {"full": 20_000}
FEWER = 2_000


def run() -> Result:
    """One run from a full outbox to an empty one."""
    count = COUNTS.get(os.environ.get("SCALE", ""), FEWER)
    with tempfile.TemporaryDirectory() as folder:
        return _measure(Path(folder), count)


def _measure(folder: Path, count: int) -> Result:
    web, smtp = free_port(), free_port()
    settings = {
        "DATA_DIR": str(folder / "ours"),
        "PORT": str(web),
        "SMTP_PORT": str(smtp),
        "RATE_LIMITS": "off",
        "LOG_LEVEL": "WARNING",
    }
    flask = python("-m", "flask", "--app", "app")
    with running([*flask, "up"], web, **settings):
        pass  # the very first start makes the demo
    app = create_app(Config.from_environment({**os.environ, **settings}))
    with app.app_context():
        before = _states().get(MailState.SENT, 0)
        inviting.invite(count)
        count = _states()[MailState.QUEUED]  # the demo may have left one of its own
        with _part([*flask, "sink"], settings), running([*flask, "web"], web, **settings):
            already = _caught(web)
            begun = time.monotonic()
            with _part([*flask, "worker"], settings):
                while _is_waiting() and time.monotonic() - begun < max(60, count / 20):
                    time.sleep(0.2)
                took = time.monotonic() - begun
            left = _states().get(MailState.QUEUED, 0)
            caught = _caught(web) - already
            sent = _states().get(MailState.SENT, 0) - before
    whole = left == 0 and caught == sent == count
    rate = count / took
    return Result(
        name="invitations delivered a second, one worker",
        value=rate if whole else 0.0,
        bar=BAR,
        detail=f"{count:,} mails in {took:.1f} s from the worker's start on; outbox: {left:,} left,"
        f" {sent:,} sent; sink: {caught:,} caught",
        at_least=True,
    )


def _states() -> dict[MailState, int]:
    try:
        found = db.session.execute(
            select(OutboxMessage.state, func.count().label("count")).group_by(OutboxMessage.state)
        ).all()
        return {row.state: row.count for row in found}
    finally:
        db.session.remove()


def _is_waiting() -> bool:
    """Asked often, so it must not cost what it measures: one look at the outbox's own index."""
    try:
        return bool(
            db.session.scalar(
                select(exists().where(OutboxMessage.state == literal_column("'queued'")))
            )
        )
    finally:
        db.session.remove()


def _caught(web: int) -> int:
    address = f"http://localhost:{web}/mail/api/v1/messages?limit=1"
    with closing(urllib.request.urlopen(address, timeout=10)) as answer:
        return int(json.load(answer)["total"])


@contextmanager
def _part(command: list[str], settings: dict[str, str]) -> Iterator[None]:
    """A part without a page to ask whether it is there."""
    process = Popen(
        command, cwd=ROOT, env={**os.environ, **settings}, stdout=DEVNULL, stderr=DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(40)
