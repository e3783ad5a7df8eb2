"""Roles and permissions against routes. What is expected stands here as groups-apps-roles.md says
it (sections 2 to 5), not as the program does.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.models import Role
from b2b.services import tenants
from tests import factories
from tests.cast import Cast
from tests.web.graph.conftest import Graph, World

USER_ADMINISTRATOR = "fe930be7-5e62-47db-91af-98c3a49a38b1"


@dataclass(frozen=True)
class Row:
    """One request, what suffices for it, and what each of eight askers is told:

    nobody · a program without it · a program with it · John (Global Administrator) with User.Read
    alone · John · Uma (User Administrator) · Adele (member) · Greta (guest), the last four by a
    program that was granted it for everybody.
    """

    method: str
    path: str
    application: str | None
    delegated: str
    expected: str
    body: Any = None


MATRIX = (
    Row("GET", "me", None, "User.Read", "401 400 400 200 200 200 200 200"),
    Row("GET", "users", "User.ReadBasic.All", "User.ReadBasic.All",
        "401 403 200 403 200 200 200 403"),
    Row("GET", "users/{adele}", "User.Read.All", "User.Read.All",
        "401 403 200 403 200 200 200 200"),
    Row("PATCH", "users/{greta}", "User.ReadWrite.All", "User.ReadWrite.All",
        "401 403 204 403 204 204 403 403", {"employeeId": "7"}),
    Row("PATCH", "users/{john}", "User.ReadWrite.All", "User.ReadWrite.All",
        "401 403 403 403 204 403 403 403", {"mobilePhone": "1"}),
    Row("POST", "invitations", "User.Invite.All", "User.Invite.All",
        "401 403 201 403 201 201 201 201",
        {"invitedUserEmailAddress": "sam@gmail.com", "inviteRedirectUrl": "https://x.example"}),
    Row("POST", "invitations", "User.Invite.All", "User.Invite.All",
        "401 403 403 403 403 403 403 403",
        {"invitedUserEmailAddress": "ben@gmail.com", "inviteRedirectUrl": "https://x.example",
         "invitedUserType": "Member"}),
    Row("GET", "groups", "Group.Read.All", "Group.Read.All",
        "401 403 200 403 200 200 200 403"),
    Row("GET", "groups/{partners}/members", "GroupMember.Read.All", "GroupMember.Read.All",
        "401 403 200 403 200 200 200 200"),
    Row("POST", "groups", "Group.Create", "Group.ReadWrite.All",
        "401 403 201 403 201 201 201 403",
        {"displayName": "Crew", "mailEnabled": False, "mailNickname": "crew",
         "securityEnabled": True}),
    Row("PATCH", "groups/{partners}", "Group.ReadWrite.All", "Group.ReadWrite.All",
        "401 403 204 403 204 204 403 403", {"description": "Partners"}),
    Row("GET", "applications", "Application.Read.All", "Application.Read.All",
        "401 403 200 403 200 200 200 403"),
    Row("POST", "applications", "Application.ReadWrite.All", "Application.ReadWrite.All",
        "401 403 201 403 201 403 403 403", {"displayName": "Orders"}),
    Row("GET", "servicePrincipals/{projects}", "Application.Read.All", "Application.Read.All",
        "401 403 200 403 200 200 200 200"),
    Row("PATCH", "servicePrincipals/{projects}", "Application.ReadWrite.All",
        "Application.ReadWrite.All", "401 403 204 403 204 403 403 403", {"accountEnabled": True}),
    # Graph itself, which nobody removes: 400 for whoever may remove others.
    Row("DELETE", "servicePrincipals(appId='00000003-0000-0000-c000-000000000000')",
        "Application.ReadWrite.All", "Application.ReadWrite.All",
        "401 403 400 403 400 403 403 403"),
    Row("GET", "servicePrincipals/{projects}/appRoleAssignedTo", "Application.Read.All",
        "Application.Read.All", "401 403 200 403 200 200 200 403"),
    Row("POST", "users/{greta}/appRoleAssignments", "AppRoleAssignment.ReadWrite.All",
        "AppRoleAssignment.ReadWrite.All", "401 403 400 403 400 403 403 403",
        {"principalId": "{greta}", "resourceId": "{payroll}",
         "appRoleId": "00000000-0000-0000-0000-000000000000"}),
    Row("GET", "oauth2PermissionGrants", "DelegatedPermissionGrant.Read.All",
        "DelegatedPermissionGrant.Read.All", "401 403 200 403 200 200 200 200"),
    Row("GET", "directoryRoles", "RoleManagement.Read.Directory",
        "RoleManagement.Read.Directory", "401 403 200 403 200 200 200 403"),
    Row("POST", "roleManagement/directory/roleAssignments", "RoleManagement.ReadWrite.Directory",
        "RoleManagement.ReadWrite.Directory", "401 403 400 403 400 403 403 403",
        {"principalId": "{uma}", "roleDefinitionId": USER_ADMINISTRATOR, "directoryScopeId": "/"}),
    Row("GET", "organization", "Organization.Read.All", "User.Read",
        "401 403 200 200 200 200 200 200"),
    Row("GET", "domains", "Domain.Read.All", "Domain.Read.All",
        "401 403 200 403 200 200 200 200"),
    Row("GET", "subscribedSkus", "Organization.Read.All", "Organization.Read.All",
        "401 403 200 403 200 200 200 403"),
    Row("GET", "policies/authorizationPolicy", "Policy.Read.All", "Policy.Read.All",
        "401 403 200 403 200 200 200 403"),
    Row("PATCH", "policies/authorizationPolicy", "Policy.ReadWrite.Authorization",
        "Policy.ReadWrite.Authorization", "401 403 204 403 204 403 403 403",
        {"allowInvitesFrom": "everyone"}),
    Row("GET", "auditLogs/directoryAudits", "AuditLog.Read.All", "AuditLog.Read.All",
        "401 403 200 403 200 200 403 403"),
    Row("GET", "auditLogs/signIns", "AuditLog.Read.All", "AuditLog.Read.All",
        "401 403 200 403 200 200 403 403"),
    Row("GET", "directory/deletedItems/graph.user", "User.Read.All", "User.Read.All",
        "401 403 200 403 200 200 200 403"),
)  # fmt: skip
SAMPLE = ("invitations", "applications", "policies/authorizationPolicy")


def ids_of(world: World, cast: Cast) -> dict[str, UUID]:
    """The cast with Uma, a User Administrator, and Greta, a guest who has accepted."""

    def made(session: Session, john: Actor) -> tuple[UUID, UUID]:
        uma = tenants.add_person(
            session, john, user_principal_name="uma@woodgrove.example", display_name="Uma",
            mail="uma@woodgrove.example", roles=(Role.USER_ADMINISTRATOR,),
        ).id  # fmt: skip
        invited = factories.invite(session, cast, world.clock.now, "greta@gmail.com")
        return uma, factories.accept(session, cast, invited, world.clock.now).id

    uma, greta = world.run(made)
    return {
        "john": cast.john, "adele": cast.adele, "uma": uma, "greta": greta,
        "partners": cast.partners, "projects": cast.projects, "payroll": cast.payroll,
    }  # fmt: skip


def filled(value: Any, ids: dict[str, UUID]) -> Any:
    """*value* with names of people and things replaced by their ids."""
    if isinstance(value, dict):
        return {name: filled(one, ids) for name, one in value.items()}
    if isinstance(value, str) and "{" in value:
        return value.format(**ids)
    return value


def askers(world: World, row: Row, ids: dict[str, UUID]) -> list[Graph]:
    """In the order of `Row.expected`. What is granted for everybody stays granted."""
    enough = row.application or "User.Read.All"
    return [
        world.nobody(),
        world.program("Reports.Read.All"),
        world.program(enough),
        world.person(ids["john"], "User.Read"),
        *(world.person(ids[name], row.delegated) for name in ("john", "uma", "adele", "greta")),
    ]


def told(world: World, row: Row, ids: dict[str, UUID]) -> str:
    """What each of them is answered."""
    found = []
    for graph in askers(world, row, ids):
        response = graph.ask(row.method, row.path.format(**ids), filled(row.body, ids))
        found.append(str(response.status_code))
    return " ".join(found)


def test_a_sample_of_who_may_do_what(world: World, cast: Cast) -> None:
    """API-2, API-4"""
    ids = ids_of(world, cast)
    for row in MATRIX:
        if row.path in SAMPLE and row.method != "GET":
            assert told(world, row, ids) == row.expected, row


@pytest.mark.long
def test_who_may_do_what(world: World, cast: Cast) -> None:
    """API-2, API-4"""
    ids = ids_of(world, cast)
    wrong = {
        f"{row.method} {row.path}": (answered, row.expected)
        for row in MATRIX
        if (answered := told(world, row, ids)) != row.expected
    }
    assert wrong == {}
