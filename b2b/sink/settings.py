"""What a sink is run with."""

from dataclasses import dataclass
from pathlib import Path


class CannotServe(Exception):
    """A sink cannot be started as it is set up; the text says why."""


class BadUsersFile(CannotServe):
    """The file of those who may send cannot be used."""


@dataclass(frozen=True, slots=True)
class SinkSettings:
    """Sizes in octets, times in seconds; 0 switches a limit on what is kept off.

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
        certificate, key: PEM files; with them STARTTLS is offered.
        tls_port: where TLS begins at once, beside ``port``; None for nowhere, 0 for any free port.
        users_file: lines of ``name:password``; with it nobody sends without signing in. Without it
            any name and password will do, and none as well.
        faults_file: rules in JSON, see ``faults.read_file``; they replace those of an earlier file.
        keep_mails, keep_bytes, keep_for: the oldest mail goes when there are more mails, more
            octets (of sources, before packing), or when it is older.
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
    certificate: Path | None = None
    key: Path | None = None
    tls_port: int | None = None
    users_file: Path | None = None
    faults_file: Path | None = None
    keep_mails: int = 200_000
    keep_bytes: int = 4 * 1024 * 1024 * 1024
    keep_for: float = 0


def read_users(file: Path | str) -> dict[str, str]:
    """Names and passwords of a file with lines of ``name:password``; # begins a comment.

    Raises:
        BadUsersFile: it cannot be read, or a line has no colon.
    """
    path = Path(file)
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise BadUsersFile(f"The users’ file {path.name} cannot be read: {error}") from error
    users = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, password = line.partition(":")
        if not colon or not name:
            raise BadUsersFile(f"{path.name}, line {number}: “name:password” is expected.")
        users[name] = password
    return users
