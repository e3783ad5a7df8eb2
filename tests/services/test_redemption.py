"""Redeeming: who may, once, in which state; and what becomes of the guest."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from sqlalchemy import func, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from b2b import worker
from b2b.actor import ExternalIdentity
from b2b.errors import Conflict, Denied, Refused
from b2b.extensions import db
from b2b.models import (
    AuditEvent,
    Domain,
    DomainList,
    ExternalUserState,
    Identity,
    Invitation,
    LandingPages,
    OutboxMessage,
    Provider,
    Source,
    User,
)
from b2b.services import (
    belonging,
    deleted_users,
    invitation_handling,
    invitations,
    passwords,
    redemption,
    sessions,
    sign_in,
    user_listing,
    users,
)
from b2b.services.redemption import Opened, Standing, WrongAccount
from b2b.services.user_listing import Filters
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import START, Clock
from tests.crowd import at_once
from tests.factories import SAM

OTTO = "otto.brandt@contoso.example"


def opened_for(session: Session, cast: Cast, now: Any, user_id: UUID) -> Opened:
    opened = factories.open_link(session, factories.link_of(session, cast.woodgrove, user_id), now)
    assert opened is not None
    return opened


def accept(session: Session, opened: Opened, now: Any, identity: ExternalIdentity) -> User:
    return redemption.accept(session, redemption.acting(opened, now=now), opened, identity)


def somebody(**columns: Any) -> ExternalIdentity:
    """An identity as some provider would state it."""
    facts: dict[str, Any] = {
        "provider": Provider.PERSONAL,
        "issuer": "https://idp.example",
        "subject": "4711",
        "label": SAM,
    }
    return ExternalIdentity(**(facts | columns))


# Who may redeem ----------------------------------------------------------------------------------

IDENTITIES: dict[str, tuple[ExternalIdentity, bool]] = {
    "a code sent to the invited address": (factories.by_code(SAM), True),
    "a code sent to the address in capitals": (factories.by_code("GSamOogle@GMAIL.com"), True),
    "a code sent to another address": (factories.by_code("eve@gmail.com"), False),
    "a personal account that proved the address": (somebody(proven=frozenset({SAM})), True),
    "a directory that verified the domain": (
        somebody(provider=Provider.DIRECTORY, proven=frozenset({SAM})), True,
    ),
    "a provider that proved another address": (
        somebody(proven=frozenset({"eve@gmail.com"})), False,
    ),
    "a provider that claims the address and proved nothing": (somebody(), False),
    "a directory that claims the address and proved nothing": (
        somebody(provider=Provider.DIRECTORY), False,
    ),
    "the address as the name of the person": (
        somebody(display_name=SAM, given_name=SAM, subject=SAM, issuer="mail"), False,
    ),
    "an address that only begins alike": (
        somebody(proven=frozenset({SAM + ".evil.example"})), False,
    ),
    "an account of the inviting directory itself": (
        somebody(provider=None, proven=frozenset({SAM})), False,
    ),
    "the word true": (somebody(proven=frozenset({"true"})), False),
}  # fmt: skip


@pytest.mark.parametrize("which", IDENTITIES)
def test_only_whoever_has_proven_the_invited_address_may_redeem(
    session: Session, cast: Cast, clock: Clock, which: str
) -> None:
    """RED-3, FED-3: labels, names and editable properties prove nothing."""
    identity, may = IDENTITIES[which]
    invited = factories.invite(session, cast, clock.now)
    opened = opened_for(session, cast, clock.now, invited.user_id)
    assert redemption.matches(session, opened, identity) is may
    if may:
        assert accept(session, opened, clock.now, identity).external_user_state == "Accepted"
    else:
        with pytest.raises(WrongAccount):
            accept(session, opened, clock.now, identity)
        session.rollback()
        assert session.execute(select(func.count()).select_from(Identity)).scalar_one() == 0


def test_a_mail_property_that_somebody_may_edit_proves_nothing(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """RED-3: the nOAuth class. Otto's admin writes Sam's address into Otto's mail."""
    session.execute(
        update(User)
        .where(User.tenant_id == cast.contoso, User.id == cast.otto)
        .values(mail=SAM, mail_key=SAM, other_mails=[SAM])
    )
    invited = factories.invite(session, cast, clock.now)
    opened = opened_for(session, cast, clock.now, invited.user_id)
    otto = factories.hosted(session, OTTO)
    assert not redemption.matches(session, opened, otto)
    way, account = sign_in.discover(session, opened.address, guest=opened.user)
    assert account is None
    assert way.method is sign_in.Method.PERSONAL_NEW


def test_a_directory_speaks_only_for_domains_that_it_has_verified(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """RED-3, decisions.md, who may redeem (i)"""
    session.add(Domain(tenant_id=cast.contoso, name="partner.example", verified_at=None))
    session.execute(
        update(User)
        .where(User.tenant_id == cast.contoso, User.id == cast.otto)
        .values(user_principal_name="o@partner.example", upn_key="o@partner.example")
    )
    session.flush()
    invited = factories.invite(session, cast, clock.now, "o@partner.example")
    opened = opened_for(session, cast, clock.now, invited.user_id)
    way, account = sign_in.discover(session, opened.address, guest=opened.user)
    assert account is None
    assert way.method is sign_in.Method.PASSCODE
    session.execute(
        update(Domain).where(Domain.name == "partner.example").values(verified_at=clock.now)
    )
    way, account = sign_in.discover(session, opened.address, guest=opened.user)
    assert account is not None
    assert way.method is sign_in.Method.PASSWORD
    assert redemption.matches(session, opened, sign_in.identity_for(account))


def test_after_acceptance_the_bound_identity_alone_counts(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """RED-3, FED-3: (issuer, subject) is the key; the label may change, the address proves
    nothing.
    """
    invited = factories.invite(session, cast, clock.now)
    opened = opened_for(session, cast, clock.now, invited.user_id)
    bound = somebody(proven=frozenset({SAM}))
    accept(session, opened, clock.now, bound)
    session.flush()
    opened = opened_for(session, cast, clock.now, invited.user_id)
    assert opened.standing is Standing.ACCEPTED
    assert redemption.matches(session, opened, bound)
    renamed = replace(bound, label="new@elsewhere.example", proven=frozenset())
    assert redemption.matches(session, opened, renamed)
    assert not redemption.matches(session, opened, factories.by_code(SAM))
    assert not redemption.matches(session, opened, replace(bound, subject="4712"))
    assert not redemption.matches(session, opened, replace(bound, issuer="https://evil.example"))


# Once --------------------------------------------------------------------------------------------


def test_fifty_threads_on_one_link_give_one_success_one_binding_and_one_event(
    app: Flask, cast: Cast, clock: Clock
) -> None:
    """RED-4"""
    with app.app_context(), worker.transaction() as session:
        invited = factories.invite(session, cast, clock.now)
        link = factories.link_of(session, cast.woodgrove, invited.user_id)

    def once(session: Session, number: int) -> UUID:
        opened = factories.open_link(session, link, clock.now)
        assert opened is not None
        return accept(session, opened, clock.now, factories.by_code(SAM)).id

    done, faults = at_once(app, 50, once)
    assert done == [invited.user_id]
    assert len(faults) == 49
    assert {type(fault) for fault in faults} == {Conflict}
    assert {str(fault) for fault in faults} == {
        "This invitation was accepted already. Sign in to continue."
    }
    with app.app_context():
        assert db.session.execute(select(func.count()).select_from(Identity)).scalar_one() == 1
        redeemed = db.session.execute(
            select(func.count())
            .select_from(AuditEvent)
            .where(AuditEvent.activity == "Redeem external user invite")
        ).scalar_one()
        assert redeemed == 1
        told = db.session.scalars(
            select(OutboxMessage.template).where(OutboxMessage.template == "accepted")
        ).all()
        assert told == ["accepted"]
        db.session.remove()


def test_different_identities_at_once_bind_one_of_them(
    app: Flask, cast: Cast, clock: Clock
) -> None:
    """RED-4: two providers that both prove the address."""
    with app.app_context(), worker.transaction() as session:
        invited = factories.invite(session, cast, clock.now)
        link = factories.link_of(session, cast.woodgrove, invited.user_id)

    def once(session: Session, number: int) -> str:
        opened = factories.open_link(session, link, clock.now)
        assert opened is not None
        identity = somebody(subject=f"subject {number}", proven=frozenset({SAM}))
        accept(session, opened, clock.now, identity)
        return identity.subject

    done, faults = at_once(app, 8, once)
    assert len(done) == 1
    assert {type(fault) for fault in faults} == {Conflict}
    with app.app_context():
        bound = db.session.execute(select(Identity)).scalar_one()
        assert bound.subject == done[0]
        db.session.remove()


# What the link leads to --------------------------------------------------------------------------


def test_links_that_cannot_be_used_answer_alike(session: Session, cast: Cast, clock: Clock) -> None:
    """RED-1, RED-5: unknown, altered, superseded, cancelled, foreign, and a deleted guest's."""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    invited = factories.invite(session, cast, clock.now)
    found = factories.invitation_of(session, cast.woodgrove, invited.user_id)
    good = found.ticket_hash

    def leads_to(tenant_id: UUID, invitation_id: UUID, hashed: bytes) -> Opened | None:
        return redemption.open_link(session, tenant_id, invitation_id, hashed, now=clock.now)

    assert leads_to(cast.woodgrove, found.id, good) is not None
    assert leads_to(cast.woodgrove, uuid4(), good) is None
    assert leads_to(cast.contoso, found.id, good) is None
    assert leads_to(uuid4(), found.id, good) is None
    assert leads_to(cast.woodgrove, found.id, bytes(32)) is None
    assert leads_to(cast.woodgrove, found.id, good[:-1] + bytes([good[-1] ^ 1])) is None
    assert leads_to(cast.woodgrove, found.id, b"") is None
    invitation_handling.resend(session, john, invited.user_id)
    session.flush()
    assert leads_to(cast.woodgrove, found.id, good) is None
    newer = factories.invitation_of(session, cast.woodgrove, invited.user_id).ticket_hash
    session.execute(update(Invitation).values(cancelled_at=clock.now))
    assert leads_to(cast.woodgrove, found.id, newer) is None
    session.execute(update(Invitation).values(cancelled_at=None))
    assert leads_to(cast.woodgrove, found.id, newer) is not None
    deleted_users.remove(session, john, invited.user_id)
    session.flush()
    assert leads_to(cast.woodgrove, found.id, newer) is None


def test_opening_a_link_fifty_times_changes_nothing(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """RED-2"""
    invited = factories.invite(session, cast, clock.now)
    before = factories.invitation_of(session, cast.woodgrove, invited.user_id)
    columns = {c.key: getattr(before, c.key) for c in Invitation.__table__.columns}
    for _ in range(50):
        opened_for(session, cast, clock.advance(minutes=1), invited.user_id)
    assert not session.dirty
    after = factories.invitation_of(session, cast.woodgrove, invited.user_id)
    assert {c.key: getattr(after, c.key) for c in Invitation.__table__.columns} == columns


def test_an_invitation_ends_by_the_clock(session: Session, cast: Cast, clock: Clock) -> None:
    """decisions.md, expiry: computed, never stored; threats.md, 3: 30 days"""
    invited = factories.invite(session, cast, clock.now)

    def standing_after(**time: float) -> Standing:
        return opened_for(session, cast, START + timedelta(**time), invited.user_id).standing

    assert standing_after(days=29, hours=23, minutes=59) is Standing.OPEN
    assert standing_after(days=30) is Standing.EXPIRED
    factories.set_policy(session, cast.woodgrove, invitation_days=7)
    assert standing_after(days=6.99) is Standing.OPEN
    assert standing_after(days=7) is Standing.EXPIRED
    factories.set_policy(session, cast.woodgrove, invitation_days=None)
    assert standing_after(days=3650) is Standing.OPEN


def test_an_expired_invitation_is_not_accepted_and_a_resend_starts_anew(
    session: Session, cast: Cast, clock: Clock
) -> None:
    invited = factories.invite(session, cast, clock.now)
    clock.advance(days=31)
    opened = opened_for(session, cast, clock.now, invited.user_id)
    with pytest.raises(Conflict, match="has expired"):
        accept(session, opened, clock.now, factories.by_code(SAM))
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    invitation_handling.resend(session, john, invited.user_id)
    session.flush()
    opened = opened_for(session, cast, clock.advance(days=29), invited.user_id)
    assert accept(session, opened, clock.now, factories.by_code(SAM)).is_pending is False


def test_a_domain_blocked_meanwhile_stops_the_pending_and_not_the_accepted(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """redemption.md, 6: policy change while pending"""
    pending = factories.invite(session, cast, clock.now)
    accepted = factories.invite(session, cast, clock.now, "eve@gmail.com")
    factories.accept(session, cast, accepted, clock.now)
    factories.set_policy(
        session, cast.woodgrove, domain_list=DomainList.BLOCK, domains=["gmail.com"]
    )
    opened = opened_for(session, cast, clock.now, pending.user_id)
    assert opened.standing is Standing.BLOCKED_DOMAIN
    with pytest.raises(Denied, match="WoodGrove does not take guests from your domain any more"):
        accept(session, opened, clock.now, factories.by_code(SAM))
    assert opened_for(session, cast, clock.now, accepted.user_id).standing is Standing.ACCEPTED


def test_a_blocked_guest_cannot_accept(session: Session, cast: Cast, clock: Clock) -> None:
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    invited = factories.invite(session, cast, clock.now)
    users.block(session, john, invited.user_id)
    session.flush()
    opened = opened_for(session, cast, clock.now, invited.user_id)
    assert opened.standing is Standing.DISABLED
    with pytest.raises(Denied, match="WoodGrove has blocked this account"):
        accept(session, opened, clock.now, factories.by_code(SAM))


TRANSITIONS = ["resent", "cancelled", "deleted", "blocked", "domain blocked", "accepted"]


@pytest.mark.parametrize("transition", TRANSITIONS)
def test_whatever_happens_between_reading_and_accepting_wins(
    app: Flask, cast: Cast, clock: Clock, transition: str
) -> None:
    """RED-5: the state is checked again under the lock, not as it was when the page was read.

    On SQLite the second writer is refused by the database itself, since its reading is outdated.
    """
    with app.app_context(), worker.transaction() as session:
        invited = factories.invite(session, cast, clock.now)

    def meanwhile(session: Session, _: int) -> None:
        john = acting(session, cast.woodgrove, cast.john, clock.now)
        if transition == "resent":
            invitation_handling.resend(session, john, invited.user_id)
        elif transition == "cancelled":
            session.execute(update(Invitation).values(cancelled_at=clock.now))
        elif transition == "deleted":
            deleted_users.remove(session, john, invited.user_id)
        elif transition == "blocked":
            users.block(session, john, invited.user_id)
        elif transition == "domain blocked":
            factories.set_policy(
                session, cast.woodgrove, domain_list=DomainList.BLOCK, domains=["gmail.com"]
            )
        else:
            opened = opened_for(session, cast, clock.now, invited.user_id)
            accept(session, opened, clock.now, somebody(proven=frozenset({SAM})))

    with app.app_context():
        opened = opened_for(db.session(), cast, clock.now, invited.user_id)
        _, faults = at_once(app, 1, meanwhile)
        assert faults == []
        with pytest.raises((Refused, OperationalError)):
            accept(db.session(), opened, clock.now, factories.by_code(SAM))
        db.session.rollback()
        bound = db.session.scalars(select(Identity.provider)).all()
        assert bound == ([Provider.PERSONAL] if transition == "accepted" else [])
        db.session.remove()


# What acceptance does ----------------------------------------------------------------------------


def test_accepting_binds_the_identity_and_changes_the_object_as_published(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """redemption.md, 5"""
    invited = factories.invite(session, cast, clock.now, OTTO)
    clock.advance(hours=2)
    otto = factories.hosted(session, OTTO)
    factories.accept(session, cast, invited, clock.now, otto)
    session.flush()
    session.expire_all()
    user = session.get_one(User, (cast.woodgrove, invited.user_id))
    assert user.external_user_state is ExternalUserState.ACCEPTED
    assert user.external_user_state_changed_at == START + timedelta(hours=2)
    assert user.source is Source.EXTERNAL_DIRECTORY
    assert user.user_principal_name == "otto.brandt_contoso.example#EXT#@woodgrove.example"
    assert (user.mail, user.creation_type) == (OTTO, "Invitation")
    assert (user.display_name, user.given_name, user.surname) == ("Otto Brandt", "Otto", "Brandt")
    assert user.preferred_language == "de"
    identity = session.execute(select(Identity)).scalar_one()
    assert (identity.issuer, identity.subject) == (str(cast.contoso), str(cast.otto))
    assert (identity.user_id, identity.provider) == (user.id, Provider.DIRECTORY)
    events = session.scalars(
        select(AuditEvent).where(AuditEvent.target_id == user.id).order_by(AuditEvent.sequence)
    ).all()
    assert [event.activity for event in events][-2:] == [
        "Update user", "Redeem external user invite",
    ]  # fmt: skip
    changes = {change["property"]: change for change in events[-2].changes}
    assert changes["DisplayName"]["before"] == "otto.brandt"
    assert changes["DisplayName"]["after"] == "Otto Brandt"
    assert changes["UserState"]["after"] == "Accepted"
    assert changes["Source"]["after"] == "External Azure Active Directory"
    letter = session.execute(
        select(OutboxMessage).where(OutboxMessage.template == "accepted")
    ).scalar_one()
    assert letter.recipient == "john.doe@woodgrove.example"


@pytest.mark.parametrize(
    ("identity", "source"),
    [
        (factories.by_code(SAM), Source.PASSCODE),
        (somebody(proven=frozenset({SAM})), Source.PERSONAL_ACCOUNT),
        (
            somebody(provider=Provider.DIRECTORY, proven=frozenset({SAM})),
            Source.EXTERNAL_DIRECTORY,
        ),
    ],
)
def test_source_says_where_somebody_signs_in(
    session: Session, cast: Cast, clock: Clock, identity: ExternalIdentity, source: Source
) -> None:
    """decisions.md, Source texts"""
    invited = factories.invite(session, cast, clock.now)
    assert factories.accept(session, cast, invited, clock.now, identity).source is source


@pytest.mark.parametrize(
    ("typed", "keep", "stated", "shown"),
    [
        (None, False, "Sam Oogle", "Sam Oogle"),
        ("Sammy", False, "Sam Oogle", "Sam Oogle"),
        ("Sammy", True, "Sam Oogle", "Sammy"),
        (None, True, "Sam Oogle", "Sam Oogle"),
        ("Sammy", False, None, "Sammy"),
        ("Sammy", False, "   ", "Sammy"),
        (None, False, None, "gsamoogle"),
        (None, False, "S" * 300, "S" * 256),
        (None, False, " Sam\r\nBcc: e\x00 \u2028Oogle ", "Sam Bcc: e Oogle"),
    ],
)
def test_the_name_of_the_sign_in_overwrites_unless_it_is_empty_or_the_tenant_keeps_its_own(
    session: Session,
    cast: Cast,
    clock: Clock,
    typed: str | None,
    keep: bool,
    stated: str | None,
    shown: str,
) -> None:
    """decisions.md, profile at redemption; INV-1: a provider's words are input like any other."""
    factories.set_policy(session, cast.woodgrove, keep_typed_names=keep)
    invited = factories.invite(session, cast, clock.now, display_name=typed)
    identity = somebody(proven=frozenset({SAM}), display_name=stated, surname=stated)
    user = factories.accept(session, cast, invited, clock.now, identity)
    assert user.display_name == shown
    if stated is not None and stated.strip():
        assert user.surname == shown[:64] if not keep or typed is None else user.surname == stated
    else:
        assert user.surname is None
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    found = user_listing.listing(session, john, Filters(search=shown[:20]))
    assert [row.id for row in found.rows] == [user.id]


def test_foreign_credentials_and_sessions_of_the_object_are_dead_after_redemption(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """RED-7: somebody got at the pending object first."""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    invited = factories.invite(session, cast, clock.now)
    user = session.get_one(User, (cast.woodgrove, invited.user_id))
    passwords.put(session, john, user, passwords.hashed("the attacker's password"))
    attackers = sessions.start(
        session, somebody(subject="attacker"), now=clock.now,
        tenant_id=cast.woodgrove, user_id=user.id,
    )  # fmt: skip
    internal = sessions.start(
        session,
        somebody(issuer=str(cast.woodgrove), subject=str(user.id)),
        now=clock.now,
    )
    session.flush()
    assert (
        sessions.find(session.connection(), attackers, now=clock.now, correlation_id=uuid4())
        is not None
    )
    factories.accept(session, cast, invited, clock.advance(minutes=1))
    session.flush()
    assert passwords.stored(session, cast.woodgrove, user.id) is None
    for secret in (attackers, internal):
        assert (
            sessions.find(session.connection(), secret, now=clock.now, correlation_id=uuid4())
            is None
        )


def test_an_identity_that_is_somebody_here_already_is_not_bound_twice(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """redemption.md, 6: two addresses of one account; the first wins."""
    first = factories.invite(session, cast, clock.now)
    both = somebody(proven=frozenset({SAM, "sam@partner.example"}))
    factories.accept(session, cast, first, clock.now, both)
    second = factories.invite(session, cast, clock.now, "sam@partner.example")
    session.commit()
    with pytest.raises(Conflict, match="has access to WoodGrove already, under another address"):
        factories.accept(session, cast, second, clock.now, both)
    session.rollback()
    user = session.get_one(User, (cast.woodgrove, second.user_id))
    assert user.is_pending
    assert factories.invitation_of(session, cast.woodgrove, user.id).accepted_at is None
    assert session.execute(select(func.count()).select_from(Identity)).scalar_one() == 1


def test_the_same_account_may_be_a_guest_of_two_tenants(
    session: Session, cast: Cast, clock: Clock
) -> None:
    here = factories.invite(session, cast, clock.now, "eve@partner.example")
    factories.accept(session, cast, here, clock.now)
    otto = acting(session, cast.contoso, cast.otto, clock.now)
    there = invitations.invite(session, otto, address="eve@partner.example")
    opened = factories.open_link(
        session, factories.link_of(session, cast.contoso, there.user_id), clock.now
    )
    assert opened is not None
    accept(session, opened, clock.now, factories.by_code("eve@partner.example"))
    session.flush()
    places = belonging.places(session, factories.by_code("eve@partner.example"))
    assert [(place.tenant_name, place.is_guest) for place in places] == [
        ("Contoso", True), ("WoodGrove", True),
    ]  # fmt: skip


# Declining and asking ----------------------------------------------------------------------------


def test_after_declining_the_same_link_may_be_accepted(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """decisions.md, decline"""
    invited = factories.invite(session, cast, clock.now)
    opened = opened_for(session, cast, clock.now, invited.user_id)
    guest = redemption.acting(opened, now=clock.now)
    with pytest.raises(WrongAccount):
        redemption.decline(session, guest, opened, factories.by_code("eve@gmail.com"))
    redemption.decline(session, guest, opened, factories.by_code(SAM))
    session.flush()
    declined = factories.invitation_of(session, cast.woodgrove, invited.user_id)
    assert declined.declined_at == clock.now
    assert session.get_one(User, (cast.woodgrove, invited.user_id)).is_pending
    opened = opened_for(session, cast, clock.now, invited.user_id)
    assert opened.standing is Standing.OPEN
    accept(session, opened, clock.advance(days=1), factories.by_code(SAM))
    session.flush()
    accepted = factories.invitation_of(session, cast.woodgrove, invited.user_id)
    assert (accepted.declined_at, accepted.accepted_at) == (None, clock.now)
    told = session.scalars(
        select(OutboxMessage.template)
        .where(OutboxMessage.recipient == "john.doe@woodgrove.example")
        .order_by(OutboxMessage.id)
    ).all()
    assert told == ["declined", "accepted"]


def test_the_inviter_is_asked_for_a_new_one_once_for_each_link(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """decisions.md, expiry; RED-1"""
    invited = factories.invite(session, cast, clock.now)
    opened = opened_for(session, cast, clock.now, invited.user_id)
    guest = redemption.acting(opened, now=clock.now)
    with pytest.raises(Conflict, match="still works"):
        redemption.ask_again(session, guest, opened, "Please", now=clock.now)
    clock.advance(days=31)
    opened = opened_for(session, cast, clock.now, invited.user_id)
    guest = redemption.acting(opened, now=clock.now)
    redemption.ask_again(session, guest, opened, "Ple\u202ease\x00" + "!" * 600, now=clock.now)
    with pytest.raises(Conflict, match="John Doe was asked already"):
        redemption.ask_again(session, guest, opened, "", now=clock.now)
    letter = session.execute(
        select(OutboxMessage).where(OutboxMessage.template == "asked_again")
    ).scalar_one()
    assert letter.recipient == "john.doe@woodgrove.example"
    assert letter.context["note"] == ("Please" + "!" * 600)[:500]


def test_nobody_is_said_to_be_asked_who_has_no_address(
    session: Session, cast: Cast, clock: Clock
) -> None:
    invited = factories.invite(session, cast, clock.now)
    session.execute(update(Invitation).values(inviter_mail=None))
    opened = opened_for(session, cast, clock.advance(days=31), invited.user_id)
    with pytest.raises(Conflict):
        redemption.ask_again(
            session, redemption.acting(opened, now=clock.now), opened, "", now=clock.now
        )


# The way on --------------------------------------------------------------------------------------


def test_the_landing_page_is_checked_again_when_the_browser_is_sent_there(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """INV-2: the tenant has changed its rule meanwhile."""
    invited = factories.invite(session, cast, clock.now, redirect_url="https://other.example/a")
    opened = opened_for(session, cast, clock.now, invited.user_id)
    assert redemption.way_on(opened) == "https://other.example/a"
    factories.set_policy(
        session, cast.woodgrove, landing_pages=LandingPages.LISTED, landing_hosts=["w.example"]
    )
    opened = opened_for(session, cast, clock.now, invited.user_id)
    assert redemption.way_on(opened) == f"http://localhost:5000/myapps?tenantid={cast.woodgrove}"
