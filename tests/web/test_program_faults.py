"""What programs are told when something breaks here: never a page (clients.md)."""

from typing import Any

import pytest

from b2b.services import app_registrations
from b2b.web.identity_platform import token as endpoints
from tests.pages import ORIGIN
from tests.web.surveys import GRAPH, Lock, Surveys, refusal


class TestBusy:
    """Another process writes for longer than anybody waits."""

    @pytest.fixture
    def settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        return settings | {"BUSY_TIMEOUT": 0.3}

    def test_a_device_is_told_to_come_back(self, surveys: Surveys, lock: Lock) -> None:
        """REL-7"""
        surveys.run(
            lambda session, john: app_registrations.set_authentication(
                session, john, surveys.registration_id, is_public=True
            )
        )
        path = f"/{surveys.cast.woodgrove}/oauth2/v2.0/devicecode"
        form = {"client_id": surveys.client_id, "scope": "openid"}
        client = surveys.app.test_client()
        with lock():
            response = client.post(path, data=form, base_url=ORIGIN)
        assert response.status_code == 503
        assert refusal(response) == ("temporarily_unavailable", 90033)
        assert response.headers["Retry-After"] == "5"
        assert client.post(path, data=form, base_url=ORIGIN).status_code == 200


def test_a_fault_tells_nothing(surveys: Surveys, monkeypatch: pytest.MonkeyPatch) -> None:
    """API-6"""

    def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError("SELECT secret FROM inner_workings")

    monkeypatch.setattr(endpoints.grants, "refresh", broken)
    response = surveys.post(grant_type="refresh_token", refresh_token="x", scope=GRAPH)
    assert response.status_code == 500
    assert refusal(response) == ("server_error", 50000)
    assert "inner_workings" not in response.text
    assert response.headers["Cache-Control"] == "no-store"


def test_a_form_that_is_too_large(surveys: Surveys) -> None:
    """API-5"""
    response = surveys.post(grant_type="client_credentials", scope="s" * 20_000_000)
    assert response.status_code == 413
    assert refusal(response) == ("invalid_request", 90023)
