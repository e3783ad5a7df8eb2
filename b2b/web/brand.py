"""The face of an organisation on guest pages: name, logos, colours, privacy statement."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flask import g, url_for

from b2b.errors import NotFound
from b2b.extensions import db
from b2b.mail.pictures import Inline, Pictures, inline
from b2b.models import PictureKind, Tenant
from b2b.services import pictures
from b2b.services.pictures import Made

_COLOUR = re.compile(r"#[0-9a-f]{6}")


@dataclass(frozen=True)
class Brand:
    """What layouts show of an organisation."""

    display_name: str
    primary_domain: str
    css_url: str | None
    privacy_url: str | None
    banner_url: str | None
    square_url: str | None


def wear(tenant: Tenant) -> None:
    """Show this request's pages with the face of *tenant*."""
    branding = tenant.branding or {}
    css_url = None
    if "accent" in branding:
        # The address changes with the colours, so that no browser keeps the old ones.
        version = hashlib.sha256(json.dumps(branding, sort_keys=True).encode()).hexdigest()[:12]
        css_url = url_for("home.brand", tenant_id=tenant.id, v=version)
    g.brand = Brand(
        tenant.display_name,
        tenant.primary_domain,
        css_url,
        tenant.privacy_url,
        logo_url(tenant, "banner"),
        logo_url(tenant, "square"),
    )


def logo_url(tenant: Tenant, name: str) -> str | None:
    """Where a logo is served; *name* as in `branding.LOGOS`."""
    digest = (tenant.branding or {}).get(name)
    return url_for("home.logo", tenant_id=tenant.id, digest=digest) if digest else None


def letter_pictures(drafts: Mapping[PictureKind, Made] | None = None) -> Pictures:
    """Pictures for a letter that is shown on a page; *drafts* are logos not kept yet."""

    def find(
        tenant_id: UUID, owner_id: UUID, kind: PictureKind, digest: str | None
    ) -> Inline | None:
        made = (drafts or {}).get(kind)
        if made is not None and made.digest == digest:
            return inline(made)
        found = pictures.find(db.session(), tenant_id, owner_id, kind)
        return None if found is None else inline(found)

    return find


def stylesheet(branding: dict[str, Any]) -> str:
    """Custom properties for both themes; anything that is not a plain colour is left out."""

    def pair(light: str, dark: str) -> str | None:
        first, second = str(branding.get(light, "")), str(branding.get(dark, ""))
        if _COLOUR.fullmatch(first) and _COLOUR.fullmatch(second):
            return f"light-dark({first}, {second})"
        return None

    lines = {
        "--accent": pair("accent", "accent_dark"),
        "--accent-fill": pair("accent", "fill_dark"),
        "--accent-soft": pair("soft", "soft_dark"),
        "--brand-deep": pair("deep", "deep_dark"),
    }
    body = "".join(f"  {name}: {value};\n" for name, value in lines.items() if value)
    return f":root {{\n{body}}}\n"


def as_uuid(text: str) -> UUID:
    """An id from an address; NotFound for anything else."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound() from None
