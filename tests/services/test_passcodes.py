"""Mailed codes: bound to browser, address and purpose, few tries, half an hour."""

from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from b2b import links
from b2b.errors import Invalid, Throttled
from b2b.extensions import db
from b2b.models import OutboxMessage, Passcode
from b2b.services import addresses, passcodes
from tests.cast import Cast
from tests.conftest import START, Clock
from tests.crowd import at_once

SAM = addresses.parse("gsamoogle@gmail.com")
EVE = addresses.parse("eve@gmail.com")
NO_MORE = "That code is not valid any more. Send a new one."
WRONG = "That is not the code in the newest mail."
LAST = "That was the last try. This code is void now; send a new one."


def send(
    session: Session,
    cast: Cast,
    now: datetime,
    *,
    address: addresses.Address = SAM,
    browser: str = "a browser",
    purpose: str = "sign_in",
    deliver: bool = True,
) -> datetime | None:
    return passcodes.send(
        session, address, browser=browser, purpose=purpose, tenant_id=cast.consumer,
        tenant_name="B2B Collaboration", sender_domain="b2b.example", language="en", now=now,
        deliver=deliver,
    )  # fmt: skip


def newest_code(session: Session) -> str:
    """The code that the newest mail will show."""
    context = session.scalars(
        select(OutboxMessage.context).order_by(OutboxMessage.id.desc()).limit(1)
    ).one()
    return links.keyring().passcode(
        context["key_id"],
        bytes.fromhex(context["nonce"]),
        context["address_key"],
        context["purpose"],
    )


def check(
    session: Session,
    typed: str,
    now: datetime,
    *,
    address: addresses.Address = SAM,
    browser: str = "a browser",
    purpose: str = "sign_in",
) -> str | None:
    refusal = passcodes.check(session, address, typed, browser=browser, purpose=purpose, now=now)
    assert refusal is None or (isinstance(refusal, Invalid) and refusal.field == "code")
    return None if refusal is None else str(refusal)


def other_code(code: str) -> str:
    return f"{(int(code) + 1) % 10**8:08d}"


def test_the_right_code_is_right_once(session: Session, cast: Cast, clock: Clock) -> None:
    """SIGN-3: twice"""
    assert send(session, cast, clock.now) is None
    code = newest_code(session)
    assert check(session, code, clock.now) is None
    assert check(session, code, clock.now) == NO_MORE


@pytest.mark.parametrize("shape", ["{0}{1}", "{0} {1}", "{0}-{1}", " {0} {1} \n", "{0}\t{1}"])
def test_spaces_and_hyphens_do_not_matter(
    session: Session, cast: Cast, clock: Clock, shape: str
) -> None:
    send(session, cast, clock.now)
    code = newest_code(session)
    assert check(session, shape.format(code[:4], code[4:]), clock.now) is None


@pytest.mark.parametrize("place", ["browser", "address", "purpose", "invitation"])
def test_a_code_is_good_in_no_other_place(
    session: Session, cast: Cast, clock: Clock, place: str
) -> None:
    """SIGN-3: bound to browser, address, purpose and invitation"""
    purpose = f"redeem:{uuid4()}"
    send(session, cast, clock.now, purpose=purpose)
    code = newest_code(session)
    if place == "browser":
        said = check(session, code, clock.now, purpose=purpose, browser="another browser")
    elif place == "address":
        said = check(session, code, clock.now, purpose=purpose, address=EVE)
    elif place == "purpose":
        said = check(session, code, clock.now)
    else:
        said = check(session, code, clock.now, purpose=f"redeem:{uuid4()}")
    assert said == NO_MORE
    assert check(session, code, clock.now, purpose=purpose) is None, "and was not used up"


def test_a_live_code_elsewhere_does_not_help(session: Session, cast: Cast, clock: Clock) -> None:
    """SIGN-3: both have a code, each has his own"""
    send(session, cast, clock.now)
    sams = newest_code(session)
    send(session, cast, clock.now, address=EVE)
    eves = newest_code(session)
    assert check(session, sams, clock.now, address=EVE) == WRONG
    assert check(session, eves, clock.now) == WRONG


def test_a_new_code_makes_the_old_one_void(session: Session, cast: Cast, clock: Clock) -> None:
    """SIGN-3: newest only"""
    send(session, cast, clock.now)
    old = newest_code(session)
    send(session, cast, clock.advance(seconds=10))
    new = newest_code(session)
    assert new != old
    assert check(session, old, clock.now) == WRONG
    assert check(session, new, clock.now) is None


def test_after_five_wrong_tries_the_right_code_is_void(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """threats.md, 3: 5 tries, then void"""
    send(session, cast, clock.now)
    code = newest_code(session)
    said = [check(session, other_code(code), clock.now) for _ in range(5)]
    assert said == [WRONG, WRONG, WRONG, WRONG, LAST]
    assert check(session, code, clock.now) == NO_MORE
    assert passcodes.tries_left(session, SAM, browser="a browser", purpose="sign_in") == 0
    send(session, cast, clock.now)
    assert passcodes.tries_left(session, SAM, browser="a browser", purpose="sign_in") == 5
    assert check(session, newest_code(session), clock.now) is None


def test_the_fifth_try_may_still_be_right(session: Session, cast: Cast, clock: Clock) -> None:
    send(session, cast, clock.now)
    code = newest_code(session)
    for _ in range(4):
        check(session, other_code(code), clock.now)
    assert check(session, code, clock.now) is None


def test_a_code_lives_for_thirty_minutes(session: Session, cast: Cast, clock: Clock) -> None:
    """threats.md, 3"""
    send(session, cast, clock.now)
    code = newest_code(session)
    assert check(session, other_code(code), START + timedelta(minutes=29, seconds=59)) == WRONG
    assert check(session, code, START + timedelta(minutes=30)) == NO_MORE
    send(session, cast, START + timedelta(minutes=31))
    assert check(session, newest_code(session), START + timedelta(minutes=60)) is None


@pytest.mark.parametrize("typed", ["", " ", "abc", "1234", "１２３４５６７８", "٣" * 8, "0" * 5000])
def test_nonsense_is_a_wrong_code(session: Session, cast: Cast, clock: Clock, typed: str) -> None:
    send(session, cast, clock.now)
    if newest_code(session) == "00000000":  # one in a hundred million
        send(session, cast, clock.now)
    assert check(session, typed, clock.now) == WRONG


def test_three_codes_in_ten_minutes_and_then_a_wait(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """threats.md, 3: passcode send 3 per 10 min per address, from whatever browser"""
    for number in range(3):
        assert send(session, cast, clock.advance(minutes=1), browser=f"browser {number}") is None
    blocked = send(session, cast, clock.advance(minutes=1), browser="one more")
    assert blocked == clock.now + timedelta(minutes=10)
    with pytest.raises(Throttled) as refused:
        passcodes.require(blocked)
    assert refused.value.until == blocked
    assert session.execute(select(func.count()).select_from(OutboxMessage)).scalar_one() == 3
    assert send(session, cast, clock.now, address=EVE) is None, "others are not held up"
    assert send(session, cast, blocked) is None


def test_for_somebody_unknown_the_same_is_done_but_nothing_is_mailed(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """SIGN-2"""
    assert send(session, cast, clock.now, deliver=False) is None
    assert session.execute(select(func.count()).select_from(OutboxMessage)).scalar_one() == 0
    assert passcodes.tries_left(session, SAM, browser="a browser", purpose="sign_in") == 5
    assert check(session, "12345678", clock.now) == WRONG


def test_the_database_never_holds_the_code(session: Session, cast: Cast, clock: Clock) -> None:
    """DB-2, MAIL-5"""
    send(session, cast, clock.now)
    code = newest_code(session)
    row = session.execute(select(Passcode)).scalar_one()
    letter = session.execute(select(OutboxMessage)).scalar_one()
    stored = repr([getattr(row, c.key) for c in Passcode.__table__.columns])
    stored += repr([getattr(letter, c.key) for c in OutboxMessage.__table__.columns])
    assert code not in stored
    assert f"{code[:4]} {code[4:]}" not in stored
    assert "a browser" not in stored


def test_of_ten_right_answers_at_once_one_counts(app: Flask, cast: Cast, clock: Clock) -> None:
    """SIGN-3: twice, at once"""
    with app.app_context():
        send(db.session(), cast, clock.now)
        db.session.commit()
        code = newest_code(db.session())
        db.session.remove()
    done, faults = at_once(app, 10, lambda session, _: check(session, code, clock.now))
    assert faults == []
    assert sorted(str(said) for said in done) == sorted(["None"] + [NO_MORE] * 9)


def test_of_ten_wrong_answers_at_once_five_are_tries(app: Flask, cast: Cast, clock: Clock) -> None:
    """threats.md, 3: exact, whatever races"""
    with app.app_context():
        send(db.session(), cast, clock.now)
        db.session.commit()
        wrong = other_code(newest_code(db.session()))
        db.session.remove()
    done, faults = at_once(app, 10, lambda session, _: check(session, wrong, clock.now))
    assert faults == []
    assert sorted(str(said) for said in done) == sorted([WRONG] * 4 + [LAST] + [NO_MORE] * 5)


def test_codes_asked_for_at_once_leave_one_live_and_no_error(
    app: Flask, cast: Cast, clock: Clock
) -> None:
    """A double click on Send the code."""
    done, faults = at_once(app, 5, lambda session, _: send(session, cast, clock.now))
    assert faults == []
    assert [blocked is None for blocked in done].count(True) == 3
    with app.app_context():
        assert db.session.execute(select(func.count()).select_from(Passcode)).scalar_one() == 1
        sent = db.session.execute(select(func.count()).select_from(OutboxMessage)).scalar_one()
        assert sent == 3
        db.session.remove()


def test_codes_that_are_over_are_purged(session: Session, cast: Cast, clock: Clock) -> None:
    send(session, cast, clock.now)
    send(session, cast, clock.advance(minutes=20), address=EVE)
    passcodes.purge(session, START + timedelta(minutes=30))
    assert session.scalars(select(Passcode.address_key)).all() == ["eve@gmail.com"]
