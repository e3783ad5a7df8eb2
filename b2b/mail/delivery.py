"""Delivery: leased rows over real SMTP through Flask-Mail, each settled before the next."""

import contextlib
import logging
import smtplib
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import flask_mail
from flask import current_app
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from b2b.mail import compose, outbox
from b2b.mail.outbox import Leased
from b2b.mail.pictures import Album

log = logging.getLogger(__name__)


class Unreachable(Exception):
    """The mail server cannot be talked to at all; no mail is to blame."""


class Connection(flask_mail.Connection):
    """Flask-Mail's connection with time-outs, a verified TLS context, and refusals handed back.

    Without time-outs a silent server holds the worker for ever; without a context STARTTLS checks
    no
    certificate; and the stock `send` drops what sendmail returns (threats.md, 2).
    """

    host: smtplib.SMTP | None

    def configure_host(self) -> smtplib.SMTP:
        """Connect, or raise Unreachable."""
        config = current_app.config
        mail = self.mail
        tls = ssl.create_default_context()
        timeout = config["MAIL_CONNECT_TIMEOUT"]
        try:
            host: smtplib.SMTP
            if mail.use_ssl:
                host = smtplib.SMTP_SSL(mail.server, mail.port or 0, timeout=timeout, context=tls)
            else:
                host = smtplib.SMTP(mail.server, mail.port or 0, timeout=timeout)
            assert host.sock is not None
            host.sock.settimeout(config["MAIL_COMMAND_TIMEOUT"])
        except (OSError, smtplib.SMTPException) as error:
            raise Unreachable(_words(error)) from error
        try:
            # Here and not before the first mail, which is not to blame for it (threats.md, REL-5).
            host.ehlo_or_helo_if_needed()
            if mail.use_tls:
                host.starttls(context=tls)
            if mail.username and mail.password:
                host.login(mail.username, mail.password)
            return host
        except (OSError, smtplib.SMTPException) as error:
            host.close()
            raise Unreachable(_words(error)) from error

    def deliver(self, message: flask_mail.Message) -> tuple[int, str] | None:
        """Send; None if the one recipient was taken, else the server's code and words for refusing.

        Raises OSError or SMTPException when it is not known whether the mail was taken.
        """
        assert self.host is not None
        if message.has_bad_headers():
            raise flask_mail.BadHeaderError
        recipient = flask_mail.sanitize_address(message.recipients[0])
        envelope = flask_mail.sanitize_address(current_app.config["MAIL_FROM"])
        try:
            self.host.sendmail(envelope, [recipient], message.as_bytes())
        except smtplib.SMTPRecipientsRefused as error:
            return next(iter(error.recipients.values()), (550, b""))[0], _words(error)
        except smtplib.SMTPResponseException as error:
            return error.smtp_code, _words(error)
        return None

    def close(self) -> None:
        """Say goodbye; whatever comes of it, what was sent is sent."""
        if self.host is not None:
            with contextlib.suppress(OSError, smtplib.SMTPException):
                self.host.quit()
            self.host.close()
            self.host = None


def _words(error: BaseException) -> str:
    """What the server said, or what went wrong, in one printable line."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code, said = next(iter(error.recipients.values()), (550, b""))
        text = f"{code} {_decoded(said)}"
    elif isinstance(error, smtplib.SMTPResponseException):
        text = f"{error.smtp_code} {_decoded(error.smtp_error)}"
    else:
        text = str(error) or type(error).__name__
    return "".join(c if c.isprintable() else " " for c in text)[:500]


def _decoded(said: bytes | str) -> str:
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else said


@dataclass
class Outcome:
    """What one round came to."""

    leased: int = 0
    sent: int = 0
    deferred: int = 0
    failed: int = 0
    unreachable: str | None = None


class Deliverer:
    """Sends what is due, one mail after the other over one kept connection.

    *transaction* opens a short write transaction and commits it; *clock* says what time it is;
    *stopping* is asked between two mails.
    """

    def __init__(
        self,
        transaction: Callable[[], contextlib.AbstractContextManager[Session]],
        *,
        owner: str,
        clock: Callable[[], datetime],
        stopping: Callable[[], bool],
        batch: int = 20,
        lasting: timedelta = outbox.LEASE,
    ) -> None:
        self._transaction = transaction
        self._pictures = Album(transaction)
        self._owner = owner
        self._clock = clock
        self._stopping = stopping
        self._batch = batch
        self._lasting = lasting
        self._connection: Connection | None = None
        self._until = 0.0

    def run(self) -> Outcome:
        """Lease one batch and settle every row of it."""
        outcome = Outcome()
        with self._transaction() as session:
            mails = outbox.lease(
                session,
                self._owner,
                now=self._clock(),
                limit=self._batch,
                lasting=self._lasting,
            )
        outcome.leased = len(mails)
        # Half the lease is left for the last mail: a slow server must not make us send what
        # another worker has taken over meanwhile (threats.md, REL-3).
        self._until = time.monotonic() + self._lasting.total_seconds() / 2
        for number, mail in enumerate(mails):
            if self._stopping() or time.monotonic() > self._until:
                self._release(mails[number:])
                break
            self._one(mail, outcome)
            if outcome.unreachable:
                self._release(mails[number:])
                break
        if len(mails) < self._batch:
            self.close()
        return outcome

    def close(self) -> None:
        """Close the kept connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _release(self, mails: list[Leased]) -> None:
        with self._transaction() as session:
            for mail in mails:
                outbox.release(session, mail, now=self._clock())

    def _write(self, what: Callable[[Session], bool]) -> bool:
        """Settle a row in a transaction of its own, waiting for a database that is locked or away.

        Giving up would send the mail again when its lease is over.
        """
        while True:
            try:
                with self._transaction() as session:
                    return what(session)
            except DBAPIError:
                if time.monotonic() > self._until:
                    raise
                time.sleep(0.2)

    def _one(self, mail: Leased, outcome: Outcome) -> None:
        if mail.crashes >= outbox.MAX_CRASHES:
            self._settle(mail, outbox.failed, "No attempt ever came to an end.", outcome)
            return
        try:
            message = compose.message(
                mail.template,
                mail.context,
                tenant_id=mail.tenant_id,
                recipient=mail.recipient,
                message_id=mail.message_id,
                language=mail.language,
                pictures=self._pictures,
            )
        except Exception as error:  # a row that cannot be rendered must not stop the others (REL-6)
            log.exception("mail cannot be rendered", extra={"outbox_id": str(mail.id)})
            self._settle(
                mail, outbox.failed, f"Cannot be rendered: {type(error).__name__}", outcome
            )
            return
        try:
            if self._connection is None:
                self._connection = Connection(current_app.extensions["mail"])
                self._connection.host = self._connection.configure_host()
            refused = self._connection.deliver(message)
        except Unreachable as error:
            self._connection = None
            outcome.unreachable = str(error)
            return
        except (OSError, smtplib.SMTPException) as error:
            self.close()
            self._settle(mail, outbox.later, _words(error), outcome)
            return
        except Exception as error:  # a header or an address that SMTP has no words for (REL-6)
            log.exception("mail cannot be sent", extra={"outbox_id": str(mail.id)})
            self.close()
            self._settle(mail, outbox.failed, f"Cannot be sent: {type(error).__name__}", outcome)
            return
        if refused is None:
            # Before QUIT, and by itself: a crash from here on repeats nothing (threats.md, REL-2).
            kept = self._write(lambda session: outbox.sent(session, mail, now=self._clock()))
            outcome.sent += 1
            if not kept:
                log.warning("lease was lost while sending", extra={"outbox_id": str(mail.id)})
            return
        code, words = refused
        if code == 421:
            self.close()
        self._settle(mail, outbox.failed if 500 <= code < 600 else outbox.later, words, outcome)

    def _settle(
        self, mail: Leased, how: Callable[..., bool], reason: str, outcome: Outcome
    ) -> None:
        self._write(lambda session: how(session, mail, reason, now=self._clock()))
        if how is outbox.failed:
            outcome.failed += 1
        else:
            outcome.deferred += 1
        log.info(
            "mail not sent",
            extra={"outbox_id": str(mail.id), "how": how.__name__, "reason": reason},
        )
