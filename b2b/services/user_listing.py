"""Finding people in a directory of any size: facets, search words, pages by key (scale.md, 1)."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    String,
    bindparam,
    delete,
    func,
    insert,
    literal,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.models import (
    ExternalUserState,
    Invitation,
    OutboxMessage,
    Source,
    User,
    UserFacet,
    UserToken,
    UserType,
    fold,
)
from b2b.models.base import LAST, Id
from b2b.prepared import Prepared
from b2b.services import addresses, paging, permissions
from b2b.services.paging import Cursor, Page
from b2b.services.permissions import Action

_INSERT_FACET: dict[str, Any] = {
    "postgresql": postgresql.insert(UserFacet).on_conflict_do_nothing(),
    "sqlite": sqlite.insert(UserFacet).on_conflict_do_nothing(),
}
_known_facets: set[tuple[UUID, int]] = set()
_SOURCES = list(Source)
_STATES: list[ExternalUserState | None] = [None, *ExternalUserState]
_TYPES = list(UserType)


def facet(
    user_type: UserType,
    state: ExternalUserState | None,
    source: Source,
    *,
    enabled: bool = True,
    synced: bool = False,
    deleted: bool = False,
) -> int:
    """The number for one combination of few-valued columns (scale.md, 1); fits a small integer."""
    return (
        _TYPES.index(user_type)
        | _STATES.index(state) << 2
        | int(enabled) << 4
        | int(synced) << 5
        | int(deleted) << 6
        | _SOURCES.index(source) << 7
    )


@dataclass(frozen=True)
class Facts:
    """What a facet says about everybody who has it."""

    user_type: UserType
    state: ExternalUserState | None
    source: Source
    enabled: bool
    synced: bool
    deleted: bool


def facts_of(number: int) -> Facts:
    """`facet` backwards."""
    return Facts(
        _TYPES[number & 3],
        _STATES[number >> 2 & 3],
        _SOURCES[number >> 7],
        bool(number >> 4 & 1),
        bool(number >> 5 & 1),
        is_deleted(number),
    )


_FACETS = Prepared(
    select(UserFacet.facet).where(UserFacet.tenant_id == bindparam("tenant_id", type_=Id))
)


def facets_in(session: Session, tenant_id: UUID) -> Sequence[int]:
    """The facets that occur in a tenant."""
    return [row.facet for row in _FACETS.all(session.connection(), tenant_id=tenant_id)]


def by_name(
    tenant_id: UUID,
    numbers: Iterable[int],
    *conditions: ColumnElement[bool],
    after: Cursor | None = None,
    limit: int,
) -> Select[Any]:
    """(key, id) of people of these facets who meet *conditions*, in the order of their names."""
    merged = _first_by_name(tenant_id, numbers, after, *conditions, limit=limit).subquery()
    return select(merged.c.key, merged.c.id).order_by(merged.c.key, merged.c.id).limit(limit)


def _first_by_name(
    tenant_id: UUID,
    numbers: Iterable[int],
    cursor: Cursor | None,
    *conditions: ColumnElement[bool],
    falling: bool = False,
    limit: int,
) -> Any:
    """An ordered arm for each facet, of which no more is read than the page needs: neither database
    carries a limit into a union by itself.
    """
    arms = []
    for number in numbers:
        arm = select(User.name_key.label("key"), User.id.label("id")).where(
            User.tenant_id == tenant_id, User.facet == number, *conditions
        )
        if cursor is not None:
            place: Any = tuple_(User.name_key, User.id)
            at = tuple_(literal(cursor[0].replace("\0", "")), literal(cursor[1], Id))
            arm = arm.where(place < at if falling else place > at)
        order = [one.desc() if falling else one for one in (User.name_key, User.id)]
        ordered = arm.order_by(*order).limit(limit).subquery()
        arms.append(select(ordered.c.key, ordered.c.id))
    return union_all(*arms)


def first_by_name(
    session: Session,
    tenant_id: UUID,
    names: tuple[str, ...],
    *,
    after: Cursor | None = None,
    limit: int,
    as_json: bool = False,
) -> Sequence[Any]:
    """Key, id and the columns *names* of the first people by name, by a statement that is made
    once; the deleted are left out. *as_json*: values as `Prepared.as_json` has them.
    """
    values: dict[str, Any] = {"tenant_id": tenant_id, "limit": limit}
    if after is not None:
        values |= {"key": after[0], "id": after[1]}
    statement = _first(after is not None, names)
    read = statement.as_json if as_json else statement.all
    return read(session.connection(), **values)


@lru_cache(maxsize=256)
def _first(is_after: bool, names: tuple[str, ...]) -> Prepared:
    found = select(
        User.name_key.label("key"), User.id, *(getattr(User, name) for name in names)
    ).where(User.tenant_id == bindparam("tenant_id", type_=Id), User.deleted_at.is_(None))
    if is_after:
        place: Any = tuple_(bindparam("key", type_=String), bindparam("id", type_=Id))
        found = found.where(tuple_(User.name_key, User.id) > place)
    return Prepared(found.order_by(User.name_key, User.id).limit(bindparam("limit", type_=Integer)))


def is_deleted(number: int) -> bool:
    """Whether people of facet *number* are deleted."""
    return bool(number >> 6 & 1)


def ensure_facets(session: Session, tenant_id: UUID, facets: Iterable[int]) -> None:
    """Remember that *facets* occur in the tenant; a no-op for those known already."""
    connection = session.connection()
    # What this session has made may still be undone, by itself or with a savepoint.
    made: set[tuple[UUID, int]] = session.info.setdefault("made_facets", set())
    for number in facets:
        if (tenant_id, number) in _known_facets:
            continue
        done = connection.execute(
            _INSERT_FACET[connection.dialect.name], {"tenant_id": tenant_id, "facet": number}
        )
        if done.rowcount:
            made.add((tenant_id, number))
        elif (tenant_id, number) not in made:
            # Committed before, and facets are never taken away: no need to ask again.
            _known_facets.add((tenant_id, number))


_WORD = re.compile(r"[^\W_]+")


def words(*texts: str | None) -> set[str]:
    """Folded search words of names and addresses. Whole addresses count as words too, with an @ in
    front: among the words that begin as they do, each would have to be passed over.
    """
    found: set[str] = set()
    for text in texts:
        if text:
            folded = fold(text)
            found.update(_WORD.findall(folded))
            if "@" in folded:
                found.add(f"@{folded}")
    return {word[:64] for word in found}


def words_of(name: str, mail: str | None, upn: str) -> set[str]:
    """What somebody is found by; an internationalised domain in both spellings.

    Of a guest's UPN not the words behind `#EXT#`, which all guests share.
    """
    head, external, _ = upn.partition("#EXT#")
    found = words(
        name, mail, head if external else upn, addresses.in_unicode(mail) if mail else None
    )
    if external:
        found.add(f"@{fold(upn)}"[:64])
    return found


def token_rows(
    tenant_id: UUID, user_id: UUID, name: str, mail: str | None, upn: str
) -> list[dict[str, Any]]:
    """Rows for UserToken."""
    named = words(name)
    return [
        {"tenant_id": tenant_id, "token": word, "user_id": user_id, "in_name": word in named}
        for word in words_of(name, mail, upn)
    ]


def reindex(session: Session, user: User, name_before: str) -> None:
    """Bring the search words in line with a changed display name."""
    old = token_rows(user.tenant_id, user.id, name_before, user.mail, user.user_principal_name)
    replace_tokens(session, user, old)


def replace_tokens(session: Session, user: User, before: list[dict[str, Any]]) -> None:
    """Write the search words of somebody whose names or addresses have changed; *before* are the
    rows that he had.
    """
    old = {row["token"]: row["in_name"] for row in before}
    after = token_rows(
        user.tenant_id, user.id, user.display_name, user.mail, user.user_principal_name
    )
    new = {row["token"]: row["in_name"] for row in after}
    gone = [word for word, in_name in old.items() if new.get(word) is not in_name]
    if gone:
        session.execute(
            delete(UserToken).where(
                UserToken.tenant_id == user.tenant_id,
                UserToken.token.in_(gone),
                UserToken.user_id == user.id,
            )
        )
    fresh = [row for row in after if old.get(row["token"]) is not row["in_name"]]
    if fresh:
        session.execute(insert(UserToken), fresh)


def search_words(search: str) -> list[str]:
    """The words of a search, split as `words` splits names; an address stays whole."""
    found: list[str] = []
    for part in fold(search.replace("\0", " ")).split():
        found += [f"@{part}"] if "@" in part else _WORD.findall(part) or [part]
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Filters:
    """What a list of people is narrowed by; empty means all. `deleted` shows the deleted
    instead.
    """

    user_type: UserType | None = None
    state: ExternalUserState | None = None
    source: Source | None = None
    enabled: bool | None = None
    synced: bool | None = None
    deleted: bool = False
    search: str = ""

    def admits(self, number: int) -> bool:
        """Whether people of facet *number* pass."""
        return (
            (self.user_type is None or _TYPES[number & 3] is self.user_type)
            and (self.state is None or _STATES[number >> 2 & 3] is self.state)
            and (self.enabled is None or bool(number >> 4 & 1) is self.enabled)
            and (self.synced is None or bool(number >> 5 & 1) is self.synced)
            and is_deleted(number) is self.deleted
            and (self.source is None or _SOURCES[number >> 7] is self.source)
        )


WALKED = 1_000
"""Words that a search walks along to count: who types on looks at the first page, and each person
counted is looked up.
"""

_COLUMNS = (
    User.id,
    User.display_name,
    User.mail,
    User.user_principal_name,
    User.user_type,
    User.external_user_state,
    User.source,
    User.account_enabled,
    User.company_name,
    User.deleted_at,
    User.last_sign_in_at,
    User.name_key,
)


def listing(
    session: Session,
    actor: Actor,
    filters: Filters,
    *,
    after: Cursor | None = None,
    before: Cursor | None = None,
    limit: int = paging.SIZE,
) -> Page:
    """A page of people: by name, or with a search in the order of the matching word.

    *after* and *before* are cursors `(key, id)` of an earlier page. Raises Denied.
    """
    permissions.require(actor, Action.READ_DIRECTORY)
    numbers = _admitted(session, actor, filters)
    if not numbers:
        return Page(rows=[], total=0)
    typed = search_words(filters.search)
    count = None
    if typed:
        typed = rarest_first(session, actor.tenant_id, typed)
        keys = _searched(actor.tenant_id, typed, numbers)
        count = partial(_count_searched, session, actor.tenant_id, typed, numbers)
        if before is not None:
            # From the end of these words: PostgreSQL would walk back from wherever it is told.
            before = min(before, (typed[0][:64] + LAST, before[1]))
    else:
        keys = _first_by_name(
            actor.tenant_id, numbers, before or after, falling=before is not None, limit=limit + 1
        )
        count = partial(_count_by_name, session, actor.tenant_id, numbers)
    ordered = keys.subquery()
    found = paging.by_key(
        session,
        select(ordered.c.key, ordered.c.id),
        ordered.c.key,
        ordered.c.id,
        after=after,
        before=before,
        limit=limit,
        count=count,
    )
    people = {
        row.id: row
        for row in session.execute(
            _with_invitation(select(*_COLUMNS)).where(
                User.tenant_id == actor.tenant_id, User.id.in_([row.id for row in found.rows])
            )
        )
    }
    return replace(found, rows=[people[row.id] for row in found.rows if row.id in people])


def total(session: Session, actor: Actor, filters: Filters) -> int | None:
    """How many a list without a search holds; None beyond COUNTED_TO. Raises Denied."""
    permissions.require(actor, Action.READ_DIRECTORY)
    numbers = _admitted(session, actor, filters)
    if not numbers:
        return 0
    return _count_by_name(session, actor.tenant_id, numbers)[0]


def _count_by_name(session: Session, tenant_id: UUID, numbers: list[int]) -> tuple[int | None, int]:
    few = _by_name(tenant_id, numbers).limit(paging.COUNTED_TO + 1).subquery()
    found = session.execute(select(func.count()).select_from(few)).scalar_one()
    return found if found <= paging.COUNTED_TO else None, paging.COUNTED_TO


def _admitted(session: Session, actor: Actor, filters: Filters) -> list[int]:
    """The facets of the tenant whose people pass."""
    return [number for number in facets_in(session, actor.tenant_id) if filters.admits(number)]


def _by_name(tenant_id: UUID, numbers: list[int]) -> Select[str, UUID]:
    """(key, id) of people of these facets: one ordered arm each, merged by the database."""
    arms = [
        select(User.name_key.label("key"), User.id.label("id")).where(
            User.tenant_id == tenant_id, User.facet == number
        )
        for number in numbers
    ]
    merged = union_all(*arms).subquery()
    return select(merged.c.key, merged.c.id)


def begins(column: Any, word: str) -> ColumnElement[bool]:
    """Whether the column of a search word begins with *word*: a range of its index."""
    within: ColumnElement[bool] = (column >= word[:64]) & (column < word[:64] + LAST)
    return within


def rarest_first(session: Session, tenant_id: UUID, typed: list[str]) -> list[str]:
    """*typed* in the order of how many words begin so, counted to a limit: who walks along the
    first and asks each person for the others walks least.
    """
    if len(typed) == 1:
        return typed
    counts = [
        select(func.count())
        .select_from(
            select(UserToken.token)
            .where(UserToken.tenant_id == tenant_id, begins(UserToken.token, word))
            .limit(_RARE)
            .subquery()
        )
        .scalar_subquery()
        for word in typed
    ]
    found = session.execute(select(*counts)).one()
    return sorted(typed, key=lambda word: (found[typed.index(word)], -len(word)))


_RARE = 1_000


def with_word(tenant_id: UUID, user_id: Any, word: str) -> ColumnElement[bool]:
    """Whether the person *user_id* has a word that begins with *word*."""
    again = UserToken.__table__.alias()
    return (
        select(literal(1))
        .where(
            again.c.tenant_id == tenant_id,
            again.c.user_id == user_id,
            begins(again.c.token, word),
        )
        .exists()
    )


def _searched(
    tenant_id: UUID, typed: list[str], numbers: list[int], words: Any = UserToken.__table__
) -> Select[str, UUID]:
    """(key, id) of people who have, for each of *typed*, a word that begins with it, in the order
    of their first word that begins with the first; *words* may hold but a part of these.
    """
    first, *others = typed
    earlier = UserToken.__table__.alias()
    return (
        select(words.c.token.label("key"), words.c.user_id.label("id"))
        .join(User, (User.tenant_id == words.c.tenant_id) & (User.id == words.c.user_id))
        .where(
            words.c.tenant_id == tenant_id,
            begins(words.c.token, first),
            User.facet.in_(numbers),
            # Somebody has several words that begin alike; grouping would read them all.
            ~select(literal(1))
            .where(
                earlier.c.tenant_id == tenant_id,
                earlier.c.user_id == words.c.user_id,
                earlier.c.token >= first[:64],
                earlier.c.token < words.c.token,
            )
            .exists(),
            *(with_word(tenant_id, words.c.user_id, word) for word in others),
        )
    )


def _count_searched(
    session: Session, tenant_id: UUID, typed: list[str], numbers: list[int]
) -> tuple[int | None, int]:
    """How many people a search finds, or None and how many it does along the first WALKED words,
    rounded to what can be read.
    """
    table = UserToken.__table__
    walked = (
        select(table.c.tenant_id, table.c.token, table.c.user_id)
        .where(table.c.tenant_id == tenant_id, begins(table.c.token, typed[0]))
        .order_by(table.c.token, table.c.user_id)
        .limit(WALKED + 1)
        .subquery()
    )
    matching = _searched(tenant_id, typed, numbers, walked).subquery()
    seen, found = session.execute(
        select(
            select(func.count()).select_from(walked).scalar_subquery(),
            select(func.count()).select_from(matching).scalar_subquery(),
        )
    ).one()
    if seen <= WALKED:
        return found, found
    return None, found - found % (100 if found >= 100 else 10)


def _with_invitation(query: Any) -> Any:
    """Add the facts that say how far somebody's invitation has come."""
    return (
        query.add_columns(
            Invitation.sent_at,
            Invitation.valid_from,
            Invitation.opened_at,
            Invitation.signed_in_at,
            Invitation.accepted_at,
            Invitation.declined_at,
            Invitation.cancelled_at,
            Invitation.send_message,
            OutboxMessage.state.label("mail_state"),
        )
        .outerjoin(
            Invitation,
            (Invitation.tenant_id == User.tenant_id) & (Invitation.user_id == User.id),
        )
        .outerjoin(
            OutboxMessage,
            (OutboxMessage.tenant_id == Invitation.tenant_id)
            & (OutboxMessage.id == Invitation.outbox_id),
        )
    )
