"""Inviting through the page: every kind of bad input, the form sent twice, mail that waits."""

import re
from typing import Any
from uuid import UUID

import pytest
from bs4 import BeautifulSoup
from flask import Flask
from sqlalchemy import func, select, update

from b2b import worker
from b2b.extensions import db
from b2b.models import (
    AllowInvitesFrom,
    AuditEvent,
    DomainList,
    Invitation,
    MailRefusal,
    MailState,
    OutboxMessage,
    Role,
    User,
    UserType,
)
from b2b.services import deleted_users, groups, owners
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import Clock, Mailroom
from tests.factories import SAM
from tests.pages import Browser, Page
from tests.web.test_every_route import assert_secured, csrf_of

MESSAGE = "The drawings for Harbour Street are ready."


def submit(browser: Browser, addresses: str = SAM, **values: Any) -> Page:
    return browser.get("/admin/users/invite").submit("/invite", addresses=addresses, **values)


def counts(app: Flask) -> tuple[int, int]:
    """Invitations and letters."""
    with app.app_context():
        found = tuple(
            db.session.execute(select(func.count()).select_from(model)).scalar_one()
            for model in (Invitation, OutboxMessage)
        )
        db.session.remove()
    return found[0], found[1]


def problems(page: Page) -> dict[str, str]:
    """Addresses of the list beside the field, and what is said of each."""
    return {
        item.b.get_text(): item.span.get_text()  # type: ignore[union-attr]
        for item in page.soup.select("ul.checked li")
    }


def test_an_address_is_invited_and_its_page_shown(app: Flask, cast: Cast, john: Browser) -> None:
    page = submit(john, message=MESSAGE, applications=[str(cast.projects)])
    assert page.path.startswith("/admin/users/")
    assert "Invited gsamoogle@gmail.com." in page.text
    assert counts(app) == (1, 1)


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("", "Enter an e-mail address."),
        ("  \n ", "Enter an e-mail address."),
        (",;,", "Enter an e-mail address."),
        ("\n".join(f"guest{n}@partner.example" for n in range(51)), "At most 50 addresses at once"),
    ],
)
def test_no_address_and_too_many_are_refused_beside_the_field(
    app: Flask, john: Browser, typed: str, sentence: str
) -> None:
    page = submit(john, typed, message=MESSAGE)
    assert page.status == 200
    assert len(page.errors) == 1
    assert page.errors[0].startswith(sentence)
    assert page.title.startswith("Error")
    assert MESSAGE in page.text
    assert counts(app) == (0, 0)


def test_each_bad_address_is_named_with_its_reason_and_everything_typed_is_kept(
    app: Flask, cast: Cast, john: Browser
) -> None:
    """INV-1, INV-5, decisions.md, several addresses: nothing is sent until each is valid"""
    with app.app_context(), worker.transaction() as session:
        factories.set_policy(
            session, cast.woodgrove, domain_list=DomainList.BLOCK, domains=["blocked.example"]
        )
    typed = (
        "good@partner.example nonsense sam+tag@gmail.com adele.vance@woodgrove.example "
        "new@woodgrove.example eve@blocked.example"
    )
    page = submit(
        john, typed, message=MESSAGE, applications=[str(cast.projects)],
        groups=[str(cast.partners)],
    )  # fmt: skip
    said = problems(page)
    assert list(said) == [
        "nonsense", "sam+tag@gmail.com", "adele.vance@woodgrove.example", "new@woodgrove.example",
        "eve@blocked.example",
    ]  # fmt: skip
    assert "Enter one e-mail address" in said["nonsense"]
    assert "“+” is not allowed before the @." in said["sam+tag@gmail.com"]
    assert f"object ID: {cast.adele}." in said["adele.vance@woodgrove.example"]
    assert "is a verified domain of this directory." in said["new@woodgrove.example"]
    assert "is blocked by the invitation policy" in said["eve@blocked.example"]
    assert counts(app) == (0, 0)
    area = page.soup.select_one("textarea[name=addresses]")
    assert area is not None
    assert area.get_text().strip() == typed
    assert MESSAGE in page.text
    assert page.soup.select_one(f'input[value="{cast.projects}"][checked]')
    assert page.soup.select_one(f'input[value="{cast.partners}"][checked]')
    done = page.submit("/invite", addresses="good@partner.example")
    assert "Invited good@partner.example." in done.text
    assert counts(app) == (1, 1)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"display_name": "n" * 257}, "At most 256 characters."),
        ({"display_name": "Sam\x1b"}, "Control characters are not allowed here."),
        ({"message": "m" * 2001}, "At most 2000 characters."),
        ({"language": "xx"}, ""),
    ],
)
def test_a_bad_value_is_refused_beside_its_field_and_kept(
    app: Flask, john: Browser, values: dict[str, str], sentence: str
) -> None:
    """INV-1"""
    page = submit(john, **values)
    assert page.status == 200
    assert len(page.errors) == 1
    assert page.errors[0].startswith(sentence)
    assert SAM in page.text
    assert counts(app) == (0, 0)


def test_forced_applications_and_groups_that_take_no_guests_are_refused(
    app: Flask, cast: Cast, john: Browser
) -> None:
    """APP-2: the forced post; what is not offered cannot be had"""
    for field, forced in (
        ("applications", cast.payroll),
        ("applications", UUID(int=7)),
        ("groups", cast.dynamic),
    ):
        page = submit(john, **{field: [str(forced)]})
        assert page.status == 200
        assert page.errors, field
    offered = john.get("/admin/users/invite").text
    assert "Projects" in offered
    assert "Payroll" not in offered
    assert "All guests" not in offered
    assert counts(app) == (0, 0)


def test_the_form_sent_twice_is_one_invitation_and_one_mail(
    app: Flask, cast: Cast, john: Browser, mailroom: Mailroom
) -> None:
    """REL-13; decisions.md, repeat invitation"""
    form = john.get("/admin/users/invite")
    first = form.submit("/invite", addresses=SAM)
    again = form.submit("/invite", addresses=SAM)
    assert "Invited gsamoogle@gmail.com." in first.text
    assert "Invited a moment ago: gsamoogle@gmail.com. The same link works" in again.text
    assert first.path == again.path
    assert counts(app) == (1, 1)
    assert mailroom.deliver().sent == 1


def test_later_the_same_form_sends_a_new_link(
    app: Flask, cast: Cast, clock: Clock, john: Browser
) -> None:
    submit(john)
    clock.advance(minutes=5)
    page = submit(john)
    assert "Sent again to gsamoogle@gmail.com; earlier links stop working." in page.text
    assert counts(app) == (1, 2)


def test_a_guest_who_accepted_is_said_to_be_one_already(
    app: Flask, cast: Cast, clock: Clock, john: Browser, otto: Browser
) -> None:
    page = submit(john, "otto.brandt@contoso.example", groups=[str(cast.partners)])
    assert "Guest already: otto.brandt@contoso.example. What you chose was added." in page.text
    assert "Partners" in page.text


def test_the_sixty_first_invitation_of_a_minute_is_told_when_to_come_back(
    app: Flask, cast: Cast, clock: Clock, john: Browser
) -> None:
    """INV-4: 429 saying when to retry"""
    many = [f"guest{n}@partner.example" for n in range(60)]
    assert submit(john, " ".join(many[:50])).status == 200
    assert submit(john, " ".join(many[50:])).status == 200
    page = submit(john, SAM, message=MESSAGE)
    assert page.status == 429
    assert "You have invited 60 people within a minute, which is the limit." in page.text
    assert "Try again in" in page.text
    assert int(page.response.headers["Retry-After"]) == 61
    clock.advance(seconds=61)
    assert submit(john, SAM).status == 200
    assert counts(app)[0] == 61


# Who may -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "role", "may"),
    [
        (AllowInvitesFrom.EVERYONE, None, True),
        (AllowInvitesFrom.ADMINS_GUEST_INVITERS_AND_ALL_MEMBERS, None, True),
        (AllowInvitesFrom.ADMINS_AND_GUEST_INVITERS, None, False),
        (AllowInvitesFrom.ADMINS_AND_GUEST_INVITERS, Role.GUEST_INVITER, True),
        (AllowInvitesFrom.NONE, Role.GLOBAL_ADMINISTRATOR, False),
    ],
)
def test_the_button_is_there_for_whom_the_policy_lets_and_a_forced_post_is_refused(
    app: Flask,
    cast: Cast,
    clock: Clock,
    adele: Browser,
    policy: AllowInvitesFrom,
    role: Role | None,
    may: bool,
) -> None:
    """INV-6: button absent, and 403 when forced"""
    token = csrf_of(adele, "/admin/users")
    with app.app_context(), worker.transaction() as session:
        factories.set_policy(session, cast.woodgrove, allow_invites_from=policy)
        if role is not None:
            factories.give_role(session, cast.woodgrove, cast.adele, role, clock.now)
    listed = adele.get("/admin/users")
    buttons = listed.soup.select('main a[href="/admin/users/invite"]')
    assert bool(buttons) is may
    data = {"csrf_token": token, "addresses": SAM, "language": ""}
    page = adele.post("/admin/users/invite", data)
    assert page.status == (200 if may else 403)
    if not may:
        assert "Guest invitations not allowed for your company." in page.text
        assert adele.get("/admin/users/invite").status == 403
    assert counts(app) == ((1, 1) if may else (0, 0))


def test_a_guest_with_the_inviter_role_invites_like_an_inviter(
    app: Flask, cast: Cast, clock: Clock, otto: Browser
) -> None:
    """INV-6: roles count for guests too"""
    with app.app_context(), worker.transaction() as session:
        guest = session.execute(
            select(User.id).where(User.tenant_id == cast.woodgrove, User.source.like("External%"))
        ).scalar_one()
        factories.give_role(session, cast.woodgrove, guest, Role.GUEST_INVITER, clock.now)
        factories.set_policy(
            session, cast.woodgrove, allow_invites_from=AllowInvitesFrom.ADMINS_AND_GUEST_INVITERS
        )
    assert "Invited gsamoogle@gmail.com." in submit(otto).text


# Preview -----------------------------------------------------------------------------------------


def test_the_preview_shows_the_letter_in_a_sandbox_and_changes_nothing(
    app: Flask, cast: Cast, john: Browser
) -> None:
    """BOX-1, MAIL-1"""
    token = csrf_of(john, "/admin/users/invite")
    data = {
        "csrf_token": token, "addresses": SAM, "message": "<script>alert(1)</script>",
        "applications": str(cast.projects), "language": "",
    }  # fmt: skip
    page = john.post("/admin/users/invite/preview", data)
    assert page.status == 200
    assert_secured(page.response, "preview")
    assert page.response.headers["Content-Security-Policy"].startswith("sandbox ")
    letter = BeautifulSoup(page.response.get_data(as_text=True), "html5lib")
    assert "<script>alert(1)</script>" in letter.get_text()
    assert not letter.select("script")
    text = john.post("/admin/users/invite/preview?as=text", data)
    assert text.response.mimetype == "text/plain"
    assert "ticket" not in text.response.get_data(as_text=True)
    assert counts(app) == (0, 0)


def test_the_preview_of_something_impossible_says_why(cast: Cast, john: Browser) -> None:
    token = csrf_of(john, "/admin/users/invite")
    for values in ({"applications": "not-an-id"}, {"groups": str(cast.dynamic)}):
        page = john.post(
            "/admin/users/invite/preview", {"csrf_token": token, "addresses": SAM, **values}
        )
        assert page.status == 200
        assert_secured(page.response, "preview")


# Mail that waits ---------------------------------------------------------------------------------


def test_mail_waits_while_the_mail_server_is_down_and_the_page_says_so(
    app: Flask, cast: Cast, clock: Clock, john: Browser, mailroom: Mailroom
) -> None:
    """REL-4: pages are not held up; it is delivered when the server is back"""
    port = mailroom.port
    mailroom.stop()
    page = submit(john)
    assert "Invited gsamoogle@gmail.com." in page.text
    outcome = mailroom.deliver()
    assert outcome.unreachable is not None
    waiting = john.get(page.path)
    assert waiting.status == 200
    clock.advance(minutes=10)
    mailroom.start(port)
    assert mailroom.deliver().sent == 1
    assert len(mailroom.sources(SAM)) == 1
    assert "Mail sent to the mail server" in john.get(page.path).text


def test_a_refused_mailbox_is_told_to_the_inviter_in_the_servers_words(
    app: Flask, cast: Cast, clock: Clock, john: Browser
) -> None:
    """REL-5"""
    page = submit(john)
    with app.app_context(), worker.transaction() as session:
        session.execute(
            update(OutboxMessage).values(
                state=MailState.FAILED, settled_at=clock.now,
                last_error="550 5.1.1 No such <b>mailbox</b> here",
            )
        )  # fmt: skip
    told = john.get(page.path)
    assert "550 5.1.1 No such <b>mailbox</b> here" in told.text
    assert "Check the address" in told.text
    again = told.submit("/resend")
    assert "Sent again to gsamoogle@gmail.com" in again.text
    assert counts(app) == (1, 2)


def test_a_copied_link_opens_the_invitation_and_looking_is_audited(
    app: Flask, cast: Cast, john: Browser
) -> None:
    """decisions.md, link secret"""
    page = submit(john)
    shown = john.get(page.path).submit("/link")
    with app.app_context():
        user_id = db.session.execute(select(User.id).where(User.mail == SAM)).scalar_one()
        link = factories.link_of(db.session(), cast.woodgrove, user_id)
        db.session.remove()
    assert link in shown.response.get_data(as_text=True).replace("&amp;", "&")
    assert shown.response.headers["Cache-Control"] == "no-store"
    assert "WoodGrove" in Browser(app).get(link).h1
    assert "Link copied by hand" in john.get(page.path).text


def test_internal_guests_and_deleted_people_are_told_apart(
    app: Flask, cast: Cast, clock: Clock, john: Browser
) -> None:
    """invitations.md, 6; decisions.md, … of a soft-deleted guest"""
    with app.app_context(), worker.transaction() as session:
        session.execute(update(User).where(User.id == cast.adele).values(user_type=UserType.GUEST))
        invited = factories.invite(session, cast, clock.now)
        deleted_users.remove(
            session, acting(session, cast.woodgrove, cast.john, clock.now), invited.user_id
        )
    page = submit(john, "adele.vance@woodgrove.example")
    assert "already exists in the directory" in " ".join(problems(page).values())
    offered = submit(john, message=MESSAGE)
    assert offered.errors == ["Nothing was sent. People who were deleted and can be restored: 1"]
    assert MESSAGE in offered.text
    restore = offered.soup.select_one("button[formaction]:not([formtarget])")
    assert restore is not None
    assert restore["formaction"] == f"/admin/users/{invited.user_id}/restore"
    again = offered.submit("/invite", as_new="y")
    assert "Invited gsamoogle@gmail.com." in again.text
    assert str(invited.user_id) not in again.path


def test_a_deleted_guest_is_restored_from_the_form(
    app: Flask, cast: Cast, clock: Clock, john: Browser
) -> None:
    """decisions.md, … of a soft-deleted guest: Restore first"""
    with app.app_context(), worker.transaction() as session:
        invited = factories.invite(session, cast, clock.now)
        deleted_users.remove(
            session, acting(session, cast.woodgrove, cast.john, clock.now), invited.user_id
        )
    offered = submit(john)
    form = offered.form("/invite")
    token = form.select_one("input[name=csrf_token]")
    assert token is not None
    page = john.post(
        f"/admin/users/{invited.user_id}/restore",
        {"csrf_token": token["value"], "addresses": SAM},
    )
    assert page.path == f"/admin/users/{invited.user_id}"
    assert "is back." in page.text
    assert counts(app) == (1, 1)


def test_who_may_not_restore_makes_a_new_guest_at_once(
    app: Flask, cast: Cast, clock: Clock, adele: Browser
) -> None:
    with app.app_context(), worker.transaction() as session:
        invited = factories.invite(session, cast, clock.now)
        deleted_users.remove(
            session, acting(session, cast.woodgrove, cast.john, clock.now), invited.user_id
        )
    page = submit(adele)
    assert "Invited gsamoogle@gmail.com." in page.text
    assert str(invited.user_id) not in page.path


# In full -----------------------------------------------------------------------------------------


def results(page: Page) -> dict[str, str]:
    """The page of results: address and what became of it."""
    return {
        row.select_one("b .ltr").get_text(): row.select_one("b + span").get_text()  # type: ignore[union-attr]
        for row in page.soup.select("main ul.checked > li")
    }


def test_pasted_addresses_with_names_lead_to_a_page_that_answers_for_each(
    app: Flask, cast: Cast, clock: Clock, john: Browser
) -> None:
    with app.app_context(), worker.transaction() as session:
        known = factories.invite(session, cast, clock.now, "known@partner.example")
        factories.accept(session, cast, known, clock.now)
        factories.invite(session, cast, clock.now, "recent@partner.example")
        session.add(
            MailRefusal(
                tenant_id=cast.woodgrove, address_key="quiet@partner.example",
                refused_at=clock.now,
            )
        )  # fmt: skip
    page = submit(
        john,
        'Sam Oogle <gsamoogle@gmail.com>, "Haddad, Layla" <layla@alnoor.example>\n'
        "known@partner.example; recent@partner.example quiet@partner.example",
    )
    assert page.path == "/admin/users/invite/result"
    assert page.h1 == "5 people"
    assert results(page) == {
        "gsamoogle@gmail.com": "Invited; the mail is on its way.",
        "layla@alnoor.example": "Invited; the mail is on its way.",
        "known@partner.example": "A guest already; what you chose was added.",
        "recent@partner.example": (
            "Invited a moment ago; the same link works, no second mail."
        ),
        "quiet@partner.example": (
            "No mail was sent: this person has blocked invitations from this organisation."
        ),
    }  # fmt: skip
    assert "Sam Oogle" in page.text
    assert "Haddad, Layla" in page.text
    assert "ticket" not in page.response.get_data(as_text=True)


def test_only_the_link_makes_no_mail_and_shows_a_link_for_each_audited_as_a_copy(
    app: Flask, cast: Cast, clock: Clock, john: Browser
) -> None:
    """decisions.md, link secret: copying is audited"""
    page = submit(john, f"{SAM} other@gmail.com", delivery="link")
    assert counts(app) == (2, 0)
    assert results(page)[SAM].startswith("Invited, without a mail. Pass on this link:")
    shown = [code.get_text() for code in page.soup.select("main li code")]
    with app.app_context():
        people = db.session.scalars(select(Invitation.user_id)).all()
        made = [factories.link_of(db.session(), cast.woodgrove, person) for person in people]
        copies = db.session.execute(
            select(AuditEvent.actor_id, AuditEvent.target_id).where(
                AuditEvent.activity == "Copy invitation link"
            )
        ).all()
        db.session.remove()
    assert sorted(shown) == sorted(made)
    [mine] = [
        link for link in shown if link in page.soup.select("main ul.checked > li")[0].get_text()
    ]
    assert sorted(copies) == sorted((cast.john, person) for person in people)
    assert "WoodGrove" in Browser(app).get(mine).h1
    assert john.get("/admin/users/invite/result").status == 200, "looking again audits nothing"
    with app.app_context():
        assert len(
            db.session.scalars(
                select(AuditEvent.id).where(AuditEvent.activity == "Copy invitation link")
            ).all()
        ) == 2  # fmt: skip
        db.session.remove()


def test_a_link_that_was_replaced_meanwhile_is_not_shown_again(
    app: Flask, cast: Cast, clock: Clock, john: Browser
) -> None:
    page = submit(john, SAM, delivery="link")
    assert page.soup.select("main li code")
    clock.advance(minutes=6)
    with app.app_context(), worker.transaction() as session:
        factories.invite(session, cast, clock.now)
    again = john.get("/admin/users/invite/result")
    assert again.status == 200
    assert not again.soup.select("main li code")


def test_the_results_of_one_browser_are_nobody_elses(
    cast: Cast, john: Browser, adele: Browser
) -> None:
    submit(john, SAM, delivery="link")
    page = adele.get("/admin/users/invite/result")
    assert page.path == "/admin/users"
    assert "redeem" not in page.text


def test_one_person_who_wants_no_mail_is_told_apart(
    app: Flask, cast: Cast, clock: Clock, john: Browser
) -> None:
    """invitations.md, 6: unsubscribed"""
    with app.app_context(), worker.transaction() as session:
        session.add(MailRefusal(tenant_id=cast.woodgrove, address_key=SAM, refused_at=clock.now))
    page = submit(john)
    assert page.path == "/admin/users/invite/result"
    assert "No mail was sent" in results(page)[SAM]
    assert counts(app) == (1, 0)


def test_copy_landing_page_and_language_reach_the_invitation(
    app: Flask, cast: Cast, clock: Clock, john: Browser
) -> None:
    page = submit(
        john, SAM, cc_address="Adele Vance <adele.vance@woodgrove.example>",
        redirect_url=" https://projects.woodgrove.example/plans ", language="ko",
    )  # fmt: skip
    assert "Invited gsamoogle@gmail.com." in page.text
    with app.app_context():
        stored = db.session.execute(select(Invitation)).scalar_one()
        letters = db.session.scalars(select(OutboxMessage.recipient)).all()
        db.session.remove()
    assert stored.redirect_url == "https://projects.woodgrove.example/plans"
    assert (stored.cc_name, stored.language) == ("Adele Vance", "ko")
    assert sorted(letters) == ["adele.vance@woodgrove.example", SAM]


@pytest.mark.parametrize(
    ("values", "field", "sentence"),
    [
        ({"cc_address": "a@b.example c@d.example"}, "cc_address", "Only one person can get a copy"),
        ({"cc_address": "nonsense"}, "cc_address", "Enter one e-mail address"),
        ({"cc_name": "Adele"}, "cc_address", "Enter the address of the person"),
        ({"cc_address": "a@b.example", "delivery": "link"}, "cc_address", "only together with"),
        ({"redirect_url": "javascript:alert(1)"}, "redirect_url", "not allowed as a landing page"),
        ({"redirect_url": "https:\\\\evil.example"}, "redirect_url", "not allowed as a landing"),
        ({"delivery": "pigeon"}, "delivery", "Choose one from the list."),
        ({"user_type": "Admin"}, "user_type", "Choose one from the list."),
    ],
)
def test_what_lies_under_more_is_refused_beside_its_field_which_is_open_then(
    app: Flask, john: Browser, values: dict[str, str], field: str, sentence: str
) -> None:
    """INV-1, INV-2"""
    page = submit(john, SAM, message=MESSAGE, **values)
    assert len(page.errors) == 1
    assert sentence in page.errors[0]
    said = page.soup.select_one(f"#{field}-error")
    assert said is not None
    assert sentence in said.get_text()
    if field != "delivery":
        assert page.soup.select_one("details.behind[open]")
    assert MESSAGE in page.text
    assert counts(app) == (0, 0)


def test_member_is_offered_to_who_may_and_refused_to_others_who_force_it(
    app: Flask, cast: Cast, clock: Clock, john: Browser, adele: Browser
) -> None:
    """INV-3"""
    assert not adele.get("/admin/users/invite").soup.select("input[name=user_type]")
    token = csrf_of(adele, "/admin/users/invite")
    forced = adele.post(
        "/admin/users/invite",
        {"csrf_token": token, "addresses": SAM, "language": "", "user_type": "Member"},
    )
    assert forced.status == 403
    assert "This needs the role Global Administrator." in forced.text
    assert counts(app) == (0, 0)
    submit(john, SAM, user_type="Member")
    with app.app_context():
        assert (
            db.session.execute(select(User.user_type).where(User.mail == SAM)).scalar_one()
            is UserType.MEMBER
        )
        db.session.remove()


@pytest.mark.parametrize("name", ["status", "resetRedemption", "invitedUser.id", "inviter_id",
                                  "sponsor_ids", "tenant_id", "version"])  # fmt: skip
def test_what_the_form_does_not_know_changes_nothing(
    app: Flask, cast: Cast, clock: Clock, adele: Browser, name: str
) -> None:
    """INV-3: mass assignment"""
    token = csrf_of(adele, "/admin/users/invite")
    page = adele.post(
        "/admin/users/invite",
        {"csrf_token": token, "addresses": SAM, "language": "", name: str(cast.john)},
    )
    assert "Invited gsamoogle@gmail.com." in page.text
    with app.app_context():
        stored = db.session.execute(select(Invitation)).scalar_one()
        db.session.remove()
    assert (stored.inviter_id, stored.version) == (cast.adele, 1)
    assert stored.tenant_id == cast.woodgrove
    assert stored.accepted_at is None


def test_a_member_is_offered_only_what_he_owns_and_a_forced_post_is_refused(
    app: Flask, cast: Cast, clock: Clock, adele: Browser
) -> None:
    """APP-2"""
    page = adele.get(f"/admin/users/invite?group={cast.partners}&application={cast.projects}")
    assert "You own no group and no application that takes guests." in page.text
    assert not page.soup.select("input[name=groups], input[name=applications]")
    for field, forced, sentence in (
        ("groups", cast.partners, "Only its owners and administrators put people into Partners."),
        ("applications", cast.projects,
         "Only its owners and administrators assign people to Projects."),
    ):  # fmt: skip
        refused = page.submit("/invite", addresses=SAM, **{field: [str(forced)]})
        assert refused.status == 403
        assert refused.errors == [sentence]
        assert SAM in refused.text
    assert counts(app) == (0, 0)
    with app.app_context(), worker.transaction() as session:
        boss = acting(session, cast.woodgrove, cast.john, clock.now)
        owners.add(
            session, boss, groups.owned(groups.get(session, boss, cast.partners)), cast.adele
        )
    offered = adele.get(f"/admin/users/invite?group={cast.partners}")
    boxes = offered.soup.select("input[name=groups]")
    assert [box["value"] for box in boxes] == [str(cast.partners)]
    assert boxes[0].has_attr("checked"), "chosen by the page it came from"
    done = offered.submit("/invite", addresses=SAM, groups=[str(cast.partners)])
    assert "Partners" in done.text


def test_ownership_lost_between_form_and_post_counts(
    app: Flask, cast: Cast, clock: Clock, adele: Browser
) -> None:
    """APP-2"""
    with app.app_context(), worker.transaction() as session:
        boss = acting(session, cast.woodgrove, cast.john, clock.now)
        partners = groups.owned(groups.get(session, boss, cast.partners))
        owners.add(session, boss, partners, cast.adele)
    form = adele.get(f"/admin/users/invite?group={cast.partners}")
    with app.app_context(), worker.transaction() as session:
        owners.remove(session, boss, partners, cast.adele)
    page = form.submit("/invite", addresses=SAM, groups=[str(cast.partners)])
    assert page.status == 403
    assert "Only its owners and administrators put people into Partners." in page.errors
    assert counts(app) == (0, 0)


def test_a_long_list_can_be_narrowed_and_a_short_one_need_not(
    app: Flask, cast: Cast, clock: Clock, john: Browser
) -> None:
    assert not john.get("/admin/users/invite").soup.select("[data-narrow]")
    with app.app_context(), worker.transaction() as session:
        boss = acting(session, cast.woodgrove, cast.john, clock.now)
        for number in range(199):
            groups.create(session, boss, display_name=f"Team {number:03}")
    page = john.get("/admin/users/invite")
    assert len(page.soup.select("input[name=groups]")) == 200
    [box] = page.soup.select("[data-narrow]")
    assert box["data-narrow"] == "#groups"
    assert box.find_parent("p").has_attr("hidden"), "shown where scripts run"  # type: ignore[union-attr]
    assert not box.get("name")


def test_the_answer_is_the_same_whether_an_address_has_an_account_elsewhere(
    app: Flask, cast: Cast, clock: Clock, john: Browser
) -> None:
    """INV-7: equal status and equal page"""
    bodies = []
    for address in ("otto.brandt@contoso.example", "otto.nobody@contoso.example"):
        page = submit(john, address)
        assert page.status == 200
        text = page.response.get_data(as_text=True).replace(address, "ADDRESS")
        local = address.partition("@")[0]
        text = re.sub(rf"{local}(?=_contoso|\b)", "LOCAL", text)
        text = re.sub(r"[0-9a-f-]{36}", "ID", text)
        bodies.append(re.sub(r'avatar--\d|value="[^"]*"', "", text))
    assert bodies[0] == bodies[1]


# Preview in full ---------------------------------------------------------------------------------


def test_the_preview_follows_language_and_form_and_says_who_sends_it(
    app: Flask, cast: Cast, john: Browser
) -> None:
    token = csrf_of(john, "/admin/users/invite")
    data = {
        "csrf_token": token, "addresses": "Sam <gsamoogle@gmail.com>", "language": "ko",
        "message": MESSAGE, "as": "text",
    }  # fmt: skip
    text = john.post("/admin/users/invite/preview", data).response.get_data(as_text=True)
    assert "WoodGrove 조직에 초대되었습니다" in text
    assert MESSAGE in text
    english = john.post("/admin/users/invite/preview", data | {"language": "en"})
    head = english.response.get_data(as_text=True).splitlines()[:2]
    assert head[0] == "From: John Doe from WoodGrove"
    assert head[1].startswith("Subject: ")
    for shape in ("html", "phone", "dark"):
        page = john.post("/admin/users/invite/preview", data | {"as": shape})
        assert page.response.mimetype == "text/html"
        assert MESSAGE in page.text
    assert counts(app) == (0, 0)


def test_the_preview_of_a_page_open_for_too_long_is_a_sentence_in_the_frame(
    cast: Cast, john: Browser
) -> None:
    for data in ({"addresses": SAM}, {"csrf_token": "stale", "addresses": SAM}):
        page = john.post("/admin/users/invite/preview", data)
        assert page.status == 200
        assert "This page has been open for too long." in page.text
        assert page.response.headers["X-Frame-Options"] == "SAMEORIGIN"
        assert "frame-ancestors 'self'" in page.response.headers["Content-Security-Policy"]


def test_the_preview_of_who_is_signed_out_is_a_sentence_in_the_frame_and_only_there(
    app: Flask, cast: Cast
) -> None:
    stranger = Browser(app)
    framed = stranger.get("/admin/users/invite/preview", headers={"Sec-Fetch-Dest": "iframe"})
    assert "You are signed out." in framed.text
    assert framed.response.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert stranger.get("/admin/users/invite/preview").path == "/signin"


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"redirect_url": "javascript:alert(1)"}, "not allowed as a landing page"),
        ({"user_type": "Member"}, "This needs the role Global Administrator."),
        ({"user_type": "\x00"}, "You’re invited"),
        ({"delivery": "pigeon"}, "You’re invited"),
    ],
)
def test_the_preview_bears_whatever_is_posted(
    cast: Cast, adele: Browser, values: dict[str, str], sentence: str
) -> None:
    token = csrf_of(adele, "/admin/users/invite")
    page = adele.post(
        "/admin/users/invite/preview",
        {"csrf_token": token, "addresses": SAM, "as": "text", **values},
    )
    assert page.status == 200
    assert sentence in page.response.get_data(as_text=True)


def test_the_link_of_somebody_elses_guest_is_not_handed_over(
    app: Flask, cast: Cast, clock: Clock, john: Browser, adele: Browser
) -> None:
    """decisions.md, link secret: and the link that he was sent goes on working"""
    with app.app_context(), worker.transaction() as session:
        invited = factories.invite(session, cast, clock.now)
        link = factories.link_of(session, cast.woodgrove, invited.user_id)
    for minutes in (0, 10):
        clock.advance(minutes=minutes)
        page = submit(adele, f"{SAM} new@partner.example", delivery="link")
        assert problems(page) == {
            SAM: "Invited by somebody else, who alone can pass on the link. Send the mail."
        }
        assert counts(app) == (1, 1)
    with app.app_context():
        assert factories.link_of(db.session(), cast.woodgrove, invited.user_id) == link
        db.session.remove()
    assert results(submit(john, f"{SAM} new@partner.example", delivery="link"))[SAM] == (
        "A new link, without a mail; earlier links stop working."
    )
