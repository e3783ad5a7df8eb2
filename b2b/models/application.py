"""Applications as a tenant sees them (service principals), their roles, and who is assigned."""

import enum
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, ForeignKeyConstraint, Index, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from b2b.models.base import Base, Id, UTCDateTime, enum_type, key_type

DEFAULT_ACCESS = UUID(int=0)
"""The role of an assignment to an application that has none (groups-apps-roles.md, section 2)."""


class Audience(enum.StrEnum):
    """Graph's signInAudience: whose people may sign in to an application."""

    THIS_ORGANISATION = "AzureADMyOrg"
    ORGANISATIONS = "AzureADMultipleOrgs"
    ORGANISATIONS_AND_PERSONAL = "AzureADandPersonalMicrosoftAccount"
    PERSONAL = "PersonalMicrosoftAccount"

    @property
    def takes_organisations(self) -> bool:
        """Whether people of other organisations may sign in."""
        return self in (Audience.ORGANISATIONS, Audience.ORGANISATIONS_AND_PERSONAL)

    @property
    def takes_personal(self) -> bool:
        """Whether personal accounts may sign in with their own directory."""
        return self in (Audience.PERSONAL, Audience.ORGANISATIONS_AND_PERSONAL)


class Platform(enum.StrEnum):
    """What kind of program waits at a redirect URI."""

    WEB = "web"
    """On a server; it proves who it is with a secret or a certificate."""
    SPA = "spa"
    """A script in a browser: PKCE, no secret, calls from its own origin, tokens for a day."""
    PUBLIC = "publicClient"
    """On somebody's device: PKCE, no secret."""


class GroupClaims(enum.StrEnum):
    """Graph's groupMembershipClaims: what the claim `groups` holds."""

    NONE = "None"
    SECURITY = "SecurityGroup"
    ROLES = "DirectoryRole"
    ALL = "All"


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
    is_public: Mapped[bool] = mapped_column(default=False)
    """Graph's isFallbackPublicClient: without a redirect URI (device code, password, refresh) it
    may come without a secret.
    """
    redirect_uris: Mapped[list[str]] = mapped_column(JSON, default=list)
    """Of the platform *web*; like the others compared character by character (threats.md,
    OIDC-1).
    """
    spa_redirect_uris: Mapped[list[str]] = mapped_column(JSON, default=list)
    public_redirect_uris: Mapped[list[str]] = mapped_column(JSON, default=list)
    sign_in_audience: Mapped[Audience] = mapped_column(
        enum_type(Audience), default=Audience.THIS_ORGANISATION
    )
    issues_id_tokens: Mapped[bool] = mapped_column(default=False)
    """Graph's enableIdTokenIssuance: ID tokens from the authorize endpoint."""
    issues_access_tokens: Mapped[bool] = mapped_column(default=False)
    """Graph's enableAccessTokenIssuance. Kept for its readers; the authorize endpoint never gives
    access tokens (decisions.md, response types).
    """
    requires_proof_key: Mapped[bool] = mapped_column(default=False)
    """PKCE also where it proves who it is with a secret."""
    access_token_version: Mapped[int | None] = mapped_column(default=None)
    """Graph's requestedAccessTokenVersion, for tokens to its own API: None or 1, or 2."""
    token_seconds: Mapped[int | None] = mapped_column(default=None)
    """Life of its access and ID tokens; None is the installation's hour."""
    optional_claims: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    """Graph's optionalClaims: lists of {"name", "additionalProperties"} under idToken and
    accessToken.
    """
    group_claims: Mapped[GroupClaims] = mapped_column(
        enum_type(GroupClaims, 16), default=GroupClaims.NONE
    )
    required_access: Mapped[list[dict[str, Any]]] = mapped_column(JSON, default=list)
    """Graph's requiredResourceAccess: what administrators are asked to consent to."""
    verified_publisher: Mapped[str | None] = mapped_column(String(256))
    logout_url: Mapped[str | None] = mapped_column(String(2048))
    """Graph's web.logoutUrl: shown in a frame when somebody signs out, so that it signs him out."""
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)

    def redirects_of(self, platform: Platform) -> list[str]:
        """The redirect URIs of one platform."""
        return {
            Platform.WEB: self.redirect_uris,
            Platform.SPA: self.spa_redirect_uris,
            Platform.PUBLIC: self.public_redirect_uris,
        }[platform]


class IdentifierUri(Base):
    """What other programs call an application's API, such as api://…: one in the whole
    installation.
    """

    __tablename__ = "identifier_uris"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "application_id"],
                             ["applications.tenant_id", "applications.id"], ondelete="CASCADE"),
        Index("ix_identifier_uris_of_app", "tenant_id", "application_id"),
    )  # fmt: skip

    uri: Mapped[str] = mapped_column(String(255), primary_key=True)
    tenant_id: Mapped[UUID] = mapped_column(Id)
    application_id: Mapped[UUID] = mapped_column(Id)


class CredentialKind(enum.StrEnum):
    """How an application proves who it is."""

    SECRET = "secret"
    CERTIFICATE = "certificate"


class ApplicationCredential(Base):
    """A secret or a certificate of an app registration, by its key id."""

    __tablename__ = "application_credentials"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "application_id"],
                             ["applications.tenant_id", "applications.id"],
                             name="fk_application_credentials_application", ondelete="CASCADE"),
        Index("ix_application_credentials_of_app", "tenant_id", "application_id", "id"),
        {"sqlite_with_rowid": False},
    )  # fmt: skip

    tenant_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    """Graph's keyId."""
    application_id: Mapped[UUID] = mapped_column(Id)
    kind: Mapped[CredentialKind] = mapped_column(enum_type(CredentialKind, 16))
    display_name: Mapped[str | None] = mapped_column(String(90))
    hint: Mapped[str | None] = mapped_column(String(3))
    """The first characters of a secret, to tell it from others."""
    secret_hash: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    certificate: Mapped[bytes | None] = mapped_column(LargeBinary)
    """DER."""
    thumbprint: Mapped[str | None] = mapped_column(String(40))
    """SHA-1 of the certificate in hexadecimal capitals; names it, and secures nothing."""
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)
    expires_at: Mapped[datetime] = mapped_column(UTCDateTime)


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
    owner_tenant_id: Mapped[UUID | None] = mapped_column(Id)
    """Where it is registered, if that is elsewhere (Graph's appOwnerOrganizationId)."""
    claims_mapping: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    """What its tokens say in this tenant besides, or otherwise (services.claims_mapping)."""
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)


class AppRole(Base):
    """A role that an application offers to people, or a permission that it offers to programs."""

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
    description: Mapped[str | None] = mapped_column(String(1024))
    for_users: Mapped[bool] = mapped_column(default=True)
    """Graph's allowedMemberTypes: whether it holds User."""
    for_applications: Mapped[bool] = mapped_column(default=False)
    """The same for Application."""
    is_enabled: Mapped[bool] = mapped_column(default=True)


class PermissionScope(Base):
    """A delegated permission that an application's API offers (Graph's oauth2PermissionScope)."""

    __tablename__ = "permission_scopes"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "service_principal_id"],
                             ["service_principals.tenant_id", "service_principals.id"],
                             name="fk_permission_scopes_resource", ondelete="CASCADE"),
        Index("uq_permission_scopes_value", "tenant_id", "service_principal_id", "value",
              unique=True),
        {"sqlite_with_rowid": False},
    )  # fmt: skip

    tenant_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    service_principal_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    value: Mapped[str] = mapped_column(String(120))
    display_name: Mapped[str] = mapped_column(String(256))
    description: Mapped[str | None] = mapped_column(String(1024))
    admins_only: Mapped[bool] = mapped_column(default=False)
    """Graph's type: Admin instead of User."""
    is_enabled: Mapped[bool] = mapped_column(default=True)


class ConsentType(enum.StrEnum):
    """For whom a delegated permission is granted."""

    EVERYBODY = "AllPrincipals"
    ONE = "Principal"


EVERYBODY = UUID(int=0)
"""The principal of a grant for everybody: a key knows no empty values."""


class PermissionGrant(Base):
    """What a client may do at a resource in people's name (Graph's oAuth2PermissionGrant)."""

    __tablename__ = "permission_grants"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "client_id"],
                             ["service_principals.tenant_id", "service_principals.id"],
                             name="fk_permission_grants_client", ondelete="CASCADE"),
        ForeignKeyConstraint(["tenant_id", "resource_id"],
                             ["service_principals.tenant_id", "service_principals.id"],
                             name="fk_permission_grants_resource", ondelete="CASCADE"),
        Index("uq_permission_grants", "tenant_id", "client_id", "resource_id", "principal_id",
              unique=True),
        Index("ix_permission_grants_of_principal", "tenant_id", "principal_id"),
        {"sqlite_with_rowid": False},
    )  # fmt: skip

    tenant_id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    id: Mapped[UUID] = mapped_column(Id, primary_key=True)
    client_id: Mapped[UUID] = mapped_column(Id)
    """The client's service principal."""
    resource_id: Mapped[UUID] = mapped_column(Id)
    """The resource's service principal."""
    principal_id: Mapped[UUID] = mapped_column(Id, default=EVERYBODY)
    scope: Mapped[str] = mapped_column(Text)
    """Values with a space in between."""
    created_at: Mapped[datetime] = mapped_column(UTCDateTime)

    @property
    def consent_type(self) -> ConsentType:
        """For everybody, or for one person."""
        return ConsentType.EVERYBODY if self.principal_id == EVERYBODY else ConsentType.ONE

    @property
    def values(self) -> frozenset[str]:
        """The granted scope values."""
        return frozenset(self.scope.split())


class PrincipalType(enum.StrEnum):
    """What an app role is assigned to."""

    USER = "User"
    GROUP = "Group"
    SERVICE_PRINCIPAL = "ServicePrincipal"


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
