"""Many real invitations through the one door, for the benches that need them."""

import time
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from b2b import worker
from b2b.actor import Actor
from b2b.models import Tenant, User
from b2b.services import invitations, roles

AT_ONCE = 50
"""Invitations in one transaction, as the form takes them."""


def as_john(session: Session) -> Actor:
    """John Doe of the demo's WoodGrove, now."""
    john = session.scalars(select(User).where(User.display_name == "John Doe")).first()
    assert john is not None
    tenant = session.get_one(Tenant, john.tenant_id)
    return Actor(
        tenant.id,
        tenant.display_name,
        tenant.primary_domain,
        now=datetime.now(UTC),
        user_id=john.id,
        display_name=john.display_name,
        user_principal_name=john.user_principal_name,
        mail=john.mail,
        roles=roles.of_user(session, tenant.id, john.id),
    )


def invite(count: int, **facts: Any) -> float:
    """So many pending guests of WoodGrove, invited by John Doe; the seconds that it took."""
    begun = time.monotonic()
    for first in range(0, count, AT_ONCE):
        with worker.transaction() as session:
            invitations.invite_many(
                session,
                as_john(session),
                addresses_text=[
                    f"guest-{number:06}@partner.example"
                    for number in range(first, min(first + AT_ONCE, count))
                ],
                message="Hi, the drawings for the Harbour Street site are ready.",
                **facts,
            )
    return time.monotonic() - begun
