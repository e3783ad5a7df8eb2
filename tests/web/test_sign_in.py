"""Signing in through the pages: wrong secrets, lock-out, cookies, and where it leads."""

import time
from statistics import median
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from b2b import create_app, worker
from b2b.extensions import db
from b2b.models import OutboxMessage, SignIn, User
from b2b.services import deleted_users, users
from config import Config
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import Clock, Mailroom
from tests.letters import code_in
from tests.pages import ORIGIN, Browser, Page
from tests.web.test_every_route import csrf_of, masked

ADELE = "adele.vance@woodgrove.example"
SAM = "gsamoogle@gmail.com"
NOT_RIGHT = "That address or password is not right."


def password_page(browser: Browser, address: str = ADELE) -> Page:
    page = browser.get("/signin").submit(address=address)
    assert page.path == "/signin/password"
    return page


def cookie(browser: Browser, name: str = "b2b_session") -> str | None:
    found = browser.client.get_cookie(name, domain="localhost")
    return None if found is None else found.value


# Passwords ---------------------------------------------------------------------------------------


def test_a_wrong_password_is_told_beside_the_form_and_nobody_is_signed_in(
    app: Flask, cast: Cast, browser: Browser
) -> None:
    page = password_page(browser).submit(password="not the password")
    assert page.status == 200
    assert page.errors == [NOT_RIGHT]
    assert page.title.startswith("Error")
    assert cookie(browser) is None
    assert browser.get("/admin").path == "/signin"
    assert page.submit(password=cast.password).path == "/admin"


def test_an_empty_password_and_an_empty_address_are_asked_for(cast: Cast, browser: Browser) -> None:
    assert browser.get("/signin").submit(address="").errors == [
        "Enter one e-mail address, such as name@example.com."
    ]
    assert password_page(browser).submit(password="").errors == ["Enter the password."]


@pytest.mark.parametrize("typed", ["sam", "a@b@c", "sam@gmail.com\x00", "<script>@x.example", "@"])
def test_what_is_no_address_is_refused_and_kept(cast: Cast, browser: Browser, typed: str) -> None:
    """INV-1"""
    page = browser.get("/signin").submit(address=typed)
    assert page.path == "/signin"
    assert page.errors == ["Enter one e-mail address, such as name@example.com."]
    field = page.soup.select_one("input[name=address]")
    assert field is not None
    assert field["value"] == typed.replace("\x00", "\ufffd") or field["value"] == typed


def test_known_and_unknown_people_see_the_same_pages(
    app: Flask, cast: Cast, browser: Browser
) -> None:
    """SIGN-2: equal bytes after masking"""
    shown = []
    for address in (ADELE, "nobody.here@woodgrove.example"):
        page = password_page(Browser(app), address)
        wrong = page.submit(password="not the password")
        shown.append(
            [
                (
                    p.status,
                    masked(p.response.get_data(as_text=True), address),
                )
                for p in (page, wrong)
            ]
        )
    assert shown[0] == shown[1]


def test_an_unknown_person_costs_the_same_time(
    app: Flask, settings: dict[str, Any], cast: Cast
) -> None:
    """SIGN-2: medians over tries, with real hashing"""
    from b2b.services import passwords

    passwords.use_weak_hashing(False)
    try:
        stored = passwords.hashed("a long phrase")
        passwords.matches(None, "warm up")

        def seconds(hashed: str | None) -> float:
            begun = time.perf_counter()
            assert not passwords.matches(hashed, "not the password")
            return time.perf_counter() - begun

        pairs = [(seconds(stored), seconds(None)) for _ in range(15)]
    finally:
        passwords.use_weak_hashing(True)
    known, unknown = (median(times) for times in zip(*pairs, strict=True))
    assert known > 0.005, "a slow hash"
    assert 0.5 < known / unknown < 2


def test_the_eleventh_try_in_a_minute_is_refused_even_with_the_right_password(
    app: Flask, cast: Cast, clock: Clock
) -> None:
    """SIGN-1: and other people from the same place, or this one a minute later, get in"""
    browser = Browser(app)
    page = password_page(browser)
    for _ in range(10):
        page = page.submit(password="not the password")
        assert page.errors == [NOT_RIGHT]
    refused = page.submit(password=cast.password)
    assert refused.status == 429
    assert refused.response.headers["Retry-After"] == "61"
    assert "Try again in 61 seconds." in refused.text
    assert "locked" not in refused.text
    other = Browser(app)
    assert password_page(other, "john.doe@woodgrove.example").submit(
        password=cast.password
    ).path == "/myapps"  # fmt: skip
    assert password_page(Browser(app)).submit(password=cast.password).status == 429
    clock.advance(seconds=61)
    assert password_page(browser).submit(password=cast.password).path == "/myapps"


def test_from_another_place_the_person_herself_gets_in(app: Flask, cast: Cast) -> None:
    """SIGN-1: strangers cannot lock a victim out"""
    for _ in range(11):
        password_page(Browser(app)).submit(password="not the password")
    at_home = Browser(app)
    at_home.client.environ_base["REMOTE_ADDR"] = "192.0.2.7"
    assert password_page(at_home).submit(password=cast.password).path == "/myapps"


def test_tries_are_counted_though_the_browser_forgets_its_cookies(app: Flask, cast: Cast) -> None:
    """SIGN-1"""
    for _ in range(10):
        assert password_page(Browser(app)).submit(password="wrong one").errors == [NOT_RIGHT]
    assert password_page(Browser(app)).submit(password="wrong one").status == 429


def test_a_forwarded_address_is_not_believed_without_a_proxy(app: Flask, cast: Cast) -> None:
    """HTTP-1: a spoofed address stands neither in the counters nor in the log"""
    for number in range(11):
        browser = Browser(app)
        page = password_page(browser)
        page = browser.post(
            page.url,
            {"csrf_token": page.form().select_one("input")["value"], "password": "wrong one"},  # type: ignore[index]
            headers={"X-Forwarded-For": f"192.0.2.{number}", "X-Real-IP": "192.0.2.1"},
        )
    assert page.status == 429
    with app.app_context():
        addresses = set(db.session.scalars(select(SignIn.ip_address)))
        db.session.remove()
    assert addresses == {"127.0.0.1"}


def test_a_blocked_person_is_told_so_only_with_the_right_password(
    app: Flask, cast: Cast, clock: Clock
) -> None:
    """SIGN-2"""
    with app.app_context(), worker.transaction() as session:
        users.block(session, acting(session, cast.woodgrove, cast.john, clock.now), cast.adele)
    page = password_page(Browser(app))
    assert page.submit(password="not the password").errors == [NOT_RIGHT]
    told = page.submit(password=cast.password)
    assert told.errors == ["This account is blocked. Ask an administrator of WoodGrove."]


# Codes -------------------------------------------------------------------------------------------


def guest_by_code(app: Flask, cast: Cast, clock: Clock, address: str) -> None:
    with app.app_context(), worker.transaction() as session:
        invited = factories.invite(session, cast, clock.now, address)
        factories.accept(session, cast, invited, clock.now)


def test_a_guest_without_password_signs_in_with_a_mailed_code(
    app: Flask, cast: Cast, clock: Clock, mailroom: Mailroom
) -> None:
    guest_by_code(app, cast, clock, "sam@partner.example")
    mailroom.deliver()
    page = password_page(Browser(app), "sam@partner.example").submit("/signin/code/send")
    assert page.path == "/signin/code"
    mailroom.deliver()
    source = mailroom.sources("sam@partner.example")[-1]
    wrong = page.submit("/signin/code", code="0000 0000")
    assert wrong.errors == ["That is not the code in the newest mail."]
    assert "4 tries left" in wrong.text
    assert wrong.submit("/signin/code", code=code_in(source)).path == "/myapps"


def test_after_five_wrong_codes_a_new_one_is_offered_and_the_old_one_is_void(
    app: Flask, cast: Cast, clock: Clock, mailroom: Mailroom
) -> None:
    """SIGN-3"""
    guest_by_code(app, cast, clock, "sam@partner.example")
    mailroom.deliver()
    page = password_page(Browser(app), "sam@partner.example").submit("/signin/code/send")
    mailroom.deliver()
    code = code_in(mailroom.sources("sam@partner.example")[-1])
    form = page
    for _ in range(5):
        page = form.submit("/signin/code", code="0000 0000")
    assert page.errors == ["That was the last try. This code is void now; send a new one."]
    assert not page.soup.select("input[name=code]")
    page = form.submit("/signin/code", code=code)
    assert page.errors == ["That code is not valid any more. Send a new one."]
    page = page.submit("/signin/code/send")
    mailroom.deliver()
    code = code_in(mailroom.sources("sam@partner.example")[-1])
    assert page.submit("/signin/code", code=code).path == "/myapps"


def test_a_code_typed_into_another_browser_is_no_good(
    app: Flask, cast: Cast, clock: Clock, mailroom: Mailroom
) -> None:
    """SIGN-3, SIGN-4: a code phished out of somebody opens nothing elsewhere"""
    guest_by_code(app, cast, clock, "sam@partner.example")
    mailroom.deliver()
    password_page(Browser(app), "sam@partner.example").submit("/signin/code/send")
    mailroom.deliver()
    code = code_in(mailroom.sources("sam@partner.example")[-1])
    thief = Browser(app)
    password_page(thief, "sam@partner.example")
    token = csrf_of(thief, "/signin/code")
    page = thief.post("/signin/code", {"csrf_token": token, "code": code})
    assert page.path == "/signin/code"
    assert page.h1 == "Prove your address"
    assert cookie(thief) is None


def test_the_fourth_code_within_ten_minutes_is_refused_with_the_time(
    app: Flask, cast: Cast, clock: Clock
) -> None:
    """threats.md, 3"""
    guest_by_code(app, cast, clock, "sam@partner.example")
    for _ in range(3):
        page = password_page(Browser(app), "sam@partner.example").submit("/signin/code/send")
        assert page.path == "/signin/code"
    page = password_page(Browser(app), "sam@partner.example").submit("/signin/code/send")
    assert page.status == 429
    assert "Too many codes were sent to this address." in page.text
    assert "Try again in 11 minutes." in page.text
    assert page.response.headers["Retry-After"] == "601"


def test_for_an_unknown_address_the_pages_are_the_same_and_no_mail_is_queued(
    app: Flask, cast: Cast, clock: Clock
) -> None:
    """SIGN-2: mail sent"""
    guest_by_code(app, cast, clock, "sam@partner.example")
    shown = []
    for address in ("sam@partner.example", "eve@partner.example"):
        page = password_page(Browser(app), address).submit("/signin/code/send")
        wrong = page.submit("/signin/code", code="0000 0000")
        shown.append(
            [
                (
                    p.status,
                    masked(p.response.get_data(as_text=True), address),
                )
                for p in (page, wrong)
            ]
        )
    assert shown[0] == shown[1]
    with app.app_context():
        codes = db.session.scalars(
            select(OutboxMessage.recipient).where(OutboxMessage.template == "passcode")
        ).all()
        db.session.remove()
    assert codes == ["sam@partner.example"]


# Sessions and cookies ----------------------------------------------------------------------------


def test_the_secret_of_a_session_changes_at_every_sign_in(app: Flask, cast: Cast) -> None:
    """SES-1: fixation"""
    browser = Browser(app).sign_in(ADELE, cast.password)
    first = cookie(browser)
    token = csrf_of(browser, "/profile")
    page = browser.get("/signin?other=1").submit(address=ADELE).submit(password=cast.password)
    assert page.path == "/myapps"
    assert cookie(browser) != first
    assert csrf_of(browser, "/profile") != token
    thief = Browser(app)
    assert first is not None
    thief.client.set_cookie("b2b_session", first, domain="localhost")
    assert thief.get("/myapps").path == "/signin", "the old one is dead"


def test_a_planted_cookie_is_never_adopted(app: Flask, cast: Cast) -> None:
    """SES-1"""
    browser = Browser(app)
    planted = "A" * 43
    browser.client.set_cookie("b2b_session", planted, domain="localhost")
    assert browser.get("/admin").path == "/signin"
    browser.sign_in(ADELE, cast.password)
    assert cookie(browser) not in (None, planted)


@pytest.mark.parametrize("value", ["", "x", "A" * 43, "A" * 3900, "../..", "é", "' OR 1=1 --"])
def test_a_broken_cookie_is_nobody(app: Flask, cast: Cast, value: str) -> None:
    for name in ("b2b_session", "b2b_browser"):
        browser = Browser(app)
        browser.client.set_cookie(name, value, domain="localhost")
        assert browser.get("/admin").path == "/signin"


def test_signing_out_ends_the_session_for_good(app: Flask, cast: Cast) -> None:
    """SES-1"""
    browser = Browser(app).sign_in(ADELE, cast.password)
    kept = cookie(browser)
    assert kept is not None
    page = browser.get("/myapps")
    out = browser.post("/signout", {"csrf_token": csrf_of(browser, "/myapps")})
    assert page.path == "/myapps"
    assert out.path == "/signedout"
    thief = Browser(app)
    thief.client.set_cookie("b2b_session", kept, domain="localhost")
    assert thief.get("/myapps").path == "/signin"


def test_blocking_somebody_ends_her_session_with_the_next_click(
    app: Flask, cast: Cast, john: Browser
) -> None:
    """SES-1: server-side revocation within one request"""
    browser = Browser(app).sign_in(ADELE, cast.password)
    assert browser.get("/myapps").status == 200
    john.get(f"/admin/users/{cast.adele}").submit("/block")
    assert browser.get("/myapps").path == "/signin"
    john.get(f"/admin/users/{cast.adele}").submit("/unblock")
    assert browser.get("/myapps").path == "/signin"


def set_cookies(app: Flask, origin: str, cast: Cast) -> dict[str, str]:
    """Every cookie that a sign-in sets, by name."""
    client = app.test_client()
    found: dict[str, str] = {}

    def note(response: Any) -> Any:
        for header in response.headers.getlist("Set-Cookie"):
            found[header.partition("=")[0]] = header
        return response

    from bs4 import BeautifulSoup

    note(client.get("/signin?next=/admin", base_url=origin))
    for path, name, value in (
        ("/signin", "address", ADELE),
        ("/signin/password", "password", cast.password),
    ):
        soup = BeautifulSoup(client.get(path, base_url=origin).get_data(), "html5lib")
        token = soup.select_one("main input[name=csrf_token]")
        assert token is not None
        data = {"csrf_token": token["value"], name: value}
        response = note(client.post(path, data=data, base_url=origin))
        assert response.status_code == 302 or response.status_code == 303
    assert note(client.get("/admin", base_url=origin)).status_code == 200
    return found


def test_on_loopback_http_cookies_are_http_only_and_lax(app: Flask, cast: Cast) -> None:
    """SES-2; decisions.md, cookies"""
    found = set_cookies(app, ORIGIN, cast)
    assert set(found) == {"b2b_browser", "b2b_session"}
    for header in found.values():
        attributes = {part.strip().lower() for part in header.split(";")[1:]}
        assert attributes >= {"httponly", "samesite=lax", "path=/"}
        assert not any(part.startswith(("domain", "secure")) for part in attributes)


def test_on_https_cookies_are_bound_to_the_host_and_secure(
    settings: dict[str, Any], cast: Cast, clock: Clock
) -> None:
    """SES-2: __Host- means Secure, Path=/ and no Domain; HTTP-2: HSTS"""
    origin = "https://b2b.woodgrove.example"
    secure = create_app(Config(**settings | {"BASE_URL": origin}))
    found = set_cookies(secure, origin, cast)
    assert set(found) == {"__Host-b2b_browser", "__Host-b2b_session"}
    for header in found.values():
        attributes = {part.strip().lower() for part in header.split(";")[1:]}
        assert attributes >= {"httponly", "samesite=lax", "path=/", "secure"}
        assert not any(part.startswith("domain") for part in attributes)
    response = secure.test_client().get("/signin", base_url=origin)
    assert response.headers["Strict-Transport-Security"] == "max-age=31536000"
    refused = secure.test_client().get("/signin", base_url="https://localhost")
    assert refused.status_code == 400
    with secure.app_context():
        db.session.remove()
        db.engine.dispose()


def test_the_cookie_is_opaque(app: Flask, cast: Cast) -> None:
    """SES-2: no name, no address, no token in it"""
    from base64 import urlsafe_b64decode

    browser = Browser(app).sign_in(ADELE, cast.password)
    secret = cookie(browser)
    assert secret is not None
    assert len(secret) == 43
    pre_session = cookie(browser, "b2b_browser") or ""
    body = pre_session.split(".")[0]
    decoded = urlsafe_b64decode(body + "=" * (-len(body) % 4)).decode("latin-1")
    assert "adele" not in decoded.lower()
    assert secret not in pre_session


# Where it leads ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "leads_to"),
    [
        ("/admin/users?q=adele", "/admin/users"),
        ("/profile", "/profile"),
        ("https://evil.example/", "/myapps"),
        ("//evil.example/", "/myapps"),
        ("/\\evil.example", "/myapps"),
        ("javascript:alert(1)", "/myapps"),
        ("", "/myapps"),
    ],
)
def test_after_signing_in_one_is_where_one_wanted_to_be_and_never_elsewhere(
    app: Flask, cast: Cast, target: str, leads_to: str
) -> None:
    """OIDC-1, INV-2: no open redirect"""
    browser = Browser(app)
    page = browser.get("/signin", query_string={"next": target})
    page = page.submit(address=ADELE).submit(password=cast.password)
    assert page.url.startswith(ORIGIN)
    assert page.path == leads_to


def test_every_page_of_a_signed_in_person_names_the_account(adele: Browser) -> None:
    """SIGN-4: nobody works in somebody else's account unknowingly"""
    for path in ("/myapps", "/profile", "/admin", "/admin/users"):
        html = adele.get(path).response.get_data(as_text=True)
        assert "Adele Vance" in html, path


def test_somebody_who_is_a_guest_nowhere_is_told_so(
    app: Flask, cast: Cast, clock: Clock, mailroom: Mailroom
) -> None:
    with app.app_context(), worker.transaction() as session:
        invited = factories.invite(session, cast, clock.now, "sam@partner.example")
        factories.accept(session, cast, invited, clock.now)
        user_id = invited.user_id
    mailroom.deliver()
    browser = Browser(app)
    page = password_page(browser, "sam@partner.example").submit("/signin/code/send")
    mailroom.deliver()
    code = code_in(mailroom.sources("sam@partner.example")[-1])
    with app.app_context(), worker.transaction() as session:
        john = acting(session, cast.woodgrove, cast.john, clock.now)
        deleted_users.remove(session, john, user_id)
    page = page.submit("/signin/code", code=code)
    assert page.path == "/myapps"
    assert "WoodGrove" not in page.text
    assert browser.get("/profile").path == "/signin"


def test_an_organisation_without_access_is_refused_by_name_of_the_rule(
    app: Flask, cast: Cast, adele: Browser
) -> None:
    """ADM-3: unknown and foreign organisations answer alike"""
    from uuid import uuid4

    answers = []
    for tenant in (str(cast.contoso), str(uuid4())):
        page = adele.get(f"/myapps?tenantid={tenant}")
        assert page.status == 409
        assert "This account has no access to that organisation." in page.text
        answers.append(masked(page.response.get_data(as_text=True), tenant))
    assert answers[0] == answers[1]
    assert adele.get("/admin").status == 200


def test_setup_pages_of_made_up_links_are_not_found(client: Any) -> None:
    """BOOT-2"""
    for secret in ("x", "A" * 43):
        response = client.get(f"/setup/{secret}", base_url=ORIGIN)
        assert response.status_code == 404


def test_the_setup_link_works_once_and_for_an_hour(app: Flask, clock: Clock) -> None:
    """BOOT-1, BOOT-2"""
    from b2b.services import tenants

    with app.app_context(), worker.transaction() as session:
        secret = tenants.start_setup(
            session, organisation="Fabrikam", domain="fabrikam.example", admin_name="Ada",
            admin_address="ada@fabrikam.example", now=clock.now,
        )  # fmt: skip
    browser = Browser(app)
    page = browser.get(f"/setup/{secret}")
    for typed, again, error in (
        ("short", "short", "Use at least 12 characters."),
        ("password1234", "password1234", "This password is easy to guess. Choose another one."),
        ("ada@fabrikam.example", "ada@fabrikam.example", "This password is easy to guess."),
        ("a long phrase", "another phrase", "The two passwords are not the same."),
    ):
        page = page.submit(password=typed, password_again=again)
        assert len(page.errors) == 1
        assert page.errors[0].startswith(error)
    second = Browser(app).get(f"/setup/{secret}")
    done = page.submit(password="a long phrase", password_again="a long phrase")
    assert done.path == "/signin"
    late = second.submit(password="an evil phrase", password_again="an evil phrase")
    assert late.status == 404
    assert Browser(app).get(f"/setup/{secret}").status == 404
    Browser(app).sign_in("ada@fabrikam.example", "a long phrase")
    with app.app_context():
        ada = db.session.execute(
            select(User).where(User.user_principal_name == "ada@fabrikam.example")
        ).scalar_one()
        assert ada.display_name == "Ada"
        db.session.remove()


def test_an_hour_later_the_setup_link_is_dead(app: Flask, clock: Clock) -> None:
    """BOOT-1"""
    from b2b.services import tenants

    with app.app_context(), worker.transaction() as session:
        secret = tenants.start_setup(
            session, organisation="Fabrikam", domain="fabrikam.example", admin_name="",
            admin_address="ada@fabrikam.example", now=clock.now,
        )  # fmt: skip
    clock.advance(minutes=59)
    page = Browser(app).get(f"/setup/{secret}")
    assert page.status == 200
    clock.advance(minutes=1)
    assert Browser(app).get(f"/setup/{secret}").status == 404
    assert page.submit(password="a long phrase", password_again="a long phrase").status == 404
