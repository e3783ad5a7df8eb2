"""Looking after a store: whether everything in it fits together, and giving room back."""

from pathlib import Path

from sqlalchemy import func, not_, select, text
from sqlalchemy.exc import SQLAlchemyError

from b2b.sink import schema
from b2b.sink.store import Store
from b2b.sink.tables import FULL_TEXT, mailbox, messages, sources


def faults_of(store: Store) -> list[str]:
    """What is wrong with the store, in words; empty for a sound one. Reads all of it."""
    found: list[str] = []
    with store.reading() as connection:
        if connection.dialect.name == "sqlite":
            for (line,) in connection.execute(text("PRAGMA integrity_check")):
                if line != "ok":
                    found.append(f"SQLite: {line}.")
            orphans = connection.execute(text("PRAGMA foreign_key_check")).all()
            if orphans:
                found.append(f"{len(orphans)} rows belong to no mail.")
        sums = connection.execute(select(mailbox.c.total, mailbox.c.unread, mailbox.c.bytes)).one()
        real = connection.execute(
            select(
                func.count(),
                func.count().filter(not_(messages.c.is_read)),
                func.coalesce(func.sum(messages.c.size), 0),
            )
        ).one()
        for counted, there, what in zip(
            sums, real, ("mails", "unread mails", "octets"), strict=True
        ):
            if counted != there:
                found.append(f"The mailbox counts {counted} {what}; there are {there}.")
        kept = connection.execute(select(func.count()).select_from(sources)).scalar_one()
        if kept != real[0]:
            found.append(f"There are {real[0]} mails and the sources of {kept}.")
    if store.full_text:
        found += _faults_of_index(store)
    return found


def _faults_of_index(store: Store) -> list[str]:
    try:
        with store.writing() as connection:
            connection.execute(
                text(f"INSERT INTO {FULL_TEXT} ({FULL_TEXT}, rank) VALUES ('integrity-check', 1)")
            )
    except SQLAlchemyError:
        return ["The index of words does not fit the texts."]
    return []


def compact(store: Store) -> tuple[int, int]:
    """Give unused room back to the disk; octets before and after. Mail waits meanwhile.

    Needs as much free room as the store takes. In memory, and where the size is not known, 0, 0.
    """
    before = _size(store)
    # By the driver's own words: SQLAlchemy would begin a transaction, within which this cannot be.
    lent = store.engine.raw_connection()
    try:
        driver = lent.driver_connection
        assert driver is not None
        if store.full_text:
            driver.execute(f"INSERT INTO {FULL_TEXT} ({FULL_TEXT}) VALUES ('optimize')")
        if store.url.get_backend_name() == "sqlite":
            driver.execute("VACUUM")
            driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()
        else:
            driver.autocommit = True
            driver.execute("VACUUM")
            driver.autocommit = False
    finally:
        lent.close()
    return before, _size(store)


def _size(store: Store) -> int:
    if store.url.get_backend_name() != "sqlite":
        with store.reading() as connection:
            size: int = connection.execute(
                text("SELECT pg_database_size(current_database())")
            ).scalar_one()
        return size
    if schema.is_memory(store.url):
        return 0
    file = Path(str(store.url.database))
    parts = (file, file.with_name(f"{file.name}-wal"))
    return sum(part.stat().st_size for part in parts if part.is_file())
