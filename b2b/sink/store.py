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
from typing import Any

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
from b2b.sink import rows, schema, search, tagging, trash_can
from b2b.sink.rows import Arrival, Indexed, Summary
from b2b.sink.schema import StoreIsNewer
from b2b.sink.tables import (
    FULL_TEXT,
    mail_changes,
    mailbox,
    message_tags,
    messages,
    recipients,
    sources,
    tags,
    texts,
    trash,
)

__all__ = ["Arrival", "Change", "Counters", "Page", "Store", "StoreIsNewer", "Summary"]

# Long deletions and marks are cut into transactions of this many mails, so that new mail gets in
# between.
_SLICE = 500
_TOLD_SINGLY = 200
_CHANGES_KEPT = 1_000
_PARTS = (texts, sources, recipients, message_tags)
# FTS5 takes its commands as a value of the column that is named like the table.
_INDEX = table(FULL_TEXT, column(FULL_TEXT), column("rowid"), column("words"))

_BOOK = Prepared(
    update(mailbox)
    .values(
        last_key=mailbox.c.last_key + bindparam("more_keys", type_=BigInteger),
        latest_change=mailbox.c.latest_change + 1,
        total=mailbox.c.total + bindparam("more_total", type_=BigInteger),
        unread=mailbox.c.unread + bindparam("more_unread", type_=BigInteger),
        bytes=mailbox.c.bytes + bindparam("more_bytes", type_=BigInteger),
        bytes_ever=mailbox.c.bytes_ever + bindparam("new_bytes", type_=BigInteger),
        deleted_ever=mailbox.c.deleted_ever + bindparam("more_deleted", type_=BigInteger),
    )
    .returning(mailbox.c.last_key)
)
# What indexing fills has its default until then.
_INSERT_MESSAGE = Prepared(
    insert(messages),
    [
        name
        for name in messages.columns.keys()  # noqa: SIM118 – iterating gives columns, not names
        if name not in ("inline_parts", "thread", "sender_address")
    ],
)
_INSERT_RECIPIENT = Prepared(insert(recipients), recipients.c.keys())
_INSERT_SOURCE = Prepared(insert(sources), sources.c.keys())


@dataclass(frozen=True, slots=True)
class Page:
    """Newest first. ``before`` is the cursor of the next, older page, or None at the end."""

    messages: tuple[Summary, ...]
    before: int | None


@dataclass(frozen=True, slots=True)
class Counters:
    """The whole mailbox; ``latest_change`` grows with every arrival, deletion, mark, indexing.

    ``last_key`` is the newest mail ever kept. ``bytes`` are those of all sources that are here; the
    names with *ever* count from the store's beginning on.
    """

    total: int
    unread: int
    latest_change: int
    last_key: int
    bytes: int
    bytes_ever: int
    refused_ever: int
    deleted_ever: int


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to a mail: read, unread, tags, deleted or restored; or to many, or to all."""

    number: int
    kind: str
    message_id: str | None


_COUNTERS = select(*(mailbox.c[name] for name in Counters.__slots__))


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
        # On SQLite arrivals keep a connection: to take one from the pool and give it back costs as
        # much as half the statements of a mail. PostgreSQL may be started again meanwhile, which
        # the pool notices.
        self._keeps = self.engine.dialect.name == "sqlite" and self._turn is None
        self._kept: Connection | None = None
        self._arriving = threading.Lock()

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
        with self._arriving:
            if self._kept is not None:
                self._kept.close()
                self._kept = None
        self.engine.dispose()

    # --- arriving ---------------------------------------------------------------------------------

    def add(self, arrivals: Sequence[Arrival]) -> list[str]:
        """Keep ``arrivals`` in this order, all or none; their public ids, once durable."""
        mails = [rows.of_arrival(arrival) for arrival in arrivals]
        people = [rows.of_envelope(arrival.recipients) for arrival in arrivals]
        packed = [
            rows.packed(arrival.source) if arrival.packed is None else arrival.packed
            for arrival in arrivals
        ]
        if not mails:
            return []
        with self._adding() as connection:
            count = len(mails)
            octets = sum(mail["size"] for mail in mails)
            booked = self._changed(
                connection, total=count, unread=count, keys=count, octets=octets, new=octets
            )
            first = booked + 1
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
                    {"message_key": key, "packed": one, "conversation": arrival.conversation}
                    for key, one, arrival in zip(keys, packed, arrivals, strict=True)
                ],
            )
        return [mail["id"] for mail in mails]

    def index(self, limit: int = 20) -> int:
        """Read the text of up to ``limit`` mails not indexed yet, oldest first; how many were read.

        Mails left over by a crash are taken up in the same way: the flag is a column of the row.
        """
        with self.reading() as connection:
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
        with self.writing() as connection:
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
                update(messages).where(messages.c.key == key).values(indexed.columns)
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
        tagging.attach(connection, {key: indexed.tags for key, indexed in read.items()})

    # --- reading ----------------------------------------------------------------------------------

    def counters(self) -> Counters:
        """Total, unread and the change number: one row, cheap enough for a poll a second."""
        with self.reading() as connection:
            row = connection.execute(_COUNTERS).one()
        return Counters(*row)

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
        with self.reading() as connection:
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
        with self.reading() as connection:
            total, unread = connection.execute(statement).one()
        return total, unread

    def get(self, message_id: str) -> Summary | None:
        """The row of one mail by its public id, or None."""
        with self.reading() as connection:
            mails = connection.execute(select(messages).where(messages.c.id == message_id))
            found = self._summaries(connection, mails.mappings().all())
        return found[0] if found else None

    def source(self, message_id: str) -> bytes | None:
        """The bytes of one mail exactly as they came, or None."""
        statement = select(sources.c.packed).join(messages, messages.c.key == sources.c.message_key)
        with self.reading() as connection:
            packed = connection.scalar(statement.where(messages.c.id == message_id))
        return None if packed is None else rows.unpacked(packed)

    def conversation(self, message_id: str) -> str | None:
        """What client and sink said while this mail came, or None; passwords are left out.

        Each line begins with "C: " or "S: "; lines of one reply after its first do not.
        """
        statement = select(sources.c.conversation).join(
            messages, messages.c.key == sources.c.message_key
        )
        with self.reading() as connection:
            return connection.scalar(statement.where(messages.c.id == message_id))

    def neighbours(self, message_id: str, query: str = "") -> tuple[str | None, str | None]:
        """The ids of the next newer and next older mail matching ``query``. Raises BadQuery."""
        at = select(messages.c.key).where(messages.c.id == message_id).scalar_subquery()
        matching = select(messages.c.id).where(self._condition(query)).limit(1)
        with self.reading() as connection:
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
            tell(connection, "read" if read else "unread", keys)
            return changed

        return self._in_slices(mark, ids, query, messages.c.is_read != read)

    def delete(
        self, *, ids: Sequence[str] | None = None, query: str | None = None, keep: bool = False
    ) -> int:
        """Delete the mails with these ``ids``, or matching ``query``, or all; how many went.

        Args:
            keep: into the trash, whence ``restore`` takes them back until ``TRASH_KEPT`` is over.

        Raises BadQuery.
        """
        if ids is None and query is None and not keep:
            return self._delete_all()
        step = self._throw_away if keep else self._delete
        return self._in_slices(step, ids, query, true())

    def drop(self, connection: Connection, keys: Sequence[int]) -> int:
        """Delete mails within a transaction of ``writing``; how many went."""
        self._changed(connection)
        return self._delete(connection, keys)

    def _throw_away(self, connection: Connection, gone: Sequence[int]) -> int:
        trash_can.put(connection, gone)
        return self._delete(connection, gone)

    def _delete(self, connection: Connection, gone: Sequence[int]) -> int:
        unread, octets = connection.execute(
            select(
                func.count().filter(not_(messages.c.is_read)),
                func.coalesce(func.sum(messages.c.size), 0),
            ).where(messages.c.key.in_(gone))
        ).one()
        tell(connection, "deleted", gone)
        if self.full_text:  # an index without content must be told what it forgets
            old = select(literal_column("'delete'"), texts.c.message_key, texts.c.words)
            connection.execute(
                insert(_INDEX).from_select(
                    [FULL_TEXT, "rowid", "words"], old.where(texts.c.message_key.in_(gone))
                )
            )
        for part in _PARTS:
            connection.execute(delete(part).where(part.c.message_key.in_(gone)))
        connection.execute(delete(messages).where(messages.c.key.in_(gone)))
        tagging.forget_unused(connection)
        self._changed(
            connection, total=-len(gone), unread=-unread, octets=-int(octets), deleted=len(gone)
        )
        return len(gone)

    def _delete_all(self) -> int:
        with self.writing() as connection:
            self._changed(connection)
            row = connection.execute(
                select(mailbox.c.total, mailbox.c.unread, mailbox.c.bytes)
            ).one()
            if self.full_text:
                connection.execute(insert(_INDEX).values({FULL_TEXT: "delete-all"}))
            for part in (*_PARTS, messages, tags, trash):
                connection.execute(delete(part))
            connection.execute(insert(mail_changes), [{"kind": "all", "message_id": None}])
            self._changed(
                connection,
                total=-row.total,
                unread=-row.unread,
                octets=-row.bytes,
                deleted=row.total,
            )
        return int(row.total)

    def restore(self, ids: Sequence[str]) -> int:
        """Take mails back from the trash, under their old ids and in their old places; how many."""
        with self.writing() as connection:
            back = trash_can.take(connection, ids)
            if not back:
                return 0
            for mail, _, _, _ in back:
                _INSERT_MESSAGE.write(connection, [mail])
            for mail, people, _, _ in back:
                for person in people:
                    _INSERT_RECIPIENT.write(connection, [{"message_key": mail["key"], **person}])
            _INSERT_SOURCE.write(connection, [source for _, _, source, _ in back])
            tagging.attach(connection, {mail["key"]: names for mail, _, _, names in back})
            tell(connection, "restored", [mail["key"] for mail, _, _, _ in back])
            self._changed(
                connection,
                total=len(back),
                unread=sum(not mail["is_read"] for mail, _, _, _ in back),
                octets=sum(mail["size"] for mail, _, _, _ in back),
                deleted=-len(back),
            )
        self.index(len(back))
        return len(back)

    # --- what happened ----------------------------------------------------------------------------

    def last_change(self) -> int:
        """The number of the newest change; where a reader of ``changes`` begins."""
        with self.reading() as connection:
            return connection.scalar(select(func.max(mail_changes.c.number))) or 0

    def changes(self, after: int, *, limit: int = 200) -> Sequence[Change]:
        """What happened, after the change of that number, to mails that were there already.

        Oldest first. If older changes are forgotten already, the first is "many".
        """
        statement = (
            select(mail_changes)
            .where(mail_changes.c.number > after)
            .order_by(mail_changes.c.number)
        )
        with self.reading() as connection:
            found = connection.execute(statement.limit(limit)).all()
        if found and found[0].number > after + 1:
            return [Change(found[-1].number, "many", None)]
        return [Change(row.number, row.kind, row.message_id) for row in found]

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
        with self.reading() as connection:
            newest = connection.scalar(select(mailbox.c.last_key)) or 0
        done = 0
        for condition in chosen:
            since = 0
            while True:
                with self.writing() as connection:
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
        self,
        connection: Connection,
        *,
        total: int = 0,
        unread: int = 0,
        keys: int = 0,
        octets: int = 0,
        new: int = 0,
        deleted: int = 0,
    ) -> int:
        """Book a change, first in its transaction; returns the last key given out before.

        Args:
            octets: by how much all sources grow.
            new: how many of these have just arrived.
            deleted: mails that went.
        """
        booked = _BOOK.all(
            connection,
            more_keys=keys,
            more_total=total,
            more_unread=unread,
            more_bytes=octets,
            new_bytes=new,
            more_deleted=deleted,
        )
        return int(booked[0].last_key) - keys

    def _summaries(
        self, connection: Connection, mails: Sequence[RowMapping]
    ) -> tuple[Summary, ...]:
        people: dict[int, list[str]] = {mail["key"]: [] for mail in mails}
        names: dict[int, list[str]] = {}
        if people:
            for key, name in connection.execute(
                select(message_tags.c.message_key, tags.c.name)
                .join(tags, tags.c.id == message_tags.c.tag_id)
                .where(message_tags.c.message_key.in_(people))
                .order_by(tags.c.folded)
            ):
                names.setdefault(key, []).append(name)
            for key, address in connection.execute(
                select(recipients.c.message_key, recipients.c.address)
                .where(recipients.c.message_key.in_(people))
                .order_by(recipients.c.message_key, recipients.c.position)
            ):
                people[key].append(address)
        return tuple(
            rows.summary(dict(mail), tuple(people[mail["key"]]), tuple(names.get(mail["key"], ())))
            for mail in mails
        )

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection to ask with, for the modules around this store."""
        with self._in_turn(), self.engine.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that writes, durable once left; writers stand in a line from its start."""
        with self._in_turn(), schema.writing(self.engine) as connection:
            if connection.dialect.name == "postgresql":
                # Writers in a line from the start, so that none waits for a row while holding
                # another.
                connection.execute(select(mailbox.c.one).with_for_update())
            yield connection

    @contextmanager
    def _adding(self) -> Iterator[Connection]:
        """``writing`` for what arrives, the fastest way."""
        if not self._keeps:
            with self.writing() as connection:
                yield connection
            return
        with self._arriving:
            if self._kept is None:
                self._kept = self.engine.connect().execution_options(writes=True)
            with self._kept.begin():
                yield self._kept

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        if self._turn is None:
            yield
        else:
            with self._turn:
                yield


def tell(connection: Connection, kind: str, keys: Sequence[int]) -> None:
    """Note for other processes what happens to mails, before it does; then forget the oldest."""
    rows: list[dict[str, Any]] = [{"kind": "many", "message_id": None}]
    if len(keys) <= _TOLD_SINGLY:
        found = connection.scalars(select(messages.c.id).where(messages.c.key.in_(keys)))
        rows = [{"kind": kind, "message_id": message_id} for message_id in found]
    if rows:
        connection.execute(insert(mail_changes), rows)
        newest = select(func.max(mail_changes.c.number)).scalar_subquery()
        connection.execute(
            delete(mail_changes).where(mail_changes.c.number <= newest - _CHANGES_KEPT)
        )
