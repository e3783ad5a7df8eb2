"""Secrets and certificates of app registrations, by which programs prove themselves."""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from b2b import certificates, keys
from b2b.actor import Actor
from b2b.errors import N_, Conflict, Invalid, NotFound
from b2b.models import ApplicationCredential, CredentialKind, SignInGrant
from b2b.services import audit
from b2b.services.app_registrations import Registered, for_change
from b2b.services.audit import Activity, Change, Entry

MOST_CREDENTIALS = 20
SECRET_DAYS = 180
"""Life of a secret unless something else is said; at most two years, as with the real service."""
MOST_SECRET_DAYS = 730


def credentials_of(session: Session, found: Registered) -> Sequence[ApplicationCredential]:
    """Its secrets and certificates, the newest first; no secret can be shown again."""
    return session.scalars(
        select(ApplicationCredential)
        .where(
            ApplicationCredential.tenant_id == found.registration.tenant_id,
            ApplicationCredential.application_id == found.registration.id,
        )
        .order_by(ApplicationCredential.id.desc())
    ).all()


def add_secret(
    session: Session,
    actor: Actor,
    registration_id: UUID,
    *,
    display_name: str | None = None,
    expires_at: datetime | None = None,
) -> tuple[ApplicationCredential, str]:
    """Make a secret; it is returned once and kept as a hash (threats.md, OIDC-9).

    Raises Denied, NotFound, Invalid("expires_at"), Conflict for one too many.
    """
    ends = expires_at or actor.now + timedelta(days=SECRET_DAYS)
    if not actor.now < ends <= actor.now + timedelta(days=MOST_SECRET_DAYS):
        raise Invalid("expires_at", N_("A secret lives for at most two years."))
    found = _for_credential(session, actor, registration_id)
    # 40 characters as the real service's, of which the first three are shown as the hint.
    secret = secrets.token_urlsafe(30)
    row = _new_credential(found, actor, CredentialKind.SECRET, display_name, ends)
    row.hint, row.secret_hash = secret[:3], keys.digest(secret)
    _added(session, actor, found, row)
    return row, secret


def add_certificate(
    session: Session,
    actor: Actor,
    registration_id: UUID,
    data: bytes,
    *,
    display_name: str | None = None,
) -> ApplicationCredential:
    """Take a certificate (PEM or DER) whose owner may sign in as the application.

    Raises Denied, NotFound, Invalid("certificate"), Conflict for one too many or known already.
    """
    try:
        read = certificates.read(data)
    except certificates.BadCertificate:
        raise Invalid(
            "certificate",
            N_("This is not a certificate with an RSA key of at least 2048 bits, as PEM or DER."),
        ) from None
    if read.ends_at <= actor.now:
        raise Invalid("certificate", N_("This certificate has expired."))
    found = _for_credential(session, actor, registration_id)
    if any(row.thumbprint == read.thumbprint for row in credentials_of(session, found)):
        raise Conflict(N_("This certificate is there already."))
    row = _new_credential(
        found, actor, CredentialKind.CERTIFICATE, display_name or read.subject, read.ends_at
    )
    row.certificate, row.thumbprint = read.der, read.thumbprint
    _added(session, actor, found, row)
    return row


def remove_credential(
    session: Session, actor: Actor, registration_id: UUID, credential_id: UUID
) -> ApplicationCredential:
    """Take a secret or certificate away; every token that it was shown for ends.

    Raises Denied, NotFound.
    """
    found = for_change(session, actor, registration_id)
    row = session.get(ApplicationCredential, (actor.tenant_id, credential_id))
    if row is None or row.application_id != registration_id:
        raise NotFound(N_("There is no secret or certificate with this id."))
    session.delete(row)
    session.execute(
        delete(SignInGrant).where(
            SignInGrant.app_id == found.registration.app_id,
            SignInGrant.credential_id == credential_id,
        )
    )
    session.flush()
    _credentials_changed(session, actor, found, Change(_kind(row), _named(row), None))
    return row


def _for_credential(session: Session, actor: Actor, registration_id: UUID) -> Registered:
    found = for_change(session, actor, registration_id)
    count = session.scalar(
        select(func.count())
        .select_from(ApplicationCredential)
        .where(
            ApplicationCredential.tenant_id == actor.tenant_id,
            ApplicationCredential.application_id == registration_id,
        )
    )
    if (count or 0) >= MOST_CREDENTIALS:
        raise Conflict(
            N_("At most %(most)s secrets and certificates; remove one first."),
            most=MOST_CREDENTIALS,
        )
    return found


def _new_credential(
    found: Registered,
    actor: Actor,
    kind: CredentialKind,
    display_name: str | None,
    ends: datetime,
) -> ApplicationCredential:
    return ApplicationCredential(
        tenant_id=actor.tenant_id,
        id=uuid4(),
        application_id=found.registration.id,
        kind=kind,
        display_name=(display_name or "").strip()[:90] or None,
        created_at=actor.now,
        expires_at=ends,
    )


def _added(session: Session, actor: Actor, found: Registered, row: ApplicationCredential) -> None:
    session.add(row)
    session.flush()
    _credentials_changed(session, actor, found, Change(_kind(row), None, _named(row)))


def _kind(row: ApplicationCredential) -> str:
    return "PasswordCredential" if row.kind is CredentialKind.SECRET else "KeyCredential"


def _named(row: ApplicationCredential) -> str:
    return f"{row.id} {row.display_name or row.hint or row.thumbprint or ''}".strip()


def _credentials_changed(session: Session, actor: Actor, found: Registered, change: Change) -> None:
    one = found.registration
    audit.record(
        session,
        actor,
        Entry(Activity.CHANGE_CREDENTIALS, "Application", one.id, one.display_name, [change]),
    )
