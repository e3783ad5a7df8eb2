"""The web server: gunicorn with threads, started from the command line and by `up` alike."""

import logging
import time
from collections.abc import Mapping
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import ThreadWorker

from b2b import certificates, clock, collector
from b2b.certificates import Files
from b2b.web import parking

HESITATION = 0.002
"""Seconds that a busy worker leaves a new connection to the others."""


class _Logger(Logger):
    """Lets gunicorn's words take the same way as ours."""

    def setup(self, cfg: Any) -> None:
        """No handlers of its own; the root logger writes JSON lines."""
        self.error_log = logging.getLogger("gunicorn.error")
        self.error_log.propagate = True
        self.error_log.handlers = []
        # Its life and death are the supervisor's to tell; faults are still written.
        self.error_log.setLevel(logging.WARNING)
        self.access_log = logging.getLogger("gunicorn.access")


class _Worker(ThreadWorker):
    """Shares a crowd with the other workers, and closes its door when it is told to stop.

    Whoever has connected by then is taken in. Left open until what runs is finished, the door would
    go on taking connections, which nobody answers and which are cut off at the end.
    """

    def accept(self, listener: Any) -> None:
        """As gunicorn; a worker whose threads are all busy hesitates, so that an idle one is first.

        A browser stays with the worker that took its connection: without this the first to wake
        takes a whole crowd, and the others look on.
        """
        running = self.nr_conns - len(self.keepalived_conns) - len(self.pending_conns)
        if self.alive and running >= self.cfg.threads:
            time.sleep(HESITATION)
        super().accept(listener)

    def set_accept_enabled(self, enabled: bool) -> None:
        """As gunicorn; at the end for good."""
        super().set_accept_enabled(enabled)
        if enabled or self.alive:
            return
        for listener in self.sockets:
            before = -1
            while before != self.nr_conns:
                before = self.nr_conns
                self.accept(listener)
            listener.close()

    def handle(self, conn: Any) -> Any:
        """As gunicorn, unless the connection has been given away (see b2b.web.parking)."""
        kept = super().handle(conn)
        if parking.was_given(conn.sock):
            conn.sock = parking.Elsewhere()
        return kept

    def run(self) -> None:
        """As gunicorn; then whoever waits is told that it is over."""
        try:
            super().run()
        finally:
            parking.close_all()


class _Application(BaseApplication):
    def __init__(self, app: Flask, options: dict[str, Any]) -> None:
        self._app, self._options = app, options
        super().__init__()

    def load_config(self) -> None:
        """Take the options as they are."""
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """The app, built already: workers are forked from it."""
        return self._app


def certificate(config: Mapping[str, Any]) -> Files | None:
    """The files to speak https with, made or renewed where need be; None for http."""
    if not config["HTTPS"]:
        return None
    hosts = certificates.hosts(config["BASE_URL"], config["HOST"])
    return certificates.ensure(config["CA_FILE"].parent, hosts, clock.now())


def run(app: Flask) -> None:
    """Serve until SIGTERM or SIGINT; what is running is finished within SHUTDOWN_GRACE (REL-10)."""
    config = app.config
    host = config["HOST"]
    options = {
        "bind": f"[{host}]:{config['PORT']}" if ":" in host else f"{host}:{config['PORT']}",
        "workers": config["WEB_WORKERS"],
        "threads": config["WEB_THREADS"],
        "worker_class": _Worker,
        "preload_app": True,
        "graceful_timeout": int(config["SHUTDOWN_GRACE"]) or 1,
        "timeout": 120,
        "keepalive": 5,
        "limit_request_line": 8190,
        "limit_request_fields": 64,
        "limit_request_field_size": 8190,
        "forwarded_allow_ips": "",
        "logger_class": _Logger,
        "accesslog": None,
        "control_socket_disable": True,
    }
    files = certificate(config)
    if files is not None:
        options |= {"certfile": str(files.certificate), "keyfile": str(files.key)}
    collector.freeze()
    _Application(app, options).run()
