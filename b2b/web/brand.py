"""The face of an organisation on guest pages: name, colours, privacy statement."""

import re
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flask import g, url_for

from b2b.errors import NotFound
from b2b.models import Tenant

_COLOUR = re.compile(r"#[0-9a-f]{6}")


@dataclass(frozen=True)
class Brand:
    """What layouts show of an organisation."""

    display_name: str
    primary_domain: str
    css_url: str | None
    privacy_url: str | None


def wear(tenant: Tenant) -> None:
    """Show this request's pages with the face of *tenant*."""
    g.brand = Brand(
        tenant.display_name,
        tenant.primary_domain,
        url_for("home.brand", tenant_id=tenant.id) if tenant.branding else None,
        tenant.privacy_url,
    )


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
