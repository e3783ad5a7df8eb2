"""What My Apps shows: assigned directly or through a group, by pages, and nothing of others."""

from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.models import Group, PrincipalType, ServicePrincipal, fold, new_id
from b2b.services import access_panel, applications, groups
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import Clock


def add_apps(session: Session, tenant: UUID, names: Sequence[str], clock: Clock) -> list[UUID]:
    made = [
        ServicePrincipal(
            tenant_id=tenant, id=new_id(), app_id=uuid4(), display_name=name,
            name_key=fold(name), created_at=clock.now, sign_in_url="https://apps.example/",
        )
        for name in names
    ]  # fmt: skip
    session.add_all(made)
    session.flush()
    return [one.id for one in made]


def sam(session: Session, cast: Cast, clock: Clock) -> Actor:
    invited = factories.invite(session, cast, clock.now, "sam@partner.example")
    factories.accept(session, cast, invited, clock.now)
    return acting(session, cast.woodgrove, invited.user_id, clock.now)


def names(shelf: access_panel.Shelf[applications.Tile]) -> list[str]:
    return [tile.name for tile in shelf.rows]


def test_apps_come_directly_and_through_groups_and_each_once(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """APP-1: what is for members only is never a guest's, not through a group either"""
    guest = sam(session, cast, clock)
    assert guest.user_id is not None
    assert names(access_panel.apps(session, guest)) == []
    direct = [(guest.user_id, cast.deliveries)]
    applications.assign(session, cast.woodgrove, direct, clock.now)
    through = [(cast.partners, app) for app in (cast.deliveries, cast.projects, cast.payroll)]
    applications.assign(
        session, cast.woodgrove, through, clock.now, principal_type=PrincipalType.GROUP
    )
    assert names(access_panel.apps(session, guest)) == ["Deliveries"]
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    groups.add_member(session, john, cast.partners, guest.user_id)
    session.flush()
    assert names(access_panel.apps(session, guest)) == ["Deliveries", "Projects"]
    groups.add_member(session, john, cast.partners, cast.adele)
    session.flush()
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    assert names(access_panel.apps(session, adele)) == ["Deliveries", "Payroll", "Projects"]
    session.get_one(ServicePrincipal, (cast.woodgrove, cast.projects)).account_enabled = False
    session.flush()
    assert names(access_panel.apps(session, guest)) == ["Deliveries"]
    elsewhere = acting(session, cast.contoso, cast.otto, clock.now)
    assert names(access_panel.apps(session, elsewhere)) == []


def test_a_thousand_apps_come_by_pages_both_ways(
    session: Session, cast: Cast, clock: Clock
) -> None:
    guest = sam(session, cast, clock)
    assert guest.user_id is not None
    made = add_apps(session, cast.woodgrove, [f"App {n:04}" for n in range(100)], clock)
    pairs = [(guest.user_id, app) for app in made]
    applications.assign(session, cast.woodgrove, pairs, clock.now)
    first = access_panel.apps(session, guest)
    assert (names(first)[0], names(first)[-1], first.total) == ("App 0000", "App 0029", 100)
    assert first.before is None
    second = access_panel.apps(session, guest, after=first.after)
    assert (names(second)[0], names(second)[-1], second.total) == ("App 0030", "App 0059", 100)
    third = access_panel.apps(session, guest, after=second.after)
    last = access_panel.apps(session, guest, after=third.after)
    assert (names(last)[0], names(last)[-1], last.after) == ("App 0090", "App 0099", None)
    back = access_panel.apps(session, guest, before=last.before)
    assert names(back) == names(third)
    front = access_panel.apps(session, guest, before=second.before)
    assert (names(front), front.before) == (names(first), None)


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("harbour", ["Harbour plans"]),
        ("PLANS", ["Garden plans", "Harbour plans"]),
        ("100%", ["100% done"]),
        ("0% d", ["100% done"]),
        ("%", ["100% done"]),
        ("a_b", ["a_b"]),
        ("\\", []),
        ("x\0y", []),
        ("nothing like it", []),
        ("   ", ["100% done", "a_b", "axb", "Garden plans", "Harbour plans"]),
    ],
)
def test_a_part_of_the_name_finds_an_app(
    session: Session, cast: Cast, clock: Clock, typed: str, found: list[str]
) -> None:
    guest = sam(session, cast, clock)
    assert guest.user_id is not None
    every = ["Harbour plans", "Garden plans", "100% done", "a_b", "axb"]
    made = add_apps(session, cast.woodgrove, every, clock)
    pairs = [(guest.user_id, app) for app in made]
    applications.assign(session, cast.woodgrove, pairs, clock.now)
    assert names(access_panel.apps(session, guest, search=typed)) == found


def test_groups_come_by_pages_and_are_ones_own(session: Session, cast: Cast, clock: Clock) -> None:
    guest = sam(session, cast, clock)
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    assert guest.user_id is not None
    for number in range(33):
        made = Group(
            tenant_id=cast.woodgrove, id=new_id(), display_name=f"Team {number:02}",
            name_key=f"team {number:02}", created_at=clock.now,
        )  # fmt: skip
        session.add(made)
        session.flush()
        groups.add_member(session, john, made.id, guest.user_id)
    session.flush()
    first = access_panel.groups(session, guest)
    assert (len(first.rows), first.total) == (30, 33)
    rest = access_panel.groups(session, guest, after=first.after)
    assert [group.display_name for group in rest.rows] == ["Team 30", "Team 31", "Team 32"]
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    assert access_panel.groups(session, adele).rows == []
