"""Groups over Graph (groups-apps-roles.md, section 1)."""

from typing import Any
from uuid import uuid4

from tests.cast import Cast
from tests.web.graph.conftest import EVENTUAL, Graph, World
from tests.web.graph.test_users import NEW, ref

TEAM: dict[str, Any] = {
    "displayName": "Suppliers", "mailEnabled": False, "mailNickname": "suppliers",
    "securityEnabled": True, "groupTypes": [],
}  # fmt: skip
UNIFIED = {**TEAM, "displayName": "Launch", "mailEnabled": True, "groupTypes": ["Unified"]}


def test_a_group_is_made_with_people_changed_and_deleted_for_good(
    daemon: Graph, cast: Cast
) -> None:
    root = "https://graph.microsoft.com/v1.0"
    made = daemon.post(
        "groups",
        {
            **TEAM,
            "members@odata.bind": [f"{root}/users/{cast.adele}"],
            "owners@odata.bind": [f"{root}/directoryObjects/{cast.john}"],
        },
    )
    assert made["groupTypes"] == []
    path = f"groups/{made['id']}"
    assert [one["id"] for one in daemon.get(f"{path}/members")["value"]] == [str(cast.adele)]
    owners = daemon.get(f"{path}/owners")["value"]
    assert [(one["@odata.type"], one["id"]) for one in owners] == [
        ("#microsoft.graph.user", str(cast.john))
    ]
    daemon.patch(path, {"description": "Who delivers", "displayName": "All suppliers"})
    assert daemon.get(path)["description"] == "Who delivers"
    assert daemon.names("groups?$filter=startswith(displayName,'all')") == [
        "All guests",
        "All suppliers",
    ]
    daemon.delete(path)
    daemon.get(path, status=404)
    daemon.get(f"directory/deletedItems/{made['id']}", status=404)


def test_a_microsoft_365_group_comes_back_with_everything(daemon: Graph, cast: Cast) -> None:
    made = daemon.post("groups", UNIFIED)
    assert made["groupTypes"] == ["Unified"]
    assert made["visibility"] == "Public"
    path = f"groups/{made['id']}"
    daemon.post(f"{path}/members/$ref", ref(cast.adele), status=204)
    daemon.post(f"{path}/owners/$ref", ref(cast.adele), status=204)
    daemon.delete(path)
    gone = daemon.get("directory/deletedItems/microsoft.graph.group")["value"]
    assert [(one["displayName"], one["groupTypes"]) for one in gone] == [("Launch", ["Unified"])]
    daemon.ask("POST", f"directory/deletedItems/{made['id']}/restore", status=200)
    assert daemon.names(f"{path}/members") == ["Adele Vance"]
    assert daemon.names(f"{path}/owners") == ["Adele Vance"]
    daemon.delete(path)
    daemon.delete(f"directory/deletedItems/{made['id']}")
    assert daemon.get("directory/deletedItems/graph.group")["value"] == []


def test_members_by_reference(daemon: Graph, cast: Cast) -> None:
    path = f"groups/{cast.partners}/members"
    daemon.post(
        f"{path}/$ref",
        {"@odata.id": f"http://localhost:5000/v1.0/directoryObjects/{cast.adele}"},
        status=204,
    )
    refused = daemon.post(f"{path}/$ref", ref(cast.adele), status=400)["error"]
    assert refused["code"] == "Request_BadRequest"
    assert "already exist" in refused["message"]
    assert (
        str(cast.otto)
        in daemon.post(f"{path}/$ref", ref(cast.otto), status=404)["error"]["message"]
    )
    for body in (
        {},
        {"@odata.id": 7},
        {"@odata.id": "https://x.example/me"},
        {"id": str(cast.adele)},
    ):
        daemon.post(f"{path}/$ref", body, status=400)
    assert daemon.get(f"{path}/microsoft.graph.user?$select=id")["value"] == [
        {"id": str(cast.adele)}
    ]
    assert daemon.get(f"{path}/$ref")["value"] == [
        {"@odata.id": f"http://localhost:5000/v1.0/directoryObjects/{cast.adele}"}
    ]
    assert daemon.ask("GET", f"{path}/$count", headers=EVENTUAL).text == "1"
    daemon.delete(f"{path}/{cast.adele}/$ref")
    daemon.delete(f"{path}/{cast.adele}/$ref", status=404)


def test_binding_members_is_all_or_nobody(daemon: Graph, cast: Cast) -> None:
    """groups-apps-roles.md, section 1: at most twenty"""
    path = f"groups/{cast.partners}"
    bind = "members@odata.bind"
    url = "http://localhost:5000/v1.0/users/"
    daemon.patch(path, {bind: [f"{url}{cast.adele}", f"{url}{uuid4()}"]}, status=404)
    assert daemon.names(f"{path}/members") == []
    daemon.patch(path, {bind: [f"{url}{uuid4()}" for _ in range(21)]}, status=400)
    daemon.patch(path, {bind: [f"{url}{cast.adele}", f"{url}{cast.john}"]})
    assert daemon.names(f"{path}/members") == ["Adele Vance", "John Doe"]


def test_dynamic_groups_are_filled_by_their_rule(daemon: Graph, cast: Cast) -> None:
    found = daemon.get(f"groups/{cast.dynamic}")
    assert found["groupTypes"] == ["DynamicMembership"]
    assert found["membershipRuleProcessingState"] == "On"
    daemon.post(f"groups/{cast.dynamic}/members/$ref", ref(cast.adele), status=400)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"displayName": None}, "displayName"),
    ({"mailNickname": "two words"}, "mailNickname"),
    ({"mailEnabled": True}, "mailEnabled"),
    ({"groupTypes": ["Unified", "Other"]}, "groupTypes"),
    ({"securityEnabled": False}, "securityEnabled"),
    ({"visibility": "Secret"}, "visibility"),
    ({"owner": "x"}, "owner"),
    ({"members@odata.bind": ["x y"]}, "members@odata.bind"),
]
"""Bodies, and what is named as wrong in them."""


def test_what_is_wrong_with_a_group_is_named(daemon: Graph) -> None:
    """APP-2"""
    for change, target in WRONG:
        refused = daemon.post("groups", {**TEAM, **change}, status=400)["error"]
        assert refused["target"] == target


def test_hidden_members(daemon: Graph, world: World, cast: Cast) -> None:
    made = daemon.post(
        "groups",
        {
            **UNIFIED,
            "visibility": "HiddenMembership",
            "members@odata.bind": [ref(cast.john)["@odata.id"]],
        },
    )
    path = f"groups/{made['id']}/members"
    world.program("GroupMember.Read.All").get(path, status=403)
    assert world.program("GroupMember.Read.All", "Member.Read.Hidden").names(path) == ["John Doe"]
    world.person(cast.adele).get(path, status=403)
    assert world.person(cast.john, "Group.Read.All").names(path) == ["John Doe"]


def test_owners_manage_their_own_groups_alone(world: World, cast: Cast) -> None:
    adele = world.person(cast.adele)
    made = adele.post("groups", TEAM)
    adele.post(f"groups/{made['id']}/members/$ref", ref(cast.john), status=204)
    adele.post(f"groups/{cast.partners}/members/$ref", ref(cast.john), status=403)
    adele.delete(f"groups/{cast.partners}", status=403)
    reader = world.person(cast.john, "Group.Read.All")
    reader.post("groups", TEAM, status=403)
    members = world.person(cast.john, "GroupMember.ReadWrite.All")
    members.post(f"groups/{cast.partners}/members/$ref", ref(cast.adele), status=204)
    members.patch(f"groups/{cast.partners}", {"description": "x"}, status=403)
    assert adele.names(f"groups/{made['id']}/members") == ["John Doe"]
    assert members.names(f"groups/{cast.partners}/members") == ["Adele Vance"]
    assert members.get(f"groups/{cast.partners}")["description"] is None


def test_filters_over_groups(daemon: Graph) -> None:
    daemon.post("groups", UNIFIED)
    daemon.post("groups", TEAM)
    assert daemon.names("groups?$filter=groupTypes/any(c:c eq 'Unified')") == ["Launch"]
    assert daemon.names("groups?$filter=securityEnabled eq true and mailEnabled eq false") == [
        "All guests", "Partners", "Suppliers",
    ]  # fmt: skip
    assert daemon.names(
        "groups?$filter=displayName eq 'launch' and mailNickname eq 'suppliers'"
    ) == ["Launch"]
    assert daemon.names('groups?$search="displayName:part"', headers=EVENTUAL) == ["Partners"]
    assert daemon.names("groups?$orderby=displayName desc&$top=2&$select=displayName")[:3] == [
        "Suppliers", "Partners", "Launch",
    ]  # fmt: skip
    assert daemon.post("users", NEW)["id"]


def test_relationships_come_along(daemon: Graph, cast: Cast) -> None:
    """users.md, section 6: $expand"""
    daemon.post(f"groups/{cast.partners}/members/$ref", ref(cast.adele), status=204)
    daemon.post(f"groups/{cast.partners}/owners/$ref", ref(cast.john), status=204)
    daemon.ask("PUT", f"users/{cast.adele}/manager/$ref", ref(cast.john), status=204)
    group = daemon.get(
        f"groups/{cast.partners}?$expand=members($select=displayName),owners&$select=id"
    )
    assert group["members"] == [
        {"@odata.type": "#microsoft.graph.user", "displayName": "Adele Vance"}
    ]
    assert [one["displayName"] for one in group["owners"]] == ["John Doe"]
    people = daemon.get(
        "users?$select=displayName&$expand=manager($select=id,displayName),memberOf"
    )
    adele, john = people["value"]
    assert adele["manager"]["displayName"] == "John Doe"
    assert [one["displayName"] for one in adele["memberOf"]] == ["Partners"]
    assert (john["manager"], john["memberOf"]) == (None, [])
    daemon.get("users?$expand=manager&$count=true", headers=EVENTUAL, status=400)
