"""The way that programs mostly ask for tokens, taken quickly: for Graph, in their own tenant, with
a secret. One prepared statement answers it; whatever is otherwise, and every refusal, goes the
general way of `grants.client_credentials`, which alone knows the reasons.
"""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Connection,
    LargeBinary,
    bindparam,
    literal_column,
    select,
)
from sqlalchemy.sql.functions import aggregate_strings

from b2b import keys
from b2b.models import (
    Application,
    ApplicationCredential,
    AppRole,
    AppRoleAssignment,
    PrincipalType,
    ServicePrincipal,
    Tenant,
    TenantKind,
)
from b2b.models.base import Id, UTCDateTime
from b2b.prepared import Prepared
from b2b.services import grants, graph_permissions, scopes, signing_keys, tokens
from b2b.services.grants import Asked, Issued
from b2b.services.sign_in_log import ProgramSignIn
from b2b.services.tokens import Program

_registered, _there = Application.__table__, ServicePrincipal.__table__
_kept, _tenants = ApplicationCredential.__table__, Tenant.__table__
_graph, _roles, _given = (
    ServicePrincipal.__table__.alias("graph"),
    AppRole.__table__,
    AppRoleAssignment.__table__,
)
_BLANK: Any = literal_column("' '")
_held = (
    # One value with all of them: they hold no spaces, for they are words of a scope.
    select(aggregate_strings(_roles.c.value, _BLANK))
    .select_from(_graph)
    .join(
        _given,
        (_given.c.tenant_id == _graph.c.tenant_id) & (_given.c.service_principal_id == _graph.c.id),
    )
    .join(
        _roles,
        (_roles.c.tenant_id == _given.c.tenant_id)
        & (_roles.c.service_principal_id == _given.c.service_principal_id)
        & (_roles.c.id == _given.c.app_role_id),
    )
    .where(
        _graph.c.tenant_id == _there.c.tenant_id,
        _graph.c.app_id == bindparam("graph", type_=Id),
        _given.c.principal_id == _there.c.id,
        _given.c.principal_type
        == bindparam("service_principal", type_=_given.c.principal_type.type),
        _roles.c.for_applications,
        _roles.c.is_enabled,
        _roles.c.value.is_not(None),
    )
    .correlate(_there)
    .scalar_subquery()
)
_FIND = Prepared(
    select(
        _there.c.id,
        _there.c.display_name,
        _registered.c.token_seconds,
        _kept.c.id.label("credential_id"),
        _held.label("held"),
        *signing_keys.in_force(bindparam("moment", type_=UTCDateTime)),
    )
    .select_from(_registered)
    .join(
        _there,
        (_there.c.tenant_id == _registered.c.tenant_id) & (_there.c.app_id == _registered.c.app_id),
    )
    .join(_tenants, _tenants.c.id == _registered.c.tenant_id)
    .join(
        _kept,
        (_kept.c.tenant_id == _registered.c.tenant_id)
        & (_kept.c.application_id == _registered.c.id),
    )
    .where(
        _registered.c.app_id == bindparam("app_id", type_=Id),
        _registered.c.tenant_id == bindparam("tenant_id", type_=Id),
        _tenants.c.kind == bindparam("kind", type_=_tenants.c.kind.type),
        _there.c.account_enabled,
        _kept.c.secret_hash == bindparam("secret_hash", type_=LargeBinary),
        _kept.c.expires_at > bindparam("moment", type_=UTCDateTime),
    )
)
_NEEDED = frozenset({"grant_type", "client_id", "client_secret", "scope"})


def issue(
    connection: Connection, asked: Asked, *, now: datetime
) -> tuple[Issued, ProgramSignIn] | None:
    """As `grants.client_credentials`, if it can be told quickly that nothing stands against it;
    *asked* may leave the tenant out. *connection* needs no transaction.
    """
    sent = asked.parameters
    if not set(sent) >= _NEEDED or any(len(sent[name]) != 1 for name in _NEEDED):
        return None
    if "client_assertion" in sent or "basic_secret" in sent:
        return None
    named, slash, default = sent["scope"][0].rpartition("/")
    if not slash or default != scopes.DEFAULT or not scopes.is_graph(named):
        return None
    try:
        tenant_id, app_id = UUID(asked.named), UUID(sent["client_id"][0])
    except ValueError:
        return None
    found = _FIND.all(
        connection,
        app_id=app_id,
        tenant_id=tenant_id,
        kind=TenantKind.ORGANISATION,
        secret_hash=keys.digest(sent["client_secret"][0]),
        moment=now,
        graph=graph_permissions.APP_ID,
        service_principal=PrincipalType.SERVICE_PRINCIPAL,
    )
    if len(found) != 1:
        return None
    [row] = found
    signer = signing_keys.ready(row.signs_now, has_next=row.signs_later)
    if signer is None or not row.held:  # the latter: perhaps nobody there has met Graph yet
        return None
    life = tokens.LIFE if row.token_seconds is None else timedelta(seconds=row.token_seconds)
    program = Program(
        tenant_id, app_id, row.id, row.display_name, row.credential_id, grants.BY_SECRET, life
    )
    token = tokens.program_token(
        signer, program, graph_permissions.URI, sorted({*row.held.split()}), version=1, now=now
    )
    entry = grants.noted(program, graph_permissions.NAME, asked, now)
    return Issued(token, int(life.total_seconds())), entry
