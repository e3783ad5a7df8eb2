"""Leaving an organisation: one's own decision, undone by its administrators alone."""

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from b2b.actor import Actor, ExternalIdentity
from b2b.errors import Conflict, Denied, Invalid, NotFound
from b2b.models import AuditEvent, Role, User
from b2b.models import Session as SignedIn
from b2b.services import belonging, deleted_users, leaving, sessions, users
from b2b.services.leaving import Hindrance
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import Clock

OTTO = "otto.brandt@contoso.example"


def otto_comes_in(
    session: Session, cast: Cast, clock: Clock
) -> tuple[User, ExternalIdentity, Actor]:
    invited = factories.invite(session, cast, clock.now, OTTO)
    identity = factories.hosted(session, OTTO)
    user = factories.accept(session, cast, invited, clock.now, identity)
    return user, identity, acting(session, cast.woodgrove, user.id, clock.now)


def test_whoever_leaves_is_out_at_once_and_may_be_brought_back(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """redemption.md, 6; SES-1: sessions there end, those elsewhere go on"""
    user, identity, actor = otto_comes_in(session, cast, clock)
    clock.advance(minutes=1)
    there = [
        sessions.start(session, identity, now=clock.now, tenant_id=cast.woodgrove, user_id=user.id)
        for _ in range(2)
    ]
    home = sessions.start(
        session, identity, now=clock.now, tenant_id=cast.contoso, user_id=cast.otto
    )
    leaving.leave(session, actor, identity, " woodgrove ")
    assert user.deleted_at is not None
    for secret in there:
        assert (
            sessions.find(session.connection(), secret, now=clock.now, correlation_id=user.id)
            is None
        )
    assert (
        sessions.find(session.connection(), home, now=clock.now, correlation_id=user.id) is not None
    )
    assert session.scalars(select(SignedIn)).all() != []
    assert [place.tenant_id for place in belonging.places(session, identity)] == [cast.contoso]
    event = session.scalars(
        select(AuditEvent)
        .where(AuditEvent.tenant_id == cast.woodgrove)
        .order_by(AuditEvent.sequence.desc())
    ).first()
    assert event is not None
    assert (event.activity, event.actor_id, event.target_id) == (
        "Leave organization", user.id, user.id,
    )  # fmt: skip
    deleted_users.restore(session, acting(session, cast.woodgrove, cast.john, clock.now), user.id)
    session.flush()
    assert [place.tenant_id for place in belonging.places(session, identity)] == [
        cast.contoso,
        cast.woodgrove,
    ]


@pytest.mark.parametrize("typed", ["", "Contoso", "WoodGrov", "WoodGrove Ltd"])
def test_another_name_than_the_organisations_leaves_nothing(
    session: Session, cast: Cast, clock: Clock, typed: str
) -> None:
    user, identity, actor = otto_comes_in(session, cast, clock)
    with pytest.raises(Invalid) as refused:
        leaving.leave(session, actor, identity, typed)
    assert refused.value.field == "name"
    assert user.deleted_at is None


def test_home_is_not_left(session: Session, cast: Cast, clock: Clock) -> None:
    """redemption.md, 6: the home organisation has no Leave"""
    identity = factories.hosted(session, OTTO)
    actor = acting(session, cast.contoso, cast.otto, clock.now)
    with pytest.raises(Conflict, match="is where your account lies"):
        leaving.leave(session, actor, identity, "Contoso")
    [home] = leaving.belongings(session, identity)
    assert (home.tenant.display_name, home.hindrance) == ("Contoso", Hindrance.HOME)


def test_an_organisation_may_keep_guests_from_leaving(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """redemption.md, 6: blocked by tenant setting"""
    user, identity, actor = otto_comes_in(session, cast, clock)
    factories.set_policy(session, cast.woodgrove, guests_may_leave=False)
    with pytest.raises(Denied, match="does not let guests leave"):
        leaving.leave(session, actor, identity, "WoodGrove")
    assert session.get_one(User, (cast.woodgrove, user.id)).deleted_at is None


def test_a_blocked_account_does_not_leave(session: Session, cast: Cast, clock: Clock) -> None:
    """redemption.md, 6: or when the account is disabled"""
    user, identity, actor = otto_comes_in(session, cast, clock)
    users.block(session, acting(session, cast.woodgrove, cast.john, clock.now), user.id)
    session.flush()
    with pytest.raises(Denied, match="has blocked this account") as refused:
        leaving.leave(session, actor, identity, "WoodGrove")
    assert refused.value.code == "AADSTS50057"


def test_the_last_administrator_does_not_leave(session: Session, cast: Cast, clock: Clock) -> None:
    """ADM-2: a guest may be the last Global Administrator"""
    user, identity, actor = otto_comes_in(session, cast, clock)
    factories.give_role(session, cast.woodgrove, user.id, Role.GLOBAL_ADMINISTRATOR, clock.now)
    session.get_one(User, (cast.woodgrove, cast.john)).account_enabled = False
    session.flush()
    with pytest.raises(Conflict, match="last Global Administrator"):
        leaving.leave(session, actor, identity, "WoodGrove")


def test_nobody_leaves_where_he_is_not(session: Session, cast: Cast, clock: Clock) -> None:
    _, _, actor = otto_comes_in(session, cast, clock)
    stranger = factories.by_code("eve@partner.example")
    with pytest.raises(NotFound):
        leaving.leave(session, actor, stranger, "WoodGrove")


def test_whoever_left_comes_back_by_a_new_invitation_with_the_same_account(
    session: Session, cast: Cast, clock: Clock
) -> None:
    user, identity, actor = otto_comes_in(session, cast, clock)
    leaving.leave(session, actor, identity, "WoodGrove")
    clock.advance(minutes=10)
    again = factories.invite(session, cast, clock.now, OTTO)
    assert again.user_id != user.id
    back = factories.accept(session, cast, again, clock.now, identity)
    places = belonging.places(session, identity)
    assert [(place.tenant_id, place.user_id) for place in places][1:] == [(cast.woodgrove, back.id)]
