"""What was said over SMTP, and who gets how much mail."""

from dataclasses import dataclass

from sqlalchemy import func, select

from b2b.sink.store import Store
from b2b.sink.tables import message_tags, messages, recipients, sources, tags


def conversation(store: Store, message_id: str) -> str:
    """The lines of SMTP that brought a mail, empty for mail that came otherwise."""
    statement = select(sources.c.conversation).join(
        messages, messages.c.key == sources.c.message_key
    )
    with store.reading() as connection:
        return connection.scalar(statement.where(messages.c.id == message_id)) or ""


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
