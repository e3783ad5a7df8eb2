"""Directory roles: who gives them to whom, and the last Global Administrator."""

from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from b2b.errors import Conflict, Denied, NotFound
from b2b.extensions import db
from b2b.models import AuditEvent, DirectoryRoleAssignment, Role, User
from b2b.models import Session as SessionRow
from b2b.services import deleted_users, permissions, roles, sessions, users
from b2b.services.permissions import Action
from b2b.services.roles import GuestWarning
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import Clock
from tests.crowd import at_once

GA, UA, GI, HD, GR, AA, CA = (
    Role.GLOBAL_ADMINISTRATOR,
    Role.USER_ADMINISTRATOR,
    Role.GUEST_INVITER,
    Role.HELPDESK_ADMINISTRATOR,
    Role.GLOBAL_READER,
    Role.APPLICATION_ADMINISTRATOR,
    Role.CLOUD_APPLICATION_ADMINISTRATOR,
)
MATRIX: dict[Action, set[Role | None]] = {
    # None is a member without a role.
    Action.READ_DIRECTORY: {None, GA, UA, GI, HD, GR, AA, CA},
    Action.READ_AUDIT: {GA, UA, GR},
    Action.INVITE: {None, GA, UA, GI, HD, GR, AA, CA},
    Action.INVITE_MEMBER: {GA},
    Action.MANAGE_INVITATIONS: {GA, UA, HD},
    Action.UPDATE_USER: {GA, UA},
    Action.BLOCK_USER: {GA, UA},
    Action.DELETE_USER: {GA, UA},
    Action.RESET_REDEMPTION: {GA, UA, HD},
    Action.REVOKE_SESSIONS: {GA, UA, HD},
    Action.ASSIGN_ROLE: {GA},
    Action.MANAGE_POLICY: {GA},
    Action.CREATE_GROUP: {None, GA, UA, GI, HD, GR, AA, CA},
    Action.MANAGE_GROUPS: {GA, UA},
    Action.MANAGE_APPLICATIONS: {GA, AA, CA},
    Action.MANAGE_BRANDING: {GA},
    Action.MANAGE_MAIL: {GA},
}
"""Who may do what, written by hand from groups-apps-roles.md, sections 3 and 5."""


def test_the_table_knows_every_action() -> None:
    """Whoever adds an action says here who may do it."""
    assert set(MATRIX) == set(Action)


@pytest.mark.parametrize("role", [None, *Role])
def test_a_guest_may_do_what_his_role_says_and_without_one_only_invite(
    session: Session, cast: Cast, clock: Clock, role: Role | None
) -> None:
    """ADM-2, API-4: groups-apps-roles.md, 5"""
    sam = factories.invite(session, cast, clock.now)
    factories.accept(session, cast, sam, clock.now)
    if role is not None:
        factories.give_role(session, cast.woodgrove, sam.user_id, role, clock.now)
    guest = acting(session, cast.woodgrove, sam.user_id, clock.now)
    assert guest.is_guest
    of_members_alone = {Action.CREATE_GROUP}
    may = {action for action in Action if permissions.allows(guest, action)}
    expected = {Action.INVITE}
    if role is not None:
        expected |= {action for action in MATRIX if role in MATRIX[action]}
        if role not in (GA, UA):
            expected -= of_members_alone
    assert may == expected


@pytest.mark.parametrize("action", sorted(MATRIX))
@pytest.mark.parametrize("role", [None, *Role])
def test_each_role_may_do_what_the_table_says(
    session: Session, cast: Cast, clock: Clock, action: Action, role: Role | None
) -> None:
    """ADM-2: role × action"""
    if role is not None:
        factories.give_role(session, cast.woodgrove, cast.adele, role, clock.now)
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    may = role in MATRIX[action]
    assert permissions.allows(adele, action) is may
    if not may:
        named = permissions.least_role(action)
        assert named in MATRIX[action]
        with pytest.raises(Denied, match=named.display_name):
            permissions.require(adele, action)


@pytest.mark.parametrize("role", [None, UA, GI, HD, GR, AA, CA])
@pytest.mark.parametrize("given", list(Role))
def test_only_a_global_administrator_gives_and_takes_roles(
    session: Session, cast: Cast, clock: Clock, role: Role | None, given: Role
) -> None:
    """ADM-2: actor × role, oneself included"""
    if role is not None:
        factories.give_role(session, cast.woodgrove, cast.adele, role, clock.now)
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    for target in (cast.adele, cast.john):
        for change in (roles.grant, roles.revoke):
            with pytest.raises(Denied, match="Global Administrator"):
                change(session, adele, target, given)
    assert roles.of_user(session, cast.woodgrove, cast.adele) == ({role} if role else set())


def test_a_role_is_given_taken_and_audited_and_ends_sessions(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """ADM-2, SES-1: a new session at a change of rights"""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    sessions.start(
        session,
        factories.hosted(session, "adele.vance@woodgrove.example"),
        now=clock.now,
        tenant_id=cast.woodgrove,
        user_id=cast.adele,
    )
    roles.grant(session, john, cast.adele, HD)
    assert roles.of_user(session, cast.woodgrove, cast.adele) == {HD}
    count = select(func.count()).select_from(SessionRow).where(SessionRow.user_id == cast.adele)
    assert session.execute(count).scalar_one() == 0
    with pytest.raises(Conflict, match="Adele Vance is Helpdesk Administrator already"):
        roles.grant(session, john, cast.adele, HD)
    roles.revoke(session, john, cast.adele, HD)
    assert roles.of_user(session, cast.woodgrove, cast.adele) == set()
    with pytest.raises(Conflict, match="is not Helpdesk Administrator"):
        roles.revoke(session, john, cast.adele, HD)
    events = session.execute(
        select(AuditEvent.activity, AuditEvent.category, AuditEvent.changes)
        .where(AuditEvent.target_id == cast.adele)
        .order_by(AuditEvent.sequence.desc())
        .limit(2)
    ).all()
    name = "Helpdesk Administrator"
    assert [tuple(row) for row in events] == [
        ("Remove member from role", "RoleManagement",
         [{"property": "Role", "before": name, "after": None}]),
        ("Add member to role", "RoleManagement",
         [{"property": "Role", "before": None, "after": name}]),
    ]  # fmt: skip


def test_a_guest_gets_a_role_only_when_it_is_meant(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """ADM-2: guests into roles only with a warning; nobody who is pending"""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    sam = factories.invite(session, cast, clock.now)
    with pytest.raises(Conflict, match="has not accepted the invitation yet"):
        roles.grant(session, john, sam.user_id, GI, guest_is_meant=True)
    factories.accept(session, cast, sam, clock.now)
    with pytest.raises(GuestWarning):
        roles.grant(session, john, sam.user_id, GI)
    assert roles.of_user(session, cast.woodgrove, sam.user_id) == set()
    roles.grant(session, john, sam.user_id, GI, guest_is_meant=True)
    assert roles.of_user(session, cast.woodgrove, sam.user_id) == {GI}


@pytest.mark.parametrize("change", [users.block, deleted_users.remove])
def test_whoever_may_not_sign_in_gets_no_role(
    session: Session, cast: Cast, clock: Clock, change: Any
) -> None:
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    change(session, john, cast.adele)
    with pytest.raises(Conflict, match="may not sign in"):
        roles.grant(session, john, cast.adele, GI)


def test_people_of_another_tenant_are_not_found(session: Session, cast: Cast, clock: Clock) -> None:
    """ADM-3"""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    for stranger in (cast.otto, uuid4()):
        for change in (roles.grant, roles.revoke):
            with pytest.raises(NotFound):
                change(session, john, stranger, GI)


def test_the_last_global_administrator_is_not_demoted(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """ADM-2"""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    with pytest.raises(Conflict, match="John Doe is the last Global Administrator"):
        roles.revoke(session, john, cast.john, GA)
    roles.grant(session, john, cast.adele, GA)
    users.block(session, john, cast.adele)
    with pytest.raises(Conflict, match="last Global Administrator"):
        roles.revoke(session, john, cast.john, GA)
    users.unblock(session, john, cast.adele)
    roles.revoke(session, john, cast.john, GA)
    with pytest.raises(Denied, match="Global Administrator"):
        roles.grant(session, john, cast.john, GA)


def test_two_who_demote_each_other_at_once_leave_one(app: Flask, cast: Cast, clock: Clock) -> None:
    """ADM-2: checked in the transaction"""
    with app.app_context():
        factories.give_role(db.session(), cast.woodgrove, cast.adele, GA, clock.now)
        db.session.commit()
        pair = [
            acting(db.session(), cast.woodgrove, who, clock.now) for who in (cast.john, cast.adele)
        ]
        db.session.remove()

    def once(session: Session, number: int) -> Any:
        target = pair[1 - number].user_id
        assert target is not None
        return roles.revoke(session, pair[number], target, GA).id

    done, faults = at_once(app, 2, once)
    assert len(done) == 1
    assert [type(fault) for fault in faults] == [Denied]
    with app.app_context():
        left = db.session.execute(
            select(func.count())
            .select_from(DirectoryRoleAssignment)
            .join(User, User.id == DirectoryRoleAssignment.user_id)
            .where(
                DirectoryRoleAssignment.tenant_id == cast.woodgrove,
                DirectoryRoleAssignment.role == GA,
            )
        ).scalar_one()
        db.session.remove()
    assert left == 1
