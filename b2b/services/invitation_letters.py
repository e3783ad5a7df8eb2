"""The letter of an invitation as an outbox row: data and ids, never the link itself."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from b2b.actor import Actor
from b2b.mail import outbox
from b2b.models import Tenant, TenantPolicy
from b2b.services.addresses import Address
from b2b.services.invitation_states import ends_at

_ADDRESS = re.compile(r"[\w.!#$%&'*+/=?^`{|}~-]+@([\w.-]+)", re.ASCII)


@dataclass(frozen=True)
class Wording:
    """What a letter says beside the names of inviter and organisation."""

    tenant: Tenant
    policy: TenantPolicy
    redirect_url: str
    message: str | None
    language: str | None
    applications: Sequence[str]
    """Names, as groups."""
    groups: Sequence[str]


def row(
    actor: Actor,
    wording: Wording,
    address: Address,
    *,
    invitation_id: UUID,
    version: int,
    key_id: str,
    template: str = "invitation",
    language: str | None = None,
) -> dict[str, Any]:
    """The outbox row; *language* is the guest's own, used when none was asked for (mail.md, 4)."""
    tenant = wording.tenant
    verified = actor.mail if actor.mail and _lies_in(actor.mail, tenant) else None
    ends = ends_at(actor.now, wording.policy.invitation_days)
    return outbox.row(
        actor.tenant_id,
        template,
        address.wire,
        {
            "invitation_id": str(invitation_id),
            "version": version,
            "key_id": key_id,
            "tenant_name": tenant.display_name,
            "tenant_domain": tenant.primary_domain,
            "branding": tenant.branding,
            "privacy_url": tenant.privacy_url,
            "inviter_name": actor.display_name,
            "inviter_mail": actor.mail,
            "reply_to": verified,
            "message": wording.message,
            "applications": list(wording.applications),
            "groups": list(wording.groups),
            "address": address.text,
            "redirect_url": wording.redirect_url,
            "ends_at": ends.isoformat() if ends else None,
        },
        now=actor.now,
        domain=tenant.primary_domain,
        about_id=invitation_id,
        language=wording.language or language or tenant.notification_language,
    )


def _lies_in(mail: str, tenant: Tenant) -> bool:
    """Reply-To is for addresses in the tenant's own domains only (decisions.md, subject, From)."""
    found = _ADDRESS.fullmatch(mail)
    return found is not None and found[1].lower() in {
        tenant.primary_domain,
        tenant.initial_domain,
    }
