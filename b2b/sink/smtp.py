"""The SMTP side: takes any mail from anyone, within limits, and says 250 once it is on disk.

It has no way of sending. Of aiosmtpd it keeps what is seldom or has many corners: AUTH, odd
addresses and parameters, VRFY, HELP. What every mail needs is answered as its octets come, without
a task or a stream in between, because the stock way takes a step per line and buffers a line
without end whatever the size limit says.
"""

import asyncio
import hmac
import logging
import re
import ssl
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword
from aiosmtpd.smtp import Session as Peer

from b2b.sink import faults
from b2b.sink.content import Content
from b2b.sink.refusals import MAX_SOURCE, Refusal
from b2b.sink.rows import Arrival
from b2b.sink.settings import SinkSettings
from b2b.sink.writer import NotKept

if TYPE_CHECKING:
    from b2b.sink.server import Sink

__all__ = ["Session", "SinkSettings"]

log = logging.getLogger(__name__)

STREAM_LIMIT = 64 * 1024
"""Octets held of what cannot be answered yet; then the client has to wait."""

MAX_COMMAND = 2_048
"""Octets of a command line. RFC 5321 asks for 512, RFC 6531 for more; long addresses fit."""

MAX_LINE = 8 * 1024
"""Octets without a line end after which a client is no client."""

TURN = 50
"""Commands of one client in a row, before the others are looked at."""

MAX_UNKNOWN_COMMANDS = 5
MAX_FAILED_SIGN_INS = 5

MAX_NOTED = 500
"""Lines of a conversation that are kept, and characters of each."""

HANDSHAKE = 30.0

# What a session waits for.
_COMMIT, _FAULT, _TALK, _BLOCKED, _PACE, _TURN = 1, 2, 4, 8, 16, 32

# The usual command; what does not match is left to aiosmtpd, which is ten times slower.
_ADDRESS = rb"([\w.!#$%&'*+/=?^`{|}~-]+@[\w.-]+)"
_MAIL = re.compile(
    rb"FROM:<" + _ADDRESS + rb">((?: (?:SIZE=\d{1,12}|BODY=7BIT|BODY=8BITMIME|SMTPUTF8))*) *\Z",
    re.IGNORECASE,
)
_RCPT = re.compile(rb"TO:<" + _ADDRESS + rb"> *\Z", re.IGNORECASE)
_SIZE = re.compile(rb"SIZE=(\d+)", re.IGNORECASE)
_UNFIT = re.compile(r"[\x00-\x20\x7f\ud800-\udfff]")


class _Hooks:
    """What aiosmtpd asks once it has understood a command."""

    async def handle_MAIL(
        self, server: "Session", peer: Peer, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        refused = await server.met("mail", sender=address)
        return refused or server.begin(address)

    async def handle_RCPT(
        self, server: "Session", peer: Peer, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address == "<>":
            return "553 5.1.3 A recipient needs an address"
        refused = await server.met("rcpt", recipients=[address])
        return refused or server.add_recipient(address)


class Session(SMTP):
    """One connection. ``Session.template`` is built once per sink, ``connected`` copies it."""

    # Set by template() and connected(), so that the constructor's signature stays aiosmtpd's.
    sink: "Sink"
    settings: SinkSettings
    users: Mapping[str, str] | None
    transport: asyncio.Transport | None
    envelope: Envelope
    session: Peer

    @classmethod
    def template(cls, sink: "Sink", context: ssl.SSLContext | None = None) -> "Session":
        """The session that others are copies of: aiosmtpd's constructor inspects every member."""
        settings = sink.settings
        made = cls(
            _Hooks(),
            data_size_limit=settings.max_message_bytes,
            enable_SMTPUTF8=True,
            hostname=settings.hostname,
            ident="ESMTP",
            tls_context=context,
            # A test network: whoever wants TLS for passwords asks for it.
            auth_require_tls=False,
            authenticator=_authenticate,
            loop=asyncio.get_running_loop(),
        )
        made.sink = sink
        made.settings = settings
        made.users = sink.users
        made._auth_required = sink.users is not None
        # Deadlines are kept by the sink's sweep; aiosmtpd only wants something to cancel.
        made._timeout_handle = made.loop.call_later(0, lambda: None)
        made._banner = f"220 {settings.hostname} {made.__ident__}"
        made._extensions = {
            is_secure: _extensions(settings, offers_tls=context is not None and not is_secure)
            for is_secure in (False, True)
        }
        made.transport = None
        made._is_secure = made._eof = made._is_paused = False
        made._waits = made._pace = made._unknown = made._failed = 0
        made._buffer = b""
        made._next = 0
        made._username = ""
        made._content = made._kept = made._timer = made._task = made._replied = None
        made._begun = 0
        made.seen = made.transaction_since = 0.0
        made.heard = made.is_closing = False
        return made

    def connected(self) -> "Session":
        """A session for a new connection."""
        made = Session.__new__(Session)
        made.__dict__.update(self.__dict__)
        made.seen = made.transaction_since = self.loop.time()
        made._noted = []
        return made

    _banner: str
    _extensions: dict[bool, str]
    _is_secure: bool
    _eof: bool
    _is_paused: bool
    _waits: int
    _pace: int
    _unknown: int
    _failed: int
    _buffer: bytes
    _next: int
    """Where in the buffer the next command begins."""
    _username: str
    _content: Content | None
    """The mail that is being read."""
    _kept: Content | None
    """The mail that is being committed."""
    _timer: asyncio.Handle | None
    _task: "asyncio.Task[None] | None"
    _replied: str | None
    _begun: int
    """How many lines of the conversation come before the first mail."""
    _noted: list[str]
    seen: float
    transaction_since: float
    heard: bool
    is_closing: bool
    """Nothing more will be read from this connection."""

    # --- the connection ---------------------------------------------------------------------------

    @property
    def in_transaction(self) -> bool:
        """Whether a MAIL command has been accepted and its mail is not dealt with yet."""
        return bool(self.envelope.mail_from)

    @property
    def reading_data(self) -> bool:
        """Whether the octets that come are those of a mail."""
        return self._content is not None

    @property
    def committing(self) -> bool:
        """Whether a mail has ended and is not answered yet."""
        return bool(self._waits & _COMMIT)

    @property
    def is_held(self) -> bool:
        """Whether it is the sink that lets the client wait, for a commit or for a fault."""
        return bool(self._waits & (_COMMIT | _FAULT | _PACE))

    @property
    def address(self) -> str:
        """The peer's IP address, or an empty string."""
        peer: object = self.session.peer
        return str(peer[0]) if isinstance(peer, tuple) else ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop’s transports are of no class of asyncio’s.
        self.transport = cast(asyncio.Transport, transport)
        self.session = Peer(self.loop)
        self.session.peer = transport.get_extra_info("peername")
        self.envelope = Envelope()
        if transport.get_extra_info("sslcontext") is not None:
            self._secured()
        self.sink.admit(self)
        if not self.is_closing:
            self._at("connect", lambda: self._say(self._banner))

    def connection_lost(self, error: Exception | None) -> None:
        self.sink.forget(self)
        self.is_closing = True
        self.transport = None
        self._taken()
        if self._content is not None:
            self._content.release()
            self._content = None
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._reader.feed_eof()

    def data_received(self, data: bytes) -> None:
        self.heard = True
        if self._waits & _TALK:
            self._reader.feed_data(data)
            if len(self._reader._buffer) > STREAM_LIMIT:  # type: ignore[attr-defined]
                self._pause()
            return
        self._buffer = self._buffer + data if self._buffer else bytes(data)
        if self._pace:
            self._wait(_PACE, len(data) / self._pace, None)
            self._pause()
        self._advance()

    def eof_received(self) -> bool | None:
        """The client may close its side after the final dot and still read the answer."""
        self._eof = True
        if self._waits & _TALK:
            self._reader.feed_eof()
        return bool(self._waits) and not self._is_secure

    def pause_writing(self) -> None:
        """The client does not read; it is answered no more until it does."""
        self._waits |= _BLOCKED

    def resume_writing(self) -> None:
        self._go_on(_BLOCKED)

    def dismiss(self, reply: str) -> None:
        """Say ``reply`` and close."""
        if not self.is_closing:
            self._say(reply)
            self._close()

    def _close(self) -> None:
        self.is_closing = True
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Close without waiting for what is still to be sent."""
        self.is_closing = True
        if self.transport is not None:
            self.transport.abort()

    def _pause(self) -> None:
        if not self._is_paused and self.transport is not None and not self.is_closing:
            self._is_paused = True
            self.transport.pause_reading()

    def _wait(self, what: int, seconds: float, then: Callable[[], None] | None) -> None:
        self._waits |= what

        def over() -> None:
            self._timer = None
            if then is not None and not self.is_closing:
                then()
            self._go_on(what)

        # uvloop counts whole milliseconds from when its turn began: one more, so that no delay is
        # shorter than was asked for.
        self._timer = self.loop.call_later(seconds + 0.001, over)

    def _go_on(self, what: int) -> None:
        self._waits &= ~what
        self.seen = self.loop.time()
        self._advance()

    def _advance(self) -> None:
        """Answer what has come, as far as nothing has to be waited for."""
        turn = 0
        while self._buffer and not self._waits and not self.is_closing:
            if self._content is not None:
                rest = self._content.take(self._taken())
                if rest is not None:
                    self._buffer = rest
                    self._ended(self._content)
                elif self._content.is_endless:
                    self._refuse("content", "552 5.3.4 Message too large", close=True)
                else:
                    if self._timer is None:
                        self._timer = self.loop.call_soon(self._look_once_more)
                    break
            else:
                start = self._next
                end = self._buffer.find(b"\n", start, start + MAX_LINE)
                if end < 0:
                    if len(self._buffer) - start >= MAX_LINE:
                        self.dismiss("500 5.5.2 Command line too long")
                    break
                line = self._buffer[start:end]
                self._next = end + 1
                if self._next >= MAX_LINE or self._next == len(self._buffer):
                    self._buffer = self._taken()
                self._command(line[:-1] if line.endswith(b"\r") else line)
                turn += 1
                if turn == TURN and not self._waits:
                    self._waits |= _TURN
                    self.loop.call_soon(self._go_on, _TURN)
            if self.sink.stopping:
                self.sink.between_commands(self)
        if self._waits:
            if len(self._buffer) - self._next > STREAM_LIMIT:
                self._pause()
            return
        if self._is_paused and self.transport is not None and not self.is_closing:
            self._is_paused = False
            self.transport.resume_reading()
        if self._eof:
            self._close()

    def _taken(self) -> bytes:
        """What is not read yet; the buffer is empty then."""
        taken = self._buffer[self._next :] if self._next else self._buffer
        self._buffer, self._next = b"", 0
        return taken

    def _look_once_more(self) -> None:
        # What has come by now is read first. A timer counts whole milliseconds, and the end of the
        # mail may come sooner: then its client would wait for all the packing.
        self._timer = self.loop.call_soon(self._pack)

    def _pack(self) -> None:
        self._timer = None
        if self._content is not None:
            self._content.pack()

    def _say(self, reply: str) -> None:
        if self.transport is None or self.is_closing:
            return
        self._note("S: ", reply)
        self.transport.write(reply.encode("utf-8", "replace") + b"\r\n")

    def _note(self, whose: str, line: str) -> None:
        noted = self._noted
        if len(noted) < MAX_NOTED:
            noted.append(whose + (line if len(line) < MAX_NOTED else line[:MAX_NOTED] + " …"))

    def _conversation(self) -> str:
        """What was said in the transaction that ends here, with how the connection began."""
        text = "\n".join(self._noted)
        del self._noted[self._begun :]
        return text.replace("\x00", " ")

    # --- faults on purpose ------------------------------------------------------------------------

    def _at(self, stage: str, go: Callable[[], None], **known: Any) -> None:
        """Do ``go``, unless a rule has something against it at this stage."""
        if not self.sink.faults:
            go()
            return
        refused, delay = self._judged(stage, **known)
        if refused:
            self._turn_down(stage, refused)
        elif delay:
            self._wait(_FAULT, delay, go)
        elif not self.is_closing:
            go()

    async def met(self, stage: str, **known: Any) -> str:
        """The same for commands that aiosmtpd understands: the reply of a rule, or nothing."""
        if not self.sink.faults:
            return ""
        refused, delay = self._judged(stage, **known)
        if delay:
            await asyncio.sleep(delay)
        if refused:
            self._record(stage, refused)
        return refused

    def _judged(
        self, stage: str, sender: str | None = None, recipients: list[str] | None = None
    ) -> tuple[str, float]:
        """A reply that refuses, or the seconds to wait; both empty to go on."""
        sender = (self.envelope.mail_from or "") if sender is None else sender
        recipients = self.envelope.rcpt_tos if recipients is None else recipients
        rule = faults.find(self.sink.faults, stage, sender, recipients)
        if rule is None:
            return "", 0
        self._note("S: ", f"({rule.action} on purpose)")
        match rule.action:
            case "reject":
                return rule.reply, 0
            case "delay":
                return "", rule.milliseconds / 1000
            case "slow":
                self._pace = rule.bytes_per_second
            case "drop":
                self._record(stage, "(dropped)")
                self.abort()
            case "greylist":
                who = (self.address, sender.lower(), "\n".join(recipients).lower())
                seconds = rule.milliseconds / 1000
                if not self.sink.greylist.lets_pass(who, seconds, self.loop.time()):
                    return f"451 {rule.words or '4.7.1 Greylisted, come again later'}", 0
        return "", 0

    def _turn_down(self, stage: str, reply: str) -> None:
        if stage in ("mail", "rcpt", "data", "content"):
            self._refuse(stage, reply, close=reply.startswith("421"))
        elif stage == "connect" or reply.startswith("421"):
            self.dismiss(reply)
        else:
            self._say(reply)

    def _refuse(self, stage: str, reply: str, *, close: bool = False) -> None:
        """Answer ``reply`` and keep what was refused, apart from the mail."""
        if close:
            self.dismiss(reply)
        else:
            self._say(reply)
        self._record(stage, reply)
        if stage == "content":
            self._end_transaction()

    def _record(self, stage: str, reply: str) -> None:
        content = self._content
        self.sink.writer.refuse(
            Refusal(
                stage=stage,
                reply=reply,
                sender=self.envelope.mail_from or "",
                recipients=list(self.envelope.rcpt_tos),
                size=content.total if content else 0,
                source=content.start(MAX_SOURCE) if content else None,
                conversation="\n".join(self._noted).replace("\x00", " "),
            )
        )

    # --- commands ---------------------------------------------------------------------------------

    def _command(self, line: bytes) -> None:
        verb, _, rest = line.partition(b" ")
        name = verb.upper()
        self.seen = self.loop.time()
        if len(line) > MAX_COMMAND or b"\r" in line or b"\x00" in line:
            name = b""
        if name == b"AUTH":
            self._note("C: ", " ".join(["AUTH", *rest.decode("ascii", "replace").split()[:1], "…"]))
        else:
            self._note("C: ", line[:MAX_COMMAND].decode("utf-8", "replace"))
        usual = _USUAL.get(name)
        if usual is not None:
            usual(self, rest.strip())
        elif name.isalpha() and name.decode("ascii", "replace") in self._smtp_methods:
            self._talk(name.decode(), rest)
        elif (unknown := self._unknown + 1) < MAX_UNKNOWN_COMMANDS:
            self._unknown = unknown
            self._say("500 5.5.2 Command not recognized")
        else:
            self.dismiss("502 5.5.1 Too many unrecognized commands, goodbye")

    def _helo(self, name: bytes, *, extended: bool = False) -> None:
        if not name:
            self._say(f"501 Syntax: {'EHLO' if extended else 'HELO'} hostname")
            return

        def go() -> None:
            self.envelope = Envelope()
            self.session.extended_smtp = extended
            self.session.host_name = name.decode("utf-8", "replace")
            self._say(
                self._extensions[self._is_secure] if extended else f"250 {self.settings.hostname}"
            )

        self._at("helo", go)

    def _ehlo(self, name: bytes) -> None:
        self._helo(name, extended=True)

    def _mail(self, rest: bytes) -> None:
        plain = _MAIL.match(rest)
        session = self.session
        if (
            plain is None
            or not session.host_name
            or (plain[2] and not session.extended_smtp)
            or self.envelope.mail_from
            or (self._auth_required and not session.authenticated)
        ):
            self._talk("MAIL", rest)
            return
        address = plain[1].decode("ascii")
        size = _SIZE.search(plain[2]) if plain[2] else None
        if size is not None and int(size[1]) > self.settings.max_message_bytes:
            self.envelope.mail_from = address
            self._refuse("mail", "552 5.3.4 Message too large")
            self.envelope = Envelope()
            return
        self._at("mail", lambda: self._say(self.begin(address)), sender=address)

    def begin(self, address: str) -> str:
        """Open a transaction of this sender; the reply to it."""
        if not self._begun:
            self._begun = max(1, len(self._noted) - 1)
        self.envelope.mail_from = address
        self.transaction_since = self.loop.time()
        return "250 OK"

    def _rcpt(self, rest: bytes) -> None:
        plain = _RCPT.match(rest)
        if plain is None or not self.envelope.mail_from or not self.session.host_name:
            self._talk("RCPT", rest)
            return
        address = plain[1].decode("ascii")
        self._at("rcpt", lambda: self._say(self.add_recipient(address)), recipients=[address])

    def add_recipient(self, address: str) -> str:
        """Take a recipient; the reply to it."""
        if len(self.envelope.rcpt_tos) >= self.settings.max_recipients:
            return "452 4.5.3 Too many recipients, send the rest separately"
        self.envelope.rcpt_tos.append(address)
        return "250 OK"

    def _data(self, rest: bytes) -> None:
        if not self.session.host_name:
            self._say("503 Error: send HELO first")
        elif not self.envelope.rcpt_tos:
            self._say("503 Error: need RCPT command")
        elif rest:
            self._say("501 Syntax: DATA")
        else:
            self._at("data", self._read_content)

    def _read_content(self) -> None:
        self._content = Content(
            self.sink,
            limit=self.settings.max_message_bytes,
            held_limit=self.settings.max_held_bytes,
        )
        self._say("354 End data with <CR><LF>.<CR><LF>")

    def _rset(self, rest: bytes) -> None:
        if rest:
            self._say("501 Syntax: RSET")
            return
        self._say("250 OK")
        if self._begun:
            del self._noted[self._begun :]
        self.envelope = Envelope()

    def _noop(self, rest: bytes) -> None:
        self._say("250 OK")

    def _quit(self, rest: bytes) -> None:
        if rest:
            self._say("501 Syntax: QUIT")
        else:
            self.dismiss("221 Bye")

    # --- the mail ---------------------------------------------------------------------------------

    def _ended(self, content: Content) -> None:
        """The end mark has come."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._note("C: ", f"({content.total} octets)")
        if content.refused:
            self._refuse("content", "452 4.3.1 Too much mail at once, try again")
        elif content.is_bare:
            self._refuse(
                "content", "554 5.6.0 Bare CR or LF in the message (RFC 5321 section 2.3.8)"
            )
        elif content.is_too_large:
            self._refuse("content", "552 5.3.4 Message too large")
        else:
            self._at("content", lambda: self._keep(content))

    def _keep(self, content: Content) -> None:
        self._content, self._kept = None, content
        sender = self.envelope.mail_from or ""
        arrival = Arrival(
            "" if sender == "<>" else sender,
            self.envelope.rcpt_tos,
            content.source(),
            packed=content.packed(),
            username=self._username,
        )
        self._note("S: ", f"250 2.0.0 Ok: queued as {arrival.id}")
        arrival.conversation = self._conversation()
        self._waits |= _COMMIT
        self.sink.writer.submit(arrival, self._settled)

    def _settled(self, outcome: str | NotKept) -> None:
        """The mail is on disk, or cannot be kept."""
        if isinstance(outcome, NotKept):
            full = outcome.full
            reply = "452 4.3.1 Out of room" if full else "452 4.3.0 The store does not answer"
            self._say(reply)
        elif self.transport is not None and not self.is_closing:
            self.transport.write(b"250 2.0.0 Ok: queued as %s\r\n" % outcome.encode("ascii"))
        self._end_transaction()
        self._go_on(_COMMIT)
        self.sink.between_commands(self)

    def _end_transaction(self) -> None:
        for content in (self._content, self._kept):
            if content is not None:
                content.release()
        self._content = self._kept = None
        self.envelope = Envelope()
        if self._begun:
            del self._noted[self._begun :]

    # --- what aiosmtpd does -----------------------------------------------------------------------

    def _talk(self, name: str, rest: bytes) -> None:
        """Let aiosmtpd answer a command, and read what belongs to it; then go on here."""
        self._waits |= _TALK
        self._reader = asyncio.StreamReader(limit=MAX_COMMAND, loop=self.loop)
        self._reader.feed_data(self._taken())
        if self._eof:
            self._reader.feed_eof()
        argument = rest.strip().decode("utf-8", "surrogateescape") or None
        self._task = self.loop.create_task(self._answered(name, argument))

    async def _answered(self, name: str, argument: str | None) -> None:
        try:
            # By name: the table was copied and holds methods bound to the template.
            await getattr(self, f"smtp_{name}")(argument)
        except (asyncio.IncompleteReadError, ConnectionError):
            self._close()  # gone without QUIT
        except ValueError:
            self.dismiss("500 5.5.2 Command line too long")
        except Exception:
            log.exception("connection failed")
            self.dismiss("421 4.3.0 Internal error")
        self._task = None
        if self._replied is not None and self._replied.startswith("421"):
            self._close()
        held: bytearray = self._reader._buffer  # type: ignore[attr-defined]
        self._buffer = bytes(held)
        held.clear()
        self._go_on(_TALK)

    async def push(self, status: Any) -> None:
        self._replied = status.decode("utf-8", "replace") if isinstance(status, bytes) else status
        assert self._replied is not None
        self._say(self._replied)

    def _reset_timeout(self, duration: float | None = None) -> None:
        self.seen = self.loop.time()

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        try:
            address, rest = super()._getaddr(arg)
        except Exception:  # the parser indexes past the end of some inputs
            return None, None
        return (None, None) if address and _UNFIT.search(address) else (address, rest)

    async def smtp_STARTTLS(self, arg: str | None) -> None:
        """RFC 3207; what was known of the client before is forgotten."""
        if arg:
            await self.push("501 Syntax: STARTTLS")
        elif self.tls_context is None or self._is_secure:
            await self.push("503 5.5.1 TLS is not available or there already")
        elif self._reader._buffer:  # type: ignore[attr-defined]
            # Nothing that came in the clear may be taken for what came over TLS.
            self.dismiss("554 5.5.1 Nothing may follow STARTTLS")
        elif self.transport is not None:
            await self.push("220 2.0.0 Ready to start TLS")
            try:
                secured = await self.loop.start_tls(
                    self.transport,
                    self,
                    self.tls_context,
                    server_side=True,
                    ssl_handshake_timeout=HANDSHAKE,
                )
            except (TimeoutError, OSError):
                self.abort()
                return
            if secured is None or self.is_closing:
                self.abort()
                return
            self.transport = secured
            self._secured()

    def _secured(self) -> None:
        self._is_secure = True
        peer = Peer(self.loop)
        peer.peer = self.session.peer
        self.session, self.envelope = peer, Envelope()
        self._username = ""
        assert self.transport is not None
        tls = self.transport.get_extra_info("ssl_object")
        self._note("S: ", f"({tls.version() if tls is not None else 'TLS'})")

    async def smtp_AUTH(self, arg: str | None) -> None:
        """PLAIN and LOGIN."""
        if refused := await self.met("auth"):
            if refused.startswith("421"):
                self.dismiss(refused)
            else:
                await self.push(refused)
            return
        self._auth_methods = {  # those of the template are bound to it
            name: known._replace(method=getattr(self, f"auth_{name}"))
            for name, known in self._auth_methods.items()
        }
        await super().smtp_AUTH(arg or "")
        if self._replied is not None and self._replied.startswith("535"):
            self._failed += 1
            if self._failed >= MAX_FAILED_SIGN_INS:
                self.dismiss("421 4.7.0 Too many failed sign-ins")

    async def challenge_auth(self, *args: Any, **options: Any) -> Any:
        answer = await super().challenge_auth(*args, **options)
        self._note("C: ", "…")
        return answer


_USUAL: dict[bytes, Callable[[Session, bytes], None]] = {
    b"EHLO": Session._ehlo,
    b"HELO": Session._helo,
    b"MAIL": Session._mail,
    b"RCPT": Session._rcpt,
    b"DATA": Session._data,
    b"RSET": Session._rset,
    b"NOOP": Session._noop,
    b"QUIT": Session._quit,
}


def _extensions(settings: SinkSettings, *, offers_tls: bool) -> str:
    """The reply to EHLO."""
    lines = [
        settings.hostname,
        f"SIZE {settings.max_message_bytes}",
        "8BITMIME",
        "SMTPUTF8",
        "PIPELINING",
        "AUTH LOGIN PLAIN",
    ]
    if offers_tls:
        lines.append("STARTTLS")
    return "".join(f"250-{line}\r\n" for line in lines) + "250 HELP"


def _authenticate(
    server: SMTP, peer: Peer, envelope: Envelope, mechanism: str, proof: LoginPassword
) -> AuthResult:
    """Anybody, or whoever the users' file names."""
    assert isinstance(server, Session)
    name = proof.login.decode("utf-8", "replace")
    if server.users is not None:
        wanted = server.users.get(name)
        right = hmac.compare_digest((wanted or "").encode(), proof.password)
        if wanted is None or not right:
            return AuthResult(success=False, handled=False)
    server._username = name
    return AuthResult(success=True, auth_data=proof)
