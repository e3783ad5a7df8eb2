"""Whatever is typed, pasted or forged: an answer in words, never a fault, and nothing half done."""

from collections.abc import Iterator

import pytest
from flask import Flask
from werkzeug.datastructures import MultiDict

from b2b import worker
from tests import factories
from tests.cast import Cast
from tests.conftest import Clock
from tests.factories import SAM
from tests.pages import ORIGIN, Browser
from tests.web.test_every_route import WAITING, address_of, csrf_of, rules

JUNK = [
    "", "x", "\x00", "a\x00b", "\r\n\r\nX: y", "\x1b[31m", "\u2028", "\u202e", "\ufeff", "\ufffd",
    "'; DROP TABLE users; --", "' OR '1'='1", "%", "%s%s%s%n", "{{7*7}}", "${7*7}",
    "../../etc/passwd",
    "<script>alert(1)</script>", "\"><img src=x onerror=alert(1)>", "-1", "0", "9" * 40, "1e309",
    "NaN",
    "null", "[]", "{}", "true", "김민준", "🦊" * 50, "A" * 5000, "ﷺ" * 300, "a@b.example" * 200,
    "00000000-0000-0000-0000-000000000000", "not-a-uuid.key", ".", "..", "/", "//evil.example",
    "\\",
]  # fmt: skip
QUERY = [
    "q", "view", "type", "state", "source", "sign_in", "after", "before", "next", "other", "first",
    "login_hint", "tenantid", "tenantId", "rd", "as", "address", "language", "width", "tab",
    "theme",
    "tenant", "user", "ticket", "ver", "at", "query", "start", "limit",
    "activity", "category", "actor", "target", "since", "until", "result", "application",
    "synced", "saved", "do", "id", "from", "group",
]  # fmt: skip
FIELDS = [
    "address", "addresses", "display_name", "applications", "groups", "message", "language",
    "password", "password_again", "code", "given_name", "surname", "note", "tenant", "next",
    "company_name", "job_title", "mobile_phone", "preferred_language", "as", "IDs", "Read",
    "role", "confirmation", "session", "query", "from", "name", "usage_location", "other_mails",
    "user_type", "domains", "landing_hosts", "invitation_days", "domain_list", "do", "id",
]  # fmt: skip


@pytest.fixture
def sam(app: Flask, cast: Cast, clock: Clock) -> str:
    with app.app_context(), worker.transaction() as session:
        return str(factories.invite(session, cast, clock.now).user_id)


@pytest.fixture
def invited(app: Flask, cast: Cast, sam: str) -> Browser:
    """A stranger's browser that has come with Sam's link."""
    from uuid import UUID

    from b2b.extensions import db

    with app.app_context():
        link = factories.link_of(db.session(), cast.woodgrove, UUID(sam))
        db.session.remove()
    browser = Browser(app)
    assert browser.get(link).path == "/redeem"
    return browser


def junk() -> Iterator[tuple[int, str]]:
    yield from enumerate(JUNK)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_no_query_whatever_breaks_a_page(
    app: Flask, cast: Cast, john: Browser, sam: str, invited: Browser
) -> None:
    """API-3, DB-1, HTTP-1"""
    found = [rule for rule in rules(app, "GET") if rule.endpoint not in {"static", *WAITING}]
    # A stranger meets no page of the portal: it sends him to sign in before it reads anything.
    open_ones = [rule for rule in found if not rule.endpoint.startswith("admin.")]
    for browser, met in ((john, found), (invited, open_ones)):
        pages = [address_of(rule, user_id=sam).partition("?")[0] for rule in met]
        for number, text in junk():
            # Each value meets every other page, each page every other value, each name all values.
            for step, path in enumerate(pages):
                if (number + step) % 2:
                    continue
                names = QUERY[(number + step) % len(QUERY) :] + QUERY
                query = MultiDict([(name, text) for name in names[:9]])
                query.setdefault("timeout", "0")  # of what waits for mail
                with browser.client.get(path, query_string=query, base_url=ORIGIN) as response:
                    assert response.status_code < 500, (path, query)


@pytest.mark.parametrize("name", ["q", "after", "before"])
def test_no_search_and_no_cursor_breaks_the_list_of_users(john: Browser, name: str) -> None:
    """API-3, DB-1"""
    for _, text in junk():
        for value in (text, f"{'0' * 32}.{text}"):
            page = john.get("/admin/users", query_string={name: value})
            assert page.status in (200, 404), value
    assert "John Doe" in john.get("/admin/users").text


@pytest.mark.long
@pytest.mark.timeout(300)
def test_no_field_whatever_breaks_a_form(
    app: Flask, cast: Cast, john: Browser, invited: Browser, sam: str
) -> None:
    """INV-1, HTTP-1, API-5"""
    found = [
        rule
        for rule in rules(app, "POST")
        if rule.endpoint not in ("sign_in.sign_out", "redeem.switch", "inbox.delete_all")
        and not rule.endpoint.startswith("mailpit.")
    ]
    open_ones = [rule for rule in found if not rule.endpoint.startswith("admin.")]
    assert len(open_ones) > 15
    for browser, page, met in ((john, "/profile", found), (invited, "/redeem", open_ones)):
        forms = [address_of(rule, user_id=sam) for rule in met]
        for _, text in junk():
            token = csrf_of(browser, page)
            for path in forms:
                data = MultiDict([(name, text) for name in FIELDS])
                data.add("csrf_token", token)
                data.add("applications", str(cast.projects))
                response = browser.client.post(path, data=data, base_url=ORIGIN)
                assert response.status_code < 500, (path, text)
            if browser is john and john.get("/admin").path != "/admin":
                john.sign_in("john.doe@woodgrove.example", cast.password)


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"data": {"addresses": "a" * (2 * 1024 * 1024)}}, 413),
        ({"data": b"x" * (2 * 1024 * 1024), "content_type": "application/json"}, 413),
        ({"data": {f"field{n}": "x" for n in range(2000)}}, 413),
        ({"data": b"{not json", "content_type": "application/json"}, 400),
        ({"data": b"\xff\xfe=\xff", "content_type": "application/x-www-form-urlencoded"}, 400),
        ({"data": b"--x\r\nno part", "content_type": "multipart/form-data; boundary=x"}, 400),
        ({"data": b"", "content_type": "multipart/form-data"}, 400),
    ],
)  # fmt: skip
def test_a_body_that_is_too_large_or_broken_is_refused_in_words(
    john: Browser, options: dict[str, object], status: int
) -> None:
    """HTTP-1, API-5"""
    if isinstance(options["data"], dict) and len(options["data"]) > 1000:
        options = options | {"content_type": "multipart/form-data"}
    response = john.client.post("/admin/users/invite", base_url=ORIGIN, **options)  # type: ignore[arg-type]
    assert response.status_code == status
    assert response.mimetype == "text/html"
    assert "Traceback" not in response.get_data(as_text=True)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "QUERY", "FOO"])
def test_a_method_that_a_page_does_not_take_is_refused(john: Browser, method: str) -> None:
    """HTTP-1"""
    response = john.client.open("/admin/users", method=method, base_url=ORIGIN)
    assert response.status_code in (400, 403, 405)


XSS = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"


def test_hostile_names_appear_literally_on_every_page(
    app: Flask, cast: Cast, clock: Clock, john: Browser
) -> None:
    """ADM-1: names, messages and mail errors; `Page` itself checks for inline code"""
    from sqlalchemy import update

    from b2b.models import Group, OutboxMessage, ServicePrincipal, Tenant, User

    with app.app_context(), worker.transaction() as session:
        invited = factories.invite(
            session, cast, clock.now, display_name=XSS, message=XSS,
            application_ids=[cast.projects], group_ids=[cast.partners],
        )  # fmt: skip
        link = factories.link_of(session, cast.woodgrove, invited.user_id)
        session.execute(update(OutboxMessage).values(last_error=XSS, state="failed"))
        for model in (Group, ServicePrincipal, Tenant):
            session.execute(update(model).values(display_name=XSS))
        session.execute(update(User).where(User.id == cast.john).values(display_name=XSS))
        session.execute(update(OutboxMessage).values(settled_at=clock.now))
    pages = [
        john.get(path)
        for path in (
            "/admin", "/admin/users", f"/admin/users?q={SAM}", f"/admin/users/{invited.user_id}",
            f"/admin/users/{invited.user_id}/delete", "/admin/users/invite", "/myapps", "/profile",
        )
    ]  # fmt: skip
    pages.append(Browser(app).get(link))
    for page in pages:
        assert page.status == 200, page.url
        html = page.response.get_data(as_text=True)
        assert "<script>alert" not in html, page.url
        assert "<img src=x" not in html, page.url
        assert not page.soup.select("img[src=x]"), page.url
    assert XSS in pages[3].text
    assert XSS in pages[-1].text


def test_a_way_back_with_line_breaks_breaks_nothing(john: Browser) -> None:
    """API-3: what comes back in an address is written anew."""
    page = john.get("/admin/invitations/selected?do=cancel&from=state%3Dpending%0d%0aX-Evil:%20yes")
    assert (page.status, page.path) == (200, "/admin/invitations")
    assert "X-Evil" not in page.response.headers
