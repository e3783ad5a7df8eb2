"""The main job through the pages, without scripts: invite, mail, redeem, My Apps."""

from flask import Flask
from sqlalchemy import select

from b2b.extensions import db
from b2b.models import AuditEvent, ExternalUserState, Identity, Invitation, Provider, Source, User
from tests.cast import Cast
from tests.conftest import Mailroom
from tests.letters import code_in, link_in
from tests.pages import Browser

SAM = "gsamoogle@gmail.com"


def invite(john: Browser, cast: Cast, *addresses: str, **values: object) -> None:
    page = john.get("/admin/users/invite")
    page = page.submit(
        "/invite",
        addresses="\n".join(addresses),
        applications=[str(cast.projects)],
        message="Hi Sam, the drawings are ready.",
        **values,
    )
    assert page.errors == []


def test_sam_is_invited_and_redeems_with_a_personal_account_made_on_the_way(
    app: Flask, cast: Cast, john: Browser, browser: Browser, mailroom: Mailroom
) -> None:
    invite(john, cast, SAM, display_name="Sam")
    with app.app_context():
        sam = db.session.execute(select(User).where(User.mail == SAM)).scalar_one()
        assert sam.user_principal_name == "gsamoogle_gmail.com#EXT#@woodgrove.example"
        assert sam.source is Source.INVITED_USER
        assert sam.external_user_state is ExternalUserState.PENDING_ACCEPTANCE
    assert mailroom.deliver().sent == 1
    [invitation] = mailroom.sources(SAM)

    page = browser.get(link_in(invitation))
    assert page.path == "/redeem"
    assert "rd=" not in page.url
    assert "WoodGrove" in page.h1
    assert SAM not in page.response.get_data(as_text=True)
    page = page.submit("/redeem/start")
    assert page.path == "/signin/code"
    mailroom.deliver()
    page = page.submit("/signin/code", code=code_in(mailroom.sources(SAM)[-1]))
    assert page.path == "/signin/account", page.text[:500]
    page = page.submit(
        "/signin/account", given_name="Sam", surname="Oogle", password="a long phrase for Sam"
    )
    assert page.path == "/redeem/review", page.text[:500]
    page = page.submit("/redeem/accept")
    assert page.path == "/profile", page.text[:500]
    assert page.soup.select_one("input[name=display_name]")["value"] == "Sam Oogle"  # type: ignore[index]
    page = page.submit("/profile/skip")
    assert page.path == "/myapps"
    assert "Projects" in page.text

    with app.app_context():
        sam = db.session.execute(
            select(User).where(User.mail == SAM, User.tenant_id == cast.woodgrove)
        ).scalar_one()
        assert sam.source is Source.PERSONAL_ACCOUNT
        assert sam.external_user_state is ExternalUserState.ACCEPTED
        assert (sam.display_name, sam.given_name, sam.surname) == ("Sam Oogle", "Sam", "Oogle")
        identity = db.session.execute(
            select(Identity).where(Identity.user_id == sam.id)
        ).scalar_one()
        assert identity.provider is Provider.PERSONAL
        assert identity.issuer == str(cast.consumer)
        row = db.session.execute(
            select(Invitation).where(Invitation.user_id == sam.id)
        ).scalar_one()
        assert row.accepted_at is not None
        activities = db.session.scalars(
            select(AuditEvent.activity)
            .where(AuditEvent.target_id == sam.id)
            .order_by(AuditEvent.sequence)
        ).all()
        assert activities == [
            "Add user",
            "Invite external user",
            "Add user sponsor",
            "Add app role assignment grant to user",
            "Update user",
            "Redeem external user invite",
        ]

    # Back by the same link, in another browser.
    again = Browser(app)
    page = again.get(link_in(invitation)).submit("/redeem/start")
    assert page.path == "/signin/password"
    page = page.submit("/signin/password", password="a long phrase for Sam")
    assert page.path == "/myapps", page.text[:500]

    users = john.get("/admin/users?q=oogle")
    assert "Sam Oogle" in users.text
    detail = users.follow("Sam Oogle")
    assert "Accepted the invitation" in detail.text
