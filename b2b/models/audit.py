"""What was done: audit events and sign-ins. Both are only ever added to."""

import enum
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, BigInteger, ForeignKeyConstraint, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from b2b.models.base import Base, Id, UTCDateTime, enum_type


class ActorKind(enum.StrEnum):
    """Who can act."""

    USER = "user"
    APPLICATION = "application"
    SYSTEM = "system"


class AuditSequence(Base):
    """The last number given in a tenant. Its row lock makes sequence order commit order."""

    __tablename__ = "audit_sequences"
    __table_args__ = (ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),)

    tenant_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    last: Mapped[int] = mapped_column(BigInteger, default=0)


class AuditEvent(Base):
    """One change, written in the transaction that made it."""

    __tablename__ = "audit_events"
    __table_args__ = (
        Index("ix_audit_events_by_target", "tenant_id", "target_id", "sequence"),
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
        {"sqlite_with_rowid": False},
    )

    tenant_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    id: Mapped[UUID] = mapped_column(Id)
    at: Mapped[datetime] = mapped_column(UTCDateTime)
    activity: Mapped[str] = mapped_column(String(96))
    category: Mapped[str] = mapped_column(String(64))
    result: Mapped[str] = mapped_column(String(16), default="success")
    actor_kind: Mapped[ActorKind] = mapped_column(enum_type(ActorKind, 16))
    actor_id: Mapped[UUID | None] = mapped_column(Id)
    actor_name: Mapped[str] = mapped_column(String(256))
    target_type: Mapped[str | None] = mapped_column(String(32))
    target_id: Mapped[UUID | None] = mapped_column(Id)
    target_name: Mapped[str | None] = mapped_column(String(1024))
    changes: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    """A list of {"property", "before", "after"}."""
    detail: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    ip_address: Mapped[str | None] = mapped_column(String(45))
    correlation_id: Mapped[UUID] = mapped_column(Id)


class SignIn(Base):
    """One attempt to sign in, with the true reason of a refusal (the person may see a vaguer
    one).
    """

    __tablename__ = "sign_ins"
    __table_args__ = (
        Index("ix_sign_ins_of_user", "tenant_id", "user_id", "id"),
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
        {"sqlite_with_rowid": False},
    )

    tenant_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    at: Mapped[datetime] = mapped_column(UTCDateTime)
    user_id: Mapped[UUID | None] = mapped_column(Id)
    identity: Mapped[str] = mapped_column(String(320))
    """What was typed or proven, as a label."""
    method: Mapped[str] = mapped_column(String(32))
    application: Mapped[str] = mapped_column(String(256))
    app_id: Mapped[UUID | None] = mapped_column(Id)
    """The application's client id, where one signed in or was signed in to."""
    service_principal_id: Mapped[UUID | None] = mapped_column(Id)
    """Set where the application signed in by itself, without a person."""
    resource: Mapped[str | None] = mapped_column(String(256))
    """For which API an application got a token."""
    error_code: Mapped[int] = mapped_column(default=0)
    failure_reason: Mapped[str | None] = mapped_column(String(512))
    ip_address: Mapped[str | None] = mapped_column(String(45))
    user_agent: Mapped[str | None] = mapped_column(String(256))
    correlation_id: Mapped[UUID] = mapped_column(Id)
