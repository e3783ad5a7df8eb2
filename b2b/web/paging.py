"""Places in a list, as addresses of pages say them."""

from typing import Any
from uuid import UUID

from flask import request

from b2b.services.paging import Cursor, Page
from b2b.web import queries


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


def around(page: Page) -> dict[str, Any]:
    """*page* for a template, with the addresses before and after it and how far totals go."""
    return {
        "page": page,
        "previous_url": here(before=page.before),
        "next_url": here(after=page.after),
        "counted_to": page.counted_to,
    }


def here(**place: Cursor | None) -> str | None:
    """This page at another place: `here(after=page.after)`; None where there is no such place."""
    values = {
        name: None if found is None else f"{found[1].hex}.{found[0]}"
        for name, found in place.items()
    }
    return queries.at(**values)
