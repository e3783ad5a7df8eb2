"""Whom a request to invite is about: each address by itself (invitations.md, section 6)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, null, select, type_coerce, union_all
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, Invalid
from b2b.models import Domain, Invitation, Tenant, TenantPolicy, User, fold
from b2b.models.base import Id
from b2b.services import addresses, policies
from b2b.services.addresses import Address

MOST_AT_ONCE = 50
"""Addresses in one form (decisions.md); more is a bulk job."""


class InvalidAddresses(Invalid):
    """Some addresses of one request cannot be invited; nothing was done for any."""

    def __init__(self, problems: list[tuple[str, Invalid]]) -> None:
        super().__init__(
            "addresses",
            N_("Nothing was sent. Addresses that cannot be invited: %(count)s"),
            count=len(problems),
        )
        self.problems = problems


@dataclass(frozen=True)
class Invitees:
    """Addresses to invite, which of them are guests already, and the folded UPNs that are taken."""

    wanted: list[Address]
    guests: dict[str, tuple[User, Invitation]]
    taken_upns: set[str]


def sort_out(
    session: Session,
    actor: Actor,
    policy: TenantPolicy,
    tenant: Tenant,
    texts: Sequence[str],
    rules: str,
) -> Invitees:
    """Read and judge every address by itself. Raises Invalid, InvalidAddresses."""
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
    upns = [
        fold(addresses.user_principal_name(address, tenant.initial_domain))
        for _, address in wanted.values()
    ]
    own, found, taken = _known(session, actor, [a for _, a in wanted.values()], upns)
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
    return Invitees([address for _, address in wanted.values()], guests, taken)


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


_users = User.__table__


def _one_way(column: ColumnElement[Any], keys: str) -> Select[Any]:
    return select(_users.c.id, _users.c.upn_key).where(
        _users.c.tenant_id == bindparam("tenant_id"),
        _users.c.deleted_at.is_(None),
        column.in_(bindparam(keys, expanding=True)),
    )


_domains = Domain.__table__
# One arm for each index, and the tenant's own domains in the same breath; built once, since making
# a statement costs more than running it.
_FIND = union_all(
    select(type_coerce(null(), Id).label("id"), _domains.c.name.label("upn_key")).where(
        _domains.c.tenant_id == bindparam("tenant_id"),
        _domains.c.name.in_(bindparam("domains", expanding=True)),
        _domains.c.verified_at.is_not(None),
    ),
    _one_way(_users.c.invited_key, "keys").where(_users.c.invited_key.is_not(None)),
    _one_way(_users.c.mail_key, "keys"),
    _one_way(_users.c.upn_key, "upn_keys"),
)


def _known(
    session: Session, actor: Actor, asked: list[Address], upn_keys: list[str]
) -> tuple[set[str], dict[str, tuple[User, Invitation | None]], set[str]]:
    """Domains of *asked* that are the tenant's own, people who have one of these addresses, and the
    UPNs that are taken.
    """
    if not asked:
        return set(), {}, set()
    wanted = {address.key for address in asked}
    hits = (
        session.connection()
        .execute(
            _FIND,
            {
                "tenant_id": actor.tenant_id,
                "domains": list({address.domain for address in asked}),
                "keys": list(wanted),
                "upn_keys": [*wanted, *upn_keys],
            },
        )
        .all()
    )
    own = {hit.upn_key for hit in hits if hit.id is None}
    ids = {hit.id for hit in hits if hit.id is not None}
    if not ids:
        return own, {}, set()
    rows = session.execute(
        select(User, Invitation)
        .outerjoin(
            Invitation,
            (Invitation.tenant_id == User.tenant_id) & (Invitation.user_id == User.id),
        )
        .where(User.tenant_id == actor.tenant_id, User.id.in_(ids))
    )
    found: dict[str, tuple[User, Invitation | None]] = {}
    for user, invitation in rows:
        for key in {user.invited_key, user.mail_key, user.upn_key} & wanted:
            if key is not None:
                found[key] = (user, invitation)
    return own, found, {hit.upn_key for hit in hits if hit.id is not None}
