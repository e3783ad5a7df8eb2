"""The test tools over HTTP: clock, faults, snapshots and short cuts past the human steps."""

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from b2b import clock as clock_module
from b2b import worker
from b2b.extensions import db
from b2b.mail import outbox
from b2b.models import Group, MailState, OutboxMessage, User
from b2b.services import app_credentials, app_registrations, consent, replication, tokens
from b2b.test_double import state
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import START, Clock
from tests.pages import Browser

NANCY = "nancy@proseware.example"


@pytest.fixture
def settings(settings: dict[str, Any]) -> dict[str, Any]:
    return {**settings, "TEST_DOUBLE": True}


@pytest.fixture(autouse=True)
def afterwards() -> Iterator[None]:
    yield
    clock_module.follow(None)
    replication.configure(None)


class Tools:
    """Asks as a test suite does."""

    def __init__(self, client: FlaskClient) -> None:
        self._client = client

    def __call__(self, method: str, path: str, expected: int = 200, /, **body: Any) -> Any:
        response = self._client.open(f"/test-double{path}", method=method, json=body)
        assert response.status_code == expected, response.get_data(as_text=True)
        return response.get_json()


@pytest.fixture
def tools(client: FlaskClient) -> Tools:
    return Tools(client)


# Who may -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "override",
    [
        {"TEST_DOUBLE": False},
        {"HOST": "0.0.0.0"},
        {"TRUSTED_PROXIES": 1},
        {"PRODUCTION": True, "TEST_DOUBLE": False, "BASE_URL": "https://b2b.example",
         "PASSWORD_HASHING": "strong", "RATE_LIMITS": "default"},
    ],
)  # fmt: skip
def test_there_are_no_test_tools_where_others_could_reach_them(
    settings: dict[str, Any], override: dict[str, Any], clock: Clock
) -> None:
    """SES-3: refused in production, on the network and without a demo."""
    from b2b import create_app
    from config import Config

    app = create_app(Config(**{**settings, **override}))
    response = app.test_client().get(
        "/test-double", base_url=app.config["BASE_URL"], headers={"X-Test-Double": "1"}
    )
    assert response.status_code == 404
    assert "X-Test-Double" not in response.headers
    assert clock_module.now() == clock.now
    # A demo may be made later; elsewhere nothing is even registered, and no hook costs anything.
    assert ("test_double" in app.blueprints) is (override == {"TEST_DOUBLE": False})
    with app.app_context():
        db.engine.dispose()


STRANGERS: list[tuple[dict[str, Any], int]] = [
    ({"environ_base": {"REMOTE_ADDR": "192.0.2.7"}}, 404),
    ({"headers": {"X-Forwarded-For": "192.0.2.7"}}, 404),
    ({"headers": {"Sec-Fetch-Site": "cross-site"}}, 403),
    ({"headers": {"Origin": "https://elsewhere.example"}}, 403),
    ({"data": "{}", "content_type": "text/plain"}, 415),
    ({"data": {"days": "31"}}, 415),
    ({"base_url": "http://elsewhere.example"}, 400),
]


def test_a_page_elsewhere_cannot_use_them(client: FlaskClient, tools: Tools) -> None:
    """SES-3: no form, script or name of another site moves anything; nor another machine."""
    for options, status in STRANGERS:
        sent = {"json": {"days": 31}, **options} if "data" not in options else options
        response = client.post("/test-double/clock/advance", **sent)
        assert response.status_code == status, options
        assert tools("GET", "/clock")["offsetSeconds"] == 0


# The clock ---------------------------------------------------------------------------------------


def test_time_passes_for_links_sessions_and_every_other_process(
    app: Flask, cast: Cast, tools: Tools, browser: Browser, clock: Clock
) -> None:
    with app.app_context(), worker.transaction() as session:
        invited = factories.invite(session, cast, clock.now, NANCY)
    other = state.Double(app.config, _engine(app))
    other.look()
    assert other.state().offset == timedelta(0)
    told = tools("POST", "/clock/advance", days=30, hours=1)
    assert told["offsetSeconds"] == 30 * 86400 + 3600
    assert told["now"] == "2026-12-21T10:00:00.000Z"
    assert clock_module.now() == START + timedelta(days=30, hours=1)
    assert other.state().offset == timedelta(days=30, hours=1)
    with app.app_context():
        link = factories.link_of(db.session(), cast.woodgrove, invited.user_id)
    assert "expired" in browser.get(link).h1
    assert tools("DELETE", "/clock")["offsetSeconds"] == 0
    assert "expired" not in browser.get(link).h1


def _engine(app: Flask) -> Any:
    with app.app_context():
        return db.engine


def test_the_clock_is_set_to_an_instant_and_says_so_on_every_page(
    tools: Tools, cast: Cast, client: FlaskClient
) -> None:
    assert client.get("/signin").headers["X-Test-Double"] == "on"
    told = tools("PUT", "/clock", now="2027-01-31T09:00:00+00:00")
    assert told["offsetSeconds"] == 71 * 86400
    page = client.get("/signin")
    assert page.headers["X-Test-Double"] == "clock=+6134400"
    assert "Test clock: 71 days ahead." in page.get_data(as_text=True)
    tools("POST", "/clock/advance", days=-71, minutes=-90)
    assert "Test clock: 01:30:00 behind." in client.get("/signin").get_data(as_text=True)


REFUSALS: list[tuple[str, str, dict[str, Any], str]] = [
    ("POST", "/clock/advance", {}, "days"),
    ("POST", "/clock/advance", {"days": "31"}, "days"),
    ("POST", "/clock/advance", {"days": True}, "days"),
    ("POST", "/clock/advance", {"weeks": 1}, "weeks"),
    ("POST", "/clock/advance", {"days": 36500}, "offset"),
    ("PUT", "/clock", {"now": "tomorrow"}, "now"),
    ("PUT", "/clock", {"now": "2027-01-31T09:00:00"}, "now"),
    ("PUT", "/clock", {}, "now"),
    ("PUT", "/visibility", {}, "seconds"),
    ("PUT", "/visibility", {"seconds": -1}, "seconds"),
    ("POST", "/faults", {}, "path"),
    ("POST", "/faults", {"path": "v1.0"}, "path"),
    ("POST", "/faults", {"path": "/test-double/clock"}, "path"),
    ("POST", "/faults", {"path": "/", "kind": "flood"}, "kind"),
    ("POST", "/faults", {"path": "/", "kind": "latency"}, "latencySeconds"),
    ("POST", "/faults", {"path": "/", "latencySeconds": 1e9}, "latencySeconds"),
    ("POST", "/faults", {"path": "/", "status": 200}, "status"),
    ("POST", "/faults", {"path": "/", "kind": "drop", "status": 500}, "status"),
    ("POST", "/faults", {"path": "/", "share": 0}, "share"),
    ("POST", "/faults", {"path": "/", "share": 1.5}, "share"),
    ("POST", "/faults", {"path": "/", "method": "FETCH"}, "method"),
    ("POST", "/faults", {"path": "/", "retryAfter": -1}, "retryAfter"),
    ("POST", "/faults", {"path": "/", "times": 0}, "times"),
    ("PUT", "/snapshots/..", {}, "name"),
    ("POST", "/passcode", {"address": "nobody"}, "address"),
    ("POST", "/session", {"tenant": "nowhere.example", "user": "x"}, "tenant"),
]


def test_what_cannot_be_is_refused_by_name(tools: Tools) -> None:
    for method, path, body, field in REFUSALS:
        told = tools(method, path, 400, **body)["error"]
        assert told["field"] == field, (method, path, body, told)


def test_leases_last_as_long_in_real_time_and_waiting_mail_does_not_stay_in_the_future(
    app: Flask, cast: Cast, tools: Tools, clock: Clock
) -> None:
    """decisions.md, movable clock: leases use real time."""
    with app.app_context(), worker.transaction() as session:
        for address in (NANCY, "otto.brandt@contoso.example"):
            factories.invite(session, cast, clock.now, address)
        [leased] = outbox.lease(session, "somebody", now=clock.now, limit=1)
    tools("POST", "/clock/advance", days=31)
    assert _due(app)[leased.id] == START + timedelta(days=31, minutes=5)
    assert sorted(_due(app).values())[0] == START
    with app.app_context(), worker.transaction() as session:
        factories.invite(session, cast, clock_module.now(), "late@proseware.example")
    tools("DELETE", "/clock")
    due = _due(app)
    assert due[leased.id] == START + timedelta(minutes=5)
    assert max(due.values()) == START + timedelta(minutes=5)


def _due(app: Flask) -> dict[Any, Any]:
    with app.app_context():
        rows = db.session.scalars(
            select(OutboxMessage).where(OutboxMessage.state == MailState.QUEUED)
        )
        found = {row.id: row.due_at for row in rows}
        db.session.remove()
    return found


# Faults ------------------------------------------------------------------------------------------


def test_a_fault_meets_its_requests_as_often_as_it_was_asked_to(
    tools: Tools, cast: Cast, client: FlaskClient
) -> None:
    rule = tools("POST", "/faults", 201, path="/v1.0/users", retryAfter=7, times=2, method="get")
    for _ in range(2):
        response = client.get("/v1.0/users?$top=1", headers={"client-request-id": "abc"})
        assert response.status_code == 429
        assert response.headers["Retry-After"] == "7"
        assert response.headers["X-Test-Double-Fault"] == rule["id"]
        assert response.headers["X-Test-Double"] == "faults=1"
        error = response.get_json()["error"]
        assert error["code"] == "TooManyRequests"
        assert error["innerError"]["client-request-id"] == "abc"
    assert client.get("/v1.0/users").status_code != 429
    assert client.post("/v1.0/users").status_code != 429
    assert tools("GET", "/faults")["faults"][0]["hits"] == 2
    assert tools("DELETE", f"/faults/{rule['id']}")["faults"] == []
    tools("DELETE", f"/faults/{rule['id']}", 404)


def test_the_token_endpoint_fails_in_its_own_shape(
    tools: Tools, cast: Cast, client: FlaskClient
) -> None:
    tools("POST", "/faults", 201, path="*/oauth2/v2.0/token", status=503)
    response = client.post(f"/{cast.woodgrove}/oauth2/v2.0/token", data={})
    assert response.status_code == 503
    assert response.get_json()["error"] == "temporarily_unavailable"
    assert client.get(f"/{cast.woodgrove}/discovery/v2.0/keys").status_code == 200


def test_a_share_of_requests_fails_and_the_first_rule_that_applies_is_taken(
    tools: Tools, client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools("POST", "/faults", 201, path="/healthz", status=500, share=0.25)
    tools("POST", "/faults", 201, path="/", status=502)
    rolls = iter([0.24, 0.25])
    monkeypatch.setattr("random.random", lambda: next(rolls))
    assert client.get("/healthz").status_code == 500
    assert client.get("/healthz").status_code == 502
    assert client.get("/test-double/clock").status_code == 200
    assert tools("DELETE", "/faults")["faults"] == []
    assert client.get("/healthz").status_code == 200


def test_answers_come_late_or_not_at_all(tools: Tools, client: FlaskClient) -> None:
    tools("POST", "/faults", 201, path="/healthz", kind="latency", latencySeconds=0.3, times=1)
    begun = time.monotonic()
    assert client.get("/healthz").status_code == 200
    assert time.monotonic() - begun >= 0.3
    tools("POST", "/faults", 201, path="/healthz", kind="drop", times=1)
    assert client.get("/healthz").headers["Connection"] == "close"
    assert client.get("/healthz").status_code == 200


def test_lists_lag_behind_when_they_are_asked_to(tools: Tools, clock: Clock) -> None:
    assert replication.seen_until(clock.now) is None
    assert tools("PUT", "/visibility", seconds=5)["seconds"] == 5
    assert replication.seen_until(clock.now) == START - timedelta(seconds=5)
    tools("PUT", "/visibility", seconds=0)
    assert replication.seen_until(clock.now) is None


def test_graph_lists_show_a_new_guest_only_after_a_while(
    app: Flask, cast: Cast, tools: Tools, client: FlaskClient, clock: Clock
) -> None:
    with app.app_context(), worker.transaction() as session:
        john = acting(session, cast.woodgrove, cast.john, clock.now)
        made = app_registrations.register(session, john, "App")
        app_credentials.add_secret(session, john, made.registration.id)
        graph = consent.graph_principal(session, john)
        consent.give_roles(session, john, made.principal, graph, ["User.Read.All"])
    tools("PUT", "/visibility", seconds=5)
    clock.advance(minutes=1)
    with app.app_context(), worker.transaction() as session:
        user_id = factories.invite(session, cast, clock.now, NANCY).user_id
    token = tools("POST", "/token", tenant="WoodGrove", client="App")["accessToken"]
    bearer = {"Authorization": f"Bearer {token}", "ConsistencyLevel": "eventual"}
    listed = f"/v1.0/users?$filter=mail eq '{NANCY}'&$count=true"

    def shown() -> tuple[int, int]:
        answer = client.get(listed, headers=bearer).get_json()
        return len(answer["value"]), answer["@odata.count"]

    assert client.get(f"/v1.0/users/{user_id}", headers=bearer).status_code == 200
    assert shown() == (0, 0)
    clock.advance(seconds=6)
    assert shown() == (1, 1)


# Snapshots ---------------------------------------------------------------------------------------


def test_a_snapshot_brings_everything_back_while_sessions_and_clock_go_on(
    app: Flask, cast: Cast, tools: Tools, john: Browser, clock: Clock
) -> None:
    with app.app_context(), worker.transaction() as session:
        factories.invite(session, cast, clock.now, NANCY)
    begun = time.monotonic()
    made = tools("PUT", "/snapshots/before", 201)
    assert made["madeAt"] == "2026-11-21T09:00:00.000Z"
    taken = time.monotonic() - begun
    tools("POST", "/clock/advance", hours=2)
    with app.app_context(), worker.transaction() as session:
        session.execute(User.__table__.update().values(display_name="Somebody else"))
        factories.invite(session, cast, clock_module.now(), "late@proseware.example")
        session.add(
            Group(tenant_id=cast.woodgrove, id=cast.woodgrove, display_name="New", name_key="new",
                  created_at=clock.now)
        )  # fmt: skip
    begun = time.monotonic()
    assert tools("POST", "/snapshots/before/restore") == {"restored": "before"}
    assert taken < 1
    assert time.monotonic() - begun < 1
    assert tools("GET", "/clock")["offsetSeconds"] == 2 * 3600
    page = john.get("/admin/users")
    assert "Adele Vance" in page.text
    assert NANCY in page.text
    assert "late@proseware.example" not in page.text
    with app.app_context():
        assert db.session.scalars(select(Group).where(Group.display_name == "New")).all() == []
        db.session.remove()
    assert [one["name"] for one in tools("GET", "/snapshots")["snapshots"]] == ["before"]
    assert tools("DELETE", "/snapshots/before")["snapshots"] == []
    tools("POST", "/snapshots/before/restore", 404)


def test_mail_that_waited_at_a_snapshot_of_the_future_waits_no_longer_than_then(
    app: Flask, cast: Cast, tools: Tools, clock: Clock
) -> None:
    tools("POST", "/clock/advance", days=31)
    with app.app_context(), worker.transaction() as session:
        factories.invite(session, cast, clock_module.now(), NANCY)
    tools("PUT", "/snapshots/future", 201)
    tools("DELETE", "/clock")
    tools("POST", "/snapshots/future/restore")
    assert list(_due(app).values()) == [START]


# Human steps -------------------------------------------------------------------------------------


def test_somebody_redeems_under_the_same_rules_as_on_the_pages(
    app: Flask, cast: Cast, tools: Tools, clock: Clock
) -> None:
    """RED-3: the invited address has to be proven, by this way too."""
    with app.app_context(), worker.transaction() as session:
        invited = factories.invite(session, cast, clock.now, "otto.brandt@contoso.example")
        link = factories.link_of(session, cast.woodgrove, invited.user_id)
    refused = tools("POST", "/redeem", 403, invitation=link, **{"as": NANCY})
    assert refused["error"]["code"] == "AADSTS50020"
    told = tools("POST", "/redeem", invitation=link)
    assert told["externalUserState"] == "Accepted"
    assert told["identityProvider"] == "ExternalAzureAD"
    assert told["redirectUrl"].endswith(f"/myapps?tenantid={cast.woodgrove}")
    tools("POST", "/redeem", 409, invitation=link)
    tools("POST", "/redeem", 400, invitation="https://localhost/redeem?rd=x")


def test_a_code_is_told_only_while_it_is_good(
    app: Flask, cast: Cast, tools: Tools, browser: Browser, clock: Clock
) -> None:
    with app.app_context(), worker.transaction() as session:
        invited = factories.invite(session, cast, clock.now, NANCY)
        link = factories.link_of(session, cast.woodgrove, invited.user_id)
    tools("POST", "/passcode", 404, address=NANCY)
    page = browser.get(link).submit("/redeem/start")
    while "/code" not in page.path:
        page = page.submit()
    code = tools("POST", "/passcode", address=NANCY)["code"]
    assert len(code) == 8
    assert "Review" in page.submit("/signin/code", code=code).h1
    tools("POST", "/passcode", 404, address=NANCY)


def test_a_session_and_a_token_are_given_out_without_a_password(
    app: Flask, cast: Cast, tools: Tools, clock: Clock
) -> None:
    told = tools("POST", "/session", tenant="woodgrove.example", user="john.doe@woodgrove.example")
    browser = Browser(app)
    browser.client.set_cookie(told["cookie"]["name"], told["cookie"]["value"])
    assert browser.get("/admin").path == "/admin"

    with app.app_context(), worker.transaction() as session:
        john = acting(session, cast.woodgrove, cast.john, clock.now)
        made = app_registrations.register(session, john, "App")
        app_id = str(made.registration.app_id)
    refused = tools("POST", "/token", 400, tenant="WoodGrove", client=app_id)
    assert refused["error"]["field"] == "client"
    refused = tools("POST", "/token", 400, tenant="WoodGrove", client=app_id,
                    user="adele.vance@woodgrove.example")  # fmt: skip
    assert refused["error"]["field"] == "scope"


def test_a_token_has_the_claims_that_it_was_asked_for(
    app: Flask, cast: Cast, tools: Tools, clock: Clock
) -> None:
    """OIDC-5: signed as any other; what ties it to its sign-in cannot be chosen."""
    with app.app_context(), worker.transaction() as session:
        john = acting(session, cast.woodgrove, cast.john, clock.now)
        made = app_registrations.register(session, john, "App")
        app_credentials.add_secret(session, john, made.registration.id)
        graph = consent.graph_principal(session, john)
        consent.grant(session, john, made.principal, graph, ["User.Read"])
        consent.give_roles(session, john, made.principal, graph, ["User.Read.All"])
    adele = "adele.vance@woodgrove.example"
    asked: dict[str, Any] = {"tenant": "WoodGrove", "client": "App", "user": adele}
    told = tools("POST", "/token", **asked, claims={"ctry": "KR", "upn": None})
    with app.app_context():
        claims = tokens.read(db.session(), told["accessToken"], now=clock.now)
        access = tokens.check_access(db.session(), told["accessToken"], now=clock.now)
        db.session.remove()
    assert (claims["ctry"], claims["scp"], "upn" in claims) == ("KR", "User.Read", False)
    assert access.user is not None
    assert access.user.display_name == "Adele Vance"
    told = tools("POST", "/token", tenant="woodgrove.example", client="App")
    with app.app_context():
        claims = tokens.read(db.session(), told["accessToken"], now=clock.now)
        db.session.remove()
    assert claims["roles"] == ["User.Read.All"]
    refused = tools("POST", "/token", 400, tenant="WoodGrove", client="App", claims={"rh": "x"})
    assert refused["error"]["field"] == "claims"


def test_the_api_is_described(client: FlaskClient, app: Flask) -> None:
    document = client.get("/test-double/openapi.json").get_json()
    described = {
        (method.upper(), f"/test-double{path.rstrip('/')}")
        for path, methods in document["paths"].items()
        for method in methods
    }
    served = {
        (method, rule.rule.replace("<uuid:rule_id>", "{id}").replace("<name>", "{name}"))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.endpoint.startswith("test_double.")
    }
    assert described == served - {("GET", "/test-double/openapi.json")}
