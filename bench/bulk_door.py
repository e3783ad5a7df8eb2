"""Ten thousand addresses through the one door, against plain Core inserts of the very same rows."""

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Table, create_engine, insert, select

from b2b import create_app, database, demo, worker
from b2b.extensions import db
from b2b.models import (
    AuditEvent,
    Group,
    Invitation,
    Membership,
    OutboxMessage,
    Sponsor,
    User,
    UserToken,
)
from bench import inviting
from bench.inviting import AT_ONCE
from bench.report import Result, median
from config import Config

BAR = 5.0
COUNT = 10_000
ROUNDS = 3
_TABLES: list[Table] = [
    model.__table__  # type: ignore[misc]
    for model in (User, UserToken, Sponsor, Invitation, OutboxMessage, Membership, AuditEvent)
]
"""What an invitation writes, in an order that foreign keys bear."""


def run() -> Result:
    """Three rounds, each on fresh files; the ratio of the medians."""
    with tempfile.TemporaryDirectory() as folder:
        rounds = [_measure(Path(folder) / str(number)) for number in range(ROUNDS)]
    ours = median([found[0] for found in rounds])
    theirs = median([found[1] for found in rounds])
    return Result(
        name=f"{COUNT:,} addresses through invite_many / Core inserts of the same rows",
        value=ours / theirs,
        bar=BAR,
        detail=f"{ours:.1f} s / {theirs:.1f} s, {AT_ONCE} to a commit, one group, a message; "
        f"{COUNT / ours:.0f} invitations a second",
    )


def _measure(folder: Path) -> tuple[float, float]:
    app = create_app(
        Config.from_environment({**os.environ, "DATA_DIR": str(folder), "RATE_LIMITS": "off"})
    )
    url = app.config["DATABASE_URL"]
    database.migrate(url)
    with app.app_context():
        demo.make_if_wanted(app)
        before = {table: _keys(table) for table in _TABLES}
        db.session.remove()
        db.engine.dispose()
        path = Path(url.removeprefix("sqlite:///"))
        copy = path.with_name("copy.sqlite3")
        shutil.copy(path, copy)
        ours = _invite()
        rows = {table: _added(table, before[table]) for table in _TABLES}
        db.session.remove()
    return ours, _insert(copy, rows)


def _invite() -> float:
    with worker.transaction() as session:
        group = session.scalars(
            select(Group.id)
            .where(Group.membership_rule.is_(None), Group.on_premises_sync_enabled.is_not(True))
            .limit(1)
        ).one()
    return inviting.invite(COUNT, group_ids=[group])


def _keys(table: Table) -> set[tuple[Any, ...]]:
    return {tuple(row) for row in db.session.execute(select(*table.primary_key.columns))}


def _added(table: Table, before: set[tuple[Any, ...]]) -> Sequence[Any]:
    width = len(table.primary_key.columns)
    found = db.session.execute(select(*table.primary_key.columns, table)).all()
    return [row[width:] for row in found if tuple(row[:width]) not in before]


def _insert(copy: Path, rows: dict[Table, Sequence[Any]]) -> float:
    url = f"sqlite:///{copy}"
    engine = create_engine(url, **database.engine_options(url, 5))
    database.prepare(engine)
    commits = COUNT // AT_ONCE
    batches: list[list[tuple[Table, list[dict[str, Any]]]]] = [[] for _ in range(commits)]
    for table, found in rows.items():
        share = -(-len(found) // commits)
        names = [column.name for column in table.columns]
        for number in range(commits):
            part = found[number * share : (number + 1) * share]
            if part:
                values = [dict(zip(names, row, strict=True)) for row in part]
                batches[number].append((table, values))
    begun = time.monotonic()
    with engine.connect().execution_options(b2b_write=True) as connection:
        for batch in batches:
            for table, values in batch:
                connection.execute(insert(table), values)
            connection.commit()
    took = time.monotonic() - begun
    engine.dispose()
    return took
