"""What is done with an invitation afterwards: sent again, its link copied, extended, cancelled."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from b2b import links
from b2b.actor import Actor
from b2b.errors import N_, Conflict, Invalid, NotAll, NotFound, Refused
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
    mail_refusals,
    permissions,
    policies,
    users,
)
from b2b.services import invitation_letters as letters
from b2b.services.addresses import Address
from b2b.services.audit import Activity, Change, Entry
from b2b.services.invitation_letters import Wording
from b2b.services.permissions import Action

AT_ONCE = 50
"""People whose invitations are handled together."""


class Handling(enum.StrEnum):
    """What can be done with an invitation that is not accepted yet."""

    RESEND = "resend"
    COPY_LINK = "link"
    EXTEND = "extend"
    CANCEL = "cancel"


@dataclass(frozen=True)
class Verdict:
    """Whether one person's invitation can be handled; `refusal` says why not."""

    user: User
    invitation: Invitation | None
    refusal: Refused | None


def of_user(session: Session, actor: Actor, user_id: UUID) -> Invitation | None:
    """Somebody's invitation, if he was invited."""
    return session.execute(
        select(Invitation).where(
            Invitation.tenant_id == actor.tenant_id, Invitation.user_id == user_id
        )
    ).scalar_one_or_none()


def may_handle(
    policy: TenantPolicy, actor: Actor, invitation: Invitation, handling: Handling
) -> bool:
    """Whether *actor* may do this at all: to his own invitations, or to any with the permission.

    What reaches out to people needs the right to invite as well (threats.md, INV-6); taking an
    invitation back does not.
    """
    own = actor.user_id is not None and invitation.inviter_id == actor.user_id
    if not own and not permissions.allows(actor, Action.MANAGE_INVITATIONS):
        return False
    return handling is Handling.CANCEL or policies.may_invite(policy, actor)


def _require_may_handle(
    policy: TenantPolicy, actor: Actor, invitation: Invitation, handling: Handling
) -> None:
    if actor.user_id is None or invitation.inviter_id != actor.user_id:
        permissions.require(actor, Action.MANAGE_INVITATIONS)
    if handling is not Handling.CANCEL:
        policies.require_may_invite(policy, actor)


def refusal(
    policy: TenantPolicy, user: User, invitation: Invitation | None, handling: Handling
) -> Refused | None:
    """Why this cannot be done now, whoever asks; None when it can."""
    if invitation is None:
        return Conflict(N_("This person was never invited."))
    if not user.is_pending:
        return Conflict(N_("%(name)s has accepted already."), name=user.display_name)
    if user.deleted_at is not None:
        return Conflict(N_("%(name)s is deleted."), name=user.display_name)
    cancelled = invitation.cancelled_at is not None
    if handling is Handling.CANCEL:
        return Conflict(N_("This invitation was cancelled already.")) if cancelled else None
    address = addresses.parse(invitation.invited_address, rules="rfc")
    if (blocked := policies.domain_refusal(policy, address)) is not None:
        return blocked
    if cancelled and handling is not Handling.RESEND:
        return Conflict(N_("This invitation was cancelled. Send it again instead."))
    if handling is Handling.EXTEND and policy.invitation_days is None:
        return Conflict(N_("Invitations of this organisation do not end."))
    return None


def _handled(
    session: Session, actor: Actor, user_id: UUID, handling: Handling
) -> tuple[User, Invitation, TenantPolicy]:
    """Behind the tenant's lock: an invitation that the actor may handle, and that allows it."""
    audit.lock(session, actor.tenant_id)
    user = users.get(session, actor, user_id)
    invitation = of_user(session, actor, user_id)
    if invitation is None:
        raise NotFound(N_("This person was never invited."))
    session.refresh(user)
    session.refresh(invitation)
    policy = policies.of(session, actor)
    _require_may_handle(policy, actor, invitation, handling)
    if (found := refusal(policy, user, invitation, handling)) is not None:
        raise found
    return user, invitation, policy


def _entry(activity: Activity, user: User, *changes: Change, **detail: Any) -> Entry:
    return Entry(activity, "User", user.id, user.user_principal_name, changes, detail)


def resend(session: Session, actor: Actor, user_id: UUID) -> Invitation:
    """Send a new link; the old one is dead at once, and so is its mail if it still waits.

    Raises NotFound, Denied, Throttled, Invalid when the domain is blocked by now, Conflict when it
    was accepted, or when the person wants no more invitations.
    """
    user, invitation, _ = _handled(session, actor, user_id, Handling.RESEND)
    address = addresses.parse(invitation.invited_address, rules="rfc")
    mail_refusals.require_wanted(session, actor.tenant_id, address)
    invitation_quotas.within_rate(session, actor, 1)
    invitation_quotas.repeats_within_rate(session, actor, 1)
    renew(session, actor, user, invitation, address, mailed=True)
    audit.record(session, actor, _entry(Activity.RESEND, user, version=invitation.version))
    return invitation


def renew(
    session: Session,
    actor: Actor,
    user: User,
    invitation: Invitation,
    address: Address,
    *,
    mailed: bool,
) -> None:
    """Make a new link for the invitation and, when *mailed*, owe its letter to *address*.

    The old link is dead, and so is its mail if it still waits. The caller has asked whether it may
    be, behind the tenant's lock, and audits it.
    """
    policy, tenant = policies.of(session, actor), session.get_one(Tenant, actor.tenant_id)
    outbox.cancel(session, actor.tenant_id, invitation.id, now=actor.now)
    invitations.new_version(actor, invitation)
    invitation.outbox_id = None
    invitation.send_message = mailed
    if mailed:
        wording = Wording(
            tenant=tenant,
            policy=policy,
            redirect_url=invitation.redirect_url,
            message=invitation.message,
            language=invitation.language,
            applications=[tile.name for tile in applications.tiles(session, tenant.id, user.id)],
            groups=[group.display_name for group in groups.of_user(session, tenant.id, user.id)],
        )
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
        outbox.enqueue(session, row)
    session.flush()


def copy_link(session: Session, actor: Actor, user_id: UUID) -> str:
    """The very link that was mailed, for passing on by hand; audited. Raises as `resend`.

    Raises Conflict too when it was cancelled, or when the key it was made with is gone: sending it
    again makes a new one.
    """
    user, invitation, _ = _handled(session, actor, user_id, Handling.COPY_LINK)
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

    Raises NotFound, Denied, Invalid when the domain is blocked by now, Conflict when it was
    accepted or cancelled, or never ends.
    """
    user, invitation, policy = _handled(session, actor, user_id, Handling.EXTEND)
    before = invitation_states.ends_at(invitation.valid_from, policy.invitation_days)
    invitation.valid_from = actor.now
    after = invitation_states.ends_at(invitation.valid_from, policy.invitation_days)
    assert before is not None
    assert after is not None
    change = Change("ValidUntil", before.isoformat(), after.isoformat())
    audit.record(session, actor, _entry(Activity.EXTEND, user, change))
    return invitation


def cancel(session: Session, actor: Actor, user_id: UUID) -> Invitation:
    """Take an invitation back: link and queued mail are dead until the person is invited again.

    The person stays, pending (decisions.md, cancel). A domain that is blocked by now, or a policy
    that stops inviting, does not stop this. Raises NotFound, Denied, Conflict when it was accepted
    or cancelled already.
    """
    user, invitation, _ = _handled(session, actor, user_id, Handling.CANCEL)
    invitation.cancelled_at = actor.now
    invitation.standing = InvitationStanding.CANCELLED
    outbox.cancel(session, actor.tenant_id, invitation.id, now=actor.now)
    audit.record(session, actor, _entry(Activity.CANCEL, user))
    return invitation


_DO = {
    Handling.RESEND: resend,
    Handling.COPY_LINK: copy_link,
    Handling.EXTEND: extend,
    Handling.CANCEL: cancel,
}


def verdicts(
    session: Session, actor: Actor, handling: Handling, user_ids: Sequence[UUID]
) -> list[Verdict]:
    """For each of these people whether it can be done; changes nothing.

    Raises NotFound when anybody of them is not in this tenant (threats.md, ADM-3), Denied when the
    actor may not handle one of them, Invalid when they are more than AT_ONCE.
    """
    wanted = list(dict.fromkeys(user_ids))
    if len(wanted) > AT_ONCE:
        raise Invalid("id", N_("At most %(most)s invitations at once."), most=AT_ONCE)
    rows = session.execute(
        select(User, Invitation)
        .outerjoin(
            Invitation, (Invitation.tenant_id == User.tenant_id) & (Invitation.user_id == User.id)
        )
        .where(User.tenant_id == actor.tenant_id, User.id.in_(wanted))
    )
    found = {user.id: (user, invitation) for user, invitation in rows}
    if len(found) != len(wanted):
        raise NotFound(N_("There is nobody here with this id."))
    policy = policies.of(session, actor)
    for _, invitation in found.values():
        if invitation is None:
            permissions.require(actor, Action.MANAGE_INVITATIONS)
        else:
            _require_may_handle(policy, actor, invitation, handling)
    addressed = {
        user_id: addresses.parse(invitation.invited_address, rules="rfc")
        for user_id, (_, invitation) in found.items()
        if invitation is not None and handling is Handling.RESEND
    }
    unwanted = mail_refusals.unwanted(session, actor.tenant_id, list(addressed.values()))
    made = []
    for user_id in wanted:
        user, invitation = found[user_id]
        why_not = refusal(policy, user, invitation, handling)
        if why_not is None and user_id in addressed:
            why_not = unwanted.get(addressed[user_id].key)
        made.append(Verdict(user, invitation, why_not))
    return made


def handle(
    session: Session, actor: Actor, handling: Handling, user_ids: Sequence[UUID]
) -> list[Verdict]:
    """Do it for each of them or for nobody, in this transaction, which the caller must give up
    when this raises.

    Raises as `verdicts`, Throttled, and NotAll when it cannot be done for each.
    """
    audit.lock(session, actor.tenant_id)
    found = verdicts(session, actor, handling, user_ids)
    done: list[Verdict] = []
    for verdict in found:
        try:
            if verdict.refusal is None:
                _DO[handling](session, actor, verdict.user.id)
            done.append(verdict)
        except (Conflict, Invalid) as error:
            done.append(Verdict(verdict.user, verdict.invitation, error))
    if any(verdict.refusal is not None for verdict in done):
        raise NotAll(done)
    return done
