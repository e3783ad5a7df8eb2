"""Several people at once: all of them or nobody."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.orm import Session

from b2b.errors import Denied, Invalid, NotAll, NotFound
from b2b.models import Role, User
from b2b.services import deleted_users, groups, user_handling
from b2b.services.user_handling import Together
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import Clock


@pytest.fixture
def three(session: Session, cast: Cast, clock: Clock) -> list[UUID]:
    """Three pending guests."""
    return [
        factories.invite(session, cast, clock.now, f"guest{number}@gmail.com").user_id
        for number in range(3)
    ]


def states(session: Session, cast: Cast, ids: list[UUID]) -> list[tuple[bool, bool]]:
    """Enabled, and deleted."""
    session.flush()
    found = [session.get_one(User, (cast.woodgrove, one)) for one in ids]
    return [(user.account_enabled, user.deleted_at is not None) for user in found]


def test_all_of_them_are_blocked_and_deleted_and_come_back(
    session: Session, cast: Cast, clock: Clock, three: list[UUID]
) -> None:
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    for together, expected in (
        (Together.BLOCK, (False, False)),
        (Together.UNBLOCK, (True, False)),
        (Together.DELETE, (True, True)),
        (Together.RESTORE, (True, False)),
    ):
        done = user_handling.handle(session, john, together, three)
        assert [user.id for user in done] == three
        assert states(session, cast, three) == [expected] * 3


def test_one_who_cannot_stops_all_and_is_named(
    session: Session, cast: Cast, clock: Clock, three: list[UUID]
) -> None:
    """ADM-3: all or nothing, with a report"""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    session.commit()
    with pytest.raises(NotAll) as refused:
        user_handling.handle(session, john, Together.DELETE, [three[0], cast.john, three[1]])
    session.rollback()
    assert [(one.user.id, str(one.refusal or "")) for one in refused.value.verdicts] == [
        (three[0], ""),
        (cast.john, "You cannot delete yourself."),
        (three[1], ""),
    ]
    assert states(session, cast, three) == [(True, False)] * 3


def test_holders_of_a_role_are_named_and_not_touched(
    session: Session, cast: Cast, clock: Clock, three: list[UUID]
) -> None:
    """ADM-2: nobody above one's own role"""
    factories.give_role(session, cast.woodgrove, cast.adele, Role.USER_ADMINISTRATOR, clock.now)
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    with pytest.raises(NotAll) as refused:
        user_handling.handle(session, adele, Together.BLOCK, [three[0], cast.john])
    assert isinstance(refused.value.verdicts[1].refusal, Denied)


def test_people_are_put_into_a_group_and_those_in_it_are_passed_over(
    session: Session, cast: Cast, clock: Clock, three: list[UUID]
) -> None:
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    groups.add_member(session, john, cast.partners, three[1])
    user_handling.handle(session, john, Together.ADD_TO_GROUP, three, group_id=cast.partners)
    group = groups.get(session, john, cast.partners)
    assert groups.held_by(session, john, group, three) == set(three)
    with pytest.raises(NotAll) as refused:
        user_handling.handle(session, john, Together.ADD_TO_GROUP, three, group_id=cast.dynamic)
    assert "filled by its rule" in str(refused.value.verdicts[0].refusal)
    with pytest.raises(Invalid, match="Choose a group"):
        user_handling.handle(session, john, Together.ADD_TO_GROUP, three)
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    with pytest.raises(Denied, match="Only owners"):
        user_handling.handle(session, adele, Together.ADD_TO_GROUP, three, group_id=cast.partners)


@pytest.mark.parametrize("together", list(Together))
def test_strangers_too_many_and_people_without_permission_are_refused(
    session: Session, cast: Cast, clock: Clock, three: list[UUID], together: Together
) -> None:
    """ADM-2, ADM-3"""
    group: dict[str, Any] = {}
    if together is Together.ADD_TO_GROUP:
        group = {"group_id": cast.partners}
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    for stranger in (cast.otto, uuid4()):
        with pytest.raises(NotFound):
            user_handling.handle(session, john, together, [*three, stranger], **group)
    many = [uuid4() for _ in range(51)]
    with pytest.raises(Invalid, match="At most 50 people"):
        user_handling.handle(session, john, together, many, **group)
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    assert user_handling.may(session, john, together)
    assert not user_handling.may(session, adele, together)
    with pytest.raises(Denied):
        user_handling.handle(session, adele, together, three, **group)


def test_invitations_are_sent_again_or_it_is_said_why_not(
    session: Session, cast: Cast, clock: Clock, three: list[UUID]
) -> None:
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    before = [factories.invitation_of(session, cast.woodgrove, one).version for one in three]
    user_handling.handle(session, john, Together.RESEND, three)
    after = [factories.invitation_of(session, cast.woodgrove, one).version for one in three]
    assert (before, after) == ([1, 1, 1], [2, 2, 2])
    deleted_users.remove(session, john, three[2])
    with pytest.raises(NotAll) as refused:
        user_handling.handle(session, john, Together.RESEND, [three[0], three[2], cast.adele])
    assert [str(one.refusal or "") for one in refused.value.verdicts] == [
        "",
        "guest2 is deleted.",
        "This person was never invited.",
    ]
