"""Whom a request to invite is about: each address by itself (invitations.md, section 6)."""

from collections.abc import Sequence

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, Invalid
from b2b.models import Invitation, TenantPolicy, User
from b2b.services import addresses, policies
from b2b.services.addresses import Address

MOST_AT_ONCE = 50
"""Addresses in one form (decisions.md); more is a bulk job."""


class InvalidAddresses(Invalid):
    """Some addresses of one request cannot be invited; nothing was done for any."""

    def __init__(self, problems: list[tuple[str, Invalid]]) -> None:
        super().__init__(
            "addresses",
            N_("%(count)s of these addresses cannot be invited. Nothing was sent."),
            count=len(problems),
        )
        self.problems = problems


def sort_out(
    session: Session,
    actor: Actor,
    policy: TenantPolicy,
    texts: Sequence[str],
    rules: str,
) -> tuple[list[Address], dict[str, tuple[User, Invitation]]]:
    """Addresses to invite, and which of them are guests already. Raises InvalidAddresses."""
    if not texts:
        raise Invalid("addresses", N_("Enter an e-mail address."))
    if len(texts) > MOST_AT_ONCE:
        raise Invalid(
            "addresses",
            N_("At most %(most)s addresses at once; use a file for more."),
            most=MOST_AT_ONCE,
        )
    problems: list[tuple[str, Invalid]] = []
    wanted: dict[str, tuple[str, Address]] = {}
    for text in texts:
        try:
            address = addresses.parse(text, field="addresses", rules=rules)
        except Invalid as error:
            problems.append((text, error))
        else:
            wanted.setdefault(address.key, (text, address))
    own = policies.own_domains(session, actor, {a.domain for _, a in wanted.values()})
    found = _known(session, actor, list(wanted))
    guests: dict[str, tuple[User, Invitation]] = {}
    for key, (text, address) in wanted.items():
        user, invitation = found.get(key, (None, None))
        if user is not None and invitation is None:
            problems.append((text, _already_inside(user)))
        elif address.domain in own:
            problems.append(
                (
                    text,
                    Invalid(
                        "addresses",
                        N_("%(domain)s is a verified domain of this directory."),
                        domain=address.domain,
                    ),
                )
            )
        elif (refusal := policies.domain_refusal(policy, address)) is not None:
            problems.append((text, refusal))
        elif user is not None and invitation is not None:
            guests[key] = (user, invitation)
    if problems:
        order = {text: number for number, text in enumerate(texts)}
        raise InvalidAddresses(sorted(problems, key=lambda pair: order[pair[0]]))
    return [address for _, address in wanted.values()], guests


def _already_inside(user: User) -> Invalid:
    # Clients read the object id out of this sentence (invitations.md, section 6).
    if user.account_enabled:
        return Invalid(
            "addresses",
            N_("The invited user already exists in the directory as object ID: %(id)s."),
            id=user.id,
        )
    return Invalid(
        "addresses",
        N_(
            "The invited user already exists in the directory as object ID: %(id)s. "
            "That account is blocked from sign-in."
        ),
        id=user.id,
    )


def _known(
    session: Session, actor: Actor, address_keys: list[str]
) -> dict[str, tuple[User, Invitation | None]]:
    """People of the tenant who have one of these addresses, with their invitation if they have
    one.
    """
    if not address_keys:
        return {}
    rows = session.execute(
        select(User, Invitation)
        .outerjoin(
            Invitation,
            (Invitation.tenant_id == User.tenant_id) & (Invitation.user_id == User.id),
        )
        .where(
            User.tenant_id == actor.tenant_id,
            User.deleted_at.is_(None),
            or_(
                User.invited_key.in_(address_keys),
                User.mail_key.in_(address_keys),
                User.upn_key.in_(address_keys),
            ),
        )
    )
    wanted = set(address_keys)
    found: dict[str, tuple[User, Invitation | None]] = {}
    for user, invitation in rows:
        for key in {user.invited_key, user.mail_key, user.upn_key} & wanted:
            if key is not None:
                found[key] = (user, invitation)
    return found
