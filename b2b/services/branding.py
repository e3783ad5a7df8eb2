"""How an organisation looks and speaks to its guests: logos, colours, contacts, and its letter."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from b2b import links
from b2b.actor import Actor
from b2b.errors import N_, Invalid
from b2b.models import InvitationLayout, PictureKind, Tenant, TenantPolicy
from b2b.services import (
    addresses,
    audit,
    colours,
    invitation_letters,
    permissions,
    pictures,
    policies,
)
from b2b.services.addresses import Address
from b2b.services.audit import Activity, Change, Entry
from b2b.services.invitation_letters import Wording
from b2b.services.permissions import Action
from b2b.services.pictures import Made

LOGOS = {"banner": PictureKind.BANNER_LOGO, "square": PictureKind.SQUARE_LOGO}
"""Names in `Tenant.branding` of the pictures' digests."""

_COLOURS = ("accent", "accent_dark", "fill_dark", "soft", "soft_dark", "deep", "deep_dark")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})?")


@dataclass(frozen=True)
class Settings:
    """What the page offers, as it was typed; empty text is *none*."""

    accent: str = ""
    privacy_url: str = ""
    privacy_contact: str = ""
    technical_contact: str = ""
    notification_language: str = ""
    layout: InvitationLayout = InvitationLayout.CLASSIC
    invitation_days: int | None = 30
    """None: invitations do not end."""
    drop_unsigned_messages: bool = False
    uploads: Mapping[str, bytes] = field(default_factory=dict)
    """New logos by the names of LOGOS."""
    removed: frozenset[str] = frozenset()
    """Logos to do without."""


@dataclass(frozen=True)
class _Checked:
    tenant: dict[str, Any]
    policy: dict[str, Any]
    logos: dict[str, Made]
    adjusted: bool


@dataclass(frozen=True)
class Saved:
    """What saving came to."""

    changed: bool
    accent: str | None
    """The colour that is used now."""
    adjusted: bool
    """Whether that is another shade than the one asked for, so that texts can be read."""


def now_set(tenant: Tenant, policy: TenantPolicy) -> Settings:
    """The settings as they are."""
    return Settings(
        accent=str((tenant.branding or {}).get("accent", "")),
        privacy_url=tenant.privacy_url or "",
        privacy_contact=tenant.privacy_contact or "",
        technical_contact=tenant.technical_contact or "",
        notification_language=tenant.notification_language or "",
        layout=tenant.invitation_layout,
        invitation_days=policy.invitation_days,
        drop_unsigned_messages=policy.drop_unsigned_messages,
    )


def save(session: Session, actor: Actor, wanted: Settings) -> Saved:
    """Set everything on the page, with one audit event for the face and one for the facts.

    Raises Denied, and Invalid for the first value that will not do.
    """
    permissions.require(actor, Action.MANAGE_BRANDING)
    audit.lock(session, actor.tenant_id)
    tenant = session.get_one(Tenant, actor.tenant_id)
    policy = session.get_one(TenantPolicy, actor.tenant_id)
    checked = _check(tenant, wanted)
    face = _changes(_flat(tenant.branding or {}), _flat(checked.tenant["branding"]))
    facts = _changes(_values(tenant, checked.tenant), checked.tenant)
    facts += _changes(_values(policy, checked.policy), checked.policy)
    for row, values in ((tenant, checked.tenant), (policy, checked.policy)):
        for name, value in values.items():
            setattr(row, name, value)
    for name, kind in LOGOS.items():
        if name in checked.logos:
            pictures.put(session, tenant.id, tenant.id, checked.logos[name], actor.now)
        elif name in wanted.removed:
            pictures.remove(session, tenant.id, tenant.id, kind)
    session.flush()
    entries = [
        Entry(activity, "Tenant", tenant.id, tenant.display_name, changes)
        for activity, changes in (
            (Activity.SET_BRANDING, face),
            (Activity.SET_COMPANY, facts),
        )
        if changes
    ]
    audit.record(session, actor, *entries)
    return Saved(bool(entries), checked.tenant["branding"].get("accent"), checked.adjusted)


def draft(
    session: Session, actor: Actor, wanted: Settings, *, message: str
) -> tuple[dict[str, Any], dict[str, Made]]:
    """The letter that these settings would make, as an outbox row with a sample link, and the
    logos among them that are not kept yet. Changes nothing. Raises Invalid.
    """
    tenant = session.get_one(Tenant, actor.tenant_id)
    checked = _check(tenant, wanted)
    # Copies that belong to no session: what is tried out must never be written.
    shown = Tenant(
        **{
            "id": tenant.id,
            "display_name": tenant.display_name,
            "initial_domain": tenant.initial_domain,
            "primary_domain": tenant.primary_domain,
            **checked.tenant,
        }
    )
    wording = Wording(
        tenant=shown,
        policy=TenantPolicy(tenant_id=tenant.id, **checked.policy),
        redirect_url=links.absolute(f"/myapps?tenantid={tenant.id}"),
        message=message,
        language=None,
        applications=[],
        groups=[],
    )
    row = invitation_letters.row(
        actor,
        wording,
        Address("guest", "example.com"),
        invitation_id=UUID(int=0),
        version=0,
        key_id="",
    )
    row["context"]["sample"] = True
    return row, checked.logos


def _check(tenant: Tenant, wanted: Settings) -> _Checked:
    face, adjusted = _colours(wanted.accent, tenant.branding or {})
    logos = {
        name: pictures.make(name, kind, wanted.uploads[name])
        for name, kind in LOGOS.items()
        if wanted.uploads.get(name)
    }
    for name in LOGOS:
        digest = logos[name].digest if name in logos else None
        if digest is None and name not in wanted.removed:
            digest = (tenant.branding or {}).get(name)
        if digest is not None:
            face[name] = digest
    days = policies.checked_life(wanted.invitation_days)
    language = wanted.notification_language.strip()
    if language and not _LANGUAGE.fullmatch(language):
        raise Invalid("notification_language", N_("Choose one from the list."))
    return _Checked(
        tenant={
            "branding": face,
            "privacy_url": _url(wanted.privacy_url),
            "privacy_contact": _contact("privacy_contact", wanted.privacy_contact),
            "technical_contact": _contact("technical_contact", wanted.technical_contact),
            "notification_language": language or None,
            "invitation_layout": wanted.layout,
        },
        policy={
            "invitation_days": days,
            "drop_unsigned_messages": wanted.drop_unsigned_messages,
        },
        logos=logos,
        adjusted=adjusted,
    )


def _colours(typed: str, before: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """The palette for *typed*; the one before stays as it is if its accent is asked for again."""
    if not typed.strip():
        return {}, False
    accent = colours.parse(typed)
    if accent is None:
        raise Invalid("accent", N_("Enter a colour as six digits, such as #0b5a69."))
    if accent == before.get("accent"):
        return {name: before[name] for name in _COLOURS if name in before}, False
    made = colours.palette(accent)
    return dict(made), made["accent"] != accent


def _url(typed: str) -> str | None:
    if not typed.strip():
        return None
    try:
        return links.landing_page(typed.strip())
    except Invalid as error:
        raise Invalid("privacy_url", N_("Enter an address that begins with https://.")) from error


def _contact(name: str, typed: str) -> str | None:
    return addresses.parse(typed, field=name).wire if typed.strip() else None


def _values(row: object, like: Mapping[str, Any]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in like}


def _flat(branding: Mapping[str, Any]) -> dict[str, Any]:
    """What a person would call the face: the accent and which logos, not what is derived."""
    return {name: branding.get(name) for name in ("accent", *LOGOS)}


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    return [
        Change(_PROPERTIES[name], before[name], after[name])
        for name in after
        if name in _PROPERTIES and before[name] != after[name]
    ]


_PROPERTIES = {
    "accent": "AccentColor",
    "banner": "BannerLogo",
    "square": "SquareLogo",
    "privacy_url": "PrivacyStatementUrl",
    "privacy_contact": "PrivacyContact",
    "technical_contact": "TechnicalContact",
    "notification_language": "NotificationLanguage",
    "invitation_layout": "InvitationLayout",
    "invitation_days": "InvitationDays",
    "drop_unsigned_messages": "DropUnsignedMessages",
}
