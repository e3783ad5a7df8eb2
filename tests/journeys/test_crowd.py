"""A thousand guests who accept, fifty at a time, on the running program with two web workers."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import func, select

from b2b import create_app
from b2b.extensions import db
from b2b.models import AuditEvent, Identity
from bench.guests import signed_in
from bench.redeeming_crowd import at_once
from config import Config
from tests.databases import PostgresTemplate
from tests.journeys.program import Program

CROWD = 1_000


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "database", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)]
)
def test_a_thousand_guests_redeem_at_once_and_a_thousand_on_one_link(
    request: pytest.FixtureRequest, tmp_path: Path, database: str
) -> None:
    """REL-12, RED-4: no errors; on one link exactly one success. Times are the bench's matter."""
    if database == "postgres":
        template: PostgresTemplate = request.getfixturevalue("postgres_template")
        with template.fresh() as url:
            end = play(tmp_path, url)
    else:
        end = play(tmp_path, None)
    assert end.answers == ["/profile?first=1"] * CROWD
    assert end.on_one_link.count("/profile?first=1") == 1
    assert not [answer for answer in end.on_one_link if answer.startswith("5")]
    assert (end.bound, end.redeemed) == (CROWD + 1, CROWD + 1)
    assert end.faults == []


@dataclass(frozen=True)
class End:
    """What a crowd's coming comes to."""

    answers: list[str]
    """Where each guest was led after Accept; a number is a status."""
    on_one_link: list[str]
    bound: int
    redeemed: int
    """New identities, and new entries in the audit log."""
    faults: list[str]


def play(folder: Path, url: str | None) -> End:
    program = Program(
        folder,
        database_url=url,
        WEB_WORKERS=2,
        RATE_LIMITS="off",
        BUSY_TIMEOUT=60,
    )
    try:
        program.start()
        app = create_app(
            Config.from_environment({**os.environ, **program.settings, "BASE_URL": program.url})
        )
        guests = signed_in(app, CROWD, "crowd-")
        [wanted] = signed_in(app, 1, "wanted-")

        def counts() -> tuple[int, int]:
            with app.app_context():
                bound = db.session.scalar(select(func.count()).select_from(Identity)) or 0
                redeemed = db.session.scalar(
                    select(func.count())
                    .select_from(AuditEvent)
                    .where(AuditEvent.activity == "Redeem external user invite")
                )
                db.session.remove()
                db.engine.dispose()
            return bound, redeemed or 0

        bound, redeemed = counts()
        answers = at_once(program.port, guests, [])
        same = at_once(program.port, [wanted] * CROWD, [])
        now_bound, now_redeemed = counts()
        return End(answers, same, now_bound - bound, now_redeemed - redeemed, program.faults)
    finally:
        program.stop()
