"""Authorize requests, people, and codes that work once: the rules without HTTP."""

import threading
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from b2b import worker
from b2b.actor import Actor
from b2b.extensions import db
from b2b.models import Application, AuthorizationCode, ServicePrincipal, SignIn, Tenant, User
from b2b.services import authorization, clients, grants, signing_keys, tokens, visitors
from b2b.services.aadsts import CATALOGUE, SignInRefused
from b2b.services.authorization import SignedIn
from b2b.services.grants import Asked, Issued
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import Clock
from tests.relying_party import CALLBACK, CHALLENGE, VERIFIER, Party, register


@pytest.fixture
def party(session: Session, cast: Cast, clock: Clock) -> Party:
    """Projects, registered; Adele is assigned."""
    return register(session, cast.woodgrove, cast.projects, clock.now, cast.adele)


def sent(party: Party, **changes: Any) -> dict[str, list[str]]:
    values: dict[str, Any] = {
        "client_id": str(party.client_id),
        "response_type": "code",
        "redirect_uri": CALLBACK,
        "scope": "openid",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
        **changes,
    }
    return {n: v if isinstance(v, list) else [v] for n, v in values.items() if v is not None}


def read(session: Session, party: Party, **changes: Any) -> authorization.Request:
    values = sent(party, **changes)
    target = authorization.target_of(session, str(party.tenant_id), values)
    return authorization.request_of(session, target, values)


def refusal(session: Session, party: Party, **changes: Any) -> int:
    with pytest.raises(SignInRefused) as refused:
        read(session, party, **changes)
    return refused.value.number


def code_for(session: Session, cast: Cast, party: Party, clock: Clock, **changes: Any) -> str:
    """A code for Adele."""
    asked = read(session, party, **changes)
    assert asked.target.client is not None
    identity = factories.hosted(session, "adele.vance@woodgrove.example")
    answer = authorization.answer(
        session,
        acting(session, cast.woodgrove, cast.adele, clock.now),
        asked.target.client,
        asked,
        SignedIn(identity, uuid4(), clock.now),
    )
    return answer["code"]


def redeem(session: Session, party: Party, code: str, clock: Clock, /, **changes: Any) -> Any:
    values = {
        "client_id": str(party.client_id),
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
        **changes,
    }
    tenant = session.get_one(Tenant, changes.pop("tenant_id", party.tenant_id))
    form = {name: [value] for name, value in values.items() if isinstance(value, str)}
    try:
        return grants.redeem_code(session, Asked(tenant, str(tenant.id), form), now=clock.now)
    except SignInRefused as refused:
        return refused


# The request -------------------------------------------------------------------------------------


def test_a_request_is_read_as_one_plain_value(session: Session, party: Party) -> None:
    asked = read(
        session, party, scope="openid profile openid", state="a=b&c", nonce="n", prompt="login",
        response_mode="form_post", login_hint="adele@x.example", domain_hint="organizations",
        client_info="1", **{"x-client-SKU": "any"},
    )  # fmt: skip
    assert asked.target.redirect_uri == CALLBACK
    assert asked.target.name == "Projects"
    assert asked.wanted.identity == ("openid", "profile")
    assert (asked.state, asked.nonce, asked.prompts) == ("a=b&c", "n", {"login"})
    assert (asked.login_hint, asked.domain_hint) == ("adele@x.example", "organizations")
    assert (asked.response_mode, asked.code_challenge) == ("form_post", CHALLENGE)
    assert read(session, party).response_mode == "query"


NOT_OFFERED: list[tuple[dict[str, Any], int, str]] = [
    ({"response_type": None}, 900144, "invalid_request"),
    ({"response_type": "token"}, 700051, "unsupported_response_type"),
    ({"response_type": "id_token"}, 700054, "unsupported_response_type"),
    ({"response_type": "id_token code"}, 700054, "unsupported_response_type"),
    ({"response_type": "code token"}, 700051, "unsupported_response_type"),
    ({"response_type": "id_token token"}, 700051, "unsupported_response_type"),
    ({"response_type": "CODE"}, 70005, "unsupported_response_type"),
    ({"response_mode": "web_message"}, 70005, "unsupported_response_type"),
    ({"code_challenge": None}, 9002325, "invalid_request"),
    ({"code_challenge": None, "code_challenge_method": None}, 9002325, "invalid_request"),
    ({"code_challenge_method": "plain"}, 50147, "invalid_request"),
    ({"code_challenge_method": None}, 50147, "invalid_request"),
    ({"code_challenge_method": "s256"}, 50147, "invalid_request"),
    ({"code_challenge": "short"}, 50147, "invalid_request"),
    ({"code_challenge": CHALLENGE + "="}, 50147, "invalid_request"),
    ({"scope": None}, 900144, "invalid_request"),
    ({"scope": "openid everything"}, 70011, "invalid_scope"),
    ({"scope": " "}, 70011, "invalid_scope"),
    ({"nonce": "n" * 513}, 90023, "invalid_request"),
    ({"nonce": "n\0"}, 90023, "invalid_request"),
    ({"prompt": "none login"}, 90023, "invalid_request"),
    ({"prompt": "whatever"}, 90023, "invalid_request"),
    ({"state": ["one", "two"]}, 9000411, "invalid_request"),
    ({"response_type": ["code", "code"]}, 9000411, "invalid_request"),
]


def test_what_is_not_offered_is_refused(session: Session, party: Party) -> None:
    """OIDC-2: implicit, hybrid, plain and missing PKCE among them"""
    for changes, number, error in NOT_OFFERED:
        assert refusal(session, party, **changes) == number, changes
        assert CATALOGUE[number].error == error


def test_a_client_with_a_secret_may_leave_the_proof_key_out(session: Session, party: Party) -> None:
    """decisions.md, PKCE: required for public clients, accepted from all"""
    registration = session.scalars(select(Application)).one()
    registration.redirect_uris, registration.public_redirect_uris = [CALLBACK], []
    session.flush()
    assert read(session, party, code_challenge=None).code_challenge is None
    assert read(session, party).code_challenge == CHALLENGE
    assert refusal(session, party, code_challenge_method="plain") == 50147
    registration.requires_proof_key = True
    session.flush()
    assert refusal(session, party, code_challenge=None) == 9002325, "OIDC-2: by a switch"
    registration.requires_proof_key = False
    clients.policy_of(session, party.tenant_id).proof_key_required = True
    session.flush()
    assert refusal(session, party, code_challenge=None) == 9002325, "or for a whole tenant"


VARIANTS = [
    "https://projects.woodgrove.example/Callback",
    "https://Projects.woodgrove.example/callback",
    "HTTPS://projects.woodgrove.example/callback",
    "http://projects.woodgrove.example/callback",
    "https://projects.woodgrove.example/callback/",
    "https://projects.woodgrove.example//callback",
    "https://projects.woodgrove.example/./callback",
    "https://projects.woodgrove.example/x/../callback",
    "https://projects.woodgrove.example/callback/../other",
    "https://projects.woodgrove.example/callback/%2e%2e/other",
    "https://projects.woodgrove.example/%63allback",
    "https://projects.woodgrove.example/callback%00",
    "https://projects.woodgrove.example/callback%20",
    "https://projects.woodgrove.example/callback ",
    " https://projects.woodgrove.example/callback",
    "https://projects.woodgrove.example/callback\t",
    "https://projects.woodgrove.example/callback\r\nX: y",
    "https://user@projects.woodgrove.example/callback",
    "https://projects.woodgrove.example@evil.example/callback",
    "https://projects.woodgrove.example:443/callback",
    "https://projects.woodgrove.example:8443/callback",
    "https://projects.woodgrove.example/callback#",
    "https://projects.woodgrove.example/callback#fragment",
    "https://projects.woodgrove.example/callback?",
    "https://projects.woodgrove.example/callback?extra=1",
    "https://projects.woodgrove.example/callback;x",
    "https://projects.woodgrove.example.evil.example/callback",
    "https://evilprojects.woodgrove.example/callback",
    "https://projects.woodgrove.example./callback",
    "https://projects.woodgrove.example\\.evil.example/callback",
    "https:projects.woodgrove.example/callback",
    "https:///projects.woodgrove.example/callback",
    "//projects.woodgrove.example/callback",
    "/callback",
    "javascript:alert(1)//https://projects.woodgrove.example/callback",
    "data:text/html,x",
    "https://projects.woodgrove.example",
    "https://xn--prjects-bn4c.woodgrove.example/callback",
    "https://рrojects.woodgrove.example/callback",
    "*",
]
"""Near misses of the one registered redirect URI (threats.md, OIDC-1)."""


def test_only_the_very_redirect_uri_is_answered(session: Session, party: Party) -> None:
    """OIDC-1"""
    for uri in VARIANTS:
        assert refusal(session, party, redirect_uri=uri) == 50011, uri


@pytest.mark.parametrize(
    ("registered", "asked", "taken"),
    [
        ("http://localhost/cb", "http://localhost:8080/cb", True),
        ("http://localhost/cb", "http://localhost/cb", True),
        ("http://127.0.0.1/cb", "http://127.0.0.1:51004/cb", True),
        ("http://[::1]/cb", "http://[::1]:51004/cb", True),
        ("http://localhost", "http://localhost:8080", True),
        ("http://localhost/cb", "http://127.0.0.1:8080/cb", False),
        ("http://localhost/cb", "http://localhost:8080/other", False),
        ("http://localhost/cb", "http://localhost:8080/cb?x=1", False),
        ("http://localhost/cb", "https://localhost:8080/cb", False),
        ("http://localhost/cb", "http://localhost:8080@evil.example/cb", False),
        ("http://localhost/cb", "http://localhost:80:80/cb", False),
        ("http://localhost/cb", "http://localhost:/cb", False),
        ("http://localhost/cb", "http://localhost.evil.example:80/cb", False),
        ("http://localhost:5000/cb", "http://localhost:5001/cb", False),
        ("https://app.example/cb", "https://app.example:8443/cb", False),
    ],
)
def test_a_loopback_port_may_differ_where_none_is_registered(
    registered: str, asked: str, taken: bool
) -> None:
    """OIDC-1: for native applications (RFC 8252, 7.3)"""
    none: dict[str, list[str]] = {"redirect_uris": [], "spa_redirect_uris": []}
    native = Application(public_redirect_uris=[registered], **none)
    assert (clients.platform_of(native, asked) is not None) is taken
    none = {"public_redirect_uris": [], "spa_redirect_uris": []}
    with_secret = Application(redirect_uris=[registered], **none)
    assert (clients.platform_of(with_secret, asked) is not None) is (registered == asked)


def test_client_and_redirect_uri_are_settled_before_anything_else(
    session: Session, cast: Cast, party: Party
) -> None:
    """OIDC-1: however much else is wrong"""
    wrong: dict[str, Any] = {"response_type": "token", "scope": "x", "code_challenge": None}
    assert refusal(session, party, client_id=None, **wrong) == 900144
    assert refusal(session, party, client_id=str(uuid4()), **wrong) == 700016
    assert refusal(session, party, client_id="' OR 1=1 --", **wrong) == 700016
    assert refusal(session, party, redirect_uri=None, **wrong) == 900144
    assert refusal(session, party, redirect_uri=[CALLBACK, CALLBACK], **wrong) == 9000411
    assert refusal(session, party, client_id=[str(party.client_id)] * 2, **wrong) == 9000411
    contoso = Party(cast.contoso, party.client_id)
    assert refusal(session, contoso, **wrong) == 700016, "registered at WoodGrove only"
    application = session.get_one(ServicePrincipal, (cast.woodgrove, cast.projects))
    application.account_enabled = False
    session.flush()
    assert refusal(session, party) == 7000112


def test_a_tenant_has_to_be_named(session: Session, cast: Cast) -> None:
    shared = ["common", "Organizations", "consumers"]
    unknown = [
        "",
        "nobody.example",
        "personal.invalid",
        str(uuid4()),
        "a\0b",
        "x" * 9999,
        "é.example",
    ]
    for name in shared + unknown:
        with pytest.raises(SignInRefused) as refused:
            clients.tenant_named(session, name)
        assert refused.value.number == (50194 if name in shared else 90002), name


def test_a_tenant_is_known_by_its_id_and_its_domain(session: Session, cast: Cast) -> None:
    for name in (str(cast.woodgrove), "woodgrove.example", "WoodGrove.Example"):
        assert clients.tenant_named(session, name).id == cast.woodgrove


@pytest.mark.parametrize(
    ("uri", "mode", "url"),
    [
        ("https://a.example/cb", "query", "https://a.example/cb?code=x&state=a%3Db%26c"),
        ("https://a.example/cb?k=1", "query", "https://a.example/cb?k=1&code=x&state=a%3Db%26c"),
        ("https://a.example/cb?k=1", "fragment", "https://a.example/cb?k=1#code=x&state=a%3Db%26c"),
        ("https://a.example", "query", "https://a.example?code=x&state=a%3Db%26c"),
    ],
)
def test_the_answer_keeps_the_redirect_uri_as_it_is(uri: str, mode: str, url: str) -> None:
    assert authorization.answer_url(uri, mode, {"code": "x", "state": "a=b&c"}) == url


# The person --------------------------------------------------------------------------------------


def who(session: Session, cast: Cast, address: str, clock: Clock, **facts: Any) -> Any:
    """The number of the refusal, or whom it found."""
    tenant = session.get_one(Tenant, cast.woodgrove)
    application = session.get_one(ServicePrincipal, (cast.woodgrove, cast.projects))
    hosted = address.rpartition("@")[2] in ("woodgrove.example", "contoso.example")
    identity = factories.hosted(session, address) if hosted else factories.by_code(address)
    try:
        found = visitors.person(
            session, tenant, application, identity, now=clock.now,
            **{"since": clock.now, **facts},
        )  # fmt: skip
    except SignInRefused as refused:
        return refused.number
    return found.user.id


def test_who_may_come_in(session: Session, cast: Cast, clock: Clock, party: Party) -> None:
    """redemption.md, section 9; APP-1"""
    adele, john = "adele.vance@woodgrove.example", "john.doe@woodgrove.example"
    otto = "otto.brandt@contoso.example"
    assert who(session, cast, adele, clock) == cast.adele
    assert who(session, cast, john, clock) == 50105, "administrators are assigned too, or not"
    assert who(session, cast, otto, clock) == 50020
    assert who(session, cast, "eve@partner.example", clock) == 50020
    invited = factories.invite(session, cast, clock.now, otto, application_ids=[cast.projects])
    assert who(session, cast, otto, clock) == 65001
    factories.accept(session, cast, invited, clock.now, factories.hosted(session, otto))
    assert who(session, cast, otto, clock) == invited.user_id
    assert who(session, cast, otto, clock, since=clock.now - timedelta(days=1)) == 50058
    user = session.get_one(User, (cast.woodgrove, invited.user_id))
    user.account_enabled = False
    session.flush()
    assert who(session, cast, otto, clock) == 50057
    user.account_enabled, user.deleted_at = True, clock.now
    session.flush()
    assert who(session, cast, otto, clock) == 50020


def test_a_cancelled_invitation_is_not_in_force(session: Session, cast: Cast, clock: Clock) -> None:
    invited = factories.invite(session, cast, clock.now, "eve@partner.example")
    assert who(session, cast, "eve@partner.example", clock) == 65001
    invitation = factories.invitation_of(session, cast.woodgrove, invited.user_id)
    invitation.cancelled_at = clock.now
    session.flush()
    assert who(session, cast, "eve@partner.example", clock) == 50014


def test_an_application_may_be_for_everybody_or_for_members_only(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """groups-apps-roles.md, section 2"""
    eve = "eve@partner.example"
    factories.accept(session, cast, factories.invite(session, cast, clock.now, eve), clock.now)
    application = session.get_one(ServicePrincipal, (cast.woodgrove, cast.projects))
    assert who(session, cast, eve, clock) == 50105
    application.assignment_required = False
    session.flush()
    assert who(session, cast, eve, clock) not in CATALOGUE
    application.members_only = True
    session.flush()
    assert who(session, cast, eve, clock) == 50105
    assert who(session, cast, "john.doe@woodgrove.example", clock) == cast.john


def test_a_guest_learns_his_inviter_and_a_member_the_owners(
    session: Session, cast: Cast, clock: Clock
) -> None:
    from b2b.services import applications, owners

    tenant = session.get_one(Tenant, cast.woodgrove)
    projects = session.get_one(ServicePrincipal, (cast.woodgrove, cast.projects))
    eve = "eve@partner.example"
    factories.accept(session, cast, factories.invite(session, cast, clock.now, eve), clock.now)
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    adele = session.get_one(User, (cast.woodgrove, cast.adele))
    owners.put(session, john, applications.owned(projects), adele)

    def asked(identity: Any) -> list[str]:
        found = visitors.whom_to_ask(session, tenant, projects, identity)
        return [contact.name for contact in found]

    assert asked(factories.by_code(eve)) == ["John Doe"]
    assert asked(factories.hosted(session, "john.doe@woodgrove.example")) == ["Adele Vance"]
    assert asked(factories.by_code("nobody@partner.example")) == []


# The code ----------------------------------------------------------------------------------------


def test_a_code_gives_tokens_once_and_the_second_use_takes_them_back(
    session: Session, cast: Cast, party: Party, clock: Clock
) -> None:
    """OIDC-3: replay kills the first token pair"""
    code = code_for(session, cast, party, clock)
    clock.advance(seconds=59)
    issued = redeem(session, party, code, clock)
    assert isinstance(issued, Issued)
    assert (issued.scope, issued.expires_in) == ("openid", 3600)
    access = tokens.check_access(session, issued.access_token, now=clock.now)
    assert access.user is not None
    assert access.user.id == cast.adele
    clock.advance(minutes=10)
    again = redeem(session, party, code, clock)
    assert again.number == 54005
    assert again.entry.error == "invalid_grant"
    with pytest.raises(tokens.BadToken):
        tokens.check_access(session, issued.access_token, now=clock.now)
    assert redeem(session, party, code, clock).number == 70000

    code = code_for(session, cast, party, clock)
    issued = redeem(session, party, code, clock)
    assert redeem(session, party, code, clock, code_verifier="x" * 43).number == 54005
    with pytest.raises(tokens.BadToken):
        tokens.check_access(session, issued.access_token, now=clock.now)


def test_a_code_is_over_after_a_minute(
    session: Session, cast: Cast, party: Party, clock: Clock
) -> None:
    code = code_for(session, cast, party, clock)
    clock.advance(seconds=60)
    assert redeem(session, party, code, clock).number == 70008


OF_THIEVES: list[tuple[dict[str, Any], int]] = [
    ({"code_verifier": VERIFIER[:-1] + "x"}, 501481),
    ({"code_verifier": VERIFIER + "x"}, 501481),
    ({"code_verifier": CHALLENGE}, 501481),
    ({"code_verifier": "short"}, 501481),
    ({"code_verifier": "é" * 50}, 501481),
    ({"code_verifier": None}, 900144),
    ({"redirect_uri": CALLBACK + "/"}, 500112),
    ({"redirect_uri": None}, 900144),
    ({"code": "A" * 43}, 70000),
    ({"code": None}, 900144),
    ({"client_id": None}, 900144),
    ({"client_id": str(uuid4())}, 700016),
    ({"client_secret": "a secret"}, 700025),
    ({"client_assertion": "a.b.c"}, 700025),
]


def test_a_code_is_good_for_its_own_request_alone_and_a_thief_does_not_use_it_up(
    session: Session, cast: Cast, party: Party, clock: Clock
) -> None:
    """OIDC-3: wrong verifier, other redirect URI, other client"""
    code = code_for(session, cast, party, clock)
    for changes, number in OF_THIEVES:
        assert redeem(session, party, code, clock, **changes).number == number, changes
    assert isinstance(redeem(session, party, code, clock), Issued)


def test_a_code_is_not_good_for_another_client_or_tenant(
    session: Session, cast: Cast, party: Party, clock: Clock
) -> None:
    """OIDC-3"""
    other = register(session, cast.woodgrove, cast.deliveries, clock.now, cast.adele)
    code = code_for(session, cast, party, clock)
    assert redeem(session, other, code, clock).number == 70000
    assert redeem(session, party, code, clock, tenant_id=cast.contoso).number == 700016


@pytest.mark.parametrize("what", ["blocked", "signed out", "unassigned", "application off"])
def test_what_changes_within_the_minute_counts(
    session: Session, cast: Cast, party: Party, clock: Clock, what: str
) -> None:
    """SES-1"""
    code = code_for(session, cast, party, clock)
    clock.advance(seconds=1)
    user = session.get_one(User, (cast.woodgrove, cast.adele))
    application = session.get_one(ServicePrincipal, (cast.woodgrove, cast.projects))
    match what:
        case "blocked":
            user.account_enabled = False
        case "signed out":
            user.sessions_valid_from = clock.now
        case "unassigned":
            application.members_only = True
            user.user_type = "Guest"  # type: ignore[assignment]
        case "application off":
            application.account_enabled = False
    session.flush()
    numbers = {
        "blocked": 50057, "signed out": 50173, "unassigned": 50105, "application off": 7000112,
    }  # fmt: skip
    assert redeem(session, party, code, clock).number == numbers[what]


def test_of_twenty_exchanges_at_once_one_succeeds(app: Flask, cast: Cast, clock: Clock) -> None:
    """OIDC-3"""
    with app.app_context(), worker.transaction() as session:
        party = register(session, cast.woodgrove, cast.projects, clock.now, cast.adele)
        signing_keys.ensure(session, now=clock.now)
        code = code_for(session, cast, party, clock)
    results: list[Any] = []
    barrier = threading.Barrier(20)

    def exchange() -> None:
        with app.app_context():
            barrier.wait()
            for _ in range(20):  # a database that is busy is asked again, as the edge does
                try:
                    with worker.transaction() as session:
                        results.append(redeem(session, party, code, clock))
                    return
                except Exception as error:
                    db.session.remove()
                    if "could not serialize" not in str(error) and "locked" not in str(error):
                        raise

    threads = [threading.Thread(target=exchange) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(results) == 20
    assert sum(isinstance(result, Issued) for result in results) == 1


def test_a_code_lies_hashed_and_goes_when_nothing_hangs_on_it(
    session: Session, cast: Cast, party: Party, clock: Clock
) -> None:
    """OIDC-3: hash at rest"""
    code = code_for(session, cast, party, clock)
    used = code_for(session, cast, party, clock)
    row = session.scalars(select(AuthorizationCode)).first()
    assert row is not None
    assert code.encode() not in row.code_hash
    assert len(row.code_hash) == 32
    redeem(session, party, used, clock)

    def left() -> int:
        return session.scalar(select(func.count()).select_from(AuthorizationCode)) or 0

    assert grants.purge(session, clock.advance(seconds=59)) == 0
    assert grants.purge(session, clock.advance(seconds=1)) == 1
    assert left() == 1, "the other one is remembered, in case that it comes again"
    assert grants.purge(session, clock.advance(days=1)) == 1


def test_signing_in_to_an_application_is_logged_and_so_is_being_turned_away(
    session: Session, cast: Cast, party: Party, clock: Clock
) -> None:
    code_for(session, cast, party, clock)
    tenant = session.get_one(Tenant, cast.woodgrove)
    seen = Actor.system(tenant.id, "WoodGrove", "woodgrove.example", clock.now, label="x")
    john = factories.hosted(session, "john.doe@woodgrove.example")
    visitors.note_refusal(
        session, tenant, "Projects", john, SignInRefused(50105, account="john"), seen
    )
    rows = session.execute(
        select(SignIn.user_id, SignIn.application, SignIn.error_code).order_by(SignIn.id)
    )
    assert {tuple(row) for row in rows} == {
        (cast.adele, "Projects", 0),
        (cast.john, "Projects", 50105),
    }


def test_every_error_says_what_why_who_and_what_to_do() -> None:
    """The catalogue is whole, and its slots are those that a refusal fills."""
    assert len(CATALOGUE) >= 25
    for number, entry in CATALOGUE.items():
        assert number == entry.number
        slots = {"application": "A", "organisation": "O", "account": "U", "name": "N"}
        for words in (entry.says, entry.title, entry.cause, entry.who, entry.cure):
            assert words, number
            assert "%(" not in words % slots, number
        assert str(SignInRefused(number)) or number
