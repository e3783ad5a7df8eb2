"""What tokens say about members and guests, and when an access token is good."""

import base64
import json
import re
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from b2b.jose import Signer
from b2b.models import (
    Application,
    AppRole,
    AppRoleAssignment,
    Identity,
    Membership,
    PrincipalType,
    ServicePrincipal,
    SignInGrant,
    Tenant,
    User,
    new_id,
)
from b2b.services import applications, clients, sign_in, signing_keys, tokens
from b2b.services.clients import Client
from b2b.services.tokens import Grant
from tests import factories
from tests.cast import Cast
from tests.conftest import Clock
from tests.relying_party import register

NOON = 1795251600
"""2026-11-21 09:00 UTC, the clock of the tests, as tokens write it."""


def said(token: str) -> dict[str, Any]:
    """The payload as it stands in the token."""
    part = token.split(".")[1]
    content: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return content


def header_of(token: str) -> dict[str, Any]:
    part = token.split(".")[0]
    content: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return content


def client_of(session: Session, cast: Cast, now: datetime, **columns: Any) -> Client:
    """Projects, registered once."""
    tenant = session.get_one(Tenant, cast.woodgrove)
    found = session.scalars(select(Application)).first()
    if found is None:
        register(session, cast.woodgrove, cast.projects, now, **columns)
        found = session.scalars(select(Application)).one()
    return clients.in_tenant(session, found, tenant)


def grant_for(session: Session, cast: Cast, user_id: UUID, now: datetime, **facts: Any) -> Grant:
    """A sign-in to Projects that began just now."""
    user = session.get_one(User, (cast.woodgrove, user_id))
    client = client_of(session, cast, now)
    grant_id = new_id()
    session.add(
        SignInGrant(
            tenant_id=cast.woodgrove,
            id=grant_id,
            user_id=user_id,
            app_id=client.registration.app_id,
            scope="openid profile email",
            signed_in_at=now,
            created_at=now,
            expires_at=now + tokens.LIFE,
        )
    )
    session.flush()
    facts = {"scope": ("openid", "profile", "email"), "nonce": "n", **facts}
    return Grant(
        user=user,
        identity=sign_in.identity_of_guest(session, user),
        client=client,
        signed_in_at=now - timedelta(minutes=5),
        grant_id=grant_id,
        **facts,
    )


def graph_token(session: Session, signer: Signer, grant: Grant, now: datetime) -> str:
    """An access token for userinfo."""
    return tokens.access_token(session, signer, grant, None, (), now=now)


def give_role(session: Session, cast: Cast, holder: UUID, value: str, now: datetime) -> None:
    """Somebody gets an app role of Projects."""
    made = AppRole(
        tenant_id=cast.woodgrove, service_principal_id=cast.projects, id=uuid4(), value=value,
        display_name="A role",
    )  # fmt: skip
    session.add(made)
    session.flush()
    session.add(
        AppRoleAssignment(
            tenant_id=cast.woodgrove, id=new_id(), service_principal_id=cast.projects,
            principal_id=holder, principal_type=PrincipalType.USER, app_role_id=made.id,
            created_at=now,
        )
    )  # fmt: skip
    session.flush()


def guest(session: Session, cast: Cast, clock: Clock, address: str) -> UUID:
    """An accepted guest: of Contoso if the address is Otto's, else by a mailed code."""
    invited = factories.invite(session, cast, clock.now, address)
    hosted = address.endswith("@contoso.example")
    identity = factories.hosted(session, address) if hosted else None
    factories.accept(session, cast, invited, clock.now, identity)
    return invited.user_id


def test_the_id_token_of_a_member(session: Session, cast: Cast, clock: Clock) -> None:
    grant = grant_for(session, cast, cast.adele, clock.now)
    give_role(session, cast, cast.adele, "Project.Read", clock.now)
    signer = signing_keys.signer(session, now=clock.now)
    token = tokens.id_token(session, signer, grant, now=clock.now)
    claims = said(token)
    assert len(claims.pop("uti")) == 22
    assert len(claims.pop("sub")) == 43
    assert claims == {
        "ver": "2.0",
        "iss": f"http://localhost:5000/{cast.woodgrove}/v2.0",
        "aud": str(grant.client.registration.app_id),
        "tid": str(cast.woodgrove),
        "oid": str(cast.adele),
        "name": "Adele Vance",
        "preferred_username": "adele.vance@woodgrove.example",
        "email": "adele.vance@woodgrove.example",
        "acct": 0,
        "roles": ["Project.Read"],
        "nonce": "n",
        "auth_time": NOON - 300,
        "iat": NOON,
        "nbf": NOON,
        "exp": NOON + 3600,
    }
    assert header_of(token) == {"typ": "JWT", "alg": "RS256", "kid": signer.kid}


def test_a_guest_of_another_directory_has_the_object_id_of_the_resource_tenant(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """tokens.md, section 4: tid, oid and iss are WoodGrove's, idp is Contoso's."""
    otto = guest(session, cast, clock, "otto.brandt@contoso.example")
    signer = signing_keys.signer(session, now=clock.now)
    grant = grant_for(session, cast, otto, clock.now, scope=("openid", "profile"))
    claims = said(tokens.id_token(session, signer, grant, now=clock.now))
    assert otto != cast.otto
    assert claims["oid"] == str(otto)
    assert claims["tid"] == str(cast.woodgrove)
    assert claims["iss"] == f"http://localhost:5000/{cast.woodgrove}/v2.0"
    assert claims["idp"] == f"http://localhost:5000/{cast.contoso}/"
    assert claims["acct"] == 1
    assert claims["name"] == "Otto Brandt"
    assert claims["preferred_username"] == "otto.brandt@contoso.example"
    assert claims["email"] == "otto.brandt@contoso.example", "by default for guests"
    assert "roles" not in claims


def test_idp_says_what_kind_of_account_a_guest_has(
    session: Session, cast: Cast, clock: Clock
) -> None:
    signer = signing_keys.signer(session, now=clock.now)
    by_mail = guest(session, cast, clock, "eve@partner.example")
    grant = grant_for(session, cast, by_mail, clock.now)
    assert said(tokens.id_token(session, signer, grant, now=clock.now))["idp"] == "mail"
    access = said(graph_token(session, signer, grant, clock.now))
    assert access["unique_name"] == "mail#eve@partner.example"
    assert "altsecid" not in access
    invited = factories.invite(session, cast, clock.now)
    made = sign_in.make_account(
        session, factories.by_code(factories.SAM), given_name="Sam", surname="Oogle",
        password_hash="x", preferred_language=None, now=clock.now, correlation_id=uuid4(),
    )  # fmt: skip
    factories.accept(session, cast, invited, clock.now, made)
    grant = grant_for(session, cast, invited.user_id, clock.now)
    assert said(tokens.id_token(session, signer, grant, now=clock.now))["idp"] == "live.com"
    access = said(graph_token(session, signer, grant, clock.now))
    assert access["unique_name"] == "live.com#gsamoogle@gmail.com"
    assert re.fullmatch(r"1:live\.com:[0-9A-F]{16}", access["altsecid"])
    otto = guest(session, cast, clock, "otto.brandt@contoso.example")
    grant = grant_for(session, cast, otto, clock.now)
    first, again = (said(graph_token(session, signer, grant, clock.now)) for _ in range(2))
    assert re.fullmatch(r"5::[0-9A-F]{16}", first["altsecid"])
    assert again["altsecid"] == first["altsecid"]
    assert "altsecid" not in said(
        graph_token(session, signer, grant_for(session, cast, cast.adele, clock.now), clock.now)
    )


def test_the_access_token_looks_like_the_real_services(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """decisions.md, tokens: version 1.0, appid, Graph's audience, an access-token marker"""
    signer = signing_keys.signer(session, now=clock.now)
    grant = grant_for(session, cast, cast.adele, clock.now)
    claims = said(graph_token(session, signer, grant, clock.now))
    for name, length in (("uti", 22), ("rh", 36), ("sub", 43)):
        assert len(claims.pop(name)) == length
    assert claims == {
        "ver": "1.0",
        "iss": f"http://localhost:5000/{cast.woodgrove}/",
        "aud": "https://graph.microsoft.com",
        "appid": str(grant.client.registration.app_id),
        "appidacr": "0",
        "idtyp": "user",
        "tid": str(cast.woodgrove),
        "oid": str(cast.adele),
        "scp": "openid profile email",
        "name": "Adele Vance",
        "unique_name": "adele.vance@woodgrove.example",
        "amr": ["pwd"],
        "wids": ["b79fbf4d-3ef9-4689-8143-76b194e85509"],
        "upn": "adele.vance@woodgrove.example",
        "email": "adele.vance@woodgrove.example",
        "acct": 0,
        "iat": NOON,
        "nbf": NOON,
        "exp": NOON + 3600,
    }


def test_without_scopes_a_token_tells_no_more_than_that_it_is_the_same_person(
    session: Session, cast: Cast, clock: Clock
) -> None:
    signer = signing_keys.signer(session, now=clock.now)
    grant = grant_for(session, cast, cast.adele, clock.now, scope=("openid",), nonce=None)
    assert set(said(tokens.id_token(session, signer, grant, now=clock.now))) == {
        "ver", "iss", "aud", "tid", "sub", "acct", "auth_time", "iat", "nbf", "exp", "uti",
    }  # fmt: skip


def test_the_subject_is_the_same_each_time_and_another_in_each_application(cast: Cast) -> None:
    """tokens.md, section 4: pairwise per app, tenant and user"""
    one, two = uuid4(), uuid4()
    first = tokens.subject(cast.woodgrove, cast.adele, one)
    assert first == tokens.subject(cast.woodgrove, cast.adele, one)
    others = {
        tokens.subject(cast.woodgrove, cast.adele, two),
        tokens.subject(cast.contoso, cast.adele, one),
        tokens.subject(cast.woodgrove, cast.john, one),
    }
    assert len(others | {first}) == 4


def test_every_token_has_its_own_uti(session: Session, cast: Cast, clock: Clock) -> None:
    signer = signing_keys.signer(session, now=clock.now)
    grant = grant_for(session, cast, cast.adele, clock.now)
    made = [tokens.id_token(session, signer, grant, now=clock.now) for _ in range(3)]
    made += [graph_token(session, signer, grant, clock.now) for _ in range(3)]
    assert len({said(token)["uti"] for token in made}) == 6


def test_roles_come_by_oneself_and_through_groups_and_only_those_with_a_value(
    session: Session, cast: Cast, clock: Clock
) -> None:
    projects = session.get_one(ServicePrincipal, (cast.woodgrove, cast.projects))
    adele = session.get_one(User, (cast.woodgrove, cast.adele))
    session.add(
        Membership(
            tenant_id=cast.woodgrove, group_id=cast.partners, user_id=cast.adele,
            name_key=adele.name_key, added_at=clock.now,
        )
    )  # fmt: skip

    def role(value: str | None, holder: UUID, kind: PrincipalType, enabled: bool = True) -> None:
        made = AppRole(
            tenant_id=cast.woodgrove, service_principal_id=cast.projects, id=uuid4(),
            value=value, display_name="A role", is_enabled=enabled,
        )  # fmt: skip
        session.add(made)
        session.flush()
        session.add(
            AppRoleAssignment(
                tenant_id=cast.woodgrove, id=new_id(), service_principal_id=cast.projects,
                principal_id=holder, principal_type=kind, app_role_id=made.id,
                created_at=clock.now,
            )
        )  # fmt: skip

    role("Own", cast.adele, PrincipalType.USER)
    role("By.Group", cast.partners, PrincipalType.GROUP)
    role(None, cast.adele, PrincipalType.USER)
    role("Switched.Off", cast.adele, PrincipalType.USER, enabled=False)
    role("Somebody.Elses", cast.john, PrincipalType.USER)
    session.flush()
    assert applications.roles_in(session, projects, adele) == ["By.Group", "Own"]


# When it is good ---------------------------------------------------------------------------------


def test_a_good_access_token_leads_to_its_person(
    session: Session, cast: Cast, clock: Clock
) -> None:
    otto = guest(session, cast, clock, "otto.brandt@contoso.example")
    grant = grant_for(session, cast, otto, clock.now)
    signer = signing_keys.signer(session, now=clock.now)
    token = graph_token(session, signer, grant, clock.now)
    access = tokens.check_access(session, token, now=clock.now)
    assert tokens.userinfo(access) == {
        "sub": said(tokens.id_token(session, signer, grant, now=clock.now))["sub"],
        "name": "Otto Brandt",
        "given_name": "Otto",
        "family_name": "Brandt",
        "email": "otto.brandt@contoso.example",
    }
    clock.advance(minutes=59, seconds=59)
    tokens.check_access(session, token, now=clock.now)
    clock.advance(seconds=1)
    with pytest.raises(tokens.BadToken):
        tokens.check_access(session, token, now=clock.now)


def test_a_token_of_the_second_in_which_the_guest_accepted_is_good(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """`iat` knows whole seconds only; sessions from before acceptance end with it (RED-7)."""
    clock.advance(microseconds=900_000)
    otto = guest(session, cast, clock, "otto.brandt@contoso.example")
    clock.advance(microseconds=50_000)
    signer = signing_keys.signer(session, now=clock.now)
    grant = grant_for(session, cast, otto, clock.now)
    user = tokens.check_access(
        session, graph_token(session, signer, grant, clock.now), now=clock.now
    ).user
    assert user is not None
    assert user.id == otto


@pytest.mark.parametrize(
    "what", ["blocked", "deleted", "signed out everywhere", "application off", "code taken back"]
)
def test_an_access_token_ends_when_what_it_stands_on_ends(
    session: Session, cast: Cast, clock: Clock, what: str
) -> None:
    """API-1, SES-1: client and user still enabled; OIDC-3: the code was used twice"""
    grant = grant_for(session, cast, cast.adele, clock.now)
    signer = signing_keys.signer(session, now=clock.now)
    token = graph_token(session, signer, grant, clock.now)
    clock.advance(minutes=1)
    tokens.check_access(session, token, now=clock.now)
    match what:
        case "blocked":
            grant.user.account_enabled = False
        case "deleted":
            grant.user.deleted_at = clock.now
        case "signed out everywhere":
            grant.user.sessions_valid_from = clock.now
        case "application off":
            found = session.scalars(
                select(ServicePrincipal).where(ServicePrincipal.id == cast.projects)
            ).one()
            found.account_enabled = False
        case "code taken back":
            session.execute(delete(SignInGrant))
    session.flush()
    with pytest.raises(tokens.BadToken):
        tokens.check_access(session, token, now=clock.now)


def test_an_id_token_and_tokens_for_others_are_no_access_tokens(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """API-1: marker, audience, issuer, time, each alone"""
    grant = grant_for(session, cast, cast.adele, clock.now)
    signer = signing_keys.signer(session, now=clock.now)
    good = said(graph_token(session, signer, grant, clock.now))
    tokens.check_access(session, signer.sign(good), now=clock.now)
    with pytest.raises(tokens.BadToken):
        tokens.check_access(
            session, tokens.id_token(session, signer, grant, now=clock.now), now=clock.now
        )
    changes: list[dict[str, Any]] = [
        {"idtyp": "app"},
        {"idtyp": None},
        {"aud": str(grant.client.registration.app_id)},
        {"aud": ["https://graph.microsoft.com"]},
        {"iss": f"http://localhost:5000/{cast.contoso}/"},
        {"iss": f"http://localhost:5000/{cast.woodgrove}/v2.0"},
        {"tid": str(cast.contoso)},
        {"oid": str(cast.john)},
        {"oid": "not an id"},
        {"appid": str(uuid4())},
        {"exp": NOON},
        {"exp": "soon"},
        {"iat": NOON + 600},
        {"rh": "A" * 43},
        {"rh": None},
    ]
    for change in changes:
        with pytest.raises(tokens.BadToken):
            tokens.check_access(session, signer.sign({**good, **change}), now=clock.now)


def test_what_a_guest_redeemed_with_counts_and_not_his_user_type(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """A guest who was made a member still comes from elsewhere."""
    otto = guest(session, cast, clock, "otto.brandt@contoso.example")
    grant = grant_for(session, cast, otto, clock.now)
    internal = replace(grant, identity=None)
    signer = signing_keys.signer(session, now=clock.now)
    assert isinstance(grant.identity, Identity)
    assert "idp" in said(tokens.id_token(session, signer, grant, now=clock.now))
    claims = said(tokens.id_token(session, signer, internal, now=clock.now))
    assert "idp" not in claims
    assert claims["preferred_username"] == "otto.brandt_contoso.example#EXT#@woodgrove.example"
