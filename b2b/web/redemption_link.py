"""Which invitation this browser has come with: only the hash of its secret is kept, in the
session.
"""

from uuid import UUID

from flask import g, session

from b2b import links
from b2b.extensions import db
from b2b.services import redemption
from b2b.services.redemption import Opened
from b2b.services.sign_in import Method
from b2b.web import context


def remember(ticket: links.Ticket, language: str | None) -> None:
    """Keep the link for this browser, so that its secret can leave the address bar (RED-6)."""
    session["redeem"] = {
        "tenant": str(ticket.tenant_id),
        "invitation": str(ticket.invitation_id),
        "hash": redemption.hash_of(ticket.secret).hex(),
        "language": language,
    }


def remember_direct(opened: Opened, way_on: str) -> None:
    """Keep an invitation that a direct link has led its person to; *way_on* is what he wanted."""
    session["redeem"] = {
        "tenant": str(opened.tenant.id),
        "invitation": str(opened.invitation.id),
        "hash": opened.invitation.ticket_hash.hex(),
        "language": opened.invitation.language,
        "way_on": way_on,
    }
    g.pop("opened", None)


def direct_way_on() -> str | None:
    """Where the person of a direct link wanted to go; None for the link of a mail."""
    kept: dict[str, str] = session.get("redeem") or {}
    return kept.get("way_on")


def pick(method: Method) -> None:
    """Remember how this browser's person would rather sign in."""
    session["redeem"] = {**session["redeem"], "method": str(method)}


def picked() -> Method | None:
    """How this browser's person would rather sign in than proposed."""
    kept = (session.get("redeem") or {}).get("method")
    return Method(kept) if kept in set(Method) else None


def forget() -> None:
    """This browser is done with its invitation."""
    session.pop("redeem", None)


def opened_here() -> Opened | None:
    """The invitation of this browser as it stands now; read once a request."""
    if "opened" not in g:
        g.opened = read()
    found: Opened | None = g.opened
    return found


def read(*, lock: bool = False) -> Opened | None:
    """As `opened_here`, read anew; with *lock*, in a transaction that writes, it stays true."""
    kept = session.get("redeem")
    if not kept:
        return None
    return redemption.open_link(
        db.session(),
        UUID(kept["tenant"]),
        UUID(kept["invitation"]),
        bytes.fromhex(kept["hash"]),
        now=context.now(),
        lock=lock,
    )
