"""People who are about to redeem: invited, signed in with a proven address, at Review permissions.

They are put there by the very services that pages call, without waiting for mail and passwords;
what is measured begins with *Accept*.
"""

import http.client
import os
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from flask import Flask, g, session
from flask_wtf.csrf import generate_csrf
from sqlalchemy import select

from b2b import clock, create_app, links, worker
from b2b.actor import Actor
from b2b.extensions import db
from b2b.models import Invitation, Tenant, User
from b2b.services import addresses, invitations, redemption, roles, sessions, sign_in
from b2b.web import context, redemption_link
from bench.programs import free_port, python, running
from config import Config

AT_ONCE = 50
"""Invitations in one transaction, as the form takes them."""


@dataclass(frozen=True)
class Guest:
    """A browser at Review permissions."""

    cookie: str
    token: str


def john(database: sessions.DatabaseSession) -> Actor:
    """John Doe of the demo, acting in WoodGrove."""
    person, tenant = database.execute(
        select(User, Tenant)
        .join(Tenant, Tenant.id == User.tenant_id)
        .where(User.user_principal_name.like("john.doe@%"))
    ).one()
    return Actor(
        tenant_id=tenant.id,
        tenant_name=tenant.display_name,
        tenant_domain=tenant.primary_domain,
        now=clock.now(),
        user_id=person.id,
        display_name=person.display_name,
        user_principal_name=person.user_principal_name,
        mail=person.mail,
        roles=roles.of_user(database, tenant.id, person.id),
    )


def signed_in(
    app: Flask,
    count: int,
    tag: str,
    *,
    groups: list[UUID] | None = None,
    applications: list[UUID] | None = None,
) -> list[Guest]:
    """*count* guests of WoodGrove, each in a browser of his own."""
    made: list[Guest] = []
    names = [f"{tag}{number}@partner.example" for number in range(count)]
    for first in range(0, count, AT_ONCE):
        with app.app_context(), worker.transaction() as database:
            actor = john(database)
            invited = invitations.invite_many(
                database,
                actor,
                addresses_text=names[first : first + AT_ONCE],
                group_ids=groups or [],
                application_ids=applications or [],
                send_message=False,
            )
            for one in invited:
                made.append(_browser(app, database, actor, one.address, one.user_id))
    return made


def _browser(
    app: Flask,
    database: sessions.DatabaseSession,
    actor: Actor,
    address: addresses.Address,
    user_id: UUID,
) -> Guest:
    invitation = database.execute(
        select(Invitation).where(
            Invitation.tenant_id == actor.tenant_id, Invitation.user_id == user_id
        )
    ).scalar_one()
    link = links.redeem_url(actor.tenant_id, invitation.id, invitation.version, invitation.key_id)
    inner = urllib.parse.parse_qs(urllib.parse.urlsplit(link).query)["rd"][0]
    ticket = links.parse_redeem(inner)
    assert ticket is not None
    secret = sessions.start(database, sign_in.identity_by_code(address), now=actor.now)
    opened = redemption.open_link(
        database,
        ticket.tenant_id,
        ticket.invitation_id,
        redemption.hash_of(ticket.secret),
        now=actor.now,
    )
    assert opened is not None
    redemption.note_signed_in(database, redemption.acting(opened, now=actor.now), opened)
    with app.test_request_context(base_url=app.config["BASE_URL"]):
        redemption_link.remember(ticket, None)
        g.pop("csrf_token", None)  # the application context outlives one browser here
        token = generate_csrf()
        serializer = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
        kept = serializer.dumps(dict(session))
        name = app.config["SESSION_COOKIE_NAME"]
        return Guest(f"{name}={kept}; {context.cookie_name()}={secret}", token)


class Client:
    """One kept-alive connection; takes the cookies it is given, as a browser does."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("localhost", port, timeout=60)
        self.cookies: dict[str, str] = {}
        self.headers: dict[str, str] = {}
        """Sent with every request besides."""
        self.answered: http.client.HTTPMessage = http.client.HTTPMessage()
        """The header of the last answer."""

    def wear(self, cookie: str) -> None:
        """Be another browser."""
        self.cookies = dict(part.split("=", 1) for part in cookie.split("; "))

    def post(self, path: str, **fields: str) -> tuple[int, str]:
        """Status and where it leads."""
        body = urllib.parse.urlencode(fields)
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.send("POST", path, body, headers)

    def get(self, path: str) -> tuple[int, str]:
        """Status and where it leads."""
        return self.send("GET", path, None, {})

    def send(
        self, method: str, path: str, body: str | None, headers: dict[str, str]
    ) -> tuple[int, str]:
        """Status and where it leads; what came is `text`."""
        headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        self._connection.request(method, path, body, headers | self.headers)
        answer = self._connection.getresponse()
        self.text = answer.read()
        self.answered = answer.headers
        for name, value in answer.getheaders():
            if name.lower() == "set-cookie":
                key, _, rest = value.partition("=")
                self.cookies[key] = rest.partition(";")[0]
        return answer.status, answer.headers.get("Location", "")

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


FLASK = ("-m", "flask", "--app", "app")


@contextmanager
def prepared(folder: Path, *, workers: int = 1, threads: int = 1) -> Iterator[tuple[Flask, int]]:
    """An app to put people in with, and the port; `web_of` then runs what is measured.

    `BENCH_DATABASE_URL` names another database than SQLite, an empty one.
    """
    port = free_port()
    settings = {
        "DATA_DIR": str(folder / "ours"),
        "PORT": str(port),
        "SMTP_PORT": str(free_port()),
        "BASE_URL": f"http://localhost:{port}",
        "WEB_WORKERS": str(workers),
        "WEB_THREADS": str(threads),
        "RATE_LIMITS": "off",
        "LOG_LEVEL": "WARNING",
    }
    if url := os.environ.get("BENCH_DATABASE_URL"):
        settings["DATABASE_URL"] = url
    with running(python(*FLASK, "up"), port, **settings):
        pass  # the very first start makes the demo
    os.environ.update(settings)
    app = create_app(Config.from_environment())
    yield app, port


@contextmanager
def web_of(app: Flask, port: int) -> Iterator[None]:
    """The web server alone, with what `prepared` has settled."""
    with app.app_context():
        db.session.remove()
        db.engine.dispose()
    with running(python(*FLASK, "web"), port):
        yield


@contextmanager
def timing(into: list[float]) -> Iterator[None]:
    """Add the milliseconds of the block."""
    begun = time.perf_counter()
    yield
    into.append((time.perf_counter() - begun) * 1000)


def percentile(values: list[float], part: float) -> float:
    """The value that *part* of them do not exceed."""
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]
