"""Passwords: what may be chosen, how they are kept, and that a check costs everybody the same."""

import pytest
from flask import Flask
from sqlalchemy.orm import Session

from b2b.errors import Invalid
from b2b.models import User
from b2b.services import passwords
from tests.cast import Cast, acting
from tests.conftest import Clock


@pytest.mark.parametrize(
    ("password", "sentence"),
    [
        ("", "Use at least 12 characters."),
        ("elevenchars", "Use at least 12 characters."),
        ("한" * 11, "Use at least 12 characters."),
        ("a1" * 129, "Use at most 256 bytes."),
        ("한글" * 43, "Use at most 256 bytes."),
        ("password1234", "This password is easy to guess."),
        ("PassWord1234", "This password is easy to guess."),
        ("ｐａｓｓｗｏｒｄ１２３４", "This password is easy to guess."),
        ("administrator", "This password is easy to guess."),
        ("aaaaaaaaaaaaaaaa", "This password is easy to guess."),
        ("abcabcabcabcabc", "This password is easy to guess."),
        ("GSamOogle@gmail.com", "This password is easy to guess."),
    ],
)
def test_a_weak_password_is_refused_in_words(password: str, sentence: str) -> None:
    """threats.md, 3: 12 characters, 256 bytes, a list, no composition rules"""
    with pytest.raises(Invalid) as refused:
        passwords.check_rules(password, near="gsamoogle@gmail.com")
    assert refused.value.field == "password"
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize(
    "password",
    [
        "a long phrase",
        "correct horse",
        "비밀번호는열두글자이상입니다",
        "ab1c" * 64,
    ],
)
def test_a_long_phrase_of_any_letters_may_be_chosen(password: str) -> None:
    passwords.check_rules(password, near="gsamoogle@gmail.com")
    assert passwords.matches(passwords.hashed(password), password)


def test_only_the_very_password_matches(app: Flask) -> None:
    stored = passwords.hashed("a long phrase for Sam")
    assert passwords.matches(stored, "a long phrase for Sam")
    for other in ("A long phrase for Sam", "a long phrase for Sam ", "", "a" * 300, "x"):
        assert not passwords.matches(stored, other)
    assert not passwords.matches("not a hash", "a long phrase for Sam")


def test_nobodys_password_never_matches(app: Flask) -> None:
    """SIGN-2: an unknown person costs a check like anybody else."""
    for typed in ("", "x", "nobody has this password", "a" * 300):
        assert not passwords.matches(None, typed)
    assert not passwords.matches(passwords.hashed("x" * 300), "x" * 300), "longer than any choice"


def test_hashes_are_memory_hard_and_salted() -> None:
    """threats.md, 3; OWASP: argon2id with 19 MiB and two passes at least"""
    passwords.use_weak_hashing(False)
    first, second = passwords.hashed("a long phrase"), passwords.hashed("a long phrase")
    assert first != second
    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert "a long phrase" not in first


def test_a_new_password_replaces_the_old_one(session: Session, cast: Cast, clock: Clock) -> None:
    user = session.get_one(User, (cast.woodgrove, cast.adele))
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    passwords.put(session, john, user, passwords.hashed("another long phrase"))
    session.flush()
    stored = passwords.stored(session, cast.woodgrove, cast.adele)
    assert passwords.matches(stored, "another long phrase")
    assert not passwords.matches(stored, cast.password)
    assert passwords.stored(session, cast.contoso, cast.adele) is None
