"""Who wants no more invitations, and from whom (mail.md, section 5).

The link in a mail blocks, and nothing else: it proves only that somebody has the mail. Whoever
wants to see what is blocked, or to allow it again, proves the address by a code.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, exists, select
from sqlalchemy.orm import Session

from b2b import links
from b2b.actor import Actor
from b2b.errors import N_, Conflict, NotFound
from b2b.models import Invitation, MailRefusal, Tenant, User
from b2b.services import addresses, audit
from b2b.services.addresses import Address
from b2b.services.audit import Activity, Entry

MOST_SHOWN = 200


@dataclass(frozen=True)
class Link:
    """What a good link is about."""

    tenant: Tenant
    address: Address
    user_id: UUID
    blocked_at: datetime | None
    """Since when, if it was used already."""


@dataclass(frozen=True)
class Blocked:
    """One organisation that an address has blocked."""

    tenant_id: UUID
    display_name: str
    primary_domain: str
    since: datetime


def of_link(session: Session, tenant_id: UUID, invitation_id: UUID, secret: str) -> Link:
    """What a link of a letter is about; looking changes nothing.

    Raises NotFound for a link that was altered, and where the invitation is gone.
    """
    unknown = NotFound(N_("This link was altered, or its invitation is gone."))
    if not links.keyring().is_refusal(secret, tenant_id, invitation_id):
        raise unknown
    invitation = session.get(Invitation, (tenant_id, invitation_id))
    if invitation is None:
        raise unknown
    address = addresses.parse(invitation.invited_address, rules="rfc")
    refusal = session.get(MailRefusal, (tenant_id, address.key))
    return Link(
        session.get_one(Tenant, tenant_id),
        address,
        invitation.user_id,
        refusal.refused_at if refusal else None,
    )


def block(session: Session, link: Link, *, now: datetime, ip_address: str | None) -> None:
    """Let the organisation send no more invitations to the address. Once is as good as twice."""
    audit.lock(session, link.tenant.id)
    key = (link.tenant.id, link.address.key)
    if session.get(MailRefusal, key, populate_existing=True) is not None:
        return
    session.add(MailRefusal(tenant_id=key[0], address_key=key[1], refused_at=now))
    session.flush()
    # The mail may have been passed on: its link does not say who used it.
    actor = _somebody(link.tenant, "Link in the invitation mail", now, ip_address)
    entry = Entry(Activity.UNSUBSCRIBE, "User", link.user_id, link.address.text)
    audit.record(session, actor, entry)


def blocked_by(session: Session, address: Address) -> Sequence[Blocked]:
    """The organisations that *address* has blocked, by name; at most MOST_SHOWN.

    It crosses tenants by design: the list belongs to whoever has proven the address.
    """
    rows = session.execute(
        select(Tenant.id, Tenant.display_name, Tenant.primary_domain, MailRefusal.refused_at)
        .join(Tenant, Tenant.id == MailRefusal.tenant_id)
        .where(MailRefusal.address_key == address.key)
        .order_by(Tenant.display_name, Tenant.id)
        .limit(MOST_SHOWN)
    )
    return [Blocked(*row) for row in rows]


def has_blocked(session: Session, address: Address) -> bool:
    """Whether *address* has blocked anybody."""
    return bool(
        session.execute(select(exists().where(MailRefusal.address_key == address.key))).scalar_one()
    )


def allow(
    session: Session,
    address: Address,
    tenant_id: UUID,
    *,
    now: datetime,
    ip_address: str | None,
) -> str | None:
    """Take invitations from an organisation again; its name, or None if it was not blocked.

    The caller has seen *address* proven in this browser.
    """
    tenant = session.get(Tenant, tenant_id)
    if tenant is None:
        return None
    audit.lock(session, tenant_id)
    gone = session.execute(
        delete(MailRefusal).where(
            MailRefusal.tenant_id == tenant_id, MailRefusal.address_key == address.key
        )
    )
    if not gone.rowcount:  # type: ignore[attr-defined]
        return None
    user_id = session.scalars(
        select(User.id)
        .where(User.tenant_id == tenant_id, User.invited_key == address.key)
        .order_by(User.id.desc())
        .limit(1)
    ).one_or_none()
    actor = _somebody(tenant, address.text, now, ip_address)
    audit.record(session, actor, Entry(Activity.SUBSCRIBE, "User", user_id, address.text))
    return tenant.display_name


def unwanted(session: Session, tenant_id: UUID, wanted: Sequence[Address]) -> dict[str, Conflict]:
    """Who of *wanted* takes no invitations from the tenant, by key, each with the reason."""
    blocking = session.scalars(
        select(MailRefusal.address_key).where(
            MailRefusal.tenant_id == tenant_id,
            MailRefusal.address_key.in_([address.key for address in wanted]),
        )
    ).all()
    return {
        address.key: Conflict(
            N_(
                "%(address)s has blocked invitations from this organisation. Copy the link and "
                "pass it on another way, or ask them to allow invitations again."
            ),
            address=address.text,
        )
        for address in wanted
        if address.key in blocking
    }


def require_wanted(session: Session, tenant_id: UUID, address: Address) -> None:
    """Raise Conflict when *address* wants no invitations from the tenant."""
    for refusal in unwanted(session, tenant_id, [address]).values():
        raise refusal


def _somebody(tenant: Tenant, label: str, now: datetime, ip_address: str | None) -> Actor:
    return Actor(
        tenant_id=tenant.id,
        tenant_name=tenant.display_name,
        tenant_domain=tenant.primary_domain,
        now=now,
        display_name=label,
        is_guest=True,
        ip_address=ip_address,
    )
