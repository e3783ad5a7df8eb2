"""What guests are not shown besides people and groups (groups-apps-roles.md, section 5)."""

from b2b.services import permissions
from b2b.services.permissions import Action
from b2b.web.graph.calls import Call, denied


def sees_directory(call: Call) -> bool:
    """Whether whoever asks is more than a guest without a role."""
    return call.actor.user_id is None or permissions.allows(call.actor, Action.READ_DIRECTORY)


def require_directory(call: Call) -> None:
    """Raise GraphError (403) for guests without a role, who list nothing (API-4)."""
    if not sees_directory(call):
        raise denied("Guests cannot list the applications of this organisation.")


def require_member(call: Call) -> None:
    """Raise GraphError (403) for guests without a role: roles, licences and policies are not for
    them (API-4).
    """
    if call.actor.is_guest and not permissions.is_admin(call.actor):
        raise denied("This organisation does not show this to guests.")
