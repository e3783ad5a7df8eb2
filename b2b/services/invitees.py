"""Whom a request to invite is about: each address by itself (invitations.md, section 6)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, select, union_all
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, Invalid
from b2b.models import Invitation, Tenant, TenantPolicy, User, fold
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
    own = policies.own_domains(session, actor, {a.domain for _, a in wanted.values()})
    upns = [
        fold(addresses.user_principal_name(address, tenant.initial_domain))
        for _, address in wanted.values()
    ]
    found, taken = _known(session, actor, list(wanted), upns)
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


# One arm for each index; built once, since making a statement costs more than running it.
_FIND = union_all(
    _one_way(_users.c.invited_key, "keys").where(_users.c.invited_key.is_not(None)),
    _one_way(_users.c.mail_key, "keys"),
    _one_way(_users.c.upn_key, "upn_keys"),
)


def _known(
    session: Session, actor: Actor, address_keys: list[str], upn_keys: list[str]
) -> tuple[dict[str, tuple[User, Invitation | None]], set[str]]:
    """People of the tenant who have one of these addresses, and the UPNs that are taken."""
    if not address_keys:
        return {}, set()
    hits = (
        session.connection()
        .execute(
            _FIND,
            {
                "tenant_id": actor.tenant_id,
                "keys": address_keys,
                "upn_keys": address_keys + upn_keys,
            },
        )
        .all()
    )
    if not hits:
        return {}, set()
    rows = session.execute(
        select(User, Invitation)
        .outerjoin(
            Invitation,
            (Invitation.tenant_id == User.tenant_id) & (Invitation.user_id == User.id),
        )
        .where(User.tenant_id == actor.tenant_id, User.id.in_({hit.id for hit in hits}))
    )
    wanted = set(address_keys)
    found: dict[str, tuple[User, Invitation | None]] = {}
    for user, invitation in rows:
        for key in {user.invited_key, user.mail_key, user.upn_key} & wanted:
            if key is not None:
                found[key] = (user, invitation)
    return found, {hit.upn_key for hit in hits}
