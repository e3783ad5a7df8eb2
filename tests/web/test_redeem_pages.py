"""Redeeming through the pages: unusable links, scanners, wrong accounts, and every ending."""

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from sqlalchemy import select, update

from b2b import worker
from b2b.extensions import db
from b2b.models import DomainList, Identity, Invitation, OutboxMessage, Tenant, User
from b2b.services import deleted_users, invitation_handling, invitations, users
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import Clock, Mailroom
from tests.factories import SAM
from tests.letters import code_in
from tests.pages import ORIGIN, Browser, Page
from tests.web.test_every_route import assert_secured, csrf_of, masked

OTTO = "otto.brandt@contoso.example"
UNUSABLE = "This link cannot be used"


def invite(app: Flask, cast: Cast, clock: Clock, address: str = SAM, **facts: Any) -> UUID:
    with app.app_context(), worker.transaction() as session:
        return factories.invite(session, cast, clock.now, address, **facts).user_id


def link(app: Flask, cast: Cast, user_id: UUID) -> str:
    with app.app_context():
        found = factories.link_of(db.session(), cast.woodgrove, user_id)
        db.session.remove()
        return found


def bound(app: Flask) -> list[tuple[str, UUID]]:
    with app.app_context():
        rows = db.session.execute(select(Identity.label, Identity.user_id)).all()
        db.session.remove()
        return [(row.label, row.user_id) for row in rows]


def otto_signs_in(app: Flask, cast: Cast, url: str) -> Page:
    """Otto follows his link and proves that he is Otto; what comes then."""
    page = Browser(app).get(url).submit("/redeem/start")
    assert page.path == "/signin/password"
    return page.submit(password=cast.password)


# Links that cannot be used -----------------------------------------------------------------------


def test_unknown_altered_superseded_cancelled_and_foreign_links_show_the_same_page(
    app: Flask, cast: Cast, clock: Clock
) -> None:
    """RED-1: response identical for the unknown kinds"""
    user_id = invite(app, cast, clock)
    good = link(app, cast, user_id)
    ticket = good.partition("ticket%3d")[2].partition("%26")[0]
    with app.app_context():
        invitation_id = str(factories.invitation_of(db.session(), cast.woodgrove, user_id).id)
        db.session.remove()
    bad = {
        "altered": good.replace(ticket, ("A" if ticket[0] != "A" else "B") + ticket[1:]),
        "unknown invitation": good.replace(invitation_id, str(uuid4())),
        "another tenant": good.replace(str(cast.woodgrove), str(cast.contoso)),
        "unknown tenant": good.replace(str(cast.woodgrove), str(uuid4())),
        "cut off": good[:-30],
        "no link": "/redeem?rd=hello",
        "empty": "/redeem?rd=",
        "elsewhere": "/redeem?rd=https%3a%2f%2fevil.example%2fredeem%2f",
        "no ticket": "/redeem",
        "inner, altered": "/redeem/?tenant=x&user=y&ticket=z&ver=2.0",
    }
    assert Browser(app).get(good).status == 200
    with app.app_context(), worker.transaction() as session:
        john = acting(session, cast.woodgrove, cast.john, clock.now)
        invitation_handling.resend(session, john, user_id)
    bad["superseded"] = good
    pages = {name: Browser(app).get(url) for name, url in bad.items()}
    with app.app_context(), worker.transaction() as session:
        session.execute(update(Invitation).values(cancelled_at=clock.now))
    pages["cancelled"] = Browser(app).get(link(app, cast, user_id))
    with app.app_context(), worker.transaction() as session:
        session.execute(update(Invitation).values(cancelled_at=None))
        deleted_users.remove(
            session, acting(session, cast.woodgrove, cast.john, clock.now), user_id
        )
    pages["of a deleted person"] = Browser(app).get(link(app, cast, user_id))
    shown = {masked(page.response.get_data(as_text=True)) for page in pages.values()}
    assert {page.status for page in pages.values()} == {404}
    assert {page.url for page in pages.values()} == {f"{ORIGIN}/redeem"}
    assert len(shown) == 1
    for page in pages.values():
        assert page.h1 == UNUSABLE
        assert "gmail" not in page.response.get_data(as_text=True)
        assert "WoodGrove" not in page.response.get_data(as_text=True)


def test_the_secret_leaves_the_address_bar_at_once(app: Flask, cast: Cast, clock: Clock) -> None:
    """RED-6: first GET keeps a hash in the session and goes to a clean address"""
    url = link(app, cast, invite(app, cast, clock))
    ticket = url.partition("ticket%3d")[2].partition("%26")[0]
    client = app.test_client()
    first = client.get(url.removeprefix(ORIGIN), base_url=ORIGIN)
    assert first.status_code == 303
    assert first.headers["Location"] == "/redeem"
    assert_secured(first, "redirect")
    cookies = " ".join(first.headers.getlist("Set-Cookie"))
    assert ticket not in cookies
    page = client.get("/redeem", base_url=ORIGIN)
    assert_secured(page, "landing")
    assert ticket not in page.get_data(as_text=True)


def test_the_landing_page_fetches_nothing_from_elsewhere_and_shows_no_address(
    app: Flask, cast: Cast, clock: Clock
) -> None:
    """RED-6, RED-1"""
    page = Browser(app).get(link(app, cast, invite(app, cast, clock, message="Hi Sam")))
    assert page.path == "/redeem"
    html = page.response.get_data(as_text=True)
    assert SAM not in html
    assert "g•••e@g•••.com" in html
    for tag in page.soup.select("[src], link[href]"):
        target = str(tag.get("src") or tag.get("href"))
        assert target.startswith(("/static/", "/brand/", "data:")), target


def test_a_mail_program_that_unwraps_the_link_gets_to_the_same_page(
    app: Flask, cast: Cast, clock: Clock
) -> None:
    """invitations.md, 5"""
    url = link(app, cast, invite(app, cast, clock))
    assert "WoodGrove" in Browser(app).get(factories.rd_of(url)).h1


def test_scanners_that_fetch_the_link_fifty_times_change_nothing(
    app: Flask, cast: Cast, clock: Clock, mailroom: Mailroom
) -> None:
    """RED-2: 50 GETs and HEADs, then the real guest redeems"""
    user_id = invite(app, cast, clock, OTTO)
    url = link(app, cast, user_id)

    def row() -> dict[str, Any]:
        with app.app_context():
            found = factories.invitation_of(db.session(), cast.woodgrove, user_id)
            columns = {c.key: getattr(found, c.key) for c in Invitation.__table__.columns}
            db.session.remove()
            return columns

    before = row()
    scanner = app.test_client()
    for number in range(50):
        for path in (url.removeprefix(ORIGIN), "/redeem", "/redeem/review", "/redeem/declined"):
            method = "HEAD" if number % 2 else "GET"
            scanner.open(path, method=method, base_url=ORIGIN)
        for path in ("/redeem/start", "/redeem/accept", "/redeem/decline", "/redeem/ask"):
            assert scanner.get(path, base_url=ORIGIN).status_code == 405
    assert row() == before
    page = otto_signs_in(app, cast, url)
    assert page.path == "/redeem/review"
    assert page.submit("/redeem/accept").path == "/profile"
    assert [user for _, user in bound(app)] == [user_id]


def test_nothing_on_the_way_is_sent_by_itself(app: Flask, cast: Cast, clock: Clock) -> None:
    """RED-2: also safe if a scanner runs scripts"""
    browser = Browser(app)
    url = link(app, cast, invite(app, cast, clock, OTTO))
    landing = browser.get(url)
    password = landing.submit("/redeem/start")
    review = password.submit(password=cast.password)
    for page in (landing, password, review):
        assert not page.soup.select("form[data-autosubmit]"), page.url
        assert not page.soup.select("meta[http-equiv=refresh]"), page.url
        assert not page.soup.select("[autofocus]"), "ADM-4: no consent button focused on load"


# Who may -----------------------------------------------------------------------------------------


def test_a_signed_in_member_who_opens_somebodys_link_is_shown_both_accounts_and_not_redeemed(
    app: Flask, cast: Cast, clock: Clock, john: Browser
) -> None:
    """RED-8, RED-3"""
    user_id = invite(app, cast, clock)
    page = john.get(link(app, cast, user_id))
    assert page.status == 403
    assert page.h1 == "This invitation is for another account"
    assert "john.doe@woodgrove.example" in page.text
    assert "g•••e@g•••.com" in page.text
    assert SAM not in page.response.get_data(as_text=True)
    token = csrf_of(john, "/redeem")
    for path in ("/redeem/accept", "/redeem/decline", "/redeem/start"):
        assert john.post(path, {"csrf_token": token}).status == 403
    assert bound(app) == []
    assert john.get("/admin").status == 200, "still John"
    john.get(link(app, cast, user_id))
    switched = john.get("/redeem").submit("/redeem/switch")
    assert switched.path == "/redeem"
    assert switched.status == 200
    assert john.get("/admin").path == "/signin"


def test_a_holder_of_the_link_with_another_mailbox_gets_nowhere(
    app: Flask, cast: Cast, clock: Clock, mailroom: Mailroom
) -> None:
    """RED-3: holding a link proves nothing"""
    user_id = invite(app, cast, clock)
    eve = Browser(app)
    page = eve.get(link(app, cast, user_id)).submit("/redeem/start")
    assert page.path == "/signin/code"
    assert page.submit("/signin/code", code="1234 5678").errors
    for path in ("/redeem/review", "/myapps", "/profile", "/admin"):
        assert eve.get(path).path in ("/redeem", "/signin")
    token = csrf_of(eve, "/redeem")
    eve.post("/redeem/accept", {"csrf_token": token})
    eve.post("/signin/account", {"csrf_token": token, "given_name": "Eve", "password": "x" * 20})
    assert bound(app) == []
    mailroom.deliver()
    assert mailroom.sources("eve@evil.example") == []
    assert len(mailroom.sources(SAM)) == 2, "the code goes to the invited address alone"


def test_a_code_for_signing_in_is_no_code_for_redeeming(
    app: Flask, cast: Cast, clock: Clock, mailroom: Mailroom
) -> None:
    """SIGN-3: bound to the purpose"""
    first = invite(app, cast, clock, "sam@partner.example")
    with app.app_context(), worker.transaction() as session:
        otto = acting(session, cast.contoso, cast.otto, clock.now)
        there = invitations.invite(session, otto, address="sam@partner.example")
        other = factories.link_of(session, cast.contoso, there.user_id)
    mailroom.deliver()  # so that the code is the newest mail
    browser = Browser(app)
    page = browser.get(link(app, cast, first)).submit("/redeem/start")
    mailroom.deliver()
    code = code_in(mailroom.sources("sam@partner.example")[-1])
    page = browser.get(other).submit("/redeem/start")
    mailroom.deliver()
    page = page.submit("/signin/code", code=code)
    assert page.errors == ["That is not the code in the newest mail."]
    assert bound(app) == []


# Ways it can end ---------------------------------------------------------------------------------

BETWEEN = ["resent", "cancelled", "deleted", "blocked", "domain blocked", "expired"]


@pytest.mark.parametrize("when", ["before accepting", "before signing in", "before landing"])
@pytest.mark.parametrize("transition", BETWEEN)
def test_what_happens_meanwhile_stops_the_guest_at_the_next_step(
    app: Flask, cast: Cast, clock: Clock, transition: str, when: str
) -> None:
    """RED-5: state checked on landing and on accept"""
    user_id = invite(app, cast, clock, OTTO)
    url = link(app, cast, user_id)
    browser = Browser(app)
    page = browser.get("/" if when == "before landing" else url)
    if when == "before accepting":
        page = page.submit("/redeem/start").submit(password=cast.password)
        assert page.path == "/redeem/review"
    with app.app_context(), worker.transaction() as session:
        john = acting(session, cast.woodgrove, cast.john, clock.now)
        if transition == "resent":
            invitation_handling.resend(session, john, user_id)
        elif transition == "cancelled":
            session.execute(update(Invitation).values(cancelled_at=clock.now))
        elif transition == "deleted":
            deleted_users.remove(session, john, user_id)
        elif transition == "blocked":
            users.block(session, john, user_id)
        elif transition == "domain blocked":
            factories.set_policy(
                session, cast.woodgrove, domain_list=DomainList.BLOCK, domains=["contoso.example"]
            )
    if transition == "expired":
        clock.advance(hours=7)
        with app.app_context(), worker.transaction() as session:
            session.execute(
                update(Invitation).values(valid_from=clock.now.replace(year=clock.now.year - 1))
            )
    if when == "before landing":
        page = browser.get(url)
    elif when == "before signing in":
        page = page.submit("/redeem/start")
    else:
        page = page.submit("/redeem/accept")
    expected = {
        "resent": UNUSABLE,
        "cancelled": UNUSABLE,
        "deleted": UNUSABLE,
        "blocked": "WoodGrove has blocked this account",
        "domain blocked": "WoodGrove does not take guests from your domain",
        "expired": "This invitation has expired",
    }
    assert page.h1 == expected[transition], page.text[:300]
    assert bound(app) == []
    with app.app_context():
        user = db.session.get_one(User, (cast.woodgrove, user_id))
        assert user.is_pending
        db.session.remove()


def test_an_expired_link_says_so_to_its_holder_and_the_inviter_can_be_asked(
    app: Flask, cast: Cast, clock: Clock, mailroom: Mailroom
) -> None:
    """RED-1, decisions.md, expiry"""
    url = link(app, cast, invite(app, cast, clock))
    mailroom.deliver()
    clock.advance(days=31)
    page = Browser(app).get(url)
    assert page.h1 == "This invitation has expired"
    assert SAM not in page.response.get_data(as_text=True)
    asked = page.submit("/redeem/ask", note="Please, <b>John</b>")
    assert "John Doe was asked." in asked.text
    again = asked.submit("/redeem/ask", note="Again")
    assert "John Doe was asked already." in again.text
    mailroom.deliver()
    letters = mailroom.sources("john.doe@woodgrove.example")
    assert len(letters) == 1
    too_long = again.submit("/redeem/ask", note="n" * 501)
    assert len(mailroom.sources("john.doe@woodgrove.example")) == 1
    assert too_long.status == 200


def test_accepting_twice_is_accepting_once(app: Flask, cast: Cast, clock: Clock) -> None:
    """RED-4: double click, replay of the POST"""
    url = link(app, cast, invite(app, cast, clock, OTTO))
    review = otto_signs_in(app, cast, url)
    accepted = review.submit("/redeem/accept")
    assert accepted.path == "/profile"
    token = csrf_of(accepted.browser, "/profile")
    again = accepted.browser.post("/redeem/accept", {"csrf_token": token})
    assert again.path == "/myapps", "in already"
    assert len(bound(app)) == 1


def test_the_second_of_two_browsers_is_told_that_it_was_accepted_already(
    app: Flask, cast: Cast, clock: Clock
) -> None:
    """RED-4: first wins, the second may sign in"""
    url = link(app, cast, invite(app, cast, clock, OTTO))
    first, second = otto_signs_in(app, cast, url), otto_signs_in(app, cast, url)
    assert first.submit("/redeem/accept").path == "/profile"
    late = second.submit("/redeem/accept")
    assert late.status in (200, 409)
    assert "accepted already" in late.text or late.path in ("/redeem", "/profile")
    assert len(bound(app)) == 1


def test_a_used_link_leads_its_own_guest_back_in_and_nobody_else(
    app: Flask, cast: Cast, clock: Clock, adele: Browser
) -> None:
    """decisions.md, used link"""
    url = link(app, cast, invite(app, cast, clock, OTTO))
    otto_signs_in(app, cast, url).submit("/redeem/accept")
    page = adele.get(url)
    assert page.status == 403
    assert page.h1 == "This invitation is for another account"
    stranger = Browser(app).get(url)
    assert stranger.status == 200
    assert "You have accepted already" in stranger.text
    back = stranger.submit("/redeem/start").submit(password=cast.password)
    assert back.path == "/myapps"
    assert "WoodGrove" in back.response.get_data(as_text=True)


def test_after_cancelling_the_same_link_works_again(app: Flask, cast: Cast, clock: Clock) -> None:
    """decisions.md, decline"""
    url = link(app, cast, invite(app, cast, clock, OTTO))
    review = otto_signs_in(app, cast, url)
    declined = review.submit("/redeem/decline")
    assert declined.path == "/redeem/declined"
    assert bound(app) == []
    assert declined.browser.get("/myapps").path == "/signin", "nothing is shared"
    again = otto_signs_in(app, cast, url)
    assert again.submit("/redeem/accept").path == "/profile"
    assert len(bound(app)) == 1


def test_somebody_with_two_addresses_is_told_that_he_is_in_already(
    app: Flask, cast: Cast, clock: Clock, mailroom: Mailroom
) -> None:
    """redemption.md, 6: two mails to two aliases of one account"""
    with app.app_context(), worker.transaction() as session:
        first = factories.invite(session, cast, clock.now, "sam@partner.example")
        proven = frozenset({"sam@partner.example"})
        alias = replace(factories.by_code("sam@gmail.com"), proven=proven)
        factories.accept(session, cast, first, clock.now, alias)
    second = invite(app, cast, clock, "sam@gmail.com")
    mailroom.deliver()
    page = Browser(app).get(link(app, cast, second)).submit("/redeem/start")
    mailroom.deliver()
    page = page.submit("/signin/code", code=code_in(mailroom.sources("sam@gmail.com")[-1]))
    page = page.submit("/signin/account/skip")
    assert page.path == "/redeem/review"
    page = page.submit("/redeem/accept")
    assert page.status == 409
    assert "has access to WoodGrove already, under another address" in page.text
    with app.app_context():
        assert db.session.get_one(User, (cast.woodgrove, second)).is_pending
        db.session.remove()


def test_the_guest_is_sent_on_to_the_page_that_the_tenant_allows_and_told_its_host(
    app: Flask, cast: Cast, clock: Clock
) -> None:
    """INV-2: the last page before leaving names the host"""
    user_id = invite(
        app, cast, clock, OTTO, redirect_url="https://projects.woodgrove.example/start?a=1"
    )
    profile = otto_signs_in(app, cast, link(app, cast, user_id)).submit("/redeem/accept")
    assert profile.path == "/profile"
    left = profile.submit("/profile/skip")
    assert left.url == "https://projects.woodgrove.example/start?a=1"


def test_links_are_made_of_our_own_address_whatever_the_request_says(
    app: Flask, cast: Cast, clock: Clock, john: Browser, mailroom: Mailroom
) -> None:
    """MAIL-4: forged Host, X-Forwarded-Host and Forwarded"""
    token = csrf_of(john, "/admin/users/invite")
    page = john.post(
        "/admin/users/invite",
        {"csrf_token": token, "addresses": SAM, "language": ""},
        headers={
            "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https",
            "Forwarded": "host=evil.example;proto=https", "X-Original-URL": "/evil",
            "X-Forwarded-Prefix": "/evil",
        },
    )  # fmt: skip
    assert page.status == 200, page.text[:300]
    refused = john.client.post(
        "/admin/users/invite", base_url="http://evil.example:5000",
        data={"csrf_token": token, "addresses": "eve@partner.example"},
    )  # fmt: skip
    assert refused.status_code == 400
    assert mailroom.deliver().sent == 1
    [source] = mailroom.sources()
    assert b"evil.example" not in source
    assert b"http://localhost:5000/redeem?rd=" in source.replace(b"=\r\n", b"").replace(
        b"=3D", b"="
    )


def test_a_tenants_privacy_statement_or_its_absence_is_shown_before_consent(
    app: Flask, cast: Cast, clock: Clock
) -> None:
    """redemption.md, 4: names organisation and domain, privacy statement or a note"""
    page = otto_signs_in(app, cast, link(app, cast, invite(app, cast, clock, OTTO)))
    assert page.h1 == "Review permissions"
    assert "woodgrove.example" in page.text
    assert "WoodGrove has not given a privacy statement." in page.text
    with app.app_context(), worker.transaction() as session:
        session.execute(
            update(Tenant)
            .where(Tenant.id == cast.woodgrove)
            .values(privacy_url="https://woodgrove.example/privacy")
        )
    page = page.browser.get("/redeem/review")
    assert page.soup.select_one('a[href="https://woodgrove.example/privacy"]')


def test_no_link_and_no_code_lies_in_the_database_after_a_redemption_under_way(
    app: Flask, cast: Cast, clock: Clock, mailroom: Mailroom
) -> None:
    """MAIL-5: the outbox, sent or not, tells nobody"""
    user_id = invite(app, cast, clock)
    url = link(app, cast, user_id)
    ticket = url.partition("ticket%3d")[2].partition("%26")[0]
    Browser(app).get(url).submit("/redeem/start")
    mailroom.deliver()
    code = code_in(mailroom.sources(SAM)[-1]).replace(" ", "")
    with app.app_context():
        rows = db.session.execute(select(OutboxMessage.__table__)).all()
        db.session.remove()
    text = repr(rows)
    assert len(rows) == 2
    assert ticket not in text
    assert code not in text
