"""Resetting somebody's redemption: he is invited anew, under the same or another address, and stays
the person he was (invitations.md, section 8; redemption.md, section 6).
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, Conflict, Denied, Invalid, NotFound, Refused
from b2b.models import (
    Domain,
    ExternalUserState,
    Identity,
    Invitation,
    Password,
    Role,
    Source,
    TenantPolicy,
    User,
)
from b2b.services import (
    addresses,
    audit,
    invitation_handling,
    invitation_quotas,
    invitation_requests,
    mail_refusals,
    permissions,
    policies,
    roles,
    sessions,
    users,
)
from b2b.services.addresses import Address
from b2b.services.audit import Activity, Change, Entry
from b2b.services.permissions import Action


def choices(user: User, invitation: Invitation) -> Sequence[Address]:
    """The addresses that somebody may be invited at anew: the invited one, `mail`, `otherMails`."""
    found: dict[str, Address] = {}
    for text in (invitation.invited_address, user.mail, *user.other_mails):
        if text:
            address = addresses.parse(text, rules="rfc")
            found.setdefault(address.key, address)
    return list(found.values())


def may_reset(policy: TenantPolicy, actor: Actor) -> bool:
    """Whether *actor* may do this at all: the permission, and the right to invite."""
    return permissions.allows(actor, Action.RESET_REDEMPTION) and policies.may_invite(policy, actor)


def refusal(user: User, invitation: Invitation | None, held: frozenset[Role]) -> Refused | None:
    """Why somebody cannot be invited anew, whoever asks; None when it can be tried."""
    if user.deleted_at is not None:
        return Conflict(N_("%(name)s is deleted."), name=user.display_name)
    if invitation is None or user.external_user_state is None:
        return Conflict(N_("This person was never invited."))
    if held:
        # threats.md, INV-3: whoever could redirect an administrator's sign-in would be one.
        return Denied(
            N_(
                "%(name)s holds a directory role, and the sign-in of such an account is never "
                "reset. Take the roles away first."
            ),
            name=user.display_name,
        )
    if not user.account_enabled:
        return Conflict(N_("%(name)s is blocked. Allow sign-in first."), name=user.display_name)
    return None


def reset(
    session: Session,
    actor: Actor,
    user_id: UUID,
    *,
    address: str,
    send_message: bool = True,
    redirect_url: str | None = None,
    message: str | None = None,
    language: str | None = None,
) -> Invitation:
    """Set somebody back to pending and invite him at *address*, one of `choices`.

    Id, groups, applications and UPN stay; the bound identity, password and sessions go, in one
    transaction. Where to, words and language stay those of the invitation unless they are given.
    Raises Denied, NotFound, Throttled, Invalid("address", "redirect_url", "message"), Conflict.
    """
    permissions.require(actor, Action.RESET_REDEMPTION)
    audit.lock(session, actor.tenant_id)
    policy = policies.of(session, actor)
    policies.require_may_invite(policy, actor)
    user = users.get(session, actor, user_id)
    session.flush()
    session.refresh(user)
    invitation = invitation_handling.of_user(session, actor, user_id)
    refused = refusal(user, invitation, roles.of_user(session, actor.tenant_id, user.id))
    if refused is not None:
        raise refused
    if invitation is None:
        raise NotFound(N_("This person was never invited."))
    session.refresh(invitation)
    wanted = _address(session, actor, policy, user, invitation, address)
    if send_message:
        mail_refusals.require_wanted(session, actor.tenant_id, wanted)
    invitation_quotas.within_rate(session, actor, 1)
    invitation_quotas.repeats_within_rate(session, actor, 1)

    identity = session.scalars(
        select(Identity).where(Identity.tenant_id == actor.tenant_id, Identity.user_id == user.id)
    ).one_or_none()
    changes = [
        Change("UserState", str(user.external_user_state), "PendingAcceptance"),
        Change("Source", str(user.source), str(Source.INVITED_USER)),
        Change("Identity", identity.label if identity else None, None),
        Change("InvitedAddress", invitation.invited_address, wanted.wire),
    ]
    if identity is not None:
        session.delete(identity)
    session.execute(
        delete(Password).where(Password.tenant_id == user.tenant_id, Password.user_id == user.id)
    )
    sessions.end_all(session, actor, user)
    user.external_user_state = ExternalUserState.PENDING_ACCEPTANCE
    user.external_user_state_changed_at = actor.now
    user.source = Source.INVITED_USER
    user.invited_key = wanted.key
    user.profile_reviewed_at = None
    users.refacet(session, user)
    invitation.accepted_at = None
    invitation.invited_address = wanted.wire
    invitation.domain = wanted.domain
    if redirect_url is not None:
        invitation.redirect_url = policies.landing_page(policy, redirect_url)
    invitation.message = invitation_requests.clean_message(message) or invitation.message
    invitation.language = language or invitation.language
    invitation_handling.renew(session, actor, user, invitation, wanted, mailed=send_message)
    audit.record(
        session,
        actor,
        Entry(
            Activity.RESET,
            "User",
            user.id,
            user.user_principal_name,
            [change for change in changes if change.before != change.after],
            {"invitationId": str(invitation.id), "InvitedUserEmailAddress": wanted.wire},
        ),
    )
    return invitation


def _address(
    session: Session,
    actor: Actor,
    policy: TenantPolicy,
    user: User,
    invitation: Invitation,
    text: str,
) -> Address:
    wanted = addresses.parse(text, rules="rfc")
    if wanted.key not in {address.key for address in choices(user, invitation)}:
        raise Invalid(
            "address",
            N_("Put %(address)s among this person’s other mail addresses first."),
            address=wanted.text,
        )
    before = addresses.parse(invitation.invited_address, rules="rfc")
    if user.is_pending and wanted.key == before.key:
        raise Conflict(
            N_("%(name)s has not accepted yet. Send the invitation again instead."),
            name=user.display_name,
        )
    blocked = policies.domain_refusal(policy, wanted)
    if blocked is not None:
        blocked.field = "address"
        raise blocked
    own = session.get(Domain, (actor.tenant_id, wanted.domain))
    if own is not None and own.verified_at is not None:
        raise Invalid(
            "address",
            N_("%(domain)s is a verified domain of this directory."),
            domain=wanted.domain,
        )
    _require_free(session, user, wanted)
    return wanted


def _require_free(session: Session, user: User, wanted: Address) -> None:
    for column in (User.invited_key, User.mail_key, User.upn_key):
        other = session.execute(
            select(User.id)
            .where(
                User.tenant_id == user.tenant_id,
                column == wanted.key,
                User.id != user.id,
                User.deleted_at.is_(None),
            )
            .limit(1)
        ).first()
        if other is not None:
            raise Invalid(
                "address",
                N_("Somebody else in this directory has %(address)s."),
                address=wanted.text,
            )
