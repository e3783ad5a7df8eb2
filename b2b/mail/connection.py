"""One connection to the mail server, through Flask-Mail: what is said on it and what comes back."""

import contextlib
import select
import smtplib
import socket
import ssl
import time
from dataclasses import dataclass
from typing import Any

import flask_mail
from flask import current_app

from b2b.mail.breaker import Trouble
from b2b.mail.outbox import Leased

TOTAL = 120.0
"""Seconds that one mail may take in all (threats.md, REL-4)."""
_ENVELOPE = 3
"""Commands before a content: MAIL, RCPT, DATA."""
END = b".\r\n"
_AHEAD = 64 * 1024
"""Octets of a content that may go out before the mail in front is settled; buffers take them."""
_MOMENT = 0.005
"""Seconds for which a server's readiness is waited for before the mail in front is settled."""


class Unreachable(Exception):
    """The mail server cannot be talked to at all; no mail is to blame."""

    def __init__(self, reason: str, *, refused: bool) -> None:
        super().__init__(reason)
        self.trouble = Trouble(reason, refused)


class Silence(Exception):
    """The connection broke or the server said nothing. *begun*: after the content's end was sent,
    so that nobody knows whether the mail was taken.
    """

    def __init__(self, reason: str, *, begun: bool) -> None:
        super().__init__(reason)
        self.begun = begun


@dataclass(frozen=True)
class Parcel:
    """A mail ready for SMTP. `content` has its dots doubled and ends with the final one."""

    mail: Leased
    recipient: str
    content: bytes


@dataclass(frozen=True)
class Reply:
    """What the server answered to a mail, in its own words, code included."""

    code: int
    words: str

    @property
    def is_good(self) -> bool:
        """The mail is the server's from now on."""
        return 200 <= self.code < 300

    @property
    def is_final(self) -> bool:
        """It will never take this mail."""
        return 500 <= self.code < 600


class Connection(flask_mail.Connection):
    """Flask-Mail's connection with time-outs, a verified TLS context, and replies handed back.

    Without time-outs a silent server holds the worker for ever; without a context STARTTLS checks
    no certificate; and the stock `send` drops what sendmail returns (threats.md, 2).
    """

    host: smtplib.SMTP | None

    def __init__(self) -> None:
        """Connect, encrypt and log in, or raise Unreachable."""
        super().__init__(current_app.extensions["mail"])
        self.host = self.configure_host()
        self.answered = 0
        self._announced: Parcel | None = None
        self._replies: list[Reply] = []
        """To the envelope of the one announced, as far as they were read."""
        self._begun = False
        """Its content is out, but for the end."""
        self._ends = 0.0
        self._patience: float = current_app.config["MAIL_COMMAND_TIMEOUT"]
        self._sender: str = current_app.config["MAIL_FROM"]
        # Commands in one write, where the server offers it (RFC 2920): one round trip of four.
        self._grouping = self.host.has_extn("pipelining")
        self._sized = self.host.has_extn("size")

    def configure_host(self) -> smtplib.SMTP:
        """Connect, or raise Unreachable."""
        config = current_app.config
        mail = self.mail
        tls = ssl.create_default_context() if mail.use_ssl or mail.use_tls else None
        timeout = config["MAIL_CONNECT_TIMEOUT"]
        try:
            host: smtplib.SMTP
            if mail.use_ssl:
                host = smtplib.SMTP_SSL(mail.server, mail.port or 0, timeout=timeout, context=tls)
            else:
                host = smtplib.SMTP(mail.server, mail.port or 0, timeout=timeout)
        except (OSError, smtplib.SMTPException) as error:
            raise Unreachable(_words(error), refused=_refuses_us(error)) from error
        try:
            assert host.sock is not None
            host.sock.settimeout(config["MAIL_COMMAND_TIMEOUT"])
            # Here and not before the first mail, which is not to blame for it (threats.md, REL-5).
            host.ehlo_or_helo_if_needed()
            if mail.use_tls:
                host.starttls(context=tls)
                host.ehlo_or_helo_if_needed()
            if mail.username and mail.password:
                host.login(mail.username, mail.password)
            host.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return host
        except (OSError, smtplib.SMTPException) as error:
            host.close()
            raise Unreachable(_words(error), refused=_refuses_us(error)) from error

    def announce(self, parcel: Parcel) -> Reply | None:
        """MAIL, RCPT and DATA. None: the server waits for the content; else why it does not.

        Raises Silence.
        """
        assert self.host is not None
        self._ends = time.monotonic() + TOTAL
        replies, self._replies = self._replies, []
        try:
            if self._announced is None and self._grouping:
                self.host.send(b"".join(self._envelope(parcel)))
                self._announced = parcel
            if self._announced is not None:
                assert self._announced is parcel
                self._announced = None
                while len(replies) < _ENVELOPE:
                    replies.append(self._reply())
            else:
                for command in self._envelope(parcel):
                    self.host.send(command)
                    replies.append(self._reply())
                    if replies[-1].code >= 400:
                        break
        except (OSError, smtplib.SMTPException) as error:
            self.drop()
            raise Silence(_words(error), begun=False) from error
        refused = _refusal(replies)
        if refused is None:
            return None
        self.answered += 1
        if refused.code == 421 or replies[-1].code == 354:
            # It goes, or waits for the content of a mail that it does not want.
            self.drop()
        else:
            with contextlib.suppress(OSError, smtplib.SMTPException):
                self.host.rset()
        return refused

    def begin(self) -> None:
        """Let the server have the content of the mail announced, if it asks for it at once.

        All but the end: until that has come nothing is taken, so the mail before may still be
        unsettled. A server that lets us wait does not delay its settling.
        """
        parcel = self._announced
        if parcel is None or len(parcel.content) > _AHEAD:
            return
        assert self.host is not None
        self._ends = time.monotonic() + TOTAL
        try:
            while len(self._replies) < _ENVELOPE:
                if not self._has_spoken():
                    return
                self._replies.append(self._reply())
            if _refusal(self._replies) is None:
                self.host.send(parcel.content[: -len(END)])
                self._begun = True
        except (OSError, smtplib.SMTPException):
            self.drop()  # nothing is lost: it is announced anew

    def _has_spoken(self) -> bool:
        """Whether there is something to read, now or in a moment."""
        assert self.host is not None
        assert self.host.sock is not None
        heard: Any = self.host.file
        ends = time.monotonic() + _MOMENT
        self.host.sock.settimeout(0)
        try:
            while True:
                with contextlib.suppress(ssl.SSLWantReadError):
                    if heard.peek(1):
                        return True
                left = ends - time.monotonic()
                if left <= 0:
                    return False
                select.select([self.host.sock], [], [], left)
        finally:
            self.host.sock.settimeout(self._patience)

    def hand_over(self, parcel: Parcel, following: Parcel | None) -> None:
        """The content to its end and, in the same write, the envelope of *following*: a group of
        commands may begin with the end of a content (RFC 2920, 3.1). Raises Silence.
        """
        assert self.host is not None
        content = END if self._begun else parcel.content
        self._begun = False
        try:
            if following is not None and self._grouping:
                self._announced = following
                self.host.send(b"".join((content, *self._envelope(following))))
            else:
                self.host.send(content)
        except (OSError, smtplib.SMTPException) as error:
            self.drop()
            raise Silence(_words(error), begun=True) from error

    def answer(self) -> Reply:
        """What the server says to the content that it was handed. Raises Silence."""
        try:
            reply = self._reply()
        except (OSError, smtplib.SMTPException) as error:
            self.drop()
            raise Silence(_words(error), begun=True) from error
        self.answered += 1
        if reply.code == 421:
            self.drop()
        return reply

    def _reply(self) -> Reply:
        """One reply, within what is left of the mail's time."""
        assert self.host is not None
        assert self.host.sock is not None
        self.host.sock.settimeout(max(0.01, min(self._patience, self._ends - time.monotonic())))
        code, said = self.host.getreply()
        return Reply(code, _printable(f"{code} {_decoded(said)}"))

    def _envelope(self, parcel: Parcel) -> tuple[bytes, bytes, bytes]:
        size = f" SIZE={len(parcel.content)}" if self._sized else ""
        return (
            f"MAIL FROM:<{self._sender}>{size}\r\n".encode("ascii"),
            f"RCPT TO:<{parcel.recipient}>\r\n".encode("ascii"),
            b"DATA\r\n",
        )

    def take_back(self) -> None:
        """Take the announced envelope back, if there is one: only hanging up does."""
        if self._announced is not None:
            self.drop()

    def drop(self) -> None:
        """Hang up without a word: a mail whose content was not handed over is then not taken."""
        self._announced = None
        self._replies = []
        self._begun = False
        if self.host is not None:
            self.host.close()
            self.host = None

    def close(self) -> None:
        """Say goodbye; whatever comes of it, what was sent is sent."""
        if self.host is not None and self._announced is None:
            with contextlib.suppress(OSError, smtplib.SMTPException):
                self.host.quit()
        self.drop()


def _refusal(replies: list[Reply]) -> Reply | None:
    """The first that says no."""
    return next((reply for reply in replies if not 200 <= reply.code < 400), None)


def _refuses_us(error: Exception) -> bool:
    """Whether waiting alone will not mend it: a 5xx before any mail, something that our settings
    ask for and the server does not offer, or a certificate that cannot be trusted.
    """
    if isinstance(error, smtplib.SMTPResponseException):
        return 500 <= error.smtp_code < 600
    return isinstance(error, smtplib.SMTPNotSupportedError | ssl.SSLCertVerificationError)


def _words(error: BaseException) -> str:
    """What the server said, or what went wrong, in one printable line."""
    if isinstance(error, smtplib.SMTPResponseException):
        return _printable(f"{error.smtp_code} {_decoded(error.smtp_error)}")
    return _printable(str(error) or type(error).__name__)


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def _decoded(said: bytes | str) -> str:
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else said
