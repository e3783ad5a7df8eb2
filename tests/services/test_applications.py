"""Applications: who is assigned, who owns them, and what guests never get."""

from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from b2b.errors import Conflict, Denied, Invalid, NotFound
from b2b.models import PrincipalType, Role, ServicePrincipal, new_id
from b2b.services import applications, groups, invitations, owners, resources
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import Clock
from tests.services.test_groups import last_events

USER, GROUP = PrincipalType.USER, PrincipalType.GROUP


def assigned(session: Session, actor: Any, application_id: Any) -> list[applications.Assigned]:
    found = applications.get(session, actor, application_id)
    return applications.assignments(session, actor, found)[1]


def test_people_and_groups_are_assigned_and_unassigned_with_an_event_each(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """audit-reporting.md, 2"""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    applications.add_assignment(session, john, cast.projects, cast.adele, USER)
    applications.add_assignment(session, john, cast.projects, cast.partners, GROUP)
    rows = assigned(session, john, cast.projects)
    assert [(row.name, row.kind, row.detail) for row in rows] == [
        ("Adele Vance", USER, "adele.vance@woodgrove.example"),
        ("Partners", GROUP, None),
    ]
    for row in rows:
        applications.remove_assignment(session, john, cast.projects, row.id)
    assert assigned(session, john, cast.projects) == []
    upn, category = "adele.vance@woodgrove.example", "ApplicationManagement"
    assert last_events(session, cast, 4) == [
        (
            "Add app role assignment grant to user", category, upn,
            [("Application", None, "Projects")],
        ),
        (
            "Add app role assignment to group", category, "Partners",
            [("Application", None, "Projects")],
        ),
        (
            "Remove app role assignment from user", category, upn,
            [("Application", "Projects", None)],
        ),
        (
            "Remove app role assignment from group", category, "Partners",
            [("Application", "Projects", None)],
        ),
    ]  # fmt: skip
    with pytest.raises(Conflict, match="has ended already"):
        applications.remove_assignment(session, john, cast.projects, rows[0].id)


def test_an_assignment_of_one_application_is_not_ended_by_another(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """APP-2"""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    applications.add_assignment(session, john, cast.projects, cast.adele, USER)
    [row] = assigned(session, john, cast.projects)
    with pytest.raises(Conflict, match="has ended already"):
        applications.remove_assignment(session, john, cast.deliveries, row.id)
    assert len(assigned(session, john, cast.projects)) == 1


def test_what_is_assigned_already_is_said(session: Session, cast: Cast, clock: Clock) -> None:
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    for principal, kind, sentence in (
        (cast.adele, USER, "Adele Vance is assigned to Projects already."),
        (cast.partners, GROUP, "Partners is assigned to Projects already."),
    ):
        applications.add_assignment(session, john, cast.projects, principal, kind)
        with pytest.raises(Conflict) as refused:
            applications.add_assignment(session, john, cast.projects, principal, kind)
        assert str(refused.value) == sentence


def test_guests_never_get_what_is_for_members_only(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """By hand, by invitation, or through a group."""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    invited = factories.invite(session, cast, clock.now, group_ids=[cast.partners])
    with pytest.raises(Conflict, match="Payroll is for members only"):
        applications.add_assignment(session, john, cast.payroll, invited.user_id, USER)
    applications.add_assignment(session, john, cast.payroll, cast.adele, USER)
    applications.add_assignment(session, john, cast.payroll, cast.partners, GROUP)
    applications.add_assignment(session, john, cast.projects, cast.partners, GROUP)
    groups.add_member(session, john, cast.partners, cast.john)
    tiles = {
        person: [tile.name for tile in applications.tiles(session, cast.woodgrove, person)]
        for person in (invited.user_id, cast.adele, cast.john)
    }
    assert tiles == {
        invited.user_id: ["Projects"],
        cast.adele: ["Payroll"],
        cast.john: ["Payroll", "Projects"],
    }


def test_nobody_is_assigned_to_what_is_switched_off(
    session: Session, cast: Cast, clock: Clock
) -> None:
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    session.execute(
        update(ServicePrincipal)
        .where(ServicePrincipal.id == cast.projects)
        .values(account_enabled=False)
    )
    session.expire_all()
    with pytest.raises(Conflict, match="Projects is switched off"):
        applications.add_assignment(session, john, cast.projects, cast.adele, USER)


def test_whether_assignment_is_required_is_changed_once_and_audited(
    session: Session, cast: Cast, clock: Clock
) -> None:
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    for _ in range(2):
        applications.require_assignment(session, john, cast.projects, False)
    events = last_events(session, cast, 2)
    assert events[-1] == (
        "Update service principal", "ApplicationManagement", "Projects",
        [("AppRoleAssignmentRequired", True, False)],
    )  # fmt: skip
    assert events[0][0] != "Update service principal"


@pytest.mark.parametrize(
    ("role", "may"),
    [
        (None, False),
        (Role.APPLICATION_ADMINISTRATOR, True),
        (Role.CLOUD_APPLICATION_ADMINISTRATOR, True),
        (Role.GLOBAL_ADMINISTRATOR, True),
        (Role.USER_ADMINISTRATOR, False),
        (Role.GUEST_INVITER, False),
        (Role.HELPDESK_ADMINISTRATOR, False),
        (Role.GLOBAL_READER, False),
    ],
)
def test_who_neither_owns_nor_administers_assigns_nobody(
    session: Session, cast: Cast, clock: Clock, role: Role | None, may: bool
) -> None:
    """APP-2, ADM-2; groups-apps-roles.md, 3"""
    if role is not None:
        factories.give_role(session, cast.woodgrove, cast.adele, role, clock.now)
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    offered = [one.display_name for one in applications.offered(session, adele)]
    assert offered == (["Deliveries", "Projects"] if may else [])
    thing = applications.owned(applications.get(session, adele, cast.projects))
    changes: list[Any] = [
        lambda: applications.add_assignment(session, adele, cast.projects, cast.john, USER),
        lambda: applications.require_assignment(session, adele, cast.projects, False),
        lambda: owners.add(session, adele, thing, cast.adele),
    ]
    for change in changes:
        if may:
            change()
            continue
        with pytest.raises(Denied) as refused:
            change()
        assert str(refused.value) == (
            "Only owners of Projects and people with the role Cloud Application Administrator "
            "may do this."
        )
    if not may:
        with pytest.raises(Invalid) as beside:
            invitations.invite(
                session, adele, address="sam@partner.example", application_ids=[cast.projects]
            )
        assert (beside.value.field, beside.value.code) == ("applications", "Forbidden")
        assert "Only its owners and administrators assign people to Projects." in str(beside.value)


def test_an_owner_assigns_and_invites_to_his_application_alone(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """APP-2"""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    thing = applications.owned(applications.get(session, john, cast.projects))
    owners.add(session, john, thing, cast.adele)
    assert last_events(session, cast, 1) == [
        (
            "Add owner to service principal", "ApplicationManagement", "Projects",
            [("Owner", None, "Adele Vance")],
        ),
    ]  # fmt: skip
    assert [one.id for one in applications.offered(session, adele)] == [cast.projects]
    invitations.invite(
        session, adele, address="sam@partner.example", application_ids=[cast.projects]
    )
    with pytest.raises(Invalid, match="assign people to Deliveries"):
        invitations.invite(
            session, adele, address="eve@partner.example",
            application_ids=[cast.projects, cast.deliveries],
        )  # fmt: skip
    with pytest.raises(Denied):
        applications.add_assignment(session, adele, cast.deliveries, cast.adele, USER)
    mine = resources.listing(session, adele, applications.KIND, mine=True)
    assert [row.display_name for row in mine.rows] == ["Projects"]


def test_applications_and_people_of_another_tenant_are_not_there(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """ADM-3"""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    foreign = ServicePrincipal(
        tenant_id=cast.contoso, id=new_id(), app_id=uuid4(), display_name="Theirs",
        name_key="theirs", created_at=clock.now,
    )  # fmt: skip
    session.add(foreign)
    session.flush()
    for application_id in (foreign.id, uuid4()):
        with pytest.raises(NotFound):
            applications.add_assignment(session, john, application_id, cast.adele, USER)
    for principal in (cast.otto, uuid4()):
        for kind in PrincipalType:
            with pytest.raises(NotFound):
                applications.add_assignment(session, john, cast.projects, principal, kind)
    shown = resources.listing(session, john, applications.KIND)
    assert [row.display_name for row in shown.rows] == ["Deliveries", "Payroll", "Projects"]
    found = resources.listing(session, john, applications.KIND, search="pay")
    assert [row.display_name for row in found.rows] == ["Payroll"]


def test_assignments_are_paged_in_their_order(session: Session, cast: Cast, clock: Clock) -> None:
    """scale.md, 1"""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    many = [f"guest{number:02}@partner.example" for number in range(50)]
    invitations.invite_many(session, john, addresses_text=many, application_ids=[cast.projects])
    applications.add_assignment(session, john, cast.projects, cast.adele, USER)
    found = applications.get(session, john, cast.projects)
    first, rows = applications.assignments(session, john, found)
    assert (len(rows), first.total, first.before) == (50, 51, None)
    assert all(row.is_guest for row in rows)
    second, last = applications.assignments(session, john, found, after=first.after)
    assert [row.name for row in last] == ["Adele Vance"]
    assert second.after is None
    _, back = applications.assignments(session, john, found, before=second.before)
    assert [row.id for row in back] == [row.id for row in rows]


def test_listing_needs_the_right_to_read_the_directory(
    session: Session, cast: Cast, clock: Clock
) -> None:
    invited = factories.invite(session, cast, clock.now)
    guest = acting(session, cast.woodgrove, invited.user_id, clock.now)
    for kind in (groups.KIND, applications.KIND):
        with pytest.raises(Denied):
            resources.listing(session, guest, kind)
    assert session.execute(select(ServicePrincipal)).first() is not None
