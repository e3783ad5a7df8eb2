"""Rooms for groups and applications: who sees what, and what each button comes to."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from sqlalchemy import func, select

from b2b import worker
from b2b.extensions import db
from b2b.models import (
    AppRoleAssignment,
    Group,
    Membership,
    Owner,
    Role,
    ServicePrincipal,
    new_id,
)
from b2b.services import applications, groups, invitations, owners
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import Clock
from tests.pages import Browser, Page
from tests.web.test_every_route import csrf_of


def rows(page: Page) -> list[str]:
    """First cells of the list."""
    return [" ".join(cell.get_text(" ").split()) for cell in page.soup.select("main tbody th")]


def own(app: Flask, cast: Cast, clock: Clock, *, group: bool = True) -> None:
    """Adele becomes the owner of Partners, or of Projects."""
    with app.app_context(), worker.transaction() as session:
        boss = acting(session, cast.woodgrove, cast.john, clock.now)
        thing = (
            groups.owned(groups.get(session, boss, cast.partners))
            if group
            else applications.owned(applications.get(session, boss, cast.projects))
        )
        owners.add(session, boss, thing, cast.adele)


def count(app: Flask, table: Any) -> int:
    with app.app_context():
        found = db.session.execute(select(func.count()).select_from(table)).scalar_one()
        db.session.remove()
    return int(found)


def test_a_group_is_made_changed_filled_and_emptied(
    app: Flask, cast: Cast, clock: Clock, john: Browser
) -> None:
    page = john.get("/admin/groups").follow("New group")
    refused = page.submit(display_name=" ", description="What for")
    assert refused.errors == ["Enter a name."]
    assert "What for" in refused.text
    made = refused.submit(display_name="Harbour", description="What for")
    assert made.h1 == "Harbour"
    assert "Harbour is made, and yours." in made.text
    assert "John Doe" in made.text, "the owner"
    changed = made.follow("Properties").submit(display_name="Harbour Street", description="")
    assert changed.h1 == "Harbour Street"
    search = changed.follow("Add a member")
    assert search.h1 == "Add a member to Harbour Street"
    found = john.get(f"{search.path}?q=adele")
    assert rows(found) == ["AV Adele Vance adele.vance@woodgrove.example"]
    added = found.submit("/members")
    assert added.path == made.path
    assert "Adele Vance is in the group." in added.text
    assert rows(added) == ["AV Adele Vance adele.vance@woodgrove.example"]
    again = john.get(f"{search.path}?q=adele")
    assert "In the group already" in again.text
    gone = added.submit("/members/remove")
    assert "Adele Vance is out of the group." in gone.text
    assert "Nobody is in this group" in gone.text
    assert rows(gone) == []
    john.get("/admin/groups?q=harb")
    assert rows(john.get("/admin/groups?q=harb")) == ["Harbour Street"]
    assert "No group begins like this" in john.get("/admin/groups?q=street").text


def test_an_application_is_assigned_and_unassigned(
    app: Flask, cast: Cast, clock: Clock, john: Browser
) -> None:
    assert rows(john.get("/admin/applications")) == ["Deliveries", "Payroll", "Projects"]
    page = john.get("/admin/applications").follow("Projects")
    assert "Nobody is assigned" in page.text
    people = page.follow("Assign")
    assert people.h1 == "Assign to Projects"
    found = john.get(f"{people.path}?q=adele")
    assigned = found.submit("/assignments")
    assert "Adele Vance is assigned." in assigned.text
    teams = john.get(f"{people.path}?kind=groups")
    assert rows(teams) == ["A All guests", "P Partners"]
    assigned = john.get(f"{people.path}?kind=groups&q=part").submit("/assignments")
    assert "Partners is assigned." in assigned.text
    assert len(rows(assigned)) == 2
    open_to_all = assigned.submit("/assignment-required")
    assert "Everybody in the directory may use Projects." in open_to_all.text
    assert "Only assigned people may use Projects." in open_to_all.submit(
        "/assignment-required"
    ).text  # fmt: skip
    gone = assigned.submit("/assignments/remove")
    assert "Adele Vance is no longer assigned." in gone.text
    assert rows(gone) == ["P Partners"]


def test_inviting_starts_on_a_group_and_on_an_application(
    cast: Cast, clock: Clock, john: Browser
) -> None:
    for path, field, chosen in (
        (f"/admin/groups/{cast.partners}", "groups", cast.partners),
        (f"/admin/applications/{cast.projects}", "applications", cast.projects),
    ):
        form = john.get(path).follow("Invite somebody")
        boxes = form.soup.select(f"input[name={field}][checked]")
        assert [box["value"] for box in boxes] == [str(chosen)]
        preview = form.soup.select_one("iframe[name=preview]")
        assert preview is not None
        assert str(chosen) in str(preview["src"])
    for path in (f"/admin/groups/{cast.dynamic}", f"/admin/applications/{cast.payroll}"):
        assert "Invite somebody" not in john.get(path).text


def test_dynamic_and_synced_groups_say_why_they_are_not_changed(
    app: Flask, cast: Cast, clock: Clock, john: Browser
) -> None:
    """groups-apps-roles.md, 1"""
    with app.app_context(), worker.transaction() as session:
        synced = Group(
            tenant_id=cast.woodgrove, id=new_id(), display_name="Site", name_key="site",
            on_premises_sync_enabled=True, created_at=clock.now,
        )  # fmt: skip
        session.add(synced)
        synced_id = synced.id
    token = csrf_of(john, "/admin/groups/new")
    for group_id, note, reason in (
        (cast.dynamic, "Filled by its rule", "All guests is filled by its rule"),
        (synced_id, "Comes from the on-premises directory", "Site comes from the on-premises"),
    ):
        page = john.get(f"/admin/groups/{group_id}")
        assert note in page.text
        assert "Add a member" not in page.text
        for action in ("members", "members/remove"):
            refused = john.post(
                f"/admin/groups/{group_id}/{action}",
                {"csrf_token": token, "member": str(cast.adele)},
            )
            assert reason in refused.text
    assert count(app, Membership) == 0


def test_a_member_reads_and_an_owner_manages_what_is_his(
    app: Flask, cast: Cast, clock: Clock, adele: Browser
) -> None:
    """APP-2"""
    group, application = f"/admin/groups/{cast.partners}", f"/admin/applications/{cast.projects}"
    token = csrf_of(adele, "/admin/groups/new")
    forced: list[tuple[str, dict[str, str]]] = [
        (f"{group}/members", {"member": str(cast.adele)}),
        (f"{group}/members/remove", {"member": str(cast.adele)}),
        (f"{group}/owners", {"owner": str(cast.adele)}),
        (f"{group}/edit", {"display_name": "Mine"}),
        (f"{application}/assignments", {"principal": str(cast.adele), "kind": "User"}),
        (f"{application}/assignment-required", {"required": "no"}),
        (f"{application}/owners", {"owner": str(cast.adele)}),
    ]
    for path in (group, application):
        page = adele.get(path)
        assert "You can read this." in page.text
        assert not page.soup.select("main form[method=post]")
        assert "Invite somebody" not in page.text
    for path, data in forced:
        assert adele.post(path, {"csrf_token": token, **data}).status == 403, path
    for path in (f"{group}/members/add", f"{group}/owners/add", f"{application}/assign"):
        assert adele.get(path).status == 403, path
    assert (count(app, Membership), count(app, Owner), count(app, AppRoleAssignment)) == (0, 0, 0)
    assert "You own no group" in adele.get("/admin/groups?view=mine").text
    own(app, cast, clock)
    own(app, cast, clock, group=False)
    assert rows(adele.get("/admin/groups?view=mine")) == ["Partners"]
    assert rows(adele.get("/admin/applications?view=mine")) == ["Projects"]
    for path in (group, application):
        assert "Invite somebody" in adele.get(path).text
    for path, data in forced:
        assert adele.post(path, {"csrf_token": token, **data}).status == 200, path
    assert count(app, Membership) == 0, "added and removed again"
    assert count(app, AppRoleAssignment) == 1


def test_owners_are_named_and_taken_away_on_the_page(
    app: Flask, cast: Cast, clock: Clock, john: Browser
) -> None:
    for path in (f"/admin/groups/{cast.partners}", f"/admin/applications/{cast.projects}"):
        search = john.get(path).follow("Add an owner")
        named = john.get(f"{search.path}?q=adele").submit("/owners")
        assert "Adele Vance owns this now." in named.text
        assert "Owner already" in john.get(f"{search.path}?q=adele").text
        gone = named.submit("/owners/remove")
        assert "Adele Vance owns this no longer." in gone.text
        assert "Nobody owns this." in gone.text


@pytest.mark.parametrize(
    ("role", "in_groups", "in_applications"),
    [
        (Role.USER_ADMINISTRATOR, True, False),
        (Role.CLOUD_APPLICATION_ADMINISTRATOR, False, True),
        (Role.APPLICATION_ADMINISTRATOR, False, True),
        (Role.GUEST_INVITER, False, False),
    ],
)
def test_roles_open_one_room_or_the_other(
    app: Flask,
    cast: Cast,
    clock: Clock,
    adele: Browser,
    role: Role,
    in_groups: bool,
    in_applications: bool,
) -> None:
    """groups-apps-roles.md, 3"""
    with app.app_context(), worker.transaction() as session:
        factories.give_role(session, cast.woodgrove, cast.adele, role, clock.now)
    for path, may in (
        (f"/admin/groups/{cast.partners}/members/add", in_groups),
        (f"/admin/applications/{cast.projects}/assign", in_applications),
    ):
        page = adele.get(path)
        assert page.status == (200 if may else 403)
        if not may:
            assert "people with the role" in page.text
    form = adele.get("/admin/users/invite")
    assert bool(form.soup.select("input[name=groups]")) is in_groups
    assert bool(form.soup.select("input[name=applications]")) is in_applications


def test_what_lies_elsewhere_or_nowhere_answers_alike(
    app: Flask, cast: Cast, clock: Clock, john: Browser
) -> None:
    """ADM-3"""
    with app.app_context(), worker.transaction() as session:
        group = Group(
            tenant_id=cast.contoso, id=new_id(), display_name="Theirs", name_key="theirs",
            created_at=clock.now,
        )  # fmt: skip
        application = ServicePrincipal(
            tenant_id=cast.contoso, id=new_id(), app_id=uuid4(), display_name="Theirs",
            name_key="theirs", created_at=clock.now,
        )  # fmt: skip
        session.add_all([group, application])
        foreign = {"groups": group.id, "applications": application.id}
    token = csrf_of(john, "/admin/groups/new")
    pages = {
        "groups": ["", "/edit", "/members/add", "/owners/add"],
        "applications": ["", "/assign", "/owners/add"],
    }
    buttons: dict[str, list[tuple[str, str, UUID]]] = {
        "groups": [("members", "member", cast.adele), ("owners", "owner", cast.adele)],
        "applications": [
            ("assignments", "principal", cast.adele), ("owners", "owner", cast.adele),
            ("assignment-required", "required", cast.adele),
        ],
    }  # fmt: skip
    for room, found in foreign.items():
        for identifier in (str(found), str(uuid4()), "not-an-id"):
            for page in pages[room]:
                assert john.get(f"/admin/{room}/{identifier}{page}").status == 404
            for action, field, value in buttons[room]:
                data = {"csrf_token": token, field: str(value)}
                assert john.post(f"/admin/{room}/{identifier}/{action}", data).status == 404
    for path, field in (
        (f"/admin/groups/{cast.partners}/members", "member"),
        (f"/admin/groups/{cast.partners}/owners", "owner"),
        (f"/admin/applications/{cast.projects}/assignments", "principal"),
    ):
        for value in (str(cast.otto), str(uuid4()), "not-an-id", ""):
            assert john.post(path, {"csrf_token": token, field: value}).status == 404


def test_long_lists_are_paged_and_strange_places_are_harmless(
    app: Flask, cast: Cast, clock: Clock, john: Browser
) -> None:
    """scale.md, 1"""
    with app.app_context(), worker.transaction() as session:
        boss = acting(session, cast.woodgrove, cast.john, clock.now)
        for number in range(60):
            groups.create(session, boss, display_name=f"Team {number:02}")
        many = [f"guest{number:02}@partner.example" for number in range(50)]
        invitations.invite_many(
            session, boss, addresses_text=many, group_ids=[cast.partners],
            application_ids=[cast.projects],
        )  # fmt: skip
        groups.add_member(session, boss, cast.partners, cast.john)
    for path, last, total in (
        ("/admin/groups", "Team 59", "62 groups"),
        (f"/admin/groups/{cast.partners}", "JD John Doe john.doe@woodgrove.example",
         "51 members"),
    ):  # fmt: skip
        first = john.get(path)
        assert len(rows(first)) == 50
        assert total in first.text
        second = first.follow("Next")
        assert rows(second)[-1] == last
        assert rows(second.follow("Previous")) == rows(first)
    assert len(rows(john.get(f"/admin/applications/{cast.projects}"))) == 50
    for place in ("x", ".", "zz.a", f"{uuid4().hex}.\x00", f"{uuid4().hex}.é"):
        for path in ("/admin/groups", f"/admin/groups/{cast.partners}", "/admin/applications",
                     f"/admin/applications/{cast.projects}"):  # fmt: skip
            for name in ("after", "before"):
                assert john.client.get(
                    path, query_string={name: place}, base_url="http://localhost:5000"
                ).status_code == 200  # fmt: skip


@pytest.mark.parametrize(
    "database_url", ["sqlite"], indirect=True
)  # its driver tells every statement
def test_a_page_of_members_asks_no_question_per_row(
    app: Flask, cast: Cast, clock: Clock, john: Browser
) -> None:
    """scale.md, 1"""
    asked: list[int] = []
    for people in (1, 40):
        with app.app_context(), worker.transaction() as session:
            boss = acting(session, cast.woodgrove, cast.john, clock.now)
            many = [f"guest{people}x{number}@partner.example" for number in range(people)]
            invitations.invite_many(
                session, boss, addresses_text=many, group_ids=[cast.partners],
                application_ids=[cast.projects],
            )  # fmt: skip
        with app.app_context():
            said: list[str] = []
            session = db.session()
            driver: Any = session.connection().connection.driver_connection
            driver.set_trace_callback(said.append)
            boss = acting(session, cast.woodgrove, cast.john, clock.now)
            found = groups.members(session, boss, groups.get(session, boss, cast.partners))
            page, shown = applications.assignments(
                session, boss, applications.get(session, boss, cast.projects)
            )
            driver.set_trace_callback(None)
            assert len(found.rows) == len(shown) == len(page.rows) >= people
            asked.append(len(said))
            db.session.remove()
    assert asked[0] == asked[1]
