"""Programs and people with tokens, and a client that checks every answer's shape."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from b2b import jose, worker
from b2b.actor import Actor
from b2b.models import ApplicationCredential, Platform, SignInGrant, Tenant, User, new_id
from b2b.services import (
    app_credentials,
    app_registrations,
    clients,
    consent,
    graph_permissions,
    signing_keys,
    tokens,
)
from b2b.services.app_registrations import Facts, Registered
from b2b.services.scopes import Resource
from tests.cast import Cast, acting
from tests.conftest import Clock
from tests.pages import ORIGIN

EVENTUAL = {"ConsistencyLevel": "eventual"}


@dataclass
class Graph:
    """Sends requests to Graph with one token."""

    app: Flask
    token: str | None

    def ask(
        self, method: str, path: str, body: Any = None, *, status: int | None = None, **options: Any
    ) -> TestResponse:
        """One request; every answer is checked for what all of them carry."""
        headers = dict(options.pop("headers", {}))
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        if body is not None:
            options["data"] = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        if not path.startswith("http"):
            path = f"/v1.0/{path.lstrip('/')}" if not path.startswith("/") else path
        else:
            parts = urlsplit(path)
            path = f"{parts.path}?{parts.query}"
        with self.app.test_client().open(
            path, method=method, headers=headers, base_url=ORIGIN, **options
        ) as response:
            response.get_data()
        check(response)
        if status is not None:
            assert response.status_code == status, response.get_data(as_text=True)
        return response

    def get(self, path: str, *, status: int = 200, **options: Any) -> dict[str, Any]:
        """The JSON of a GET."""
        return dict(self.ask("GET", path, status=status, **options).json or {})

    def post(self, path: str, body: Any, *, status: int = 201, **options: Any) -> dict[str, Any]:
        """The JSON of a POST, {} for none."""
        return dict(
            self.ask("POST", path, body, status=status, **options).get_json(silent=True) or {}
        )

    def patch(self, path: str, body: Any, *, status: int = 204, **options: Any) -> dict[str, Any]:
        """The JSON of a PATCH, {} for none."""
        return dict(
            self.ask("PATCH", path, body, status=status, **options).get_json(silent=True) or {}
        )

    def delete(self, path: str, *, status: int = 204, **options: Any) -> dict[str, Any]:
        """The JSON of a DELETE, {} for none."""
        return dict(self.ask("DELETE", path, status=status, **options).get_json(silent=True) or {})

    def pages(self, path: str, **options: Any) -> Iterator[dict[str, Any]]:
        """Every page of a list, as iterators follow it: the first request's headers go with the
        first alone.
        """
        page = self.get(path, **options)
        yield page
        while "@odata.nextLink" in page:
            page = self.get(page["@odata.nextLink"])
            yield page

    def all(self, path: str, **options: Any) -> list[dict[str, Any]]:
        """Every object of a list."""
        return [one for page in self.pages(path, **options) for one in page["value"]]

    def names(self, path: str, **options: Any) -> list[str]:
        """Their display names."""
        return [one["displayName"] for one in self.all(path, **options)]


def check(response: TestResponse) -> None:
    """errors-throttling.md, sections 1 and 3: JSON and ids on whatever is answered."""
    assert response.status_code < 500 or response.status_code in (501, 503), response.text
    UUID(response.headers["request-id"])
    UUID(response.headers["client-request-id"])
    kind = response.headers.get("Content-Type", "")
    assert "html" not in kind
    if response.status_code == 204:
        assert response.get_data() == b""
    if response.status_code >= 400:
        assert kind.startswith("application/json"), kind
        error = (response.json or {})["error"]
        assert error["code"]
        assert error["message"]
        assert error["innerError"]["request-id"] == response.headers["request-id"]
        assert error["innerError"]["date"]


@dataclass
class World:
    """WoodGrove with an application, and tokens for whoever is wanted."""

    app: Flask
    cast: Cast
    clock: Clock
    client_id: UUID
    registration_id: UUID

    def run(self, what: Any, by: UUID | None = None) -> Any:
        """*what* with a session and John (or somebody else of WoodGrove), committed."""
        with self.app.app_context(), worker.transaction() as session:
            return what(
                session, acting(session, self.cast.woodgrove, by or self.cast.john, self.clock.now)
            )

    def program(self, *permissions: str) -> Graph:
        """The application by itself with just these permissions; all of them by default."""
        wanted = permissions or tuple(graph_permissions.ROLES)

        def made(session: Session, john: Actor) -> str:
            registration = app_registrations.get(session, john, self.registration_id).registration
            graph = consent.graph_principal(session, john)
            principal = consent.principal_of(session, john, registration.app_id)
            held = consent.roles_of(session, principal, graph)
            missing = [one for one in wanted if one not in held]
            if missing:
                consent.give_roles(session, john, principal, graph, missing)
            credential = session.scalars(select(ApplicationCredential)).first()
            woodgrove = session.get_one(Tenant, self.cast.woodgrove)
            client = replace(
                clients.in_tenant(session, registration, woodgrove), credential=credential
            )
            return tokens.app_token(
                signing_keys.signer(session, now=self.clock.now), client,
                Resource(graph, None, tokens.GRAPH), wanted, now=self.clock.now,
            )  # fmt: skip

        return Graph(self.app, self.run(made))

    def nobody(self) -> Graph:
        """No token."""
        return Graph(self.app, None)

    def person(self, user_id: UUID, *scopes: str) -> Graph:
        """Somebody of WoodGrove by the application, with these scopes granted to all."""
        wanted = scopes or tuple(
            name
            for name in graph_permissions.SCOPES
            if name not in ("openid", "profile", "email", "offline_access")
        )

        def made(session: Session, john: Actor) -> str:
            registration = app_registrations.get(session, john, self.registration_id).registration
            graph = consent.graph_principal(session, john)
            principal = consent.principal_of(session, john, registration.app_id)
            consent.grant(session, john, principal, graph, wanted)
            grant = SignInGrant(
                tenant_id=self.cast.woodgrove, id=new_id(), user_id=user_id,
                app_id=registration.app_id, scope=" ".join(wanted), signed_in_at=self.clock.now,
                created_at=self.clock.now, expires_at=self.clock.now + timedelta(hours=1),
            )  # fmt: skip
            session.add(grant)
            woodgrove = session.get_one(Tenant, self.cast.woodgrove)
            client = clients.in_tenant(session, registration, woodgrove)
            return tokens.access_token(
                session, signing_keys.signer(session, now=self.clock.now),
                tokens.Grant(
                    session.get_one(User, (self.cast.woodgrove, user_id)), None, client, (), None,
                    self.clock.now, grant.id,
                ),
                Resource(graph, None, tokens.GRAPH), wanted, now=self.clock.now,
            )  # fmt: skip

        return Graph(self.app, self.run(made))


_KEYS: list[bytes] = []


@pytest.fixture(autouse=True)
def _keys_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Signing keys made once: finding primes costs more than most of these tests."""
    make, taken = jose.new_key, iter(range(100))

    def kept() -> bytes:
        number = next(taken)
        while len(_KEYS) <= number:
            _KEYS.append(make())
        return _KEYS[number]

    monkeypatch.setattr(jose, "new_key", kept)


@pytest.fixture
def world(app: Flask, cast: Cast, clock: Clock) -> World:
    with app.app_context(), worker.transaction() as session:
        john = acting(session, cast.woodgrove, cast.john, clock.now)
        made: Registered = app_registrations.register(
            session,
            john,
            "Onboarding",
            Facts({Platform.WEB: ["https://onboarding.woodgrove.example/cb"]}),
        )
        app_credentials.add_secret(
            session, john, made.registration.id, expires_at=clock.now + timedelta(days=700)
        )
        return World(app, cast, clock, made.registration.app_id, made.registration.id)


@pytest.fixture
def daemon(world: World) -> Graph:
    """A program with every permission."""
    return world.program()


@pytest.fixture
def adele_graph(world: World, cast: Cast) -> Graph:
    """A member without roles, with every scope."""
    return world.person(cast.adele)
