"""What somebody asks for when inviting, read and checked before anything is written."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy.orm import Session

from b2b import links
from b2b.actor import Actor
from b2b.errors import N_, Invalid
from b2b.models import Tenant, TenantPolicy, UserType
from b2b.services import (
    addresses,
    applications,
    groups,
    permissions,
    policies,
    resources,
    sponsors,
)
from b2b.services.addresses import Address
from b2b.services.invitation_letters import Wording
from b2b.services.permissions import Action

MESSAGE_LONGEST = 2000
NAME_LONGEST = addresses.NAME_LONGEST
_HEADER_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_INVISIBLE = re.compile(r"[\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_LANGUAGE = re.compile(r"(?=.{2,16}$)[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*")


@dataclass(frozen=True)
class Copy:
    """The one person who gets a copy without a working link (decisions.md, cc)."""

    name: str | None
    address: Address


@dataclass(frozen=True)
class Asked:
    """What is wanted for each of the people, as a surface took it from its user."""

    redirect_url: str | None = None
    """Where the browser goes after redemption; None is My Apps of the inviting organisation."""
    display_name: str | None = None
    names: Mapping[str, str] = field(default_factory=dict)
    """Display names by address, as they were pasted together; `display_name` is for one person."""
    message: str | None = None
    language: str | None = None
    send_message: bool = True
    user_type: UserType = UserType.GUEST
    cc_address: str | None = None
    cc_name: str | None = None
    sponsor_ids: Iterable[UUID] = ()
    """Users or groups that answer for the guests; none is the inviter."""
    application_ids: Iterable[UUID] = ()
    group_ids: Iterable[UUID] = ()
    address_rules: str = "reference"
    as_new: bool = True
    """Make a new person of somebody who was deleted lately, rather than raise Restorable."""


@dataclass(frozen=True)
class Checked:
    """The same, checked against the directory and the tenant's policy."""

    wording: Wording
    display_name: str | None
    names: Mapping[str, str]
    """Display names by the key of the address."""
    send_message: bool
    user_type: UserType
    copy: Copy | None
    sponsors: Sequence[sponsors.Named]
    applications: Sequence[resources.Named]
    groups: Sequence[resources.Named]
    address_rules: str
    as_new: bool

    def name_of(self, address: Address) -> str | None:
        """The display name that was given for *address*."""
        return self.display_name or self.names.get(address.key)


def check(
    session: Session, actor: Actor, policy: TenantPolicy, tenant: Tenant, asked: Asked
) -> Checked:
    """Read *asked*. Raises Denied for Member without the permission, Invalid with its field."""
    if asked.user_type is UserType.MEMBER:
        permissions.require(actor, Action.INVITE_MEMBER)
    copy = _copy(asked)
    found_applications = applications.for_guests(session, actor, asked.application_ids)
    found_groups = groups.for_guests(session, actor, asked.group_ids)
    message = clean_message(asked.message)
    if asked.language and not _LANGUAGE.fullmatch(asked.language):
        raise Invalid("language", N_("Enter a language such as en-US or ko-KR."))
    wording = Wording(
        tenant=tenant,
        policy=policy,
        redirect_url=policies.landing_page(
            policy, asked.redirect_url or default_landing_page(actor)
        ),
        message=message,
        language=asked.language or None,
        applications=[found.display_name for found in found_applications],
        groups=[found.display_name for found in found_groups],
        copy_to=copy.address.wire if copy else None,
        copy_name=copy.name if copy else None,
    )
    return Checked(
        wording=wording,
        display_name=_name("display_name", asked.display_name),
        names=_names(asked) if asked.names else {},
        send_message=asked.send_message,
        user_type=asked.user_type,
        copy=copy,
        sponsors=sponsors.named(session, actor, asked.sponsor_ids),
        applications=found_applications,
        groups=found_groups,
        address_rules=asked.address_rules,
        as_new=asked.as_new,
    )


def _name(field: str, typed: str | None) -> str | None:
    """A display name: one line of at most NAME_LONGEST characters (threats.md, INV-1)."""
    name = (typed or "").strip() or None
    if name is not None:
        if len(name) > NAME_LONGEST:
            raise Invalid(field, N_("At most %(longest)s characters."), longest=NAME_LONGEST)
        if _HEADER_BREAKS.search(name):
            raise Invalid(field, N_("Control characters are not allowed here."))
    return name


def _names(asked: Asked) -> dict[str, str]:
    """The pasted names by address key; what is no address is refused where addresses are read."""
    names: dict[str, str] = {}
    for text, given in asked.names.items():
        name = _name("addresses", given)
        try:
            key = addresses.parse(text, rules=asked.address_rules).key
        except Invalid:
            continue
        if name is not None:
            names.setdefault(key, name)
    return names


def _copy(asked: Asked) -> Copy | None:
    """Exactly one cc, checked by the same reader as every address (threats.md, INV-1, MAIL-6)."""
    found = addresses.mentions(asked.cc_address or "")
    if not found:
        if (asked.cc_name or "").strip():
            raise Invalid("cc_address", N_("Enter the address of the person who gets a copy."))
        return None
    if len(found) > 1:
        raise Invalid("cc_address", N_("Only one person can get a copy."))
    if not asked.send_message:
        raise Invalid("cc_address", N_("A copy goes out only together with the mail."))
    address = addresses.parse(found[0].address, field="cc_address", rules=asked.address_rules)
    return Copy(_name("cc_name", asked.cc_name) or found[0].name, address)


def default_landing_page(actor: Actor) -> str:
    """My Apps of the inviting organisation."""
    return links.absolute(f"/myapps?tenantid={actor.tenant_id}")


def clean_message(message: str | None) -> str | None:
    """A personal message as it will be shown: plain text, line ends kept, invisible tricks removed.

    Raises Invalid("message") when it is too long (threats.md, MAIL-1).
    """
    text = (message or "").replace("\r\n", "\n").replace("\r", "\n").strip()
    text = re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "", _INVISIBLE.sub("", text))
    text = text.replace("\u2028", "\n").replace("\u2029", "\n")
    if len(text) > MESSAGE_LONGEST:
        raise Invalid("message", N_("At most %(longest)s characters."), longest=MESSAGE_LONGEST)
    return text or None
