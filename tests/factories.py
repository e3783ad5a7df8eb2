"""Plain functions that put things into a test's database by the very services that pages call."""

from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from b2b import links
from b2b.actor import ExternalIdentity
from b2b.models import DirectoryRoleAssignment, Invitation, Role, TenantPolicy, User
from b2b.services import addresses, invitations, redemption, sign_in
from b2b.services.invitations import Invited
from b2b.services.redemption import Opened
from tests.cast import Cast, acting

SAM = "gsamoogle@gmail.com"


def invite(
    session: Session, cast: Cast, now: datetime, address: str = SAM, **facts: Any
) -> Invited:
    """John Doe invites somebody to WoodGrove."""
    john = acting(session, cast.woodgrove, cast.john, now)
    return invitations.invite(session, john, address=address, **facts)


def invitation_of(session: Session, tenant_id: UUID, user_id: UUID) -> Invitation:
    """The one invitation of somebody, read anew."""
    return session.execute(
        select(Invitation)
        .where(Invitation.tenant_id == tenant_id, Invitation.user_id == user_id)
        .execution_options(populate_existing=True)
    ).scalar_one()


def link_of(session: Session, tenant_id: UUID, user_id: UUID) -> str:
    """The link as it is mailed now."""
    found = invitation_of(session, tenant_id, user_id)
    return links.redeem_url(tenant_id, found.id, found.version, found.key_id)


def rd_of(link: str) -> str:
    """The inner link."""
    return parse_qs(urlsplit(link).query)["rd"][0]


def open_link(session: Session, link: str, now: datetime) -> Opened | None:
    """What the link leads to."""
    ticket = links.parse_redeem(rd_of(link))
    assert ticket is not None
    return redemption.open_link(
        session,
        ticket.tenant_id,
        ticket.invitation_id,
        redemption.hash_of(ticket.secret),
        now=now,
    )


def by_code(address: str) -> ExternalIdentity:
    """The identity of somebody who typed the code mailed to *address*."""
    return sign_in.identity_by_code(addresses.parse(address, rules="rfc"))


def hosted(session: Session, sign_in_name: str) -> ExternalIdentity:
    """The identity of somebody who signed in with an account hosted here."""
    account = sign_in.account_of(session, addresses.parse(sign_in_name, rules="rfc"))
    assert account is not None
    return sign_in.identity_for(account)


def accept(
    session: Session,
    cast: Cast,
    invited: Invited,
    now: datetime,
    identity: ExternalIdentity | None = None,
) -> User:
    """The invited person accepts, by a mailed code unless *identity* says otherwise."""
    opened = open_link(session, link_of(session, cast.woodgrove, invited.user_id), now)
    assert opened is not None
    return redemption.accept(
        session,
        redemption.acting(opened, now=now),
        opened,
        identity or by_code(invited.address.wire),
    )


def give_role(session: Session, tenant_id: UUID, user_id: UUID, role: Role, now: datetime) -> None:
    """Somebody gets a directory role."""
    session.add(
        DirectoryRoleAssignment(tenant_id=tenant_id, user_id=user_id, role=role, assigned_at=now)
    )
    session.flush()


def set_policy(session: Session, tenant_id: UUID, **columns: Any) -> None:
    """Change external collaboration settings."""
    session.execute(
        update(TenantPolicy).where(TenantPolicy.tenant_id == tenant_id).values(**columns)
    )
    session.expire_all()
