"""A directory of any size, made of plain rows: people in every state, with what finds them."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import insert
from sqlalchemy.orm import Session

from b2b.models import ExternalUserState, Source, User, UserToken, UserType, fold, new_id
from b2b.services import user_listing

A_COMMIT = 5_000

GIVEN = [
    "Ada",
    "Ben",
    "Carla",
    "Dmitri",
    "Elif",
    "Farid",
    "Greta",
    "Hiro",
    "Ines",
    "Jonas",
    "Kofi",
    "Lena",
    "Mateo",
    "Nadia",
    "Omar",
    "Petra",
    "Quinn",
    "Rosa",
    "Sofia",
    "Tomas",
    "Uma",
    "Viktor",
    "Wanda",
    "Xenia",
    "Yusuf",
    "Zoe",
]
FAMILY = [
    "Abel",
    "Brandt",
    "Castro",
    "Duarte",
    "Eriksen",
    "Fischer",
    "Garcia",
    "Haddad",
    "Ibrahim",
    "Jansen",
    "Kowalski",
    "Lindgren",
    "Moreau",
    "Novak",
    "Okafor",
    "Petrov",
    "Quist",
    "Rossi",
    "Schmidt",
    "Tanaka",
    "Ueda",
    "Varga",
    "Weber",
    "Xu",
    "Yilmaz",
    "Zimmer",
    "Adeyemi",
    "Bianchi",
    "Costa",
    "Dubois",
    "Engel",
    "Fontaine",
    "Gruber",
    "Horvat",
]

# Of twenty people: thirteen members, of whom some are synced or blocked, and guests in each state.
KINDS: list[tuple[UserType, ExternalUserState | None, Source, bool, bool]] = [
    *[(UserType.MEMBER, None, Source.THIS_DIRECTORY, True, False)] * 9,
    *[(UserType.MEMBER, None, Source.ON_PREMISES, True, True)] * 3,
    (UserType.MEMBER, None, Source.THIS_DIRECTORY, False, False),
    *[(UserType.GUEST, ExternalUserState.ACCEPTED, Source.EXTERNAL_DIRECTORY, True, False)] * 2,
    (UserType.GUEST, ExternalUserState.ACCEPTED, Source.PERSONAL_ACCOUNT, True, False),
    (UserType.GUEST, ExternalUserState.ACCEPTED, Source.PASSCODE, True, False),
    *[(UserType.GUEST, ExternalUserState.PENDING_ACCEPTANCE, Source.INVITED_USER, True, False)] * 2,
    (UserType.GUEST, ExternalUserState.ACCEPTED, Source.PASSCODE, False, False),
]


def rows(tenant_id: UUID, domain: str, count: int, now: datetime) -> Iterator[dict[str, Any]]:
    """Columns of *count* people; every tenth has a name of his own, the others share theirs with
    many.
    """
    for number in range(count):
        user_type, state, source, enabled, synced = KINDS[number * 7 % len(KINDS)]
        given, family = GIVEN[number % len(GIVEN)], FAMILY[number * 5 // 3 % len(FAMILY)]
        name = f"{given} {family}" if number % 10 else f"{given} {family}-{number:07}"
        local = f"{given}.{family}.{number}".lower()
        is_guest = user_type is UserType.GUEST
        made = now - timedelta(minutes=number * 7 % 500_000)
        mail = f"{local}@partner{number % 500}.example" if is_guest else f"{local}@{domain}"
        upn = f"{mail.replace('@', '_')}#EXT#@{domain}" if is_guest else mail
        yield {
            "tenant_id": tenant_id,
            "id": new_id(),
            "facet": user_listing.facet(user_type, state, source, enabled=enabled, synced=synced),
            "user_principal_name": upn,
            "upn_key": fold(upn),
            "display_name": name,
            "name_key": fold(name),
            "given_name": given,
            "surname": family,
            "mail": mail,
            "mail_key": fold(mail),
            "mail_nickname": local,
            "invited_key": fold(mail) if is_guest else None,
            "user_type": user_type,
            "creation_type": "Invitation" if is_guest else None,
            "external_user_state": state,
            "external_user_state_changed_at": made if is_guest else None,
            "source": source,
            "account_enabled": enabled,
            "on_premises_sync_enabled": synced or None,
            "company_name": f"Partner {number % 500}" if is_guest else None,
            "department": "Site" if number % 3 else "Office",
            "created_at": made,
        }


def populate(session: Session, tenant_id: UUID, domain: str, count: int, now: datetime) -> None:
    """Add *count* people and commit them by and by."""
    people = rows(tenant_id, domain, count, now)
    user_listing.ensure_facets(
        session,
        tenant_id,
        {
            user_listing.facet(kind, state, source, enabled=enabled, synced=synced)
            for kind, state, source, enabled, synced in KINDS
        },
    )
    while batch := list(islice(people, A_COMMIT)):
        session.execute(insert(User), batch)
        session.execute(
            insert(UserToken),
            [
                token
                for one in batch
                for token in user_listing.token_rows(
                    tenant_id,
                    one["id"],
                    one["display_name"],
                    one["mail"],
                    one["user_principal_name"],
                )
            ],
        )
        session.commit()
