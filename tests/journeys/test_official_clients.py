"""Microsoft's own client libraries, unmodified, against the running program over https
(clients.md).
"""

import re
import subprocess
import sys
import time
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import msal
import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import (
    AuthorizationCodeCredential,
    CertificateCredential,
    ClientSecretCredential,
    OnBehalfOfCredential,
)
from requests.adapters import HTTPAdapter
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.services import app_credentials, app_registrations
from tests.certificates import certificate
from tests.journeys.cloud import (
    ADELE,
    CALLBACK,
    Cloud,
    Registrar,
    answer_of,
    claims_of,
    middle_tier,
    userinfo,
)
from tests.journeys.program import ROOT

pytestmark = [
    pytest.mark.long,
    pytest.mark.usefixtures("trusting"),
    pytest.mark.xdist_group("official clients"),
    # msal would rather have its answers posted; both ways are played here.
    pytest.mark.filterwarnings("ignore:response_mode='form_post' is recommended"),
    pytest.mark.filterwarnings("ignore:Attempted too soon"),
]

GRAPH = ["https://graph.microsoft.com/.default"]


# A program by itself -----------------------------------------------------------------------------


@pytest.mark.parametrize("organisation", ["WoodGrove", "Contoso"])
def test_msal_gets_a_token_with_a_secret(cloud: Cloud, organisation: str) -> None:
    daemon = cloud.app("daemon", organisation)
    client = cloud.confidential(daemon)
    got = client.acquire_token_for_client(GRAPH)
    assert got["token_type"] == "Bearer", got
    assert got["expires_in"] == 3600
    assert not {"refresh_token", "id_token", "scope"} & set(got)
    claims = claims_of(got["access_token"])
    assert claims["aud"] == "https://graph.microsoft.com"
    assert claims["iss"] == f"{cloud.base}/{daemon['tenantId']}/"
    assert (claims["appid"], claims["appidacr"], claims["ver"]) == (daemon["appId"], "1", "1.0")
    assert claims["idtyp"] == "app"
    assert claims["oid"] == claims["sub"]
    assert {"User.ReadWrite.All", "User.Invite.All", "Directory.Read.All"} <= set(claims["roles"])
    assert "scp" not in claims
    again = client.acquire_token_for_client(GRAPH)
    assert (again["token_source"], again["access_token"]) == ("cache", got["access_token"])


def test_instance_discovery_by_the_program_itself(cloud: Cloud) -> None:
    """clients.md: a URL of our own instance-discovery endpoint"""
    daemon = cloud.app("daemon")
    client = cloud.confidential(
        daemon, instance_discovery=f"{cloud.base}/common/discovery/instance"
    )
    assert "access_token" in client.acquire_token_for_client(GRAPH)
    by_issuer = msal.ConfidentialClientApplication(
        daemon["appId"], client_credential=daemon["clientSecret"],
        oidc_authority=f"{cloud.base}/{daemon['tenantId']}/v2.0", verify=cloud.ca_file,
    )  # fmt: skip
    assert "access_token" in by_issuer.acquire_token_for_client(GRAPH)
    by_domain = cloud.confidential(daemon, authority=f"{cloud.base}/woodgrove.example")
    assert "access_token" in by_domain.acquire_token_for_client(GRAPH)


def test_a_wrong_secret_is_the_clients_own_error(cloud: Cloud) -> None:
    """OIDC-9: never cached; clients.md: parsed by the client"""
    daemon = cloud.app("daemon")
    got = cloud.confidential(daemon, "wrong").acquire_token_for_client(GRAPH)
    assert got["error"] == "invalid_client"
    assert got["error_codes"] == [7000215]
    assert got["error_description"].startswith("AADSTS7000215: Invalid client secret provided.")
    with pytest.raises(ClientAuthenticationError, match="AADSTS7000215"):
        ClientSecretCredential(
            daemon["tenantId"], daemon["appId"], "wrong", **cloud.azure()
        ).get_token(*GRAPH)
    single = cloud.confidential(daemon).acquire_token_for_client(["User.Read.All"])
    assert (single["error"], single["error_codes"]) == ("invalid_scope", [1002012])


def test_azure_identity_and_every_name_that_means_graph(cloud: Cloud) -> None:
    """clients.md, token endpoint: scopes that clients really send"""
    daemon = cloud.app("daemon")
    credential = ClientSecretCredential(
        daemon["tenantId"], daemon["appId"], daemon["clientSecret"], **cloud.azure()
    )
    for scope in (*GRAPH, "https://localhost/.default", f"{cloud.base}/.default",
                  f"{cloud.base}//.default"):  # fmt: skip
        got = credential.get_token(scope)
        assert claims_of(got.token)["aud"] == "https://graph.microsoft.com", scope
        assert abs(got.expires_on - time.time() - 3600) < 30


def test_a_client_without_permissions_gets_a_token_without_roles(cloud: Cloud) -> None:
    got = cloud.confidential(cloud.app("low")).acquire_token_for_client(GRAPH)
    assert "roles" not in claims_of(got["access_token"])


def test_a_certificate_proves_a_program_by_either_thumbprint(
    cloud: Cloud, registrar: Registrar
) -> None:
    """clients.md: private_key_jwt with x5t (azure-identity) and x5t#S256 (msal)"""
    made = certificate(datetime.now(UTC))
    private, public, thumbprint = made.private.decode(), made.public, made.thumbprint
    daemon = cloud.app("daemon")

    def add(session: Session, actor: Actor) -> None:
        found = app_registrations.by_app_id(session, actor, UUID(daemon["appId"]))
        app_credentials.add_certificate(session, actor, found.registration.id, public)

    registrar.run(add)
    credentials: list[dict[str, Any]] = [
        {"private_key": private, "thumbprint": thumbprint},
        {"private_key": private, "public_certificate": public.decode()},
    ]
    for credential in credentials:
        got = cloud.confidential(daemon, credential).acquire_token_for_client(GRAPH)
        assert "access_token" in got, got
        assert claims_of(got["access_token"])["appidacr"] == "2"
    by_azure = CertificateCredential(
        daemon["tenantId"], daemon["appId"],
        certificate_data=private.encode() + public, **cloud.azure(),
    )  # fmt: skip
    assert by_azure.get_token(*GRAPH).token
    other = certificate(datetime.now(UTC))
    forged = {"private_key": other.private.decode(), "thumbprint": thumbprint}
    got = cloud.confidential(daemon, forged).acquire_token_for_client(GRAPH)
    assert (got["error"], got["error_codes"]) == ("invalid_client", [700027])


# People ------------------------------------------------------------------------------------------


def test_code_and_proof_key_then_silent_renewal(cloud: Cloud) -> None:
    """OIDC-2, OIDC-4: msal makes the proof key, and renews without a page"""
    app = cloud.app("public")
    client = cloud.public(app)
    flow = client.initiate_auth_code_flow(["User.Read"], redirect_uri=CALLBACK, state="a=b&c")
    page = cloud.browser().get(flow["auth_uri"])
    answer = answer_of(page.url)
    assert answer["state"] == "a=b&c"
    got = client.acquire_token_by_auth_code_flow(flow, answer)
    assert got["id_token_claims"]["preferred_username"] == ADELE, got
    assert set(got["scope"].split()) == {"openid", "profile", "User.Read"}
    access = claims_of(got["access_token"])
    assert set(access["scp"].split()) == {"openid", "profile", "User.Read"}
    about = userinfo(cloud, got["access_token"])
    assert about.json()["sub"] == got["id_token_claims"]["sub"]
    [account] = client.get_accounts()
    assert account["username"] == ADELE
    assert account["home_account_id"] == f"{access['oid']}.{access['tid']}"
    kept = client.acquire_token_silent(["User.Read"], account=account)
    assert kept["token_source"] == "cache"
    renewed = client.acquire_token_silent(["User.Read"], account=account, force_refresh=True)
    assert renewed["token_source"] == "identity_provider"
    assert renewed["access_token"] != got["access_token"]
    other = client.acquire_token_silent(["User.ReadBasic.All"], account=account)
    assert "User.ReadBasic.All" in other["scope"]
    never = client.acquire_token_silent_with_error(["User.ReadWrite.All"], account=account)
    assert never["error"] == "invalid_grant"
    assert never["suberror"] == "consent_required"
    assert never["error_codes"] == [65001]


def test_a_confidential_client_with_a_code(cloud: Cloud) -> None:
    app = cloud.app("web")
    client = cloud.confidential(app)
    flow = client.initiate_auth_code_flow(["User.Read", "email"], redirect_uri=CALLBACK)
    got = client.acquire_token_by_auth_code_flow(
        flow, answer_of(cloud.browser().get(flow["auth_uri"]).url)
    )
    assert got["id_token_claims"]["email"] == ADELE, got
    assert claims_of(got["access_token"])["appidacr"] == "1"
    flow = client.initiate_auth_code_flow(["User.Read"], redirect_uri=CALLBACK)
    code = answer_of(cloud.browser().get(flow["auth_uri"]).url)["code"]
    with pytest.raises(ClientAuthenticationError, match="AADSTS900144"):  # no code_verifier
        AuthorizationCodeCredential(
            app["tenantId"], app["appId"], code, CALLBACK,
            client_secret=app["clientSecret"], **cloud.azure(),
        ).get_token("User.Read")  # fmt: skip


def test_a_device_is_let_in_by_its_code(cloud: Cloud) -> None:
    """OIDC-7: typed by hand, and the page names application, place and time"""
    client = cloud.public(cloud.app("public"))
    flow = client.initiate_device_flow(["User.Read"])
    assert flow["user_code"] in flow["message"]
    assert flow["verification_uri"] == f"{cloud.base}/devicelogin"
    pending = client.acquire_token_by_device_flow(flow, exit_condition=lambda _: True)
    assert pending["error"] == "authorization_pending"
    browser = cloud.browser()
    page = browser.get("/devicelogin")
    page = browser.submit(page, user_code=flow["user_code"].lower())
    assert page.h1 == "Are you signing in on another device?"
    assert "Demo public client" in page.soup.get_text()
    page = browser.submit(page, decision="accept")
    assert page.h1 == "Go back to the device"
    got = client.acquire_token_by_device_flow(flow)
    assert got["id_token_claims"]["preferred_username"] == ADELE, got
    assert "refresh_token" in got
    spent = client.acquire_token_by_device_flow(dict(flow), exit_condition=lambda _: True)
    assert spent["error"] == "bad_verification_code"


class ThroughPort(HTTPAdapter):
    """msal asks for a user realm without the port of the authority (clients.md, TLS)."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self._netloc = urlsplit(base).netloc

    def send(self, request: Any, *args: Any, **options: Any) -> Any:
        parts = urlsplit(request.url)
        request.url = urlunsplit(parts._replace(netloc=self._netloc))
        return super().send(request, *args, **options)


def test_a_name_and_a_password_where_the_organisation_allows_it(cloud: Cloud) -> None:
    """OIDC-2: the demo allows it"""
    http = requests.Session()
    http.verify = cloud.ca_file
    http.mount("https://localhost/", ThroughPort(cloud.base))
    app = cloud.app("public")
    client = msal.PublicClientApplication(
        app["appId"], authority=f"{cloud.base}/{app['tenantId']}", instance_discovery=False,
        http_client=http,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        password = cloud.program.password(ADELE)
        got = client.acquire_token_by_username_password(ADELE, password, ["User.Read"])
        assert got["id_token_claims"]["preferred_username"] == ADELE, got
        wrong = client.acquire_token_by_username_password(ADELE, "wrong", ["User.Read"])
        assert (wrong["error"], wrong["error_codes"]) == ("invalid_grant", [50126])
        guest = "minjun.kim@contoso.example"
        theirs = client.acquire_token_by_username_password(
            guest, cloud.program.password(guest), ["User.Read"]
        )
        assert (theirs["error"], theirs["error_codes"]) == ("invalid_grant", [50034])


def test_a_guest_uses_the_account_that_he_has(cloud: Cloud) -> None:
    """tokens.md, section 4: tid and oid are the organisation's that invited"""
    client = cloud.public(cloud.app("public"))
    flow = client.initiate_auth_code_flow(["User.Read"], redirect_uri=CALLBACK)
    browser = cloud.browser("minjun.kim@contoso.example")
    answer = answer_of(browser.get(flow["auth_uri"]).url)
    claims = client.acquire_token_by_auth_code_flow(flow, answer)["id_token_claims"]
    contoso = next(t["id"] for t in cloud.demo["tenants"] if t["displayName"] == "Contoso")
    assert claims["tid"] == cloud.app("public")["tenantId"]
    assert claims["idp"] == f"{cloud.base}/{contoso}/"
    assert claims["acct"] == 1


def test_one_program_further_in_somebodys_name(cloud: Cloud, registrar: Registrar) -> None:
    """decisions.md, on-behalf-of: 65001 and 50013, and no app-only assertions"""
    public = cloud.app("public")

    app_id, secret = middle_tier(registrar, public["appId"])
    client = cloud.public(public)
    flow = client.initiate_auth_code_flow([f"api://{app_id}/Work.Do"], redirect_uri=CALLBACK)
    first = client.acquire_token_by_auth_code_flow(
        flow, answer_of(cloud.browser().get(flow["auth_uri"]).url)
    )
    claims = claims_of(first["access_token"])
    assert (claims["aud"], claims["scp"]) == (f"api://{app_id}", "Work.Do"), first
    middle = {**public, "appId": app_id, "clientSecret": secret}
    got = cloud.confidential(middle).acquire_token_on_behalf_of(
        first["access_token"], ["https://graph.microsoft.com/User.Read"]
    )
    further = claims_of(got["access_token"])
    assert further["oid"] == claims["oid"]
    assert (further["appid"], further["aud"]) == (app_id, "https://graph.microsoft.com")
    assert "User.Read" in further["scp"].split()
    by_azure = OnBehalfOfCredential(
        public["tenantId"], app_id, client_secret=secret,
        user_assertion=first["access_token"], **cloud.azure(),
    )  # fmt: skip
    assert by_azure.get_token("https://graph.microsoft.com/User.Read").token
    fresh = cloud.confidential(middle)
    more = fresh.acquire_token_on_behalf_of(first["access_token"], ["User.ReadWrite.All"])
    assert (more["error"], more["error_codes"]) == ("invalid_grant", [65001])
    app_only = cloud.confidential(cloud.app("daemon")).acquire_token_for_client(GRAPH)
    for assertion in (app_only["access_token"], got["access_token"], first["id_token"], "a.b.c"):
        refused = fresh.acquire_token_on_behalf_of(assertion, ["User.Read"])
        assert (refused["error"], refused["error_codes"]) == ("invalid_grant", [50013])


EXAMPLES = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "docs" / "clients.md").read_text(), re.MULTILINE | re.DOTALL
)


@pytest.mark.parametrize("example", EXAMPLES, ids=["msal", "azure-identity", "device"])
def test_the_examples_of_the_documentation_run(cloud: Cloud, example: str) -> None:
    """docs/clients.md, as it is printed, in a folder where the demo has been made"""
    ran = subprocess.run(
        [sys.executable, "-c", example],
        cwd=Path(cloud.ca_file).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(("eyJ", "To sign in, use a web browser")), ran.stdout
