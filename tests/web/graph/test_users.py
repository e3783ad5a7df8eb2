"""People over Graph: read, made, changed, deleted (users.md)."""

import io
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from PIL import Image
from sqlalchemy.orm import Session

from b2b.extensions import db
from b2b.models import GuestAccess, User
from tests import factories
from tests.cast import Cast
from tests.web.graph.conftest import EVENTUAL, Graph, World

NEW = {
    "@odata.type": "#microsoft.graph.user",
    "accountEnabled": True,
    "displayName": "Mina Park",
    "mailNickname": "mina.park",
    "userPrincipalName": "mina.park@woodgrove.example",
    "passwordProfile": {
        "password": "a long enough phrase 7",
        "forceChangePasswordNextSignIn": True,
    },
}


def ref(object_id: Any, kind: str = "users") -> dict[str, str]:
    """The body of a `$ref`, on the real service's address."""
    return {"@odata.id": f"https://graph.microsoft.com/v1.0/{kind}/{object_id}"}


# Reading -----------------------------------------------------------------------------------------


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
    assert page["value"][0]["businessPhones"] == []


def test_a_list_tells_of_somebody_what_his_own_page_tells(daemon: Graph) -> None:
    """users.md, section 2: whatever kind of value it is, and inside a batch as well."""
    told = {
        "displayName": 'Mina "민" Park\\', "accountEnabled": False, "city": "Zürich",
        "businessPhones": ["+82 2 1"], "otherMails": ["mina@home.example", "m@two.example"],
        "onPremisesSyncEnabled": None, "userType": "Member",
    }  # fmt: skip
    sent = {name: value for name, value in told.items() if name != "onPremisesSyncEnabled"}
    made = daemon.post("users", {**NEW, **sent})
    wanted = {"id": made["id"], **told}
    one = daemon.get(f"users/{made['id']}?$select={','.join(wanted)}")
    del one["@odata.context"]
    assert one == wanted
    for names in (",".join(wanted), ",".join(reversed(wanted))):
        found = daemon.get(f"users?$select={names}")["value"]
        assert [one for one in found if one["id"] == made["id"]] == [wanted]
    without = daemon.get(f"users?$select={','.join(told)}")["value"]
    assert [one for one in without if one["city"] is not None] == [told]
    made_too = daemon.get(f"users?$select={','.join(wanted)},createdDateTime")["value"]
    assert [one for one in made_too if one["id"] == made["id"]] == [
        {**wanted, "createdDateTime": "2026-11-21T09:00:00Z"}
    ]
    asked = {"id": "1", "method": "GET", "url": f"/users?$select={','.join(wanted)}"}
    [answer] = daemon.ask("POST", "$batch", {"requests": [asked]}, status=200).json["responses"]
    assert [one for one in answer["body"]["value"] if one["id"] == made["id"]] == [wanted]


def test_one_by_id_and_by_sign_in_name(daemon: Graph, cast: Cast) -> None:
    by_id = daemon.get(f"users/{cast.adele}")
    assert by_id["@odata.context"] == "http://localhost:5000/v1.0/$metadata#users/$entity"
    assert daemon.get("users/Adele.Vance@woodgrove.example") == by_id
    assert daemon.get(f"users('{cast.adele}')") == by_id
    beta = daemon.get(f"/beta/users/{cast.adele}")
    assert beta["@odata.context"] == "http://localhost:5000/beta/$metadata#users/$entity"


def test_a_guest_by_his_sign_in_name_with_signs_escaped(
    daemon: Graph, world: World, cast: Cast
) -> None:
    """clients.md: ..%23EXT%23%40.."""
    world.run(lambda s, _: factories.invite(s, cast, world.clock.now, "sam@gmail.com"))
    name = quote("sam_gmail.com#EXT#@woodgrove.example", safe="")
    found = daemon.get(
        f"users/{name}?$select=id,userType,identities,proxyAddresses,userPrincipalName"
    )
    assert found["userType"] == "Guest"
    assert found["proxyAddresses"] == ["SMTP:sam@gmail.com"]
    assert found["identities"] == [
        {"signInType": "userPrincipalName", "issuer": "woodgrove.example",
         "issuerAssignedId": "sam_gmail.com#EXT#@woodgrove.example"},
    ]  # fmt: skip


def test_whom_an_account_elsewhere_belongs_to(daemon: Graph, world: World, cast: Cast) -> None:
    """users.md, section 4: identities, by issuer and the name there."""

    def accepted(session: Session, _: Any) -> None:
        invited = factories.invite(session, cast, world.clock.now, "Sam@partner.example")
        factories.accept(session, cast, invited, world.clock.now)
        factories.invite(session, cast, world.clock.now, "ann@partner.example")

    world.run(accepted)

    def found(issuer: str, name: str | None = None) -> list[str]:
        asked = f"i/issuer eq '{issuer}'"
        if name is not None:
            asked += f" and i/issuerAssignedId eq '{name}'"
        return daemon.names(f"users?$filter=identities/any(i:{quote(asked)})")

    assert found("mail", "sam@Partner.example") == ["Sam"]
    assert found("mail") == ["Sam"]
    assert found("mail", "ann@partner.example") == []
    assert found("MicrosoftAccount", "sam@partner.example") == []
    assert found("WoodGrove.example", "Adele.Vance@woodgrove.example") == ["Adele Vance"]
    assert found("woodgrove.example", "sam@partner.example") == []
    assert found("contoso.example", "adele.vance@woodgrove.example") == []


def test_nobody_is_404_and_named(daemon: Graph) -> None:
    """clients.md: Request_ResourceNotFound names the id; ADM-3"""
    for key in "01a2000a-174c-7a2d-b281-1951d5d2e743", "nobody@woodgrove.example", "x":
        refused = daemon.get(f"users/{key}", status=404)["error"]
        assert refused["code"] == "Request_ResourceNotFound"
        assert key in refused["message"]


def test_people_of_another_tenant_are_nobody(daemon: Graph, cast: Cast) -> None:
    """ADM-3"""
    refused = daemon.get(f"users/{cast.otto}", status=404)["error"]
    assert refused["code"] == "Request_ResourceNotFound"
    daemon.patch(f"users/{cast.otto}", {"city": "Seoul"}, status=404)
    daemon.delete(f"users/{cast.otto}", status=404)
    with daemon.app.app_context():
        otto = db.session.get_one(User, (cast.contoso, cast.otto))
        assert (otto.city, otto.deleted_at) == (None, None)


def test_me_is_who_signed_in(world: World, cast: Cast, daemon: Graph) -> None:
    assert world.person(cast.adele, "User.Read").get("me")["displayName"] == "Adele Vance"
    assert daemon.get("me", status=400)["error"]["code"] == "BadRequest"


def test_count_needs_the_header(daemon: Graph) -> None:
    """users.md, section 6"""
    refused = daemon.get("users/$count", status=400)["error"]
    assert refused["code"] == "Request_BadRequest"
    response = daemon.ask("GET", "users/$count", headers=EVENTUAL, status=200)
    assert (response.text, response.mimetype) == ("2", "text/plain")
    assert "@odata.count" not in daemon.get("users?$count=true")
    assert daemon.get("users?$count=true", headers=EVENTUAL)["@odata.count"] == 2


def test_secrets_cannot_be_selected(daemon: Graph) -> None:
    """API-3"""
    for name in ("passwordHash", "password_hash", "sessions", "invitedKey", "nameKey"):
        assert daemon.get(f"users?$select={name}", status=400)["error"]["code"] == "BadRequest"
    assert daemon.get("users?$select=passwordProfile")["value"][0] == {"passwordProfile": None}
    assert daemon.get("users?$select=birthday", status=501)["error"]["code"] == "NotImplemented"


# Who may see what --------------------------------------------------------------------------------


def test_a_guest_reads_what_the_access_level_allows(world: World, cast: Cast) -> None:
    """API-4; groups-apps-roles.md, section 5"""

    def guest(session: Any, _: Any) -> Any:
        invited = factories.invite(session, cast, world.clock.now, "sam@gmail.com")
        return factories.accept(session, cast, invited, world.clock.now).id

    sam_id = world.run(guest)
    sam = world.person(sam_id)
    assert sam.get("users", status=403)["error"]["code"] == "Authorization_RequestDenied"
    assert sam.get("me?$select=userType,creationType")["creationType"] == "Invitation"
    seen = sam.get(f"users/{cast.adele}?$select=displayName,mail,department,userType")
    assert seen["displayName"] == "Adele Vance"
    assert seen["department"] is None
    world.run(
        lambda s, _: factories.set_policy(s, cast.woodgrove, guest_access=GuestAccess.RESTRICTED)
    )
    sam.get(f"users/{cast.adele}", status=403)
    assert sam.get("me")["id"] == str(sam_id)
    world.run(
        lambda s, _: factories.set_policy(
            s, cast.woodgrove, guest_access=GuestAccess.SAME_AS_MEMBERS
        )
    )
    assert len(sam.get("users")["value"]) == 3


def test_scopes_narrow_what_a_person_may(world: World, cast: Cast) -> None:
    """API-2"""
    basic = world.person(cast.adele, "User.ReadBasic.All")
    found = basic.get("users?$select=displayName,department,userType")["value"][0]
    assert found == {"displayName": "Adele Vance", "department": None, "userType": None}
    assert (
        "not shown" in basic.get("users?$filter=department eq 'x'", status=400)["error"]["message"]
    )
    own = world.person(cast.adele, "User.Read")
    own.get("users", status=403)
    own.get(f"users/{cast.john}", status=403)
    own.patch("me", {"city": "Seoul"}, status=403)
    # John's role does not widen a token that only reads.
    reading = world.person(cast.john, "User.Read.All")
    assert (
        reading.delete(f"users/{cast.adele}", status=403)["error"]["code"]
        == "Authorization_RequestDenied"
    )
    # A wide token does not widen a member without roles.
    wide = world.person(cast.adele)
    wide.delete(f"users/{cast.john}", status=403)
    wide.post("users", NEW, status=403)


def test_a_person_changes_his_own_profile(world: World, cast: Cast) -> None:
    adele = world.person(cast.adele, "User.ReadWrite")
    adele.patch("me", {"mobilePhone": "+82 2 555", "businessPhones": ["+82 2 1"]})
    assert adele.get("me")["mobilePhone"] == "+82 2 555"
    adele.patch("me", {"userType": "Guest"}, status=403)
    adele.patch(f"users/{cast.john}", {"city": "Seoul"}, status=403)


# Changing ----------------------------------------------------------------------------------------


def test_a_person_is_made_changed_deleted_and_restored(daemon: Graph, world: World) -> None:
    made = daemon.post("users", NEW)
    assert made["userPrincipalName"] == "mina.park@woodgrove.example"
    path = f"users/{made['id']}"
    daemon.patch(path, {
        "@odata.type": "#microsoft.graph.user", "displayName": "Mina Kim", "city": "Busan",
        "otherMails": ["mina@home.example"], "usageLocation": "kr",
        "mail": "mina@woodgrove.example",
        "accountEnabled": False, "userType": "Guest", "employeeId": "7",
    })  # fmt: skip
    names = (
        "displayName,city,otherMails,usageLocation,mail,accountEnabled,userType,employeeId,"
        "proxyAddresses"
    )
    found = daemon.get(f"{path}?$select={names}")
    del found["@odata.context"]
    assert found == {
        "displayName": "Mina Kim", "city": "Busan", "otherMails": ["mina@home.example"],
        "usageLocation": "KR", "mail": "mina@woodgrove.example", "accountEnabled": False,
        "userType": "Guest", "employeeId": "7", "proxyAddresses": ["SMTP:mina@woodgrove.example"],
    }  # fmt: skip
    assert daemon.names("users?$filter=startswith(displayName,'Mina K')") == ["Mina Kim"]
    daemon.patch(path, {"city": None})
    assert daemon.get(f"{path}?$select=city")["city"] is None
    daemon.delete(path)
    daemon.get(path, status=404)
    gone = daemon.get("directory/deletedItems/microsoft.graph.user?$select=id,deletedDateTime")[
        "value"
    ]
    assert [(one["id"], one["deletedDateTime"]) for one in gone] == [
        (made["id"], "2026-11-21T09:00:00Z")
    ]
    back = daemon.ask("POST", f"directory/deletedItems/{made['id']}/restore", status=200).json
    assert back["@odata.type"] == "#microsoft.graph.user"
    assert daemon.get(path)["displayName"] == "Mina Kim"
    daemon.delete(path)
    daemon.delete(f"directory/deletedItems/{made['id']}")
    daemon.get(f"directory/deletedItems/{made['id']}", status=404)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"displayName": ""}, "displayName"),
    ({"displayName": None}, "displayName"),
    ({"displayName": "x" * 257}, "displayName"),
    ({"mailNickname": None}, "mailNickname"),
    ({"userPrincipalName": "mina"}, "userPrincipalName"),
    ({"userPrincipalName": "mina@contoso.example"}, "userPrincipalName"),
    ({"passwordProfile": None}, "passwordProfile"),
    ({"passwordProfile": {"password": "short"}}, "passwordProfile"),
    ({"passwordProfile": {"secret": "x"}}, "secret"),
    ({"accountEnabled": "yes"}, "accountEnabled"),
    ({"accountEnabled": None}, "accountEnabled"),
    ({"otherMails": "a@b.example"}, "otherMails"),
    ({"otherMails": ["nobody"]}, "otherMails"),
    ({"userType": "Owner"}, "userType"),
    ({"usageLocation": "Korea"}, "usageLocation"),
    ({"createdDateTime": "2020-01-01T00:00:00Z"}, "createdDateTime"),
    ({"favouriteColour": "red"}, "favouriteColour"),
]
"""Bodies, and what is named as wrong in them."""


def test_what_is_wrong_with_a_new_person_is_named(daemon: Graph) -> None:
    """API-5; decisions.md, unknown properties in the API"""
    """ADM-2"""
    """users.md, section 5"""
    """users.md, section 5: at most five"""
    for change, target in WRONG:
        refused = daemon.post("users", {**NEW, **change}, status=400)["error"]
        assert refused["code"] == "Request_BadRequest"
        assert refused["target"] == target


def test_a_sign_in_name_is_given_once(daemon: Graph, cast: Cast) -> None:
    daemon.post("users", NEW)
    refused = daemon.post("users", NEW, status=409)["error"]
    assert refused["code"] == "Request_MultipleObjectsWithSameKeyValue"
    taken = {"userPrincipalName": "john.doe@woodgrove.example"}
    daemon.patch("users/mina.park@woodgrove.example", taken, status=409)
    daemon.patch(
        "users/mina.park@woodgrove.example", {"userPrincipalName": "mina@woodgrove.example"}
    )
    assert daemon.get("users/mina@woodgrove.example")["displayName"] == "Mina Park"


def test_administrators_are_out_of_reach_for_programs(world: World, cast: Cast) -> None:
    program = world.program("User.ReadWrite.All")
    for refused in (
        program.patch(f"users/{cast.john}", {"accountEnabled": False}, status=403),
        program.delete(f"users/{cast.john}", status=403),
        program.patch(
            f"users/{cast.john}",
            {"passwordProfile": {"password": "a long enough phrase 7"}},
            status=403,
        ),
    ):
        assert "directory role" in refused["error"]["message"]


def test_sessions_are_revoked(world: World, cast: Cast, daemon: Graph) -> None:
    adele = world.person(cast.adele)
    world.clock.advance(seconds=1)
    answer = adele.ask("POST", "me/revokeSignInSessions", status=200).json
    assert answer == {
        "@odata.context": "http://localhost:5000/v1.0/$metadata#Edm.Boolean", "value": True,
    }  # fmt: skip
    adele.ask("GET", "me", status=401)
    found = daemon.get(f"users/{cast.adele}?$select=signInSessionsValidFromDateTime")
    assert found["signInSessionsValidFromDateTime"] == "2026-11-21T09:00:01Z"


def test_manager_and_direct_reports(daemon: Graph, cast: Cast) -> None:
    daemon.get(f"users/{cast.adele}/manager", status=404)
    mina = daemon.post("users", NEW)["id"]
    daemon.ask("PUT", f"users/{mina}/manager/$ref", ref(cast.adele), status=204)
    boss = daemon.get(f"users/{mina}/manager")
    assert (boss["@odata.type"], boss["displayName"]) == (
        "#microsoft.graph.user",
        "Adele Vance",
    )
    reports = daemon.get(f"users/{cast.adele}/directReports")["value"]
    assert [(one["@odata.type"], one["id"]) for one in reports] == [("#microsoft.graph.user", mina)]
    circle = daemon.ask("PUT", f"users/{cast.adele}/manager/$ref", ref(mina), status=400).json
    assert "manager" in circle["error"]["message"]
    daemon.delete(f"users/{mina}/manager/$ref")
    daemon.get(f"users/{mina}/manager", status=404)


def test_sponsors(daemon: Graph, world: World, cast: Cast) -> None:
    sam = world.run(lambda s, _: str(factories.invite(s, cast, world.clock.now).user_id))
    path = f"users/{sam}/sponsors"
    assert [one["displayName"] for one in daemon.get(path)["value"]] == ["John Doe"]
    daemon.post(f"{path}/$ref", ref(cast.adele), status=204)
    daemon.post(f"{path}/$ref", ref(cast.partners, "groups"), status=204)
    assert {one["@odata.type"] for one in daemon.get(path)["value"]} == {
        "#microsoft.graph.user", "#microsoft.graph.group",
    }  # fmt: skip
    daemon.post(f"{path}/$ref", ref(cast.adele), status=400)
    daemon.post(f"{path}/$ref", ref(uuid4()), status=404)
    daemon.delete(f"{path}/{cast.adele}/$ref")
    daemon.delete(f"{path}/{cast.adele}/$ref", status=404)


def test_photographs(daemon: Graph, world: World, cast: Cast) -> None:
    daemon.get(f"users/{cast.adele}/photo", status=404)
    out = io.BytesIO()
    Image.new("RGB", (300, 200), (10, 90, 105)).save(out, "PNG")
    headers = {"Content-Type": "image/png"}
    adele = world.person(cast.adele, "User.ReadWrite")
    adele.ask("PUT", "me/photo/$value", status=200, headers=headers, data=out.getvalue())
    known = daemon.get(f"users/{cast.adele}/photo")
    assert (known["width"], known["height"], known["@odata.mediaContentType"]) == (
        240,
        240,
        "image/jpeg",
    )
    shown = daemon.ask("GET", f"users/{cast.adele}/photo/$value", status=200)
    assert shown.mimetype == "image/jpeg"
    assert shown.data[:2] == b"\xff\xd8"
    adele.ask("PUT", "me/photo/$value", status=400, headers=headers, data=b"no picture")
    adele.ask(
        "PUT",
        f"users/{cast.john}/photo/$value",
        status=403,
        headers=headers,
        data=out.getvalue(),
    )
    daemon.delete(f"users/{cast.adele}/photo/$value")
    daemon.get(f"users/{cast.adele}/photo/$value", status=404)


def test_licences(daemon: Graph, cast: Cast) -> None:
    premium = "078d2b04-f1bd-4111-bbd4-b4b1b354cef4"
    path = f"users/{cast.adele}"
    give = {"addLicenses": [{"skuId": premium, "disabledPlans": []}], "removeLicenses": []}
    refused = daemon.post(f"{path}/assignLicense", give, status=400)["error"]
    assert refused["target"] == "usageLocation"
    daemon.patch(path, {"usageLocation": "KR"})
    daemon.post(f"{path}/assignLicense", give, status=200)
    assert daemon.get(f"{path}?$select=assignedLicenses")["assignedLicenses"] == [
        {"skuId": premium, "disabledPlans": []}
    ]
    daemon.post(
        f"{path}/assignLicense", {"addLicenses": [], "removeLicenses": [premium]}, status=200
    )
    unknown = {"addLicenses": [{"skuId": str(uuid4())}], "removeLicenses": []}
    daemon.post(f"{path}/assignLicense", unknown, status=400)


def test_memberships_and_what_is_owned(daemon: Graph, cast: Cast, world: World) -> None:
    daemon.post(f"groups/{cast.partners}/members/$ref", ref(cast.adele), status=204)
    found = daemon.get(f"users/{cast.adele}/memberOf")["value"]
    assert [(one["@odata.type"], one["displayName"]) for one in found] == [
        ("#microsoft.graph.group", "Partners")
    ]
    for cast_name in ("microsoft.graph.group", "graph.group"):
        page = daemon.get(f"users/{cast.adele}/transitiveMemberOf/{cast_name}?$select=id")
        assert [one["id"] for one in page["value"]] == [str(cast.partners)]
    roles = daemon.get(f"users/{cast.john}/memberOf")["value"]
    assert [one["displayName"] for one in roles] == ["Global Administrator"]
    assert daemon.ask("GET", f"users/{cast.adele}/memberOf/$count", headers=EVENTUAL).text == "1"
    check = daemon.post(
        f"users/{cast.adele}/checkMemberGroups",
        {"groupIds": [str(cast.partners), str(uuid4())]},
        status=200,
    )
    assert check["value"] == [str(cast.partners)]
    held = daemon.post(
        f"users/{cast.adele}/getMemberGroups", {"securityEnabledOnly": True}, status=200
    )
    assert held["value"] == [str(cast.partners)]
    held = daemon.post(
        f"users/{cast.john}/getMemberObjects", {"securityEnabledOnly": False}, status=200
    )
    assert held["value"] == ["62e90394-69f5-4237-9190-012177145e10"]
    daemon.post(f"groups/{cast.partners}/owners/$ref", ref(cast.adele), status=204)
    owned = world.person(cast.adele).get("me/ownedObjects")["value"]
    assert [one["displayName"] for one in owned] == ["Partners"]
