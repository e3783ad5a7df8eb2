"""Finding invitations: each filter, all together, pages that neither skip nor repeat, and walks
along an index.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.models import (
    ExternalUserState,
    Invitation,
    InvitationStanding,
    MailState,
    OutboxMessage,
    Role,
    Source,
    User,
    UserType,
    new_id,
)
from b2b.services import deleted_users, invitation_handling, invitation_listing, user_listing
from b2b.services.invitation_listing import Filters, Page
from b2b.services.invitation_states import InvitationState
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import START, Clock

PENDING, ACCEPTED, EXPIRED = (
    InvitationState.PENDING, InvitationState.ACCEPTED, InvitationState.EXPIRED,
)  # fmt: skip
DECLINED, CANCELLED, FAILED = (
    InvitationState.DECLINED, InvitationState.CANCELLED, InvitationState.FAILED,
)  # fmt: skip


def locals_of(page: Page) -> list[str]:
    """The local parts of the addresses on a page, in its order."""
    return [row.invited_address.partition("@")[0] for row in page.rows]


def listed(session: Session, actor: Actor, **filters: Any) -> list[str]:
    page = invitation_listing.listing(session, actor, Filters(**filters))
    assert page.total == len(page.rows)
    assert not page.over
    return locals_of(page)


def settle(session: Session, invitation_id: UUID, state: MailState, now: datetime) -> None:
    session.execute(
        update(OutboxMessage)
        .where(OutboxMessage.about_id == invitation_id)
        .values(state=state, settled_at=now)
    )


@pytest.fixture
def john(session: Session, cast: Cast, clock: Clock) -> Actor:
    """John, sixty days later."""
    return acting(session, cast.woodgrove, cast.john, START + timedelta(days=60))


@pytest.fixture
def everybody(session: Session, cast: Cast, clock: Clock) -> dict[str, Any]:
    """One for each state; `adele` is invited by Adele, all others by John."""
    made = {}

    def invite(local: str, day: int, domain: str = "partner.example", by: Any = None) -> Any:
        actor = acting(session, cast.woodgrove, by or cast.john, START + timedelta(days=day))
        from b2b.services import invitations

        made[local] = invitations.invite(session, actor, address=f"{local}@{domain}")
        return made[local]

    invite("expired", 1)
    failed = invite("failed", 50)
    settle(session, failed.invitation_id, MailState.FAILED, START + timedelta(days=50))
    factories.accept(session, cast, invite("accepted", 40), START + timedelta(days=41))
    declined = invite("declined", 42)
    opened = factories.open_link(
        session,
        factories.link_of(session, cast.woodgrove, declined.user_id),
        START + timedelta(days=43),
    )
    assert opened is not None
    from b2b.services import redemption

    guest = redemption.acting(opened, now=START + timedelta(days=43))
    redemption.decline(session, guest, opened, factories.by_code("declined@partner.example"))
    cancelled = invite("cancelled", 44)
    at = acting(session, cast.woodgrove, cast.john, START + timedelta(days=45))
    invitation_handling.cancel(session, at, cancelled.user_id)
    invite("pending", 52, "bücher.example")
    invite("adele", 54, by=cast.adele)
    session.flush()
    return made


ALL = ["adele", "pending", "failed", "cancelled", "declined", "accepted", "expired"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ALL),
        ({"state": PENDING}, ["adele", "pending", "failed"]),
        ({"state": FAILED}, ["failed"]),
        ({"state": EXPIRED}, ["expired"]),
        ({"state": ACCEPTED}, ["accepted"]),
        ({"state": DECLINED}, ["declined"]),
        ({"state": CANCELLED}, ["cancelled"]),
        ({"domain": "xn--bcher-kva.example"}, ["pending"]),
        ({"domain": "partner.example", "state": PENDING}, ["adele", "failed"]),
        ({"domain": "partner.example", "state": FAILED}, ["failed"]),
        ({"domain": "xn--bcher-kva.example", "state": FAILED}, []),
        ({"domain": "nowhere.example"}, []),
        ({"since": START + timedelta(days=44)}, ["adele", "pending", "failed", "cancelled"]),
        ({"until": START + timedelta(days=44)}, ["declined", "accepted", "expired"]),
        (
            {"since": START + timedelta(days=42), "until": START + timedelta(days=44)},
            ["declined"],
        ),
        ({"since": START + timedelta(days=53), "state": PENDING}, ["adele"]),
        ({"until": START + timedelta(days=50), "state": FAILED}, []),
        ({"search": "pend"}, ["pending"]),
        ({"search": "partner.ex decl"}, ["declined"]),
        ({"search": "partner"}, [name for name in ALL if name != "pending"]),
        ({"search": "partner", "state": FAILED}, ["failed"]),
        ({"search": "partner declined"}, ["declined"]),
        ({"search": "bücher"}, ["pending"]),
        ({"search": "expired@partner.example"}, ["expired"]),
        ({"search": "partner", "until": START + timedelta(days=41)}, ["accepted", "expired"]),
        ({"search": "\x00"}, ALL),
        ({"search": "nobody"}, []),
    ],
)  # fmt: skip
def test_each_filter_shows_exactly_what_it_names(
    session: Session, john: Actor, everybody: Any, filters: Any, expected: list[str]
) -> None:
    assert listed(session, john, **filters) == expected


def test_the_inviters_filter_combines_with_the_others(
    session: Session, cast: Cast, john: Actor, everybody: Any
) -> None:
    assert listed(session, john, inviter_id=cast.adele) == ["adele"]
    assert listed(session, john, inviter_id=cast.adele, state=EXPIRED) == []
    assert listed(session, john, inviter_id=cast.john, state=PENDING) == ["pending", "failed"]
    both = {"inviter_id": cast.john, "domain": "partner.example", "state": PENDING}
    assert listed(session, john, **both) == ["failed"]
    assert listed(session, john, inviter_id=cast.john, search="adele") == []


def test_somebody_without_the_permission_sees_his_own_whatever_he_asks(
    session: Session, cast: Cast, clock: Clock, everybody: Any
) -> None:
    """ADM-2: also when another inviter's id is forced"""
    adele = acting(session, cast.woodgrove, cast.adele, START + timedelta(days=60))
    assert listed(session, adele) == ["adele"]
    assert listed(session, adele, inviter_id=cast.john) == ["adele"]
    assert listed(session, adele, state=EXPIRED) == []
    ids = [everybody["failed"].user_id, everybody["adele"].user_id]
    assert [row.user_id for row in invitation_listing.of_users(session, adele, ids)] == ids[1:]
    factories.give_role(session, cast.woodgrove, cast.adele, Role.HELPDESK_ADMINISTRATOR, clock.now)
    helpdesk = acting(session, cast.woodgrove, cast.adele, START + timedelta(days=60))
    assert listed(session, helpdesk) == ALL
    assert [row.user_id for row in invitation_listing.of_users(session, helpdesk, ids)] == ids


def test_another_tenants_invitations_are_never_shown(
    session: Session, cast: Cast, clock: Clock, everybody: Any
) -> None:
    """ADM-3"""
    factories.give_role(session, cast.contoso, cast.otto, Role.GLOBAL_ADMINISTRATOR, clock.now)
    otto = acting(session, cast.contoso, cast.otto, START + timedelta(days=60))
    for filters in ({}, {"state": FAILED}, {"search": "partner"}, {"inviter_id": cast.john},
                    {"domain": "partner.example"}):  # fmt: skip
        assert listed(session, otto, **filters) == []
    ids = [invited.user_id for invited in everybody.values()]
    assert invitation_listing.of_users(session, otto, ids) == []


@pytest.mark.parametrize(
    ("days", "pending", "expired"),
    [
        (None, ["adele", "pending", "failed", "expired"], []),
        (6, [], ["adele", "pending", "failed", "expired"]),
        (8, ["adele"], ["pending", "failed", "expired"]),
        (9, ["adele", "pending"], ["failed", "expired"]),
    ],
)
def test_expiry_follows_the_tenants_setting_at_once(
    session: Session, cast: Cast, john: Actor, everybody: Any, days: int | None,
    pending: list[str], expired: list[str],
) -> None:  # fmt: skip
    """decisions.md, expiry: computed, never stored; the eighth day to the instant is over"""
    factories.set_policy(session, cast.woodgrove, invitation_days=days)
    assert listed(session, john, state=PENDING) == pending
    assert listed(session, john, state=EXPIRED) == expired
    assert listed(session, john, state=FAILED) == (["failed"] if "failed" in pending else [])


def test_what_was_extended_counts_from_then(
    session: Session, cast: Cast, john: Actor, everybody: Any
) -> None:
    invitation_handling.extend(session, john, everybody["expired"].user_id)
    session.flush()
    assert listed(session, john, state=EXPIRED) == []
    assert listed(session, john, state=PENDING) == ["expired", "adele", "pending", "failed"]


def test_only_the_newest_letter_tells_whether_the_mail_failed(
    session: Session, cast: Cast, clock: Clock, everybody: Any
) -> None:
    later = acting(session, cast.woodgrove, cast.john, START + timedelta(days=60))
    invitation_handling.resend(session, later, everybody["failed"].user_id)
    session.flush()
    assert listed(session, later, state=FAILED) == []


def test_a_row_says_how_far_its_mail_has_come(
    session: Session, john: Actor, everybody: Any
) -> None:
    page = invitation_listing.listing(session, john, Filters())
    states = {
        row.invited_address.partition("@")[0]: (row.mail_state, row.inviter_name)
        for row in page.rows
    }
    assert states["failed"] == (MailState.FAILED, "John Doe")
    assert states["cancelled"] == (MailState.CANCELLED, "John Doe")
    assert states["adele"] == (MailState.QUEUED, "Adele Vance")


def test_a_deleted_person_is_told_from_the_others(
    session: Session, cast: Cast, john: Actor, everybody: Any
) -> None:
    deleted_users.remove(session, john, everybody["pending"].user_id)
    session.flush()
    rows = invitation_listing.listing(session, john, Filters(search="pending")).rows
    assert [row.deleted_at for row in rows] == [john.now]


# Many --------------------------------------------------------------------------------------------


def crowd(session: Session, cast: Cast, count: int, *, failed: int = 0) -> list[UUID]:
    """*count* more invitations, a minute apart, of Adele and John by turns; ids, newest first."""
    facet = user_listing.facet(
        UserType.GUEST, ExternalUserState.PENDING_ACCEPTANCE, Source.INVITED_USER
    )
    user_listing.ensure_facets(session, cast.woodgrove, {facet})
    standings = list(InvitationStanding)
    people, invitations, letters, tokens = [], [], [], []
    for number in range(count):
        user_id, invitation_id, letter = new_id(), new_id(), new_id()
        at = START + timedelta(minutes=number)
        key = f"guest{number}@crowd.example"
        people.append({
            "tenant_id": cast.woodgrove, "id": user_id, "facet": facet, "user_principal_name": key,
            "upn_key": key, "display_name": f"Guest {number}", "name_key": f"guest {number}",
            "mail": key, "mail_key": key, "other_mails": [], "invited_key": key,
            "user_type": UserType.GUEST, "source": Source.INVITED_USER, "account_enabled": True,
            "external_user_state": ExternalUserState.PENDING_ACCEPTANCE, "created_at": at,
        })  # fmt: skip
        tokens.append({"tenant_id": cast.woodgrove, "token": key, "user_id": user_id})
        invitations.append({
            "tenant_id": cast.woodgrove, "id": invitation_id, "user_id": user_id,
            "invited_address": key, "domain": f"d{number % 3}.example",
            "redirect_url": "https://x.example/", "send_message": True,
            "inviter_id": cast.adele if number % 2 else cast.john, "inviter_name": "Somebody",
            "version": 1, "ticket_hash": b"", "key_id": "", "outbox_id": letter, "created_at": at,
            "sent_at": at, "valid_from": START + timedelta(minutes=number // 3),
            "standing": standings[number % 4],
        })  # fmt: skip
        if number < failed:
            letters.append({
                "tenant_id": cast.woodgrove, "id": letter, "template": "invitation",
                "recipient": key, "about_id": invitation_id, "context": {}, "message_id": key,
                "state": MailState.FAILED, "attempts": 1, "crashes": 0, "fence": 1, "due_at": at,
                "created_at": at,
            })  # fmt: skip
    connection = session.connection()
    from b2b.models import UserToken

    for model, rows in (
        (User, people), (UserToken, tokens), (Invitation, invitations), (OutboxMessage, letters),
    ):  # fmt: skip
        if rows:
            connection.execute(insert(model), rows)
    order = [(row["valid_from"], row["id"].bytes, row["id"]) for row in invitations]
    return [one for _, _, one in sorted(order, reverse=True)]


def all_pages(session: Session, actor: Actor, filters: Filters, limit: int) -> list[list[UUID]]:
    """Forwards to the end; then backwards to the beginning, which must be the same."""
    page = invitation_listing.listing(session, actor, filters, limit=limit)
    assert page.before is None
    forwards = [[row.invitation_id for row in page.rows]]
    while page.after is not None:
        page = invitation_listing.listing(session, actor, filters, after=page.after, limit=limit)
        forwards.append([row.invitation_id for row in page.rows])
    backwards = [forwards[-1]]
    while page.before is not None:
        page = invitation_listing.listing(session, actor, filters, before=page.before, limit=limit)
        backwards.insert(0, [row.invitation_id for row in page.rows])
    assert [one for ids in backwards for one in ids] == [one for ids in forwards for one in ids]
    return forwards


@pytest.mark.parametrize("limit", [7, 50])
@pytest.mark.parametrize(
    ("filters", "expected"),
    [({}, 240), ({"state": ACCEPTED}, 60), ({"search": "guest1"}, 111), ({"state": FAILED}, 40),
     ({"state": PENDING, "domain": "d1.example"}, 20)],
)  # fmt: skip
def test_pages_forwards_and_backwards_show_everything_once(
    session: Session, cast: Cast, clock: Clock, filters: Any, expected: int, limit: int
) -> None:
    """scale.md, 1: keyset paging, with three invitations at each instant"""
    newest_first = crowd(session, cast, 240, failed=160)
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    pages = all_pages(session, john, Filters(**filters), limit)
    shown = [one for ids in pages for one in ids]
    assert len(shown) == len(set(shown)) == expected
    assert shown == [one for one in newest_first if one in set(shown)]
    assert {len(ids) for ids in pages[:-1]} <= {limit}


def test_the_last_page_is_one_step_away(session: Session, cast: Cast, clock: Clock) -> None:
    """scale.md, 1: last page = reverse order, then flip"""
    newest_first = crowd(session, cast, 120)
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    page = invitation_listing.listing(session, john, Filters(), last=True, limit=50)
    assert [row.invitation_id for row in page.rows] == newest_first[-50:]
    assert page.after is None
    page = invitation_listing.listing(session, john, Filters(), before=page.before, limit=50)
    assert [row.invitation_id for row in page.rows] == newest_first[-100:-50]


@pytest.mark.parametrize(("state", "everyone"), [(None, 8), (ACCEPTED, 2), (FAILED, 2)])
def test_a_made_up_cursor_shows_a_page_and_no_fault(
    session: Session, cast: Cast, clock: Clock, state: InvitationState | None, everyone: int
) -> None:
    crowd(session, cast, 8, failed=8)
    john = acting(session, cast.woodgrove, cast.john, clock.now)

    def shown(**side: Any) -> int:
        return len(invitation_listing.listing(session, john, Filters(state=state), **side).rows)

    long_ago = (START - timedelta(days=900), UUID(int=0))
    in_future = (clock.now + timedelta(days=900), UUID(int=2**128 - 1))
    assert (shown(after=long_ago), shown(before=long_ago)) == (0, everyone)
    assert (shown(after=in_future), shown(before=in_future)) == (everyone, 0)


def test_totals_are_exact_to_ten_thousand_and_then_told_as_more(
    session: Session, cast: Cast, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """decisions.md, totals on lists; with smaller numbers, so that it is quick"""
    monkeypatch.setattr(invitation_listing, "COUNTED_TO", 30)
    crowd(session, cast, 120)
    john = acting(session, cast.woodgrove, cast.john, clock.now)

    def total(**filters: Any) -> tuple[int | None, bool]:
        page = invitation_listing.listing(session, john, Filters(**filters), limit=5)
        return page.total, page.over

    assert total(state=ACCEPTED) == (30, False)
    assert total() == (None, True)
    assert total(inviter_id=cast.john) == (None, True)
    assert total(inviter_id=cast.john, state=PENDING) == (30, False)
    assert total(inviter_id=cast.adele, state=PENDING) == (0, False)


def test_a_long_walk_is_done_in_windows_and_says_how_far_it_looked(
    session: Session, cast: Cast, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """scale.md, 1: no page waits for a walk over a whole tenant"""
    crowd(session, cast, 200)
    of_john = select(Invitation.id).where(Invitation.inviter_id == cast.john)
    oldest = session.scalars(of_john.order_by(Invitation.valid_from).limit(1)).one()
    session.execute(update(Invitation).values(domain="d.example"))
    session.execute(update(Invitation).where(Invitation.id == oldest).values(domain="e.example"))
    monkeypatch.setattr(invitation_listing, "WINDOW", 20)
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    filters = Filters(inviter_id=cast.john, domain="e.example")
    page = invitation_listing.listing(session, john, filters)
    assert [row.invitation_id for row in page.rows] == [oldest], "the rarer one leads"
    both = Filters(inviter_id=cast.john, domain="d.example", state=CANCELLED)
    page = invitation_listing.listing(session, john, both, limit=5)
    seen, stops = [], 0
    while page.after is not None:
        stops += page.looked_back_to is not None
        assert page.total is None
        assert not page.over
        page = invitation_listing.listing(session, john, both, after=page.after, limit=5)
        seen += page.rows
    assert (seen, stops) == ([], 2), "50 of the state: two full windows, and the rest"


def test_a_search_that_fits_too_many_says_so(
    session: Session, cast: Cast, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd(session, cast, 40)
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    monkeypatch.setattr(invitation_listing, "SEARCHED", 20)
    page = invitation_listing.listing(session, john, Filters(search="guest"))
    assert page.partial
    assert (page.total, len(page.rows)) == (None, 20)
    page = invitation_listing.listing(session, john, Filters(search="guest11"))
    assert not page.partial
    assert page.total == 1


PLANS = [
    ({}, {"ix_invitations_by_standing"}),
    ({"state": PENDING}, {"ix_invitations_by_standing"}),
    ({"state": EXPIRED}, {"ix_invitations_by_standing"}),
    ({"state": ACCEPTED}, {"ix_invitations_by_standing"}),
    ({"inviter": True}, {"ix_invitations_by_inviter"}),
    ({"domain": "d1.example"}, {"ix_invitations_by_domain"}),
    ({"state": FAILED}, {"ix_outbox_failed"}),
    ({"inviter": True, "state": PENDING},
     {"ix_invitations_by_inviter", "ix_invitations_by_standing"}),
]  # fmt: skip


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # the plans are SQLite's
@pytest.mark.parametrize(("filters", "indexes"), PLANS)
@pytest.mark.parametrize("side", ["first", "after", "before", "last"])
def test_each_list_walks_along_its_index_and_sorts_nothing_long(
    session: Session, cast: Cast, clock: Clock, filters: dict[str, Any], indexes: set[str],
    side: str,
) -> None:  # fmt: skip
    """scale.md, 1, traps: plans are looked at, not believed"""
    crowd(session, cast, 60, failed=20)
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    given = dict(filters)
    inviter = {"inviter_id": cast.john} if given.pop("inviter", False) else {}
    cursor: Any = (START + timedelta(minutes=10), UUID(int=0))
    where: dict[str, Any] = {
        "first": {}, "after": {"after": cursor}, "before": {"before": cursor},
        "last": {"last": True},
    }[side]  # fmt: skip
    plans: list[str] = []
    from sqlalchemy import event

    def look(conn: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT"):
            rows = conn.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.append("\n".join(row[3] for row in rows))

    event.listen(session.get_bind(), "before_cursor_execute", look)
    try:
        invitation_listing.listing(session, john, Filters(**given, **inviter), limit=5, **where)
    finally:
        event.remove(session.get_bind(), "before_cursor_execute", look)
    assert len(plans) <= 12, "a bounded number of queries, whatever the page holds"
    lines = [line for plan in plans for line in plan.splitlines()]
    used = {index for index in indexes for line in lines if f"INDEX {index} " in line}
    assert used == indexes
    for line in lines:
        assert not line.startswith("SCAN invitations"), line
        assert not line.startswith("SCAN outbox"), line
        if line.startswith("SEARCH invitations") and "ix_invitations_by" not in line:
            assert "user_id=?" in line or "AND id=?" in line, line
