"""What a request's `scope` asks for: identity, and permissions of one resource."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from b2b import links
from b2b.models import Application, IdentifierUri, PermissionScope, ServicePrincipal, Tenant
from b2b.services import applications, graph_permissions
from b2b.services.aadsts import SignInRefused

IDENTITY = ("openid", "profile", "email", "offline_access")
"""About the sign-in itself; tokens for Graph name them too."""
DEFAULT = ".default"
"""Whatever has been granted already."""
LONGEST = 8192
_WORD = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
_VALUE = re.compile(r"[A-Za-z0-9._:+-]{1,120}")


@dataclass(frozen=True)
class Wanted:
    """A scope parameter, read. `values` are permissions of `resource`, without its name."""

    identity: tuple[str, ...]
    resource: str | None
    """As it was written, without the slash at its end; None for Graph's short form, or for
    nothing but identity.
    """
    values: tuple[str, ...]

    @property
    def is_default(self) -> bool:
        """Whether it asks for all that has been granted."""
        return DEFAULT in self.values

    @property
    def names_resource(self) -> bool:
        """Whether it asks for anything beyond the sign-in."""
        return bool(self.values)

    @property
    def text(self) -> str:
        """The same as a scope parameter."""
        return " ".join([*self.identity, *self.written(self.values)])

    def written(self, values: Iterable[str]) -> list[str]:
        """*values* in the form that the request used."""
        if self.resource is None:
            return list(values)
        return [f"{self.resource}/{value}" for value in values]


@dataclass(frozen=True)
class Resource:
    """An API in a tenant."""

    principal: ServicePrincipal
    registration: Application | None
    """None for Graph."""
    audience: str

    @property
    def is_graph(self) -> bool:
        """Whether it is Microsoft Graph, which is this program's own API."""
        return self.registration is None

    @property
    def version(self) -> int:
        """Of its access tokens."""
        if self.registration is None:
            return 1
        return 2 if self.registration.access_token_version == 2 else 1


def read(text: str, **values: object) -> Wanted:
    """A scope parameter. Raises SignInRefused: malformed, or of several resources."""
    words = list(dict.fromkeys(text.split()))
    if not words or len(text) > LONGEST or not all(_WORD.fullmatch(word) for word in words):
        raise SignInRefused(70011, name=text[:200], **values)
    identity = tuple(word for word in words if word in IDENTITY)
    resources: dict[str | None, list[str]] = {}
    for word in words:
        if word in IDENTITY:
            continue
        resource, slash, value = word.rpartition("/")
        if not _VALUE.fullmatch(value) or (slash and not resource.rstrip("/")):
            raise SignInRefused(70011, name=word[:200], **values)
        named = resource.rstrip("/") if slash else None
        # Graph's long and short forms are one resource.
        short = named is not None and is_graph(named) and value in IDENTITY
        if short:
            identity = tuple(dict.fromkeys((*identity, value)))
        else:
            resources.setdefault(named, []).append(value)
    for named, found in resources.items():
        for value in found if named is None or is_graph(named) else ():
            if value != DEFAULT and value not in graph_permissions.SCOPES:
                raise SignInRefused(70011, name=value[:200], **values)
    if len(resources) > 1:
        if not all(name is None or is_graph(name) for name in resources):
            raise SignInRefused(28000, name=text[:200], **values)
        return Wanted(identity, None, tuple(v for found in resources.values() for v in found))
    for named, found in resources.items():
        if DEFAULT in found and len(found) > 1:
            raise SignInRefused(70011, name=text[:200], **values)
        return Wanted(identity, named, tuple(dict.fromkeys(found)))
    return Wanted(identity, None, ())


def is_graph(name: str) -> bool:
    """Whether *name* means Graph: its URI, its id, or this installation's own address, with its
    port or without (clients.md, token endpoint).
    """
    if name in (graph_permissions.URI, str(graph_permissions.APP_ID)):
        return True
    own, asked = urlsplit(links.absolute("")), urlsplit(name)
    try:
        same_port = asked.port in (None, own.port)
    except ValueError:
        return False
    return (
        asked.scheme in ("http", "https")
        and asked.hostname == own.hostname
        and same_port
        and not asked.path
        and "@" not in asked.netloc
    )


def resource_of(session: Session, tenant: Tenant, wanted: Wanted) -> Resource | None:
    """The API that *wanted* names, in a tenant; None when it is Graph, and nobody there has used
    it yet. Raises SignInRefused (500011) for one that is not there.
    """
    if wanted.resource is None or is_graph(wanted.resource):
        principal = _principal(session, tenant, graph_permissions.APP_ID)
        if principal is None:
            return None
        return Resource(principal, None, graph_permissions.URI)
    registration = api_named(session, wanted.resource)
    principal = None if registration is None else _principal(session, tenant, registration.app_id)
    if registration is None or principal is None or not principal.account_enabled:
        raise SignInRefused(500011, name=wanted.resource[:200], organisation=tenant.display_name)
    is_v2 = registration.access_token_version == 2
    audience = str(registration.app_id) if is_v2 else wanted.resource
    return Resource(principal, registration, audience)


_API = select(Application).where(Application.app_id == bindparam("app_id"))


def api_named(session: Session, name: str) -> Application | None:
    """The registration whose API has this name: its client id, or one of its identifier URIs."""
    bare = name.removeprefix("api://")
    try:
        app_id = UUID(bare)
    except ValueError:
        app_id = None
    if app_id is not None:
        return session.scalars(_API, {"app_id": app_id}).one_or_none()
    return session.scalars(
        select(Application)
        .join(
            IdentifierUri,
            (IdentifierUri.tenant_id == Application.tenant_id)
            & (IdentifierUri.application_id == Application.id),
        )
        .where(IdentifierUri.uri == name)
    ).one_or_none()


def _principal(session: Session, tenant: Tenant, app_id: UUID) -> ServicePrincipal | None:
    return applications.by_app_id(session, tenant.id, app_id)


@dataclass(frozen=True)
class Offered:
    """A delegated permission that a resource offers."""

    value: str
    words: str
    admins_only: bool


_OFFERED = select(
    PermissionScope.value, PermissionScope.display_name, PermissionScope.admins_only
).where(
    PermissionScope.tenant_id == bindparam("tenant_id"),
    PermissionScope.service_principal_id == bindparam("principal_id"),
    PermissionScope.value.in_(bindparam("wanted", expanding=True)),
    PermissionScope.is_enabled,
)


def offered(session: Session, resource: Resource, values: Iterable[str]) -> list[Offered]:
    """Those of *values* that the resource offers, in their order. Raises SignInRefused (70011) for
    one that it does not.
    """
    wanted = list(dict.fromkeys(values))
    rows = session.execute(
        _OFFERED,
        {
            "tenant_id": resource.principal.tenant_id,
            "principal_id": resource.principal.id,
            "wanted": wanted,
        },
    )
    found = {row.value: Offered(*row) for row in rows}
    for value in wanted:
        if value not in found:
            raise SignInRefused(70011, name=value[:200])
    return [found[value] for value in wanted]
