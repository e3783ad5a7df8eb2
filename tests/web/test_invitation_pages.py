"""The invitations page, people I invited, and what is done with an invitation afterwards."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from bs4 import BeautifulSoup
from flask import Flask
from sqlalchemy import func, select, update

from b2b import worker
from b2b.extensions import db
from b2b.models import (
    AllowInvitesFrom,
    AuditEvent,
    Invitation,
    MailState,
    OutboxMessage,
    Role,
)
from b2b.services import invitation_listing, invitations
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import Clock
from tests.factories import SAM
from tests.pages import ORIGIN, Browser, Page
from tests.web.test_every_route import csrf_of


@pytest.fixture
def sam(app: Flask, cast: Cast, clock: Clock) -> UUID:
    with app.app_context(), worker.transaction() as session:
        return factories.invite(session, cast, clock.now, display_name="Sam").user_id


@pytest.fixture
def three(app: Flask, cast: Cast, clock: Clock) -> list[UUID]:
    """Pending guests of John's, oldest first."""
    with app.app_context(), worker.transaction() as session:
        return [
            factories.invite(session, cast, clock.now, f"guest{number}@partner.example").user_id
            for number in range(3)
        ]


def of(app: Flask, cast: Cast, user_id: UUID) -> Invitation:
    with app.app_context():
        found = factories.invitation_of(db.session(), cast.woodgrove, user_id)
        db.session.expunge(found)
        db.session.remove()
        return found


def letters(app: Flask) -> list[str]:
    """States of all letters, oldest first."""
    with app.app_context():
        found = db.session.scalars(select(OutboxMessage.state).order_by(OutboxMessage.id)).all()
        db.session.remove()
        return [str(state) for state in found]


def names(page: Page) -> list[str]:
    """Who is on a page of the list, in its order."""
    return [" ".join(a.get_text().split()) for a in page.soup.select("tbody th a")]


def choose(page: Page, do: str, *people: UUID) -> Page:
    """Tick people on the list and press one of the buttons above it."""
    offered = {str(box["value"]) for box in page.soup.select("input[name=id]")}
    assert {str(one) for one in people} <= offered
    assert page.soup.select_one(f"button[name=do][value={do}]")
    query = "&".join([f"do={do}", *(f"id={one}" for one in people)])
    return page.browser.get(f"/admin/invitations/selected?{query}")


def press(page: Page) -> Page:
    """The button that does it, for everybody named on the page."""
    ids = [str(field["value"]) for field in page.form("/selected").select("input[name=id]")]
    return page.submit("/selected", id=ids)


# The list ----------------------------------------------------------------------------------------


def test_the_list_says_who_was_invited_by_whom_and_how_far_the_mail_has_come(
    app: Flask, cast: Cast, john: Browser, sam: UUID
) -> None:
    page = john.get("/admin").follow("Invitations")
    assert page.path == "/admin/invitations"
    [row] = page.soup.select("tbody tr")
    text = " ".join(row.get_text(" ").split())
    for word in ("Sam", SAM, "Pending", "Queued", "John Doe", "Just now"):
        assert word in text
    assert "1 invitation" in page.text
    assert page.follow("Sam").path == f"/admin/users/{sam}"


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", ["guest2", "guest1", "guest0"]),
        ("?state=pending", ["guest2", "guest1", "guest0"]),
        ("?state=accepted", []),
        ("?domain=PARTNER.example", ["guest2", "guest1", "guest0"]),
        ("?domain=@partner.example", ["guest2", "guest1", "guest0"]),
        ("?domain=other.example", []),
        ("?domain=%00..", []),
        ("?q=guest1", ["guest1"]),
        ("?since=2026-11-21&until=2026-11-21", ["guest2", "guest1", "guest0"]),
        ("?since=2026-11-22", []),
        ("?until=2026-11-20", []),
        ("?until=9999-12-31", ["guest2", "guest1", "guest0"]),
        ("?state=x&inviter=y&since=z&until=0&after=a.b&before=.&last=1",
         ["guest2", "guest1", "guest0"]),
    ],
)  # fmt: skip
def test_filters_in_the_address_narrow_the_list(
    john: Browser, three: list[UUID], query: str, shown: list[str]
) -> None:
    page = john.get(f"/admin/invitations{query}")
    assert page.status == 200
    assert names(page) == shown


def test_a_name_in_the_list_leads_to_all_that_he_invited(
    cast: Cast, john: Browser, three: list[UUID]
) -> None:
    page = john.get("/admin/invitations").follow("John Doe")
    assert len(names(page)) == 3
    chosen = page.soup.select_one("#filter-inviter option[selected]")
    assert chosen is not None
    assert chosen.get_text() == "Invited by me"
    assert names(john.get(f"/admin/invitations?inviter={cast.adele}")) == []


def test_links_lead_through_all_pages_and_back(
    app: Flask, cast: Cast, clock: Clock, john: Browser, three: list[UUID],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """scale.md, 1: the cursors survive the address bar"""
    monkeypatch.setattr(invitation_listing.listing, "__kwdefaults__",
                        {**invitation_listing.listing.__kwdefaults__, "limit": 2})  # fmt: skip
    first = john.get("/admin/invitations?state=pending")
    assert names(first) == ["guest2", "guest1"]
    second = first.follow("Next")
    assert names(second) == ["guest0"]
    assert names(second.follow("Previous")) == ["guest2", "guest1"]
    assert names(first.follow("Go to the oldest")) == ["guest1", "guest0"]
    assert "2 on this page, of 3 invitations" in first.text


def test_an_empty_list_says_why_and_what_to_do(john: Browser) -> None:
    assert "Nobody was invited yet" in john.get("/admin/invitations").text
    assert "No mail has failed" in john.get("/admin/invitations?state=failed").text
    page = john.get("/admin/invitations?state=pending&q=nobody")
    assert "No invitation matches" in page.text
    assert page.follow("Clear filters").url.endswith("/admin/invitations?state=pending")


def test_a_member_sees_only_whom_he_invited_himself(
    app: Flask, cast: Cast, clock: Clock, adele: Browser, sam: UUID
) -> None:
    """ADM-2"""
    assert names(adele.get(f"/admin/invitations?inviter={cast.john}")) == []
    adele.get("/admin/users/invite").submit("/invite", addresses="mine@partner.example")
    page = adele.get("/admin/invitations")
    assert page.h1 == "People I invited"
    assert names(page) == ["mine"]


# One or several of them --------------------------------------------------------------------------


def test_several_are_cancelled_together_after_a_look_at_what_it_means(
    app: Flask, cast: Cast, john: Browser, three: list[UUID]
) -> None:
    """decisions.md, cancel: link and queued mail are dead, the person stays"""
    asked = choose(john.get("/admin/invitations"), "cancel", *three[:2])
    assert asked.h1 == "Cancel 2 invitations?"
    assert letters(app) == ["queued"] * 3
    done = press(asked)
    assert done.path == "/admin/invitations"
    assert "Cancelled 2 invitations. Their links are dead." in done.text
    assert letters(app) == ["cancelled", "cancelled", "queued"]
    assert names(john.get("/admin/invitations?state=cancelled")) == ["guest1", "guest0"]


def test_who_cannot_be_handled_is_named_and_left_out(
    app: Flask, cast: Cast, clock: Clock, john: Browser, three: list[UUID]
) -> None:
    press(john.get(f"/admin/invitations/selected?do=cancel&id={three[0]}"))
    asked = choose(john.get("/admin/invitations"), "extend", *three)
    assert asked.h1 == "Extend 2 invitations?"
    assert "Left out: 1 person" in asked.text
    assert "This invitation was cancelled. Send it again instead." in asked.text
    done = press(asked)
    assert "Extended 2 invitations: they work until 21 Dec 2026." in done.text


def test_nothing_is_done_when_one_of_them_changed_meanwhile(
    app: Flask, cast: Cast, clock: Clock, john: Browser, three: list[UUID]
) -> None:
    """all or nothing, with the reason"""
    asked = choose(john.get("/admin/invitations"), "resend", *three)
    with app.app_context(), worker.transaction() as session:
        invited = invitations.Invited(
            _address("guest1@partner.example"), invitations.Result.INVITED, three[1],
            factories.invitation_of(session, cast.woodgrove, three[1]).id, True,
        )  # fmt: skip
        factories.accept(session, cast, invited, clock.now)
    before = letters(app)
    page = press(asked)
    assert page.status == 409
    assert "Nothing was done" in page.text
    assert "has accepted already." in page.text
    assert letters(app) == before
    assert [of(app, cast, one).version for one in three] == [1, 1, 1]
    done = press(page)
    assert "Sent again to 2 people; earlier links stop working." in done.text
    assert [of(app, cast, one).version for one in three] == [2, 1, 2]


def _address(text: str) -> Any:
    from b2b.services import addresses

    return addresses.parse(text, rules="rfc")


def test_foreign_and_unknown_ids_answer_alike_and_nothing_is_done(
    app: Flask, cast: Cast, john: Browser, three: list[UUID]
) -> None:
    """ADM-3: bulk actions with mixed ids are 404 and all or nothing"""
    token = csrf_of(john, "/admin/users/invite")
    for stranger in (cast.otto, uuid4()):
        path = f"/admin/invitations/selected?do=cancel&id={three[0]}&id={stranger}"
        assert john.get(path).status == 404
        data = {"csrf_token": token, "do": "cancel", "id": [str(three[0]), str(stranger)]}
        assert john.post("/admin/invitations/selected", data).status == 404
        soup = fragment(john, f"/admin/invitations/deliveries?id={stranger}")
        assert not soup.select("template")
    assert of(app, cast, three[0]).cancelled_at is None


@pytest.mark.parametrize(
    ("query", "status"),
    [("do=cancel", 200), ("do=explode&id=x", 404), ("do=link&id=x", 404), ("id=x", 404),
     ("do=cancel&id=x", 404), ("do=cancel&" + "&".join(f"id={uuid4()}" for _ in range(51)), 400)],
)  # fmt: skip
def test_odd_addresses_of_the_page_are_answered(john: Browser, query: str, status: int) -> None:
    page = john.get(f"/admin/invitations/selected?{query}")
    assert page.status == status
    if status == 200:
        assert "Nobody is selected." in page.text


def test_a_member_may_not_force_what_others_have_invited(
    app: Flask, cast: Cast, adele: Browser, sam: UUID
) -> None:
    """ADM-2, INV-6"""
    token = csrf_of(adele, "/admin/users/invite")
    for do in ("cancel", "extend", "resend"):
        data = {"csrf_token": token, "do": do, "id": str(sam)}
        page = adele.post("/admin/invitations/selected", data)
        assert page.status == 403
        assert "This needs the role Helpdesk Administrator." in page.text
    assert of(app, cast, sam).cancelled_at is None


def test_one_persons_page_extends_and_cancels_with_a_question_first(
    app: Flask, cast: Cast, clock: Clock, john: Browser, sam: UUID
) -> None:
    clock.advance(days=3)
    john.sign_in("john.doe@woodgrove.example", cast.password)
    asked = john.get(f"/admin/users/{sam}").follow("Extend")
    assert asked.h1 == "Extend the invitation of Sam?"
    assert "24 December 2026, 09:00:00 UTC" in asked.text
    page = press(asked)
    assert page.path == f"/admin/users/{sam}"
    assert "Extended 1 invitation: it works until 24 Dec 2026." in page.text
    assert "Invitation extended" in page.text
    asked = page.follow("Cancel invitation")
    assert asked.h1 == "Cancel the invitation of Sam?"
    page = press(asked)
    assert "Cancelled 1 invitation. Its link is dead." in page.text
    assert "Invitation cancelled" in page.text
    assert not page.soup.select("main form[action$='/link'], main a[href*='do=extend']")
    page = page.submit("/resend")
    assert "Pending" in page.text
    assert of(app, cast, sam).cancelled_at is None


def test_a_cancelled_link_leads_to_the_page_for_unusable_ones(
    app: Flask, cast: Cast, john: Browser, browser: Browser, sam: UUID
) -> None:
    """RED-5, decisions.md, cancel"""
    with app.app_context():
        link = factories.link_of(db.session(), cast.woodgrove, sam)
        db.session.remove()
    assert "John Doe invites you" in browser.get(link).text
    press(john.get(f"/admin/invitations/selected?do=cancel&id={sam}"))
    assert browser.get(link).h1 == "This link cannot be used"


# How far the mail has come -----------------------------------------------------------------------


def settle(app: Flask, clock: Clock, **columns: Any) -> None:
    with app.app_context(), worker.transaction() as session:
        session.execute(update(OutboxMessage).values(**columns))


def fragment(browser: Browser, path: str) -> Any:
    """A piece of a page, which has no title of its own."""
    response = browser.client.get(path, base_url=ORIGIN)
    assert response.status_code == 200
    return BeautifulSoup(response.get_data(as_text=True), "html.parser")


@pytest.mark.parametrize(
    ("columns", "word", "over"),
    [
        ({}, "Queued", False),
        ({"lease_owner": "w", "attempts": 1, "due": 300}, "Sending", False),
        ({"attempts": 2, "due": 240, "last_error": "451 4.3.0 Later"}, "Tried again later", False),
        ({"state": MailState.SENT, "settled": True}, "Sent to mail server", True),
        ({"state": MailState.FAILED, "settled": True, "last_error": "550 No"}, "Failed", True),
        ({"state": MailState.CANCELLED, "settled": True}, "Cancelled", True),
    ],
)
def test_the_state_of_the_mail_comes_as_a_fragment_that_says_when_it_is_over(
    app: Flask, clock: Clock, john: Browser, sam: UUID, columns: dict[str, Any], word: str,
    over: bool,
) -> None:  # fmt: skip
    """threats.md, message states; the page asks again until the mail has come to an end"""
    from datetime import timedelta

    page = john.get("/admin/invitations")
    place = page.soup.select_one("[data-poll]")
    assert place is not None
    assert "1 mail is on its way." in place.get_text()
    asked = str(place["data-poll"])
    person = john.get(f"/admin/users/{sam}").soup.select_one("[data-poll]")
    assert person is not None
    values = dict(columns)
    if "due" in values:
        values["due_at"] = clock.now + timedelta(seconds=values.pop("due"))
    if values.pop("settled", False):
        values["settled_at"] = clock.now
    if values:
        settle(app, clock, **values)
    soup = fragment(john, asked)
    part = soup.select_one(f"template[data-part='mail-{sam}']")
    assert word in part.get_text()
    assert bool(soup.select("[data-done]")) is over
    soup = fragment(john, str(person["data-poll"]))
    facts = soup.select_one("template[data-part=mail-facts]").get_text()
    assert word in facts
    if "last_error" in columns:
        assert columns["last_error"] in facts
    assert bool(soup.select("[data-done]")) is over
    assert bool(john.get("/admin/invitations").soup.select("[data-poll]")) is not over


def test_an_unchanged_fragment_is_not_sent_again(john: Browser, sam: UUID) -> None:
    path = f"/admin/users/{sam}/journey"
    tag = john.client.get(path, base_url=ORIGIN).headers["ETag"]
    again = john.client.get(path, base_url=ORIGIN, headers={"If-None-Match": tag})
    assert again.status_code == 304


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"send_message": False, "outbox_id": None}, "None sent; the link was only made."),
        ({"send_message": True, "outbox_id": None}, "the person wants no invitations from here"),
    ],
)
def test_the_page_says_why_there_was_no_mail(
    app: Flask, john: Browser, sam: UUID, values: dict[str, Any], words: str
) -> None:
    with app.app_context(), worker.transaction() as session:
        session.execute(update(Invitation).values(**values))
    assert words in john.get(f"/admin/users/{sam}").text


def test_the_copy_has_a_delivery_of_its_own(
    app: Flask, cast: Cast, clock: Clock, john: Browser
) -> None:
    """decisions.md, cc: two outbox rows, two states"""
    with app.app_context(), worker.transaction() as session:
        invited = factories.invite(session, cast, clock.now, cc_address="boss@partner.example")
        session.execute(
            update(OutboxMessage)
            .where(OutboxMessage.template == "invitation_copy")
            .values(state=MailState.FAILED, settled_at=clock.now, last_error="550 No such user")
        )
    page = john.get(f"/admin/users/{invited.user_id}")
    facts = page.soup.select_one("#copy-facts")
    assert facts is not None
    assert "550 No such user" in facts.get_text()
    assert "Queued" in page.soup.select_one("#mail-facts").get_text()  # type: ignore[union-attr]
    assert "boss@partner.example" in page.text
    assert "Pending" in page.text


# My Apps -----------------------------------------------------------------------------------------


def invite_by(app: Flask, cast: Cast, clock: Clock, user_id: UUID, address: str) -> UUID:
    with app.app_context(), worker.transaction() as session:
        actor = acting(session, cast.woodgrove, user_id, clock.now)
        return invitations.invite(session, actor, address=address).user_id


def otto_here(app: Flask, cast: Cast) -> UUID:
    """Otto as WoodGrove's guest."""
    with app.app_context():
        from b2b.models import User

        found = db.session.scalars(
            select(User.id).where(
                User.tenant_id == cast.woodgrove, User.mail == "otto.brandt@contoso.example"
            )
        ).one()
        db.session.remove()
        return found


def test_a_guest_who_may_invite_does_all_of_it_in_my_apps(
    app: Flask, cast: Cast, clock: Clock, otto: Browser
) -> None:
    page = otto.get("/myapps").follow("People I invited")
    assert "You have invited nobody yet" in page.text
    form = page.follow("Invite somebody")
    assert form.path == "/myapps/people/invite"
    page = form.submit("/invite", addresses="colleague@contoso.example", message="Join us")
    assert page.path.startswith("/myapps/people/")
    assert "Invited colleague@contoso.example." in page.text
    user_id = UUID(page.path.rpartition("/")[2])
    assert "Join us" in page.text
    assert page.soup.select_one("[data-poll]")
    clock.advance(minutes=1)
    page = page.submit("/resend")
    assert "Sent again to 1 person; earlier links stop working." in page.text
    assert of(app, cast, user_id).version == 2
    link = page.submit("/link")
    assert "/redeem?rd=" in link.text
    page = otto.get(f"/myapps/people/{user_id}").follow("Extend").submit("/extend")
    assert "it works until 21 Dec 2026." in page.text
    asked = page.follow("Cancel invitation")
    assert asked.h1 == "Cancel the invitation of colleague?"
    page = asked.submit("/cancel")
    assert "Cancelled 1 invitation." in page.text
    assert of(app, cast, user_id).cancelled_at == clock.now
    assert names(otto.get("/myapps/people?state=cancelled")) == ["colleague"]
    assert otto.get("/admin/invitations").status == 403


def test_nobody_reaches_in_my_apps_what_another_has_invited(
    app: Flask, cast: Cast, clock: Clock, otto: Browser, john: Browser, sam: UUID
) -> None:
    """ADM-3: also administrators handle others' invitations in the portal only"""
    token = csrf_of(otto, "/profile")
    for person in (sam, cast.otto, uuid4()):
        for path in ("", "/journey", "/extend", "/cancel"):
            assert otto.get(f"/myapps/people/{person}{path}").status == 404
        for do in ("resend", "link", "extend", "cancel"):
            page = otto.post(f"/myapps/people/{person}/{do}", {"csrf_token": token})
            assert page.status == 404
        assert not fragment(otto, f"/myapps/people/deliveries?id={person}").select("template")
    mine = invite_by(app, cast, clock, otto_here(app, cast), "his@contoso.example")
    assert names(otto.get(f"/myapps/people?inviter={cast.john}")) == ["his"]
    assert names(john.get("/myapps/people")) == ["Sam", "Otto Brandt"]
    assert john.get(f"/myapps/people/{mine}").status == 404
    assert of(app, cast, sam).cancelled_at is None


def test_what_cannot_be_done_any_more_is_said_on_the_persons_page(
    app: Flask, cast: Cast, clock: Clock, adele: Browser
) -> None:
    user_id = invite_by(app, cast, clock, cast.adele, SAM)
    page = adele.get(f"/myapps/people/{user_id}")
    page.follow("Cancel invitation").submit("/cancel")
    late = page.follow("Extend")
    assert "This invitation was cancelled. Send it again instead." in late.text
    again = page.submit("/link")
    assert "This invitation was cancelled. Send it again instead." in again.text
    assert page.browser.get(f"/myapps/people/{user_id}/explode").status == 404


def test_whoever_lost_the_right_to_invite_still_sees_and_takes_back(
    app: Flask, cast: Cast, clock: Clock, adele: Browser
) -> None:
    """INV-6: nothing reaches out any more; taking back does not"""
    user_id = invite_by(app, cast, clock, cast.adele, SAM)
    with app.app_context(), worker.transaction() as session:
        factories.set_policy(session, cast.woodgrove, allow_invites_from=AllowInvitesFrom.NONE)
    page = adele.get("/myapps/people")
    assert names(page) == ["gsamoogle"]
    assert not page.soup.select("main a[href$='/invite']")
    page = adele.get(f"/myapps/people/{user_id}")
    assert not page.soup.select("main form[action$='/resend'], main form[action$='/link']")
    page = page.follow("Cancel invitation").submit("/cancel")
    assert "Cancelled 1 invitation." in page.text


def test_the_tab_is_absent_for_who_may_not_invite_and_never_did(
    app: Flask, cast: Cast, otto: Browser
) -> None:
    assert "People I invited" in str(otto.get("/myapps").soup.header)
    with app.app_context(), worker.transaction() as session:
        factories.set_policy(
            session, cast.woodgrove,
            allow_invites_from=AllowInvitesFrom.ADMINS_GUEST_INVITERS_AND_ALL_MEMBERS,
        )  # fmt: skip
    assert "People I invited" not in str(otto.get("/myapps").soup.header)
    page = otto.get("/myapps/people")
    assert "WoodGrove lets only some people invite others" in page.text


EVERYBODY = {"john", "inviter", "adele", "otto", "guest inviter"}
MAY: dict[AllowInvitesFrom, set[str]] = {
    AllowInvitesFrom.NONE: set(),
    AllowInvitesFrom.ADMINS_AND_GUEST_INVITERS: {"john", "inviter", "guest inviter"},
    AllowInvitesFrom.ADMINS_GUEST_INVITERS_AND_ALL_MEMBERS: EVERYBODY - {"otto"},
    AllowInvitesFrom.EVERYONE: EVERYBODY,
}


@pytest.mark.parametrize("policy", list(MAY))
@pytest.mark.parametrize("role", sorted(EVERYBODY))
def test_who_may_invite_is_the_same_at_every_door(
    app: Flask, cast: Cast, clock: Clock, john: Browser, adele: Browser, otto: Browser,
    policy: AllowInvitesFrom, role: str,
) -> None:  # fmt: skip
    """INV-6: policy × role × (portal form, My Apps form, resend); absent, and 403 when forced"""
    otto_id = otto_here(app, cast)
    browser, user_id = {
        "john": (john, cast.john), "inviter": (adele, cast.adele), "adele": (adele, cast.adele),
        "otto": (otto, otto_id), "guest inviter": (otto, otto_id),
    }[role]  # fmt: skip
    with app.app_context(), worker.transaction() as session:
        if "inviter" in role:
            factories.give_role(session, cast.woodgrove, user_id, Role.GUEST_INVITER, clock.now)
    own = invite_by(app, cast, clock, user_id, "own@partner.example")
    with app.app_context(), worker.transaction() as session:
        factories.set_policy(session, cast.woodgrove, allow_invites_from=policy)
    may = role in MAY[policy]
    token = csrf_of(browser, "/profile")

    def count() -> int:
        with app.app_context():
            found = db.session.execute(select(func.count()).select_from(Invitation)).scalar_one()
            db.session.remove()
            return found

    for number, path in enumerate(("/admin/users/invite", "/myapps/people/invite")):
        in_portal_at_all = role != "otto" or path.startswith("/myapps")
        before = count()
        page = browser.get(path)
        assert (page.status == 200) is (may and in_portal_at_all), path
        data = {"csrf_token": token, "addresses": f"new{number}@partner.example",
                "language": "", "delivery": "mail", "user_type": "Guest"}  # fmt: skip
        page = browser.post(path, data)
        assert (page.status == 200) is (may and in_portal_at_all), page.text[:200]
        if not (may and in_portal_at_all):
            assert page.status == 403
        assert count() - before == (1 if may and in_portal_at_all else 0), path
    page = browser.get(f"/myapps/people/{own}")
    assert bool(page.soup.select("main form[action$='/resend']")) is may
    page = browser.post(f"/myapps/people/{own}/resend", {"csrf_token": token})
    assert page.status == (200 if may else 403)
    assert of(app, cast, own).version == (2 if may else 1)


def test_everything_done_is_in_the_audit_log(
    app: Flask, cast: Cast, clock: Clock, john: Browser, sam: UUID
) -> None:
    """audit-reporting.md: who, what and, for an extension, from when to when"""
    clock.advance(days=1)
    john.sign_in("john.doe@woodgrove.example", cast.password)
    for do in ("extend", "resend", "cancel"):
        press(john.get(f"/admin/invitations/selected?do={do}&id={sam}"))
    with app.app_context():
        found = db.session.execute(
            select(AuditEvent.activity, AuditEvent.actor_name, AuditEvent.changes)
            .where(AuditEvent.target_id == sam)
            .order_by(AuditEvent.sequence.desc())
            .limit(3)
        ).all()
        db.session.remove()
    assert [(row.activity, row.actor_name) for row in reversed(found)] == [
        ("Extend invitation", "John Doe"),
        ("Resend invitation", "John Doe"),
        ("Cancel invitation", "John Doe"),
    ]
    assert found[2].changes == [
        {"property": "ValidUntil", "before": "2026-12-21T09:00:00+00:00",
         "after": "2026-12-22T09:00:00+00:00"},
    ]  # fmt: skip


def test_each_activity_and_each_letter_is_told_in_words(app: Flask) -> None:
    """audit-reporting.md: the log's names stay as they are; people are told what they mean"""
    from b2b.services.audit import Activity
    from b2b.web.admin import timeline

    with app.test_request_context("/"):
        said = {activity: timeline.activity_words(activity) for activity in Activity}
    same = {activity for activity, words in said.items() if words == activity}
    assert same == set()
    assert len(set(said.values())) == len(Activity), "no two in the same words"


def test_the_story_of_an_invitation_is_told_newest_first(
    app: Flask, cast: Cast, clock: Clock, john: Browser
) -> None:
    with app.app_context(), worker.transaction() as session:
        sam = factories.invite(session, cast, clock.now, cc_address="boss@partner.example").user_id
        session.execute(update(OutboxMessage).values(state=MailState.SENT, settled_at=clock.now))
    for do in ("extend", "resend", "cancel"):
        clock.advance(minutes=1)
        press(john.get(f"/admin/invitations/selected?do={do}&id={sam}"))
    page = john.get(f"/admin/users/{sam}")
    told = [" ".join(p.get_text().split()) for p in page.soup.select(".timeline li p:first-child")]
    assert [words.partition(" The ")[0] for words in told[:4]] == [
        "Mail cancelled", "Invitation cancelled", "Invitation sent again", "Invitation extended",
    ]  # fmt: skip
    assert "Mail sent to the mail server The copy of the invitation · boss@partner.example" in told
    assert f"Mail sent to the mail server The invitation · {SAM}" in told
