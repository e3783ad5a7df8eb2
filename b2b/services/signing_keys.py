"""The keys that tokens are signed with: made on first need, published ahead, kept till their last
token is over.

Every key knows from when it signs and, once there is a next one, until when, so that a planned
change happens by the clock alone in every process at once (threats.md, OIDC-6).
"""

import logging
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    bindparam,
    delete,
    exists,
    func,
    literal_column,
    select,
)
from sqlalchemy.orm import Session

from b2b import jose, links
from b2b.jose import Signer
from b2b.models import SigningKey
from b2b.models.base import UTCDateTime
from b2b.prepared import Prepared

log = logging.getLogger(__name__)

PERIOD = timedelta(days=90)
"""How long a key signs."""
AHEAD = timedelta(hours=24)
"""How long a key is published before it signs, at least: verifiers keep a copy for that long."""
LONGEST_TOKEN = timedelta(hours=24)
"""No token lives longer; for that long a key stays published after its last signature."""
_PURPOSE = "signing key"
_LOCK = 7229003


def in_force(moment: BindParameter[datetime]) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    """Columns for a statement of others, which `ready` understands: `signs_now`, the id of the key
    that signs at *moment*, and `signs_later`, whether there is one after it.
    """
    newest = (
        select(_keys.c.kid)
        .where(
            _keys.c.signs_from <= moment,
            _keys.c.retired_at.is_(None) | (_keys.c.retired_at > moment),
        )
        .order_by(_keys.c.signs_from.desc(), _keys.c.created_at.desc())
        .limit(literal_column("1"))
        .scalar_subquery()
    )
    following = exists(select(_keys.c.kid).where(_keys.c.signs_from > moment))
    return newest.label("signs_now"), following.label("signs_later")


_keys = SigningKey.__table__
_NOW = Prepared(select(*in_force(bindparam("moment", type_=UTCDateTime))))
_ONE = Prepared(
    select(SigningKey.public_jwk, SigningKey.retired_at).where(
        SigningKey.kid == bindparam("kid", type_=SigningKey.kid.type)
    )
)

_signers: dict[str, Signer] = {}
"""Making a key ready to sign takes longer than signing."""


def published(session: Session, *, now: datetime) -> list[dict[str, str]]:
    """The public JWKs that a token may be signed with: those of now, soon and lately."""
    return [
        row.public_jwk
        for row in _rows(session)
        if row.retired_at is None or row.retired_at + LONGEST_TOKEN > now
    ]


def find(session: Session, kid: str, *, now: datetime) -> dict[str, str] | None:
    """The public JWK with this id, if it is published."""
    rows = _ONE.all(session.connection(), kid=kid)
    if not rows:
        return None
    [(public_jwk, retired_at)] = rows
    if retired_at is not None and retired_at + LONGEST_TOKEN <= now:
        return None
    found: dict[str, str] = public_jwk
    return found


def are_complete(session: Session, *, now: datetime) -> bool:
    """Whether there is a key that signs now and one that comes after it."""
    rows = _rows(session)
    return _current(rows, now) is not None and _next(rows, now) is not None


def signer(session: Session, *, now: datetime) -> Signer:
    """What signs now. In a transaction that may write: makes what is missing."""
    [row] = _NOW.within(session, moment=now)
    known = ready(row.signs_now, has_next=row.signs_later)
    if known is not None:
        return known
    current = ensure(session, now=now)
    found = _signer(current)
    assert found is not None  # `ensure` passes over what cannot be opened
    return found


def ready(kid: str | None, *, has_next: bool) -> Signer | None:
    """What signs now, if nothing has to be made for it: keys are complete, and the one of now,
    which `in_force` has found, is ready in this process. None: ask `signer`.
    """
    return None if kid is None or not has_next else _signers.get(kid)


def ensure(session: Session, *, now: datetime) -> SigningKey:
    """Make the key that signs now and the next one where they are missing; returns the former.

    Two processes at once agree on one: the second waits, and looks again.
    """
    rows = _rows(session)
    current, following = _current(rows, now), _next(rows, now)
    if current is not None and following is not None:
        return current
    _lock(session)
    rows = _rows(session)
    current, following = _current(rows, now), _next(rows, now)
    if current is None:
        current = following or _make(session, now, signs_from=now)
        current.signs_from = min(current.signs_from, now)
        following = None if following is current else following
    if following is None:
        following = _make(session, now, signs_from=max(now + AHEAD, current.signs_from + PERIOD))
    _hand_over(rows, current, following)
    session.flush()
    return current


def rotate(session: Session, *, now: datetime) -> datetime:
    """Let the next key sign as soon as every verifier can know it; returns from when on.

    Nobody notices: what was signed before goes on being good.
    """
    _lock(session)
    current = ensure(session, now=now)
    rows = _rows(session)
    following = _next(rows, now)
    assert following is not None
    following.signs_from = min(following.signs_from, max(now, following.created_at + AHEAD))
    _hand_over(rows, current, following)
    session.flush()
    if following.signs_from <= now:
        ensure(session, now=now)
    return following.signs_from


def revoke(session: Session, *, now: datetime) -> None:
    """In an emergency: every token that was signed until now is worth nothing, at once."""
    _lock(session)
    session.execute(delete(SigningKey))
    session.expire_all()
    _signers.clear()
    ensure(session, now=now)


def seal_anew(session: Session, gone: Collection[str]) -> None:
    """Seal with the present root key what was sealed with the root keys that are to go.

    What cannot be opened any more stays as it is: nobody signs with it.
    """
    ring = links.keyring()
    for row in _rows(session):
        if ring.sealer(row.private_key) not in gone:
            continue
        try:
            plain = ring.unseal(row.private_key, _PURPOSE, row.kid)
        except (KeyError, ValueError):
            log.warning("a signing key cannot be opened", extra={"kid": row.kid})
            continue
        row.private_key = ring.seal(plain, _PURPOSE, row.kid)
    session.flush()


def _rows(session: Session) -> Sequence[SigningKey]:
    """All keys, the oldest first, as they stand in the database."""
    return session.scalars(
        select(SigningKey)
        .order_by(SigningKey.signs_from, SigningKey.created_at)
        .execution_options(populate_existing=True)
    ).all()


def _current(rows: Sequence[SigningKey], now: datetime) -> SigningKey | None:
    signing = [
        row
        for row in rows
        if row.signs_from <= now and (row.retired_at is None or row.retired_at > now)
    ]
    return next((row for row in reversed(signing) if _signer(row) is not None), None)


def _next(rows: Sequence[SigningKey], now: datetime) -> SigningKey | None:
    return next((row for row in rows if row.signs_from > now and _signer(row) is not None), None)


def _hand_over(rows: Sequence[SigningKey], current: SigningKey, following: SigningKey) -> None:
    """Write down until when *current*, and whatever else still signs, may do so."""
    for row in {*rows, current} - {following}:
        if row.retired_at is None or row.retired_at > following.signs_from:
            row.retired_at = following.signs_from


def _make(session: Session, now: datetime, *, signs_from: datetime) -> SigningKey:
    private_key = jose.new_key()
    public = jose.public_jwk(private_key)
    kid = public["kid"]
    row = SigningKey(
        kid=kid,
        public_jwk=public,
        private_key=links.keyring().seal(private_key, _PURPOSE, kid),
        created_at=now,
        signs_from=signs_from,
    )
    session.add(row)
    session.flush()
    log.info("made a signing key", extra={"kid": kid, "signs_from": signs_from.isoformat()})
    return row


def _signer(row: SigningKey) -> Signer | None:
    """*row* ready to sign; None when its private half cannot be opened with the keys of today."""
    found = _signers.get(row.kid)
    if found is None:
        try:
            private_key = links.keyring().unseal(row.private_key, _PURPOSE, row.kid)
        except (KeyError, ValueError):
            log.warning("a signing key cannot be opened", extra={"kid": row.kid})
            return None
        found = _signers[row.kid] = Signer(row.kid, private_key)
    return found


def _lock(session: Session) -> None:
    """Be the only one who makes keys until commit; SQLite has one writer anyway."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(select(func.pg_advisory_xact_lock(_LOCK)))
