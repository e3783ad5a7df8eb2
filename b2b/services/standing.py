"""Whether what an access token hangs on still stands: client, credential or sign-in, person; and
what they may do at Graph. One prepared statement, which every request to Graph runs (threats.md,
API-1, OIDC-5).
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, and_, bindparam, func, literal_column, select

from b2b.models import (
    EVERYBODY,
    Application,
    ApplicationCredential,
    AppRole,
    AppRoleAssignment,
    DirectoryRoleAssignment,
    ExternalUserState,
    PermissionGrant,
    PrincipalType,
    Role,
    ServicePrincipal,
    SignInGrant,
    Source,
    Tenant,
    User,
    UserType,
)
from b2b.models.base import Id
from b2b.prepared import Prepared
from b2b.services import graph_permissions


@dataclass(frozen=True)
class Person:
    """Who stands behind a token, as the tenant knows him now."""

    id: UUID
    display_name: str
    given_name: str | None
    surname: str | None
    user_principal_name: str
    mail: str | None
    is_guest: bool
    roles: frozenset[Role]


@dataclass(frozen=True)
class Standing:
    """A client that may go on in a tenant, for a person or for itself."""

    tenant_name: str
    tenant_domain: str
    principal_id: UUID
    """The client's service principal."""
    principal_name: str
    person: Person | None
    """None: the program itself."""
    held: frozenset[str]
    """Permissions at Graph: scopes that are granted for the person, or the program's own."""


_client, _tenant = ServicePrincipal.__table__, Tenant.__table__
_graph = ServicePrincipal.__table__.alias("graph")
_resource = (
    select(_graph.c.id)
    .where(
        _graph.c.tenant_id == _client.c.tenant_id,
        _graph.c.app_id == bindparam("graph_app_id", type_=Id),
    )
    .correlate(_client)
    .scalar_subquery()
)
_SHOWN = (
    _tenant.c.display_name.label("tenant_name"),
    _tenant.c.primary_domain,
    _client.c.id.label("principal_id"),
    _client.c.display_name.label("principal_name"),
)
_HERE = (
    _client.c.tenant_id == bindparam("tenant_id", type_=Id),
    _client.c.app_id == bindparam("app_id", type_=Id),
    _client.c.account_enabled,
)

_registered, _credential = Application.__table__, ApplicationCredential.__table__
_given, _offered = AppRoleAssignment.__table__, AppRole.__table__
_held = (
    # A bound separator would want its value when the statement is compiled.
    select(func.aggregate_strings(_offered.c.value, literal_column("' '")))  # type: ignore[arg-type]
    .select_from(_given)
    .join(
        _offered,
        and_(
            _offered.c.tenant_id == _given.c.tenant_id,
            _offered.c.service_principal_id == _given.c.service_principal_id,
            _offered.c.id == _given.c.app_role_id,
            _offered.c.for_applications,
            _offered.c.is_enabled,
        ),
    )
    .where(
        _given.c.tenant_id == _client.c.tenant_id,
        _given.c.principal_id == _client.c.id,
        _given.c.principal_type == bindparam("kind", type_=_given.c.principal_type.type),
        _given.c.service_principal_id == _resource,
    )
    .correlate(_client)
    .scalar_subquery()
    .label("held")
)
_PROGRAM = Prepared(
    select(*_SHOWN, _held)
    .select_from(_client)
    .join(_tenant, _tenant.c.id == _client.c.tenant_id)
    .join(_registered, _registered.c.app_id == _client.c.app_id)
    .join(
        _credential,
        (_credential.c.tenant_id == _registered.c.tenant_id)
        & (_credential.c.application_id == _registered.c.id)
        & (_credential.c.id == bindparam("credential_id", type_=Id)),
    )
    .where(*_HERE, _client.c.id == bindparam("principal_id", type_=Id))
)

_person, _sign_in = User.__table__, SignInGrant.__table__
_consent, _role = PermissionGrant.__table__, DirectoryRoleAssignment.__table__
_PERSON = Prepared(
    select(
        *_SHOWN,
        _person.c.id,
        _person.c.display_name,
        _person.c.given_name,
        _person.c.surname,
        _person.c.user_principal_name,
        _person.c.mail,
        _person.c.user_type,
        _person.c.external_user_state,
        _person.c.source,
        _person.c.sessions_valid_from,
        _sign_in.c.created_at.label("signed_in_at"),
        _consent.c.scope,
        _role.c.role,
    )
    .select_from(_client)
    .join(_tenant, _tenant.c.id == _client.c.tenant_id)
    .join(
        _person,
        (_person.c.tenant_id == _client.c.tenant_id)
        & (_person.c.id == bindparam("user_id", type_=Id)),
    )
    .join(
        _sign_in,
        and_(
            _sign_in.c.tenant_id == _client.c.tenant_id,
            _sign_in.c.id == bindparam("grant_id", type_=Id),
            _sign_in.c.user_id == _person.c.id,
            _sign_in.c.app_id == _client.c.app_id,
        ),
    )
    .outerjoin(
        _consent,
        and_(
            _consent.c.tenant_id == _client.c.tenant_id,
            _consent.c.client_id == _client.c.id,
            _consent.c.resource_id == _resource,
            _consent.c.principal_id.in_([bindparam("everybody", type_=Id), _person.c.id]),
        ),
    )
    .outerjoin(
        _role, (_role.c.tenant_id == _person.c.tenant_id) & (_role.c.user_id == _person.c.id)
    )
    .where(*_HERE, _person.c.account_enabled, _person.c.deleted_at.is_(None))
)


def of_program(
    connection: Connection,
    tenant_id: UUID,
    app_id: UUID,
    *,
    principal_id: UUID,
    credential_id: UUID,
) -> Standing | None:
    """A program in its own name, by the credential that it came with; None when one of them is
    gone or switched off.
    """
    rows = _PROGRAM.all(
        connection,
        tenant_id=tenant_id,
        app_id=app_id,
        principal_id=principal_id,
        credential_id=credential_id,
        graph_app_id=graph_permissions.APP_ID,
        kind=PrincipalType.SERVICE_PRINCIPAL,
    )
    if not rows:
        return None
    [row] = rows
    return _standing(row, None, _values(row.held or ""))


@lru_cache(maxsize=256)
def _values(text: str) -> frozenset[str]:
    return frozenset(text.split())


def of_person(
    connection: Connection, tenant_id: UUID, app_id: UUID, *, user_id: UUID, grant_id: UUID
) -> Standing | None:
    """Somebody's sign-in to a client; None when it was ended, or one of the two may not go on."""
    rows = _PERSON.all(
        connection,
        tenant_id=tenant_id,
        app_id=app_id,
        user_id=user_id,
        grant_id=grant_id,
        graph_app_id=graph_permissions.APP_ID,
        everybody=EVERYBODY,
    )
    if not rows:
        return None
    row = rows[0]
    pending = row.external_user_state is ExternalUserState.PENDING_ACCEPTANCE
    if pending and row.source is Source.INVITED_USER:
        return None  # User.has_no_account_yet
    # Not `iat`, which knows whole seconds only: acceptance and first token may share one.
    if row.sessions_valid_from is not None and row.signed_in_at < row.sessions_valid_from:
        return None
    person = Person(
        row.id,
        row.display_name,
        row.given_name,
        row.surname,
        row.user_principal_name,
        row.mail,
        row.user_type is UserType.GUEST,
        frozenset(one.role for one in rows if one.role is not None),
    )
    granted = {one.scope for one in rows if one.scope is not None}
    return _standing(row, person, frozenset(value for one in granted for value in one.split()))


def _standing(row: Any, person: Person | None, held: frozenset[str]) -> Standing:
    return Standing(
        row.tenant_name, row.primary_domain, row.principal_id, row.principal_name, person, held
    )
