"""Deleting people, bringing them back, erasing them."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from b2b.errors import Conflict
from b2b.models import AuditEvent, Base, MailState, OutboxMessage, Role, User
from b2b.services import deleted_users, invitation_handling, tenants, users
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import START, Clock
from tests.services.test_users import activities


def test_deleting_kills_link_and_unsent_mail_and_twice_is_one_change(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """REL-18"""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    sam = factories.invite(session, cast, clock.now).user_id
    link = factories.link_of(session, cast.woodgrove, sam)
    for _ in range(2):
        assert deleted_users.remove(session, john, sam).deleted_at == clock.now
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
        deleted_users.remove(session, john, cast.john)


@pytest.mark.parametrize(("days", "works"), [(0, True), (29.9, True), (30, True), (30.1, False)])
def test_a_deleted_person_comes_back_within_thirty_days(
    session: Session, cast: Cast, clock: Clock, days: float, works: bool
) -> None:
    """users.md, 5"""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    deleted_users.remove(session, john, cast.adele)
    session.flush()
    john = acting(session, cast.woodgrove, cast.john, START + timedelta(days=days))
    if works:
        assert deleted_users.restore(session, john, cast.adele).deleted_at is None
        assert deleted_users.restore(session, john, cast.adele).deleted_at is None
        assert activities(session, cast.adele).count("Restore user") == 1
    else:
        with pytest.raises(Conflict, match="was deleted over 30 days ago"):
            deleted_users.restore(session, john, cast.adele)


def test_a_restored_guest_finds_his_link_alive_again_and_his_mail_cancelled(
    session: Session, cast: Cast, clock: Clock
) -> None:
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    sam = factories.invite(session, cast, clock.now).user_id
    link = factories.link_of(session, cast.woodgrove, sam)
    deleted_users.remove(session, john, sam)
    deleted_users.restore(session, john, sam)
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
    deleted_users.remove(session, john, sam)
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
        deleted_users.restore(session, john, sam)
    assert "gsamoogle" in str(refused.value)


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
    deleted_users.remove(session, john, sam)
    clock.advance(days=2)
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    deleted_users.remove(session, john, ann)
    session.commit()
    assert deleted_users.purge(session, clock.advance(days=28)) == 0
    assert deleted_users.purge(session, clock.advance(seconds=1)) == 1
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
        deleted_users.erase(session, john, sam)
    deleted_users.remove(session, john, sam)
    assert deleted_users.erase(session, john, sam) == "gsamoogle"
    session.expire_all()
    assert rows_of(session, sam) == {}
    again = factories.invite(session, cast, clock.now)
    assert again.user_id != sam
