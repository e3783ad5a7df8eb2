"""What people and administrators are asked before an application gets anything."""

from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

from sqlalchemy import func, select

from b2b.actor import Actor
from b2b.extensions import db
from b2b.models import (
    Audience,
    PermissionGrant,
)
from b2b.services import (
    app_registrations,
    graph_permissions,
)
from b2b.services.app_registrations import Registered, RequiredAccess
from tests.cast import Cast
from tests.pages import ORIGIN, Browser
from tests.services.test_tokens import said
from tests.web.surveys import GRAPH, WEB, Surveys, answered


def test_a_person_says_yes_to_what_an_application_wants(
    surveys: Surveys, adele: Browser, cast: Cast
) -> None:
    """OIDC-8: name, publisher and each permission in words; nothing is granted by looking"""
    path = surveys.path(scope="openid User.Read User.ReadBasic.All")
    assert (
        answered(adele, surveys.path(scope="openid User.ReadBasic.All", prompt="none"))["error"]
        == "consent_required"
    )
    page = adele.get(path)
    assert page.h1 == "Permissions requested"
    assert "Read everybody’s basic profile" in page.text
    assert "User.ReadBasic.All" in page.text
    assert "Sign you in and read your profile" not in page.text, "granted already"
    assert "Registered by your own organisation, WoodGrove." in page.text
    assert "everybody in WoodGrove" not in page.text, "she is no administrator"
    with surveys.app.app_context():
        assert db.session.scalar(select(func.count()).select_from(PermissionGrant)) == 1
    page = page.submit(decision="accept")
    assert page.h1 == "Signing in"
    got = surveys.signed_in(adele, scope="openid User.ReadBasic.All")
    assert "User.ReadBasic.All" in said(got["access_token"])["scp"].split()
    with surveys.app.app_context():
        hers = db.session.scalars(
            select(PermissionGrant).where(PermissionGrant.principal_id == cast.adele)
        ).one()
        assert hers.scope == "User.ReadBasic.All"


def test_a_person_says_no(surveys: Surveys, adele: Browser) -> None:
    """tokens.md, section 5: 65004"""
    page = adele.get(surveys.path(scope="openid User.ReadBasic.All"))
    page = page.submit(decision="decline")
    link = page.soup.select_one("main a.btn--primary")
    assert link is not None
    told = parse_qs(urlsplit(str(link["href"])).query)
    assert str(link["href"]).startswith(WEB + "?")
    assert told["error"] == ["access_denied"]
    assert told["error_description"][0].startswith("AADSTS65004")
    assert told["state"] == ["s"]
    again = adele.get(surveys.path(prompt="consent"))
    assert again.h1 == "Permissions requested", "asked again, though granted"


def test_directory_wide_permissions_need_an_administrator(
    surveys: Surveys, adele: Browser, otto: Browser, john: Browser, cast: Cast
) -> None:
    """OIDC-8: admin consent for directory-wide scopes; a forged form changes nothing"""
    path = surveys.path(scope="openid Directory.Read.All")
    for browser in (adele, otto):
        page = browser.get(path)
        assert page.status == 403
        assert page.h1 == "An administrator has to allow this"
        assert "AADSTS90094" in page.text
        csrf = browser.get("/myapps").soup.select_one("input[name=csrf_token]")
        assert csrf is not None
        forged = browser.post(
            path.replace("/authorize?", "/consent?"),
            {"csrf_token": csrf["value"], "decision": "accept", "for_all": "1"},
        )
        assert forged.status == 403
    page = john.get(path)
    assert "Read the directory" in page.text
    page.submit(decision="accept", for_all="1")
    assert "code" in answered(adele, path)
    told = answered(adele, surveys.path(scope="openid No.Such.Permission"))
    assert told["error"] == "invalid_scope"


def test_an_administrator_consents_for_the_organisation(
    surveys: Surveys, adele: Browser, john: Browser
) -> None:
    """tokens.md, section 1: admin consent with application permissions"""
    names = graph_permissions

    def need(session: Any, john: Actor, found: Registered) -> None:
        scope, role = names.SCOPES["Group.Read.All"].scope, names.ROLES["Group.Read.All"].role
        assert scope is not None
        assert role is not None
        app_registrations.set_required_access(
            session, john, surveys.registration_id,
            [RequiredAccess(names.APP_ID, (scope,), (role,))],
        )  # fmt: skip

    surveys.change(need)
    query = urlencode({"client_id": surveys.client_id, "redirect_uri": WEB, "state": "s"})
    path = f"/{surveys.cast.woodgrove}/adminconsent?{query}"
    assert adele.get(path).status == 403
    page = john.get(path)
    assert page.h1 == "Permissions requested for your organisation"
    assert page.text.count("Read all groups") == 2
    assert "By itself, without anybody being signed in" in page.text
    page = page.submit(decision="accept")
    link = page.soup.select_one("main a.btn--primary")
    assert link is not None
    told = parse_qs(urlsplit(str(link["href"])).query)
    assert told["admin_consent"] == ["True"]
    assert told["tenant"] == [str(surveys.cast.woodgrove)]
    token = surveys.token(grant_type="client_credentials", scope=GRAPH)["access_token"]
    assert said(token)["roles"] == ["Group.Read.All", "User.Read.All"]
    with_scope = (
        path.replace("/adminconsent", "/v2.0/adminconsent")
        + "&scope="
        + quote("https://graph.microsoft.com/AuditLog.Read.All")
    )
    page = john.get(with_scope)
    assert "Read the audit and sign-in logs" in page.text
    page = page.submit(decision="decline")
    assert "access_denied" in str(page.soup.select_one("main a.btn--primary"))
    bad = john.get(path.replace(quote(WEB, safe=""), quote("https://evil.example/", safe="")))
    assert bad.status == 400, "OIDC-1"


# Several organisations ---------------------------------------------------------------------------


def test_an_application_for_all_organisations(
    surveys: Surveys, cast: Cast, otto: Browser, adele: Browser
) -> None:
    """tokens.md, section 5: 50194, 700016; consent brings a foreign application in"""
    path = surveys.path(tenant="common", scope="openid profile")
    page = otto.get(path)
    assert page.status == 400
    assert "AADSTS50194" in page.text
    surveys.run(
        lambda session, john: app_registrations.set_authentication(
            session, john, surveys.registration_id, audience=Audience.ORGANISATIONS
        )
    )
    for name in ("common", "organizations"):
        page = otto.get(surveys.path(tenant=name, scope="openid profile"))
        assert page.h1 == "Permissions requested", page.text
        assert "Unverified" in page.text
        assert "Registered by WoodGrove." in page.text
    page.submit(decision="accept")
    code = answered(otto, path)["code"]
    got = surveys.post(
        "common", grant_type="authorization_code", code=code, redirect_uri=WEB,
        client_secret=surveys.secret,
    ).json or {}  # fmt: skip
    claims = said(got["id_token"])
    assert claims["tid"] == str(cast.contoso), "where his account is"
    assert claims["iss"] == f"{ORIGIN}/{cast.contoso}/v2.0"
    assert claims["oid"] == str(cast.otto)
    assert "idp" not in claims
    there = surveys.path(tenant="contoso.example", scope="openid profile")
    assert "code" in answered(otto, there)
