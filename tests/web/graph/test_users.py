"""People over Graph."""

from tests.cast import Cast
from tests.web.graph.conftest import EVENTUAL, Graph, World


def test_a_list_answers_the_eleven_default_properties(daemon: Graph, cast: Cast) -> None:
    """users.md, section 1"""
    page = daemon.get("users")
    assert page["@odata.context"] == "http://localhost:5000/v1.0/$metadata#users"
    assert [one["displayName"] for one in page["value"]] == ["Adele Vance", "John Doe"]
    assert set(page["value"][0]) == {
        "businessPhones", "displayName", "givenName", "id", "jobTitle", "mail", "mobilePhone",
        "officeLocation", "preferredLanguage", "surname", "userPrincipalName",
    }  # fmt: skip
    assert page["value"][0]["id"] == str(cast.adele)


def test_without_a_token_nothing_is_answered(world: World) -> None:
    """API-1"""
    response = world.nobody().ask("GET", "users", status=401)
    assert response.json["error"]["code"] == "InvalidAuthenticationToken"
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_count_needs_the_header(daemon: Graph) -> None:
    """users.md, section 6"""
    refused = daemon.get("users/$count", status=400)
    assert refused["error"]["code"] == "Request_BadRequest"
    assert daemon.ask("GET", "users/$count", headers=EVENTUAL).text == "2"
