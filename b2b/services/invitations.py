"""Inviting people from outside: the one door that form, API, bulk jobs and approvals enter by."""

import enum
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from b2b import keys, links
from b2b.actor import Actor
from b2b.errors import N_, Conflict, Invalid, NotFound, Throttled
from b2b.mail import outbox
from b2b.models import (
    ExternalUserState,
    Invitation,
    Source,
    Tenant,
    TenantPolicy,
    User,
    UserToken,
    UserType,
    fold,
    new_id,
)
from b2b.services import (
    addresses,
    applications,
    attempts,
    audit,
    groups,
    invitees,
    permissions,
    policies,
    user_listing,
    users,
)
from b2b.services import invitation_letters as letters
from b2b.services.addresses import Address
from b2b.services.audit import Activity, Change, Entry
from b2b.services.invitation_letters import Wording
from b2b.services.permissions import Action

MESSAGE_LONGEST = 2000
SAME_LINK_FOR = timedelta(minutes=5)
"""A repeat within this time is the same invitation: same link, no second mail (decisions.md)."""
PER_MINUTE = 60
_HEADER_BREAKS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_INVISIBLE = re.compile(r"[\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
_rate_factor: float | None = 1.0
# Built once: making a statement costs more than running it.
_INSERT_USERS = insert(User)
_INSERT_TOKENS = insert(UserToken)
_INSERT_INVITATIONS = insert(Invitation)


def configure(rate_factor: float | None) -> None:
    """Multiply the rate limit; None switches it off (setting RATE_LIMITS)."""
    global _rate_factor
    _rate_factor = rate_factor


class Result(enum.StrEnum):
    """What inviting one address came to."""

    INVITED = "invited"
    """A new guest."""
    SENT_AGAIN = "sent again"
    """A pending guest: a new link, the old one is dead."""
    SAME = "same"
    """A pending guest, asked a moment ago: the same link, no second mail."""
    COMPLETED = "completed"
    """A guest who has accepted already: groups and applications were added."""


@dataclass(frozen=True)
class Invited:
    """The outcome for one address."""

    address: Address
    result: Result
    user_id: UUID
    invitation_id: UUID


@dataclass(frozen=True)
class _Request:
    """What was asked, checked."""

    wording: Wording
    display_name: str | None
    send_message: bool
    applications: Sequence[applications.Named]
    groups: Sequence[groups.Named]


def invite(
    session: Session, actor: Actor, *, address: str, display_name: str | None = None, **facts: Any
) -> Invited:
    """Invite one person: the list of one. Raises as `invite_many`."""
    return invite_many(
        session, actor, addresses_text=[address], display_name=display_name, **facts
    )[0]


def invite_many(
    session: Session,
    actor: Actor,
    *,
    addresses_text: Sequence[str],
    redirect_url: str | None = None,
    display_name: str | None = None,
    message: str | None = None,
    language: str | None = None,
    send_message: bool = True,
    application_ids: Iterable[UUID] = (),
    group_ids: Iterable[UUID] = (),
    address_rules: str = "reference",
) -> list[Invited]:
    """Invite people by their addresses, all or none, in this transaction.

    For each: a guest user, an invitation, the chosen assignments, a mail in the outbox and audit
    events; known people get what invitations.md, section 6, and decisions.md say. At most
    MOST_AT_ONCE addresses; the same address twice counts once. Raises Denied, Throttled, Invalid,
    and
    InvalidAddresses with one entry for each address that cannot be invited.
    """
    policy, tenant = policies.with_tenant(session, actor)
    policies.require_may_invite(policy, actor)
    request = _checked(
        session,
        actor,
        policy,
        tenant,
        redirect_url,
        message,
        language,
        display_name,
        send_message,
        application_ids,
        group_ids,
    )
    audit.lock(session, actor.tenant_id)
    sorted_out = invitees.sort_out(session, actor, policy, tenant, addresses_text, address_rules)
    wanted, known = sorted_out.wanted, sorted_out.guests
    if len(wanted) > 1 and request.display_name:
        raise Invalid("display_name", N_("A display name can be given for one address only."))
    _within_rate(session, actor, len(wanted))
    _repeats_within_rate(session, actor, len(known))

    outcomes: list[Invited] = []
    entries: list[Entry] = []
    mails: list[dict[str, Any]] = []
    for address in wanted:
        if address.key in known:
            outcome = _again(actor, request, address, known[address.key], entries, mails)
        else:
            outcome = Invited(address, Result.INVITED, new_id(), new_id())
        outcomes.append(outcome)
    new = [outcome for outcome in outcomes if outcome.result is Result.INVITED]
    name_keys: dict[UUID, str] = {}
    if new:
        name_keys = _insert(session, actor, request, new, sorted_out.taken_upns, entries, mails)
    if known:
        session.flush()
    _give_access(session, actor, request, outcomes, name_keys, entries)
    outbox.enqueue(session, *mails)
    audit.record(session, actor, *entries)
    return outcomes


def _checked(
    session: Session,
    actor: Actor,
    policy: TenantPolicy,
    tenant: Tenant,
    redirect_url: str | None,
    message: str | None,
    language: str | None,
    display_name: str | None,
    send_message: bool,
    application_ids: Iterable[UUID],
    group_ids: Iterable[UUID],
) -> _Request:
    name = (display_name or "").strip() or None
    if name is not None:
        if len(name) > 256:
            raise Invalid("display_name", N_("At most %(longest)s characters."), longest=256)
        if _HEADER_BREAKS.search(name):
            raise Invalid("display_name", N_("Control characters are not allowed here."))
    text = clean_message(message)
    if language and not re.fullmatch(r"(?=.{2,16}$)[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*", language):
        raise Invalid("language", N_("Enter a language such as en-US or ko-KR."))
    found_applications = applications.for_guests(session, actor, application_ids)
    found_groups = groups.for_guests(session, actor, group_ids)
    wording = Wording(
        tenant=tenant,
        policy=policy,
        redirect_url=policies.landing_page(policy, redirect_url or default_landing_page(actor)),
        message=text,
        language=language or None,
        applications=[found.display_name for found in found_applications],
        groups=[found.display_name for found in found_groups],
    )
    return _Request(wording, name, send_message, found_applications, found_groups)


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


def _within_rate(session: Session, actor: Actor, count: int) -> None:
    """60 invitations a minute for a person (threats.md, INV-4)."""
    if _rate_factor is None or actor.user_id is None:
        return
    since = actor.now - timedelta(minutes=1)
    made, oldest = session.execute(
        select(func.count(), func.min(Invitation.sent_at)).where(
            Invitation.tenant_id == actor.tenant_id,
            Invitation.inviter_id == actor.user_id,
            Invitation.sent_at > since,
        )
    ).one()
    if made + count > PER_MINUTE * _rate_factor:
        until = (oldest or actor.now) + timedelta(minutes=1)
        raise Throttled(
            N_("You have invited %(made)s people within a minute, which is the limit."),
            until=until,
            made=made,
        )


def _repeats_within_rate(session: Session, actor: Actor, count: int) -> None:
    """As many mails a minute again to people who were invited before: nobody floods a mailbox."""
    if actor.user_id is None:
        return
    key = f"invite-again:{actor.tenant_id}:{actor.user_id}"
    for _ in range(count):
        until = attempts.take(
            session, key, limit=PER_MINUTE, window=timedelta(minutes=1), now=actor.now
        )
        if until is not None:
            raise Throttled(
                N_("You have invited %(made)s people within a minute, which is the limit."),
                until=until,
                made=PER_MINUTE,
            )


def _is_recent(invitation: Invitation, now: datetime) -> bool:
    return invitation.cancelled_at is None and now - invitation.sent_at < SAME_LINK_FOR


def _again(
    actor: Actor,
    request: _Request,
    address: Address,
    known: tuple[User, Invitation],
    entries: list[Entry],
    mails: list[dict[str, Any]],
) -> Invited:
    """Somebody who was invited before."""
    user, invitation = known
    if not user.is_pending:
        if request.send_message:
            mails.append(
                _mail(actor, request.wording, invitation, address, user, template="welcome_back")
            )
        result = Result.COMPLETED
    elif _is_recent(invitation, actor.now):
        result = Result.SAME
    else:
        _new_version(actor, invitation)
        invitation.redirect_url = request.wording.redirect_url
        invitation.message = request.wording.message or invitation.message
        invitation.send_message = request.send_message
        if request.send_message:
            mails.append(_mail(actor, request.wording, invitation, address, user))
        entries.append(_entry(Activity.RESEND, user, version=invitation.version))
        result = Result.SENT_AGAIN
    return Invited(address, result, user.id, invitation.id)


def _entry(activity: Activity, user: User, **detail: Any) -> Entry:
    return Entry(activity, "User", user.id, user.user_principal_name, detail=detail)


def _new_version(actor: Actor, invitation: Invitation) -> None:
    """Make a new link; the old one is dead from this commit on."""
    ring = links.keyring()
    invitation.version += 1
    invitation.key_id = ring.current_id
    invitation.ticket_hash = keys.digest(
        ring.ticket(ring.current_id, invitation.id, invitation.version)
    )
    invitation.sent_at = actor.now
    invitation.opened_at = invitation.signed_in_at = None
    invitation.declined_at = invitation.cancelled_at = None


def _insert(
    session: Session,
    actor: Actor,
    request: _Request,
    new: list[Invited],
    taken_upns: set[str],
    entries: list[Entry],
    mails: list[dict[str, Any]],
) -> dict[UUID, str]:
    """Insert users, search words and invitations for *new* by Core: half the price of the ORM.

    Returns the folded names by user.
    """
    ring = links.keyring()
    number = user_listing.facet(
        UserType.GUEST, ExternalUserState.PENDING_ACCEPTANCE, Source.INVITED_USER
    )
    user_listing.ensure_facets(session, actor.tenant_id, {number})
    upns = _free_upns(request.wording.tenant, new, taken_upns)
    people, tokens, invitations = [], [], []
    for outcome in new:
        address = outcome.address
        name = request.display_name or address.local
        upn = upns[outcome.user_id]
        people.append(
            {
                "tenant_id": actor.tenant_id,
                "id": outcome.user_id,
                "facet": number,
                "user_principal_name": upn,
                "upn_key": fold(upn),
                "display_name": name,
                "name_key": fold(name),
                "mail": address.wire,
                "mail_key": address.key,
                "mail_nickname": upn.rpartition("@")[0],
                "other_mails": [],
                "invited_key": address.key,
                "user_type": UserType.GUEST,
                "creation_type": "Invitation",
                "external_user_state": ExternalUserState.PENDING_ACCEPTANCE,
                "external_user_state_changed_at": actor.now,
                "source": Source.INVITED_USER,
                "account_enabled": True,
                "show_in_address_list": False,
                "created_at": actor.now,
            }
        )
        tokens += user_listing.token_rows(actor.tenant_id, outcome.user_id, name, address.wire, upn)
        mail = None
        if request.send_message:
            mail = letters.row(
                actor,
                request.wording,
                address,
                invitation_id=outcome.invitation_id,
                version=1,
                key_id=ring.current_id,
            )
            mails.append(mail)
        invitations.append(
            {
                "tenant_id": actor.tenant_id,
                "id": outcome.invitation_id,
                "user_id": outcome.user_id,
                "invited_address": address.wire,
                "invited_display_name": request.display_name,
                "redirect_url": request.wording.redirect_url,
                "message": request.wording.message,
                "language": request.wording.language,
                "send_message": request.send_message,
                "inviter_id": actor.user_id,
                "inviter_name": actor.display_name,
                "inviter_mail": actor.mail,
                "version": 1,
                "ticket_hash": keys.digest(ring.ticket(ring.current_id, outcome.invitation_id, 1)),
                "key_id": ring.current_id,
                "outbox_id": mail["id"] if mail else None,
                "created_at": actor.now,
                "sent_at": actor.now,
            }
        )
        entries += [
            Entry(
                Activity.ADD_USER,
                "User",
                outcome.user_id,
                upn,
                [
                    Change("UserType", None, "Guest"),
                    Change("UserState", None, "PendingAcceptance"),
                    Change("Source", None, str(Source.INVITED_USER)),
                ],
            ),
            Entry(
                Activity.INVITE,
                "User",
                outcome.user_id,
                upn,
                detail={
                    "invitationId": str(outcome.invitation_id),
                    "InvitedUserEmailAddress": address.wire,
                    "applications": list(request.wording.applications),
                    "groups": list(request.wording.groups),
                },
            ),
        ]
    connection = session.connection()
    connection.execute(_INSERT_USERS, people)
    connection.execute(_INSERT_TOKENS, tokens)
    connection.execute(_INSERT_INVITATIONS, invitations)
    return {outcome.user_id: fold(request.display_name or outcome.address.local) for outcome in new}


def _free_upns(tenant: Tenant, new: list[Invited], taken: set[str]) -> dict[UUID, str]:
    """A UPN for each; on collision `_` and four hex digits of the object id (decisions.md, UPN)."""
    chosen: dict[UUID, str] = {}
    for outcome in new:
        upn = addresses.user_principal_name(outcome.address, tenant.initial_domain)
        if fold(upn) in taken:
            upn = upn.replace("#EXT#", f"_{outcome.user_id.hex[-4:]}#EXT#")
        taken.add(fold(upn))
        chosen[outcome.user_id] = upn
    return chosen


def _mail(
    actor: Actor,
    wording: Wording,
    invitation: Invitation,
    address: Address,
    user: User,
    *,
    template: str = "invitation",
) -> dict[str, Any]:
    """A letter for a known guest; it becomes the one that the invitation's state speaks of."""
    row = letters.row(
        actor,
        wording,
        address,
        invitation_id=invitation.id,
        version=invitation.version,
        key_id=invitation.key_id,
        template=template,
        language=invitation.language or user.preferred_language,
    )
    if template == "invitation":
        invitation.outbox_id = row["id"]
    return row


def _give_access(
    session: Session,
    actor: Actor,
    request: _Request,
    outcomes: list[Invited],
    name_keys: dict[UUID, str],
    entries: list[Entry],
) -> None:
    people = [outcome.user_id for outcome in outcomes]
    names = {application.id: application.display_name for application in request.applications}
    group_names = {group.id: group.display_name for group in request.groups}
    assigned = applications.assign(
        session,
        actor.tenant_id,
        [(person, application) for person in people for application in names],
        actor.now,
        new_people=name_keys,
    )
    joined = groups.add(
        session,
        actor.tenant_id,
        [(person, group) for person in people for group in group_names],
        actor.now,
        new_people=name_keys,
    )
    shown = {outcome.user_id: outcome.address.text for outcome in outcomes}
    for person, application in assigned:
        entries.append(
            Entry(
                Activity.ASSIGN_APPLICATION,
                "User",
                person,
                shown[person],
                [Change("Application", None, names[application])],
            )
        )
    for person, group in joined:
        entries.append(
            Entry(
                Activity.ADD_MEMBER,
                "User",
                person,
                shown[person],
                [Change("Group", None, group_names[group])],
            )
        )


def draft(session: Session, actor: Actor, *, address: str, **facts: Any) -> dict[str, Any]:
    """The letter that `invite_many` would enqueue for one address, with a sample link; changes
    nothing.

    An address that is not one yet is shown as it was typed. Raises Denied, Invalid.
    """
    policy, tenant = policies.with_tenant(session, actor)
    policies.require_may_invite(policy, actor)
    asked = {
        "redirect_url": None,
        "message": None,
        "language": None,
        "display_name": None,
        "application_ids": (),
        "group_ids": (),
        **facts,
    }
    request = _checked(session, actor, policy, tenant, send_message=True, **asked)
    try:
        shown = addresses.parse(address, rules="rfc")
    except Invalid:
        shown = Address("guest", "example.com")
    row = letters.row(
        actor, request.wording, shown, invitation_id=UUID(int=0), version=0, key_id=""
    )
    row["context"]["sample"] = True
    return row


def of_user(session: Session, actor: Actor, user_id: UUID) -> Invitation | None:
    """Somebody's invitation, if he was invited."""
    return session.execute(
        select(Invitation).where(
            Invitation.tenant_id == actor.tenant_id, Invitation.user_id == user_id
        )
    ).scalar_one_or_none()


def _pending(
    session: Session, actor: Actor, user_id: UUID
) -> tuple[User, Invitation, TenantPolicy]:
    """An invitation that the actor may handle: his own, or any with the permission."""
    user = users.get(session, actor, user_id)
    invitation = of_user(session, actor, user_id)
    if invitation is None:
        raise NotFound(N_("This person was never invited."))
    if actor.user_id is None or invitation.inviter_id != actor.user_id:
        permissions.require(actor, Action.MANAGE_INVITATIONS)
    policy = policies.of(session, actor)
    policies.require_may_invite(policy, actor)
    if not user.is_pending:
        raise Conflict(N_("%(name)s has accepted already."), name=user.display_name)
    if user.deleted_at is not None:
        raise Conflict(N_("%(name)s is deleted."), name=user.display_name)
    address = addresses.parse(invitation.invited_address, rules="rfc")
    if (refusal := policies.domain_refusal(policy, address)) is not None:
        raise refusal
    return user, invitation, policy


def resend(session: Session, actor: Actor, user_id: UUID) -> Invitation:
    """Send a new link; the old one is dead at once, and so is its mail if it still waits.

    Raises NotFound, Denied, Conflict when it was accepted, Invalid when the domain is blocked by
    now.
    """
    audit.lock(session, actor.tenant_id)
    user, invitation, policy = _pending(session, actor, user_id)
    _within_rate(session, actor, 1)
    _repeats_within_rate(session, actor, 1)
    tenant = session.get(Tenant, actor.tenant_id)
    assert tenant is not None
    outbox.cancel(session, actor.tenant_id, invitation.id, now=actor.now)
    _new_version(actor, invitation)
    wording = Wording(
        tenant=tenant,
        policy=policy,
        redirect_url=invitation.redirect_url,
        message=invitation.message,
        language=invitation.language,
        applications=[tile.name for tile in applications.tiles(session, tenant.id, user.id)],
        groups=[group.display_name for group in groups.of_user(session, tenant.id, user.id)],
    )
    address = addresses.parse(invitation.invited_address, rules="rfc")
    row = _mail(actor, wording, invitation, address, user)
    invitation.send_message = True
    session.flush()
    outbox.enqueue(session, row)
    audit.record(session, actor, _entry(Activity.RESEND, user, version=invitation.version))
    return invitation


def copy_link(session: Session, actor: Actor, user_id: UUID) -> str:
    """The very link that was mailed, for passing on by hand; audited. Raises as `resend`.

    Raises Conflict too when the key it was made with is gone: sending it again makes a new one.
    """
    audit.lock(session, actor.tenant_id)
    user, invitation, _ = _pending(session, actor, user_id)
    try:
        link = links.redeem_url(
            actor.tenant_id, invitation.id, invitation.version, invitation.key_id
        )
    except KeyError as error:
        raise Conflict(N_("This link was made with a key that is gone. Send it again.")) from error
    audit.record(session, actor, _entry(Activity.COPY_LINK, user, version=invitation.version))
    return link
