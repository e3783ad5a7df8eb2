"""Somebody of this directory is to sign in from outside: an internal user becomes a B2B one
(invitations.md, section 7; decisions.md, internal → B2B).
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from b2b import keys, links
from b2b.actor import Actor
from b2b.errors import N_, Conflict, Denied, Invalid, Refused
from b2b.mail import outbox
from b2b.models import (
    Domain,
    ExternalUserState,
    Identity,
    Invitation,
    InvitationStanding,
    Sponsor,
    Tenant,
    User,
    UserType,
    new_id,
)
from b2b.services import (
    addresses,
    applications,
    audit,
    groups,
    invitation_handling,
    invitation_letters,
    invitation_quotas,
    invitation_requests,
    licenses,
    mail_refusals,
    policies,
    roles,
    sponsors,
    users,
)
from b2b.services.addresses import Address
from b2b.services.audit import Activity, Change, Entry
from b2b.services.invitation_letters import Wording
from b2b.services.invitation_requests import Asked
from b2b.services.permissions import Action


def choices(user: User) -> Sequence[Address]:
    """The addresses that somebody may be invited at: `mail`, and of people who are not
    synchronised their other addresses, too.
    """
    texts = [user.mail, *([] if user.on_premises_sync_enabled else user.other_mails)]
    found: dict[str, Address] = {}
    for text in texts:
        if text:
            address = addresses.parse(text, rules="rfc")
            found.setdefault(address.key, address)
    return list(found.values())


def is_external(session: Session, user: User) -> bool:
    """Whether somebody signs in elsewhere already, or was invited to."""
    if user.external_user_state is not None:
        return True
    found = session.execute(
        select(Identity.user_id).where(
            Identity.tenant_id == user.tenant_id, Identity.user_id == user.id
        )
    )
    return found.first() is not None


def refusal(session: Session, actor: Actor, user: User) -> Refused | None:
    """Why somebody cannot be converted, whoever asks; None when it can be tried."""
    if user.deleted_at is not None:
        return Conflict(N_("%(name)s is deleted."), name=user.display_name)
    if user.external_user_state is ExternalUserState.ACCEPTED or (
        user.external_user_state is None and is_external(session, user)
    ):
        return Conflict(
            N_("%(name)s signs in from outside already; there is no way back."),
            name=user.display_name,
        )
    if not user.account_enabled:
        return Conflict(N_("%(name)s is blocked. Allow sign-in first."), name=user.display_name)
    if roles.of_user(session, actor.tenant_id, user.id):
        # threats.md, INV-3: whoever could redirect an administrator's sign-in would be one.
        return Denied(
            N_(
                "%(name)s holds a directory role, and the sign-in of such an account is never "
                "moved. Take the roles away first."
            ),
            name=user.display_name,
        )
    if licenses.has_mailbox(session, actor.tenant_id, user.id):
        return Conflict(
            N_("%(name)s has an Exchange licence. Take it away first."), name=user.display_name
        )
    return None


def convert(
    session: Session,
    actor: Actor,
    user_id: UUID,
    *,
    address: str,
    as_guest: bool = False,
    **facts: Any,
) -> Invitation:
    """Invite somebody of this directory to sign in with an account elsewhere, at one of `choices`.

    *facts* are those of `Asked`. Object, sign-in name, groups and applications stay; the user type
    stays unless *as_guest*. The own password works until acceptance, which ends it. Asked again
    while it is open, it is the same invitation with a new link. Raises Denied, NotFound, Throttled,
    Invalid(field), Conflict.
    """
    policy, tenant = policies.with_tenant(session, actor)
    policies.require_may_invite(policy, actor)
    user = users.for_change(session, actor, user_id, Action.UPDATE_USER)
    refused = refusal(session, actor, user)
    if refused is not None:
        raise refused
    request = invitation_requests.check(session, actor, policy, tenant, Asked(**facts))
    wanted = _address(session, actor, user, address)
    if (blocked := policies.domain_refusal(policy, wanted)) is not None:
        raise blocked
    if request.send_message:
        mail_refusals.require_wanted(session, actor.tenant_id, wanted)
    invitation_quotas.within_rate(session, actor, 1)
    invitation_quotas.within_day(session, actor, 1)
    invitation = invitation_handling.of_user(session, actor, user.id)
    changes = [Change("UserState", user.external_user_state, "PendingAcceptance")]
    if invitation is None:
        invitation = _new(session, actor, user, wanted)
    else:
        invitation_quotas.repeats_within_rate(session, actor, 1)
    user.external_user_state = ExternalUserState.PENDING_ACCEPTANCE
    user.external_user_state_changed_at = actor.now
    user.invited_key = wanted.key
    if as_guest and user.user_type is not UserType.GUEST:
        changes.append(Change("UserType", str(user.user_type), str(UserType.GUEST)))
        user.user_type = UserType.GUEST
    users.refacet(session, user)
    invitation.invited_address, invitation.domain = wanted.wire, wanted.domain
    invitation.redirect_url = request.wording.redirect_url
    invitation.message = request.wording.message
    invitation.language = request.wording.language
    invitation.cc_name, invitation.cc_address = request.wording.copy_name, request.wording.copy_to
    _mail(session, actor, user, invitation, wanted, request.wording, request.send_message)
    if request.sponsors:
        _sponsor(session, actor, user, request.sponsors)
    entry = Entry(
        Activity.CONVERT,
        "User",
        user.id,
        user.user_principal_name,
        [change for change in changes if change.before != change.after],
        {"invitationId": str(invitation.id), "InvitedUserEmailAddress": wanted.wire},
    )
    audit.record(session, actor, entry)
    return invitation


def _address(session: Session, actor: Actor, user: User, text: str) -> Address:
    wanted = addresses.parse(text, field="address", rules="rfc")
    if wanted.key not in {one.key for one in choices(user)}:
        if user.on_premises_sync_enabled:
            raise Invalid("address", N_("Of synchronised people the address has to be their mail."))
        raise Invalid(
            "address",
            N_("Put %(address)s among this person’s other mail addresses first."),
            address=wanted.text,
        )
    own = session.execute(
        select(Domain.name).where(
            Domain.tenant_id == actor.tenant_id,
            Domain.name == wanted.domain,
            Domain.verified_at.is_not(None),
        )
    )
    if own.first() is not None:
        raise Invalid(
            "address",
            N_("%(domain)s is a verified domain of this directory."),
            domain=wanted.domain,
        )
    taken = session.execute(
        select(User.id).where(
            User.tenant_id == actor.tenant_id,
            User.invited_key == wanted.key,
            User.deleted_at.is_(None),
            User.id != user.id,
        )
    )
    if taken.first() is not None:
        raise Conflict(N_("Somebody else was invited at %(address)s."), address=wanted.text)
    return wanted


def _new(session: Session, actor: Actor, user: User, wanted: Address) -> Invitation:
    ring = links.keyring()
    invitation_id = new_id()
    made = Invitation(
        tenant_id=actor.tenant_id,
        id=invitation_id,
        user_id=user.id,
        invited_address=wanted.wire,
        domain=wanted.domain,
        redirect_url="",
        send_message=False,
        inviter_id=actor.user_id,
        inviter_name=actor.display_name,
        inviter_mail=actor.mail,
        version=0,
        ticket_hash=keys.digest(ring.ticket(ring.current_id, invitation_id, 0)),
        key_id=ring.current_id,
        created_at=actor.now,
        sent_at=actor.now,
        valid_from=actor.now,
        standing=InvitationStanding.OPEN,
    )
    session.add(made)
    return made


def _mail(
    session: Session,
    actor: Actor,
    user: User,
    invitation: Invitation,
    wanted: Address,
    asked: Wording,
    send_message: bool,
) -> None:
    """A new link, and its letter if one is wanted."""
    session.flush()
    invitation_handling.renew(session, actor, user, invitation, wanted, mailed=False)
    invitation.send_message = send_message
    if send_message:
        tenant_id = actor.tenant_id
        wording = Wording(
            tenant=session.get_one(Tenant, tenant_id),
            policy=asked.policy,
            redirect_url=invitation.redirect_url,
            message=invitation.message,
            language=invitation.language,
            applications=[tile.name for tile in applications.tiles(session, tenant_id, user.id)],
            groups=[group.display_name for group in groups.of_user(session, tenant_id, user.id)],
            copy_to=asked.copy_to,
            copy_name=asked.copy_name,
        )
        rows = invitation_letters.rows(
            actor,
            wording,
            wanted,
            invitation_id=invitation.id,
            version=invitation.version,
            key_id=invitation.key_id,
            language=invitation.language or user.preferred_language,
        )
        invitation.outbox_id = rows[0]["id"]
        outbox.enqueue(session, *rows)
    session.flush()


def _sponsor(session: Session, actor: Actor, user: User, chosen: Sequence[sponsors.Named]) -> None:
    held = {one.id for one in sponsors.of_user(session, actor.tenant_id, user.id)}
    fresh = [one for one in chosen if one.id not in held]
    if len(held) + len(fresh) > sponsors.MOST:
        raise Invalid("sponsors", N_("At most %(most)s sponsors."), most=sponsors.MOST)
    for row in sponsors.rows(actor, user.id, fresh) if fresh else ():
        session.add(Sponsor(**row))
