"""Starts the bundled sink from our settings; the sink itself knows none of them."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import make_url

from b2b import certificates, clock, collector, links
from b2b.errors import StartRefused

if TYPE_CHECKING:
    from b2b.sink.settings import SinkSettings

_IN_MEMORY = Path("/dev/shm")
_MB = 1024 * 1024
_DAY = 24 * 60 * 60


def serve(config: Mapping[str, Any]) -> None:
    """Catch mail until SIGTERM or SIGINT. Raises StartRefused where it cannot be started so."""
    # Loaded here only: web and worker do without the sink's libraries.
    from b2b.sink.faults import BadRule
    from b2b.sink.server import run
    from b2b.sink.settings import CannotServe
    from b2b.sink.store import StoreIsNewer

    require_allowed(config)
    collector.freeze()
    try:
        run(settings(config))
    except (CannotServe, StoreIsNewer, BadRule) as error:
        raise StartRefused(str(error)) from error


def require_allowed(config: Mapping[str, Any]) -> None:
    """In production nothing is caught unless asked for, and nobody from elsewhere sends or reads
    unknown (threats.md, SMTP-4 and BOX-5). Raises StartRefused.
    """
    if not config["PRODUCTION"]:
        return
    if not config["SINK_IN_PRODUCTION"]:
        raise StartRefused("The mail sink does not run in production unless SINK_IN_PRODUCTION=1.")
    is_near = links.is_loopback(config["SMTP_HOST"]) and links.is_loopback(config["HOST"])
    if not (is_near and config["TRUSTED_PROXIES"] == 0) and not config["SINK_USERS"]:
        raise StartRefused(
            "In production a sink or an inbox that others can reach needs SINK_USERS, "
            "a file of those who may."
        )


def settings(config: Mapping[str, Any]) -> "SinkSettings":
    """The sink's settings out of ours; makes a certificate where TLS is asked for."""
    from b2b.sink.settings import SinkSettings

    files = None
    if config["SMTP_TLS"] or config["SMTP_TLS_PORT"]:
        hosts = certificates.hosts(config["BASE_URL"], config["HOST"])
        files = certificates.ensure(config["DATA_DIR"] / "tls", hosts, clock.now())
    return SinkSettings(
        host=config["SMTP_HOST"],
        port=config["SMTP_PORT"],
        store_url=config["MAIL_STORE_URL"],
        certificate=files.certificate if files else None,
        key=files.key if files else None,
        tls_port=config["SMTP_TLS_PORT"] or None,
        users_file=_file(config["SINK_USERS"]),
        faults_file=_file(config["SINK_FAULTS"]),
        keep_mails=config["MAIL_KEEP"],
        keep_bytes=config["MAIL_KEEP_MB"] * _MB,
        keep_for=config["MAIL_KEEP_DAYS"] * _DAY,
    )


@contextmanager
def shared_memory(config: MutableMapping[str, Any]) -> Iterator[None]:
    """Let the processes of one start share a store in memory: a file on a disk in memory, where the
    system has one, that goes when they end.
    """
    url = make_url(config["MAIL_STORE_URL"])
    if url.get_backend_name() != "sqlite" or url.database not in (None, "", ":memory:"):
        yield
        return
    folder = tempfile.mkdtemp(prefix="mail-", dir=_IN_MEMORY if _IN_MEMORY.is_dir() else None)
    config["MAIL_STORE_URL"] = f"sqlite:///{folder}/mail.sqlite3"
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _file(name: str) -> Path | None:
    return Path(name) if name else None
