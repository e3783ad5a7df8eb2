"""The SMTP side: takes any mail from anyone, within limits, and says 250 once it is on disk.

It has no way of sending. Of aiosmtpd it keeps the commands; reading is its own, because the stock
one takes a step per line and buffers a line without end whatever the size limit says.
"""

import asyncio
import copy
import logging
import re
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiosmtpd.smtp import SMTP, Envelope
from aiosmtpd.smtp import Session as Peer

from b2b.sink import rows
from b2b.sink.store import Arrival
from b2b.sink.writer import NotKept

if TYPE_CHECKING:
    from b2b.sink.server import Sink

log = logging.getLogger(__name__)

STREAM_LIMIT = 64 * 1024
"""What is read at a time; asyncio holds up to twice as much of each connection."""

FLUSHED = 4 * 1024
"""Octets in a piece from which on it is packed at once; smaller ones are worth more together."""

END_MARK = b"\r\n.\r\n"

MAX_COMMAND = 2_048
"""Octets of a command line. RFC 5321 asks for 512, RFC 6531 for more; long addresses fit."""

OVERRUN = 64 * 1024
"""How far beyond the size limit a mail is read to its end, to be refused politely."""

MAX_UNKNOWN_COMMANDS = 5

# The usual address; what does not match goes through the standard library's parser, ten times
# slower.
_PLAIN = re.compile(r"<([\w.!#$%&'*+/=?^`{|}~-]+@[\w.-]+)>(?: (.*))?\Z", re.ASCII)
_UNFIT = re.compile(r"[\x00-\x20\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class SinkSettings:
    """What a sink is run with. Sizes in octets, times in seconds.

    Args:
        port: 0 takes any free port, which ``ready`` is told.
        store_url: see ``Store``.
        max_held_bytes: content of unfinished mails over all connections; above it senders get 452.
        max_connections: at the cap the oldest connection without a transaction makes room.
        max_per_peer: the same for one address; loopback is exempt.
        idle_timeout: without a command, or within DATA without an octet.
        transaction_timeout: from MAIL to the end of DATA.
        grace: how long transactions under way are waited for when stopping.
        hostname: what the sink calls itself.
    """

    host: str = "127.0.0.1"
    port: int = 1025
    store_url: str = "sqlite:///mail.sqlite3"
    max_message_bytes: int = 10 * 1024 * 1024
    max_held_bytes: int = 64 * 1024 * 1024
    max_recipients: int = 100
    max_connections: int = 100
    max_per_peer: int = 20
    idle_timeout: float = 60
    transaction_timeout: float = 300
    grace: float = 5
    hostname: str = "localhost"


class _Recipients:
    """aiosmtpd's hook for RCPT; the only one used."""

    def __init__(self, limit: int) -> None:
        self.limit = limit

    async def handle_RCPT(
        self, server: SMTP, peer: Peer, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if len(envelope.rcpt_tos) >= self.limit:
            return "452 4.5.3 Too many recipients, send the rest separately"
        if address == "<>":
            return "553 5.1.3 A recipient needs an address"
        envelope.rcpt_tos.append(address)
        return "250 OK"


class _Reader(asyncio.StreamReader):
    """A stream that also gives what is there already, which ``readuntil`` holds back."""

    _buffer: bytearray

    async def read_towards(self, mark: bytes, tail: bytes) -> bytes:
        """At least one octet and at most those up to the end of ``mark``, which may have begun in
        ``tail``, the octets read before. Raises IncompleteReadError at the end of the stream.
        """
        if not self._buffer:
            if self.at_eof():
                raise asyncio.IncompleteReadError(b"", None)
            await self._wait_for_data("read_towards")  # type: ignore[attr-defined]  # inherited
            return await self.read_towards(mark, tail)
        seen = tail[-len(mark) + 1 :]
        at = (seen + self._buffer).find(mark)
        end = len(self._buffer) if at < 0 else at + len(mark) - len(seen)
        piece = bytes(self._buffer[:end])
        del self._buffer[:end]
        self._maybe_resume_transport()  # type: ignore[attr-defined]  # inherited
        return piece


class Session(SMTP):
    """One connection. ``Session.template`` is built once per sink, ``connected`` copies it."""

    _reader: _Reader
    _writer: asyncio.StreamWriter
    transport: asyncio.Transport | None

    @classmethod
    def template(cls, sink: "Sink") -> "Session":
        """The session that others are copies of: aiosmtpd's constructor inspects every member."""
        settings = sink.settings
        made = cls(
            _Recipients(settings.max_recipients),
            data_size_limit=settings.max_message_bytes,
            enable_SMTPUTF8=True,
            hostname=settings.hostname,
            ident="ESMTP",
            loop=asyncio.get_running_loop(),
        )
        made.sink = sink
        made.settings = settings
        # Deadlines are kept by the sink's sweep; aiosmtpd only wants something to cancel.
        made._timeout_handle = made.loop.call_later(0, lambda: None)
        return made

    def connected(self) -> "Session":
        """A session for a new connection."""
        made = copy.copy(self)
        asyncio.StreamReaderProtocol.__init__(
            made,
            _Reader(limit=STREAM_LIMIT, loop=self.loop),
            made._cb_client_connected,
            loop=self.loop,
        )
        made.since = made.seen = made.transaction_since = self.loop.time()
        made.heard = made.reading_data = made.committing = False
        return made

    # Set by template() and connected(), so that the constructor's signature stays aiosmtpd's.
    sink: "Sink"
    settings: SinkSettings
    since: float
    seen: float
    transaction_since: float
    heard: bool
    reading_data: bool
    committing: bool

    # --- the connection ---------------------------------------------------------------------------

    @property
    def in_transaction(self) -> bool:
        """Whether a MAIL command has been accepted and its mail is not dealt with yet."""
        return bool(self.envelope and self.envelope.mail_from)

    @property
    def address(self) -> str:
        """The peer's IP address, or an empty string."""
        peer = self.session.peer if self.session else None
        return str(peer[0]) if isinstance(peer, tuple) else ""

    @property
    def is_closing(self) -> bool:
        """Whether nothing more will be read from this connection."""
        return self.transport is None or self.transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.sink.admit(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.sink.forget(self)
        super().connection_lost(error)

    def data_received(self, data: bytes) -> None:
        self.heard = True
        super().data_received(data)

    def eof_received(self) -> bool | None:
        """The client may close its side after the final dot and still read the answer."""
        return asyncio.StreamReaderProtocol.eof_received(self)

    def dismiss(self, reply: str) -> None:
        """Say ``reply`` and close."""
        if self.transport is not None and not self.is_closing:
            self.transport.write(reply.encode("ascii") + b"\r\n")
            self.transport.close()

    def abort(self) -> None:
        """Close without waiting for what is still to be sent."""
        if self.transport is not None:
            self.transport.abort()

    def _reset_timeout(self, duration: float | None = None) -> None:
        self.seen = self.loop.time()

    async def push(self, status: Any) -> None:
        if self.transport is None or self.is_closing:
            return
        self.transport.write((status if isinstance(status, bytes) else status.encode()) + b"\r\n")
        if self.transport.get_write_buffer_size():  # the client does not read; wait until it does
            await self._writer.drain()

    async def _handle_client(self) -> None:
        try:
            await self.push(f"220 {self.hostname} {self.__ident__}")
            unknown = 0
            while not self.is_closing:
                command, argument = _split(await self._reader.readuntil(b"\n"))
                if command in self._smtp_methods:
                    self._reset_timeout()
                    # By name: the table was copied and holds methods bound to the template.
                    await getattr(self, f"smtp_{command}")(argument)
                elif (unknown := unknown + 1) < MAX_UNKNOWN_COMMANDS:
                    await self.push("500 5.5.2 Command not recognized")
                else:
                    self.dismiss("502 5.5.1 Too many unrecognized commands, goodbye")
                self.sink.between_commands(self)
        except asyncio.LimitOverrunError:
            self.dismiss("500 5.5.2 Command line too long")
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # gone without QUIT
        except Exception:
            log.exception("connection failed")
            self.dismiss("421 4.3.0 Internal error")
        finally:
            if self.transport is not None:
                self.transport.close()

    # --- commands ---------------------------------------------------------------------------------

    async def smtp_EHLO(self, hostname: str) -> None:
        if not hostname:
            await self.push("501 Syntax: EHLO hostname")
            return
        assert self.session is not None
        self._set_rset_state()  # type: ignore[no-untyped-call]  # aiosmtpd
        self.session.extended_smtp = True
        self.session.host_name = hostname
        size = self.settings.max_message_bytes
        lines = (self.hostname, f"SIZE {size}", "8BITMIME", "SMTPUTF8", "PIPELINING")
        await self.push("".join(f"250-{line}\r\n" for line in lines) + "250 HELP")

    async def smtp_MAIL(self, arg: str | None) -> None:
        await super().smtp_MAIL(arg)
        self.transaction_since = self.loop.time()

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        if plain := _PLAIN.match(arg):
            return plain[1], plain[2] or ""
        try:
            address, rest = super()._getaddr(arg)
        except Exception:  # the parser indexes past the end of some inputs
            return None, None
        return (None, None) if address and _UNFIT.search(address) else (address, rest)

    async def smtp_DATA(self, arg: str | None) -> None:
        assert self.envelope is not None
        if await self.check_helo_needed():
            return
        if not self.envelope.rcpt_tos:
            await self.push("503 Error: need RCPT command")
            return
        if arg:
            await self.push("501 Syntax: DATA")
            return
        await self.push("354 End data with <CR><LF>.<CR><LF>")
        self.reading_data = True
        content = _Content(self)
        try:
            reply = await self._read_data(content)
        finally:
            self.reading_data = False
            content.release()
        if reply is None:
            self.dismiss("552 5.3.4 Message too large")
        else:
            self._set_post_data_state()  # type: ignore[no-untyped-call]  # aiosmtpd
            await self.push(reply)

    async def _read_data(self, content: "_Content") -> str | None:
        """Read one mail and keep it: the reply, or None when it goes on beyond all bounds.

        The end is CRLF.CRLF and nothing else, also at the very start (the CRLF is that of DATA). In
        pieces as they come, so neither a line nor a mail is held without bound, and what the client
        sends after the end stays in the reader.
        """
        limit = self.settings.max_message_bytes
        total, tail = 0, b"\r\n"
        while tail != END_MARK:
            piece = await self._reader.read_towards(END_MARK, tail)
            total += len(piece)
            if total > limit + OVERRUN:
                return None
            content.add(piece)
            tail = (tail + piece[-5:])[-5:]
        if content.refused:
            return "452 4.3.1 Too much mail at once, try again"
        source, packed = content.end()
        if content.is_bare:
            return "554 5.6.0 Bare CR or LF in the message (RFC 5321 section 2.3.8)"
        if len(source) > limit:
            return "552 5.3.4 Message too large"
        return await self._keep(source, packed)

    async def _keep(self, source: bytes, packed: bytes) -> str:
        assert self.envelope is not None
        sender = self.envelope.mail_from or ""
        arrival = Arrival(
            "" if sender == "<>" else sender, self.envelope.rcpt_tos, source, packed=packed
        )
        self.committing = True
        try:
            message_id = await self.sink.writer.submit(arrival)
        except NotKept as error:
            return "452 4.3.1 Out of room" if error.full else "452 4.3.0 The store does not answer"
        finally:
            self.committing = False
            self.seen = self.loop.time()
        return f"250 2.0.0 Ok: queued as {message_id}"


class _Content:
    """A mail being read: without doubled dots, and packed as it comes, so that nothing but the
    commit is left to do at its end. Counted against the room that all connections share.
    """

    def __init__(self, session: Session) -> None:
        self.sink = session.sink
        self.limit = session.settings.max_held_bytes
        self.pieces: list[bytes] = []
        self.size = 0
        self.refused = False
        self.is_bare = False
        """There is a CR or LF without the other."""
        self._rest = b""
        self._begun = False
        self._packer = rows.packer()
        self._packed: list[bytes] = []

    def add(self, piece: bytes) -> None:
        """The next octets from the wire, up to the end mark and with it."""
        if self.refused:
            return
        if self.sink.held_bytes + len(piece) > self.limit:
            self.release()
            self.refused = True
            return
        self.size += len(piece)
        self.sink.held_bytes += len(piece)
        self._take(self._rest + piece)

    def _take(self, octets: bytes) -> None:
        """All of *octets* but what may belong to the end mark or to a CRLF and its dot."""
        cut = max(0, len(octets) - len(END_MARK))
        if octets[cut - 1 : cut] == b"\r":
            cut -= 1
        elif octets[max(0, cut - 2) : cut] == b"\r\n":
            cut -= 2
        self._rest = octets[cut:]
        if cut:
            self._keep(octets[:cut])

    def _keep(self, octets: bytes) -> None:
        ends = octets.count(b"\r\n")
        if octets.count(b"\r") != ends or octets.count(b"\n") != ends:
            self.is_bare = True
        if not self._begun and octets.startswith(b"."):
            octets = octets[1:]
        self._begun = True
        octets = octets.replace(b"\r\n.", b"\r\n")
        self.pieces.append(octets)
        self._packed.append(self._packer.compress(octets))
        if len(octets) > FLUSHED:  # else zlib keeps it for the end, when the client waits
            self._packed.append(self._packer.flush(zlib.Z_PARTIAL_FLUSH))

    def end(self) -> tuple[bytes, bytes]:
        """The mail's source and the same packed, once the end mark has come."""
        if len(self._rest) > len(b".\r\n"):
            self._keep(self._rest[: -len(b".\r\n")])
        whole = b"".join(self.pieces)
        self.pieces.clear()
        self._packed.append(self._packer.flush())
        return whole, b"".join(self._packed)

    def release(self) -> None:
        """Give the room back."""
        self.sink.held_bytes -= self.size
        self.pieces.clear()
        self._packed.clear()
        self.size = 0


def _split(line: bytes) -> tuple[str, str | None]:
    """The command in capitals and its argument; ("", None) for a line that is no command."""
    line = line.rstrip(b"\r\n")
    command, _, argument = line.partition(b" ")
    if len(line) > MAX_COMMAND or b"\r" in line or b"\x00" in line or not command.isalpha():
        return "", None
    return (
        command.decode("ascii").upper(),
        argument.strip().decode("utf-8", "surrogateescape") or None,
    )
