"""What has changed since (users.md, section 7)."""

from typing import Any

from b2b.web.graph import deltas
from tests import factories
from tests.cast import Cast
from tests.web.graph.conftest import Graph, World
from tests.web.graph.test_groups import TEAM, UNIFIED
from tests.web.graph.test_users import NEW, ref


def walk(graph: Graph, path: str, **options: Any) -> tuple[list[dict[str, Any]], str]:
    """Everything up to the delta link, and that link."""
    found: list[dict[str, Any]] = []
    page = graph.get(path, **options)
    while True:
        found += page["value"]
        if "@odata.deltaLink" in page:
            return found, page["@odata.deltaLink"]
        page = graph.get(page["@odata.nextLink"], **options)


def test_people_and_then_those_who_changed(
    daemon: Graph, world: World, cast: Cast, monkeypatch: Any
) -> None:
    monkeypatch.setattr(deltas, "PAGE", 1)
    everybody, link = walk(daemon, "users/delta?$select=displayName,city,accountEnabled")
    assert sorted(one["displayName"] for one in everybody) == ["Adele Vance", "John Doe"]
    assert all("id" in one and "city" not in one for one in everybody)
    assert walk(daemon, link)[0] == []
    mina = daemon.post("users", NEW)["id"]
    daemon.patch(f"users/{cast.adele}", {"city": "Busan"})
    daemon.patch(f"users/{cast.adele}", {"accountEnabled": False})
    sam = world.run(lambda s, _: str(factories.invite(s, cast, world.clock.now).user_id))
    changed, later = walk(daemon, link)
    by_id = {one["id"]: one for one in changed}
    assert set(by_id) == {mina, str(cast.adele), sam}
    assert by_id[str(cast.adele)] == {
        "id": str(cast.adele), "displayName": "Adele Vance", "city": "Busan",
        "accountEnabled": False,
    }  # fmt: skip
    minimal, _ = walk(daemon, link, headers={"Prefer": "return=minimal"})
    by_id = {one["id"]: one for one in minimal}
    assert by_id[str(cast.adele)] == {
        "id": str(cast.adele),
        "city": "Busan",
        "accountEnabled": False,
    }
    daemon.delete(f"users/{mina}")
    daemon.delete(f"users/{sam}")
    daemon.delete(f"directory/deletedItems/{sam}")
    gone, _ = walk(daemon, later)
    assert {one["id"]: one["@removed"]["reason"] for one in gone} == {
        mina: "changed",
        sam: "deleted",
    }


def test_only_some_people_and_only_from_now_on(daemon: Graph, cast: Cast) -> None:
    found, link = walk(daemon, f"users/delta?$filter=id eq '{cast.adele}'")
    assert [one["id"] for one in found] == [str(cast.adele)]
    daemon.post("users", NEW)
    assert walk(daemon, link)[0] == []
    assert walk(daemon, "users/delta?$deltatoken=latest")[0] == []
    for bad in (
        "$filter=city eq 'x'",
        "$orderby=displayName",
        "$deltatoken=x.y",
        "$filter=id eq 'x'",
    ):
        daemon.get(f"users/delta?{bad}", status=400)


def test_groups_with_their_members(daemon: Graph, cast: Cast, monkeypatch: Any) -> None:
    monkeypatch.setattr(deltas, "EVENTS", 2)
    daemon.patch(f"groups/{cast.partners}", {"members@odata.bind": [
        ref(cast.adele)["@odata.id"], ref(cast.john)["@odata.id"]]})  # fmt: skip
    mina = daemon.post("users", NEW)["id"]
    daemon.post(f"groups/{cast.partners}/members/$ref", ref(mina), status=204)
    found, link = walk(daemon, "groups/delta?$select=displayName,members")
    members = [
        member["id"]
        for one in found
        if one["id"] == str(cast.partners)
        for member in one.get("members@delta", ())
    ]
    assert sorted(members) == sorted([str(cast.adele), str(cast.john), mina])
    assert {one["displayName"] for one in found} == {"Partners", "All guests"}
    monkeypatch.setattr(deltas, "EVENTS", 500)
    daemon.delete(f"groups/{cast.partners}/members/{mina}/$ref")
    team, unified = daemon.post("groups", TEAM)["id"], daemon.post("groups", UNIFIED)["id"]
    daemon.delete(f"groups/{unified}")
    changed, later = walk(daemon, link)
    by_id = {one["id"]: one for one in changed}
    assert by_id[str(cast.partners)]["members@delta"] == [
        {"@odata.type": "#microsoft.graph.user", "id": mina, "@removed": {"reason": "deleted"}}
    ]
    assert by_id[team]["displayName"] == "Suppliers"
    assert by_id[unified]["@removed"] == {"reason": "changed"}
    daemon.delete(f"groups/{team}")
    assert walk(daemon, later)[0] == [{"id": team, "@removed": {"reason": "deleted"}}]
