"""Official clients for Node, unmodified, against the running program over https (clients.md)."""

import base64
import re
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from joserfc import jwt
from joserfc.jwk import RSAKey
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.models import Platform
from b2b.services import app_credentials, app_registrations
from b2b.services.app_registrations import Facts
from tests import clients
from tests.certificates import certificate
from tests.journeys.client import Client
from tests.journeys.cloud import ADELE, CALLBACK, Cloud, Registrar, middle_tier
from tests.journeys.program import ROOT

pytestmark = [
    pytest.mark.long,
    pytest.mark.usefixtures("trusting"),
    pytest.mark.xdist_group("official clients"),
    # msal would rather have its answers posted.
    pytest.mark.filterwarnings("ignore:response_mode='form_post' is recommended"),
]

EXAMPLES = re.findall(
    r"^```js\n(.*?)^```", (ROOT / "docs" / "clients.md").read_text(), re.MULTILINE | re.DOTALL
)
GRAPH = "https://graph.microsoft.com"


@pytest.fixture(scope="module")
def task(cloud: Cloud) -> dict[str, Any]:
    """What the drivers are told: applications, a person, and a certificate."""
    registrar = Registrar(cloud)
    made = certificate(datetime.now(UTC))
    daemon, public = cloud.app("daemon"), cloud.app("public")

    def prepare(session: Session, actor: Actor) -> dict[str, Any]:
        found = app_registrations.by_app_id(session, actor, UUID(daemon["appId"]))
        app_credentials.add_certificate(session, actor, found.registration.id, made.public)
        hybrid = app_registrations.register(
            session, actor, "Hybrid", Facts(redirect_uris={Platform.WEB: [CALLBACK]})
        ).registration
        app_registrations.set_authentication(session, actor, hybrid.id, issues_id_tokens=True)
        _, secret = app_credentials.add_secret(session, actor, hybrid.id)
        return {**public, "appId": str(hybrid.app_id), "clientSecret": secret}

    hybrid = registrar.run(prepare)
    middle_id, secret = middle_tier(registrar, public["appId"])
    sha256 = x509.load_pem_x509_certificate(made.public).fingerprint(hashes.SHA256())
    written = base64.urlsafe_b64encode(sha256).decode().rstrip("=")
    now = int(time.time())
    assertion = jwt.encode(
        {"alg": "RS256", "x5t#S256": written},
        {
            "iss": daemon["appId"],
            "sub": daemon["appId"],
            "aud": f"{cloud.base}/{daemon['tenantId']}/oauth2/v2.0/token",
            "jti": str(uuid4()),
            "iat": now,
            "exp": now + 600,
        },
        RSAKey.import_key(made.private),
    )
    return {
        "base": cloud.base,
        "callback": CALLBACK,
        "daemon": daemon,
        "web": cloud.app("web"),
        "public": public,
        "hybrid": hybrid,
        "middle": {**public, "appId": middle_id, "clientSecret": secret},
        "user": ADELE,
        "password": cloud.program.password(ADELE),
        "certificate": {
            "privateKey": made.private.decode(),
            "pem": made.public.decode(),
            "sha256": sha256.hex(),
            "sha256Base64": written,
            "assertion": assertion,
        },
    }


def person(cloud: Cloud) -> Callable[[dict[str, str]], str]:
    """Adele with a browser: opens what a client shows her, or enters the code of a device."""
    browser: Client = cloud.browser()

    def act(asked: dict[str, str]) -> str:
        if "open" in asked:
            page = browser.get(asked["open"])
            if page.h1 == "Permissions requested":
                page = browser.submit(page, decision="accept")
            return page.url
        page = browser.submit(browser.get("/devicelogin"), user_code=asked["device"])
        page = browser.submit(page, decision="accept")
        assert page.h1 == "Go back to the device"
        return ""

    return act


def converse(cloud: Cloud, driver: str, task: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = clients.converse(driver, task, person(cloud), ca_file=cloud.ca_file)
    return found


def assert_daemon(claims: dict[str, Any], task: dict[str, Any], *, proof: str) -> None:
    assert (claims["aud"], claims["appid"]) == (GRAPH, task["daemon"]["appId"])
    assert (claims["idtyp"], claims["appidacr"]) == ("app", proof)
    assert "User.ReadWrite.All" in claims["roles"]


def test_msal_node(cloud: Cloud, task: dict[str, Any]) -> None:
    """clients.md: every grant, silent renewal, and refusals as its own error types"""
    found = converse(cloud, "msal-node.mjs", task)
    assert_daemon(found["daemon"], task, proof="1")
    assert found["fromCache"] is True
    wrong = found["wrongSecret"]
    assert (wrong["kind"], wrong["code"]) == ("ServerError", "invalid_client")
    assert "AADSTS7000215" in wrong["message"]
    assert "AADSTS1002012" in found["singleScope"]["message"]
    assert_daemon(found["certificate"], task, proof="2")
    code = found["code"]
    assert code["account"]["username"] == ADELE
    assert code["id"]["nonce"] == "a nonce"
    assert "User.Read" in code["scopes"]
    assert found["silent"] is True
    assert found["renewed"] == {"fromCache": False, "another": True}
    refused = found["refused"]
    assert refused["kind"] == "InteractionRequiredAuthError"
    assert refused["suberror"] == "consent_required"
    assert "AADSTS65001" in refused["message"]
    assert found["web"]["appidacr"] == "1"
    assert found["device"]["preferred_username"] == ADELE
    assert found["deviceMessage"] is True
    assert found["password"]["preferred_username"] == ADELE
    assert "AADSTS50126" in found["wrongPassword"]["message"]
    assert found["onBehalfOf"]["appid"] == task["middle"]["appId"]
    assert found["onBehalfOf"]["oid"] == found["web"]["oid"]
    assert "AADSTS65001" in found["onBehalfOfRefused"]["message"]


def test_azure_identity_for_node(cloud: Cloud, task: dict[str, Any], registrar: Registrar) -> None:
    """clients.md: every credential, and refusals as its own error types"""
    task = {**task, "assertion": called_api(cloud, task)}
    found = converse(cloud, "azure-identity.mjs", task)
    assert_daemon(found["daemon"], task, proof="1")
    assert_daemon(found["graphByHost"], task, proof="1")
    assert_daemon(found["certificate"], task, proof="2")
    assert_daemon(found["assertion"], task, proof="2")
    wrong = found["wrongSecret"]
    assert wrong["kind"] == "AuthenticationRequiredError"
    assert "AADSTS7000215" in wrong["message"]
    assert found["code"]["appid"] == task["web"]["appId"]
    assert "User.Read" in found["code"]["scp"].split()
    assert found["device"]["scp"].split().count("User.Read") == 1
    assert "User.ReadBasic.All" in found["renewed"]["scp"].split()
    assert found["refused"]["kind"] == "AuthenticationRequiredError"
    assert found["password"]["oid"] == found["device"]["oid"]
    assert "AADSTS50126" in found["wrongPassword"]["message"]
    assert found["onBehalfOf"]["appid"] == task["middle"]["appId"]
    assert "AADSTS65001" in found["onBehalfOfRefused"]["message"]


def called_api(cloud: Cloud, task: dict[str, Any]) -> str:
    """An access token that the middle tier was called with."""
    client = cloud.public(task["public"])
    scope = f"api://{task['middle']['appId']}/Work.Do"
    flow = client.initiate_auth_code_flow([scope], redirect_uri=CALLBACK)
    answer = dict(
        pair.split("=", 1)
        for pair in person(cloud)({"open": flow["auth_uri"]}).partition("?")[2].split("&")
    )
    return str(client.acquire_token_by_auth_code_flow(flow, answer)["access_token"])


def test_openid_client(cloud: Cloud, task: dict[str, Any]) -> None:
    """clients.md; OIDC-4: its refresh token used twice ends the sign-in"""
    task = {**task, "assertion": called_api(cloud, task)}
    found = converse(cloud, "openid-client.mjs", task)
    tenant = f"{cloud.base}/{task['daemon']['tenantId']}"
    assert found["issuer"] == f"{tenant}/v2.0"
    assert_daemon(found["daemon"], task, proof="1")
    assert_daemon(found["basic"], task, proof="1")
    assert_daemon(found["certificate"], task, proof="2")
    wrong = found["wrongSecret"]
    assert (wrong["kind"], wrong["code"], wrong["status"]) == (
        "ResponseBodyError", "invalid_client", 401,
    )  # fmt: skip
    assert wrong["description"].startswith("AADSTS7000215: ")
    code = found["code"]
    assert (code["iss"], code["aud"]) == (f"{tenant}/v2.0", task["public"]["appId"])
    assert code["preferred_username"] == ADELE
    assert "User.Read" in found["scope"].split()
    assert found["userinfo"] == {
        "sub": code["sub"], "name": "Adele Vance", "given_name": "Adele", "family_name": "Vance",
        "email": ADELE,
    }  # fmt: skip
    assert found["renewed"] == {"another": True, "sub": code["sub"]}
    assert found["usedTwice"]["code"] == "invalid_grant"
    assert found["familyEnded"]["code"] == "invalid_grant"
    assert found["badToken"]["kind"] == "WWWAuthenticateChallengeError"
    assert found["web"]["aud"] == task["web"]["appId"]
    cancelled = found["cancelled"]
    assert (cancelled["kind"], cancelled["code"]) == (
        "AuthorizationResponseError",
        "login_required",
    )
    assert found["hybrid"]["aud"] == found["implicit"]["aud"] == task["hybrid"]["appId"]
    assert found["pending"]["code"] == "authorization_pending"
    assert found["device"]["sub"] == code["sub"]
    assert found["onBehalfOf"]["appid"] == task["middle"]["appId"]
    assert found["password"]["sub"] == code["sub"]
    assert found["signOut"].startswith(f"{tenant}/oauth2/v2.0/logout?")
    assert found["unknownTenant"]["message"] == "unexpected HTTP response status code"


@pytest.mark.parametrize("example", EXAMPLES, ids=["msal-node", "azure-identity", "openid-client"])
def test_the_examples_of_the_documentation_run(cloud: Cloud, example: str, tmp_path: Path) -> None:
    """docs/clients.md, as it is printed, in a folder where the demo has been made"""
    folder = Path(cloud.ca_file).parents[2]
    program = folder / f"{tmp_path.name}.mjs"
    program.write_text(example)
    ran = subprocess.run(
        [clients.NODE, program], cwd=folder, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("eyJ"), ran.stdout
