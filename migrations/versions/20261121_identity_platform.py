"""App registrations in full: credentials, permissions and consent; sign-ins, refresh and device codes."""

import sqlalchemy as sa
from alembic import op

from b2b.models import base as types

revision = "20261121_identity_platform"
down_revision = "20261121_redeeming_in_full"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "device_codes",
        sa.Column("code_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("user_code_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("named", sa.String(length=253), nullable=False),
        sa.Column("app_id", types.Id(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "waiting",
                "allowed",
                "declined",
                name="devicecodestate",
                native_enum=False,
                length=16,
            ),
            nullable=False,
        ),
        sa.Column("tenant_id", types.Id(), nullable=True),
        sa.Column("user_id", types.Id(), nullable=True),
        sa.Column("session_id", types.Id(), nullable=True),
        sa.Column("signed_in_at", types.UTCDateTime(), nullable=True),
        sa.Column("ip_address", sa.String(length=45), nullable=True),
        sa.Column("polled_at", types.UTCDateTime(), nullable=True),
        sa.Column("poll_seconds", sa.Integer(), nullable=False),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.Column("expires_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("code_hash", name=op.f("pk_device_codes")),
    )
    op.create_index("ix_device_codes_by_expiry", "device_codes", ["expires_at"], unique=False)
    op.create_index("uq_device_codes_user_code", "device_codes", ["user_code_hash"], unique=True)

    op.create_table(
        "sign_in_grants",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("user_id", types.Id(), nullable=False),
        sa.Column("app_id", types.Id(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("session_id", types.Id(), nullable=True),
        sa.Column("credential_id", types.Id(), nullable=True),
        sa.Column("is_spa", sa.Boolean(), nullable=False),
        sa.Column("signed_in_at", types.UTCDateTime(), nullable=False),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.Column("expires_at", types.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_sign_in_grants")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_sign_in_grants_by_expiry", "sign_in_grants", ["expires_at"], unique=False)
    op.create_index(
        "ix_sign_in_grants_of_app", "sign_in_grants", ["tenant_id", "app_id"], unique=False
    )
    op.create_index(
        "ix_sign_in_grants_of_user", "sign_in_grants", ["tenant_id", "user_id"], unique=False
    )

    op.create_table(
        "refresh_tokens",
        sa.Column("token_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("grant_id", types.Id(), nullable=False),
        sa.Column("used_at", types.UTCDateTime(), nullable=True),
        sa.Column("expires_at", types.UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "grant_id"],
            ["sign_in_grants.tenant_id", "sign_in_grants.id"],
            name="fk_refresh_tokens_grant",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_refresh_tokens")),
    )
    op.create_index("ix_refresh_tokens_by_expiry", "refresh_tokens", ["expires_at"], unique=False)
    op.create_index(
        "ix_refresh_tokens_of_grant", "refresh_tokens", ["tenant_id", "grant_id"], unique=False
    )

    op.create_table(
        "application_credentials",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("application_id", types.Id(), nullable=False),
        sa.Column(
            "kind",
            sa.Enum("secret", "certificate", name="credentialkind", native_enum=False, length=16),
            nullable=False,
        ),
        sa.Column("display_name", sa.String(length=90), nullable=True),
        sa.Column("hint", sa.String(length=3), nullable=True),
        sa.Column("secret_hash", sa.LargeBinary(length=32), nullable=True),
        sa.Column("certificate", sa.LargeBinary(), nullable=True),
        sa.Column("thumbprint", sa.String(length=40), nullable=True),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.Column("expires_at", types.UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "application_id"],
            ["applications.tenant_id", "applications.id"],
            name="fk_application_credentials_application",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_application_credentials")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_application_credentials_of_app",
        "application_credentials",
        ["tenant_id", "application_id", "id"],
        unique=False,
    )

    op.create_table(
        "permission_grants",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("client_id", types.Id(), nullable=False),
        sa.Column("resource_id", types.Id(), nullable=False),
        sa.Column("principal_id", types.Id(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("created_at", types.UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "client_id"],
            ["service_principals.tenant_id", "service_principals.id"],
            name="fk_permission_grants_client",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id", "resource_id"],
            ["service_principals.tenant_id", "service_principals.id"],
            name="fk_permission_grants_resource",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("pk_permission_grants")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_permission_grants_of_principal",
        "permission_grants",
        ["tenant_id", "principal_id"],
        unique=False,
    )
    op.create_index(
        "uq_permission_grants",
        "permission_grants",
        ["tenant_id", "client_id", "resource_id", "principal_id"],
        unique=True,
    )

    op.create_table(
        "permission_scopes",
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("service_principal_id", types.Id(), nullable=False),
        sa.Column("id", types.Id(), nullable=False),
        sa.Column("value", sa.String(length=120), nullable=False),
        sa.Column("display_name", sa.String(length=256), nullable=False),
        sa.Column("description", sa.String(length=1024), nullable=True),
        sa.Column("admins_only", sa.Boolean(), nullable=False),
        sa.Column("is_enabled", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "service_principal_id"],
            ["service_principals.tenant_id", "service_principals.id"],
            name="fk_permission_scopes_resource",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "tenant_id", "service_principal_id", "id", name=op.f("pk_permission_scopes")
        ),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "uq_permission_scopes_value",
        "permission_scopes",
        ["tenant_id", "service_principal_id", "value"],
        unique=True,
    )

    op.create_table(
        "identifier_uris",
        sa.Column("uri", sa.String(length=255), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("application_id", types.Id(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "application_id"],
            ["applications.tenant_id", "applications.id"],
            name=op.f("fk_identifier_uris_tenant_id_application_id_applications"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("uri", name=op.f("pk_identifier_uris")),
    )
    op.create_index("ix_identifier_uris_of_app", "identifier_uris", ["tenant_id", "application_id"])

    # Codes live for a minute, and what was issued for older ones asks for a new sign-in.
    op.drop_table("authorization_codes")
    op.create_table(
        "authorization_codes",
        *_code_columns(),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("grant_id", types.Id(), nullable=True),
        sa.PrimaryKeyConstraint("code_hash", name=op.f("pk_authorization_codes")),
    )
    op.create_index(
        "ix_authorization_codes_by_expiry", "authorization_codes", ["expires_at"], unique=False
    )

    op.add_column("app_roles", sa.Column("description", sa.String(1024), nullable=True))
    op.add_column("app_roles", _switch("for_users", sa.true()))
    op.add_column("app_roles", _switch("for_applications", sa.false()))
    op.add_column("service_principals", sa.Column("owner_tenant_id", types.Id(), nullable=True))

    for name in ("spa_redirect_uris", "public_redirect_uris", "required_access"):
        op.add_column(
            "applications", sa.Column(name, sa.JSON(), nullable=False, server_default="[]")
        )
    op.add_column(
        "applications",
        sa.Column("optional_claims", sa.JSON(), nullable=False, server_default="{}"),
    )
    op.add_column(
        "applications",
        sa.Column(
            "sign_in_audience",
            sa.Enum(
                "AzureADMyOrg", "AzureADMultipleOrgs", "AzureADandPersonalMicrosoftAccount",
                "PersonalMicrosoftAccount", name="audience", native_enum=False, length=48,
            ),
            nullable=False, server_default="AzureADMyOrg",
        ),
    )  # fmt: skip
    op.add_column(
        "applications",
        sa.Column(
            "group_claims",
            sa.Enum(
                "None", "SecurityGroup", "DirectoryRole", "All", name="groupclaims",
                native_enum=False, length=16,
            ),
            nullable=False, server_default="None",
        ),
    )  # fmt: skip
    for name in ("issues_id_tokens", "issues_access_tokens", "requires_proof_key"):
        op.add_column("applications", _switch(name, sa.false()))
    op.add_column("applications", sa.Column("access_token_version", sa.Integer(), nullable=True))
    op.add_column("applications", sa.Column("token_seconds", sa.Integer(), nullable=True))
    op.add_column("applications", sa.Column("verified_publisher", sa.String(256), nullable=True))
    # Public clients had one list of redirect URIs until now; it is that of their platform.
    applications = sa.table(
        "applications",
        sa.column("is_public", sa.Boolean()),
        sa.column("redirect_uris", sa.JSON()),
        sa.column("public_redirect_uris", sa.JSON()),
    )
    op.execute(
        applications.update()
        .where(applications.c.is_public)
        .values(public_redirect_uris=applications.c.redirect_uris, redirect_uris=[])
    )

    op.add_column("tenant_policies", _switch("password_grant", sa.false()))
    op.add_column("tenant_policies", _switch("device_code_grant", sa.true()))
    op.add_column("tenant_policies", _switch("proof_key_required", sa.false()))
    op.add_column("tenant_policies", _switch("users_may_consent", sa.true()))


def _switch(name: str, default: sa.ColumnElement[bool]) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), nullable=False, server_default=default)


def _code_columns() -> list[sa.Column]:
    return [
        sa.Column("code_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("tenant_id", types.Id(), nullable=False),
        sa.Column("user_id", types.Id(), nullable=False),
        sa.Column("app_id", types.Id(), nullable=False),
        sa.Column("session_id", types.Id(), nullable=False),
        sa.Column("redirect_uri", sa.String(length=2048), nullable=False),
        sa.Column("nonce", sa.String(length=512), nullable=True),
        sa.Column("code_challenge", sa.String(length=128), nullable=True),
        sa.Column("signed_in_at", types.UTCDateTime(), nullable=False),
        sa.Column("redeemed_at", types.UTCDateTime(), nullable=True),
        sa.Column("expires_at", types.UTCDateTime(), nullable=False),
    ]


def downgrade() -> None:
    for name in ("users_may_consent", "proof_key_required", "device_code_grant", "password_grant"):
        op.drop_column("tenant_policies", name)
    applications = sa.table(
        "applications",
        sa.column("is_public", sa.Boolean()),
        sa.column("redirect_uris", sa.JSON()),
        sa.column("public_redirect_uris", sa.JSON()),
    )
    op.execute(
        applications.update()
        .where(applications.c.is_public)
        .values(redirect_uris=applications.c.public_redirect_uris)
    )
    for name in (
        "verified_publisher", "token_seconds", "access_token_version", "requires_proof_key",
        "issues_access_tokens", "issues_id_tokens", "group_claims", "sign_in_audience",
        "optional_claims", "required_access", "public_redirect_uris",
        "spa_redirect_uris",
    ):  # fmt: skip
        op.drop_column("applications", name)
    op.drop_column("service_principals", "owner_tenant_id")
    for name in ("for_applications", "for_users", "description"):
        op.drop_column("app_roles", name)
    op.drop_table("authorization_codes")
    op.create_table(
        "authorization_codes",
        *_code_columns(),
        sa.Column("scope", sa.String(length=1024), nullable=False),
        sa.PrimaryKeyConstraint("code_hash", name=op.f("pk_authorization_codes")),
    )
    op.create_index(
        "ix_authorization_codes_by_expiry", "authorization_codes", ["expires_at"], unique=False
    )
    for table in (
        "identifier_uris", "permission_scopes", "permission_grants", "application_credentials", "refresh_tokens",
        "sign_in_grants", "device_codes",
    ):  # fmt: skip
        op.drop_table(table)
