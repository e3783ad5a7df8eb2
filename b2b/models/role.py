"""Directory roles and who holds them."""

import enum
from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from b2b.models.base import Base, Id, UTCDateTime, enum_type


class Role(enum.StrEnum):
    """Built-in directory roles; the value is Graph's role template id (groups-apps-roles.md, 3)."""

    GLOBAL_ADMINISTRATOR = "62e90394-69f5-4237-9190-012177145e10"
    USER_ADMINISTRATOR = "fe930be7-5e62-47db-91af-98c3a49a38b1"
    GUEST_INVITER = "95e79109-95c0-4d8e-aee3-d01accf2d47b"
    HELPDESK_ADMINISTRATOR = "729827e3-9c14-49f7-bb1b-9608f156bbb8"
    GLOBAL_READER = "f2ef992c-3afb-46b9-b7cf-a126ee74c451"
    APPLICATION_ADMINISTRATOR = "9b895d92-2cd3-44c7-9d02-a6ac2d5ea5c3"
    CLOUD_APPLICATION_ADMINISTRATOR = "158c047a-c907-4556-b7ef-446551a6b5f7"

    @property
    def display_name(self) -> str:
        """The role's published name."""
        return self.name.replace("_", " ").title()


class DirectoryRoleAssignment(Base):
    """Somebody holds a directory role."""

    __tablename__ = "directory_role_assignments"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "user_id"], ["users.tenant_id", "users.id"],
                             ondelete="CASCADE"),
        {"sqlite_with_rowid": False},
    )  # fmt: skip

    tenant_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    role: Mapped[Role] = mapped_column(enum_type(Role, 36), primary_key=True)
    assigned_at: Mapped[datetime] = mapped_column(UTCDateTime)
