"""Programs at the identity platform’s doors: which one, in which tenant, and is it the one?"""

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import unquote_plus
from uuid import UUID

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from b2b import certificates, jose, keys, links
from b2b.models import (
    Application,
    ApplicationCredential,
    CredentialKind,
    Domain,
    Platform,
    ServicePrincipal,
    Tenant,
    TenantKind,
    TenantPolicy,
)
from b2b.services import applications
from b2b.services.aadsts import SignInRefused

COMMON, ORGANISATIONS, CONSUMERS = "common", "organizations", "consumers"
SHARED = frozenset({COMMON, ORGANISATIONS, CONSUMERS})
"""Names that stand for several tenants, or for the directory of personal accounts."""
CONSUMER_TENANT = UUID("9188040d-6c67-4c5b-b112-36a304b66dad")
"""The id by which clients know the directory of personal accounts (tokens.md, section 1)."""
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_LONGEST_ASSERTION = timedelta(hours=24)
_SKEW = timedelta(minutes=5)

Parameters = Mapping[str, Sequence[str]]
"""Values of each parameter, in the order in which they came."""

_TENANT = re.compile(r"[A-Za-z0-9.-]{1,253}")
_LOOPBACK = re.compile(r"(http://(?:localhost|127\.0\.0\.1|\[::1\])):\d{1,5}(?=/|\Z)")


def one(parameters: Parameters, name: str) -> str | None:
    """The only value of a parameter; none and an empty one are alike. Raises SignInRefused."""
    values = parameters.get(name, ())
    if len(values) > 1:
        raise SignInRefused(9000411, name=name)
    return values[0] if values and values[0] else None


def needed(parameters: Parameters, name: str) -> str:
    """The only value of a parameter that has to be there. Raises SignInRefused."""
    value = one(parameters, name)
    if value is None:
        raise SignInRefused(900144, name=name)
    return value


# The tenant --------------------------------------------------------------------------------------


# Statements that every request needs are put together once: that takes longer than running them.
_PERSONAL = select(Tenant).where(Tenant.kind == TenantKind.CONSUMER)
_TENANT_BY_ID = select(Tenant).where(Tenant.id == bindparam("id"))
_TENANT_BY_DOMAIN = (
    select(Tenant)
    .join(Domain, Domain.tenant_id == Tenant.id)
    .where(
        Domain.name == bindparam("domain"),
        Domain.verified_at.is_not(None),
        Tenant.kind == TenantKind.ORGANISATION,
    )
)


def tenant_named(session: Session, name: str) -> Tenant:
    """The organisation with this id or verified domain. Raises SignInRefused."""
    if name.lower() in SHARED:
        raise SignInRefused(50194, name=name)
    found = place_named(session, name)
    assert found is not None
    return found


def place_named(session: Session, name: str) -> Tenant | None:
    """The directory that an address names; None where several are meant. Raises SignInRefused.

    `consumers`, its well-known id and the directory's own id are one.
    """
    known = name.lower()
    if known in (COMMON, ORGANISATIONS):
        return None
    if not _TENANT.fullmatch(name):
        raise SignInRefused(90002, name=name[:253])
    if known in (CONSUMERS, str(CONSUMER_TENANT)):
        found = session.scalars(_PERSONAL).one_or_none()
    else:
        try:
            found = session.scalars(_TENANT_BY_ID, {"id": UUID(name)}).one_or_none()
        except ValueError:
            found = session.scalars(_TENANT_BY_DOMAIN, {"domain": known}).one_or_none()
    if found is None:
        raise SignInRefused(90002, name=name[:253])
    return found


def policy_of(session: Session, tenant_id: UUID) -> TenantPolicy:
    """What the tenant has decided about sign-ins."""
    return session.get_one(TenantPolicy, tenant_id)


# The registration --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Client:
    """A registered application, and what it is in a tenant; *application* is None in a tenant
    that has not consented to a foreign one yet.
    """

    registration: Application
    tenant: Tenant
    application: ServicePrincipal | None
    app_id: UUID
    name: str
    """As the tenant calls it."""
    hears_of_ends: bool
    """Whether it wants to be told when a session ends."""
    credential: ApplicationCredential | None = None
    """What it has proven itself with."""

    @property
    def proof(self) -> str:
        """The claim `azpacr`: nothing, a secret, or a certificate."""
        if self.credential is None:
            return "0"
        return "1" if self.credential.kind is CredentialKind.SECRET else "2"

    @property
    def principal(self) -> ServicePrincipal:
        """What it is in the tenant, once there is consent. Raises SignInRefused."""
        if self.application is None:
            raise _unknown(str(self.registration.app_id), self.tenant)
        return self.application


def _unknown(client_id: str, tenant: Tenant | None) -> SignInRefused:
    return SignInRefused(
        700016,
        name=client_id[:64],
        application=client_id[:64],
        organisation="-" if tenant is None else tenant.display_name,
    )


_REGISTRATION = select(Application).where(Application.app_id == bindparam("app_id"))


def registration_of(session: Session, client_id: str, tenant: Tenant | None) -> Application:
    """The registration with this client id. Raises SignInRefused; *tenant* is for the words."""
    try:
        app_id = UUID(client_id)
    except ValueError:
        raise _unknown(client_id, tenant) from None
    found = session.scalars(_REGISTRATION, {"app_id": app_id}).one_or_none()
    if found is None:
        raise _unknown(client_id, tenant)
    return found


def in_tenant(session: Session, registration: Application, tenant: Tenant) -> Client:
    """The application in *tenant*. Raises SignInRefused where it is not meant to be, or is
    switched off.
    """
    if registration.tenant_id != tenant.id:
        audience = registration.sign_in_audience
        fits = (
            audience.takes_personal
            if tenant.kind is TenantKind.CONSUMER
            else audience.takes_organisations
        )
        if not fits:
            raise _unknown(str(registration.app_id), tenant)
    application = applications.by_app_id(session, tenant.id, registration.app_id)
    if application is None and registration.tenant_id == tenant.id:
        raise _unknown(str(registration.app_id), tenant)
    if application is not None and not application.account_enabled:
        raise SignInRefused(
            7000112, application=application.display_name, organisation=tenant.display_name
        )
    name = (application or registration).display_name
    hears = registration.logout_url is not None
    return Client(registration, tenant, application, registration.app_id, name, hears)


def check_shared(registration: Application, named: str) -> None:
    """Raise SignInRefused unless an address for several tenants suits the application."""
    audience = registration.sign_in_audience
    suits = {
        COMMON: audience.takes_organisations or audience.takes_personal,
        ORGANISATIONS: audience.takes_organisations,
    }[named.lower()]
    if not suits:
        raise SignInRefused(50194, name=named, application=registration.display_name)


def platform_of(registration: Application, uri: str) -> Platform | None:
    """The platform of a redirect URI, or None: it is compared character by character (OIDC-1).

    A loopback address that is registered for devices without a port stands for any port (RFC 8252,
    7.3).
    """
    for platform in Platform:
        if uri in registration.redirects_of(platform):
            return platform
    without_port = _LOOPBACK.sub(r"\1", uri, count=1) if _LOOPBACK.match(uri) else None
    if without_port in registration.public_redirect_uris:
        return Platform.PUBLIC
    return None


# Proving who it is -------------------------------------------------------------------------------


def with_basic(parameters: Parameters, basic: tuple[str, str] | None) -> dict[str, Sequence[str]]:
    """The parameters, with what the client said in the Authorization header instead.

    Clients differ about percent-encoding it (clients.md): the decoded form counts if it is a
    client id, and both forms of the secret are tried.
    """
    sent = dict(parameters)
    if basic is not None:
        name, secret = basic
        sent.setdefault("client_id", [unquote_plus(name)])
        if secret:
            sent["basic_secret"] = [secret, unquote_plus(secret)]
    return sent


def authenticate(
    session: Session,
    registration: Application,
    parameters: Parameters,
    *,
    is_public: bool,
    now: datetime,
    audiences: Sequence[str] = (),
) -> ApplicationCredential | None:
    """The credential that the request proves the client with; None for a public client.

    *is_public*: the grant was begun as one of a device or a script, or the registration allows to
    come without a proof. *audiences* are the addresses that an assertion may be made for. Raises
    SignInRefused.
    """
    secrets = list(parameters.get("basic_secret", ()))
    if (secret := one(parameters, "client_secret")) is not None:
        secrets.append(secret)
    assertion = one(parameters, "client_assertion")
    values = {"application": registration.display_name, "name": str(registration.app_id)}
    if not secrets and assertion is None:
        if is_public:
            return None
        raise SignInRefused(7000218, **values)
    kept = _credentials(session, registration)
    if is_public and not kept:
        raise SignInRefused(700025, **values)
    if assertion is not None:
        if one(parameters, "client_assertion_type") != ASSERTION_TYPE:
            raise SignInRefused(900144, **{**values, "name": "client_assertion_type"})
        return _by_assertion(registration, kept, assertion, audiences, now)
    return _by_secret(registration, kept, secrets, now)


def _credentials(session: Session, registration: Application) -> Sequence[ApplicationCredential]:
    return session.scalars(
        select(ApplicationCredential).where(
            ApplicationCredential.tenant_id == registration.tenant_id,
            ApplicationCredential.application_id == registration.id,
        )
    ).all()


def _by_secret(
    registration: Application,
    kept: Sequence[ApplicationCredential],
    secrets: Sequence[str],
    now: datetime,
) -> ApplicationCredential:
    digests = [keys.digest(secret) for secret in dict.fromkeys(secrets)]
    over = None
    for credential in kept:
        if credential.secret_hash is None:
            continue
        if any(hmac.compare_digest(credential.secret_hash, digest) for digest in digests):
            if credential.expires_at > now:
                return credential
            over = credential
    raise SignInRefused(
        7000215 if over is None else 7000222,
        application=registration.display_name,
        name=str(registration.app_id),
    )


def _by_assertion(
    registration: Application,
    kept: Sequence[ApplicationCredential],
    assertion: str,
    audiences: Sequence[str],
    now: datetime,
) -> ApplicationCredential:
    """The certificate that signed *assertion* (RFC 7523): iss and sub name the client, aud this
    endpoint, and it is about now.
    """
    values = {"application": registration.display_name, "name": str(registration.app_id)}
    try:
        hints = jose.key_hints(assertion)
        credential = _hinted(kept, hints)
        if credential is None or credential.certificate is None:
            raise SignInRefused(700027, **values)
        claims = jose.verified_by(assertion, certificates.public_key(credential.certificate))
        ends = float(claims["exp"])
        begins = float(claims.get("nbf", claims.get("iat", ends)))
    except (jose.Forged, KeyError, TypeError, ValueError) as error:
        raise SignInRefused(700027, **values) from error
    if credential.expires_at <= now:
        raise SignInRefused(7000222, **values)
    client_id = str(registration.app_id)
    if claims.get("iss") != client_id or claims.get("sub") != client_id:
        raise SignInRefused(700021, **values)
    named = claims.get("aud")
    if not {*(named if isinstance(named, list) else [named])} & set(audiences):
        raise SignInRefused(700023, **values)
    at, skew = now.timestamp(), _SKEW.total_seconds()
    longest = _LONGEST_ASSERTION.total_seconds()
    if not (begins - skew <= at < ends + skew and ends <= at + longest + skew):
        raise SignInRefused(700024, **values)
    return credential


def _hinted(
    kept: Sequence[ApplicationCredential], hints: Mapping[str, str]
) -> ApplicationCredential | None:
    """The certificate that a header names: by either digest, or by the older `kid`."""
    for credential in kept:
        if credential.certificate is None or credential.thumbprint is None:
            continue
        names = {
            "x5t": jose.text(bytes.fromhex(credential.thumbprint)),
            "x5t#S256": jose.text(certificates.thumbprint_sha256(credential.certificate)),
        }
        # Some libraries leave the padding on.
        if any(hints.get(name, "").rstrip("=") == value for name, value in names.items()):
            return credential
        if not set(names) & set(hints) and hints.get("kid", "").upper() == credential.thumbprint:
            return credential
    return None


def endpoints(tenant_id: UUID, named: str) -> list[str]:
    """Addresses that a client assertion may be made for: the token endpoint as it was asked, by
    the tenant's id, and the issuer.
    """
    return [
        links.absolute(f"/{name}{path}")
        for name in dict.fromkeys((named, str(tenant_id)))
        for path in ("/oauth2/v2.0/token", "/oauth2/token", "/v2.0")
    ]
