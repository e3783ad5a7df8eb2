"""Lists as somebody likes to see them: filters kept under a name, for himself alone."""

from collections.abc import Collection, Sequence
from urllib.parse import parse_qsl, urlencode
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, Conflict, Invalid, NotFound
from b2b.models import SavedView, new_id

MOST = 20
NAME_LONGEST = 64
_QUERY_LONGEST = 1024


def of(session: Session, actor: Actor, page: str) -> Sequence[SavedView]:
    """The actor's own views of the list *page*, oldest first."""
    return session.scalars(
        select(SavedView)
        .where(
            SavedView.tenant_id == actor.tenant_id,
            SavedView.user_id == actor.user_id,
            SavedView.page == page,
        )
        .order_by(SavedView.created_at, SavedView.id)
    ).all()


def cleaned(query: str, names: Collection[str]) -> str:
    """The filters of a query string: what is not among *names*, and what is empty, is left out."""
    found = [(name, value) for name, value in parse_qsl(query) if name in names and value]
    return urlencode(sorted(dict(found).items()))


def save(
    session: Session, actor: Actor, page: str, *, name: str, query: str, names: Collection[str]
) -> SavedView:
    """Keep the filters of *query* under *name*; a view of this name is replaced.

    Raises Invalid("name") and, when there are MOST already, Conflict.
    """
    name = " ".join(name.split())
    if not name:
        raise Invalid("name", N_("Enter a name."))
    if len(name) > NAME_LONGEST:
        raise Invalid("name", N_("At most %(longest)s characters."), longest=NAME_LONGEST)
    if any(ord(sign) < 32 or 127 <= ord(sign) < 160 for sign in name):
        raise Invalid("name", N_("Control characters are not allowed here."))
    kept = cleaned(query, names)
    if not kept or len(kept) > _QUERY_LONGEST:
        raise Invalid("name", N_("Choose a filter first; a view keeps filters."))
    assert actor.user_id is not None
    own = of(session, actor, page)
    for view in own:
        if view.name == name:
            view.query = kept
            return view
    if len(own) >= MOST:
        raise Conflict(N_("At most %(most)s views. Delete one first."), most=MOST)
    view = SavedView(
        tenant_id=actor.tenant_id,
        user_id=actor.user_id,
        id=new_id(),
        page=page,
        name=name,
        query=kept,
        created_at=actor.now,
    )
    session.add(view)
    session.flush()
    return view


def remove(session: Session, actor: Actor, view_id: UUID) -> str:
    """Delete one of the actor's own views; returns its name. Raises NotFound."""
    view = None
    if actor.user_id is not None:
        view = session.get(SavedView, (actor.tenant_id, actor.user_id, view_id))
    if view is None:
        raise NotFound(N_("There is no view with this id."))
    name = view.name
    session.delete(view)
    session.flush()
    return name
