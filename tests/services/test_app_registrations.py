"""App registrations: what can be written down about a program, by whom, and what is audited."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from b2b.actor import Actor
from b2b.errors import Conflict, Denied, Invalid, NotFound
from b2b.models import (
    Application,
    ApplicationCredential,
    AppRole,
    Audience,
    AuditEvent,
    GroupClaims,
    PermissionScope,
    Platform,
    Role,
    ServicePrincipal,
)
from b2b.services import (
    app_credentials,
    app_registrations,
    audit,
    consent,
    graph_permissions,
    offered_permissions,
    owners,
)
from b2b.services.app_registrations import Facts, Registered, RequiredAccess
from tests import factories
from tests.cast import Cast, acting
from tests.certificates import certificate
from tests.conftest import Clock


@pytest.fixture
def john(session: Session, cast: Cast, clock: Clock) -> Actor:
    """WoodGrove's Global Administrator."""
    return acting(session, cast.woodgrove, cast.john, clock.now)


@pytest.fixture
def adele(session: Session, cast: Cast, clock: Clock) -> Actor:
    """A member without roles."""
    return acting(session, cast.woodgrove, cast.adele, clock.now)


@pytest.fixture
def registered(session: Session, john: Actor) -> Registered:
    """An application with one redirect URI on a server."""
    facts = Facts(redirect_uris={Platform.WEB: ["https://app.woodgrove.example/cb"]})
    return app_registrations.register(session, john, "Surveys", facts)


def activities(session: Session, target_id: UUID) -> list[tuple[str, Any, Any]]:
    """What the audit log says about something, oldest first."""
    rows = session.scalars(
        select(AuditEvent).where(AuditEvent.target_id == target_id).order_by(AuditEvent.sequence)
    )
    return [
        (row.activity, change["before"], change["after"])
        for row in rows
        for change in row.changes or [{"before": None, "after": None}]
    ]


def test_registering_makes_both_objects_and_graph_and_an_owner(
    session: Session, cast: Cast, john: Actor, registered: Registered
) -> None:
    one, principal = registered.registration, registered.principal
    assert one.app_id == principal.app_id
    assert (one.display_name, principal.display_name) == ("Surveys", "Surveys")
    assert one.sign_in_audience is Audience.THIS_ORGANISATION
    assert [row.id for row in owners.of(session, john, registered.owned)] == [cast.john]
    assert activities(session, one.id) == [("Add application", None, None)]
    assert activities(session, principal.id) == [("Add service principal", None, None)]
    graph = session.scalars(
        select(ServicePrincipal).where(ServicePrincipal.app_id == graph_permissions.APP_ID)
    ).one()
    assert graph.tenant_id == cast.woodgrove
    scope = session.get_one(
        PermissionScope,
        (cast.woodgrove, graph.id, UUID("e1fe6dd8-ba31-4d61-89e7-88639da4683d")),
    )
    assert (scope.value, scope.admins_only) == ("User.Read", False)
    role = session.get_one(
        AppRole, (cast.woodgrove, graph.id, UUID("09850681-111b-4a89-9bed-3f2cae46d706"))
    )
    assert (role.value, role.for_users, role.for_applications) == ("User.Invite.All", False, True)


def test_only_owners_and_application_administrators_change_it(
    session: Session, cast: Cast, clock: Clock, adele: Actor, registered: Registered
) -> None:
    """APP-2"""
    with pytest.raises(Denied):
        app_registrations.register(session, adele, "Hers")
    with pytest.raises(Denied):
        app_credentials.add_secret(session, adele, registered.registration.id)
    factories.give_role(
        session, cast.woodgrove, cast.adele, Role.CLOUD_APPLICATION_ADMINISTRATOR, clock.now
    )
    raised = acting(session, cast.woodgrove, cast.adele, clock.now)
    assert app_credentials.add_secret(session, raised, registered.registration.id)[1]


def test_another_organisation_finds_nothing(
    session: Session, cast: Cast, clock: Clock, registered: Registered
) -> None:
    """ADM-3"""
    stranger = Actor.system(cast.contoso, "Contoso", "contoso.example", clock.now, label="x")
    for what in (
        lambda: app_registrations.get(session, stranger, registered.registration.id),
        lambda: app_registrations.by_app_id(session, stranger, registered.registration.app_id),
        lambda: app_registrations.rename(session, stranger, registered.registration.id, "x"),
    ):
        with pytest.raises(NotFound):
            what()


REDIRECTS = [
    (Platform.WEB, "https://app.example/cb", True),
    (Platform.WEB, "https://app.example/cb?x=1", True),
    (Platform.WEB, "http://localhost:18999/cb", True),
    (Platform.WEB, "http://127.0.0.1/cb", True),
    (Platform.SPA, "http://localhost:3000", True),
    (Platform.PUBLIC, "http://localhost", True),
    (Platform.PUBLIC, "msal1234://auth", True),
    (Platform.PUBLIC, "urn:ietf:wg:oauth:2.0:oob", True),
    (Platform.WEB, "http://app.example/cb", False),
    (Platform.WEB, "msal1234://auth", False),
    (Platform.SPA, "com.example.app:/cb", False),
    (Platform.WEB, "https://app.example/cb#part", False),
    (Platform.WEB, "https://*.app.example/cb", False),
    (Platform.WEB, "https://user@app.example/cb", False),
    (Platform.WEB, "https://app.example/a b", False),
    (Platform.WEB, "https://app.example\\evil", False),
    (Platform.PUBLIC, "javascript:alert(1)", False),
    (Platform.PUBLIC, "data:text/html,x", False),
    (Platform.PUBLIC, "/cb", False),
    (Platform.WEB, "https://app.example/" + "x" * 2048, False),
]


@pytest.mark.parametrize(("platform", "uri", "taken"), REDIRECTS)
def test_redirect_uris_are_exact_addresses(
    session: Session, john: Actor, registered: Registered, platform: Platform, uri: str, taken: bool
) -> None:
    """OIDC-1: neither wildcard nor fragment can be registered"""
    if taken:
        changed = app_registrations.set_redirects(
            session, john, registered.registration.id, {platform: [uri]}
        )
        assert changed.registration.redirects_of(platform) == [uri]
        return
    with pytest.raises(Invalid) as refused:
        app_registrations.set_redirects(
            session, john, registered.registration.id, {platform: [uri]}
        )
    assert refused.value.field == "redirect_uris"


def test_a_secret_is_shown_once_and_kept_as_a_hash(
    session: Session, clock: Clock, john: Actor, registered: Registered
) -> None:
    """OIDC-9"""
    row, secret = app_credentials.add_secret(
        session, john, registered.registration.id, display_name="nightly"
    )
    assert len(secret) == 40
    assert row.hint == secret[:3]
    assert row.secret_hash is not None
    assert secret.encode() not in row.secret_hash
    assert row.expires_at == clock.now + timedelta(days=180)
    [(activity, before, after)] = activities(session, registered.registration.id)[1:]
    assert activity == "Update application – Certificates and secrets management"
    assert before is None
    assert after == f"{row.id} nightly"
    for days in (0, 731):
        with pytest.raises(Invalid):
            app_credentials.add_secret(
                session, john, registered.registration.id,
                expires_at=clock.now + timedelta(days=days),
            )  # fmt: skip
    app_credentials.remove_credential(session, john, registered.registration.id, row.id)
    assert session.scalar(select(func.count()).select_from(ApplicationCredential)) == 0
    with pytest.raises(NotFound):
        app_credentials.remove_credential(session, john, registered.registration.id, row.id)


def test_a_certificate_is_known_by_its_thumbprint(
    session: Session, clock: Clock, john: Actor, registered: Registered
) -> None:
    made = certificate(clock.now)
    row = app_credentials.add_certificate(session, john, registered.registration.id, made.public)
    assert row.thumbprint == made.thumbprint
    assert row.expires_at == made.ends_at
    with pytest.raises(Conflict):
        app_credentials.add_certificate(session, john, registered.registration.id, made.public)
    over = certificate(clock.now - timedelta(days=60))
    short = certificate(clock.now, bits=1024)
    for data in (b"", b"-----BEGIN CERTIFICATE-----\nxx", over.public, short.public, made.private):
        with pytest.raises(Invalid) as refused:
            app_credentials.add_certificate(session, john, registered.registration.id, data)
        assert refused.value.field == "certificate"


def test_at_most_twenty_credentials(session: Session, john: Actor, registered: Registered) -> None:
    for _ in range(20):
        app_credentials.add_secret(session, john, registered.registration.id)
    with pytest.raises(Conflict):
        app_credentials.add_secret(session, john, registered.registration.id)


def test_the_name_of_an_api_is_its_own(
    session: Session, cast: Cast, john: Actor, registered: Registered
) -> None:
    one = registered.registration
    good = [f"api://{one.app_id}", "https://woodgrove.example/surveys", "api://woodgrove.example/s"]
    app_registrations.set_identifier_uris(session, john, one.id, good)
    assert app_registrations.identifier_uris(session, registered) == sorted(good)
    for bad in (
        "https://contoso.example/", "http://woodgrove.example/", f"api://{uuid4()}",
        "https://graph.microsoft.com", "https://user@woodgrove.example/x", "urn:x", "api://",
    ):  # fmt: skip
        with pytest.raises(Invalid):
            app_registrations.set_identifier_uris(session, john, one.id, [bad])
    other = app_registrations.register(session, john, "Copycat")
    with pytest.raises(Conflict):
        app_registrations.set_identifier_uris(session, john, other.registration.id, good[1:2])


def test_scopes_and_roles_that_it_offers(
    session: Session, john: Actor, registered: Registered
) -> None:
    one = registered.registration
    scope = offered_permissions.expose_scope(
        session, john, one.id, "Surveys.Read", display_name="Read surveys"
    )
    offered_permissions.expose_scope(
        session, john, one.id, "Surveys.Read.All", display_name="Read all", scope_id=scope.id,
        admins_only=True,
    )  # fmt: skip
    found = offered_permissions.scopes_of(session, registered)
    assert [(row.value, row.admins_only) for row in found] == [("Surveys.Read.All", True)]
    role = offered_permissions.define_role(
        session, john, one.id, "Survey.Create", display_name="Creator", for_applications=True
    )
    with pytest.raises(Conflict):
        offered_permissions.define_role(session, john, one.id, "Survey.Create", display_name="x")
    with pytest.raises(Invalid):
        offered_permissions.define_role(
            session, john, one.id, "x", display_name="x", for_users=False
        )
    for value in ("", "with space", ".hidden", "x" * 121):
        with pytest.raises(Invalid):
            offered_permissions.expose_scope(session, john, one.id, value, display_name="x")
    offered_permissions.withdraw_scope(session, john, one.id, scope.id)
    offered_permissions.drop_role(session, john, one.id, role.id)
    assert offered_permissions.scopes_of(session, registered) == []
    assert offered_permissions.roles_of(session, registered) == []


def test_facts_about_tokens_have_their_limits(
    session: Session, john: Actor, registered: Registered
) -> None:
    one = registered.registration
    claims = {"idToken": [{"name": "family_name"}], "accessToken": [{"name": "acct"}]}
    app_registrations.set_tokens(
        session, john, one.id, access_token_version=2, token_seconds=600, optional_claims=claims,
        group_claims=GroupClaims.ALL,
    )  # fmt: skip
    assert one.optional_claims["idToken"] == [{"name": "family_name", "additionalProperties": []}]
    wrong: list[dict[str, Any]] = [
        {"access_token_version": 3},
        {"token_seconds": 599},
        {"token_seconds": 86_401},
        {"optional_claims": {"idToken": [{"name": "password"}]}},
        {"optional_claims": {"other": []}},
        {"optional_claims": {"idToken": "acct"}},
    ]
    for facts in wrong:
        with pytest.raises(Invalid) as refused:
            app_registrations.set_tokens(session, john, one.id, **facts)
        assert refused.value.field == next(iter(facts))


def test_required_access_reads_what_graph_writes() -> None:
    sent = {
        "resourceAppId": "00000003-0000-0000-c000-000000000000",
        "resourceAccess": [
            {"id": "e1fe6dd8-ba31-4d61-89e7-88639da4683d", "type": "Scope"},
            {"id": "09850681-111b-4a89-9bed-3f2cae46d706", "type": "Role"},
        ],
    }
    assert RequiredAccess.from_graph(sent).as_graph() == sent
    for wrong in ({}, {"resourceAppId": "x"}, {**sent, "resourceAccess": [{"type": "Scope"}]},
                  {**sent, "resourceAccess": [{"id": str(uuid4()), "type": "x"}]}):  # fmt: skip
        with pytest.raises(Invalid):
            RequiredAccess.from_graph(wrong)


def test_a_listing_goes_by_name_and_by_owner(
    session: Session, john: Actor, adele: Actor, registered: Registered
) -> None:
    app_registrations.register(session, john, "Archive")
    page = app_registrations.listing(session, adele)
    assert [row.display_name for row in page.rows] == ["Archive", "Surveys"]
    assert page.rows[1].id == registered.registration.id
    found = app_registrations.listing(session, adele, search="sur").rows
    assert [row.display_name for row in found] == ["Surveys"]
    assert app_registrations.listing(session, adele, mine=True).rows == []
    assert len(app_registrations.listing(session, john, mine=True).rows) == 2


def test_deleting_takes_everything_along(
    session: Session, cast: Cast, clock: Clock, john: Actor, registered: Registered
) -> None:
    one = registered.registration
    app_credentials.add_secret(session, john, one.id)
    app_registrations.set_identifier_uris(session, john, one.id, [f"api://{one.app_id}"])
    graph = consent.graph_principal(session, john)
    consent.grant(session, john, registered.principal, graph, ["User.Read"])
    consent.give_roles(session, john, registered.principal, graph, ["User.Read.All"])
    contoso = Actor.system(cast.contoso, "Contoso", "contoso.example", clock.now, label="x")
    consent.add_to_tenant(session, contoso, one)
    assert app_registrations.remove(session, john, one.id) == "Surveys"
    for model in (Application, ApplicationCredential):
        assert session.scalar(select(func.count()).select_from(model)) == 0
    left = select(ServicePrincipal).where(ServicePrincipal.app_id == one.app_id)
    assert session.scalars(left).all() == []
    assert audit.of_target(session, john, one.id)[0].activity == "Delete application"


# Consent -----------------------------------------------------------------------------------------


def test_who_may_consent_to_what(
    session: Session, cast: Cast, clock: Clock, john: Actor, adele: Actor, registered: Registered
) -> None:
    """OIDC-8: scope matrix"""
    graph = consent.graph_principal(session, john)
    client = registered.principal
    guest = factories.invite(session, cast, clock.now, "eve@partner.example")
    factories.accept(session, cast, guest, clock.now)
    eve = acting(session, cast.woodgrove, guest.user_id, clock.now)

    def may(who: Actor, value: str, for_whom: UUID | None) -> bool:
        principal = {} if for_whom is None else {"principal_id": for_whom}
        try:
            consent.grant(session, who, client, graph, [value], **principal)
        except Denied:
            return False
        return True

    assert may(adele, "User.Read", cast.adele)
    assert not may(adele, "User.Read", None), "not for everybody"
    assert not may(adele, "User.Read", cast.john), "not for somebody else"
    assert not may(adele, "User.Read.All", cast.adele), "needs an administrator"
    assert may(eve, "User.Read", guest.user_id)
    assert not may(eve, "User.Read", None)
    assert not may(eve, "User.Read", cast.adele), "guests cannot consent for others"
    assert may(john, "User.Read.All", None)
    session.expire_all()
    from b2b.services import clients

    clients.policy_of(session, cast.woodgrove).users_may_consent = False
    session.flush()
    assert not may(adele, "User.ReadWrite", cast.adele), "switched off for members"
    assert may(john, "User.ReadWrite", cast.john)
    with pytest.raises(Invalid):
        consent.grant(session, john, client, graph, ["No.Such"])


def test_consent_is_audited_and_can_be_withdrawn(
    session: Session, cast: Cast, john: Actor, adele: Actor, registered: Registered
) -> None:
    graph = consent.graph_principal(session, john)
    client = registered.principal
    for_all = consent.grant(session, john, client, graph, ["User.Read"])
    hers = consent.grant(
        session, adele, client, graph, ["User.ReadBasic.All"], principal_id=cast.adele
    )
    assert consent.granted(session, client, graph, cast.adele) == {
        "User.Read", "User.ReadBasic.All",
    }  # fmt: skip
    assert consent.granted(session, client, graph, cast.john) == {"User.Read"}
    assert [(one.principal_id, one.values) for one in consent.grants_of(session, john, client)] == [
        (None, ("User.Read",)),
        (cast.adele, ("User.ReadBasic.All",)),
    ]
    with pytest.raises(Denied):
        consent.withdraw(session, adele, for_all.id)
    consent.withdraw(session, adele, hers.id)
    consent.withdraw(session, john, for_all.id)
    assert consent.granted(session, client, graph, cast.adele) == frozenset()
    assert [entry[0] for entry in activities(session, client.id)] == [
        "Add service principal",
        "Consent to application",
        "Consent to application",
        "Remove delegated permission grant",
        "Remove delegated permission grant",
    ]


def test_application_permissions_at_graph_are_a_global_administrators_to_give(
    session: Session, cast: Cast, clock: Clock, john: Actor, registered: Registered
) -> None:
    graph = consent.graph_principal(session, john)
    client = registered.principal
    factories.give_role(
        session, cast.woodgrove, cast.adele, Role.APPLICATION_ADMINISTRATOR, clock.now
    )
    raised = acting(session, cast.woodgrove, cast.adele, clock.now)
    with pytest.raises(Denied):
        consent.give_roles(session, raised, client, graph, ["User.Read.All"])
    assert consent.give_roles(session, john, client, graph, ["User.Read.All"]) == ["User.Read.All"]
    assert consent.give_roles(session, john, client, graph, ["User.Read.All"]) == []
    assert consent.roles_of(session, client, graph) == ["User.Read.All"]
    with pytest.raises(Invalid):
        consent.give_roles(session, john, client, graph, ["User.Read"])
    consent.take_role(session, john, client, graph, "User.Read.All")
    with pytest.raises(Conflict):
        consent.take_role(session, john, client, graph, "User.Read.All")
    assert consent.roles_of(session, client, graph) == []
