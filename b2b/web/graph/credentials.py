"""Secrets and certificates of app registrations as Graph writes them, and certificates as they are
sent (groups-apps-roles.md, section 2).
"""

import base64
import binascii
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select

from b2b.models import ApplicationCredential, CredentialKind
from b2b.services import app_credentials
from b2b.services.app_registrations import Registered
from b2b.web.graph import values
from b2b.web.graph.calls import Call, bad
from b2b.web.graph.resources import Load, instant

_CODE = "Request_BadRequest"
_SENT = (
    "customKeyIdentifier", "displayName", "endDateTime", "key", "keyId", "startDateTime", "type",
    "usage",
)  # fmt: skip


def of_kind(kind: CredentialKind) -> Load:
    """What reads the secrets, or the certificates, of a page of registrations."""

    def load(call: Call, ids: Collection[UUID]) -> Mapping[UUID, Any]:
        found: dict[UUID, list[dict[str, Any]]] = {}
        rows = call.session.scalars(
            select(ApplicationCredential)
            .where(
                ApplicationCredential.tenant_id == call.actor.tenant_id,
                ApplicationCredential.application_id.in_(list(ids)),
                ApplicationCredential.kind == kind,
            )
            .order_by(ApplicationCredential.id)
        )
        for row in rows:
            made = password(row) if kind is CredentialKind.SECRET else _key(row)
            found.setdefault(row.application_id, []).append(made)
        return found

    return load


def password(row: ApplicationCredential, secret: str | None = None) -> dict[str, Any]:
    """A passwordCredential; *secret* is told once."""
    return {
        "customKeyIdentifier": None,
        "displayName": row.display_name,
        "endDateTime": instant(row.expires_at),
        "hint": row.hint,
        "keyId": str(row.id),
        "secretText": secret,
        "startDateTime": instant(row.created_at),
    }


def _key(row: ApplicationCredential) -> dict[str, Any]:
    digest = bytes.fromhex(row.thumbprint or "")
    return {
        "customKeyIdentifier": base64.b64encode(digest).decode(),
        "displayName": row.display_name,
        "endDateTime": instant(row.expires_at),
        "key": None,
        "keyId": str(row.id),
        "startDateTime": instant(row.created_at),
        "type": "AsymmetricX509Cert",
        "usage": "Verify",
    }


def set_certificates(call: Call, found: Registered, listed: Sequence[Mapping[str, Any]]) -> None:
    """Make *listed* the certificates of a registration: those whose `keyId` is known stay, others
    that are there go, and what is new is added. Times are the certificate's own.

    Raises GraphError, and what `app_credentials` raises.
    """
    session, actor, application_id = call.session, call.actor, found.registration.id
    known = {
        row.id: row
        for row in app_credentials.credentials_of(session, found)
        if row.kind is CredentialKind.CERTIFICATE
    }
    staying: set[UUID] = set()
    added: list[tuple[bytes, str | None]] = []
    for one in listed:
        values.only("keyCredential", one, *_SENT)
        key = None
        if one.get("keyId") is not None:
            key = values.identifier(one["keyId"], "keyId", code=_CODE)
        if key in known:
            staying.add(key)
            continue
        for name, only in (("type", "AsymmetricX509Cert"), ("usage", "Verify")):
            if one.get(name) != only:
                raise bad(f"{name} of a keyCredential is {only}.", target="keyCredentials")
        added.append((_certificate(one), values.text(one, "displayName", code=_CODE)))
    for gone in known.keys() - staying:
        app_credentials.remove_credential(session, actor, application_id, gone)
    for data, title in added:
        app_credentials.add_certificate(session, actor, application_id, data, display_name=title)


def _certificate(sent: Mapping[str, Any]) -> bytes:
    text = values.text(sent, "key", required=True, code=_CODE)
    try:
        return base64.b64decode("".join((text or "").split()), validate=True)  # azure-cli wraps it
    except (binascii.Error, ValueError):
        raise bad("key of a keyCredential is base64.", target="keyCredentials") from None
