"""The command line: `flask --app app …`. It knows everyone and decides nothing."""

import os
import shutil
import sys
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import ParamSpec, TypeVar

import click
from flask import Flask, current_app
from flask.cli import AppGroup

from b2b import clock, database, links
from b2b.errors import Refused, StartRefused
from b2b.test_double import state as test_double

P = ParamSpec("P")
R = TypeVar("R")


def plainly(command: Callable[P, R]) -> Callable[P, R]:
    """A refusal is one sentence and exit status 1, never a traceback."""

    @wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (StartRefused, Refused, PermissionError) as error:
            click.echo(f"b2b: {error}", err=True)
            sys.exit(1)

    return guarded


_ELSEWHERE = {
    "backup": "b2b.operations:make_backup",
    "restore": "b2b.operations:restore",
    "keys": "b2b.operations:key_commands",
    "mail": "b2b.inbox_commands:mail_commands",
    "clock": "b2b.test_double.commands:clock",
    "faults": "b2b.test_double.commands:faults",
    "snapshot": "b2b.test_double.commands:snapshot",
    "directory": "b2b.test_double.commands:directory",
}


class _Commands(AppGroup):
    """Loads a command when somebody asks for it: web and worker start without them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of all."""
        return sorted([*super().list_commands(ctx), *_ELSEWHERE])

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """The command *name*."""
        if name not in _ELSEWHERE:
            return super().get_command(ctx, name)
        module, _, attribute = _ELSEWHERE[name].partition(":")
        found: click.Command = getattr(import_module(module), attribute)
        return found


def register(app: Flask) -> None:
    """Bind the commands to *app*."""
    app.cli = _Commands(app.name)
    for command in (up, web, worker, sink, migrate, init, rotate_keys, reset):
        app.cli.add_command(command)


@click.command()
@plainly
def up() -> None:
    """Start web, worker and sink together; the demo is made at the very first start."""
    from b2b import demo, logs, server, sink_process, supervisor

    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    config = app.config
    logs.configure("up", config["LOG_LEVEL"])
    if "SHUTDOWN_GRACE" not in os.environ:
        config["SHUTDOWN_GRACE"] = 5.0
    _writable(config["DATA_DIR"])
    supervisor.check_port(config["HOST"], config["PORT"], "the web server", "PORT")
    if config["INBOX"]:
        supervisor.check_port(
            config["SMTP_HOST"], config["SMTP_PORT"], "the mail sink", "SMTP_PORT"
        )
    database.migrate(config["DATABASE_URL"])
    server.certificate(config)
    made = demo.make_if_wanted(app)
    test_double.look_again(app)
    if made and test_double.of_app():
        from b2b.test_double import snapshots

        snapshots.take(config, snapshots.START)
    if not made:
        demo.follow_address(app)
    if not made and not demo.is_set_up():
        click.echo("Nothing is set up yet: run  flask --app app init  in another terminal.")
    if (config["DATA_DIR"] / demo.FILE_NAME).exists() and not links.is_loopback(config["HOST"]):
        config["BANNERS"] = ["This is a demo on a network address. Do not use real data."]
    with sink_process.shared_memory(config):
        status = supervisor.Supervisor(app).run(lambda: click.echo(supervisor.panel(app)))
    sys.exit(status)


def _writable(folder: Path) -> None:
    probe = folder / f".probe.{os.getpid()}"
    try:
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise StartRefused(f"The folder {folder} cannot be written: {error.strerror}.") from error


def _ready_part(part: str) -> Flask:
    from b2b import logs

    app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
    logs.configure(part, app.config["LOG_LEVEL"])
    return app


@click.command()
@plainly
def web() -> None:
    """Run the web server alone."""
    from b2b import server, supervisor

    app = _ready_part("web")
    supervisor.check_port(app.config["HOST"], app.config["PORT"], "the web server", "PORT")
    database.require_current(app.config["DATABASE_URL"])
    server.run(app)


@click.command()
@plainly
def worker() -> None:
    """Run one worker alone: mail and jobs."""
    from b2b import worker as worker_loop

    app = _ready_part("worker")
    database.require_current(app.config["DATABASE_URL"])
    worker_loop.run(app)


@click.command()
@click.option("--standalone", is_flag=True, help="With its inbox and API, without a directory.")
@click.option("--check", is_flag=True, help="Say what in the store does not fit; exit status 1.")
@click.option("--compact", is_flag=True, help="Give unused room back to the disk.")
@plainly
def sink(standalone: bool, check: bool, compact: bool) -> None:
    """Run the mail sink alone."""
    if check or compact:
        sys.exit(_look_after_mail(check=check, compact=compact))
    if standalone:
        from b2b import standalone as alone

        sys.exit(alone.run())
    from b2b import sink_process

    sink_process.serve(_ready_part("sink").config)


def _look_after_mail(*, check: bool, compact: bool) -> int:
    from b2b.sink import maintenance
    from b2b.sink.store import Store

    store = Store.open(current_app.config["MAIL_STORE_URL"])
    try:
        wrong = maintenance.faults_of(store) if check else []
        for words in wrong:
            click.echo(words)
        if check and not wrong:
            click.echo("The mail store is sound.")
        if compact:
            before, after = maintenance.compact(store)
            click.echo(f"The mail store takes {after:,} bytes; it was {before:,}.")
    finally:
        store.close()
    return 1 if wrong else 0


@click.command()
@plainly
def migrate() -> None:
    """Bring the database to the newest schema."""
    database.migrate(current_app.config["DATABASE_URL"])
    click.echo("The database is up to date.")


@click.command()
@click.option("--organisation", prompt="Name of the organisation")
@click.option("--domain", prompt="Its domain, such as woodgrove.example")
@click.option("--admin", prompt="Sign-in name of its first administrator")
@click.option("--admin-name", default="", help="Display name of the administrator.")
@plainly
def init(organisation: str, domain: str, admin: str, admin_name: str) -> None:
    """Make the first organisation and print a one-time set-up link for its administrator."""
    from b2b.extensions import db
    from b2b.services import tenants

    database.migrate(current_app.config["DATABASE_URL"])
    database.begin_write(db.session)
    secret = tenants.start_setup(
        db.session(),
        organisation=organisation,
        domain=domain,
        admin_name=admin_name,
        admin_address=admin,
        now=clock.now(),
    )
    db.session.commit()
    click.echo(f"{organisation} is made. Within an hour, {admin} sets a password once at:")
    click.echo(links.absolute(f"/setup/{secret}"))


@click.command()
@click.option("--at-once", is_flag=True, help="In an emergency: end every token signed till now.")
@plainly
def rotate_keys(at_once: bool) -> None:
    """Let the next signing key take over as soon as every application can know it."""
    from b2b.extensions import db
    from b2b.services import signing_keys

    now = clock.now()
    database.begin_write(db.session)
    if at_once:
        signing_keys.revoke(db.session(), now=now)
        words = "Tokens that were signed until now are worth nothing. A new key signs."
    else:
        moment = signing_keys.rotate(db.session(), now=now)
        words = f"The next key signs from {moment:%Y-%m-%d %H:%M} UTC on; nobody is signed out."
    db.session.commit()
    click.echo(words)


@click.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@plainly
def reset(yes: bool) -> None:
    """Empty this installation: directories, captured mail, keys and demo.json."""
    from b2b.supervisor import check_port

    config = current_app.config
    if not yes:
        click.confirm(f"Delete everything in {config['DATA_DIR']}?", abort=True)
    check_port(config["HOST"], config["PORT"], "the web server (stop it first)", "PORT")
    database.drop_everything(config["DATABASE_URL"])
    from b2b.sink.store import Store

    store = Store.open(config["MAIL_STORE_URL"])
    store.delete()
    store.close()
    shutil.rmtree(config["DATA_DIR"])
    click.echo("Emptied. The next start makes the demo anew.")
