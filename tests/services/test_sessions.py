"""Sessions: how long they last, and that they end at once for whoever may not sign in any more."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from b2b.models import Role, User
from b2b.models import Session as SessionRow
from b2b.services import deleted_users, sessions, users
from b2b.services.sessions import Live
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import START, Clock

ADELE = "adele.vance@woodgrove.example"
OTTO = "otto.brandt@contoso.example"


def find(session: Session, secret: str, now: Any) -> Live | None:
    session.flush()
    session.expire_all()
    return sessions.find(session.connection(), secret, now=now, correlation_id=uuid4())


def of_adele(session: Session, cast: Cast, now: Any) -> str:
    """Adele at home."""
    return sessions.start(
        session, factories.hosted(session, ADELE), now=now, tenant_id=cast.woodgrove,
        user_id=cast.adele,
    )  # fmt: skip


def of_otto_as_guest(session: Session, cast: Cast, now: Any) -> str:
    """Otto of Contoso as a guest of WoodGrove."""
    invited = factories.invite(session, cast, now, OTTO)
    identity = factories.hosted(session, OTTO)
    factories.accept(session, cast, invited, now, identity)
    return sessions.start(
        session, identity, now=now, tenant_id=cast.woodgrove, user_id=invited.user_id
    )


def test_a_session_leads_to_person_tenant_and_roles(
    session: Session, cast: Cast, clock: Clock
) -> None:
    factories.give_role(session, cast.woodgrove, cast.adele, Role.GUEST_INVITER, clock.now)
    secret = of_adele(session, cast, clock.now)
    found = find(session, secret, clock.now)
    assert found is not None
    assert found.actor is not None
    assert found.actor.user_id == cast.adele
    assert (found.actor.tenant_id, found.actor.tenant_name) == (cast.woodgrove, "WoodGrove")
    assert found.actor.roles == {Role.GUEST_INVITER}
    assert found.actor.is_guest is False
    assert found.identity.label == ADELE
    assert found.identity.proven == {ADELE}


def test_only_the_hash_of_the_secret_is_kept(session: Session, cast: Cast, clock: Clock) -> None:
    """SES-2, DB-2"""
    secret = of_adele(session, cast, clock.now)
    assert len(secret) == 43
    row = session.execute(select(SessionRow)).scalar_one()
    assert secret not in repr([getattr(row, c.key) for c in SessionRow.__table__.columns])
    assert len(row.id_hash) == 32


@pytest.mark.parametrize("secret", ["", "A" * 43, "x", "' OR 1=1 --"])
def test_a_made_up_secret_is_nobody(
    session: Session, cast: Cast, clock: Clock, secret: str
) -> None:
    """SES-1: a planted cookie is never adopted"""
    of_adele(session, cast, clock.now)
    assert find(session, secret, clock.now) is None


def test_a_member_is_signed_out_after_eight_idle_hours(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """threats.md, 3"""
    secret = of_adele(session, cast, clock.now)
    assert find(session, secret, START + timedelta(hours=7, minutes=59)) is not None
    assert find(session, secret, START + timedelta(hours=8)) is None
    found = find(session, secret, START + timedelta(hours=7))
    assert found is not None
    sessions.seen(session, found.id_hash, START + timedelta(hours=7))
    assert find(session, secret, START + timedelta(hours=14, minutes=59)) is not None
    assert find(session, secret, START + timedelta(hours=15)) is None


def test_a_member_who_never_rests_signs_in_again_after_fourteen_days(
    session: Session, cast: Cast, clock: Clock
) -> None:
    secret = of_adele(session, cast, clock.now)
    session.execute(update(SessionRow).values(seen_at=START + timedelta(days=13, hours=23)))
    assert find(session, secret, START + timedelta(days=13, hours=23, minutes=59)) is not None
    assert find(session, secret, START + timedelta(days=14)) is None


def test_a_guest_signs_in_again_after_twenty_four_hours(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """threats.md, 3: absolute, and no idle limit within"""
    secret = of_otto_as_guest(session, cast, clock.now)
    found = find(session, secret, START + timedelta(hours=23, minutes=59))
    assert found is not None
    assert found.actor is not None
    assert found.actor.is_guest
    assert find(session, secret, START + timedelta(hours=24)) is None


def test_a_new_session_ends_the_one_it_replaces(session: Session, cast: Cast, clock: Clock) -> None:
    """SES-1: a new id at every sign-in and change of rights"""
    before = of_adele(session, cast, clock.now)
    found = find(session, before, clock.now)
    assert found is not None
    after = sessions.start(
        session, found.identity, now=clock.now, tenant_id=cast.woodgrove, user_id=cast.adele,
        replacing=found.id_hash,
    )  # fmt: skip
    assert after != before
    assert find(session, before, clock.now) is None
    assert find(session, after, clock.now) is not None


def test_signing_out_ends_one_browser_only(session: Session, cast: Cast, clock: Clock) -> None:
    here, there = of_adele(session, cast, clock.now), of_adele(session, cast, clock.now)
    found = find(session, here, clock.now)
    assert found is not None
    sessions.end(session, found.id_hash)
    assert find(session, here, clock.now) is None
    assert find(session, there, clock.now) is not None


@pytest.mark.parametrize("what", [users.block, deleted_users.remove])
def test_whoever_is_blocked_or_deleted_is_out_with_the_next_request(
    session: Session, cast: Cast, clock: Clock, what: Any
) -> None:
    """SES-1, REL-18: and a restore does not bring old sessions back"""
    secret = of_adele(session, cast, clock.now)
    john = acting(session, cast.woodgrove, cast.john, clock.advance(minutes=1))
    what(session, john, cast.adele)
    assert find(session, secret, clock.now) is None
    back = users.unblock if what is users.block else deleted_users.restore
    back(session, john, cast.adele)
    assert find(session, secret, clock.now) is None
    assert find(session, of_adele(session, cast, clock.advance(minutes=1)), clock.now) is not None


def test_a_session_older_than_the_last_sign_out_everywhere_is_nobody(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """SES-1: also one that was written while everybody was signed out"""
    secret = of_adele(session, cast, clock.now)
    session.execute(
        update(User)
        .where(User.tenant_id == cast.woodgrove, User.id == cast.adele)
        .values(sessions_valid_from=clock.now + timedelta(seconds=1))
    )
    assert find(session, secret, clock.now) is None


@pytest.mark.parametrize("what", [users.block, deleted_users.remove])
def test_blocking_somebody_at_home_ends_his_sessions_as_a_guest_elsewhere(
    session: Session, cast: Cast, clock: Clock, what: Any
) -> None:
    """REL-18"""
    secret = of_otto_as_guest(session, cast, clock.now)
    assert find(session, secret, clock.now) is not None
    mj = factories_admin_of_contoso(session, cast, clock)
    what(session, mj, cast.otto)
    assert find(session, secret, clock.now) is None


def factories_admin_of_contoso(session: Session, cast: Cast, clock: Clock) -> Any:
    from b2b.services import tenants

    home = acting(session, cast.contoso, cast.otto, clock.now)
    made = tenants.add_person(
        session, home, user_principal_name="mj@contoso.example", display_name="María-José",
        roles=(Role.GLOBAL_ADMINISTRATOR,),
    )  # fmt: skip
    return acting(session, cast.contoso, made.id, clock.now)


def test_blocking_the_guest_leaves_his_home_alone(
    session: Session, cast: Cast, clock: Clock
) -> None:
    as_guest = of_otto_as_guest(session, cast, clock.now)
    at_home = sessions.start(
        session, factories.hosted(session, OTTO), now=clock.now, tenant_id=cast.contoso,
        user_id=cast.otto,
    )  # fmt: skip
    found = find(session, as_guest, clock.now)
    assert found is not None
    assert found.actor is not None
    assert found.actor.user_id is not None
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    users.block(session, john, found.actor.user_id)
    assert find(session, as_guest, clock.now) is None
    assert find(session, at_home, clock.now) is not None


def test_whoever_has_proven_an_address_and_not_accepted_yet_acts_as_nobody(
    session: Session, cast: Cast, clock: Clock
) -> None:
    secret = sessions.start(session, factories.by_code("sam@gmail.com"), now=clock.now)
    found = find(session, secret, clock.now)
    assert found is not None
    assert found.actor is None
    assert found.identity == factories.by_code("sam@gmail.com")


def test_sessions_that_are_over_are_purged(session: Session, cast: Cast, clock: Clock) -> None:
    sessions.start(session, factories.by_code("sam@gmail.com"), now=clock.now)
    kept = of_adele(session, cast, clock.now)
    assert sessions.purge(session, START + timedelta(hours=25)) == 1
    assert session.scalars(select(SessionRow.label)).all() == [ADELE]
    assert find(session, kept, clock.now) is not None
