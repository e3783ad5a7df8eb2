"""Mailboxes: named searches, such as one a test run, whose address nobody else uses."""

import re
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, insert, select

from b2b import clock
from b2b.sink import rows, search
from b2b.sink.store import Store
from b2b.sink.tables import mailboxes

DOMAIN = "mailbox.example"
"""Every mailbox without a search of its own is a domain below this one."""
MOST = 1_000

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


class BadMailbox(ValueError):
    """A name that cannot be one or is taken, or too many mailboxes; the text says which."""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """``query`` finds its mail. ``domain`` is its own, empty if it is a search made by hand."""

    name: str
    query: str
    domain: str
    created_at: datetime


def make(store: Store, name: str = "", query: str = "") -> Mailbox:
    """A mailbox; without *name* under one that nobody guesses, without *query* with a domain.

    Raises:
        BadMailbox: see there.
        BadQuery: the query cannot be read.
    """
    name = (name or rows.new_id()[:12]).lower()
    if not NAME.fullmatch(name):
        raise BadMailbox("A name has letters of a to z, digits and dashes, 63 at most.")
    search.parse(query)
    made = Mailbox(name, query.strip() or f"to:@{name}.{DOMAIN}", "", clock.now())
    with store.writing() as connection:
        taken = connection.scalars(select(mailboxes.c.name)).all()
        if name in taken:
            raise BadMailbox(f"There is a mailbox {name} already.")
        if len(taken) >= MOST:
            raise BadMailbox(f"There are {MOST} mailboxes already; delete some.")
        connection.execute(
            insert(mailboxes).values(name=name, query=made.query, created_at=made.created_at)
        )
    return _shown(name, made.query, made.created_at)


def every(store: Store) -> list[Mailbox]:
    """All mailboxes, newest first."""
    statement = select(mailboxes).order_by(mailboxes.c.created_at.desc(), mailboxes.c.name)
    with store.reading() as connection:
        return [_shown(*row) for row in connection.execute(statement)]


def find(store: Store, name: str) -> Mailbox | None:
    """The mailbox of that name, or None."""
    with store.reading() as connection:
        row = connection.execute(select(mailboxes).where(mailboxes.c.name == name.lower())).first()
    return None if row is None else _shown(*row)


def remove(store: Store, name: str) -> bool:
    """Forget a mailbox, not its mail; False if there is none of that name."""
    with store.writing() as connection:
        gone = connection.execute(delete(mailboxes).where(mailboxes.c.name == name.lower()))
    return gone.rowcount > 0


def _shown(name: str, query: str, created_at: datetime) -> Mailbox:
    own = f"{name}.{DOMAIN}"
    return Mailbox(name, query, own if query == f"to:@{own}" else "", created_at)
