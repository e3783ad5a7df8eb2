"""The schema's history: up, down and up again on both databases, and no drift from the models."""

from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text

from b2b import database
from b2b.errors import StartRefused
from b2b.models import Base


def tables(url: str) -> set[str]:
    engine = create_engine(url)
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


def test_migrations_run_down_and_up_again(database_url: str) -> None:
    """REL-14."""
    before = tables(database_url)
    assert {"tenants", "users", "invitations", "outbox", "audit_events"} <= before
    command.downgrade(database.alembic_config(database_url), "base")
    assert tables(database_url) <= {"alembic_version"}
    database.migrate(database_url)
    assert tables(database_url) == before


def test_a_migrated_database_is_what_the_models_say(database_url: str) -> None:
    engine = create_engine(database_url)
    try:
        with engine.connect() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            assert compare_metadata(context, Base.metadata) == []
    finally:
        engine.dispose()


def test_migrating_twice_changes_nothing(database_url: str) -> None:
    before = tables(database_url)
    database.migrate(database_url)
    database.require_current(database_url)
    assert tables(database_url) == before


def test_a_database_of_a_newer_program_is_refused_in_one_sentence(database_url: str) -> None:
    """REL-14: refuse to start on a newer schema."""
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '20991231_future'"))
    engine.dispose()
    with pytest.raises(StartRefused, match="newer version"):
        database.migrate(database_url)
    with pytest.raises(StartRefused, match="newer version"):
        database.require_current(database_url)


def test_an_empty_database_is_not_served(tmp_path: Path) -> None:
    with pytest.raises(StartRefused, match="migrate"):
        database.require_current(f"sqlite:///{tmp_path / 'empty.sqlite3'}")


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    """DB-2."""
    path = tmp_path / "directory.sqlite3"
    database.migrate(f"sqlite:///{path}")
    assert path.stat().st_mode & 0o777 == 0o600
