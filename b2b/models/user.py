"""People of a directory, members and guests alike, and how they sign in."""

import enum
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    JSON,
    ForeignKeyConstraint,
    Index,
    SmallInteger,
    String,
    literal_column,
    text,
    true,
)
from sqlalchemy.orm import Mapped, mapped_column

from b2b.models.base import (
    Base,
    Id,
    UTCDateTime,
    domain_of,
    enum_type,
    key_type,
    lower_ascii,
)


class UserType(enum.StrEnum):
    """Relation to the tenant; says nothing about how somebody signs in (users.md, section 3)."""

    MEMBER = "Member"
    GUEST = "Guest"


class ExternalUserState(enum.StrEnum):
    """Graph's externalUserState; None for people who were never invited."""

    PENDING_ACCEPTANCE = "PendingAcceptance"
    ACCEPTED = "Accepted"


class Source(enum.StrEnum):
    """Where somebody signs in, in the seeds' words (decisions.md, Source texts)."""

    INVITED_USER = "Invited user"
    EXTERNAL_DIRECTORY = "External Azure Active Directory"
    PERSONAL_ACCOUNT = "Microsoft Account"
    ON_PREMISES = "Windows Server Active Directory"
    THIS_DIRECTORY = "Azure Active Directory"
    PASSCODE = "Email one-time passcode"


class Provider(enum.StrEnum):
    """What kind of place proved an identity; the value is Graph's identities/issuer."""

    DIRECTORY = "ExternalAzureAD"
    PERSONAL = "MicrosoftAccount"
    PASSCODE = "mail"


def _found_by(column: str) -> Index:
    """What leads from a text, without regard to the case of A to Z, to those who have it.

    SQLite's tables cannot be copied by Alembic's batches without losing it: add columns plainly.
    """
    some = text(f"{column} IS NOT NULL")
    folded = lower_ascii(literal_column(column))
    return Index(f"ix_users_by_{column}", "tenant_id", folded, sqlite_where=some,
                 postgresql_where=some)  # fmt: skip


HAS_OTHER_MAILS = {"sqlite": "other_mails <> '[]'", "postgresql": "other_mails::text <> '[]'"}
"""Who has other addresses, as the index of the few that do says it."""


class User(Base):
    """One person in one directory. `facet` folds the few-valued columns into one indexable
    number.
    """

    __tablename__ = "users"
    __table_args__ = (
        Index("uq_users_tenant_id_upn_key", "tenant_id", "upn_key", unique=True,
              sqlite_where=text("deleted_at IS NULL"),
              postgresql_where=text("deleted_at IS NULL")),
        Index("uq_users_tenant_id_invited_key", "tenant_id", "invited_key", unique=True,
              sqlite_where=text("deleted_at IS NULL AND invited_key IS NOT NULL"),
              postgresql_where=text("deleted_at IS NULL AND invited_key IS NOT NULL")),
        Index("ix_users_by_name", "tenant_id", "facet", "name_key", "id"),
        Index("ix_users_by_mail", "tenant_id", "mail_key"),
        # Not whole: it leads to the people of a domain, never to everybody of a tenant.
        Index("ix_users_by_mail_domain", "tenant_id", domain_of(literal_column("mail_key")),
              sqlite_where=text("mail_key IS NOT NULL"),
              postgresql_where=text("mail_key IS NOT NULL")),
        Index("ix_users_by_having_other_mails", "tenant_id",
              sqlite_where=text(HAS_OTHER_MAILS["sqlite"]),
              postgresql_where=text(HAS_OTHER_MAILS["postgresql"])),
        Index("ix_users_of_manager", "tenant_id", "manager_id",
              sqlite_where=text("manager_id IS NOT NULL"),
              postgresql_where=text("manager_id IS NOT NULL")),
        Index("ix_users_in_order", "tenant_id", "name_key", "id",
              sqlite_where=text("deleted_at IS NULL"),
              postgresql_where=text("deleted_at IS NULL")),
        Index("ix_users_by_creation", "tenant_id", "created_at"),
        Index("ix_users_by_state_change", "tenant_id", "external_user_state_changed_at",
              sqlite_where=text("external_user_state_changed_at IS NOT NULL"),
              postgresql_where=text("external_user_state_changed_at IS NOT NULL")),
        *map(_found_by, (
            "given_name", "surname", "mail_nickname", "job_title", "department", "company_name",
            "city", "state", "country", "usage_location", "preferred_language", "creation_type",
        )),
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
        {"sqlite_with_rowid": False},
    )  # fmt: skip

    tenant_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    facet: Mapped[int] = mapped_column(SmallInteger)
    user_principal_name: Mapped[str] = mapped_column(String(1024))
    upn_key: Mapped[str] = mapped_column(key_type(1024))
    display_name: Mapped[str] = mapped_column(String(256))
    name_key: Mapped[str] = mapped_column(key_type(1024))
    given_name: Mapped[str | None] = mapped_column(String(64))
    surname: Mapped[str | None] = mapped_column(String(64))
    mail: Mapped[str | None] = mapped_column(String(320))
    mail_key: Mapped[str | None] = mapped_column(key_type(320))
    mail_nickname: Mapped[str | None] = mapped_column(String(400))
    other_mails: Mapped[list[str]] = mapped_column(JSON, default=list)
    invited_key: Mapped[str | None] = mapped_column(key_type(320))
    """The folded invited address: the natural key that makes twenty equal invitations one person.
    """
    user_type: Mapped[UserType] = mapped_column(enum_type(UserType, 16))
    creation_type: Mapped[str | None] = mapped_column(String(32))
    external_user_state: Mapped[ExternalUserState | None] = mapped_column(
        enum_type(ExternalUserState)
    )
    external_user_state_changed_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    source: Mapped[Source] = mapped_column(enum_type(Source))
    account_enabled: Mapped[bool] = mapped_column(default=True)
    on_premises_sync_enabled: Mapped[bool | None] = mapped_column(default=None)
    show_in_address_list: Mapped[bool | None] = mapped_column(default=None)
    company_name: Mapped[str | None] = mapped_column(String(64))
    department: Mapped[str | None] = mapped_column(String(128))
    job_title: Mapped[str | None] = mapped_column(String(128))
    mobile_phone: Mapped[str | None] = mapped_column(String(64))
    business_phones: Mapped[list[str]] = mapped_column(JSON, server_default="[]")
    office_location: Mapped[str | None] = mapped_column(String(128))
    street_address: Mapped[str | None] = mapped_column(String(1024))
    city: Mapped[str | None] = mapped_column(String(128))
    state: Mapped[str | None] = mapped_column(String(128))
    postal_code: Mapped[str | None] = mapped_column(String(40))
    country: Mapped[str | None] = mapped_column(String(128))
    employee_id: Mapped[str | None] = mapped_column(String(16))
    manager_id: Mapped[UUID | None] = mapped_column(Id)
    """Whom he reports to, in the same directory."""
    usage_location: Mapped[str | None] = mapped_column(String(2))
    preferred_language: Mapped[str | None] = mapped_column(String(16))
    profile_reviewed_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    """When a guest saw, and corrected or skipped, the profile that a sign-in filled in."""
    sessions_valid_from: Mapped[datetime | None] = mapped_column(UTCDateTime)
    last_sign_in_at: Mapped[datetime | None] = mapped_column(UTCDateTime)
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    deleted_at: Mapped[datetime | None] = mapped_column(UTCDateTime)

    @property
    def is_guest(self) -> bool:
        """Whether the tenant treats this person as an outsider."""
        return self.user_type is UserType.GUEST

    @property
    def is_pending(self) -> bool:
        """Invited and not redeemed."""
        return self.external_user_state is ExternalUserState.PENDING_ACCEPTANCE

    @property
    def has_no_account_yet(self) -> bool:
        """Invited, not redeemed, and without an account of this directory: nothing to sign in with.

        Somebody who is being converted goes on with his own until he accepts (decisions.md).
        """
        return self.is_pending and self.source is Source.INVITED_USER

    @property
    def may_sign_in(self) -> bool:
        """Neither blocked nor deleted."""
        return self.account_enabled and self.deleted_at is None


class UserFacet(Base):
    """The facets that occur in a tenant; a filter is a union of one ordered arm each (scale.md,
    1).
    """

    __tablename__ = "user_facets"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
        {"sqlite_with_rowid": False},
    )

    tenant_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    facet: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)


class UserToken(Base):
    """A folded word of somebody's name, mail or UPN: search as you type is a range over these.

    The words follow from the person's columns, so a change knows which rows to take away.
    """

    __tablename__ = "user_tokens"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id"], ["tenants.id"]),
        # Has this person another word that begins so? Ids rise, so a new person's words go to one
        # page at the index's end.
        Index("ix_user_tokens_of_user", "tenant_id", "user_id", "token"),
        {"sqlite_with_rowid": False},
    )

    tenant_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    token: Mapped[str] = mapped_column(key_type(64), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    in_name: Mapped[bool] = mapped_column(default=True, server_default=true())
    """Whether the display name has it, and not an address alone."""


class ProxyAddress(Base):
    """A further address of somebody, beside `mail`: nobody else gets it as mail (users.md)."""

    __tablename__ = "proxy_addresses"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "user_id"], ["users.tenant_id", "users.id"],
                             ondelete="CASCADE"),
        Index("ix_proxy_addresses_of_user", "tenant_id", "user_id"),
        {"sqlite_with_rowid": False},
    )  # fmt: skip

    tenant_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    address_key: Mapped[str] = mapped_column(key_type(320), primary_key=True)
    address: Mapped[str] = mapped_column(String(320))
    user_id: Mapped[UUID] = mapped_column(Id)


class SponsorType(enum.StrEnum):
    """What can answer for a guest."""

    USER = "User"
    GROUP = "Group"


class Sponsor(Base):
    """Who answers for a guest: at first whoever invited, at most five (invitations.md, 1)."""

    __tablename__ = "sponsors"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "user_id"], ["users.tenant_id", "users.id"],
                             ondelete="CASCADE"),
        {"sqlite_with_rowid": False},
    )  # fmt: skip

    tenant_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    sponsor_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    sponsor_type: Mapped[SponsorType] = mapped_column(enum_type(SponsorType, 16))


class Identity(Base):
    """The account elsewhere that a guest redeemed with: (issuer, subject) and nothing else is the
    key.

    `issuer` is the home tenant's id for directories hosted here, `mail` for passcodes, else a URI.
    """

    __tablename__ = "identities"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "user_id"], ["users.tenant_id", "users.id"],
                             ondelete="CASCADE"),
        Index("uq_identities_tenant_id_user_id", "tenant_id", "user_id", unique=True),
        # Which tenants know this account: the one look-up that crosses tenants, for the switcher.
        Index("ix_identities_everywhere", "issuer", "subject"),
        Index("ix_identities_by_label", "tenant_id", lower_ascii(literal_column("label"))),
        {"sqlite_with_rowid": False},
    )  # fmt: skip

    tenant_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    issuer: Mapped[str] = mapped_column(String(512), primary_key=True)
    subject: Mapped[str] = mapped_column(String(320), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Id)
    provider: Mapped[Provider] = mapped_column(enum_type(Provider))
    label: Mapped[str] = mapped_column(String(320))
    bound_at: Mapped[datetime] = mapped_column(UTCDateTime)


class Password(Base):
    """The memory-hard hash of a password that this installation itself checks."""

    __tablename__ = "passwords"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "user_id"], ["users.tenant_id", "users.id"],
                             ondelete="CASCADE"),
        {"sqlite_with_rowid": False},
    )  # fmt: skip

    tenant_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    hash: Mapped[str] = mapped_column(String(256))
    changed_at: Mapped[datetime] = mapped_column(UTCDateTime)


class LicenseAssignment(Base):
    """A licence that somebody has, by the id of what was bought (Graph's skuId)."""

    __tablename__ = "license_assignments"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "user_id"], ["users.tenant_id", "users.id"],
                             ondelete="CASCADE"),
        Index("ix_license_assignments_by_sku", "tenant_id", "sku_id"),
        {"sqlite_with_rowid": False},
    )  # fmt: skip

    tenant_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    sku_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    disabled_plans: Mapped[list[str]] = mapped_column(JSON, default=list)
    assigned_at: Mapped[datetime] = mapped_column(UTCDateTime)
