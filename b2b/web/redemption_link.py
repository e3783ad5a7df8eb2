"""Which invitation this browser has come with: only the hash of its secret is kept, in the
session.
"""

from uuid import UUID

from flask import g, session

from b2b import links
from b2b.extensions import db
from b2b.services import redemption
from b2b.services.redemption import Opened
from b2b.web import context


def remember(ticket: links.Ticket, language: str | None) -> None:
    """Keep the link for this browser, so that its secret can leave the address bar (RED-6)."""
    session["redeem"] = {
        "tenant": str(ticket.tenant_id),
        "invitation": str(ticket.invitation_id),
        "hash": redemption.hash_of(ticket.secret).hex(),
        "language": language,
    }


def forget() -> None:
    """This browser is done with its invitation."""
    session.pop("redeem", None)


def opened_here() -> Opened | None:
    """The invitation of this browser as it stands now; read once a request."""
    if "opened" not in g:
        g.opened = read()
    found: Opened | None = g.opened
    return found


def read() -> Opened | None:
    """As `opened_here`, read anew: inside a writing transaction, for instance."""
    kept = session.get("redeem")
    if not kept:
        return None
    return redemption.open_link(
        db.session(),
        UUID(kept["tenant"]),
        UUID(kept["invitation"]),
        bytes.fromhex(kept["hash"]),
        now=context.now(),
    )
