"""What the pages of both logs share: whom a filter names, and what stands around the list."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from b2b.extensions import db
from b2b.models import User
from b2b.services import audit_listing, log_listing, sign_in_listing, users
from b2b.services.log_listing import Page
from b2b.web import queries
from b2b.web.context import actor


@dataclass(frozen=True)
class Whom:
    """Whom a filter names by id or address; an id may be nobody's any more."""

    person: User | None
    id: UUID | None
    missing: bool
    """Something was typed that names nobody."""


def whom(name: str) -> Whom:
    """The parameter *name* as somebody of the directory."""
    typed = queries.value(str, name)
    person = users.named(db.session(), actor(), typed) if typed else None
    identifier = person.id if person else queries.identifier(name)
    return Whom(person, identifier, typed is not None and identifier is None)


def around(
    page: Page[Any, Any], filters: audit_listing.Filters | sign_in_listing.Filters, nobody: bool
) -> dict[str, Any]:
    """What `admin/logs/list.html` shows; *nobody* when a filter names nobody who is there."""
    return {
        "page": page,
        "filters": filters,
        "nobody": nobody,
        "filtered": nobody or filters != type(filters)(),
        "without": queries.without,
        "kept": queries.kept,
        "newer_url": queries.at(before=page.newer),
        "older_url": queries.at(after=page.older),
        "exported": log_listing.EXPORTED,
    }
