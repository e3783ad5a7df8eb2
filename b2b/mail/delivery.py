"""Delivery: leased rows over real SMTP, each settled before the next."""

import contextlib
import functools
import logging
import re
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from sqlalchemy import Connection as Database
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from b2b.mail import breaker, compose, outbox, source
from b2b.mail.breaker import Trouble
from b2b.mail.connection import END, Connection, Parcel, Reply, Silence, Unreachable
from b2b.mail.outbox import Leased
from b2b.mail.pictures import Album

log = logging.getLogger(__name__)
S = TypeVar("S")
T = TypeVar("T")

SILENCES = 3
"""So many mails in a row that end without an answer, and the server is left alone for a while."""

# One mailbox as it stands between the angle brackets of RCPT; quoted local parts included.
_MAILBOX = re.compile(
    r'(?:"(?:[^"\\\x00-\x1f\x7f]|\\[ -~])+"|[^\s"(),:;<>@\[\\\]]+)@[^\s<>@]+', re.ASCII
)
_ABOUT_US = {530, 534, 535, 538}
"""Replies that ask for a login or refuse it, whichever the command (RFC 4954, 6)."""


class Unfit(Exception):
    """A mail that can never be sent; the text says why and holds nothing of the mail."""


@dataclass
class Outcome:
    """What one round came to."""

    leased: int = 0
    sent: int = 0
    deferred: int = 0
    failed: int = 0
    lost: int = 0
    """Sent by us although the lease was lost meanwhile: perhaps sent twice."""
    unreachable: str | None = None


class Deliverer:
    """Sends what is due, one mail after the other over one kept connection.

    At any moment there is at most one mail whose content is out and whose row is not settled:
    however this process ends, it repeats no more than that one (threats.md, REL-2). What is done
    meanwhile can be undone: the next letters are rendered, the next envelope is announced, and its
    content goes out but for the end.

    *transaction* opens a short write transaction and commits it, *writing* likewise but without a
    session; *clock* says what time it is; *stopping* is asked between two mails.
    """

    def __init__(
        self,
        transaction: Callable[[], contextlib.AbstractContextManager[Session]],
        writing: Callable[[], contextlib.AbstractContextManager[Database]],
        *,
        owner: str,
        clock: Callable[[], datetime],
        stopping: Callable[[], bool],
        batch: int = 20,
        lasting: timedelta = outbox.LEASE,
    ) -> None:
        self._transaction = transaction
        self._writing = writing
        self._pictures = Album(transaction)
        self._owner = owner
        self._clock = clock
        self._stopping = stopping
        self._batch = batch
        self._lasting = lasting
        self._connection: Connection | None = None
        self._until = 0.0
        self._after = UUID(int=0)
        self._alone = 0
        """So many leases to come take one mail only."""
        self._silences = 0

    def run(self) -> Outcome:
        """Lease one batch and settle every row of it; after trouble, one mail alone comes first."""
        outcome = Outcome()
        with self._transaction() as session:
            trying = breaker.take_the_try(session, now=self._clock())
            if trying is False:
                outcome.unreachable = "left alone for a while"
                return outcome
            mails = self._lease(session, 1 if trying else self._batch)
        self._round(mails, outcome, connecting=bool(trying))
        if trying and outcome.unreachable is None:
            with self._transaction() as session:
                breaker.close(session)
                mails = self._lease(session, self._batch)
            log.info("the mail server answers again")
            self._round(mails, outcome)
        if not outcome.leased:
            self.close()
        return outcome

    def close(self) -> None:
        """Close the kept connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _lease(self, session: Session, limit: int) -> list[Leased]:
        mails = outbox.lease(
            session,
            self._owner,
            now=self._clock(),
            limit=1 if self._alone else limit,
            lasting=self._lasting,
            after=self._after,
        )
        if mails:
            self._after = mails[-1].tenant_id
        # Half the lease is left for the last mail: a slow server must not make us send what
        # another worker has taken over meanwhile (threats.md, REL-3).
        self._until = time.monotonic() + self._lasting.total_seconds() / 2
        # What a worker held when it died is tried one by one: the innocent go out, and the one
        # that kills again does so alone (threats.md, REL-6).
        suspects = [mail for mail in mails if mail.crashes]
        self._alone = max(0, self._alone - 1)
        if not suspects or len(mails) == 1:
            return mails
        self._alone = len(suspects)
        for mail in suspects:
            outbox.put_first(session.connection(), mail)
        return [mail for mail in mails if not mail.crashes] or self._lease(session, 1)

    def _round(self, mails: list[Leased], outcome: Outcome, *, connecting: bool = False) -> None:
        """Send *mails*; *connecting* asks for a connection even if there are none."""
        outcome.leased += len(mails)
        batch = _Batch(mails, self._parcel)
        batch.prepare(2)
        try:
            if connecting:
                self._reached()
            while batch.ready and not self._stopping() and time.monotonic() < self._until:
                self._one(batch, outcome)
                batch.prepare(2)
        except Unreachable as error:
            self._trip(error.trouble, outcome)
        if self._connection is not None:
            self._connection.take_back()
        self._park(batch, outcome)
        self._release(batch.left)

    def _one(self, batch: "_Batch", outcome: Outcome) -> None:
        """Send the first that is ready, and settle it before the next one's content goes out."""
        parcel, following = batch.ready[0], batch.following
        answer: Reply | Silence
        try:
            answer = self._send(parcel, following, lambda: batch.prepare(3))
        except Silence as error:
            answer = error
        batch.ready.popleft()
        if not self._settle(parcel.mail, answer, following, outcome):
            self._skip(batch)
        self._park(batch, outcome)
        if isinstance(answer, Reply):
            self._silences = 0
            return
        self._silences += 1
        if self._silences >= SILENCES:
            raise Unreachable(str(answer), refused=False)

    def _skip(self, batch: "_Batch") -> None:
        """Go on to the next mail that nobody has cancelled or taken over; what was announced is
        taken back.
        """
        if self._connection is not None:
            self._connection.take_back()
        ours = False
        while batch.ready and not ours:
            batch.ready.popleft()
            batch.prepare(1)
            if batch.ready:
                mail = batch.ready[0].mail
                ours = self._write(functools.partial(outbox.is_ours, mail=mail))

    def _send(
        self, parcel: Parcel, following: Parcel | None, meanwhile: Callable[[], None]
    ) -> Reply:
        """Hand one mail to the server. Raises Silence, or Unreachable when it is not to blame."""
        while True:
            connection = self._reached()
            is_fresh = not connection.answered
            try:
                refused = connection.announce(parcel)
            except Silence:
                # A connection that has carried mail may be closed at any time.
                if is_fresh:
                    raise
                continue
            if refused is None:
                break
            if refused.code in _ABOUT_US:
                raise Unreachable(refused.words, refused=True)
            if refused.code != 421 or is_fresh:
                return refused
        connection.hand_over(parcel, following)
        meanwhile()
        answer = connection.answer()
        connection.begin()
        return answer

    def _reached(self) -> Connection:
        """A connection on which a mail may begin. Raises Unreachable."""
        if self._connection is None or self._connection.host is None:
            self._connection = None
            self._connection = Connection()
        return self._connection

    def _parcel(self, mail: Leased) -> Parcel:
        """Render *mail*. Raises Unfit; DBAPIError when the database is away for the moment."""
        if mail.crashes >= outbox.MAX_CRASHES:
            raise Unfit("No attempt ever came to an end.")
        try:
            letter = compose.message(
                mail.template,
                mail.context,
                tenant_id=mail.tenant_id,
                recipient=mail.recipient,
                message_id=mail.message_id,
                language=mail.language,
                pictures=self._pictures,
            )
            if not _MAILBOX.fullmatch(mail.recipient):
                raise source.UnfitHeader("not one address")
            content = source.of(letter, recipient=mail.recipient, date=self._clock())
        except DBAPIError:
            raise
        except Exception as error:  # a row that cannot be rendered must not stop the others (REL-6)
            log.exception("mail cannot be rendered", extra={"outbox_id": str(mail.id)})
            raise Unfit(f"Cannot be rendered: {type(error).__name__}") from error
        return Parcel(mail, mail.recipient, content.replace(b"\r\n.", b"\r\n..") + END)

    def _settle(
        self, mail: Leased, answer: Reply | Silence, following: Parcel | None, outcome: Outcome
    ) -> bool:
        """Write down what became of *mail*, in a transaction of its own and before QUIT: a crash
        from here on repeats nothing (threats.md, REL-2).

        Returns whether *following* may still be sent.
        """
        reason = answer.words if isinstance(answer, Reply) else str(answer)
        good = isinstance(answer, Reply) and answer.is_good
        final = isinstance(answer, Reply) and answer.is_final

        def write(database: Database) -> tuple[bool, bool]:
            now = self._clock()
            if good:
                kept = outbox.sent(database, mail, now=now)
            else:
                how = outbox.failed if final else outbox.later
                kept = how(database, mail, reason, now=now)
            return kept, following is None or outbox.is_ours(database, following.mail)

        kept, ours = self._write(write)
        if good:
            outcome.sent += 1
            if not kept:
                outcome.lost += 1
                log.warning("lease was lost while sending", extra={"outbox_id": str(mail.id)})
            return ours
        outcome.failed += final
        outcome.deferred += not final
        log.info(
            "mail not sent",
            extra={
                "outbox_id": str(mail.id),
                "how": "failed" if final else "later",
                "reason": reason,
            },
        )
        return ours

    def _park(self, batch: "_Batch", outcome: Outcome) -> None:
        """Fail what cannot be sent at all; never while a mail's fate is open."""
        while batch.unfit:
            mail, reason = batch.unfit.pop()
            self._settle(mail, Reply(500, reason), None, outcome)

    def _trip(self, trouble: Trouble, outcome: Outcome) -> None:
        now = self._clock()
        again_at = self._patiently(
            self._transaction, functools.partial(breaker.trip, trouble=trouble, now=now)
        )
        outcome.unreachable = trouble.reason
        log.warning(
            "the mail server is left alone for a while",
            extra={"reason": trouble.reason, "again_at": again_at.isoformat()},
        )

    def _release(self, mails: list[Leased]) -> None:
        def write(database: Database) -> None:
            for mail in mails:
                outbox.release(database, mail, now=self._clock())

        if mails:
            self._write(write)

    def _write(self, what: Callable[[Database], T]) -> T:
        return self._patiently(self._writing, what)

    def _patiently(
        self,
        transaction: Callable[[], contextlib.AbstractContextManager[S]],
        what: Callable[[S], T],
    ) -> T:
        """Run *what* in a *transaction*, waiting for a database that is locked or away as long as
        the lease lasts: giving up would send the mail again afterwards.
        """
        ends = self._until + self._lasting.total_seconds() / 2
        while True:
            try:
                with transaction() as under_way:
                    return what(under_way)
            except DBAPIError:
                if time.monotonic() > ends:
                    raise
                time.sleep(0.2)


class _Batch:
    """Leased mails on their way from row to parcel."""

    def __init__(self, mails: list[Leased], parcel: Callable[[Leased], Parcel]) -> None:
        self._waiting = deque(mails)
        self._parcel = parcel
        self.ready: deque[Parcel] = deque()
        self.unfit: list[tuple[Leased, str]] = []

    def prepare(self, count: int) -> None:
        """Have *count* ready, if there are as many; fewer while the database is away."""
        while self._waiting and len(self.ready) < count:
            try:
                self.ready.append(self._parcel(self._waiting[0]))
            except Unfit as error:
                self.unfit.append((self._waiting[0], str(error)))
            except DBAPIError:
                return
            self._waiting.popleft()

    @property
    def following(self) -> Parcel | None:
        """The one after the first."""
        return self.ready[1] if len(self.ready) > 1 else None

    @property
    def left(self) -> list[Leased]:
        """What nobody has begun to send."""
        return [parcel.mail for parcel in self.ready] + list(self._waiting)
