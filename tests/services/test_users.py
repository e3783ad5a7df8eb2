"""People: blocking, deleting, restoring, profiles, and the last administrator."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from b2b.errors import Conflict, Denied, Invalid, NotFound
from b2b.extensions import db
from b2b.models import AuditEvent, Base, MailState, OutboxMessage, Role, User, UserType
from b2b.services import invitation_handling, sessions, tenants, user_listing, users
from b2b.services.user_listing import Filters
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import START, Clock
from tests.crowd import at_once

CHANGES = [users.block, users.unblock, users.remove, users.restore]


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


@pytest.mark.parametrize("change", [users.block, users.remove])
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


@pytest.mark.parametrize("change", [users.block, users.remove])
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
        users.remove(session, helper_actor, helper.id)


@pytest.mark.parametrize("change", [users.block, users.remove])
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


def test_deleting_kills_link_and_unsent_mail_and_twice_is_one_change(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """REL-18"""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    sam = factories.invite(session, cast, clock.now).user_id
    link = factories.link_of(session, cast.woodgrove, sam)
    for _ in range(2):
        assert users.remove(session, john, sam).deleted_at == clock.now
    session.flush()
    assert factories.open_link(session, link, clock.now) is None
    states = session.scalars(select(OutboxMessage.state)).all()
    assert states == [MailState.CANCELLED]
    assert activities(session, sam).count("Delete user") == 1
    with pytest.raises(Conflict, match="is deleted"):
        users.block(session, john, sam)
    with pytest.raises(Conflict, match="is deleted"):
        users.unblock(session, john, sam)


def test_nobody_deletes_himself(session: Session, cast: Cast, clock: Clock) -> None:
    factories.give_role(session, cast.woodgrove, cast.adele, Role.GLOBAL_ADMINISTRATOR, clock.now)
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    with pytest.raises(Conflict, match="You cannot delete yourself"):
        users.remove(session, john, cast.john)


@pytest.mark.parametrize(("days", "works"), [(0, True), (29.9, True), (30, True), (30.1, False)])
def test_a_deleted_person_comes_back_within_thirty_days(
    session: Session, cast: Cast, clock: Clock, days: float, works: bool
) -> None:
    """users.md, 5"""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    users.remove(session, john, cast.adele)
    session.flush()
    john = acting(session, cast.woodgrove, cast.john, START + timedelta(days=days))
    if works:
        assert users.restore(session, john, cast.adele).deleted_at is None
        assert users.restore(session, john, cast.adele).deleted_at is None
        assert activities(session, cast.adele).count("Restore user") == 1
    else:
        with pytest.raises(Conflict, match="was deleted over 30 days ago"):
            users.restore(session, john, cast.adele)


def test_a_restored_guest_finds_his_link_alive_again_and_his_mail_cancelled(
    session: Session, cast: Cast, clock: Clock
) -> None:
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    sam = factories.invite(session, cast, clock.now).user_id
    link = factories.link_of(session, cast.woodgrove, sam)
    users.remove(session, john, sam)
    users.restore(session, john, sam)
    session.flush()
    assert factories.open_link(session, link, clock.now) is not None
    assert session.scalars(select(OutboxMessage.state)).all() == [MailState.CANCELLED]
    assert invitation_handling.resend(session, john, sam).version == 2


@pytest.mark.parametrize("who", ["the address", "the name", "both by two people"])
def test_a_restore_that_collides_says_what_to_do(
    session: Session, cast: Cast, clock: Clock, who: str
) -> None:
    """decisions.md, … of a soft-deleted guest: a conflict with its cure"""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    sam = factories.invite(session, cast, clock.now).user_id
    users.remove(session, john, sam)
    session.flush()
    if who != "the address":
        tenants.add_person(
            session, john, user_principal_name="gsamoogle_gmail.com#EXT#@woodgrove.example",
            display_name="Somebody else",
        )  # fmt: skip
    if who != "the name":
        factories.invite(session, cast, clock.now)
    session.flush()
    with pytest.raises(Conflict, match="Delete that person first") as refused:
        users.restore(session, john, sam)
    assert "gsamoogle" in str(refused.value)


# Profiles ----------------------------------------------------------------------------------------


def test_one_corrects_oneself_and_the_old_values_stay_in_the_audit_log(
    session: Session, cast: Cast, clock: Clock
) -> None:
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    users.update_profile(
        session, adele, cast.adele, display_name=" Adèle Vance ", job_title="Architect",
        given_name="",
    )  # fmt: skip
    user = session.get_one(User, (cast.woodgrove, cast.adele))
    assert (user.display_name, user.name_key, user.job_title) == (
        "Adèle Vance", "adèle vance", "Architect",
    )  # fmt: skip
    event = session.scalars(
        select(AuditEvent)
        .where(AuditEvent.target_id == cast.adele)
        .order_by(AuditEvent.sequence.desc())
        .limit(1)
    ).one()
    assert event.activity == "Update user"
    assert event.changes == [
        {"property": "DisplayName", "before": "Adele Vance", "after": "Adèle Vance"},
        {"property": "JobTitle", "before": None, "after": "Architect"},
    ]
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    for typed, found in (("adèle", [cast.adele]), ("Vance", [cast.adele])):
        rows = user_listing.listing(session, john, Filters(search=typed)).rows
        assert [row.id for row in rows if row.display_name == "Adèle Vance"] == found, typed


def test_saving_what_is_there_already_is_no_change(
    session: Session, cast: Cast, clock: Clock
) -> None:
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    before = activities(session, cast.adele)
    users.update_profile(session, adele, cast.adele, display_name="Adele Vance", surname=None)
    assert activities(session, cast.adele) == before


@pytest.mark.parametrize(
    ("values", "field", "sentence"),
    [
        ({"display_name": ""}, "display_name", "Enter a name."),
        ({"display_name": "  "}, "display_name", "Enter a name."),
        ({"display_name": "n" * 257}, "display_name", "At most 256 characters."),
        ({"given_name": "n" * 65}, "given_name", "At most 64 characters."),
        ({"job_title": "n" * 129}, "job_title", "At most 128 characters."),
        ({"surname": "a\nb"}, "surname", "Control characters are not allowed here."),
        ({"company_name": "a\x85b"}, "company_name", "Control characters are not allowed here."),
        ({"mobile_phone": "a\u2028b"}, "mobile_phone", "Control characters are not allowed here."),
        ({"department": "a\x00b"}, "department", "Control characters are not allowed here."),
    ],
)
def test_a_bad_value_of_a_profile_is_refused_by_its_field(
    session: Session, cast: Cast, clock: Clock, values: dict[str, str], field: str, sentence: str
) -> None:
    """INV-1"""
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    with pytest.raises(Invalid) as refused:
        users.update_profile(session, adele, cast.adele, **values)
    assert (refused.value.field, str(refused.value)) == (field, sentence)


def test_others_profiles_need_the_permission(session: Session, cast: Cast, clock: Clock) -> None:
    """ADM-2, ADM-3"""
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    with pytest.raises(Denied, match="User Administrator"):
        users.update_profile(session, adele, cast.john, display_name="X")
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    with pytest.raises(NotFound):
        users.update_profile(session, john, cast.otto, display_name="X")
    assert users.update_profile(session, john, cast.adele, display_name="X").display_name == "X"


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


# What an administrator changes -------------------------------------------------------------------


def changed(session: Session, actor: Any, user_id: Any, **values: Any) -> User:
    """update_user with what is there already, except for *values*."""
    user = session.get_one(User, (actor.tenant_id, user_id))
    wanted: dict[str, Any] = {
        "usage_location": user.usage_location,
        "other_mails": user.other_mails,
        "show_in_address_list": user.show_in_address_list is not False,
        "user_type": user.user_type,
    }
    return users.update_user(session, actor, user_id, **(wanted | values))


def test_an_administrator_changes_everything_in_one_event(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """users.md, 2 and 8: the user type changes nothing else"""
    sam = factories.invite(session, cast, clock.now).user_id
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    user = session.get_one(User, (cast.woodgrove, sam))
    upn = user.user_principal_name
    changed(
        session, john, sam, display_name="Sam Oogle", usage_location="kr",
        other_mails=["Sam@Oogle.example", "sam@oogle.example"], show_in_address_list=True,
        user_type=UserType.MEMBER,
    )  # fmt: skip
    session.flush()
    assert (user.usage_location, user.other_mails, user.show_in_address_list) == (
        "KR", ["sam@oogle.example"], True,
    )  # fmt: skip
    assert (user.user_type, user.user_principal_name) == (UserType.MEMBER, upn)
    assert str(user.external_user_state) == "PendingAcceptance"
    event = session.scalars(select(AuditEvent).order_by(AuditEvent.sequence.desc()).limit(1)).one()
    assert event.activity == "Update user"
    assert {change["property"]: change["after"] for change in event.changes} == {
        "DisplayName": "Sam Oogle",
        "UsageLocation": "KR",
        "OtherMails": ["sam@oogle.example"],
        "ShowInAddressList": True,
        "UserType": "Member",
    }
    members = user_listing.listing(session, john, Filters(user_type=UserType.MEMBER)).rows
    assert sam in [row.id for row in members]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"usage_location": "KOR"}, "usage_location"),
        ({"usage_location": "1"}, "usage_location"),
        ({"other_mails": ["no address"]}, "other_mails"),
        ({"other_mails": [f"a{number}@b.example" for number in range(11)]}, "other_mails"),
        ({"display_name": " "}, "display_name"),
    ],
)
def test_a_bad_value_is_refused_by_its_field(
    session: Session, cast: Cast, clock: Clock, values: dict[str, Any], field: str
) -> None:
    """INV-1"""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    with pytest.raises(Invalid) as refused:
        changed(session, john, cast.adele, **values)
    assert refused.value.field == field


def test_what_is_synchronised_or_deleted_is_not_changed_here(
    session: Session, cast: Cast, clock: Clock
) -> None:
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    adele = session.get_one(User, (cast.woodgrove, cast.adele))
    adele.on_premises_sync_enabled = True
    with pytest.raises(Conflict, match="on-premises directory"):
        changed(session, john, cast.adele, display_name="X")
    adele.on_premises_sync_enabled = False
    users.remove(session, john, cast.adele)
    with pytest.raises(Conflict, match="is deleted"):
        changed(session, john, cast.adele, display_name="X")


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


# Gone for good -----------------------------------------------------------------------------------


def rows_of(session: Session, user_id: Any) -> dict[str, int]:
    """How many rows of each table name the person, but for the audit log."""
    session.flush()
    found = {}
    for table in Base.metadata.sorted_tables:
        for name in ("user_id", "owner_id", "principal_id", "sponsor_id"):
            if name in table.c and table.name not in ("audit_events", "sign_ins"):
                count = select(func.count()).select_from(table).where(table.c[name] == user_id)
                found[f"{table.name}.{name}"] = session.execute(count).scalar_one()
    count = select(func.count()).select_from(User).where(User.id == user_id)
    return {name: number for name, number in found.items() if number} | (
        {"users.id": 1} if session.execute(count).scalar_one() else {}
    )


def test_after_thirty_days_the_worker_erases_people_and_nobody_else(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """REL-18: 30 days, then purge"""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    sam = factories.invite(
        session, cast, clock.now, application_ids=[cast.projects], group_ids=[cast.partners]
    ).user_id
    ann = factories.invite(session, cast, clock.now, "ann@gmail.com").user_id
    assert {"invitations.user_id", "memberships.user_id", "sponsors.user_id", "users.id",
            "app_role_assignments.principal_id", "user_tokens.user_id"} <= set(
        rows_of(session, sam))  # fmt: skip
    users.remove(session, john, sam)
    clock.advance(days=2)
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    users.remove(session, john, ann)
    session.commit()
    assert users.purge(session, clock.advance(days=28)) == 0
    assert users.purge(session, clock.advance(seconds=1)) == 1
    session.commit()
    assert rows_of(session, sam) == {}
    assert "users.id" in rows_of(session, ann)
    assert activities(session, sam)[-1] == "Hard Delete user"
    event = session.scalars(select(AuditEvent).order_by(AuditEvent.sequence.desc()).limit(1)).one()
    assert (event.actor_name, event.target_name) == (
        "Upkeep", "gsamoogle_gmail.com#EXT#@woodgrove.example",
    )  # fmt: skip
    count = select(func.count()).select_from(OutboxMessage)
    assert session.execute(count).scalar_one() == 1, "the mail of the other one"


def test_an_administrator_erases_only_who_is_deleted(
    session: Session, cast: Cast, clock: Clock
) -> None:
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    sam = factories.invite(session, cast, clock.now).user_id
    with pytest.raises(Conflict, match="is not deleted"):
        users.erase(session, john, sam)
    users.remove(session, john, sam)
    assert users.erase(session, john, sam) == "gsamoogle"
    session.expire_all()
    assert rows_of(session, sam) == {}
    again = factories.invite(session, cast, clock.now)
    assert again.user_id != sam
