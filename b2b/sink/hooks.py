"""Webhooks: who is told of new mail, and what has been told. Nothing is sent from here.

A delivery is a row that is made in the transaction that moves the hook on, so every mail is told
once for each hook, and again until the other side says that it has it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, insert, select, update

from b2b import clock
from b2b.sink import rows, search
from b2b.sink.rows import Summary
from b2b.sink.store import Store
from b2b.sink.tables import webhook_deliveries, webhooks

MOST = 50
EVENTS = ("message",)
WAITS = (1, 4, 15, 60, 300, 900, 3600)
"""Seconds before each further try; after the last the delivery has failed."""
LEASE = timedelta(seconds=30)
_AT_ONCE = 100
_KEPT = timedelta(days=7)


class BadURL(ValueError):
    """An address that may not be called; the text says why."""


class BadHook(ValueError):
    """Too many hooks, or one that cannot be; the text says which."""


@dataclass(frozen=True, slots=True)
class Hook:
    """``secret`` is sealed by whoever made it. ``query`` may be empty, for every mail."""

    id: str
    url: str
    secret: str
    events: tuple[str, ...]
    query: str
    state: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """One thing to tell. ``state`` is waiting, sent or failed."""

    id: int
    webhook_id: str
    event: str
    message_id: str | None
    body: str
    state: str
    attempts: int
    due_at: datetime
    last_status: int | None
    last_error: str
    created_at: datetime


def make(store: Store, url: str, query: str, seal: Callable[[str], str]) -> Hook:
    """A hook for mail that comes from now on; *seal* is given its id and makes what is kept.

    Raises:
        BadHook: there are MOST already.
        BadQuery: the query cannot be read.
    """
    search.parse(query)
    hook_id = rows.new_id()
    made = Hook(hook_id, url, seal(hook_id), EVENTS, query.strip(), "active", clock.now())
    since = store.counters().last_key
    with store.writing() as connection:
        if len(connection.scalars(select(webhooks.c.id)).all()) >= MOST:
            raise BadHook(f"There are {MOST} webhooks already; delete some.")
        connection.execute(
            insert(webhooks).values(
                id=made.id,
                url=made.url,
                secret=made.secret,
                events=list(made.events),
                query=made.query,
                state=made.state,
                since_key=since,
                since_change=0,
                created_at=made.created_at,
            )
        )
    return made


def every(store: Store) -> list[Hook]:
    """All hooks, newest first."""
    statement = select(*_OF_HOOK).order_by(webhooks.c.created_at.desc(), webhooks.c.id)
    with store.reading() as connection:
        return [_hook(*row) for row in connection.execute(statement)]


def find(store: Store, hook_id: str) -> Hook | None:
    """The hook of that id, or None."""
    with store.reading() as connection:
        row = connection.execute(select(*_OF_HOOK).where(webhooks.c.id == hook_id)).first()
    return None if row is None else _hook(*row)


_OF_HOOK = tuple(webhooks.c[name] for name in Hook.__slots__)


def _hook(
    hook_id: str,
    url: str,
    secret: str,
    events: Sequence[str],
    query: str,
    state: str,
    created_at: datetime,
) -> Hook:
    return Hook(hook_id, url, secret, tuple(events), query, state, created_at)


def keep_secret(store: Store, hook_id: str, secret: str) -> None:
    """Put a secret that is sealed anew in the place of the one before."""
    with store.writing() as connection:
        connection.execute(update(webhooks).where(webhooks.c.id == hook_id).values(secret=secret))


def remove(store: Store, hook_id: str) -> bool:
    """Forget a hook and its deliveries; False if there is none of that id."""
    with store.writing() as connection:
        connection.execute(
            delete(webhook_deliveries).where(webhook_deliveries.c.webhook_id == hook_id)
        )
        return connection.execute(delete(webhooks).where(webhooks.c.id == hook_id)).rowcount > 0


def deliveries(store: Store, hook_id: str, limit: int = 50) -> list[Delivery]:
    """What was told to one hook, newest first."""
    statement = select(webhook_deliveries).where(webhook_deliveries.c.webhook_id == hook_id)
    with store.reading() as connection:
        found = connection.execute(statement.order_by(webhook_deliveries.c.id.desc()).limit(limit))
        return [Delivery(**row) for row in found.mappings()]


def plan(store: Store, body: Callable[[Summary], str]) -> int:
    """Make a delivery for each new mail of each active hook; how many. *body* writes what is sent.

    A mail is told once it is indexed, so that a query sees its words.
    """
    made = 0
    with store.reading() as connection:
        active = connection.execute(
            select(webhooks.c.id, webhooks.c.query, webhooks.c.since_key).where(
                webhooks.c.state == "active"
            )
        ).all()
    for hook_id, query, since in active:
        newest = store.list(after=since, limit=_AT_ONCE * 10).messages
        ready = []
        for row in reversed(newest):
            if not row.is_indexed:
                break
            ready.append(row)
        if not ready:
            continue
        last = ready[-1].key
        wanted = store.list(query, after=since, before=last + 1, limit=len(ready)).messages
        now = clock.now()
        with store.writing() as connection:
            moved = connection.execute(
                update(webhooks)
                .where(webhooks.c.id == hook_id, webhooks.c.since_key == since)
                .values(since_key=last)
            )
            if not moved.rowcount or not wanted:  # another process was first, or nothing to tell
                continue
            connection.execute(
                insert(webhook_deliveries),
                [
                    {
                        "webhook_id": hook_id,
                        "event": "message",
                        "message_id": row.id,
                        "body": body(row),
                        "state": "waiting",
                        "attempts": 0,
                        "due_at": now,
                        "last_status": None,
                        "last_error": "",
                        "created_at": now,
                    }
                    for row in reversed(wanted)
                ],
            )
        made += len(wanted)
    return made


def lease(store: Store, limit: int = 10) -> list[Delivery]:
    """Deliveries that are due, oldest first; nobody else gets them within LEASE."""
    now = clock.now()
    table = webhook_deliveries
    statement = (
        select(table)
        .where(table.c.state == "waiting", table.c.due_at <= now)
        .order_by(table.c.due_at, table.c.id)
        .limit(limit)
    )
    with store.reading() as connection:
        if connection.execute(statement.limit(1)).first() is None:
            return []
    with store.writing() as connection:
        found = [Delivery(**row) for row in connection.execute(statement).mappings()]
        connection.execute(
            update(table)
            .where(table.c.id.in_([one.id for one in found]))
            .values(due_at=now + LEASE, attempts=table.c.attempts + 1)
        )
    return found


def settle(store: Store, told: Delivery, status: int | None, error: str) -> None:
    """Write down how a try ended: sent for a 2xx, else again later, else failed."""
    tries = told.attempts + 1
    now = clock.now()
    values: dict[str, object] = {"last_status": status, "last_error": error[:500]}
    if status is not None and 200 <= status < 300:
        values |= {"state": "sent", "due_at": now}
    elif tries > len(WAITS):
        values |= {"state": "failed", "due_at": now}
    else:
        values |= {"due_at": now + timedelta(seconds=WAITS[tries - 1])}
    old = webhook_deliveries.c.created_at < now - _KEPT
    with store.writing() as connection:
        connection.execute(
            update(webhook_deliveries).where(webhook_deliveries.c.id == told.id).values(values)
        )
        connection.execute(
            delete(webhook_deliveries).where(old, webhook_deliveries.c.state != "waiting")
        )
