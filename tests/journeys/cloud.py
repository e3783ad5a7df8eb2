"""The running program over https, as official clients and their tests are told of it."""

import base64
import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import msal
import requests
from sqlalchemy import create_engine
from sqlalchemy.orm import Session

from b2b import database
from b2b.actor import Actor
from b2b.models import Platform
from b2b.services import app_credentials, app_registrations, consent, offered_permissions
from b2b.services.app_registrations import Facts
from tests.journeys.client import Client
from tests.journeys.program import Program

ADELE = "adele.vance@woodgrove.example"
CALLBACK = "http://localhost:18999/cb"


class Cloud:
    """The running program, as its clients are told of it."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.base = program.url
        self.demo = program.demo
        self.ca_file = str(program.ca_file)

    def app(self, kind: str, organisation: str = "WoodGrove") -> dict[str, Any]:
        """One of demo.json's applications."""
        return next(
            one
            for one in self.demo["applications"]
            if (one["kind"], one["organisation"]) == (kind, organisation)
        )

    def options(self, app: dict[str, Any], tenant: str | None = None) -> dict[str, Any]:
        """How msal is pointed here."""
        return {
            "authority": f"{self.base}/{tenant or app['tenantId']}",
            "instance_discovery": False,
            "verify": self.ca_file,
        }

    def confidential(self, app: dict[str, Any], credential: Any = None, **more: Any) -> Any:
        """msal for a program with a secret or a certificate."""
        return msal.ConfidentialClientApplication(
            app["appId"],
            client_credential=credential or app["clientSecret"],
            **{**self.options(app), **more},
        )

    def public(self, app: dict[str, Any], **more: Any) -> Any:
        """msal for a program on somebody's device."""
        return msal.PublicClientApplication(app["appId"], **{**self.options(app), **more})

    def browser(self, name: str = ADELE) -> Client:
        """A browser in which somebody is signed in."""
        client = Client(self.base, self.ca_file)
        page = client.submit(client.get("/signin?next=/myapps"), address=name)
        page = client.submit(page, password=self.program.password(name))
        assert urlsplit(page.url).path == "/myapps", page.h1
        return client

    def azure(self) -> dict[str, Any]:
        """How azure-identity is pointed here."""
        return {
            "authority": self.base,
            "disable_instance_discovery": True,
            "connection_verify": self.ca_file,
        }


class Registrar:
    """Registers applications in the running program's own database."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def run(self, what: Any) -> Any:
        """*what* with a session and the system acting at WoodGrove, committed."""
        engine = create_engine(self._cloud.program.database_url)
        database.prepare(engine)
        tenant = next(t for t in self._cloud.demo["tenants"] if t["displayName"] == "WoodGrove")
        actor = Actor.system(
            UUID(tenant["id"]), "WoodGrove", "woodgrove.example", datetime.now(UTC), label="Test"
        )
        try:
            with Session(engine) as session:
                database.begin_write(session)  # the program writes meanwhile
                found = what(session, actor)
                session.commit()
                return found
        finally:
            engine.dispose()


def middle_tier(registrar: Registrar, caller_app_id: str) -> tuple[str, str]:
    """An API that calls Graph for whoever calls it: its client id and its secret. The caller may
    use its scope Work.Do.
    """

    def make(session: Session, actor: Actor) -> tuple[str, str]:
        made = app_registrations.register(
            session, actor, "Middle tier", Facts(redirect_uris={Platform.WEB: [CALLBACK]})
        )
        one = made.registration
        uri = f"api://{one.app_id}"
        app_registrations.set_identifier_uris(session, actor, one.id, [uri])
        offered_permissions.expose_scope(session, actor, one.id, "Work.Do", display_name="Work")
        _, secret = app_credentials.add_secret(session, actor, one.id)
        graph = consent.graph_principal(session, actor)
        consent.grant(session, actor, made.principal, graph, ["User.Read", "openid"])
        caller = app_registrations.by_app_id(session, actor, UUID(caller_app_id))
        consent.grant(session, actor, caller.principal, made.principal, ["Work.Do"])
        return str(one.app_id), secret

    found: tuple[str, str] = registrar.run(make)
    return found


def claims_of(token: str) -> dict[str, Any]:
    """What a token says."""
    middle = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(middle + "=="))
    return found


def answer_of(url: str) -> dict[str, str]:
    """The parameters of a redirect URI."""
    assert url.startswith(CALLBACK), url
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def userinfo(cloud: Cloud, token: str) -> requests.Response:
    return requests.get(
        f"{cloud.base}/oidc/userinfo",
        headers={"Authorization": f"Bearer {token}"},
        verify=cloud.ca_file,
        timeout=10,
    )
