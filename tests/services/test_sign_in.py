"""Signing in: the way for an address, the password, personal accounts, and where one may go."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from b2b.actor import ExternalIdentity
from b2b.errors import Conflict, Denied, Invalid
from b2b.models import Domain, Provider, SignIn, Tenant, TenantKind, User
from b2b.services import addresses, belonging, deleted_users, passwords, sign_in, users
from b2b.services.sign_in import Method
from tests import factories
from tests.cast import Cast, acting
from tests.conftest import START, Clock

ADELE = "adele.vance@woodgrove.example"
OTTO = "otto.brandt@contoso.example"
SAM = "gsamoogle@gmail.com"

HOME_KNOWS = "A directory has verified the domain and knows this sign-in name."
HOME_DOES_NOT = "No directory that has verified the domain knows this sign-in name."
PERSONAL_HAS = "A personal account has this address."
PERSONAL_MAY = "No personal account yet; the domain is one of personal addresses."
NOTHING_ELSE = "No other way is known for this address."
Facts = tuple[bool, bool, bool, bool]
# account at home, personal account, consumer domain, domain verified here
# → method, other ways, why (redemption.md, 2)
DECISIONS: dict[Facts, tuple[Method, tuple[Method, ...], tuple[str, ...]]] = {
    (True, False, False, True): (Method.PASSWORD, (), (HOME_KNOWS,)),
    (True, False, True, True): (Method.PASSWORD, (), (HOME_KNOWS,)),
    (True, True, False, True): (
        Method.PASSWORD, (Method.PERSONAL_PASSWORD,), (HOME_KNOWS, PERSONAL_HAS),
    ),
    (True, True, True, True): (
        Method.PASSWORD, (Method.PERSONAL_PASSWORD,), (HOME_KNOWS, PERSONAL_HAS),
    ),
    (False, True, False, False): (
        Method.PERSONAL_PASSWORD, (Method.PASSCODE,), (HOME_DOES_NOT, PERSONAL_HAS),
    ),
    (False, True, True, False): (
        Method.PERSONAL_PASSWORD, (Method.PASSCODE,), (HOME_DOES_NOT, PERSONAL_HAS),
    ),
    (False, True, False, True): (
        Method.PERSONAL_PASSWORD, (Method.PASSCODE,), (HOME_DOES_NOT, PERSONAL_HAS),
    ),
    (False, False, True, False): (
        Method.PERSONAL_NEW, (Method.PASSCODE,), (HOME_DOES_NOT, PERSONAL_MAY),
    ),
    (False, False, True, True): (Method.PASSCODE, (), (HOME_DOES_NOT, NOTHING_ELSE)),
    (False, False, False, False): (
        Method.PASSCODE, (Method.PERSONAL_NEW,), (HOME_DOES_NOT, NOTHING_ELSE),
    ),
    (False, False, False, True): (Method.PASSCODE, (), (HOME_DOES_NOT, NOTHING_ELSE)),
}  # fmt: skip
STICKY = {
    Provider.DIRECTORY: (Method.PASSWORD, "Redeemed with an account of another directory."),
    Provider.PERSONAL: (Method.PERSONAL_PASSWORD, "Redeemed with a personal account."),
    Provider.PASSCODE: (Method.PASSCODE, "Redeemed with a mailed code."),
}


def decided(facts: Facts, bound: Provider | None = None) -> sign_in.Way:
    home, personal, consumer, hosted = facts
    return sign_in.decide(
        bound=bound,
        home_account=home,
        personal_account=personal,
        consumer_domain=consumer,
        domain_hosted=hosted,
    )


@pytest.mark.parametrize("facts", DECISIONS)
def test_the_way_in_and_its_reasons_follow_from_four_facts(facts: Facts) -> None:
    method, others, reasons = DECISIONS[facts]
    way = decided(facts)
    assert (way.method, way.others, way.reasons) == (method, others, reasons)
    assert way.by_code is (method in (Method.PERSONAL_NEW, Method.PASSCODE))


@pytest.mark.parametrize("bound", STICKY)
def test_what_a_guest_redeemed_with_sticks_whatever_else_is_known(bound: Provider) -> None:
    """redemption.md, 3: changed by a reset alone"""
    method, reason = STICKY[bound]
    for facts in DECISIONS:
        way = decided(facts, bound)
        assert (way.method, way.others, way.reasons) == (method, (), (reason,)), facts


def test_one_of_the_other_ways_may_be_picked_and_nothing_else() -> None:
    way = decided((False, False, True, False))
    assert way.picked(Method.PASSCODE).method is Method.PASSCODE
    assert way.picked(Method.PASSCODE).others == (Method.PERSONAL_NEW,)
    assert way.picked(Method.PASSCODE).reasons[-1] == "Chosen by the person."
    assert way.picked(Method.PASSWORD) == way
    assert way.picked(None) == way
    at_home = decided((True, False, False, True))
    for method in Method:
        assert at_home.picked(method) == at_home, "a directory is not gone round"


@pytest.mark.parametrize(
    ("address", "method"),
    [
        (ADELE, Method.PASSWORD),
        ("ADELE.Vance@WoodGrove.example", Method.PASSWORD),
        ("nobody@woodgrove.example", Method.PASSCODE),
        (SAM, Method.PERSONAL_NEW),
        ("somebody@outlook.com", Method.PERSONAL_NEW),
        ("somebody@partner.example", Method.PASSCODE),
    ],
)
def test_an_address_is_shown_its_way(
    session: Session, cast: Cast, address: str, method: Method
) -> None:
    way, account = sign_in.discover(session, addresses.parse(address))
    assert way.method is method
    assert (account is not None) is (method is Method.PASSWORD)


def test_more_consumer_domains_are_a_setting(session: Session, cast: Cast) -> None:
    """decisions.md, consumer domains"""
    there = addresses.parse("somebody@post.example")
    assert sign_in.discover(session, there)[0].method is Method.PASSCODE
    try:
        sign_in.configure(["Post.example"])
        assert sign_in.discover(session, there)[0].method is Method.PERSONAL_NEW
    finally:
        sign_in.configure([])


def test_a_guest_object_is_no_account_to_sign_in_with(
    session: Session, cast: Cast, clock: Clock
) -> None:
    invited = factories.invite(session, cast, clock.now)
    guest = session.get_one(User, (cast.woodgrove, invited.user_id))
    assert sign_in.account_of(session, addresses.parse(guest.mail or "")) is None
    tricky = addresses.parse(guest.user_principal_name, rules="rfc")
    assert sign_in.account_of(session, tricky) is None


def test_an_account_needs_a_verified_domain_and_a_person_who_is_there(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """RED-3, decisions.md, who may redeem (i)"""
    adele = addresses.parse(ADELE)
    assert sign_in.account_of(session, adele) is not None
    session.execute(
        update(Domain).where(Domain.name == "woodgrove.example").values(verified_at=None)
    )
    assert sign_in.account_of(session, adele) is None
    session.execute(
        update(Domain).where(Domain.name == "woodgrove.example").values(verified_at=START)
    )
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    deleted_users.remove(session, john, cast.adele)
    session.flush()
    assert sign_in.account_of(session, adele) is None


# Passwords ---------------------------------------------------------------------------------------


def finish(
    session: Session, clock: Clock, address: str, password: str
) -> ExternalIdentity | Invalid:
    """The three steps of a password sign-in, as the page takes them."""
    typed = addresses.parse(address, rules="rfc")
    account = sign_in.account_of(session, typed)
    right = passwords.matches(sign_in.stored_password(session, account), password)
    return sign_in.finish_password(
        session, account, right, sign_in_name=typed.key, now=clock.now,
        correlation_id=uuid4(), ip_address="192.0.2.1", user_agent="test " * 100,
    )  # fmt: skip


def last_entry(session: Session) -> SignIn:
    return session.scalars(select(SignIn).order_by(SignIn.id.desc()).limit(1)).one()


def test_the_right_password_gives_the_identity_of_the_account(
    session: Session, cast: Cast, clock: Clock
) -> None:
    identity = finish(session, clock, ADELE, cast.password)
    assert isinstance(identity, ExternalIdentity)
    assert (identity.issuer, identity.subject) == (str(cast.woodgrove), str(cast.adele))
    assert identity.provider is Provider.DIRECTORY
    assert identity.proven == {ADELE}
    entry = last_entry(session)
    assert (entry.user_id, entry.error_code, entry.ip_address) == (cast.adele, 0, "192.0.2.1")
    assert len(entry.user_agent or "") == 256
    assert session.get_one(User, (cast.woodgrove, cast.adele)).last_sign_in_at == START


def test_wrong_password_and_unknown_person_are_told_the_same(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """SIGN-2; decisions.md, sign-in errors: the true code stands in the log"""
    wrong = finish(session, clock, ADELE, "not the password")
    assert last_entry(session).error_code == 50126
    unknown = finish(session, clock, "nobody@woodgrove.example", cast.password)
    elsewhere = finish(session, clock, "nobody@partner.example", cast.password)
    for told in (wrong, unknown, elsewhere):
        assert isinstance(told, Invalid)
        assert (told.field, told.code) == ("password", "AADSTS50126")
        assert str(told) == "That address or password is not right."
    assert isinstance(finish(session, clock, ADELE, ""), Invalid)


def test_a_blocked_account_is_named_only_to_whoever_knows_its_password(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """SIGN-2"""
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    users.block(session, john, cast.adele)
    session.flush()
    stranger = finish(session, clock, ADELE, "not the password")
    owner = finish(session, clock, ADELE, cast.password)
    assert str(stranger) == "That address or password is not right."
    assert str(owner) == "This account is blocked. Ask an administrator of WoodGrove."
    assert isinstance(owner, Invalid)
    assert owner.code == "AADSTS50057"
    assert last_entry(session).error_code == 50057


def test_ten_tries_a_minute_for_one_account_from_one_place(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """SIGN-1: a stranger cannot lock somebody out everywhere"""
    told = [
        sign_in.take_try(session, ADELE, ip_address="192.0.2.1", now=clock.now) for _ in range(11)
    ]
    assert told == [None] * 10 + [START + timedelta(minutes=1)]
    assert sign_in.take_try(session, ADELE, ip_address="192.0.2.2", now=clock.now) is None
    assert sign_in.take_try(session, OTTO, ip_address="192.0.2.1", now=clock.now) is None


def test_a_hundred_tries_a_minute_from_one_place_over_all_accounts(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """SIGN-1, threats.md, 3"""
    for number in range(100):
        name = f"person{number}@partner.example"
        assert sign_in.take_try(session, name, ip_address="192.0.2.1", now=clock.now) is None
    blocked = sign_in.take_try(session, "x@y.example", ip_address="192.0.2.1", now=clock.now)
    assert blocked == START + timedelta(minutes=1)
    assert sign_in.take_try(session, "x@y.example", ip_address="192.0.2.2", now=clock.now) is None


def test_a_right_password_forgets_the_wrong_tries(
    session: Session, cast: Cast, clock: Clock
) -> None:
    for _ in range(3):
        for _ in range(9):
            tried = sign_in.take_try(session, ADELE, ip_address="192.0.2.1", now=clock.now)
            assert tried is None
        assert isinstance(finish(session, clock, ADELE, cast.password), ExternalIdentity)
        session.flush()
        session.expire_all()


# Personal accounts -------------------------------------------------------------------------------


def make(
    session: Session,
    clock: Clock,
    identity: ExternalIdentity,
    given_name: str = "Sam",
    surname: str = "Oogle",
) -> ExternalIdentity:
    return sign_in.make_account(
        session, identity, given_name=given_name, surname=surname,
        password_hash=passwords.hashed("a long phrase for Sam"), preferred_language="ko",
        now=clock.now, correlation_id=uuid4(),
    )  # fmt: skip


def test_whoever_has_proven_a_personal_address_may_make_an_account(
    session: Session, cast: Cast, clock: Clock
) -> None:
    made = make(session, clock, factories.by_code(SAM))
    assert (made.provider, made.label, made.proven) == (Provider.PERSONAL, SAM, {SAM})
    assert (made.display_name, made.given_name, made.surname) == ("Sam Oogle", "Sam", "Oogle")
    user = session.get_one(User, (cast.consumer, UUID(made.subject)))
    assert (user.user_principal_name, user.creation_type) == (SAM, "LocalAccount")
    way, account = sign_in.discover(session, addresses.parse(SAM))
    assert way.method is Method.PERSONAL_PASSWORD
    assert account is not None
    assert isinstance(finish(session, clock, SAM, "a long phrase for Sam"), ExternalIdentity)


def test_the_address_of_an_account_that_exists_makes_no_second_one(
    session: Session, cast: Cast, clock: Clock
) -> None:
    make(session, clock, factories.by_code(SAM))
    session.flush()
    with pytest.raises(Conflict, match="is taken"):
        make(session, clock, factories.by_code("GSamOogle@Gmail.com"))


def test_a_work_address_that_no_directory_here_speaks_for_may_be_a_personal_accounts(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """redemption.md, 2: work addresses are allowed if the domain is not verified"""
    made = make(session, clock, factories.by_code("sam@partner.example"))
    assert (made.provider, made.proven) == (Provider.PERSONAL, {"sam@partner.example"})
    way, account = sign_in.discover(session, addresses.parse("sam@partner.example"))
    assert way.method is Method.PERSONAL_PASSWORD
    assert account is not None


def test_no_account_without_a_proof_or_where_a_directory_speaks_for_the_domain(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """RED-7"""
    unproven = ExternalIdentity(Provider.PERSONAL, "x", "1", SAM, proven=frozenset({SAM}))
    for identity in (
        unproven,
        factories.by_code("somebody@woodgrove.example"),
        factories.hosted(session, ADELE),
    ):
        with pytest.raises(Denied, match="Prove the address"):
            make(session, clock, identity)


@pytest.mark.parametrize(
    ("given_name", "surname", "field"),
    [
        ("", "Oogle", "given_name"),
        ("  ", "", "given_name"),
        ("S" * 65, "", "given_name"),
        ("Sam", "O" * 65, "surname"),
        ("Sam\r\nBcc: e", "", "given_name"),
        ("Sam\x00", "", "given_name"),
        ("Sam", "Oo\u2028gle", "surname"),
    ],
)
def test_names_are_checked(
    session: Session, cast: Cast, clock: Clock, given_name: str, surname: str, field: str
) -> None:
    """INV-1"""
    with pytest.raises(Invalid) as refused:
        make(session, clock, factories.by_code(SAM), given_name, surname)
    assert refused.value.field == field


# Where one may go --------------------------------------------------------------------------------


def test_an_identity_may_go_home_and_wherever_it_is_an_accepted_guest(
    session: Session, cast: Cast, clock: Clock
) -> None:
    otto = factories.hosted(session, OTTO)
    invited = factories.invite(session, cast, clock.now, OTTO)
    assert [place.tenant_id for place in belonging.places(session, otto)] == [cast.contoso]
    with pytest.raises(Conflict, match="has no access") as refused:
        belonging.place_in(session, otto, cast.woodgrove)
    assert refused.value.code == "AADSTS50020"
    factories.accept(session, cast, invited, clock.now, otto)
    session.flush()
    places = belonging.places(session, otto)
    assert [(p.tenant_id, p.is_guest) for p in places] == [
        (cast.contoso, False), (cast.woodgrove, True),
    ]  # fmt: skip
    assert belonging.place_in(session, otto, cast.woodgrove).user_id == invited.user_id


@pytest.mark.parametrize("what", [users.block, deleted_users.remove])
def test_where_one_is_blocked_or_deleted_is_no_place_to_go(
    session: Session, cast: Cast, clock: Clock, what: Callable[..., User]
) -> None:
    john = acting(session, cast.woodgrove, cast.john, clock.now)
    otto = factories.hosted(session, OTTO)
    invited = factories.invite(session, cast, clock.now, OTTO)
    factories.accept(session, cast, invited, clock.now, otto)
    what(session, john, invited.user_id)
    session.flush()
    assert [place.tenant_id for place in belonging.places(session, otto)] == [cast.contoso]


def test_a_personal_account_has_no_home_to_work_in(
    session: Session, cast: Cast, clock: Clock
) -> None:
    sam = make(session, clock, factories.by_code(SAM))
    assert belonging.places(session, sam) == []
    consumer = session.get_one(Tenant, cast.consumer)
    assert consumer.kind is TenantKind.CONSUMER
