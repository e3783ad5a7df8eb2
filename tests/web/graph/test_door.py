"""The door to Graph: who gets in, what is refused, and in which shape (threats.md, API-1 to 6)."""

import json
import time
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask

from b2b.services import app_registrations, signing_keys, users
from b2b.web.graph import calls
from tests.cast import Cast
from tests.pages import ORIGIN
from tests.web.graph.conftest import Graph, World, check
from tests.web.graph.test_invitations import SAM


def test_only_a_good_access_token_opens_it(world: World, cast: Cast, app: Flask) -> None:
    """API-1: the forgery set"""
    good = world.program("User.Read.All").token or ""
    person = world.person(cast.adele)
    head, body, signature = good.split(".")
    wrong = [None, "", "x", "a.b.c", f"{head}.{body}.", f"{head}.{body}.{signature[:-4]}AAAA",
             f"eyJhbGciOiJub25lIn0.{body}.", good + "x"]  # fmt: skip
    for token in wrong:
        response = Graph(app, token).ask("GET", "users", status=401)
        assert response.json["error"]["code"] == "InvalidAuthenticationToken"
        assert response.headers["WWW-Authenticate"].startswith("Bearer ")
    for scheme in ("Basic", "Token"):
        response = app.test_client().get(
            "/v1.0/users", headers={"Authorization": f"{scheme} {good}"}, base_url=ORIGIN
        )
        assert response.status_code == 401
    Graph(app, good).get("users")

    def signed(claims: dict[str, Any]) -> str:
        def made(session: Any, _: Any) -> str:
            return str(signing_keys.signer(session, now=world.clock.now).sign(claims))

        return str(world.run(made))

    from b2b import jose

    claims = jose.unverified(good)
    for change in (
        {"aud": "https://api.woodgrove.example"}, {"idtyp": None}, {"iss": "https://evil.example/"},
        {"exp": claims["iat"] - 1}, {"tid": str(cast.contoso)}, {"appid": str(uuid4())},
        {"oid": str(cast.adele)}, {"rh": str(uuid4())},
    ):  # fmt: skip
        forged = {name: value for name, value in {**claims, **change}.items() if value is not None}
        Graph(app, signed(forged)).ask("GET", "users", status=401)
    # Who is blocked, and what is over, is out at once.
    world.run(lambda session, john: users.block(session, john, cast.adele))
    person.ask("GET", "me", status=401)
    world.clock.advance(hours=2)
    Graph(app, good).ask("GET", "users", status=401)


def test_a_registration_that_is_gone_takes_its_tokens_with_it(world: World) -> None:
    """API-1"""
    program = world.program("User.Read.All")
    assert "Adele Vance" in program.names("users")
    world.run(lambda s, john: app_registrations.remove(s, john, world.registration_id))
    assert program.ask("GET", "users").status_code == 401


def test_every_route_names_what_suffices_and_asks_for_it(world: World) -> None:
    """API-2: the matrix of the route table"""
    assert len(calls.ROUTES) > 60
    low = world.program("Reports.Read.All")
    for made in calls.ROUTES:
        path = "/".join(
            "graph.user" if part == "{cast}" else str(uuid4()) if part[0] == "{" else part
            for part in made.pattern.split("/")
        )
        if made.needs.anybody:
            continue
        assert made.needs.delegated or made.needs.application, made.pattern
        body = None if made.method in ("GET", "DELETE") else {}
        response = low.ask(made.method, path, body)
        expected = 400 if made.pattern.split("/")[0] == "me" else 403
        assert response.status_code == expected, (made.method, made.pattern, response.text)
        assert world.nobody().ask(made.method, path, body).status_code == 401


BODIES: list[tuple[bytes, int]] = [
    (b"", 400), (b"{", 400), (b"[]", 400), (b"7", 400), (b"\xff\xfe", 400),
    (b'{"a": NaN}', 400), (b'{"a": Infinity}', 400),
    (b'{"invitedUserEmailAddress": "a@b.example", "invitedUserEmailAddress": "c@d.example"}', 400),
    (b"[" * 100_000, 400), (b'{"a":' * 100_000, 400), (b'{"a": "\\ud800"}', 400),
    (b'{"a": "\\u0000"}', 400), (b'{"a": ' + b"9" * 10_000 + b"}", 400),
    (b'{"invitedUserMessageInfo": ' + b"[" * 40 + b"]" * 40 + b"}", 400),
    (b'{"a": "' + b"x" * 20_000_000 + b'"}', 413),
]  # fmt: skip


def test_bodies_that_are_none(daemon: Graph, world: World) -> None:
    """API-5: in Graph's shape and at once"""
    for body, status in BODIES:
        begun = time.perf_counter()
        response = daemon.ask(
            "POST", "invitations", data=body, headers={"Content-Type": "application/json"}
        )
        assert response.status_code == status, body[:60]
        assert time.perf_counter() - begun < 1
    for kind in ("text/plain", "application/xml", "application/x-www-form-urlencoded",
                 "multipart/form-data; boundary=x"):  # fmt: skip
        body = json.dumps(SAM).encode()
        response = daemon.ask("POST", "invitations", data=body, headers={"Content-Type": kind})
        assert response.status_code == 415
        assert response.json["error"]["code"] == "UnsupportedMediaType"
    daemon.ask("POST", "invitations", data=json.dumps(SAM).encode(), status=201)


def test_what_is_not_there_is_told_in_graphs_shape(daemon: Graph) -> None:
    """clients.md: never HTML, also for unknown paths"""
    for method, path, status in (
        ("GET", "planets", 400), ("GET", "/v1.0", 400), ("GET", "/beta/", 400),
        ("GET", "users/x/y/z", 404), ("GET", "invitations", 405), ("PUT", "users", 405),
        ("DELETE", "users", 405), ("BREW", "users", 405), ("TRACE", "users", 405),
        ("GET", "users/%00", 404), ("GET", "users?$foo=1", 400),
        ("GET", "users?$top=1&$top=2", 400),
    ):  # fmt: skip
        response = daemon.ask(method, path)
        assert response.status_code == status, (method, path, response.text)
        assert response.mimetype == "application/json"


def test_a_fault_tells_nothing(daemon: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    """API-6: and the same id in the log"""

    def broken(*_: Any) -> Any:
        raise RuntimeError("SELECT secret FROM inner_workings")

    monkeypatch.setattr("b2b.web.graph.listing.rows_of", broken)
    response = daemon.app.test_client().get(
        "/v1.0/users", headers={"Authorization": f"Bearer {daemon.token}"}, base_url=ORIGIN
    )
    assert response.status_code == 500
    assert response.json["error"]["code"] == "InternalServerError"
    assert "inner_workings" not in response.text
    assert "RuntimeError" not in response.text


def test_ids_and_headers_of_an_answer(daemon: Graph) -> None:
    """errors-throttling.md, section 3"""
    asked = str(uuid4())
    response = daemon.ask("GET", "users", headers={"client-request-id": asked}, status=200)
    assert response.headers["client-request-id"] == asked
    assert response.headers["request-id"] != asked
    assert response.headers["OData-Version"] == "4.0"
    assert response.headers["Content-Type"].startswith("application/json;odata.metadata=minimal")
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in response.headers
    options = daemon.app.test_client().options(
        "/v1.0/users", headers={"Origin": "https://spa.example"}, base_url=ORIGIN
    )
    check(options)
    assert "PATCH" in options.headers["Access-Control-Allow-Methods"]


def test_a_cookie_opens_nothing(john: Any) -> None:
    """SES-3: signed in to the portal, and yet nobody here"""
    response = john.client.get("/v1.0/me", base_url=ORIGIN)
    assert response.status_code == 401


def test_too_many_invitations_of_one_person_are_told_when_to_come_back(
    world: World, cast: Cast
) -> None:
    """clients.md, retries: 429 with Retry-After"""
    from b2b.services import invitation_quotas

    invitation_quotas.configure(2 / 60)
    try:
        john = world.person(cast.john)
        for number in range(2):
            john.post("invitations", {**SAM, "invitedUserEmailAddress": f"g{number}@gmail.com"})
        response = john.ask("POST", "invitations", SAM, status=429)
    finally:
        invitation_quotas.configure(1.0)
    assert response.json["error"]["code"] == "TooManyRequests"
    assert 0 < int(response.headers["Retry-After"]) <= 61


def test_a_token_lives_as_long_as_it_says(world: World) -> None:
    program = world.program("User.Read.All")
    world.clock.advance(minutes=59)
    assert "Adele Vance" in program.names("users")
    world.clock.advance(minutes=2)
    assert program.ask("GET", "users").status_code == 401
