"""The one thread that writes caught mail: it commits whatever has queued up, and indexes when idle.

One commit costs about a flush to disk however many mails it holds, so mails that arrive during a
flush share the next one. Indexing has the same thread: two writers would only wait for each other's
lock.
"""

import asyncio
import logging
import queue
import threading
import time

from sqlalchemy.exc import OperationalError

from b2b.sink import schema
from b2b.sink.store import Arrival, Store

log = logging.getLogger(__name__)

MAX_BATCH = 200
MAX_BATCH_BYTES = 16 * 1024 * 1024
INDEX_SLICE = 4
"""Mails indexed in one go, some 5 ms: as long as a mail that comes meanwhile has to wait."""

QUIET = 0.02
"""Seconds without a mail after which indexing begins; it would only slow down a burst."""

INDEX_EVERY = 1.0
"""Under a steady flood a slice is indexed at least this often, in seconds."""


class NotKept(Exception):
    """The store could not keep a mail, for want of room if ``full``; the sender may retry."""

    def __init__(self, *, full: bool) -> None:
        super().__init__("The store is full." if full else "The store does not answer.")
        self.full = full


class Writer:
    """Takes mails from an event loop and answers each with its public id once it is on disk."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._queue: queue.SimpleQueue[tuple[Arrival, asyncio.Future[str]] | None] = (
            queue.SimpleQueue()
        )
        self._thread = threading.Thread(target=self._work, name="mail-store-writer")
        self._closing = False
        # At the start there may be mails that a crash left unindexed.
        self._unindexed = True
        self._indexed_at = 0.0

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def close(self) -> None:
        """Commit what is queued, then end. Blocks; what is not indexed waits for the next start."""
        self._queue.put(None)
        self._thread.join()

    def submit(self, arrival: Arrival) -> asyncio.Future[str]:
        """Queue a mail, within an event loop; the future gives its public id or raises NotKept."""
        reply: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._queue.put((arrival, reply))
        return reply

    def _work(self) -> None:
        while True:
            batch = self._next_batch()
            if batch:
                self._write(batch)
            if self._closing:
                return
            due = time.monotonic() - self._indexed_at >= INDEX_EVERY
            if self._unindexed and (due or not batch):
                self._index()

    def _next_batch(self) -> list[tuple[Arrival, asyncio.Future[str]]]:
        """Whatever waits, up to a batch; waits itself only if there is nothing to index either."""
        batch: list[tuple[Arrival, asyncio.Future[str]]] = []
        size = 0
        while len(batch) < MAX_BATCH and size < MAX_BATCH_BYTES:
            try:
                item = self._queue.get(not batch, QUIET if self._unindexed else None)
            except queue.Empty:
                break
            if item is None:
                self._closing = True
                break
            batch.append(item)
            size += len(item[0].source)
        return batch

    def _write(self, batch: list[tuple[Arrival, asyncio.Future[str]]]) -> None:
        outcomes: list[str | NotKept]
        try:
            outcomes = list(self._store.add([arrival for arrival, _ in batch]))
        except Exception as error:
            if len(batch) > 1 and not isinstance(error, OperationalError):
                # The fault may lie in one of them; the others must not share it.
                for one in batch:
                    self._write([one])
                return
            full = schema.is_full(error)
            log.error("mail not kept", exc_info=error, extra={"mails": len(batch), "full": full})
            outcomes = [NotKept(full=full)] * len(batch)
        else:
            self._unindexed = True
        replies = [reply for _, reply in batch]
        try:
            replies[0].get_loop().call_soon_threadsafe(_settle, replies, outcomes)
        except RuntimeError:  # the loop has ended; nobody waits any more
            log.warning("mails kept after the end of their connections")

    def _index(self) -> None:
        self._indexed_at = time.monotonic()
        try:
            self._unindexed = self._store.index(INDEX_SLICE) > 0
        except Exception:
            # A full disk or a locked store: mails go first, so try again with the next one.
            log.exception("mails not indexed")
            self._unindexed = False


def _settle(replies: list[asyncio.Future[str]], outcomes: list[str | NotKept]) -> None:
    for reply, outcome in zip(replies, outcomes, strict=True):
        if reply.done():  # the client has gone; its mail is kept all the same
            continue
        if isinstance(outcome, NotKept):
            reply.set_exception(outcome)
        else:
            reply.set_result(outcome)
