"""Inviting addresses that are known already: each case of the reference has its own answer."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from b2b.errors import Denied, Invalid, Throttled
from b2b.models import (
    AuditEvent,
    DomainList,
    Invitation,
    LandingPages,
    MailRefusal,
    Membership,
    OutboxMessage,
    ProxyAddress,
    Role,
    Tenant,
    User,
    UserType,
)
from b2b.services import (
    addresses,
    deleted_users,
    invitation_quotas,
    invitation_results,
    invitations,
    users,
)
from b2b.services.invitations import Result
from b2b.services.invitees import InvalidAddresses
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import Clock
from tests.factories import SAM
from tests.test_links import LANDING_PAGES, SAME


def count(session: Session, table: Any, **columns: Any) -> int:
    return session.execute(
        select(func.count()).select_from(table).filter_by(**columns)
    ).scalar_one()


def refusal(session: Session, cast: Cast, now: Any, address: str, **facts: Any) -> str:
    """The sentence with which one address is refused."""
    with pytest.raises(InvalidAddresses) as refused:
        factories.invite(session, cast, now, address, **facts)
    [(_, error)] = refused.value.problems
    return str(error)


def activities(session: Session, cast: Cast, user_id: Any) -> list[str]:
    return list(
        session.scalars(
            select(AuditEvent.activity)
            .where(AuditEvent.tenant_id == cast.woodgrove, AuditEvent.target_id == user_id)
            .order_by(AuditEvent.sequence)
        )
    )


# invitations.md, section 6 ----------------------------------------------------------------------


def test_somebodys_further_address_makes_a_guest_without_it_as_mail(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """invitations.md, 6: in otherMails, and the letter still goes there"""
    session.add(
        ProxyAddress(
            tenant_id=cast.woodgrove, address_key="a.vance@partner.example",
            address="A.Vance@partner.example", user_id=cast.adele,
        )
    )  # fmt: skip
    session.flush()
    invited = factories.invite(session, cast, clock.now, "A.VANCE@Partner.example")
    assert invited.result is Result.INVITED
    assert invited.user_id != cast.adele
    user = session.get_one(User, (cast.woodgrove, invited.user_id))
    assert (user.mail, user.mail_key) == (None, None)
    assert user.other_mails == ["A.VANCE@partner.example"]
    assert user.user_principal_name == "A.VANCE_partner.example#EXT#@woodgrove.example"
    assert count(session, ProxyAddress) == 1
    letter = session.execute(select(OutboxMessage)).scalar_one()
    assert letter.recipient == "A.VANCE@partner.example"
    again = factories.invite(session, cast, clock.now, "a.vance@partner.example")
    assert (again.result, again.user_id) == (Result.SAME, invited.user_id)


def test_somebodys_further_address_in_another_tenant_changes_nothing(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """ADM-3, INV-7"""
    session.add(
        ProxyAddress(
            tenant_id=cast.contoso, address_key=SAM, address=SAM, user_id=cast.otto
        )
    )  # fmt: skip
    session.flush()
    invited = factories.invite(session, cast, clock.now)
    assert session.get_one(User, (cast.woodgrove, invited.user_id)).mail == SAM


def test_who_has_unsubscribed_is_added_without_a_mail_and_it_is_audited(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """invitations.md, 6; mail.md, 5"""
    session.add(MailRefusal(tenant_id=cast.woodgrove, address_key=SAM, refused_at=clock.now))
    session.flush()
    invited = factories.invite(session, cast, clock.now, "GSamoogle@gmail.com")
    assert (invited.result, invited.mailed, invited.unsubscribed) == (Result.INVITED, False, True)
    assert session.get_one(User, (cast.woodgrove, invited.user_id)).is_pending
    assert count(session, OutboxMessage) == 0
    assert activities(session, cast, invited.user_id) == [
        "Add user", "Invite external user", "Add user sponsor",
        "Email not sent, user unsubscribed",
    ]  # fmt: skip
    other = factories.invite(session, cast, clock.now, "other@gmail.com")
    assert other.mailed
    link = factories.link_of(session, cast.woodgrove, invited.user_id)
    assert factories.open_link(session, link, clock.now) is not None, "a direct link works"


def test_a_refusal_of_another_organisations_mail_is_not_ours(
    session: Session, cast: Cast, clock: Clock
) -> None:
    session.add(MailRefusal(tenant_id=cast.contoso, address_key=SAM, refused_at=clock.now))
    session.flush()
    assert factories.invite(session, cast, clock.now).mailed


def test_the_initial_domain_and_a_verified_domain_are_told_apart(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """invitations.md, 6"""
    session.execute(
        update(Tenant).where(Tenant.id == cast.woodgrove).values(primary_domain="grove.example")
    )
    session.expire_all()
    assert refusal(session, cast, clock.now, "new@WoodGrove.example") == (
        "The invited person belongs to this organisation: woodgrove.example is its initial domain."
    )
    session.execute(
        update(Tenant).where(Tenant.id == cast.woodgrove).values(primary_domain="woodgrove.example")
    )
    session.expire_all()
    assert refusal(session, cast, clock.now, "new@woodgrove.example") == (
        "woodgrove.example is a verified domain of this directory."
    )


def test_members_and_blocked_members_are_told_apart_by_each_of_their_addresses(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """invitations.md, 6: clients read the object id"""
    session.execute(
        update(User)
        .where(User.tenant_id == cast.woodgrove, User.id == cast.adele)
        .values(mail="adele@partner.example", mail_key="adele@partner.example")
    )
    known = f"The invited user already exists in the directory as object ID: {cast.adele}."
    for address in ("adele@partner.example", "adele.vance@woodgrove.example"):
        assert refusal(session, cast, clock.now, address) == known
    users.block(session, acting(session, cast.woodgrove, cast.john, clock.now), cast.adele)
    session.flush()
    assert refusal(session, cast, clock.now, "ADELE@partner.example") == (
        f"{known} That account is blocked from sign-in."
    )


def test_a_pending_guest_keeps_the_link_for_five_minutes_and_gets_a_new_one_later(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """decisions.md, repeat invitation"""
    first = factories.invite(session, cast, clock.now, send_message=False)
    link = factories.link_of(session, cast.woodgrove, first.user_id)
    again = factories.invite(session, cast, clock.advance(minutes=4), send_message=False)
    assert (again.result, again.mailed) == (Result.SAME, False)
    assert factories.link_of(session, cast.woodgrove, first.user_id) == link
    later = factories.invite(session, cast, clock.advance(minutes=1), send_message=False)
    assert (later.result, later.mailed) == (Result.SENT_AGAIN, False)
    assert factories.link_of(session, cast.woodgrove, first.user_id) != link
    assert count(session, OutboxMessage) == 0


def test_a_deleted_guest_can_be_restored_for_thirty_days_and_by_whom_that_is_allowed(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """decisions.md, … of a soft-deleted guest"""
    invited = factories.invite(session, cast, clock.now, display_name="Sam Oogle")
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    assert deleted_users.restorable(session, john, [SAM]) == {}
    deleted_users.remove(session, john, invited.user_id)
    session.flush()
    found = deleted_users.restorable(session, john, [SAM, "other@gmail.com"])
    assert {key: (row.id, row.display_name) for key, row in found.items()} == {
        SAM: (invited.user_id, "Sam Oogle")
    }
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    assert deleted_users.restorable(session, adele, [SAM]) == {}
    otto = acting(session, cast.contoso, cast.otto, clock.now)
    assert deleted_users.restorable(session, otto, [SAM]) == {}
    later = acting(session, cast.woodgrove, cast.john, clock.advance(days=30))
    assert deleted_users.restorable(session, later, [SAM]) == {}


# Names that were pasted -------------------------------------------------------------------------


def test_pasted_names_are_kept_for_each_person(session: Session, cast: Cast, clock: Clock) -> None:
    text = 'Sam Oogle <gsamoogle@gmail.com>, "Haddad, Layla" <layla@ALNOOR.example>; bo@x.example'
    mentions = addresses.mentions(text)
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    done = invitations.invite_many(
        session, john, addresses_text=[found.address for found in mentions],
        names={found.address: found.name for found in mentions if found.name},
    )  # fmt: skip
    shown = [session.get_one(User, (cast.woodgrove, one.user_id)) for one in done]
    assert [(user.display_name, user.mail) for user in shown] == [
        ("Sam Oogle", "gsamoogle@gmail.com"),
        ("Haddad, Layla", "layla@alnoor.example"),
        ("bo", "bo@x.example"),
    ]
    assert [
        factories.invitation_of(session, cast.woodgrove, one.user_id).invited_display_name
        for one in done
    ] == ["Sam Oogle", "Haddad, Layla", None]


def test_a_typed_display_name_wins_over_a_pasted_one(
    session: Session, cast: Cast, clock: Clock
) -> None:
    invited = factories.invite(
        session, cast, clock.now, display_name="Samuel", names={SAM: "Sam Oogle"}
    )
    assert session.get_one(User, (cast.woodgrove, invited.user_id)).display_name == "Samuel"


# Copies ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "field", "sentence"),
    [
        ({"cc_address": "a@b.example, c@d.example"}, "cc_address", "Only one person"),
        ({"cc_address": "a@b.example\r\nBcc: c@d.example"}, "cc_address", "Only one person"),
        ({"cc_address": "nonsense"}, "cc_address", "Enter one e-mail address"),
        ({"cc_address": "<>"}, "cc_address", "Enter one e-mail address"),
        ({"cc_address": "a@b.example", "cc_name": "A\nB"}, "cc_name", "Control characters"),
        ({"cc_address": "a@b.example", "cc_name": "n" * 257}, "cc_name", "At most 256"),
        ({"cc_name": "Adele"}, "cc_address", "Enter the address of the person"),
        ({"cc_address": "a@b.example", "send_message": False}, "cc_address", "only together with"),
    ],
)
def test_a_copy_goes_to_exactly_one_proper_address(
    session: Session, cast: Cast, clock: Clock, facts: dict[str, Any], field: str, sentence: str
) -> None:
    """INV-1; decisions.md, cc"""
    with pytest.raises(Invalid, match=sentence) as refused:
        factories.invite(session, cast, clock.now, **facts)
    assert refused.value.field == field
    assert count(session, Invitation) == count(session, OutboxMessage) == 0


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({"cc_address": "Adele Vance <adele.vance@woodgrove.example>"}, "Adele Vance"),
        ({"cc_address": "adele.vance@woodgrove.example", "cc_name": "Adele"}, "Adele"),
        ({"cc_address": " adele.vance@woodgrove.example "}, None),
    ],
)
def test_the_person_who_gets_a_copy_is_kept_by_name_and_address(
    session: Session, cast: Cast, clock: Clock, facts: dict[str, Any], name: str | None
) -> None:
    """decisions.md, cc: two outbox rows"""
    invited = factories.invite(session, cast, clock.now, **facts)
    stored = factories.invitation_of(session, cast.woodgrove, invited.user_id)
    assert (stored.cc_name, stored.cc_address) == (name, "adele.vance@woodgrove.example")
    letters = session.scalars(select(OutboxMessage).order_by(OutboxMessage.id)).all()
    assert sorted((letter.template, letter.recipient) for letter in letters) == [
        ("invitation", SAM), ("invitation_copy", "adele.vance@woodgrove.example"),
    ]  # fmt: skip


# Abuse -------------------------------------------------------------------------------------------

PAYLOADS = ["\r\nBcc: eve@evil.example", "\n.\n", "\x00", "\x1b[31m", "\x85", "\u2028", "\u2029"]


@pytest.mark.parametrize("payload", PAYLOADS)
@pytest.mark.parametrize(
    "field", ["address", "display_name", "cc_name", "cc_address", "language", "redirect_url"]
)
def test_what_could_end_a_header_is_refused_in_every_field(
    session: Session, cast: Cast, clock: Clock, field: str, payload: str
) -> None:
    """INV-1: refused, and no outbox row exists"""
    good = {
        "address": SAM, "display_name": "Sam", "cc_name": "Adele", "language": "en",
        "cc_address": "adele@partner.example", "redirect_url": "https://partner.example/",
    }  # fmt: skip
    first, second = good[field][:2], good[field][2:]
    with pytest.raises(Invalid):
        factories.invite(session, cast, clock.now, **good | {field: first + payload + second})
    assert count(session, Invitation) == count(session, OutboxMessage) == 0
    factories.invite(session, cast, clock.now, **good)


@pytest.mark.parametrize(("url", "any_https", "listed"), LANDING_PAGES)
def test_a_landing_page_is_checked_when_somebody_is_invited(
    session: Session,
    cast: Cast,
    clock: Clock,
    url: str,
    any_https: str | None,
    listed: str | None,
) -> None:
    """INV-2: the table under both policies; an empty one is My Apps"""
    own = f"http://localhost:5000/myapps?tenantid={cast.woodgrove}"
    for number, expected in enumerate((any_https, listed)):
        factories.set_policy(
            session, cast.woodgrove,
            landing_pages=[LandingPages.ANY_HTTPS, LandingPages.LISTED][number],
            landing_hosts=["projects.woodgrove.example"],
        )  # fmt: skip
        address = f"guest{number}@partner.example"
        if url and expected is None:
            with pytest.raises(Invalid) as refused:
                factories.invite(session, cast, clock.now, address, redirect_url=url)
            assert refused.value.field == "redirect_url"
            continue
        invited = factories.invite(session, cast, clock.now, address, redirect_url=url)
        stored = factories.invitation_of(session, cast.woodgrove, invited.user_id).redirect_url
        assert stored == (own if not url else url if expected == SAME else expected)


@pytest.mark.parametrize("role", [None, *Role])
def test_only_a_global_administrator_invites_members(
    session: Session, cast: Cast, clock: Clock, role: Role | None
) -> None:
    """INV-3; groups-apps-roles.md, 3"""
    if role is not None:
        factories.give_role(session, cast.woodgrove, cast.adele, role, clock.now)
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    if role is Role.GLOBAL_ADMINISTRATOR:
        invited = invitations.invite(session, adele, address=SAM, user_type=UserType.MEMBER)
        user = session.get_one(User, (cast.woodgrove, invited.user_id))
        assert (user.user_type, user.is_pending) == (UserType.MEMBER, True)
        return
    with pytest.raises(Denied, match="This needs the role Global Administrator"):
        invitations.invite(session, adele, address=SAM, user_type=UserType.MEMBER)
    assert count(session, Invitation) == 0


def test_a_tenant_makes_no_more_than_its_daily_number_of_invitations(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """INV-4: counted for everybody together, anew at midnight"""
    try:
        invitation_quotas.configure(0.002)  # 20 a day; the minute's limit is left out
        many = [f"guest{number}@partner.example" for number in range(22)]
        invitation_quotas.PER_MINUTE, before = 10**6, invitation_quotas.PER_MINUTE
        try:
            john = acting(session, cast.woodgrove, cast.john, clock.now)
            adele = acting(session, cast.woodgrove, cast.adele, clock.now)
            invitations.invite_many(session, john, addresses_text=many[:12])
            invitations.invite_many(session, adele, addresses_text=many[12:20])
            with pytest.raises(Throttled) as refused:
                invitations.invite_many(session, adele, addresses_text=many[20:21])
            midnight = clock.now.replace(hour=0) + timedelta(days=1)
            assert refused.value.until == midnight
            assert str(refused.value) == (
                "This organisation has made 20 invitations today, which is the limit."
            )
            assert count(session, Invitation) == 20
            clock.now = midnight - timedelta(seconds=1)
            with pytest.raises(Throttled):
                factories.invite(session, cast, clock.now, many[20])
            factories.invite(session, cast, clock.advance(seconds=1), many[20])
            assert count(session, Invitation) == 21
        finally:
            invitation_quotas.PER_MINUTE = before
    finally:
        invitation_quotas.configure(1.0)


@pytest.mark.parametrize("address", ["sam+tag@blocked.example", "sam+a+b@BLOCKED.example"])
def test_a_plus_tag_is_no_way_round_the_list_and_another_mailbox(
    session: Session, cast: Cast, clock: Clock, address: str
) -> None:
    """INV-5: never stripped"""
    plain = factories.invite(session, cast, clock.now, "sam@blocked.example")
    tagged = factories.invite(session, cast, clock.now, address, address_rules="rfc")
    assert tagged.result is Result.INVITED
    assert tagged.user_id != plain.user_id
    factories.set_policy(
        session, cast.woodgrove, domain_list=DomainList.BLOCK, domains=["blocked.example"]
    )
    assert "is blocked by the invitation policy" in refusal(
        session, cast, clock.now, address, address_rules="rfc"
    )


@pytest.mark.parametrize(
    "database_url", ["sqlite"], indirect=True
)  # its driver tells every statement
def test_an_account_elsewhere_costs_not_one_statement_more(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """INV-7: nothing asks, so neither answer nor time can tell"""
    for number in range(2):  # what is asked once for each process has been asked
        factories.invite(session, cast, clock.now, f"guest{number}@partner.example")
    driver: Any = session.connection().connection.driver_connection
    said: list[list[str]] = []
    driver.set_trace_callback(lambda text: said[-1].append(" ".join(text.split()[:3])))
    try:
        for address in ("otto.brandt@contoso.example", "otto.nobody@contoso.example"):
            said.append([])
            invited = factories.invite(session, cast, clock.now, address)
            assert (invited.result, invited.mailed) == (Result.INVITED, True)
    finally:
        driver.set_trace_callback(None)
    assert len(said[0]) > 8
    # Search words are a row each, and both addresses have as many.
    assert said[0] == said[1]


# What became of them ----------------------------------------------------------------------------


def test_a_link_is_shown_to_its_inviter_and_to_who_handles_invitations_while_it_works(
    session: Session, cast: Cast, clock: Clock
) -> None:
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    otto = acting(session, cast.contoso, cast.otto, clock.now)
    mine = invitations.invite(session, adele, address=SAM, send_message=False)
    hers = invitations.invite(session, john, address="other@gmail.com", send_message=False)
    people = [mine.user_id, hers.user_id]
    link = factories.link_of(session, cast.woodgrove, mine.user_id)

    def shown(actor: Any) -> dict[Any, bool]:
        found = invitation_results.lines(session, actor, people)
        return {user_id: line.link is not None for user_id, line in found.items()}

    assert shown(adele) == {mine.user_id: True, hers.user_id: False}
    assert shown(john) == {mine.user_id: True, hers.user_id: True}
    assert shown(otto) == {}
    assert invitation_results.lines(session, adele, people)[mine.user_id].link == link
    factories.accept(session, cast, mine, clock.now)
    assert shown(adele)[mine.user_id] is False
    deleted_users.remove(session, john, hers.user_id)
    session.flush()
    assert set(shown(john)) == {mine.user_id}
    assert count(session, Membership) == 0
