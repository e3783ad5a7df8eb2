"""Applications of a tenant and who is assigned to them."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    ColumnExpressionArgument,
    Select,
    bindparam,
    exists,
    insert,
    inspect,
    select,
)
from sqlalchemy.orm import Session

from b2b import links
from b2b.actor import Actor
from b2b.errors import N_, Conflict, Invalid, NotFound
from b2b.models import (
    DEFAULT_ACCESS,
    AppRole,
    AppRoleAssignment,
    Group,
    Membership,
    OwnedType,
    PrincipalType,
    ServicePrincipal,
    User,
    UserType,
    new_id,
)
from b2b.models.base import Id
from b2b.prepared import Prepared
from b2b.services import audit, groups, owners, paging, resources
from b2b.services.audit import Activity, Change, Entry
from b2b.services.owners import Owned
from b2b.services.paging import Cursor, Page
from b2b.services.resources import Kind, Named

_INSERT = Prepared(insert(AppRoleAssignment))

KIND = Kind(
    type=OwnedType.SERVICE_PRINCIPAL,
    model=ServicePrincipal,
    listed=(
        ServicePrincipal.id,
        ServicePrincipal.display_name,
        ServicePrincipal.description,
        ServicePrincipal.assignment_required,
        ServicePrincipal.members_only,
        ServicePrincipal.account_enabled,
    ),
    deciding=("members_only", "account_enabled"),
    takes_guests=lambda row: row.account_enabled and not row.members_only,
    gone=N_("One of these applications does not exist any more."),
    of_others=N_("Only its owners and administrators assign people to %(name)s."),
    refused=N_("%(name)s is for members only; guests cannot be assigned to it."),
)


@dataclass(frozen=True)
class Tile:
    """An application in somebody's My Apps."""

    id: UUID
    name: str
    description: str | None
    url: str | None
    app_id: UUID


def offered(
    session: Session, actor: Actor, *, limit: int = 200, including: Iterable[UUID] = ()
) -> Sequence[ServicePrincipal]:
    """Applications that *actor* can assign guests to; see `resources.offered`."""
    return resources.offered(
        session,
        actor,
        KIND,
        ServicePrincipal.account_enabled,
        ~ServicePrincipal.members_only,
        limit=limit,
        including=including,
    )


def for_guests(
    session: Session, actor: Actor, ids: Iterable[UUID], *, field: str = "applications"
) -> Sequence[Named]:
    """The applications *ids*; all of them must take guests. See `resources.for_guests`."""
    return resources.for_guests(session, actor, KIND, ids, field=field)


def assign(
    session: Session,
    tenant_id: UUID,
    grants: Iterable[tuple[UUID, UUID]],
    now: datetime,
    *,
    principal_type: PrincipalType = PrincipalType.USER,
    new_people: Container[UUID] = (),
) -> list[tuple[UUID, UUID]]:
    """Assign (principal, application) pairs with default access; returns those that were new.

    *new_people* were made in this transaction and hold nothing yet.
    """
    pairs = list(dict.fromkeys(grants))
    if not pairs:
        return []
    known = {principal for principal, _ in pairs if principal not in new_people}
    held = set()
    if known:
        held = {
            (row.principal_id, row.service_principal_id)
            for row in session.execute(
                select(
                    AppRoleAssignment.principal_id, AppRoleAssignment.service_principal_id
                ).where(
                    AppRoleAssignment.tenant_id == tenant_id,
                    AppRoleAssignment.principal_id.in_(known),
                )
            )
        }
    fresh = [pair for pair in pairs if pair not in held]
    if fresh:
        _INSERT.write(
            session.connection(),
            [
                {
                    "tenant_id": tenant_id,
                    "id": new_id(),
                    "service_principal_id": application,
                    "principal_id": principal,
                    "principal_type": principal_type,
                    "app_role_id": DEFAULT_ACCESS,
                    "created_at": now,
                }
                for principal, application in fresh
            ],
        )
    return fresh


def tiles(session: Session, tenant_id: UUID, user_id: UUID) -> list[Tile]:
    """What somebody may open: assigned himself or through a group he is in (direct members
    only). Guests never get what is for members only, not through a group either.
    """
    is_guest = (
        select(User.id)
        .where(User.tenant_id == tenant_id, User.id == user_id, User.user_type == UserType.GUEST)
        .exists()
    )
    assigned = select(AppRoleAssignment.service_principal_id).where(_held(tenant_id, user_id))
    rows = session.execute(
        select(
            ServicePrincipal.id,
            ServicePrincipal.display_name,
            ServicePrincipal.description,
            ServicePrincipal.sign_in_url,
            ServicePrincipal.app_id,
        )
        .where(
            ServicePrincipal.tenant_id == tenant_id,
            ServicePrincipal.id.in_(assigned),
            ServicePrincipal.account_enabled,
            ~ServicePrincipal.members_only | ~is_guest,
        )
        .order_by(ServicePrincipal.name_key, ServicePrincipal.id)
    )
    return [Tile(*row) for row in rows]


_Key = UUID | BindParameter[UUID]


def _held(tenant_id: _Key, user_id: _Key) -> ColumnElement[bool]:
    """Assignments of somebody himself, or of a group that he is in (direct members only)."""
    groups = select(Membership.group_id).where(
        Membership.tenant_id == tenant_id, Membership.user_id == user_id
    )
    return (AppRoleAssignment.tenant_id == tenant_id) & (
        (AppRoleAssignment.principal_id == user_id) | AppRoleAssignment.principal_id.in_(groups)
    )


# Opening one ------------------------------------------------------------------------------------


_BY_APP_ID = select(ServicePrincipal).where(
    ServicePrincipal.tenant_id == bindparam("tenant_id"),
    ServicePrincipal.app_id == bindparam("app_id"),
)


def by_app_id(session: Session, tenant_id: UUID, app_id: UUID) -> ServicePrincipal | None:
    """The application with this client id in a tenant. A request asks for the same ones again and
    again; the second time it is found by its key, among what the session holds.
    """
    # The rows themselves, since a session forgets what nobody holds.
    known: dict[tuple[UUID, UUID], ServicePrincipal]
    known = session.info.setdefault("applications", {})
    held = known.get((tenant_id, app_id))
    if held is not None and (key := inspect(held).identity) is not None:
        found = session.get(ServicePrincipal, key)
        if found is not None:
            return found
    found = session.scalar(_BY_APP_ID, {"tenant_id": tenant_id, "app_id": app_id})
    if found is not None:
        known[tenant_id, app_id] = found
    return found


def lets_in(session: Session, application: ServicePrincipal, user: User) -> bool:
    """Whether *user* may use *application* now (threats.md, APP-1): members only, assignment."""
    if application.members_only and user.is_guest:
        return False
    if not application.assignment_required:
        return True
    values = {
        "tenant_id": application.tenant_id, "user_id": user.id, "application_id": application.id
    }  # fmt: skip
    return bool(_LETS_IN.within(session, **values))


def roles_in(session: Session, application: ServicePrincipal, user: User) -> list[str]:
    """Values of the application's roles that *user* holds, himself or through a group; sorted."""
    values = {
        "tenant_id": application.tenant_id, "user_id": user.id, "application_id": application.id
    }  # fmt: skip
    return [row.value for row in _ROLES_IN.within(session, **values)]


def role_values(
    session: Session, application: ServicePrincipal, *held: ColumnExpressionArgument[bool]
) -> list[str]:
    """Values of the application's roles whose assignments meet *held*; sorted, each once."""
    return list(session.scalars(_values(application.tenant_id, application.id).where(*held)))


def _values(tenant_id: _Key, application_id: _Key) -> Select[str | None]:
    return (
        select(AppRole.value)
        .join(
            AppRoleAssignment,
            (AppRoleAssignment.tenant_id == AppRole.tenant_id)
            & (AppRoleAssignment.service_principal_id == AppRole.service_principal_id)
            & (AppRoleAssignment.app_role_id == AppRole.id),
        )
        .where(
            AppRole.tenant_id == tenant_id,
            AppRole.service_principal_id == application_id,
            AppRole.is_enabled,
            AppRole.value.is_not(None),
        )
        .distinct()
        .order_by(AppRole.value)
    )


_TENANT_ID, _USER_ID, _APPLICATION_ID = (
    bindparam(name, type_=Id) for name in ("tenant_id", "user_id", "application_id")
)
_ROLES_IN = Prepared(_values(_TENANT_ID, _APPLICATION_ID).where(_held(_TENANT_ID, _USER_ID)))
_LETS_IN = Prepared(
    select(AppRoleAssignment.id).where(
        _held(_TENANT_ID, _USER_ID), AppRoleAssignment.service_principal_id == _APPLICATION_ID
    )
)


# One application --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Assigned:
    """One line of an application's assignments."""

    id: UUID
    principal_id: UUID
    kind: PrincipalType
    name: str
    detail: str | None
    """A person's address, a group's description."""
    created_at: datetime
    is_guest: bool = False


def owned(application: ServicePrincipal) -> Owned:
    """The application as something that has owners."""
    return Owned(OwnedType.SERVICE_PRINCIPAL, application.id, application.display_name)


def get(session: Session, actor: Actor, application_id: UUID) -> ServicePrincipal:
    """An application of the actor's tenant. Raises NotFound."""
    application = session.get(ServicePrincipal, (actor.tenant_id, application_id))
    if application is None:
        raise NotFound(N_("There is no application with this id."))
    return application


def managed(session: Session, actor: Actor, application_id: UUID) -> ServicePrincipal:
    """As `get`, for somebody who changes it: an owner or administrator. Raises Denied, NotFound."""
    application = get(session, actor, application_id)
    owners.require(session, actor, owned(application))
    return application


def assignments(
    session: Session,
    actor: Actor,
    application: ServicePrincipal,
    *,
    after: Cursor | None = None,
    before: Cursor | None = None,
) -> tuple[Page, list[Assigned]]:
    """A page of people and groups that are assigned, in the order of assignment.

    Deleted people keep their assignment for a restore and are left out.
    """
    query = (
        select(
            AppRoleAssignment.id,
            AppRoleAssignment.principal_id,
            AppRoleAssignment.principal_type,
            AppRoleAssignment.created_at,
            User.display_name.label("person"),
            User.mail,
            User.user_principal_name,
            User.user_type,
            Group.display_name.label("team"),
            Group.description,
        )
        .outerjoin(
            User,
            (User.tenant_id == AppRoleAssignment.tenant_id)
            & (User.id == AppRoleAssignment.principal_id)
            & User.deleted_at.is_(None),
        )
        .outerjoin(
            Group,
            (Group.tenant_id == AppRoleAssignment.tenant_id)
            & (Group.id == AppRoleAssignment.principal_id),
        )
        .where(
            AppRoleAssignment.tenant_id == actor.tenant_id,
            AppRoleAssignment.service_principal_id == application.id,
            User.id.is_not(None) | Group.id.is_not(None),
        )
    )
    page = paging.by_id(session, query, AppRoleAssignment.id, after=after, before=before)
    return page, [
        Assigned(
            row.id,
            row.principal_id,
            row.principal_type,
            row.person or row.team,
            row.description if row.person is None else row.mail or row.user_principal_name,
            row.created_at,
            row.user_type is UserType.GUEST,
        )
        for row in page.rows
    ]


def held_by(
    session: Session, actor: Actor, application: ServicePrincipal, principals: Iterable[UUID]
) -> frozenset[UUID]:
    """Which of *principals* are assigned already."""
    return frozenset(
        session.scalars(
            select(AppRoleAssignment.principal_id).where(
                AppRoleAssignment.tenant_id == actor.tenant_id,
                AppRoleAssignment.service_principal_id == application.id,
                AppRoleAssignment.principal_id.in_(list(principals)),
            )
        )
    )


def require_assignment(
    session: Session, actor: Actor, application_id: UUID, required: bool
) -> ServicePrincipal:
    """Say whether only assigned people may use the application. Raises Denied, NotFound."""
    return change(session, actor, application_id, {"assignment_required": required})


_PROPERTIES = {
    "assignment_required": "AppRoleAssignmentRequired",
    "account_enabled": "AccountEnabled",
    "description": "Description",
    "sign_in_url": "LoginUrl",
}


def change(
    session: Session, actor: Actor, application_id: UUID, wanted: Mapping[str, Any]
) -> ServicePrincipal:
    """Set facts of an application: assignment_required, account_enabled, description, sign_in_url.

    Raises Denied, NotFound, Invalid("sign_in_url") for what is neither https nor on loopback.
    """
    application = _for_change(session, actor, application_id)
    checked = dict(wanted)
    if checked.get("sign_in_url"):
        checked["sign_in_url"] = _sign_in_url(checked["sign_in_url"])
    if "description" in checked:
        checked["description"] = (checked["description"] or "").strip()[:1024] or None
    changes = []
    for name, value in checked.items():
        before = getattr(application, name)
        if before != value:
            setattr(application, name, value)
            changes.append(Change(_PROPERTIES[name], before, value))
    if changes:
        session.flush()
        audit.record(
            session,
            actor,
            Entry(
                Activity.UPDATE_APPLICATION,
                "ServicePrincipal",
                application.id,
                application.display_name,
                changes,
            ),
        )
    return application


def _sign_in_url(typed: str) -> str:
    try:
        return links.landing_page(typed.strip())
    except Invalid as error:
        raise Invalid("sign_in_url", N_("Enter an address that begins with https://.")) from error


def _for_change(session: Session, actor: Actor, application_id: UUID) -> ServicePrincipal:
    """An application that *actor* may change, asked behind the lock (APP-2)."""
    audit.lock(session, actor.tenant_id)
    return managed(session, actor, application_id)


def add_assignment(
    session: Session,
    actor: Actor,
    application_id: UUID,
    principal_id: UUID,
    kind: PrincipalType,
    role_id: UUID = DEFAULT_ACCESS,
) -> str:
    """Assign a person or a group, with default access or in a role; returns the name.

    Raises Denied, NotFound, Invalid("app_role_id") for a role that the application does not offer
    to people, Conflict for what is assigned, for guests where only members are taken, and for
    applications that are switched off.
    """
    application = _for_change(session, actor, application_id)
    if not application.account_enabled:
        raise Conflict(N_("%(name)s is switched off."), name=application.display_name)
    if kind is PrincipalType.USER:
        person = owners.somebody(session, actor, principal_id)
        if application.members_only and person.is_guest:
            raise Conflict(
                N_("%(name)s is for members only; guests cannot be assigned to it."),
                name=application.display_name,
            )
        name, target = person.display_name, person.user_principal_name
    else:
        name = target = groups.get(session, actor, principal_id).display_name
    if not _assigned(session, actor, application, principal_id, kind, role_id):
        raise Conflict(
            N_("%(name)s is assigned to %(application)s already."),
            name=name,
            application=application.display_name,
        )
    audit.record(session, actor, _assignment(application, kind, principal_id, target, True))
    return name


def _assigned(
    session: Session,
    actor: Actor,
    application: ServicePrincipal,
    principal_id: UUID,
    kind: PrincipalType,
    role_id: UUID,
) -> bool:
    """Whether the assignment is new."""
    if role_id == DEFAULT_ACCESS:
        pair = (principal_id, application.id)
        return bool(assign(session, actor.tenant_id, [pair], actor.now, principal_type=kind))
    role = session.get(AppRole, (actor.tenant_id, application.id, role_id))
    if role is None or not role.is_enabled or not role.for_users:
        raise Invalid("app_role_id", N_("The application offers no such role to people."))
    held = session.scalar(
        select(
            exists().where(
                AppRoleAssignment.tenant_id == actor.tenant_id,
                AppRoleAssignment.principal_id == principal_id,
                AppRoleAssignment.service_principal_id == application.id,
                AppRoleAssignment.app_role_id == role_id,
            )
        )
    )
    if held:
        return False
    session.add(
        AppRoleAssignment(
            tenant_id=actor.tenant_id,
            id=new_id(),
            service_principal_id=application.id,
            principal_id=principal_id,
            principal_type=kind,
            app_role_id=role_id,
            created_at=actor.now,
        )
    )
    session.flush()
    return True


def remove_assignment(
    session: Session, actor: Actor, application_id: UUID, assignment_id: UUID
) -> str:
    """End an assignment; returns whose it was. Raises Denied, NotFound, Conflict."""
    application = _for_change(session, actor, application_id)
    row = session.get(AppRoleAssignment, (actor.tenant_id, assignment_id))
    if row is None or row.service_principal_id != application.id:
        raise Conflict(N_("This assignment has ended already."))
    name = target = ""
    if row.principal_type is PrincipalType.USER:
        person = session.get_one(User, (actor.tenant_id, row.principal_id))
        name, target = person.display_name, person.user_principal_name
    else:
        name = target = groups.get(session, actor, row.principal_id).display_name
    kind, principal_id = row.principal_type, row.principal_id
    session.delete(row)
    session.flush()
    audit.record(session, actor, _assignment(application, kind, principal_id, target, False))
    return name


def _assignment(
    application: ServicePrincipal, kind: PrincipalType, principal_id: UUID, target: str, on: bool
) -> Entry:
    activities = {
        (PrincipalType.USER, True): Activity.ASSIGN_APPLICATION,
        (PrincipalType.USER, False): Activity.UNASSIGN_APPLICATION,
        (PrincipalType.GROUP, True): Activity.ASSIGN_APPLICATION_TO_GROUP,
        (PrincipalType.GROUP, False): Activity.UNASSIGN_APPLICATION_FROM_GROUP,
    }
    name = application.display_name
    change = (None, name) if on else (name, None)
    return Entry(
        activities[kind, on],
        str(kind),
        principal_id,
        target,
        [Change("Application", *change)],
        {"application": str(application.id)},
    )
