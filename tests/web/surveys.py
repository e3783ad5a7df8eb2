"""A registered application with every platform, and what it asks the identity platform."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import UUID

from flask import Flask
from werkzeug.test import TestResponse

from b2b import worker
from b2b.actor import Actor
from b2b.extensions import db
from b2b.services import (
    app_registrations,
    tokens,
)
from tests.cast import Cast, acting
from tests.conftest import Clock
from tests.pages import ORIGIN, Browser

WEB = "https://surveys.woodgrove.example/cb"
SPA = "https://spa.woodgrove.example/"
NATIVE = "http://localhost:18999/cb"
GRAPH = "https://graph.microsoft.com/.default"

Lock = Callable[[], AbstractContextManager[None]]
"""As long as it is held, nobody else writes."""


@dataclass
class Surveys:
    """An application with every platform, a secret, and consent to read profiles."""

    app: Flask
    cast: Cast
    clock: Clock
    client_id: str
    registration_id: UUID
    secret: str
    key_id: UUID

    def run(self, what: Any, tenant_id: UUID | None = None) -> Any:
        """*what* with a session and John (or the system of another tenant), committed."""
        with self.app.app_context(), worker.transaction() as session:
            if tenant_id is None:
                john = acting(session, self.cast.woodgrove, self.cast.john, self.clock.now)
            else:
                john = Actor.system(tenant_id, "x", "x.example", self.clock.now, label="x")
            return what(session, john)

    def change(self, what: Any) -> Any:
        """*what* with session, John and the registration."""
        return self.run(
            lambda session, john: what(
                session, john, app_registrations.get(session, john, self.registration_id)
            )
        )

    def path(self, *, tenant: Any = None, **changes: Any) -> str:
        """The authorize request."""
        values = {
            "client_id": self.client_id,
            "response_type": "code",
            "redirect_uri": WEB,
            "scope": "openid profile offline_access User.Read",
            "state": "s",
            "nonce": "n",
            **changes,
        }
        query = urlencode({n: v for n, v in values.items() if v is not None})
        return f"/{tenant or self.cast.woodgrove}/oauth2/v2.0/authorize?{query}"

    def post(self, tenant: Any = None, headers: Any = None, **form: Any) -> TestResponse:
        """One request to the token endpoint, without any cookie."""
        return self.app.test_client().post(
            f"/{tenant or self.cast.woodgrove}/oauth2/v2.0/token",
            data={"client_id": self.client_id, **form},
            headers=headers or {},
            base_url=ORIGIN,
        )

    def token(self, **form: Any) -> dict[str, Any]:
        """The same with the secret; fails unless it is answered with tokens."""
        response = self.post(client_secret=self.secret, **form)
        assert response.status_code == 200, response.json
        return dict(response.json or {})

    def signed_in(self, browser: Browser, **changes: Any) -> dict[str, Any]:
        """Tokens for whoever is signed in in *browser*."""
        code = answered(browser, self.path(**changes))["code"]
        return self.token(grant_type="authorization_code", code=code, redirect_uri=WEB)


def ask(browser: Browser, path: str) -> TestResponse:
    """One request, nothing followed."""
    return browser.client.get(path, base_url=ORIGIN)


def answered(browser: Browser, path: str) -> dict[str, str]:
    """What the application is told."""
    response = ask(browser, path)
    assert response.status_code == 303, response.get_data(as_text=True)[:1500]
    location = response.headers["Location"]
    assert not location.startswith(("/", ORIGIN)), location
    parts = urlsplit(location)
    return {n: v[0] for n, v in parse_qs(parts.query or parts.fragment).items()}


def is_good(surveys: Surveys, token: str) -> bool:
    with surveys.app.app_context():
        try:
            tokens.check_access(db.session(), token, now=surveys.clock.now)
        except tokens.BadToken:
            return False
        return True


def refusal(response: TestResponse) -> tuple[str, int]:
    told = response.json or {}
    return told["error"], told["error_codes"][0]
