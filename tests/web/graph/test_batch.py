"""Several requests in one (errors-throttling.md, section 4)."""

from typing import Any

from tests.cast import Cast
from tests.web.graph.conftest import EVENTUAL, Graph, World
from tests.web.graph.test_invitations import SAM, mails

JSON = {"Content-Type": "application/json"}


def asked(name: str, method: str, url: str, body: Any = None, **more: Any) -> dict[str, Any]:
    """One request of a batch."""
    found = {"id": name, "method": method, "url": url, **more}
    return found if body is None else {**found, "body": body, "headers": JSON}


def send(graph: Graph, *requests: Any, status: int = 200) -> dict[str, dict[str, Any]]:
    """Outcomes by id."""
    answer = graph.post("$batch", {"requests": list(requests)}, status=status)
    return {one["id"]: one for one in answer.get("responses", ())}


def test_twenty_invitations_with_a_mail_each(daemon: Graph, world: World) -> None:
    found = send(daemon, *[
        asked(str(n), "POST", "/invitations",
              {**SAM, "sendInvitationMessage": True,
               "invitedUserEmailAddress": f"guest{n}@gmail.com"})
        for n in range(20)
    ])  # fmt: skip
    assert {one["status"] for one in found.values()} == {201}
    assert found["7"]["body"]["invitedUserEmailAddress"] == "guest7@gmail.com"
    assert len(mails(world)) == 20


def test_each_has_an_outcome_of_its_own(daemon: Graph, cast: Cast) -> None:
    """decisions.md, $batch: its own savepoint, one commit"""
    found = send(
        daemon,
        asked("good", "POST", "invitations", SAM),
        asked("bad", "POST", "/invitations", {**SAM, "invitedUserEmailAddress": "x"}),
        asked("half", "PATCH", f"/groups/{cast.partners}", {"members@odata.bind": [
            f"https://graph.microsoft.com/v1.0/users/{cast.adele}",
            "https://graph.microsoft.com/v1.0/users/00000000-0000-0000-0000-000000000001"]}),
        asked("list", "GET", "/v1.0/users?$select=displayName&$top=1"),
        asked("count", "GET", "/users/$count", headers=EVENTUAL),
        asked("missing", "GET", "/users/nobody@woodgrove.example"),
        asked("wrong", "GET", "/invitations"),
        asked("nowhere", "GET", "/planets"),
        asked("bare", "POST", "/invitations"),
    )  # fmt: skip
    assert {name: one["status"] for name, one in found.items()} == {
        "good": 201, "bad": 400, "half": 404, "list": 200, "count": 200, "missing": 404,
        "wrong": 405, "nowhere": 400, "bare": 400,
    }  # fmt: skip
    assert found["list"]["body"]["value"] == [{"displayName": "Adele Vance"}]
    assert found["count"]["body"] == "3"
    assert found["bad"]["body"]["error"]["innerError"]["request-id"]
    assert daemon.names(f"groups/{cast.partners}/members") == []
    assert len(daemon.get("users")["value"]) == 3


def test_what_depends_on_a_failure_is_not_tried(daemon: Graph, cast: Cast) -> None:
    found = send(
        daemon,
        asked("3", "GET", f"/users/{cast.adele}", dependsOn=["2"]),
        asked("2", "DELETE", f"/users/{cast.adele}", dependsOn=["1"]),
        asked("1", "GET", "/users/nobody@woodgrove.example"),
        asked("4", "GET", f"/users/{cast.adele}"),
    )
    assert {name: one["status"] for name, one in found.items()} == {
        "1": 404,
        "2": 424,
        "3": 424,
        "4": 200,
    }
    assert found["2"]["body"]["error"]["code"] == "FailedDependency"


MALFORMED: list[Any] = [
    None, [], {}, [7], [{}], [asked("1", "GET", "/users")] * 2,
    [asked("a", "GET", "/users"), asked("A", "GET", "/users")],
    [asked(str(n), "GET", "/users") for n in range(21)],
    [asked("1", "EAT", "/users")], [{"id": 1, "method": "GET", "url": "/users"}],
    [{"id": "1", "method": "GET"}], [asked("1", "GET", "/users", dependsOn=["2"])],
    [asked("1", "GET", "/users", dependsOn=["2"]), asked("2", "GET", "/users", dependsOn=["1"])],
    [asked("1", "GET", "/users", headers={"a": 1})],
]  # fmt: skip


def test_a_batch_that_cannot_be_read_is_refused_whole(daemon: Graph) -> None:
    for requests in MALFORMED:
        refused = daemon.post("$batch", {"requests": requests}, status=400)
        assert refused["error"]["code"] == "BadRequest"


def test_permissions_are_asked_for_each(world: World) -> None:
    """API-2"""
    reader = world.program("User.Read.All")
    found = send(reader, asked("1", "GET", "/users"), asked("2", "POST", "/invitations", SAM),
                 asked("3", "POST", "/$batch", {"requests": []}))  # fmt: skip
    assert [found[name]["status"] for name in "123"] == [200, 403, 400]
    assert world.nobody().ask("POST", "$batch", {"requests": []}).status_code == 401
