"""People: `/users`, `/me` and what hangs on them (users.md, section 5)."""

from b2b.web.graph import access, listing
from b2b.web.graph.calls import Answer, Call, route
from b2b.web.graph.listing import collection
from b2b.web.graph.people import (
    USER,
    everybody,
    hidden_of,
    hidden_of_others,
    meant,
    require_listing,
)


@route("GET", "users", needs=access.READ_USERS, returns="Collection(user)")
def list_users(call: Call) -> Answer:
    """List people."""
    require_listing(call)
    return collection(call, everybody(call), hidden=hidden_of_others(call))


@route("GET", "users/$count", needs=access.READ_USERS, returns="Edm.Int32")
def count_users(call: Call) -> Answer:
    """How many people there are."""
    require_listing(call)
    return listing.count(call, everybody(call), hidden=hidden_of_others(call))


@route("GET", "users/{user}", needs=access.READ_USER, returns="user")
def get_user(call: Call) -> Answer:
    """One person, by id or sign-in name."""
    return _one(call)


@route("GET", "me", needs=access.READ_ME, returns="user")
def get_me(call: Call) -> Answer:
    """The person who signed in."""
    call.params = {"user": "me"}
    return _one(call)


def _one(call: Call) -> Answer:
    found = meant(call)
    return listing.entity(call, USER, found, hidden=hidden_of(call, found.id))
