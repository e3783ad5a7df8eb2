"""The real program in processes of its own: started, looked into, killed and started again."""

import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import psutil
from sqlalchemy import NullPool, create_engine, select
from sqlalchemy.orm import Session

from b2b.models import AuditEvent, Identity, Invitation, Tenant, User
from config import SETTINGS

ROOT = Path(__file__).parents[2]
PARTS = ("web", "worker", "sink")
T = TypeVar("T")

_READY_WITHIN = 30.0
_LINK = re.compile(r"http://localhost:\d+/redeem\?rd=\S+")
_CODE = re.compile(r"\b\d{4} \d{4}\b")


def until(what: Callable[[], T | None], within: float = 10.0, every: float = 0.05) -> T:
    """Ask *what* until it gives something; AssertionError when that takes too long."""
    ends = time.monotonic() + within
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < ends, f"nothing came within {within} s: {what}"
        time.sleep(every)


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_free(port: int) -> bool:
    """Whether nobody listens on *port* of this machine."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@dataclass(frozen=True)
class Mail:
    """A captured mail as the inbox's API tells it."""

    id: str
    message_id: str
    subject: str
    sender: str
    to: str
    text: str
    html: str

    @property
    def link(self) -> str:
        """The invitation's link."""
        found = _LINK.search(self.text)
        assert found, self.text
        return found[0]

    @property
    def code(self) -> str:
        """The one-time passcode."""
        found = _CODE.search(self.text)
        assert found, self.text
        return found[0]


class Program:
    """`flask --app app up` on ports and in a folder of its own."""

    def __init__(self, folder: Path, *, database_url: str | None = None, **settings: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._data = folder / "data"
        self._log = folder / "program.log"
        self._database_url = database_url or f"sqlite:///{self._data / 'directory.sqlite3'}"
        self._settings = {
            "PASSWORD_HASHING": "weak",
            "SHUTDOWN_GRACE": "5",
            "DATA_DIR": str(self._data),
            "DATABASE_URL": self._database_url,
            "PORT": free_port(),
            "SMTP_PORT": free_port(),
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None

    # Life ----------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Its own address, without a slash at the end."""
        scheme = "https" if self._settings.get("HTTPS") else "http"
        return f"{scheme}://localhost:{self._settings['PORT']}"

    @property
    def ca_file(self) -> str | None:
        """Whom its visitors have to trust, if it speaks https."""
        return str(self._data / "tls" / "ca.pem") if self._settings.get("HTTPS") else None

    @property
    def database_url(self) -> str:
        """The directory's own database."""
        return self._database_url

    @property
    def settings(self) -> dict[str, str]:
        """What it runs with."""
        return {name: str(value) for name, value in self._settings.items()}

    @property
    def port(self) -> int:
        """The port of the web server."""
        return int(self._settings["PORT"])

    def start(self) -> "Program":
        """Start, and wait until it says that it is ready."""
        kept = {name: value for name, value in os.environ.items() if name not in SETTINGS}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flask", "--app", "app", "up"],
                cwd=ROOT,
                env=kept | {name: str(value) for name, value in self._settings.items()},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(self._is_ready, _READY_WITHIN)
        return self

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"it ended at once:\n{self.log[-3000:]}"
        with contextlib.suppress(OSError):
            trust = (
                None if self.ca_file is None else ssl.create_default_context(cafile=self.ca_file)
            )
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=2, context=trust):
                return True
        return False

    def terminate(self) -> float:
        """SIGTERM; the seconds until it and all of its parts were gone."""
        assert self._process is not None
        family = self.family()
        begun = time.monotonic()
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(40)
            _, alive = psutil.wait_procs(family, timeout=5)
            assert not alive, f"still there: {alive}"
        finally:
            _kill(family)
        self._process = None
        return time.monotonic() - begun

    def stop(self) -> None:
        """Stop for good, whatever state it is in."""
        if self._process is not None:
            self.terminate()

    def kill(self) -> None:
        """SIGKILL for every process of it at once."""
        assert self._process is not None
        _kill(self.family())
        self._process.wait(10)
        self._process = None

    def restart(self) -> "Program":
        """SIGKILL, and start again with the same data and on the same ports."""
        self.kill()
        return self.start()

    def kill_part(self, name: str) -> None:
        """SIGKILL for the process of one part; starting it again is the program's own task."""
        part = until(lambda: self.parts().get(name))
        with contextlib.suppress(psutil.NoSuchProcess):
            part.kill()

    def family(self) -> list[psutil.Process]:
        """The supervisor and everything below it."""
        assert self._process is not None
        try:
            head = psutil.Process(self._process.pid)
            return [head, *head.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def parts(self) -> dict[str, psutil.Process]:
        """The supervisor's children by name, told apart by the ports that they listen on."""
        assert self._process is not None
        ports = {self.port: "web", int(self._settings["SMTP_PORT"]): "sink"}
        found: dict[str, psutil.Process] = {}
        for child in psutil.Process(self._process.pid).children():
            with contextlib.suppress(psutil.Error):
                listening = {
                    ports[one.laddr.port]
                    for one in child.net_connections("tcp")
                    if one.status == psutil.CONN_LISTEN and one.laddr.port in ports
                }
                found[listening.pop() if listening else "worker"] = child
        return found

    @property
    def log(self) -> str:
        """Everything that it has said."""
        return self._log.read_text(errors="replace")

    @property
    def faults(self) -> list[str]:
        """Lines of the log that nobody wants to see."""
        return [line for line in self.log.splitlines() if '"levelname": "ERROR"' in line]

    # People and mail -----------------------------------------------------------------------------

    @property
    def demo(self) -> dict[str, Any]:
        """The demo's people and passwords."""
        content: dict[str, Any] = json.loads((self._data / "demo.json").read_text())
        return content

    def password(self, name: str) -> str:
        """The password of one of the demo's people."""
        return next(
            str(user["password"])
            for user in self.demo["users"]
            if user["userPrincipalName"] == name
        )

    def api(self, path: str) -> Any:
        """What the inbox's API answers to a GET below /mail/api/v1."""
        with urllib.request.urlopen(f"{self.url}/mail/api/v1/{path}", timeout=10) as answer:
            return json.load(answer)

    def mails(self, to: str, *, limit: int = 50) -> list[Mail]:
        """Captured mail to an address, oldest first."""
        query = urllib.parse.quote(f"to:{to}")
        found = self.api(f"search?query={query}&limit={limit}")["messages"]
        return [self._mail(row["ID"]) for row in reversed(found)]

    def _mail(self, identifier: str) -> Mail:
        mail = self.api(f"message/{identifier}")
        return Mail(
            mail["ID"],
            mail["MessageID"],
            mail["Subject"],
            mail["From"]["Name"],
            mail["To"][0]["Address"],
            mail["Text"],
            mail["HTML"],
        )

    def wait_for_mail(self, to: str, count: int = 1) -> Mail:
        """The *count*-th mail to an address, as soon as it is there."""
        return until(lambda: self.mails(to)[count - 1 :])[0]

    # The directory -------------------------------------------------------------------------------

    @contextlib.contextmanager
    def reading(self) -> Iterator[Session]:
        """The database itself, for looking only."""
        engine = create_engine(self._database_url, poolclass=NullPool)
        with Session(engine) as session:
            yield session
            session.rollback()
        engine.dispose()

    def tenant_id(self, name: str) -> UUID:
        """The id of an organisation, or of the directory of personal accounts."""
        with self.reading() as session:
            return session.scalars(select(Tenant.id).where(Tenant.display_name == name)).one()

    def guest(self, mail: str) -> "Guest | None":
        """Everything that WoodGrove's directory holds about an invited person."""
        with self.reading() as session:
            user = session.scalars(
                select(User)
                .join(Tenant, Tenant.id == User.tenant_id)
                .where(Tenant.display_name == "WoodGrove", User.invited_key == mail.lower())
            ).one_or_none()
            return None if user is None else _guest(session, user)

    def account(self, tenant: str, name: str) -> UUID | None:
        """The object id of somebody who signs in at *tenant*; None if there is nobody."""
        with self.reading() as session:
            return session.scalars(
                select(User.id)
                .join(Tenant, Tenant.id == User.tenant_id)
                .where(Tenant.display_name == tenant, User.upn_key == name.lower())
            ).one_or_none()


@dataclass(frozen=True)
class Guest:
    """One guest as the database has it; `audit` holds activity, actor and changes, oldest first."""

    user: dict[str, Any]
    identity: dict[str, Any] | None
    invitation: dict[str, Any]
    audit: list[tuple[str, str, list[tuple[str, Any, Any]]]]

    @property
    def activities(self) -> list[str]:
        """What was done, oldest first."""
        return [activity for activity, _, _ in self.audit]


def _columns(row: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}


def _guest(session: Session, user: User) -> Guest:
    identity = session.scalars(
        select(Identity).where(Identity.tenant_id == user.tenant_id, Identity.user_id == user.id)
    ).one_or_none()
    invitation = session.scalars(
        select(Invitation).where(
            Invitation.tenant_id == user.tenant_id, Invitation.user_id == user.id
        )
    ).one()
    events = session.scalars(
        select(AuditEvent)
        .where(AuditEvent.tenant_id == user.tenant_id, AuditEvent.target_id == user.id)
        .order_by(AuditEvent.sequence)
    )
    return Guest(
        _columns(
            user,
            *("id", "user_principal_name", "mail", "user_type", "creation_type", "source"),
            *("external_user_state", "account_enabled", "deleted_at", "profile_reviewed_at"),
            *("display_name", "given_name", "surname", "preferred_language", "company_name"),
        ),
        identity and _columns(identity, "issuer", "subject", "provider", "label"),
        _columns(
            invitation,
            *("version", "valid_from", "opened_at", "signed_in_at", "accepted_at", "declined_at"),
            *("message", "language", "redirect_url", "inviter_name"),
        ),
        [
            (
                event.activity,
                event.actor_name,
                [(c["property"], c["before"], c["after"]) for c in event.changes],
            )
            for event in events
        ],
    )


def _kill(family: list[psutil.Process]) -> None:
    """SIGKILL for all; the supervisor, who comes first, is held so that it starts nobody anew."""
    for process in family[:1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.suspend()
    for process in reversed(family):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(family, timeout=10)
