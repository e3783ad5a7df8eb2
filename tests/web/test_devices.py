"""Sign-ins on a device that has no browser of its own."""

from typing import Any

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from b2b.actor import Actor
from b2b.extensions import db
from b2b.models import (
    DeviceCode,
    SignIn,
)
from b2b.services import (
    app_registrations,
    clients,
)
from tests.pages import ORIGIN, Browser
from tests.web.surveys import Surveys, refusal


@pytest.fixture
def device(surveys: Surveys) -> dict[str, Any]:
    """A device that shows a code."""
    surveys.run(
        lambda session, john: app_registrations.set_authentication(
            session, john, surveys.registration_id, is_public=True
        )
    )
    return begun(surveys)


def begun(surveys: Surveys, **changes: Any) -> dict[str, Any]:
    response = surveys.app.test_client().post(
        f"/{surveys.cast.woodgrove}/oauth2/v2.0/devicecode",
        data={"client_id": surveys.client_id, "scope": "openid User.Read", **changes},
        base_url=ORIGIN,
    )
    assert response.status_code == 200, response.json
    assert response.headers["Cache-Control"] == "no-store"
    return dict(response.json or {})


def poll(surveys: Surveys, device: dict[str, Any]) -> TestResponse:
    grant = "urn:ietf:params:oauth:grant-type:device_code"
    return surveys.post(grant_type=grant, device_code=device["device_code"])


def test_a_device_waits_and_may_not_ask_too_often(
    surveys: Surveys, device: dict[str, Any], adele: Browser
) -> None:
    """OIDC-7: polling too fast → slow_down"""
    assert (device["expires_in"], device["interval"]) == (900, 5)
    assert device["user_code"] in device["message"]
    assert "verification_uri_complete" not in device
    assert refusal(poll(surveys, device)) == ("authorization_pending", 70016)
    surveys.clock.advance(seconds=1)
    assert refusal(poll(surveys, device)) == ("slow_down", 70016)
    surveys.clock.advance(seconds=5)
    assert refusal(poll(surveys, device)) == ("slow_down", 70016), "ten seconds by now"
    surveys.clock.advance(seconds=15)
    assert refusal(poll(surveys, device)) == ("authorization_pending", 70016)
    page = adele.get("/devicelogin").submit(user_code=device["user_code"])
    assert page.h1 == "Are you signing in on another device?"
    assert "Surveys" in page.text
    assert "adele.vance@woodgrove.example" in page.text
    assert "Only continue if you started this on your own device." in page.text
    assert "127.0.0.1" in page.text
    assert page.soup.select_one("main time") is not None
    assert refusal(poll(surveys, device))[0] in ("slow_down", "authorization_pending")
    page = page.submit(decision="accept")
    assert page.h1 == "Go back to the device"
    got = poll(surveys, device)
    assert got.status_code == 200, got.json
    assert "User.Read" in (got.json or {})["scope"]
    assert refusal(poll(surveys, device)) == ("bad_verification_code", 70018)
    with surveys.app.app_context():
        rows = db.session.scalars(
            select(SignIn.application).where(SignIn.user_id == surveys.cast.adele)
        ).all()
        assert "Surveys" in rows


def test_a_device_that_is_turned_away_or_too_late(
    surveys: Surveys, device: dict[str, Any], adele: Browser
) -> None:
    page = adele.get("/devicelogin").submit(user_code=device["user_code"])
    page.submit(decision="decline")
    assert refusal(poll(surveys, device))[0] == "authorization_declined"
    late = begun(surveys)
    surveys.clock.advance(minutes=15)
    assert refusal(poll(surveys, late)) == ("expired_token", 70019)
    page = adele.get("/devicelogin").submit(user_code=late["user_code"])
    assert page.errors == ["This code is not right, or it is over. Look at the device again."]
    for code in ("A" * 43, ""):
        response = poll(surveys, {"device_code": code})
        assert response.status_code == 400


def test_codes_cannot_be_guessed(surveys: Surveys, device: dict[str, Any], adele: Browser) -> None:
    """OIDC-7: five tries, then a quarter of an hour"""
    for _ in range(5):
        page = adele.get("/devicelogin").submit(user_code="BBBBBBBBB")
        assert "not right" in page.errors[0]
    for code in ("CCCCCCCCC", device["user_code"]):
        page = adele.get("/devicelogin").submit(user_code=code)
        assert page.errors == ["Too many wrong codes. Wait a quarter of an hour and try again."]
    other = Browser(surveys.app)
    page = other.get("/devicelogin").submit(user_code=device["user_code"])
    assert "Too many" in page.errors[0], "by address too"
    with surveys.app.app_context():
        row = db.session.scalars(select(DeviceCode)).one()
        assert device["user_code"].encode() not in row.user_code_hash


def test_no_device_for_administrators_nor_where_it_is_switched_off(
    surveys: Surveys, device: dict[str, Any], john: Browser, adele: Browser
) -> None:
    """OIDC-7: can be switched off per tenant, never for admin roles"""
    page = john.get("/devicelogin").submit(user_code=device["user_code"])
    assert page.status == 403
    assert "AADSTS53003" in page.text
    assert adele.get("/devicelogin/confirm").path == "/devicelogin", "her own code first"

    def switch_off(session: Any, actor: Actor) -> None:
        clients.policy_of(session, surveys.cast.woodgrove).device_code_grant = False

    surveys.run(switch_off)
    page = adele.get("/devicelogin").submit(user_code=device["user_code"])
    assert "AADSTS70001" in page.text
    response = surveys.app.test_client().post(
        f"/{surveys.cast.woodgrove}/oauth2/v2.0/devicecode",
        data={"client_id": surveys.client_id, "scope": "openid"}, base_url=ORIGIN,
    )  # fmt: skip
    assert refusal(response) == ("unauthorized_client", 70001)
