"""What a program is told whose proof, or whose request, is not good enough."""

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from joserfc import jwt
from joserfc.jwk import RSAKey

from b2b import worker
from b2b.services import app_credentials, app_registrations, applications
from b2b.services.clients import ASSERTION_TYPE
from tests.cast import Cast, acting
from tests.certificates import Made, certificate
from tests.conftest import Clock
from tests.pages import ORIGIN
from tests.services.test_tokens import said

GRAPH = "https://graph.microsoft.com/.default"


class Program:
    """A registered program with a certificate, and what it sends."""

    def __init__(
        self, client: FlaskClient, cast: Cast, clock: Clock, app_id: UUID, made: Made
    ) -> None:
        self._client, self._cast, self._clock = client, cast, clock
        self.app_id = str(app_id)
        self._made = made

    def assertion(self, **changes: Any) -> str:
        """A good proof, or one with changes."""
        now = int(self._clock.now.timestamp())
        claims = {
            "iss": self.app_id,
            "sub": self.app_id,
            "aud": f"{ORIGIN}/{self._cast.woodgrove}/oauth2/v2.0/token",
            "jti": str(uuid4()),
            "nbf": now,
            "exp": now + 600,
            **changes,
        }
        header = {"alg": "RS256", "kid": self._made.thumbprint}
        return jwt.encode(header, claims, RSAKey.import_key(self._made.private))

    def ask(self, assertion: str, scope: str = GRAPH) -> dict[str, Any]:
        """What the token endpoint answers."""
        answer = self._client.post(
            f"/{self._cast.woodgrove}/oauth2/v2.0/token",
            data={
                "grant_type": "client_credentials",
                "client_id": self.app_id,
                "client_assertion_type": ASSERTION_TYPE,
                "client_assertion": assertion,
                "scope": scope,
            },
            base_url=ORIGIN,
        )
        found: dict[str, Any] = answer.get_json()
        return found


@pytest.fixture
def program(app: Flask, client: FlaskClient, cast: Cast, clock: Clock) -> Program:
    made = certificate(clock.now)
    with app.app_context(), worker.transaction() as session:
        john = acting(session, cast.woodgrove, cast.john, clock.now)
        one = app_registrations.register(session, john, "Nightly").registration
        app_credentials.add_certificate(session, john, one.id, made.public)
        return Program(client, cast, clock, one.app_id, made)


def test_a_good_proof_is_taken_while_it_lasts(cast: Cast, clock: Clock, program: Program) -> None:
    proof = program.assertion()
    assert said(program.ask(proof)["access_token"])["appidacr"] == "2"
    issuer = f"{ORIGIN}/{cast.woodgrove}/v2.0"
    assert "access_token" in program.ask(program.assertion(aud=[issuer]))
    clock.advance(minutes=16)
    assert program.ask(proof)["error_codes"] == [700024]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda now: {"iss": str(uuid4())}, 700021),
        (lambda now: {"aud": "https://elsewhere.example/token"}, 700023),
        (lambda now: {"aud": None}, 700023),
        (lambda now: {"nbf": now + 3600, "exp": now + 7200}, 700024),
        (lambda now: {"exp": now + 90_000}, 700024),
        (lambda now: {"exp": "soon"}, 700027),
    ],
)
def test_a_proof_for_somebody_something_or_some_time_else_is_refused(
    program: Program, clock: Clock, change: Callable[[int], dict[str, Any]], code: int
) -> None:
    """OIDC-5; RFC 7523, section 3"""
    changes = change(int(clock.now.timestamp()))
    answer = program.ask(program.assertion(**changes))
    assert (answer["error"], answer["error_codes"]) == ("invalid_client", [code])


def test_permissions_of_two_services_at_once_are_refused(program: Program) -> None:
    scope = "api://one/.default api://other/.default"
    answer = program.ask(program.assertion(), scope)
    assert (answer["error"], answer["error_codes"]) == ("invalid_scope", [28000])


def test_a_service_that_asks_for_assignment_lets_nobody_else_in(
    app: Flask, cast: Cast, clock: Clock, program: Program
) -> None:
    with app.app_context(), worker.transaction() as session:
        john = acting(session, cast.woodgrove, cast.john, clock.now)
        api = app_registrations.register(session, john, "Archive")
        uri = f"api://{api.registration.app_id}"
        app_registrations.set_identifier_uris(session, john, api.registration.id, [uri])
        applications.require_assignment(session, john, api.principal.id, True)
    answer = program.ask(program.assertion(), f"{uri}/.default")
    assert (answer["error"], answer["error_codes"]) == ("access_denied", [501051])


@pytest.mark.parametrize(
    "asked",
    ["", "https://elsewhere.example/common/oauth2/v2.0/authorize", f"{ORIGIN}/x", "http://["],
)
def test_instance_discovery_knows_this_installation_alone(client: FlaskClient, asked: str) -> None:
    answer = client.get(
        "/common/discovery/instance",
        query_string={"api-version": "1.1", "authorization_endpoint": asked},
        base_url=ORIGIN,
    )
    assert answer.status_code == 400
    assert answer.get_json()["error"] == "invalid_instance"
    assert answer.get_json()["error_codes"] == [50049]
