"""Claims mapping: what may be written, and what tokens then say."""

from typing import Any

import pytest
from sqlalchemy.orm import Session

from b2b.errors import Conflict, Denied, Invalid
from b2b.models import ServicePrincipal, User
from b2b.services import claims_mapping, signing_keys, tokens
from b2b.services.claims_mapping import Mapped, Policy
from b2b.services.scopes import Resource
from tests.cast import Cast, acting
from tests.conftest import Clock
from tests.services.test_tokens import client_of, grant_for, guest, said

GRAPH_POLICY = {
    "Version": 1,
    "IncludeBasicClaimSet": "true",
    "ClaimsSchema": [
        {"Source": "user", "ID": "department", "JwtClaimType": "dept"},
        {"Value": "blue", "JwtClaimType": "colour"},
    ],
}


def projects(session: Session, cast: Cast) -> ServicePrincipal:
    return session.get_one(ServicePrincipal, (cast.woodgrove, cast.projects))


def id_claims(session: Session, cast: Cast, clock: Clock, who: Any) -> dict[str, Any]:
    grant = grant_for(session, cast, who, clock.now)
    signer = signing_keys.signer(session, now=clock.now)
    return said(tokens.id_token(session, signer, grant, now=clock.now))


def test_mapped_claims_stand_in_tokens_for_members_and_guests(
    session: Session, cast: Cast, clock: Clock
) -> None:
    otto = guest(session, cast, clock, "otto.brandt@contoso.example")
    session.get_one(User, (cast.woodgrove, otto)).department = "Export"
    session.flush()
    client_of(session, cast, clock.now)
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    claims_mapping.set_policy(session, john, cast.projects, claims_mapping.read(GRAPH_POLICY))
    member = id_claims(session, cast, clock, cast.adele)
    assert member["colour"] == "blue"
    assert "dept" not in member, "she has none"
    theirs = id_claims(session, cast, clock, otto)
    assert (theirs["dept"], theirs["colour"]) == ("Export", "blue")
    assert theirs["email"] == "otto.brandt@contoso.example"
    assert projects(session, cast).claims_mapping == GRAPH_POLICY


def test_the_basic_claims_can_be_left_out(session: Session, cast: Cast, clock: Clock) -> None:
    client_of(session, cast, clock.now)
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    claims_mapping.keep_basic(session, john, cast.projects, False)
    claims = id_claims(session, cast, clock, cast.adele)
    assert not {"name", "preferred_username", "email"} & set(claims)
    assert {"sub", "oid", "tid", "iss", "aud"} <= set(claims)
    claims_mapping.keep_basic(session, john, cast.projects, True)
    assert projects(session, cast).claims_mapping == {}
    assert id_claims(session, cast, clock, cast.adele)["name"] == "Adele Vance"


def test_the_api_decides_about_its_access_tokens_and_graph_about_none(
    session: Session, cast: Cast, clock: Clock
) -> None:
    client = client_of(session, cast, clock.now)
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    claims_mapping.add(session, john, cast.projects, Mapped("job", ("user", "jobtitle")))
    session.get_one(User, (cast.woodgrove, cast.adele)).job_title = "Buyer"
    grant = grant_for(session, cast, cast.adele, clock.now)
    signer = signing_keys.signer(session, now=clock.now)
    own = Resource(projects(session, cast), client.registration, "api://projects")
    token = tokens.access_token(session, signer, grant, own, ["Read"], now=clock.now)
    assert said(token)["job"] == "Buyer"
    graph = tokens.access_token(session, signer, grant, None, (), now=clock.now)
    assert "job" not in said(graph)


def test_every_fact_can_be_told(session: Session, cast: Cast, clock: Clock) -> None:
    adele = session.get_one(User, (cast.woodgrove, cast.adele))
    adele.other_mails = ["adele@home.example"]
    for name in ("company_name", "department", "job_title", "mobile_phone", "mail_nickname"):
        setattr(adele, name, f"the {name}")
    adele.usage_location, adele.preferred_language = "GB", "en-GB"
    adele.given_name, adele.surname = "Adele", "Vance"
    client_of(session, cast, clock.now)
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    every = tuple(Mapped("_".join(source), source) for source in claims_mapping.SOURCES)
    claims_mapping.set_policy(session, john, cast.projects, Policy(every))
    expected: dict[tuple[str, str], object] = {
        ("application", "displayname"): "Projects",
        ("application", "objectid"): str(cast.projects),
        ("company", "displayname"): "WoodGrove",
        ("company", "domain"): "woodgrove.example",
        ("company", "objectid"): str(cast.woodgrove),
        ("user", "companyname"): "the company_name",
        ("user", "department"): "the department",
        ("user", "displayname"): "Adele Vance",
        ("user", "givenname"): "Adele",
        ("user", "jobtitle"): "the job_title",
        ("user", "mail"): "adele.vance@woodgrove.example",
        ("user", "mailnickname"): "the mail_nickname",
        ("user", "objectid"): str(cast.adele),
        ("user", "othermail"): ["adele@home.example"],
        ("user", "preferredlanguage"): "en-GB",
        ("user", "surname"): "Vance",
        ("user", "telephonenumber"): "the mobile_phone",
        ("user", "usagelocation"): "GB",
        ("user", "userprincipalname"): "adele.vance@woodgrove.example",
        ("user", "usertype"): "Member",
    }
    claims = id_claims(session, cast, clock, cast.adele)
    told = {source: claims["_".join(source)] for source in claims_mapping.SOURCES}
    assert told == expected


def test_what_access_rests_on_cannot_be_mapped() -> None:
    """OIDC-5: no application's administrator writes what verifiers go by"""
    named = {"iss", "sub", "aud", "tid", "oid", "email", "upn", "roles", "groups", "scp", "idtyp"}
    assert named <= claims_mapping.RESTRICTED
    for written in (form for claim in claims_mapping.RESTRICTED for form in (claim, claim.upper())):
        with pytest.raises(Invalid) as caught:
            claims_mapping.checked(Mapped(written, None, "x"))
        assert caught.value.field == "claim"


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ({"Value": "x", "JwtClaimType": "1st"}, "claim"),
        ({"Value": "x", "JwtClaimType": "with space"}, "claim"),
        ({"Value": "x", "JwtClaimType": "n" * 121}, "claim"),
        ({"Value": "", "JwtClaimType": "a"}, "value"),
        ({"Value": "x" * 1025, "JwtClaimType": "a"}, "value"),
        ({"Value": "a\x00b", "JwtClaimType": "a"}, "value"),
        ({"Source": "user", "ID": "password", "JwtClaimType": "a"}, "source"),
        ({"Source": "user", "JwtClaimType": "a"}, "source"),
        ({"JwtClaimType": "a"}, "claims_mapping"),
        ({"Value": 1, "JwtClaimType": "a"}, "claims_mapping"),
        ("text", "claims_mapping"),
    ],
)
def test_what_is_wrong_is_named(entry: Any, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        claims_mapping.read({"ClaimsSchema": [entry]})
    assert caught.value.field == field


def test_names_are_unique_and_few_and_owners_alone_decide(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """APP-2"""
    client_of(session, cast, clock.now)
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    claims_mapping.add(session, john, cast.projects, Mapped("a", None, "1"))
    with pytest.raises(Invalid, match="name already"):
        claims_mapping.add(session, john, cast.projects, Mapped("a", None, "2"))
    many = tuple(Mapped(f"c{number}", None, "1") for number in range(51))
    with pytest.raises(Invalid, match="At most 50"):
        claims_mapping.set_policy(session, john, cast.projects, Policy(many))
    with pytest.raises(Conflict, match="not mapped any more"):
        claims_mapping.remove(session, john, cast.projects, "b")
    adele = acting(session, cast.woodgrove, cast.adele, clock.now)
    with pytest.raises(Denied):
        claims_mapping.remove(session, adele, cast.projects, "a")
    for unknown in ({"Version": 2}, {"IncludeBasicClaimSet": "maybe"}, {"Other": 1}):
        with pytest.raises(Invalid):
            claims_mapping.read(unknown)
