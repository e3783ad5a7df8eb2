"""What was said over SMTP, and the mail that was not taken."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select

from b2b.sink import rows
from b2b.sink.store import Store
from b2b.sink.tables import message_tags, messages, recipients, refusals, sources, tags


@dataclass(frozen=True, slots=True)
class Refused:
    """A mail that was not taken. ``source`` is its beginning, None where nothing was sent."""

    id: int
    refused_at: datetime
    stage: str
    reply: str
    sender: str
    recipients: tuple[str, ...]
    subject: str
    size: int
    conversation: str
    source: bytes | None = None


def conversation(store: Store, message_id: str) -> str:
    """The lines of SMTP that brought a mail, empty for mail that came otherwise."""
    statement = select(sources.c.conversation).join(
        messages, messages.c.key == sources.c.message_key
    )
    with store.reading() as connection:
        return connection.scalar(statement.where(messages.c.id == message_id)) or ""


def refused(store: Store, limit: int = 50) -> list[Refused]:
    """The newest mails that were not taken, newest first, without their sources."""
    statement = select(*(column for column in refusals.c if column.name != "packed")).order_by(
        refusals.c.id.desc()
    )
    with store.reading() as connection:
        found = connection.execute(statement.limit(limit)).mappings().all()
    return [Refused(**{**row, "recipients": tuple(row["recipients"])}) for row in found]


def one_refused(store: Store, number: int) -> Refused | None:
    """A mail that was not taken, with what came of it."""
    with store.reading() as connection:
        row = connection.execute(select(refusals).where(refusals.c.id == number)).mappings().first()
    if row is None:
        return None
    rest = {name: value for name, value in row.items() if name != "packed"}
    source = None if row["packed"] is None else rows.unpacked(row["packed"])
    return Refused(**{**rest, "recipients": tuple(row["recipients"]), "source": source})


@dataclass(frozen=True, slots=True)
class Group:
    """An address, a domain or a tag, and how many mails it has."""

    name: str
    count: int


def groups(store: Store, kind: str, limit: int = 100) -> list[Group]:
    """Who gets the most mail: by ``address``, ``domain`` or ``tag``."""
    number = func.count()
    if kind == "tag":
        statement = (
            select(tags.c.name, number)
            .join(message_tags, message_tags.c.tag_id == tags.c.id)
            .group_by(tags.c.name)
        )
    elif kind == "domain":
        number = func.count(recipients.c.message_key.distinct())
        statement = select(recipients.c.domain, number).group_by(recipients.c.domain)
    else:
        statement = select(recipients.c.address, number).group_by(recipients.c.address)
    first = next(iter(statement.selected_columns))
    with store.reading() as connection:
        rows = connection.execute(statement.order_by(number.desc(), first).limit(limit))
        return [Group(name, count) for name, count in rows]
