"""Starts the bundled sink from our settings; the sink itself knows none of them.

Run as a program of its own (``python -m b2b.sink_process``), so that the process that holds a
hundred thousand mails is not also one that has loaded every page.
"""

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from sqlalchemy import NullPool, create_engine
from sqlalchemy.engine import make_url

from b2b import links
from b2b.errors import StartRefused

if TYPE_CHECKING:
    from b2b.sink.settings import SinkSettings

_PATHS = ("certificate", "key", "users_file", "faults_file")
_IN_MEMORY = Path("/dev/shm")
_MB = 1024 * 1024
_DAY = 24 * 60 * 60


def serve(config: Mapping[str, Any]) -> NoReturn:
    """Become the sink, in this process, until SIGTERM or SIGINT.

    Its settings go through a pipe: the store's address may hold a password. Raises StartRefused
    where no sink may run.
    """
    from b2b.test_double import state

    require_allowed(config)
    given = {"log_level": config["LOG_LEVEL"], "settings": asdict(settings(config))}
    if state.is_on(config):
        given["clock"] = {
            "folder": config["DATA_DIR"],
            "url": config["DATABASE_URL"],
            "busy_timeout": config["BUSY_TIMEOUT"],
        }
    reader, writer = os.pipe()
    # It fits into a pipe, which holds 64 KiB before anybody reads.
    os.write(writer, json.dumps(given, default=str).encode())
    os.close(writer)
    os.set_inheritable(reader, True)
    sys.stdout.flush()
    sys.stderr.flush()
    here = str(Path(__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))
    os.execve(
        sys.executable,
        [sys.executable, "-m", "b2b.sink_process", str(reader)],
        {**os.environ, "PYTHONPATH": path},
    )


def main(descriptor: int) -> int:
    """The sink with the settings that *descriptor* gives; the exit status, 1 if it cannot run."""
    from b2b import collector, logs
    from b2b.sink.faults import BadRule
    from b2b.sink.server import run
    from b2b.sink.settings import CannotServe, SinkSettings
    from b2b.sink.store import StoreIsNewer

    with os.fdopen(descriptor, "rb") as pipe:
        given = json.load(pipe)
    logs.configure("sink", given["log_level"])
    if "clock" in given:
        _follow_clock(**given["clock"])
    wanted = given["settings"]
    wanted |= {name: Path(wanted[name]) for name in _PATHS if wanted[name] is not None}
    collector.freeze()
    try:
        run(SinkSettings(**wanted))
    except (CannotServe, StoreIsNewer, BadRule) as error:
        sys.stderr.write(f"b2b: {error}\n")
        return 1
    return 0


def _follow_clock(folder: str, url: str, busy_timeout: float) -> None:
    from b2b import database
    from b2b.test_double import bell

    options = database.engine_options(url, busy_timeout)
    bell.follow_clock(Path(folder), create_engine(url, poolclass=NullPool, **options))


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
    from b2b import certificates, clock
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


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
