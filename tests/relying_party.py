"""An application that signs people in, as a test plays it: registered, with a proof key."""

import base64
import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import UUID

from flask.testing import FlaskClient
from joserfc import jwt
from joserfc.jwk import KeySet
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from b2b.models import Application, ServicePrincipal, new_id
from b2b.services import applications
from tests.pages import ORIGIN

CALLBACK = "https://projects.woodgrove.example/callback"
VERIFIER = "a-verifier-of-at-least-43-characters-0123456789"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode()[:43]


@dataclass(frozen=True)
class Party:
    """What the application knows about itself."""

    tenant_id: UUID
    client_id: UUID

    def authorize_path(self, *, tenant: str | None = None, **changes: Any) -> str:
        """The authorize request; None leaves a parameter out, a list sends several."""
        values = {
            "client_id": str(self.client_id),
            "response_type": "code",
            "redirect_uri": CALLBACK,
            "scope": "openid profile email",
            "state": "a state",
            "nonce": "a nonce",
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            **changes,
        }
        query = urlencode({n: v for n, v in values.items() if v is not None}, doseq=True)
        return f"/{tenant or self.tenant_id}/oauth2/v2.0/authorize?{query}"

    def form(self, code: str, /, **changes: Any) -> dict[str, Any]:
        """What is posted to the token endpoint."""
        values = {
            "grant_type": "authorization_code",
            "client_id": str(self.client_id),
            "code": code,
            "redirect_uri": CALLBACK,
            "code_verifier": VERIFIER,
            **changes,
        }
        return {name: value for name, value in values.items() if value is not None}

    def exchange(self, client: FlaskClient, code: str, /, **changes: Any) -> TestResponse:
        """The code for tokens, without any cookie."""
        return client.post(
            f"/{self.tenant_id}/oauth2/v2.0/token",
            data=self.form(code, **changes),
            base_url=ORIGIN,
        )

    def claims(self, client: FlaskClient, id_token: str) -> dict[str, Any]:
        """What an ID token says, verified by the published keys."""
        published = client.get(f"/{self.tenant_id}/discovery/v2.0/keys", base_url=ORIGIN).json
        keys = KeySet.import_key_set(published)
        return jwt.decode(id_token, keys, algorithms=["RS256"]).claims


def register(
    session: Session,
    tenant_id: UUID,
    application_id: UUID,
    now: datetime,
    *assigned: UUID,
    redirect_uris: tuple[str, ...] = (CALLBACK,),
    is_public: bool = True,
    **columns: Any,
) -> Party:
    """Register an application that the tenant has, and assign people to it."""
    application = session.get_one(ServicePrincipal, (tenant_id, application_id))
    session.add(
        Application(
            tenant_id=tenant_id,
            id=new_id(),
            app_id=application.app_id,
            display_name=application.display_name,
            is_public=is_public,
            redirect_uris=[] if is_public else list(redirect_uris),
            public_redirect_uris=list(redirect_uris) if is_public else [],
            created_at=now,
            **columns,
        )
    )
    applications.assign(session, tenant_id, [(one, application_id) for one in assigned], now)
    session.flush()
    return Party(tenant_id, application.app_id)


def answered(response: TestResponse) -> dict[str, str]:
    """The parameters of a redirect to the application; fails for any other response."""
    assert response.status_code == 303, response.get_data(as_text=True)[:2000]
    location = response.headers["Location"]
    assert location.startswith(CALLBACK + "?"), location
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
