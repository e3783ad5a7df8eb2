"""The organisation itself: `/organization` with its branding, `/domains` and `/subscribedSkus`."""

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from sqlalchemy import select

from b2b.models import Domain, PictureKind, Tenant
from b2b.services import audit, branding, licenses, permissions, pictures, policies
from b2b.services.licenses import Sku
from b2b.web.graph import access, fixed, resources, seeing, values
from b2b.web.graph.calls import NO_CONTENT, Answer, Call, GraphError, bad, missing, route
from b2b.web.graph.resources import BOOLEAN, INSTANT, STRING, STRINGS, Filter, Kind, Property

CODE = "Request_BadRequest"
_EXACT = Filter(None, fixed.OPERATORS)
UNLIMITED = 1_000_000
"""Licences that can be given of each kind: nothing is sold here."""


def _told(name: str, read: Any, type_: str = STRING, **facts: Any) -> Property:
    return Property(name, type_, default=True, read=read, **facts)


# Domains -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Named:
    """A domain and whose it is."""

    domain: Domain
    tenant: Tenant

    @property
    def is_initial(self) -> bool:
        """The first one it had."""
        return self.domain.name == self.tenant.initial_domain

    @property
    def is_default(self) -> bool:
        """The one that new sign-in names get."""
        return self.domain.name == self.tenant.primary_domain


DOMAIN = resources.kind(
    Kind(
        "domain",
        "domains",
        None,
        resources.table(
            _told("id", lambda row: row.domain.name, filter=_EXACT),
            _told("authenticationType", lambda _: "Managed", filter=_EXACT),
            _told("availabilityStatus", lambda _: None),
            _told("isAdminManaged", lambda _: True, BOOLEAN),
            _told("isDefault", lambda row: row.is_default, BOOLEAN, filter=_EXACT),
            _told("isInitial", lambda row: row.is_initial, BOOLEAN, filter=_EXACT),
            _told("isRoot", lambda _: True, BOOLEAN),
            _told("isVerified", lambda row: row.domain.verified_at is not None, BOOLEAN,
                  filter=_EXACT),
            _told("manufacturer", lambda _: None),
            _told("model", lambda _: None),
            _told("passwordNotificationWindowInDays", lambda _: None, "Edm.Int32"),
            _told("passwordValidityPeriodInDays", lambda _: None, "Edm.Int32"),
            _told("state", lambda _: None, "graph.domainState"),
            _told("supportedServices", lambda _: ["Email"], STRINGS),
        ),
    )
)  # fmt: skip


def _domains(call: Call) -> list[_Named]:
    tenant = call.session.get_one(Tenant, call.actor.tenant_id)
    rows = call.session.scalars(
        select(Domain).where(Domain.tenant_id == call.actor.tenant_id).order_by(Domain.name)
    )
    return [_Named(row, tenant) for row in rows]


@route("GET", "domains", needs=access.READ_DOMAINS, returns="Collection(domain)")
def list_domains(call: Call) -> Answer:
    """List the organisation's domains."""
    return fixed.collection(call, DOMAIN, _domains(call))


@route("GET", "domains/{domain}", needs=access.READ_DOMAINS, returns="domain")
def get_domain(call: Call) -> Answer:
    """One domain."""
    wanted = call.params["domain"].lower()
    for one in _domains(call):
        if one.domain.name == wanted:
            return fixed.entity(call, DOMAIN, one)
    raise missing(call.params["domain"])


# The organisation --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Company:
    """The tenant with its domains."""

    tenant: Tenant
    domains: list[_Named]


def _verified(row: _Company) -> list[dict[str, Any]]:
    return [
        {
            "capabilities": "Email",
            "isDefault": one.is_default,
            "isInitial": one.is_initial,
            "name": one.domain.name,
            "type": "Managed",
        }
        for one in row.domains
        if one.domain.verified_at is not None
    ]


def _privacy(row: _Company) -> dict[str, Any]:
    return {"contactEmail": row.tenant.privacy_contact, "statementUrl": row.tenant.privacy_url}


def _contacts(row: _Company) -> list[str]:
    return [row.tenant.technical_contact] if row.tenant.technical_contact else []


ORGANISATION = resources.kind(
    Kind(
        "organization",
        "organization",
        None,
        resources.table(
            _told("id", lambda row: str(row.tenant.id), filter=_EXACT),
            _told("deletedDateTime", lambda _: None, INSTANT),
            _told("businessPhones", lambda _: [], STRINGS),
            _told("city", lambda _: None),
            _told("country", lambda _: None),
            _told("countryLetterCode", lambda _: None),
            _told("createdDateTime", lambda row: resources.instant(row.tenant.created_at),
                  INSTANT),
            _told("defaultUsageLocation", lambda _: None),
            _told("displayName", lambda row: row.tenant.display_name, filter=_EXACT),
            _told("marketingNotificationEmails", lambda _: [], STRINGS),
            _told("onPremisesLastSyncDateTime", lambda _: None, INSTANT),
            _told("onPremisesSyncEnabled", lambda _: None, BOOLEAN),
            _told("postalCode", lambda _: None),
            _told("preferredLanguage", lambda row: row.tenant.notification_language,
                  write="notification_language"),
            _told("privacyProfile", _privacy, "graph.privacyProfile", write="privacy"),
            _told("securityComplianceNotificationMails", lambda _: [], STRINGS),
            _told("state", lambda _: None),
            _told("street", lambda _: None),
            _told("technicalNotificationMails", _contacts, STRINGS, write="technical_contacts"),
            _told("tenantType", lambda _: "AAD"),
            _told("verifiedDomains", _verified, "Collection(graph.verifiedDomain)"),
        ),
    )
)  # fmt: skip
_FOR_GUESTS = {"id", "displayName", "verifiedDomains"}


def _company(call: Call) -> _Company:
    """The organisation, whose id the path may name. Raises GraphError (404)."""
    tenant = call.session.get_one(Tenant, call.actor.tenant_id)
    if "organisation" in call.params and call.id("organisation") != tenant.id:
        raise missing(call.params["organisation"])
    return _Company(tenant, _domains(call))


def _hidden(call: Call) -> frozenset[str]:
    """Guests read the name and the domains (groups-apps-roles.md, section 5)."""
    if call.actor.is_guest and not permissions.is_admin(call.actor):
        return frozenset(ORGANISATION.properties) - _FOR_GUESTS
    return frozenset()


@route("GET", "organization", needs=access.READ_ORGANISATION, returns="Collection(organization)")
def list_organisations(call: Call) -> Answer:
    """The organisation, as a list of one."""
    return fixed.collection(call, ORGANISATION, [_company(call)], hidden=_hidden(call))


@route("GET", "organization/{organisation}", needs=access.READ_ORGANISATION, returns="organization")
def get_organisation(call: Call) -> Answer:
    """The organisation by its id."""
    return fixed.entity(call, ORGANISATION, _company(call), hidden=_hidden(call))


@route(
    "PATCH",
    "organization/{organisation}",
    needs=access.CHANGE_ORGANISATION,
    takes="organization",
)
def update_organisation(call: Call) -> Answer:
    """Say whom to ask about technical matters and privacy, and in which language mails are."""
    _company(call)
    wanted = values.changes(ORGANISATION, call.body())
    facts: dict[str, Any] = {}
    if "notification_language" in wanted:
        facts["notification_language"] = wanted["notification_language"] or ""
    if "technical_contacts" in wanted:
        if len(wanted["technical_contacts"]) > 1:
            raise bad("technicalNotificationMails holds one address at most.",
                      target="technicalNotificationMails")  # fmt: skip
        facts["technical_contact"] = "".join(wanted["technical_contacts"])
    if "privacy" in wanted:
        profile = wanted["privacy"] or {}
        values.only("privacyProfile", profile, "contactEmail", "statementUrl")
        facts["privacy_contact"] = values.text(profile, "contactEmail", code=CODE) or ""
        facts["privacy_url"] = values.text(profile, "statementUrl", code=CODE) or ""
    _save(call, **facts)
    return NO_CONTENT


def _save(call: Call, **facts: Any) -> None:
    policy = policies.of(call.session, call.actor)
    tenant = call.session.get_one(Tenant, call.actor.tenant_id)
    audit.lock(call.session, call.actor.tenant_id)
    call.session.refresh(policy)
    call.session.refresh(tenant)
    now = branding.now_set(tenant, policy)
    branding.save(call.session, call.actor, replace(now, **facts))


# Branding ----------------------------------------------------------------------------------------

_LOGOS = {
    "bannerlogo": ("banner", PictureKind.BANNER_LOGO),
    "squarelogo": ("square", PictureKind.SQUARE_LOGO),
}


def _relative(name: str) -> Any:
    def read(row: _Company) -> str | None:
        digest = (row.tenant.branding or {}).get(name)
        return None if digest is None else f"{row.tenant.id}/branding/{name}Logo?{digest[:16]}"

    return read


def _accent(row: _Company) -> str | None:
    found = (row.tenant.branding or {}).get("accent")
    return None if found is None else str(found)


BRANDING = resources.kind(
    Kind(
        "organizationalBranding",
        "branding",
        None,
        resources.table(
            _told("id", lambda _: "0"),
            _told("backgroundColor", _accent, write="accent"),
            _told("backgroundImageRelativeUrl", lambda _: None),
            _told("bannerLogoRelativeUrl", _relative("banner")),
            _told("cdnList", lambda _: [], STRINGS),
            _told("customPrivacyAndCookiesUrl", lambda row: row.tenant.privacy_url,
                  write="privacy_url"),
            _told("signInPageText", lambda _: None),
            _told("squareLogoRelativeUrl", _relative("square")),
            _told("usernameHintText", lambda _: None),
        ),
    )
)  # fmt: skip
_BRANDINGS = (
    "organization/{organisation}/branding",
    "organization/{organisation}/branding/localizations/0",
    "organization/{organisation}/branding/localizations/default",
)


@route("GET", *_BRANDINGS, needs=access.READ_BRANDING, returns="organizationalBranding")
def get_branding(call: Call) -> Answer:
    """How the organisation looks; the same in every language."""
    return fixed.entity(call, BRANDING, _company(call))


@route("PATCH", *_BRANDINGS, needs=access.CHANGE_BRANDING, takes="organizationalBranding")
def update_branding(call: Call) -> Answer:
    """Set the colour, and where the privacy statement lies."""
    _company(call)
    wanted = values.changes(BRANDING, call.body())
    _save(call, **{name: value or "" for name, value in wanted.items()})
    return NO_CONTENT


_PICTURES = tuple(f"{one}/{name}" for one in _BRANDINGS for name in ("bannerLogo", "squareLogo"))


def _logo(call: Call) -> tuple[str, PictureKind]:
    return _LOGOS[call.path.strip("/").rpartition("/")[2].lower()]


@route("GET", *_PICTURES, needs=access.READ_BRANDING, returns="Edm.Stream")
def get_logo(call: Call) -> Answer:
    """A logo."""
    tenant = _company(call).tenant
    found = pictures.find(call.session, tenant.id, tenant.id, _logo(call)[1])
    if found is None:
        raise GraphError(404, "Request_ResourceNotFound", "There is no such logo.")
    tag = {"ETag": f'"{found.digest[:32]}"'}
    return Answer(content=found.data, media_type=found.media_type, headers=tag)


@route("PUT", *_PICTURES, needs=access.CHANGE_BRANDING, takes="Edm.Stream")
def put_logo(call: Call) -> Answer:
    """Set a logo: JPEG or PNG, made anew."""
    _company(call)
    _save(call, uploads={_logo(call)[0]: _bytes(call)})
    return NO_CONTENT


def _bytes(call: Call) -> bytes:
    content = call.read_bytes()
    if not content:
        raise bad("A picture is needed: JPEG or PNG.")
    return content


@route("DELETE", *_PICTURES, needs=access.CHANGE_BRANDING)
def delete_logo(call: Call) -> Answer:
    """Do without a logo."""
    _company(call)
    _save(call, removed=frozenset({_logo(call)[0]}))
    return NO_CONTENT


# Licences ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Sold:
    """Something that can be licensed, and how many have it."""

    tenant_id: UUID
    sku: Sku
    used: int

    @property
    def id(self) -> str:
        """Tenant and licence in one word."""
        return f"{self.tenant_id}_{self.sku.id}"


SKU = resources.kind(
    Kind(
        "subscribedSku",
        "subscribedSkus",
        None,
        resources.table(
            _told("id", lambda row: row.id),
            _told("accountId", lambda row: str(row.tenant_id)),
            _told("appliesTo", lambda _: "User"),
            _told("capabilityStatus", lambda _: "Enabled"),
            _told("consumedUnits", lambda row: row.used, "Edm.Int32"),
            _told("prepaidUnits", lambda _: {"enabled": UNLIMITED, "suspended": 0, "warning": 0,
                                             "lockedOut": 0}, "graph.licenseUnitsDetail"),
            _told("servicePlans", lambda _: [], "Collection(graph.servicePlanInfo)"),
            _told("skuId", lambda row: str(row.sku.id), "Edm.Guid"),
            _told("skuPartNumber", lambda row: row.sku.part_number),
            _told("subscriptionIds", lambda _: [], STRINGS),
        ),
    )
)  # fmt: skip


def _skus(call: Call) -> list[_Sold]:
    seeing.require_member(call)
    used = licenses.counts(call.session, call.actor)
    return [_Sold(call.actor.tenant_id, sku, used.get(sku.id, 0)) for sku in licenses.SKUS]


@route("GET", "subscribedSkus", needs=access.READ_LICENCES, returns="Collection(subscribedSku)")
def list_skus(call: Call) -> Answer:
    """List what can be licensed to people."""
    return fixed.collection(call, SKU, _skus(call))


@route("GET", "subscribedSkus/{sku}", needs=access.READ_LICENCES, returns="subscribedSku")
def get_sku(call: Call) -> Answer:
    """One of them."""
    for one in _skus(call):
        if one.id == call.params["sku"].lower():
            return fixed.entity(call, SKU, one)
    raise missing(call.params["sku"])
