"""Signing keys: one at a time signs, the next is known in advance, none lies open."""

import threading
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select
from sqlalchemy.orm import Session

from b2b import jose, links, worker
from b2b.extensions import db
from b2b.keys import Keyring
from b2b.models import SigningKey
from b2b.services import signing_keys
from tests.conftest import Clock


def kids(session: Session, clock: Clock) -> list[str]:
    return [key["kid"] for key in signing_keys.published(session, now=clock.now)]


def test_the_first_need_makes_a_key_that_signs_and_one_that_follows(
    session: Session, clock: Clock
) -> None:
    assert not signing_keys.are_complete(session, now=clock.now)
    first = signing_keys.signer(session, now=clock.now)
    assert signing_keys.are_complete(session, now=clock.now)
    assert len(kids(session, clock)) == 2
    assert kids(session, clock)[0] == first.kid
    assert signing_keys.signer(session, now=clock.now).kid == first.kid
    clock.advance(days=89)
    assert signing_keys.signer(session, now=clock.now).kid == first.kid


def test_after_ninety_days_the_published_next_key_signs_and_the_old_one_still_verifies(
    session: Session, clock: Clock
) -> None:
    """OIDC-6"""
    first = signing_keys.signer(session, now=clock.now)
    token = first.sign({"sub": "x"})
    following = kids(session, clock)[1]
    clock.advance(days=90)
    assert signing_keys.signer(session, now=clock.now).kid == following

    def find(kid: str) -> dict[str, str] | None:
        return signing_keys.find(session, kid, now=clock.now)

    assert jose.verified(token, find) == {"sub": "x"}
    assert len(kids(session, clock)) == 3
    clock.advance(hours=23)
    assert first.kid in kids(session, clock)
    clock.advance(hours=1)
    assert first.kid not in kids(session, clock)
    with pytest.raises(jose.Forged):
        jose.verified(token, find)


def test_a_planned_change_waits_until_every_verifier_can_know_the_next_key(
    session: Session, clock: Clock
) -> None:
    """OIDC-6: published at least a day ahead; no token fails on the way"""
    first = signing_keys.signer(session, now=clock.now)
    following = kids(session, clock)[1]
    clock.advance(hours=1)
    assert signing_keys.rotate(session, now=clock.now) == clock.now + timedelta(hours=23)
    for _ in range(50):
        clock.advance(hours=1)
        signer = signing_keys.signer(session, now=clock.now)
        token = signer.sign({"sub": "x"})
        assert jose.verified(token, lambda kid: signing_keys.find(session, kid, now=clock.now)) == {
            "sub": "x"
        }
    assert signer.kid == following != first.kid
    assert signing_keys.rotate(session, now=clock.now) == clock.now
    assert signing_keys.signer(session, now=clock.now).kid not in (first.kid, following)


def test_in_an_emergency_everything_signed_before_is_worth_nothing(
    session: Session, clock: Clock
) -> None:
    """OIDC-6: revokes at once"""
    before = signing_keys.signer(session, now=clock.now)
    known = set(kids(session, clock))
    token = before.sign({"sub": "x"})
    signing_keys.revoke(session, now=clock.now)
    assert not known & set(kids(session, clock))
    with pytest.raises(jose.Forged):
        jose.verified(token, lambda kid: signing_keys.find(session, kid, now=clock.now))
    assert signing_keys.signer(session, now=clock.now).kid != before.kid


def test_processes_that_start_at_once_agree_on_one_key(app: Flask, clock: Clock) -> None:
    """OIDC-6, BOOT-1"""
    found: list[str] = []
    barrier = threading.Barrier(4)

    def begin() -> None:
        with app.app_context():
            barrier.wait()
            with worker.transaction() as session:
                found.append(signing_keys.signer(session, now=clock.now).kid)

    threads = [threading.Thread(target=begin) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 4
    assert len(set(found)) == 1
    with app.app_context():
        assert len(kids(db.session(), clock)) == 2


def test_the_private_half_is_sealed_and_the_public_half_is_public(
    session: Session, clock: Clock
) -> None:
    """OIDC-6, DB-2: neither in the clear in the database nor in the published keys"""
    signing_keys.signer(session, now=clock.now)
    for row in session.scalars(select(SigningKey)):
        plain = links.keyring().unseal(row.private_key, "signing key", row.kid)
        assert plain.startswith(b"\x30\x82"), "it is PKCS #8"
        assert plain[40:80] not in row.private_key
        assert set(row.public_jwk) == {"kty", "use", "alg", "kid", "n", "e"}
        for other in ("another purpose", "signing keys"):
            with pytest.raises(ValueError, match="altered"):
                links.keyring().unseal(row.private_key, other, row.kid)
        with pytest.raises(ValueError, match="altered"):
            links.keyring().unseal(row.private_key, "signing key", "another kid")


def test_with_the_root_key_gone_a_new_key_signs_and_the_old_tokens_go_on(
    session: Session, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signing_keys.signer(session, now=clock.now)
    other: Any = Keyring.from_secrets(["another root key of more than 32 characters"])
    monkeypatch.setattr(links, "_keyring", other)
    monkeypatch.setattr(signing_keys, "_signers", {})
    now_signing = signing_keys.signer(session, now=clock.now)
    assert now_signing.kid != before.kid
    assert before.kid in kids(session, clock)


def test_the_key_ring_opens_with_older_root_keys() -> None:
    old = Keyring.from_secrets(["an old root key of more than 32 characters"])
    new = Keyring.from_secrets(
        ["a new root key of more than 32 characters", "an old root key of more than 32 characters"]
    )
    sealed = old.seal(b"plain words", "purpose", "name")
    assert new.unseal(sealed, "purpose", "name") == b"plain words"
    assert b"plain" not in sealed
    with pytest.raises(KeyError):
        old.unseal(new.seal(b"plain words", "purpose", "name"), "purpose", "name")
    with pytest.raises(ValueError, match="altered"):
        new.unseal(sealed[:-1] + bytes([sealed[-1] ^ 1]), "purpose", "name")


def test_keys_are_changed_from_the_command_line(app: Flask, clock: Clock) -> None:
    """OIDC-6: the emergency command"""
    with app.app_context(), worker.transaction() as session:
        first = signing_keys.signer(session, now=clock.now).kid
    with app.app_context():
        planned = app.test_cli_runner().invoke(args=["rotate-keys"])
    assert planned.exit_code == 0, planned.output
    assert planned.output.startswith("The next key signs from 2026-11-22 09:00 UTC on")
    with app.app_context():
        assert first in kids(db.session(), clock)
    with app.app_context():
        at_once = app.test_cli_runner().invoke(args=["rotate-keys", "--at-once"])
    assert at_once.exit_code == 0, at_once.output
    with app.app_context():
        assert first not in kids(db.session(), clock)
        assert len(kids(db.session(), clock)) == 2
