"""The test tools on the command line: clock, faults, snapshots, directory files."""

import contextlib
from datetime import datetime, timedelta
from typing import TextIO
from uuid import UUID

import click
from flask import current_app

from b2b import clock as time_source
from b2b import database, worker
from b2b.cli import plainly
from b2b.errors import N_, Invalid
from b2b.extensions import db
from b2b.models import FaultKind, FaultRule
from b2b.services import test_double
from b2b.test_double import directory_export, directory_file, snapshots, state


def _ready() -> None:
    state.required()
    database.require_current(current_app.config["DATABASE_URL"])


# The clock ---------------------------------------------------------------------------------------


@click.group()
def clock() -> None:
    """The movable clock of a test installation: web, worker and sink follow it at once."""


def _say_clock() -> None:
    offset = state.required().state().offset
    real = time_source.unmoved()
    click.echo(f"{real + offset:%Y-%m-%d %H:%M:%S} UTC here; the real time is {real:%H:%M:%S}")
    if offset:
        sign = "ahead" if offset > timedelta(0) else "behind"
        click.echo(f"{abs(offset)} {sign}")


@clock.command("show")
@plainly
def show_clock() -> None:
    """What time it is here."""
    _ready()
    _say_clock()


@clock.command("set")
@click.argument("instant")
@plainly
def set_clock(instant: str) -> None:
    """Set the clock to INSTANT, such as 2027-01-31T09:00:00Z."""
    _ready()
    to: datetime | None = None
    with contextlib.suppress(ValueError):
        to = datetime.fromisoformat(instant)
    if to is None or to.tzinfo is None:
        raise Invalid("now", N_("Enter a time with its zone, such as 2027-01-31T09:00:00Z."))
    with state.telling() as session:
        test_double.move_clock(session, to=to - time_source.unmoved())
    _say_clock()


@clock.command("advance")
@click.option("--days", type=float, default=0)
@click.option("--hours", type=float, default=0)
@click.option("--minutes", type=float, default=0)
@click.option("--seconds", type=float, default=0)
@plainly
def advance_clock(days: float, hours: float, minutes: float, seconds: float) -> None:
    """Let time pass; negative numbers go back."""
    _ready()
    if max(abs(part) for part in (days, hours, minutes, seconds)) > 1e9:
        raise Invalid("days", N_("The clock goes ten years either way at most."))
    by = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if not by:
        raise Invalid("days", N_("Say how far: days, hours, minutes or seconds."))
    with state.telling() as session:
        test_double.move_clock(session, by=by)
    _say_clock()


@clock.command("reset")
@plainly
def reset_clock() -> None:
    """The real time again."""
    _ready()
    with state.telling() as session:
        test_double.move_clock(session, to=timedelta(0))
    _say_clock()


# Faults ------------------------------------------------------------------------------------------


@click.group()
def faults() -> None:
    """Faults that requests meet: error answers, latency, dropped connections."""


def _line(row: FaultRule) -> str:
    what = {
        FaultKind.STATUS: f"answer {row.status}"
        + (f", Retry-After {row.retry_after}" if row.retry_after is not None else ""),
        FaultKind.LATENCY: "late answer",
        FaultKind.DROP: "no answer",
    }[row.kind]
    late = f", {row.latency / 1000:g} s late" if row.latency else ""
    times = "" if row.times is None else f" of {row.times}"
    return (
        f"{row.id}  {row.method or 'any':<7} {row.path}  {what}{late}, "
        f"{row.share:.0%} of requests; met {row.hits}{times}"
    )


@faults.command("list")
@plainly
def list_faults() -> None:
    """All rules, with how often they were met."""
    _ready()
    for row in test_double.faults(db.session()):
        click.echo(_line(row))
    delay = state.required().state().visible_after
    if delay:
        click.echo(f"Graph's lists show new objects {delay.total_seconds():g} s late.")


@faults.command("add")
@click.argument("path")
@click.option("--status", type=int, help="Answer with this status; 429 by default.")
@click.option("--retry-after", type=int, help="Seconds.")
@click.option("--latency", type=float, default=0, help="Seconds by which the answer is late.")
@click.option("--drop", is_flag=True, help="End the connection without an answer.")
@click.option("--method", help="Only for this method.")
@click.option("--share", type=float, default=1.0, help="Of the requests, from 0 to 1.")
@click.option("--times", type=int, help="For so many requests in all.")
@plainly
def add_fault(
    path: str,
    status: int | None,
    retry_after: int | None,
    latency: float,
    drop: bool,
    method: str | None,
    share: float,
    times: int | None,
) -> None:
    """Let requests whose path begins with PATH meet a fault; with * it is a pattern of the path."""
    _ready()
    kind = FaultKind.DROP if drop else FaultKind.STATUS
    if latency and not drop and status is None and retry_after is None:
        kind = FaultKind.LATENCY
    with state.telling() as session:
        row = test_double.add_fault(
            session,
            path=path,
            kind=kind,
            method=method,
            share=share,
            status=status,
            retry_after=retry_after,
            latency=timedelta(seconds=min(max(latency, -1), 1e6)),
            times=times,
            now=time_source.unmoved(),
        )
        line = _line(row)
    click.echo(line)


@faults.command("remove")
@click.argument("rule", type=click.UUID)
@plainly
def remove_fault(rule: UUID) -> None:
    """Take one rule away, by its id."""
    _ready()
    with state.telling() as session:
        test_double.remove_fault(session, rule)


@faults.command("clear")
@plainly
def clear_faults() -> None:
    """Take all rules away, and let lists show everything at once."""
    _ready()
    with state.telling() as session:
        test_double.clear_faults(session)
        test_double.show_after(session, timedelta(0))


@faults.command("visible-after")
@click.argument("seconds", type=float)
@plainly
def visible_after(seconds: float) -> None:
    """Have Graph's lists show new objects SECONDS late; 0: at once."""
    _ready()
    with state.telling() as session:
        test_double.show_after(session, timedelta(seconds=min(max(seconds, -1), 1e6)))


# Snapshots ---------------------------------------------------------------------------------------


@click.group()
def snapshot() -> None:
    """Snapshots of all directories, taken and put back while the program runs."""


@snapshot.command("take")
@click.argument("name")
@plainly
def take_snapshot(name: str) -> None:
    """Keep all directories as they are now."""
    _ready()
    made = snapshots.take(current_app.config, name)
    click.echo(f"{made.name} holds all directories as of {made.made_at:%Y-%m-%d %H:%M:%S} UTC.")


@snapshot.command("restore")
@click.argument("name")
@plainly
def restore_snapshot(name: str) -> None:
    """Put all directories back; `start` is the demo as it was made."""
    _ready()
    with state.telling() as session:
        snapshots.restore(current_app.config, session, name)
    click.echo(f"All directories are back as {name} has them.")


@snapshot.command("list")
@plainly
def list_snapshots() -> None:
    """All snapshots, the newest first."""
    _ready()
    for one in snapshots.taken(current_app.config):
        click.echo(f"{one.name:<32} {one.made_at:%Y-%m-%d %H:%M:%S} UTC {one.size:>12,} bytes")


@snapshot.command("delete")
@click.argument("name")
@plainly
def delete_snapshot(name: str) -> None:
    """Throw a snapshot away."""
    _ready()
    snapshots.delete(current_app.config, name)


# Directory files ---------------------------------------------------------------------------------


@click.group()
def directory() -> None:
    """Directories declared in a YAML file (docs/directory-file.md)."""


class _Undone(Exception):
    """Everything went well, and is taken back."""


@directory.command("load")
@click.argument("file", type=click.File(encoding="utf-8"))
@click.option("--check", is_flag=True, help="Only say what would change.")
@plainly
def load_directory(file: TextIO, check: bool) -> None:
    """Make, or change, what FILE names; what it does not name stays. `-` reads from the input."""
    database.require_current(current_app.config["DATABASE_URL"])
    tree = directory_file.read(file.read(directory_file.LARGEST + 1))
    done = directory_file.Done()
    with contextlib.suppress(_Undone), worker.transaction() as session:
        done = directory_file.apply(session, tree, now=time_source.now())
        if check:
            raise _Undone
    for line in done.changes:
        click.echo(line)
    for name, secret in ({} if check else done.secrets).items():
        click.echo(f"secret of {name}: {secret}")
    verb = "would change" if check else "changed"
    click.echo(f"{len(done.changes)} {verb}, {done.unchanged} as they were")


@directory.command("export")
@plainly
def export_directory() -> None:
    """Write all organisations as such a file; passwords and secrets are left out."""
    database.require_current(current_app.config["DATABASE_URL"])
    click.echo(directory_export.export(db.session(), now=time_source.now()), nl=False)
