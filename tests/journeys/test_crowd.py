"""A thousand guests who accept, fifty at a time, on the running program with two web workers."""

import os
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
            play(tmp_path, url)
    else:
        play(tmp_path, None)


def play(folder: Path, url: str | None) -> None:
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
        assert answers == ["/profile?first=1"] * CROWD
        same = at_once(program.port, [wanted] * CROWD, [])
        assert same.count("/profile?first=1") == 1
        assert not [answer for answer in same if answer.startswith("5")], set(same)
        assert counts() == (bound + CROWD + 1, redeemed + CROWD + 1)
        assert program.faults == []
    finally:
        program.stop()
