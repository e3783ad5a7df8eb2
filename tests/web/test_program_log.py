"""Programs in the sign-in log, and the quick way to their tokens."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from b2b import worker
from b2b.extensions import db
from b2b.models import Application, ServicePrincipal, SignIn
from b2b.services import app_credentials, app_registrations, consent, programs
from b2b.web.identity_platform import program_log
from tests.cast import Cast, acting
from tests.conftest import Clock
from tests.pages import ORIGIN, Browser
from tests.services.test_tokens import said

GRAPH = "https://graph.microsoft.com/.default"


@pytest.fixture
def nightly(app: Flask, cast: Cast, clock: Clock) -> dict[str, str]:
    """A program with a permission of Graph: what it sends."""
    with app.app_context(), worker.transaction() as session:
        john = acting(session, cast.woodgrove, cast.john, clock.now)
        made = app_registrations.register(session, john, "Nightly")
        _, secret = app_credentials.add_secret(session, john, made.registration.id)
        graph = consent.graph_principal(session, john)
        consent.give_roles(session, john, made.principal, graph, ["User.Read.All"])
        return {
            "client_id": str(made.registration.app_id),
            "client_secret": secret,
            "grant_type": "client_credentials",
            "scope": GRAPH,
        }


def ask(client: FlaskClient, cast: Cast, sent: dict[str, str], **more: Any) -> Any:
    path = f"/{more.pop('tenant', cast.woodgrove)}/oauth2/v2.0/token"
    return client.post(path, data=sent, base_url=ORIGIN, **more).get_json()


def entries(app: Flask) -> list[tuple[str, str, str | None, int]]:
    with app.app_context():
        rows = db.session.scalars(select(SignIn).where(SignIn.method == "program")).all()
        found = [(row.identity, row.application, row.resource, row.error_code) for row in rows]
        db.session.remove()
    return found


def test_each_token_of_a_program_stands_in_the_log(
    app: Flask, client: FlaskClient, cast: Cast, john: Browser, nightly: dict[str, str]
) -> None:
    """decisions.md: app-only sign-ins"""
    for sent in (nightly, {**nightly, "scope": f"{ORIGIN}/.default"}):
        assert said(ask(client, cast, sent)["access_token"])["roles"] == ["User.Read.All"]
    ask(client, cast, nightly, tenant="woodgrove.example")  # the general way
    assert entries(app) == [("Nightly", "Nightly", "Microsoft Graph", 0)] * 3
    page = john.get("/admin/sign-ins?application=Nightly")
    assert "a program by itself" in page.text
    one = john.get(str(page.soup.select("main tbody th a")[0]["href"]))
    assert "Microsoft Graph" in one.text
    assert one.follow("Open the application").h1 == "Nightly"


def quick(app: Flask, cast: Cast, sent: dict[str, str], clock: Clock) -> bool:
    """Whether a request is answered by the quick way."""
    from b2b.services.grants import Asked

    parameters = {name: [value] for name, value in sent.items()}
    with app.app_context(), db.engine.connect() as connection:
        asked = Asked(None, str(cast.woodgrove), parameters)
        return programs.issue(connection, asked, now=clock.now) is not None


def test_both_ways_give_the_same_token_and_refusals_take_the_long_one(
    app: Flask, client: FlaskClient, cast: Cast, clock: Clock, nightly: dict[str, str]
) -> None:
    """OIDC-3: the secret is checked by either; API-1"""
    by_domain = said(ask(client, cast, nightly, tenant="woodgrove.example")["access_token"])
    assert quick(app, cast, nightly, clock)
    by_id = said(ask(client, cast, nightly)["access_token"])
    assert {**by_domain, "uti": ""} == {**by_id, "uti": ""}
    for change, code in (
        ({"client_secret": "wrong"}, 7000215),
        ({"scope": "https://graph.microsoft.com/User.Read.All"}, 1002012),
        ({"scope": "api://elsewhere/.default"}, 500011),
        ({"client_id": "x"}, 700016),
        ({"client_id": str(cast.woodgrove)}, 700016),
    ):
        assert not quick(app, cast, {**nightly, **change}, clock)
        assert ask(client, cast, {**nightly, **change})["error_codes"] == [code]
    assert len(entries(app)) == 2


def test_the_door_before_flask_answers_as_flask_does_and_leaves_the_rest_to_it(
    app: Flask, client: FlaskClient, cast: Cast, nightly: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """HTTP-2, OIDC-9: the same headers; HTTP-1: no other host"""
    path = f"/{cast.woodgrove}/oauth2/v2.0/token"
    ask(client, cast, nightly)  # makes the keys

    def post(data: object, **more: Any) -> Any:
        return client.post(path, data=data, base_url=ORIGIN, **more)

    behind = post(nightly, query_string="x=1")
    asked: list[str] = []
    flask = app.dispatch_request
    monkeypatch.setattr(app, "dispatch_request", lambda: (asked.append("flask"), flask())[1])
    quick = post(nightly)
    assert asked == []
    assert dict(quick.headers) | {"Content-Length": ""} == dict(behind.headers) | {
        "Content-Length": ""
    }
    assert set(quick.json) == set(behind.json)
    assert said(quick.json["access_token"])["appid"] == nightly["client_id"]
    for other in (
        {"headers": {"Authorization": "Basic eDp5"}},
        {"headers": {"Origin": "http://localhost:1"}},
        {"content_type": "multipart/form-data"},
        {"headers": {"Host": "elsewhere.example"}},
    ):
        asked.clear()
        answer = post(nightly, **other)
        assert asked == ["flask"] or answer.status_code == 400, other
    for form in (f"{'x' * 5000}=1", "grant_type=password", "%ff=%ff", "\u00fc=1", "a&" * 50):
        asked.clear()
        assert "error" in post(form, content_type="application/x-www-form-urlencoded").json
        assert asked == ["flask"], form[:20]


@pytest.mark.parametrize("what", ["switched off", "secret over", "permission taken"])
def test_what_has_ended_is_not_passed_over(
    app: Flask, client: FlaskClient, cast: Cast, clock: Clock, nightly: dict[str, str], what: str
) -> None:
    """API-1: client and credential still stand"""
    assert "access_token" in ask(client, cast, nightly)
    if what == "secret over":
        clock.advance(days=800)
        assert ask(client, cast, nightly)["error_codes"] == [7000222]
        return
    with app.app_context(), worker.transaction() as session:
        found = session.scalars(
            select(Application).where(Application.display_name == "Nightly")
        ).one()
        principal = session.scalars(
            select(ServicePrincipal).where(ServicePrincipal.app_id == found.app_id)
        ).one()
        if what == "switched off":
            principal.account_enabled = False
        else:
            john = acting(session, cast.woodgrove, cast.john, clock.now)
            graph = consent.graph_principal(session, john)
            consent.take_role(session, john, principal, graph, "User.Read.All")
    answer = ask(client, cast, nightly)
    if what == "switched off":
        assert answer["error_codes"] == [7000112]
    else:
        assert "roles" not in said(answer["access_token"])


def test_under_our_own_server_entries_are_written_together(
    app: Flask, client: FlaskClient, cast: Cast, nightly: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """decisions.md: within five seconds, and none is lost when writing fails"""
    gathered = program_log._Gathered()
    gathered._app = app
    monkeypatch.setattr(program_log, "_gathered", gathered)
    served = {"environ_overrides": {"gunicorn.socket": object()}}
    for _ in range(5):
        assert "access_token" in ask(client, cast, nightly, **served)
    assert entries(app) == []
    with monkeypatch.context() as broken:
        broken.setattr(program_log.sign_in_log, "record_programs", _fails)
        gathered.write()
    assert entries(app) == []
    gathered.write()
    assert len(entries(app)) == 5
    with app.app_context():
        names = db.session.scalar(select(func.count(SignIn.id.distinct())))
        db.session.remove()
    assert names == 5
    assert program_log.EVERY <= 5


def _fails(*_: Any) -> None:
    raise OSError("the disk is full")


def test_no_secret_of_a_program_comes_back_with_a_fault(
    app: Flask, client: FlaskClient, cast: Cast, nightly: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """LOG-1, API-6: nothing of what was sent"""
    app.config["PROPAGATE_EXCEPTIONS"] = False
    monkeypatch.setattr(program_log, "note", _fails)
    path = f"/{cast.woodgrove}/oauth2/v2.0/token"
    answer = client.post(path, data=nightly, query_string="x=1", base_url=ORIGIN)
    assert answer.status_code == 500
    assert answer.json is not None
    assert answer.json["error"] == "server_error"
    assert nightly["client_secret"] not in answer.text
