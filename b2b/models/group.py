"""Groups and who is in them."""

import enum
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, ForeignKeyConstraint, Index, String, false, true
from sqlalchemy.orm import Mapped, mapped_column

from b2b.models.base import Base, Id, UTCDateTime, enum_type, key_type


class OwnedType(enum.StrEnum):
    """What can have owners."""

    GROUP = "Group"
    SERVICE_PRINCIPAL = "ServicePrincipal"


class Group(Base):
    """A security group. One with a membership rule is dynamic: nobody is added to it by hand."""

    __tablename__ = "groups"
    __table_args__ = (
        Index("ix_groups_by_name", "tenant_id", "name_key", "id"),
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
        {"sqlite_with_rowid": False},
    )

    tenant_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    display_name: Mapped[str] = mapped_column(String(256))
    name_key: Mapped[str] = mapped_column(key_type(1024))
    description: Mapped[str | None] = mapped_column(String(1024))
    mail_nickname: Mapped[str | None] = mapped_column(String(64))
    is_unified: Mapped[bool] = mapped_column(default=False, server_default=false())
    """A Microsoft 365 group: it has a mailbox elsewhere, and can be restored when deleted."""
    security_enabled: Mapped[bool] = mapped_column(default=True, server_default=true())
    visibility: Mapped[str | None] = mapped_column(String(32))
    """Public, Private or HiddenMembership, of a Microsoft 365 group."""
    membership_rule: Mapped[str | None] = mapped_column(String(3072))
    on_premises_sync_enabled: Mapped[bool | None] = mapped_column(default=None)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)

    @property
    def takes_guests(self) -> bool:
        """Whether somebody can be put in by hand (groups-apps-roles.md, section 1)."""
        return self.membership_rule is None and not self.on_premises_sync_enabled


class Membership(Base):
    """A person in a group."""

    __tablename__ = "memberships"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "group_id"], ["groups.tenant_id", "groups.id"],
                             ondelete="CASCADE"),
        ForeignKeyConstraint(["tenant_id", "user_id"], ["users.tenant_id", "users.id"],
                             ondelete="CASCADE"),
        Index("ix_memberships_of_user", "tenant_id", "user_id", "group_id"),
        Index("ix_memberships_by_name", "tenant_id", "group_id", "name_key", "user_id"),
        {"sqlite_with_rowid": False},
    )  # fmt: skip

    tenant_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    group_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    name_key: Mapped[str] = mapped_column(key_type(1024))
    added_at: Mapped[datetime] = mapped_column(UTCDateTime)


class Owner(Base):
    """Somebody who looks after a group or an application, and may invite people to it."""

    __tablename__ = "owners"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "user_id"], ["users.tenant_id", "users.id"],
                             ondelete="CASCADE"),
        Index("ix_owners_of_user", "tenant_id", "user_id", "owned_type", "owned_id"),
        {"sqlite_with_rowid": False},
    )  # fmt: skip

    tenant_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    owned_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    owned_type: Mapped[OwnedType] = mapped_column(enum_type(OwnedType, 32))


class DeletedGroup(Base):
    """A Microsoft 365 group that was deleted, with all that a restore brings back."""

    __tablename__ = "deleted_groups"
    __table_args__ = (
        Index("ix_deleted_groups_by_name", "tenant_id", "name_key", "id"),
        Index("ix_deleted_groups_by_time", "deleted_at"),
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
        {"sqlite_with_rowid": False},
    )

    tenant_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    display_name: Mapped[str] = mapped_column(String(256))
    name_key: Mapped[str] = mapped_column(key_type(1024))
    kept: Mapped[dict[str, Any]] = mapped_column(JSON)
    """Its other columns, and ids of members, owners and applications."""
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    deleted_at: Mapped[datetime] = mapped_column(UTCDateTime)
