"""Inviting people from outside: the one door that form, API, bulk jobs and approvals enter by."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import insert
from sqlalchemy.orm import Session

from b2b import keys, links
from b2b.actor import Actor
from b2b.errors import N_, Invalid
from b2b.mail import outbox
from b2b.models import (
    ExternalUserState,
    Invitation,
    InvitationStanding,
    Source,
    Sponsor,
    Tenant,
    User,
    UserToken,
    fold,
    new_id,
)
from b2b.prepared import Prepared
from b2b.services import (
    addresses,
    applications,
    audit,
    deleted_users,
    groups,
    invitation_quotas,
    invitation_requests,
    invitees,
    policies,
    sponsors,
    user_listing,
)
from b2b.services import invitation_letters as letters
from b2b.services.addresses import Address
from b2b.services.audit import Activity, Change, Entry
from b2b.services.invitation_requests import Asked, Checked
from b2b.services.invitees import Invitees

SAME_LINK_FOR = timedelta(minutes=5)
"""A repeat within this time is the same invitation: same link, no second mail (decisions.md)."""


class Restorable(Invalid):
    """Some of the people were deleted lately and could be restored instead; nothing was done."""

    def __init__(self, people: list[Any]) -> None:
        super().__init__(
            "addresses",
            N_("Nothing was sent. People who were deleted and can be restored: %(n)s"),
            n=len(people),
        )
        self.people = people
        """Each with id, display_name, mail_key and deleted_at."""


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
    mailed: bool
    """Whether a mail is owed; no when only the link was wanted, or the person wants no mail."""
    unsubscribed: bool = False
    """The person has blocked this organisation's invitations (mail.md, section 5)."""


@dataclass
class _Work:
    """What one call is about to write."""

    actor: Actor
    request: Checked
    people: Invitees
    outcomes: list[Invited]
    entries: list[Entry]
    mails: list[dict[str, Any]]


def invite(
    session: Session, actor: Actor, *, address: str, display_name: str | None = None, **facts: Any
) -> Invited:
    """Invite one person: the list of one. Raises as `invite_many`."""
    return invite_many(
        session, actor, addresses_text=[address], display_name=display_name, **facts
    )[0]


def invite_many(
    session: Session, actor: Actor, *, addresses_text: Sequence[str], **facts: Any
) -> list[Invited]:
    """Invite people by their addresses, all or none, in this transaction.

    *facts* are those of `Asked`. For each: a guest user with a sponsor, an invitation, the chosen
    memberships and assignments, mail in the outbox and audit events; known people get what
    invitations.md, section 6, and decisions.md say. At most MOST_AT_ONCE addresses; the same
    address twice counts once. Raises Denied, Throttled, Invalid, Restorable,
    and InvalidAddresses with one entry for each address that cannot be invited.
    """
    policy, tenant = policies.with_tenant(session, actor)
    policies.require_may_invite(policy, actor)
    # Behind the lock what is read stays true: ownership of groups, too (threats.md, APP-2).
    audit.lock(session, actor.tenant_id)
    request = invitation_requests.check(session, actor, policy, tenant, Asked(**facts))
    people = invitees.sort_out(
        session, actor, policy, tenant, addresses_text, request.address_rules
    )
    if people.deleted and not request.as_new:
        lately = deleted_users.restorable(session, actor, sorted(people.deleted))
        if lately:
            raise Restorable(list(lately.values()))
    if len(people.wanted) > 1 and request.display_name:
        raise Invalid("display_name", N_("A display name can be given for one address only."))
    invitation_quotas.within_rate(session, actor, len(people.wanted))
    invitation_quotas.within_day(session, actor, len(people.wanted))
    invitation_quotas.repeats_within_rate(session, actor, len(people.guests))

    work = _Work(actor, request, people, [], [], [])
    for address in people.wanted:
        if address.key in people.guests:
            outcome = _again(work, address)
        else:
            outcome = _outcome(work, address, Result.INVITED, new_id(), new_id())
        work.outcomes.append(outcome)
    name_keys = _insert(session, work)
    if people.guests:
        session.flush()
    _give_access(session, work, name_keys)
    for outcome in work.outcomes:
        if outcome.unsubscribed:
            work.entries.append(
                Entry(Activity.NOT_MAILED, "User", outcome.user_id, outcome.address.text)
            )
    outbox.enqueue(session, *work.mails)
    audit.record(session, actor, *work.entries)
    return work.outcomes


def _outcome(
    work: _Work, address: Address, result: Result, user_id: UUID, invitation_id: UUID
) -> Invited:
    wanted = work.request.send_message and result is not Result.SAME
    refused = wanted and address.key in work.people.unsubscribed
    return Invited(address, result, user_id, invitation_id, wanted and not refused, refused)


def is_recent(invitation: Invitation, now: datetime) -> bool:
    """Whether asking once more is the same invitation."""
    return invitation.cancelled_at is None and now - invitation.sent_at < SAME_LINK_FOR


def _again(work: _Work, address: Address) -> Invited:
    """Somebody who was invited before."""
    actor, request = work.actor, work.request
    user, invitation = work.people.guests[address.key]
    if not user.is_pending:
        result = Result.COMPLETED
    elif is_recent(invitation, actor.now):
        result = Result.SAME
    else:
        result = Result.SENT_AGAIN
    outcome = _outcome(work, address, result, user.id, invitation.id)
    if result is Result.SENT_AGAIN:
        new_version(actor, invitation)
        invitation.redirect_url = request.wording.redirect_url
        invitation.message = request.wording.message or invitation.message
        invitation.send_message = request.send_message
        invitation.cc_name = request.wording.copy_name
        invitation.cc_address = request.wording.copy_to
        invitation.outbox_id = None
        work.entries.append(_entry(Activity.RESEND, user, version=invitation.version))
    if outcome.mailed and result is not Result.SAME:
        template = "welcome_back" if result is Result.COMPLETED else "invitation"
        rows = letters.rows(
            actor,
            request.wording,
            address,
            invitation_id=invitation.id,
            version=invitation.version,
            key_id=invitation.key_id,
            template=template,
            language=invitation.language or user.preferred_language,
        )
        if template == "invitation":
            invitation.outbox_id = rows[0]["id"]
        work.mails += rows
    return outcome


def _entry(activity: Activity, user: User, **detail: Any) -> Entry:
    return Entry(activity, "User", user.id, user.user_principal_name, detail=detail)


def new_version(actor: Actor, invitation: Invitation) -> None:
    """Make a new link; the old one is dead from this commit on."""
    ring = links.keyring()
    invitation.version += 1
    invitation.key_id = ring.current_id
    invitation.ticket_hash = keys.digest(
        ring.ticket(ring.current_id, invitation.id, invitation.version)
    )
    invitation.sent_at = invitation.valid_from = actor.now
    invitation.opened_at = invitation.signed_in_at = None
    invitation.declined_at = invitation.cancelled_at = None
    invitation.standing = InvitationStanding.OPEN


# The hottest statements of the program: an invitation is at most as dear as three bare inserts.
_INSERT_USERS = Prepared(
    insert(User),
    [
        "tenant_id", "id", "facet", "user_principal_name", "upn_key", "display_name", "name_key",
        "mail", "mail_key", "mail_nickname", "other_mails", "invited_key", "user_type",
        "creation_type", "external_user_state", "external_user_state_changed_at", "source",
        "account_enabled", "show_in_address_list", "created_at",
    ],
)  # fmt: skip
_INSERT_TOKENS = Prepared(insert(UserToken))
_INSERT_SPONSORS = Prepared(insert(Sponsor))
_INSERT_INVITATIONS = Prepared(
    insert(Invitation),
    [
        "tenant_id", "id", "user_id", "invited_address", "domain", "invited_display_name",
        "redirect_url", "message", "language", "send_message", "cc_name", "cc_address",
        "inviter_id", "inviter_name", "inviter_mail", "version", "ticket_hash", "key_id",
        "outbox_id", "created_at", "sent_at", "valid_from", "standing",
    ],
)  # fmt: skip


def _insert(session: Session, work: _Work) -> dict[UUID, str]:
    """Write users, search words, sponsors and invitations of the new ones.

    Returns the folded names by user.
    """
    new = [outcome for outcome in work.outcomes if outcome.result is Result.INVITED]
    if not new:
        return {}
    actor, request = work.actor, work.request
    ring = links.keyring()
    number = user_listing.facet(
        request.user_type, ExternalUserState.PENDING_ACCEPTANCE, Source.INVITED_USER
    )
    user_listing.ensure_facets(session, actor.tenant_id, {number})
    upns = _free_upns(request.wording.tenant, new, work.people.taken_upns)
    users, tokens, answering, invitations = [], [], [], []
    name_keys: dict[UUID, str] = {}
    for outcome in new:
        upn = upns[outcome.user_id]
        user = _user_row(work, outcome, upn, number)
        users.append(user)
        name_keys[outcome.user_id] = user["name_key"]
        tokens += user_listing.token_rows(
            actor.tenant_id, outcome.user_id, user["display_name"], outcome.address.wire, upn
        )
        answering += sponsors.rows(actor, outcome.user_id, request.sponsors)
        mails: list[dict[str, Any]] = []
        if outcome.mailed:
            mails = letters.rows(
                actor,
                request.wording,
                outcome.address,
                invitation_id=outcome.invitation_id,
                version=1,
                key_id=ring.current_id,
            )
            work.mails += mails
        invitations.append(_invitation_row(work, outcome, mails[0]["id"] if mails else None))
        work.entries += _first_entries(work, outcome, upn)
    connection = session.connection()
    _INSERT_USERS.write(connection, users)
    _INSERT_TOKENS.write(connection, tokens)
    if answering:
        _INSERT_SPONSORS.write(connection, answering)
    _INSERT_INVITATIONS.write(connection, invitations)
    return name_keys


def _user_row(work: _Work, outcome: Invited, upn: str, number: int) -> dict[str, Any]:
    actor, request, address = work.actor, work.request, outcome.address
    name = request.name_of(address) or address.local
    # Where the address is somebody else's further one it stays out of `mail` (invitations.md, 6).
    taken = address.key in work.people.proxied
    return {
        "tenant_id": actor.tenant_id,
        "id": outcome.user_id,
        "facet": number,
        "user_principal_name": upn,
        "upn_key": fold(upn),
        "display_name": name,
        "name_key": fold(name),
        "mail": None if taken else address.wire,
        "mail_key": None if taken else address.key,
        "mail_nickname": upn.rpartition("@")[0],
        "other_mails": [address.wire] if taken else [],
        "invited_key": address.key,
        "user_type": request.user_type,
        "creation_type": "Invitation",
        "external_user_state": ExternalUserState.PENDING_ACCEPTANCE,
        "external_user_state_changed_at": actor.now,
        "source": Source.INVITED_USER,
        "account_enabled": True,
        "show_in_address_list": False,
        "created_at": actor.now,
    }


def _invitation_row(work: _Work, outcome: Invited, outbox_id: UUID | None) -> dict[str, Any]:
    actor, request = work.actor, work.request
    ring = links.keyring()
    return {
        "tenant_id": actor.tenant_id,
        "id": outcome.invitation_id,
        "user_id": outcome.user_id,
        "invited_address": outcome.address.wire,
        "domain": outcome.address.domain,
        "invited_display_name": request.name_of(outcome.address),
        "redirect_url": request.wording.redirect_url,
        "message": request.wording.message,
        "language": request.wording.language,
        "send_message": request.send_message,
        "cc_name": request.wording.copy_name,
        "cc_address": request.wording.copy_to,
        "inviter_id": actor.user_id,
        "inviter_name": actor.display_name,
        "inviter_mail": actor.mail,
        "version": 1,
        "ticket_hash": keys.digest(ring.ticket(ring.current_id, outcome.invitation_id, 1)),
        "key_id": ring.current_id,
        "outbox_id": outbox_id,
        "created_at": actor.now,
        "sent_at": actor.now,
        "valid_from": actor.now,
        "standing": InvitationStanding.OPEN,
    }


def _first_entries(work: _Work, outcome: Invited, upn: str) -> list[Entry]:
    """The events of a first invitation (invitations.md, section 4, side effects)."""
    request, actor = work.request, work.actor
    found = [
        Entry(
            Activity.ADD_USER,
            "User",
            outcome.user_id,
            upn,
            [
                Change("UserType", None, str(request.user_type)),
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
                "InvitedUserEmailAddress": outcome.address.wire,
                "applications": list(request.wording.applications),
                "groups": list(request.wording.groups),
            },
        ),
    ]
    names = [sponsor.display_name for sponsor in request.sponsors]
    if not names and actor.user_id is not None:
        names = [actor.display_name]
    if names:
        found.append(
            Entry(
                Activity.ADD_SPONSOR,
                "User",
                outcome.user_id,
                upn,
                [Change("Sponsor", None, ", ".join(names))],
            )
        )
    return found


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


def _give_access(session: Session, work: _Work, name_keys: dict[UUID, str]) -> None:
    actor, request = work.actor, work.request
    people = [outcome.user_id for outcome in work.outcomes]
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
    shown = {outcome.user_id: outcome.address.text for outcome in work.outcomes}
    for person, application in assigned:
        work.entries.append(
            Entry(
                Activity.ASSIGN_APPLICATION,
                "User",
                person,
                shown[person],
                [Change("Application", None, names[application])],
            )
        )
    for person, group in joined:
        work.entries.append(
            Entry(
                Activity.ADD_MEMBER,
                "User",
                person,
                shown[person],
                [Change("Group", None, group_names[group])],
                {"group": str(group)},
            )
        )


def draft(session: Session, actor: Actor, *, address: str, **facts: Any) -> dict[str, Any]:
    """The letter that `invite_many` would enqueue for one address, with a sample link; changes
    nothing.

    An address that is not one yet is shown as it was typed. Raises Denied, Invalid.
    """
    policy, tenant = policies.with_tenant(session, actor)
    policies.require_may_invite(policy, actor)
    facts["send_message"] = True
    request = invitation_requests.check(session, actor, policy, tenant, Asked(**facts))
    try:
        shown = addresses.parse(address, rules="rfc")
    except Invalid:
        shown = Address("guest", "example.com")
    row = letters.rows(
        actor, request.wording, shown, invitation_id=UUID(int=0), version=0, key_id=""
    )[0]
    row["context"]["sample"] = True
    return row
