"""Groups: making them, who is in them, who owns them, and who may change that."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from b2b.errors import Conflict, Denied, Invalid, NotFound
from b2b.models import AuditEvent, Group, Membership, Owner, Role, User, UserType, fold, new_id
from b2b.services import deleted_users, groups, invitations, owners, profiles, resources
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import Clock
from tests.crowd import at_once


def last_events(session: Session, cast: Cast, count: int) -> list[tuple[str, str, str, list[Any]]]:
    """Activity, category, target and changes of the newest events, oldest first."""
    rows = session.scalars(
        select(AuditEvent)
        .where(AuditEvent.tenant_id == cast.woodgrove)
        .order_by(AuditEvent.sequence.desc())
        .limit(count)
    )
    return [
        (
            row.activity,
            row.category,
            row.target_name,
            [(c["property"], c["before"], c["after"]) for c in row.changes],
        )
        for row in reversed(rows.all())
    ]


def own(session: Session, cast: Cast, group_id: UUID, user_id: UUID, now: Any) -> None:
    """Somebody becomes an owner by an administrator's hand."""
    john = acting(session, cast.woodgrove, cast.john, now)
    owners.add(session, john, groups.owned(groups.get(session, john, group_id)), user_id)


def names(page: Any) -> list[str]:
    return [row.display_name for row in page.rows]


def test_who_makes_a_group_owns_it_and_may_change_it(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """groups-apps-roles.md, 1 and 5: members create, the creator becomes owner"""
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    made = groups.create(session, adele, display_name="  Site   plans ", description="")
    assert (made.display_name, made.name_key, made.description) == (
        "Site plans", "site plans", None,
    )  # fmt: skip
    assert made.takes_guests
    assert last_events(session, cast, 2) == [
        (
            "Add group", "GroupManagement", "Site plans",
            [("DisplayName", None, "Site plans"), ("Description", None, None)],
        ),
        (
            "Add owner to group", "GroupManagement", "Site plans",
            [("Owner", None, "Adele Vance")],
        ),
    ]  # fmt: skip
    groups.update(session, adele, made.id, display_name="Plans", description="Of the site")
    assert last_events(session, cast, 1) == [
        (
            "Update group", "GroupManagement", "Plans",
            [("DisplayName", "Site plans", "Plans"), ("Description", None, "Of the site")],
        ),
    ]  # fmt: skip
    groups.add_member(session, adele, made.id, cast.john)
    assert names(groups.members(session, adele, made)) == ["John Doe"]


@pytest.mark.parametrize(
    ("facts", "field", "sentence"),
    [
        ({"display_name": "  "}, "display_name", "Enter a name."),
        ({"display_name": "n" * 257}, "display_name", "At most 256 characters."),
        ({"display_name": "a\x00b"}, "display_name", "Control characters are not allowed here."),
        ({"display_name": "A", "description": "d" * 1025}, "description", "At most 1024"),
        ({"display_name": "A", "description": "\x1b[31m"}, "description", "Control characters"),
    ],
)
def test_a_group_needs_a_proper_name(
    session: Session, cast: Cast, clock: Clock, facts: dict[str, str], field: str, sentence: str
) -> None:
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    with pytest.raises(Invalid, match=sentence) as refused:
        groups.create(session, john, **facts)
    assert refused.value.field == field


def test_members_are_put_in_and_taken_out_with_an_event_each(
    session: Session, cast: Cast, clock: Clock
) -> None:
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    groups.add_member(session, john, cast.partners, cast.adele)
    with pytest.raises(Conflict, match="Adele Vance is in Partners already"):
        groups.add_member(session, john, cast.partners, cast.adele)
    groups.remove_member(session, john, cast.partners, cast.adele)
    with pytest.raises(Conflict, match="This person is not in the group"):
        groups.remove_member(session, john, cast.partners, cast.adele)
    upn = "adele.vance@woodgrove.example"
    assert last_events(session, cast, 2) == [
        ("Add member to group", "GroupManagement", upn, [("Group", None, "Partners")]),
        ("Remove member from group", "GroupManagement", upn, [("Group", "Partners", None)]),
    ]


def test_dynamic_and_synced_groups_are_not_changed_by_hand(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """groups-apps-roles.md, 1"""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    synced = Group(
        tenant_id=cast.woodgrove, id=new_id(), display_name="Site", name_key="site",
        on_premises_sync_enabled=True, created_at=clock.now,
    )  # fmt: skip
    session.add(synced)
    session.flush()
    for change in (groups.add_member, groups.remove_member):
        with pytest.raises(Conflict, match="All guests is filled by its rule"):
            change(session, john, cast.dynamic, cast.adele)
        with pytest.raises(Conflict, match="Site comes from the on-premises directory"):
            change(session, john, synced.id, cast.adele)
    with pytest.raises(Conflict, match="Site comes from the on-premises directory"):
        groups.update(session, john, synced.id, display_name="Mine", description=None)


@pytest.mark.parametrize(
    ("role", "may"),
    [
        (None, False),
        (Role.USER_ADMINISTRATOR, True),
        (Role.GLOBAL_ADMINISTRATOR, True),
        (Role.GUEST_INVITER, False),
        (Role.HELPDESK_ADMINISTRATOR, False),
        (Role.GLOBAL_READER, False),
        (Role.APPLICATION_ADMINISTRATOR, False),
        (Role.CLOUD_APPLICATION_ADMINISTRATOR, False),
    ],
)
def test_who_neither_owns_nor_administers_changes_nothing(
    session: Session, cast: Cast, clock: Clock, role: Role | None, may: bool
) -> None:
    """APP-2, ADM-2"""
    if role is not None:
        factories.give_role(session, cast.woodgrove, cast.adele, role, clock.now)
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    thing = groups.owned(groups.get(session, adele, cast.partners))
    changes: list[Any] = [
        lambda: groups.add_member(session, adele, cast.partners, cast.john),
        lambda: groups.remove_member(session, adele, cast.partners, cast.john),
        lambda: groups.update(
            session, adele, cast.partners, display_name="Partners", description="x"
        ),
        lambda: owners.add(session, adele, thing, cast.adele),
        lambda: owners.remove(session, adele, thing, cast.adele),
    ]
    for change in changes:
        if may:
            change()
            continue
        with pytest.raises(Denied) as refused:
            change()
        assert str(refused.value) == (
            "Only owners of Partners and people with the role User Administrator may do this."
        )


def test_an_owner_manages_his_group_until_ownership_is_taken_away(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """APP-2"""
    own(session, cast, cast.partners, cast.adele, clock.now)
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    groups.add_member(session, adele, cast.partners, cast.john)
    other = groups.create(session, john, display_name="Board")
    with pytest.raises(Denied):
        groups.add_member(session, adele, other.id, cast.adele)
    thing = groups.owned(groups.get(session, john, cast.partners))
    with pytest.raises(Conflict, match="Adele Vance owns this already"):
        owners.add(session, john, thing, cast.adele)
    owners.remove(session, john, thing, cast.adele)
    assert last_events(session, cast, 1) == [
        (
            "Remove owner from group", "GroupManagement", "Partners",
            [("Owner", "Adele Vance", None)],
        ),
    ]  # fmt: skip
    with pytest.raises(Denied):
        groups.remove_member(session, adele, cast.partners, cast.john)
    with pytest.raises(Conflict, match="not among the owners"):
        owners.remove(session, john, thing, cast.adele)


def test_what_lies_in_another_tenant_is_not_there(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """ADM-3"""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    foreign = Group(
        tenant_id=cast.contoso, id=new_id(), display_name="Theirs", name_key="theirs",
        created_at=clock.now,
    )  # fmt: skip
    session.add(foreign)
    session.flush()
    for group_id in (foreign.id, uuid4()):
        with pytest.raises(NotFound):
            groups.get(session, john, group_id)
        with pytest.raises(NotFound):
            groups.add_member(session, john, group_id, cast.adele)
    for user_id in (cast.otto, uuid4()):
        with pytest.raises(NotFound):
            groups.add_member(session, john, cast.partners, user_id)
        with pytest.raises(Conflict):
            groups.remove_member(session, john, cast.partners, user_id)
        with pytest.raises(NotFound):
            owners.add(
                session, john, groups.owned(groups.get(session, john, cast.partners)), user_id
            )
    assert "Theirs" not in names(resources.listing(session, john, groups.KIND))


def test_deleted_people_are_neither_shown_nor_added(
    session: Session, cast: Cast, clock: Clock
) -> None:
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    groups.add_member(session, john, cast.partners, cast.adele)
    own(session, cast, cast.partners, cast.adele, clock.now)
    deleted_users.remove(session, john, cast.adele)
    session.flush()
    partners = groups.get(session, john, cast.partners)
    assert groups.members(session, john, partners).total == 0
    assert owners.of(session, john, groups.owned(partners)) == []
    with pytest.raises(NotFound):
        groups.add_member(session, john, groups.create(session, john, display_name="B").id,
                          cast.adele)  # fmt: skip
    deleted_users.restore(session, john, cast.adele)
    session.flush()
    assert names(groups.members(session, john, partners)) == ["Adele Vance"], "as it was"


def test_lists_of_groups_are_paged_by_name_and_found_by_its_beginning(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """scale.md, 1"""
    session.add_all(
        Group(
            tenant_id=cast.woodgrove, id=new_id(), display_name=f"Team {number:03}",
            name_key=f"team {number:03}", created_at=clock.now,
        )
        for number in range(120)
    )  # fmt: skip
    session.flush()
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    first = resources.listing(session, adele, groups.KIND)
    assert names(first)[:3] == ["All guests", "Partners", "Team 000"]
    assert (len(first.rows), first.total, first.before) == (50, 122, None)
    second = resources.listing(session, adele, groups.KIND, after=first.after)
    third = resources.listing(session, adele, groups.KIND, after=second.after)
    assert names(second)[0] == "Team 048"
    assert (names(third)[-1], third.after) == ("Team 119", None)
    back = resources.listing(session, adele, groups.KIND, before=third.before)
    assert names(back) == names(second)
    found = resources.listing(session, adele, groups.KIND, search="TEAM 11")
    assert names(found) == [f"Team 11{n}" for n in range(10)]
    assert names(resources.listing(session, adele, groups.KIND, search="000")) == [], (
        "the beginning, not a part"
    )
    assert names(resources.listing(session, adele, groups.KIND, mine=True)) == []
    own(session, cast, cast.partners, cast.adele, clock.now)
    assert names(resources.listing(session, adele, groups.KIND, mine=True)) == ["Partners"]


def test_members_are_paged_by_name_also_after_somebody_is_renamed(
    session: Session, cast: Cast, clock: Clock
) -> None:
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    many = [f"guest{number:02}@partner.example" for number in range(50)]
    invitations.invite_many(session, john, addresses_text=many, group_ids=[cast.partners])
    groups.add_member(session, john, cast.partners, cast.adele)
    partners = groups.get(session, john, cast.partners)
    first = groups.members(session, john, partners)
    assert names(first)[:2] == ["Adele Vance", "guest00"]
    assert first.total == 51
    assert names(groups.members(session, john, partners, after=first.after)) == ["guest49"]
    profiles.update_profile(session, john, cast.adele, display_name="Zelda Vance")
    session.flush()
    first = groups.members(session, john, partners)
    assert names(first)[0] == "guest00"
    assert names(groups.members(session, john, partners, after=first.after)) == ["Zelda Vance"]


# Inviting to a group ----------------------------------------------------------------------------


def test_only_owners_and_administrators_invite_into_a_group(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """APP-2: forced post, refused beside the field"""
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    with pytest.raises(Invalid) as refused:
        invitations.invite(session, adele, address="sam@partner.example", group_ids=[cast.partners])
    assert (refused.value.field, refused.value.code) == ("groups", "Forbidden")
    assert str(refused.value) == "Only its owners and administrators put people into Partners."
    assert groups.offered(session, adele) == []
    own(session, cast, cast.partners, cast.adele, clock.now)
    assert [group.id for group in groups.offered(session, adele)] == [cast.partners]
    invited = invitations.invite(
        session, adele, address="sam@partner.example", group_ids=[cast.partners]
    )
    assert session.get(Membership, (cast.woodgrove, cast.partners, invited.user_id)) is not None


def test_a_guest_who_owns_a_group_invites_to_it(session: Session, cast: Cast, clock: Clock) -> None:
    """APP-2: what counts is ownership, not the user type"""
    session.execute(
        update(User)
        .where(User.tenant_id == cast.woodgrove, User.id == cast.adele)
        .values(user_type=UserType.GUEST)
    )
    own(session, cast, cast.partners, cast.adele, clock.now)
    session.expire_all()
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    assert adele.is_guest
    invitations.invite(session, adele, address="sam@partner.example", group_ids=[cast.partners])


def test_ownership_that_ends_between_form_and_post_counts(
    app: Flask, cast: Cast, clock: Clock
) -> None:
    """APP-2: ownership removed meanwhile, whoever comes first"""
    from b2b import worker
    from b2b.extensions import db

    with app.app_context(), worker.transaction() as session:
        own(session, cast, cast.partners, cast.adele, clock.now)

    def race(session: Session, number: int) -> str:
        if number == 0:
            john = acting(session, cast.woodgrove, cast.john, clock.now)
            thing = groups.owned(groups.get(session, john, cast.partners))
            owners.remove(session, john, thing, cast.adele)
            return "removed"
        adele = acting(session, cast.woodgrove, cast.adele, clock.now)
        invitations.invite(
            session, adele, address=f"guest{number}@partner.example", group_ids=[cast.partners]
        )
        return "invited"

    done, faults = at_once(app, 8, race)
    assert done.count("removed") == 1
    assert all(isinstance(fault, Invalid) for fault in faults), faults
    with app.app_context():
        order = db.session.scalars(
            select(AuditEvent.activity)
            .where(
                AuditEvent.tenant_id == cast.woodgrove,
                AuditEvent.activity.in_(["Add member to group", "Remove owner from group"]),
            )
            .order_by(AuditEvent.sequence)
        ).all()
        assert order[-1] == "Remove owner from group", "nobody is put in afterwards"
        assert order.count("Add member to group") == done.count("invited")
        db.session.remove()


def test_what_is_chosen_is_offered_even_past_the_first_two_hundred(
    session: Session, cast: Cast, clock: Clock
) -> None:
    session.add_all(
        Group(
            tenant_id=cast.woodgrove, id=new_id(), display_name=f"A {number:03}",
            name_key=fold(f"A {number:03}"), created_at=clock.now,
        )
        for number in range(200)
    )  # fmt: skip
    session.flush()
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    assert len(groups.offered(session, john)) == 200
    offered = groups.offered(session, john, including=[cast.partners])
    assert len(offered) == 201
    assert offered[-1].id == cast.partners
    session.execute(delete(Owner))
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    assert groups.offered(session, adele, including=[cast.partners]) == []
