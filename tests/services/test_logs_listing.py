"""Both logs as lists: pages by key, filters, bounded windows."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert
from sqlalchemy.orm import Session

from b2b.errors import Denied, NotFound
from b2b.models import ActorKind, AuditEvent, Role, SignIn, new_id
from b2b.services import audit_listing, deleted_users, log_listing, sign_in_listing, users
from b2b.services.audit import Activity
from b2b.services.audit_listing import Filters as AuditFilters
from b2b.services.sign_in_listing import Filters as SignInFilters
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import START, Clock

COUNT = 60


@pytest.fixture
def events(session: Session, cast: Cast) -> list[int]:
    """Sixty events, one a day, of which every third is Adele's; numbered 1001 to 1060."""
    session.execute(
        insert(AuditEvent),
        [
            {
                "tenant_id": cast.woodgrove,
                "sequence": 1001 + number,
                "id": new_id(),
                "at": START + timedelta(days=number),
                "activity": Activity.ADD_GROUP if number % 2 else Activity.UPDATE_USER,
                "category": "GroupManagement" if number % 2 else "UserManagement",
                "result": "success",
                "actor_kind": ActorKind.USER,
                "actor_id": cast.adele if number % 3 == 0 else cast.john,
                "actor_name": "x",
                "target_type": "User",
                "target_id": cast.otto if number % 5 == 0 else None,
                "target_name": "y",
                "changes": [],
                "detail": {},
                "correlation_id": new_id(),
            }
            for number in range(COUNT)
        ],
    )
    return [1001 + number for number in range(COUNT)]


def walked(session: Session, who: Any, filters: AuditFilters, limit: int = 7) -> list[int]:
    """All pages, forwards and then backwards, which must agree."""
    page = audit_listing.listing(session, who, filters, limit=limit)
    assert page.newer is None
    forwards = [event.sequence for event in page.rows]
    last = page
    while page.older is not None:
        page = audit_listing.listing(session, who, filters, older_than=page.older, limit=limit)
        forwards += [event.sequence for event in page.rows]
        last = page
    backwards = [event.sequence for event in last.rows]
    while last.newer is not None:
        last = audit_listing.listing(session, who, filters, newer_than=last.newer, limit=limit)
        backwards = [event.sequence for event in last.rows] + backwards
    assert backwards == forwards
    return [sequence for sequence in forwards if sequence > 1000]


@pytest.mark.parametrize("window", [4, 10, 10_000])
@pytest.mark.parametrize(
    ("name", "passes"),
    [
        ("all", lambda n: True),
        ("activity", lambda n: n % 2 == 1),
        ("category", lambda n: n % 2 == 0),
        ("actor", lambda n: n % 3 == 0),
        ("target", lambda n: n % 5 == 0),
        ("both", lambda n: n % 2 == 1 and n % 3 == 0),
        ("days", lambda n: 10 <= n < 20),
        ("actor and days", lambda n: n % 3 == 0 and 10 <= n < 20),
    ],
)
def test_the_audit_log_is_narrowed_and_walked_both_ways_whatever_the_window(
    session: Session,
    cast: Cast,
    clock: Clock,
    events: list[int],
    monkeypatch: pytest.MonkeyPatch,
    window: int,
    name: str,
    passes: Any,
) -> None:
    monkeypatch.setattr(log_listing, "WINDOW", window)
    days = {"since": START + timedelta(days=10), "until": START + timedelta(days=20)}
    filters = {
        "all": AuditFilters(),
        "activity": AuditFilters(activity=Activity.ADD_GROUP),
        "category": AuditFilters(category="UserManagement"),
        "actor": AuditFilters(actor_id=cast.adele),
        "target": AuditFilters(target_id=cast.otto),
        "both": AuditFilters(activity=Activity.ADD_GROUP, actor_id=cast.adele),
        "days": AuditFilters(**days),
        "actor and days": AuditFilters(actor_id=cast.adele, **days),
    }[name]
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    expected = [1001 + n for n in reversed(range(COUNT)) if passes(n)]
    assert walked(session, john, filters) == expected
    exported = [event.sequence for event in audit_listing.export(session, john, filters)]
    assert [sequence for sequence in exported if sequence > 1000] == expected


def test_a_page_says_how_far_it_looked(
    session: Session, cast: Cast, clock: Clock, events: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_listing, "WINDOW", 10)
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    page = audit_listing.listing(session, john, AuditFilters(actor_id=cast.adele))
    assert [event.sequence for event in page.rows] == [1058, 1055, 1052]
    assert (page.older, page.looked_back_to) == (1051, START + timedelta(days=50))


@pytest.mark.parametrize(
    ("role", "may"),
    [(None, False), (Role.GUEST_INVITER, False), (Role.HELPDESK_ADMINISTRATOR, False),
     (Role.GLOBAL_READER, True), (Role.USER_ADMINISTRATOR, True)],
)  # fmt: skip
def test_who_reads_the_logs(
    session: Session, cast: Cast, clock: Clock, role: Role | None, may: bool
) -> None:
    if role is not None:
        factories.give_role(session, cast.woodgrove, cast.adele, role, clock.now)
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    for read in (
        lambda: audit_listing.listing(session, adele, AuditFilters()),
        lambda: list(audit_listing.export(session, adele, AuditFilters())),
        lambda: sign_in_listing.listing(session, adele, SignInFilters()),
        lambda: list(sign_in_listing.export(session, adele, SignInFilters())),
    ):
        if may:
            read()
        else:
            with pytest.raises(Denied, match="Global Reader"):
                read()


def test_events_and_sign_ins_of_another_tenant_are_not_found(
    session: Session, cast: Cast, clock: Clock, events: list[int]
) -> None:
    """ADM-3"""
    factories.give_role(session, cast.contoso, cast.otto, Role.GLOBAL_READER, clock.now)
    otto = acting(session, cast.contoso, cast.otto, clock.now)
    with pytest.raises(NotFound):
        audit_listing.one(session, otto, 1001)
    assert audit_listing.listing(session, otto, AuditFilters(actor_id=cast.john)).rows == []
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    row = sign_ins(session, cast, 1)[0]
    assert sign_in_listing.one(session, john, row).id == row
    with pytest.raises(NotFound):
        sign_in_listing.one(session, otto, row)


def sign_ins(session: Session, cast: Cast, count: int) -> list[UUID]:
    """Sign-ins, one a day; every other one fails, every third is Adele's."""
    ids = [UUID(int=((0x0190 << 112) | number << 80) | 0x7000 << 64) for number in range(count)]
    session.execute(
        insert(SignIn),
        [
            {
                "tenant_id": cast.woodgrove,
                "id": ids[number],
                "at": START + timedelta(days=number),
                "user_id": cast.adele if number % 3 == 0 else cast.john,
                "identity": "x@woodgrove.example",
                "method": "password",
                "application": "My Apps" if number % 4 else "Projects",
                "error_code": 50126 if number % 2 else 0,
                "correlation_id": new_id(),
            }
            for number in range(count)
        ],
    )
    return ids


@pytest.mark.parametrize("window", [4, 10_000])
@pytest.mark.parametrize(
    ("name", "passes"),
    [
        ("all", lambda n: True),
        ("person", lambda n: n % 3 == 0),
        ("application", lambda n: n % 4 == 0),
        ("refused", lambda n: n % 2 == 1),
        ("days", lambda n: 10 <= n < 20),
        ("everything", lambda n: n % 3 == 0 and n % 2 == 0 and 10 <= n < 20),
    ],
)
def test_the_sign_ins_are_narrowed_and_walked_both_ways_whatever_the_window(
    session: Session,
    cast: Cast,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    window: int,
    name: str,
    passes: Any,
) -> None:
    monkeypatch.setattr(log_listing, "WINDOW", window)
    ids = sign_ins(session, cast, 40)
    days = {"since": START + timedelta(days=10), "until": START + timedelta(days=20)}
    filters = {
        "all": SignInFilters(),
        "person": SignInFilters(user_id=cast.adele),
        "application": SignInFilters(application="Projects"),
        "refused": SignInFilters(succeeded=False),
        "days": SignInFilters(**days),
        "everything": SignInFilters(user_id=cast.adele, succeeded=True, **days),
    }[name]
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    expected = [ids[n] for n in reversed(range(40)) if passes(n)]
    page = sign_in_listing.listing(session, john, filters, limit=7)
    forwards, last = [row.id for row in page.rows], page
    while page.older is not None:
        page = sign_in_listing.listing(session, john, filters, older_than=page.older, limit=7)
        forwards += [row.id for row in page.rows]
        last = page
    backwards = [row.id for row in last.rows]
    while last.newer is not None:
        last = sign_in_listing.listing(session, john, filters, newer_than=last.newer, limit=7)
        backwards = [row.id for row in last.rows] + backwards
    assert forwards == backwards == expected
    assert [row.id for row in sign_in_listing.export(session, john, filters)] == expected


def test_people_are_named_by_id_sign_in_name_or_address(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """ADM-3"""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    sam = factories.invite(session, cast, clock.now)
    for text in (str(sam.user_id), "GsamOogle@gmail.com",
                 "gsamoogle_gmail.com#EXT#@woodgrove.example"):  # fmt: skip
        found = users.named(session, john, text)
        assert found is not None
        assert found.id == sam.user_id
    for text in (str(cast.otto), "otto.brandt@contoso.example", "nobody", str(new_id())):
        assert users.named(session, john, text) is None
    deleted_users.remove(session, john, sam.user_id)
    found = users.named(session, john, "gsamoogle@gmail.com")
    assert found is not None
    assert found.id == sam.user_id


def test_days_are_found_by_the_stamps_of_ids_where_both_clocks_agree(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """The bounds are put to use with ids as `new_id` makes them: UUIDs of version 7."""
    made = []
    for number in range(30):
        at = START + timedelta(days=number)
        stamp = int(at.timestamp() * 1000)
        made.append(UUID(int=(stamp << 80) | (0x7000 << 64) | number))
        session.execute(
            insert(SignIn),
            {
                "tenant_id": cast.woodgrove, "id": made[-1], "at": at, "user_id": cast.john,
                "identity": "x", "method": "password", "application": "x", "error_code": 0,
                "correlation_id": new_id(),
            },
        )  # fmt: skip
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    filters = SignInFilters(since=START + timedelta(days=5), until=START + timedelta(days=8))
    low, high = sign_in_listing._bounds(session, john, filters)
    assert low is not None
    assert high is not None
    assert made[4] < low < made[5]
    assert made[8] < high < made[9]
    page = sign_in_listing.listing(session, john, filters)
    assert [row.id for row in page.rows] == [made[7], made[6], made[5]]
