"""Ways in without the mail: direct links, the organisation by its domain, another way to sign
in.
"""

from uuid import UUID, uuid4

import pytest
from flask import Flask
from sqlalchemy import update

from b2b import worker
from b2b.extensions import db
from b2b.models import AllowInvitesFrom, DomainList, Invitation, User
from b2b.services import deleted_users, users
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import Clock, Mailroom
from tests.letters import code_in
from tests.pages import Browser, Page

OTTO = "otto.brandt@contoso.example"
SAM = "gsamoogle@gmail.com"
WORK = "sam@partner.example"


def invite(app: Flask, cast: Cast, clock: Clock, address: str) -> UUID:
    with app.app_context(), worker.transaction() as session:
        return factories.invite(session, cast, clock.now, address).user_id


def link(app: Flask, cast: Cast, user_id: UUID) -> str:
    with app.app_context():
        found = factories.link_of(db.session(), cast.woodgrove, user_id)
        db.session.remove()
        return found


def user(app: Flask, cast: Cast, user_id: UUID) -> User:
    with app.app_context():
        found = db.session.get_one(User, (cast.woodgrove, user_id))
        db.session.expunge_all()
        db.session.remove()
        return found


def signs_in(page: Page, cast: Cast, address: str = OTTO) -> Page:
    assert page.path == "/signin", page.text
    return page.submit(address=address).submit(password=cast.password)


@pytest.mark.parametrize("way", ["id", "domain", "options"])
def test_a_pending_guest_redeems_by_a_direct_link_without_the_mail(
    app: Flask, cast: Cast, clock: Clock, way: str
) -> None:
    """redemption.md, 1: sign in, consent, Accepted; decisions.md: the same rule"""
    user_id = invite(app, cast, clock, OTTO)
    browser = Browser(app)
    if way == "options":
        page = browser.get("/signin").follow("Sign in to an organisation")
        page = page.submit(domain="WoodGrove.example")
    else:
        asked = {"id": f"?tenantid={cast.woodgrove}", "domain": "/woodgrove.example"}
        page = browser.get("/myapps" + asked[way])
    assert "To continue to WoodGrove" in page.text
    page = signs_in(page, cast)
    assert page.path == "/redeem/review"
    assert user(app, cast, user_id).is_pending, "looking accepts nothing"
    page = page.submit("/redeem/accept")
    assert page.path == "/profile"
    assert page.submit("/profile/skip").path == "/myapps"
    assert not user(app, cast, user_id).is_pending
    assert browser.get("/myapps").title == "Apps – My Apps, WoodGrove"


def test_a_mailed_code_is_proof_enough_on_the_direct_link(
    app: Flask, cast: Cast, clock: Clock, mailroom: Mailroom
) -> None:
    """decisions.md, who may redeem (iv)"""
    user_id = invite(app, cast, clock, WORK)
    mailroom.deliver()
    browser = Browser(app)
    page = browser.get("/myapps/woodgrove.example").submit(address=WORK)
    page = page.submit("/signin/code/send")
    mailroom.deliver()
    page = page.submit("/signin/code", code=code_in(mailroom.sources(WORK)[-1]))
    assert page.path == "/redeem/review"
    assert page.submit("/redeem/accept").path == "/profile"
    assert not user(app, cast, user_id).is_pending


def test_a_new_personal_account_is_made_on_the_way_of_a_direct_link(
    app: Flask, cast: Cast, clock: Clock, mailroom: Mailroom
) -> None:
    user_id = invite(app, cast, clock, SAM)
    mailroom.deliver()
    page = Browser(app).get(f"/myapps?tenantid={cast.woodgrove}").submit(address=SAM)
    page = page.submit("/signin/code/send")
    mailroom.deliver()
    page = page.submit("/signin/code", code=code_in(mailroom.sources(SAM)[-1]))
    assert page.path == "/signin/account"
    page = page.submit("/signin/account", given_name="Sam", password="a phrase of Sam’s own")
    assert page.path == "/redeem/review", page.text
    assert page.submit("/redeem/accept").path == "/profile"
    assert user(app, cast, user_id).source == "Microsoft Account"


def test_no_code_goes_round_a_directory_and_none_to_strangers(
    app: Flask, cast: Cast, clock: Clock, mailroom: Mailroom
) -> None:
    """SIGN-2: the page says the same to everybody; the mail goes only where it leads somewhere"""
    invite(app, cast, clock, OTTO)
    mailroom.deliver()
    said = set()
    for address in (OTTO, "stranger@partner.example"):
        page = Browser(app).get("/myapps/woodgrove.example").submit(address=address)
        token = str(page.soup.select_one("input[name=csrf_token]")["value"])  # type: ignore[index]
        page = page.browser.post("/signin/code/send", {"csrf_token": token})
        said.add(page.text.replace(address, "X"))
    assert len(said) == 1
    mailroom.deliver()
    assert len(mailroom.sources(OTTO)) == 1, "the invitation alone"
    assert mailroom.sources("stranger@partner.example") == []


@pytest.mark.parametrize(
    ("state", "heading"),
    [
        ("cancelled", "No access with this account"),
        ("deleted", "No access with this account"),
        ("blocked", "WoodGrove has blocked this account"),
        ("domain blocked", "WoodGrove does not take guests from your domain"),
        ("expired", "This invitation has expired"),
    ],
)
def test_a_direct_link_opens_no_more_than_the_mails(
    app: Flask, cast: Cast, clock: Clock, state: str, heading: str
) -> None:
    """RED-5; decisions.md: expiry and cancelling stop the direct link too"""
    user_id = invite(app, cast, clock, OTTO)
    with app.app_context(), worker.transaction() as session:
        john = acting(session, cast.woodgrove, cast.john, clock.now)
        if state == "cancelled":
            session.execute(update(Invitation).values(cancelled_at=clock.now))
        elif state == "deleted":
            deleted_users.remove(session, john, user_id)
        elif state == "blocked":
            users.block(session, john, user_id)
        elif state == "domain blocked":
            factories.set_policy(
                session, cast.woodgrove, domain_list=DomainList.BLOCK, domains=["contoso.example"]
            )
    if state == "expired":
        clock.advance(days=31)
    page = signs_in(Browser(app).get("/myapps/woodgrove.example"), cast)
    assert page.h1 == heading
    assert page.status in (200, 403, 409)
    assert user(app, cast, user_id).is_pending


def test_somebody_else_gets_nothing_by_the_direct_link(
    app: Flask, cast: Cast, clock: Clock, adele: Browser
) -> None:
    """RED-3, ADM-3: an organisation that invited another looks like an unknown one"""
    with app.app_context(), worker.transaction() as session:
        otto = acting(session, cast.contoso, cast.otto, clock.now)
        from b2b.services import invitations

        invitations.invite(session, otto, address=WORK)
    for tenant in (cast.contoso, uuid4()):
        page = adele.get(f"/myapps?tenantid={tenant}")
        assert (page.status, page.h1) == (409, "No access with this account")
        assert "adele.vance@woodgrove.example" in page.text
        assert "Contoso" not in page.text
        assert "AADSTS50020" in page.text


@pytest.mark.parametrize("typed", ["nowhere.example", "not a domain", "a\0b.example"])
def test_an_unknown_organisation_is_an_error_beside_its_field(
    app: Flask, cast: Cast, typed: str
) -> None:
    page = Browser(app).get("/signin/organisation").submit(domain=typed)
    assert page.path == "/signin/organisation"
    assert page.errors
    assert page.title.startswith("Error:")


# Another way -------------------------------------------------------------------------------------


def test_a_work_address_may_make_a_personal_account_instead_of_codes(
    app: Flask, cast: Cast, clock: Clock, mailroom: Mailroom
) -> None:
    """redemption.md, 2: the code that was sent before stays good"""
    user_id = invite(app, cast, clock, WORK)
    mailroom.deliver()
    page = Browser(app).get(link(app, cast, user_id)).submit("/redeem/start")
    mailroom.deliver()
    code = code_in(mailroom.sources(WORK)[-1])
    page = page.submit("/signin/way")
    assert page.path == "/signin/code"
    mailroom.deliver()
    assert len(mailroom.sources(WORK)) == 2, "no second code"
    page = page.submit("/signin/code", code=code)
    assert page.path == "/signin/account"
    page = page.submit("/signin/account", given_name="Sam", password="a phrase of Sam’s own")
    assert page.submit("/redeem/accept").path == "/profile"
    assert user(app, cast, user_id).source == "Microsoft Account"


def test_a_personal_address_may_stay_with_codes_from_the_start(
    app: Flask, cast: Cast, clock: Clock, mailroom: Mailroom
) -> None:
    user_id = invite(app, cast, clock, SAM)
    mailroom.deliver()
    page = Browser(app).get(link(app, cast, user_id)).submit("/redeem/start")
    page = page.submit("/signin/way")
    mailroom.deliver()
    page = page.submit("/signin/code", code=code_in(mailroom.sources(SAM)[-1]))
    assert page.path == "/redeem/review"
    assert page.submit("/redeem/accept").path == "/profile"
    assert user(app, cast, user_id).source == "Email one-time passcode"


@pytest.mark.parametrize("method", ["passcode", "personal new", "personal password", "x"])
def test_who_has_a_directory_has_no_other_way(
    app: Flask, cast: Cast, clock: Clock, mailroom: Mailroom, method: str
) -> None:
    """decisions.md, who may redeem: a code only otherwise"""
    user_id = invite(app, cast, clock, OTTO)
    page = Browser(app).get(link(app, cast, user_id)).submit("/redeem/start")
    assert "Sign in another way" not in page.text
    token = str(page.soup.select_one("input[name=csrf_token]")["value"])  # type: ignore[index]
    for path in ("/signin/way", "/signin/code/send", "/signin/code"):
        data = {"csrf_token": token, "method": method, "code": "1234 5678"}
        assert page.browser.post(path, data).path == "/signin/password"
    mailroom.deliver()
    assert len(mailroom.sources(OTTO)) == 1, "the invitation alone"


# Whom one can ask --------------------------------------------------------------------------------


def test_when_the_inviter_is_gone_somebody_else_is_asked_and_told(
    app: Flask, cast: Cast, clock: Clock, mailroom: Mailroom
) -> None:
    """decisions.md, inviter deleted; RED-5: the invitation itself goes on working"""
    with app.app_context(), worker.transaction() as session:
        adele = acting(session, cast.woodgrove, cast.adele, clock.now)
        from b2b.services import invitations

        user_id = invitations.invite(session, adele, address=OTTO).user_id
    url = link(app, cast, user_id)
    with app.app_context(), worker.transaction() as session:
        deleted_users.remove(
            session, acting(session, cast.woodgrove, cast.john, clock.now), cast.adele
        )
    page = Browser(app).get(url)
    assert page.h1 == "Adele Vance invites you to WoodGrove"
    clock.advance(days=31)
    page = Browser(app).get(url)
    assert "John Doe of WoodGrove can send a new one" in page.text
    assert "John Doe was asked." in page.submit("/redeem/ask").text
    mailroom.deliver()
    clock.advance(days=-31)
    page = Browser(app).get(url).submit("/redeem/start").submit(password=cast.password)
    assert page.submit("/redeem/accept").path == "/profile"
    mailroom.deliver()
    assert len(mailroom.sources("john.doe@woodgrove.example")) == 2, "asked, and told"
    assert mailroom.sources("adele.vance@woodgrove.example") == []


def test_an_organisation_that_invites_nobody_cannot_be_asked_and_keeps_its_word(
    app: Flask, cast: Cast, clock: Clock
) -> None:
    """redemption.md, 6: what was sent before stays good"""
    user_id = invite(app, cast, clock, OTTO)
    url = link(app, cast, user_id)
    with app.app_context(), worker.transaction() as session:
        factories.set_policy(session, cast.woodgrove, allow_invites_from=AllowInvitesFrom.NONE)
    assert Browser(app).get(url).h1 == "John Doe invites you to WoodGrove"
    clock.advance(days=31)
    page = Browser(app).get(url)
    assert page.h1 == "This invitation has expired"
    assert "WoodGrove invites nobody at present" in page.text
    assert not page.soup.select("form[action='/redeem/ask']")
