"""Applications as a tenant sees them (service principals), their roles, and who is assigned."""

import enum
from datetime import datetime
from uuid import UUID

from sqlalchemy import JSON, ForeignKeyConstraint, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from b2b.models.base import Base, Id, UTCDateTime, enum_type, key_type

DEFAULT_ACCESS = UUID(int=0)
"""The role of an assignment to an application that has none (groups-apps-roles.md, section 2)."""


class Application(Base):
    """An app registration: how a program is known to the authorize and token endpoints."""

    __tablename__ = "applications"
    __table_args__ = (
        Index("uq_applications_app_id", "app_id", unique=True),
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
        {"sqlite_with_rowid": False},
    )

    tenant_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    app_id: Mapped[UUID] = mapped_column(Id)
    """The client id; one in the whole installation."""
    display_name: Mapped[str] = mapped_column(String(256))
    is_public: Mapped[bool] = mapped_column(default=True)
    """Has no secret, and must use PKCE."""
    redirect_uris: Mapped[list[str]] = mapped_column(JSON, default=list)
    """Compared character by character (threats.md, OIDC-1)."""
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)


class ServicePrincipal(Base):
    """An application in a tenant."""

    __tablename__ = "service_principals"
    __table_args__ = (
        Index("uq_service_principals_tenant_id_app_id", "tenant_id", "app_id", unique=True),
        Index("ix_service_principals_by_name", "tenant_id", "name_key", "id"),
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
        {"sqlite_with_rowid": False},
    )

    tenant_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    app_id: Mapped[UUID] = mapped_column(Id)
    display_name: Mapped[str] = mapped_column(String(256))
    name_key: Mapped[str] = mapped_column(key_type(1024))
    description: Mapped[str | None] = mapped_column(String(1024))
    sign_in_url: Mapped[str | None] = mapped_column(String(2048))
    assignment_required: Mapped[bool] = mapped_column(default=True)
    members_only: Mapped[bool] = mapped_column(default=False)
    """Guests cannot be assigned."""
    account_enabled: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)


class AppRole(Base):
    """A role that an application offers to people."""

    __tablename__ = "app_roles"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "service_principal_id"],
                             ["service_principals.tenant_id", "service_principals.id"],
                             ondelete="CASCADE"),
        {"sqlite_with_rowid": False},
    )  # fmt: skip

    tenant_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    service_principal_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    value: Mapped[str | None] = mapped_column(String(120))
    display_name: Mapped[str] = mapped_column(String(256))
    is_enabled: Mapped[bool] = mapped_column(default=True)


class PrincipalType(enum.StrEnum):
    """What an app role is assigned to."""

    USER = "User"
    GROUP = "Group"


class AppRoleAssignment(Base):
    """Somebody, or a group, may use an application; it puts a tile into My Apps."""

    __tablename__ = "app_role_assignments"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "service_principal_id"],
                             ["service_principals.tenant_id", "service_principals.id"],
                             ondelete="CASCADE"),
        Index("uq_app_role_assignments_grant", "tenant_id", "principal_id",
              "service_principal_id", "app_role_id", unique=True),
        Index("ix_app_role_assignments_of_app", "tenant_id", "service_principal_id", "id"),
        {"sqlite_with_rowid": False},
    )  # fmt: skip

    tenant_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    service_principal_id: Mapped[UUID] = mapped_column(Id)
    principal_id: Mapped[UUID] = mapped_column(Id)
    principal_type: Mapped[PrincipalType] = mapped_column(enum_type(PrincipalType, 32))
    app_role_id: Mapped[UUID] = mapped_column(Id, default=DEFAULT_ACCESS)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
