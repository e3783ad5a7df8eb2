"""The audit log: numbered without gaps, in the transaction of the change or not at all."""

import re
from pathlib import Path
from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from b2b import worker
from b2b.extensions import db
from b2b.models import AuditEvent, AuditSequence, Invitation, OutboxMessage, User
from b2b.services import audit, deleted_users, profiles, redemption, users
from b2b.services.audit import Activity, Change, Entry
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import Clock
from tests.crowd import at_once


def numbers(session: Session, cast: Cast) -> list[int]:
    return list(
        session.scalars(
            select(AuditEvent.sequence)
            .where(AuditEvent.tenant_id == cast.woodgrove)
            .order_by(AuditEvent.sequence)
        )
    )


def test_writers_at_once_leave_no_gap_and_no_double(app: Flask, cast: Cast, clock: Clock) -> None:
    """REL-17"""
    with app.app_context():
        before = len(numbers(db.session(), cast))
        db.session.remove()

    def once(session: Session, number: int) -> None:
        actor = acting(session, cast.woodgrove, cast.john, clock.now)
        entries = [
            Entry(Activity.UPDATE_USER, "User", cast.adele, f"{number}.{entry}")
            for entry in range(1 + number % 3)
        ]
        audit.record(session, actor, *entries)
        if number % 5 == 4:
            raise RuntimeError("undone")

    done, faults = at_once(app, 15, once)
    assert len(done) == 12
    assert {str(fault) for fault in faults} == {"undone"}
    added = sum(1 + number % 3 for number in range(15) if number % 5 != 4)
    with app.app_context():
        assert numbers(db.session(), cast) == list(range(1, before + added + 1))
        last = db.session.get_one(AuditSequence, cast.woodgrove).last
        assert last == before + added
        db.session.remove()


def test_an_event_says_who_did_what_to_whom_and_under_which_id(
    session: Session, cast: Cast, clock: Clock
) -> None:
    actor = acting(session, cast.woodgrove, cast.john, clock.now)
    audit.record(
        session, actor,
        Entry(
            Activity.ADD_MEMBER, "User", cast.adele, "a" * 2000,
            [Change("Group", None, "Partners")], {"why": "test"},
        ),
    )  # fmt: skip
    [event] = audit.of_target(session, actor, cast.adele, limit=1)
    assert (event.activity, event.category) == ("Add member to group", "GroupManagement")
    assert (event.actor_id, event.actor_name) == (cast.john, "John Doe")
    assert (event.at, event.correlation_id) == (clock.now, actor.correlation_id)
    assert event.changes == [{"property": "Group", "before": None, "after": "Partners"}]
    assert event.detail == {"why": "test"}
    assert len(event.target_name or "") == 1024


def test_nothing_to_record_takes_no_number(session: Session, cast: Cast, clock: Clock) -> None:
    before = numbers(session, cast)
    audit.record(session, acting(session, cast.woodgrove, cast.john, clock.now))
    assert numbers(session, cast) == before


def test_events_of_one_object_come_newest_first_page_by_page_and_from_this_tenant_alone(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """ADM-3"""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    otto = acting(session, cast.contoso, cast.otto, clock.now)
    target = uuid4()
    for number in range(5):
        audit.record(session, john, Entry(Activity.UPDATE_USER, "User", target, str(number)))
    audit.record(session, otto, Entry(Activity.UPDATE_USER, "User", target, "elsewhere"))
    first = audit.of_target(session, john, target, limit=2)
    assert [event.target_name for event in first] == ["4", "3"]
    rest = audit.of_target(session, john, target, before=first[-1].sequence)
    assert [event.target_name for event in rest] == ["2", "1", "0"]


def refuse_audit_inserts(session: Session) -> None:
    """A database that takes no more audit events, as on a full disk."""
    if session.get_bind().dialect.name == "sqlite":
        session.execute(
            text(
                "CREATE TRIGGER no_audit BEFORE INSERT ON audit_events "
                "BEGIN SELECT RAISE(ABORT, 'no room for audit events'); END"
            )
        )
    else:
        session.execute(
            text(
                "CREATE FUNCTION no_audit() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN RAISE EXCEPTION 'no room for audit events'; END $$"
            )
        )
        session.execute(
            text(
                "CREATE TRIGGER no_audit BEFORE INSERT ON audit_events "
                "FOR EACH ROW EXECUTE FUNCTION no_audit()"
            )
        )


@pytest.mark.parametrize("change", ["invite", "accept", "block", "delete", "profile"])
def test_a_change_that_cannot_be_audited_does_not_happen(
    app: Flask, cast: Cast, clock: Clock, change: str
) -> None:
    """REL-17: fault-inject the audit insert: nothing changed"""
    with app.app_context(), worker.transaction() as session:
        sam = factories.invite(session, cast, clock.now, "sam@partner.example")
        link = factories.link_of(session, cast.woodgrove, sam.user_id)
    with app.app_context(), worker.transaction() as session:
        refuse_audit_inserts(session)

    def attempt() -> None:
        with worker.transaction() as session:
            john = acting(session, cast.woodgrove, cast.john, clock.now)
            if change == "invite":
                factories.invite(session, cast, clock.now)
            elif change == "accept":
                opened = factories.open_link(session, link, clock.now)
                assert opened is not None
                redemption.accept(
                    session, redemption.acting(opened, now=clock.now), opened,
                    factories.by_code("sam@partner.example"),
                )  # fmt: skip
            elif change == "block":
                users.block(session, john, cast.adele)
            elif change == "delete":
                deleted_users.remove(session, john, sam.user_id)
            else:
                profiles.update_profile(session, john, cast.adele, display_name="X")

    def everything() -> list[object]:
        state: list[object] = []
        for model in (User, Invitation, OutboxMessage, AuditEvent, AuditSequence):
            rows = db.session.execute(select(model.__table__)).all()
            state.append(sorted(map(repr, rows)))
        db.session.remove()
        return state

    with app.app_context():
        before = everything()
        with pytest.raises(DBAPIError, match="no room for audit events"):
            attempt()
        assert everything() == before


def test_nothing_in_the_program_changes_or_deletes_an_event() -> None:
    """ADM-5: no statement and no relation does; the schema's own history aside"""
    package = Path(audit.__file__).parents[1]
    changing = re.compile(
        r"(update|delete)\(\s*(models\.)?(AuditEvent|_events)\b"
        r"|(UPDATE|DELETE FROM)\s+[\"`]?audit_events",
    )
    found = [
        f"{path.name}: {match[0]}"
        for path in sorted(package.rglob("*.py"))
        for match in changing.finditer(path.read_text("utf-8"))
    ]
    assert found == []
    [tenants] = AuditEvent.__table__.foreign_key_constraints  # type: ignore[attr-defined]
    assert tenants.ondelete is None, "no cascade takes them along"
