"""Finding people: filters, search in every script, and pages that neither skip nor repeat."""

import unicodedata
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, update
from sqlalchemy.orm import Session

from b2b.models import ExternalUserState, Source, User, UserType, new_id
from b2b.services import deleted_users, tenants, user_listing, users
from b2b.services.user_listing import Filters
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import Clock


def names(session: Session, cast: Cast, clock: Clock, **filters: Any) -> list[str]:
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    page = user_listing.listing(session, john, Filters(**filters))
    assert page.total == len(page.rows)
    return [row.display_name for row in page.rows]


@pytest.fixture
def people(session: Session, cast: Cast, clock: Clock) -> dict[str, UUID]:
    """Somebody for each filter."""
    john = acting(session, cast.woodgrove, cast.john, clock.now)

    def guest(name: str, address: str) -> UUID:
        return factories.invite(session, cast, clock.now, address, display_name=name).user_id

    made = {"pending": guest("김민준", "minjun.kim@hanbit.example")}
    accepted = factories.invite(
        session, cast, clock.now, "mj.carreno@contoso.example", display_name="María-José Carreño"
    )
    factories.accept(session, cast, accepted, clock.now)
    made["accepted"] = accepted.user_id
    made["blocked"] = guest("Eva Nováková", "eva@nordlicht.example")
    users.block(session, john, made["blocked"])
    made["deleted"] = guest("Old Guest", "old@partner.example")
    deleted_users.remove(session, john, made["deleted"])
    made["synced"] = tenants.add_person(
        session, john, user_principal_name="priya.nair@woodgrove.example",
        display_name="Priya Nair", user_type=UserType.GUEST, source=Source.ON_PREMISES,
        on_premises_sync_enabled=True,
    ).id  # fmt: skip
    tenants.add_person(
        session, john, user_principal_name="o.brien@woodgrove.example",
        display_name="Seán O’Brien (Größe)",
    )  # fmt: skip
    session.flush()
    return made


EVERYBODY = [
    "Adele Vance", "Eva Nováková", "John Doe", "María-José Carreño", "Priya Nair",
    "Seán O’Brien (Größe)", "김민준",
]  # fmt: skip


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, EVERYBODY),
        ({"user_type": UserType.MEMBER}, ["Adele Vance", "John Doe", "Seán O’Brien (Größe)"]),
        (
            {"user_type": UserType.GUEST},
            ["Eva Nováková", "María-José Carreño", "Priya Nair", "김민준"],
        ),
        ({"state": ExternalUserState.PENDING_ACCEPTANCE}, ["Eva Nováková", "김민준"]),
        ({"state": ExternalUserState.ACCEPTED}, ["María-José Carreño"]),
        ({"source": Source.PASSCODE}, ["María-José Carreño"]),
        ({"source": Source.ON_PREMISES}, ["Priya Nair"]),
        ({"source": Source.PERSONAL_ACCOUNT}, []),
        ({"enabled": False}, ["Eva Nováková"]),
        ({"enabled": True, "state": ExternalUserState.PENDING_ACCEPTANCE}, ["김민준"]),
        ({"deleted": True}, ["Old Guest"]),
        ({"deleted": True, "user_type": UserType.MEMBER}, []),
        ({"user_type": UserType.GUEST, "search": "priya"}, ["Priya Nair"]),
        ({"user_type": UserType.MEMBER, "search": "priya"}, []),
    ],
)
def test_each_filter_shows_exactly_whom_it_names(
    session: Session, cast: Cast, clock: Clock, people: Any, filters: Any, expected: list[str]
) -> None:
    assert names(session, cast, clock, **filters) == expected


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("김", ["김민준"]),
        ("김민준", ["김민준"]),
        (unicodedata.normalize("NFD", "김민"), ["김민준"]),
        ("민준", []),
        ("minjun", ["김민준"]),
        ("minjun.kim@hanbit.example", ["김민준"]),
        ("minjun.kim@han", ["김민준"]),
        ("HANBIT", ["김민준"]),
        ("maría", ["María-José Carreño"]),
        ("MARÍA", ["María-José Carreño"]),
        (unicodedata.normalize("NFD", "maría"), ["María-José Carreño"]),
        ("josé", ["María-José Carreño"]),
        ("maría-josé", ["María-José Carreño"]),
        ("carreño mar", ["María-José Carreño"]),
        ("mj.carreno", ["María-José Carreño"]),
        ("eva nov", ["Eva Nováková"]),
        ("eva doe", []),
        ("o’brien", ["Seán O’Brien (Größe)"]),
        ("o.brien", ["Seán O’Brien (Größe)"]),
        ("GRÖSSE", ["Seán O’Brien (Größe)"]),
        ("(größe)", ["Seán O’Brien (Größe)"]),
        ("ance", []),
        ("vance", ["Adele Vance"]),
        ("  adele   VANCE ", ["Adele Vance"]),
        # Whoever has an address or a name there; not every guest for the end of his UPN.
        ("woodgrove.example", ["Adele Vance", "John Doe", "Priya Nair", "Seán O’Brien (Größe)"]),
        ("ext", []),
        ("eva_nordlicht.example#EXT#@woodgrove.example", ["Eva Nováková"]),
        ("%", []),
        ("_", []),
        ("'", []),
        ("' OR 1=1 --", []),
        ("\x00", EVERYBODY),
        ("adele\x00", ["Adele Vance"]),
        ("\U0010ffff", []),
        ("x" * 200, []),
        (" ", EVERYBODY),
    ],
)
def test_a_search_finds_words_by_their_beginning_in_any_script(
    session: Session, cast: Cast, clock: Clock, people: Any, typed: str, expected: list[str]
) -> None:
    """decisions.md, search as you type: prefix of words in name, mail, UPN; DB-1"""
    assert sorted(names(session, cast, clock, search=typed)) == sorted(expected)


def test_another_tenant_is_never_shown(
    session: Session, cast: Cast, clock: Clock, people: Any
) -> None:
    """ADM-3"""
    assert names(session, cast, clock, search="otto") == []
    assert "Otto Brandt" not in names(session, cast, clock)


def crowd(session: Session, cast: Cast, clock: Clock, count: int) -> None:
    """*count* more people, in random scripts, many with the same name."""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    given = ["Anna", "ANNA", "anna", "Änne", "김민준", "佐藤", "Zoë", "🦊", "'", "a.b"]
    for number in range(count):
        tenants.add_person(
            session, john, user_principal_name=f"person{number}@woodgrove.example",
            display_name=f"{given[number % len(given)]} {number % 7}",
        )  # fmt: skip
    session.flush()


@pytest.mark.parametrize("search", ["", "person", "anna"])
@pytest.mark.parametrize("limit", [7, 50])
def test_pages_forwards_and_backwards_show_everybody_once(
    session: Session, cast: Cast, clock: Clock, search: str, limit: int
) -> None:
    """scale.md, 1: keyset paging, complete and without doubles over 130 people"""
    crowd(session, cast, clock, 132)
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    filters = Filters(search=search)
    whole = user_listing.listing(session, john, filters, limit=1000)
    expected = [row.id for row in whole.rows]
    assert len(expected) == len(set(expected)) == {"": 134, "person": 132, "anna": 41}[search]
    forwards: list[list[UUID]] = []
    page = user_listing.listing(session, john, filters, limit=limit)
    assert page.before is None
    while True:
        assert page.total == len(expected)
        forwards.append([row.id for row in page.rows])
        if page.after is None:
            break
        page = user_listing.listing(session, john, filters, after=page.after, limit=limit)
    assert [user for ids in forwards for user in ids] == expected
    assert {len(ids) for ids in forwards[:-1]} <= {limit}
    backwards = [forwards[-1]]
    while page.before is not None:
        page = user_listing.listing(session, john, filters, before=page.before, limit=limit)
        backwards.insert(0, [row.id for row in page.rows])
    assert [user for ids in backwards for user in ids] == expected


def test_a_page_survives_that_people_come_and_go(
    session: Session, cast: Cast, clock: Clock
) -> None:
    crowd(session, cast, clock, 30)
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    first = user_listing.listing(session, john, Filters(), limit=10)
    seen = [row.id for row in first.rows]
    deleted_users.remove(session, john, seen[-1])  # the very person that the cursor names
    session.flush()
    second = user_listing.listing(session, john, Filters(), after=first.after, limit=1000)
    rest = [row.id for row in second.rows]
    assert len(rest) == 32 - 10
    assert not set(seen) & set(rest)


@pytest.mark.parametrize("key", ["", "\x00", "zzzz", "\U0010ffff", "' OR 1=1"])
def test_a_made_up_cursor_shows_a_page_and_no_fault(
    session: Session, cast: Cast, clock: Clock, key: str
) -> None:
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    after = user_listing.listing(session, john, Filters(), after=(key, UUID(int=0)))
    before = user_listing.listing(session, john, Filters(), before=(key, UUID(int=0)))
    shown = [row.display_name for row in [*before.rows, *after.rows]]
    assert sorted(shown) == ["Adele Vance", "John Doe"]


def test_facets_stay_in_line_with_their_columns(
    session: Session, cast: Cast, clock: Clock, people: dict[str, UUID]
) -> None:
    for user in session.query(User).filter(User.tenant_id == cast.woodgrove):
        assert user.facet == user_listing.facet(
            user.user_type, user.external_user_state, user.source,
            enabled=user.account_enabled, synced=bool(user.on_premises_sync_enabled),
            deleted=user.deleted_at is not None,
        ), user.display_name  # fmt: skip
        assert 0 <= user.facet < 2**15


def test_totals_are_exact_up_to_ten_thousand_and_then_left_out(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """decisions.md, totals on lists"""
    number = user_listing.facet(UserType.MEMBER, None, Source.THIS_DIRECTORY)

    def member(count: int) -> dict[str, Any]:
        return {
            "tenant_id": cast.woodgrove, "id": new_id(), "facet": number,
            "user_principal_name": f"p{count}@woodgrove.example",
            "upn_key": f"p{count}@woodgrove.example", "display_name": f"P{count}",
            "name_key": f"p{count}", "other_mails": [], "user_type": UserType.MEMBER,
            "source": Source.THIS_DIRECTORY, "account_enabled": True, "created_at": clock.now,
        }  # fmt: skip

    john = acting(session, cast.woodgrove, cast.john, clock.now)
    session.connection().execute(insert(User), [member(count) for count in range(9_998)])
    assert user_listing.listing(session, john, Filters(), limit=5).total == 10_000
    session.connection().execute(insert(User), [member(9_998)])
    assert user_listing.listing(session, john, Filters(), limit=5).total is None


def test_a_person_without_facet_row_of_his_own_is_still_found_after_changes(
    session: Session, cast: Cast, clock: Clock
) -> None:
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    session.execute(update(User).where(User.id == cast.adele).values(company_name="Vance & Sons"))
    users.block(session, john, cast.adele)
    session.flush()
    assert names(session, cast, clock, enabled=False) == ["Adele Vance"]
    users.unblock(session, john, cast.adele)
    session.flush()
    assert names(session, cast, clock, enabled=False) == []
