"""The organisation, its domains, branding, policy and licences over Graph."""

import io

from PIL import Image

from tests.cast import Cast
from tests.web.graph.conftest import Graph, World

RESTRICTED = "2af84b1e-32c8-42b7-82bc-daa82404023b"


def picture(colour: str = "navy") -> bytes:
    """A small PNG."""
    made = io.BytesIO()
    Image.new("RGB", (40, 12), colour).save(made, "PNG")
    return made.getvalue()


def test_the_organisation_tells_its_name_and_domains(daemon: Graph, cast: Cast) -> None:
    [found] = daemon.get("organization")["value"]
    assert found["id"] == str(cast.woodgrove)
    assert found["displayName"] == "WoodGrove"
    assert found["tenantType"] == "AAD"
    assert found["verifiedDomains"] == [
        {"capabilities": "Email", "isDefault": True, "isInitial": True,
         "name": "woodgrove.example", "type": "Managed"}
    ]  # fmt: skip
    assert daemon.get(f"organization/{cast.woodgrove}?$select=displayName") == {
        "@odata.context": "http://localhost:5000/v1.0/$metadata#organization(displayName)/$entity",
        "displayName": "WoodGrove",
    }
    daemon.get(f"organization/{cast.contoso}", status=404)


def test_whom_to_ask_can_be_said(daemon: Graph, cast: Cast) -> None:
    path = f"organization/{cast.woodgrove}"
    profile = {"contactEmail": "privacy@woodgrove.example", "statementUrl": "https://w.example/p"}
    daemon.patch(path, {"technicalNotificationMails": ["it@woodgrove.example"],
                        "privacyProfile": profile})  # fmt: skip
    found = daemon.get(path)
    assert found["technicalNotificationMails"] == ["it@woodgrove.example"]
    assert found["privacyProfile"] == profile
    for wrong in ({"displayName": "X"}, {"colour": 1}, {"technicalNotificationMails": ["x"]},
                  {"privacyProfile": {"statementUrl": "javascript:1"}}):  # fmt: skip
        daemon.patch(path, wrong, status=400)


def test_domains_are_listed_and_read_by_name(daemon: Graph) -> None:
    [one] = daemon.get("domains?$filter=isVerified eq true")["value"]
    assert one["id"] == "woodgrove.example"
    assert (one["isDefault"], one["isInitial"]) == (True, True)
    assert daemon.get("domains?$filter=isVerified eq false")["value"] == []
    assert daemon.get("domains/WoodGrove.example")["authenticationType"] == "Managed"
    daemon.get("domains/contoso.example", status=404)


def test_branding_has_a_colour_and_logos(daemon: Graph, cast: Cast) -> None:
    path = f"organization/{cast.woodgrove}/branding"
    daemon.get(f"{path}/bannerLogo", status=404)
    daemon.patch(path, {"backgroundColor": "#0b5a69"})
    assert daemon.get(path)["backgroundColor"] == "#0b5a69"
    daemon.ask("PUT", f"{path}/bannerLogo", data=picture(), status=204,
               headers={"Content-Type": "image/png"})  # fmt: skip
    assert "bannerLogo?" in daemon.get(path)["bannerLogoRelativeUrl"]
    logo = daemon.ask("GET", f"{path}/localizations/default/bannerLogo", status=200)
    assert logo.content_type == "image/png"
    with Image.open(io.BytesIO(logo.data)) as shown:
        assert shown.size == (40, 12)
    daemon.ask("PUT", f"{path}/squareLogo", data=b"no picture", status=400)
    daemon.patch(path, {"backgroundColor": "reddish"}, status=400)
    daemon.delete(f"{path}/bannerLogo")
    daemon.get(f"{path}/bannerLogo", status=404)
    assert daemon.get(path)["backgroundColor"] == "#0b5a69"


def test_the_policy_says_who_may_invite(world: World, daemon: Graph) -> None:
    """INV-6"""
    path = "policies/authorizationPolicy"
    found = daemon.get(path)
    assert found["allowInvitesFrom"] == "everyone"
    assert found["guestUserRoleId"] == "10dae51f-b6af-4016-8d66-8c2a99b929b3"
    assert found["defaultUserRolePermissions"]["allowedToReadOtherUsers"] is True
    daemon.patch(path, {"allowInvitesFrom": "none", "guestUserRoleId": RESTRICTED,
                        "blockMsolPowerShell": False})  # fmt: skip
    found = daemon.get("/beta/policies/authorizationPolicy/authorizationPolicy")
    assert (found["allowInvitesFrom"], found["guestUserRoleId"]) == ("none", RESTRICTED)
    refused = daemon.post(
        "invitations",
        {"invitedUserEmailAddress": "sam@gmail.com", "inviteRedirectUrl": "https://x.example"},
        status=403,
    )
    assert refused["error"]["code"] == "Forbidden"
    for wrong in ({"allowInvitesFrom": "all"}, {"guestUserRoleId": "x"}, {"allowedToUseSSPR": True},
                  {"defaultUserRolePermissions": {"allowedToCreateApps": True}}):  # fmt: skip
        daemon.patch(path, wrong, status=400)
    world.program("Policy.Read.All").patch(path, {"allowInvitesFrom": "everyone"}, status=403)


def test_licences_are_counted(daemon: Graph, cast: Cast) -> None:
    daemon.patch(f"users/{cast.adele}", {"usageLocation": "NL"})
    sku = "84a661c4-e949-4bd2-a560-ed7766fcaf2b"
    daemon.post(
        f"users/{cast.adele}/assignLicense",
        {"addLicenses": [{"skuId": sku}], "removeLicenses": []},
        status=200,
    )
    found = {one["skuPartNumber"]: one["consumedUnits"] for one in daemon.all("subscribedSkus")}
    assert found == {
        "AAD_BASIC": 0,
        "AAD_PREMIUM": 0,
        "AAD_PREMIUM_P2": 1,
        "EXCHANGESTANDARD": 0,
    }
    assert daemon.get(f"subscribedSkus/{cast.woodgrove}_{sku}")["skuId"] == sku
    daemon.get(f"subscribedSkus/{cast.contoso}_{sku}", status=404)
