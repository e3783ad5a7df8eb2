"""Several accounts in one browser: who is meant, choosing, and signing out of applications."""

from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from b2b import worker
from b2b.extensions import db
from b2b.models import Application, Session
from tests.cast import Cast
from tests.conftest import Clock
from tests.pages import Browser, Page
from tests.relying_party import CALLBACK, Party, answered, register
from tests.web.test_every_route import csrf_of
from tests.web.test_identity_platform import ask, tokens_of

ADELE = "adele.vance@woodgrove.example"
JOHN = "john.doe@woodgrove.example"
SIGNED_OUT = "https://projects.woodgrove.example/signed-out?of=projects"


@pytest.fixture
def party(app: Flask, cast: Cast, clock: Clock) -> Party:
    """Projects, which wants to hear when somebody signs out."""
    with app.app_context(), worker.transaction() as session:
        return register(
            session, cast.woodgrove, cast.projects, clock.now, cast.adele, cast.john,
            logout_url=SIGNED_OUT, issues_id_tokens=True,
        )  # fmt: skip


@pytest.fixture
def both(app: Flask, cast: Cast, clock: Clock) -> Browser:
    """Adele signed in first, and John beside her."""
    browser = Browser(app).sign_in(ADELE, cast.password)
    clock.advance(minutes=1)
    page = browser.get("/signin?other=1").submit(address=JOHN).submit(password=cast.password)
    assert page.path == "/myapps"
    return browser


def offered(page: Page) -> list[str]:
    """The addresses of the accounts that a page lets choose."""
    return [one.get_text() for one in page.soup.select("main .pick-list .ltr")]


def sessions_of(app: Flask) -> list[str]:
    with app.app_context():
        found = list(db.session.scalars(select(Session.label).order_by(Session.label)))
        db.session.remove()
    return found


def who(party: Party, client: FlaskClient, answer: dict[str, str]) -> str:
    got = party.exchange(client, answer["code"]).get_json()
    return str(party.claims(client, got["id_token"])["preferred_username"])


def test_the_person_chooses_when_several_are_signed_in(
    app: Flask, client: FlaskClient, both: Browser, party: Party
) -> None:
    """tokens.md: select_account"""
    for prompt in (None, "select_account"):
        page = both.get(party.authorize_path(prompt=prompt))
        assert page.h1 == "Choose an account"
        assert offered(page) == [JOHN, ADELE]
    chosen = page.soup.select("main .pick-list a")[1]
    on = both.get(str(chosen["href"])).soup.select_one("main a.btn--primary")
    assert on is not None
    assert who(party, client, answered(ask(both, str(on["href"])))) == ADELE
    assert "John Doe" in both.get("/profile").soup.get_text(), "her own pages stay his"
    alone = both.get(party.authorize_path(prompt="select_account"))
    assert alone.follow("Use another account").path == "/signin"


def test_hints_say_who_is_meant(client: FlaskClient, both: Browser, party: Party) -> None:
    """tokens.md, section 3: login_hint, domain_hint"""
    for hint in (ADELE, f" {ADELE.upper()} "):
        answer = answered(ask(both, party.authorize_path(login_hint=hint)))
        assert who(party, client, answer) == ADELE
    unknown = both.get(party.authorize_path(login_hint="eve@woodgrove.example"))
    assert unknown.path == "/signin"
    assert unknown.soup.select_one("input[name=address]")["value"] == "eve@woodgrove.example"
    for hint in ("organizations", "woodgrove.example", "consumers", "elsewhere.example", "x y"):
        assert both.get(party.authorize_path(domain_hint=hint)).h1 == "Choose an account"
    silent = answered(ask(both, party.authorize_path(prompt="none", login_hint=ADELE)))
    assert who(party, client, silent) == ADELE
    several = answered(ask(both, party.authorize_path(prompt="none")))
    assert several["error"] == "interaction_required"
    assert several["error_description"].startswith("AADSTS16000: ")
    nobody = answered(ask(both, party.authorize_path(prompt="none", login_hint="eve@x.example")))
    assert nobody["error"] == "login_required"


def test_a_domain_narrows_the_accounts_down(
    app: Flask, client: FlaskClient, cast: Cast, party: Party
) -> None:
    browser = Browser(app).sign_in(ADELE, cast.password)
    page = browser.get("/signin?other=1").submit(address="otto.brandt@contoso.example")
    page.submit(password=cast.password)
    answer = answered(ask(browser, party.authorize_path(domain_hint="woodgrove.example")))
    assert who(party, client, answer) == ADELE
    page = Browser(app).get(party.authorize_path(domain_hint="contoso.example"))
    assert "An account of contoso.example is expected." in page.text


def test_signing_in_again_is_not_done_by_choosing_somebody(
    both: Browser, party: Party, clock: Clock, cast: Cast
) -> None:
    """SES-1: prompt=login wants a password, whatever account is switched to meanwhile"""
    page = both.get(party.authorize_path(prompt="login"))
    assert page.path == "/signin"
    back = parse_qs(urlsplit(page.url).query)["next"][0]
    both.get("/signin?other=1").submit("/signin/switch")
    assert "Adele Vance" in both.get("/profile").soup.get_text()
    assert both.get(back).follow("Continue").path == "/signin", "still has to sign in"
    clock.advance(minutes=1)
    page = both.get(page.url).submit(address=ADELE).submit(password=cast.password)
    assert page.h1 == "Signing in"
    on = page.soup.select_one("main a.btn--primary")
    assert on is not None
    assert answered(ask(both, str(on["href"])))["code"]


def test_nobody_is_signed_in_twice_and_five_are_the_most(
    app: Flask, cast: Cast, both: Browser
) -> None:
    """SES-1: what is left out of the cookie ends"""
    page = both.get("/signin?other=1").submit(address=ADELE).submit(password=cast.password)
    assert page.path == "/myapps"
    assert sessions_of(app) == [ADELE, JOHN]
    cookie = both.client.get_cookie("b2b_accounts", domain="localhost")
    assert cookie is not None
    assert len(cookie.value) == 43
    assert cookie.http_only
    assert cookie.same_site == "Lax"
    for name in ("otto.brandt@contoso.example", "priya.raman@contoso.example"):
        form = both.get("/signin?other=1").submit(address=name)
        form.submit(password=cast.password)
    assert len(sessions_of(app)) <= 4


def test_switching_gives_a_new_form_token_and_forgets_nobody(app: Flask, both: Browser) -> None:
    """SES-3"""
    before = csrf_of(both, "/profile")
    page = both.get("/signin?other=1")
    assert offered(page) == [ADELE]
    assert page.submit("/signin/switch").path == "/myapps"
    assert "Adele Vance" in both.get("/profile").soup.get_text()
    assert csrf_of(both, "/profile") != before
    assert offered(both.get("/signin?other=1")) == [JOHN]
    assert both.post("/signin/switch", {"account": "x"}).status in (400, 403)
    both.post("/signin/switch", {"account": "x", "csrf_token": csrf_of(both, "/profile")})
    assert "Adele Vance" in both.get("/profile").soup.get_text()


@pytest.mark.parametrize("planted", ["", ".", "A" * 43, "A" * 43 + ".é", "." * 3000, "x.y"])
def test_a_planted_list_of_accounts_is_nobody(app: Flask, cast: Cast, planted: str) -> None:
    """SES-1"""
    browser = Browser(app)
    browser.client.set_cookie("b2b_accounts", planted, domain="localhost")
    assert browser.get("/admin").path == "/signin"
    assert offered(browser.get("/signin")) == []
    browser.sign_in(ADELE, cast.password)
    assert "Adele Vance" in browser.get("/profile").soup.get_text()


# Signing out -------------------------------------------------------------------------------------


def frames(page: Page) -> list[str]:
    """Addresses of the frames of a page, which its policy has to allow."""
    return [str(one["src"]) for one in page.soup.select("main iframe")]


def test_signing_out_ends_every_account_and_tells_the_applications(
    app: Flask, client: FlaskClient, both: Browser, party: Party
) -> None:
    """OIDC-10; OpenID Connect Front-Channel Logout 1.0, section 3"""
    answered(ask(both, party.authorize_path(login_hint=ADELE)))
    code = answered(ask(both, party.authorize_path(login_hint=JOHN)))["code"]
    assert code
    page = both.post("/signout", {"csrf_token": csrf_of(both, "/profile")})
    assert sessions_of(app) == []
    found = frames(page)
    assert len(found) == 2
    for url in found:
        assert url.startswith(f"{SIGNED_OUT}&iss=")
        said = parse_qs(urlsplit(url).query)
        assert said["iss"] == [f"http://localhost:5000/{party.tenant_id}/v2.0"]
        assert len(said["sid"][0]) == 36
    response = both.client.get("/signedout", base_url="http://localhost:5000")
    policy = response.headers["Content-Security-Policy"]
    assert "frame-src https://projects.woodgrove.example;" in policy
    assert "Projects" in page.text
    assert both.get("/myapps").path == "/signin"
    other = Browser(app).get("/signedout")
    assert frames(other) == []


def test_an_application_signs_its_own_account_out_and_no_other(
    app: Flask, client: FlaskClient, both: Browser, party: Party
) -> None:
    """OIDC-10: the ID token says whose session it is"""
    code = answered(ask(both, party.authorize_path(login_hint=ADELE)))["code"]
    token = party.exchange(client, code).get_json()["id_token"]
    query = urlencode({"id_token_hint": token, "post_logout_redirect_uri": CALLBACK, "state": "s"})
    response = both.client.get(
        f"/{party.tenant_id}/oauth2/v2.0/logout?{query}", base_url="http://localhost:5000"
    )
    assert response.status_code == 200, "frames first"
    assert response.headers["Refresh"] == f"5; url={CALLBACK}?state=s"
    assert f"{SIGNED_OUT.split('?')[0]}" in response.get_data(as_text=True)
    assert sessions_of(app) == [JOHN]
    assert "John Doe" in both.get("/profile").soup.get_text()


def test_the_session_keeps_its_name_whatever_organisation_one_goes_to(
    app: Flask, client: FlaskClient, cast: Cast, party: Party
) -> None:
    """tokens.md: sid; what an application was told is what it hears at the end"""
    with app.app_context(), worker.transaction() as session:
        found = session.scalars(select(Application)).one()
        found.optional_claims = {"idToken": [{"name": "sid"}]}
    browser = Browser(app).sign_in(ADELE, cast.password)
    sid = party.claims(client, tokens_of(browser, party, client)["id_token"])["sid"]
    browser.get(f"/myapps?tenantid={cast.woodgrove}")
    page = browser.post("/signout", {"csrf_token": csrf_of(browser, "/profile")})
    [url] = frames(page)
    assert parse_qs(urlsplit(url).query)["sid"] == [sid]
