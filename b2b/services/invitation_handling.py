"""What is done with an invitation afterwards: sent again, its link copied, extended, cancelled."""

from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from b2b import links
from b2b.actor import Actor
from b2b.errors import N_, Conflict, NotFound
from b2b.mail import outbox
from b2b.models import Invitation, InvitationStanding, Tenant, TenantPolicy, User
from b2b.services import (
    addresses,
    applications,
    audit,
    groups,
    invitation_quotas,
    invitation_states,
    invitations,
    permissions,
    policies,
    users,
)
from b2b.services import invitation_letters as letters
from b2b.services.audit import Activity, Change, Entry
from b2b.services.invitation_letters import Wording
from b2b.services.permissions import Action


def of_user(session: Session, actor: Actor, user_id: UUID) -> Invitation | None:
    """Somebody's invitation, if he was invited."""
    return session.execute(
        select(Invitation).where(
            Invitation.tenant_id == actor.tenant_id, Invitation.user_id == user_id
        )
    ).scalar_one_or_none()


def _entry(activity: Activity, user: User, **detail: Any) -> Entry:
    return Entry(activity, "User", user.id, user.user_principal_name, detail=detail)


def _handled(session: Session, actor: Actor, user_id: UUID) -> tuple[User, Invitation]:
    """An open invitation that the actor may handle: his own, or any with the permission."""
    user = users.get(session, actor, user_id)
    invitation = of_user(session, actor, user_id)
    if invitation is None:
        raise NotFound(N_("This person was never invited."))
    if actor.user_id is None or invitation.inviter_id != actor.user_id:
        permissions.require(actor, Action.MANAGE_INVITATIONS)
    if not user.is_pending:
        raise Conflict(N_("%(name)s has accepted already."), name=user.display_name)
    if user.deleted_at is not None:
        raise Conflict(N_("%(name)s is deleted."), name=user.display_name)
    return user, invitation


def _pending(
    session: Session, actor: Actor, user_id: UUID
) -> tuple[User, Invitation, TenantPolicy]:
    """As `_handled`, and the tenant's policy lets it go on."""
    user, invitation = _handled(session, actor, user_id)
    policy = policies.of(session, actor)
    policies.require_may_invite(policy, actor)
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
    invitation_quotas.within_rate(session, actor, 1)
    invitation_quotas.repeats_within_rate(session, actor, 1)
    tenant = session.get(Tenant, actor.tenant_id)
    assert tenant is not None
    outbox.cancel(session, actor.tenant_id, invitation.id, now=actor.now)
    invitations.new_version(actor, invitation)
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
    [row] = letters.rows(
        actor,
        wording,
        address,
        invitation_id=invitation.id,
        version=invitation.version,
        key_id=invitation.key_id,
        language=invitation.language or user.preferred_language,
    )
    invitation.outbox_id = row["id"]
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


def extend(session: Session, actor: Actor, user_id: UUID) -> Invitation:
    """Let the same link work for the tenant's whole time again, counted from now.

    Raises NotFound, Denied, Conflict when it was accepted or cancelled, or never ends.
    """
    audit.lock(session, actor.tenant_id)
    user, invitation, policy = _pending(session, actor, user_id)
    if invitation.cancelled_at is not None:
        raise Conflict(N_("This invitation was cancelled. Send it again instead."))
    before = invitation_states.ends_at(invitation.valid_from, policy.invitation_days)
    if before is None:
        raise Conflict(N_("Invitations of this organisation do not end."))
    invitation.valid_from = actor.now
    after = invitation_states.ends_at(invitation.valid_from, policy.invitation_days)
    assert after is not None
    entry = _entry(Activity.EXTEND, user)
    audit.record(
        session,
        actor,
        Entry(
            entry.activity,
            entry.target_type,
            entry.target_id,
            entry.target_name,
            [Change("ValidUntil", before.isoformat(), after.isoformat())],
        ),
    )
    return invitation


def cancel(session: Session, actor: Actor, user_id: UUID) -> Invitation:
    """Take an invitation back: link and queued mail are dead until the person is invited again.

    The person stays, pending (decisions.md, cancel). A domain that is blocked by now, or a policy
    that stops inviting, does not stop this. Raises NotFound, Denied, Conflict when it was accepted
    or cancelled already.
    """
    audit.lock(session, actor.tenant_id)
    user, invitation = _handled(session, actor, user_id)
    if invitation.cancelled_at is not None:
        raise Conflict(N_("This invitation was cancelled already."))
    invitation.cancelled_at = actor.now
    invitation.standing = InvitationStanding.CANCELLED
    outbox.cancel(session, actor.tenant_id, invitation.id, now=actor.now)
    audit.record(session, actor, _entry(Activity.CANCEL, user))
    return invitation
