"""What guests see of a directory besides themselves (groups-apps-roles.md, sections 4 and 5).

Members read everything, and so do guests who hold a role. The others are told by the tenant's guest
access level: as members, limited (somebody whose id they know, groups they know), restricted (only
themselves and the ids of their own groups).
"""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, Denied
from b2b.models import GuestAccess
from b2b.services import permissions, policies
from b2b.services.permissions import Action


@dataclass(frozen=True)
class Seen:
    """What *actor* may see of people and groups."""

    lists_people: bool
    """List and search the directory."""
    reads_groups: bool
    """Names, members and owners of groups; without it only the ids of one's own groups."""


EVERYTHING = Seen(lists_people=True, reads_groups=True)
_OF_GUESTS = {
    GuestAccess.SAME_AS_MEMBERS: EVERYTHING,
    GuestAccess.LIMITED: Seen(lists_people=False, reads_groups=True),
    GuestAccess.RESTRICTED: Seen(lists_people=False, reads_groups=False),
}


def of(session: Session, actor: Actor) -> Seen:
    """What *actor* may see."""
    if permissions.allows(actor, Action.READ_DIRECTORY):
        return EVERYTHING
    return _OF_GUESTS[policies.of(session, actor).guest_access]


def require_groups(session: Session, actor: Actor) -> None:
    """Raise Denied unless *actor* may read names and members of groups."""
    if not of(session, actor).reads_groups:
        raise Denied(N_("This organisation shows guests only their own profile."))
