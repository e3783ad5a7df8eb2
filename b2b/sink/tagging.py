"""Tags that a mail brings along, and the rows of any tag. Names and rules are those of Mailpit."""

import re
from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, delete, insert, select

from b2b.sink import headers
from b2b.sink.message import Message
from b2b.sink.tables import message_tags, tags

MAX_NAME = 100
MAX_TAGS = 50
"""Tags that one mail may bring."""

_UNFIT = re.compile(r"[^\w\-\s.@]")
_PLUS = re.compile(r"\+([^@]+)@")


def clean_name(name: str) -> str:
    """*name* with all but letters, digits and ``- _ . @`` made spaces; empty if nothing is left."""
    return " ".join(_UNFIT.sub(" ", name).split())[:MAX_NAME].strip()


def automatic(mail: Message) -> tuple[str, ...]:
    """What ``X-Tags`` lists, and what stands behind a plus sign in an address of the header."""
    people = [*mail.to, *mail.cc, *mail.bcc]
    if mail.sender:
        people.insert(0, mail.sender)
    listed = headers.decode_words(headers.first(list(mail.headers), "x-tags")).split(",")
    for person in people:
        if found := _PLUS.search(person.address):
            listed.append(found[1])
    names = (clean_name(name) for name in listed)
    return tuple(_folded(name for name in names if name).values())[:MAX_TAGS]


def _folded(names: Iterable[str]) -> dict[str, str]:
    """Names by their folded form; the first of several spellings stays."""
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(name.casefold(), name)
    return found


def ids_of(connection: Connection, names: Iterable[str]) -> dict[str, int]:
    """The ids of *names* by their folded form, within a writing transaction; missing ones are made.

    Names are taken as they are: see ``clean_name``.
    """
    wanted = _folded(names)
    known = select(tags.c.folded, tags.c.id).where(tags.c.folded.in_(wanted))
    found: dict[str, int] = {row.folded: row.id for row in connection.execute(known)}
    missing = [
        {"name": name, "folded": folded} for folded, name in wanted.items() if folded not in found
    ]
    if missing:
        connection.execute(insert(tags), missing)
        found = {row.folded: row.id for row in connection.execute(known)}
    return found


def attach(connection: Connection, names_by_key: Mapping[int, Iterable[str]]) -> None:
    """Give mails tags beside those they have, within a writing transaction."""
    wanted = {key: _folded(names) for key, names in names_by_key.items()}
    wanted = {key: names for key, names in wanted.items() if names}
    if not wanted:
        return
    ids = ids_of(connection, [name for names in wanted.values() for name in names.values()])
    had = {
        (row.message_key, row.tag_id)
        for row in connection.execute(
            select(message_tags).where(message_tags.c.message_key.in_(wanted))
        )
    }
    pairs = {(key, ids[folded]) for key, names in wanted.items() for folded in names} - had
    if pairs:
        connection.execute(
            insert(message_tags),
            [{"message_key": key, "tag_id": tag} for key, tag in sorted(pairs)],
        )


def forget_unused(connection: Connection) -> None:
    """Drop tags that no mail has, within a writing transaction."""
    used = select(message_tags.c.tag_id).where(message_tags.c.tag_id == tags.c.id).exists()
    connection.execute(delete(tags).where(~used))
