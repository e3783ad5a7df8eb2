"""`up`: web, worker and sink as one command, restarted when one of them dies, stopped together."""

import contextlib
import ctypes
import errno
import json
import logging
import os
import signal
import socket
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from types import FrameType

from flask import Flask

from b2b import logs, server, worker
from b2b.errors import StartRefused
from b2b.extensions import db

log = logging.getLogger(__name__)

_READY_WITHIN = 20.0
_LAST = "worker"
"""It looks for the mail server at once, and would warn that there is none."""
_PR_SET_PDEATHSIG = 1


def check_port(host: str, port: int, what: str, setting: str) -> None:
    """Raise StartRefused with one clear sentence when *port* cannot be listened on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise StartRefused(
                    f"Port {port} for {what} is in use; "
                    f"stop that program or set {setting} to another port."
                ) from error
            raise StartRefused(
                f"Port {port} for {what} cannot be opened: {error.strerror}."
            ) from error


class Supervisor:
    """Forks one child for each part, so that the program is loaded once."""

    def __init__(self, app: Flask, parts: Sequence[str] = ("sink", "web", "worker")) -> None:
        self._app = app
        known: dict[str, Callable[[], None]] = {
            "sink": self._sink,
            "web": lambda: server.run(app),
            "worker": lambda: worker.run(app),
            "webhooks": self._webhooks,
        }
        self._parts = {name: known[name] for name in parts}
        self._children: dict[int, str] = {}
        self._died: dict[str, list[float]] = {}
        self._stopping = False

    def run(self, ready: Callable[[], None]) -> int:
        """Start everything, call *ready* once it answers, supervise until told to stop.

        Returns the exit status.
        """
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._stop)
        try:
            for name in self._parts:
                if name != _LAST:
                    self._start(name)
            self._wait_until_ready()
            if not self._stopping:
                if _LAST in self._parts:
                    self._start(_LAST)
                ready()
            while not self._stopping:
                self._reap(block=True)
        finally:
            self._stop_children()
        return 0

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True

    def _start(self, name: str) -> None:
        # No connection of the parent's may be shared by a child.
        with self._app.app_context():
            db.engine.dispose()
        parent = os.getpid()
        pid = os.fork()
        if pid:
            self._children[pid] = name
            return
        status = 1
        try:
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            os.setpgid(0, 0)  # Ctrl-C reaches the parent alone, which stops us in order
            _die_with(parent)
            logs.configure(name, self._app.config["LOG_LEVEL"])
            self._parts[name]()
            status = 0
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 1
        except BaseException:
            log.exception("%s stopped", name)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _sink(self) -> None:
        from b2b import sink_process

        sink_process.serve(self._app.config)

    def _webhooks(self) -> None:
        from b2b import inbox_webhooks

        inbox_webhooks.serve(self._app)

    def _reap(self, *, block: bool) -> None:
        """Take notice of a child's end; start it again unless we stop or it dies all the time."""
        if block:
            time.sleep(0.1)
        with contextlib.suppress(ChildProcessError):
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            name = self._children.pop(pid, None)
            if name is None or self._stopping:
                return
            now = time.monotonic()
            recent = [at for at in self._died.get(name, []) if now - at < 30] + [now]
            self._died[name] = recent
            log.warning(
                "a part ended and is started again", extra={"which": name, "status": status}
            )
            if len(recent) > 10:
                raise StartRefused(f"The {name} process keeps ending; see the lines above.")
            time.sleep(min(0.1 * 2 ** (len(recent) - 1), 5.0))
            self._start(name)

    def _wait_until_ready(self) -> None:
        config = self._app.config
        scheme = "https" if config["HTTPS"] else "http"
        health = f"{scheme}://{_reachable(config['HOST'])}:{config['PORT']}/healthz"
        trust = ssl.create_default_context(cafile=config["CA_FILE"]) if config["HTTPS"] else None
        request = urllib.request.Request(health, headers={"Host": _own_host(config["BASE_URL"])})
        ends = time.monotonic() + _READY_WITHIN
        while not self._stopping:
            with contextlib.suppress(OSError, urllib.error.URLError):
                with urllib.request.urlopen(request, timeout=2, context=trust):
                    pass
                with socket.create_connection(
                    (_reachable(config["SMTP_HOST"]), config["SMTP_PORT"]), timeout=2
                ):
                    return
            if time.monotonic() > ends:
                raise StartRefused("The program does not answer; see the lines above.")
            self._reap(block=False)
            time.sleep(0.03)

    def _stop_children(self) -> None:
        """SIGTERM for all; whoever is left after the grace is killed."""
        self._stopping = True
        for pid in self._children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        ends = time.monotonic() + float(self._app.config["SHUTDOWN_GRACE"]) + 2
        while self._children:
            try:
                pid, _ = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid:
                self._children.pop(pid, None)
                continue
            if time.monotonic() > ends:
                for left in self._children:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(left, signal.SIGKILL)
            time.sleep(0.02)


def _die_with(parent: int) -> None:
    """End this child when the supervisor is killed, so that its ports are free again (Linux)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)


def _reachable(host: str) -> str:
    """An address on which this machine itself reaches *host*."""
    if host in ("0.0.0.0", ""):
        return "127.0.0.1"
    return "[::1]" if host in ("::", "::1") else host


def _own_host(base_url: str) -> str:
    return base_url.partition("//")[2]


def panel(app: Flask) -> str:
    """What is shown when everything runs: addresses, the demo's people, where mail goes."""
    config = app.config
    lines = [
        "",
        "  B2B Collaboration is running.",
        "",
        f"    Start here      {config['BASE_URL']}/",
        f"    Admin portal    {config['BASE_URL']}/admin",
        f"    My Apps         {config['BASE_URL']}/myapps",
        f"    Captured mail   {config['BASE_URL']}/mail   "
        f"(SMTP {config['SMTP_HOST']}:{config['SMTP_PORT']})",
    ]
    if config["CA_FILE"]:
        lines.append(f"    To be trusted   {_shown(config['CA_FILE'])}")
    demo = config["DATA_DIR"] / "demo.json"
    if demo.exists():
        content = json.loads(demo.read_text())
        names = {tenant["id"]: tenant["displayName"] for tenant in content["tenants"]}
        lines += ["", "  Demo people (also in " + _shown(demo) + ")", ""]
        width = max(len(user["userPrincipalName"]) for user in content["users"])
        for user in content["users"]:
            what = ", ".join(user["roles"]) or "member"
            lines.append(
                f"    {user['userPrincipalName']:<{width}}  {user['password']}  "
                f"{names[user['tenantId']]}, {what}"
            )
    lines += ["", "  All mail is captured; none leaves this machine. Ctrl-C stops everything.", ""]
    return "\n".join(lines)


def _shown(path: os.PathLike[str]) -> str:
    return os.path.relpath(path)
