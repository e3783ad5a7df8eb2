"""Registrations, service principals, assignments and grants over Graph (groups-apps-roles.md,
section 2).
"""

import base64
from dataclasses import replace
from uuid import UUID, uuid4

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from b2b import worker
from b2b.models import Audience, Role
from b2b.services import app_registrations
from b2b.services.app_registrations import Facts
from tests import factories
from tests.cast import Cast, acting
from tests.certificates import certificate
from tests.web.graph.conftest import EVENTUAL, Graph, World

ROLE = {
    "allowedMemberTypes": ["User"],
    "description": "Approves orders",
    "displayName": "Approver",
    "id": "6f1c8f0a-4d3e-4e8b-98f8-753987be4970",
    "isEnabled": True,
    "value": "Orders.Approve",
}
SCOPE = {
    "adminConsentDescription": "Read orders",
    "adminConsentDisplayName": "Read orders",
    "id": "7f1c8f0a-4d3e-4e8b-98f8-753987be4970",
    "isEnabled": True,
    "type": "User",
    "value": "Orders.Read",
}
GRAPH_APP = "00000003-0000-0000-c000-000000000000"
NOBODY = "00000000-0000-0000-0000-000000000000"


def ref(user_id: UUID) -> dict[str, str]:
    """The body that names a person."""
    return {"@odata.id": f"http://localhost:5000/v1.0/directoryObjects/{user_id}"}


def make(daemon: Graph, **facts: object) -> dict[str, object]:
    """An application called Orders."""
    return daemon.post("applications", {"displayName": "Orders", **facts})


def test_an_application_is_registered_read_changed_and_deleted(daemon: Graph) -> None:
    made = make(
        daemon,
        signInAudience="AzureADMultipleOrgs",
        web={"redirectUris": ["https://orders.example/cb"], "homePageUrl": "https://orders.example/",
             "implicitGrantSettings": {"enableIdTokenIssuance": True}},
        spa={"redirectUris": ["https://orders.example/spa"]},
        api={"requestedAccessTokenVersion": 2, "oauth2PermissionScopes": [SCOPE]},
        appRoles=[ROLE],
        requiredResourceAccess=[{
            "resourceAppId": GRAPH_APP,
            "resourceAccess": [{"id": "e1fe6dd8-ba31-4d61-89e7-88639da4683d", "type": "Scope"}],
        }],
        groupMembershipClaims="SecurityGroup",
        optionalClaims={"idToken": [{"name": "email"}]},
    )  # fmt: skip
    assert made["@odata.context"] == "http://localhost:5000/v1.0/$metadata#applications/$entity"
    path = f"applications/{made['id']}"
    daemon.patch(path, {"identifierUris": [f"api://{made['appId']}"], "description": "Of partners"})
    for found in (daemon.get(path), daemon.get(f"applications(appId='{made['appId']}')")):
        assert found["displayName"] == "Orders"
        assert found["signInAudience"] == "AzureADMultipleOrgs"
        assert found["identifierUris"] == [f"api://{made['appId']}"]
        assert found["description"] == "Of partners"
        assert found["web"]["redirectUris"] == ["https://orders.example/cb"]
        assert found["web"]["homePageUrl"] == "https://orders.example/"
        assert found["web"]["implicitGrantSettings"] == {
            "enableAccessTokenIssuance": False,
            "enableIdTokenIssuance": True,
        }
        assert found["spa"] == {"redirectUris": ["https://orders.example/spa"]}
        assert found["publicClient"] == {"redirectUris": []}
        assert found["api"]["requestedAccessTokenVersion"] == 2
        assert [one["value"] for one in found["api"]["oauth2PermissionScopes"]] == ["Orders.Read"]
        assert [one["value"] for one in found["appRoles"]] == ["Orders.Approve"]
        assert found["groupMembershipClaims"] == "SecurityGroup"
        assert found["optionalClaims"]["idToken"][0]["name"] == "email"
        assert found["requiredResourceAccess"][0]["resourceAppId"] == GRAPH_APP
        assert found["passwordCredentials"] == []
        assert found["publisherDomain"] == "woodgrove.example"
    daemon.patch(path, {"displayName": "Purchases", "groupMembershipClaims": None})
    found = daemon.get(f"{path}?$select=displayName,groupMembershipClaims")
    assert (found["displayName"], found["groupMembershipClaims"]) == ("Purchases", None)
    daemon.delete(path)
    daemon.get(path, status=404)
    daemon.get(f"servicePrincipals(appId='{made['appId']}')", status=404)


def test_applications_are_listed_filtered_and_counted(daemon: Graph) -> None:
    made = make(daemon)
    assert daemon.names("applications?$top=1") == ["Onboarding", "Orders"]
    assert daemon.names("applications?$filter=startswith(displayName,'ord')") == ["Orders"]
    assert daemon.names(f"applications?$filter=appId eq '{made['appId']}'") == ["Orders"]
    assert daemon.ask("GET", "applications/$count", headers=EVENTUAL).text == "2"
    refused = daemon.get("applications?$filter=web eq 'x'", status=400)
    assert refused["error"]["code"] == "Request_UnsupportedQuery"


def test_what_is_wrong_with_an_application_is_named(daemon: Graph) -> None:
    """API-5"""
    for body, told in (
        ({}, "displayName"),
        ({"displayName": 5}, "displayName"),
        ({"displayName": "X", "colour": "red"}, "colour"),
        ({"displayName": "X", "signInAudience": "Everybody"}, "signInAudience"),
        ({"displayName": "X", "web": {"redirectUris": ["javascript:alert(1)"]}}, "javascript"),
        ({"displayName": "X", "web": {"redirectUrls": []}}, "redirectUrls"),
        ({"displayName": "X", "appRoles": [{"value": "A"}]}, "id"),
        ({"displayName": "X", "appRoles": ["A"]}, "appRoles"),
        ({"displayName": "X", "requiredResourceAccess": [{"a": 1}]}, "permissions"),
        ({"displayName": "X", "appId": str(uuid4())}, "appId"),
    ):
        refused = daemon.post("applications", body, status=400)
        assert told in refused["error"]["message"], (body, refused)
    assert daemon.names("applications") == ["Onboarding"]


def test_a_role_that_is_switched_on_does_not_go_away_unsaid(daemon: Graph) -> None:
    made = make(daemon, appRoles=[ROLE])
    path = f"applications/{made['id']}"
    refused = daemon.patch(path, {"appRoles": []}, status=400)
    assert refused["error"]["code"] == "CannotDeleteOrUpdateEnabledEntitlement"
    daemon.patch(path, {"appRoles": [{**ROLE, "isEnabled": False}]})
    daemon.patch(path, {"appRoles": []})
    assert daemon.get(path)["appRoles"] == []


def test_a_service_principal_is_found_by_its_names(daemon: Graph, cast: Cast) -> None:
    """clients.md: what azure-cli asks for"""
    made = daemon.post("applications", {"displayName": "Orders"})
    daemon.patch(
        f"applications/{made['id']}", {"identifierUris": ["https://woodgrove.example/Orders"]}
    )

    def found(name: str) -> list[str]:
        return daemon.names(f"servicePrincipals?$filter=servicePrincipalNames/any(c:c eq '{name}')")

    assert found(made["appId"]) == found("HTTPS://woodgrove.example/orders") == ["Orders"]
    assert found("https://graph.microsoft.com") == found(GRAPH_APP) == ["Microsoft Graph"]
    assert found("https://woodgrove.example") == found(NOBODY) == []


def test_certificates_are_sent_whole(daemon: Graph, world: World) -> None:
    """Those whose keyId is sent stay, others go, new ones come with their key."""

    def sent() -> dict[str, str]:
        made = x509.load_pem_x509_certificate(certificate(world.clock.now).public)
        key = base64.b64encode(made.public_bytes(Encoding.DER)).decode()
        return {"type": "AsymmetricX509Cert", "usage": "Verify", "key": key}

    def known() -> list[dict[str, str]]:
        found: list[dict[str, str]] = daemon.get(path)["keyCredentials"]
        return found

    made = daemon.post("applications", {"displayName": "Nightly", "keyCredentials": [sent()]})
    path = f"applications/{made['id']}"
    [first] = made["keyCredentials"]
    assert (first["type"], first["usage"], first["key"]) == ("AsymmetricX509Cert", "Verify", None)
    daemon.patch(path, {"keyCredentials": [first, {**sent(), "displayName": "second"}]})
    assert [one["keyId"] for one in known() if one["displayName"] != "second"] == [first["keyId"]]
    assert len(known()) == 2
    for wrong, said in (
        ({**sent(), "key": "not base64!"}, "base64"),
        ({**sent(), "key": base64.b64encode(b"no certificate").decode()}, "not a certificate"),
        ({**sent(), "usage": "Sign"}, "usage"),
        ({"keyId": NOBODY}, "type"),
        ({**sent(), "secret": "x"}, "secret"),
    ):
        refused = daemon.patch(path, {"keyCredentials": [wrong]}, status=400)["error"]
        assert said in refused["message"], refused
    assert len(known()) == 2
    daemon.patch(path, {"keyCredentials": []})
    assert known() == []


def test_a_secret_is_told_once(daemon: Graph) -> None:
    """OIDC-9"""
    made = make(daemon)
    path = f"applications/{made['id']}"
    secret = daemon.post(
        f"{path}/addPassword", {"passwordCredential": {"displayName": "CI"}}, status=200
    )
    assert len(secret["secretText"]) == 40
    assert secret["secretText"].startswith(secret["hint"])
    [kept] = daemon.get(path)["passwordCredentials"]
    assert (kept["keyId"], kept["displayName"]) == (secret["keyId"], "CI")
    assert kept["secretText"] is None
    daemon.post(f"{path}/removePassword", {"keyId": str(uuid4())}, status=404)
    daemon.post(f"{path}/removePassword", {"keyId": secret["keyId"]}, status=204)
    assert daemon.get(path)["passwordCredentials"] == []


def test_owners_of_a_registration_own_its_service_principal(
    world: World, daemon: Graph, cast: Cast
) -> None:
    """APP-2"""
    made = make(daemon)
    path = f"applications/{made['id']}"
    person = {"@odata.id": f"https://graph.microsoft.com/v1.0/users/{cast.adele}"}
    adele = world.person(cast.adele)
    adele.patch(path, {"displayName": "Mine"}, status=403)
    daemon.post(f"{path}/owners/$ref", person, status=204)
    daemon.post(f"{path}/owners/$ref", person, status=400)
    assert daemon.names(f"servicePrincipals(appId='{made['appId']}')/owners") == ["Adele Vance"]
    adele.patch(path, {"displayName": "Mine"})
    daemon.delete(f"{path}/owners/{cast.adele}/$ref")
    daemon.delete(f"{path}/owners/{cast.adele}/$ref", status=404)
    adele.patch(path, {"displayName": "Mine again"}, status=403)


def test_a_service_principal_is_read_by_client_id_and_changed(daemon: Graph, cast: Cast) -> None:
    found = daemon.get(f"servicePrincipals/{cast.projects}")
    assert found["displayName"] == "Projects"
    assert found["appRoleAssignmentRequired"] is True
    assert found["appOwnerOrganizationId"] == str(cast.woodgrove)
    assert found["servicePrincipalNames"] == [found["appId"]]
    assert daemon.get(f"servicePrincipals(appId='{found['appId']}')")["id"] == found["id"]
    daemon.patch(
        f"servicePrincipals/{cast.projects}",
        {"appRoleAssignmentRequired": False, "accountEnabled": False,
         "loginUrl": "https://projects.example/"},
    )  # fmt: skip
    found = daemon.get(f"servicePrincipals/{cast.projects}")
    assert (found["appRoleAssignmentRequired"], found["accountEnabled"]) == (False, False)
    assert found["loginUrl"] == "https://projects.example/"
    for body in ({"loginUrl": "javascript:1"}, {"accountEnabled": None}, {"displayName": "X"}):
        daemon.patch(f"servicePrincipals/{cast.projects}", body, status=400)
    graph = daemon.get(f"servicePrincipals(appId='{GRAPH_APP}')")
    assert "User.Invite.All" in [one["value"] for one in graph["appRoles"]]
    assert "User.Read" in [one["value"] for one in graph["oauth2PermissionScopes"]]
    assert daemon.names("servicePrincipals?$filter=displayName eq 'payroll'") == ["Payroll"]


def of_contoso(world: World, cast: Cast) -> tuple[UUID, UUID]:
    """Client ids of two registrations there: one open to every organisation, one for its own."""
    with world.app.app_context(), worker.transaction() as session:
        now = world.clock.now
        factories.give_role(session, cast.contoso, cast.otto, Role.APPLICATION_ADMINISTRATOR, now)
        otto = acting(session, cast.contoso, cast.otto, now)
        open_ = Facts(audience=Audience.ORGANISATIONS)
        shared = app_registrations.register(session, otto, "Shared", open_).registration.app_id
        own = app_registrations.register(session, otto, "Own").registration.app_id
    return shared, own


def test_an_application_of_others_is_taken_in_if_it_is_open(
    world: World, daemon: Graph, cast: Cast
) -> None:
    """ADM-3"""
    shared, own = of_contoso(world, cast)
    daemon.post("servicePrincipals", {"appId": str(own)}, status=400)
    made = daemon.post("servicePrincipals", {"appId": str(shared)})
    assert made["appOwnerOrganizationId"] == str(cast.contoso)
    daemon.post("servicePrincipals", {"appId": str(shared)}, status=409)
    daemon.delete(f"servicePrincipals/{made['id']}")
    daemon.get(f"servicePrincipals/{made['id']}", status=404)
    again = daemon.post("servicePrincipals", {"appId": str(shared)})
    assert again["id"] != made["id"]


def test_a_service_principal_goes_with_what_was_granted_and_issued_here(
    world: World, daemon: Graph, cast: Cast
) -> None:
    """OIDC-4: what was issued ends; own ones go with their registration"""
    shared, _ = of_contoso(world, cast)
    taken = daemon.post("servicePrincipals", {"appId": str(shared)})["id"]
    graph = daemon.get(f"servicePrincipals(appId='{GRAPH_APP}')")["id"]
    daemon.post(
        "oauth2PermissionGrants",
        {"clientId": taken, "consentType": "AllPrincipals", "resourceId": graph,
         "scope": "User.Read"},
    )  # fmt: skip
    daemon.post(f"servicePrincipals/{taken}/owners/$ref", ref(cast.adele), status=204)
    daemon.delete(f"servicePrincipals/{taken}")
    kept = daemon.all("oauth2PermissionGrants")
    assert taken not in [one["clientId"] for one in kept]
    assert taken not in [one["id"] for one in daemon.all(f"users/{cast.adele}/ownedObjects")]
    assert daemon.get("auditLogs/directoryAudits?$top=1")["value"][0]["activityDisplayName"] == (
        "Remove service principal"
    )
    own = make(daemon)
    principal = daemon.get(f"servicePrincipals(appId='{own['appId']}')")["id"]
    daemon.delete(f"servicePrincipals/{principal}", status=400)
    daemon.delete(f"servicePrincipals/{graph}", status=400)
    daemon.delete(f"servicePrincipals/{taken}", status=404)


def test_owners_come_along_with_applications_and_service_principals(
    daemon: Graph, cast: Cast
) -> None:
    made = make(daemon)
    principal = daemon.get(f"servicePrincipals(appId='{made['appId']}')")["id"]
    daemon.post(f"applications/{made['id']}/owners/$ref", ref(cast.adele), status=204)
    expand = "$expand=owners($select=displayName)&$select=id"
    owned = [{"@odata.type": "#microsoft.graph.user", "displayName": "Adele Vance"}]
    assert daemon.get(f"applications/{made['id']}?{expand}")["owners"] == owned
    assert daemon.get(f"servicePrincipals/{principal}?{expand}")["owners"] == owned
    listed = {one["id"]: one["owners"] for one in daemon.all(f"applications?{expand}")}
    assert listed[made["id"]] == owned


def test_people_and_groups_are_assigned_in_a_role_and_by_default(daemon: Graph, cast: Cast) -> None:
    made = make(daemon, appRoles=[ROLE])
    principal = daemon.get(f"servicePrincipals(appId='{made['appId']}')")["id"]
    body = {"principalId": str(cast.adele), "resourceId": principal, "appRoleId": ROLE["id"]}
    path = f"users/{cast.adele}/appRoleAssignments"
    one = daemon.post(path, body)
    assert one["principalType"] == "User"
    assert one["principalDisplayName"] == "Adele Vance"
    assert one["resourceDisplayName"] == "Orders"
    assert one["appRoleId"] == ROLE["id"]
    assert UUID(one["id"])
    daemon.post(path, body, status=400)
    daemon.post(path, {**body, "appRoleId": str(uuid4())}, status=400)
    daemon.post(path, {**body, "principalId": str(cast.john)}, status=400)
    group = {"principalId": str(cast.partners), "resourceId": principal, "appRoleId": NOBODY}
    daemon.post(f"servicePrincipals/{principal}/appRoleAssignedTo", group)
    assigned = f"servicePrincipals/{principal}/appRoleAssignedTo"
    assert [one["principalDisplayName"] for one in daemon.all(f"{assigned}?$top=1")] == [
        "Adele Vance",
        "Partners",
    ]
    found = daemon.all(f"{assigned}?$filter=startswith(principalDisplayName,'part')")
    assert [one["principalType"] for one in found] == ["Group"]
    assert len(daemon.all(f"{path}?$filter=resourceId eq {principal}")) == 1
    assert daemon.all(f"groups/{cast.partners}/appRoleAssignments")[0]["appRoleId"] == NOBODY
    daemon.delete(f"users/{cast.john}/appRoleAssignments/{one['id']}", status=404)
    daemon.delete(f"{path}/{one['id']}")
    daemon.delete(f"{path}/{one['id']}", status=404)
    assert daemon.all(path) == []


def test_a_guest_is_not_assigned_to_what_is_for_members(
    world: World, daemon: Graph, cast: Cast
) -> None:
    """APP-1"""
    guest = daemon.post(
        "invitations",
        {"invitedUserEmailAddress": "sam@gmail.com", "inviteRedirectUrl": "https://x.example"},
    )["invitedUser"]["id"]
    body = {"principalId": guest, "resourceId": str(cast.payroll), "appRoleId": NOBODY}
    daemon.post(f"users/{guest}/appRoleAssignments", body, status=400)
    daemon.post(f"users/{guest}/appRoleAssignments", {**body, "resourceId": str(cast.projects)})
    held = daemon.all(f"users/{guest}/appRoleAssignments")
    assert [one["resourceDisplayName"] for one in held] == ["Projects"]


def test_a_program_is_given_a_permission_of_graph_by_those_who_give_roles(
    world: World, cast: Cast
) -> None:
    """OIDC-8"""
    john = world.person(cast.john)
    made = make(john)
    client = john.get(f"servicePrincipals(appId='{made['appId']}')")["id"]
    graph = john.get(f"servicePrincipals(appId='{GRAPH_APP}')")
    role = next(one["id"] for one in graph["appRoles"] if one["value"] == "User.Read.All")
    body = {"principalId": client, "resourceId": graph["id"], "appRoleId": role}
    path = f"servicePrincipals/{client}/appRoleAssignments"
    world.program("AppRoleAssignment.ReadWrite.All", "Application.Read.All").post(
        path, body, status=403
    )
    one = john.post(path, body)
    assert one["principalType"] == "ServicePrincipal"
    john.post(path, body, status=400)
    assert [a["resourceDisplayName"] for a in john.all(path)] == ["Microsoft Graph"]
    john.delete(f"{path}/{one['id']}")
    assert john.all(path) == []


def test_delegated_permissions_are_granted_changed_and_withdrawn(daemon: Graph, cast: Cast) -> None:
    made = make(daemon)
    client = daemon.get(f"servicePrincipals(appId='{made['appId']}')")["id"]
    graph = daemon.get(f"servicePrincipals(appId='{GRAPH_APP}')")["id"]
    body = {"clientId": client, "consentType": "AllPrincipals", "principalId": None,
            "resourceId": graph, "scope": "User.Read openid"}  # fmt: skip
    one = daemon.post("oauth2PermissionGrants", body)
    assert one["scope"] == "User.Read openid"
    assert daemon.post("oauth2PermissionGrants", body, status=409)
    mine = daemon.post(
        "oauth2PermissionGrants",
        {**body, "consentType": "Principal", "principalId": str(cast.adele)},
    )
    assert mine["principalId"] == str(cast.adele)
    listed = daemon.all(f"oauth2PermissionGrants?$filter=clientId eq '{client}'")
    assert [one["consentType"] for one in listed] == ["AllPrincipals", "Principal"]
    found = daemon.all(f"users/{cast.adele}/oauth2PermissionGrants")
    assert [one["id"] for one in found] == [mine["id"]]
    kinds = "oauth2PermissionGrants?$filter=consentType eq 'Principal'"
    assert [one["id"] for one in daemon.all(kinds)] == [mine["id"]]
    path = f"oauth2PermissionGrants/{one['id']}"
    daemon.patch(path, {"scope": "User.Read Group.Read.All"})
    assert daemon.get(path)["scope"] == "User.Read Group.Read.All"
    daemon.patch(path, {"scope": "No.Such"}, status=400)
    daemon.patch(path, {"clientId": client}, status=400)
    daemon.delete(path)
    daemon.get(path, status=404)


def test_nobody_reaches_what_is_of_another_organisation(
    world: World, daemon: Graph, cast: Cast
) -> None:
    """ADM-3: it answers as what is nowhere"""
    with world.app.app_context(), worker.transaction() as session:
        otto = acting(session, cast.contoso, cast.otto, world.clock.now)
        otto = replace(otto, roles=frozenset({Role.GLOBAL_ADMINISTRATOR}))
        theirs = app_registrations.register(session, otto, "Theirs", Facts({}))
        application, principal = theirs.registration.id, theirs.principal.id
    assert "Theirs" not in daemon.names("applications") + daemon.names("servicePrincipals")
    for path, found in (
        ("applications", application),
        ("servicePrincipals", principal),
        ("oauth2PermissionGrants", uuid4()),
    ):
        for identifier in (found, uuid4(), "x"):
            refused = daemon.get(f"{path}/{identifier}", status=404)["error"]
            assert refused["code"] == "Request_ResourceNotFound"
            assert "Theirs" not in refused["message"]
