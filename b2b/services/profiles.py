"""What the directory says about people, and what they or an administrator change of it."""

import re
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, Conflict, Invalid
from b2b.models import User, UserType
from b2b.services import addresses, audit, users
from b2b.services.audit import Activity, Change
from b2b.services.permissions import Action

PROFILE = {
    "display_name": ("DisplayName", 256),
    "given_name": ("GivenName", 64),
    "surname": ("Surname", 64),
    "company_name": ("CompanyName", 64),
    "department": ("Department", 128),
    "job_title": ("JobTitle", 128),
    "mobile_phone": ("MobilePhone", 64),
    "preferred_language": ("PreferredLanguage", 16),
}
"""What a person may correct about himself, with Graph's name and greatest length (users.md, 2)."""
MOST_OTHER_MAILS = 10
_COUNTRY = re.compile(r"[A-Z]{2}")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def value_of(name: str, given: str | None) -> str | None:
    """What was typed for a property of PROFILE, trimmed; None when empty. Raises Invalid(name)."""
    _, longest = PROFILE[name]
    value = (given or "").strip() or None
    if value is not None and len(value) > longest:
        raise Invalid(name, N_("At most %(longest)s characters."), longest=longest)
    if value is not None and _CONTROLS.search(value):
        raise Invalid(name, N_("Control characters are not allowed here."))
    if name == "display_name" and value is None:
        raise Invalid(name, N_("Enter a name."))
    return value


def stated(name: str, told: str | None) -> str:
    """What a sign-in elsewhere states for a property of PROFILE, made to fit (INV-1)."""
    _, longest = PROFILE[name]
    return " ".join(_CONTROLS.sub(" ", told or "").split())[:longest].strip()


def update_profile(session: Session, actor: Actor, user_id: UUID, **values: str | None) -> User:
    """Change profile properties of oneself, or of others with the permission.

    *values*: names of PROFILE; empty text clears, except the display name. Raises Invalid(field),
    Denied, NotFound.
    """
    if user_id == actor.user_id:
        audit.lock(session, actor.tenant_id)
        user = users.get(session, actor, user_id)
    else:
        user = users.for_change(session, actor, user_id, Action.UPDATE_USER)
    changes, before = [], user.display_name
    for name, given in values.items():
        title, _ = PROFILE[name]
        value = value_of(name, given)
        if getattr(user, name) != value:
            changes.append(Change(title, getattr(user, name), value))
            setattr(user, name, value)
    if changes:
        users.rename(session, user, before)
        users.record(session, actor, Activity.UPDATE_USER, user, changes)
    return user


def update_user(
    session: Session,
    actor: Actor,
    user_id: UUID,
    *,
    usage_location: str | None,
    other_mails: Sequence[str],
    show_in_address_list: bool,
    user_type: UserType,
    **profile: str | None,
) -> User:
    """Change what an administrator may change about somebody (users.md, 2), in one audit event.

    *profile* as in `update_profile`; *usage_location* is ISO 3166's two letters; *other_mails* are
    further addresses. The user type changes nothing else (users.md, 8). What synchronisation
    brings is changed at its origin. Raises Denied, NotFound, Invalid(field), Conflict.
    """
    user = users.for_change(session, actor, user_id, Action.UPDATE_USER)
    if user.deleted_at is not None:
        raise Conflict(N_("%(name)s is deleted."), name=user.display_name)
    if user.on_premises_sync_enabled:
        raise Conflict(
            N_("%(name)s comes from the on-premises directory and is changed there."),
            name=user.display_name,
        )
    before = user.display_name
    wanted: dict[str, tuple[str, Any]] = {
        name: (PROFILE[name][0], value_of(name, given)) for name, given in profile.items()
    }
    wanted["usage_location"] = ("UsageLocation", _country(usage_location))
    wanted["other_mails"] = ("OtherMails", _further_addresses(other_mails))
    wanted["show_in_address_list"] = ("ShowInAddressList", show_in_address_list)
    wanted["user_type"] = ("UserType", user_type)
    if user.show_in_address_list is None and show_in_address_list:
        del wanted["show_in_address_list"]  # unset means shown (users.md, 2)
    changes = []
    for name, (title, value) in wanted.items():
        old = getattr(user, name)
        if old != value:
            changes.append(Change(title, old, value))
            setattr(user, name, value)
    if changes:
        users.refacet(session, user)
        users.rename(session, user, before)
        users.record(session, actor, Activity.UPDATE_USER, user, changes)
    return user


def _country(typed: str | None) -> str | None:
    code = (typed or "").strip().upper()
    if code and not _COUNTRY.fullmatch(code):
        raise Invalid("usage_location", N_("Enter a country as two letters, such as KR."))
    return code or None


def _further_addresses(typed: Sequence[str]) -> list[str]:
    found = {}
    for text in typed:
        address = addresses.parse(text, field="other_mails", rules="rfc")
        found[address.key] = address.wire
    if len(found) > MOST_OTHER_MAILS:
        raise Invalid("other_mails", N_("At most %(most)s addresses."), most=MOST_OTHER_MAILS)
    return list(found.values())


def mark_profile_reviewed(session: Session, actor: Actor, user_id: UUID) -> None:
    """Note that a guest has seen what his sign-in filled in: the page is offered only once."""
    users.get(session, actor, user_id).profile_reviewed_at = actor.now
