"""My account: sessions, password, organisations and the way out of them."""

import re
from uuid import UUID

import pytest
from flask import Flask

from b2b import worker
from b2b.extensions import db
from b2b.models import User
from b2b.services import belonging, users
from b2b.web.account import browser_name
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import Clock
from tests.pages import ORIGIN, Browser

ADELE = "adele.vance@woodgrove.example"
OTTO = "otto.brandt@contoso.example"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
NEW = "a phrase that only Adele would write"


def otto_in_woodgrove(app: Flask, cast: Cast) -> User:
    with app.app_context():
        session = db.session()
        identity = factories.hosted(session, OTTO)

        place = belonging.place_in(session, identity, cast.woodgrove)
        found = session.get_one(User, (cast.woodgrove, place.user_id))
        session.expunge_all()
        db.session.remove()
        return found


# Sessions ----------------------------------------------------------------------------------------


def test_another_browser_is_signed_out_and_this_one_stays(
    app: Flask, cast: Cast, adele: Browser
) -> None:
    """SES-1: list of sessions, and the next click of the one that ended leads to signing in"""
    other = Browser(app)
    other.client.environ_base["HTTP_USER_AGENT"] = FIREFOX
    other.sign_in(ADELE, cast.password)
    page = adele.get("/account/sessions")
    assert page.h1 == "Where you are signed in"
    rows = page.soup.select("tbody tr")
    assert len(rows) == 2
    [firefox] = [row for row in rows if "Firefox on Linux" in row.get_text()]
    assert "127.0.0.1" in firefox.get_text()
    assert page.text.count("This browser") == 1
    page = page.submit("/end")
    assert "That browser is signed out." in page.text
    assert len(page.soup.select("tbody tr")) == 1
    assert other.get("/myapps").path == "/signin"
    assert adele.get("/admin").path == "/admin"


def test_nobody_ends_sessions_of_others(
    app: Flask, cast: Cast, adele: Browser, john: Browser
) -> None:
    """SES-1, ADM-3"""
    other = Browser(app).sign_in(ADELE, cast.password)
    page = adele.get("/account/sessions")
    [action] = [
        str(form["action"])
        for form in page.soup.select("form[action]")
        if re.fullmatch(r"/account/sessions/[0-9a-f-]{36}/end", str(form["action"]))
    ]
    token = str(john.get("/account/sessions").form("/end-all").select("input")[0]["value"])
    answer = john.post(action, {"csrf_token": token})
    assert "This session has ended already." in answer.text
    assert john.post("/account/sessions/x/end", {"csrf_token": token}).status == 404
    assert other.get("/admin").path == "/admin"


def test_signing_out_everywhere_signs_out_here_too(app: Flask, cast: Cast, adele: Browser) -> None:
    """SES-1"""
    other = Browser(app).sign_in(ADELE, cast.password)
    page = adele.get("/account/sessions").submit("/end-all")
    assert page.path == "/signedout"
    assert "in every browser" in page.text
    for browser in (adele, other):
        assert browser.get("/admin").path == "/signin"
    assert Browser(app).sign_in(ADELE, cast.password).get("/admin").status == 200


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        (FIREFOX, "Firefox on Linux"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Safari/604.1",
         "Safari on iPhone"),
        ("Mozilla/5.0 (Windows NT 10.0; Win64) Chrome/140.0 Safari/537.36 Edg/140.0",
         "Edge on Windows"),
        ("Mozilla/5.0 (Linux; Android 16) Chrome/140.0 Mobile Safari/537.36", "Chrome on Android"),
        ("curl/8.5.0", "curl"),
        ("<script>alert(1)</script>", "Unknown browser"),
        ("", "Unknown browser"),
        (None, "Unknown browser"),
    ],
)  # fmt: skip
def test_a_browser_is_called_what_people_call_it(
    app: Flask, user_agent: str | None, words: str
) -> None:
    with app.test_request_context(base_url=ORIGIN):
        assert browser_name(user_agent) == words


# Password ----------------------------------------------------------------------------------------


def test_a_new_password_signs_out_every_other_browser(
    app: Flask, cast: Cast, adele: Browser
) -> None:
    """SES-1: a new id here, everything else is over, and the old password is no good"""
    other = Browser(app).sign_in(ADELE, cast.password)
    before = adele.client.get_cookie("b2b_session", domain="localhost")
    page = adele.get("/account/sign-in").submit(
        current_password=cast.password, password=NEW, password_again=NEW
    )
    assert "Your password is changed." in page.text
    after = adele.client.get_cookie("b2b_session", domain="localhost")
    assert before is not None
    assert after is not None
    assert before.value != after.value
    assert adele.get("/admin").path == "/admin"
    assert other.get("/admin").path == "/signin"
    page = Browser(app).get("/signin").submit(address=ADELE).submit(password=cast.password)
    assert page.errors == ["That address or password is not right."]
    assert Browser(app).sign_in(ADELE, NEW)


@pytest.mark.parametrize(
    ("current", "new", "again", "error"),
    [
        ("wrong", NEW, NEW, "That is not your password."),
        ("", NEW, NEW, "Enter the password."),
        (None, "short", "short", "Use at least 12 characters."),
        (None, NEW, NEW + "!", "The two passwords are not alike."),
        (None, "password1234", "password1234",
         "This password is easy to guess. Choose another one."),
    ],
)  # fmt: skip
def test_a_password_is_changed_only_by_whoever_knows_it(
    app: Flask,
    cast: Cast,
    adele: Browser,
    current: str | None,
    new: str,
    again: str,
    error: str,
) -> None:
    """SES-1: an unlocked browser is not enough"""
    page = adele.get("/account/sign-in").submit(
        current_password=cast.password if current is None else current,
        password=new,
        password_again=again,
    )
    assert page.errors == [error]
    assert page.title.startswith("Error:")
    for secret in (new, cast.password):
        assert secret not in page.response.get_data(as_text=True)
    assert Browser(app).sign_in(ADELE, cast.password)


def test_guessing_the_current_password_is_counted(app: Flask, cast: Cast, adele: Browser) -> None:
    """SIGN-1: the eleventh try is refused even if it is right"""
    page = adele.get("/account/sign-in")
    for _ in range(10):
        page.submit(current_password="wrong", password=NEW, password_again=NEW)
    page = page.submit(current_password=cast.password, password=NEW, password_again=NEW)
    assert page.status == 429
    assert page.response.headers["Retry-After"]


def test_whoever_signs_in_elsewhere_or_by_codes_has_no_password_here(
    app: Flask, cast: Cast, otto: Browser
) -> None:
    page = otto.get("/account/sign-in")
    assert page.soup.select("input[name=current_password]"), "his account is hosted here"
    assert "Account of another directory" in page.text
    assert "WoodGrove never sees your password." in page.text


# Organisations -----------------------------------------------------------------------------------


def test_a_guest_leaves_and_home_goes_on(app: Flask, cast: Cast, otto: Browser) -> None:
    """redemption.md, 6: leave; SES-1"""
    elsewhere = Browser(app).sign_in(OTTO, cast.password)
    elsewhere.get(f"/myapps?tenantid={cast.woodgrove}")
    page = otto.get("/account/organisations")
    rows = {row.select("th b")[0].get_text(): row for row in page.soup.select("tbody tr")}
    assert set(rows) == {"Contoso", "WoodGrove"}
    assert not rows["Contoso"].select("a"), "home has no Leave"
    page = page.follow("Leave WoodGrove")
    assert page.h1 == "Leave WoodGrove?"
    wrong = page.submit(name="Contoso")
    assert wrong.errors == ["Type the name of the organisation as it is shown above."]
    assert otto_in_woodgrove(app, cast).deleted_at is None
    page = page.submit(name="WoodGrove")
    assert (page.path, page.h1) == ("/account/left", "You left WoodGrove")
    page = page.follow("Go to your other organisations")
    assert page.title == "Apps – My Apps, Contoso"
    assert otto.get("/myapps/woodgrove.example").h1 == "No access with this account"
    assert elsewhere.get("/myapps").path == "/signin"
    assert otto.get("/account/left").path == "/myapps", "said once"


def test_an_organisation_is_left_from_another_one(app: Flask, cast: Cast, otto: Browser) -> None:
    otto.get(f"/myapps?tenantid={cast.contoso}")
    path = f"/account/organisations/{cast.woodgrove}/leave"
    page = otto.get(path).submit(name="woodgrove")
    assert page.path == "/account/left"
    assert otto.get("/myapps").title == "Apps – My Apps, Contoso"


@pytest.mark.parametrize("why", ["policy", "blocked"])
def test_where_leaving_is_not_allowed_it_says_who_can_help(
    app: Flask, cast: Cast, clock: Clock, otto: Browser, why: str
) -> None:
    """redemption.md, 6"""
    user_id = otto_in_woodgrove(app, cast).id
    otto.get(f"/myapps?tenantid={cast.contoso}")
    path = f"/account/organisations/{cast.woodgrove}/leave"
    form = otto.get(path)
    with app.app_context(), worker.transaction() as session:
        if why == "policy":
            factories.set_policy(session, cast.woodgrove, guests_may_leave=False)
        else:
            users.block(session, acting(session, cast.woodgrove, cast.john, clock.now), user_id)
    page = form.submit(name="WoodGrove")
    expected = {
        "policy": "WoodGrove does not let guests leave by themselves.",
        "blocked": "WoodGrove has blocked your account there",
    }
    assert expected[why] in page.text
    assert not page.soup.select("input[name=name]")
    with app.app_context():
        assert db.session.get_one(User, (cast.woodgrove, user_id)).deleted_at is None
        db.session.remove()


def test_home_and_strange_organisations_cannot_be_left(
    app: Flask, cast: Cast, adele: Browser
) -> None:
    page = adele.get(f"/account/organisations/{cast.woodgrove}/leave")
    assert "so it cannot be left." in page.text
    answers = {
        adele.get(f"/account/organisations/{tenant}/leave").status
        for tenant in (cast.contoso, UUID(int=7), "x")
    }
    assert answers == {404}
