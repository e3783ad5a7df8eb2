"""Walks the map of addresses: each declares a permission, sends safe headers, refuses strangers."""

import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from b2b import worker
from b2b.extensions import db
from b2b.models import AuditEvent, OutboxMessage, User
from b2b.services.permissions import Action
from tests import factories
from tests.cast import Cast
from tests.conftest import Clock
from tests.pages import ORIGIN, Browser

PUBLIC = {
    "home.index", "home.brand", "home.logo",
    "preferences.block", "preferences.block_at_once", "preferences.blocked", "preferences.code",
    "preferences.send_code", "preferences.allow", "preferences.close",
    "health.live", "health.ready", "health.metrics",
    "setup.start",
    "sign_in.address", "sign_in.password", "sign_in.send_code", "sign_in.code",
    "sign_in.account", "sign_in.keep_code", "sign_in.sign_out", "sign_in.signed_out",
    "sign_in.language", "sign_in.organisation", "sign_in.other_way", "sign_in.switch",
    "account.left",
    "redeem.landing", "redeem.inner", "redeem.start", "redeem.switch", "redeem.review",
    "redeem.accept", "redeem.decline", "redeem.declined", "redeem.ask",
    "my_apps.index", "my_apps.of_domain", "my_apps.switch",
    "identity_platform.discovery", "identity_platform.keys", "identity_platform.authorize",
    "identity_platform.resume", "identity_platform.token", "identity_platform.userinfo",
    "identity_platform.logout", "launch.open_application",
    "identity_platform.discovery_v1", "identity_platform.instance", "identity_platform.user_realm",
    "identity_platform.token_options", "identity_platform.device_code",
    "identity_platform.consent_page", "identity_platform.admin_consent",
    "identity_platform.device_login", "identity_platform.device_confirm",
    "identity_platform.device_done", "identity_platform.explained",
    "graph.serve",
}  # fmt: skip
"""Whoever adds a public page adds it here, knowingly (threats.md, 1: deny by default)."""
PUBLIC_ROOMS = {"inbox", "inbox_api", "mailpit", "demo_app", "test_double"}
"""A test system's captured mail, applications and tools; not registered in production (threats.md,
BOX-5).
"""
CACHED = {"static", "home.brand", "home.logo", "identity_platform.discovery"}
CACHED |= {"identity_platform.keys", "identity_platform.discovery_v1"}
WITHOUT_TOKEN = (
    "mailpit.",
    "inbox_api.",
    "test_double.",
    "preferences.block_at_once",
    "identity_platform.token",
    "identity_platform.userinfo",
    "identity_platform.device_code",
    "graph.serve",
)
FROM_ANYWHERE = {
    "identity_platform.token", "identity_platform.userinfo", "identity_platform.device_code",
    "graph.serve",
}  # fmt: skip
"""Scripts of other sites may post there: no cookie counts (threats.md, OIDC-9)."""
UNSAFE = {"POST", "PUT", "PATCH", "DELETE"}

WAITING = {"inbox_api.events"}
"""Answers 503 where the server, as the tests' client, gives no connection away."""


AT_ONCE = {"inbox_api.wait_for_message": "?timeout=0.01"}
"""What waits for mail that never comes has a query that does not."""


def rules(app: Flask, method: str, *, rooms: set[str] | None = None) -> list[Rule]:
    return [
        rule
        for rule in app.url_map.iter_rules()
        if method in (rule.methods or ())
        and (rooms is None or rule.endpoint.partition(".")[0] in rooms)
    ]


def address_of(rule: Rule, **values: Any) -> str:
    """A path for *rule* with ids that nobody has, unless *values* says otherwise."""
    nobody: dict[str, Any] = {
        "filename": "css/tokens.css",
        "secret": "A" * 43,
        "domain": "nobody.example",
        "message_id": "A" * 22,
        "part_id": "1",
        "version": "v1.0",
        "path": "users",
        "state": "read",
    }
    filled = {name: values.get(name, nobody.get(name, uuid4())) for name in rule.arguments}
    _, path = rule.build(filled) or ("", "")
    return path + AT_ONCE.get(rule.endpoint, "")


@pytest.fixture
def guest_of_contoso(app: Flask, cast: Cast) -> str:
    """The id of somebody in another tenant."""
    return str(cast.otto)


@pytest.fixture
def sam(app: Flask, cast: Cast, clock: Clock) -> str:
    """The id of a pending guest."""
    with app.app_context(), worker.transaction() as session:
        return str(factories.invite(session, cast, clock.now).user_id)


def ask(client: FlaskClient, path: str, method: str = "GET") -> TestResponse:
    """One request; the whole answer is read, so that no file stays open."""
    with client.open(path, method=method, base_url=ORIGIN) as response:
        response.get_data()
        return response


def policy_of(response: TestResponse) -> dict[str, str]:
    parts = [part.strip() for part in response.headers["Content-Security-Policy"].split(";")]
    return {name: value for name, _, value in (part.partition(" ") for part in parts if part)}


def assert_secured(response: TestResponse, what: str, *, cached: bool = False) -> None:
    """HTTP-2, ADM-4, RED-6, SES-4: what stands on every response, whatever its status."""
    headers = response.headers
    policy = policy_of(response)
    assert policy["default-src"] == "'none'", what
    assert headers["X-Content-Type-Options"] == "nosniff", what
    assert headers["Referrer-Policy"] == "no-referrer", what
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin", what
    assert "camera=()" in headers["Permissions-Policy"], what
    if "sandbox" in policy:
        assert "allow-scripts" not in policy["sandbox"], what
        assert "allow-same-origin" not in policy["sandbox"], what
        assert headers["X-Frame-Options"] in ("DENY", "SAMEORIGIN"), what
    else:
        assert policy["script-src"] == "'self'", what
        assert policy["style-src"] == "'self'", what
        assert policy["base-uri"] == "'none'", what
        assert policy["form-action"] == "'self'", what
        assert policy["frame-ancestors"] == "'none'", what
        assert headers["X-Frame-Options"] == "DENY", what
    assert "unsafe-eval" not in headers["Content-Security-Policy"], what
    if not cached:
        assert headers["Cache-Control"] == "no-store", what
        assert "Cookie" in headers["Vary"], what
    if not what.startswith(("/v1.0", "/<any('v1.0'")):  # a token opens Graph, never a cookie
        assert "Access-Control-Allow-Origin" not in headers, what


# Permissions -------------------------------------------------------------------------------------


def test_every_view_declares_who_may_open_it(app: Flask) -> None:
    """threats.md, 1: deny by default."""
    known = {"public", "signed in", *Action}
    for rule in app.url_map.iter_rules():
        if rule.endpoint == "static":
            continue
        view = app.view_functions[rule.endpoint]
        assert getattr(view, "access", None) in known, rule.endpoint


def test_public_pages_are_exactly_those_on_the_list(app: Flask) -> None:
    """threats.md, 1: an allow-list names the few public ones."""
    public = {
        endpoint
        for endpoint, view in app.view_functions.items()
        if getattr(view, "access", None) == "public"
    }
    assert {name for name in public if name.partition(".")[0] not in PUBLIC_ROOMS} == PUBLIC


def test_every_page_of_the_portal_asks_for_a_session_at_least(app: Flask) -> None:
    portal = [rule.endpoint for rule in app.url_map.iter_rules() if rule.rule.startswith("/admin")]
    assert len(portal) > 10
    assert not set(portal) & PUBLIC


def test_the_inbox_is_not_there_in_production(settings: dict[str, Any]) -> None:
    """BOX-5"""
    from b2b import create_app
    from config import Config

    settings |= {
        "PRODUCTION": True,
        "BASE_URL": "https://b2b.example",
        "PASSWORD_HASHING": "strong",
    }
    production = create_app(Config(**settings))
    rooms = {rule.endpoint.partition(".")[0] for rule in production.url_map.iter_rules()}
    assert "admin" in rooms
    assert not rooms & PUBLIC_ROOMS
    response = production.test_client().get("/mail/", base_url="https://b2b.example")
    assert response.status_code == 404


# Headers -----------------------------------------------------------------------------------------


def test_every_page_carries_the_headers_for_a_stranger(app: Flask, cast: Cast) -> None:
    """HTTP-2"""
    client = app.test_client()
    for rule in rules(app, "GET"):
        response = ask(client, address_of(rule))
        assert response.status_code < 500 or rule.endpoint in WAITING, rule
        assert_secured(response, str(rule), cached=rule.endpoint in CACHED)


def test_every_page_carries_the_headers_for_an_administrator(
    app: Flask, cast: Cast, john: Browser, sam: str
) -> None:
    """HTTP-2, with the ids of real people too."""
    seen = set()
    for rule in rules(app, "GET"):
        real = {"user_id": sam, "tenant_id": cast.woodgrove, "domain": "woodgrove.example"}
        for values in ({}, real):
            response = ask(john.client, address_of(rule, **values))
            assert response.status_code < 500 or rule.endpoint in WAITING, rule
            assert_secured(response, str(rule), cached=rule.endpoint in CACHED)
            seen.add((rule.endpoint, response.status_code))
    assert {("admin.user", 200), ("admin.user", 404), ("admin.delete", 200)} <= seen


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "OPTIONS"])
def test_an_unknown_address_carries_the_headers(client: FlaskClient, method: str) -> None:
    """HTTP-2 on 404."""
    response = client.open("/nowhere", method=method, base_url=ORIGIN)
    assert response.status_code in ((404,) if method != "OPTIONS" else (200, 404))
    assert_secured(response, method)


def test_a_wrong_method_answers_405_and_carries_the_headers(client: FlaskClient) -> None:
    """HTTP-2 on 405."""
    for method in ("GET", "HEAD"):
        response = client.open("/redeem/accept", method=method, base_url=ORIGIN)
        assert response.status_code == 405
        assert "POST" in response.headers["Allow"]
        assert_secured(response, method)


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "evil.example:5000"])
def test_a_foreign_host_is_refused_with_the_headers_and_without_our_pages(
    client: FlaskClient, host: str
) -> None:
    """HTTP-2, MAIL-4, BOX-3"""
    response = client.get("/signin", base_url=f"http://{host}")
    assert response.status_code == 400
    assert response.mimetype == "text/plain"
    assert "evil" not in response.get_data(as_text=True)
    assert_secured(response, host)


def test_a_fault_is_a_plain_page_with_the_headers(app: Flask, client: FlaskClient) -> None:
    """HTTP-2 on 500, API-6: no trace of what broke."""

    def broken() -> str:
        raise RuntimeError("the inner workings in SELECT words")

    app.add_url_rule("/broken", view_func=broken)
    response = client.get("/broken", base_url=ORIGIN)
    text = response.get_data(as_text=True)
    assert response.status_code == 500
    assert "This is a fault of the program, not of yours." in text
    assert "inner workings" not in text
    assert "Traceback" not in text
    assert "RuntimeError" not in text
    assert_secured(response, "500")


@pytest.mark.parametrize(
    "path",
    ["/.git/config", "/.env", "/console", "/static/../config.py", "/static/%2e%2e/config.py",
     "/static/js/theme.js.map", "/debug", "/server-status", "/instance/keys.json"],
)  # fmt: skip
def test_nothing_lies_about_to_be_fetched(client: FlaskClient, path: str) -> None:
    """HTTP-3"""
    response = ask(client, path)
    assert response.status_code == 404
    assert_secured(response, path, cached=path.startswith("/static"))


# Who gets in -------------------------------------------------------------------------------------


def test_the_portal_sends_a_stranger_to_sign_in_and_back(app: Flask, cast: Cast) -> None:
    client = app.test_client()
    for rule in rules(app, "GET", rooms={"admin"}):
        path = address_of(rule)
        response = client.get(path, base_url=ORIGIN)
        assert response.status_code == 303, rule
        assert response.headers["Location"] == f"/signin?next={path}"


def test_unknown_ids_and_ids_of_another_tenant_answer_alike(
    app: Flask, cast: Cast, john: Browser, guest_of_contoso: str
) -> None:
    """ADM-3: 404, and nothing in the page tells the two apart."""
    checked = 0
    for rule in rules(app, "GET", rooms={"admin"}):
        if "user_id" not in rule.arguments:
            continue
        answers = []
        for user_id in (str(uuid4()), guest_of_contoso, "not-an-id"):
            page = john.get(address_of(rule, user_id=user_id))
            assert page.status == 404, rule
            answers.append(masked(page.response.get_data(as_text=True), user_id))
        assert answers[0] == answers[1], rule
        checked += 1
    assert checked >= 3


def masked(html: str, *known: str) -> str:
    """A page without what differs between any two requests."""
    for text in known:
        html = html.replace(text, "ID")
    html = re.sub(r'(name="csrf_token"[^>]*value=")[^"]*', r"\1", html)
    return re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "ID", html)


def test_buttons_for_unknown_and_foreign_people_answer_alike_and_do_nothing(
    app: Flask, cast: Cast, john: Browser, guest_of_contoso: str
) -> None:
    """ADM-3"""
    token = csrf_of(john, "/admin/users/invite")
    checked = 0
    for rule in rules(app, "POST", rooms={"admin"}):
        if "user_id" not in rule.arguments:
            continue
        answers = []
        for user_id in (str(uuid4()), guest_of_contoso):
            page = john.post(address_of(rule, user_id=user_id), {"csrf_token": token})
            assert page.status == 404, rule
            answers.append(masked(page.response.get_data(as_text=True), user_id))
        assert answers[0] == answers[1], rule
        checked += 1
    assert checked >= 6
    with app.app_context():
        otto = db.session.get_one(User, (cast.contoso, cast.otto))
        assert otto.account_enabled
        assert otto.deleted_at is None


def test_a_member_without_a_role_is_told_which_role_would_help(
    app: Flask, cast: Cast, adele: Browser, sam: str
) -> None:
    """ADM-2: 403 naming the role."""
    token = csrf_of(adele, "/admin/users/invite")
    named = {}
    for method in ("GET", "POST"):
        for rule in rules(app, method, rooms={"admin"}):
            access = app.view_functions[rule.endpoint].access  # type: ignore[attr-defined]
            if access not in (Action.BLOCK_USER, Action.DELETE_USER):
                continue
            path = address_of(rule, user_id=sam)
            page = adele.get(path) if method == "GET" else adele.post(path, {"csrf_token": token})
            assert page.status == 403, rule
            named[rule.endpoint, method] = page.text
    assert len(named) == 7
    assert all("This needs the role User Administrator." in text for text in named.values())


def test_a_member_may_not_handle_what_somebody_else_has_invited(
    adele: Browser, sam: str, app: Flask
) -> None:
    """ADM-2, INV-6: the forced post is refused by the service."""
    token = csrf_of(adele, "/admin/users/invite")
    for button in ("resend", "link"):
        page = adele.post(f"/admin/users/{sam}/{button}", {"csrf_token": token})
        assert page.status == 403
        assert "This needs the role Helpdesk Administrator." in page.text


def test_a_guest_is_pointed_to_my_apps_from_every_page_of_the_portal(
    app: Flask, otto: Browser, sam: str
) -> None:
    """decisions.md, members and /admin"""
    pages = rules(app, "GET", rooms={"admin"})
    assert len(pages) >= 6
    for rule in pages:
        page = otto.get(address_of(rule, user_id=sam))
        assert page.status == 403, rule
        assert page.h1 == "The admin portal is not for guests", rule
        assert page.soup.select_one('main a[href="/myapps"]'), rule


def test_a_guest_cannot_press_the_portals_buttons(app: Flask, otto: Browser, sam: str) -> None:
    """ADM-2"""
    token = csrf_of(otto, "/profile")
    for rule in rules(app, "POST", rooms={"admin"}):
        page = otto.post(address_of(rule, user_id=sam), {"csrf_token": token})
        assert page.status == 403, rule


# Forgery -----------------------------------------------------------------------------------------


def csrf_of(browser: Browser, path: str) -> str:
    """The token that a page of this browser carries."""
    field = browser.get(path).soup.select_one("input[name=csrf_token]")
    assert field is not None
    return str(field["value"])


def state_of(app: Flask) -> tuple[int, int, int]:
    """Counts that any change of the directory would move."""
    with app.app_context():
        return tuple(  # type: ignore[return-value]
            db.session.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (User, AuditEvent, OutboxMessage)
        )


def unsafe(app: Flask, **values: Any) -> Iterator[tuple[str, str, str]]:
    for rule in app.url_map.iter_rules():
        for method in sorted(UNSAFE & (rule.methods or set())):
            yield rule.endpoint, method, address_of(rule, **values)


def test_every_form_refuses_a_missing_token(app: Flask, john: Browser, sam: str) -> None:
    """SES-3"""
    before = state_of(app)
    checked = 0
    for endpoint, method, path in unsafe(app, user_id=sam):
        if endpoint.startswith(WITHOUT_TOKEN):
            continue  # no session is asked for there; Origin, Host or the link itself guard it
        response = john.client.open(path, method=method, base_url=ORIGIN, data={"a": "typed"})
        if endpoint.endswith(".invite_preview"):
            # Said in the frame beside the form, and no letter is drawn.
            assert "open for too long" in response.get_data(as_text=True), endpoint
            continue
        assert response.status_code == 400, endpoint
        assert "This form expired" in response.get_data(as_text=True), endpoint
        checked += 1
    assert checked > 20
    assert state_of(app) == before
    assert john.get("/admin").status == 200, "still signed in"


def test_every_form_refuses_a_token_of_another_browser(
    app: Flask, john: Browser, adele: Browser, sam: str
) -> None:
    """SES-3: borrowed"""
    borrowed = csrf_of(adele, "/admin/users/invite")
    altered = csrf_of(john, "/admin/users/invite")[:-2] + "AA"
    before = state_of(app)
    for endpoint, method, path in unsafe(app, user_id=sam):
        if endpoint.startswith(WITHOUT_TOKEN) or endpoint.endswith(".invite_preview"):
            continue
        for token in (borrowed, altered):
            response = john.client.open(
                path, method=method, base_url=ORIGIN, data={"csrf_token": token}
            )
            assert response.status_code == 400, endpoint
    assert state_of(app) == before


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "http://localhost:5001"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:5000"},
    ],
    ids=lambda headers: " ".join(headers.values()),
)
def test_every_change_refuses_another_site(
    app: Flask, john: Browser, sam: str, headers: dict[str, str]
) -> None:
    """SES-3, SIGN-4, BOX-3: even with a good token."""
    token = csrf_of(john, "/admin/users/invite")
    before = state_of(app)
    for endpoint, method, path in unsafe(app, user_id=sam):
        if endpoint in FROM_ANYWHERE:
            continue
        response = john.client.open(
            path, method=method, base_url=ORIGIN, data={"csrf_token": token}, headers=headers
        )
        assert response.status_code == 403, endpoint
        assert_secured(response, endpoint)
    assert state_of(app) == before
    assert john.get("/admin").status == 200, "still signed in"


def test_a_form_of_our_own_pages_is_taken(john: Browser) -> None:
    """The other side of the tests above: a browser's headers on its own pages pass."""
    token = csrf_of(john, "/admin")
    for headers in (
        {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
        {"Origin": "http://localhost:5000"},
        {},
    ):
        response = john.client.post(
            "/language",
            base_url=ORIGIN,
            data={"csrf_token": token, "language": "en", "next": "/admin"},
            headers=headers,
        )
        assert response.status_code == 303, headers
        assert response.headers["Location"] == "/admin"


def test_get_and_head_never_reach_what_only_post_may_do(
    app: Flask, john: Browser, sam: str
) -> None:
    """RED-2, SES-3"""
    before = state_of(app)
    checked = 0
    for rule in app.url_map.iter_rules():
        path = address_of(rule, user_id=sam)
        if any("GET" in (r.methods or ()) for r in app.url_map.iter_rules() if r.rule == rule.rule):
            continue
        for method in ("GET", "HEAD"):
            response = ask(john.client, path, method)
            assert response.status_code in (400, 404, 405), (rule, method)
        checked += 1
    assert checked > 10
    assert state_of(app) == before


@pytest.mark.long
def test_get_and_head_on_every_page_change_nothing_in_the_directory(
    app: Flask, cast: Cast, john: Browser, sam: str
) -> None:
    """SES-3: no state change on GET."""
    before = state_of(app)
    for method in ("GET", "HEAD"):
        for rule in rules(app, "GET"):
            for values in ({}, {"user_id": sam}):
                ask(john.client, address_of(rule, **values), method)
    assert state_of(app) == before
