"""The identity platform over HTTP: what programs get, what people see, and what thieves do not."""

import base64
import hmac
import json
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import pytest
from bs4 import BeautifulSoup
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flask import Flask
from flask.testing import FlaskClient
from joserfc.jwk import RSAKey
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from b2b import links, worker
from b2b.extensions import db
from b2b.models import ServicePrincipal, SignIn, SigningKey, User
from b2b.services import applications, users
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import Clock, Mailroom
from tests.letters import code_in
from tests.pages import ORIGIN, Browser
from tests.relying_party import CALLBACK, VERIFIER, Party, answered, register
from tests.services.test_authorization import VARIANTS

ADELE = "adele.vance@woodgrove.example"
OTTO = "otto.brandt@contoso.example"


@pytest.fixture
def party(app: Flask, cast: Cast, clock: Clock) -> Party:
    """Projects, registered; Adele is assigned."""
    with app.app_context(), worker.transaction() as session:
        return register(session, cast.woodgrove, cast.projects, clock.now, cast.adele)


def ask(browser: Browser, path: str) -> TestResponse:
    """One request, nothing followed."""
    return browser.client.get(path, base_url=ORIGIN)


def code_from(browser: Browser, party: Party, **changes: Any) -> str:
    """A code for whoever is signed in."""
    return answered(ask(browser, party.authorize_path(**changes)))["code"]


def tokens_of(browser: Browser, party: Party, client: FlaskClient) -> dict[str, Any]:
    response = party.exchange(client, code_from(browser, party))
    assert response.status_code == 200, response.json
    content: dict[str, Any] = response.json or {}
    return content


def userinfo(client: FlaskClient, token: str) -> TestResponse:
    return client.get(
        "/oidc/userinfo", base_url=ORIGIN, headers={"Authorization": f"Bearer {token}"}
    )


def otto_at_woodgrove(app: Flask, cast: Cast) -> UUID:
    with app.app_context():
        return db.session.scalars(
            select(User.id).where(User.tenant_id == cast.woodgrove, User.invited_key == OTTO)
        ).one()


def assign(app: Flask, cast: Cast, clock: Clock, user_id: UUID) -> None:
    with app.app_context(), worker.transaction() as session:
        applications.assign(session, cast.woodgrove, [(user_id, cast.projects)], clock.now)


# What programs read ------------------------------------------------------------------------------


def test_discovery_says_what_is_there_and_nothing_else(client: FlaskClient, cast: Cast) -> None:
    """OIDC-2: metadata and behaviour agree; clients.md, discovery"""
    by_id = client.get(f"/{cast.woodgrove}/v2.0/.well-known/openid-configuration", base_url=ORIGIN)
    by_name = client.get(
        "/woodgrove.example/v2.0/.well-known/openid-configuration", base_url=ORIGIN
    )
    assert by_id.status_code == 200
    assert by_id.json == by_name.json
    told = by_id.json or {}
    base = f"{ORIGIN}/{cast.woodgrove}"
    assert told["issuer"] == f"{base}/v2.0"
    assert told["authorization_endpoint"] == f"{base}/oauth2/v2.0/authorize"
    assert told["token_endpoint"] == f"{base}/oauth2/v2.0/token"
    assert told["end_session_endpoint"] == f"{base}/oauth2/v2.0/logout"
    assert told["jwks_uri"] == f"{base}/discovery/v2.0/keys"
    assert told["userinfo_endpoint"] == f"{ORIGIN}/oidc/userinfo"
    assert told["device_authorization_endpoint"] == f"{base}/oauth2/v2.0/devicecode"
    assert told["response_types_supported"] == ["code", "id_token", "code id_token"]
    assert told["grant_types_supported"] == [
        "authorization_code",
        "refresh_token",
        "client_credentials",
        "password",
        "urn:ietf:params:oauth:grant-type:device_code",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
    ]
    assert told["token_endpoint_auth_methods_supported"] == [
        "client_secret_post",
        "private_key_jwt",
        "client_secret_basic",
        "none",
    ]
    assert told["code_challenge_methods_supported"] == ["S256"]
    assert told["id_token_signing_alg_values_supported"] == ["RS256"]
    assert told["subject_types_supported"] == ["pairwise"]
    assert told["frontchannel_logout_supported"] is True
    assert told["kerberos_endpoint"] == f"{base}/kerberos"
    own = (
        client.get(
            f"/{cast.woodgrove}/v2.0/.well-known/openid-configuration?appid={cast.projects}",
            base_url=ORIGIN,
        ).json
        or {}
    )
    assert own["jwks_uri"] == f"{base}/discovery/v2.0/keys?appid={cast.projects}"


def test_the_published_keys_have_no_private_member(client: FlaskClient, cast: Cast) -> None:
    """OIDC-6"""
    for tenant in (cast.woodgrove, "contoso.example"):
        published = client.get(f"/{tenant}/discovery/v2.0/keys", base_url=ORIGIN).json or {}
        assert len(published["keys"]) == 2, "the next one is known in advance"
        for key in published["keys"]:
            assert set(key) == {"kty", "use", "alg", "kid", "n", "e", "issuer"}
            assert (key["kty"], key["use"], key["alg"]) == ("RSA", "sig", "RS256")


@pytest.mark.parametrize("page", ["v2.0/.well-known/openid-configuration", "discovery/v2.0/keys"])
def test_an_unknown_tenant_is_told_in_json(client: FlaskClient, cast: Cast, page: str) -> None:
    """clients.md: HTML there is taken for a network fault"""
    response = client.get(f"/nobody.example/{page}", base_url=ORIGIN)
    assert response.status_code == 400
    told = response.json or {}
    assert told["error"] == "invalid_tenant"
    assert told["error_codes"] == [90002]


# The main path -----------------------------------------------------------------------------------


def test_a_member_signs_in_to_an_application(
    app: Flask, client: FlaskClient, cast: Cast, clock: Clock, party: Party
) -> None:
    """OIDC-9: answers are not cached, 303 after POST"""
    adele = Browser(app)
    page = adele.get(party.authorize_path(state="a=b&c d", login_hint=ADELE))
    assert page.path == "/signin"
    field = page.soup.select_one("input[name=address]")
    assert field is not None
    assert field["value"] == ADELE
    page = page.submit(address=ADELE).submit(password=cast.password)
    assert page.h1 == "Signing in"
    refresh = page.soup.select_one("meta[http-equiv=refresh]")
    assert refresh is not None
    onward = page.soup.select_one("main a.btn--primary")
    assert onward is not None
    assert refresh["content"] == f"0; url={onward['href']}"
    told = answered(ask(adele, str(onward["href"])))
    assert set(told) == {"code", "state"}
    assert told["state"] == "a=b&c d"

    response = party.exchange(client, told["code"], client_info="1")
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["Pragma"] == "no-cache"
    assert "Access-Control-Allow-Origin" not in response.headers
    assert "Set-Cookie" not in response.headers
    answer = response.json or {}
    assert answer["token_type"] == "Bearer"
    assert answer["scope"] == "openid profile email"
    assert answer["expires_in"] == 3600
    assert "refresh_token" not in answer
    info = json.loads(base64.urlsafe_b64decode(answer["client_info"] + "=="))
    assert info == {"uid": str(cast.adele), "utid": str(cast.woodgrove)}

    claims = party.claims(client, answer["id_token"])
    assert claims["iss"] == f"{ORIGIN}/{cast.woodgrove}/v2.0"
    assert claims["aud"] == str(party.client_id)
    assert claims["nonce"] == "a nonce"
    assert claims["oid"] == str(cast.adele)
    assert claims["name"] == "Adele Vance"
    assert "idp" not in claims

    about = userinfo(client, answer["access_token"])
    assert about.status_code == 200
    assert about.headers["Cache-Control"] == "no-store"
    assert about.json == {
        "sub": claims["sub"],
        "name": "Adele Vance",
        "email": ADELE,
    }
    posted = client.post(
        "/oidc/userinfo", base_url=ORIGIN,
        headers={"Authorization": f"Bearer {answer['access_token']}"},
    )  # fmt: skip
    assert posted.json == about.json


def test_who_is_signed_in_already_is_sent_straight_back(
    app: Flask, adele: Browser, party: Party, cast: Cast
) -> None:
    told = answered(ask(adele, party.authorize_path(tenant="woodgrove.example", prompt="none")))
    assert set(told) == {"code", "state"}
    with app.app_context():
        last = db.session.scalars(select(SignIn).order_by(SignIn.id.desc())).first()
        assert last is not None
        assert (last.user_id, last.application, last.error_code) == (cast.adele, "Projects", 0)


def test_a_guest_signs_in_to_an_application_of_the_organisation_that_invited_him(
    app: Flask, client: FlaskClient, cast: Cast, clock: Clock, otto: Browser, party: Party
) -> None:
    user_id = otto_at_woodgrove(app, cast)
    assign(app, cast, clock, user_id)
    claims = party.claims(client, tokens_of(otto, party, client)["id_token"])
    assert claims["oid"] == str(user_id)
    assert claims["tid"] == str(cast.woodgrove)
    assert claims["idp"] == f"{ORIGIN}/{cast.contoso}/"
    assert claims["acct"] == 1
    assert claims["name"] == "Otto Brandt"
    assert claims["preferred_username"] == OTTO


def test_a_pending_guest_reviews_permissions_first_and_comes_back_to_the_application(
    app: Flask, client: FlaskClient, cast: Cast, clock: Clock, party: Party
) -> None:
    """redemption.md, section 1: the direct link"""
    with app.app_context(), worker.transaction() as session:
        factories.invite(session, cast, clock.now, OTTO, application_ids=[cast.projects])
    otto = Browser(app)
    page = otto.get(party.authorize_path()).submit(address=OTTO).submit(password=cast.password)
    assert page.h1 == "Signing in"
    page = page.follow("Continue")
    assert page.path == "/redeem/review"
    page = page.submit("/redeem/accept")
    assert page.path == "/profile"
    page = page.submit("/profile/skip")
    assert page.h1 == "Signing in"
    onward = page.soup.select_one("main a.btn--primary")
    assert onward is not None
    answer = party.exchange(client, answered(ask(otto, str(onward["href"])))["code"]).json or {}
    assert party.claims(client, answer["id_token"])["acct"] == 1


def test_a_pending_guest_without_an_account_proves_the_address_by_a_code(
    app: Flask, cast: Cast, clock: Clock, party: Party, mailroom: Mailroom
) -> None:
    with app.app_context(), worker.transaction() as session:
        factories.invite(
            session, cast, clock.now, "eve@partner.example", application_ids=[cast.projects]
        )
    mailroom.deliver()
    eve = Browser(app)
    page = eve.get(party.authorize_path()).submit(address="eve@partner.example")
    page = page.submit("/signin/code/send")
    mailroom.deliver()
    page = page.submit("/signin/code", code=code_in(mailroom.sources("eve@partner.example")[-1]))
    page = page.follow("Continue")
    assert page.path == "/redeem/review"


def leads_nowhere_else(response: TestResponse) -> bool:
    """Whether every link and form of a page stays here, and nothing moves by itself."""
    soup = BeautifulSoup(response.get_data(as_text=True), "html5lib")
    targets = [str(tag.get("href") or tag.get("action")) for tag in soup.select("a, form")]
    stays = all(target.startswith(("/", "#")) and target[:2] != "//" for target in targets)
    return stays and not soup.select("meta[http-equiv]")


# Whom it refuses ---------------------------------------------------------------------------------


def test_a_wrong_redirect_uri_is_answered_by_a_page_and_nothing_is_sent_there(
    adele: Browser, party: Party
) -> None:
    """OIDC-1: to somebody who is signed in, whatever else the request says"""
    for uri in [*VARIANTS, "", CALLBACK + "/", "https://evil.example/"]:
        for prompt in (None, "none"):
            response = ask(adele, party.authorize_path(redirect_uri=uri, prompt=prompt))
            assert response.status_code == 400, uri
            assert "Location" not in response.headers, uri
            assert leads_nowhere_else(response), uri
    twice = ask(adele, party.authorize_path(redirect_uri=[CALLBACK, "https://evil.example/"]))
    assert twice.status_code == 400
    unknown = ask(adele, party.authorize_path(client_id=str(uuid4())))
    assert unknown.status_code == 400
    assert "Location" not in unknown.headers


def test_a_refusal_says_what_why_who_can_mend_it_and_what_to_do(
    adele: Browser, party: Party
) -> None:
    page = adele.get(party.authorize_path(redirect_uri="https://elsewhere.example/"))
    assert page.h1 == "The application asked wrongly"
    assert "not registered for it" in page.text
    assert "Whoever develops or looks after Projects can mend this." in page.text
    assert "Tell them what stands under" in page.text
    assert "AADSTS50011" in page.text
    assert page.soup.select_one("#correlation-id") is not None
    assert page.soup.select_one("main time") is not None


def test_the_client_hears_of_its_own_mistakes_at_its_address(adele: Browser, party: Party) -> None:
    """OIDC-2"""
    told = answered(
        ask(adele, party.authorize_path(response_type="id_token", response_mode="query"))
    )
    assert told["error"] == "unsupported_response_type"
    assert told["error_description"].startswith("AADSTS700054: ")
    assert told["state"] == "a state"
    told = answered(ask(adele, party.authorize_path(code_challenge=None)))
    assert told["error"] == "invalid_request"
    assert "code" not in told


def test_who_is_not_assigned_is_told_whom_to_ask(
    app: Flask, otto: Browser, john: Browser, party: Party, cast: Cast
) -> None:
    """AADSTS50105"""
    page = otto.get(party.authorize_path())
    assert page.status == 403
    assert page.h1 == "You have no access to this application"
    assert "AADSTS50105" in page.text
    assert "Ask to be assigned to Projects." in page.text
    mail = page.soup.select_one('main a[href^="mailto:"]')
    assert mail is not None
    assert mail["href"] == "mailto:john.doe@woodgrove.example?subject=Access%20to%20Projects"
    assert john.get(party.authorize_path()).status == 403
    told = answered(ask(otto, party.authorize_path(prompt="none")))
    assert told["error"] == "access_denied"
    with app.app_context():
        rows = db.session.execute(select(SignIn.error_code, SignIn.user_id))
        assert (50105, otto_at_woodgrove(app, cast)) in {tuple(row) for row in rows}


def test_a_stranger_and_a_blocked_guest_are_told_so(
    app: Flask, cast: Cast, clock: Clock, party: Party
) -> None:
    """AADSTS50020, AADSTS50057"""
    browser = Browser(app).sign_in(OTTO, cast.password)
    page = browser.get(party.authorize_path())
    assert page.status == 403
    assert "AADSTS50020" in page.text
    assert f"{OTTO} is neither a member nor a guest of WoodGrove." in page.text
    with app.app_context(), worker.transaction() as session:
        invited = factories.invite(session, cast, clock.now, OTTO)
        factories.accept(session, cast, invited, clock.now, factories.hosted(session, OTTO))
        users.block(session, acting(session, cast.woodgrove, cast.john, clock.now), invited.user_id)
    page = Browser(app).sign_in(OTTO, cast.password).get(party.authorize_path())
    assert page.status == 403
    assert "AADSTS50057" in page.text


def test_a_silent_request_never_shows_a_page(app: Flask, client: FlaskClient, party: Party) -> None:
    told = answered(client.get(party.authorize_path(prompt="none"), base_url=ORIGIN))
    assert told["error"] == "login_required"
    assert told["error_description"].startswith("AADSTS50058: ")


def test_signing_in_again_can_be_asked_for(
    app: Flask, adele: Browser, party: Party, cast: Cast, clock: Clock, client: FlaskClient
) -> None:
    """prompt=login: the session that is there does not do"""
    clock.advance(minutes=5)
    page = adele.get(party.authorize_path(prompt="login"))
    assert page.path == "/signin"
    again = parse_qs(urlsplit(page.url).query)["next"][0]
    assert (
        ask(adele, again.replace("/resume", "/authorize")).headers["Location"].startswith("/signin")
    )
    page = page.submit(address=ADELE).submit(password=cast.password)
    onward = page.soup.select_one("main a.btn--primary")
    assert onward is not None
    answer = party.exchange(client, answered(ask(adele, str(onward["href"])))["code"]).json or {}
    claims = party.claims(client, answer["id_token"])
    assert claims["auth_time"] == int(clock.now.timestamp())


def test_another_organisation_is_no_new_sign_in(
    app: Flask, client: FlaskClient, otto: Browser, party: Party, cast: Cast, clock: Clock
) -> None:
    """auth_time is when the password was typed, prompt=login wants it typed"""
    assign(app, cast, clock, otto_at_woodgrove(app, cast))
    typed = int(clock.now.timestamp())
    clock.advance(minutes=7)
    page = otto.get(party.authorize_path(prompt="login"))
    back = parse_qs(urlsplit(page.url).query)["next"][0]
    assert otto.get(f"/myapps?tenantid={cast.contoso}").path == "/myapps"
    assert otto.get(f"/myapps?tenantid={cast.woodgrove}").path == "/myapps"
    page = otto.get(back)
    assert page.follow("Continue").path == "/signin", "still has to sign in"
    claims = party.claims(client, tokens_of(otto, party, client)["id_token"])
    assert claims["auth_time"] == typed
    assert claims["iat"] == typed + 7 * 60


def test_an_account_can_be_chosen(adele: Browser, party: Party) -> None:
    page = adele.get(party.authorize_path(prompt="select_account"))
    assert page.h1 == "Choose an account"
    assert ADELE in page.text
    found = page.soup.select("main .pick-list a")
    assert str(found[1]["href"]).startswith("/signin?")
    page = adele.get(str(found[0]["href"]))
    assert answered(ask(adele, str(page.soup.select("main a.btn--primary")[0]["href"])))["code"]


def test_the_answer_can_come_as_a_form_or_a_fragment(adele: Browser, party: Party) -> None:
    response = ask(adele, party.authorize_path(response_mode="fragment"))
    assert response.headers["Location"].startswith(f"{CALLBACK}#code=")
    page = adele.client.get(
        party.authorize_path(response_mode="form_post", state='"><b>'), base_url=ORIGIN
    )
    text = page.get_data(as_text=True)
    assert page.status_code == 200
    assert page.headers["Cache-Control"] == "no-store"
    assert (
        "form-action https://projects.woodgrove.example;"
        in (page.headers["Content-Security-Policy"])
    )
    assert f'<form method="post" action="{CALLBACK}"' in text
    form = BeautifulSoup(text, "html5lib").select_one("form[data-send]")
    assert form is not None
    sent = {str(field["name"]): str(field["value"]) for field in form.select("input")}
    assert set(sent) == {"code", "state"}, "our own token is not for others"
    assert sent["state"] == '"><b>'
    assert len(sent["code"]) == 43


# The token endpoint ------------------------------------------------------------------------------


def test_errors_have_the_real_services_shape(client: FlaskClient, party: Party) -> None:
    """clients.md, token endpoint"""
    response = party.exchange(client, "A" * 43)
    assert response.status_code == 400
    assert response.headers["Cache-Control"] == "no-store"
    told = response.json or {}
    assert set(told) == {
        "error", "error_description", "error_codes", "timestamp", "trace_id", "correlation_id",
        "error_uri",
    }  # fmt: skip
    assert told["error"] == "invalid_grant"
    assert told["error_codes"] == [70000]
    assert told["timestamp"] == "2026-11-21 09:00:00Z"
    lines = told["error_description"].split("\r\n")
    assert lines[0].startswith("AADSTS70000: ")
    assert lines[1:] == [
        f"Trace ID: {told['trace_id']}",
        f"Correlation ID: {told['correlation_id']}",
        "Timestamp: 2026-11-21 09:00:00Z",
    ]


def test_a_replay_ends_what_the_first_use_was_given(
    client: FlaskClient, adele: Browser, party: Party
) -> None:
    """OIDC-3"""
    code = code_from(adele, party)
    first = party.exchange(client, code).json or {}
    assert userinfo(client, first["access_token"]).status_code == 200
    again = party.exchange(client, code)
    assert again.status_code == 400
    assert (again.json or {})["error_codes"] == [54005]
    assert userinfo(client, first["access_token"]).status_code == 401


@pytest.mark.parametrize(
    ("changes", "status", "error", "number"),
    [
        ({"code_verifier": VERIFIER + "x"}, 400, "invalid_grant", 501481),
        ({"redirect_uri": "https://evil.example/"}, 400, "invalid_grant", 500112),
        ({"client_secret": "s"}, 401, "invalid_client", 700025),
        ({"grant_type": None}, 400, "invalid_request", 900144),
        ({"grant_type": "password"}, 400, "unsupported_grant_type", 7000014),
        ({"grant_type": "client_credentials"}, 401, "invalid_client", 7000218),
        ({"grant_type": "refresh_token"}, 400, "invalid_request", 900144),
        ({"grant_type": "implicit"}, 400, "unsupported_grant_type", 70003),
        ({"code": ["a", "b"]}, 400, "invalid_request", 9000411),
    ],
)
def test_what_is_wrong_is_told_in_json(
    client: FlaskClient, adele: Browser, party: Party, changes: dict[str, Any], status: int,
    error: str, number: int,
) -> None:  # fmt: skip
    """OIDC-2, OIDC-3"""
    response = party.exchange(client, code_from(adele, party), **changes)
    assert response.status_code == status
    told = response.json or {}
    assert (told["error"], told["error_codes"]) == (error, [number])


def test_secrets_do_not_stand_in_addresses(
    client: FlaskClient, adele: Browser, party: Party
) -> None:
    """OIDC-9"""
    code = code_from(adele, party)
    for name, value in (("code", code), ("client_secret", "s"), ("code_verifier", VERIFIER)):
        response = client.post(
            f"/{party.tenant_id}/oauth2/v2.0/token?{name}={value}",
            data=party.form(code), base_url=ORIGIN,
        )  # fmt: skip
        assert response.status_code == 400
        assert (response.json or {})["error_codes"] == [90100]
    response = client.get(f"/{party.tenant_id}/oauth2/v2.0/token", base_url=ORIGIN)
    assert response.status_code == 405
    assert client.get("/oidc/userinfo?access_token=x", base_url=ORIGIN).status_code == 401
    assert party.exchange(client, code).status_code == 200


def test_a_client_may_name_itself_in_the_authorization_header(
    client: FlaskClient, adele: Browser, party: Party
) -> None:
    basic = base64.b64encode(f"{party.client_id}:a secret".encode()).decode()
    form = party.form(code_from(adele, party), client_id=None)
    response = client.post(
        f"/{party.tenant_id}/oauth2/v2.0/token", data=form, base_url=ORIGIN,
        headers={"Authorization": f"Basic {basic}"},
    )  # fmt: skip
    assert response.status_code == 401
    assert "WWW-Authenticate" in response.headers
    assert (response.json or {})["error_codes"] == [700025]


# Forged tokens -----------------------------------------------------------------------------------


def part(content: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def opened(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    head, payload, _ = token.split(".")
    both = [json.loads(base64.urlsafe_b64decode(text + "==")) for text in (head, payload)]
    return both[0], both[1]


def forgeries(token: str, public: dict[str, str]) -> dict[str, str]:
    """What a thief without the private key would try."""
    header, claims = opened(token)
    _, _, signature = token.split(".")
    own = RSAKey.generate_key(2048)
    own_public = own.as_dict(private=False)
    number = {
        name: int.from_bytes(base64.urlsafe_b64decode(public[name] + "=="), "big") for name in "ne"
    }
    key = RSAPublicNumbers(number["e"], number["n"]).public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def with_mac(secret: bytes, **changes: Any) -> str:
        signed = f"{part({**header, 'alg': 'HS256', **changes})}.{part(claims)}"
        mac = hmac.digest(secret, signed.encode(), sha256)
        return f"{signed}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"

    def by_thief(**changes: Any) -> str:
        made = {**header, **changes}
        signed = f"{part(made)}.{part(claims)}"
        raw = own.raw_value
        assert isinstance(raw, RSAPrivateKey)
        signature = raw.sign(signed.encode(), PKCS1v15(), SHA256())
        return f"{signed}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"

    return {
        "none": f"{part({**header, 'alg': 'none'})}.{part(claims)}.",
        "None": f"{part({**header, 'alg': 'None'})}.{part(claims)}.",
        "none with its signature": f"{part({**header, 'alg': 'none'})}.{part(claims)}.{signature}",
        "no algorithm": f"{part({'typ': 'JWT', 'kid': header['kid']})}.{part(claims)}.{signature}",
        "HS256 with PEM": with_mac(pem),
        "HS256 with PEM, stripped": with_mac(pem.strip()),
        "HS256 with DER": with_mac(der),
        "HS256 with the JWK's text": with_mac(json.dumps(public).encode()),
        "HS256 with the modulus": with_mac(public["n"].encode()),
        "HS256 with nothing": with_mac(b""),
        "RS512 in the header": f"{part({**header, 'alg': 'RS512'})}.{part(claims)}.{signature}",
        "edited payload": f"{part(header)}.{part({**claims, 'oid': str(uuid4())})}.{signature}",
        "another person": f"{part(header)}.{part({**claims, 'name': 'John'})}.{signature}",
        "later": f"{part(header)}.{part({**claims, 'exp': claims['exp'] + 9999})}.{signature}",
        "own key, known kid": by_thief(),
        "own key, path": by_thief(kid="../../../../dev/null"),
        "own key, SQL": by_thief(kid="x' UNION SELECT 'AQAB' --"),
        "own key, unknown kid": by_thief(kid="A" * 43),
        "own key, long kid": by_thief(kid="A" * 5000),
        "own key, kid is a list": by_thief(kid=[header["kid"]]),
        "own key, no kid": by_thief(kid=None),
        "own key, kid with a zero": by_thief(kid="x\0y"),
        "own key in the header": by_thief(jwk=own_public),
        "own key at an address": by_thief(jku="http://127.0.0.1:9/keys"),
        "own certificate": by_thief(x5c=["AAAA"]),
        "own certificate at an address": by_thief(x5u="http://127.0.0.1:9/cert"),
        "critical extension": by_thief(crit=["exp"], exp=1),
        "critical known name": by_thief(crit=["kid"]),
        "unencoded": by_thief(b64=False, crit=["b64"]),
        "empty signature": token.rpartition(".")[0] + ".",
        "half a signature": token[: -len(signature) // 2],
        "two parts": token.rpartition(".")[0],
        "five parts": token + ".x.y",
        "no token": "x",
        "dots": "..",
        "not JSON": f"e30x.{part(claims)}.{signature}",
        "a list": f"{base64.urlsafe_b64encode(b'[]').decode()}.{part(claims)}.{signature}",
        "very long": token + "A" * 20000,
    }


def test_no_forged_token_opens_userinfo(
    app: Flask, client: FlaskClient, adele: Browser, party: Party
) -> None:
    """OIDC-5, API-1"""
    answer = tokens_of(adele, party, client)
    good = answer["access_token"]
    with app.app_context():
        kid = opened(good)[0]["kid"]
        public = db.session.get_one(SigningKey, kid).public_jwk
    tried = forgeries(good, public)
    assert len(tried) >= 35
    tried["the ID token"] = answer["id_token"]
    for name, token in tried.items():
        response = userinfo(client, token)
        assert response.status_code == 401, name
        assert response.headers["WWW-Authenticate"].startswith("Bearer "), name
        assert (response.json or {})["error"]["code"] == "InvalidAuthenticationToken", name
    assert userinfo(client, good).status_code == 200


def test_without_a_token_userinfo_says_how_to_come(
    client: FlaskClient, adele: Browser, party: Party
) -> None:
    """API-1: the cookie counts for nothing here"""
    for asking in (client, adele.client):
        response = asking.get("/oidc/userinfo", base_url=ORIGIN)
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == 'Bearer realm="b2b"'
    told = (response.json or {})["error"]
    assert set(told["innerError"]) == {"date", "request-id", "client-request-id"}


def test_a_token_signed_before_a_key_change_goes_on(
    app: Flask, client: FlaskClient, adele: Browser, party: Party, clock: Clock
) -> None:
    """OIDC-6: nobody is signed out by a planned change"""
    from b2b.services import signing_keys

    clock.advance(days=2)
    adele = Browser(app).sign_in(ADELE, "correct horse 4 WoodGrove")
    before = tokens_of(adele, party, client)
    with app.app_context(), worker.transaction() as session:
        signing_keys.ensure(session, now=clock.now)
    clock.advance(minutes=1)
    with app.app_context(), worker.transaction() as session:
        signing_keys.rotate(session, now=clock.now)
    after = tokens_of(adele, party, client)
    assert userinfo(client, before["access_token"]).status_code == 200
    assert userinfo(client, after["access_token"]).status_code == 200
    with app.app_context(), worker.transaction() as session:
        signing_keys.revoke(session, now=clock.now)
    assert userinfo(client, after["access_token"]).status_code == 401


# Signing out -------------------------------------------------------------------------------------


def logout(party: Party, **values: Any) -> str:
    from urllib.parse import urlencode

    return f"/{party.tenant_id}/oauth2/v2.0/logout?{urlencode(values, doseq=True)}"


def is_signed_in(browser: Browser) -> bool:
    return browser.get("/myapps").path == "/myapps"


def test_an_application_signs_its_own_person_out_and_has_him_back(
    client: FlaskClient, adele: Browser, party: Party
) -> None:
    """OIDC-10: id_token_hint checked, exact address"""
    token = tokens_of(adele, party, client)["id_token"]
    path = logout(party, id_token_hint=token, post_logout_redirect_uri=CALLBACK, state="s")
    response = ask(adele, path)
    assert response.status_code == 303
    assert response.headers["Location"] == f"{CALLBACK}?state=s"
    assert not is_signed_in(adele)


def test_nobody_is_signed_out_by_a_link_alone(
    app: Flask, client: FlaskClient, adele: Browser, otto: Browser, party: Party, cast: Cast,
    clock: Clock,
) -> None:  # fmt: skip
    """OIDC-10, SES-3: logout by others"""
    assign(app, cast, clock, otto_at_woodgrove(app, cast))
    answer = tokens_of(adele, party, client)
    of_otto = tokens_of(otto, party, client)["id_token"]
    head, payload, _ = answer["id_token"].split(".")
    hints: list[dict[str, Any]] = [
        {},
        {"client_id": str(party.client_id)},
        {"id_token_hint": of_otto},
        {"id_token_hint": "x"},
        {"id_token_hint": f"{head}.{payload}."},
        {"id_token_hint": answer["access_token"]},
        {"id_token_hint": [answer["id_token"], of_otto]},
        {"id_token_hint": answer["id_token"], "client_id": str(uuid4())},
    ]
    for hint in hints:
        response = ask(adele, logout(party, post_logout_redirect_uri=CALLBACK, **hint))
        assert response.status_code == 200, hint
        assert "Sign out?" in response.get_data(as_text=True), hint
        assert is_signed_in(adele), hint
    page = adele.get(logout(party, client_id=party.client_id, post_logout_redirect_uri=CALLBACK))
    page = page.submit("/logout")
    assert page.h1 == "You are signed out"
    back = page.soup.select_one("main a.btn--primary")
    assert back is not None
    assert back["href"] == CALLBACK
    assert not is_signed_in(adele)


def test_after_signing_out_one_is_sent_to_registered_addresses_only(
    client: FlaskClient, adele: Browser, party: Party
) -> None:
    """OIDC-10: table as OIDC-1"""
    token = tokens_of(adele, party, client)["id_token"]
    stranger = Browser(adele.client.application)
    for uri in [*VARIANTS, "https://evil.example/"]:
        response = ask(stranger, logout(party, id_token_hint=token, post_logout_redirect_uri=uri))
        assert response.status_code == 200, uri
        assert leads_nowhere_else(response), uri
        assert "Back to" not in response.get_data(as_text=True), uri
    response = ask(stranger, logout(party, id_token_hint=token, post_logout_redirect_uri=CALLBACK))
    assert response.headers["Location"] == CALLBACK
    response = ask(stranger, logout(party, post_logout_redirect_uri=CALLBACK))
    assert response.status_code == 200, "whose address it is has to be said"


# Opening from My Apps ----------------------------------------------------------------------------


def launch(party: Party, **query: str) -> str:
    tenant = query.get("tenantId", str(party.tenant_id))
    return f"/myapps/signin/Projects/{party.client_id}?tenantId={tenant}"


def test_a_tile_leads_to_the_application_by_way_of_the_question_whether_one_is_assigned(
    adele: Browser, party: Party
) -> None:
    """APP-1"""
    tile = adele.get("/myapps").soup.select_one(".tiles a")
    assert tile is not None
    assert tile["href"] == launch(party)
    response = ask(adele, str(tile["href"]))
    assert response.status_code == 303
    assert response.headers["Location"] == "https://projects.woodgrove.example/"


def test_who_is_not_assigned_is_refused_at_launch(
    app: Flask, cast: Cast, clock: Clock, party: Party, otto: Browser, adele: Browser
) -> None:
    """APP-1: direct launch URL of an unassigned app → 403"""
    page = otto.get(launch(party))
    assert page.status == 403
    assert "AADSTS50105" in page.text
    assert otto.get(launch(party, tenantId=str(cast.contoso))).status == 404
    assert otto.get(f"/myapps/signin/x/{uuid4()}?tenantId={cast.woodgrove}").status == 404
    assert otto.get("/myapps/signin/x/y?tenantId=z").status == 404
    assign(app, cast, clock, otto_at_woodgrove(app, cast))
    assert ask(otto, launch(party)).status_code == 303
    with app.app_context(), worker.transaction() as session:
        session.get_one(ServicePrincipal, (cast.woodgrove, cast.projects)).account_enabled = False
    assert adele.get(launch(party)).status == 404


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "http://evil.example/", "https://a@evil.example/", "//evil"]
)
def test_an_address_that_is_none_is_not_opened(
    app: Flask, adele: Browser, party: Party, cast: Cast, url: str
) -> None:
    """APP-1: same rules as for landing pages"""
    with app.app_context(), worker.transaction() as session:
        session.get_one(ServicePrincipal, (cast.woodgrove, cast.projects)).sign_in_url = url
    response = ask(adele, launch(party))
    assert response.status_code == 409
    assert "evil" not in response.get_data(as_text=True)


def test_a_launch_link_is_a_way_in_for_a_pending_guest(
    app: Flask, cast: Cast, clock: Clock, party: Party
) -> None:
    """redemption.md, section 1: the link to a single application"""
    with app.app_context(), worker.transaction() as session:
        factories.invite(session, cast, clock.now, OTTO, application_ids=[cast.projects])
    page = Browser(app).get(launch(party)).submit(address=OTTO).submit(password=cast.password)
    assert page.path == "/redeem/review"
    page = page.submit("/redeem/accept").submit("/profile/skip")
    assert page.url == "https://projects.woodgrove.example/"


# The demo's own applications ---------------------------------------------------------------------


@pytest.fixture
def demo(app: Flask, cast: Cast, party: Party) -> None:
    row = {
        "path": "projects",
        "displayName": "WoodGrove Projects",
        "organisation": "WoodGrove",
        "tenantId": str(cast.woodgrove),
        "clientId": str(party.client_id),
    }
    path = app.config["DATA_DIR"] / "demo.json"
    path.write_text(json.dumps({"applications": [row]}))


def test_a_demo_application_says_plainly_that_nobody_answers(
    app: Flask, browser: Browser, demo: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one thread the program could not answer itself; the time-out ends in a page."""
    monkeypatch.setattr(links, "_base_url", "http://127.0.0.1:9")
    assert browser.get("/demo/projects/").h1 == "Welcome to WoodGrove Projects"
    page = browser.get("/demo/projects/signin")
    assert page.status == 504
    assert "The sign-in service did not answer in time." in page.text


def test_a_demo_application_believes_no_answer_that_it_did_not_ask_for(
    browser: Browser, demo: None
) -> None:
    """SIGN-4: state bound to the browser"""
    page = browser.get("/demo/projects/callback?code=x&state=y")
    assert page.status == 400
    assert "does not belong to a sign-in of this browser" in page.text
    assert browser.get("/demo/payroll/").status == 404


def count(session: Session) -> int:
    return session.scalar(select(func.count()).select_from(SigningKey)) or 0


def test_asking_for_keys_makes_them_once(client: FlaskClient, cast: Cast, app: Flask) -> None:
    for _ in range(3):
        client.get(f"/{cast.woodgrove}/discovery/v2.0/keys", base_url=ORIGIN)
    with app.app_context():
        assert count(db.session()) == 2
