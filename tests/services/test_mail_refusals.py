"""Whoever blocked an organisation gets no mail from it, until the address allows it again."""

from uuid import uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from b2b import links
from b2b.errors import Conflict, NotFound
from b2b.models import AuditEvent, MailRefusal, OutboxMessage
from b2b.services import addresses, invitation_handling, mail_refusals
from b2b.services.invitations import Invited
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import Clock

SAM = addresses.parse(factories.SAM)


@pytest.fixture
def invited(session: Session, cast: Cast, clock: Clock) -> Invited:
    return factories.invite(session, cast, clock.now)


def link(session: Session, cast: Cast, invited: Invited) -> mail_refusals.Link:
    secret = links.keyring().refusal(cast.woodgrove, invited.invitation_id)
    return mail_refusals.of_link(session, cast.woodgrove, invited.invitation_id, secret)


def activities(session: Session, cast: Cast) -> list[str]:
    return list(
        session.scalars(
            select(AuditEvent.activity)
            .where(AuditEvent.tenant_id == cast.woodgrove)
            .order_by(AuditEvent.sequence)
        )
    )


def test_a_link_says_whom_it_is_about_and_looking_changes_nothing(
    session: Session, cast: Cast, invited: Invited
) -> None:
    found = link(session, cast, invited)
    assert (found.tenant.id, found.address.key, found.blocked_at) == (
        cast.woodgrove, SAM.key, None,
    )  # fmt: skip
    assert session.scalars(select(MailRefusal)).all() == []


@pytest.mark.parametrize("altered", ["secret", "tenant", "invitation", "ticket"])
def test_an_altered_link_is_good_for_nothing(
    session: Session, cast: Cast, invited: Invited, altered: str
) -> None:
    """Neither one of another invitation, nor the ticket that redeems"""
    ring = links.keyring()
    values = [cast.woodgrove, invited.invitation_id]
    secret = ring.refusal(cast.woodgrove, invited.invitation_id)
    if altered == "secret":
        secret = ("A" if secret[0] != "A" else "B") + secret[1:]
    elif altered == "tenant":
        values[0] = cast.contoso
    elif altered == "invitation":
        values[1] = uuid4()
    else:
        secret = ring.ticket(ring.current_id, invited.invitation_id, 1)
    with pytest.raises(NotFound):
        mail_refusals.of_link(session, values[0], values[1], secret)


def test_blocking_twice_is_one_refusal_and_one_event(
    session: Session, cast: Cast, clock: Clock, invited: Invited
) -> None:
    """mail.md, 5: Email unsubscribed"""
    for _ in range(2):
        mail_refusals.block(
            session, link(session, cast, invited), now=clock.now, ip_address="192.0.2.7"
        )
    [row] = session.scalars(select(MailRefusal)).all()
    assert (row.tenant_id, row.address_key) == (cast.woodgrove, SAM.key)
    assert activities(session, cast).count("Email unsubscribed") == 1


def test_no_invitation_is_mailed_to_whoever_has_blocked_them(
    session: Session, cast: Cast, clock: Clock, invited: Invited
) -> None:
    """mail.md, 2: not invited again, not sent again; the link can be copied all the same"""
    mail_refusals.block(session, link(session, cast, invited), now=clock.now, ip_address=None)
    clock.advance(hours=1)
    owed = len(session.scalars(select(OutboxMessage)).all())
    again = factories.invite(session, cast, clock.now)
    assert again.unsubscribed
    assert not again.mailed
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    with pytest.raises(Conflict, match="has blocked invitations from this organisation"):
        invitation_handling.resend(session, john, invited.user_id)
    assert len(session.scalars(select(OutboxMessage)).all()) == owed
    assert "/redeem?rd=" in invitation_handling.copy_link(session, john, invited.user_id)
    assert "Email not sent, user unsubscribed" in activities(session, cast)


def test_another_organisation_is_not_affected(
    session: Session, cast: Cast, clock: Clock, invited: Invited
) -> None:
    mail_refusals.block(session, link(session, cast, invited), now=clock.now, ip_address=None)
    mail_refusals.require_wanted(session, cast.contoso, SAM)
    with pytest.raises(Conflict):
        mail_refusals.require_wanted(session, cast.woodgrove, SAM)


def test_allowing_again_lets_mail_out_and_is_audited(
    session: Session, cast: Cast, clock: Clock, invited: Invited
) -> None:
    """mail.md, 5: Email subscribed"""
    mail_refusals.block(session, link(session, cast, invited), now=clock.now, ip_address=None)
    [found] = mail_refusals.blocked_by(session, SAM)
    assert (found.display_name, found.primary_domain) == ("WoodGrove", "woodgrove.example")
    stranger = addresses.parse("somebody.else@gmail.com")
    assert mail_refusals.blocked_by(session, stranger) == []
    for address, name in ((stranger, None), (SAM, "WoodGrove"), (SAM, None)):
        assert (
            mail_refusals.allow(session, address, cast.woodgrove, now=clock.now, ip_address=None)
            == name
        )
    assert activities(session, cast).count("Email subscribed") == 1
    clock.advance(hours=1)
    assert factories.invite(session, cast, clock.now).mailed


def test_the_letter_is_the_same_address_in_any_case(
    session: Session, cast: Cast, clock: Clock, invited: Invited
) -> None:
    mail_refusals.block(session, link(session, cast, invited), now=clock.now, ip_address=None)
    shouted = addresses.parse(factories.SAM.upper())
    assert mail_refusals.has_blocked(session, shouted)
    assert factories.invite(session, cast, clock.now, factories.SAM.upper()).unsubscribed is False
    clock.advance(hours=1)
    assert factories.invite(session, cast, clock.now, factories.SAM.upper()).unsubscribed


def test_a_retired_key_no_longer_blocks_but_an_older_one_does(
    session: Session, cast: Cast, invited: Invited
) -> None:
    from b2b.keys import Keyring

    old, new = "o" * 40, "n" * 40
    secret = Keyring.from_secrets([old]).refusal(cast.woodgrove, invited.invitation_id)
    both, later = Keyring.from_secrets([new, old]), Keyring.from_secrets([new])
    assert both.is_refusal(secret, cast.woodgrove, invited.invitation_id)
    assert not later.is_refusal(secret, cast.woodgrove, invited.invitation_id)
