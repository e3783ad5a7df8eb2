"""Passwords that this installation checks itself (threats.md, 3): length and a list, no composition
rules.
"""

from uuid import UUID

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, Invalid
from b2b.models import Password, User, fold

SHORTEST = 12
LONGEST_BYTES = 256

# OWASP's second recommended setting for argon2id: about 20 ms here.
_strong = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
_hasher = _strong
_dummy = ""

# Long enough to pass the length rule and known to everybody; source: the heads of published
# lists of leaked passwords, and what people type when twelve characters are asked for.
_COMMON = frozenset(
    """
    password1234 password12345 password123456 passwordpassword 123456789012 1234567890123
    12345678901234 123456123456 111111111111 000000000000 qwertyuiop12 qwertyuiop123
    qwertyqwerty qwerty123456 1q2w3e4r5t6y iloveyou1234 iloveyouforever abcdefghijkl
    abcd12345678 letmeinplease welcome12345 welcomewelcome adminadminadmin administrator
    changeme1234 trustno1trustno1 correcthorsebatterystaple monkeymonkey football1234
    baseball1234 sunshine1234 princess1234 superman1234 dragondragon p@ssw0rd1234
    p@ssword1234 passw0rd1234 aaaaaaaaaaaa
    """.split()  # noqa: SIM905 - a list to read
)


def use_weak_hashing(weak: bool) -> None:
    """Test runs make thousands of hashes; everything else uses the strong setting."""
    global _hasher, _dummy
    _hasher = _weak if weak else _strong
    _dummy = ""


def check_rules(password: str, *, field: str = "password", near: str = "") -> None:
    """Raise Invalid(field) for a password that may not be chosen; *near* is the person's own
    address.
    """
    if len(password) < SHORTEST:
        raise Invalid(field, N_("Use at least %(shortest)s characters."), shortest=SHORTEST)
    if len(password.encode()) > LONGEST_BYTES:
        raise Invalid(field, N_("Use at most %(longest)s bytes."), longest=LONGEST_BYTES)
    folded = fold(password)
    if folded in _COMMON or len(set(folded)) < 4 or (near and folded == fold(near)):
        raise Invalid(field, N_("This password is easy to guess. Choose another one."))


def hashed(password: str) -> str:
    """The hash to store; takes about 20 ms, so it is made outside any write transaction."""
    return _hasher.hash(password)


def put(session: Session, actor: Actor, user: User, password_hash: str) -> None:
    """Store a new hash for *user*."""
    session.merge(
        Password(
            tenant_id=user.tenant_id, user_id=user.id, hash=password_hash, changed_at=actor.now
        )
    )


def stored(session: Session, tenant_id: UUID, user_id: UUID) -> str | None:
    """The stored hash of somebody, or None."""
    return session.execute(
        select(Password.hash).where(Password.tenant_id == tenant_id, Password.user_id == user_id)
    ).scalar_one_or_none()


def matches(stored_hash: str | None, password: str) -> bool:
    """Whether *password* is the one; an unknown person costs the same time (threats.md, SIGN-2)."""
    global _dummy
    if stored_hash is None or len(password.encode()) > LONGEST_BYTES:
        _dummy = _dummy or _hasher.hash("nobody has this password")
        stored_hash, password = _dummy, "x"
    try:
        return _hasher.verify(stored_hash, password)
    except (VerificationError, InvalidHashError):
        return False
