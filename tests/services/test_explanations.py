"""Why somebody is where he is: a table of facts, and the facts of a real directory."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from b2b.mail.outbox import DeliveryState, Step
from b2b.models import (
    DomainList,
    ExternalUserState,
    MailRefusal,
    MailState,
    OutboxMessage,
    User,
)
from b2b.services import explanations, invitation_handling, sign_in, users
from b2b.services.explanations import Cure, Facts, Weight
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import Clock
from tests.factories import SAM

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
EARLIER, LATER = NOW - timedelta(hours=1), NOW + timedelta(hours=1)
PENDING = Facts(
    now=NOW,
    name="Sam",
    state=ExternalUserState.PENDING_ACCEPTANCE,
    invited_address=SAM,
    ends_at=LATER,
    mail=DeliveryState(Step.SENT),
)
ACCEPTED = Facts(
    now=NOW,
    name="Sam",
    state=ExternalUserState.ACCEPTED,
    invited_address=SAM,
    signs_in_with=SAM,
    home_name="Contoso",
    applications=1,
    last_sign_in_at=EARLIER,
)
MEMBER = Facts(now=NOW, name="Sam", is_guest=False, applications=1)


@pytest.mark.parametrize(
    ("facts", "code", "weight", "sentence", "cures"),
    [
        (replace(ACCEPTED, deleted_at=EARLIER, restorable=True), "deleted", "stops",
         "Sam is deleted. Restoring is possible for 30 days.", {Cure.RESTORE}),
        (replace(ACCEPTED, deleted_at=EARLIER), "gone", "stops",
         "Sam is deleted, and the 30 days for restoring are over.", {Cure.INVITE}),
        (replace(ACCEPTED, enabled=False), "blocked", "stops",
         "Sign-in of Sam is blocked in this organisation.", {Cure.UNBLOCK}),
        (replace(MEMBER, is_guest=True), "not invited", "hinders",
         "Sam was never invited. This account signs in here, with its own password.", set()),
        (replace(PENDING, domain_blocked=True, blocked_domain="gmail.com"), "domain", "stops",
         "gmail.com is on the blocked side of the domain list by now, so the invitation cannot be "
         "accepted.", {Cure.SETTINGS}),
        (replace(PENDING, cancelled_at=EARLIER), "cancelled", "stops",
         "The invitation was cancelled. Its link is dead.", {Cure.SEND_AGAIN}),
        (replace(PENDING, ends_at=NOW), "expired", "stops", "The link has expired.",
         {Cure.EXTEND, Cure.SEND_AGAIN}),
        (replace(PENDING, opened_at=EARLIER, declined_at=EARLIER), "declined", "hinders",
         "Sam has declined. The same link still works.", {Cure.SEND_AGAIN}),
        (replace(PENDING, unsubscribed_at=EARLIER, mail=None), "unsubscribed", "hinders",
         f"{SAM} has blocked invitations from this organisation, so no mail is sent. Pass the link "
         "on another way.", {Cure.COPY_LINK}),
        (replace(PENDING, mail=None), "link only", "hinders",
         "No mail was sent, only a link was made. It must be passed on by hand.",
         {Cure.COPY_LINK, Cure.SEND_AGAIN}),
        (replace(PENDING, mail=DeliveryState(Step.FAILED, reason="550 no such user")),
         "mail failed", "stops",
         f"The mail to {SAM} failed. The mail server said: 550 no such user",
         {Cure.SEND_AGAIN, Cure.COPY_LINK, Cure.RESET}),
        (replace(PENDING, mail=DeliveryState(Step.RETRYING, LATER, "451 later.")), "mail waits",
         "hinders", "The mail server put the mail off and said: 451 later. It is tried again.",
         {Cure.COPY_LINK}),
        (replace(PENDING, mail=DeliveryState(Step.QUEUED), mail_paused=True), "mail paused",
         "stops", "Mail of this organisation is paused, so the invitation waits.",
         {Cure.MAIL, Cure.COPY_LINK}),
        (replace(PENDING, mail=DeliveryState(Step.QUEUED)), "mail queued", "hinders",
         "The mail is on its way.", {Cure.WAIT}),
        (replace(PENDING, mail=DeliveryState(Step.CANCELLED)), "mail cancelled", "stops",
         "The mail was cancelled before it was sent.", {Cure.SEND_AGAIN}),
        (PENDING, "unread", "hinders",
         f"The mail server has taken the mail to {SAM}, and nobody has opened the link. It may lie "
         "among unwanted mail.", {Cure.SEND_AGAIN, Cure.COPY_LINK}),
        (replace(PENDING, opened_at=EARLIER), "under way", "hinders",
         "The link was opened, and nobody has accepted yet.", set()),
        (replace(PENDING, opened_at=EARLIER, signed_in_at=EARLIER), "under way", "hinders",
         "Signed in, and has not accepted the permissions yet.", set()),
        (replace(PENDING, codes_wait_until=LATER), "codes", "stops",
         "Too many codes were asked for. The next one is mailed after a while.", {Cure.WAIT}),
        (replace(PENDING, refused_code=50020, refused_as="x@y.example", refused_at=EARLIER),
         "refused", "hinders",
         "Tried with x@y.example, which is not the account of this invitation.", {Cure.COPY_LINK}),
        (replace(ACCEPTED, refused_code=50126, refused_as=SAM, refused_at=EARLIER), "refused",
         "hinders", f"Tried with {SAM} and a wrong password.", set()),
        (replace(ACCEPTED, refused_code=999, refused_as=SAM), "refused", "hinders",
         f"A sign-in as {SAM} was refused (AADSTS999).", set()),
        (replace(ACCEPTED, applications=0), "not assigned", "hinders",
         "Nothing is assigned to Sam: My Apps is empty.", {Cure.ASSIGN}),
        (replace(ACCEPTED, home_blocked=True), "home blocked", "stops",
         f"The account {SAM} is blocked in Contoso; an administrator there must allow it.",
         {Cure.RESET}),
        (replace(ACCEPTED, home_deleted=True), "home deleted", "stops",
         f"The account {SAM} was deleted in Contoso.", {Cure.RESET}),
        (replace(PENDING, opened_at=EARLIER), "fine", "fine",
         "The invitation is open. Sam can accept it now.", set()),
        (ACCEPTED, "fine", "fine", "Nothing stops Sam from signing in.", set()),
        (MEMBER, "fine", "fine", "Nothing stops Sam, who has not signed in yet.", set()),
    ],
)  # fmt: skip
def test_each_cause_has_its_sentence_and_its_cure(
    facts: Facts, code: str, weight: str, sentence: str, cures: set[Cure]
) -> None:
    found = {finding.code: finding for finding in explanations.explain(facts)}
    assert code in found
    finding = found[code]
    assert (finding.weight, finding.template % dict(finding.values)) == (weight, sentence)
    assert set(finding.cures) == cures


def test_what_stops_comes_first_and_nothing_is_fine_then() -> None:
    facts = replace(ACCEPTED, enabled=False, applications=0, home_blocked=True)
    found = explanations.explain(facts)
    assert [finding.weight for finding in found] == [Weight.STOPS, Weight.STOPS, Weight.HINDERS]
    assert [finding.code for finding in found] == ["blocked", "home blocked", "not assigned"]


def test_a_deleted_person_is_explained_by_that_alone() -> None:
    facts = replace(PENDING, deleted_at=EARLIER, domain_blocked=True, enabled=False)
    assert [finding.code for finding in explanations.explain(facts)] == ["gone"]


def codes(session: Session, cast: Cast, clock: Clock, user_id: Any) -> list[str]:
    session.flush()
    session.expire_all()
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    user = session.get_one(User, (cast.woodgrove, user_id))
    invitation = invitation_handling.of_user(session, john, user_id)
    letter = None
    if invitation is not None and invitation.outbox_id is not None:
        letter = session.get(OutboxMessage, (cast.woodgrove, invitation.outbox_id))
    facts = explanations.facts_about(
        session, john, user, invitation, letter, sign_in.identity_of_guest(session, user)
    )
    return [finding.code for finding in explanations.explain(facts)]


def test_the_facts_of_a_pending_guest_are_gathered(
    session: Session, cast: Cast, clock: Clock
) -> None:
    sam = factories.invite(session, cast, clock.now).user_id
    assert codes(session, cast, clock, sam) == ["mail queued", "fine"]
    session.execute(
        update(OutboxMessage).values(
            state=MailState.FAILED, last_error="550 no", settled_at=clock.now
        )
    )
    assert codes(session, cast, clock, sam) == ["mail failed"]
    factories.set_policy(
        session, cast.woodgrove, domain_list=DomainList.BLOCK, domains=["gmail.com"]
    )
    assert codes(session, cast, clock, sam) == ["domain", "mail failed"]
    factories.set_policy(session, cast.woodgrove, domain_list=DomainList.OFF, domains=[])
    session.add(MailRefusal(tenant_id=cast.woodgrove, address_key=SAM, refused_at=clock.now))
    assert codes(session, cast, clock, sam) == ["unsubscribed", "fine"]
    clock.advance(days=31)
    assert codes(session, cast, clock, sam) == ["expired", "unsubscribed"]
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    invitation_handling.cancel(session, john, sam)
    assert codes(session, cast, clock, sam) == ["cancelled"]


def test_the_home_account_of_an_accepted_guest_is_looked_at(
    session: Session, cast: Cast, clock: Clock
) -> None:
    address = "otto.brandt@contoso.example"
    invited = factories.invite(session, cast, clock.now, address, application_ids=[cast.projects])
    factories.accept(session, cast, invited, clock.now, factories.hosted(session, address))
    assert codes(session, cast, clock, invited.user_id) == ["fine"]
    home = session.get_one(User, (cast.contoso, cast.otto))
    users.block(session, acting(session, cast.contoso, _admin(session, cast, clock), clock.now),
                home.id)  # fmt: skip
    assert codes(session, cast, clock, invited.user_id) == ["home blocked"]


def _admin(session: Session, cast: Cast, clock: Clock) -> Any:
    from b2b.models import Role
    from b2b.services import tenants

    otto = acting(session, cast.contoso, cast.otto, clock.now)
    return tenants.add_person(
        session, otto, user_principal_name="admin@contoso.example", display_name="Admin",
        roles=(Role.GLOBAL_ADMINISTRATOR,),
    ).id  # fmt: skip


def test_nothing_is_told_about_an_account_elsewhere_before_it_has_redeemed(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """INV-7"""
    invited = factories.invite(session, cast, clock.now, "otto.brandt@contoso.example")
    before = codes(session, cast, clock, invited.user_id)
    admin = acting(session, cast.contoso, _admin(session, cast, clock), clock.now)
    users.block(session, admin, cast.otto)
    assert codes(session, cast, clock, invited.user_id) == before
