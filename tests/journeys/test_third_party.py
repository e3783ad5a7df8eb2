"""An application of somebody else, with a library of somebody else, opened from My Apps by each
kind of guest.
"""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from flask import Flask
from playwright.sync_api import Browser, expect
from sqlalchemy import select
from sqlalchemy.orm import Session

from b2b import create_app, worker
from b2b.actor import Actor, ExternalIdentity
from b2b.models import Identity, Platform, Tenant, User, new_id
from b2b.services import app_registrations, applications, invitations, redemption, sessions
from b2b.services import sign_in as sign_in_service
from b2b.services.app_registrations import Facts
from config import Config
from tests import clients, factories
from tests.cast import acting
from tests.journeys.program import Program

pytestmark = [pytest.mark.long, pytest.mark.browser, pytest.mark.timeout(180)]

OTTO, SAM, EVE = "otto.brandt@contoso.example", "sam@gmail.com", "eve@partner.example"


class Elsewhere:
    """A web server that is not ours, with the application's three files."""

    def __init__(self) -> None:
        self.settings: dict[str, str] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                kind, body = outer.file(urlsplit(self.path).path)
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://localhost:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def file(self, path: str) -> tuple[str, bytes]:
        """What is at *path*; the page everywhere else."""
        if path == "/settings.js":
            return "text/javascript", f"const settings = {json.dumps(self.settings)};".encode()
        if path == "/oidc-client-ts.min.js":
            library = clients.FOLDER / "node_modules/oidc-client-ts/dist/browser" / path[1:]
            return "text/javascript", library.read_bytes()
        name = "application.js" if path == "/application.js" else "index.html"
        kind = "text/javascript" if name.endswith("js") else "text/html"
        return kind, (clients.FOLDER / "single-page" / name).read_bytes()

    def close(self) -> None:
        """Hang up."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    made = Elsewhere()
    yield made
    made.close()


@dataclass(frozen=True)
class Arrived:
    """A guest who has accepted, and the secret of his browser."""

    user_id: UUID
    secret: str


def account_at_contoso(session: Session) -> ExternalIdentity:
    return factories.hosted(session, OTTO)


def personal_account(session: Session) -> ExternalIdentity:
    return sign_in_service.make_account(
        session, factories.by_code(SAM), given_name="Sam", surname="Oogle", password_hash="-",
        preferred_language="en", now=datetime.now(UTC), correlation_id=new_id(),
    )  # fmt: skip


def mailed_code(_: Session) -> ExternalIdentity:
    return factories.by_code(EVE)


def john_of(session: Session) -> Actor:
    tenant = session.scalars(select(Tenant).where(Tenant.display_name == "WoodGrove")).one()
    john = session.scalars(
        select(User).where(User.tenant_id == tenant.id, User.upn_key.startswith("john.doe@"))
    ).one()
    return acting(session, tenant.id, john.id, datetime.now(UTC))


def arrive(
    session: Session, address: str, identity_of: Callable[[Session], ExternalIdentity]
) -> Arrived:
    """Invited, accepted, and signed in to My Apps of WoodGrove."""
    john, now = john_of(session), datetime.now(UTC)
    invited = invitations.invite(session, john, address=address, send_message=False)
    identity = identity_of(session)
    opened = redemption.open_direct(session, john.tenant_id, identity, now=now)
    assert opened is not None
    user = redemption.accept(session, redemption.acting(opened, now=now), opened, identity)
    secret = sessions.start(
        session, identity, now=datetime.now(UTC), tenant_id=john.tenant_id, user_id=invited.user_id
    )
    return Arrived(user.id, secret)


def register_at(session: Session, url: str, guests: list[UUID]) -> tuple[UUID, UUID]:
    """The application, registered by John and assigned: tenant and client id."""
    john = john_of(session)
    facts = Facts(redirect_uris={Platform.SPA: [f"{url}/signed-in"]})
    made = app_registrations.register(session, john, "Site diary", facts)
    made.principal.sign_in_url = f"{url}/"
    applications.require_assignment(session, john, made.principal.id, True)
    pairs = [(guest, made.principal.id) for guest in guests]
    applications.assign(session, john.tenant_id, pairs, john.now)
    return john.tenant_id, made.registration.app_id


def inside(program: Program) -> Flask:
    """The running program's own services and keys."""
    names = ("DATA_DIR", "DATABASE_URL", "BASE_URL")
    settings: dict[str, Any] = {n: program.settings[n] for n in names if n in program.settings}
    return create_app(Config(**{**settings, "BASE_URL": program.url}))


def test_each_kind_of_guest_arrives_signed_in(
    chromium: Browser, program: Program, elsewhere: Elsewhere
) -> None:
    """tokens.md, section 4: claims of guests; OIDC-9: a script of another site"""
    kinds = {
        OTTO: (account_at_contoso, "Otto Brandt"),
        SAM: (personal_account, "Sam Oogle"),
        EVE: (mailed_code, "eve"),
    }
    app = inside(program)
    with app.app_context():
        with worker.transaction() as session:
            arrived = {
                address: arrive(session, address, identity_of)
                for address, (identity_of, _) in kinds.items()
            }
            guests = [one.user_id for one in arrived.values()]
            tenant_id, client_id = register_at(session, elsewhere.url, guests)
        contoso = program.tenant_id("Contoso")
    authority = f"{program.url}/{tenant_id}/v2.0"
    elsewhere.settings = {"authority": authority, "client_id": str(client_id)}
    idp = {OTTO: f"{program.url}/{contoso}/", SAM: "live.com", EVE: "mail"}
    subjects = set()
    for address, guest in arrived.items():
        context = chromium.new_context()
        context.set_default_timeout(10_000)
        context.add_cookies([{"name": "b2b_session", "value": guest.secret, "url": program.url}])
        page = context.new_page()
        page.goto(f"{program.url}/myapps")
        page.get_by_role("main").get_by_role("link", name="Site diary").click()
        page.wait_for_url(f"{elsewhere.url}/signed-in*")
        told = page.locator("#told")
        expect(told).not_to_be_empty()
        found = json.loads(told.inner_text())
        assert "error" not in found, found
        claims = found["claims"]
        assert found["renewed"] is True
        expected = {
            "tid": str(tenant_id),
            "oid": str(guest.user_id),
            "preferred_username": address,
            "email": address,
            "idp": idp[address],
            "acct": 1,
            "ver": "2.0",
        }
        assert {name: claims.get(name) for name in expected} == expected
        assert len(claims["sub"]) == 43
        subjects.add(claims["sub"])
        context.close()
    assert len(subjects) == 3


def test_who_is_not_assigned_finds_no_tile_and_does_not_get_in(
    chromium: Browser, program: Program, elsewhere: Elsewhere
) -> None:
    """APP-1"""
    with inside(program).app_context(), worker.transaction() as session:
        guest = arrive(session, OTTO, account_at_contoso)
        tenant_id, client_id = register_at(session, elsewhere.url, [])
        bound = session.scalars(select(Identity).where(Identity.user_id == guest.user_id)).one()
        assert bound.label == OTTO
    elsewhere.settings = {
        "authority": f"{program.url}/{tenant_id}/v2.0", "client_id": str(client_id)
    }  # fmt: skip
    context = chromium.new_context()
    context.set_default_timeout(10_000)
    context.add_cookies([{"name": "b2b_session", "value": guest.secret, "url": program.url}])
    page = context.new_page()
    page.goto(f"{program.url}/myapps")
    expect(page.get_by_role("main").get_by_role("link", name="Site diary")).to_have_count(0)
    page.goto(elsewhere.url)
    expect(page.get_by_role("heading", level=1)).to_have_text(
        "You have no access to this application"
    )
    expect(page.get_by_role("main")).to_contain_text("AADSTS50105")
    context.close()
