"""Migrations: up, down and up again on both databases, and no drift from the models."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from sqlalchemy import Engine, MetaData, Table, create_engine, insert, inspect, select, text
from sqlalchemy.orm import Session
from sqlalchemy.schema import CreateIndex

from b2b import database
from b2b.errors import StartRefused
from b2b.extensions import db
from b2b.models import Base, Invitation, Sponsor
from tests.cast import Cast
from tests.conftest import Clock
from tests.pages import Browser

# SQLite's reflection passes over them; a test below compares them as the database tells them.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index"),
    pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based"),
]


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    made = create_engine(database_url)
    database.prepare(made)
    yield made
    made.dispose()


def shape(engine: Engine) -> dict[str, object]:
    """Tables with their columns and indexes, as the database itself tells them."""
    looked = inspect(engine)
    found: dict[str, object] = {}
    for table in sorted(looked.get_table_names()):
        if table == "alembic_version":
            continue
        found[table] = (
            [(c["name"], str(c["type"]), c["nullable"]) for c in looked.get_columns(table)],
            sorted((str(i["name"]), str(i["column_names"]), bool(i["unique"]))
                   for i in looked.get_indexes(table)),
            looked.get_pk_constraint(table)["constrained_columns"],
        )  # fmt: skip
    return found


def test_the_newest_schema_is_that_of_the_models(engine: Engine) -> None:
    """house-style.md, Migrations: no drift"""
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, Base.metadata)
    assert differences == []
    assert len(shape(engine)) == len(Base.metadata.tables)


def test_indexes_on_expressions_are_those_of_the_models(engine: Engine) -> None:
    """On SQLite no comparison of schemas sees them."""
    made = {
        str(index.name): str(CreateIndex(index).compile(dialect=engine.dialect))
        for table in ("users", "identities")
        for index in Base.metadata.tables[table].indexes
        if str(index.name).startswith(f"ix_{table}_by_")
    }
    assert {"ix_users_by_mail_domain", "ix_identities_by_label"} <= made.keys()
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            found = connection.execute(
                text(
                    "SELECT name, sql FROM sqlite_master"
                    " WHERE name LIKE 'ix_users_by_%' OR name LIKE 'ix_identities_by_%'"
                )
            )
            assert {row.name: " ".join(row.sql.split()) for row in found} == made
        else:
            found = connection.execute(
                text(
                    "SELECT indexname FROM pg_indexes WHERE indexname LIKE 'ix_users_by_%'"
                    " OR indexname LIKE 'ix_identities_by_%'"
                )
            )
            assert {row.indexname for row in found} == made.keys()


def test_up_down_and_up_again_end_where_they_began(engine: Engine, database_url: str) -> None:
    """REL-14"""
    config = database.alembic_config(database_url)
    newest = shape(engine)
    command.downgrade(config, "base")
    assert shape(engine) == {}
    command.upgrade(config, "head")
    assert shape(engine) == newest
    database.require_current(database_url)


def test_there_is_one_newest_migration_and_each_says_how_to_go_back() -> None:
    script = ScriptDirectory.from_config(database.alembic_config("sqlite://"))
    assert len(script.get_heads()) == 1
    for revision in script.walk_revisions():
        source = Path(revision.path).read_text()
        assert "def downgrade" in source
        assert "drop_" in source.partition("def downgrade")[2], revision.revision


def test_a_database_of_a_newer_program_is_left_alone(engine: Engine, database_url: str) -> None:
    """REL-14: refuse to start on a newer schema"""
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'from the future'"))
    for start in (database.migrate, database.require_current):
        with pytest.raises(StartRefused, match="made by a newer version of this program"):
            start(database_url)
    with engine.connect() as connection:
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    assert found == "from the future"


def test_an_empty_database_is_told_to_be_migrated_first(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'empty.sqlite3'}"
    with pytest.raises(StartRefused, match="run  flask --app app migrate  first"):
        database.require_current(url)
    database.migrate(url)
    database.require_current(url)
    database.migrate(url)


def test_several_processes_that_migrate_at_once_leave_one_schema(tmp_path: Path) -> None:
    """REL-14: one migrator at a time; the others wait and find it done"""
    url = f"sqlite:///{tmp_path / 'fresh.sqlite3'}"
    program = (
        "import sys; from b2b import database; sys.stdin.readline(); database.migrate(sys.argv[1])"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, url],
            stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for _ in range(4)
    ]  # fmt: skip
    for process in started:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    said = [process.communicate(timeout=60)[1] for process in started]
    assert [process.returncode for process in started] == [0] * 4, said
    database.require_current(url)


RELEASED = [
    revision.revision
    for revision in ScriptDirectory.from_config(
        database.alembic_config("sqlite://")
    ).walk_revisions()
]


@pytest.mark.parametrize("revision", RELEASED[1:])
def test_data_of_every_released_schema_comes_over(
    app: Flask, cast: Cast, clock: Clock, john: Browser, otto: Browser, engine: Engine,
    database_url: str, revision: str,
) -> None:  # fmt: skip
    """REL-14: seeded, taken back to an older schema, brought to the newest: what that schema held
    is what it was, and people go on working
    """
    for address in ("gsamoogle@gmail.com", "eve@partner.example"):
        john.get("/admin/users/invite").submit(
            "/invite", addresses=address, message="Hello", applications=[str(cast.projects)]
        )
    with app.app_context():
        db.engine.dispose()
    config = database.alembic_config(database_url)
    words = _values(engine, Base.metadata)["user_tokens"]
    command.downgrade(config, revision)
    old = MetaData()
    old.reflect(engine)
    before = _values(engine, old)
    assert sum(map(len, before.values())) > 60
    command.upgrade(config, "head")
    after = _values(engine, old)
    kept = {name: sorted(map(repr, rows)) for name, rows in after.items()}
    del before["user_tokens"]  # written anew: they are made of what stands elsewhere
    assert [row[:3] for row in sorted(after["user_tokens"])] == [row[:3] for row in sorted(words)]
    del kept["user_tokens"]
    assert kept == {name: sorted(map(repr, rows)) for name, rows in before.items()}
    database.require_current(database_url)
    again = Browser(app).sign_in("john.doe@woodgrove.example", cast.password)
    listed = again.get("/admin/users")
    assert "gsamoogle@gmail.com" in listed.text
    assert "Otto Brandt" in listed.text
    assert "eve@partner.example" in again.get("/admin/invitations").text
    sent = again.get("/admin/users/invite").submit("/invite", addresses="new@partner.example")
    assert "Invited new@partner.example." in sent.text


def _values(engine: Engine, schema: MetaData) -> dict[str, list[Any]]:
    """All rows in the columns that *schema* has, with the models' types where they have any."""
    found: dict[str, list[Any]] = {}
    with engine.connect() as connection:
        for table in schema.tables.values():
            if table.name == "alembic_version" or table.name not in Base.metadata.tables:
                continue
            columns = [
                column
                for column in Base.metadata.tables[table.name].columns
                if column.name in table.columns
            ]
            found[table.name] = [tuple(row) for row in connection.execute(select(*columns))]
    return found


STATES = {
    # local part: times of the old row, and the standing that they come to
    "pending": ({}, "open"),
    "opened": ({"opened_at": 1, "signed_in_at": 2}, "open"),
    "accepted": ({"opened_at": 1, "signed_in_at": 2, "accepted_at": 3}, "accepted"),
    "declined": ({"declined_at": 1}, "declined"),
    "cancelled": ({"cancelled_at": 1}, "cancelled"),
    "declined-then-cancelled": ({"declined_at": 1, "cancelled_at": 2}, "cancelled"),
    "declined-then-accepted": ({"declined_at": 1, "accepted_at": 2}, "accepted"),
}


def test_invitations_of_the_first_schema_come_over_with_what_the_new_one_needs(
    engine: Engine, database_url: str
) -> None:
    """REL-14: standing, domain, the instant they count from, and sponsors follow from old rows"""
    config = database.alembic_config(database_url)
    command.downgrade(config, "20261121_directory")
    at = datetime(2026, 11, 1, 9, 30, 15, 123456, tzinfo=UTC)
    tenant_id, inviter_id = uuid4(), uuid4()
    known = {
        name: Table(name, MetaData(), autoload_with=engine)
        for name in ("tenants", "users", "invitations")
    }
    for table in known.values():
        for column in table.columns:
            model_column = Base.metadata.tables[table.name].columns.get(column.name)
            if model_column is not None:
                column.type = model_column.type
    with engine.begin() as connection:
        connection.execute(insert(known["tenants"]), {
            "id": tenant_id, "kind": "organisation", "display_name": "WoodGrove",
            "initial_domain": "w.example", "primary_domain": "w.example", "branding": {},
            "created_at": at,
        })  # fmt: skip
        for number, (local, (times, _)) in enumerate(STATES.items()):
            user_id, address = uuid4(), f"{local}@Mixed.{number}.Example"
            connection.execute(insert(known["users"]), {
                "tenant_id": tenant_id, "id": user_id, "facet": 0, "user_principal_name": address,
                "upn_key": address, "display_name": local, "name_key": local, "other_mails": [],
                "user_type": "Guest", "source": "Invited user", "account_enabled": True,
                "created_at": at,
            })  # fmt: skip
            connection.execute(insert(known["invitations"]), {
                "tenant_id": tenant_id, "id": uuid4(), "user_id": user_id,
                "invited_address": address, "redirect_url": "https://w.example/",
                "send_message": True, "inviter_id": None if local == "pending" else inviter_id,
                "inviter_name": "John Doe", "version": 2, "ticket_hash": b"x" * 32,
                "key_id": "k", "created_at": at, "sent_at": at + timedelta(days=number),
                **{name: at + timedelta(days=day) for name, day in times.items()},
            })  # fmt: skip
    command.upgrade(config, "head")
    with Session(engine) as session:
        found = {one.invited_address.partition("@")[0]: one for one in session.query(Invitation)}
        sponsors = session.query(Sponsor).all()
    assert {local: str(one.standing) for local, one in found.items()} == {
        local: standing for local, (_, standing) in STATES.items()
    }
    for number, local in enumerate(STATES):
        assert found[local].domain == f"mixed.{number}.example"
        assert found[local].sent_at == at + timedelta(days=number)
        assert found[local].valid_from == found[local].sent_at
        assert (found[local].cc_address, found[local].cc_name) == (None, None)
    assert {one.user_id: (one.sponsor_id, str(one.sponsor_type)) for one in sponsors} == {
        one.user_id: (inviter_id, "User") for local, one in found.items() if local != "pending"
    }
    database.require_current(database_url)


def test_an_address_that_leads_nowhere_is_one_sentence(tmp_path: Path) -> None:
    for url in (
        f"sqlite:///{tmp_path / 'no such folder' / 'x.sqlite3'}",
        "postgresql+psycopg://nobody@127.0.0.1:1/nothing",
    ):
        for start in (database.migrate, database.require_current):
            with pytest.raises(StartRefused, match=r"The database cannot be opened") as refused:
                start(url)
            assert "\n" not in str(refused.value)


def test_what_is_no_database_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are no tables" * 1000)
    kept = shutil.copy(path, tmp_path / "copy")
    with pytest.raises(StartRefused, match="The database cannot be opened"):
        database.migrate(f"sqlite:///{path}")
    assert path.read_bytes() == Path(kept).read_bytes()
