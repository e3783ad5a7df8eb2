"""Backup and restore: whole or not at all, from either database into either, while others write."""

import dataclasses
import itertools
import json
import socket
import stat
import threading
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from alembic import command
from click.testing import Result
from flask import Flask
from sqlalchemy import MetaData, create_engine, func, select, text

from b2b import backup, create_app, database, operations, worker
from b2b.extensions import db
from b2b.models import (
    AuditEvent,
    AuthorizationCode,
    Base,
    DeviceCode,
    Invitation,
    Job,
    OutboxMessage,
    RefreshToken,
    SetupLink,
    SignInGrant,
    Tenant,
    User,
    UserToken,
)
from b2b.services import invitation_quotas, jobs, signing_keys
from b2b.sink import tables as mail_tables
from b2b.sink.store import Arrival, Store
from config import Config
from tests import factories
from tests.cast import Cast, make_cast
from tests.conftest import Clock, Mailroom
from tests.databases import contents, full_disk, reading
from tests.factories import SAM
from tests.letters import link_in
from tests.pages import Browser

POSTGRES = (pytest.mark.long, pytest.mark.postgres)
LASTING = {"attempts", "application_credentials"}
"""Tables whose rows expire and are nevertheless kept by a restore."""
NewDatabase = Callable[[], str]


def run(app: Flask, *words: str) -> Result:
    """One command, as an operator gives it."""
    with app.app_context():
        try:
            return app.test_cli_runner().invoke(args=list(words))
        finally:
            db.session.remove()


def done(app: Flask, *words: str) -> Result:
    """As `run`, and it must come to a good end."""
    result = run(app, *words)
    assert result.exit_code == 0, result.output
    return result


def refusal(app: Flask, *words: str) -> str:
    """The one sentence with which a command refuses."""
    result = run(app, *words)
    assert result.exit_code == 1, result.output
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr.removeprefix("b2b: ").strip()


@pytest.fixture(
    params=["sqlite", pytest.param("postgres", marks=POSTGRES)],
)
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NewDatabase]:
    """Makes databases to restore into: a file that is not there yet, or a server's empty one."""
    opened: list[AbstractContextManager[str]] = []
    numbers = itertools.count()

    def make() -> str:
        if request.param == "sqlite":
            return f"sqlite:///{tmp_path / f'elsewhere-{next(numbers)}' / 'directory.sqlite3'}"
        opened.append(request.getfixturevalue("postgres_template").fresh())
        return opened[-1].__enter__()

    yield make
    for one in opened:
        one.__exit__(None, None, None)


@dataclass
class Elsewhere:
    """Another installation, on a machine of its own."""

    app: Flask
    folder: Path
    apps: list[Flask]
    """Every process of it."""

    @property
    def url(self) -> str:
        return str(self.app.config["DATABASE_URL"])


@pytest.fixture
def elsewhere(tmp_path: Path, new_database: NewDatabase) -> Iterator[Callable[..., Elsewhere]]:
    made: list[Elsewhere] = []

    def make(**settings: Any) -> Elsewhere:
        folder = tmp_path / f"other-{len(made)}"
        app = create_app(
            Config(
                DATA_DIR=folder, DATABASE_URL=new_database(), PASSWORD_HASHING="weak",
                TESTING=True, PORT=5999, **settings,
            )
        )  # fmt: skip
        made.append(Elsewhere(app, folder, [app]))
        return made[-1]

    yield make
    for one in made:
        for app in one.apps:
            with app.app_context():
                db.session.remove()
                db.engine.dispose()


@pytest.fixture
def mail_url(app: Flask, tmp_path: Path) -> str:
    """The sink's store as the commands find it, which is the mail room's."""
    app.config["MAIL_STORE_URL"] = f"sqlite:///{tmp_path / 'mail.sqlite3'}"
    return str(app.config["MAIL_STORE_URL"])


@pytest.fixture
def busy(app: Flask, cast: Cast, clock: Clock, mail_url: str, mailroom: Mailroom) -> Browser:
    """WoodGrove at work: John signed in, one guest mailed, one waiting, a code, tokens' keys."""
    john = Browser(app).sign_in("john.doe@woodgrove.example", cast.password)
    john.get("/admin/users/invite").submit("/invite", addresses=SAM, message="Grüße, 안녕 🌿")
    mailroom.deliver()
    john.get("/admin/users/invite").submit("/invite", addresses="waits@partner.example")
    Browser(app).get(link_in(mailroom.sources(SAM)[0])).submit("/redeem/start")
    with app.app_context(), worker.transaction() as session:
        signing_keys.ensure(session, now=clock.now)
        jobs.add(session, "bulk", {"rows": [1]}, now=clock.now, tenant_id=cast.woodgrove)
        jobs.recur(session, "purge", timedelta(minutes=10), now=clock.now)
    return john


# There and back -----------------------------------------------------------------------------------


def test_a_backup_comes_back_row_for_row_in_either_database(
    app: Flask, busy: Browser, mail_url: str, tmp_path: Path, elsewhere: Callable[..., Elsewhere]
) -> None:
    """REL-15: all tables, files and captured mail; sessions and waiting mail go on when moved"""
    file = tmp_path / "b2b.backup"
    said = done(app, "backup", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.glob("*.backup*")) == ["b2b.backup"]
    assert f"{file} holds this installation as of 2026-11-21 09:00:00 UTC" in said.stdout
    assert "directory/users" in said.stderr, "progress is shown"
    before = contents(app.config["DATABASE_URL"])
    assert sum(len(rows) for rows in before.values()) > 60
    other = elsewhere(MAIL_STORE_URL=f"sqlite:///{tmp_path / 'other-mail' / 'm.sqlite3'}")
    done(other.app, "restore", str(file), "--moved")
    assert contents(other.url) == before
    own = (app.config["DATA_DIR"] / "keys.json").read_bytes()
    assert (other.folder / "keys.json").read_bytes() == own
    assert stat.S_IMODE((other.folder / "keys.json").stat().st_mode) == 0o600
    database.require_current(other.url)
    there, here = Store.open(other.app.config["MAIL_STORE_URL"]), Store.open(mail_url)
    try:
        assert there.counters() == here.counters()
        [mail] = there.list('"woodgrove"').messages
        assert there.source(mail.id) == here.source(mail.id)
        # Mail goes on arriving, and the search goes on finding it.
        there.add([Arrival("a@b.example", [SAM], b"Subject: later\r\n\r\nharbour\r\n")])
        there.index()
        assert [found.subject for found in there.list("harbour").messages] == ["later"]
    finally:
        there.close()
        here.close()


def test_a_restored_installation_works_and_everybody_goes_on(
    app: Flask, busy: Browser, cast: Cast, tmp_path: Path, elsewhere: Callable[..., Elsewhere]
) -> None:
    """REL-15: signed in as before after a move, and the old link still leads in"""
    [link] = links_of(app, [SAM])
    file = tmp_path / "b2b.backup"
    done(app, "backup", str(file))
    other = elsewhere()
    done(other.app, "restore", str(file), "--moved")
    moved = started(other)
    john = Browser(moved)
    cookie = busy.client.get_cookie("b2b_session", domain="localhost")
    assert cookie is not None
    john.client.set_cookie("b2b_session", cookie.value, domain="localhost")
    assert john.get("/admin/users").status == 200
    assert SAM in john.get("/admin/users").text
    assert Browser(moved).get(link).h1 == "John Doe invites you to WoodGrove"


def started(other: Elsewhere) -> Flask:
    """The program of another installation started anew, as after every restore."""
    other.apps.append(
        create_app(
            Config(DATA_DIR=other.folder, DATABASE_URL=other.url, PASSWORD_HASHING="weak",
                   TESTING=True, PORT=5999, BASE_URL="http://localhost:5000")
        )
    )  # fmt: skip
    return other.apps[-1]


def links_of(app: Flask, addresses: list[str]) -> list[str]:
    with app.app_context():
        found = [
            factories.link_of(db.session(), user.tenant_id, user.id)
            for address in addresses
            for user in db.session.scalars(select(User).where(User.invited_key == address))
        ]
        db.session.remove()
        return found


def test_after_a_restore_old_secrets_are_dead_and_no_mail_goes_out_twice(
    app: Flask, busy: Browser, cast: Cast, clock: Clock, tmp_path: Path, mailroom: Mailroom,
    elsewhere: Callable[..., Elsewhere],
) -> None:  # fmt: skip
    """REL-15: sessions and unused tokens void, sent mail not sent again, waiting mail held"""
    later = clock.now + timedelta(hours=1)
    who: dict[str, Any] = {"tenant_id": cast.woodgrove, "user_id": cast.john}
    grant = SignInGrant(**who, id=uuid4(), app_id=uuid4(), scope="openid", signed_in_at=clock.now,
                        created_at=clock.now, expires_at=later)  # fmt: skip
    with app.app_context(), worker.transaction() as session:
        session.add_all([SetupLink(**who, secret_hash=b"x" * 32, expires_at=later), grant])
        session.flush()
        session.add_all(
            [
                RefreshToken(token_hash=b"x" * 32, tenant_id=cast.woodgrove, grant_id=grant.id,
                             expires_at=later),
                AuthorizationCode(**who, code_hash=b"x" * 32, app_id=grant.app_id,
                                  session_id=uuid4(), redirect_uri="https://a.example/",
                                  scope="openid", signed_in_at=clock.now, expires_at=later),
                DeviceCode(code_hash=b"x" * 32, user_code_hash=b"y" * 32, named="common",
                           app_id=grant.app_id, scope="openid", created_at=clock.now,
                           expires_at=later),
            ]
        )  # fmt: skip
    file = tmp_path / "b2b.backup"
    done(app, "backup", str(file))
    sent = len(mailroom.sources())
    clock.advance(hours=2)
    other = elsewhere(MAIL_PORT=mailroom.port)
    said = done(other.app, "restore", str(file))
    assert "Everybody signs in anew." in said.stdout
    moved = started(other)
    moved.config["MAIL_PORT"] = moved.extensions["mail"].port = mailroom.port
    with moved.app_context():
        session = db.session()
        # Limits for tries, and credentials of applications, are no way in by themselves.
        for name, table in Base.metadata.tables.items():
            if "expires_at" in table.columns and name not in LASTING:
                assert session.execute(select(func.count()).select_from(table)).scalar() == 0, name
        states = {
            (mail.template, mail.recipient): (str(mail.state), mail.last_error)
            for mail in session.scalars(select(OutboxMessage))
        }
        assert states == {
            ("invitation", SAM): ("sent", None),
            ("invitation", "waits@partner.example"): (
                "failed",
                "Waited when the backup was made, and may have been sent since. "
                "Send it again if it was not.",
            ),
            ("passcode", SAM): ("cancelled", None),
        }
        told = {job.kind: str(job.state) for job in session.scalars(select(Job))}
        assert told == {"bulk": "paused", "purge": "waiting"}
        waiting = session.scalars(
            select(User.id).where(User.invited_key == "waits@partner.example")
        ).one()
        tenants = {one.id: one.display_name for one in session.scalars(select(Tenant))}
        events = session.scalars(
            select(AuditEvent).where(AuditEvent.activity == "Restore directory from backup")
        ).all()
        assert sorted(tenants[event.tenant_id] for event in events) == ["Contoso", "WoodGrove"]
        assert {event.actor_name for event in events} == {"Operator"}
        assert {event.at for event in events} == {clock.now}
        db.session.remove()
    room = Mailroom(moved, f"sqlite:///{tmp_path / 'mail.sqlite3'}")
    room.deliver()
    assert len(mailroom.sources()) == sent
    john = Browser(moved)
    cookie = busy.client.get_cookie("b2b_session", domain="localhost")
    assert cookie is not None
    john.client.set_cookie("b2b_session", cookie.value, domain="localhost")
    assert john.get("/admin/users").path == "/signin"
    john.sign_in("john.doe@woodgrove.example", cast.password)
    assert "Directory set back to a backup" in john.get("/admin/audit").text
    held = "Waited when the backup was made, and may have been sent since."
    assert held in john.get("/admin/mail").text
    person = john.get(f"/admin/users/{waiting}")
    assert held in person.text
    assert "The mail server said" not in person.text
    assert "Directory set back" not in person.text


def test_a_backup_under_load_is_one_instant_and_holds_up_nobody(
    app: Flask, cast: Cast, clock: Clock, tmp_path: Path, elsewhere: Callable[..., Elsewhere]
) -> None:
    """REL-15, REL-1: no invitation without its user, mail and audit row; what was there is there"""
    stopped = threading.Event()
    confirmed: list[str] = []
    faults: list[BaseException] = []
    many = threading.Event()

    def invite(number: int) -> None:
        try:
            with app.app_context():
                for count in itertools.count():
                    address = f"guest{number}.{count}@partner.example"
                    with worker.transaction() as session:
                        factories.invite(session, cast, clock.now, address)
                    confirmed.append(address)
                    if len(confirmed) > 30:
                        many.set()
                    if stopped.is_set():
                        return
        except BaseException as error:
            faults.append(error)
            many.set()

    invitation_quotas.configure(None)
    writers = [threading.Thread(target=invite, args=(number,)) for number in range(2)]
    for writer in writers:
        writer.start()
    file = tmp_path / "b2b.backup"
    try:
        assert many.wait(60)
        before = list(confirmed)
        done(app, "backup", str(file), "--without-mail")
        meanwhile = len(confirmed)
    finally:
        stopped.set()
        for writer in writers:
            writer.join(30)
    assert faults == []
    assert meanwhile > len(before), "writers went on"
    other = elsewhere()
    done(other.app, "restore", str(file), "--moved")
    with reading(other.url) as connection:
        invited = set(connection.scalars(select(Invitation.invited_address)))
        users = set(connection.scalars(select(User.mail).where(User.invited_key.is_not(None))))
        owed = set(connection.scalars(select(OutboxMessage.recipient)))
        audited = connection.scalar(
            select(func.count()).select_from(AuditEvent).where(
                AuditEvent.activity == "Invite external user"
            )
        )  # fmt: skip
    assert set(before) <= invited <= set(confirmed)
    assert users == owed == invited
    assert audited == len(invited)


def test_what_the_flags_leave_out_is_not_in_it(
    app: Flask, busy: Browser, tmp_path: Path, mail_url: str, elsewhere: Callable[..., Elsewhere]
) -> None:
    """REL-15: keys included separately"""
    file = tmp_path / "b2b.backup"
    said = done(app, "backup", str(file), "--without-mail", "--without-keys")
    assert f"It holds no keys: they are in {app.config['DATA_DIR'] / 'keys.json'}." in said.stdout
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
    assert "files/keys.json" not in names
    assert not [name for name in names if name.startswith("mail/")]
    other = elsewhere()
    assert refusal(other.app, "restore", str(file)) == (
        "The backup was made with a key that this installation does not have; "
        "set SECRET_KEYS, or bring keys.json, as they were there."
    )
    (other.folder / "keys.json").write_bytes((app.config["DATA_DIR"] / "keys.json").read_bytes())
    done(started(other), "restore", str(file))


def test_keys_from_the_environment_are_never_written_anywhere(
    settings: dict[str, Any], clock: Clock, tmp_path: Path
) -> None:
    """DB-2"""
    secret = "a root key of the environment, of forty characters"
    app = create_app(Config(**settings, SECRET_KEYS=[secret]))
    file = tmp_path / "b2b.backup"
    with app.app_context(), worker.transaction() as session:
        make_cast(session, clock.now)
    assert "they are in SECRET_KEYS" in done(app, "backup", str(file)).stdout
    with zipfile.ZipFile(file) as archive:
        assert not [name for name in archive.namelist() if secret.encode() in archive.read(name)]
    with app.app_context():
        db.engine.dispose()


# Refusals -----------------------------------------------------------------------------------------


def test_what_is_there_is_given_up_only_when_told_so(
    app: Flask, busy: Browser, cast: Cast, clock: Clock, tmp_path: Path, mailroom: Mailroom
) -> None:
    """REL-15: the same installation set back; keys that it has given up do not come first again"""
    file = tmp_path / "b2b.backup"
    done(app, "backup", str(file))
    mailroom.stop()
    done(app, "keys", "rotate")
    rotated = json.loads((app.config["DATA_DIR"] / "keys.json").read_text())["keys"]
    with app.app_context(), worker.transaction() as session:
        factories.invite(session, cast, clock.now, "later@partner.example")
    before = contents(app.config["DATABASE_URL"])
    assert refusal(app, "restore", str(file)) == (
        "There is something in the directory and the mail database already; --replace gives it up."
    )
    assert contents(app.config["DATABASE_URL"]) == before
    with app.app_context():
        db.engine.dispose()
    done(app, "restore", str(file), "--replace")
    with reading(app.config["DATABASE_URL"]) as connection:
        found = set(connection.scalars(select(Invitation.invited_address)))
    assert found == {SAM, "waits@partner.example"}
    assert json.loads((app.config["DATA_DIR"] / "keys.json").read_text())["keys"] == rotated


def test_a_damaged_file_is_refused_and_nothing_is_touched(
    app: Flask, busy: Browser, tmp_path: Path, elsewhere: Callable[..., Elsewhere]
) -> None:
    """REL-15: checksums; wherever the damage is, also where the archive itself sees none"""
    file = tmp_path / "b2b.backup"
    done(app, "backup", str(file))
    whole = file.read_bytes()
    other = elsewhere()
    bad = tmp_path / "bad.backup"
    sentence = f"{bad} is not a backup of this program, or it is damaged."
    damages = [b"", b"no archive", whole[: len(whole) // 2], whole[:-1], whole[40:]]
    for place in range(5, len(whole), len(whole) // 8):
        damages.append(whole[:place] + bytes([whole[place] ^ 0x40]) + whole[place + 1 :])
    taken = 0
    for damage in damages:
        bad.write_bytes(damage)
        result = run(other.app, "restore", str(bad), "--quiet")
        if result.exit_code == 0:
            # A bit of the archive's own book-keeping that nobody reads, such as a date.
            taken += 1
            with zipfile.ZipFile(bad) as one, zipfile.ZipFile(file) as right:
                assert {n: one.read(n) for n in one.namelist()} == {
                    n: right.read(n) for n in right.namelist()
                }
            other = elsewhere()
            continue
        assert sentence in result.stderr, result.output
        assert not backup.is_used(store_of(other))
    assert taken < len(damages) / 2
    altered(file, bad, "directory/users", lambda rows: rows.replace(b"John", b"Jane"))
    assert refusal(other.app, "restore", str(bad)) == sentence
    assert "cannot be read: No such file" in refusal(other.app, "restore", str(tmp_path / "none"))


def store_of(other: Elsewhere) -> backup.Store:
    with other.app.app_context():
        return operations.directory_store(moved=False)


def altered(source: Path, target: Path, name: str, change: Callable[[bytes], bytes]) -> None:
    """A copy of a backup in which one member is another, under right checksums of the archive."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for one in old.namelist():
            content = old.read(one)
            new.writestr(one, change(content) if one == name else content)


def test_a_backup_of_a_newer_program_is_refused(
    app: Flask, busy: Browser, tmp_path: Path, elsewhere: Callable[..., Elsewhere]
) -> None:
    """REL-14, REL-15"""
    file, bad = tmp_path / "b2b.backup", tmp_path / "newer.backup"
    done(app, "backup", str(file))
    other = elsewhere()

    def schema(content: bytes) -> bytes:
        manifest = json.loads(content)
        manifest["stores"]["directory"]["schema"] = "from the future"
        return json.dumps(manifest).encode()

    altered(file, bad, "manifest.json", schema)
    assert refusal(other.app, "restore", str(bad)) == (
        "The backup was made with a newer version of this program; update the program first."
    )
    altered(file, bad, "manifest.json", lambda _: b'{"format": 2}')
    assert refusal(other.app, "restore", str(bad)) == (
        f"The backup {bad} was made by a newer version of this program; update the program first."
    )
    assert not backup.is_used(store_of(other))


def test_a_backup_of_an_older_schema_is_brought_up_to_date(
    app: Flask, cast: Cast, clock: Clock, tmp_path: Path, elsewhere: Callable[..., Elsewhere]
) -> None:
    """REL-14, REL-15"""
    with app.app_context():
        with worker.transaction() as session:
            factories.invite(session, cast, clock.now)
        db.engine.dispose()
    url = app.config["DATABASE_URL"]
    command.downgrade(database.alembic_config(url), "20261121_directory")
    engine = create_engine(url)
    old = MetaData()
    old.reflect(engine)
    engine.dispose()
    for table in old.tables.values():
        for column in table.columns:
            known = Base.metadata.tables.get(table.name)
            if known is not None and column.name in known.columns:
                column.type = known.columns[column.name].type
    file = tmp_path / "old.backup"
    with app.app_context():
        store = dataclasses.replace(
            operations.directory_store(moved=True),
            tables=[t for t in old.sorted_tables if t.name != "alembic_version"],
        )
        names = {"keys.json": app.config["DATA_DIR"] / "keys.json"}
        backup.make(file, [store], names, now=clock.now, facts={"key_ids": []},
                    progress=lambda *_: None)  # fmt: skip
    other = elsewhere()
    done(other.app, "restore", str(file))
    database.require_current(other.url)
    with reading(other.url) as connection:
        [found] = connection.execute(select(Invitation.invited_address, Invitation.domain))
    assert tuple(found) == (SAM, "gmail.com")


def test_a_program_that_runs_is_not_restored_under(
    app: Flask, busy: Browser, tmp_path: Path
) -> None:
    """REL-15"""
    file = tmp_path / "b2b.backup"
    done(app, "backup", str(file))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        app.config["PORT"] = taken.getsockname()[1]
        said = refusal(app, "restore", str(file), "--replace")
    assert "the web server (stop it first) is in use" in said


def test_a_database_of_somebody_else_is_left_alone(
    app: Flask, busy: Browser, tmp_path: Path, clock: Clock
) -> None:
    file = tmp_path / "b2b.backup"
    done(app, "backup", str(file))
    foreign = tmp_path / "foreign.sqlite3"
    engine = create_engine(f"sqlite:///{foreign}")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE songs (title TEXT)"))
    engine.dispose()
    kept = foreign.read_bytes()
    other = create_app(
        Config(DATA_DIR=tmp_path / "o", DATABASE_URL=f"sqlite:///{foreign}", PORT=5999,
               PASSWORD_HASHING="weak", TESTING=True)
    )  # fmt: skip
    assert refusal(other, "restore", str(file), "--replace") == (
        f"{foreign} is not a database of this program."
    )
    assert foreign.read_bytes() == kept


def test_a_backup_that_cannot_be_written_leaves_nothing_behind(
    app: Flask, busy: Browser, tmp_path: Path
) -> None:
    """REL-8"""
    folder = tmp_path / "backups"
    folder.mkdir()
    assert "cannot be written: No such file" in refusal(
        app, "backup", str(tmp_path / "nowhere" / "b2b.backup")
    )
    with full_disk(room=20_000):
        said = refusal(app, "backup", str(folder / "b2b.backup"), "--quiet")
    assert "cannot be" in said
    assert list(folder.iterdir()) == []
    done(app, "backup", str(folder / "b2b.backup"), "--quiet")


@pytest.mark.long
def test_a_backup_takes_as_much_memory_however_long_the_tables_are(
    app: Flask, cast: Cast, tmp_path: Path, elsewhere: Callable[..., Elsewhere]
) -> None:
    """REL-15: 40,000 words are some 25 MiB as rows"""
    with app.app_context(), worker.transaction() as session:
        session.execute(
            UserToken.__table__.insert(),  # type: ignore[attr-defined]
            [
                {"tenant_id": cast.woodgrove, "user_id": cast.adele,
                 "token": f"word-{number:06}" }
                for number in range(40_000)
            ],
        )  # fmt: skip
    file = tmp_path / "b2b.backup"
    other = elsewhere()
    for installation, words in (
        (app, ("backup", str(file), "--quiet")),
        (other.app, ("restore", str(file), "--quiet")),
    ):
        tracemalloc.start()
        try:
            done(installation, *words)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 12 * 2**20, (words[0], peak)
    with reading(other.url) as connection:
        kept = connection.scalar(select(func.count()).select_from(UserToken))
    assert kept > 40_000


def test_every_kind_of_column_has_its_way_into_the_archive() -> None:
    """A type that a new table brings must be among those that both databases take back."""
    kinds = {
        backup._kind(column)
        for table in (*Base.metadata.sorted_tables, *mail_tables.metadata.sorted_tables)
        for column in table.columns
    }
    assert kinds == {"id", "instant", "json", "bytes", "boolean", "integer", "text"}
