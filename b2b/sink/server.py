"""Running a sink: the listening socket, who may connect, deadlines, and an orderly end."""

import asyncio
import errno
import logging
import signal
import ssl
import threading
from collections.abc import Callable, Sequence
from ipaddress import ip_address

from b2b.sink import faults
from b2b.sink.faults import Greylist, Rule
from b2b.sink.retention import Limits
from b2b.sink.settings import CannotServe, SinkSettings, read_users
from b2b.sink.smtp import Session
from b2b.sink.store import Store
from b2b.sink.writer import Writer

log = logging.getLogger(__name__)

SWEEP = 0.2
"""Seconds between looks at the deadlines and at the stop event."""


class NoCertificate(CannotServe):
    """TLS is asked for and there is no certificate to show, or none that can be read."""

    def __init__(self, why: str = "none is set") -> None:
        super().__init__(f"The sink has no certificate for TLS: {why}.")


class PortInUse(CannotServe):
    """Another program listens on that address."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            f"Port {port} on {host} is in use. Stop the other program or choose another port."
        )
        self.host = host
        self.port = port


def run(
    settings: SinkSettings,
    *,
    ready: Callable[[int], None] | None = None,
    stop: threading.Event | None = None,
) -> None:
    """Serve until SIGTERM, SIGINT (in the main thread) or until ``stop`` is set (from any thread).

    When stopping, connections without a transaction are closed at once, others after their mail or
    after ``settings.grace`` seconds; mail whose final dot has come is kept and answered.

    Args:
        ready: called with the port once mail is taken.

    Raises:
        CannotServe: another program listens there, or a certificate or a file cannot be used.
        BadRule: the file of faults has a rule that cannot be obeyed.
        StoreIsNewer: a later version of this program wrote the store.
    """
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serve(settings, ready=ready, stop=stop))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where there is one: with it the sink takes about half as many mails again."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def serve(
    settings: SinkSettings,
    *,
    ready: Callable[[int], None] | None = None,
    stop: threading.Event | None = None,
) -> None:
    """``run`` inside a loop that is already running."""
    library_log = logging.getLogger("mail.log")
    if library_log.level == logging.NOTSET:
        # It writes every address at level INFO, and warns at each sign-in of its own attributes.
        library_log.setLevel(logging.ERROR)
    loop = asyncio.get_running_loop()
    store = Store.open(settings.store_url)
    try:
        if settings.faults_file is not None:
            faults.replace(store, "file", faults.read_file(settings.faults_file), wait=False)
        sink = Sink(settings, store)
        sink.obey(faults.rules(store))
        servers = await _listen(loop, sink)
        port = servers[0].sockets[0].getsockname()[1]
        stopping = asyncio.Event()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, stopping.set)
        sink.writer.start()
        try:
            log.info("sink listening", extra={"host": settings.host, "port": port})
            if ready is not None:
                ready(port)
            while not stopping.is_set() and not (stop is not None and stop.is_set()):
                sink.sweep()
                try:
                    await asyncio.wait_for(stopping.wait(), SWEEP)
                except TimeoutError:
                    continue
            for server in servers:
                server.close()
            await sink.finish()
        finally:
            # Blocks this loop's own thread no longer than one commit.
            await loop.run_in_executor(None, sink.writer.close)
            await sink.part()
            for server in servers:
                server.close()
    finally:
        store.close()
    log.info("sink stopped")


async def _listen(loop: asyncio.AbstractEventLoop, sink: "Sink") -> list[asyncio.Server]:
    """The server on the usual port, then the one where TLS begins at once, if wanted."""
    settings = sink.settings
    context = _context(settings)
    template = Session.template(sink, context)
    places: list[tuple[int, ssl.SSLContext | None]] = [(settings.port, None)]
    if settings.tls_port is not None:
        if context is None:
            raise NoCertificate
        places.append((settings.tls_port, context))
    servers: list[asyncio.Server] = []
    try:
        for port, secured in places:
            made = loop.create_server(
                template.connected, settings.host, port, backlog=512, ssl=secured
            )
            servers.append(await made)
    except OSError as error:
        for server in servers:
            server.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(settings.host, port) from error
        raise
    return servers


def _context(settings: SinkSettings) -> ssl.SSLContext | None:
    if settings.certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.certificate, settings.key)
    except (OSError, ssl.SSLError) as error:
        raise NoCertificate(str(error)) from error
    return context


class Sink:
    """What the connections of one server share."""

    def __init__(self, settings: SinkSettings, store: Store) -> None:
        self.settings = settings
        limits = Limits(settings.keep_mails, settings.keep_bytes, settings.keep_for)
        self.writer = Writer(store, limits=limits, obey=self.obey)
        self.users = None if settings.users_file is None else read_users(settings.users_file)
        self.faults: Sequence[Rule] = ()
        self.greylist = Greylist()
        self.held_bytes = 0
        self.stopping = False
        # In order of connecting, so the oldest comes first.
        self.sessions: dict[Session, None] = {}

    def obey(self, rules: Sequence[Rule]) -> None:
        """From now on, commit faults by these rules; called from any thread."""
        self.faults = tuple(rules)

    def admit(self, session: Session) -> None:
        """Take a new connection in; at a cap the oldest without a transaction goes, or this one."""
        self.sessions[session] = None
        rivals = [other for other in self.sessions if not other.is_closing]
        if len(rivals) > self.settings.max_connections:
            self._make_room(rivals)
        address = session.address
        if address and not ip_address(address.partition("%")[0]).is_loopback:
            same = [other for other in self.sessions if other.address == address]
            same = [other for other in same if not other.is_closing]
            if len(same) > self.settings.max_per_peer:
                self._make_room(same)

    def _make_room(self, rivals: list[Session]) -> None:
        """``rivals`` ends with the newcomer, which goes if all others are in a transaction."""
        oldest = next(session for session in rivals if not session.in_transaction)
        log.info("connection closed at the cap", extra={"connections": len(rivals)})
        oldest.dismiss("421 4.7.0 Too many connections")

    def forget(self, session: Session) -> None:
        """The connection is gone."""
        self.sessions.pop(session, None)

    def between_commands(self, session: Session) -> None:
        """While stopping, a connection ends as soon as its mail is done."""
        if self.stopping and not session.in_transaction:
            session.dismiss("421 4.3.2 Shutting down")

    def sweep(self) -> None:
        """Close what has been silent, or in one transaction, for too long."""
        now = asyncio.get_running_loop().time()
        for session in list(self.sessions):
            if session.is_closing:
                # It was told and does not read: what is left to say is dropped.
                if now - session.seen > self.settings.idle_timeout:
                    session.abort()
            elif session.is_held:
                session.seen = now
            else:
                if session.heard and session.reading_data:
                    session.seen = now
                session.heard = False
                lasted = now - session.transaction_since
                if now - session.seen > self.settings.idle_timeout:
                    session.dismiss("421 4.4.2 Idle for too long")
                elif session.in_transaction and lasted > self.settings.transaction_timeout:
                    session.dismiss("421 4.4.2 Transaction took too long")

    async def finish(self) -> None:
        """Let transactions under way end, for the grace at most; then wait for commits only."""
        self.stopping = True
        loop = asyncio.get_running_loop()
        until = loop.time() + self.settings.grace
        for session in list(self.sessions):
            self.between_commands(session)
        while self.sessions and loop.time() < until:
            await asyncio.sleep(0.02)
        for session in list(self.sessions):
            if not session.committing:
                session.dismiss("421 4.3.2 Shutting down")

    async def part(self) -> None:
        """After the last commit: let the answers out, then cut what is left."""
        for _ in range(50):
            if not self.sessions:
                return
            await asyncio.sleep(0.02)
        for session in list(self.sessions):
            session.abort()
