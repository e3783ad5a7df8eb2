"""Captured mail at the terminal: `flask --app app mail list|read|wait|open|clear`."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from flask import current_app
from flask.cli import AppGroup
from sqlalchemy.exc import SQLAlchemyError

from b2b import links
from b2b.cli import plainly
from b2b.errors import StartRefused
from b2b.sink import message as messages
from b2b.sink.message import Message
from b2b.sink.rows import Summary
from b2b.sink.search import BadQuery
from b2b.sink.store import Store, StoreIsNewer
from b2b.web.inbox import api

LOOK_EVERY = 0.1


mail_commands = AppGroup("mail", help="Read captured mail.")


@contextmanager
def _store() -> Iterator[Store]:
    try:
        store = Store.open(current_app.config["MAIL_STORE_URL"])
    except (SQLAlchemyError, StoreIsNewer, OSError) as error:
        raise StartRefused(f"The store of captured mail cannot be opened: {error}") from error
    try:
        yield store
    except BadQuery as error:
        raise StartRefused(str(error)) from error
    finally:
        store.close()


_as_json = click.option("--json", "as_json", is_flag=True, help="Write JSON.")


def _write(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def _found(store: Store, message_id: str) -> tuple[Summary, Message]:
    """The mail of an id, of the beginning of one, or the newest for *latest*."""
    row = store.get(message_id)
    if row is None:
        newest = store.list(limit=200).messages
        fitting = [one for one in newest if message_id == "latest" or one.id.startswith(message_id)]
        if not fitting or (len(fitting) > 1 and message_id != "latest"):
            words = "Several mails begin so" if fitting else "There is no such mail"
            raise StartRefused(f"{words}: {message_id}")
        row = fitting[0]
    return row, messages.read(store.source(row.id) or b"")


def _query(words: tuple[str, ...], to: str | None, subject: str | None) -> str:
    terms = [" ".join(words)] if words else []
    if to:
        terms.append(f'to:"{to}"')
    if subject:
        terms.append(f'subject:"{subject}"')
    return " ".join(terms)


@mail_commands.command("list")
@click.argument("query", nargs=-1)
@click.option("--to", help="Delivered to exactly this address, or to @ and a domain.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@_as_json
@plainly
def list_mail(query: tuple[str, ...], to: str | None, limit: int, as_json: bool) -> None:
    """List mail, newest first; QUERY is in the inbox's language."""
    with _store() as store:
        rows = store.list(_query(query, to, None), limit=limit).messages
    if as_json:
        _write([api.summary(row) for row in rows])
        return
    for row in rows:
        people = ", ".join(row.envelope_recipients) or "nobody"
        mark = " " if row.is_read else "*"
        when = row.received_at.strftime("%Y-%m-%d %H:%M:%S")
        click.echo(f"{mark} {row.id[:8]}  {when}  {people}  {row.subject}")
    if not rows:
        click.echo("No mail.")


_PART = click.Choice(["text", "html", "source", "headers", "links", "codes"])


@mail_commands.command("read")
@click.argument("message_id", default="latest")
@click.option("--part", default="text", show_default=True, type=_PART)
@_as_json
@plainly
def read_mail(message_id: str, part: str, as_json: bool) -> None:
    """Write one mail; it stays unread. MESSAGE_ID may be shortened, or `latest`."""
    with _store() as store:
        row, mail = _found(store, message_id)
        source = store.source(row.id) or b""
    if as_json:
        _write(api.whole(row, mail))
    elif part == "source":
        click.echo(source, nl=False)
    else:
        click.echo(_written(mail, part))


def _written(mail: Message, part: str) -> str:
    match part:
        case "html":
            return mail.html
        case "headers":
            return "\n".join(f"{field.name}: {field.value}" for field in mail.headers)
        case "links":
            return "\n".join(link.url for link in mail.links)
        case "codes":
            return "\n".join(mail.codes)
    people = ", ".join(one.address for one in mail.to)
    sender = mail.sender.address if mail.sender else ""
    return f"From: {sender}\nTo: {people}\nSubject: {mail.subject}\n\n{mail.text.rstrip()}"


@mail_commands.command("wait")
@click.argument("query", nargs=-1)
@click.option("--to", help="Delivered to exactly this address, or to @ and a domain.")
@click.option("--subject", help="A part of the subject.")
@click.option("--timeout", default=10.0, show_default=True, help="Seconds.")
@click.option("--new", is_flag=True, help="Only what comes from now on.")
@click.option("--part", default="text", show_default=True, type=_PART)
@_as_json
@plainly
def wait_for_mail(
    query: tuple[str, ...],
    to: str | None,
    subject: str | None,
    timeout: float,
    new: bool,
    part: str,
    as_json: bool,
) -> None:
    """Wait for a mail and write it; exit status 1 when none comes."""
    wanted = _query(query, to, subject)
    ends = time.monotonic() + timeout
    with _store() as store:
        since = store.counters().last_key if new else None
        while not (found := store.list(wanted, after=since, limit=1).messages):
            if time.monotonic() > ends:
                raise StartRefused(f"No such mail came within {timeout:g} seconds.")
            time.sleep(LOOK_EVERY)
        row, mail = _found(store, found[0].id)
    if as_json:
        _write(api.whole(row, mail))
    else:
        click.echo(_written(mail, part))


@mail_commands.command("open")
@click.argument("message_id", default="latest")
@plainly
def open_mail(message_id: str) -> None:
    """Open one mail in the browser, and write its address."""
    with _store() as store:
        row, _ = _found(store, message_id)
    url = links.absolute(f"/mail/{row.id}")
    click.echo(url)
    click.launch(url)


@mail_commands.command("clear")
@click.argument("query", nargs=-1)
@click.option("--yes", is_flag=True, help="Do not ask.")
@plainly
def clear_mail(query: tuple[str, ...], yes: bool) -> None:
    """Delete what QUERY finds; all mail without one."""
    with _store() as store:
        wanted = " ".join(query)
        count = store.count(wanted)[0]
        if count and not yes:
            click.confirm(f"Delete {count} mails?", abort=True)
        deleted = store.delete(query=wanted) if wanted else store.delete()
    click.echo(f"Deleted: {deleted}.")
