"""Whom a request to invite is about: each address by itself (invitations.md, section 6)."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Select,
    String,
    bindparam,
    case,
    literal_column,
    null,
    select,
    type_coerce,
    union_all,
)
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, Invalid
from b2b.models import (
    Domain,
    Invitation,
    MailRefusal,
    ProxyAddress,
    Tenant,
    TenantPolicy,
    User,
    fold,
)
from b2b.models.base import Id
from b2b.prepared import Prepared, arguments, parameters
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
    proxied: set[str]
    """Keys that are a further address of somebody else."""
    unsubscribed: set[str]
    """Keys of people who want no invitations from this tenant."""
    deleted: set[str]
    """Keys of people who were deleted softly, whenever that was."""


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
    known = _known(session, actor, [a for _, a in wanted.values()], upns)
    guests: dict[str, tuple[User, Invitation]] = {}
    for key, (text, address) in wanted.items():
        user, invitation = known.people.get(key, (None, None))
        if user is not None and invitation is None:
            problems.append((text, _already_inside(user)))
        elif address.domain == tenant.initial_domain != tenant.primary_domain:
            problems.append(
                (
                    text,
                    Invalid(
                        "addresses",
                        N_(
                            "The invited person belongs to this organisation: %(domain)s is its "
                            "initial domain."
                        ),
                        domain=address.domain,
                    ),
                )
            )
        elif address.domain in known.own_domains:
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
    return Invitees(
        [address for _, address in wanted.values()],
        guests,
        known.upns,
        known.proxied - guests.keys(),
        known.unsubscribed,
        known.deleted,
    )


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


_users, _domains = User.__table__, Domain.__table__
_proxies, _refusals = ProxyAddress.__table__, MailRefusal.__table__


@functools.lru_cache(maxsize=64)
def _finding(count: int) -> Prepared:
    """One query for *count* addresses: an arm for each index, built once for each number, since
    making a statement costs more than running it.
    """
    tenant_id = bindparam("tenant_id", type_=Id)

    keys = parameters("key", count, String)

    def people(column: ColumnElement[Any], wanted: list[BindParameter[str]]) -> Select[Any]:
        return select(
            literal_column("'person'").label("kind"), _users.c.id, _users.c.upn_key
        ).where(_users.c.tenant_id == tenant_id, _users.c.deleted_at.is_(None), column.in_(wanted))

    def others(kind: str, key: ColumnElement[Any]) -> Select[Any]:
        return select(literal_column(f"'{kind}'"), type_coerce(null(), Id), key)

    return Prepared(
        union_all(
            people(_users.c.invited_key, keys).where(_users.c.invited_key.is_not(None)),
            # Whoever is deleted is found here alone: the other indexes leave them out.
            select(
                case(
                    (_users.c.deleted_at.is_(None), literal_column("'person'")),
                    else_=literal_column("'deleted'"),
                ),
                _users.c.id,
                case((_users.c.deleted_at.is_(None), _users.c.upn_key), else_=_users.c.mail_key),
            ).where(_users.c.tenant_id == tenant_id, _users.c.mail_key.in_(keys)),
            people(_users.c.upn_key, [*keys, *parameters("upn", count, String)]),
            others("domain", _domains.c.name).where(
                _domains.c.tenant_id == tenant_id,
                _domains.c.name.in_(parameters("domain", count, String)),
                _domains.c.verified_at.is_not(None),
            ),
            others("proxy", _proxies.c.address_key).where(
                _proxies.c.tenant_id == tenant_id, _proxies.c.address_key.in_(keys)
            ),
            others("refusal", _refusals.c.address_key).where(
                _refusals.c.tenant_id == tenant_id, _refusals.c.address_key.in_(keys)
            ),
        )
    )


@dataclass(frozen=True)
class _Known:
    """What the directory knows about some addresses."""

    own_domains: set[str]
    people: dict[str, tuple[User, Invitation | None]]
    upns: set[str]
    proxied: set[str]
    unsubscribed: set[str]
    deleted: set[str]


def _known(session: Session, actor: Actor, asked: list[Address], upn_keys: list[str]) -> _Known:
    """Domains of *asked* that are the tenant's own, people who have one of these addresses, UPNs
    that are taken, further addresses of others, and who wants no invitations.
    """
    if not asked:
        return _Known(set(), {}, set(), set(), set(), set())
    values = {
        **arguments("key", [address.key for address in asked]),
        **arguments("upn", upn_keys),
        **arguments("domain", [address.domain for address in asked]),
    }
    by_kind: dict[str, set[str]] = {}
    ids: set[UUID] = set()
    for kind, found_id, key in _finding(len(asked)).all(
        session.connection(), tenant_id=actor.tenant_id, **values
    ):
        by_kind.setdefault(kind, set()).add(key)
        if kind == "person":
            ids.add(found_id)
    return _Known(
        by_kind.get("domain", set()),
        _people(session, actor, ids, {address.key for address in asked}),
        by_kind.get("person", set()),
        by_kind.get("proxy", set()),
        by_kind.get("refusal", set()),
        by_kind.get("deleted", set()),
    )


def _people(
    session: Session, actor: Actor, ids: set[UUID], wanted: set[str]
) -> dict[str, tuple[User, Invitation | None]]:
    if not ids:
        return {}
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
    return found
