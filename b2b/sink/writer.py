"""The one thread that writes: it commits whatever has queued up, and does the rest when idle.

One commit costs about a flush to disk however many mails it holds, so mails that arrive during a
flush share the next one. Indexing, retention and refused mail have the same thread: two writers
would only wait for each other's lock.
"""

import asyncio
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from sqlalchemy.exc import OperationalError

from b2b.sink import faults, refusals, schema
from b2b.sink.faults import Rule
from b2b.sink.refusals import Refusal
from b2b.sink.retention import Limits, retain
from b2b.sink.rows import Arrival
from b2b.sink.store import Store

log = logging.getLogger(__name__)

MAX_BATCH = 200
MAX_BATCH_BYTES = 16 * 1024 * 1024
INDEX_SLICE = 4
"""Mails indexed in one go, some 5 ms: as long as a mail that comes meanwhile has to wait."""

QUIET = 0.02
"""Seconds without a mail after which indexing begins; it would only slow down a burst."""

INDEX_EVERY = 1.0
"""Under a steady flood a slice is indexed at least this often, in seconds."""

ASK_EVERY = 0.1
"""Seconds between looks at whether the rules for faults have changed."""

TIDY_EVERY = 1.0
"""Seconds between looks at whether the store has outgrown its limits."""

TIDY_FOR = 0.2
"""Seconds that one tidying may take while more is to be done."""

MAX_REFUSALS = 64
"""Refusals that wait to be written; in a flood of them the others are counted only."""


class NotKept(Exception):
    """The store could not keep a mail, for want of room if ``full``; the sender may retry."""

    def __init__(self, *, full: bool) -> None:
        super().__init__("The store is full." if full else "The store does not answer.")
        self.full = full


Settled = Callable[[str | NotKept], None]
_Item = tuple[Arrival, Settled]


class Writer:
    """Takes mails from an event loop and answers each with its public id once it is on disk.

    Args:
        limits: what is kept.
        obey: called, from the writing thread, with the rules for faults when they have changed.
    """

    def __init__(
        self,
        store: Store,
        *,
        limits: Limits | None = None,
        obey: Callable[[Sequence[Rule]], None] | None = None,
    ) -> None:
        self._store = store
        self._limits = limits or Limits()
        self._obey = obey
        self._loop: asyncio.AbstractEventLoop | None = None
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._refused: deque[Refusal] = deque()
        self._refused_more = 0
        self._thread = threading.Thread(target=self._work, name="mail-store-writer")
        self._closing = False
        # At the start there may be mails that a crash left unindexed.
        self._unindexed = True
        self._indexed_at = self._asked_at = self._tidied_at = 0.0
        self._faults_version = -1

    def start(self) -> None:
        """Begin to write, for the event loop that this is called in."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def close(self) -> None:
        """Commit what is queued, then end. Blocks; what is not indexed waits for the next start."""
        self._queue.put(None)
        self._thread.join()

    def submit(self, arrival: Arrival, settled: Settled) -> None:
        """Queue a mail; ``settled`` is called in the event loop with its public id, or NotKept."""
        self._queue.put((arrival, settled))

    def refuse(self, refusal: Refusal) -> None:
        """Keep what was refused when there is time; nobody waits for it."""
        if len(self._refused) < MAX_REFUSALS:
            self._refused.append(refusal)
        else:
            self._refused_more += 1

    def _work(self) -> None:
        while True:
            batch = self._next_batch()
            if batch:
                self._write(batch)
            if self._refused:
                self._attempt(self._write_refusals)
            if self._closing:
                return
            now = time.monotonic()
            if self._obey is not None and now - self._asked_at >= ASK_EVERY:
                self._asked_at = now
                self._attempt(self._ask_for_rules)
            if now - self._tidied_at >= TIDY_EVERY:
                self._tidied_at = now
                self._attempt(self._tidy)
            if self._unindexed and (now - self._indexed_at >= INDEX_EVERY or not batch):
                self._indexed_at = now
                self._attempt(self._index)

    def _next_batch(self) -> list[_Item]:
        """Whatever waits, up to a batch; waits itself until something else is due."""
        batch: list[_Item] = []
        size = 0
        while len(batch) < MAX_BATCH and size < MAX_BATCH_BYTES:
            try:
                item = self._queue.get(not batch, QUIET if self._unindexed else ASK_EVERY)
            except queue.Empty:
                break
            if item is None:
                self._closing = True
                break
            batch.append(item)
            size += len(item[0].source)
        return batch

    def _write(self, batch: list[_Item]) -> None:
        outcomes: Sequence[str | NotKept]
        try:
            outcomes = self._store.add([arrival for arrival, _ in batch])
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
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(_settle, batch, outcomes)
        except RuntimeError:  # the loop has ended; nobody waits any more
            log.warning("mails kept after the end of their connections")

    def _write_refusals(self) -> None:
        refused = [self._refused.popleft() for _ in range(len(self._refused))]
        more, self._refused_more = self._refused_more, 0
        refusals.keep(self._store, refused, more=more)

    def _ask_for_rules(self) -> None:
        version = faults.version(self._store)
        if version == self._faults_version or self._obey is None:
            return
        self._obey(faults.rules(self._store))
        self._faults_version = version
        faults.obeyed(self._store, version)

    def _tidy(self) -> None:
        until = time.monotonic() + TIDY_FOR
        while retain(self._store, self._limits) and time.monotonic() < until:
            if not self._queue.empty():
                self._write(self._next_batch())

    def _index(self) -> None:
        self._unindexed = False
        self._unindexed = self._store.index(INDEX_SLICE) > 0

    def _attempt(self, duty: Callable[[], None]) -> None:
        """What can wait. A full disk or a locked store: mails go first, so it is tried again."""
        try:
            duty()
        except Exception:
            log.exception("the store could not be looked after", extra={"duty": duty.__name__})


def _settle(batch: list[_Item], outcomes: Sequence[str | NotKept]) -> None:
    for (_, settled), outcome in zip(batch, outcomes, strict=True):
        settled(outcome)
