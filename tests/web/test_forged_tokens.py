"""Forged tokens at every route that takes one, and keys that change while tokens are in use."""

import threading
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask
from flask.testing import FlaskClient
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from werkzeug.test import TestResponse

from b2b import worker
from b2b.extensions import db
from b2b.models import SigningKey
from b2b.services import app_credentials, app_registrations, consent, signing_keys
from tests.cast import Cast, acting
from tests.conftest import Clock
from tests.pages import ORIGIN, Browser
from tests.relying_party import CALLBACK, Party, register
from tests.web.test_identity_platform import forgeries, opened, tokens_of

GRAPH = [
    ("GET", "/v1.0/users"),
    ("GET", "/v1.0/me"),
    ("POST", "/v1.0/invitations"),
    ("POST", "/v1.0/$batch"),
    ("PATCH", "/beta/users/x"),
    ("DELETE", "/v1.0/users/x"),
    ("GET", "/v1.0/nowhere"),
]
ADELE = "adele.vance@woodgrove.example"


@pytest.fixture
def party(app: Flask, cast: Cast, clock: Clock) -> Party:
    """Projects, registered; Adele is assigned."""
    with app.app_context(), worker.transaction() as session:
        return register(session, cast.woodgrove, cast.projects, clock.now, cast.adele)


@pytest.fixture
def daemon(app: Flask, cast: Cast, clock: Clock) -> dict[str, str]:
    """What a program sends for a token in its own name."""
    with app.app_context(), worker.transaction() as session:
        john = acting(session, cast.woodgrove, cast.john, clock.now)
        made = app_registrations.register(session, john, "Nightly")
        _, secret = app_credentials.add_secret(session, john, made.registration.id)
        graph = consent.graph_principal(session, john)
        consent.give_roles(session, john, made.principal, graph, ["User.Read.All"])
        return {
            "client_id": str(made.registration.app_id),
            "client_secret": secret,
            "grant_type": "client_credentials",
            "scope": "https://graph.microsoft.com/.default",
        }


def of_us(app: Flask) -> Iterator[tuple[str, str]]:
    """Method and path of every route of the identity platform at which a bearer token counts."""
    seen = set()
    for rule in app.url_map.iter_rules():
        if rule.rule.startswith("/oidc/"):
            path = rule.rule
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                if (method, path) not in seen:
                    seen.add((method, path))
                    yield method, path


def test_a_forged_token_opens_no_route(
    app: Flask, client: FlaskClient, cast: Cast, party: Party
) -> None:
    """OIDC-5, API-1: userinfo and Graph, by every method"""
    answer = tokens_of(Browser(app).sign_in(ADELE, cast.password), party, client)
    good = answer["access_token"]
    with app.app_context():
        public = db.session.get_one(SigningKey, opened(good)[0]["kid"]).public_jwk
    forged = {**forgeries(good, public), "the ID token": answer["id_token"], "none": ""}
    routes = [*of_us(app), *GRAPH]
    assert ("GET", "/oidc/userinfo") in routes
    for method, path in routes:
        for name, token in forged.items():
            response = client.open(
                path, method=method, base_url=ORIGIN, headers={"Authorization": f"Bearer {token}"}
            )
            assert response.status_code == 401, f"{method} {path}: {name}"
            assert response.headers["WWW-Authenticate"].startswith("Bearer "), name


def test_a_forged_token_is_no_assertion_and_no_hint(
    app: Flask, client: FlaskClient, cast: Cast, party: Party, daemon: dict[str, str]
) -> None:
    """OIDC-5, OIDC-10: on behalf of, client assertion, sign-out"""
    browser = Browser(app).sign_in(ADELE, cast.password)
    answer = tokens_of(browser, party, client)
    with app.app_context():
        kid = opened(answer["access_token"])[0]["kid"]
        public = db.session.get_one(SigningKey, kid).public_jwk
    path = f"/{cast.woodgrove}/oauth2/v2.0/token"

    def on_behalf_of(token: str) -> TestResponse:
        sent = {
            **daemon,
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "requested_token_use": "on_behalf_of",
            "assertion": token or "x",
        }
        return client.post(path, data=sent, base_url=ORIGIN)

    def client_assertion(token: str) -> TestResponse:
        sent = {name: value for name, value in daemon.items() if name != "client_secret"}
        kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        sent |= {"client_assertion_type": kind, "client_assertion": token or "x"}
        return client.post(path, data=sent, base_url=ORIGIN)

    doors: dict[str, tuple[Callable[[str], TestResponse], set[int]]] = {
        "on behalf of": (on_behalf_of, {50013, 9000411, 900144}),
        "client assertion": (client_assertion, {700027, 700016}),
    }
    for name, token in forgeries(answer["access_token"], public).items():
        for door, (knock, codes) in doors.items():
            response = knock(token)
            assert response.status_code in (400, 401), f"{door}: {name}"
            assert set((response.json or {})["error_codes"]) <= codes, f"{door}: {name}"
    for name, token in forgeries(answer["id_token"], public).items():
        query = urlencode({"id_token_hint": token, "post_logout_redirect_uri": CALLBACK})
        page = browser.client.get(f"/{cast.woodgrove}/oauth2/v2.0/logout?{query}", base_url=ORIGIN)
        assert page.status_code == 200, name
        assert "Sign out?" in page.get_data(as_text=True), name


class Verifier:
    """An API that keeps the published keys for an hour, as their header allows."""

    def __init__(self, app: Flask, cast: Cast, clock: Clock) -> None:
        self._client, self._cast, self._clock = app.test_client(), cast, clock
        self._keys: KeySet | None = None
        self._read_at = clock.now

    def accepts(self, token: str) -> bool:
        if self._keys is None or (self._clock.now - self._read_at).total_seconds() >= 3600:
            published = self._client.get(
                f"/{self._cast.woodgrove}/discovery/v2.0/keys", base_url=ORIGIN
            ).json
            self._keys, self._read_at = KeySet.import_key_set(published), self._clock.now
        try:
            jwt.decode(token, self._keys, algorithms=["RS256"])
        except (JoseError, ValueError):
            return False
        return True


@pytest.mark.long
def test_keys_change_under_load_and_no_token_fails(
    app: Flask, cast: Cast, clock: Clock, daemon: dict[str, str]
) -> None:
    """OIDC-6: four programs at once, through two planned changes"""
    stop = threading.Event()
    seen: list[set[str]] = [set() for _ in range(4)]
    counts, failed = [0] * 4, list[str]()

    def work(number: int) -> None:
        client, verifier = app.test_client(), Verifier(app, cast, clock)
        kept: list[tuple[Any, str]] = []
        while not stop.is_set():
            answer = client.post(
                f"/{cast.woodgrove}/oauth2/v2.0/token", data=daemon, base_url=ORIGIN
            ).get_json()
            token = answer["access_token"]
            seen[number].add(opened(token)[0]["kid"])
            kept = [(at, one) for at, one in kept if (clock.now - at).total_seconds() < 3600]
            kept = [*kept[-5:], (clock.now, token)]
            failed.extend(one for _, one in kept if not verifier.accepts(one))
            counts[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    try:
        for step in range(120):
            before = sum(counts)
            while sum(counts) < before + 4 and any(thread.is_alive() for thread in threads):
                stop.wait(0.01)
            clock.advance(minutes=30)
            if step in (10, 60):
                with app.app_context(), worker.transaction() as session:
                    signing_keys.rotate(session, now=clock.now)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failed == []
    assert min(counts) > 20
    assert len(set.union(*seen)) == 3, "both changes happened on the way"
