"""App registrations: how programs are made known, and everything that is written down about them.

A registration belongs to one tenant, where its service principal is made with it; in other tenants
consent makes one (services.consent).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from b2b import links
from b2b.actor import Actor
from b2b.errors import N_, Conflict, Invalid, NotFound
from b2b.models import (
    Application,
    AppRoleAssignment,
    Audience,
    DeviceCode,
    Domain,
    GroupClaims,
    IdentifierUri,
    OwnedType,
    Owner,
    Platform,
    ServicePrincipal,
    SignInGrant,
    fold,
    new_id,
)
from b2b.services import (
    applications,
    audit,
    consent,
    graph_permissions,
    owners,
    paging,
    permissions,
)
from b2b.services.audit import Activity, Change, Entry
from b2b.services.owners import Owned
from b2b.services.paging import Cursor, Page
from b2b.services.permissions import Action

MOST_REDIRECTS = 256
LONGEST_REDIRECT = 2048
SHORTEST_TOKEN, LONGEST_TOKEN = 600, 86_400
"""Seconds that access and ID tokens may live."""
CLAIMS = frozenset(
    {
        "acct", "auth_time", "ctry", "email", "family_name", "given_name", "groups", "home_oid",
        "idtyp", "login_hint", "nickname", "preferred_username", "sid", "tenant_ctry", "upn",
        "verified_primary_email", "verified_secondary_email", "xms_pl", "xms_tpl", "wids",
    }
)  # fmt: skip
"""Optional claims that can be asked for (tokens.md, section 4)."""
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_SCRIPTABLE = frozenset({"javascript", "data", "vbscript", "file", "blob", "about"})


@dataclass(frozen=True)
class Registered:
    """A registration and what it is in its own tenant."""

    registration: Application
    principal: ServicePrincipal

    @property
    def owned(self) -> Owned:
        """As something that has owners."""
        return Owned(OwnedType.SERVICE_PRINCIPAL, self.principal.id, self.principal.display_name)


@dataclass(frozen=True)
class RequiredAccess:
    """Permissions of one resource that an application is registered to need."""

    resource_app_id: UUID
    scopes: tuple[UUID, ...] = ()
    roles: tuple[UUID, ...] = ()

    def as_graph(self) -> dict[str, Any]:
        """Graph's requiredResourceAccess."""
        return {
            "resourceAppId": str(self.resource_app_id),
            "resourceAccess": [
                *({"id": str(one), "type": "Scope"} for one in self.scopes),
                *({"id": str(one), "type": "Role"} for one in self.roles),
            ],
        }

    @classmethod
    def from_graph(cls, value: Mapping[str, Any]) -> "RequiredAccess":
        """Read what `as_graph` wrote, or a client sent. Raises Invalid("required_access")."""
        try:
            access = value.get("resourceAccess", [])
            kinds = {kind: [] for kind in ("Scope", "Role")}  # type: dict[str, list[UUID]]
            for one in access:
                kinds[one["type"]].append(UUID(one["id"]))
            return cls(UUID(value["resourceAppId"]), tuple(kinds["Scope"]), tuple(kinds["Role"]))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise Invalid(
                "required_access", N_("These permissions are not written as they should be.")
            ) from error


@dataclass(frozen=True)
class Facts:
    """What can be said when registering; the rest has its defaults."""

    redirect_uris: Mapping[Platform, Sequence[str]] = field(default_factory=dict)
    audience: Audience = Audience.THIS_ORGANISATION
    is_public: bool = False
    description: str | None = None
    sign_in_url: str | None = None
    assignment_required: bool = False


# Making, finding ---------------------------------------------------------------------------------


def register(
    session: Session, actor: Actor, display_name: str, facts: Facts | None = None
) -> Registered:
    """Register an application in the actor's tenant; a person who does so owns it.

    Raises Denied, Invalid("display_name"), Invalid("redirect_uris").
    """
    facts = facts or Facts()
    permissions.require(actor, Action.MANAGE_APPLICATIONS)
    name = checked_name(display_name)
    redirects = _redirects(facts.redirect_uris)
    audit.lock(session, actor.tenant_id)
    registration = Application(
        tenant_id=actor.tenant_id,
        id=new_id(),
        app_id=uuid4(),
        display_name=name,
        is_public=facts.is_public,
        redirect_uris=redirects[Platform.WEB],
        spa_redirect_uris=redirects[Platform.SPA],
        public_redirect_uris=redirects[Platform.PUBLIC],
        sign_in_audience=facts.audience,
        created_at=actor.now,
    )
    principal = ServicePrincipal(
        tenant_id=actor.tenant_id,
        id=new_id(),
        app_id=registration.app_id,
        display_name=name,
        name_key=fold(name),
        description=facts.description,
        sign_in_url=facts.sign_in_url,
        assignment_required=facts.assignment_required,
        created_at=actor.now,
    )
    session.add_all([registration, principal])
    session.flush()
    consent.graph_principal(session, actor)
    audit.record(
        session,
        actor,
        Entry(Activity.REGISTER_APPLICATION, "Application", registration.id, name),
        Entry(Activity.ADD_PRINCIPAL, "ServicePrincipal", principal.id, name),
    )
    made = Registered(registration, principal)
    if actor.user_id is not None:
        session.execute(
            insert(Owner),
            {
                "tenant_id": actor.tenant_id,
                "owned_id": principal.id,
                "user_id": actor.user_id,
                "owned_type": OwnedType.SERVICE_PRINCIPAL,
            },
        )
    return made


def get(session: Session, actor: Actor, registration_id: UUID) -> Registered:
    """A registration of the actor's tenant. Raises NotFound."""
    registration = session.get(Application, (actor.tenant_id, registration_id))
    return _with_principal(session, registration)


def by_app_id(session: Session, actor: Actor, app_id: UUID) -> Registered:
    """The same by its client id. Raises NotFound."""
    registration = session.scalars(
        select(Application).where(
            Application.tenant_id == actor.tenant_id, Application.app_id == app_id
        )
    ).one_or_none()
    return _with_principal(session, registration)


def _with_principal(session: Session, registration: Application | None) -> Registered:
    if registration is None:
        raise NotFound(N_("There is no app registration with this id."))
    principal = session.scalars(
        select(ServicePrincipal).where(
            ServicePrincipal.tenant_id == registration.tenant_id,
            ServicePrincipal.app_id == registration.app_id,
        )
    ).one()
    return Registered(registration, principal)


def listing(
    session: Session,
    actor: Actor,
    *,
    search: str = "",
    mine: bool = False,
    after: Cursor | None = None,
    before: Cursor | None = None,
) -> Page:
    """A page of registrations by name; *search* is the beginning of a name, *mine* those the actor
    owns.

    Rows: id (the registration's), principal_id, app_id, display_name, name_key, created_at,
    sign_in_audience. Raises Denied.
    """
    permissions.require(actor, Action.READ_DIRECTORY)
    query: Any = (
        select(
            Application.id,
            ServicePrincipal.id.label("principal_id"),
            Application.app_id,
            ServicePrincipal.display_name,
            Application.created_at,
            Application.sign_in_audience,
        )
        .join(
            ServicePrincipal,
            (ServicePrincipal.tenant_id == Application.tenant_id)
            & (ServicePrincipal.app_id == Application.app_id),
        )
        .where(Application.tenant_id == actor.tenant_id)
    )
    if fold(search):
        query = query.where(paging.begins(ServicePrincipal.name_key, search))
    if mine:
        query = query.where(
            ServicePrincipal.id.in_(owners.ids_of(actor, OwnedType.SERVICE_PRINCIPAL))
        )
    return paging.by_key(
        session, query, ServicePrincipal.name_key, Application.id, after=after, before=before
    )


def for_change(session: Session, actor: Actor, registration_id: UUID) -> Registered:
    """A registration that *actor* may change, asked behind the lock: an owner's, or by a role.

    Raises Denied, NotFound.
    """
    audit.lock(session, actor.tenant_id)
    found = get(session, actor, registration_id)
    session.refresh(found.registration)
    owners.require(session, actor, found.owned)
    return found


def remove(session: Session, actor: Actor, registration_id: UUID) -> str:
    """Delete a registration with its service principals everywhere; what was issued for it ends.

    Returns its name. Raises Denied, NotFound.
    """
    found = for_change(session, actor, registration_id)
    app_id, name = found.registration.app_id, found.registration.display_name
    everywhere = session.execute(
        select(ServicePrincipal.tenant_id, ServicePrincipal.id).where(
            ServicePrincipal.app_id == app_id
        )
    ).all()
    for tenant_id, principal_id in everywhere:
        _remove_principal(session, tenant_id, principal_id, app_id)
    session.execute(delete(DeviceCode).where(DeviceCode.app_id == app_id))
    session.execute(delete(Application).where(Application.app_id == app_id))
    session.expire_all()
    audit.record(
        session, actor, Entry(Activity.DELETE_REGISTRATION, "Application", registration_id, name)
    )
    return name


def remove_principal(session: Session, actor: Actor, principal_id: UUID) -> None:
    """Remove an application that is registered elsewhere from the actor's tenant; what was issued
    and granted for it here ends.

    Raises Denied, NotFound, and Conflict for one that is registered here, whose registration is
    what can be deleted, and for Microsoft Graph.
    """
    permissions.require(actor, Action.MANAGE_APPLICATIONS)
    audit.lock(session, actor.tenant_id)
    found = applications.get(session, actor, principal_id)
    app_id, name = found.app_id, found.display_name
    if app_id == graph_permissions.APP_ID:
        raise Conflict(N_("%(name)s belongs to every organisation."), name=name)
    registered = select(Application.id).where(
        Application.tenant_id == actor.tenant_id, Application.app_id == app_id
    )
    if session.scalar(registered) is not None:
        raise Conflict(
            N_("%(name)s is registered here; delete its registration instead."), name=name
        )
    _remove_principal(session, actor.tenant_id, principal_id, app_id)
    session.expire_all()
    audit.record(
        session, actor, Entry(Activity.REMOVE_PRINCIPAL, "ServicePrincipal", principal_id, name)
    )


def _remove_principal(session: Session, tenant_id: UUID, principal_id: UUID, app_id: UUID) -> None:
    """An application of one tenant with everything that hangs on it there."""
    for rows in (
        delete(AppRoleAssignment).where(
            AppRoleAssignment.tenant_id == tenant_id,
            AppRoleAssignment.principal_id == principal_id,
        ),
        delete(Owner).where(Owner.tenant_id == tenant_id, Owner.owned_id == principal_id),
        delete(SignInGrant).where(SignInGrant.tenant_id == tenant_id, SignInGrant.app_id == app_id),
        delete(ServicePrincipal).where(
            ServicePrincipal.tenant_id == tenant_id, ServicePrincipal.id == principal_id
        ),
    ):
        session.execute(rows)


# What is written down ----------------------------------------------------------------------------


def rename(session: Session, actor: Actor, registration_id: UUID, display_name: str) -> Registered:
    """Give it another name, in its own tenant too. Raises Denied, NotFound, Invalid."""
    name = checked_name(display_name)
    found = for_change(session, actor, registration_id)
    before = found.registration.display_name
    found.registration.display_name = name
    found.principal.display_name, found.principal.name_key = name, fold(name)
    return changed(session, actor, found, Change("DisplayName", before, name))


def set_redirects(
    session: Session,
    actor: Actor,
    registration_id: UUID,
    redirect_uris: Mapping[Platform, Sequence[str]],
) -> Registered:
    """Say which redirect URIs the named platforms have; the others stay.

    Raises Denied, NotFound, Invalid("redirect_uris").
    """
    wanted = _redirects(redirect_uris)
    found = for_change(session, actor, registration_id)
    one, changes = found.registration, []
    names = {
        Platform.WEB: "redirect_uris",
        Platform.SPA: "spa_redirect_uris",
        Platform.PUBLIC: "public_redirect_uris",
    }
    for platform in redirect_uris:
        before = getattr(one, names[platform])
        if before != wanted[platform]:
            setattr(one, names[platform], wanted[platform])
            changes.append(Change(f"RedirectUris.{platform}", before, wanted[platform]))
    if sum(len(one.redirects_of(platform)) for platform in Platform) > MOST_REDIRECTS:
        raise Invalid("redirect_uris", N_("At most %(most)s addresses."), most=MOST_REDIRECTS)
    return changed(session, actor, found, *changes)


def set_authentication(
    session: Session,
    actor: Actor,
    registration_id: UUID,
    *,
    audience: Audience | None = None,
    is_public: bool | None = None,
    issues_id_tokens: bool | None = None,
    issues_access_tokens: bool | None = None,
    requires_proof_key: bool | None = None,
    logout_url: str | None = None,
) -> Registered:
    """Say who may sign in and by which flows; None leaves a fact as it is.

    *logout_url* is shown in a frame when somebody signs out; empty takes it away. Raises Denied,
    NotFound, Invalid("logout_url").
    """
    if logout_url:
        _check_logout(logout_url)
    found = for_change(session, actor, registration_id)
    wanted = {
        "sign_in_audience": audience,
        "is_public": is_public,
        "issues_id_tokens": issues_id_tokens,
        "issues_access_tokens": issues_access_tokens,
        "requires_proof_key": requires_proof_key,
    }
    facts: dict[str, Any] = {n: v for n, v in wanted.items() if v is not None}
    if logout_url is not None:
        facts["logout_url"] = logout_url or None
    return _set(session, actor, found, facts)


def set_tokens(
    session: Session,
    actor: Actor,
    registration_id: UUID,
    *,
    access_token_version: int | None = None,
    token_seconds: int | None = None,
    optional_claims: Mapping[str, Any] | None = None,
    group_claims: GroupClaims = GroupClaims.NONE,
) -> Registered:
    """Say what its tokens look like: all four facts at once.

    *optional_claims* is Graph's object. Raises Denied, NotFound, and Invalid with the name of the
    parameter.
    """
    if access_token_version not in (None, 1, 2):
        raise Invalid("access_token_version", N_("The version is 1 or 2."))
    if token_seconds is not None and not SHORTEST_TOKEN <= token_seconds <= LONGEST_TOKEN:
        raise Invalid("token_seconds", N_("Between ten minutes and a day."))
    claims = _claims(optional_claims or {})
    found = for_change(session, actor, registration_id)
    return _set(
        session,
        actor,
        found,
        {
            "access_token_version": access_token_version,
            "token_seconds": token_seconds,
            "optional_claims": claims,
            "group_claims": group_claims,
        },
    )


def _claims(wanted: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    refused = Invalid("optional_claims", N_("One of these claims is not known here."))
    found: dict[str, list[dict[str, Any]]] = {}
    for kind, claims in wanted.items():
        if kind not in ("idToken", "accessToken", "saml2Token") or not isinstance(claims, list):
            raise refused
        if kind == "saml2Token":
            continue
        found[kind] = []
        for claim in claims:
            if not isinstance(claim, dict) or claim.get("name") not in CLAIMS:
                raise refused
            more = claim.get("additionalProperties", [])
            if not isinstance(more, list) or not all(isinstance(one, str) for one in more):
                raise refused
            found[kind].append(
                {"name": claim["name"], "additionalProperties": [one[:120] for one in more[:8]]}
            )
    return found


def set_required_access(
    session: Session, actor: Actor, registration_id: UUID, wanted: Sequence[RequiredAccess]
) -> Registered:
    """Say which permissions administrators are asked to consent to.

    Raises Denied, NotFound, Invalid("required_access").
    """
    if len(wanted) > 50 or sum(len(one.scopes) + len(one.roles) for one in wanted) > 400:
        raise Invalid("required_access", N_("These are too many permissions."))
    found = for_change(session, actor, registration_id)
    value = [one.as_graph() for one in wanted]
    return _set(session, actor, found, {"required_access": value})


def identifier_uris(session: Session, found: Registered) -> list[str]:
    """The names of its API."""
    return list(
        session.scalars(
            select(IdentifierUri.uri)
            .where(
                IdentifierUri.tenant_id == found.registration.tenant_id,
                IdentifierUri.application_id == found.registration.id,
            )
            .order_by(IdentifierUri.uri)
        )
    )


def set_identifier_uris(
    session: Session, actor: Actor, registration_id: UUID, uris: Sequence[str]
) -> Registered:
    """Say what others call its API: `api://<client id>`, or https under a verified domain.

    Raises Denied, NotFound, Invalid("identifier_uris"), Conflict when another one has the name.
    """
    found = for_change(session, actor, registration_id)
    wanted = sorted(dict.fromkeys(uri.strip().rstrip("/") for uri in uris))
    domains = session.scalars(
        select(Domain.name).where(
            Domain.tenant_id == actor.tenant_id, Domain.verified_at.is_not(None)
        )
    ).all()
    for uri in wanted:
        if not _is_identifier(uri, found.registration.app_id, actor.tenant_id, domains):
            raise Invalid(
                "identifier_uris",
                N_("Use api:// with the client id, or https with a domain of the organisation."),
            )
    taken = session.scalars(
        select(IdentifierUri.uri).where(
            IdentifierUri.uri.in_(wanted), IdentifierUri.application_id != registration_id
        )
    ).first()
    if taken is not None:
        raise Conflict(N_("Another application has the name %(name)s."), name=taken)
    before = identifier_uris(session, found)
    if before == wanted:
        return found
    session.execute(delete(IdentifierUri).where(IdentifierUri.application_id == registration_id))
    if wanted:
        session.execute(
            insert(IdentifierUri),
            [
                {"uri": uri, "tenant_id": actor.tenant_id, "application_id": registration_id}
                for uri in wanted
            ],
        )
    return changed(session, actor, found, Change("IdentifierUris", before, wanted))


def _is_identifier(uri: str, app_id: UUID, tenant_id: UUID, domains: Sequence[str]) -> bool:
    if len(uri) > 255 or not re.fullmatch(r"[\x21-\x7e]+", uri):
        return False
    parts = urlsplit(uri)
    if parts.query or parts.fragment or "@" in parts.netloc:
        return False
    host = parts.netloc.lower()
    own_domain = any(host == name or host.endswith(f".{name}") for name in domains)
    if parts.scheme == "api":
        return own_domain or host in (str(app_id), str(tenant_id))
    return parts.scheme == "https" and own_domain


# Shared ------------------------------------------------------------------------------------------


def _set(
    session: Session, actor: Actor, found: Registered, wanted: Mapping[str, Any]
) -> Registered:
    changes = []
    for name, value in wanted.items():
        before = getattr(found.registration, name)
        if before != value:
            setattr(found.registration, name, value)
            words = "".join(part.capitalize() for part in name.split("_"))
            changes.append(Change(words, before, value))
    return changed(session, actor, found, *changes)


def changed(session: Session, actor: Actor, found: Registered, *changes: Change) -> Registered:
    changes = tuple(change for change in changes if change.before != change.after)
    if changes:
        session.flush()
        one = found.registration
        audit.record(
            session,
            actor,
            Entry(Activity.UPDATE_REGISTRATION, "Application", one.id, one.display_name, changes),
        )
    return found


def checked_name(text: str) -> str:
    name = " ".join(text.split())
    if not name:
        raise Invalid("display_name", N_("Enter a name."))
    if len(name) > 120:
        raise Invalid("display_name", N_("Use at most %(most)s characters."), most=120)
    return name


def checked_text(text: str | None) -> str | None:
    return " ".join((text or "").split())[:1024] or None


def _redirects(wanted: Mapping[Platform, Sequence[str]]) -> dict[Platform, list[str]]:
    found: dict[Platform, list[str]] = {}
    for platform in Platform:
        uris = list(dict.fromkeys(uri.strip() for uri in wanted.get(platform, ())))
        for uri in uris:
            _check_redirect(uri, platform)
        found[platform] = uris
    if sum(len(uris) for uris in found.values()) > MOST_REDIRECTS:
        raise Invalid("redirect_uris", N_("At most %(most)s addresses."), most=MOST_REDIRECTS)
    return found


def _check_logout(url: str) -> None:
    """As a redirect URI of the platform *web*. Raises Invalid("logout_url")."""
    try:
        _check_redirect(url, Platform.WEB)
    except Invalid as error:
        error.field = "logout_url"
        raise


def _check_redirect(uri: str, platform: Platform) -> None:
    """https, or http on loopback; devices may have a scheme of their own. No fragment, no wildcard
    (threats.md, OIDC-1). Raises Invalid("redirect_uris").
    """
    refused = Invalid(
        "redirect_uris", N_("%(uri)s cannot be an address to go back to."), uri=uri[:200]
    )
    if len(uri) > LONGEST_REDIRECT or not re.fullmatch(
        r"[\x21\x23-\x3b\x3d\x3f-\x5b\x5d\x5f\x61-\x7a\x7e]+", uri
    ):
        raise refused
    try:
        parts = urlsplit(uri)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        raise refused from None
    if parts.fragment or "#" in uri or "*" in parts.netloc or "@" in parts.netloc:
        raise refused
    if parts.scheme == "https" and host:
        return
    if parts.scheme == "http" and host and links.is_loopback(host):
        return
    own_scheme = platform is Platform.PUBLIC and _SCHEME.fullmatch(parts.scheme)
    if not own_scheme or parts.scheme in _SCRIPTABLE | {"http", "https"}:
        raise refused
