"""Claims mapping: what an application's tokens say besides, from facts of the person or fixed
(tokens.md, section 4; Graph's claimsMappingPolicy).

It is kept with the service principal, so that each tenant decides for itself, and in Graph's words.
What protocols and access decisions rest on cannot be mapped: a claim that an administrator of one
application writes must never be taken for one that this program vouches for.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, Conflict, Invalid, NotFound
from b2b.models import ServicePrincipal, Tenant, User
from b2b.services import applications, audit
from b2b.services.audit import Activity, Change, Entry

MOST = 50
LONGEST_NAME, LONGEST_VALUE = 120, 1024
RESTRICTED = frozenset(
    {
        "_claim_names", "_claim_sources", "acct", "acr", "acrs", "aio", "altsecid", "amr",
        "app_displayname", "appid", "appidacr", "at_hash", "aud", "auth_time", "azp", "azpacr",
        "c_hash", "cid", "client_id", "cnf", "email", "email_verified", "exp", "groups",
        "hasgroups", "home_oid", "iat", "idp", "idtyp", "iss", "jti", "login_hint", "nbf", "nonce",
        "oid", "onprem_sid", "preferred_username", "rh", "role", "roles", "scope", "scp", "sid",
        "sub", "tid", "typ", "unique_name", "upn", "uti", "ver", "verified_primary_email",
        "verified_secondary_email", "wids", "xms_cc", "xms_tdbr",
    }
)  # fmt: skip
"""Claims that nobody may map: a mapped e-mail address, for one, would let somebody pass for another
at programs that know people by it.
"""
BASIC = frozenset(
    {
        "email", "family_name", "given_name", "name", "preferred_username", "unique_name", "upn",
    }
)  # fmt: skip
"""The basic claim set: it can be left out."""
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:/-]*")

Fact = Callable[[User, Tenant, ServicePrincipal], object]
SOURCES: Mapping[tuple[str, str], Fact] = {
    ("user", "displayname"): lambda user, *_: user.display_name,
    ("user", "givenname"): lambda user, *_: user.given_name,
    ("user", "surname"): lambda user, *_: user.surname,
    ("user", "mail"): lambda user, *_: user.mail,
    ("user", "othermail"): lambda user, *_: user.other_mails,
    ("user", "userprincipalname"): lambda user, *_: user.user_principal_name,
    ("user", "mailnickname"): lambda user, *_: user.mail_nickname,
    ("user", "objectid"): lambda user, *_: str(user.id),
    ("user", "usertype"): lambda user, *_: str(user.user_type),
    ("user", "companyname"): lambda user, *_: user.company_name,
    ("user", "department"): lambda user, *_: user.department,
    ("user", "jobtitle"): lambda user, *_: user.job_title,
    ("user", "telephonenumber"): lambda user, *_: user.mobile_phone,
    ("user", "usagelocation"): lambda user, *_: user.usage_location,
    ("user", "preferredlanguage"): lambda user, *_: user.preferred_language,
    ("company", "displayname"): lambda _, tenant, __: tenant.display_name,
    ("company", "domain"): lambda _, tenant, __: tenant.primary_domain,
    ("company", "objectid"): lambda _, tenant, __: str(tenant.id),
    ("application", "displayname"): lambda _, __, application: application.display_name,
    ("application", "objectid"): lambda _, __, application: str(application.id),
}
"""Graph's Source and ID, in small letters, and the fact that they name."""


@dataclass(frozen=True)
class Mapped:
    """One claim: a fact by its source, or else a fixed value."""

    claim: str
    source: tuple[str, str] | None = None
    value: str | None = None

    def as_graph(self) -> dict[str, str]:
        """An entry of Graph's ClaimsSchema."""
        if self.source is None:
            return {"Value": self.value or "", "JwtClaimType": self.claim}
        return {"Source": self.source[0], "ID": self.source[1], "JwtClaimType": self.claim}


@dataclass(frozen=True)
class Policy:
    """What an application's tokens say besides, and whether the basic claims stay in them."""

    claims: tuple[Mapped, ...] = ()
    keeps_basic: bool = True

    def as_graph(self) -> dict[str, Any]:
        """Graph's ClaimsMappingPolicy; {} when it changes nothing."""
        if not self.claims and self.keeps_basic:
            return {}
        return {
            "Version": 1,
            "IncludeBasicClaimSet": "true" if self.keeps_basic else "false",
            "ClaimsSchema": [one.as_graph() for one in self.claims],
        }


NONE = Policy()


def of(application: ServicePrincipal) -> Policy:
    """The application's policy in its tenant."""
    return read(application.claims_mapping) if application.claims_mapping else NONE


def read(definition: Mapping[str, Any]) -> Policy:
    """Read Graph's ClaimsMappingPolicy. Raises Invalid("claims_mapping")."""
    refused = Invalid("claims_mapping", N_("This policy is not written as it should be."))
    unknown = set(definition) - {"Version", "IncludeBasicClaimSet", "ClaimsSchema"}
    schema = definition.get("ClaimsSchema", [])
    basic = str(definition.get("IncludeBasicClaimSet", "true")).lower()
    if (
        unknown
        or definition.get("Version", 1) != 1
        or basic not in ("true", "false")
        or not isinstance(schema, list)
    ):
        raise refused
    found = []
    for entry in schema:
        if not isinstance(entry, dict) or not all(isinstance(v, str) for v in entry.values()):
            raise refused
        if "JwtClaimType" not in entry:
            continue  # for SAML alone
        source = None
        if "Source" in entry:
            source = (entry["Source"].lower(), entry.get("ID", "").lower())
        elif "Value" not in entry:
            raise refused
        found.append(checked(Mapped(entry["JwtClaimType"], source, entry.get("Value"))))
    _check_whole(found)
    return Policy(tuple(found), basic == "true")


def checked(one: Mapped) -> Mapped:
    """*one*, if it may be mapped. Raises Invalid: claim, source or value."""
    if not _NAME.fullmatch(one.claim) or len(one.claim) > LONGEST_NAME:
        raise Invalid(
            "claim", N_("Use letters, digits and the signs _ . : / - and begin with a letter.")
        )
    if one.claim.lower() in RESTRICTED:
        raise Invalid("claim", N_("%(name)s cannot be mapped."), name=one.claim)
    if one.source is not None:
        if one.source not in SOURCES:
            raise Invalid("source", N_("This fact is not known here."))
        return Mapped(one.claim, one.source)
    value = (one.value or "").strip()
    if not value or len(value) > LONGEST_VALUE or not value.isprintable():
        raise Invalid("value", N_("Enter a value of at most %(most)s characters."), most=1024)
    return Mapped(one.claim, None, value)


def _check_whole(claims: list[Mapped]) -> None:
    if len({one.claim for one in claims}) < len(claims):
        raise Invalid("claim", N_("There is a claim with this name already."))
    if len(claims) > MOST:
        raise Invalid("claim", N_("At most %(most)s claims."), most=MOST)


def set_policy(
    session: Session, actor: Actor, application_id: UUID, wanted: Policy
) -> ServicePrincipal:
    """Say what the application's tokens hold from now on. Raises Denied, NotFound, Invalid."""
    audit.lock(session, actor.tenant_id)
    application = applications.managed(session, actor, application_id)
    _check_whole([checked(one) for one in wanted.claims])
    before, after = application.claims_mapping, wanted.as_graph()
    if before != after:
        application.claims_mapping = after
        session.flush()
        audit.record(
            session,
            actor,
            Entry(
                Activity.UPDATE_APPLICATION,
                "ServicePrincipal",
                application.id,
                application.display_name,
                [Change("ClaimsMappingPolicy", before, after)],
            ),
        )
    return application


def add(session: Session, actor: Actor, application_id: UUID, one: Mapped) -> ServicePrincipal:
    """Map one more claim. Raises Denied, NotFound, Invalid."""
    now = of(applications.managed(session, actor, application_id))
    wanted = Policy((*now.claims, one), now.keeps_basic)
    return set_policy(session, actor, application_id, wanted)


def remove(session: Session, actor: Actor, application_id: UUID, claim: str) -> ServicePrincipal:
    """Map a claim no longer. Raises Denied, NotFound, Conflict when it is not mapped."""
    now = of(applications.managed(session, actor, application_id))
    left = tuple(one for one in now.claims if one.claim != claim)
    if len(left) == len(now.claims):
        raise Conflict(N_("%(name)s is not mapped any more."), name=claim)
    return set_policy(session, actor, application_id, Policy(left, now.keeps_basic))


def keep_basic(session: Session, actor: Actor, application_id: UUID, keep: bool) -> None:
    """Say whether the basic claims stay in the application's tokens. Raises Denied, NotFound."""
    now = of(applications.managed(session, actor, application_id))
    set_policy(session, actor, application_id, Policy(now.claims, keep))


def applied(
    session: Session, claims: Mapping[str, Any], user: User, audience: ServicePrincipal
) -> dict[str, Any]:
    """*claims* of a token for *audience* with its policy: values of people are theirs as the
    tenant knows them, and a fact without a value gives no claim.
    """
    policy = of(audience)
    if policy is NONE:
        return dict(claims)
    found = {n: v for n, v in claims.items() if policy.keeps_basic or n not in BASIC}
    tenant = session.get(Tenant, user.tenant_id)
    if tenant is None:
        raise NotFound(N_("This page does not exist."))
    for one in policy.claims:
        value = one.value if one.source is None else SOURCES[one.source](user, tenant, audience)
        found.pop(one.claim, None)
        if value:
            found[one.claim] = value
    return found
