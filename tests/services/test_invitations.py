"""Inviting: every kind of bad input, repeats, races, limits, and all or nothing."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from b2b import worker
from b2b.errors import Conflict, Denied, Invalid, NotFound, Throttled
from b2b.extensions import db
from b2b.models import (
    AllowInvitesFrom,
    AppRoleAssignment,
    AuditEvent,
    DomainList,
    ExternalUserState,
    Group,
    Invitation,
    LandingPages,
    MailState,
    Membership,
    OutboxMessage,
    Role,
    Source,
    User,
    UserType,
    fold,
)
from b2b.services import (
    deleted_users,
    invitation_handling,
    invitation_quotas,
    invitations,
    tenants,
)
from b2b.services.invitations import Result
from b2b.services.invitees import InvalidAddresses
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import START, Clock
from tests.crowd import at_once
from tests.factories import SAM


def count(session: Session, table: Any, **columns: Any) -> int:
    return session.execute(
        select(func.count()).select_from(table).filter_by(**columns)
    ).scalar_one()


def problem(session: Session, cast: Cast, now: Any, address: str, **facts: Any) -> str:
    """The sentence with which one address is refused; nothing may have been made for it."""
    before = count(session, User), count(session, OutboxMessage), count(session, AuditEvent)
    with pytest.raises(InvalidAddresses) as refused:
        factories.invite(session, cast, now, address, **facts)
    [(typed, error)] = refused.value.problems
    assert typed == address
    assert error.field == "addresses"
    after = count(session, User), count(session, OutboxMessage), count(session, AuditEvent)
    assert after == before
    return str(error)


# A first invitation ------------------------------------------------------------------------------


def test_an_unknown_address_becomes_a_pending_guest_with_one_invitation_and_one_letter(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """invitations.md, 6; redemption.md, 5; REL-1: all in one transaction."""
    invited = factories.invite(
        session, cast, clock.now, "Sam.Oogle@Gmail.com", application_ids=[cast.projects],
        group_ids=[cast.partners], message="Hello Sam", language="ko-KR",
    )  # fmt: skip
    assert invited.result is Result.INVITED
    user = session.get_one(User, (cast.woodgrove, invited.user_id))
    assert user.user_principal_name == "Sam.Oogle_gmail.com#EXT#@woodgrove.example"
    assert user.mail_nickname == "Sam.Oogle_gmail.com#EXT#"
    assert user.mail == "Sam.Oogle@gmail.com"
    assert user.display_name == "Sam.Oogle"
    assert user.user_type is UserType.GUEST
    assert user.creation_type == "Invitation"
    assert user.external_user_state is ExternalUserState.PENDING_ACCEPTANCE
    assert user.external_user_state_changed_at == START
    assert user.source is Source.INVITED_USER
    assert user.account_enabled is True
    assert user.show_in_address_list is False
    invitation = factories.invitation_of(session, cast.woodgrove, user.id)
    assert invitation.invited_address == "Sam.Oogle@gmail.com"
    assert invitation.redirect_url == f"http://localhost:5000/myapps?tenantid={cast.woodgrove}"
    assert (invitation.version, invitation.inviter_id) == (1, cast.john)
    assert invitation.inviter_mail == "john.doe@woodgrove.example"
    letter = session.execute(select(OutboxMessage)).scalar_one()
    assert letter.id == invitation.outbox_id
    assert (letter.template, letter.recipient) == ("invitation", "Sam.Oogle@gmail.com")
    assert (letter.state, letter.language) == (MailState.QUEUED, "ko-KR")
    assert letter.context["message"] == "Hello Sam"
    assert count(session, Membership, user_id=user.id, group_id=cast.partners) == 1
    assert count(session, AppRoleAssignment, principal_id=user.id) == 1
    activities = session.scalars(
        select(AuditEvent.activity)
        .where(AuditEvent.target_id == user.id)
        .order_by(AuditEvent.sequence)
    ).all()
    assert activities == [
        "Add user",
        "Invite external user",
        "Add user sponsor",
        "Add app role assignment grant to user",
        "Add member to group",
    ]


def test_the_outbox_holds_no_link_and_no_ticket(session: Session, cast: Cast, clock: Clock) -> None:
    """MAIL-5"""
    invited = factories.invite(session, cast, clock.now)
    link = factories.link_of(session, cast.woodgrove, invited.user_id)
    ticket = link.partition("ticket%3d")[2].partition("%26")[0]
    assert len(ticket) == 43
    letter = session.execute(select(OutboxMessage)).scalar_one()
    stored = " ".join(
        str(getattr(letter, column.key)) for column in OutboxMessage.__table__.columns
    )
    assert ticket not in stored
    assert "rd=" not in stored


def test_without_a_message_to_send_nothing_is_queued(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """invitations.md, 1: sendInvitationMessage"""
    invited = factories.invite(session, cast, clock.now, send_message=False)
    assert invited.result is Result.INVITED
    assert count(session, OutboxMessage) == 0
    assert factories.invitation_of(session, cast.woodgrove, invited.user_id).outbox_id is None


# Addresses that cannot be invited ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("sam", "Enter one e-mail address, such as name@example.com."),
        ("sam@gmail.com\nBcc: eve@evil.example", "Enter one e-mail address, such as"),
        ("sam+tag@gmail.com", "“+” is not allowed before the @."),
        (".sam@gmail.com", "may not begin or end with"),
        ("säm@gmail.com", "may hold only Latin letters"),
        ("sam@woodgrove.example", "woodgrove.example is a verified domain of this directory."),
        ("sam@WOODGROVE.example", "woodgrove.example is a verified domain of this directory."),
    ],
)
def test_a_bad_address_is_refused_in_plain_words(
    session: Session, cast: Cast, clock: Clock, address: str, sentence: str
) -> None:
    """INV-1; invitations.md, 3 and 6"""
    assert sentence in problem(session, cast, clock.now, address)


def test_somebody_who_is_a_member_already_is_named_by_object_id(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """invitations.md, 6: clients read the id out of this very sentence."""
    said = problem(session, cast, clock.now, "adele.vance@woodgrove.example")
    assert said == (f"The invited user already exists in the directory as object ID: {cast.adele}.")


def test_a_member_with_that_address_as_mail_is_named_too_and_a_blocked_one_told_apart(
    session: Session, cast: Cast, clock: Clock
) -> None:
    session.execute(
        update(User)
        .where(User.tenant_id == cast.woodgrove, User.id == cast.adele)
        .values(mail="Adele@Gmail.com", mail_key="adele@gmail.com", account_enabled=False)
    )
    said = problem(session, cast, clock.now, "adele@gmail.com")
    assert said == (
        f"The invited user already exists in the directory as object ID: {cast.adele}. "
        "That account is blocked from sign-in."
    )


def test_the_members_of_another_tenant_are_ordinary_addresses(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """INV-7: what exists elsewhere changes nothing in the answer."""
    known = factories.invite(session, cast, clock.now, "otto.brandt@contoso.example")
    unknown = factories.invite(session, cast, clock.now, "nobody.here@contoso.example")
    assert known.result is unknown.result is Result.INVITED
    rows = [
        {
            column.key: getattr(session.get_one(User, (cast.woodgrove, one.user_id)), column.key)
            for column in User.__table__.columns
            if column.key
            not in (
                "id", "user_principal_name", "upn_key", "display_name", "name_key", "mail",
                "mail_key", "mail_nickname", "invited_key",
            )
        }
        for one in (known, unknown)
    ]  # fmt: skip
    assert rows[0] == rows[1]


def test_one_bad_address_among_three_stops_all_three(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """decisions.md, several addresses: nothing is sent until each is valid."""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    before = count(session, User)
    with pytest.raises(InvalidAddresses) as refused:
        invitations.invite_many(
            session, john,
            addresses_text=["a@b.example", "sam@woodgrove.example", "c@d.example", "nonsense"],
        )  # fmt: skip
    assert str(refused.value) == "Nothing was sent. Addresses that cannot be invited: 2"
    assert [typed for typed, _ in refused.value.problems] == ["sam@woodgrove.example", "nonsense"]
    assert count(session, User) == before
    assert count(session, OutboxMessage) == 0


def test_fifty_addresses_are_taken_and_fifty_one_are_not(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """decisions.md, several addresses"""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    many = [f"guest{number}@partner.example" for number in range(51)]
    with pytest.raises(Invalid, match="At most 50 addresses at once") as no:
        invitations.invite_many(session, john, addresses_text=many)
    assert no.value.field == "addresses"
    assert count(session, Invitation) == 0
    done = invitations.invite_many(session, john, addresses_text=many[:50])
    assert [outcome.address.wire for outcome in done] == many[:50]
    assert {outcome.result for outcome in done} == {Result.INVITED}
    assert count(session, Invitation) == count(session, OutboxMessage) == 50


def test_no_address_at_all_is_refused(session: Session, cast: Cast, clock: Clock) -> None:
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    with pytest.raises(Invalid, match="Enter an e-mail address"):
        invitations.invite_many(session, john, addresses_text=[])


def test_the_same_address_twice_in_one_request_counts_once(
    session: Session, cast: Cast, clock: Clock
) -> None:
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    done = invitations.invite_many(
        session, john, addresses_text=[SAM, "GSamOogle@Gmail.com", SAM], display_name="Sam"
    )
    assert len(done) == 1
    assert count(session, Invitation) == count(session, OutboxMessage) == 1


@pytest.mark.parametrize(
    ("facts", "field", "sentence"),
    [
        ({"display_name": "n" * 257}, "display_name", "At most 256 characters."),
        ({"display_name": "Sam\r\nBcc: e"}, "display_name", "Control characters are not allowed"),
        ({"display_name": "Sam\x00"}, "display_name", "Control characters are not allowed"),
        ({"display_name": "Sam\u2028x"}, "display_name", "Control characters are not allowed"),
        ({"message": "m" * 2001}, "message", "At most 2000 characters."),
        ({"language": "en\r\nX: y"}, "language", "Enter a language such as en-US or ko-KR."),
        ({"language": "english please"}, "language", "Enter a language such as"),
        ({"language": "en-aaaaaaaa-bbbbbbbb-cccccccc"}, "language", "Enter a language such as"),
        ({"redirect_url": "javascript:alert(1)"}, "redirect_url", "is not allowed as a landing"),
        ({"redirect_url": "http://evil.example/"}, "redirect_url", "is not allowed as a landing"),
    ],
)  # fmt: skip
def test_a_bad_value_is_refused_by_its_field(
    session: Session, cast: Cast, clock: Clock, facts: dict[str, str], field: str, sentence: str
) -> None:
    """INV-1, INV-2"""
    with pytest.raises(Invalid) as refused:
        factories.invite(session, cast, clock.now, **facts)
    assert refused.value.field == field
    assert sentence in str(refused.value)
    assert count(session, Invitation) == count(session, OutboxMessage) == 0


def test_the_longest_name_and_message_are_taken(session: Session, cast: Cast, clock: Clock) -> None:
    """Two hundred and fifty-six of a letter that folds into eighteen, and one into three bytes."""
    for number, letter in enumerate(("n", "ﷺ", "김", "𝔖")):
        invited = factories.invite(
            session, cast, clock.now, f"guest{number}@partner.example",
            display_name=letter * 256, message="m" * 2000,
        )  # fmt: skip
        user = session.get_one(User, (cast.woodgrove, invited.user_id))
        assert user.display_name == letter * 256


def test_a_display_name_is_for_one_address_only(session: Session, cast: Cast, clock: Clock) -> None:
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    with pytest.raises(Invalid, match="for one address only") as refused:
        invitations.invite_many(
            session, john, addresses_text=["a@b.example", "c@d.example"], display_name="Both"
        )
    assert refused.value.field == "display_name"
    assert count(session, Invitation) == 0


def test_a_personal_message_loses_invisible_tricks_and_keeps_its_lines(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """MAIL-1"""
    typed = "  Hi\r\nSam\u202e,\u200b see\x00\x1b[31m\r<b>this</b>\u2028https://evil.example "
    invited = factories.invite(session, cast, clock.now, message=typed)
    stored = factories.invitation_of(session, cast.woodgrove, invited.user_id).message
    assert stored == "Hi\nSam, see[31m\n<b>this</b>\nhttps://evil.example"


def test_applications_and_groups_that_take_no_guests_are_refused_beside_their_field(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """decisions.md, groups and apps chosen; ADM-3: another tenant's are unknown."""
    synced = Group(
        tenant_id=cast.woodgrove, id=uuid4(), display_name="Site", name_key="site",
        on_premises_sync_enabled=True, created_at=clock.now,
    )  # fmt: skip
    foreign = Group(
        tenant_id=cast.contoso, id=uuid4(), display_name="Theirs", name_key="theirs",
        created_at=clock.now,
    )  # fmt: skip
    session.add_all([synced, foreign])
    session.flush()
    cases: list[tuple[str, UUID, str]] = [
        ("application_ids", cast.payroll, "Payroll is for members only"),
        ("application_ids", uuid4(), "does not exist any more"),
        ("group_ids", cast.dynamic, "All guests is filled by a rule or by synchronisation"),
        ("group_ids", synced.id, "Site is filled by a rule or by synchronisation"),
        ("group_ids", foreign.id, "does not exist any more"),
        ("group_ids", uuid4(), "does not exist any more"),
    ]
    for name, chosen, sentence in cases:
        with pytest.raises(Invalid, match=sentence) as refused:
            factories.invite(session, cast, clock.now, **{name: [chosen]})
        assert refused.value.field == name.replace("_ids", "s")
    assert count(session, Invitation) == 0


def test_only_listed_hosts_are_landing_pages_when_the_tenant_says_so(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """INV-2"""
    factories.set_policy(
        session, cast.woodgrove, landing_pages=LandingPages.LISTED,
        landing_hosts=["projects.woodgrove.example"],
    )  # fmt: skip
    with pytest.raises(Invalid, match="is not among the allowed landing pages"):
        factories.invite(session, cast, clock.now, redirect_url="https://other.example/")
    invited = factories.invite(
        session, cast, clock.now, redirect_url="https://projects.woodgrove.example/x"
    )
    stored = factories.invitation_of(session, cast.woodgrove, invited.user_id)
    assert stored.redirect_url == "https://projects.woodgrove.example/x"


# Domain lists ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "refused"),
    [
        ("sam@blocked.example", "blocked.example"),
        ("sam@BLOCKED.Example", "blocked.example"),
        ("sam@bücher.example", "bücher.example (xn--bcher-kva.example)"),
        ("sam@xn--bcher-kva.example", "bücher.example (xn--bcher-kva.example)"),
        ("sam@BÜCHER.example", "bücher.example (xn--bcher-kva.example)"),
        ("sam@sub.blocked.example", None),
        ("sam@notblocked.example", None),
        ("sam@blосked.example", None),  # Cyrillic о and с: another domain, which is shown as such
        ("sam@blocked.example.org", None),
    ],
)
def test_a_blocked_domain_is_refused_however_it_is_written(
    session: Session, cast: Cast, clock: Clock, address: str, refused: str | None
) -> None:
    """INV-5"""
    factories.set_policy(
        session, cast.woodgrove, domain_list=DomainList.BLOCK,
        domains=["blocked.example", "xn--bcher-kva.example"],
    )  # fmt: skip
    if refused is None:
        assert factories.invite(session, cast, clock.now, address).result is Result.INVITED
        assert count(session, Invitation) == 1
    else:
        said = problem(session, cast, clock.now, address)
        assert said == f"{refused} is blocked by the invitation policy of this organisation."


def test_a_trailing_dot_does_not_get_round_the_list(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """INV-5"""
    factories.set_policy(
        session, cast.woodgrove, domain_list=DomainList.BLOCK, domains=["blocked.example"]
    )
    assert problem(session, cast, clock.now, "sam@blocked.example.")


@pytest.mark.parametrize(
    ("address", "taken"),
    [
        ("sam@partner.example", True),
        ("sam@PARTNER.example", True),
        ("sam@sub.partner.example", False),
        ("sam@partner.example.org", False),
        ("sam@gmail.com", False),
    ],
)
def test_an_allow_list_takes_its_domains_and_no_others(
    session: Session, cast: Cast, clock: Clock, address: str, taken: bool
) -> None:
    """INV-5"""
    factories.set_policy(
        session, cast.woodgrove, domain_list=DomainList.ALLOW, domains=["partner.example"]
    )
    if taken:
        assert factories.invite(session, cast, clock.now, address).result is Result.INVITED
    else:
        assert "is blocked by the invitation policy" in problem(session, cast, clock.now, address)


# Who may invite ----------------------------------------------------------------------------------

ROLES = {
    "member": (False, None),
    "guest": (True, None),
    "guest with the inviter role": (True, Role.GUEST_INVITER),
    "guest inviter": (False, Role.GUEST_INVITER),
    "user administrator": (False, Role.USER_ADMINISTRATOR),
    "global administrator": (False, Role.GLOBAL_ADMINISTRATOR),
    "helpdesk administrator": (False, Role.HELPDESK_ADMINISTRATOR),
    "global reader": (False, Role.GLOBAL_READER),
}
INVITERS = {
    "guest with the inviter role",
    "guest inviter",
    "user administrator",
    "global administrator",
}
MATRIX = {
    AllowInvitesFrom.NONE: set(),
    AllowInvitesFrom.ADMINS_AND_GUEST_INVITERS: INVITERS,
    AllowInvitesFrom.ADMINS_GUEST_INVITERS_AND_ALL_MEMBERS: set(ROLES) - {"guest"},
    AllowInvitesFrom.EVERYONE: set(ROLES),
}


@pytest.mark.parametrize("policy", MATRIX)
@pytest.mark.parametrize("who", ROLES)
def test_who_may_invite_is_what_policy_and_role_say(
    session: Session, cast: Cast, clock: Clock, policy: AllowInvitesFrom, who: str
) -> None:
    """INV-6: checked in the service."""
    is_guest, role = ROLES[who]
    factories.set_policy(session, cast.woodgrove, allow_invites_from=policy)
    if is_guest:
        session.execute(
            update(User)
            .where(User.tenant_id == cast.woodgrove, User.id == cast.adele)
            .values(user_type=UserType.GUEST)
        )
    if role is not None:
        factories.give_role(session, cast.woodgrove, cast.adele, role, clock.now)
    actor = acting(session, cast.woodgrove, cast.adele, clock.now)
    assert actor.is_guest is is_guest
    if who in MATRIX[policy]:
        assert invitations.invite(session, actor, address=SAM).result is Result.INVITED
        assert count(session, OutboxMessage) == 1
    else:
        with pytest.raises(Denied, match="Guest invitations not allowed for your company"):
            invitations.invite(session, actor, address=SAM)
        assert count(session, Invitation) == count(session, OutboxMessage) == 0


# Repeats -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("minutes", [0, 1, 4.99])
def test_within_five_minutes_a_repeat_is_the_same_invitation(
    session: Session, cast: Cast, clock: Clock, minutes: float
) -> None:
    """decisions.md, repeat invitation; REL-13"""
    first = factories.invite(session, cast, clock.now)
    link = factories.link_of(session, cast.woodgrove, first.user_id)
    again = factories.invite(
        session, cast, clock.advance(minutes=minutes), "GSamoogle@GMAIL.com",
        application_ids=[cast.projects],
    )  # fmt: skip
    assert again.result is Result.SAME
    assert (again.user_id, again.invitation_id) == (first.user_id, first.invitation_id)
    assert factories.link_of(session, cast.woodgrove, first.user_id) == link
    assert count(session, OutboxMessage) == 1
    assert count(session, Invitation) == 1
    assert count(session, AppRoleAssignment, principal_id=first.user_id) == 1, "access is added"


def test_after_five_minutes_a_repeat_makes_a_new_link_and_the_old_one_is_dead(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """decisions.md, repeat invitation; RED-5"""
    first = factories.invite(session, cast, clock.now)
    old = factories.link_of(session, cast.woodgrove, first.user_id)
    clock.advance(minutes=5)
    again = factories.invite(session, cast, clock.now)
    assert again.result is Result.SENT_AGAIN
    assert again.user_id == first.user_id
    new = factories.link_of(session, cast.woodgrove, first.user_id)
    assert new != old
    assert factories.open_link(session, old, clock.now) is None
    assert factories.open_link(session, new, clock.now) is not None
    assert count(session, OutboxMessage) == 2
    activities = session.scalars(
        select(AuditEvent.activity).where(AuditEvent.target_id == first.user_id)
    ).all()
    assert activities.count("Resend invitation") == 1
    assert activities.count("Add user") == 1


def test_inviting_again_an_accepted_guest_changes_no_state_and_adds_what_was_chosen(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """decisions.md, … of an accepted guest"""
    first = factories.invite(session, cast, clock.now)
    factories.accept(session, cast, first, clock.advance(minutes=1))
    again = factories.invite(
        session, cast, clock.advance(hours=1), application_ids=[cast.deliveries],
        group_ids=[cast.partners],
    )  # fmt: skip
    assert again.result is Result.COMPLETED
    assert again.user_id == first.user_id
    user = session.get_one(User, (cast.woodgrove, first.user_id))
    assert user.external_user_state is ExternalUserState.ACCEPTED
    assert count(session, AppRoleAssignment, service_principal_id=cast.deliveries) == 1
    assert count(session, Membership, group_id=cast.partners) == 1
    templates = session.scalars(
        select(OutboxMessage.template)
        .where(OutboxMessage.recipient == SAM)
        .order_by(OutboxMessage.id)
    ).all()
    assert templates == ["invitation", "welcome_back"]
    assert factories.invitation_of(session, cast.woodgrove, first.user_id).version == 1


def test_what_somebody_has_already_is_not_given_twice(
    session: Session, cast: Cast, clock: Clock
) -> None:
    for minutes in (0, 10, 10):
        factories.invite(
            session, cast, clock.advance(minutes=minutes),
            application_ids=[cast.projects], group_ids=[cast.partners],
        )  # fmt: skip
    assert count(session, AppRoleAssignment) == count(session, Membership) == 1


def test_a_deleted_guest_who_is_invited_again_is_a_new_object(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """decisions.md, … of a soft-deleted guest"""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    first = factories.invite(session, cast, clock.now)
    old = factories.link_of(session, cast.woodgrove, first.user_id)
    deleted_users.remove(session, john, first.user_id)
    session.flush()
    again = factories.invite(session, cast, clock.now)
    assert again.result is Result.INVITED
    assert again.user_id != first.user_id
    assert factories.open_link(session, old, clock.now) is None
    fresh = session.get_one(User, (cast.woodgrove, again.user_id))
    assert fresh.user_principal_name == "gsamoogle_gmail.com#EXT#@woodgrove.example"


def test_a_taken_user_principal_name_gets_four_digits_of_the_object_id(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """decisions.md, UPN"""
    home = acting(session, cast.woodgrove, cast.john, clock.now)
    tenants.add_person(
        session, home, user_principal_name="GSamoogle_gmail.com#EXT#@woodgrove.example",
        display_name="Somebody else",
    )  # fmt: skip
    invited = factories.invite(session, cast, clock.now)
    upn = session.get_one(User, (cast.woodgrove, invited.user_id)).user_principal_name
    assert upn == f"gsamoogle_gmail.com_{invited.user_id.hex[-4:]}#EXT#@woodgrove.example"


def test_two_new_addresses_of_one_request_never_share_a_user_principal_name(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """`a_b.example@c.example` and such: what looks alike after the @ is replaced stays apart."""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    done = invitations.invite_many(
        session, john, addresses_text=["a@b.example", "A@b.example", "a_b.example@b.example"]
    )
    upns = {session.get_one(User, (cast.woodgrove, d.user_id)).upn_key for d in done}
    assert len(done) == len(upns) == 2


# Resending and copying ---------------------------------------------------------------------------


def test_resending_cancels_the_mail_that_waits_and_kills_the_old_link(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """decisions.md: Resend at any time; RED-5"""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    invited = factories.invite(session, cast, clock.now, message="Hello")
    old = factories.link_of(session, cast.woodgrove, invited.user_id)
    invitation_handling.resend(session, john, invited.user_id)
    states = session.scalars(
        select(OutboxMessage.state)
        .where(OutboxMessage.about_id == invited.invitation_id)
        .order_by(OutboxMessage.id)
    ).all()
    assert states == [MailState.CANCELLED, MailState.QUEUED]
    assert factories.open_link(session, old, clock.now) is None
    now_sent = factories.invitation_of(session, cast.woodgrove, invited.user_id)
    assert (now_sent.version, now_sent.message) == (2, "Hello")


def test_a_copied_link_is_the_mailed_one_and_is_audited(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """decisions.md, link secret: copying is audited"""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    invited = factories.invite(session, cast, clock.now)
    link = invitation_handling.copy_link(session, john, invited.user_id)
    assert link == factories.link_of(session, cast.woodgrove, invited.user_id)
    assert factories.open_link(session, link, clock.now) is not None
    [last] = session.scalars(
        select(AuditEvent)
        .where(AuditEvent.tenant_id == cast.woodgrove)
        .order_by(AuditEvent.sequence.desc())
        .limit(1)
    )
    assert (last.activity, last.target_id) == ("Copy invitation link", invited.user_id)
    assert link not in str(last.detail)


def test_resend_and_copy_are_refused_where_they_make_no_sense(
    session: Session, cast: Cast, clock: Clock
) -> None:
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    accepted = factories.invite(session, cast, clock.now, "a@partner.example")
    factories.accept(session, cast, accepted, clock.now)
    deleted = factories.invite(session, cast, clock.now, "d@partner.example")
    deleted_users.remove(session, john, deleted.user_id)
    blocked = factories.invite(session, cast, clock.now, "b@blocked.example")
    pending = factories.invite(session, cast, clock.now, "p@partner.example")
    factories.set_policy(
        session, cast.woodgrove, domain_list=DomainList.BLOCK, domains=["blocked.example"]
    )
    for what in (invitation_handling.resend, invitation_handling.copy_link):
        with pytest.raises(Conflict, match="has accepted already"):
            what(session, john, accepted.user_id)
        with pytest.raises(Conflict, match="is deleted"):
            what(session, john, deleted.user_id)
        with pytest.raises(NotFound, match="never invited"):
            what(session, john, cast.adele)
        with pytest.raises(NotFound):
            what(session, john, cast.otto)
        with pytest.raises(Invalid, match="is blocked by the invitation policy"):
            what(session, john, blocked.user_id)
        with pytest.raises(Denied, match="Helpdesk Administrator"):
            what(session, adele, pending.user_id)
    factories.set_policy(session, cast.woodgrove, allow_invites_from=AllowInvitesFrom.NONE)
    with pytest.raises(Denied, match="Guest invitations not allowed"):
        invitation_handling.resend(session, john, pending.user_id)


def test_a_member_may_resend_what_he_has_invited_himself(
    session: Session, cast: Cast, clock: Clock
) -> None:
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    invited = invitations.invite(session, adele, address=SAM)
    assert invitation_handling.resend(session, adele, invited.user_id).version == 2


# Limits ------------------------------------------------------------------------------------------


def test_sixty_invitations_a_minute_and_not_one_more(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """INV-4; threats.md, 3"""
    many = [f"guest{number}@partner.example" for number in range(61)]
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    invitations.invite_many(session, john, addresses_text=many[:50])
    john = acting(session, cast.woodgrove, cast.john, clock.advance(seconds=30))
    invitations.invite_many(session, john, addresses_text=many[50:60])
    with pytest.raises(Throttled) as refused:
        invitations.invite_many(session, john, addresses_text=[many[60]])
    assert refused.value.until == START + timedelta(minutes=1)
    assert "60" in str(refused.value)
    assert count(session, Invitation) == 60
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    assert invitations.invite(session, adele, address=many[60]).result is Result.INVITED
    john = acting(session, cast.woodgrove, cast.john, clock.advance(seconds=31))
    invitations.invite_many(session, john, addresses_text=["later@partner.example"])
    assert count(session, Invitation) == 62


def test_resending_to_one_person_is_no_way_round_the_limit(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """INV-4: nobody's mailbox is flooded from here."""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    invited = invitations.invite(session, john, address=SAM)
    for _ in range(60):
        invitation_handling.resend(session, john, invited.user_id)
    with pytest.raises(Throttled, match="60"):
        invitation_handling.resend(session, john, invited.user_id)
    assert count(session, OutboxMessage) == 61
    later = acting(session, cast.woodgrove, cast.john, clock.advance(minutes=1))
    assert invitation_handling.resend(session, later, invited.user_id).version == 62


def test_welcoming_one_guest_back_is_no_way_round_the_limit_either(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """INV-4"""
    invited = factories.invite(session, cast, clock.now)
    factories.accept(session, cast, invited, clock.now)
    clock.advance(hours=1)
    for _ in range(60):
        assert factories.invite(session, cast, clock.now).result is Result.COMPLETED
    with pytest.raises(Throttled):
        factories.invite(session, cast, clock.now)
    assert count(session, OutboxMessage, template="welcome_back") == 60


def test_the_limit_follows_its_setting(session: Session, cast: Cast, clock: Clock) -> None:
    """decisions.md, rate limits"""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    many = [f"guest{number}@partner.example" for number in range(8)]
    try:
        invitation_quotas.configure(0.1)
        invitations.invite_many(session, john, addresses_text=many[:6])
        with pytest.raises(Throttled):
            invitations.invite_many(session, john, addresses_text=many[6:7])
        invitation_quotas.configure(None)
        invitations.invite_many(session, john, addresses_text=many[6:])
        assert count(session, Invitation) == 8
    finally:
        invitation_quotas.configure(1.0)


# At once -----------------------------------------------------------------------------------------


def test_twenty_equal_invitations_at_once_make_one_guest_and_one_mail_whose_link_works(
    app: Flask, cast: Cast, clock: Clock
) -> None:
    """INV-4, REL-13; decisions.md, repeat invitation"""

    def once(session: Session, _: int) -> tuple[UUID, Result]:
        invited = factories.invite(
            session, cast, clock.now, application_ids=[cast.projects], group_ids=[cast.partners]
        )
        return invited.user_id, invited.result

    done, faults = at_once(app, 20, once)
    assert faults == []
    assert len({user_id for user_id, _ in done}) == 1
    results = [result for _, result in done]
    assert results.count(Result.INVITED) == 1
    assert results.count(Result.SAME) == 19
    with app.app_context():
        assert count(db.session(), User, mail=SAM) == 1
        letter = db.session.execute(select(OutboxMessage)).scalar_one()
        assert count(db.session(), AppRoleAssignment) == count(db.session(), Membership) == 1
        link = factories.link_of(db.session(), cast.woodgrove, done[0][0])
        assert factories.open_link(db.session(), link, clock.now) is not None
        assert letter.context["version"] == 1
        db.session.remove()


def test_invitations_of_different_people_at_once_are_all_made(
    app: Flask, cast: Cast, clock: Clock
) -> None:
    """REL-1, REL-7"""
    done, faults = at_once(
        app, 16,
        lambda session, number: factories.invite(
            session, cast, clock.now, f"guest{number}@partner.example"
        ),
    )  # fmt: skip
    assert faults == []
    assert len({invited.user_id for invited in done}) == 16
    with app.app_context():
        assert count(db.session(), Invitation) == count(db.session(), OutboxMessage) == 16
        db.session.remove()


def test_a_rolled_back_invitation_leaves_nothing_at_all(
    app: Flask, cast: Cast, clock: Clock
) -> None:
    """REL-1: no letter without an invitation, no invitation without its letter."""
    with app.app_context():
        before = count(db.session(), User), count(db.session(), AuditEvent)
        db.session.remove()

        def interrupted() -> None:
            with worker.transaction() as session:
                factories.invite(session, cast, clock.now)
                raise RuntimeError("power cut")

        with pytest.raises(RuntimeError, match="power cut"):
            interrupted()
        after = count(db.session(), User), count(db.session(), AuditEvent)
        assert after == before
        assert count(db.session(), Invitation) == count(db.session(), OutboxMessage) == 0
        db.session.remove()


def test_folded_names_are_what_lists_sort_by(session: Session, cast: Cast, clock: Clock) -> None:
    invited = factories.invite(session, cast, clock.now, display_name="  Ünal  GROẞ ")
    user = session.get_one(User, (cast.woodgrove, invited.user_id))
    assert user.display_name == "Ünal  GROẞ"
    assert user.name_key == "ünal gross"
    assert fold("ÜNAL GROSS") == user.name_key
