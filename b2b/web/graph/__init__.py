"""Microsoft Graph: the paths, names and refusals that its clients know, over the very services
that pages call.

One request is one `Call`, one operation one `Route` (calls.py), whoever sends it: `door.py` takes
it from Flask and `batch.py` from a list. `odata.py` reads the query language, `conditions.py`
makes SQL of it, `listing.py` pages.

A resource is added in three steps, all in a module of its own:

1. a table: `KIND = resources.kind(Kind("domain", "domains", Domain, resources.table(…)))`, one
   line a property: its name in Graph, its column, whether it is answered by default, which
   operators `$filter` takes (those behind `|` need the advanced query), whether it sorts, what
   services call it when it is written;
2. routes: `@route("GET", "domains/{domain}", needs=access.READ_DOMAINS, returns="domain")` over a
   view `(call) -> Answer`, which asks a service for what changes and `listing.collection` or
   `listing.entity` for the answer; what suffices for it is one value in `access.py`;
3. its name in the list of modules below, and its rows in docs/graph.md.

`$metadata` and OpenAPI are made of these tables. Views never commit, and never catch the refusals
of services: the door tells them in Graph's envelope.
"""

from flask import Flask

from b2b.web.graph import (
    app_role_assignments,
    applications,
    audit_logs,
    authorization_policy,
    batch,
    deltas,
    directory_objects,
    directory_roles,
    door,
    expansions,
    groups,
    invitations,
    organization,
    permission_grants,
    service_principals,
    users,
)

__all__ = [
    "app_role_assignments",
    "applications",
    "audit_logs",
    "authorization_policy",
    "batch",
    "deltas",
    "directory_objects",
    "directory_roles",
    "door",
    "expansions",
    "groups",
    "invitations",
    "organization",
    "permission_grants",
    "register",
    "service_principals",
    "users",
]


def register(app: Flask) -> None:
    """Bind Graph to *app*."""
    door.register(app)
    app.register_blueprint(door.bp)
