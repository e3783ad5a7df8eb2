"""Why somebody is where he is: what stops this person now, and what would mend it.

`explain` is a pure function of `Facts`; `facts_about` gathers them with a handful of queries.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_
from b2b.mail import outbox
from b2b.mail.outbox import DeliveryState, Step
from b2b.models import (
    Attempts,
    ExternalUserState,
    Identity,
    Invitation,
    MailPause,
    MailRefusal,
    OutboxMessage,
    SignIn,
    TenantPolicy,
    User,
)
from b2b.models.mail import EVERYWHERE
from b2b.services import (
    addresses,
    applications,
    deleted_users,
    invitation_states,
    policies,
    recovery,
    sign_in,
)

RECENT = timedelta(days=7)
"""How far back refused sign-ins are looked at."""


class Cure(enum.StrEnum):
    """What a button beside a finding does."""

    INVITE = "invite"
    SEND_AGAIN = "send again"
    COPY_LINK = "copy link"
    EXTEND = "extend"
    UNBLOCK = "unblock"
    RESTORE = "restore"
    SETTINGS = "settings"
    ASSIGN = "assign"
    RESET = "reset"
    MAIL = "mail"
    WAIT = "wait"
    """Nothing to press here: it passes by itself, or somebody else must act."""


class Weight(enum.StrEnum):
    """How much a finding matters."""

    STOPS = "stops"
    """Keeps the person out."""
    HINDERS = "hinders"
    """May be why it has not happened yet."""
    FINE = "fine"


@dataclass(frozen=True)
class Finding:
    """One sentence about a person: `template % values` in English, with its cure."""

    code: str
    weight: Weight
    template: str
    values: Mapping[str, object]
    cures: tuple[Cure, ...] = ()
    at: datetime | None = None


@dataclass(frozen=True)
class Facts:
    """Everything that `explain` looks at."""

    now: datetime
    name: str
    state: ExternalUserState | None = None
    is_guest: bool = True
    enabled: bool = True
    deleted_at: datetime | None = None
    restorable: bool = False
    invited_address: str | None = None
    inviter_name: str = ""
    ends_at: datetime | None = None
    opened_at: datetime | None = None
    signed_in_at: datetime | None = None
    declined_at: datetime | None = None
    cancelled_at: datetime | None = None
    mailed: bool = True
    mail: DeliveryState | None = None
    mail_paused: bool = False
    domain_blocked: bool = False
    blocked_domain: str = ""
    unsubscribed_at: datetime | None = None
    signs_in_with: str | None = None
    home_blocked: bool = False
    home_deleted: bool = False
    home_name: str = ""
    applications: int = 0
    codes_wait_until: datetime | None = None
    last_sign_in_at: datetime | None = None
    refused_code: int = 0
    """The newest refused sign-in after the last good one; 0 for none."""
    refused_as: str = ""
    refused_at: datetime | None = None


_REFUSALS = {
    50020: N_("Tried with %(account)s, which is not the account of this invitation."),
    50034: N_("Tried with %(account)s, which nobody here has."),
    50057: N_("Tried with %(account)s, which is blocked."),
    50105: N_("Tried to open an application that is not assigned."),
    50126: N_("Tried with %(account)s and a wrong password."),
    65004: N_("Declined when asked for permission."),
}


def explain(facts: Facts) -> list[Finding]:
    """What stops or hinders this person now, the weightiest first; at least one finding."""
    found = _standing(facts)
    if facts.deleted_at is None:
        if facts.state is ExternalUserState.PENDING_ACCEPTANCE:
            found += _pending(facts)
        elif facts.state is ExternalUserState.ACCEPTED:
            found += _accepted(facts)
        found += _attempts(facts)
    if not any(finding.weight is Weight.STOPS for finding in found):
        found.append(_fine(facts))
    order = list(Weight)
    return sorted(found, key=lambda finding: order.index(finding.weight))


def _standing(facts: Facts) -> list[Finding]:
    """What holds whatever the invitation says."""
    name = {"name": facts.name}
    if facts.deleted_at is not None:
        if facts.restorable:
            words = N_("%(name)s is deleted. Restoring is possible for 30 days.")
            return [_stops("deleted", words, name, Cure.RESTORE, at=facts.deleted_at)]
        words = N_("%(name)s is deleted, and the 30 days for restoring are over.")
        return [_stops("gone", words, name, Cure.INVITE, at=facts.deleted_at)]
    found = []
    if not facts.enabled:
        words = N_("Sign-in of %(name)s is blocked in this organisation.")
        found.append(_stops("blocked", words, name, Cure.UNBLOCK))
    if facts.state is None and facts.is_guest and facts.invited_address is None:
        words = N_("%(name)s was never invited. This account signs in here, with its own password.")
        found.append(Finding("not invited", Weight.HINDERS, words, name))
    return found


def _pending(facts: Facts) -> list[Finding]:
    found = []
    if facts.domain_blocked:
        words = N_(
            "%(domain)s is on the blocked side of the domain list by now, so the invitation "
            "cannot be accepted."
        )
        found.append(_stops("domain", words, {"domain": facts.blocked_domain}, Cure.SETTINGS))
    if facts.cancelled_at is not None:
        words = N_("The invitation was cancelled. Its link is dead.")
        found.append(_stops("cancelled", words, {}, Cure.SEND_AGAIN, at=facts.cancelled_at))
        return found
    if facts.ends_at is not None and facts.ends_at <= facts.now:
        words = N_("The link has expired.")
        found.append(_stops("expired", words, {}, Cure.EXTEND, Cure.SEND_AGAIN, at=facts.ends_at))
    if facts.declined_at is not None:
        words = N_("%(name)s has declined. The same link still works.")
        finding = Finding("declined", Weight.HINDERS, words, {"name": facts.name},
                          (Cure.SEND_AGAIN,), facts.declined_at)  # fmt: skip
        found.append(finding)
    if facts.opened_at is None:
        found += _mail(facts)
    elif facts.declined_at is None:
        words = N_("The link was opened, and nobody has accepted yet.")
        if facts.signed_in_at is not None:
            words = N_("Signed in, and has not accepted the permissions yet.")
        at = facts.signed_in_at or facts.opened_at
        found.append(Finding("under way", Weight.HINDERS, words, {}, (), at))
    return found


def _mail(facts: Facts) -> list[Finding]:
    """Whether the letter can have arrived."""
    address = {"address": facts.invited_address or ""}
    if facts.unsubscribed_at is not None:
        words = N_(
            "%(address)s has blocked invitations from this organisation, so no mail is sent. Pass "
            "the link on another way."
        )
        return [
            Finding("unsubscribed", Weight.HINDERS, words, address, (Cure.COPY_LINK,),
                    facts.unsubscribed_at)
        ]  # fmt: skip
    if facts.mail is None:
        words = N_("No mail was sent, only a link was made. It must be passed on by hand.")
        return [Finding("link only", Weight.HINDERS, words, {}, (Cure.COPY_LINK, Cure.SEND_AGAIN))]
    said = {"reason": facts.mail.reason or ""}
    match facts.mail.step:
        case Step.FAILED:
            words = N_("The mail to %(address)s failed. The mail server said: %(reason)s")
            if not facts.mail.reason or facts.mail.reason in recovery.OWN_REASONS:
                words = N_("The mail to %(address)s failed.")
            return [
                _stops("mail failed", words, address | said, Cure.SEND_AGAIN, Cure.COPY_LINK,
                       Cure.RESET)
            ]  # fmt: skip
        case Step.RETRYING:
            words = N_("The mail server put the mail off and said: %(reason)s It is tried again.")
            cures = (Cure.COPY_LINK,)
            return [Finding("mail waits", Weight.HINDERS, words, said, cures, facts.mail.again_at)]
        case Step.QUEUED | Step.SENDING:
            if facts.mail_paused:
                words = N_("Mail of this organisation is paused, so the invitation waits.")
                return [_stops("mail paused", words, {}, Cure.MAIL, Cure.COPY_LINK)]
            words = N_("The mail is on its way.")
            return [Finding("mail queued", Weight.HINDERS, words, {}, (Cure.WAIT,))]
        case Step.CANCELLED:
            words = N_("The mail was cancelled before it was sent.")
            return [_stops("mail cancelled", words, {}, Cure.SEND_AGAIN)]
    words = N_(
        "The mail server has taken the mail to %(address)s, and nobody has opened the link. It "
        "may lie among unwanted mail."
    )
    return [Finding("unread", Weight.HINDERS, words, address, (Cure.SEND_AGAIN, Cure.COPY_LINK))]


def _accepted(facts: Facts) -> list[Finding]:
    found = _home(facts)
    if facts.applications == 0:
        words = N_("Nothing is assigned to %(name)s: My Apps is empty.")
        found.append(
            Finding("not assigned", Weight.HINDERS, words, {"name": facts.name}, (Cure.ASSIGN,))
        )
    return found


def _home(facts: Facts) -> list[Finding]:
    """The account elsewhere that this person signs in with."""
    account = {"account": facts.signs_in_with or facts.invited_address or "",
               "organisation": facts.home_name}  # fmt: skip
    if facts.home_deleted:
        words = N_("The account %(account)s was deleted in %(organisation)s.")
        return [Finding("home deleted", Weight.STOPS, words, account, (Cure.RESET,))]
    if facts.home_blocked:
        words = N_(
            "The account %(account)s is blocked in %(organisation)s; an administrator there must "
            "allow it."
        )
        return [Finding("home blocked", Weight.STOPS, words, account, (Cure.RESET,))]
    return []


def _attempts(facts: Facts) -> list[Finding]:
    """What went wrong at the sign-in page."""
    found = []
    if facts.codes_wait_until is not None and facts.codes_wait_until > facts.now:
        words = N_("Too many codes were asked for. The next one is mailed after a while.")
        found.append(
            Finding("codes", Weight.STOPS, words, {}, (Cure.WAIT,), facts.codes_wait_until)
        )
    if facts.refused_code:
        template = _REFUSALS.get(
            facts.refused_code, N_("A sign-in as %(account)s was refused (AADSTS%(code)s).")
        )
        values: dict[str, object] = {"account": facts.refused_as, "code": facts.refused_code}
        cures = (Cure.COPY_LINK,) if facts.refused_code == 50020 and facts.state else ()
        found.append(Finding("refused", Weight.HINDERS, template, values, cures, facts.refused_at))
    return found


def _fine(facts: Facts) -> Finding:
    if facts.state is ExternalUserState.PENDING_ACCEPTANCE:
        words = N_("The invitation is open. %(name)s can accept it now.")
    elif facts.last_sign_in_at is None:
        words = N_("Nothing stops %(name)s, who has not signed in yet.")
    else:
        words = N_("Nothing stops %(name)s from signing in.")
    return Finding("fine", Weight.FINE, words, {"name": facts.name}, (), facts.last_sign_in_at)


def _stops(
    code: str, template: str, values: Mapping[str, object], *cures: Cure, at: datetime | None = None
) -> Finding:
    return Finding(code, Weight.STOPS, template, dict(values), cures, at)


# Gathering ---------------------------------------------------------------------------------------


def facts_about(
    session: Session,
    actor: Actor,
    user: User,
    invitation: Invitation | None,
    letter: OutboxMessage | None,
    identity: Identity | None,
) -> Facts:
    """What is known about *user*; *letter* is the newest invitation mail to him.

    Some eight queries, whatever the size of the directory.
    """
    policy = policies.of(session, actor)
    facts = Facts(
        now=actor.now,
        name=user.display_name,
        state=user.external_user_state,
        is_guest=user.is_guest,
        enabled=user.account_enabled,
        deleted_at=user.deleted_at,
        restorable=user.deleted_at is not None
        and actor.now - user.deleted_at <= deleted_users.RESTORABLE,
        signs_in_with=identity.label if identity else None,
        last_sign_in_at=user.last_sign_in_at,
        applications=len(applications.tiles(session, actor.tenant_id, user.id)),
    )
    facts = _with_home(session, facts, identity)
    if invitation is not None:
        facts = _with_invitation(session, actor, facts, policy, invitation, letter)
    return _with_attempts(session, actor, facts, user)


def _with_invitation(
    session: Session,
    actor: Actor,
    facts: Facts,
    policy: TenantPolicy,
    invitation: Invitation,
    letter: OutboxMessage | None,
) -> Facts:
    address = addresses.parse(invitation.invited_address, rules="rfc")
    refusal = session.get(MailRefusal, (actor.tenant_id, address.key))
    shown = address.text.rpartition("@")[2]
    paused = False
    mail = None
    if letter is not None:
        mail = outbox.shown(
            letter.state, letter.lease_owner, letter.attempts, letter.due_at, letter.last_error,
            actor.now,
        )  # fmt: skip
        paused = any(
            session.get(MailPause, tenant_id) is not None
            for tenant_id in (actor.tenant_id, EVERYWHERE)
        )
    return replace(
        facts,
        invited_address=address.text,
        inviter_name=invitation.inviter_name,
        ends_at=invitation_states.ends_at(invitation.valid_from, policy.invitation_days),
        opened_at=invitation.opened_at,
        signed_in_at=invitation.signed_in_at,
        declined_at=invitation.declined_at,
        cancelled_at=invitation.cancelled_at,
        mailed=invitation.send_message,
        mail=mail,
        mail_paused=paused,
        domain_blocked=policies.blocks_domain(policy, address.domain),
        blocked_domain=shown if shown == address.domain else f"{shown} ({address.domain})",
        unsubscribed_at=refusal.refused_at if refusal else None,
        codes_wait_until=_codes_wait(session, address.key),
    )


def _codes_wait(session: Session, address_key: str) -> datetime | None:
    row = session.get(Attempts, f"passcode-send:{address_key}")
    return None if row is None else row.blocked_until


def _with_home(session: Session, facts: Facts, identity: Identity | None) -> Facts:
    """The account hosted here that a guest redeemed with.

    Nothing is looked up elsewhere for an invited address alone: that would tell one organisation
    about another's people (threats.md, INV-7).
    """
    account = None if identity is None else sign_in.bound_account(session, identity)
    if account is None:
        return facts
    home = session.get_one(User, (account.tenant_id, account.user_id))
    return replace(
        facts,
        home_name=account.tenant_name,
        home_deleted=home.deleted_at is not None,
        home_blocked=home.deleted_at is None and not home.account_enabled,
    )


def _with_attempts(session: Session, actor: Actor, facts: Facts, user: User) -> Facts:
    newest: Sequence[SignIn] = session.scalars(
        select(SignIn)
        .where(SignIn.tenant_id == actor.tenant_id, SignIn.user_id == user.id)
        .order_by(SignIn.id.desc())
        .limit(1)
    ).all()
    for row in newest:
        if row.error_code and row.at > actor.now - RECENT:
            return replace(
                facts,
                refused_code=row.error_code,
                refused_as=row.identity,
                refused_at=row.at,
            )
    return facts
