"""External collaboration settings: changing them, and what they do afterwards."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from b2b.errors import Denied, Invalid
from b2b.models import (
    AllowInvitesFrom,
    AuditEvent,
    DomainList,
    GuestAccess,
    LandingPages,
    Role,
    TenantPolicy,
)
from b2b.services import belonging, policies, redemption, visibility
from b2b.services.policies import InvalidLines, Settings
from b2b.services.redemption import Standing
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import Clock
from tests.factories import SAM

AS_IS = Settings(
    allow_invites_from=AllowInvitesFrom.EVERYONE,
    guest_access=GuestAccess.LIMITED,
    domain_list=DomainList.OFF,
    domains=[],
    landing_pages=LandingPages.ANY_HTTPS,
    landing_hosts=[],
    invitation_days=30,
    keep_typed_names=False,
    guests_may_leave=True,
)


def change(session: Session, cast: Cast, clock: Clock, **wanted: Any) -> TenantPolicy:
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    return policies.change(session, john, replace(AS_IS, **wanted))


def newest(session: Session) -> AuditEvent:
    return session.scalars(select(AuditEvent).order_by(AuditEvent.sequence.desc()).limit(1)).one()


@pytest.mark.parametrize("role", [None, *Role])
def test_only_a_global_administrator_changes_settings(
    session: Session, cast: Cast, clock: Clock, role: Role | None
) -> None:
    """ADM-2"""
    if role is not None:
        factories.give_role(session, cast.woodgrove, cast.adele, role, clock.now)
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    if role is Role.GLOBAL_ADMINISTRATOR:
        policies.change(session, adele, replace(AS_IS, guests_may_leave=False))
        assert policies.of(session, adele).guests_may_leave is False
    else:
        with pytest.raises(Denied, match="Global Administrator"):
            policies.change(session, adele, replace(AS_IS, guests_may_leave=False))
        assert policies.of(session, adele).guests_may_leave is True


def test_a_domain_list_is_cleaned_kept_and_audited_as_the_policy_it_is(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """groups-apps-roles.md, 6; INV-5: A-labels, lower case, no trailing dot, each once"""
    policy = change(
        session, cast, clock, domain_list=DomainList.BLOCK,
        domains=["Live.COM", "", " bücher.example. ", "live.com", "@gmail.com"],
    )  # fmt: skip
    assert policy.domains == ["live.com", "xn--bcher-kva.example", "gmail.com"]
    event = newest(session)
    assert (event.activity, event.category, event.target_name) == (
        "Update policy", "Policy", "B2BManagementPolicy",
    )  # fmt: skip
    head = '{"B2BManagementPolicy":{"InvitationsAllowedAndBlockedDomainsPolicy":{'
    assert event.changes == [
        {
            "property": "PolicyDetails",
            "before": head + '"AllowedDomains":[],"BlockedDomains":[]}}}',
            "after": head
            + '"AllowedDomains":[],"BlockedDomains":["live.com","xn--bcher-kva.example",'
            '"gmail.com"]}}}',
        }
    ]
    sequence = event.sequence
    change(session, cast, clock, domain_list=DomainList.BLOCK, domains=policy.domains)
    assert newest(session).sequence == sequence, "the same again is no change"
    policy = change(session, cast, clock, domain_list=DomainList.ALLOW, domains=["contoso.example"])
    assert policy.domains == ["contoso.example"], "switching discards the other list"
    policy = change(session, cast, clock, domains=["contoso.example"])
    assert policy.domains == []


def test_each_wrong_line_is_named(session: Session, cast: Cast, clock: Clock) -> None:
    with pytest.raises(InvalidLines) as refused:
        change(
            session, cast, clock, domain_list=DomainList.ALLOW,
            domains=["contoso.example", "no domain", "", "nodots", "*.contoso.example"],
        )  # fmt: skip
    assert refused.value.field == "domains"
    assert [(number, text) for number, text, _ in refused.value.problems] == [
        (2, "no domain"), (4, "nodots"), (5, "*.contoso.example"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "field", "words"),
    [
        ({"domain_list": DomainList.ALLOW}, "domains", "at least one domain"),
        ({"invitation_days": 0}, "invitation_days", "from 1 to 3650"),
        ({"invitation_days": 3651}, "invitation_days", "from 1 to 3650"),
        (
            {
                "domain_list": DomainList.BLOCK,
                "domains": [f"domain-number-{n}.example" for n in range(1200)],
            },
            "domains",
            "at most 25000 characters",
        ),
        (
            {"landing_pages": LandingPages.LISTED, "landing_hosts": ["javascript:alert(1)"]},
            "landing_hosts",
            "Lines that are not understood: 1",
        ),
    ],
)
def test_a_setting_out_of_range_is_refused_by_its_field(
    session: Session, cast: Cast, clock: Clock, wanted: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(Invalid, match=words) as refused:
        change(session, cast, clock, **wanted)
    assert refused.value.field == field


def test_landing_hosts_are_read_from_hosts_and_addresses(
    session: Session, cast: Cast, clock: Clock
) -> None:
    policy = change(
        session, cast, clock, landing_pages=LandingPages.LISTED,
        landing_hosts=["WWW.contoso.example", "https://teams.contoso.example/path"],
    )  # fmt: skip
    assert policy.landing_hosts == ["www.contoso.example", "teams.contoso.example"]
    assert policies.landing_page(policy, "https://www.contoso.example/x")
    with pytest.raises(Invalid):
        policies.landing_page(policy, "https://evil.example/")


def test_a_domain_blocked_afterwards_stops_who_is_pending_and_nobody_else(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """groups-apps-roles.md, 6; redemption.md, 6"""
    accepted = factories.invite(session, cast, clock.now, "ann@gmail.com")
    factories.accept(session, cast, accepted, clock.now)
    pending = factories.invite(session, cast, clock.now)
    change(session, cast, clock, domain_list=DomainList.BLOCK, domains=["gmail.com"])
    session.flush()
    opened = factories.open_link(
        session, factories.link_of(session, cast.woodgrove, pending.user_id), clock.now
    )
    assert opened is not None
    assert opened.standing is Standing.BLOCKED_DOMAIN
    with pytest.raises(Denied, match="does not take guests from your domain"):
        redemption.accept(
            session, redemption.acting(opened, now=clock.now), opened, factories.by_code(SAM)
        )
    places = belonging.places(session, factories.by_code("ann@gmail.com"))
    assert [place.user_id for place in places] == [accepted.user_id]


def test_nobody_invites_when_nobody_may(session: Session, cast: Cast, clock: Clock) -> None:
    """INV-6"""
    change(session, cast, clock, allow_invites_from=AllowInvitesFrom.NONE)
    session.flush()
    with pytest.raises(Denied, match="Guest invitations not allowed"):
        factories.invite(session, cast, clock.now)


@pytest.mark.parametrize(
    ("level", "lists_people", "reads_groups"),
    [
        (GuestAccess.SAME_AS_MEMBERS, True, True),
        (GuestAccess.LIMITED, False, True),
        (GuestAccess.RESTRICTED, False, False),
    ],
)
def test_the_guest_access_level_says_what_guests_see(
    session: Session,
    cast: Cast,
    clock: Clock,
    level: GuestAccess,
    lists_people: bool,
    reads_groups: bool,
) -> None:
    """groups-apps-roles.md, 4 and 5: a role counts more, and members are not concerned"""
    invited = factories.invite(session, cast, clock.now)
    factories.accept(session, cast, invited, clock.now)
    change(session, cast, clock, guest_access=level)
    session.flush()
    guest = acting(session, cast.woodgrove, invited.user_id, clock.now)
    seen = visibility.of(session, guest)
    assert (seen.lists_people, seen.reads_groups) == (lists_people, reads_groups)
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    assert visibility.of(session, adele) == visibility.EVERYTHING
    factories.give_role(session, cast.woodgrove, invited.user_id, Role.GLOBAL_READER, clock.now)
    reader = acting(session, cast.woodgrove, invited.user_id, clock.now)
    assert visibility.of(session, reader) == visibility.EVERYTHING
