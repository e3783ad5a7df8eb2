"""Tenants, their domains, and what each has decided about working with outsiders."""

import enum
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from b2b.models.base import Base, Id, UTCDateTime, enum_type


class TenantKind(enum.StrEnum):
    """An organisation has admins and guests; the consumer directory holds personal accounts."""

    ORGANISATION = "organisation"
    CONSUMER = "consumer"


class InvitationLayout(enum.StrEnum):
    """Which of the two historical letters a tenant sends (mail.md, section 1)."""

    CLASSIC = "classic"
    """The one of 2017, with *Get Started*."""
    CURRENT = "current"
    """The later one, with *Accept invitation* and a warning first."""


class Tenant(Base):
    """An organisation with a directory of its own."""

    __tablename__ = "tenants"

    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    kind: Mapped[TenantKind] = mapped_column(enum_type(TenantKind))
    display_name: Mapped[str] = mapped_column(String(256))
    initial_domain: Mapped[str] = mapped_column(String(253))
    primary_domain: Mapped[str] = mapped_column(String(253))
    notification_language: Mapped[str | None] = mapped_column(String(16))
    privacy_url: Mapped[str | None] = mapped_column(String(2048))
    privacy_contact: Mapped[str | None] = mapped_column(String(320))
    technical_contact: Mapped[str | None] = mapped_column(String(320))
    invitation_layout: Mapped[InvitationLayout] = mapped_column(
        enum_type(InvitationLayout, 16), default=InvitationLayout.CLASSIC
    )
    branding: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)


class Domain(Base):
    """A domain name that a tenant has; verified by one tenant only (decisions.md, who may
    redeem).
    """

    __tablename__ = "domains"
    __table_args__ = (
        Index("uq_domains_name_verified", "name", unique=True,
              sqlite_where=text("verified_at IS NOT NULL"),
              postgresql_where=text("verified_at IS NOT NULL")),
    )  # fmt: skip

    tenant_id: Mapped[UUID] = mapped_column(Id, ForeignKey("tenants.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(253), primary_key=True)
    verified_at: Mapped[datetime | None] = mapped_column(UTCDateTime)


class AllowInvitesFrom(enum.StrEnum):
    """Who may invite (groups-apps-roles.md, section 4)."""

    NONE = "none"
    ADMINS_AND_GUEST_INVITERS = "adminsAndGuestInviters"
    ADMINS_GUEST_INVITERS_AND_ALL_MEMBERS = "adminsGuestInvitersAndAllMembers"
    EVERYONE = "everyone"


class DomainList(enum.StrEnum):
    """Either a list of allowed or of blocked domains, never both (groups-apps-roles.md, section
    6).
    """

    OFF = "off"
    ALLOW = "allow"
    BLOCK = "block"


class LandingPages(enum.StrEnum):
    """Which hosts an invitation may lead to (decisions.md, landing page)."""

    ANY_HTTPS = "anyHttps"
    LISTED = "listed"


class GuestAccess(enum.StrEnum):
    """What guests see of the directory (groups-apps-roles.md, sections 4 and 5)."""

    SAME_AS_MEMBERS = "sameAsMembers"
    LIMITED = "limited"
    RESTRICTED = "restricted"


class TenantPolicy(Base):
    """External collaboration settings: one row a tenant."""

    __tablename__ = "tenant_policies"

    tenant_id: Mapped[UUID] = mapped_column(Id, ForeignKey("tenants.id"), primary_key=True)
    allow_invites_from: Mapped[AllowInvitesFrom] = mapped_column(
        enum_type(AllowInvitesFrom), default=AllowInvitesFrom.EVERYONE
    )
    domain_list: Mapped[DomainList] = mapped_column(enum_type(DomainList), default=DomainList.OFF)
    domains: Mapped[list[str]] = mapped_column(JSON, default=list)
    landing_pages: Mapped[LandingPages] = mapped_column(
        enum_type(LandingPages), default=LandingPages.ANY_HTTPS
    )
    landing_hosts: Mapped[list[str]] = mapped_column(JSON, default=list)
    invitation_days: Mapped[int | None] = mapped_column(default=30)
    """Life of an invitation in days; None is *never expires*."""
    guest_access: Mapped[GuestAccess] = mapped_column(
        enum_type(GuestAccess, 16), default=GuestAccess.LIMITED
    )
    guests_may_leave: Mapped[bool] = mapped_column(default=True)
    keep_typed_names: Mapped[bool] = mapped_column(default=False)
    drop_unsigned_messages: Mapped[bool] = mapped_column(default=False)
    """As the real service: a message whose inviter has no mail address, or is an application, is
    left out of the letter (decisions.md, custom message).
    """
    password_grant: Mapped[bool] = mapped_column(default=False)
    """Applications may pass on names and passwords (threats.md, OIDC-2)."""
    device_code_grant: Mapped[bool] = mapped_column(default=True)
    """People may sign in for another device (threats.md, OIDC-7)."""
    proof_key_required: Mapped[bool] = mapped_column(default=False)
    """PKCE of every application, also of those with a secret."""
    users_may_consent: Mapped[bool] = mapped_column(default=True)
    """Members may allow applications what needs no administrator."""
