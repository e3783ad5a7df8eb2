"""Users: list, filters, one person's page, and its buttons."""

from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import pytest
from flask import Flask
from sqlalchemy import update

from b2b import worker
from b2b.extensions import db
from b2b.models import Role, User
from b2b.services import deleted_users, tenants, users
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import Clock
from tests.factories import SAM
from tests.pages import Browser, Page
from tests.web.test_every_route import csrf_of


@pytest.fixture
def sam(app: Flask, cast: Cast, clock: Clock) -> UUID:
    with app.app_context(), worker.transaction() as session:
        return factories.invite(session, cast, clock.now, display_name="Sam").user_id


def state(app: Flask, cast: Cast, user_id: UUID) -> tuple[bool, bool]:
    """Enabled, and deleted."""
    with app.app_context():
        user = db.session.get_one(User, (cast.woodgrove, user_id))
        db.session.remove()
        return user.account_enabled, user.deleted_at is not None


def listed(page: Page) -> list[str]:
    """Ids of the people on a page of the list, in its order."""
    found = [
        str(a["href"]).rpartition("/")[2] for a in page.soup.select('main a[href^="/admin/users/"]')
    ]
    return [text for text in dict.fromkeys(found) if len(text) == 36]


def test_blocking_and_unblocking_from_the_page(
    app: Flask, cast: Cast, john: Browser, sam: UUID
) -> None:
    page = john.get(f"/admin/users/{sam}").submit("/block")
    assert "Sam is blocked and signed out everywhere." in page.text
    assert state(app, cast, sam) == (False, False)
    page = page.submit("/unblock")
    assert "Sam may sign in again." in page.text
    assert state(app, cast, sam) == (True, False)
    assert "Sign-in blocked" in page.text


def test_deleting_asks_first_and_can_be_undone(
    app: Flask, cast: Cast, john: Browser, sam: UUID
) -> None:
    asked = john.get(f"/admin/users/{sam}/delete")
    assert asked.h1 == "Delete Sam?"
    assert state(app, cast, sam) == (True, False)
    gone = asked.submit("/delete", confirmation=SAM)
    assert "Sam is deleted and can be restored for 30 days." in gone.text
    assert state(app, cast, sam) == (True, True)
    assert str(sam) not in listed(john.get("/admin/users"))
    assert listed(john.get("/admin/users?view=deleted")) == [str(sam)]
    back = john.get(f"/admin/users/{sam}").submit("/restore")
    assert "Sam is back." in back.text
    assert state(app, cast, sam) == (True, False)


def test_a_restore_that_is_too_late_or_collides_is_told_on_the_page(
    app: Flask, cast: Cast, clock: Clock, john: Browser, sam: UUID
) -> None:
    john.get(f"/admin/users/{sam}/delete").submit("/delete", confirmation=SAM)
    john.get("/admin/users/invite").submit("/invite", addresses=SAM, as_new="y")
    page = john.get(f"/admin/users/{sam}").submit("/restore")
    assert "Somebody else has this address now. Delete that person first" in page.text
    clock.advance(days=31)
    john.sign_in("john.doe@woodgrove.example", cast.password)
    page = john.get(f"/admin/users/{sam}").submit("/restore")
    assert "Sam was deleted over 30 days ago." in page.text
    assert state(app, cast, sam) == (True, True)


def test_the_last_administrator_stays_and_nobody_deletes_himself(
    app: Flask, cast: Cast, john: Browser
) -> None:
    """ADM-2: the forced posts; the page has no such buttons for oneself"""
    data = {"csrf_token": csrf_of(john, "/admin/users/invite")}
    page = john.post(f"/admin/users/{cast.john}/block", data)
    assert "John Doe is the last Global Administrator; name another one first." in page.text
    data["confirmation"] = "john.doe@woodgrove.example"
    page = john.post(f"/admin/users/{cast.john}/delete", data)
    assert "You cannot delete yourself." in page.text
    assert state(app, cast, cast.john) == (True, False)


def test_a_button_pressed_twice_does_its_work_once(
    app: Flask, cast: Cast, john: Browser, sam: UUID
) -> None:
    """REL-13"""
    page = john.get(f"/admin/users/{sam}")
    for _ in range(2):
        assert page.submit("/block").status == 200
    assert page.browser.get(f"/admin/users/{sam}").text.count("Sign-in blocked") == 1


def test_a_member_reads_and_a_reader_reads_the_log_but_neither_sees_buttons(
    app: Flask, cast: Cast, clock: Clock, adele: Browser, sam: UUID
) -> None:
    """ADM-2: pages hide what would be refused; the audit log needs a role"""
    page = adele.get(f"/admin/users/{sam}")
    assert page.status == 200
    assert not page.soup.select("main form[action$='/block'], main a[href$='/delete']")
    assert not page.soup.select("main form[action$='/resend'], main form[action$='/link']")
    assert "Added to the directory" not in page.text
    with app.app_context(), worker.transaction() as session:
        factories.give_role(session, cast.woodgrove, cast.adele, Role.GLOBAL_READER, clock.now)
    page = adele.get(f"/admin/users/{sam}")
    assert "Added to the directory" in page.text
    assert not page.soup.select("main form[action$='/block'], main form[action$='/resend']")


def test_each_role_sees_the_buttons_that_it_may_press(
    app: Flask, cast: Cast, clock: Clock, adele: Browser, sam: UUID
) -> None:
    """ADM-2"""
    buttons = {"block": "form[action$='/block']", "delete": "a[href$='/delete']",
               "resend": "form[action$='/resend']"}  # fmt: skip
    seen = {}
    previous: Role | None = None
    for role in (Role.HELPDESK_ADMINISTRATOR, Role.USER_ADMINISTRATOR):
        with app.app_context(), worker.transaction() as session:
            if previous is not None:
                from sqlalchemy import delete

                from b2b.models import DirectoryRoleAssignment

                session.execute(
                    delete(DirectoryRoleAssignment).where(DirectoryRoleAssignment.role == previous)
                )
            factories.give_role(session, cast.woodgrove, cast.adele, role, clock.now)
        previous = role
        page = adele.get(f"/admin/users/{sam}")
        seen[role] = {name for name, css in buttons.items() if page.soup.select(f"main {css}")}
    assert seen == {
        Role.HELPDESK_ADMINISTRATOR: {"resend"},
        Role.USER_ADMINISTRATOR: {"block", "delete", "resend"},
    }


@pytest.fixture
def crowd(app: Flask, cast: Cast, clock: Clock) -> int:
    """128 more members, many with the same name."""
    names = ["Anna Lee", "anna lee", "김민준", "Zoë & <b>Co</b>", "100% #1 +/?", "a.b"]
    with app.app_context(), worker.transaction() as session:
        john = acting(session, cast.woodgrove, cast.john, clock.now)
        for number in range(128):
            tenants.add_person(
                session, john, user_principal_name=f"person{number}@woodgrove.example",
                display_name=names[number % len(names)],
            )  # fmt: skip
    return 128 + 2


@pytest.mark.parametrize("query", ["", "?view=everyone", "?q=person", "?type=Member", "?q=anna"])
def test_the_lists_links_lead_through_all_pages_and_back(
    john: Browser, crowd: int, query: str
) -> None:
    """scale.md, 1: the cursors survive the address bar"""
    page = john.get(f"/admin/users{query}")
    forwards = [listed(page)]
    while (after := page.soup.select_one("main a[rel=next]")) is not None:
        page = john.get(str(after["href"]))
        forwards.append(listed(page))
    everybody = [user for ids in forwards for user in ids]
    total = {"?q=person": 128, "?q=anna": 44}.get(query, crowd)
    assert len(everybody) == len(set(everybody)) == total
    backwards = [forwards[-1]]
    while (before := page.soup.select_one("main a[rel=prev]")) is not None:
        page = john.get(str(before["href"]))
        backwards.insert(0, listed(page))
    assert [user for ids in backwards for user in ids] == everybody


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("?view=guests", {"Sam"}),
        ("?view=waiting", {"Sam"}),
        ("?view=deleted", set()),
        ("?type=Member", {"John Doe", "Adele Vance"}),
        ("?state=PendingAcceptance", {"Sam"}),
        ("?state=Accepted", set()),
        ("?source=Invited+user", {"Sam"}),
        ("?sign_in=blocked", set()),
        ("?sign_in=enabled&q=vance", {"Adele Vance"}),
        ("?synced=yes", set()),
        ("?synced=no&type=Guest", {"Sam"}),
        (
            "?type=Guest&state=PendingAcceptance&source=Invited+user&sign_in=enabled&synced=no",
            {"Sam"},
        ),
        ("?type=Guest&state=Accepted", set()),
        ("?q=" + quote("gsamoogle@gmail.com"), {"Sam"}),
        ("?type=Nonsense&state=x&source=y&sign_in=z&view=q", {"Sam", "John Doe", "Adele Vance"}),
    ],
)
def test_filters_in_the_address_narrow_the_list(
    cast: Cast, john: Browser, sam: UUID, query: str, shown: set[str]
) -> None:
    page = john.get(f"/admin/users{query}")
    assert page.status == 200
    people = {"Sam": sam, "John Doe": cast.john, "Adele Vance": cast.adele}
    assert set(listed(page)) == {str(people[name]) for name in shown}


def test_nobody_matches_is_said_in_words(john: Browser) -> None:
    page = john.get("/admin/users?q=nobodyatall")
    assert "Nobody matches" in page.text


@pytest.mark.parametrize(
    ("what", "badge"),
    [("pending", "Pending"), ("expired", "Expired"), ("declined", "Declined"),
     ("cancelled", "Cancelled"), ("blocked", "Blocked"), ("deleted", "Deleted"),
     ("accepted", "Accepted"), ("failed", "Failed")],
)  # fmt: skip
def test_the_state_of_an_invitation_is_told_on_list_and_page(
    app: Flask, cast: Cast, clock: Clock, john: Browser, sam: UUID, what: str, badge: str
) -> None:
    """decisions.md, expiry, cancel, decline; threats.md, 5: message states"""
    from b2b.models import Invitation, MailState, OutboxMessage

    changes: dict[str, Any] = {
        "declined": update(Invitation).values(declined_at=clock.now),
        "cancelled": update(Invitation).values(cancelled_at=clock.now),
        "failed": update(OutboxMessage).values(state=MailState.FAILED, settled_at=clock.now),
    }
    with app.app_context(), worker.transaction() as session:
        actor = acting(session, cast.woodgrove, cast.john, clock.now)
        if what in changes:
            session.execute(changes[what])
        elif what == "blocked":
            users.block(session, actor, sam)
        elif what == "deleted":
            deleted_users.remove(session, actor, sam)
        elif what == "accepted":
            opened = factories.open_link(
                session, factories.link_of(session, cast.woodgrove, sam), clock.now
            )
            assert opened is not None
            from b2b.services import redemption

            redemption.accept(
                session, redemption.acting(opened, now=clock.now), opened, factories.by_code(SAM)
            )
    if what == "expired":
        clock.advance(days=31)
        john.sign_in("john.doe@woodgrove.example", cast.password)
    page = john.get(f"/admin/users/{sam}")
    row = john.get("/admin/users?view=deleted" if what == "deleted" else "/admin/users?view=guests")
    assert badge in page.text
    assert badge in row.text


def test_each_filter_has_a_chip_that_takes_it_away(cast: Cast, john: Browser, sam: UUID) -> None:
    query = "?type=Guest&state=PendingAcceptance&sign_in=enabled&synced=no&q=sam"
    page = john.get(f"/admin/users{query}")
    chips = page.soup.select("main a.chip")
    assert len(chips) == 5
    for chip in chips:
        narrowed = john.get(str(chip["href"]))
        assert len(narrowed.soup.select("main a.chip")) == 4
    assert listed(page) == [str(sam)]


def test_a_view_is_saved_opened_and_deleted(
    app: Flask, cast: Cast, john: Browser, adele: Browser, sam: UUID
) -> None:
    page = john.get("/admin/users?type=Guest&after=0.x")
    page = page.submit("/views", name="Our guests")
    assert "The view “Our guests” is saved." in page.text
    opened = john.get("/admin/users").follow("Our guests")
    assert listed(opened) == [str(sam)]
    current = opened.soup.select_one('main .tabs a[aria-current="page"]')
    assert current is not None
    assert current.get_text() == "Our guests"
    assert "Our guests" not in adele.get("/admin/users").text
    view = str(opened.form("/delete")["action"])
    token = {"csrf_token": csrf_of(adele, "/admin/users/invite")}
    assert adele.post(view, token).status == 404
    gone = opened.submit("/delete")
    assert "The view “Our guests” is deleted." in gone.text
    assert "Our guests" not in john.get("/admin/users").text
    nameless = john.get("/admin/users?type=Guest").submit("/views", name=" ")
    assert "Enter a name." in nameless.text


def test_several_people_are_asked_about_first_and_then_blocked(
    app: Flask, cast: Cast, clock: Clock, john: Browser, sam: UUID
) -> None:
    with app.app_context(), worker.transaction() as session:
        ann = factories.invite(session, cast, clock.now, "ann@gmail.com").user_id
    page = john.get(f"/admin/users/selected?do=block&id={sam}&id={ann}&from=type%3DGuest")
    assert page.h1 == "Block 2 people"
    assert state(app, cast, sam) == (True, False)
    done = john.post(
        "/admin/users/selected",
        {"csrf_token": csrf_of(john, "/admin/users/invite"), "do": "block",
         "id": [str(sam), str(ann)], "from": "type=Guest"},
    )  # fmt: skip
    assert "Blocked 2 people." in done.text
    assert done.url.endswith("/admin/users?type=Guest")
    assert state(app, cast, sam) == state(app, cast, ann) == (False, False)


def test_nobody_is_deleted_when_one_cannot_be_and_he_is_named(
    app: Flask, cast: Cast, john: Browser, sam: UUID
) -> None:
    """ADM-3: all or nothing"""
    token = csrf_of(john, "/admin/users/invite")
    ids = [str(sam), str(cast.john)]
    page = john.post("/admin/users/selected", {"csrf_token": token, "do": "delete", "id": ids})
    assert page.status == 409
    assert "Left out: 1 person" in page.text
    assert "You cannot delete yourself." in page.text
    assert state(app, cast, sam) == (True, False)
    page = page.submit("/selected")
    assert "Deleted 1 person." in page.text
    assert state(app, cast, sam) == (True, True)
    assert state(app, cast, cast.john) == (True, False)


def test_people_are_put_into_a_group_from_the_list(
    app: Flask, cast: Cast, john: Browser, sam: UUID
) -> None:
    page = john.get(f"/admin/users/selected?do=group&id={sam}")
    page = page.submit("/selected", group=str(cast.partners))
    assert "1 person is in the group." in page.text
    assert "Partners" in john.get(f"/admin/users/{sam}/access").text


def test_mixed_ids_too_many_and_unknown_actions_are_refused(
    app: Flask, cast: Cast, john: Browser, adele: Browser, sam: UUID
) -> None:
    """ADM-2, ADM-3"""
    assert john.get(f"/admin/users/selected?do=block&id={sam}&id={cast.otto}").status == 404
    assert john.get(f"/admin/users/selected?do=nothing&id={sam}").status == 404
    many = "&".join(f"id={uuid4()}" for _ in range(51))
    assert john.get(f"/admin/users/selected?do=block&{many}").status == 400
    assert "Nobody is selected." in john.get("/admin/users/selected?do=block").text
    assert adele.get(f"/admin/users/selected?do=block&id={sam}").status == 403
    assert not adele.get("/admin/users").soup.select("main input[name=id]")


def test_the_home_page_counts_what_stopped_and_leads_there(
    app: Flask, cast: Cast, clock: Clock, john: Browser, adele: Browser, sam: UUID
) -> None:
    clock.advance(days=31)
    john.sign_in("john.doe@woodgrove.example", cast.password)
    home = john.get("/admin")
    assert "Newest sign-ins" in home.text
    figures = {
        str(stat.dt.get_text()).strip(): " ".join(stat.dd.get_text().split()).split(" ")[0]
        for stat in home.soup.select(".stat")
        if stat.dt is not None and stat.dd is not None
    }
    assert figures["Expired"] == "1"
    assert figures["Mail failed"] == "0"
    assert "Sam" in home.follow("See what expired").text
    adele.sign_in("adele.vance@woodgrove.example", cast.password)
    assert "Newest sign-ins" not in adele.get("/admin").text


@pytest.mark.parametrize(
    "path", ["/admin/users", "/admin/invitations", "/admin/audit", "/admin/sign-ins",
             "/admin/groups"]
)  # fmt: skip
def test_no_parameter_of_the_address_bends_the_links_of_a_list(
    john: Browser, sam: UUID, path: str
) -> None:
    """ADM-1: names that mean something to the maker of links are left out"""
    query = "_scheme=javascript&_external=1&_anchor=x&_method=PUT&endpoint=x&user_id=x&q=s&since="
    page = john.get(f"{path}?{query}")
    assert page.status == 200
    for link in page.soup.select("a[href]"):
        assert str(link["href"]).startswith(("/", "#")), link
