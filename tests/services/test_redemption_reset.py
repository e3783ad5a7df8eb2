"""Resetting redemption: the same person, invited anew."""

from uuid import UUID

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from b2b.errors import Conflict, Denied, Invalid, NotFound
from b2b.models import (
    AllowInvitesFrom,
    AuditEvent,
    DomainList,
    Identity,
    MailState,
    OutboxMessage,
    Role,
    User,
)
from b2b.models import Session as SessionRow
from b2b.services import (
    applications,
    belonging,
    deleted_users,
    groups,
    redemption,
    redemption_reset,
    roles,
    sessions,
    users,
)
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import Clock
from tests.factories import SAM

NEW = "sam.oogle@oogle.example"


@pytest.fixture
def sam(session: Session, cast: Cast, clock: Clock) -> UUID:
    """Sam has accepted, has an application and a group, is signed in, and has a second address."""
    invited = factories.invite(
        session,
        cast,
        clock.now,
        application_ids=[cast.projects],
        group_ids=[cast.partners],
        display_name="Sam",
    )
    user = factories.accept(session, cast, invited, clock.now)
    user.other_mails = [NEW]
    sessions.start(
        session,
        factories.by_code(SAM),
        now=clock.now,
        tenant_id=cast.woodgrove,
        user_id=user.id,
    )
    session.flush()
    clock.advance(hours=1)
    return user.id


def test_everything_that_is_his_stays_and_the_way_in_is_new(
    session: Session, cast: Cast, clock: Clock, sam: UUID
) -> None:
    """invitations.md, 8; redemption.md, 6"""
    user = session.get_one(User, (cast.woodgrove, sam))
    upn, link = user.user_principal_name, factories.link_of(session, cast.woodgrove, sam)
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    invitation = redemption_reset.reset(session, john, sam, address=NEW)
    session.expire_all()
    assert (user.id, user.user_principal_name) == (sam, upn)
    assert str(user.external_user_state) == "PendingAcceptance"
    assert str(user.source) == "Invited user"
    assert [t.name for t in applications.tiles(session, cast.woodgrove, sam)] == ["Projects"]
    assert [g.display_name for g in groups.of_user(session, cast.woodgrove, sam)] == ["Partners"]
    assert session.scalars(select(Identity).where(Identity.user_id == sam)).all() == []
    open_sessions = select(func.count()).select_from(SessionRow).where(SessionRow.user_id == sam)
    assert session.execute(open_sessions).scalar_one() == 0
    assert belonging.places(session, factories.by_code(SAM)) == []
    assert factories.open_link(session, link, clock.now) is None
    mail = session.get_one(OutboxMessage, (cast.woodgrove, invitation.outbox_id))
    assert (mail.recipient, mail.state, mail.template) == (NEW, MailState.QUEUED, "invitation")
    event = session.scalars(select(AuditEvent).order_by(AuditEvent.sequence.desc()).limit(1)).one()
    assert event.activity == "Invite external user with reset invitation status"
    assert event.changes == [
        {"property": "UserState", "before": "Accepted", "after": "PendingAcceptance"},
        {"property": "Source", "before": "Email one-time passcode", "after": "Invited user"},
        {"property": "Identity", "before": SAM, "after": None},
        {"property": "InvitedAddress", "before": SAM, "after": NEW},
    ]


def test_only_the_new_address_redeems_afterwards(
    session: Session, cast: Cast, clock: Clock, sam: UUID
) -> None:
    """redemption.md, 6: the next sign-in name is the new address"""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    redemption_reset.reset(session, john, sam, address=NEW)
    session.flush()
    opened = factories.open_link(
        session, factories.link_of(session, cast.woodgrove, sam), clock.now
    )
    assert opened is not None
    guest = redemption.acting(opened, now=clock.now)
    with pytest.raises(redemption.WrongAccount):
        redemption.accept(session, guest, opened, factories.by_code(SAM))
    user = redemption.accept(session, guest, opened, factories.by_code(NEW))
    assert user.id == sam
    assert str(user.external_user_state) == "Accepted"
    assert [place.user_id for place in belonging.places(session, factories.by_code(NEW))] == [sam]


def test_the_same_address_works_too_and_the_mail_may_be_left_out(
    session: Session, cast: Cast, clock: Clock, sam: UUID
) -> None:
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    count = select(func.count()).select_from(OutboxMessage)
    before = session.execute(count).scalar_one()
    invitation = redemption_reset.reset(session, john, sam, address=SAM, send_message=False)
    assert session.execute(count).scalar_one() == before
    assert (invitation.send_message, invitation.outbox_id) == (False, None)
    again = redemption_reset.reset(session, john, sam, address=NEW)
    assert again.invited_address == NEW
    with pytest.raises(Conflict, match="Send the invitation again instead"):
        redemption_reset.reset(session, john, sam, address=NEW)


@pytest.mark.parametrize(
    ("role", "may"),
    [
        (None, False),
        (Role.GUEST_INVITER, False),
        (Role.GLOBAL_READER, False),
        (Role.APPLICATION_ADMINISTRATOR, False),
        (Role.HELPDESK_ADMINISTRATOR, True),
        (Role.USER_ADMINISTRATOR, True),
        (Role.GLOBAL_ADMINISTRATOR, True),
    ],
)
def test_who_may_reset(
    session: Session, cast: Cast, clock: Clock, sam: UUID, role: Role | None, may: bool
) -> None:
    """INV-3: its own permission"""
    if role is not None:
        factories.give_role(session, cast.woodgrove, cast.adele, role, clock.now)
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    if may:
        assert redemption_reset.reset(session, adele, sam, address=SAM).user_id == sam
    else:
        with pytest.raises(Denied, match="Helpdesk Administrator"):
            redemption_reset.reset(session, adele, sam, address=SAM)


@pytest.mark.parametrize("held", list(Role))
def test_a_privileged_account_is_never_reset(
    session: Session, cast: Cast, clock: Clock, sam: UUID, held: Role
) -> None:
    """INV-3: not by a Global Administrator either"""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    roles.grant(session, john, sam, held, guest_is_meant=True)
    with pytest.raises(Denied, match="Take the roles away first"):
        redemption_reset.reset(session, john, sam, address=SAM)
    assert session.scalars(select(Identity).where(Identity.user_id == sam)).one().user_id == sam


def test_what_cannot_be_reset_says_why(
    session: Session, cast: Cast, clock: Clock, sam: UUID
) -> None:
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    with pytest.raises(Conflict, match="never invited"):
        redemption_reset.reset(session, john, cast.adele, address="adele.vance@woodgrove.example")
    with pytest.raises(NotFound):
        redemption_reset.reset(session, john, cast.otto, address=SAM)
    with pytest.raises(Invalid, match="among this person’s other mail addresses first"):
        redemption_reset.reset(session, john, sam, address="stranger@oogle.example")
    factories.invite(session, cast, clock.now, "taken@oogle.example")
    user = session.get_one(User, (cast.woodgrove, sam))
    user.other_mails = ["taken@oogle.example", "x@woodgrove.example", "y@blocked.example"]
    session.flush()
    with pytest.raises(Invalid, match="Somebody else in this directory has taken@"):
        redemption_reset.reset(session, john, sam, address="taken@oogle.example")
    with pytest.raises(Invalid, match="is a verified domain of this directory"):
        redemption_reset.reset(session, john, sam, address="x@woodgrove.example")
    factories.set_policy(
        session, cast.woodgrove, domain_list=DomainList.BLOCK, domains=["blocked.example"]
    )
    with pytest.raises(Invalid, match="blocked by the invitation policy"):
        redemption_reset.reset(session, john, sam, address="y@blocked.example")
    users.block(session, john, sam)
    with pytest.raises(Conflict, match="Allow sign-in first"):
        redemption_reset.reset(session, john, sam, address=SAM)
    deleted_users.remove(session, john, sam)
    with pytest.raises(Conflict, match="is deleted"):
        redemption_reset.reset(session, john, sam, address=SAM)
    factories.set_policy(session, cast.woodgrove, allow_invites_from=AllowInvitesFrom.NONE)
    with pytest.raises(Denied, match="Guest invitations not allowed"):
        redemption_reset.reset(session, john, sam, address=SAM)
