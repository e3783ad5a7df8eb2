"""The demo: WoodGrove, Contoso and personal accounts, with people in every state. Made once."""

import json
import os
import secrets
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from flask import Flask
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from b2b import clock, database, demo_clients, links
from b2b.actor import Actor
from b2b.errors import StartRefused
from b2b.extensions import db
from b2b.files import ROOT
from b2b.models import (
    Application,
    AppRole,
    AppRoleAssignment,
    Group,
    Invitation,
    InvitationStanding,
    MailState,
    OutboxMessage,
    PrincipalType,
    ProxyAddress,
    Role,
    ServicePrincipal,
    Source,
    Tenant,
    User,
    UserType,
    fold,
    new_id,
)
from b2b.services import (
    applications,
    branding,
    groups,
    invitations,
    owners,
    passwords,
    pictures,
    profiles,
    redemption,
    sign_in,
    tenants,
    users,
)

FILE_NAME = "demo.json"
_PICTURES = ROOT / "static" / "img" / "demo"
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"

_WOODGROVE_COLOURS = {
    "accent": "#285943",
    "accent_dark": "#8cc7aa",
    "fill_dark": "#2f7355",
    "soft": "#e6efe9",
    "soft_dark": "#1b3529",
    "deep": "#214a38",
    "deep_dark": "#193a2c",
}


def is_set_up() -> bool:
    """Whether there is an organisation."""
    try:
        return tenants.any_organisation(db.session())
    finally:
        db.session.remove()


def make_if_wanted(app: Flask) -> bool:
    """Make the demo in an empty database unless DEMO=0; True if it was made now.

    Raises StartRefused on an address that is not loopback without DEMO_ON_NETWORK=1.
    """
    config = app.config
    if not config["DEMO"]:
        return False
    if is_set_up():
        return False
    if not links.is_loopback(config["HOST"]) and not config["DEMO_ON_NETWORK"]:
        raise StartRefused(
            f"The demo is not made on {config['HOST']}, which others can reach; "
            "set DEMO=0, or DEMO_ON_NETWORK=1 if you mean it."
        )
    database.begin_write(db.session)
    try:
        if not tenants.is_first(db.session()):
            return False
        content = _make(db.session(), clock.now())
        content = {**_addresses(app), **content}
        # Written before the commit: a demo whose passwords nobody knows would be worse than none.
        _write(config["DATA_DIR"] / FILE_NAME, content)
        db.session.commit()
    except BaseException:
        db.session.rollback()
        raise
    finally:
        db.session.remove()
    return True


def _addresses(app: Flask) -> dict[str, Any]:
    """Where the installation is, and whom visitors have to trust over https."""
    config = app.config
    content = {"baseUrl": config["BASE_URL"], "mailUrl": f"{config['BASE_URL']}/mail"}
    return {**content, "caFile": str(config["CA_FILE"])} if config["CA_FILE"] else content


def follow_address(app: Flask) -> None:
    """Bring demo.json and the demo's own applications to the address of today: another port, or
    https instead of http.
    """
    path = app.config["DATA_DIR"] / FILE_NAME
    if not path.exists():
        return
    content = json.loads(path.read_text())
    now = _addresses(app)
    before = content.get("baseUrl", "")
    if {name: content.get(name) for name in ("baseUrl", "mailUrl", "caFile")} == {
        "caFile": None,
        **now,
    }:
        return
    content.pop("caFile", None)
    samples = [one for one in content.get("applications", []) if "path" in one]
    database.begin_write(db.session)
    try:
        for one in samples:
            _move(db.session(), UUID(one["clientId"]), before, now["baseUrl"])
            one["redirectUris"] = [
                uri.replace(before, now["baseUrl"], 1) for uri in one.get("redirectUris", [])
            ]
        db.session.commit()
    finally:
        db.session.remove()
    _write(path, {**now, **{n: v for n, v in content.items() if n not in now}})


def move_addresses(session: Session, folder: Path, before: str, after: str) -> None:
    """Bring the demo's own applications from one address of this installation to another."""
    path = folder / FILE_NAME
    if before == after or not path.exists():
        return
    for one in json.loads(path.read_text()).get("applications", []):
        if "path" in one:
            _move(session, UUID(one["clientId"]), before, after)


def _move(session: Session, app_id: UUID, before: str, after: str) -> None:
    registration = session.scalars(
        select(Application).where(Application.app_id == app_id)
    ).one_or_none()
    principal = session.scalars(
        select(ServicePrincipal).where(ServicePrincipal.app_id == app_id)
    ).first()
    if registration is not None:
        registration.public_redirect_uris = [
            after + uri.removeprefix(before) if uri.startswith(before + "/") else uri
            for uri in registration.public_redirect_uris
        ]
    url = None if principal is None else principal.sign_in_url
    if principal is not None and url is not None and url.startswith(before + "/"):
        principal.sign_in_url = after + url.removeprefix(before)


def _write(path: Any, content: dict[str, Any]) -> None:
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        json.dump(content, out, indent=2, ensure_ascii=False)
        out.write("\n")
        out.flush()
        os.fsync(out.fileno())
    fresh.replace(path)


def _password() -> str:
    """80 bits in four groups that can be typed."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(4))


def _make(session: Session, now: datetime) -> dict[str, Any]:
    tenants.ensure_consumer_directory(session, now - timedelta(days=90))
    written: list[dict[str, Any]] = []
    woodgrove = tenants.create(
        session,
        display_name="WoodGrove",
        domain="woodgrove.example",
        now=now - timedelta(days=90),
        branding=_WOODGROVE_COLOURS,
        privacy_url="https://woodgrove.example/privacy",
        privacy_contact="privacy@woodgrove.example",
    )
    _logos(session, woodgrove)
    contoso = tenants.create(
        session, display_name="Contoso", domain="contoso.example", now=now - timedelta(days=80)
    )

    def person(where: Actor, name: str, local: str, *roles: Role, **columns: Any) -> User:
        password = _password() if columns.pop("signs_in", True) else None
        address = f"{local}@{where.tenant_domain}"
        given, _, surname = name.partition(" ")
        user = tenants.add_person(
            session,
            where,
            user_principal_name=address,
            display_name=name,
            password_hash=passwords.hashed(password) if password else None,
            roles=roles,
            **{"mail": address, "given_name": given, "surname": surname or None, **columns},
        )
        if password:
            written.append(
                {
                    "tenantId": str(where.tenant_id),
                    "userPrincipalName": address,
                    "password": password,
                    "roles": [role.display_name for role in roles],
                }
            )
        return user

    john = person(
        woodgrove, "John Doe", "john.doe", Role.GLOBAL_ADMINISTRATOR,
        job_title="IT administrator", department="IT",
    )  # fmt: skip
    adele = person(woodgrove, "Adele Vance", "adele.vance", job_title="Site manager")
    person(contoso, "María-José Carreño", "mj.carreno", Role.GLOBAL_ADMINISTRATOR,
           given_name="María-José", surname="Carreño", preferred_language="en")  # fmt: skip
    person(contoso, "Otto Brandt", "otto.brandt", preferred_language="en",
           company_name="Contoso", job_title="Structural engineer")  # fmt: skip
    minjun = person(contoso, "김민준", "minjun.kim", preferred_language="ko",
                    given_name="민준", surname="김", company_name="Contoso")  # fmt: skip
    for name, local, columns in _QUIET_PEOPLE:
        quiet = person(woodgrove, name, local, signs_in=False, **columns)
        if local == "nikos.p":
            # Inviting this address makes a guest without it as mail (invitations.md, section 6).
            address = "nikos.papadopoulos@harbourworks.example"
            session.add(
                ProxyAddress(
                    tenant_id=woodgrove.tenant_id,
                    address_key=fold(address),
                    address=address,
                    user_id=quiet.id,
                )
            )

    projects, permits, deliveries, group = _things(session, woodgrove)
    owners.put(session, woodgrove, groups.owned(group), adele)
    owners.put(session, woodgrove, applications.owned(deliveries), adele)
    applications.assign(
        session, woodgrove.tenant_id, [(john.id, projects.id), (john.id, permits.id)], now
    )
    _guests(session, woodgrove, john, minjun, projects, deliveries, group, now)
    return {
        "tenants": [
            {
                "id": str(actor.tenant_id),
                "displayName": actor.tenant_name,
                "initialDomain": actor.tenant_domain,
            }
            for actor in (woodgrove, contoso)
        ],
        "users": written,
        "applications": [
            *(
                {
                    "kind": "sample",
                    "path": path,
                    "displayName": application.display_name,
                    "organisation": woodgrove.tenant_name,
                    "tenantId": str(woodgrove.tenant_id),
                    "appId": str(application.app_id),
                    "clientId": str(application.app_id),
                    "redirectUris": _sample_redirects(path),
                }
                for path, application in (("projects", projects), ("permits", permits))
            ),
            *demo_clients.make(session, woodgrove, contoso),
        ],
    }


def _logos(session: Session, woodgrove: Actor) -> None:
    """WoodGrove has both logos, Contoso has none: initials stand in their place."""
    tenant = session.get_one(Tenant, woodgrove.tenant_id)
    made = {
        name: pictures.make(name, kind, (_PICTURES / f"woodgrove-{name}.png").read_bytes())
        for name, kind in branding.LOGOS.items()
    }
    for picture in made.values():
        pictures.put(session, tenant.id, tenant.id, picture, woodgrove.now)
    tenant.branding = _WOODGROVE_COLOURS | {name: one.digest for name, one in made.items()}


_QUIET_PEOPLE: list[tuple[str, str, dict[str, Any]]] = [
    ("佐藤 花子", "hanako.sato", {"given_name": "花子", "surname": "佐藤", "department": "Design"}),
    ("Jürgen Groß", "juergen.gross", {"department": "Purchasing"}),
    (
        "ليلى حداد",
        "layla.haddad",
        {"given_name": "ليلى", "surname": "حداد", "department": "Logistics"},
    ),
    ("Νίκος Παπαδόπουλος", "nikos.p", {"department": "Finance"}),
    # An internal user of type Guest (users.md, section 3, State 4).
    (
        "Tomás Weber",
        "tomas.weber",
        {"user_type": UserType.GUEST, "company_name": "Weber Site Services"},
    ),
    # Somebody synchronised from an on-premises directory (State 3).
    (
        "Priya Nair",
        "priya.nair",
        {
            "user_type": UserType.GUEST,
            "source": Source.ON_PREMISES,
            "on_premises_sync_enabled": True,
            "company_name": "Lintel Build",
        },
    ),
]


def _sample_redirects(path: str) -> list[str]:
    return [links.absolute(f"/demo/{path}/{page}") for page in ("callback", "signed-out")]


def _things(
    session: Session, woodgrove: Actor
) -> tuple[ServicePrincipal, ServicePrincipal, ServicePrincipal, Group]:
    def application(
        name: str, description: str, url: str | None, **columns: Any
    ) -> ServicePrincipal:
        made = ServicePrincipal(
            tenant_id=woodgrove.tenant_id,
            id=new_id(),
            app_id=uuid4(),
            display_name=name,
            name_key=fold(name),
            description=description,
            sign_in_url=url,
            created_at=woodgrove.now,
            **columns,
        )
        session.add(made)
        return made

    def group(name: str, description: str, **columns: Any) -> Group:
        made = Group(
            tenant_id=woodgrove.tenant_id,
            id=new_id(),
            display_name=name,
            name_key=fold(name),
            description=description,
            created_at=woodgrove.now,
            **columns,
        )
        session.add(made)
        return made

    def with_sign_in(path: str, name: str, description: str) -> ServicePrincipal:
        """One of the demo's own applications (b2b.demo_app), registered as any other."""
        made = application(name, description, links.absolute(f"/demo/{path}/signin"))
        session.add(
            Application(
                tenant_id=woodgrove.tenant_id,
                id=new_id(),
                app_id=made.app_id,
                display_name=name,
                public_redirect_uris=_sample_redirects(path),
                created_at=woodgrove.now,
            )
        )
        return made

    projects = with_sign_in("projects", "WoodGrove Projects", "Plans, drawings and deadlines")
    # No guest is assigned to it: the refusal can be seen.
    permits = with_sign_in("permits", "WoodGrove Permits", "Building permits and inspections")
    deliveries = application(
        "Deliveries", "Dates and delivery notes", "https://deliveries.woodgrove.example/"
    )
    application("Payroll", "Salaries; for members only", None, members_only=True)
    partners = group("Harbour Street partners", "Everybody who builds at Harbour Street")
    group("All guests", "Filled by a rule", membership_rule='(user.userType -eq "Guest")')
    group(
        "Site office", "Synchronised from the on-premises directory", on_premises_sync_enabled=True
    )
    session.flush()
    applications.assign(
        session,
        woodgrove.tenant_id,
        [(partners.id, deliveries.id)],
        woodgrove.now,
        principal_type=PrincipalType.GROUP,
    )
    contributor = AppRole(
        tenant_id=woodgrove.tenant_id,
        service_principal_id=projects.id,
        id=uuid4(),
        value="Project.Contribute",
        display_name="Contributor",
    )
    session.add(contributor)
    session.add(
        AppRoleAssignment(
            tenant_id=woodgrove.tenant_id,
            id=new_id(),
            service_principal_id=projects.id,
            principal_id=partners.id,
            principal_type=PrincipalType.GROUP,
            app_role_id=contributor.id,
            created_at=woodgrove.now,
        )
    )
    return projects, permits, deliveries, partners


def _guests(
    session: Session,
    woodgrove: Actor,
    john: User,
    minjun: User,
    projects: ServicePrincipal,
    deliveries: ServicePrincipal,
    group: Group,
    now: datetime,
) -> None:
    """Guests in every state: accepted, pending, expired, declined, failed delivery, blocked."""

    def as_john(at: datetime) -> Actor:
        return Actor(
            woodgrove.tenant_id, woodgrove.tenant_name, woodgrove.tenant_domain, at,
            user_id=john.id, display_name=john.display_name,
            user_principal_name=john.user_principal_name, mail=john.mail,
            roles=frozenset({Role.GLOBAL_ADMINISTRATOR}),
        )  # fmt: skip

    def invite(
        address: str, name: str, days_ago: float, *, message: str | None = None,
        language: str | None = None, delivered: bool = True, **columns: Any,
    ) -> UUID:  # fmt: skip
        at = now - timedelta(days=days_ago)
        outcome = invitations.invite(
            session, as_john(at), address=address, display_name=name, message=message,
            language=language, application_ids=[projects.id], group_ids=[group.id],
        )  # fmt: skip
        if columns:
            session.execute(
                update(User)
                .where(User.tenant_id == woodgrove.tenant_id, User.id == outcome.user_id)
                .values(**columns)
            )
        if delivered:
            _settle(session, outcome.invitation_id, MailState.SENT, at + timedelta(seconds=2))
        return outcome.user_id

    accepted = invite("minjun.kim@contoso.example", "minjun.kim", 20, language="ko",
                      company_name="Contoso")  # fmt: skip
    _accept(session, woodgrove, accepted, minjun, now - timedelta(days=19))
    blocked = invite(
        "eva.novak@nordlicht.example", "Eva Nováková", 40, company_name="Nordlicht GmbH"
    )
    users.block(session, as_john(now - timedelta(days=3)), blocked)
    invite("omar@alnoor.example", "عمر الفارسي", 45, company_name="Al Noor Logistics")
    declined = invite(
        "m.weber@harbourworks.example", "Martina Weber", 6, company_name="Harbour Works"
    )
    session.execute(
        update(Invitation)
        .where(Invitation.tenant_id == woodgrove.tenant_id, Invitation.user_id == declined)
        .values(
            opened_at=now - timedelta(days=5),
            signed_in_at=now - timedelta(days=5),
            declined_at=now - timedelta(days=5),
            standing=InvitationStanding.DECLINED,
        )
    )
    failed = invite("seoyeon.lee@hanbit.example", "이서연", 2, language="ko", delivered=False,
                    company_name="한빛전자")  # fmt: skip
    invitation_id = session.execute(
        select(Invitation.id).where(
            Invitation.tenant_id == woodgrove.tenant_id, Invitation.user_id == failed
        )
    ).scalar_one()
    _settle(session, invitation_id, MailState.FAILED, now - timedelta(days=2, seconds=-2),
            "550 5.1.1 No such mailbox here")  # fmt: skip
    invite("priya@lintel-build.example", "Priya Raman", 0, company_name="Lintel Build",
           message="Hello Priya, the drawings for the Harbour Street site are ready.",
           delivered=False)  # fmt: skip


def _settle(
    session: Session, invitation_id: UUID, state: MailState, at: datetime, error: str | None = None
) -> None:
    session.execute(
        update(OutboxMessage)
        .where(OutboxMessage.about_id == invitation_id, OutboxMessage.state == MailState.QUEUED)
        .values(state=state, settled_at=at, attempts=1, last_error=error)
    )


def _accept(session: Session, woodgrove: Actor, user_id: UUID, home: User, at: datetime) -> None:
    """Redeem by the very services that the pages call."""
    invitation = session.execute(
        select(Invitation).where(
            Invitation.tenant_id == woodgrove.tenant_id, Invitation.user_id == user_id
        )
    ).scalar_one()
    opened = redemption.open_link(
        session, woodgrove.tenant_id, invitation.id, invitation.ticket_hash, now=at
    )
    assert opened is not None
    tenant = session.get_one(Tenant, home.tenant_id)
    account = sign_in.account_of(session, opened.address)
    assert account is not None
    assert account.tenant_id == tenant.id
    guest = redemption.acting(opened, now=at)
    redemption.note_opened(session, guest, opened)
    redemption.note_signed_in(session, guest, opened)
    redemption.accept(session, guest, opened, sign_in.identity_for(account))
    profiles.mark_profile_reviewed(session, guest, user_id)
    session.execute(
        update(OutboxMessage)
        .where(OutboxMessage.about_id == invitation.id, OutboxMessage.state == MailState.QUEUED)
        .values(state=MailState.SENT, settled_at=at, attempts=1)
    )
