"""The operator's commands: a backup and its way back, and the keys."""

import sys
from collections.abc import Collection, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from flask import current_app
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from b2b import backup, clock, database, keys, links
from b2b.backup import Archive, BackupRefused, Store
from b2b.cli import plainly
from b2b.errors import StartRefused
from b2b.extensions import db
from b2b.keys import Keyring
from b2b.models import Base
from b2b.services import key_rotation, recovery

if TYPE_CHECKING:
    from b2b.sink.store import Store as MailStore

KEYS = keys.FILE_NAME
DEMO = "demo.json"


# Backups ------------------------------------------------------------------------------------------


@click.command("backup")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--without-mail", is_flag=True, help="Leave out the mail that the sink has caught.")
@click.option("--without-keys", is_flag=True, help="Leave out the keys; keep them elsewhere.")
@click.option("--quiet", is_flag=True, help="Say nothing but the outcome.")
@plainly
def make_backup(file: Path, without_mail: bool, without_keys: bool, quiet: bool) -> None:
    """Write everything that a restore needs to FILE, while the program goes on running."""
    config = current_app.config
    database.require_current(config["DATABASE_URL"])
    stores = [directory_store(moved=False)] + ([] if without_mail else [_mail()])
    folder: Path = config["DATA_DIR"]
    own_keys = not (without_keys or config["SECRET_KEYS"])
    names = [DEMO, *([KEYS] if own_keys else [])]
    now = clock.now()
    with _told(quiet) as progress:
        backup.make(
            file,
            stores,
            {name: folder / name for name in names},
            now=now,
            facts={"key_ids": links.keyring().ids},
            progress=progress,
        )
    size = file.stat().st_size
    click.echo(
        f"{file} holds this installation as of {now:%Y-%m-%d %H:%M:%S} UTC ({size:,} bytes)."
    )
    if not own_keys:
        where = "in SECRET_KEYS" if config["SECRET_KEYS"] else f"in {folder / KEYS}"
        click.echo(f"It holds no keys: they are {where}. Keep them as well.")


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Replace what is there.")
@click.option(
    "--moved",
    is_flag=True,
    help="Nothing has happened since the backup: keep sessions, send waiting mail.",
)
@click.option("--without-mail", is_flag=True, help="Leave the sink's mail as it is.")
@click.option("--quiet", is_flag=True, help="Say nothing but the outcome.")
@plainly
def restore(file: Path, replace: bool, moved: bool, without_mail: bool, quiet: bool) -> None:
    """Bring back what is in FILE; stop the program first."""
    config = current_app.config
    _require_stopped()
    with closing(Archive(file)) as archive, ExitStack() as replaced:
        stores = [directory_store(moved=moved)]
        if "mail" in archive.stores and not without_mail and not _mail().is_in_memory:
            stores.append(_mail())
        for store in stores:
            backup.require_takeable(archive, store)
        used = [store.name for store in stores if backup.is_used(store)]
        if used and not replace:
            raise BackupRefused(
                f"There is something in the {' and the '.join(used)} database already; "
                "--replace gives it up."
            )
        texts = _keys_afterwards(archive, used="directory" in used)
        with _told(quiet) as progress:
            for store in stores:
                replaced.enter_context(backup.taking_back(archive, store, progress))
        # The databases take their places when this block is left, after the keys that they need.
        if texts is not None:
            keys.write_file(config["DATA_DIR"] / KEYS, texts)
        told = archive.file(DEMO)
        if told is not None:
            _write_private(config["DATA_DIR"] / DEMO, told)
        made_at = archive.made_at
    click.echo(f"This installation is back as of {made_at:%Y-%m-%d %H:%M:%S} UTC.")
    if not moved:
        click.echo("Everybody signs in anew. Mail that waited is held: see Mail delivery.")


def _keys_afterwards(archive: Archive, *, used: bool) -> list[str] | None:
    """What the key file holds afterwards; None leaves it as it is. Raises BackupRefused.

    An installation that was in use keeps its own keys in front, so that no key which it has given
    up comes first again; those of the backup that it lacks go on checking.
    """
    folder: Path = current_app.config["DATA_DIR"]
    content = archive.file(KEYS)
    needed = archive.facts["key_ids"]
    if current_app.config["SECRET_KEYS"] or content is None:
        missing = [name for name in needed[:1] if name not in links.keyring().ids]
        if missing:
            raise BackupRefused(
                "The backup was made with a key that this installation does not have; "
                "set SECRET_KEYS, or bring keys.json, as they were there."
            )
        return None
    theirs = keys.parse_file(content)
    own = keys.read_file(folder / KEYS) if used else []
    return own + [text for text in theirs if text not in own]


def _write_private(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(content)


def directory_store(*, moved: bool) -> Store:
    """The directory's database; *moved*: nothing in it has ended since it was kept."""
    config = current_app.config
    timeout = 30.0

    def opened(url: str) -> Engine:
        engine = create_engine(url, **database.engine_options(url, timeout))
        database.prepare(engine)
        return engine

    def finish(connection: Connection, made_at: datetime) -> None:
        if moved:
            return
        within = Session(bind=connection, join_transaction_mode="create_savepoint")
        with within.begin():
            recovery.after_restore(within, made_at=made_at, now=clock.now())

    return Store(
        "directory",
        config["DATABASE_URL"],
        opened,
        Base.metadata.sorted_tables,
        "tenants",
        "alembic_version",
        database.known_revisions,
        database.upgrade,
        database.clear,
        finish,
    )


def _mail() -> Store:
    # Loaded here only: the other commands do without the sink's libraries.
    from b2b.sink import schema, tables

    def finish(connection: Connection, _: datetime) -> None:
        schema.index_anew(connection)

    return Store(
        "mail",
        current_app.config["MAIL_STORE_URL"],
        schema.engine,
        tables.metadata.sorted_tables,
        "messages",
        tables.VERSION_TABLE,
        schema.known_revisions,
        schema.upgrade,
        schema.clear,
        finish,
    )


@contextmanager
def _told(quiet: bool) -> Iterator[backup.Progress]:
    """Progress on the error output: a line for each table, which counts up on a terminal."""
    live = sys.stderr.isatty()
    current: list[Any] = [None, 0]

    def line(end: str) -> None:
        click.echo(f"{current[0]:<40} {current[1]:>12,}{end}", err=True, nl=False)

    def tell(name: str, rows: int) -> None:
        if quiet:
            return
        if current[0] not in (None, name):
            line("\n")
        current[:] = name, rows
        if live:
            line("\r")

    yield tell
    if current[0] is not None:
        line("\n")


# Keys ---------------------------------------------------------------------------------------------


@click.group("keys")
def key_commands() -> None:
    """The root keys, from which links, codes and cookies are derived."""


@key_commands.command("list")
@plainly
def list_keys() -> None:
    """Name each key, and what hangs on it."""
    database.require_current(current_app.config["DATABASE_URL"])
    for place, name in enumerate(links.keyring().ids):
        usage = key_rotation.usage(db.session(), name)
        click.echo(
            f"{name}  {'makes new links' if place == 0 else 'only checks':<16}"
            f"{usage.invitations:>8,} open invitations  {usage.mails:>6,} waiting mails  "
            f"{usage.signing_keys:>3} signing keys"
        )


@key_commands.command("rotate")
@plainly
def rotate() -> None:
    """Put a new key in front; what the others made goes on being good."""
    path = _key_file()
    texts = keys.read_file(path)
    fresh = keys.new_secret()
    keys.write_file(path, [fresh, *texts])
    click.echo(f"{keys.id_of(fresh)} makes what is new as soon as web and worker are restarted.")
    click.echo(f"{keys.id_of(texts[0])} goes on checking until it is retired.")


@key_commands.command("retire")
@click.argument("names", nargs=-1, metavar="KEY...")
@click.option("--yes", is_flag=True, help="Do not ask.")
@plainly
def retire(names: tuple[str, ...], yes: bool) -> None:
    """Take away older keys, all of them unless some are named; stop the program first."""
    config = current_app.config
    ring = links.keyring()
    _require_stopped()
    database.require_current(config["DATABASE_URL"])
    gone = list(names) or ring.ids[1:]
    if not gone:
        raise StartRefused("There is one key only; run  flask --app app keys rotate  first.")
    if ring.current_id in gone:
        raise StartRefused(
            "The first key makes what is new; run  flask --app app keys rotate  first."
        )
    unknown = [name for name in gone if name not in ring.ids]
    if unknown:
        raise StartRefused(f"There is no key {unknown[0]}.")
    hanging = [key_rotation.usage(db.session(), name) for name in gone]
    links_lost = sum(usage.invitations for usage in hanging)
    if links_lost and not yes:
        click.confirm(
            f"The links of {links_lost:,} open invitations stop working; they can be sent anew. "
            "Go on?",
            abort=True,
        )
    _seal_webhooks(gone)
    with _transaction():
        key_rotation.retire(db.session(), gone, now=clock.now())
    _forget(gone)
    click.echo(f"Retired: {', '.join(gone)}.")
    if config["SECRET_KEYS"]:
        click.echo("Now take it out of SECRET_KEYS.")


@key_commands.command("revoke")
@click.option("--yes", is_flag=True, help="Do not ask.")
@plainly
def revoke(yes: bool) -> None:
    """After a theft: a new key, and nothing else is good any more; stop the program first."""
    config = current_app.config
    _require_stopped()
    database.require_current(config["DATABASE_URL"])
    if not yes:
        click.confirm(
            "Everybody is signed out, and every open link, code and token stops. Go on?", abort=True
        )
    ring = links.keyring()
    gone = ring.ids[1:] if config["SECRET_KEYS"] else ring.ids
    if not gone:
        raise StartRefused("Put a new key in front of SECRET_KEYS first.")
    if not config["SECRET_KEYS"]:
        path = _key_file()
        texts = [keys.new_secret(), *keys.read_file(path)]
        keys.write_file(path, texts)
        links.configure(config["BASE_URL"], Keyring.from_secrets(texts))
    with _transaction():
        key_rotation.revoke(db.session(), gone, now=clock.now())
    # The keys go first: a store that does not answer must not keep stolen ones alive.
    _forget(gone)
    click.echo("A new key is in place; nothing that was made before is good any more.")
    _forget_webhooks()
    if config["SECRET_KEYS"]:
        click.echo("Now take the older ones out of SECRET_KEYS.")


def _key_file() -> Path:
    config = current_app.config
    if config["SECRET_KEYS"]:
        raise StartRefused(
            "The keys of this installation come from SECRET_KEYS: put a new one in front there."
        )
    path: Path = config["DATA_DIR"] / KEYS
    return path


def _forget(gone: Collection[str]) -> None:
    if not current_app.config["SECRET_KEYS"]:
        path = _key_file()
        keys.write_file(
            path, [text for text in keys.read_file(path) if keys.id_of(text) not in gone]
        )


def _seal_webhooks(gone: Collection[str]) -> None:
    from b2b import inbox_webhooks

    with _captured_mail() as mails:
        if mails is not None:
            inbox_webhooks.seal_anew(mails, gone)


def _forget_webhooks() -> None:
    from b2b import inbox_webhooks

    with _captured_mail() as mails:
        if mails is not None and inbox_webhooks.forget_all(mails):
            click.echo("The inbox’s webhooks are deleted: make them anew.")


@contextmanager
def _captured_mail() -> Iterator["MailStore | None"]:
    """The sink's store, if there is one. Raises StartRefused where it does not answer."""
    from b2b.sink import schema
    from b2b.sink.store import Store as MailStore
    from b2b.sink.store import StoreIsNewer

    url = make_url(current_app.config["MAIL_STORE_URL"])
    file = Path(url.database or "") if url.get_backend_name() == "sqlite" else None
    if schema.is_memory(url) or (file is not None and not file.exists()):
        yield None
        return
    try:
        mails = MailStore.open(current_app.config["MAIL_STORE_URL"])
    except (SQLAlchemyError, StoreIsNewer) as error:
        raise StartRefused(f"The store of captured mail does not answer: {error}") from error
    with closing(mails):
        yield mails


def _require_stopped() -> None:
    from b2b.supervisor import check_port

    config = current_app.config
    check_port(config["HOST"], config["PORT"], "the web server (stop it first)", "PORT")


@contextmanager
def _transaction() -> Iterator[None]:
    database.begin_write(db.session)
    try:
        yield
        db.session.commit()
    except BaseException:
        db.session.rollback()
        raise
