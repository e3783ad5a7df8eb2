"""Where caught mail is kept: an own database, so that a flood of mail holds up nothing else.

``add`` returns only when the mails are on disk. What a list row shows (subject, people) is read
from the header block before that, which costs some 60 µs; the text for search and the snippet
follow in ``index``, which costs a millisecond and can wait. So a mail is listed, complete but for
its snippet, at its 250.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    RowMapping,
    bindparam,
    column,
    delete,
    func,
    insert,
    literal_column,
    not_,
    select,
    table,
    true,
    update,
)
from sqlalchemy.engine import make_url

from b2b.prepared import Prepared
from b2b.sink import rows, schema, search
from b2b.sink.rows import Arrival, Indexed, Summary
from b2b.sink.schema import StoreIsNewer
from b2b.sink.tables import FULL_TEXT, mailbox, messages, recipients, sources, texts

__all__ = ["Arrival", "Counters", "Page", "Store", "StoreIsNewer", "Summary"]

# Long deletions and marks are cut into transactions of this many mails, so that new mail gets in
# between.
_SLICE = 500
# FTS5 takes its commands as a value of the column that is named like the table.
_INDEX = table(FULL_TEXT, column(FULL_TEXT), column("rowid"), column("words"))

_BOOK = Prepared(
    update(mailbox)
    .values(
        last_key=mailbox.c.last_key + bindparam("more_keys", type_=BigInteger),
        latest_change=mailbox.c.latest_change + 1,
        total=mailbox.c.total + bindparam("more_total", type_=BigInteger),
        unread=mailbox.c.unread + bindparam("more_unread", type_=BigInteger),
    )
    .returning(mailbox.c.last_key)
)
_INSERT_MESSAGE = Prepared(insert(messages), messages.c.keys())
_INSERT_RECIPIENT = Prepared(insert(recipients), recipients.c.keys())
_INSERT_SOURCE = Prepared(insert(sources), sources.c.keys())


@dataclass(frozen=True, slots=True)
class Page:
    """Newest first. ``before`` is the cursor of the next, older page, or None at the end."""

    messages: tuple[Summary, ...]
    before: int | None


@dataclass(frozen=True, slots=True)
class Counters:
    """The whole mailbox; ``latest_change`` grows with every arrival, deletion, mark, indexing."""

    total: int
    unread: int
    latest_change: int


class Store:
    """The mails of one database; safe to share between threads, not across a fork.

    Args:
        url: ``sqlite:///<file>``, ``sqlite://`` (memory of this process) or
        ``postgresql+psycopg://…``.
    """

    def __init__(self, url: str) -> None:
        self.url = make_url(url)
        self.engine = schema.engine(url)
        self.full_text = False
        # A memory database has one connection, so its transactions take turns.
        self._turn = threading.RLock() if schema.is_memory(self.url) else None

    def migrate(self) -> None:
        """Create or upgrade the tables; instant when they are current.

        Raises:
            StoreIsNewer: a later version of this program wrote the store.
        """
        self.full_text = schema.migrate(self.engine)

    @classmethod
    def open(cls, url: str) -> "Store":
        """A migrated store, ready for use. Raises StoreIsNewer as ``migrate`` does."""
        store = cls(url)
        try:
            store.migrate()
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Give up all connections. The store must not be used afterwards."""
        self.engine.dispose()

    # --- arriving ---------------------------------------------------------------------------------

    def add(self, arrivals: Sequence[Arrival]) -> list[str]:
        """Keep ``arrivals`` in this order, all or none; their public ids, once durable."""
        mails = [rows.of_arrival(arrival) for arrival in arrivals]
        people = [rows.of_envelope(arrival.recipients) for arrival in arrivals]
        packed = [rows.packed(arrival) for arrival in arrivals]
        if not mails:
            return []
        with self._writing() as connection:
            count = len(mails)
            first = self._changed(connection, total=count, unread=count, keys=count) + 1
            keys = range(first, first + count)
            for key, mail in zip(keys, mails, strict=True):
                mail["key"] = key
            _INSERT_MESSAGE.write(connection, mails)
            envelopes = [
                {"message_key": key, **person}
                for key, persons in zip(keys, people, strict=True)
                for person in persons
            ]
            if envelopes:
                _INSERT_RECIPIENT.write(connection, envelopes)
            _INSERT_SOURCE.write(
                connection,
                [
                    {"message_key": key, "packed": one}
                    for key, one in zip(keys, packed, strict=True)
                ],
            )
        return [mail["id"] for mail in mails]

    def index(self, limit: int = 20) -> int:
        """Read the text of up to ``limit`` mails not indexed yet, oldest first; how many were read.

        Mails left over by a crash are taken up in the same way: the flag is a column of the row.
        """
        with self._reading() as connection:
            waiting = connection.execute(
                select(messages.c.key, sources.c.packed)
                .join(sources, sources.c.message_key == messages.c.key)
                .where(not_(messages.c.is_indexed))
                .order_by(messages.c.key)
                .limit(limit)
            ).all()
        if not waiting:
            return 0
        read = {key: rows.indexed(rows.unpacked(packed)) for key, packed in waiting}
        with self._writing() as connection:
            still = connection.scalars(
                select(messages.c.key).where(messages.c.key.in_(read), not_(messages.c.is_indexed))
            ).all()
            if still:
                self._changed(connection)
                self._keep_texts(connection, {key: read[key] for key in still})
        return len(waiting)

    def _keep_texts(self, connection: Connection, read: dict[int, Indexed]) -> None:
        for key, indexed in read.items():
            connection.execute(
                update(messages)
                .where(messages.c.key == key)
                .values(snippet=indexed.snippet, attachments=indexed.attachments, is_indexed=True)
            )
        connection.execute(
            insert(texts),
            [{"message_key": key, "words": indexed.words} for key, indexed in read.items()],
        )
        if self.full_text:
            connection.execute(
                insert(_INDEX),
                [{"rowid": key, "words": indexed.words} for key, indexed in read.items()],
            )

    # --- reading ----------------------------------------------------------------------------------

    def counters(self) -> Counters:
        """Total, unread and the change number: one row, cheap enough for a poll a second."""
        with self._reading() as connection:
            row = connection.execute(
                select(mailbox.c.total, mailbox.c.unread, mailbox.c.latest_change)
            ).one()
        return Counters(row.total, row.unread, row.latest_change)

    def list(
        self,
        query: str = "",
        *,
        recipient: str | None = None,
        before: int | None = None,
        after: int | None = None,
        offset: int = 0,
        limit: int = 50,
    ) -> Page:
        """Mails matching ``query`` (see ``search``), newest first.

        Args:
            recipient: only mails whose envelope names exactly this address (letter case aside).
            before: only mails older than this key: the ``before`` of the page in front.
            after: only mails newer than this key.
            offset: mails to skip, for clients that count pages; ``before`` is cheaper.
            limit: mails on the page.

        Raises:
            BadQuery: the query cannot be read.
        """
        key = messages.c.key
        statement = select(messages).where(self._condition(query))
        if recipient is not None:
            # Ordered by the recipients' own index, which holds the address and then the key.
            key = recipients.c.message_key
            statement = statement.join(recipients, key == messages.c.key).where(
                recipients.c.address == recipient.strip().lower()
            )
        if before is not None:
            statement = statement.where(key < before)
        if after is not None:
            statement = statement.where(key > after)
        statement = statement.order_by(key.desc()).offset(offset).limit(limit + 1)
        with self._reading() as connection:
            mails = connection.execute(statement).mappings().all()
            found = self._summaries(connection, mails[:limit])
        return Page(found, found[-1].key if found and len(mails) > limit else None)

    def count(self, query: str = "") -> tuple[int, int]:
        """How many mails match, and how many of them are unread. Raises BadQuery."""
        if not query.strip():
            counters = self.counters()
            return counters.total, counters.unread
        statement = select(func.count(), func.count().filter(not_(messages.c.is_read))).where(
            self._condition(query)
        )
        with self._reading() as connection:
            total, unread = connection.execute(statement).one()
        return total, unread

    def get(self, message_id: str) -> Summary | None:
        """The row of one mail by its public id, or None."""
        with self._reading() as connection:
            mails = connection.execute(select(messages).where(messages.c.id == message_id))
            found = self._summaries(connection, mails.mappings().all())
        return found[0] if found else None

    def source(self, message_id: str) -> bytes | None:
        """The bytes of one mail exactly as they came, or None."""
        statement = select(sources.c.packed).join(messages, messages.c.key == sources.c.message_key)
        with self._reading() as connection:
            packed = connection.scalar(statement.where(messages.c.id == message_id))
        return None if packed is None else rows.unpacked(packed)

    def neighbours(self, message_id: str, query: str = "") -> tuple[str | None, str | None]:
        """The ids of the next newer and next older mail matching ``query``. Raises BadQuery."""
        at = select(messages.c.key).where(messages.c.id == message_id).scalar_subquery()
        matching = select(messages.c.id).where(self._condition(query)).limit(1)
        with self._reading() as connection:
            newer = connection.scalar(matching.where(messages.c.key > at).order_by(messages.c.key))
            older = connection.scalar(
                matching.where(messages.c.key < at).order_by(messages.c.key.desc())
            )
        return newer, older

    # --- changing ---------------------------------------------------------------------------------

    def mark(
        self, *, read: bool, ids: Sequence[str] | None = None, query: str | None = None
    ) -> int:
        """Mark as read or unread the mails with these ``ids``, or matching ``query``, or all.

        Returns how many changed. Raises BadQuery.
        """

        def mark(connection: Connection, keys: Sequence[int]) -> int:
            changed = connection.execute(
                update(messages).where(messages.c.key.in_(keys)).values(is_read=read)
            ).rowcount
            self._changed(connection, unread=-changed if read else changed)
            return changed

        return self._in_slices(mark, ids, query, messages.c.is_read != read)

    def delete(self, *, ids: Sequence[str] | None = None, query: str | None = None) -> int:
        """Delete the mails with these ``ids``, or matching ``query``, or all; how many went.

        Raises BadQuery.
        """
        if ids is None and query is None:
            return self._delete_all()
        return self._in_slices(self._delete, ids, query, true())

    def _delete(self, connection: Connection, gone: Sequence[int]) -> int:
        unread = connection.scalar(
            select(func.count()).where(messages.c.key.in_(gone), not_(messages.c.is_read))
        )
        if self.full_text:  # an index without content must be told what it forgets
            old = select(literal_column("'delete'"), texts.c.message_key, texts.c.words)
            connection.execute(
                insert(_INDEX).from_select(
                    [FULL_TEXT, "rowid", "words"], old.where(texts.c.message_key.in_(gone))
                )
            )
        for part in (texts, sources, recipients):
            connection.execute(delete(part).where(part.c.message_key.in_(gone)))
        connection.execute(delete(messages).where(messages.c.key.in_(gone)))
        self._changed(connection, total=-len(gone), unread=-(unread or 0))
        return len(gone)

    def _delete_all(self) -> int:
        with self._writing() as connection:
            self._changed(connection)
            row = connection.execute(select(mailbox.c.total, mailbox.c.unread)).one()
            if self.full_text:
                connection.execute(insert(_INDEX).values({FULL_TEXT: "delete-all"}))
            for part in (texts, sources, recipients, messages):
                connection.execute(delete(part))
            self._changed(connection, total=-row.total, unread=-row.unread)
        return int(row.total)

    # --- inside -----------------------------------------------------------------------------------

    def _condition(self, query: str) -> ColumnElement[bool]:
        return search.condition(search.parse(query), full_text=self.full_text)

    def _in_slices(
        self,
        change: Callable[[Connection, Sequence[int]], int],
        ids: Sequence[str] | None,
        query: str | None,
        where: ColumnElement[bool],
    ) -> int:
        """Apply ``change`` to the mails meant, a slice a transaction; later mail is spared."""
        if ids is not None and query is not None:
            raise ValueError("Give ids or a query, not both.")
        matching = select(messages.c.key).where(where)
        chosen: list[ColumnElement[bool]] = [true()]
        if ids is not None:
            chosen = [messages.c.id.in_(ids[at : at + _SLICE]) for at in range(0, len(ids), _SLICE)]
        elif query is not None:
            chosen = [self._condition(query)]
        with self._reading() as connection:
            newest = connection.scalar(select(mailbox.c.last_key)) or 0
        done = 0
        for condition in chosen:
            since = 0
            while True:
                with self._writing() as connection:
                    keys = connection.scalars(
                        matching.where(condition, messages.c.key > since, messages.c.key <= newest)
                        .order_by(messages.c.key)
                        .limit(_SLICE)
                    ).all()
                    if keys:
                        done += change(connection, keys)
                if len(keys) < _SLICE:
                    break
                since = keys[-1]
        return done

    def _changed(
        self, connection: Connection, *, total: int = 0, unread: int = 0, keys: int = 0
    ) -> int:
        """Book a change, first in its transaction; returns the last key given out before."""
        booked = _BOOK.all(connection, more_keys=keys, more_total=total, more_unread=unread)
        return int(booked[0].last_key) - keys

    def _summaries(
        self, connection: Connection, mails: Sequence[RowMapping]
    ) -> tuple[Summary, ...]:
        people: dict[int, list[str]] = {mail["key"]: [] for mail in mails}
        if people:
            for key, address in connection.execute(
                select(recipients.c.message_key, recipients.c.address)
                .where(recipients.c.message_key.in_(people))
                .order_by(recipients.c.message_key, recipients.c.position)
            ):
                people[key].append(address)
        return tuple(rows.summary(dict(mail), tuple(people[mail["key"]])) for mail in mails)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._in_turn(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with self._in_turn(), schema.writing(self.engine) as connection:
            if connection.dialect.name == "postgresql":
                # Writers in a line from the start, so that none waits for a row while holding
                # another.
                connection.execute(select(mailbox.c.one).with_for_update())
            yield connection

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        if self._turn is None:
            yield
        else:
            with self._turn:
                yield
