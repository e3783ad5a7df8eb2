"""What the directory says about people, and what they or an administrator change of it."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, Conflict, Invalid
from b2b.models import Domain, ProxyAddress, Source, User, UserType, fold, new_id
from b2b.services import (
    addresses,
    audit,
    passwords,
    permissions,
    sessions,
    user_listing,
    users,
)
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
FURTHER = {
    "office_location": ("PhysicalDeliveryOfficeName", 128),
    "street_address": ("StreetAddress", 1024),
    "city": ("City", 128),
    "state": ("State", 128),
    "postal_code": ("PostalCode", 40),
    "country": ("Country", 128),
    "employee_id": ("EmployeeId", 16),
    "mail_nickname": ("MailNickname", 64),
}
"""What an administrator may set besides, likewise."""
OWN = frozenset({*PROFILE, "business_phones"})
"""What a program may change of the person in whose name it asks."""
MOST_PHONES = 1
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


def patch(session: Session, actor: Actor, user_id: UUID, values: Mapping[str, Any]) -> User:
    """Change just these properties, in one audit event beside those of blocking and passwords.

    *values* has names of PROFILE and FURTHER (None clears), `business_phones`, `usage_location`,
    `other_mails`, `show_in_address_list`, `user_type`, `mail`, `user_principal_name`,
    `account_enabled`, and `password_hash`, made by passwords.hashed. Of oneself those of OWN; of
    others with the permission. Raises Denied, NotFound, Invalid(field), Conflict.
    """
    own = user_id == actor.user_id and OWN.issuperset(values)
    if own:
        audit.lock(session, actor.tenant_id)
        user = users.get(session, actor, user_id)
    elif values.keys() == {"account_enabled"}:
        user = users.for_change(session, actor, user_id, Action.BLOCK_USER)
    else:
        user = users.for_change(session, actor, user_id, Action.UPDATE_USER)
    if user.deleted_at is not None:
        raise Conflict(N_("%(name)s is deleted."), name=user.display_name)
    if user.on_premises_sync_enabled:
        raise Conflict(
            N_("%(name)s comes from the on-premises directory and is changed there."),
            name=user.display_name,
        )
    before = user_listing.token_rows(
        user.tenant_id, user.id, user.display_name, user.mail, user.user_principal_name
    )
    name_before = user.display_name
    changes = []
    for name, given in values.items():
        if name in ("account_enabled", "password_hash"):
            continue
        title, value = _checked(session, user, name, given)
        old = getattr(user, name)
        if old != value:
            changes.append(Change(title, _said(old), _said(value)))
            setattr(user, name, value)
    if changes:
        user.mail_key = fold(user.mail) if user.mail else None
        user.upn_key = fold(user.user_principal_name)
        users.refacet(session, user)
        users.rekey(session, user, name_before)
        user_listing.replace_tokens(session, user, before)
        users.record(session, actor, Activity.UPDATE_USER, user, changes)
    if "password_hash" in values:
        _reset_password(session, actor, user, values["password_hash"])
    if "account_enabled" in values:
        (users.unblock if values["account_enabled"] else users.block)(session, actor, user.id)
    return user


def _said(value: Any) -> Any:
    return str(value) if isinstance(value, UserType) else value


def _checked(session: Session, user: User, name: str, given: Any) -> tuple[str, Any]:
    """A property's name in the audit log, and the value to store. Raises Invalid(name)."""
    if name in PROFILE:
        return PROFILE[name][0], value_of(name, given)
    if name in FURTHER:
        title, longest = FURTHER[name]
        value = (given or "").strip() or None
        if value is not None and len(value) > longest:
            raise Invalid(name, N_("At most %(longest)s characters."), longest=longest)
        if value is not None and _CONTROLS.search(value):
            raise Invalid(name, N_("Control characters are not allowed here."))
        if name == "mail_nickname" and (value is None or " " in value or "@" in value):
            raise Invalid(name, N_("Enter an alias without spaces and at signs."))
        return title, value
    match name:
        case "business_phones":
            phones = [text.strip() for text in given if text.strip()]
            if len(phones) > MOST_PHONES:
                raise Invalid(name, N_("At most one number."))
            if any(len(text) > 64 or _CONTROLS.search(text) for text in phones):
                raise Invalid(name, N_("At most %(longest)s characters."), longest=64)
            return "TelephoneNumber", phones
        case "usage_location":
            return "UsageLocation", _country(given)
        case "other_mails":
            return "OtherMails", _further_addresses(given)
        case "show_in_address_list":
            return "ShowInAddressList", given
        case "user_type":
            return "UserType", UserType.MEMBER if given is None else UserType(given)
        case "mail":
            return "Mail", _mail(session, user, given)
        case "user_principal_name":
            return "UserPrincipalName", sign_in_name(session, user.tenant_id, given, user.id)
    raise Invalid(name, N_("This cannot be changed."))


def _mail(session: Session, user: User, given: str | None) -> str | None:
    """An address that is nobody else's mail. It proves nothing (decisions.md, who may redeem)."""
    if not (given or "").strip():
        return None
    address = addresses.parse(given or "", field="mail", rules="rfc")
    taken = session.execute(
        select(User.id).where(
            User.tenant_id == user.tenant_id,
            User.mail_key == address.key,
            User.deleted_at.is_(None),
            User.id != user.id,
        )
    ).first()
    taken = (
        taken
        or session.execute(
            select(ProxyAddress.user_id).where(
                ProxyAddress.tenant_id == user.tenant_id,
                ProxyAddress.address_key == address.key,
                ProxyAddress.user_id != user.id,
            )
        ).first()
    )
    if taken is not None:
        raise Conflict(N_("%(name)s is taken."), name=address.text)
    return address.wire


_UPN = re.compile(r"[A-Za-z0-9'._!#^~-]{1,64}@[A-Za-z0-9.-]{1,253}")


def sign_in_name(
    session: Session, tenant_id: UUID, given: str | None, user_id: UUID | None = None
) -> str:
    """A user principal name that can be given to somebody: in a domain that the tenant has
    verified, and free (users.md, 2). Raises Invalid("user_principal_name"), Conflict.
    """
    field, name = "user_principal_name", (given or "").strip()
    if not _UPN.fullmatch(name) or name.startswith((".", "@")) or ".@" in name:
        raise Invalid(field, N_("Enter a sign-in name such as name@example.com."))
    domain = name.rpartition("@")[2].lower()
    known = session.execute(
        select(Domain.name).where(
            Domain.tenant_id == tenant_id, Domain.name == domain, Domain.verified_at.is_not(None)
        )
    ).first()
    if known is None:
        raise Invalid(
            field, N_("%(domain)s is not a verified domain of this directory."), domain=domain
        )
    taken = session.execute(
        select(User.id).where(
            User.tenant_id == tenant_id, User.upn_key == fold(name), User.deleted_at.is_(None)
        )
    ).scalar_one_or_none()
    if taken not in (None, user_id):
        raise Conflict(N_("%(name)s is taken."), name=name)
    return name


def _reset_password(session: Session, actor: Actor, user: User, password_hash: str) -> None:
    """Give somebody whose password is checked here another one: sessions end."""
    if user.source is not Source.THIS_DIRECTORY:
        raise Invalid(
            "password_profile",
            N_("%(name)s signs in elsewhere, and the password is changed there."),
            name=user.display_name,
        )
    passwords.put(session, actor, user, password_hash)
    sessions.end_all(session, actor, user)
    users.record(session, actor, Activity.RESET_PASSWORD, user)


def create(
    session: Session,
    actor: Actor,
    *,
    user_principal_name: str,
    display_name: str,
    mail_nickname: str,
    password_hash: str,
    account_enabled: bool,
    **values: Any,
) -> User:
    """Make somebody whose home is this directory; *values* as in `patch`.

    Raises Denied, Invalid(field), Conflict when the sign-in name is taken.
    """
    permissions.require(actor, Action.UPDATE_USER)
    audit.lock(session, actor.tenant_id)
    upn = sign_in_name(session, actor.tenant_id, user_principal_name)
    name = value_of("display_name", display_name)
    kind = UserType.MEMBER
    if values.get("user_type") is not None:
        kind = UserType(values.pop("user_type"))
    user = users.create_member(
        session,
        actor.tenant_id,
        user_id=new_id(),
        user_principal_name=upn,
        display_name=name or upn,
        now=actor.now,
        user_type=kind,
        account_enabled=account_enabled,
    )
    changes = [
        Change("DisplayName", None, user.display_name),
        Change("UserPrincipalName", None, upn),
        Change("UserType", None, str(kind)),
        Change("AccountEnabled", None, account_enabled),
    ]
    before = user_listing.token_rows(user.tenant_id, user.id, user.display_name, None, upn)
    for key, given in {"mail_nickname": mail_nickname, **values}.items():
        title, value = _checked(session, user, key, given)
        setattr(user, key, value)
        if value not in (None, []):
            changes.append(Change(title, None, _said(value)))
    user.mail_key = fold(user.mail) if user.mail else None
    session.flush()
    user_listing.replace_tokens(session, user, before)
    passwords.put(session, actor, user, password_hash)
    users.record(session, actor, Activity.ADD_USER, user, changes)
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
