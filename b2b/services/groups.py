"""Groups of a tenant and who is in them."""

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import N_, Conflict, Invalid, NotFound
from b2b.models import Group, Membership, OwnedType, User, fold, new_id
from b2b.prepared import Prepared
from b2b.services import audit, owners, paging, permissions, resources
from b2b.services.audit import Activity, Change, Entry
from b2b.services.owners import Owned
from b2b.services.paging import Cursor, Page
from b2b.services.permissions import Action
from b2b.services.resources import Kind, Named

NAME_LONGEST = 256
DESCRIPTION_LONGEST = 1024

_INSERT = Prepared(insert(Membership))

KIND = Kind(
    type=OwnedType.GROUP,
    model=Group,
    listed=(
        Group.id,
        Group.display_name,
        Group.description,
        Group.membership_rule,
        Group.on_premises_sync_enabled,
    ),
    deciding=("membership_rule", "on_premises_sync_enabled"),
    takes_guests=lambda row: row.membership_rule is None and not row.on_premises_sync_enabled,
    gone=N_("One of these groups does not exist any more."),
    of_others=N_("Only its owners and administrators put people into %(name)s."),
    refused=N_("%(name)s is filled by a rule or by synchronisation; nobody is added by hand."),
)


def offered(
    session: Session, actor: Actor, *, limit: int = 200, including: Iterable[UUID] = ()
) -> Sequence[Group]:
    """Groups that *actor* can put somebody into by hand; see `resources.offered`."""
    return resources.offered(
        session,
        actor,
        KIND,
        Group.membership_rule.is_(None),
        Group.on_premises_sync_enabled.is_not(True),
        limit=limit,
        including=including,
    )


def for_guests(
    session: Session, actor: Actor, ids: Iterable[UUID], *, field: str = "groups"
) -> Sequence[Named]:
    """The groups *ids*; dynamic and synced ones are refused. See `resources.for_guests`."""
    return resources.for_guests(session, actor, KIND, ids, field=field)


def add(
    session: Session,
    tenant_id: UUID,
    pairs: Iterable[tuple[UUID, UUID]],
    now: datetime,
    *,
    new_people: Mapping[UUID, str] | None = None,
) -> list[tuple[UUID, UUID]]:
    """Put (user, group) pairs into effect; returns those that were new.

    *new_people* were made in this transaction: their folded names, which need no looking up.
    """
    new = new_people or {}
    wanted = list(dict.fromkeys(pairs))
    if not wanted:
        return []
    people = {user for user, _ in wanted} - new.keys()
    held = set()
    names = dict(new)
    if people:
        held = {
            (row.user_id, row.group_id)
            for row in session.execute(
                select(Membership.user_id, Membership.group_id).where(
                    Membership.tenant_id == tenant_id, Membership.user_id.in_(people)
                )
            )
        }
        for row in session.execute(
            select(User.id, User.name_key).where(User.tenant_id == tenant_id, User.id.in_(people))
        ):
            names[row.id] = row.name_key
    fresh = [pair for pair in wanted if pair not in held]
    if fresh:
        _INSERT.write(
            session.connection(),
            [
                {
                    "tenant_id": tenant_id,
                    "group_id": group,
                    "user_id": user,
                    "name_key": names[user],
                    "added_at": now,
                }
                for user, group in fresh
            ],
        )
    return fresh


def of_user(session: Session, tenant_id: UUID, user_id: UUID) -> Sequence[Group]:
    """Groups that somebody is in, by name."""
    return session.scalars(
        select(Group)
        .join(
            Membership,
            (Membership.tenant_id == Group.tenant_id) & (Membership.group_id == Group.id),
        )
        .where(Membership.tenant_id == tenant_id, Membership.user_id == user_id)
        .order_by(Group.name_key, Group.id)
    ).all()


# One group --------------------------------------------------------------------------------------


def owned(group: Group) -> Owned:
    """The group as something that has owners."""
    return Owned(OwnedType.GROUP, group.id, group.display_name)


def get(session: Session, actor: Actor, group_id: UUID) -> Group:
    """A group of the actor's tenant. Raises NotFound."""
    group = session.get(Group, (actor.tenant_id, group_id))
    if group is None:
        raise NotFound(N_("There is no group with this id."))
    return group


def managed(session: Session, actor: Actor, group_id: UUID) -> Group:
    """As `get`, for somebody who changes it: an owner or administrator. Raises Denied, NotFound."""
    group = get(session, actor, group_id)
    owners.require(session, actor, owned(group))
    return group


def members(
    session: Session,
    actor: Actor,
    group: Group,
    *,
    after: Cursor | None = None,
    before: Cursor | None = None,
) -> Page:
    """A page of a group's members by name; deleted people are left out.

    Rows: id, display_name, mail, user_principal_name, user_type, external_user_state, added_at.
    """
    query = (
        select(
            User.id,
            User.display_name,
            User.mail,
            User.user_principal_name,
            User.user_type,
            User.external_user_state,
            Membership.added_at,
        )
        .join(User, (User.tenant_id == Membership.tenant_id) & (User.id == Membership.user_id))
        .where(
            Membership.tenant_id == actor.tenant_id,
            Membership.group_id == group.id,
            User.deleted_at.is_(None),
        )
    )
    return paging.by_key(
        session, query, Membership.name_key, Membership.user_id, after=after, before=before
    )


def held_by(
    session: Session, actor: Actor, group: Group, people: Iterable[UUID]
) -> frozenset[UUID]:
    """Which of *people* are in the group already."""
    return frozenset(
        session.scalars(
            select(Membership.user_id).where(
                Membership.tenant_id == actor.tenant_id,
                Membership.group_id == group.id,
                Membership.user_id.in_(list(people)),
            )
        )
    )


def create(
    session: Session,
    actor: Actor,
    *,
    display_name: str,
    description: str | None = None,
    mail_nickname: str | None = None,
    is_unified: bool = False,
    security_enabled: bool = True,
    visibility: str | None = None,
) -> Group:
    """Make an assigned group; who makes it owns it (groups-apps-roles.md, 1 and 5).

    *is_unified* makes it a Microsoft 365 group. Raises Denied, Invalid(field).
    """
    permissions.require(actor, Action.CREATE_GROUP)
    name, about = _texts(display_name, description)
    if not is_unified and not security_enabled:
        raise Invalid("security_enabled", N_("A group is for security or a Microsoft 365 group."))
    group = Group(
        tenant_id=actor.tenant_id,
        id=new_id(),
        display_name=name,
        name_key=fold(name),
        description=about,
        mail_nickname=_nickname(mail_nickname),
        is_unified=is_unified,
        security_enabled=security_enabled,
        visibility=_visibility(visibility, is_unified),
        created_at=actor.now,
    )
    session.add(group)
    session.flush()
    audit.record(
        session,
        actor,
        Entry(
            Activity.ADD_GROUP,
            "Group",
            group.id,
            name,
            [Change("DisplayName", None, name), Change("Description", None, about)],
        ),
    )
    if actor.user_id is not None:
        person = owners.somebody(session, actor, actor.user_id)
        owners.put(session, actor, owned(group), person)
    return group


def update(
    session: Session, actor: Actor, group_id: UUID, *, display_name: str, description: str | None
) -> Group:
    """Change name and description. Raises Denied, NotFound, Invalid(field), Conflict when the group
    is synchronised from elsewhere.
    """
    audit.lock(session, actor.tenant_id)
    group = managed(session, actor, group_id)
    if group.on_premises_sync_enabled:
        raise Conflict(
            N_("%(name)s comes from the on-premises directory and is changed there."),
            name=group.display_name,
        )
    name, about = _texts(display_name, description)
    changes = [
        change
        for change in (
            Change("DisplayName", group.display_name, name),
            Change("Description", group.description, about),
        )
        if change.before != change.after
    ]
    if changes:
        group.display_name, group.name_key, group.description = name, fold(name), about
        session.flush()
        audit.record(session, actor, Entry(Activity.UPDATE_GROUP, "Group", group.id, name, changes))
    return group


VISIBILITIES = ("Public", "Private", "HiddenMembership")
_NICKNAME = re.compile(r"[\x21-\x7e]{1,64}")


def _nickname(given: str | None) -> str | None:
    if given is None:
        return None
    if not _NICKNAME.fullmatch(given) or set(given) & set('@()\\[]";:<>, '):
        raise Invalid("mail_nickname", N_("Enter an alias without spaces and at signs."))
    return given


def _visibility(given: str | None, is_unified: bool) -> str | None:
    if given is None:
        return "Public" if is_unified else None
    if given not in VISIBILITIES:
        raise Invalid("visibility", N_("A group is Public, Private or HiddenMembership."))
    return given


def patch(session: Session, actor: Actor, group_id: UUID, values: Mapping[str, Any]) -> Group:
    """Change just these: display_name, description, mail_nickname, visibility, security_enabled.

    Raises Denied, NotFound, Invalid(field), Conflict when the group is synchronised.
    """
    audit.lock(session, actor.tenant_id)
    group = managed(session, actor, group_id)
    if group.on_premises_sync_enabled:
        raise Conflict(
            N_("%(name)s comes from the on-premises directory and is changed there."),
            name=group.display_name,
        )
    name, about = _texts(
        values.get("display_name", group.display_name) or "",
        values.get("description", group.description),
    )
    wanted: dict[str, Any] = {"display_name": name, "description": about}
    if "mail_nickname" in values:
        wanted["mail_nickname"] = _nickname(values["mail_nickname"])
    if "visibility" in values:
        wanted["visibility"] = _visibility(values["visibility"], group.is_unified)
        if "HiddenMembership" in (wanted["visibility"], group.visibility) and (
            wanted["visibility"] != group.visibility
        ):
            raise Invalid(
                "visibility", N_("Whether members are hidden is settled when a group is made.")
            )
    if "security_enabled" in values:
        wanted["security_enabled"] = bool(values["security_enabled"])
        if not wanted["security_enabled"] and not group.is_unified:
            raise Invalid(
                "security_enabled", N_("A group is for security or a Microsoft 365 group.")
            )
    changes = []
    for key, value in wanted.items():
        if getattr(group, key) != value:
            title = key.title().replace("_", "")
            changes.append(Change(title, getattr(group, key), value))
            setattr(group, key, value)
    if changes:
        group.name_key = fold(group.display_name)
        session.flush()
        entry = Entry(Activity.UPDATE_GROUP, "Group", group.id, group.display_name, changes)
        audit.record(session, actor, entry)
    return group


def _texts(display_name: str, description: str | None) -> tuple[str, str | None]:
    name = " ".join(display_name.split())
    about = " ".join((description or "").split()) or None
    if not name:
        raise Invalid("display_name", N_("Enter a name."))
    for field, text, longest in (
        ("display_name", name, NAME_LONGEST),
        ("description", about or "", DESCRIPTION_LONGEST),
    ):
        if len(text) > longest:
            raise Invalid(field, N_("At most %(longest)s characters."), longest=longest)
        if not text.isprintable() and any(
            ord(sign) < 32 or 127 <= ord(sign) < 160 for sign in text
        ):
            raise Invalid(field, N_("Control characters are not allowed here."))
    return name, about


def _for_membership(session: Session, actor: Actor, group_id: UUID) -> Group:
    """A group whose members *actor* may change by hand, read anew behind the lock (APP-2)."""
    audit.lock(session, actor.tenant_id)
    group = managed(session, actor, group_id)
    if group.membership_rule is not None:
        raise Conflict(
            N_("%(name)s is filled by its rule; nobody is added or removed by hand."),
            name=group.display_name,
        )
    if group.on_premises_sync_enabled:
        raise Conflict(
            N_("%(name)s comes from the on-premises directory and is changed there."),
            name=group.display_name,
        )
    return group


def add_member(session: Session, actor: Actor, group_id: UUID, user_id: UUID) -> User:
    """Put somebody of the directory into a group by hand.

    Raises Denied, NotFound, Conflict for members, and for dynamic and synced groups.
    """
    group = _for_membership(session, actor, group_id)
    person = owners.somebody(session, actor, user_id)
    if not add(session, actor.tenant_id, [(person.id, group.id)], actor.now):
        raise Conflict(
            N_("%(name)s is in %(group)s already."),
            name=person.display_name,
            group=group.display_name,
        )
    audit.record(session, actor, _membership(Activity.ADD_MEMBER, person, group))
    return person


def remove_member(session: Session, actor: Actor, group_id: UUID, user_id: UUID) -> User:
    """Take somebody out of a group by hand. Raises Denied, NotFound for the group, Conflict."""
    group = _for_membership(session, actor, group_id)
    person = session.get(User, (actor.tenant_id, user_id))
    gone = session.execute(
        delete(Membership).where(
            Membership.tenant_id == actor.tenant_id,
            Membership.group_id == group.id,
            Membership.user_id == user_id,
        )
    )
    if person is None or not gone.rowcount:  # type: ignore[attr-defined]
        raise Conflict(N_("This person is not in the group."))
    audit.record(session, actor, _membership(Activity.REMOVE_MEMBER, person, group))
    return person


def _membership(activity: Activity, person: User, group: Group) -> Entry:
    name = group.display_name
    change = (None, name) if activity is Activity.ADD_MEMBER else (name, None)
    return Entry(
        activity,
        "User",
        person.id,
        person.user_principal_name,
        [Change("Group", *change)],
        {"group": str(group.id)},
    )
