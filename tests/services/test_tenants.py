"""Organisations: a domain belongs to one of them, and the first admin is set up once."""

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from b2b import worker
from b2b.errors import Conflict, Invalid, NotFound
from b2b.extensions import db
from b2b.models import Domain, Password, SetupLink, Tenant, TenantKind, User
from b2b.services import passwords, tenants
from tests.cast import Cast, acting
from tests.conftest import START, Clock
from tests.crowd import at_once


def start(session: Session, clock: Clock, domain: str = "fabrikam.example") -> str:
    return tenants.start_setup(
        session, organisation="Fabrikam", domain=domain, admin_name="",
        admin_address=f"ada@{domain}", now=clock.now,
    )  # fmt: skip


def test_of_ten_who_choose_a_password_at_once_one_wins(app: Flask, clock: Clock) -> None:
    """BOOT-2: single conditional update"""
    with app.app_context(), worker.transaction() as session:
        secret = start(session, clock)
    hashes = [passwords.hashed(f"a long phrase {number}") for number in range(10)]

    def once(session: Session, number: int) -> int:
        tenants.finish_setup(session, secret, hashes[number], now=clock.now)
        return number

    done, faults = at_once(app, 10, once)
    assert len(done) == 1
    assert {type(fault) for fault in faults} == {NotFound}
    with app.app_context():
        stored = db.session.scalars(select(Password.hash)).all()
        db.session.remove()
    assert stored == [hashes[done[0]]]


def test_of_five_first_organisations_at_once_one_is_made(app: Flask, clock: Clock) -> None:
    """BOOT-1, BOOT-2"""
    done, faults = at_once(
        app, 5, lambda session, number: start(session, clock, f"fabrikam{number}.example")
    )
    assert len(done) == 1
    assert {type(fault) for fault in faults} == {Conflict}
    with app.app_context():
        made = db.session.execute(
            select(func.count()).where(Tenant.kind == TenantKind.ORGANISATION)
        ).scalar_one()
        db.session.remove()
    assert made == 1


def test_a_setup_link_lives_for_an_hour_and_is_kept_as_a_hash(
    session: Session, clock: Clock
) -> None:
    """BOOT-1: 256 bit"""
    secret = start(session, clock)
    session.flush()
    assert len(secret) == 43
    row = session.execute(select(SetupLink)).scalar_one()
    assert secret.encode() not in row.secret_hash
    ada = session.execute(select(User).where(User.mail == "ada@fabrikam.example")).scalar_one()
    assert passwords.stored(session, ada.tenant_id, ada.id) is None, "no default password"
    last = START + timedelta(minutes=59, seconds=59)
    assert tenants.setup_person(session, secret, now=last)[0] is ada
    for made_up, now in ((secret, START + timedelta(hours=1)), ("A" * 43, START), ("", START)):
        with pytest.raises(NotFound, match="was used, has expired, or was never made"):
            tenants.setup_person(session, made_up, now=now)


def test_a_domain_is_verified_by_one_organisation_only(
    session: Session, cast: Cast, clock: Clock
) -> None:
    """decisions.md, who may redeem"""
    contoso = acting(session, cast.contoso, cast.otto, clock.now)
    with pytest.raises(Conflict, match=r"woodgrove\.example is verified by another organisation"):
        tenants.verify_domain(session, contoso, "WoodGrove.example.")
    with pytest.raises(Conflict, match="is verified by another organisation"):
        tenants.create(session, display_name="Two", domain="woodgrove.example", now=clock.now)
    with pytest.raises(Invalid, match="Enter a domain name"):
        tenants.verify_domain(session, contoso, "no domain")
    for _ in range(2):
        tenants.verify_domain(session, contoso, "BÜCHER.example")
    session.flush()
    found = session.scalars(select(Domain.name).where(Domain.tenant_id == cast.contoso)).all()
    assert sorted(found) == ["contoso.example", "xn--bcher-kva.example"]


def test_of_two_organisations_that_verify_a_domain_at_once_one_has_it(
    app: Flask, cast: Cast, clock: Clock
) -> None:
    """decisions.md, who may redeem: held by the database too"""

    def once(session: Session, number: int) -> None:
        who = [(cast.woodgrove, cast.john), (cast.contoso, cast.otto)][number]
        tenants.verify_domain(session, acting(session, *who, clock.now), "shared.example")

    done, faults = at_once(app, 2, once)
    assert (len(done), len(faults)) == (1, 1)
    with app.app_context():
        owners = db.session.scalars(
            select(Domain.tenant_id).where(Domain.name == "shared.example")
        ).all()
        db.session.remove()
    assert len(owners) == 1
