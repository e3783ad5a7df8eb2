"""People: blocking and letting in again, reading, sessions, and the last administrator."""

from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from b2b.errors import Conflict, Denied, NotFound
from b2b.extensions import db
from b2b.models import AuditEvent, Role, User
from b2b.services import (
    deleted_users,
    sessions,
    tenants,
    user_listing,
    users,
)
from b2b.services.user_listing import Filters
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import Clock
from tests.crowd import at_once

CHANGES = [users.block, users.unblock, deleted_users.remove, deleted_users.restore]


def activities(session: Session, target: Any) -> list[str]:
    return list(
        session.scalars(
            select(AuditEvent.activity)
            .where(AuditEvent.target_id == target)
            .order_by(AuditEvent.sequence)
        )
    )


@pytest.mark.parametrize("change", CHANGES)
def test_people_of_another_tenant_and_nobody_are_not_found(
    session: Session, cast: Cast, clock: Clock, change: Any
) -> None:
    """ADM-3"""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    for stranger in (cast.otto, uuid4()):
        with pytest.raises(NotFound, match="nobody here"):
            change(session, john, stranger)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    ("role", "may"),
    [
        (None, False),
        (Role.GUEST_INVITER, False),
        (Role.HELPDESK_ADMINISTRATOR, False),
        (Role.GLOBAL_READER, False),
        (Role.USER_ADMINISTRATOR, True),
        (Role.GLOBAL_ADMINISTRATOR, True),
    ],
)
def test_who_may_block_and_delete(
    session: Session, cast: Cast, clock: Clock, change: Any, role: Role | None, may: bool
) -> None:
    """ADM-2: actor × action; the refusal names the role"""
    if role is not None:
        factories.give_role(session, cast.woodgrove, cast.adele, role, clock.now)
    sam = factories.invite(session, cast, clock.now).user_id
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    if may:
        assert change(session, adele, sam).id == sam
    else:
        with pytest.raises(Denied, match="This needs the role User Administrator"):
            change(session, adele, sam)


@pytest.mark.parametrize("change", [users.block, deleted_users.remove])
@pytest.mark.parametrize("target_role", list(Role))
def test_only_a_global_administrator_acts_on_people_with_roles(
    session: Session, cast: Cast, clock: Clock, change: Any, target_role: Role
) -> None:
    """ADM-2: never above one's own"""
    home = acting(session, cast.woodgrove, cast.john, clock.now)
    factories.give_role(session, cast.woodgrove, cast.adele, Role.USER_ADMINISTRATOR, clock.now)
    target = tenants.add_person(
        session, home, user_principal_name="t@woodgrove.example", display_name="Target",
        roles=(target_role,),
    )  # fmt: skip
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    with pytest.raises(Denied, match="only a Global Administrator"):
        change(session, adele, target.id)
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    assert change(session, john, target.id).id == target.id


@pytest.mark.parametrize("change", [users.block, deleted_users.remove])
def test_the_last_administrator_who_can_sign_in_stays(
    session: Session, cast: Cast, clock: Clock, change: Any
) -> None:
    """ADM-2"""
    factories.give_role(session, cast.woodgrove, cast.adele, Role.GLOBAL_ADMINISTRATOR, clock.now)
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    change(session, adele, cast.john)
    session.flush()
    home = acting(session, cast.woodgrove, cast.john, clock.now)
    helper = tenants.add_person(
        session, home, user_principal_name="h@woodgrove.example", display_name="Helper",
        roles=(Role.GLOBAL_ADMINISTRATOR,),
    )  # fmt: skip
    helper_actor = acting(session, cast.woodgrove, helper.id, clock.now)
    change(session, helper_actor, cast.adele)
    session.flush()
    with pytest.raises(Conflict, match="Helper is the last Global Administrator") as refused:
        users.block(session, helper_actor, helper.id)
    assert "name another one first" in str(refused.value)
    with pytest.raises(Conflict):
        deleted_users.remove(session, helper_actor, helper.id)


@pytest.mark.parametrize("change", [users.block, deleted_users.remove])
def test_two_administrators_who_remove_each_other_at_once_leave_one(
    app: Flask, cast: Cast, clock: Clock, change: Any
) -> None:
    """ADM-2: checked in the transaction"""
    with app.app_context():
        factories.give_role(
            db.session(), cast.woodgrove, cast.adele, Role.GLOBAL_ADMINISTRATOR, clock.now
        )
        db.session.commit()
        pair = [
            acting(db.session(), cast.woodgrove, who, clock.now) for who in (cast.john, cast.adele)
        ]
        db.session.remove()

    def once(session: Session, number: int) -> Any:
        return change(session, pair[number], pair[1 - number].user_id).id

    done, faults = at_once(app, 2, once)
    assert len(done) == 1
    assert [type(fault) for fault in faults] == [Conflict]
    with app.app_context():
        left = db.session.execute(
            select(func.count())
            .select_from(User)
            .where(
                User.id.in_([cast.john, cast.adele]),
                User.account_enabled,
                User.deleted_at.is_(None),
            )
        ).scalar_one()
        assert left == 1
        db.session.remove()


def test_blocking_twice_is_one_change_and_unblocking_undoes_it(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """REL-13, REL-17"""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    for _ in range(2):
        assert users.block(session, john, cast.adele).account_enabled is False
    for _ in range(2):
        assert users.unblock(session, john, cast.adele).account_enabled is True
    assert activities(session, cast.adele)[1:] == ["Disable account", "Enable account"]


def test_a_guest_reads_himself_and_nobody_else(session: Session, cast: Cast, clock: Clock) -> None:
    """API-4, ADM-3"""
    sam = factories.invite(session, cast, clock.now)
    factories.accept(session, cast, sam, clock.now)
    session.flush()
    guest = acting(session, cast.woodgrove, sam.user_id, clock.now)
    assert users.read(session, guest, sam.user_id).id == sam.user_id
    with pytest.raises(Denied, match="Global Reader"):
        users.read(session, guest, cast.adele)
    with pytest.raises(Denied, match="Global Reader"):
        user_listing.listing(session, guest, Filters())


def test_a_taken_sign_in_name_is_a_conflict(session: Session, cast: Cast, clock: Clock) -> None:
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    with pytest.raises(Conflict, match="is taken"):
        tenants.add_person(
            session, john, user_principal_name="Adele.VANCE@woodgrove.example", display_name="Two"
        )


# Sessions ----------------------------------------------------------------------------------------


def signed_in(session: Session, cast: Cast, clock: Clock) -> list[Any]:
    """Adele signs in twice; her sessions, newest first."""
    for _ in range(2):
        sessions.start(
            session, factories.hosted(session, "adele.vance@woodgrove.example"), now=clock.now,
            tenant_id=cast.woodgrove, user_id=cast.adele,
        )  # fmt: skip
    adele = session.get_one(User, (cast.woodgrove, cast.adele))
    return [one.id for one in sessions.of_user(session, adele, clock.now)]


def test_one_session_ends_and_the_other_goes_on(session: Session, cast: Cast, clock: Clock) -> None:
    """SES-1"""
    first, second = signed_in(session, cast, clock)
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    users.revoke_session(session, john, cast.adele, first)
    adele = session.get_one(User, (cast.woodgrove, cast.adele))
    assert [one.id for one in sessions.of_user(session, adele, clock.now)] == [second]
    with pytest.raises(Conflict, match="ended already"):
        users.revoke_session(session, john, cast.adele, first)
    with pytest.raises(Conflict, match="ended already"):
        users.revoke_session(session, john, cast.john, second)
    users.revoke_sessions(session, john, cast.adele)
    assert sessions.of_user(session, adele, clock.now) == []
    assert activities(session, cast.adele)[-2:] == ["Update StsRefreshTokenValidFrom Timestamp"] * 2


def test_sessions_that_are_over_are_not_shown(session: Session, cast: Cast, clock: Clock) -> None:
    signed_in(session, cast, clock)
    adele = session.get_one(User, (cast.woodgrove, cast.adele))
    assert sessions.of_user(session, adele, clock.advance(hours=9)) == []


def test_who_ends_whose_sessions(session: Session, cast: Cast, clock: Clock) -> None:
    """ADM-2: one's own always, others' with the permission, never above one's role"""
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    assert users.revoke_sessions(session, adele, cast.adele).id == cast.adele
    with pytest.raises(Denied, match="Helpdesk Administrator"):
        users.revoke_sessions(session, adele, cast.john)
    factories.give_role(session, cast.woodgrove, cast.adele, Role.HELPDESK_ADMINISTRATOR, clock.now)
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    with pytest.raises(Denied, match="only a Global Administrator"):
        users.revoke_sessions(session, adele, cast.john)
    sam = factories.invite(session, cast, clock.now).user_id
    assert users.revoke_sessions(session, adele, sam).id == sam
