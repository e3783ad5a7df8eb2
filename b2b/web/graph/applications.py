"""App registrations: `/applications` (groups-apps-roles.md, section 2)."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import select

from b2b.models import (
    Application,
    AppRole,
    Audience,
    CredentialKind,
    GroupClaims,
    IdentifierUri,
    PermissionScope,
    Platform,
    ServicePrincipal,
    Tenant,
)
from b2b.services import app_credentials, app_registrations, applications
from b2b.services.app_registrations import Facts, Registered, RequiredAccess
from b2b.web.graph import access, credentials, listing, offers, resources, seeing, values
from b2b.web.graph.calls import NO_CONTENT, Answer, Call, alternate_key, bad, missing, route
from b2b.web.graph.listing import Source
from b2b.web.graph.odata import instant as read_instant
from b2b.web.graph.resources import (
    BOOLEAN,
    GUID,
    INSTANT,
    STRING,
    STRINGS,
    Filter,
    Kind,
    Property,
    plain,
    text,
)

CODE = "Request_BadRequest"

# What is kept elsewhere --------------------------------------------------------------------------


def _principals(call: Call, ids: Collection[UUID]) -> dict[UUID, ServicePrincipal]:
    """What registrations are in their own tenant, by the registration's id."""
    rows = call.session.execute(
        select(Application.id, ServicePrincipal)
        .join(
            ServicePrincipal,
            (ServicePrincipal.tenant_id == Application.tenant_id)
            & (ServicePrincipal.app_id == Application.app_id),
        )
        .where(Application.tenant_id == call.actor.tenant_id, Application.id.in_(list(ids)))
    )
    return {row[0]: row[1] for row in rows}


def _offered(model: Any) -> resources.Load:
    def load(call: Call, ids: Collection[UUID]) -> Mapping[UUID, Any]:
        principals = _principals(call, ids)
        made = offers.of_principals(call, model, [one.id for one in principals.values()])
        return {key: made[one.id] for key, one in principals.items()}

    return load


def _api(call: Call, ids: Collection[UUID]) -> Mapping[UUID, Any]:
    scopes = _offered(PermissionScope)(call, ids)
    versions = call.session.execute(
        select(Application.id, Application.access_token_version).where(
            Application.tenant_id == call.actor.tenant_id, Application.id.in_(list(ids))
        )
    )
    return {
        key: {
            "acceptMappedClaims": None,
            "knownClientApplications": [],
            "requestedAccessTokenVersion": version,
            "oauth2PermissionScopes": scopes.get(key, []),
            "preAuthorizedApplications": [],
        }
        for key, version in versions
    }


def _web(call: Call, ids: Collection[UUID]) -> Mapping[UUID, Any]:
    principals = _principals(call, ids)
    rows = call.session.scalars(
        select(Application).where(
            Application.tenant_id == call.actor.tenant_id, Application.id.in_(list(ids))
        )
    )
    return {
        row.id: {
            "homePageUrl": principals[row.id].sign_in_url if row.id in principals else None,
            "logoutUrl": row.logout_url,
            "redirectUris": row.redirect_uris,
            "implicitGrantSettings": {
                "enableAccessTokenIssuance": row.issues_access_tokens,
                "enableIdTokenIssuance": row.issues_id_tokens,
            },
            "redirectUriSettings": [{"uri": uri, "index": None} for uri in row.redirect_uris],
        }
        for row in rows
    }


def _description(call: Call, ids: Collection[UUID]) -> Mapping[UUID, Any]:
    return {key: one.description for key, one in _principals(call, ids).items()}


def _uris(call: Call, ids: Collection[UUID]) -> Mapping[UUID, Any]:
    found: dict[UUID, list[str]] = {}
    rows = call.session.execute(
        select(IdentifierUri.application_id, IdentifierUri.uri)
        .where(
            IdentifierUri.tenant_id == call.actor.tenant_id,
            IdentifierUri.application_id.in_(list(ids)),
        )
        .order_by(IdentifierUri.uri)
    )
    for application_id, uri in rows:
        found.setdefault(application_id, []).append(uri)
    return found


def _publisher(call: Call, ids: Collection[UUID]) -> Mapping[UUID, Any]:
    domain = call.session.get_one(Tenant, call.actor.tenant_id).primary_domain
    return dict.fromkeys(ids, domain)


def _optional_claims(row: Any) -> dict[str, Any] | None:
    if not row.optional_claims:
        return None
    kinds = {
        kind: [
            {"name": one["name"], "source": None, "essential": False,
             "additionalProperties": one.get("additionalProperties", [])}
            for one in row.optional_claims.get(kind, [])
        ]
        for kind in ("idToken", "accessToken")
    }  # fmt: skip
    return {**kinds, "saml2Token": []}


# The table ---------------------------------------------------------------------------------------

APPLICATION = resources.kind(
    Kind(
        "application",
        "applications",
        Application,
        resources.table(
            Property("id", STRING, Application.id, default=True,
                     filter=Filter(Application.id, frozenset({"eq", "in", "ne", "not"}),
                                   compares=GUID, indexed=True)),
            plain("deletedDateTime", INSTANT, None, default=True, read=lambda _: None),
            Property("api", "graph.apiApplication", default=True, load=_api, write="api"),
            Property("appId", STRING, Application.app_id, default=True,
                     filter=Filter(Application.app_id, frozenset({"eq", "in", "ne", "not"}),
                                   compares=GUID, indexed=True)),
            Property("appRoles", "Collection(graph.appRole)", default=True,
                     load=_offered(AppRole), write="app_roles"),
            plain("createdDateTime", INSTANT, Application.created_at, "eq ge le gt lt in | ne not",
                  default=True, order=Application.created_at, order_is_advanced=True),
            text("description", default=True, column=None, load=_description,
                 write="description"),
            text("displayName", Application.display_name, "eq in startswith ge le | ne not",
                 key=ServicePrincipal.name_key, default=True, order=ServicePrincipal.name_key,
                 search="start", write="display_name"),
            text("groupMembershipClaims", None, columns=(Application.group_claims,),
                 default=True, write="group_claims",
                 read=lambda row: None if row.group_claims is GroupClaims.NONE
                 else str(row.group_claims)),
            Property("identifierUris", STRINGS, default=True, load=_uris,
                     write="identifier_uris"),
            plain("isFallbackPublicClient", BOOLEAN, Application.is_public, default=True,
                  write="is_public"),
            Property("keyCredentials", "Collection(graph.keyCredential)", default=True,
                     load=credentials.of_kind(CredentialKind.CERTIFICATE),
                     write="certificates"),
            Property("optionalClaims", "graph.optionalClaims", default=True,
                     columns=(Application.optional_claims,), read=_optional_claims,
                     write="optional_claims"),
            Property("passwordCredentials", "Collection(graph.passwordCredential)", default=True,
                     load=credentials.of_kind(CredentialKind.SECRET)),
            Property("publicClient", "graph.publicClientApplication", default=True,
                     columns=(Application.public_redirect_uris,), write="public_client",
                     read=lambda row: {"redirectUris": row.public_redirect_uris}),
            text("publisherDomain", None, default=True, load=_publisher),
            Property("requiredResourceAccess", "Collection(graph.requiredResourceAccess)",
                     Application.required_access, default=True, write="required_access"),
            text("signInAudience", Application.sign_in_audience, "eq in | ne not", default=True,
                 write="audience", read=lambda row: str(row.sign_in_audience)),
            Property("spa", "graph.spaApplication", default=True,
                     columns=(Application.spa_redirect_uris,), write="spa",
                     read=lambda row: {"redirectUris": row.spa_redirect_uris}),
            Property("tags", STRINGS, default=True, read=lambda _: []),
            Property("verifiedPublisher", "graph.verifiedPublisher", default=True,
                     columns=(Application.verified_publisher,),
                     read=lambda row: {"displayName": row.verified_publisher,
                                       "verifiedPublisherId": None, "addedDateTime": None}),
            Property("web", "graph.webApplication", default=True, load=_web, write="web"),
        ),
    )
)  # fmt: skip


def _all(call: Call) -> Source:
    """The registrations of the directory, by name."""
    return Source(
        APPLICATION,
        [Application.tenant_id == call.actor.tenant_id],
        joins=lambda query: query.join(
            ServicePrincipal,
            (ServicePrincipal.tenant_id == Application.tenant_id)
            & (ServicePrincipal.app_id == Application.app_id),
        ),
    )


def meant(call: Call) -> Registered:
    """The registration of the path, by its id or `appId='…'`. Raises GraphError (404)."""
    key = call.params["application"]
    named = alternate_key(key)
    if named is None:
        return app_registrations.get(call.session, call.actor, call.id("application"))
    if named[0].lower() != "appid":
        raise bad(f"application has no key {named[0][:50]!r}.", code="BadRequest")
    app_id = values.identifier(named[1], "appId")
    return app_registrations.by_app_id(call.session, call.actor, app_id)


# Reading -----------------------------------------------------------------------------------------


@route("GET", "applications", needs=access.READ_APPLICATIONS, returns="Collection(application)")
def list_applications(call: Call) -> Answer:
    """List app registrations."""
    seeing.require_directory(call)
    return listing.collection(call, _all(call))


@route("GET", "applications/$count", needs=access.READ_APPLICATIONS, returns="Edm.Int32")
def count_applications(call: Call) -> Answer:
    """How many app registrations there are."""
    seeing.require_directory(call)
    return listing.count(call, _all(call))


@route(
    "GET",
    "applications/{application}",
    needs=access.READ_APPLICATIONS,
    returns="application",
)
def get_application(call: Call) -> Answer:
    """One app registration, by id or client id."""
    return listing.entity(call, APPLICATION, meant(call).registration)


# Writing -----------------------------------------------------------------------------------------

_TAKEN = {"Conflict": (409, "Request_MultipleObjectsWithSameKeyValue")}


@route(
    "POST",
    "applications",
    needs=access.CHANGE_APPLICATIONS,
    takes="application",
    returns="application",
    refusals=_TAKEN,
)
def create_application(call: Call) -> Answer:
    """Register an application; its service principal is made with it."""
    wanted = values.changes(APPLICATION, call.body())
    name = wanted.pop("display_name", None)
    if not name:
        raise bad("The property displayName is required.", target="displayName")
    audience = _audience(wanted.pop("audience", None)) or Audience.THIS_ORGANISATION
    made = app_registrations.register(call.session, call.actor, name, Facts(audience=audience))
    _apply(call, made, wanted)
    call.session.flush()
    answer = listing.entity(call, APPLICATION, made.registration, status=201)
    location = f"{call.root}/applications/{made.registration.id}"
    return Answer(201, answer.body, headers={"Location": location})


@route(
    "PATCH",
    "applications/{application}",
    needs=access.CHANGE_APPLICATIONS,
    takes="application",
    refusals=_TAKEN,
)
def update_application(call: Call) -> Answer:
    """Change an app registration."""
    found = meant(call)
    wanted = values.changes(APPLICATION, call.body())
    audience = _audience(wanted.pop("audience", None))
    if audience is not None:
        app_registrations.set_authentication(
            call.session, call.actor, found.registration.id, audience=audience
        )
    _apply(call, found, wanted)
    return NO_CONTENT


@route("DELETE", "applications/{application}", needs=access.CHANGE_APPLICATIONS)
def delete_application(call: Call) -> Answer:
    """Delete an app registration, and what it is in every organisation, for good."""
    app_registrations.remove(call.session, call.actor, meant(call).registration.id)
    return NO_CONTENT


def _audience(value: str | None) -> Audience | None:
    if value is None:
        return None
    if value not in set(Audience):
        raise bad(f"signInAudience is one of {', '.join(Audience)}.", target="signInAudience")
    return Audience(value)


def _apply(call: Call, found: Registered, wanted: Mapping[str, Any]) -> None:
    """Set facts of a registration, each by the service that pages ask for it."""
    session, actor, key = call.session, call.actor, found.registration.id
    if "display_name" in wanted:
        app_registrations.rename(session, actor, key, wanted["display_name"] or "")
    if "description" in wanted:
        text_ = {"description": wanted["description"]}
        applications.change(session, actor, found.principal.id, text_)
    if wanted.get("is_public") is not None:
        app_registrations.set_authentication(session, actor, key, is_public=wanted["is_public"])
    _set_redirects(call, found, wanted)
    if "web" in wanted:
        _set_web(call, found, wanted["web"] or {})
    if "api" in wanted:
        _set_api(call, found, wanted["api"] or {})
    if "app_roles" in wanted:
        offers.set_roles(call, found, wanted["app_roles"])
    if "certificates" in wanted:
        credentials.set_certificates(call, found, wanted["certificates"])
    if "identifier_uris" in wanted:
        app_registrations.set_identifier_uris(session, actor, key, wanted["identifier_uris"])
    if "required_access" in wanted:
        listed = [RequiredAccess.from_graph(one) for one in wanted["required_access"]]
        app_registrations.set_required_access(session, actor, key, listed)
    if "optional_claims" in wanted or "group_claims" in wanted:
        _set_tokens(call, found, **{
            name: wanted[name] for name in ("optional_claims", "group_claims") if name in wanted
        })  # fmt: skip


def _set_redirects(call: Call, found: Registered, wanted: Mapping[str, Any]) -> None:
    known = {
        Platform.WEB: (wanted.get("web"), "web"),
        Platform.SPA: (wanted.get("spa"), "spa"),
        Platform.PUBLIC: (wanted.get("public_client"), "publicClient"),
    }
    uris = {}
    for platform, (part, name) in known.items():
        if not part:
            continue
        if platform is not Platform.WEB:
            values.only(name, part, "redirectUris")
        if "redirectUris" in part:
            uris[platform] = values.items(part, "redirectUris", code=CODE)
            if not all(isinstance(one, str) for one in uris[platform]):
                raise bad("redirectUris holds texts.", target=name)
    if uris:
        app_registrations.set_redirects(call.session, call.actor, found.registration.id, uris)


def _set_web(call: Call, found: Registered, part: Mapping[str, Any]) -> None:
    values.only("web", part, "redirectUris", "homePageUrl", "logoutUrl", "implicitGrantSettings",
                "redirectUriSettings")  # fmt: skip
    if "homePageUrl" in part:
        address = {"sign_in_url": values.text(part, "homePageUrl", code=CODE) or None}
        applications.change(call.session, call.actor, found.principal.id, address)
    implicit = values.part(part, "implicitGrantSettings", code=CODE)
    values.only(
        "implicitGrantSettings", implicit, "enableAccessTokenIssuance", "enableIdTokenIssuance"
    )
    logout = values.text(part, "logoutUrl", code=CODE) or ""
    app_registrations.set_authentication(
        call.session,
        call.actor,
        found.registration.id,
        issues_id_tokens=values.flag(implicit, "enableIdTokenIssuance", code=CODE),
        issues_access_tokens=values.flag(implicit, "enableAccessTokenIssuance", code=CODE),
        logout_url=logout if "logoutUrl" in part else None,
    )


def _set_api(call: Call, found: Registered, part: Mapping[str, Any]) -> None:
    values.only("api", part, "acceptMappedClaims", "knownClientApplications",
                "oauth2PermissionScopes", "preAuthorizedApplications",
                "requestedAccessTokenVersion")  # fmt: skip
    for name in ("knownClientApplications", "preAuthorizedApplications"):
        if values.items(part, name, code=CODE):
            raise bad(f"{name} is not supported.", target="api")
    if "requestedAccessTokenVersion" in part:
        version = part["requestedAccessTokenVersion"]
        if version is not None and type(version) is not int:
            raise bad("requestedAccessTokenVersion is null, 1 or 2.", target="api")
        _set_tokens(call, found, access_token_version=version)
    if "oauth2PermissionScopes" in part:
        scopes = values.items(part, "oauth2PermissionScopes", code=CODE)
        offers.set_scopes(call, found, scopes)


def _set_tokens(call: Call, found: Registered, **wanted: Any) -> None:
    """Some of what its tokens look like; the rest stays."""
    one = found.registration
    facts: dict[str, Any] = {
        "access_token_version": one.access_token_version,
        "token_seconds": one.token_seconds,
        "optional_claims": one.optional_claims,
        "group_claims": one.group_claims,
        **wanted,
    }
    said = facts["group_claims"] or GroupClaims.NONE
    if said not in set(GroupClaims):
        raise bad(
            f"groupMembershipClaims is null or one of {', '.join(GroupClaims)}.",
            target="groupMembershipClaims",
        )
    facts["group_claims"] = GroupClaims(said)
    app_registrations.set_tokens(call.session, call.actor, one.id, **facts)


# Secrets -----------------------------------------------------------------------------------------


@route(
    "POST",
    "applications/{application}/addPassword",
    needs=access.CHANGE_APPLICATIONS,
    takes="passwordCredential",
    returns="passwordCredential",
)
def add_password(call: Call) -> Answer:
    """Make a secret, which is told in this answer and never again."""
    body = call.body()
    values.only("addPassword", body, "passwordCredential")
    wanted = values.part(body, "passwordCredential", code=CODE)
    values.only(
        "passwordCredential", wanted, "displayName", "startDateTime", "endDateTime",
        "customKeyIdentifier", "hint", "keyId", "secretText",
    )  # fmt: skip
    ends = values.text(wanted, "endDateTime", code=CODE)
    expires_at = None if ends is None else read_instant(ends)
    if ends is not None and expires_at is None:
        raise bad("endDateTime has to be a time such as 2030-01-01T00:00:00Z.",
                  target="endDateTime")  # fmt: skip
    row, secret = app_credentials.add_secret(
        call.session,
        call.actor,
        meant(call).registration.id,
        display_name=values.text(wanted, "displayName", code=CODE),
        expires_at=expires_at,
    )
    context = {"@odata.context": call.context("microsoft.graph.passwordCredential")}
    return Answer(body={**context, **credentials.password(row, secret)})


@route(
    "POST",
    "applications/{application}/removePassword",
    needs=access.CHANGE_APPLICATIONS,
    takes="keyId",
)
def remove_password(call: Call) -> Answer:
    """Take a secret away; tokens that it was shown for end."""
    body = call.body()
    values.only("removePassword", body, "keyId")
    key = values.identifier(body.get("keyId"), "keyId")
    found = meant(call)
    known = app_credentials.credentials_of(call.session, found)
    if not any(one.id == key and one.kind is CredentialKind.SECRET for one in known):
        raise missing(key)
    app_credentials.remove_credential(call.session, call.actor, found.registration.id, key)
    return NO_CONTENT
