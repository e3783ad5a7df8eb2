"""Inviting through the page: every kind of bad input, the form sent twice, mail that waits."""

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
    DomainList,
    Invitation,
    MailState,
    OutboxMessage,
    Role,
    User,
    UserType,
)
from b2b.services import users
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
        users.remove(
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
        users.remove(
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
        users.remove(
            session, acting(session, cast.woodgrove, cast.john, clock.now), invited.user_id
        )
    page = submit(adele)
    assert "Invited gsamoogle@gmail.com." in page.text
    assert str(invited.user_id) not in page.path
