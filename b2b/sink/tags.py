"""Tags as people and the API change them: by hand, on several mails at once, by name."""

from collections.abc import Sequence

from sqlalchemy import delete, func, insert, select, update

from b2b.sink import tagging
from b2b.sink.store import Store, tell
from b2b.sink.tables import message_tags, messages, tags


class BadName(ValueError):
    """Nothing is left of a tag's name once it is cleaned."""


def counts(store: Store) -> dict[str, int]:
    """How many mails have each tag, in the order of the alphabet."""
    statement = (
        select(tags.c.name, func.count())
        .join(message_tags, message_tags.c.tag_id == tags.c.id)
        .group_by(tags.c.name, tags.c.folded)
        .order_by(tags.c.folded)
    )
    with store.reading() as connection:
        return {row.name: row[1] for row in connection.execute(statement)}


def names(store: Store) -> list[str]:
    """Every tag, in the order of the alphabet."""
    with store.reading() as connection:
        return list(connection.scalars(select(tags.c.name).order_by(tags.c.folded)))


def replace(store: Store, ids: Sequence[str], wanted: Sequence[str]) -> None:
    """Give the mails *ids* exactly the tags *wanted*; none takes all away. Raises BadName."""
    cleaned = [_clean(name) for name in wanted]
    with store.writing() as connection:
        keys = connection.scalars(select(messages.c.key).where(messages.c.id.in_(ids))).all()
        if not keys:
            return
        store._changed(connection)
        connection.execute(delete(message_tags).where(message_tags.c.message_key.in_(keys)))
        tagging.attach(connection, dict.fromkeys(keys, cleaned))
        tagging.forget_unused(connection)
        tell(connection, "tags", keys)


def rename(store: Store, old: str, new: str) -> bool:
    """Call a tag differently; if the new name exists the two become one. False without *old*.

    Raises BadName.
    """
    name = _clean(new)
    with store.writing() as connection:
        tag = connection.scalar(select(tags.c.id).where(tags.c.folded == old.casefold()))
        if tag is None:
            return False
        store._changed(connection)
        keys = connection.scalars(
            select(message_tags.c.message_key).where(message_tags.c.tag_id == tag)
        ).all()
        other = connection.scalar(
            select(tags.c.id).where(tags.c.folded == name.casefold(), tags.c.id != tag)
        )
        if other is None:
            connection.execute(
                update(tags).where(tags.c.id == tag).values(name=name, folded=name.casefold())
            )
        else:
            has_both = select(message_tags.c.message_key).where(message_tags.c.tag_id == other)
            moved = select(message_tags.c.message_key).where(
                message_tags.c.tag_id == tag, message_tags.c.message_key.not_in(has_both)
            )
            pairs = [{"message_key": key, "tag_id": other} for key in connection.scalars(moved)]
            if pairs:
                connection.execute(insert(message_tags), pairs)
            connection.execute(delete(message_tags).where(message_tags.c.tag_id == tag))
            connection.execute(delete(tags).where(tags.c.id == tag))
        tell(connection, "tags", keys)
    return True


def remove(store: Store, name: str) -> bool:
    """Take a tag from every mail; False where there is none of that name."""
    with store.writing() as connection:
        tag = connection.scalar(select(tags.c.id).where(tags.c.folded == name.casefold()))
        if tag is None:
            return False
        store._changed(connection)
        keys = connection.scalars(
            select(message_tags.c.message_key).where(message_tags.c.tag_id == tag)
        ).all()
        tell(connection, "tags", keys)
        connection.execute(delete(message_tags).where(message_tags.c.tag_id == tag))
        connection.execute(delete(tags).where(tags.c.id == tag))
    return True


def _clean(name: str) -> str:
    cleaned = tagging.clean_name(name)
    if not cleaned:
        raise BadName(f"“{name[:100]}” is no name for a tag.")
    return cleaned
