"""Requests that make something are answered once: sent again with the same id, they name the same
thing (decisions.md, idempotency).
"""

import hashlib
import json
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete

from b2b.models import CreationRequest, Made
from b2b.services import audit
from b2b.web.graph.calls import Call, GraphError

REMEMBERED = timedelta(hours=1)


def _keys(call: Call) -> tuple[bytes, bytes] | None:
    """What the request is known by, and the hash of its body; None for one without an id.

    Clients use one `client-request-id` for several requests, so the body belongs to it; an
    `Idempotency-Key` is for one body.
    """
    named = call.headers.get("idempotency-key", "").strip()
    correlated = call.headers.get("client-request-id", "").strip()
    if not named and not correlated:
        return None
    body = hashlib.sha256(json.dumps(call.body(), sort_keys=True).encode()).digest()
    parts = [
        str(call.actor.tenant_id),
        str(call.actor.client_id),
        str(call.actor.user_id),
        call.method,
        call.path.strip("/").lower(),
        f"key {named}" if named else f"id {correlated} {body.hex()}",
    ]
    return hashlib.sha256("\x1f".join(parts).encode()).digest(), body


def known(call: Call, made: Made) -> UUID | None:
    """What this very request has made before. Raises GraphError (422) for a key that came with
    another body.
    """
    keys = _keys(call)
    if keys is None:
        return None
    audit.lock(call.session, call.actor.tenant_id)
    row = call.session.get(CreationRequest, keys[0], populate_existing=True)
    if row is None:
        return None
    if row.expires_at <= call.now:
        call.session.execute(delete(CreationRequest).where(CreationRequest.key_hash == keys[0]))
        call.session.expunge(row)
        return None
    if row.body_hash != keys[1] or row.made is not made:
        raise GraphError(
            422, "UnprocessableEntity", "This Idempotency-Key came with another body before."
        )
    return row.made_id


def remember(call: Call, made: Made, made_id: UUID) -> None:
    """Keep what this request has made."""
    keys = _keys(call)
    if keys is not None:
        call.session.add(
            CreationRequest(
                key_hash=keys[0],
                tenant_id=call.actor.tenant_id,
                body_hash=keys[1],
                made=made,
                made_id=made_id,
                expires_at=call.now + REMEMBERED,
            )
        )
        call.session.flush()
