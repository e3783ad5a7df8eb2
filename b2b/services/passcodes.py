"""E-mail one-time passcodes: 8 digits, 30 minutes, 5 tries, bound to browser, address and
purpose.
"""

import hmac
import os
import re
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete
from sqlalchemy.orm import Session

from b2b import keys, links
from b2b.errors import N_, Invalid, Throttled
from b2b.mail import outbox
from b2b.models import Passcode
from b2b.models.base import insert_missing
from b2b.services import attempts
from b2b.services.addresses import Address

LIFE = timedelta(minutes=30)
TRIES = 5
SENDS = 3
SENDS_WINDOW = timedelta(minutes=10)


def send(
    session: Session,
    address: Address,
    *,
    browser: str,
    purpose: str,
    tenant_id: UUID,
    tenant_name: str,
    sender_domain: str,
    language: str | None,
    now: datetime,
    deliver: bool = True,
) -> datetime | None:
    """Owe a new code to *address*; the one before is void. None, or when the next may be asked for.

    *browser* is the secret of the browser session, *purpose* what the code is good for; neither is
    stored in clear. `deliver=False` does the same work without the mail, for people who are not
    known (threats.md, SIGN-2).
    """
    blocked = attempts.take(
        session, f"passcode-send:{address.key}", limit=SENDS, window=SENDS_WINDOW, now=now
    )
    if blocked is not None:
        return blocked
    place = (keys.digest(browser), address.key, purpose)
    fresh = {
        "browser_hash": place[0],
        "address_key": place[1],
        "purpose": purpose,
        "nonce": b"",
        "key_id": "",
        "tries_left": 0,
        "created_at": now,
        "expires_at": now,
    }
    insert_missing(session, Passcode, fresh)
    row = session.get_one(Passcode, place, with_for_update=True)
    row.nonce = os.urandom(16)
    row.key_id = links.keyring().current_id
    row.tries_left = TRIES
    row.created_at = now
    row.expires_at = now + LIFE
    session.flush()
    if deliver:
        outbox.enqueue(
            session,
            outbox.row(
                tenant_id,
                "passcode",
                address.wire,
                {
                    "key_id": row.key_id,
                    "nonce": row.nonce.hex(),
                    "address_key": address.key,
                    "purpose": purpose,
                    "tenant_name": tenant_name,
                    "minutes": int(LIFE.total_seconds()) // 60,
                },
                now=now,
                domain=sender_domain,
                language=language,
            ),
        )
    return None


def tries_left(session: Session, address: Address, *, browser: str, purpose: str) -> int | None:
    """How many tries the live code still has; None when there is none."""
    row = session.get(Passcode, (keys.digest(browser), address.key, purpose))
    return None if row is None else row.tries_left


def check(
    session: Session, address: Address, typed: str, *, browser: str, purpose: str, now: datetime
) -> Invalid | None:
    """Try *typed*; None if it was right, and then it is used up. Else what to tell.

    The try is counted whatever comes of it, so the caller commits either way.
    """
    gone = Invalid("code", N_("That code is not valid any more. Send a new one."))
    row = session.get(Passcode, (keys.digest(browser), address.key, purpose), with_for_update=True)
    if row is None or row.tries_left <= 0 or row.expires_at <= now:
        return gone
    digits = re.sub(r"[\s-]", "", typed)
    try:
        right = links.keyring().passcode(row.key_id, row.nonce, address.key, purpose)
    except KeyError:
        return gone
    if digits.isascii() and hmac.compare_digest(digits, right):
        session.delete(row)
        return None
    row.tries_left -= 1
    if row.tries_left <= 0:
        return Invalid("code", N_("That was the last try. This code is void now; send a new one."))
    return Invalid("code", N_("That is not the code in the newest mail."))


def require(blocked: datetime | None) -> None:
    """Raise Throttled when `send` refused."""
    if blocked is not None:
        raise Throttled(N_("Too many codes were sent to this address."), until=blocked)


def purge(session: Session, now: datetime) -> None:
    """Delete codes that are over."""
    session.execute(delete(Passcode).where(Passcode.expires_at <= now))
