"""The cast: John administers WoodGrove, Adele is a member, Otto is of Contoso, Sam is invited."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.models import Group, Role, ServicePrincipal, User, fold, new_id
from b2b.services import passwords, roles, tenants

PASSWORD = "correct horse 4 WoodGrove"


@dataclass(frozen=True)
class Cast:
    """Ids of the standing people and things."""

    woodgrove: UUID
    contoso: UUID
    consumer: UUID
    john: UUID
    adele: UUID
    otto: UUID
    projects: UUID
    deliveries: UUID
    payroll: UUID
    partners: UUID
    dynamic: UUID
    password: str = PASSWORD


def make_cast(session: Session, now: datetime) -> Cast:
    """Put everybody in; the caller commits."""
    hashed = passwords.hashed(PASSWORD)
    consumer = tenants.ensure_consumer_directory(session, now)
    woodgrove = tenants.create(
        session, display_name="WoodGrove", domain="woodgrove.example", now=now
    )
    contoso = tenants.create(session, display_name="Contoso", domain="contoso.example", now=now)

    def person(where: Actor, name: str, local: str, *roles: Role, **columns: Any) -> UUID:
        address = f"{local}@{where.tenant_domain}"
        return tenants.add_person(
            session,
            where,
            user_principal_name=address,
            display_name=name,
            password_hash=hashed,
            roles=roles,
            mail=address,
            **columns,
        ).id

    def application(name: str, **columns: Any) -> UUID:
        made = ServicePrincipal(
            tenant_id=woodgrove.tenant_id,
            id=new_id(),
            app_id=uuid4(),
            display_name=name,
            name_key=fold(name),
            created_at=now,
            **{"sign_in_url": f"https://{name.lower()}.woodgrove.example/", **columns},
        )
        session.add(made)
        return made.id

    def group(name: str, **columns: Any) -> UUID:
        made = Group(
            tenant_id=woodgrove.tenant_id,
            id=new_id(),
            display_name=name,
            name_key=fold(name),
            created_at=now,
            **columns,
        )
        session.add(made)
        return made.id

    return Cast(
        woodgrove=woodgrove.tenant_id,
        contoso=contoso.tenant_id,
        consumer=consumer,
        john=person(woodgrove, "John Doe", "john.doe", Role.GLOBAL_ADMINISTRATOR),
        adele=person(woodgrove, "Adele Vance", "adele.vance"),
        otto=person(
            contoso,
            "Otto Brandt",
            "otto.brandt",
            given_name="Otto",
            surname="Brandt",
            preferred_language="de",
        ),
        projects=application("Projects"),
        deliveries=application("Deliveries"),
        payroll=application("Payroll", members_only=True),
        partners=group("Partners"),
        dynamic=group("All guests", membership_rule='(user.userType -eq "Guest")'),
    )


def acting(session: Session, tenant_id: UUID, user_id: UUID, now: datetime) -> Actor:
    """The actor of a signed-in person, as the edges make it."""
    from b2b.models import Tenant

    user = session.get_one(User, (tenant_id, user_id))
    tenant = session.get_one(Tenant, tenant_id)
    return Actor(
        tenant_id=tenant_id,
        tenant_name=tenant.display_name,
        tenant_domain=tenant.primary_domain,
        now=now,
        user_id=user_id,
        display_name=user.display_name,
        user_principal_name=user.user_principal_name,
        mail=user.mail,
        is_guest=user.is_guest,
        roles=roles.of_user(session, tenant_id, user_id),
    )
