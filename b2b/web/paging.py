"""Places in a list, as addresses of pages say them."""

from typing import Any
from uuid import UUID

from flask import request, url_for

from b2b.services.paging import Cursor


def cursor(name: str) -> Cursor | None:
    """The place that the parameter *name* says; None for anything that is no place."""
    text = request.args.get(name)
    if not text or "." not in text:
        return None
    identifier, _, key = text.partition(".")
    try:
        return key, UUID(identifier)
    except ValueError:
        return None


def here(**place: Cursor | None) -> str | None:
    """This page at another place: `here(after=page.after)`; None where there is no such place."""
    kept: dict[str, Any] = {
        name: value for name, value in request.args.items() if name not in ("after", "before")
    }
    for name, found in place.items():
        if found is None:
            return None
        kept[name] = f"{found[1].hex}.{found[0]}"
    assert request.endpoint is not None
    return url_for(request.endpoint, **(request.view_args or {}) | kept)
