"""Every page, with fifty rows in each list, is read by a strict parser and by a checker of shape.

Pages are found as people find them: by following links, for everybody who may come by.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit
from uuid import UUID, uuid4

import html5lib
import pytest
from bs4 import BeautifulSoup, Tag
from flask import Flask
from html5lib.html5parser import ParseError
from werkzeug.exceptions import HTTPException

from b2b import worker
from b2b.services import (
    app_credentials,
    app_registrations,
    applications,
    deleted_users,
    groups,
    offered_permissions,
    owners,
    sign_in_log,
)
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import Clock
from tests.pages import ORIGIN, Browser, Page
from tests.web.inbox.conftest import Mails, mails
from tests.web.inbox.letters import html_letter, letter

__all__ = ["mails"]


@pytest.fixture
def settings(settings: dict[str, Any]) -> dict[str, Any]:
    """The test tools have a page of their own."""
    return {**settings, "TEST_DOUBLE": True}


ROWS = 55
"""More than a page of any list holds."""
PHRASING = {"p", "span", "button", "label", "strong", "em", "small", "code", "bdi"}
HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
BLOCKS = HEADINGS | {"div", "p", "ul", "ol", "dl", "table", "form", "section", "article", "hr"}
PRESSABLE = {"a", "button", "summary"}
REFERENCES = ("for", "aria-labelledby", "aria-describedby", "aria-controls", "list", "form")
ROOMS = {"admin", "my_apps", "my_people", "account", "photo"}
NO_PAGES = {
    "inbox.live", "inbox.part", "inbox.source", "home.logo", "home.brand", "photo.picture",
    "admin.audit_file", "admin.sign_ins_file", "admin.branding_preview", "admin.invite_preview",
    "admin.deliveries", "admin.user_journey", "my_people.deliveries", "my_people.journey",
    "my_people.invite_preview", "my_apps.of_domain", "account.left", "admin.try_answer",
}  # fmt: skip
"""Files, fragments of pages, mails in frames, and addresses that only lead on."""
OBSOLETE = {"center", "font", "big", "tt", "strike", "marquee", "align", "bgcolor", "border"}


def faults(html: str, soup: BeautifulSoup) -> list[str]:
    """What a strict reader finds wrong in a page of ours."""
    found: list[str] = []
    try:
        html5lib.HTMLParser(strict=True).parse(html)
    except ParseError as error:
        found.append(f"not HTML: {error!r}")
    found += [f"{words}: {str(tag)[:160]}" for words, tag in shape(soup)]
    ids = Counter(str(tag["id"]) for tag in soup.select("[id]"))
    found += [f"id {name} {count} times" for name, count in ids.items() if count > 1]
    for attribute in REFERENCES:
        for tag in soup.select(f"[{attribute}]"):
            lost = set(str(tag[attribute]).split()) - set(ids)
            found += [f"{attribute} names {name}, which is nowhere" for name in sorted(lost)]
    return found


def shape(soup: BeautifulSoup) -> Iterator[tuple[str, Tag]]:
    """What the grammar allows and the standard or a screen reader does not."""
    for tag in soup.find_all(True):
        around = {parent.name for parent in tag.parents}
        if OBSOLETE & {tag.name, *tag.attrs}:
            yield "obsolete", tag
        if tag.name in BLOCKS and around & (PHRASING | HEADINGS):
            yield f"within {sorted(around & (PHRASING | HEADINGS))}", tag
        if pressable(tag) and around & PRESSABLE:
            yield f"something to press within {sorted(around & PRESSABLE)}", tag
    for tag in soup.select("ul, ol"):
        if any(child.name not in ("li", "script", "template") for child in children(tag)):
            yield "not a list item", tag
    for tag in soup.select("dl"):
        if any(child.name not in ("dt", "dd", "div") for child in children(tag)):
            yield "not a term", tag
    for tag in soup.select("a[href], button, summary"):
        if not named(tag):
            yield "without a name", tag
    for tag in soup.select("img:not([alt])"):
        yield "picture without alt", tag
    for tag in soup.select("th:not([scope])"):
        yield "heading cell without scope", tag
    for tag in soup.select("iframe:not([title])"):
        yield "frame without title", tag
    for tag in soup.select("fieldset"):
        first = next(iter(children(tag)), None)
        if first is None or first.name != "legend":
            yield "fields without a legend", tag
    yield from landmarks(soup)


def landmarks(soup: BeautifulSoup) -> Iterator[tuple[str, Tag]]:
    """One main, everything within a landmark, headings that skip no level."""
    body = soup.body
    assert body is not None
    if len(soup.select("main")) != 1:
        yield "not one main", body
    for kind in ("nav", "aside"):
        several = soup.select(kind)
        names = [str(tag.get("aria-label") or tag.get("aria-labelledby")) for tag in several]
        if len(several) > 1 and len(set(names)) < len(names):
            yield f"several {kind} of one name", several[-1]
    if len(soup.select("body > header, body > div > header")) > 1:
        yield "several banners", body
    level = 0
    for heading in soup.select("h1, h2, h3, h4, h5, h6"):
        if not named(heading):
            yield "empty heading", heading
        here = int(heading.name[1])
        if heading.find_parent("main") and here > level + 1:
            yield f"h{here} after h{level}", heading
        level = here if heading.find_parent("main") else level


def children(tag: Tag) -> Iterator[Tag]:
    return (child for child in tag.children if isinstance(child, Tag))


def pressable(tag: Tag) -> bool:
    """Whether a reader can act on it."""
    return tag.name in PRESSABLE | {"select", "textarea"} or (
        tag.name == "input" and tag.get("type") != "hidden"
    )


def named(tag: Tag) -> bool:
    """Whether something is said: text, a label of its own, or the alt of a picture."""
    return bool(
        tag.get_text().strip()
        or tag.get("aria-label")
        or tag.get("aria-labelledby")
        or any(img.get("alt") for img in tag.select("img"))
        or tag.select_one("svg title, svg[aria-label]")
    )


class Crawl:
    """Follows links from page to page, and keeps what was wrong with each kind of page."""

    def __init__(self, app: Flask) -> None:
        self.map = app.url_map.bind("localhost:5000", "/")
        self.seen: set[str] = set()
        self.reached: set[str] = set()
        self.wrong: list[str] = []

    def endpoint(self, url: str) -> str | None:
        """What answers at an address."""
        try:
            return str(self.map.match(urlsplit(url).path, "GET")[0])
        except HTTPException:
            return None

    def check(self, page: Page, who: str) -> Page:
        """Read one page."""
        policy = page.response.headers.get("Content-Security-Policy", "")
        if page.response.mimetype == "text/html" and "sandbox" not in policy:
            text = page.response.get_data(as_text=True)
            self.wrong += [
                f"{who} {page.url} {page.status}: {fault}" for fault in faults(text, page.soup)
            ]
            if page.status == 200:
                self.reached.add(str(self.endpoint(page.url)))
        return page

    def walk(self, browser: Browser, who: str, *starts: str) -> None:
        """Open each kind of page in reach of *starts*: plain, and John another view of it."""
        waiting = list(starts)
        times: Counter[str] = Counter()
        while waiting:
            url = urldefrag(urljoin(ORIGIN, waiting.pop(0)))[0]
            endpoint = self.endpoint(url)
            if (
                not url.startswith(ORIGIN)
                or endpoint is None
                or times[endpoint] >= (2 if who == "John" else 1)
            ):
                continue
            if url in self.seen or endpoint == "static" or endpoint.startswith("mailpit."):
                continue
            if endpoint in NO_PAGES:
                continue
            times[endpoint] += 1
            self.seen.add(url)
            page = self.check(browser.get(url), who)
            self.seen.add(page.url)
            waiting += [urljoin(page.url, str(a["href"])) for a in page.soup.select("a[href]")]
        self.seen.clear()


@pytest.fixture
def pending(app: Flask, cast: Cast, clock: Clock) -> list[str]:
    """Fifty-five of everything that is listed; the ids of the guests, the last one accepted."""
    with app.app_context(), worker.transaction() as session:
        john = acting(session, cast.woodgrove, cast.john, clock.now)
        invited = [
            factories.invite(
                session,
                cast,
                clock.now,
                f"guest{number}@partner{number}.example",
                display_name=f"Guest {number} <of many> & more",
                application_ids=[cast.projects],
                group_ids=[cast.partners],
            )
            for number in range(ROWS)
        ]
        for number in range(ROWS):
            groups.create(session, john, display_name=f"Group {number}", description="One of many")
            app_registrations.register(session, john, f"Program {number}")
            sign_in_log.record(
                session,
                cast.woodgrove,
                cast.john,
                identity="john.doe@woodgrove.example",
                method="password",
                application="Portal",
                at=clock.now,
                correlation_id=uuid4(),
                ip_address="127.0.0.1",
                user_agent="A browser",
                code=0 if number % 2 else 50126,
            )
        for thing in (
            groups.owned(groups.get(session, john, cast.partners)),
            applications.owned(applications.get(session, john, cast.projects)),
        ):
            owners.add(session, john, thing, cast.adele)
        factories.accept(session, cast, invited[-1], clock.now)
        deleted_users.remove(session, john, invited[1].user_id)
        return [str(guest.user_id) for guest in invited]


@pytest.fixture
def program(app: Flask, cast: Cast, clock: Clock) -> str:
    """The id of a registration that has a scope, a role and a secret."""
    with app.app_context(), worker.transaction() as session:
        john = acting(session, cast.woodgrove, cast.john, clock.now)
        survey = app_registrations.register(session, john, "Survey").registration
        made, uri = survey.id, f"api://{survey.app_id}"
        app_registrations.set_identifier_uris(session, john, made, [uri])
        offered_permissions.expose_scope(session, john, made, "Read", display_name="Read answers")
        offered_permissions.define_role(session, john, made, "Reader", display_name="Reader")
        app_credentials.add_secret(session, john, made, display_name="On the server")
        return str(made)


@pytest.mark.long
def test_every_page_of_a_full_directory_is_strict_html_in_good_order(
    app: Flask,
    cast: Cast,
    clock: Clock,
    pending: list[str],
    program: str,
    mails: Mails,
    john: Browser,
    adele: Browser,
    otto: Browser,
) -> None:
    """design brief, 7: one h1, headings in order, landmarks, labels, whatever page it is"""
    mails.add(*(letter(f"Mail {number}") for number in range(ROWS)), html_letter("<p>Hello</p>"))
    crawl = Crawl(app)
    results: list[str] = []
    for browser, form, last in (
        (john, "/admin/users/invite", "one"),
        (adele, "/myapps/people/invite", "two"),
    ):
        invited = browser.get(form).submit(
            form, addresses=f"{last}@first.example, {last}@second.example"
        )
        results.append(invited.url)
    person = f"/admin/users/{pending[0]}"
    crawl.walk(
        john, "John", "/admin", "/myapps", "/profile", "/mail/",
        f"{person}/explain",
        f"/admin/users/{pending[1]}/erase",
        f"/admin/users/{pending[-1]}/reset",
        f"/admin/app-registrations/{program}/api", f"/admin/app-registrations/{program}/roles",
        f"/admin/app-registrations/{program}/credentials", results[0],
        f"/admin/users/selected?do=group&id={pending[0]}&id={pending[2]}",
        f"/admin/groups/{cast.partners}", "/devicelogin", "/error?code=50126",
    )  # fmt: skip
    crawl.walk(
        adele, "Adele", "/myapps", "/myapps/people", "/admin", results[1], f"{person}/delete"
    )
    crawl.walk(
        otto,
        "Otto",
        "/account/left",
        "/myapps",
        "/myapps/groups",
        "/profile",
        f"/account/organisations/{cast.woodgrove}/leave",
        "/admin",
    )
    crawl.walk(
        Browser(app), "nobody", "/", "/signin", "/signedout", "/redeem", "/block", "/blocked",
        "/nowhere", "/setup/" + "A" * 43, "/redeem/declined", "/account/left", "/mail/" + "A" * 22,
        "/devicelogin/done", f"/{cast.woodgrove}/oauth2/v2.0/authorize",
    )  # fmt: skip
    assert not crawl.wrong, "\n".join(sorted(set(crawl.wrong)))
    unread = {
        rule.endpoint
        for rule in app.url_map.iter_rules()
        if "GET" in (rule.methods or ()) and rule.endpoint.partition(".")[0] in ROOMS
    }
    assert unread - crawl.reached <= NO_PAGES, "a page that this walk does not come to"


def test_every_page_of_a_redemption_is_strict_html_in_good_order(
    app: Flask, cast: Cast, clock: Clock, pending: list[str]
) -> None:
    """design brief, 7: the pages that a guest passes, refusals and messages beside fields too"""
    crawl = Crawl(app)
    with app.app_context(), worker.transaction() as session:
        link = factories.link_of(session, cast.woodgrove, UUID(pending[0]))
        stale = link.replace("ticket%3d", "ticket%3dA")
    guest = Browser(app)
    crawl.check(guest.get(stale), "guest")
    page = crawl.check(guest.get(link), "guest")
    page = crawl.check(page.submit("/redeem/start"), "guest")
    assert page.status == 200
    crawl.check(page.submit(code="0000 0000"), "guest")
    nobody = Browser(app)
    page = crawl.check(nobody.get("/signin"), "nobody")
    crawl.check(page.submit(address="not an address"), "nobody")
    page = crawl.check(page.submit(address="john.doe@woodgrove.example"), "nobody")
    crawl.check(page.submit(password="wrong"), "nobody")
    assert not crawl.wrong, "\n".join(sorted(set(crawl.wrong)))


@pytest.mark.parametrize(
    ("inner", "said"),
    [
        ("<h1>One</h1></span>", "not HTML"),
        ("<h1>One</h1><span><p>Two</p></span>", "within ['span']"),
        ("<h1>One</h1><h3>Three</h3>", "h3 after h1"),
        ("<h1>One</h1><a href='/'><button>Go</button></a>", "something to press within ['a']"),
        ("<h1>One</h1><p id='a'>Two</p><p id='a'>Three</p>", "id a 2 times"),
        ("<h1>One</h1><p aria-labelledby='lost'>Two</p>", "aria-labelledby names lost"),
        ("<h1>One</h1><a href='/'></a>", "without a name"),
        ("<h1>One</h1><ul><div>Two</div></ul>", "not a list item"),
        ("<h1>One</h1></main><main>Two", "not one main"),
    ],
)
def test_the_reader_sees_what_is_wrong(inner: str, said: str) -> None:
    """What the tests above rest on."""
    html = f"<!doctype html><html lang=en><title>T</title><body><main>{inner}</main></body></html>"
    assert said in "\n".join(faults(html, BeautifulSoup(html, "html5lib")))
    sound = html.replace(inner, "<h1>One</h1><h2>Two</h2>")
    assert faults(sound, BeautifulSoup(sound, "html5lib")) == []
