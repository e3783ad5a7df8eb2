"""Inviting over Graph, in every form (invitations.md)."""

from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

from sqlalchemy import select

from b2b.extensions import db
from b2b.models import AllowInvitesFrom, DomainList, Invitation, OutboxMessage, User
from b2b.services import profiles
from tests import factories
from tests.cast import Cast
from tests.web.graph.conftest import Graph, World

SAM = {
    "invitedUserEmailAddress": "sam@gmail.com",
    "inviteRedirectUrl": "https://myapps.microsoft.com",
}


def mails(world: World) -> list[tuple[str, str]]:
    """Templates and recipients that wait in the outbox."""
    with world.app.app_context():
        return [
            (row.template, row.recipient)
            for row in db.session.scalars(select(OutboxMessage).order_by(OutboxMessage.id))
        ]


def test_an_invitation_is_answered_whole_and_in_the_published_order(
    daemon: Graph, world: World, cast: Cast
) -> None:
    made = daemon.post("invitations", SAM)
    assert list(made) == [
        "@odata.context", "id", "inviteRedeemUrl", "invitedUserDisplayName", "invitedUserType",
        "invitedUserEmailAddress", "sendInvitationMessage", "resetRedemption",
        "inviteRedirectUrl", "status", "invitedUserMessageInfo", "invitedUser",
    ]  # fmt: skip
    assert made["@odata.context"] == "http://localhost:5000/v1.0/$metadata#invitations/$entity"
    assert made["status"] == "PendingAcceptance"
    assert made["invitedUserType"] == "Guest"
    assert made["sendInvitationMessage"] is False
    assert made["invitedUserMessageInfo"] == {
        "messageLanguage": None,
        "customizedMessageBody": None,
        "ccRecipients": [{"emailAddress": {"name": None, "address": None}}],
    }
    assert list(made["invitedUser"]) == ["id"]
    inner = parse_qs(urlsplit(parse_qs(urlsplit(made["inviteRedeemUrl"]).query)["rd"][0]).query)
    assert inner["tenant"] == [str(cast.woodgrove)]
    assert made["invitedUser"]["id"] not in made["inviteRedeemUrl"]
    assert mails(world) == []
    person = daemon.get(
        f"users/{made['invitedUser']['id']}"
        "?$select=userType,creationType,externalUserState,userPrincipalName"
    )
    assert person["userType"] == "Guest"
    assert person["creationType"] == "Invitation"
    assert person["externalUserState"] == "PendingAcceptance"
    assert person["userPrincipalName"] == "sam_gmail.com#EXT#@woodgrove.example"


def test_message_copy_sponsors_and_language(world: World, cast: Cast, daemon: Graph) -> None:
    made = world.person(cast.john).post(
        "invitations",
        {
            **SAM,
            "@odata.type": "#microsoft.graph.invitation",
            "invitedUserDisplayName": "Sam Oogle",
            "sendInvitationMessage": True,
            "invitedUserMessageInfo": {
                "messageLanguage": "ko-KR",
                "ccRecipients": [
                    {"emailAddress": {"name": None, "address": "pm@woodgrove.example"}}
                ],
                "customizedMessageBody": "Welcome to the project.",
            },
            "invitedUserSponsors": [{"id": str(cast.adele)}],
        },
    )  # fmt: skip
    assert made["invitedUserDisplayName"] == "Sam Oogle"
    assert made["invitedUserMessageInfo"]["ccRecipients"][0]["emailAddress"] == {
        "name": None, "address": "pm@woodgrove.example",
    }  # fmt: skip
    assert sorted(mails(world)) == [
        ("invitation", "sam@gmail.com"), ("invitation_copy", "pm@woodgrove.example"),
    ]  # fmt: skip
    sponsors = daemon.get(f"users/{made['invitedUser']['id']}/sponsors")["value"]
    assert [one["displayName"] for one in sponsors] == ["Adele Vance"]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"invitedUserEmailAddress": None}, "invitedUserEmailAddress"),
    ({"invitedUserEmailAddress": 7}, "invitedUserEmailAddress"),
    ({"invitedUserEmailAddress": "sam(at)gmail.com"}, "invitedUserEmailAddress"),
    ({"inviteRedirectUrl": None}, "inviteRedirectUrl"),
    ({"inviteRedirectUrl": "javascript:alert(1)"}, "redirectUrl"),
    ({"invitedUserType": "Owner"}, "invitedUserType"),
    ({"sendInvitationMessage": "yes"}, "sendInvitationMessage"),
    ({"invitedUserMailAddress": "x@y.example"}, "invitedUserMailAddress"),
    ({"invitedToGroups": []}, "invitedToGroups"),
    ({"resetRedemption": True}, "invitedUser"),
    ({"invitedUser": {"id": "x"}}, "invitedUser"),
    ({"invitedUserMessageInfo": {"language": "en"}}, "language"),
    ({"sendInvitationMessage": True, "invitedUserMessageInfo": {"ccRecipients": [
        {"emailAddress": {"address": "a@b.example"}},
        {"emailAddress": {"address": "c@d.example"}}]}}, "ccRecipients"),
]  # fmt: skip
"""Bodies, and what is named as wrong in them."""


def test_what_is_wrong_is_named(daemon: Graph) -> None:
    """API-5"""
    """decisions.md, unknown properties in the API"""
    """decisions.md, GET /v1.0/invitations"""
    """invitations.md, section 6"""
    """INV-6, API-2"""
    """invitations.md, section 1; INV-3"""
    """decisions.md, idempotency"""
    """invitations.md, section 8"""
    """A member who is to be converted."""
    """invitations.md, section 7"""
    """invitations.md, section 7: the address, licences, roles"""
    for change, target in WRONG:
        refused = daemon.post("invitations", {**SAM, **change}, status=400)["error"]
        assert refused["code"] == "BadRequest"
        assert refused["target"] == target


def test_read_only_names_are_ignored(daemon: Graph) -> None:
    made = daemon.post(
        "invitations", {**SAM, "status": "Completed", "inviteRedeemUrl": "x", "id": "y"}
    )
    assert made["status"] == "PendingAcceptance"
    UUID(made["id"])


def test_there_is_no_list_of_invitations(daemon: Graph) -> None:
    response = daemon.ask("GET", "invitations", status=405)
    assert response.json["error"]["code"] == "Request_BadRequest"
    assert response.headers["Allow"] == "POST"


def test_known_people(daemon: Graph, world: World, cast: Cast) -> None:
    inside = {**SAM, "invitedUserEmailAddress": "adele.vance@woodgrove.example"}
    refused = daemon.post("invitations", inside, status=400)["error"]
    assert refused["message"].endswith(
        f"The invited user already exists in the directory as object ID: {cast.adele}."
    )
    own = {**SAM, "invitedUserEmailAddress": "new@woodgrove.example"}
    refused = daemon.post("invitations", own, status=400)["error"]
    assert "is a verified domain of this directory" in refused["message"]
    first = daemon.post("invitations", SAM)
    second = daemon.post("invitations", SAM)
    assert second["invitedUser"] == first["invitedUser"]
    assert second["inviteRedeemUrl"] == first["inviteRedeemUrl"]
    world.clock.advance(minutes=6)
    third = world.program().post("invitations", SAM)
    assert third["invitedUser"] == first["invitedUser"]
    assert third["inviteRedeemUrl"] != first["inviteRedeemUrl"]


def test_an_accepted_guest_is_completed(daemon: Graph, world: World, cast: Cast) -> None:
    def accepted(session: Any, _: Any) -> None:
        invited = factories.invite(session, cast, world.clock.now, "sam@gmail.com")
        factories.accept(session, cast, invited, world.clock.now)

    world.run(accepted)
    assert daemon.post("invitations", SAM)["status"] == "Completed"


def test_policy_and_permissions(daemon: Graph, world: World, cast: Cast) -> None:
    refused = world.program("User.Read.All").post("invitations", SAM, status=403)["error"]
    assert refused["code"] == "Authorization_RequestDenied"
    assert "User.Invite.All" in refused["message"]
    reader = world.person(cast.john, "User.Read")
    assert (
        reader.post("invitations", SAM, status=403)["error"]["code"]
        == "Authorization_RequestDenied"
    )
    world.run(
        lambda s, _: factories.set_policy(
            s, cast.woodgrove, allow_invites_from=AllowInvitesFrom.ADMINS_AND_GUEST_INVITERS
        )
    )
    refused = daemon.post("invitations", SAM, status=403)["error"]
    assert refused["code"] == "Forbidden"
    assert "Guest invitations not allowed for your company" in refused["message"]
    assert (
        world.person(cast.adele).post("invitations", SAM, status=403)["error"]["code"]
        == "Forbidden"
    )
    world.person(cast.john).post("invitations", SAM)
    world.run(
        lambda s, _: factories.set_policy(
            s,
            cast.woodgrove,
            allow_invites_from=AllowInvitesFrom.EVERYONE,
            domain_list=DomainList.BLOCK,
            domains=["gmail.com"],
        )
    )
    refused = daemon.post("invitations", SAM, status=400)["error"]
    assert "blocked by the invitation policy" in refused["message"]


def test_member_is_for_global_administrators(world: World, cast: Cast) -> None:
    member = {**SAM, "invitedUserType": "Member"}
    world.person(cast.adele).post("invitations", member, status=403)
    world.program("User.Invite.All").post("invitations", member, status=403)
    assert world.person(cast.john).post("invitations", member)["invitedUserType"] == "Member"


def test_a_request_sent_again_makes_nothing_twice(daemon: Graph, world: World) -> None:
    headers = {"client-request-id": str(uuid4())}
    first = daemon.post("invitations", {**SAM, "sendInvitationMessage": True}, headers=headers)
    world.clock.advance(minutes=6)
    program = world.program()
    again = program.post("invitations", {**SAM, "sendInvitationMessage": True}, headers=headers)
    assert again["inviteRedeemUrl"] == first["inviteRedeemUrl"]
    assert len(mails(world)) == 1
    other = {**SAM, "invitedUserEmailAddress": "other@gmail.com"}
    assert program.post("invitations", other, headers=headers)["id"] != first["id"]
    key = {"Idempotency-Key": "onboarding-7"}
    program.post("invitations", {**SAM, "invitedUserEmailAddress": "c@gmail.com"}, headers=key)
    refused = program.post("invitations", other, headers=key, status=422)
    assert refused["error"]["code"] == "UnprocessableEntity"


def test_a_redemption_is_reset(world: World, cast: Cast, daemon: Graph) -> None:

    def accepted(session: Any, _: Any) -> str:
        invited = factories.invite(session, cast, world.clock.now, "sam@gmail.com")
        factories.accept(session, cast, invited, world.clock.now)
        return str(invited.user_id)

    user_id = world.run(accepted)
    daemon.patch(f"users/{user_id}", {"otherMails": ["sam@outlook.com"]})
    made = daemon.post(
        "invitations",
        {
            "invitedUserEmailAddress": "sam@outlook.com", "sendInvitationMessage": True,
            "inviteRedirectUrl": "https://partners.woodgrove.example/welcome",
            "invitedUser": {"id": user_id}, "resetRedemption": True,
        },
    )  # fmt: skip
    assert made["status"] == "PendingAcceptance"
    assert made["resetRedemption"] is True
    assert made["invitedUser"] == {"id": user_id}
    assert made["inviteRedirectUrl"] == "https://partners.woodgrove.example/welcome"
    assert mails(world)[-1] == ("invitation", "sam@outlook.com")
    limited = world.program("User.Invite.All")
    limited.post(
        "invitations",
        {**SAM, "invitedUser": {"id": user_id}, "resetRedemption": True},
        status=403,
    )


CONVERSION = {
    "inviteRedirectUrl": "https://myapps.microsoft.com?tenantId=", "sendInvitationMessage": True,
}  # fmt: skip


def converting(world: World, cast: Cast, **values: Any) -> str:

    def made(session: Any, john: Any) -> str:
        profiles.patch(
            session, john, cast.adele, {"other_mails": ["adele@fabrikam.example"], **values}
        )
        return str(cast.adele)

    return str(world.run(made))


def test_an_internal_user_becomes_an_external_one(world: World, cast: Cast, daemon: Graph) -> None:
    user_id = converting(world, cast)
    asked = {
        **CONVERSION,
        "invitedUserEmailAddress": "adele@fabrikam.example",
        "invitedUser": {"id": user_id},
    }
    # The own account works until acceptance.
    adele = world.person(cast.adele)
    made = daemon.post("invitations", asked)
    assert made["invitedUser"] == {"id": user_id}
    assert made["status"] == "PendingAcceptance"
    assert made["invitedUserType"] == "Member"
    assert adele.get("me")["userPrincipalName"] == "adele.vance@woodgrove.example"
    assert mails(world) == [("invitation", "adele@fabrikam.example")]

    def accept(session: Any, _: Any) -> None:
        link = factories.link_of(session, cast.woodgrove, cast.adele)
        opened = factories.open_link(session, link, world.clock.now)
        assert opened is not None
        from b2b.services import redemption

        redemption.accept(
            session, redemption.acting(opened, now=world.clock.now), opened,
            factories.by_code("adele@fabrikam.example"),
        )  # fmt: skip

    world.clock.advance(seconds=1)
    world.run(accept)
    adele.ask("GET", "me", status=401)
    after = daemon.get(
        f"users/{user_id}?$select=userPrincipalName,userType,externalUserState,identities"
    )
    assert after["userPrincipalName"] == "adele.vance@woodgrove.example"
    assert after["userType"] == "Member"
    assert after["externalUserState"] == "Accepted"
    assert after["identities"][1] == {
        "signInType": "federated", "issuer": "mail", "issuerAssignedId": "adele@fabrikam.example",
    }  # fmt: skip
    refused = daemon.post("invitations", asked, status=400)["error"]
    assert "there is no way back" in refused["message"]


def test_conversions_that_are_refused(world: World, cast: Cast, daemon: Graph) -> None:
    user_id = converting(world, cast)
    asked = {**CONVERSION, "invitedUser": {"id": user_id}}
    elsewhere = {**asked, "invitedUserEmailAddress": "adele@northwind.example"}
    assert (
        "other mail addresses"
        in daemon.post("invitations", elsewhere, status=400)["error"]["message"]
    )
    own = {**asked, "invitedUserEmailAddress": "adele.vance@woodgrove.example"}
    assert "verified domain" in daemon.post("invitations", own, status=400)["error"]["message"]
    good = {**asked, "invitedUserEmailAddress": "adele@fabrikam.example"}
    daemon.patch(f"users/{user_id}", {"usageLocation": "KR"})
    exchange = "4b9405b0-7788-4568-add1-99614e613b69"
    daemon.post(
        f"users/{user_id}/assignLicense",
        {"addLicenses": [{"skuId": exchange, "disabledPlans": []}], "removeLicenses": []},
        status=200,
    )
    assert "Exchange" in daemon.post("invitations", good, status=400)["error"]["message"]
    admin = {**good, "invitedUser": {"id": str(cast.john)}}
    world.program("User.Invite.All", "User.ReadWrite.All").post("invitations", admin, status=403)
    world.person(cast.adele).post(
        "invitations", {**good, "invitedUser": {"id": str(cast.otto)}}, status=404
    )


def test_the_number_of_invitation_rows_is_one_each(world: World, daemon: Graph) -> None:
    for _ in range(3):
        daemon.post("invitations", SAM)
    with world.app.app_context():
        assert len(db.session.scalars(select(Invitation)).all()) == 1
        assert len(db.session.scalars(select(User).where(User.invited_key.is_not(None))).all()) == 1
