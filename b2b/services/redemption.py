"""Redeeming an invitation: what the link opens, who may accept, and the one transaction that does
it.
"""

import enum
import hmac
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import LargeBinary, String, bindparam, delete, insert, null, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from b2b import keys, links
from b2b.actor import Actor, ExternalIdentity
from b2b.errors import N_, Conflict, Denied, Refused
from b2b.mail import outbox
from b2b.models import (
    AllowInvitesFrom,
    ExternalUserState,
    GuestAccess,
    Identity,
    Invitation,
    InvitationStanding,
    Password,
    Provider,
    SignIn,
    Source,
    Tenant,
    TenantPolicy,
    User,
)
from b2b.models.base import Id, UTCDateTime
from b2b.prepared import Prepared
from b2b.services import (
    access_panel,
    addresses,
    applications,
    audit,
    contacts,
    invitation_requests,
    invitation_states,
    policies,
    profiles,
    sessions,
    sign_in_log,
    users,
)
from b2b.services.access_panel import Shelf
from b2b.services.addresses import Address
from b2b.services.audit import Activity, Change, Entry
from b2b.services.contacts import Contact

_SOURCE = {
    Provider.DIRECTORY: Source.EXTERNAL_DIRECTORY,
    Provider.PERSONAL: Source.PERSONAL_ACCOUNT,
    Provider.PASSCODE: Source.PASSCODE,
}
SOURCES_OUTSIDE = frozenset(_SOURCE.values())


# Built once: making a statement costs more than running it.
_invitations, _identities = Invitation.__table__, Identity.__table__
_people, _passwords = User.__table__, Password.__table__
_TENANT = bindparam("in_tenant", type_=Id)
_OPENED = (
    select(Invitation, User, Tenant, TenantPolicy)
    .join(User, (User.tenant_id == Invitation.tenant_id) & (User.id == Invitation.user_id))
    .join(Tenant, Tenant.id == Invitation.tenant_id)
    .join(TenantPolicy, TenantPolicy.tenant_id == Invitation.tenant_id)
    .where(
        Invitation.tenant_id == _TENANT,
        Invitation.cancelled_at.is_(None),
        User.deleted_at.is_(None),
    )
    .execution_options(populate_existing=True)
)
_BY_ID = _OPENED.where(Invitation.id == bindparam("which", type_=Id))
_BY_ID_LOCKED = _BY_ID.with_for_update(of=[Invitation, User])
_BY_ADDRESS = _OPENED.where(User.invited_key == bindparam("which", type_=String))
_WIN = Prepared(
    update(Invitation)
    .where(
        _invitations.c.tenant_id == _TENANT,
        _invitations.c.id == bindparam("which", type_=Id),
        _invitations.c.ticket_hash == bindparam("hash", type_=LargeBinary),
        _invitations.c.accepted_at.is_(None),
        _invitations.c.cancelled_at.is_(None),
    )
    .values(
        accepted_at=bindparam("at", type_=UTCDateTime),
        declined_at=null(),
        standing=InvitationStanding.ACCEPTED,
    )
    .returning(_invitations.c.id)
)
_HOLDER = Prepared(
    select(_identities.c.user_id).where(
        _identities.c.tenant_id == _TENANT,
        _identities.c.issuer == bindparam("issuer", type_=String),
        _identities.c.subject == bindparam("subject", type_=String),
    )
)
_BIND = Prepared(insert(Identity))
_DROP_PASSWORD = Prepared(
    delete(Password).where(
        _passwords.c.tenant_id == _TENANT, _passwords.c.user_id == bindparam("which", type_=Id)
    )
)


class Standing(enum.StrEnum):
    """What a genuine link leads to now."""

    OPEN = "open"
    ACCEPTED = "accepted"
    EXPIRED = "expired"
    BLOCKED_DOMAIN = "blocked domain"
    DISABLED = "disabled"


@dataclass(frozen=True)
class Opened:
    """A link that was found good, with everything that its pages say."""

    invitation: Invitation
    user: User
    tenant: Tenant
    policy: TenantPolicy
    standing: Standing
    address: Address
    ends_at: datetime | None
    locked: bool = False
    """Read behind locks: it stays true until commit."""

    @property
    def still_invites(self) -> bool:
        """Whether the organisation invites anybody at all now: asking for a new one is idle else.

        What was sent before stays good (redemption.md, section 6 names the domain list alone).
        """
        return self.policy.allow_invites_from is not AllowInvitesFrom.NONE

    @property
    def purpose(self) -> str:
        """What a passcode for this redemption is bound to (threats.md, SIGN-3)."""
        return f"redeem:{self.invitation.id}"


WRONG_ACCOUNT = 50020


class WrongAccount(Denied):
    """The identity that is signed in is not the invited one."""

    code = "AADSTS50020"


def open_link(
    session: Session,
    tenant_id: UUID,
    invitation_id: UUID,
    secret_hash: bytes,
    *,
    now: datetime,
    lock: bool = False,
) -> Opened | None:
    """What an invitation link leads to; None for every link that cannot be used.

    With *lock*, in a transaction that writes, it stays true until commit (threats.md, RED-5).

    Unknown, altered, superseded, cancelled, another tenant's and a deleted person's link answer
    alike
    (threats.md, RED-1). Changes nothing (RED-2).
    """
    if lock:
        # Guests do not wait for each other, only for those who change the tenant.
        audit.lock(session, tenant_id, alone=False)
    query = _BY_ID_LOCKED if lock else _BY_ID
    opened = _opened(session, query, tenant_id, invitation_id, now)
    if opened is None:
        # The same comparison as for a known one.
        hmac.compare_digest(secret_hash, b"\0" * 32)
        return None
    if not hmac.compare_digest(secret_hash, opened.invitation.ticket_hash):
        return None
    return replace(opened, locked=lock)


def open_direct(
    session: Session, tenant_id: UUID, identity: ExternalIdentity, *, now: datetime
) -> Opened | None:
    """What a direct link to the tenant leads a pending guest to, without his mail; None for
    everybody else.

    The same rule as for the link in the mail: the sign-in must have proven the invited address,
    and the invitation must not be cancelled; expiry shows in the standing (decisions.md, who may
    redeem, expiry).
    """
    if identity.provider is None:
        return None
    for proven in sorted(identity.proven):
        opened = _opened(session, _BY_ADDRESS, tenant_id, proven, now)
        if opened is not None and opened.user.is_pending and matches(session, opened, identity):
            return opened
    return None


def awaits(session: Session, tenant_id: UUID, address: Address) -> bool:
    """Whether *address* is invited to the tenant and has not redeemed yet: then a mailed code for
    signing in there leads somewhere.
    """
    pending = session.execute(
        select(User.id).where(
            User.tenant_id == tenant_id,
            User.invited_key == address.key,
            User.deleted_at.is_(None),
            User.external_user_state == ExternalUserState.PENDING_ACCEPTANCE,
        )
    )
    return pending.first() is not None


def _opened(
    session: Session, query: Any, tenant_id: UUID, which: UUID | str, now: datetime
) -> Opened | None:
    """The invitation of the tenant that *query* finds by *which*, unless it was cancelled or its
    person deleted.
    """
    found = session.execute(query, {"in_tenant": tenant_id, "which": which})
    row = found.one_or_none()
    if row is None:
        return None
    invitation, user, tenant, policy = row
    address = addresses.parse(invitation.invited_address, rules="rfc")
    ends = invitation_states.ends_at(invitation.valid_from, policy.invitation_days)
    if not user.account_enabled:
        standing = Standing.DISABLED
    elif not user.is_pending:
        standing = Standing.ACCEPTED
    elif policies.blocks_domain(policy, address.domain):
        standing = Standing.BLOCKED_DOMAIN
    elif ends is not None and ends <= now:
        standing = Standing.EXPIRED
    else:
        standing = Standing.OPEN
    return Opened(invitation, user, tenant, policy, standing, address, ends)


def waiting(
    session: Session, opened: Opened, *, now: datetime
) -> tuple[Shelf[applications.Tile], Shelf[access_panel.Joined]]:
    """What is there for the guest: the first applications and groups, and how many there are."""
    guest = acting(opened, now=now)
    apps = access_panel.apps(session, guest)
    if opened.policy.guest_access is GuestAccess.RESTRICTED:
        return apps, Shelf([], 0)  # such guests see no groups (services.visibility)
    return apps, access_panel.groups(session, guest)


def acting(
    opened: Opened,
    *,
    now: datetime,
    correlation_id: UUID | None = None,
    ip_address: str | None = None,
    user_agent: str | None = None,
) -> Actor:
    """The guest himself, acting in the tenant that invites him."""
    return Actor(
        tenant_id=opened.tenant.id,
        tenant_name=opened.tenant.display_name,
        tenant_domain=opened.tenant.primary_domain,
        now=now,
        user_id=opened.user.id,
        display_name=opened.user.display_name,
        user_principal_name=opened.user.user_principal_name,
        mail=opened.user.mail,
        is_guest=opened.user.is_guest,
        correlation_id=correlation_id or uuid4(),
        ip_address=ip_address,
        user_agent=user_agent,
    )


def matches(session: Session, opened: Opened, identity: ExternalIdentity) -> bool:
    """Whether *identity* is the one that this invitation is for.

    Before acceptance: the sign-in has proven the invited address. Afterwards: it is the bound
    (issuer, subject), whatever its address is called by now (threats.md, RED-3, FED-3).
    """
    if opened.user.is_pending:
        return opened.address.key in identity.proven and identity.provider is not None
    return _holder(session, opened, identity) == opened.user.id


def _holder(session: Session, opened: Opened, identity: ExternalIdentity) -> UUID | None:
    """Whose *identity* is in the tenant."""
    found = _HOLDER.all(
        session.connection(),
        in_tenant=opened.tenant.id,
        issuer=identity.issuer,
        subject=identity.subject,
    )
    return found[0].user_id if found else None


def note_opened(session: Session, actor: Actor, opened: Opened) -> None:
    """The guest has pressed Get Started (a visit alone leaves no trace)."""
    _note(session, opened, Invitation.opened_at, opened_at=actor.now)


def note_signed_in(session: Session, actor: Actor, opened: Opened) -> None:
    """The invited person has proven who he is and looks at what is asked of him."""
    opened_at = opened.invitation.opened_at or actor.now
    _note(session, opened, Invitation.signed_in_at, signed_in_at=actor.now, opened_at=opened_at)


def _note(session: Session, opened: Opened, unless: Any, **moments: datetime) -> None:
    """Set *moments* of the invitation, the first time only: while *unless* is empty."""
    session.execute(
        update(Invitation)
        .where(
            Invitation.tenant_id == opened.tenant.id,
            Invitation.id == opened.invitation.id,
            unless.is_(None),
        )
        .values(moments)
        .execution_options(synchronize_session=False)
    )


def _locked(
    session: Session, actor: Actor, opened: Opened, identity: ExternalIdentity | None
) -> Opened:
    """*opened* read anew behind locks, unless it was, and stays true until commit (RED-5).

    With an *identity*, the invitation must be open and be for it.
    """
    if opened.locked:
        now_opened: Opened | None = opened
    else:
        now_opened = open_link(
            session,
            opened.tenant.id,
            opened.invitation.id,
            opened.invitation.ticket_hash,
            now=actor.now,
            lock=True,
        )
    if now_opened is None:
        raise Conflict(N_("This invitation was replaced or taken back meanwhile."))
    if identity is not None:
        _require_open(session, now_opened, identity)
    return now_opened


def _require_open(session: Session, opened: Opened, identity: ExternalIdentity) -> None:
    match opened.standing:
        case Standing.ACCEPTED:
            raise Conflict(N_("This invitation was accepted already. Sign in to continue."))
        case Standing.EXPIRED:
            raise Conflict(N_("This invitation has expired meanwhile."))
        case Standing.BLOCKED_DOMAIN:
            raise Denied(
                N_("%(organisation)s does not take guests from your domain any more."),
                organisation=opened.tenant.display_name,
            )
        case Standing.DISABLED:
            raise Denied(
                N_("%(organisation)s has blocked this account."),
                organisation=opened.tenant.display_name,
            )
    if not matches(session, opened, identity):
        raise WrongAccount(N_("This invitation is for another account."))


def accept(session: Session, actor: Actor, opened: Opened, identity: ExternalIdentity) -> User:
    """Bind the identity, fill in the profile, set Accepted and Source: once, whatever races.

    Old factors and sessions of the object go (threats.md, RED-7). Raises Conflict, Denied,
    WrongAccount; then nothing was changed.
    """
    opened = _locked(session, actor, opened, identity)
    connection = session.connection()
    won = _WIN.all(
        connection,
        in_tenant=actor.tenant_id,
        which=opened.invitation.id,
        hash=opened.invitation.ticket_hash,
        at=actor.now,
    )
    if not won:
        raise Conflict(N_("This invitation was accepted already. Sign in to continue."))
    _let_go(session, opened, identity)
    _bind(session, actor, opened, identity)
    before = opened.user.display_name
    changes = _take_over(opened, identity, actor.now)
    user = opened.user
    _DROP_PASSWORD.write(connection, [{"in_tenant": user.tenant_id, "which": user.id}])
    sessions.end_all(session, actor, user)
    user.last_sign_in_at = actor.now
    users.refacet(session, user)
    users.rename(session, user, before)
    actor = replace(actor, display_name=user.display_name)
    log_sign_in(session, actor, identity)
    _tell(session, actor, opened, "accepted")
    session.flush()
    # Last, for from here to the commit all who write for the tenant wait.
    audit.record(
        session,
        actor,
        Entry(Activity.UPDATE_USER, "User", user.id, user.user_principal_name, changes),
        Entry(
            Activity.REDEEM,
            "User",
            user.id,
            user.user_principal_name,
            detail={
                "invitationId": str(opened.invitation.id),
                "identityProvider": str(identity.provider),
                "signInName": identity.label,
            },
        ),
    )
    return user


def _bind(session: Session, actor: Actor, opened: Opened, identity: ExternalIdentity) -> None:
    """*identity* is the guest's. Raises Conflict when it became another's this very moment."""
    assert identity.provider is not None  # `matches` has seen to it
    row = {
        "tenant_id": actor.tenant_id,
        "issuer": identity.issuer,
        "subject": identity.subject,
        "user_id": opened.user.id,
        "provider": identity.provider,
        "label": identity.label,
        "bound_at": actor.now,
    }
    try:
        _BIND.write(session.connection(), [row])
    except IntegrityError as error:
        raise _elsewhere(opened) from error


def _let_go(session: Session, opened: Opened, identity: ExternalIdentity) -> None:
    """Free *identity* from a deleted object: who left or was deleted comes back as a new one.

    Raises Conflict when it is somebody else's who is there.
    """
    holder_id = _holder(session, opened, identity)
    if holder_id is None or holder_id == opened.user.id:
        return
    if session.get_one(User, (opened.tenant.id, holder_id)).deleted_at is None:
        raise _elsewhere(opened)
    session.execute(
        delete(Identity)
        .where(
            Identity.tenant_id == opened.tenant.id,
            Identity.issuer == identity.issuer,
            Identity.subject == identity.subject,
        )
        .execution_options(synchronize_session=False)
    )


def _elsewhere(opened: Opened) -> Conflict:
    return Conflict(
        N_("Your account has access to %(organisation)s already, under another address."),
        organisation=opened.tenant.display_name,
    )


def _take_over(opened: Opened, identity: ExternalIdentity, now: datetime) -> list[Change]:
    """Non-empty values of the sign-in overwrite (decisions.md, profile at redemption)."""
    user = opened.user
    provider = identity.provider
    assert provider is not None
    values: dict[str, Any] = {}
    if not (opened.policy.keep_typed_names and opened.invitation.invited_display_name):
        values["display_name"] = identity.display_name
    values["given_name"] = identity.given_name
    values["surname"] = identity.surname
    values["preferred_language"] = identity.preferred_language
    changes = []
    for name, value in values.items():
        title, _ = profiles.PROFILE[name]
        taken = profiles.stated(name, value)
        if taken and taken != getattr(user, name):
            changes.append(Change(title, getattr(user, name), taken))
            setattr(user, name, taken)
    changes += [
        Change("UserState", "PendingAcceptance", "Accepted"),
        Change("AcceptedOn", None, now.isoformat()),
        Change("Source", str(user.source), str(_SOURCE[provider])),
        Change("Identity", opened.tenant.primary_domain, str(provider)),
    ]
    user.external_user_state = ExternalUserState.ACCEPTED
    user.external_user_state_changed_at = now
    user.source = _SOURCE[provider]
    return changes


def log_sign_in(
    session: Session,
    actor: Actor,
    identity: ExternalIdentity,
    *,
    application: str = "My Apps",
    app_id: UUID | None = None,
) -> None:
    """A sign-in of this identity into the actor's tenant, or there to an application."""
    _log(session, actor, identity, application, app_id=app_id)


_SAME_TRY = timedelta(minutes=10)


def note_wrong_account(session: Session, actor: Actor, identity: ExternalIdentity) -> None:
    """Somebody came with the actor's link and with an account that it is not for: the tenant's log
    says so, once for each account and ten minutes.
    """
    newest = session.scalars(
        select(SignIn)
        .where(SignIn.tenant_id == actor.tenant_id, SignIn.user_id == actor.user_id)
        .order_by(SignIn.id.desc())
        .limit(1)
    ).one_or_none()
    if (
        newest is None
        or newest.error_code != WRONG_ACCOUNT
        or newest.identity != identity.label
        or newest.at <= actor.now - _SAME_TRY
    ):
        reason = "This invitation is for another account."
        _log(session, actor, identity, "Redemption", code=WRONG_ACCOUNT, reason=reason)


def _log(
    session: Session,
    actor: Actor,
    identity: ExternalIdentity,
    application: str,
    *,
    app_id: UUID | None = None,
    code: int = 0,
    reason: str | None = None,
) -> None:
    sign_in_log.record(
        session,
        actor.tenant_id,
        actor.user_id,
        identity=identity.label,
        method=str(identity.provider or "password"),
        application=application,
        app_id=app_id,
        at=actor.now,
        correlation_id=actor.correlation_id,
        ip_address=actor.ip_address,
        user_agent=actor.user_agent,
        code=code,
        reason=reason,
    )


def decline(session: Session, actor: Actor, opened: Opened, identity: ExternalIdentity) -> None:
    """The guest says no: he stays pending, is shown as declined, the inviter is told.

    The same link works again (decisions.md, decline). Raises as `accept`.
    """
    opened = _locked(session, actor, opened, identity)
    opened.invitation.declined_at = actor.now
    opened.invitation.standing = InvitationStanding.DECLINED
    audit.record(
        session,
        actor,
        Entry(Activity.DECLINE, "User", opened.user.id, opened.user.user_principal_name),
    )
    _tell(session, actor, opened, "declined")


def ask_again(
    session: Session, actor: Actor, opened: Opened, note: str, *, now: datetime
) -> Contact:
    """Somebody with an expired link asks the inviter for a new one; once for each link.

    Returns whom it reaches. Raises Conflict when there is nobody to ask or it was asked already.
    """
    opened = _locked(session, actor, opened, None)
    if opened.standing is not Standing.EXPIRED:
        raise Conflict(N_("This invitation still works."))
    if not opened.still_invites:
        raise Conflict(
            N_("%(organisation)s invites nobody at present."),
            organisation=opened.tenant.display_name,
        )
    asked = contacts.of(session, opened.tenant, opened.invitation)
    if not asked.mail:
        raise Conflict(N_("%(name)s cannot be reached from here."), name=asked.name)
    already = any(
        mail.template == "asked_again" and mail.context.get("version") == opened.invitation.version
        for mail in outbox.of(session, actor.tenant_id, opened.invitation.id)
    )
    if already:
        raise Conflict(N_("%(name)s was asked already."), name=asked.name)
    text = (invitation_requests.clean_message(note) or "")[:500]
    audit.record(
        session,
        actor,
        Entry(Activity.ASK_AGAIN, "User", opened.user.id, opened.user.user_principal_name),
    )
    _tell(session, actor, opened, "asked_again", note=text)
    return asked


def _tell(session: Session, actor: Actor, opened: Opened, template: str, **said: str) -> None:
    contacts.tell(
        session,
        opened.tenant,
        opened.invitation,
        template,
        {"guest_name": opened.user.display_name, "address": opened.address.text, **said},
        now=actor.now,
    )


def hash_of(secret: str) -> bytes:
    """What the browser's session remembers of a link instead of the secret."""
    return keys.digest(secret)


def way_on(opened: Opened) -> str:
    """Where the guest goes after acceptance: the checked landing page, checked again.

    Falls back to My Apps when the tenant's rule no longer allows it (threats.md, INV-2).
    """
    try:
        checked = policies.landing_page(opened.policy, opened.invitation.redirect_url)
    except Refused:
        return links.absolute(f"/myapps?tenantid={opened.tenant.id}")
    return links.destination(checked, opened.tenant.id)
