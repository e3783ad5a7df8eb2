"""Directory roles over Graph, in both ways (groups-apps-roles.md, section 3)."""

from b2b.models import Role
from tests.cast import Cast
from tests.web.graph.conftest import Graph, World

GLOBAL = "62e90394-69f5-4237-9190-012177145e10"
INVITER = "95e79109-95c0-4d8e-aee3-d01accf2d47b"


def test_roles_are_listed_and_named_by_their_template(daemon: Graph) -> None:
    assert daemon.names("directoryRoles") == [
        "Application Administrator", "Cloud Application Administrator", "Global Administrator",
        "Global Reader", "Guest Inviter", "Helpdesk Administrator", "User Administrator",
    ]  # fmt: skip
    for path in (f"directoryRoles(roleTemplateId='{INVITER}')", f"directoryRoles/{INVITER}",
                 f"directoryRoleTemplates/{INVITER}",
                 f"roleManagement/directory/roleDefinitions/{INVITER}"):  # fmt: skip
        assert daemon.get(path)["displayName"] == "Guest Inviter", path
    found = daemon.get(
        "roleManagement/directory/roleDefinitions?$filter=displayName eq 'Guest Inviter'"
    )["value"]
    assert found[0]["rolePermissions"] == [
        {"allowedResourceActions": ["microsoft.directory/users/inviteGuest"], "condition": None}
    ]
    assert len(daemon.all("directoryRoleTemplates")) == 7
    assert len(daemon.all("roleManagement/directory/roleDefinitions?$top=3")) == 7
    daemon.get(f"directoryRoles/{GLOBAL[:-1]}f", status=404)
    daemon.get("directoryRoles?$filter=colour eq 'red'", status=400)


def test_a_role_is_given_and_taken_by_reference(daemon: Graph, cast: Cast) -> None:
    """ADM-2"""
    members = f"directoryRoles/{INVITER}/members"
    person = {"@odata.id": f"https://graph.microsoft.com/v1.0/directoryObjects/{cast.adele}"}
    daemon.post(f"{members}/$ref", person, status=204)
    daemon.post(f"{members}/$ref", person, status=400)
    assert daemon.names(members) == ["Adele Vance"]
    roles = daemon.all(f"users/{cast.adele}/memberOf/microsoft.graph.directoryRole")
    assert [one["displayName"] for one in roles] == ["Guest Inviter"]
    daemon.delete(f"{members}/{cast.adele}/$ref")
    daemon.delete(f"{members}/{cast.adele}/$ref", status=404)
    assert daemon.names(members) == []
    daemon.delete(f"directoryRoles/{GLOBAL}/members/{cast.john}/$ref", status=400)
    assert daemon.names(f"directoryRoles(roleTemplateId='{GLOBAL}')/members") == ["John Doe"]


def test_role_assignments_are_made_listed_and_ended(daemon: Graph, cast: Cast) -> None:
    path = "roleManagement/directory/roleAssignments"
    body = {"principalId": str(cast.adele), "roleDefinitionId": INVITER, "directoryScopeId": "/"}
    made = daemon.post(path, {"@odata.type": "#microsoft.graph.unifiedRoleAssignment", **body})
    assert {name: made[name] for name in body} == body
    daemon.post(path, body, status=400)
    daemon.post(path, {**body, "directoryScopeId": "/administrativeUnits/1"}, status=400)
    assert [one["principalId"] for one in daemon.all(f"{path}?$top=1")] == [
        str(cast.john), str(cast.adele),
    ]  # fmt: skip
    mine = daemon.get(f"{path}?$filter=principalId eq '{cast.adele}'&$expand=principal")["value"]
    assert [one["id"] for one in mine] == [made["id"]]
    assert mine[0]["principal"]["displayName"] == "Adele Vance"
    assert daemon.get(f"{path}/{made['id']}")["roleDefinitionId"] == INVITER
    filtered = f"{path}?$filter=roleDefinitionId eq '{GLOBAL}'&$expand=roleDefinition"
    assert [one["roleDefinition"]["displayName"] for one in daemon.all(filtered)] == [
        "Global Administrator"
    ]
    daemon.delete(f"{path}/{made['id']}")
    daemon.get(f"{path}/{made['id']}", status=404)
    for wrong in ("x", "é", made["id"][:-1], "A" * 43):
        daemon.get(f"{path}/{wrong}", status=404)
    for wrong in ("principalId gt 'a'", "colour eq 'a'", "principalId eq 'a'"):
        daemon.get(f"{path}?$filter={wrong}", status=400)


def test_nobody_gives_himself_a_role(world: World, cast: Cast) -> None:
    """ADM-2, API-2"""
    body = {"principalId": str(cast.adele), "roleDefinitionId": GLOBAL, "directoryScopeId": "/"}
    path = "roleManagement/directory/roleAssignments"
    world.person(cast.adele).post(path, body, status=403)
    world.person(cast.john, "RoleManagement.Read.Directory").post(path, body, status=403)
    world.program("Directory.ReadWrite.All").post(path, body, status=403)
    world.person(cast.john, "RoleManagement.ReadWrite.Directory").post(path, body)
    assert Role(GLOBAL) is Role.GLOBAL_ADMINISTRATOR
