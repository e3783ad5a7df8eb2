"""One's own sign-in: its sessions in every organisation, and its password."""

from uuid import UUID, uuid4

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from b2b.errors import Conflict, Invalid
from b2b.models import AuditEvent
from b2b.models import Session as SignedIn
from b2b.services import accounts, passwords, sessions
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import Clock

ADELE = "adele.vance@woodgrove.example"
OTTO = "otto.brandt@contoso.example"


def signed_in(
    session: Session, cast: Cast, clock: Clock, address: str, tenant: UUID, user: UUID
) -> str:
    return sessions.start(
        session,
        factories.hosted(session, address),
        now=clock.now,
        tenant_id=tenant,
        user_id=user,
        ip_address="192.0.2.7",
        user_agent="Mozilla/5.0",
    )


def is_live(session: Session, clock: Clock, secret: str) -> bool:
    found = sessions.find(session.connection(), secret, now=clock.now, correlation_id=uuid4())
    return found is not None


def test_sessions_of_all_organisations_are_listed_and_nobody_elses(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """SES-1: list of sessions"""
    invited = factories.invite(session, cast, clock.now, OTTO)
    otto = factories.hosted(session, OTTO)
    factories.accept(session, cast, invited, clock.now, otto)
    clock.advance(minutes=1)
    signed_in(session, cast, clock, OTTO, cast.contoso, cast.otto)
    clock.advance(minutes=1)
    signed_in(session, cast, clock, OTTO, cast.woodgrove, invited.user_id)
    signed_in(session, cast, clock, ADELE, cast.woodgrove, cast.adele)
    found = accounts.sessions_of(session, otto, clock.now)
    assert [(name, kept.ip_address) for kept, name in found] == [
        ("WoodGrove", "192.0.2.7"),
        ("Contoso", "192.0.2.7"),
    ]
    clock.advance(hours=9)
    assert [name for _, name in accounts.sessions_of(session, otto, clock.now)] == ["WoodGrove"]
    clock.advance(hours=16)
    assert accounts.sessions_of(session, otto, clock.now) == []


def test_one_session_is_ended_and_only_ones_own(session: Session, cast: Cast, clock: Clock) -> None:
    """SES-1"""
    here = signed_in(session, cast, clock, ADELE, cast.woodgrove, cast.adele)
    there = signed_in(session, cast, clock, ADELE, cast.woodgrove, cast.adele)
    ottos = signed_in(session, cast, clock, OTTO, cast.contoso, cast.otto)
    adele = factories.hosted(session, ADELE)
    by_secret = {
        secret: session.scalars(
            select(SignedIn.id).where(SignedIn.id_hash == sessions.keys.digest(secret))
        ).one()
        for secret in (here, there, ottos)
    }
    accounts.sign_out_of(session, adele, by_secret[there])
    assert [is_live(session, clock, secret) for secret in (here, there, ottos)] == [
        True, False, True,
    ]  # fmt: skip
    for foreign in (by_secret[ottos], by_secret[there], uuid4()):
        with pytest.raises(Conflict, match="has ended already"):
            accounts.sign_out_of(session, adele, foreign)
    assert is_live(session, clock, ottos)


def test_signing_out_everywhere_ends_them_all_and_what_was_begun_before(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """SES-1, REL-18: also one that is written while everybody is signed out"""
    invited = factories.invite(session, cast, clock.now, OTTO)
    otto = factories.hosted(session, OTTO)
    factories.accept(session, cast, invited, clock.now, otto)
    begun = clock.advance(minutes=1)
    secrets = [
        signed_in(session, cast, clock, OTTO, cast.contoso, cast.otto),
        signed_in(session, cast, clock, OTTO, cast.woodgrove, invited.user_id),
    ]
    adele = signed_in(session, cast, clock, ADELE, cast.woodgrove, cast.adele)
    clock.advance(minutes=1)
    accounts.sign_out_everywhere(
        session, acting(session, cast.woodgrove, invited.user_id, clock.now), otto
    )
    late = [
        sessions.start(session, otto, now=begun, tenant_id=tenant, user_id=user)
        for tenant, user in ((cast.contoso, cast.otto), (cast.woodgrove, invited.user_id))
    ]
    assert not any(is_live(session, clock, secret) for secret in (*secrets, *late))
    assert is_live(session, clock, adele)
    assert is_live(session, clock, signed_in(session, cast, clock, OTTO, cast.contoso, cast.otto))
    event = session.scalars(
        select(AuditEvent)
        .where(AuditEvent.tenant_id == cast.woodgrove)
        .order_by(AuditEvent.sequence.desc())
    ).first()
    assert event is not None
    assert event.activity == "Update StsRefreshTokenValidFrom Timestamp"
    assert event.actor_id == invited.user_id


def test_a_new_password_ends_every_session_and_is_audited_where_the_account_lies(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """SES-1: a changed factor signs out elsewhere"""
    invited = factories.invite(session, cast, clock.now, OTTO)
    otto = factories.hosted(session, OTTO)
    factories.accept(session, cast, invited, clock.now, otto)
    clock.advance(minutes=1)
    secret = signed_in(session, cast, clock, OTTO, cast.woodgrove, invited.user_id)
    clock.advance(minutes=1)
    as_guest = acting(session, cast.woodgrove, invited.user_id, clock.now)
    accounts.change_password(session, as_guest, otto, passwords.hashed("a new phrase that is long"))
    assert not is_live(session, clock, secret)
    stored = passwords.stored(session, cast.contoso, cast.otto)
    assert passwords.matches(stored, "a new phrase that is long")
    assert not passwords.matches(stored, cast.password)
    event = session.scalars(
        select(AuditEvent)
        .where(AuditEvent.tenant_id == cast.contoso)
        .order_by(AuditEvent.sequence.desc())
    ).first()
    assert event is not None
    assert (event.activity, event.actor_id) == ("Change password (self-service)", cast.otto)


def test_whoever_signs_in_with_codes_has_no_password_to_change(
    session: Session, cast: Cast, clock: Clock
) -> None:
    invited = factories.invite(session, cast, clock.now, "sam@partner.example")
    user = factories.accept(session, cast, invited, clock.now)
    by_code = factories.by_code("sam@partner.example")
    assert accounts.own_password(session, by_code) is None
    actor = acting(session, cast.woodgrove, user.id, clock.now)
    with pytest.raises(Conflict, match="mailed codes"):
        accounts.change_password(session, actor, by_code, passwords.hashed("x" * 20))


@pytest.mark.parametrize(
    ("new", "again", "field"),
    [
        ("short", "short", "password"),
        ("password1234", "password1234", "password"),
        ("x" * 257, "x" * 257, "password"),
        (ADELE, ADELE, "password"),
        ("the current phrase", "the current phrase", "password"),
        ("a new phrase that is long", "a new phrase that is longer", "password_again"),
    ],
)
def test_a_new_password_keeps_the_rules(
    session: Session, cast: Cast, new: str, again: str, field: str
) -> None:
    """threats.md, 3"""
    with pytest.raises(Invalid) as refused:
        accounts.check_new_password(
            new, again, "the current phrase", factories.hosted(session, ADELE)
        )
    assert refused.value.field == field
