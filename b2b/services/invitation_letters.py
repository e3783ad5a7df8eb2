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
    copy_to: str | None = None
    """The address of the one person who gets a copy, and the name."""
    copy_name: str | None = None


def rows(
    actor: Actor,
    wording: Wording,
    address: Address,
    *,
    template: str = "invitation",
    **facts: Any,
) -> list[dict[str, Any]]:
    """The outbox rows of one invitation: the guest's first, then the copy's if there is one.

    The guest's mail shows the Cc header and goes to the guest alone; the copy is a letter of its
    own that holds no link, not even its ingredients (decisions.md, cc; threats.md, MAIL-6).
    """
    letter = row(actor, wording, address, template=template, **facts)
    if wording.copy_to is None or template != "invitation":
        return [letter]
    letter["context"]["copy_to"] = wording.copy_to
    letter["context"]["copy_name"] = wording.copy_name
    copy = outbox.row(
        actor.tenant_id,
        "invitation_copy",
        wording.copy_to,
        {
            name: value
            for name, value in letter["context"].items()
            if name not in ("invitation_id", "version", "key_id", "copy_to")
        },
        now=actor.now,
        domain=wording.tenant.primary_domain,
        about_id=letter["about_id"],
        language=letter["language"],
    )
    return [letter, copy]


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
    message = wording.message
    if wording.policy.drop_unsigned_messages and actor.mail is None:
        message = None  # as the real service (decisions.md, custom message)
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
            "layout": str(tenant.invitation_layout),
            "privacy_url": tenant.privacy_url,
            "privacy_contact": tenant.privacy_contact,
            "technical_contact": tenant.technical_contact,
            "inviter_id": str(actor.user_id) if actor.user_id else None,
            "inviter_name": actor.display_name,
            "inviter_mail": actor.mail,
            "reply_to": verified,
            "message": message,
            "message_dropped": wording.message is not None and message is None,
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
