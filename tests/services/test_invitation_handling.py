"""What is done with an invitation afterwards: each state, each refusal, and races."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from b2b import worker
from b2b.actor import Actor
from b2b.errors import Conflict, Denied, Invalid, NotAll, NotFound, Refused
from b2b.models import (
    AllowInvitesFrom,
    AuditEvent,
    DomainList,
    Invitation,
    InvitationStanding,
    MailRefusal,
    MailState,
    OutboxMessage,
    Role,
    User,
)
from b2b.services import deleted_users, invitation_handling, invitation_listing, redemption
from b2b.services.invitation_handling import Handling
from b2b.services.invitations import Invited
from b2b.services.redemption import Standing
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import START, Clock
from tests.crowd import at_once
from tests.factories import SAM

DO: dict[Handling, Callable[[Session, Actor, UUID], object]] = {
    Handling.RESEND: invitation_handling.resend,
    Handling.COPY_LINK: invitation_handling.copy_link,
    Handling.EXTEND: invitation_handling.extend,
    Handling.CANCEL: invitation_handling.cancel,
}


@pytest.fixture
def john(session: Session, cast: Cast, clock: Clock) -> Actor:
    return acting(session, cast.woodgrove, cast.john, clock.now)


@pytest.fixture
def sam(session: Session, cast: Cast, clock: Clock) -> Invited:
    return factories.invite(session, cast, clock.now)


def at(session: Session, cast: Cast, when: datetime) -> Actor:
    """John, at another time."""
    return acting(session, cast.woodgrove, cast.john, when)


def of(session: Session, cast: Cast, invited: Invited) -> Invitation:
    return factories.invitation_of(session, cast.woodgrove, invited.user_id)


def standing(session: Session, cast: Cast, invited: Invited, now: datetime) -> Standing | None:
    """What the newest link leads to."""
    opened = factories.open_link(
        session, factories.link_of(session, cast.woodgrove, invited.user_id), now
    )
    return opened.standing if opened else None


def mails(session: Session, invited: Invited) -> list[str]:
    """States of the letters about an invitation, oldest first."""
    return [
        str(state)
        for state in session.scalars(
            select(OutboxMessage.state)
            .where(OutboxMessage.about_id == invited.invitation_id)
            .order_by(OutboxMessage.id)
        )
    ]


def activities(session: Session, invited: Invited) -> list[str]:
    return list(
        session.scalars(
            select(AuditEvent.activity)
            .where(AuditEvent.target_id == invited.user_id)
            .order_by(AuditEvent.sequence)
        )
    )


def bring_to(session: Session, cast: Cast, invited: Invited, state: str) -> datetime:
    """Bring a pending invitation into *state*; the instant at which it is looked at."""
    now = START + timedelta(hours=1)
    match state:
        case "expired":
            return START + timedelta(days=30)
        case "accepted":
            factories.accept(session, cast, invited, now)
        case "declined":
            link = factories.link_of(session, cast.woodgrove, invited.user_id)
            opened = factories.open_link(session, link, now)
            assert opened is not None
            guest = redemption.acting(opened, now=now)
            redemption.decline(session, guest, opened, factories.by_code(SAM))
        case "cancelled":
            invitation_handling.cancel(session, at(session, cast, now), invited.user_id)
        case "deleted":
            deleted_users.remove(session, at(session, cast, now), invited.user_id)
    session.flush()
    return now


NONE = None
ACCEPTED_ALREADY, DELETED = "gsamoogle has accepted already.", "gsamoogle is deleted."
GONE = "This invitation was cancelled. Send it again instead."


@pytest.mark.parametrize(
    ("state", "resend", "link", "extend", "cancel"),
    [
        ("pending", NONE, NONE, NONE, NONE),
        ("expired", NONE, NONE, NONE, NONE),
        ("declined", NONE, NONE, NONE, NONE),
        ("accepted", ACCEPTED_ALREADY, ACCEPTED_ALREADY, ACCEPTED_ALREADY, ACCEPTED_ALREADY),
        ("cancelled", NONE, GONE, GONE, "This invitation was cancelled already."),
        ("deleted", DELETED, DELETED, DELETED, DELETED),
    ],
)
@pytest.mark.parametrize("handling", list(Handling))
def test_what_can_be_done_in_each_state_and_why_not(
    session: Session, cast: Cast, sam: Invited, state: str, handling: Handling,
    resend: str | None, link: str | None, extend: str | None, cancel: str | None,
) -> None:  # fmt: skip
    expected = dict(zip(Handling, (resend, link, extend, cancel), strict=True))[handling]
    actor = at(session, cast, bring_to(session, cast, sam, state))
    [verdict] = invitation_handling.verdicts(session, actor, handling, [sam.user_id])
    assert (str(verdict.refusal) if verdict.refusal else None) == expected
    if expected is None:
        DO[handling](session, actor, sam.user_id)
    else:
        before = activities(session, sam)
        with pytest.raises(Conflict) as refused:
            DO[handling](session, actor, sam.user_id)
        assert str(refused.value) == expected
        assert activities(session, sam) == before


def test_extending_lets_the_same_link_work_again_for_the_whole_time(
    session: Session, cast: Cast, sam: Invited
) -> None:
    """decisions.md, expiry: computed from one column, for mail link and page alike"""
    link = factories.link_of(session, cast.woodgrove, sam.user_id)
    late = START + timedelta(days=40)
    assert standing(session, cast, sam, late) is Standing.EXPIRED
    invitation_handling.extend(session, at(session, cast, late), sam.user_id)
    session.flush()
    assert factories.link_of(session, cast.woodgrove, sam.user_id) == link
    assert standing(session, cast, sam, late + timedelta(days=30, seconds=-1)) is Standing.OPEN
    assert standing(session, cast, sam, late + timedelta(days=30)) is Standing.EXPIRED
    assert of(session, cast, sam).sent_at == START
    [event] = session.scalars(
        select(AuditEvent).where(AuditEvent.activity == "Extend invitation")
    ).all()
    assert event.changes == [
        {"property": "ValidUntil", "before": "2026-12-21T09:00:00+00:00",
         "after": "2027-01-30T09:00:00+00:00"},
    ]  # fmt: skip
    assert mails(session, sam) == ["queued"], "no mail is sent"


def test_extending_makes_no_sense_where_invitations_never_end(
    session: Session, cast: Cast, john: Actor, sam: Invited
) -> None:
    factories.set_policy(session, cast.woodgrove, invitation_days=None)
    with pytest.raises(Conflict, match="Invitations of this organisation do not end"):
        invitation_handling.extend(session, john, sam.user_id)


def test_cancelling_kills_link_and_queued_mail_and_leaves_the_person(
    session: Session, cast: Cast, john: Actor, sam: Invited
) -> None:
    """decisions.md, cancel; RED-5"""
    invitation_handling.cancel(session, john, sam.user_id)
    session.flush()
    assert standing(session, cast, sam, START) is None
    assert mails(session, sam) == ["cancelled"]
    assert session.get_one(User, (cast.woodgrove, sam.user_id)).is_pending
    found = of(session, cast, sam)
    assert (found.standing, found.cancelled_at) == (InvitationStanding.CANCELLED, START)
    assert activities(session, sam)[-1] == "Cancel invitation"


def test_a_mail_that_was_sent_already_stays_sent(
    session: Session, cast: Cast, john: Actor, sam: Invited
) -> None:
    session.query(OutboxMessage).update({"state": MailState.SENT, "settled_at": START})
    invitation_handling.cancel(session, john, sam.user_id)
    assert mails(session, sam) == ["sent"]


def test_sending_again_ends_the_old_link_and_undoes_a_cancellation(
    session: Session, cast: Cast, john: Actor, sam: Invited
) -> None:
    """RED-5: resend raises the token version"""
    old = factories.link_of(session, cast.woodgrove, sam.user_id)
    invitation_handling.cancel(session, john, sam.user_id)
    later = at(session, cast, START + timedelta(days=2))
    invitation_handling.resend(session, later, sam.user_id)
    session.flush()
    found = of(session, cast, sam)
    assert (found.version, found.standing, found.cancelled_at) == (2, InvitationStanding.OPEN, None)
    assert factories.open_link(session, old, later.now) is None
    assert standing(session, cast, sam, later.now) is Standing.OPEN
    assert mails(session, sam) == ["cancelled", "queued"]
    assert found.valid_from == later.now


def test_a_decline_is_forgotten_when_it_is_sent_again(
    session: Session, cast: Cast, sam: Invited
) -> None:
    now = bring_to(session, cast, sam, "declined")
    assert of(session, cast, sam).standing is InvitationStanding.DECLINED
    assert standing(session, cast, sam, now) is Standing.OPEN, "the same link works again"
    invitation_handling.resend(session, at(session, cast, now), sam.user_id)
    session.flush()
    assert of(session, cast, sam).standing is InvitationStanding.OPEN


@pytest.mark.parametrize("handling", [Handling.RESEND, Handling.COPY_LINK, Handling.EXTEND])
def test_a_domain_that_is_blocked_by_now_stops_what_reaches_out(
    session: Session, cast: Cast, john: Actor, sam: Invited, handling: Handling
) -> None:
    """INV-5"""
    factories.set_policy(
        session, cast.woodgrove, domain_list=DomainList.BLOCK, domains=["gmail.com"]
    )
    with pytest.raises(Invalid, match=r"gmail.com is blocked by the invitation policy"):
        DO[handling](session, john, sam.user_id)
    invitation_handling.cancel(session, john, sam.user_id)


@pytest.mark.parametrize("handling", list(Handling))
def test_people_of_another_tenant_and_nobody_answer_alike(
    session: Session, cast: Cast, john: Actor, sam: Invited, handling: Handling
) -> None:
    """ADM-3: alone and among others, all or nothing"""
    said = set()
    for stranger in (cast.otto, uuid4()):
        with pytest.raises(NotFound) as refused:
            DO[handling](session, john, stranger)
        said.add(str(refused.value))
        with pytest.raises(NotFound) as refused:
            invitation_handling.handle(session, john, handling, [sam.user_id, stranger])
        said.add(str(refused.value))
    assert said == {"There is nobody here with this id."}
    assert activities(session, sam)[-1] == "Add user sponsor"


def test_somebody_who_was_never_invited_cannot_be_handled(
    session: Session, cast: Cast, john: Actor, sam: Invited
) -> None:
    with pytest.raises(NotFound, match="never invited"):
        invitation_handling.cancel(session, john, cast.adele)
    with pytest.raises(NotAll) as refused:
        invitation_handling.handle(session, john, Handling.CANCEL, [sam.user_id, cast.adele])
    reasons = [str(one.refusal) if one.refusal else None for one in refused.value.verdicts]
    assert reasons == [None, "This person was never invited."]


@pytest.mark.parametrize("handling", list(Handling))
def test_only_the_inviter_and_whom_the_role_allows_may(
    session: Session, cast: Cast, clock: Clock, sam: Invited, handling: Handling
) -> None:
    """ADM-2"""
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    for what in (
        lambda: DO[handling](session, adele, sam.user_id),
        lambda: invitation_handling.verdicts(session, adele, handling, [sam.user_id]),
        lambda: invitation_handling.handle(session, adele, handling, [sam.user_id]),
    ):
        with pytest.raises(Denied, match="Helpdesk Administrator"):
            what()
    own = factories_invite_as(session, adele, "own@partner.example")
    DO[handling](session, adele, own.user_id)
    factories.give_role(session, cast.woodgrove, cast.adele, Role.HELPDESK_ADMINISTRATOR, clock.now)
    helpdesk = acting(session, cast.woodgrove, cast.adele, clock.now)
    DO[handling](session, helpdesk, sam.user_id)


def factories_invite_as(session: Session, actor: Actor, address: str) -> Invited:
    from b2b.services import invitations

    return invitations.invite(session, actor, address=address)


@pytest.mark.parametrize("handling", list(Handling))
def test_where_nobody_may_invite_an_invitation_can_only_be_taken_back(
    session: Session, cast: Cast, john: Actor, sam: Invited, handling: Handling
) -> None:
    """INV-6: `none` stops admins too"""
    factories.set_policy(session, cast.woodgrove, allow_invites_from=AllowInvitesFrom.NONE)
    if handling is Handling.CANCEL:
        invitation_handling.cancel(session, john, sam.user_id)
        return
    for what in (
        lambda: DO[handling](session, john, sam.user_id),
        lambda: invitation_handling.handle(session, john, handling, [sam.user_id]),
    ):
        with pytest.raises(Denied, match="Guest invitations not allowed for your company"):
            what()


def test_whoever_has_blocked_invitations_gets_none_again_alone_or_among_others(
    session: Session, cast: Cast, john: Actor, sam: Invited
) -> None:
    """mail.md, 5: said before it is tried; the link may still be passed on by hand"""
    session.add(MailRefusal(tenant_id=cast.woodgrove, address_key=SAM, refused_at=START))
    other = factories.invite(session, cast, START, "other@partner.example")
    found = invitation_handling.verdicts(
        session, john, Handling.RESEND, [sam.user_id, other.user_id]
    )
    assert [one.refusal is None for one in found] == [False, True]
    assert str(found[0].refusal).startswith(f"{SAM} has blocked invitations")
    with pytest.raises(Conflict, match="has blocked invitations"):
        invitation_handling.resend(session, john, sam.user_id)
    for handling in (Handling.COPY_LINK, Handling.EXTEND, Handling.CANCEL):
        [verdict] = invitation_handling.verdicts(session, john, handling, [sam.user_id])
        assert verdict.refusal is None


# Several -----------------------------------------------------------------------------------------


def several(session: Session, cast: Cast, count: int) -> list[Invited]:
    return [
        factories.invite(session, cast, START - timedelta(hours=number), f"g{number}@p.example")
        for number in range(count)
    ]


@pytest.mark.parametrize("handling", [Handling.RESEND, Handling.EXTEND, Handling.CANCEL])
def test_fifty_are_handled_together_and_one_more_is_refused(
    session: Session, cast: Cast, handling: Handling
) -> None:
    people = several(session, cast, 51)
    ids = [invited.user_id for invited in people]
    later = at(session, cast, START + timedelta(days=1))
    with pytest.raises(Invalid, match="At most 50 invitations at once"):
        invitation_handling.handle(session, later, handling, ids)
    done = invitation_handling.handle(session, later, handling, [*ids[:50], ids[0]])
    assert [verdict.user.id for verdict in done] == ids[:50], "somebody named twice counts once"
    session.flush()
    changed = [of(session, cast, invited) for invited in people]
    assert {
        Handling.RESEND: sum(one.version == 2 for one in changed),
        Handling.EXTEND: sum(one.valid_from == later.now for one in changed),
        Handling.CANCEL: sum(one.standing is InvitationStanding.CANCELLED for one in changed),
    }[handling] == 50


def test_one_that_cannot_be_handled_leaves_all_as_they_were(
    app: Flask, cast: Cast, clock: Clock
) -> None:
    """ADM-3: all or nothing, each with its reason"""
    with app.app_context(), worker.transaction() as session:
        people = several(session, cast, 3)
        factories.accept(session, cast, people[1], START)
    with app.app_context():
        ids = [invited.user_id for invited in people]
        with worker.transaction() as session:
            john = at(session, cast, clock.now)
        with pytest.raises(NotAll) as refused, worker.transaction() as session:
            invitation_handling.handle(session, john, Handling.CANCEL, ids)
        verdicts = refused.value.verdicts
        with worker.transaction() as session:
            states = [of(session, cast, invited).standing for invited in people]
            assert [mails(session, invited) for invited in people] == [
                ["queued"], ["queued", "queued"], ["queued"],
            ]  # fmt: skip
    assert [one.refusal is None for one in verdicts] == [True, False, True]
    assert states == [
        InvitationStanding.OPEN, InvitationStanding.ACCEPTED, InvitationStanding.OPEN,
    ]  # fmt: skip


# Races -------------------------------------------------------------------------------------------


@pytest.fixture
def committed(app: Flask, cast: Cast, clock: Clock) -> Invited:
    with app.app_context(), worker.transaction() as session:
        return factories.invite(session, cast, clock.now)


def race(
    app: Flask, first: Callable[[Session], Any], second: Callable[[Session], Any]
) -> tuple[int, list[BaseException]]:
    """Both at once; how many came through, and what the others were told."""
    done, faults = at_once(app, 2, lambda session, number: (first, second)[number](session))
    assert all(isinstance(fault, Refused) for fault in faults), faults
    return len(done), faults


def accepting(cast: Cast, invited: Invited, now: datetime) -> Callable[[Session], object]:
    return lambda session: factories.accept(session, cast, invited, now)


@pytest.mark.parametrize("round", range(4))
def test_cancelling_races_accepting_and_exactly_one_wins(
    app: Flask, cast: Cast, clock: Clock, committed: Invited, round: int
) -> None:
    """RED-5: state checked on accept as well"""

    def accept(session: Session) -> None:
        link = factories.link_of(session, cast.woodgrove, committed.user_id)
        opened = factories.open_link(session, link, clock.now)
        if opened is None:
            raise Conflict("cancelled before it was opened")
        guest = redemption.acting(opened, now=clock.now)
        redemption.accept(session, guest, opened, factories.by_code(SAM))

    def cancel(session: Session) -> None:
        invitation_handling.cancel(session, at(session, cast, clock.now), committed.user_id)

    came_through, _ = race(app, accept, cancel)
    assert came_through == 1
    with app.app_context(), worker.transaction() as session:
        found = of(session, cast, committed)
        user = session.get_one(User, (cast.woodgrove, committed.user_id))
        accepted = found.accepted_at is not None
        assert accepted is (found.cancelled_at is None)
        assert accepted is not user.is_pending
        assert found.standing is (
            InvitationStanding.ACCEPTED if accepted else InvitationStanding.CANCELLED
        )


def test_an_accept_on_the_last_instant_races_an_extension_and_nothing_is_lost(
    app: Flask, cast: Cast, clock: Clock, committed: Invited
) -> None:
    """extend vs expiry: the guest opened it in time, and the time is over when he accepts"""
    with app.app_context(), worker.transaction() as session:
        link = factories.link_of(session, cast.woodgrove, committed.user_id)
        opened = factories.open_link(session, link, clock.now)
    assert opened is not None
    over = START + timedelta(days=30)
    guest = redemption.acting(opened, now=over)
    with app.app_context():
        with pytest.raises(Conflict, match="expired meanwhile"), worker.transaction() as session:
            redemption.accept(session, guest, opened, factories.by_code(SAM))
        with worker.transaction() as session:
            invitation_handling.extend(session, at(session, cast, over), committed.user_id)
        with worker.transaction() as session:
            redemption.accept(session, guest, opened, factories.by_code(SAM))
        with worker.transaction() as session:
            assert of(session, cast, committed).standing is InvitationStanding.ACCEPTED


def test_sending_again_twice_at_once_leaves_one_working_link_and_one_waiting_mail(
    app: Flask, cast: Cast, clock: Clock, committed: Invited
) -> None:
    def resend(session: Session, _: int) -> None:
        invitation_handling.resend(session, at(session, cast, clock.now), committed.user_id)

    _, faults = at_once(app, 4, resend)
    assert faults == []
    with app.app_context(), worker.transaction() as session:
        found = of(session, cast, committed)
        assert found.version == 5
        assert mails(session, committed) == ["cancelled"] * 4 + ["queued"]
        waiting = session.scalars(
            select(OutboxMessage).where(OutboxMessage.state == MailState.QUEUED)
        ).one()
        assert waiting.id == found.outbox_id
        assert waiting.context["version"] == 5
        assert standing(session, cast, committed, clock.now) is Standing.OPEN


def test_what_was_done_shows_in_the_list_at_once(
    session: Session, cast: Cast, john: Actor, sam: Invited
) -> None:
    invitation_handling.cancel(session, john, sam.user_id)
    session.flush()
    page = invitation_listing.listing(session, john, invitation_listing.Filters())
    assert [row.cancelled_at for row in page.rows] == [START]
