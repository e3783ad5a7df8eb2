"""Grants over HTTP: what programs get, and what they are refused."""

import base64
import hashlib
from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlsplit
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from b2b import worker
from b2b.actor import Actor
from b2b.extensions import db
from b2b.models import (
    AuditEvent,
    GroupClaims,
    PermissionGrant,
    RefreshToken,
    SignInGrant,
    User,
)
from b2b.services import (
    app_credentials,
    app_registrations,
    clients,
    consent,
    deleted_users,
    grants,
    groups,
    offered_permissions,
    redemption_reset,
    users,
)
from b2b.services.app_registrations import Facts, Registered
from tests.cast import Cast
from tests.pages import ORIGIN, Browser
from tests.relying_party import CHALLENGE, VERIFIER
from tests.services.test_tokens import said
from tests.web.surveys import GRAPH, NATIVE, SPA, WEB, Surveys, answered, ask, is_good, refusal

# Programs by themselves --------------------------------------------------------------------------


def test_a_secret_in_the_body_and_in_the_header_raw_or_encoded(surveys: Surveys) -> None:
    """clients.md, token endpoint: some clients percent-encode inside Basic, even a hyphen"""
    form = {"grant_type": "client_credentials", "scope": GRAPH}
    assert surveys.post(client_secret=surveys.secret, **form).status_code == 200

    def encoded(text: str) -> str:
        return quote(text, safe="").replace("-", "%2D").replace("_", "%5F")

    for name, secret in (
        (surveys.client_id, surveys.secret),
        (encoded(surveys.client_id), encoded(surveys.secret)),
    ):
        basic = base64.b64encode(f"{name}:{secret}".encode()).decode()
        response = surveys.app.test_client().post(
            f"/{surveys.cast.woodgrove}/oauth2/v2.0/token", data=form, base_url=ORIGIN,
            headers={"Authorization": f"Basic {basic}"},
        )  # fmt: skip
        assert response.status_code == 200, response.json
        assert set(response.json or {}) == {
            "token_type", "expires_in", "ext_expires_in", "access_token",
        }  # fmt: skip


@pytest.mark.parametrize(
    ("tenant", "changes", "status", "error", "number"),
    [
        (None, {"client_secret": "wrong"}, 401, "invalid_client", 7000215),
        (None, {"client_secret": None}, 401, "invalid_client", 7000218),
        (None, {"scope": "User.Read.All"}, 400, "invalid_scope", 1002012),
        (None, {"scope": None}, 400, "invalid_request", 900144),
        (None, {"scope": "api://nobody/.default"}, 400, "invalid_resource", 500011),
        ("common", {}, 400, "invalid_request", 9001023),
        ("organizations", {}, 400, "invalid_request", 9001023),
        ("consumers", {}, 400, "invalid_request", 9001023),
        ("contoso.example", {}, 400, "unauthorized_client", 700016),
        ("nobody.example", {}, 400, "invalid_tenant", 90002),
    ],
)
def test_what_is_wrong_with_client_credentials(
    surveys: Surveys, tenant: str | None, changes: dict[str, Any], status: int, error: str,
    number: int,
) -> None:  # fmt: skip
    """tokens.md, sections 3 and 5; OIDC-9"""
    form = {"grant_type": "client_credentials", "scope": GRAPH, "client_secret": surveys.secret}
    form = {name: value for name, value in {**form, **changes}.items() if value is not None}
    response = surveys.post(tenant, **form)
    assert response.status_code == status
    assert refusal(response) == (error, number)
    assert response.headers["Cache-Control"] == "no-store"
    told = response.json or {}
    assert told["error_uri"] == f"{ORIGIN}/error?code={number}"
    page = Browser(surveys.app).get(told["error_uri"])
    assert f"AADSTS{number}" in page.text


def test_a_secret_ends_and_one_that_is_removed_takes_its_tokens_along(surveys: Surveys) -> None:
    """OIDC-9; the brief: sessions and tokens die when they must"""
    form = {"grant_type": "client_credentials", "scope": GRAPH}
    token = surveys.token(**form)["access_token"]
    assert said(token)["roles"] == ["User.Read.All"]
    assert is_good(surveys, token)
    surveys.run(
        lambda session, john: app_credentials.remove_credential(
            session, john, surveys.registration_id, surveys.key_id
        )
    )
    assert not is_good(surveys, token)
    response = surveys.post(client_secret=surveys.secret, **form)
    assert refusal(response) == ("invalid_client", 7000215)
    secret = surveys.run(
        lambda session, john: app_credentials.add_secret(
            session, john, surveys.registration_id,
            expires_at=surveys.clock.now + timedelta(days=1),
        )[1]
    )  # fmt: skip
    surveys.clock.advance(days=1)
    assert refusal(surveys.post(client_secret=secret, **form)) == ("invalid_client", 7000222)


def test_a_permission_that_is_taken_away_ends_with_the_next_call(surveys: Surveys) -> None:
    token = surveys.token(grant_type="client_credentials", scope=GRAPH)["access_token"]

    def take(session: Any, john: Actor, found: Registered) -> None:
        graph = consent.graph_principal(session, john)
        consent.take_role(session, john, found.principal, graph, "User.Read.All")

    surveys.change(take)
    assert not is_good(surveys, token)
    after = surveys.token(grant_type="client_credentials", scope=GRAPH)["access_token"]
    assert "roles" not in said(after)


def test_tokens_for_an_api_of_ones_own(surveys: Surveys) -> None:
    """tokens.md, section 4: version 1 has the URI as audience, version 2 the client id"""

    def offer(session: Any, john: Actor, found: Registered) -> str:
        api = app_registrations.register(session, john, "Payments")
        one = api.registration
        uri = f"api://{one.app_id}"
        app_registrations.set_identifier_uris(session, john, one.id, [uri])
        offered_permissions.define_role(
            session, john, one.id, "Pay.All", display_name="Pay", for_applications=True
        )
        consent.give_roles(session, john, found.principal, api.principal, ["Pay.All"])
        return uri

    uri = surveys.change(offer)
    form = {"grant_type": "client_credentials", "scope": f"{uri}/.default"}
    claims = said(surveys.token(**form)["access_token"])
    assert (claims["ver"], claims["aud"], claims["roles"]) == ("1.0", uri, ["Pay.All"])
    assert claims["iss"] == f"{ORIGIN}/{surveys.cast.woodgrove}/"
    app_id = UUID(uri.removeprefix("api://"))

    def second(session: Any, john: Actor) -> None:
        found = app_registrations.by_app_id(session, john, app_id)
        app_registrations.set_tokens(session, john, found.registration.id, access_token_version=2)

    surveys.run(second)
    for scope in (f"{uri}/.default", f"{app_id}/.default"):
        claims = said(surveys.token(grant_type="client_credentials", scope=scope)["access_token"])
        assert (claims["ver"], claims["aud"]) == ("2.0", str(app_id))
        assert claims["iss"] == f"{ORIGIN}/{surveys.cast.woodgrove}/v2.0"
        assert (claims["azp"], claims["azpacr"]) == (surveys.client_id, "1")
    assert not is_good(surveys, surveys.token(**form)["access_token"]), "not for Graph"


# Refresh tokens ----------------------------------------------------------------------------------


def test_a_refresh_token_is_replaced_and_a_used_one_ends_the_sign_in(
    surveys: Surveys, adele: Browser
) -> None:
    """OIDC-4: use old after new → family dead, and audited"""
    first = surveys.signed_in(adele)
    assert set(first["scope"].split()) == {"openid", "profile", "User.Read"}
    surveys.clock.advance(minutes=5)
    second = surveys.token(grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert second["refresh_token"] != first["refresh_token"]
    assert said(second["id_token"])["sub"] == said(first["id_token"])["sub"]
    assert said(second["id_token"])["auth_time"] == said(first["id_token"])["auth_time"]
    surveys.clock.advance(minutes=5)
    old = surveys.post(
        client_secret=surveys.secret, grant_type="refresh_token",
        refresh_token=first["refresh_token"],
    )  # fmt: skip
    assert refusal(old) == ("invalid_grant", 70000)
    new = surveys.post(
        client_secret=surveys.secret, grant_type="refresh_token",
        refresh_token=second["refresh_token"],
    )  # fmt: skip
    assert refusal(new)[0] == "invalid_grant"
    assert not is_good(surveys, first["access_token"])
    assert not is_good(surveys, second["access_token"])
    with surveys.app.app_context():
        event = db.session.scalars(
            select(AuditEvent).where(AuditEvent.activity == "Refresh token used twice")
        ).one()
        assert event.target_name == "adele.vance@woodgrove.example"
        assert event.detail == {"application": "Surveys"}
        assert db.session.scalar(select(func.count()).select_from(RefreshToken)) == 0


def test_a_refresh_token_is_the_clients_own(surveys: Surveys, adele: Browser) -> None:
    """OIDC-4: a stolen one needs the secret too, and another client has no use for it"""
    kept = surveys.signed_in(adele)["refresh_token"]
    form = {"grant_type": "refresh_token", "refresh_token": kept}
    assert refusal(surveys.post(**form)) == ("invalid_client", 7000218)
    assert refusal(surveys.post("contoso.example", **form))[1] == 700016
    other = surveys.run(
        lambda session, john: str(
            app_registrations.register(
                session, john, "Thief", Facts(is_public=True)
            ).registration.app_id
        )
    )
    response = surveys.app.test_client().post(
        f"/{surveys.cast.woodgrove}/oauth2/v2.0/token",
        data={"client_id": other, **form}, base_url=ORIGIN,
    )  # fmt: skip
    assert refusal(response) == ("invalid_grant", 70000)
    assert surveys.token(**form)["access_token"], "a thief does not use it up"


def test_refresh_tokens_live_for_ninety_days_of_rest(surveys: Surveys, adele: Browser) -> None:
    kept = surveys.signed_in(adele)["refresh_token"]
    surveys.clock.advance(days=89)
    kept = surveys.token(grant_type="refresh_token", refresh_token=kept)["refresh_token"]
    surveys.clock.advance(days=90)
    response = surveys.post(
        grant_type="refresh_token", refresh_token=kept, client_secret=surveys.secret
    )
    assert refusal(response) == ("invalid_grant", 700082)


def test_an_old_sign_in_is_purged_with_what_hangs_on_it(surveys: Surveys, adele: Browser) -> None:
    surveys.signed_in(adele)
    surveys.clock.advance(days=91)
    with surveys.app.app_context(), worker.transaction() as session:
        grants.purge(session, surveys.clock.now)
        for model in (SignInGrant, RefreshToken):
            assert session.scalar(select(func.count()).select_from(model)) == 0


ENDS = ["blocked", "deleted", "signed out", "secret removed", "consent withdrawn", "switched off"]


@pytest.mark.parametrize("what", ENDS)
def test_sign_ins_end_when_they_must(surveys: Surveys, adele: Browser, what: str) -> None:
    """API-1, SES-1: what a token stands on is asked at each use"""
    got = surveys.signed_in(adele)
    surveys.clock.advance(minutes=1)
    assert is_good(surveys, got["access_token"])

    def change(session: Any, john: Actor, found: Registered) -> None:
        match what:
            case "blocked":
                users.block(session, john, surveys.cast.adele)
            case "deleted":
                deleted_users.remove(session, john, surveys.cast.adele)
            case "signed out":
                users.revoke_sessions(session, john, surveys.cast.adele)
            case "secret removed":
                app_credentials.add_secret(session, john, surveys.registration_id)
                app_credentials.remove_credential(
                    session, john, surveys.registration_id, surveys.key_id
                )
            case "consent withdrawn":
                grant = session.scalars(select(PermissionGrant)).one()
                consent.withdraw(session, john, grant.id)
            case "switched off":
                found.principal.account_enabled = False

    assert states(surveys, adele, got["access_token"]) == (200, 200, 200)
    surveys.change(change)
    response = surveys.post(
        grant_type="refresh_token", refresh_token=got["refresh_token"],
        client_secret=surveys.secret,
    )  # fmt: skip
    told = response.json or {}
    [number] = told["error_codes"]
    # browser's session, access token at Graph, the same at userinfo, refresh token
    expected = {
        "blocked":           (303, 401, 401, 50057),
        "deleted":           (303, 401, 401, 50057),
        "signed out":        (303, 401, 401, 50173),
        "secret removed":    (200, 401, 401, 700082),
        "consent withdrawn": (200, 401, 401, 65001),
        "switched off":      (200, 401, 401, 7000112),
    }  # fmt: skip
    assert (*states(surveys, adele, got["access_token"]), number) == expected[what]
    if what == "consent withdrawn":
        assert (told["error"], told["suberror"]) == ("invalid_grant", "consent_required")


def states(surveys: Surveys, browser: Browser, token: str) -> tuple[int, int, int]:
    """How the browser's session, and the access token at Graph and at userinfo, are answered."""
    client = surveys.app.test_client()
    bearer = {"Authorization": f"Bearer {token}"}
    return (
        ask(browser, "/myapps").status_code,
        client.get("/v1.0/me", headers=bearer, base_url=ORIGIN).status_code,
        client.get("/oidc/userinfo", headers=bearer, base_url=ORIGIN).status_code,
    )


def test_a_reset_redemption_ends_a_guests_tokens(
    app: Flask, surveys: Surveys, otto: Browser, cast: Cast
) -> None:
    """RED-7"""
    got = surveys.signed_in(otto)
    assert said(got["id_token"])["idp"] == f"{ORIGIN}/{cast.contoso}/"
    surveys.clock.advance(minutes=1)

    def reset(session: Any, john: Actor) -> None:
        guest = session.scalars(
            select(User.id).where(User.invited_key == "otto.brandt@contoso.example")
        ).one()
        redemption_reset.reset(session, john, guest, address="otto.brandt@contoso.example")

    assert states(surveys, otto, got["access_token"]) == (200, 200, 200)
    surveys.run(reset)
    # Whoever he is at home stays signed in; as a guest of this place he has to redeem anew.
    assert states(surveys, otto, got["access_token"])[1:] == (401, 401)
    response = surveys.post(
        grant_type="refresh_token", refresh_token=got["refresh_token"],
        client_secret=surveys.secret,
    )  # fmt: skip
    assert refusal(response)[0] in ("invalid_grant", "access_denied")


# Scripts in browsers -----------------------------------------------------------------------------


def test_a_script_redeems_from_its_own_origin_alone(surveys: Surveys, adele: Browser) -> None:
    """OIDC-9: cross-origin calls for registered scripts, without cookies; a day of tokens"""

    def code() -> str:
        path = surveys.path(
            redirect_uri=SPA, code_challenge=CHALLENGE, code_challenge_method="S256"
        )
        return answered(adele, path)["code"]

    form = {"grant_type": "authorization_code", "redirect_uri": SPA, "code_verifier": VERIFIER}
    assert refusal(surveys.post(code=code(), **form))[1] == 9002327
    evil = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    response = surveys.post(code=code(), headers=evil, **form)
    assert refusal(response)[1] == 9002326
    assert "Access-Control-Allow-Origin" not in response.headers
    own = {"Origin": "https://spa.woodgrove.example", "Sec-Fetch-Site": "cross-site"}
    asked = surveys.app.test_client().options(
        f"/{surveys.cast.woodgrove}/oauth2/v2.0/token", base_url=ORIGIN,
        headers={**own, "Access-Control-Request-Method": "POST",
                 "Access-Control-Request-Headers": "content-type,x-client-sku"},
    )  # fmt: skip
    assert asked.status_code == 204
    assert asked.headers["Access-Control-Allow-Origin"] == own["Origin"]
    assert "x-client-sku" in asked.headers["Access-Control-Allow-Headers"]
    response = surveys.post(code=code(), headers=own, **form)
    assert response.status_code == 200, response.json
    assert response.headers["Access-Control-Allow-Origin"] == own["Origin"]
    assert "Access-Control-Allow-Credentials" not in response.headers
    kept = (response.json or {})["refresh_token"]
    surveys.clock.advance(hours=23)
    response = surveys.post(grant_type="refresh_token", refresh_token=kept, headers=own)
    kept = (response.json or {})["refresh_token"]
    surveys.clock.advance(hours=1)
    late = surveys.post(grant_type="refresh_token", refresh_token=kept, headers=own)
    assert refusal(late) == ("invalid_grant", 700084)


def test_a_public_client_brings_no_secret_and_a_web_client_does(
    surveys: Surveys, adele: Browser
) -> None:
    """OIDC-2"""
    path = surveys.path(redirect_uri=NATIVE)
    assert answered(adele, path)["error_description"].startswith("AADSTS9002325")
    code = answered(
        adele,
        surveys.path(redirect_uri=NATIVE, code_challenge=CHALLENGE, code_challenge_method="S256"),
    )["code"]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": NATIVE}
    assert surveys.post(code_verifier=VERIFIER, **form).status_code == 200
    code = answered(adele, surveys.path())["code"]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": WEB}
    assert refusal(surveys.post(**form)) == ("invalid_client", 7000218)


# The authorize endpoint --------------------------------------------------------------------------


def test_id_tokens_and_hybrid_where_the_registration_enables_them(
    app: Flask, client: FlaskClient, surveys: Surveys, adele: Browser
) -> None:
    """OIDC-2: each switch both ways; c_hash binds the code"""
    wanted = surveys.path(response_type="code id_token")
    assert answered(adele, wanted)["error_description"].startswith("AADSTS700054")
    surveys.run(
        lambda session, john: app_registrations.set_authentication(
            session, john, surveys.registration_id, issues_id_tokens=True
        )
    )
    got = answered(adele, wanted)
    assert set(got) == {"code", "id_token", "state"}
    claims = said(got["id_token"])
    half = hashlib.sha256(got["code"].encode()).digest()[:16]
    assert claims["c_hash"] == base64.urlsafe_b64encode(half).decode().rstrip("=")
    assert claims["nonce"] == "n"
    alone = answered(adele, surveys.path(response_type="id_token"))
    assert set(alone) == {"id_token", "state"}
    page = ask(adele, surveys.path(response_type="id_token", response_mode="form_post"))
    assert 'name="id_token"' in page.get_data(as_text=True)
    for changes, number in (
        ({"nonce": None}, 900144),
        ({"response_mode": "query"}, 70007),
        ({"scope": "User.Read"}, 70011),
        ({"response_type": "id_token token"}, 700051),
    ):
        told = answered(adele, surveys.path(**{"response_type": "id_token", **changes}))
        assert told["error_description"].startswith(f"AADSTS{number}:"), changes


def test_a_sign_in_may_be_too_old(surveys: Surveys, adele: Browser) -> None:
    """OpenID Connect Core, 3.1.2.1: max_age"""
    assert "code" in answered(adele, surveys.path(max_age="60"))
    surveys.clock.advance(seconds=61)
    assert urlsplit(adele.get(surveys.path(max_age="60")).url).path == "/signin"
    told = answered(adele, surveys.path(max_age="60", prompt="none"))
    assert told["error"] == "login_required"
    assert answered(adele, surveys.path(max_age="soon"))["error"] == "invalid_request"


def test_optional_claims_groups_and_roles(surveys: Surveys, adele: Browser, cast: Cast) -> None:
    """tokens.md, section 4"""

    def ask_for(session: Any, john: Actor, found: Registered) -> None:
        app_registrations.set_tokens(
            session, john, surveys.registration_id, group_claims=GroupClaims.ALL,
            token_seconds=1200,
            optional_claims={"idToken": [{"name": "upn"}, {"name": "sid"}, {"name": "wids"}]},
        )  # fmt: skip
        groups.add_member(session, john, cast.partners, cast.adele)

    surveys.change(ask_for)
    got = surveys.signed_in(adele)
    claims = said(got["id_token"])
    assert got["expires_in"] == 1200
    assert claims["exp"] - claims["iat"] == 1200
    assert claims["upn"] == "adele.vance@woodgrove.example"
    assert claims["groups"] == [str(cast.partners)]
    assert claims["wids"] == ["b79fbf4d-3ef9-4689-8143-76b194e85509"]
    assert len(claims["sid"]) == 36


def test_more_groups_than_a_token_holds_are_asked_for_where_it_says(
    surveys: Surveys, adele: Browser, cast: Cast
) -> None:
    """tokens.md, section 4: overage"""

    def join(session: Any, john: Actor, found: Registered) -> set[str]:
        app_registrations.set_tokens(
            session, john, surveys.registration_id, group_claims=GroupClaims.SECURITY
        )
        graph = consent.graph_principal(session, john)
        consent.give_roles(session, john, found.principal, graph, ["Directory.Read.All"])
        made = [groups.create(session, john, display_name=f"Team {n}") for n in range(201)]
        for one in made:
            groups.add_member(session, john, one.id, cast.adele)
        return {str(one.id) for one in made}

    joined = surveys.change(join)
    claims = said(surveys.signed_in(adele)["id_token"])
    assert "groups" not in claims
    [source] = claims["_claim_names"].values()
    assert list(claims["_claim_names"]) == ["groups"]
    asked = claims["_claim_sources"][source]["endpoint"]
    own = surveys.token(grant_type="client_credentials", scope=GRAPH)
    found = surveys.app.test_client().post(
        asked.removeprefix(ORIGIN), json={"securityEnabledOnly": True}, base_url=ORIGIN,
        headers={"Authorization": f"Bearer {own['access_token']}"},
    )  # fmt: skip
    assert found.status_code == 200, found.json
    assert set((found.json or {})["value"]) == joined


# Passwords ---------------------------------------------------------------------------------------


def test_passwords_only_where_the_organisation_allows_it(
    surveys: Surveys, cast: Cast, otto: Browser
) -> None:
    """OIDC-2: the switch both ways; never for guests of other homes; SIGN-1, SIGN-2"""
    form = {
        "grant_type": "password", "scope": "openid User.Read", "client_secret": surveys.secret,
        "username": "adele.vance@woodgrove.example", "password": cast.password,
    }  # fmt: skip
    assert refusal(surveys.post(**form)) == ("unsupported_grant_type", 7000014)

    def allow(session: Any, actor: Actor) -> None:
        clients.policy_of(session, cast.woodgrove).password_grant = True

    surveys.run(allow)
    response = surveys.post(**form)
    assert response.status_code == 200, response.json
    assert said((response.json or {})["access_token"])["amr"] == ["pwd"]
    assert surveys.post("woodgrove.example", **form).status_code == 200
    for tenant in ("common", "consumers"):
        assert refusal(surveys.post(tenant, **form))[1] == 9001023
    assert refusal(surveys.post("organizations", **form))[1] == 50194
    guest = {**form, "username": "otto.brandt@contoso.example"}
    assert refusal(surveys.post(**guest)) == ("invalid_grant", 50034)
    for name in ("adele.vance@woodgrove.example", "nobody@woodgrove.example", "no address"):
        wrong = surveys.post(**{**form, "username": name, "password": "wrong"})
        assert refusal(wrong) == ("invalid_grant", 50126), name
    for _ in range(10):
        last = surveys.post(**{**form, "password": "wrong"})
    assert refusal(last) == ("invalid_grant", 50053)


# What else programs read -------------------------------------------------------------------------


def test_where_msal_looks_first(client: FlaskClient, cast: Cast) -> None:
    """tokens.md, section 6; clients.md, discovery"""
    endpoint = f"{ORIGIN}/{cast.woodgrove}/oauth2/v2.0/authorize"
    for asked in (endpoint, endpoint.replace(":5000", "")):
        found = client.get(
            "/common/discovery/instance", base_url=ORIGIN,
            query_string={"authorization_endpoint": asked, "api-version": "1.1"},
        )  # fmt: skip
        assert (found.json or {})["tenant_discovery_endpoint"] == (
            f"{ORIGIN}/{cast.woodgrove}/v2.0/.well-known/openid-configuration"
        )
    for wrong in ("https://login.evil.example/common/oauth2/v2.0/authorize", "", "x"):
        found = client.get(
            "/common/discovery/instance", base_url=ORIGIN,
            query_string={"authorization_endpoint": wrong},
        )  # fmt: skip
        assert found.status_code == 400
        assert (found.json or {})["error"] == "invalid_instance"
    known = client.get("/common/userrealm/adele.vance@woodgrove.example", base_url=ORIGIN).json
    nobody = client.get("/common/userrealm/nobody@woodgrove.example", base_url=ORIGIN).json
    assert known == nobody, "nobody learns who exists"
    assert (known or {})["account_type"] == "Managed"
    for name, issuer in (
        ("common", f"{ORIGIN}/{{tenantid}}/v2.0"),
        ("organizations", f"{ORIGIN}/{{tenantid}}/v2.0"),
        ("consumers", f"{ORIGIN}/{cast.consumer}/v2.0"),
        ("9188040d-6c67-4c5b-b112-36a304b66dad", f"{ORIGIN}/{cast.consumer}/v2.0"),
    ):
        told = client.get(f"/{name}/v2.0/.well-known/openid-configuration", base_url=ORIGIN).json
        assert (told or {})["issuer"] == issuer
    v1 = client.get(f"/{cast.woodgrove}/.well-known/openid-configuration", base_url=ORIGIN).json
    assert (v1 or {})["issuer"] == f"{ORIGIN}/{cast.woodgrove}/"
    keys = client.get(urlsplit((v1 or {})["jwks_uri"]).path, base_url=ORIGIN)
    assert keys.headers["Access-Control-Allow-Origin"] == "*"
    assert (keys.json or {})["keys"]


def test_parameters_that_nobody_knows_are_tolerated(surveys: Surveys, adele: Browser) -> None:
    """clients.md, token endpoint"""
    more = {
        "claims": '{"access_token":{"xms_cc":{"values":["CP1"]}}}', "x-client-SKU": "MSAL.Python",
        "clidata": "1", "login_hint": "adele.vance@woodgrove.example", "client_info": "1",
        "domain_hint": "organizations",
    }  # fmt: skip
    code = answered(adele, surveys.path(**more))["code"]
    got = surveys.token(grant_type="authorization_code", code=code, redirect_uri=WEB, **more)
    info = base64.urlsafe_b64decode(got["client_info"] + "==").decode()
    assert str(surveys.cast.adele) in info
    assert str(surveys.cast.woodgrove) in info
